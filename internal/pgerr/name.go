package pgerr

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName is NAMEDATALEN - 1, where PostgreSQL cuts identifiers.
const maxName = 63

// Name returns s fit for a message or a log line: cut to 63 bytes at a
// character's border as PostgreSQL cuts identifiers, with control characters,
// format characters (such as right-to-left override) and bytes that are no
// UTF-8 written as \xNN.
func Name(s string) string {
	if len(s) > maxName {
		end := maxName
		for end > maxName-utf8.UTFMax && !utf8.RuneStart(s[end]) {
			end--
		}
		s = s[:end]
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return escape(s)
		}
	}
	return s
}

func escape(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if unicode.IsPrint(r) && (r != utf8.RuneError || n > 1) {
			b.WriteString(s[:n])
		} else {
			for i := range n {
				fmt.Fprintf(&b, `\x%02x`, s[i])
			}
		}
		s = s[n:]
	}
	return b.String()
}
