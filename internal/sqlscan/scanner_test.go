package sqlscan_test

import (
	"slices"
	"strings"
	"testing"
	"testing/quick"
	"time"

	"github.com/penstock/penstock/internal/sqlscan"
)

// scan reads a text with a Scanner that has read another before.
func scan(text string, o ...sqlscan.Options) *sqlscan.Statement {
	var s sqlscan.Scanner
	s.Scan("WITH \"a\" AS (SELECT U&\"\\0061\" IN (1", sqlscan.Options{})
	return s.Scan(text, slices.Concat(o, []sqlscan.Options{{}})[0])
}

// bad are the features that keep a SELECT from being a mere question.
const bad = sqlscan.FeatureNotUnderstood | sqlscan.FeatureMulti | sqlscan.FeatureDataModifyingWith |
	sqlscan.FeatureInto | sqlscan.FeatureLocking | sqlscan.FeatureTemporary

func TestScanTellsTheKindsOfStatements(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]sqlscan.Kinds{
		"":                        sqlscan.KindEmpty,
		" ; /* x */ ; -- y":       sqlscan.KindEmpty,
		"SELECT 1":                sqlscan.KindSelect,
		"select/**/1":             sqlscan.KindSelect,
		"((SELECT 1))":            sqlscan.KindSelect,
		"VALUES (1)":              sqlscan.KindValues,
		"TABLE t":                 sqlscan.KindTable,
		"insert into t values(1)": sqlscan.KindInsert,
		"UPDATE t SET a = 1":      sqlscan.KindUpdate,
		"DELETE FROM t":           sqlscan.KindDelete,
		"MERGE INTO t USING u ON a = b WHEN MATCHED THEN DELETE": sqlscan.KindMerge,
		"SELECT 1; DELETE FROM t":                                sqlscan.KindSelect | sqlscan.KindDelete,
		"SELECT ';'; SELECT $$;$$; SELECT \";\"":                 sqlscan.KindSelect,
		"\"select\" 1":                                           sqlscan.KindOther,
		"selec 1":                                                sqlscan.KindOther,
		"1":                                                      sqlscan.KindOther,
		"SELECT 'x":                                              sqlscan.KindSelect | sqlscan.KindOther,

		"WITH a AS (SELECT 1) SELECT 2":                                                        sqlscan.KindSelect,
		"WITH a AS (SELECT 1) (SELECT 2)":                                                      sqlscan.KindSelect,
		"WITH a AS (SELECT 1) TABLE a":                                                         sqlscan.KindTable,
		"WITH a AS (SELECT 1), b AS (SELECT 2) VALUES (1)":                                     sqlscan.KindValues,
		"WITH RECURSIVE a(x) AS NOT MATERIALIZED (SELECT 1) INSERT INTO t SELECT * FROM a":     sqlscan.KindInsert,
		"WITH values AS (SELECT 1) DELETE FROM t":                                              sqlscan.KindValues | sqlscan.KindDelete,
		"WITH update AS (SELECT 1) SELECT * FROM update":                                       sqlscan.KindSelect,
		"WITH a AS (SELECT 1) UPDATE t SET x = 1":                                              sqlscan.KindUpdate,
		"WITH a AS (SELECT 1 AS delete) SEARCH DEPTH FIRST BY delete SET delete DELETE FROM t": sqlscan.KindDelete,
		"(WITH a AS (SELECT 1) SELECT 2)":                                                      sqlscan.KindSelect,

		"EXPLAIN SELECT 1":                           sqlscan.KindExplain | sqlscan.KindSelect,
		"EXPLAIN (SELECT 1)":                         sqlscan.KindExplain | sqlscan.KindSelect,
		"EXPLAIN ((SELECT 1))":                       sqlscan.KindExplain | sqlscan.KindSelect,
		"EXPLAIN VERBOSE SELECT 1":                   sqlscan.KindExplain | sqlscan.KindSelect,
		"EXPLAIN (COSTS OFF, FORMAT JSON) TABLE t":   sqlscan.KindExplain | sqlscan.KindTable,
		"EXPLAIN (COSTS OFF) (VALUES (1))":           sqlscan.KindExplain | sqlscan.KindValues,
		"EXPLAIN DELETE FROM t":                      sqlscan.KindExplain | sqlscan.KindDelete,
		"EXPLAIN ANALYZE INSERT INTO t SELECT 1":     sqlscan.KindExplain | sqlscan.KindExplainAnalyze | sqlscan.KindInsert,
		"EXPLAIN ANALYSE VERBOSE SELECT 1":           sqlscan.KindExplain | sqlscan.KindExplainAnalyze | sqlscan.KindSelect,
		"EXPLAIN (ANALYZE) SELECT 1":                 sqlscan.KindExplain | sqlscan.KindExplainAnalyze | sqlscan.KindSelect,
		"EXPLAIN (COSTS, ANALYZE FALSE) SELECT 1":    sqlscan.KindExplain | sqlscan.KindExplainAnalyze | sqlscan.KindSelect,
		"EXPLAIN (U&\"an\\0061lyze\") DELETE FROM t": sqlscan.KindExplain | sqlscan.KindExplainAnalyze | sqlscan.KindDelete,
		"EXPLAIN EXECUTE p":                          sqlscan.KindExplain | sqlscan.KindExecute,
		"EXPLAIN CREATE TABLE t AS SELECT 1":         sqlscan.KindExplain | sqlscan.KindDDL,
		"EXPLAIN WITH a AS (SELECT 1) SELECT 1":      sqlscan.KindExplain | sqlscan.KindSelect,
		"EXPLAIN":                                    sqlscan.KindExplain | sqlscan.KindOther,

		"BEGIN":                       sqlscan.KindBegin,
		"START TRANSACTION READ ONLY": sqlscan.KindBeginReadOnly,
		"begin work isolation level repeatable read, read only, deferrable": sqlscan.KindBeginReadOnly,
		"BEGIN READ ONLY, READ WRITE":                                       sqlscan.KindBegin,
		"START x":                                                           sqlscan.KindOther,
		"COMMIT":                                                            sqlscan.KindCommit,
		"END AND CHAIN":                                                     sqlscan.KindCommit,
		"COMMIT PREPARED 'x'":                                               sqlscan.KindTwoPhase,
		"ROLLBACK":                                                          sqlscan.KindRollback,
		"ABORT":                                                             sqlscan.KindRollback,
		"ROLLBACK WORK TO SAVEPOINT x":                                      sqlscan.KindSavepoint,
		"ROLLBACK TO x":                                                     sqlscan.KindSavepoint,
		"ROLLBACK PREPARED 'x'":                                             sqlscan.KindTwoPhase,
		"SAVEPOINT x":                                                       sqlscan.KindSavepoint,
		"RELEASE x":                                                         sqlscan.KindSavepoint,
		"PREPARE TRANSACTION 'x'":                                           sqlscan.KindPrepare | sqlscan.KindTwoPhase,
		"PREPARE p AS DELETE FROM t":                                        sqlscan.KindPrepare,
		"EXECUTE p(1)":                                                      sqlscan.KindExecute,
		"DEALLOCATE p":                                                      sqlscan.KindDeallocate,

		"SET x = 1":                                            sqlscan.KindSet,
		"SET SESSION x TO local":                               sqlscan.KindSet,
		"SET LOCAL x = 1":                                      sqlscan.KindSetLocal,
		"SET CONSTRAINTS ALL DEFERRED":                         sqlscan.KindSetLocal,
		"SET TRANSACTION READ ONLY":                            sqlscan.KindSetTransaction,
		"SET LOCAL TRANSACTION READ WRITE":                     sqlscan.KindSetTransaction,
		"SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY": sqlscan.KindSet,
		"RESET ALL":                                            sqlscan.KindReset,
		"SHOW ALL":                                             sqlscan.KindShow,

		"COPY t FROM STDIN":                sqlscan.KindCopyFrom,
		"COPY t (a, b) TO STDOUT":          sqlscan.KindCopyTo,
		"COPY (SELECT 1 FROM t) TO STDOUT": sqlscan.KindCopyTo,
		"COPY BINARY t TO STDOUT":          sqlscan.KindCopyTo,
		"COPY t":                           sqlscan.KindCopyTo | sqlscan.KindCopyFrom,
		"CREATE TABLE t AS SELECT 1":       sqlscan.KindDDL,
		"REFRESH MATERIALIZED VIEW v":      sqlscan.KindDDL,
		"TRUNCATE t":                       sqlscan.KindDDL,
		"VACUUM":                           sqlscan.KindMaintenance,
		"ANALYZE t":                        sqlscan.KindMaintenance,
		"LISTEN c":                         sqlscan.KindListen,
		"NOTIFY c":                         sqlscan.KindNotify,
		"UNLISTEN *":                       sqlscan.KindUnlisten,
		"DISCARD ALL":                      sqlscan.KindDiscard,
		"CALL p()":                         sqlscan.KindCall,
		"DO $$ begin end $$":               sqlscan.KindDo,
		"LOCK t":                           sqlscan.KindLock,
		"DECLARE c CURSOR FOR SELECT 1":    sqlscan.KindDeclare,
		"FETCH 1 FROM c":                   sqlscan.KindFetch,
		"MOVE c":                           sqlscan.KindMove,
		"CLOSE c":                          sqlscan.KindClose,
		"LOAD 'x'":                         sqlscan.KindOther,
	} {
		if got := scan(text).Kinds; got != want {
			t.Errorf("%q: kinds %#x, want %#x", text, got, want)
		}
	}
}

