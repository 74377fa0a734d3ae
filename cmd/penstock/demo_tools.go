package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// psql runs one of PostgreSQL's own clients on a database behind Penstock.
func (d *demo) psql(ctx context.Context, database string, args ...string) (string, error) {
	return d.tool(ctx, "psql", append([]string{"-X", "-v", "ON_ERROR_STOP=1", d.dsn(database)}, args...)...)
}

// tool runs a program of PostgreSQL's to its end and returns what it printed.
func (d *demo) tool(ctx context.Context, name string, args ...string) (string, error) {
	path := filepath.Join(d.bin, name)
	if _, err := os.Stat(path); err != nil {
		path = name // elsewhere in PATH
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = demoEnv(os.Environ())
	cmd.WaitDelay = time.Second
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", name, err, lastLines(complaints.String(), 5))
	}
	return out.String(), nil
}

// demoEnv is an environment without what would lead libpq elsewhere.
func demoEnv(environ []string) []string {
	env := make([]string, 0, len(environ)+1)
	for _, kv := range environ {
		if !strings.HasPrefix(kv, "PG") && !strings.HasPrefix(kv, "LC_") {
			env = append(env, kv)
		}
	}
	return append(env, "LC_ALL=C")
}

// demoBench is what pgbench says at its end.
type demoBench struct {
	transactions, failed int
	tps                  float64
}

func parseDemoBench(out string) (demoBench, error) {
	number := func(pattern string) (float64, bool) {
		m := regexp.MustCompile(pattern).FindStringSubmatch(out)
		if m == nil {
			return 0, false
		}
		n, err := strconv.ParseFloat(m[1], 64)
		return n, err == nil
	}
	transactions, found := number(`number of transactions actually processed: (\d+)`)
	tps, found2 := number(`tps = ([0-9.]+)`)
	if !found || !found2 {
		return demoBench{}, errors.New("pgbench did not say how much it did")
	}
	failed, _ := number(`number of failed transactions: (\d+)`) // since PostgreSQL 15
	return demoBench{int(transactions), int(failed), tps}, nil
}

func (b demoBench) check(want int) error {
	if b.failed > 0 || b.transactions != want {
		return fmt.Errorf("pgbench: %d of %d transactions done, %d failed", b.transactions, want, b.failed)
	}
	return nil
}

// transpose turns CSV with a header into a text table with a line for each
// column: the console's tables are wide, and have few rows.
func transpose(text string) (string, error) {
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(rows) < 2 {
		return text, errors.Join(err, errors.New("the console's answer has no rows"))
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	for column := range rows[0] {
		for i, row := range rows {
			if i > 0 {
				_, _ = fmt.Fprint(w, "\t")
			}
			_, _ = fmt.Fprint(w, row[column])
		}
		_, _ = fmt.Fprintln(w)
	}
	err = w.Flush()
	return b.String(), err
}

// pick turns CSV with a header into a text table of some of its columns, and of
// the rows that have the given values.
func pick(text string, where map[string]string, columns ...string) (string, error) {
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(rows) == 0 {
		return text, errors.Join(err, errors.New("the console did not answer"))
	}
	index := map[string]int{}
	for i, name := range rows[0] {
		index[name] = i
	}
	for _, name := range append(slices.Collect(maps.Keys(where)), columns...) {
		if _, there := index[name]; !there {
			return text, fmt.Errorf("the console's answer has no column %s", name)
		}
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	found := 0
	for n, row := range rows {
		fits := true
		for name, value := range where {
			fits = fits && (n == 0 || row[index[name]] == value)
		}
		if !fits {
			continue
		}
		found++
		for i, name := range columns {
			if i > 0 {
				_, _ = fmt.Fprint(w, "\t")
			}
			_, _ = fmt.Fprint(w, row[index[name]])
		}
		_, _ = fmt.Fprintln(w)
	}
	if found < 2 {
		return text, errors.New("the console's answer has no such rows")
	}
	err = w.Flush()
	return b.String(), err
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
