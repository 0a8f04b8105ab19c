//! What lives in a cluster: databases, schemas, collections and what belongs to them.
//!
//! Types are named by PostgreSQL's OIDs (`type_oid`, `typmod`); expressions are SQL text in PostgreSQL's canonical form,
//! which the proxy binds. Names are as PostgreSQL folds them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{CollectionId, DatabaseId, DatastoreId, ObjectId, ShardId};

/// A database: what a client connects to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Its name.
    pub id: DatabaseId,
    /// Its OID.
    pub oid: ObjectId,
    /// Where its collections live unless they say otherwise.
    pub datastore: DatastoreId,
    /// Fields that shard any table that has them, in order of preference.
    #[serde(default)]
    pub shard_keys: Vec<String>,
    /// The role that owns it.
    pub owner: String,
    /// SQL schemas by name; `public` is always there at first.
    pub schemas: BTreeMap<String, Schema>,
}

/// An SQL schema: a namespace within a database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// Its OID.
    pub oid: ObjectId,
    /// COMMENT ON SCHEMA.
    #[serde(default)]
    pub comment: Option<String>,
    /// Tables by name.
    #[serde(default)]
    pub collections: BTreeMap<String, Collection>,
    /// Views by name.
    #[serde(default)]
    pub views: BTreeMap<String, View>,
    /// Sequences by name.
    #[serde(default)]
    pub sequences: BTreeMap<String, Sequence>,
    /// Enum types by name.
    #[serde(default)]
    pub enums: BTreeMap<String, EnumType>,
}

/// A collection: SQL's table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collection {
    /// Its identifier and OID.
    pub id: CollectionId,
    /// The datastore it lives in.
    pub datastore: DatastoreId,
    /// How it is spread.
    pub placement: Placement,
    /// Its fields in order, dropped ones left out.
    pub fields: Vec<Field>,
    /// Constraints in the order of their making.
    #[serde(default)]
    pub constraints: Vec<Constraint>,
    /// Indexes that are not constraints', in the order of their making.
    #[serde(default)]
    pub indexes: Vec<Index>,
    /// Unique keys over several shards that are being made: writers keep them already, and nobody relies on them. What a
    /// definition that was cut short has left here goes with the next definition of the collection.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<Index>,
    /// The number the next field gets.
    pub next_field_number: i16,
    /// COMMENT ON TABLE.
    #[serde(default)]
    pub comment: Option<String>,
    /// The role that owns it.
    pub owner: String,
    /// The table that was there before dataman, and that this collection is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted: Option<Adopted>,
}

/// Where the records of a collection that dataman did not make lie. What they are there stays as it is: dataman neither changes nor
/// drops the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adopted {
    /// The PostgreSQL schema, MySQL database or MongoDB database.
    pub namespace: String,
    /// The table's or collection's name there.
    pub name: String,
    /// The fields whose text the database orders in another way than by its bytes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub collated: Vec<String>,
}

/// How a collection is spread over its datastore's shards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// By a key.
    Sharded(Keyspace),
    /// All on one shard.
    Single {
        /// Which.
        shard: ShardId,
    },
    /// A full copy on every shard.
    Reference,
}

/// How a sharded collection's rows find their shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keyspace {
    /// The shard key's fields in order; at least one.
    pub fields: Vec<String>,
    /// Key → shard.
    pub method: KeyspaceMethod,
}

/// Key → shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyspaceMethod {
    /// Hash → vshard → the datastore's map.
    Hash(HashMethod),
    /// Ranges of the (single) key: ascending lower bounds as text, the first one unbounded (`None`), each to a shard. A
    /// bound belongs to the range it begins.
    Range(Vec<(Option<String>, ShardId)>),
    /// Values of the (single) key as text, each to a shard; `None` is the default for all others.
    List(Vec<(Option<String>, ShardId)>),
}

/// The hash functions of a keyspace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HashMethod {
    /// XXH3, 64 bits.
    #[default]
    Xxh3,
    /// MD5.
    Md5,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
    /// The integer itself.
    Cast,
    /// PostgreSQL's partition hash.
    Postgres,
}

