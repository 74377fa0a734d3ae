package catalog_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/penstock/penstock/internal/catalog"
	"github.com/penstock/penstock/internal/pgtest"
	"github.com/penstock/penstock/internal/sqlscan"
)

const world = `
CREATE SCHEMA app;
CREATE TABLE plain (id int PRIMARY KEY, a text, b text, UNIQUE (b, a));
CREATE UNIQUE INDEX ON plain (lower(a));
CREATE SEQUENCE counter;
CREATE UNLOGGED TABLE unlogged_one (id int);
CREATE VIEW good_view AS SELECT id, lower(a) AS l, count(*) OVER () FROM plain;
CREATE VIEW bad_view AS SELECT nextval('counter') AS n;
CREATE VIEW over_bad AS SELECT * FROM bad_view;
CREATE VIEW over_stats AS SELECT pid FROM pg_stat_activity;
CREATE VIEW over_class AS SELECT relname FROM pg_class;
CREATE VIEW over_schema AS SELECT table_name FROM information_schema.tables;
CREATE VIEW over_unlogged AS SELECT * FROM unlogged_one;
CREATE MATERIALIZED VIEW kept AS SELECT nextval('counter') AS n;
CREATE FUNCTION writes(int) RETURNS int LANGUAGE sql AS 'SELECT nextval(''counter'')::int';
CREATE FUNCTION app.abs_of(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT abs($1)';
CREATE FUNCTION app.upper(plain) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
CREATE FUNCTION hidden() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT pg_advisory_lock(1) IS NULL, 1; SELECT 1::bigint';
CREATE FUNCTION hidden_twice() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT hidden()';
CREATE FUNCTION plreads(x int) RETURNS int LANGUAGE plpgsql STABLE AS $$
DECLARE n int; BEGIN IF (x > 1) THEN SELECT count(*) INTO n FROM plain; END IF; RETURN n; END $$;
CREATE FUNCTION plhides(x int) RETURNS int LANGUAGE plpgsql STABLE AS $$ BEGIN PERFORM writes(x); RETURN 1; END $$;
CREATE FUNCTION pldynamic(x text) RETURNS int LANGUAGE plpgsql STABLE AS $$ BEGIN EXECUTE x; RETURN 1; END $$;
CREATE FUNCTION with_default(x int, y bigint DEFAULT nextval('counter')) RETURNS int LANGUAGE sql STABLE AS 'SELECT 1';
CREATE FUNCTION of_row(plain) RETURNS int LANGUAGE plpgsql VOLATILE AS 'BEGIN RETURN 1; END';
CREATE FUNCTION polite(plain) RETURNS text LANGUAGE sql STABLE AS 'SELECT $1.a';
CREATE FUNCTION reads_stats() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM pg_stat_activity';
CREATE AGGREGATE bad_sum (int) (sfunc = writes_too, stype = int) ;
`

