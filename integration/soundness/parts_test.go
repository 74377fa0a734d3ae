package soundness

import (
	"fmt"
	"slices"
	"strings"
)

// from makes the list of relations, and adds their columns to the scope.
func (g *generator) from(depth int) string {
	text := g.relation(depth)
	for g.one(3) {
		if g.one(4) {
			text += ", " + g.pick("", "", "LATERAL ") + g.relation(depth-1)
			text = strings.Replace(text, "LATERAL LATERAL", "LATERAL", 1)
			continue
		}
		kind := g.pick(" JOIN ", " LEFT JOIN ", " FULL JOIN ", " INNER JOIN ", " CROSS JOIN ")
		text += kind + g.relation(depth-1)
		if kind != " CROSS JOIN " {
			text += g.fill(1, g.pick(" ON #i = #i", " ON #i = #i", " ON true"))
		}
	}
	return text
}

// table is a relation with what its columns are.
type table struct{ name, columns string }

func tables() []table {
	return []table{
		{"users", "i:id t:name t:email i:age n:score j:data b:active d:created_at"},
		{"public.users", "i:id t:name i:age"},
		{`"users"`, "i:id t:name b:active"},
		{"orders", "i:id i:user_id n:total t:status d:placed_at t:note"},
		{"items", "i:order_id i:line i:product_id i:amount n:price"},
		{"products", "i:id t:name t:body"},
		{"nodes", "i:id i:parent t:label"},
		{"events", "i:id d:at t:kind"},
		{"events_2024", "i:id t:kind"},
		{`"Mixed Case"`, `i:"Id" t:"select"`},
		{"v_users", "i:id t:name i:age"},
		{"v_totals", "i:user_id n:total i:n"},
		{"v_over", "t:name n:total"},
		{"m_totals", "i:user_id n:total"},
		{"all_types", "i:id i:a i:b n:e"},
		{"owned", "i:id t:who"},
		{"ONLY nodes", "i:id t:label"},
	}
}

// hazardTables are those whose rows or planning do what a replica must not.
func hazardTables() []table {
	return []table{
		{"v_counts", "i:n"},
		{"v_over_counts", "i:n i:id"},
		{"v_writes", "i:id i:w"},
		{"v_locks", "i:id"},
		{"v_operator", "i:id"},
		{"v_attribute", "i:id"},
		{"v_unlogged", "i:id"},
		{"v_stat", "i:id"},
		{"v_setting", "t:name"},
		{"v_cast", "i:id"},
		{"v_checked", "i:id"},
		{"unlogged_one", "i:id t:name"},
		{"elders", "i:id"},
		{"guarded", "i:id t:who"},
		{"tenants", "i:id"},
		{"of_checked", "i:id i:c"},
		{"shadowed", "i:id"},
		{"with_index", "i:id"},
		{"with_predicate", "i:id"},
		{"with_statistics", "i:id i:n"},
		{"with_check", "i:id"},
		{"with_key", "i:id"},
		{"counter", "i:last_value"},
		{"pg_class", "t:relname"},
		{"pg_locks", "t:mode"},
		{"pg_stat_activity", "i:pid"},
		{"information_schema.tables", "t:table_name"},
		{"evil.shadowed", "i:id"},
		{`U&"v_co\0075nts"`, "i:n"},
		{"V_Counts", "i:n"},
	}
}

