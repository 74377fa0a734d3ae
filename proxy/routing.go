package proxy

import (
	"errors"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/penstock/penstock/internal/pgerr"
	"github.com/penstock/penstock/internal/wire"
	"github.com/penstock/penstock/pool"
	"github.com/penstock/penstock/router"
)

// route is what a session of a database with replicas remembers. It is nil
// for others: their texts are never looked at.
type route struct {
	// Immutable after newRoute.
	cluster  *router.Cluster
	startup  router.Target
	canceled atomic.Bool // a cancel request came while no server connection was linked

	// Guarded by the session's mu.
	pools    []*pool.Pool // by host
	trail    router.Trail // what reads must not be sent back behind
	begin    string       // a BEGIN that was answered and that no server has seen
	begins   beginning
	again    []byte // a cycle to be run again
	failedOn int    // the host where it failed, -1: none
	tries    int

	tail        []byte // of the part of a long text that came last
	mustPrimary bool   // a transaction is being moved there
	primaryNext bool   // it is to be run on the primary
	fingerprint uint64 // of what is armed

	// known are the facts about the session that hold for the settings that
	// were looked at last.
	known  router.Session
	vars   pool.Settings
	extra  pool.Settings
	looked uint64
}

// judged is what a cluster said about a prepared statement at one time.
type judged struct {
	cluster    *router.Cluster
	generation uint64
	class      router.Class
}

// Classify judges the text of a simple query.
func (r *route) Classify(text string) router.Class { return r.cluster.Classify(text) }

// ClassOf judges a prepared statement, and remembers it with the statement.
func (r *route) ClassOf(st *Statement) router.Class {
	generation := r.cluster.Generation()
	if j := st.judged.Load(); j != nil && j.cluster == r.cluster && j.generation == generation {
		return j.class
	}
	j := &judged{r.cluster, generation, r.cluster.Classify(st.text())}
	st.judged.Store(j)
	return j.class
}

// noteText has the cluster look for what makes commits invisible to it. A part
// of a long text is looked at with the end of the part before. mu is held.
func (s *session) noteText(text []byte) {
	r := s.route
	if r == nil || r.cluster.Async() {
		return
	}
	const longest = 32 // more than any word that is looked for
	if len(r.tail) > 0 {
		front := append(r.tail, text[:min(len(text), longest)]...)
		r.cluster.NoteText(unsafe.String(unsafe.SliceData(front), len(front)))
		r.tail = r.tail[:0]
	}
	r.cluster.NoteText(unsafe.String(unsafe.SliceData(text), len(text)))
	if s.pass > 0 || len(text) > wire.BufferSize/2 {
		r.tail = append(r.tail[:0], text[max(0, len(text)-longest):]...)
	}
}

// take on a link whose cycles go out one at a time: another host may be right
// for the next. mu is held on entry and not on return.
func (s *session) takeBehind(l *link, p []byte) (used int, err error) {
	switch {
	case l.replies.hasCycle():
		s.mu.Unlock()
		if !s.rest(false) {
			return 0, net.ErrClosed
		}
		return 0, errAgain
	case l.conn.TxStatus == 'I' && !l.open:
		s.mu.Unlock()
		runtime.Gosched() // it is being let go of this moment
		return 0, errAgain
	}
	if l.replica && l.conn.TxStatus == 'T' && !l.open && !l.attempt.single {
		return s.takeInReplica(l, p)
	}
	return s.send(l, p[:extent(p)])
}

