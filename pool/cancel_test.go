package pool_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock/penstock/pool"
)

func TestConnectionIsNotHandedOnUntilTheCancelIsOver(t *testing.T) {
	t.Parallel()
	for name, failure := range map[string]error{"done": nil, "failed": errRefused} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(_ *pool.Config, s *servers) {
				s.cancel = func(*pool.Conn) error { time.Sleep(time.Minute); return failure }
			}, func(w *world) {
				c := w.hold(w.pool)
				next := newClient().acquire(w.pool)
				c.Cancel()
				began := time.Now()
				time.Sleep(time.Second)
				c.Release()
				waiting(t, next)
				if s := w.pool.Snapshot(); s.BeingCanceled != 1 || s.Active != 0 || s.Idle != 0 {
					t.Errorf("snapshot %+v, want one connection that is being canceled", s)
				}
				if w.pool.Quiet() {
					t.Error("a pool with a cancel under way is not quiet")
				}
				a := <-next
				if a.conn != c || a.at.Sub(began) != time.Minute {
					t.Errorf("got %v, %v after %s, want the same connection when the cancel is over", a.conn, a.err, a.at.Sub(began))
				}
			})
		})
	}
}

func TestCancelThatEndsBeforeReleaseDelaysNobody(t *testing.T) {
	t.Parallel()
	inWorld(t, func(_ *pool.Config, s *servers) { s.cancel = func(*pool.Conn) error { return nil } }, func(w *world) {
		c := w.hold(w.pool)
		c.Cancel()
		synctest.Wait()
		w.want(0, 1, 0)
		c.Release()
		w.want(1, 0, 0)
	})
}

func TestCancelsOfOneConnectionAreBounded(t *testing.T) {
	t.Parallel()
	n := 0
	inWorld(t, func(_ *pool.Config, s *servers) {
		s.cancel = func(*pool.Conn) error { n++; time.Sleep(time.Second); return nil }
	}, func(w *world) {
		c := w.hold(w.pool)
		for range 10 {
			c.Cancel()
			synctest.Wait()
		}
		if n != pool.MaxCancels {
			t.Errorf("%d cancel requests at once, want %d", n, pool.MaxCancels)
		}
		c.Release()
		time.Sleep(time.Second)
		w.want(1, 0, 0)
		c.Cancel() // not linked: there is nothing to cancel
		synctest.Wait()
		if n != pool.MaxCancels {
			t.Error("an idle connection was canceled")
		}
	})
}

func TestConnectionLostDuringItsCancelStaysLost(t *testing.T) {
	t.Parallel()
	inWorld(t, func(_ *pool.Config, s *servers) {
		s.cancel = func(*pool.Conn) error { time.Sleep(time.Second); return nil }
	}, func(w *world) {
		c := w.hold(w.pool)
		c.Cancel()
		synctest.Wait()
		c.Release()
		_ = w.servers.end(0).Close()
		time.Sleep(time.Minute)
		w.want(0, 0, 0)
		if s := w.pool.Snapshot(); s.BeingCanceled != 0 || s.Total != 0 {
			t.Errorf("snapshot %+v", s)
		}
	})
}

func TestPauseGivesOutNothingUntilResume(t *testing.T) {
	t.Parallel()
	inWorld(t, func(c *pool.Config, _ *servers) { c.Size, c.QueryWaitTimeout = 2, time.Hour }, func(w *world) {
		busy, idle := w.hold(w.pool), w.hold(w.pool)
		idle.Release()
		w.pool.Pause()
		w.want(0, 1, 0) // free ones are closed
		if !w.pool.Snapshot().Paused || w.pool.Quiet() {
			t.Error("want paused and not quiet")
		}
		ch := newClient().acquire(w.pool)
		time.Sleep(time.Minute)
		waiting(t, ch)
		busy.Release()
		w.want(0, 0, 1) // closed, too, and not handed on
		if !w.pool.Quiet() {
			t.Error("want quiet")
		}
		w.pool.Resume()
		get(t, ch)
	})
}

func TestWaitTimeoutRunsWhilePaused(t *testing.T) {
	t.Parallel()
	inWorld(t, func(c *pool.Config, _ *servers) { c.QueryWaitTimeout = time.Second }, func(w *world) {
		w.pool.Pause()
		a := <-newClient().acquire(w.pool)
		if _, ok := errors.AsType[*pool.WaitTimeoutError](a.err); !ok {
			t.Errorf("got %v, want a WaitTimeoutError", a.err)
		}
	})
}

func TestReconnectReplacesEachConnectionWhenItIsFree(t *testing.T) {
	t.Parallel()
	inWorld(t, func(c *pool.Config, _ *servers) { c.Size = 2 }, func(w *world) {
		busy, idle := w.hold(w.pool), w.hold(w.pool)
		idle.Release()
		w.pool.Reconnect()
		w.want(0, 1, 0)
		if w.pool.Renewed() {
			t.Error("an old connection is open still")
		}
		if i := w.pool.Info(); len(i) != 1 || !i[0].Closing {
			t.Errorf("got %+v, want the busy one, to be closed", i)
		}
		young := w.hold(w.pool)
		busy.Release()
		w.want(0, 1, 0)
		if !w.pool.Renewed() {
			t.Error("no old connection is open any more")
		}
		young.Release()
		w.want(1, 0, 0)
	})
}

func TestReconnectDoesNotKeepAConnectionThatWasBeingOpened(t *testing.T) {
	t.Parallel()
	inWorld(t, func(_ *pool.Config, s *servers) { s.takes = time.Second }, func(w *world) {
		ch := newClient().acquire(w.pool)
		time.Sleep(500 * time.Millisecond)
		w.pool.Reconnect()
		get(t, ch)
		if n := len(w.servers.dials()); n != 2 {
			t.Errorf("%d connects, want 2: the first led to where the pool went before", n)
		}
	})
}

