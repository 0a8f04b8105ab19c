//! What a sample of documents says of a collection: its fields in the order in which they were met, and the column that each becomes.

use std::collections::{BTreeMap, HashMap};

use dataman_pg::types::{TypeId, TypeRef};
use mongodb::bson::{Bson, Document};

use super::{Found, ID, date_type, json, look, value};

/// Columns of a table, as PostgreSQL has them.
const COLUMNS_MAX: usize = 1600;

/// Fields within a field that a proposal names.
const NESTED_MAX: usize = 20;

/// How deep fields within fields are looked for.
const DEPTH_MAX: usize = 3;

/// The BSON types as they matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::driver::mongodb) enum Kind {
    /// `bool`.
    Bool,
    /// `int`.
    Int,
    /// `long`.
    Long,
    /// `double`.
    Double,
    /// `decimal`.
    Decimal,
    /// `string`.
    Text,
    /// `date`.
    Date,
    /// `objectId`.
    ObjectId,
    /// `binData` of subtype 4.
    Uuid,
    /// Other `binData`.
    Bytes,
    /// `object`.
    Document,
    /// `array`.
    Array,
    /// Another, by its name.
    Other(&'static str),
}

impl Kind {
    /// The kind of a value; none for null.
    pub(super) fn of(bson: &Bson) -> Option<Self> {
        Some(match bson {
            Bson::Null | Bson::Undefined => return None,
            Bson::Boolean(_) => Self::Bool,
            Bson::Int32(_) => Self::Int,
            Bson::Int64(_) => Self::Long,
            Bson::Double(_) => Self::Double,
            Bson::Decimal128(_) => Self::Decimal,
            Bson::String(_) => Self::Text,
            Bson::DateTime(_) => Self::Date,
            Bson::ObjectId(_) => Self::ObjectId,
            Bson::Binary(binary) if json::uuid_of(binary).is_some() => Self::Uuid,
            Bson::Binary(_) => Self::Bytes,
            Bson::Document(_) => Self::Document,
            Bson::Array(_) => Self::Array,
            Bson::RegularExpression(_) => Self::Other("regex"),
            Bson::Timestamp(_) => Self::Other("timestamp"),
            Bson::JavaScriptCode(_) | Bson::JavaScriptCodeWithScope(_) => Self::Other("javascript"),
            Bson::Symbol(_) => Self::Other("symbol"),
            Bson::MinKey => Self::Other("minKey"),
            Bson::MaxKey => Self::Other("maxKey"),
            Bson::DbPointer(_) => Self::Other("dbPointer"),
        })
    }

    /// MongoDB's name of it.
    pub(in crate::driver::mongodb) fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Long => "long",
            Self::Double => "double",
            Self::Decimal => "decimal",
            Self::Text => "string",
            Self::Date => "date",
            Self::ObjectId => "objectId",
            Self::Uuid => "uuid",
            Self::Bytes => "binData",
            Self::Document => "object",
            Self::Array => "array",
            Self::Other(name) => name,
        }
    }
}

/// A field that was met.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::driver::mongodb) struct Seen {
    /// Where it lies.
    pub(in crate::driver::mongodb) path: String,
    /// How many values of each kind.
    kinds: BTreeMap<Kind, u64>,
    /// Longs among them that no double holds.
    wide: u64,
    /// Documents in which an array lies on the way.
    in_array: u64,
    /// The fields within it, by their paths.
    nested: Vec<String>,
}

/// What was seen of a collection's documents.
#[derive(Debug, Default)]
pub(in crate::driver::mongodb) struct Sample {
    /// How many.
    pub(in crate::driver::mongodb) documents: u64,
    /// The fields, in the order in which they were met; those that were asked for come last.
    pub(in crate::driver::mongodb) fields: Vec<Seen>,
    places: HashMap<String, usize>,
    /// Fields whose names are no parts of paths.
    pub(in crate::driver::mongodb) unnamed: Vec<String>,
    asked: Vec<String>,
}

/// The column that a field becomes.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::driver::mongodb) struct Proposal {
    /// Its type.
    pub(in crate::driver::mongodb) ty: TypeRef,
    /// The BSON types seen.
    pub(in crate::driver::mongodb) declared: String,
    /// What people should know about it.
    pub(in crate::driver::mongodb) note: Option<String>,
}

impl Sample {
    /// Begins. `asked` are paths within fields that become columns of their own.
    pub(in crate::driver::mongodb) fn new(asked: Vec<String>) -> Self {
        Self { asked, ..Self::default() }
    }

