//! Expressions: PostgreSQL's `a_expr`, `b_expr` and `c_expr`, by precedence climbing.

use super::cursor::{CHAIN_MAX, Parser, Result, too_deep};
use super::lexer::TokenKind;
use super::syntax::{Expr, ExprKind, Quantified, Select, Span, Subscript};

/// How tightly an operator binds, weakest first, as in PostgreSQL's grammar.
mod precedence {
    pub(super) const LOWEST: u8 = 0;
    pub(super) const OR: u8 = 1;
    pub(super) const AND: u8 = 2;
    pub(super) const NOT: u8 = 3;
    pub(super) const IS: u8 = 4;
    pub(super) const COMPARE: u8 = 5;
    pub(super) const LIKE: u8 = 6;
    pub(super) const OPERATOR: u8 = 9;
    pub(super) const ADD: u8 = 10;
    pub(super) const MULTIPLY: u8 = 11;
    pub(super) const POWER: u8 = 12;
    pub(super) const AT: u8 = 13;
    pub(super) const COLLATE: u8 = 14;
    pub(super) const SIGN: u8 = 15;
    pub(super) const CAST: u8 = 16;
}

/// Which of PostgreSQL's two kinds of expression: `b_expr` leaves out what would be ambiguous after BETWEEN or DEFAULT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Full,
    Restricted,
}

/// What stands between or after operands.
enum Infix {
    Or,
    And,
    Is,
    IsNull,
    NotNull,
    Pattern,
    /// An operator by its name.
    Named(String),
    /// `OPERATOR(…)`.
    Qualified,
    At,
    Collate,
    Cast,
}

/// What stands in parentheses.
pub(super) enum Paren {
    /// A query.
    Select(Box<Select>),
    /// Expressions; at least one.
    List(Vec<Expr>),
}

/// Makes an expression.
pub(super) fn expr(kind: ExprKind, span: Span) -> Expr {
    Expr { kind, span }
}

/// Joins many conditions into a tree of the least height.
fn balanced(
    mut operands: Vec<Expr>,
    spans: &[Span],
    join: &impl Fn(Box<Expr>, Box<Expr>) -> ExprKind,
) -> Expr {
    if operands.len() == 1 {
        return operands.remove(0);
    }
    let half = operands.len().div_ceil(2);
    let right = operands.split_off(half);
    let span = spans[half - 1];
    let left = balanced(operands, &spans[..half - 1], join);
    let right = balanced(right, &spans[half..], join);
    expr(join(Box::new(left), Box::new(right)), span)
}

