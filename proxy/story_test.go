package proxy

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/penstock/penstock/internal/wire"
)

// The stories below show what the composer makes of a client's frames and the
// digester of the server's answers, without a socket. A line
//
//	> P(a,select 1) B(,a) E() S    is what the client sends,
//	| P(PENSTOCK_1,select 1) ...   what the server gets for it,
//	< 1 2 C(SELECT 1) Z(I)         what the server answers,
//	= 1 2 C(SELECT 1) Z(I)         what the client gets.
//
// A frame is its type byte and the fields of its body in parentheses.

var frameText = regexp.MustCompile(`([A-Za-z0-9])(?:\(([^)]*)\))?`)

// frames turns the text of a line into bytes; what a letter means depends on
// who says it.
func frames(text string, fromClient bool) []byte {
	var p []byte
	for _, m := range frameText.FindAllStringSubmatch(text, -1) {
		f := strings.SplitN(m[2], ",", 2)
		f = append(f, "")
		var body string
		typ := m[1][0]
		key := string(typ)
		if !fromClient {
			key = "<" + key
		}
		switch key {
		case "Q", "<C", "f":
			body = m[2] + "\x00"
		case "P":
			body = f[0] + "\x00" + f[1] + "\x00\x00\x00"
		case "B":
			body = f[0] + "\x00" + f[1] + "\x00\x00\x00\x00\x00\x00\x00"
		case "D", "C":
			body = f[0] + f[1] + "\x00"
		case "E":
			body = f[0] + "\x00\x00\x00\x00\x00"
		case "d", "<d", "<Z":
			body = m[2]
		case "<S":
			body = f[0] + "\x00" + f[1] + "\x00"
		case "<E", "<N":
			body = "S" + "ERROR\x00VERROR\x00C" + f[0] + "\x00M" + f[1] + "\x00\x00"
			if f[0] == "FATAL" {
				body = "SFATAL\x00VFATAL\x00C57P01\x00M\x00\x00"
			}
		case "<D":
			body = "\x00\x01" + string(binary.BigEndian.AppendUint32(nil, uint32(len(m[2])))) + m[2]
		}
		p = wire.AppendFrame(p, typ, []byte(body))
	}
	return p
}

// text is the reverse of frames.
func text(p []byte, fromClient bool) string {
	var out []string
	for len(p) > 0 {
		h, ok := wire.ParseHeader(p)
		if !ok || h.Len < 4 || h.Total() > len(p) {
			return strings.Join(append(out, fmt.Sprintf("garbage %q", p)), " ")
		}
		body := p[wire.HeaderSize:h.Total()]
		first, rest, _ := wire.CString(body)
		second, _, _ := wire.CString(rest)
		key := string(h.Type)
		if !fromClient {
			key = "<" + key
		}
		s := string(h.Type)
		switch key {
		case "Q", "<C", "f", "E":
			s += fmt.Sprintf("(%s)", first)
		case "P", "B", "<S":
			s += fmt.Sprintf("(%s,%s)", first, second)
		case "D", "C":
			s += fmt.Sprintf("(%c,%s)", body[0], first[1:])
		case "d", "<d", "<Z":
			s += fmt.Sprintf("(%s)", body)
		case "<E", "<N":
			f := errorFields(body)
			s += fmt.Sprintf("(%s,%s)", f.code, f.message)
			if f.severity == "FATAL" {
				s = "E(FATAL)"
			}
		case "<D":
			v, _ := firstColumn(body)
			s += fmt.Sprintf("(%s)", v)
		}
		out = append(out, s)
		p = p[h.Total():]
	}
	return strings.Join(out, " ")
}

// stage is a session and a link without a client.
type stage struct {
	t *testing.T
	s *session
	l *link
}

func newStage(t *testing.T, m mode) *stage {
	t.Helper()
	w := newWorld(t, nil)
	s := w.session(m, nil)
	c, err := s.pool.Acquire(&s.waiter)
	if err != nil {
		t.Fatal(err)
	}
	s.link, s.phase = linkOf(c), phaseActive
	return &stage{t, s, s.link}
}

