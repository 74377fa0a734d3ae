package routing

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestStrongReadsSeeWhatOthersWrote: what was acknowledged to one session is
// there for the next read of every other.
func TestStrongReadsSeeWhatOthersWrote(t *testing.T) {
	rounds := 10_000 * soakOf(t, 20*time.Second)
	if testing.Short() {
		rounds = 1_500
	}
	stale := strongRounds(t, "strong", rounds)
	if stale > 0 {
		t.Errorf("%d of %d reads did not see what another session had written before", stale, rounds)
	}
}

// TestSessionReadsMayMissWhatOthersWrote shows that the rounds above notice it.
func TestSessionReadsMayMissWhatOthersWrote(t *testing.T) {
	if strongRounds(t, "session", 1_000) == 0 {
		t.Error("the test for consistency = strong can find nothing")
	}
}

// strongRounds has one session of each couple write and the other read, and
// returns how often the latter did not see it.
func strongRounds(t *testing.T, consistency string, rounds int) int64 {
	const couples = 10
	c := servers(t, 3, nil)
	setUp(t, c, pairTables(couples)...)
	p := start(t, c, fmt.Sprintf("trust_hints = true\ncausal_wait = \"5ms\"\nconsistency = %q", consistency), "")
	p.everywhere(t, 3)
	stop := make(chan struct{})
	var delays, all sync.WaitGroup
	delays.Go(func() {
		source := rand.New(rand.NewPCG(causalSeed, 7))
		for n := 0; ; n++ {
			if err := applyDelay(c.Replicas[n%3], time.Duration(source.IntN(21))*time.Millisecond); err != nil {
				t.Error(err)
			}
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	})
	var stale, byReplicas atomic.Int64
	began := time.Now()
	for i := range couples {
		writer := p.connect(t, "default_query_exec_mode="+modes()[i%len(modes())])
		reader := p.connect(t, "default_query_exec_mode="+modes()[(i+2)%len(modes())])
		source := rand.New(rand.NewPCG(causalSeed, uint64(i)))
		all.Go(func() {
			ctx := context.Background()
			for n := int64(1); n <= int64(rounds/couples); n++ {
				if _, err := writer.Exec(ctx, setOwn, i, n); err != nil {
					t.Errorf("write: %v", err)
					return
				}
				if source.IntN(4) == 0 {
					time.Sleep(time.Duration(source.IntN(30)) * time.Millisecond)
				}
				var got int64
				var host int
				if err := reader.QueryRow(ctx, getOwn, i).Scan(&got, &host); err != nil {
					t.Errorf("read: %v", err)
					return
				}
				if host != 0 {
					byReplicas.Add(1)
				}
				if got != n && stale.Add(1) <= 3 {
					t.Logf("couple %d: wrote %d, the other read %d", i, n, got)
				}
			}
		})
	}
	all.Wait()
	took := time.Since(began)
	close(stop)
	delays.Wait()
	t.Logf("%s: %d rounds in %v, %d stale, %.1f %% of the reads by replicas", consistency, rounds, took.Round(time.Millisecond),
		stale.Load(), share(byReplicas.Load(), int64(rounds)))
	t.Log(p.routes())
	return stale.Load()
}
