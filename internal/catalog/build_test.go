package catalog_test

import (
	"fmt"
	"testing"

	"github.com/penstock/penstock/internal/catalog"
	"github.com/penstock/penstock/internal/sqlscan"
)

// user numbers the objects of a user.
const user = 20_000

// base is what every database has, as far as these tests ask.
func base() *catalog.Rows {
	return &catalog.Rows{
		Functions: []catalog.Function{
			builtin(100, "lower", 'i'), builtin(101, "now", 's'), builtin(102, "random", 'v'),
			builtin(103, "nextval", 'v'), builtin(104, "txid_current", 's'), builtin(105, "pg_try_advisory_lock", 'v'),
			builtin(106, "pg_backend_pid", 's'), builtin(107, "int4pl", 'i'), builtin(108, "domain_in", 's'),
		},
		Types: []catalog.Type{
			{OID: 23, Schema: "pg_catalog", Name: "int4", Kind: 'b'},
			{OID: 25, Schema: "pg_catalog", Name: "text", Kind: 'b'},
			{OID: 2249, Schema: "pg_catalog", Name: "record", Kind: 'p'},
		},
		Operators: []catalog.Operator{{Name: "=", Left: 23, Right: 23}, {Name: "<>", Left: 23, Right: 23}, {Name: "+", Left: 23, Right: 23, Function: 107}},
		Relations: []catalog.Relation{table("plain")},
	}
}

func builtin(oid uint32, name string, volatility byte) catalog.Function {
	return catalog.Function{OID: oid, Schema: "pg_catalog", Name: name, Language: "internal", Volatile: volatility, Kind: 'f', Result: 23}
}

func sql(oid uint32, name string, volatility byte, text string) catalog.Function {
	return catalog.Function{OID: oid, Schema: "public", Name: name, Language: "sql", Volatile: volatility, Kind: 'f', Result: 23, Text: text}
}

func table(name string) catalog.Relation {
	return catalog.Relation{OID: user + uint32(len(name))*100 + uint32(name[0]), Schema: "public", Name: name, Kind: 'r', Persistence: 'p'}
}

// check builds a snapshot after a change of the base and judges texts by it.
func check(t *testing.T, change func(*catalog.Rows), verdicts map[string]catalog.Reason) {
	t.Helper()
	rows := base()
	if change != nil {
		change(rows)
	}
	s := catalog.Build(rows)
	var scanner sqlscan.Scanner
	for text, want := range verdicts {
		if got := s.Check(scanner.Scan(text, sqlscan.Options{})); got.Reason != want {
			t.Errorf("%s: %v %q, want %v", text, got.Reason, got.Name, want)
		}
	}
}

func TestBuiltins(t *testing.T) {
	check(t, nil, map[string]catalog.Reason{
		"SELECT lower('A'), now(), random()": catalog.Safe,
		"SELECT nextval('s')":                catalog.UnsafeFunction,
		"SELECT NEXTVAL ('s')":               catalog.UnsafeFunction,
		`SELECT "nextval"('s')`:              catalog.UnsafeFunction,
		`SELECT U&"n\0065xtval"('s')`:        catalog.UnsafeFunction,
		"SELECT pg_catalog.nextval('s')":     catalog.UnsafeFunction,
		"SELECT /**/ nextval /* ( */ ('s')":  catalog.UnsafeFunction,
		"SELECT 'nextval(1)'":                catalog.Safe,
		"SELECT nextval FROM plain":          catalog.Safe,
		"SELECT txid_current()":              catalog.UnsafeFunction,
		"SELECT pg_try_advisory_lock(1)":     catalog.UnsafeFunction,
		"SELECT pg_backend_pid()":            catalog.ServerLocal,
		"SELECT pg_backend_pid(), nextval()": catalog.UnsafeFunction,
		"SELECT what()":                      catalog.Unknown,
		"SELECT treat(1 AS int4)":            catalog.Unknown,
	})
}

