package config

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// Problem is one thing wrong with a file, or worth a notice. It never holds a
// secret.
type Problem struct {
	// File is the file's name as it was given, or "DSN".
	File string
	// Line counts from 1; 0 = no particular line.
	Line int
	// Key is the full name of the setting, "" = the file as a whole.
	Key string
	// Message says what is wrong and, if known, what to write instead.
	Message string
}

// String returns file:line: key: message, without what is unknown.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		b.WriteString(":" + strconv.Itoa(p.Line))
	}
	if p.Key != "" {
		b.WriteString(": " + p.Key)
	}
	b.WriteString(": " + p.Message)
	return b.String()
}

// Problems is every problem of a file, in the order of its lines. It is the
// error of Load, Parse and FromDSN.
type Problems []Problem

// Error returns the problems, one per line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

func sortProblems(ps []Problem) {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Key, b.Key))
	})
}