func (g *generator) relation(depth int) string {
	name := g.alias()
	add := func(columns string) {
		for c := range strings.FieldsSeq(columns) {
			g.scope = append(slices.Clip(g.scope), column{name + "." + c[2:], c[0]})
		}
	}
	switch {
	case depth > 0 && g.one(8):
		outer := g.scope
		inner := g.from(depth - 1)
		a, b := g.expr(ints, depth-1), g.expr(texts, depth-1)
		where := g.maybe(2, " WHERE #b")
		g.scope = outer
		add("i:a t:b")
		return fmt.Sprintf("LATERAL (SELECT %s AS a, %s AS b FROM %s%s) %s%s", a, b, inner, where, g.pick("AS ", ""), name)
	case g.one(8):
		call := g.fill(0, g.pick(
			"generate_series(1, #1) @ (a)|i:a", "generate_series(#1, #1, 2) WITH ORDINALITY AS @(a, n)|i:a i:n", "unnest(ARRAY[#i, #i]) AS @(a)|i:a",
			"below(#i) @|i:id i:parent t:label", "pairs(#1) AS @ (a, b)|i:a t:b", "ROWS FROM (generate_series(1, 3), unnest(ARRAY[#t])) AS @(a, b)|i:a t:b",
			"jsonb_to_record(#j) AS @(a int, b text)|i:a t:b", "jsonb_to_recordset('[{\"a\": 1}]') AS @ (a integer, b text)|i:a t:b", "jsonb_each_text(#j) @|t:key t:value",
			"jsonb_array_elements('[1, 2]'::jsonb) WITH ORDINALITY @(v, o)|j:v i:o", "(VALUES (#i, #t), (#1, 'x')) AS @(a, b)|i:a t:b", "regexp_matches(#t, 'a') @(m)|",
			"XMLTABLE('/r/a' PASSING '<r><a>1</a></r>'::xml COLUMNS a int PATH '.', b text PATH '@b') @|i:a t:b", "string_to_table(#t, ' ') AS @(s)|t:s",
			"json_to_record('{\"a\": 1}') AS @(a int)|i:a", "nodes TABLESAMPLE BERNOULLI (50) REPEATABLE (#1)|", "jsonb_populate_record(NULL::nodes, #j) @|i:id t:label", "users AS @ (a, b)|i:a t:b"))
		text, columns, _ := strings.Cut(call, "|")
		add(columns)
		return strings.ReplaceAll(text, "@", name)
	case g.version >= 17 && g.one(20):
		add("i:a t:b")
		return g.fill(0, `JSON_TABLE(jsonb '[{"a": 1, "b": "x"}]', '$[*]' COLUMNS (a int PATH '$.a', b text PATH '$.b')) `) + name
	case g.hazards && g.one(40):
		g.hostile = true
		t := hazardTables()[g.IntN(len(hazardTables()))]
		add(t.columns)
		return t.name + g.pick(" AS ", " ") + name
	}
	t := tables()[g.IntN(len(tables()))]
	add(t.columns)
	return t.name + g.pick(" AS ", " ") + name
}

func constants(typ byte) []string {
	switch typ {
	case ints:
		return []string{"#1", "-#1", "1", "'7'::int", "CAST('3' AS int)", "int '5'", "$$4$$::integer", "NULL::int", "U&'\\0031'::int"}
	case texts:
		return []string{"'abc'", "'name #1'", "E'it\\'s'", "$$dollar ' quoted$$", "$q$nextval('x')$q$", "U&'d\\0061t'", "'for update'", "NULL::text", "'--'", "'/*'", "current_user::text", "B'101'::text", "N'n'"}
	case bools:
		return []string{"true", "FALSE", "'t'::bool", "NULL::boolean", "1 = 1"}
	case nums:
		return []string{"1.5", ".5", "1e3::numeric", "#1::numeric", "1.0e-2::numeric(10,4)", "-2.25"}
	case times:
		return []string{"timestamp '2024-02-03 04:05:06'", "'2024-01-01'::timestamp", "date '2024-05-05' + time '10:00'", "'epoch'::timestamp"}
	case jsons:
		return []string{`'{"a": 1, "b": [1, 2]}'::jsonb`, "jsonb '[1, \"x\"]'", "to_jsonb(#1)", "jsonb_build_object('k', #1)"}
	case lists:
		return []string{"ARRAY[1, 2, #1]", "'{3,4}'::int[]", "array[#1]::integer[]", "'{}'::int4[]"}
	}
	return []string{"NULL"}
}

