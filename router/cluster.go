package router

import (
	"context"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/penstock/penstock/internal/catalog"
	"github.com/penstock/penstock/internal/sqlscan"
)

// Consistency is what a client sees of writes.
type Consistency uint8

// The levels of consistency.
const (
	ConsistencySession  Consistency = iota // its own, and nothing older than what it has seen
	ConsistencyEventual                    // whatever the replica has
	ConsistencyStrong                      // everybody's, up to the moment the read came
)

// ParseConsistency reads a level as the configuration has it.
func ParseConsistency(s string) Consistency {
	switch s {
	case "eventual":
		return ConsistencyEventual
	case "strong":
		return ConsistencyStrong
	}
	return ConsistencySession
}

// Host is a server of a cluster. The first is the primary as configured; which
// one is the primary now, the hosts themselves say.
type Host struct {
	Name    string // for people
	Weight  float64
	Connect func(ctx context.Context) (*pgconn.PgConn, error)
}

// Settings are what may change while a cluster runs.
type Settings struct {
	Consistency Consistency
	MaxLag      time.Duration
	CausalWait  time.Duration
	Rules       *Rules
	TrustHints  bool
	Shadow      bool // decide and count, but send everything to the primary
}

// ClusterOptions is what a Cluster is made of.
type ClusterOptions struct {
	Hosts    []Host
	Settings Settings
	Log      *slog.Logger

	// Changed is called when the primary is another than before: whatever is
	// open for writing on the others is to be closed.
	Changed func(primary int)
	// Busy returns the sessions in a transaction and those running a single
	// statement on a host that they took for the primary.
	Busy func(host int) (open, running int)
	// Back is called when a host answers again: it may be connected to.
	Back func(host int)
	// End ends the sessions in a transaction there.
	End func(host int)
}

// Cluster is one database on its hosts: it judges texts, decides where they
// run, watches the hosts, and knows how far each session must not be sent back.
// Its methods may be called by any goroutine; those that wait say so.
type Cluster struct {
	// Immutable after NewCluster.
	log      *slog.Logger
	hosts    []*monitor
	balancer *Balancer
	prober   *Prober
	lag      *Lag
	fallback *Budget
	retries  *Budget
	learned  *Learned
	texts    *sqlscan.Cache[Class]
	seed     maphash.Seed
	scanners sync.Pool
	busy     func(host int) (open, running int)
	end      func(host int)
	changed  func(primary int)
	back     func(host int)
	stop     context.CancelFunc
	done     sync.WaitGroup
	reload   chan struct{} // wakes the catalog's goroutine

	settings   atomic.Pointer[Settings]
	options    atomic.Pointer[Options]
	snapshot   atomic.Pointer[catalog.Snapshot]
	generation atomic.Uint64
	view       atomic.Pointer[View]
	door       [4096]atomic.Uint32        // hashes of texts seen lately
	counts     [2][reasonEnd]atomic.Int64 // by target: primary, replica
	healed     [4]atomic.Int64            // by RetryAction
	closed     atomic.Bool
	reads      atomic.Uint64
	async      atomic.Bool  // commits may be acknowledged before they are flushed
	flushes    atomic.Bool  // the primary was asked, and does not do so by itself
	waiting    atomic.Int32 // sessions that wait for a probe
	active     atomic.Int64 // when a session last cared, Unix nanoseconds

	// mu guards the fields below. It is a leaf but for those of the pure parts.
	mu         sync.Mutex
	seen       []Observation
	roles      *Roles
	switchover *Switchover
	wake       chan struct{} // closed and replaced when the view changes
	probed     chan struct{} // closed and replaced when a probe is answered
}

// View is who is what at one moment.
type View struct {
	Primary int // -1: none
	Held    bool
	Ruling  Ruling
	Switch  SwitchoverState
}

