package pool

import (
	"sync/atomic"
	"time"
)

// Sink is what a session gives to receive the replies of its connection.
type Sink interface {
	// Receive consumes what it can of b. It is called in the connection's own
	// goroutine while the connection is linked to the sink, and returns
	// ErrNotLinked when it no longer is.
	Receive(c *Conn, b *Buffer) error
	// Lost says that the connection has gone. It is called once, in the
	// connection's own goroutine; the connection is already out of the pool.
	Lost(c *Conn, err error)
}

// Waiter is a session's place in a pool's queue. It is part of the session, so
// that waiting allocates nothing after the first time. Only the goroutine that
// calls Acquire touches it, except through the pool.
type Waiter struct {
	// Immutable after Init.
	sink Sink

	// Owned by the goroutine in Acquire.
	granted chan struct{}

	barred atomic.Pointer[error] // by Bar: it gets no connection any more

	// Guarded by Pool.mu while in the list; owned by the waiting goroutine
	// again when granted has been received.
	pool       *Pool
	next, prev *Waiter
	since      time.Time
	conn       *Conn
	err        error
}

// Init names the sink to which acquired connections are linked.
func (w *Waiter) Init(s Sink) { w.sink = s }

// Bar has w's next attempts to acquire fail with err, in any pool: a session
// that is being ended gets no connection any more. A wait that has begun is
// ended by StopWait of its pool, after Bar.
func (w *Waiter) Bar(err error) { w.barred.Store(&err) }

// refused is what Bar has said, nil for nothing.
func (w *Waiter) refused() error {
	if err := w.barred.Load(); err != nil {
		return *err
	}
	return nil
}

// waitlist is a strict first-in, first-out list of waiters.
type waitlist struct {
	first, last *Waiter
	n           int
}

func (l *waitlist) push(w *Waiter) {
	w.prev, w.next = l.last, nil
	if l.last == nil {
		l.first = w
	} else {
		l.last.next = w
	}
	l.last = w
	l.n++
}

func (l *waitlist) remove(w *Waiter) {
	if w.prev == nil {
		l.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		l.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.next, w.prev = nil, nil
	l.n--
}

func (l *waitlist) pop() *Waiter {
	w := l.first
	if w != nil {
		l.remove(w)
	}
	return w
}

// grant wakes a waiter that has been taken from the list with a connection or
// an error. Pool.mu is held.
func (w *Waiter) grant(c *Conn, err error) {
	w.pool, w.conn, w.err = nil, c, err
	w.granted <- struct{}{}
}
