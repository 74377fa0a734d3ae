package proxy

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/wire"
)

// caller is a client that sends one batch and reads until the ReadyForQuery of
// it, without allocating.
type caller struct {
	t    testing.TB
	conn net.Conn
	buf  []byte
}

// call returns the answer, valid until the next call.
func (c *caller) call(batch []byte, readies int) []byte {
	if _, err := c.conn.Write(batch); err != nil {
		c.t.Fatal(err)
	}
	n, pos := 0, 0
	for {
		for {
			h, ok := wire.ParseHeader(c.buf[pos:n])
			if !ok || pos+h.Total() > n {
				break
			}
			pos += h.Total()
			if h.Type == wire.ReadyForQuery {
				readies--
			}
		}
		if readies == 0 {
			return c.buf[:pos]
		}
		m, err := c.conn.Read(c.buf[n:])
		if err != nil {
			c.t.Fatal(err)
		}
		n += m
	}
}

func newCaller(t testing.TB, m mode) *caller {
	t.Helper()
	client, _, over := newWorld(t, nil).run(m)
	_ = client.SetDeadline(time.Now().Add(time.Minute))
	t.Cleanup(func() {
		_ = client.Close()
		<-over
	})
	return &caller{t: t, conn: client, buf: make([]byte, 64<<10)}
}

// batches are what clients send again and again.
var batches = map[string]struct{ prepare, batch, answer string }{
	"simple":    {"", "Q(select 1)", "T D(1) C(SELECT 1) Z(I)"},
	"extended":  {"", "P(,select 1) B(,) D(P,) E() S", "1 2 T D(1) C(SELECT 1) Z(I)"},
	"prepared":  {"P(a,select 1) S", "B(,a) E() S", "2 D(1) C(SELECT 1) Z(I)"},
	"described": {"P(a,select 1) S", "D(S,a) B(,a) D(P,) E() S", "t T 2 T D(1) C(SELECT 1) Z(I)"},
	"pipeline":  {"P(a,select 1) S", "B(,a) E() B(,a) E() S", "2 D(1) C(SELECT 1) 2 D(1) C(SELECT 1) Z(I)"},
}

func TestRelayedMessagesAllocateNothing(t *testing.T) {
	if racing {
		t.Skip("the race detector allocates")
	}
	for name, b := range batches {
		for _, m := range []mode{modeTransaction, modeSession} {
			t.Run(name+" in "+m.String()+" mode", func(t *testing.T) {
				c := newCaller(t, m)
				if b.prepare != "" {
					c.call(frames(b.prepare, true), 1)
				}
				batch := frames(b.batch, true)
				for range 20 {
					if got := text(c.call(batch, 1), false); got != b.answer {
						t.Fatalf("got %s, want %s", got, b.answer)
					}
				}
				if n := testing.AllocsPerRun(500, func() { c.call(batch, 1) }); n != 0 {
					t.Errorf("%v allocations per batch, want 0", n)
				}
			})
		}
	}
}

func TestTransactionAllocatesNothing(t *testing.T) {
	if racing {
		t.Skip("the race detector allocates")
	}
	c := newCaller(t, modeTransaction)
	begin, work, commit := frames("Q(BEGIN)", true), frames("Q(select 1)", true), frames("Q(COMMIT)", true)
	all := func() {
		c.call(begin, 1)
		c.call(work, 1)
		c.call(commit, 1)
	}
	all()
	if n := testing.AllocsPerRun(300, all); n != 0 {
		t.Errorf("%v allocations per transaction, want 0", n)
	}
}

func BenchmarkRelay(b *testing.B) {
	for _, name := range []string{"simple", "extended", "prepared", "described", "pipeline"} {
		b.Run(name, func(b *testing.B) {
			c := newCaller(b, modeTransaction)
			if prepare := batches[name].prepare; prepare != "" {
				c.call(frames(prepare, true), 1)
			}
			batch := frames(batches[name].batch, true)
			b.ReportAllocs()
			for b.Loop() {
				c.call(batch, 1)
			}
		})
	}
}

func TestSessionIsOverWhenItsClientHasGone(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(net.Conn){
		"close":     func(c net.Conn) { _ = c.Close() },
		"terminate": func(c net.Conn) { _, _ = c.Write([]byte("X\x00\x00\x00\x04")) },
		"nonsense":  func(c net.Conn) { _, _ = c.Write([]byte("GET / HTTP/1.1\r\n")) },
		"in a transaction": func(c net.Conn) {
			_, _ = c.Write(frames("Q(BEGIN)", true))
			_, _ = io.ReadFull(c, make([]byte, 1))
			_ = c.Close()
		},
		"in the middle of a frame": func(c net.Conn) {
			_, _ = c.Write([]byte("Q\x00\x00\xff\xffselect"))
			time.Sleep(5 * time.Millisecond)
			_ = c.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			client, s, over := w.run(modeTransaction)
			defer client.Close()
			_ = client.SetDeadline(time.Now().Add(10 * time.Second))
			c := caller{t: t, conn: client, buf: make([]byte, 4096)}
			c.call(frames("Q(select 1)", true), 1)
			leave(client)
			select {
			case <-over:
			case <-time.After(10 * time.Second):
				t.Fatal("the session goes on")
			}
			if w.srv.Clients() != 0 {
				t.Error("the session is in the table still")
			}
			back := func() bool { // all of them: the first may be released behind the second's start
				v := w.pool.Snapshot()
				return v.Total > 0 && v.Idle == v.Total
			}
			for deadline := time.Now().Add(5 * time.Second); !back(); time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("the server connection did not come back: %+v", w.pool.Snapshot())
				}
			}
			_ = s
		})
	}
}

func TestSyncWithALengthIsNotAPanic(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil) // it fails the test when a panic is logged
	client, _, over := w.run(modeTransaction)
	_, _ = client.Write([]byte("S\x00\x00\x00\x0a"))
	time.Sleep(20 * time.Millisecond)
	_, _ = client.Write([]byte("H\x00\x00\x00\x0aabcdef"))
	_ = client.Close()
	<-over
}

func TestLargeFramesPassInBothDirections(t *testing.T) {
	t.Parallel()
	echo := func(conn net.Conn) { // answers each query with its text as a row
		for {
			typ, body, err := wire.ReadMessage(conn, 1<<30)
			if err != nil || typ != wire.Query {
				return
			}
			p := wire.AppendFrame(nil, wire.RowDescription, []byte{0, 0})
			p = wire.AppendFrame(p, wire.DataRow, body)
			p = wire.AppendString(p, wire.CommandComplete, "SELECT 1")
			if _, err := conn.Write(wire.AppendReady(p, 'I')); err != nil {
				return
			}
		}
	}
	for _, size := range []int{1, 100, wire.BufferSize - 7, wire.BufferSize - 6, wire.BufferSize - 5, wire.BufferSize, 3 << 20} {
		client, _, over := newWorld(t, echo).run(modeTransaction)
		_ = client.SetDeadline(time.Now().Add(20 * time.Second))
		c := caller{t: t, conn: client, buf: make([]byte, size+100)}
		sent := make([]byte, size)
		for i := range sent {
			sent[i] = 'a' + byte(i%23)
		}
		for range 2 {
			go func() { _, _ = client.Write(wire.AppendString(nil, wire.Query, string(sent))) }()
			got := c.call(nil, 1)
			const before = 7 + 5 // RowDescription, and the head of the row
			if string(got[before:before+size]) != string(sent) {
				t.Errorf("%d bytes came back other than they went", size)
			}
		}
		_ = client.Close()
		<-over
	}
}
