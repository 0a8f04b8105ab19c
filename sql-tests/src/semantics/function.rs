//! Every registered function, on arguments of its declared types.

use dataman_pg::catalog::{self, Function};
use dataman_pg::expr::Call;
use dataman_pg::resolve::{FixedParameters, NoUserTypes, ResolvedFunction, Resolver};
use dataman_pg::{Context, Expr, Result, TypeId, registry};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::oracle::{Answer, Oracle, our_answer, quote};
use super::report::Report;
use super::{Effort, exceptions, pool, template};

/// One call: how the server is asked, and our answer.
struct Case {
    subject: String,
    sql: String,
    ours: Answer,
}

/// Compares every registered function; `only` restricts it to sources that contain the text.
pub async fn compare(
    oracle: &Oracle,
    context: &Context,
    effort: Effort,
    only: Option<&str>,
) -> Report {
    let mut report = Report::default();
    let mut cases = Vec::new();
    let mut sources: Vec<&str> = registry::entries().map(|entry| entry.source).collect();
    sources.sort_unstable();
    for source in sources {
        if exceptions::skipped(source).is_some() || only.is_some_and(|only| !source.contains(only))
        {
            continue;
        }
        for function in catalog::functions()
            .iter()
            .filter(|f| f.source == source && f.kind == 'f' && f.volatility != 'v')
        {
            // A function's cases are the same whichever others are tried.
            let mut rng = StdRng::seed_from_u64(effort.seed ^ u64::from(function.id.0));
            cases.extend(cases_of(function, context, effort.cases, &mut rng));
        }
    }
    let questions: Vec<String> = cases.iter().map(|case| case.sql.clone()).collect();
    let answers = oracle.answers(&questions).await;
    for (case, theirs) in cases.iter().zip(&answers) {
        if exceptions::accepted(&case.subject, &case.sql).is_none() {
            report.compare(&case.subject, &case.sql, &case.ours, theirs);
        }
    }
    report
}

fn cases_of(
    function: &'static Function,
    context: &Context,
    count: usize,
    rng: &mut StdRng,
) -> Vec<Case> {
    let subject = subject(function);
    let mut cases = Vec::new();
    for round in 0..count {
        let Some(types) = concrete_types(function, rng) else { return cases };
        let args: Vec<Option<String>> =
            template::arguments(function.source, rng).unwrap_or_else(|| {
                let places = types.iter().enumerate();
                places.map(|(place, ty)| argument(function, place, *ty, round, rng)).collect()
            });
        let Some(exprs) = constants(&args, &types, context) else { continue };
        let literals: Vec<String> = args
            .iter()
            .zip(&types)
            .map(|(arg, ty)| {
                let arg = arg.as_ref().map_or_else(|| "NULL".to_owned(), |text| quote(text));
                format!("{arg}::{}", type_name(*ty))
            })
            .collect();
        let sql = format!("pg_catalog.\"{}\"({})", function.name, literals.join(", "));
        let ours = match resolve(function, exprs) {
            Err(error) => Answer::from_error(&error),
            Ok(resolved) => match our_answer(&call(resolved), context) {
                None => return cases,
                Some(answer) => answer,
            },
        };
        cases.push(Case { subject: subject.clone(), sql, ours });
        if types.is_empty() {
            break;
        }
    }
    cases
}

fn subject(function: &Function) -> String {
    let types: Vec<String> = function.args.iter().map(|ty| catalog::format_type(*ty, -1)).collect();
    format!("{} = {}({})", function.source, function.name, types.join(","))
}

