package chaos

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/penstock/penstock/internal/pgtest"
)

// shared is the cluster of this test run.
var shared struct {
	once    sync.Once
	cluster *pgtest.Cluster
	err     error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.cluster != nil {
		if err := shared.cluster.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// postgres starts the cluster at the first test that needs it, and returns its
// primary. The role chaos is for the server connections of tests that count or
// kill them.
func postgres(tb testing.TB) *pgtest.Instance {
	tb.Helper()
	shared.once.Do(func() {
		ctx := context.Background()
		shared.cluster, shared.err = pgtest.Start(ctx, pgtest.Options{
			BinDir: os.Getenv("PENSTOCK_TEST_BINDIR"), Replicas: 1,
			Settings: map[string]string{
				"max_connections": "200", "fsync": "off", "synchronous_commit": "off",
				"log_connections": "on", "autovacuum": "off",
			},
		})
		if shared.err == nil {
			shared.err = shared.cluster.Primary.Exec(ctx, "postgres", `
				CREATE ROLE chaos LOGIN SUPERUSER;
				CREATE UNLOGGED TABLE kv (owner text);
				CREATE INDEX ON kv (owner);
				CREATE UNLOGGED TABLE counted (n int)`)
		}
	})
	if shared.err != nil {
		tb.Fatalf("%v; make setup installs PostgreSQL", shared.err)
	}
	return shared.cluster.Primary
}
