package config

import (
	"slices"
	"strconv"
	"strings"
)

// path is the place of a value in a TOML file. Its steps are written as TOML
// writes them: a bare key, a quoted key or an index such as "[2]".
type path []string

// key returns the path of a key in the table p.
func (p path) key(name string) path {
	if !isBareKey(name) {
		name = strconv.Quote(name)
	}
	return append(slices.Clip(p), name)
}

// item returns the path of an element of the array p.
func (p path) item(i int) path {
	return append(slices.Clip(p), "["+strconv.Itoa(i)+"]")
}

// String returns the path as in databases."*".replicas[2].
func (p path) String() string {
	var b strings.Builder
	for i, step := range p {
		if i > 0 && step[0] != '[' {
			b.WriteByte('.')
		}
		b.WriteString(step)
	}
	return b.String()
}

func isBareKey(name string) bool {
	for _, r := range name {
		ok := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-'
		if !ok {
			return false
		}
	}
	return name != ""
}
