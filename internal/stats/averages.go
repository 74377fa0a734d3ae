package stats

import (
	"maps"
	"sync"
	"time"
)

// Period is PgBouncer's stats_period.
const Period = 60 * time.Second

// snapshot is what every database had counted at a moment.
type snapshot struct {
	at     time.Time
	totals map[string]Totals
}

// Averages computes the avg_ columns. As in PgBouncer, two snapshots are kept
// and an average reaches from the older one to now, so it always covers at
// least one whole period and at most two (less in the first minute).
type Averages struct {
	// Immutable after NewAverages.
	period time.Duration

	// Guarded by mu. No I/O and no other lock under it.
	mu           sync.Mutex
	older, newer snapshot
}

// NewAverages starts with nothing counted. As in PgBouncer the first snapshot
// is dated one second back, so that the first moments do not divide by nothing.
func NewAverages(period time.Duration, now time.Time) *Averages {
	return &Averages{
		period: period,
		older:  snapshot{at: now.Add(-time.Second)},
		newer:  snapshot{at: now},
	}
}

// Observe keeps a snapshot of the databases' totals once a period has passed
// since the last and reports whether it did. Call it at least once a period,
// from one place; more often is harmless. The map is copied.
func (a *Averages) Observe(now time.Time, totals map[string]Totals) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now.Sub(a.newer.at) < a.period {
		return false
	}
	a.older = a.newer
	a.newer = snapshot{at: now, totals: maps.Clone(totals)}
	return true
}

// Of is the averages of one database that has counted current by now. A
// database without a snapshot, or whose counters began anew, counts from zero.
func (a *Averages) Of(now time.Time, database string, current Totals) Totals {
	a.mu.Lock()
	old := a.older
	a.mu.Unlock()
	counted := current.Sub(old.totals[database])
	if counted.negative() {
		counted = current
	}
	return counted.Per(now.Sub(old.at))
}

// OfAll is the averages over all databases together, for SHOW TOTALS.
func (a *Averages) OfAll(now time.Time, totals map[string]Totals) Totals {
	a.mu.Lock()
	old := a.older
	a.mu.Unlock()
	var sum Totals
	for database, current := range totals {
		counted := current.Sub(old.totals[database])
		if counted.negative() {
			counted = current
		}
		sum = sum.Add(counted)
	}
	return sum.Per(now.Sub(old.at))
}
