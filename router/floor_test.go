package router_test

import (
	"math/rand/v2"
	"testing"
	"testing/quick"
	"testing/synctest"
	"time"

	"github.com/penstock/penstock/router"
)

func at(timeline uint32, lsn router.LSN) router.Position {
	return router.Position{System: 1, Timeline: timeline, LSN: lsn}
}

func TestLSN(t *testing.T) {
	for text, want := range map[string]router.LSN{"16/B374D848": 0x16B374D848, "0/0": 0, "FFFFFFFF/FFFFFFFF": 1<<64 - 1} {
		got, err := router.ParseLSN(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%s: %x, %v, %v", text, uint64(got), got, err)
		}
	}
	for _, text := range []string{"", "1", "/", "1/", "/1", "G/0", "1/100000000", "100000000/1", "1/2/3", "-1/0"} {
		if got, err := router.ParseLSN(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
	if err := quick.Check(func(n uint64) bool {
		got, err := router.ParseLSN(router.LSN(n).String())
		return err == nil && uint64(got) == n
	}, nil); err != nil {
		t.Error(err)
	}
}

func TestPositionsOfTimelinesAreNotCompared(t *testing.T) {
	for name, c := range map[string]struct {
		has, floor router.Position
		want       bool
	}{
		"no floor":       {at(1, 5), router.Position{}, true},
		"there":          {at(1, 5), at(1, 5), true},
		"before":         {at(1, 4), at(1, 5), false},
		"later timeline": {at(2, 9), at(1, 5), false},
		"older timeline": {at(1, 9), at(2, 5), false},
		"other system":   {router.Position{System: 2, Timeline: 1, LSN: 9}, at(1, 5), false},
		"unknown":        {router.Position{}, at(1, 5), false},
	} {
		if got := c.has.Covers(c.floor); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestOneProbeCoversTheCommitsBeforeIt(t *testing.T) {
	p := router.NewProber(time.Millisecond)
	now := time.Unix(0, 0)
	if id, _ := p.Begin(now); id != 0 {
		t.Fatal("a probe without a commit")
	}
	one, two := p.NoteCommit(), p.NoteCommit()
	id, _ := p.Begin(now)
	if id == 0 {
		t.Fatal("no probe after a commit")
	}
	three := p.NoteCommit()
	if again, _ := p.Begin(now.Add(time.Second)); again != 0 {
		t.Error("two probes in flight")
	}
	p.Done(id, at(1, 100))
	for number, want := range map[uint64]bool{one: true, two: true, three: false} {
		if floor, ok := p.Floor(number); ok != want || ok && floor != at(1, 100) {
			t.Errorf("commit %d: %v %v", number, floor, ok)
		}
	}
	if again, wait := p.Begin(now); again != 0 || wait != time.Millisecond {
		t.Errorf("the rate is not kept: %v, %v", again, wait)
	}
	id, _ = p.Begin(now.Add(time.Millisecond))
	p.Done(id, at(1, 200))
	if floor, ok := p.Floor(three); !ok || floor != at(1, 200) {
		t.Errorf("the third: %v %v", floor, ok)
	}
	if floor, _ := p.Floor(one); floor != at(1, 100) {
		t.Errorf("the first has now to wait for more than it wrote: %v", floor)
	}
}

func TestFailedProbesAreSentAgain(t *testing.T) {
	p := router.NewProber(0)
	n := p.NoteCommit()
	id, _ := p.Begin(time.Unix(0, 0))
	p.Failed(id)
	if _, ok := p.Floor(n); ok {
		t.Error("a floor without an answer")
	}
	again, _ := p.Begin(time.Unix(0, 0))
	if again == 0 {
		t.Fatal("not sent again")
	}
	p.Done(id, at(1, 7)) // late, of the first
	if _, ok := p.Floor(n); ok {
		t.Error("an answer of a probe that had failed")
	}
	p.Done(again, at(1, 8))
	if floor, ok := p.Floor(n); !ok || floor.LSN != 8 {
		t.Errorf("%v %v", floor, ok)
	}
}

func TestFloorOfASession(t *testing.T) {
	p := router.NewProber(0)
	var f router.Floor
	state := func(want router.FloorState, position router.Position) {
		t.Helper()
		if got, s := f.Resolve(p); s != want || got != position {
			t.Fatalf("%v %v, want %v %v", got, s, position, want)
		}
	}
	probe := func(position router.Position) {
		id, _ := p.Begin(time.Unix(0, 0))
		p.Done(id, position)
	}
	state(router.FloorNone, router.Position{})
	f.Committed(p.NoteCommit())
	state(router.FloorUnknown, router.Position{})
	probe(at(1, 50))
	state(router.FloorKnown, at(1, 50))
	f.Read(at(1, 40)) // of a replica that was there: not back
	state(router.FloorKnown, at(1, 50))
	f.Read(at(1, 70))
	state(router.FloorKnown, at(1, 70))

	// Failover: what was on timeline 1 says nothing about timeline 2.
	p.Reset(at(2, 0))
	state(router.FloorUnknown, router.Position{})
	if !f.Dirty() {
		t.Error("not dirty after a change of timeline")
	}
	probe(at(1, 999)) // the old primary, late
	state(router.FloorUnknown, router.Position{})
	probe(at(2, 60))
	state(router.FloorKnown, at(2, 60))
}

func TestCommitDuringTheProbeOfAnOldPrimary(t *testing.T) {
	p := router.NewProber(0)
	n := p.NoteCommit()
	id, _ := p.Begin(time.Unix(0, 0))
	p.Reset(at(2, 0))
	p.Done(id, at(1, 10))
	if floor, ok := p.Floor(n); ok {
		t.Errorf("the old primary's answer counts: %v", floor)
	}
	n = p.NoteCommit()
	id, _ = p.Begin(time.Unix(0, 0)) // to a primary that will never answer
	p.Reset(at(3, 0))
	if next, _ := p.Begin(time.Unix(0, 0)); next == 0 || next == id {
		t.Error("the new primary is not asked before the old one has answered")
	}
	if _, ok := p.Floor(n); ok {
		t.Error("a floor without an answer")
	}
}

// TestReadYourWrites plays a primary, lagging replicas, commits and probes in
// every order that chance brings, and asks that a replica that covers a floor has
// the session's commits.
func TestReadYourWritesByChance(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		p := router.NewProber(time.Millisecond)
		now := time.Unix(0, 0)
		var insert, probed router.LSN
		var id uint64
		var floors [4]router.Floor
		var wrote [4]router.LSN
		for range 2000 {
			now = now.Add(time.Duration(r.IntN(500)) * time.Microsecond)
			s := r.IntN(len(floors))
			switch r.IntN(5) {
			case 0:
				insert += router.LSN(1 + r.IntN(100))
				wrote[s] = insert
				floors[s].Committed(p.NoteCommit())
			case 1:
				if id == 0 {
					if id, _ = p.Begin(now); id != 0 {
						probed = insert // the server looks when it gets the question, or later
					}
				}
			case 2:
				if id != 0 {
					p.Done(id, at(1, probed+router.LSN(r.IntN(3))))
					insert = max(insert, probed+2)
					id = 0
				}
			default:
				replica := at(1, router.LSN(r.IntN(int(insert)+1)))
				floor, state := floors[s].Resolve(p)
				if state == router.FloorUnknown || state == router.FloorKnown && !replica.Covers(floor) {
					continue
				}
				if replica.LSN < wrote[s] {
					t.Fatalf("seed %d: a replica at %v serves a session that wrote at %v", seed, replica.LSN, wrote[s])
				}
			}
		}
	}
}

func TestBudgetKeepsTheShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := router.NewBudget(0.2, 0, 10)
		spent := 0
		for range 1000 {
			b.Earn()
			if b.Spend(time.Now()) {
				spent++
			}
		}
		if spent < 200 || spent > 210 {
			t.Errorf("%d of 1000 with a share of 20 %% and 10 saved", spent)
		}
		quiet := router.NewBudget(0.2, 10, 1)
		if !quiet.Spend(time.Now()) || quiet.Spend(time.Now()) {
			t.Error("one is saved, not two")
		}
		time.Sleep(100 * time.Millisecond)
		if !quiet.Spend(time.Now()) {
			t.Error("the reserve does not come back")
		}
		time.Sleep(time.Hour)
		if quiet.Tokens() > 1 || !quiet.Spend(time.Now()) || quiet.Spend(time.Now()) {
			t.Error("more is saved than allowed")
		}
	})
}

