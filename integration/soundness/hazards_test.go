package soundness

import "math/rand/v2"

// hazards are expressions that write, lock, or keep state, each where that is
// hard to see.
func hazards() []string {
	return []string{
		// By name, written in all ways.
		"counts(#i)", `"counts"(#i)`, `U&"c\006funts"(#i)`, "public . counts /* ( */ ( #i )", "Counts(#i)", `U&"c!006funts" UESCAPE '!' (#i)`, "writes(#i)", "locks(#i)", "configures(#i)",
		"nextval('counter')::int", "NextVal ('counter'::regclass)::int", "pg_catalog.nextval(U&'c\\006funter')::int", "setval('counter', 5)::int", "currval('counter')::int", "lastval()::int",
		"length(set_config('app.tenant', #t, false))", "length(set_config('search_path', 'evil', false))", "(SELECT 1 FROM pg_advisory_lock(#1))", "pg_try_advisory_lock(#1)::int", "pg_try_advisory_xact_lock_shared(1, #1)::int",
		"(SELECT 1 FROM pg_notify('penstock', 'x'))", "txid_current()::int", "(SELECT 1 FROM pg_current_xact_id())", "length(pg_export_snapshot())", "lo_creat(-1)::int", "lo_from_bytea(0, 'x')::int", "lo_create(0)::int",
		"(SELECT 1 FROM setseed(0.5))", "length(query_to_xml('SELECT counts(1)', true, false, '')::text)", "(SELECT nentry FROM ts_stat('SELECT to_tsvector(counts(1)::text)') LIMIT 1)",
		"numnode(ts_rewrite('a'::tsquery, 'SELECT ''a''::tsquery, counts(1)::text::tsquery'))", "length(cursor_to_xml('c', 1, true, true, '')::text)",
		"pg_backend_pid()", "length(version())", "length(current_setting('port'))", "pg_is_in_recovery()::int", "length(pg_walfile_name('0/1'))", "extract(year FROM pg_postmaster_start_time())::int", "inet_server_port()",
		// By what a function does inside.
		"lies(#i)", "lies_pl(#i)", "lies_if(#i)", "lies_assign(#i)", "lies_loop(#i)", "lies_op(#i)", "lies_immutable(#1)", "lies_view()::int", "dynamic('SELECT counts(1)')", "dynamic($q$SELECT 1$q$)", "with_default(#i)", "with_default(#i, 2)",
		"many(#i, #1)", "many(VARIADIC ARRAY[#i])", "notifies(#t)", "makes_temp()", "atomic_writes(#i)", "atomic_reads(#i)", "overloaded(#t)", "overloaded(#i)", "overloaded(NULL)", "overloaded('x')", "length(initcap(#t))", "length(evil.initcap(#t))",
		"overloaded(VARIADIC => 1)", "with_default($1 => 1)", "counts(VARIADIC 1)", "counts((#i))", "(counts(#i))", "+counts(#i)",
		// By operators.
		"#i @@## #i", "#i OPERATOR(public.@@##) #i", "#i OPERATOR ( @@## ) #1", "length((!!@ #i)::text)", "length((NOT !!@ #i)::text)", "(#i @@## ANY (ARRAY[#i]))::int", "(ROW('a', 1)::address @=@ ROW('a', 1)::address)::int", "#i@@##-#i", "#i @@##/* */ #i",
		"(address '(a,1)' @=@ '(a,1)')::int", "(SELECT home @=@ home FROM products LIMIT 1)::int",
		// By a column that is none.
		"(SELECT u.of_row FROM users u LIMIT 1)", "(SELECT (u).of_row FROM users u LIMIT 1)", "(SELECT of_row(u) FROM users u LIMIT 1)", "(SELECT of_row(users) FROM users LIMIT 1)", "(SELECT users . of_row FROM users LIMIT 1)", `(SELECT "users"."of_row" FROM users LIMIT 1)`,
		"(SELECT x.of_record FROM (SELECT 1 AS a) x)", "(SELECT (x).of_record FROM (VALUES (1)) x)", "(SELECT n.of_element FROM nodes n LIMIT 1)", "(SELECT public.users.of_row FROM public.users LIMIT 1)", `(SELECT u.U&"of\005frow" FROM users u LIMIT 1)`,
		"(SELECT (ROW(1, 2)).of_record)", "(SELECT (SELECT u FROM users u LIMIT 1).of_row)", "(SELECT (array_agg(u))[1].of_row FROM users u)",
		"(#i).counts", "(1) . /* x */ counts", "(ARRAY[#i])[1].counts", `(SELECT (n.id)."writes" FROM nodes n LIMIT 1)`, "(twice(1)).twice.counts", "('x'::text).overloaded", "(SELECT (u).id.counts FROM users u LIMIT 1)", "(1).lo_create::int", "length(('0/1'::pg_lsn).pg_walfile_name)",
		"(SELECT a FROM gives_checked())", "(gives_checked()).a", "(SELECT a FROM gives_table() LIMIT 1)", "takes_cents(#i)", "(SELECT count(*) FROM ranks a JOIN ranks b ON a.r === b.r)::int", "(SELECT count(*) FROM ranks a FULL JOIN ranks b ON (a.r) OPERATOR(public.===) (b.r))::int",
		"by_parameter(#i)", "(#i).by_parameter", "(1).twice", "(SELECT (xmin).age FROM nodes LIMIT 1)",
		// Behind what an alias may stand behind, too.
		"(SELECT DISTINCT ON (id) counts(id) FROM nodes LIMIT 1)", "(SELECT DISTINCT ON ((id), (label)) counts(id) FROM nodes LIMIT 1)", "(SELECT OPERATOR(pg_catalog.-) counts(1))", "(WITH c AS (SELECT 1) (SELECT 1 AS a) ORDER BY abs(1), counts(2))",
		"(WITH c (a) AS (SELECT 1), d (b) AS (SELECT counts(1)) SELECT b FROM d)", "(SELECT a FROM (VALUES (1)) counts (a), counts(2))", "(SELECT count(*) FROM counts(1) AS counts (b))::int",
		// By types and casts.
		"(#i)::checked", "CAST(#i AS over_checked)", "(#i::cents).n", "CAST(#i AS public.cents)::text::int", "checked(#i)", "cents(#i)::text::int", "checked '1'", "(SELECT (ROW(#i, 1)::holder).y)", "('(1,2)'::holder).x", "(holder '(1,2)').y", "(ARRAY[#1]::checked[])[1]", "('{1,2}'::checked[])[1]",
		"(jsonb_populate_record(NULL::holder, '{\"x\": 1}')).y", "(SELECT a FROM jsonb_to_record('{\"a\": 1}') AS x(a checked))", "(SELECT a FROM json_to_recordset('[{\"a\": 1}]') x (\"a\" over_checked))", "(SELECT a FROM XMLTABLE('/r' PASSING '<r>1</r>'::xml COLUMNS a checked PATH '.') x)",
		"#i::public.checked", `#i::"checked"`, "(NULL::holder).y", "(jsonb_populate_recordset(NULL::of_checked, '[{\"c\": 1}]')).id", "(SELECT (json_populate_record(NULL::of_checked, '{\"c\": 2}')).c)", "(SELECT (a).x FROM (SELECT '(3,4)'::holder AS a) z)",
		"(SELECT x FROM ROWS FROM (json_to_record('{\"x\":1}') AS (x checked)) q)", "(SELECT v.cents FROM (SELECT 1 AS cents) v)", "domain_in('1', 'checked'::regtype, -1)::text::int", "(SELECT array_in('{1}', 'checked'::regtype, -1) IS NULL)::int",
		"(SELECT record_in('(1,2)', 'holder'::regtype, -1) IS NULL)::int", "(SELECT treat(#i AS cents)).n",
		// By aggregates and rows.
		"(SELECT sum_bad(id) FROM nodes)", "(SELECT sum_bad(id) OVER () FROM nodes LIMIT 1)", "(SELECT sum_bad(id ORDER BY id) FILTER (WHERE true) FROM nodes)", "(SELECT row_writes(#1) LIMIT 1)", "(SELECT a FROM row_writes(#1) AS x(a) LIMIT 1)", "(SELECT a FROM ROWS FROM (row_writes(1), row_writes(2)) AS x(a, b))",
		"(SELECT count(*) FROM nodes, LATERAL counts(nodes.id) c)::int", "(SELECT n FROM v_over_counts)::int", "(SELECT (t).n FROM (SELECT v_counts AS t FROM v_counts) z)::int", "(SELECT max(n) FROM public.\"v_counts\")::int", "(SELECT count(*) FROM guarded)::int", "(SELECT count(id) FROM tenants)::int", "(SELECT id FROM shadowed)",
		"(SELECT 1 FROM nodes ORDER BY counts(id) LIMIT 1)", "(SELECT count(*) FROM nodes GROUP BY counts(1))::int", "(SELECT 1 FROM nodes LIMIT counts(1))", "(SELECT 1 FROM nodes LIMIT 1 OFFSET counts(0))", "(SELECT 1 FROM nodes TABLESAMPLE BERNOULLI (counts(1)) LIMIT 1)", "(SELECT count(*) OVER (PARTITION BY counts(1)) FROM nodes LIMIT 1)::int",
		"(SELECT count(*) OVER (ROWS counts(1) PRECEDING) FROM nodes LIMIT 1)::int", "(SELECT 1 FROM nodes a JOIN nodes b ON counts(a.id) = b.id LIMIT 1)", "(VALUES (counts(#1)))", "(SELECT CASE counts(1) WHEN 1 THEN 2 END)", "(WITH x AS (SELECT counts(1) AS a) SELECT a FROM x)", "((ARRAY[1,2])[counts(1)])", "(SELECT count(*) FILTER (WHERE counts(1) > 0) FROM nodes)::int",
		"(SELECT COALESCE(NULL, counts(1)))", "length(xmlelement(name a, counts(1))::text)", "length(xmlforest(counts(1) AS a)::text)", "(SELECT count(*) FROM with_index)::int", "(SELECT id FROM with_predicate WHERE id > 5 LIMIT 1)", "(SELECT count(*) FROM with_statistics GROUP BY id + 1, n LIMIT 1)::int",
		"(SELECT count(*) FROM with_check)::int", "(SELECT count(*) FROM with_key)::int", "(SELECT count(*) FROM with_key WHERE id = 1)::int", "json_value('{\"a\":1}', '$.a' RETURNING checked)", "(SELECT 1 FROM pg_sequence_last_value('counter'::regclass))", "(SELECT max(age(xmin)) FROM nodes)",
		"length(pg_read_file('PG_VERSION'))", "(SELECT count(*) FROM pg_ls_dir('.'))::int", "pg_relation_size('users')::int", "(SELECT 1 FROM pg_logical_emit_message(true, 'a', 'b'))",
	}
}

