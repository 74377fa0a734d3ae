package arch

import (
	"go/ast"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// goroutine names the function in which a goroutine spends its life.
type goroutine struct {
	pkg      string // folder from the top of the module
	function string // "Type.method" or "function"; "" for any in the package
}

func (g goroutine) String() string {
	return strings.TrimSuffix(g.pkg+"."+g.function, ".")
}

// goroutines is the whole list: a new goroutine gets a row here and in the
// table of docs/architecture.md, which says how long it lives and what it owns.
func goroutines() []goroutine {
	return []goroutine{
		{"proxy", "Server.serve"},
		{"proxy", "Server.login"},
		{"proxy", "Server.janitor"},
		{"proxy", "Server.unpark"},
		{"proxy", "session.run"},
		{"pool", "Conn.readLoop"},
		{"pool", "Pool.dial"},
		{"pool", "Conn.cancel"},
		{"pool", "Set.janitor"},
		{"router", "monitor.watch"},
		{"router", "Cluster.readCatalog"},
		{"router", "Cluster.announce"},
		{"router", "Cluster.finishOver"},
		{"proxy", "Server.retire"},
		{"cmd/penstock", ""}, // the signal loop
	}
}

// testKit folders are no part of the running program; they start what they need.
var testKit = []string{"internal/pgtest", "integration", "bench"}

// goroutineProblems finds goroutines that the list does not have. A goroutine
// is started by a go statement or by the Go method of a WaitGroup or errgroup;
// it must run a listed function of its own package, either directly, as in
// `go c.readLoop()`, or as a call in a short function literal.
func goroutineProblems(allowed []goroutine) func(*tree) []string {
	return func(t *tree) []string {
		methods := methodsByName(t)
		var problems []string
		for _, f := range t.code() {
			dir := f.dir()
			if slices.ContainsFunc(testKit, func(kit string) bool { return dir == kit || strings.HasPrefix(dir, kit+"/") }) {
				continue
			}
			if slices.Contains(allowed, goroutine{dir, ""}) {
				continue
			}
			ast.Inspect(f.syntax, func(node ast.Node) bool {
				started := startedBy(node)
				if started == nil {
					return true
				}
				for _, name := range calledBy(started) {
					for _, function := range methods[dir][name] {
						if slices.Contains(allowed, goroutine{dir, function}) {
							return true
						}
					}
				}
				problems = append(problems, t.at(node.Pos(), "a goroutine that the table in docs/architecture.md does not list"))
				return true
			})
		}
		return problems
	}
}

// startedBy returns the function that a node starts as a goroutine, or nil.
func startedBy(node ast.Node) ast.Expr {
	switch n := node.(type) {
	case *ast.GoStmt:
		return n.Call.Fun
	case *ast.CallExpr:
		if method, ok := n.Fun.(*ast.SelectorExpr); ok && method.Sel.Name == "Go" && len(n.Args) == 1 {
			return n.Args[0]
		}
	}
	return nil
}

// calledBy lists the names that a started function may go by: its own, or those
// of the functions that a literal calls.
func calledBy(started ast.Expr) []string {
	literal, ok := started.(*ast.FuncLit)
	if !ok {
		return []string{lastName(started)}
	}
	var names []string
	for _, statement := range literal.Body.List {
		if call, ok := statement.(*ast.ExprStmt); ok {
			if call, ok := call.X.(*ast.CallExpr); ok {
				names = append(names, lastName(call.Fun))
			}
		}
	}
	return names
}

// lastName is the name of a function without what stands before its dot.
func lastName(fun ast.Expr) string {
	switch f := fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	default:
		return ""
	}
}

// methodsByName lists for each package and bare name the functions of that
// name, as "Type.method" or "function".
func methodsByName(t *tree) map[string]map[string][]string {
	result := map[string]map[string][]string{}
	for _, f := range t.code() {
		if result[f.dir()] == nil {
			result[f.dir()] = map[string][]string{}
		}
		for _, decl := range f.syntax.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			full := fn.Name.Name
			if receiver := receiverType(fn); receiver != "" {
				full = receiver + "." + full
			}
			names := result[f.dir()]
			names[fn.Name.Name] = append(names[fn.Name.Name], full)
		}
	}
	return result
}

// receiverType is the name of a method's type, "" for a plain function.
func receiverType(fn *ast.FuncDecl) string {
	if fn.Recv == nil {
		return ""
	}
	expr := fn.Recv.List[0].Type
	if star, ok := expr.(*ast.StarExpr); ok {
		expr = star.X
	}
	switch generic := expr.(type) {
	case *ast.IndexExpr:
		expr = generic.X
	case *ast.IndexListExpr:
		expr = generic.X
	}
	return lastName(expr)
}