func TestLagIsByTimeOfThePrimary(t *testing.T) {
	start := time.Unix(1000, 0)
	var l router.Lag
	if _, _, known := l.Of(start, at(1, 5)); known {
		t.Error("known without a sample")
	}
	for i := range 1000 { // 100 s, then idle
		l.NotePrimary(start.Add(time.Duration(i)*100*time.Millisecond), at(1, router.LSN(1000+i*10)))
	}
	end := start.Add(999 * 100 * time.Millisecond)
	idle := end.Add(time.Hour)
	l.NotePrimary(idle, at(1, 1000+9990))
	if behind, bytes, known := l.Of(idle, at(1, 1000+9990)); behind != 0 || bytes != 0 || !known {
		t.Errorf("caught up on an idle primary: %v %v", behind, bytes)
	}
	if behind, bytes, _ := l.Of(end, at(1, 1000+9890)); bytes != 100 || behind < time.Second || behind > 2*time.Second {
		t.Errorf("10 samples back: %v %d", behind, bytes)
	}
	if behind, _, _ := l.Of(end, at(1, 1000)); behind < 99*time.Second || behind > 102*time.Second {
		t.Errorf("from the beginning: %v", behind)
	}
	if _, _, known := l.Of(end, at(2, 1000)); known {
		t.Error("another timeline")
	}
	// The truth is never more than what is said.
	r := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		i := r.IntN(999)
		truth := time.Duration(998-i) * 100 * time.Millisecond // it has i, not yet i+1
		if behind, _, _ := l.Of(end, at(1, router.LSN(1000+i*10))); behind < truth {
			t.Fatalf("said %v, true %v", behind, truth)
		}
	}
	// After an idle hour the first new record makes no hour of lag.
	l.NotePrimary(idle.Add(time.Second), at(1, 1000+9991))
	if behind, _, _ := l.Of(idle.Add(time.Second), at(1, 1000+9990)); behind != time.Second {
		t.Errorf("after an idle hour: %v", behind)
	}
	l.NotePrimary(end, at(2, 50))
	if _, _, known := l.Of(end, at(2, 40)); !known {
		t.Error("a new timeline starts anew")
	}
}

