package pool_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock/penstock/pool"
)

// servers is a PostgreSQL that the tests have in their hand: its Dialer gives
// the pool one end of a pipe, for each connection another.
type servers struct {
	// Set before the first dial.
	takes  time.Duration // how long a login takes
	vars   map[string]string
	cancel func(c *pool.Conn) error

	// mu guards the fields below.
	mu    sync.Mutex
	fail  error // of a login
	panic any   // of a login
	ends  []*end
	tries []time.Time // of logins, failed ones too
}

// end is the server's end of one connection.
type end struct {
	net.Conn

	closed chan struct{} // when the pool has closed its end
}

func (s *servers) dial(ctx context.Context) (*pool.Login, error) {
	s.mu.Lock()
	s.tries = append(s.tries, time.Now())
	s.mu.Unlock()
	if s.takes > 0 {
		select {
		case <-time.After(s.takes):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.panic != nil {
		panic(s.panic)
	}
	if s.fail != nil {
		return nil, s.fail
	}
	ours, theirs := net.Pipe()
	e := &end{Conn: theirs, closed: make(chan struct{})}
	s.ends = append(s.ends, e)
	go func() {
		defer close(e.closed)
		_, _ = io.Copy(io.Discard, theirs)
		_ = theirs.Close()
	}()
	return &pool.Login{Conn: ours, PID: uint32(len(s.ends)), Secret: []byte("key"), Vars: s.vars, Cancel: s.cancel}, nil
}

// setFail makes logins fail from now on, or succeed again with nil.
func (s *servers) setFail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

// dials are the times of the logins so far.
func (s *servers) dials() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]time.Time(nil), s.tries...)
}

// end returns the server's end of the i-th connection.
func (s *servers) end(i int) *end {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ends[i]
}

// open counts the connections that the pool has not closed.
func (s *servers) open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, e := range s.ends {
		select {
		case <-e.closed:
		default:
			n++
		}
	}
	return n
}

// client is a session as the pool sees it.
type client struct {
	waiter  pool.Waiter
	receive func(c *pool.Conn, b *pool.Buffer) error
	lost    chan error
}

func newClient() *client {
	k := &client{lost: make(chan error, 16)}
	k.waiter.Init(k)
	return k
}

func (k *client) Receive(c *pool.Conn, b *pool.Buffer) error {
	if k.receive != nil {
		return k.receive(c, b)
	}
	b.Consume(b.Len())
	return nil
}

func (k *client) Lost(_ *pool.Conn, err error) { k.lost <- err }

// answer is what Acquire has returned.
type answer struct {
	conn *pool.Conn
	err  error
	at   time.Time
}

// acquire begins to wait in p and returns where the answer will come.
func (k *client) acquire(p *pool.Pool) <-chan answer {
	ch := make(chan answer, 1)
	go func() {
		c, err := p.Acquire(&k.waiter)
		ch <- answer{c, err, time.Now()}
	}()
	return ch
}

// get waits for a connection that has to come.
func get(t *testing.T, ch <-chan answer) *pool.Conn {
	t.Helper()
	a := <-ch
	if a.err != nil {
		t.Fatalf("acquire: %v", a.err)
	}
	return a.conn
}

// waiting fails the test if an answer has come.
func waiting(t *testing.T, ch <-chan answer) {
	t.Helper()
	synctest.Wait()
	select {
	case a := <-ch:
		t.Fatalf("got %v, %v; it should still wait", a.conn, a.err)
	default:
	}
}

// world is a set with one pool over fake servers, in a bubble of its own time.
type world struct {
	t       *testing.T
	set     *pool.Set
	pool    *pool.Pool
	servers *servers
}

// config returns a configuration for tests to change.
func config(s *servers) *pool.Config {
	return &pool.Config{Mode: "transaction", Size: 1, ConnectTimeout: 15 * time.Second, CancelTimeout: time.Second, Dial: s.dial, DialID: "1"}
}

// inWorld runs f with the fake clock and with a pool of the given settings.
func inWorld(t *testing.T, change func(*pool.Config, *servers), f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, servers: &servers{}, set: pool.NewSet(slog.New(slog.DiscardHandler))}
		defer func() {
			w.set.Close()
			synctest.Wait()
			if n := w.servers.open(); n > 0 {
				t.Errorf("%d server connections are open after Close", n)
			}
		}()
		cfg := config(w.servers)
		if change != nil {
			change(cfg, w.servers)
		}
		w.pool = w.other("app", "alice", cfg)
		f(w)
		synctest.Wait()
		w.pool.CheckLists()
	})
}

// other makes one more pool.
func (w *world) other(database, user string, cfg *pool.Config) *pool.Pool {
	w.t.Helper()
	p, err := w.set.Pool(pool.Key{Database: database, User: user}, func() (*pool.Config, error) { return cfg, nil })
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// hold acquires a connection that has to come.
func (w *world) hold(p *pool.Pool) *pool.Conn {
	w.t.Helper()
	return get(w.t, newClient().acquire(p))
}

// want compares the pool's numbers of idle, linked and waiting.
func (w *world) want(idle, active, waiters int) {
	w.t.Helper()
	synctest.Wait()
	w.pool.CheckLists()
	if s := w.pool.Snapshot(); s.Idle != idle || s.Active != active || s.Waiting != waiters {
		w.t.Fatalf("idle %d, active %d, waiting %d; want %d, %d, %d", s.Idle, s.Active, s.Waiting, idle, active, waiters)
	}
}

var errRefused = errors.New("connection refused")

// one is a Dialer that has one connection to give.
func one(conn net.Conn) pool.Dialer {
	return func(context.Context) (*pool.Login, error) {
		if conn == nil {
			return nil, errRefused
		}
		login := &pool.Login{Conn: conn, Cancel: func(*pool.Conn) error { return nil }}
		conn = nil
		return login, nil
	}
}
