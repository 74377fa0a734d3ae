package bench

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestProgressLineIsRead(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]tick{
		"progress: 1795383953.513 s, 4299.5 tps, lat 0.230 ms stddev 0.462, 0 failed": {at: 1795383953.513, tps: 4299.5},
		"progress: 1795383953.513 s, 10.0 tps, lat 0.230 ms stddev 0.462":             {at: 1795383953.513, tps: 10},
		"progress: 1795383953.513 s, 4299.5 tps, lat 0.2 ms stddev 0.4, 3 failed":     {},
		"pgbench: error: client 0 aborted":                                            {},
	} {
		got, ok := parseProgress(line)
		if got != want || ok != (want != tick{}) {
			t.Errorf("%s: %+v, %v", line, got, ok)
		}
	}
}

func TestFollowKeepsComplaints(t *testing.T) {
	t.Parallel()
	text := "pgbench: setting random seed to 1\nprogress: 1.0 s, 5.0 tps, lat 1 ms stddev 1, 0 failed\npgbench: error: oops\n"
	ticks, complaints, err := follow(strings.NewReader(text), meter{})
	if err != nil || len(ticks) != 1 || len(complaints) != 2 || complaints[1] != "pgbench: error: oops" {
		t.Errorf("%+v, %q, %v", ticks, complaints, err)
	}
}

func TestWindowIsFromFirstToLastLine(t *testing.T) {
	t.Parallel()
	ticks := []tick{
		{at: 100, tps: 7777, cpu: time.Second}, // before the window
		{at: 101, tps: 1000, cpu: time.Second + 30*time.Millisecond},
		{at: 103, tps: 2500, cpu: time.Second + 150*time.Millisecond, rss: 10 << 20},
	}
	got, err := window(ticks)
	if err != nil || got["tps"] != 2000 || got["cpu_us"] != 25 || got["rss_mb"] != 10 {
		t.Errorf("%v, %v", got, err)
	}
	for name, bad := range map[string][]tick{"one line": ticks[:1], "no transactions": {{at: 1}, {at: 2}}} {
		if _, err := window(bad); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestWindowCountsTheServers(t *testing.T) {
	t.Parallel()
	first, last := tick{at: 1}, tick{at: 3, tps: 1000}
	first.servers = [3]time.Duration{time.Second, time.Second, time.Second}
	last.servers = [3]time.Duration{time.Second, 1500 * time.Millisecond, 1100 * time.Millisecond}
	got, err := window([]tick{first, last})
	if err != nil || got["primary_s"] != 0 || got["replica1_s"] != 0.5 || got["replica2_s"] != 0.1 || got["servers_us"] != 300 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestLogIsReadWithinTheWindow(t *testing.T) {
	t.Parallel()
	const log = "0 10 161 0 1795383952 518386\n1 4 1500 0 1795383953 250000\n0 11 99 0 1795383955 0\n"
	got, err := parseLog(strings.NewReader(log), 1795383953, 1795383954)
	if err != nil || !slices.Equal(got, []float64{1.5}) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"0 10 161\n", "0 10 x 0 1 1\n", "0 1 1 0 x 1\n", "0 1 1 0 1 x\n"} {
		if _, err := parseLog(strings.NewReader(bad), 0, 1); err == nil {
			t.Errorf("%q passes", bad)
		}
	}
}

func TestPgbenchEndIsRead(t *testing.T) {
	t.Parallel()
	values := map[string]float64{}
	if err := addConnectTime(values, "average connection time = 16.032 ms\ntps = 350.1 (including reconnection times)\n"); err != nil || values["connect_ms"] != 16.032 {
		t.Errorf("%v, %v", values, err)
	}
	if addConnectTime(values, "tps = 1\n") == nil {
		t.Error("no connection time, no error")
	}
	if err := checkOutput("number of failed transactions: 0 (0.000%)\n"); err != nil {
		t.Error(err)
	}
	if checkOutput("number of failed transactions: 4 (0.1%)\n") == nil {
		t.Error("failed transactions pass")
	}
}

func TestMemoryIsRead(t *testing.T) {
	t.Parallel()
	if got, err := parseRSS("VmPeak:\t 99 kB\nVmRSS:\t   1234 kB\nThreads:\t3\n"); err != nil || got != 1234<<10 {
		t.Errorf("%d, %v", got, err)
	}
	if _, err := parseRSS("Threads:\t3\n"); err == nil {
		t.Error("no VmRSS, no error")
	}
}

func TestPgbenchIsToldThePoint(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"simple-1":         "-n -S -M simple -c 1 -j 1 -T 5 -P 1",
		"scale-out-writes": "-n -b select-only@9 -b simple-update@1 -M prepared -c 16 -j 1 -T 5 -P 1",
		"extended-512":     "-n -S -M extended -c 512 -j 2 -T 7 -P 1",
		"prepared-64":      "-n -S -M prepared -c 64 -j 1 -T 5 -P 1",
		"connect-8":        "-n -S -M simple -c 8 -C -j 8 -T 6 -P 1",
	} {
		points, err := Select(Points(), "^"+name+"$")
		if err != nil || len(points) != 1 {
			t.Fatalf("%s: %v, %v", name, points, err)
		}
		if got := strings.Join(pgbenchArgs(points[0], "x", "log", 4), " "); !strings.HasPrefix(got, want+" ") {
			t.Errorf("%s: %s", name, got)
		}
	}
}
