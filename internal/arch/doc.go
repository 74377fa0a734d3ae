// Package arch holds the house rules as tests, and nothing else: it reads the
// source of the whole module with go/parser and says where a rule is broken.
//
// The rules, one file each: who may import whom (imports), a package comment
// worth reading in every doc.go (comments), no mutable package-level variables
// (variables), goroutines only where the table of docs/architecture.md lists
// them (goroutines), files and functions that fit in a head (sizes), and a
// decision record for every direct dependency (dependencies). Each rule is a
// pure function from a tree of parsed files to a list of problems, and each is
// shown by a test to find a small bad source.
//
// The package never builds or runs what it reads, and no other package imports
// it. It starts no goroutines and has no locks. To run it alone:
//
//	go test ./internal/arch
package arch
