package pgtest

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// faultyConn is one connection through a Faulty. Two goroutines pump it, one
// for each direction.
type faultyConn struct {
	// Immutable once pumped.
	client, server net.Conn
	fault          *Fault
	struck         func() bool
	ended          chan struct{} // closed by end

	endOnce sync.Once

	// Guarded by mu: both directions need to know where a login stands.
	mu     sync.Mutex
	frames [2]frameCounter
	bytes  [2]int64
	asked  int // SSLRequests and GSSENCRequests that have no answer yet
}

func newFaultyConn(client, server net.Conn) *faultyConn {
	c := &faultyConn{client: client, server: server, ended: make(chan struct{})}
	c.frames[ToServer].startup = true
	return c
}

func (c *faultyConn) traffic() Traffic {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Traffic{Frames: [2]int{c.frames[ToServer].count, c.frames[ToClient].count}, Bytes: c.bytes}
}

// pump forwards one direction until src ends, the connection is closed, or the
// fault has struck. The end of what src says ends what dst hears, and leaves the
// other direction alone.
func (c *faultyConn) pump(d Direction, src, dst net.Conn) {
	if c.forward(d, src, dst) {
		closeWrite(dst)
		return
	}
	// To close a socket with unread bytes would reset the connection, and what
	// was forwarded before could be lost on the other side.
	_, _ = io.Copy(io.Discard, src)
}

// forward reports whether it went well until src ended.
func (c *faultyConn) forward(d Direction, src, dst net.Conn) bool {
	if !c.strikeIfDue(d) {
		return false
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		for data := buf[:n]; len(data) > 0; {
			size := c.advance(d, data)
			if _, err := dst.Write(data[:size]); err != nil {
				c.end(Cut)
				return false
			}
			data = data[size:]
			if !c.strikeIfDue(d) {
				return false
			}
		}
		if err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}

// advance counts the start of data, at most up to the point where the fault
// strikes, and returns its size.
func (c *faultyConn) advance(d Direction, data []byte) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	frame := 0 // stop at the end of this one
	if f := c.fault; f != nil && f.Direction == d {
		frame = f.AtFrame
		if left := f.AtByte - c.bytes[d]; frame == 0 && left > 0 {
			data = data[:min(int64(len(data)), left)]
		}
	}
	size := 0
	for size < len(data) {
		size += c.advanceFrame(d, data[size:])
		if frame > 0 && c.frames[d].count == frame && c.frames[d].atBoundary() {
			break
		}
	}
	c.bytes[d] += int64(size)
	return size
}

// advanceFrame counts data up to the end of a frame. Called under mu.
func (c *faultyConn) advanceFrame(d Direction, data []byte) int {
	frames := &c.frames[d]
	if d == ToClient && c.asked > 0 && frames.atBoundary() {
		c.asked--
		frames.count++
		if data[0] == 'S' || data[0] == 'G' { // from here on it is encrypted
			c.frames[ToServer].opaque, c.frames[ToClient].opaque = true, true
		}
		return 1
	}
	size := frames.advance(data)
	if frames.asked {
		frames.asked = false
		c.asked++
	}
	return size
}

// strikeIfDue lets the fault strike if its point is reached, and reports whether
// the pump goes on.
func (c *faultyConn) strikeIfDue(d Direction) bool {
	f := c.fault
	if f == nil || f.Direction != d {
		return true
	}
	c.mu.Lock()
	due := c.bytes[d] == f.AtByte
	if f.AtFrame > 0 {
		due = c.frames[d].count == f.AtFrame && c.frames[d].atBoundary()
	}
	c.mu.Unlock()
	if !due {
		return true
	}
	if !c.struck() {
		return true
	}
	switch f.Action {
	case Delay:
		select {
		case <-time.After(f.Delay):
		case <-c.ended:
		}
		return true
	case Stall:
		<-c.ended
	default:
		c.end(f.Action)
	}
	return false
}

// drainTime is how long the last bytes of a cut connection are thrown away,
// before it is closed altogether.
const drainTime = time.Second

// end makes the pumps come to their end: at once for Reset, else as soon as both
// sides have closed, too.
func (c *faultyConn) end(how Action) {
	c.endOnce.Do(func() {
		close(c.ended)
		for _, conn := range []net.Conn{c.client, c.server} {
			if tcp, ok := conn.(*net.TCPConn); ok && how == Reset {
				_ = tcp.SetLinger(0) // it may be closed
				conn.Close()
				continue
			}
			closeWrite(conn)
			_ = conn.SetDeadline(time.Now().Add(drainTime))
		}
	})
}

// close ends the connection without waiting for anybody.
func (c *faultyConn) close() {
	c.end(Cut)
	c.client.Close()
	c.server.Close()
}

func closeWrite(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.CloseWrite() // it may be closed
	}
}

// frameCounter finds the ends of messages in a stream that comes in any pieces.
type frameCounter struct {
	startup bool   // messages have no type byte yet
	opaque  bool   // encrypted
	header  []byte // of the message begun, as far as it came
	rest    int    // bytes of the message begun that are still to come
	count   int    // messages that passed whole
	asked   bool   // the last one was an SSLRequest or a GSSENCRequest
}

// Request codes of messages without type (libpq/pqcomm.h).
const (
	sslRequestCode    = 80877103
	gssEncRequestCode = 80877104
)

func (f *frameCounter) atBoundary() bool { return len(f.header) == 0 }

// advance returns how many bytes of data belong to the message begun, or all if
// its end is not in sight.
func (f *frameCounter) advance(data []byte) int {
	if f.opaque {
		return len(data)
	}
	size := 0
	for need := f.headerSize(); len(f.header) < need && size < len(data); size++ {
		f.header = append(f.header, data[size])
		if len(f.header) == need {
			f.rest = max(0, f.length()-need)
		}
	}
	if len(f.header) < f.headerSize() {
		return size
	}
	body := min(f.rest, len(data)-size)
	f.rest -= body
	if f.rest == 0 {
		f.finish()
	}
	return size + body
}

// headerSize includes the code of a message without type.
func (f *frameCounter) headerSize() int {
	if f.startup {
		return 8
	}
	return 5
}

// length returns the size of the whole message.
func (f *frameCounter) length() int {
	if f.startup {
		return int(binary.BigEndian.Uint32(f.header))
	}
	return 1 + int(binary.BigEndian.Uint32(f.header[1:]))
}

func (f *frameCounter) finish() {
	f.count++
	if f.startup {
		code := binary.BigEndian.Uint32(f.header[4:])
		f.asked = code == sslRequestCode || code == gssEncRequestCode
		f.startup = f.asked
	}
	f.header = f.header[:0]
}
