//! A statement, what is kept with it, and names.

use super::*;

/// A range of bytes of the statement's text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte after the last one; equal to `start` when unknown.
    pub end: usize,
}

/// One statement of a query string.
#[derive(Debug, Clone, PartialEq)]
pub struct ParsedStatement {
    /// Its own text, without the semicolon.
    pub text: String,
    /// How many characters of the query string stand before it: what is added to an error's position in `text`.
    pub offset: usize,
    /// What it is.
    pub statement: Statement,
}

/// A name with up to two qualifiers, folded: `[database.][schema.]name`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObjectName {
    /// The parts, outermost first; one to three.
    pub parts: Vec<String>,
    /// Where it stands.
    pub span: Span,
}

impl ObjectName {
    /// The object's own name, without qualifiers.
    pub fn last(&self) -> &str {
        self.parts.last().map_or("", String::as_str)
    }
}

/// A statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// The empty query.
    Empty,
    /// SELECT, VALUES, TABLE, WITH … SELECT.
    Select(Box<Select>),
    /// INSERT.
    Insert(Box<Insert>),
    /// UPDATE.
    Update(Box<Update>),
    /// DELETE.
    Delete(Box<Delete>),
    /// CREATE, ALTER, DROP, TRUNCATE, COMMENT.
    Define(Box<Define>),
    /// BEGIN and its like.
    Transaction(Transaction),
    /// SET, SHOW, RESET, DISCARD.
    Setting(Setting),
    /// `PREPARE name (types) AS statement`.
    Prepare {
        /// The name.
        name: String,
        /// Declared parameter types.
        types: Vec<TypeName>,
        /// The statement with its own text.
        statement: Box<ParsedStatement>,
    },
    /// `EXECUTE name (args)`.
    Execute {
        /// The name.
        name: String,
        /// The arguments.
        args: Vec<Expr>,
    },
    /// `DEALLOCATE name`; none for ALL.
    Deallocate(Option<String>),
    /// EXPLAIN.
    Explain(Box<Explain>),
    /// COPY.
    Copy(Box<Copy>),
    /// DECLARE, FETCH, MOVE, CLOSE.
    Cursor(Box<CursorCommand>),
    /// `LISTEN`, `GRANT`, `MERGE` and everything else that PostgreSQL has and dataman does not do: refused with the
    /// reason and hint.
    Unsupported(Unsupported),
    /// A statement that has nothing to do here, by its command tag.
    Nothing(&'static str),
}

/// What is done with a cursor.
#[derive(Debug, Clone, PartialEq)]
pub enum CursorCommand {
    /// DECLARE.
    Declare {
        /// The cursor's name.
        name: String,
        /// SCROLL (true) or NO SCROLL, where written.
        scroll: Option<bool>,
        /// WITH HOLD.
        hold: bool,
        /// The query with its own text.
        statement: Box<ParsedStatement>,
    },
    /// FETCH, or MOVE.
    Fetch {
        /// The cursor's name.
        name: String,
        /// Where to.
        direction: FetchDirection,
        /// MOVE: the rows are not wanted.
        moves: bool,
    },
    /// CLOSE; none for ALL.
    Close(Option<String>),
}

/// Where FETCH and MOVE go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchDirection {
    /// So many rows on, back when negative; none for all that are left.
    Forward(Option<i64>),
    /// All rows back to the first.
    BackwardAll,
    /// To the row of this number, from the end when negative.
    Absolute(i64),
    /// To the row so many further.
    Relative(i64),
}

/// A refusal decided by the syntax alone: `0A000`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsupported {
    /// What is refused, for the message: `LISTEN is not supported`.
    pub message: String,
    /// What would work.
    pub hint: String,
}
