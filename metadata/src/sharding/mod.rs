//! Which shard holds a key. Pure: no IO, clock or randomness.
//!
//! ```text
//! key ──hash──▶ u64 ──mod vshards──▶ vshard ──the datastore's map──▶ shard        hash keyspaces
//! key ──compared with bounds or values────────────────────────────▶ shard        range and list keyspaces
//! ```
//!
//! A shard key is never NULL: its fields are NOT NULL, and a row without a key has no shard. So a condition
//! `key = NULL` or `key IS NULL` holds for no row on any shard.

mod key;
mod postgres;

pub use key::{KeyPart, KeyType};

use crate::id::{ShardId, VshardId};
use crate::schema::{HashMethod, Keyspace, KeyspaceMethod};
use crate::topology::Datastore;

/// Why a key has no shard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShardingError {
    /// The key has not as many parts as the shard key has fields.
    #[error("the shard key has {expected} fields and {found} values were given")]
    KeyLength {
        /// The fields.
        expected: usize,
        /// The values.
        found: usize,
    },
    /// The hash `cast` is the integer itself, and the key is not one integer.
    #[error("hash \"cast\" needs a shard key of one integer column")]
    CastNeedsInteger,
    /// PostgreSQL's partition hash of this type depends on what only that PostgreSQL server knows.
    #[error("hash \"postgres\" cannot be computed for {0}")]
    PostgresHash(KeyType),
    /// A range or list keyspace has one field.
    #[error("a keyspace of ranges or values has a shard key of one column")]
    OneField,
    /// No range or value of the keyspace holds the key; PostgreSQL's `no partition of relation … found for row`, `23514`.
    #[error("no shard is given for the key")]
    NoShard,
    /// A bound or value of the keyspace is not of the key's type.
    #[error("\"{text}\" is not a value of type {key_type}")]
    BadBound {
        /// The bound.
        text: String,
        /// The key's type.
        key_type: KeyType,
    },
    /// The datastore has no shard for the vshard; a checked snapshot has.
    #[error("vshard {0} has no shard")]
    NoVshard(VshardId),
}

/// Finds the vshard of a key: its hash modulo the number of vshards.
///
/// - `xxh3`: XXH3 (64 bits, seed 0) of the key's canonical bytes ([`KeyPart::encode`]).
/// - `md5`, `sha1`, `sha256`, `sha512`: the first eight bytes of the digest of the canonical bytes, big-endian.
/// - `cast`: the integer itself; the modulo is never negative.
/// - `postgres`: the hash by which PostgreSQL's `PARTITION BY HASH` with `MODULUS vshards` finds its `REMAINDER`.
///
/// # Errors
/// The method cannot hash this key.
pub fn vshard_of(
    method: HashMethod,
    key: &[KeyPart],
    vshards: u32,
) -> Result<VshardId, ShardingError> {
    let hash = match method {
        HashMethod::Xxh3 => xxhash_rust::xxh3::xxh3_64(&KeyPart::encode(key)),
        HashMethod::Md5 => digest_start::<md5::Md5>(key),
        HashMethod::Sha1 => digest_start::<sha1::Sha1>(key),
        HashMethod::Sha256 => digest_start::<sha2::Sha256>(key),
        HashMethod::Sha512 => digest_start::<sha2::Sha512>(key),
        HashMethod::Cast => match key {
            [KeyPart::Int(value)] => value.rem_euclid(i64::from(vshards)).unsigned_abs(),
            _ => return Err(ShardingError::CastNeedsInteger),
        },
        HashMethod::Postgres => postgres::partition_hash(key),
    };
    let vshard =
        u32::try_from(hash % u64::from(vshards)).expect("what is left by a u32 fits a u32");
    Ok(VshardId(vshard))
}

fn digest_start<D: sha2::Digest>(key: &[KeyPart]) -> u64 {
    D::digest(KeyPart::encode(key))
        .iter()
        .take(8)
        .fold(0, |hash, byte| (hash << 8) | u64::from(*byte))
}