// takeRouted does what take does where hosts are to be chosen from and none is
// linked. mu is held on entry and not on return.
func (s *session) takeRouted(h wire.Header, p []byte) (used int, err error) {
	if s.route.cluster.Closed() {
		if err := s.renewRoute(); err != nil {
			s.mu.Unlock()
			return 0, err
		}
		if s.route == nil {
			s.mu.Unlock()
			return 0, errAgain
		}
	}
	r := s.route
	c := s.firstCycle(p, r)
	if c.text != "" && s.mode == modeTransaction {
		if answer := r.control(c.text); answer != nil {
			s.unnamed = slot{} // as any simple query drops it
			s.mu.Unlock()
			return c.size, s.say(answer)
		}
	}
	d := s.decide(&c)
	if r.mustPrimary {
		d = router.Decision{Target: router.TargetPrimary, Reason: router.ReasonMoved}
	}
	l, err := s.acquireFor(&d)
	if err != nil {
		return s.refuse(h, err)
	}
	r.mustPrimary = false
	r.tries, r.failedOn, r.primaryNext, r.fingerprint = 0, -1, false, c.class.Fingerprint
	l.writes = d.Target == router.TargetPrimary && (r.begin != "" || !reads(&c.class))
	l.portals = c.portals
	switch {
	case reads(&c.class) && r.begin == "":
		p = p[:c.size]
		s.arm(l, p)
	case l.replica:
		p = p[:extent(p)]
	}
	s.prefixBegin(l)
	return s.send(l, p)
}

// renewRoute finds the session's place after a reload that has changed the
// hosts. What the session must not be sent back behind is asked for anew. mu is held.
func (s *session) renewRoute() error {
	old := s.route
	r, err := s.srv.newRoute(s.database, s.start)
	if err != nil {
		return err
	}
	p, err := s.srv.poolOfHost(s.database, s.user, 0)
	if err != nil {
		return err
	}
	s.route, s.pool = r, p
	switch {
	case r != nil:
		r.begin, r.begins = old.begin, old.begins
		r.cluster.DoneAt(&r.trail, 0, true)
	case old.begin != "":
		return pgerr.Shutdown() // its BEGIN has nowhere to be kept
	}
	return nil
}

// reads says whether a class is that of a read that may be run twice.
func reads(c *router.Class) bool { return c.Reason == router.ReasonSafeRead }

// control answers a BEGIN, and the end of a transaction that no server has
// seen. It returns nil for everything else. mu is held.
func (r *route) control(text string) []byte {
	if r.begin == "" {
		b, ok := parseBegin(text)
		if !ok {
			return nil
		}
		r.begin, r.begins = string(append([]byte(nil), text...)), b
		return wire.AppendReady(wire.AppendString(nil, wire.CommandComplete, beginTag(text)), 'T')
	}
	tag := parseEnd(text)
	if tag == "" {
		return nil
	}
	r.begin = ""
	return wire.AppendReady(wire.AppendString(nil, wire.CommandComplete, tag), 'I')
}

// beginTag is PostgreSQL's tag for a text that parseBegin has understood.
func beginTag(text string) string {
	if words(text)[0] == "START" {
		return "START TRANSACTION"
	}
	return "BEGIN"
}

// prefixBegin puts the BEGIN that was answered in front of what is sent. mu is held.
func (s *session) prefixBegin(l *link) {
	if s.route.begin == "" {
		return
	}
	l.begun, l.began = true, s.route.begin
	s.pushOurs(l)
	l.prefix = wire.AppendString(l.prefix, wire.Query, s.route.begin)
}

// decide says where a cycle goes. mu is held.
func (s *session) decide(c *cycle) router.Decision {
	r := s.route
	if c.size == 0 {
		c.class.Reason = router.ReasonNotUnderstood
	}
	facts := s.facts()
	facts.Pinned = s.pinned != ""
	if r.begin != "" {
		facts.Deferred = true
		facts.ReadOnly = r.begins.readOnly && !r.begins.readWrite
		facts.Serializable = facts.Serializable || r.begins.serializable
	}
	return r.cluster.Decide(&c.class, &facts)
}

