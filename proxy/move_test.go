package proxy

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/penstock/penstock/internal/sqlscan"
	"github.com/penstock/penstock/internal/wire"
	"github.com/penstock/penstock/router"
)

func TestWhatMayStayOnAReplica(t *testing.T) {
	t.Parallel()
	s := &session{}
	for reason, want := range map[router.Reason]bool{
		router.ReasonSafeRead: true, router.ReasonSystemCatalog: true, router.ReasonServerLocal: true, router.ReasonTransaction: true,
		router.ReasonSequence: false, router.ReasonUnsafeFunction: false, router.ReasonWrite: false, router.ReasonNotUnderstood: false,
		router.ReasonSessionState: false, router.ReasonCursor: false, router.ReasonNoCatalog: false, router.ReasonMultiStatement: false,
		router.ReasonReadOnlyTransaction: false, router.ReasonNone: false,
	} {
		c := cycle{size: 1, class: router.Class{Reason: reason}}
		if got := s.mayStay(&c); got != want {
			t.Errorf("%s: %t", reason, got)
		}
		c.class.Hint = sqlscan.HintPrimary
		if s.mayStay(&c) {
			t.Errorf("%s stays, although it is asked to the primary", reason)
		}
		if s.mayStay(&cycle{class: router.Class{Reason: reason}}) {
			t.Errorf("%s stays, although it is not whole", reason)
		}
	}
	for _, says := range []router.Transaction{router.TransactionReadWrite, router.TransactionBegins, router.TransactionSerializable} {
		if s.mayStay(&cycle{size: 1, class: router.Class{Reason: router.ReasonTransaction, Transaction: router.TransactionEnds | says}}) {
			t.Errorf("a text about transactions stays that says %d", says)
		}
	}
}

func TestOnlyAReadCommittedTransactionIsMoved(t *testing.T) {
	t.Parallel()
	g := newReader(t)
	for begin, want := range map[string]bool{
		"begin read only": true, "begin isolation level read committed": true, "begin isolation level read uncommitted": true,
		"begin isolation level repeatable read": false, "begin isolation level serializable": false,
	} {
		g.s.route.begins, _ = parseBegin(begin)
		if got := g.s.readCommitted(); got != want {
			t.Errorf("%s: %t", begin, got)
		}
	}
	g.s.route.begins = beginning{}
	for isolation, want := range map[string]bool{"read committed": true, "read uncommitted": true, "repeatable read": false, "serializable": false} {
		g.s.extra = g.s.extra.With("default_transaction_isolation", isolation)
		if got := g.s.readCommitted(); got != want {
			t.Errorf("by default %s: %t", isolation, got)
		}
	}
}

// postgres is a server that has prepared statements and no transactions.
type postgres struct {
	named    map[string]string
	unnamed  string // a text; "" none
	portal   string
	skipping bool
	out      []byte
}

// answer does what postgres.c does: exec_parse_message drops the unnamed
// statement before it looks at the new text, exec_simple_query as well. A text
// that begins with "bad" is refused when it is parsed, "boom" when it runs.
func (y *postgres) answer(typ byte, body []byte) {
	if y.skipping && typ != wire.Sync {
		return
	}
	name, rest, _ := wire.CString(body)
	switch typ {
	case wire.Query:
		y.unnamed, y.portal = "", ""
		if strings.HasPrefix(string(name), "bad") {
			y.refuse("42601")
		} else {
			y.out = wire.AppendString(y.out, wire.CommandComplete, "SELECT 0")
		}
		y.out = wire.AppendReady(y.out, 'I')
	case wire.Parse:
		y.parse(string(name), rest)
	case wire.Bind:
		stmt, _, _ := wire.CString(rest)
		if y.portal = y.text(string(stmt)); y.portal == "" {
			y.fail("26000")
			return
		}
		y.out = wire.AppendEmpty(y.out, wire.BindComplete)
	case wire.Describe:
		if stmt := y.text(string(name[1:])); stmt == "" {
			y.fail("26000")
			return
		}
		y.out = append(y.out, toyParams...)
		y.out = append(y.out, toyRows...)
	case wire.Execute:
		switch {
		case y.portal == "":
			y.fail("34000")
		case strings.HasPrefix(y.portal, "boom"):
			y.fail("22012")
		default:
			y.out = append(y.out, frames("D("+y.portal+") C(SELECT 1)", false)...)
		}
	case wire.Close:
		if name = name[1:]; len(name) == 0 {
			y.unnamed = ""
		} else {
			delete(y.named, string(name))
		}
		y.out = wire.AppendEmpty(y.out, wire.CloseComplete)
	case wire.Sync:
		y.skipping, y.portal = false, ""
		y.out = wire.AppendReady(y.out, 'I')
	}
}

