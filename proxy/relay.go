package proxy

import (
	"errors"
	"net"
	"strings"
	"unsafe"

	"github.com/penstock/penstock/internal/pgerr"
	"github.com/penstock/penstock/internal/sqlscan"
	"github.com/penstock/penstock/internal/wire"
)

// maxParse bounds a Parse message, which is kept to be prepared again on other
// server connections, in bytes. Everything else streams.
const maxParse = 64 << 20

// errAgain says that the step is to be taken again: nothing of it has reached a
// be sent over another connection.
var errAgain = errors.New("server connection was dead, nothing sent")

// Received takes the client's bytes: whole frames, or parts of large ones. It
// runs in session.run's goroutine.
func (s *session) Received(b *wire.Buffer) error {
	for b.Len() > 0 {
		used, err := s.take(b.Bytes())
		if err != nil && !errors.Is(err, errAgain) {
			return err
		}
		b.Consume(used)
		if used == 0 && err == nil {
			return nil
		}
	}
	return nil
}

// take does what can be done with the bytes in one step and returns how many
// are done with.
func (s *session) take(p []byte) (used int, err error) {
	if s.discard > 0 {
		n := min(s.discard, len(p))
		s.discard -= n
		return n, nil
	}
	if s.large != nil {
		return s.takeLarge(p)
	}
	h, ok := wire.ParseHeader(p)
	s.mu.Lock()
	if s.link == nil && s.pass > 0 {
		// The server was lost in the middle of a frame: the rest is not a new one.
		s.discard, s.pass = s.pass, 0
		s.mu.Unlock()
		return 0, errAgain
	}
	if s.link != nil && !s.skipToSync {
		return s.send(s.link, p)
	}
	if !ok {
		s.mu.Unlock()
		return 0, nil
	}
	if s.skipToSync || !needsServer(h, p) {
		s.mu.Unlock()
		return s.takeLocally(h, p)
	}
	l, err := s.acquire()
	if err != nil {
		return s.refuse(h, err)
	}
	return s.send(l, p)
}

// needsServer says whether a frame is whole enough, and of a kind, to be sent
// to a server.
func needsServer(h wire.Header, p []byte) bool {
	switch h.Type {
	case wire.Query, wire.Parse, wire.Bind, wire.Describe, wire.Execute, wire.FunctionCall:
		return h.CheckFrontend() == nil && !partial(h, p)
	}
	return false
}

// takeLocally deals with a frame that no server is needed for, as long as none
// is linked.
func (s *session) takeLocally(h wire.Header, p []byte) (used int, err error) {
	if err := checkFrame(h); err != nil {
		return 0, err
	}
	s.mu.Lock()
	skipping := s.skipToSync
	s.mu.Unlock()
	if skipping {
		return s.skipFrame(h, p)
	}
	used, done, err := s.local(h, p)
	if done || err != nil {
		return used, err
	}
	s.mu.Lock()
	l, err := s.acquire()
	if err != nil {
		return s.refuse(h, err)
	}
	return s.send(l, p)
}

func checkFrame(h wire.Header) error {
	switch err := h.CheckFrontend(); {
	case errors.Is(err, wire.ErrUnknownType):
		return pgerr.InvalidMessageType(h.Type)
	case err != nil:
		return pgerr.InvalidMessageLength()
	}
	return nil
}

// skipFrame throws a frame away after an error of ours, as PostgreSQL does
// until Sync. Manual, Message Flow, Extended Query.
func (s *session) skipFrame(h wire.Header, p []byte) (used int, err error) {
	switch h.Type {
	case wire.Sync:
		if len(p) < h.Total() {
			return 0, nil
		}
		s.mu.Lock()
		s.skipToSync = false
		s.mu.Unlock()
		return h.Total(), s.say(wire.AppendReady(nil, 'I'))
	case wire.Terminate:
		return 0, errTerminate
	}
	s.discard = h.Total()
	return 0, errAgain
}

