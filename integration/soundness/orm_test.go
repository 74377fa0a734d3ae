package soundness

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// traced makes n different statements in the shapes that ORMs write.
func (w *world) traced(n int, seed uint64) []statement {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 4)), version: w.cluster.Version}
	seen := map[string]bool{}
	var all []statement
	for len(all) < n {
		shapes, hostile := ormReads(), false
		if g.one(6) {
			shapes, hostile = ormWrites(), true
		}
		text := g.pick(shapes...)
		for strings.Contains(text, "@") {
			text = strings.Replace(text, "@n", strconv.Itoa(g.IntN(40)), 1)
			text = strings.Replace(text, "@s", "'"+g.pick("new", "paid", "sent", "name ", "node ", "fox", "x")+g.pick("", strconv.Itoa(g.IntN(40)))+"'", 1)
			text = strings.Replace(text, "@l", g.numbers(), 1)
			text = strings.Replace(text, "@d", fmt.Sprintf("'2024-%02d-%02d 00:00:00'", 1+g.IntN(12), 1+g.IntN(28)), 1)
			text = strings.Replace(text, "@o", g.pick("ASC", "DESC"), 1)
			text = strings.Replace(text, "@c", g.pick("id", "name", "age", "score", "created_at"), 1)
			text = strings.Replace(text, "@a", "\x01", 1)
		}
		text = strings.ReplaceAll(text, "\x01", "@")
		if !seen[text] {
			seen[text] = true
			all = append(all, statement{text: text, database: "app", source: "ORM", hostile: hostile})
		}
	}
	return all
}

func (g *generator) numbers() string {
	var list []string
	for range 1 + g.IntN(8) {
		list = append(list, strconv.Itoa(g.IntN(60)))
	}
	return strings.Join(list, ", ")
}