func (y *postgres) parse(name string, rest []byte) {
	sql, _, _ := wire.CString(rest)
	if name == "" {
		y.unnamed = ""
	}
	switch _, taken := y.named[name]; {
	case strings.HasPrefix(string(sql), "bad"):
		y.fail("42601") // raw_parser comes before StorePreparedStatement
		return
	case taken:
		y.fail("42P05")
		return
	case name == "":
		y.unnamed = "text " + string(sql)
	}
	if name != "" {
		y.named[name] = "text " + string(sql)
	} else {
		y.unnamed = "text " + string(sql)
	}
	y.out = wire.AppendEmpty(y.out, wire.ParseComplete)
}

func (y *postgres) text(name string) string {
	if name == "" {
		return strings.TrimPrefix(y.unnamed, "text ")
	}
	return strings.TrimPrefix(y.named[name], "text ")
}

func (y *postgres) fail(code string) {
	y.refuse(code)
	y.skipping = true
}

func (y *postgres) refuse(code string) {
	y.out = append(y.out, frames("E("+code+",refused)", false)...)
}

// say takes whole frames and returns what is answered.
func (y *postgres) say(p []byte) []byte {
	y.out = nil
	for len(p) > 0 {
		h, _ := wire.ParseHeader(p)
		y.answer(h.Type, p[wire.HeaderSize:h.Total()])
		p = p[h.Total():]
	}
	return y.out
}

// wanderer is a session, and a PostgreSQL of its own that gets the same.
type wanderer struct {
	s      *session
	direct *postgres
}

// TestSessionsThatShareConnectionsNoticeNothing sends random pipelines of
// sessions over random connections, with errors at any place: each session
// hears what it would hear from a PostgreSQL of its own.
func TestSessionsThatShareConnectionsNoticeNothing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 5))
		g := newStage(t, modeTransaction)
		conn, w := g.l.conn, g.s.srv
		var sessions []wanderer
		for range 3 {
			s := &session{srv: w, client: g.s.client, mode: modeTransaction, pool: g.s.pool, vars: g.s.vars}
			sessions = append(sessions, wanderer{s, &postgres{named: map[string]string{}}})
		}
		links := []*link{{conn: conn}, {conn: conn}}
		servers := []*postgres{{named: map[string]string{}}, {named: map[string]string{}}}
		var told []string
		for range 30 {
			who, where := r.IntN(len(sessions)), r.IntN(len(links))
			story := randomPipeline(r)
			told = append(told, fmt.Sprintf("session %d on %d: %s", who, where, story))
			p := frames(story, true)
			want := text(sessions[who].direct.say(p), false)
			if got := text(travel(t, r, sessions[who].s, links[where], servers[where], p), false); got != want {
				t.Fatalf("seed %d:\n%s\ngot  %s\nwant %s", seed, strings.Join(told, "\n"), got, want)
			}
		}
		runtime.KeepAlive(w)
	}
}

