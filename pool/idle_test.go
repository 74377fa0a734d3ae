package pool_test

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock/penstock/internal/wire"
	"github.com/penstock/penstock/pool"
)

func TestLifetimeEndsIdleConnectionsNotAllAtOnce(t *testing.T) {
	t.Parallel()
	const lifetime, n = time.Hour, 40
	inWorld(t, func(c *pool.Config, _ *servers) { c.Size, c.Lifetime = n, lifetime }, func(w *world) {
		var all []*pool.Conn
		for range n {
			all = append(all, w.hold(w.pool))
		}
		for _, c := range all {
			c.Release()
		}
		time.Sleep(lifetime - lifetime/10)
		w.want(n, 0, 0) // none before nine tenths
		time.Sleep(lifetime / 20)
		synctest.Wait()
		if left := w.pool.Snapshot().Idle; left < n/10 || left > n*9/10 {
			t.Errorf("%d of %d are left at 95 %% of the lifetime, want about half", left, n)
		}
		time.Sleep(lifetime/20 + time.Second)
		w.want(0, 0, 0)
	})
}

func TestLifetimeEndsAConnectionInUseWhenItIsReleased(t *testing.T) {
	t.Parallel()
	inWorld(t, func(c *pool.Config, _ *servers) { c.Lifetime = time.Hour }, func(w *world) {
		c := w.hold(w.pool)
		time.Sleep(2 * time.Hour)
		w.want(0, 1, 0)
		if i := w.pool.Info(); !i[0].Closing {
			t.Error("SHOW SERVERS does not tell that it will close")
		}
		next := newClient().acquire(w.pool)
		waiting(t, next)
		c.Release()
		if got := get(t, next); got == c {
			t.Error("an expired connection was handed on")
		}
	})
}

func TestNoLifetimeIsForEver(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		w.hold(w.pool).Release()
		time.Sleep(3 * time.Hour)
		w.want(1, 0, 0)
	})
}

func TestIdleTimeoutKeepsMinSize(t *testing.T) {
	t.Parallel()
	inWorld(t, func(c *pool.Config, _ *servers) { c.Size, c.MinSize, c.IdleTimeout = 5, 2, time.Minute }, func(w *world) {
		var all []*pool.Conn
		for range 5 {
			all = append(all, w.hold(w.pool))
		}
		for _, c := range all {
			c.Release()
		}
		time.Sleep(time.Minute)
		w.want(5, 0, 0)
		time.Sleep(time.Second)
		w.want(2, 0, 0)
		time.Sleep(time.Hour)
		w.want(2, 0, 0)
		if n := len(w.servers.dials()); n != 5 {
			t.Errorf("%d connects, want 5: those of min_size are kept, not replaced", n)
		}
	})
}

func TestUseMakesAConnectionYoungForIdleTimeout(t *testing.T) {
	t.Parallel()
	inWorld(t, func(c *pool.Config, _ *servers) { c.IdleTimeout = time.Minute }, func(w *world) {
		for range 10 {
			w.hold(w.pool).Release()
			time.Sleep(50 * time.Second)
		}
		w.want(1, 0, 0)
		if n := len(w.servers.dials()); n != 1 {
			t.Errorf("%d connects, want 1", n)
		}
		c := w.hold(w.pool)
		time.Sleep(time.Hour)
		w.want(0, 1, 0) // in use is not idle
		c.Release()
		time.Sleep(50 * time.Second)
		w.want(1, 0, 0) // nor is the time in use counted
	})
}

func TestMinSizeIsFilledAndRefilled(t *testing.T) {
	t.Parallel()
	inWorld(t, func(c *pool.Config, _ *servers) { c.Size, c.MinSize = 5, 3 }, func(w *world) {
		time.Sleep(time.Second)
		w.want(3, 0, 0)
		_ = w.servers.end(1).Close()
		synctest.Wait()
		w.want(2, 0, 0)
		time.Sleep(time.Second)
		w.want(3, 0, 0)
		w.servers.setFail(errRefused)
		_ = w.servers.end(0).Close()
		time.Sleep(time.Hour)
		w.want(2, 0, 0)
		if n := len(w.servers.dials()) - 4; n < 100 || n > 1000 {
			t.Errorf("%d attempts in an hour, want the back-off's", n)
		}
	})
}

func TestMinSizeDoesNotExceedSize(t *testing.T) {
	t.Parallel()
	inWorld(t, func(c *pool.Config, _ *servers) { c.Size, c.MinSize = 2, 7 }, func(w *world) {
		time.Sleep(time.Minute)
		w.want(2, 0, 0)
		if n := len(w.servers.dials()); n != 2 {
			t.Errorf("%d connects, want 2", n)
		}
	})
}

func TestDeadIdleConnectionIsNoticed(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		first := w.hold(w.pool)
		first.Release()
		_ = w.servers.end(0).Close()
		w.want(0, 0, 0)
		if second := w.hold(w.pool); second == first {
			t.Error("a client got the dead connection")
		}
	})
}