func expressions(typ byte) []string {
	switch typ {
	case ints:
		return []string{
			"#i + #i", "#i - #1", "(#i * #i) % 1000", "-(#i)", "abs(#i)", "length(#t)", "twice(#i % 1000)", "order_count(#i)::int", "#i |+| #i", "greatest(#i, #i, 1)", "least(#i, 3)",
			"extract(year FROM #d)::int", "date_part('day', #d)::int", "position('a' IN #t)", "strpos(#t, 'a')", "cardinality(#a)", "array_length(#a, 1)", "(#a)[1]", "(#a)[1:2][1]", "char_length(#t)",
			"jsonb_array_length('[1,2]')", "(#j ->> 'a')::int", "ascii(#t)", "cast(#n AS int)", "floor(#n)::int", "mod(#i, 7)", "coalesce(#i, #1)", "width_bucket(#n, 0, 10, 5)", "bit_length(#t)",
			"(#i & 7)", "(#i | 1)", "(SELECT count(*) FROM users)::int", "(SELECT max(s) FROM generate_series(1, 3) s)", "public.twice(1)", "hashtext(#t)", "octet_length(#t)", "ARRAY(SELECT 5)::int[] [1]",
			"plus_op(#i, 1)", "pg_column_size(#1)", "(ROW(#i, #t)::address).zip", "(address '(a,3)').zip",
		}
	case texts:
		return []string{
			"lower(#t)", "upper(#t)", "#t || #t", "substring(#t FROM 1 FOR 3)", "substr(#t, 2)", "trim(BOTH ' ' FROM #t)", "btrim(#t)", "#i::text", "CAST(#i AS varchar(10))::text", "to_char(#d, 'YYYY-MM-DD')",
			"concat(#t, #i, #b)", "concat_ws('-', #t, #t)", "format('%s-%s', #t, #i)", "replace(#t, 'a', 'b')", "left(#t, 3)", "lpad(#t, 10, '*')", "md5(#t)", "#j ->> 'c'", "#j::text", "split_part(#t, ' ', 1)",
			"regexp_replace(#t, '[aeiou]', '', 'g')", "label_of(#i)", "overlay(#t placing 'x' from 1 for 1)", "encode(sha256(convert_to(#t, 'UTF8')), 'hex')", "array_to_string(#a, ',')", "#b::text", "quote_literal(#t)", "reverse(#t)",
			"to_tsvector('english', #t)::text", "pg_typeof(#i)::text", "ts_headline('english', #t, plainto_tsquery('english', 'fox'))", "xmlserialize(content xmlelement(name a, #t) AS text)", "xmlforest(#i AS a)::text", "normalize(#t)",
			"#t COLLATE \"C\"", "translate(#t, 'a', 'e')", "string_to_array(#t, ' ')::text", "to_json(#t)::text", "repeat(#t, 2)", "(SELECT u.full_name FROM users u ORDER BY id LIMIT 1)", "(SELECT full_name(u) FROM users u ORDER BY id LIMIT 1)", "(SELECT (u).name FROM users u ORDER BY 1 LIMIT 1)",
		}
	case bools:
		return []string{
			"#i = #i", "#i <> #1", "#i != #1", "#i < #i", "#i BETWEEN #1 AND #i", "#i NOT BETWEEN SYMMETRIC #i AND #1", "#t LIKE 'n%'", "#t ILIKE '%A%'", "#t NOT LIKE '%!%%' ESCAPE '!'", "#t ~ '^n'", "#t ~* 'x'", "#t SIMILAR TO '(a|b)%'",
			"#i IN (1, 2, #1)", "#i IN (SELECT user_id FROM orders)", "#i NOT IN (1, #i)", "#b AND #b", "#b OR #b", "NOT #b", "#t IS NULL", "#i IS NOT NULL", "#b IS TRUE", "#i IS DISTINCT FROM #i", "EXISTS (#q)", "#i = ANY (#a)", "#i > ALL (ARRAY[#1])",
			"#i = SOME (SELECT id FROM nodes)", "(#i, #t) = (1, 'a')", "(#i, #i) IN ((1, 2), (3, #1))", "#d > timestamp '2024-01-01'", "(#d, interval '1 day') OVERLAPS (#d, #d)", "#j @> '{\"a\": 1}'", "#j ? 'a'", "#j ?| ARRAY['a', 'z']", "#j @? '$.a'", "#a && #a", "#a @> ARRAY[1]",
			"to_tsvector('english', #t) @@ plainto_tsquery('english', 'fox')", "#t IS NORMALIZED", "#t IN ('a', #t)", "starts_with(#t, 'n')", "ROW(#i, 1) < ROW(2, 3)", "#t ^@ 'n'", "XMLEXISTS('//a' PASSING '<a/>'::xml)", "int4range(1, 5) @> #i", "#t > ANY (SELECT name FROM products)", "isfinite(#d)",
		}
	case nums:
		return []string{"#n + #n", "#n * 2", "round(#n, 2)", "#i::numeric", "#n::numeric(20,2)", "abs(#n)", "sqrt(abs(#i))::numeric(20,6)", "#i / 3.0", "coalesce(#n, 0)", "trunc(#n)", "(SELECT sum(total) FROM orders WHERE user_id = #i)", "extract(epoch FROM #d)::numeric", "power(2, #1)::numeric", "ceil(#n)", "(SELECT avg(score) FROM users)"}
	case times:
		return []string{"#d + interval '1 day'", "date_trunc('month', #d)", "#d - interval '2 hours'", "#d::date::timestamp", "timestamp '2024-01-01' + #1 * interval '1 day'", "#d AT TIME ZONE 'UTC' AT TIME ZONE 'UTC'", "greatest(#d, '2024-03-01')", "to_timestamp('2024', 'YYYY')::timestamp", "make_timestamp(2024, 1, 2, 3, 4, 5)", "(SELECT max(placed_at) FROM orders)"}
	case jsons:
		return []string{"jsonb_build_object('a', #i, 'b', #t)", "to_jsonb(#t)", "#j || '{\"z\": 1}'", "jsonb_set(#j, '{a}', '2')", "#j -> 'a'", "#j - 'a'", "jsonb_strip_nulls(#j)", "jsonb_build_array(#i, #t)", "(SELECT jsonb_agg(label) FROM nodes WHERE id < #1)", "to_jsonb(ROW(#i, #t))", "jsonb_path_query_first(#j, '$.a')", "json_build_object('q', #i)::jsonb", "(SELECT data FROM users WHERE id = #1)"}
	case lists:
		return []string{"#a || #i", "array_append(#a, #i)", "ARRAY[#i, #i]", "ARRAY(SELECT id FROM nodes WHERE id < #1 ORDER BY 1)", "array_remove(#a, 1)", "(SELECT array_agg(id ORDER BY id) FROM users WHERE age > #i)", "(#a)[1:2]", "array_cat(#a, #a)", "string_to_array('1,2', ',')::int[]"}
	}
	return constants(typ)
}

