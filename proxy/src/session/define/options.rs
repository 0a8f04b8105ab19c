//! `WITH (…)` of CREATE TABLE: where a table lives and how its rows are spread.

use dataman_metadata::id::{DatastoreId, ShardId};
use dataman_metadata::schema::{
    Collection, FieldDefault, HashMethod, Keyspace, KeyspaceMethod, Placement,
};
use dataman_metadata::sharding::KeyType;
use dataman_pg::{PgError, TypeId};

use super::draft::{Draft, Result};

/// What the options say.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) shard_key: Option<Vec<String>>,
    placement: Option<Wanted>,
    hash: Option<HashMethod>,
    datastore: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Sharded,
    Single,
    Reference,
}

fn invalid(name: &str, value: &str, hint: &'static str) -> PgError {
    PgError::new("22023", format!("invalid value for parameter \"{name}\": \"{value}\""))
        .with_hint(hint)
}

impl Options {
    /// Reads the options of a statement.
    pub(super) fn read(options: &[(String, String)]) -> Result<Self> {
        let mut read = Self::default();
        for (name, value) in options {
            let twice = match name.as_str() {
                "shard_key" => {
                    let fields: Vec<String> = value
                        .split(',')
                        .map(|field| field.trim().to_owned())
                        .filter(|field| !field.is_empty())
                        .collect();
                    if fields.is_empty() {
                        return Err(invalid(
                            name,
                            value,
                            "Name one or more columns: shard_key = 'tenant_id'.",
                        ));
                    }
                    read.shard_key.replace(fields).is_some()
                }
                "placement" => {
                    let wanted = match value.as_str() {
                        "sharded" => Wanted::Sharded,
                        "single" => Wanted::Single,
                        "reference" => Wanted::Reference,
                        _ => {
                            return Err(invalid(
                                name,
                                value,
                                "It is one of sharded, single, reference.",
                            ));
                        }
                    };
                    read.placement.replace(wanted).is_some()
                }
                "hash" => {
                    let method = match value.as_str() {
                        "xxh3" => HashMethod::Xxh3,
                        "md5" => HashMethod::Md5,
                        "sha1" => HashMethod::Sha1,
                        "sha256" => HashMethod::Sha256,
                        "sha512" => HashMethod::Sha512,
                        "cast" => HashMethod::Cast,
                        "postgres" => HashMethod::Postgres,
                        _ => {
                            return Err(invalid(
                                name,
                                value,
                                "It is one of xxh3, md5, sha1, sha256, sha512, cast, postgres.",
                            ));
                        }
                    };
                    read.hash.replace(method).is_some()
                }
                "datastore" => read.datastore.replace(value.clone()).is_some(),
                // PostgreSQL's own default, which the shards' tables have.
                "fillfactor" if value == "100" => continue,
                _ if is_storage_parameter(name) => {
                    return Err(PgError::unsupported(format!(
                        "the storage parameter \"{name}\" is not supported"
                    ))
                    .with_hint("Set it on the tables of the databases themselves."));
                }
                _ => {
                    return Err(PgError::new(
                        "22023",
                        format!("unrecognized parameter \"{name}\""),
                    )
                    .with_hint(
                        "The options of a table are shard_key, placement, hash and datastore.",
                    ));
                }
            };
            if twice {
                return Err(PgError::new(
                    "22023",
                    format!("parameter \"{name}\" specified more than once"),
                ));
            }
        }
        Ok(read)
    }
}

fn is_storage_parameter(name: &str) -> bool {
    let plain = name.strip_prefix("toast.").unwrap_or(name);
    plain.starts_with("autovacuum_")
        || plain.starts_with("vacuum_")
        || matches!(
            plain,
            "fillfactor"
                | "parallel_workers"
                | "toast_tuple_target"
                | "user_catalog_table"
                | "log_autovacuum_min_duration"
        )
}

