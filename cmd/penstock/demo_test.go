package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestDemoReadsPgbench(t *testing.T) {
	t.Parallel()
	const good = "number of transactions actually processed: 31203\nnumber of failed transactions: 2 (0.006%)\n" +
		"latency average = 13.404 ms\ntps = 14921.25 (without initial connection time)\n"
	got, err := parseDemoBench(good)
	if err != nil || got != (demoBench{31203, 2, 14921.25}) {
		t.Errorf("got %+v, %v", got, err)
	}
	if got.check(31203) == nil {
		t.Error("failed transactions pass")
	}
	if got, err := parseDemoBench("number of transactions actually processed: 5\ntps = 1.5 (x)\n"); err != nil || got.check(5) != nil || got.check(6) == nil {
		t.Errorf("without a line about failures, as before PostgreSQL 15: %+v, %v", got, err)
	}
	if _, err := parseDemoBench("pgbench: error\n"); err == nil {
		t.Error("no figures, no error")
	}
}

func TestTransposeMakesLinesOfColumns(t *testing.T) {
	t.Parallel()
	got, err := transpose("database,cl_active\ndemo,7\nother,\"1,5\"\n")
	if want := "database    demo   other\ncl_active   7      1,5\n"; err != nil || got != want {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := transpose("database,cl_active\n"); err == nil {
		t.Error("a table without rows passes")
	}
}

func TestDemoEnvironmentLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	got := strings.Join(demoEnv([]string{"PATH=/bin", "PGHOST=elsewhere", "PGSERVICE=x", "LC_ALL=de_DE", "HOME=/root"}), " ")
	if got != "PATH=/bin HOME=/root LC_ALL=C" {
		t.Errorf("got %q", got)
	}
}

// output is a writer that another goroutine may read.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// waitFor waits for a text, at most a minute.
func (o *output) waitFor(text string) {
	for range 6000 {
		if strings.Contains(o.String(), text) {
			return
		}
		<-time.After(10 * time.Millisecond)
	}
}

// buildPenstock makes the binary that a demo starts as its child.
func buildPenstock(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("takes seconds")
	}
	program := filepath.Join(t.TempDir(), "penstock")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return program
}

func TestDemoShowsTheProofAndLeavesNothing(t *testing.T) {
	var out output
	d := &demo{out: &out, program: buildPenstock(t), each: 20}
	if err := d.run(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	for _, want := range []string{"200 clients used at most 10 server connections (limit 10)", "cl_waiting", "total_xact_count"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	wantNothingLeft(t, d)
}

func TestDemoEndsWellWhenInterrupted(t *testing.T) {
	program := buildPenstock(t)
	for name, moment := range map[string]string{
		"while PostgreSQL starts": " 1. ", "during a load": " 6. ", "while it stays": "Ctrl-C ends it all",
	} {
		t.Run(name, func(t *testing.T) {
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			var out output
			d := &demo{out: &out, program: program, each: 20, stay: true}
			ended := make(chan error, 1)
			go func() { ended <- d.run(ctx) }()
			out.waitFor(moment)
			interrupt()
			err := <-ended
			if stayed := strings.HasPrefix(moment, "Ctrl-C"); stayed != (err == nil) {
				t.Errorf("%v\n%s", err, &out)
			}
			wantNothingLeft(t, d)
		})
	}
}

func TestDemoFailsWhenPenstockDoes(t *testing.T) {
	t.Parallel()
	var out output
	d := &demo{out: &out, program: "/bin/false", each: 20}
	if err := d.run(t.Context()); err == nil || !strings.Contains(err.Error(), "penstock has ended") {
		t.Errorf("%v\n%s", err, &out)
	}
	wantNothingLeft(t, d)
}

func wantNothingLeft(t *testing.T, d *demo) {
	t.Helper()
	if _, err := os.Stat(d.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("folder %s: %v", d.dir, err)
	}
	if d.proxy != nil && syscall.Kill(d.proxy.pid(), 0) == nil {
		t.Errorf("penstock, process %d, lives", d.proxy.pid())
	}
	if d.cluster != nil && d.cluster.Primary.Pid() != 0 {
		t.Error("the primary lives")
	}
}
