// Package pool keeps a bounded number of authenticated server connections and
// lends each of them to one session at a time.
//
// Who calls it: proxy acquires and releases connections; cmd/penstock starts
// the [Set] and applies reloads; the console reads snapshots.
//
// What it never does: it never looks into a statement, never decides where a
// statement goes, never lets two sessions have one connection, and never hands
// a connection on while a cancel request for it is under way.
//
// Goroutines: Conn.readLoop, one per server connection, reads the server for
// the connection's life, linked or idle; Pool.dial, one per connect in
// progress; Conn.cancel, one per cancel in progress; Set.janitor, one.
//
// Locks: Pool.mu guards a pool's lists and the state of its connections.
// Under it no I/O happens and only the leaf lock limits.mu may be taken. A
// session's own lock comes before Pool.mu, never after.
//
//	conn, err := p.Acquire(&session.waiter) // linked to the session
//	...
//	conn.Release() // or conn.Destroy(err)
package pool