// NewCluster starts watching. Until the hosts have said more, the first of them
// is the primary and there is no replica.
func NewCluster(o ClusterOptions) *Cluster {
	ctx, stop := context.WithCancel(context.Background())
	c := &Cluster{
		log: o.Log, prober: NewProber(time.Millisecond), lag: new(Lag), learned: new(Learned),
		fallback: NewBudget(0.25, 20, 200), retries: NewBudget(0.2, 50, 1000),
		texts: sqlscan.NewCache[Class](textBytes), seed: maphash.MakeSeed(), busy: o.Busy, end: o.End, changed: o.Changed, back: o.Back, stop: stop,
		reload: make(chan struct{}, 1), seen: make([]Observation, len(o.Hosts)), roles: NewRoles(0),
		switchover: NewSwitchover(SwitchoverOptions{Window: switchoverWindow}),
		wake:       make(chan struct{}), probed: make(chan struct{}),
	}
	c.scanners.New = func() any { return new(sqlscan.Scanner) }
	weights := make([]float64, len(o.Hosts))
	for i, h := range o.Hosts {
		weights[i] = h.Weight
		c.seen[i].Host = i
		c.hosts = append(c.hosts, newMonitor(c, i, h))
	}
	c.balancer = NewBalancer(BalanceOptions{MaxLag: o.Settings.MaxLag}, weights, c.lag, rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())))
	c.view.Store(&View{})
	c.Apply(o.Settings)
	for _, m := range c.hosts {
		c.done.Go(func() { m.watch(ctx) })
	}
	c.done.Go(func() { c.readCatalog(ctx) })
	return c
}

// textBytes is the size of the cache of texts.
const textBytes = 16 << 20

// switchoverWindow is how long a planned switchover may take until writes are
// given back to the old primary.
const switchoverWindow = time.Minute

// Apply puts new settings into force, for the next decision.
func (c *Cluster) Apply(s Settings) {
	c.settings.Store(&s)
	c.options.Store(&Options{Enabled: true, Replicas: len(c.hosts) - 1, TrustHints: s.TrustHints, Rules: s.Rules})
	c.generation.Add(1)
}

// Closed says whether the cluster was closed: another has taken its place.
func (c *Cluster) Closed() bool { return c.closed.Load() }

// Close stops watching and waits for that.
func (c *Cluster) Close() {
	c.closed.Store(true)
	c.stop()
	c.done.Wait()
}

// Generation changes when judgements that were made before are void.
func (c *Cluster) Generation() uint64 { return c.generation.Load() }

// RulesFor returns the rules that a session matches.
func (c *Cluster) RulesFor(user, applicationName string) RuleSet {
	return c.settings.Load().Rules.ForSession(user, applicationName)
}

// Classify judges a text. It scans it only the first time. The text is not kept.
func (c *Cluster) Classify(text string) Class {
	generation := c.generation.Load()
	if class, ok := c.texts.Lookup(text, generation); ok {
		return class
	}
	s, _ := c.scanners.Get().(*sqlscan.Scanner)
	class := Classify(s.Scan(text, sqlscan.Options{}), c.snapshot.Load(), c.settings.Load().Rules)
	c.scanners.Put(s)
	c.learned.Apply(&class)
	if c.seenBefore(text) {
		c.texts.Store(text, generation, class)
	}
	return class
}

// seenBefore says whether a text has been seen lately, or one with the same
// hash. Texts with constants in them are seen once; to keep them costs more than
// to scan them again.
func (c *Cluster) seenBefore(text string) bool {
	hash := maphash.String(c.seed, text)
	slot := &c.door[hash%uint64(len(c.door))]
	return slot.Swap(uint32(hash>>32)) == uint32(hash>>32)
}

// Decide says where a statement goes. It counts nothing; see Count.
func (c *Cluster) Decide(class *Class, s *Session) Decision {
	d := Decide(Input{Class: class, Session: s, Options: c.options.Load()})
	if d.Target == TargetReplica && c.settings.Load().Shadow {
		return Decision{Target: TargetPrimary, Reason: ReasonShadow, Hazard: d.Reason}
	}
	return d
}

