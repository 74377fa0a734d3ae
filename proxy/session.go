package proxy

import (
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/penstock/penstock/internal/pgerr"
	"github.com/penstock/penstock/internal/wire"
	"github.com/penstock/penstock/pool"
)

// mode is the pool mode that a session began with.
type mode uint8

const (
	modeTransaction mode = iota
	modeSession
	modeStatement
)

func (m mode) String() string { return [...]string{"transaction", "session", "statement"}[m] }

func modeOf(name string) mode {
	switch name {
	case "session":
		return modeSession
	case "statement":
		return modeStatement
	}
	return modeTransaction
}

// errTerminate ends session.run when the client has said goodbye.
var errTerminate = errors.New("client terminated")

// session is everything we remember about one client after its login. It
// could be written to another process: nothing of it is on a stack or in a
// closure while the client is idle.
type session struct {
	// Immutable after newSession.
	srv         *Server
	client      *wire.Conn
	id          int64
	key         []byte // the secret of its cancel requests
	database    string
	user        string
	mode        mode
	connectedAt time.Time
	start       pool.Settings // settings asked for at startup, as they were written
	startExtra  pool.Settings // those of them that servers do not report

	// Owned by run.
	pass    int    // bytes of a large frame still to be forwarded
	broken  bool   // a panic has left the reply queue in doubt
	discard int    // bytes of a frame still to be thrown away
	large   []byte // a Parse that is larger than a buffer, as far as it has come
	waiter  pool.Waiter

	parked atomic.Bool // no run: see park.go

	// writing is held while bytes go to the client.
	writing sync.Mutex

	// mu guards the fields below and those of the link. No client I/O and no
	// waiting happens under it; link.writing and Pool.mu may be taken.
	mu         sync.Mutex
	route      *route     // nil: the database has one host
	pool       *pool.Pool // the one that was used last
	link       *link      // nil while no server connection is linked
	phase      phase
	pinned     pin
	sending    bool // run is between noting replies and having sent the bytes
	skipToSync bool // after an error of ours: discard until Sync
	vars       pool.Settings
	extra      pool.Settings
	statements map[string]named
	unnamed    slot
	resting    chan struct{} // closed when everything is answered; nil: nobody waits
	leaving    bool          // run rests because the client has said goodbye
	over       bool          // nothing of the client is taken any more: it hears the end
	ending     *pgerr.Error  // what to tell the client at the end, if anything
	since      time.Duration // of the last change between idle, waiting and active
	xactSince  time.Duration
	awake      time.Duration // when it was last unparked
}

// phase is where a session is in its life.
type phase uint8

const (
	phaseIdle    phase = iota // no server connection, nothing asked
	phaseWaiting              // in a pool's queue
	phaseActive               // linked
	phaseGone                 // the client has gone; the link is being recycled
)

func (p phase) String() string { return [...]string{"idle", "waiting", "active", "close_needed"}[p] }

// pin is the reason for which a session keeps its server connection.
type pin string

// run carries the client's messages until it goes, and cleans up behind it; or
// until the client is parked, and then again.
func (s *session) run() {
	err := s.pump()
	for errors.Is(err, wire.ErrParked) {
		if s.park() {
			return
		}
		err = s.pump()
	}
	var bad *pgerr.Error
	if errors.Is(err, errTerminate) || errors.As(err, &bad) && bad.Code != pgerr.InternalError {
		s.rest(true)
	}
	s.abandon()
	s.farewell(err)
	_ = s.client.Close()
	s.srv.forget(s)
}

// pump turns a panic in this session's goroutine into the end of the session.
func (s *session) pump() (err error) {
	defer func() {
		if v := recover(); v != nil {
			s.srv.log.Error("panic in a session", "session", s.id, "error", fmt.Sprint(v), "stack", string(debug.Stack()))
			err = pgerr.Internal(v).Fatal()
		}
	}()
	return s.client.Pump(s)
}

