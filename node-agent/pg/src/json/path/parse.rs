//! Text to a path.

use std::sync::Arc;

use super::lex::{Token, near, tokens};
use super::{Arithmetic, Comparison, Expr, Method, Path, Sign, Step};
use crate::error::{PgError, Result};
use crate::value::Numeric;

/// Reads a path.
pub(super) fn parse(text: &str) -> Result<Path> {
    let tokens = tokens(text)?;
    if tokens.is_empty() {
        return Err(PgError::invalid_text("jsonpath", text));
    }
    let mut parser = Parser { text, tokens, at: 0, filters: 0, subscripts: 0, depth: 0 };
    let is_strict = parser.take_word("strict");
    if !is_strict {
        parser.take_word("lax");
    }
    let parsed = parser.or()?;
    if parser.at < parser.tokens.len() {
        return Err(parser.error());
    }
    Ok(Path { is_strict, expr: parsed.expr })
}

/// An expression, and whether it is a predicate, which the grammar keeps apart.
struct Parsed {
    expr: Expr,
    is_predicate: bool,
    /// In parentheses, or `exists(…)`: what `!` may stand before.
    is_closed: bool,
}

/// Deeper nesting is refused.
const DEPTH_MAX: usize = 200;

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<(usize, Token)>,
    at: usize,
    /// How many filters are around: `@` has a meaning only in one.
    filters: usize,
    /// How many subscripts are around: `last` has a meaning only in one.
    subscripts: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(_, token)| token)
    }

    fn error(&self) -> PgError {
        near(self.text, self.tokens.get(self.at).map_or(self.text.len(), |(start, _)| *start))
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Sign(found)) if *found == sign);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Result<()> {
        if self.take_sign(sign) { Ok(()) } else { Err(self.error()) }
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Token::Word(found)) if found.eq_ignore_ascii_case(word))
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.at += usize::from(found);
        found
    }

    fn predicate(&mut self) -> Result<Expr> {
        let start = self.at;
        let parsed = self.or()?;
        if parsed.is_predicate {
            return Ok(parsed.expr);
        }
        if self.at == start {
            return Err(self.error());
        }
        Err(self.error())
    }

    fn value(&mut self) -> Result<Expr> {
        let parsed = self.sum()?;
        if parsed.is_predicate { Err(self.error()) } else { Ok(parsed.expr) }
    }

    fn or(&mut self) -> Result<Parsed> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(PgError::unsupported("a jsonpath as deep as this is not supported"));
        }
        let mut left = self.and()?;
        while matches!(self.peek(), Some(Token::Sign("||"))) {
            if !left.is_predicate {
                return Err(self.error());
            }
            self.at += 1;
            let right = self.and()?;
            if !right.is_predicate {
                return Err(self.error());
            }
            left = predicate(Expr::Or(Box::new(left.expr), Box::new(right.expr)));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn and(&mut self) -> Result<Parsed> {
        let mut left = self.comparison()?;
        while matches!(self.peek(), Some(Token::Sign("&&"))) {
            if !left.is_predicate {
                return Err(self.error());
            }
            self.at += 1;
            let right = self.comparison()?;
            if !right.is_predicate {
                return Err(self.error());
            }
            left = predicate(Expr::And(Box::new(left.expr), Box::new(right.expr)));
        }
        Ok(left)
    }

    fn comparison(&mut self) -> Result<Parsed> {
        if self.take_sign("!") {
            let inner = self.comparison_operand()?;
            if !inner.is_predicate || !inner.is_closed {
                return Err(self.error());
            }
            return Ok(predicate(Expr::Not(Box::new(inner.expr))));
        }
        let left = self.comparison_operand()?;
        if left.is_predicate {
            if left.is_closed && self.is_word("is") {
                self.at += 1;
                if !self.take_word("unknown") {
                    return Err(self.error());
                }
                return Ok(predicate(Expr::IsUnknown(Box::new(left.expr))));
            }
            return Ok(left);
        }
        let comparison = match self.peek() {
            Some(Token::Sign(sign)) => match *sign {
                "==" | "=" => Some(Comparison::Equal),
                "<>" | "!=" => Some(Comparison::NotEqual),
                "<" => Some(Comparison::Less),
                "<=" => Some(Comparison::LessEqual),
                ">" => Some(Comparison::Greater),
                ">=" => Some(Comparison::GreaterEqual),
                _ => None,
            },
            _ => None,
        };
        if let Some(comparison) = comparison {
            self.at += 1;
            let right = self.value()?;
            return Ok(predicate(Expr::Compare(comparison, Box::new(left.expr), Box::new(right))));
        }
        if self.take_word("starts") {
            if !self.take_word("with") {
                return Err(self.error());
            }
            let initial = match self.peek() {
                Some(Token::String(string)) => Expr::String(string.clone()),
                Some(Token::Variable(name)) => Expr::Variable(name.clone()),
                _ => return Err(self.error()),
            };
            self.at += 1;
            return Ok(predicate(Expr::StartsWith(Box::new(left.expr), Box::new(initial))));
        }
        if self.take_word("like_regex") {
            let Some(Token::String(pattern)) = self.peek().cloned() else {
                return Err(self.error());
            };
            self.at += 1;
            let mut flags = String::new();
            if self.take_word("flag") {
                let Some(Token::String(given)) = self.peek().cloned() else {
                    return Err(self.error());
                };
                self.at += 1;
                flags = checked_flags(&given)?;
            }
            super::run::like_regex("", &pattern, &flags)?;
            let value = Box::new(left.expr);
            return Ok(predicate(Expr::LikeRegex { value, pattern, flags }));
        }
        Ok(left)
    }

    fn comparison_operand(&mut self) -> Result<Parsed> {
        if self.is_word("exists")
            && matches!(self.tokens.get(self.at + 1), Some((_, Token::Sign("("))))
        {
            self.at += 2;
            let inner = self.value()?;
            self.expect(")")?;
            let expr = Expr::Exists(Box::new(inner));
            return Ok(Parsed { expr, is_predicate: true, is_closed: true });
        }
        self.sum()
    }

    fn sum(&mut self) -> Result<Parsed> {
        let mut left = self.product()?;
        loop {
            let operation = match self.peek() {
                Some(Token::Sign("+")) => Arithmetic::Add,
                Some(Token::Sign("-")) => Arithmetic::Subtract,
                _ => return Ok(left),
            };
            left = self.operation(operation, left, Self::product)?;
        }
    }

    fn product(&mut self) -> Result<Parsed> {
        let mut left = self.signed()?;
        loop {
            let operation = match self.peek() {
                Some(Token::Sign("*")) => Arithmetic::Multiply,
                Some(Token::Sign("/")) => Arithmetic::Divide,
                Some(Token::Sign("%")) => Arithmetic::Modulo,
                _ => return Ok(left),
            };
            left = self.operation(operation, left, Self::signed)?;
        }
    }

    fn operation(
        &mut self,
        operation: Arithmetic,
        left: Parsed,
        operand: fn(&mut Self) -> Result<Parsed>,
    ) -> Result<Parsed> {
        if left.is_predicate {
            return Err(self.error());
        }
        self.at += 1;
        let right = operand(self)?;
        if right.is_predicate {
            return Err(self.error());
        }
        Ok(plain(Expr::Arithmetic(operation, Box::new(left.expr), Box::new(right.expr))))
    }

    fn signed(&mut self) -> Result<Parsed> {
        let sign = match self.peek() {
            Some(Token::Sign("+")) => Sign::Plus,
            Some(Token::Sign("-")) => Sign::Minus,
            _ => return self.accessed(),
        };
        self.at += 1;
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(PgError::unsupported("a jsonpath as deep as this is not supported"));
        }
        let operand = self.signed()?;
        self.depth -= 1;
        if operand.is_predicate {
            return Err(self.error());
        }
        // A sign before a literal number is part of it.
        Ok(plain(match (sign, operand.expr) {
            (Sign::Plus, Expr::Number(number)) => Expr::Number(number),
            (Sign::Minus, Expr::Number(number)) => Expr::Number(number.negate()),
            (sign, expr) => Expr::Sign(sign, Box::new(expr)),
        }))
    }

    fn accessed(&mut self) -> Result<Parsed> {
        let mut base = self.primary()?;
        let mut steps = Vec::new();
        while let Some(step) = self.step()? {
            steps.push(step);
        }
        if !steps.is_empty() {
            base = plain(Expr::Steps(Box::new(base.expr), steps));
        }
        Ok(base)
    }

    fn primary(&mut self) -> Result<Parsed> {
        let Some(token) = self.peek().cloned() else { return Err(self.error()) };
        let expr = match token {
            Token::String(string) => Expr::String(string),
            Token::Variable(name) => Expr::Variable(name),
            Token::Number(number) => Expr::Number(Numeric::parse(&number)?),
            Token::Sign("$") => Expr::Root,
            Token::Sign("@") if self.filters == 0 => {
                return Err(PgError::new("42601", "@ is not allowed in root expressions"));
            }
            Token::Sign("@") => Expr::Current,
            Token::Sign("(") => {
                self.at += 1;
                let inner = self.or()?;
                self.expect(")")?;
                return Ok(Parsed { is_closed: true, ..inner });
            }
            Token::Word(word) => match &*word {
                "null" => Expr::Null,
                "true" => Expr::Bool(true),
                "false" => Expr::Bool(false),
                word if word.eq_ignore_ascii_case("last") && self.subscripts == 0 => {
                    let message = "LAST is allowed only in array subscripts";
                    return Err(PgError::new("42601", message));
                }
                word if word.eq_ignore_ascii_case("last") => Expr::Last,
                _ => return Err(self.error()),
            },
            Token::Sign(_) => return Err(self.error()),
        };
        self.at += 1;
        Ok(plain(expr))
    }

    fn step(&mut self) -> Result<Option<Step>> {
        if self.take_sign("[") {
            if self.take_sign("*") {
                self.expect("]")?;
                return Ok(Some(Step::AnyElement));
            }
            self.subscripts += 1;
            let mut subscripts = Vec::new();
            loop {
                let from = self.value()?;
                let to = if self.take_word("to") { Some(self.value()?) } else { None };
                subscripts.push((from, to));
                if !self.take_sign(",") {
                    break;
                }
            }
            self.subscripts -= 1;
            self.expect("]")?;
            return Ok(Some(Step::Subscripts(subscripts)));
        }
        if self.take_sign("?") {
            self.expect("(")?;
            self.filters += 1;
            let condition = self.predicate()?;
            self.filters -= 1;
            self.expect(")")?;
            return Ok(Some(Step::Filter(condition)));
        }
        if !self.take_sign(".") {
            return Ok(None);
        }
        if self.take_sign("*") {
            return Ok(Some(Step::AnyKey));
        }
        if self.take_sign("**") {
            return self.below().map(Some);
        }
        let key: Arc<str> = match self.peek().cloned() {
            Some(Token::String(key)) => {
                self.at += 1;
                return Ok(Some(Step::Key(key)));
            }
            Some(Token::Word(word)) => word,
            _ => return Err(self.error()),
        };
        self.at += 1;
        if !matches!(self.peek(), Some(Token::Sign("("))) {
            return Ok(Some(Step::Key(key)));
        }
        let method = match key.to_ascii_lowercase().as_str() {
            "abs" => Method::Abs,
            "ceiling" => Method::Ceiling,
            "double" => Method::Double,
            "floor" => Method::Floor,
            "size" => Method::Size,
            "type" => Method::Type,
            "datetime" | "keyvalue" => {
                let message = format!("the jsonpath method .{key}() is not supported");
                return Err(PgError::unsupported(message));
            }
            _ => return Err(self.error()),
        };
        self.at += 1;
        self.expect(")")?;
        Ok(Some(Step::Method(method)))
    }

    /// The levels behind `**`.
    fn below(&mut self) -> Result<Step> {
        if !self.take_sign("{") {
            return Ok(Step::Below { first: 0, last: u32::MAX });
        }
        let first = self.level()?;
        let last = if self.take_word("to") { self.level()? } else { first };
        self.expect("}")?;
        Ok(Step::Below { first, last })
    }

    fn level(&mut self) -> Result<u32> {
        if self.take_word("last") {
            return Ok(u32::MAX);
        }
        let Some(Token::Number(number)) = self.peek().cloned() else { return Err(self.error()) };
        let level = number.parse().map_err(|_| self.error())?;
        self.at += 1;
        Ok(level)
    }
}

fn plain(expr: Expr) -> Parsed {
    Parsed { expr, is_predicate: false, is_closed: false }
}

fn predicate(expr: Expr) -> Parsed {
    Parsed { expr, is_predicate: true, is_closed: false }
}

/// The flags of `like_regex` in the order in which they are written back.
fn checked_flags(given: &str) -> Result<String> {
    if let Some(other) = given.chars().find(|flag| !"ismxq".contains(*flag)) {
        let message = "invalid input syntax for type jsonpath";
        return Err(PgError::new("22P02", message).with_detail(format!(
            "Unrecognized flag character \"{other}\" in LIKE_REGEX predicate."
        )));
    }
    if given.contains('x') && !given.contains('q') {
        let message = "XQuery \"x\" flag (expanded regular expressions) is not implemented";
        return Err(PgError::new("0A000", message));
    }
    Ok("ismxq".chars().filter(|flag| given.contains(*flag)).collect())
}
