package proxy

import (
	"bytes"
	"slices"

	"github.com/penstock/penstock/internal/sqlscan"
	"github.com/penstock/penstock/internal/wire"
	"github.com/penstock/penstock/pool"
)

// settle decides, when something has been completed, what becomes of the
// link: "A connection is reusable if, and only if, its reply queue is empty,
// its transaction status is I, no COPY runs and no cancel is in flight" (the
// pool sees to the last). It returns true when it has unlinked: the caller
// releases the connection. mu is held.
func (s *session) settle(l *link) (released bool) {
	var bug error
	defer func() {
		if bug != nil {
			released = false
			l.conn.Wire().Kill()
		}
	}()
	defer s.srv.recovered(&bug)
	if s.phase == phaseGone && l.open && l.replies.len() == 0 && !l.copyIn && l.remain == 0 && !l.fatal {
		s.failBatch(l)
		return false
	}
	if l.replies.len() > 0 || l.copyIn || l.open || l.remain > 0 || s.sending || l.fatal || s.pass > 0 && s.phase != phaseGone {
		return false
	}
	if s.phase == phaseGone {
		return s.recycle(l)
	}
	switch {
	case l.restore.held:
		s.restoreNow(l)
		return false
	case l.conn.TxStatus != 'I':
		return false
	case l.repair.failed != nil:
		s.repairNow(l)
		return false
	case len(l.changes.names) > 0:
		s.ask(l)
		return false
	case len(l.taken) > 0:
		s.forgetTaken(l)
		return false
	case s.pinned != "":
		return false
	}
	if l.attempt.failed {
		s.rerun(l)
	} else {
		s.unlink(l)
	}
	return true
}

// recycle makes a connection fit for others whose client has gone, one
// statement at a time. mu is held.
func (s *session) recycle(l *link) (released bool) {
	switch {
	case l.conn.Canceling():
		return false // it would strike our ROLLBACK; Canceled goes on
	case l.conn.TxStatus != 'I' && !l.rolled:
		l.rolled = true
		s.inject(l, "ROLLBACK")
		return false
	case l.conn.TxStatus != 'I':
		l.conn.Wire().Kill()
		return false
	case s.pinned != "" || len(l.changes.names) > 0:
		s.pinned = ""
		l.changes.reset()
		s.inject(l, "DISCARD ALL")
		return false
	case len(l.taken) > 0:
		s.forgetTaken(l)
		return false
	}
	s.unlink(l)
	return true
}

// Canceled says that a cancel request for c is over. It runs in a goroutine of
// the pool.
func (s *session) Canceled(c *pool.Conn) {
	s.mu.Lock()
	l, gone := s.link, s.phase == phaseGone
	s.mu.Unlock()
	if gone && l != nil && l.conn == c {
		s.catchUp(l)
	}
}

// abandon leaves a session whose client has gone: what runs is cancelled, what
// is open is rolled back, and the server connection goes back to the pool.
func (s *session) abandon() {
	s.mu.Lock()
	s.phase = phaseGone
	l := s.link
	if l == nil {
		s.mu.Unlock()
		return
	}
	s.since = s.srv.clock()
	if s.pass > 0 || l.fatal || s.broken {
		// A frame that is half sent cannot be taken back.
		s.link = nil
		s.mu.Unlock()
		l.conn.Destroy(errTerminate)
		return
	}
	released := false
	if l.replies.len() == 0 && !l.copyIn && !l.open {
		released = s.settle(l)
	} else {
		s.windUp(l)
	}
	s.mu.Unlock()
	if released {
		l.conn.Release()
	}
}

// windUp has the server end what it does for a client that has gone, so that
// it becomes ready for a query. Nothing that the client has not committed may
// be committed by that. mu is held.
func (s *session) windUp(l *link) {
	if l.copyIn {
		s.endCopy(l)
	}
	if l.open && l.replies.len() == 0 {
		s.failBatch(l)
	} else if l.open {
		// An Execute may be about to ask for COPY data. Whether it does shows
		// when everything so far is answered; settle goes on then.
		s.injectBytes(l, wire.AppendEmpty(nil, wire.Flush))
	}
	if l.replies.ofClient() && l.replies.cycles() <= 1 {
		l.conn.Cancel()
	}
	// Of several cycles the cancel might strike a BEGIN, and what stands behind
	// it would be committed by itself: those run to their end, as on PostgreSQL,
	// or until cancel_wait_timeout.
}

// failBatch ends a batch that has no Sync: with an error, or our Sync would
// commit it.
func (s *session) failBatch(l *link) {
	var p []byte
	if !l.deaf {
		p = appendNamed(p, wire.Execute, "penstock: the client has gone", "\x00\x00\x00\x00")
		l.replies.push(reply{kind: replyExecute, action: skip})
	}
	l.open, l.deaf = false, false
	l.replies.push(reply{kind: replySync, action: skip})
	s.injectBytes(l, wire.AppendEmpty(p, wire.Sync))
}

// endCopy ends a COPY whose data nobody sends any more.
func (s *session) endCopy(l *link) {
	l.copyIn = false
	l.replies.push(reply{kind: replyCopyEnd, action: skip})
	p := wire.AppendString(nil, wire.CopyFail, "client has gone")
	if r := l.replies.first(); r != nil && r.extended() {
		l.open, l.deaf = false, false
		l.replies.push(reply{kind: replySync, action: skip})
		p = wire.AppendEmpty(p, wire.Sync)
	}
	s.injectBytes(l, p)
}

