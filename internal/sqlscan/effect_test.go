package sqlscan_test

import (
	"strings"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/sqlscan"
)

func effect(kind sqlscan.Kind, name ...string) sqlscan.Effect {
	return sqlscan.Effect{Kind: kind, Name: strings.Join(name, "")}
}

func TestEffectOfTellsWhatAStatementLeavesBehind(t *testing.T) {
	t.Parallel()
	unknown := effect(sqlscan.Unknown)
	for text, want := range map[string]sqlscan.Effect{
		// Nothing, or nothing that the text tells.
		"":                          unknown,
		" ":                         unknown,
		";":                         unknown,
		"s":                         unknown,
		"se":                        unknown,
		"set":                       unknown,
		"SELECT 1":                  unknown,
		"INSERT INTO t VALUES (1)":  unknown,
		"settle x = 1":              unknown,
		"comment on table t is 'x'": unknown,
		"endless":                   unknown,
		"\x00\x00\x00":              unknown,

		// SET.
		"SET x = 1":                     effect(sqlscan.Set, "x"),
		"set x to 1":                    effect(sqlscan.Set, "x"),
		"SET X=1":                       effect(sqlscan.Set, "x"),
		"SET x='a'":                     effect(sqlscan.Set, "x"),
		"SET SESSION x = 1":             effect(sqlscan.Set, "x"),
		"SET my_App.Some_Thing TO 'x'":  effect(sqlscan.Set, "my_app.some_thing"),
		"SET x TO DEFAULT":              effect(sqlscan.Reset, "x"),
		"SET x = default;":              effect(sqlscan.Reset, "x"),
		"SET x = 'default'":             effect(sqlscan.Set, "x"),
		"SET TIME ZONE 'UTC'":           effect(sqlscan.Set, "timezone"),
		"SET SESSION TIME ZONE DEFAULT": effect(sqlscan.Reset, "timezone"),
		"SET NAMES 'utf8'":              effect(sqlscan.Set, "client_encoding"),
		"SET LOCAL x = 1":               effect(sqlscan.SetLocal),
		"SET TRANSACTION READ ONLY":     effect(sqlscan.SetLocal),
		"SET CONSTRAINTS ALL DEFERRED":  effect(sqlscan.SetLocal),
		"SET ROLE bob":                  unknown,
		"SET SESSION AUTHORIZATION bob": unknown,
		"SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY": unknown,
		`SET "x" = 1`: unknown, // PostgreSQL's tag and report tell
		"SET x":       unknown,
		"SET = 1":     unknown,
		"SET x 1":     unknown,

		// RESET.
		"RESET x":                     effect(sqlscan.Reset, "x"),
		"RESET ALL":                   effect(sqlscan.ResetAll),
		"reset all ;":                 effect(sqlscan.ResetAll),
		"RESET TIME ZONE":             effect(sqlscan.Reset, "timezone"),
		"RESET ROLE":                  unknown,
		"RESET SESSION AUTHORIZATION": unknown,
		"RESET":                       unknown,
		"RESET x y":                   unknown,

		// DEALLOCATE and DISCARD.
		"DEALLOCATE p":            effect(sqlscan.Deallocate, "p"),
		"DEALLOCATE P1_":          effect(sqlscan.Deallocate, "p1_"),
		"DEALLOCATE PREPARE p":    effect(sqlscan.Deallocate, "p"),
		"DEALLOCATE prepare":      effect(sqlscan.Deallocate, "prepare"),
		"DEALLOCATE ALL":          effect(sqlscan.DeallocateAll),
		"DEALLOCATE PREPARE ALL":  effect(sqlscan.DeallocateAll),
		`DEALLOCATE "ALL"`:        effect(sqlscan.Deallocate, "ALL"),
		`DEALLOCATE "a ""b"" ;c"`: unknown, // the semicolon: not surely one statement
		`DEALLOCATE "a ""b"" c"`:  effect(sqlscan.Deallocate, `a "b" c`),
		`DEALLOCATE "p" ;`:        effect(sqlscan.Deallocate, "p"),
		`DEALLOCATE U&"p"`:        unknown,
		`DEALLOCATE "p`:           unknown,
		"DEALLOCATE":              unknown,
		"DEALLOCATE p q":          unknown,
		"DISCARD ALL":             effect(sqlscan.DiscardAll),
		"discard\tall\n;\n":       effect(sqlscan.DiscardAll),
		"DISCARD PLANS":           unknown,

		// Only ASCII is folded: scansup.c, downcase_identifier.
		"DEALLOCATE Ärger":    effect(sqlscan.Deallocate, "Ärger"),
		"DEALLOCATE \xc4RGER": effect(sqlscan.Deallocate, "\xc4rger"), // LATIN1
		"SET Größe.X = 1":     effect(sqlscan.Set, "größe.x"),

		// Cursors.
		"DECLARE c CURSOR FOR SELECT 1":                              effect(sqlscan.Declare),
		"DECLARE c CURSOR WITH HOLD FOR SELECT 1":                    effect(sqlscan.DeclareHold),
		"declare c binary insensitive cursor with hold for select 1": effect(sqlscan.DeclareHold),
		`DECLARE "hold" CURSOR FOR SELECT 1`:                         effect(sqlscan.Declare),
		"DECLARE c CURSOR /* with hold */ FOR SELECT 1":              effect(sqlscan.Declare),
		"DECLARE c CURSOR FOR SELECT hold FROM t":                    effect(sqlscan.Declare),
		"DECLARE": unknown,

		// Ends of transactions.
		"COMMIT":           effect(sqlscan.Commit),
		"commit;":          effect(sqlscan.Commit),
		"COMMIT AND CHAIN": effect(sqlscan.Commit),
		"END":              effect(sqlscan.Commit),
		"ROLLBACK":         unknown,

		// Temporary objects.
		"CREATE TEMP TABLE t (x int)":                        effect(sqlscan.Temporary),
		"create temporary table t as select 1":               effect(sqlscan.Temporary),
		"CREATE OR REPLACE TEMP VIEW v AS SELECT 1":          effect(sqlscan.Temporary),
		"CREATE LOCAL TEMPORARY TABLE t (x int)":             effect(sqlscan.Temporary),
		"CREATE GLOBAL TEMP TABLE t (x int)":                 effect(sqlscan.Temporary),
		"CREATE OR REPLACE LOCAL TEMPORARY VIEW v AS SELECT": effect(sqlscan.Temporary),
		"CREATE TEMP SEQUENCE s":                             effect(sqlscan.Temporary),
		"CREATE TABLE temp (x int)":                          unknown,
		"CREATE TABLE t (temp int)":                          unknown,
		"SELECT 1 INTO TEMP t":                               effect(sqlscan.Temporary),
		"select 1 into temporary table t":                    effect(sqlscan.Temporary),
		"WITH a AS (SELECT 1) SELECT * INTO TEMP t FROM a":   effect(sqlscan.Temporary),
		"SELECT 1 INTO t":                                    unknown,
		"SELECT temp FROM t":                                 unknown,

		// Several statements: nothing is sure, but for what no tag tells.
		"SET x = 1; SET y = 2":                  unknown,
		"SET x = 1; ":                           effect(sqlscan.Set, "x"),
		"SET x = 1; -- done":                    effect(sqlscan.Set, "x"),
		"SET x = 1; /* done */":                 effect(sqlscan.Set, "x"),
		"SET x = 1; --\nSET y = 2":              unknown,
		"SET x = 1;;":                           unknown,
		"SET x = ';'":                           unknown,
		"DEALLOCATE p; SELECT 1":                unknown,
		"COMMIT; SELECT 1":                      unknown,
		"SELECT 1; CREATE TEMP TABLE t (x int)": effect(sqlscan.Temporary),
		"BEGIN; DECLARE c CURSOR FOR SELECT 1":  unknown,
		"RESET ALL; RESET ALL":                  unknown,
		`SELECT 1; SELECT "temp"`:               unknown,

		// White space and comments, nested ones too. Manual, Lexical Structure.
		"\t\n\v\f\r SET x = 1":        effect(sqlscan.Set, "x"),
		"-- a comment\nSET x = 1":     effect(sqlscan.Set, "x"),
		"-- a comment\rSET x = 1":     effect(sqlscan.Set, "x"),
		"-- SET x = 1":                unknown,
		"/**/SET/**/x/**/=/**/1":      effect(sqlscan.Set, "x"),
		"/* a /* b */ c */ SET x = 1": effect(sqlscan.Set, "x"),
		"/* a /* b */ SET x = 1":      unknown,
		"/*/ SET x = 1":               unknown,
		"/***/ SET x = 1":             effect(sqlscan.Set, "x"),
		"/* SET x = 1":                unknown,
		"- SET x = 1":                 unknown,
		"/ SET x = 1":                 unknown,
		"SET--x\ny--z\n=--\n1":        effect(sqlscan.Set, "y"),
		"\u00a0SET x = 1":             unknown, // PostgreSQL's scanner knows ASCII spaces
	} {
		if got := sqlscan.EffectOf(text); got != want {
			t.Errorf("%q: got %+v, want %+v", text, got, want)
		}
	}
}

