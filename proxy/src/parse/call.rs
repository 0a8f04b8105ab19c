//! Function calls, and the expressions that begin with a keyword.

use super::cursor::{Parser, Result};
use super::expr::{Paren, expr};
use super::keyword::Category;
use super::lexer::TokenKind;
use super::syntax::{
    Expr, ExprKind, Frame, FrameBound, FunctionArg, FunctionCall, ObjectName, Over, Span, TypeName,
    WindowSpec,
};

fn plain(args: Vec<Expr>) -> Vec<FunctionArg> {
    args.into_iter().map(|value| FunctionArg { name: None, value }).collect()
}

fn bare_call(name: ObjectName, args: Vec<FunctionArg>) -> FunctionCall {
    FunctionCall {
        name,
        args,
        star: false,
        variadic: false,
        distinct: false,
        order_by: vec![],
        within_group: vec![],
        filter: None,
        over: None,
    }
}

impl Parser<'_> {
    /// Makes the call that a form with its own grammar stands for.
    pub(super) fn call(&self, name: &str, args: Vec<Expr>, span: Span) -> Expr {
        let name = ObjectName { parts: vec![name.to_owned()], span };
        expr(ExprKind::Function(Box::new(bare_call(name, plain(args)))), span)
    }

    /// Makes a function's name of its parts.
    pub(super) fn function_name(&self, parts: Vec<String>, start: usize) -> Result<ObjectName> {
        if parts.len() > 3 {
            let written = parts.join(".");
            return self.fail(
                start,
                "42601",
                format!("improper qualified name (too many dotted names): {written}"),
            );
        }
        Ok(ObjectName { parts, span: self.span_from(start) })
    }

    /// Takes a call from its opening parenthesis on: `func_application` and what may follow it.
    pub(super) fn function(&mut self, name: ObjectName, start: usize) -> Result<Expr> {
        let span = name.span;
        let mut call = self.application(name)?;
        // `type(modifiers) 'text'` looks like a call up to here.
        if let TokenKind::String(text) = self.peek() {
            return self.typed_string(call, text.clone(), start);
        }
        if self.accept_all(&["within", "group"]) {
            self.within_group(&mut call)?;
        }
        if self.accept("filter") {
            self.expect_symbol('(')?;
            self.expect("where")?;
            call.filter = Some(self.expr()?);
            self.expect_symbol(')')?;
        }
        if self.accept("over") {
            call.over = Some(if self.is_symbol('(') {
                Over::Spec(self.window_spec()?)
            } else {
                Over::Name(self.name()?)
            });
        }
        Ok(expr(ExprKind::Function(Box::new(call)), span))
    }

    /// Takes `func_application`: the arguments in parentheses.
    pub(super) fn application(&mut self, name: ObjectName) -> Result<FunctionCall> {
        self.nested(|parser| {
            let mut call = bare_call(name, vec![]);
            parser.expect_symbol('(')?;
            if parser.accept_symbol(')') {
                return Ok(call);
            }
            if parser.accept_symbol('*') {
                call.star = true;
                parser.expect_symbol(')')?;
                return Ok(call);
            }
            if parser.accept("distinct") {
                call.distinct = true;
            } else {
                parser.accept("all");
            }
            loop {
                call.variadic = parser.accept("variadic");
                call.args.push(parser.argument()?);
                if call.variadic || !parser.accept_symbol(',') {
                    break;
                }
            }
            call.order_by = parser.order_by()?;
            parser.expect_symbol(')')?;
            Ok(call)
        })
    }

    fn argument(&mut self) -> Result<FunctionArg> {
        if matches!(self.peek_at(1), TokenKind::ColonEquals | TokenKind::EqualsGreater) {
            let name = self.type_function_name()?;
            self.advance();
            return Ok(FunctionArg { name: Some(name), value: self.expr()? });
        }
        Ok(FunctionArg { name: None, value: self.expr()? })
    }

    fn within_group(&mut self, call: &mut FunctionCall) -> Result<()> {
        let place = self.at - 2;
        self.expect_symbol('(')?;
        if !self.is("order") {
            return Err(self.error());
        }
        call.within_group = self.order_by()?;
        self.expect_symbol(')')?;
        let wrong = if !call.order_by.is_empty() {
            "cannot use multiple ORDER BY clauses with WITHIN GROUP"
        } else if call.distinct {
            "cannot use DISTINCT with WITHIN GROUP"
        } else if call.variadic {
            "cannot use VARIADIC with WITHIN GROUP"
        } else {
            return Ok(());
        };
        self.fail(place, "42601", wrong)
    }

    fn typed_string(&mut self, call: FunctionCall, text: String, start: usize) -> Result<Expr> {
        if call.star || call.distinct || call.variadic || call.args.is_empty() {
            return Err(self.error());
        }
        if call.args.iter().any(|arg| arg.name.is_some()) {
            return self.fail(start, "42601", "type modifier cannot have parameter name");
        }
        if !call.order_by.is_empty() {
            return self.fail(start, "42601", "type modifier cannot have ORDER BY");
        }
        let mut modifiers = Vec::new();
        for arg in &call.args {
            match &arg.value.kind {
                ExprKind::Number(number) if number.parse::<i64>().is_ok() => {
                    modifiers.extend(number.parse::<i64>().ok());
                }
                _ => {
                    return self.fail(
                        start,
                        "42601",
                        "type modifiers must be simple constants or identifiers",
                    );
                }
            }
        }
        self.advance();
        let ty = TypeName { name: call.name, modifiers, ..TypeName::default() };
        Ok(expr(ExprKind::TypedString(ty, text), self.span_of(start)))
    }

    /// Takes an expression that begins with a keyword.
    pub(super) fn word_primary(&mut self) -> Result<Expr> {
        let span = self.span();
        let start = self.at;
        let word = self.word();
        let called = self.is_symbol_at(1, '(');
        match word {
            "null" => Ok(self.constant(ExprKind::Null)),
            "true" => Ok(self.constant(ExprKind::Bool(true))),
            "false" => Ok(self.constant(ExprKind::Bool(false))),
            "case" => self.case(),
            "array" => self.array(),
            "cast" => self.cast(),
            "row" if called => {
                self.advance();
                self.expect_symbol('(')?;
                let fields = if self.is_symbol(')') { vec![] } else { self.expr_list()? };
                self.expect_symbol(')')?;
                Ok(expr(ExprKind::Row(fields), span))
            }
            "exists" if called => {
                self.advance();
                match self.paren()? {
                    Paren::Select(query) => Ok(expr(ExprKind::Exists(query), span)),
                    Paren::List(_) => Err(self.error_at(start + 2)),
                }
            }
            "coalesce" | "greatest" | "least" | "grouping" if called => {
                self.advance();
                let list = self.parenthesized(Self::expr)?;
                Ok(expr(
                    match word {
                        "coalesce" => ExprKind::Coalesce(list),
                        "grouping" => ExprKind::Grouping(list),
                        _ => ExprKind::Extreme(word == "greatest", list),
                    },
                    span,
                ))
            }
            "nullif" if called => {
                self.advance();
                self.expect_symbol('(')?;
                let left = Box::new(self.expr()?);
                self.expect_symbol(',')?;
                let right = Box::new(self.expr()?);
                self.expect_symbol(')')?;
                Ok(expr(ExprKind::NullIf(left, right), span))
            }
            "extract" | "overlay" | "position" | "substring" | "trim" | "normalize" if called => {
                self.own_grammar()
            }
            "treat" if called => self.refuse("TREAT", "Use CAST."),
            "xmlattributes" | "xmlconcat" | "xmlelement" | "xmlexists" | "xmlforest"
            | "xmlnamespaces" | "xmlparse" | "xmlpi" | "xmlroot" | "xmlserialize"
                if called =>
            {
                self.refuse("xml", "Keep documents as text, json or jsonb.")
            }
            "collation" if self.word_at(1) == "for" && self.is_symbol_at(2, '(') => {
                self.at += 2;
                self.expect_symbol('(')?;
                let arg = self.expr()?;
                self.expect_symbol(')')?;
                Ok(self.call("pg_collation_for", vec![arg], span))
            }
            "interval" if called || matches!(self.peek_at(1), TokenKind::String(_)) => {
                self.interval()
            }
            _ => match special(word) {
                Some(name) if word != "current_schema" || !called => self.special(name),
                _ => self.constant_or_name(),
            },
        }
    }

    fn constant(&mut self, kind: ExprKind) -> Expr {
        let span = self.span();
        self.advance();
        expr(kind, span)
    }

    /// `CURRENT_DATE` and its like, with a precision where there may be one.
    fn special(&mut self, name: &'static str) -> Result<Expr> {
        let span = self.span();
        self.advance();
        let mut precision = None;
        if matches!(name, "current_time" | "current_timestamp" | "localtime" | "localtimestamp")
            && self.accept_symbol('(')
        {
            precision = Some(self.integer()?);
            self.expect_symbol(')')?;
        }
        Ok(expr(ExprKind::Special(name, precision), span))
    }

    /// `int '1'`, `timestamp with time zone '…'`; else what is named by the word.
    fn constant_or_name(&mut self) -> Result<Expr> {
        let start = self.at;
        let span = self.span();
        let column_name = matches!(
            self.peek(),
            TokenKind::Word(_, Some(keyword)) if keyword.category == Category::ColumnName
        );
        if (column_name || self.is("double"))
            && let Ok(Some(ty)) = self.constant_type_name()
            && let TokenKind::String(text) = self.peek()
        {
            self.advance();
            return Ok(expr(ExprKind::TypedString(ty, text.clone()), span));
        }
        self.at = start;
        self.named_primary()
    }

    fn interval(&mut self) -> Result<Expr> {
        let start = self.at;
        let span = self.span();
        let name = ObjectName { parts: vec!["interval".to_owned()], span };
        let mut ty = TypeName { name, ..TypeName::default() };
        self.advance();
        if self.is_symbol('(') {
            // Without a string behind the parentheses it would be a call, which PostgreSQL's grammar has not.
            self.at = start;
            ty = self.interval_type_name()?;
            let text = self.string()?;
            return Ok(expr(ExprKind::TypedString(ty, text), span));
        }
        let text = self.string()?;
        self.interval_fields(&mut ty)?;
        Ok(expr(ExprKind::TypedString(ty, text), span))
    }

    fn case(&mut self) -> Result<Expr> {
        let span = self.span();
        self.advance();
        let operand = if self.is("when") { None } else { Some(Box::new(self.expr()?)) };
        let mut branches = Vec::new();
        while self.accept("when") {
            let when = self.expr()?;
            self.expect("then")?;
            branches.push((when, self.expr()?));
        }
        if branches.is_empty() {
            return Err(self.error());
        }
        let otherwise = if self.accept("else") { Some(Box::new(self.expr()?)) } else { None };
        self.expect("end")?;
        Ok(expr(ExprKind::Case { operand, branches, otherwise }, span))
    }

    fn array(&mut self) -> Result<Expr> {
        let span = self.span();
        self.advance();
        if self.is_symbol('[') {
            return self.array_elements(span);
        }
        if !self.is_symbol('(') {
            return Err(self.error());
        }
        let inner = self.at + 1;
        match self.paren()? {
            Paren::Select(query) => Ok(expr(ExprKind::ArraySubquery(query), span)),
            Paren::List(_) => Err(self.error_at(inner)),
        }
    }

    /// `[a, b]`, whose elements may be such lists themselves.
    fn array_elements(&mut self, span: Span) -> Result<Expr> {
        self.nested(|parser| {
            parser.expect_symbol('[')?;
            let mut elements = Vec::new();
            if parser.is_symbol('[') {
                elements = parser.list(|parser| {
                    let span = parser.span();
                    parser.array_elements(span)
                })?;
            } else if !parser.is_symbol(']') {
                elements = parser.expr_list()?;
            }
            parser.expect_symbol(']')?;
            Ok(expr(ExprKind::Array(elements), span))
        })
    }

    fn cast(&mut self) -> Result<Expr> {
        let span = self.span();
        self.advance();
        self.expect_symbol('(')?;
        let arg = Box::new(self.expr()?);
        self.expect("as")?;
        let ty = self.type_name()?;
        self.expect_symbol(')')?;
        Ok(expr(ExprKind::Cast { arg, ty }, span))
    }

    /// The functions whose arguments have keywords between them.
    fn own_grammar(&mut self) -> Result<Expr> {
        let span = self.span();
        let start = self.at;
        let word = self.word();
        self.advance();
        let open = self.at;
        self.expect_symbol('(')?;
        let (name, args) = match word {
            "extract" => ("extract", self.extract_args()?),
            "position" => {
                let part = self.restricted_expr()?;
                self.expect("in")?;
                let whole = self.restricted_expr()?;
                ("position", vec![whole, part])
            }
            "trim" => self.trim_args()?,
            "normalize" => {
                let text = self.expr()?;
                let mut args = vec![text];
                if self.accept_symbol(',') {
                    let form = match self.word() {
                        form @ ("nfc" | "nfd" | "nfkc" | "nfkd") => form.to_ascii_uppercase(),
                        _ => return Err(self.error()),
                    };
                    let span = self.span();
                    self.advance();
                    args.push(expr(ExprKind::String(form), span));
                }
                ("normalize", args)
            }
            _ => match self.keyword_args(word)? {
                Some(args) => (if word == "overlay" { "overlay" } else { "substring" }, args),
                // No keywords: an ordinary call.
                None => {
                    self.at = open;
                    let name = self.function_name(vec![word.to_owned()], start)?;
                    let name = ObjectName { span, ..name };
                    let call = self.application(name)?;
                    if call.star || call.distinct || call.variadic || !call.order_by.is_empty() {
                        return Err(self.error_at(open + 1));
                    }
                    return Ok(expr(ExprKind::Function(Box::new(call)), span));
                }
            },
        };
        self.expect_symbol(')')?;
        Ok(self.call(name, args, span))
    }

    fn extract_args(&mut self) -> Result<Vec<Expr>> {
        let span = self.span();
        let field = match self.peek() {
            TokenKind::String(text) | TokenKind::Quoted(text) | TokenKind::Word(text, None) => {
                text.clone()
            }
            TokenKind::Word(text, _)
                if matches!(
                    text.as_str(),
                    "year" | "month" | "day" | "hour" | "minute" | "second"
                ) =>
            {
                text.clone()
            }
            _ => return Err(self.error()),
        };
        self.advance();
        self.expect("from")?;
        let source = self.expr()?;
        Ok(vec![expr(ExprKind::String(field), span), source])
    }

    fn trim_args(&mut self) -> Result<(&'static str, Vec<Expr>)> {
        let name = match self.word() {
            "both" => "btrim",
            "leading" => "ltrim",
            "trailing" => "rtrim",
            _ => "",
        };
        if !name.is_empty() {
            self.advance();
        }
        let name = if name.is_empty() { "btrim" } else { name };
        if self.accept("from") {
            return Ok((name, self.expr_list()?));
        }
        let first = self.expr()?;
        if self.accept("from") {
            let mut args = self.expr_list()?;
            args.push(first);
            return Ok((name, args));
        }
        let mut args = vec![first];
        while self.accept_symbol(',') {
            args.push(self.expr()?);
        }
        Ok((name, args))
    }

    /// The arguments of SUBSTRING and OVERLAY where keywords stand between them; none for commas.
    fn keyword_args(&mut self, word: &str) -> Result<Option<Vec<Expr>>> {
        if self.is_symbol(')')
            || matches!(self.peek_at(1), TokenKind::ColonEquals | TokenKind::EqualsGreater)
        {
            return Ok(None);
        }
        let text = self.expr()?;
        let here = self.span();
        if word == "overlay" {
            if !self.accept("placing") {
                return Ok(None);
            }
            let placing = self.expr()?;
            self.expect("from")?;
            let mut args = vec![text, placing, self.expr()?];
            if self.accept("for") {
                args.push(self.expr()?);
            }
            return Ok(Some(args));
        }
        if self.accept("from") {
            let mut args = vec![text, self.expr()?];
            if self.accept("for") {
                args.push(self.expr()?);
            }
            return Ok(Some(args));
        }
        if self.accept("for") {
            let length = self.expr()?;
            if self.accept("from") {
                let from = self.expr()?;
                return Ok(Some(vec![text, from, length]));
            }
            let one = expr(ExprKind::Number("1".to_owned()), here);
            let ty = TypeName {
                name: ObjectName {
                    parts: vec!["pg_catalog".to_owned(), "int4".to_owned()],
                    span: here,
                },
                ..TypeName::default()
            };
            let span = length.span;
            let length = expr(ExprKind::Cast { arg: Box::new(length), ty }, span);
            return Ok(Some(vec![text, one, length]));
        }
        if self.accept("similar") {
            let pattern = self.expr()?;
            self.expect("escape")?;
            return Ok(Some(vec![text, pattern, self.expr()?]));
        }
        Ok(None)
    }

    /// Takes a window in parentheses.
    pub(super) fn window_spec(&mut self) -> Result<WindowSpec> {
        self.expect_symbol('(')?;
        let mut spec = WindowSpec::default();
        if self.is_name_at(0) && !matches!(self.word(), "partition" | "range" | "rows" | "groups") {
            spec.base = Some(self.name()?);
        }
        if self.accept("partition") {
            self.expect("by")?;
            spec.partition_by = self.expr_list()?;
        }
        spec.order_by = self.order_by()?;
        spec.frame = self.frame()?;
        self.expect_symbol(')')?;
        Ok(spec)
    }

    fn frame(&mut self) -> Result<Option<Frame>> {
        let unit = match self.word() {
            "rows" => "ROWS",
            "range" => "RANGE",
            "groups" => "GROUPS",
            _ => return Ok(None),
        };
        self.advance();
        let between = self.accept("between");
        let mut place = self.at;
        let start = self.frame_bound()?;
        let mut end = FrameBound::CurrentRow;
        let end_place = self.at + 1;
        if between {
            self.expect("and")?;
            end = self.frame_bound()?;
        }
        let wrong = match (&start, &end) {
            (FrameBound::UnboundedFollowing, _) => "frame start cannot be UNBOUNDED FOLLOWING",
            (FrameBound::Following(_), FrameBound::CurrentRow) if !between => {
                "frame starting from following row cannot end with current row"
            }
            (start, end) => {
                place = end_place;
                match (start, end) {
                    (_, FrameBound::UnboundedPreceding) => {
                        "frame end cannot be UNBOUNDED PRECEDING"
                    }
                    (FrameBound::CurrentRow, FrameBound::Preceding(_)) => {
                        "frame starting from current row cannot have preceding rows"
                    }
                    (
                        FrameBound::Following(_),
                        FrameBound::Preceding(_) | FrameBound::CurrentRow,
                    ) => "frame starting from following row cannot have preceding rows",
                    _ => "",
                }
            }
        };
        if !wrong.is_empty() {
            return self.fail(place, "42P20", wrong);
        }
        let mut exclude = None;
        if self.accept("exclude") {
            exclude = match self.word() {
                "current" => {
                    self.advance();
                    self.expect("row")?;
                    Some("CURRENT ROW")
                }
                "group" => {
                    self.advance();
                    Some("GROUP")
                }
                "ties" => {
                    self.advance();
                    Some("TIES")
                }
                "no" => {
                    self.advance();
                    self.expect("others")?;
                    None
                }
                _ => return Err(self.error()),
            };
        }
        Ok(Some(Frame { unit, start, end, exclude }))
    }

    fn frame_bound(&mut self) -> Result<FrameBound> {
        if self.is("unbounded") && matches!(self.word_at(1), "preceding" | "following") {
            self.advance();
            let preceding = self.is("preceding");
            self.advance();
            return Ok(if preceding {
                FrameBound::UnboundedPreceding
            } else {
                FrameBound::UnboundedFollowing
            });
        }
        if self.accept_all(&["current", "row"]) {
            return Ok(FrameBound::CurrentRow);
        }
        let offset = self.expr()?;
        if self.accept("preceding") {
            return Ok(FrameBound::Preceding(offset));
        }
        self.expect("following")?;
        Ok(FrameBound::Following(offset))
    }
}

/// The words that are values without parentheses.
fn special(word: &str) -> Option<&'static str> {
    const SPECIAL: [&str; 11] = [
        "current_catalog",
        "current_date",
        "current_role",
        "current_schema",
        "current_time",
        "current_timestamp",
        "current_user",
        "localtime",
        "localtimestamp",
        "session_user",
        "user",
    ];
    SPECIAL.into_iter().find(|name| *name == word)
}