const rest = `
CREATE OPERATOR === (leftarg = int, rightarg = int, function = op_writes);
CREATE OPERATOR |=| (leftarg = int, rightarg = int, function = op_reads);
CREATE DOMAIN checked AS int CHECK (writes(VALUE) > 0);
CREATE DOMAIN alone AS int;
CREATE DOMAIN fine AS int CHECK (VALUE > 0);
CREATE TABLE of_checked (c checked);
CREATE TABLE of_fine (c fine, d fine[]);
CREATE TYPE pair AS (x checked, y int);
CREATE TYPE mood AS ENUM ('sad', 'glad');
CREATE TYPE cents AS (n int);
CREATE FUNCTION to_cents(int) RETURNS cents LANGUAGE sql VOLATILE AS 'SELECT ROW($1)::cents';
CREATE CAST (int AS cents) WITH FUNCTION to_cents(int);
CREATE TABLE guarded (id int);
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON guarded USING (writes(id) > 0);
CREATE TABLE owned (id int, who name);
ALTER TABLE owned ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON owned USING (who = CURRENT_USER);
CREATE TABLE parts (id int) PARTITION BY RANGE (id);
CREATE TABLE part_one PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE TABLE elders (id int);
CREATE UNLOGGED TABLE child () INHERITS (elders);
CREATE FOREIGN DATA WRAPPER nothing;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
CREATE FOREIGN TABLE far (id int) SERVER nowhere;
CREATE VIEW over_far AS SELECT * FROM far;
CREATE FUNCTION of_parameter(x int) RETURNS int STABLE LANGUAGE sql AS 'SELECT x.writes';
CREATE FUNCTION pretends(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN writes($1); END';
CREATE FUNCTION gives_checked(OUT a int, OUT b checked) STABLE LANGUAGE sql AS 'SELECT 1, 2';
CREATE FUNCTION gives_table() RETURNS TABLE (a int, b checked) STABLE LANGUAGE plpgsql AS 'BEGIN RETURN QUERY SELECT 1, 2; END';
CREATE TABLE indexed (id int);
CREATE INDEX ON indexed ((id + pretends(1)));
CREATE TABLE partly (id int);
CREATE INDEX ON partly (id) WHERE id > pretends(1);
CREATE TABLE by_key (id int) PARTITION BY RANGE ((id + pretends(0)));
CREATE TABLE never_checked (id int CHECK (id > pretends(-1)));
CREATE TABLE unmarked_check (id int CHECK (writes(id) > 0));
`

// start makes a server of PENSTOCK_TEST_BINDIR, or the one found, with a
// database that has something of everything.
func start(t testing.TB) (*pgtest.Instance, *pgconn.PgConn) {
	t.Helper()
	c := pgtest.StartT(t, pgtest.Options{BinDir: os.Getenv("PENSTOCK_TEST_BINDIR")})
	first := strings.Replace(world, "CREATE AGGREGATE", `
CREATE FUNCTION writes_too(int, int) RETURNS int LANGUAGE sql AS 'SELECT writes($1)';
CREATE FUNCTION op_writes(int, int) RETURNS bool LANGUAGE sql AS 'SELECT writes($1) > 0';
CREATE FUNCTION op_reads(int, int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1 > $2';
CREATE AGGREGATE good_sum (int) (sfunc = int4pl, stype = int);
CREATE AGGREGATE`, 1)
	first = strings.Replace(first, "SELECT pg_advisory_lock(1) IS NULL, 1; SELECT 1::bigint", "SELECT 1::bigint FROM pg_advisory_lock(1)", 1)
	atomic := `CREATE FUNCTION atomic_reads(i int) RETURNS int STABLE LANGUAGE sql BEGIN ATOMIC SELECT lower(a) FROM plain; SELECT i + 1; END;
CREATE FUNCTION atomic_writes() RETURNS bigint STABLE LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT nextval('counter'); END`
	if c.Version < 14 { // the same in the old form
		atomic = strings.NewReplacer("BEGIN ATOMIC", "AS $$", "END", "$$").Replace(atomic)
	}
	for _, sql := range []string{first, rest, atomic} {
		if err := c.Primary.Exec(t.Context(), "postgres", sql); err != nil {
			t.Fatal(err)
		}
	}
	return c.Primary, connect(t, c.Primary)
}

