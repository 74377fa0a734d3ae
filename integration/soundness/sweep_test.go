package soundness

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// sweep makes statements that call every function, operator and cast and read
// every relation that a database has; all of a round before the next begins.
func (w *world) sweep(t *testing.T, database string, n int, seed uint64) []statement {
	t.Helper()
	s := sweeper{Rand: rand.New(rand.NewPCG(seed, 2)), values: sampleValues()}
	conn := w.connect(t, w.cluster.Primary, database, "postgres")
	query := func(sql string) [][]string {
		results, err := conn.Exec(t.Context(), sql).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		var rows [][]string
		for _, row := range results[0].Rows {
			var cells []string
			for _, cell := range row {
				cells = append(cells, string(cell))
			}
			rows = append(rows, cells)
		}
		return rows
	}
	functions, operators, casts, relations := query(sweptFunctions), query(sweptOperators), query(sweptCasts), query(sweptRelations)
	seen := map[string]bool{}
	var all []statement
	for round := 0; round < 100 && len(all) < n; round++ {
		before := len(all)
		add := func(text string) {
			if !seen[text] && len(all) < n {
				seen[text] = true
				all = append(all, statement{text: text, database: database, source: "sweep of " + database})
			}
		}
		if round%4 == 0 {
			for _, r := range relations {
				add(s.relation(r[0]))
			}
			for _, c := range casts {
				add(fmt.Sprintf("SELECT CAST(%s AS %s)", s.value(c[0]), c[1]))
			}
		}
		for _, o := range operators {
			add("SELECT " + s.operator(o))
		}
		for _, f := range functions {
			add(s.call(f))
		}
		if len(all) == before {
			break
		}
	}
	return all
}

const sweptFunctions = `SELECT n.nspname, p.proname, p.prokind, p.proretset,
 (SELECT coalesce(string_agg(format_type(x, NULL), ';' ORDER BY o), '') FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY a (x, o))
 FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
 WHERE p.prokind <> 'p' AND n.nspname <> 'information_schema' AND p.proname NOT LIKE 'pg_sleep%'
 AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype, 'internal'::regtype, 'language_handler'::regtype, 'fdw_handler'::regtype,
   'table_am_handler'::regtype, 'index_am_handler'::regtype, 'tsm_handler'::regtype)
 AND NOT 'internal'::regtype = ANY (p.proargtypes::oid[]) ORDER BY p.oid`

const sweptOperators = `SELECT n.nspname, oprname, CASE WHEN oprleft <> 0 THEN format_type(oprleft, NULL) ELSE '' END, format_type(oprright, NULL)
 FROM pg_operator JOIN pg_namespace n ON n.oid = oprnamespace WHERE oprcode <> 0 AND oprright <> 0 ORDER BY pg_operator.oid`

const sweptCasts = `SELECT format_type(castsource, NULL), format_type(casttarget, NULL) FROM pg_cast
 UNION SELECT 'unknown', format_type(oid, NULL) FROM pg_type WHERE typtype <> 'p' OR typname LIKE 'any%' ORDER BY 1, 2`

const sweptRelations = `SELECT c.oid::regclass FROM pg_class c WHERE relkind IN ('r', 'v', 'm', 'p', 'S', 'f') ORDER BY c.oid`

type sweeper struct {
	*rand.Rand
	values map[string][]string
}

func (s *sweeper) pick(choices ...string) string { return choices[s.IntN(len(choices))] }

// value is a constant of a type.
func (s *sweeper) value(typ string) string {
	if typ == "unknown" {
		return s.pick("'1'", "'x'", "'{}'", "'{1,2}'", "'2024-01-01'", "'(1,2)'", "NULL", "'[1,2]'", "'a=>1'", "'pg_class'")
	}
	if pseudo, ok := pseudoTypes()[typ]; ok {
		typ = s.pick(pseudo...)
	}
	if element, ok := strings.CutSuffix(typ, "[]"); ok {
		return fmt.Sprintf("ARRAY[%s, %s]::%s", s.value(element), s.value(element), typ)
	}
	if literals := s.values[typ]; len(literals) > 0 {
		return fmt.Sprintf("'%s'::%s", s.pick(literals...), typ)
	}
	if s.IntN(3) == 0 {
		return s.pick("'1'", "'x'", "'(1,2)'") + "::" + typ
	}
	return "NULL::" + typ
}