// missingFunctions lists the goroutines of the list whose function is not there.
func missingFunctions(t *tree, listed []goroutine) []string {
	methods := methodsByName(t)
	var problems []string
	for _, g := range listed {
		name := g.function[strings.LastIndex(g.function, ".")+1:]
		if methods[g.pkg] == nil || g.function != "" && !slices.Contains(methods[g.pkg][name], g.function) {
			problems = append(problems, "the goroutine table lists "+g.String()+", which does not exist")
		}
	}
	return problems
}

// documentedGoroutines reads the first column of the marked table of a document.
func documentedGoroutines(text string) []string {
	_, text, _ = strings.Cut(text, "<!-- goroutines:begin -->")
	text, _, _ = strings.Cut(text, "<!-- goroutines:end -->")
	var names []string
	for _, match := range regexp.MustCompile("(?m)^\\| `([^`]+)`").FindAllStringSubmatch(text, -1) {
		names = append(names, match[1])
	}
	return names
}

// differingRows compares the list of this test with the table of a document.
func differingRows(listed []goroutine, document string) []string {
	inTest, inDocument := map[string]bool{}, map[string]bool{}
	for _, g := range listed {
		inTest[g.String()] = true
	}
	for _, name := range documentedGoroutines(document) {
		inDocument[name] = true
	}
	var problems []string
	for _, name := range slices.Sorted(maps.Keys(inTest)) {
		if !inDocument[name] {
			problems = append(problems, "docs/architecture.md has no row for the goroutine "+name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(inDocument)) {
		if !inTest[name] {
			problems = append(problems, "docs/architecture.md lists the goroutine "+name+", goroutines_test.go does not")
		}
	}
	return problems
}

func TestGoroutinesAreListed(t *testing.T) {
	source := load(t)
	report(t, goroutineProblems(goroutines())(source))
	report(t, missingFunctions(source, goroutines()))
}

func TestGoroutineTableIsTheDocumentsTable(t *testing.T) {
	report(t, differingRows(goroutines(), read(t, "docs/architecture.md")))
}

func TestGoroutineRuleFindsStrayGoroutines(t *testing.T) {
	allowed := []goroutine{{"pool", "Conn.readLoop"}, {"pool", "watch"}, {"cmd/penstock", ""}}
	wantProblems(t, goroutineProblems(allowed), map[string]string{
		"pool/conn.go": `package pool

type Conn struct{}
type Other struct{}

func (c *Conn) readLoop() {}
func (o *Other) loop()    {}
func watch()              {}
`,
		"pool/good.go": `package pool

func good(c *Conn) {
	go c.readLoop()
	go watch()
	wg.Go(c.readLoop)
	wg.Go(func() { c.readLoop() })
	go func() { defer wg.Done(); c.readLoop() }()
}
`,
		"pool/poor.go": `package pool

func poor(c *Conn, o *Other) {
	go o.loop()
	go func() { for { o.loop() } }()
	wg.Go(o.loop)
	go func() { if ready() { c.readLoop() } }()
}
`,
		"proxy/poor.go":              "package proxy\n\nfunc watch() { go watch() }\n",
		"pool/pool_test.go":          "package pool\n\nfunc f() { go f() }\n",
		"cmd/penstock/main.go":       "package main\n\nfunc main() { go func() {}() }\n",
		"internal/pgtest/process.go": "package pgtest\n\nfunc f() { go f() }\n",
	},
		"pool/poor.go:4", "pool/poor.go:5", "pool/poor.go:6", "pool/poor.go:7", "proxy/poor.go:3",
	)
}

func TestGoroutineTableComparisonFindsDifferences(t *testing.T) {
	document := "<!-- goroutines:begin -->\n| goroutine |\n|---|\n| `pool.Conn.readLoop` |\n| `pool.gone` |\n<!-- goroutines:end -->\n| `pool.later` |\n"
	got := differingRows([]goroutine{{"pool", "Conn.readLoop"}, {"cmd/penstock", ""}}, document)
	want := []string{
		"docs/architecture.md has no row for the goroutine cmd/penstock",
		"docs/architecture.md lists the goroutine pool.gone, goroutines_test.go does not",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	source := parse(t, map[string]string{"pool/a.go": "package pool\n\nfunc readLoop() {}\n"})
	if got := missingFunctions(source, []goroutine{{"pool", "Conn.readLoop"}}); len(got) != 1 {
		t.Errorf("a listed goroutine without a function was not found: %q", got)
	}
}
