package admin_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/penstock/penstock/internal/admin"
	"github.com/penstock/penstock/internal/pgerr"
	"github.com/penstock/penstock/internal/stats"
)

// pooler is a Source of a few rows and a Controller that writes down what it
// was told.
type pooler struct {
	mu      sync.Mutex
	calls   []string
	report  string // of Reload
	err     error  // of every command
	waiting chan struct{}
}

func (p *pooler) Table(name string) (stats.Table, error) {
	var t stats.Table
	switch name {
	case "pools":
		for i := range 3 {
			t.Append(fmt.Sprintf("shop%d", i), "app", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, int64(13), "transaction", nil)
		}
	case "stats":
		t.Rows = append(t.Rows, admin.StatsRow("shop", stats.Totals{Xacts: 123456789}, stats.Totals{}))
	case "totals":
		t.Rows = admin.TotalsRows(stats.Totals{Xacts: 2}, stats.Totals{Xacts: 1})
	case "pins":
		t.Append(int64(7), "shop", "app", "10.0.0.1", "LISTEN", "2026-11-22 12:00:00 UTC", 4711)
	case "hosts":
		t.Append("shop", "10.0.0.1:5432", "primary", true, false, 1, int64(3), "0/16B3748", nil, nil, 2, int64(150), "none", "serving")
		t.Append("shop", "10.0.0.2:5432", "replica", true, true, 2, int64(3), "0/16B3700", int64(1500), int64(72), 0, int64(90), "none", "serving")
	case "routes":
		t.Append("shop", "safe-read", int64(0), int64(1<<40))
		t.Append("shop", "write", int64(5), int64(0))
	case "config":
		return t, errors.New("secret path /etc/penstock") // a bug of ours, not for clients
	case "users":
		t.Append("a row that is too short")
	}
	return t, nil
}

func (p *pooler) ExplainRoute(db, text string) (stats.Table, error) {
	if db == "nowhere" {
		return stats.Table{}, notFound()
	}
	var t stats.Table
	t.Append("replica", "safe-read", nil, nil, "00000000000000ff", db+"<"+text+">")
	return t, nil
}

func (p *pooler) call(format string, args ...any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, fmt.Sprintf(format, args...))
	return p.err
}

func (p *pooler) called() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.calls, ", ")
}

// Pause waits for the end of ctx if the database is called forever.
func (p *pooler) Pause(ctx context.Context, db string) error {
	if db == "forever" {
		close(p.waiting)
		<-ctx.Done()
		return ctx.Err()
	}
	return p.call("pause(%s)", db)
}
func (p *pooler) Resume(db string) error        { return p.call("resume(%s)", db) }
func (p *pooler) Kill(db string) error          { return p.call("kill(%s)", db) }
func (p *pooler) KillClient(id int64) error     { return p.call("kill_client(%d)", id) }
func (p *pooler) Disable(db string) error       { return p.call("disable(%s)", db) }
func (p *pooler) Enable(db string) error        { return p.call("enable(%s)", db) }
func (p *pooler) Reconnect(db string) error     { return p.call("reconnect(%s)", db) }
func (p *pooler) Suspend(context.Context) error { return p.call("suspend") }
func (p *pooler) Set(key, value string) error   { return p.call("set(%s,%s)", key, value) }
func (p *pooler) Shutdown(m admin.ShutdownMode) error {
	return p.call("shutdown(%s)", m)
}

func (p *pooler) WaitClose(_ context.Context, db string) error {
	return p.call("wait_close(%s)", db)
}

func (p *pooler) SwitchOver(_ context.Context, db string) error {
	return p.call("switchover(%s)", db)
}

func (p *pooler) Reload(context.Context) (string, error) {
	return p.report, p.call("reload")
}

func (p *pooler) console() *admin.Console {
	return admin.New(p, p, slog.New(slog.DiscardHandler))
}

var (
	_ admin.Source     = (*pooler)(nil)
	_ admin.Controller = (*pooler)(nil)
)

// stream is a client that has sent everything it ever sends.
type stream struct {
	io.Reader
	io.Writer
}

