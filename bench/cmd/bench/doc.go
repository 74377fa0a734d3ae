// Command bench measures Penstock against PgBouncer on this machine and writes
// the results; package bench tells how.
//
// make bench calls it; -readme puts the newest results into the README instead
// of measuring. It is never installed. Goroutines: none of its own. Locks: none.
//
//	go run ./bench/cmd/bench -quick -points '^simple-(1|8)$'
package main
