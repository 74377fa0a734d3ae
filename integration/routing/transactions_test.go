package routing

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// TestReadOnlyTransactionsRunOnReplicas is about where transactions run, and
// what happens to statements that mean something else on a replica.
func TestReadOnlyTransactionsRunOnReplicas(t *testing.T) {
	c := servers(t, 1, nil)
	p := start(t, c, "trust_hints = true\ncausal_wait = \"1s\"", "")
	p.ready(t)
	ctx := context.Background()
	for _, mode := range []string{"simple_protocol", "cache_statement", "exec"} {
		conn := p.connect(t, "default_query_exec_mode="+mode)
		t.Run(mode+", a read-only transaction", func(t *testing.T) {
			tx := begin(t, conn, pgx.TxOptions{AccessMode: pgx.ReadOnly})
			if one(t, tx, "select 1") != "1" || one(t, tx, "select pg_is_in_recovery()::text") != "true" {
				t.Error("it is not on the replica")
			}
			if err := tx.Commit(ctx); err != nil {
				t.Error(err)
			}
		})
		t.Run(mode+", it moves to the primary", func(t *testing.T) {
			tx := begin(t, conn, pgx.TxOptions{AccessMode: pgx.ReadOnly})
			one(t, tx, "select 1")
			if got := one(t, tx, "select pg_advisory_xact_lock(4711)::text || pg_is_in_recovery()::text"); got != "false" {
				t.Errorf("the lock was taken on a standby: %q", got)
			}
			if got := one(t, tx, "select current_setting('transaction_read_only')"); got != "on" {
				t.Errorf("read-only is %q", got)
			}
			if err := tx.Commit(ctx); err != nil {
				t.Error(err)
			}
		})
		t.Run(mode+", one that cannot move is told so", func(t *testing.T) {
			tx := begin(t, conn, pgx.TxOptions{AccessMode: pgx.ReadOnly, IsoLevel: pgx.RepeatableRead})
			one(t, tx, "select 1")
			_, err := tx.Exec(ctx, "select pg_advisory_xact_lock(4711)")
			var refused *pgconn.PgError
			if !errors.As(err, &refused) || refused.Code != "0A000" || refused.Hint == "" {
				t.Errorf("got %v", err)
			}
			if err := tx.Rollback(ctx); err != nil {
				t.Error(err)
			}
			if one(t, conn, "select 2") != "2" {
				t.Error("the session is of no use any more")
			}
		})
		t.Run(mode+", one that writes", func(t *testing.T) {
			tx := begin(t, conn, pgx.TxOptions{})
			one(t, tx, "select 1")
			if one(t, tx, "select pg_is_in_recovery()::text") != "false" {
				t.Error("it is not on the primary")
			}
			if err := tx.Rollback(ctx); err != nil {
				t.Error(err)
			}
		})
		t.Run(mode+", serializable", func(t *testing.T) {
			tx := begin(t, conn, pgx.TxOptions{AccessMode: pgx.ReadOnly, IsoLevel: pgx.Serializable})
			if one(t, tx, "select pg_is_in_recovery()::text") != "false" {
				t.Error("it is not on the primary")
			}
			if err := tx.Commit(ctx); err != nil {
				t.Error(err)
			}
		})
		t.Run(mode+", an empty one", func(t *testing.T) {
			tx := begin(t, conn, pgx.TxOptions{})
			if err := tx.Commit(ctx); err != nil {
				t.Error(err)
			}
		})
	}
}

type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func begin(t *testing.T, conn *pgx.Conn, o pgx.TxOptions) pgx.Tx {
	t.Helper()
	tx, err := conn.BeginTx(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

// one is the only column of the only row, as text.
func one(t *testing.T, q querier, sql string) string {
	t.Helper()
	var s any
	if err := q.QueryRow(context.Background(), sql).Scan(&s); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return fmt.Sprint(s)
}
