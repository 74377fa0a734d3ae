package pool

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/penstock/penstock/internal/wire"
)

// Buffer is what a Sink is given to read.
type Buffer = wire.Buffer

// Conn is a server connection, logged in. While it is linked, the session that
// linked it owns the fields that say so.
type Conn struct {
	// Immutable after dial.
	ID          uint64
	PID         uint32
	ConnectedAt time.Time
	Attached    any // the proxy's own record of this connection
	pool        *Pool
	wire        *wire.Conn
	secret      []byte
	cancelVia   func(c *Conn) error
	generation  uint64

	// Owned by the session while linked, by readLoop while not.
	TxStatus byte
	Vars     Settings // what the server reports: ParameterStatus
	Extra    Settings // what was SET here that the server does not report
	Counters Counters // written by the owner, read by anybody

	sink atomic.Pointer[Sink] // nil while not linked

	// Standby says that the server has called itself a standby. It is false
	// where Config.Role is nil, and before PostgreSQL 14.
	Standby atomic.Bool

	// Guarded by Pool.mu.
	state       connState
	cancels     int // cancel requests under way
	expired     bool
	expiresAt   time.Time
	idle        bool      // released since the janitor last looked
	idleSince   time.Time // as the janitor saw it
	closeReason error
}

func (c *Conn) String() string { return fmt.Sprintf("server %d (pid %d)", c.ID, c.PID) }

// Pool returns the pool that c belongs to.
func (c *Conn) Pool() *Pool { return c.pool }

// Write sends p to the server and returns how much of it the kernel has taken.
// Only the session that has c linked may call it, one goroutine at a time.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.wire.Write(p)
	if err != nil {
		return n, fmt.Errorf("server write: %w", err)
	}
	return n, nil
}

// Wire returns the connection's socket, for SHOW.
func (c *Conn) Wire() *wire.Conn { return c.wire }

// readLoop reads the server for the connection's life, and tells the pool and
// the session when that is over.
func (c *Conn) readLoop() {
	err := c.pump()
	p := c.pool
	p.mu.Lock()
	reason := c.closeReason
	if reason == nil {
		reason = fmt.Errorf("server read: %w", err)
		p.log.Warn("server connection lost", "server_pid", c.PID, "state", c.state.String(), "error", err)
	}
	sink := c.sink.Swap(nil)
	p.drop(c, reason)
	p.count[connClosing]--
	p.mu.Unlock()
	_ = c.wire.Close()
	if sink != nil {
		_ = c.guard(func() error { (*sink).Lost(c, reason); return nil })
	}
}

// pump reads until the connection ends.
func (c *Conn) pump() error {
	return c.guard(func() error { return c.wire.Pump(c) })
}

// guard turns a panic in this connection's goroutines into an error: it ends
// the connection, not the process.
func (c *Conn) guard(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			c.pool.log.Error("panic on a server connection", "error", fmt.Sprint(v), "stack", string(debug.Stack()))
			err = fmt.Errorf("bug: panic: %v", v)
		}
	}()
	return f()
}

// Received gives the server's bytes to the session that has c linked, and
// looks at them itself while nobody has.
func (c *Conn) Received(b *wire.Buffer) error {
	for b.Len() > 0 {
		before := b.Len()
		var err error
		if sink := c.sink.Load(); sink != nil {
			err = (*sink).Receive(c, b)
		} else {
			err = c.receiveIdle(b)
		}
		switch {
		case errors.Is(err, ErrNotLinked):
			runtime.Gosched() // released or lost this moment by another goroutine
		case err != nil:
			return err
		case b.Len() == before:
			return nil // a frame that is not whole yet
		}
	}
	return nil
}

