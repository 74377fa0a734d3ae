package router

import (
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

// MostHosts is how many replicas a [Balancer] can have.
const MostHosts = 64

// BalanceOptions are the numbers of a [Balancer]. Zero fields get the defaults
// in parentheses.
type BalanceOptions struct {
	MaxLag      time.Duration // (none) replicas further behind get nothing
	MaxLagBytes uint64        // (none)
	HalfLife    time.Duration // (2s) of what is known about a host's latency
	SlowStart   time.Duration // (5s) from a tenth of its share to all of it
	Errors      int           // (5) in a row that eject a host
	Outlier     float64       // (3) times the median latency that eject one
	Eject       time.Duration // (2s) the first time; doubled each time
	MaxEject    time.Duration // (30s)
}

func (o BalanceOptions) withDefaults() BalanceOptions {
	set := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	set(&o.HalfLife, 2*time.Second)
	set(&o.SlowStart, 5*time.Second)
	set(&o.Eject, 2*time.Second)
	set(&o.MaxEject, 30*time.Second)
	if o.Errors == 0 {
		o.Errors = 5
	}
	if o.Outlier == 0 {
		o.Outlier = 3
	}
	return o
}

// Balancer chooses among the replicas: of two taken by chance, that with the
// lower expected cost, latency times what is in flight, over its share.
type Balancer struct {
	options BalanceOptions
	lag     *Lag

	// Guarded by mu, a leaf lock but for lag's.
	mu      sync.Mutex
	rand    *rand.Rand
	hosts   []balanced
	typical float64 // EWMA of all hosts' latency: what a host without news is taken for
}

// balanced is what the balancer knows of a host.
type balanced struct {
	weight   float64
	up       bool
	since    time.Time // up, or readmitted; the slow start counts from here
	inFlight int

	latency  float64 // EWMA, nanoseconds
	measured time.Time
	samples  int // since the host is up or readmitted
	errors   int // in a row

	ejected   time.Time // until then
	ejections int

	replay   Position
	observed time.Time
	rate     float64 // EWMA of replay while behind, bytes a second
}

// NewBalancer makes a balancer for replicas of the given weights, 0 meaning that
// a host gets nothing. All are down until SetUp.
func NewBalancer(o BalanceOptions, weights []float64, lag *Lag, source *rand.Rand) *Balancer {
	b := &Balancer{options: o.withDefaults(), lag: lag, rand: source, hosts: make([]balanced, min(len(weights), MostHosts))}
	for i := range b.hosts {
		b.hosts[i].weight = weights[i]
	}
	return b
}

// Choice is what Pick found.
type Choice struct {
	Host   int // -1: none
	Score  float64
	Reason Reason        // why none: no-healthy-replica, replicas-lag or replicas-behind
	Wait   time.Duration // with replicas-behind: the shortest estimate until one covers the floor; < 0 unknown
	Closer int           // the replica of that estimate
}

// Pick chooses a replica that covers the floor and is not in excluded, a bit set
// by host. The caller says Start and Done about what it sends there.
func (b *Balancer) Pick(now time.Time, floor Position, excluded uint64) Choice {
	b.mu.Lock()
	defer b.mu.Unlock()
	none := Choice{Host: -1, Reason: ReasonNoHealthyReplica, Wait: -1, Closer: -1}
	// Ejected hosts are better than none at all.
	for _, desperate := range [...]bool{false, true} {
		var fit [MostHosts]uint8
		n := 0
		for i := range b.hosts {
			h := &b.hosts[i]
			if excluded&(1<<i) != 0 || !h.up || h.weight <= 0 || !desperate && now.Before(h.ejected) {
				continue
			}
			if !b.fresh(now, h) {
				none.Reason = max(none.Reason, ReasonReplicasLag)
				continue
			}
			if !h.replay.Covers(floor) {
				none.Reason = ReasonReplicasBehind
				if wait := h.wait(now, floor); wait >= 0 && (none.Wait < 0 || wait < none.Wait) {
					none.Wait, none.Closer = wait, i
				}
				continue
			}
			fit[n] = uint8(i)
			n++
		}
		if n > 0 {
			return b.better(now, fit[:n])
		}
		if none.Reason != ReasonNoHealthyReplica {
			return none // a healthy one that is behind is worth waiting for
		}
	}
	return none
}

// muchCheaper keeps chance alive among hosts that are about as good.
const muchCheaper = 1.2

// better takes two by chance and returns the cheaper. mu is held.
func (b *Balancer) better(now time.Time, fit []uint8) Choice {
	one := int(fit[0])
	if len(fit) == 1 {
		return Choice{Host: one, Score: b.cost(now, &b.hosts[one])}
	}
	i := b.rand.IntN(len(fit))
	j := b.rand.IntN(len(fit) - 1)
	if j >= i {
		j++
	}
	one, other := int(fit[i]), int(fit[j])
	cost, otherCost := b.cost(now, &b.hosts[one]), b.cost(now, &b.hosts[other])
	if otherCost*muchCheaper < cost {
		one, cost = other, otherCost
	}
	return Choice{Host: one, Score: cost}
}

// cost is the expected time of one more statement over the host's share.
// mu is held.
func (b *Balancer) cost(now time.Time, h *balanced) float64 {
	return (b.latencyOf(now, h) + 1) * float64(h.inFlight+1) / (h.weight * b.share(now, h))
}

// latencyOf is the EWMA, forgotten as time passes without news, so that a host
// that was slow is tried again. mu is held.
func (b *Balancer) latencyOf(now time.Time, h *balanced) float64 {
	if h.samples == 0 {
		return b.typical
	}
	if silent := now.Sub(h.measured); silent > b.options.HalfLife {
		forgotten := h.latency * math.Exp2(-float64(silent)/float64(b.options.HalfLife)+1)
		return max(forgotten, min(h.latency, b.typical/2))
	}
	return h.latency
}

// share grows from a tenth to 1 after a host came up. mu is held.
func (b *Balancer) share(now time.Time, h *balanced) float64 {
	up := now.Sub(h.since)
	if up >= b.options.SlowStart {
		return 1
	}
	return max(0.1, float64(up)/float64(b.options.SlowStart))
}

// fresh says whether a host is within the limits of lag; without a known lag it
// is, if there is no limit. mu is held.
func (b *Balancer) fresh(now time.Time, h *balanced) bool {
	if b.options.MaxLag == 0 && b.options.MaxLagBytes == 0 {
		return true
	}
	behind, bytes, known := b.lag.Of(now, h.replay)
	return known && (b.options.MaxLag == 0 || behind <= b.options.MaxLag) &&
		(b.options.MaxLagBytes == 0 || bytes <= b.options.MaxLagBytes)
}

// wait estimates when a host will have replayed up to floor; -1 if that cannot
// be said.
func (h *balanced) wait(now time.Time, floor Position) time.Duration {
	if !h.replay.Comparable(floor) || h.rate <= 0 {
		return -1
	}
	seconds := float64(h.replay.LSN.Behind(floor.LSN)) / h.rate
	if seconds > 3600 {
		return -1
	}
	return max(0, time.Duration(seconds*float64(time.Second))-now.Sub(h.observed))
}

// Start notes that a statement was sent to a host.
func (b *Balancer) Start(host int) {
	b.mu.Lock()
	b.hosts[host].inFlight++
	b.mu.Unlock()
}

// Done notes the end of a statement: how long it took, and whether the host
// failed it. An error that the host is not to blame for is no failure.
func (b *Balancer) Done(now time.Time, host int, took time.Duration, failed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := &b.hosts[host]
	h.inFlight = max(0, h.inFlight-1)
	if failed {
		if h.errors++; h.errors >= b.options.Errors {
			b.eject(now, host)
		}
		return
	}
	h.errors = 0
	sample := float64(took)
	if h.samples == 0 {
		h.latency = sample
	} else {
		weight := 1 - math.Exp2(-float64(now.Sub(h.measured))/float64(b.options.HalfLife))
		h.latency += (sample - h.latency) * max(weight, 0.05)
	}
	h.measured = now
	h.samples++
	if b.typical == 0 {
		b.typical = sample
	}
	b.typical += (sample - b.typical) * 0.01
	if b.outlier(now, host) {
		b.eject(now, host)
	}
}

const (
	enoughSamples = 20
	// worthEjecting: below it slowness is noise, and choosing by cost is enough.
	worthEjecting = float64(10 * time.Millisecond)
	// worthLeaving: below it a session may stay where it has read.
	worthLeaving = float64(2 * time.Millisecond)
)

// outlier says whether a host is so much slower than the others that it is
// better left alone. mu is held.
func (b *Balancer) outlier(now time.Time, host int) bool {
	h := &b.hosts[host]
	if h.samples < enoughSamples || h.latency < worthEjecting {
		return false
	}
	var others [MostHosts]float64
	n := 0
	for i := range b.hosts {
		if o := &b.hosts[i]; i != host && o.up && !now.Before(o.ejected) && o.samples >= enoughSamples {
			at := n
			for ; at > 0 && others[at-1] > o.latency; at-- {
				others[at] = others[at-1]
			}
			others[at] = o.latency
			n++
		}
	}
	return n > 0 && h.latency > b.options.Outlier*others[n/2]
}

// eject leaves a host alone for a while, unless that would leave fewer than half
// of them. mu is held.
func (b *Balancer) eject(now time.Time, host int) {
	up, ejected := 0, 0
	for i := range b.hosts {
		if b.hosts[i].up && b.hosts[i].weight > 0 {
			up++
			if now.Before(b.hosts[i].ejected) {
				ejected++
			}
		}
	}
	h := &b.hosts[host]
	if now.Before(h.ejected) || ejected+1 > up/2 {
		return
	}
	if now.Sub(h.ejected) > b.options.MaxEject {
		h.ejections = 0 // it behaved for long enough
	}
	pause := min(b.options.Eject<<min(h.ejections, 10), b.options.MaxEject)
	h.ejections++
	h.ejected = now.Add(pause)
	b.restart(h, h.ejected)
}

// restart makes a host begin anew at a time. mu is held.
func (b *Balancer) restart(h *balanced, at time.Time) {
	h.since, h.samples, h.errors, h.latency = at, 0, 0, 0
}

// SetUp notes whether a host can be reached and is a replica.
func (b *Balancer) SetUp(now time.Time, host int, up bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := &b.hosts[host]
	if up && !h.up {
		b.restart(h, now)
		h.ejected = time.Time{}
	}
	h.up = up
}

// Observe notes how far a host has replayed. Positions come from polls and from
// answers, in any order; on a timeline only progress counts.
func (b *Balancer) Observe(now time.Time, host int, at Position) {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := &b.hosts[host]
	if h.replay.Comparable(at) && at.LSN <= h.replay.LSN {
		if at.LSN == h.replay.LSN {
			h.observed = now
		}
		return
	}
	if since := now.Sub(h.observed).Seconds(); h.replay.Comparable(at) && since > 0 {
		rate := float64(h.replay.LSN.Behind(at.LSN)) / since
		if h.rate == 0 {
			h.rate = rate
		} else {
			h.rate += (rate - h.rate) * 0.3
		}
	}
	h.replay, h.observed = at, now
}

// HostState is a host as the console shows it.
type HostState struct {
	Up       bool
	Ejected  bool
	InFlight int
	Latency  time.Duration
	Score    float64
	Replay   Position
	Lag      time.Duration
	LagBytes uint64
	LagKnown bool
}

// State tells about a host.
func (b *Balancer) State(now time.Time, host int) HostState {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := &b.hosts[host]
	s := HostState{
		Up: h.up, Ejected: now.Before(h.ejected), InFlight: h.inFlight,
		Latency: time.Duration(b.latencyOf(now, h)), Score: b.cost(now, h), Replay: h.replay,
	}
	s.Lag, s.LagBytes, s.LagKnown = b.lag.Of(now, h.replay)
	return s
}

// Way is how a read gets what its floor asks for.
type Way uint8

// The ways.
const (
	WayPrimary Way = iota
	WayWait        // for Choice.Closer, as long as Choice.Wait
)

// Fallback says what to do when no replica covers the floor: wait for one if that
// is short, else go to the primary while the budget lasts, so that a lag of all
// replicas does not take the primary down; then wait, if only up to limit.
func Fallback(now time.Time, c Choice, causalWait, limit time.Duration, budget *Budget) (way Way, atMost time.Duration) {
	if c.Reason == ReasonReplicasBehind && c.Wait >= 0 && c.Wait <= causalWait {
		return WayWait, causalWait
	}
	if c.Reason != ReasonReplicasBehind || budget.Spend(now) {
		return WayPrimary, 0
	}
	return WayWait, limit
}

// Leave says whether a session is better off on another host than the one that
// it has been reading from: that is down or ejected, or much slower than another.
func (b *Balancer) Leave(now time.Time, host int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := &b.hosts[host]
	if !h.up || now.Before(h.ejected) {
		return true
	}
	if b.latencyOf(now, h) < worthLeaving {
		return false
	}
	for i := range b.hosts {
		o := &b.hosts[i]
		if i != host && o.up && o.weight > 0 && !now.Before(o.ejected) && b.cost(now, h) > b.options.Outlier*b.cost(now, o) {
			return true
		}
	}
	return false
}

// Forget drops what is known of a host's position: its server may have been
// restarted behind what it had replayed.
func (b *Balancer) Forget(host int) {
	b.mu.Lock()
	b.hosts[host].replay, b.hosts[host].rate = Position{}, 0
	b.mu.Unlock()
}
