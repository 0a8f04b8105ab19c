//! A client that sees all that a server says of a statement: names, types, bytes, tag, SQLSTATE.

use dataman_pg::{TypeId, array};

use super::tree::Parameter;
use crate::raw::{RawClient, frame, query};

/// How a statement is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// One Query message.
    Simple,
    /// Parse, Bind, Describe, Execute with results in text or in binary.
    Extended { binary: bool },
    /// The same with values apart, of declared types or of those that the statement decides.
    Parameters { declared: bool, binary: bool },
}

/// What a server said of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// It succeeded.
    Rows(Rows),
    /// It failed.
    Failed { sqlstate: String, message: String },
    /// The connection ended.
    Gone(String),
}

/// What a successful statement gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rows {
    /// Name, type and type modifier of each column.
    pub(super) columns: Vec<(String, u32, i32)>,
    pub(super) rows: Vec<Vec<Option<Vec<u8>>>>,
    /// The command tag.
    pub(super) tag: String,
}

impl Said {
    pub(super) fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Failed { sqlstate, .. } => Some(sqlstate),
            _ => None,
        }
    }
}

/// Runs a statement to its end.
pub(super) async fn run(
    client: &mut RawClient,
    sql: &str,
    parameters: &[Parameter],
    way: Way,
) -> Said {
    let message = match way {
        Way::Simple => query(sql),
        Way::Extended { binary } => extended(sql, &[], true, binary),
        Way::Parameters { declared, binary } => extended(sql, parameters, declared, binary),
    };
    match exchange(client, &message).await {
        Ok(said) => said,
        Err(error) => Said::Gone(error.to_string()),
    }
}

fn extended(sql: &str, parameters: &[Parameter], declared: bool, binary: bool) -> Vec<u8> {
    let count = |number: usize| i16::try_from(number).unwrap_or(i16::MAX).to_be_bytes();
    let mut parse = [b"\0", sql.as_bytes(), b"\0"].concat();
    parse.extend(count(if declared { parameters.len() } else { 0 }));
    if declared {
        for (kind, _) in parameters {
            parse.extend(kind.oid().to_be_bytes());
        }
    }
    let mut bind = b"\0\0\0\0".to_vec();
    bind.extend(count(parameters.len()));
    for (_, value) in parameters {
        match value {
            Some(value) => {
                bind.extend(i32::try_from(value.len()).unwrap_or(i32::MAX).to_be_bytes());
                bind.extend(value.as_bytes());
            }
            None => bind.extend((-1i32).to_be_bytes()),
        }
    }
    bind.extend([0, 1, 0, u8::from(binary)]);
    [
        frame(b'P', &parse),
        frame(b'B', &bind),
        frame(b'D', b"P\0"),
        frame(b'E', b"\0\0\0\0\0"),
        frame(b'S', b""),
    ]
    .concat()
}

async fn exchange(client: &mut RawClient, message: &[u8]) -> std::io::Result<Said> {
    client.send(message).await?;
    let mut rows = Rows::default();
    let mut arrays = Vec::new();
    let mut failure = None;
    while let Some(answer) = client.answer().await? {
        match answer.kind {
            b'T' => {
                rows.columns = columns(&answer.body);
                arrays = binary_arrays(&answer.body);
            }
            b'D' => {
                let mut row = values(&answer.body);
                for place in &arrays {
                    forget_flags(row.get_mut(*place).and_then(Option::as_mut));
                }
                rows.rows.push(row);
            }
            b'C' => rows.tag = text(&answer.body).0.to_owned(),
            b'E' => {
                failure =
                    Some(Said::Failed { sqlstate: answer.field('C'), message: answer.field('M') });
            }
            b'Z' => return Ok(failure.unwrap_or(Said::Rows(rows))),
            _ => {}
        }
    }
    Err(std::io::ErrorKind::ConnectionReset.into())
}

/// A text up to its end, and what follows.
fn text(bytes: &[u8]) -> (&str, &[u8]) {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let rest = bytes.get(end + 1..).unwrap_or_default();
    (std::str::from_utf8(&bytes[..end]).unwrap_or("?"), rest)
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| (number << 8) | u32::from(*byte))
}

/// The names of a RowDescription, and what it says of each beside.
fn described(body: &[u8]) -> Vec<(&str, &[u8])> {
    let mut found = Vec::new();
    let mut rest = body.get(2..).unwrap_or_default();
    while !rest.is_empty() {
        let (name, behind) = text(rest);
        let Some((fields, behind)) = behind.split_at_checked(18) else { break };
        found.push((name, fields));
        rest = behind;
    }
    found
}

fn columns(body: &[u8]) -> Vec<(String, u32, i32)> {
    let column = |(name, fields): (&str, &[u8])| {
        // Objects that each server numbers itself.
        let oid = number(&fields[6..10]).min(16_384);
        (name.to_owned(), oid, number(&fields[12..16]).cast_signed())
    };
    described(body).into_iter().map(column).collect()
}

/// The columns of arrays in binary.
fn binary_arrays(body: &[u8]) -> Vec<usize> {
    let is_array = |fields: &[u8]| {
        fields[17] == 1 && array::element_type(TypeId(number(&fields[6..10]))).is_some()
    };
    let columns = described(body).into_iter().enumerate();
    columns.filter(|(_, (_, fields))| is_array(fields)).map(|(place, _)| place).collect()
}

/// Clears an array's flags: PostgreSQL sets them for a part without NULL, of an array that has one, as well.
fn forget_flags(value: Option<&mut Vec<u8>>) {
    if let Some(flags) = value.and_then(|value| value.get_mut(4..8)) {
        flags.fill(0);
    }
}

fn values(body: &[u8]) -> Vec<Option<Vec<u8>>> {
    let mut found = Vec::new();
    let mut rest = body.get(2..).unwrap_or_default();
    while let Some((length, behind)) = rest.split_at_checked(4) {
        match usize::try_from(number(length).cast_signed()) {
            Ok(length) => {
                let (value, behind) = behind.split_at(length.min(behind.len()));
                found.push(Some(value.to_vec()));
                rest = behind;
            }
            Err(_) => {
                found.push(None);
                rest = behind;
            }
        }
    }
    found
}
