-- Expressions that PostgreSQL's grammar accepts. One statement a line.
select 1 + 2 * 3 - 4 / 5 % 6 ^ 7
select - 1, + 1, - - 1, -(-1), 1 - -1, 2*-3
select @ -5, |/ 25, ||/ 27, ~ 1, !! 'a'::tsquery
select 1 < 2, 1 > 2, 1 <= 2, 1 >= 2, 1 <> 2, 1 != 2, 1 = 2
select (1 < 2) < true, 1 < 2 is true, 1 < 2 and 2 < 3 or not 3 < 4
select not not true, not 1 = 2, not null is null
select true and false or true and not false
select 1 is null, 1 is not null, 1 isnull, 1 notnull, 1 is null is null
select true is true, true is not false, true is unknown, true is not unknown
select 1 is distinct from 2, 1 is not distinct from null, (1, 2) is distinct from (1, 3)
select 1 between 0 and 2, 1 not between 0 and 2, 1 between symmetric 2 and 0, 1 between asymmetric 0 and 2, 1 between 0 and 2 and true
select 1 between 0 + 1 and 2 * 3 = true
select 'a' like 'b', 'a' not like 'b' escape '\', 'a' ilike 'b', 'a' not ilike 'b' escape 'x', 'a' similar to 'b', 'a' not similar to 'b' escape '#'
select 'a' || 'b' like 'c' || 'd', 'a' ~ 'b', 'a' !~* 'b', 'a' ~~ 'b', 'a' !~~* 'b', 'a' ^@ 'b'
select '{}'::jsonb -> 'a' ->> 'b' = 'c', '{}'::jsonb #>> '{a,b}', '{}'::jsonb @> '{}', '{}'::jsonb ? 'a', '{}'::jsonb ?| array['a'], '{}'::jsonb ?& array['a'], '{}'::jsonb @? '$.a', '{}'::jsonb #- '{a}'
select point '(1,2)' <-> point '(3,4)', array[1] && array[2], array[1] <@ array[1]
select 1 operator(pg_catalog.+) 2, operator(pg_catalog.-) 1, 1 operator(+) 2
select 1::int::text::varchar(5), '1'::pg_catalog.int4, '{1}'::int[], '{1}'::int[][], '{1}'::int array, '{1}'::int array[3], '{1}'::int[3]
select cast(1 as text), cast('1' as numeric(10, 2)), cast('x' as character varying (10)), cast('x' as national character varying(3))
select '1'::int2, '1'::smallint, '1'::bigint, '1'::real, '1'::double precision, '1'::float, '1'::float(10), '1'::float(30), '1'::dec(3), '1'::decimal(3, 1), '1'::numeric
select '1'::boolean, '1'::bit, '1'::bit(3), '1'::bit varying, '1'::bit varying(3), 'a'::char, 'a'::char(3), 'a'::character, 'a'::"char", 'a'::nchar(2), 'a'::bpchar, 'a'::name
select '12:00'::time, '12:00'::time(3), '12:00'::time with time zone, '12:00'::time(0) without time zone, '2020-01-01'::timestamp, '2020-01-01'::timestamp(3) with time zone, '2020-01-01'::timestamptz(3), '2020-01-01'::timestamp without time zone
select '1'::interval, '1'::interval year, '1'::interval day to second(3), '1'::interval(2), '1'::interval hour to minute, '1'::interval year to month, '1'::interval second(0)
select int '1', int4 '1', float8 '1.5', double precision '1.5', numeric(5, 2) '1.5', date '2020-01-01', time '12:00', time with time zone '12:00', timestamp '2020-01-01', timestamp(3) with time zone '2020-01-01', boolean 'true', text 'a', varchar(3) 'abc', char(2) 'ab', bit(3) '101', pg_catalog.int4 '5', "numeric" '5', varchar 'x', jsonb '{}', numeric '1'
select interval '1 day', interval '1' day, interval '1' year to month, interval '1' second(3), interval(3) '1 second', interval '1:30' hour to minute
select now() at time zone 'utc', now() at time zone 'utc' at time zone 'cet', timestamp '2020-01-01' at time zone interval '1 hour'
select extract(year from now()), extract('epoch' from now()), extract(dow from now()), extract("week" from now()), extract(second from interval '1 second')
select substring('abc' from 2), substring('abc' from 2 for 1), substring('abc' for 2), substring('abc' for 1 from 2), substring('abc', 2), substring('abc', 2, 1), substring('abc' similar 'a#"b#"c' escape '#'), substring('abc' from 'b')
select position('b' in 'abc'), overlay('abc' placing 'x' from 2), overlay('abc' placing 'x' from 2 for 1), overlay('abc', 'x', 2)
select trim('a'), trim(both 'x' from 'xax'), trim(leading from ' a'), trim(trailing 'x' from 'ax'), trim('x' from 'xa'), trim(both from 'a'), trim('a', 'x'), trim(both 'a', 'x')
select normalize('a'), normalize('a', nfkd), 'a' is normalized, 'a' is not nfc normalized
select collation for ('a'), 'a' collate "C" < 'b', 'a' || 'b' collate pg_catalog."C"
select coalesce(1, 2), nullif(1, 2), greatest(1, 2, 3), least(1)
select case when true then 1 end, case 1 when 1 then 2 when 2 then 3 else 4 end, case when 1 = 1 then case when true then 1 else 2 end else 3 end
select row(1, 2), row(), row(1), (1, 2), (1, (2, 3)), row(1, 2) = row(1, 2), (1, 2) < (3, 4)
select (date '2020-01-01', date '2020-02-01') overlaps (date '2020-01-15', interval '1 day'), row(now(), now()) overlaps row(now(), now())
select current_date, current_time, current_time(2), current_timestamp, current_timestamp(0), localtime, localtime(1), localtimestamp, localtimestamp(3)
select current_user, user, session_user, current_role, current_catalog, current_schema, current_schema()
select now(), pg_catalog.now(), f(), f(1, 2), f(a => 1, b := 2), f(1, variadic array[1, 2]), f(variadic array[1]), count(*), count(distinct 1), count(all 1)
select left('abc', 1), right('abc', 1), "left"('abc', 1)
select public.f(1), a.b.c(1)
select true, false, null, TRUE, Null
select 1 as a, 2 as b where 1 = 1 and (2 = 2 or 3 = 3)
select f(default)
select default
select ((((1))))
select (1 + 2) * (3 + 4), ((1, 2), 3)
select 'abc' ~ E'\\d+' and 'x' like '%'
select a.b, a.b.c, a.b.c.d from x
select current_timestamp - interval '1' day * 2
select array[1, 2] || 3, array[1, 2] = array[1, 2]
select -9223372036854775808, - 9223372036854775808, -(1)::int
select 2 ^ - 3 ^ 4, - 2 ^ 2
select 1 where 1 in (1) is true
select 1 in (1) and 2 in (2) or 3 not in (3)
select a = not b = c from x
select xmin, ctid, tableoid from pg_class
select "a""b", "A.b" from x
select ñandú, été, 数据 from tabla
select 1 a, 2 "B", 3 AS c, 4 AS "D"
select case a when 1 then 'x' end case from x
select a is not null and b is not distinct from c or d is null from x
select (a).b, (a).b.c, (a.b).c, (a[1]).b, ((a).b)[1] from x
select a.b[1].c from x
select nullif(a, '')::int, coalesce(a, b)::text || 'x' from x
select sum(a + b * 2) / nullif(count(*), 0), max(case when a then 1 else 0 end) from x
select lower(a) collate "C", a::text collate "C" from x
select exists(select 1) and not exists(select 2 where false)
select 1 <> all(array[1,2]), 5 > any('{1,2}'::int[])
select date_trunc('day', now())::date, (now() + '1 day'::interval)::date
select a->>'b', a->'b'->0, a#>'{x,y}' from x
select pg_catalog.format_type(1, 2), pg_catalog."substring"('a', 1)