// Whatever a stranger sends, the time grows with its length and no faster:
// the square of these lengths would take ages.
func TestEffectOfTakesLinearTime(t *testing.T) {
	t.Parallel()
	for _, head := range []string{"", "set ", "set x ", "declare ", "select into ", "deallocate ", "create ", "x;"} {
		for _, part := range []string{" ", "\"", "\"\"", "\" ", "x\"\"", "/*", "*/", "/**/", "--\n", "--", "-", ";", "; ", "x", "x ", "into ", "for", ".", "'"} {
			text := head + strings.Repeat(part, 1<<18/len(part))
			began := time.Now()
			sqlscan.EffectOf(text)
			if d := time.Since(began); d > 2*time.Second {
				t.Errorf("%q and 256 kB of %q took %s", head, part, d)
			}
		}
	}
}

func TestEffectOfAllocatesNothing(t *testing.T) {
	for _, text := range []string{
		"SELECT abalance FROM pgbench_accounts WHERE aid = 17",
		"UPDATE t SET x = 1; SELECT 1; SELECT 'temp'",
		"SELECT 1 INTO TEMP t",
		"SET search_path TO app, public",
		"/* comment */ SET x = 1;",
		"DEALLOCATE ALL",
		`DEALLOCATE "P1"`,
		"DECLARE c CURSOR WITH HOLD FOR SELECT 1",
		"CREATE TEMP TABLE t (x int)",
		"COMMIT",
	} {
		if n := testing.AllocsPerRun(100, func() { sqlscan.EffectOf(text) }); n != 0 {
			t.Errorf("%q: %v allocations", text, n)
		}
	}
}