// receiveIdle consumes what a server says unasked: a parameter has changed, a
// notice, or that it is going away. Manual, Message Flow, Asynchronous
// Operations. Anything else means that we have lost count: close.
func (c *Conn) receiveIdle(b *wire.Buffer) error {
	h, ok := wire.ParseHeader(b.Bytes())
	if !ok {
		return nil
	}
	if err := h.CheckBackend(); err != nil {
		return err
	}
	if h.Total() > wire.BufferSize {
		return fmt.Errorf("unexpected %q of %d bytes on an idle connection", h.Type, h.Total())
	}
	if b.Len() < h.Total() {
		return nil
	}
	body := b.Bytes()[wire.HeaderSize:h.Total()]
	switch h.Type {
	case wire.ParameterStatus:
		if !c.reportedIdle(body) {
			return ErrNotLinked // linked this moment: it is for the session to see
		}
	case wire.NoticeResponse, wire.NotificationResponse:
	case wire.ErrorResponse:
		return fmt.Errorf("server closes an idle connection: %s", errorText(body))
	default:
		return fmt.Errorf("unexpected message type %q on an idle connection", h.Type)
	}
	b.Consume(h.Total())
	return nil
}

// reportedIdle notes a ParameterStatus unless the connection has been linked
// meanwhile; Acquire links under the same lock.
func (c *Conn) reportedIdle(body []byte) bool {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	if c.state == connLinked {
		return false
	}
	c.Reported(body)
	return true
}

// Reported notes a ParameterStatus of the server, given its body, and returns
// its name and value.
func (c *Conn) Reported(body []byte) (name, value string) {
	n, rest, ok := wire.CString(body)
	if !ok {
		return "", ""
	}
	v, _, _ := wire.CString(rest)
	name, value = string(n), string(v)
	if role := c.pool.Config().Role; role != nil && name == hotStandby {
		c.Standby.Store(value == "on")
		role(value == "on")
		return name, value
	}
	c.Vars = c.Vars.With(name, value)
	return name, value
}

// hotStandby is the setting by which a server says that it is a standby.
const hotStandby = "in_hot_standby"

// takeRole takes the server's role out of what it reports at login.
func (c *Conn) takeRole(role func(standby bool)) {
	value, ok := c.Vars.Get(hotStandby)
	if role == nil || !ok {
		return
	}
	c.Vars = c.Vars.Without(hotStandby)
	c.Standby.Store(value == "on")
	role(value == "on")
}

// errorText is the message field of an ErrorResponse.
func errorText(body []byte) string {
	for len(body) > 1 {
		field, rest, ok := wire.CString(body[1:])
		if !ok {
			break
		}
		if body[0] == 'M' {
			return fmt.Sprintf("%q", field)
		}
		body = rest
	}
	return "no message"
}

// Retire has c closed when it is released. The session that has it linked may
// call it.
func (c *Conn) Retire() {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	c.expired = true
}

// Cancel asks the server to cancel what c runs. Until the request is over, c
// is not handed on. It returns at once; any goroutine that knows c to be
// linked to its own session may call it.
func (c *Conn) Cancel() {
	p := c.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.state != connLinked || c.cancels >= maxCancels {
		return
	}
	c.cancels++
	go c.cancel()
}

// maxCancels bounds the cancel requests under way for one connection.
const maxCancels = 2

func (c *Conn) cancel() {
	err := c.guard(func() error { return c.cancelVia(c) })
	p := c.pool
	if err != nil {
		p.log.Warn("cancel request", "server_pid", c.PID, "error", err)
	}
	p.mu.Lock()
	c.cancels--
	done := c.cancels == 0
	if done && c.state == connBeingCanceled {
		p.handOn(c)
		done = false
	}
	p.mu.Unlock()
	if !done {
		return
	}
	if sink := c.sink.Load(); sink != nil {
		if waits, ok := (*sink).(interface{ Canceled(c *Conn) }); ok {
			_ = c.guard(func() error { waits.Canceled(c); return nil })
		}
	}
}

// Canceling says whether a cancel request for c is under way.
func (c *Conn) Canceling() bool {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	return c.cancels > 0
}

// Info is a snapshot of a connection for SHOW SERVERS.
type Info struct {
	Conn      *Conn
	State     string
	IdleSince time.Time
	Closing   bool
}

// Info returns snapshots of all connections of the pool.
func (p *Pool) Info() []Info {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]Info, 0, len(p.conns))
	for c := range p.conns {
		state := c.state.String()
		if c.state == connLinked && c.cancels > 0 {
			state = "active_cancel"
		}
		list = append(list, Info{
			Conn: c, State: state, IdleSince: c.idleSince,
			Closing: c.expired || c.generation != p.generation,
		})
	}
	return list
}
