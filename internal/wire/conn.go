package wire

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// ErrFrameStuck says that a Receiver left a full buffer unconsumed: a frame
// that must be seen whole does not fit. It is a bug of the Receiver.
var ErrFrameStuck = errors.New("bug: receiver left a full buffer unconsumed")

// ErrParked ends a Pump that was asked to by Park.
var ErrParked = errors.New("parked")

// Receiver gets the bytes of a connection.
type Receiver interface {
	// Received consumes what it can of b and returns. What it leaves is shown
	// again, with more behind it, when more has come. b is the caller's after
	// the return. An error ends the Pump, which returns it.
	Received(b *Buffer) error
}

// Woken is what a Receiver may have besides: it is called in Pump's goroutine
// after a Kick. An error ends the Pump.
type Woken interface{ Woken() error }

// Conn is a connection to a client or a server, over TCP, a unix socket or
// TLS. Reads go through Pump only, once the login is over.
type Conn struct {
	net.Conn

	raw syscall.RawConn // nil where crypto/tls must see the bytes
	tls *tls.Conn       // nil for plain text

	// Owned by the goroutine in Pump.
	receiver Receiver
	buf      *Buffer
	pumpErr  error

	// Owned by the goroutine in Write.
	out     []byte
	outErr  error
	writeFn func(fd uintptr) bool

	// unchecked is set by a receive that ended short: an end-of-file that came
	// with it may not raise another event. See EOFPending.
	unchecked atomic.Bool
	killed    atomic.Bool // by Kill: a passed deadline is the end
	parking   atomic.Bool // by Park
}

// NewConn wraps c. Plain TCP and unix sockets are read when they are ready
// and not before; everything else in the ordinary way.
func NewConn(c net.Conn) *Conn {
	w := &Conn{Conn: c}
	if t, ok := c.(*tls.Conn); ok {
		w.tls = t
		return w
	}
	if sc, ok := c.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			w.raw = raw
			w.writeFn = w.writable
		}
	}
	return w
}

// TLS returns the state of the TLS connection, and false for plain text.
func (c *Conn) TLS() (tls.ConnectionState, bool) {
	if c.tls == nil {
		return tls.ConnectionState{}, false
	}
	return c.tls.ConnectionState(), true
}

// Pump receives until the connection ends and gives the bytes to r. It returns
// io.EOF when the peer closed, net.ErrClosed after Close, or r's error. Only
// one goroutine may be in Pump at a time; after ErrParked it may be called again.
func (c *Conn) Pump(r Receiver) error {
	c.receiver = r
	defer c.dropBuffer()
	if c.buf != nil { // by Unread
		if err := c.received(0); err != nil {
			return err
		}
	}
	if c.raw == nil {
		return c.pumpStream()
	}
	readable := c.readable
	for !c.killed.Load() {
		err := c.raw.Read(readable)
		if c.pumpErr != nil {
			return c.pumpErr
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) || c.killed.Load() {
			return endOf(c, err)
		}
		// Kick set the deadline: look once more at the socket.
		if err := c.SetReadDeadline(time.Time{}); err != nil {
			return err
		}
		if err := c.woken(); err != nil {
			return err
		}
		if c.parking.Swap(false) && c.buf == nil && !c.killed.Load() {
			return ErrParked
		}
	}
	return net.ErrClosed // Kill came between
}

func (c *Conn) woken() error {
	if w, ok := c.receiver.(Woken); ok {
		return w.Woken()
	}
	return nil
}

func endOf(c *Conn, err error) error {
	if c.killed.Load() {
		return net.ErrClosed
	}
	return err
}

func (c *Conn) dropBuffer() {
	if c.buf != nil {
		putBuffer(c.buf)
		c.buf = nil
	}
}

// Unread puts bytes in front of what Pump will receive first. It must be called
// before Pump, with at most BufferSize bytes, which are copied.
func (c *Conn) Unread(p []byte) {
	if len(p) > 0 {
		c.buf = getBuffer()
		c.buf.w = copy(c.buf.data[:], p)
	}
}

// readable is called by the poller's wait inside RawConn.Read: at once, and
// then each time the socket has become readable. Returning false waits on.
// Waiting inside the one call keeps the poller's edge from being lost.
func (c *Conn) readable(fd uintptr) (done bool) {
	for {
		if c.buf == nil {
			c.buf = getBuffer()
		}
		room := c.buf.free()
		n, errno := recv(fd, room, 0)
		switch {
		case errno == syscall.EAGAIN:
			c.releaseIfEmpty()
			return false
		case errno == syscall.EINTR:
			continue
		case errno != 0:
			c.pumpErr = os.NewSyscallError("recv", errno)
			return true
		case n == 0:
			c.pumpErr = io.EOF
			return true
		}
		if err := c.received(n); err != nil {
			c.pumpErr = err
			return true
		}
		if n < len(room) {
			// A short receive has drained the socket; see EOFPending.
			c.unchecked.Store(true)
			return false
		}
	}
}

func (c *Conn) received(n int) error {
	c.buf.w += n
	if err := c.receiver.Received(c.buf); err != nil {
		return err
	}
	if c.buf.Len() == BufferSize {
		return ErrFrameStuck
	}
	c.releaseIfEmpty()
	return nil
}