func TestScanFindsTheFeatures(t *testing.T) {
	t.Parallel()
	const layout = sqlscan.FeatureLiterals | sqlscan.FeatureParameters | sqlscan.FeatureWith | sqlscan.FeatureOrderBy |
		sqlscan.FeatureLimit
	for text, want := range map[string]sqlscan.Features{
		"SELECT 1":                                0,
		"SELECT update_time FROM t":               0,
		`SELECT "update", "into" FROM "for"`:      0,
		"SELECT delete FROM t":                    0,
		"SELECT update FROM t":                    0,
		"SELECT a.update, t.into, t.for FROM t":   0,
		"SELECT 'INTO', $$ FOR UPDATE $$ -- INTO": 0,
		"SELECT 1 /* INTO t */":                   0,

		"SELECT 1 INTO t":                       sqlscan.FeatureInto,
		"SELECT 1INTO t":                        sqlscan.FeatureInto,
		"SELECT 1_000INTO t":                    sqlscan.FeatureInto,
		"SELECT $1INTO t":                       sqlscan.FeatureInto,
		"SELECT 'a'INTO t":                      sqlscan.FeatureInto,
		"SELECT 1 insert INTO t":                sqlscan.FeatureInto,
		"SELECT 1 INTO TEMP t":                  sqlscan.FeatureInto | sqlscan.FeatureTemporary,
		"SELECT 1 INTO LOCAL TEMPORARY TABLE t": sqlscan.FeatureInto | sqlscan.FeatureTemporary,
		"SELECT 1 INTO pg_temp.t":               sqlscan.FeatureInto | sqlscan.FeatureTemporary,
		"SELECT * FROM \"pg_temp_3\".t":         sqlscan.FeatureTemporary,
		"SELECT temp FROM t":                    0,
		"CREATE TEMP TABLE t (x int)":           sqlscan.FeatureTemporary,
		"INSERT INTO t SELECT 1":                0,
		"MERGE INTO t USING u ON true WHEN MATCHED THEN DO NOTHING": 0,

		"SELECT 1 FROM t FOR UPDATE":              sqlscan.FeatureLocking,
		"SELECT 1 FROM t for/**/no key\nupdate":   sqlscan.FeatureLocking,
		"SELECT 1 FROM t FOR SHARE OF t NOWAIT":   sqlscan.FeatureLocking,
		"(SELECT 1 FROM t) FOR KEY SHARE":         sqlscan.FeatureLocking,
		"SELECT 1 FROM t FOR READ ONLY":           0,
		"SELECT substring(a FROM 1 FOR 2) FROM t": 0,

		"WITH a AS (INSERT INTO t VALUES (1)) SELECT 1":                                              sqlscan.FeatureDataModifyingWith | sqlscan.FeatureInto,
		"WITH a AS (DELETE FROM t RETURNING x) SELECT 1":                                             sqlscan.FeatureDataModifyingWith,
		"WITH a AS MATERIALIZED (UPDATE t SET x = 1) SELECT 1":                                       sqlscan.FeatureDataModifyingWith,
		"WITH a AS (UPDATE ONLY (t) SET x = 1) SELECT 1":                                             sqlscan.FeatureDataModifyingWith,
		"WITH a AS (UPDATE\"t\" SET x = 1) SELECT 1":                                                 sqlscan.FeatureDataModifyingWith,
		"WITH a AS (UPDATE values SET x = 1) SELECT 1":                                               sqlscan.FeatureDataModifyingWith,
		"WITH a AS (/* ( */ MERGE INTO t USING u ON true WHEN MATCHED THEN DO NOTHING) SELECT 1":     sqlscan.FeatureDataModifyingWith | sqlscan.FeatureInto,
		"WITH a AS (WITH b AS (SELECT 1) DELETE FROM t RETURNING 1) SELECT 1":                        sqlscan.FeatureDataModifyingWith,
		"WITH a AS (WITH b AS (SELECT 1) SEARCH DEPTH FIRST BY x SET delete DELETE FROM t) SELECT 1": sqlscan.FeatureDataModifyingWith,
		"WITH a AS (WITH b AS (SELECT 1) CYCLE x SET y USING \"z\" UPDATE t SET x = 1) SELECT 1":     sqlscan.FeatureDataModifyingWith,
		"WITH a AS (SELECT delete FROM t) SELECT (update), count(delete) FROM a":                     0,
		"COPY (DELETE FROM t RETURNING 1) TO STDOUT":                                                 sqlscan.FeatureDataModifyingWith,
		"COPY t TO '/tmp/x'":      sqlscan.FeatureServerFile,
		"COPY t FROM PROGRAM 'x'": sqlscan.FeatureServerFile,
		"COPY t TO STDOUT":        0,

		"SELECT 1; SELECT 2":                    sqlscan.FeatureMulti,
		"SELECT 1;;":                            0,
		"SELECT current_timestamp":              sqlscan.FeatureCurrentTime,
		"SELECT LOCALTIME(0)":                   sqlscan.FeatureCurrentTime,
		"SELECT \"current_date\"":               0,
		"SELECT t.current_date":                 0,
		"SELECT x AS current_date":              0,
		"SELECT CURRENT_USER":                   sqlscan.FeatureSessionUser,
		"SELECT user":                           sqlscan.FeatureSessionUser,
		"SELECT current_schema":                 sqlscan.FeatureSessionUser,
		"SELECT \"current_user\", \"user\"":     0,
		"SELECT * FROM t TABLESAMPLE system(1)": sqlscan.FeatureTableSample,

		"SELECT date 'today'":                                  sqlscan.FeatureTimeLiterals,
		"SELECT 'NOW'::date":                                   sqlscan.FeatureTimeLiterals,
		"SELECT date E'n\\157w'":                               sqlscan.FeatureTimeLiterals,
		"SELECT date U&'n!006fw' UESCAPE '!'":                  sqlscan.FeatureTimeLiterals,
		"SELECT date 'no'\n'w'":                                sqlscan.FeatureTimeLiterals,
		"SELECT date $a$ tomorrow 12:00$a$":                    sqlscan.FeatureTimeLiterals,
		"SELECT '{2020-01-01,yesterday}'::date[]":              sqlscan.FeatureTimeLiterals,
		`SELECT '{n\ow}'::date[]`:                              sqlscan.FeatureTimeLiterals,
		`SELECT '[n"o"w,]'::tsrange`:                           sqlscan.FeatureTimeLiterals,
		"SELECT 'nowhere', 'known', 'todays', 'epoch', 'no w'": 0,

		"BEGIN ISOLATION LEVEL SERIALIZABLE":                      sqlscan.FeatureSerializable,
		"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY": sqlscan.FeatureSerializable | sqlscan.FeatureReadOnly,
		"SET default_transaction_isolation = 'serializable'":      sqlscan.FeatureSerializable,
		"BEGIN READ WRITE":    sqlscan.FeatureReadWrite,
		"SELECT serializable": 0,
		"SELECT \"Ä\", ä":     sqlscan.FeatureForeignName,
		"SELECT 'ä' /* ä */":  0,
	} {
		if got := scan(text).Features &^ layout; got != want {
			t.Errorf("%q: features %#x, want %#x", text, got, want)
		}
	}
	const all = "WITH a AS (SELECT $2, 'x' ORDER BY 1 LIMIT 1) SELECT 1"
	if got := scan(all); got.Features != layout || got.MaxParam != 2 {
		t.Errorf("%q: got %#x, $%d", all, got.Features, got.MaxParam)
	}
}

