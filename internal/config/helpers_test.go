package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/penstock/penstock/internal/config"
)

// minimal is the shortest file that works, in front of which tests put theirs.
const minimal = `
[databases.shop]
primary = "host=10.0.0.1 user=shop password=canary-shop"
`

// env answers for ${NAME} from pairs of name and value.
func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func mustParse(t *testing.T, text string, pairs ...string) *config.Config {
	t.Helper()
	c, err := config.Parse("penstock.toml", []byte(text), env(pairs...))
	if err != nil {
		t.Fatalf("parse: %v\n%s", err, text)
	}
	return c
}

// problemsOf returns what Parse complains about, one line each.
func problemsOf(t *testing.T, text string, pairs ...string) []string {
	t.Helper()
	_, err := config.Parse("penstock.toml", []byte(text), env(pairs...))
	if err == nil {
		t.Fatalf("no problem found in\n%s", text)
	}
	problems, ok := errors.AsType[config.Problems](err)
	if !ok {
		t.Fatalf("error is %T, want config.Problems", err)
	}
	var lines []string
	for _, p := range problems {
		lines = append(lines, p.String())
	}
	return lines
}

// write puts a file into a temporary folder and returns its name.
func write(t *testing.T, name, text string) string {
	t.Helper()
	full := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(full, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return full
}

func wantLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("got\n%s\nwant\n%s", g, w)
	}
}
