//! What exists: PostgreSQL 15's types, operators, casts, functions and aggregates, generated from a server.
//!
//! `generate-catalog` asks a PostgreSQL 15 server with `generate.sql` and writes `tables.tsv`, which is compiled into
//! the program as text and read once, when first asked: a text compiles in no time, thousands of Rust structs do not.
//! [`system`] has the catalogs' whole rows, for those who ask the catalogs themselves.

mod load;
mod name;
pub mod system;

use crate::expr::{FunctionId, OperatorId};
use crate::types::TypeId;

pub use name::{format_type, quote_identifier};

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
    /// `proargdefaults`: the text of those arguments' default values, as the types' input reads them.
    pub default_values: &'static [&'static str],
    /// `provariadic`: the element type of VARIADIC, else 0.
    pub variadic: TypeId,
    /// `prorettype`.
    pub result: TypeId,
    /// `proretset`: a function in FROM or a SELECT list that gives rows.
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

/// A row of `pg_aggregate`.
#[derive(Debug, Clone, Copy)]
pub struct Aggregate {
    /// `aggfnoid`.
    pub id: FunctionId,
    /// `aggkind`: `n`ormal, `o`rdered-set, `h`ypothetical-set.
    pub kind: char,
    /// `aggnumdirectargs`.
    pub direct_args: u8,
    /// `aggtransfn`.
    pub transition: FunctionId,
    /// `aggfinalfn`, or 0.
    pub final_function: FunctionId,
    /// `aggcombinefn`, or 0.
    pub combine: FunctionId,
    /// `aggsortop`, or 0.
    pub sort_operator: OperatorId,
    /// `aggtranstype`.
    pub state: TypeId,
    /// `agginitval`.
    pub initial: Option<&'static str>,
}

/// A row of `pg_range`.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    /// `rngtypid`.
    pub id: TypeId,
    /// `rngsubtype`.
    pub element: TypeId,
    /// `rngmultitypid`.
    pub multirange: TypeId,
}

/// How values of a type are ordered: its default B-tree operator class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// The operator family.
    pub family: u32,
    /// The type that the operators take (`text` for `varchar`, `anyarray` for arrays, …).
    pub input: TypeId,
    /// `<`.
    pub less: OperatorId,
    /// `<=`.
    pub less_equal: OperatorId,
    /// `=`.
    pub equal: OperatorId,
    /// `>=`.
    pub greater_equal: OperatorId,
    /// `>`.
    pub greater: OperatorId,
    /// The comparison support function (`btint4cmp`).
    pub compare: FunctionId,
}

use load::TABLES;

/// Finds a type by OID.
pub fn type_by_id(id: TypeId) -> Option<&'static Type> {
    find_sorted(&TABLES.types, id, |t| t.id)
}

/// Finds a type by its `typname` (not the SQL alias: `int4`, not `integer`).
pub fn type_by_name(name: &str) -> Option<&'static Type> {
    TABLES.types_by_name.get(name).copied()
}

/// All types of `pg_catalog`, by OID.
pub fn types() -> &'static [Type] {
    &TABLES.types
}

/// Finds a function by OID.
pub fn function(id: FunctionId) -> Option<&'static Function> {
    let found = TABLES.functions_by_id.get(&id.0).map(|place| &TABLES.functions[*place]);
    found.or_else(|| crate::internal::find(id))
}

/// All functions, aggregates and window functions of a name.
pub fn functions_named(name: &str) -> &'static [Function] {
    run_of(&TABLES.functions, name, |f| f.name)
}

/// All functions, aggregates and window functions of `pg_catalog`, by name.
pub fn functions() -> &'static [Function] {
    &TABLES.functions
}

/// Finds an operator by OID.
pub fn operator(id: OperatorId) -> Option<&'static Operator> {
    TABLES.operators_by_id.get(&id.0).map(|place| &TABLES.operators[*place])
}

/// All operators of a name.
pub fn operators_named(name: &str) -> &'static [Operator] {
    run_of(&TABLES.operators, name, |o| o.name)
}

/// All operators, by name.
pub fn operators() -> &'static [Operator] {
    &TABLES.operators
}

/// Finds the cast between two types.
pub fn cast(source: TypeId, target: TypeId) -> Option<&'static CastEntry> {
    find_sorted(&TABLES.casts, (source, target), |c| (c.source, c.target))
}

/// All casts, by source and target.
pub fn casts() -> &'static [CastEntry] {
    &TABLES.casts
}

/// What `pg_aggregate` says of an aggregate.
pub fn aggregate(id: FunctionId) -> Option<&'static Aggregate> {
    find_sorted(&TABLES.aggregates, id, |a| a.id)
}

/// What `pg_range` says of a range type.
pub fn range(id: TypeId) -> Option<&'static Range> {
    find_sorted(&TABLES.ranges, id, |r| r.id)
}

/// All range types.
pub fn ranges() -> &'static [Range] {
    &TABLES.ranges
}

