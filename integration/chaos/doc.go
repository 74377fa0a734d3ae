// Package chaos tests Penstock against everything that goes wrong: clients
// that lie, vanish or never speak, servers that are killed, and connections
// that break at any frame. It has nothing but tests.
//
// Every test runs a real proxy.Server in this process, in front of a real
// PostgreSQL, and speaks to it byte by byte. Random tests print their seed;
// PENSTOCK_CHAOS_SEED repeats one, PENSTOCK_SOAK (a duration or a factor)
// makes them longer, and -short makes them small.
//
// Goroutines: one for each client that a test plays, and those of its faulty
// connections; each test waits for its own, and checks that Penstock leaves
// none behind.
package chaos
