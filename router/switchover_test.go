package router_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock/penstock/router"
)

// TestSwitchoverStory tells a planned switchover as it should go.
func TestSwitchoverStory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := router.NewSwitchover(router.SwitchoverOptions{})
		step := func(want router.SwitchoverState, f router.SwitchoverFacts) router.SwitchoverOrders {
			t.Helper()
			o := s.Step(time.Now(), f)
			if o.State != want {
				t.Fatalf("%v, want %v", o.State, want)
			}
			return o
		}
		if o := step(router.SwitchoverServing, router.SwitchoverFacts{Open: 3}); o.HoldTransactions || o.HoldSingles {
			t.Fatalf("held without a reason: %+v", o)
		}
		if !s.Start(time.Now()) || s.Start(time.Now()) {
			t.Fatal("one starts, a second does not")
		}
		o := step(router.SwitchoverHolding, router.SwitchoverFacts{Open: 2, Running: 5, Same: true})
		if !o.HoldTransactions || o.HoldSingles || o.Promote || o.CancelOpen || o.Next != 3*time.Second {
			t.Errorf("holding: %+v", o)
		}
		time.Sleep(time.Second)
		o = step(router.SwitchoverDraining, router.SwitchoverFacts{Running: 1, Same: true})
		if !o.HoldSingles || o.Promote || o.CancelOpen {
			t.Errorf("draining: %+v", o)
		}
		o = step(router.SwitchoverWaiting, router.SwitchoverFacts{Held: 20, Same: true})
		if !o.Promote || !o.HoldSingles || !o.HoldTransactions {
			t.Errorf("waiting: %+v", o)
		}
		if o = step(router.SwitchoverWaiting, router.SwitchoverFacts{Held: 20}); o.Promote {
			t.Error("promoted twice")
		}
		time.Sleep(500 * time.Millisecond)
		o = step(router.SwitchoverReleasing, router.SwitchoverFacts{Held: 20, Promoted: true})
		if o.HoldTransactions || o.Admit != 8 || o.Outcome != router.SwitchoverDone || s.Paused() != 1500*time.Millisecond {
			t.Errorf("releasing: %+v after %v", o, s.Paused())
		}
		time.Sleep(o.Next)
		if o = step(router.SwitchoverReleasing, router.SwitchoverFacts{Held: 12, Promoted: true}); o.Admit != 16 {
			t.Errorf("the ramp: %+v", o)
		}
		step(router.SwitchoverServing, router.SwitchoverFacts{})
		if !s.Start(time.Now()) {
			t.Error("another one can start")
		}
	})
}

func TestSwitchoverDeadlines(t *testing.T) {
	for name, c := range map[string]struct {
		same bool
		want router.SwitchoverOutcome
	}{
		"the old primary goes on": {true, router.SwitchoverGivenUp},
		"no primary comes":        {false, router.SwitchoverNoPrimary},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := router.NewSwitchover(router.SwitchoverOptions{})
				start := time.Now()
				s.Start(start)
				facts := router.SwitchoverFacts{Open: 1, Running: 1, Held: 5, Same: c.same} // nobody ever ends
				cancelled, promoted := time.Duration(0), 0
				var o router.SwitchoverOrders
				for o = s.Step(time.Now(), facts); o.Outcome == router.SwitchoverPending; o = s.Step(time.Now(), facts) {
					if o.CancelOpen && cancelled == 0 {
						cancelled = time.Since(start)
					}
					if o.Promote {
						promoted++
					}
					if o.Next <= 0 {
						t.Fatalf("no time to the next step: %+v", o)
					}
					time.Sleep(o.Next)
				}
				if cancelled != 3*time.Second || promoted != 1 || time.Since(start) != 10*time.Second {
					t.Errorf("cancelled at %v, promoted %d times, over at %v", cancelled, promoted, time.Since(start))
				}
				if o.Outcome != c.want || o.FailHeld != (c.want == router.SwitchoverNoPrimary) {
					t.Errorf("%+v", o)
				}
			})
		})
	}
}

func TestLostPrimaryHoldsAtOnce(t *testing.T) {
	s := router.NewSwitchover(router.SwitchoverOptions{})
	now := time.Unix(0, 0)
	s.Lost(now)
	if o := s.Step(now, router.SwitchoverFacts{Open: 2, Held: 1}); !o.HoldTransactions || !o.HoldSingles || !o.CancelOpen || o.Promote {
		t.Errorf("%+v", o)
	}
	if o := s.Step(now.Add(time.Second), router.SwitchoverFacts{Held: 1, Promoted: true}); o.Outcome != router.SwitchoverDone {
		t.Errorf("%+v", o)
	}
	// A switchover that finds its primary dead goes on waiting, with its window.
	s = router.NewSwitchover(router.SwitchoverOptions{})
	s.Start(now)
	s.Lost(now.Add(9 * time.Second))
	if o := s.Step(now.Add(10*time.Second), router.SwitchoverFacts{Held: 1}); o.Outcome != router.SwitchoverNoPrimary || !o.FailHeld {
		t.Errorf("%+v", o)
	}
}
