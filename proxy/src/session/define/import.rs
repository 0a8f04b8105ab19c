//! IMPORT FOREIGN SCHEMA: tables that were there before dataman become collections where they are.
//!
//! ```text
//! IMPORT ─▶ inspect (asks the shard) ─▶ FoundTable … ─▶ Draft::import_schema ─▶ collections with `adopted`
//! ```
//! The metadata learns of the tables; the tables learn nothing. Their own database goes on keeping their constraints and filling in their
//! defaults, also against those who write there directly, so what is shown of them here decides on nothing but what the planner
//! may rely on. DROP TABLE forgets a table and leaves it; what would change it is refused ([`refuse_adopted`]).

use std::collections::BTreeSet;

use dataman_metadata::change::{Change, Object};
use dataman_metadata::id::ShardId;
use dataman_metadata::schema::{
    Adopted, Collection, Constraint, ConstraintKind, EnumType, Field, FieldDefault, Index,
    IndexKey, Placement, SourceDefault,
};
use dataman_metadata::snapshot::{NAME_BYTES_MAX, Snapshot};
use dataman_metadata::topology::Engine;
use dataman_node_protocol::definition::Definition;
use dataman_node_protocol::inspect::{
    Filled, Found, FoundConstraint, FoundConstraintKind, FoundField, FoundTable,
};
use dataman_node_protocol::node::{NodeStatement, Parameters, ResultFormats, StatementContext};
use dataman_node_protocol::query::{Inspect, NodeQuery};
use dataman_pg::{Expr, PgError, TypeId};
use std::sync::Arc;

use super::Facts;
use super::column::check_column_name;
use super::draft::{Draft, Result, When};
use super::shape::type_of;
use crate::cluster::Cluster;
use crate::error::Error;
use crate::parse::parse_expression;
use crate::parse::syntax::{ImportSchema, ImportedTables};
use crate::scatter::contract::ShardRef;
use crate::scatter::shard::name_shard;
use crate::sqlstate::{Report, Severity};

/// The option that says which shard of a datastore has the tables.
const SHARD: &str = "shard";

/// What OPTIONS says: the shard of a datastore. The others are for the engine, see [`engine_options`].
fn wanted_shard(import: &ImportSchema) -> Result<Option<ShardId>> {
    let mut shard = None;
    for (_, value) in import.options.iter().filter(|(option, _)| option == SHARD) {
        shard = Some(value.parse::<u32>().map(ShardId).map_err(|_| {
            PgError::new("22023", format!("invalid value for option \"shard\": \"{value}\""))
                .with_hint("Give the shard's number: shard '0'.")
        })?);
    }
    Ok(shard)
}

/// What OPTIONS says to the engine of a shard. Only MongoDB takes any: its collections have no schema to be read.
fn engine_options(
    import: &ImportSchema,
    snapshot: &Snapshot,
    shard: &ShardRef,
) -> Result<Vec<(String, String)>> {
    let options: Vec<(String, String)> =
        import.options.iter().filter(|(option, _)| option != SHARD).cloned().collect();
    let datastore = snapshot.datastores.get(&shard.datastore);
    let shards = datastore.map(|found| found.shards.as_slice()).unwrap_or_default();
    let primary = usize::try_from(shard.shard.0).ok().and_then(|number| shards.get(number));
    let engine = primary.and_then(|found| {
        let node = snapshot.nodes.get(&found.primary.node)?;
        let source = node.datasources.iter().find(|source| source.name == found.primary.name)?;
        Some(source.engine)
    });
    match options.first() {
        Some((option, _)) if engine != Some(Engine::Mongodb) => {
            Err(PgError::new("HV00D", format!("invalid option \"{option}\""))
                .with_hint(format!("Valid options in this context are: {SHARD}")))
        }
        _ => Ok(options),
    }
}