func TestTheWorstOverloadCounts(t *testing.T) {
	check(t, func(r *catalog.Rows) {
		r.Functions = append(r.Functions, sql(user, "lower", 'v', ""), sql(user+1, "mine", 'i', "SELECT 1"),
			sql(user+2, "random", 's', "SELECT 1"), sql(user+3, "mixed", 'v', ""),
			sql(user+4, "mixed", 's', "SELECT pg_backend_pid()"))
	}, map[string]catalog.Reason{
		"SELECT lower('A')":  catalog.UnsafeFunction,
		"SELECT mine()":      catalog.Safe,
		"SELECT random()":    catalog.Safe,
		"SELECT mixed()":     catalog.UnsafeFunction, // the later one is only server-local
		"SELECT a.lower('')": catalog.UnsafeFunction,
	})
}

func TestLanguages(t *testing.T) {
	c := func(oid uint32, name, language, extension string, volatility byte) catalog.Function {
		return catalog.Function{OID: oid, Name: name, Language: language, Extension: extension, Volatile: volatility, Kind: 'f'}
	}
	check(t, func(r *catalog.Rows) {
		r.Functions = append(r.Functions,
			c(user, "c_stable", "c", "", 's'), c(user+1, "c_immutable", "c", "", 'i'), c(user+2, "py_stable", "plpython3u", "", 's'),
			c(user+3, "perl_stable", "plperl", "", 's'), c(user+4, "similarity", "c", "pg_trgm", 's'),
			c(user+5, "uuid_generate_v4", "c", "uuid-ossp", 'v'), c(user+6, "crosstab", "c", "tablefunc", 's'),
			c(user+7, "dblink", "c", "dblink", 'v'), c(user+8, "gen_random_bytes", "c", "pgcrypto", 'v'),
			c(user+9, "dblink_get_pkey", "c", "dblink", 's'), c(user+10, "uuid_generate_v5", "c", "", 'v'))
	}, map[string]catalog.Reason{
		"SELECT c_stable()":         catalog.UnsafeFunction,
		"SELECT c_immutable()":      catalog.Safe,
		"SELECT py_stable()":        catalog.UnsafeFunction,
		"SELECT perl_stable()":      catalog.UnsafeFunction,
		"SELECT similarity(1)":      catalog.Safe,
		"SELECT uuid_generate_v4()": catalog.Safe,
		"SELECT uuid_generate_v5()": catalog.UnsafeFunction,
		"SELECT crosstab('')":       catalog.UnsafeFunction,
		"SELECT dblink('')":         catalog.UnsafeFunction,
		"SELECT dblink_get_pkey()":  catalog.UnsafeFunction,
		"SELECT gen_random_bytes()": catalog.Safe,
	})
}

func TestTextsReachThroughEachOther(t *testing.T) {
	check(t, func(r *catalog.Rows) {
		r.Functions = append(r.Functions,
			sql(user, "one", 's', "SELECT two()"), sql(user+1, "two", 's', "SELECT count(*) FROM three"),
			sql(user+2, "four", 's', "SELECT nextval('s')"), sql(user+3, "self", 's', "SELECT self()"),
			sql(user+4, "never_seen", 's', "SELECT gone_function(1)"), sql(user+5, "broken", 's', "SELECT 'unfinished"),
			// Both readings of a backslash count.
			sql(user+6, "quoted", 's', `SELECT '\' || four() || ''`), sql(user+7, "escaped", 's', `SELECT 'a\'' || four() --'`))
		v := table("three")
		v.Kind, v.Text = 'v', "SELECT four() AS f"
		clean := table("clean")
		clean.Kind, clean.Text = 'v', "SELECT self() AS f FROM plain"
		hidden := table("hidden")
		hidden.Kind = 'v' // its text could not be read
		r.Relations = append(r.Relations, v, clean, hidden)
	}, map[string]catalog.Reason{
		"SELECT one()":         catalog.UnsafeFunction,
		"SELECT self()":        catalog.Safe,
		"SELECT never_seen()":  catalog.Safe,
		"SELECT broken()":      catalog.UnsafeFunction,
		"SELECT quoted()":      catalog.UnsafeFunction,
		"SELECT escaped()":     catalog.UnsafeFunction,
		"SELECT * FROM three":  catalog.View,
		"SELECT * FROM clean":  catalog.Safe,
		"SELECT * FROM hidden": catalog.View,
	})
}

