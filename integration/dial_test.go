package integration

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/penstock/penstock/internal/pgtest"
)

// patience is how long a test waits for what should come at once.
const patience = 10 * time.Second

// connect logs in; the connection is closed at the end of the test.
func connect(t testing.TB, dsn string) *pgconn.PgConn {
	t.Helper()
	conn, err := tryConnect(t, dsn)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// tryConnect logs in, if it is let in.
func tryConnect(t testing.TB, dsn string) (*pgconn.PgConn, error) {
	t.Helper()
	config, err := pgconn.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return connectWith(t, config)
}

func connectWith(t testing.TB, config *pgconn.Config) (*pgconn.PgConn, error) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		ctx, stop := context.WithTimeout(context.Background(), time.Second)
		defer stop()
		_ = conn.Close(ctx) // the other side may have closed it
	})
	return conn, nil
}

// try runs a simple query and returns the rows of its last statement.
func try(conn *pgconn.PgConn, sql string) ([][]string, error) {
	ctx, stop := context.WithTimeout(context.Background(), 2*patience)
	defer stop()
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil || len(results) == 0 {
		return nil, err
	}
	var rows [][]string
	for _, row := range results[len(results)-1].Rows {
		var texts []string
		for _, value := range row {
			texts = append(texts, string(value))
		}
		rows = append(rows, texts)
	}
	return rows, nil
}

// query is try that must succeed.
func query(t testing.TB, conn *pgconn.PgConn, sql string) [][]string {
	t.Helper()
	rows, err := try(conn, sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return rows
}

// value returns the first column of the first row.
func value(t testing.TB, conn *pgconn.PgConn, sql string) string {
	t.Helper()
	rows := query(t, conn, sql)
	if len(rows) == 0 || len(rows[0]) == 0 {
		t.Fatalf("%s: no rows", sql)
	}
	return rows[0][0]
}

// expect runs a query whose first value must be want.
func expect(t testing.TB, conn *pgconn.PgConn, sql, want string) {
	t.Helper()
	if got := value(t, conn, sql); got != want {
		t.Errorf("%s: got %q, want %q", sql, got, want)
	}
}

// refused checks that an error of the server has a severity and SQLSTATE.
func refused(t testing.TB, err error, severity, code string) {
	t.Helper()
	_ = refusal(t, err, severity, code)
}

// refusal is refused for who wants to see more of it.
func refusal(t testing.TB, err error, severity, code string) *pgconn.PgError {
	t.Helper()
	pe, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		t.Fatalf("got %v, want %s %s", err, severity, code)
	}
	if pe.Severity != severity || pe.Code != code {
		t.Errorf("got %s %s %q, want %s %s", pe.Severity, pe.Code, pe.Message, severity, code)
	}
	return pe
}

// told returns severity, SQLSTATE and message of an error, for comparisons.
func told(err error) string {
	var pe *pgconn.PgError
	switch {
	case err == nil:
		return "no error"
	case errors.As(err, &pe):
		return pe.Severity + " " + pe.Code + " " + pe.Message
	}
	return err.Error()
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// pool is TOML for one more database in transaction mode, with lines of its own.
func pool(h *House, name string, lines ...string) string {
	return "[databases." + name + "]\nprimary = \"" + h.Primary() + "\"\n[databases." + name + ".pool]\n" + strings.Join(lines, "\n") + "\n"
}

// trust is the login for tests that are not about login.
const trust = "[auth]\nmethod = \"trust\"\n"

// ask runs a simple query of one value on a connection of the test kit.
func ask(t testing.TB, c *pgtest.Client, sql string) string {
	t.Helper()
	if err := c.Send(&pgproto3.Query{String: sql}); err != nil {
		t.Fatal(err)
	}
	got := ""
	for {
		m, err := c.Receive(patience)
		if err != nil {
			t.Fatal(err)
		}
		switch m := m.(type) {
		case *pgproto3.DataRow:
			got = string(m.Values[0])
		case *pgproto3.ErrorResponse:
			got = m.Severity + " " + m.Code + " " + m.Message
		case *pgproto3.ReadyForQuery:
			return got
		}
	}
}
