package catalog

// The queries work on PostgreSQL 13 to 18, on a standby, and under any
// search_path: each name is qualified, and operators are of built-in types,
// which resolve in pg_catalog unless another schema was put before it on
// purpose; [Load] sets the path besides.

const versionSQL = `SELECT pg_catalog.current_setting('server_version_num'), pg_catalog.current_database()`

// signatureSQL sums up a hash of (oid, xmin) of the rows that matter; xmin
// changes with each update of a row. Of relations the columns that matter are
// hashed, since TRUNCATE and the like write a new row with nothing new for us;
// temporary ones and the row types of tables are left out. The columns of tables
// are looked at only if there are types that could be unsafe.
const signatureSQL = `SELECT pg_catalog.concat_ws('-',
 (SELECT pg_catalog.sum(pg_catalog.hashint8extended(oid::int8, xmin::text::int8)) FROM pg_catalog.pg_proc),
 (SELECT pg_catalog.sum(pg_catalog.hashint8extended(oid::int8, xmin::text::int8)) FROM pg_catalog.pg_type
   WHERE typtype OPERATOR(pg_catalog.<>) 'c' AND typcategory OPERATOR(pg_catalog.<>) 'A' AND oid OPERATOR(pg_catalog.>=) 16384),
 (SELECT pg_catalog.sum(pg_catalog.hashint8extended(oid::int8, xmin::text::int8)) FROM pg_catalog.pg_operator
   WHERE oid OPERATOR(pg_catalog.>=) 16384),
 (SELECT pg_catalog.sum(pg_catalog.hashint8extended(oid::int8, xmin::text::int8)) FROM pg_catalog.pg_cast
   WHERE oid OPERATOR(pg_catalog.>=) 16384),
 (SELECT pg_catalog.sum(pg_catalog.hashint8extended(oid::int8, xmin::text::int8)) FROM pg_catalog.pg_policy),
 (SELECT pg_catalog.sum(pg_catalog.hashint8extended(oid::int8, xmin::text::int8)) FROM pg_catalog.pg_rewrite
   WHERE oid OPERATOR(pg_catalog.>=) 16384),
 (SELECT pg_catalog.sum(pg_catalog.hashint8extended(oid::int8, xmin::text::int8)) FROM pg_catalog.pg_amproc
   WHERE oid OPERATOR(pg_catalog.>=) 16384),
 (SELECT pg_catalog.sum(pg_catalog.hashint8extended(oid::int8, xmin::text::int8)) FROM pg_catalog.pg_constraint
   WHERE contype IN ('p', 'u', 'c')),
 (SELECT pg_catalog.sum(pg_catalog.hashint8extended(oid::int8, xmin::text::int8)) FROM pg_catalog.pg_extension),
 (SELECT pg_catalog.sum(pg_catalog.hashint8extended(oid::int8, xmin::text::int8)) FROM pg_catalog.pg_namespace
   WHERE nspname NOT LIKE 'pg\_temp\_%' AND nspname NOT LIKE 'pg\_toast\_temp\_%'),
 (SELECT pg_catalog.sum(pg_catalog.hashint8extended(inhrelid::int8, inhparent::int8)) FROM pg_catalog.pg_inherits),
 (SELECT pg_catalog.sum(pg_catalog.hashint8extended(indexrelid::int8, indisvalid::int4::int8)) FROM pg_catalog.pg_index
   WHERE indrelid OPERATOR(pg_catalog.>=) 16384 AND (indisunique OR indexprs IS NOT NULL OR indpred IS NOT NULL)),
 (SELECT pg_catalog.sum(pg_catalog.hashint8extended(oid::int8, xmin::text::int8)) FROM pg_catalog.pg_statistic_ext),
 CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_type WHERE oid OPERATOR(pg_catalog.>=) 16384
     AND typtype IN ('b', 'd', 'r') AND typcategory OPERATOR(pg_catalog.<>) 'A') THEN
 (SELECT pg_catalog.sum(pg_catalog.hashint8extended(atttypid::int8, attrelid::int8)) FROM pg_catalog.pg_attribute
   WHERE atttypid OPERATOR(pg_catalog.>=) 16384) END,
 (SELECT pg_catalog.sum(pg_catalog.hashnameextended(relname, relnamespace::int8 OPERATOR(pg_catalog.#)
     pg_catalog.hashint8extended(oid::int8, pg_catalog.ascii(relkind::text) OPERATOR(pg_catalog.*) 1024
       OPERATOR(pg_catalog.+) pg_catalog.ascii(relpersistence::text) OPERATOR(pg_catalog.*) 4
       OPERATOR(pg_catalog.+) relrowsecurity::int4)))
   FROM pg_catalog.pg_class WHERE oid OPERATOR(pg_catalog.>=) 16384 AND relkind IN ('r', 'v', 'm', 'f', 'p', 'S', 'c')
     AND relpersistence OPERATOR(pg_catalog.<>) 't'))`

