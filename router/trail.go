package router

import "time"

// Trail is what a session must not be sent back behind: what it has written,
// and what it has read. The zero Trail asks for nothing. It belongs to the
// session's lock.
type Trail struct {
	floor  Floor
	number uint64 // of the last read on a replica whose position is not known yet, 0 = none
	shown  uint64 // of the same read, until the primary is known to show as much, 0 = none
	epoch  uint64 // of the host's monitor at that time
	host   int
	chosen int64 // when any host might have been chosen, Unix nanoseconds
	free   bool  // any host is to be chosen from, even if that takes a probe
}

// stays is how long a session that reads without a pause stays with the replica
// that it has read: it never lets a probe pass between two reads. Then it waits for
// one, so that sessions come back to a replica that was away.
const stays = 500 * time.Millisecond

// freshEnough is how old a replica's position may be where something is asked
// of it: a server that crashed may come back behind what it had shown.
const freshEnough = 50 * time.Millisecond

// resolve returns the position to ask for, and the only host that will do
// without knowing more, -1 for any.
func (c *Cluster) resolve(t *Trail) (at Position, only int, state FloorState) {
	only = -1
	if t.number != 0 {
		m := c.hosts[t.host]
		at, ok := m.prober.Floor(t.number)
		switch {
		case m.epoch.Load() != t.epoch:
			// It was restarted: past all that the primary has is past that, too.
			t.number = 0
			t.floor.Committed(c.prober.NoteCommit())
		case ok:
			t.floor.Read(at)
			t.number = 0
		default:
			only = t.host
		}
	}
	at, state = t.floor.Resolve(c.prober)
	return at, only, state
}

// Pick chooses a replica for a read of a session, not that of the number except.
// Where none will do yet, wait says whether AwaitReplica may find one.
func (c *Cluster) Pick(t *Trail, except int) (host int, wait bool, reason Reason) {
	now := time.Now()
	c.care(now)
	set := c.settings.Load()
	if set.Consistency == ConsistencyStrong {
		t.floor.Committed(c.prober.NoteCommit())
		c.hosts[max(c.view.Load().Primary, 0)].kick()
		return -1, true, ReasonFloorUnknown
	}
	if set.Consistency == ConsistencySession && now.UnixNano()-t.chosen > int64(stays) {
		t.chosen, t.free = now.UnixNano(), true
	}
	choice := c.pick(now, t, except, set)
	wait = choice.Host < 0 && worthWaiting(choice.Reason)
	if !wait {
		t.free = false
	}
	return choice.Host, wait, choice.Reason
}

// LoginHost returns a host to ask what a new client is to be told: the primary,
// or any replica while there is none.
func (c *Cluster) LoginHost() int {
	host, ok := c.Primary()
	if ok && c.answers(host) {
		return host
	}
	if replica := c.balancer.Pick(time.Now(), Position{}, 0).Host; replica >= 0 {
		return replica
	}
	return max(host, 0)
}

// Knows says whether a host has been asked since a connection to it was opened:
// what is known of its position is then of the server that the connection leads
// to. If not it is asked.
func (c *Cluster) Knows(host int, opened time.Time) bool {
	m := c.hosts[host]
	if m.last.Load() >= opened.UnixNano() || c.settings.Load().Consistency == ConsistencyEventual {
		return true
	}
	m.kick()
	return false
}

// answers says whether a host has answered its last probe.
func (c *Cluster) answers(host int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen[host].OK
}

// care notes that somebody wants to know how far the replicas are. The first
// after a while has them asked at once.
func (c *Cluster) care(now time.Time) {
	if last := c.active.Swap(now.UnixNano()); now.UnixNano()-last > int64(time.Second) {
		c.kickAll()
	}
}

func worthWaiting(r Reason) bool { return r == ReasonFloorUnknown || r == ReasonReplicasBehind }

func (c *Cluster) pick(now time.Time, t *Trail, except int, set *Settings) Choice {
	var excluded uint64
	if except >= 0 {
		excluded = 1 << except
	}
	if set.Consistency == ConsistencyEventual {
		return c.balancer.Pick(now, Position{}, excluded)
	}
	floor, only, state := c.resolve(t)
	if only >= 0 && c.balancer.Leave(now, only) && c.answers(max(c.view.Load().Primary, 0)) {
		// Whatever it has shown, the primary has flushed before, and can say so.
		t.number = 0
		t.floor.Committed(c.prober.NoteCommit())
		only, state = -1, FloorUnknown
	}
	if state == FloorUnknown {
		return Choice{Host: -1, Reason: ReasonFloorUnknown, Wait: -1}
	}
	if only >= 0 && t.free {
		return Choice{Host: -1, Reason: ReasonReplicasBehind, Wait: -1}
	}
	if only >= 0 {
		excluded |= ^(uint64(1) << only)
	}
	choice := c.balancer.Pick(now, floor, excluded)
	if choice.Host >= 0 && (state != FloorNone || only >= 0) && !c.hosts[choice.Host].fresh(now) {
		return Choice{Host: -1, Reason: ReasonReplicasBehind, Wait: -1}
	}
	if choice.Host < 0 && (only >= 0 || choice.Reason == ReasonReplicasLag && !c.allFresh(now)) {
		choice.Reason = ReasonReplicasBehind // another one may do when more is known
	}
	return choice
}

