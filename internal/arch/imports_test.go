package arch

import (
	"slices"
	"strings"
	"testing"
)

// rooms are the four things the product is.
var rooms = []string{"proxy", "pool", "router", "querycache"}

// unbound folders may import anything, and nobody imports them.
var unbound = []string{"cmd", "integration", "bench"}

// topLevel is the first folder of a package of this module, "" for the top itself.
func topLevel(dir string) string {
	first, _, _ := strings.Cut(dir, "/")
	return strings.TrimPrefix(first, ".")
}

// importProblems finds imports against the rule of docs/architecture.md: rooms
// never import each other, except that proxy imports all; internal never
// imports a room; only cmd wires. Tests keep the same rule. Besides, the test
// kit is no part of the product.
func importProblems(t *tree) []string {
	var problems []string
	for _, f := range t.files {
		from := topLevel(f.dir())
		if slices.Contains(unbound, from) {
			continue
		}
		if from != "internal" && !slices.Contains(rooms, from) {
			problems = append(problems, t.at(f.syntax.Package,
				"folder %q is neither a room nor internal, cmd, integration or bench", f.dir()))
			continue
		}
		for i, name := range f.imports() {
			dir, ours := strings.CutPrefix(name, module+"/")
			if !ours {
				continue
			}
			pos := f.syntax.Imports[i].Pos()
			to := topLevel(dir)
			switch {
			case to == from || from == "proxy" && slices.Contains(rooms, to):
			case slices.Contains(unbound, to):
				problems = append(problems, t.at(pos, "nobody imports %s", dir))
			case from == "internal":
				problems = append(problems, t.at(pos, "internal never imports a room: %s", dir))
			case slices.Contains(rooms, to):
				problems = append(problems, t.at(pos, "room %s imports room %s", from, to))
			}
			if dir == "internal/pgtest" && !f.test && f.dir() != dir {
				problems = append(problems, t.at(pos, "the test kit is imported outside tests, cmd and bench"))
			}
		}
	}
	return problems
}

func TestImportsKeepTheRule(t *testing.T) {
	report(t, importProblems(load(t)))
}

func TestImportRuleFindsForbiddenImports(t *testing.T) {
	source := func(pkg, imported string) string {
		return "package " + pkg + "\nimport _ \"" + module + "/" + imported + "\"\n"
	}
	for name, c := range map[string]struct {
		path, imported, want string
	}{
		"room to room":           {"pool/a.go", "router", "room pool imports room router"},
		"room to proxy":          {"router/a.go", "proxy", "room router imports room proxy"},
		"room's test to room":    {"querycache/a_test.go", "pool", "room querycache imports room pool"},
		"internal to room":       {"internal/stats/a.go", "pool", "internal never imports a room"},
		"room to cmd":            {"proxy/a.go", "cmd/penstock", "nobody imports cmd/penstock"},
		"room to test kit":       {"pool/a.go", "internal/pgtest", "test kit"},
		"proxy to room":          {"proxy/a.go", "querycache", ""},
		"proxy to internal":      {"proxy/a.go", "internal/wire", ""},
		"internal to internal":   {"internal/auth/a.go", "internal/pgerr", ""},
		"room's test to kit":     {"pool/a_test.go", "internal/pgtest", ""},
		"cmd to anything":        {"cmd/penstock/a.go", "proxy", ""},
		"integration to all":     {"integration/a_test.go", "pool", ""},
		"a folder without a use": {"util/a.go", "internal/wire", "neither a room nor"},
	} {
		t.Run(name, func(t *testing.T) {
			var want []string
			if c.want != "" {
				want = []string{c.want}
			}
			wantProblems(t, importProblems, map[string]string{c.path: source("p", c.imported)}, want...)
		})
	}
}
