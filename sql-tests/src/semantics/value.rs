//! Every type's input and output in text and binary, its order, its hash and its ordered bytes.

use std::cmp::Ordering;
use std::hash::{DefaultHasher, Hasher};

use dataman_pg::resolve::{FixedParameters, NoUserTypes, Resolver};
use dataman_pg::{Context, TypeId, TypeRef, Value, catalog, io, order};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::function::type_name;
use super::oracle::{Answer, Oracle, quote};
use super::report::Report;
use super::{Effort, pool};

fn tried_types() -> Vec<TypeId> {
    let arrays =
        [TypeId::INT4_ARRAY, TypeId::TEXT_ARRAY, TypeId::NUMERIC_ARRAY, TypeId::TIMESTAMPTZ_ARRAY];
    pool::SCALARS.iter().copied().chain(arrays).collect()
}

/// What our input and then output make of a text.
fn read_and_write(text: &str, ty: TypeId, context: &Context) -> Answer {
    match io::text::input(text, TypeRef::plain(ty), context) {
        Err(error) => Answer::from_error(&error),
        Ok(value) => Answer::Value(write(&value, ty, context)),
    }
}

fn write(value: &Value, ty: TypeId, context: &Context) -> String {
    let mut out = Vec::new();
    io::text::output(value, ty, context, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// Whether a type's text is read here at all.
fn is_read(ty: TypeId) -> bool {
    pool::fixed(ty).first().is_some_and(|text| {
        let read = io::text::input(text, TypeRef::plain(ty), &Context::default());
        !read.is_err_and(|error| error.sqlstate() == "0A000")
    })
}

/// Compares input and output in text: each type's own values, and what belongs to other types.
pub async fn compare_text(oracle: &Oracle, context: &Context, effort: Effort) -> Report {
    let mut cases = Vec::new();
    // Paths are written back in a normal form.
    let mut paths = pool::fixed(TypeId::JSONPATH);
    let mut rng = StdRng::seed_from_u64(effort.seed);
    paths.extend((0..effort.cases * 4).map(|_| pool::random(TypeId::JSONPATH, &mut rng)));
    for text in paths {
        let sql = format!("{}::jsonpath", quote(&text));
        cases.push(("jsonpath".to_owned(), sql, read_and_write(&text, TypeId::JSONPATH, context)));
    }
    for ty in tried_types().into_iter().filter(|ty| is_read(*ty)) {
        let mut rng = StdRng::seed_from_u64(effort.seed ^ u64::from(ty.0));
        let mut texts = pool::fixed(ty);
        texts.extend(pool::fixed(TypeId::TEXT));
        for _ in 0..effort.cases {
            texts.push(pool::random(ty, &mut rng));
            let other = pool::SCALARS.choose(&mut rng).copied().unwrap_or(TypeId::TEXT);
            texts.push(pool::any(other, &mut rng));
            texts.push(mutate(&pool::any(ty, &mut rng), &mut rng));
        }
        for text in texts {
            let sql = format!("{}::{}", quote(&text), type_name(ty));
            let ours = read_and_write(&text, ty, context);
            cases.push((catalog::format_type(ty, -1), sql, ours));
        }
    }
    ask(oracle, &cases).await
}

/// Takes a character out, doubles one, or puts a strange one in.
fn mutate(text: &str, rng: &mut StdRng) -> String {
    use rand::RngExt;
    const STRANGE: &[char] =
        &[' ', '-', '+', '.', ':', '0', '9', 'e', 'T', 'Z', '"', '{', '}', ',', '\\', 'é', '/'];
    let mut letters: Vec<char> = text.chars().collect();
    let place = rng.random_range(0..=letters.len());
    match rng.random_range(0..3) {
        0 if place < letters.len() => {
            letters.remove(place);
        }
        1 if place < letters.len() => letters.insert(place, letters[place]),
        _ => letters.insert(place, STRANGE[rng.random_range(0..STRANGE.len())]),
    }
    letters.into_iter().collect()
}

async fn ask(oracle: &Oracle, cases: &[(String, String, Answer)]) -> Report {
    let questions: Vec<String> = cases.iter().map(|(_, sql, _)| sql.clone()).collect();
    let answers = oracle.answers(&questions).await;
    let mut report = Report::default();
    for ((subject, sql, ours), theirs) in cases.iter().zip(&answers) {
        report.compare(subject, sql, ours, theirs);
    }
    report
}

/// Compares the binary form with what the server sends, and reads it back.
pub async fn compare_binary(oracle: &Oracle, context: &Context, effort: Effort) -> Report {
    let mut cases = Vec::new();
    let mut report = Report::default();
    for ty in tried_types().into_iter().filter(|ty| is_read(*ty)) {
        let subject = catalog::format_type(ty, -1);
        let sql = format!("SELECT typsend::text FROM pg_type WHERE oid = {}", ty.0);
        let row = oracle.session().query_one(&sql, &[]).await.expect("the type exists");
        let send: String = row.get(0);
        let mut rng = StdRng::seed_from_u64(effort.seed ^ u64::from(ty.0) << 8);
        let mut texts = pool::fixed(ty);
        texts.extend((0..effort.cases).map(|_| pool::random(ty, &mut rng)));
        for text in texts {
            let Ok(value) = io::text::input(&text, TypeRef::plain(ty), context) else { continue };
            let mut bytes = Vec::new();
            io::binary::encode(&value, ty, &mut bytes);
            let hex = bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
            let sql = format!("encode({send}({}::{}), 'hex')", quote(&text), type_name(ty));
            cases.push((subject.clone(), sql, Answer::Value(hex)));
            let back = match io::binary::decode(&bytes, TypeRef::plain(ty)) {
                Err(error) => Answer::from_error(&error),
                Ok(value) => Answer::Value(write(&value, ty, context)),
            };
            let before = Answer::Value(write(&value, ty, context));
            report.compare(&format!("{subject} read back"), &text, &back, &before);
        }
    }
    let questions: Vec<String> = cases.iter().map(|(_, sql, _)| sql.clone()).collect();
    let answers = oracle.answers(&questions).await;
    for ((subject, sql, ours), theirs) in cases.iter().zip(&answers) {
        report.compare(subject, sql, ours, theirs);
    }
    report
}

/// Compares the order of values with the server's operators, and hash and ordered bytes with the order.
pub async fn compare_order(oracle: &Oracle, context: &Context, effort: Effort) -> Report {
    let mut report = Report::default();
    let mut cases = Vec::new();
    let mut params = FixedParameters::default();
    let resolver = Resolver { params: &mut params, types: &NoUserTypes };
    for ty in tried_types().into_iter().filter(|ty| is_read(*ty) && resolver.order(*ty).is_some()) {
        let subject = catalog::format_type(ty, -1);
        let mut rng = StdRng::seed_from_u64(effort.seed ^ u64::from(ty.0) << 16);
        let mut texts = pool::fixed(ty);
        texts.extend((0..effort.cases / 2).map(|_| pool::random(ty, &mut rng)));
        let values: Vec<(String, Value)> = texts
            .into_iter()
            .filter_map(|text| {
                let value = io::text::input(&text, TypeRef::plain(ty), context).ok()?;
                Some((text, value))
            })
            .collect();
        for (first, left) in &values {
            check_bytes(&mut report, &subject, (first, left), &values);
            let Some((second, right)) = values.choose(&mut rng) else { continue };
            let ty = type_name(ty);
            let (a, b) = (format!("{}::{ty}", quote(first)), format!("{}::{ty}", quote(second)));
            let sql = format!(
                "CASE WHEN {a} < {b} THEN -1 WHEN {a} = {b} THEN 0 WHEN {a} > {b} THEN 1 END"
            );
            let ours = order::compare(left, right) as i32;
            cases.push((subject.clone(), sql, Answer::Value(ours.to_string())));
        }
    }
    let questions: Vec<String> = cases.iter().map(|(_, sql, _)| sql.clone()).collect();
    let answers = oracle.answers(&questions).await;
    for ((subject, sql, ours), theirs) in cases.iter().zip(&answers) {
        report.compare(subject, sql, ours, theirs);
    }
    report
}

fn check_bytes(
    report: &mut Report,
    subject: &str,
    (text, value): (&str, &Value),
    others: &[(String, Value)],
) {
    let hash_of = |value: &Value| {
        let mut hasher = DefaultHasher::new();
        order::hash(value, &mut hasher);
        hasher.finish()
    };
    let bytes_of = |value: &Value| {
        let mut out = Vec::new();
        order::encode_ordered(value, &mut out);
        out
    };
    let (hash, bytes) = (hash_of(value), bytes_of(value));
    for (other_text, other) in others {
        let ordering = order::compare(value, other);
        if bytes.cmp(&bytes_of(other)) != ordering {
            report.differ(
                subject,
                format!("ordered bytes of {text:?} and {other_text:?} are not {ordering:?}"),
            );
        }
        if ordering == Ordering::Equal && hash != hash_of(other) {
            report.differ(subject, format!("{text:?} equals {other_text:?} and has another hash"));
        }
        if order::compare(other, value) != ordering.reverse() {
            report.differ(subject, format!("{text:?} and {other_text:?} compare both ways alike"));
        }
    }
}
