-- Transactions, settings, prepared statements, EXPLAIN and COPY. One statement a line.
begin
begin work
begin transaction isolation level serializable, read only, not deferrable
begin isolation level repeatable read read write deferrable
start transaction
start transaction isolation level read committed
commit
commit work
commit and chain
commit transaction and no chain
end
end and chain
rollback
rollback work and chain
abort
abort transaction and no chain
savepoint a
release a
release savepoint a
rollback to a
rollback work to savepoint a
rollback transaction to a
savepoint savepoint
release savepoint savepoint
set transaction isolation level serializable
set transaction read only, isolation level read uncommitted
set session characteristics as transaction isolation level repeatable read read only
set local transaction read only
set x = 1
set x to 'a', b, 3
set session search_path to a, "B", 'c'
set local statement_timeout = '5s'
set statement_timeout = 0
set a.b.c = on
set x to default
set x = true
set x = off
set x = -1.5
set time zone 'utc'
set time zone utc
set time zone -8
set time zone default
set time zone local
set time zone interval '-08:00' hour to minute
set timezone to 'utc'
set names 'utf8'
set names default
set names
set schema 'a'
set role a
set role 'a'
set role none
set session role a
set local role a
set session authorization a
set session authorization default
set session session authorization 'a'
set xml option content
set "Quoted Name" = 1
set session = 1
set local = 1
set time = 1
set names = 1
set transaction = 1
set role to x
show x
show a.b
show all
show time zone
show transaction isolation level
show session authorization
show "DateStyle"
reset x
reset all
reset time zone
reset transaction isolation level
reset session authorization
discard all
discard plans
discard sequences
discard temp
discard temporary
prepare p as select 1
prepare p (int, text, numeric(10, 2)[]) as select $1, $2
prepare p as insert into t values ($1)
prepare p as update t set a = $1
prepare p as delete from t
prepare p as with a as (select 1) select * from a
prepare p as values (1)
execute p
execute p (1, 'a', 1 + 2)
deallocate p
deallocate prepare p
deallocate all
deallocate prepare all
deallocate prepare
explain select 1
explain analyze select 1
explain analyse verbose select 1
explain verbose insert into t values (1)
explain (analyze) select 1
explain (analyze, verbose off, costs false, format json) update t set a = 1
explain (format text, summary on, settings true, buffers 0) delete from t
explain (select 1)
explain ((select 1) union select 2)
explain execute p (1)
explain create table t as select 1
explain with a as (select 1) select * from a
explain values (1)
explain table t
vacuum
vacuum t
vacuum full freeze analyze s.t, u
vacuum (analyze, full false) t (a, b)
analyze
analyze t (a), u
analyse verbose t
analyze (skip_locked) t
copy t from stdin
copy t from stdin where a > 1
copy (insert into t values (1) returning a) to stdout
copy t to stdout
copy s.t (a, b) from stdin with (format csv, header, delimiter ',', null 'x')
copy t to stdout (format binary)
copy t from stdin with csv header delimiter as ';' null as '' quote '"' escape '\' force not null a, b force null c
copy t to stdout with csv force quote *
copy t to stdout csv force quote a, b encoding 'utf8'
copy t from stdin delimiter ',' null ''
copy t from stdin with (force_not_null (a, b), force_quote *, freeze true, header match, encoding 'utf8')
copy t from stdin using delimiters ','
copy binary t from stdin
copy t from stdin with binary
copy t from stdin binary
copy (select 1) to stdout
copy (select 1 union select 2) to stdout with (format csv)
copy (table t) to stdout
copy (values (1)) to stdout
copy (with a as (select 1) select * from a) to stdout
copy t from '/tmp/file'
copy t to program 'cat'
copy t from stdout
copy t to stdin
rollback to savepoint
release savepoint
unlisten *
unlisten x
close all
declare c cursor for select 1
fetch c
fetch next from c
move 1 in c
close c
