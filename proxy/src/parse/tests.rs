//! The parser's own tests; `sql-tests/tests/syntax.rs` compares it with a server.

use super::syntax::{
    Expr, ExprKind, ParsedStatement, Select, SelectBody, SelectItem, Statement, TableRef,
};
use super::{parse, parse_expression};

fn one(sql: &str) -> ParsedStatement {
    let mut statements = parse(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    assert_eq!(statements.len(), 1, "{sql}");
    statements.remove(0)
}

fn select(sql: &str) -> Select {
    match one(sql).statement {
        Statement::Select(select) => *select,
        other => panic!("{sql}: {other:?}"),
    }
}

/// An expression in a form that shows how it was grouped.
fn shape(expr: &Expr) -> String {
    match &expr.kind {
        ExprKind::Number(text) => text.clone(),
        ExprKind::String(text) => format!("'{text}'"),
        ExprKind::Column(parts) => parts.join("."),
        ExprKind::Param(number) => format!("${number}"),
        ExprKind::Binary { operator, left, right } => {
            format!("({} {operator} {})", shape(left), shape(right))
        }
        ExprKind::Prefix { operator, arg } => format!("({operator} {})", shape(arg)),
        ExprKind::And(left, right) => format!("({} and {})", shape(left), shape(right)),
        ExprKind::Or(left, right) => format!("({} or {})", shape(left), shape(right)),
        ExprKind::Not(arg) => format!("(not {})", shape(arg)),
        ExprKind::Is { arg, test, negated } => {
            format!("({} is {}{test})", shape(arg), if *negated { "not " } else { "" })
        }
        ExprKind::Distinct { left, right, .. } => {
            format!("({} distinct {})", shape(left), shape(right))
        }
        ExprKind::Between { arg, low, high, .. } => {
            format!("({} between {} & {})", shape(arg), shape(low), shape(high))
        }
        ExprKind::Like { kind, arg, pattern, .. } => {
            format!("({} {kind} {})", shape(arg), shape(pattern))
        }
        ExprKind::InList { arg, list, .. } => {
            format!("({} in {})", shape(arg), list.iter().map(shape).collect::<Vec<_>>().join(","))
        }
        ExprKind::Cast { arg, ty } => format!("{}::{}", shape(arg), ty.name.parts.join(".")),
        ExprKind::TypedString(ty, text) => format!("{} '{text}'", ty.name.parts.join(".")),
        ExprKind::Row(fields) => {
            format!("row[{}]", fields.iter().map(shape).collect::<Vec<_>>().join(","))
        }
        ExprKind::Collate(arg, name) => {
            format!("({} collate {})", shape(arg), name.parts.join("."))
        }
        ExprKind::Subquery(_) => "subquery".to_owned(),
        ExprKind::Function(call) => {
            let args: Vec<_> = call.args.iter().map(|arg| shape(&arg.value)).collect();
            format!("{}({})", call.name.parts.join("."), args.join(","))
        }
        other => format!("{other:?}"),
    }
}

#[track_caller]
fn check_shape(text: &str, expected: &str) {
    match parse_expression(text) {
        Ok(expr) => assert_eq!(shape(&expr), expected, "{text}"),
        Err(error) => panic!("{text}: {error}"),
    }
}

#[track_caller]
fn check_error(sql: &str, message: &str, position: usize) {
    let error = parse(sql).err().unwrap_or_else(|| panic!("{sql} was accepted"));
    assert_eq!((error.message(), error.position()), (message, Some(position)), "{sql}");
}

#[test]
fn operators_bind_as_in_postgresql() {
    check_shape("1 + 2 * 3 ^ 2 - 4", "((1 + (2 * (3 ^ 2))) - 4)");
    check_shape("-1 ^ 2", "((- 1) ^ 2)");
    check_shape("-1::int2", "(- 1::int2)");
    check_shape("a || b = c and not d < e or f", "((((a || b) = c) and (not (d < e))) or f)");
    check_shape("a = b is null", "((a = b) is NULL)");
    check_shape("not a is not true", "(not (a is not TRUE))");
    check_shape("a -> 'b' ->> 'c' = 'd'", "(((a -> 'b') ->> 'c') = 'd')");
    check_shape("a between 1 and 2 and b", "((a between 1 & 2) and b)");
    check_shape("a between 1 + 1 and 2 * 2 or b", "((a between (1 + 1) & (2 * 2)) or b)");
    check_shape("a like b || '%' and c", "((a LIKE (b || '%')) and c)");
    check_shape("a at time zone 'utc' at time zone b", "timezone(b,timezone('utc',a))");
    check_shape("@ a + b", "(@ (a + b))");
    check_shape("a != b", "(a <> b)");
    check_shape("a is distinct from b + 1", "(a distinct (b + 1))");
    check_shape("(a, b) = (1, 2)", "(row[a,b] = row[1,2])");
    check_shape("a operator(pg_catalog.+) b * c", "(a + (b * c))");
    check_shape("a and b and c and d", "((a and b) and (c and d))");
    check_shape("((select 1) + 1) * 2", "((subquery + 1) * 2)");
    check_shape("a*-b", "(a * (- b))");
    check_shape("a--b", "a");
    check_shape("a collate \"C\" < b", "((a collate C) < b)");
}

#[test]
fn forms_with_their_own_grammar() {
    check_shape("extract(year from d)", "extract('year',d)");
    check_shape("substring(a from 2 for 3)", "substring(a,2,3)");
    check_shape("substring(a for 3)", "substring(a,1,3::pg_catalog.int4)");
    check_shape("substring(a, 2)", "substring(a,2)");
    check_shape("position('a' in b)", "position(b,'a')");
    check_shape("overlay(a placing b from 1 for 2)", "overlay(a,b,1,2)");
    check_shape("trim(leading 'x' from a)", "ltrim(a,'x')");
    check_shape("trim(a)", "btrim(a)");
    check_shape("date '2020-01-01' - 1", "(date '2020-01-01' - 1)");
    check_shape("interval '1' day", "interval '1'");
    check_shape("timestamp with time zone '2020-01-01'", "timestamptz '2020-01-01'");
    check_shape("double precision '1.5'", "float8 '1.5'");
    check_shape("U&'d\\0061t\\+000061'", "'data'");
    check_shape("U&'d!0061t' uescape '!'", "'dat'");
    check_shape("E'a\\'b\\n\\x41\\u00e9'", "'a'b\nA\u{e9}'");
    check_shape("$q$it's$q$", "'it's'");
    check_shape("'a'\n 'b'", "'ab'");
    check_shape("(a, b) overlaps (c, d)", "overlaps(a,b,c,d)");
}

#[test]
fn errors_are_postgresqls() {
    check_error("select 1 +", "syntax error at end of input", 11);
    check_error("selekt 1", "syntax error at or near \"selekt\"", 1);
    check_error("select 1; sélect 2", "syntax error at or near \"sélect\"", 11);
    check_error("select 'é' from from t", "syntax error at or near \"from\"", 17);
    check_error("select 1 < 2 < 3", "syntax error at or near \"<\"", 14);
    check_error("select `a` from t", "syntax error at or near \"from\"", 12);
    check_error("select 1, from t", "syntax error at or near \"from\"", 11);
    check_error("select * from (select 1)", "subquery in FROM must have an alias", 15);
    check_error("select 'abc", "unterminated quoted string at or near \"'abc\"", 8);
    check_error("select 1a", "trailing junk after numeric literal at or near \"1a\"", 8);
    check_error("select 1 limit 1, 2", "LIMIT #,# syntax is not supported", 10);
}

#[test]
fn statements_keep_their_text() {
    let statements =
        parse(" select ';' ; /* ; */ insert into t values ($$;$$) ;; ").expect("two statements");
    let texts: Vec<_> =
        statements.iter().map(|statement| (statement.text.as_str(), statement.offset)).collect();
    assert_eq!(texts, [("select ';'", 1), ("insert into t values ($$;$$)", 22)]);
    assert!(matches!(one("").statement, Statement::Empty));
    assert!(matches!(one(" ; -- nothing").statement, Statement::Empty));
}

#[test]
fn spans_are_where_the_names_stand() {
    let sql = "select 1; SELECT t.a + f(B) FROM \"my Schema\".T t";
    let statement = parse(sql).expect("two statements").remove(1);
    let Statement::Select(select) = statement.statement else { panic!("not a select") };
    let SelectBody::Query(query) = select.body else { panic!("not a query") };
    let text = |span: super::syntax::Span| &statement.text[span.start..span.end];
    let TableRef::Table { name, .. } = &query.from[0] else { panic!("not a table") };
    assert_eq!(text(name.span), "\"my Schema\".T");
    let SelectItem::Expr { expr, .. } = &query.items[0] else { panic!("not an expression") };
    assert_eq!(text(expr.span), "+");
    let ExprKind::Binary { left, right, .. } = &expr.kind else { panic!("not an operator") };
    assert_eq!(text(left.span), "t.a");
    assert_eq!(text(right.span), "f");
}

#[test]
fn deep_nesting_is_an_error() {
    for (open, close) in [
        ("(", ")"),
        ("(select ", ")"),
        ("- ", ""),
        ("not ", ""),
        ("array[", "]"),
        ("f(", ")"),
        ("case when ", " then 1 end"),
    ] {
        let sql = format!("select {}1{}", open.repeat(100_000), close.repeat(100_000));
        let error = parse(&sql).expect_err("too deep");
        assert_eq!(error.sqlstate(), "54001", "{open}");
    }
    let sql = format!("select 1{}", " + 1".repeat(100_000));
    assert_eq!(parse(&sql).expect_err("too long").sqlstate(), "54001");
    let sql = format!("select 1 where a = 1{}", " or a = 1".repeat(10_000));
    assert!(parse(&sql).is_ok());
    let sql = format!("select * from {}t", "(".repeat(100_000));
    assert_eq!(parse(&sql).expect_err("too deep").sqlstate(), "54001");
}

#[test]
fn what_is_refused_is_refused_when_it_runs() {
    let statements = parse("begin; listen x; commit").expect("three statements");
    assert!(
        matches!(&statements[1].statement, Statement::Unsupported(what) if what.message == "LISTEN is not supported")
    );
    assert_eq!(select("table t").order_by.len(), 0);
}