func connect(t testing.TB, i *pgtest.Instance) *pgconn.PgConn {
	t.Helper()
	conn, err := pgconn.Connect(t.Context(), i.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	return conn
}

func TestSnapshotOfAServer(t *testing.T) {
	server, conn := start(t)
	// A session that means harm: its own operators and functions come first.
	evil := `CREATE SCHEMA evil;
CREATE FUNCTION evil.concat_ws(text, VARIADIC text[]) RETURNS text LANGUAGE sql AS 'SELECT ''x''';
ALTER DATABASE postgres SET search_path = evil, pg_catalog, public`
	if err := server.Exec(t.Context(), "postgres", evil); err != nil {
		t.Fatal(err)
	}
	other := connect(t, server)
	if _, err := other.Exec(t.Context(), "CREATE TEMP TABLE passing (id int); CREATE TEMP TABLE plain (id int)").ReadAll(); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Exec(t.Context(), "DROP TABLE pg_temp.plain").ReadAll(); err != nil {
		t.Fatal(err)
	}
	s, err := catalog.Load(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	if status := conn.TxStatus(); status != 'I' {
		t.Errorf("the connection is left in status %c", status)
	}
	var scanner sqlscan.Scanner
	for sql, want := range verdicts() {
		got := s.Check(scanner.Scan(sql, sqlscan.Options{}))
		if got.Reason != want {
			t.Errorf("%s: %v %q, want %v", sql, got.Reason, got.Name, want)
		}
	}
	t.Run("keys", func(t *testing.T) {
		plain := s.Relations("plain")
		if len(plain) != 1 {
			t.Fatalf("relations called plain: %v", plain)
		}
		keys := s.Keys(plain[0].OID)
		if len(keys) != 2 || !keys[0].Primary || !slices.Equal(keys[0].Columns, []uint32{1}) ||
			keys[1].Primary || !slices.Equal(keys[1].Columns, []uint32{3, 2}) {
			t.Errorf("keys of plain: %+v", keys)
		}
		if guarded := s.Relations("guarded"); len(guarded) != 1 || !guarded[0].RowSecurity {
			t.Errorf("guarded: %+v", guarded)
		}
	})
}

func verdicts() map[string]catalog.Reason {
	return map[string]catalog.Reason{
		"SELECT a, lower(b), count(*), coalesce(a, 'x'), a || b, id + 1 FROM plain WHERE id IN (1, 2) AND id::bigint > 3": catalog.Safe,
		"SELECT sum(id) OVER (PARTITION BY a) FROM public.plain p JOIN kept USING (n)":                                    catalog.Safe,
		"SELECT random(), clock_timestamp(), gen_random_uuid(), pg_sleep(0), now()":                                       catalog.Safe,
		"SELECT cast(id AS numeric(10,2)), extract(year FROM now()), substring(a FROM 2), row(1, 2) FROM plain":           catalog.Safe,
		"SELECT * FROM generate_series(1, 10) g WHERE g <> 3 AND g != 4":                                                  catalog.Safe,
		"SELECT nextval('counter')":                        catalog.UnsafeFunction,
		"SELECT currval('counter')":                        catalog.UnsafeFunction,
		"SELECT pg_catalog . pg_try_advisory_xact_lock(1)": catalog.UnsafeFunction,
		"SELECT set_config('a.b', 'c', false)":             catalog.UnsafeFunction,
		"SELECT txid_current()":                            catalog.UnsafeFunction,
		"SELECT pg_current_xact_id()":                      catalog.UnsafeFunction,
		"SELECT lo_get(1)":                                 catalog.UnsafeFunction,
		"SELECT query_to_xml('x', true, true, '')":         catalog.UnsafeFunction,
		"SELECT * FROM ts_stat('SELECT 1')":                catalog.UnsafeFunction,
		"SELECT domain_in('1', 1, 1)":                      catalog.UnsafeFunction,
		"SELECT pg_notify('a', 'b')":                       catalog.UnsafeFunction,
		"SELECT pg_backend_pid()":                          catalog.ServerLocal,
		"SELECT current_setting('a.b')":                    catalog.ServerLocal,
		"SELECT pg_is_in_recovery()":                       catalog.ServerLocal,
		"SELECT pg_last_wal_replay_lsn()":                  catalog.ServerLocal,
		"SELECT * FROM pg_stat_activity":                   catalog.ServerLocal,
		"SELECT pg_walfile_name('0/1')":                    catalog.ServerLocal,
		"SELECT * FROM pg_catalog.pg_locks":                catalog.ServerLocal,
		"SELECT * FROM pg_class":                           catalog.SystemCatalog,
		"SELECT * FROM information_schema.columns":         catalog.SystemCatalog,
		"SELECT columns, tables FROM plain":                catalog.Safe,
		"SELECT nobody_knows(1)":                           catalog.Unknown,
		"SELECT nobody_knows FROM plain":                   catalog.Safe,
		"SELECT plain(1)":                                  catalog.Safe, // a cast to the row type: an error anywhere
		"SELECT id !!=@ 2 FROM plain":                      catalog.Unknown,
		"SELECT writes(1)":                                 catalog.UnsafeFunction,
		"SELECT app.abs_of(1)":                             catalog.Safe,
		"SELECT upper(a) FROM plain":                       catalog.UnsafeFunction, // an overload is volatile
		"SELECT lower(a) FROM plain":                       catalog.Safe,
		"SELECT hidden()":                                  catalog.UnsafeFunction,
		"SELECT hidden_twice()":                            catalog.UnsafeFunction,
		"SELECT plreads(1)":                                catalog.Safe,
		"SELECT plhides(1)":                                catalog.UnsafeFunction,
		"SELECT pldynamic('x')":                            catalog.UnsafeFunction,
		"SELECT with_default(1)":                           catalog.UnsafeFunction,
		"SELECT p.of_row FROM plain p":                     catalog.UnsafeFunction,
		"SELECT p.polite FROM plain p":                     catalog.Safe,
		"SELECT p.writes FROM plain p":                     catalog.Safe, // takes no row
		"SELECT (p.id).writes FROM plain p":                catalog.UnsafeFunction,
		"SELECT $1.writes":                                 catalog.UnsafeFunction,
		"SELECT (a).b.writes FROM plain p":                 catalog.UnsafeFunction,
		"SELECT (ARRAY[1])[1] . writes":                    catalog.UnsafeFunction,
		"SELECT (p.id).writes_not FROM plain p":            catalog.Safe,
		"SELECT (1).lo_create":                             catalog.UnsafeFunction,
		"SELECT * FROM gives_checked()":                    catalog.UnsafeType,
		"SELECT gives_table()":                             catalog.UnsafeType,
		"SELECT of_parameter(1)":                           catalog.UnsafeFunction,
		"SELECT * FROM plain AS writes (a, b)":             catalog.Safe,
		"WITH writes (a) AS (SELECT 1) TABLE writes":       catalog.Safe,
		"SELECT * FROM (VALUES (1)) writes (a)":            catalog.Safe,
		"SELECT DISTINCT ON (id) writes (id) FROM plain":   catalog.UnsafeFunction,
		"SELECT * FROM indexed":                            catalog.RowSecurity,
		"SELECT * FROM partly":                             catalog.RowSecurity,
		"SELECT * FROM by_key":                             catalog.RowSecurity,
		"SELECT * FROM never_checked":                      catalog.RowSecurity,
		"SELECT * FROM unmarked_check":                     catalog.Safe,
		"SELECT reads_stats()":                             catalog.ServerLocal,
		"SELECT bad_sum(id) FROM plain":                    catalog.UnsafeFunction,
		"SELECT good_sum(id) FROM plain":                   catalog.Safe,
		"SELECT 1 === 2":                                   catalog.UnsafeOperator,
		"SELECT 1 |=| 2":                                   catalog.Safe,
		"SELECT '1'::checked":                              catalog.UnsafeType,
		"SELECT '1'::fine":                                 catalog.Safe,
		"SELECT * FROM of_checked":                         catalog.UnsafeType,
		"SELECT * FROM of_fine":                            catalog.Safe,
		"SELECT '(1,2)'::pair":                             catalog.UnsafeType,
		"SELECT 'sad'::mood, '{sad}'::mood[]":              catalog.Safe,
		"SELECT 1::cents":                                  catalog.UnsafeType,
		"SELECT * FROM good_view":                          catalog.Safe,
		"SELECT * FROM bad_view":                           catalog.View,
		"SELECT * FROM Over_Bad":                           catalog.View,
		`SELECT * FROM "Over_Bad"`:                         catalog.Safe, // there is none
		"SELECT * FROM over_stats":                         catalog.ServerLocal,
		"SELECT * FROM over_class":                         catalog.SystemCatalog,
		"SELECT * FROM over_schema":                        catalog.SystemCatalog,
		"SELECT * FROM over_unlogged":                      catalog.Unlogged,
		"SELECT * FROM over_far":                           catalog.Foreign,
		"SELECT * FROM kept":                               catalog.Safe,
		"SELECT last_value FROM counter":                   catalog.Sequence,
		"SELECT * FROM unlogged_one":                       catalog.Unlogged,
		"SELECT * FROM passing":                            catalog.Temporary,
		"SELECT * FROM far":                                catalog.Foreign,
		"SELECT * FROM guarded":                            catalog.RowSecurity,
		"SELECT * FROM owned":                              catalog.Safe,
		"SELECT * FROM parts":                              catalog.Safe,
		"SELECT * FROM elders":                             catalog.Unlogged,
		"SELECT * FROM " + strings.Repeat("x", 64):         catalog.Safe,
	}
}

// TestLoadAssignsNothing: reading must not cost the server a transaction id, and
// must work where none can be had.
func TestLoadOnAStandbyIsTheSame(t *testing.T) {
	c := pgtest.StartT(t, pgtest.Options{Replicas: 1, BinDir: os.Getenv("PENSTOCK_TEST_BINDIR")})
	primary, standby := connect(t, c.Primary), connect(t, c.Replicas[0])
	before, err := c.Primary.Query(t.Context(), "postgres", "SELECT pg_snapshot_xmax(pg_current_snapshot())")
	if err != nil {
		t.Fatal(err)
	}
	one, err := catalog.Load(t.Context(), primary)
	if err != nil {
		t.Fatal(err)
	}
	two, err := catalog.Load(t.Context(), standby)
	if err != nil {
		t.Fatal(err)
	}
	if one.Signature() != two.Signature() || one.Signature() == "" {
		t.Errorf("signatures differ: %q, %q", one.Signature(), two.Signature())
	}
	after, err := c.Primary.Query(t.Context(), "postgres", "SELECT pg_snapshot_xmax(pg_current_snapshot())")
	if err != nil {
		t.Fatal(err)
	}
	if before[0][0] != after[0][0] {
		t.Errorf("loading assigned transaction ids: %v, then %v", before, after)
	}
}

func TestSignatureFollowsChanges(t *testing.T) {
	server, conn := start(t)
	signature := func() string {
		t.Helper()
		text, err := catalog.Signature(t.Context(), conn)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	last := signature()
	if signature() != last {
		t.Fatal("the signature changes by itself")
	}
	for _, c := range []struct {
		sql     string
		changes bool
	}{
		{"CREATE FUNCTION later() RETURNS int LANGUAGE sql AS 'SELECT 1'", true},
		{"ALTER FUNCTION later() IMMUTABLE", true},
		{"ALTER FUNCTION later() RENAME TO even_later", true},
		{"CREATE OR REPLACE FUNCTION even_later() RETURNS int LANGUAGE sql AS 'SELECT 2'", true},
		{"DROP FUNCTION even_later()", true},
		{"ALTER FUNCTION pg_catalog.abs(int) VOLATILE", true},
		{"CREATE TABLE later (id int)", true},
		{"ALTER TABLE later SET UNLOGGED", true},
		{"ALTER TABLE later ENABLE ROW LEVEL SECURITY", true},
		{"CREATE POLICY p ON later USING (true)", true},
		{"ALTER POLICY p ON later USING (false)", true},
		{"ALTER TABLE later RENAME TO much_later", true},
		{"CREATE VIEW looking AS SELECT 1 AS one", true},
		{"CREATE OR REPLACE VIEW looking AS SELECT 2 AS one", true},
		{"ALTER DOMAIN alone ADD CHECK (VALUE < 100)", true},
		{"ALTER OPERATOR |=| (int, int) SET SCHEMA app", true},
		{"CREATE TABLE child_of_elders () INHERITS (elders)", true},
		{"CREATE SEQUENCE next_one", true},
		{"ALTER TABLE plain ADD UNIQUE (a)", true},
		{"CREATE UNIQUE INDEX ON plain (a, id)", true},
		{"CREATE INDEX ON plain (upper(b))", true},
		{"CREATE INDEX ON plain (id) WHERE b IS NULL", true},
		{"CREATE STATISTICS plain_x ON a, b FROM plain", true},
		{"ALTER TABLE plain ADD CHECK (id > -1000)", true},
		{"ALTER TABLE child_of_elders ADD COLUMN c int", false},
		{"ALTER TABLE child_of_elders ALTER COLUMN c TYPE checked", true},
		{"ALTER SCHEMA app RENAME TO application", true},
		{"INSERT INTO plain VALUES (1, 'x', 'y'); ANALYZE plain; VACUUM plain", false},
		{"CREATE TEMP TABLE passing (id int)", false},
		{"BEGIN; TRUNCATE plain; COMMIT", false},
		{"SELECT nextval('counter')", false},
	} {
		for sql := range strings.SplitSeq(c.sql, "; ") {
			if strings.HasPrefix(c.sql, "BEGIN") {
				sql = c.sql
			}
			if err := server.Exec(t.Context(), "postgres", sql); err != nil {
				t.Fatal(err)
			}
		}
		now := signature()
		if (now != last) != c.changes {
			t.Errorf("%s: the signature changed is %v, want %v", c.sql, now != last, c.changes)
		}
		last = now
	}
	started := time.Now()
	for range 20 {
		signature()
	}
	t.Logf("a signature takes %v", time.Since(started)/20)
}

// crowd adds a thousand tables of ten columns, and a hundred functions and views.
func crowd(b *testing.B, server *pgtest.Instance) {
	if err := server.Exec(b.Context(), "postgres", `DO $$ BEGIN
FOR i IN 1..1000 LOOP EXECUTE format('CREATE TABLE crowd_%s (id int PRIMARY KEY, a text, b text, c text, d int, e int, f date, g bool, h text, i int)', i); END LOOP;
FOR i IN 1..100 LOOP
EXECUTE format('CREATE FUNCTION crowd_%s(int) RETURNS bigint LANGUAGE sql STABLE AS %L', i, 'SELECT count(*) FROM crowd_1 WHERE id > $1');
EXECUTE format('CREATE VIEW seen_%s AS SELECT a.id, a.b, c.c FROM crowd_%s a JOIN crowd_1 c ON c.id = a.id WHERE lower(a.b) = c.a', i, i);
END LOOP; END $$`); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkLoad(b *testing.B) {
	server, conn := start(b)
	crowd(b, server)
	for b.Loop() {
		if _, err := catalog.Load(b.Context(), conn); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSignature(b *testing.B) {
	server, conn := start(b)
	crowd(b, server)
	for b.Loop() {
		if _, err := catalog.Signature(b.Context(), conn); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	_, conn := start(b)
	s, err := catalog.Load(b.Context(), conn)
	if err != nil {
		b.Fatal(err)
	}
	var scanner sqlscan.Scanner
	st := scanner.Scan(`SELECT o.id, o.total, lower(c.name), count(*) FROM orders o JOIN customers c ON c.id = o.customer_id
WHERE o.created > now() - interval '1 day' AND c.country = 'DE' GROUP BY 1, 2, 3 ORDER BY 4 DESC LIMIT 10`, sqlscan.Options{})
	b.ReportAllocs()
	for b.Loop() {
		if v := s.Check(st); v.Reason != catalog.Safe {
			b.Fatal(v)
		}
	}
	b.ReportMetric(float64(len(st.Names)), "names")
}
