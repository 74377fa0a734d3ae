package routing

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/pgtest"
)

const causalSeed = 20260727

// TestReadYourWritesAndMonotonicReads is the promise of consistency = "session":
// over replicas that apply late, pause, restart and crash, no session reads what
// is older than what it wrote or has read, and none sees an error of theirs.
func TestReadYourWritesAndMonotonicReads(t *testing.T) {
	total := 30_000
	if testing.Short() {
		total = 5_000
	}
	readBack(t, total)
}

// TestSoakReadYourWritesAndMonotonicReads is the same, 1,000,000 pairs where
// PENSTOCK_SOAK is 1, which is more than half an hour.
func TestSoakReadYourWritesAndMonotonicReads(t *testing.T) {
	if os.Getenv("PENSTOCK_SOAK") == "" {
		t.Skip("make soak runs it")
	}
	factor, err := strconv.Atoi(os.Getenv("PENSTOCK_SOAK"))
	if err != nil {
		readBack(t, 30_000*soakOf(t, 40*time.Second))
		return
	}
	readBack(t, 1_000_000*factor)
}

func readBack(t *testing.T, total int) {
	const clients = 20
	c := servers(t, 3, nil)
	setUp(t, c, pairTables(clients)...)
	p := start(t, c, "trust_hints = true\ncausal_wait = \"5ms\"", "")
	p.everywhere(t, 3)
	w := &pairs{p: p, clients: clients, total: total}
	stop, trouble := make(chan struct{}), newTrouble(c.Replicas)
	var troubled sync.WaitGroup
	troubled.Go(func() { trouble.run(stop) })
	began := time.Now()
	w.run(t, causalSeed, nil)
	took := time.Since(began)
	close(stop)
	troubled.Wait()

	t.Logf("%d pairs in %v, %d reads, %.1f %% of them by replicas (%.1f %% of those not told to go to the primary); %s",
		w.done.Load(), took.Round(time.Millisecond), w.reads.Load(), share(w.onReplicas.Load(), w.reads.Load()),
		share(w.onReplicas.Load(), w.reads.Load()-w.onPrimary.Load()), trouble)
	t.Log(p.routes())
	t.Logf("%d read-only transactions were lost with their replica", w.lost.Load())
	for _, s := range w.complaints {
		t.Log(s)
	}
	own, ahead := w.own.Load(), w.primaryBack.Load()
	if back := w.back.Load() - ahead; own+back > 0 {
		t.Errorf("%d reads did not see the session's own write, %d on replicas went back in time", own, back)
	}
	// A commit is flushed, and so may be replayed, a moment before the primary
	// itself shows it (xact.c, CommitTransaction: RecordTransactionCommit comes
	// before ProcArrayEndTransaction).
	if ahead > 0 {
		t.Errorf("%d reads on the primary missed what a replica had shown before", ahead)
	}
	if n := w.failures.Load(); n > 0 {
		t.Errorf("%d clients saw an error", n)
	}
	if w.onReplicas.Load() < w.reads.Load()/3 {
		t.Error("replicas served too few reads for this to be a test of them")
	}
	if err := trouble.err(); err != nil {
		t.Error(err)
	}
}

func share(some, all int64) float64 { return 100 * float64(some) / max(1, float64(all)) }

