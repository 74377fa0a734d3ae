package proxy

import (
	"io"
	"maps"
	"strings"
	"testing"

	"github.com/penstock/penstock/internal/wire"
)

// Each of these was a bug once.

func TestAnErrorOfThePrefixIsNotTheCycles(t *testing.T) {
	t.Parallel()
	for cycle, said := range map[string]string{
		"Q(select 1)":             conflict + " Z(I) T D(1) C(SELECT 1) Z(I)",
		"P(,select 1) B(,) E() S": conflict + " Z(I)",
	} {
		g := newReader(t)
		g.s.mu.Lock()
		g.s.pushOurs(g.l) // as match does
		g.s.mu.Unlock()
		g.read(cycle)
		g.s.mu.Lock()
		d := digester{s: g.s, l: g.l, p: frames(said, false)}
		if err := d.digest(); err == nil {
			t.Errorf("%s: it goes on, %d replies are expected, the client gets %s", cycle, g.l.replies.len(), text(d.bytes(), false))
		}
		g.s.mu.Unlock()
	}
}

func TestAnAnnouncementSurvivesAFailedRead(t *testing.T) {
	t.Parallel()
	g := newReader(t)
	before := g.s.vars
	g.l.known = before                              // as acquireFrom does
	g.s.vars = g.s.vars.With("server_version", "x") // as match does
	g.l.announce = wire.AppendParameterStatus(nil, "server_version", "x")
	g.read("Q(select 1)")
	if got := g.hear(frames(conflict+" Z(I)", false)); got == "" && g.s.vars != before {
		t.Errorf("the client has not heard of server_version, and vars say it has")
	}
}

func TestSynchronousCommitIsNotedWhereverItStands(t *testing.T) {
	t.Parallel()
	for name, batches := range map[string][]string{
		"first":            {"Q(set synchronous_commit to off)"},
		"in a transaction": {"Q(BEGIN)", "Q(insert)", "Q(set local synchronous_commit to off)", "Q(COMMIT)"},
		"pipelined":        {"Q(BEGIN) Q(insert) Q(set local synchronous_commit to off) Q(COMMIT)"},
		"prepared":         {"Q(BEGIN) Q(insert)", "P(,set local synchronous_commit to off) B(,) E() S"},
	} {
		client, s := newWorld(t, nil).runRouted(modeTransaction)
		c := &caller{t: t, conn: client, buf: make([]byte, 4096)}
		for _, b := range batches {
			c.call(frames(b, true), strings.Count(b, "Q(")+strings.Count(b, " S"))
		}
		if !s.route.cluster.Async() {
			t.Errorf("%s: not noted", name)
		}
	}
}

func TestAFailedReadHasClosedNothing(t *testing.T) {
	t.Parallel()
	for cycle, answer := range map[string]string{
		"C(S,k) B(,j) E() S":           "1 2 ",
		"B(,k) E() C(S,k) B(,j) E() S": "1 2 C(SELECT 1) 1 2 ",
	} {
		g := newReader(t)
		st := func(body string) *Statement { return g.s.srv.statements.statement([]byte(body + "\x00\x00\x00")) }
		g.s.statements = map[string]named{"k": {st("select k"), 0}, "j": {st("select j"), 0}}
		statements := maps.Clone(g.s.statements)
		g.read(cycle)
		if got := g.hear(frames(answer+conflict+" Z(I)", false)); got != "" {
			t.Errorf("%s: the client gets %s", cycle, got)
		}
		if !maps.Equal(g.s.statements, statements) {
			t.Errorf("%s: statements %v, want %v", cycle, g.s.statements, statements)
		}
	}
}

func TestAFATALThatIsNotHealedIsTold(t *testing.T) {
	t.Parallel()
	g := newReader(t)
	g.s.route.tries = 100
	g.read("Q(select 1)")
	if got := g.hear(frames("T E(FATAL)", false)); got != "" {
		t.Fatalf("got %s", got)
	}
	g.s.Lost(g.l.conn, io.EOF)
	g.s.mu.Lock()
	defer g.s.mu.Unlock()
	if g.s.ending == nil {
		t.Error("the client hears nothing")
	}
}

func TestKeywordsAreASCII(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"begın", "ſtart tranſaction", "begin read only, iſolation level serializable"} {
		if _, ok := parseBegin(text); ok {
			t.Errorf("%q is taken for a BEGIN", text)
		}
	}
	for _, text := range []string{"commıt", "commit tranſaction"} {
		if tag := parseEnd(text); tag != "" {
			t.Errorf("%q is taken for %s", text, tag)
		}
	}
}