// tell plays a story and compares each line.
func (g *stage) tell(story string) {
	g.t.Helper()
	var toServer, toClient []byte
	for n, line := range strings.Split(strings.TrimSpace(story), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		said := strings.TrimSpace(line[1:])
		got := ""
		switch line[0] {
		case '>':
			toServer = g.client(frames(said, true))
			toClient = g.server(nil)
			continue
		case '<':
			toClient = append(toClient, g.server(frames(said, false))...)
			continue
		case '|':
			got, toServer = text(toServer, true), nil
		case '=':
			got, toClient = text(toClient, false), nil
		}
		if got != said {
			g.t.Fatalf("line %d: %s\n     got: %s", n+1, line, got)
		}
	}
}

// client composes what goes to the server.
func (g *stage) client(p []byte) []byte {
	g.t.Helper()
	g.s.mu.Lock()
	defer g.s.mu.Unlock()
	m := composer{s: g.s, l: g.l, p: p}
	if err := m.compose(); err != nil {
		g.t.Fatal(err)
	}
	if m.pos != len(p) {
		g.t.Fatalf("%d of %d bytes were composed", m.pos, len(p))
	}
	return append([]byte(nil), m.bytes()...)
}

// server digests what goes to the client.
func (g *stage) server(p []byte) []byte {
	g.t.Helper()
	g.s.mu.Lock()
	defer g.s.mu.Unlock()
	var out []byte
	for {
		d := digester{s: g.s, l: g.l, p: p}
		if err := d.digest(); err != nil {
			g.t.Fatal(err)
		}
		out = append(out, d.bytes()...)
		if p = p[d.pos:]; len(p) == 0 {
			return out
		}
		if d.pos == 0 {
			g.t.Fatalf("%q is left", p)
		}
	}
}