/// Finds the shard of a key. The parts are in the order of the shard key's fields and of their types.
///
/// # Errors
/// The key does not fit the keyspace, or the keyspace has no shard for it.
pub fn shard_of(
    keyspace: &Keyspace,
    datastore: &Datastore,
    key: &[KeyPart],
) -> Result<ShardId, ShardingError> {
    if key.len() != keyspace.fields.len() {
        return Err(ShardingError::KeyLength { expected: keyspace.fields.len(), found: key.len() });
    }
    match &keyspace.method {
        KeyspaceMethod::Hash(method) => {
            let vshard = vshard_of(*method, key, datastore.vshards)?;
            let place = usize::try_from(vshard.0).ok();
            place
                .and_then(|place| datastore.vshard_map.get(place))
                .copied()
                .ok_or(ShardingError::NoVshard(vshard))
        }
        KeyspaceMethod::Range(parts) => range_of(parts, one(key)?),
        KeyspaceMethod::List(parts) => {
            let (key, mut default) = (one(key)?, None);
            for (value, shard) in parts {
                match value {
                    None => default = Some(*shard),
                    Some(value) if KeyPart::parse(key.key_type(), value)? == *key => {
                        return Ok(*shard);
                    }
                    Some(_) => {}
                }
            }
            default.ok_or(ShardingError::NoShard)
        }
    }
}