// FuzzEffect: no text makes EffectOf panic, a comment before the text changes
// nothing, and only what has a name gets one.
func FuzzEffect(f *testing.F) {
	f.Add("SET x TO 1; -- trailing comment")
	f.Add("/* nested /* comments */ */ RESET ALL")
	f.Add(`DEALLOCATE PREPARE "quoted ""name"""`)
	f.Add("SELECT 1 INTO TEMP t; CREATE OR REPLACE LOCAL TEMPORARY VIEW")
	f.Add("declare c cursor \" /* -- for")
	f.Add("set \xff\xfe = ;\x00")
	f.Fuzz(func(t *testing.T, text string) {
		got := sqlscan.EffectOf(text)
		if again := sqlscan.EffectOf("-- c\n /* /* */ */ " + text); again != got {
			t.Errorf("%q: %+v, behind a comment %+v", text, got, again)
		}
		switch got.Kind {
		case sqlscan.Set, sqlscan.Reset:
			if got.Name == "" {
				t.Errorf("%q: %+v has no name", text, got)
			}
		case sqlscan.Deallocate: // "" is a name in quotes, if a wrong one
		default:
			if got.Name != "" {
				t.Errorf("%q: %+v has a name", text, got)
			}
		}
	})
}

func BenchmarkEffectOf(b *testing.B) {
	for name, text := range map[string]string{
		"select": "SELECT abalance FROM pgbench_accounts WHERE aid = 17",
		"set":    "SET search_path TO app, public",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				sqlscan.EffectOf(text)
			}
		})
	}
}
