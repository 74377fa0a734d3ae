package pool_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock/penstock/pool"
)

func TestFailedConnectIsToldToEverybodyWhoWaits(t *testing.T) {
	t.Parallel()
	inWorld(t, func(c *pool.Config, s *servers) {
		c.Size, s.takes, s.fail = 2, time.Second, errRefused
	}, func(w *world) {
		var all []<-chan answer
		for range 5 {
			all = append(all, newClient().acquire(w.pool))
		}
		for i, ch := range all {
			a := <-ch
			var failed *pool.ConnectError
			if !errors.As(a.err, &failed) || !errors.Is(a.err, errRefused) {
				t.Fatalf("waiter %d got %v, want a ConnectError with the cause", i, a.err)
			}
			if failed.Database != "app" || failed.Attempts != 2 || failed.RetryIn <= 0 {
				t.Errorf("waiter %d is told %+v", i, *failed)
			}
		}
		w.want(0, 0, 0)
	})
}

func TestNewcomerIsRefusedAtOnceDuringBackOff(t *testing.T) {
	t.Parallel()
	inWorld(t, func(_ *pool.Config, s *servers) { s.fail = errRefused }, func(w *world) {
		<-newClient().acquire(w.pool)
		began := time.Now()
		a := <-newClient().acquire(w.pool)
		if !errors.Is(a.err, errRefused) || a.at != began {
			t.Errorf("got %v after %s, want the last error at once", a.err, a.at.Sub(began))
		}
		if n := len(w.servers.dials()); n != 1 {
			t.Errorf("%d connects, want 1: the back-off has begun", n)
		}
		w.servers.setFail(nil)
		time.Sleep(w.pool.InBackoff())
		w.hold(w.pool)
	})
}

func TestBackOffGrowsToItsLimitAndEndsWithSuccess(t *testing.T) {
	t.Parallel()
	inWorld(t, func(_ *pool.Config, s *servers) { s.fail = errRefused }, func(w *world) {
		for i := range 14 {
			a := <-newClient().acquire(w.pool)
			if !errors.Is(a.err, errRefused) {
				t.Fatal(a.err)
			}
			most := min(pool.FirstRetry<<i, pool.LastRetry)
			if wait := w.pool.InBackoff(); wait < most/2 || wait > most {
				t.Errorf("after failure %d the pool waits %s, want %s to %s", i+1, wait, most/2, most)
			}
			time.Sleep(w.pool.InBackoff())
		}
		w.servers.setFail(nil)
		c := w.hold(w.pool)
		if wait := w.pool.InBackoff(); wait != 0 {
			t.Errorf("a success leaves a back-off of %s", wait)
		}
		w.servers.setFail(errRefused)
		c.Destroy(errRefused)
		<-newClient().acquire(w.pool)
		if wait := w.pool.InBackoff(); wait > pool.FirstRetry {
			t.Errorf("the first failure after a success waits %s", wait)
		}
	})
}

func TestOneScoutGoesAfterAFailure(t *testing.T) {
	t.Parallel()
	inWorld(t, func(c *pool.Config, s *servers) { c.Size = 10 }, func(w *world) {
		c := w.hold(w.pool) // with a connection left, nobody is told and all wait
		w.servers.setFail(errRefused)
		var all []<-chan answer
		for range 6 {
			all = append(all, newClient().acquire(w.pool))
			synctest.Wait()
		}
		if n := len(w.servers.dials()); n != 2 {
			t.Errorf("%d connects, want 2: one was good, one failed, and the others wait for the back-off", n)
		}
		w.want(0, 1, 6)
		time.Sleep(w.pool.InBackoff() + 2*time.Millisecond)
		synctest.Wait()
		if n := len(w.servers.dials()); n != 3 {
			t.Errorf("%d connects, want 3: one scout", n)
		}
		w.servers.setFail(nil)
		time.Sleep(w.pool.InBackoff() + 2*time.Millisecond)
		for _, ch := range all {
			get(t, ch).Release()
		}
		c.Release()
	})
}

func TestConnectTimeoutEndsALogin(t *testing.T) {
	t.Parallel()
	inWorld(t, func(c *pool.Config, s *servers) { c.ConnectTimeout, s.takes = 3*time.Second, time.Hour }, func(w *world) {
		began := time.Now()
		a := <-newClient().acquire(w.pool)
		if a.at.Sub(began) != 3*time.Second || a.err == nil {
			t.Errorf("got %v after %s, want an error after connect_timeout", a.err, a.at.Sub(began))
		}
	})
}

func TestPanicDuringALoginIsAFailedConnect(t *testing.T) {
	t.Parallel()
	inWorld(t, func(_ *pool.Config, s *servers) { s.panic = "boom" }, func(w *world) {
		a := <-newClient().acquire(w.pool)
		if a.err == nil || !strings.Contains(a.err.Error(), "boom") {
			t.Errorf("got %v, want the panic as an error", a.err)
		}
	})
}

func TestFailedConnectGivesItsPlaceUnderTheLimitsBack(t *testing.T) {
	t.Parallel()
	inWorld(t, func(c *pool.Config, s *servers) { c.MaxDatabase, c.MaxUser, s.fail = 1, 1, errRefused }, func(w *world) {
		for range 3 {
			<-newClient().acquire(w.pool)
			time.Sleep(w.pool.InBackoff())
		}
		if db, user := w.set.Count("app", "alice"); db != 0 || user != 0 {
			t.Errorf("database %d, user %d connections are counted, want none", db, user)
		}
		w.servers.setFail(nil)
		c := w.hold(w.pool)
		if db, user := w.set.Count("app", "alice"); db != 1 || user != 1 {
			t.Errorf("database %d, user %d connections are counted, want 1", db, user)
		}
		c.Destroy(errRefused)
		if db, user := w.set.Count("app", "alice"); db != 0 || user != 0 {
			t.Errorf("database %d, user %d connections are counted, want none", db, user)
		}
	})
}

func TestWelcomeIsWhatTheLastServerReported(t *testing.T) {
	t.Parallel()
	inWorld(t, func(_ *pool.Config, s *servers) { s.vars = map[string]string{"TimeZone": "UTC"} }, func(w *world) {
		if _, known := w.pool.Welcome(); known {
			t.Error("a pool without a server knows its greeting")
		}
		w.hold(w.pool)
		vars, known := w.pool.Welcome()
		if zone, _ := vars.Get("timezone"); !known || zone != "UTC" {
			t.Errorf("got %v, %t", zone, known)
		}
	})
}

func TestErrorsTellWhatHappened(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"waited 2s for a server connection (pool size 3, 4 waiting)": &pool.WaitTimeoutError{Waited: 2 * time.Second, Size: 3, Waiters: 4},
		`connect for database "app" (attempt 5, next in 1s): connection refused`: &pool.ConnectError{
			Database: "app", Attempts: 5, RetryIn: time.Second, Err: errRefused,
		},
	} {
		if err.Error() != want {
			t.Errorf("got  %s\nwant %s", err, want)
		}
	}
}
