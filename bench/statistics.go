package bench

import (
	"math"
	"slices"
)

// Summary is the median of some values and their spread.
type Summary struct {
	Median, Min, Max float64
	N                int
}

// Summarize returns a Summary with N = 0 if there are no values.
func Summarize(values []float64) Summary {
	if len(values) == 0 {
		return Summary{}
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return Summary{Median: (sorted[(n-1)/2] + sorted[n/2]) / 2, Min: sorted[0], Max: sorted[n-1], N: n}
}

// Percentile returns the smallest value that at least the share p (0 to 1) of
// the sorted values does not exceed, 0 if there are none.
func Percentile(sorted []float64, p float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(p * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// Values returns a measure of all rounds.
func (r *Report) Values(point string, target Target, measure string) []float64 {
	var values []float64
	for _, run := range r.Runs {
		if v, ok := run.Values[measure]; ok && run.Point == point && run.Target == target {
			values = append(values, v)
		}
	}
	return values
}

// Ratios returns the value of the first of a point's pair by that of the second,
// round by round, for rounds that have both: Penstock's by PgBouncer's, with
// routing by without.
func (r *Report) Ratios(point, measure string) []float64 {
	pair := pairOf(point)
	ours, theirs := map[int]float64{}, map[int]float64{}
	for _, run := range r.Runs {
		v, ok := run.Values[measure]
		switch {
		case !ok || run.Point != point:
		case run.Target == pair[0]:
			ours[run.Round] = v
		case run.Target == pair[1]:
			theirs[run.Round] = v
		}
	}
	var ratios []float64
	for round := range r.Rounds {
		a, found := ours[round+1]
		b, found2 := theirs[round+1]
		if found && found2 && b != 0 {
			ratios = append(ratios, a/b)
		}
	}
	return ratios
}
