// Package integration runs Penstock as a whole between real clients and a real
// PostgreSQL. Its tests are the promise of the product; what stands here outside
// of the tests is what they and integration/drivers share:
//
//   - [Start] makes a [House]: a throw-away cluster, prepared for the tests.
//   - [House.Open] starts a [Penstock] in this process, from TOML text, on a
//     port of its own, as cmd/penstock does.
//   - [StartNoise] keeps other clients busy on the same pool. A transaction
//     pooler that is tested alone hands the same server connection back and
//     proves nothing.
//
// PENSTOCK_TEST_BINDIR names the folder of the PostgreSQL server programs to
// test with; the newest installed ones are taken without it. Tests fail, and are
// not skipped, where there is no PostgreSQL.
//
// Goroutines: one per listener, in Penstock.serve, and one per noisy client, in
// noisyClient.run; Penstock.Close and Noise.Stop wait for them. Locks: each type
// has at most one mutex, which is never held during I/O. Nobody imports this
// package but integration/drivers.
package integration
