package pool

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/penstock/penstock/internal/wire"
)

// Login is a connection as the Dialer hands it over: authenticated, idle, with
// no byte left in any buffer.
type Login struct {
	Conn   net.Conn
	PID    uint32
	Secret []byte
	Vars   map[string]string
	Cancel func(c *Conn) error
}

// Dialer opens a server connection and logs in.
type Dialer func(ctx context.Context) (*Login, error)

// PostgreSQL returns a Dialer that logs in as cfg says: addresses, TLS modes,
// passwords and fallbacks are pgconn's (docs/decisions/0004-pgx.md).
func PostgreSQL(cfg *pgconn.Config) Dialer {
	return func(ctx context.Context) (*Login, error) {
		pg, err := pgconn.ConnectConfig(ctx, cfg)
		if err != nil {
			return nil, err
		}
		if err := pg.SyncConn(ctx); err != nil {
			_ = pg.Close(ctx)
			return nil, err
		}
		h, err := pg.Hijack()
		if err != nil {
			_ = pg.Close(ctx)
			return nil, err
		}
		return &Login{
			Conn: h.Conn, PID: h.PID, Secret: h.SecretKey, Vars: h.ParameterStatuses,
			Cancel: canceler(h),
		}, nil
	}
}

// canceler returns the function that sends a CancelRequest to the server that
// h is connected to, by the same way and with the same TLS.
func canceler(h *pgconn.HijackedConn) func(c *Conn) error {
	addr, dial, tlsConfig := h.Conn.RemoteAddr(), h.Config.DialFunc, h.TLSConfig
	return func(c *Conn) error {
		ctx, stop := context.WithTimeout(context.Background(), c.pool.Config().CancelTimeout)
		defer stop()
		conn, err := dial(ctx, addr.Network(), addr.String())
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		if deadline, ok := ctx.Deadline(); ok {
			_ = conn.SetDeadline(deadline)
		}
		secured := conn
		if tlsConfig != nil {
			if secured, err = requestTLS(conn, tlsConfig); err != nil {
				return err
			}
		}
		return sendCancel(secured, c.PID, c.secret)
	}
}

// requestTLS asks the server for TLS. Manual, Message Flow, SSL Session Encryption.
func requestTLS(conn net.Conn, cfg *tls.Config) (net.Conn, error) {
	if _, err := conn.Write([]byte{0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f}); err != nil {
		return nil, err
	}
	var answer [1]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return nil, err
	}
	if answer[0] != 'S' {
		return nil, errors.New("server refuses TLS for a cancel request")
	}
	return tls.Client(conn, cfg), nil
}

// sendCancel sends the request and waits until the server has closed the
// socket: only then has the signal been sent, and the connection may be given
// to somebody else. Manual, Message Flow, Canceling Requests in Progress.
func sendCancel(conn net.Conn, pid uint32, secret []byte) error {
	body := binary.BigEndian.AppendUint32(nil, uint32(12+len(secret)))
	body = binary.BigEndian.AppendUint32(body, 80877102)
	body = binary.BigEndian.AppendUint32(body, pid)
	if _, err := conn.Write(append(body, secret...)); err != nil {
		return err
	}
	_, err := conn.Read(make([]byte, 1))
	if err == nil || errors.Is(err, io.EOF) {
		return nil
	}
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		return err
	}
	return nil // a reset is a close, too
}

// dial opens one connection and puts it to work. It goes on when whoever
// wanted it has gone: the pool keeps what it has paid for.
func (p *Pool) dial(generation uint64) {
	cfg, began := p.Config(), time.Now()
	login, err := p.login(cfg)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dialing--
	if err != nil {
		p.limits.give(p.key)
		p.dialFailed(err, began)
		return
	}
	p.backoff = backoff{}
	c := p.newConn(cfg, login, generation)
	c.takeRole(cfg.Role)
	p.welcome = c.Vars
	p.add(c)
	go c.readLoop()
	p.grow()
}

func (p *Pool) login(cfg *Config) (login *Login, err error) {
	ctx, stop := context.WithTimeout(context.Background(), cfg.ConnectTimeout)
	defer stop()
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("bug: panic during server login: %v", v)
		}
	}()
	return cfg.Dial(ctx)
}

// dialFailed notes a failure. Whoever waits on a pool that has nothing is told
// at once why: mu is held.
func (p *Pool) dialFailed(err error, began time.Time) {
	now := time.Now()
	p.backoff.failed(err, began, now)
	p.log.Warn("connect to server", "error", err, "attempt", p.backoff.attempts, "retry_in", p.backoff.wait(now).String())
	if len(p.conns) == 0 && p.dialing == 0 {
		for w := p.waiters.pop(); w != nil; w = p.waiters.pop() {
			w.grant(nil, &ConnectError{Database: p.key.Database, Attempts: p.backoff.attempts, RetryIn: p.backoff.wait(now), Err: err})
		}
	}
	p.wake()
}

func (p *Pool) newConn(cfg *Config, login *Login, generation uint64) *Conn {
	now := time.Now()
	c := &Conn{
		ID: p.ids.Add(1), PID: login.PID, ConnectedAt: now, pool: p,
		wire: wire.NewConn(login.Conn), secret: login.Secret, cancelVia: login.Cancel,
		idle: true, generation: generation, TxStatus: 'I', Vars: NewSettings(login.Vars), idleSince: now,
	}
	if cfg.Lifetime > 0 {
		// Jitter, so that connections opened together do not end together.
		c.expiresAt = now.Add(cfg.Lifetime - rand.N(cfg.Lifetime/10+1))
	}
	return c
}

// backoff spaces out connects that fail.
type backoff struct {
	attempts int
	failures int       // of attempts that were begun together, one
	noted    time.Time // the last one
	next     time.Time
	last     error
}

const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 15 * time.Second // PgBouncer's server_login_retry
)

// failed notes a failure. Of connects that were begun together, the first
// failure counts.
func (b *backoff) failed(err error, began, now time.Time) {
	b.last = err
	b.attempts++
	if began.Before(b.noted) {
		return
	}
	b.noted = now
	delay := min(firstRetry<<min(b.failures, 10), lastRetry)
	b.failures++
	b.next = now.Add(delay/2 + rand.N(delay/2+1))
}

// wait is how long the next connect has to wait still.
func (b *backoff) wait(now time.Time) time.Duration {
	if b.failures == 0 {
		return 0
	}
	return max(b.next.Sub(now), 0)
}

// refusal is the error for whoever wants a connection now, nil if a connect
// may be tried.
func (b *backoff) refusal(database string, now time.Time) error {
	wait := b.wait(now)
	if wait == 0 {
		return nil
	}
	return &ConnectError{Database: database, Attempts: b.attempts, RetryIn: wait, Err: b.last}
}
