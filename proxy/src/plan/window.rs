//! Window calls above the shards: which are computed together, and in which order the rows come to them.

use dataman_pg::expr::{Aggregate, Frame, FrameUnit, SortKey, Window};
use dataman_pg::{Expr, PgError, TypeId, catalog, eval, in_range};

use super::form::{replace, walk};
use super::operator::Operator;
use super::select::Result;
use super::split::{check_accumulated, check_decodable};

/// Window functions that are computed above the shards, beside the aggregates of the library.
const FUNCTIONS: &[&str] = &[
    "row_number",
    "rank",
    "dense_rank",
    "percent_rank",
    "cume_dist",
    "ntile",
    "lag",
    "lead",
    "first_value",
    "last_value",
    "nth_value",
];

/// Calls of one partition and order.
struct Group {
    /// What the rows are sorted by: the partition's keys, then the order's.
    keys: Vec<SortKey>,
    calls: Vec<Window>,
}

/// Puts operators over `input` that compute the window calls in `exprs`, and columns of those operators in the calls' place.
///
/// # Errors
/// `0A000` for what the proxy does not compute.
pub(super) fn compute(input: Operator, exprs: &mut [Expr]) -> Result<Operator> {
    let mut groups: Vec<Group> = Vec::new();
    let mut checked = Ok(());
    for expr in exprs.iter() {
        walk(expr, &mut |node| {
            if let (Expr::Window(call), Ok(())) = (node, &checked) {
                checked = check(call);
                add(&mut groups, call);
            }
        });
    }
    checked?;
    let mut operator = input;
    let mut width = operator.columns().len();
    let mut places: Vec<(Window, usize)> = Vec::new();
    let mut sorted: Vec<SortKey> = Vec::new();
    for group in in_order(groups) {
        if !sorted.starts_with(&group.keys) {
            sorted.clone_from(&group.keys);
            operator = Operator::Sort { input: Box::new(operator), keys: group.keys };
        }
        for call in &group.calls {
            places.push((call.clone(), width));
            width += 1;
        }
        operator = Operator::Window { input: Box::new(operator), calls: group.calls };
    }
    if places.is_empty() {
        return Ok(operator);
    }
    for expr in exprs {
        *expr = replace(expr, &mut |node| {
            let Expr::Window(call) = node else { return None };
            let (_, index) = places.iter().find(|(known, _)| is_same(known, call))?;
            Some(Expr::Column { index: *index, ty: call.ty })
        });
    }
    Ok(operator)
}

/// Whether two calls are one. A NaN in them equals none, not even itself.
fn is_same(one: &Window, other: &Window) -> bool {
    one == other || (one.function == other.function && format!("{one:?}") == format!("{other:?}"))
}

fn add(groups: &mut Vec<Group>, call: &Window) {
    let alike = |group: &&mut Group| {
        group.calls.first().is_some_and(|first| {
            first.partition_by == call.partition_by && first.order_by == call.order_by
        })
    };
    if let Some(group) = groups.iter_mut().find(alike) {
        if !group.calls.iter().any(|known| is_same(known, call)) {
            group.calls.push(call.clone());
        }
        return;
    }
    let mut keys: Vec<SortKey> = Vec::new();
    let partition = call.partition_by.iter().map(|expr| SortKey {
        expr: expr.clone(),
        descending: false,
        nulls_first: false,
    });
    for key in partition.chain(call.order_by.iter().cloned()) {
        // What is alike in the keys before is in no order of its own.
        if !keys.iter().any(|known| known.expr == key.expr) {
            keys.push(key);
        }
    }
    groups.push(Group { keys, calls: vec![call.clone()] });
}

/// Groups such that those that need less of an order come behind one that makes it, and the first one last where it can be:
/// its order is that of the rows that come out.
fn in_order(mut groups: Vec<Group>) -> Vec<Group> {
    let mut ordered: Vec<Group> = Vec::new();
    while let Some(longest) = groups.pop() {
        let mut run = vec![longest];
        let mut place = 0;
        while place < groups.len() {
            let Some(first) = run.first() else { break };
            if first.keys.starts_with(&groups[place].keys) {
                run.push(groups.remove(place));
            } else if groups[place].keys.starts_with(&first.keys) {
                run.insert(0, groups.remove(place));
                place = 0;
            } else {
                place += 1;
            }
        }
        run.sort_by_key(|group| std::cmp::Reverse(group.keys.len()));
        ordered.extend(run);
    }
    ordered
}

fn check(call: &Window) -> Result<()> {
    let function = catalog::function(call.function);
    let name = function.map_or("?", |function| function.name);
    if function.is_some_and(|function| function.kind == 'a') {
        check_accumulated(&Aggregate {
            function: call.function,
            args: call.args.clone(),
            distinct: false,
            order_by: Vec::new(),
            filter: None,
            ty: call.ty,
        })?;
    } else if !FUNCTIONS.contains(&name) {
        return Err(PgError::unsupported(format!(
            "the window function {name} over several shards is not supported yet"
        )));
    }
    let order = call.order_by.iter().map(|key| &key.expr);
    let offsets = call.frame.iter().flat_map(Frame::offsets);
    let exprs = call.args.iter().chain(&call.filter).chain(&call.partition_by).chain(order);
    for expr in exprs.chain(offsets) {
        eval::check_computed(expr)?;
    }
    for key in call.partition_by.iter().chain(call.order_by.iter().map(|key| &key.expr)) {
        check_decodable(key.type_ref())?;
    }
    let Some(frame) = call.frame.as_ref().filter(|frame| frame.unit == FrameUnit::Range) else {
        return Ok(());
    };
    for offset in frame.offsets() {
        let key = call.order_by.first().map_or(TypeId::UNKNOWN, |key| key.expr.type_id());
        let is_computed = in_range::function(key, offset.type_id())
            .is_some_and(|function| dataman_pg::registry::find(function.source).is_some());
        if !is_computed {
            return Err(PgError::unsupported(format!(
                "a frame of RANGE with an offset over {} is not supported above the shards yet",
                catalog::format_type(key, -1)
            )));
        }
    }
    Ok(())
}