/// The shard that FROM SERVER means: a datastore of one shard, or a datasource that is a shard's primary.
fn server(import: &ImportSchema, snapshot: &Snapshot) -> Result<ShardRef> {
    let name = import.server.as_str();
    let datastore = snapshot.datastores.iter().find(|(id, _)| id.0 == name);
    if let Some((id, datastore)) = datastore {
        let shard = match (wanted_shard(import)?, datastore.shard_count()) {
            (Some(shard), count) if shard.0 < count => shard,
            (None, 1) => ShardId(0),
            (Some(shard), _) => {
                return Err(PgError::new(
                    "22023",
                    format!("datastore \"{name}\" has no shard {shard}"),
                ));
            }
            (None, count) => {
                return Err(PgError::unsupported(format!(
                    "datastore \"{name}\" has {count} shards: one of them has the tables"
                ))
                .with_hint("Say which: OPTIONS (shard '0'), or name its datasource."));
            }
        };
        return Ok(ShardRef { datastore: id.clone(), shard });
    }
    let mut found = Vec::new();
    for (id, datastore) in &snapshot.datastores {
        for (number, one) in (0..).zip(&datastore.shards) {
            if one.primary.to_string() == name || one.primary.name == name {
                found.push(ShardRef { datastore: id.clone(), shard: ShardId(number) });
            }
        }
    }
    match found.as_slice() {
        [one] => wanted_shard(import).map(|_| one.clone()),
        [] => {
            let known = snapshot.nodes.values().any(|node| {
                node.datasources
                    .iter()
                    .any(|one| one.name == name || format!("{}/{}", node.id, one.name) == name)
            });
            let names: Vec<&str> = snapshot.datastores.keys().map(|id| id.0.as_str()).collect();
            Err(if known {
                PgError::new("55000", format!("datasource \"{name}\" is no shard of a datastore"))
                    .with_hint("Add a [[datastore]] with it as its one shard to the cluster file.")
            } else {
                PgError::new("42704", format!("server \"{name}\" does not exist"))
                    .with_hint(format!("Name a datastore ({}) or a datasource.", names.join(", ")))
            })
        }
        _ => Err(PgError::new("42725", format!("server \"{name}\" is not unique"))
            .with_hint("Write a datasource as \"node/datasource\", or name a datastore.")),
    }
}

/// Asks the server for what the import names.
///
/// # Errors
/// `42704` for a server, `3F000` for a schema here and `HV00P` for one there that does not exist; what the server says.
pub(super) async fn inspect(
    import: &ImportSchema,
    snapshot: &Arc<Snapshot>,
    cluster: &Arc<Cluster>,
    facts: &Facts<'_>,
) -> std::result::Result<Vec<FoundTable>, Error> {
    let shard = server(import, snapshot)?;
    if !facts.superuser {
        let message = format!("permission denied for foreign server {}", import.server);
        return Err(PgError::new("42501", message).into());
    }
    let has_schema = snapshot
        .database(facts.database)
        .is_some_and(|database| database.schemas.contains_key(&import.into));
    if !has_schema {
        let message = format!("schema \"{}\" does not exist", import.into);
        return Err(PgError::new("3F000", message).into());
    }
    let context = StatementContext {
        epoch: snapshot.epoch.0,
        settings: Arc::clone(&facts.settings),
        transaction_time_us: 0,
        time_left_ms: None,
    };
    let only = match &import.tables {
        ImportedTables::Only(names) => names.clone(),
        ImportedTables::All | ImportedTables::Except(_) => Vec::new(),
    };
    let options = engine_options(import, snapshot, &shard)?;
    let namespace = Some(import.schema.clone());
    let query = NodeQuery::Inspect(Inspect { namespace, only, options });
    let statement = Arc::new(NodeStatement::new(query, Vec::new()));
    let connection = cluster.connect(&shard).await?;
    let (parameters, formats) = (Parameters::default(), ResultFormats::default());
    let mut stream =
        connection.execute(&context, &statement, &parameters, &formats, facts.cancel).await;
    let mut found = Vec::new();
    loop {
        let batch = stream.next().await.map_err(|error| name_shard(&shard, error))?;
        let Some(batch) = batch else { break };
        for row in batch.iter() {
            let json = row.columns().next().flatten().unwrap_or_default();
            let one: Found = serde_json::from_slice(json).map_err(|error| {
                PgError::internal(format!("a finding of an inspection cannot be read: {error}"))
            })?;
            found.push(one);
        }
    }
    drop(stream.into_connection());
    if found.is_empty() {
        let message = format!(
            "schema \"{}\" is not present on foreign server \"{}\"",
            import.schema, import.server
        );
        return Err(PgError::new("HV00P", message).into());
    }
    let tables = found.into_iter().filter_map(|one| match one {
        Found::Table(table) => Some(*table),
        Found::Namespace(_) => None,
    });
    Ok(tables
        .filter(|table| match &import.tables {
            ImportedTables::All => true,
            ImportedTables::Only(names) => names.contains(&table.name),
            ImportedTables::Except(names) => !names.contains(&table.name),
        })
        .collect())
}

