-- INSERT, UPDATE, DELETE, TRUNCATE and what surrounds them. One statement a line.
insert into t values (1, 2)
insert into t values (1, default), (default, 'x')
insert into s.t (a, b) values (1, 2) returning *
insert into t as x (a) values (1) returning x.a as b, a + 1
insert into t default values
insert into t default values returning a
insert into t (a) select 1 union all select 2
insert into t (select 1)
insert into t ((select 1) union (select 2))
insert into t table x
insert into t with a as (select 1) select * from a
insert into t (a) (values (1))
insert into t values (1) order by 1 limit 1
insert into t (a) overriding system value values (1)
insert into t overriding user value select 1
insert into t values (1) on conflict do nothing
insert into t values (1) on conflict (a) do nothing returning a
insert into t values (1) on conflict (a, lower(b), (c + 1)) where d > 0 do update set a = excluded.a, b = default where t.a < excluded.a
insert into t values (1) on conflict on constraint t_pkey do update set (a, b) = (excluded.a, 1), (c) = row(1)
insert into t values (1) on conflict (a) do update set (a, b) = (select 1, 2), c[1] = 2, d[1:2] = array[1]
with x as (select 1) insert into t select * from x
with x as (insert into t values (1) returning a) select * from x
with x as (delete from t returning *), y as (update t set a = 1 returning b) insert into u select * from x
update t set a = 1
update t set a = 1, b = default, c = c + 1 where a = 2
update only t set a = 1
update t * set a = 1
update t as x set a = x.b where x.c returning x.*, a
update t x set a = 1
update t set (a, b) = (1, 2), (c) = (select 3), (d, e) = row(1, default)
update t set a = u.a from u, v join w on true where t.id = u.id returning t.a
update t set a[1] = 2, a[1:2] = '{1,2}'
update s.t set a = (select max(a) from t)
with x as (select 1 a) update t set a = x.a from x
update t set "Set" = 1
delete from t
delete from t where a = 1 returning *
delete from only t as x using u, v where x.id = u.id
delete from t x where x.a
with x as (select 1) delete from t using x
truncate t
truncate table t, only u, v * restart identity cascade
truncate t continue identity restrict
