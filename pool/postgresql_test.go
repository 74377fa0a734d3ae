package pool_test

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/penstock/penstock/internal/wire"
	"github.com/penstock/penstock/pool"
)

// postgres answers logins and cancel requests over real sockets.
type postgres struct {
	listener net.Listener
	tls      *tls.Config // nil: plain text
	release  chan struct{}

	mu        sync.Mutex
	refuseTLS bool
	cancels   []byte // of the last cancel request: process id and key
}

func newPostgres(t *testing.T, secure *tls.Config) *postgres {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &postgres{listener: l, tls: secure, release: make(chan struct{})}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
				p.serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		running.Wait()
	})
	return p
}

func (p *postgres) serve(conn net.Conn) {
	for {
		packet, err := wire.ReadStartup(conn)
		if err != nil {
			return
		}
		switch packet.Kind {
		case wire.SSLRequest:
			p.mu.Lock()
			refuse := p.refuseTLS || p.tls == nil
			p.mu.Unlock()
			if refuse {
				_, _ = conn.Write([]byte{'N'})
				continue
			}
			_, _ = conn.Write([]byte{'S'})
			conn = tls.Server(conn, p.tls)
			continue
		case wire.GSSENCRequest:
			_, _ = conn.Write([]byte{'N'})
			continue
		case wire.CancelRequest:
			p.mu.Lock()
			p.cancels = append(binary.BigEndian.AppendUint32(nil, packet.PID), packet.Secret...)
			p.mu.Unlock()
			<-p.release // the signal is sent before the socket is closed
			return
		case wire.StartupMessage:
		}
		greeting := wire.AppendFrame(nil, wire.Authentication, []byte{0, 0, 0, 0})
		greeting = wire.AppendParameterStatus(greeting, "TimeZone", "UTC")
		greeting = wire.AppendFrame(greeting, wire.BackendKeyData, []byte{0, 0, 0, 7}, []byte("kkkk"))
		_, _ = conn.Write(wire.AppendReady(greeting, 'I'))
		for {
			typ, _, err := wire.ReadMessage(conn, 10000)
			if err != nil {
				return
			}
			if typ == wire.Sync {
				_, _ = conn.Write(wire.AppendReady(nil, 'I'))
			}
		}
	}
}

func (p *postgres) pool(t *testing.T, sslmode string) (*pool.Pool, *pool.Set) {
	t.Helper()
	port := p.listener.Addr().(*net.TCPAddr).Port
	login, err := pgconn.ParseConfig(fmt.Sprintf("host=127.0.0.1 port=%d user=u dbname=d sslmode=%s", port, sslmode))
	if err != nil {
		t.Fatal(err)
	}
	set := pool.NewSet(slog.New(slog.DiscardHandler))
	t.Cleanup(set.Close)
	made, err := set.Pool(pool.Key{Database: "d", User: "u"}, func() (*pool.Config, error) {
		return &pool.Config{Size: 1, ConnectTimeout: 10 * time.Second, CancelTimeout: 500 * time.Millisecond, Dial: pool.PostgreSQL(login)}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return made, set
}

// serverTLS is a TLS configuration with a certificate of nobody's.
func serverTLS(t *testing.T) *tls.Config {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	return &tls.Config{Certificates: s.TLS.Certificates}
}

// eventually waits for something that other goroutines and real sockets do.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come about", what)
		}
	}
}

func TestCancelRequestIsOverWhenTheServerHasClosedItsSocket(t *testing.T) {
	t.Parallel()
	for _, sslmode := range []string{"disable", "require"} {
		t.Run("sslmode "+sslmode, func(t *testing.T) {
			t.Parallel()
			var secure *tls.Config
			if sslmode == "require" {
				secure = serverTLS(t)
			}
			server := newPostgres(t, secure)
			p, _ := server.pool(t, sslmode)
			c, err := p.Acquire(&newClient().waiter)
			if err != nil {
				t.Fatal(err)
			}
			if _, secured := c.Wire().TLS(); secured != (sslmode == "require") {
				t.Errorf("TLS: %t", secured)
			}
			if zone, _ := c.Vars.Get("TimeZone"); zone != "UTC" || c.PID != 7 || c.String() != "server 1 (pid 7)" {
				t.Errorf("%v reports %q", c, zone)
			}
			c.Cancel()
			c.Release()
			want := []byte("\x00\x00\x00\x07kkkk")
			eventually(t, "the cancel request", func() bool {
				server.mu.Lock()
				defer server.mu.Unlock()
				return bytes.Equal(server.cancels, want)
			})
			if c := p.TryAcquire(&newClient().waiter); c != nil {
				t.Error("the connection was handed on while the server worked on the cancel request")
			}
			if s := p.Snapshot(); s.BeingCanceled != 1 {
				t.Errorf("snapshot %+v", s)
			}
			close(server.release)
			eventually(t, "the end of the cancel", func() bool { return p.Snapshot().Idle == 1 })
			if p.TryAcquire(&newClient().waiter) != c {
				t.Error("the connection is not free after its cancel")
			}
			if p.TryAcquire(&newClient().waiter) != nil {
				t.Error("TryAcquire gave one connection twice")
			}
		})
	}
}

func TestCancelThatCannotBeSentFreesTheConnection(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*postgres){
		"the server does not close":    func(*postgres) {},
		"the server has gone":          func(p *postgres) { _ = p.listener.Close() },
		"the server has no TLS for it": func(p *postgres) { p.mu.Lock(); p.refuseTLS = true; p.mu.Unlock() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newPostgres(t, serverTLS(t))
			t.Cleanup(func() { close(server.release) })
			p, _ := server.pool(t, "require")
			c, err := p.Acquire(&newClient().waiter)
			if err != nil {
				t.Fatal(err)
			}
			change(server)
			c.Cancel()
			c.Release()
			eventually(t, "the end of the cancel", func() bool { return p.Snapshot().Idle == 1 })
		})
	}
}

func TestIdleConnectionThatTheServerClosesIsNoticed(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			accepted <- conn
		}
	}()
	set := pool.NewSet(slog.New(slog.DiscardHandler))
	defer set.Close()
	ours, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server := <-accepted
	defer server.Close()
	// The end has come together with data before anybody waits: the poller has
	// nothing more to say, and the janitor has to find it.
	_, _ = server.Write(wire.AppendParameterStatus(nil, "a", "b"))
	_ = server.Close()
	time.Sleep(20 * time.Millisecond)
	s := &servers{}
	cfg := config(s)
	cfg.Dial = one(ours)
	p, err := set.Pool(pool.Key{}, func() (*pool.Config, error) { return cfg, nil })
	if err != nil {
		t.Fatal(err)
	}
	c, err := p.Acquire(&newClient().waiter)
	if err != nil {
		t.Fatal(err)
	}
	c.Release()
	eventually(t, "the end of the connection", func() bool { return p.Snapshot().Total == 0 })
	if _, err := io.ReadAll(ours); err == nil {
		t.Error("our end was not closed")
	}
}
