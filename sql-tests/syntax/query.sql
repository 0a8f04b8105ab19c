-- Queries that PostgreSQL's grammar accepts, and that must be read here as well. One statement a line.
select 1
SELECT
select from pg_class
select all oid from pg_class
select distinct relname from pg_class
select distinct on (relkind) relname, relkind from pg_class order by relkind, relname
select *, c.*, c.oid from pg_class c
select pg_catalog.pg_class.* from pg_catalog.pg_class
select 1 as select
select 1 as "Mixed Case", 2 lower, 3 "x y"
select 1 at
select 1 value, 2 name, 3 text, 4 date
select oid from only pg_class
select oid from only (pg_class) as c
select oid from pg_class *
select a from (select 1 as a) as x
select a.b from (values (1, 2), (3, 4)) as a (b, c)
select * from (select 1 a union all select 2) x where a > 1
select * from ((select 1 a) union (select 2)) x
select * from (((select 1 a))) x
select * from ((select 1 a) x cross join (select 2 b) y)
select * from ((select 1 a) x cross join (select 2 b) y) z
select * from pg_class a join pg_namespace n on a.relnamespace = n.oid
select * from pg_class a inner join pg_namespace n using (oid)
select * from pg_class a left outer join pg_namespace n on true
select * from pg_class a right join pg_namespace n on true full outer join pg_type t on true
select * from pg_class natural left join pg_namespace
select * from pg_class a join pg_namespace b join pg_type c on true on true
select * from pg_class a cross join pg_namespace b join pg_type c on true
select * from (pg_class a join pg_namespace b on true) join pg_type c on true
select * from pg_class a, lateral (select a.oid) b
select * from pg_class a left join lateral pg_typeof(a.oid) t on true
select * from generate_series(1, 3)
select * from generate_series(1, 3) with ordinality as g (n, o)
select * from pg_catalog.generate_series(1, 3) g
select * from rows from (generate_series(1, 3), generate_series(1, 2)) as r (a, b)
select * from rows from (generate_series(1, 3)) with ordinality
select * from unnest(array[1, 2], array['a']) as u (a, b)
select count(*) from pg_class group by relkind
select relkind, relname from pg_class group by 1, 2
select count(*) from pg_class group by ()
select count(*) from pg_class group by (relkind, relname), reltype
select count(*) from pg_class group by rollup (relkind, (relname, reltype))
select count(*) from pg_class group by cube (relkind, relname)
select count(*), grouping(relkind) from pg_class group by grouping sets (relkind, (relname, reltype), ())
select count(*) from pg_class group by grouping sets (rollup (relkind, relname), cube (reltype), grouping sets (reltype, ()))
select count(*) from pg_class group by all relkind
select count(*) from pg_class group by relkind having count(*) > 1 and max(relname) < 'x'
select rank() over w from pg_class window w as (partition by relkind order by relname)
select rank() over (w order by relname) from pg_class window w as (partition by relkind), v as (w order by relname desc)
select sum(1) over (), sum(1) over (rows 1 preceding), sum(1) over (order by oid range between unbounded preceding and current row) from pg_class
select sum(1) over (rows between 1 preceding and 2 following exclude current row) from pg_class
select sum(1) over (order by oid groups between current row and unbounded following exclude ties) from pg_class
select sum(1) over (order by oid rows unbounded preceding exclude group), sum(1) over (rows current row exclude no others) from pg_class
select count(*) filter (where oid > 1) over (partition by relkind) from pg_class
select percentile_cont(0.5) within group (order by oid::int) from pg_class
select string_agg(distinct relname::text, ',' order by relname::text desc nulls last) from pg_class
select array_agg(all oid) from pg_class
select relname from pg_class order by relname asc nulls first, 1 desc, lower(relname) using <
select relname from pg_class limit 5
select relname from pg_class limit all offset 3
select relname from pg_class offset 3 rows limit 2 + 3
select relname from pg_class limit null
select relname from pg_class offset 1 row fetch first row only
select relname from pg_class fetch next 3 rows only offset 1
select relname from pg_class order by 1 fetch first (1 + 1) rows with ties
select relname from pg_class limit (select 1)
select relname from pg_class for update
select relname from pg_class for no key update of pg_class nowait
select relname from pg_class for share skip locked for key share
select relname from pg_class for update limit 1
select relname from pg_class limit 1 for update
select relname from pg_class for read only
select 1 union select 2 intersect select 3 except all select 4
(select 1) union all (select 2 order by 1 limit 1) order by 1
((select 1) limit 1)
(select 1 order by 1) limit 1
select 1 union distinct (select 2 union all select 3)
values (1, 'a'), (2, 'b')
values (1) order by 1 desc limit 1
values (1) union all values (2)
table pg_class
table only pg_class order by oid limit 1
select 1 union table pg_am
with a as (select 1) select * from a
with a (x) as materialized (select 1), b as not materialized (select 2) select * from a, b
with recursive t (n) as (values (1) union all select n + 1 from t where n < 5) select n from t
with a as (select 1) (select * from a) union select 2
with a as (with b as (select 1) select * from b) select * from a
with a as (table pg_am), b as (values (1)) table a
(with a as (select 1) select * from a)
select (with a as (select 1 x) select x from a)
select exists (select 1), not exists (table pg_am)
select array(select oid from pg_class), array(values (1), (2)), array((select 1))
select (select 1), ((select 1)), ((select 1) + 1), ((select 1) union (select 1) limit 1)
select 1 in (1, 2), 1 not in (select 1), 1 in ((select 1)), (1, 2) in (select 1, 2), (1, 2) in ((1, 2), (3, 4))
select 1 = any (array[1]), 1 <> all (select 1), 1 < some (values (1)), 'a' like any (array['a']), 'a' not ilike all (array['b'])
select 1 operator(pg_catalog.=) any (array[1])
select "select" from (select 1 as "select") "from"
select t.filter, t.over from (select 1 as filter, 2 as over) t
select row.a from (select 1 a) as "row" cross join lateral (select "row".a) as row
select x.int from (select 1 as int) x
select int from (select 1 as int) x
select interval from (select 1 as interval) x
select coalesce from (select 1 as coalesce) x
select values from (select 1 as values) x
select t.user from (select 1 as user) t
/* outer /* inner */ still */ select 1 -- and the end
select U&"d\0061ta" from (select 1 as data) x
select U&"d!0061ta" uescape '!' from (select 1 as data) x
select 1.5, .5, 5., 1e3, 1.5e-3, 1E+2, 123456789012345678901234567890
select 'it''s', E'a\nb\\c\'d\x41\101\u0041\U00000041', U&'\0041\+000041', $$it's$$, $q$a $$ b$q$, b'101', x'1F', n'text'
select 'one' 
select $1::int, $2
select a[1], a[1:2], a[:2], a[1:], a[:], a[1][2] from (select array[1, 2] as a) x
select (array[1, 2, 3])[2], (array[[1, 2], [3, 4]])[1][2]
select (pg_am).amname, (pg_am).amname[0] from pg_am
select $1[1]
select array[1, 2], array[[1], [2]], array[]::int[]
select exists
select 1 is
select 1 is from pg_class
select 1 is null null
select row
insert into t select
select count(*) from t group by distinct rollup (a)
select * from a join b using (c) as d
select * from f() as (a int, b text)
select * from f() x (a int)
select a, (t).* from t
select count(t.*) from t
select t.* is null from t
with recursive a as (select 1) search depth first by x set y select * from a
with recursive a as (select 1) search breadth first by x, y set z cycle x, y set c to 'Y' default 'N' using p select * from a
with recursive a as (select 1) cycle x set c using p select * from a
select row(t.*), (t.a).*, f(t.*) from t
values (1, (row(2, 3)).*)
