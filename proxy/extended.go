package proxy

import (
	"slices"
	"strings"

	"github.com/penstock/penstock/internal/sqlscan"
	"github.com/penstock/penstock/internal/wire"
)

// In transaction mode the names that a client gives to its prepared statements
// are the client's only. On servers a statement has one name, made from its
// text, and is prepared on a connection when it is first needed there. What
// PostgreSQL would refuse is sent so that the server refuses it itself: the
// error comes in its place, aborts what it must abort, and is word for word
// PostgreSQL's.

// parse notes a Parse: of a name that is taken, of a statement that this
// server connection knows already, or of a new one.
func (m *composer) parse(frame, body []byte) {
	s, l := m.s, m.l
	name, rest, ok := wire.CString(body)
	if s.mode == modeSession || !ok {
		if e := effectOf(rest); e.Kind != sqlscan.Unknown {
			// Names are the client's own here: the last such text is meant.
			l.bound = boundPortal{effect: sqlscan.Effect{Kind: e.Kind, Name: strings.Clone(e.Name)}, known: true}
		}
		l.replies.push(reply{kind: replyParse})
		m.keep(len(frame))
		return
	}
	l.conn.Counters.Parsed(true, false)
	s.noteText(rest)
	if len(name) == 0 {
		m.parseUnnamed(frame, rest)
		return
	}
	if _, taken := s.statements[string(name)]; taken {
		m.parseTaken(frame, string(name))
		return
	}
	st := s.srv.statements.statement(rest)
	r := reply{kind: replyParse, stmt: st, name: string(name)}
	if s.statements == nil {
		s.statements = map[string]named{}
	}
	s.statements[r.name] = named{st, s.srv.schema.Load()}
	if l.attempt.armed {
		l.attempt.parsed = append(l.attempt.parsed, r.name)
	}
	m.drop(len(frame))
	// In an aborted transaction, or where the answers outstanding may abort it,
	// the server must see it to refuse it, and to accept a ROLLBACK. After a change of the schema what is prepared may be stale.
	if l.prepared.fresh(st, s.srv.schema.Load()) && l.conn.TxStatus != 'E' && l.replies.cycles() == 0 {
		r.action = insert
		l.replies.push(r)
		return
	}
	if l.prepared.use(st) {
		m.out = wire.AppendClose(m.out, st.name)
		l.replies.push(reply{kind: replyClose, action: skip, stmt: st})
	}
	m.prepare(r)
}

// prepare sends a Parse of r's statement under its name on servers, after
// making room for it.
func (m *composer) prepare(r reply) {
	l := m.l
	if !l.prepared.use(r.stmt) {
		for limit := m.s.srv.preparedLimit(); l.prepared.len() >= limit && l.prepared.oldest != nil; {
			old := l.prepared.oldest.stmt
			l.prepared.remove(old)
			l.replies.push(reply{kind: replyClose, action: skip, stmt: old})
			m.out = wire.AppendClose(m.out, old.name)
		}
	}
	l.open = true
	l.prepared.add(r.stmt, m.s.srv.schema.Load())
	l.conn.Counters.Parsed(false, true)
	l.replies.push(r)
	m.out = r.stmt.appendParse(m.out, r.stmt.name)
}

// parseUnnamed passes the Parse on and remembers its text, for a Bind that
// comes when another server connection is linked.
func (m *composer) parseUnnamed(frame, rest []byte) {
	s, l := m.s, m.l
	st := s.unnamed.next
	if st == nil || st.body != string(rest) {
		st = s.srv.statements.statement(rest)
	}
	l.conn.Counters.Parsed(false, true)
	l.replies.push(reply{kind: replyParse, stmt: st, unnamed: true})
	s.changeUnnamed(l, st, true)
	m.keep(len(frame))
}

// parseTaken lets the server refuse a name that is taken: under the client's
// own name, which no server statement has, an empty statement is prepared
// anew, and dropped after the client's Sync by forgetTaken.
func (m *composer) parseTaken(frame []byte, clientName string) {
	m.drop(len(frame))
	name := safeName(clientName)
	m.out = wire.AppendClose(m.out, name) // one of before, in the same transaction
	m.l.replies.push(reply{kind: replyClose, action: skip})
	m.out = appendNamed(m.out, wire.Parse, name, "\x00\x00\x00")
	m.l.replies.push(reply{kind: replyParse, action: skip})
	m.out = appendNamed(m.out, wire.Parse, name, frame[wire.HeaderSize+len(clientName)+1:])
	m.l.replies.push(reply{kind: replyParse})
	m.l.taken = append(m.l.taken, name)
}

