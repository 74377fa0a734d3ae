package proxy

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/penstock/penstock/internal/pgerr"
	"github.com/penstock/penstock/internal/sqlscan"
)

// queue makes a queue from one letter per entry: the type bytes of requests,
// c for the end of a COPY. Each entry's name is its place.
func queue(letters string) *replies {
	kinds := map[rune]replyKind{
		'Q': replyQuery, 'F': replyFunction, 'P': replyParse, 'B': replyBind, 'D': replyDescribe,
		'E': replyExecute, 'C': replyClose, 'S': replySync, 'c': replyCopyEnd,
	}
	q := &replies{}
	for range 13 { // begin in the middle of the ring
		q.push(reply{})
		q.pop()
	}
	for i, l := range letters {
		q.push(reply{kind: kinds[l], name: fmt.Sprint(i)})
	}
	return q
}

func letters(q *replies) string {
	var b strings.Builder
	for i := range q.len() {
		b.WriteByte("QFPBDECSc"[q.at(i).kind])
	}
	return b.String()
}

func TestRepliesAreFirstInFirstOut(t *testing.T) {
	t.Parallel()
	q := &replies{}
	var model []string
	next := 0
	for range 5000 {
		switch rand.IntN(5) {
		case 0, 1, 2:
			name := fmt.Sprint(next)
			next++
			q.push(reply{name: name})
			model = append(model, name)
		case 3:
			if len(model) > 0 {
				q.pop()
				model = model[1:]
			}
		case 4:
			if n := len(model) - rand.IntN(3); n >= 0 {
				q.cut(n)
				model = model[:n]
			}
		}
		if q.len() != len(model) || (q.first() == nil) != (len(model) == 0) {
			t.Fatalf("len %d, want %d", q.len(), len(model))
		}
		if len(model) > 0 {
			if i := rand.IntN(len(model)); q.first().name != model[0] || q.at(i).name != model[i] {
				t.Fatalf("first %s, at %d %s; want %s and %s", q.first().name, i, q.at(i).name, model[0], model[i])
			}
		}
	}
}

func TestRepliesKeepNothingAliveThatIsGone(t *testing.T) {
	t.Parallel()
	q := &replies{}
	st := &Statement{}
	for range 20 {
		q.push(reply{stmt: st, name: "x"})
	}
	for range 7 {
		q.pop()
	}
	q.cut(5)
	kept := 0
	for i := range q.ring {
		if q.ring[i].stmt != nil || q.ring[i].name != "" {
			kept++
		}
	}
	if kept != 5 {
		t.Errorf("%d entries hold a statement, want the 5 that are left", kept)
	}
}

