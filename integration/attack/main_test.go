package attack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/penstock/penstock/internal/pgtest"
)

// shared is what the tests of this run have in common: a cluster, and the
// program.
var shared struct {
	once    sync.Once
	cluster *pgtest.Cluster
	dir     string
	err     error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.cluster != nil {
		if err := errors.Join(shared.cluster.Stop(), os.RemoveAll(shared.dir)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// prepare builds the program and starts the cluster, at the first test.
func prepare(tb testing.TB) {
	tb.Helper()
	shared.once.Do(func() {
		ctx := context.Background()
		if shared.dir, shared.err = os.MkdirTemp("", "attack"); shared.err != nil {
			return
		}
		build := exec.CommandContext(ctx, "go", "build", "-o", program(), "github.com/penstock/penstock/cmd/penstock")
		if out, err := build.CombinedOutput(); err != nil {
			shared.err = fmt.Errorf("%w: %s", err, out)
			return
		}
		shared.cluster, shared.err = pgtest.Start(ctx, pgtest.Options{
			BinDir: os.Getenv("PENSTOCK_TEST_BINDIR"), TLS: true,
			Settings: map[string]string{"max_connections": "200", "fsync": "off", "autovacuum": "off"},
		})
	})
	if shared.err != nil {
		tb.Fatalf("%v; make setup installs PostgreSQL", shared.err)
	}
}

func program() string { return filepath.Join(shared.dir, "penstock") }

// postgres is the primary of the cluster.
func postgres(tb testing.TB) *pgtest.Instance {
	tb.Helper()
	prepare(tb)
	return shared.cluster.Primary
}
