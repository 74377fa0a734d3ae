package proxy

import (
	"errors"
	"net"

	"github.com/penstock/penstock/internal/pgerr"
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
	if s.over {
		s.mu.Unlock()
		return 0, net.ErrClosed
	}
	if s.link == nil && s.pass > 0 {
		// The server was lost in the middle of a frame: the rest is not a new one.
		s.discard, s.pass = s.pass, 0
		s.mu.Unlock()
		return 0, errAgain
	}
	if s.route != nil && s.route.again != nil {
		if err := s.runAgain(); err != nil {
			return 0, err
		}
		return 0, errAgain
	}
	if l := s.link; l != nil && !s.skipToSync {
		if l.replica || l.attempt.single {
			return s.takeBehind(l, p)
		}
		return s.send(l, p)
	}
	if !ok {
		s.mu.Unlock()
		return 0, nil
	}
	if s.skipToSync || !needsServer(h, p) {
		s.mu.Unlock()
		return s.takeLocally(h, p)
	}
	if s.route != nil && s.mode != modeSession {
		return s.takeRouted(h, p)
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
		return h.Total(), s.say(wire.AppendReady(nil, s.idleStatus()))
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
		return h.Total(), true, s.say(wire.AppendReady(nil, s.idleStatus()))
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
	answer, err := ourError(cause)
	if err != nil {
		return 0, err
	}
	s.discard = h.Total()
	if h.Type == wire.Query || h.Type == wire.FunctionCall {
		answer = wire.AppendReady(answer, s.idleStatus())
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

// ourError is the ErrorResponse for an error that leaves the session usable.
// One that does not is returned as an error.
func ourError(cause error) ([]byte, error) {
	e := pgerr.From(cause)
	var known *pgerr.Error
	if !errors.As(cause, &known) || e.Severity == pgerr.SeverityFatal {
		return nil, cause
	}
	return e.Append(nil), nil
}

// idleStatus is the transaction status that the client knows while no server
// connection is linked. Only run calls it.
func (s *session) idleStatus() byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.begun() {
		return 'T'
	}
	return 'I'
}

// begun says whether the client is in a transaction that no server has seen.
// mu is held.
func (s *session) begun() bool { return s.route != nil && s.route.begin != "" }

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
		fresh = 0 // the prefix is noted already
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
	if l.begun && len(l.prefix) == 0 {
		s.route.begin = "" // a server has seen it
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
	s.undo(l, l.replies.len(), false)
	s.unlink(l)
	s.mu.Unlock()
	l.conn.Destroy(cause)
	return 0, errAgain
}
