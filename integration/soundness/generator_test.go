package soundness

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// The types that the generator's expressions have.
const (
	ints  = 'i'
	texts = 't'
	bools = 'b'
	nums  = 'n'
	times = 'd'
	jsons = 'j'
	lists = 'a' // of integers
)

// column is what an expression may refer to.
type column struct {
	name string
	typ  byte
}

// generator makes statements that the server understands, mostly.
type generator struct {
	*rand.Rand
	hazards bool // names them now and then
	version int
	hostile bool // named one in this statement
	scope   []column
	names   int
}

func (g *generator) pick(choices ...string) string { return choices[g.IntN(len(choices))] }

func (g *generator) one(n int) bool { return g.IntN(n) == 0 }

// maybe returns one of the choices once in n times.
func (g *generator) maybe(n int, choices ...string) string {
	if g.one(n) {
		return g.fill(2, g.pick(choices...))
	}
	return ""
}

func (g *generator) alias() string {
	g.names++
	return g.pick("x", "t", "q", "sub_", "r") + strconv.Itoa(g.names)
}

// generated makes n different statements.
func (w *world) generated(database string, n int, seed uint64) []statement {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 3)), hazards: database == "postgres", version: w.cluster.Version}
	seen := map[string]bool{}
	var all []statement
	for len(all) < n {
		text := g.statement()
		if seen[text] {
			continue
		}
		seen[text] = true
		all = append(all, statement{text: text, database: database, source: "grammar over " + database, hostile: g.hostile})
	}
	return all
}

func (g *generator) statement() string {
	g.hostile, g.scope, g.names = false, nil, 0
	var text string
	switch {
	case g.one(30):
		text = g.query(2) + g.pick("; ", ";;\n", "; -- and\n") + g.query(2)
		if g.hazards && g.one(2) {
			text += "; " + g.otherKind()
		}
	case g.hazards && g.one(25):
		text = g.otherKind()
	default:
		text = g.query(3)
	}
	text += g.maybe(8, ";", " ; ", " -- end", " /* end */")
	if g.one(4) {
		text = g.disguise(text)
	}
	return text
}

// fill replaces #i, #t and so on by expressions, #q by a query, #1 by a number,
// and ## by #.
func (g *generator) fill(depth int, template string) string {
	parts := strings.Split(template, "#")
	var text strings.Builder
	text.WriteString(parts[0])
	for i := 1; i < len(parts); i++ {
		part := parts[i]
		if part == "" && i+1 < len(parts) { // ## is #
			i++
			text.WriteString("#" + parts[i])
			continue
		}
		if part == "" {
			break
		}
		switch part[0] {
		case ints, texts, bools, nums, times, jsons, lists:
			text.WriteString(g.expr(part[0], depth-1))
		case 'q':
			text.WriteString(g.query(depth - 1))
		case '1':
			text.WriteString(strconv.Itoa(g.IntN(20)))
		default:
			panic("no expression is called #" + part[:1] + " in " + template)
		}
		text.WriteString(part[1:])
	}
	return text.String()
}

// expr makes an expression of a type.
func (g *generator) expr(typ byte, depth int) string {
	if g.hazards && typ == ints && g.one(90) {
		g.hostile = true
		return g.fill(depth, g.pick(hazards()...))
	}
	if depth <= 0 || g.one(4) {
		return g.leaf(typ)
	}
	if g.one(12) {
		return g.scalar(typ, depth)
	}
	if g.one(14) {
		return g.fill(depth, fmt.Sprintf(g.pick("CASE WHEN #b THEN #%[1]c ELSE #%[1]c END", "COALESCE(#%[1]c, #%[1]c)", "NULLIF(#%[1]c, #%[1]c)",
			"CASE #i WHEN #1 THEN #%[1]c WHEN #i THEN #%[1]c END", "(#%[1]c)", "anything(#%[1]c)"), typ))
	}
	return g.fill(depth, g.pick(expressions(typ)...))
}

