package proxy

import (
	"time"

	"github.com/penstock/penstock/internal/sqlscan"
	"github.com/penstock/penstock/internal/wire"
	"github.com/penstock/penstock/router"
)

// A read-only transaction runs on a replica as long as its statements are safe
// reads. One that is not, as pg_advisory_lock or a function that may do anything,
// means something else there, and often without an error. At READ COMMITTED every
// statement has a snapshot of its own, so the transaction can be ended on the
// replica and begun again on the primary, in front of that statement. Where it
// cannot be moved, the client gets an error that says why.

// mayStay says whether the next cycle of a transaction that is open on a replica
// may run there. mu is held.
func (s *session) mayStay(c *cycle) bool {
	switch r := c.class.Reason; {
	case c.size == 0, c.class.Hint == sqlscan.HintPrimary:
		return false
	case r == router.ReasonTransaction:
		return !c.class.Transaction.Has(router.TransactionReadWrite | router.TransactionBegins | router.TransactionSerializable)
	default:
		return r == router.ReasonSafeRead || r == router.ReasonSystemCatalog || r == router.ReasonServerLocal
	}
}

// takeInReplica takes the next bytes of a client whose transaction is open on a
// replica that has nothing else to do. mu is held on entry and not on return.
func (s *session) takeInReplica(l *link, p []byte) (used int, err error) {
	if onlyPortals(p) {
		return s.send(l, p[:extent(p)])
	}
	c := s.firstCycle(p, s.route)
	if s.mayStay(&c) {
		l.portals = l.portals || c.portals
		return s.send(l, p[:c.size])
	}
	if l.began == "" || l.portals || !s.readCommitted() {
		return s.refuseInReplica(l, p)
	}
	r := s.route
	r.begin, r.mustPrimary = l.began, true
	s.inject(l, "COMMIT")
	s.mu.Unlock()
	for { // the replica has nothing to do but to answer
		s.mu.Lock()
		gone := s.link != l
		s.mu.Unlock()
		if gone || s.client.Killed() {
			return 0, errAgain
		}
		time.Sleep(20 * time.Microsecond)
	}
}

// readCommitted says whether the session's transactions have a snapshot for
// each statement. mu is held.
func (s *session) readCommitted() bool {
	isolation, ok := s.extra.Get("default_transaction_isolation")
	return !s.route.begins.isolated && (!ok || isolation == "read committed" || isolation == "read uncommitted")
}

// refuseInReplica answers a cycle with an error that aborts its transaction.
// mu is held on entry and not on return.
func (s *session) refuseInReplica(l *link, p []byte) (used int, err error) {
	const text = `DO $penstock$BEGIN RAISE EXCEPTION USING ERRCODE = '0A000',
 MESSAGE = 'statement cannot run in a read-only transaction on a replica',
 DETAIL = 'The transaction has begun on a replica and cannot be moved to the primary.',
 HINT = 'Begin it with SET penstock.target = primary, or a comment /* penstock: primary */ in its first statement.'; END$penstock$`
	l.replies.push(reply{kind: replyQuery, unnamed: true})
	s.changeUnnamed(l, nil, true)
	s.injectBytes(l, wire.AppendString(nil, wire.Query, text))
	s.mu.Unlock()
	n := extent(p)
	if h, ok := wire.ParseHeader(p); ok && len(p) < h.Total() {
		s.discard = h.Total()
		return 0, errAgain
	}
	return n, nil
}

// onlyPortals says whether the first cycle in p uses nothing but portals that
// are there already.
func onlyPortals(p []byte) bool {
	for pos := 0; ; {
		h, ok := wire.ParseHeader(p[pos:])
		if !ok || h.CheckFrontend() != nil {
			return false
		}
		switch h.Type {
		case wire.Sync:
			return true
		case wire.Execute, wire.Close, wire.Flush:
		case wire.Describe:
			if len(p)-pos <= wire.HeaderSize || p[pos+wire.HeaderSize] != 'P' {
				return false
			}
		default:
			return false
		}
		if pos += h.Total(); pos > len(p) {
			return false
		}
	}
}
