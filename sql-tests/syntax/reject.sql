-- What PostgreSQL's grammar rejects. One statement a line.
selekt 1
select 1 +
select 1,
select 1, from t
select * from
select * from t,
select * from t where
select * from t group by
select * from t order by
select * from t having
select from from t
select distinct from t
select a b c from t
select a as from t as
select a from t as where
select * from select 1
select * from (select 1)
select * from (values (1))
select * from (t)
select * from (t) x
select * from t x y
select * from t join u
select * from t inner join u using
select * from t cross join u on true
select * from t natural join u on true
select * from table
select * from t where a = b = c
select 1 < 2 < 3
select 1 = 2 = 3
select 1 <> 2 <> 3
select a like b like c
select 1 between 2
select 1 between 2 or 3
select 1 in ()
select 1 in 1
select 1 in (select 1, )
select array[1,]
select array(1)
select exists(1)
select any(1)
select 1 = any
select 1 = any array[1]
select case end
select case when 1 end
select case when true then 1
select cast(1 int)
select cast(1 as)
select 1::
select 1::1
select f(
select f(1,)
select f(1 2)
select f(distinct)
select f(*, 1)
select f(variadic array[1], 2)
select int(5)
select 'a' 'b'
select 'abc
select "abc
select ""
select $$abc
select /* abc
select 1a
select 1.5.2
select 1e
select 1e+
select 0x1F
select 1_000
select $1a
select E'\u00zz'
select E'\ud800'
select U&'\zzzz'
select U&'a' uescape 'x1'
select U&'a' uescape 'a'
select U&"" 
select `a`
select a ` from t
select [1]
select {1}
select 1 = = 2
select a.
select .a
select a..b
select *.a from t
select * a from t
select (1
select 1)
select ()
select (1,)
select (select 1
select (select 1,)
select not
select and
select or 1
select 1 or or 2
select 1 is 2
select interval(3)
select interval '1' month to year
select interval '1' day to month
select extract(year, now())
select extract(from now())
select position('a', 'b')
select position('a' from 'b')
select substring('a' from)
select trim(distinct 'a')
select substring(*)
select overlay('a' placing 'b')
select coalesce()
select nullif(1)
select nullif(1, 2, 3)
select greatest()
select current_date()
select current_user()
select user.a
select row(
select sum(1) over
select sum(1) over (partition 1)
select sum(1) over (order 1)
select sum(1) over (rows)
select sum(1) over (rows between 1 preceding)
select sum(1) over (rows 1)
select sum(1) over (rows unbounded following)
select sum(1) over (rows 1 following)
select sum(1) over (rows between current row and 1 preceding)
select sum(1) over (rows between 1 following and current row)
select sum(1) over (rows between 1 preceding and unbounded preceding)
select sum(1) over (exclude ties)
select sum(1) filter (1)
select percentile_cont(1) within group (1)
select sum(distinct 1) within group (order by 1)
select 1 limit
select 1 limit 1, 2
select 1 limit 1 limit 2
select 1 offset 1 offset 2
select 1 order by 1 order by 2
select 1 where true where false
select 1 group by 1 group by 2
select 1 having true where true
select 1 order by 1 where true
select 1 limit 1 where true
select 1 from t limit 1 order by 1
(select 1 order by 1) order by 1
(select 1 limit 1) limit 1
select 1 fetch first 1 rows
select 1 fetch first 1 rows with ties
select 1 fetch 1 rows only
select 1 for
select 1 for delete
select 1 for update of
select 1 union
select 1 union union select 2
union select 1
select 1 union values
select 1 intersect all distinct select 2
values
values 1
values ()
values (1),
values (1,)
table
table 1
with
with a select 1
with a as select 1
with a as (select 1)
with a as (select 1), select 1
with a as () select 1
with a (1) as (select 1) select 1
with a as (create table t (a int)) select 1
with x as (select 1) (with y as (select 2) select 1)
group by 1
insert t values (1)
insert into values (1)
insert into t
insert into t ()
insert into t () values (1)
insert into t (a,) values (1)
insert into t (a) value (1)
insert into t values
insert into t values (1) (2)
insert into t values 1
insert into t set a = 1
insert into t default
insert into t (a) default values
insert into t x values (1)
insert into t values (1) on conflict
insert into t values (1) on conflict do
insert into t values (1) on conflict do update
insert into t values (1) on conflict (a) do update a = 1
insert into t values (1) on duplicate key update a = 1
insert into t values (1) returning
insert ignore into t values (1)
replace into t values (1)
update t
update t set
update t set a
update t set a = 
update t set a == 
update t set a = 1,
update t set a = 1 b = 2
update t set (a, b) = 
update t set () = (1)
update t, u set a = 1
update t set a = 1 order by a
update t set a = 1 limit 1
update t join u on true set a = 1
update set a = 1
update t where a = 1
update t set a = 1 where
delete t
delete from
delete * from t
delete from t limit 1
delete from t order by a
delete from t, u
delete from t join u on true
delete t from t
delete from t where
truncate
truncate t u
truncate t restart
create
create t
create table
create table t
create table t a int
create table t (a)
create table t (a, b int)
create table t (a int,)
create table t (a int b int)
create table t (a int null null2)
create table t (a int not)
create table t (a int default)
create table t (a int primary)
create table t (a int primary key key)
create table t (a int references)
create table t (a int check a > 0)
create table t (a int check ())
create table t (a int unsigned)
create table t (a int auto_increment)
create table t (a int) engine = innodb
create table t (a int comment 'x')
create table t (primary key)
create table t (foreign key (a) u)
create table t (constraint)
create table t (constraint c)
create table t (select int)
create table t (a int generated)
create table t (a int generated always as (1))
create table t (a int generated always as (1) virtual)
create table t (a int generated by default as (1) stored)
create table t (a int null not null)
create table t (a int default 1 default 2)
create table select (a int)
create table t.a.b.c (a int)
create table t (a int) with
create table t (a int) with ()
create table t (a int) with (a = )
create or replace table t (a int)
create table t select 1
create table t as
create table t as select 1 with nothing
create temp index i on t (a)
create index
create index i t (a)
create index i on t
create index i on t ()
create index i on t (a,)
create index i on t (a + 1)
create index if not exists on t (a)
create unique table t (a int)
create fulltext index i on t (a)
create schema
create schema if not exists
create sequence
create sequence s foo
create sequence s start start
create sequence s no
create sequence s increment by
create sequence s cycle cycle
create sequence s start 1 start 2
create view v
create view v as
create view v as insert into t values (1)
create or view v as select 1
create type
create type t as
create type t as enum
create type t as enum ('a',)
create type t as enum (a)
create database
create database d foo bar baz
create role
create role r foo
create role r password
create role r superuser nosuperuser
create user
alter
alter t
alter table
alter table t
alter table t add
alter table t add column
alter table t add column a
alter table t drop
alter table t drop column
alter table t rename
alter table t rename a b
alter table t rename to
alter table t rename a to b, rename b to c
alter table t alter
alter table t alter a
alter table t alter a set
alter table t alter a drop
alter table t alter a type
alter table t modify a int
alter table t change a b int
alter table t add constraint
alter table t add constraint c
alter table t owner x
alter sequence s
drop
drop t
drop table
drop table t u
drop table t,
drop table if t
drop table if not exists t
drop table t cascade restrict
drop index
drop index i on t
drop schema a.b
drop database
drop database if d
comment
comment on
comment on t is 'x'
comment on table t
comment on table t is
comment on table t is x
begin 1
begin isolation
begin isolation level
begin isolation level read
begin read
begin read only,
start
start work
commit 1
commit and
commit no chain
rollback to
savepoint
release
set
set x
set x =
set x 1
set x to
set x = 1,
set x = default, 1
set @x = 1
set time zone
set time
set time zone interval '1' day
set transaction
set transaction isolation
set session characteristics
set session characteristics as transaction
set names utf8
set names 1
set schema a
set role
set session authorization
set global x = 1
set x := 1
show
show x y
show tables from x
reset
reset x y
discard
discard x
use x
describe t
prepare
prepare p
prepare p as
prepare p as create table t (a int)
prepare p () as select 1
prepare p as begin
prepare p from 'select 1'
execute
execute p ()
execute p 1
deallocate
deallocate a b
explain
explain 1
explain analyze
explain create table t (a int)
explain (analyze select 1
explain (foo) select 1
explain (format foo) select 1
explain begin
copy
copy t
copy t from
copy t stdin
copy t from stdin with (
copy t from stdin with ()
copy t from stdin foo
copy t () from stdin
copy (select 1) from stdin
copy (select 1)
copy select 1 to stdout
copy t from stdin csv delimiter
copy t to stdout where a > 1
listen
notify
unlisten
declare
fetch
close
grant
lock
merge
call
do
explain explain select 1
desc t
show databases like 'x'
select 1 where true and
select 1 where 1 is 2
select 1 where 1 is not 2
import foreign schema a.b from server b into c
import foreign schema a from server b
import foreign schema a limit to () from server b into c
import foreign schema a only (x) from server b into c
import foreign schema a from b into c
import foreign schema a from server b into c options (o)
import foreign schema a from server b into c options ()
import schema a from server b into c
with recursive a as (select 1) cycle x set c to 1 + 1 default 2 using p select * from a
with recursive a as (select 1) search first by x set y select * from a
with recursive a as (select 1) cycle x set c to 1 using p select * from a
