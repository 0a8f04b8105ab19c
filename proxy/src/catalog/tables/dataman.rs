//! Schema `dataman`: what a cluster is, and what its sessions do.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use dataman_metadata::member::{Member, MemberKind, MemberState, NodeState};
use dataman_metadata::replica::ReplicaRole;
use dataman_metadata::schema::{HashMethod, KeyspaceMethod, Placement};
use dataman_metadata::snapshot::Snapshot;
use dataman_metadata::topology::{Engine, Replication};
use dataman_pg::catalog::system::{SystemRelation, SystemRow};
use dataman_pg::value::Array;
use dataman_pg::{TypeId, Value};

use super::super::database::Catalog;
use super::super::row::text;
use crate::replicas::Replicas;

/// The schema's OID. PostgreSQL hands out none between what it ships with and the users' own.
pub(in super::super) const SCHEMA_OID: u32 = 16_000;

/// The tables and their columns; a table's OID follows the schema's by its place.
const TABLES: &[(&str, &[(&str, TypeId)])] = &[
    (
        "nodes",
        &[
            ("node", TypeId::TEXT),
            ("agent", TypeId::TEXT),
            ("state", TypeId::TEXT),
            ("epoch", TypeId::INT8),
        ],
    ),
    (
        "datasources",
        &[
            ("node", TypeId::TEXT),
            ("datasource", TypeId::TEXT),
            ("engine", TypeId::TEXT),
            ("address", TypeId::TEXT),
        ],
    ),
    (
        "datastores",
        &[
            ("datastore", TypeId::TEXT),
            ("vshards", TypeId::INT4),
            ("shards", TypeId::INT4),
            ("replication", TypeId::TEXT),
        ],
    ),
    (
        "shards",
        &[
            ("datastore", TypeId::TEXT),
            ("shard", TypeId::INT4),
            ("primary_datasource", TypeId::TEXT),
            ("replicas", TypeId::TEXT_ARRAY),
            ("engine", TypeId::TEXT),
            ("fencing_token", TypeId::INT8),
            ("vshards", TypeId::INT4),
        ],
    ),
    ("vshards", &[("datastore", TypeId::TEXT), ("vshard", TypeId::INT4), ("shard", TypeId::INT4)]),
    (
        "collections",
        &[
            ("schema", TypeId::TEXT),
            ("name", TypeId::TEXT),
            ("oid", TypeId::OID),
            ("datastore", TypeId::TEXT),
            ("placement", TypeId::TEXT),
            ("shard_key", TypeId::TEXT_ARRAY),
            ("method", TypeId::TEXT),
            ("shards", TypeId::INT4_ARRAY),
        ],
    ),
    (
        "sessions",
        &[
            ("pid", TypeId::INT4),
            ("user_name", TypeId::TEXT),
            ("database", TypeId::TEXT),
            ("application_name", TypeId::TEXT),
            ("client_address", TypeId::TEXT),
            ("started", TypeId::TIMESTAMPTZ),
            ("state", TypeId::TEXT),
            ("state_changed", TypeId::TIMESTAMPTZ),
            ("statement", TypeId::TEXT),
        ],
    ),
    (
        "statements",
        &[
            ("pid", TypeId::INT4),
            ("user_name", TypeId::TEXT),
            ("database", TypeId::TEXT),
            ("statement", TypeId::TEXT),
            ("started", TypeId::TIMESTAMPTZ),
            ("running", TypeId::BOOL),
            ("route", TypeId::TEXT),
            ("shards", TypeId::INT4),
            ("rows", TypeId::INT8),
            ("plan_ms", TypeId::FLOAT8),
            ("first_row_ms", TypeId::FLOAT8),
            ("total_ms", TypeId::FLOAT8),
            ("sqlstate", TypeId::TEXT),
            ("error", TypeId::TEXT),
        ],
    ),
    (
        "refusals",
        &[
            ("reason", TypeId::TEXT),
            ("count", TypeId::INT8),
            ("last", TypeId::TIMESTAMPTZ),
            ("example", TypeId::TEXT),
        ],
    ),
    (
        "proxies",
        &[
            ("proxy", TypeId::TEXT),
            ("address", TypeId::TEXT),
            ("state", TypeId::TEXT),
            ("epoch", TypeId::INT8),
        ],
    ),
    (
        "replicas",
        &[
            ("datastore", TypeId::TEXT),
            ("shard", TypeId::INT4),
            ("datasource", TypeId::TEXT),
            ("configured_role", TypeId::TEXT),
            ("role", TypeId::TEXT),
            ("reachable", TypeId::BOOL),
            ("term", TypeId::INT8),
            ("lag_ms", TypeId::FLOAT8),
            ("lag_bytes", TypeId::INT8),
            ("unapplied_bytes", TypeId::INT8),
            ("round_trip_ms", TypeId::FLOAT8),
        ],
    ),
];

