package integration

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// Each client has settings of its own, set in many ways, and finds them in every
// transaction, though all take turns on four server connections.
func TestSettingsFollowTheirClients(t *testing.T) {
	p := open(t, house(t).Config())
	noise(t, p.DSN("tx"), 4)
	var clients sync.WaitGroup
	for i := range 8 {
		conn := connect(t, p.DSN("tx"))
		clients.Go(func() {
			for round := range 25 {
				if err := settingsRound(conn, i, round); err != nil {
					t.Errorf("client %d, round %d: %v", i, round, err)
					return
				}
			}
		})
	}
	clients.Wait()
	if s := pins(t, p); s != "" {
		t.Errorf("settings alone have pinned: %s", s)
	}
}

func settingsRound(conn *pgconn.PgConn, i, round int) error {
	n := 1001 + 2*i + 20*round
	want := map[string]string{
		"work_mem":            fmt.Sprintf("%dkB", n),
		"statement_timeout":   fmt.Sprintf("%dms", 10000+n),
		"application_name":    fmt.Sprintf("it's client %d\\%d", i, round),
		"search_path":         fmt.Sprintf("\"client %d\", public", i),
		"penstock_test.round": fmt.Sprint(round),
		"datestyle":           []string{"ISO, DMY", "German, DMY", "SQL, MDY"}[(i+round)%3],
	}
	for _, sql := range []string{
		fmt.Sprintf("SET work_mem = '%dkB'", n),
		"begin", fmt.Sprintf("SET statement_timeout TO %d", 10000+n), "commit",
		fmt.Sprintf("SET SESSION application_name = 'it''s client %d\\%d'", i, round),
		fmt.Sprintf("/* mine */ SET search_path TO \"client %d\", public;", i),
		fmt.Sprintf("SET penstock_test.round = %d", round),
		fmt.Sprintf("SET datestyle = '%s'", want["datestyle"]),
		"BEGIN", "SET work_mem = '64kB'", "ROLLBACK",
		"BEGIN", "SET LOCAL lock_timeout = 1", "COMMIT",
	} {
		if _, err := try(conn, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	for name, v := range want {
		rows, err := try(conn, "SHOW "+name)
		if err != nil {
			return err
		}
		if rows[0][0] != v {
			return fmt.Errorf("%s is %q, want %q", name, rows[0][0], v)
		}
	}
	return nil
}

// What a tag gives away pins, and the console says why.
func TestOtherStatePinsWithItsReason(t *testing.T) {
	h := house(t)
	p := open(t, h.Config())
	noise(t, p.DSN("tx"), 4)
	for _, c := range []struct {
		sql, look, want, reason string
		twice                   bool // want again
	}{
		{"CREATE TEMP TABLE pins (a int)", "SELECT count(*) FROM pins", "0", "temporary object", true},
		{"SELECT 1 AS a INTO TEMP pins", "SELECT count(*) FROM pins", "1", "temporary object", true},
		{"CREATE TYPE pg_temp.pins AS (a int)", "SELECT (ROW(1)::pg_temp.pins).a", "1", "temporary object", true},
		{"PREPARE pins AS SELECT 7", "EXECUTE pins", "7", "PREPARE", true},
		{"BEGIN; DECLARE pins CURSOR WITH HOLD FOR SELECT 8; COMMIT", "FETCH pins", "8", "cursor WITH HOLD", false},
		{"LISTEN pins", "SELECT pg_listening_channels()", "pins", "LISTEN", true},
		{"SET ROLE reader", "SELECT current_user", "reader", "SET", true},
		{"SET SESSION AUTHORIZATION app", "SELECT session_user", "app", "SET", true},
		{"SET work_mem = '5MB'; SET lock_timeout = 5", "SHOW work_mem", "5MB", "SET", true},
		{"LOAD 'auto_explain'", "SHOW auto_explain.log_min_duration", "-1", "LOAD", true},
	} {
		t.Run(c.sql, func(t *testing.T) {
			conn := connect(t, p.DSN("tx"))
			query(t, conn, c.sql)
			if !strings.Contains(pins(t, p), c.reason) {
				t.Errorf("SHOW PINS does not name %s: %s", c.reason, pins(t, p))
			}
			expect(t, conn, c.look, c.want)
			for range 20 {
				query(t, conn, "SELECT 1")
			}
			if c.twice {
				expect(t, conn, c.look, c.want)
			}
			if err := conn.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			// Whoever comes to that server connection finds nothing of it.
			eventually(t, "the end of the pin", func() bool { return pins(t, p) == "" })
			for range 8 {
				other := connect(t, p.DSN("tx"))
				expect(t, other, "SELECT current_user || session_user", "postgrespostgres")
				expect(t, other, `SELECT (SELECT count(*) FROM pg_prepared_statements WHERE name = 'pins') +
					(SELECT count(*) FROM pg_cursors WHERE name = 'pins') + (SELECT count(*) FROM pg_listening_channels()) +
					(SELECT count(*) FROM pg_class WHERE relname = 'pins' AND relnamespace = pg_my_temp_schema())`, "0")
			}
		})
	}
}

// DISCARD ALL ends a pin.
func TestDiscardAllEndsAPin(t *testing.T) {
	p := open(t, house(t).Config())
	noise(t, p.DSN("tx"), 4)
	conn := connect(t, p.DSN("tx"))
	query(t, conn, "CREATE TEMP TABLE pins (a int)")
	if pins(t, p) == "" {
		t.Error("a temporary table has not pinned")
	}
	query(t, conn, "DISCARD ALL")
	if s := pins(t, p); s != "" {
		t.Errorf("still pinned: %s", s)
	}
}

// pins returns what SHOW PINS says about the database tx.
func pins(t testing.TB, p *Penstock) string {
	t.Helper()
	s := ""
	for _, row := range query(t, console(t, p), "SHOW PINS") {
		s += fmt.Sprintln(row)
	}
	return s
}

// console logs in to the console as its administrator.
func console(t testing.TB, p *Penstock) *pgconn.PgConn {
	t.Helper()
	return connect(t, strings.Replace(p.DSNOf("penstock", "penstock"), "sslmode=disable", "sslmode=prefer", 1))
}
