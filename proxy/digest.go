package proxy

import (
	"bytes"
	"fmt"

	"github.com/penstock/penstock/internal/pgerr"
	"github.com/penstock/penstock/internal/wire"
)

// digester walks over the server's frames. The session's mu is held.
type digester struct {
	s    *session
	l    *link
	p    []byte
	pos  int // up to here p is dealt with
	from int // from here to pos p goes to the client and is not in out yet
	out  []byte
}

// digest deals with the frames in p that are whole, and with the parts of
// those that are streamed. It stops where the link may be settled.
func (d *digester) digest() (err error) {
	defer d.s.srv.recovered(&err)
	l := d.l
	if l.remain > 0 {
		n := min(l.remain, len(d.p))
		l.remain -= n
		d.advance(n, !l.drop)
	}
	for l.remain == 0 {
		d.inserts()
		h, ok := wire.ParseHeader(d.p[d.pos:])
		if !ok {
			return nil
		}
		if err := h.CheckBackend(); err != nil {
			return fmt.Errorf("server sent %q: %w", h.Type, err)
		}
		frame := d.p[d.pos:]
		rest := h.Total() - len(frame)
		if rest > 0 {
			if !streamed(h) || l.changes.asking {
				return nil // not whole yet
			}
		} else {
			frame, rest = frame[:h.Total()], 0
		}
		keep, err := d.reply(h.Type, frame[wire.HeaderSize:])
		if err != nil {
			return err
		}
		l.remain, l.drop = rest, !keep
		d.advance(len(frame), keep)
		if h.Type == wire.ReadyForQuery && l.replies.len() == 0 {
			return nil // settle before what may come behind it
		}
	}
	return nil
}

// streamed says whether a frame passes before it is whole: data, which we
// never look into, and whatever is larger than a buffer.
func streamed(h wire.Header) bool {
	return h.Type == wire.DataRow || h.Type == wire.CopyData || h.Total() > wire.BufferSize
}

// advance steps over n bytes, which are the client's or not.
func (d *digester) advance(n int, keep bool) {
	if keep {
		d.pos += n
		return
	}
	d.flush()
	d.pos += n
	d.from = d.pos
}

// flush moves the client's bytes before pos to out.
func (d *digester) flush() {
	if d.from < d.pos {
		d.out = append(d.out, d.p[d.from:d.pos]...)
		d.from = d.pos
	}
}

// bytes returns what goes to the client.
func (d *digester) bytes() []byte {
	if len(d.out) == 0 {
		return d.p[d.from:d.pos]
	}
	d.flush()
	d.l.out = d.out
	return d.out
}

// inserts emits the replies at the head of the queue that the server does not
// send. Behind the server's FATAL comes nothing.
func (d *digester) inserts() {
	l := d.l
	if l.fatal {
		return
	}
	for r := l.replies.first(); r != nil; r = l.replies.first() {
		if r.kind == replyCopyEnd {
			l.replies.pop()
			continue
		}
		if r.action != insert {
			return
		}
		d.flush()
		switch r.kind {
		case replyParse:
			d.out = wire.AppendEmpty(d.out, wire.ParseComplete)
		case replyClose:
			d.out = wire.AppendEmpty(d.out, wire.CloseComplete)
		case replyQuery, replyExecute:
			d.out = wire.AppendString(d.out, wire.CommandComplete, "DEALLOCATE")
			if r.kind == replyQuery {
				d.out = wire.AppendReady(d.out, l.conn.TxStatus)
			}
		case replyFunction, replyBind, replyDescribe, replySync, replyCopyEnd:
			panic("bug: nothing to insert for this reply")
		}
		l.repair.armed = false
		l.replies.pop()
	}
}

// reply decides about one message of the server, by the head of the queue:
// whether it goes to the client, and what it completes. Manual, Message Flow.
func (d *digester) reply(typ byte, body []byte) (keep bool, err error) {
	l := d.l
	r := l.replies.first()
	switch typ {
	case wire.NoticeResponse, wire.NotificationResponse:
		return r == nil || r.action != skip, nil
	case wire.ParameterStatus:
		return d.parameter(r, body), nil
	case wire.ErrorResponse:
		return d.error(r, body)
	}
	if r == nil || !expected(r.kind, typ) {
		return false, fmt.Errorf("server sent an unexpected message of type %q", typ)
	}
	if l.restore.held {
		d.letGo()
	}
	keep = r.action != skip
	if keep {
		l.repair.armed = false
	}
	switch typ {
	case wire.ReadyForQuery:
		return d.ready(r, body)
	case wire.CommandComplete:
		d.completed(r, body)
		d.popUnless(r, replyQuery)
	case wire.EmptyQueryResponse, wire.PortalSuspended, wire.RowDescription:
		d.popUnless(r, replyQuery)
	case wire.ParseComplete, wire.BindComplete, wire.CloseComplete, wire.NoData:
		d.s.pop(l, false)
	case wire.CopyInResponse:
		d.copyIn(r)
	case wire.DataRow:
		if l.changes.asking {
			l.changes.answer, l.changes.answered = firstColumn(body)
		}
	}
	return keep, nil
}

func (d *digester) popUnless(r *reply, kind replyKind) {
	if r.kind != kind {
		d.l.replies.pop()
	}
}

