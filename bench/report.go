package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// measure is one figure of a run.
type measure struct {
	name, title, unit string
	digits            int
}

func measures() []measure {
	return []measure{
		{"tps", "throughput", "/s", 0},
		{"cpu_us", "CPU of the proxy", "µs each", 1},
		{"p50_ms", "latency p50", "ms", 2},
		{"p99_ms", "latency p99", "ms", 2},
		{"connect_ms", "time to connect", "ms", 2},
		{"rss_mb", "memory of the proxy", "MB", 1},
		{"idle_bytes", "memory for each client", "bytes", 0},
		{"used_bytes", "the same after a query of each", "bytes", 0},
		{"primary_s", "CPU of the primary", "s", 2},
		{"replica1_s", "CPU of the first replica", "s", 2},
		{"replica2_s", "CPU of the second replica", "s", 2},
		{"servers_us", "CPU of all servers", "µs each", 1},
	}
}

func (m measure) format(v float64) string {
	return thousands(strconv.FormatFloat(v, 'f', m.digits, 64))
}

// thousands sets commas into the whole part of a number.
func thousands(number string) string {
	whole, rest, _ := strings.Cut(number, ".")
	sign := ""
	if strings.HasPrefix(whole, "-") {
		sign, whole = "-", whole[1:]
	}
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if rest != "" {
		whole += "." + rest
	}
	return sign + whole
}

// cell is "median (min..max)", or a dash.
func cell(s Summary, format func(float64) string) string {
	switch s.N {
	case 0:
		return "–"
	case 1:
		return format(s.Median)
	default:
		return fmt.Sprintf("%s (%s..%s)", format(s.Median), format(s.Min), format(s.Max))
	}
}

func ratioFormat(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) }

// Markdown is the report for people.
func (r *Report) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Penstock and PgBouncer, %s\n\n", r.Date.Format("2006-01-02 15:04 MST"))
	fmt.Fprintf(&b, "%s. Load before the start: %s. %d rounds in %s.\n\n", r.Machine, r.Machine.Load, r.Rounds, r.Took)
	fmt.Fprintf(&b, "Made by `make bench`. %s\n\n", strings.Join(strings.Fields(method), " "))
	fmt.Fprintf(&b, "Settings: pool of %d server connections, transaction mode, trust, loopback; pgbench -S, scale 10, "+
		"windows of %d s; memory after %s of rest.\n\n", poolSize, r.Seconds, r.Settle)
	r.table(&b)
	r.routedTable(&b)
	b.WriteString("\n## Goals\n\n")
	for _, g := range r.goals() {
		fmt.Fprintf(&b, "- %s\n", g)
	}
	b.WriteString("\n## Left out\n\n")
	for _, p := range Points() {
		for _, t := range []Target{PgBouncer, Direct} {
			if why := p.skip[t]; why != "" {
				fmt.Fprintf(&b, "- %s, %s: %s.\n", p.Title, t, why)
			}
		}
	}
	for _, f := range r.Failed() {
		fmt.Fprintf(&b, "- FAILED: %s\n", f)
	}
	return b.String()
}

const method = `Each figure is the median of the rounds, with the smallest and the largest. The ratio is that of
Penstock to PgBouncer in the same round, one run right after the other; its median and spread are over the rounds.
For throughput more is better, for everything else less. CPU is that of the proxy's process alone, by transaction.
With a connection for each query, pgbench has a thread for each client, because a thread waits while it connects.
Idle clients log in to a fresh proxy, 8 at a time: throughput is logins, CPU is by login.`

const routedMethod = `Penstock before a primary and two replicas on the same machine, with routing.enabled = true and
false, one run right after the other; ratios are those of on to off. Without routing the replicas stand idle, as if
the primary were alone; with it the primary does no reads. The servers have a pool of %d connections each. The CPU of
a server is that of all its processes in the window.`

// table compares with PgBouncer.
func (r *Report) table(b *strings.Builder) {
	rows := r.rows(false, Direct)
	if rows != "" {
		b.WriteString("| work, clients | measure | Penstock | PgBouncer | ratio | direct |\n|---|---|--:|--:|--:|--:|\n" + rows)
	}
}

// routedTable compares with routing and without.
func (r *Report) routedTable(b *strings.Builder) {
	rows := r.rows(true)
	if rows != "" {
		fmt.Fprintf(b, "\n## Routing\n\n"+strings.Join(strings.Fields(routedMethod), " ")+"\n\n", poolSize)
		b.WriteString("| work, clients | measure | routing on | routing off | ratio |\n|---|---|--:|--:|--:|\n" + rows)
	}
}

// rows has one for each point and measure: the pair, its ratio, and the others.
func (r *Report) rows(routed bool, others ...Target) string {
	var b strings.Builder
	for _, p := range Points() {
		if p.routed() != routed {
			continue
		}
		title, pair := p.Title, p.pair()
		for _, m := range measures() {
			row := map[Target]Summary{}
			found := false
			for _, t := range append(pair[:], others...) {
				row[t] = Summarize(r.Values(p.Name, t, m.name))
				found = found || row[t].N > 0
			}
			if !found {
				continue
			}
			fmt.Fprintf(&b, "| %s | %s, %s | %s | %s | %s |", title, m.title, m.unit,
				cell(row[pair[0]], m.format), cell(row[pair[1]], m.format), cell(Summarize(r.Ratios(p.Name, m.name)), ratioFormat))
			for _, t := range others {
				fmt.Fprintf(&b, " %s |", cell(row[t], m.format))
			}
			b.WriteString("\n")
			title = ""
		}
	}
	return b.String()
}

// Write puts the report and its raw figures into a folder, under the date, and
// returns the name of the page.
func (r *Report) Write(dir string) (string, error) {
	raw, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // like the other folders of the source
		return "", err
	}
	base := filepath.Join(dir, r.Date.Format("2006-01-02"))
	for n := 2; exists(base + ".json"); n++ {
		base = filepath.Join(dir, fmt.Sprintf("%s-%d", r.Date.Format("2006-01-02"), n))
	}
	return base + ".md", errors.Join(
		os.WriteFile(base+".json", append(raw, '\n'), 0o644),  //nolint:gosec // like the other files of the source
		os.WriteFile(base+".md", []byte(r.Markdown()), 0o644), //nolint:gosec // like the other files of the source
	)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// Newest reads the last report of a folder, and says which file it is.
func Newest(dir string) (*Report, string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, "", err
	}
	var newest *Report
	var name string
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, "", err
		}
		r := &Report{}
		if err := json.Unmarshal(data, r); err != nil {
			return nil, "", fmt.Errorf("%s: %w", file, err)
		}
		if newest == nil || r.Date.After(newest.Date) {
			newest, name = r, file
		}
	}
	if newest == nil {
		return nil, "", fmt.Errorf("no results in %s: make bench makes them", dir)
	}
	return newest, name, nil
}