/// The default order of a built-in type by itself; `None` for one that has none (`json`, `point`).
///
/// Enums have the order of `anyenum`, and arrays that of `anyarray` if their elements have one: that is for the caller
/// to decide who knows the user's types ([`crate::resolve::Resolver::order`]).
pub fn order(id: TypeId) -> Option<Order> {
    let stand_in = || match id {
        TypeId::VARCHAR => Some(TypeId::TEXT),
        // The `reg…` types order as the oid that they are.
        other => is_oid_alias(other).then_some(TypeId::OID),
    };
    TABLES.orders.get(&id).or_else(|| TABLES.orders.get(&stand_in()?)).copied()
}

fn is_oid_alias(id: TypeId) -> bool {
    cast(id, TypeId::OID).is_some_and(|c| c.method == 'b' && c.context == 'i')
}

/// The operator of a B-tree family for two types and a strategy: 1 `<`, 2 `<=`, 3 `=`, 4 `>=`, 5 `>`.
pub fn family_operator(
    family: u32,
    left: TypeId,
    right: TypeId,
    strategy: u8,
) -> Option<OperatorId> {
    TABLES.strategies.get(&(family, left, right, strategy)).copied()
}

/// The B-tree families and strategies that an operator is of: `=` of integers is strategy 3 of `integer_ops`.
pub fn strategies_of(operator: OperatorId) -> impl Iterator<Item = (u32, u8)> {
    TABLES
        .strategies
        .iter()
        .filter(move |(_, id)| **id == operator)
        .map(|((family, _, _, strategy), _)| (*family, *strategy))
}

/// Every comparison of a B-tree family: family, types, strategy and operator.
pub fn strategies() -> impl Iterator<Item = (u32, TypeId, TypeId, u8, OperatorId)> {
    TABLES
        .strategies
        .iter()
        .map(|((family, left, right, strategy), id)| (*family, *left, *right, *strategy, *id))
}

/// Every comparison support function of a B-tree family: types and function.
pub fn comparisons() -> impl Iterator<Item = (TypeId, TypeId, FunctionId)> {
    TABLES.comparisons.iter().map(|((_, left, right), id)| (*left, *right, *id))
}

fn find_sorted<T, K: Ord>(
    table: &'static [T],
    key: K,
    key_of: impl Fn(&T) -> K,
) -> Option<&'static T> {
    table.binary_search_by(|row| key_of(row).cmp(&key)).ok().map(|place| &table[place])
}

fn run_of<T>(
    table: &'static [T],
    name: &str,
    name_of: impl Fn(&T) -> &'static str,
) -> &'static [T] {
    let start = table.partition_point(|row| name_of(row) < name);
    let length = table[start..].partition_point(|row| name_of(row) == name);
    &table[start..start + length]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_the_server_has() {
        let int4 = type_by_name("int4").expect("int4 exists");
        assert_eq!(
            (int4.id, int4.length, int4.category, int4.array),
            (TypeId::INT4, 4, 'N', TypeId::INT4_ARRAY)
        );
        assert_eq!(type_by_id(TypeId::TEXT_ARRAY).map(|t| t.element), Some(TypeId::TEXT));
        assert_eq!(type_by_id(TypeId::NAME).map(|t| t.element), Some(TypeId(0)));
        assert!(type_by_name("sql_identifier").is_none());
        assert_eq!(functions_named("lower").len(), 3);
        assert!(functions_named("no such").is_empty());
        let set = &functions_named("jsonb_set")[0];
        assert_eq!(set.arg_names, ["jsonb_in", "path", "replacement", "create_if_missing"]);
        assert_eq!((set.defaults, set.default_values, set.source), (1, &["true"][..], "jsonb_set"));
        assert_eq!(function(set.id).map(|f| f.id), Some(set.id));
        let each = &functions_named("json_each")[0];
        assert_eq!(each.out, [("key", TypeId::TEXT), ("value", TypeId::JSON)]);
        assert!(functions_named("lpad").iter().any(|f| f.source == "lpad(text,int4)"));
        assert_eq!(operators_named("||").len(), 11);
        assert_eq!(
            cast(TypeId::INT4, TypeId::INT8).map(|c| (c.context, c.method)),
            Some(('i', 'f'))
        );
        let count = &functions_named("count")[0];
        assert_eq!(aggregate(count.id).and_then(|a| a.initial), Some("0"));
        assert_eq!(ranges().len(), 6);
    }

    #[test]
    fn orders_types() {
        let name_of = |id: OperatorId| operator(id).map(|o| (o.name, o.left));
        let order_of_varchar = order(TypeId::VARCHAR).expect("varchar has an order");
        assert_eq!(name_of(order_of_varchar.less), Some(("<", TypeId::TEXT)));
        assert_eq!(name_of(order_of_varchar.equal), Some(("=", TypeId::TEXT)));
        assert_eq!(function(order_of_varchar.compare).map(|f| f.source), Some("bttextcmp"));
        assert!(order(TypeId::JSON).is_none());
        assert_eq!(order(TypeId::REGCLASS).map(|o| o.input), Some(TypeId::OID));
        assert_eq!(order(TypeId::INT4).map(|o| o.input), Some(TypeId::INT4));
    }
}
