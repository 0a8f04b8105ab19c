//! Plans as text: what each statement becomes over four shards.

use std::sync::Arc;

use dataman_metadata::change::{Change, Object};
use dataman_metadata::id::ShardId;
use dataman_metadata::sample;
use dataman_metadata::schema::{
    Collection, Constraint, ConstraintKind, Field, FieldDefault, Keyspace, KeyspaceMethod,
    Placement,
};
use dataman_metadata::snapshot::{OidAllocator, Snapshot};
use dataman_node_protocol::capability::{Capability, Feature};
use dataman_pg::types::TypeRef;
use dataman_pg::{Context, Expr, PgError, TypeId};

use super::{ExplainFormat, Plan, PlanContext, plan};
use crate::scatter::contract::{Capabilities, ShardRef};

/// Shards that carry out everything, and take text or not.
pub(super) struct Everything {
    pub(super) takes_sql: bool,
}

impl Capability for Everything {
    fn engine(&self) -> &'static str {
        "everything"
    }

    fn takes_sql(&self) -> bool {
        self.takes_sql
    }

    fn is_exact(&self, _expr: &Expr) -> bool {
        true
    }

    fn sorts_exactly(&self, _ty: TypeId) -> bool {
        true
    }

    fn supports(&self, _feature: Feature) -> bool {
        true
    }

    fn stores(&self, _ty: TypeRef) -> Result<(), String> {
        Ok(())
    }
}

impl Capabilities for Everything {
    fn of(&self, _shard: &ShardRef) -> Option<&dyn Capability> {
        Some(self)
    }
}

fn table(
    oids: &mut OidAllocator,
    columns: &[(&str, TypeId)],
    key: &[&str],
    placement: Placement,
) -> Collection {
    let mut collection = sample::sharded_table(oids, "t");
    collection.fields = columns
        .iter()
        .zip(1..)
        .map(|((name, ty), number)| Field {
            name: (*name).to_owned(),
            number,
            type_oid: ty.0,
            typmod: -1,
            not_null: key.contains(name),
            default: FieldDefault::None,
            comment: None,
        })
        .collect();
    collection.constraints = vec![Constraint {
        name: format!("pkey{}", collection.id),
        oid: oids.object(),
        kind: ConstraintKind::PrimaryKey {
            fields: key.iter().map(|name| (*name).to_owned()).collect(),
        },
    }];
    collection.next_field_number = 100;
    collection.placement = placement;
    collection
}

fn snapshot() -> Arc<Snapshot> {
    let base = Snapshot::empty().apply(&sample::cluster(4)).expect("the sample is sound");
    let mut oids = base.oids();
    let by = |field: &str| {
        Placement::Sharded(Keyspace {
            fields: vec![field.to_owned()],
            method: KeyspaceMethod::Hash(dataman_metadata::schema::HashMethod::Xxh3),
        })
    };
    let text = TypeId::TEXT;
    let (int4, int8, numeric) = (TypeId::INT4, TypeId::INT8, TypeId::NUMERIC);
    let orders = table(
        &mut oids,
        &[("tenant", int8), ("id", int8), ("total", numeric), ("note", text)],
        &["tenant", "id"],
        by("tenant"),
    );
    let items = table(
        &mut oids,
        &[("tenant", int8), ("order_id", int8), ("line", int4), ("qty", int4)],
        &["tenant", "order_id", "line"],
        by("tenant"),
    );
    let other = table(&mut oids, &[("code", text), ("v", int4)], &["code"], by("code"));
    let country =
        table(&mut oids, &[("code", text), ("name", text)], &["code"], Placement::Reference);
    let single = table(
        &mut oids,
        &[("id", int4), ("v", text)],
        &["id"],
        Placement::Single { shard: ShardId(0) },
    );
    let lists = table(&mut oids, &[("id", int4), ("a", TypeId::INT4_ARRAY)], &["id"], by("id"));
    let create = |name: &str, collection: Collection| Change::Create {
        at: sample::named(name),
        object: Object::Collection(collection),
    };
    let changes = [
        create("orders", orders),
        create("items", items),
        create("other", other),
        create("country", country),
        create("single", single),
        create("lists", lists),
    ];
    Arc::new(base.apply(&changes).expect("the tables are sound"))
}

