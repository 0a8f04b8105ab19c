//! Every cast between the types that are tried: those of `pg_cast`, through text, of arrays, and to a length.

use dataman_pg::resolve::{CastContext, FixedParameters, NoUserTypes, Resolver};
use dataman_pg::{Context, TypeId, TypeRef, catalog};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::oracle::{Answer, Oracle, our_answer, quote};
use super::report::Report;
use super::{Effort, exceptions, function, pool};

/// Types with a length or precision, as SQL and as `typmod`.
const MODIFIED: &[(&str, TypeId, i32)] = &[
    ("varchar(3)", TypeId::VARCHAR, 7),
    ("char(3)", TypeId::BPCHAR, 7),
    ("numeric(5,2)", TypeId::NUMERIC, ((5 << 16) | 2) + 4),
    ("numeric(20)", TypeId::NUMERIC, (20 << 16) + 4),
    ("numeric(3,-2)", TypeId::NUMERIC, ((3 << 16) | (-2 & 0x7ff)) + 4),
    ("numeric(3,5)", TypeId::NUMERIC, ((3 << 16) | 5) + 4),
    ("time(0)", TypeId::TIME, 0),
    ("time(3)", TypeId::TIME, 3),
    ("timetz(2)", TypeId::TIMETZ, 2),
    ("timestamp(0)", TypeId::TIMESTAMP, 0),
    ("timestamp(3)", TypeId::TIMESTAMP, 3),
    ("timestamptz(1)", TypeId::TIMESTAMPTZ, 1),
    ("interval(0)", TypeId::INTERVAL, 0x7fff_0000),
    ("interval(3)", TypeId::INTERVAL, 0x7fff_0003),
    ("interval year", TypeId::INTERVAL, 0x0004_ffff),
    ("interval day to minute", TypeId::INTERVAL, 0x0c08_ffff),
    ("interval hour to second(1)", TypeId::INTERVAL, 0x1c00_0001),
    ("varchar(3)[]", TypeId::VARCHAR_ARRAY, 7),
    ("numeric(5,2)[]", TypeId::NUMERIC_ARRAY, ((5 << 16) | 2) + 4),
];

const ARRAYS: &[TypeId] = &[
    TypeId::INT4_ARRAY,
    TypeId::INT8_ARRAY,
    TypeId::TEXT_ARRAY,
    TypeId::NUMERIC_ARRAY,
    TypeId::FLOAT8_ARRAY,
    TypeId::VARCHAR_ARRAY,
    TypeId::DATE_ARRAY,
    TypeId::TIMESTAMP_ARRAY,
    TypeId::BOOL_ARRAY,
];

/// Compares explicit casts from every type to every type.
pub async fn compare(
    oracle: &Oracle,
    context: &Context,
    effort: Effort,
    only: Option<&str>,
) -> Report {
    let types: Vec<TypeId> = pool::SCALARS.iter().chain(ARRAYS).copied().collect();
    let plain = types.iter().map(|ty| (function::type_name(*ty), TypeRef::plain(*ty)));
    let modified = MODIFIED
        .iter()
        .map(|(name, id, typmod)| ((*name).to_owned(), TypeRef { id: *id, typmod: *typmod }));
    let targets: Vec<(String, TypeRef)> = plain.chain(modified).collect();
    let mut cases = Vec::new();
    for source in &types {
        for (name, target) in &targets {
            let subject = format!("{} to {name}", catalog::format_type(*source, -1));
            if only.is_some_and(|only| !subject.contains(only)) {
                continue;
            }
            let seed = effort.seed ^ u64::from(source.0) << 32 ^ u64::from(target.id.0);
            let mut rng = StdRng::seed_from_u64(seed);
            let fixed = pool::fixed(*source);
            for round in 0..effort.cases / 2 {
                let text = match fixed.get(round) {
                    Some(text) => text.clone(),
                    None => pool::any(*source, &mut rng),
                };
                let Some(ours) = ours(&text, *source, *target, context) else { continue };
                let sql = format!("{}::{}::{name}", quote(&text), function::type_name(*source));
                cases.push((subject.clone(), sql, ours));
                if matches!(&cases[cases.len() - 1].2, Answer::Error { sqlstate, .. } if sqlstate == "42846")
                {
                    break;
                }
            }
        }
    }
    let questions: Vec<String> = cases.iter().map(|(_, sql, _)| sql.clone()).collect();
    let answers = oracle.answers(&questions).await;
    let mut report = Report::default();
    for ((subject, sql, ours), theirs) in cases.iter().zip(&answers) {
        if exceptions::accepted(subject, sql).is_none() {
            report.compare(subject, sql, ours, theirs);
        }
    }
    report
}

fn ours(text: &str, source: TypeId, target: TypeRef, context: &Context) -> Option<Answer> {
    let constants = function::constants(&[Some(text.to_owned())], &[source], context)?;
    let value = constants.into_iter().next()?;
    let mut params = FixedParameters::default();
    let mut resolver = Resolver { params: &mut params, types: &NoUserTypes };
    match resolver.cast(value, target, CastContext::Explicit) {
        Err(error) => Some(Answer::from_error(&error)),
        Ok(expr) => our_answer(&expr, context),
    }
}
