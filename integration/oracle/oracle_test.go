package oracle

import (
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/penstock/penstock/internal/sqlscan"
)

const bad = sqlscan.FeatureNotUnderstood | sqlscan.FeatureMulti | sqlscan.FeatureDataModifyingWith |
	sqlscan.FeatureInto | sqlscan.FeatureLocking | sqlscan.FeatureTemporary

const questions = sqlscan.KindSelect | sqlscan.KindValues | sqlscan.KindTable | sqlscan.KindExplain

// facts are what a parse tree says.
type facts struct {
	statements, questions int
	changes               []string // what makes a text more than a question
	names                 []string // of functions and relations
	calls                 []string // of functions
	fields                []string // of values
}

// read walks a tree by reflection, so that no kind of node is forgotten.
func (f *facts) read(m protoreflect.Message) {
	switch node := m.Interface().(type) {
	case *pg.RawStmt:
		f.statements++
		switch node.Stmt.Node.(type) {
		case *pg.Node_SelectStmt, *pg.Node_ExplainStmt:
			f.questions++
		}
	case *pg.InsertStmt, *pg.UpdateStmt, *pg.DeleteStmt, *pg.MergeStmt, *pg.IntoClause, *pg.LockingClause, *pg.CreateStmt:
		f.changes = append(f.changes, string(m.Descriptor().Name()))
	case *pg.ExplainStmt:
		for _, option := range node.Options {
			if option.GetDefElem().GetDefname() == "analyze" {
				f.changes = append(f.changes, "ANALYZE")
			}
		}
	case *pg.RangeVar:
		f.names = append(f.names, node.Relname)
		if node.Relpersistence == "t" {
			f.changes = append(f.changes, "temporary")
		}
	case *pg.FuncCall:
		name := node.Funcname[len(node.Funcname)-1].GetString_().GetSval()
		f.names = append(f.names, name)
		if name != "overlaps" && name != "system_user" { // words that call a function of pg_catalog
			f.calls = append(f.calls, name)
		}
	case *pg.A_Indirection:
		for _, part := range node.Indirection {
			if name := part.GetString_().GetSval(); name != "" {
				f.fields = append(f.fields, name)
			}
		}
	}
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case field.Kind() != protoreflect.MessageKind:
		case field.IsList():
			for i := range v.List().Len() {
				f.read(v.List().Get(i).Message())
			}
		default:
			f.read(v.Message())
		}
		return true
	})
}

// compare returns false for a text that PostgreSQL refuses.
func compare(t *testing.T, s *sqlscan.Scanner, text string) (parsed, question bool) {
	tree, err := pg.Parse(text)
	if err != nil {
		return false, false
	}
	var f facts
	f.read(proto.Message(tree).ProtoReflect())
	st := s.Scan(text, sqlscan.Options{})
	question = st.Kinds.Only(questions) && !st.Features.Has(bad)
	if question && (len(f.changes) > 0 || f.questions != f.statements) {
		t.Errorf("%q: sqlscan says a question, the tree has %v, %d of %d are questions", text, f.changes, f.questions, f.statements)
	}
	if st.Features.Has(sqlscan.FeatureNotUnderstood) {
		return true, question
	}
	if st.Count != f.statements {
		t.Errorf("%q: %d statements, the tree has %d", text, st.Count, f.statements)
	}
	for _, name := range f.names {
		if !has(st, name, func(*sqlscan.Name) bool { return true }) {
			t.Errorf("%q: %q is in the tree and not among %v", text, name, st.Names)
		}
	}
	for _, name := range f.calls {
		if !has(st, name, func(n *sqlscan.Name) bool { return n.Call }) {
			t.Errorf("%q: %q is called in the tree and not among %+v", text, name, st.Names)
		}
	}
	for _, name := range f.fields {
		if !has(st, name, func(n *sqlscan.Name) bool { return n.Field }) {
			t.Errorf("%q: %q is a field in the tree and not among %+v", text, name, st.Names)
		}
	}
	normal := string(s.Normalized(nil))
	if again, err := pg.Parse(normal); err == nil {
		var g facts
		g.read(proto.Message(again).ProtoReflect())
		if g.statements != f.statements || strings.Join(g.names, ",") != strings.Join(f.names, ",") {
			t.Errorf("%q: normalized to %q, with %v instead of %v", text, normal, g.names, f.names)
		}
	}
	return true, question
}

// has says whether a name is among those that pass.
func has(st *sqlscan.Statement, name string, pass func(*sqlscan.Name) bool) bool {
	for i := range st.Names {
		n := &st.Names[i]
		if !pass(n) {
			continue
		}
		if n.Name == name || n.Name == "treat" {
			return true
		}
		// The parser turns these into functions; a feature covers them or the word does.
		if strings.HasPrefix(name, "xml") && strings.HasPrefix(n.Name, "xml") || strings.HasPrefix(name, "json") && strings.HasPrefix(n.Name, "json") {
			return true
		}
	}
	return false
}

func TestHandWrittenTexts(t *testing.T) {
	text, err := os.ReadFile("testdata/statements.sql")
	if err != nil {
		t.Fatal(err)
	}
	var s sqlscan.Scanner
	n, asked := 0, 0
	for part := range strings.SplitSeq(string(text), "\n====\n") {
		parsed, question := compare(t, &s, part)
		if !parsed {
			t.Errorf("%q: PostgreSQL refuses it", part)
		}
		if n++; question {
			asked++
		}
	}
	t.Logf("%d texts, %d of them questions", n, asked)
}

func TestTextsMadeByChance(t *testing.T) {
	rounds := 20000
	if n, err := strconv.Atoi(os.Getenv("PENSTOCK_ORACLE_ROUNDS")); err == nil {
		rounds = n
	}
	var s sqlscan.Scanner
	parsed, asked := 0, 0
	for seed := range rounds {
		g := generator{rand.New(rand.NewPCG(uint64(seed), 1))}
		p, q := compare(t, &s, g.text())
		if p {
			parsed++
		}
		if q {
			asked++
		}
	}
	t.Logf("%d texts, %d parsed, %d of them questions", rounds, parsed, asked)
	if parsed < rounds/10 || asked < parsed/10 {
		t.Errorf("too few texts mean anything: %d of %d parsed, %d questions", parsed, rounds, asked)
	}
}

// FuzzOracle changes texts that mean something. Not too deep ones: the parser
// of pg_query dies of those.
func FuzzOracle(f *testing.F) {
	text, err := os.ReadFile("testdata/statements.sql")
	if err != nil {
		f.Fatal(err)
	}
	for part := range strings.SplitSeq(string(text), "\n====\n") {
		f.Add(part)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 2000 || strings.Contains(text, "\x00") {
			return
		}
		var s sqlscan.Scanner
		compare(t, &s, text)
	})
}
