//! A snapshot as documents: one JSON text an object, each under its key. Stores keep them so, that a change writes only
//! what it changes, and that a reader of the store finds each object by its name.
//!
//! ```text
//! meta                                              {"format": 1, "epoch": 7, "next_oid": 16402}
//! node/local   datastore/main   role/dataman        the object
//! defaults/shop/ann                                 what parameters sessions begin with; an empty name means all
//! unfinished/6f0c…                                  work on shards that may not have been done everywhere
//! database/shop                                     the database without its schemas
//! database/shop/schema/public                       the schema without its objects
//! database/shop/schema/public/collection/orders     the object; likewise view, sequence, enum
//! ```
//!
//! In names, `%` and `/` and control characters are written as `%` and two hexadecimal digits a byte.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::id::{DatabaseId, DatastoreId, Epoch, NodeId, ObjectId};
use crate::schema::{Database, Schema, SessionDefaults};
use crate::snapshot::Snapshot;
use crate::store::contract::StoreError;

/// Documents by key.
pub(crate) type Documents = BTreeMap<String, String>;

/// The key of the document that holds the epoch; a store compares and sets it.
pub(crate) const META_KEY: &str = "meta";

/// The newest format of documents that this dataman knows.
const FORMAT: u64 = 1;

#[derive(Serialize, Deserialize)]
struct MetaDocument {
    format: u64,
    epoch: Epoch,
    next_oid: u32,
}

#[derive(Serialize, Deserialize)]
struct DatabaseDocument {
    oid: ObjectId,
    datastore: DatastoreId,
    #[serde(default)]
    shard_keys: Vec<String>,
    owner: String,
}

#[derive(Serialize, Deserialize)]
struct SchemaDocument {
    oid: ObjectId,
    #[serde(default)]
    comment: Option<String>,
}

/// Writes a snapshot as documents.
pub(crate) fn encode(snapshot: &Snapshot) -> Documents {
    let mut documents = Documents::new();
    let Snapshot { epoch, nodes, datastores, databases, roles, defaults, unfinished, next_oid } =
        snapshot;
    let meta = MetaDocument { format: FORMAT, epoch: *epoch, next_oid: *next_oid };
    put(&mut documents, META_KEY.to_owned(), &meta);
    put_all(&mut documents, "node", nodes.iter().map(|(id, node)| (&id.0, node)));
    put_all(
        &mut documents,
        "datastore",
        datastores.iter().map(|(id, datastore)| (&id.0, datastore)),
    );
    put_all(&mut documents, "role", roles);
    for SessionDefaults { database, role, values } in defaults {
        let (database, role) = (database.as_ref().map(|id| &*id.0), role.as_deref());
        let [database, role] = [database, role].map(|name| escape(name.unwrap_or_default()));
        put(&mut documents, format!("defaults/{database}/{role}"), values);
    }
    put_all(&mut documents, "unfinished", unfinished);
    for (id, database) in databases {
        let Database { id: _, oid, datastore, shard_keys, owner, schemas } = database;
        let key = format!("database/{}", escape(&id.0));
        let (datastore, shard_keys, owner) = (datastore.clone(), shard_keys.clone(), owner.clone());
        put(
            &mut documents,
            key.clone(),
            &DatabaseDocument { oid: *oid, datastore, shard_keys, owner },
        );
        for (name, schema) in schemas {
            let Schema { oid, comment, collections, views, sequences, enums } = schema;
            let key = format!("{key}/schema/{}", escape(name));
            put(
                &mut documents,
                key.clone(),
                &SchemaDocument { oid: *oid, comment: comment.clone() },
            );
            put_all(&mut documents, &format!("{key}/collection"), collections);
            put_all(&mut documents, &format!("{key}/view"), views);
            put_all(&mut documents, &format!("{key}/sequence"), sequences);
            put_all(&mut documents, &format!("{key}/enum"), enums);
        }
    }
    documents
}

fn put<T: Serialize>(documents: &mut Documents, key: String, value: &T) {
    let text = serde_json::to_string(value).expect("metadata has no value that JSON cannot hold");
    documents.insert(key, text);
}

