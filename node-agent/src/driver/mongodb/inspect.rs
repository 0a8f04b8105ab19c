//! What a MongoDB server holds that dataman did not make: a sample of each collection's documents, and its indexes.

use std::collections::{BTreeMap, HashSet};

use bytes::{BufMut, BytesMut};
use dataman_node_protocol::NodeError;
use dataman_node_protocol::inspect::{
    Filled, Found, FoundConstraint, FoundConstraintKind, FoundField, FoundTable,
};
use dataman_node_protocol::query::Inspect;
use dataman_node_protocol::record::Batch;
use dataman_pg::types::{TypeId, TypeRef};
use futures_util::TryStreamExt;
use mongodb::Database;
use mongodb::bson::{Document, doc};

use super::DOCUMENTS_A_BATCH;
use super::adopted::sample::{Kind, Sample};
use super::adopted::{ID, NEW_ID, date_type};
use super::connect::Server;
use super::error::classify;

/// Documents that are looked at in each collection, unless the option `sample` says otherwise.
const SAMPLE: u32 = 1000;

/// The most that it may say.
const SAMPLE_MAX: u32 = 1_000_000;

/// The option that says how many documents are looked at.
const SAMPLE_OPTION: &str = "sample";

/// The longest name of a column, in bytes.
const NAME_BYTES_MAX: usize = 63;

/// Looks, and answers one row of JSON for each finding.
///
/// # Errors
/// What the server says; `HV00D` for options that mean nothing.
pub(super) async fn run(server: &Server, inspect: &Inspect) -> Result<Batch, NodeError> {
    let found = findings(server, inspect).await?;
    let mut frames = BytesMut::new();
    for one in &found {
        let json = serde_json::to_vec(one).map_err(|error| {
            NodeError::statement("XX000", format!("a finding cannot be written: {error}"))
        })?;
        let length = u32::try_from(json.len())
            .map_err(|_| NodeError::statement("54000", "a finding is too large"))?;
        frames.put_u8(b'D');
        frames.put_u32(length + 10);
        frames.put_u16(1);
        frames.put_u32(length);
        frames.extend_from_slice(&json);
    }
    Ok(Batch { frames: frames.freeze(), rows: found.len() })
}

/// What an option says of a field: `"people.address.city" 'city text'`.
#[derive(Debug, Clone, PartialEq)]
struct Mapped {
    path: String,
    column: String,
    /// The type, and what is declared of it.
    ty: Option<(TypeRef, String)>,
}

async fn findings(server: &Server, inspect: &Inspect) -> Result<Vec<Found>, NodeError> {
    let mut names = server.client().list_database_names().await.map_err(classify)?;
    names.sort();
    let is_wanted = |name: &String| match &inspect.namespace {
        Some(wanted) => name == wanted,
        None => {
            !matches!(name.as_str(), "admin" | "local" | "config") && !name.starts_with("dbshard_")
        }
    };
    let mut found = Vec::new();
    for name in names.into_iter().filter(is_wanted) {
        found.push(Found::Namespace(name.clone()));
        let database = server.client().database(&name);
        let mut collections: Vec<_> = database
            .list_collections()
            .await
            .map_err(classify)?
            .try_collect()
            .await
            .map_err(classify)?;
        collections.sort_by(|left, right| left.name.cmp(&right.name));
        let names: Vec<&str> = collections.iter().map(|one| one.name.as_str()).collect();
        let (sample, mapped) = options(inspect, &names)?;
        for one in &collections {
            let is_named = inspect.only.is_empty() || inspect.only.contains(&one.name);
            if !is_named || one.name.starts_with("system.") {
                continue;
            }
            let mut table = FoundTable {
                namespace: name.clone(),
                name: one.name.clone(),
                ..FoundTable::default()
            };
            match one.collection_type {
                mongodb::results::CollectionType::Collection => {
                    let mapped = mapped.get(&one.name).map(Vec::as_slice).unwrap_or_default();
                    let collation = one.options.collation.as_ref();
                    let collated = collation.is_some_and(|own| own.locale != "simple");
                    look(&database, &mut table, mapped, sample).await?;
                    for field in table.fields.iter_mut() {
                        field.collated = collated && field.type_oid == TypeId::TEXT.0;
                    }
                }
                mongodb::results::CollectionType::View => {
                    table.refusals.push("it is a view".to_owned());
                }
                _ => table.refusals.push("it is no ordinary collection".to_owned()),
            }
            found.push(Found::Table(Box::new(table)));
        }
    }
    Ok(found)
}