func pseudoTypes() map[string][]string {
	return map[string][]string{
		"anyelement": {"integer", "text", "jsonb"}, "anycompatible": {"integer"}, "any": {"integer", "text", "users"}, `"any"`: {"integer", "text", "users"},
		"anynonarray": {"integer", "text"}, "anycompatiblenonarray": {"integer"}, "anyarray": {"integer[]", "text[]"}, "anycompatiblearray": {"integer[]"},
		"anyrange": {"int4range"}, "anycompatiblerange": {"int4range"}, "anyenum": {"mood"}, "record": {"address", "nodes"},
		"anymultirange": {"int4multirange"}, "anycompatiblemultirange": {"int4multirange"}, "cstring": {"cstring"}, "void": {"text"},
	}
}

func (s *sweeper) call(f []string) string {
	var arguments []string
	if f[4] != "" {
		for typ := range strings.SplitSeq(f[4], ";") {
			arguments = append(arguments, s.value(typ))
		}
	}
	name := `"` + f[1] + `"`
	if s.IntN(2) == 0 {
		name = f[0] + "." + name
	}
	call := name + "(" + strings.Join(arguments, ", ") + ")"
	switch {
	case f[2] == "w":
		return "SELECT " + call + " OVER (ORDER BY id) FROM nodes"
	case f[2] == "a" && strings.Contains(f[1], "percentile"), f[2] == "a" && s.IntN(8) == 0:
		return "SELECT " + name + "(" + strings.Join(arguments[:min(1, len(arguments))], ", ") + ") WITHIN GROUP (ORDER BY " + strings.Join(arguments[min(1, len(arguments)):], ", ") + ") FROM nodes"
	case f[2] == "a" && len(arguments) == 0:
		return "SELECT " + name + "(*) FROM nodes"
	case f[2] == "a":
		return s.pick("SELECT "+call+" FROM nodes", "SELECT "+call+" OVER () FROM nodes")
	case f[3] == "t" && s.IntN(2) == 0:
		return "SELECT * FROM " + call
	case len(arguments) == 1 && s.IntN(6) == 0:
		return fmt.Sprintf(`SELECT (x.a)."%s" FROM (SELECT %s AS a) x`, f[1], arguments[0])
	}
	return fmt.Sprintf(s.pick("SELECT %s", "SELECT %s", "VALUES (%s)", "SELECT 1 WHERE EXISTS (SELECT %s)"), call)
}

func (s *sweeper) operator(o []string) string {
	name := o[1]
	if s.IntN(2) == 0 {
		name = "OPERATOR(" + o[0] + "." + o[1] + ")"
	}
	right := s.value(o[3])
	if o[2] == "" {
		return name + " " + right
	}
	if s.IntN(8) == 0 && !strings.HasSuffix(o[3], "[]") {
		return s.value(o[2]) + " " + name + s.pick(" ANY", " ALL") + " (ARRAY[" + right + "])"
	}
	return s.value(o[2]) + " " + name + " " + right
}

func (s *sweeper) relation(name string) string {
	return fmt.Sprintf(s.pick("SELECT * FROM %s", "TABLE %s", "SELECT count(*) FROM %s", "SELECT x FROM %s x", "SELECT x::text FROM ONLY %s AS x LIMIT 5",
		"SELECT EXISTS (SELECT FROM %s)", "SELECT row_to_json(x) FROM %s x", "SELECT tableoid, x.* FROM %s x"), name)
}

