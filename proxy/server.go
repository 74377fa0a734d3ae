package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock/penstock/internal/admin"
	"github.com/penstock/penstock/internal/auth"
	"github.com/penstock/penstock/internal/config"
	"github.com/penstock/penstock/internal/pgerr"
	"github.com/penstock/penstock/internal/stats"
	"github.com/penstock/penstock/pool"
)

// Options is what a Server is made of.
type Options struct {
	Config  *config.Config
	TLS     *tls.Config // nil: clients cannot have TLS
	Users   *auth.Users
	Version string
	Log     *slog.Logger

	// Reload is called by the console's RELOAD; Stop by SHUTDOWN.
	Reload func() (report string, err error)
	Stop   func(admin.ShutdownMode)
}

// settings is what a reload replaces as a whole.
type settings struct {
	config   *config.Config
	verifier *auth.Verifier
	users    *auth.Users
	tls      *tls.Config
}

// Server accepts clients, logs them in and runs their sessions.
type Server struct {
	// Immutable after New.
	log        *slog.Logger
	version    string
	epoch      time.Time
	mock       auth.MockKey
	statements *registry
	pools      *pool.Set
	console    *admin.Console
	reload     func() (string, error)
	stop       func(admin.ShutdownMode)
	averages   *stats.Averages
	welcomes   *welcomes
	logins     *logins
	parker     *parker
	clusters   *clusters
	done       chan struct{}
	stopped    chan struct{}

	settings atomic.Pointer[settings]
	draining atomic.Bool
	schema   atomic.Uint64 // a version: raised when somebody changes a schema

	// Owned by janitor.
	swept []*session // memory of the last round

	// mu guards the fields below.
	mu        sync.Mutex
	lastID    int64
	sessions  map[int64]*session
	winding   []*session // whose clients have gone; some have a link still
	listeners map[net.Listener]struct{}
	paused    map[string]bool // databases, "" = all
	disabled  map[string]bool
	suspended bool
	accepting chan struct{} // closed while not suspended
}

// New returns a Server that has no listeners yet.
func New(o Options) (*Server, error) {
	mock, err := auth.NewMockKey(randomReader{})
	if err != nil {
		return nil, err
	}
	now := time.Now()
	s := &Server{
		log: o.Log, version: o.Version, epoch: now, mock: mock, reload: o.Reload, stop: o.Stop,
		statements: newRegistry(), pools: pool.NewSet(o.Log), averages: stats.NewAverages(stats.Period, now),
		welcomes: newWelcomes(), logins: newLogins(), parker: newParker(), clusters: newClusters(), done: make(chan struct{}), stopped: make(chan struct{}),
		sessions: map[int64]*session{}, listeners: map[net.Listener]struct{}{},
		paused: map[string]bool{}, disabled: map[string]bool{}, accepting: make(chan struct{}),
	}
	close(s.accepting)
	s.console = admin.New(tables{s}, control{s}, o.Log)
	if err := s.configure(o.Config, o.Users, o.TLS); err != nil {
		return nil, err
	}
	go s.janitor()
	go s.unpark()
	return s, nil
}

func (s *Server) configure(cfg *config.Config, users *auth.Users, tlsConfig *tls.Config) error {
	method, err := auth.ParseMethod(cfg.Auth.Method)
	if err != nil {
		return err
	}
	s.settings.Store(&settings{
		config: cfg, users: users, tls: tlsConfig,
		verifier: auth.NewVerifier(users, method, s.mock),
	})
	return nil
}

// Apply puts a new configuration into force: for logins from now on, and for
// the pools at once. Nobody is disconnected.
func (s *Server) Apply(cfg *config.Config, users *auth.Users, tlsConfig *tls.Config) error {
	if err := s.configure(cfg, users, tlsConfig); err != nil {
		return err
	}
	s.welcomes.clear()
	s.applyClusters()
	s.pools.Apply(func(k pool.Key) *pool.Config {
		c, err := s.poolConfig(k)
		if err != nil {
			return nil
		}
		return c
	})
	return nil
}

// clock is the time since the server began: cheaper to keep than a time.Time.
func (s *Server) clock() time.Duration { return time.Since(s.epoch) }

// schemaChanged notes that prepared statements may be stale.
func (s *Server) schemaChanged() { s.schema.Add(1) }

func (s *Server) preparedLimit() int {
	return max(s.settings.Load().config.Pool.PreparedStatements, 1)
}