func randomPipeline(r *rand.Rand) string {
	names, texts := []string{"", "", "", "a", "b"}, []string{"select 1", "select 2", "bad", "boom"}
	name := func() string { return names[r.IntN(len(names))] }
	var b []string
	for range 1 + r.IntN(3) {
		for range r.IntN(6) {
			switch r.IntN(7) {
			case 0, 1:
				b = append(b, fmt.Sprintf("P(%s,%s)", name(), texts[r.IntN(len(texts))]))
			case 2, 3:
				b = append(b, fmt.Sprintf("B(,%s)", name()))
			case 4:
				b = append(b, "E()")
			case 5:
				b = append(b, fmt.Sprintf("C(S,%s)", name()))
			case 6:
				b = append(b, fmt.Sprintf("D(S,%s)", name()))
			}
		}
		if b = append(b, "S"); r.IntN(3) == 0 {
			b = append(b, []string{"Q(select 3)", "Q(bad)"}[r.IntN(2)])
		}
	}
	return strings.Join(b, " ")
}

// travel takes a session's pipeline over a link to a server, in any pieces,
// and the answers back.
func travel(t *testing.T, r *rand.Rand, s *session, l *link, server *postgres, p []byte) (heard []byte) {
	t.Helper()
	s.link, s.phase = l, phaseActive
	var due []byte // answers that are on their way
	digest := func(all bool) {
		n := len(due)
		if !all {
			n = r.IntN(n + 1)
		}
		for first := true; first || n > 0; first = false {
			d := digester{s: s, l: l, p: due[:n]}
			if err := d.digest(); err != nil {
				t.Fatal(err)
			}
			heard = append(heard, d.bytes()...)
			if due, n = due[d.pos:], n-d.pos; d.pos == 0 {
				break // the rest of a frame is to come
			}
		}
	}
	for len(p) > 0 {
		m := composer{s: s, l: l, p: p[:1+r.IntN(len(p))]}
		if err := m.compose(); err != nil {
			t.Fatal(err)
		}
		due = append(due, server.say(slices.Clone(m.bytes()))...)
		p = p[m.pos:]
		digest(m.unsure)
	}
	digest(true)
	if n := l.replies.len(); n > 0 || len(due) > 0 {
		t.Fatalf("%d answers and %d bytes are outstanding", n, len(due))
	}
	if len(l.taken) > 0 {
		s.forget(l, server)
	}
	s.unlink(l)
	return heard
}

// forget does what settle does about names that were taken, without a socket.
func (s *session) forget(l *link, server *postgres) {
	for _, name := range l.taken {
		server.answer(wire.Close, append([]byte("S"), name+"\x00"...))
	}
	l.taken = nil
}

func TestPredictedSlotsComeTrue(t *testing.T) {
	t.Parallel()
	g := newStage(t, modeTransaction)
	one, two := &Statement{body: "1"}, &Statement{body: "2"}
	s, l := g.s, g.l
	push := func(r reply) {
		s.mu.Lock()
		defer s.mu.Unlock()
		l.replies.push(r)
		if r.unnamed {
			s.changeUnnamed(l, r.stmt, r.action == forward)
		}
	}
	want := func(name string, session, server slot) {
		t.Helper()
		if s.unnamed != session || l.unnamed != server {
			t.Errorf("%s: %+v and %+v, want %+v and %+v", name, s.unnamed, l.unnamed, session, server)
		}
	}
	push(reply{kind: replyParse, stmt: one, unnamed: true})
	want("sent", slot{nil, one}, slot{nil, one})
	s.pop(l, false)
	want("done", slot{one, one}, slot{one, one})
	push(reply{kind: replyParse, stmt: two, unnamed: true, action: skip})
	want("ours", slot{one, one}, slot{one, two})
	s.pop(l, false)
	want("ours is done", slot{one, one}, slot{two, two})
	push(reply{kind: replyQuery, unnamed: true})
	push(reply{kind: replyParse, stmt: two, unnamed: true})
	push(reply{kind: replyClose, unnamed: true})
	want("three", slot{one, nil}, slot{two, nil})
	s.pop(l, false)
	s.pop(l, true)
	l.replies.pop() // skipped
	s.predictUnnamed(l)
	want("the Parse has failed", slot{}, slot{})
}