static RELATIONS: LazyLock<HashMap<&'static str, SystemRelation>> = LazyLock::new(|| {
    let mut relations = HashMap::new();
    for (oid, (name, columns)) in (SCHEMA_OID + 1..).zip(TABLES) {
        let columns = columns.iter().map(|(column, ty)| (Arc::from(*column), *ty, -1)).collect();
        let relation = SystemRelation { oid, schema: "dataman", name: Arc::from(*name), columns };
        relations.insert(*name, relation);
    }
    relations
});

/// A table of the schema.
pub(in super::super) fn relation(name: &str) -> Option<&'static SystemRelation> {
    RELATIONS.get(name)
}

/// The name of a table by its OID.
pub(in super::super) fn relation_by_oid(oid: u32) -> Option<&'static str> {
    let place = usize::try_from(oid.checked_sub(SCHEMA_OID + 1)?).ok()?;
    TABLES.get(place).map(|(name, _)| *name)
}

/// Every table.
#[cfg(test)]
fn relations() -> impl Iterator<Item = &'static SystemRelation> {
    TABLES.iter().filter_map(|(name, _)| RELATIONS.get(name))
}

fn number(value: u32) -> Value {
    Value::Int4(i32::try_from(value).unwrap_or(i32::MAX))
}

fn texts(values: impl Iterator<Item = String>) -> Value {
    Value::Array(Array::vector(TypeId::TEXT, values.map(Value::text).collect()).into())
}

fn engine(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => "postgres",
        Engine::Mysql => "mysql",
        Engine::Mongodb => "mongodb",
        Engine::Sqlite => "sqlite",
    }
}

/// A datasource's address without user and password.
fn address(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://{rest}"),
        _ => url.to_owned(),
    }
}

fn epoch_of(member: &Member) -> Value {
    Value::Int8(i64::try_from(member.epoch.0).unwrap_or(i64::MAX))
}

fn role(role: ReplicaRole) -> Value {
    text(match role {
        ReplicaRole::Primary => "primary",
        ReplicaRole::Replica => "replica",
    })
}

/// The copies of the shards, with what is known of those that have replicas.
pub(in super::super) fn replica_rows(snapshot: &Snapshot, replicas: &Replicas) -> Vec<SystemRow> {
    let long = |number: u64| Value::Int8(i64::try_from(number).unwrap_or(i64::MAX));
    let milliseconds = |time: Duration| Value::Float8(time.as_secs_f64() * 1000.0);
    let mut rows: Vec<SystemRow> = Vec::new();
    for datastore in snapshot.datastores.values() {
        for id in datastore.shard_ids() {
            let Some(shard) = datastore.shard(id) else { continue };
            for (copy, configured) in shard.copies() {
                let seen = replicas.shown(shard, copy);
                rows.push(
                    [
                        text(datastore.id.0.as_str()),
                        number(id.0),
                        text(copy.to_string()),
                        role(configured),
                        seen.role.map_or(Value::Null, role),
                        seen.reachable.map_or(Value::Null, Value::Bool),
                        seen.term.map_or(Value::Null, long),
                        seen.lag.map_or(Value::Null, milliseconds),
                        seen.lag_bytes.map_or(Value::Null, long),
                        seen.unapplied_bytes.map_or(Value::Null, long),
                        seen.round_trip.map_or(Value::Null, milliseconds),
                    ]
                    .into(),
                );
            }
        }
    }
    rows
}

