package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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
	for _, want := range []string{
		`200 clients used at most \d server connections to the primary and 10 to the replica`, `\(limit 10 each`,
		`cl_waiting`, `total_xact_count`,
		`safe-read +0 +12\d\d\d`, `the replica did (9\d|100)\.\d % of the lookups`,
		`400 writes, each read back at once by its client: 0 stale, 0 errors`, `straight to the replica: [1-9]\d* stale`,
		`[1-9]\d{3,} reads, 0 errors`, `[1-9]\d{3,} writes, 0 errors, longest pause without a write \d+ ms`,
		`The new primary has (\d+) of (\d+) acknowledged writes, 0 of them twice`, `replica +t +2`, `primary +t +2`,
	} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	wantNothingLeft(t, d)
}

// The act about routing has to notice when clients do not see their own writes:
// with eventual consistency they do not.
func TestDemoNoticesStaleReads(t *testing.T) {
	var out output
	d := &demo{out: &out, program: buildPenstock(t), each: 2, more: "routing  = { consistency = \"eventual\" }\n"}
	if err := d.run(t.Context()); err == nil || !strings.Contains(err.Error(), "did not see their own write") {
		t.Errorf("%v\n%s", err, &out)
	}
	wantNothingLeft(t, d)
}

func TestDemoCountsMostOfEachHost(t *testing.T) {
	t.Parallel()
	good := demoCounts{samples: 9, clients: demoClients, primary: demoPoolSize, replica: demoPoolSize, monitors: 2}
	if err := good.check(); err != nil {
		t.Error(err)
	}
	for name, more := range map[string]demoCounts{
		"primary": {primary: demoPoolSize + 1}, "replica": {replica: demoPoolSize + 1}, "monitors": {monitors: demoMonitors + 1},
	} {
		if good.atLeast(more).check() == nil {
			t.Errorf("%s: too many pass", name)
		}
	}
	good.clients--
	if good.check() == nil {
		t.Error("too few clients pass")
	}
}

func TestDemoCrowdNotesErrorsAndPauses(t *testing.T) {
	t.Parallel()
	c := &demoCrowd{last: time.Now().Add(-time.Minute)}
	if err := c.check(); !errors.Is(err, errDemoIdle) {
		t.Errorf("idle clients: %v", err)
	}
	c.note(nil)
	if err := c.check(); err != nil || !strings.HasPrefix(c.tell("read"), "1 reads, 0 errors, longest pause without a read 60") {
		t.Errorf("%v, %s", err, c.tell("read"))
	}
	c.note(errors.New("oops"))
	if err := c.check(); err == nil || !strings.Contains(err.Error(), "oops") || c.await(t.Context(), 1) == nil {
		t.Errorf("an error passes: %v", err)
	}
}

func TestPickKeepsColumnsAndRows(t *testing.T) {
	t.Parallel()
	const table = "host,role,up\na,primary,t\nb,replica,f\n"
	got, err := pick(table, nil, "role", "host")
	if want := "role      host\nprimary   a\nreplica   b\n"; err != nil || got != want {
		t.Errorf("got %q, %v", got, err)
	}
	got, err = pick(table, map[string]string{"role": "replica", "up": "f"}, "host")
	if err != nil || got != "host\nb\n" {
		t.Errorf("got %q, %v", got, err)
	}
	for _, where := range []map[string]string{{"role": "replica", "up": "t"}, {"nonesuch": "t"}} {
		if _, err := pick(table, where, "host"); err == nil {
			t.Errorf("%v passes", where)
		}
	}
	if _, err := pick(table, nil, "nonesuch"); err == nil {
		t.Error("a column that is not there passes")
	}
}

func TestDemoEndsWellWhenInterrupted(t *testing.T) {
	program := buildPenstock(t)
	for name, moment := range map[string]string{
		"while PostgreSQL starts": " 1. ", "during a load": " 6. ", "during the switchover": "15. ", "while it stays": "Ctrl-C ends it all",
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
	if d.cluster == nil {
		return
	}
	for _, server := range append(d.cluster.Replicas, d.cluster.Primary) {
		if server.Pid() != 0 {
			t.Errorf("%s lives", server.Name)
		}
	}
}
