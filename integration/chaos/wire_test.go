package chaos

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/penstock/penstock/internal/wire"
)

// The frames that clients send. Manual, Message Formats.

func qFrame(dst []byte, sql string) []byte { return wire.AppendString(dst, wire.Query, sql) }

func pFrame(dst []byte, name, sql string) []byte {
	return wire.AppendFrame(dst, wire.Parse, zstr(name), zstr(sql), []byte{0, 0})
}

// bFrame is a Bind with text parameters and text results.
func bFrame(dst []byte, portal, name string, params ...string) []byte {
	body := append(zstr(portal), zstr(name)...)
	body = append(body, 0, 0)
	body = binary.BigEndian.AppendUint16(body, uint16(len(params)))
	for _, p := range params {
		body = binary.BigEndian.AppendUint32(body, uint32(len(p)))
		body = append(body, p...)
	}
	return wire.AppendFrame(dst, wire.Bind, body, []byte{0, 0})
}

func dFrame(dst []byte, kind byte, name string) []byte {
	return wire.AppendFrame(dst, wire.Describe, []byte{kind}, zstr(name))
}

func eFrame(dst []byte, portal string, limit int) []byte {
	return wire.AppendFrame(dst, wire.Execute, zstr(portal), binary.BigEndian.AppendUint32(nil, uint32(limit)))
}

func cFrame(dst []byte, kind byte, name string) []byte {
	return wire.AppendFrame(dst, wire.Close, []byte{kind}, zstr(name))
}

func copyFrame(dst []byte, data string) []byte {
	return wire.AppendFrame(dst, wire.CopyData, []byte(data))
}

// functionFrame is a FunctionCall with one text argument.
func functionFrame(dst []byte, oid uint32, arg string) []byte {
	body := binary.BigEndian.AppendUint32(nil, oid)
	body = append(body, 0, 0, 0, 1)
	body = binary.BigEndian.AppendUint32(body, uint32(len(arg)))
	body = append(body, arg...)
	return wire.AppendFrame(dst, wire.FunctionCall, body, []byte{0, 0})
}

func empty(dst []byte, typ byte) []byte { return wire.AppendEmpty(dst, typ) }

func zstr(s string) []byte { return append([]byte(s), 0) }

// startupFrame is a startup message; pairs are names and values.
func startupFrame(pairs ...string) []byte {
	body := []byte{0, 3, 0, 0}
	for _, s := range pairs {
		body = append(body, zstr(s)...)
	}
	body = append(body, 0)
	return append(binary.BigEndian.AppendUint32(nil, uint32(4+len(body))), body...)
}

func cancelFrame(pid uint32, key []byte) []byte {
	msg := binary.BigEndian.AppendUint32(nil, uint32(12+len(key)))
	msg = binary.BigEndian.AppendUint32(msg, 80877102)
	msg = binary.BigEndian.AppendUint32(msg, pid)
	return append(msg, key...)
}

// message is a frame of the server. Its body is valid until the next.
type message struct {
	typ  byte
	body []byte
}

// reader reads the server's frames.
type reader struct {
	conn net.Conn
	buf  *bufio.Reader
	body []byte
	n    int // frames
}

func newReader(conn net.Conn) *reader {
	return &reader{conn: conn, buf: bufio.NewReaderSize(conn, 16<<10)}
}

func (r *reader) next(timeout time.Duration) (message, error) {
	if err := r.conn.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return message{}, err
	}
	var head [5]byte
	if _, err := io.ReadFull(r.buf, head[:]); err != nil {
		return message{}, err
	}
	n := int(binary.BigEndian.Uint32(head[1:])) - 4
	if n < 0 || n > 1<<30 {
		return message{}, fmt.Errorf("a frame %q of %d bytes", head[0], n)
	}
	if cap(r.body) < n {
		r.body = make([]byte, n, 2*n)
	}
	r.body = r.body[:n]
	_, err := io.ReadFull(r.buf, r.body)
	r.n++
	return message{head[0], r.body}, err
}

// text is what counts in a message: the first column of a row, the tag, the
// SQLSTATE (behind "FATAL " where it is), the transaction status, the data.
func (m message) text() string {
	switch m.typ {
	case wire.DataRow:
		if len(m.body) < 6 || m.body[2] == 0xff {
			return ""
		}
		return string(m.body[6 : 6+binary.BigEndian.Uint32(m.body[2:])])
	case wire.FunctionCallResponse:
		return string(m.body[min(4, len(m.body)):])
	case wire.CommandComplete:
		return string(bytes.TrimRight(m.body, "\x00"))
	case wire.ErrorResponse:
		if m.field('V') == "FATAL" {
			return "FATAL " + m.field('C')
		}
		return m.field('C')
	case wire.NoticeResponse:
		return m.field('M')
	case wire.ReadyForQuery, wire.CopyData:
		return string(m.body)
	case wire.ParameterStatus:
		return string(bytes.TrimRight(bytes.Replace(m.body, []byte{0}, []byte{'='}, 1), "\x00"))
	case wire.NotificationResponse:
		parts := bytes.Split(m.body[4:], []byte{0})
		return string(parts[1])
	}
	return ""
}

// field is a field of an ErrorResponse or NoticeResponse.
func (m message) field(name byte) string {
	for rest := m.body; len(rest) > 1; {
		v, after, ok := wire.CString(rest[1:])
		if !ok {
			return ""
		}
		if rest[0] == name {
			return string(v)
		}
		rest = after
	}
	return ""
}

func (m message) String() string {
	t := m.text()
	if m.typ == wire.ErrorResponse {
		t += " " + m.field('M')
	}
	if len(t) > 200 {
		t = fmt.Sprintf("%s... (%d bytes)", t[:200], len(t))
	}
	return fmt.Sprintf("%c %q", m.typ, t)
}

// open dials without saying anything.
func open(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr)
}
