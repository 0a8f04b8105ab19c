//! What conditions imply: rewriting WHERE and ON without changing which rows they let through.

use std::collections::BTreeSet;

use dataman_node_protocol::query::{Condition, JoinKind, Select, Source};
use dataman_pg::expr::{Field, IsTest};
use dataman_pg::{Expr, TypeId, Value, catalog};

use super::distribution::{conjuncts, filter_conjuncts};
use super::form::{self, each_own_source, for_each_expr, replace, walk};
use crate::route::prune::{bare_field, is_fixed};

/// The fields that some expressions read, by source and name.
pub(super) type Fields = BTreeSet<(String, String)>;

/// Adds the fields that an expression reads.
pub(super) fn read(expr: &Expr, into: &mut Fields) {
    walk(expr, &mut |node| {
        if let Expr::Field(field) = node {
            into.insert((field.source.clone(), field.name.clone()));
        }
    });
}

/// The fields that a select reads apart from WHERE and the conditions of inner joins: those are known where they are applied.
pub(super) fn read_beside_filter(select: &Select) -> Fields {
    let mut fields = Fields::new();
    let own = Select { source: Vec::new(), filter: None, ..select.clone() };
    for_each_expr(&own, &mut |expr| read(expr, &mut fields));
    for source in &select.source {
        each_own_source(source, &mut |source| match source {
            Source::Join { kind, on: Some(on), .. } if *kind != JoinKind::Inner => {
                read(on, &mut fields);
            }
            Source::Values { rows, .. } => {
                rows.iter().flatten().for_each(|expr| read(expr, &mut fields));
            }
            Source::Function { call, .. } => read(call, &mut fields),
            _ => {}
        });
    }
    for inner in form::inner_selects(select) {
        form::for_each_select(inner, &mut |inner| {
            for_each_expr(inner, &mut |expr| read(expr, &mut fields));
        });
    }
    fields
}

/// Takes what all branches of an OR have in common out of it, in every select: `(a AND b) OR (a AND c)` is `a AND (b OR c)`.
pub(super) fn factor(select: &mut Select) {
    form::each_select_mut(select, &mut |select| {
        if !filter_has_or(select) {
            return;
        }
        let mut parts = Vec::new();
        filter_conjuncts(select.filter.as_ref(), &mut parts);
        let parts: Vec<Expr> = parts.into_iter().flat_map(factored).collect();
        select.filter = Some(Condition::Expr(super::sources::all_of(parts)));
    });
}

fn filter_has_or(select: &Select) -> bool {
    let mut parts = Vec::new();
    match &select.filter {
        Some(Condition::Expr(_)) => filter_conjuncts(select.filter.as_ref(), &mut parts),
        _ => return false,
    }
    parts.iter().any(|part| matches!(part, Expr::Or(_)))
}

/// A condition as conditions that all hold.
fn factored(condition: &Expr) -> Vec<Expr> {
    let Expr::Or(branches) = condition else { return vec![condition.clone()] };
    let branches: Vec<Vec<&Expr>> = branches
        .iter()
        .map(|branch| {
            let mut parts = Vec::new();
            conjuncts(branch, &mut parts);
            parts
        })
        .collect();
    let Some((first, others)) = branches.split_first() else { return vec![condition.clone()] };
    let mut common: Vec<Expr> = Vec::new();
    for part in first {
        if !is_volatile(part)
            && !common.contains(part)
            && others.iter().all(|branch| branch.contains(part))
        {
            common.push((*part).clone());
        }
    }
    if common.is_empty() {
        return vec![condition.clone()];
    }
    let mut rest = Vec::new();
    for branch in &branches {
        let left: Vec<Expr> = branch
            .iter()
            .filter(|part| !common.contains(part))
            .map(|part| (*part).clone())
            .collect();
        if left.is_empty() {
            // One branch says no more than what is common: the others add nothing.
            return common;
        }
        rest.push(super::sources::all_of(left));
    }
    common.push(Expr::Or(rest));
    common
}

/// Whether a call of an expression may give another value each time.
pub(super) fn is_volatile(expr: &Expr) -> bool {
    let mut found = false;
    walk(expr, &mut |node| {
        if let Expr::Call(call) = node {
            found |=
                catalog::function(call.function).is_none_or(|function| function.volatility == 'v');
        }
    });
    found
}

/// Conditions that follow from others and say something of one source alone: `b = 5` from `a = b AND a = 5`, and of an OR what
/// each branch says of a source. They cannot raise an error, and leave out only rows that the others leave out as well.
pub(super) fn implied(conditions: &[Expr]) -> Vec<Expr> {
    let mut found: Vec<Expr> = Vec::new();
    let mut add = |expr: Expr| {
        if !conditions.contains(&expr) && !found.contains(&expr) {
            found.push(expr);
        }
    };
    let pairs: Vec<(&Field, &Field)> = conditions.iter().filter_map(same_fields).collect();
    if !pairs.is_empty() {
        for condition in conditions {
            let Some(field) = compared(condition) else { continue };
            for other in alike(field, &pairs) {
                add(replace(condition, &mut |node| match node {
                    Expr::Field(known) if is_same(known, field) => {
                        Some(Expr::Field(Field { ty: known.ty, ..other.clone() }))
                    }
                    _ => None,
                }));
            }
        }
    }
    for condition in conditions {
        if let Expr::Or(branches) = condition {
            branches_by_source(branches).into_iter().for_each(&mut add);
        }
    }
    found
}

