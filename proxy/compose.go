package proxy

import (
	"strings"
	"unsafe"

	"github.com/penstock/penstock/internal/pgerr"
	"github.com/penstock/penstock/internal/sqlscan"
	"github.com/penstock/penstock/internal/wire"
)

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
		if more, err := m.begin(h, frame); !more || err != nil {
			return err
		}
	}
	return nil
}

// passing looks at a part of a long simple query for the one effect that no
// command tag gives away.
func (m *composer) passing(part []byte) {
	m.s.noteText(part)
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
		return m.mustWaitToDeallocate(effectOf(body))
	case wire.Execute:
		return m.l.bound.known && m.mustWaitToDeallocate(m.l.bound.effect)
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

// mustWaitToDeallocate: whether we answer DEALLOCATE depends on the transaction
// status, which an answer outstanding may change.
func (m *composer) mustWaitToDeallocate(e sqlscan.Effect) bool {
	if e.Kind != sqlscan.Deallocate {
		return false
	}
	q := &m.l.replies
	mine, known := m.s.statements[e.Name]
	return known && q.cycles() > 0 || q.unsure(e.Name, mine.Statement)
}

// begin deals with the first part of a frame that is larger than a buffer. It
// returns false where the frame must wait for the next round.
func (m *composer) begin(h wire.Header, part []byte) (more bool, err error) {
	if h.Type == wire.Parse && m.s.mode != modeSession {
		if h.Total() > maxParse {
			return false, pgerr.FrameTooLarge(int64(h.Total()), maxParse, "the size of a prepared statement")
		}
		if m.pos > 0 {
			return false, nil // alone
		}
		m.s.large = append(make([]byte, 0, 2*len(part)), part...)
		m.drop(len(part))
		return true, nil
	}
	rest, deaf := h.Total()-len(part), m.l.deaf
	m.frame(h, part)
	if deaf {
		m.s.discard = rest
	} else {
		m.s.pass = rest
	}
	return true, nil
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
	case wire.Query, wire.FunctionCall:
		// PostgreSQL 18 loses count of its own transaction here, and whoever
		// runs the next statement is told: not somebody else.
		l.mixed = l.mixed || l.open
		l.open = false
	case wire.Sync:
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
	s.noteText(body)
	r.effect, r.name = e.Kind, strings.Clone(e.Name) // the text is gone when the buffer is
	if s.mode != modeSession {
		if r.effect == sqlscan.Deallocate && m.deallocate(frame, r) {
			s.unnamed = slot{}
			return
		}
		r.unnamed = true
		s.changeUnnamed(l, nil, true)
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
