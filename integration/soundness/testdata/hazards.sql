-- What must not reach a replica, on top of plain.sql.
CREATE SEQUENCE counter;
CREATE TABLE audit (id bigserial, what text);

CREATE UNLOGGED TABLE unlogged_one (id int, name text);
INSERT INTO unlogged_one VALUES (1, 'x');
CREATE TABLE elders (id int);
CREATE UNLOGGED TABLE child () INHERITS (elders);
INSERT INTO child VALUES (7);


-- Functions that write, lock or keep state; their marks lie where that can be.
CREATE FUNCTION writes(int) RETURNS int LANGUAGE sql AS 'INSERT INTO audit (what) VALUES (''w'') RETURNING 1';
CREATE FUNCTION counts(int) RETURNS int LANGUAGE sql AS 'SELECT nextval(''counter'')::int';
CREATE FUNCTION locks(int) RETURNS int LANGUAGE sql STABLE AS 'SELECT 1 FROM pg_advisory_xact_lock_shared($1)';
CREATE FUNCTION configures(int) RETURNS int LANGUAGE sql STABLE AS 'SELECT length(set_config(''app.tenant'', $1::text, false))';
CREATE FUNCTION lies(int) RETURNS int LANGUAGE sql STABLE AS 'SELECT counts($1)';
CREATE FUNCTION lies_pl(int) RETURNS int LANGUAGE plpgsql STABLE AS 'BEGIN PERFORM writes($1); RETURN 1; END';
CREATE FUNCTION lies_if(int) RETURNS int LANGUAGE plpgsql STABLE AS 'BEGIN IF writes($1) > 0 THEN RETURN 1; END IF; RETURN 2; END';
CREATE FUNCTION lies_assign(int) RETURNS int LANGUAGE plpgsql STABLE AS 'DECLARE r int := counts($1); BEGIN r := r + lies($1); RETURN r; END';
CREATE FUNCTION lies_loop(int) RETURNS int LANGUAGE plpgsql STABLE AS 'BEGIN FOR i IN 1 .. counts(1) LOOP RETURN i; END LOOP; RETURN 0; END';
CREATE FUNCTION lies_op(int) RETURNS int LANGUAGE plpgsql STABLE AS 'BEGIN RETURN $1 @@# 1; END';
CREATE FUNCTION lies_immutable(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM counts($1); RETURN $1; END';
CREATE FUNCTION by_parameter(x int) RETURNS int LANGUAGE sql STABLE AS 'SELECT x.counts';
CREATE FUNCTION lies_view() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT 1::bigint';
CREATE FUNCTION dynamic(text) RETURNS int LANGUAGE plpgsql STABLE AS 'DECLARE r int; BEGIN EXECUTE $1 INTO r; RETURN r; END';
CREATE FUNCTION overloaded(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE FUNCTION overloaded(text) RETURNS int LANGUAGE sql AS 'SELECT counts(1)';
CREATE FUNCTION of_row(users) RETURNS int LANGUAGE sql AS 'SELECT counts($1.id)';
CREATE FUNCTION of_record(record) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN counts(1); END';
CREATE FUNCTION of_element(anyelement) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN counts(1); END';
CREATE FUNCTION with_default(int, bigint DEFAULT nextval('counter')) RETURNS int LANGUAGE sql STABLE AS 'SELECT $1';
CREATE FUNCTION many(VARIADIC int[]) RETURNS int LANGUAGE sql AS 'SELECT counts($1[1])';
CREATE FUNCTION row_writes(int) RETURNS SETOF int LANGUAGE sql AS 'SELECT counts($1)';
CREATE FUNCTION notifies(text) RETURNS int LANGUAGE plpgsql STABLE AS 'BEGIN PERFORM pg_notify(''penstock'', $1); RETURN 1; END';
CREATE FUNCTION makes_temp() RETURNS int LANGUAGE plpgsql AS 'BEGIN CREATE TEMP TABLE IF NOT EXISTS made (i int); RETURN 1; END';
CREATE FUNCTION op_writes(int, int) RETURNS int LANGUAGE sql AS 'SELECT counts($1)';
CREATE FUNCTION op_not(int) RETURNS bool LANGUAGE sql AS 'SELECT counts($1) > 0';
CREATE FUNCTION op_same(address, address) RETURNS bool LANGUAGE sql AS 'SELECT counts(1) > 0';
CREATE OPERATOR @@# (leftarg = int, rightarg = int, function = op_writes);
CREATE OPERATOR !!@ (rightarg = int, function = op_not);
CREATE OPERATOR @=@ (leftarg = address, rightarg = address, function = op_same);
CREATE AGGREGATE sum_bad (int) (sfunc = op_writes, stype = int, initcond = '0');
CREATE DOMAIN checked AS int CHECK (counts(VALUE) > 0);
CREATE DOMAIN over_checked AS checked;
CREATE TYPE holder AS (x checked, y int);
CREATE TYPE cents AS (n int);
CREATE FUNCTION to_cents(int) RETURNS cents LANGUAGE sql AS 'SELECT ROW(counts($1))::cents';
CREATE CAST (int AS cents) WITH FUNCTION to_cents(int) AS IMPLICIT;
CREATE TABLE of_checked (id int, c checked);
CREATE FUNCTION gives_checked(OUT a int, OUT b checked) STABLE LANGUAGE sql AS 'SELECT 1, 2';
CREATE FUNCTION gives_table() RETURNS TABLE (a int, b checked) STABLE LANGUAGE plpgsql AS 'BEGIN a := 1; b := 2; RETURN NEXT; END';
CREATE FUNCTION takes_cents(cents) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1.n';
CREATE TYPE ranked AS (n int);
CREATE FUNCTION ranked_same(ranked, ranked) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1.n = $2.n';
CREATE FUNCTION ranked_hash(ranked) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM counts(1); RETURN 1; END';
CREATE OPERATOR === (leftarg = ranked, rightarg = ranked, function = ranked_same, commutator = ===, hashes);
CREATE OPERATOR CLASS ranked_ops DEFAULT FOR TYPE ranked USING hash AS OPERATOR 1 === (ranked, ranked), FUNCTION 1 ranked_hash(ranked);
CREATE TABLE ranks (r ranked);
INSERT INTO ranks VALUES (ROW(1)), (ROW(2));
CREATE FUNCTION evil.initcap(text) RETURNS text LANGUAGE sql AS 'SELECT counts(1)::text';
CREATE VIEW evil.shadowed AS SELECT counts(1) AS id;
CREATE TABLE shadowed (id int);
INSERT INTO shadowed VALUES (1);
-- What the planner evaluates by itself.
CREATE TABLE with_index (id int);
CREATE INDEX ON with_index ((id + lies_immutable(1)));
CREATE TABLE with_predicate (id int);
CREATE INDEX ON with_predicate (id) WHERE id > lies_immutable(1);
CREATE TABLE with_statistics (id int, n int);
INSERT INTO with_index SELECT generate_series(1, 10);
INSERT INTO with_predicate SELECT generate_series(1, 10);
INSERT INTO with_statistics SELECT i, i FROM generate_series(1, 10) i;
CREATE TABLE with_check (id int, CHECK (id > lies_immutable(-1)));
CREATE TABLE with_check_child (CHECK (id <> lies_immutable(-1))) INHERITS (with_check);
INSERT INTO with_check_child VALUES (5);
CREATE TABLE with_key (id int) PARTITION BY RANGE ((id + lies_immutable(0)));
CREATE TABLE with_key_one PARTITION OF with_key FOR VALUES FROM (0) TO (100);
INSERT INTO with_key VALUES (1);

CREATE VIEW v_counts AS SELECT nextval('counter') AS n;
CREATE VIEW v_over_counts AS SELECT n, 1 AS id FROM v_counts;
CREATE VIEW v_writes AS SELECT id, writes(id) AS w FROM users;
CREATE VIEW v_locks AS SELECT locks(1) AS id;
CREATE VIEW v_operator AS SELECT id @@# 1 AS id FROM nodes;
CREATE VIEW v_attribute AS SELECT u.of_row AS id FROM users u;
CREATE VIEW v_unlogged AS SELECT id FROM unlogged_one;
CREATE VIEW v_stat AS SELECT pid AS id FROM pg_stat_activity;
CREATE VIEW v_setting AS SELECT name FROM pg_settings;
CREATE VIEW v_cast AS SELECT id::cents AS id FROM nodes;
CREATE VIEW v_checked AS SELECT id::checked AS id FROM nodes;
CREATE OR REPLACE FUNCTION lies_view() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT n FROM v_over_counts';

-- Row-level security.
CREATE TABLE guarded (id int, who text);
INSERT INTO guarded VALUES (1, 'app'), (2, 'postgres');
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON guarded USING (counts(id) > 0);
CREATE TABLE tenants (id int);
INSERT INTO tenants VALUES (1), (2);
ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON tenants USING (id = (SELECT lies_pl(1)));

GRANT ALL ON SCHEMA public, evil, other TO app;
GRANT ALL ON ALL TABLES IN SCHEMA public, evil TO app;
GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app;
ANALYZE;