func ormReads() []string {
	return []string{
		// ActiveRecord
		`SELECT "users".* FROM "users" WHERE "users"."id" = @n LIMIT 1`, `SELECT "users".* FROM "users" WHERE "users"."name" = @s ORDER BY "users"."@c" @o LIMIT @n`, `SELECT COUNT(*) FROM "users" WHERE "users"."active" = TRUE AND "users"."age" > @n`,
		`SELECT 1 AS one FROM "users" WHERE "users"."email" = @s AND "users"."id" != @n LIMIT 1`, `SELECT "orders"."id", "orders"."total" FROM "orders" INNER JOIN "users" ON "users"."id" = "orders"."user_id" WHERE "users"."age" BETWEEN @n AND @n AND "orders"."status" IN (@s, @s) ORDER BY "orders"."id" @o LIMIT @n OFFSET @n`,
		`SELECT DISTINCT "users"."id", "users"."created_at" AS alias_0 FROM "users" LEFT OUTER JOIN "orders" ON "orders"."user_id" = "users"."id" WHERE "orders"."note" IS NOT NULL ORDER BY "users"."created_at" DESC LIMIT @n /*application:Shop,controller:users,action:index*/`,
		`SELECT "orders".* FROM "orders" WHERE "orders"."user_id" IN (@l)`, `SELECT SUM("orders"."total") AS "sum_total", "orders"."status" AS "orders_status" FROM "orders" WHERE "orders"."placed_at" >= @d GROUP BY "orders"."status"`, `SELECT "users".* FROM "users" WHERE (data @a> '{"a": @n}') AND (tags @a> ARRAY['t@n']::text[])`,
		`SELECT DATE_TRUNC('day', "orders"."placed_at") AS "d", COUNT(*) FROM "orders" WHERE "orders"."placed_at" BETWEEN @d AND @d GROUP BY DATE_TRUNC('day', "orders"."placed_at") ORDER BY 1`, `SELECT "users"."id" FROM "users" WHERE LOWER("users"."name") LIKE LOWER('%@n%')`,
		// Django
		`SELECT "users"."id", "users"."name", "users"."email" FROM "users" WHERE ("users"."active" AND "users"."name"::text ILIKE '%@n%' AND NOT ("users"."age" IN (@l))) ORDER BY "users"."@c" @o LIMIT 21`, `SELECT (1) AS "a" FROM "orders" WHERE "orders"."user_id" = @n LIMIT 1`, `SELECT COUNT(*) AS "__count" FROM "orders" WHERE "orders"."total" > @n`,
		`SELECT COUNT(*) FROM (SELECT DISTINCT "orders"."user_id" AS "col1" FROM "orders" WHERE UPPER("orders"."note"::text) LIKE UPPER('NOTE@n%')) subquery`, `SELECT "users"."id", COUNT("orders"."id") FILTER (WHERE "orders"."status" = @s) AS "n", MAX("orders"."placed_at") AS "last" FROM "users" LEFT OUTER JOIN "orders" ON ("users"."id" = "orders"."user_id") GROUP BY "users"."id" HAVING COUNT("orders"."id") > @n ORDER BY "n" DESC`,
		`SELECT "users"."id", EXISTS(SELECT 1 AS "a" FROM "orders" U0 WHERE (U0."user_id" = ("users"."id") AND U0."total" >= @n) LIMIT 1) AS "has" FROM "users" WHERE ("users"."data" -> 'a') = '@n'::jsonb`, `SELECT "orders"."id", ROW_NUMBER() OVER (PARTITION BY "orders"."user_id" ORDER BY "orders"."placed_at" DESC) AS "rank" FROM "orders" WHERE EXTRACT(MONTH FROM "orders"."placed_at") = @n`,
		`SELECT "products"."id", ts_rank(to_tsvector('english'::regconfig, COALESCE("products"."body", '')), (plainto_tsquery('english'::regconfig, @s))) AS "rank" FROM "products" WHERE to_tsvector('english'::regconfig, COALESCE("products"."body", '')) @a@a (plainto_tsquery('english'::regconfig, @s)) ORDER BY "rank" DESC`,
		`SELECT "users"."id", CASE WHEN "users"."age" < @n THEN 'young' WHEN "users"."age" < @n THEN 'middle' ELSE NULL END AS "g" FROM "users" WHERE ("users"."name" LIKE @s OR "users"."born" = @d::date)`, `SELECT "users"."data" #> '{b,0}' AS "x", ("users"."data" ->> 'c') FROM "users" WHERE "users"."id" = @n`,
		`SELECT AVG("orders"."total") AS "avg", STDDEV_POP("orders"."total")::numeric(20,4), STRING_AGG("orders"."status", ',' ORDER BY "orders"."id") FROM "orders" WHERE "orders"."id" < @n`, `SELECT "a"."id" FROM "users" AS "a" WHERE "a"."id" = (SELECT V0."user_id" FROM "orders" V0 WHERE V0."id" = @n ORDER BY V0."id" LIMIT 1)`,
		// Hibernate
		`select u1_0.id,u1_0.age,u1_0.name from users u1_0 where u1_0.id=@n`, `select o1_0.user_id,o1_0.id,o1_0.note,o1_0.total from orders o1_0 where o1_0.user_id=@n order by o1_0.id`, `select o1_0.id,u1_0.id,u1_0.name from orders o1_0 left join users u1_0 on u1_0.id=o1_0.user_id where o1_0.status=@s offset @n rows fetch first @n rows only`,
		`select count(o1_0.id) from orders o1_0 where o1_0.total>@n and (o1_0.note like @s escape '' or o1_0.note is null)`, `select distinct u1_0.name from users u1_0 join orders o1_0 on u1_0.id=o1_0.user_id join items i1_0 on o1_0.id=i1_0.order_id where i1_0.amount>=@n`, `select u1_0.id,case when u1_0.id is not null then 0 end from users u1_0 where u1_0.age>(select avg(u2_0.age) from users u2_0)`,
		`select * from ( select row_.*, rownum_ from ( select u.id, u.name, row_number() over (order by u.id) as rownum_ from users u ) row_ ) q where rownum_ <= @n and rownum_ > @n`, `select u1_0.id,array_length(u1_0.tags,1),coalesce(u1_0.mood,'ok') from users u1_0 where 't@n'=any(u1_0.tags)`, `select cast(u1_0.created_at as date),extract(year from u1_0.created_at) from users u1_0 where u1_0.id=@n`,
		// SQLAlchemy
		`SELECT users.id, users.name, anon_1.total 
FROM users LEFT OUTER JOIN (SELECT orders.user_id AS user_id, sum(orders.total) AS total 
FROM orders GROUP BY orders.user_id) AS anon_1 ON users.id = anon_1.user_id 
WHERE users.id IN (@l) ORDER BY users.id`, `WITH RECURSIVE tree(id, parent, depth) AS 
(SELECT nodes.id AS id, nodes.parent AS parent, 1 AS depth 
FROM nodes 
WHERE nodes.id = @n UNION ALL SELECT n.id AS id, n.parent AS parent, tree.depth + 1 AS anon_1 
FROM nodes AS n JOIN tree ON n.parent = tree.id)
 SELECT tree.id, tree.depth 
FROM tree ORDER BY tree.depth, tree.id`, `SELECT count(*) AS count_1 
FROM (SELECT users.id AS users_id FROM users WHERE users.age > @n) AS anon_1`, `SELECT anon_1.value FROM users, jsonb_array_elements(users.data -> 'b') AS anon_1(value) WHERE users.id = @n`, `SELECT users.id FROM users JOIN LATERAL (SELECT orders.id AS oid FROM orders WHERE orders.user_id = users.id ORDER BY orders.total DESC LIMIT 2) AS top ON true WHERE users.age < @n`,
		`SELECT EXISTS (SELECT * FROM orders WHERE orders.id = @n) AS anon_1`, `SELECT param_1.a, param_1.b FROM (VALUES (@n, @s), (@n, @s)) AS param_1 (a, b)`, `SELECT orders.status, count(*) AS n, rank() OVER (ORDER BY count(*) DESC) AS r FROM orders WHERE orders.id > @n GROUP BY orders.status`, `SELECT CAST(users.score AS INTEGER) AS s, users.name || @s AS x FROM users WHERE users.name ~ '^name @n'`, `SELECT 1`,
		`SELECT users.id AS users_id FROM users WHERE (users.id, users.age) IN ((@n, @n), (@n, @n)) AND users.mood = 'sad'`, `SELECT coalesce(sum(items.amount * items.price), @n) AS total FROM items, orders WHERE items.order_id = orders.id AND orders.user_id = @n`,
		// Prisma
		`SELECT "public"."users"."id", "public"."users"."name" FROM "public"."users" WHERE ("public"."users"."email" = @s AND 1=1) LIMIT @n OFFSET @n /* traceparent='00-@n-01' */`, `SELECT "public"."orders"."id" FROM "public"."orders" WHERE "public"."orders"."user_id" IN (@l) OFFSET 0`, `SELECT COUNT(*) FROM (SELECT "public"."orders"."id" FROM "public"."orders" WHERE "public"."orders"."total" >= @n OFFSET 0) AS "sub"`,
		`SELECT "t0"."id", "t0"."name", COALESCE("t1"."__prisma_data__", '[]') AS "orders" FROM "public"."users" AS "t0" LEFT JOIN LATERAL (SELECT COALESCE(JSONB_AGG("__prisma_data__"), '[]') AS "__prisma_data__" FROM (SELECT JSONB_BUILD_OBJECT('id', "t2"."id", 'total', "t2"."total") AS "__prisma_data__" FROM "public"."orders" AS "t2" WHERE "t0"."id" = "t2"."user_id" LIMIT @n) AS "t3") AS "t1" ON TRUE WHERE "t0"."id" > @n`,
		`SELECT "t1"."id" FROM "public"."users" AS "t1" LEFT JOIN "public"."orders" AS "j0" ON ("j0"."user_id") = ("t1"."id") WHERE ("j0"."status" = @s AND ("j0"."id" IS NOT NULL)) ORDER BY "t1"."@c" @o NULLS LAST`,
		// GORM
		`SELECT * FROM "users" WHERE "users"."id" = @n AND "users"."active" IS NOT NULL ORDER BY "users"."id" LIMIT 1`, `SELECT * FROM "orders" WHERE status <> @s AND placed_at > @d ORDER BY placed_at desc LIMIT 10 OFFSET @n`, `SELECT count(*) FROM "users" WHERE name LIKE @s`, `SELECT "users"."id","users"."name","o"."id" AS "o__id" FROM "users" LEFT JOIN "orders" "o" ON "users"."id" = "o"."user_id" WHERE "users"."age" = @n`,
		`SELECT status, sum(total) as total FROM "orders" GROUP BY "status" HAVING sum(total) > @n`, `SELECT * FROM "products" WHERE search @a@a to_tsquery('english', 'fox & brown') OR span @a> @n ORDER BY ts_rank(search, to_tsquery('fox')) DESC`, `SELECT * FROM users WHERE data->>'c' = 'x@n' AND jsonb_path_exists(data, '$.b[*] ? (@a > @n)')`,
		// Reports
		`SELECT date_trunc('week', placed_at)::date AS week, count(*), sum(total) FILTER (WHERE status = @s) AS paid, round(avg(total), 2), percentile_cont(0.9) WITHIN GROUP (ORDER BY total) FROM orders WHERE placed_at >= @d::timestamp - INTERVAL '30 days' GROUP BY 1 ORDER BY 1`, `SELECT u.id, first_value(o.total) OVER w, last_value(o.total) OVER w, ntile(4) OVER (ORDER BY o.total) FROM users u JOIN orders o ON o.user_id = u.id WHERE u.id < @n WINDOW w AS (PARTITION BY u.id ORDER BY o.placed_at ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)`,
		`SELECT COALESCE(status, 'all'), grouping(status), count(*) FROM orders WHERE id > @n GROUP BY ROLLUP (status) ORDER BY 1, 2`, `SELECT d::date, count(o.id) FROM generate_series(timestamp '2024-02-01', timestamp '2024-02-28', interval '1 day') AS g(d) LEFT JOIN orders o ON o.placed_at::date = d::date AND o.user_id <> @n GROUP BY 1 ORDER BY 1`, `WITH s (id, n) AS (SELECT user_id, count(*) FROM orders WHERE total > @n GROUP BY user_id), b AS (SELECT max(n) AS m FROM s) SELECT s.id FROM s, b WHERE s.n = b.m ORDER BY 1`,
		`SELECT * FROM v_over WHERE total > @n ORDER BY name`, `SELECT * FROM m_totals WHERE user_id = @n`, `SELECT now() - created_at > interval '@n days', age(born) IS NULL FROM users WHERE id = @n`, `SELECT id, geo <-> point(@n, 1) AS d FROM products ORDER BY geo <-> point(@n, 1) LIMIT @n`, `SELECT * FROM events WHERE at = @d::date OR kind = 'k@n'`, `SELECT key, net <<= '10.0.0.0/24', host(net), encode(raw, 'hex') FROM products WHERE id = @n`,
	}
}

