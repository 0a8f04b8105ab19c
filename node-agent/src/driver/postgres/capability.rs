//! What a PostgreSQL datasource does with PostgreSQL's exact meaning: everything that is built in and answers the same on
//! every shard.
//!
//! Left out is what depends on where or when it runs: the clock, randomness, the session's user and database, catalogs and
//! sequences of the datasource. The proxy answers those itself.

use dataman_node_protocol::capability::{Capability, Feature, KeyLock};
use dataman_node_protocol::query::NodeQuery;
use dataman_pg::catalog;
use dataman_pg::expr::{CastMethod, Expr, FunctionId, SubqueryKind};
use dataman_pg::types::{TypeId, TypeRef};

use crate::driver::sql::{Dialect, lower};

/// The capability of every PostgreSQL datasource.
#[derive(Debug, Clone, Copy, Default)]
pub struct PostgresCapability;

/// The first OID of user-defined types: dataman's own, which the server knows under other numbers.
const FIRST_USER_TYPE: u32 = 16384;

/// Stable functions whose result depends on nothing but their arguments and the settings that travel with a statement
/// (`TimeZone`, `DateStyle`, `IntervalStyle`, `extra_float_digits`, `bytea_output`).
const STABLE_EXACT: &[&str] = &[
    "anytextcat",
    "array_to_json",
    "array_to_string",
    "concat",
    "concat_ws",
    "convert",
    "convert_from",
    "convert_to",
    "date",
    "date_part",
    "date_trunc",
    "extract",
    "format",
    "generate_series",
    "json_agg",
    "json_build_array",
    "json_build_object",
    "json_object_agg",
    "jsonb_agg",
    "jsonb_build_array",
    "jsonb_build_object",
    "jsonb_object_agg",
    "make_timestamptz",
    "overlaps",
    "quote_literal",
    "quote_nullable",
    "row_to_json",
    "textanycat",
    "time",
    "timestamp",
    "timestamptz",
    "timetz",
    "timezone",
    "to_char",
    "to_date",
    "to_json",
    "to_jsonb",
    "to_number",
    "to_timestamp",
];

/// Functions of no arguments, or immutable by the catalog, that still tell one server from another.
const SERVER_BOUND: &[&str] =
    &["version", "inet_client_addr", "inet_server_addr", "getdatabaseencoding", "acldefault"];

impl Capability for PostgresCapability {
    fn engine(&self) -> &'static str {
        "postgres"
    }

    fn takes_sql(&self) -> bool {
        true
    }

    fn statement_text(&self, query: &NodeQuery) -> Option<String> {
        lower(query, Dialect::Postgres, 0).ok()
    }

    fn key_lock(&self) -> Option<KeyLock> {
        Some(KeyLock::Number)
    }

    fn is_exact(&self, expr: &Expr) -> bool {
        match expr {
            // What a constant of a user's enum is follows from the field that it stands with.
            Expr::Const(constant) => is_read(constant.ty.id),
            Expr::Param { ty, .. } => is_read(*ty),
            // A field of a user's enum is of the same enum there, in the same order.
            Expr::Field(_) => true,
            Expr::Column { .. } => false,
            Expr::Call(call) => {
                is_known(call.ty.id)
                    && is_exact_function(call.function)
                    && (call.args.iter().all(|arg| is_known(arg.type_id()))
                        || is_enum_comparison(call))
            }
            Expr::Cast(cast) => {
                let from = cast.arg.type_id();
                // The labels of a user's enum are its text.
                let to_text = cast.ty.id == TypeId::TEXT && cast.method == CastMethod::InputOutput;
                let function = match cast.method {
                    CastMethod::Function(function) => is_exact_function(function),
                    _ => true,
                };
                function && is_known(cast.ty.id) && (is_known(from) || to_text)
            }
            Expr::ArrayOp { function, left, array, .. } => {
                is_exact_function(*function) && is_known(left.type_id()) && is_read(array.type_id())
            }
            Expr::Aggregate(aggregate) => {
                is_exact_function(aggregate.function) && is_known(aggregate.ty.id)
            }
            Expr::Window(window) => is_exact_function(window.function) && is_known(window.ty.id),
            Expr::Distinct { call, .. } | Expr::NullIf { call, .. } => is_exact_comparison(call),
            Expr::RowCompare { fields, .. } => fields.iter().all(|field| {
                is_exact_comparison(&field.equal)
                    && field.compare.as_ref().is_none_or(is_exact_comparison)
            }),
            Expr::Case { ty, .. } | Expr::Coalesce { ty, .. } | Expr::Extreme { ty, .. } => {
                is_known(ty.id)
            }
            Expr::Array { ty, .. } | Expr::Subscript { ty, .. } => is_known(*ty),
            Expr::Subquery { ty, kind, .. } => is_known(ty.id) && !compares_rows_as_values(kind),
            Expr::And(_)
            | Expr::Or(_)
            | Expr::Not(_)
            | Expr::Is { .. }
            | Expr::Row(_)
            | Expr::Grouping(_) => true,
        }
    }

    fn sorts_exactly(&self, _ty: TypeId) -> bool {
        true
    }

    fn supports(&self, feature: Feature) -> bool {
        match feature {
            Feature::Join
            | Feature::OuterJoin
            | Feature::Lateral
            | Feature::Group
            | Feature::HavingOfAll
            | Feature::GroupingSets
            | Feature::Distinct
            | Feature::DistinctOn
            | Feature::Sort
            | Feature::WithTies
            | Feature::Subquery
            | Feature::SetOperation
            | Feature::CommonTable
            | Feature::Recursive
            | Feature::Window
            | Feature::Values
            | Feature::TableFunction
            | Feature::Lock
            | Feature::WriteJoin
            | Feature::Returning
            | Feature::Conflict => true,
        }
    }

    fn stores(&self, ty: TypeRef) -> Result<(), String> {
        let Some(found) = catalog::type_by_id(ty.id) else { return Ok(()) };
        match found.kind {
            'p' => Err(format!("{} is no type of a column", found.name)),
            _ if is_server_bound_type(ty.id) => {
                Err(format!("{} names an object of one server", found.name))
            }
            _ => Ok(()),
        }
    }
}

