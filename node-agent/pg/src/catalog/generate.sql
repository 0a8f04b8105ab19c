-- Reads a PostgreSQL 15 server's catalog; each row of the result is one line of tables.tsv.
-- Fields are separated by tabs, lists within a field by spaces. The first field names the table.
WITH
names AS (
  -- The names of a function's input arguments, and its output columns.
  SELECT p.oid,
    string_agg(a.name, ' ' ORDER BY a.place) FILTER (WHERE a.mode IN ('i', 'b', 'v')) AS input,
    string_agg(a.name || ':' || a.type, ' ' ORDER BY a.place) FILTER (WHERE a.mode IN ('o', 'b', 't')) AS output
  FROM pg_proc p,
    unnest(p.proargnames, p.proargmodes::text[], coalesce(p.proallargtypes, p.proargtypes::oid[])) WITH ORDINALITY
      AS u(name, mode, type, place),
    LATERAL (SELECT coalesce(nullif(u.name, ''), '-') AS name, coalesce(u.mode, 'i') AS mode, u.type::text AS type, u.place) a
  WHERE p.proargnames IS NOT NULL
  GROUP BY p.oid
),
default_values AS (
  -- The defaults as the types' input reads them: `'{}'::jsonb, false` becomes `{}`, `false`.
  SELECT p.oid, string_agg(regexp_replace(d.value, '^''(.*)''::[a-z]+(\[\])?$', '\1'), ' ' ORDER BY d.place) AS list
  FROM pg_proc p,
    unnest(regexp_split_to_array(pg_get_expr(p.proargdefaults, 0), ', ')) WITH ORDINALITY AS d(value, place)
  WHERE p.pronargdefaults > 0
  GROUP BY p.oid
),
families AS (
  -- The operator families of the types' default B-tree operator classes.
  SELECT DISTINCT c.opcfamily
  FROM pg_opclass c JOIN pg_am m ON m.oid = c.opcmethod
  WHERE c.opcdefault AND m.amname = 'btree'
),
lines(section, key, line) AS (
  SELECT 1, typname::text || ' ' || oid, concat_ws(E'\t', 'type', oid, typname, typlen, typtype, typcategory, typispreferred::int,
    CASE WHEN typsubscript = 'array_subscript_handler'::regproc THEN typelem ELSE 0 END, typarray)
  FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace
UNION ALL
  SELECT 2, rngtypid::text, concat_ws(E'\t', 'range', rngtypid, rngsubtype, rngmultitypid)
  FROM pg_range
UNION ALL
  SELECT 3, proname::text || ' ' || p.oid, concat_ws(E'\t', 'function', p.oid,
    CASE WHEN pronamespace = 'pg_catalog'::regnamespace THEN '' ELSE pronamespace::regnamespace || '.' END || proname,
    CASE
      WHEN pronamespace <> 'pg_catalog'::regnamespace THEN proname
      WHEN l.lanname = 'sql' THEN
        proname || '(' || coalesce((SELECT string_agg(t.typname, ',' ORDER BY a.place)
          FROM unnest(p.proargtypes) WITH ORDINALITY AS a(type, place) JOIN pg_type t ON t.oid = a.type), '') || ')'
      WHEN prosrc = proname THEN '='
      ELSE prosrc
    END,
    array_to_string(proargtypes::oid[], ' '), coalesce(n.input, ''), coalesce(d.list, ''), provariadic, prorettype,
    concat_ws(' ', proretset::int, proisstrict::int, prokind, provolatile), coalesce(n.output, ''))
  FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang LEFT JOIN names n ON n.oid = p.oid
    LEFT JOIN default_values d ON d.oid = p.oid
  -- Drivers call one of the information schema's functions.
  WHERE pronamespace = 'pg_catalog'::regnamespace OR proname = '_pg_expandarray'
UNION ALL
  SELECT 4, oprname::text || ' ' || oid, concat_ws(E'\t', 'operator', oid, oprname, oprleft, oprright, oprresult, oprcode::oid, oprcom, oprnegate)
  FROM pg_operator WHERE oprcode <> 0
UNION ALL
  SELECT 5, castsource || ' ' || casttarget, concat_ws(E'\t', 'cast', castsource, casttarget, castfunc, castcontext, castmethod)
  FROM pg_cast
UNION ALL
  SELECT 6, aggfnoid::oid::text, concat_ws(E'\t', 'aggregate', aggfnoid::oid, aggkind, aggnumdirectargs, aggtransfn::oid, aggfinalfn::oid,
    aggcombinefn::oid, aggsortop, aggtranstype, coalesce('=' || agginitval, ''))
  FROM pg_aggregate
UNION ALL
  SELECT 7, c.opcintype || ' ' || c.opcfamily, concat_ws(E'\t', 'order', c.opcintype, c.opcfamily)
  FROM pg_opclass c JOIN pg_am m ON m.oid = c.opcmethod
  WHERE c.opcdefault AND m.amname = 'btree'
UNION ALL
  SELECT 8, concat_ws(' ', o.amopfamily, o.amoplefttype, o.amoprighttype, o.amopstrategy),
    concat_ws(E'\t', 'strategy', o.amopfamily, o.amoplefttype, o.amoprighttype, o.amopstrategy, o.amopopr)
  FROM pg_amop o JOIN families f ON f.opcfamily = o.amopfamily
  WHERE o.amoppurpose = 's'
UNION ALL
  SELECT 9, concat_ws(' ', p.amprocfamily, p.amproclefttype, p.amprocrighttype),
    concat_ws(E'\t', 'comparison', p.amprocfamily, p.amproclefttype, p.amprocrighttype, p.amproc::oid)
  FROM pg_amproc p JOIN families f ON f.opcfamily = p.amprocfamily
  WHERE p.amprocnum = 1
)
SELECT line FROM lines ORDER BY section, key COLLATE "C";