// allFresh says whether the positions of all replicas that answer are young.
func (c *Cluster) allFresh(now time.Time) bool {
	v := c.view.Load()
	for i, m := range c.hosts {
		if v.Ruling.Replicas&(1<<i) != 0 && i != v.Primary && !m.fresh(now) {
			return false
		}
	}
	return true
}

// AwaitReplica waits until a replica has what a session asks for: causal_wait,
// and longer only where the primary has enough to do already.
func (c *Cluster) AwaitReplica(t *Trail, except int) (host int, reason Reason) {
	c.waiting.Add(1)
	defer c.waiting.Add(-1)
	began := time.Now()
	set := c.settings.Load()
	timer := time.NewTimer(set.CausalWait)
	defer timer.Stop()
	for now := began; ; now = time.Now() {
		c.mu.Lock()
		probed := c.probed
		c.mu.Unlock()
		choice := c.pick(now, t, except, set)
		if choice.Host >= 0 || !worthWaiting(choice.Reason) {
			return choice.Host, choice.Reason
		}
		waited := now.Sub(began)
		if t.free && waited >= min(set.CausalWait, mostFree) {
			t.free = false // it stays where it is
			continue
		}
		if enough := waited >= set.CausalWait+mostWait; enough || waited >= set.CausalWait && c.primaryShows(t) && c.fallback.Spend(now) {
			return -1, choice.Reason
		}
		c.kickAll()
		if waited >= set.CausalWait {
			timer.Reset(5 * time.Millisecond)
		} else {
			timer.Reset(set.CausalWait - waited)
		}
		select {
		case <-probed:
		case <-timer.C:
		}
	}
}

// mostFree bounds the wait for a choice among all replicas.
const mostFree = 3 * time.Millisecond

// mostWait bounds the wait of a read that the primary should not have to answer.
const mostWait = 100 * time.Millisecond

// kickAll has every host asked as soon as it may be.
func (c *Cluster) kickAll() {
	for _, m := range c.hosts {
		m.kick()
	}
}

// Start notes that a read goes to a replica.
func (c *Cluster) Start(host int) {
	c.balancer.Start(host)
	if c.reads.Add(1)%earnedAtOnce == 0 {
		c.retries.EarnMany(earnedAtOnce)
		c.fallback.EarnMany(earnedAtOnce)
	}
}

// earnedAtOnce is how many reads are noted in the budgets together.
const earnedAtOnce = 16

// Finish notes the end of what Start has begun: how long the server took, or
// that it has failed.
func (c *Cluster) Finish(host int, took time.Duration, failed bool) {
	c.balancer.Done(time.Now(), host, took, failed)
}

// ReadAt notes that a session has been answered by a replica.
func (c *Cluster) ReadAt(t *Trail, host int) {
	m := c.hosts[host]
	t.free = false
	if t.chosen == 0 {
		t.chosen = time.Now().UnixNano()
	}
	t.host, t.epoch, t.number, t.shown = host, m.epoch.Load(), m.prober.NoteCommit(), m.shown.NoteCommit()
}

// Shown says whether a read on the primary may follow what a session has read
// on a replica. If not, AwaitShown waits until it may.
func (c *Cluster) Shown(t *Trail) bool {
	return c.settings.Load().Consistency == ConsistencyEventual || c.primaryShows(t)
}

// NeedNotShow has a session's next read on the primary wait no more: AwaitShown
// has done so.
func (t *Trail) NeedNotShow() { t.shown = 0 }

// AwaitShown waits until the primary shows what a session has read on a replica.
// Should that take longer than a commit does, the read goes on.
func (c *Cluster) AwaitShown(t *Trail) {
	c.waiting.Add(1)
	defer c.waiting.Add(-1)
	timer := time.NewTimer(mostWait)
	defer timer.Stop()
	for {
		c.mu.Lock()
		probed := c.probed
		c.mu.Unlock()
		if c.primaryShows(t) {
			return
		}
		c.hosts[t.host].kick()
		select {
		case <-probed:
		case <-timer.C:
			return
		}
	}
}

// primaryShows says whether the primary shows what a session has read on a
// replica. It has the replica's monitor find out if it does not know.
func (c *Cluster) primaryShows(t *Trail) bool {
	if t.shown == 0 {
		return true
	}
	m := c.hosts[t.host]
	_, known := m.shown.Floor(t.shown)
	if known || t.host == c.view.Load().Primary || m.epoch.Load() != t.epoch || !c.answers(t.host) {
		t.shown = 0 // or there is nobody left to ask
		return true
	}
	m.verify.Store(true)
	return false
}

// DoneAt notes that a session has been answered by the primary, outside of a
// transaction, and that it may have written.
func (c *Cluster) DoneAt(t *Trail, host int, wrote bool) {
	t.free = false
	t.floor.Committed(c.prober.NoteCommit())
	now := time.Now()
	if wrote {
		c.care(now)
	}
	if m := c.hosts[host]; wrote || now.UnixNano()-m.last.Load() > int64(5*time.Millisecond) {
		m.kick() // should it be lost, what was not asked before nobody will know
	}
}
