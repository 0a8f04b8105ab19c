//! What MySQL does with PostgreSQL's exact meaning: what [`super::lower`] writes, and what writes compute.

use dataman_node_protocol::capability::{Capability, Feature, KeyLock};
use dataman_node_protocol::query::NodeQuery;
use dataman_pg::Expr;
use dataman_pg::types::{TypeId, TypeRef};

use super::adopted::AdoptedCapability;
use super::layout::{self, Form, form};
use super::lower;
use crate::driver::sql::native;
use crate::driver::sql::stored::family;

/// MySQL's capability.
#[derive(Debug, Clone, Copy)]
pub struct MysqlCapability;

impl Capability for MysqlCapability {
    fn engine(&self) -> &'static str {
        "mysql"
    }

    fn key_lock(&self) -> Option<KeyLock> {
        Some(KeyLock::Number)
    }

    fn statement_text(&self, query: &NodeQuery) -> Option<String> {
        match query {
            NodeQuery::Filter(select) | NodeQuery::Aggregate(select) => lower::shown(select),
            _ => None,
        }
    }

    fn is_exact(&self, expr: &Expr) -> bool {
        lower::is_native(expr)
    }

    fn is_exact_in_write(&self, expr: &Expr) -> bool {
        native::is_computed(expr)
    }

    fn sorts_exactly(&self, ty: TypeId) -> bool {
        // MySQL sorts and groups what is longer by its first `max_sort_length` bytes.
        matches!(form(ty), Form::Integer | Form::Fixed)
    }

    fn sorts_keys_exactly(&self, ty: TypeId) -> bool {
        // A key that is longer is refused when it is met.
        family(ty).is_some()
    }

    fn supports(&self, feature: Feature) -> bool {
        match feature {
            Feature::Join
            | Feature::Group
            | Feature::HavingOfAll
            | Feature::Distinct
            | Feature::Sort
            | Feature::Lock
            | Feature::Returning
            | Feature::Conflict => true,
            Feature::OuterJoin
            | Feature::Lateral
            | Feature::GroupingSets
            | Feature::DistinctOn
            | Feature::WithTies
            | Feature::Subquery
            | Feature::SetOperation
            | Feature::CommonTable
            | Feature::Recursive
            | Feature::Window
            | Feature::Values
            | Feature::TableFunction
            | Feature::WriteJoin => false,
        }
    }

    fn adopted(&self) -> Option<&dyn Capability> {
        Some(&AdoptedCapability)
    }

    fn stores(&self, ty: TypeRef) -> Result<(), String> {
        layout::check_stored(ty.id)
    }
}
