//! The comparison functions of every type with itself: `int4eq`, `text_lt`, `bttextcmp`, `date_larger`, ….
//!
//! What they do is the order of the type's default B-tree operator class, which [`crate::order`] knows. So they are
//! not written one by one: the catalog says which functions they are. Comparisons across types (`int48eq`) belong to the
//! types' families.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::LazyLock;

use crate::catalog;
use crate::context::CallContext;
use crate::error::{PgError, Result};
use crate::expr::FunctionId;
use crate::order::compare;
use crate::registry::{Entry, Implementation};
use crate::types::TypeId;
use crate::value::{Record, Value};

/// What a comparison asks of the order of two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Test {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    GreaterEqual,
    Greater,
}

impl Test {
    /// Whether the test holds for values in this order.
    pub(crate) fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::Less => ordering.is_lt(),
            Self::LessEqual => ordering.is_le(),
            Self::GreaterEqual => ordering.is_ge(),
            Self::Greater => ordering.is_gt(),
        }
    }

    fn of_strategy(strategy: u8) -> Option<Self> {
        Some(match strategy {
            1 => Self::Less,
            2 => Self::LessEqual,
            3 => Self::Equal,
            4 => Self::GreaterEqual,
            5 => Self::Greater,
            _ => return None,
        })
    }

    fn implementation(self) -> Implementation {
        match self {
            Self::Equal => |_, args| test(args, Self::Equal),
            Self::NotEqual => |_, args| test(args, Self::NotEqual),
            Self::Less => |_, args| test(args, Self::Less),
            Self::LessEqual => |_, args| test(args, Self::LessEqual),
            Self::GreaterEqual => |_, args| test(args, Self::GreaterEqual),
            Self::Greater => |_, args| test(args, Self::Greater),
        }
    }
}

/// The test that a function is, if it compares two values of one type.
pub(crate) fn test_of(source: &str) -> Option<Test> {
    TESTS.get(source).copied()
}

/// The tests by the functions' `prosrc`.
static TESTS: LazyLock<HashMap<&'static str, Test>> = LazyLock::new(|| {
    let mut tests = HashMap::new();
    let source_of = |id: FunctionId| catalog::function(id).map(|function| function.source);
    for (_, left, right, strategy, operator) in catalog::strategies() {
        let test = Test::of_strategy(strategy);
        let (Some(test), Some(operator)) = (test, catalog::operator(operator)) else { continue };
        // `name` and `text` have one representation.
        let is_text = |ty: TypeId| matches!(ty, TypeId::NAME | TypeId::TEXT);
        if left != right && !(is_text(left) && is_text(right)) || !has_values(left) {
            continue;
        }
        tests.extend(source_of(operator.function).map(|source| (source, test)));
        if test == Test::Equal
            && let Some(negator) = catalog::operator(operator.negator)
        {
            tests.extend(source_of(negator.function).map(|source| (source, Test::NotEqual)));
        }
    }
    tests
});

/// Every comparison function of a type with itself, and the `…larger` and `…smaller` that `max` and `min` are made of.
pub(crate) fn entries() -> Vec<Entry> {
    let mut entries: Vec<Entry> = TESTS
        .iter()
        .map(|(source, test)| Entry { source, implementation: test.implementation() })
        .collect();
    for (left, right, function) in catalog::comparisons() {
        if left == right
            && has_values(left)
            && let Some(function) = catalog::function(function)
        {
            entries.push(Entry { source: function.source, implementation: three_way });
        }
    }
    for (name, implementation) in [("max", larger as Implementation), ("min", smaller)] {
        for function in catalog::functions_named(name) {
            let transition = catalog::aggregate(function.id)
                .and_then(|aggregate| catalog::function(aggregate.transition));
            if let Some(transition) = transition
                && function.args.iter().all(|ty| has_values(*ty))
            {
                let is_blank_padded = function.args == [TypeId::BPCHAR];
                let implementation = match (is_blank_padded, name) {
                    (false, _) => implementation,
                    (true, "max") => larger_or_first,
                    (true, _) => smaller_or_first,
                };
                entries.push(Entry { source: transition.source, implementation });
            }
        }
    }
    entries
}

