//! Which shard a record belongs to, by as few of its bytes as will do.

use dataman_metadata::id::ShardId;
use dataman_metadata::schema::Keyspace;
use dataman_metadata::sharding::{KeyPart, shard_of};
use dataman_metadata::topology::Datastore;
use dataman_pg::{Context, PgError, TypeId, Value};
use memchr::memchr;

use crate::plan::bind::CopyColumn;
use crate::plan::copy::CopyPlan;
use crate::route::key::{family, key_part};
use crate::rows::copy::options::{CopyFormat, CopyOptions};
use crate::rows::copy::{binary, csv, text};

/// Finds shards.
pub(super) struct Router<'a> {
    options: &'a CopyOptions,
    datastore: &'a Datastore,
    keyspace: &'a Keyspace,
    keys: Vec<Key<'a>>,
    scratch: Vec<u8>,
    parts: Vec<KeyPart>,
}

/// A column of the key.
struct Key<'a> {
    place: usize,
    column: &'a CopyColumn,
    force_null: bool,
    force_not_null: bool,
}

/// Where a record belongs.
pub(super) enum Destination {
    /// To this shard.
    Shard(ShardId),
    /// Nowhere: the shard that gets it will say why. Should it not, this is the reason.
    Doubtful(Option<PgError>),
}

impl<'a> Router<'a> {
    /// Finds the shards of a sharded collection whose key is in the data.
    pub(super) fn new(
        copy: &'a CopyPlan,
        keyspace: &'a Keyspace,
        datastore: &'a Datastore,
    ) -> Self {
        let options = &copy.options;
        let keys = copy
            .key_places
            .iter()
            .filter_map(|place| copy.columns.get(*place).map(|column| (*place, column)))
            .map(|(place, column)| Key {
                place,
                column,
                force_null: options.force_null.contains(&column.name),
                force_not_null: options.force_not_null.contains(&column.name),
            })
            .collect();
        Self { options, datastore, keyspace, keys, scratch: Vec::new(), parts: Vec::new() }
    }

    /// The shard of a raw record, without its line end.
    ///
    /// # Errors
    /// `23514`: no shard is given for the key.
    pub(super) fn of_record(
        &mut self,
        record: &[u8],
        backslash: bool,
        context: &Context,
    ) -> Result<Destination, PgError> {
        self.parts.clear();
        let plain = match self.options.format {
            CopyFormat::Text => true,
            // Without quotes, csv is as simple as text without backslashes.
            CopyFormat::Csv => memchr(self.options.quoting.quote, record).is_none(),
            CopyFormat::Binary => false,
        };
        for key in &self.keys {
            let field = if plain {
                plain_field(self.options, key, record, backslash, &mut self.scratch)
            } else if self.options.format == CopyFormat::Csv {
                quoted_field(self.options, key, record, &mut self.scratch)
            } else {
                binary::fields(record).nth(key.place).map(|field| {
                    field.map(|bytes| {
                        self.scratch.clear();
                        self.scratch.extend_from_slice(bytes);
                        self.scratch.as_slice()
                    })
                })
            };
            // What is missing or NULL is refused by the shard, in its own words.
            let Some(Some(field)) = field else { return Ok(Destination::Doubtful(None)) };
            match part_of(field, key.column, self.options.format, context) {
                Ok(part) => self.parts.push(part),
                Err(error) => return Ok(Destination::Doubtful(Some(error))),
            }
        }
        shard_of(self.keyspace, self.datastore, &self.parts).map(Destination::Shard).map_err(
            |error| {
                PgError::new("23514", "no shard found for row").with_detail(format!("{error}."))
            },
        )
    }
}

/// A field's bytes: none when there is no such field, and none within for NULL.
type Field<'f> = Option<Option<&'f [u8]>>;

fn plain_field<'f>(
    options: &CopyOptions,
    key: &Key<'_>,
    record: &'f [u8],
    backslash: bool,
    scratch: &'f mut Vec<u8>,
) -> Field<'f> {
    let (raw, escaped) = text::nth_field(record, options.delimiter, key.place, backslash)?;
    if raw == options.null.as_bytes() {
        return Some(key.force_not_null.then_some(raw));
    }
    if escaped {
        text::unescape(raw, scratch);
        return Some(Some(scratch));
    }
    Some(Some(raw))
}

fn quoted_field<'f>(
    options: &CopyOptions,
    key: &Key<'_>,
    record: &[u8],
    found: &'f mut Vec<u8>,
) -> Field<'f> {
    let mut place = 0;
    let mut scratch = Vec::new();
    let mut is_null = None;
    let split = csv::split_fields(
        record,
        options.delimiter,
        options.quoting,
        &mut scratch,
        &mut |field, quoted| {
            if place == key.place {
                let looks_null = field == options.null.as_bytes();
                is_null =
                    Some(looks_null && if quoted { key.force_null } else { !key.force_not_null });
                found.clear();
                found.extend_from_slice(field);
                return false;
            }
            place += 1;
            true
        },
    );
    split.ok()?;
    is_null.map(|is_null| (!is_null).then_some(found.as_slice()))
}

/// A field's bytes as a part of the key.
fn part_of(
    field: &[u8],
    column: &CopyColumn,
    format: CopyFormat,
    context: &Context,
) -> Result<KeyPart, PgError> {
    let text = || {
        std::str::from_utf8(field)
            .map_err(|_| PgError::new("22021", "invalid byte sequence for encoding \"UTF8\""))
    };
    if column.labels.is_some() {
        return text().map(KeyPart::text);
    }
    if format == CopyFormat::Binary {
        return to_part(&dataman_pg::io::binary::decode(field, column.ty)?, column);
    }
    match family(column.ty.id) {
        TypeId::INT8 => {
            if let Some(number) = digits(field)
                && fits(number, column.ty.id)
            {
                return Ok(KeyPart::Int(number));
            }
        }
        TypeId::TEXT if column.ty.typmod < 0 => return text().map(KeyPart::text),
        _ => {}
    }
    to_part(&dataman_pg::io::text::input(text()?, column.ty, context)?, column)
}

fn to_part(value: &Value, column: &CopyColumn) -> Result<KeyPart, PgError> {
    key_part(value, column.ty)
        .ok_or_else(|| PgError::internal("a shard key of a type without keys"))
}

/// A number that is nothing but a sign and at most eighteen digits.
fn digits(field: &[u8]) -> Option<i64> {
    let (negative, digits) = match field.split_first()? {
        (b'-', rest) => (true, rest),
        _ => (false, field),
    };
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let mut number = 0i64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number * 10 + i64::from(digit - b'0');
    }
    Some(if negative { -number } else { number })
}

fn fits(number: i64, ty: TypeId) -> bool {
    match ty {
        TypeId::INT2 => i16::try_from(number).is_ok(),
        TypeId::INT4 => i32::try_from(number).is_ok(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read() {
        let check = |text: &str, expected: Option<i64>| {
            assert_eq!(digits(text.as_bytes()), expected, "{text:?}");
        };
        check("0", Some(0));
        check("-12", Some(-12));
        check("999999999999999999", Some(999_999_999_999_999_999));
        check("9999999999999999999", None);
        check(" 1", None);
        check("", None);
        check("-", None);
        check("1a", None);
    }
}
