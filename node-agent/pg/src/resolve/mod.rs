//! Which operator, function or cast is meant: the rules of the manual's chapter 10.
//!
//! Literals in quotes are constants of type `unknown` holding their text; a parameter without a declared type is
//! `Expr::Param` of type `unknown` until something gives it a type through [`ParameterTypes`].
//!
//! - [`facts`](self): what is known of a type, built-in or the user's
//! - `coerce`: whether and how one type becomes another; making the casts
//! - `polymorphic`: `anyelement` and its kin
//! - `candidate`: which of several operators or functions fits best
//! - `operator`, `function`, `common`: the constructs that resolve

mod candidate;
mod coerce;
mod common;
mod facts;
mod function;
mod operator;
mod polymorphic;
#[cfg(test)]
mod tests;

use crate::error::Result;
use crate::expr::Expr;
use crate::types::{TypeId, TypeRef};

pub use coerce::Pathway;
pub(crate) use coerce::pathway;
pub use facts::Facts;

/// Decides parameters' types as they are found out.
pub trait ParameterTypes {
    /// The type of `$index` so far; `unknown` when not decided.
    fn get(&self, index: u16) -> TypeId;
    /// Decides it.
    ///
    /// # Errors
    /// `42P08` when it was decided differently before.
    fn decide(&mut self, index: u16, ty: TypeId) -> Result<()>;
}

/// User-defined types (enums), which the catalog does not hold.
pub trait UserTypes {
    /// The type's name and, for an enum's array type, its element; `None` if there is no such type.
    fn describe(&self, id: TypeId) -> Option<UserType>;

    /// The type of a name, for a function call that is a cast: `mood('happy')`.
    fn named(&self, _name: &str) -> Option<TypeId> {
        None
    }

    /// Whether casts of constants stay casts, because the expression is to be written back as text.
    fn keeps_casts(&self) -> bool {
        false
    }
}

/// A user-defined enum or its array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserType {
    /// Its name.
    pub name: String,
    /// For an array type its element's type.
    pub element: Option<TypeId>,
    /// For an element type its array type.
    pub array: Option<TypeId>,
    /// The labels in order, for an enum.
    pub labels: Vec<std::sync::Arc<str>>,
}

/// Where there are no user-defined types.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoUserTypes;

impl UserTypes for NoUserTypes {
    fn describe(&self, _id: TypeId) -> Option<UserType> {
        None
    }
}

/// Where there are no parameters, or their types are all declared.
#[derive(Debug, Clone, Default)]
pub struct FixedParameters(pub Vec<TypeId>);

impl ParameterTypes for FixedParameters {
    fn get(&self, index: u16) -> TypeId {
        let place = usize::from(index).checked_sub(1);
        place.and_then(|place| self.0.get(place)).copied().unwrap_or(TypeId::UNKNOWN)
    }

    fn decide(&mut self, index: u16, ty: TypeId) -> Result<()> {
        if self.get(index) == ty {
            return Ok(());
        }
        Err(crate::PgError::new("42P02", format!("there is no parameter ${index}")))
    }
}

/// In which context a cast is asked for (`pg_cast.castcontext`). In the order of what they allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CastContext {
    /// Within an expression.
    Implicit,
    /// To a column's type in INSERT and UPDATE.
    Assignment,
    /// `CAST` and `::`.
    Explicit,
}

/// What a function name turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedFunction {
    /// Its catalog entry.
    pub function: &'static crate::catalog::Function,
    /// The arguments with implicit casts made, defaults added and VARIADIC gathered.
    pub args: Vec<Expr>,
    /// VARIADIC arguments were gathered or given as an array.
    pub variadic: bool,
    /// The result's type, concrete.
    pub ty: TypeRef,
}

/// Resolution over one statement.
pub struct Resolver<'a> {
    /// The parameters.
    pub params: &'a mut dyn ParameterTypes,
    /// The user's types.
    pub types: &'a dyn UserTypes,
}

impl std::fmt::Debug for Resolver<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

impl PartialEq for crate::catalog::Function {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}
