package arch

import (
	"go/ast"
	"go/token"
	"regexp"
	"testing"
)

// linkerVariables are set by the Makefile's -ldflags and by nothing else.
var linkerVariables = map[string]bool{
	"cmd/penstock.version": true,
}

var sentinelName = regexp.MustCompile(`^(Err|err)[A-Z]`)

// variableProblems finds package-level variables that could change. Allowed are
// error sentinels made by errors.New, a sync.Pool, embedded files, and checks
// that a type implements an interface; everything else comes in through
// constructors, or is a function that returns the table.
func variableProblems(t *tree) []string {
	var problems []string
	for _, f := range t.code() {
		for _, decl := range f.syntax.Decls {
			group, ok := decl.(*ast.GenDecl)
			if !ok || group.Tok != token.VAR {
				continue
			}
			for _, spec := range group.Specs {
				value := spec.(*ast.ValueSpec)
				if embedded(group.Doc) || embedded(value.Doc) {
					continue
				}
				for i, name := range value.Names {
					if !allowedVariable(f, value, i) {
						problems = append(problems, t.at(name.Pos(), "package-level variable %s", name.Name))
					}
				}
			}
		}
	}
	return problems
}

// allowedVariable tells whether the i-th name of a declaration is harmless.
func allowedVariable(f *file, spec *ast.ValueSpec, i int) bool {
	name := spec.Names[i].Name
	if linkerVariables[f.dir()+"."+name] {
		return true
	}
	if name == "_" {
		return spec.Type != nil // var _ I = (*T)(nil)
	}
	if len(spec.Values) != len(spec.Names) {
		return isSelector(spec.Type, "sync", "Pool")
	}
	switch value := spec.Values[i].(type) {
	case *ast.CallExpr:
		return sentinelName.MatchString(name) && isSelector(value.Fun, "errors", "New")
	case *ast.CompositeLit:
		return isSelector(value.Type, "sync", "Pool")
	default:
		return false
	}
}

// embedded tells whether a comment has a go:embed directive.
func embedded(comment *ast.CommentGroup) bool {
	if comment == nil {
		return false
	}
	for _, line := range comment.List {
		if len(line.Text) > len("//go:embed ") && line.Text[:len("//go:embed ")] == "//go:embed " {
			return true
		}
	}
	return false
}

// isSelector tells whether an expression is pkg.name.
func isSelector(expr ast.Expr, pkg, name string) bool {
	selector, ok := expr.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := selector.X.(*ast.Ident)
	return ok && x.Name == pkg && selector.Sel.Name == name
}

func TestNoPackageLevelVariables(t *testing.T) {
	report(t, variableProblems(load(t)))
}

func TestVariableRuleFindsMutableState(t *testing.T) {
	wantProblems(t, variableProblems, map[string]string{
		"pool/a.go": `package pool

var counter int
var table = map[string]int{"a": 1}
var Default = New()
var errs = errors.New("not named as a sentinel")
var ErrFancy = fmt.Errorf("may wrap something that changes")
var a, b = f()
var _ = f()
`,
		"pool/a_test.go":         "package pool\n\nvar update = flag.Bool(\"update\", false, \"\")\n",
		"cmd/penstock/main.go":   "package main\n\nvar version = \"devel\"\n",
		"internal/wire/wire.go":  "package wire\n\nvar version = \"devel\"\n",
		"internal/wire/frame.go": "package wire\n\nimport \"regexp\"\n\nvar frame = regexp.MustCompile(`x`)\n",
		"pool/good.go": `package pool

var (
	ErrClosed  = errors.New("pool closed")
	errTimeout = errors.New("time-out")
)

//go:embed page.html
var page string

var buffers = sync.Pool{New: func() any { return new(buffer) }}
var _ Sink = (*sink)(nil)
`,
	},
		"package-level variable frame", "package-level variable version",
		"variable counter", "variable table", "variable Default", "variable errs", "variable ErrFancy",
		"variable a", "variable b", "variable _",
	)
}
