//! The page `SQL-SUPPORT.md`, made from what the code does: the library's registry over the generated catalog, and the
//! planner's answer to an example of each clause.

use std::collections::BTreeMap;
use std::fmt::Write;

use dataman_pg::catalog::{self, Function};
use dataman_pg::{Context, TypeId, aggregate, registry};

use super::safety;
use super::tests::planned;

/// The command that writes the page anew.
const COMMAND: &str = "DATAMAN_WRITE_PAGES=1 cargo test -p dataman-proxy sql_support";

/// How far something is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Status {
    Computed,
    Routed,
    Refused,
}

impl Status {
    fn word(self) -> &'static str {
        match self {
            Self::Computed => "computed",
            Self::Routed => "routed",
            Self::Refused => "refused",
        }
    }
}

/// Clauses with an example over tables of four shards, and the same over a table of one.
const CLAUSES: &[(&str, &str, &str)] = &[
    ("WHERE", "select v from other where v > 1", "select v from single where id > 1"),
    (
        "ORDER BY",
        "select v from other order by v desc nulls last",
        "select v from single order by v",
    ),
    (
        "ORDER BY … USING < or >",
        "select v from other order by v using >",
        "select v from single order by v using >",
    ),
    (
        "LIMIT, OFFSET",
        "select v from other order by v limit 2 offset 1",
        "select v from single limit 1",
    ),
    (
        "FETCH FIRST … WITH TIES",
        "select v from other order by v fetch first 2 rows with ties",
        "select v from single order by v fetch first 2 rows with ties",
    ),
    ("DISTINCT", "select distinct v from other", "select distinct v from single"),
    (
        "DISTINCT ON",
        "select distinct on (v) v, code from other order by v, code",
        "select distinct on (v) v from single",
    ),
    (
        "GROUP BY, HAVING",
        "select v, count(*) from other group by v having count(*) > 1",
        "select v from single group by v",
    ),
    (
        "GROUPING SETS, ROLLUP, CUBE",
        "select v, count(*) from other group by rollup (v)",
        "select v from single group by rollup (v)",
    ),
    (
        "GROUP BY DISTINCT",
        "select v, count(*) from other group by distinct rollup (v)",
        "select v from single group by distinct rollup (v)",
    ),
    (
        "aggregate FILTER",
        "select count(*) filter (where v > 1) from other",
        "select count(*) filter (where id > 1) from single",
    ),
    (
        "aggregate DISTINCT",
        "select count(distinct v) from other",
        "select count(distinct v) from single",
    ),
    (
        "aggregate ORDER BY",
        "select string_agg(code, ',' order by v) from other",
        "select string_agg(v, ',' order by id) from single",
    ),
    (
        "WITHIN GROUP, ordered-set",
        "select percentile_cont(0.5) within group (order by v) from other",
        "select mode() within group (order by v) from single",
    ),
    (
        "WITHIN GROUP, hypothetical-set",
        "select rank(3) within group (order by v) from other",
        "select rank(3) within group (order by id) from single",
    ),
    (
        "OVER (window functions)",
        "select row_number() over (order by v) from other",
        "select row_number() over (order by v) from single",
    ),
    (
        "OVER with a frame",
        "select sum(v) over (order by v rows between 1 preceding and current row) from other",
        "select sum(id) over (order by id rows between 1 preceding and current row) from single",
    ),
    (
        "frame EXCLUDE",
        "select sum(v) over (order by v rows between 1 preceding and current row exclude ties) from other",
        "select sum(id) over (order by id rows between 1 preceding and current row exclude ties) from single",
    ),
    (
        "inner JOIN",
        "select o.v from other o join items i on i.line = o.v",
        "select a.v from single a join single b on a.id = b.id",
    ),
    (
        "LEFT, RIGHT, FULL JOIN",
        "select o.v from other o full join items i on i.line = o.v",
        "select a.v from single a full join single b on a.id = b.id",
    ),
    (
        "JOIN … USING, NATURAL JOIN",
        "select * from orders natural join items",
        "select * from single a natural join single b",
    ),
    (
        "JOIN … USING … AS",
        "select x.tenant from orders join items using (tenant) as x",
        "select x.id from single a join single b using (id) as x",
    ),
    (
        "LATERAL",
        "select * from other o, lateral (select qty from items i where i.line = o.v) x",
        "select * from single a, lateral (select b.v from single b where b.id = a.id) x",
    ),
    (
        "scalar subquery",
        "select (select max(qty) from items) from other",
        "select (select max(id) from single) from single",
    ),
    (
        "EXISTS, IN, ANY, ALL over a subquery",
        "select v from other where v in (select line from items)",
        "select v from single where id in (select id from single)",
    ),
    (
        "correlated subquery",
        "select v from other o where exists (select 1 from items i where i.line = o.v)",
        "select v from single a where exists (select 1 from single b where b.id = a.id)",
    ),
    (
        "UNION, INTERSECT, EXCEPT [ALL]",
        "select v from other union all select line from items",
        "select v from single except select v from single",
    ),
    (
        "WITH",
        "with x as (select v from other) select * from x",
        "with x as (select v from single) select * from x",
    ),
    (
        "WITH RECURSIVE",
        "with recursive x(n) as (select v from other union all select n + 1 from x where n < 5) select * from x",
        "with recursive x(n) as (select id from single union all select n + 1 from x where n < 5) select * from x",
    ),
    (
        "WITH … SEARCH, CYCLE",
        "with recursive x(n) as (select v from other union all select n + 1 from x where n < 5) search depth first by n set y select * from x",
        "with recursive x(n) as (select id from single union all select n + 1 from x where n < 5) search depth first by n set y select * from x",
    ),
    (
        "INSERT, UPDATE or DELETE in WITH",
        "with x as (delete from other returning v) select * from x",
        "with x as (delete from single returning v) select * from x",
    ),
    ("VALUES", "values (1, 'a'), (2, 'b')", "values (1)"),
    ("TABLE name", "table other", "table single"),
    (
        "set-returning function in FROM",
        "select * from generate_series(1, 3) g",
        "select * from generate_series(1, 3) g, single",
    ),
    (
        "set-returning function in the SELECT list",
        "select v, generate_series(1, 2) from other",
        "select id, generate_series(1, 2) from single",
    ),
    (
        "WITH ORDINALITY",
        "select * from unnest(array[1, 2]) with ordinality",
        "select * from unnest(array[1, 2]) with ordinality",
    ),
    (
        "ROWS FROM with several functions",
        "select * from rows from (generate_series(1, 2), generate_series(1, 3)) x",
        "select * from rows from (generate_series(1, 2), generate_series(1, 3)) x, single",
    ),
    (
        "a column definition list",
        "select * from json_to_record('{}') as x(a int)",
        "select * from json_to_record('{}') as x(a int), single",
    ),
    (
        "TABLESAMPLE",
        "select * from other tablesample system (10)",
        "select * from single tablesample system (10)",
    ),
    ("a row as a value", "select o from other o", "select s from single s"),
    ("a row's fields: (row).*", "select (o).* from other o", "select (s).* from single s"),
    (
        "an aggregate of a query around",
        "select (select max(o.v)) from other o",
        "select (select max(s.v)) from single s",
    ),
    (
        "row comparison",
        "select v from other where (v, code) > (1, 'a')",
        "select v from single where (id, v) > (1, 'a')",
    ),
    (
        "FOR UPDATE, FOR NO KEY UPDATE, …",
        "select v from orders, (select 1 as v) x where tenant = 1 for no key update of orders",
        "select v from single where id = 1 for update",
    ),
    ("SELECT … INTO", "select v into x from other", "select v into x from single"),
    (
        "INSERT … VALUES, RETURNING",
        "insert into other values ('a', 1) returning v",
        "insert into single values (1, 'a') returning v",
    ),
    (
        "INSERT … SELECT",
        "insert into other select note, 1 from orders",
        "insert into single select id + 1, v from single",
    ),
    (
        "INSERT … ON CONFLICT",
        "insert into other values ('a', 1) on conflict (code) do update set v = 2",
        "insert into single values (1, 'a') on conflict do nothing",
    ),
    ("UPDATE", "update other set v = v + 1 where v > 1", "update single set v = 'b'"),
    (
        "UPDATE … FROM",
        "update items set qty = 1 from orders o where o.tenant = items.tenant",
        "update single set v = x.v from (select 'a' as v) x",
    ),
    ("UPDATE of an array element", "update lists set a[1] = 1", "update lists set a[1] = 1"),
    ("DELETE", "delete from other where v > 1", "delete from single"),
    (
        "DELETE … USING",
        "delete from items using orders o where o.tenant = items.tenant",
        "delete from single using (select 1 as x) y where x = id",
    ),
    (
        "MERGE",
        "merge into other using items on line = v when matched then delete",
        "merge into single s using single t on s.id = t.id when matched then delete",
    ),
];