// talk sends messages to the console and returns its answers, one line each.
func talk(t *testing.T, console *admin.Console, id admin.Identity, messages ...pgproto3.FrontendMessage) []string {
	t.Helper()
	var in []byte
	for _, m := range messages {
		var err error
		if in, err = m.Encode(in); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := console.Serve(t.Context(), stream{bytes.NewReader(in), &out}, id); err != nil {
		t.Errorf("serve: %v", err)
	}
	return answers(t, &out)
}

// query asks one simple query and returns the answers without ReadyForQuery.
func query(t *testing.T, p *pooler, id admin.Identity, sql string) []string {
	t.Helper()
	got := talk(t, p.console(), id, &pgproto3.Query{String: sql})
	if len(got) == 0 || got[len(got)-1] != "ReadyForQuery I" {
		t.Fatalf("%s: the session did not stay usable: %q", sql, got)
	}
	return got[:len(got)-1]
}

func answers(t *testing.T, r io.Reader) []string {
	t.Helper()
	frontend := pgproto3.NewFrontend(r, io.Discard)
	var lines []string
	for {
		m, err := frontend.Receive()
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return lines
		}
		if err != nil {
			t.Fatalf("not a message of a server: %v", err)
		}
		lines = append(lines, line(m))
	}
}

func line(m pgproto3.BackendMessage) string {
	switch m := m.(type) {
	case *pgproto3.RowDescription:
		var fields []string
		for _, f := range m.Fields {
			fields = append(fields, fmt.Sprintf("%s:%d:%d", f.Name, f.DataTypeOID, f.Format))
		}
		return "RowDescription " + strings.Join(fields, " ")
	case *pgproto3.DataRow:
		var values []string
		for _, v := range m.Values {
			if v == nil {
				values = append(values, "NULL")
				continue
			}
			values = append(values, string(v))
		}
		return "DataRow " + strings.Join(values, "|")
	case *pgproto3.CommandComplete:
		return "CommandComplete " + string(m.CommandTag)
	case *pgproto3.ReadyForQuery:
		return "ReadyForQuery " + string(m.TxStatus)
	case *pgproto3.ErrorResponse:
		return m.Severity + " " + m.Code + " " + m.Message
	case *pgproto3.NoticeResponse:
		return m.Severity + " " + m.Code + " " + m.Message + m.Detail
	}
	return strings.TrimPrefix(fmt.Sprintf("%T", m), "*pgproto3.")
}

// connect logs pgx in to a console over a net.Pipe.
func connect(t *testing.T, p *pooler, id admin.Identity) *pgx.Conn {
	t.Helper()
	config, err := pgx.ParseConfig("host=console.invalid user=ann dbname=penstock sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := net.Pipe()
	config.LookupFunc = func(context.Context, string) ([]string, error) { return []string{"127.0.0.1"}, nil }
	config.DialFunc = func(context.Context, string, string) (net.Conn, error) { return theirs, nil }
	done := make(chan error, 1)
	go func() {
		err := serve(t.Context(), p.console(), ours, id)
		_ = ours.Close()
		done <- err
	}()
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close(context.Background())
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("serve: %v", err)
		}
	})
	return conn
}

// serve does what the proxy does: login, then the console.
func serve(ctx context.Context, console *admin.Console, conn net.Conn, id admin.Identity) error {
	backend := pgproto3.NewBackend(conn, conn)
	if _, err := backend.ReceiveStartupMessage(); err != nil {
		return err
	}
	greeting, _ := (&pgproto3.AuthenticationOk{}).Encode(nil)
	greeting = console.AppendGreeting(greeting)
	greeting, _ = (&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{0, 0, 0, 2}}).Encode(greeting)
	greeting, _ = (&pgproto3.ReadyForQuery{TxStatus: 'I'}).Encode(greeting)
	if _, err := conn.Write(greeting); err != nil {
		return err
	}
	return console.Serve(ctx, conn, id)
}

func boss() admin.Identity  { return admin.Identity{User: "ann", Database: "penstock", Admin: true} }
func guest() admin.Identity { return admin.Identity{User: "bob"} }

func equal(t *testing.T, name string, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s:\n got  %s\n want %s", name, strings.Join(got, "\n      "), strings.Join(want, "\n      "))
	}
}

func notFound() error { return pgerr.UnknownObject("database", "nowhere") }
