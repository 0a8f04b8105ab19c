//! What exists: PostgreSQL 15's types, operators, casts, functions and aggregates, generated from a server.

use crate::expr::{FunctionId, OperatorId};
use crate::types::TypeId;

/// A row of `pg_type`.
#[derive(Debug, Clone, Copy)]
pub struct Type {
    /// `oid`.
    pub id: TypeId,
    /// `typname`.
    pub name: &'static str,
    /// `typlen`.
    pub length: i16,
    /// `typtype`: `b`ase, `c`omposite, `d`omain, `e`num, `p`seudo, `r`ange, `m`ultirange.
    pub kind: char,
    /// `typcategory`.
    pub category: char,
    /// `typispreferred`.
    pub preferred: bool,
    /// `typelem`: for a true array the element's type, else 0.
    pub element: TypeId,
    /// `typarray`.
    pub array: TypeId,
}

/// A row of `pg_proc`.
#[derive(Debug, Clone, Copy)]
pub struct Function {
    /// `oid`.
    pub id: FunctionId,
    /// `proname`.
    pub name: &'static str,
    /// `prosrc`; for SQL-language built-ins the signature `name(type,type)`.
    pub source: &'static str,
    /// `proargtypes`.
    pub args: &'static [TypeId],
    /// `proargnames` of the input arguments, where they have names; for `name => value`.
    pub arg_names: &'static [&'static str],
    /// `pronargdefaults`: how many trailing arguments may be left out.
    pub defaults: u8,
    /// `provariadic`: the element type of VARIADIC, else 0.
    pub variadic: TypeId,
    /// `prorettype`.
    pub result: TypeId,
    /// `proretset`.
    pub returns_set: bool,
    /// `proisstrict`.
    pub strict: bool,
    /// `prokind`: `f`unction, `a`ggregate, `w`indow, `p`rocedure.
    pub kind: char,
    /// `provolatile`: `i`mmutable, `s`table, `v`olatile.
    pub volatility: char,
    /// `OUT` and `TABLE` columns: names and types.
    pub out: &'static [(&'static str, TypeId)],
}

/// A row of `pg_operator`.
#[derive(Debug, Clone, Copy)]
pub struct Operator {
    /// `oid`.
    pub id: OperatorId,
    /// `oprname`.
    pub name: &'static str,
    /// `oprleft`; 0 for a prefix operator.
    pub left: TypeId,
    /// `oprright`.
    pub right: TypeId,
    /// `oprresult`.
    pub result: TypeId,
    /// `oprcode`.
    pub function: FunctionId,
    /// `oprcom`, or 0.
    pub commutator: OperatorId,
    /// `oprnegate`, or 0.
    pub negator: OperatorId,
}

/// A row of `pg_cast`.
#[derive(Debug, Clone, Copy)]
pub struct CastEntry {
    /// `castsource`.
    pub source: TypeId,
    /// `casttarget`.
    pub target: TypeId,
    /// `castfunc`, or 0.
    pub function: FunctionId,
    /// `castcontext`: `i`mplicit, `a`ssignment, `e`xplicit.
    pub context: char,
    /// `castmethod`: `f`unction, `i`nput-output, `b`inary.
    pub method: char,
}

/// Finds a type by OID.
pub fn type_by_id(_id: TypeId) -> Option<&'static Type> {
    None
}

/// Finds a type by its `typname` (not the SQL alias: `int4`, not `integer`).
pub fn type_by_name(_name: &str) -> Option<&'static Type> {
    None
}

/// Finds a function by OID.
pub fn function(_id: FunctionId) -> Option<&'static Function> {
    None
}

/// All functions, aggregates and window functions of a name.
pub fn functions_named(_name: &str) -> &'static [Function] {
    &[]
}

/// Finds an operator by OID.
pub fn operator(_id: OperatorId) -> Option<&'static Operator> {
    None
}

/// All operators of a name.
pub fn operators_named(_name: &str) -> &'static [Operator] {
    &[]
}

/// Finds the cast between two types.
pub fn cast(_source: TypeId, _target: TypeId) -> Option<&'static CastEntry> {
    None
}

/// `format_type`: a type's name as SQL writes it (`character varying(10)`, `integer[]`).
pub fn format_type(_id: TypeId, _typmod: i32) -> String {
    String::new()
}
