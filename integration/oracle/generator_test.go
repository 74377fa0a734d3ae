package oracle

import (
	"math/rand/v2"
	"strings"
)

// generator makes texts from parts of the grammar, some of them wrong.
type generator struct{ *rand.Rand }

func (g generator) pick(choices ...string) string { return choices[g.IntN(len(choices))] }

// maybe returns one of the choices once in n times.
func (g generator) maybe(n int, choices ...string) string {
	if g.IntN(n) == 0 {
		return g.pick(choices...)
	}
	return ""
}

func (g generator) text() string {
	text := g.statement()
	for g.IntN(6) == 0 {
		text += g.pick(";", ";;", "; -- c\n") + g.statement()
	}
	text += g.maybe(5, ";", "; /* c */", " --")
	if g.IntN(4) == 0 { // another layout
		text = strings.ReplaceAll(text, " ", g.pick("\n", "\t", "/**/", "/* into for update */", "--;\n", "  "))
	}
	if g.IntN(4) == 0 {
		text = strings.ToLower(text)
	}
	return text
}

func (g generator) statement() string {
	switch g.IntN(14) {
	case 0:
		return g.change()
	case 1:
		return "EXPLAIN " + g.pick("", "ANALYZE ", "VERBOSE ", "ANALYSE VERBOSE ", "(ANALYZE) ", "(COSTS OFF) ", "(\"analyze\") ", "(FORMAT JSON, ANALYZE false) ") + g.pick(g.query(2), g.change())
	case 2:
		return g.pick("BEGIN", "START TRANSACTION READ ONLY", "COMMIT", "ROLLBACK TO a", "SET x = 'a'", "SET LOCAL x TO y", "SHOW x", "RESET ALL", "DISCARD ALL",
			"LISTEN a", "FETCH 1 FROM c", "CLOSE c", "LOCK TABLE t", "VACUUM t", "DO $$ begin; end $$", "CALL f(1)", "DEALLOCATE p", "EXECUTE p(1)", "CHECKPOINT")
	case 3:
		return g.pick("PREPARE p AS ", "CREATE TABLE t AS ", "CREATE VIEW v AS ", "DECLARE c CURSOR FOR ", "CREATE TEMP TABLE t AS ", "CREATE MATERIALIZED VIEW v AS ") + g.query(2)
	case 4:
		return "COPY (" + g.pick(g.query(1), g.change()) + ") TO " + g.pick("STDOUT", "'/tmp/x'", "PROGRAM 'x'")
	case 5:
		return g.pick("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", "CREATE FUNCTION s.") + " f() RETURNS int BEGIN ATOMIC SELECT " + g.expr(2) + "; " + g.query(1) + "; END"
	}
	return g.query(3)
}

func (g generator) change() string {
	return g.with(1) + g.fill(1, "INSERT INTO #t SELECT #e", "INSERT INTO t VALUES (#e), (1)", "UPDATE #t SET a = #e", "UPDATE ONLY #t SET a = #e",
		"DELETE FROM #t WHERE #e", "MERGE INTO #t USING u ON a = b WHEN MATCHED THEN DELETE") + g.maybe(3, " RETURNING *")
}

// fill picks a template and fills in expressions #e, queries #q, functions #f,
// tables #t and names #n.
func (g generator) fill(depth int, templates ...string) string {
	parts := strings.Split(g.pick(templates...), "#")
	text := parts[0]
	for _, part := range parts[1:] {
		switch part[0] {
		case 'e':
			text += g.expr(max(0, depth-1))
		case 'q':
			text += g.query(max(0, depth-1))
		case 'f':
			text += g.function(max(0, depth-1))
		case 't':
			text += g.table()
		case 'n':
			text += g.name()
		case 'l':
			text += g.label()
		}
		text += part[1:]
	}
	return text
}

func (g generator) with(depth int) string {
	if depth == 0 || g.IntN(4) != 0 {
		return ""
	}
	text := "WITH " + g.maybe(3, "RECURSIVE ")
	for {
		body := g.query(depth - 1)
		if g.IntN(3) == 0 {
			body = g.change()
		}
		text += g.name() + g.maybe(4, " (a, b)", " (delete)") + " AS " + g.maybe(4, "MATERIALIZED ", "NOT MATERIALIZED ") + "(" + body + ")" +
			g.maybe(6, " SEARCH DEPTH FIRST BY a SET b", " SEARCH BREADTH FIRST BY a SET delete", " CYCLE a SET b USING c", " CYCLE a SET b USING \"c\"")
		if g.IntN(4) != 0 {
			return text + " "
		}
		text += ", "
	}
}

