package proxy

import (
	"unsafe"

	"github.com/penstock/penstock/internal/wire"
	"github.com/penstock/penstock/router"
)

// cycle is what a client has sent up to the next point where the server says
// ReadyForQuery: a simple query, or a batch of the extended protocol.
type cycle struct {
	portals bool         // it binds portals with names
	size    int          // bytes; 0: it is not whole, or has something that is never routed
	class   router.Class // the worst of its texts
	text    string       // of a simple query, valid as long as the bytes are
}

// classifier is what judges texts: the cluster of the session's database.
type classifier interface {
	Classify(text string) router.Class
	ClassOf(st *Statement) router.Class
}

// firstCycle looks at the first cycle in p. It changes nothing. mu is held.
func (s *session) firstCycle(p []byte, judge classifier) cycle {
	h, ok := wire.ParseHeader(p)
	if !ok || h.CheckFrontend() != nil || len(p) < h.Total() {
		return cycle{}
	}
	if h.Type == wire.Query {
		text, _, ok := wire.CString(p[wire.HeaderSize:h.Total()])
		if !ok || len(text)+1 != h.Total()-wire.HeaderSize {
			return cycle{}
		}
		t := unsafe.String(unsafe.SliceData(text), len(text))
		return cycle{size: h.Total(), class: judge.Classify(t), text: t}
	}
	b := batch{s: s, judge: judge, unnamed: s.unnamed.next}
	for pos := 0; ; {
		h, ok := wire.ParseHeader(p[pos:])
		if !ok || h.CheckFrontend() != nil || len(p)-pos < h.Total() {
			return cycle{}
		}
		frame := p[pos : pos+h.Total()]
		pos += h.Total()
		if h.Type == wire.Sync {
			if !b.judged {
				return cycle{}
			}
			return cycle{size: pos, class: b.worst, portals: b.portals}
		}
		if !b.message(h.Type, frame[wire.HeaderSize:]) {
			return cycle{}
		}
	}
}

// batch walks over the messages of the extended protocol in front of a Sync.
type batch struct {
	s       *session
	judge   classifier
	unnamed *Statement
	parsed  [4]parsedName // by this batch
	n       int
	worst   router.Class
	judged  bool
	portals bool
}

type parsedName struct {
	name string
	stmt *Statement
}

// message looks at one message and says whether the batch may be routed.
func (b *batch) message(typ byte, body []byte) bool {
	switch typ {
	case wire.Parse:
		name, rest, ok := wire.CString(body)
		return ok && b.parse(name, rest)
	case wire.Bind:
		portal, rest, ok := wire.CString(body)
		name, _, ok2 := wire.CString(rest)
		b.portals = b.portals || len(portal) > 0
		return ok && ok2 && b.use(name)
	case wire.Describe:
		if len(body) < 2 || body[0] != 'S' {
			return true
		}
		name, _, ok := wire.CString(body[1:])
		return ok && b.use(name)
	case wire.Execute, wire.Close, wire.Flush:
		return true
	}
	return false
}

func (b *batch) parse(name, rest []byte) bool {
	st := b.s.srv.statements.statement(rest)
	if len(name) == 0 {
		b.unnamed = st
	} else {
		if b.n == len(b.parsed) {
			return false
		}
		b.parsed[b.n] = parsedName{string(name), st}
		b.n++
		if _, taken := b.s.statements[string(name)]; taken {
			return false
		}
	}
	b.note(st)
	return true
}

// use notes the use of a statement. One that does not exist is for the primary
// to refuse.
func (b *batch) use(name []byte) bool {
	st := b.unnamed
	if len(name) > 0 {
		st = b.s.statements[string(name)].Statement
		for i := range b.n {
			if b.parsed[i].name == string(name) {
				st = b.parsed[i].stmt
			}
		}
	}
	if st == nil {
		return false
	}
	b.note(st)
	return true
}

func (b *batch) note(st *Statement) {
	c := b.judge.ClassOf(st)
	rules := b.worst.Rules | c.Rules
	defer func() { b.worst.Rules = rules }()
	if !b.judged || c.Reason > b.worst.Reason {
		c.Transaction |= b.worst.Transaction
		if b.worst.Hint > c.Hint {
			c.Hint = b.worst.Hint
		}
		b.worst = c
	} else {
		b.worst.Transaction |= c.Transaction
		b.worst.Hint = max(b.worst.Hint, c.Hint)
	}
	b.judged = true
}