func TestScanCountsStatements(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"":                  0,
		";;":                0,
		"SELECT 1":          1,
		";SELECT 1;;":       1,
		"SELECT 1;SELECT 2": 2,
		"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 END; END; SELECT 2":      2,
		"CREATE OR REPLACE PROCEDURE f() BEGIN ATOMIC SELECT 1 AS end, 2 AS case; SELECT t.end FROM t; END; SELECT 2": 2,
		"CREATE RULE r AS ON INSERT TO t DO ALSO (SELECT 1; SELECT 2); SELECT 3":                                      2,
		"BEGIN; SELECT atomic; END": 3,
	} {
		if got := scan(text).Count; got != want {
			t.Errorf("%q: %d statements, want %d", text, got, want)
		}
	}
}

func TestScanObeysHints(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]sqlscan.Hint{
		"SELECT 1":                                                 sqlscan.HintNone,
		"/* penstock: primary */ SELECT 1":                         sqlscan.HintPrimary,
		"SELECT /*PENSTOCK:Replica*/ 1":                            sqlscan.HintReplica,
		"SELECT 1 /* penstock: nocache, replica */":                sqlscan.HintReplica,
		"/* penstock: primary */ SELECT /* penstock: replica */ 1": sqlscan.HintPrimary,
		"/* penstock: replica */ SELECT /* penstock: primary */ 1": sqlscan.HintPrimary,
		"SELECT '/* penstock: replica */'":                         sqlscan.HintNone,
		"/* x penstock: replica */ SELECT 1":                       sqlscan.HintNone,
		"/* /* penstock: replica */ */ SELECT 1":                   sqlscan.HintNone,
		"-- penstock: replica\nSELECT 1":                           sqlscan.HintNone,
	} {
		if got := scan(text).Hint; got != want {
			t.Errorf("%q: hint %d, want %d", text, got, want)
		}
	}
	if !scan("SELECT 1 /* penstock: nocache */").Features.Has(sqlscan.FeatureNoCache) {
		t.Error("nocache was not seen")
	}
}