/// What the planner says to one statement: with 0A000 it is refused; an error of another kind is the example's mistake.
fn is_planned(sql: &str) -> bool {
    match planned(sql, true) {
        Ok(_) => true,
        Err(error) => {
            let code = error.sqlstate();
            assert!(matches!(code, "0A000" | "42804"), "{sql}: {code} {error}");
            false
        }
    }
}

fn clause_status(sharded: &str, single: &str) -> Status {
    match (is_planned(sharded), is_planned(single)) {
        (true, _) => Status::Computed,
        (false, true) => Status::Routed,
        (false, false) => Status::Refused,
    }
}

/// Types that nobody writes in a statement: functions with them are PostgreSQL's own.
fn is_internal(ty: TypeId) -> bool {
    catalog::type_by_id(ty).is_none_or(|entry| {
        let is_ours =
            matches!(ty, TypeId::ANY | TypeId::RECORD | TypeId::VOID) || ty.is_polymorphic();
        entry.kind == 'p' && !is_ours && ty != TypeId::RECORD_ARRAY
    })
}

fn is_shown(function: &Function) -> bool {
    !is_internal(function.result)
        && !function.args.iter().any(|ty| is_internal(*ty))
        && !function.name.starts_with("binary_upgrade_")
}

/// A type for each pseudo-type, so that polymorphic aggregates can be asked for.
fn stand_in(ty: TypeId) -> TypeId {
    match ty {
        TypeId::ANYARRAY => TypeId::INT4_ARRAY,
        TypeId::ANYRANGE => TypeId::INT4RANGE,
        TypeId::ANYMULTIRANGE => TypeId::INT4MULTIRANGE,
        TypeId::ANYENUM => TypeId(20_000),
        ty if ty.is_polymorphic() || ty == TypeId::ANY => TypeId::INT4,
        ty => ty,
    }
}

