package pool

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Key names a pool: the database as clients name it, and the user.
type Key struct{ Host, Database, User string }

func (k Key) String() string { return k.User + "@" + k.Database }

// Config is what a pool goes by. It is immutable; a reload replaces it whole.
type Config struct {
	Mode             string
	Size             int
	MinSize          int
	ReserveSize      int
	ReserveAfter     time.Duration
	MaxDatabase      int // max_db_connections, 0 = no limit
	MaxUser          int // max_user_connections, 0 = no limit
	QueryWaitTimeout time.Duration
	IdleTimeout      time.Duration
	Lifetime         time.Duration
	ConnectTimeout   time.Duration
	CancelTimeout    time.Duration
	Dial             Dialer
	DialID           string // differs when Dial leads elsewhere: open connections are then replaced

	// Role is told whether the server is a standby, as each connection reports
	// it at login and on promotion (in_hot_standby, from PostgreSQL 14 on), and
	// the connections' Vars do not hold it then. Nil: it is a setting like
	// others. It must return at once and take no lock of a pool's caller.
	Role func(standby bool)
}

// connState tells which of a pool's lists a connection is in.
type connState uint8

const (
	connIdle connState = iota
	connLinked
	connBeingCanceled // released, but a cancel request is still under way
	connClosing
	connStates
)

func (s connState) String() string {
	switch s {
	case connIdle:
		return "idle"
	case connLinked:
		return "active"
	case connBeingCanceled:
		return "being_canceled"
	case connClosing, connStates:
	}
	return "close_needed"
}

// Pool keeps the server connections of one (host, database, user). All methods
// may be called by any goroutine.
type Pool struct {
	// Immutable after newPool.
	key    Key
	limits *limits
	ids    *atomic.Uint64 // of connections, over all pools
	log    *slog.Logger

	config atomic.Pointer[Config]

	// mu guards the fields below, every Conn's fields that say so, and the
	// Waiters in the list. No I/O happens under it; limits.mu is the only lock
	// taken under it.
	mu         sync.Mutex
	conns      map[*Conn]struct{} // all but connClosing
	idle       []*Conn            // the last released is the next taken
	count      [connStates]int
	waiters    waitlist
	dialing    int
	waking     bool // the wait timer is set
	timer      *time.Timer
	generation uint64
	paused     bool
	closed     bool
	starved    bool // the last dial was refused by a limit
	backoff    backoff
	welcome    Settings // what the last new server reported at login
	gone       Counters // of connections that are closed
}

func newPool(key Key, cfg *Config, l *limits, ids *atomic.Uint64, log *slog.Logger) *Pool {
	p := &Pool{
		key: key, limits: l, ids: ids, conns: map[*Conn]struct{}{},
		log: log.With("pool", key.String()),
	}
	p.config.Store(cfg)
	return p
}

// Key returns the pool's name.
func (p *Pool) Key() Key { return p.key }

// Config returns the configuration in force.
func (p *Pool) Config() *Config { return p.config.Load() }

// TryAcquire links an idle server connection to w's sink until Release or
// Destroy. It returns nil if there is none, or if others wait.
func (p *Pool) TryAcquire(w *Waiter) *Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.takeIdle(w)
}

// takeIdle links the connection that was released last. mu is held.
func (p *Pool) takeIdle(w *Waiter) *Conn {
	if len(p.idle) == 0 || p.waiters.n > 0 || p.paused || w.refused() != nil {
		return nil
	}
	c := p.idle[len(p.idle)-1]
	p.idle = p.idle[:len(p.idle)-1]
	p.link(c, w)
	return c
}

// Acquire links a server connection to w's sink until Release or Destroy. It
// takes an idle connection or waits its turn, first come first served. It
// fails with *WaitTimeoutError, *ConnectError, or the error given to StopWait.
func (p *Pool) Acquire(w *Waiter) (*Conn, error) {
	p.mu.Lock()
	if c := p.takeIdle(w); c != nil {
		p.mu.Unlock()
		return c, nil
	}
	err := w.refused()
	if err == nil {
		err = p.refusal(time.Now())
	}
	if err != nil {
		p.mu.Unlock()
		return nil, err
	}
	if w.granted == nil {
		w.granted = make(chan struct{}, 1)
	}
	w.pool, w.since = p, time.Now()
	p.waiters.push(w)
	p.grow()
	p.wake()
	p.mu.Unlock()

	<-w.granted
	return w.conn, w.err
}

// refusal is the error of a pool that cannot serve anybody now.
func (p *Pool) refusal(now time.Time) error {
	if p.closed {
		return ErrClosed
	}
	if len(p.conns) == 0 && p.dialing == 0 && !p.paused {
		return p.backoff.refusal(p.key.Database, now)
	}
	return nil
}

