package auth

import (
	"strings"

	"github.com/xdg-go/stringprep"
	"golang.org/x/text/unicode/norm"
)

// saslprep prepares a password as pg_saslprep does (PostgreSQL,
// src/common/saslprep.c), and like PostgreSQL uses it raw where SASLprep would
// refuse it: bytes that are no UTF-8 turn up as U+FFFD, which is prohibited. It
// differs from RFC 4013 where PostgreSQL does: zero-width space becomes a
// space, and prohibited characters are looked for before normalization.
func saslprep(password string) string {
	var b strings.Builder
	for _, r := range password {
		if isWideSpace(r) {
			b.WriteByte(' ')
		} else if _, nothing := stringprep.TableB1.Map(r); !nothing {
			b.WriteRune(r)
		}
	}
	if b.Len() == 0 {
		return password
	}
	rules := stringprep.Profile{Prohibits: stringprep.SASLprep.Prohibits, CheckBiDi: true}
	mapped, err := rules.Prepare(b.String())
	if err != nil {
		return password
	}
	return norm.NFKC.String(mapped)
}

// isWideSpace is RFC 3454 table C.1.2, non-ASCII space characters.
func isWideSpace(r rune) bool {
	return r == 0xa0 || r == 0x1680 || r >= 0x2000 && r <= 0x200b ||
		r == 0x202f || r == 0x205f || r == 0x3000
}
