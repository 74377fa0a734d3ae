package routing

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penstock/penstock/internal/pgtest"
)

// TestPlannedSwitchover changes the primary under 200 clients as an operator
// does: SWITCHOVER, stop, promote, let the old one follow. No client may notice,
// and whoever reads does not even wait.
func TestPlannedSwitchover(t *testing.T) {
	c := failoverServers(t, nil)
	p := start(t, c, failoverRouting, `query_wait_timeout = "30s"`)
	p.ready(t)
	all := &crowd{p: p, writers: 120, readers: 80, think: 100 * time.Millisecond}
	all.gather(t)
	time.Sleep(time.Second)

	var pauses, promotions, gaps, drains []time.Duration
	for round := range trials(t, 3, 20) {
		// Once the operator takes his time: then it shows whether reads wait, too.
		hold := time.Duration(0)
		if round == 0 {
			hold = time.Second
		}
		s := switchOver(t, c, all, hold)
		t.Logf("round %d: drained in %v, writes paused for %v, of which pg_promote took %v and stopping the old primary %v; the longest time without a read %v (on a replica without Penstock %v), the slowest read %v",
			round, s.drain, s.pause, s.promotion, s.stop, s.gap, s.control, s.slowest)
		if round > 0 {
			pauses, promotions = append(pauses, s.pause), append(promotions, s.promotion)
		}
		gaps, drains = append(gaps, s.gap), append(drains, s.drain)
		// A busy machine makes whoever reads wait, so that is measured, too.
		if s.gap > 400*time.Millisecond+2*s.control {
			t.Errorf("round %d: for %v nobody could read", round, s.gap)
		}
		if len(all.since(time.Time{})) > 0 {
			break
		}
	}
	all.disperse()
	complain(t, "a client noticed", all.since(time.Time{}))
	l := all.audit(t, c.Primary, time.Time{})
	t.Logf("%d statements, %v; failed: %s", all.statements.Load(), l, all.summary())
	t.Logf("write pause %s; pg_promote %s; drain %s; no read for %s", longest(pauses), longest(promotions), longest(drains), longest(gaps))
	t.Log(p.routes())
}

// switched is what a switchover took.
type switched struct {
	drain, stop, promotion, pause, gap, slowest, control time.Duration
}

// switchOver does one and waits until all is as before, with the roles changed.
func switchOver(t *testing.T, c *pgtest.Cluster, all *crowd, hold time.Duration) switched {
	t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	var s switched
	control := readDirectly(ctx, t, c.Replicas[1])
	all.reads.mark()
	all.acks.mark()
	began := time.Now()
	if err := all.p.console(ctx, "SWITCHOVER postgres"); err != nil {
		t.Fatal(err)
	}
	s.drain = time.Since(began).Round(time.Millisecond)
	time.Sleep(hold)
	old := c.Primary
	stopping := time.Now()
	if err := old.Stop(pgtest.Fast); err != nil {
		t.Fatal(err)
	}
	s.stop = time.Since(stopping).Round(time.Millisecond)
	at, took := promote(t, c, c.Replicas[0])
	s.promotion = took
	all.writesAfter(t, at, 20*time.Second)
	s.pause, _ = all.acks.seen()
	if err := c.Rejoin(ctx, old); err != nil {
		t.Fatal(err)
	}
	all.p.replicasUp(t, 2)
	time.Sleep(500 * time.Millisecond)
	s.gap, s.slowest = all.reads.seen()
	s.control, _ = control.seen()
	return s
}

// readDirectly reads from a server without Penstock until ctx ends, or the server does.
func readDirectly(ctx context.Context, t *testing.T, r *pgtest.Instance) *pace {
	t.Helper()
	conn, err := pgx.Connect(ctx, r.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	p := new(pace)
	p.mark()
	go func() {
		defer conn.Close(context.WithoutCancel(ctx))
		for began := time.Now(); readRow(ctx, conn, 1) == nil; began = time.Now() {
			p.note(began, time.Now())
			time.Sleep(5 * time.Millisecond)
		}
	}()
	return p
}