// functionsSQL: the text is wanted where it is read and can be reached, so not
// of volatile functions. pg_get_functiondef has the body in either form, the
// defaults and the settings, but refuses aggregates.
const functionsSQL = `SELECT p.oid, n.nspname, p.proname, l.lanname, p.provolatile, p.prokind,
 p.proargtypes, p.pronargdefaults, p.prorettype,
 (SELECT e.extname FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
   WHERE p.oid >= 16384 AND d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid
     AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'e'),
 CASE WHEN p.oid >= 16384 AND p.provolatile <> 'v' AND p.prokind <> 'a'
   AND (l.lanname IN ('sql', 'plpgsql') OR p.pronargdefaults > 0)
   THEN CASE WHEN l.lanname IN ('sql', 'plpgsql') THEN p.prosrc ELSE '' END
     || CASE WHEN l.lanname = 'sql' AND p.prosrc = '' THEN pg_catalog.pg_get_functiondef(p.oid) ELSE '' END
     || COALESCE(E'\n;SELECT ' || pg_catalog.pg_get_expr(p.proargdefaults, 0), '') END,
 (SELECT pg_catalog.concat_ws(' ', a.aggtransfn::pg_catalog.oid, a.aggfinalfn::pg_catalog.oid, a.aggcombinefn::pg_catalog.oid,
    a.aggserialfn::pg_catalog.oid, a.aggdeserialfn::pg_catalog.oid, a.aggmtransfn::pg_catalog.oid,
    a.aggminvtransfn::pg_catalog.oid, a.aggmfinalfn::pg_catalog.oid)
   FROM pg_catalog.pg_aggregate a WHERE a.aggfnoid = p.oid AND p.prokind = 'a'),
 CASE WHEN p.oid >= 16384 THEN pg_catalog.array_to_string(p.proallargtypes, ' ') END
 FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
 JOIN pg_catalog.pg_language l ON l.oid = p.prolang`

const typesSQL = `SELECT t.oid, n.nspname, t.typname, t.typtype, t.typrelid,
 pg_catalog.concat_ws(' ', t.typelem, t.typbasetype, r.rngsubtype,
   (SELECT m.rngtypid FROM pg_catalog.pg_range m WHERE t.typtype = 'm' AND (pg_catalog.to_jsonb(m) ->> 'rngmultitypid')::pg_catalog.oid = t.oid)),
 pg_catalog.concat_ws(' ', t.typinput::pg_catalog.oid, t.typoutput::pg_catalog.oid, t.typreceive::pg_catalog.oid,
   t.typsend::pg_catalog.oid, t.typmodin::pg_catalog.oid, t.typmodout::pg_catalog.oid,
   r.rngcanonical::pg_catalog.oid, r.rngsubdiff::pg_catalog.oid,
   CASE WHEN t.oid >= 16384 AND t.typtype = 'b' AND t.typcategory <> 'A'
     THEN (pg_catalog.to_jsonb(t) ->> 'typsubscript')::pg_catalog.regproc::pg_catalog.oid END)
 FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
 LEFT JOIN pg_catalog.pg_range r ON r.rngtypid = t.oid`

const operatorsSQL = `SELECT oprname, oprleft, oprright, oprresult, oprcode::pg_catalog.oid FROM pg_catalog.pg_operator`

