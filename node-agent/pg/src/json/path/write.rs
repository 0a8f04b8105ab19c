//! A path to its normal text.

use std::fmt::Write as _;

use super::{Comparison, Expr, Path, Step};

/// Writes a path.
pub(super) fn path(path: &Path) -> String {
    let mut out = String::new();
    if path.is_strict {
        out.push_str("strict ");
    }
    expr(&path.expr, true, &mut out);
    out
}

/// How tightly an operator binds.
fn priority(expr: &Expr) -> u8 {
    use super::Arithmetic::{Add, Divide, Modulo, Multiply, Subtract};
    match expr {
        Expr::Or(..) => 0,
        Expr::And(..) => 1,
        Expr::Compare(..) | Expr::StartsWith(..) => 2,
        Expr::Arithmetic(Add | Subtract, ..) => 3,
        Expr::Arithmetic(Multiply | Divide | Modulo, ..) => 4,
        Expr::Sign(..) => 5,
        _ => 6,
    }
}

fn symbol(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Equal => "==",
        Comparison::NotEqual => "!=",
        Comparison::Less => "<",
        Comparison::LessEqual => "<=",
        Comparison::Greater => ">",
        Comparison::GreaterEqual => ">=",
    }
}

fn string(text: &str, out: &mut String) {
    let mut bytes = Vec::new();
    crate::json::escape_string(text, &mut bytes);
    out.push_str(&String::from_utf8_lossy(&bytes));
}

fn binary(whole: &Expr, left: &Expr, word: &str, right: &Expr, brackets: bool, out: &mut String) {
    if brackets {
        out.push('(');
    }
    expr(left, priority(left) <= priority(whole), out);
    let _ = write!(out, " {word} ");
    expr(right, priority(right) <= priority(whole), out);
    if brackets {
        out.push(')');
    }
}

fn expr(written: &Expr, brackets: bool, out: &mut String) {
    match written {
        Expr::Null => out.push_str("null"),
        Expr::Bool(value) => {
            let _ = write!(out, "{value}");
        }
        Expr::Number(number) => {
            let _ = write!(out, "{number}");
        }
        Expr::String(text) => string(text, out),
        Expr::Variable(name) => {
            out.push('$');
            string(name, out);
        }
        Expr::Root => out.push('$'),
        Expr::Current => out.push('@'),
        Expr::Last => out.push_str("last"),
        Expr::Steps(base, steps) => {
            // A number before a point would read as another number.
            let is_number = matches!(**base, Expr::Number(_));
            if is_number {
                out.push('(');
            }
            expr(base, true, out);
            if is_number {
                out.push(')');
            }
            steps.iter().for_each(|step| self::step(step, out));
        }
        Expr::Sign(sign, inner) => {
            if brackets {
                out.push('(');
            }
            out.push_str(sign.symbol());
            expr(inner, priority(inner) <= priority(written), out);
            if brackets {
                out.push(')');
            }
        }
        Expr::Arithmetic(operation, left, right) => {
            binary(written, left, operation.symbol(), right, brackets, out);
        }
        Expr::And(left, right) => binary(written, left, "&&", right, brackets, out),
        Expr::Or(left, right) => binary(written, left, "||", right, brackets, out),
        Expr::Compare(comparison, left, right) => {
            binary(written, left, symbol(*comparison), right, brackets, out);
        }
        Expr::StartsWith(left, right) => {
            binary(written, left, "starts with", right, brackets, out);
        }
        Expr::Not(inner) => {
            out.push_str("!(");
            expr(inner, false, out);
            out.push(')');
        }
        Expr::IsUnknown(inner) => {
            out.push('(');
            expr(inner, false, out);
            out.push_str(") is unknown");
        }
        Expr::Exists(inner) => {
            out.push_str("exists (");
            expr(inner, false, out);
            out.push(')');
        }
        Expr::LikeRegex { value, pattern, flags } => {
            if brackets {
                out.push('(');
            }
            expr(value, priority(value) <= priority(written), out);
            out.push_str(" like_regex ");
            string(pattern, out);
            if !flags.is_empty() {
                out.push_str(" flag ");
                string(flags, out);
            }
            if brackets {
                out.push(')');
            }
        }
    }
}

fn step(written: &Step, out: &mut String) {
    match written {
        Step::Key(key) => {
            out.push('.');
            string(key, out);
        }
        Step::AnyKey => out.push_str(".*"),
        Step::AnyElement => out.push_str("[*]"),
        Step::Subscripts(subscripts) => {
            out.push('[');
            for (place, (from, to)) in subscripts.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                expr(from, false, out);
                if let Some(to) = to {
                    out.push_str(" to ");
                    expr(to, false, out);
                }
            }
            out.push(']');
        }
        Step::Below { first: 0, last: u32::MAX } => out.push_str(".**"),
        Step::Below { first, last } => {
            let level = |level: u32| match level {
                u32::MAX => "last".to_owned(),
                level => level.to_string(),
            };
            let _ = match first == last {
                true => write!(out, ".**{{{}}}", level(*first)),
                false => write!(out, ".**{{{} to {}}}", level(*first), level(*last)),
            };
        }
        Step::Method(method) => {
            let _ = write!(out, ".{}()", method.name());
        }
        Step::Filter(condition) => {
            out.push_str("?(");
            expr(condition, false, out);
            out.push(')');
        }
    }
}