fn function_status(function: &Function) -> Status {
    let is_known = function.args.iter().all(|ty| dataman_pg::io::is_known(*ty))
        && (function.kind != 'f' || dataman_pg::io::is_known(function.result));
    let is_computed = match function.kind {
        'a' => {
            let types: Vec<TypeId> = function.args.iter().map(|ty| stand_in(*ty)).collect();
            aggregate::accumulator(function.id, &types, &Context::default()).is_some()
        }
        'w' => is_planned(&window_example(function)),
        _ if function.returns_set => dataman_pg::set::is_computed(function.id),
        _ => registry::find(function.source).is_some(),
    };
    let may_route = safety::check_function(function).is_ok();
    match (is_known && is_computed && (may_route || function.kind != 'f'), may_route) {
        (true, _) => Status::Computed,
        (false, true) => Status::Routed,
        (false, false) => Status::Refused,
    }
}

fn window_example(function: &Function) -> String {
    let args = ["v", "1", "v"];
    let args = match function.name {
        "ntile" => "2".to_owned(),
        _ => args[..function.args.len().min(3)].join(", "),
    };
    format!("select {}({args}) over (order by v) from other", function.name)
}

fn signature(function: &Function) -> String {
    let types: Vec<String> = function.args.iter().map(|ty| catalog::format_type(*ty, -1)).collect();
    format!("({})", types.join(", "))
}

