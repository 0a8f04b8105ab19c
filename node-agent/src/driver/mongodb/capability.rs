//! What MongoDB does with PostgreSQL's exact meaning: what [`super::condition`] and [`super::lower`] write, and what writes
//! compute.

use dataman_node_protocol::capability::{Capability, Feature};
use dataman_node_protocol::query::NodeQuery;
use dataman_pg::Expr;
use dataman_pg::types::{TypeId, TypeRef};

use super::adopted::filter::AdoptedCapability;
use super::{condition, layout, lower};
use crate::driver::sql::native;

/// MongoDB's capability.
#[derive(Debug, Clone, Copy)]
pub struct MongodbCapability;

impl Capability for MongodbCapability {
    fn engine(&self) -> &'static str {
        "mongodb"
    }

    fn statement_text(&self, query: &NodeQuery) -> Option<String> {
        match query {
            NodeQuery::Filter(select) | NodeQuery::Aggregate(select) => lower::shown(select),
            _ => None,
        }
    }

    fn is_exact(&self, expr: &Expr) -> bool {
        condition::is_native(expr)
    }

    fn is_exact_in_write(&self, expr: &Expr) -> bool {
        native::is_computed(expr)
    }

    fn sorts_exactly(&self, ty: TypeId) -> bool {
        layout::is_ordered(layout::general_form(ty))
    }

    fn supports(&self, feature: Feature) -> bool {
        match feature {
            Feature::Group
            | Feature::HavingOfAll
            | Feature::Sort
            | Feature::Lock
            | Feature::Returning
            | Feature::Conflict => true,
            Feature::Join
            | Feature::OuterJoin
            | Feature::Lateral
            | Feature::GroupingSets
            | Feature::Distinct
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