// disguise writes a text differently: other space, comments, case. What is
// inside quotes stays, mostly.
func (g *generator) disguise(text string) string {
	space := g.pick("\n", "\t", " /**/ ", " /* for /* update */ */ ", " --;\n", "  ", "\f ", " -- $$ ' \n", "\r\n")
	mixed := g.one(2)
	var out strings.Builder
	quote := ""
	for i := 0; i < len(text); i++ {
		c := text[i]
		if quote != "" {
			if strings.HasPrefix(text[i:], quote) {
				out.WriteString(quote)
				i += len(quote) - 1
				quote = ""
				continue
			}
			out.WriteByte(c)
			continue
		}
		switch {
		case strings.HasPrefix(text[i:], "--") || strings.HasPrefix(text[i:], "/*"):
			return text // has comments already
		case c == '\'' || c == '"':
			quote = string(c)
		case strings.HasPrefix(text[i:], "$$"), strings.HasPrefix(text[i:], "$q$"):
			end := strings.IndexByte(text[i+1:], '$') + 2
			quote = text[i : i+end]
			out.WriteString(quote)
			i += end - 1
			continue
		case c == ' ' && g.one(3):
			out.WriteString(space)
			continue
		case mixed && c >= 'a' && c <= 'z' && g.one(2):
			c -= 'a' - 'A'
		}
		out.WriteByte(c)
	}
	return out.String()
}