// Count counts a decision that was carried out.
func (c *Cluster) Count(d *Decision) {
	replica := 0
	if d.Target == TargetReplica {
		replica = 1
	}
	c.counts[replica][d.Reason].Add(1)
}

// Counts returns the decisions for a reason: primary and replica.
func (c *Cluster) Counts(r Reason) (primary, replica int64) {
	return c.counts[0][r].Load(), c.counts[1][r].Load()
}

// Healed returns how many statements were run again in a way.
func (c *Cluster) Healed(a RetryAction) int64 { return c.healed[a].Load() }

// Heal says whether a statement that has failed is to be run again, and where,
// and learns from it.
func (c *Cluster) Heal(f Failure, host int, fingerprint uint64) RetryAction {
	f.BehindDDL = true // a name that the catalog knows and the replica does not
	action, learn := Retry(f)
	if !f.OnReplica && f.Tries < mostOnPrimary && (f.SQLState == "" || f.SQLState == "57P01" || f.SQLState == "57P02" || f.SQLState == "57P03") {
		action = RetryOtherReplica // a read that the lost primary did not answer
	}
	if learn && c.learned.Add(fingerprint) {
		c.generation.Add(1)
	}
	if f.SQLState == "" || f.SQLState == "57P01" || f.SQLState == "57P02" || f.SQLState == "57P03" {
		c.Suspect(host)
	}
	if action != RetryNone && !c.retries.Spend(time.Now()) {
		action = RetryNone
	}
	c.healed[action].Add(1)
	return action
}

// mostOnPrimary is how often a read is run again that lost its primary: all of
// its idle connections may be as dead as the first.
const mostOnPrimary = 30

// Suspect has a host asked at once how it is; a replica gets no reads until it
// has answered.
func (c *Cluster) Suspect(host int) {
	if c.view.Load().Primary != host {
		c.balancer.SetUp(time.Now(), host, false)
	}
	c.hosts[host].suspect()
}

// Observe notes what a server connection reports of its server's role.
func (c *Cluster) Observe(host int, standby bool) {
	if (c.view.Load().Primary == host) == standby {
		c.hosts[host].suspect()
	}
}

// SchemaChanged has the catalog read again.
func (c *Cluster) SchemaChanged() {
	select {
	case c.reload <- struct{}{}:
	default:
	}
}

// View returns who is what now.
func (c *Cluster) View() *View { return c.view.Load() }

// Primary returns the host that takes writes, false while none does.
func (c *Cluster) Primary() (host int, ok bool) {
	v := c.view.Load()
	return v.Primary, v.Primary >= 0 && !v.Held
}

// Hosts returns the number of hosts.
func (c *Cluster) Hosts() int { return len(c.hosts) }

// HostName returns a host's name for people.
func (c *Cluster) HostName(host int) string { return c.hosts[host].host.Name }

// HostState returns what is known about a host.
func (c *Cluster) HostState(host int) (Observation, HostState) {
	c.mu.Lock()
	o := c.seen[host]
	c.mu.Unlock()
	return o, c.balancer.State(time.Now(), host)
}

// AwaitChange waits until the view changes, at most for so long.
func (c *Cluster) AwaitChange(limit time.Duration) {
	c.mu.Lock()
	wake := c.wake
	c.mu.Unlock()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-wake:
	case <-timer.C:
	}
}

// AwaitPrimary waits until a host takes writes, at most until the deadline if
// limited, or until gone says that nobody waits any more.
func (c *Cluster) AwaitPrimary(deadline time.Time, limited bool, gone func() bool) (host int, ok bool) {
	for {
		if host, ok := c.Primary(); ok {
			return host, true
		}
		if limited && time.Now().After(deadline) || gone() {
			return -1, false
		}
		c.mu.Lock()
		wake := c.wake
		c.mu.Unlock()
		if _, ok := c.Primary(); ok {
			continue
		}
		timer := time.NewTimer(50 * time.Millisecond)
		select {
		case <-wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}
