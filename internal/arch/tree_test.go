package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/penstock/penstock"

// tree is the parsed source of a module.
type tree struct {
	fset  *token.FileSet
	files []*file // in the order of their paths
}

// file is one Go source file.
type file struct {
	path   string // with slashes, from the top of the module
	test   bool
	syntax *ast.File
}

// dir is the folder of the file's package, from the top of the module.
func (f *file) dir() string { return path.Dir(f.path) }

// imports lists the import paths of the file.
func (f *file) imports() []string {
	var paths []string
	for _, spec := range f.syntax.Imports {
		paths = append(paths, strings.Trim(spec.Path.Value, `"`))
	}
	return paths
}

// at begins the report of a problem.
func (t *tree) at(pos token.Pos, format string, args ...any) string {
	p := t.fset.Position(pos)
	return fmt.Sprintf("%s:%d: ", p.Filename, p.Line) + fmt.Sprintf(format, args...)
}

// code lists the files that are neither tests nor generated.
func (t *tree) code() []*file {
	return slices.DeleteFunc(slices.Clone(t.files), func(f *file) bool {
		return f.test || ast.IsGenerated(f.syntax)
	})
}

// parse makes a tree of texts by path.
func parse(t *testing.T, texts map[string]string) *tree {
	t.Helper()
	result := &tree{fset: token.NewFileSet()}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		syntax, err := parser.ParseFile(result.fset, name, texts[name], parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		test := strings.HasSuffix(name, "_test.go")
		result.files = append(result.files, &file{path: name, test: test, syntax: syntax})
	}
	return result
}

// load parses the module that this package is part of.
func load(t *testing.T) *tree {
	t.Helper()
	texts := map[string]string{}
	err := filepath.WalkDir(top, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			hidden := strings.HasPrefix(entry.Name(), ".") && name != top
			if hidden || entry.Name() == "testdata" || entry.Name() == "node_modules" {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(top, name)
		texts[filepath.ToSlash(relative)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, texts)
}

// top is the top of the module, seen from where the tests run.
var top = filepath.Join("..", "..")

// read returns the text of a file of the module.
func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// report fails the test with every problem.
func report(t *testing.T, problems []string) {
	t.Helper()
	for _, problem := range problems {
		t.Error(problem)
	}
}

// wantProblems runs a rule over small sources and compares what it finds.
// Each wanted string must be part of the problem in its place.
func wantProblems(t *testing.T, rule func(*tree) []string, texts map[string]string, want ...string) {
	t.Helper()
	got := rule(parse(t, texts))
	if len(got) != len(want) {
		t.Fatalf("got %d problems %q, want %d %q", len(got), got, len(want), want)
	}
	for i, part := range want {
		if !strings.Contains(got[i], part) {
			t.Errorf("got %q, want it to contain %q", got[i], part)
		}
	}
}
