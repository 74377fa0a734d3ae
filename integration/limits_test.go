package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/penstock/penstock/internal/pgtest"
)

// A client that waits too long for a server connection is told so, and goes on.
func TestQueryWaitTimeoutLeavesTheSessionUsable(t *testing.T) {
	h := house(t)
	p := open(t, trust+pool(h, "one", "size = 1", `query_wait_timeout = "300ms"`))
	holder, conn := connect(t, p.DSN("one")), connect(t, p.DSN("one"))
	for range 3 {
		query(t, holder, "BEGIN")
		began := time.Now()
		_, err := try(conn, "SELECT 1")
		pe := refusal(t, err, "ERROR", "53300")
		if took := time.Since(began); took < 250*time.Millisecond || took > 2*time.Second {
			t.Errorf("told after %v", took)
		}
		if pe.Hint == "" {
			t.Error("no hint")
		}
		// By the extended protocol, where all up to Sync is skipped.
		refused(t, conn.ExecParams(t.Context(), "SELECT 1", nil, nil, nil, nil).Read().Err, "ERROR", "53300")
		query(t, holder, "COMMIT")
		expect(t, conn, "SELECT 'alive'", "alive")
	}
}

func TestStatementModeRefusesTransactions(t *testing.T) {
	p := open(t, house(t).Config())
	noise(t, p.DSN("stmt"), 4)
	for _, sql := range []string{"BEGIN", "START TRANSACTION", "begin; select 1", "SELECT 1; BEGIN"} {
		t.Run(sql, func(t *testing.T) {
			conn := connect(t, p.DSN("stmt"))
			expect(t, conn, "SELECT 1", "1")
			_, err := try(conn, sql)
			pe := refusal(t, err, "FATAL", "0A000")
			if pe.Hint == "" {
				t.Error("no hint")
			}
			_, err = try(conn, "SELECT 1")
			if err == nil {
				t.Error("the session goes on")
			}
		})
	}
	conn := connect(t, p.DSN("stmt"))
	query(t, conn, "BEGIN; SELECT 1; COMMIT") // is over when it is ready
	expect(t, conn, "SELECT 'alive'", "alive")
}

func TestQueryTimeout(t *testing.T) {
	p := open(t, trust+pool(house(t), "limited", `query_timeout = "500ms"`))
	noise(t, p.DSN("limited"), 4)
	conn := connect(t, p.DSN("limited"))
	for range 3 {
		began := time.Now()
		_, err := try(conn, "SELECT pg_sleep(20)")
		refused(t, err, "ERROR", "57014")
		if took := time.Since(began); took < 450*time.Millisecond || took > 3*time.Second {
			t.Errorf("ended after %v", took)
		}
		expect(t, conn, "SELECT 'alive'", "alive")
	}
}

// Time-outs that end a session: with their SQLSTATE, and without harm to those
// who use the server connection next.
func TestSessionsThatLastTooLongAreEnded(t *testing.T) {
	h := house(t)
	for _, c := range []struct {
		setting, code string
		before        string
	}{
		{"idle_transaction_timeout", "25P03", "BEGIN; CREATE TEMP TABLE left_behind (a int)"},
		{"transaction_timeout", "25P04", "BEGIN; CREATE TEMP TABLE left_behind (a int)"},
		{"client_idle_timeout", "57P05", "SELECT 1"},
	} {
		t.Run(c.setting, func(t *testing.T) {
			p := open(t, trust+pool(h, "limited", c.setting+` = "600ms"`, "size = 2"))
			client := dial(t, p, "limited")
			if err := client.Send(&pgproto3.Query{String: c.before}); err != nil {
				t.Fatal(err)
			}
			receive(t, client)
			began := time.Now()
			m, err := client.Receive(patience)
			if err != nil {
				t.Fatal(err)
			}
			e, is := m.(*pgproto3.ErrorResponse)
			if !is || e.Severity != "FATAL" || e.Code != c.code {
				t.Fatalf("got %+v, want FATAL %s", m, c.code)
			}
			if took := time.Since(began); took < 400*time.Millisecond || took > 3*time.Second {
				t.Errorf("ended after %v", took)
			}
			if _, err := client.Receive(patience); err == nil {
				t.Error("the connection is still open")
			}
			conn := connect(t, p.DSN("limited"))
			expect(t, conn, "SELECT to_regclass('left_behind') IS NULL", "t")
		})
	}
}

