//! Every set-returning function that is computed: its first rows.

use dataman_pg::catalog::{self, Function};
use dataman_pg::{CallContext, Context, Result, TypeId, Value, io, set};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::aggregate::{result_type, value_of};
use super::function::{argument, concrete_types, constants, type_name};
use super::oracle::{Answer, Oracle, quote};
use super::report::Report;
use super::{Effort, exceptions};

/// How many rows of a call are compared: a series can be long.
const ROWS_MAX: usize = 40;

/// Compares every set-returning function; `only` restricts it to sources that contain the text.
pub async fn compare(
    oracle: &Oracle,
    context: &Context,
    effort: Effort,
    only: Option<&str>,
) -> Report {
    // A server's own objects are not ours.
    let is_asked = |source: &&str| set::objects::asked().any(|asked| asked == *source);
    let is_compared = |source: &&str| !is_asked(source) && exceptions::skipped(source).is_none();
    let mut sources: Vec<&str> = set::sources().filter(is_compared).collect();
    sources.sort_unstable();
    let mut cases = Vec::new();
    for source in sources.into_iter().filter(|source| only.is_none_or(|only| source.contains(only)))
    {
        let functions = catalog::functions().iter().filter(|f| f.source == source);
        for function in functions {
            let mut rng = StdRng::seed_from_u64(effort.seed ^ u64::from(function.id.0));
            for round in 0..effort.cases {
                cases.extend(case_of(function, context, round, &mut rng));
            }
        }
    }
    let questions: Vec<String> = cases.iter().map(|(_, sql, _)| sql.clone()).collect();
    let answers = oracle.answers(&questions).await;
    let mut report = Report::default();
    for ((source, sql, ours), theirs) in cases.iter().zip(&answers) {
        if exceptions::accepted(source, sql).is_none() {
            report.compare(source, sql, ours, theirs);
        }
    }
    report
}

fn case_of(
    function: &'static Function,
    context: &Context,
    round: usize,
    rng: &mut StdRng,
) -> Option<(&'static str, String, Answer)> {
    let types = concrete_types(function, rng)?;
    let places = types.iter().enumerate();
    let args: Vec<Option<String>> =
        places.map(|(place, ty)| argument(function, place, *ty, round, rng)).collect();
    let values: Vec<Value> = constants(&args, &types, context)?.into_iter().map(value_of).collect();
    let literals: Vec<String> = args
        .iter()
        .zip(&types)
        .map(|(arg, ty)| {
            let arg = arg.as_ref().map_or_else(|| "NULL".to_owned(), |text| quote(text));
            format!("{arg}::{}", type_name(*ty))
        })
        .collect();
    let sql = format!(
        "(SELECT string_agg(CASE num_nulls(x) WHEN 1 THEN 'NULL' ELSE format('%s', x) END, chr(10)) FROM (SELECT pg_catalog.\"{}\"({}) AS x LIMIT {ROWS_MAX}) s)",
        function.name,
        literals.join(", ")
    );
    let result = result_type(function, &types);
    Some((function.source, sql, answer(rows(function, &values, &types, result, context), context)))
}

fn rows(
    function: &Function,
    values: &[Value],
    types: &[TypeId],
    result: TypeId,
    context: &Context,
) -> Result<Vec<(TypeId, Value)>> {
    let call = CallContext { context, arguments: types, result, variadic: false };
    let Some(rows) = set::rows(function.id, &call, values) else {
        return Err(dataman_pg::PgError::unsupported("not computed"));
    };
    let mut rows = rows?;
    let mut given = Vec::new();
    while given.len() < ROWS_MAX {
        let Some(row) = rows.next_row()? else { break };
        given.push(match <[Value; 1]>::try_from(row) {
            Ok([value]) => (result, value),
            Err(row) => {
                let fields: Vec<_> = function.out.iter().map(|(_, ty)| *ty).zip(row).collect();
                (TypeId::RECORD, Value::Record(std::sync::Arc::new(fields.into())))
            }
        });
    }
    Ok(given)
}

fn answer(rows: Result<Vec<(TypeId, Value)>>, context: &Context) -> Answer {
    match rows {
        Err(error) => Answer::from_error(&error),
        Ok(rows) if rows.is_empty() => Answer::Null,
        Ok(rows) => {
            let shown = rows.iter().map(|(ty, value)| {
                if value.is_null() {
                    return "NULL".to_owned();
                }
                let mut out = Vec::new();
                io::text::output(value, *ty, context, &mut out);
                String::from_utf8_lossy(&out).into_owned()
            });
            Answer::Value(shown.collect::<Vec<_>>().join("\n"))
        }
    }
}
