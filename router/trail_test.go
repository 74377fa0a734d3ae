package router

import (
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock/penstock/internal/sqlscan"
)

// still is a cluster that nothing watches: tests say what its hosts answer.
// The first is the primary; the others follow and have replayed up to 100.
func still(t *testing.T, hosts int) *Cluster {
	t.Helper()
	c := &Cluster{
		log: slog.New(slog.DiscardHandler), prober: NewProber(0), lag: new(Lag), learned: new(Learned),
		fallback: NewBudget(0.25, 0, 2), retries: NewBudget(0.2, 50, 1000), texts: sqlscan.NewCache[Class](1 << 20),
		changed: func(int) {}, back: func(int) {}, busy: func(int) (int, int) { return 0, 0 }, end: func(int) {}, stop: func() {},
		reload: make(chan struct{}, 1), seen: make([]Observation, hosts), roles: NewRoles(0), switchover: NewSwitchover(SwitchoverOptions{}),
		wake: make(chan struct{}), probed: make(chan struct{}), scanners: sync.Pool{New: func() any { return new(sqlscan.Scanner) }},
	}
	weights := make([]float64, hosts)
	for i := range weights {
		weights[i], c.seen[i].Host = 1, i
		c.hosts = append(c.hosts, newMonitor(c, i, Host{}))
		c.hosts[i].prober = NewProber(0)
	}
	c.balancer = NewBalancer(BalanceOptions{}, weights, c.lag, rand.New(rand.NewPCG(1, 2)))
	c.view.Store(&View{})
	c.Apply(Settings{CausalWait: 20 * time.Millisecond})
	for i := range hosts {
		c.says(i, i > 0, place(1, 100))
	}
	return c
}

func place(timeline uint32, lsn LSN) Position {
	return Position{System: 7, Timeline: timeline, LSN: lsn}
}

// says has a host answer a probe that was sent now.
func (c *Cluster) says(host int, standby bool, at Position) { c.sends(host)(standby, at) }

// sends sends a probe; the function it returns has it answered.
func (c *Cluster) sends(host int) func(standby bool, at Position) {
	m, now := c.hosts[host], time.Now()
	m.suspected.Store(false)
	if m.asked = m.prober; c.view.Load().Primary == host {
		m.asked = c.prober
	}
	m.id, _ = m.asked.Begin(now)
	m.caught = true // nothing was left to replay
	return func(standby bool, at Position) {
		m.last.Store(now.UnixNano())
		m.flushed = at.LSN
		c.answered(m, Observation{Host: host, OK: true, System: at.System, Timeline: at.Timeline, InRecovery: standby, LSN: at.LSN, At: now})
	}
}

func (c *Cluster) asks(t *testing.T, trail *Trail, at Position, only int, state FloorState) {
	t.Helper()
	if gotAt, gotOnly, gotState := c.resolve(trail); gotAt != at || gotOnly != only || gotState != state {
		t.Errorf("it asks for %+v of %d, state %d; want %+v of %d, %d", gotAt, gotOnly, gotState, at, only, state)
	}
}

func (c *Cluster) picks(t *testing.T, trail *Trail, except, want int, reason Reason) {
	t.Helper()
	if host, _, why := c.Pick(trail, except); host != want || host < 0 && why != reason {
		t.Errorf("host %d for %s, want %d for %s", host, why, want, reason)
	}
}

func TestAReadIsNotSentBackBehindItsLast(t *testing.T) {
	t.Parallel()
	c := still(t, 3)
	var trail Trail
	c.asks(t, &trail, Position{}, -1, FloorNone)
	c.ReadAt(&trail, 1)
	c.asks(t, &trail, Position{}, 1, FloorNone) // only the same host until its position is known
	for range 20 {
		c.picks(t, &trail, -1, 1, ReasonNone)
	}
	c.picks(t, &trail, 1, -1, ReasonReplicasBehind)
	answer := c.sends(2)
	c.asks(t, &trail, Position{}, 1, FloorNone)
	answer(true, place(1, 120)) // another host's answer says nothing about it
	c.asks(t, &trail, Position{}, 1, FloorNone)
	c.says(1, true, place(1, 110))
	c.asks(t, &trail, place(1, 110), -1, FloorKnown)
	c.picks(t, &trail, 1, 2, ReasonNone)
	c.says(1, true, place(1, 130))
	c.asks(t, &trail, place(1, 110), -1, FloorKnown)
	c.ReadAt(&trail, 1)
	c.says(1, true, place(1, 140))
	c.picks(t, &trail, 1, -1, ReasonReplicasBehind)
	c.picks(t, &trail, -1, 1, ReasonNone)
}

