package wire_test

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/wire"
)

// pair returns a Conn and its peer, over a real socket, TLS or a pipe.
func pair(t testing.TB, network string) (*wire.Conn, net.Conn) {
	t.Helper()
	var ours, peer net.Conn
	switch network {
	case "pipe":
		ours, peer = net.Pipe()
	case "tls":
		ours, peer = sockets(t, "tcp", "127.0.0.1:0")
		s := httptest.NewTLSServer(nil)
		defer s.Close()
		server := tls.Server(ours, &tls.Config{Certificates: s.TLS.Certificates})
		client := tls.Client(peer, &tls.Config{InsecureSkipVerify: true}) // the test trusts itself
		done := make(chan error, 1)
		go func() { done <- client.Handshake() }()
		if err := errors.Join(server.Handshake(), <-done); err != nil {
			t.Fatal(err)
		}
		ours, peer = server, client
	case "unix":
		dir, err := os.MkdirTemp("", "wire") // t.TempDir is too long a name for a socket
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		ours, peer = sockets(t, "unix", filepath.Join(dir, "s"))
	default:
		ours, peer = sockets(t, "tcp", "127.0.0.1:0")
	}
	t.Cleanup(func() {
		_ = peer.Close()
		_ = ours.Close()
	})
	return wire.NewConn(ours), peer
}

func sockets(t testing.TB, network, address string) (ours, peer net.Conn) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	peer, err = net.Dial(network, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ours, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return ours, peer
}

var networks = [...]string{"tcp", "unix", "tls", "pipe"}

// everywhere runs a test over each kind of connection.
func everywhere(t *testing.T, f func(t *testing.T, c *wire.Conn, peer net.Conn)) {
	t.Helper()
	for _, network := range networks {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			c, peer := pair(t, network)
			f(t, c, peer)
		})
	}
}

// receiverFunc is a Receiver.
type receiverFunc func(b *wire.Buffer) error

func (f receiverFunc) Received(b *wire.Buffer) error { return f(b) }

// consume is a Receiver that throws everything away.
func consume(b *wire.Buffer) error {
	b.Consume(b.Len())
	return nil
}

// pump runs Pump and returns where its end will come.
func pump(c *wire.Conn, r receiverFunc) <-chan error {
	done := make(chan error, 1)
	go func() { done <- c.Pump(r) }()
	return done
}

// watched runs Pump with a janitor beside it, as proxy and pool do, and fails
// the test if it does not end.
func watched(t *testing.T, c *wire.Conn, r receiverFunc) error {
	t.Helper()
	done := pump(c, r)
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for end := time.After(20 * time.Second); ; {
		select {
		case err := <-done:
			return err
		case <-ticker.C:
			if c.EOFPending() {
				c.Kick()
			}
		case <-end:
			t.Fatal("Pump does not end")
		}
	}
}

// soon waits for what must come.
func soon[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came for 10 seconds")
		panic("not reached")
	}
}

func TestPumpGivesFramesInOrderHoweverTheyArrive(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, c *wire.Conn, peer net.Conn) {
		var sent []byte
		for i := range 300 {
			body := make([]byte, rand.IntN(3000))
			sent = wire.AppendFrame(sent, wire.DataRow, binary.BigEndian.AppendUint32(nil, uint32(i)), body)
		}
		go func() {
			for rest := sent; len(rest) > 0; {
				n := min(1+rand.IntN(1+rand.IntN(20000)), len(rest))
				if _, err := peer.Write(rest[:n]); err != nil {
					return
				}
				rest = rest[n:]
			}
			_ = peer.Close()
		}()
		var got []byte
		err := watched(t, c, func(b *wire.Buffer) error {
			for { // whole frames only; the rest must be shown again
				h, ok := wire.ParseHeader(b.Bytes())
				if !ok || b.Len() < h.Total() {
					return nil
				}
				got = append(got, b.Bytes()[:h.Total()]...)
				b.Consume(h.Total())
			}
		})
		if !errors.Is(err, io.EOF) {
			t.Errorf("Pump: %v, want EOF", err)
		}
		if !bytes.Equal(got, sent) {
			t.Errorf("%d bytes came of %d, or others", len(got), len(sent))
		}
	})
}

func TestPumpStreamsAFrameLargerThanItsBuffer(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, c *wire.Conn, peer net.Conn) {
		const size = 5 << 20
		go func() {
			_, _ = peer.Write(wire.AppendFrame(nil, wire.CopyData, make([]byte, size-5)))
			_ = peer.Close()
		}()
		got, largest := 0, 0
		err := watched(t, c, func(b *wire.Buffer) error {
			got += b.Len()
			largest = max(largest, b.Len())
			return consume(b)
		})
		if !errors.Is(err, io.EOF) || got != size || largest > wire.BufferSize {
			t.Errorf("got %d of %d bytes, at most %d at once, %v", got, size, largest, err)
		}
	})
}