func TestKillClosesConnectionsInUse(t *testing.T) {
	t.Parallel()
	inWorld(t, func(c *pool.Config, _ *servers) { c.Size = 2 }, func(w *world) {
		k := newClient()
		get(t, k.acquire(w.pool))
		w.hold(w.pool).Release()
		w.pool.Kill()
		if err := <-k.lost; !errors.Is(err, pool.ErrReconnect) {
			t.Errorf("Lost(%v), want the reason", err)
		}
		w.want(0, 0, 0)
		w.hold(w.pool)
	})
}

func TestCloseTellsWaitersAndLetsWorkEnd(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		c := w.hold(w.pool)
		ch := newClient().acquire(w.pool)
		waiting(t, ch)
		w.pool.Close()
		if a := <-ch; !errors.Is(a.err, pool.ErrClosed) {
			t.Errorf("got %v, want ErrClosed", a.err)
		}
		if a := <-newClient().acquire(w.pool); !errors.Is(a.err, pool.ErrClosed) {
			t.Errorf("a newcomer got %v, want ErrClosed", a.err)
		}
		w.want(0, 1, 0)
		c.Release()
		w.want(0, 0, 0)
	})
}

func TestReloadShrinksAndGrowsThePool(t *testing.T) {
	t.Parallel()
	inWorld(t, func(c *pool.Config, _ *servers) { c.Size = 5 }, func(w *world) {
		var all []*pool.Conn
		for range 5 {
			all = append(all, w.hold(w.pool))
		}
		for _, c := range all[:3] {
			c.Release()
		}
		small := *w.pool.Config()
		small.Size, small.ReserveSize = 2, 1
		w.pool.Apply(&small)
		w.want(1, 2, 0)
		ch := newClient().acquire(w.pool)
		get(t, ch)
		next := newClient().acquire(w.pool)
		waiting(t, next)
		large := small
		large.Size = 4
		w.pool.Apply(&large)
		get(t, next)
	})
}

// A pool that was full when it shrank must come down to its new size as the
// connections in use are released.
func TestReloadShrinksConnectionsInUseWhenTheyAreReleased(t *testing.T) {
	t.Parallel()
	inWorld(t, func(c *pool.Config, _ *servers) { c.Size = 5 }, func(w *world) {
		var all []*pool.Conn
		for range 5 {
			all = append(all, w.hold(w.pool))
		}
		small := *w.pool.Config()
		small.Size = 2
		w.pool.Apply(&small)
		for _, c := range all {
			c.Release()
		}
		time.Sleep(time.Minute)
		w.want(2, 0, 0)
	})
}

func TestReloadThatLeadsElsewhereReplacesConnections(t *testing.T) {
	t.Parallel()
	inWorld(t, func(c *pool.Config, _ *servers) { c.Size = 2 }, func(w *world) {
		busy := w.hold(w.pool)
		w.hold(w.pool).Release()
		other := &servers{}
		cfg := *w.pool.Config()
		cfg.Dial, cfg.DialID = other.dial, "2"
		w.set.Apply(func(pool.Key) *pool.Config { return &cfg })
		w.want(0, 1, 0)
		if _, known := w.pool.Welcome(); known {
			t.Error("the greeting of the old server is kept")
		}
		w.hold(w.pool)
		busy.Release()
		w.want(0, 1, 0)
		if len(other.dials()) != 1 || len(w.servers.dials()) != 2 {
			t.Errorf("%d connects to the new server, %d to the old", len(other.dials()), len(w.servers.dials()))
		}
	})
}

func TestReloadEndsABackOffThatWasForAnotherServer(t *testing.T) {
	t.Parallel()
	inWorld(t, func(_ *pool.Config, s *servers) { s.fail = errRefused }, func(w *world) {
		<-newClient().acquire(w.pool)
		w.servers.setFail(nil)
		cfg := *w.pool.Config()
		cfg.DialID = "2"
		w.pool.Apply(&cfg)
		w.hold(w.pool)
	})
}

func TestReloadClosesPoolsOfDatabasesThatHaveGone(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		w.hold(w.pool).Release()
		ch := newClient().acquire(w.other("web", "bob", w.pool.Config()))
		c := get(t, ch)
		w.set.Apply(func(k pool.Key) *pool.Config {
			if k.Database == "app" {
				return nil
			}
			return c.Pool().Config()
		})
		w.want(0, 0, 0)
		if all := w.set.All(); len(all) != 1 || all[0].Key().Database != "web" {
			t.Errorf("pools %v, want that of web", all)
		}
	})
}

func TestSetMakesAPoolOnceAndSortsThem(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		for _, k := range []pool.Key{{Database: "b", User: "a"}, {Database: "a", User: "b"}, {Database: "a", User: "a"}} {
			w.other(k.Database, k.User, w.pool.Config())
		}
		if w.other("app", "alice", nil) != w.pool {
			t.Error("a second pool of the same key")
		}
		var got []string
		for _, p := range w.set.All() {
			got = append(got, p.Key().String())
		}
		want := []string{"a@a", "b@a", "alice@app", "a@b"}
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("got %v, want %v", got, want)
			}
		}
		if _, err := w.set.Pool(pool.Key{Database: "x"}, func() (*pool.Config, error) { return nil, errRefused }); !errors.Is(err, errRefused) {
			t.Errorf("got %v, want the error of the configuration", err)
		}
	})
}
