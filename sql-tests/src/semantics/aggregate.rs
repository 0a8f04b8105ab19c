//! Every aggregate that is computed, whole and split over shards, on groups of none to many rows.

use dataman_pg::aggregate::{accumulator, split};
use dataman_pg::catalog::{self, Function};
use dataman_pg::eval::Evaluator;
use dataman_pg::resolve::{FixedParameters, NoUserTypes, Resolver};
use dataman_pg::{CallContext, Context, Expr, Result, TypeId, Value, io};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::function::{concrete_types, constants, type_name};
use super::oracle::{Answer, Oracle, quote};
use super::report::Report;
use super::{Effort, pool};

/// Compares every aggregate; `only` restricts it to names that contain the text.
pub async fn compare(
    oracle: &Oracle,
    context: &Context,
    effort: Effort,
    only: Option<&str>,
) -> Report {
    let mut cases = Vec::new();
    for aggregate in catalog::functions().iter().filter(|f| f.kind == 'a') {
        let kind = catalog::aggregate(aggregate.id).map_or('n', |a| a.kind);
        if kind == 'h' || only.is_some_and(|only| !aggregate.name.contains(only)) {
            continue;
        }
        let mut rng = StdRng::seed_from_u64(effort.seed ^ u64::from(aggregate.id.0));
        for _ in 0..effort.cases {
            match kind {
                'o' => cases.extend(ordered_case(aggregate, context, &mut rng)),
                _ => cases.extend(cases_of(aggregate, context, &mut rng)),
            }
        }
    }
    let questions: Vec<String> = cases.iter().map(|(_, sql, _)| sql.clone()).collect();
    let answers = oracle.answers(&questions).await;
    let mut report = Report::default();
    for ((subject, sql, ours), theirs) in cases.iter().zip(&answers) {
        let adds_floats = subject.ends_with("split")
            && (subject.contains("(real") || subject.contains("(double"));
        // Of values that are equal and yet differ, blank-padded ones, any shard's may come out.
        let is_blank_padded = subject.ends_with("(character) split");
        let is_alike = adds_floats && is_near(ours, theirs)
            || is_blank_padded
                && ours.to_string().trim_matches(['"', ' '])
                    == theirs.to_string().trim_matches(['"', ' ']);
        let ours = if is_alike { theirs } else { ours };
        report.compare(subject, sql, ours, theirs);
    }
    report
}

/// One group of rows: the aggregate whole and, where it splits, over up to four shards.
fn cases_of(
    aggregate: &'static Function,
    context: &Context,
    rng: &mut StdRng,
) -> Vec<(String, String, Answer)> {
    let Some(types) = concrete_types(aggregate, rng) else { return Vec::new() };
    if accumulator(aggregate.id, &types, context).is_none() {
        return Vec::new();
    }
    let count = *[0, 1, 2, 5, 5, 20].choose(rng).unwrap_or(&5);
    // Of few values, so that some repeat and some groups hold no extremes.
    let few: Vec<Vec<String>> = types
        .iter()
        .map(|ty| (0..rng.random_range(1..8)).map(|_| pool::any(*ty, rng)).collect())
        .collect();
    let mut rows = Vec::new();
    let mut literals = Vec::new();
    for _ in 0..count {
        let texts: Vec<Option<String>> = few
            .iter()
            .map(|few| few.choose(rng).filter(|_| rng.random_range(0..6) > 0).cloned())
            .collect();
        let Some(exprs) = constants(&texts, &types, context) else { return Vec::new() };
        rows.push(exprs.into_iter().map(value_of).collect::<Vec<Value>>());
        let row: Vec<String> =
            texts.iter().zip(&types).map(|(text, ty)| literal(text.as_ref(), *ty)).collect();
        literals
            .push(format!("({})", if row.is_empty() { "1".to_owned() } else { row.join(", ") }));
    }
    let sql = sql(aggregate, &types, &literals);
    let result = result_type(aggregate, &types);
    let types_text: Vec<String> = types.iter().map(|ty| catalog::format_type(*ty, -1)).collect();
    let subject = format!("{}({})", aggregate.name, types_text.join(", "));
    let whole = whole(aggregate, &types, result, &rows, context);
    let mut cases = vec![(subject.clone(), sql.clone(), show(whole, result, context))];
    if let Some(answer) = over_shards(aggregate, &types, &rows, context, rng) {
        cases.push((format!("{subject} split"), sql, show(answer, result, context)));
    }
    cases
}