// sampleValues gives texts of types.
func sampleValues() map[string][]string {
	numbers := []string{"0", "1", "-7", "42"}
	return map[string][]string{
		"integer": append(numbers, "2147483647", "16384", "1259"), "smallint": numbers, "bigint": append(numbers, "9223372036854775807"),
		"numeric": append(numbers, "3.14159", "NaN", "1e20"), "real": append(numbers, "1.5", "Infinity"), "double precision": append(numbers, "0.25", "NaN"), "money": numbers,
		"text": {"", "a", "Hello World", "pg_class", "users", "counter", "1", "a,b", "{\"a\":1}", "UTF8", "UTC", "public.nodes", "SELECT 1", "SELECT counts(1)", "%s", "hex"},
		"name": {"x", "users", "public", "app"}, "character varying": {"a", "abc"}, "character": {"a"}, `"char"`: {"a", "r"}, "bpchar": {"a"},
		"boolean": {"t", "f"}, "date": {"2024-02-29", "infinity", "1999-12-31"}, "time without time zone": {"10:20:30"}, "time with time zone": {"10:20:30+02"},
		"timestamp without time zone": {"2024-02-29 10:00:00", "-infinity"}, "timestamp with time zone": {"2024-02-29 10:00:00+00"}, "interval": {"1 day", "-2 hours", "1 mon"},
		"json": {"{\"a\": [1, 2]}", "[1]", "null"}, "jsonb": {"{\"a\": [1, 2]}", "[1, 2]", "\"x\"", "{\"x\": 1, \"id\": 3}"}, "jsonpath": {"$.a", "$[*] ? (@ > 1)"}, "xml": {"<a>1</a>"},
		"bytea": {"", "abc", "\\x0102"}, "bit": {"101"}, "bit varying": {"1011"}, "uuid": {"00000000-0000-0000-0000-000000000001"},
		"inet": {"10.0.0.1", "10.0.0.0/8"}, "cidr": {"10.0.0.0/8"}, "macaddr": {"08:00:2b:01:02:03"}, "macaddr8": {"08:00:2b:01:02:03:04:05"},
		"point": {"(1,2)"}, "box": {"(1,1),(0,0)"}, "circle": {"<(0,0),1>"}, "line": {"{1,2,3}"}, "lseg": {"[(0,0),(1,1)]"}, "path": {"[(0,0),(1,1)]"}, "polygon": {"((0,0),(1,1),(1,0))"},
		"tsvector": {"a:1 b:2", "fox"}, "tsquery": {"a & b", "fox"}, "regconfig": {"english", "simple"}, "regclass": {"users", "nodes", "v_users", "orders"}, "regtype": {"integer", "mood"},
		"regproc": {"twice", "lower"}, "regprocedure": {"twice(integer)"}, "regoper": {"|+|"}, "regnamespace": {"public"}, "regrole": {"app"}, "regdictionary": {"simple"},
		"oid": {"0", "1259", "2200", "16384", "16400", "1"}, "tid": {"(0,1)"}, "xid": {"3", "700"}, "xid8": {"3", "700"}, "cid": {"0"}, "pg_lsn": {"0/1000000"}, "pg_snapshot": {"3:3:"}, "txid_snapshot": {"3:3:"},
		"int4range": {"[1,5)", "empty"}, "int8range": {"[1,5)"}, "numrange": {"[1,5)"}, "daterange": {"[2024-01-01,2024-02-01)"}, "tsrange": {"[2024-01-01,2024-02-01)"}, "tstzrange": {"[2024-01-01,2024-02-01)"},
		"int4multirange": {"{[1,5)}"}, "cstring": {"1", "x", "{1}", "(1,2)"}, "mood": {"sad"}, "address": {"(x,1)"}, "positive": {"1"}, "email": {"a@b"},
		"checked": {"1"}, "holder": {"(1,2)"}, "cents": {"(1)"}, "nodes": {"(1,2,x)"}, "oidvector": {"1 2"}, "int2vector": {"1 2"}, "refcursor": {"c"}, "aclitem": {"app=r/postgres"},
	}
}
