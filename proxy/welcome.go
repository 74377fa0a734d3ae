package proxy

import (
	"encoding/binary"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/penstock/penstock/internal/pgerr"
	"github.com/penstock/penstock/internal/wire"
	"github.com/penstock/penstock/pool"
)

// welcomes remembers what servers answer to startup parameters: PostgreSQL
// checks and spells them ("ISO" becomes "ISO, MDY"), so it is asked, once for
// each set of parameters and pool.
type welcomes struct {
	// mu guards the maps.
	mu    sync.Mutex
	asked map[welcomeKey]welcomed // by parameters without a plain application_name
	known map[welcomeKey]welcomed // by all parameters
}

type welcomeKey struct {
	pool   *pool.Pool
	params string
}

// welcomed is what a session begins with: the settings that servers report,
// those asked for that they do not, and all that were asked for as written.
type welcomed struct{ vars, extra, start pool.Settings }

// maxWelcomes bounds the memory; when it is full, it is begun anew.
const maxWelcomes = 4096

func newWelcomes() *welcomes {
	return &welcomes{asked: map[welcomeKey]welcomed{}, known: map[welcomeKey]welcomed{}}
}

func (w *welcomes) clear() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.asked)
	clear(w.known)
}

func (w *welcomes) get(m map[welcomeKey]welcomed, k welcomeKey) (welcomed, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	v, ok := m[k]
	return v, ok
}

func (w *welcomes) put(m map[welcomeKey]welcomed, k welcomeKey, v welcomed) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(m) >= maxWelcomes {
		clear(m)
	}
	m[k] = v
}

// of returns what a session with these startup parameters begins with. It
// waits for a server connection where the answer is not known yet.
func (w *welcomes) of(p *pool.Pool, params []wire.Param) (welcomed, error) {
	all := welcomeKey{p, joinParams(params)}
	if k, ok := w.get(w.known, all); ok {
		return k, nil
	}
	name := ""
	var start, asked pool.Settings
	for _, param := range params {
		start = start.With(strings.ToLower(param.Name), param.Value)
		if strings.EqualFold(param.Name, "application_name") && plainName(param.Value) {
			name = param.Value // every name is its own spelling
			continue
		}
		asked = asked.With(strings.ToLower(param.Name), param.Value)
	}
	key := welcomeKey{p, joinSettings(asked)}
	k, ok := w.get(w.asked, key)
	if !ok {
		var err error
		if k, err = inquire(p, asked); err != nil {
			return k, err
		}
		w.put(w.asked, key, k)
	}
	if _, ok := asked.Get("application_name"); !ok {
		k.vars = k.vars.With("application_name", name)
	}
	k.start = start
	w.put(w.known, all, k)
	return k, nil
}

func joinParams(params []wire.Param) string {
	var b strings.Builder
	for _, p := range params {
		b.WriteString(p.Name)
		b.WriteByte(0)
		b.WriteString(p.Value)
		b.WriteByte(0)
	}
	return b.String()
}

func joinSettings(s pool.Settings) string {
	var params []wire.Param
	for name, value := range s.All {
		params = append(params, wire.Param{Name: name, Value: value})
	}
	return joinParams(params)
}

func plainName(v string) bool {
	for i := range len(v) {
		if v[i] < 0x20 || v[i] > 0x7e {
			return false
		}
	}
	return len(v) < 64
}

// inquiry is a sink that runs one query of ours.
type inquiry struct {
	waiter pool.Waiter
	done   chan error
	rows   [][]string
	failed error
}

// inquire applies startup parameters on a server connection and returns what
// holds then.
func inquire(p *pool.Pool, asked pool.Settings) (welcomed, error) {
	q := &inquiry{done: make(chan error, 1)}
	q.waiter.Init(q)
	c, err := p.Acquire(&q.waiter)
	if err != nil {
		return welcomed{}, err
	}
	l := linkOf(c)
	sql := inquirySQL(c, asked)
	l.unnamed = slot{}
	if _, err := c.Write(wire.AppendString(nil, wire.Query, sql)); err != nil {
		c.Destroy(err)
		return welcomed{}, err
	}
	if err := <-q.done; err != nil {
		return welcomed{}, err
	}
	if q.failed != nil {
		c.Release()
		return welcomed{}, q.failed
	}
	var k welcomed
	k.vars = c.Vars
	i := 0
	for name := range asked.All {
		if _, reported := c.Vars.Get(name); !reported && len(q.rows) > 0 && i < len(q.rows[0]) {
			k.extra = k.extra.With(name, q.rows[0][i])
		}
		i++
	}
	c.Extra = k.extra
	c.Release()
	return k, nil
}

// inquirySQL returns the query that applies the parameters, on a connection
// that may have other settings still.
func inquirySQL(c *pool.Conn, asked pool.Settings) string {
	var b strings.Builder
	// Back to what a login gives, so that the answer is a new session's.
	b.WriteString("RESET ALL")
	for name := range c.Extra.All {
		b.WriteString(";RESET " + quoteName(name)) // RESET ALL spares the role
	}
	b.WriteString(";SELECT 1")
	sep := ";SELECT "
	for name, value := range asked.All {
		b.WriteString(sep + setConfig(name, value))
		sep = ","
	}
	return b.String()
}

// Receive gathers the answer.
func (q *inquiry) Receive(c *pool.Conn, b *pool.Buffer) error {
	for {
		h, ok := wire.ParseHeader(b.Bytes())
		if !ok || b.Len() < h.Total() {
			return nil
		}
		if err := h.CheckBackend(); err != nil {
			return err
		}
		body := b.Bytes()[wire.HeaderSize:h.Total()]
		switch h.Type {
		case wire.ParameterStatus:
			c.Reported(body)
		case wire.RowDescription:
			q.rows = nil
		case wire.DataRow:
			q.rows = append(q.rows, columns(body))
		case wire.ErrorResponse:
			q.failed = serverError(body)
		case wire.ReadyForQuery:
			b.Consume(h.Total())
			q.done <- nil
			return nil
		}
		b.Consume(h.Total())
	}
}

// Lost ends the inquiry.
func (q *inquiry) Lost(_ *pool.Conn, err error) {
	if q.failed != nil {
		err = q.failed
	}
	q.done <- err
}

// serverError makes an error of the server one of ours, word for word.
func serverError(body []byte) error {
	f := errorFields(body)
	return pgerr.From(&pgconn.PgError{Severity: "FATAL", Code: f.code, Message: f.message})
}

// columns are the texts of a DataRow's columns.
func columns(body []byte) []string {
	if len(body) < 2 {
		return nil
	}
	n := int(binary.BigEndian.Uint16(body))
	body = body[2:]
	var list []string
	for range n {
		if len(body) < 4 {
			break
		}
		size := int(int32(binary.BigEndian.Uint32(body)))
		body = body[4:]
		if size < 0 {
			list = append(list, "")
			continue
		}
		if size > len(body) {
			break
		}
		list = append(list, string(body[:size]))
		body = body[size:]
	}
	return list
}
