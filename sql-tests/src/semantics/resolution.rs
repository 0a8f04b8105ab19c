//! Which operator or function is meant: every operator on every pair of types, functions on many.

use dataman_pg::resolve::{FixedParameters, NoUserTypes, Resolver};
use dataman_pg::{Expr, TypeId, catalog};
use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::function::type_name;
use super::oracle::{Answer, Oracle};
use super::report::Report;
use super::{Effort, pool};

/// How many statements are under way at once.
const BATCH: usize = 500;

fn types() -> Vec<TypeId> {
    const MORE: &[TypeId] = &[
        TypeId::UNKNOWN,
        TypeId::INT4_ARRAY,
        TypeId::INT8_ARRAY,
        TypeId::TEXT_ARRAY,
        TypeId::VARCHAR_ARRAY,
        TypeId::REGCLASS,
        TypeId(869),
        TypeId(650),
        TypeId(790),
        TypeId(1560),
        TypeId(3904),
        TypeId(4451),
        TypeId(600),
        TypeId(3614),
    ];
    pool::SCALARS.iter().chain(MORE).copied().collect()
}

fn null_of(ty: TypeId) -> String {
    if ty == TypeId::UNKNOWN { "NULL".to_owned() } else { format!("NULL::{}", type_name(ty)) }
}

/// Compares the operators: each on pairs of types, all of them if the effort allows.
pub async fn compare_operators(oracle: &Oracle, effort: Effort) -> Report {
    let mut names: Vec<&str> = catalog::operators().iter().map(|operator| operator.name).collect();
    names.dedup();
    let types = types();
    let mut rng = StdRng::seed_from_u64(effort.seed);
    let mut cases = Vec::new();
    for name in names {
        let pairs = types.iter().flat_map(|left| types.iter().map(move |right| (*left, *right)));
        let mut pairs: Vec<(TypeId, TypeId)> = pairs.collect();
        if pairs.len() > effort.cases * 4 {
            pairs = pairs.sample(&mut rng, effort.cases * 4).copied().collect();
        }
        for (left, right) in pairs {
            let sql = format!("{} {name} {}", null_of(left), null_of(right));
            cases.push((
                sql,
                resolve(|r| {
                    r.binary(name, Expr::null(left), Expr::null(right)).map(|e| e.type_id())
                }),
            ));
        }
        // The grammar gives these to other things when they stand first.
        let is_infix_alone =
            matches!(name, "%" | "*" | "/" | "<" | "<=" | "<>" | "=" | ">" | ">=" | "^");
        for ty in types.iter().filter(|_| !is_infix_alone) {
            let sql = format!("{name} {}", null_of(*ty));
            cases.push((sql, resolve(|r| r.prefix(name, Expr::null(*ty)).map(|e| e.type_id()))));
        }
    }
    ask(oracle, cases).await
}

/// Compares functions: each name on arguments of random types, as many as any of that name takes.
pub async fn compare_functions(oracle: &Oracle, effort: Effort) -> Report {
    let mut rng = StdRng::seed_from_u64(effort.seed);
    let types = types();
    let mut cases = Vec::new();
    let mut names: Vec<&str> = catalog::functions().iter().map(|function| function.name).collect();
    names.dedup();
    for name in names {
        let functions = catalog::functions_named(name);
        // Triggers, input functions and their like are not called by users; aggregates and windows want other syntax.
        let is_plain = |ty: &TypeId| !matches!(*ty, TypeId::INTERNAL | TypeId::CSTRING);
        let callable = functions.iter().all(|f| {
            f.kind == 'f' && f.args.iter().all(is_plain) && is_plain(&f.result) && f.out.is_empty()
        });
        if !callable {
            continue;
        }
        for _ in 0..effort.cases / 6 {
            let Some(function) = functions.choose(&mut rng) else { continue };
            let mut args: Vec<TypeId> = function.args.to_vec();
            for arg in &mut args {
                if arg.is_polymorphic() || *arg == TypeId::ANY || rng.random_range(0..3) == 0 {
                    *arg = *types.choose(&mut rng).unwrap_or(&TypeId::TEXT);
                }
            }
            match rng.random_range(0..8) {
                0 => drop(args.pop()),
                1 => args.push(TypeId::INT4),
                _ => {}
            }
            let list: Vec<String> = args.iter().map(|ty| null_of(*ty)).collect();
            let sql = format!("\"{name}\"({})", list.join(", "));
            let args: Vec<Expr> = args.into_iter().map(Expr::null).collect();
            cases.push((
                sql,
                resolve(|r| {
                    if let [arg] = args.as_slice()
                        && let Some(cast) = r.function_cast(name, arg)
                    {
                        return Ok(cast.type_id());
                    }
                    r.function(name, args, &[], false).map(|resolved| resolved.ty.id)
                }),
            ));
        }
    }
    ask(oracle, cases).await
}

fn resolve(work: impl FnOnce(&mut Resolver<'_>) -> dataman_pg::Result<TypeId>) -> Answer {
    let mut params = FixedParameters::default();
    match work(&mut Resolver { params: &mut params, types: &NoUserTypes }) {
        Ok(ty) => Answer::Value(catalog::format_type(ty, -1)),
        Err(error) => Answer::from_error(&error),
    }
}

async fn ask(oracle: &Oracle, cases: Vec<(String, Answer)>) -> Report {
    let mut report = Report::default();
    for batch in cases.chunks(BATCH) {
        let statements: Vec<String> =
            batch.iter().map(|(sql, _)| format!("SELECT {sql}")).collect();
        let prepared = statements.iter().map(|sql| oracle.session().prepare(sql));
        for ((sql, ours), theirs) in batch.iter().zip(join_all(prepared).await) {
            let theirs = match theirs {
                Ok(statement) => {
                    let oid = statement.columns().first().map_or(0, |column| column.type_().oid());
                    Answer::Value(catalog::format_type(TypeId(oid), -1))
                }
                Err(error) => match error.as_db_error() {
                    Some(error) => Answer::Error {
                        sqlstate: error.code().code().to_owned(),
                        message: error.message().to_owned(),
                    },
                    None => panic!("the connection broke: {error}"),
                },
            };
            let subject = sql.split(['(', ' ']).nth(1).filter(|_| !sql.starts_with('"'));
            report.compare(
                subject.unwrap_or_else(|| sql.split('(').next().unwrap_or("")),
                sql,
                ours,
                &theirs,
            );
        }
    }
    report
}
