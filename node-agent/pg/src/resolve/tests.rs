use super::*;
use crate::value::Value;
use crate::{PgError, catalog};

/// Parameters that take whatever type is decided first.
#[derive(Default)]
struct OpenParameters(std::collections::BTreeMap<u16, TypeId>);

impl ParameterTypes for OpenParameters {
    fn get(&self, index: u16) -> TypeId {
        self.0.get(&index).copied().unwrap_or(TypeId::UNKNOWN)
    }

    fn decide(&mut self, index: u16, ty: TypeId) -> Result<()> {
        match *self.0.entry(index).or_insert(ty) {
            decided if decided == ty => Ok(()),
            decided => Err(PgError::new("42P08", format!("{} or {}", decided.0, ty.0))),
        }
    }
}

const MOOD: TypeId = TypeId(20_000);
const MOOD_ARRAY: TypeId = TypeId(20_001);

struct Moods;

impl UserTypes for Moods {
    fn describe(&self, id: TypeId) -> Option<UserType> {
        let none = UserType { name: "mood".to_owned(), element: None, array: None, labels: vec![] };
        match id {
            MOOD => Some(UserType {
                array: Some(MOOD_ARRAY),
                labels: vec!["sad".into(), "happy".into()],
                ..none
            }),
            MOOD_ARRAY => Some(UserType { name: "_mood".to_owned(), element: Some(MOOD), ..none }),
            _ => None,
        }
    }

    fn named(&self, name: &str) -> Option<TypeId> {
        (name == "mood").then_some(MOOD)
    }
}