func TestFunctionsCalledAsColumns(t *testing.T) {
	row := table("plain")
	call := func(oid uint32, name string, defaults int, arguments ...uint32) catalog.Function {
		f := sql(oid, name, 'v', "")
		f.Arguments, f.Defaults = arguments, defaults
		return f
	}
	change := func(r *catalog.Rows) {
		r.Types = append(r.Types, catalog.Type{OID: user + 1, Name: "plain", Kind: 'c', Relation: row.OID})
		r.Functions = append(r.Functions, call(user+2, "of_row", 0, user+1), call(user+3, "of_int", 0, 23), call(user+4, "of_two", 0, user+1, 23),
			call(user+5, "of_default", 1, user+1, 23), call(user+6, "of_any", 0, 2249))
	}
	check(t, change, map[string]catalog.Reason{
		"SELECT p.of_row FROM plain p":     catalog.UnsafeFunction,
		"SELECT (p).of_row FROM plain p":   catalog.UnsafeFunction,
		"SELECT p.of_int FROM plain p":     catalog.Safe,
		"SELECT p.of_two FROM plain p":     catalog.Safe,
		"SELECT p.of_default FROM plain p": catalog.UnsafeFunction,
		"SELECT p.of_any FROM plain p":     catalog.UnsafeFunction,
		"SELECT of_two(p, 1) FROM plain p": catalog.UnsafeFunction,
	})
	check(t, func(r *catalog.Rows) {
		change(r)
		r.Casts = append(r.Casts, catalog.Cast{Source: user + 1, Target: 23, Function: 107, Context: 'i'})
	}, map[string]catalog.Reason{"SELECT p.of_int FROM plain p": catalog.UnsafeFunction})
}

func TestTypesCastsAndOperators(t *testing.T) {
	bad := sql(user, "bad", 'v', "")
	mine := catalog.Type{OID: user + 1, Name: "mine", Kind: 'b'}
	for name, c := range map[string]struct {
		change   func(*catalog.Rows)
		verdicts map[string]catalog.Reason
	}{
		"input function": {func(r *catalog.Rows) {
			mine := mine
			mine.Functions = []uint32{bad.OID}
			inside := table("inside")
			f := sql(user+3, "makes_mine", 'i', "SELECT 1")
			f.Result = mine.OID
			r.Types = append(r.Types, mine, catalog.Type{OID: user + 2, Name: "mines", Kind: 'd', Parts: []uint32{mine.OID}})
			r.Relations = append(r.Relations, inside)
			r.Columns = append(r.Columns, catalog.Column{Relation: inside.OID, Type: user + 2})
			r.Functions = append(r.Functions, f)
			r.Operators = append(r.Operators, catalog.Operator{Name: "@@@", Left: mine.OID, Function: 107})
		}, map[string]catalog.Reason{
			"SELECT 1": catalog.Safe, "SELECT 'x'::mine": catalog.UnsafeType, "SELECT mine 'x'": catalog.UnsafeType,
			"SELECT 'x'::mines[]": catalog.UnsafeType, "SELECT * FROM inside": catalog.UnsafeType,
			"SELECT makes_mine()": catalog.UnsafeType, "SELECT @@@ 'x'": catalog.UnsafeOperator,
		}},
		"builtin input function": {func(r *catalog.Rows) {
			r.Types = append(r.Types, catalog.Type{OID: user + 1, Name: "mine", Kind: 'd', Parts: []uint32{23}, Functions: []uint32{108}})
		}, map[string]catalog.Reason{"SELECT '1'::mine": catalog.Safe, "SELECT mine(1)": catalog.Safe}},
		"domain check": {func(r *catalog.Rows) {
			r.Types = append(r.Types, mine)
			r.Expression = append(r.Expression, catalog.Expression{Type: mine.OID, Text: "SELECT (bad(VALUE) > 0)"})
		}, map[string]catalog.Reason{"SELECT '1'::mine": catalog.UnsafeType}},
		"cast": {func(r *catalog.Rows) {
			r.Types = append(r.Types, mine)
			r.Casts = append(r.Casts, catalog.Cast{Source: 23, Target: mine.OID, Function: bad.OID, Context: 'e'})
		}, map[string]catalog.Reason{"SELECT 1::mine": catalog.UnsafeType, "SELECT 1": catalog.Safe}},
		"cast of builtin types": {func(r *catalog.Rows) {
			r.Casts = append(r.Casts, catalog.Cast{Source: 23, Target: 25, Function: bad.OID, Context: 'i'})
		}, map[string]catalog.Reason{"SELECT 1": catalog.UnsafeType}},
		"operator class": {func(r *catalog.Rows) {
			r.Types = append(r.Types, mine)
			f := sql(user+3, "makes_mine", 'i', "SELECT 1")
			f.Result = mine.OID
			r.Functions = append(r.Functions, f)
			r.Support = append(r.Support, catalog.Support{Type: mine.OID, Function: bad.OID})
		}, map[string]catalog.Reason{"SELECT 1": catalog.Safe, "SELECT makes_mine() ORDER BY 1": catalog.UnsafeType}},
		"operator": {func(r *catalog.Rows) {
			r.Operators = append(r.Operators, catalog.Operator{Name: "#=#", Function: bad.OID})
		}, map[string]catalog.Reason{
			"SELECT 1 #=# 2": catalog.UnsafeOperator, "SELECT 1 OPERATOR(public.#=#) 2": catalog.UnsafeOperator,
			"SELECT 1 + 2": catalog.Safe, "SELECT 1 <-> 2": catalog.Unknown, "SELECT 1 != 2": catalog.Safe,
		}},
		"operator of grammar": {func(r *catalog.Rows) {
			r.Operators = append(r.Operators, catalog.Operator{Name: "=", Left: mine.OID, Function: bad.OID})
		}, map[string]catalog.Reason{"SELECT * FROM plain JOIN x USING (a)": catalog.UnsafeOperator, "SELECT 1": catalog.UnsafeOperator}},
		"aggregate": {func(r *catalog.Rows) {
			f := sql(user+3, "total", 'i', "")
			f.Kind, f.Language, f.Parts = 'a', "internal", []uint32{107, bad.OID}
			g := f
			g.OID, g.Name, g.Parts = user+4, "fine_total", []uint32{107}
			r.Functions = append(r.Functions, f, g)
		}, map[string]catalog.Reason{"SELECT total(a) FROM plain": catalog.UnsafeFunction, "SELECT fine_total(a) FROM plain": catalog.Safe}},
	} {
		t.Run(name, func(t *testing.T) {
			check(t, func(r *catalog.Rows) {
				r.Functions = append(r.Functions, bad)
				c.change(r)
			}, c.verdicts)
		})
	}
}