// Serve accepts connections until the listener is closed. It returns nil then.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	s.listeners[l] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.listeners, l)
		s.mu.Unlock()
	}()
	return s.serve(l)
}

func (s *Server) serve(l net.Listener) error {
	for {
		<-s.mayAccept()
		conn, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			// Out of descriptors, most likely: others may give some back.
			s.log.Error("accept", "error", err)
			time.Sleep(50 * time.Millisecond)
			continue
		}
		go s.login(conn)
	}
}

func (s *Server) mayAccept() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepting
}

// admit gives an authenticated client a place in the table, or an error.
func (s *Server) admit(ss *session) error {
	limit := s.settings.Load().config.Listen.MaxClients
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Load() {
		return pgerr.Shutdown()
	}
	if len(s.sessions) >= limit {
		return pgerr.TooManyClients(limit)
	}
	ss.id = s.nextID()
	s.sessions[ss.id] = ss
	return nil
}

// nextID returns a number that no client has: it is also the process id in
// its BackendKeyData, which must be a positive int32. mu is held.
func (s *Server) nextID() int64 {
	for {
		s.lastID = s.lastID%0x7fffffff + 1
		if _, taken := s.sessions[s.lastID]; !taken {
			return s.lastID
		}
	}
}

func (s *Server) forget(ss *session) {
	s.mu.Lock()
	delete(s.sessions, ss.id)
	s.winding = append(s.winding, ss)
	s.mu.Unlock()
	if s.log.Enabled(context.Background(), slog.LevelDebug) {
		s.log.Debug("client disconnected", "session", ss.id, "db", ss.database, "user", ss.user)
	}
}

// all returns the sessions at this moment.
func (s *Server) all() []*session {
	return s.appendSessions(nil)
}

func (s *Server) appendSessions(list []*session) []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	list = slices.Grow(list, len(s.sessions))
	for _, ss := range s.sessions {
		list = append(list, ss)
	}
	return list
}

// Clients is the number of clients that are logged in.
func (s *Server) Clients() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// Drain accepts nobody any more and ends each session when it is outside a
// transaction. It returns at once; see Busy.
func (s *Server) Drain() {
	s.draining.Store(true)
	s.mu.Lock()
	for l := range s.listeners {
		_ = l.Close()
	}
	s.mu.Unlock()
	s.endIdle(pgerr.Shutdown())
}

// StopAccepting closes the listeners and refuses logins; sessions go on.
func (s *Server) StopAccepting() {
	s.draining.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.listeners {
		_ = l.Close()
	}
}

// endIdle ends the sessions that hold no server connection and wait for none.
func (s *Server) endIdle(e *pgerr.Error) {
	for _, ss := range s.all() {
		ss.mu.Lock()
		idle := ss.phase == phaseIdle && !ss.begun() || ss.phase == phaseActive && ss.pinned != "" && ss.link != nil && ss.link.quiet()
		ss.mu.Unlock()
		if idle {
			ss.end(e)
		}
	}
}

// Close ends everything at once.
func (s *Server) Close() {
	s.StopAccepting()
	close(s.done)
	<-s.stopped
	for _, ss := range s.all() {
		ss.end(pgerr.Shutdown())
	}
	for deadline := time.Now().Add(2 * time.Second); s.Clients() > 0 && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
	s.pools.Close()
	s.closeClusters()
}

// quiet says whether a linked connection has nothing to do. The session's mu
// is held.
func (l *link) quiet() bool { return l.replies.len() == 0 && !l.copyIn && l.conn.TxStatus == 'I' }

// janitorTick is how often time-outs are looked at.
const janitorTick = time.Second / 4

// janitor sees to what only time brings about: time-outs, and the ends of
// connections that raised no event.
func (s *Server) janitor() {
	defer close(s.stopped)
	ticker := time.NewTicker(janitorTick)
	defer ticker.Stop()
	for {
		select {
		case <-s.done:
			return
		case now := <-ticker.C:
			s.sweep(now)
		}
	}
}

func (s *Server) sweep(now time.Time) {
	s.averages.Observe(now, s.totals())
	if s.draining.Load() {
		s.endIdle(pgerr.Shutdown())
	}
	for _, ss := range s.stillWinding() {
		ss.checkTimeouts(s.clock())
	}
	s.swept = s.appendSessions(s.swept[:0])
	defer clear(s.swept)
	for _, ss := range s.swept {
		switch {
		case ss.mayPark(s.clock()):
			ss.client.Park()
		case ss.parked.Load():
		case ss.isBlocked():
			if ss.client.PeerClosed() { // nobody is in Pump to see it
				ss.stopWait(pool.ErrWaitStopped)
				ss.kill()
			}
		case ss.client.EOFPending():
			ss.client.Kick()
		}
		ss.checkTimeouts(s.clock())
	}
}

