package pool_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock/penstock/pool"
)

func TestAcquireOpensAConnectionAndReleaseKeepsIt(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		first := w.hold(w.pool)
		w.want(0, 1, 0)
		first.Release()
		w.want(1, 0, 0)
		if second := w.hold(w.pool); second != first {
			t.Errorf("got %v, want the released %v", second, first)
		}
		if n := len(w.servers.dials()); n != 1 {
			t.Errorf("%d connects, want 1", n)
		}
	})
}

func TestAcquireTakesTheLastReleased(t *testing.T) {
	t.Parallel()
	inWorld(t, func(c *pool.Config, _ *servers) { c.Size = 3 }, func(w *world) {
		a, b, c := w.hold(w.pool), w.hold(w.pool), w.hold(w.pool)
		for _, conn := range []*pool.Conn{b, c, a} {
			conn.Release()
		}
		for _, want := range []*pool.Conn{a, c, b} {
			if got := w.hold(w.pool); got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		}
	})
}

func TestReleaseHandsConnToOldestWaiter(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		c := w.hold(w.pool)
		var queue []<-chan answer
		for range 5 {
			queue = append(queue, newClient().acquire(w.pool))
			synctest.Wait() // they come one after the other
		}
		for i, ch := range queue {
			w.want(0, 1, len(queue)-i) // the released connection is nobody's for no moment
			c.Release()
			c = get(t, ch)
			for _, later := range queue[i+1:] {
				waiting(t, later)
			}
		}
	})
}

func TestNewcomerDoesNotOvertakeAWaiter(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		c := w.hold(w.pool)
		old := newClient().acquire(w.pool)
		waiting(t, old)
		c.Release() // the connection is the old one's now, before it has run
		newcomer := newClient().acquire(w.pool)
		c = get(t, old)
		waiting(t, newcomer)
		c.Release()
		get(t, newcomer)
	})
}

func TestStopWaitEndsOnlyThatWait(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		c := w.hold(w.pool)
		clients := []*client{newClient(), newClient(), newClient()}
		var answers []<-chan answer
		for _, k := range clients {
			answers = append(answers, k.acquire(w.pool))
			synctest.Wait()
		}
		stop := errors.New("stop")
		if !w.pool.StopWait(&clients[1].waiter, stop) {
			t.Error("StopWait did not find the waiter")
		}
		if a := <-answers[1]; !errors.Is(a.err, stop) || a.conn != nil {
			t.Errorf("got %v, %v, want the error of StopWait", a.conn, a.err)
		}
		if w.pool.StopWait(&clients[1].waiter, stop) {
			t.Error("stopped a wait that is over")
		}
		c.Release()
		c = get(t, answers[0])
		if w.pool.StopWait(&clients[0].waiter, stop) {
			t.Error("stopped the wait of a client that has its connection")
		}
		c.Release()
		get(t, answers[2])
	})
}

func TestWaiterMayWaitAgain(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		k := newClient()
		for range 3 {
			c := w.hold(w.pool)
			ch := k.acquire(w.pool)
			waiting(t, ch)
			c.Release()
			get(t, ch).Release()
		}
		w.want(1, 0, 0)
	})
}

func TestWaitEndsAfterQueryWaitTimeout(t *testing.T) {
	t.Parallel()
	inWorld(t, func(c *pool.Config, _ *servers) { c.QueryWaitTimeout = 2 * time.Second }, func(w *world) {
		c := w.hold(w.pool)
		began := time.Now()
		first := newClient().acquire(w.pool)
		time.Sleep(500 * time.Millisecond)
		second := newClient().acquire(w.pool)
		for i, ch := range []<-chan answer{first, second} {
			a := <-ch
			var timeout *pool.WaitTimeoutError
			if !errors.As(a.err, &timeout) {
				t.Fatalf("got %v, want a WaitTimeoutError", a.err)
			}
			if want := began.Add(2*time.Second + time.Duration(i)*500*time.Millisecond); a.at.Sub(want).Abs() > time.Millisecond {
				t.Errorf("waiter %d timed out after %s", i, a.at.Sub(began))
			}
			if timeout.Waited < 2*time.Second || timeout.Size != 1 || timeout.Waiters != 1-i {
				t.Errorf("waiter %d is told %+v", i, *timeout)
			}
		}
		c.Release()
		w.hold(w.pool)
	})
}

func TestNoQueryWaitTimeoutWaitsForEver(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		c := w.hold(w.pool)
		ch := newClient().acquire(w.pool)
		time.Sleep(time.Hour)
		waiting(t, ch)
		if s := w.pool.Snapshot(); s.MaxWait != time.Hour {
			t.Errorf("maxwait is %s", s.MaxWait)
		}
		c.Release()
		get(t, ch)
	})
}

func TestReserveOpensAfterReserveAfter(t *testing.T) {
	t.Parallel()
	inWorld(t, func(c *pool.Config, _ *servers) {
		c.ReserveSize, c.ReserveAfter = 1, 5*time.Second
	}, func(w *world) {
		w.hold(w.pool)
		began := time.Now()
		second := newClient().acquire(w.pool)
		time.Sleep(time.Second)
		third := newClient().acquire(w.pool)
		a := <-second
		if a.err != nil || a.at.Sub(began) != 5*time.Second {
			t.Fatalf("got %v after %s, want a connection of the reserve after 5s", a.err, a.at.Sub(began))
		}
		time.Sleep(time.Minute)
		waiting(t, third) // size 1 and reserve 1 are in use
		if n := len(w.servers.dials()); n != 2 {
			t.Errorf("%d connects, want 2", n)
		}
	})
}