// recovered turns a panic into an error where locks are held, so that they are
// let go of. It is to be deferred.
func (s *Server) recovered(err *error) {
	if v := recover(); v != nil {
		s.log.Error("panic in a session", "error", fmt.Sprint(v), "stack", string(debug.Stack()))
		*err = pgerr.Internal(v).Fatal()
	}
}

// farewell tells the client why it is being closed, where it can be told.
func (s *session) farewell(err error) {
	s.mu.Lock()
	e := s.ending
	s.mu.Unlock()
	var pe *pgerr.Error
	if e == nil && errors.As(err, &pe) {
		e = pe
	}
	if e == nil {
		return
	}
	_ = s.client.NetConn().SetWriteDeadline(time.Now().Add(time.Second))
	s.writing.Lock()
	defer s.writing.Unlock()
	_, _ = s.client.Conn.Write(e.Append(nil))
}

// end has the session closed with an error told to its client, nil for none.
// Any goroutine may call it; the first error wins.
func (s *session) end(e *pgerr.Error) {
	s.mu.Lock()
	if s.ending == nil {
		s.ending = e
	}
	s.mu.Unlock()
	s.waiter.Bar(pool.ErrWaitStopped)
	s.stopWait(pool.ErrWaitStopped)
	s.kill()
}

// stopWait ends the wait for a server connection, if there is one.
func (s *session) stopWait(why error) bool {
	s.mu.Lock()
	p := s.pool
	s.mu.Unlock()
	return p.StopWait(&s.waiter, why)
}

// say writes a message of ours to the client. session.run calls it while no
// server connection is linked or none of its replies is due.
func (s *session) say(p []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if _, err := s.client.Write(p); err != nil {
		return fmt.Errorf("client write: %w", err)
	}
	return nil
}

// cancel does what a CancelRequest of this client asks for: it ends the wait
// for a server connection, or has the server cancel what runs.
// Like PostgreSQL it returns when the signal has been sent, for whoever asks
// sends the next statement when the request's socket is closed.
func (s *session) cancel() {
	if s.stopWait(pgerr.Canceled()) {
		return
	}
	s.mu.Lock()
	var c *pool.Conn
	if s.link == nil && s.phase == phaseWaiting && s.route != nil {
		s.route.canceled.Store(true)
	}
	if s.link != nil && s.link.replies.len() > 0 && s.phase != phaseGone {
		c = s.link.conn
		c.Cancel()
	}
	s.mu.Unlock()
	for c != nil && c.Canceling() { // bounded by cancel_wait_timeout
		time.Sleep(time.Millisecond)
	}
}

// ownRefusal is the server's refusal in its own words, where it speaks of the
// client's own user or database and not of those in the configuration.
func ownRefusal(err error, user, database string) error {
	var refusal *pgconn.PgError
	if !errors.As(err, &refusal) || !strings.HasPrefix(refusal.Code, "28") && !strings.HasPrefix(refusal.Code, "3D") ||
		!strings.Contains(refusal.Message, `"`+user+`"`) && !strings.Contains(refusal.Message, `"`+database+`"`) {
		return nil
	}
	return pgerr.From(refusal)
}

// poolError turns an error of Acquire into what the client is told.
func (s *session) poolError(err error) error {
	var wait *pool.WaitTimeoutError
	var connect *pool.ConnectError
	switch {
	case errors.As(err, &wait):
		return pgerr.WaitTimeout(wait.Waited, wait.Waiters, wait.Size)
	case errors.As(err, &connect):
		if refused := ownRefusal(connect.Err, s.user, s.database); refused != nil {
			return refused
		}
		return pgerr.CannotConnect(connect.Database, connect.Attempts, connect.Err, connect.RetryIn)
	case errors.Is(err, errMoved):
		return err
	case errors.Is(err, pool.ErrClosed):
		return pgerr.Shutdown()
	case errors.Is(err, pool.ErrWaitStopped):
		return net.ErrClosed // by end, which knows what to say
	case errors.As(err, new(*pgerr.Error)):
		return err
	}
	return pgerr.ServerLost('I', err)
}