func (g generator) query(depth int) string {
	text := g.with(depth)
	switch g.IntN(8) {
	case 0:
		text += "VALUES (" + g.expr(depth) + ")"
	case 1:
		text += "TABLE " + g.table()
	case 2:
		text += "(" + g.query(max(0, depth-1)) + ")"
	default:
		text += "SELECT " + g.maybe(6, "DISTINCT ", "DISTINCT ON (a) ", "DISTINCT ON ((a), f(b)) ", "ALL ") + g.expr(depth) + g.fill(depth, "", "", "", " AS #l", " #n", ", #e") +
			g.maybe(12, " INTO t", " INTO TEMP t", " INTO TABLE \"x\"", "INTO x")
		if g.IntN(5) != 0 {
			text += " FROM " + g.from(depth)
		}
		text += g.fill(depth, "", "", " WHERE #e") + g.maybe(8, " GROUP BY 1", " HAVING true")
	}
	if depth > 0 {
		text += g.fill(depth, "", "", "", "", " UNION ALL #q", " EXCEPT SELECT 1")
	}
	return text + g.maybe(6, " ORDER BY 1", " ORDER BY a USING <", " ORDER BY f(1), g(2)") + g.maybe(6, " LIMIT 1", " OFFSET 2", " FETCH FIRST 1 ROW ONLY") +
		g.maybe(10, " FOR UPDATE", " FOR SHARE OF t", " FOR NO KEY UPDATE", " FOR KEY SHARE", " FOR READ ONLY")
}

func (g generator) from(depth int) string {
	if depth == 0 {
		return g.table()
	}
	return g.fill(depth, "#t", "#t #n", "(#q) q", "#t JOIN #t ON #e", "#f f", "ROWS FROM (#f) r", "#t TABLESAMPLE system(1)", "LATERAL #f AS x(a int)", "#t, #t",
		"#f AS #n (a, b)", "#f #n (a)", "(#q) #n (a, b)", "(VALUES (#e)) AS #n(a)", "ROWS FROM (#f, #f AS (a int)) WITH ORDINALITY #n (a)", "#t #n (a), #f")
}

func (g generator) name() string {
	return g.pick("a", "B", "t", "update", "delete", "insert", "merge", "share", "key", "temp", "values", "value", "\"q\"\"x\"", "\"INTO\"", "U&\"d\\0061t\"",
		"U&\"!0061\" UESCAPE '!'", "ä", "_x$1", "search", "cycle", "read", "begin", "atomic", "start", "no", "at", "nextval")
}

// label is what may stand behind AS or a dot.
func (g generator) label() string {
	return g.pick(g.name(), "select", "into", "for", "current_user", "end", "case", "user", "table")
}

func (g generator) table() string { return g.maybe(3, "s.", "db.s.", "\"S\" . ") + g.name() }

func (g generator) function(depth int) string {
	return g.pick("f", "nextval", "s.f", "pg_catalog.now", "public.select", "\"F x\"", "left", "u&\"f\"", "set_config", "value", "a.b.c") + g.fill(depth, "()", "(#e)")
}

func (g generator) expr(depth int) string {
	if depth == 0 {
		return g.pick("1", "'a'", "$1", "a", "t.a", "NULL", "1.5e3", "-1", ".5", "'it''s; into'", "E'\\'; --'", "$$;$$", "$q$ into $q$", "B'01'", "X'1f'", "N'x'", "U&'\\0041'",
			"'a'\n'b'", "date 'today'", "current_date", "current_user", "user", "*", "t.update", g.name(), "1_000", "0x1f", "true", "localtime(0)", "session_user", "system_user", "current_schema")
	}
	return g.fill(depth, "#e", "#f", "#e "+g.pick("+", "=", "<>", "||", "->>", "@>", "AND", "OR", "LIKE", "IS DISTINCT FROM", "~*", "OPERATOR(pg_catalog.+)")+" #e",
		"(#e)", "(#q)", "EXISTS (#q)", "#e IN (#e, 1)", "#e IN (#q)", "#e::int", "CAST(#e AS text)",
		"CASE WHEN #e THEN #e ELSE 1 END", "ARRAY[#e, 1]", "extract(year FROM #e)", "substring(#e FROM 1 FOR 2)", "trim(both 'x' from #e)",
		"overlay(#e placing 'x' from 1 for 2)", "position('a' in #e)", "#e AT TIME ZONE 'x'", "coalesce(#e, 1)", "greatest(1, #e)", "nullif(1, #e)",
		"collation for (#e)", "treat(#e AS nextval)", "normalize(#e)", "#e IS NORMALIZED", "(#e, 1) OVERLAPS (1, 2)", "#e SIMILAR TO 'x' ESCAPE 'y'",
		"#e BETWEEN 1 AND 2", "xmlelement(name a, #e)", "xmlparse(document #e)", "json_object('a': #e)", "(#e).into", "(#e).f", "(#e).#n.#n", "a[1].#n", "$1.#n", "OPERATOR(s.-) #f", "OPERATOR(-) #f", "(#e) + #f", "CASE (#e) WHEN #f THEN #f END", "(#e) BETWEEN #f AND #f", "CAST(#e AS varchar(3))", "CAST(#e AS #n)", "#e COLLATE \"C\"",
		"count(*) FILTER (WHERE #e)", "sum(#e) OVER (PARTITION BY a ORDER BY b)", "ROW(#e, 2)", "- #e", "NOT #e", "f(a => #e)", "f(VARIADIC #e)", "a[#e:2]",
		"interval '1' year", "f 'x'", "left 'x'", "#e LIKE 'a' ESCAPE 'b'")
}