fn with<T>(work: impl FnOnce(&mut Resolver<'_>) -> T) -> T {
    let mut params = OpenParameters::default();
    work(&mut Resolver { params: &mut params, types: &Moods })
}

/// An expression of a type: its NULL, or for `unknown` a literal that is NULL.
fn of(id: TypeId) -> Expr {
    Expr::null(id)
}

fn literal(text: &str) -> Expr {
    Expr::constant(Value::text(text), TypeId::UNKNOWN)
}

fn describe(result: Result<Expr>) -> String {
    match result {
        Err(e) => format!("{} {}", e.sqlstate(), e.message()),
        Ok(Expr::Call(call)) => {
            let function = catalog::function(call.function).map_or("?", |f| f.source);
            let args: Vec<String> =
                call.args.iter().map(|a| catalog::format_type(a.type_id(), -1)).collect();
            format!(
                "{function}({}) {}",
                args.join(", "),
                catalog::format_type(call.ty.id, call.ty.typmod)
            )
        }
        Ok(other) => format!("{other:?}"),
    }
}

#[test]
fn operators() {
    let check = |left: Expr, operator: &str, right: Expr, expected: &str| {
        assert_eq!(describe(with(|r| r.binary(operator, left, right))), expected);
    };
    let (int4, text) = (TypeId::INT4, TypeId::TEXT);
    check(of(int4), "+", of(int4), "int4pl(integer, integer) integer");
    check(of(int4), "+", of(TypeId::INT8), "int48pl(integer, bigint) bigint");
    check(of(int4), "+", of(TypeId::NUMERIC), "numeric_add(numeric, numeric) numeric");
    check(of(int4), "+", of(TypeId::FLOAT4), "float84pl(double precision, real) double precision");
    check(of(TypeId::UNKNOWN), "+", of(int4), "int4pl(integer, integer) integer");
    check(of(text), "=", of(int4), "42883 operator does not exist: text = integer");
    check(
        of(TypeId::UNKNOWN),
        "+",
        of(TypeId::UNKNOWN),
        "42725 operator is not unique: unknown + unknown",
    );
    check(of(TypeId::UNKNOWN), "||", of(TypeId::UNKNOWN), "textcat(text, text) text");
    check(of(int4), "||", of(text), "anytextcat(anynonarray,text)(integer, text) text");
    check(of(TypeId::INT4_ARRAY), "||", of(int4), "array_append(integer[], integer) integer[]");
    check(
        of(TypeId::INT4_ARRAY),
        "||",
        of(TypeId::INT8),
        "array_append(bigint[], bigint) bigint[]",
    );
    check(of(TypeId::VARCHAR), "=", of(TypeId::BPCHAR), "bpchareq(character, character) boolean");
    check(of(TypeId::VARCHAR), "=", of(TypeId::VARCHAR), "texteq(text, text) boolean");
    check(of(MOOD), "=", literal("happy"), "enum_eq(???, ???) boolean");
    check(of(MOOD), "=", literal("glad"), "22P02 invalid input value for enum mood: \"glad\"");
    check(of(MOOD), "=", of(text), "42883 operator does not exist: mood = text");
    check(of(TypeId::DATE), "-", of(TypeId::DATE), "date_mi(date, date) integer");
    check(of(TypeId::DATE), "+", literal("1 day"), "42725 operator is not unique: date + unknown");
    check(of(TypeId::JSONB), "->", literal("a"), "jsonb_object_field(jsonb, text) jsonb");
    check(
        of(TypeId::INT4_ARRAY),
        "=",
        of(TypeId::UNKNOWN),
        "array_eq(integer[], integer[]) boolean",
    );
}

#[test]
fn functions() {
    let check = |name: &str, args: &[TypeId], expected: &str| {
        let args = args.iter().map(|id| of(*id)).collect();
        let resolved = with(|r| r.function(name, args, &[], false));
        let call = resolved.map(|r| {
            Expr::Call(crate::expr::Call {
                function: r.function.id,
                operator: None,
                args: r.args,
                variadic: r.variadic,
                ty: r.ty,
            })
        });
        assert_eq!(describe(call), expected);
    };
    let (int4, text, unknown) = (TypeId::INT4, TypeId::TEXT, TypeId::UNKNOWN);
    check("abs", &[int4], "int4abs(integer) integer");
    check("sqrt", &[int4], "dsqrt(double precision) double precision");
    check("sqrt", &[TypeId::NUMERIC], "numeric_sqrt(numeric) numeric");
    check("lower", &[TypeId::VARCHAR], "lower(text) text");
    check("lower", &[int4], "42883 function lower(integer) does not exist");
    check("foo", &[int4, unknown], "42883 function foo(integer, unknown) does not exist");
    check("round", &[unknown], "dround(double precision) double precision");
    check("concat", &[int4, text], "text_concat(integer, text) text");
    check(
        "array_append",
        &[TypeId::INT4_ARRAY, unknown],
        "array_append(integer[], integer) integer[]",
    );
    check(
        "array_append",
        &[TypeId::INT4_ARRAY, TypeId::NUMERIC],
        "array_append(numeric[], numeric) numeric[]",
    );
    check(
        "make_interval",
        &[int4],
        "make_interval(integer, integer, integer, integer, integer, integer, double precision) interval",
    );
    check(
        "json_extract_path",
        &[TypeId::JSON, unknown, text],
        "json_extract_path(json, text[]) json",
    );
    check("array_agg", &[int4], "aggregate_dummy(integer) integer[]");
    check("count", &[], "aggregate_dummy() bigint");
    check("sum", &[int4], "aggregate_dummy(integer) bigint");
    check("max", &[TypeId::VARCHAR], "aggregate_dummy(text) text");
    check("max", &[MOOD], "aggregate_dummy(???) ???");
    check("unnest", &[unknown], "42725 function unnest(unknown) is not unique");
    check("float8", &[unknown], "42883 function float8(unknown) does not exist");
}

#[test]
fn named_arguments() {
    let names = [None, Some("days".to_owned())];
    let resolved = with(|r| {
        r.function("make_interval", vec![of(TypeId::INT4), of(TypeId::INT4)], &names, false)
    });
    assert_eq!(resolved.map(|r| r.args.len()), Ok(7));
    let names = [Some("day".to_owned())];
    let missing = with(|r| r.function("make_interval", vec![of(TypeId::INT4)], &names, false));
    let message = missing.expect_err("no such name").message().to_owned();
    assert_eq!(message, "function make_interval(day => integer) does not exist");
}

#[test]
fn casts() {
    let check = |expr: Expr, target: TypeRef, context: CastContext, expected: &str| {
        let result = with(|r| r.cast(expr, target, context));
        let text = match result {
            Err(e) => format!("{} {}", e.sqlstate(), e.message()),
            Ok(expr) => serde_json::to_string(&expr).expect("serializes"),
        };
        assert_eq!(text, expected);
    };
    use CastContext::{Assignment, Explicit, Implicit};
    let cannot = "42846 cannot cast type text to integer";
    check(of(TypeId::TEXT), TypeId::INT4.into(), Implicit, cannot);
    check(of(TypeId::TEXT), TypeId::INT4.into(), Assignment, cannot);
    check(
        of(TypeId::BYTEA),
        TypeId::INT4.into(),
        Explicit,
        "42846 cannot cast type bytea to integer",
    );
    check(
        literal("12"),
        TypeId::INT4.into(),
        Implicit,
        r#"{"const":{"type":"int4","value":"12"}}"#,
    );
    check(
        literal("x"),
        TypeId::INT4.into(),
        Implicit,
        r#"22P02 invalid input syntax for type integer: "x""#,
    );
}

#[test]
fn common_types() {
    let check = |types: &[TypeId], expected: &str| {
        let exprs: Vec<Expr> = types.iter().map(|id| of(*id)).collect();
        let text = match with(|r| r.common_type(&exprs, "CASE")) {
            Err(e) => e.message().to_owned(),
            Ok(id) => catalog::format_type(id, -1),
        };
        assert_eq!(text, expected);
    };
    let (int4, text, unknown) = (TypeId::INT4, TypeId::TEXT, TypeId::UNKNOWN);
    check(&[int4, TypeId::INT8], "bigint");
    check(&[TypeId::FLOAT4, TypeId::NUMERIC], "real");
    check(&[TypeId::NUMERIC, TypeId::FLOAT4], "real");
    check(&[unknown, unknown], "text");
    check(&[unknown, int4, unknown], "integer");
    check(&[int4, text], "CASE types integer and text cannot be matched");
    check(&[TypeId::VARCHAR, TypeId::BPCHAR, text], "character varying");
    check(&[TypeId::DATE, TypeId::TIMESTAMPTZ], "timestamp with time zone");
}

#[test]
fn parameters() {
    let mut params = OpenParameters::default();
    let mut resolver = Resolver { params: &mut params, types: &NoUserTypes };
    let param = Expr::Param { index: 1, ty: TypeId::UNKNOWN };
    let sum = resolver.binary("+", param, of(TypeId::INT8));
    assert_eq!(describe(sum), "int8pl(bigint, bigint) bigint");
    assert_eq!(params.get(1), TypeId::INT8);
}

#[test]
fn booleans() {
    let wrong = with(|r| r.to_boolean(of(TypeId::INT4), "WHERE")).expect_err("not a boolean");
    assert_eq!(wrong.message(), "argument of WHERE must be type boolean, not type integer");
    assert!(with(|r| r.to_boolean(literal("t"), "WHERE")).is_ok());
}
