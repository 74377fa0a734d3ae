package attack

import (
	"strings"
	"testing"
	"unicode"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/penstock/penstock/internal/pgtest"
)

func TestNamesDoNotForgeTheLog(t *testing.T) {
	names := []string{
		"\x1b[2J\x1b]0;owned\x07", "a\nlevel=ERROR msg=forged", "a\r\n{\"level\":\"ERROR\",\"msg\":\"forged\"}",
		"\u009b31mred", "\x9b31m", "\x7f\b\b", "\u2028line\u202ertl", strings.Repeat("x", 9900),
		strings.Repeat("\x1b", 4000), strings.Repeat("y", 10_000),
	}
	for _, format := range []string{"json", "text"} {
		for method, auth := range map[string]string{"trust": "", "scram": scram} {
			t.Run(format+" "+method, func(t *testing.T) {
				p := start(t, options{auth: auth, log: "format = \"" + format + "\""})
				for _, name := range names {
					p.introduce(t, name, "postgres", "secret")
					p.introduce(t, "app", name, "right")
					p.introduce(t, "app", name, "wrong")
				}
				text := p.log(t)
				wantPlain(t, text)
				if format == "json" {
					jsonLines(t, text)
				}
				if n := strings.Count(text, "\n"); n < len(names) {
					t.Errorf("%d lines in the log, want the refused logins there", n)
				}
			})
		}
	}
}

// introduce tries to log in under a name.
func (p *penstock) introduce(t *testing.T, user, database, password string) {
	t.Helper()
	target := pgtest.Target{Dial: pgtest.DialTCP(p.addr), User: user, Database: database, Password: password}
	c, err := target.Connect(t.Context())
	if err == nil {
		_ = c.Close()
		return
	}
	if e := new(pgconn.ConnectError); !asError(err, &e) {
		t.Errorf("%.40q: %v", user, err)
	}
}

// wantPlain checks that a terminal shows a log as it is, and that no line is a
// megabyte.
func wantPlain(t *testing.T, text string) {
	t.Helper()
	longest := 0
	for line := range strings.Lines(text) {
		longest = max(longest, len(line))
		for _, r := range strings.TrimSuffix(line, "\n") {
			if unicode.IsControl(r) {
				t.Errorf("raw %q in %.300q", r, line)
				break
			}
		}
		if !strings.Contains(line, "level") || strings.HasPrefix(line, "level=ERROR msg=forged") {
			t.Errorf("a forged line: %.200q", line)
		}
	}
	t.Logf("longest line %d bytes", longest)
	if longest > 4096 {
		t.Errorf("a line of %d bytes, want at most 4096", longest)
	}
}