// forgetTaken drops the statements that parseTaken has left on the server.
func (s *session) forgetTaken(l *link) {
	var p []byte
	for _, name := range l.taken {
		p = wire.AppendClose(p, name)
		l.replies.push(reply{kind: replyClose, action: skip})
	}
	l.taken = nil
	l.replies.push(reply{kind: replySync, action: skip})
	s.injectBytes(l, wire.AppendEmpty(p, wire.Sync))
}

// completed looks at a command tag for what the statement has left behind.
// The tags that matter are few, and their first letters fewer.
func (d *digester) completed(r *reply, body []byte) {
	s, l := d.s, d.l
	if len(body) < 4 {
		return
	}
	if r.action == skip {
		if string(body[:len(body)-1]) == "DISCARD ALL" { // recycling
			l.conn.Extra = l.conn.Extra.Empty()
			s.forgetStatements(l)
		}
		return
	}
	s.noteReset(l, r, body[:len(body)-1])
	if tag := body[:len(body)-1]; string(tag) == "COMMIT" || string(tag) == "PREPARE TRANSACTION" {
		l.committed = true
	}
	if changesSchema(body) && r.effect != sqlscan.Temporary {
		l.ddl = true
		s.schemaChanged()
	}
	if s.mode == modeSession && s.phase != phaseGone {
		return
	}
	switch tag := body[:len(body)-1]; string(tag) { // no copy is made for this
	case "SET":
		s.noteSet(l, r)
	case "RESET":
		switch r.effect {
		case sqlscan.Reset:
			s.noteSet(l, r)
		case sqlscan.ResetAll:
			for name := range l.conn.Extra.All {
				l.changes.touch(name) // a rollback would bring them back: ask at the end
			}
		default:
			s.pin("RESET")
		}
	case "DISCARD ALL":
		s.forgetExtra(l)
		s.forgetStatements(l)
		s.pinned = ""
	case "DEALLOCATE ALL":
		s.forgetStatements(l)
	case "LISTEN", "LOAD", "PREPARE":
		s.pin(pin(string(tag)))
	case "DECLARE CURSOR":
		if r.effect != sqlscan.Declare {
			s.pin("cursor WITH HOLD")
		}
	case "CREATE TABLE", "CREATE VIEW", "CREATE SEQUENCE":
		if r.effect == sqlscan.Temporary {
			s.pin("temporary object")
		}
	default:
		if r.effect == sqlscan.Temporary {
			s.pin("temporary object") // CREATE TEMP TABLE ... AS has the tag SELECT
		}
	}
}

// schemaChanged tells everybody who remembers something of the schema.
func (s *session) schemaChanged() {
	s.srv.schemaChanged()
	if s.route != nil {
		s.route.cluster.SchemaChanged()
	}
}

// changesSchema says whether a tag is that of a change to the schema.
func changesSchema(tag []byte) bool {
	switch tag[0] {
	case 'C':
		return bytes.HasPrefix(tag, []byte("CREATE "))
	case 'A':
		return bytes.HasPrefix(tag, []byte("ALTER "))
	case 'D':
		return bytes.HasPrefix(tag, []byte("DROP "))
	}
	return false
}

// pin keeps the server connection for this session from now on. When its
// client has gone, it says that the connection must be reset.
func (s *session) pin(why pin) {
	if s.pinned == "" {
		s.pinned = why
	}
}

// noteSet notes that a SET or RESET of one setting has succeeded.
func (s *session) noteSet(l *link, r *reply) {
	switch {
	case r.effect == sqlscan.SetLocal:
	case r.effect == sqlscan.Set, r.effect == sqlscan.Reset:
		if _, reported := l.conn.Vars.Get(r.name); !reported {
			l.changes.touch(r.name)
		}
	default:
		s.pin("SET") // of something that the text does not tell: the role, perhaps
	}
}

// ask asks the server for the value that a setting has now, after commit or
// rollback. The client's answer has gone out before. mu is held.
func (s *session) ask(l *link) {
	l.changes.asking, l.changes.answered = true, false
	s.inject(l, "SHOW "+quoteName(l.changes.names[0]))
}

// answered notes the answer. A setting that does not exist is not set.
func (s *session) answered(l *link) {
	c := &l.changes
	name := c.names[0]
	c.names = slices.Delete(c.names, 0, 1)
	c.asking = false
	if c.answered {
		s.extra = s.extra.With(name, c.answer)
	} else {
		s.extra = s.extra.Without(name)
	}
	l.conn.Extra = s.extra
}

// forgetExtra notes that unreported settings are back at the server's
// defaults here, and at its startup values for the session.
func (s *session) forgetExtra(l *link) {
	l.conn.Extra = l.conn.Extra.Empty()
	s.extra = s.startExtra
	l.changes.names = l.changes.names[:0]
}

// forgetStatements notes that the server has dropped all named statements (the
// unnamed one is no statement of its table: prepare.c). What is prepared later
// in the same pipeline is still in the queue and stays.
func (s *session) forgetStatements(l *link) {
	l.prepared.clear()
	kept := map[string]named{}
	for i := range l.replies.len() {
		r := l.replies.at(i)
		if r.kind != replyParse || r.stmt == nil || r.unnamed {
			continue
		}
		if r.action != insert {
			l.prepared.add(r.stmt, s.srv.schema.Load())
		}
		if r.name != "" {
			kept[r.name] = named{r.stmt, s.srv.schema.Load()}
		}
	}
	if s.phase != phaseGone {
		s.statements = kept
	}
}