/// A field: SQL's column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its number (`attnum`), from 1, never used again.
    pub number: i16,
    /// Its type's OID.
    pub type_oid: u32,
    /// Its type's modifier, -1 for none.
    pub typmod: i32,
    /// `NOT NULL`.
    pub not_null: bool,
    /// What an INSERT that leaves it out gets.
    #[serde(default)]
    pub default: FieldDefault,
    /// COMMENT ON COLUMN.
    #[serde(default)]
    pub comment: Option<String>,
}

/// What an INSERT that leaves a field out gets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldDefault {
    /// NULL.
    #[default]
    None,
    /// `DEFAULT expr`, as SQL text.
    Expr(String),
    /// `SERIAL`: the sequence, `schema.name`.
    Serial(String),
    /// `GENERATED … AS IDENTITY`.
    Identity {
        /// The sequence, `schema.name`.
        sequence: String,
        /// `ALWAYS`, else `BY DEFAULT`.
        always: bool,
    },
    /// `GENERATED ALWAYS AS (expr) STORED`, as SQL text.
    Generated(String),
    /// What the database of an adopted collection fills in by itself.
    Source {
        /// How: in the words of that database.
        text: String,
        /// What of.
        kind: SourceDefault,
    },
}

/// What the database of an adopted collection fills in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceDefault {
    /// A default.
    Default,
    /// An identity that may be given.
    IdentityByDefault,
    /// An identity that may not be given.
    IdentityAlways,
    /// A generated column.
    Generated,
}

/// A constraint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Constraint {
    /// Its name.
    pub name: String,
    /// Its OID.
    pub oid: ObjectId,
    /// What it demands.
    pub kind: ConstraintKind,
}

/// What a constraint demands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConstraintKind {
    /// `PRIMARY KEY`.
    PrimaryKey {
        /// Its fields.
        fields: Vec<String>,
    },
    /// `UNIQUE`.
    Unique {
        /// Its fields.
        fields: Vec<String>,
        /// `NULLS NOT DISTINCT`.
        #[serde(default)]
        nulls_not_distinct: bool,
    },
    /// `CHECK (expr)`, as SQL text.
    Check {
        /// The condition.
        expr: String,
    },
    /// `FOREIGN KEY`.
    ForeignKey {
        /// The referring fields.
        fields: Vec<String>,
        /// The collection referred to: its schema and name.
        references: (String, String),
        /// The fields referred to.
        references_fields: Vec<String>,
        /// `ON DELETE`: `no action`, `restrict`, `cascade`, `set null`, `set default`.
        on_delete: String,
        /// `ON UPDATE`.
        on_update: String,
    },
}

/// An index that is not a constraint's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Its name, unique within the schema.
    pub name: String,
    /// Its OID.
    pub oid: ObjectId,
    /// `UNIQUE`.
    pub unique: bool,
    /// `NULLS NOT DISTINCT`.
    #[serde(default)]
    pub nulls_not_distinct: bool,
    /// The method: `btree` and its like.
    pub method: String,
    /// The keys.
    pub keys: Vec<IndexKey>,
    /// `INCLUDE`.
    #[serde(default)]
    pub include: Vec<String>,
    /// A partial index's condition, as SQL text.
    #[serde(default)]
    pub filter: Option<String>,
    /// COMMENT ON INDEX.
    #[serde(default)]
    pub comment: Option<String>,
}

/// One key of an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexKey {
    /// A field's name or an expression, as SQL text.
    pub expr: String,
    /// `DESC`.
    #[serde(default)]
    pub descending: bool,
    /// `NULLS FIRST`; decided.
    #[serde(default)]
    pub nulls_first: bool,
}

/// A view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Its OID.
    pub oid: ObjectId,
    /// Its query, as SQL text with all names qualified by schema.
    pub query: String,
    /// Its columns' names.
    pub columns: Vec<String>,
    /// `schema.name` of what it reads, so that it is not dropped under it.
    #[serde(default)]
    pub depends: Vec<(String, String)>,
    /// COMMENT ON VIEW.
    #[serde(default)]
    pub comment: Option<String>,
    /// The role that owns it.
    pub owner: String,
}