    /// Looks at a document.
    ///
    /// # Errors
    /// Why the collection has no columns.
    pub(in crate::driver::mongodb) fn add(&mut self, document: &Document) -> Result<(), String> {
        self.documents += 1;
        for (name, bson) in document {
            if name.is_empty() || name.contains(['.', '\0']) || name.starts_with('$') {
                if self.unnamed.len() < NESTED_MAX && !self.unnamed.contains(name) {
                    self.unnamed.push(name.clone());
                }
                continue;
            }
            let seen = self.seen(name)?;
            seen.add(bson);
        }
        for path in self.asked.clone() {
            let found = look(document, &path);
            let seen = self.seen(&path)?;
            match found {
                // Those of the document itself are counted already.
                Found::Value(bson) if path.contains('.') => seen.add(bson),
                Found::InArray => seen.in_array += 1,
                Found::Value(_) | Found::Missing => {}
            }
        }
        Ok(())
    }

    /// Takes fields for met of which there is no document.
    pub(in crate::driver::mongodb) fn declare<'p>(&mut self, paths: impl Iterator<Item = &'p str>) {
        for path in paths {
            // There are not as many options.
            let _ = self.seen(path);
        }
        self.finish();
    }

    fn seen(&mut self, path: &str) -> Result<&mut Seen, String> {
        let place = match self.places.get(path) {
            Some(place) => *place,
            None if self.fields.len() >= COLUMNS_MAX => {
                return Err(format!(
                    "its documents have more than {COLUMNS_MAX} different fields: their names seem to be data"
                ));
            }
            None => {
                self.places.insert(path.to_owned(), self.fields.len());
                self.fields.push(Seen {
                    path: path.to_owned(),
                    kinds: BTreeMap::new(),
                    wide: 0,
                    in_array: 0,
                    nested: Vec::new(),
                });
                self.fields.len() - 1
            }
        };
        Ok(&mut self.fields[place])
    }

    /// Puts `_id` first and the fields that were asked for last.
    pub(in crate::driver::mongodb) fn finish(&mut self) {
        self.fields.sort_by_key(|seen| (seen.path != ID, seen.path.contains('.')));
        self.places.clear();
    }
}

impl Seen {
    fn add(&mut self, bson: &Bson) {
        let Some(kind) = Kind::of(bson) else { return };
        *self.kinds.entry(kind).or_default() += 1;
        match bson {
            Bson::Int64(value) if value::exact_double(*value).is_none() => self.wide += 1,
            Bson::Document(document) => self.nest(document, &self.path.clone(), 1),
            _ => {}
        }
    }

    fn nest(&mut self, document: &Document, path: &str, depth: usize) {
        for (name, bson) in document {
            let path = format!("{path}.{name}");
            match bson {
                _ if name.is_empty() || name.contains('.') || name.starts_with('$') => {}
                Bson::Document(inner) if depth < DEPTH_MAX => self.nest(inner, &path, depth + 1),
                _ if self.nested.len() < NESTED_MAX && !self.nested.contains(&path) => {
                    self.nested.push(path);
                }
                _ => {}
            }
        }
    }

    /// How many values there are that are not null.
    pub(in crate::driver::mongodb) fn values(&self) -> u64 {
        self.kinds.values().sum()
    }

    /// The fields within it.
    pub(in crate::driver::mongodb) fn nested(&self) -> &[String] {
        &self.nested
    }

    /// The type whose values all are.
    fn common(&self) -> Option<TypeRef> {
        let kinds: Vec<Kind> = self.kinds.keys().copied().collect();
        let plain = |ty: TypeId| Some(TypeRef::plain(ty));
        let all = |allowed: &[Kind]| kinds.iter().all(|kind| allowed.contains(kind));
        match kinds.as_slice() {
            [] => None,
            [Kind::Bool] => plain(TypeId::BOOL),
            [Kind::Int] => plain(TypeId::INT4),
            [Kind::Text] => plain(TypeId::TEXT),
            [Kind::Date] => Some(date_type()),
            [Kind::ObjectId] => plain(TypeId::TEXT),
            [Kind::Uuid] => plain(TypeId::UUID),
            _ if all(&[Kind::Int, Kind::Long]) => plain(TypeId::INT8),
            _ if all(&[Kind::Int, Kind::Long, Kind::Double]) && self.wide == 0 => {
                plain(TypeId::FLOAT8)
            }
            _ if all(&[Kind::Int, Kind::Long, Kind::Decimal]) => plain(TypeId::NUMERIC),
            _ if all(&[Kind::Uuid, Kind::Bytes]) => plain(TypeId::BYTEA),
            _ => None,
        }
    }

