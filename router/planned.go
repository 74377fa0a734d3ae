package router

import (
	"context"
	"time"
)

// SwitchOver holds what would write, waits for what is open, and returns when
// nothing runs on the primary any more: it may be stopped then and a replica
// promoted. What is held goes on when a new primary is found, or on the old one
// when that takes too long. Reads on replicas go on all the time. It waits;
// report is told each step.
func (c *Cluster) SwitchOver(ctx context.Context, report func(SwitchoverState)) SwitchoverOutcome {
	c.mu.Lock()
	from := c.view.Load().Primary
	started := from >= 0 && c.switchover.Start(time.Now())
	c.mu.Unlock()
	if !started {
		return SwitchoverNoPrimary
	}
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	state := SwitchoverServing
	for {
		orders, outcome := c.stepOver(from)
		if orders.State != state {
			state = orders.State
			report(state)
		}
		if orders.CancelOpen {
			c.end(from)
		}
		if orders.Promote {
			c.done.Go(func() { c.finishOver(from) })
			return SwitchoverPending
		}
		if state == SwitchoverServing || state == SwitchoverReleasing {
			return outcome
		}
		select {
		case <-ctx.Done():
			c.done.Go(func() { c.finishOver(from) })
			return SwitchoverPending
		case <-ticker.C:
		}
	}
}

// finishOver sees a switchover through when its command has returned.
func (c *Cluster) finishOver(from int) {
	for {
		orders, outcome := c.stepOver(from)
		if c.Closed() || orders.State == SwitchoverServing || orders.State == SwitchoverReleasing {
			c.log.Info("switchover", "outcome", int(outcome), "primary", c.view.Load().Primary)
			return
		}
		c.AwaitChange(5 * time.Millisecond)
	}
}

// stepOver moves a switchover on and publishes whether writes are held.
func (c *Cluster) stepOver(from int) (SwitchoverOrders, SwitchoverOutcome) {
	open, running := c.busy(from)
	c.mu.Lock()
	defer c.mu.Unlock()
	v := *c.view.Load()
	orders := c.switchover.Step(time.Now(), SwitchoverFacts{
		Open: open, Running: running,
		Promoted: v.Primary >= 0 && v.Primary != from,
		Same:     v.Primary == from && c.seen[from].OK && !c.seen[from].InRecovery,
	})
	v.Held, v.Switch = orders.HoldTransactions || orders.HoldSingles, orders.State
	if old := c.view.Load(); v.Held != old.Held || v.Switch != old.Switch {
		c.publish(&v)
	}
	return orders, orders.Outcome
}