func TestStories(t *testing.T) {
	t.Parallel()
	for name, story := range map[string]string{
		"a simple query passes verbatim": `
			> Q(select 1)
			| Q(select 1)
			< T D(1) C(SELECT 1) Z(I)
			= T D(1) C(SELECT 1) Z(I)`,
		"several results, a notice and a parameter": `
			> Q(set timezone to utc; select 1)
			| Q(set timezone to utc; select 1)
			< C(SET) S(TimeZone,UTC) N(01000,x) T D(1) C(SELECT 1) Z(I)
			= C(SET) S(TimeZone,UTC) N(01000,x) T D(1) C(SELECT 1) Z(I)`,
		"an empty query": `
			> Q()
			| Q()
			< I Z(I)
			= I Z(I)`,
		"an error in a simple query": `
			> Q(select x)
			| Q(select x)
			< E(42703,x) Z(I)
			= E(42703,x) Z(I)`,
		"the unnamed statement keeps its place on the server": `
			> P(,select 1) B(,) D(P,) E() S
			| P(,select 1) B(,) D(P,) E() S
			< 1 2 T D(1) C(SELECT 1) Z(I)
			= 1 2 T D(1) C(SELECT 1) Z(I)
			> B(,) E() S
			| B(,) E() S
			< 2 D(1) C(SELECT 1) Z(I)
			= 2 D(1) C(SELECT 1) Z(I)`,
		"a named statement has one name on servers, prepared once": `
			> P(a,select 1) S
			| P(PENSTOCK_1,select 1) S
			< 1 Z(I)
			= 1 Z(I)
			> B(p,a) E(p) S
			| B(p,PENSTOCK_1) E(p) S
			< 2 C(SELECT 1) Z(I)
			= 2 C(SELECT 1) Z(I)
			> P(b,select 1) B(,b) E() S
			| B(,PENSTOCK_1) E() S
			= 1
			< 2 C(SELECT 1) Z(I)
			= 2 C(SELECT 1) Z(I)`,
		"the answer to a Parse that is not sent comes in its turn": `
			> P(a,select 1) S
			| P(PENSTOCK_1,select 1) S
			< 1 Z(I)
			= 1 Z(I)
			> B(,a) P(b,select 1) E() S
			| B(,PENSTOCK_1) E() S
			=
			< 2
			= 2 1
			< C(SELECT 1) Z(I)
			= C(SELECT 1) Z(I)`,
		"Describe of a statement is renamed": `
			> P(a,select 1) D(S,a) H
			| P(PENSTOCK_1,select 1) D(S,PENSTOCK_1) H
			< 1 t T
			= 1 t T
			> D(S,a) S
			| D(S,PENSTOCK_1) S
			< t n Z(I)
			= t n Z(I)`,
		"Close is the session's own business": `
			> P(a,select 1) S
			| P(PENSTOCK_1,select 1) S
			< 1 Z(I)
			= 1 Z(I)
			> C(S,a) S
			| S
			= 3
			< Z(I)
			= Z(I)
			> B(,a) S
			| B(,a) S
			< E(26000,no a) Z(I)
			= E(26000,no a) Z(I)`,
		"Close of the unnamed statement and of portals is the server's": `
			> C(S,) C(P,p) S
			| C(S,) C(P,p) S
			< 3 3 Z(I)
			= 3 3 Z(I)`,
		"Close of a name that is not known succeeds": `
			> C(S,x) S
			| S
			= 3
			< Z(I)
			= Z(I)`,
		"a name that is taken is refused by the server": `
			> P(a,select 1) S
			| P(PENSTOCK_1,select 1) S
			< 1 Z(I)
			= 1 Z(I)
			> P(a,select 2) S
			| C(S,a) P(a,) P(a,select 2) S
			< 3 1 E(42P05,a exists) Z(I)
			= E(42P05,a exists) Z(I)`,
		"a client cannot name the statements of others": `
			> B(,PENSTOCK_7) S
			| B(,xENSTOCK_7) S
			< E(26000,no) Z(I)
			= E(26000,no) Z(I)`,
		"the unnamed statement of another session is not found": `
			> B(,) S
			| C(S,) B(,) S
			< 3 E(26000,none) Z(I)
			= E(26000,none) Z(I)`,
		"a simple query drops the unnamed statement": `
			> P(,select 1) S
			| P(,select 1) S
			< 1 Z(I)
			= 1 Z(I)
			> Q(select 2)
			| Q(select 2)
			< T C(SELECT 0) Z(I)
			= T C(SELECT 0) Z(I)
			> B(,) S
			| C(S,) B(,) S
			< 3 E(26000,none) Z(I)
			= E(26000,none) Z(I)`,
		"an error skips to Sync, and what was skipped never happened": `
			> P(a,select 1) P(b,selec) P(c,select 3) S
			| P(PENSTOCK_1,select 1) P(PENSTOCK_2,selec) P(PENSTOCK_3,select 3) S
			< 1 E(42601,selec) Z(I)
			= 1 E(42601,selec) Z(I)
			> B(,a) S
			| B(,PENSTOCK_1) S
			< 2 Z(I)
			= 2 Z(I)
			> B(,c) S
			| B(,c) S
			< E(26000,no c) Z(I)
			= E(26000,no c) Z(I)`,
		"the cycle behind a failed one is answered": `
			> P(,selec) B(,) E() S Q(select 1)
			| P(,selec) B(,) E() S Q(select 1)
			< E(42601,selec) Z(I) T C(SELECT 1) Z(I)
			= E(42601,selec) Z(I) T C(SELECT 1) Z(I)`,
		"what an undone Close has closed is there again": `
			> P(a,select 1) S
			| P(PENSTOCK_1,select 1) S
			< 1 Z(I)
			= 1 Z(I)
			> P(,selec) C(S,a) S
			| P(,selec) S
			< E(42601,selec) Z(I)
			= E(42601,selec) Z(I)
			> B(,a) S
			| B(,PENSTOCK_1) S
			< 2 Z(I)
			= 2 Z(I)`,
		"a Parse that fails drops the unnamed statement": `
			> P(,select 1) S
			| P(,select 1) S
			< 1 Z(I)
			= 1 Z(I)
			> P(,selec) S
			| P(,selec) S
			< E(42601,selec) Z(I)
			= E(42601,selec) Z(I)
			> B(,) S
			| C(S,) B(,) S
			< 3 E(26000,none) Z(I)
			= E(26000,none) Z(I)`,
		"a Parse that is skipped leaves the unnamed statement": `
			> P(,select 1) S
			| P(,select 1) S
			< 1 Z(I)
			= 1 Z(I)
			> B(,x) P(,select 2) S
			| B(,x) P(,select 2) S
			< E(26000,no x) Z(I)
			= E(26000,no x) Z(I)
			> B(,) S
			| B(,) S
			< 2 Z(I)
			= 2 Z(I)`,
		"a Close that is skipped leaves the unnamed statement": `
			> P(,select 1) S
			| P(,select 1) S
			< 1 Z(I)
			= 1 Z(I)
			> B(,x) C(S,) S
			| B(,x) C(S,) S
			< E(26000,no x) Z(I)
			= E(26000,no x) Z(I)
			> B(,) S
			| B(,) S
			< 2 Z(I)
			= 2 Z(I)`,
		"a Parse that fails drops the unnamed statement for the pipeline behind it": `
			> P(,selec) S P(,select 2) B(,x) S
			| P(,selec) S P(,select 2) B(,x) S
			< E(42601,selec) Z(I) 1 E(26000,no x) Z(I)
			= E(42601,selec) Z(I) 1 E(26000,no x) Z(I)
			> B(,) S
			| B(,) S
			< 2 Z(I)
			= 2 Z(I)`,
		"of two failing cycles the second does not bring back what the first refused": `
			> P(,selec) S B(,x) P(,select 2) S
			| P(,selec) S B(,x) P(,select 2) S
			< E(42601,selec) Z(I) E(26000,no x) Z(I)
			= E(42601,selec) Z(I) E(26000,no x) Z(I)
			> B(,) S
			| C(S,) B(,) S
			< 3 E(26000,none) Z(I)
			= E(26000,none) Z(I)`,
		"a DEALLOCATE in a transaction drops the unnamed portal": `
			> P(a,select 1) S Q(begin)
			| P(PENSTOCK_1,select 1) S Q(begin)
			< 1 Z(I) C(BEGIN) Z(T)
			= 1 Z(I) C(BEGIN) Z(T)
			> Q(deallocate a)
			| C(P,) S
			< 3 Z(T)
			= C(DEALLOCATE) Z(T)
			> Q(commit)
			| Q(commit)
			< C(COMMIT) Z(I)
			= C(COMMIT) Z(I)`,
		"in an aborted transaction the server refuses a Parse itself": `
			> P(a,select 1) S Q(begin)
			| P(PENSTOCK_1,select 1) S Q(begin)
			< 1 Z(I) C(BEGIN) Z(T)
			= 1 Z(I) C(BEGIN) Z(T)
			> Q(x)
			| Q(x)
			< E(42601,x) Z(E)
			= E(42601,x) Z(E)
			> P(b,select 1) S
			| C(S,PENSTOCK_1) P(PENSTOCK_1,select 1) S
			< 3 E(25P02,aborted) Z(E)
			= E(25P02,aborted) Z(E)`,
		"DEALLOCATE of a statement of the protocol": `
			> P(a,select 1) S
			| P(PENSTOCK_1,select 1) S
			< 1 Z(I)
			= 1 Z(I)
			> Q(deallocate A)
			|
			= C(DEALLOCATE) Z(I)
			> B(,a) S
			| B(,a) S
			< E(26000,no a) Z(I)
			= E(26000,no a) Z(I)`,
		"DEALLOCATE ALL": `
			> P(a,select 1) S
			| P(PENSTOCK_1,select 1) S
			< 1 Z(I)
			= 1 Z(I)
			> Q(deallocate all)
			| Q(deallocate all)
			< C(DEALLOCATE ALL) Z(I)
			= C(DEALLOCATE ALL) Z(I)
			> P(a,select 1) S
			| P(PENSTOCK_1,select 1) S
			< 1 Z(I)
			= 1 Z(I)`,
		"a portal with a row limit": `
			> P(,select 1) B(p,) E(p) S
			| P(,select 1) B(p,) E(p) S
			< 1 2 D(1) s Z(T)
			= 1 2 D(1) s Z(T)
			> E(p) S
			| E(p) S
			< D(2) C(SELECT 1) Z(I)
			= D(2) C(SELECT 1) Z(I)`,
		"COPY out": `
			> Q(copy t to stdout)
			| Q(copy t to stdout)
			< H d(a) d(b) c C(COPY 2) Z(I)
			= H d(a) d(b) c C(COPY 2) Z(I)`,
		"COPY in, by a simple query": `
			> Q(copy t from stdin)
			| Q(copy t from stdin)
			< G
			= G
			> d(a) S H d(b) c
			| d(a) S H d(b) c
			< C(COPY 2) Z(I)
			= C(COPY 2) Z(I)`,
		"COPY in that the client gives up": `
			> Q(copy t from stdin)
			| Q(copy t from stdin)
			< G
			= G
			> f(no)
			| f(no)
			< E(57014,no) Z(I)
			= E(57014,no) Z(I)`,
		"a Sync within a COPY has no answer": `
			> P(,copy) B(,) E() S d(a) c S
			| P(,copy) B(,) E() S d(a) c S
			< 1 2 G C(COPY 1) Z(I)
			= 1 2 G C(COPY 1) Z(I)`,
		"a function call": `
			> F
			| F
			< V Z(I)
			= V Z(I)`,
		"a notification comes whenever it likes": `
			< A
			= A
			> Q(select 1)
			| Q(select 1)
			< A T C(SELECT 1) A Z(I)
			= A T C(SELECT 1) A Z(I)`,
		"behind FATAL nothing is inserted": `
			> P(a,select 1) S
			| P(PENSTOCK_1,select 1) S
			< 1 Z(I)
			= 1 Z(I)
			> B(,a) E() C(S,a) S
			| B(,PENSTOCK_1) E() S
			< E(FATAL)
			= E(FATAL)`,
		"FATAL behind the last answer is not the client's": `
			> Q(select 1)
			| Q(select 1)
			< T C(SELECT 1) Z(I) E(FATAL)
			= T C(SELECT 1) Z(I)`,
		"FATAL passes": `
			> Q(select 1)
			| Q(select 1)
			< E(FATAL)
			= E(FATAL)`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newStage(t, modeTransaction)
			g.tell(story)
			if n := g.l.replies.len(); n != 0 && !strings.Contains(name, "FATAL") {
				t.Errorf("%d replies are expected still", n)
			}
		})
	}
}