/// Lines `name | status`: with the signatures where not all of a name are alike.
fn table(title: &str, entries: BTreeMap<String, Vec<(String, Status)>>, out: &mut String) {
    let total: usize = entries.values().map(Vec::len).sum();
    let computed = entries.values().flatten().filter(|(_, status)| *status == Status::Computed);
    let _ = write!(out, "\n## {title}\n\n{} of {total} computed.\n\n", computed.count());
    out.push_str("| name | |\n| --- | --- |\n");
    for (name, mut forms) in entries {
        forms.sort_by(|left, right| (left.1, &left.0).cmp(&(right.1, &right.0)));
        forms.dedup();
        let first = forms[0].1;
        let shown = if forms.iter().all(|(_, status)| *status == first) {
            first.word().to_owned()
        } else {
            let of = |wanted: Status| {
                let forms = forms.iter().filter(|(_, status)| *status == wanted);
                let list: Vec<&str> = forms.map(|(form, _)| form.as_str()).collect();
                (!list.is_empty()).then(|| format!("{}: {}", wanted.word(), list.join(" ")))
            };
            let parts: Vec<String> = [Status::Computed, Status::Routed, Status::Refused]
                .into_iter()
                .filter_map(of)
                .collect();
            parts.join("; ")
        };
        let name = name.replace('|', "\\|");
        let _ = writeln!(out, "| `{name}` | {} |", shown.replace('|', "\\|"));
    }
}

fn page() -> String {
    let mut out = format!(
        "# What SQL dataman carries out\n\n\
         Made from the code; do not edit. `{COMMAND}` writes it anew, and a test fails when it is stale.\n\n\
         - **computed**: over any number of shards, and on any engine: pushed down where the engine is exact, else above it.\n\
         - **routed**: only in a statement that a single PostgreSQL shard answers as a whole.\n\
         - **refused**: `0A000`, with the reason and a hint.\n\n\
         ## Clauses\n\n| clause | | example |\n| --- | --- | --- |\n"
    );
    for (clause, sharded, single) in CLAUSES {
        let status = clause_status(sharded, single).word();
        let _ = writeln!(out, "| {clause} | {status} | `{}` |", sharded.replace('|', "\\|"));
    }
    out.push_str(
        "\n## Types\n\nValues of these types, and arrays of them, are sorted, grouped and computed with above the shards: ",
    );
    let known: Vec<String> = catalog::types()
        .iter()
        .filter(|entry| entry.element == TypeId::NONE || entry.category != 'A')
        .filter(|entry| entry.id != TypeId::UNKNOWN && dataman_pg::io::is_read(entry.id))
        .map(|entry| catalog::format_type(entry.id, -1))
        .collect();
    let _ = writeln!(out, "{}, and enums.\n", known.join(", "));
    out.push_str(
        "A datastore whose shards are all PostgreSQL takes columns of any other type too; their values travel undecoded.\n",
    );
    let mut operators: BTreeMap<String, Vec<(String, Status)>> = BTreeMap::new();
    for operator in catalog::operators() {
        let Some(function) = catalog::function(operator.function) else { continue };
        if !is_shown(function) {
            continue;
        }
        let form = match operator.left {
            TypeId::NONE => {
                format!("{} {}", operator.name, catalog::format_type(operator.right, -1))
            }
            left => format!(
                "{} {} {}",
                catalog::format_type(left, -1),
                operator.name,
                catalog::format_type(operator.right, -1)
            ),
        };
        let form = format!("`{form}`");
        operators
            .entry(operator.name.to_owned())
            .or_default()
            .push((form, function_status(function)));
    }
    table("Operators", operators, &mut out);
    for (title, kind, is_set) in [
        ("Aggregates", 'a', false),
        ("Window functions", 'w', false),
        ("Set-returning functions", 'f', true),
        ("Functions", 'f', false),
    ] {
        let mut entries: BTreeMap<String, Vec<(String, Status)>> = BTreeMap::new();
        let wanted = |function: &&Function| {
            function.kind == kind && function.returns_set == is_set && is_shown(function)
        };
        for function in catalog::functions().iter().filter(wanted) {
            let form = (signature(function), function_status(function));
            entries.entry(function.name.to_owned()).or_default().push(form);
        }
        table(title, entries, &mut out);
    }
    out
}

/// The page in the repository is what the code says now.
#[test]
fn sql_support_page_is_true() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/SQL-SUPPORT.md");
    let page = page();
    if std::env::var_os("DATAMAN_WRITE_PAGES").is_some() {
        std::fs::write(path, &page).expect("the page can be written");
    }
    let stored = std::fs::read_to_string(path).unwrap_or_default();
    let difference = stored.lines().zip(page.lines()).find(|(stored, line)| stored != line);
    assert_eq!(difference, None, "write it anew: {COMMAND}");
    assert_eq!(stored.lines().count(), page.lines().count(), "write it anew: {COMMAND}");
}