pub(super) fn planned(sql: &str, takes_sql: bool) -> Result<Arc<Plan>, PgError> {
    planned_by(sql, &Everything { takes_sql })
}

pub(super) fn planned_by(sql: &str, capabilities: &dyn Capabilities) -> Result<Arc<Plan>, PgError> {
    let parsed = crate::parse::parse(sql)?;
    let snapshot = snapshot();
    let context = PlanContext {
        snapshot: &snapshot,
        database: sample::DATABASE,
        user: "shop",
        search_path: &["public".to_owned()],
        context: &Context::default(),
        capabilities,
        shows: false,
    };
    plan(&parsed[0], &[], &context)
}

/// The names of the operators, outermost first, indented.
pub(super) fn shape_of(planned: Result<Arc<Plan>, PgError>) -> String {
    match planned {
        Err(error) => format!("{}: {}", error.sqlstate(), error.message()),
        Ok(plan) => plan
            .explain(ExplainFormat::Text)
            .into_iter()
            .filter(|line| {
                !line.trim_start().contains(": ")
                    || line.contains("Shards: ")
                    || line.contains("->")
            })
            .map(|line| line.trim_start().trim_start_matches("->  ").to_owned())
            .collect::<Vec<_>>()
            .join(" | "),
    }
}

fn check(sql: &str, expected: &str) {
    assert_eq!(shape_of(planned(sql, false)), expected, "{sql}");
}

#[test]
fn one_shard() {
    check("select * from single", "Route | Shards: 0");
    check("select code from country", "Route | Shards: any one");
    check("select s.v, c.name from single s join country c on c.code = s.v", "Route | Shards: 0");
    check(
        "select * from orders where tenant = 7",
        "Route | Shards: the one that holds all keys | Otherwise: Scatter | Shards: tenant = 7",
    );
    check(
        "select * from orders where tenant in (1, 2, 3)",
        "Route | Shards: the one that holds all keys | Otherwise: Scatter | Shards: tenant = any of ARRAY[1, 2, 3]",
    );
    check(
        "select * from orders where tenant = $1 or tenant = $2",
        "Route | Shards: the one that holds all keys | Otherwise: Scatter | Shards: tenant = $1 or $2",
    );
}

#[test]
fn shard_by_shard() {
    check("select * from orders", "Scatter | Shards: all 4");
    check("select * from orders where tenant = 1 or note = 'x'", "Scatter | Shards: all 4");
    check(
        "select id from orders order by total desc limit 10 offset $1",
        "Limit | Merge Sorted | Shards: all 4",
    );
    check("select distinct note from orders", "Distinct | Scatter | Shards: all 4");
    check("select distinct tenant, note from orders", "Scatter | Shards: all 4");
    check(
        "select count(*), sum(total) from orders",
        "Combine Aggregates | Scatter | Shards: all 4",
    );
    check(
        "select note, count(*) + 1 from orders group by note having count(*) > 2 order by 2 desc limit 3",
        "Limit | Sort | Project | Filter | Combine Aggregates | Scatter | Shards: all 4",
    );
    check("select count(distinct note) from orders", "Aggregate | Scatter | Shards: all 4");
    check(
        "select tenant, count(*) from orders group by tenant order by tenant",
        "Merge Sorted | Shards: all 4",
    );
    check(
        "select o.id, i.line from orders o join items i on o.tenant = i.tenant and o.id = i.order_id",
        "Scatter | Shards: all 4",
    );
    check(
        "select o.id, c.name from orders o left join country c on c.code = o.note",
        "Scatter | Shards: all 4",
    );
    check(
        "select * from orders o where exists (select 1 from items i where i.tenant = o.tenant)",
        "Scatter | Shards: all 4",
    );
    check(
        "with x as (select tenant, sum(total) s from orders group by tenant) select * from x where s > 5 order by s",
        "Merge Sorted | Shards: all 4",
    );
    check(
        "select row_number() over (partition by tenant order by id) from orders",
        "Scatter | Shards: all 4",
    );
}

