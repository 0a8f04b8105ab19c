//! Where the parser stands among the tokens, and the small steps that all of the grammar is made of.

use dataman_pg::PgError;

use super::keyword::Category;
use super::lexer::{Token, TokenKind, position};
use super::syntax::{ObjectName, Span};

/// The result of a step of the grammar.
pub(super) type Result<T> = std::result::Result<T, PgError>;

/// How deep expressions and queries may nest. PostgreSQL stops where its stack does; every later stage walks the tree by
/// recursion, so the bound is one that all of them can bear on a two-megabyte stack.
pub(super) const DEPTH_MAX: usize = 150;

/// How many operators may follow each other on one level (`a + b + c …`): each makes the tree one deeper. AND and OR are
/// not bound, as their trees are balanced.
pub(super) const CHAIN_MAX: usize = 500;

/// The parser: a place among the tokens of a query string.
pub(super) struct Parser<'a> {
    /// The whole query string.
    pub(super) sql: &'a str,
    /// Its tokens.
    pub(super) tokens: &'a [Token],
    /// The token it stands at.
    pub(super) at: usize,
    /// Where the statement's own text begins.
    pub(super) base: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    /// Starts at the first token.
    pub(super) fn new(sql: &'a str, tokens: &'a [Token]) -> Self {
        Self { sql, tokens, at: 0, base: 0, depth: 0 }
    }

    /// The token it stands at.
    pub(super) fn peek(&self) -> &'a TokenKind {
        self.peek_at(0)
    }

    /// The token some places further.
    pub(super) fn peek_at(&self, ahead: usize) -> &'a TokenKind {
        &self.token_at(ahead).kind
    }

    fn token_at(&self, ahead: usize) -> &'a Token {
        let last = self.tokens.len() - 1;
        &self.tokens[(self.at + ahead).min(last)]
    }

    /// Moves to the next token.
    pub(super) fn advance(&mut self) {
        self.at = (self.at + 1).min(self.tokens.len() - 1);
    }

    /// The error of standing at a token that cannot be here.
    pub(super) fn error(&self) -> PgError {
        self.error_at(self.at)
    }

    /// The same of another token.
    pub(super) fn error_at(&self, place: usize) -> PgError {
        let token = &self.tokens[place.min(self.tokens.len() - 1)];
        match &token.kind {
            TokenKind::Invalid(error) => error.clone(),
            TokenKind::End => PgError::new("42601", "syntax error at end of input")
                .at(position(self.sql, token.start)),
            _ => {
                let near = &self.sql[token.start..token.end];
                PgError::new("42601", format!("syntax error at or near \"{near}\""))
                    .at(position(self.sql, token.start))
            }
        }
    }

    /// Another failure, with the position of a token.
    pub(super) fn fail<T>(
        &self,
        place: usize,
        sqlstate: &'static str,
        message: impl Into<String>,
    ) -> Result<T> {
        let start = self.tokens[place.min(self.tokens.len() - 1)].start;
        Err(PgError::new(sqlstate, message.into()).at(position(self.sql, start)))
    }

    /// What dataman does not do.
    pub(super) fn refuse<T>(&self, what: &str, hint: &str) -> Result<T> {
        Err(PgError::unsupported(format!("{what} is not supported")).with_hint(hint.to_owned()))
    }

    /// Runs a step one level deeper.
    pub(super) fn nested<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(too_deep());
        }
        let result = step(self);
        self.depth -= 1;
        result
    }

    /// The word it stands at, in lower case; empty when it is none.
    pub(super) fn word(&self) -> &'a str {
        self.word_at(0)
    }

    /// The word some places further.
    pub(super) fn word_at(&self, ahead: usize) -> &'a str {
        match self.peek_at(ahead) {
            TokenKind::Word(word, _) => word,
            _ => "",
        }
    }

    /// Whether it stands at a word.
    pub(super) fn is(&self, word: &str) -> bool {
        self.word() == word
    }

    /// Whether it stands at these words.
    pub(super) fn are(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(ahead, word)| self.word_at(ahead) == *word)
    }

    /// Takes a word if it stands at it.
    pub(super) fn accept(&mut self, word: &str) -> bool {
        let found = self.is(word);
        if found {
            self.advance();
        }
        found
    }

    /// Takes several words if it stands at them.
    pub(super) fn accept_all(&mut self, words: &[&str]) -> bool {
        let found = self.are(words);
        if found {
            self.at += words.len();
        }
        found
    }

    /// Takes a word.
    pub(super) fn expect(&mut self, word: &str) -> Result<()> {
        if self.accept(word) { Ok(()) } else { Err(self.error()) }
    }

    /// Takes several words.
    pub(super) fn expect_all(&mut self, words: &[&str]) -> Result<()> {
        words.iter().try_for_each(|word| self.expect(word))
    }

    /// Whether it stands at a symbol.
    pub(super) fn is_symbol(&self, symbol: char) -> bool {
        self.is_symbol_at(0, symbol)
    }

    /// Whether a symbol stands some places further.
    pub(super) fn is_symbol_at(&self, ahead: usize, symbol: char) -> bool {
        matches!(self.peek_at(ahead), TokenKind::Symbol(found) if *found == symbol)
    }

    /// Takes a symbol if it stands at it.
    pub(super) fn accept_symbol(&mut self, symbol: char) -> bool {
        let found = self.is_symbol(symbol);
        if found {
            self.advance();
        }
        found
    }

    /// Takes a symbol.
    pub(super) fn expect_symbol(&mut self, symbol: char) -> Result<()> {
        if self.accept_symbol(symbol) { Ok(()) } else { Err(self.error()) }
    }

    /// Whether the statement ends here.
    pub(super) fn at_end(&self) -> bool {
        matches!(self.peek(), TokenKind::End | TokenKind::Symbol(';'))
    }

    /// The span of the token it stands at.
    pub(super) fn span(&self) -> Span {
        self.span_of(self.at)
    }

    /// The span of a token.
    pub(super) fn span_of(&self, place: usize) -> Span {
        let token = &self.tokens[place.min(self.tokens.len() - 1)];
        Span { start: token.start - self.base, end: token.end - self.base }
    }

    /// The span from a token to the last one taken.
    pub(super) fn span_from(&self, place: usize) -> Span {
        let end = self.tokens[self.at.saturating_sub(1).max(place)].end;
        Span { start: self.tokens[place].start - self.base, end: end - self.base }
    }

    /// The text from a token to the last one taken.
    pub(super) fn text_from(&self, place: usize) -> String {
        let end = self.tokens[self.at.saturating_sub(1).max(place)].end;
        self.sql[self.tokens[place].start..end].to_owned()
    }

    /// Takes items with commas between them; at least one.
    pub(super) fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.accept_symbol(',') {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// Takes items in parentheses with commas between them; at least one.
    pub(super) fn parenthesized<T>(
        &mut self,
        item: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        self.expect_symbol('(')?;
        let items = self.list(item)?;
        self.expect_symbol(')')?;
        Ok(items)
    }

    fn name_if(&mut self, allowed: impl Fn(Category) -> bool) -> Result<String> {
        let name = match self.peek() {
            TokenKind::Quoted(name) => name,
            TokenKind::Word(word, None) => word,
            TokenKind::Word(word, Some(keyword)) if allowed(keyword.category) => word,
            _ => return Err(self.error()),
        };
        self.advance();
        Ok(name.clone())
    }

    /// Whether a name of a column or table stands some places further (`ColId`).
    pub(super) fn is_name_at(&self, ahead: usize) -> bool {
        match self.peek_at(ahead) {
            TokenKind::Quoted(_) | TokenKind::Word(_, None) => true,
            TokenKind::Word(_, Some(keyword)) => {
                matches!(keyword.category, Category::Unreserved | Category::ColumnName)
            }
            _ => false,
        }
    }

    /// Takes the name of a column or table (`ColId`).
    pub(super) fn name(&mut self) -> Result<String> {
        self.name_if(|category| matches!(category, Category::Unreserved | Category::ColumnName))
    }

    /// Takes the name of a type or function (`type_function_name`).
    pub(super) fn type_function_name(&mut self) -> Result<String> {
        self.name_if(|category| matches!(category, Category::Unreserved | Category::FunctionOrType))
    }

    /// Takes a word that is not reserved (`NonReservedWord`).
    pub(super) fn non_reserved_word(&mut self) -> Result<String> {
        self.name_if(|category| category != Category::Reserved)
    }

    /// Takes any word (`ColLabel`).
    pub(super) fn label(&mut self) -> Result<String> {
        self.name_if(|_| true)
    }

    /// Takes a column's alias that stands without AS, if there is one.
    pub(super) fn bare_label(&mut self) -> Option<String> {
        let name = match self.peek() {
            TokenKind::Quoted(name) => name,
            TokenKind::Word(word, None) => word,
            TokenKind::Word(word, Some(keyword)) if keyword.bare_label => word,
            _ => return None,
        };
        self.advance();
        Some(name.clone())
    }

    /// Takes names with commas between them in parentheses.
    pub(super) fn names(&mut self) -> Result<Vec<String>> {
        self.parenthesized(Self::name)
    }

    /// Takes the name of a table or another object, qualified or not.
    pub(super) fn object_name(&mut self) -> Result<ObjectName> {
        let start = self.at;
        let mut parts = vec![self.name()?];
        while self.accept_symbol('.') {
            parts.push(self.label()?);
        }
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

    /// Takes a string.
    pub(super) fn string(&mut self) -> Result<String> {
        match self.peek() {
            TokenKind::String(text) => {
                self.advance();
                Ok(text.clone())
            }
            _ => Err(self.error()),
        }
    }

    /// Takes an integer without sign that fits in 32 bits.
    pub(super) fn integer(&mut self) -> Result<i32> {
        match self.peek() {
            TokenKind::Integer(value) => {
                self.advance();
                Ok(*value)
            }
            _ => Err(self.error()),
        }
    }

    /// Takes a number with its sign, as text.
    pub(super) fn signed_number(&mut self) -> Result<String> {
        let sign = match self.peek() {
            TokenKind::Symbol('-') => "-",
            TokenKind::Symbol('+') => "+",
            _ => "",
        };
        if !sign.is_empty() {
            self.advance();
        }
        let digits = match self.peek() {
            TokenKind::Integer(value) => value.to_string(),
            TokenKind::Number(text) => text.clone(),
            _ => return Err(self.error()),
        };
        self.advance();
        Ok(format!("{}{digits}", if sign == "-" { "-" } else { "" }))
    }

    /// Takes `IF NOT EXISTS`.
    pub(super) fn if_not_exists(&mut self) -> Result<bool> {
        if self.accept_all(&["if", "not"]) {
            self.expect("exists")?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Takes `IF EXISTS`.
    pub(super) fn if_exists(&mut self) -> bool {
        self.accept_all(&["if", "exists"])
    }

    /// Takes `CASCADE` or `RESTRICT`; true for CASCADE.
    pub(super) fn cascade(&mut self) -> bool {
        let cascade = self.accept("cascade");
        if !cascade {
            self.accept("restrict");
        }
        cascade
    }
}

/// `54001`, as PostgreSQL reports it.
pub(super) fn too_deep() -> PgError {
    PgError::new("54001", "stack depth limit exceeded")
        .with_hint("Write the statement with fewer nested expressions.")
}