// facts are those that a session's settings tell. mu is held.
func (s *session) facts() router.Session {
	r := s.route
	generation := r.cluster.Generation() // of the rules, among others
	if r.looked == generation && r.vars == s.vars && r.extra == s.extra {
		return r.known
	}
	r.looked, r.vars, r.extra = generation, s.vars, s.extra
	name, _ := s.vars.Get("application_name")
	encoding, _ := s.vars.Get("client_encoding")
	conforming, _ := s.vars.Get("standard_conforming_strings")
	isolation, _ := s.extra.Get("default_transaction_isolation")
	wish, _ := s.extra.Get("penstock.target")
	r.known = router.Session{
		ForeignSetting: conforming != "on" || unsafeEncoding(encoding),
		Serializable:   isolation == "serializable",
		Startup:        r.startup,
		Rules:          r.cluster.RulesFor(s.user, name),
	}
	if target, err := router.ParseTarget(wish); err == nil {
		r.known.Set = target
	}
	return r.known
}

// unsafeEncoding names the encodings in which a byte that looks like ASCII may
// be the end of a letter. Manual, Character Set Support.
func unsafeEncoding(name string) bool {
	switch name {
	case "SJIS", "SHIFT_JIS_2004", "BIG5", "GBK", "UHC", "JOHAB", "GB18030":
		return true
	}
	return false
}

// acquireFor links a server connection of the host that was decided for, or of
// the next best. It is entered with mu held and returns with it held, or fails
// with mu not held. d says in the end where the connection leads, and why.
func (s *session) acquireFor(d *router.Decision) (*link, error) {
	r := s.route
	began := time.Now()
	limit := s.pool.Config().QueryWaitTimeout
	wanted := *d
	for range maxHosts {
		*d = wanted // a replica may do now that did not before
		host, err := s.host(d, began, limit)
		if errors.Is(err, errMoved) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if d.Target == router.TargetPrimary && d.Reads() && !r.cluster.Shown(&r.trail) {
			trail := r.trail
			s.phase = phaseWaiting
			s.mu.Unlock()
			r.cluster.AwaitShown(&trail)
			s.mu.Lock()
			s.phase = phaseIdle
			r.trail.NeedNotShow()
		}
		p, err := s.poolOf(host)
		if err != nil {
			s.mu.Unlock()
			return nil, err
		}
		l, err := s.acquireFrom(p)
		if err == nil {
			// fence looks for this link when the view has changed: whoever comes
			// second sees what the first has done.
			l.host, l.replica, l.took = host, d.Target == router.TargetReplica, 0
			if s.fits(d, l) {
				l.known = s.vars
				s.match(l) // not before: it notes replies that are to come
				r.cluster.Count(d)
				if l.replica {
					r.cluster.Start(host)
				}
				return l, nil
			}
		}
		switch {
		case err == nil:
			l.replica = false
			s.unlink(l)
			s.mu.Unlock()
			l.conn.Release()
			time.Sleep(time.Millisecond)
			s.mu.Lock()
		case errors.Is(err, errMoved):
			s.mu.Lock()
		case !isConnectError(err):
			return nil, err
		default:
			r.cluster.Suspect(host)
			s.mu.Lock()
			if d.Target == router.TargetReplica {
				r.failedOn = host
				continue
			}
			r.failedOn = -1
			if left := limit - time.Since(began); limit > 0 && left <= 0 {
				s.mu.Unlock()
				return nil, err
			}
			s.phase = phaseWaiting
			s.mu.Unlock()
			r.cluster.AwaitChange(retryEvery)
			s.mu.Lock()
			s.phase = phaseIdle
			if s.gone() {
				s.mu.Unlock()
				return nil, net.ErrClosed
			}
		}
	}
	s.mu.Unlock()
	return nil, pgerr.NoPrimary(s.database)
}

// errMoved ends the wait for a connection to a host that is not the primary any more.
var errMoved = errors.New("another host is the primary now")

// fits says whether a connection that was waited for is still the right one. A
// server that calls itself a standby takes no writes: it was demoted, or the
// connection is from before its promotion and will say so only when it is used,
// so it is not used again. A connection to a replica that is younger than what
// we know of it may lead to a server that was restarted behind it. mu is held.
func (s *session) fits(d *router.Decision, l *link) bool {
	if d.Target != router.TargetPrimary {
		return s.route.cluster.Knows(l.host, l.conn.ConnectedAt)
	}
	if l.conn.Standby.Load() {
		s.route.cluster.Suspect(l.host)
		l.conn.Retire()
		return false
	}
	host, ok := s.route.cluster.Primary()
	return ok && host == l.host
}

