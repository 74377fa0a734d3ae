package router

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/penstock/penstock/internal/catalog"
)

// answered takes what a host has said: positions, and perhaps another role.
func (c *Cluster) answered(m *monitor, o Observation) {
	at := Position{System: o.System, Timeline: o.Timeline, LSN: o.LSN}
	c.mu.Lock()
	old := c.seen[m.index]
	c.seen[m.index] = o
	v := c.view.Load()
	if !old.OK || old.InRecovery != o.InRecovery || old.Timeline != o.Timeline || old.System != o.System {
		v = c.rule(time.Now())
	}
	if o.InRecovery && v.Primary != m.index && v.Ruling.Replicas&(1<<m.index) != 0 && !m.suspected.Load() {
		c.balancer.SetUp(o.At, m.index, true) // a suspicion of before this probe is over
	}
	primary := v.Primary == m.index && !o.InRecovery
	if o.InRecovery {
		c.balancer.Observe(o.At, m.index, at)
	}
	if m.id != 0 {
		switch {
		case m.asked == c.prober && primary:
			m.asked.Done(m.id, c.covered(m, at))
		case m.asked == m.prober && o.InRecovery:
			m.replayed(at)
		default:
			m.asked.Failed(m.id)
		}
		m.id = 0
	}
	if primary {
		c.lag.NotePrimary(o.At, Position{System: o.System, Timeline: o.Timeline, LSN: m.flushed})
		c.roles.Acknowledged(at)
	}
	c.tellProbed()
	c.mu.Unlock()
}

// tellProbed wakes those who wait for news of a host. mu is held.
func (c *Cluster) tellProbed() {
	close(c.probed)
	c.probed = make(chan struct{})
}

// covered is the position that covers what was acknowledged before a probe.
func (c *Cluster) covered(m *monitor, at Position) Position {
	if m.asked == c.prober && c.flushes.Load() && !c.async.Load() {
		at.LSN = m.flushed
	}
	return at
}

// unanswered notes that a host does not answer. The primary stays the primary
// until another one is found: that its monitor cannot ask does not mean that it
// takes no writes, and where it does not, the sessions see that for themselves.
func (c *Cluster) unanswered(m *monitor, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.view.Load().Primary == m.index {
		if refused := new(pgconn.PgError); errors.As(err, &refused) && refused.Code != "57P01" && refused.Code != "57P02" && refused.Code != "57P03" {
			return // it is there, and does not like us
		}
	} else {
		c.balancer.SetUp(time.Now(), m.index, false)
	}
	if c.seen[m.index].OK {
		c.seen[m.index].OK = false
		c.rule(time.Now())
	}
}

// rule looks at the roles anew and publishes the view. mu is held.
func (c *Cluster) rule(now time.Time) *View {
	old := c.view.Load()
	ruling := c.roles.Rule(c.seen)
	v := *old
	v.Ruling = ruling
	switch {
	case ruling.Primary >= 0:
		v.Primary = ruling.Primary
	case ruling.Alarm == AlarmSplitBrain || old.Primary >= 0 && c.seen[old.Primary].OK:
		v.Primary = -1 // it says itself that it is none, or nobody can tell
	}
	for i := range c.hosts {
		c.balancer.SetUp(now, i, i != v.Primary && c.seen[i].OK && ruling.Replicas&(1<<i) != 0)
	}
	if ruling.Alarm != old.Ruling.Alarm && ruling.Alarm != AlarmNone {
		c.log.Warn("roles", "alarm", ruling.Alarm.String(), "primary", v.Primary, "lost_wal_bytes", ruling.LostWAL)
	}
	if ruling.Primary >= 0 && ruling.Changed {
		c.log.Info("primary", "host", c.hosts[ruling.Primary].host.Name, "timeline", ruling.Position.Timeline)
		c.prober.Reset(ruling.Position)
		c.snapshotStale()
	}
	if v.Primary != old.Primary && v.Primary >= 0 && old.Primary >= 0 || ruling.Changed && v.Primary >= 0 {
		v.Held = false
		c.done.Go(func() { c.announce(v.Primary) })
	}
	c.publish(&v)
	return &v
}

// announce says who the primary is now.
func (c *Cluster) announce(primary int) { c.changed(primary) }

// publish makes a view known to whoever waits. mu is held.
func (c *Cluster) publish(v *View) {
	c.view.Store(v)
	close(c.wake)
	c.wake = make(chan struct{})
}

func (c *Cluster) snapshotStale() {
	c.flushes.Store(false) // the new primary may have other settings
	c.SchemaChanged()
}

// catalogEvery is how often the catalog's signature is compared.
const catalogEvery = 500 * time.Millisecond

// readCatalog keeps the snapshot of the database's names, until ctx ends.
func (c *Cluster) readCatalog(ctx context.Context) {
	var conn *pgconn.PgConn
	from := -1
	defer func() {
		if conn != nil {
			_ = conn.Close(context.WithoutCancel(ctx))
		}
	}()
	ticker := time.NewTicker(catalogEvery)
	defer ticker.Stop()
	for {
		primary := max(c.view.Load().Primary, 0)
		if conn != nil && from != primary {
			_ = conn.Close(ctx)
			conn = nil
		}
		if conn == nil {
			conn, from = c.connectForCatalog(ctx, primary), primary
		}
		if conn != nil {
			if err := c.refresh(ctx, conn); err != nil && ctx.Err() == nil {
				c.log.Warn("catalog", "error", err)
				_ = conn.Close(ctx)
				conn = nil
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-c.reload:
		case <-ticker.C:
		}
	}
}

func (c *Cluster) connectForCatalog(ctx context.Context, host int) *pgconn.PgConn {
	ctx, stop := context.WithTimeout(ctx, 5*time.Second)
	defer stop()
	conn, err := c.hosts[host].host.Connect(ctx)
	if err != nil {
		return nil // its monitor says why
	}
	return conn
}

// refresh reads the catalog if it has changed.
func (c *Cluster) refresh(ctx context.Context, conn *pgconn.PgConn) error {
	ctx, stop := context.WithTimeout(ctx, 30*time.Second)
	defer stop()
	if err := c.askAsync(ctx, conn); err != nil {
		return err
	}
	signature, err := catalog.Signature(ctx, conn)
	if err != nil || signature == c.snapshot.Load().Signature() && c.snapshot.Load() != nil {
		return err
	}
	snapshot, err := catalog.Load(ctx, conn)
	if err != nil {
		return err
	}
	c.snapshot.Store(snapshot)
	c.learned.Forget()
	c.generation.Add(1)
	return nil
}
