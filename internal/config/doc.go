// Package config turns a TOML file into a checked, complete [Config], and says
// what a reload changes.
//
// cmd/penstock calls [Load] (or [FromDSN] for `penstock run DSN`) and hands the
// parts of the Config to the rooms of the program; the console reads
// [Config.Settings] for SHOW CONFIG and answers RELOAD with [Diff]. A Config is
// immutable once it is returned: a reload builds a new one.
//
// Every setting is one row of the table in table.go: its name, default, check,
// moment of effect and text. SHOW CONFIG, [Diff], docs/config.md and
// penstock.example.toml are made from these rows. After a change run
//
//	go test ./internal/config -run TestDocs -update
//
// [Load] reports all problems of a file at once, each with file:line and the
// key, as [Problems]. No secret (a password in a connection string, an inline
// user's secret, the value of an environment variable) stands in a Problem, in
// Settings or in a Diff.
//
// The package never opens a connection, never logs, never changes a file and
// never reads PostgreSQL's PG* variables or .pgpass. It reads the files that a
// Config names only to check them and to take a password from password_file.
//
// Goroutines: none. Locks: none.
//
//	c, err := config.Load("penstock.toml")
//	if err != nil {
//		return err // lists every problem, one per line
//	}
//	for _, n := range c.Notices() {
//		log.Warn("config notice", "reason", n.String())
//	}
package config
