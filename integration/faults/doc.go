// Package faults tests Penstock against connections that end at any point:
// thousands of clients that vanish in the middle of something, and
// conversations cut at each frame, on the client's side and on PostgreSQL's.
// It has nothing but tests.
//
// Every test runs a real proxy.Server in this process, in front of a real
// PostgreSQL. Random tests print their seed; -short makes them small.
//
// Goroutines: one for each client that vanishes or checks, one for each worker
// that goes through the cuts of a conversation and one that lifts its fault
// when it has struck, and three for each connection that is recorded. Each test
// waits for its own, and checks that Penstock leaves none behind.
package faults
