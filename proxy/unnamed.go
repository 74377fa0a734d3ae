package proxy

// slot is what is known of an unnamed prepared statement: that of a session,
// which its client means by "", or that of a server connection, which other
// sessions use too. Only Parse, Close and a simple query change one; whether a
// change of those happens shows when it is answered, since an error makes the
// server discard what stands behind it up to Sync.
type slot struct {
	now  *Statement // by the answers that have come; nil: none
	next *Statement // when everything that has been sent is carried out
}

// settle forgets what has been sent and is not carried out.
func (u *slot) settle() { u.next = u.now }

// changeUnnamed notes a message that leaves st in the unnamed slots: that of
// the server, and that of the session if it is the client's own.
func (s *session) changeUnnamed(l *link, st *Statement, own bool) {
	l.unnamed.next = st
	if own {
		s.unnamed.next = st
	}
}

// pop drops the head of the queue, which has been carried out, or has failed
// while it was. mu is held.
func (s *session) pop(l *link, failed bool) {
	if r := l.replies.first(); r.unnamed {
		st := r.stmt
		if failed {
			st = nil // postgres.c, exec_parse_message drops the old one first
		}
		l.unnamed.now = st
		if r.action == forward {
			s.unnamed.now = st
		}
	}
	l.replies.pop()
}

// predictUnnamed works out again what the slots will be, when a part of the
// queue has been dropped. mu is held.
func (s *session) predictUnnamed(l *link) {
	s.unnamed.settle()
	l.unnamed.settle()
	for i := range l.replies.len() {
		if r := l.replies.at(i); r.unnamed {
			s.changeUnnamed(l, r.stmt, r.action == forward)
		}
	}
}