// expected says whether a message type can answer a request.
func expected(kind replyKind, typ byte) bool {
	var types string
	switch kind {
	case replyQuery:
		types = "ZTCDIGHdcW"
	case replyExecute:
		types = "CDIsGHdcW"
	case replyParse:
		types = "1"
	case replyBind:
		types = "2"
	case replyDescribe:
		types = "tTn"
	case replyClose:
		types = "3"
	case replySync:
		types = "Z"
	case replyFunction:
		types = "VZ"
	case replyCopyEnd:
	}
	for i := range len(types) {
		if types[i] == typ {
			return true
		}
	}
	return false
}

// ready ends a cycle: the one place where the transaction status comes from.
func (d *digester) ready(r *reply, body []byte) (keep bool, err error) {
	s, l := d.s, d.l
	if len(body) != 1 || !r.closesCycle() {
		return false, fmt.Errorf("server sent an unexpected ReadyForQuery")
	}
	status := body[0]
	l.conn.TxStatus = status
	l.copyIn, l.committed = false, false
	keep = r.action != skip
	asked := l.changes.asking
	s.pop(l, false)
	if l.ddl && status == 'I' {
		l.ddl = false
		s.schemaChanged() // it was invisible to others until now
	}
	switch {
	case asked:
		s.answered(l)
	case l.restore.running:
		d.restored()
		return false, nil
	}
	if !keep {
		if l.repair.failed != nil && l.replies.len() > 0 {
			d.giveUpRepair()
		}
		return false, nil
	}
	now := s.srv.clock()
	l.conn.Counters.Query(now - s.since)
	if s.route != nil {
		s.route.noteReady(l, status, now-s.since)
	}
	s.since = now
	if status == 'I' {
		l.conn.Counters.Xact(now - s.xactSince)
	}
	if d.holds() {
		return false, nil
	}
	if s.mode == modeStatement && status != 'I' {
		d.flush()
		s.ending = pgerr.NotInThisMode("transaction blocks", "statement").Fatal()
		s.client.Kill()
		return false, nil
	}
	return true, nil
}

// parameter notes a ParameterStatus and says whether it is news to the client.
func (d *digester) parameter(r *reply, body []byte) bool {
	s, l := d.s, d.l
	name, value := l.conn.Reported(body)
	if r != nil && r.action == skip || l.restore.pending() {
		return false
	}
	s.vars = s.vars.With(name, value)
	return true
}

// copyIn notes that the server wants the data of a COPY.
func (d *digester) copyIn(r *reply) {
	s, l := d.s, d.l
	l.copyIn = true
	for i := range l.replies.len() {
		if l.replies.at(i).kind == replyCopyEnd {
			l.copyIn = false // and the client has sent its end already
			break
		}
	}
	l.replies.dropSyncsInCopy()
	if s.phase == phaseGone {
		s.endCopy(l)
	}
}

// error deals with an ErrorResponse: it ends the request at the head and, in
// the extended protocol, everything up to Sync.
func (d *digester) error(r *reply, body []byte) (keep bool, err error) {
	l := d.l
	f := errorFields(body)
	if f.severity == "FATAL" || f.severity == "PANIC" {
		if r == nil && l.conn.TxStatus == 'I' && !l.open && !l.begun && d.s.pinned == "" {
			// It is about to be let go of: what becomes of it is not the client's business.
			l.conn.Retire()
			return false, nil
		}
		l.fatal = true
		return !l.attempt.armed, nil
	}
	l.copyIn = false
	if r == nil {
		return false, fmt.Errorf("server sent an error that answers nothing: %q", f.message)
	}
	if d.fails(f) {
		return false, nil
	}
	if l.restore.held {
		d.letGo()
	}
	if !r.extended() {
		if r.action == skip && !l.changes.asking {
			// The settings of a session, or the cleaning behind one: without
			// them nobody may use the connection.
			return false, fmt.Errorf("server refuses a statement of ours: %q", f.message)
		}
		return r.action != skip, nil
	}
	if d.repairs(r, f, body) {
		return false, nil
	}
	d.skipToSync()
	l.repair.armed = false
	return true, nil
}

// skipToSync drops what the server discards after an error in the head.
func (d *digester) skipToSync() {
	l := d.l
	n := l.replies.untilSync()
	d.s.undo(l, n, true)
	if l.replies.len() == 0 {
		l.deaf = true // the Sync is still to come
	}
}

// fields are those of an ErrorResponse that we act on.
type fields struct{ severity, code, message string }

// errorFields reads them without trusting the layout; a middlebox may leave
// any of them out (CVE-2026-6666).
func errorFields(body []byte) fields {
	var f fields
	for len(body) > 1 {
		value, rest, ok := wire.CString(body[1:])
		if !ok {
			break
		}
		switch body[0] {
		case 'V':
			f.severity = string(value)
		case 'S':
			if f.severity == "" {
				f.severity = string(value)
			}
		case 'C':
			f.code = string(value)
		case 'M':
			f.message = string(value)
		}
		body = rest
	}
	return f
}

// firstColumn is the text of a DataRow's first column.
func firstColumn(body []byte) (string, bool) {
	if len(body) < 6 {
		return "", false
	}
	n := int(int32(uint32(body[2])<<24 | uint32(body[3])<<16 | uint32(body[4])<<8 | uint32(body[5])))
	if n < 0 || n > len(body)-6 {
		return "", false
	}
	return string(bytes.Clone(body[6 : 6+n])), true
}