func TestRepliesUseTheirMemoryAgain(t *testing.T) {
	q := &replies{}
	for range 30 {
		q.push(reply{})
	}
	q.cut(0)
	if n := testing.AllocsPerRun(100, func() {
		for range 30 {
			q.push(reply{kind: replySync})
		}
		for range 30 {
			q.pop()
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestUntilSyncCountsWhatTheServerDiscards(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]int{"": 0, "S": 0, "PBES": 3, "PBE": 3, "PBESPBES": 3, "PQS": 2, "PFES": 3} {
		if got := queue(in).untilSync(); got != want {
			t.Errorf("%q: got %d, want %d", in, got, want)
		}
	}
}

func TestSyncsWithinACopyAreDropped(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"E":       "E",
		"ES":      "E",
		"EScS":    "EcS",
		"ESScS":   "EcS",
		"EcSS":    "EcSS",   // behind the end of the data
		"EcScS":   "EcScS",  // that of another COPY
		"EPScSQS": "EPcSQS", // whatever stands between
		"QSc":     "Qc",
	} {
		q := queue(in)
		q.dropSyncsInCopy()
		if got := letters(q); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
		last := -1
		for i := range q.len() {
			var n int
			_, _ = fmt.Sscan(q.at(i).name, &n)
			if n <= last {
				t.Errorf("%q: entry %d stands behind %d", in, n, last)
			}
			last = n
		}
	}
}

func TestCyclesEndWithWhatIsAnsweredByReadyForQuery(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]int{"": 0, "PBE": 0, "S": 1, "PBESP": 4, "QPB": 1, "FPSE": 3, "QQ": 2} {
		q := queue(in)
		if q.cycles() != want || q.hasCycle() != (want > 0) {
			t.Errorf("%q: %d cycles, has %t; want %d", in, q.cycles(), q.hasCycle(), want)
		}
	}
}

func TestExtendedAndCycleKindsAreThoseOfTheProtocol(t *testing.T) {
	t.Parallel()
	for letter, want := range map[string]struct{ extended, cycle bool }{
		"Q": {false, true}, "F": {false, true}, "S": {false, true},
		"P": {true, false}, "B": {true, false}, "D": {true, false}, "E": {true, false}, "C": {true, false}, "c": {true, false},
	} {
		r := queue(letter).first()
		if r.extended() != want.extended || r.closesCycle() != want.cycle {
			t.Errorf("%s: extended %t, closes a cycle %t", letter, r.extended(), r.closesCycle())
		}
	}
}

func TestEachRequestIsAnsweredByTheMessagesOfTheManual(t *testing.T) {
	t.Parallel()
	all := "RKSZTDCIEANW123nstVGHdc"
	for letter, want := range map[string]string{
		"Q": "ZTDCIWGHdc", "F": "ZV", "P": "1", "B": "2", "D": "Tnt", "E": "DCIWsGHdc", "C": "3", "S": "Z", "c": "",
	} {
		got := ""
		for i := range len(all) {
			if expected(queue(letter).first().kind, all[i]) {
				got += all[i : i+1]
			}
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", letter, got, want)
		}
	}
}

// Where a server connection is lost, each cycle gets one error and its
// ReadyForQuery; what has no Sync yet gets its error, and the rest is skipped.
func TestLostAnswerEndsEachCycleOnce(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]struct {
		answer string
		skip   bool
	}{
		"":      {"", false},
		"Q":     {"EZ", false},
		"QQ":    {"EZEZ", false},
		"PBES":  {"EZ", false},
		"PBE":   {"E", true},
		"PSPBE": {"EZE", true},
		"FS":    {"EZEZ", false},
		"qp":    {"", false}, // ours
		"Ppes":  {"E", true},
		"pPS":   {"EZ", false},
	} {
		l := &link{}
		for _, letter := range in {
			q := queue(strings.ToUpper(string(letter)))
			r := *q.first()
			if letter >= 'a' {
				r.action = skip
			}
			l.replies.push(r)
		}
		answer, skipToSync := lostAnswer(l, pgerr.Canceled())
		var types []byte
		for part := range strings.FieldsSeq(text(answer, false)) {
			types = append(types, part[0])
		}
		got := strings.ReplaceAll(strings.ReplaceAll(string(types), "c", ""), "s", "")
		got = strings.Map(func(r rune) rune {
			if r == 'E' || r == 'Z' {
				return r
			}
			return -1
		}, got)
		if got != want.answer || skipToSync != want.skip {
			t.Errorf("%q: got %s, skip %t; want %s, %t", in, got, skipToSync, want.answer, want.skip)
		}
	}
}

func TestALostCommitIsNotCalledALostStatement(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		effect sqlscan.Kind
		status byte
		want   pgerr.Code
	}{
		"COMMIT in a transaction":            {sqlscan.Commit, 'T', pgerr.CommitUnknown(nil).Code},
		"COMMIT outside":                     {sqlscan.Commit, 'I', pgerr.ServerLost('I', nil).Code},
		"COMMIT in an aborted one":           {sqlscan.Commit, 'E', pgerr.ServerLost('E', nil).Code},
		"another statement in a transaction": {sqlscan.Unknown, 'T', pgerr.ServerLost('T', nil).Code},
	} {
		g := newStage(t, modeTransaction)
		g.l.conn.TxStatus = c.status
		g.l.replies.push(reply{kind: replyQuery, effect: c.effect})
		if got := g.s.lostError(g.l, nil); got.Code != c.want {
			t.Errorf("%s: got %s, want %s", name, got.Code, c.want)
		}
	}
}