// maxHosts bounds the search for a host: it ends by time before.
const maxHosts = 10_000

// retryEvery is how often an unreachable primary is tried while a client waits for it.
const retryEvery = 250 * time.Millisecond

// host chooses the host for a decision. mu is held on entry; it is let go of
// while waiting, and held on return unless there is an error.
func (s *session) host(d *router.Decision, began time.Time, limit time.Duration) (int, error) {
	r := s.route
	replicaWouldDo := d.Target == router.TargetReplica
	if replicaWouldDo {
		host, wait, reason := r.cluster.Pick(&r.trail, r.failedOn)
		if wait {
			trail := r.trail
			s.phase = phaseWaiting
			s.mu.Unlock()
			host, reason = r.cluster.AwaitReplica(&trail, r.failedOn)
			s.mu.Lock()
			s.phase = phaseIdle
		}
		if host >= 0 {
			return host, nil
		}
		d.Target, d.Reason = router.TargetPrimary, reason
	}
	if host, ok := r.cluster.Primary(); ok {
		return host, nil
	}
	s.since = s.srv.clock()
	s.phase = phaseWaiting
	r.canceled.Store(false)
	s.mu.Unlock()
	if replicaWouldDo && (limit <= 0 || time.Since(began) < limit) {
		r.cluster.AwaitChange(20 * time.Millisecond)
		s.mu.Lock()
		s.phase = phaseIdle
		if s.gone() || r.canceled.Load() {
			return -1, s.endWait()
		}
		return -1, errMoved
	}
	host, ok := r.cluster.AwaitPrimary(began.Add(limit), limit > 0, func() bool { return s.client.Killed() || r.canceled.Load() })
	s.mu.Lock()
	s.phase = phaseIdle
	if ok {
		return host, nil
	}
	return -1, s.endWait()
}

// endWait is why a session waits for a host no more. It lets go of mu.
func (s *session) endWait() error {
	defer s.mu.Unlock()
	switch {
	case s.route.canceled.Swap(false):
		return pgerr.Canceled()
	case s.gone():
		return net.ErrClosed
	}
	return pgerr.NoPrimary(s.database)
}

// gone says whether the session is being ended. mu is held.
func (s *session) gone() bool { return s.client.Killed() || s.phase == phaseGone }

// isConnectError says whether a server could not be reached, or is going away
// or not there yet, as it says itself at a login. Our own end is FATAL.
func isConnectError(err error) bool {
	e, ok := errors.AsType[*pgerr.Error](err)
	if !ok || e.Severity == pgerr.SeverityFatal {
		return false
	}
	code := string(e.Code)
	return strings.HasPrefix(code, "08") || code == "57P01" || code == "57P02" || code == "57P03"
}

// poolOf returns the session's pool of a host. mu is held.
func (s *session) poolOf(host int) (*pool.Pool, error) {
	r := s.route
	if r.pools[host] == nil {
		p, err := s.srv.poolOfHost(s.database, s.user, host)
		if err != nil {
			return nil, err
		}
		r.pools[host] = p
	}
	return r.pools[host], nil
}

// noteReady tells the cluster what a cycle's end means for later reads, before
// the client hears of it. mu is held.
func (r *route) noteReady(l *link, status byte, took time.Duration) {
	switch {
	case l.replica:
		l.took = took
		r.cluster.ReadAt(&r.trail, l.host)
	case status == 'I':
		r.cluster.DoneAt(&r.trail, l.host, l.writes)
	}
}

// extent is the size of the first cycle in p, or of all of p if that is not whole.
func extent(p []byte) int {
	for pos := 0; ; {
		h, ok := wire.ParseHeader(p[pos:])
		if !ok || h.CheckFrontend() != nil || len(p)-pos < h.Total() {
			return len(p)
		}
		pos += h.Total()
		if h.Type == wire.Sync || h.Type == wire.Query || h.Type == wire.FunctionCall {
			return pos
		}
	}
}
