//! Which operator, function or cast is meant: the rules of the manual's chapter 10.
//!
//! Literals in quotes are constants of type `unknown` holding their text; a parameter without a declared type is
//! `Expr::Param` of type `unknown` until something gives it a type through [`ParameterTypes`].

use crate::error::{PgError, Result};
use crate::expr::Expr;
use crate::types::{TypeId, TypeRef};

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

/// In which context a cast is asked for (`pg_cast.castcontext`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

impl Resolver<'_> {
    /// Resolves a binary operator and makes the call.
    ///
    /// # Errors
    /// `42883` `operator does not exist: text = integer` with PostgreSQL's hint; `42725` when not unique.
    pub fn binary(&mut self, _operator: &str, _left: Expr, _right: Expr) -> Result<Expr> {
        Err(PgError::internal("not there yet"))
    }

    /// Resolves a prefix operator and makes the call.
    ///
    /// # Errors
    /// As [`Resolver::binary`].
    pub fn prefix(&mut self, _operator: &str, _arg: Expr) -> Result<Expr> {
        Err(PgError::internal("not there yet"))
    }

    /// Resolves `left op ANY|ALL (array)`.
    ///
    /// # Errors
    /// As [`Resolver::binary`]; `42809` when the right side is no array.
    pub fn array_operator(
        &mut self,
        _operator: &str,
        _left: Expr,
        _array: Expr,
        _all: bool,
    ) -> Result<Expr> {
        Err(PgError::internal("not there yet"))
    }

    /// Resolves a function, aggregate or window function by name. `names` holds `name => value` argument names.
    /// A one-argument call by a type's name is a cast, as in PostgreSQL: then [`Resolver::function_cast`] answers it.
    ///
    /// # Errors
    /// `42883` `function foo(integer) does not exist`; `42725` when not unique.
    pub fn function(
        &mut self,
        _name: &str,
        _args: Vec<Expr>,
        _names: &[Option<String>],
        _variadic: bool,
    ) -> Result<ResolvedFunction> {
        Err(PgError::internal("not there yet"))
    }

    /// `typename(arg)` as a cast, when no function fits.
    pub fn function_cast(&mut self, _name: &str, _arg: &Expr) -> Option<Expr> {
        None
    }

    /// Casts to a type and modifier; an unknown literal is read by the type's input at ISO, UTC unless the type's input
    /// depends on settings, then a cast stays in the tree.
    ///
    /// # Errors
    /// `42846` `cannot cast type … to …`; the input's errors.
    pub fn cast(&mut self, _expr: Expr, _target: TypeRef, _context: CastContext) -> Result<Expr> {
        Err(PgError::internal("not there yet"))
    }

    /// The common type of several expressions (UNION, CASE, VALUES, COALESCE, ARRAY, IN; section 10.5).
    /// `construct` is PostgreSQL's word for the error: `CASE`, `UNION`, `COALESCE`, `ARRAY`, `IN`, `VALUES`, ….
    ///
    /// # Errors
    /// `42804` `CASE types integer and text cannot be matched`.
    pub fn common_type(&mut self, _exprs: &[Expr], _construct: &str) -> Result<TypeId> {
        Err(PgError::internal("not there yet"))
    }

    /// Casts to `boolean` for WHERE and its like. `construct`: `WHERE`, `HAVING`, `CASE/WHEN`, `AND`, ….
    ///
    /// # Errors
    /// `42804` `argument of WHERE must be type boolean, not type integer`.
    pub fn to_boolean(&mut self, _expr: Expr, _construct: &str) -> Result<Expr> {
        Err(PgError::internal("not there yet"))
    }
}

impl PartialEq for crate::catalog::Function {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}
