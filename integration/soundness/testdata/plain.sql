-- What an application has: nothing in it is unsafe on a replica.
CREATE SCHEMA other;

CREATE TYPE mood AS ENUM ('sad', 'ok', 'glad');
CREATE TYPE address AS (street text, zip int);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN email AS text CHECK (VALUE ~ '@');
CREATE TABLE users (id int PRIMARY KEY, name text NOT NULL, email email UNIQUE, age int, mood mood,
  score numeric(10,2), tags text[], data jsonb, born date, created_at timestamptz DEFAULT '2024-01-01', active bool);
INSERT INTO users SELECT i, 'name ' || i, 'u' || i || '@example.org', 20 + i % 50, (ARRAY['sad','ok','glad'])[i % 3 + 1]::mood,
  i * 1.5, ARRAY['t' || i % 5, 't' || i % 7], jsonb_build_object('a', i % 4, 'b', jsonb_build_array(i, i + 1), 'c', 'x' || i),
  date '1980-01-01' + i * 100, timestamptz '2024-01-01 00:00+00' + i * interval '1 hour', i % 2 = 0 FROM generate_series(1, 30) i;
CREATE INDEX ON users (lower(name));
CREATE INDEX ON users USING gin (data);
CREATE INDEX ON users USING gin (tags);

CREATE TABLE orders (id int PRIMARY KEY, user_id int REFERENCES users, total numeric, status text, placed_at timestamp, note text);
INSERT INTO orders SELECT i, i % 30 + 1, i * 3.25, (ARRAY['new','paid','sent'])[i % 3 + 1], timestamp '2024-02-01' + i * interval '1 day',
  CASE WHEN i % 4 = 0 THEN NULL ELSE 'note ' || i END FROM generate_series(1, 60) i;
CREATE INDEX ON orders (user_id, placed_at);
CREATE TABLE items (order_id int REFERENCES orders, line int, product_id int, amount int, price numeric, PRIMARY KEY (order_id, line));
INSERT INTO items SELECT i % 60 + 1, i, i % 20 + 1, i % 9, i * 0.5 FROM generate_series(1, 80) i;
CREATE TABLE products (id int PRIMARY KEY, name text, body text, search tsvector, geo point, span int4range, home address, raw bytea, net inet, key uuid);
INSERT INTO products SELECT i, 'product ' || i, 'the quick fox ' || i, to_tsvector('english', 'the quick fox ' || i), point(i, -i), int4range(i, i + 5),
  ROW('street ' || i, i)::address, decode(lpad(to_hex(i), 4, '0'), 'hex'), ('10.0.0.' || i)::inet, md5(i::text)::uuid FROM generate_series(1, 20) i;
CREATE INDEX ON products USING gin (search);
CREATE INDEX ON products USING gist (span);

CREATE TABLE all_types (id int, a smallint, b bigint, c real, d double precision, e numeric, f money, g char(5), h varchar(9), i name, j "char",
  k time, l timetz, m interval, n bit(4), o varbit, p cidr, q macaddr, r json, s xml, t line, u box, v path, w circle, x int4range, y tsrange, z jsonpath);
INSERT INTO all_types SELECT i, i, i * 1000000000::bigint, i / 3.0, i / 7.0, i / 11.0, i::money, 'c' || i, 'v' || i, 'n' || i, 'x',
  time '10:00' + i * interval '1 min', timetz '10:00+00', i * interval '1 day 2 hours', B'0101', B'1', '10.0.0.0/8', '08:00:2b:01:02:03',
  '{"a": 1}', '<a>1</a>', '{1,2,3}', '(1,1),(0,0)', '[(0,0),(1,1)]', '<(0,0),1>', '[1,3)', '[2024-01-01,2024-01-02)', '$.a' FROM generate_series(1, 5) i;

CREATE TABLE nodes (id int PRIMARY KEY, parent int, label text);
INSERT INTO nodes SELECT i, NULLIF(i / 2, 0), 'node ' || i FROM generate_series(1, 31) i;
CREATE TABLE events (id int, at date, kind text) PARTITION BY RANGE (at);
CREATE TABLE events_2023 PARTITION OF events FOR VALUES FROM ('2023-01-01') TO ('2024-01-01');
CREATE TABLE events_2024 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
INSERT INTO events SELECT i, date '2023-06-01' + i * 10, 'k' || i % 3 FROM generate_series(1, 50) i;
CREATE TABLE "Mixed Case" ("Id" int, "select" text);
INSERT INTO "Mixed Case" VALUES (1, 'one'), (2, 'two');
-- Harmless functions.
CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';
CREATE FUNCTION order_count(int) RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM orders WHERE user_id = $1';
CREATE FUNCTION label_of(n int) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE r text; BEGIN SELECT label INTO r FROM nodes WHERE id = n; IF r IS NULL THEN RETURN 'none'; END IF; RETURN r; END $$;
CREATE FUNCTION below(int) RETURNS SETOF nodes LANGUAGE sql STABLE AS 'SELECT * FROM nodes WHERE parent = $1';
CREATE FUNCTION full_name(users) RETURNS text LANGUAGE sql STABLE AS 'SELECT $1.name || '' <'' || $1.email || ''>''';
CREATE FUNCTION pairs(n int, OUT a int, OUT b text) RETURNS SETOF record LANGUAGE sql STABLE AS 'SELECT id, label FROM nodes WHERE id < $1';
CREATE FUNCTION anything(anyelement) RETURNS anyelement LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE FUNCTION plus_op(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + $2';
CREATE OPERATOR |+| (leftarg = int, rightarg = int, function = plus_op);
CREATE AGGREGATE sum_ok (int) (sfunc = int4pl, stype = int, initcond = '0');

-- Views.
CREATE VIEW v_users AS SELECT id, upper(name) AS name, age FROM users WHERE active;
CREATE VIEW v_totals AS SELECT user_id, sum(total) AS total, count(*) AS n FROM orders GROUP BY user_id;
CREATE VIEW v_over AS SELECT u.name, t.total FROM v_users u JOIN v_totals t ON t.user_id = u.id;
CREATE MATERIALIZED VIEW m_totals AS SELECT * FROM v_totals;

CREATE TABLE owned (id int, who text);
INSERT INTO owned VALUES (1, 'app'), (2, 'postgres');
ALTER TABLE owned ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON owned USING (who = CURRENT_USER);
GRANT ALL ON SCHEMA public, evil, other TO app;
GRANT ALL ON ALL TABLES IN SCHEMA public, evil TO app;
GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app;
ANALYZE;
