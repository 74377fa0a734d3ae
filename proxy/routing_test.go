package proxy

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/penstock/penstock/pool"
	"github.com/penstock/penstock/router"
)

// A transaction that no server sees: what each text is answered with, "" for
// nothing, and whether the next one is in the transaction.
func TestControlAnswersWhatNoServerHasToSee(t *testing.T) {
	t.Parallel()
	for name, story := range map[string][][2]string{
		"BEGIN and COMMIT":       {{"BEGIN", "C(BEGIN) Z(T)"}, {"COMMIT", "C(COMMIT) Z(I)"}, {"COMMIT", ""}},
		"BEGIN and ROLLBACK":     {{"begin work;", "C(BEGIN) Z(T)"}, {"abort", "C(ROLLBACK) Z(I)"}, {"ROLLBACK", ""}},
		"END":                    {{"begin transaction", "C(BEGIN) Z(T)"}, {" end ;", "C(COMMIT) Z(I)"}},
		"START TRANSACTION":      {{" start transaction read only;", "C(START TRANSACTION) Z(T)"}, {"rollback work", "C(ROLLBACK) Z(I)"}},
		"twice":                  {{"BEGIN", "C(BEGIN) Z(T)"}, {"BEGIN", ""}, {"START TRANSACTION", ""}, {"COMMIT", "C(COMMIT) Z(I)"}, {"BEGIN", "C(BEGIN) Z(T)"}},
		"an end without a BEGIN": {{"COMMIT", ""}, {"ROLLBACK", ""}, {"END", ""}},
		"what only a server can": {{"BEGIN", "C(BEGIN) Z(T)"}, {"SAVEPOINT a", ""}, {"COMMIT AND CHAIN", ""}, {"ROLLBACK TO a", ""}, {"PREPARE TRANSACTION 'a'", ""}, {"SELECT 1", ""}},
		"two statements":         {{"BEGIN; SELECT 1", ""}, {"BEGIN; COMMIT", ""}, {"BEGIN", "C(BEGIN) Z(T)"}, {"SELECT 1; COMMIT", ""}},
		"none":                   {{"", ""}, {";", ""}, {"select 1", ""}},
	} {
		r := &route{}
		for n, step := range story {
			before := r.begin
			got := text(r.control(step[0]), false)
			if got != step[1] {
				t.Errorf("%s: step %d, %s: got %s, want %s", name, n+1, step[0], got, step[1])
			}
			want := before
			switch {
			case strings.HasSuffix(got, "Z(T)"):
				want = step[0]
			case got != "":
				want = ""
			}
			if r.begin != want {
				t.Errorf("%s: step %d, %s: the BEGIN is %q, want %q", name, n+1, step[0], r.begin, want)
			}
		}
	}
}

func TestTheBeginIsKeptWhenItsBytesAreGone(t *testing.T) {
	t.Parallel()
	g := newReader(t)
	p := frames("Q(BEGIN READ ONLY)", true)
	c := g.s.firstCycle(p, g.s.route)
	g.s.route.control(c.text)
	clear(p)
	if g.s.route.begin != "BEGIN READ ONLY" || !g.s.route.begins.readOnly {
		t.Errorf("the BEGIN is %q, %+v", g.s.route.begin, g.s.route.begins)
	}
}

func TestATransactionWithoutAStatementCostsNoConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	client, s := w.runRouted(modeTransaction)
	c := &caller{t: t, conn: client, buf: make([]byte, 4096)}
	say := func(batch, want string) {
		t.Helper()
		if got := text(c.call(frames(batch, true), strings.Count(want, "Z(")), false); got != want {
			t.Errorf("%s: got %s, want %s", batch, got, want)
		}
	}
	say("Q(BEGIN)", "C(BEGIN) Z(T)")
	say("S", "Z(T)")
	say("Q(COMMIT)", "C(COMMIT) Z(I)")
	say("Q(start transaction) Q(end)", "C(START TRANSACTION) Z(T) C(COMMIT) Z(I)")
	if n := w.pool.Snapshot().Total; n != 0 {
		t.Errorf("%d server connections", n)
	}
	say("P(,select 1) S", "1 Z(I)")
	say("B(,) E() S", "2 D(1) C(SELECT 1) Z(I)")
	say("Q(BEGIN)", "C(BEGIN) Z(T)")
	s.mu.Lock()
	if s.unnamed != (slot{}) {
		t.Error("BEGIN is a simple query, and has left the unnamed statement")
	}
	s.mu.Unlock()
	say("B(,) S", "E(26000,refused) Z(E)")
	say("Q(ROLLBACK)", "C(ROLLBACK) Z(I)")
	say("Q(BEGIN)", "C(BEGIN) Z(T)")
	say("Q(select 1)", "T D(1) C(SELECT 1) Z(T)")
	say("Q(COMMIT)", "C(COMMIT) Z(I)")
}

func TestInStatementModeTheServerSeesTheBegin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	client, s := w.runRouted(modeStatement)
	if _, err := client.Write(frames("Q(BEGIN)", true)); err != nil {
		t.Fatal(err)
	}
	buf, n := make([]byte, 4096), 0
	for {
		m, err := client.Read(buf[n:])
		n += m
		if err != nil {
			break
		}
	}
	if got := text(buf[:n], false); !strings.HasSuffix(got, "E(FATAL)") {
		t.Errorf("got %s", got)
	}
	if s.route.begin != "" || w.pool.Snapshot().Total == 0 {
		t.Errorf("the BEGIN %q was answered here", s.route.begin)
	}
}