// Whatever a stranger sends, the time grows with its length and no faster.
func TestScanTakesLinearTime(t *testing.T) {
	t.Parallel()
	var s sqlscan.Scanner
	for _, head := range []string{"", "select ", "select E'", "with a as (", "values (1)", "select x in (1"} {
		for _, part := range []string{
			" ", "\"", "\"\"", "x\"\"", "/*", "*/", "/**/", "--\n", "--\r", "--", "-", "+-", ";", "x", "x ", "into ", "for ", ".", "'", "''",
			"'\n", "\\", "'\\'", "$a$", "$a$ $b$", "$", "(", ")", "(1),", ",1", "a.", "U&\"a\"", "U&\"a\"/**/", "N", "n\"", "'n\"'", "0x_", "1_", "1.", "\xff",
			"case ", "update ", "delete from ", "a b c d ", "'a'\n--\n",
		} {
			text := head + strings.Repeat(part, 1<<18/len(part))
			began := time.Now()
			for _, o := range []sqlscan.Options{{}, {NonStandardStrings: true}} {
				s.Scan(text, o)
				s.Normalized(nil)
			}
			if d := time.Since(began); d > time.Second {
				t.Errorf("%q and 256 kB of %q took %s", head, part, d)
			}
		}
	}
}

func TestScanHoldsItsLimits(t *testing.T) {
	t.Parallel()
	sum := "SELECT 1" + strings.Repeat("+1", 63999)
	names := "SELECT " + strings.Repeat("x,", 1)
	for i := range 5000 {
		names += "c" + strings.Repeat("a", i%60) + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676)) + ","
	}
	var s sqlscan.Scanner
	for _, text := range []string{sum, names + "x", strings.Repeat("SELECT 1;", 1<<17), "SELECT '" + strings.Repeat("x", 1<<20) + "'"} {
		began := time.Now()
		st := s.Scan(text, sqlscan.Options{})
		if d := time.Since(began); d > 200*time.Millisecond {
			t.Errorf("%.20q... took %s", text, d)
		}
		if !st.Features.Has(sqlscan.FeatureNotUnderstood) || st.Kinds.Only(sqlscan.KindSelect) || len(st.Names) > 4096 {
			t.Errorf("%.20q...: features %#x, kinds %#x, %d names", text, st.Features, st.Kinds, len(st.Names))
		}
	}
	if st := s.Scan("SELECT 1"+strings.Repeat("+1", 32000), sqlscan.Options{}); st.Features.Has(bad) {
		t.Errorf("32,000 terms: features %#x", st.Features)
	}
}

