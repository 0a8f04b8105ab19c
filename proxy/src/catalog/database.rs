//! One database of one snapshot, as its catalogs show it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use dataman_metadata::member::Member;
use dataman_metadata::schema::{
    Collection, Constraint, ConstraintKind, Database, EnumType, Index, Schema, Sequence, View,
};
use dataman_metadata::snapshot::Snapshot;
use dataman_pg::catalog::system::SystemRow;
use dataman_pg::{Context, PgError, Value};

use super::{oid, tables};

/// How many databases' catalogs are kept: those of the newest snapshots.
const CATALOGS_MAX: usize = 4;

/// How many made tables are kept: each of the system's, and several for what depends on who asks.
const TABLES_MAX: usize = 512;

/// The catalogs that were made last.
#[derive(Debug, Default)]
pub(crate) struct Catalogs {
    made: Mutex<Vec<Arc<Catalog>>>,
    members: Arc<ArcSwap<Vec<Member>>>,
}

impl Catalogs {
    /// The members of the cluster when it was last looked.
    pub(crate) fn members(&self) -> &ArcSwap<Vec<Member>> {
        &self.members
    }

    /// The catalog of a database in a snapshot.
    pub(crate) fn of(&self, snapshot: &Arc<Snapshot>, database: &str) -> Arc<Catalog> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |known: &Arc<Catalog>| {
            Arc::ptr_eq(&known.snapshot, snapshot) && known.database == database
        };
        if let Some(found) = made.iter().find(|known| is_same(known)) {
            return Arc::clone(found);
        }
        if made.len() == CATALOGS_MAX {
            made.remove(0);
        }
        let members = Arc::clone(&self.members);
        let catalog = Arc::new(Catalog::new(Arc::clone(snapshot), database, members));
        made.push(Arc::clone(&catalog));
        catalog
    }
}

/// The catalogs of one database, made as they are asked for.
#[derive(Debug)]
pub(crate) struct Catalog {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) database: String,
    objects: OnceLock<HashMap<u32, Object>>,
    references: OnceLock<HashSet<Place>>,
    tables: Mutex<HashMap<(String, String), Arc<Table>>>,
    members: Arc<ArcSwap<Vec<Member>>>,
}

/// A made table, with the indexes that were asked for.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<SystemRow>,
    indexes: Mutex<HashMap<usize, Arc<Lookup>>>,
}

/// A column's values, with the numbers of their rows.
type Lookup = HashMap<Key, Vec<usize>>;

/// What rows are looked up by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Number(i64),
    Text(Arc<str>),
}

/// Where a table, view, sequence or enum is: its schema and name.
pub(super) type Place = (String, String);

/// What an OID of `pg_class`, `pg_type`, `pg_constraint` or `pg_namespace` stands for.
#[derive(Debug, Clone)]
pub(super) enum Object {
    Schema(String),
    Table(Place),
    View(Place),
    Sequence(Place),
    /// The table, and the place of the index among its own.
    Index(Place, usize),
    /// The table, and the place of the constraint whose index it is.
    ConstraintIndex(Place, usize),
    /// A constraint by its OID as one.
    Constraint(Place, usize),
    RowType(Place),
    RowArray(Place),
    Enum(Place),
    EnumArray(Place),
}

impl Key {
    fn of(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Oid(number) => Self::Number(i64::from(*number)),
            Value::Int2(number) => Self::Number(i64::from(*number)),
            Value::Int4(number) => Self::Number(i64::from(*number)),
            Value::Int8(number) => Self::Number(*number),
            Value::Text(text) => Self::Text(Arc::clone(text)),
            _ => return None,
        })
    }
}

impl Table {
    pub(super) fn new(rows: Vec<SystemRow>) -> Self {
        Self { rows, indexes: Mutex::default() }
    }

    /// All rows.
    pub(super) fn rows(&self) -> &[SystemRow] {
        &self.rows
    }

    /// The rows whose column at `place` is equal to one of different values, or all where that cannot be looked up.
    pub(super) fn find(&self, place: usize, values: &[Value]) -> Vec<SystemRow> {
        let values = values.iter().filter(|value| !value.is_null());
        let Some(keys) = values.map(Key::of).collect::<Option<Vec<Key>>>() else {
            return self.rows.clone();
        };
        if keys.is_empty() {
            return Vec::new();
        }
        let index = {
            let mut indexes = self.indexes.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(indexes.entry(place).or_insert_with(|| {
                let mut index = Lookup::new();
                for (number, row) in self.rows.iter().enumerate() {
                    if let Some(key) = row.get(place).and_then(Key::of) {
                        index.entry(key).or_default().push(number);
                    }
                }
                Arc::new(index)
            }))
        };
        let found = keys.iter().filter_map(|key| index.get(key)).flatten();
        found.map(|number| Arc::clone(&self.rows[*number])).collect()
    }
}