/// An ordered-set aggregate over one group: its direct arguments, and rows of the value that is sorted.
fn ordered_case(
    aggregate: &'static Function,
    context: &Context,
    rng: &mut StdRng,
) -> Option<(String, String, Answer)> {
    const FRACTIONS: &[&str] = &["0", "1", "0.5", "0.25", "0.333", "0.9", "1.01", "-0.5", "NaN"];
    const MANY: &[&str] = &["{}", "{0,0.5,1}", "{0.1,NULL,0.75}", "{{0.2,0.4},{1,0}}", "{0.5,2}"];
    let types = concrete_types(aggregate, rng)?;
    accumulator(aggregate.id, &types, context)?;
    let (sorted, direct_types) = types.split_last()?;
    let direct: Vec<Option<String>> = direct_types
        .iter()
        .map(|ty| {
            let values = if *ty == TypeId::FLOAT8 { FRACTIONS } else { MANY };
            values
                .choose(rng)
                .filter(|_| rng.random_range(0..12) > 0)
                .map(|text| (*text).to_owned())
        })
        .collect();
    let few: Vec<String> = (0..rng.random_range(1..8)).map(|_| pool::any(*sorted, rng)).collect();
    let mut rows: Vec<(Value, String)> = Vec::new();
    for _ in 0..*[0, 1, 2, 5, 9].choose(rng)? {
        let text = few.choose(rng).filter(|_| rng.random_range(0..6) > 0).cloned();
        let value =
            constants(std::slice::from_ref(&text), &[*sorted], context)?.into_iter().next()?;
        rows.push((value_of(value), literal(text.as_ref(), *sorted)));
    }
    let descending = rng.random_range(0..3) == 0;
    let literals: Vec<String> =
        direct.iter().zip(direct_types).map(|(text, ty)| literal(text.as_ref(), *ty)).collect();
    let values: Vec<String> = rows.iter().map(|(_, text)| format!("({text})")).collect();
    let (values, filter) = match values.is_empty() {
        true => (format!("({})", literal(None, *sorted)), " WHERE false"),
        false => (values.join(", "), ""),
    };
    let order = if descending { "a0 DESC" } else { "a0" };
    let sql = format!(
        "(SELECT pg_catalog.\"{}\"({}) WITHIN GROUP (ORDER BY {order}) FROM (VALUES {values}) AS v(a0){filter})",
        aggregate.name,
        literals.join(", ")
    );
    let result = result_type(aggregate, &types);
    let direct: Vec<Value> =
        constants(&direct, direct_types, context)?.into_iter().map(value_of).collect();
    rows.sort_by(|(one, _), (other, _)| {
        let order = dataman_pg::order::compare_nullable(one, other);
        if descending { order.reverse() } else { order }
    });
    let call = CallContext { context, arguments: &types, result, variadic: false };
    let mut state = accumulator(aggregate.id, &types, context)?;
    state.begin(&direct);
    let taken =
        rows.iter().try_for_each(|(value, _)| state.accumulate(&call, std::slice::from_ref(value)));
    let answer = taken.and_then(|()| state.finish(&call));
    let names: Vec<String> = types.iter().map(|ty| catalog::format_type(*ty, -1)).collect();
    let subject = format!("{}({}) within group", aggregate.name, names.join(", "));
    Some((subject, sql, show(answer, result, context)))
}

/// The value of a constant.
pub(super) fn value_of(expr: Expr) -> Value {
    match expr {
        Expr::Const(constant) => constant.value,
        _ => Value::Null,
    }
}

fn literal(text: Option<&String>, ty: TypeId) -> String {
    let text = text.map_or_else(|| "NULL".to_owned(), |text| quote(text));
    format!("{text}::{}", type_name(ty))
}

fn sql(aggregate: &Function, types: &[TypeId], rows: &[String]) -> String {
    let columns: Vec<String> = (0..types.len()).map(|place| format!("a{place}")).collect();
    let args = if columns.is_empty() { "*".to_owned() } else { columns.join(", ") };
    let names = if columns.is_empty() { "a0".to_owned() } else { columns.join(", ") };
    let (rows, filter) = if rows.is_empty() {
        let nulls: Vec<String> = types.iter().map(|ty| literal(None, *ty)).collect();
        let nulls = if nulls.is_empty() { "1".to_owned() } else { nulls.join(", ") };
        (format!("({nulls})"), " WHERE false")
    } else {
        (rows.join(", "), "")
    };
    format!(
        "(SELECT pg_catalog.\"{}\"({args}) FROM (VALUES {rows}) AS v({names}){filter})",
        aggregate.name
    )
}

