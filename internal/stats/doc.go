// Package stats holds the numbers Penstock shows about itself: tables of them
// for the console, and PgBouncer's counters with their averages.
//
// Callers are the rooms, which count and fill tables, and the console, which
// sends a table to whoever asked. The package never reads a clock: every
// function that needs the time is given it. It never does I/O.
//
// There are no goroutines. Table and Totals are plain values: whoever made one
// owns it. Averages has one lock of its own, taken for map look-ups and
// arithmetic only, and may be used from any goroutine.
//
//	t := stats.Table{Columns: columns}
//	t.Append("shop", int64(20))
//
//	averages := stats.NewAverages(stats.Period, now)
//	averages.Observe(now, totals)              // once in a while
//	avg := averages.Of(now, "shop", totals["shop"]) // SHOW STATS
package stats
