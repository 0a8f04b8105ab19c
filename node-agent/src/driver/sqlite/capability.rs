//! What SQLite does with PostgreSQL's exact meaning: what [`crate::driver::sql::native`] lowers.

use dataman_node_protocol::capability::{Capability, Feature, KeyLock};
use dataman_node_protocol::query::NodeQuery;
use dataman_pg::Expr;
use dataman_pg::types::{TypeId, TypeRef};

use crate::driver::sql::native::{Form, form};
use crate::driver::sql::{Dialect, lower_with_expressions, stored};

/// SQLite's capability.
#[derive(Debug, Clone, Copy)]
pub struct SqliteCapability;

impl Capability for SqliteCapability {
    fn engine(&self) -> &'static str {
        "sqlite"
    }

    fn statement_text(&self, query: &NodeQuery) -> Option<String> {
        lower_with_expressions(query, Dialect::Sqlite, 0).ok().map(|lowered| lowered.text)
    }

    fn has_one_writer(&self) -> bool {
        true
    }

    fn key_lock(&self) -> Option<KeyLock> {
        Some(KeyLock::Writer)
    }

    fn is_exact(&self, expr: &Expr) -> bool {
        form(expr) != Form::None
    }

    fn sorts_exactly(&self, ty: TypeId) -> bool {
        stored::family(ty).is_some()
    }

    fn supports(&self, feature: Feature) -> bool {
        match feature {
            Feature::Join
            | Feature::OuterJoin
            | Feature::Group
            | Feature::Distinct
            | Feature::Sort
            | Feature::Subquery
            | Feature::SetOperation
            | Feature::Recursive
            | Feature::Window
            | Feature::Values
            | Feature::Lock
            | Feature::WriteJoin
            | Feature::Returning
            | Feature::Conflict => true,
            // SQLite computes a common table once for each of its readers: with random() in it they would differ.
            // It wants an aggregate in the select list, outside of window functions.
            Feature::HavingOfAll
            | Feature::CommonTable
            | Feature::GroupingSets
            | Feature::Lateral
            | Feature::DistinctOn
            | Feature::WithTies
            | Feature::TableFunction => false,
        }
    }

    fn stores(&self, ty: TypeRef) -> Result<(), String> {
        stored::check_stored(ty.id)
    }
}