/// A sequence. Its numbers are handed out in blocks; the next block's start is kept beside the snapshot, so that taking
/// one is not a change of schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// Its OID.
    pub oid: ObjectId,
    /// `AS smallint | integer | bigint`: the type's OID.
    pub type_oid: u32,
    /// `START`.
    pub start: i64,
    /// `INCREMENT`.
    pub increment: i64,
    /// `MINVALUE`.
    pub min: i64,
    /// `MAXVALUE`.
    pub max: i64,
    /// `CYCLE`.
    pub cycle: bool,
    /// `CACHE`: how many numbers a proxy takes at a time at least.
    pub cache: i64,
    /// The field that owns it: schema, table and column.
    #[serde(default)]
    pub owned_by: Option<(String, String, String)>,
    /// COMMENT ON SEQUENCE.
    #[serde(default)]
    pub comment: Option<String>,
}

/// A user-defined enum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnumType {
    /// Its OID.
    pub oid: ObjectId,
    /// Its array type's OID.
    pub array_oid: ObjectId,
    /// Its labels in order.
    pub labels: Vec<String>,
}

/// A role that can connect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Its OID.
    pub oid: ObjectId,
    /// May do everything.
    pub superuser: bool,
    /// The SCRAM-SHA-256 verifier, in PostgreSQL's form; none when no password has been set.
    #[serde(default)]
    pub verifier: Option<String>,
}

/// What parameters sessions begin with: of a role, of a database, of a role in a database, or all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionDefaults {
    /// The database whose sessions these are; none for all.
    pub database: Option<DatabaseId>,
    /// The role whose sessions these are; none for all.
    pub role: Option<String>,
    /// Parameters' names and values as they were written, in the order in which they were first set.
    pub values: Vec<(String, String)>,
}

impl SessionDefaults {
    /// Whose they are; no two have the same.
    #[must_use]
    pub fn place(&self) -> (Option<&DatabaseId>, Option<&str>) {
        (self.database.as_ref(), self.role.as_deref())
    }
}

/// The schema that every database has at first.
pub const PUBLIC_SCHEMA: &str = "public";

/// The OID of the schema `public`, as in PostgreSQL.
pub const PUBLIC_SCHEMA_OID: ObjectId = ObjectId(2200);

/// A relation that a name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation<'a> {
    /// A table.
    Collection(&'a Collection),
    /// A view.
    View(&'a View),
    /// A sequence.
    Sequence(&'a Sequence),
    /// An index, a constraint's included.
    Index {
        /// The name of the collection that it belongs to.
        collection: &'a str,
        /// Its OID.
        oid: ObjectId,
    },
}

/// A relation with its schema and name, as a search found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundRelation<'a> {
    /// The schema.
    pub schema: &'a str,
    /// The name.
    pub name: &'a str,
    /// What it is.
    pub relation: Relation<'a>,
}

impl Database {
    /// Makes a database with an empty schema `public`.
    #[must_use]
    pub fn new(id: DatabaseId, oid: ObjectId, datastore: DatastoreId, owner: &str) -> Self {
        let public = Schema { oid: PUBLIC_SCHEMA_OID, ..Schema::default() };
        let schemas = BTreeMap::from([(PUBLIC_SCHEMA.to_owned(), public)]);
        Self { id, oid, datastore, shard_keys: Vec::new(), owner: owner.to_owned(), schemas }
    }

    /// Finds a collection by schema and name.
    #[must_use]
    pub fn collection(&self, schema: &str, name: &str) -> Option<&Collection> {
        self.schemas.get(schema)?.collections.get(name)
    }

    /// Finds a view by schema and name.
    #[must_use]
    pub fn view(&self, schema: &str, name: &str) -> Option<&View> {
        self.schemas.get(schema)?.views.get(name)
    }

    /// Finds a sequence by schema and name.
    #[must_use]
    pub fn sequence(&self, schema: &str, name: &str) -> Option<&Sequence> {
        self.schemas.get(schema)?.sequences.get(name)
    }

    /// Finds a sequence by `schema.name`, as a field's default names it; gives schema, name and sequence.
    #[must_use]
    pub fn sequence_at<'a>(&'a self, path: &'a str) -> Option<(&'a str, &'a str, &'a Sequence)> {
        path.match_indices('.').find_map(|(dot, _)| {
            let (schema, name) = (&path[..dot], &path[dot + 1..]);
            Some((schema, name, self.sequence(schema, name)?))
        })
    }

    /// Finds an enum by schema and name.
    #[must_use]
    pub fn enum_type(&self, schema: &str, name: &str) -> Option<&EnumType> {
        self.schemas.get(schema)?.enums.get(name)
    }

    /// Finds the enum whose own or whose array's OID this is; gives schema, name and enum.
    #[must_use]
    pub fn enum_by_oid(&self, oid: u32) -> Option<(&str, &str, &EnumType)> {
        self.schemas.iter().find_map(|(schema, content)| {
            let (name, found) = content
                .enums
                .iter()
                .find(|(_, found)| found.oid.0 == oid || found.array_oid.0 == oid)?;
            Some((schema.as_str(), name.as_str(), found))
        })
    }

    /// Finds a collection by its OID; gives schema, name and collection.
    #[must_use]
    pub fn collection_by_id(&self, id: CollectionId) -> Option<(&str, &str, &Collection)> {
        self.collections().find(|(_, _, collection)| collection.id == id)
    }

    /// Every collection with its schema and name, in the order of their names.
    pub fn collections(&self) -> impl Iterator<Item = (&str, &str, &Collection)> {
        self.schemas.iter().flat_map(|(schema, content)| {
            content
                .collections
                .iter()
                .map(move |(name, collection)| (schema.as_str(), name.as_str(), collection))
        })
    }

    /// Finds what a relation's name means in one schema.
    #[must_use]
    pub fn relation(&self, schema: &str, name: &str) -> Option<FoundRelation<'_>> {
        let (schema, content) = self.schemas.get_key_value(schema)?;
        let (name, relation) = content.relation(name)?;
        Some(FoundRelation { schema, name, relation })
    }

    /// Finds what an unqualified relation's name means: the first schema of the search path that has it. Schemas of the
    /// path that do not exist are passed over, as PostgreSQL does.
    pub fn find_relation<'a, S: AsRef<str>>(
        &'a self,
        search_path: impl IntoIterator<Item = S>,
        name: &str,
    ) -> Option<FoundRelation<'a>> {
        search_path.into_iter().find_map(|schema| self.relation(schema.as_ref(), name))
    }

    /// Finds the enum that an unqualified type's name means.
    pub fn find_enum<'a, S: AsRef<str>>(
        &'a self,
        search_path: impl IntoIterator<Item = S>,
        name: &str,
    ) -> Option<(&'a str, &'a EnumType)> {
        search_path.into_iter().find_map(|schema| {
            let (schema, content) = self.schemas.get_key_value(schema.as_ref())?;
            Some((schema.as_str(), content.enums.get(name)?))
        })
    }
}

