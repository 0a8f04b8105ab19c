//! PostgreSQL's regular expressions (the manual's section 9.7.3): the "advanced" dialect, matched by its rules.
//!
//! Which text matches is decided as PostgreSQL documents it in section 9.7.3.5, not as in Perl: of the matches that
//! begin first the longest one wins (or the shortest, by the expression's own preference), and only then the parts
//! are given their texts, earlier ones first. So [`parse`] makes two things of an expression: its *language* ([`Re`]), which an
//! automaton ([`program`]) can match in linear time, and a *tree* of the parts that matter ([`Part`]), by which
//! [`dissect`] gives groups their texts once the whole match is known.
//!
//! The question whether there is a match at all does not depend on these rules; where the language is plain, the regex
//! crate answers it.

use std::sync::{Arc, OnceLock};

use crate::error::{PgError, Result};
use crate::interrupt;

mod charset;
mod dissect;
mod parse;
mod program;
mod translate;

use charset::CharSet;
pub(crate) use parse::set_option;
use program::Program;

/// Options of a match: what the letters of a flags argument set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Flags {
    /// `i`.
    pub(crate) ignore_case: bool,
    /// `x`.
    pub(crate) expanded: bool,
    /// `n`, `p`: `.` and negated brackets do not match a newline.
    pub(crate) newline_stops: bool,
    /// `n`, `w`: `^` and `$` match at newlines.
    pub(crate) newline_anchors: bool,
    /// `q`: the pattern is a literal string.
    pub(crate) literal: bool,
}

/// A language: what an automaton can match.
#[derive(Debug, Clone)]
pub(crate) enum Re {
    Empty,
    Set(Arc<CharSet>),
    Concat(Vec<Arc<Re>>),
    Alternate(Vec<Arc<Re>>),
    /// `None`: without an upper bound.
    Repeat(Arc<Re>, u32, Option<u32>),
    Assert(Assertion),
    Look {
        ahead: bool,
        negated: bool,
        inner: Arc<Re>,
    },
}

/// A constraint on a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Assertion {
    TextStart,
    TextEnd,
    LineStart,
    LineEnd,
    WordStart,
    WordEnd,
    WordBoundary,
    NoWordBoundary,
}

/// An element of the tree. `flags` say what it prefers and what is in it, see [`parse`].
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) kind: PartKind,
    pub(crate) flags: u8,
    /// The group that this part captures, or 0.
    pub(crate) group: usize,
    pub(crate) language: Arc<Re>,
    pub(crate) children: Vec<Part>,
    program: OnceLock<Arc<Program>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PartKind {
    /// Only its language matters.
    Plain,
    /// A group's text again, so many times.
    Backref { group: usize, min: u32, max: Option<u32> },
    /// Its two children, one after the other.
    Concat,
    /// One of its children, the first that can.
    Alternate,
    /// Its child, so many times.
    Iterate { min: u32, max: Option<u32> },
    /// Its child; captures a group around a group.
    Capture,
}

impl Part {
    fn new(kind: PartKind, flags: u8, language: Arc<Re>, children: Vec<Part>) -> Self {
        Self { kind, flags, group: 0, language, children, program: OnceLock::new() }
    }

    fn program(&self) -> &Program {
        self.program.get_or_init(|| Arc::new(Program::new(&self.language)))
    }
}

/// A compiled regular expression.
#[derive(Debug)]
pub(crate) struct Regex {
    tree: Part,
    /// How many groups it captures.
    pub(crate) groups: usize,
    has_backrefs: bool,
    /// Back-references ignore case; sets have both cases in them.
    ignore_case: bool,
    /// The same language for the regex crate, if it can be said there.
    fast: OnceLock<Option<fancy_regex::Regex>>,
}

/// Where a group (or the whole, at 0) matched: from and to, in characters.
pub(crate) type Span = Option<(usize, usize)>;

impl Regex {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// `2201B` in PostgreSQL's words; `0A000` for the dialects and names that are not read here.
    pub(crate) fn new(pattern: &str, flags: Flags) -> Result<Self> {
        let parsed = parse::parse(pattern, flags)?;
        program::check_size(&parsed.tree.language)?;
        Ok(Self {
            has_backrefs: parsed.has_backrefs,
            ignore_case: parsed.ignore_case,
            groups: parsed.groups,
            tree: parsed.tree,
            fast: OnceLock::new(),
        })
    }

    /// Whether it matches anywhere.
    ///
    /// # Errors
    /// `54000` when back-references would take too long.
    pub(crate) fn is_match(&self, text: &str) -> Result<bool> {
        if let Some(found) = self.fast().and_then(|fast| fast.is_match(text).ok()) {
            return Ok(found);
        }
        let characters: Vec<u32> = text.chars().map(u32::from).collect();
        if self.has_backrefs {
            return Ok(self.find(&characters, 0)?.is_some());
        }
        let found = self.tree.program().first_start(&characters, 0).is_some();
        interrupt::check()?;
        Ok(found)
    }

    /// The first match at or after a place: the whole and its groups.
    ///
    /// # Errors
    /// `54000` when back-references would take too long.
    pub(crate) fn find(&self, text: &[u32], from: usize) -> Result<Option<Vec<Span>>> {
        let found = dissect::find(self, text, from);
        // What was found once the statement was over does not count.
        interrupt::check()?;
        found
    }

    fn fast(&self) -> Option<&fancy_regex::Regex> {
        self.fast
            .get_or_init(|| {
                if self.has_backrefs {
                    return None;
                }
                let pattern = translate::translate(&self.tree.language)?;
                fancy_regex::Regex::new(&pattern).ok()
            })
            .as_ref()
    }
}

/// `2201B` with the reason in PostgreSQL's words.
fn invalid(reason: &str) -> PgError {
    PgError::new("2201B", format!("invalid regular expression: {reason}"))
}
