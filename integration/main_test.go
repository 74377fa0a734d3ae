package integration

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/penstock/penstock/internal/pgtest"
)

var _ = flag.Bool("rewrite", false, "record the answers of the transcripts anew")

// one is the cluster of this test run.
var one struct {
	sync.Once
	house *House
	err   error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if one.house != nil {
		if err := one.house.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// house starts the cluster at the first test that needs it.
func house(t testing.TB) *House {
	t.Helper()
	one.Do(func() { one.house, one.err = Start(context.Background(), pgtest.Options{TLS: true, Replicas: 1}) })
	if one.err != nil {
		t.Fatalf("%v; make setup installs PostgreSQL", one.err)
	}
	return one.house
}

// open starts a Penstock for one test. Its log is shown if the test fails.
func open(t testing.TB, text string) *Penstock {
	t.Helper()
	p, err := Open(text)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Close()
		if t.Failed() {
			t.Logf("Penstock's log, but for logins and the like:\n%s", worthReading(p.Log()))
		}
	})
	return p
}

// noise keeps others busy on the pool of a DSN for the rest of the test.
func noise(t testing.TB, dsn string, n int) {
	t.Helper()
	running := StartNoise(context.WithoutCancel(t.Context()), dsn, n)
	t.Cleanup(func() {
		rounds, err := running.Stop()
		if err != nil {
			t.Errorf("the other clients found, in %d rounds: %v", rounds, err)
		}
		if rounds == 0 && !t.Failed() {
			t.Error("the other clients did nothing")
		}
	})
}

// worthReading returns the last lines of a log that are not about every day.
func worthReading(log string) string {
	var lines []string
	for line := range strings.Lines(log) {
		if !strings.Contains(line, "level=DEBUG") && !strings.Contains(line, "login refused") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-40):], "")
}