fn invalid(option: &str) -> NodeError {
    NodeError::statement("HV00D", format!("invalid option \"{option}\"")).with_hint(
        "Valid options in this context are: shard, sample, and \"collection.path.to.field\" with the column's name and, if it is \
         to be chosen, its type.",
    )
}

/// The size of a sample, and what is said of fields, by collection.
fn options(
    inspect: &Inspect,
    collections: &[&str],
) -> Result<(u32, BTreeMap<String, Vec<Mapped>>), NodeError> {
    let mut sample = SAMPLE;
    let mut mapped: BTreeMap<String, Vec<Mapped>> = BTreeMap::new();
    for (option, value) in &inspect.options {
        if option == SAMPLE_OPTION {
            let size = value.parse::<u32>().ok().filter(|size| (1..=SAMPLE_MAX).contains(size));
            sample = size.ok_or_else(|| {
                NodeError::statement(
                    "22023",
                    format!("invalid value for option \"sample\": \"{value}\""),
                )
                .with_hint(format!("Give a number of documents from 1 to {SAMPLE_MAX}."))
            })?;
            continue;
        }
        // Names of collections may have points in them: the longest one is meant.
        let owner = collections
            .iter()
            .filter(|name| option.strip_prefix(**name).is_some_and(|rest| rest.starts_with('.')))
            .max_by_key(|name| name.len())
            .ok_or_else(|| invalid(option))?;
        let path = &option[owner.len() + 1..];
        if path.split('.').any(|name| name.is_empty() || name.starts_with('$')) {
            return Err(invalid(option));
        }
        let (column, ty) = column(value).ok_or_else(|| {
            NodeError::statement("22023", format!("invalid value for option \"{option}\": \"{value}\"")).with_hint(
                "Give the column's name and, if it is to be chosen, its type: boolean, integer, bigint, double precision, numeric, \
                 text, objectid, timestamptz, uuid, bytea or jsonb.",
            )
        })?;
        let path = path.to_owned();
        mapped.entry((*owner).to_owned()).or_default().push(Mapped { path, column, ty });
    }
    Ok((sample, mapped))
}

/// Reads `name` or `name type`; a name in quotes is taken as it is.
fn column(value: &str) -> Option<(String, Option<(TypeRef, String)>)> {
    let value = value.trim();
    let (name, rest) = match value.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"')?,
        None => match value.split_once(char::is_whitespace) {
            Some((name, rest)) => (name, rest),
            None => (value, ""),
        },
    };
    let words: Vec<String> = rest.split_whitespace().map(str::to_ascii_lowercase).collect();
    let (ty, kind) = match words.join(" ").as_str() {
        "" => return (!name.is_empty()).then(|| (name.to_owned(), None)),
        "bool" | "boolean" => (TypeId::BOOL, Kind::Bool),
        "int" | "integer" | "int4" => (TypeId::INT4, Kind::Int),
        "bigint" | "int8" => (TypeId::INT8, Kind::Long),
        "double precision" | "float8" => (TypeId::FLOAT8, Kind::Double),
        "numeric" | "decimal" => (TypeId::NUMERIC, Kind::Decimal),
        "text" => (TypeId::TEXT, Kind::Text),
        "objectid" => (TypeId::TEXT, Kind::ObjectId),
        "timestamptz" | "timestamp with time zone" => (TypeId::TIMESTAMPTZ, Kind::Date),
        "uuid" => (TypeId::UUID, Kind::Uuid),
        "bytea" => (TypeId::BYTEA, Kind::Bytes),
        "jsonb" => (TypeId::JSONB, Kind::Document),
        _ => return None,
    };
    let ty = if ty == TypeId::TIMESTAMPTZ { date_type() } else { TypeRef::plain(ty) };
    (!name.is_empty()).then(|| (name.to_owned(), Some((ty, kind.name().to_owned()))))
}