// StopWait ends w's wait with err. It returns false if w does not wait, or has
// just been given a connection.
func (p *Pool) StopWait(w *Waiter, err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.pool != p {
		return false
	}
	p.waiters.remove(w)
	w.grant(nil, err)
	return true
}

// link makes c the session's. mu is held; c is in no list.
func (p *Pool) link(c *Conn, w *Waiter) {
	c.sink.Store(&w.sink)
	p.setState(c, connLinked)
}

// Release gives c back: to the oldest waiter, or to the idle list. The caller
// has made sure that c has nothing outstanding and is outside a transaction,
// and does not touch c any more.
func (c *Conn) Release() {
	p := c.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.state != connLinked {
		return // closed meanwhile
	}
	c.sink.Store(nil)
	if c.cancels > 0 {
		p.setState(c, connBeingCanceled)
		return
	}
	p.handOn(c)
}

// handOn gives an unlinked connection to the oldest waiter, to the idle list,
// or closes it. mu is held.
func (p *Pool) handOn(c *Conn) {
	switch {
	case p.closed:
		p.drop(c, ErrClosed)
	case c.generation != p.generation:
		p.drop(c, ErrReconnect)
	case c.expired:
		p.drop(c, ErrLifetime)
	case p.paused:
		p.drop(c, ErrPaused)
	case p.total() > p.Config().Size+p.Config().ReserveSize:
		p.drop(c, ErrShrunk)
	case p.waiters.n > 0:
		w := p.waiters.pop()
		p.link(c, w)
		w.grant(c, nil)
	default:
		c.idle = true
		p.setState(c, connIdle)
		p.idle = append(p.idle, c)
	}
}

// Destroy closes c, which the caller has linked, instead of giving it back.
func (c *Conn) Destroy(reason error) {
	p := c.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	c.sink.Store(nil)
	p.drop(c, reason)
}

// drop takes c out of the pool and has its socket closed. mu is held.
func (p *Pool) drop(c *Conn, reason error) {
	if c.state == connClosing {
		return
	}
	if c.state == connIdle {
		p.unlist(c)
	}
	p.setState(c, connClosing)
	delete(p.conns, c)
	p.gone.fold(&c.Counters)
	p.limits.give(p.key)
	c.closeReason = reason
	c.wire.Kill()
	p.grow()
}

func (p *Pool) unlist(c *Conn) {
	for i, e := range p.idle {
		if e == c {
			p.idle = append(p.idle[:i], p.idle[i+1:]...)
			return
		}
	}
}

func (p *Pool) setState(c *Conn, s connState) {
	p.count[c.state]--
	c.state = s
	p.count[s]++
}

// add puts a new connection into the pool and to work. mu is held.
func (p *Pool) add(c *Conn) {
	p.conns[c] = struct{}{}
	p.count[connIdle]++ // handOn moves it from here
	c.state = connIdle
	p.handOn(c)
}

// wake sees to it that the first waiter's time-out and reserve are looked at
// in time. One timer serves all waiters: their deadlines are in order. mu is held.
func (p *Pool) wake() {
	if p.waking || p.waiters.first == nil {
		return
	}
	delay := p.nextWake(time.Now())
	if delay <= 0 {
		return
	}
	p.waking = true
	if p.timer == nil {
		p.timer = time.AfterFunc(delay, p.awake)
	} else {
		p.timer.Reset(delay)
	}
}

// nextWake says when the wait timer must look at the waiters next, and 0 if it
// need not.
func (p *Pool) nextWake(now time.Time) time.Duration {
	cfg := p.Config()
	next := time.Duration(0)
	earlier := func(d time.Duration) {
		d = max(d, time.Millisecond)
		if next == 0 || d < next {
			next = d
		}
	}
	waited := now.Sub(p.waiters.first.since)
	if cfg.QueryWaitTimeout > 0 {
		earlier(cfg.QueryWaitTimeout - waited)
	}
	if cfg.ReserveSize > 0 && waited < cfg.ReserveAfter {
		earlier(cfg.ReserveAfter - waited)
	}
	if wait := p.backoff.wait(now); wait > 0 {
		earlier(wait)
	}
	if p.starved {
		earlier(100 * time.Millisecond)
	}
	return next
}