// A busy session outlives these limits.
func TestBusySessionsAreNotEnded(t *testing.T) {
	p := open(t, trust+pool(house(t), "limited", `idle_transaction_timeout = "600ms"`, `client_idle_timeout = "600ms"`))
	conn := connect(t, p.DSN("limited"))
	expect(t, conn, "SELECT 'slept' FROM pg_sleep(1.5)", "slept")
	query(t, conn, "BEGIN")
	for range 4 {
		time.Sleep(300 * time.Millisecond)
		query(t, conn, "SELECT 1")
	}
	query(t, conn, "COMMIT")
}

// A server connection that is lost in a statement: an ERROR outside of a
// transaction, FATAL inside; 08007 if nobody knows what became of a COMMIT.
func TestServerConnectionIsLostInAStatement(t *testing.T) {
	h := house(t)
	slowCommit(t, h)
	line, err := pgtest.NewFaulty(t.Context(), h.Cluster.Primary.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(line.Close)
	_, port, _ := strings.Cut(line.Addr(), ":")
	p := open(t, trust+"[databases.line]\nprimary = \"host=127.0.0.1 port="+port+" dbname=postgres\"\n")
	for _, c := range []struct{ name, before, sql, severity, code string }{
		{"outside of a transaction", "SELECT 1", "SELECT pg_sleep(20)", "ERROR", "08006"},
		{"in a transaction", "BEGIN", "SELECT pg_sleep(20)", "FATAL", "08006"},
		{"in its COMMIT", "BEGIN; INSERT INTO slow_commit VALUES (1)", "COMMIT", "FATAL", "08007"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := connect(t, p.DSN("line"))
			query(t, conn, c.before)
			sql := c.sql
			done := start(conn, sql)
			running(t, h, sql)
			line.CutAll()
			refused(t, wait(t, done), c.severity, c.code)
			if c.severity == "ERROR" {
				expect(t, conn, "SELECT 'alive'", "alive")
			}
			expect(t, connect(t, p.DSN("line")), "SELECT 'others'", "others")
			terminate(t, h, "query = $$"+sql+"$$") // it does not know yet that nobody listens
		})
	}
}

// slowCommit makes a table whose changes take long to commit.
func slowCommit(t testing.TB, h *House) {
	t.Helper()
	err := h.Cluster.Primary.Exec(t.Context(), "postgres", `DROP TABLE IF EXISTS slow_commit; CREATE TABLE slow_commit (a int);
		CREATE OR REPLACE FUNCTION slow_commit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(20); RETURN NULL; END';
		CREATE CONSTRAINT TRIGGER slow_commit AFTER INSERT ON slow_commit DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW EXECUTE FUNCTION slow_commit()`)
	if err != nil {
		t.Fatal(err)
	}
}

// A server that says itself why it ends a connection is believed: its words
// reach the client, as without a pooler.
func TestServersLastWordsReachTheClient(t *testing.T) {
	h := house(t)
	p := open(t, h.Config())
	noise(t, p.DSN("tx"), 3)
	for i, before := range []string{"SELECT 1", "BEGIN"} {
		conn := connect(t, p.DSN("tx"))
		query(t, conn, before)
		sql := fmt.Sprintf("SELECT pg_sleep(20) /* last words %d */", i)
		done := start(conn, sql)
		running(t, h, sql)
		terminate(t, h, "query = $$"+sql+"$$")
		refused(t, wait(t, done), "FATAL", "57P01")
		expect(t, connect(t, p.DSN("tx")), "SELECT 'others'", "others")
	}
}

// terminate ends backends of others than the one that does it.
func terminate(t testing.TB, h *House, condition string) {
	t.Helper()
	err := h.Cluster.Primary.Exec(t.Context(), "postgres",
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND "+condition)
	if err != nil {
		t.Fatal(err)
	}
}

// A server connection that has died while it was idle is noticed before a
// client gets it.
func TestDeadIdleConnectionsAreNoticed(t *testing.T) {
	h := house(t)
	p := open(t, trust+pool(h, "dead", "size = 4"))
	for round := range 10 {
		conn := connect(t, p.DSN("dead")+fmt.Sprintf(" application_name='dead %d'", round))
		for range 5 {
			pid := value(t, conn, "SELECT pg_backend_pid()")
			terminate(t, h, "pid = "+pid)
			eventually(t, "the end of the backend", func() bool {
				rows, err := h.Cluster.Primary.Query(t.Context(), "postgres", "SELECT count(*) FROM pg_stat_activity WHERE pid = "+pid)
				return err == nil && rows[0][0] == "0"
			})
			expect(t, conn, "SELECT 'unseen'", "unseen")
		}
	}
}
