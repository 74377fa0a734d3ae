package bench

import (
	"math"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSummarizeFindsMedianAndSpread(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		values []float64
		want   Summary
	}{
		"none": {nil, Summary{}},
		"one":  {[]float64{3}, Summary{3, 3, 3, 1}},
		"odd":  {[]float64{9, 1, 4}, Summary{4, 1, 9, 3}},
		"even": {[]float64{9, 1, 4, 6}, Summary{5, 1, 9, 4}},
	} {
		if got := Summarize(c.values); got != c.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestPercentileIsTheNearestRank(t *testing.T) {
	t.Parallel()
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(i + 1)
	}
	for _, c := range []struct {
		values []float64
		p      float64
		want   float64
	}{
		{nil, 0.5, 0},
		{[]float64{7}, 0.99, 7},
		{hundred, 0.5, 50},
		{hundred, 0.99, 99},
		{hundred, 1, 100},
		{hundred, 0, 1},
		{[]float64{1, 2, 3}, 0.5, 2},
	} {
		if got := Percentile(c.values, c.p); got != c.want {
			t.Errorf("%g of %d values: %g, want %g", c.p, len(c.values), got, c.want)
		}
	}
}

func sample() *Report {
	r := &Report{Date: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), Rounds: 3, Seconds: 4, Settle: "5s", Took: "1m0s"}
	add := func(point string, target Target, round int, name string, value float64) {
		r.Runs = append(r.Runs, RunResult{Point: point, Target: target, Round: round, Values: map[string]float64{name: value}})
	}
	for round, v := range [][3]float64{{10000, 8000, 12000}, {30000, 10000, 13000}, {9000, 9000, 11000}} {
		add("simple-8", Penstock, round+1, "tps", v[0])
		add("simple-8", PgBouncer, round+1, "tps", v[1])
		add("simple-8", Direct, round+1, "tps", v[2])
	}
	add("simple-8", Penstock, 1, "cpu_us", 12)
	add("simple-8", PgBouncer, 1, "cpu_us", 10)
	add("idle-4000", Penstock, 1, "used_bytes", 4000)
	r.Runs = append(r.Runs, RunResult{Point: "tls-8", Target: PgBouncer, Round: 2, Error: "it broke"})
	return r
}

func TestRatiosAreOfTheSameRound(t *testing.T) {
	t.Parallel()
	r := sample()
	if got := r.Ratios("simple-8", "tps"); !slices.Equal(got, []float64{1.25, 3, 1}) {
		t.Errorf("%v", got)
	}
	r.Runs = r.Runs[1:] // round 1 has lost its partner
	if got := r.Ratios("simple-8", "tps"); !slices.Equal(got, []float64{3, 1}) {
		t.Errorf("%v", got)
	}
	if got := r.Ratios("idle-4000", "used_bytes"); len(got) != 0 {
		t.Errorf("ratio without a partner: %v", got)
	}
}