func (c *Conn) releaseIfEmpty() {
	if c.buf.Len() == 0 {
		putBuffer(c.buf)
		c.buf = nil
	}
}

// pumpStream is Pump for connections that crypto/tls reads.
func (c *Conn) pumpStream() error {
	for {
		if c.buf == nil {
			c.buf = getBuffer()
		}
		n, err := c.Conn.Read(c.buf.free())
		if n > 0 {
			if err := c.received(n); err != nil {
				return err
			}
		}
		if errors.Is(err, os.ErrDeadlineExceeded) && !c.killed.Load() {
			if err = c.SetReadDeadline(time.Time{}); err == nil {
				err = c.woken()
			}
		}
		if err != nil {
			return err
		}
	}
}

// EOFPending reports whether the peer has closed and Pump may not have been
// told. The poller is edge-triggered: an end-of-file that arrives between an
// event and the short receive that answers it raises no event of its own. The
// janitors call this for connections that were read since the last look, and
// Kick those that say true. Any goroutine may call it.
func (c *Conn) EOFPending() bool {
	if c.raw == nil || !c.unchecked.Swap(false) {
		return false
	}
	eof := false
	_ = c.raw.Control(func(fd uintptr) {
		var one [1]byte
		n, errno := recv(fd, one[:], syscall.MSG_PEEK)
		eof = n == 0 && errno == 0 || errno != 0 && errno != syscall.EAGAIN && errno != syscall.EINTR
	})
	return eof
}

// PeerClosed looks at the socket now and reports whether the peer has closed
// it, or its half of it, whatever is still to be read. Any goroutine may call it.
func (c *Conn) PeerClosed() bool {
	closed := false
	_ = c.Control(func(fd uintptr) error {
		closed = hungUp(fd)
		return nil
	})
	return closed
}

// Kick makes Pump look at its socket once more. Any goroutine may call it.
func (c *Conn) Kick() { _ = c.SetReadDeadline(time.Unix(1, 0)) }

// Write sends all of p. It waits while the peer does not read, and returns
// when the bytes are the kernel's, or the connection failed or was closed.
func (c *Conn) Write(p []byte) (int, error) {
	if c.raw == nil {
		return c.Conn.Write(p)
	}
	c.out, c.outErr = p, nil
	err := c.raw.Write(c.writeFn)
	n := len(p) - len(c.out)
	c.out = nil
	if c.outErr != nil {
		err = c.outErr
	}
	return n, err
}

// writable is called inside RawConn.Write; false waits until there is room.
func (c *Conn) writable(fd uintptr) (done bool) {
	for len(c.out) > 0 {
		n, errno := send(fd, c.out)
		switch {
		case errno == syscall.EAGAIN:
			return false
		case errno == syscall.EINTR:
			continue
		case errno != 0:
			c.outErr = os.NewSyscallError("send", errno)
			return true
		}
		c.out = c.out[n:]
	}
	return true
}

// hungUp asks ppoll(2), which sees the peer's end behind unread bytes, too.
func hungUp(fd uintptr) bool {
	const pollErr, pollHup, pollRdHup = 0x8, 0x10, 0x2000
	p := struct {
		fd              int32
		events, revents int16
	}{fd: int32(fd), events: pollRdHup}
	var atOnce syscall.Timespec
	n, _, errno := syscall.RawSyscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&p)), 1, uintptr(unsafe.Pointer(&atOnce)), 0, 0, 0)
	return errno == 0 && n > 0 && p.revents&(pollErr|pollHup|pollRdHup) != 0
}

// recv and send are raw system calls: the sockets never block, so the
// scheduler need not be told, which saves it two handshakes per query.

func recv(fd uintptr, p []byte, flags uintptr) (int, syscall.Errno) {
	if len(p) == 0 {
		return 0, syscall.EINVAL
	}
	n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd,
		uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), flags|syscall.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

func send(fd uintptr, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, fd,
		uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// Park asks Pump to return ErrParked as soon as nothing is half received. It
// does nothing where Pump waits in crypto/tls. Any goroutine may call it.
func (c *Conn) Park() {
	if c.raw != nil {
		c.parking.Store(true)
		c.Kick()
	}
}

// Killed says whether Kill was called.
func (c *Conn) Killed() bool { return c.killed.Load() }

// Control calls f with the socket's descriptor, which is valid only for the
// call. Any goroutine may call it.
func (c *Conn) Control(f func(fd uintptr) error) error {
	if c.raw == nil {
		return errors.ErrUnsupported
	}
	var err error
	if e := c.raw.Control(func(fd uintptr) { err = f(fd) }); e != nil {
		return e
	}
	return err
}

// Kill ends Pump and Write, now and later, without waiting for them; Close
// must follow. Any goroutine may call it, under locks too: it does no I/O.
func (c *Conn) Kill() {
	c.killed.Store(true)
	_ = c.NetConn().SetDeadline(time.Unix(1, 0))
}

// NetConn returns the socket under the TLS connection, or the socket itself.
func (c *Conn) NetConn() net.Conn {
	if c.tls != nil {
		return c.tls.NetConn()
	}
	return c.Conn
}