/// The field and the one text that a regular expression without special signs matches: `^(text)$`, as psql asks for a name.
pub(super) fn matches_whole(condition: &Expr) -> Option<(&Field, Expr)> {
    let Expr::Call(call) = condition else { return None };
    let is_match = call.operator.and_then(catalog::operator)?.name == "~";
    let [field, Expr::Const(pattern)] = call.args.as_slice() else { return None };
    let (field, Value::Text(pattern)) = (bare_field(field)?, &pattern.value) else { return None };
    let text = pattern.strip_prefix("^(")?.strip_suffix(")$")?;
    let is_plain = text.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
    (is_match && is_plain && !text.is_empty())
        .then(|| (field, Expr::constant(Value::text(text), field.ty.id)))
}

/// What the condition of an outer join and conditions on the side whose rows all stay say of the other side alone: what does not
/// meet it has no partner among the rows that are kept.
pub(super) fn implied_across(on: &[Expr], others: &[Expr], inner: &Source) -> Vec<Expr> {
    let mut aliases = BTreeSet::new();
    super::form::each_own_source(inner, &mut |source| {
        aliases.extend(super::form::alias_of(source).map(str::to_owned));
    });
    let of_inner = |expr: &Expr| {
        let mut fields = Fields::new();
        read(expr, &mut fields);
        (
            fields.iter().any(|(source, _)| aliases.contains(source)),
            fields.iter().all(|(source, _)| aliases.contains(source)),
        )
    };
    let mut all = on.to_vec();
    all.extend(others.iter().filter(|condition| !of_inner(condition).0).cloned());
    let mut found = implied(&all);
    found.retain(|condition| of_inner(condition) == (true, true));
    found
}

/// For each source that every branch of an OR says something of, an OR of that.
fn branches_by_source(branches: &[Expr]) -> Vec<Expr> {
    let parts: Vec<Vec<&Expr>> = branches
        .iter()
        .map(|branch| {
            let mut parts = Vec::new();
            conjuncts(branch, &mut parts);
            parts.retain(|part| is_sure(part));
            parts
        })
        .collect();
    let source_of = |expr: &Expr| {
        let mut fields = Fields::new();
        read(expr, &mut fields);
        let sources: BTreeSet<String> = fields.into_iter().map(|(source, _)| source).collect();
        if sources.len() == 1 { sources.into_iter().next() } else { None }
    };
    let Some(first) = parts.first() else { return Vec::new() };
    let sources: BTreeSet<String> = first.iter().filter_map(|part| source_of(part)).collect();
    let mut found = Vec::new();
    for source in sources {
        let mut ors = Vec::new();
        for branch in &parts {
            let own: Vec<Expr> = branch
                .iter()
                .filter(|part| source_of(part).as_ref() == Some(&source))
                .map(|part| (*part).clone())
                .collect();
            if own.is_empty() {
                break;
            }
            ors.push(super::sources::all_of(own));
        }
        // An OR of this source alone is there already.
        let is_whole = branches.iter().all(|branch| source_of(branch).as_ref() == Some(&source));
        if ors.len() == parts.len() && !is_whole {
            found.push(Expr::Or(ors));
        }
    }
    found
}

fn is_same(one: &Field, other: &Field) -> bool {
    one.source == other.source && one.name == other.name
}

/// The two fields of one type that a condition says are equal.
fn same_fields(condition: &Expr) -> Option<(&Field, &Field)> {
    let call = super::apply::equality(condition)?;
    let [Expr::Field(one), Expr::Field(other)] = call.args.as_slice() else { return None };
    (one.ty.id == other.ty.id && compares_by_value(one.ty.id)).then_some((one, other))
}

/// The fields that are equal to a field through any number of steps.
fn alike<'f>(field: &'f Field, pairs: &[(&'f Field, &'f Field)]) -> Vec<&'f Field> {
    let mut found = vec![field];
    let mut place = 0;
    while place < found.len() {
        for (one, other) in pairs {
            let next = if is_same(one, found[place]) {
                other
            } else if is_same(other, found[place]) {
                one
            } else {
                continue;
            };
            if !found.iter().any(|known| is_same(known, next)) {
                found.push(next);
            }
        }
        place += 1;
    }
    found.remove(0);
    found
}