impl Parser<'_> {
    /// Takes an expression (`a_expr`).
    pub(super) fn expr(&mut self) -> Result<Expr> {
        self.climb(precedence::LOWEST, Scope::Full)
    }

    /// Takes an expression that may stand before AND, IN or a constraint (`b_expr`).
    pub(super) fn restricted_expr(&mut self) -> Result<Expr> {
        self.climb(precedence::LOWEST, Scope::Restricted)
    }

    /// Takes expressions with commas between them.
    pub(super) fn expr_list(&mut self) -> Result<Vec<Expr>> {
        self.list(Self::expr)
    }

    fn climb(&mut self, least: u8, scope: Scope) -> Result<Expr> {
        self.nested(|parser| {
            let left = parser.operand(scope)?;
            parser.climb_from(left, least, scope)
        })
    }

    /// Goes on with an expression whose first operand has been taken.
    pub(super) fn expr_from(&mut self, left: Expr) -> Result<Expr> {
        self.climb_from(left, precedence::LOWEST, Scope::Full)
    }

    fn climb_from(&mut self, mut left: Expr, least: u8, scope: Scope) -> Result<Expr> {
        for _ in 0..CHAIN_MAX {
            let Some((infix, binds)) = self.infix(scope) else { return Ok(left) };
            if binds < least {
                return Ok(left);
            }
            left = self.apply(infix, binds, left, scope)?;
        }
        Err(too_deep())
    }

    /// Whether an operator or what else goes on with an expression stands here.
    pub(super) fn at_infix(&self) -> bool {
        self.infix(Scope::Full).is_some()
    }

    /// The operator it stands at, and how tightly that binds.
    fn infix(&self, scope: Scope) -> Option<(Infix, u8)> {
        let named = |name: &str, binds| Some((Infix::Named(name.to_owned()), binds));
        match self.peek() {
            TokenKind::Typecast => Some((Infix::Cast, precedence::CAST)),
            TokenKind::Symbol(symbol) => match symbol {
                '+' | '-' => named(&symbol.to_string(), precedence::ADD),
                '*' | '/' | '%' => named(&symbol.to_string(), precedence::MULTIPLY),
                '^' => named("^", precedence::POWER),
                '<' | '>' | '=' => named(&symbol.to_string(), precedence::COMPARE),
                _ => None,
            },
            TokenKind::Operator(name) => match name.as_str() {
                "<=" | ">=" | "<>" => named(name, precedence::COMPARE),
                _ => named(name, precedence::OPERATOR),
            },
            TokenKind::Word(word, Some(_)) => self.infix_word(word, scope),
            _ => None,
        }
    }

    fn infix_word(&self, word: &str, scope: Scope) -> Option<(Infix, u8)> {
        let full = scope == Scope::Full;
        match word {
            "operator" if self.is_symbol_at(1, '(') => {
                Some((Infix::Qualified, precedence::OPERATOR))
            }
            // As the last word of a select item it is the item's alias.
            "is" if matches!(
                self.peek_at(1),
                TokenKind::End | TokenKind::Symbol(',' | ';' | ')')
            ) =>
            {
                None
            }
            "is" if self.word_at(1) == "from" => None,
            "is" if full || self.word_at(1) == "distinct" => Some((Infix::Is, precedence::IS)),
            "is" if self.are(&["is", "not", "distinct"]) => Some((Infix::Is, precedence::IS)),
            _ if !full => None,
            "or" => Some((Infix::Or, precedence::OR)),
            "and" => Some((Infix::And, precedence::AND)),
            "isnull" => Some((Infix::IsNull, precedence::IS)),
            "notnull" => Some((Infix::NotNull, precedence::IS)),
            "between" | "in" | "like" | "ilike" => Some((Infix::Pattern, precedence::LIKE)),
            "similar" if self.word_at(1) == "to" => Some((Infix::Pattern, precedence::LIKE)),
            "not" if matches!(self.word_at(1), "between" | "in" | "like" | "ilike" | "similar") => {
                Some((Infix::Pattern, precedence::LIKE))
            }
            "at" if self.word_at(1) == "time" => Some((Infix::At, precedence::AT)),
            "collate" => Some((Infix::Collate, precedence::COLLATE)),
            _ => None,
        }
    }

    fn apply(&mut self, infix: Infix, binds: u8, left: Expr, scope: Scope) -> Result<Expr> {
        match infix {
            Infix::And | Infix::Or => self.conditions(left, binds),
            Infix::Named(operator) => {
                let span = self.span();
                self.advance();
                self.binary(left, operator, span, binds, scope)
            }
            Infix::Qualified => {
                let span = self.span();
                let operator = self.qualified_operator()?;
                self.binary(left, operator, span, binds, scope)
            }
            Infix::Is => self.is_test(left, scope),
            Infix::IsNull | Infix::NotNull => {
                let span = self.span();
                self.advance();
                let negated = matches!(infix, Infix::NotNull);
                Ok(expr(ExprKind::Is { arg: Box::new(left), test: "NULL", negated }, span))
            }
            Infix::Pattern => self.pattern(left),
            Infix::At => {
                let span = self.span();
                self.advance();
                self.expect_all(&["time", "zone"])?;
                let zone = self.climb(precedence::AT + 1, scope)?;
                Ok(self.call("timezone", vec![zone, left], span))
            }
            Infix::Collate => {
                let span = self.span();
                self.advance();
                let collation = self.object_name()?;
                Ok(expr(ExprKind::Collate(Box::new(left), collation), span))
            }
            Infix::Cast => {
                let span = self.span();
                self.advance();
                let ty = self.type_name()?;
                Ok(expr(ExprKind::Cast { arg: Box::new(left), ty }, span))
            }
        }
    }

    /// `a AND b AND c …`, or with OR.
    fn conditions(&mut self, left: Expr, binds: u8) -> Result<Expr> {
        let word = if binds == precedence::AND { "and" } else { "or" };
        let mut operands = vec![left];
        let mut spans = Vec::new();
        while self.is(word) {
            spans.push(self.span());
            self.advance();
            operands.push(self.climb(binds + 1, Scope::Full)?);
        }
        Ok(if binds == precedence::AND {
            balanced(operands, &spans, &ExprKind::And)
        } else {
            balanced(operands, &spans, &ExprKind::Or)
        })
    }

    fn binary(
        &mut self,
        left: Expr,
        operator: String,
        span: Span,
        binds: u8,
        scope: Scope,
    ) -> Result<Expr> {
        if scope == Scope::Full && matches!(self.word(), "any" | "some" | "all") {
            return self.quantified(left, operator, span);
        }
        let right = self.climb(binds + 1, scope)?;
        if binds == precedence::COMPARE {
            self.not_again(binds, scope)?;
        }
        Ok(expr(ExprKind::Binary { operator, left: Box::new(left), right: Box::new(right) }, span))
    }

    /// An operator that does not associate must not be followed by one of its kind.
    fn not_again(&self, binds: u8, scope: Scope) -> Result<()> {
        match self.infix(scope) {
            Some((_, next)) if next == binds => Err(self.error()),
            _ => Ok(()),
        }
    }

    fn quantified(&mut self, left: Expr, operator: String, span: Span) -> Result<Expr> {
        let all = self.is("all");
        self.advance();
        if !self.is_symbol('(') {
            return Err(self.error());
        }
        let place = self.at;
        let right = match self.paren()? {
            Paren::Select(query) => Quantified::Subquery(*query),
            Paren::List(mut list) if list.len() == 1 => Quantified::Array(list.remove(0)),
            Paren::List(_) => {
                let comma = self.first_comma(place);
                return Err(self.error_at(comma));
            }
        };
        Ok(expr(
            ExprKind::Quantified { operator, left: Box::new(left), right: Box::new(right), all },
            span,
        ))
    }

    /// The first comma directly within the parentheses that begin at a token.
    fn first_comma(&self, open: usize) -> usize {
        let mut depth = 0_usize;
        for (place, token) in self.tokens.iter().enumerate().skip(open) {
            match token.kind {
                TokenKind::Symbol('(' | '[') => depth += 1,
                TokenKind::Symbol(')' | ']') => depth = depth.saturating_sub(1),
                TokenKind::Symbol(',') if depth == 1 => return place,
                _ => {}
            }
        }
        self.at
    }

    /// Takes `OPERATOR(schema.name)`.
    fn qualified_operator(&mut self) -> Result<String> {
        self.expect("operator")?;
        self.expect_symbol('(')?;
        let mut schema = None;
        while self.is_name_at(0) {
            schema = Some(self.name()?);
            self.expect_symbol('.')?;
        }
        let name = match self.peek() {
            TokenKind::Operator(name) => name.clone(),
            TokenKind::Symbol(symbol @ ('+' | '-' | '*' | '/' | '%' | '^' | '<' | '>' | '=')) => {
                symbol.to_string()
            }
            _ => return Err(self.error()),
        };
        self.advance();
        self.expect_symbol(')')?;
        match schema.as_deref() {
            None | Some("pg_catalog") => Ok(name),
            Some(_) => {
                self.refuse("an operator outside pg_catalog", "Use PostgreSQL's own operators.")
            }
        }
    }

    fn is_test(&mut self, left: Expr, scope: Scope) -> Result<Expr> {
        let span = self.span();
        self.advance();
        let negated = self.accept("not");
        let word = self.word();
        self.advance();
        let test = match word {
            "null" => "NULL",
            "true" => "TRUE",
            "false" => "FALSE",
            "unknown" => "UNKNOWN",
            "distinct" => {
                self.expect("from")?;
                let right = self.climb(precedence::IS + 1, scope)?;
                self.not_again(precedence::IS, scope)?;
                return Ok(expr(
                    ExprKind::Distinct { left: Box::new(left), right: Box::new(right), negated },
                    span,
                ));
            }
            "normalized" => return Ok(self.normalized(left, None, negated, span)),
            "nfc" | "nfd" | "nfkc" | "nfkd" => {
                self.expect("normalized")?;
                return Ok(self.normalized(left, Some(word), negated, span));
            }
            "document" => return self.refuse("IS DOCUMENT", "Keep documents as json or jsonb."),
            _ => {
                self.at -= 1;
                return Err(self.error());
            }
        };
        Ok(expr(ExprKind::Is { arg: Box::new(left), test, negated }, span))
    }

    fn normalized(&self, left: Expr, form: Option<&str>, negated: bool, span: Span) -> Expr {
        let mut args = vec![left];
        args.extend(form.map(|form| expr(ExprKind::String(form.to_ascii_uppercase()), span)));
        let call = self.call("is_normalized", args, span);
        if negated { expr(ExprKind::Not(Box::new(call)), span) } else { call }
    }

    /// `[NOT] BETWEEN | IN | LIKE | ILIKE | SIMILAR TO`.
    fn pattern(&mut self, left: Expr) -> Result<Expr> {
        let span = self.span();
        let negated = self.accept("not");
        let word = self.word();
        self.advance();
        let arg = Box::new(left);
        match word {
            "between" => {
                let symmetric = self.accept("symmetric");
                if !symmetric {
                    self.accept("asymmetric");
                }
                let low = Box::new(self.restricted_expr()?);
                self.expect("and")?;
                let high = Box::new(self.climb(precedence::LIKE + 1, Scope::Full)?);
                self.not_again(precedence::LIKE, Scope::Full)?;
                Ok(expr(ExprKind::Between { arg, low, high, negated, symmetric }, span))
            }
            "in" => {
                if !self.is_symbol('(') {
                    return Err(self.error());
                }
                Ok(match self.paren()? {
                    Paren::Select(query) => {
                        expr(ExprKind::InSubquery { arg, query, negated }, span)
                    }
                    Paren::List(list) => expr(ExprKind::InList { arg, list, negated }, span),
                })
            }
            _ => {
                let kind = match word {
                    "like" => "LIKE",
                    "ilike" => "ILIKE",
                    _ => {
                        self.expect("to")?;
                        "SIMILAR TO"
                    }
                };
                if kind != "SIMILAR TO" && matches!(self.word(), "any" | "some" | "all") {
                    let operator = match (kind, negated) {
                        ("LIKE", false) => "~~",
                        ("LIKE", true) => "!~~",
                        (_, false) => "~~*",
                        (_, true) => "!~~*",
                    };
                    return self.quantified(*arg, operator.to_owned(), span);
                }
                let pattern = Box::new(self.climb(precedence::LIKE + 1, Scope::Full)?);
                let escape = if self.accept("escape") {
                    Some(Box::new(self.climb(precedence::LIKE + 1, Scope::Full)?))
                } else {
                    None
                };
                self.not_again(precedence::LIKE, Scope::Full)?;
                Ok(expr(ExprKind::Like { kind, arg, pattern, escape, negated }, span))
            }
        }
    }

    /// Takes a prefix operator with its operand, or a primary.
    fn operand(&mut self, scope: Scope) -> Result<Expr> {
        let span = self.span();
        let (operator, binds) = match self.peek() {
            TokenKind::Symbol(sign @ ('+' | '-')) => {
                self.advance();
                (sign.to_string(), precedence::SIGN)
            }
            TokenKind::Operator(name) if !matches!(name.as_str(), "<=" | ">=" | "<>") => {
                self.advance();
                (name.clone(), precedence::OPERATOR + 1)
            }
            TokenKind::Word(word, Some(_)) => match word.as_str() {
                "not" if scope == Scope::Full => {
                    self.advance();
                    let arg = Box::new(self.climb(precedence::NOT, scope)?);
                    return Ok(expr(ExprKind::Not(arg), span));
                }
                "default" if scope == Scope::Full => {
                    self.advance();
                    return Ok(expr(ExprKind::Default, span));
                }
                "unique" if scope == Scope::Full && self.is_symbol_at(1, '(') => {
                    return self.refuse(
                        "the UNIQUE predicate",
                        "Compare count(*) with count(DISTINCT …).",
                    );
                }
                "operator" if self.is_symbol_at(1, '(') => {
                    (self.qualified_operator()?, precedence::OPERATOR + 1)
                }
                _ => return self.primary(scope),
            },
            _ => return self.primary(scope),
        };
        let arg = Box::new(self.climb(binds, scope)?);
        Ok(expr(ExprKind::Prefix { operator, arg }, span))
    }

    /// Takes `c_expr`, and OVERLAPS after a row.
    fn primary(&mut self, scope: Scope) -> Result<Expr> {
        let start = self.at;
        let left = self.primary_expr()?;
        if scope == Scope::Full && self.is("overlaps") && matches!(left.kind, ExprKind::Row(_)) {
            return self.overlaps(left, start);
        }
        Ok(left)
    }

    fn overlaps(&mut self, left: Expr, start: usize) -> Result<Expr> {
        let span = self.span();
        self.advance();
        let right_start = self.at;
        let right = self.primary_expr()?;
        let (ExprKind::Row(mut args), ExprKind::Row(right)) = (left.kind, right.kind) else {
            return Err(self.error());
        };
        if args.len() != 2 {
            return self.fail(
                start,
                "42601",
                "wrong number of parameters on left side of OVERLAPS expression",
            );
        }
        if right.len() != 2 {
            return self.fail(
                right_start,
                "42601",
                "wrong number of parameters on right side of OVERLAPS expression",
            );
        }
        args.extend(right);
        Ok(self.call("overlaps", args, span))
    }

    /// Takes `c_expr`.
    pub(super) fn primary_expr(&mut self) -> Result<Expr> {
        let span = self.span();
        let kind = match self.peek() {
            TokenKind::Integer(value) => ExprKind::Number(value.to_string()),
            TokenKind::Number(text) => ExprKind::Number(text.clone()),
            TokenKind::String(text) => ExprKind::String(text.clone()),
            TokenKind::Bits(letter, text) => ExprKind::BitString(format!("{letter}{text}")),
            TokenKind::Param(number) => {
                let Ok(number) = u16::try_from(*number) else {
                    return self.fail(self.at, "42P02", format!("there is no parameter ${number}"));
                };
                self.advance();
                return self.indirection(expr(ExprKind::Param(number), span));
            }
            TokenKind::Symbol('(') => return self.paren_primary(),
            TokenKind::Word(_, Some(_)) => return self.word_primary(),
            TokenKind::Word(_, None) | TokenKind::Quoted(_) => return self.named_primary(),
            _ => return Err(self.error()),
        };
        self.advance();
        Ok(expr(kind, span))
    }

    fn paren_primary(&mut self) -> Result<Expr> {
        let span = self.span();
        let inner = self.paren()?;
        let left = self.paren_value(inner, span);
        self.indirection(left)
    }

    /// What parentheses are as an operand.
    fn paren_value(&self, inner: Paren, span: Span) -> Expr {
        match inner {
            Paren::Select(query) => expr(ExprKind::Subquery(query), span),
            Paren::List(mut list) if list.len() == 1 => list.remove(0),
            Paren::List(list) => expr(ExprKind::Row(list), span),
        }
    }

    /// Takes what stands in parentheses, a query or expressions. Which of them is known only after the inner parentheses:
    /// `((SELECT 1) UNION SELECT 2)` and `((SELECT 1) + 2)` begin alike.
    pub(super) fn paren(&mut self) -> Result<Paren> {
        self.nested(|parser| {
            parser.expect_symbol('(')?;
            let found = parser.paren_inside()?;
            parser.expect_symbol(')')?;
            Ok(found)
        })
    }

    fn paren_inside(&mut self) -> Result<Paren> {
        if self.at_select() {
            return Ok(Paren::Select(Box::new(self.select()?)));
        }
        let mut list = if self.is_symbol('(') && self.parens_lead_to_select() {
            let span = self.span();
            let start = self.at;
            let first = match self.paren()? {
                Paren::Select(query) if self.is_symbol(')') => return Ok(Paren::Select(query)),
                Paren::Select(query) if self.at_select_rest() => {
                    return Ok(Paren::Select(Box::new(self.select_from(*query)?)));
                }
                inner => self.paren_value(inner, span),
            };
            let mut first = self.indirection(first)?;
            if self.is("overlaps") && matches!(first.kind, ExprKind::Row(_)) {
                first = self.overlaps(first, start)?;
            }
            vec![self.expr_from(first)?]
        } else {
            vec![self.expr()?]
        };
        while self.accept_symbol(',') {
            list.push(self.expr()?);
        }
        Ok(Paren::List(list))
    }

    /// Whether a query begins here, without parentheses.
    pub(super) fn at_select(&self) -> bool {
        match self.word() {
            "select" | "with" | "table" => true,
            "values" => self.is_symbol_at(1, '('),
            _ => false,
        }
    }

    /// Whether a query begins after one or more opening parentheses.
    pub(super) fn parens_lead_to_select(&self) -> bool {
        let mut ahead = 0;
        while self.is_symbol_at(ahead, '(') {
            ahead += 1;
        }
        match self.word_at(ahead) {
            "select" | "with" | "table" => true,
            "values" => self.is_symbol_at(ahead + 1, '('),
            _ => false,
        }
    }

    /// Whether what follows a query in parentheses belongs to a larger query.
    pub(super) fn at_select_rest(&self) -> bool {
        matches!(
            self.word(),
            "union" | "intersect" | "except" | "order" | "limit" | "offset" | "fetch" | "for"
        )
    }

    /// Takes the fields and subscripts that follow a value in parentheses or a parameter.
    fn indirection(&mut self, mut left: Expr) -> Result<Expr> {
        for _ in 0..CHAIN_MAX {
            if self.is_symbol('[') {
                let span = left.span;
                let subscripts = self.subscripts()?;
                left = expr(ExprKind::Subscript { array: Box::new(left), subscripts }, span);
            } else if self.accept_symbol('.') {
                let span = self.span();
                if self.accept_symbol('*') {
                    return Ok(expr(ExprKind::Expand(Box::new(left)), span));
                }
                let field = self.label()?;
                left = expr(ExprKind::FieldOf(Box::new(left), field), span);
            } else {
                return Ok(left);
            }
        }
        Err(too_deep())
    }

    /// Takes one or more subscripts.
    pub(super) fn subscripts(&mut self) -> Result<Vec<Subscript>> {
        let mut subscripts = Vec::new();
        while self.accept_symbol('[') {
            let low = if self.is_symbol(':') { None } else { Some(self.expr()?) };
            if self.accept_symbol(':') {
                let high = if self.is_symbol(']') { None } else { Some(self.expr()?) };
                subscripts.push(Subscript::Slice(low, high));
            } else if let Some(index) = low {
                subscripts.push(Subscript::Index(index));
            }
            self.expect_symbol(']')?;
        }
        Ok(subscripts)
    }

    /// Takes what begins with a name: a column, a function call or a constant of a named type.
    pub(super) fn named_primary(&mut self) -> Result<Expr> {
        use super::keyword::Category;
        use super::syntax::{ObjectName, TypeName};

        let start = self.at;
        let category = match self.peek() {
            TokenKind::Word(_, Some(keyword)) => Some(keyword.category),
            _ => None,
        };
        let first = match category {
            Some(Category::Reserved) => return Err(self.error()),
            _ => self.label()?,
        };
        let only_function = category == Some(Category::FunctionOrType);
        let mut parts = vec![first];
        while !only_function && self.is_symbol('.') {
            self.advance();
            if self.accept_symbol('*') {
                let span = self.span_from(start);
                return Ok(expr(ExprKind::WholeRow(parts), span));
            }
            parts.push(self.label()?);
        }
        let may_call = parts.len() > 1 || category != Some(Category::ColumnName);
        if may_call && self.is_symbol('(') {
            let name = self.function_name(parts, start)?;
            return self.function(name, start);
        }
        if may_call && let TokenKind::String(text) = self.peek() {
            let name = ObjectName { parts, span: self.span_from(start) };
            self.advance();
            let ty = TypeName { name, ..TypeName::default() };
            return Ok(expr(ExprKind::TypedString(ty, text.clone()), self.span_of(start)));
        }
        if only_function {
            return Err(self.error());
        }
        if parts.len() > 4 {
            let written = parts.join(".");
            return self.fail(
                start,
                "42601",
                format!("improper qualified name (too many dotted names): {written}"),
            );
        }
        let column = expr(ExprKind::Column(parts), self.span_from(start));
        self.indirection(column)
    }
}