func TestPumpRefusesAReceiverThatLeavesItsBufferFull(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, c *wire.Conn, peer net.Conn) {
		done := pump(c, func(*wire.Buffer) error { return nil })
		go func() { _, _ = peer.Write(make([]byte, 2*wire.BufferSize)) }()
		if err := soon(t, done); !errors.Is(err, wire.ErrFrameStuck) {
			t.Errorf("got %v, want ErrFrameStuck", err)
		}
	})
}

func TestPumpFillsTheWholeBufferBehindAPartialFrame(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, c *wire.Conn, peer net.Conn) {
		// One frame of exactly a buffer, behind a small one, in the worst place.
		sent := wire.AppendFrame(nil, 'x', make([]byte, wire.BufferSize/2-100))
		sent = wire.AppendFrame(sent, 'y', make([]byte, wire.BufferSize-wire.HeaderSize-1))
		sent = append(sent, "the end"...)
		go func() {
			_, _ = peer.Write(sent)
			_ = peer.Close()
		}()
		var types []byte
		err := watched(t, c, func(b *wire.Buffer) error {
			for {
				h, ok := wire.ParseHeader(b.Bytes())
				if !ok || b.Len() < h.Total() {
					return nil
				}
				types = append(types, h.Type)
				b.Consume(h.Total())
			}
		})
		if !errors.Is(err, io.EOF) || string(types) != "xy" {
			t.Errorf("got frames %q, %v", types, err)
		}
	})
}

func TestPumpEndsWithTheReceiversError(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, c *wire.Conn, peer net.Conn) {
		enough := errors.New("enough")
		done := pump(c, func(*wire.Buffer) error { return enough })
		_, _ = peer.Write([]byte("x"))
		if err := soon(t, done); !errors.Is(err, enough) {
			t.Errorf("got %v", err)
		}
	})
}

func TestPumpEndsWhenThePeerCloses(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, c *wire.Conn, peer net.Conn) {
		done := pump(c, consume)
		time.Sleep(10 * time.Millisecond)
		_ = peer.Close()
		if err := soon(t, done); !errors.Is(err, io.EOF) {
			t.Errorf("got %v, want EOF", err)
		}
	})
}

func TestPumpEndsWhenThePeerClosesItsHalf(t *testing.T) {
	t.Parallel()
	c, peer := pair(t, "tcp")
	done := pump(c, consume)
	time.Sleep(10 * time.Millisecond)
	_ = peer.(*net.TCPConn).CloseWrite()
	if err := soon(t, done); !errors.Is(err, io.EOF) {
		t.Fatalf("got %v, want EOF", err)
	}
	if _, err := c.Write([]byte("goodbye")); err != nil {
		t.Errorf("the other half is closed, too: %v", err)
	}
}

func TestPumpEndsWhenThePeerResets(t *testing.T) {
	t.Parallel()
	c, peer := pair(t, "tcp")
	done := pump(c, consume)
	_ = peer.(*net.TCPConn).SetLinger(0)
	_ = peer.Close()
	if err := soon(t, done); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset", err)
	}
}

func TestPumpEndsWithClose(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, c *wire.Conn, _ net.Conn) {
		done := pump(c, consume)
		time.Sleep(10 * time.Millisecond)
		_ = c.Close()
		if err := soon(t, done); err == nil {
			t.Error("Pump ended without an error")
		}
	})
}

// The poller is edge-triggered: bytes and the end that have come before Pump
// waits are one event. A short receive takes the bytes and waits for more; the
// end is found by EOFPending and told by Kick.
func TestEndThatArrivesTogetherWithDataIsFound(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"tcp", "unix"} {
		for _, half := range []bool{false, true} {
			t.Run(network, func(t *testing.T) {
				t.Parallel()
				c, peer := pair(t, network)
				if _, err := peer.Write([]byte("last words")); err != nil {
					t.Fatal(err)
				}
				if half {
					_ = peer.(interface{ CloseWrite() error }).CloseWrite()
				} else {
					_ = peer.Close()
				}
				time.Sleep(20 * time.Millisecond) // the event passes unheard
				got := make(chan string, 1)
				done := pump(c, func(b *wire.Buffer) error {
					got <- string(b.Bytes())
					return consume(b)
				})
				if words := soon(t, got); words != "last words" {
					t.Errorf("got %q", words)
				}
				select {
				case err := <-done:
					t.Logf("the event was not lost this time: %v", err)
					return
				case <-time.After(20 * time.Millisecond):
				}
				if !c.EOFPending() {
					t.Fatal("the end stands in the socket and EOFPending does not see it")
				}
				c.Kick()
				if err := soon(t, done); !errors.Is(err, io.EOF) {
					t.Errorf("got %v, want EOF", err)
				}
			})
		}
	}
}