/// Whether the server knows the type under the same number and its values mean the same on every server.
fn is_known(ty: TypeId) -> bool {
    ty.0 < FIRST_USER_TYPE && !is_server_bound_type(ty)
}

/// The rows of a subquery that runs first would be values of a type that no server reads.
fn compares_rows_as_values(kind: &SubqueryKind) -> bool {
    matches!(kind, SubqueryKind::Compare { left, .. } if left.iter().any(|left| left.type_id() == TypeId::RECORD))
}

/// Whether a server reads values of the type: of a row it does not know the columns.
fn is_read(ty: TypeId) -> bool {
    (is_known(ty) || is_user(ty)) && !matches!(ty, TypeId::RECORD | TypeId::RECORD_ARRAY)
}

fn is_user(ty: TypeId) -> bool {
    ty.0 >= FIRST_USER_TYPE
}

fn is_exact_comparison(call: &dataman_pg::expr::Call) -> bool {
    is_exact_function(call.function)
        && (call.args.iter().all(|arg| !is_user(arg.type_id())) || is_enum_comparison(call))
}

/// A comparison of a field of a user's enum with another value of it.
fn is_enum_comparison(call: &dataman_pg::expr::Call) -> bool {
    call.args.len() == 2
        && call.args.iter().all(|arg| is_user(arg.type_id()))
        && call.args.iter().any(|arg| matches!(arg, Expr::Field(_)))
}

/// The `reg…` types: numbers of objects in one server's catalogs.
fn is_server_bound_type(ty: TypeId) -> bool {
    catalog::type_by_id(ty)
        .is_some_and(|found| found.name.trim_start_matches('_').starts_with("reg"))
}

fn is_exact_function(id: FunctionId) -> bool {
    let Some(function) = catalog::function(id) else { return false };
    let name = function.name;
    if name.starts_with("pg_") || name.starts_with("has_") || SERVER_BOUND.contains(&name) {
        return false;
    }
    if dataman_pg::internal::is_internal(id) {
        return dataman_pg::internal::is_assignment(id);
    }
    match function.volatility {
        'i' => true,
        // The operators between dates and timestamps of a time zone are functions of their own.
        's' => {
            STABLE_EXACT.contains(&name)
                || name.starts_with("date_") && name.ends_with("_timestamptz")
                || name.starts_with("timestamp_") && name.ends_with("_timestamptz")
                || name.starts_with("timestamptz_")
                || name == "interval_pl_timestamptz"
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataman_pg::expr::Call;

    fn check(name: &str, args: &[TypeId], expected: bool) {
        let function = catalog::functions_named(name)
            .iter()
            .find(|function| function.args == args)
            .unwrap_or_else(|| panic!("{name} exists"));
        let expr = Expr::Call(Call {
            function: function.id,
            operator: None,
            args: args.iter().map(|ty| Expr::null(*ty)).collect(),
            variadic: false,
            ty: function.result.into(),
        });
        assert_eq!(PostgresCapability.is_exact(&expr), expected, "{name}");
    }

    #[test]
    fn what_every_server_answers_alike() {
        check("lower", &[TypeId::TEXT], true);
        check("int4pl", &[TypeId::INT4, TypeId::INT4], true);
        check("date_trunc", &[TypeId::TEXT, TypeId::TIMESTAMPTZ], true);
        check("date_lt_timestamptz", &[TypeId::DATE, TypeId::TIMESTAMPTZ], true);
        check("now", &[], false);
        check("random", &[], false);
        check("clock_timestamp", &[], false);
        check("current_database", &[], false);
        check("pg_backend_pid", &[], false);
        check("age", &[TypeId::TIMESTAMPTZ], false);
        check("age", &[TypeId::TIMESTAMPTZ, TypeId::TIMESTAMPTZ], true);
    }

    #[test]
    fn what_is_stored() {
        let check = |ty: TypeId, expected: bool| {
            assert_eq!(PostgresCapability.stores(ty.into()).is_ok(), expected, "{ty:?}");
        };
        check(TypeId::INT4, true);
        check(TypeId::JSONB_ARRAY, true);
        check(TypeId(16999), true);
        check(TypeId::REGCLASS, false);
        check(TypeId::ANYELEMENT, false);
    }
}