func (g *generator) leaf(typ byte) string {
	var fit []string
	for _, c := range g.scope {
		if c.typ == typ {
			fit = append(fit, c.name)
		}
	}
	if len(fit) > 0 && !g.one(4) {
		return g.pick(fit...)
	}
	return g.fill(0, g.pick(constants(typ)...))
}

// scalar is a query of one value. Its scope is its own and the outer one.
func (g *generator) scalar(typ byte, depth int) string {
	outer := g.scope
	defer func() { g.scope = outer }()
	from := g.from(depth - 1)
	return fmt.Sprintf("(SELECT %s FROM %s%s LIMIT 1)", g.expr(typ, depth-1), from, g.maybe(2, " WHERE #b"))
}

// query makes a query with or without everything around it.
func (g *generator) query(depth int) string {
	outer := g.scope
	defer func() { g.scope = outer }()
	switch {
	case depth <= 0 || g.one(25):
		return g.fill(0, g.pick("VALUES (#i, #t), (#i, #t)", "TABLE users", "TABLE v_over", "SELECT #i", "SELECT #t AS x", "SELECT", "TABLE ONLY nodes ORDER BY id LIMIT #1"))
	case g.one(12):
		return g.operands(depth)
	case g.one(12):
		return g.with(depth)
	case g.one(15):
		return "(" + g.query(depth-1) + ")" + g.maybe(2, " LIMIT 5", " ORDER BY 1", " FETCH FIRST 3 ROWS ONLY")
	case g.one(6):
		return g.grouped(depth)
	}
	from := g.from(depth)
	var list []string
	for range 1 + g.IntN(4) {
		list = append(list, g.expr(g.anyType(), depth-1)+g.label())
	}
	text := "SELECT " + g.maybe(8, "DISTINCT ", "ALL ", "DISTINCT ON (#i) ")
	if g.one(8) {
		list = append(list, g.fill(depth, g.pick("*", "count(*) OVER w", "rank() OVER (PARTITION BY #b ORDER BY #i)", "lag(#t, 1) OVER w", "sum(#i) OVER (ORDER BY #i ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)")))
	}
	text += strings.Join(list, ", ")
	if g.hazards && g.one(60) {
		g.hostile = true
		text += g.pick(" INTO made_"+strconv.Itoa(g.names), " INTO TEMP made", " INTO TEMPORARY TABLE made", " INTO UNLOGGED made", " INTO TABLE other.made")
	}
	text += " FROM " + from + g.maybe(2, " WHERE #b", " WHERE #b AND #b", " WHERE #b OR NOT #b")
	if strings.Contains(text, "OVER w") {
		text += g.fill(depth, " WINDOW w AS (PARTITION BY #i ORDER BY #t)")
	}
	text += g.maybe(3, " ORDER BY 1", " ORDER BY 1 DESC NULLS LAST", " ORDER BY #i, #t COLLATE \"C\"", " ORDER BY #i USING <")
	text += g.maybe(3, " LIMIT #1", " LIMIT #1 OFFSET #1", " OFFSET #1 ROWS FETCH NEXT #1 ROWS ONLY", " LIMIT ALL", " FETCH FIRST ROW WITH TIES")
	if g.hazards && g.one(60) {
		g.hostile = true
		text += g.pick(" FOR UPDATE", " FOR SHARE", " FOR NO KEY UPDATE SKIP LOCKED", " FOR KEY SHARE NOWAIT", " FOR UPDATE SKIP LOCKED")
	}
	return text
}

func (g *generator) label() string {
	return g.maybe(3, " AS a", " b", ` AS "Label"`, " AS select", " AS update", " AS nextval", ` AS "counts"`, " AS insert")
}

func (g *generator) anyType() byte {
	return []byte{ints, texts, bools, nums, times, jsons, lists, ints, texts}[g.IntN(9)]
}

