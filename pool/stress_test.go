package pool_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock/penstock/pool"
)

// TestStressAllOperationsAtOnce runs everything that may happen to pools at
// once, on the real clock. No connection may be two clients' at a time, no
// list may disagree with its counter, no limit may be exceeded, and when all is
// over nothing may be left.
func TestStressAllOperationsAtOnce(t *testing.T) {
	t.Parallel()
	const clients, size, reserve, maxDatabase = 24, 4, 2, 9
	s := &servers{cancel: func(*pool.Conn) error { time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond); return nil }}
	set := pool.NewSet(slog.New(slog.DiscardHandler))
	cfg := config(s)
	cfg.Size, cfg.ReserveSize, cfg.ReserveAfter, cfg.MinSize = size, reserve, time.Millisecond, 1
	cfg.MaxDatabase, cfg.MaxUser = maxDatabase, maxDatabase
	cfg.Lifetime, cfg.IdleTimeout, cfg.QueryWaitTimeout = 20*time.Millisecond, 5*time.Millisecond, 200*time.Millisecond
	dial := cfg.Dial
	cfg.Dial = func(ctx context.Context) (*pool.Login, error) {
		time.Sleep(time.Duration(rand.IntN(500)) * time.Microsecond)
		if rand.IntN(20) == 0 {
			return nil, errRefused
		}
		return dial(ctx)
	}
	var pools []*pool.Pool
	for _, user := range []string{"a", "b", "c"} {
		p, err := set.Pool(pool.Key{Database: "app", User: user}, func() (*pool.Config, error) { return cfg, nil })
		if err != nil {
			t.Fatal(err)
		}
		pools = append(pools, p)
	}

	stop := make(chan struct{})
	var owners sync.Map // connection -> client
	var served, refused atomic.Int64
	var work, chaos sync.WaitGroup
	for i := range clients {
		work.Go(func() {
			k := newClient()
			k.lost = make(chan error, 1<<16)
			for {
				select {
				case <-stop:
					return
				default:
				}
				c, err := pools[rand.IntN(len(pools))].Acquire(&k.waiter)
				if err != nil {
					refused.Add(1)
					time.Sleep(100 * time.Microsecond)
					continue
				}
				served.Add(1)
				if other, taken := owners.LoadOrStore(c, i); taken {
					t.Errorf("%v is client %d's and client %v's", c, i, other)
				}
				switch rand.IntN(6) {
				case 0:
					c.Cancel()
				case 1:
					time.Sleep(time.Duration(rand.IntN(500)) * time.Microsecond)
				case 2:
					_, _ = c.Write([]byte("query"))
				}
				c.Counters.Assigned()
				owners.Delete(c)
				if rand.IntN(10) == 0 {
					c.Destroy(errRefused)
				} else {
					c.Release()
				}
			}
		})
	}
	actions := []func(p *pool.Pool){
		(*pool.Pool).Reconnect,
		(*pool.Pool).Kill,
		func(p *pool.Pool) { p.Pause(); time.Sleep(time.Millisecond); p.Resume() },
		func(p *pool.Pool) { p.Sweep() },
		func(p *pool.Pool) {
			other := *cfg
			other.Size = 1 + rand.IntN(size)
			p.Apply(&other)
		},
		func(p *pool.Pool) {
			other := *cfg
			other.DialID = string(rune('a' + rand.IntN(3)))
			p.Apply(&other)
		},
		func(p *pool.Pool) {
			p.Info()
			p.Snapshot()
			p.Totals()
			p.Quiet()
			p.Renewed()
			p.Welcome()
		},
		func(*pool.Pool) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if len(s.ends) > 0 {
				_ = s.ends[rand.IntN(len(s.ends))].Close()
			}
		},
	}
	for range 3 {
		chaos.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Duration(rand.IntN(2000)) * time.Microsecond):
				}
				actions[rand.IntN(len(actions))](pools[rand.IntN(len(pools))])
				db, _ := set.Count("app", "a")
				for _, p := range pools {
					p.CheckLists()
				}
				if db > maxDatabase {
					t.Errorf("%d connections, limit %d", db, maxDatabase)
				}
			}
		})
	}
	length := 2 * time.Second
	if testing.Short() {
		length = 500 * time.Millisecond
	}
	time.Sleep(length)
	close(stop)
	chaos.Wait()
	for _, p := range pools {
		p.Resume()
	}
	over := make(chan struct{})
	go func() { work.Wait(); close(over) }()
	select {
	case <-over:
	case <-time.After(10 * time.Second):
		t.Fatal("a client waits for ever")
	}
	for _, p := range pools {
		p.CheckLists()
		if v := p.Snapshot(); v.Waiting != 0 || v.Active != 0 || v.Total > size+reserve {
			t.Errorf("at the end %+v", v)
		}
	}
	set.Close()
	for deadline := time.Now().Add(5 * time.Second); s.open() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are left open", s.open())
		}
	}
	eventually(t, "the end of the last connects", func() bool {
		db, user := set.Count("app", "a")
		return db == 0 && user == 0
	})
	if served.Load() < 100 || refused.Load() == 0 {
		t.Errorf("%d served, %d refused: the test has not tried much", served.Load(), refused.Load())
	}
	t.Logf("%d served, %d refused, %d connects", served.Load(), refused.Load(), len(s.dials()))
}
