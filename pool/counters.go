package pool

import (
	"sync/atomic"
	"time"

	"github.com/penstock/penstock/internal/stats"
)

// counter names one of a connection's counters.
type counter int

const (
	assignments counter = iota
	xacts
	queries
	received // bytes from clients
	sent     // bytes to clients
	xactTime
	queryTime
	waitTime
	clientParses
	serverParses
	binds
	counters
)

// Counters are one connection's. They have one writer at a time, the owner of
// the connection, so that counting needs no locked instruction; anybody reads.
type Counters struct{ v [counters]atomic.Int64 }

func (c *Counters) add(k counter, n int64) { c.v[k].Store(c.v[k].Load() + n) }

// Assigned counts a link.
func (c *Counters) Assigned() { c.add(assignments, 1) }

// Waited counts the time that a client has waited for the link.
func (c *Counters) Waited(d time.Duration) { c.add(waitTime, int64(d)) }

// Query counts a finished statement, or pipeline up to its Sync.
func (c *Counters) Query(d time.Duration) {
	c.add(queries, 1)
	c.add(queryTime, int64(d))
}

// Xact counts a finished transaction.
func (c *Counters) Xact(d time.Duration) {
	c.add(xacts, 1)
	c.add(xactTime, int64(d))
}

// Received counts n bytes of a client.
func (c *Counters) Received(n int) { c.add(received, int64(n)) }

// Sent counts n bytes to a client.
func (c *Counters) Sent(n int) { c.add(sent, int64(n)) }

// Parsed counts a Parse of a client, and whether it had to go to the server.
func (c *Counters) Parsed(client, server bool) {
	if client {
		c.add(clientParses, 1)
	}
	if server {
		c.add(serverParses, 1)
	}
}

// Bound counts a Bind.
func (c *Counters) Bound() { c.add(binds, 1) }

// fold adds o to c, for connections that are closed. Pool.mu is held.
func (c *Counters) fold(o *Counters) {
	for i := range c.v {
		c.v[i].Add(o.v[i].Load())
	}
}

// Totals returns the counters as the console shows them.
func (c *Counters) Totals() stats.Totals {
	v := func(k counter) int64 { return c.v[k].Load() }
	return stats.Totals{
		ServerAssignments: v(assignments), Xacts: v(xacts), Queries: v(queries),
		Received: v(received), Sent: v(sent),
		XactTime: time.Duration(v(xactTime)), QueryTime: time.Duration(v(queryTime)), WaitTime: time.Duration(v(waitTime)),
		ClientParses: v(clientParses), ServerParses: v(serverParses), Binds: v(binds),
	}
}

// Totals returns the pool's counters, over all connections it ever had.
func (p *Pool) Totals() stats.Totals {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.gone.Totals()
	for c := range p.conns {
		t = t.Add(c.Counters.Totals())
	}
	return t
}

// Snapshot is a pool as SHOW POOLS shows it.
type Snapshot struct {
	Key                               Key
	Config                            *Config
	Waiting                           int
	Active, ActiveCancel              int
	BeingCanceled, Idle, Login, Total int
	MaxWait                           time.Duration
	Paused                            bool
}

// Snapshot returns the pool's lists in numbers.
func (p *Pool) Snapshot() Snapshot {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Snapshot{
		Key: p.key, Config: p.Config(), Waiting: p.waiters.n, Active: p.count[connLinked],
		BeingCanceled: p.count[connBeingCanceled], Idle: p.count[connIdle], Login: p.dialing,
		Total: p.total(), Paused: p.paused,
	}
	for c := range p.conns {
		if c.state == connLinked && c.cancels > 0 {
			s.ActiveCancel++
			s.Active--
		}
	}
	if w := p.waiters.first; w != nil {
		s.MaxWait = time.Since(w.since)
	}
	return s
}
