use super::*;
use crate::resolve::{CastContext, FixedParameters, NoUserTypes, Resolver};
use crate::types::TypeRef;

fn with<T>(work: impl FnOnce(&mut Resolver<'_>) -> Result<T>) -> Result<T> {
    work(&mut Resolver { params: &mut FixedParameters::default(), types: &NoUserTypes })
}

fn int(value: i32) -> Expr {
    Expr::constant(Value::Int4(value), TypeId::INT4)
}

fn boolean(value: Option<bool>) -> Expr {
    Expr::constant(value.map_or(Value::Null, Value::Bool), TypeId::BOOL)
}

fn literal(text: &str) -> Expr {
    Expr::constant(Value::text(text), TypeId::UNKNOWN)
}

fn show(expr: &Expr) -> String {
    let computed = Evaluator::compile(expr, &|_| None)
        .and_then(|evaluator| evaluator.eval(&[], &[], &Context::default()));
    match computed {
        Err(e) => format!("{} {}", e.sqlstate(), e.message()),
        Ok(Value::Null) => "NULL".to_owned(),
        Ok(value) => {
            let mut out = Vec::new();
            crate::io::text::output(&value, expr.type_id(), &Context::default(), &mut out);
            String::from_utf8(out).expect("text output is UTF-8")
        }
    }
}

fn check(expr: Result<Expr>, expected: &str) {
    let shown = match expr {
        Err(e) => format!("{} {}", e.sqlstate(), e.message()),
        Ok(expr) => show(&expr),
    };
    assert_eq!(shown, expected);
}

#[test]
fn logic_has_three_values() {
    let (yes, no, null) = (Some(true), Some(false), None);
    let broken = || Expr::Column { index: 9, ty: TypeId::BOOL.into() };
    let and = |args: &[Option<bool>]| Ok(Expr::And(args.iter().map(|a| boolean(*a)).collect()));
    let or = |args: &[Option<bool>]| Ok(Expr::Or(args.iter().map(|a| boolean(*a)).collect()));
    check(and(&[yes, null]), "NULL");
    check(and(&[null, no]), "f");
    check(and(&[yes, yes]), "t");
    check(or(&[no, null]), "NULL");
    check(or(&[null, yes]), "t");
    check(Ok(Expr::Not(Box::new(boolean(null)))), "NULL");
    check(Ok(Expr::And(vec![boolean(no), broken()])), "f");
    check(Ok(Expr::And(vec![boolean(null), broken()])), "XX000 the row has no column 9");
}

#[test]
fn comparisons() {
    let op = |operator, left, right| with(|r| r.binary(operator, left, right));
    check(op("=", int(1), int(1)), "t");
    check(op("<", int(1), literal("2")), "t");
    check(op("=", int(1), Expr::null(TypeId::INT4)), "NULL");
    check(op("<>", literal("a"), literal("b")), "t");
}

#[test]
fn array_operators() {
    let any = |operator, left, array, all| with(|r| r.array_operator(operator, left, array, all));
    let array = |elements: Vec<Expr>| Expr::Array { elements, ty: TypeId::INT4_ARRAY };
    let null = || Expr::null(TypeId::INT4);
    check(any("=", int(1), array(vec![int(2), int(1)]), false), "t");
    check(any("=", int(1), array(vec![int(2), null()]), false), "NULL");
    check(any("<>", int(1), array(vec![int(2), null()]), true), "NULL");
    check(any("=", null(), array(vec![]), false), "f");
    check(any("=", null(), array(vec![]), true), "t");
    check(any("=", int(3), literal("{1,2,3}"), false), "t");
    check(any("=", int(10), literal("{1,2,3,4,5,6,7,8,9,10,NULL}"), false), "t");
    check(any("=", int(11), literal("{1,2,3,4,5,6,7,8,9,10,NULL}"), false), "NULL");
    check(any("=", int(1), int(2), false), "42809 op ANY/ALL (array) requires array on right side");
}

#[test]
fn casts() {
    let cast = |expr, target: TypeRef| with(|r| r.cast(expr, target, CastContext::Explicit));
    let varchar = |length: i32| TypeRef { id: TypeId::VARCHAR, typmod: length + 4 };
    check(cast(literal("abcdef"), varchar(3)), "abc");
    check(cast(int(5), TypeId::TEXT.into()), "5");
    check(cast(literal("12"), TypeId::INT4.into()), "12");
    check(cast(Expr::constant(Value::text(" 7 "), TypeId::TEXT), TypeId::INT4.into()), "7");
    check(cast(literal("{1,2}"), TypeId::INT4_ARRAY.into()), "{1,2}");
    check(cast(boolean(Some(true)), TypeId::INT4.into()), "1");
    let texts = cast(literal("{1,2}"), TypeId::TEXT_ARRAY.into()).expect("reads");
    check(cast(texts, TypeId::INT4_ARRAY.into()), "{1,2}");
    check(cast(int(5), TypeId::REGCLASS.into()), "5");
}

#[test]
fn arrays() {
    let array = |elements: Vec<Expr>| Expr::Array { elements, ty: TypeId::INT4_ARRAY };
    let nested = || array(vec![array(vec![int(1), int(2)]), array(vec![int(3), int(4)])]);
    check(Ok(nested()), "{{1,2},{3,4}}");
    check(
        Ok(array(vec![array(vec![int(1)]), array(vec![int(3), int(4)])])),
        "2202E multidimensional arrays must have array expressions with matching dimensions",
    );
    let at = |subscripts: Vec<SubscriptIndex>, ty| {
        Ok(Expr::Subscript { array: Box::new(nested()), subscripts, ty })
    };
    use crate::expr::SubscriptIndex::{self, At, Slice};
    check(at(vec![At(int(2)), At(int(1))], TypeId::INT4), "3");
    check(at(vec![At(int(3)), At(int(1))], TypeId::INT4), "NULL");
    check(at(vec![At(int(1))], TypeId::INT4), "NULL");
    check(at(vec![Slice(Some(int(2)), None)], TypeId::INT4_ARRAY), "{{3,4}}");
    check(at(vec![Slice(None, None), At(int(1))], TypeId::INT4_ARRAY), "{{1},{3}}");
    check(at(vec![Slice(Some(int(5)), None)], TypeId::INT4_ARRAY), "{}");
}

#[test]
fn what_is_not_computed_is_named() {
    let refusal = |expr: Result<Expr>| {
        let error = check_computed(&expr.expect("it resolves")).expect_err("it is not computed");
        assert_eq!(error.sqlstate(), "0A000");
        error.message().to_owned()
    };
    let vector = || Expr::Column { index: 0, ty: TypeId(3614).into() };
    let message = refusal(with(|r| r.binary("||", vector(), vector())));
    assert_eq!(message, "operator tsvector || tsvector is not computed by dataman yet");
    assert_eq!(
        refusal(Ok(vector())),
        "values of type tsvector are not computed with by dataman yet"
    );
    let message = refusal(with(|r| r.cast(vector(), TypeId::TEXT.into(), CastContext::Explicit)));
    assert_eq!(message, "the cast from tsvector to text is not computed by dataman yet");
}

#[test]
fn folds_constants() {
    let folded = fold(&with(|r| r.binary("=", int(1), int(1))).expect("it resolves"));
    assert_eq!(folded, Some(boolean(Some(true))));
    let cast = with(|r| r.cast(boolean(Some(true)), TypeId::INT4.into(), CastContext::Explicit));
    assert_eq!(cast, Ok(int(1)));
    assert_eq!(fold(&int(1)), None);
}
