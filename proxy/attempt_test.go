package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/penstock/penstock/internal/wire"
	"github.com/penstock/penstock/pool"
	"github.com/penstock/penstock/router"
)

// mute is a cluster whose hosts never answer its monitors: the first stays the
// primary.
func mute(t testing.TB, hosts int) *router.Cluster {
	t.Helper()
	o := router.ClusterOptions{
		Log: slog.New(slog.DiscardHandler), Changed: func(int) {}, Busy: func(int) (int, int) { return 0, 0 }, Back: func(int) {}, End: func(int) {},
	}
	for range hosts {
		o.Hosts = append(o.Hosts, router.Host{Weight: 1, Connect: func(ctx context.Context) (*pgconn.PgConn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}})
	}
	c := router.NewCluster(o)
	t.Cleanup(c.Close)
	return c
}

// reader is a stage whose session reads on a replica.
type reader struct {
	*stage
	sent []byte // the cycle under way
}

func newReader(t *testing.T) *reader {
	t.Helper()
	g := newStage(t, modeTransaction)
	g.s.route = &route{cluster: mute(t, 3), pools: make([]*pool.Pool, 3), failedOn: -1}
	g.l.host, g.l.replica = 2, true
	return &reader{stage: g}
}

// read arms a cycle and sends it.
func (g *reader) read(cycle string) {
	g.t.Helper()
	g.sent = frames(cycle, true)
	g.s.mu.Lock()
	g.s.arm(g.l, g.sent)
	g.s.mu.Unlock()
	g.client(g.sent)
}

// hear takes what the server says, as Receive does, and returns what goes to
// the client.
func (g *reader) hear(said []byte) string {
	g.t.Helper()
	g.s.mu.Lock()
	defer g.s.mu.Unlock()
	var out []byte
	for rest := said; ; {
		d := digester{s: g.s, l: g.l, p: rest, out: append(g.l.out[:0], g.l.announce...)}
		g.l.announce = g.l.announce[:0]
		if err := d.digest(); err != nil {
			g.t.Fatal(err)
		}
		out = append(out, g.l.hold(d.bytes())...)
		g.s.settle(g.l)
		if rest = rest[d.pos:]; len(rest) == 0 || d.pos == 0 {
			return text(out, false)
		}
	}
}

const conflict = "E(40001,canceling statement due to conflict with recovery)"

func TestAFailedReadIsTakenBack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ cycle, answer string }{
		"a simple query that fails at once":   {"Q(select 1)", "E(57P01,x) Z(I)"},
		"a simple query behind its rows":      {"Q(select 1)", "T D(1) D(2) " + conflict + " Z(I)"},
		"two results in one":                  {"Q(select 1;select 2)", "T D(1) C(SELECT 1) T D(1) " + conflict + " Z(I)"},
		"a batch that fails at once":          {"P(,select 2) B(,) E() S", "E(57P01,x) Z(I)"},
		"a batch behind ParseComplete":        {"P(,select 2) B(,) E() S", "1 E(57P01,x) Z(I)"},
		"a batch behind BindComplete":         {"P(,select 2) B(,) D(P,) E() S", "1 2 " + conflict + " Z(I)"},
		"a batch behind its rows":             {"P(,select 2) B(,) D(P,) E() S", "1 2 T D(1) D(2) " + conflict + " Z(I)"},
		"the second statement of a batch":     {"B(,k) E() B(,k) E() S", "1 2 D(1) C(SELECT 1) 2 " + conflict + " Z(I)"},
		"one that prepares a name":            {"P(a,select 3) B(,a) E() S", "1 2 D(1) " + conflict + " Z(I)"},
		"one that prepares two, and one late": {"P(a,select 3) B(,a) E() P(b,select 4) S", "1 2 " + conflict + " Z(I)"},
		"one that prepares what is known":     {"P(a,select 5) B(,a) P(b,select 5) E() S", "1 2 " + conflict + " Z(I)"},
		"one that uses the unnamed statement": {"B(,) E() S", "1 2 " + conflict + " Z(I)"},
		"one that drops it":                   {"B(,) E() C(S,) P(,select 6) S", "1 2 D(1) " + conflict + " Z(I)"},
		"one that is lost behind its Close":   {"B(,k) E() C(S,k) S", "1 2 " + conflict + " Z(I)"},
		"a table that is not there yet":       {"P(,select 7) S", "E(42P01,no) Z(I)"},
		"a notice on the way":                 {"Q(select 1)", "N(01000,x) T E(57P01,x) Z(I)"},
		"a parameter on the way":              {"Q(select 1)", "T S(TimeZone,UTC) E(57P01,x) Z(I)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, whole := range []bool{true, false} {
				g := newReader(t)
				st := func(body string) *Statement { return g.s.srv.statements.statement([]byte(body + "\x00\x00\x00")) }
				g.s.statements = map[string]named{"k": {st("select k"), 0}}
				g.s.unnamed = slot{now: st("select u"), next: st("select u")}
				statements, unnamed := maps.Clone(g.s.statements), g.s.unnamed
				g.read(c.cycle)
				answer, got := frames(c.answer, false), ""
				if whole {
					got = g.hear(answer)
				} else {
					for len(answer) > 0 { // frame by frame
						h, _ := wire.ParseHeader(answer)
						got += g.hear(answer[:h.Total()])
						answer = answer[h.Total():]
					}
				}
				if got != "" {
					t.Errorf("the client gets %s", got)
				}
				if g.s.link != nil || g.s.phase != phaseWaiting || !bytes.Equal(g.s.route.again, g.sent) || g.s.route.failedOn != 2 {
					t.Errorf("phase %s, link %v, failed on %d, again %q", g.s.phase, g.s.link != nil, g.s.route.failedOn, g.s.route.again)
				}
				if !maps.Equal(g.s.statements, statements) || g.s.unnamed != unnamed {
					t.Errorf("statements %v, want %v; unnamed %v, want %v", g.s.statements, statements, g.s.unnamed, unnamed)
				}
				if g.l.attempt.armed || g.l.attempt.failed || len(g.l.attempt.held) > 0 || len(g.l.attempt.batch) > 0 {
					t.Errorf("the attempt goes on: %+v", g.l.attempt)
				}
				runtime.KeepAlive(unnamed)
			}
		})
	}
}

func TestAReadThatIsNotRunAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ cycle, answer string }{
		"an error of its own":          {"Q(select x)", "T D(1) E(22012,division by zero) Z(I)"},
		"one in a batch":               {"P(,select x) B(,) E() S", "1 2 D(1) E(22012,division by zero) Z(I)"},
		"a success":                    {"Q(select x)", "T D(1) C(SELECT 1) Z(I)"},
		"a conflict of other sessions": {"Q(select x)", "E(40001,could not serialize access) Z(I)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newReader(t)
			g.read(c.cycle)
			if got := g.hear(frames(c.answer, false)); got != c.answer {
				t.Errorf("the client gets %s", got)
			}
			if g.s.route.again != nil || g.s.link != nil || g.s.phase != phaseIdle {
				t.Errorf("run again: %q, phase %s", g.s.route.again, g.s.phase)
			}
		})
	}
}

func TestAReadIsNotRunAgainWhenItsClientHasSomeOfIt(t *testing.T) {
	t.Parallel()
	g := newReader(t)
	g.read("Q(select 1)")
	large := "T D(" + strings.Repeat("x", attemptLimit) + ")"
	if got := g.hear(frames("T", false)); got != "" {
		t.Fatalf("the client gets %.20s at once", got)
	}
	if got := g.hear(frames(strings.TrimPrefix(large, "T "), false)); got != large {
		t.Fatalf("the client gets %d bytes", len(got))
	}
	if got, want := g.hear(frames(conflict+" Z(I)", false)), conflict+" Z(I)"; got != want {
		t.Errorf("the client gets %s, want %s", got, want)
	}
	if g.s.route.again != nil {
		t.Error("and it is run again")
	}
}

func TestACycleThatIsTooLargeIsNotKept(t *testing.T) {
	t.Parallel()
	g := newReader(t)
	for size, want := range map[int]bool{attemptLimit: true, attemptLimit + 1: false} {
		cycle := wire.AppendString(nil, wire.Query, strings.Repeat("x", size-wire.HeaderSize-1))
		g.s.arm(g.l, cycle)
		if g.l.attempt.armed != want || !g.l.attempt.single || bytes.Equal(g.l.attempt.batch, cycle) != want {
			t.Errorf("%d bytes: armed %t", size, g.l.attempt.armed)
		}
	}
}

func TestTriesEnd(t *testing.T) {
	t.Parallel()
	g := newReader(t)
	g.s.route.tries = 3
	g.read("Q(select 1)")
	if got, want := g.hear(frames("T D(1) "+conflict+" Z(I)", false)), "T D(1) "+conflict+" Z(I)"; got != want {
		t.Errorf("the client gets %s", got)
	}
}