/// Whether values of a built-in type are computed with here at all; for a pseudo-type, of the types it stands for.
pub(crate) fn has_values(ty: TypeId) -> bool {
    match ty {
        TypeId::BOOL
        | TypeId::BYTEA
        | TypeId::CHAR
        | TypeId::NAME
        | TypeId::INT8
        | TypeId::INT2
        | TypeId::INT4
        | TypeId::TEXT
        | TypeId::JSON
        | TypeId::FLOAT4
        | TypeId::FLOAT8
        | TypeId::UNKNOWN
        | TypeId::BPCHAR
        | TypeId::VARCHAR
        | TypeId::DATE
        | TypeId::TIME
        | TypeId::TIMESTAMP
        | TypeId::TIMESTAMPTZ
        | TypeId::INTERVAL
        | TypeId::TIMETZ
        | TypeId::NUMERIC
        | TypeId::UUID
        | TypeId::JSONB
        | TypeId::JSONPATH
        | TypeId::INET
        | TypeId::CIDR
        | TypeId::MACADDR
        | TypeId::MACADDR8
        | TypeId::BIT
        | TypeId::VARBIT
        | TypeId::ANYRANGE
        | TypeId::ANYMULTIRANGE
        | TypeId::ANYCOMPATIBLERANGE
        | TypeId::ANYCOMPATIBLEMULTIRANGE
        | TypeId::RECORD
        | TypeId::VOID
        | TypeId::ANY
        | TypeId::ANYARRAY
        | TypeId::ANYELEMENT
        | TypeId::ANYNONARRAY
        | TypeId::ANYENUM
        | TypeId::ANYCOMPATIBLE
        | TypeId::ANYCOMPATIBLEARRAY
        | TypeId::ANYCOMPATIBLENONARRAY
        | TypeId::RECORD_ARRAY => true,
        id if id.is_oid() || id.is_user() => true,
        // The system's own: numbers of transactions, and texts.
        TypeId::XID | TypeId::PG_NODE_TREE | TypeId::ACLITEM => true,
        id if crate::range::element_of(id).is_some() => true,
        id => catalog::type_by_id(id)
            .is_some_and(|entry| entry.element != TypeId::NONE && has_values(entry.element)),
    }
}

fn operands(args: &[Value]) -> Result<(&Value, &Value)> {
    match args {
        [Value::Record(left), Value::Record(right)] => {
            check_rows(left, right)?;
            Ok((&args[0], &args[1]))
        }
        [left, right] => Ok((left, right)),
        _ => Err(PgError::internal("a comparison takes two values")),
    }
}

/// Rows are compared field by field, and only with rows of the same types: what stands behind a difference is not looked at.
fn check_rows(left: &Record, right: &Record) -> Result<()> {
    for (place, ((left_ty, left), (right_ty, right))) in left.iter().zip(right.iter()).enumerate() {
        if left_ty != right_ty {
            let name = |ty: &TypeId| catalog::format_type(*ty, -1);
            return Err(PgError::new(
                "42804",
                format!(
                    "cannot compare dissimilar column types {} and {} at record column {}",
                    name(left_ty),
                    name(right_ty),
                    place + 1
                ),
            ));
        }
        if let (Value::Record(left), Value::Record(right)) = (left, right) {
            check_rows(left, right)?;
        }
        let same = match (left.is_null(), right.is_null()) {
            (false, false) => compare(left, right).is_eq(),
            (left, right) => left == right,
        };
        if !same {
            return Ok(());
        }
    }
    if left.len() == right.len() {
        return Ok(());
    }
    Err(PgError::new("42804", "cannot compare record types with different numbers of columns"))
}

fn test(args: &[Value], test: Test) -> Result<Value> {
    let (left, right) = operands(args)?;
    Ok(Value::Bool(test.holds(compare(left, right))))
}

fn three_way(_call: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    let (left, right) = operands(args)?;
    Ok(Value::Int4(compare(left, right) as i32))
}

fn pick(args: &[Value], take_first: fn(Ordering) -> bool) -> Result<Value> {
    let (left, right) = operands(args)?;
    Ok(if take_first(compare(left, right)) { left.clone() } else { right.clone() })
}

fn larger(_call: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    pick(args, Ordering::is_gt)
}

fn smaller(_call: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    pick(args, Ordering::is_lt)
}

fn larger_or_first(_call: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    pick(args, Ordering::is_ge)
}

fn smaller_or_first(_call: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    pick(args, Ordering::is_le)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_comparisons() {
        assert_eq!(test_of("int4eq"), Some(Test::Equal));
        assert_eq!(test_of("textne"), Some(Test::NotEqual));
        assert_eq!(test_of("numeric_lt"), Some(Test::Less));
        assert_eq!(test_of("array_ge"), Some(Test::GreaterEqual));
        assert_eq!(test_of("nameeqtext"), Some(Test::Equal));
        assert_eq!(test_of("int48eq"), None);
        assert_eq!(test_of("network_lt"), Some(Test::Less));
        assert_eq!(test_of("tsvector_lt"), None);
        let entries = entries();
        for source in ["btint4cmp", "bttextcmp", "int8larger", "text_smaller", "enum_larger"] {
            assert!(entries.iter().any(|entry| entry.source == source), "{source}");
        }
    }
}