impl Schema {
    /// Finds what a relation's name means here. Tables, views, sequences and indexes share one namespace.
    #[must_use]
    pub fn relation(&self, name: &str) -> Option<(&str, Relation<'_>)> {
        if let Some((name, found)) = self.collections.get_key_value(name) {
            return Some((name, Relation::Collection(found)));
        }
        if let Some((name, found)) = self.views.get_key_value(name) {
            return Some((name, Relation::View(found)));
        }
        if let Some((name, found)) = self.sequences.get_key_value(name) {
            return Some((name, Relation::Sequence(found)));
        }
        self.collections.iter().find_map(|(collection, content)| {
            let (name, oid) = content.index_names().find(|(index, _)| *index == name)?;
            Some((name, Relation::Index { collection, oid }))
        })
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.collections.is_empty()
            && self.views.is_empty()
            && self.sequences.is_empty()
            && self.enums.is_empty()
    }

    /// Whether a new relation can have this name.
    #[must_use]
    pub fn is_free(&self, name: &str) -> bool {
        self.relation(name).is_none()
    }
}

/// A unique key that no shard alone can keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GlobalKey<'c> {
    /// The constraint's or index's name.
    pub name: &'c str,
    /// Its OID.
    pub oid: ObjectId,
    /// Its fields.
    pub fields: Vec<&'c str>,
}

