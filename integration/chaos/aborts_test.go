package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/pgtest"
	"github.com/penstock/penstock/internal/wire"
)

// TestAbortsKeepServerConnections has 10,000 clients vanish in the middle of
// something. At least 99 % of the server connections are used again, and
// nobody meets another's rows, settings or open transaction.
func TestAbortsKeepServerConnections(t *testing.T) {
	pg := postgres(t)
	const size = 8
	p := startPenstock(t, options{primary: pg.Addr(), size: size})
	aborts := 10_000 * soak(t, time.Minute)
	if testing.Short() {
		aborts = 600
	}
	seed := seedOf(t, 99)
	began := time.Now()
	var left atomic.Int64
	left.Store(int64(aborts))
	var running sync.WaitGroup
	for id := range 32 {
		rng := rand.New(rand.NewPCG(seed, uint64(id)))
		running.Go(func() {
			for left.Add(-1) >= 0 && !t.Failed() {
				if err := abortOnce(t.Context(), p.addr, fmt.Sprintf("ab%d", id), rng); err != nil {
					t.Errorf("seed %d: %v", seed, err)
				}
			}
		})
	}
	running.Wait()
	p.waitQuiet(t)
	opened := 0
	for _, row := range p.show(t, "SERVERS") {
		opened = max(opened, number(t, row, "id"))
	}
	t.Logf("%d aborts in %s, %d server connections opened", aborts, time.Since(began).Round(time.Millisecond), opened)
	if limit := size + aborts/100; opened > limit {
		t.Errorf("%d server connections were opened, want at most %d", opened, limit)
	}
	rows, err := pg.Query(t.Context(), "postgres", "select count(*) from pg_stat_activity where state like 'idle in%'")
	if err != nil || rows[0][0] != "0" {
		t.Errorf("transactions left open: %v, %v", rows, err)
	}
	rows, err = pg.Query(t.Context(), "postgres", "select count(*) from kv where owner like 'ab%'")
	if err != nil || rows[0][0] != "0" {
		t.Errorf("%v rows of transactions that were not committed, %v", rows, err)
	}
}

// abortOnce logs in, looks around, begins something, and vanishes.
func abortOnce(ctx context.Context, addr, owner string, rng *rand.Rand) error {
	conn, in, err := tryHello(ctx, addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	look := fmt.Sprintf("select '%s' || current_setting('search_path') || current_setting('work_mem') || (select count(*) from pg_prepared_statements where name not like 'PENSTOCK%%')", owner)
	if _, err := conn.Write(qFrame(nil, look)); err != nil {
		return err
	}
	var got []string
	for {
		msg, err := in.next(hangTime)
		if err != nil {
			return fmt.Errorf("HANG or loss: %w after %v", err, got)
		}
		if msg.typ == wire.ParameterStatus {
			continue
		}
		got = append(got, msg.String())
		if msg.typ == wire.ReadyForQuery {
			break
		}
	}
	want := []string{`T ""`, fmt.Sprintf(`D "%s\"$user\", public4MB0"`, owner), `C "SELECT 1"`, `Z "I"`}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		return fmt.Errorf("a new client sees %v, want %v", got, want)
	}
	insert := "insert into public.kv values ('" + owner + "')"
	begin := qFrame(nil, "begin; set search_path to "+owner+"; set work_mem to '9MB'; "+insert)
	parsed := pFrame(nil, "", insert)
	var last []byte
	switch rng.IntN(8) {
	case 0: // idle in a transaction
		last = begin
	case 1: // a query runs
		last = qFrame(begin, "select pg_sleep(10)")
	case 2: // rows are coming
		last = qFrame(begin, "select repeat('row', 1000) from generate_series(1, 20000)")
	case 3: // a pipeline without its Sync
		last = eFrame(bFrame(parsed, "", ""), "", 0)
	case 4: // after an error, before Sync
		last = eFrame(bFrame(pFrame(nil, "x", "select 1/0"), "", "x"), "", 0)
	case 5: // COPY
		last = copyFrame(qFrame(nil, "copy public.kv from stdin"), owner+"\n")
	case 6: // COPY by the extended protocol
		last = copyFrame(eFrame(bFrame(pFrame(nil, "", "copy public.kv from stdin"), "", ""), "", 0), owner+"\n")
	default: // in the middle of a frame
		last = append(begin, qFrame(nil, insert)[:7+rng.IntN(20)]...)
	}
	if _, err := conn.Write(last); err != nil {
		return err
	}
	switch rng.IntN(3) {
	case 0:
		time.Sleep(time.Duration(rng.IntN(3000)) * time.Microsecond)
	case 1:
		_, _ = in.next(5 * time.Millisecond)
	}
	if rng.IntN(2) == 0 {
		_ = conn.(*net.TCPConn).SetLinger(0)
	}
	return nil
}