// safeName keeps a client from naming the statements of others.
func safeName(name string) string {
	if strings.HasPrefix(name, serverPrefix) {
		return "x" + name[1:]
	}
	return name
}

// bind notes a Bind and gives it the statement's name on servers.
func (m *composer) bind(frame, body []byte) {
	s, l := m.s, m.l
	portal, rest, ok := wire.CString(body)
	name, values, ok2 := wire.CString(rest)
	if s.mode == modeSession || !ok || !ok2 {
		l.replies.push(reply{kind: replyBind})
		m.keep(len(frame))
		return
	}
	l.conn.Counters.Bound()
	st, server := m.resolve(name)
	if st != nil {
		if string(portal) != l.bound.portal {
			l.bound.portal = string(portal)
		}
		l.bound.effect, l.bound.known = st.effect, true
	} else {
		l.bound.known = false
	}
	l.replies.push(reply{kind: replyBind, stmt: st})
	if server == string(name) {
		m.keep(len(frame))
		return
	}
	m.drop(len(frame))
	h, _ := wire.ParseHeader(frame)
	n := h.Len - len(name) + len(server)
	m.out = append(m.out, wire.Bind, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	m.out = append(m.out, portal...)
	m.out = append(m.out, 0)
	m.out = append(m.out, server...)
	m.out = append(m.out, 0)
	m.out = append(m.out, values...)
}

// resolve finds the statement that a client names, prepares it here where that
// is needed, and returns its name on the server. For a statement that does not
// exist it returns a name that makes the server say so.
func (m *composer) resolve(name []byte) (*Statement, string) {
	s, l := m.s, m.l
	if len(name) == 0 {
		st := s.unnamed.next
		switch {
		case st == l.unnamed.next && st != nil:
		case st != nil:
			m.run()
			m.out = st.appendParse(m.out, "")
			l.replies.push(reply{kind: replyParse, action: skip, stmt: st, unnamed: true})
			s.changeUnnamed(l, st, false)
		default:
			// Not another session's: 26000 is due.
			m.run()
			m.out = wire.AppendClose(m.out, "")
			l.replies.push(reply{kind: replyClose, action: skip, unnamed: true})
			s.changeUnnamed(l, nil, false)
		}
		return st, ""
	}
	mine, ok := s.statements[string(name)]
	if !ok {
		m.vacate(safeName(string(name)))
		return nil, safeName(string(name))
	}
	st := mine.Statement
	if l.prepared.fresh(st, mine.schema) {
		l.repair.reused = true
		return st, st.name
	}
	m.run()
	if l.prepared.use(st) { // older than the client's own Parse
		m.out = wire.AppendClose(m.out, st.name)
		l.replies.push(reply{kind: replyClose, action: skip, stmt: st})
	}
	m.prepare(reply{kind: replyParse, action: skip, stmt: st})
	return st, st.name
}

// vacate drops what parseTaken has left on the server under a client's name,
// since an open transaction keeps forgetTaken from doing it.
func (m *composer) vacate(name string) {
	if !slices.Contains(m.l.taken, name) {
		return
	}
	m.run()
	m.out = wire.AppendClose(m.out, name)
	m.l.replies.push(reply{kind: replyClose, action: skip})
}

// describe notes a Describe and renames the statement in it.
func (m *composer) describe(frame, body []byte) {
	s, l := m.s, m.l
	r := reply{kind: replyDescribe}
	l.repair.asks = true
	if s.mode == modeSession || len(body) == 0 || body[0] != 'S' {
		l.replies.push(r)
		m.keep(len(frame))
		return
	}
	name, rest, ok := wire.CString(body[1:])
	if !ok || len(rest) != 0 {
		l.replies.push(r)
		m.keep(len(frame))
		return
	}
	st, server := m.resolve(name)
	r.stmt = st
	l.replies.push(r)
	if server == string(name) {
		m.keep(len(frame))
		return
	}
	m.drop(len(frame))
	m.out = appendNamed(m.out, wire.Describe, "S"+server, "")
}

// close notes a Close. That of a statement is the session's own business: the
// server keeps it for others.
func (m *composer) close(frame, body []byte) {
	s, l := m.s, m.l
	r := reply{kind: replyClose}
	if s.mode != modeSession && len(body) > 1 && body[0] == 'S' {
		if name, rest, ok := wire.CString(body[1:]); ok && len(rest) == 0 {
			if len(name) == 0 {
				r.unnamed = true
				s.changeUnnamed(l, nil, true)
			} else {
				if _, known := s.statements[string(name)]; !known && s.pinned != "" {
					// It may be one of PREPARE.
					l.replies.push(r)
					m.drop(len(frame))
					m.out = wire.AppendClose(m.out, safeName(string(name)))
					return
				}
				r.action, r.name = insert, string(name)
				l.attempt.noteClose(r.name, s.statements[r.name])
				r.stmt = s.closeStatement(r.name)
				l.replies.push(r)
				m.drop(len(frame))
				return
			}
		}
	}
	l.replies.push(r)
	m.keep(len(frame))
}

// closeStatement forgets a statement of the session and returns it. mu is held.
func (s *session) closeStatement(name string) *Statement {
	if name == "" {
		s.unnamed = slot{}
		return nil
	}
	st := s.statements[name].Statement
	delete(s.statements, name)
	return st
}

// execute notes an Execute with the effect of what it runs.
func (m *composer) execute(frame, body []byte) {
	l := m.l
	r := reply{kind: replyExecute}
	portal, _, ok := wire.CString(body)
	if ok && l.bound.known && string(portal) == l.bound.portal {
		r.effect, r.name = l.bound.effect.Kind, l.bound.effect.Name
		if r.effect == sqlscan.Deallocate && m.s.mode != modeSession && m.deallocate(frame, r) {
			return
		}
	}
	l.replies.push(r)
	m.keep(len(frame))
}

// deallocate answers DEALLOCATE of a statement that was prepared by a Parse,
// which the server knows by another name. It reports whether it did.
func (m *composer) deallocate(frame []byte, r reply) bool {
	s, l := m.s, m.l
	if _, known := s.statements[r.name]; !known || l.conn.TxStatus == 'E' {
		return false
	}
	r.action, r.stmt = insert, s.closeStatement(r.name)
	m.drop(len(frame))
	if r.kind == replyQuery && l.conn.TxStatus == 'T' {
		// It would have run in the unnamed portal, and so dropped the one before.
		m.out = wire.AppendEmpty(appendNamed(m.out, wire.Close, "P", ""), wire.Sync)
		l.replies.push(reply{kind: replyClose, action: skip})
		l.replies.push(reply{kind: replySync, action: skip})
	}
	l.replies.push(r)
	return true
}

// undo takes back what the first n entries of the queue have changed in the
// session and on the connection, newest first, and drops them: the server has
// not carried them out. failed says that it has refused the first of them, and
// only discarded the rest. mu is held.
func (s *session) undo(l *link, n int, failed bool) {
	for k := n - 1; k >= 0; k-- {
		s.undoOne(l, l.replies.at(k))
	}
	for i := range n {
		if i == 0 && failed {
			s.pop(l, true)
		} else {
			l.replies.pop()
		}
	}
	s.predictUnnamed(l)
}

func (s *session) undoOne(l *link, r *reply) {
	switch r.kind {
	case replyParse:
		s.undoParse(l, r)
	case replyClose:
		switch {
		case r.action == insert && r.stmt != nil:
			s.putBack(r.name, r.stmt)
		case r.action == skip && r.stmt != nil:
			l.prepared.add(r.stmt, 0) // evicted in vain
		}
	case replyQuery, replyExecute:
		if r.effect == sqlscan.Deallocate && r.stmt != nil {
			s.putBack(r.name, r.stmt)
		}
	case replyFunction, replyBind, replyDescribe, replySync, replyCopyEnd:
	}
}

func (s *session) undoParse(l *link, r *reply) {
	if r.stmt == nil || r.unnamed {
		return
	}
	if r.name != "" && s.statements[r.name].Statement == r.stmt {
		delete(s.statements, r.name)
	}
	if r.action != insert {
		l.prepared.remove(r.stmt)
	}
}

func (s *session) putBack(name string, st *Statement) {
	if s.statements == nil {
		s.statements = map[string]named{}
	}
	if _, taken := s.statements[name]; !taken {
		s.statements[name] = named{st, 0}
	}
}