    /// The column that it becomes.
    pub(in crate::driver::mongodb) fn proposal(&self) -> Proposal {
        let names: Vec<&str> = self.kinds.keys().map(|kind| kind.name()).collect();
        let declared = if names.is_empty() { "null".to_owned() } else { names.join(" | ") };
        let path = &self.path;
        let is_structure =
            self.kinds.keys().all(|kind| matches!(kind, Kind::Document | Kind::Array));
        let common = self.common();
        let note = if self.in_array > 0 {
            Some(format!(
                "field \"{path}\" lies in an array in {} documents, which are an error when they are read",
                self.in_array
            ))
        } else if self.kinds.is_empty() {
            Some(format!("field \"{path}\" has no value but null: as jsonb it takes any"))
        } else if common.is_none() && !is_structure {
            let counts: Vec<String> =
                self.kinds.iter().map(|(kind, count)| format!("{count} {}", kind.name())).collect();
            let why = match self.wide {
                0 => "which have no type in common",
                _ => "which have no type in common, for a double does not hold every long",
            };
            Some(format!(
                "field \"{path}\" has values of {}, {why}: as jsonb it holds all",
                counts.join(", ")
            ))
        } else {
            None
        };
        Proposal { ty: common.unwrap_or(TypeRef::plain(TypeId::JSONB)), declared, note }
    }
}

#[cfg(test)]
mod tests {
    use dataman_pg::catalog::format_type;
    use mongodb::bson::oid::ObjectId;
    use mongodb::bson::{DateTime, Decimal128, doc};

    use super::*;

    fn sampled(documents: &[Document], asked: &[&str]) -> Sample {
        let mut sample = Sample::new(asked.iter().map(|path| (*path).to_owned()).collect());
        for document in documents {
            sample.add(document).expect("is taken");
        }
        sample.finish();
        sample
    }

    #[test]
    fn types() {
        let check = |values: Vec<Bson>, expected: &str| {
            let documents: Vec<Document> =
                values.into_iter().map(|value| doc! { "a": value }).collect();
            let proposal = sampled(&documents, &[]).fields[0].proposal();
            let note = if proposal.note.is_some() { ", noted" } else { "" };
            let ty = format_type(proposal.ty.id, proposal.ty.typmod);
            assert_eq!(format!("{ty} of {}{note}", proposal.declared), expected);
        };
        let decimal = || Bson::Decimal128("1.5".parse::<Decimal128>().expect("a decimal"));
        check(vec![Bson::Int32(1), Bson::Null], "integer of int");
        check(vec![Bson::Int32(1), Bson::Int64(2)], "bigint of int | long");
        check(vec![Bson::Int64(2), Bson::Double(0.5)], "double precision of long | double");
        check(vec![Bson::Int64(i64::MAX), Bson::Double(0.5)], "jsonb of long | double, noted");
        check(vec![Bson::Int64(i64::MAX), decimal()], "numeric of long | decimal");
        check(vec![Bson::Double(0.5), decimal()], "jsonb of double | decimal, noted");
        check(vec![Bson::Int32(1), "x".into()], "jsonb of int | string, noted");
        check(vec![ObjectId::new().into()], "text of objectId");
        check(vec![DateTime::now().into()], "timestamp(3) with time zone of date");
        check(
            vec![Bson::Document(doc! { "b": 1 }), Bson::Array(vec![])],
            "jsonb of object | array",
        );
        check(vec![Bson::Null], "jsonb of null, noted");
    }

    #[test]
    fn fields() {
        let documents = [
            doc! { "b": 1, "_id": 1, "address": { "city": "x", "at": { "lat": 1.0 } }, "x.y": 1 },
            doc! { "a": 1, "_id": 2, "address": { "city": 7 } },
            doc! { "_id": 3, "address": [{ "city": "z" }] },
        ];
        let sample = sampled(&documents, &["address.city"]);
        let paths: Vec<&str> = sample.fields.iter().map(|seen| seen.path.as_str()).collect();
        assert_eq!(paths, ["_id", "b", "address", "a", "address.city"]);
        assert_eq!(sample.unnamed, ["x.y"]);
        assert_eq!(sample.fields[2].nested(), ["address.city", "address.at.lat"]);
        assert_eq!(sample.fields[4].in_array, 1);
        assert_eq!(sample.fields[4].proposal().declared, "int | string");
        assert_eq!(sample.fields[3].values(), 1);
    }
}