/// Looks at one collection.
async fn look(
    database: &Database,
    table: &mut FoundTable,
    mapped: &[Mapped],
    size: u32,
) -> Result<(), NodeError> {
    let paths = mapped.iter().map(|one| one.path.clone()).collect();
    let mut sample = Sample::new(paths);
    // The first ones, which tell the order of fields as people wrote them, and others from anywhere.
    let first = doc! { "find": &table.name, "limit": i64::from(size.div_ceil(2)), "batchSize": DOCUMENTS_A_BATCH };
    let others = doc! {
        "aggregate": &table.name,
        "pipeline": [{ "$sample": { "size": i64::from((size / 2).max(1)) } }],
        "cursor": { "batchSize": DOCUMENTS_A_BATCH },
    };
    let (mut refusal, mut known) = (None, HashSet::new());
    for command in [first, others] {
        let mut cursor = database.run_cursor_command(command).await.map_err(classify)?;
        while let Some(document) = cursor.try_next().await.map_err(classify)? {
            let id = document.get(ID).map(ToString::to_string);
            if refusal.is_none() && known.insert(id) {
                refusal = sample.add(&document).err();
            }
        }
    }
    sample.finish();
    table.refusals.extend(refusal);
    if sample.documents == 0 {
        if mapped.is_empty() {
            table.refusals.push("it has no documents to tell its fields by".to_owned());
            return Ok(());
        }
        // Then it is what the options say.
        sample = Sample::new(Vec::new());
        sample.declare(std::iter::once(ID).chain(mapped.iter().map(|one| one.path.as_str())));
    }
    describe(table, &sample, mapped);
    indexes(database, table).await
}

/// The columns of a collection.
fn describe(table: &mut FoundTable, sample: &Sample, mapped: &[Mapped]) {
    let is_empty = sample.documents == 0;
    for seen in &sample.fields {
        let own = mapped.iter().find(|one| one.path == seen.path);
        let proposal = seen.proposal();
        let name = own.map_or_else(|| seen.path.clone(), |own| own.column.clone());
        if name.len() > NAME_BYTES_MAX {
            table
                .notes
                .push(format!("field \"{}\", whose name is too long for a column", seen.path));
            continue;
        }
        let chosen = own.and_then(|own| own.ty.clone());
        let is_id = seen.path == ID;
        let (ty, declared) = match chosen {
            Some(chosen) => chosen,
            None if is_empty && is_id => {
                (TypeRef::plain(TypeId::TEXT), Kind::ObjectId.name().to_owned())
            }
            None => {
                table.remarks.extend(proposal.note.filter(|_| !is_empty));
                (proposal.ty, proposal.declared)
            }
        };
        let missing = sample.documents.saturating_sub(seen.values());
        if missing > 0 && own.is_none() && seen.values() > 0 {
            table.remarks.push(format!(
                "field \"{}\" is missing or null in {missing} of {} documents",
                seen.path, sample.documents
            ));
        }
        let unmapped =
            seen.nested().iter().find(|path| mapped.iter().all(|one| one.path != **path));
        if let Some(path) = unmapped {
            table.remarks.push(format!(
                "field \"{}\" has fields within: OPTIONS (\"{}.{path}\" '{}') makes a column of one; there are {}",
                seen.path,
                table.name,
                path.replace('.', "_"),
                seen.nested().join(", ")
            ));
        }
        let is_new = is_id && declared == Kind::ObjectId.name();
        table.fields.push(FoundField {
            path: (name != seen.path).then(|| seen.path.clone()),
            name,
            type_oid: ty.id.0,
            typmod: ty.typmod,
            declared,
            not_null: is_id,
            default: is_new.then(|| NEW_ID.to_owned()),
            filled: is_new.then_some(Filled::Default),
            ..FoundField::default()
        });
    }
    let mut names = HashSet::new();
    for field in &table.fields {
        if !names.insert(&field.name) {
            table.refusals.push(format!("two of its fields would be column \"{}\"", field.name));
        }
    }
    for name in &sample.unnamed {
        table.notes.push(format!("field \"{name}\", which no path leads to"));
    }
    let key = table.fields.iter().find(|field| field.path.as_deref().unwrap_or(&field.name) == ID);
    if let Some(key) = key {
        table.constraints.push(FoundConstraint {
            name: key_name(&table.name, "_id_"),
            kind: FoundConstraintKind::PrimaryKey,
            fields: vec![key.name.clone()],
            ..FoundConstraint::default()
        });
    }
}