func TestSessionModeChangesNothing(t *testing.T) {
	t.Parallel()
	newStage(t, modeSession).tell(`
		> P(a,select 1) P(a,select 2) S
		| P(a,select 1) P(a,select 2) S
		< 1 E(42P05,a) Z(I)
		= 1 E(42P05,a) Z(I)
		> B(,a) D(S,a) E() C(S,a) S
		| B(,a) D(S,a) E() C(S,a) S
		< 2 t T C(SELECT 1) 3 Z(I)
		= 2 t T C(SELECT 1) 3 Z(I)
		> Q(deallocate a)
		| Q(deallocate a)
		< C(DEALLOCATE) Z(I)
		= C(DEALLOCATE) Z(I)`)
}

func TestTheLeastRecentlyUsedStatementMakesRoom(t *testing.T) {
	t.Parallel()
	g := newStage(t, modeTransaction)
	g.s.srv.settings.Load().config.Databases["app"].Pool.PreparedStatements = 2
	g.s.srv.settings.Load().config.Pool.PreparedStatements = 2
	g.tell(`
		> P(a,select 1) P(b,select 2) S
		| P(PENSTOCK_1,select 1) P(PENSTOCK_2,select 2) S
		< 1 1 Z(I)
		= 1 1 Z(I)
		> B(,a) S
		| B(,PENSTOCK_1) S
		< 2 Z(I)
		= 2 Z(I)
		# b was used longer ago than a
		> P(c,select 3) S
		| C(S,PENSTOCK_2) P(PENSTOCK_3,select 3) S
		< 3 1 Z(I)
		= 1 Z(I)
		# and is prepared again when it is used
		> B(,b) S
		| C(S,PENSTOCK_1) P(PENSTOCK_2,select 2) B(,PENSTOCK_2) S
		< 3 1 2 Z(I)
		= 2 Z(I)`)
	if n := g.l.prepared.len(); n != 2 {
		t.Errorf("%d statements are prepared, want 2", n)
	}
}