/// The last range whose lower bound is not above the key.
fn range_of(parts: &[(Option<String>, ShardId)], key: &KeyPart) -> Result<ShardId, ShardingError> {
    let (mut low, mut high) = (0, parts.len());
    while low < high {
        let middle = usize::midpoint(low, high);
        let begun = match &parts[middle].0 {
            None => true,
            Some(bound) => KeyPart::parse(key.key_type(), bound)? <= *key,
        };
        if begun {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low.checked_sub(1).map(|place| parts[place].1).ok_or(ShardingError::NoShard)
}

fn one(key: &[KeyPart]) -> Result<&KeyPart, ShardingError> {
    match key {
        [key] => Ok(key),
        _ => Err(ShardingError::OneField),
    }
}

/// Checks that a keyspace can be used with a shard key of these types.
///
/// # Errors
/// The method cannot take the types; a bound is not of the key's type; ranges do not ascend from an unbounded one; a
/// value of a list is there twice.
pub fn check_keyspace(method: &KeyspaceMethod, types: &[KeyType]) -> Result<(), KeyspaceProblem> {
    match method {
        KeyspaceMethod::Hash(HashMethod::Cast) if types != [KeyType::Int] => {
            Err(ShardingError::CastNeedsInteger.into())
        }
        KeyspaceMethod::Hash(HashMethod::Postgres) => {
            let unknown = types.iter().find(|found| matches!(found, KeyType::Enum(_)));
            unknown.map_or(Ok(()), |found| Err(ShardingError::PostgresHash(*found).into()))
        }
        KeyspaceMethod::Hash(_) => Ok(()),
        KeyspaceMethod::Range(parts) => {
            let [key_type] = types else { return Err(ShardingError::OneField.into()) };
            if let KeyType::Enum(_) = key_type {
                return Err(KeyspaceProblem::EnumRange);
            }
            let Some(((None, _), rest)) = parts.split_first() else {
                return Err(KeyspaceProblem::FirstRange);
            };
            let mut before = None;
            for (bound, _) in rest {
                let text = bound.as_deref().ok_or(KeyspaceProblem::FirstRange)?;
                let bound = KeyPart::parse(*key_type, text)?;
                if before.is_some_and(|before| before >= bound) {
                    return Err(KeyspaceProblem::Descending(text.to_owned()));
                }
                before = Some(bound);
            }
            Ok(())
        }
        KeyspaceMethod::List(parts) => {
            let [key_type] = types else { return Err(ShardingError::OneField.into()) };
            let mut seen = std::collections::BTreeSet::new();
            for (value, _) in parts {
                let parsed =
                    value.as_deref().map(|value| KeyPart::parse(*key_type, value)).transpose()?;
                if !seen.insert(parsed) {
                    return Err(KeyspaceProblem::Twice(value.clone()));
                }
            }
            if parts.is_empty() { Err(KeyspaceProblem::Empty) } else { Ok(()) }
        }
    }
}

/// Why a keyspace is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyspaceProblem {
    /// A key could not be placed.
    #[error(transparent)]
    Sharding(#[from] ShardingError),
    /// The first range, and only that, begins without a bound.
    #[error("the first range, and no other, must be without a lower bound")]
    FirstRange,
    /// Ranges do not ascend.
    #[error("the range from \"{0}\" does not begin above the one before it")]
    Descending(String),
    /// A list names a value twice, or has two defaults.
    #[error("{} is given a shard twice", .0.as_ref().map_or("the default".to_owned(), |value| format!("\"{value}\"")))]
    Twice(Option<String>),
    /// A list names nothing.
    #[error("no value is given a shard")]
    Empty,
    /// Enums sort by their labels' order, which may change.
    #[error("a range keyspace cannot have an enum as its key")]
    EnumRange,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::DatastoreId;
    use crate::topology::Replication;

    fn key_samples() -> Vec<(&'static str, Vec<KeyPart>)> {
        vec![
            ("int 0", vec![KeyPart::Int(0)]),
            ("int 1", vec![KeyPart::Int(1)]),
            ("int -1", vec![KeyPart::Int(-1)]),
            ("int max", vec![KeyPart::Int(i64::MAX)]),
            ("text empty", vec![KeyPart::text("")]),
            ("text abc", vec![KeyPart::text("abc")]),
            ("text é", vec![KeyPart::text("é")]),
            ("bytes 00ff", vec![KeyPart::Bytes(vec![0, 255])]),
            ("bool true", vec![KeyPart::Bool(true)]),
            ("date 1", vec![KeyPart::Date(1)]),
            ("numeric 1.5", vec![KeyPart::numeric("1.50")]),
            ("int 1, text abc", vec![KeyPart::Int(1), KeyPart::text("abc")]),
        ]
    }

    /// The vshards of 4,096 of every sample under every hash; computed once, and never to change, for data lies by them.
    /// Those of xxh3 and the digests have been computed by another program from the bytes that [`KeyPart::encode`] documents.
    const GOLDEN: &str = include_str!("golden.txt");

    #[test]
    fn golden_vectors() {
        let methods = [
            ("xxh3", HashMethod::Xxh3),
            ("md5", HashMethod::Md5),
            ("sha1", HashMethod::Sha1),
            ("sha256", HashMethod::Sha256),
            ("sha512", HashMethod::Sha512),
            ("cast", HashMethod::Cast),
            ("postgres", HashMethod::Postgres),
        ];
        let mut computed = String::new();
        for (method_name, method) in methods {
            for (name, key) in key_samples() {
                if let Ok(vshard) = vshard_of(method, &key, 4096) {
                    computed.push_str(&format!("{method_name}: {name} = {vshard}\n"));
                }
            }
        }
        assert_eq!(computed, GOLDEN);
    }

    fn datastore(vshards: u32, shards: u32) -> Datastore {
        Datastore {
            id: DatastoreId::from("main"),
            vshards,
            replication: Replication::Native,
            shards: Vec::new(),
            vshard_map: Datastore::even_map(vshards, shards),
        }
    }

    fn check(method: &KeyspaceMethod, key: KeyPart, expected: Result<u32, ShardingError>) {
        let keyspace = Keyspace { fields: vec!["k".to_owned()], method: method.clone() };
        assert_eq!(
            shard_of(&keyspace, &datastore(8, 4), std::slice::from_ref(&key)),
            expected.map(ShardId),
            "{key:?}"
        );
    }

    #[test]
    fn cast_and_map() {
        let cast = KeyspaceMethod::Hash(HashMethod::Cast);
        check(&cast, KeyPart::Int(0), Ok(0));
        check(&cast, KeyPart::Int(5), Ok(2));
        check(&cast, KeyPart::Int(-1), Ok(3));
        check(&cast, KeyPart::Int(i64::MIN), Ok(0));
        check(&cast, KeyPart::text("1"), Err(ShardingError::CastNeedsInteger));
    }

    #[test]
    fn ranges() {
        let bound = |text: &str, shard| (Some(text.to_owned()), ShardId(shard));
        let ints = KeyspaceMethod::Range(vec![(None, ShardId(0)), bound("9", 1), bound("10", 2)]);
        check(&ints, KeyPart::Int(-5), Ok(0));
        check(&ints, KeyPart::Int(8), Ok(0));
        check(&ints, KeyPart::Int(9), Ok(1));
        check(&ints, KeyPart::Int(10), Ok(2));
        check(&ints, KeyPart::Int(i64::MAX), Ok(2));
        let dates = KeyspaceMethod::Range(vec![(None, ShardId(0)), bound("2000-01-02", 1)]);
        check(&dates, KeyPart::Date(0), Ok(0));
        check(&dates, KeyPart::Date(1), Ok(1));
        let numerics =
            KeyspaceMethod::Range(vec![(None, ShardId(0)), bound("-1.5", 1), bound("2", 2)]);
        check(&numerics, KeyPart::numeric("-1.51"), Ok(0));
        check(&numerics, KeyPart::numeric("-1.5000"), Ok(1));
        check(&numerics, KeyPart::numeric("10"), Ok(2));
        check(&KeyspaceMethod::Range(vec![]), KeyPart::Int(1), Err(ShardingError::NoShard));
    }

    #[test]
    fn lists() {
        let value = |text: &str, shard| (Some(text.to_owned()), ShardId(shard));
        let mut parts = vec![value("de", 1), value("fr", 2)];
        check(&KeyspaceMethod::List(parts.clone()), KeyPart::text("fr"), Ok(2));
        check(
            &KeyspaceMethod::List(parts.clone()),
            KeyPart::text("it"),
            Err(ShardingError::NoShard),
        );
        parts.insert(0, (None, ShardId(3)));
        check(&KeyspaceMethod::List(parts), KeyPart::text("it"), Ok(3));
    }

    #[test]
    fn keyspaces_that_are_none() {
        let check = |method: KeyspaceMethod, types: &[KeyType], expected: &str| {
            let found = check_keyspace(&method, types)
                .map_or_else(|problem| problem.to_string(), |()| "fine".to_owned());
            assert_eq!(found, expected);
        };
        let range = |bounds: &[Option<&str>]| {
            KeyspaceMethod::Range(
                bounds.iter().map(|bound| (bound.map(str::to_owned), ShardId(0))).collect(),
            )
        };
        check(range(&[None, Some("2"), Some("10")]), &[KeyType::Int], "fine");
        check(
            range(&[None, Some("2"), Some("10")]),
            &[KeyType::Text],
            "the range from \"10\" does not begin above the one before it",
        );
        check(
            range(&[Some("1")]),
            &[KeyType::Int],
            "the first range, and no other, must be without a lower bound",
        );
        check(
            range(&[None, None]),
            &[KeyType::Int],
            "the first range, and no other, must be without a lower bound",
        );
        check(range(&[None, Some("x")]), &[KeyType::Int], "\"x\" is not a value of type integer");
        check(
            KeyspaceMethod::Hash(HashMethod::Cast),
            &[KeyType::Text],
            "hash \"cast\" needs a shard key of one integer column",
        );
        let list = KeyspaceMethod::List(vec![
            (Some("1.0".to_owned()), ShardId(0)),
            (Some("1".to_owned()), ShardId(1)),
        ]);
        check(list, &[KeyType::Numeric], "\"1\" is given a shard twice");
    }

    /// `types TAB modulus TAB remainder TAB value…`, written by `tests/make_postgres_vectors.sh` from a server.
    const POSTGRES_VECTORS: &str = include_str!("../../tests/postgres_vectors.tsv");

    #[test]
    fn postgres_finds_the_same_partition() {
        let mut lines = 0;
        for line in POSTGRES_VECTORS.lines() {
            let mut cells = line.split('\t');
            let mut cell = || cells.next().expect("each line has its cells");
            let (types, modulus, remainder) = (cell(), cell(), cell());
            let parts = types.split(',').map(|name| {
                let text = cell();
                if name == "text" || name == "bpchar" {
                    let bytes = hex::decode(text).expect("texts are in hexadecimal");
                    let text = String::from_utf8(bytes).expect("texts are UTF-8");
                    return if name == "bpchar" {
                        KeyPart::bpchar(&text)
                    } else {
                        KeyPart::text(&text)
                    };
                }
                KeyPart::parse(KeyType::by_name(name).expect("a known type"), text)
                    .expect("a value of its type")
            });
            let key = parts.collect::<Vec<_>>();
            let found = vshard_of(HashMethod::Postgres, &key, modulus.parse().unwrap()).unwrap();
            assert_eq!(found.to_string(), remainder, "{line}");
            lines += 1;
        }
        assert!(lines > 3000, "only {lines} vectors");
    }
}