// ormWrites are those that must stay on the primary, and catalog queries, which do.
func ormWrites() []string {
	return []string{
		`SELECT "users".* FROM "users" WHERE "users"."id" = @n LIMIT 1 FOR UPDATE`, `SELECT * FROM "orders" WHERE status = @s ORDER BY id LIMIT @n FOR UPDATE SKIP LOCKED`, `select u1_0.id from users u1_0 where u1_0.id=@n for no key update of u1_0`, `SELECT orders.id FROM orders WHERE orders.id = @n FOR SHARE NOWAIT`,
		`SELECT pg_try_advisory_lock(@n)`, `SELECT pg_advisory_xact_lock(@n, @n)`, `SELECT pg_advisory_unlock(@n)`, `INSERT INTO "nodes" ("id", "label") VALUES (@n, @s) ON CONFLICT ("id") DO UPDATE SET "label" = "excluded"."label" RETURNING "id"`, `UPDATE "users" SET "age" = @n WHERE "users"."id" = @n`, `DELETE FROM "items" WHERE "items"."order_id" IN (@l)`,
		`WITH q AS (SELECT id FROM orders WHERE status = @s LIMIT @n FOR UPDATE SKIP LOCKED) UPDATE orders SET status = 'x' FROM q WHERE q.id = orders.id RETURNING orders.*`, `INSERT INTO orders (id, user_id) SELECT @n, id FROM users WHERE id = @n RETURNING id`, `SELECT set_config('app.tenant', @s, true)`, `SAVEPOINT active_record_@n`, `SET statement_timeout = @n`, `SHOW max_identifier_length`, `BEGIN ISOLATION LEVEL REPEATABLE READ`,
		`SELECT a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a WHERE a.attrelid = '"users"'::regclass AND a.attnum > @n`, `SELECT c.relname FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') AND pg_catalog.pg_table_is_visible(c.oid) LIMIT @n`, `SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' LIMIT @n`, `select version(), @n`, `select current_schema(), @n`,
		`SELECT pg_notify('c', @s)`, `SELECT txid_current(), @n`, `SELECT nextval('no_such_seq_@n')`, `EXPLAIN SELECT * FROM users WHERE id = @n`, `DECLARE c@n CURSOR WITH HOLD FOR SELECT * FROM users`, `COPY (SELECT * FROM users WHERE id = @n) TO STDOUT`, `TRUNCATE TABLE items -- @n`, `SELECT * INTO TEMP t@n FROM users`,
	}
}
