-- What PostgreSQL has and dataman refuses. One statement a line.
select 1 into x
select a into temp x from t
select * from pg_class tablesample system (10)
select * from rows from (f() as (a int)) x
select a from t order by a using ~<~
select 1 operator(public.+) 2
select unique (select 1)
select xmlelement(name a)
select xmlparse(document '<a/>')
select treat(1 as int)
select 'x' is document
insert into t (a[1]) values (1)
insert into t (a.b) values (1)
update t set a.b = 1
update t set a = 1 where current of c
delete from t where current of c
insert into t values (1) on conflict (a collate "C") do nothing
insert into t values (1) on conflict (a text_pattern_ops) do nothing
merge into t using u on true when matched then delete
with a as (select 1) merge into t using a on true when matched then do nothing
listen x
notify x
notify x, 'payload'
grant select on t to x
revoke all on t from x
lock table t
lock t in access exclusive mode
cluster
checkpoint
reindex table t
load 'x'
do $$ begin end $$
call f(1)
security label on table t is 'x'
reassign owned by a to b
refresh materialized view v
prepare transaction 'a'
commit prepared 'a'
rollback prepared 'a'
set transaction snapshot 'a'
set constraints all deferred
set constraints a, b.c immediate
set catalog 'x'
set x from current
create function f() returns int language sql as 'select 1'
create or replace function f() returns int language sql as 'select 1'
create procedure f() language sql as ''
create trigger t before insert on t for each row execute function f()
create materialized view v as select 1
create extension x
create domain d as int
create rule r as on select to t do instead select 1
create aggregate a (int) (sfunc = f, stype = int)
create operator + (function = f)
create collation c (locale = 'C')
create policy p on t
create publication p
create subscription s connection 'x' publication p
create server s foreign data wrapper w
create foreign table t (a int) server s
create tablespace t location '/x'
create text search configuration c (copy = english)
create user mapping for u server s
create statistics s on a, b from t
create event trigger t on ddl_command_start execute function f()
create unlogged table t (a int)
create table t (like u)
create table t (a int) inherits (u)
create table t (a int) partition by range (a)
create table t partition of u for values from (1) to (2)
create table t (a int) tablespace x
create temp table t (a int) on commit drop
create table t (a int, exclude using gist (a with =))
create table t (a int unique deferrable)
create table t (a int unique initially deferred)
create table t (a int check (a > 0) no inherit)
create table t (a text compression lz4)
create table t (a int references u match full)
create table t (a int, unique (a) include (b))
create table t of x
create table t as execute p
create temp table t as select 1
create temp sequence s
create temp view v as select 1
create view v with (security_barrier) as select 1
create view v as select 1 with check option
create recursive view v (a) as select 1
create index i on t (a text_pattern_ops)
create index i on t (a) with (fillfactor = 70)
create index i on only t (a)
create type t as (a int)
create type t as range (subtype = int)
create type t
create schema authorization x
create schema s create table t (a int)
create role r createdb
create role r in role x
create role r valid until '2030-01-01'
alter table t enable row level security
alter table t set (fillfactor = 70)
alter table t alter a set statistics 100
alter table t alter a add generated always as identity
alter table t alter a drop identity
alter table t add constraint c unique using index i
alter table t add constraint c check (a > 0) not valid
alter table t validate constraint c
alter table t attach partition u default
alter index i rename to j
alter view v rename to w
alter sequence s rename to x
alter schema s rename to x
alter type t add value 'x'
alter database d rename to e
alter database d set tablespace t
alter database d owner to r
alter role r set transaction read only
alter role r set x from current
alter role r rename to s
alter system set x = 1
alter function f() owner to x
alter default privileges grant select on tables to x
drop function f
drop owned by x
drop materialized view v
drop extension x
drop database d with (force)
comment on function f() is 'x'
comment on constraint c on t is 'x'
explain declare c cursor for select 1
select * from current_date
select * from coalesce(1, 2) as c
select * from user
explain select 1 into x
