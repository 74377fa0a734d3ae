package proxy

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/penstock/penstock/internal/sqlscan"
	"github.com/penstock/penstock/internal/wire"
	"github.com/penstock/penstock/pool"
	"github.com/penstock/penstock/router"
)

// link is what the proxy knows of one server connection. It lives as long as
// the connection, and goes with it from session to session.
type link struct {
	// Immutable after linkOf.
	conn *pool.Conn

	// writing is held while bytes go to the server. It is taken under the
	// session's mu, so that the order of the queue is the order of the wire.
	writing sync.Mutex
	in      []byte // scratch: what goes to the server where it is not verbatim

	// Guarded by mu of the session that has it linked.
	replies   replies
	copyIn    bool
	open      bool // extended messages have been sent and no Sync behind them
	deaf      bool // after an error the server discards until a Sync that is still to come
	mixed     bool // a Query came in the middle of an extended batch
	prepared  prepared
	unnamed   slot // the server's; nil: unknown or none
	bound     boundPortal
	prefix    []byte // settings to send in front of the next message
	announce  []byte // ParameterStatus frames due to the client
	changes   changes
	repair    repair
	restore   restore
	committed bool     // a COMMIT is done, and its ReadyForQuery still to come
	ddl       bool     // the transaction has changed the schema
	rolled    bool     // recycling has sent ROLLBACK
	taken     []string // statements on the server under clients' names, to be closed
	attempt   attempt
	known     pool.Settings // what the client knew when it was linked
	host      int           // of the session's cluster
	replica   bool          // it was chosen as a replica
	took      time.Duration // by the last cycle there, 0: none is over
	writes    bool          // what is sent may write
	begun     bool          // a BEGIN of the session's was sent in front of its first statement
	began     string        // its text
	portals   bool          // there are portals with names

	// Owned by the connection's readLoop, under the same mu.
	remain int    // bytes of a large frame still to come
	drop   bool   // they are not for the client
	fatal  bool   // the server has said FATAL: it will close
	out    []byte // scratch: what goes to the client where it is not verbatim
}

// boundPortal remembers what the last Bind bound, for the Execute behind it.
type boundPortal struct {
	portal string
	effect sqlscan.Effect
	known  bool
}

// changes are the settings that a transaction may have changed on its server
// connection without the server having reported it.
type changes struct {
	names    []string // settings to ask the server about when the transaction is over
	asking   bool     // a SHOW of names[0] is under way
	answer   string
	answered bool
}

// linkOf returns the link of a connection, made at its first use.
func linkOf(c *pool.Conn) *link {
	if l, ok := c.Attached.(*link); ok {
		return l
	}
	l := &link{conn: c}
	c.Attached = l
	return l
}

// acquire links a server connection where there is one host to link to, or
// where only the primary will do. It is entered with mu held and returns with
// it held, or fails with mu not held. Only run calls it.
func (s *session) acquire() (*link, error) {
	if s.route == nil {
		l, err := s.acquireFrom(s.pool)
		if err == nil {
			s.match(l)
		}
		return l, err
	}
	l, err := s.acquireFor(&router.Decision{Target: router.TargetPrimary, Reason: router.ReasonNotUnderstood})
	if err == nil {
		l.writes = true
		s.prefixBegin(l)
	}
	return l, err
}

// acquireFrom links a server connection of a pool, like acquire, but leaves its
// settings as they are: match is to follow.
func (s *session) acquireFrom(p *pool.Pool) (*link, error) {
	s.since = s.srv.clock()
	s.pool = p
	c := p.TryAcquire(&s.waiter)
	if c == nil {
		s.phase = phaseWaiting
		s.mu.Unlock()
		var err error
		c, err = p.Acquire(&s.waiter)
		s.mu.Lock()
		if err != nil {
			s.phase = phaseIdle
			s.mu.Unlock()
			return nil, s.poolError(err)
		}
		now := s.srv.clock()
		c.Counters.Waited(now - s.since)
		s.since = now
	}
	c.Counters.Assigned()
	l := linkOf(c)
	s.link, s.phase = l, phaseActive
	s.xactSince = s.since
	if s.mode == modeSession {
		s.pinned = "session mode"
	}
	return l, nil
}