// TestEventualConsistencyReadsThePast shows that the clients above notice it.
func TestEventualConsistencyReadsThePast(t *testing.T) {
	const clients = 20
	c := servers(t, 3, nil)
	setUp(t, c, pairTables(clients)...)
	p := start(t, c, "trust_hints = true\nconsistency = \"eventual\"", "")
	p.everywhere(t, 3)
	w := &pairs{p: p, clients: clients, total: 2_000}
	for i, r := range c.Replicas {
		if err := applyDelay(r, time.Duration(i*5)*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	w.run(t, causalSeed, nil)
	t.Logf("%d pairs: %d reads did not see the session's own write, %d went back in time", w.done.Load(), w.own.Load(), w.back.Load())
	if w.failures.Load() > 0 {
		t.Error(w.complaints)
	}
	if w.own.Load() == 0 || w.back.Load() == 0 {
		t.Error("the test for consistency = session can find nothing")
	}
}

// trouble is what happens to replicas while clients read.
type trouble struct {
	replicas []*pgtest.Instance
	rand     *rand.Rand
	delays   atomic.Int64
	pauses   atomic.Int64
	restarts atomic.Int64
	crashes  atomic.Int64

	mu     sync.Mutex
	failed error
}

func newTrouble(replicas []*pgtest.Instance) *trouble {
	return &trouble{replicas: replicas, rand: rand.New(rand.NewPCG(causalSeed, 99))}
}

func (x *trouble) String() string {
	return fmt.Sprintf("%d changes of delay, %d pauses, %d restarts, %d crashes",
		x.delays.Load(), x.pauses.Load(), x.restarts.Load(), x.crashes.Load())
}

func (x *trouble) err() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.failed
}

// run troubles one replica at a time until stop is closed, and leaves them well.
func (x *trouble) run(stop <-chan struct{}) {
	defer func() {
		for _, r := range x.replicas {
			x.note(applyDelay(r, 0))
		}
	}()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(50+x.rand.IntN(250)) * time.Millisecond):
		}
		r := x.replicas[x.rand.IntN(len(x.replicas))]
		switch k := x.rand.IntN(100); {
		case n == 5 || k < 4:
			x.restarts.Add(1)
			x.note(r.Restart(context.Background()))
		case n == 10 || k < 8:
			x.crashes.Add(1)
			x.note(crashBackend(r))
		case n == 15 || k < 10: // it comes back behind what it has shown
			x.crashes.Add(1)
			x.note(errors.Join(r.Kill(), r.Restart(context.Background())))
		case k < 27:
			x.pauses.Add(1)
			x.note(r.Exec(context.Background(), "postgres", "SELECT pg_wal_replay_pause()"))
			time.Sleep(time.Duration(x.rand.IntN(300)) * time.Millisecond)
			x.note(r.Exec(context.Background(), "postgres", "SELECT pg_wal_replay_resume()"))
		default:
			x.delays.Add(1)
			x.note(applyDelay(r, x.delay()))
		}
	}
}

func (x *trouble) note(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.failed == nil {
		x.failed = err
	}
}

// delay is small mostly, and half a second at most.
func (x *trouble) delay() time.Duration {
	most := []int{1, 3, 6, 12, 25, 100, 501}[x.rand.IntN(7)]
	return time.Duration(x.rand.IntN(most)) * time.Millisecond
}

// crashBackend kills one backend, so that the server ends all of them, and
// waits until the server takes connections again.
func crashBackend(r *pgtest.Instance) error {
	ctx := context.Background()
	rows, err := r.Query(ctx, "postgres", "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1")
	if err != nil || len(rows) == 0 {
		return err
	}
	pid, err := strconv.Atoi(rows[0][0])
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return err
	}
	time.Sleep(10 * time.Millisecond)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		err := r.Exec(ctx, "postgres", "SELECT 1")
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// TestProbesAreCoalesced: however much is written, the primary is asked where
// it is at most 1,000 times in a second.
func TestProbesAreCoalesced(t *testing.T) {
	const clients, most = 16, 1000
	seconds := 8
	if testing.Short() {
		seconds = 3
	}
	c := servers(t, 1, map[string]string{"synchronous_commit": "off"})
	setUp(t, c, pairTables(clients)...)
	primary := newLane(t, c.Primary.Addr())
	p := startAt(t, primary.addr(), []string{c.Replicas[0].Addr()}, "trust_hints = true", "size = 20")
	p.everywhere(t, 1)
	var writes atomic.Int64
	stop := make(chan struct{})
	var all sync.WaitGroup
	for i := range clients {
		conn := p.connect(t, "default_query_exec_mode=cache_statement")
		all.Go(func() {
			ctx := context.Background()
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := conn.Exec(ctx, setOwn, i, n); err != nil {
					t.Error(err)
					return
				}
				writes.Add(1)
				if n%8 == 0 { // and somebody waits for an answer
					var got, host int
					if err := conn.QueryRow(ctx, getOwn, i).Scan(&got, &host); err != nil || got != n {
						t.Errorf("wrote %d, read %d: %v", n, got, err)
						return
					}
				}
			}
		})
	}
	time.Sleep(500 * time.Millisecond)
	first, began, worst := primary.probes.Load(), time.Now(), 0.0
	written := writes.Load()
	for range seconds {
		from, at := primary.probes.Load(), time.Now()
		time.Sleep(time.Second)
		worst = max(worst, float64(primary.probes.Load()-from)/time.Since(at).Seconds())
	}
	took := time.Since(began).Seconds()
	probes, rate := primary.probes.Load()-first, float64(writes.Load()-written)/took
	close(stop)
	all.Wait()
	t.Logf("%.0f writes/s: %.0f probes/s of the primary, %.0f in the worst second", rate, float64(probes)/took, worst)
	if worst > most*1.1 {
		t.Errorf("%.0f probes in a second are more than %d", worst, most)
	}
	if float64(probes)/took < 20 {
		t.Error("the test does not see the probes")
	}
}