/// The name here of a unique index, MongoDB's being unique within their collection only.
pub(super) fn key_name(collection: &str, index: &str) -> String {
    if index == "_id_" { format!("{collection}_pkey") } else { format!("{collection}_{index}_key") }
}

/// The unique indexes. Nothing is concluded from them but what people see: what is shown as unique has to be so for every row.
async fn indexes(database: &Database, table: &mut FoundTable) -> Result<(), NodeError> {
    let command = doc! { "listIndexes": &table.name };
    let cursor = database.run_cursor_command(command).await.map_err(classify)?;
    let found: Vec<Document> = cursor.try_collect().await.map_err(classify)?;
    for index in found {
        let name = index.get_str("name").unwrap_or_default();
        let keys: Vec<String> =
            index.get_document("key").map(|key| key.keys().cloned().collect()).unwrap_or_default();
        if keys == [ID] {
            continue;
        }
        let is_unique = index.get_bool("unique").unwrap_or_default();
        let kind = if is_unique { "unique index" } else { "index" };
        table.notes.push(format!("{kind} {name} over {}", keys.join(", ")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_options_say() {
        let check = |option: &str, value: &str, expected: Result<&str, &str>| {
            let inspect = Inspect {
                options: vec![(option.to_owned(), value.to_owned())],
                ..Inspect::default()
            };
            let found = options(&inspect, &["people", "people.old"]).map(|(sample, mapped)| {
                let each = mapped.iter().flat_map(|(name, all)| {
                    all.iter().map(move |one| {
                        let ty = one.ty.as_ref().map(|(_, declared)| declared.as_str());
                        format!("{name}: {} as {} {}", one.path, one.column, ty.unwrap_or("seen"))
                    })
                });
                each.chain((sample != SAMPLE).then(|| sample.to_string())).collect::<String>()
            });
            let found = found.as_ref().map(String::as_str).map_err(|error| error.sqlstate.as_str());
            assert_eq!(found, expected, "{option}");
        };
        check("people.address.city", "city", Ok("people: address.city as city seen"));
        check("people.old.age", "\"Age\" BIGINT", Ok("people.old: age as Age long"));
        check("people._id", "id objectid", Ok("people: _id as id objectId"));
        check("people.at", "at timestamp  with time zone", Ok("people: at as at date"));
        check("sample", "7", Ok("7"));
        check("sample", "0", Err("22023"));
        check("people.a", "a money", Err("22023"));
        check("people.a", "", Err("22023"));
        check("people..a", "a", Err("HV00D"));
        check("persons.a", "a", Err("HV00D"));
        check("nested", "1", Err("HV00D"));
    }
}
