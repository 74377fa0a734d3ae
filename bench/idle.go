package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/penstock/penstock/internal/pgtest"
)

// dialers is how many clients log in at a time.
const dialers = 8

// runIdle measures a fresh proxy's memory and CPU time before and after so many
// clients have logged in, and again after each has run one query: a proxy may
// give a client its buffers only then.
func runIdle(ctx context.Context, p Point, proxy *process, settle time.Duration) (values map[string]float64, err error) {
	if err := warmUp(ctx, proxy.addr); err != nil {
		return nil, err
	}
	if err := pause(ctx, time.Second); err != nil {
		return nil, err
	}
	cpu, before, err := proxy.usage()
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	clients, err := openClients(ctx, proxy.addr, p.Clients)
	took := time.Since(begin)
	defer closeClients(clients)
	if err != nil {
		return nil, err
	}
	after, loggedIn, err := settled(ctx, proxy, settle)
	if err != nil {
		return nil, err
	}
	for _, c := range clients {
		if err := selectOne(c); err != nil {
			return nil, err
		}
	}
	_, used, err := settled(ctx, proxy, settle)
	n := float64(p.Clients)
	return map[string]float64{
		"tps":        n / took.Seconds(),
		"cpu_us":     float64((after - cpu).Microseconds()) / n,
		"idle_bytes": float64(loggedIn-before) / n,
		"used_bytes": float64(used-before) / n,
		"rss_mb":     float64(used) / (1 << 20),
	}, err
}

// settled waits before it looks, because memory is given back late.
func settled(ctx context.Context, proxy *process, settle time.Duration) (time.Duration, int64, error) {
	if err := pause(ctx, settle); err != nil {
		return 0, 0, err
	}
	return proxy.usage()
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// warmUp has one client run a query, so that the pool has its first server
// connection and the code its pages.
func warmUp(ctx context.Context, addr string) error {
	clients, err := openClients(ctx, addr, 1)
	defer closeClients(clients)
	if err != nil {
		return err
	}
	return selectOne(clients[0])
}

// openClients logs clients in; those it could open it returns also with an
// error.
func openClients(ctx context.Context, addr string, n int) ([]*pgtest.Client, error) {
	clients := make([]*pgtest.Client, n)
	errs := make([]error, dialers)
	var wg sync.WaitGroup
	for d := range dialers {
		wg.Go(func() {
			for i := d; i < n && errs[d] == nil; i += dialers {
				clients[i], errs[d] = pgtest.Dial(ctx, addr, map[string]string{"user": "postgres", "database": "bench"})
			}
		})
	}
	wg.Wait()
	var open []*pgtest.Client
	for _, c := range clients {
		if c != nil {
			open = append(open, c)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return open, fmt.Errorf("after %d clients: %w", len(open), err)
	}
	return open, nil
}

func selectOne(c *pgtest.Client) error {
	if err := c.Send(&pgproto3.Query{String: "SELECT 1"}); err != nil {
		return err
	}
	_, err := c.ReceiveTypes("ReadyForQuery", 10*time.Second)
	return err
}

func closeClients(clients []*pgtest.Client) {
	for _, c := range clients {
		_ = c.Close()
	}
}