func TestTheBeginGoesInFrontOfTheFirstStatement(t *testing.T) {
	t.Parallel()
	g := newReader(t)
	g.s.route.begin = "begin read only"
	g.s.mu.Lock()
	g.s.prefixBegin(g.l)
	g.s.mu.Unlock()
	if got := text(g.l.prefix, true); got != "Q(begin read only)" || !g.l.begun || g.l.began != "begin read only" || g.l.replies.len() != 1 {
		t.Errorf("prefix %s, begun %t", got, g.l.begun)
	}
	if r := g.l.replies.first(); r.action != skip || !r.unnamed {
		t.Errorf("its answer is %+v", r)
	}
	g.l.prefix, g.s.route.begin = nil, ""
	g.s.prefixBegin(g.l)
	if len(g.l.prefix) > 0 {
		t.Error("there is a prefix without a BEGIN")
	}
}

func TestDecideKnowsTheTransactionThatNoServerHasSeen(t *testing.T) {
	t.Parallel()
	for begin, want := range map[string]router.Reason{
		"":                                   router.ReasonSafeRead,
		"begin":                              router.ReasonInTransaction,
		"begin read only":                    router.ReasonReadOnlyTransaction,
		"begin read only, read write":        router.ReasonInTransaction,
		"begin isolation level serializable": router.ReasonSerializable,
		"start transaction isolation level serializable read only": router.ReasonSerializable,
		"begin isolation level repeatable read read only":          router.ReasonReadOnlyTransaction,
	} {
		g := newReader(t)
		g.s.vars = g.s.vars.With("standard_conforming_strings", "on")
		if begin != "" {
			g.s.route.control(begin)
		}
		c := cycle{size: 1, class: router.Class{Reason: router.ReasonSafeRead}}
		if d := g.s.decide(&c); d.Reason != want {
			t.Errorf("%q: %s, want %s", begin, d.Reason, want)
		}
		if d := g.s.decide(&cycle{class: c.class}); d.Target != router.TargetPrimary {
			t.Errorf("%q: what is not understood goes to a replica", begin)
		}
	}
}

func TestFactsFollowTheSettings(t *testing.T) {
	t.Parallel()
	g := newReader(t)
	fact := func(name string, want router.Session) {
		t.Helper()
		if got := g.s.facts(); got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	fact("unknown strings", router.Session{ForeignSetting: true})
	g.s.vars = g.s.vars.With("standard_conforming_strings", "on")
	fact("the usual", router.Session{})
	g.s.vars = g.s.vars.With("client_encoding", "SJIS")
	fact("letters that end like ASCII", router.Session{ForeignSetting: true})
	g.s.vars = g.s.vars.With("client_encoding", "LATIN1").With("standard_conforming_strings", "off")
	fact("backslashes", router.Session{ForeignSetting: true})
	g.s.vars = g.s.vars.With("standard_conforming_strings", "on")
	g.s.extra = g.s.extra.With("default_transaction_isolation", "serializable")
	fact("serializable", router.Session{Serializable: true})
	g.s.extra = pool.Settings{}.With("penstock.target", "replica")
	fact("a wish", router.Session{Set: router.TargetReplica})
	g.s.extra = pool.Settings{}.With("penstock.target", "nonsense")
	fact("a wish that means nothing", router.Session{})
	rules, err := router.NewRules([]router.Rule{{User: "app", Target: router.TargetPrimary}})
	if err != nil {
		t.Fatal(err)
	}
	g.s.route.cluster.Apply(router.Settings{Rules: rules})
	fact("other rules", router.Session{Rules: 1})
}

func TestAJudgementIsKeptUntilTheGenerationChanges(t *testing.T) {
	t.Parallel()
	g := newReader(t)
	r := g.s.route
	st := g.s.srv.statements.statement([]byte("select 1\x00\x00\x00"))
	first := r.ClassOf(st)
	kept := st.judged.Load()
	if again := r.ClassOf(st); again != first || st.judged.Load() != kept {
		t.Error("it is judged twice")
	}
	other := &route{cluster: mute(t, 2)}
	if other.ClassOf(st); st.judged.Load() == kept {
		t.Error("another cluster goes by this one's judgement")
	}
	r.ClassOf(st)
	kept = st.judged.Load()
	r.cluster.Apply(router.Settings{})
	if r.ClassOf(st); st.judged.Load() == kept {
		t.Error("new rules change nothing")
	}
}

// TestRandomTransactions has a client mix what is answered here with what a
// server answers: the transaction status is always the toy's, as if it had
// seen everything.
func TestRandomTransactions(t *testing.T) {
	t.Parallel()
	texts := []string{"BEGIN", "COMMIT", "ROLLBACK", "select 1", "select 2", "error"}
	w := newWorld(t, nil)
	client, _ := w.runRouted(modeTransaction)
	_ = client.SetDeadline(time.Now().Add(time.Minute))
	c := &caller{t: t, conn: client, buf: make([]byte, 64<<10)}
	r := rand.New(rand.NewPCG(3, 4))
	direct := newToy()
	for range 500 {
		var batch string
		n := 1 + r.IntN(3)
		direct.out = direct.out[:0]
		for range n {
			sql := texts[r.IntN(len(texts))]
			if sql == "BEGIN" && direct.status != 'I' {
				sql = "select 1" // a toy warns nobody
			}
			batch += "Q(" + sql + ") "
			direct.answer('Q', []byte(sql+"\x00"))
		}
		if got, want := text(c.call(frames(batch, true), n), false), text(direct.out, false); got != want {
			t.Fatalf("%s: got %s, want %s", batch, got, want)
		}
	}
}