func TestAnotherConnectionPreparesWhatTheSessionNeeds(t *testing.T) {
	t.Parallel()
	g := newStage(t, modeTransaction)
	g.tell(`
		> P(a,select 1) P(,select 2) S
		| P(PENSTOCK_1,select 1) P(,select 2) S
		< 1 1 Z(I)
		= 1 1 Z(I)`)
	other := &link{conn: g.l.conn} // as if the session had moved
	g.l, g.s.link = other, other
	g.tell(`
		> B(,a) D(S,a) B(,) S
		| P(PENSTOCK_1,select 1) B(,PENSTOCK_1) D(S,PENSTOCK_1) P(,select 2) B(,) S
		< 1 2 t T 1 2 Z(I)
		= 2 t T 2 Z(I)`)
}

func TestEffectOfALongQueryIsSeen(t *testing.T) {
	t.Parallel()
	g := newStage(t, modeTransaction)
	long := "CREATE TEMP TABLE t AS SELECT '" + strings.Repeat("x", 3*wire.BufferSize) + "'"
	frame := wire.AppendString(nil, wire.Query, long)
	if out := g.client(frame[:wire.BufferSize]); len(out) != wire.BufferSize {
		t.Fatalf("%d bytes of the first part go out", len(out))
	}
	g.client(frame[wire.BufferSize:])
	g.server(frames("C(SELECT 1) Z(I)", false))
	if g.s.pinned == "" {
		t.Error("a session with a temporary table is not pinned")
	}
}

func TestUnexpectedRepliesAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ client, server string }{
		"a reply that nobody waits for":     {"", "Z(I)"},
		"a row for a Parse":                 {"P(,x) S", "D(1)"},
		"BindComplete for a Parse":          {"P(,x) S", "2"},
		"ReadyForQuery before the Sync's":   {"P(,x) S", "Z(I)"},
		"ParseComplete for a query":         {"Q(x)", "1"},
		"ReadyForQuery without a status":    {"Q(x)", "Z"},
		"an error that answers nothing":     {"", "E(42601,x)"},
		"a type that does not exist":        {"Q(x)", "y"},
		"CloseComplete for a Sync":          {"S", "3"},
		"NoData for an Execute":             {"P(,x) B(,) E() S", "1 2 n"},
		"a FunctionCallResponse to a query": {"Q(x)", "V"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newStage(t, modeTransaction)
			g.client(frames(c.client, true))
			d := digester{s: g.s, l: g.l, p: frames(c.server, false)}
			if err := d.digest(); err == nil {
				t.Errorf("the client gets %s", text(d.bytes(), false))
			}
		})
	}
}

func TestBadFramesOfClientsAreToldWhatStandsBeforeThemIsSent(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]string{
		"unknown type": "y\x00\x00\x00\x04", "length": "Q\x00\x00\x00\x03", "too long": "S\x00\x00\xff\xff", "terminate": "X\x00\x00\x00\x04",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newStage(t, modeTransaction)
			good := frames("Q(select 1)", true)
			m := composer{s: g.s, l: g.l, p: append(good, bad...)}
			if err := m.compose(); err == nil || m.pos != len(good) {
				t.Errorf("composed %d bytes of %d, %v", m.pos, len(good), err)
			}
		})
	}
}

// A Parse larger than a buffer is taken alone: behind other frames it waits for
// the next round, and the composer does not.
func TestLargeParseWaitsBehindOtherFrames(t *testing.T) {
	t.Parallel()
	g := newStage(t, modeTransaction)
	small := frames("Q(begin)", true)
	large := wire.AppendFrame(nil, wire.Parse, []byte("\x00select '"), bytes.Repeat([]byte("x"), 2*wire.BufferSize), []byte("'\x00\x00\x00"))
	m := composer{s: g.s, l: g.l, p: append(small, large[:wire.BufferSize-len(small)]...)}
	if err := m.compose(); err != nil || m.pos != len(small) || g.s.large != nil {
		t.Errorf("composed %d bytes of %d, %v", m.pos, len(small), err)
	}
}