// local answers what needs no server connection while none is linked.
func (s *session) local(h wire.Header, p []byte) (used int, done bool, err error) {
	switch h.Type {
	case wire.Sync, wire.Flush:
		if h.Len != 4 {
			return 0, partial(h, p), nil // the server says what is wrong with it
		}
		if h.Type == wire.Flush {
			return h.Total(), true, nil
		}
		return h.Total(), true, s.say(wire.AppendReady(nil, 'I'))
	case wire.CopyData, wire.CopyDone, wire.CopyFail:
		// Left over from a COPY that has failed: PostgreSQL ignores them too.
		s.discard = h.Total()
		return 0, true, errAgain
	case wire.Terminate:
		return 0, true, errTerminate
	case wire.Close:
		if s.mode == modeSession || len(p) < h.Total() || h.Total() < wire.HeaderSize+2 || p[wire.HeaderSize] != 'S' {
			return 0, partial(h, p), nil
		}
		name, _, ok := wire.CString(p[wire.HeaderSize+1 : h.Total()])
		if !ok {
			return 0, false, nil
		}
		s.mu.Lock()
		s.closeStatement(string(name))
		s.mu.Unlock()
		return h.Total(), true, s.say(wire.AppendEmpty(nil, wire.CloseComplete))
	}
	return 0, partial(h, p), nil
}

// partial says whether more of a frame must come before it is dealt with: all
// of it, or the names in it where it is larger than a buffer.
func partial(h wire.Header, p []byte) bool {
	return len(p) < h.Total() && (h.Total() <= wire.BufferSize || len(p) < wire.BufferSize/2)
}

// refuse tells the client that its request cannot be carried to a server. The
// session stays usable unless the error is FATAL.
func (s *session) refuse(h wire.Header, cause error) (used int, err error) {
	e := pgerr.From(cause)
	var known *pgerr.Error
	if !errors.As(cause, &known) || e.Severity == pgerr.SeverityFatal {
		return 0, cause
	}
	s.discard = h.Total()
	answer := e.Append(nil)
	if h.Type == wire.Query || h.Type == wire.FunctionCall {
		answer = wire.AppendReady(answer, 'I')
	} else {
		s.mu.Lock()
		s.skipToSync = true
		s.mu.Unlock()
	}
	if err := s.say(answer); err != nil {
		return 0, err
	}
	return 0, errAgain
}

// takeLarge gathers a Parse that is larger than a buffer.
func (s *session) takeLarge(p []byte) (used int, err error) {
	h, _ := wire.ParseHeader(s.large)
	used = min(h.Total()-len(s.large), len(p))
	s.large = append(s.large, p[:used]...)
	if len(s.large) < h.Total() {
		return used, nil
	}
	frame := s.large
	for {
		s.mu.Lock()
		l := s.link
		if l == nil {
			if l, err = s.acquire(); err != nil {
				s.large = nil
				_, err = s.refuse(h, err)
				s.discard = 0 // it has all come
				return used, err
			}
		}
		s.large = nil
		_, err = s.send(l, frame)
		if !errors.Is(err, errAgain) {
			return used, err
		}
	}
}

// send notes what the frames in p will be answered with and sends them to the
// server. mu is held on entry and not on return.
func (s *session) send(l *link, p []byte) (used int, err error) {
	fresh := l.replies.len()
	if len(l.prefix) > 0 {
		fresh-- // the prefix is noted already
	}
	idle := fresh == 0 && l.conn.TxStatus == 'I'
	m := composer{s: s, l: l, p: p, out: append(l.in[:0], l.prefix...)}
	composeErr := m.compose()
	s.broken = composeErr != nil && isBug(composeErr)
	if m.pos == 0 || s.broken {
		s.mu.Unlock()
		if m.unsure {
			if !s.rest(false) {
				return 0, net.ErrClosed
			}
			return 0, errAgain
		}
		return 0, composeErr
	}
	out := m.bytes()
	l.prefix = l.prefix[:0]
	if fresh == 0 && s.since != s.xactSince { // acquire has just looked at the clock
		s.since = s.srv.clock()
		if idle {
			s.xactSince = s.since
		}
	}
	s.repairable(l, idle, p[:m.pos])
	l.conn.Counters.Received(m.pos)
	s.sending = true
	l.writing.Lock()
	s.mu.Unlock()
	var n int
	if len(out) > 0 {
		n, err = l.conn.Write(out)
	}
	l.writing.Unlock()

	s.mu.Lock()
	s.sending = false
	if err != nil {
		return s.sendFailed(l, idle && n == 0, m.pos, err)
	}
	first := l.replies.first()
	due := first == nil || first.action == insert
	s.mu.Unlock()
	if due {
		s.catchUp(l)
	}
	return m.pos, nil
}

