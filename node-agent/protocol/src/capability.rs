//! What a database can do with PostgreSQL's exact meaning.
//!
//! A driver claims; the proxy pushes down only what is claimed; the driver conformance suite proves each claim against
//! PostgreSQL on random values.

use dataman_pg::Expr;

/// What one database can carry out exactly.
pub trait Capability: Send + Sync {
    /// The engine's name, for EXPLAIN and messages: `postgres`, `sqlite`.
    fn engine(&self) -> &'static str;

    /// Whether `{"sql": …}` is taken: the datasource is a PostgreSQL.
    fn takes_sql(&self) -> bool {
        false
    }

    /// A query as the database is asked it, in its own language; none when that is not known here.
    fn statement_text(&self, _query: &crate::query::NodeQuery) -> Option<String> {
        None
    }

    /// Whether the database takes one writer at a time: a write waits until the one before it has committed. Then whoever
    /// writes several shards takes them in their order, one after the other, or two such statements could wait for each
    /// other for ever.
    fn has_one_writer(&self) -> bool {
        false
    }

    /// How a transaction keeps others from the keys that it adds to a unique key over several shards; none when it cannot.
    fn key_lock(&self) -> Option<KeyLock> {
        None
    }

    /// Whether this one node of an expression, its arguments being carried out, is exact.
    fn is_exact(&self, expr: &Expr) -> bool;

    /// Whether this one node of an expression is exact over the record of a write: in the values, the condition and the
    /// RETURNING of a change of one collection. More than [`Capability::is_exact`] where the driver computes writes itself.
    fn is_exact_in_write(&self, expr: &Expr) -> bool {
        self.is_exact(expr)
    }

    /// Whether values of this type sort and group in the database as in PostgreSQL.
    fn sorts_exactly(&self, ty: dataman_pg::TypeId) -> bool;

    /// Whether the keys of an index, which PostgreSQL bounds in their length, sort as in PostgreSQL; longer ones may be refused.
    fn sorts_keys_exactly(&self, ty: dataman_pg::TypeId) -> bool {
        self.sorts_exactly(ty)
    }

    /// Whether the given part of a select is carried out.
    fn supports(&self, feature: Feature) -> bool;

    /// What it carries out over collections that dataman did not make; none when that is all the same.
    fn adopted(&self) -> Option<&dyn Capability> {
        None
    }

    /// Whether the type can be stored without loss; else the reason.
    fn stores(&self, ty: dataman_pg::types::TypeRef) -> Result<(), String>;
}

/// How a database lets one transaction at a time have a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyLock {
    /// By a number that stands for the key, held to the transaction's end: PostgreSQL's advisory locks; elsewhere by a select with
    /// the lock [`Lock::NUMBERS`](crate::query::Lock::NUMBERS).
    Number,
    /// By being the one that writes ([`Capability::has_one_writer`]): a locking read of a collection begins it.
    Writer,
}

/// The parts of a select that a database may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Feature {
    /// Inner and left joins.
    Join,
    /// Right and full joins.
    OuterJoin,
    /// LATERAL.
    Lateral,
    /// GROUP BY and HAVING.
    Group,
    /// HAVING where all rows are one group.
    HavingOfAll,
    /// GROUPING SETS.
    GroupingSets,
    /// DISTINCT.
    Distinct,
    /// DISTINCT ON.
    DistinctOn,
    /// ORDER BY, LIMIT, OFFSET.
    Sort,
    /// FETCH … WITH TIES.
    WithTies,
    /// Subqueries in expressions, correlated or not.
    Subquery,
    /// Set operations.
    SetOperation,
    /// WITH.
    CommonTable,
    /// WITH RECURSIVE.
    Recursive,
    /// Window functions.
    Window,
    /// VALUES in FROM.
    Values,
    /// Set-returning functions in FROM.
    TableFunction,
    /// FOR UPDATE and its like.
    Lock,
    /// UPDATE … FROM, DELETE … USING.
    WriteJoin,
    /// RETURNING.
    Returning,
    /// INSERT … ON CONFLICT.
    Conflict,
}

/// The whole of an expression is exact when each of its nodes is.
pub fn is_exact_tree(capability: &dyn Capability, expr: &Expr) -> bool {
    each_node(expr, &|node| capability.is_exact(node))
}

/// The same over the record of a write.
pub fn is_exact_tree_in_write(capability: &dyn Capability, expr: &Expr) -> bool {
    each_node(expr, &|node| capability.is_exact_in_write(node))
}

fn each_node(expr: &Expr, test: &dyn Fn(&Expr) -> bool) -> bool {
    let mut passes = test(expr);
    if passes {
        expr.for_each_child(&mut |child| passes = passes && each_node(child, test));
    }
    passes
}
