package admin_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/penstock/penstock/internal/admin"
)

func TestPgxShowsPoolsInEveryMode(t *testing.T) {
	t.Parallel()
	modes := []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
		pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	}
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			conn := connect(t, &pooler{}, guest())
			for range 3 {
				rows, err := conn.Query(t.Context(), "SHOW POOLS", mode)
				if err != nil {
					t.Fatal(err)
				}
				pools, err := pgx.CollectRows(rows, pgx.RowToMap)
				if err != nil {
					t.Fatal(err)
				}
				if len(pools) != 3 || pools[2]["database"] != "shop2" || pools[0]["cl_waiting"] != int32(2) ||
					pools[0]["load_balance_hosts"] != nil || rows.CommandTag().String() != "SHOW" {
					t.Errorf("got %v, tag %s", pools, rows.CommandTag())
				}
			}
			var database string
			var xacts, zero int64
			var line [23]any
			line[0], line[2], line[3] = &database, &xacts, &zero
			if err := conn.QueryRow(t.Context(), "SHOW STATS", mode).Scan(line[:]...); err != nil {
				t.Fatal(err)
			}
			if database != "shop" || xacts != 123456789 || zero != 0 {
				t.Errorf("got %s %d %d", database, xacts, zero)
			}
		})
	}
}

func TestPgxPingsBeginsAndRecovers(t *testing.T) {
	t.Parallel()
	p := &pooler{err: notFound()}
	conn := connect(t, p, boss())
	if err := conn.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = tx.Exec(t.Context(), "PAUSE nowhere")
	if e := (*pgconn.PgError)(nil); !errors.As(err, &e) || e.Code != "42704" {
		t.Errorf("got %v", err)
	}
	var n int
	if err := tx.QueryRow(t.Context(), "SELECT 1").Scan(&n); err != nil || n != 1 {
		t.Errorf("got %d, %v", n, err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := conn.Exec(t.Context(), "PAUSE $1", "shop"); err == nil {
		t.Error("a parameter was accepted")
	}
	if conn.PgConn().ParameterStatus("server_version") != "1.25.2/bouncer" {
		t.Errorf("server_version %q", conn.PgConn().ParameterStatus("server_version"))
	}
}

func TestCancelEndsOnlyTheWaitingCommand(t *testing.T) {
	t.Parallel()
	p := &pooler{waiting: make(chan struct{})}
	ours, theirs := net.Pipe()
	session := p.console().Session(ours, boss())
	session.Cancel() // nothing runs: no effect
	done := make(chan error, 1)
	go func() { done <- session.Run(t.Context()) }()
	go func() { <-p.waiting; session.Cancel() }()

	config, _ := pgconn.ParseConfig("host=console.invalid user=ann sslmode=disable")
	conn, err := pgconn.Construct(&pgconn.HijackedConn{
		Conn: theirs, TxStatus: 'I', Config: config, Frontend: config.BuildFrontend(theirs, theirs),
		ParameterStatuses: map[string]string{},
	})
	if err != nil {
		t.Fatal(err)
	}
	err = conn.Exec(t.Context(), "PAUSE forever").Close()
	if e := (*pgconn.PgError)(nil); !errors.As(err, &e) || e.Code != "57014" {
		t.Errorf("got %v", err)
	}
	if err := conn.Exec(t.Context(), "PAUSE shop").Close(); err != nil || p.called() != "pause(shop)" {
		t.Errorf("after the cancel: %v, called %q", err, p.called())
	}
	_ = theirs.Close()
	if err := <-done; err != nil {
		t.Errorf("run: %v", err)
	}
}

func TestTheEndOfTheContextEndsTheSession(t *testing.T) {
	t.Parallel()
	p := &pooler{}
	ctx, cancel := context.WithCancel(t.Context())
	ours, theirs := net.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- admin.New(p, p, slog.New(slog.DiscardHandler)).Serve(ctx, ours, boss())
	}()
	cancel()
	_ = theirs.Close() // wakes the reader
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("still serving")
	}
}
