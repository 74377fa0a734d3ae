// Package pgtest is the test kit: throw-away PostgreSQL clusters, transcripts
// of conversations, and scripted peers.
//
// Tests use all of it. The demo and the benchmarks of penstock use the clusters,
// which is why Start knows contexts and errors and not package testing. It is
// never part of a running pooler, and never touches a PostgreSQL that it did not
// start itself: processes are signalled by their pid, folders removed by name.
//
// # Clusters
//
// Start makes a primary and its streaming replicas on loopback, of any
// PostgreSQL from 13 to 18, as root under the user postgres. A data folder is a
// copy of one that initdb made once per version and user, kept in the temporary
// folder; so a start takes a fraction of a second.
//
//	c, err := pgtest.Start(ctx, pgtest.Options{Replicas: 1}) // in tests: pgtest.StartT(t, ...)
//	...
//	defer c.Stop()
//	err = c.Primary.Kill()
//	err = c.Promote(ctx, c.Replicas[0])
//
// # Transcripts
//
// A transcript (testdata/*.pgt) is a conversation recorded from PostgreSQL. Run
// plays it against any Target, and RunDir compares what comes with what was
// recorded: first from PostgreSQL, then through the pooler.
//
//	# Comments, and one connection after the other; the first is called main.
//	[conn a]
//	startup {"application_name":"test"}
//
//	send
//	Query {"String":"SELECT 1 AS one"}
//	Parse {"Name":"s","Query":"SELECT $1::int"}
//	Bind {"PreparedStatement":"s","Parameters":[{"text":"1"}]}
//	CopyData {"text":"1\n"}
//	Raw "53 00000004"
//	----
//
//	until ignore=NoticeResponse,ParameterStatus
//	ReadyForQuery
//	----
//	{"Type":"CommandComplete","CommandTag":"SELECT 1"}
//	{"Type":"ReadyForQuery","TxStatus":"I"}
//
// A send block is one write. An until block reads up to each of its message types
// in turn; Closed is the end of the connection. What differs from run to run is
// masked: process ids, keys, OIDs of user objects, all of an error but severity,
// code and message. Answers are recorded with "go test -rewrite"; commit them
// only if you can explain them.
//
// # Peers
//
// Client says exact bytes to a server. Serve and Script are a PostgreSQL that
// follows a list of steps. Faulty stands before a real one and cuts, stalls or
// delays a connection at a given byte or message.
//
// # Goroutines and locks
//
// Each postmaster has one goroutine that waits for its end (startProcess), each
// ScriptServer and Faulty one that accepts, one per script and two per forwarded
// connection; Close waits for all of them. Each type has at most one mutex, never
// held during I/O but in Instance.launch; Faulty's may be held when a
// connection's is taken. There is no package-level state.
package pgtest
