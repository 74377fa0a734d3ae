package proxy

import (
	"github.com/penstock/penstock/internal/pgerr"
	"github.com/penstock/penstock/internal/sqlscan"
	"github.com/penstock/penstock/internal/wire"
	"github.com/penstock/penstock/pool"
)

// Receive takes the server's bytes while c is linked to this session: each
// reply is forwarded, skipped, or has one of ours inserted before it. It runs
// in c's own goroutine. When nothing is outstanding any more and no
// transaction is open, c goes back to the pool.
func (s *session) Receive(c *pool.Conn, b *pool.Buffer) error {
	s.writing.Lock()
	s.mu.Lock()
	l := s.link
	if l == nil || l.conn != c {
		s.mu.Unlock()
		s.writing.Unlock()
		return pool.ErrNotLinked
	}
	d := digester{s: s, l: l, p: b.Bytes(), out: append(l.out[:0], l.announce...)}
	l.announce = l.announce[:0]
	err := d.digest()
	s.deliver(l, l.hold(d.bytes()), err == nil)
	b.Consume(d.pos)
	return err
}

// rest waits until every cycle that the client has closed is answered, or the
// server connection is lost: what stood before a Terminate or a bad frame is
// carried out, as on PostgreSQL. It returns false when the session has been
// ended meanwhile. Only run calls it.
func (s *session) rest(leaving bool) bool {
	s.mu.Lock()
	l := s.link
	if s.client.Killed() || l == nil || !l.replies.hasCycle() || l.copyIn || s.pass > 0 {
		s.mu.Unlock()
		return !s.client.Killed()
	}
	s.resting, s.leaving = make(chan struct{}), leaving
	rested := s.resting
	s.mu.Unlock()
	<-rested
	return !s.client.Killed()
}

// isBlocked says whether run waits for a server, and not for its client.
func (s *session) isBlocked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.phase == phaseWaiting || s.resting != nil && !s.leaving
}

// rested ends rest. mu is held.
func (s *session) rested() {
	if s.resting != nil {
		close(s.resting)
		s.resting = nil
	}
}

// deliver writes to the client and settles the link. It is entered with both
// locks held and lets go of them; the connection is released only when the
// client has taken the bytes, for its buffer holds them until then.
func (s *session) deliver(l *link, out []byte, settle bool) {
	var released bool
	if settle {
		if s.resting != nil && (!l.replies.hasCycle() || l.copyIn) {
			s.rested()
		}
		released = s.settle(l)
	}
	deaf := s.phase == phaseGone
	again := s.route != nil && s.route.again != nil
	if !deaf {
		l.conn.Counters.Sent(len(out))
	}
	s.mu.Unlock()
	if len(out) > 0 && !deaf {
		if _, err := s.client.Write(out); err != nil {
			s.kill()
		}
	}
	s.writing.Unlock()
	if released {
		l.conn.Release()
	}
	if again {
		s.client.Kick() // Woken runs the cycle elsewhere
	}
}

// catchUp inserts the replies that no message of the server will bring, and
// settles the link. run calls it when it has sent.
func (s *session) catchUp(l *link) {
	s.writing.Lock()
	s.mu.Lock()
	if s.link != l || s.sending {
		s.mu.Unlock()
		s.writing.Unlock()
		return
	}
	var out []byte
	var err error
	if l.remain == 0 {
		d := digester{s: s, l: l}
		err = d.digest() // of nothing: only inserts
		out = l.hold(d.out)
	}
	s.deliver(l, out, err == nil)
	if err != nil {
		l.conn.Wire().Kill()
	}
}

// Lost tells the session that its server connection has gone. It runs in the
// connection's goroutine.
func (s *session) Lost(c *pool.Conn, cause error) {
	s.mu.Lock()
	l := s.link
	if l == nil || l.conn != c {
		s.mu.Unlock()
		return
	}
	if l.attempt.armed && s.phase != phaseGone && s.route.heals(l, "", "") {
		s.undo(l, l.replies.len(), false)
		s.rerun(l)
		s.rested()
		s.mu.Unlock()
		s.client.Kick()
		return
	}
	gone, usable := s.phase == phaseGone, s.pinned == "" && c.TxStatus == 'I' && l.remain == 0 && !l.fatal && !l.begun
	told := (l.fatal || l.remain > 0) && !l.attempt.armed // armed: it has heard nothing
	lost := s.lostError(l, cause)
	answer, skip := lostAnswer(l, lost)
	s.undo(l, l.replies.len(), false)
	s.rested()
	s.unlink(l)
	s.skipToSync = s.skipToSync || usable && skip
	if !usable && !gone {
		s.over = true
		if !told && s.ending == nil {
			s.ending = lost.Fatal()
		}
	}
	s.mu.Unlock()
	switch {
	case gone:
	case !usable && told:
		s.end(nil)
	case !usable:
		s.end(lost.Fatal())
	case s.say(answer) != nil:
		s.kill()
	}
}

// lostError tells a lost statement from a lost COMMIT, of which nobody knows
// whether it happened.
func (s *session) lostError(l *link, cause error) *pgerr.Error {
	if l.replica {
		return pgerr.ServerLost(l.conn.TxStatus, cause) // nothing was written
	}
	if l.committed {
		return pgerr.CommitUnknown(cause)
	}
	for i := range l.replies.len() {
		if l.replies.at(i).effect == sqlscan.Commit && (l.conn.TxStatus == 'T' || l.begun) {
			return pgerr.CommitUnknown(cause)
		}
	}
	return pgerr.ServerLost(l.conn.TxStatus, cause)
}

// lostAnswer is what the client is told for everything outstanding, and
// whether the rest up to its Sync is to be skipped.
func lostAnswer(l *link, e *pgerr.Error) (answer []byte, skipToSync bool) {
	open := false
	for i := range l.replies.len() {
		r := l.replies.at(i)
		if r.action == skip || r.kind == replyCopyEnd {
			continue
		}
		if !open {
			answer = e.Append(answer)
			open = true
		}
		if r.closesCycle() {
			answer = wire.AppendReady(answer, 'I')
			open = false
		}
	}
	return answer, open
}