impl Catalog {
    fn new(snapshot: Arc<Snapshot>, database: &str, members: Arc<ArcSwap<Vec<Member>>>) -> Self {
        Self {
            snapshot,
            database: database.to_owned(),
            objects: OnceLock::new(),
            references: OnceLock::new(),
            tables: Mutex::default(),
            members,
        }
    }

    /// The members of the cluster when it was last looked.
    pub(super) fn members(&self) -> Arc<Vec<Member>> {
        self.members.load_full()
    }

    /// The database.
    pub(super) fn content(&self) -> Option<&Database> {
        self.snapshot.database(&self.database)
    }

    /// Its schemas by name.
    pub(super) fn schemas(&self) -> impl Iterator<Item = (&str, &Schema)> {
        let schemas = self.content().into_iter().flat_map(|database| &database.schemas);
        schemas.map(|(name, schema)| (name.as_str(), schema))
    }

    /// A role's OID. The first superuser has PostgreSQL's: what is built in belongs to it.
    pub(super) fn role_oid(&self, name: &str) -> u32 {
        match self.snapshot.role(name) {
            Some(role) if name != self.first_role() => role.oid.0,
            _ => FIRST_ROLE,
        }
    }

    /// Who owns a sequence: who owns the table that it belongs to, else the database's owner.
    pub(super) fn sequence_owner(&self, sequence: &Sequence) -> &str {
        let owned = sequence.owned_by.as_ref();
        let table = owned.and_then(|(schema, table, _)| self.content()?.collection(schema, table));
        match (table, self.content()) {
            (Some(table), _) => &table.owner,
            (None, Some(database)) => &database.owner,
            (None, None) => self.first_role(),
        }
    }

    /// The tables that refer to others or are referred to.
    pub(super) fn references(&self) -> &HashSet<Place> {
        self.references.get_or_init(|| {
            let mut found = HashSet::new();
            for (_, schema, name, table) in self.collections() {
                for constraint in &table.constraints {
                    if let ConstraintKind::ForeignKey { references, .. } = &constraint.kind {
                        found.insert((schema.to_owned(), name.to_owned()));
                        found.insert(references.clone());
                    }
                }
            }
            found
        })
    }

    /// The first superuser: who owns what is built in.
    pub(super) fn first_role(&self) -> &str {
        let named = self.snapshot.roles.values().find(|role| role.oid.0 == FIRST_ROLE);
        let eldest = || {
            let superusers = self.snapshot.roles.values().filter(|role| role.superuser);
            superusers.min_by_key(|role| role.oid)
        };
        named.or_else(eldest).map_or("dataman", |role| role.name.as_str())
    }

    /// A table of `pg_catalog`, `information_schema` or `dataman` that does not change within a snapshot.
    ///
    /// # Errors
    /// What making its rows raises.
    pub(super) fn table(
        &self,
        schema: &str,
        name: &str,
        context: &Context,
    ) -> Result<Arc<Table>, PgError> {
        let mut key = (schema.to_owned(), name.to_owned());
        // Texts depend on the path, and the information schema on who asks.
        if schema == "information_schema" || matches!(name, "pg_views" | "pg_indexes") {
            let session = &context.session;
            key.1 = format!("{name}\n{}\n{}", session.user, session.schemas.join("\n"));
        }
        let lock = || self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = lock().get(&key) {
            return Ok(Arc::clone(found));
        }
        // Made without the lock: a table may be made of others.
        let table = Arc::new(Table::new(tables::rows(self, schema, name, context)?));
        if schema == "dataman" && matches!(name, "nodes" | "proxies") {
            // These change from moment to moment.
            return Ok(table);
        }
        let mut tables = lock();
        if tables.len() >= TABLES_MAX {
            tables.clear();
        }
        Ok(Arc::clone(tables.entry(key).or_insert(table)))
    }

    /// What an OID stands for, if it is a user's object.
    pub(super) fn object(&self, oid: u32) -> Option<&Object> {
        self.objects.get_or_init(|| self.find_objects()).get(&oid)
    }

    fn find_objects(&self) -> HashMap<u32, Object> {
        let mut found = HashMap::new();
        for (schema, content) in self.schemas() {
            found.insert(content.oid.0, Object::Schema(schema.to_owned()));
            let at = |name: &str| (schema.to_owned(), name.to_owned());
            for (name, table) in &content.collections {
                let id = table.id.0;
                found.insert(id, Object::Table(at(name)));
                found.insert(oid::row_type(id), Object::RowType(at(name)));
                found.insert(oid::row_array(id), Object::RowArray(at(name)));
                for (number, index) in table.indexes.iter().enumerate() {
                    found.insert(index.oid.0, Object::Index(at(name), number));
                }
                for (number, constraint) in table.constraints.iter().enumerate() {
                    found.insert(constraint_oid(constraint), Object::Constraint(at(name), number));
                    if constraint.kind.has_index() {
                        found.insert(constraint.oid.0, Object::ConstraintIndex(at(name), number));
                    }
                }
            }
            for (name, view) in &content.views {
                found.insert(view.oid.0, Object::View(at(name)));
                found.insert(oid::row_type(view.oid.0), Object::RowType(at(name)));
                found.insert(oid::row_array(view.oid.0), Object::RowArray(at(name)));
            }
            for (name, sequence) in &content.sequences {
                found.insert(sequence.oid.0, Object::Sequence(at(name)));
            }
            for (name, ty) in &content.enums {
                found.insert(ty.oid.0, Object::Enum(at(name)));
                found.insert(ty.array_oid.0, Object::EnumArray(at(name)));
            }
        }
        found
    }

