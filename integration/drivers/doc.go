// Package drivers runs drivers' own test suites through Penstock: pgx's and
// lib/pq's, from their module archives, and small programs with psycopg2 and
// JDBC. A test that passes directly must pass through session mode and through
// transaction mode, always with four other clients busy on the same pool.
//
// What does not pass stands in testdata/known_failures.txt, with its reason. A
// failure that is not listed there fails the run, and so does a listed one that
// passes.
//
// The suites need the module proxy (or the module cache) and several minutes;
// -short leaves them out. PENSTOCK_SUITE_RUN narrows them to the tests that a
// pattern of go test -run matches.
//
// Goroutines: those of package integration, and what os/exec starts.
package drivers
