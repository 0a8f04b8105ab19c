//! What is wrong with a COPY, where, and in which words.

use dataman_node_protocol::{NodeError, NodeErrorKind};
use dataman_pg::PgError;

use super::places::Groups;
use super::{Feed, Stop};
use crate::error::Error;
use crate::plan::copy::CopyPlan;
use crate::rows::copy::binary::TupleError;
use crate::rows::copy::options::CopyFormat;
use crate::rows::copy::shown;

/// A failure at a line.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The line of the client's data; none when it is about no line.
    pub(super) line: Option<u64>,
    /// PostgreSQL finds it when the row is inserted, not when it is read.
    pub(super) late: bool,
    /// The shard should have refused the record; it only counts when the shard did not.
    pub(super) is_doubt: bool,
    /// What the client is told.
    pub(super) error: Error,
}

impl Failure {
    /// The order in which a single PostgreSQL would find failures.
    pub(super) fn order(&self, groups: &Groups) -> (usize, bool, u64) {
        match (self.line, &self.error) {
            (Some(line), _) => (groups.of(line), self.late, line),
            // What concerns the whole statement is found at its end; a lost shard ends it at once.
            (None, Error::Node(error)) if error.kind != NodeErrorKind::Statement => (0, false, 0),
            (None, _) => (usize::MAX, true, u64::MAX),
        }
    }
}

fn failed(line: Option<u64>, error: PgError, context: Option<String>) -> Failure {
    let mut error = NodeError::from(error);
    error.context = context;
    Failure { line, late: false, is_doubt: false, error: error.into() }
}

/// A failure at a line whose content is not known, or says nothing.
pub(super) fn of_line_bare(copy: &CopyPlan, number: u64, error: PgError) -> Stop {
    let context = format!("COPY {}, line {number}", copy.label);
    Stop::At(Box::new(failed(Some(number), error, Some(context))))
}

/// A failure of a whole line.
pub(super) fn of_line(copy: &CopyPlan, number: u64, line: &[u8], error: PgError) -> Stop {
    if copy.options.format == CopyFormat::Binary {
        return of_line_bare(copy, number, error);
    }
    let context = format!("COPY {}, line {number}: \"{}\"", copy.label, shown(line));
    Stop::At(Box::new(failed(Some(number), error, Some(context))))
}

/// A failure of one column's value.
pub(super) fn of_column(
    copy: &CopyPlan,
    number: u64,
    column: &str,
    value: &[u8],
    error: PgError,
) -> Stop {
    let context = match copy.options.format {
        CopyFormat::Binary => format!("COPY {}, line {number}, column {column}", copy.label),
        _ => {
            format!("COPY {}, line {number}, column {column}: \"{}\"", copy.label, shown(value))
        }
    };
    Stop::At(Box::new(failed(Some(number), error, Some(context))))
}

/// A failure of binary data.
pub(super) fn of_tuple(copy: &CopyPlan, failure: TupleError) -> Stop {
    let TupleError { number, field, error } = failure;
    let column = field.and_then(|field| copy.columns.get(field));
    let context = match (number, column) {
        (0, _) => None,
        (_, Some(column)) => {
            Some(format!("COPY {}, line {number}, column {}", copy.label, column.name))
        }
        (_, None) => Some(format!("COPY {}, line {number}", copy.label)),
    };
    Stop::At(Box::new(failed(Some(number), error, context)))
}

/// A shard's failure, with the client's line.
pub(super) fn of_shard(copy: &CopyPlan, feed: Option<&Feed>, mut error: NodeError) -> Failure {
    let late = matches!(error.sqlstate.as_str(), "23505" | "23P01");
    let binary = copy.options.format == CopyFormat::Binary;
    if error.object.table.is_some() && error.object.schema.is_none() {
        error.object.schema = Some(copy.schema.clone());
    }
    let mut line = None;
    if let Some(record) = error.record {
        line = feed.and_then(|feed| feed.lines.find(record));
        error.context = line.map(|line| {
            let content = feed.and_then(|feed| feed.shown_record(record));
            match content.filter(|_| !late && !binary) {
                Some(content) => format!("COPY {}, line {line}: \"{content}\"", copy.label),
                None => format!("COPY {}, line {line}", copy.label),
            }
        });
    } else if let Some(context) = &error.context
        && let Some(found) = find_line(context, &copy.physical)
    {
        line = feed.and_then(|feed| feed.lines.find(found.line));
        let number = line.unwrap_or(found.line);
        let is_content = found.rest.starts_with(": \"");
        let rest = if copy.passes || !is_content {
            found.rest.to_owned()
        } else {
            // The shard saw the line in another form.
            let content = feed.and_then(|feed| feed.shown_record(found.line));
            content.map(|content| format!(": \"{content}\"")).unwrap_or_default()
        };
        error.context = Some(format!("{}COPY {}, line {number}{rest}", found.before, copy.label));
    }
    Failure { line, late, is_doubt: false, error: error.into() }
}

/// The line that a CONTEXT names.
struct FoundLine<'c> {
    before: &'c str,
    line: u64,
    rest: &'c str,
}

/// Finds `COPY name, line 3` in a CONTEXT, at the start of one of its lines.
fn find_line<'c>(context: &'c str, name: &str) -> Option<FoundLine<'c>> {
    let wanted = format!("COPY {name}, line ");
    let at = context
        .match_indices(&wanted)
        .map(|(at, _)| at)
        .find(|at| *at == 0 || context.as_bytes()[at - 1] == b'\n')?;
    let after = &context[at + wanted.len()..];
    let digits = after.bytes().take_while(u8::is_ascii_digit).count();
    Some(FoundLine {
        before: &context[..at],
        line: after[..digits].parse().ok()?,
        rest: &after[digits..],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_in_contexts() {
        let check = |context: &str, expected: Option<(&str, u64, &str)>| {
            let found = find_line(context, "t");
            assert_eq!(found.map(|found| (found.before, found.line, found.rest)), expected);
        };
        check("COPY t, line 3", Some(("", 3, "")));
        check("COPY t, line 12, column a: \"x\"", Some(("", 12, ", column a: \"x\"")));
        check(
            "JSON data, line 1: x\nCOPY t, line 2, column j: \"COPY t, line 9\"",
            Some(("JSON data, line 1: x\n", 2, ", column j: \"COPY t, line 9\"")),
        );
        check("COPY u, line 3", None);
        check("something else", None);
    }
}