    /// The table at a place.
    pub(super) fn collection(&self, place: &Place) -> Option<&Collection> {
        self.content()?.collection(&place.0, &place.1)
    }

    /// The view at a place.
    pub(super) fn view(&self, place: &Place) -> Option<&View> {
        self.content()?.view(&place.0, &place.1)
    }

    /// The sequence at a place.
    pub(super) fn sequence(&self, place: &Place) -> Option<&Sequence> {
        self.content()?.sequence(&place.0, &place.1)
    }

    /// Every table with its schema's OID, schema and name.
    pub(super) fn collections(&self) -> impl Iterator<Item = (u32, &str, &str, &Collection)> {
        self.schemas().flat_map(|(schema, content)| {
            content
                .collections
                .iter()
                .map(move |(name, table)| (content.oid.0, schema, name.as_str(), table))
        })
    }

    /// Every view.
    pub(super) fn views(&self) -> impl Iterator<Item = (u32, &str, &str, &View)> {
        self.schemas().flat_map(|(schema, content)| {
            content
                .views
                .iter()
                .map(move |(name, view)| (content.oid.0, schema, name.as_str(), view))
        })
    }

    /// Every sequence.
    pub(super) fn sequences(&self) -> impl Iterator<Item = (u32, &str, &str, &Sequence)> {
        self.schemas().flat_map(|(schema, content)| {
            content
                .sequences
                .iter()
                .map(move |(name, sequence)| (content.oid.0, schema, name.as_str(), sequence))
        })
    }

    /// Every enum.
    pub(super) fn enums(&self) -> impl Iterator<Item = (u32, &str, &str, &EnumType)> {
        self.schemas().flat_map(|(schema, content)| {
            content.enums.iter().map(move |(name, ty)| (content.oid.0, schema, name.as_str(), ty))
        })
    }
}

/// The role that owns what is built in.
pub(super) const FIRST_ROLE: u32 = 10;

/// A constraint's OID in `pg_constraint`.
pub(super) fn constraint_oid(constraint: &Constraint) -> u32 {
    if constraint.kind.has_index() {
        oid::indexed_constraint(constraint.oid.0)
    } else {
        constraint.oid.0
    }
}

/// One index of a table, a constraint's or its own, as `pg_index` sees it.
pub(super) struct IndexView<'a> {
    pub(super) oid: u32,
    pub(super) name: &'a str,
    pub(super) unique: bool,
    pub(super) nulls_not_distinct: bool,
    pub(super) primary: bool,
    pub(super) method: &'a str,
    /// Names of columns or expressions, with DESC and NULLS FIRST.
    pub(super) keys: Vec<(&'a str, bool, bool)>,
    pub(super) include: &'a [String],
    pub(super) filter: Option<&'a str>,
    /// The constraint that it carries.
    pub(super) constraint: Option<&'a Constraint>,
}

/// All indexes of a table: those of constraints first.
pub(super) fn indexes_of(table: &Collection) -> impl Iterator<Item = IndexView<'_>> {
    let constraints = table.constraints.iter().filter_map(index_of_constraint);
    constraints.chain(table.indexes.iter().map(index_view))
}

/// The index of a constraint.
pub(super) fn index_of_constraint(constraint: &Constraint) -> Option<IndexView<'_>> {
    let (fields, primary, nulls_not_distinct) = match &constraint.kind {
        ConstraintKind::PrimaryKey { fields } => (fields, true, false),
        ConstraintKind::Unique { fields, nulls_not_distinct } => {
            (fields, false, *nulls_not_distinct)
        }
        ConstraintKind::Check { .. } | ConstraintKind::ForeignKey { .. } => return None,
    };
    Some(IndexView {
        oid: constraint.oid.0,
        name: &constraint.name,
        unique: true,
        nulls_not_distinct,
        primary,
        method: "btree",
        keys: fields.iter().map(|field| (field.as_str(), false, false)).collect(),
        include: &[],
        filter: None,
        constraint: Some(constraint),
    })
}

/// A table's own index.
pub(super) fn index_view(index: &Index) -> IndexView<'_> {
    IndexView {
        oid: index.oid.0,
        name: &index.name,
        unique: index.unique,
        nulls_not_distinct: index.nulls_not_distinct,
        primary: false,
        method: &index.method,
        keys: index
            .keys
            .iter()
            .map(|key| (key.expr.as_str(), key.descending, key.nulls_first))
            .collect(),
        include: &index.include,
        filter: index.filter.as_deref(),
        constraint: None,
    }
}
