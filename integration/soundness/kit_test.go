package soundness

import (
	"context"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/penstock/penstock/internal/catalog"
	"github.com/penstock/penstock/internal/pgtest"
)

// world is a primary, a standby that has replayed all of it, and what the
// catalog says. Nobody writes there while safe statements are judged.
type world struct {
	cluster  *pgtest.Cluster
	snapshot *catalog.Snapshot
}

func makeWorld(t testing.TB) *world {
	t.Helper()
	c := pgtest.StartT(t, pgtest.Options{
		BinDir: os.Getenv("PENSTOCK_TEST_BINDIR"), Replicas: 1,
		Settings: map[string]string{
			"autovacuum": "off", "fsync": "off", "synchronous_commit": "off", "hot_standby_feedback": "off",
			"max_standby_streaming_delay": "-1", "jit": "off", "log_min_messages": "fatal", "max_parallel_workers_per_gather": "0",
			"checkpoint_timeout": "1h", "log_min_error_statement": "panic",
		},
	})
	files := []string{"testdata/schema.sql"}
	if c.Version >= 14 {
		files = append(files, "testdata/schema14.sql")
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Primary.Exec(t.Context(), "postgres", string(text)); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	if err := c.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := &world{cluster: c}
	conn := w.connect(t, c.Primary, "postgres", nil)
	s, err := catalog.Load(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	w.snapshot = s
	return w
}

// connect opens a connection that gives up on a statement soon.
func (w *world) connect(t testing.TB, i *pgtest.Instance, user string, notified func()) *pgconn.PgConn {
	t.Helper()
	config, err := pgconn.ParseConfig(i.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	config.User = user
	for name, value := range map[string]string{
		"statement_timeout": "400", "TimeZone": "UTC", "work_mem": "16MB", "temp_file_limit": "-1",
		"client_min_messages": "error", "enable_material": "on",
	} {
		if name != "temp_file_limit" {
			config.RuntimeParams[name] = value
		}
	}
	if notified != nil {
		config.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) { notified() }
	}
	conn, err := pgconn.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// value returns the first column of the first row.
func value(t testing.TB, conn *pgconn.PgConn, sql string) string {
	t.Helper()
	results, err := conn.Exec(t.Context(), sql).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	last := results[len(results)-1]
	if len(last.Rows) == 0 {
		return ""
	}
	return string(last.Rows[0][0])
}

// soak is the factor by which PENSTOCK_SOAK makes the test longer than usual,
// which takes about the given time.
func soak(tb testing.TB, usual time.Duration) float64 {
	tb.Helper()
	s := os.Getenv("PENSTOCK_SOAK")
	if s == "" {
		return 1
	}
	if d, err := time.ParseDuration(s); err == nil {
		return max(1, float64(d)/float64(usual))
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil {
		tb.Fatalf("PENSTOCK_SOAK=%q is neither a duration nor a factor", s)
	}
	return max(1, n)
}

// seed is the one that makes the statements.
func seed(tb testing.TB) uint64 {
	tb.Helper()
	n := uint64(20261123)
	if s := os.Getenv("PENSTOCK_SOUNDNESS_SEED"); s != "" {
		given, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			tb.Fatal(err)
		}
		n = given
	}
	tb.Logf("seed %d", n)
	return n
}