func TestMarkdownShowsMediansSpreadAndGoals(t *testing.T) {
	t.Parallel()
	text := sample().Markdown()
	for _, want := range []string{
		"| simple, 8 | throughput, /s | 10,000 (9,000..30,000) | 9,000 (8,000..10,000) | 1.25 (1.00..3.00) | 12,000 (11,000..13,000) |\n",
		"|  | CPU of the proxy, µs each | 12.0 | 10.0 | 1.20 | – |\n",
		"- simple, 8: CPU by query at most 1.1 times PgBouncer's (1.20): MISSED\n",
		"- simple, 8: throughput at least 1.0 times PgBouncer's (1.25 (1.00..3.00)): reached\n",
		"- idle clients, 4,000: at most 3072 bytes each, also after a query (4,000): MISSED\n",
		"- FAILED: tls-8, PgBouncer, round 2: it broke\n",
		"- prepared, 8, PgBouncer: ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// routedSample has a report about routing alone.
func routedSample() *Report {
	r := &Report{Date: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), Rounds: 1, Seconds: 4}
	add := func(point string, target Target, values map[string]float64) {
		r.Runs = append(r.Runs, RunResult{Point: point, Target: target, Round: 1, Values: values})
	}
	for point, cpu := range map[string]float64{"routed-simple-8": 22.6, "routed-prepared-8": 22.6, "routed-extended-8": 30} {
		add(point, RoutingOn, map[string]float64{"tps": 9000, "cpu_us": cpu})
		add(point, RoutingOff, map[string]float64{"tps": 10000, "cpu_us": 20})
	}
	add("scale-out", RoutingOn, map[string]float64{"tps": 9000, "primary_s": 0.1, "replica1_s": 1.5, "replica2_s": 1.25})
	add("scale-out", RoutingOff, map[string]float64{"tps": 9000, "primary_s": 3, "replica1_s": 0, "replica2_s": 0})
	return r
}

func TestRoutingIsComparedWithItself(t *testing.T) {
	t.Parallel()
	text := routedSample().Markdown()
	for _, want := range []string{
		"| work, clients | measure | routing on | routing off | ratio |\n",
		"| routed, simple, 8 | throughput, /s | 9,000 | 10,000 | 0.90 |\n",
		"|  | CPU of the proxy, µs each | 22.6 | 20.0 | 1.13 |\n",
		"|  | CPU of the first replica, s | 1.50 | 0.00 | – |\n",
		"- routed, simple, 8: CPU by query at most 1.15 times that without routing (1.13): reached\n",
		"- routed, prepared, 8: CPU by query at most 1.1 times that without routing (1.13): MISSED\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for _, bad := range []string{"| PgBouncer |", "- routed, extended", "- scale-out"} {
		if strings.Contains(text, bad) {
			t.Errorf("%q in\n%s", bad, text)
		}
	}
	if text := sample().Markdown(); strings.Contains(text, "## Routing") {
		t.Errorf("a table without rows in\n%s", text)
	}
}

func TestReadmeShowsRouting(t *testing.T) {
	t.Parallel()
	text := routedSample().Short("results/x.md")
	for _, want := range []string{
		"Reads routed to two replicas, with routing / without:",
		"| routed, prepared, 8 | 9,000 / 10,000 | 0.90 | 22.6 / 20.0 | 1.13 | – / – | – |\n",
		"CPU seconds of the primary 0.10 / 3.00, of the replicas 1.50 / 0.00 and 1.25 / 0.00 (with routing / without), in windows of 4 s.",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Count(text, "| work, clients |") != 1 {
		t.Errorf("a table without rows in\n%s", text)
	}
}

func TestReadsAtTheWrongServerAreAnError(t *testing.T) {
	t.Parallel()
	points, err := Select(Points(), "^(routed-simple-8|scale-out)$")
	if err != nil || len(points) != 2 {
		t.Fatal(points, err)
	}
	at := func(primary, replica float64) map[string]float64 {
		return map[string]float64{"primary_s": primary, "replica1_s": replica, "replica2_s": 0, "servers_us": 1}
	}
	for _, c := range []struct {
		values map[string]float64
		target Target
		good   bool
	}{
		{at(0.1, 2), RoutingOn, true}, {at(2, 0.1), RoutingOn, false}, {at(2, 0.1), RoutingOff, true}, {at(0.1, 2), RoutingOff, false},
	} {
		if err := tellServers(c.values, points[1], c.target); (err == nil) != c.good || len(c.values) != 4 {
			t.Errorf("%s, %v: %v", c.target, c.values, err)
		}
	}
	values := at(0.1, 2)
	if err := tellServers(values, points[0], RoutingOn); err != nil || len(values) != 0 {
		t.Errorf("%v, %v", values, err)
	}
}

func TestVerdictKnowsNoise(t *testing.T) {
	t.Parallel()
	if verdict(true, true) != "reached" || verdict(false, true) != "within the noise" || verdict(false, false) != "MISSED" {
		t.Error("wrong words")
	}
}

func TestNewestReportGoesIntoTheReadme(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := sample()
	page, err := first.Write(dir)
	if err != nil || !strings.HasSuffix(page, "2026-11-22.md") {
		t.Fatal(page, err)
	}
	second := sample()
	second.Date = second.Date.Add(time.Hour)
	if page, err = second.Write(dir); err != nil || !strings.HasSuffix(page, "2026-11-22-2.md") {
		t.Fatal(page, err)
	}
	if _, err := os.Stat(page); err != nil {
		t.Fatal(err)
	}
	r, name, err := Newest(dir)
	if err != nil || !r.Date.Equal(second.Date) || !strings.HasSuffix(name, "2026-11-22-2.json") || len(r.Runs) != len(second.Runs) {
		t.Fatal(name, err)
	}
	readme, err := Replace("# P\n"+readmeBegin+"old\n"+readmeEnd+"\nrest\n", r.Short("results/x.md"))
	if err != nil || strings.Contains(readme, "old") || !strings.HasSuffix(readme, readmeEnd+"\nrest\n") ||
		!strings.Contains(readme, "| simple, 8 | 10,000 / 9,000 | 1.25 | 12.0 / 10.0 | 1.20 |") {
		t.Errorf("%v\n%s", err, readme)
	}
	if _, err := Replace("# P\n", "x"); err == nil {
		t.Error("a README without marks passes")
	}
	if _, _, err := Newest(t.TempDir()); err == nil {
		t.Error("a folder without results passes")
	}
}

func TestThousandsAreSeparated(t *testing.T) {
	t.Parallel()
	for number, want := range map[string]string{"0": "0", "999": "999", "1000": "1,000", "1234567.8": "1,234,567.8", "-1234": "-1,234"} {
		if got := thousands(number); got != want {
			t.Errorf("%s: %s", number, got)
		}
	}
}

func TestOrderChangesFromRoundToRound(t *testing.T) {
	t.Parallel()
	points, err := Select(Points(), "^simple-8$")
	if err != nil {
		t.Fatal(err)
	}
	if got := points[0].targets(1); !slices.Equal(got, []Target{Penstock, PgBouncer, Direct}) {
		t.Errorf("%v", got)
	}
	if got := points[0].targets(2); !slices.Equal(got, []Target{PgBouncer, Penstock, Direct}) {
		t.Errorf("%v", got)
	}
	if points, err = Select(Points(), "^routed-simple-8$"); err != nil {
		t.Fatal(err)
	}
	if got := points[0].targets(2); !slices.Equal(got, []Target{RoutingOff, RoutingOn}) {
		t.Errorf("%v", got)
	}
	if _, err := Select(Points(), "nonesuch"); err == nil {
		t.Error("a filter without points passes")
	}
}

// The clock's number is made by hand, so it is compared with our own use.
func TestProcessCPUGrowsWithWork(t *testing.T) {
	t.Parallel()
	before, err := processCPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	x := 1.0
	for begin := time.Now(); time.Since(begin) < 50*time.Millisecond; {
		x = math.Sqrt(x + 1)
	}
	after, err := processCPU(os.Getpid())
	if used := after - before; err != nil || used <= 0 || used > 10*time.Second {
		t.Errorf("%v, %v (%g)", used, err, x)
	}
}

// A server's work is done by children of its postmaster, which come and go.
func TestFamilyCPUCountsChildren(t *testing.T) {
	t.Parallel()
	children := func() time.Duration {
		own, err := processCPU(os.Getpid())
		all, err2 := familyCPU(os.Getpid())
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		return all - own
	}
	before := children()
	work := exec.Command("sh", "-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; read end")
	end, err := work.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := work.Start(); err != nil {
		t.Fatal(err)
	}
	grown := func() bool { return children()-before >= 20*time.Millisecond }
	for begin := time.Now(); !grown(); time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > 20*time.Second {
			t.Fatal("a living child does not count")
		}
	}
	_ = end.Close()
	_ = work.Wait()
	if !grown() {
		t.Error("a child that has ended does not count any more")
	}
}
