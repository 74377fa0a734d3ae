// Package wire reads, forwards and writes frames of the PostgreSQL protocol
// over a socket without decoding what need not be decoded.
//
// Who calls it: proxy for client connections, pool for server connections.
// Both hand a [Receiver] to [Conn.Pump], which waits until the socket is
// readable, takes a buffer from a pool, receives once and gives the bytes to
// the Receiver. An idle connection holds no buffer.
//
// What it never does: it never decodes a row, never believes a length before
// the bytes are there, never keeps a descriptor's number outside a
// [syscall.RawConn] call, and knows nothing of sessions, pools or SQL.
//
// Goroutines: none of its own. Pump runs in the goroutine that calls it, one
// per connection, for the connection's life. Write may be called by one
// goroutine at a time; the callers hold a lock of their own for that.
//
// Locks: none, but for the runtime's own in the poller.
//
//	c := wire.NewConn(netConn)
//	err := c.Pump(receiver) // returns when the peer has gone or Close was called
package wire