// stillWinding returns the sessions whose clients have gone and whose server
// connections are still being recycled.
func (s *Server) stillWinding() []*session {
	s.mu.Lock()
	list := s.winding
	s.winding = nil
	s.mu.Unlock()
	list = slices.DeleteFunc(list, func(ss *session) bool {
		ss.mu.Lock()
		defer ss.mu.Unlock()
		return ss.link == nil
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.winding = append(s.winding, list...)
	return list
}

// checkTimeouts ends or cancels what lasts longer than the settings allow.
func (s *session) checkTimeouts(now time.Duration) {
	cfg := s.srv.databaseConfig(s.database)
	if cfg == nil {
		return
	}
	s.mu.Lock()
	l, phase, lasted, xact := s.link, s.phase, now-s.since, now-s.xactSince
	busy := l != nil && l.replies.len() > 0
	inXact := l != nil && l.conn.TxStatus != 'I' || s.begun()
	cancel := busy && over(lasted, cfg.QueryTimeout) && phase == phaseActive
	if phase == phaseGone && busy && l.replies.ofClient() && l.replies.cycles() <= 1 {
		l.conn.Cancel() // the first may have come before the query
	}
	if cancel && l.replies.cycles() <= 1 { // see windUp
		l.conn.Cancel()
	}
	s.mu.Unlock()
	switch {
	case phase == phaseGone:
		if over(lasted, cfg.CancelWaitTimeout) && l != nil {
			l.conn.Wire().Kill()
		}
	case cancel && over(lasted, cfg.QueryTimeout+cfg.CancelWaitTimeout):
		s.end(pgerr.QueryTooLong(cfg.QueryTimeout).Fatal())
	case inXact && over(xact, cfg.TransactionTimeout):
		s.end(pgerr.TransactionTooLong(cfg.TransactionTimeout))
	case inXact && !busy && over(lasted, cfg.IdleTransactionTimeout):
		s.end(pgerr.IdleTransaction(cfg.IdleTransactionTimeout))
	case !busy && !inXact && phase != phaseWaiting && over(lasted, cfg.ClientIdleTimeout):
		s.end(pgerr.IdleClient(cfg.ClientIdleTimeout))
	}
}

// over says whether a limit, 0 for none, is exceeded.
func over(d, limit time.Duration) bool { return limit > 0 && d > limit }

// databaseConfig returns the pool settings of a database, nil if there is none.
func (s *Server) databaseConfig(name string) *config.Pool {
	if d := s.database(name); d != nil {
		return &d.Pool
	}
	return nil
}

func (s *Server) database(name string) *config.Database {
	dbs := s.settings.Load().config.Databases
	if d := dbs[name]; d != nil {
		return d
	}
	return dbs[config.Fallback]
}

// poolConfig turns the configuration of a database into that of one pool.
func (s *Server) poolConfig(k pool.Key) (*pool.Config, error) {
	d, host := s.database(k.Database), hostIndex(k)
	if d == nil || host > len(d.Replicas) {
		return nil, pgerr.UnknownDatabase(k.Database)
	}
	server, err := s.serverLogin(dsnOf(d, host), k.Database, k.User)
	if err != nil {
		return nil, fmt.Errorf("server of database %q: %w", k.Database, err)
	}
	p := d.Pool
	c := &pool.Config{
		Mode: p.Mode, Size: p.Size, MinSize: p.MinSize, ReserveSize: p.ReserveSize, ReserveAfter: p.ReserveAfter,
		MaxDatabase: p.MaxDBConnections, MaxUser: p.MaxUserConnections,
		QueryWaitTimeout: p.QueryWaitTimeout, IdleTimeout: p.IdleTimeout, Lifetime: p.Lifetime,
		ConnectTimeout: p.ConnectTimeout, CancelTimeout: p.CancelWaitTimeout,
		Dial: pool.PostgreSQL(server), DialID: dsnOf(d, host) + "\x00" + server.User + "\x00" + server.Password,
	}
	if d.Routing.Enabled && len(d.Replicas) > 0 && modeOf(p.Mode) != modeSession {
		c.Role = func(standby bool) { s.observe(k.Database, host, standby) }
	}
	return c, nil
}