/// The type of a call's result.
pub(super) fn result_type(aggregate: &Function, types: &[TypeId]) -> TypeId {
    let mut params = FixedParameters::default();
    let mut resolver = Resolver { params: &mut params, types: &NoUserTypes };
    let args = types.iter().map(|ty| Expr::null(*ty)).collect();
    resolver
        .function(aggregate.name, args, &[], false)
        .map_or(aggregate.result, |resolved| resolved.ty.id)
}

fn whole(
    aggregate: &Function,
    types: &[TypeId],
    result: TypeId,
    rows: &[Vec<Value>],
    context: &Context,
) -> Result<Value> {
    let call = CallContext { context, arguments: types, result, variadic: false };
    let Some(mut state) = accumulator(aggregate.id, types, context) else {
        return Err(dataman_pg::PgError::unsupported("a partial aggregate is not computed"));
    };
    for row in rows {
        state.accumulate(&call, row)?;
    }
    state.finish(&call)
}

fn over_shards(
    aggregate: &Function,
    types: &[TypeId],
    rows: &[Vec<Value>],
    context: &Context,
    rng: &mut StdRng,
) -> Option<Result<Value>> {
    let split = split(aggregate.id, types)?;
    // Sums of floats of very different sizes depend on the order of adding altogether.
    let is_tame = |value: &Value| match value {
        Value::Float4(value) => value.abs() < 1e4 && value.abs() > 1e-2,
        Value::Float8(value) => value.abs() < 1e4 && value.abs() > 1e-2,
        _ => true,
    };
    if !rows.iter().flatten().all(is_tame) {
        return None;
    }
    let mut shards: Vec<Vec<Vec<Value>>> = vec![Vec::new(); rng.random_range(1..=4)];
    for row in rows {
        let shard = rng.random_range(0..shards.len());
        shards[shard].push(row.clone());
    }
    let mut combiner = (split.combiner)();
    let columns: Vec<Expr> = types
        .iter()
        .enumerate()
        .map(|(index, ty)| Expr::Column { index, ty: (*ty).into() })
        .collect();
    for shard in &shards {
        let partials = split.partials.iter().map(|partial| {
            let function =
                catalog::function(partial.function).expect("a partial half is an aggregate");
            let args = (partial.args)(&columns);
            let types: Vec<TypeId> = args.iter().map(Expr::type_id).collect();
            let rows =
                shard.iter().map(|row| compute(&args, row, context)).collect::<Result<Vec<_>>>()?;
            whole(function, &types, partial.ty.id, &rows, context)
        });
        let partials = partials.collect::<Result<Vec<Value>>>();
        let combined = partials.and_then(|partials| combiner.combine(&partials));
        if let Err(error) = combined {
            return Some(Err(error));
        }
    }
    Some(combiner.finish())
}

fn compute(args: &[Expr], row: &[Value], context: &Context) -> Result<Vec<Value>> {
    args.iter().map(|arg| Evaluator::compile(arg, &|_| None)?.eval(row, &[], context)).collect()
}

/// Whether two answers are floating-point numbers that differ only in their last digits: adding in another order does that.
fn is_near(ours: &Answer, theirs: &Answer) -> bool {
    match (ours, theirs) {
        (Answer::Value(ours), Answer::Value(theirs)) => {
            match (ours.parse::<f64>(), theirs.parse::<f64>()) {
                (Ok(ours), Ok(theirs)) => (ours - theirs).abs() <= 1e-5 * theirs.abs().max(1.0),
                _ => false,
            }
        }
        _ => false,
    }
}

fn show(value: Result<Value>, ty: TypeId, context: &Context) -> Answer {
    match value {
        Err(error) => Answer::from_error(&error),
        Ok(Value::Null) => Answer::Null,
        Ok(value) => {
            let mut out = Vec::new();
            io::text::output(&value, ty, context, &mut out);
            Answer::Value(String::from_utf8_lossy(&out).into_owned())
        }
    }
}