// TestHeldAnswersComeWhole holds random answers that come in random pieces.
func TestHeldAnswersComeWhole(t *testing.T) {
	t.Parallel()
	g := newStage(t, modeTransaction)
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 2))
		l := &link{conn: g.l.conn}
		l.attempt.armed = r.IntN(5) > 0
		armed := l.attempt.armed
		answer := make([]byte, r.IntN(3*attemptLimit))
		for i := range answer {
			answer[i] = byte(r.Uint32())
		}
		streaming := r.IntN(2) == 0 // the queue is empty, and a large frame is not over
		if !streaming {
			l.replies.push(reply{kind: replyQuery})
		}
		l.remain = 1
		var got []byte
		for taken := 0; taken < len(answer); {
			n := min(1+r.IntN(attemptLimit/2), len(answer)-taken)
			if taken += n; taken == len(answer) {
				l.replies, l.remain = replies{}, 0
			} else if !streaming {
				l.remain = 0
			}
			out := l.hold(answer[taken-n : taken])
			got = append(got, out...)
			switch {
			case armed && taken <= attemptLimit && taken < len(answer) && len(got) > 0:
				t.Fatalf("seed %d: %d bytes have gone of %d that may be held", seed, len(got), taken)
			case (!armed || taken > attemptLimit || taken == len(answer)) && len(got) != taken:
				t.Fatalf("seed %d: %d bytes have gone of %d", seed, len(got), taken)
			case len(got) > 0 && l.attempt.armed:
				t.Fatalf("seed %d: something has gone, and it may be run again", seed)
			}
			clear(out) // the client has it
		}
		if len(got) != len(answer) || len(l.attempt.held) != 0 {
			t.Fatalf("seed %d: %d bytes of %d, %d are held", seed, len(got), len(answer), len(l.attempt.held))
		}
	}
}

func TestHeldAnswersKeepTheirBytes(t *testing.T) {
	t.Parallel()
	g := newReader(t)
	g.read("P(,select 1) B(,) D(P,) E() S")
	const answer = "1 2 T D(first) D(second) C(SELECT 2) Z(I)"
	p := frames(answer, false)
	for i := range p[:len(p)-6] {
		if got := g.l.hold(bytes.Clone(p[i : i+1])); len(got) != 0 {
			t.Fatalf("byte %d goes out", i)
		}
	}
	g.l.replies = replies{}
	if got := text(g.l.hold(p[len(p)-6:]), false); got != answer {
		t.Errorf("got %s", got)
	}
}

// dying is a server that says something to the first batch and closes, and a
// toy on the connections behind it.
type dying struct {
	words []byte
	met   atomic.Int32
}

func (d *dying) serve(conn net.Conn) {
	if d.met.Add(1) > 1 {
		newToy().serve(conn)
		return
	}
	for {
		typ, _, err := wire.ReadMessage(conn, 1<<20)
		if err != nil {
			return
		}
		if typ == wire.Sync {
			_, _ = conn.Write(d.words)
			return
		}
	}
}

func TestALostReadIsRunOnAnotherConnection(t *testing.T) {
	t.Parallel()
	for name, said := range map[string]string{
		"before it said anything": "",
		"behind ParseComplete":    "1",
		"behind its rows":         "1 2 T D(other) D(other)",
		"behind its end":          "1 2 T D(other) C(SELECT 1)",
		"with a FATAL":            "1 2 T E(FATAL)",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := &dying{words: frames(said, false)}
			w := newWorld(t, server.serve)
			client, s := w.runRouted(modeTransaction)
			safe := s.srv.statements.statement([]byte("select 1\x00\x00\x00"))
			safe.judged.Store(&judged{s.route.cluster, s.route.cluster.Generation(), router.Class{Reason: router.ReasonSafeRead}})
			c := &caller{t: t, conn: client, buf: make([]byte, 4096)}
			if got, want := text(c.call(frames("P(,select 1) B(,) D(P,) E() S", true), 1), false), "1 2 T D(1) C(SELECT 1) Z(I)"; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			if n := server.met.Load(); n != 2 {
				t.Errorf("%d connections, want 2", n)
			}
			if got, want := text(c.call(frames("B(,) E() S", true), 1), false), "2 D(1) C(SELECT 1) Z(I)"; got != want {
				t.Errorf("the unnamed statement: got %s, want %s", got, want)
			}
			runtime.KeepAlive(safe)
		})
	}
}

// runRouted starts a session of a database with two mute hosts, the first of
// which is the world's.
func (w *world) runRouted(m mode) (client net.Conn, s *session) {
	w.t.Helper()
	ours, client := sockets(w.t)
	_ = client.SetDeadline(time.Now().Add(20 * time.Second))
	s = w.session(m, ours)
	s.route = &route{cluster: mute(w.t, 2), pools: []*pool.Pool{w.pool, w.pool}, failedOn: -1}
	if err := w.srv.admit(s); err != nil {
		w.t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		s.run()
	}()
	w.t.Cleanup(func() {
		_ = client.Close()
		<-over
	})
	return client, s
}

func TestALostReadThatIsNotArmedIsToldTheClient(t *testing.T) {
	t.Parallel()
	server := &dying{words: frames("1 2", false)}
	w := newWorld(t, server.serve)
	client, _ := w.runRouted(modeTransaction)
	c := &caller{t: t, conn: client, buf: make([]byte, 4096)}
	got := text(c.call(frames("P(,insert) B(,) E() S", true), 1), false) // not judged a safe read
	if !strings.HasPrefix(got, "1 2 E(08006,") || !strings.HasSuffix(got, " Z(I)") || server.met.Load() != 1 {
		t.Errorf("got %s by %d connections", got, server.met.Load())
	}
	if _, err := client.Read(nil); err != nil && !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}