impl Draft<'_> {
    /// The datastore of a new table.
    pub(super) fn datastore_for(&self, options: &Options) -> Result<DatastoreId> {
        let Some(name) = &options.datastore else { return Ok(self.database.datastore.clone()) };
        let id = DatastoreId::from(name.as_str());
        if self.snapshot.datastores.contains_key(&id) {
            return Ok(id);
        }
        let known: Vec<String> =
            self.snapshot.datastores.keys().map(|id| format!("\"{id}\"")).collect();
        Err(PgError::new("42704", format!("datastore \"{name}\" does not exist"))
            .with_hint(format!("The cluster has {}.", known.join(", "))))
    }

    /// Decides how a new table's rows are spread; its fields and constraints are known. The fields of a shard key become NOT
    /// NULL, as those of a primary key do: a row without one would have no shard.
    pub(super) fn place_collection(
        &self,
        collection: &mut Collection,
        options: &Options,
    ) -> Result<()> {
        let from_database = || {
            let found =
                self.database.shard_keys.iter().find(|field| collection.field(field).is_some());
            found.map(|field| vec![field.clone()])
        };
        let key = match (options.placement, &options.shard_key) {
            (Some(Wanted::Single | Wanted::Reference), Some(_)) => {
                return Err(PgError::new(
                    "22023",
                    "a table with a shard key must have the placement \"sharded\"",
                )
                .with_hint("Leave out shard_key or placement."));
            }
            (Some(Wanted::Single | Wanted::Reference), None) => None,
            (_, Some(key)) => Some(key.clone()),
            (Some(Wanted::Sharded), None) => match from_database() {
                Some(key) => Some(key),
                None => {
                    return Err(PgError::new(
                        "22023",
                        "the placement \"sharded\" needs a shard key",
                    )
                    .with_hint("Name it: WITH (shard_key = 'column')."));
                }
            },
            (None, None) => from_database(),
        };
        let Some(fields) = key else {
            if options.hash.is_some() {
                return Err(PgError::new("22023", "a hash needs a shard key")
                    .with_hint("Name it: WITH (shard_key = 'column')."));
            }
            collection.placement = match options.placement {
                Some(Wanted::Reference) => Placement::Reference,
                _ => Placement::Single { shard: ShardId(0) },
            };
            return Ok(());
        };
        let method = options.hash.unwrap_or_default();
        self.check_shard_key(collection, &fields, method)?;
        for field in &mut collection.fields {
            field.not_null |= fields.contains(&field.name);
        }
        collection.placement =
            Placement::Sharded(Keyspace { fields, method: KeyspaceMethod::Hash(method) });
        Ok(())
    }

    fn check_shard_key(
        &self,
        collection: &Collection,
        fields: &[String],
        method: HashMethod,
    ) -> Result<()> {
        for (place, name) in fields.iter().enumerate() {
            if fields[..place].contains(name) {
                return Err(PgError::new(
                    "42701",
                    format!("column \"{name}\" appears twice in the shard key"),
                ));
            }
            let Some(field) = collection.field(name) else {
                return Err(PgError::new(
                    "42703",
                    format!("column \"{name}\" named in the shard key does not exist"),
                ));
            };
            if matches!(field.default, FieldDefault::Generated(_)) {
                return Err(PgError::unsupported(format!(
                    "the generated column \"{name}\" cannot be a shard key"
                ))
                .with_hint("Make it an ordinary column."));
            }
            let is_array = self
                .database
                .enum_by_oid(field.type_oid)
                .is_some_and(|(_, _, found)| found.array_oid.0 == field.type_oid);
            let ty = self.type_text(TypeId(field.type_oid).into());
            let Some(key_type) = KeyType::of(field.type_oid).filter(|_| !is_array) else {
                return Err(PgError::unsupported(format!(
                    "column \"{name}\" of type {ty} cannot be a shard key"
                ))
                .with_hint(
                    "A shard key is of type boolean, smallint, integer, bigint, numeric, text, varchar, char, bytea, uuid, \
                     date, time, timestamp, timestamptz or an enum.",
                ));
            };
            if method == HashMethod::Postgres && matches!(key_type, KeyType::Enum(_)) {
                return Err(PgError::unsupported("hash \"postgres\" cannot take an enum")
                    .with_hint("Use the hash xxh3."));
            }
            if method == HashMethod::Cast && key_type != KeyType::Int {
                return Err(PgError::new(
                    "22023",
                    format!(
                        "hash \"cast\" needs an integer, and column \"{name}\" is of type {ty}"
                    ),
                )
                .with_hint("Use the hash xxh3, or a column of type smallint, integer or bigint."));
            }
        }
        if method == HashMethod::Cast && fields.len() > 1 {
            return Err(PgError::new("22023", "hash \"cast\" needs a shard key of one column")
                .with_hint("Use the hash xxh3."));
        }
        Ok(())
    }
}
