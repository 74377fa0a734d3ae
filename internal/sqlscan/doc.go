// Package sqlscan tells what a SQL text is, without running it. In this
// release that is one question: what may be left on the server connection
// when the statement has run (see [Effect]).
//
// Who calls it: proxy, once per simple query and once per prepared statement.
//
// What it never does: it never guesses. A text that it cannot place for sure
// gets Unknown, and then the command tag of the server's answer decides.
// It looks at the first words of a text and allocates nothing.
//
// Goroutines: none. Locks: none. All functions are pure.
package sqlscan