// unlink takes the link from the session. The caller releases the connection
// when it has let go of the session's locks. mu is held.
func (s *session) unlink(l *link) {
	l.bound = boundPortal{}
	l.rolled = false
	l.open, l.deaf, l.copyIn, l.committed = false, false, false, false
	if l.replica && s.route != nil {
		s.route.cluster.Finish(l.host, l.took, l.took == 0)
	}
	l.replica, l.writes, l.begun, l.began, l.portals = false, false, false, "", false
	l.attempt.reset()
	if l.mixed {
		l.conn.Retire()
	}
	l.repair.reset()
	l.restore = restore{}
	l.changes.reset()
	if cap(l.in) > keepScratch {
		l.in = nil
	}
	if cap(l.out) > keepScratch {
		l.out = nil
	}
	s.link = nil
	if s.phase != phaseGone {
		s.phase = phaseIdle
	}
}

// keepScratch is the size of scratch memory that a server connection keeps.
const keepScratch = 64 << 10

func (c *changes) reset() { *c = changes{names: c.names[:0]} }

// touch notes that a setting has to be asked about.
func (c *changes) touch(name string) {
	if !slices.Contains(c.names, name) {
		c.names = append(c.names, name)
	}
}

// match prepares what makes the connection's settings those of the session:
// nothing in the usual case, else SETs in front of the client's next message,
// in the same packet. mu is held.
func (s *session) match(l *link) {
	c := l.conn
	if c.Vars == s.vars && c.Extra == s.extra {
		return
	}
	var sql []string
	for name, want := range s.vars.All {
		have, reported := c.Vars.Get(name)
		switch {
		case !reported || have == want:
		case fixedByServer(name):
			// It cannot follow the session: tell the client what holds now.
			s.vars = s.vars.With(name, have)
			l.announce = wire.AppendParameterStatus(l.announce, name, have)
		default:
			sql = append(sql, setStatement(name, want))
		}
	}
	for name := range c.Extra.All {
		if _, wanted := s.extra.Get(name); !wanted {
			sql = append(sql, "RESET "+quoteName(name))
		}
	}
	for name, want := range s.extra.All {
		if have, ok := c.Extra.Get(name); !ok || have != want {
			sql = append(sql, "SELECT "+setConfig(name, want))
		}
	}
	if len(sql) == 0 {
		return
	}
	c.Extra = s.extra
	s.pushOurs(l)
	l.prefix = wire.AppendString(l.prefix[:0], wire.Query, strings.Join(sql, ";"))
}

// fixedByServer says whether a reported setting cannot be SET in a session.
func fixedByServer(name string) bool {
	switch name {
	case "server_version", "server_encoding", "session_authorization", "is_superuser",
		"integer_datetimes", "in_hot_standby":
		return true
	}
	return false
}

func setStatement(name, value string) string {
	if name == "search_path" { // a list of names: SET would take it for one
		return "SELECT " + setConfig(name, value)
	}
	return "SET " + quoteName(name) + " TO " + quoteLiteral(value)
}

// setConfig is the call that sets any setting from the text that SHOW gives.
func setConfig(name, value string) string {
	return "pg_catalog.set_config(" + quoteLiteral(name) + "," + quoteLiteral(value) + ",false)"
}

// quoteName quotes a setting's name, whose dots are part of the grammar.
func quoteName(name string) string {
	parts := strings.Split(name, ".")
	for i, p := range parts {
		parts[i] = `"` + strings.ReplaceAll(p, `"`, `""`) + `"`
	}
	return strings.Join(parts, ".")
}

func quoteLiteral(v string) string {
	q := "'" + strings.ReplaceAll(v, "'", "''") + "'"
	if strings.Contains(v, `\`) {
		q = " E" + strings.ReplaceAll(q, `\`, `\\`)
	}
	return q
}

// inject sends a query of ours to a server that waits for one. mu is held:
// the server has nothing else to do than to take it.
func (s *session) inject(l *link, sql string) {
	s.pushOurs(l)
	s.injectBytes(l, wire.AppendString(nil, wire.Query, sql))
}

// pushOurs notes a simple query of ours, which drops the unnamed statement.
func (s *session) pushOurs(l *link) {
	l.replies.push(reply{kind: replyQuery, action: skip, unnamed: true})
	s.changeUnnamed(l, nil, false)
}

// injectBytes sends bytes whose replies have been noted. A failure shows in
// the connection's own goroutine. mu is held.
func (s *session) injectBytes(l *link, p []byte) {
	l.writing.Lock()
	defer l.writing.Unlock()
	_, _ = l.conn.Write(p)
}