// TestAbortOfAnUncancelableQuery: a server that does not react to the cancel
// loses its connection after cancel_wait_timeout.
func TestAbortOfAnUncancelableQuery(t *testing.T) {
	pg := postgres(t)
	f, err := pgtest.NewFaulty(t.Context(), pg.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := startPenstock(t, options{primary: f.Addr(), size: 1, pool: "cancel_wait_timeout = \"500ms\"\nconnect_timeout = \"2s\""})
	conn, in := hello(t, p.addr)
	if _, err := conn.Write(qFrame(nil, "select 1")); err != nil {
		t.Fatal(err)
	}
	for msg, err := in.next(hangTime); msg.typ != wire.ReadyForQuery; msg, err = in.next(hangTime) {
		if err != nil {
			t.Fatal(err)
		}
	}
	// Nothing more comes back, whatever the server does.
	f.SetFault(nil)
	if _, err := conn.Write(qFrame(nil, "set statement_timeout to 0; do $$begin loop begin perform pg_sleep(60); exception when query_canceled then null; end; end loop; end$$")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	conn.Close()
	began := time.Now()
	if err := answersAgain(t.Context(), p.addr); err != nil {
		t.Error(err)
	}
	took := time.Since(began)
	t.Logf("the next client was served after %s", took.Round(time.Millisecond))
	if took > 3*time.Second {
		t.Errorf("cancel_wait_timeout is 500ms")
	}
	_, _ = pg.Query(t.Context(), "postgres", "select pg_terminate_backend(pid) from pg_stat_activity where query like '%query_canceled%' and pid <> pg_backend_pid()")
}

// TestConnectStorm opens 40 server connections as fast as 40 clients that go
// to PostgreSQL themselves, give or take half.
func TestConnectStorm(t *testing.T) {
	pg := postgres(t)
	const n = 40
	rounds := 7
	if testing.Short() {
		rounds = 3
	}
	var direct, pooled []time.Duration
	for range rounds {
		direct = append(direct, storm(t, pg.Addr(), n))
		p, stop := runPenstock(t, options{primary: pg.Addr(), size: n})
		conn, _ := hello(t, p.addr) // the first login asks a server for its settings
		pooled = append(pooled, storm(t, p.addr, n))
		conn.Close()
		if rows := p.show(t, "SERVERS"); len(rows) != n {
			t.Errorf("%d server connections, want %d", len(rows), n)
		}
		stop()
	}
	d, q := median(direct), median(pooled)
	t.Logf("%d connections: directly %s, through Penstock %s, ratio %.2f (%v, %v)", n, d, q, float64(q)/float64(d), direct, pooled)
	limit := 1.5
	if testing.Short() {
		limit = 3 // under the race detector, beside other tests
	}
	if float64(q) > limit*float64(d) {
		t.Errorf("0 to %d server connections took %.2f times as long as %[1]d direct connects, want at most %.1f", n, float64(q)/float64(d), limit)
	}
}

// storm is how long n clients need to begin n transactions at once.
func storm(t *testing.T, addr string, n int) time.Duration {
	t.Helper()
	var running sync.WaitGroup
	conns := make([]net.Conn, n)
	began := time.Now()
	for i := range n {
		running.Go(func() {
			conn, in, err := tryHello(t.Context(), addr)
			if err != nil {
				t.Error(err)
				return
			}
			conns[i] = conn
			if _, err := conn.Write(qFrame(nil, "begin")); err != nil {
				t.Error(err)
				return
			}
			for {
				msg, err := in.next(2 * hangTime)
				if err != nil || msg.typ == wire.ErrorResponse {
					t.Errorf("%v %v", msg, err)
					return
				}
				if msg.typ == wire.ReadyForQuery {
					return
				}
			}
		})
	}
	running.Wait()
	took := time.Since(began)
	for _, c := range conns {
		if c != nil {
			c.Close()
		}
	}
	return took
}

func median(list []time.Duration) time.Duration {
	sorted := append([]time.Duration(nil), list...)
	for i := range sorted {
		for j := i + 1; j < len(sorted); j++ {
			if sorted[j] < sorted[i] {
				sorted[i], sorted[j] = sorted[j], sorted[i]
			}
		}
	}
	return sorted[len(sorted)/2]
}

// TestNobodyWaitsBehindTheDead: clients that vanish in the queue do not take
// a server connection from those behind them.
func TestNobodyWaitsBehindTheDead(t *testing.T) {
	pg := postgres(t)
	p := startPenstock(t, options{primary: pg.Addr(), size: 1})
	holder := p.dial(t)
	defer holder.Close()
	if _, err := query(holder, "begin"); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		conn, _ := hello(t, p.addr)
		if _, err := conn.Write(qFrame(nil, "select pg_sleep(1)")); err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	time.Sleep(600 * time.Millisecond) // the janitor looks four times a second
	alive := p.dial(t)
	defer alive.Close()
	got := make(chan error, 1)
	go func() {
		v, err := value(alive, "select 'mine'")
		if err == nil && v != "mine" {
			err = fmt.Errorf("got %q", v)
		}
		got <- err
	}()
	time.Sleep(50 * time.Millisecond)
	began := time.Now()
	if _, err := query(holder, "commit"); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("served after %s, behind the dead", took)
	}
	if s := p.log.String(); strings.Contains(s, "panic") {
		t.Error(s)
	}
}
