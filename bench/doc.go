// Package bench compares Penstock with PgBouncer on one machine.
//
// Run starts one PostgreSQL (internal/pgtest), PgBouncer and Penstock with the
// same pool size on loopback, and measures each point of Points in interleaved
// runs: in every round each point is run through both, one right after the
// other, and the first of them changes from round to round. So a ratio is that
// of two neighbours in time, and what is reported is the median of the rounds'
// ratios with their spread.
//
// Most points are pgbench -S. The measures of a run come from a window that
// begins with pgbench's first progress line, a second after the start, and ends
// with its last one: throughput from the lines between, the proxy's CPU time
// from the kernel's clock of that process at both ends, latencies from pgbench's
// log of single transactions. The idle points are clients in Go that log in and
// do nothing.
//
// The points about routing compare Penstock with itself: the same binary before a
// primary and two replicas, with routing and without. They come last, on servers
// of their own, so that replicas and their probes disturb no other point. A run in
// which the reads were not where they should have been is an error (tellServers).
//
// The package is used by its command alone (bench/cmd/bench) and never by the
// product. Figures are worth something only on a machine that does nothing else.
//
// Goroutines: one for each child process (startProcess), one that reads pgbench's
// progress (follow), and those that open idle clients (openClients); whoever
// starts them waits for them. Locks: none.
//
//	report, err := bench.Run(ctx, bench.Options{Rounds: 5, Seconds: 4, Points: bench.Points()})
//	fmt.Print(report.Markdown())
package bench
