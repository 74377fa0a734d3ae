package router_test

import (
	"math/rand/v2"
	"testing"

	"github.com/penstock/penstock/router"
)

func primary(host int, timeline uint32, lsn router.LSN) router.Observation {
	return router.Observation{Host: host, OK: true, System: 1, Timeline: timeline, LSN: lsn}
}

func standby(host int, timeline uint32, lsn router.LSN) router.Observation {
	o := primary(host, timeline, lsn)
	o.InRecovery = true
	return o
}

func gone(host int) router.Observation { return router.Observation{Host: host} }

func TestRolesStory(t *testing.T) {
	r := router.NewRoles(0)
	rule := func(what string, want int, alarm router.Alarm, fenced uint64, hosts ...router.Observation) router.Ruling {
		t.Helper()
		got := r.Rule(hosts)
		if got.Primary != want || got.Alarm != alarm || got.Fenced != fenced {
			t.Errorf("%s: primary %d, alarm %v, fenced %b; want %d, %v, %b", what, got.Primary, got.Alarm, got.Fenced, want, alarm, fenced)
		}
		return got
	}
	if got := rule("the first look", 0, router.AlarmNone, 0, primary(0, 1, 100), standby(1, 1, 90)); !got.Changed || got.Replicas != 0b10 {
		t.Errorf("the first look: %+v", got)
	}
	if got := rule("nothing new", 0, router.AlarmNone, 0, primary(0, 1, 110), standby(1, 1, 100)); got.Changed {
		t.Error("nothing changed")
	}
	rule("the primary is gone", -1, router.AlarmNoPrimary, 0, gone(0), standby(1, 1, 100))
	rule("it is back", 0, router.AlarmNone, 0, primary(0, 1, 120), standby(1, 1, 110))
	r.Acknowledged(at(1, 120))
	if got := rule("promoted", 1, router.AlarmNone, 0, gone(0), primary(1, 2, 130)); !got.Changed || got.LostWAL != 0 {
		t.Errorf("promoted: %+v", got)
	}
	rule("the old one thaws", 1, router.AlarmStale, 0b1, primary(0, 1, 999), primary(1, 2, 140))
	rule("only the old one is seen", -1, router.AlarmStale, 0b1, primary(0, 1, 999), gone(1))
	rule("it follows", 1, router.AlarmNone, 0, standby(0, 2, 130), primary(1, 2, 150))
	r.Acknowledged(at(2, 200))
	if got := rule("promoted with a loss", 0, router.AlarmLostWAL, 0, primary(0, 3, 150), gone(1)); got.LostWAL != 50 {
		t.Errorf("lost %d bytes, want 50", got.LostWAL)
	}
	if got := rule("said once", 0, router.AlarmNone, 0, primary(0, 3, 160), gone(1)); got.Changed {
		t.Error("still changed")
	}
	rule("two on one timeline", -1, router.AlarmSplitBrain, 0b11, primary(0, 3, 160), primary(1, 3, 170))
	rule("one disappears", 1, router.AlarmNone, 0, gone(0), primary(1, 3, 170))
	rule("a standby follows a primary we do not see", -1, router.AlarmStale, 0b1, primary(0, 3, 160), standby(1, 4, 170))
	foreign := primary(1, 9, 1)
	foreign.System = 2
	rule("another cluster", 0, router.AlarmForeign, 0b10, primary(0, 4, 200), foreign)
}

// TestNoLowerTimelineIsEverPrimary: whatever is observed, in any order.
func TestNoLowerTimelineIsEverPrimary(t *testing.T) {
	for seed := range uint64(2000) {
		chance := rand.New(rand.NewPCG(seed, 3))
		r := router.NewRoles(1)
		var highest uint32
		for range 50 {
			hosts := make([]router.Observation, 3)
			able := 0
			for i := range hosts {
				hosts[i] = router.Observation{
					Host: i, OK: chance.IntN(3) > 0, System: 1 + uint64(chance.IntN(8)/7),
					Timeline: uint32(1 + chance.IntN(4)), InRecovery: chance.IntN(2) == 0, LSN: router.LSN(chance.IntN(100)),
				}
				if o := hosts[i]; o.OK && o.System == 1 {
					highest = max(highest, o.Timeline)
				}
			}
			got := r.Rule(hosts)
			for _, o := range hosts {
				if o.OK && o.System == 1 && !o.InRecovery && o.Timeline == highest {
					able++
				}
			}
			if (got.Primary >= 0) != (able == 1) {
				t.Fatalf("seed %d: primary %d of %d able at timeline %d: %+v", seed, got.Primary, able, highest, hosts)
			}
			if got.Primary < 0 {
				continue
			}
			if o := hosts[got.Primary]; !o.OK || o.InRecovery || o.System != 1 || o.Timeline < highest || got.Fenced>>got.Primary&1 == 1 {
				t.Fatalf("seed %d: %+v is primary, the highest timeline was %d", seed, o, highest)
			}
		}
	}
}

func TestSystemIsThatOfTheMajority(t *testing.T) {
	r := router.NewRoles(0)
	odd := primary(0, 1, 1)
	odd.System = 2
	if got := r.Rule([]router.Observation{odd, primary(1, 1, 1), standby(2, 1, 1)}); got.Primary != 1 || got.Fenced != 1 {
		t.Errorf("%+v", got)
	}
}