/// The one field that a condition compares with what is the same for every row.
fn compared(condition: &Expr) -> Option<&Field> {
    match condition {
        Expr::Call(call) => {
            let operator = catalog::operator(call.operator?)?;
            if !matches!(operator.name, "=" | "<" | "<=" | ">" | ">=") {
                return None;
            }
            let [left, right] = call.args.as_slice() else { return None };
            let (field, value) = match (left, right) {
                (Expr::Field(field), value) | (value, Expr::Field(field)) => (field, value),
                _ => return None,
            };
            // Both of one type: what is equal to the field compares as it does.
            (is_value(value) && value.type_id() == field.ty.id && compares_by_value(field.ty.id))
                .then_some(field)
        }
        Expr::ArrayOp { operator, all: false, left, array, .. } => {
            let Expr::Field(field) = left.as_ref() else { return None };
            let element = match array.as_ref() {
                Expr::Array { elements, .. } => elements.first().map(Expr::type_id)?,
                other => catalog::type_by_id(other.type_id())?.element,
            };
            (catalog::operator(*operator)?.name == "="
                && is_fixed(array)
                && is_sure(condition)
                && element == field.ty.id
                && compares_by_value(field.ty.id))
            .then_some(field)
        }
        _ => None,
    }
}

fn is_value(expr: &Expr) -> bool {
    matches!(expr, Expr::Const(_) | Expr::Param { .. })
}

/// Types whose equality is that of a total order without surprises.
pub(super) fn compares_by_value(ty: TypeId) -> bool {
    matches!(
        ty,
        TypeId::BOOL
            | TypeId::INT2
            | TypeId::INT4
            | TypeId::INT8
            | TypeId::FLOAT4
            | TypeId::FLOAT8
            | TypeId::NUMERIC
            | TypeId::TEXT
            | TypeId::VARCHAR
            | TypeId::BPCHAR
            | TypeId::BYTEA
            | TypeId::DATE
            | TypeId::TIME
            | TypeId::TIMESTAMP
            | TypeId::TIMESTAMPTZ
            | TypeId::INTERVAL
            | TypeId::UUID
            | TypeId::OID
    )
}

/// Whether a condition is computed without an error, whatever the row.
pub(super) fn is_sure(expr: &Expr) -> bool {
    let sure = match expr {
        Expr::Field(_) | Expr::Const(_) | Expr::Param { .. } => true,
        Expr::And(_) | Expr::Or(_) | Expr::Not(_) | Expr::Is { .. } | Expr::Array { .. } => true,
        Expr::Cast(cast) => cast.method == dataman_pg::expr::CastMethod::Relabel,
        Expr::Call(call) => call.operator.and_then(catalog::operator).is_some_and(|operator| {
            let orders = matches!(operator.name, "=" | "<>" | "<" | "<=" | ">" | ">=")
                && call.args.iter().all(|arg| compares_by_value(arg.type_id()));
            // A pattern that ends in its escape character is an error.
            let matches = matches!(operator.name, "~~" | "!~~")
                && matches!(call.args.as_slice(), [_, Expr::Const(pattern)]
                    if matches!(&pattern.value, Value::Text(text) if !text.contains('\\')));
            orders || matches
        }),
        Expr::ArrayOp { operator, left, .. } => {
            catalog::operator(*operator).is_some_and(|operator| {
                matches!(operator.name, "=" | "<>") && compares_by_value(left.type_id())
            })
        }
        _ => false,
    };
    let mut all = sure;
    if sure {
        expr.for_each_child(&mut |child| all = all && is_sure(child));
    }
    all
}

/// Whether a condition is never true where all fields of a source are NULL: an outer join that fills that source up is then an
/// inner one.
pub(super) fn rejects_nulls(conditions: &[Expr], source: &Source) -> bool {
    let mut aliases: BTreeSet<&str> = BTreeSet::new();
    each_own_source(source, &mut |source| aliases.extend(form::alias_of(source)));
    conditions.iter().any(|condition| is_strict_in(condition, &aliases))
}

/// Whether an expression is NULL where all fields of some sources are.
fn is_null_where(expr: &Expr, aliases: &BTreeSet<&str>) -> bool {
    match expr {
        Expr::Call(call) => {
            catalog::function(call.function)
                .is_some_and(|function| function.strict && !function.returns_set)
                && !call.variadic
                && call.args.iter().any(|arg| is_null_where(arg, aliases))
        }
        other => bare_field(other).is_some_and(|field| aliases.contains(field.source.as_str())),
    }
}

fn is_strict_in(condition: &Expr, aliases: &BTreeSet<&str>) -> bool {
    let is_null = |expr: &Expr| is_null_where(expr, aliases);
    match condition {
        Expr::Call(call) => {
            call.operator.and_then(catalog::operator).is_some_and(|operator| {
                matches!(operator.name, "=" | "<>" | "<" | "<=" | ">" | ">=" | "~~")
            }) && catalog::function(call.function).is_some_and(|function| function.strict)
                && call.args.iter().any(is_null)
        }
        Expr::ArrayOp { all: false, left, .. } => is_null(left),
        Expr::Is { arg, test: IsTest::Null, negated: true } => is_null(arg),
        Expr::And(parts) => parts.iter().any(|part| is_strict_in(part, aliases)),
        Expr::Or(parts) => parts.iter().all(|part| is_strict_in(part, aliases)),
        _ => false,
    }
}
