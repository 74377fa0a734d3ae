// Package oracle compares internal/sqlscan with PostgreSQL's own parser, as
// pg_query_go carries it. It is a module of its own because that needs cgo and
// a minute of compiling, and has tests only:
//
//	cd integration/oracle && CGO_ENABLED=1 go test ./...
//
// Texts are written by hand or put together by chance from parts of the
// grammar. Whenever sqlscan says that a text is nothing but a question, the
// parse tree must agree, and every function and relation in the tree must be
// among the names. It never runs a statement. Goroutines: none. Locks: none.
package oracle
