//! Errors as PostgreSQL reports them.

use std::borrow::Cow;
use std::fmt;

/// The result of anything that PostgreSQL could refuse.
pub type Result<T, E = PgError> = std::result::Result<T, E>;

/// An error that PostgreSQL would raise, in PostgreSQL's words.
///
/// `sqlstate` is the five-character code of appendix A of the manual; `message`, `detail` and `hint` follow
/// PostgreSQL's text for the same failure. Boxed, so that a `Result` stays small on the hot path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PgError(Box<Fields>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Fields {
    sqlstate: &'static str,
    message: Cow<'static, str>,
    detail: Option<Cow<'static, str>>,
    hint: Option<Cow<'static, str>>,
    context: Option<Cow<'static, str>>,
    position: Option<usize>,
}

impl PgError {
    /// Makes an error from its SQLSTATE and primary message (lower case, no full stop).
    pub fn new(sqlstate: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Fields {
            sqlstate,
            message: message.into(),
            detail: None,
            hint: None,
            context: None,
            position: None,
        }))
    }

    /// Adds the DETAIL field: a sentence.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Adds the HINT field: a sentence that says what would work.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds the CONTEXT field: where within what was read or called it happened.
    #[must_use]
    pub fn with_context(mut self, context: impl Into<Cow<'static, str>>) -> Self {
        self.0.context = Some(context.into());
        self
    }

    /// Adds the cursor position: 1-based, in characters of the statement's text.
    #[must_use]
    pub fn at(mut self, position: usize) -> Self {
        self.0.position = Some(position);
        self
    }

    /// The five-character SQLSTATE.
    pub fn sqlstate(&self) -> &'static str {
        self.0.sqlstate
    }

    /// The primary message.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The DETAIL field, if any.
    pub fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    /// The HINT field, if any.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The CONTEXT field, if any.
    pub fn context(&self) -> Option<&str> {
        self.0.context.as_deref()
    }

    /// The cursor position, 1-based in characters, if known.
    pub fn position(&self) -> Option<usize> {
        self.0.position
    }

    /// `0A000`: PostgreSQL or dataman knows the feature and does not do it here.
    pub fn unsupported(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new("0A000", message)
    }

    /// `22P02`: `invalid input syntax for type …: "…"`.
    pub fn invalid_text(type_name: &str, input: &str) -> Self {
        Self::new("22P02", format!("invalid input syntax for type {type_name}: \"{input}\""))
    }

    /// `22003`: `value "…" is out of range for type …`.
    pub fn out_of_range_text(type_name: &str, input: &str) -> Self {
        Self::new("22003", format!("value \"{input}\" is out of range for type {type_name}"))
    }

    /// `22003`: `… out of range`, as the arithmetic of a type reports it (`integer out of range`).
    pub fn out_of_range(type_name: &str) -> Self {
        Self::new("22003", format!("{type_name} out of range"))
    }

    /// `22012`: `division by zero`.
    pub fn division_by_zero() -> Self {
        Self::new("22012", "division by zero")
    }

    /// `XX000`: an invariant of ours does not hold. Never the result of input alone.
    pub fn internal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new("XX000", message)
    }
}

impl fmt::Display for PgError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for PgError {}
