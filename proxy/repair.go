package proxy

import "github.com/penstock/penstock/internal/wire"

// PostgreSQL refuses to run a prepared statement whose result type has changed
// since it was prepared, after ALTER TABLE for example, with 0A000. Without a
// pooler a client would have to prepare it again; behind one it cannot know
// when. So where the refusal is the first answer outside a transaction, the
// statement is prepared again and the client's messages are sent once more:
// nothing of them has been run. That is done only where the client asks for a
// description in the same batch: one that goes by the description it has would
// read the rows of the new type as if they were of the old (docs/decisions/0011).

// repairLimit bounds the copy of a batch, in bytes.
const repairLimit = 8 << 10

// repair is the state of a batch that may be sent again.
type repair struct {
	reused bool // the batch uses a statement that was prepared earlier
	asks   bool // the batch asks for a description
	armed  bool // nothing of its replies has reached the client
	batch  []byte
	stmt   *Statement // the one to be prepared again
	failed []byte     // the error, kept until the batch is sent again
}

// reset forgets everything but the memory.
func (r *repair) reset() { *r = repair{batch: r.batch[:0]} }

// repairable keeps a copy of a batch that may have to be sent again. mu is held.
func (s *session) repairable(l *link, idle bool, batch []byte) {
	r := &l.repair
	last := l.replies.len() - 1
	r.armed = r.reused && r.asks && idle && len(batch) <= repairLimit && s.pass == 0 && last >= 0 && l.replies.at(last).kind == replySync
	r.reused, r.asks = false, false
	if r.armed {
		r.batch = append(r.batch[:0], batch...)
	}
}

// repairs decides whether an error can be repaired, and has the rest of the
// batch skipped if so.
func (d *digester) repairs(r *reply, f fields, body []byte) bool {
	s, l := d.s, d.l
	if r.kind != replyBind && r.kind != replyDescribe || r.stmt == nil || f.code != "0A000" ||
		f.message != "cached plan must not change result type" {
		return false
	}
	s.srv.schemaChanged() // by somebody else, or we should know: a Parse is to be a real one
	if !l.repair.armed || s.phase == phaseGone {
		return false
	}
	n := l.replies.untilSync()
	if n != l.replies.len()-1 || l.replies.at(n).action != forward {
		return false // the client has sent more
	}
	l.repair.armed = false
	l.repair.stmt = r.stmt
	l.repair.failed = wire.AppendFrame(nil, wire.ErrorResponse, body)
	l.replies.at(n).action = skip
	d.skipToSync()
	return true
}

// giveUpRepair tells the client the error after all: it has sent more since.
func (d *digester) giveUpRepair() {
	d.flush()
	d.out = append(d.out, d.l.repair.failed...)
	d.out = wire.AppendReady(d.out, d.l.conn.TxStatus)
	d.l.repair.failed = nil
}

// repairNow sends the batch again, behind a Close of the stale statement. The
// server waits for a query. mu is held.
func (s *session) repairNow(l *link) {
	batch, stale := l.repair.batch, l.repair.stmt
	l.repair.reset()
	l.prepared.remove(stale)
	l.replies.push(reply{kind: replyClose, action: skip})
	m := composer{s: s, l: l, p: batch, out: wire.AppendClose(nil, stale.name)}
	_ = m.compose() // it went well the first time
	m.run()
	s.injectBytes(l, m.out)
	l.repair.reset()
}
