package router_test

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/penstock/penstock/router"
)

// TestAllAtOnce is for the race detector; in the end nothing may be in flight.
func TestAllAtOnce(t *testing.T) {
	b, lag, start := balancer(router.BalanceOptions{MaxLagBytes: 1 << 40}, 3)
	lag.NotePrimary(start, at(1, 100))
	p, budget, learned := router.NewProber(0), router.NewBudget(0.2, 1, 10), &router.Learned{}
	var all sync.WaitGroup
	for worker := range uint64(4) {
		all.Go(func() {
			r := rand.New(rand.NewPCG(worker, 9))
			var f router.Floor
			for i := range 3000 {
				now := start.Add(time.Duration(i) * time.Millisecond)
				f.Committed(p.NoteCommit())
				if id, _ := p.Begin(now); id != 0 {
					p.Done(id, at(1, router.LSN(100+i)))
				}
				floor, state := f.Resolve(p)
				if c := b.Pick(now, floor, 0); c.Host >= 0 && state != router.FloorUnknown {
					b.Start(c.Host)
					budget.Earn()
					b.Done(now, c.Host, time.Millisecond, r.IntN(10) == 0)
				}
				b.Observe(now, r.IntN(3), at(1, router.LSN(100+i)))
				lag.NotePrimary(now, at(1, router.LSN(100+i)))
				if learned.Add(r.Uint64N(10_000)) {
					budget.Spend(now)
				}
				class := router.Class{Fingerprint: r.Uint64N(10_000), Reason: router.ReasonSafeRead}
				learned.Apply(&class)
				if i%500 == 0 {
					p.Reset(at(uint32(i/500), 0))
					b.SetUp(now, r.IntN(3), r.IntN(4) > 0)
				}
			}
		})
	}
	all.Wait()
	for host := range 3 {
		if s := b.State(start, host); s.InFlight != 0 {
			t.Errorf("host %d: %d in flight", host, s.InFlight)
		}
	}
}
