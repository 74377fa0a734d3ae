package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/auth"
	"github.com/penstock/penstock/internal/config"
	"github.com/penstock/penstock/internal/wire"
	"github.com/penstock/penstock/pool"
)

// world is a Server whose pools lead to toy servers.
type world struct {
	t      testing.TB
	srv    *Server
	pool   *pool.Pool
	panics atomic.Pointer[string] // the first that was logged
	quiet  bool                   // panics are meant

	// mu guards the fields below.
	mu     sync.Mutex
	served []net.Conn
	gone   bool // no more connects
}

// answers makes the life of a server's end of a connection.
type answers func(conn net.Conn)

// newWorld returns a world whose servers answer as given, nil for a toy.
func newWorld(t testing.TB, serve answers) *world {
	t.Helper()
	w := &world{t: t}
	cfg := config.Default()
	cfg.Databases["app"] = &config.Database{Name: "app", Primary: "host=localhost", Pool: cfg.Pool}
	users, err := auth.NewUsers(nil)
	if err != nil {
		t.Fatal(err)
	}
	w.srv, err = New(Options{Config: cfg, Users: users, Log: slog.New(watcher{w})})
	if err != nil {
		t.Fatal(err)
	}
	w.pool = w.newPool("app", serve)
	t.Cleanup(func() {
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			w.srv.Close()
		}()
		select {
		case <-closed:
		case <-time.After(20 * time.Second):
			t.Error("the server does not close")
		}
		if p := w.panics.Load(); p != nil && !w.quiet {
			t.Errorf("a panic: %s", *p)
		}
	})
	return w
}

func (w *world) newPool(user string, serve answers) *pool.Pool {
	w.t.Helper()
	if serve == nil {
		serve = func(conn net.Conn) { newToy().serve(conn) }
	}
	p, err := w.srv.pools.Pool(pool.Key{Database: "app", User: user}, func() (*pool.Config, error) {
		return &pool.Config{
			Mode: "transaction", Size: 2, QueryWaitTimeout: 5 * time.Second, ConnectTimeout: 5 * time.Second, CancelTimeout: time.Second,
			Dial: func(context.Context) (*pool.Login, error) { return w.dial(serve) },
		}, nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *world) dial(serve answers) (*pool.Login, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone {
		return nil, fmt.Errorf("the server has gone")
	}
	ours, theirs, err := loopback()
	if err != nil {
		return nil, err
	}
	w.served = append(w.served, theirs)
	go func() {
		defer theirs.Close()
		serve(theirs)
	}()
	return &pool.Login{
		Conn: ours, PID: 7, Vars: map[string]string{"TimeZone": "UTC", "client_encoding": "UTF8"},
		Cancel: func(*pool.Conn) error { return nil },
	}, nil
}

// leave closes all servers and refuses new connects.
func (w *world) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gone = true
	for _, c := range w.served {
		_ = c.Close()
	}
}

// session makes a session, as startup.welcome does, for a client that is
// logged in. Nobody runs it yet.
func (w *world) session(m mode, client net.Conn) *session {
	w.t.Helper()
	if client == nil {
		var peer net.Conn
		client, peer = net.Pipe()
		w.t.Cleanup(func() { _ = peer.Close() })
	}
	s := &session{
		srv: w.srv, client: wire.NewConn(client), database: "app", user: "app", mode: m, pool: w.pool,
		connectedAt: time.Now(), since: w.srv.clock(),
	}
	s.waiter.Init(s)
	s.vars = pool.NewSettings(map[string]string{"TimeZone": "UTC", "client_encoding": "UTF8"})
	return s
}

// run starts a session and returns the client's end, and a channel that is
// closed when the session is over.
func (w *world) run(m mode) (client net.Conn, s *session, over <-chan struct{}) {
	w.t.Helper()
	ours, client := sockets(w.t)
	s = w.session(m, ours)
	if err := w.srv.admit(s); err != nil {
		w.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.run()
	}()
	return client, s, done
}

// sockets are the two ends of a loopback connection.
func sockets(t testing.TB) (a, b net.Conn) {
	t.Helper()
	a, b, err := loopback()
	if err != nil {
		t.Fatal(err)
	}
	return a, b
}

func loopback() (a, b net.Conn, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	if b, err = net.Dial("tcp", l.Addr().String()); err != nil {
		return nil, nil, err
	}
	a, err = l.Accept()
	return a, b, err
}

// watcher is a log that remembers panics.
type watcher struct{ w *world }

func (watcher) Enabled(context.Context, slog.Level) bool { return true }
func (h watcher) WithAttrs([]slog.Attr) slog.Handler     { return h }
func (h watcher) WithGroup(string) slog.Handler          { return h }

func (h watcher) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "panic") {
		var b strings.Builder
		r.Attrs(func(a slog.Attr) bool {
			fmt.Fprintf(&b, "%s=%v ", a.Key, a.Value)
			return true
		})
		s := b.String()
		if !h.w.quiet {
			h.w.t.Logf("a panic: %s", s) // now: what follows may hang
		}
		h.w.panics.CompareAndSwap(nil, &s)
	}
	return nil
}

