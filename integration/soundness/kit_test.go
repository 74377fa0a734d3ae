package soundness

import (
	"context"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/penstock/penstock/internal/catalog"
	"github.com/penstock/penstock/internal/pgtest"
)

// world is a primary, a standby that has replayed all of it, and what the
// catalogs of its two databases say: app has nothing but harmless objects,
// postgres has hazards too. Nobody writes there while safe statements are judged.
type world struct {
	cluster   *pgtest.Cluster
	snapshots map[string]*catalog.Snapshot // by database
}

func makeWorld(t testing.TB) *world {
	t.Helper()
	c := pgtest.StartT(t, pgtest.Options{
		BinDir: os.Getenv("PENSTOCK_TEST_BINDIR"), Replicas: 1,
		Settings: map[string]string{
			"autovacuum": "off", "fsync": "off", "synchronous_commit": "off", "checkpoint_timeout": "1h",
			"max_standby_streaming_delay": "-1", "jit": "off", "max_parallel_workers_per_gather": "0",
			"log_min_messages": "fatal", "log_min_error_statement": "panic",
		},
	})
	run := func(database string, texts ...string) {
		for _, text := range texts {
			if strings.HasPrefix(text, "testdata/") {
				content, err := os.ReadFile(text)
				if err != nil {
					t.Fatal(err)
				}
				text = string(content)
			}
			if err := c.Primary.Exec(t.Context(), database, text); err != nil {
				t.Fatal(err)
			}
		}
	}
	run("postgres", "CREATE ROLE app LOGIN", "CREATE DATABASE app")
	run("app", "CREATE SCHEMA evil", "testdata/plain.sql")
	run("postgres", "CREATE SCHEMA evil", "testdata/plain.sql", "testdata/hazards.sql")
	if c.Version >= 14 {
		run("postgres", "testdata/hazards14.sql")
	}
	if err := c.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := &world{cluster: c, snapshots: map[string]*catalog.Snapshot{}}
	for _, database := range []string{"app", "postgres"} {
		s, err := catalog.Load(t.Context(), w.connect(t, c.Primary, database, "postgres"))
		if err != nil {
			t.Fatal(err)
		}
		w.snapshots[database] = s
	}
	return w
}

// connect opens a connection that gives up on a statement soon. For the user app
// a schema with functions and views of well-known names comes first.
func (w *world) connect(t testing.TB, i *pgtest.Instance, database, user string) *pgconn.PgConn {
	t.Helper()
	config, err := pgconn.ParseConfig(i.DSN(database))
	if err != nil {
		t.Fatal(err)
	}
	config.User = user
	config.RuntimeParams["statement_timeout"] = "300"
	config.RuntimeParams["client_min_messages"] = "error"
	config.RuntimeParams["TimeZone"] = "UTC"
	if user == "app" {
		config.RuntimeParams["search_path"] = "evil, public"
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
