package sqlscan_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/penstock/penstock/internal/sqlscan"
)

// names writes the names of a statement as "schema.name()", and as ".name" that
// of a value's field.
func names(st *sqlscan.Statement) []string {
	list := []string{}
	for _, n := range st.Names {
		text := n.Name
		if n.Schema != "" {
			text = n.Schema + "." + text
		}
		if n.Parts > 2 {
			text = fmt.Sprintf("%s/%d", text, n.Parts)
		}
		if n.Call {
			text += "()"
		}
		if n.Field {
			text = "." + text
		}
		list = append(list, text)
	}
	return list
}

func TestNamesAreFoldedUnquotedAndChained(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"SELECT Foo.BAR(x), F (1), db.S.t":            "foo.bar() x f() s.t/3",
		"SELECT a . /* c */ b":                        "a.b",
		`SELECT "A""b"."c d"`:                         `A"b.c d`,
		`SELECT U&"d\0061t\+000061"`:                  "data",
		`SELECT U&"d!0061t\" UESCAPE '!'`:             `dat\`,
		`SELECT U&"a!!b" UESCAPE '!'`:                 "a!b",
		`SELECT U&"\D83D\DE00"`:                       "😀",
		`SELECT u & "x"`:                              "u x",
		`SELECT U&"a" uescape_x`:                      "a uescape_x",
		"SELECT a, A, \"a\"":                          "a",
		"SELECT value, update, left('a',1)":           "value update left()",
		"SELECT public.select(1), (x).user":           "public.select() x .user",
		"SELECT t.*":                                  "t",
		"SELECT Größe, \"ÄB\"":                        "größe ÄB",
		"SELECT a$1, _b":                              "a$1 _b",
		"SELECT coalesce(a, b)":                       "coalesce() a b",
		"SELECT date 'x', 1::int":                     "date int",
		"SELECT treat(a AS f)":                        "treat() a f",
		"SELECT a AT TIME ZONE 'x'":                   "a pg_catalog.timezone() at time zone",
		"SELECT extract(y FROM d)":                    "pg_catalog.extract() pg_catalog.date_part() extract() y d",
		"SELECT trim(x)":                              "pg_catalog.btrim() pg_catalog.ltrim() pg_catalog.rtrim() trim() x",
		"SELECT system_user":                          "system_user",
		"SELECT " + strings.Repeat("a", 70):           strings.Repeat("a", 63),
		"SELECT \"" + strings.Repeat("a", 62) + "ä\"": strings.Repeat("a", 62),
		"SELECT \"" + strings.Repeat("a", 61) + "ä\"": strings.Repeat("a", 61) + "ä",
	} {
		if got := strings.Join(names(scan(text)), " "); got != want {
			t.Errorf("%q: names %q, want %q", text, got, want)
		}
	}
}

func TestCallsAreToldFromOtherNamesBeforeParentheses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		// Names of columns, and types.
		"SELECT * FROM f(1) AS x (a, b)":                                 "f() x a b",
		"SELECT * FROM f(1) x (a int, b)":                                "f() x a int b",
		`SELECT * FROM (VALUES (1)) "x"(a)`:                              "values() x a",
		"SELECT * FROM t, LATERAL (SELECT 1) x (a) JOIN (SELECT 2) y(b)": "t x a join y b",
		"SELECT * FROM ROWS FROM (f(1), g(2)) WITH ORDINALITY x(a)":      "rows f() g() ordinality x a",
		"SELECT * FROM json_to_record('{}') AS x(a numeric(3))":          "json_to_record() x a numeric()",
		"WITH c(a, b) AS (SELECT f(1)), d (e) AS (SELECT 1) SELECT g(2)": "c a b f() d e g()",
		"WITH RECURSIVE c (a) AS (SELECT 1) SELECT 1":                    "recursive c a",
		"SELECT * FROM (WITH c(a) AS (SELECT 1) TABLE c) s":              "c a s",
		"SELECT CAST(a AS varchar(10))":                                  "a varchar",
		"SELECT CAST(a AS s.f(10))":                                      "a s.f()",
		// Calls all the same.
		"SELECT DISTINCT ON (a) f(b)":                                         "a f() b",
		"SELECT DISTINCT ON ((a), (b)) f(c)":                                  "a b f() c",
		"SELECT OPERATOR(s.-) f(a), 1 operator ( + ) g(b)":                    "operator() s f() a g() b",
		"SELECT a FROM t ORDER BY f(1), g(2)":                                 "a t by f() g()",
		"WITH c AS (SELECT 1) (SELECT 1) ORDER BY f(1), g(2)":                 "c by f() g()",
		"WITH c AS (SELECT 1) (TABLE c) UNION SELECT f(1), g(2)":              "c f() g()",
		"WITH c AS (SELECT 1) SEARCH DEPTH FIRST BY a SET b (SELECT 1), f(1)": "c search depth first by a set b() f()",
		"SELECT (a), f(b) FROM t":                                             "a f() b t",
		"SELECT CASE (a) WHEN f(1) THEN g(2) END":                             "a f() g()",
		"SELECT (a) BETWEEN f(1) AND g(2)":                                    "a between f() g()",
		"SELECT t.as (a), t.with (b)":                                         "t.as() a t.with() b",
		// Fields of values.
		"SELECT (a).f, (b.c) . g.h, a[1].f, $1.f, x.a[1:2].f, x.f": "a .f b.c .g .h x.a x.f",
		`SELECT (a)."F", (f(1)).f`:                                 "a .F f() .f",
	} {
		if got := strings.Join(names(scan(text)), " "); got != want {
			t.Errorf("%q: names %q, want %q", text, got, want)
		}
	}
}

func TestOperatorsAreCutAsPostgreSQLCuts(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a+b-c+d":         "+ -",
		"a!=b, a<>b":      "<>",
		"a<=b>=c":         "<= >=",
		"a=-b":            "= -",
		"a@-b":            "@-",
		"a*-1":            "* -",
		"a+/**/b--c":      "+",
		"a@>b->>'x'#>>c":  "@> ->> #>>",
		"a+*-/* c */b":    "+* -",
		"f(a=>1, b:=2)":   "",
		"a::int":          "",
		"a LIKE b":        "~~ !~~",
		"a IN (1)":        "= <>",
		"a BETWEEN 1 AND": "< > <= >=",
		"1+-+-1":          "+ -",
	} {
		if got := strings.Join(scan("SELECT "+text).Operators, " "); got != want {
			t.Errorf("%q: operators %q, want %q", text, got, want)
		}
	}
}

// Each of these texts is a SELECT of one word "x" and constants: whatever looks
// like more stands inside a constant or a comment.
func TestConstantsAndCommentsHideWhatIsInThem(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"'a''; DELETE FROM t' x", "'\\' x", "E'\\'; DELETE' x", "E'\\\\' x", "e'a''\\'' x", "'a' -- c'\n '; DELETE ' x", "'a'\r\n\t'b' x",
		"B'1' x", "x'1F' x", "n'a;b' x", "U&'\\0027;' x", "U&'!0027;' UESCAPE '!' x", "U&'a' uescape '!' x",
		"$$;$$ x", "$a$ $$ ; $A$ $b$ $a$ x", "$ä1$;$ä1$ x", "$1 x", "$1x",
		"/* /* ; */ ; */ 1 x", "1 -- ; \n x", "1 /*/ ; */ x", "1 /***/ x",
		"1 x", "1.5 x", ".5 x", "1. x", "1e5 x", "1.5E+10 x", "1x", "1_000 x", "0x1F x", "0b10 x", "0o17 x", "0x_f x", "1e x", "'a'x", "-1 x",
	} {
		text = "SELECT " + text
		st := scan(text)
		got := names(st)
		if text == "SELECT 1e x" {
			got = got[1:] // 1 e x
		}
		if st.Features.Has(bad) || st.Count != 1 || !slices.Equal(got, []string{"x"}) {
			t.Errorf("%q: features %#x, %d statements, names %q", text, st.Features, st.Count, got)
		}
	}
}

func TestNonStandardStringsEscapeEverywhere(t *testing.T) {
	t.Parallel()
	off := sqlscan.Options{NonStandardStrings: true}
	if st := scan(`SELECT '\'; DELETE FROM t; --'`, off); st.Features.Has(bad) || st.Count != 1 {
		t.Errorf("off: %#x, %d", st.Features, st.Count)
	}
	if st := scan(`SELECT '\'; DELETE FROM t; --'`); st.Count != 2 {
		t.Errorf("on: %#x, %d", st.Features, st.Count)
	}
	if !scan(`SELECT U&'a'`, off).Features.Has(sqlscan.FeatureNotUnderstood) {
		t.Error("U&'' is an error when off")
	}
	if st := scan(`SELECT $$\$$, B'1', N'\''`, off); st.Features.Has(bad) {
		t.Errorf("off: %#x", st.Features)
	}
}

func TestWhatPostgreSQLCannotReadIsNotUnderstood(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"SELECT 'a", "SELECT \"a", "SELECT $$a", "SELECT $a", "SELECT $a$ $b$", "SELECT E'\\", "SELECT /* a", "SELECT /* /* a */", "SELECT (1", "SELECT 1)",
		"SELECT \x00", "SELECT \\", "SELECT {", "SELECT U&\"\\00\"", "SELECT U&\"\\D83D\"", "SELECT U&\"a\" UESCAPE 'ab'", "SELECT U&\"a\" UESCAPE 'a'", "SELECT U&\"a\" UESCAPE",
		"CREATE FUNCTION f() BEGIN ATOMIC SELECT 1;",
	} {
		if st := scan(text); !st.Features.Has(sqlscan.FeatureNotUnderstood) {
			t.Errorf("%q: features %#x", text, st.Features)
		}
	}
	for _, text := range []string{"SELECT 'ä'", "SELECT 1 -- ä"} {
		if !scan(text, sqlscan.Options{UnsafeEncoding: true}).Features.Has(sqlscan.FeatureNotUnderstood) {
			t.Errorf("%q in an unsafe encoding was understood", text)
		}
	}
	if scan("SELECT 1", sqlscan.Options{UnsafeEncoding: true}).Features.Has(bad) {
		t.Error("ASCII in an unsafe encoding was not understood")
	}
}

// FuzzScan: no text makes Scan panic, names are short, and what Normalized
// makes of a text is the same statement.
func FuzzScan(f *testing.F) {
	f.Add(typical, false)
	f.Add(`SELECT U&"d!0061" UESCAPE '!', E'\'', $a$;$a$ /* /* */ */`, true)
	f.Add("WITH a AS (DELETE FROM t) SELECT 1 INTO TEMP t FOR UPDATE", false)
	f.Add("INSERT INTO t VALUES (1),(-2),(NULL); COPY t TO STDOUT", false)
	f.Add("CREATE FUNCTION f() BEGIN ATOMIC SELECT 1; END; EXPLAIN (ANALYZE) SELECT 1", false)
	f.Fuzz(func(t *testing.T, text string, off bool) {
		var s, again sqlscan.Scanner
		o := sqlscan.Options{NonStandardStrings: off}
		st := s.Scan(text, o)
		for _, name := range st.Names {
			if len(name.Name) > 63 || len(name.Schema) > 63 || name.Parts < 1 {
				t.Errorf("%q: name %+v", text, name)
			}
		}
		if (st.Count == 0) != st.Kinds.Has(sqlscan.KindEmpty) && !st.Features.Has(sqlscan.FeatureNotUnderstood) {
			t.Errorf("%q: %d statements, kinds %#x", text, st.Count, st.Kinds)
		}
		normal := string(s.Normalized(nil))
		if st.Features.Has(sqlscan.FeatureNotUnderstood) {
			return
		}
		other := again.Scan(normal, o)
		if other.Fingerprint != st.Fingerprint || other.Kinds != st.Kinds || other.Count != st.Count || len(other.Names) != len(st.Names) {
			t.Errorf("%q became %q:\n%+v\n%+v", text, normal, st, other)
		}
	})
}
