// Package admin is the SQL console: it answers SQL on the pseudo-databases
// penstock and pgbouncer.
//
// The proxy calls it. A client that has logged in to one of these databases is
// handed over with Console.AppendGreeting and Console.Serve (or Session, when
// the proxy also wants to pass on cancel requests). What the console shows
// comes from a Source, what it does goes to a Controller; cmd wires both.
//
// SHOW answers with the columns of PgBouncer 1.25.2, whose order and types
// tools depend on: they stand in columns.go, and Columns gives them to whoever
// builds the rows. Commands stand in one table, commands.go, each with who may
// run it; a row that does not say so is for administrators only. Both the
// simple and the extended protocol lead through the same check, Session.allow.
// Transactions are accepted and mean nothing: a command acts at once. EXPLAIN
// ROUTE passes a text on to the Source unread: it alone is SQL, and so goes to
// the end of the query string, whatever the console's own lexer thinks of it.
//
// The console never sees passwords, never touches a server connection and is
// not made for speed. It starts no goroutines: Serve runs in the session's own
// and there blocks as long as the client is silent or a command waits (PAUSE,
// WAIT_CLOSE, SUSPEND, SWITCHOVER). A Session's only lock guards the function that cancels
// the running command; a Console is immutable.
//
//	console := admin.New(source, controller, log)
//	buf = console.AppendGreeting(buf) // after AuthenticationOk
//	... BackendKeyData, ReadyForQuery ...
//	err := console.Serve(ctx, conn, admin.Identity{User: user, Admin: true})
package admin