// What a server says to nobody: it is looked at, and kept from clients.
func TestMessagesOnAnIdleConnection(t *testing.T) {
	t.Parallel()
	status := wire.AppendParameterStatus(nil, "TimeZone", "Asia/Tokyo")
	notice := wire.AppendFrame(nil, wire.NoticeResponse, []byte("SNOTICE\x00Mhello\x00\x00"))
	notification := wire.AppendFrame(nil, wire.NotificationResponse, []byte("\x00\x00\x00\x01ch\x00payload\x00"))
	fatal := wire.AppendFrame(nil, wire.ErrorResponse, []byte("SFATAL\x00C57P01\x00Mterminating\x00\x00"))
	large := binary.BigEndian.AppendUint32([]byte{wire.NoticeResponse}, wire.BufferSize)
	for name, c := range map[string]struct {
		bytes []byte
		alive bool
	}{
		"a parameter has changed":   {status, true},
		"a notice":                  {notice, true},
		"a notification":            {notification, true},
		"many together":             {slices.Concat(notice, status, notification, status), true},
		"part of a frame":           {status[:7], true},
		"the server says goodbye":   {fatal, false},
		"an error without fields":   {wire.AppendEmpty(nil, wire.ErrorResponse), false},
		"a reply that nobody asked": {wire.AppendReady(nil, 'I'), false},
		"a row that nobody asked":   {wire.AppendFrame(nil, wire.DataRow, []byte{0, 0}), false},
		"a length that cannot be":   {[]byte{'N', 0, 0, 0, 3}, false},
		"a negative length":         {[]byte{'N', 0x80, 0, 0, 0}, false},
		"a notice over the buffer":  {large, false},
		"a parameter without name":  {wire.AppendFrame(nil, wire.ParameterStatus, []byte("x")), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, nil, func(w *world) {
				conn := w.hold(w.pool)
				conn.Release()
				for i := range c.bytes { // in the smallest parts
					if _, err := w.servers.end(0).Write(c.bytes[i : i+1]); err != nil && c.alive {
						t.Fatal(err)
					}
				}
				if !c.alive {
					w.want(0, 0, 0)
					return
				}
				w.want(1, 0, 0)
				if zone, ok := w.hold(w.pool).Vars.Get("timezone"); ok && zone != "Asia/Tokyo" || ok != strings.Contains(string(c.bytes), "Tokyo") {
					t.Errorf("TimeZone is %q, %t", zone, ok)
				}
			})
		})
	}
}

func TestLinkedConnectionGivesItsBytesToItsSink(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		var got []byte
		k := newClient()
		k.receive = func(_ *pool.Conn, b *pool.Buffer) error {
			if b.Len() >= 3 { // what is left is shown again, with more behind it
				got = append(got, b.Bytes()...)
				b.Consume(b.Len())
			}
			return nil
		}
		c := get(t, k.acquire(w.pool))
		for _, part := range []string{"a", "b", "c", "def"} {
			_, _ = w.servers.end(0).Write([]byte(part))
		}
		synctest.Wait()
		if string(got) != "abcdef" {
			t.Errorf("got %q", got)
		}
		if n, err := c.Write([]byte("query")); n != 5 || err != nil {
			t.Errorf("wrote %d, %v", n, err)
		}
		if c.Pool() != w.pool || c.Wire() == nil {
			t.Error("the connection does not know its pool or socket")
		}
	})
}

func TestPanicInASinkEndsOnlyItsConnection(t *testing.T) {
	t.Parallel()
	inWorld(t, func(c *pool.Config, _ *servers) { c.Size = 2 }, func(w *world) {
		bad := newClient()
		bad.receive = func(*pool.Conn, *pool.Buffer) error { panic("boom") }
		c := get(t, bad.acquire(w.pool))
		good := w.hold(w.pool)
		_, _ = w.servers.end(0).Write([]byte("x"))
		if err := <-bad.lost; err == nil || !strings.Contains(err.Error(), "boom") {
			t.Errorf("Lost(%v), want the panic", err)
		}
		w.want(0, 1, 0)
		c.Release()
		good.Release()
		w.want(1, 0, 0)
	})
}

func TestErrorOfASinkEndsItsConnection(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		bad := newClient()
		bad.receive = func(*pool.Conn, *pool.Buffer) error { return errRefused }
		c := get(t, bad.acquire(w.pool))
		_, _ = w.servers.end(0).Write([]byte("x"))
		<-bad.lost
		w.want(0, 0, 0)
		if _, err := c.Write([]byte("query")); err == nil {
			t.Error("a lost connection takes bytes")
		}
	})
}

func TestParameterStatusOnAnIdleConnectionIsSafeAgainstAcquire(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		w.hold(w.pool).Release()
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := range 300 {
				p := wire.AppendParameterStatus(nil, "n", strings.Repeat("x", i%3))
				_, _ = w.servers.end(0).Write(p)
			}
		}()
		k := newClient()
		k.receive = func(c *pool.Conn, b *pool.Buffer) error {
			for {
				h, ok := wire.ParseHeader(b.Bytes())
				if !ok || b.Len() < h.Total() {
					return nil
				}
				c.Reported(b.Bytes()[wire.HeaderSize:h.Total()])
				b.Consume(h.Total())
			}
		}
		for range 300 {
			c := get(t, k.acquire(w.pool))
			_ = c.TxStatus
			c.Release()
		}
		<-done
	})
}
