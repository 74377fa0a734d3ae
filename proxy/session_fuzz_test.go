package proxy

import (
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/wire"
	"github.com/penstock/penstock/pool"
)

// hostile is a server that is a toy for some messages and then says whatever
// it was given.
type hostile struct {
	good  int // messages
	words []byte
}

func (h *hostile) serve(conn net.Conn) {
	y := newToy()
	for range h.good {
		typ, body, err := wire.ReadMessage(conn, 1<<20)
		if err != nil {
			return
		}
		y.out = y.out[:0]
		y.answer(typ, body)
		if _, err := conn.Write(y.out); err != nil {
			return
		}
	}
	if len(h.words) > 0 {
		if _, err := conn.Write(h.words); err != nil {
			return
		}
	}
	_, _ = io.Copy(io.Discard, conn)
}

// FuzzSession runs a whole session between a client and a server that say what
// they like. It never panics, it ends when both have gone, and it takes memory
// by what was said, not by what was claimed.
func FuzzSession(f *testing.F) {
	simple := frames("Q(select 1)", true)
	extended := frames("P(a,select 1) B(,a) D(P,) E() S C(S,a) S", true)
	f.Add(simple, []byte{}, uint8(0), uint8(5))                                              // both behave
	f.Add(extended, frames("1 2 T D(1) C(SELECT 1) Z(I)", false), uint8(0), uint8(0))        // right answers
	f.Add(extended, frames("E(42601,x) Z(E)", false), uint8(0), uint8(2))                    // an error in the middle
	f.Add(frames("Q(copy) d(a) c Q(BEGIN) X", true), frames("G", false), uint8(0), uint8(0)) // COPY
	f.Add(frames("P(,copy) B(,) E() S d(x) S c S", true), frames("1 2 G", false), uint8(0), uint8(0))
	f.Add([]byte("B\x3f\xff\xff\xfe\x00\x00"), []byte("D\x7f\xff\xff\xff"), uint8(0), uint8(0)) // large claims
	f.Add([]byte("P\x03\x00\x00\x00a\x00select"), []byte{}, uint8(0), uint8(0))                 // a large Parse
	f.Add([]byte("S\x00\x00\x00\x0a"), []byte{}, uint8(0), uint8(0))                            // a Sync with a body
	f.Add(simple, frames("E(FATAL)", false), uint8(1), uint8(0))                                // FATAL, session mode
	f.Add(frames("Q(BEGIN) Q(error) P(b,x) S Q(ROLLBACK)", true), []byte{}, uint8(2), uint8(9))
	f.Add(frames("Q(deallocate all) P(a,x) P(a,y) S Q(discard all)", true), frames("S(TimeZone,x) A N(0,x)", false), uint8(0), uint8(2))
	w := newWorld(f, nil)
	f.Fuzz(func(t *testing.T, client, server []byte, m, good uint8) {
		if len(client) > 64<<10 || len(server) > 64<<10 {
			t.Skip()
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		w.mu.Lock()
		w.t, w.gone, w.served = t, false, w.served[:0]
		w.mu.Unlock()
		h := &hostile{good: int(good % 16), words: server}
		w.pool = w.newPool("fuzz", h.serve)
		ours, peer := net.Pipe()
		s := w.session(mode(m%3), ours)
		if err := w.srv.admit(s); err != nil {
			t.Fatal(err)
		}
		over, heard := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(over)
			s.run()
		}()
		go func() {
			defer close(heard)
			_, _ = io.Copy(io.Discard, peer)
		}()
		_ = peer.SetWriteDeadline(time.Now().Add(30 * time.Millisecond)) // the session may wait for a server that says no more
		for rest := client; len(rest) > 0; {
			n := min(1+int(good)*7, len(rest))
			if _, err := peer.Write(rest[:n]); err != nil {
				break
			}
			rest = rest[n:]
		}
		time.Sleep(time.Millisecond)
		_ = peer.Close()
		select {
		case <-over:
		case <-time.After(20 * time.Millisecond):
		}
		w.leave()
		select {
		case <-over:
		case <-time.After(10 * time.Second):
			buf := make([]byte, 1<<20)
			t.Fatalf("the session goes on when both have gone\n%s", buf[:runtime.Stack(buf, true)])
		}
		<-heard
		w.srv.pools.Apply(func(pool.Key) *pool.Config { return nil })
		if p := w.panics.Load(); p != nil {
			t.Fatalf("a panic: %s", *p)
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 16<<20 {
			t.Fatalf("%d bytes of memory for %d and %d bytes of messages", used, len(client), len(server))
		}
	})
}
