package routing

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/pgtest"
)

// Answers of all replicas come by so much later, so that the time that this
// machine needs is a small part of it, and those of the slow one by ten times that.
const (
	healthyDelay = 3 * time.Millisecond
	slowDelay    = 10 * healthyDelay
)

// TestSlowReplicaIsAvoided: of three replicas one becomes ten times slower, and
// 99 of 100 reads take at most half as long again as before. The machine's own
// noise can spoil that, so the best of three attempts counts.
func TestSlowReplicaIsAvoided(t *testing.T) {
	c := servers(t, 3, nil)
	setUp(t, c, pairTables(1)...)
	noisy := 0
	for attempt := 1; ; attempt++ {
		healthy, slow := slowOne(t, c, attempt)
		quiet := healthy < slowDelay/2 // else the machine's noise would hide the slow one
		if !quiet {
			noisy++
		}
		switch {
		case quiet && float64(slow) <= 1.5*float64(healthy):
			return
		case attempt == 3 && noisy == 3:
			t.Skipf("this machine is too busy: p99 %v where nothing is slow", healthy)
		case attempt == 3:
			t.Fatalf("p99 %v with a slow replica, %v without", slow, healthy)
		}
	}
}

func slowOne(t *testing.T, c *pgtest.Cluster, attempt int) (healthy, slow time.Duration) {
	long := 8 * time.Second
	if testing.Short() {
		long = 4 * time.Second
	}
	var addrs []string
	var lanes []*lane
	for _, r := range c.Replicas {
		l := newLane(t, r.Addr())
		l.delay.Store(int64(healthyDelay))
		lanes, addrs = append(lanes, l), append(addrs, l.addr())
	}
	p := startAt(t, c.Primary.Addr(), addrs, "trust_hints = true\ncausal_wait = \"5ms\"", "size = 20")
	p.everywhere(t, 3)
	readFor(t, p, 6*time.Second) // past the slow start
	before := readFor(t, p, long)
	lanes[2].delay.Store(int64(slowDelay))
	at := lanes[2].answers.Load()
	after := readFor(t, p, long)
	reads := len(after)
	healthy, slow = percentile(before, 0.99), percentile(after, 0.99)
	t.Logf("attempt %d: healthy p50 %v p99 %v of %d; one of three slow p50 %v p99 %v of %d, %d by the slow one: %s", attempt,
		percentile(before, 0.5), healthy, len(before), percentile(after, 0.5), slow, reads, lanes[2].answers.Load()-at,
		fmt.Sprintf("%.2f times", float64(slow)/float64(healthy)))
	t.Log(p.routes())
	return healthy, slow
}

// readFor reads with several sessions for a time and returns how long each read took.
func readFor(t *testing.T, p *penstock, long time.Duration) []time.Duration {
	t.Helper()
	const clients = 12
	took := make([][]time.Duration, clients)
	end := time.Now().Add(long)
	var all sync.WaitGroup
	for i := range clients {
		conn := p.connect(t, "default_query_exec_mode=cache_statement")
		all.Go(func() {
			for time.Now().Before(end) {
				var n, host int
				began := time.Now()
				if err := conn.QueryRow(context.Background(), getOwn, 0).Scan(&n, &host); err != nil {
					t.Error(err)
					return
				}
				took[i] = append(took[i], time.Since(began))
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	all.Wait()
	var every []time.Duration
	for _, d := range took {
		every = append(every, d...)
	}
	return every
}