func TestAProbeThatWasSentBeforeTheReadDoesNotCoverIt(t *testing.T) {
	t.Parallel()
	c := still(t, 2)
	var trail, other Trail
	c.ReadAt(&other, 1)
	answer := c.sends(1)
	c.ReadAt(&trail, 1)
	answer(true, place(1, 110))
	c.asks(t, &other, place(1, 110), -1, FloorKnown)
	c.asks(t, &trail, Position{}, 1, FloorNone)
}

func TestARecordInProgressIsCoveredWhenThePositionMoves(t *testing.T) {
	t.Parallel()
	c := still(t, 2)
	var trail Trail
	busy := func(at Position) {
		answer := c.sends(1)
		c.hosts[1].caught = false
		answer(true, at)
	}
	c.ReadAt(&trail, 1)
	busy(place(1, 110))
	c.asks(t, &trail, Position{}, 1, FloorNone)
	busy(place(1, 110)) // it has not moved since
	c.asks(t, &trail, Position{}, 1, FloorNone)
	busy(place(1, 120))
	c.asks(t, &trail, place(1, 120), -1, FloorKnown)
}

func TestARestartedReplicaIsAskedForThePrimarysPosition(t *testing.T) {
	t.Parallel()
	for name, answered := range map[string]bool{"before its number is answered": false, "and its number is answered": true} {
		c := still(t, 3)
		var trail Trail
		c.ReadAt(&trail, 1)
		if answered {
			c.says(1, true, place(1, 110))
		}
		c.hosts[1].epoch.Add(1)
		c.asks(t, &trail, Position{}, -1, FloorUnknown)
		c.picks(t, &trail, -1, -1, ReasonFloorUnknown)
		c.says(0, false, place(1, 150))
		c.asks(t, &trail, place(1, 150), -1, FloorKnown)
		c.picks(t, &trail, -1, -1, ReasonReplicasBehind)
		c.says(2, true, place(1, 150))
		c.picks(t, &trail, -1, 2, ReasonNone)
		if trail.number != 0 {
			t.Errorf("%s: the number is asked for still", name)
		}
	}
}

func TestAReadSeesWhatItsSessionHasWritten(t *testing.T) {
	t.Parallel()
	c := still(t, 2)
	var trail, other Trail
	before := c.sends(0)
	c.DoneAt(&trail, 0, true)
	before(false, place(1, 120)) // sent before the commit
	c.picks(t, &trail, -1, -1, ReasonFloorUnknown)
	c.says(0, false, place(1, 200))
	c.picks(t, &trail, -1, -1, ReasonReplicasBehind)
	c.picks(t, &other, -1, 1, ReasonNone)
	c.says(1, true, place(1, 199))
	c.picks(t, &trail, -1, -1, ReasonReplicasBehind)
	c.says(1, true, place(1, 200))
	c.picks(t, &trail, -1, 1, ReasonNone)
}

func TestEventualConsistencyAsksForNothing(t *testing.T) {
	t.Parallel()
	c := still(t, 2)
	c.Apply(Settings{Consistency: ConsistencyEventual})
	var trail Trail
	c.DoneAt(&trail, 0, true)
	c.picks(t, &trail, -1, 1, ReasonNone)
	c.says(0, false, place(1, 500))
	c.picks(t, &trail, -1, 1, ReasonNone)
	c.hosts[1].last.Store(0)
	c.picks(t, &trail, -1, 1, ReasonNone)
	c.picks(t, &trail, 1, -1, ReasonNoHealthyReplica)
}