// TestReplicasServeDespiteLag: replicas that are 5 ms behind serve nearly all
// reads while every fifth session writes.
func TestReplicasServeDespiteLag(t *testing.T) {
	const clients, writers, lag = 20, 4, 5 * time.Millisecond
	long := 12 * time.Second
	if testing.Short() {
		long = 4 * time.Second
	}
	c := servers(t, 3, nil)
	setUp(t, c, pairTables(clients)...)
	for _, r := range c.Replicas {
		if err := applyDelay(r, lag); err != nil {
			t.Fatal(err)
		}
	}
	p := start(t, c, "trust_hints = true\ncausal_wait = \"5ms\"", "")
	p.everywhere(t, 3)
	w := &pairs{p: p, clients: clients}
	var writes atomic.Int64
	var all sync.WaitGroup
	end := time.Now().Add(long)
	for i := range clients {
		mode := modes()[i%len(modes())]
		s := &pairClient{
			w: w, id: i, mode: mode, rand: rand.New(rand.NewPCG(causalSeed, uint64(i))),
			conn: p.connect(t, "default_query_exec_mode="+mode),
		}
		all.Go(func() {
			for time.Now().Before(end) {
				var err error
				if i < writers && s.rand.IntN(2) == 0 {
					s.n++
					writes.Add(1)
					if err = s.write(); err == nil && s.rand.IntN(2) == 0 {
						err = s.readBoth() // at once
					}
				} else {
					err = s.readBoth()
				}
				if err != nil {
					t.Errorf("%s: %v", s.doing, err)
					return
				}
				time.Sleep(time.Duration(5+s.rand.IntN(10)) * time.Millisecond)
			}
		})
	}
	all.Wait()
	part := share(w.onReplicas.Load(), w.reads.Load())
	t.Logf("%.0f writes/s and %.0f reads/s at %v: %.1f %% of the reads by replicas", float64(writes.Load())/long.Seconds(),
		float64(w.reads.Load())/long.Seconds(), lag, part)
	t.Log(p.routes())
	if part < 90 {
		t.Errorf("%.1f %% of the reads were served by replicas", part)
	}
	if w.own.Load()+w.back.Load() > 0 {
		t.Error(w.complaints)
	}
}

// TestReadsOfAHalfReplayedCommit: a replica shows a commit before it has
// replayed the whole of its record, if files are dropped with it (xact.c,
// xact_redo_commit), and its replay position does not cover the record as long.
// A session that has seen it must not be sent to a replica that is only as far.
func TestReadsOfAHalfReplayedCommit(t *testing.T) {
	const clients, tables = 8, 1500
	rounds := 5
	if testing.Short() {
		rounds = 3
	}
	c := servers(t, 3, map[string]string{"max_locks_per_transaction": "256"})
	setUp(t, c, pairTables(clients)...)
	p := start(t, c, "trust_hints = true\ncausal_wait = \"5ms\"\nmax_lag = \"60s\"", "")
	p.everywhere(t, 3)
	for _, r := range c.Replicas[1:] {
		if err := applyDelay(r, 400*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	w := &pairs{p: p, clients: clients}
	stop := make(chan struct{})
	var all sync.WaitGroup
	for i := range clients {
		s := &pairClient{w: w, id: i, rand: rand.New(rand.NewPCG(causalSeed, uint64(i))), conn: p.connect(t, "")}
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := s.readCommon(s.conn, 0, ""); err != nil {
					t.Errorf("%s: %v", s.doing, err)
					return
				}
				time.Sleep(time.Duration(s.rand.IntN(6000)) * time.Microsecond)
			}
		})
	}
	ctx := context.Background()
	for range rounds {
		for _, sql := range []string{
			fmt.Sprintf("DO $$ BEGIN FOR i IN 1..%d LOOP EXECUTE 'CREATE TABLE t' || i || ' (n int)'; END LOOP; END $$", tables),
			fmt.Sprintf("DO $$ BEGIN UPDATE common SET n = n + 1 WHERE id = 0; FOR i IN 1..%d LOOP EXECUTE 'DROP TABLE t' || i; END LOOP; END $$", tables),
		} {
			if err := c.Primary.Exec(ctx, "postgres", sql); err != nil {
				t.Fatal(err)
			}
			if err := c.CatchUp(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	close(stop)
	all.Wait()
	t.Logf("%d reads, %d by replicas", w.reads.Load(), w.onReplicas.Load())
	t.Log(p.routes())
	if w.back.Load() > 0 {
		t.Errorf("%d reads went back in time: %s", w.back.Load(), w.complaints[0])
	}
}