// otherKind is a statement that is no question.
func (g *generator) otherKind() string {
	g.hostile = true
	return g.fill(1, g.pick(otherKinds()...))
}

// eachHazard names every hazard at least twice, so that the shortest run has
// seen them all.
func (w *world) eachHazard(seed uint64) []statement {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 5)), version: w.cluster.Version}
	var all []statement
	add := func(template string) {
		text := g.fill(1, template)
		for _, text := range []string{text, g.disguise(text)} {
			all = append(all, statement{text: text, database: "postgres", source: "each hazard", hostile: true})
		}
	}
	for _, hazard := range hazards() {
		add("SELECT " + hazard)
		add("SELECT id FROM nodes WHERE id = 1 OR (" + hazard + ") = 1 ORDER BY 1")
	}
	for _, t := range hazardTables() {
		add("SELECT * FROM " + t.name)
		add("SELECT (SELECT count(*) FROM " + t.name + " x) AS n")
	}
	for _, kind := range otherKinds() {
		add(kind)
		add("SELECT 1; " + kind)
	}
	return all
}

// otherKinds has a statement of each kind that is no question.
func otherKinds() []string {
	return []string{
		"INSERT INTO audit (what) VALUES (#t)", "INSERT INTO nodes SELECT 100 + #1, 1, 'x' ON CONFLICT (id) DO UPDATE SET label = 'y' RETURNING id", "UPDATE nodes SET label = #t WHERE id = #1", "DELETE FROM items WHERE line = #1",
		"MERGE INTO nodes USING users u ON nodes.id = u.id WHEN MATCHED THEN DELETE", "BEGIN", "START TRANSACTION READ ONLY", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT a", "RELEASE a", "ROLLBACK TO a", "PREPARE TRANSACTION 'x'", "COMMIT PREPARED 'x'",
		"SET app.tenant = 'x'", "SET search_path TO evil", "SET LOCAL work_mem = '1MB'", "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SET TRANSACTION READ ONLY", "SET CONSTRAINTS ALL DEFERRED", "SET ROLE app", "RESET ALL", "SHOW ALL", "SHOW port",
		"EXPLAIN #q", "EXPLAIN ANALYZE #q", "EXPLAIN (ANALYZE, COSTS OFF) SELECT counts(1)", "EXPLAIN ANALYSE UPDATE nodes SET label = label", "PREPARE p AS #q", "EXECUTE p", "EXECUTE traces", "DEALLOCATE traces", "DECLARE c CURSOR FOR #q", "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
		"FETCH 1 FROM c", "MOVE 1 IN c", "CLOSE ALL", "COPY nodes TO STDOUT", "COPY (#q) TO STDOUT", "COPY (INSERT INTO audit (what) VALUES ('x') RETURNING id) TO STDOUT", "LOCK TABLE nodes", "LOCK nodes IN ACCESS SHARE MODE", "LISTEN penstock", "NOTIFY penstock, 'x'", "UNLISTEN *",
		"DISCARD PLANS", "DISCARD ALL", "CALL p(1)", "DO $$ BEGIN PERFORM counts(1); END $$", "CREATE TABLE made (id int)", "CREATE TEMP TABLE made AS #q", "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END", "ALTER TABLE nodes ADD x int", "DROP VIEW v_over",
		"TRUNCATE items", "COMMENT ON TABLE nodes IS 'x'", "GRANT SELECT ON nodes TO app", "REFRESH MATERIALIZED VIEW m_totals", "VACUUM nodes", "ANALYZE nodes", "REINDEX TABLE nodes", "CLUSTER nodes", "CHECKPOINT", "SECURITY LABEL ON TABLE nodes IS 'x'", "REASSIGN OWNED BY app TO app",
		"SELECT 1 INTO x", "SELECT id INTO TEMP x FROM nodes", "SELECT * INTO UNLOGGED TABLE x FROM nodes", "SELECT FROM nodes FOR UPDATE", "(SELECT id FROM nodes) FOR SHARE", "WITH a AS (SELECT 1) INSERT INTO audit (what) SELECT 'x' FROM a", "WITH a AS (SELECT 1) UPDATE nodes SET label = label",
		"WITH a AS (SELECT 1) DELETE FROM items", "WITH a AS (UPDATE nodes SET label = label RETURNING id) SELECT * FROM a", "WITH a AS (SELECT 1), b (n) AS MATERIALIZED (DELETE FROM items WHERE line = 1 RETURNING line) TABLE b",
		"WITH a AS (INSERT INTO audit (what) VALUES ('x') RETURNING id) SELECT * FROM a", "WITH a AS (UPDATE ONLY nodes SET label = label) SELECT 1", "LOAD 'plpgsql'", "ALTER SYSTEM SET work_mem = '4MB'", "SELECT counts(1)", "TABLE v_counts", "VALUES (counts(1))", "WAIT FOR LSN '0/1'", "SELECT 'unfinished", "SELECT 1 /* unfinished", "SELECT (1", "SELECT 1)", "nonsense",
	}
}
