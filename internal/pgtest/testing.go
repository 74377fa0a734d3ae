package pgtest

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// StartT starts a cluster for one test and stops it at the end of the test.
// Without PostgreSQL the test fails: a test that is skipped where it matters is
// worse than none. Tests that fail get the tail of each server's log.
func StartT(tb testing.TB, o Options) *Cluster {
	tb.Helper()
	// Not tb.Context(): that ends before the test's own cleanups run.
	c, err := Start(context.WithoutCancel(tb.Context()), o)
	if errors.Is(err, ErrNoPostgres) {
		tb.Fatalf("%v; make setup installs PostgreSQL", err)
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			for _, i := range c.instances() {
				tb.Logf("log of %s ends with\n%s", i.Name, lastLines(i.Log(), 20))
			}
		}
		if err := c.Stop(); err != nil {
			tb.Errorf("stop PostgreSQL cluster: %v", err)
		}
	})
	return c
}

// RunDir plays each *.pgt file of dir against oracle, a PostgreSQL, whose
// answers must be the recorded ones, and then against each of the others, who
// must answer the same.
//
// With the flag -rewrite the recorded answers are replaced by the oracle's. The
// test package declares it, so that no other program has it:
//
//	var _ = flag.Bool("rewrite", false, "record the answers of the transcripts anew")
func RunDir(t *testing.T, dir string, oracle Target, others map[string]Target) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.pgt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no *.pgt files in %s: %v", dir, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".pgt"), func(t *testing.T) {
			transcript := parseFile(t, file)
			if !t.Run("oracle", func(t *testing.T) { runOracle(t, file, oracle, transcript) }) {
				return
			}
			transcript = parseFile(t, file) // runOracle may have rewritten it
			for _, name := range slices.Sorted(maps.Keys(others)) {
				t.Run(name, func(t *testing.T) { runTranscript(t, others[name], transcript) })
			}
		})
	}
}

func parseFile(t *testing.T, file string) Transcript {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	transcript, err := Parse(filepath.Base(file), data)
	if err != nil {
		t.Fatal(err)
	}
	return transcript
}

// runOracle compares with the recorded answers or replaces them.
func runOracle(t *testing.T, file string, oracle Target, transcript Transcript) {
	t.Helper()
	if f := flag.Lookup("rewrite"); f == nil || f.Value.String() != "true" {
		runTranscript(t, oracle, transcript)
		return
	}
	got, err := Run(t.Context(), oracle, transcript)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(got, transcript.Recorded()) {
		return
	}
	if err := os.WriteFile(file, got, 0o644); err != nil {
		t.Fatal(err)
	}
}

func runTranscript(t *testing.T, target Target, transcript Transcript) {
	t.Helper()
	got, err := Run(t.Context(), target, transcript)
	if err != nil {
		t.Error(err)
	}
	if d := diff(string(transcript.Recorded()), string(got)); err == nil && d != "" {
		t.Errorf("%s: answers differ, - recorded, + came:\n%s", transcript.Name, d)
	}
}