func TestReserveStaysClosedWithoutOne(t *testing.T) {
	t.Parallel()
	inWorld(t, func(c *pool.Config, _ *servers) { c.ReserveAfter = time.Second }, func(w *world) {
		w.hold(w.pool)
		ch := newClient().acquire(w.pool)
		time.Sleep(time.Hour)
		waiting(t, ch)
	})
}

func TestConnectsRunInParallel(t *testing.T) {
	t.Parallel()
	inWorld(t, func(c *pool.Config, s *servers) {
		c.Size, s.takes = 40, 100*time.Millisecond
	}, func(w *world) {
		began := time.Now()
		var all []<-chan answer
		for range 45 {
			all = append(all, newClient().acquire(w.pool))
		}
		synctest.Wait()
		if s := w.pool.Snapshot(); s.Login != 40 || s.Total != 40 {
			t.Fatalf("login %d, total %d; want 40 connects at once", s.Login, s.Total)
		}
		time.Sleep(100 * time.Millisecond)
		w.want(0, 40, 5)
		if d := time.Since(began); d != 100*time.Millisecond {
			t.Errorf("40 connects took %s, want the time of one", d)
		}
		n := 0
		for _, ch := range all {
			select {
			case <-ch:
				n++
			default:
			}
		}
		if n != 40 {
			t.Errorf("%d clients were served, want 40", n)
		}
	})
}

func TestDialGoesOnWhenItsWaiterHasGone(t *testing.T) {
	t.Parallel()
	inWorld(t, func(_ *pool.Config, s *servers) { s.takes = time.Second }, func(w *world) {
		k := newClient()
		ch := k.acquire(w.pool)
		time.Sleep(500 * time.Millisecond)
		w.pool.StopWait(&k.waiter, errRefused)
		<-ch
		time.Sleep(500 * time.Millisecond)
		w.want(1, 0, 0)
		if n := len(w.servers.dials()); n != 1 {
			t.Errorf("%d connects, want 1", n)
		}
	})
}

func TestReleasedConnServesTheWaiterWhoseDialIsSlow(t *testing.T) {
	t.Parallel()
	inWorld(t, func(c *pool.Config, _ *servers) { c.Size = 2 }, func(w *world) {
		c := w.hold(w.pool)
		w.servers.takes = 10 * time.Second
		ch := newClient().acquire(w.pool)
		waiting(t, ch)
		c.Release()
		if got := get(t, ch); got != c {
			t.Errorf("got %v, want the released %v", got, c)
		}
		time.Sleep(time.Minute)
		w.want(1, 1, 0) // the dial has gone on
	})
}

func TestReleaseOfALostConnDoesNothing(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		k := newClient()
		c := get(t, k.acquire(w.pool))
		_ = w.servers.end(0).Close()
		if err := <-k.lost; err == nil {
			t.Error("the loss has no reason")
		}
		w.want(0, 0, 0)
		c.Release()
		c.Destroy(errRefused)
		w.want(0, 0, 0)
		if other := w.hold(w.pool); other == c {
			t.Error("a lost connection was handed out again")
		}
	})
}

func TestDestroyClosesTheConnectionAndMakesRoom(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		k := newClient()
		c := get(t, k.acquire(w.pool))
		next := newClient().acquire(w.pool)
		waiting(t, next)
		c.Destroy(errRefused)
		if got := get(t, next); got == c {
			t.Error("a destroyed connection was handed on")
		}
		<-w.servers.end(0).closed
		select {
		case err := <-k.lost:
			t.Errorf("Lost(%v) was called for a connection that the session destroyed itself", err)
		default:
		}
	})
}

func TestCountersOutliveTheirConnections(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		for range 2 {
			c := w.hold(w.pool)
			c.Counters.Assigned()
			c.Counters.Waited(3 * time.Second)
			c.Counters.Query(time.Second)
			c.Counters.Xact(2 * time.Second)
			c.Counters.Received(10)
			c.Counters.Sent(20)
			c.Counters.Parsed(true, false)
			c.Counters.Parsed(false, true)
			c.Counters.Bound()
			c.Destroy(errRefused)
		}
		w.hold(w.pool).Counters.Bound()
		got := fmt.Sprintf("%+v", w.pool.Totals())
		want := "{ServerAssignments:2 Xacts:2 Queries:2 Received:20 Sent:40 XactTime:4s QueryTime:2s WaitTime:6s ClientParses:2 ServerParses:2 Binds:3}"
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}

func TestEveryStateHasAName(t *testing.T) {
	t.Parallel()
	inWorld(t, func(c *pool.Config, s *servers) {
		c.Size = 3
		s.cancel = func(*pool.Conn) error { time.Sleep(time.Minute); return nil }
	}, func(w *world) {
		idle, active, canceled := w.hold(w.pool), w.hold(w.pool), w.hold(w.pool)
		idle.Release()
		active.Cancel()
		canceled.Cancel()
		canceled.Release()
		want := map[*pool.Conn]string{idle: "idle", active: "active_cancel", canceled: "being_canceled"}
		for _, i := range w.pool.Info() {
			if i.State != want[i.Conn] || i.Closing {
				t.Errorf("%v is %s (closing: %t), want %s", i.Conn, i.State, i.Closing, want[i.Conn])
			}
		}
		s := w.pool.Snapshot()
		if s.ActiveCancel != 1 || s.Active != 0 || s.BeingCanceled != 1 || s.Idle != 1 || s.Total != 3 {
			t.Errorf("snapshot %+v", s)
		}
		time.Sleep(time.Minute)
	})
}
