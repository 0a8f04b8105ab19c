//! What a PostgreSQL database holds: one query, whose rows are findings as JSON.

use dataman_node_protocol::query::Inspect;

use super::literal;

/// Writes the query. The schemas of the server, of dataman and of sessions are left out.
pub(super) fn inspection(inspect: &Inspect) -> String {
    let wanted = match &inspect.namespace {
        Some(name) => format!("n.nspname = {}", literal(name)),
        None => String::from(
            r"n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' AND n.nspname !~ '^dbshard_'",
        ),
    };
    QUERY.replace("{wanted}", &wanted)
}

const QUERY: &str = r#"
WITH n AS MATERIALIZED (SELECT n.oid, n.nspname FROM pg_catalog.pg_namespace n WHERE {wanted}),
d AS MATERIALIZED (
  SELECT (datcollate IN ('C', 'POSIX') AND coalesce(pg_catalog.to_jsonb(d) ->> 'datlocprovider', 'c') = 'c') AS by_bytes
    FROM pg_catalog.pg_database d WHERE datname = pg_catalog.current_database())
SELECT found FROM (
SELECT 0 AS step, n.nspname AS namespace, '' AS name,
       pg_catalog.json_build_object('namespace', n.nspname)::text AS found FROM n
UNION ALL
SELECT 1, n.nspname, c.relname, pg_catalog.json_build_object('table', pg_catalog.json_build_object(
  'namespace', n.nspname, 'name', c.relname,
  'fields', (SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
      'name', a.attname,
      'type_oid', CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE a.atttypid END::int8,
      'typmod', CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END,
      'declared', pg_catalog.format_type(a.atttypid, a.atttypmod),
      'labels', CASE WHEN t.typtype = 'e' THEN pg_catalog.json_build_array(t.typname,
          (SELECT pg_catalog.json_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid)) END,
      'not_null', a.attnotnull OR (t.typtype = 'd' AND t.typnotnull),
      'default', coalesce(pg_catalog.pg_get_expr(f.adbin, f.adrelid), CASE WHEN t.typtype = 'd' THEN t.typdefault END,
          CASE WHEN a.attidentity <> '' THEN 'identity' END),
      'filled', CASE WHEN a.attgenerated <> '' THEN 'generated' WHEN a.attidentity = 'a' THEN 'identity_always'
          WHEN a.attidentity = 'd' THEN 'identity_by_default'
          WHEN f.adbin IS NOT NULL OR (t.typtype = 'd' AND t.typdefault IS NOT NULL) THEN 'constant' END,
      'collated', a.attcollation <> 0 AND CASE WHEN a.attcollation = 100 THEN NOT d.by_bytes
          ELSE NOT coalesce(l.collprovider = 'c' AND l.collcollate IN ('C', 'POSIX'), false) END,
      'refusal', CASE WHEN b.oid >= 16384 AND t.typtype <> 'e' THEN
            'its type ' || pg_catalog.format_type(a.atttypid, a.atttypmod) || ' is the database''s own'
          WHEN NOT coalesce(l.collisdeterministic, true) THEN 'its collation is nondeterministic' END,
      'comment', pg_catalog.col_description(c.oid, a.attnum)) ORDER BY a.attnum), '[]')
    FROM d, pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    JOIN pg_catalog.pg_type b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END
    LEFT JOIN pg_catalog.pg_attrdef f ON f.adrelid = c.oid AND f.adnum = a.attnum
    LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
  'constraints', (SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
      'name', k.conname,
      'kind', CASE k.contype WHEN 'p' THEN 'primary_key' WHEN 'u' THEN 'unique' WHEN 'f' THEN 'foreign_key' ELSE 'check' END,
      'fields', (SELECT coalesce(pg_catalog.json_agg(a.attname ORDER BY u.place), '[]')
          FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY u(number, place)
          JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.number),
      'nulls_not_distinct', coalesce((SELECT (pg_catalog.to_jsonb(i) ->> 'indnullsnotdistinct')::bool
          FROM pg_catalog.pg_index i WHERE i.indexrelid = k.conindid AND k.contype = 'u'), false),
      'expr', CASE WHEN k.contype = 'c' THEN pg_catalog.pg_get_expr(k.conbin, k.conrelid) END,
      'references', CASE WHEN k.contype = 'f' THEN (SELECT pg_catalog.json_build_array(rn.nspname, r.relname)
          FROM pg_catalog.pg_class r JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace WHERE r.oid = k.confrelid) END,
      'references_fields', (SELECT coalesce(pg_catalog.json_agg(a.attname ORDER BY u.place), '[]')
          FROM pg_catalog.unnest(k.confkey) WITH ORDINALITY u(number, place)
          JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.number),
      'on_delete', CASE k.confdeltype WHEN 'r' THEN 'restrict' WHEN 'c' THEN 'cascade' WHEN 'n' THEN 'set null'
          WHEN 'd' THEN 'set default' ELSE 'no action' END,
      'on_update', CASE k.confupdtype WHEN 'r' THEN 'restrict' WHEN 'c' THEN 'cascade' WHEN 'n' THEN 'set null'
          WHEN 'd' THEN 'set default' ELSE 'no action' END)
      ORDER BY pg_catalog.array_position('{p,u,c,f}'::text[], k.contype::text), k.oid), '[]')
    FROM pg_catalog.pg_constraint k
    WHERE k.conrelid = c.oid AND k.contype IN ('p', 'u', 'c', 'f') AND k.convalidated AND NOT k.condeferrable),
  'indexes', (SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
      'name', x.relname, 'unique', i.indisunique,
      'nulls_not_distinct', coalesce((pg_catalog.to_jsonb(i) ->> 'indnullsnotdistinct')::bool, false),
      'keys', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(a.attname, i.indoption[u.place - 1] & 1 <> 0,
            i.indoption[u.place - 1] & 2 <> 0) ORDER BY u.place)
          FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY u(number, place)
          JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.number)) ORDER BY x.oid), '[]')
    FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
    JOIN pg_catalog.pg_am m ON m.oid = x.relam
    WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL AND m.amname = 'btree'
      AND i.indnkeyatts = i.indnatts
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))),
  'notes', (SELECT coalesce(pg_catalog.json_agg(note), '[]') FROM (
      SELECT 'trigger ' || g.tgname FROM pg_catalog.pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal
      UNION ALL SELECT 'rule ' || r.rulename FROM pg_catalog.pg_rewrite r WHERE r.ev_class = c.oid AND c.relkind IN ('r', 'p')
      UNION ALL SELECT 'row-level security' WHERE c.relrowsecurity
      UNION ALL SELECT CASE WHEN k.contype = 'x' THEN 'exclusion constraint ' WHEN k.condeferrable THEN 'deferrable constraint '
              ELSE 'constraint that was not validated, ' END || k.conname
          FROM pg_catalog.pg_constraint k WHERE k.conrelid = c.oid
            AND (k.contype = 'x' OR k.contype IN ('p', 'u', 'c', 'f') AND (k.condeferrable OR NOT k.convalidated))
      UNION ALL SELECT 'index ' || x.relname FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
          WHERE i.indrelid = c.oid AND i.indisunique AND (i.indpred IS NOT NULL OR i.indexprs IS NOT NULL)
      ) notes(note)),
  'refusals', (SELECT coalesce(pg_catalog.json_agg(why), '[]') FROM (
      SELECT CASE c.relkind WHEN 'v' THEN 'it is a view' WHEN 'm' THEN 'it is a materialized view' WHEN 'f' THEN 'it is a foreign table'
          END WHERE c.relkind NOT IN ('r', 'p')
      UNION ALL SELECT 'it is a partition: adopt the table that it is a part of' WHERE c.relispartition
      UNION ALL SELECT 'it has no columns' WHERE NOT EXISTS
          (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
      ) refusals(why))
  ))::text
FROM n JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
) findings ORDER BY step, namespace, name"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_literal() {
        let text =
            inspection(&Inspect { namespace: Some("it's".to_owned()), ..Inspect::default() });
        assert!(text.contains("n.nspname = 'it''s'"), "{text}");
    }
}