func TestRetry(t *testing.T) {
	base := router.Failure{Reason: router.ReasonSafeRead, OnReplica: true, Autocommit: true}
	for name, c := range map[string]struct {
		change func(*router.Failure)
		want   router.RetryAction
		learn  bool
	}{
		"broke":                   {func(*router.Failure) {}, router.RetryOtherReplica, false},
		"broke, soft":             {func(f *router.Failure) { f.Reason = router.ReasonServerLocal }, router.RetryNone, false},
		"broke, write":            {func(f *router.Failure) { f.Reason = router.ReasonWrite }, router.RetryNone, false},
		"broke on the primary":    {func(f *router.Failure) { f.OnReplica = false }, router.RetryNone, false},
		"in a transaction":        {func(f *router.Failure) { f.Autocommit = false }, router.RetryNone, false},
		"bytes sent":              {func(f *router.Failure) { f.BytesSent = true }, router.RetryNone, false},
		"third time":              {func(f *router.Failure) { f.Tries = 2 }, router.RetryPrimary, false},
		"fourth time":             {func(f *router.Failure) { f.Tries = 3 }, router.RetryNone, false},
		"shutdown":                {func(f *router.Failure) { f.SQLState = "57P01" }, router.RetryOtherReplica, false},
		"crash":                   {func(f *router.Failure) { f.SQLState = "57P02" }, router.RetryOtherReplica, false},
		"starting":                {func(f *router.Failure) { f.SQLState = "57P03" }, router.RetryOtherReplica, false},
		"cancelled by the client": {func(f *router.Failure) { f.SQLState = "57014" }, router.RetryNone, false},
		"08006":                   {func(f *router.Failure) { f.SQLState = "08006" }, router.RetryOtherReplica, false},
		"wrote":                   {func(f *router.Failure) { f.SQLState = "25006" }, router.RetryPrimary, true},
		"wrote, soft":             {func(f *router.Failure) { f.SQLState, f.Reason = "25006", router.ReasonView }, router.RetryPrimary, true},
		"wrote, too late":         {func(f *router.Failure) { f.SQLState, f.BytesSent = "25006", true }, router.RetryNone, true},
		"conflict": {func(f *router.Failure) {
			f.SQLState, f.Message = "40001", "canceling statement due to conflict with recovery"
		}, router.RetrySameReplica, false},
		"conflict again": {func(f *router.Failure) {
			f.SQLState, f.Message, f.Tries = "40001", "canceling statement due to conflict with recovery", 1
		}, router.RetryOtherReplica, false},
		"conflict, fatal": {func(f *router.Failure) {
			f.SQLState, f.Message = "40001", "terminating connection due to conflict with recovery"
		}, router.RetrySameReplica, false},
		"serialization": {func(f *router.Failure) {
			f.SQLState, f.Message = "40001", "could not serialize access due to concurrent update"
		}, router.RetryNone, false},
		"serializable": {func(f *router.Failure) {
			f.SQLState, f.Message = "0A000", "cannot use serializable mode in a hot standby"
		}, router.RetryPrimary, true},
		"unlogged": {func(f *router.Failure) {
			f.SQLState, f.Message = "0A000", "cannot access temporary or unlogged relations during recovery"
		}, router.RetryPrimary, true},
		"stale plan": {func(f *router.Failure) { f.SQLState, f.Message = "0A000", "cached plan must not change result type" }, router.RetrySameReplica, false},
		"not supported, honestly": {func(f *router.Failure) {
			f.SQLState, f.Message = "0A000", "cross-database references are not implemented"
		}, router.RetryNone, false},
		"no table, behind":         {func(f *router.Failure) { f.SQLState, f.BehindDDL = "42P01", true }, router.RetryPrimary, false},
		"no table":                 {func(f *router.Failure) { f.SQLState = "42P01" }, router.RetryNone, false},
		"no column, behind":        {func(f *router.Failure) { f.SQLState, f.BehindDDL = "42703", true }, router.RetryPrimary, false},
		"no function, behind":      {func(f *router.Failure) { f.SQLState, f.BehindDDL = "42883", true }, router.RetryPrimary, false},
		"no type, behind":          {func(f *router.Failure) { f.SQLState, f.BehindDDL = "42704", true }, router.RetryPrimary, false},
		"not prepared":             {func(f *router.Failure) { f.SQLState = "26000" }, router.RetrySameReplica, false},
		"recovery":                 {func(f *router.Failure) { f.SQLState, f.Message = "55000", "recovery is in progress" }, router.RetryPrimary, true},
		"division by zero":         {func(f *router.Failure) { f.SQLState = "22012" }, router.RetryNone, false},
		"not allowed":              {func(f *router.Failure) { f.SQLState, f.BehindDDL = "42501", true }, router.RetryNone, false},
		"a read-only transaction?": {func(f *router.Failure) { f.SQLState, f.Reason = "25006", router.ReasonReadOnlyTransaction }, router.RetryNone, true},
	} {
		f := base
		c.change(&f)
		if got, learn := router.Retry(f); got != c.want || learn != c.learn {
			t.Errorf("%s: %v, learn %v; want %v, %v", name, got, learn, c.want, c.learn)
		}
	}
}