fn put_all<'a, T: Serialize + 'a>(
    documents: &mut Documents,
    kind: &str,
    objects: impl IntoIterator<Item = (&'a String, &'a T)>,
) {
    for (name, object) in objects {
        put(documents, format!("{kind}/{}", escape(name)), object);
    }
}

/// Reads documents as a snapshot and checks it. `place` names the store in errors.
pub(crate) fn decode(place: &str, documents: &Documents) -> Result<Snapshot, StoreError> {
    let mut snapshot = Snapshot::empty();
    // Ascending keys give a database before its schemas and a schema before its objects.
    for (key, text) in documents {
        let names = key.split('/').map(unescape).collect::<Option<Vec<_>>>();
        let names = names.ok_or_else(|| damaged(place, key, "its key is not well formed"))?;
        let names = names.iter().map(String::as_str).collect::<Vec<_>>();
        let read = Reader { place, key, text };
        match names.as_slice() {
            ["meta"] => {
                let meta = read_meta(place, text)?;
                (snapshot.epoch, snapshot.next_oid) = (meta.epoch, meta.next_oid);
            }
            ["node", name] => {
                snapshot.nodes.insert(NodeId::from(*name), read.object()?);
            }
            ["datastore", name] => {
                snapshot.datastores.insert(DatastoreId::from(*name), read.object()?);
            }
            ["role", name] => {
                snapshot.roles.insert((*name).to_owned(), read.object()?);
            }
            ["defaults", database, role] => {
                let named = |name: &str| (!name.is_empty()).then(|| name.to_owned());
                snapshot.defaults.push(SessionDefaults {
                    database: named(database).map(DatabaseId),
                    role: named(role),
                    values: read.object()?,
                });
            }
            ["unfinished", id] => {
                snapshot.unfinished.insert((*id).to_owned(), read.object()?);
            }
            ["database", name] => {
                let DatabaseDocument { oid, datastore, shard_keys, owner } = read.object()?;
                let id = DatabaseId::from(*name);
                let schemas = BTreeMap::new();
                snapshot.databases.insert(
                    id.clone(),
                    Database { id, oid, datastore, shard_keys, owner, schemas },
                );
            }
            ["database", database, "schema", rest @ ..] => {
                let database = snapshot.databases.get_mut(&DatabaseId::from(*database));
                let database =
                    database.ok_or_else(|| damaged(place, key, "its database is missing"))?;
                read.schema_object(database, rest)?;
            }
            _ => return Err(damaged(place, key, "no object has such a key")),
        }
    }
    // Escaped names need not be in the order of the names.
    snapshot.defaults.sort_by(|left, right| left.place().cmp(&right.place()));
    snapshot.check().map_err(|error| StoreError::damaged(place, &error))?;
    Ok(snapshot)
}

/// Reads the epoch of the document `meta`.
pub(crate) fn decode_epoch(place: &str, text: &str) -> Result<Epoch, StoreError> {
    Ok(read_meta(place, text)?.epoch)
}

fn read_meta(place: &str, text: &str) -> Result<MetaDocument, StoreError> {
    let meta: MetaDocument = Reader { place, key: META_KEY, text }.object()?;
    if meta.format > FORMAT {
        return Err(StoreError::NewerFormat {
            place: place.to_owned(),
            found: meta.format,
            known: FORMAT,
        });
    }
    Ok(meta)
}

struct Reader<'a> {
    place: &'a str,
    key: &'a str,
    text: &'a str,
}

impl Reader<'_> {
    fn object<T: DeserializeOwned>(&self) -> Result<T, StoreError> {
        serde_json::from_str(self.text)
            .map_err(|error| damaged(self.place, self.key, &error.to_string()))
    }

    fn schema_object(&self, database: &mut Database, names: &[&str]) -> Result<(), StoreError> {
        if let [name] = names {
            let SchemaDocument { oid, comment } = self.object()?;
            database
                .schemas
                .insert((*name).to_owned(), Schema { oid, comment, ..Schema::default() });
            return Ok(());
        }
        let [schema, kind, name] = names else {
            return Err(damaged(self.place, self.key, "no object has such a key"));
        };
        let schema = database.schemas.get_mut(*schema);
        let schema =
            schema.ok_or_else(|| damaged(self.place, self.key, "its schema is missing"))?;
        let name = (*name).to_owned();
        match *kind {
            "collection" => drop(schema.collections.insert(name, self.object()?)),
            "view" => drop(schema.views.insert(name, self.object()?)),
            "sequence" => drop(schema.sequences.insert(name, self.object()?)),
            "enum" => drop(schema.enums.insert(name, self.object()?)),
            _ => return Err(damaged(self.place, self.key, "no object has such a key")),
        }
        Ok(())
    }
}