impl Collection {
    /// Finds a field by its name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// Finds a field's place among the fields, from 0.
    #[must_use]
    pub fn field_place(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name == name)
    }

    /// The primary key's fields, in its order.
    #[must_use]
    pub fn primary_key(&self) -> Option<&[String]> {
        self.constraints.iter().find_map(|constraint| match &constraint.kind {
            ConstraintKind::PrimaryKey { fields } => Some(fields.as_slice()),
            ConstraintKind::Unique { .. }
            | ConstraintKind::Check { .. }
            | ConstraintKind::ForeignKey { .. } => None,
        })
    }

    /// The sets of fields that a foreign key may refer to and an ON CONFLICT may name: the primary key, unique
    /// constraints and whole unique indexes on plain fields.
    pub fn unique_keys(&self) -> impl Iterator<Item = Vec<&str>> {
        let constraints = self.constraints.iter().filter_map(|constraint| match &constraint.kind {
            ConstraintKind::PrimaryKey { fields } | ConstraintKind::Unique { fields, .. } => {
                Some(fields.iter().map(String::as_str).collect())
            }
            ConstraintKind::Check { .. } | ConstraintKind::ForeignKey { .. } => None,
        });
        let indexes =
            self.indexes.iter().filter(|index| index.unique && index.filter.is_none()).filter_map(
                |index| {
                    index
                        .keys
                        .iter()
                        .map(|key| Some(self.field(&key.expr)?.name.as_str()))
                        .collect::<Option<Vec<_>>>()
                },
            );
        constraints.chain(indexes)
    }

    /// The unique keys that lack the shard key: records that are alike in one may be on different shards, so that no shard alone
    /// can keep it. Those that are being made come last.
    #[must_use]
    pub fn global_keys(&self) -> Vec<GlobalKey<'_>> {
        if self.shard_key().is_empty() {
            return Vec::new();
        }
        let constraints = self.constraints.iter().filter_map(|constraint| match &constraint.kind {
            ConstraintKind::PrimaryKey { fields } | ConstraintKind::Unique { fields, .. } => {
                let fields = fields.iter().map(String::as_str).collect();
                Some(GlobalKey { name: &constraint.name, oid: constraint.oid, fields })
            }
            ConstraintKind::Check { .. } | ConstraintKind::ForeignKey { .. } => None,
        });
        let indexes = self.indexes.iter().filter(|index| index.unique).chain(&self.pending);
        let indexes = indexes.map(|index| GlobalKey {
            name: &index.name,
            oid: index.oid,
            fields: index.keys.iter().map(|key| key.expr.as_str()).collect(),
        });
        constraints.chain(indexes).filter(|key| self.lacks_shard_key(&key.fields)).collect()
    }

    /// Whether records that are alike in these fields may be on different shards.
    #[must_use]
    pub fn lacks_shard_key(&self, fields: &[&str]) -> bool {
        self.shard_key().iter().any(|field| !fields.contains(&field.as_str()))
    }

    /// How its rows find their shard, when it is sharded.
    #[must_use]
    pub fn keyspace(&self) -> Option<&Keyspace> {
        match &self.placement {
            Placement::Sharded(keyspace) => Some(keyspace),
            Placement::Single { .. } | Placement::Reference => None,
        }
    }

    /// The shard key's fields; none when it is not sharded.
    #[must_use]
    pub fn shard_key(&self) -> &[String] {
        self.keyspace().map_or(&[], |keyspace| &keyspace.fields)
    }

    /// Finds a constraint by its name.
    #[must_use]
    pub fn constraint(&self, name: &str) -> Option<&Constraint> {
        self.constraints.iter().find(|constraint| constraint.name == name)
    }

    /// Finds an index that is not a constraint's by its name.
    #[must_use]
    pub fn index(&self, name: &str) -> Option<&Index> {
        self.indexes.iter().find(|index| index.name == name)
    }

    /// The names that it takes in its schema's namespace beside its own, with their OIDs: those of its indexes, a primary
    /// key's and a unique constraint's included.
    pub fn index_names(&self) -> impl Iterator<Item = (&str, ObjectId)> {
        let constraints = self.constraints.iter().filter(|constraint| constraint.kind.has_index());
        let constraints = constraints.map(|constraint| (constraint.name.as_str(), constraint.oid));
        constraints.chain(self.indexes.iter().map(|index| (index.name.as_str(), index.oid)))
    }
}

impl ConstraintKind {
    /// Whether an index of the same name carries it.
    #[must_use]
    pub fn has_index(&self) -> bool {
        matches!(self, Self::PrimaryKey { .. } | Self::Unique { .. })
    }
}

impl FieldDefault {
    /// The sequence, `schema.name`, that it takes numbers from.
    #[must_use]
    pub fn sequence(&self) -> Option<&str> {
        match self {
            Self::Serial(sequence) | Self::Identity { sequence, .. } => Some(sequence),
            Self::None | Self::Expr(_) | Self::Generated(_) | Self::Source { .. } => None,
        }
    }
}
