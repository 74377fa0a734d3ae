// Package routing tests reads on replicas and writes on the primary, on real
// PostgreSQL: where statements go, that nobody reads the past, and that nobody
// notices a failover. It has tests only.
//
// Goroutines: those of the tests' clients, which end with their test. Locks: none
// but the log's.
package routing
