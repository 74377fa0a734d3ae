package stats_test

import (
	"sync"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/stats"
)

func queries(n int64) stats.Totals { return stats.Totals{Queries: n} }

func TestAverageReachesFromTheOlderSnapshotToNow(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	a := stats.NewAverages(stats.Period, start)
	steps := []struct {
		name  string
		after time.Duration
		total int64
		kept  bool
		avg   int64
	}{
		{"at the start the count is over one second", 0, 7, false, 7},
		{"within the first period it is over all", 29 * time.Second, 300, false, 10},
		{"the first snapshot is kept", time.Minute, 600, true, 10},
		{"the older snapshot is still the start", 90 * time.Second, 900, false, 10},
		{"the second snapshot", 2 * time.Minute, 6600, true, 100},
		{"an idle minute shows", 3 * time.Minute, 6600, true, 0},
		{"and is over", 4 * time.Minute, 12600, true, 100},
	}
	for _, step := range steps {
		now := start.Add(step.after)
		totals := map[string]stats.Totals{"shop": queries(step.total)}
		if kept := a.Observe(now, totals); kept != step.kept {
			t.Errorf("%s: kept = %v", step.name, kept)
		}
		if avg := a.Of(now, "shop", queries(step.total)).Queries; avg != step.avg {
			t.Errorf("%s: %d queries/s, want %d", step.name, avg, step.avg)
		}
		if avg := a.OfAll(now, totals).Queries; avg != step.avg {
			t.Errorf("%s: %d queries/s in all, want %d", step.name, avg, step.avg)
		}
	}
}

func TestDatabasesHaveTheirOwnAverages(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	a := stats.NewAverages(time.Minute, start)
	a.Observe(start.Add(time.Minute), map[string]stats.Totals{"a": queries(600), "b": queries(60000)})
	a.Observe(start.Add(2*time.Minute), map[string]stats.Totals{"a": queries(600), "b": queries(60000)})
	now := start.Add(3 * time.Minute)
	current := map[string]stats.Totals{"a": queries(1800), "b": queries(60000), "new": queries(2400)}
	for database, want := range map[string]int64{"a": 10, "b": 0, "new": 20} {
		if got := a.Of(now, database, current[database]).Queries; got != want {
			t.Errorf("%s: %d queries/s, want %d", database, got, want)
		}
	}
	if got := a.OfAll(now, current).Queries; got != 30 {
		t.Errorf("all: %d queries/s, want 30", got)
	}
}

func TestCountersThatBeganAnewCountFromZero(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	a := stats.NewAverages(time.Minute, start)
	for i := range 2 {
		a.Observe(start.Add(time.Duration(i+1)*time.Minute), map[string]stats.Totals{"a": queries(1e6)})
	}
	now := start.Add(3 * time.Minute)
	if got := a.Of(now, "a", queries(1200)).Queries; got != 10 {
		t.Errorf("%d queries/s, want 10", got)
	}
	if got := a.OfAll(now, map[string]stats.Totals{"a": queries(1200)}).Queries; got != 10 {
		t.Errorf("all: %d queries/s, want 10", got)
	}
}

func TestObserveKeepsItsOwnCopy(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	a := stats.NewAverages(time.Minute, start)
	totals := map[string]stats.Totals{"a": queries(100)}
	a.Observe(start.Add(time.Minute), totals)
	a.Observe(start.Add(2*time.Minute), totals)
	totals["a"] = queries(580) // the caller goes on counting in its map
	if got := a.Of(start.Add(3*time.Minute), "a", queries(580)).Queries; got != 4 {
		t.Errorf("%d queries/s, want 4", got)
	}
}

func TestAveragesAreSafeFromManyGoroutines(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	a := stats.NewAverages(time.Second, start)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 1000 {
				now := start.Add(time.Duration(i) * time.Second)
				totals := map[string]stats.Totals{"a": queries(int64(i * (g + 1)))}
				a.Observe(now, totals)
				a.Of(now, "a", totals["a"])
				a.OfAll(now, totals)
			}
		})
	}
	wg.Wait()
}
