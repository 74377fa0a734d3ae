package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/penstock/penstock/internal/pgerr"
)

// maxBody is the longest frame the console reads. Its statements are short.
const maxBody = 64 << 10

// Session is one client at the console.
type Session struct {
	// Immutable after Console.Session.
	console *Console
	id      Identity

	// Owned by Run.
	input         *input
	frames        *pgproto3.Backend // reads only
	out           output
	inTransaction bool
	skipping      bool // after an error in the extended protocol, until Sync
	statements    map[string]*prepared
	portals       map[string]*portal

	// Guarded by mu. Nothing else happens under it.
	mu     sync.Mutex
	cancel context.CancelFunc // of the running command, nil between commands
}

// Session makes a session that Run serves. It is for callers that pass cancel
// requests on; Serve is enough for the others.
func (c *Console) Session(rw io.ReadWriter, id Identity) *Session {
	in := &input{r: rw}
	frames := pgproto3.NewBackend(in, io.Discard)
	frames.SetMaxBodyLen(maxBody)
	return &Session{
		console: c, id: id,
		input: in, frames: frames, out: output{w: rw},
		statements: make(map[string]*prepared), portals: make(map[string]*portal),
	}
}

// Cancel cancels the command that is running, if any: a waiting PAUSE or
// WAIT_CLOSE ends with 57014. Any goroutine may call it.
func (s *Session) Cancel() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cancel != nil {
		s.cancel()
	}
}

// errTerminate is what Terminate ends the loop with.
var errTerminate = errors.New("terminated by the client")

// Run answers the client as Console.Serve describes. It may be called once.
func (s *Session) Run(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		m, err := s.frames.Receive()
		if err != nil {
			return s.broken(ctx, err)
		}
		err = s.handle(ctx, m)
		if errors.Is(err, errTerminate) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// broken ends a session that cannot be read any more. A client that went away
// is no error, a frame that is none is told to the client.
func (s *Session) broken(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(s.input.err, io.EOF):
		return nil
	case s.input.err != nil:
		return fmt.Errorf("client read: %w", s.input.err)
	}
	e := pgerr.InvalidMessageFormat()
	if large := (*pgproto3.ExceededMaxBodyLenErr)(nil); errors.As(err, &large) {
		e = pgerr.FrameTooLarge(int64(large.ActualBodyLen), maxBody, "")
	}
	return s.fatal(e.With(err))
}

// fatal says goodbye with an error.
func (s *Session) fatal(e *pgerr.Error) error {
	s.out.error(e)
	if err := s.out.flush(); err != nil {
		return err
	}
	return e
}

// handle answers one message. Manual, Message Flow, Extended Query: after an
// error, discard until Sync.
func (s *Session) handle(ctx context.Context, m pgproto3.FrontendMessage) error {
	switch m.(type) {
	case *pgproto3.Terminate:
		return errTerminate
	case *pgproto3.Sync:
		return s.sync()
	}
	if s.skipping {
		return nil
	}
	switch m := m.(type) {
	case *pgproto3.Query:
		return s.simple(ctx, m.String)
	case *pgproto3.FunctionCall:
		s.fail(pgerr.NotSupported("a function call in the console"))
		return s.ready()
	case *pgproto3.Flush:
		return s.out.flush()
	case *pgproto3.CopyData, *pgproto3.CopyDone, *pgproto3.CopyFail:
		return nil // PostgreSQL ignores what a client sends after a refused COPY
	}
	return s.extended(ctx, m)
}

// simple answers a simple query: every statement of it, or as far as the first
// error.
func (s *Session) simple(ctx context.Context, sql string) error {
	delete(s.statements, "")
	delete(s.portals, "")
	statements, err := s.console.dictionary.parse(sql)
	switch {
	case err != nil:
		s.fail(err)
	case len(statements) == 0:
		s.out.send(&pgproto3.EmptyQueryResponse{})
	}
	for _, st := range statements {
		if err := s.runSimple(ctx, st); err != nil {
			s.fail(err)
			break
		}
	}
	return s.ready()
}

func (s *Session) runSimple(ctx context.Context, st *statement) error {
	r, err := s.run(ctx, st)
	if err != nil {
		return err
	}
	if st.args.columns != nil {
		s.out.send(rowDescription(st.args.columns, nil))
	}
	for _, row := range r.rows {
		if err := s.sendRow(st, nil, row); err != nil {
			return err
		}
	}
	s.out.send(&pgproto3.CommandComplete{CommandTag: []byte(r.tag)})
	return nil
}

func (s *Session) sendRow(st *statement, formats []int16, row []any) error {
	m, err := dataRow(st.args.columns, formats, row)
	if err != nil {
		return fmt.Errorf("%s: %w", st.command.usage(), err)
	}
	s.out.send(m)
	return nil
}

// run runs a statement, if the user may. Every way to a command leads here.
func (s *Session) run(ctx context.Context, st *statement) (result, error) {
	if err := s.allow(st); err != nil {
		return result{}, err
	}
	if err := ctx.Err(); err != nil {
		return result{}, err
	}
	if st.command.access == adminsOnly { // it may wait: send what was answered so far
		if err := s.out.flush(); err != nil {
			return result{}, err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.setCancel(cancel)
	defer s.setCancel(nil)
	r, err := st.command.run(ctx, s, st.args)
	if r.tag == "" {
		r.tag = st.command.name
	}
	if st.command.access == adminsOnly {
		s.log(st, err)
	}
	return r, err
}

func (s *Session) setCancel(cancel context.CancelFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancel = cancel
}

// allow refuses what is not open to everyone, unless the user is an
// administrator.
func (s *Session) allow(st *statement) error {
	if s.id.Admin {
		return nil
	}
	if st.command.access != everyone {
		return pgerr.Denied(st.command.name)
	}
	if t := st.args.table; t != nil && t.access != everyone {
		return pgerr.Denied(st.command.name + " " + t.name)
	}
	return nil
}

// log records who commanded what.
func (s *Session) log(st *statement, err error) {
	attributes := []any{"user", pgerr.Name(s.id.User), "command", st.String()}
	if err != nil {
		s.console.log.Warn("console command failed", append(attributes, "error", err)...)
		return
	}
	s.console.log.Info("console command", attributes...)
}

// fail tells the client an error. The session goes on, so it is never FATAL.
func (s *Session) fail(err error) {
	e := *pgerr.From(err)
	e.Severity = pgerr.SeverityError
	if id := e.ID(); id != "" {
		s.console.log.Error("internal error", "id", id, "error", err)
	}
	s.out.error(&e)
}

// isForClients reports whether err was made for clients to read.
func isForClients(err error) bool {
	e := (*pgerr.Error)(nil)
	return errors.As(err, &e)
}

// ready ends a cycle of messages.
func (s *Session) ready() error {
	status := byte('I')
	if s.inTransaction {
		status = 'T'
	}
	s.out.send(&pgproto3.ReadyForQuery{TxStatus: status})
	return s.out.flush()
}

// database is the name the client connected to.
func (id Identity) database() string {
	if id.Database == "" {
		return "pgbouncer"
	}
	return id.Database
}

// input remembers why reading stopped, to tell a lost client from a bad frame.
type input struct {
	r   io.Reader
	err error
}

func (in *input) Read(p []byte) (int, error) {
	n, err := in.r.Read(p)
	if err != nil {
		in.err = err
	}
	return n, err
}