#[test]
fn above_the_shards() {
    check("select 1 + 1", "Project | Rows");
    check(
        "select row_number() over (order by id) from orders",
        "Project | Window | Sort | Scatter | Shards: all 4",
    );
    check(
        "select sum(total) over (partition by note order by id), count(*) over (partition by note) from orders",
        "Project | Window | Window | Sort | Scatter | Shards: all 4",
    );
    check(
        "select note, id, sum(total), grouping(note) from orders group by rollup(note, id)",
        "Combine Aggregates | Scatter | Shards: all 4",
    );
    check(
        "select tenant, array_agg(id order by id) from orders group by cube(tenant)",
        "Aggregate | Scatter | Shards: all 4",
    );
    check(
        "select note, rank() over (order by count(*) desc) from orders group by note",
        "Project | Window | Sort | Combine Aggregates | Scatter | Shards: all 4",
    );
    check(
        "select c.name, o.id from country c left join orders o on c.code = o.note",
        "Project | Hash Join (Left) | Route | Shards: any one | Scatter | Shards: all 4",
    );
    check(
        "select o.id, x.v from orders o join other x on x.code = o.note",
        "Project | Hash Join (Inner) | Scatter | Shards: all 4 | Scatter | Shards: all 4",
    );
    check(
        "select * from orders where total > (select avg(total) from orders)",
        "Scatter | Shards: all 4 | Combine Aggregates | Scatter | Shards: all 4",
    );
}

#[test]
fn writes() {
    check("update orders set note = 'x' where tenant = 1", "Update | Shards: tenant = 1");
    check("update orders set note = 'x'", "Update | Shards: all 4");
    check("update country set name = 'x'", "Update | Shards: all 4");
    check(
        "delete from orders using country where country.code = orders.note",
        "Delete | Shards: all 4",
    );
    check("insert into orders values (1, 2, 3, 'x'), (2, 3, 4, 'y')", "Insert | Shards: by tenant");
}

#[test]
fn refusals() {
    check(
        "update orders set tenant = 2",
        "0A000: changing the shard key column \"tenant\" is not supported",
    );
    check("select x from orders", "42703: column \"x\" does not exist");
    check(
        "select id, count(*) from orders",
        "42803: column \"orders.id\" must appear in the GROUP BY clause or be used in an aggregate function",
    );
    check("select tenant from orders, items", "42702: column reference \"tenant\" is ambiguous");
}