func TestEOFPendingLooksOnceAfterEachReceive(t *testing.T) {
	t.Parallel()
	c, peer := pair(t, "tcp")
	if c.EOFPending() {
		t.Error("a connection that was never read has ended")
	}
	got := make(chan int, 16)
	done := pump(c, func(b *wire.Buffer) error {
		got <- b.Len()
		return consume(b)
	})
	_, _ = peer.Write([]byte("x"))
	soon(t, got)
	time.Sleep(10 * time.Millisecond)
	if c.EOFPending() {
		t.Error("a living connection has ended")
	}
	c.Kick() // for nothing: Pump looks and goes on
	time.Sleep(10 * time.Millisecond)
	_, _ = peer.Write([]byte("more"))
	if n := soon(t, got); n != 4 {
		t.Errorf("%d bytes after a Kick, want 4", n)
	}
	_ = peer.Close()
	soon(t, done)
}

func TestBytesReadAheadComeFirst(t *testing.T) {
	t.Parallel()
	c, peer := pair(t, "tcp")
	c.Unread([]byte("early "))
	var all []byte
	got := make(chan struct{}, 8)
	go func() {
		_ = c.Pump(receiverFunc(func(b *wire.Buffer) error {
			all = append(all, b.Bytes()...)
			b.Consume(b.Len())
			got <- struct{}{}
			return nil
		}))
	}()
	<-got
	_, _ = peer.Write([]byte("bird"))
	<-got
	if string(all) != "early bird" {
		t.Errorf("received %q", all)
	}
}

func TestKickDoesNotEndStreams(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, c *wire.Conn, peer net.Conn) {
		got := make(chan int, 16)
		_ = pump(c, func(b *wire.Buffer) error {
			got <- b.Len()
			return consume(b)
		})
		for range 3 {
			time.Sleep(5 * time.Millisecond)
			c.Kick()
			time.Sleep(5 * time.Millisecond)
			if _, err := peer.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			soon(t, got)
		}
	})
}

func TestKillEndsPump(t *testing.T) {
	t.Parallel()
	for _, early := range []bool{true, false} {
		everywhere(t, func(t *testing.T, c *wire.Conn, _ net.Conn) {
			if early {
				c.Kill()
			}
			done := pump(c, consume)
			if !early {
				time.Sleep(10 * time.Millisecond)
				c.Kill()
			}
			if err := soon(t, done); err == nil || errors.Is(err, io.EOF) {
				t.Errorf("early %t: got %v, want an error that is not the peer's doing", early, err)
			}
		})
	}
}

func TestKillIsStrongerThanKick(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, c *wire.Conn, _ net.Conn) {
		done := pump(c, consume)
		go func() {
			for range 1000 {
				c.Kick()
			}
		}()
		time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
		c.Kill()
		soon(t, done)
	})
}

func TestKillEndsAWriteThatWaits(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, c *wire.Conn, _ net.Conn) {
		done := make(chan error, 1)
		go func() {
			for {
				if _, err := c.Write(make([]byte, 1<<20)); err != nil {
					done <- err
					return
				}
			}
		}()
		time.Sleep(50 * time.Millisecond) // nobody reads: the socket is full
		select {
		case err := <-done:
			t.Fatalf("Write ended with %v, want it to wait", err)
		default:
		}
		c.Kill()
		soon(t, done)
		if n, err := c.Write([]byte("x")); err == nil {
			t.Errorf("wrote %d bytes to a killed connection", n)
		}
	})
}

func TestWriteWaitsForASlowPeer(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, c *wire.Conn, peer net.Conn) {
		sent := make([]byte, 6<<20)
		for i := 0; i < len(sent); i += 1000 {
			binary.BigEndian.PutUint32(sent[i:], rand.Uint32())
		}
		done := make(chan error, 1)
		go func() {
			n, err := c.Write(sent)
			if err == nil && n != len(sent) {
				err = io.ErrShortWrite
			}
			done <- err
		}()
		time.Sleep(30 * time.Millisecond)
		got := make([]byte, len(sent))
		if _, err := io.ReadFull(peer, got); err != nil {
			t.Fatal(err)
		}
		if err := soon(t, done); err != nil || !bytes.Equal(got, sent) {
			t.Errorf("Write: %v, same bytes: %t", err, bytes.Equal(got, sent))
		}
	})
}

func TestWriteToAPeerThatHasGoneFails(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, c *wire.Conn, peer net.Conn) {
		_ = peer.Close()
		for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
			if _, err := c.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
		t.Error("Write goes on to a peer that has gone")
	})
}

func TestConnTellsWhetherItIsTLS(t *testing.T) {
	t.Parallel()
	for _, network := range networks {
		c, _ := pair(t, network)
		state, secured := c.TLS()
		if secured != (network == "tls") || secured && !state.HandshakeComplete {
			t.Errorf("%s: %t", network, secured)
		}
		if _, still := c.NetConn().(*tls.Conn); still {
			t.Errorf("%s: NetConn is not the socket", network)
		}
	}
}
