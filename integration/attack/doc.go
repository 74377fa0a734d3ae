// Package attack tests Penstock against strangers who mean harm: connections
// that never log in, lengths that lie, names that forge the log, guessed
// passwords and cancel keys, and rows as large as memory. It has nothing but
// tests.
//
// Most tests run cmd/penstock as a process of its own, in front of a real
// PostgreSQL, so that its memory and its log are nobody else's.
//
// Goroutines: one for each client that a test plays; each test waits for its
// own.
package attack
