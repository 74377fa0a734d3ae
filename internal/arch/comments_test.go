package arch

import (
	"go/ast"
	"path"
	"strings"
	"testing"
)

const fewestWords = 10

// commentProblems finds packages without a doc.go that tells a newcomer what
// the package is and what goroutines it starts.
func commentProblems(t *tree) []string {
	var problems []string
	docs := map[string]*file{}
	for _, f := range t.files {
		switch {
		case path.Base(f.path) == "doc.go":
			docs[f.dir()] = f
		case f.syntax.Doc != nil && !f.test && !onlyDirectives(f.syntax.Doc):
			problems = append(problems, t.at(f.syntax.Doc.Pos(), "a package comment outside doc.go"))
		}
	}
	seen := map[string]bool{}
	for _, f := range t.files {
		if seen[f.dir()] {
			continue
		}
		seen[f.dir()] = true
		doc := docs[f.dir()]
		if doc == nil {
			problems = append(problems, t.at(f.syntax.Package, "package %s has no doc.go", f.dir()))
			continue
		}
		text := doc.syntax.Doc.Text()
		opening := "Package " + doc.syntax.Name.Name + " "
		if doc.syntax.Name.Name == "main" {
			opening = "Command " + path.Base(doc.dir()) + " "
		}
		switch {
		case !strings.HasPrefix(strings.Join(strings.Fields(text), " "), opening):
			problems = append(problems, t.at(doc.syntax.Package, "the package comment does not begin with %q", opening))
		case len(strings.Fields(text)) < fewestWords:
			problems = append(problems, t.at(doc.syntax.Package, "the package comment has fewer than %d words", fewestWords))
		case !strings.Contains(strings.ToLower(text), "goroutine"):
			problems = append(problems, t.at(doc.syntax.Package, "the package comment does not speak of goroutines"))
		}
	}
	return problems
}

// onlyDirectives tells a comment for tools from one for readers.
func onlyDirectives(comment *ast.CommentGroup) bool {
	return strings.TrimSpace(comment.Text()) == ""
}

func TestEveryPackageExplainsItself(t *testing.T) {
	report(t, commentProblems(load(t)))
}

func TestCommentRuleFindsPoorComments(t *testing.T) {
	for name, c := range map[string]struct {
		path, text, want string
	}{
		"no doc.go":       {"pool/a.go", "package pool", "no doc.go"},
		"elsewhere":       {"pool/a.go", "// Package pool is told here.\npackage pool", "outside doc.go"},
		"no comment":      {"pool/doc.go", "package pool", "does not begin"},
		"short":           {"pool/doc.go", "// Package pool pools; no goroutines.\npackage pool", "fewer than 10"},
		"no goroutines":   {"pool/doc.go", "// Package pool keeps a bounded number of authenticated server connections at hand.\npackage pool", "goroutines"},
		"command":         {"cmd/penstock/doc.go", "// Package main is the program, with one goroutine that waits for the signals.\npackage main", "Command penstock"},
		"a good one":      {"pool/doc.go", "// Package pool keeps a bounded number of server connections; one goroutine reads each.\npackage pool", ""},
		"a good command":  {"cmd/penstock/doc.go", "// Command penstock reads the config and builds the rooms; one goroutine waits for signals.\npackage main", ""},
		"tests need it":   {"integration/a_test.go", "package integration", "no doc.go"},
		"build directive": {"pool/doc.go", "//go:build linux\n\n// Package pool keeps a bounded number of server connections; a goroutine reads each.\npackage pool", ""},
	} {
		t.Run(name, func(t *testing.T) {
			problems := commentProblems(parse(t, map[string]string{c.path: c.text}))
			if all := strings.Join(problems, "\n"); !strings.Contains(all, c.want) || (c.want == "") != (all == "") {
				t.Errorf("got %q, want %q", all, c.want)
			}
		})
	}
}
