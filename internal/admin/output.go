package admin

import (
	"fmt"
	"io"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/penstock/penstock/internal/pgerr"
)

// flushSize is how much an answer may grow before it is written.
const flushSize = 16 << 10

// output collects frames for the client. The first error of a write stays and
// makes the rest of the output nothing, so that only flush need be asked.
type output struct {
	w   io.Writer
	buf []byte
	err error
}

func (o *output) send(m pgproto3.BackendMessage) {
	buf, err := m.Encode(o.buf)
	if err != nil {
		o.err = fmt.Errorf("encode %T: %w", m, err)
		return
	}
	o.buf = buf
	o.flushIfLarge()
}

func (o *output) error(e *pgerr.Error) {
	o.buf = e.Append(o.buf)
	o.flushIfLarge()
}

func (o *output) notice(message, detail string) {
	o.buf = pgerr.AppendNotice(o.buf, "00000", message, detail)
	o.flushIfLarge()
}

func (o *output) flushIfLarge() {
	if len(o.buf) >= flushSize {
		_ = o.flush() // the error stays in o
	}
}

// flush writes what has been collected.
func (o *output) flush() error {
	if o.err == nil && len(o.buf) > 0 {
		if _, err := o.w.Write(o.buf); err != nil {
			o.err = fmt.Errorf("client write: %w", err)
		}
	}
	o.buf = o.buf[:0]
	return o.err
}
