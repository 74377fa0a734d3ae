// Package proxy speaks PostgreSQL to clients and carries each session's
// messages to a server connection and the replies back.
//
// Who calls it: cmd/penstock makes one [Server], gives it listeners, and hands
// it reloads and shutdowns. The console reads it through [Server.Table] and
// commands it through the methods of control.go.
//
// The path of a query: session.Received (relay.go) looks at the heads of the
// client's frames, links a server connection, notes in the reply queue
// (replies.go) what is expected back, and sends the bytes on undecoded.
// session.Receive (answer.go), in the server connection's goroutine, asks the
// queue what to do with each reply: forward, skip, or insert one of ours.
//
// What it never does: it never decodes a row, never holds a lock while a
// client does not read, never answers from a guess at the transaction status,
// and never releases a server connection whose reply queue is not empty.
//
// Goroutines: Server.serve, one per listener; Server.login, one per connection
// until its login ends; session.run, one per client that is not parked
// (park.go); Server.janitor and Server.unpark, one each.
// Replies run in the goroutines of package pool.
//
// Locks, in the order in which they may be taken: session.writing, session.mu,
// link.writing, then Pool.mu. Server.mu guards the table of sessions and is
// taken alone.
package proxy
