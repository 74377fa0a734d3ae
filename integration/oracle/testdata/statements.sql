SELECT 1
====
SELECT ';'; SELECT $$;$$; SELECT ";"
====
WITH a AS (SELECT 1) (SELECT 2)
====
WITH values AS (SELECT 1) DELETE FROM t
====
WITH a AS (SELECT 1 AS delete) SEARCH DEPTH FIRST BY delete SET delete DELETE FROM t
====
WITH a AS (WITH b AS (SELECT 1) CYCLE x SET y USING z UPDATE t SET x = 1 RETURNING 1) SELECT 1
====
WITH update AS (SELECT 1) SELECT * FROM update
====
SELECT 1 insert INTO t
====
SELECT 1 INTO LOCAL TEMPORARY TABLE t
====
(SELECT 1 FROM t) FOR KEY SHARE
====
SELECT * FROM ((SELECT 1 FOR UPDATE)) x
====
EXPLAIN (ANALYZE) SELECT 1
====
EXPLAIN ("analyze") DELETE FROM t
====
EXPLAIN ((SELECT 1))
====
EXPLAIN (U&"an\0061lyze") DELETE FROM t
====
SELECT 'a'
	 'b' FROM t
====
SELECT E'\'; DELETE FROM t; --'
====
SELECT U&"d\0061t\+000061", U&'!0041' UESCAPE '!'
====
SELECT a FROM b WHERE c IN (1, -2, 'x') ORDER BY d USING < LIMIT ALL
====
CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 END; END; SELECT 2
====
CREATE OR REPLACE PROCEDURE f() BEGIN ATOMIC SELECT 1 AS end, 2 AS case; SELECT t.end FROM t; END; SELECT 2
====
CREATE RULE r AS ON INSERT TO t DO ALSO (SELECT 1; SELECT 2); SELECT 3
====
COPY (DELETE FROM t RETURNING 1) TO STDOUT
====
SELECT public.select(1), (x).user, t.into FROM t
====
SELECT treat('s' AS nextval), f 'x', extract(year FROM d), xmlconcat(a)
====
SELECT 1+-+-1, a@-b, a*-1, a = -1, 1 <> 2, - 1
====
SELECT "current_user", "FOR"."UPDATE" FROM "INTO"
====
PREPARE transaction AS SELECT 1
====
SELECT t.current_date, x AS current_user FROM t
====
SELECT substring(x for update) FROM t
====
SELECT a /* /* ; */ INTO t; */ FROM b
====
SELECT a$1, $1, $1 + 2 FROM f(x => 1, y := 2)
====
TABLE t; VALUES (1), (2)
====
SELECT json_value(a, '$' RETURNING int), json_query(a, '$'), json_exists(a, '$') FROM json_table(a, '$' COLUMNS (b int))
====
SELECT * FROM xmltable('/a' PASSING b COLUMNS c int)
====
SELECT x IS NOT NULL, x ISNULL, x IS JSON, x BETWEEN SYMMETRIC 1 AND 2 FROM t