// awake ends the waits that have lasted too long, and grows the pool where a
// reserve or a back-off has come due.
func (p *Pool) awake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waking = false
	cfg, now := p.Config(), time.Now()
	for w := p.waiters.first; w != nil && cfg.QueryWaitTimeout > 0; w = p.waiters.first {
		waited := now.Sub(w.since)
		if waited < cfg.QueryWaitTimeout {
			break
		}
		p.waiters.pop()
		w.grant(nil, &WaitTimeoutError{Waited: waited, Waiters: p.waiters.n, Size: cfg.Size})
	}
	p.grow()
	p.wake()
}

// grow opens connections, all at once, for the sessions that wait. mu is held.
func (p *Pool) grow() {
	if p.closed || p.paused {
		return
	}
	now := time.Now()
	if p.backoff.wait(now) > 0 {
		p.wake()
		return
	}
	need := p.waiters.n - p.dialing
	if p.backoff.failures > 0 {
		need = min(need, 1-p.dialing) // one scout after a failure
	}
	for ; need > 0 && p.total() < p.capacity(now); need-- {
		if !p.startDial() {
			return
		}
	}
}

// startDial opens one connection unless a limit forbids it. mu is held.
func (p *Pool) startDial() bool {
	cfg := p.Config()
	p.starved = !p.limits.take(p.key, cfg.MaxDatabase, cfg.MaxUser)
	if p.starved {
		return false
	}
	p.dialing++
	go p.dial(p.generation)
	return true
}

// total is the number of server connections, open and being opened.
func (p *Pool) total() int { return len(p.conns) + p.dialing }

// capacity is size, and the reserve once somebody has waited long enough.
func (p *Pool) capacity(now time.Time) int {
	cfg := p.Config()
	n := cfg.Size
	if w := p.waiters.first; w != nil && cfg.ReserveSize > 0 && now.Sub(w.since) >= cfg.ReserveAfter {
		n += cfg.ReserveSize
	}
	return n
}

// Welcome returns what a server of this pool reported at login, and false
// while none has been reached yet.
func (p *Pool) Welcome() (Settings, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.welcome, p.welcome != Settings{}
}

// apply puts a new configuration into force. Open connections are replaced as
// they become free if it leads to another server or login.
func (p *Pool) apply(cfg *Config) {
	old := p.config.Swap(cfg)
	p.mu.Lock()
	defer p.mu.Unlock()
	if old.DialID != cfg.DialID {
		p.renew()
		p.welcome = Settings{}
		p.backoff = backoff{}
	}
	for len(p.idle) > 0 && p.total() > cfg.Size+cfg.ReserveSize {
		p.drop(p.idle[0], ErrShrunk)
	}
	p.grow()
	p.wake()
}

// renew has every open connection closed when it is free.
func (p *Pool) renew() {
	p.generation++
	for len(p.idle) > 0 {
		p.drop(p.idle[0], ErrReconnect)
	}
}

// Reconnect has every open connection closed, each when it is free.
func (p *Pool) Reconnect() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.renew()
}

// Retry has a connect tried at once that waits for another time after
// failures: the server is known to be back.
func (p *Pool) Retry() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.backoff = backoff{}
	p.grow()
	p.wake()
}

// Kill closes every connection at once.
func (p *Pool) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.generation++
	for c := range p.conns {
		p.drop(c, ErrReconnect)
	}
}

// Pause gives out no connection any more until Resume; free ones are closed.
func (p *Pool) Pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paused = true
	for len(p.idle) > 0 {
		p.drop(p.idle[0], ErrPaused)
	}
}

// Resume ends a Pause.
func (p *Pool) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paused = false
	p.grow()
	p.wake()
}

// Close closes free connections now and the others when they are released;
// whoever waits is told ErrClosed.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for len(p.idle) > 0 {
		p.drop(p.idle[0], ErrClosed)
	}
	for w := p.waiters.pop(); w != nil; w = p.waiters.pop() {
		w.grant(nil, ErrClosed)
	}
}

// Quiet reports whether no session holds a connection.
func (p *Pool) Quiet() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count[connLinked] == 0 && p.count[connBeingCanceled] == 0
}

// Renewed reports whether no connection is left that was open before the last
// Reconnect.
func (p *Pool) Renewed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		if c.generation != p.generation {
			return false
		}
	}
	return true
}

// checkLists panics if a list and its counter disagree. Tests call it.
func (p *Pool) checkLists() {
	p.mu.Lock()
	defer p.mu.Unlock()
	var n [connStates]int
	for c := range p.conns {
		n[c.state]++
	}
	n[connClosing] = p.count[connClosing]
	if n != p.count || len(p.idle) != n[connIdle] || p.dialing < 0 {
		panic(fmt.Sprintf("bug: pool %s: states %v, counters %v, idle list %d, dialing %d",
			p.key, n, p.count, len(p.idle), p.dialing))
	}
}
