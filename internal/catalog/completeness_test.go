package catalog_test

import (
	"testing"

	"github.com/penstock/penstock/internal/catalog"
	"github.com/penstock/penstock/internal/sqlscan"
)

// TestOrdinaryReadsAreSafe: what applications read in their everyday manner goes
// to a replica.
func TestOrdinaryReadsAreSafe(t *testing.T) {
	_, conn := start(t)
	s, err := catalog.Load(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	var scanner sqlscan.Scanner
	for _, sql := range []string{
		`SELECT "users".* FROM "users" WHERE "users"."email" = $1 ORDER BY "users"."id" ASC LIMIT $2`,
		`SELECT COUNT(*) AS "__count" FROM "auth_user" WHERE ("auth_user"."is_active" AND LOWER("auth_user"."name"::text) LIKE LOWER('%a%'))`,
		`select distinct on (o.id) o.id, date_trunc('day', o.at) d, sum(l.n * l.price)::numeric(12, 2) from orders o join lines l using (order_id) group by 1, 2 having count(*) filter (where l.n > 0) > 1`,
		`WITH RECURSIVE tree AS (SELECT id, parent, 1 AS depth FROM nodes WHERE parent IS NULL UNION ALL SELECT n.id, n.parent, t.depth + 1 FROM nodes n JOIN tree t ON n.parent = t.id) SELECT * FROM tree`,
		`SELECT rank() OVER w, lag(a, 1) OVER (PARTITION BY b ORDER BY c ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) FROM t WINDOW w AS (PARTITION BY a ORDER BY b)`,
		`SELECT a FROM t WHERE id = ANY($1) AND NOT EXISTS (SELECT 1 FROM u WHERE u.id = t.id) AND (a, b) IN ((1, 2), (3, 4))`,
		`SELECT json_build_object('a', a, 'b', jsonb_agg(b ORDER BY c)), data->>'x', data #>> '{a,b}', data @> '{"a": 1}' FROM t GROUP BY a`,
		`SELECT CASE WHEN a > 1 THEN 'x' WHEN a IS NULL THEN (SELECT 'y') ELSE COALESCE(b, 'z') END, NULLIF(a, 0), GREATEST(a, b), LEAST(a, b) FROM t`,
		`SELECT EXTRACT(EPOCH FROM now() - at), to_char(at AT TIME ZONE 'UTC', 'YYYY'), at::date - 7, INTERVAL '1' DAY, CURRENT_DATE FROM t WHERE at BETWEEN now() - interval '1 day' AND now()`,
		`SELECT string_agg(DISTINCT a, ',' ORDER BY a), array_agg(b), percentile_cont(0.5) WITHIN GROUP (ORDER BY c), grouping(a) FROM t GROUP BY GROUPING SETS ((a), ()), ROLLUP (b), CUBE (c)`,
		`SELECT substring(a FROM 2 FOR 3), position('x' IN a), trim(BOTH ' ' FROM a), overlay(a PLACING 'x' FROM 1), a SIMILAR TO 'x', a ~* 'y', a !~~ 'z' FROM t`,
		`SELECT * FROM unnest(ARRAY[1, 2]) WITH ORDINALITY, LATERAL (SELECT 1) x, generate_series(1, 10, 2)`,
		`SELECT * FROM (VALUES (1, 'a'), (2, 'b')) v WHERE ROW(1, 2) = ROW(column1, 2) FETCH FIRST 3 ROWS ONLY`,
		`SELECT ts_rank(to_tsvector('english', body), plainto_tsquery($1)), ts_headline(body, q) FROM docs WHERE to_tsvector(body) @@ plainto_tsquery($1)`,
		`SELECT a FROM t TABLESAMPLE BERNOULLI (10) REPEATABLE (1)`,
		`SELECT x.a, md5(x.b), encode(sha256(x.c), 'hex'), regexp_replace(d, 'a', 'b', 'g'), cardinality(e), e[1:2] FROM t x`,
		`(SELECT a FROM t) UNION ALL (SELECT b FROM u) EXCEPT SELECT c FROM v ORDER BY 1 OFFSET 10`,
		`SELECT a::varchar(10), CAST(b AS timestamp(3) with time zone), c::bit(3), d::character varying(20), e::float(8), f::double precision FROM t`,
		`SELECT xmlelement(name a, xmlattributes(b AS c)), xmlforest(a, b) FROM t`,
		`SELECT pg_sleep(0), current_database(), current_schema(), current_user, pg_typeof(a) FROM t`,
	} {
		if got := s.Check(scanner.Scan(sql, sqlscan.Options{})); got.Reason != catalog.Safe {
			t.Errorf("%v %q: %s", got.Reason, got.Name, sql)
		}
	}
}