func TestStrongConsistencyAsksEachTime(t *testing.T) {
	t.Parallel()
	c := still(t, 2)
	c.Apply(Settings{Consistency: ConsistencyStrong})
	var trail Trail
	var last uint64
	for range 3 {
		if len(c.hosts[0].wake) > 0 {
			<-c.hosts[0].wake // by what was before
		}
		host, wait, _ := c.Pick(&trail, -1)
		if host >= 0 || !wait {
			t.Fatalf("host %d, wait %t", host, wait)
		}
		if _, number := c.prober.Primary(); number <= last {
			t.Error("the primary is not asked again")
		} else {
			last = number
		}
		c.asks(t, &trail, Position{}, -1, FloorUnknown)
		if len(c.hosts[0].wake) != 1 {
			t.Error("the primary is not asked at once")
		}
		at := place(1, LSN(200+last))
		c.says(0, false, at)
		c.asks(t, &trail, at, -1, FloorKnown)
	}
}

func TestAnOldPositionIsNotReliedOn(t *testing.T) {
	t.Parallel()
	c := still(t, 2)
	var trail, free Trail
	c.ReadAt(&trail, 1)
	c.says(1, true, place(1, 110))
	c.picks(t, &trail, -1, 1, ReasonNone)
	c.hosts[1].last.Store(time.Now().Add(-2 * freshEnough).UnixNano())
	c.picks(t, &trail, -1, -1, ReasonReplicasBehind)
	c.picks(t, &free, -1, 1, ReasonNone)
	c.ReadAt(&trail, 1) // its own last host may have crashed since, too
	c.picks(t, &trail, -1, -1, ReasonReplicasBehind)
	c.says(1, true, place(1, 110))
	c.picks(t, &trail, -1, 1, ReasonNone)
}

func TestASuspectedReplicaIsOutUntilItsNextAnswer(t *testing.T) {
	t.Parallel()
	c := still(t, 3)
	var trail Trail
	c.Suspect(1)
	if len(c.hosts[1].wake) != 1 {
		t.Error("it is not asked at once")
	}
	for range 20 {
		c.picks(t, &trail, -1, 2, ReasonNone)
	}
	c.picks(t, &trail, 2, -1, ReasonNoHealthyReplica)
	c.says(2, true, place(1, 120)) // another's answer
	c.picks(t, &trail, 2, -1, ReasonNoHealthyReplica)
	answer := c.sends(1)
	c.Suspect(1) // again, while the probe is under way
	answer(true, place(1, 120))
	c.picks(t, &trail, 2, -1, ReasonNoHealthyReplica)
	c.says(1, true, place(1, 120))
	c.picks(t, &trail, 2, 1, ReasonNone)
	c.Suspect(0)
	if host, ok := c.Primary(); host != 0 || !ok {
		t.Error("a suspected primary is none")
	}
}

func TestObserveAsksWhereTheRoleIsNews(t *testing.T) {
	t.Parallel()
	for host, standby := range map[int]bool{0: true, 1: false} {
		for _, news := range []bool{true, false} {
			c := still(t, 2)
			c.Observe(host, standby == news)
			if c.hosts[host].suspected.Load() != news {
				t.Errorf("host %d says standby=%t: suspected %t", host, standby == news, !news)
			}
		}
	}
}

func TestAwaitReplica(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		answers time.Duration // the replica's; 0: none
		poor    bool          // nothing is left of the budget
		host    int
		took    time.Duration
	}{
		"it comes in time":             {answers: 3 * time.Millisecond, host: 1, took: 3 * time.Millisecond},
		"the primary has to do it":     {host: -1, took: 20 * time.Millisecond},
		"the primary has enough to do": {poor: true, host: -1, took: 20*time.Millisecond + mostWait},
		"and it comes later":           {poor: true, answers: 90 * time.Millisecond, host: 1, took: 90 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := still(t, 2)
				if row.poor {
					c.fallback = NewBudget(0, 0, 0)
				}
				var trail Trail
				c.DoneAt(&trail, 0, true)
				c.says(0, false, place(1, 200))
				began := time.Now()
				if row.answers > 0 {
					go func() {
						time.Sleep(row.answers)
						if c.waiting.Load() != 1 {
							t.Error("nobody seems to wait")
						}
						c.says(1, true, place(1, 200))
					}()
				}
				host, reason := c.AwaitReplica(&trail, -1)
				if took := time.Since(began); host != row.host || took != row.took || host < 0 && reason != ReasonReplicasBehind {
					t.Errorf("host %d for %s after %v, want %d after %v", host, reason, took, row.host, row.took)
				}
				synctest.Wait()
				if c.waiting.Load() != 0 {
					t.Error("somebody waits still")
				}
			})
		})
	}
}