// toy is a server that answers every message as PostgreSQL would, with one
// row, and knows what is prepared. In steady state it allocates nothing.
type toy struct {
	prepared map[string]bool
	status   byte
	skipping bool
	out      []byte
}

func newToy() *toy { return &toy{prepared: map[string]bool{}, status: 'I'} }

func (y *toy) serve(conn net.Conn) {
	buf, n := make([]byte, 64<<10), 0
	for {
		m, err := conn.Read(buf[n:])
		if err != nil {
			return
		}
		n += m
		used := 0
		y.out = y.out[:0]
		for {
			h, ok := wire.ParseHeader(buf[used:n])
			if !ok || h.Len < 4 || used+h.Total() > n {
				break
			}
			y.answer(h.Type, buf[used+wire.HeaderSize:used+h.Total()])
			used += h.Total()
		}
		n = copy(buf, buf[used:n])
		if len(y.out) > 0 {
			if _, err := conn.Write(y.out); err != nil {
				return
			}
		}
		if n == len(buf) {
			return // a frame that is too large for a toy
		}
	}
}

var (
	toyRows   = []byte("T\x00\x00\x00\x1a\x00\x01n\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x17\x00\x04\xff\xff\xff\xff\x00\x00")
	toyRow    = []byte("D\x00\x00\x00\x0b\x00\x01\x00\x00\x00\x011")
	toyParams = []byte("t\x00\x00\x00\x06\x00\x00")
)

func (y *toy) answer(typ byte, body []byte) {
	if y.skipping && typ != wire.Sync {
		return
	}
	first, rest, _ := wire.CString(body)
	switch typ {
	case wire.Query:
		tag := "SELECT 1"
		switch {
		case y.status == 'E' && string(first) != "ROLLBACK":
			y.fail("25P02")
			y.out = wire.AppendReady(y.out, y.status)
			return
		case string(first) == "BEGIN":
			y.status, tag = 'T', "BEGIN"
		case string(first) == "COMMIT", string(first) == "ROLLBACK":
			y.status, tag = 'I', string(first)
		case string(first) == "error":
			y.fail("42601")
			y.out = wire.AppendReady(y.out, y.status)
			return
		default:
			y.out = append(append(y.out, toyRows...), toyRow...)
		}
		y.out = wire.AppendString(y.out, wire.CommandComplete, tag)
		y.out = wire.AppendReady(y.out, y.status)
	case wire.Parse:
		if len(first) > 0 && y.prepared[string(first)] {
			y.error("42P05")
			return
		}
		if !y.prepared[string(first)] {
			y.prepared[string(first)] = true
		}
		y.out = wire.AppendEmpty(y.out, wire.ParseComplete)
	case wire.Bind:
		name, _, _ := wire.CString(rest)
		if !y.prepared[string(name)] {
			y.error("26000")
			return
		}
		y.out = wire.AppendEmpty(y.out, wire.BindComplete)
	case wire.Describe:
		if len(first) > 0 && first[0] == 'S' {
			if !y.prepared[string(first[1:])] {
				y.error("26000")
				return
			}
			y.out = append(y.out, toyParams...)
		}
		y.out = append(y.out, toyRows...)
	case wire.Execute:
		y.out = append(y.out, toyRow...)
		y.out = wire.AppendString(y.out, wire.CommandComplete, "SELECT 1")
	case wire.Close:
		if len(first) > 0 && first[0] == 'S' {
			delete(y.prepared, string(first[1:]))
		}
		y.out = wire.AppendEmpty(y.out, wire.CloseComplete)
	case wire.Sync:
		y.skipping = false
		y.out = wire.AppendReady(y.out, y.status)
	case wire.FunctionCall:
		y.out = wire.AppendFrame(y.out, wire.FunctionCallResponse, []byte{0xff, 0xff, 0xff, 0xff})
		y.out = wire.AppendReady(y.out, y.status)
	}
}

// error fails a message of the extended protocol.
func (y *toy) error(code string) {
	y.fail(code)
	y.skipping = true
}

func (y *toy) fail(code string) {
	if y.status == 'T' {
		y.status = 'E'
	}
	y.out = wire.AppendFrame(y.out, wire.ErrorResponse, []byte("SERROR\x00VERROR\x00C"+code+"\x00Mrefused\x00\x00"))
}