/// The rows of a table that the metadata alone says.
pub(super) fn rows(catalog: &Catalog, name: &str) -> Vec<SystemRow> {
    let snapshot = &catalog.snapshot;
    let mut rows: Vec<SystemRow> = Vec::new();
    match name {
        "nodes" => {
            for node in snapshot.nodes.values() {
                let agent = node.agent.as_deref().map_or(Value::Null, Value::text);
                let members = catalog.members();
                let is_its =
                    |member: &&Member| member.kind == MemberKind::Node && member.name == node.id.0;
                let member = members.iter().find(is_its);
                let state = NodeState::of(snapshot, node, member).word();
                let epoch = member.map_or(Value::Null, epoch_of);
                rows.push([text(node.id.0.as_str()), agent, text(state), epoch].into());
            }
        }
        "proxies" => {
            let members = catalog.members();
            for proxy in members.iter().filter(|member| member.kind == MemberKind::Proxy) {
                let state = match proxy.state {
                    MemberState::Ready => "ready",
                    MemberState::Draining => "draining",
                };
                let (name, address) = (proxy.name.as_str(), proxy.address.as_str());
                rows.push([text(name), text(address), text(state), epoch_of(proxy)].into());
            }
        }
        "datasources" => {
            for node in snapshot.nodes.values() {
                for datasource in &node.datasources {
                    rows.push(
                        [
                            text(node.id.0.as_str()),
                            text(datasource.name.as_str()),
                            text(engine(datasource.engine)),
                            text(address(&datasource.url)),
                        ]
                        .into(),
                    );
                }
            }
        }
        "datastores" => {
            for datastore in snapshot.datastores.values() {
                let replication = match datastore.replication {
                    Replication::Native => "native",
                    Replication::Dataman => "dataman",
                };
                rows.push(
                    [
                        text(datastore.id.0.as_str()),
                        number(datastore.vshards),
                        number(datastore.shard_count()),
                        text(replication),
                    ]
                    .into(),
                );
            }
        }
        "shards" => {
            for datastore in snapshot.datastores.values() {
                for id in datastore.shard_ids() {
                    let Some(shard) = datastore.shard(id) else { continue };
                    let engine = snapshot
                        .datasource(&shard.primary)
                        .map_or(Value::Null, |found| text(engine(found.engine)));
                    let held = datastore.vshard_map.iter().filter(|held| **held == id).count();
                    rows.push(
                        [
                            text(datastore.id.0.as_str()),
                            number(id.0),
                            text(shard.primary.to_string()),
                            texts(shard.replicas.iter().map(ToString::to_string)),
                            engine,
                            Value::Int8(i64::try_from(shard.fencing_token).unwrap_or(i64::MAX)),
                            number(u32::try_from(held).unwrap_or(u32::MAX)),
                        ]
                        .into(),
                    );
                }
            }
        }
        "vshards" => {
            for datastore in snapshot.datastores.values() {
                for (vshard, shard) in datastore.vshard_map.iter().enumerate() {
                    rows.push(
                        [
                            text(datastore.id.0.as_str()),
                            number(u32::try_from(vshard).unwrap_or(u32::MAX)),
                            number(shard.0),
                        ]
                        .into(),
                    );
                }
            }
        }
        "collections" => {
            for (_, schema, name, table) in catalog.collections() {
                let (placement, method) = match &table.placement {
                    Placement::Sharded(keyspace) => (
                        "sharded",
                        match &keyspace.method {
                            KeyspaceMethod::Hash(method) => text(match method {
                                HashMethod::Xxh3 => "xxh3",
                                HashMethod::Md5 => "md5",
                                HashMethod::Sha1 => "sha1",
                                HashMethod::Sha256 => "sha256",
                                HashMethod::Sha512 => "sha512",
                                HashMethod::Cast => "cast",
                                HashMethod::Postgres => "postgres",
                            }),
                            KeyspaceMethod::Range(_) => text("range"),
                            KeyspaceMethod::List(_) => text("list"),
                        },
                    ),
                    Placement::Single { .. } => ("single", Value::Null),
                    Placement::Reference => ("reference", Value::Null),
                };
                let key = match table.shard_key() {
                    [] => Value::Null,
                    key => texts(key.iter().cloned()),
                };
                let shards = snapshot.shards_of(table).into_iter().map(|shard| number(shard.0));
                rows.push(
                    [
                        text(schema),
                        text(name),
                        Value::Oid(table.id.0),
                        text(table.datastore.0.as_str()),
                        text(placement),
                        key,
                        method,
                        Value::Array(Array::vector(TypeId::INT4, shards.collect()).into()),
                    ]
                    .into(),
                );
            }
        }
        _ => {}
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oids_find_their_tables() {
        for found in relations() {
            assert_eq!(relation_by_oid(found.oid), Some(&*found.name));
        }
        assert_eq!(relation_by_oid(SCHEMA_OID), None);
    }

    #[test]
    fn addresses_hide_passwords() {
        let check = |url, expected: &str| assert_eq!(address(url), expected);
        check("postgres://user:secret@127.0.0.1:5432/app", "postgres://127.0.0.1:5432/app");
        check("./data", "./data");
    }
}