func (g *generator) operands(depth int) string {
	types := []byte{g.anyType(), ints}
	part := func() string {
		outer := g.scope
		defer func() { g.scope = outer }()
		from := g.from(depth - 1)
		return fmt.Sprintf("SELECT %s, %s FROM %s%s", g.expr(types[0], depth-1), g.expr(types[1], depth-1), from, g.maybe(2, " WHERE #b"))
	}
	if types[0] == jsons {
		types[0] = texts
	}
	text := part()
	for range 1 + g.IntN(2) {
		text += g.pick(" UNION ", " UNION ALL ", " INTERSECT ", " EXCEPT ", " EXCEPT ALL ") + g.pick(part(), "("+part()+" LIMIT 3)")
	}
	return text + g.maybe(2, " ORDER BY 2", " LIMIT 7")
}

func (g *generator) grouped(depth int) string {
	from := g.from(depth)
	key := g.expr(g.pick("i", "t", "b")[0], depth-1)
	aggregates := []string{
		"count(*)", "sum(#i)", "sum(#n)::numeric(20,4)", "avg(#i)", "max(#t)", "min(#d)", "array_agg(#i ORDER BY #i)", "string_agg(#t, ',' ORDER BY #t)",
		"jsonb_agg(#j ORDER BY #i)", "bool_or(#b)", "count(DISTINCT #t)", "count(*) FILTER (WHERE #b)", "percentile_cont(0.5) WITHIN GROUP (ORDER BY #i)",
		"mode() WITHIN GROUP (ORDER BY #t)", "sum_ok(#i)", "jsonb_object_agg(#t, #i)", "every(#b)", "stddev(#i)::numeric(20,4)",
	}
	text := fmt.Sprintf("SELECT %s AS k, %s, %s FROM %s%s", key, g.fill(depth, g.pick(aggregates...)), g.fill(depth, g.pick(aggregates...)), from, g.maybe(2, " WHERE #b"))
	text += g.pick(" GROUP BY 1", " GROUP BY 1", " GROUP BY k", " GROUP BY ROLLUP (1)", " GROUP BY GROUPING SETS ((1), ())", " GROUP BY CUBE (1)")
	return text + g.maybe(2, " HAVING count(*) > #1", " HAVING max(#i) < #1") + g.pick("", " ORDER BY 1", " ORDER BY 2 DESC, 1")
}

func (g *generator) with(depth int) string {
	name := g.alias()
	if g.hazards && g.one(6) {
		g.hostile = true
		return g.fill(1, strings.ReplaceAll(g.pick(
			"WITH @ AS (INSERT INTO audit (what) VALUES (#t) RETURNING id) SELECT * FROM @",
			"WITH a AS (SELECT 1), @ AS MATERIALIZED (UPDATE nodes SET label = label WHERE id = #1 RETURNING *) SELECT id FROM @",
			"WITH @ AS (DELETE FROM items WHERE line = #1 RETURNING line) TABLE @",
			"WITH @ (a) AS NOT MATERIALIZED (WITH y AS (SELECT 1) UPDATE ONLY public.nodes AS n SET label = 'x' RETURNING n.id) SELECT a FROM @",
			"WITH @ AS (SELECT counts(#1) AS a) SELECT a FROM @"), "@", name))
	}
	if g.one(3) {
		return g.fill(1, strings.ReplaceAll(g.pick(
			"WITH RECURSIVE @ (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM @ WHERE n < #1) SELECT n, #i FROM @",
			"WITH RECURSIVE @(id, depth, path) AS (SELECT id, 1, ARRAY[id] FROM nodes WHERE parent IS NULL UNION ALL SELECT n.id, depth + 1, path || n.id FROM nodes n JOIN @ ON n.parent = @.id) SELECT * FROM @ ORDER BY path",
			"WITH RECURSIVE @ AS (SELECT id, parent FROM nodes WHERE id = #1 UNION SELECT n.id, n.parent FROM nodes n, @ WHERE n.id = @.parent) SELECT count(*) FROM @"), "@", name))
	}
	body := g.query(depth - 1)
	main := g.query(depth - 1)
	return "WITH " + name + g.pick(" AS (", " AS MATERIALIZED (", " AS NOT MATERIALIZED (") + body + ") " +
		g.pick(main, "SELECT * FROM "+name, "SELECT count(*) FROM "+name+" WHERE EXISTS ("+main+")")
}
