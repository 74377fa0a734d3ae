package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tick is one progress line of pgbench, and what the proxy and the servers had
// used up when it came.
type tick struct {
	at  float64 // seconds since 1970
	tps float64 // since the line before
	cpu time.Duration
	rss int64

	servers [1 + replicas]time.Duration // what each of the meter's servers had used up
}

// pgbenchArgs is the command line for a point.
func pgbenchArgs(p Point, dsn, logPrefix string, seconds int) []string {
	threads, warmup, sample := 1, 1, "0.2"
	if p.Clients > 64 {
		threads, warmup = 2, 3 // pgbench's time begins before its clients have logged in
	}
	args := []string{"-n", "-S", "-M", p.mode, "-c", strconv.Itoa(p.Clients)}
	if p.writes {
		args = append([]string{"-n", "-b", "select-only@9", "-b", "simple-update@1"}, args[2:]...)
	}
	if p.kind == kindConnect {
		threads, warmup, sample = p.Clients, 2, "1" // a thread waits while it connects
		args = append(args, "-C")
	}
	return append(args, "-j", strconv.Itoa(threads), "-T", strconv.Itoa(seconds+warmup),
		"-P", "1", "--progress-timestamp", "--random-seed=1",
		"-l", "--sampling-rate="+sample, "--log-prefix="+logPrefix, dsn)
}

// runPgbench runs a point through pgbench and returns its measures.
func runPgbench(ctx context.Context, program string, p Point, dsn, dir string, seconds int, m meter) (map[string]float64, error) {
	logs, err := os.MkdirTemp(dir, "pgbench")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(logs) }()
	ctx, stop := context.WithTimeout(ctx, time.Duration(seconds)*time.Second+time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, program, pgbenchArgs(p, dsn, filepath.Join(logs, "log"), seconds)...)
	cmd.Env, cmd.WaitDelay = cleanEnv(os.Environ()), time.Second
	var out bytes.Buffer
	cmd.Stdout = &out
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ticks, complaints, failed := follow(stderr, m)
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("pgbench: %w: %s", err, strings.Join(complaints, "; "))
	}
	if failed != nil {
		return nil, failed
	}
	if err := checkOutput(out.String()); err != nil {
		return nil, err
	}
	values, err := window(ticks)
	if err != nil {
		return nil, err
	}
	if m.proxy == nil {
		delete(values, "cpu_us")
		delete(values, "rss_mb")
	}
	if p.kind == kindConnect {
		return values, addConnectTime(values, out.String())
	}
	return values, addLatencies(values, logs, ticks)
}

// follow reads pgbench's standard error to its end. It reads the meter as soon
// as a line comes.
func follow(r io.Reader, m meter) (ticks []tick, complaints []string, err error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		t, ok := parseProgress(lines.Text())
		switch {
		case !ok && len(complaints) < 5:
			complaints = append(complaints, lines.Text())
		case ok:
			if err == nil {
				err = m.read(&t)
			}
			ticks = append(ticks, t)
		}
	}
	return ticks, complaints, err
}

// parseProgress reads "progress: 1795383953.513 s, 4299.5 tps, lat 0.230 ms
// stddev 0.462, 0 failed". A line in which transactions failed is a complaint.
func parseProgress(line string) (tick, bool) {
	m := regexp.MustCompile(`^progress: ([0-9.]+) s, ([0-9.]+) tps,`).FindStringSubmatch(line)
	if m == nil || strings.Contains(line, " failed") && !strings.HasSuffix(line, ", 0 failed") {
		return tick{}, false
	}
	at, err := strconv.ParseFloat(m[1], 64)
	tps, err2 := strconv.ParseFloat(m[2], 64)
	return tick{at: at, tps: tps}, err == nil && err2 == nil
}

// window computes what happened between the first and the last line.
func window(ticks []tick) (map[string]float64, error) {
	if len(ticks) < 2 {
		return nil, fmt.Errorf("pgbench gave %d progress lines, too few to measure between them", len(ticks))
	}
	first, last := ticks[0], ticks[len(ticks)-1]
	transactions := 0.0
	for i, t := range ticks[1:] {
		transactions += t.tps * (t.at - ticks[i].at)
	}
	if transactions < 1 {
		return nil, fmt.Errorf("pgbench did %.1f transactions in %.1f s", transactions, last.at-first.at)
	}
	values := map[string]float64{
		"tps":    transactions / (last.at - first.at),
		"cpu_us": float64((last.cpu - first.cpu).Microseconds()) / transactions,
		"rss_mb": float64(last.rss) / (1 << 20),
	}
	if last.servers[0] > 0 {
		addServers(values, first, last, transactions)
	}
	return values, nil
}

// checkOutput refuses a run in which transactions failed.
func checkOutput(out string) error {
	m := regexp.MustCompile(`number of failed transactions: (\d+)`).FindStringSubmatch(out) // since PostgreSQL 15
	if m != nil && m[1] != "0" {
		return fmt.Errorf("pgbench: %s transactions failed", m[1])
	}
	return nil
}

func addConnectTime(values map[string]float64, out string) error {
	m := regexp.MustCompile(`average connection time = ([0-9.]+) ms`).FindStringSubmatch(out)
	if m == nil {
		return errors.New("pgbench did not tell its connection time")
	}
	ms, err := strconv.ParseFloat(m[1], 64)
	values["connect_ms"] = ms
	return err
}

// addLatencies reads the logs, one of each thread, as far as they are from the
// window.
func addLatencies(values map[string]float64, dir string, ticks []tick) error {
	files, err := filepath.Glob(filepath.Join(dir, "log.*"))
	if err != nil {
		return err
	}
	var all []float64
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		latencies, err := parseLog(f, ticks[0].at, ticks[len(ticks)-1].at)
		_ = f.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, latencies...)
	}
	if len(all) == 0 {
		return errors.New("pgbench logged no transactions")
	}
	slices.Sort(all)
	values["p50_ms"], values["p99_ms"] = Percentile(all, 0.5), Percentile(all, 0.99)
	return nil
}

// parseLog reads lines "client transaction latency_us script epoch us" and
// returns the latencies, in ms, of transactions that ended between from and to.
func parseLog(r io.Reader, from, to float64) ([]float64, error) {
	var latencies []float64
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 6 {
			return nil, fmt.Errorf("line %q has %d fields, not 6", lines.Text(), len(f))
		}
		latency, err := strconv.ParseFloat(f[2], 64)
		if err != nil {
			return nil, fmt.Errorf("line %q: %w", lines.Text(), err)
		}
		seconds, err := strconv.ParseFloat(f[4], 64)
		if err != nil {
			return nil, fmt.Errorf("line %q: %w", lines.Text(), err)
		}
		micros, err := strconv.ParseFloat(f[5], 64)
		if err != nil {
			return nil, fmt.Errorf("line %q: %w", lines.Text(), err)
		}
		if at := seconds + micros/1e6; at > from && at <= to {
			latencies = append(latencies, latency/1e3)
		}
	}
	return latencies, lines.Err()
}

// cleanEnv is an environment without what would lead libpq elsewhere.
func cleanEnv(environ []string) []string {
	var env []string
	for _, kv := range environ {
		if !strings.HasPrefix(kv, "PG") && !strings.HasPrefix(kv, "LC_") {
			env = append(env, kv)
		}
	}
	return append(env, "LC_ALL=C")
}