func TestNamesThatDependOnTheEncoding(t *testing.T) {
	change := func(name string) func(*catalog.Rows) {
		return func(r *catalog.Rows) {
			one := table(name)
			one.Persistence = 'u'
			r.Relations = append(r.Relations, one)
		}
	}
	check(t, change("größe"), map[string]catalog.Reason{
		"SELECT 1 AS größe": catalog.Unknown, "SELECT 1 AS GRÖßE": catalog.Unknown, "SELECT 1 AS groesse": catalog.Safe,
	})
	check(t, change("groesse"), map[string]catalog.Reason{"SELECT 1 AS Größe": catalog.Safe})
}

func TestWithoutACatalog(t *testing.T) {
	var none *catalog.Snapshot
	var scanner sqlscan.Scanner
	st := scanner.Scan("SELECT 1", sqlscan.Options{})
	if got := none.Check(st); got.Reason != catalog.NoCatalog {
		t.Errorf("%v", got)
	}
	if none.Signature() != "" || none.Version() != 0 || none.Relations("a") != nil || none.Keys(1) != nil {
		t.Error("a nil snapshot knows something")
	}
	if got := catalog.Build(&catalog.Rows{Truncated: true}).Check(st); got.Reason != catalog.TooLarge {
		t.Errorf("truncated: %v", got)
	}
}

func TestCheckOfSafeStatementsAllocatesNothing(t *testing.T) {
	s := catalog.Build(base())
	var scanner sqlscan.Scanner
	st := scanner.Scan("SELECT lower(a) FROM plain WHERE b = 1 AND c IN (1, 2) AND d + 1 <> 3", sqlscan.Options{})
	if n := testing.AllocsPerRun(100, func() { s.Check(st) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestReasonsHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for r := catalog.Safe; r <= catalog.NoCatalog; r++ {
		if name := fmt.Sprint(r); name == "invalid" || seen[name] {
			t.Errorf("reason %d is %q", r, name)
		} else {
			seen[name] = true
		}
	}
}
