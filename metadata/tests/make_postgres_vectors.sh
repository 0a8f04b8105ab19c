#!/bin/sh
# Writes postgres_vectors.tsv: for many keys, the remainder by which PostgreSQL's hash partitioning places them.
# usage: PGHOST=… PGPORT=… PGUSER=… PGDATABASE=… metadata/tests/make_postgres_vectors.sh
# The database's encoding must be UTF8. It is left as it was: everything is done in temporary tables.
#
# A line is: types, modulus, remainder, then each value; text as hexadecimal UTF-8. Moduli 4, 13 and 4096 are taken from
# satisfies_hash_partition; modulus 7 from the partition that a row really went to.
set -eu
cd "$(dirname "$0")"

psql --no-psqlrc --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 >postgres_vectors.tsv <<'SQL'
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET bytea_output = 'hex';
SELECT setseed(0.42);

CREATE TEMP TABLE vectors (line text);

CREATE FUNCTION pg_temp.take(types text[], columns text[], printed text[], source text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  names text[] := (SELECT array_agg('k' || i ORDER BY i) FROM generate_subscripts(types, 1) i);
  list text := array_to_string(names, ', ');
  line text := (SELECT string_agg(format('%L || (%s)', E'\t', replace(p, '$', 'k' || i)), ' || ' ORDER BY i)
                FROM unnest(printed) WITH ORDINALITY AS x(p, i));
BEGIN
  EXECUTE format('CREATE TEMP TABLE parent (%s) PARTITION BY HASH (%s)',
    (SELECT string_agg('k' || i || ' ' || t, ', ' ORDER BY i) FROM unnest(columns) WITH ORDINALITY AS x(t, i)), list);
  FOR r IN 0..6 LOOP
    EXECUTE format('CREATE TEMP TABLE parent_%s PARTITION OF parent FOR VALUES WITH (MODULUS 7, REMAINDER %s)', r, r);
  END LOOP;
  EXECUTE format('INSERT INTO parent SELECT DISTINCT * FROM (%s) s(%s)', source, list);
  EXECUTE format(
    'INSERT INTO vectors SELECT %L || E''\t7\t'' || substr(tableoid::regclass::text, 8) || %s FROM parent',
    array_to_string(types, ','), line);
  EXECUTE format(
    'INSERT INTO vectors SELECT %L || E''\t'' || m || E''\t'' || r || %s
     FROM parent, unnest(ARRAY[4, 13]) m, generate_series(0, m - 1) r
     WHERE satisfies_hash_partition(''parent''::regclass, m, r, %s)', array_to_string(types, ','), line, list);
  EXECUTE format(
    'INSERT INTO vectors SELECT %L || E''\t4096\t'' || r || %s FROM (SELECT * FROM parent LIMIT 100) p, generate_series(0, 4095) r
     WHERE satisfies_hash_partition(''parent''::regclass, 4096, r, %s)', array_to_string(types, ','), line, list);
  DROP TABLE parent;
END $$;

SELECT pg_temp.take('{int2}', '{int2}', '{$::text}',
  'SELECT unnest(''{0,1,-1,7,-32768,32767}''::int2[]) UNION ALL SELECT (random() * 65535 - 32768)::int::int2 FROM generate_series(1, 40)');
SELECT pg_temp.take('{int4}', '{int4}', '{$::text}',
  'SELECT unnest(''{0,1,-1,7,-2147483648,2147483647}''::int4[]) UNION ALL SELECT ((random() - 0.5) * 4e9)::int4 FROM generate_series(1, 60)');
SELECT pg_temp.take('{int8}', '{int8}', '{$::text}',
  'SELECT unnest(''{0,1,-1,7,-9223372036854775808,9223372036854775807,4294967296,-4294967297}''::int8[])
   UNION ALL SELECT ((random() - 0.5) * 1.8e19)::int8 FROM generate_series(1, 80)');
SELECT pg_temp.take('{bool}', '{bool}', '{$::text}', 'SELECT unnest(''{t,f}''::bool[])');
SELECT pg_temp.take('{text}', '{text}', '{"encode(convert_to($, ''UTF8''), ''hex'')"}',
  'SELECT unnest(ARRAY['''', '' '', ''a'', ''a '', ''abc'', ''ABC'', ''é'', ''日本語'', ''😀'', repeat(''x'', 1000)])
   UNION ALL SELECT substr(repeat(md5(random()::text), 2), 1, n) FROM generate_series(1, 60) n');
SELECT pg_temp.take('{text}', '{varchar(40)}', '{"encode(convert_to($, ''UTF8''), ''hex'')"}',
  'SELECT unnest(ARRAY['''', ''a'', ''a '', ''Zoë''])');
SELECT pg_temp.take('{bpchar}', '{char(20)}', '{"encode(convert_to(rpad($::text, 20), ''UTF8''), ''hex'')"}',
  'SELECT unnest(ARRAY['''', ''a'', '' a'', ''Zoë'', ''a b  c'', ''12345678901234567890''])');
SELECT pg_temp.take('{bytea}', '{bytea}', '{$::text}',
  'SELECT unnest(ARRAY[''\x'', ''\x00'', ''\xff'', ''\x0000'']::bytea[])
   UNION ALL SELECT substr(decode(md5(random()::text) || md5(random()::text), ''hex''), 1, n) FROM generate_series(1, 32) n');
SELECT pg_temp.take('{uuid}', '{uuid}', '{$::text}',
  'SELECT ''00000000-0000-0000-0000-000000000000''::uuid UNION ALL SELECT md5(random()::text)::uuid FROM generate_series(1, 40)');
SELECT pg_temp.take('{date}', '{date}', '{$::text}',
  'SELECT unnest(''{2000-01-01,1999-12-31,4714-11-24 BC,5874897-12-31,infinity,-infinity}''::date[])
   UNION ALL SELECT ''1900-01-01''::date + (random() * 80000)::int FROM generate_series(1, 40)');
SELECT pg_temp.take('{time}', '{time}', '{$::text}',
  'SELECT unnest(''{00:00,24:00,12:34:56.789}''::time[]) UNION ALL SELECT ''00:00''::time + random() * interval ''1 day'' FROM generate_series(1, 30)');
SELECT pg_temp.take('{timestamp}', '{timestamp}', '{$::text}',
  'SELECT unnest(''{2000-01-01,1999-12-31 23:59:59.999999,4714-11-24 00:00:00 BC,294276-12-31 23:59:59.999999,infinity,-infinity}''::timestamp[])
   UNION ALL SELECT ''1900-01-01''::timestamp + random() * interval ''200 years'' FROM generate_series(1, 40)');
SELECT pg_temp.take('{timestamptz}', '{timestamptz}', '{$::text}',
  'SELECT unnest(''{2000-01-01 00:00+00,1999-12-31 23:59:59.999999+00,infinity,-infinity}''::timestamptz[])
   UNION ALL SELECT ''1900-01-01''::timestamptz + random() * interval ''200 years'' FROM generate_series(1, 40)');
SELECT pg_temp.take('{numeric}', '{numeric}', '{$::text}',
  'SELECT unnest(''{0,-0.00,1,1.0,-1,1.50,10000,100000000,99999999,0.0001,0.00001,0.1,-123456.789,NaN,Infinity,-Infinity,12345678901234567890.123456789012345678901}''::numeric[])
   UNION ALL SELECT round(((random() - 0.5) * power(10, n % 18))::numeric, n % 9) FROM generate_series(1, 80) n
   UNION ALL SELECT power(10::numeric, n) FROM generate_series(-12, 24) n');
SELECT pg_temp.take('{int8,text}', '{int8,text}', '{$::text,"encode(convert_to($, ''UTF8''), ''hex'')"}',
  'SELECT n, md5(n::text) FROM generate_series(-20, 40) n');
SELECT pg_temp.take('{uuid,int4,date}', '{uuid,int4,date}', '{$::text,$::text,$::text}',
  'SELECT md5(n::text)::uuid, n, ''2020-01-01''::date + n FROM generate_series(-20, 40) n');
SELECT line FROM (SELECT DISTINCT line FROM vectors) AS once ORDER BY line COLLATE "C";
SQL
sed -i '/^$/d' postgres_vectors.tsv