const castsSQL = `SELECT castsource, casttarget, castfunc, castcontext FROM pg_catalog.pg_cast WHERE castfunc <> 0`

// relationsSQL leaves indexes and TOAST tables out. The text of a view may be
// NULL when it was dropped a moment ago.
const relationsSQL = `SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence, c.relrowsecurity,
 CASE WHEN c.relkind = 'v' AND c.oid >= 16384 THEN pg_catalog.pg_get_viewdef(c.oid) END
 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p', 'S', 'c') AND n.nspname <> 'information_schema'`

const columnsSQL = `SELECT attrelid, atttypid FROM pg_catalog.pg_attribute
 WHERE atttypid >= 16384 AND attnum > 0 AND NOT attisdropped`

const parentsSQL = `SELECT inhparent, inhrelid FROM pg_catalog.pg_inherits`

// expressionsSQL: policies that a SELECT meets, virtual columns (PostgreSQL 18),
// what the planner evaluates when it looks at a table (keys and predicates of
// indexes, keys of partitions, checks, statistics), checks of domains. The
// planner calls immutable functions only, and for checks it matters: many a
// harmless one has a function that is not marked at all.
const expressionsSQL = `SELECT polrelid, 0, 'SELECT ' || pg_catalog.pg_get_expr(polqual, polrelid)
  FROM pg_catalog.pg_policy WHERE polcmd IN ('r', '*') AND polqual IS NOT NULL
 UNION ALL SELECT a.attrelid, 0, 'SELECT ' || pg_catalog.pg_get_expr(d.adbin, d.adrelid)
  FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  WHERE a.attgenerated = 'v'
 UNION ALL SELECT indrelid, 0, 'SELECT ' || pg_catalog.concat_ws(', ',
    pg_catalog.pg_get_expr(indexprs, indrelid), pg_catalog.pg_get_expr(indpred, indrelid))
  FROM pg_catalog.pg_index WHERE indrelid >= 16384 AND (indexprs IS NOT NULL OR indpred IS NOT NULL)
 UNION ALL SELECT partrelid, 0, 'SELECT ' || pg_catalog.pg_get_expr(partexprs, partrelid)
  FROM pg_catalog.pg_partitioned_table WHERE partexprs IS NOT NULL
 UNION ALL SELECT c.conrelid, 0, 'SELECT ' || pg_catalog.pg_get_expr(c.conbin, c.conrelid)
  FROM pg_catalog.pg_constraint c WHERE c.contype = 'c' AND c.conrelid <> 0 AND EXISTS (
   SELECT FROM pg_catalog.pg_depend d LEFT JOIN pg_catalog.pg_proc p ON d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND p.oid = d.refobjid
   WHERE d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND d.objid = c.oid AND d.refobjid >= 16384
    AND (p.provolatile = 'i' OR d.refclassid = 'pg_catalog.pg_operator'::pg_catalog.regclass OR d.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass))
 UNION ALL SELECT x.stxrelid, 0, pg_catalog.pg_get_statisticsobjdef(x.oid)
  FROM pg_catalog.pg_statistic_ext x WHERE pg_catalog.to_jsonb(x) ->> 'stxexprs' IS NOT NULL
 UNION ALL SELECT 0, contypid, 'SELECT ' || pg_catalog.pg_get_expr(conbin, 0)
  FROM pg_catalog.pg_constraint WHERE contypid <> 0 AND contype = 'c'`

const supportSQL = `SELECT amproclefttype, amproc::pg_catalog.oid FROM pg_catalog.pg_amproc WHERE amproc::pg_catalog.oid >= 16384`

const keysSQL = `SELECT indrelid, indisprimary,
 (SELECT pg_catalog.string_agg(k.number::text, ' ' ORDER BY k.position)
   FROM pg_catalog.unnest(indkey::pg_catalog.int2[]) WITH ORDINALITY k (number, position) WHERE k.position <= indnkeyatts)
 FROM pg_catalog.pg_index
 WHERE indrelid >= 16384 AND indisunique AND indisvalid AND indpred IS NULL AND indexprs IS NULL`