// isBug says whether an error is a panic's.
func isBug(err error) bool {
	var e *pgerr.Error
	return errors.As(err, &e) && e.Code == pgerr.InternalError
}

// sendFailed destroys a connection that does not take our bytes. If it was
// idle before and took none, the batch is sent over another. mu is held.
func (s *session) sendFailed(l *link, unsent bool, used int, cause error) (int, error) {
	if s.link != l {
		s.mu.Unlock() // Lost was quicker and has told the client
		return used, nil
	}
	if !unsent || s.pinned != "" {
		s.mu.Unlock()
		l.conn.Wire().Kill() // Lost tells the client, in the connection's goroutine
		return used, nil
	}
	s.pass, s.large = 0, nil
	s.undo(l, 0, false)
	l.replies.cut(0)
	s.unlink(l)
	s.mu.Unlock()
	l.conn.Destroy(cause)
	return 0, errAgain
}

// composer turns the client's frames into what goes to the server, verbatim
// wherever that is possible, and notes the replies.
type composer struct {
	s    *session
	l    *link
	p    []byte
	pos  int // up to here p is dealt with
	from int // from here to pos p goes verbatim and is not in out yet
	out  []byte

	unsure bool // the next frame must wait for the answers to earlier ones
}

// compose deals with the frames in p that are whole, and with the beginning of
// one that is too large to wait for.
func (m *composer) compose() (err error) {
	defer m.s.srv.recovered(&err)
	if m.s.pass > 0 {
		m.pos = min(m.s.pass, len(m.p))
		m.s.pass -= m.pos
		m.passing(m.p[:m.pos])
	}
	for m.s.pass == 0 && m.s.discard == 0 && m.s.large == nil {
		h, ok := wire.ParseHeader(m.p[m.pos:])
		if !ok {
			return nil
		}
		if err := checkFrame(h); err != nil {
			return err // told when what stands before it has been sent
		}
		if h.Type == wire.Terminate {
			return errTerminate
		}
		frame := m.p[m.pos:]
		if len(frame) >= h.Total() {
			if m.unsure = m.mustWait(h, frame[:h.Total()]); m.unsure {
				return nil
			}
			m.frame(h, frame[:h.Total()])
			continue
		}
		if partial(h, frame) {
			return nil
		}
		if err := m.begin(h, frame); err != nil {
			return err
		}
	}
	return nil
}

// passing looks at a part of a long simple query for the one effect that no
// command tag gives away.
func (m *composer) passing(part []byte) {
	q := &m.l.replies
	if q.n == 0 || m.s.mode == modeSession {
		return
	}
	last := q.at(q.n - 1)
	if last.kind == replyQuery && last.effect == sqlscan.Unknown && sqlscan.MentionsTemporary(part) {
		last.effect = sqlscan.Temporary
	}
}

// mustWait says whether a frame means something only when an earlier cycle is
// answered: it names a statement that a message still outstanding prepares,
// closes or drops, and an error there would undo that.
func (m *composer) mustWait(h wire.Header, frame []byte) bool {
	q, s := &m.l.replies, m.s
	if q.n == 0 || s.mode == modeSession || m.l.deaf {
		return false
	}
	body := frame[wire.HeaderSize:]
	var name []byte
	switch h.Type {
	case wire.Query:
		e := effectOf(body)
		return e.Kind == sqlscan.Deallocate && q.unsure(e.Name, s.statements[e.Name].Statement)
	case wire.Parse:
		n, rest, ok := wire.CString(body)
		if !ok || len(n) == 0 || q.cycles() == 0 {
			return false // the unnamed statement is replaced whatever it is
		}
		return q.unsure(string(n), s.srv.statements.statement(rest))
	case wire.Bind:
		_, rest, _ := wire.CString(body)
		name, _, _ = wire.CString(rest)
	case wire.Describe, wire.Close:
		if len(body) < 2 || body[0] != 'S' {
			return false
		}
		name, _, _ = wire.CString(body[1:])
	default:
		return false
	}
	if q.cycles() == 0 {
		return false
	}
	if len(name) == 0 {
		// Parsed in this cycle, it is sure.
		return q.unsureUnnamed() && !q.parsedSince(q.cycles())
	}
	return q.unsure(string(name), s.statements[string(name)].Statement)
}