/// Refuses what would change a table that belongs to others.
pub(super) fn refuse_adopted(collection: &Collection, name: &str, word: &str) -> Result<()> {
    let Some(adopted) = &collection.adopted else { return Ok(()) };
    let (namespace, table) = (&adopted.namespace, &adopted.name);
    Err(PgError::unsupported(format!("{word} of the adopted table \"{name}\" is not supported"))
        .with_detail(format!("It is {namespace}.{table} of another database, which keeps its shape."))
        .with_hint("Change the table there, then DROP TABLE here, which leaves it, and IMPORT FOREIGN SCHEMA again."))
}

impl Draft<'_> {
    /// Adopts tables that were found.
    pub(super) fn import_schema(
        &mut self,
        import: &ImportSchema,
        found: Vec<FoundTable>,
    ) -> Result<()> {
        self.tag("IMPORT FOREIGN SCHEMA");
        let shard = server(import, self.snapshot)?;
        let named = matches!(import.tables, ImportedTables::Only(_));
        let mut adopted: Vec<(FoundTable, Collection)> = Vec::new();
        let mut enums: Vec<(String, EnumType)> = Vec::new();
        for table in found {
            let known_enums = enums.len();
            let outcome = self
                .check_adoptable(&import.into, &table)
                .and_then(|()| self.adopt(&import.into, &table, &shard, &mut enums));
            match outcome {
                Ok(collection) => adopted.push((table, collection)),
                // A name that is taken is for the user to decide about.
                Err(error) if named || error.sqlstate() != "0A000" => return Err(error),
                Err(error) => {
                    enums.truncate(known_enums);
                    let mut report = Report::new(Severity::Warning, "01000", error.message());
                    report.hint = Some("The other tables are imported.".to_owned());
                    self.work.notices.push(report);
                }
            }
        }
        self.tie(&import.into, &mut adopted);
        for (name, found) in enums {
            let at = self.place(&import.into, &name);
            self.change(Change::Create { at, object: Object::Enum(found) });
        }
        // A table is made after those that its foreign keys name.
        let mut left = adopted;
        let mut made: BTreeSet<String> = BTreeSet::new();
        while !left.is_empty() {
            let is_free = |one: &(FoundTable, Collection)| {
                one.1.constraints.iter().all(|constraint| match &constraint.kind {
                    ConstraintKind::ForeignKey { references: (schema, name), .. } => {
                        *name == one.0.name && *schema == import.into
                            || made.contains(name)
                            || self.database.collection(schema, name).is_some()
                    }
                    _ => true,
                })
            };
            let place = match left.iter().position(is_free) {
                Some(place) => place,
                None => {
                    // A circle: one of its keys is kept by the database alone.
                    let constraints = &mut left[0].1.constraints;
                    constraints
                        .retain(|one| !matches!(one.kind, ConstraintKind::ForeignKey { .. }));
                    0
                }
            };
            let (table, collection) = left.remove(place);
            made.insert(table.name.clone());
            self.make_adopted(&import.into, &shard, table, collection)?;
        }
        Ok(())
    }

    /// Refuses a table that cannot be adopted, with all the reasons.
    fn check_adoptable(&self, schema: &str, table: &FoundTable) -> Result<()> {
        let mut reasons = table.refusals.clone();
        if table.name.len() > NAME_BYTES_MAX {
            reasons.push(format!("its name is longer than {NAME_BYTES_MAX} bytes"));
        }
        let names = table.constraints.iter().map(|one| &one.name);
        let names = names.chain(table.indexes.iter().map(|one| &one.name));
        for name in names.filter(|name| name.len() > NAME_BYTES_MAX) {
            reasons.push(format!("the name \"{name}\" is longer than {NAME_BYTES_MAX} bytes"));
        }
        for field in &table.fields {
            if let Some(reason) = &field.refusal {
                reasons.push(format!("column \"{}\": {reason}", field.name));
            }
            if field.name.len() > NAME_BYTES_MAX {
                let name = &field.name;
                reasons.push(format!("the name \"{name}\" is longer than {NAME_BYTES_MAX} bytes"));
            }
            if let Err(error) = check_column_name(&field.name) {
                reasons.push(error.message().to_owned());
            }
        }
        if !reasons.is_empty() {
            return Err(PgError::unsupported(format!(
                "table \"{}\" cannot be adopted: {}",
                table.name,
                reasons.join("; ")
            )));
        }
        if let Some(content) = self.database.schemas.get(schema)
            && !content.is_free(&table.name)
        {
            let message = format!("relation \"{}\" already exists", table.name);
            return Err(PgError::new("42P07", message));
        }
        self.check_type_free(schema, &table.name)
    }

    /// The collection that a table becomes, without its foreign keys.
    fn adopt(
        &mut self,
        schema: &str,
        table: &FoundTable,
        shard: &ShardRef,
        enums: &mut Vec<(String, EnumType)>,
    ) -> Result<Collection> {
        let mut collection = self.empty_collection(shard.datastore.clone());
        collection.placement = Placement::Single { shard: shard.shard };
        collection.adopted = Some(Adopted {
            namespace: table.namespace.clone(),
            name: table.name.clone(),
            collated: table
                .fields
                .iter()
                .filter(|field| field.collated)
                .map(|field| field.name.clone())
                .collect(),
        });
        for field in &table.fields {
            let type_oid = match &field.labels {
                Some((name, labels)) => self.adopted_enum(schema, table, name, labels, enums)?,
                None => field.type_oid,
            };
            let number = collection.next_field_number;
            collection.next_field_number = number.saturating_add(1);
            let mut made = Field {
                name: field.name.clone(),
                number,
                type_oid,
                typmod: field.typmod,
                not_null: field.not_null,
                default: FieldDefault::None,
                comment: field.comment.clone(),
            };
            made.default = self.adopted_default(&made, field);
            collection.fields.push(made);
        }
        for field in &collection.fields {
            let shard = self.capabilities.of(shard);
            if let Some(capability) = shard
                && let Err(reason) = capability.stores(type_of(field))
                && !TypeId(field.type_oid).is_user()
            {
                return Err(PgError::unsupported(format!(
                    "table \"{}\" cannot be adopted: column \"{}\": {reason}",
                    table.name, field.name
                )));
            }
        }
        for constraint in &table.constraints {
            let kind = match constraint.kind {
                FoundConstraintKind::PrimaryKey => {
                    ConstraintKind::PrimaryKey { fields: constraint.fields.clone() }
                }
                FoundConstraintKind::Unique => ConstraintKind::Unique {
                    fields: constraint.fields.clone(),
                    nulls_not_distinct: constraint.nulls_not_distinct,
                },
                FoundConstraintKind::Check => {
                    let Some(expr) = constraint.expr.clone() else { continue };
                    let bound = self.bind_stored(&expr, schema, &table.name, &collection);
                    // What is not understood here is kept there all the same.
                    if !bound.is_ok_and(|bound| bound.type_id() == TypeId::BOOL) {
                        continue;
                    }
                    ConstraintKind::Check { expr }
                }
                FoundConstraintKind::ForeignKey => continue,
            };
            let oid = self.oids.object();
            collection.constraints.push(Constraint { name: constraint.name.clone(), oid, kind });
        }
        for index in &table.indexes {
            let key = |(expr, descending, nulls_first): &(String, bool, bool)| IndexKey {
                expr: expr.clone(),
                descending: *descending,
                nulls_first: *nulls_first,
            };
            collection.indexes.push(Index {
                name: index.name.clone(),
                oid: self.oids.object(),
                unique: index.unique,
                nulls_not_distinct: index.nulls_not_distinct,
                method: "btree".to_owned(),
                keys: index.keys.iter().map(key).collect(),
                include: Vec::new(),
                filter: None,
                comment: None,
            });
        }
        Ok(collection)
    }

    /// The enum that a column's own becomes: one of the same labels here, or a new one.
    fn adopted_enum(
        &mut self,
        schema: &str,
        table: &FoundTable,
        name: &str,
        labels: &[String],
        enums: &mut Vec<(String, EnumType)>,
    ) -> Result<u32> {
        let new = enums.iter().find(|(known, _)| known == name).map(|(_, found)| found);
        if let Some(found) = new.or_else(|| self.database.enum_type(schema, name)) {
            if found.labels == labels {
                return Ok(found.oid.0);
            }
            return Err(PgError::unsupported(format!(
                "table \"{}\" cannot be adopted: its type {name} has other labels than the type {name} of schema \"{schema}\"",
                table.name
            )));
        }
        if self.database.schemas.get(schema).is_some_and(|content| !content.is_free(name)) {
            return Err(PgError::unsupported(format!(
                "table \"{}\" cannot be adopted: the name of its type {name} is taken in schema \"{schema}\"",
                table.name
            )));
        }
        let oid = self.oids.object();
        let array_oid = self.oids.object();
        enums.push((name.to_owned(), EnumType { oid, array_oid, labels: labels.to_vec() }));
        Ok(oid.0)
    }

    /// What an INSERT that leaves the column out gets: a constant is computed here, the rest is left to its database.
    fn adopted_default(&self, made: &Field, found: &FoundField) -> FieldDefault {
        let Some(filled) = found.filled else { return FieldDefault::None };
        let text = found.default.clone().unwrap_or_default();
        let kind = match filled {
            Filled::Constant if self.is_constant(&text, made) => {
                return FieldDefault::Expr(text);
            }
            Filled::Constant | Filled::Default => SourceDefault::Default,
            Filled::IdentityByDefault => SourceDefault::IdentityByDefault,
            Filled::IdentityAlways => SourceDefault::IdentityAlways,
            Filled::Generated => SourceDefault::Generated,
        };
        FieldDefault::Source { text, kind }
    }

    fn is_constant(&self, text: &str, field: &Field) -> bool {
        if TypeId(field.type_oid).is_user() {
            return false;
        }
        let Ok(expr) = parse_expression(text) else { return false };
        self.check_default(&expr, field).is_ok_and(|bound| {
            matches!(bound, Expr::Const(_)) || dataman_pg::eval::fold(&bound).is_some()
        })
    }

    /// Adds the foreign keys between tables that are adopted now or were before.
    fn tie(&mut self, schema: &str, adopted: &mut [(FoundTable, Collection)]) {
        let mut found: Vec<(usize, FoundConstraint, (String, String))> = Vec::new();
        for (place, (table, collection)) in adopted.iter().enumerate() {
            for constraint in &table.constraints {
                let Some((namespace, name)) = &constraint.references else { continue };
                let is_new = |one: &(FoundTable, Collection)| {
                    one.0.namespace == *namespace && one.0.name == *name
                };
                let to = if adopted.iter().any(is_new) {
                    Some((schema.to_owned(), name.clone()))
                } else {
                    let is_it = |known: &Collection| {
                        known.datastore == collection.datastore
                            && known.placement == collection.placement
                            && known.adopted.as_ref().is_some_and(|known| {
                                known.namespace == *namespace && known.name == *name
                            })
                    };
                    let mut known = self.database.collections();
                    known
                        .find(|(_, _, known)| is_it(known))
                        .map(|(schema, name, _)| (schema.to_owned(), name.to_owned()))
                };
                found.extend(to.map(|to| (place, constraint.clone(), to)));
            }
        }
        for (place, constraint, to) in found {
            let oid = self.oids.object();
            let kind = ConstraintKind::ForeignKey {
                fields: constraint.fields,
                references: to,
                references_fields: constraint.references_fields,
                on_delete: constraint.on_delete,
                on_update: constraint.on_update,
            };
            adopted[place].1.constraints.push(Constraint { name: constraint.name, oid, kind });
        }
    }

    fn make_adopted(
        &mut self,
        schema: &str,
        shard: &ShardRef,
        table: FoundTable,
        mut collection: Collection,
    ) -> Result<()> {
        collection.id = self.oids.collection();
        // A PostgreSQL is told with each statement where the table is; others keep it in their catalogue.
        if !self.capabilities.of(shard).is_some_and(|capability| capability.takes_sql()) {
            let shard_instance = self.instance(shard.shard);
            let mut shape = self.shape(schema, &table.name, &collection)?;
            shape.target.shard_instance.clone_from(&shard_instance);
            self.step(When::First, shard.clone(), Definition::CreateInstance { shard_instance });
            let found = Box::new(table.clone());
            self.step(When::Before, shard.clone(), Definition::Adopt { shape, found });
        }
        let at = self.place(schema, &table.name);
        self.change(Change::Create { at, object: Object::Collection(collection) });
        Ok(())
    }
}
