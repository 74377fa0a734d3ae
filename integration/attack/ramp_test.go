package attack

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/pgtest"
)

// TestEmptyPoolFillsAsFastAsDirectConnections lets 40 clients come at once to
// a Penstock without a server connection. Of each side the best of three runs
// counts: a machine with other work disturbs single ones.
func TestEmptyPoolFillsAsFastAsDirectConnections(t *testing.T) {
	const clients, rounds = 40, 3
	direct, pooled := time.Hour, time.Hour
	for range rounds {
		took, err := rush(t.Context(), postgres(t).Addr(), clients)
		if err != nil {
			t.Fatal(err)
		}
		direct = min(direct, took)
		t.Run("pooled", func(t *testing.T) {
			p := start(t, options{pool: "size = 40"})
			took, err := rush(t.Context(), p.addr, clients)
			if err != nil {
				t.Fatal(err)
			}
			pooled = min(pooled, took)
		})
	}
	t.Logf("direct %v, through Penstock %v", direct, pooled)
	if most := direct*3/2 + 100*time.Millisecond; pooled > most {
		t.Errorf("through Penstock %v, directly %v: want at most %v", pooled, direct, most)
	}
}

// rush lets n clients log in and sleep in PostgreSQL, all at once.
func rush(ctx context.Context, addr string, n int) (time.Duration, error) {
	began := time.Now()
	var clients sync.WaitGroup
	failed := make([]error, n)
	for i := range n {
		clients.Go(func() {
			c, err := pgtest.Dial(ctx, addr, app())
			if err != nil {
				failed[i] = err
				return
			}
			defer c.Close()
			_, failed[i] = query(c, "SELECT pg_sleep(0.2)")
		})
	}
	clients.Wait()
	return time.Since(began), errors.Join(failed...)
}