fn damaged(place: &str, key: &str, problem: &str) -> StoreError {
    StoreError::Damaged { place: place.to_owned(), problem: format!("document {key}: {problem}") }
}

fn escape(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for letter in name.chars() {
        if letter == '%' || letter == '/' || letter.is_ascii_control() {
            write!(escaped, "%{:02X}", u32::from(letter))
                .expect("writing to a string does not fail");
        } else {
            escaped.push(letter);
        }
    }
    escaped
}

fn unescape(name: &str) -> Option<String> {
    let mut parts = name.split('%');
    let mut plain = parts.next()?.to_owned();
    for part in parts {
        let code = u8::from_str_radix(part.get(..2)?, 16).ok().filter(u8::is_ascii)?;
        plain.push(char::from(code));
        plain.push_str(&part[2..]);
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Change;
    use crate::sample;

    #[test]
    fn names() {
        let check = |name: &str, expected: &str| {
            assert_eq!(escape(name), expected);
            assert_eq!(unescape(expected).as_deref(), Some(name));
        };
        check("orders", "orders");
        check("a/b", "a%2Fb");
        check("50%", "50%25");
        check("é\n", "é%0A");
        assert_eq!(unescape("%"), None);
        assert_eq!(unescape("%é"), None);
        assert_eq!(unescape("%FF"), None);
    }

    #[test]
    fn a_snapshot_comes_back() {
        let first = Snapshot::empty().apply(&sample::cluster(3)).unwrap();
        let create = sample::create_table(&mut first.oids(), "a/b %");
        let defaults = |database: Option<&str>, role: Option<&str>| {
            Change::PutDefaults(SessionDefaults {
                database: database.map(DatabaseId::from),
                role: role.map(str::to_owned),
                values: vec![("search_path".to_owned(), "a, \"b/\"".to_owned())],
            })
        };
        let (shop, ann) = (Some(sample::DATABASE), Some(sample::DATABASE));
        let defaults =
            [(None, None), (shop, None), (None, ann), (shop, ann)].map(|(d, r)| defaults(d, r));
        let snapshot = first.apply(&[&[create][..], &defaults[..]].concat()).unwrap();
        let documents = encode(&snapshot);
        assert_eq!(decode("here", &documents).unwrap(), snapshot);
        assert!(documents.contains_key("database/shop/schema/public/collection/a%2Fb %25"));
        assert_eq!(decode("here", &Documents::new()).unwrap(), Snapshot::empty());
    }

    #[test]
    fn damage_is_named() {
        let snapshot = Snapshot::empty().apply(&sample::cluster(3)).unwrap();
        let check = |key: &str, text: Option<&str>, expected: &str| {
            let mut documents = encode(&snapshot);
            match text {
                Some(text) => documents.insert(key.to_owned(), text.to_owned()),
                None => documents.remove(key),
            };
            let error = decode("here", &documents).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        };
        check("node/local", Some("{"), "the metadata in here is damaged: document node/local: EOF");
        check(
            "node/local",
            None,
            "the metadata in here is damaged: datastore \"main\": its shard 0 is on the datasource",
        );
        check(
            "database/shop",
            None,
            "the metadata in here is damaged: document database/shop/schema/public: its database",
        );
        check(
            "nothing",
            Some("{}"),
            "the metadata in here is damaged: document nothing: no object has such a key",
        );
        check(
            "meta",
            Some("{\"format\": 2, \"epoch\": 1, \"next_oid\": 20000}"),
            "the metadata in here has format 2, and this dataman knows 1",
        );
    }
}
