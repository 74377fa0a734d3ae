package arch

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// decided gives for each direct dependency the record of why it is one.
func decided() map[string]string {
	return map[string]string{
		"github.com/jackc/pgx/v5":      "docs/decisions/0003-pgx.md",
		"github.com/BurntSushi/toml":   "docs/decisions/0004-toml.md",
		"github.com/xdg-go/scram":      "docs/decisions/0005-xdg-scram-and-stringprep.md",
		"github.com/xdg-go/stringprep": "docs/decisions/0005-xdg-scram-and-stringprep.md",
		"github.com/spf13/cobra":       "docs/decisions/0006-cobra.md",
		"golang.org/x/text":            "docs/decisions/0007-golang-x.md",
	}
}

// requirement is a line of go.mod.
type requirement struct {
	module   string
	indirect bool
}

// requirements reads the require lines of a go.mod.
func requirements(goMod string) []requirement {
	var result []requirement
	inBlock := false
	for line := range strings.Lines(goMod) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0:
		case fields[0] == "require" && len(fields) > 1 && fields[1] == "(":
			inBlock = true
		case fields[0] == ")":
			inBlock = false
		case fields[0] == "require" && len(fields) > 2:
			result = append(result, requirement{fields[1], strings.Contains(line, "// indirect")})
		case inBlock && !strings.HasPrefix(fields[0], "//"):
			result = append(result, requirement{fields[0], strings.Contains(line, "// indirect")})
		}
	}
	return result
}

// imported lists the modules of go.mod that the source itself imports.
func imported(t *tree, required []requirement) []string {
	found := map[string]bool{}
	for _, f := range t.files {
		for _, name := range f.imports() {
			longest := ""
			for _, r := range required {
				if (name == r.module || strings.HasPrefix(name, r.module+"/")) && len(r.module) > len(longest) {
					longest = r.module
				}
			}
			if longest != "" {
				found[longest] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// dependencyProblems compares three lists that must be one: what the source
// imports, what go.mod calls direct, and what has a decision record.
func dependencyProblems(t *tree, goMod string, decided map[string]string) []string {
	required := requirements(goMod)
	direct := imported(t, required)
	var problems []string
	for _, module := range direct {
		if decided[module] == "" {
			problems = append(problems, module+" is imported and has no decision record; see CONTRIBUTING.md")
		}
	}
	for _, module := range slices.Sorted(maps.Keys(decided)) {
		if !slices.Contains(direct, module) {
			problems = append(problems, module+" has a decision record and is imported by nothing")
		}
	}
	for _, r := range required {
		if r.indirect == slices.Contains(direct, r.module) {
			problems = append(problems, r.module+" is marked wrongly in go.mod; run go mod tidy")
		}
	}
	return problems
}

func TestEveryDependencyIsADecision(t *testing.T) {
	report(t, dependencyProblems(load(t), read(t, "go.mod"), decided()))
	for module, record := range decided() {
		text, err := os.ReadFile(filepath.Join(top, filepath.FromSlash(record)))
		if err != nil || !strings.Contains(string(text), module) {
			t.Errorf("%s does not tell why %s is a dependency (%v)", record, module, err)
		}
	}
}

func TestDependencyRuleFindsDifferences(t *testing.T) {
	goMod := `module example.org/m

go 1.26

require example.org/alone v1.0.0

require (
	// a remark
	example.org/kept v1.0.0
	example.org/kept/deeper v1.0.0
	example.org/marked v1.0.0 // indirect
	example.org/below v1.0.0 // indirect
)
`
	source := parse(t, map[string]string{
		"pool/a.go": `package pool

import (
	"strings"
	"example.org/kept"
	"example.org/kept/deeper/still"
	"example.org/marked/inside"
)
`,
	})
	got := dependencyProblems(source, goMod, map[string]string{
		"example.org/kept": "a.md", "example.org/marked": "b.md", "example.org/unused": "c.md",
	})
	want := []string{
		"example.org/kept/deeper is imported and has no decision record; see CONTRIBUTING.md",
		"example.org/unused has a decision record and is imported by nothing",
		"example.org/alone is marked wrongly in go.mod; run go mod tidy",
		"example.org/marked is marked wrongly in go.mod; run go mod tidy",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