func TestScanAllocatesNothing(t *testing.T) {
	var s sqlscan.Scanner
	for _, text := range []string{typical, "SELECT 1;", `INSERT INTO "T""x" VALUES (E'\n', U&'\0041', 1.5, $1), (1,2,3,4)`, "SELECT U&\"d\\0061t\""} {
		if n := testing.AllocsPerRun(100, func() { s.Scan(text, sqlscan.Options{}) }); n != 0 {
			t.Errorf("%q: %v allocations", text, n)
		}
	}
}

// words are what random texts are made of.
func words() []string {
	return []string{
		"SELECT", "select", "FROM", "with", "AS", "(", ")", ",", ";", "INTO", "FOR", "UPDATE", "DELETE", "IN", "VALUES", "ARRAY", "[", "]",
		"t", "T", "\"t\"", "U&\"t\"", "U&\"!0061\" UESCAPE '!'", ".", "..", "1", "-1", ".5", "1e5", "0x1f", "'a'", "E'\\''", "B'1'", "X'f'", "N'a'", "U&'a'",
		"$$a$$", "$x$a$x$", "$1", "$2", "=", "-", "+", "*", "::", ":=", "=>", "!=", "@>", "/* c */", "--c\n", "NULL", "true", "\n", " ", "ä", "e", "u", "&",
	}
}