/// The types for one call: polymorphic ones are given one, VARIADIC some. `None` for types that are not tried.
pub(super) fn concrete_types(function: &Function, rng: &mut StdRng) -> Option<Vec<TypeId>> {
    const ELEMENTS: &[TypeId] =
        &[TypeId::INT4, TypeId::TEXT, TypeId::NUMERIC, TypeId::FLOAT8, TypeId::DATE, TypeId::BOOL];
    let is_of_ranges = function.args.iter().any(|ty| {
        matches!(
            *ty,
            TypeId::ANYRANGE
                | TypeId::ANYMULTIRANGE
                | TypeId::ANYCOMPATIBLERANGE
                | TypeId::ANYCOMPATIBLEMULTIRANGE
        )
    });
    let range = if is_of_ranges { catalog::ranges().choose(rng) } else { None };
    let element = match range {
        Some(range) => range.element,
        None => *ELEMENTS.choose(rng)?,
    };
    let array = catalog::type_by_id(element)?.array;
    let mut declared = function.args.to_vec();
    if function.variadic != TypeId::NONE {
        declared.pop();
        let count = rng.random_range(1..4);
        declared.extend(std::iter::repeat_n(function.variadic, count));
    }
    declared
        .into_iter()
        .map(|ty| match ty {
            TypeId::ANYELEMENT | TypeId::ANYNONARRAY | TypeId::ANYCOMPATIBLE => Some(element),
            TypeId::ANYCOMPATIBLENONARRAY => Some(element),
            TypeId::ANYARRAY | TypeId::ANYCOMPATIBLEARRAY => Some(array),
            TypeId::ANY => pool::SCALARS.choose(rng).copied(),
            TypeId::ANYRANGE | TypeId::ANYCOMPATIBLERANGE => range.map(|range| range.id),
            TypeId::ANYMULTIRANGE | TypeId::ANYCOMPATIBLEMULTIRANGE => {
                range.map(|range| range.multirange)
            }
            ty if pool::fixed(ty).is_empty() => None,
            ty => Some(ty),
        })
        .collect()
}

/// An argument's text; `None` for NULL.
pub(super) fn argument(
    function: &Function,
    place: usize,
    ty: TypeId,
    round: usize,
    rng: &mut StdRng,
) -> Option<String> {
    if rng.random_range(0..25) == 0 {
        return None;
    }
    if let Some(suggested) = exceptions::suggested(function.source, place, ty) {
        // A random count or exponent could ask for a gigabyte.
        let is_costly = matches!(ty, TypeId::INT4 | TypeId::INT8 | TypeId::NUMERIC);
        if is_costly || rng.random_range(0..10) < 9 {
            return suggested.choose(rng).map(|text| (*text).to_owned());
        }
    }
    let fixed = pool::fixed(ty);
    // With one argument, every peculiar value has its turn.
    match fixed.get(round) {
        Some(value) if function.args.len() == 1 => Some(value.clone()),
        _ => Some(pool::any(ty, rng)),
    }
}

/// The arguments as constants; `None` if their input is not ours to test here.
pub(super) fn constants(
    args: &[Option<String>],
    types: &[TypeId],
    context: &Context,
) -> Option<Vec<Expr>> {
    args.iter()
        .zip(types)
        .map(|(arg, ty)| match arg {
            None => Some(Expr::null(*ty)),
            Some(text) => {
                let value = dataman_pg::io::text::input(text, (*ty).into(), context).ok()?;
                Some(Expr::constant(value, *ty))
            }
        })
        .collect()
}

fn resolve(function: &Function, args: Vec<Expr>) -> Result<ResolvedFunction> {
    let mut params = FixedParameters::default();
    let mut resolver = Resolver { params: &mut params, types: &NoUserTypes };
    resolver.function(function.name, args, &[], false)
}

fn call(resolved: ResolvedFunction) -> Expr {
    Expr::Call(Call {
        function: resolved.function.id,
        operator: None,
        args: resolved.args,
        variadic: resolved.variadic,
        ty: resolved.ty,
    })
}

/// A type's name without the surprises of SQL's own names, as `character`, which is `character(1)`.
pub(super) fn type_name(ty: TypeId) -> String {
    let name = catalog::type_by_id(ty).map_or("unknown", |entry| entry.name);
    format!("pg_catalog.{name:?}")
}
