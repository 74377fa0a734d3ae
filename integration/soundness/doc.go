// Package soundness asks real servers whether what router.Classify sends to a
// replica belongs there. It has tests only.
//
// Each statement that is called a safe read runs on a primary, where it may
// assign no transaction id, take no advisory lock, change no setting, and leave
// nothing in its session; and on a standby that has replayed everything, where
// it must answer the same rows or the same SQLSTATE. Each SELECT that is not
// called safe runs on the standby in a READ ONLY transaction and then on the
// primary: if nothing speaks against it there, it was kept from a replica for
// nothing, and too many of those fail the test too.
//
// Statements come from four sources: sqlsmith, a sweep over everything that the
// catalog has, a generator over the grammar that also knows where volatility
// hides, and the shapes that ORMs write. The same seed makes the same
// statements; PENSTOCK_SOUNDNESS_SEED chooses another. PENSTOCK_SOAK, a factor
// or a duration, makes the test longer than its ordinary minute; 10m are more
// than 200,000 statements:
//
//	PENSTOCK_SOAK=10m go test -timeout 0 -v -run Soundness ./integration/soundness
//
// PENSTOCK_SOUNDNESS_SAMPLES names a file for what was found.
//
// Goroutines: one for each worker, ended before the test is. Locks: none.
package soundness