// Normalized says the same as the text, in PostgreSQL's words.
func TestNormalizedScansToTheSame(t *testing.T) {
	t.Parallel()
	var s, again sqlscan.Scanner
	all := words()
	same := func(picks []uint8, spaced bool) bool {
		var text strings.Builder
		for _, pick := range picks {
			text.WriteString(all[int(pick)%len(all)])
			if spaced {
				text.WriteByte(' ')
			}
		}
		st := s.Scan(text.String(), sqlscan.Options{})
		if st.Features.Has(sqlscan.FeatureNotUnderstood) {
			return true
		}
		normal := string(s.Normalized(nil))
		other := again.Scan(normal, sqlscan.Options{})
		ok := other.Fingerprint == st.Fingerprint && other.Kinds == st.Kinds && slices.Equal(other.Names, st.Names) &&
			string(again.Normalized(nil)) == normal && !other.Features.Has(sqlscan.FeatureLiterals)
		if !ok {
			t.Logf("%q became %q", text.String(), normal)
		}
		return ok
	}
	if err := quick.Check(same, &quick.Config{MaxCount: 20000}); err != nil {
		t.Error(err)
	}
}

func TestNormalizedReplacesConstants(t *testing.T) {
	t.Parallel()
	var s sqlscan.Scanner
	for text, want := range map[string]string{
		"":                                    "",
		";":                                   "",
		"SELECT 1, 'a', -- x\n  2.5;":         "SELECT $1, $2, $3",
		"SELECT $2, 'a', $1":                  "SELECT $2, $3, $1",
		"SELECT date'x'":                      "SELECT date $1",
		"SELECT 1into t":                      "SELECT $1 into t",
		"SELECT 'a'\n'b' x":                   "SELECT $1 x",
		"SELECT a-1, (-1), a = -1":            "SELECT a-$1, ($2), a = $3",
		" SELECT 1 ;; ; SELECT 2 ;":           "SELECT $1; SELECT $2",
		`SELECT U&"d!0061""t" UESCAPE '!'"x"`: `SELECT "da""t" "x"`,
		`SELECT u&U&"!0061" UESCAPE '!'`:      `SELECT u& "a"`,
		"SELECT NULL, true":                   "SELECT NULL, true",
		"SELECT 1..10":                        "SELECT $1..$2",
		"SELECT a[1:2]":                       "SELECT a[$1:$2]",
		"SELECT 'secret":                      "SELECT",
	} {
		s.Scan(text, sqlscan.Options{})
		if got := string(s.Normalized([]byte("> "))); got != "> "+want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestFingerprintForgetsWhatDoesNotMatter(t *testing.T) {
	t.Parallel()
	for _, same := range [][]string{
		{"SELECT 1", "select  'a'", "SELECT/**/$1;", "\n;SELECT E'\\''", "SELECT $$x$$ -- c", "SELECT 0x1f", "SELECT X'1f'"},
		{"SELECT a IN (1)", "SELECT a IN (1,2,3)", "SELECT A in ($1, -2, 'x', NULL)"},
		{"SELECT a = ANY(ARRAY[1])", "SELECT a = ANY (ARRAY[1,2])"},
		{"INSERT INTO t VALUES (1,'a')", "INSERT INTO t VALUES (1, $1), (-2, NULL), (3, 4)"},
		{"INSERT INTO t VALUES (1,f(2)),(1,f(2))", "INSERT INTO t VALUES (1,f(2)),(3,4),(1,f(2)),(5,6)"},
		{`SELECT "da"`, `SELECT U&"d\0061"`, `SELECT U&"d!0061" UESCAPE '!'`},
		{"SELECT -1 + (-1)", "SELECT - 1 + (1)"},
	} {
		for _, text := range same[1:] {
			if scan(text).Fingerprint != scan(same[0]).Fingerprint {
				t.Errorf("%q and %q differ", same[0], text)
			}
		}
	}
	seen := map[uint64]string{}
	for _, text := range []string{
		"SELECT a", "SELECT b", "SELECT \"a\"", "SELECT 1", "SELECT 1; SELECT 1", "SELECT f(1)", "SELECT f(1,1)", "SELECT f 1",
		"SELECT a IN (1,b)", "SELECT a IN (1)", "SELECT a IN (b)", "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (1,1)", "INSERT INTO t VALUES (1),(f(1))",
		"SELECT a + b", "SELECT a - b", "SELECT a +- b", "SELECT ab", "SELECT aaaaaaaaaaaaaaaa", "SELECT aaaaaaaaaaaaaaab", "SELECT (1)", "",
	} {
		print := scan(text).Fingerprint
		if other, ok := seen[print]; ok {
			t.Errorf("%q and %q are the same", text, other)
		}
		seen[print] = text
	}
}

// The fingerprint is written down by users: it must never change.
func TestFingerprintIsTheSameForEver(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]uint64{
		"SELECT 1": 0xdf8deaa684dea505,
		typical:    0xafa87f707e728e22,
	} {
		if got := scan(text).Fingerprint; got != want {
			t.Errorf("%q: %#x, want %#x", text, got, want)
		}
	}
}
