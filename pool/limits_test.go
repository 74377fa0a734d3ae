package pool_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock/penstock/pool"
)

func TestLimitsHoldOverAllPools(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		maxDatabase, maxUser int
		database, user       string // of the second pool
		free                 bool   // it may open a connection
	}{
		"no limit":                      {0, 0, "app", "bob", true},
		"database full":                 {1, 0, "app", "bob", false},
		"another database":              {1, 0, "web", "alice", true},
		"user full":                     {0, 1, "web", "alice", false},
		"another user":                  {0, 1, "app", "bob", true},
		"both, neither shared":          {1, 1, "web", "bob", true},
		"room for two in the database":  {2, 0, "app", "bob", true},
		"room for two of the same user": {0, 2, "web", "alice", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(cfg *pool.Config, _ *servers) { cfg.MaxDatabase, cfg.MaxUser = c.maxDatabase, c.maxUser }, func(w *world) {
				first := w.hold(w.pool)
				second := newClient().acquire(w.other(c.database, c.user, w.pool.Config()))
				time.Sleep(time.Minute)
				if !c.free {
					waiting(t, second)
					first.Destroy(errRefused)
				}
				get(t, second)
			})
		})
	}
}

func TestIdleConnectionOfAnotherPoolMakesRoom(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*pool.Config){
		"max_db_connections":   func(c *pool.Config) { c.MaxDatabase = 2 },
		"max_user_connections": func(c *pool.Config) { c.MaxUser = 2 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(c *pool.Config, _ *servers) { c.Size = 2; change(c) }, func(w *world) {
				cfg := w.pool.Config()
				other := w.other("app", "bob", cfg)
				if cfg.MaxUser > 0 {
					other = w.other("web", "alice", cfg)
				}
				a, b := w.hold(w.pool), w.hold(w.pool)
				a.Release()
				time.Sleep(time.Second)
				b.Release()
				w.want(2, 0, 0)
				began := time.Now()
				ans := <-newClient().acquire(other)
				if ans.err != nil || ans.at.Sub(began) > time.Second {
					t.Fatalf("got %v after %s, want a connection within a second", ans.err, ans.at.Sub(began))
				}
				w.want(1, 0, 0)
				if got := w.hold(w.pool); got != b {
					t.Errorf("the longest idle %v was spared, %v was not", a, b)
				}
			})
		})
	}
}

func TestEvictionSparesPoolsThatDoNotCountAgainstTheFullLimit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		maxDatabase, maxUser       int
		starvedDatabase, starvedBy string // the pool that needs room, beside that of alice to app
		spared                     pool.Key
	}{
		"the database is full": {1, 0, "app", "bob", pool.Key{Database: "web", User: "bob"}},
		"the user is full":     {0, 1, "web", "alice", pool.Key{Database: "web", User: "bob"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(cfg *pool.Config, _ *servers) { cfg.MaxDatabase, cfg.MaxUser = c.maxDatabase, c.maxUser }, func(w *world) {
				cfg := w.pool.Config()
				spared := w.other(c.spared.Database, c.spared.User, cfg)
				w.hold(spared).Release() // idle for longer
				time.Sleep(time.Hour)
				w.hold(w.pool).Release()
				w.hold(w.other(c.starvedDatabase, c.starvedBy, cfg))
				if s := spared.Snapshot(); s.Idle != 1 {
					t.Errorf("the connection of %v was closed, which helps nobody", c.spared)
				}
				w.want(0, 0, 0)
			})
		})
	}
}

func TestTheLongestIdleConnectionOfAllPoolsIsEvicted(t *testing.T) {
	t.Parallel()
	inWorld(t, func(c *pool.Config, _ *servers) { c.MaxDatabase = 3 }, func(w *world) {
		cfg := w.pool.Config()
		var pools []*pool.Pool
		for _, user := range []string{"bob", "carol", "dave"} { // the middle one is idle for longest
			pools = append(pools, w.other("app", user, cfg))
		}
		for _, i := range []int{1, 0, 2} {
			w.hold(pools[i]).Release()
			time.Sleep(time.Minute)
		}
		w.hold(w.pool)
		for i, want := range []int{1, 0, 1} {
			if n := pools[i].Snapshot().Idle; n != want {
				t.Errorf("%v has %d idle connections, want %d", pools[i].Key(), n, want)
			}
		}
	})
}

func TestConnectionsInUseAreNotEvicted(t *testing.T) {
	t.Parallel()
	inWorld(t, func(c *pool.Config, _ *servers) { c.MaxDatabase, c.QueryWaitTimeout = 1, time.Minute }, func(w *world) {
		w.hold(w.pool)
		a := <-newClient().acquire(w.other("app", "bob", w.pool.Config()))
		if a.err == nil {
			t.Error("a limit was exceeded")
		}
		w.want(0, 1, 0)
	})
}

func TestStarvedPoolTakesAPlaceThatAnotherPoolGivesBack(t *testing.T) {
	t.Parallel()
	inWorld(t, func(c *pool.Config, _ *servers) { c.MaxDatabase = 1 }, func(w *world) {
		c := w.hold(w.pool)
		ch := newClient().acquire(w.other("app", "bob", w.pool.Config()))
		waiting(t, ch)
		c.Destroy(errRefused)
		released := time.Now()
		a := <-ch
		if a.err != nil || a.at.Sub(released) > 110*time.Millisecond {
			t.Errorf("got %v after %s", a.err, a.at.Sub(released))
		}
		synctest.Wait()
	})
}