#[test]
fn text_goes_down_as_it_is() {
    let plan = planned("select o.note from orders o, country where o.tenant = 1", true)
        .expect("it is planned");
    let text = plan.explain(ExplainFormat::Text).join("\n");
    assert!(
        text.contains(r#"select o.note from \"dbshard_shop_0\".\"orders\" o, \"dbshard_shop_0\".\"country\" AS \"country\" where o.tenant = 1"#),
        "{text}"
    );
}

/// The text with its literals as parameters, if it then means the same.
fn lifted(sql: &str) -> Option<String> {
    use crate::parse::literal::{Kind, lift, with_parameters};
    let (mut key, mut literals) = (Vec::new(), Vec::new());
    if !lift(sql, &mut key, &mut literals) {
        return None;
    }
    let text = with_parameters(&key)?;
    let declared: Vec<TypeId> = literals
        .iter()
        .map(|literal| match literal.kind {
            Kind::Int4 => TypeId::INT4,
            Kind::Int8 => TypeId::INT8,
            Kind::Numeric => TypeId::NUMERIC,
            Kind::String => TypeId(0),
        })
        .collect();
    let values: Vec<String> = literals
        .iter()
        .map(|literal| {
            let mut value = Vec::new();
            literal.put_value(sql, &mut value);
            String::from_utf8(value).expect("the text is UTF-8")
        })
        .collect();
    let parse = |text: &str| crate::parse::parse(text).ok()?.pop();
    let snapshot = snapshot();
    let context = PlanContext {
        snapshot: &snapshot,
        database: sample::DATABASE,
        user: "shop",
        search_path: &["public".to_owned()],
        context: &Context::default(),
        capabilities: &Everything { takes_sql: true },
        shows: false,
    };
    let (original, other) = (parse(sql)?, parse(&text)?);
    super::lift::is_same(&original, &other, &declared, &values, &context).then_some(text)
}

#[test]
fn literals_become_parameters_where_that_changes_nothing() {
    let check = |sql: &str, expected: Option<&str>| {
        assert_eq!(lifted(sql).as_deref(), expected, "{sql}");
    };
    check(
        "select id, total + 1.5 from orders where tenant = 7 and note <> 'x' and id > -3",
        Some("select id, total + $1 from orders where tenant = $2 and note <> $3 and id > $4"),
    );
    check(
        "update orders set total = total - 5, note = 'y' where tenant = 99999999999",
        Some("update orders set total = total - $1, note = $2 where tenant = $3"),
    );
    check(
        "delete from orders where tenant = 7 and id in (1, 2) returning note, 5",
        Some("delete from orders where tenant = $1 and id in ($2, $3) returning note, $4"),
    );
    check(
        "select 'a' || note from orders where tenant = 7",
        Some("select 'a' || note from orders where tenant = $1"),
    );
    check(
        "select note || 'a' from orders where tenant = 7",
        Some("select note || $1 from orders where tenant = $2"),
    );
    // A string that is read as a number may be wrong, and the message says where.
    check("select id from orders where tenant = '7'", None);
    // A number that names a column is none.
    check("select id, total from orders where tenant = 7 order by 1, 2", None);
    // A length is none either.
    check("select note::varchar(3) from orders where tenant = 7", None);
    check("select id from orders where tenant = 7 group by id, 1", None);
}

/// Whether the statement passes; of an INSERT, where each field of its row has its value from.
fn check_pass(sql: &str, expected: &str) {
    use super::pass::RowField;
    let plan = planned(sql, true).expect("the statement is right");
    let found = match &plan.pass {
        None => "no".to_owned(),
        Some(pass) => match &pass.row {
            None => "yes".to_owned(),
            Some(row) => row
                .iter()
                .map(|field| match field {
                    RowField::Param(place) => format!("${}", place + 1),
                    RowField::Always(_) => "always".to_owned(),
                    RowField::Computed(..) => "computed".to_owned(),
                })
                .collect::<Vec<_>>()
                .join(", "),
        },
    };
    assert_eq!(found, expected, "{sql}");
}

#[test]
fn what_passes() {
    check_pass("select * from orders where tenant = $1", "yes");
    check_pass("select * from orders where tenant > $1", "no");
    check_pass("update orders set total = total + $1 where tenant = $2", "yes");
    check_pass("delete from orders where tenant = $1", "yes");
    check_pass("update country set name = $1", "no");
    check_pass("insert into orders (tenant, id) values ($1, $2)", "$1, $2");
    check_pass(
        "insert into orders values ($1, 7, $2 * 2, 'x') on conflict do nothing",
        "$1, always, computed, always",
    );
    check_pass("insert into orders values ($1, $2, 1, now()::text)", "$1, $2, always, computed");
    check_pass("insert into single values ($1, $2) returning id", "$1, $2");
    check_pass("insert into single values (1, $1) returning id + $2::int", "no");
    check_pass("insert into orders (tenant, id) values ($1, $2), ($3, $4)", "no");
    check_pass("insert into orders (tenant, id) values ($1 + 1, $2)", "no");
    check_pass("insert into country values ($1, $2)", "no");
    check_pass("insert into single select 1, 'x'", "no");
    check_pass("insert into single values ((select 1), 'x')", "no");
}
