//! What resolution knows of a type, built-in or the user's.

use super::{Resolver, UserTypes};
use crate::catalog::{self, Order};
use crate::error::{PgError, Result};
use crate::types::{TypeId, TypeRef};

/// What the rules ask of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// `typcategory`.
    pub category: char,
    /// `typispreferred`.
    pub preferred: bool,
    /// The element's type of a true array, else [`TypeId::NONE`].
    pub element: TypeId,
    /// The type of arrays of it, else [`TypeId::NONE`].
    pub array: TypeId,
    /// `typtype`.
    pub kind: char,
}

/// What is known of a type; for one that does not exist, nothing that makes it fit anything.
pub(super) fn facts(types: &dyn UserTypes, id: TypeId) -> Facts {
    if let Some(entry) = catalog::type_by_id(id) {
        return Facts {
            category: entry.category,
            preferred: entry.preferred,
            element: entry.element,
            array: entry.array,
            kind: entry.kind,
        };
    }
    let none = Facts {
        category: 'U',
        preferred: false,
        element: TypeId::NONE,
        array: TypeId::NONE,
        kind: 'b',
    };
    match types.describe(id) {
        None => none,
        Some(user) => match user.element {
            Some(element) => Facts { category: 'A', element, ..none },
            None => Facts {
                category: 'E',
                kind: 'e',
                array: user.array.unwrap_or(TypeId::NONE),
                ..none
            },
        },
    }
}

impl Resolver<'_> {
    /// What the rules know of a type.
    pub fn facts(&self, id: TypeId) -> Facts {
        facts(self.types, id)
    }

    /// A type's name as SQL writes it, also for the user's types.
    pub fn type_name(&self, ty: impl Into<TypeRef>) -> String {
        let ty = ty.into();
        match ty.id.is_user().then(|| self.types.describe(ty.id)).flatten() {
            None => catalog::format_type(ty.id, ty.typmod),
            Some(user) => match user.element {
                None => catalog::quote_identifier(&user.name),
                Some(element) => self.type_name(element) + "[]",
            },
        }
    }

    /// The array type over an element's type.
    ///
    /// # Errors
    /// `42704` when there is none.
    pub fn array_of(&self, element: TypeId) -> Result<TypeId> {
        let array = self.facts(element).array;
        if array == TypeId::NONE {
            let name = self.type_name(element);
            return Err(PgError::new(
                "42704",
                format!("could not find array type for data type {name}"),
            ));
        }
        Ok(array)
    }

    /// How values of a type are ordered and found equal; `None` for a type without a default B-tree operator class, as
    /// `json`.
    pub fn order(&self, id: TypeId) -> Option<Order> {
        if let Some(order) = catalog::order(id) {
            return Some(order);
        }
        let facts = self.facts(id);
        match facts.kind {
            _ if facts.element != TypeId::NONE => {
                self.order(facts.element)?;
                catalog::order(TypeId::ANYARRAY)
            }
            'e' => catalog::order(TypeId::ANYENUM),
            'r' => catalog::order(TypeId::ANYRANGE),
            'm' => catalog::order(TypeId::ANYMULTIRANGE),
            _ => None,
        }
    }

    /// [`Resolver::order`] for ORDER BY and its like.
    ///
    /// # Errors
    /// `42883` `could not identify an ordering operator for type json`.
    pub fn require_order(&self, id: TypeId) -> Result<Order> {
        self.order(id).ok_or_else(|| {
            let name = self.type_name(id);
            PgError::new(
                "42883",
                format!("could not identify an ordering operator for type {name}"),
            )
            .with_hint("Use an explicit ordering operator or modify the query.")
        })
    }

    /// [`Resolver::order`] for GROUP BY, DISTINCT and their like.
    ///
    /// # Errors
    /// `42883` `could not identify an equality operator for type json`.
    pub fn require_equality(&self, id: TypeId) -> Result<Order> {
        self.order(id).ok_or_else(|| {
            let name = self.type_name(id);
            PgError::new(
                "42883",
                format!("could not identify an equality operator for type {name}"),
            )
        })
    }
}