// begin deals with the first part of a frame that is larger than a buffer.
func (m *composer) begin(h wire.Header, part []byte) error {
	if h.Type == wire.Parse && m.s.mode != modeSession {
		if h.Total() > maxParse {
			return pgerr.FrameTooLarge(int64(h.Total()), maxParse, "the size of a prepared statement")
		}
		if m.pos > 0 {
			return nil // alone, in the next round
		}
		m.s.large = append(make([]byte, 0, 2*len(part)), part...)
		m.drop(len(part))
		return nil
	}
	rest, deaf := h.Total()-len(part), m.l.deaf
	m.frame(h, part)
	if deaf {
		m.s.discard = rest
	} else {
		m.s.pass = rest
	}
	return nil
}

// bytes returns what goes to the server.
func (m *composer) bytes() []byte {
	if len(m.out) == 0 {
		return m.p[m.from:m.pos]
	}
	m.run()
	m.l.in = m.out
	return m.out
}

// run moves the verbatim bytes before pos to out.
func (m *composer) run() {
	m.out = append(m.out, m.p[m.from:m.pos]...)
	m.from = m.pos
}

// keep passes a frame on verbatim.
func (m *composer) keep(n int) { m.pos += n }

// drop leaves a frame out; what replaces it is appended to out behind it.
func (m *composer) drop(n int) {
	m.run()
	m.pos += n
	m.from = m.pos
}

// frame deals with one frame, or with the beginning of a large one.
func (m *composer) frame(h wire.Header, frame []byte) {
	l, body := m.l, frame[wire.HeaderSize:]
	if l.deaf && h.Type != wire.Sync {
		m.drop(len(frame)) // the server would not look at it
		return
	}
	switch h.Type {
	case wire.Parse, wire.Bind, wire.Describe, wire.Execute, wire.Close:
		l.open = true
	case wire.Query, wire.Sync:
		l.open, l.deaf = false, false
	}
	switch h.Type {
	case wire.Query:
		m.query(frame, body)
		return
	case wire.FunctionCall:
		l.replies.push(reply{kind: replyFunction})
	case wire.Sync:
		if !l.copyIn {
			l.replies.push(reply{kind: replySync})
		}
	case wire.CopyDone, wire.CopyFail:
		if l.replies.len() > 0 {
			l.replies.push(reply{kind: replyCopyEnd})
		}
		l.copyIn = false
	case wire.Execute:
		m.execute(frame, body)
		return
	case wire.Parse:
		m.parse(frame, body)
		return
	case wire.Bind:
		m.bind(frame, body)
		return
	case wire.Describe:
		m.describe(frame, body)
		return
	case wire.Close:
		m.close(frame, body)
		return
	}
	m.keep(len(frame)) // Flush and CopyData have no reply
}

// query notes a simple query. It drops the unnamed statement: postgres.c,
// exec_simple_query.
func (m *composer) query(frame, body []byte) {
	s, l := m.s, m.l
	r := reply{kind: replyQuery}
	e := effectOf(body)
	r.effect, r.name = e.Kind, strings.Clone(e.Name) // the text is gone when the buffer is
	if s.mode != modeSession {
		s.unnamed, l.unnamed = nil, nil
		if r.effect == sqlscan.Deallocate && m.deallocate(frame, r) {
			return
		}
	}
	l.replies.push(r)
	m.keep(len(frame))
}

// effectOf looks at the text at the front of p. The name in the effect is
// valid as long as p is.
func effectOf(p []byte) sqlscan.Effect {
	text, _, ok := wire.CString(p)
	if !ok {
		text = p // the front of a long one
	}
	return sqlscan.EffectOf(unsafe.String(unsafe.SliceData(text), len(text)))
}
