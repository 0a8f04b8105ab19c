//! How a list of changes makes the next snapshot.

use std::collections::BTreeMap;

use super::{Change, ChangeError, Object, ObjectKind, ObjectName};
use crate::id::{DatabaseId, Epoch};
use crate::schema::{ConstraintKind, Database, FieldDefault, Schema};
use crate::snapshot::{FIRST_OID, Snapshot};
use crate::topology::Datastore;

impl Snapshot {
    /// Makes the snapshot of the next epoch.
    ///
    /// # Errors
    /// When a change does not fit or what comes out would break a rule of [`Snapshot::check`].
    pub fn apply(&self, changes: &[Change]) -> Result<Self, ChangeError> {
        let mut next = self.clone();
        for change in changes {
            next.apply_one(change)?;
        }
        next.epoch = Epoch(self.epoch.0 + 1);
        next.raise_next_oid(self)?;
        next.check()?;
        Ok(next)
    }

    fn apply_one(&mut self, change: &Change) -> Result<(), ChangeError> {
        match change {
            Change::PutNode(node) => {
                self.nodes.insert(node.id.clone(), node.clone());
            }
            Change::DropNode(id) => remove(&mut self.nodes, id, "node")?,
            Change::PutDatastore(datastore) => self.put_datastore(datastore)?,
            Change::DropDatastore(id) => remove(&mut self.datastores, id, "datastore")?,
            Change::PutRole(role) => {
                self.roles.insert(role.name.clone(), role.clone());
            }
            Change::PutDefaults(defaults) => {
                self.defaults.retain(|one| one.place() != defaults.place());
                if !defaults.values.is_empty() {
                    self.defaults.push(defaults.clone());
                    self.defaults.sort_by(|left, right| left.place().cmp(&right.place()));
                }
            }
            Change::DropRole(name) => {
                remove(&mut self.roles, name, "role")?;
                self.defaults.retain(|one| one.role.as_ref() != Some(name));
            }
            Change::CreateDatabase(database) => {
                insert(&mut self.databases, &database.id, database.clone(), "database")?;
            }
            Change::AlterDatabase { database, datastore, shard_keys, owner } => {
                let found = self.database_mut(database)?;
                found.datastore = datastore.clone();
                found.shard_keys.clone_from(shard_keys);
                found.owner.clone_from(owner);
            }
            Change::DropDatabase(id) => {
                remove(&mut self.databases, id, "database")?;
                self.defaults.retain(|one| one.database.as_ref() != Some(id));
            }
            Change::CreateSchema { database, schema, content } => {
                insert(
                    &mut self.database_mut(database)?.schemas,
                    schema,
                    content.clone(),
                    "schema",
                )?;
            }
            Change::CommentSchema { database, schema, comment } => {
                self.schema_mut(database, schema)?.comment.clone_from(comment);
            }
            Change::DropSchema { database, schema } => {
                if !self.schema_mut(database, schema)?.is_empty() {
                    return Err(ChangeError::SchemaNotEmpty { schema: schema.clone() });
                }
                remove(&mut self.database_mut(database)?.schemas, schema, "schema")?;
            }
            Change::Create { at, object } => {
                let schema = self.schema_mut(&at.database, &at.schema)?;
                if object.kind() != ObjectKind::Enum && !schema.is_free(&at.name) {
                    return Err(ChangeError::Exists { kind: "relation", name: at.name.clone() });
                }
                match object.clone() {
                    Object::Collection(object) => {
                        insert(&mut schema.collections, &at.name, object, "relation")?
                    }
                    Object::View(object) => {
                        insert(&mut schema.views, &at.name, object, "relation")?
                    }
                    Object::Sequence(object) => {
                        insert(&mut schema.sequences, &at.name, object, "relation")?
                    }
                    Object::Enum(object) => insert(&mut schema.enums, &at.name, object, "type")?,
                }
            }
            Change::Replace { at, object } => {
                let schema = self.schema_mut(&at.database, &at.schema)?;
                match object.clone() {
                    Object::Collection(object) => {
                        replace(&mut schema.collections, &at.name, object, "relation")?
                    }
                    Object::View(object) => {
                        replace(&mut schema.views, &at.name, object, "relation")?
                    }
                    Object::Sequence(object) => {
                        replace(&mut schema.sequences, &at.name, object, "relation")?
                    }
                    Object::Enum(object) => replace(&mut schema.enums, &at.name, object, "type")?,
                }
            }
            Change::PutUnfinished(work) => {
                self.unfinished.insert(work.id.clone(), work.clone());
            }
            Change::DropUnfinished(id) => remove(&mut self.unfinished, id, "unfinished work")?,
            Change::Rename { at, kind, to } => self.rename(at, *kind, to)?,
            Change::Drop { at, kind } => {
                let schema = self.schema_mut(&at.database, &at.schema)?;
                match kind {
                    ObjectKind::Collection => remove(&mut schema.collections, &at.name, "table")?,
                    ObjectKind::View => remove(&mut schema.views, &at.name, "view")?,
                    ObjectKind::Sequence => remove(&mut schema.sequences, &at.name, "sequence")?,
                    ObjectKind::Enum => remove(&mut schema.enums, &at.name, "type")?,
                }
            }
        }
        Ok(())
    }

    fn put_datastore(&mut self, wanted: &Datastore) -> Result<(), ChangeError> {
        if let Some(found) = self.datastores.get(&wanted.id) {
            let datastore = wanted.id.clone();
            if found.vshards != wanted.vshards {
                return Err(ChangeError::VshardsFixed {
                    datastore,
                    found: found.vshards,
                    wanted: wanted.vshards,
                });
            }
            if found.shards.len() > wanted.shards.len() {
                let (found, wanted) = (found.shards.len(), wanted.shards.len());
                return Err(ChangeError::ShardsRemoved { datastore, found, wanted });
            }
        }
        self.datastores.insert(wanted.id.clone(), wanted.clone());
        Ok(())
    }

    fn rename(&mut self, at: &ObjectName, kind: ObjectKind, to: &str) -> Result<(), ChangeError> {
        let schema = self.schema_mut(&at.database, &at.schema)?;
        if kind != ObjectKind::Enum && !schema.is_free(to) {
            return Err(ChangeError::Exists { kind: "relation", name: to.to_owned() });
        }
        let to = to.to_owned();
        match kind {
            ObjectKind::Collection => {
                rename_key(&mut schema.collections, &at.name, &to, "relation")?
            }
            ObjectKind::View => rename_key(&mut schema.views, &at.name, &to, "relation")?,
            ObjectKind::Sequence => rename_key(&mut schema.sequences, &at.name, &to, "relation")?,
            ObjectKind::Enum => rename_key(&mut schema.enums, &at.name, &to, "type")?,
        }
        let database = self.database_mut(&at.database)?;
        match kind {
            ObjectKind::Collection => database.follow_collection(at, &to),
            ObjectKind::Sequence => database.follow_sequence(at, &to),
            ObjectKind::View | ObjectKind::Enum => {}
        }
        Ok(())
    }

    fn database_mut(&mut self, id: &DatabaseId) -> Result<&mut Database, ChangeError> {
        self.databases
            .get_mut(id)
            .ok_or_else(|| ChangeError::Missing { kind: "database", name: id.to_string() })
    }

    fn schema_mut(
        &mut self,
        database: &DatabaseId,
        schema: &str,
    ) -> Result<&mut Schema, ChangeError> {
        let found = self.database_mut(database)?.schemas.get_mut(schema);
        found.ok_or_else(|| ChangeError::Missing { kind: "schema", name: schema.to_owned() })
    }

    /// Raises `next_oid` above every OID, and refuses a new object with an OID that an earlier one may have had.
    fn raise_next_oid(&mut self, before: &Self) -> Result<(), ChangeError> {
        let first_free = before.next_oid.max(FIRST_OID);
        let mut next = first_free;
        let mut known = None;
        for (oid, what) in self.oids_used() {
            if oid >= first_free {
                next = next.max(oid.saturating_add(1));
            } else if oid >= FIRST_OID {
                let known = known.get_or_insert_with(|| {
                    before.oids_used().map(|(oid, _)| oid).collect::<std::collections::HashSet<_>>()
                });
                if !known.contains(&oid) {
                    return Err(ChangeError::OidUsed { oid, what, next: first_free });
                }
            }
        }
        self.next_oid = next;
        Ok(())
    }
}

impl Database {
    /// Lets what refers to a collection by name follow its new name.
    fn follow_collection(&mut self, at: &ObjectName, to: &str) {
        for schema in self.schemas.values_mut() {
            for collection in schema.collections.values_mut() {
                for constraint in &mut collection.constraints {
                    if let ConstraintKind::ForeignKey { references, .. } = &mut constraint.kind
                        && references.0 == at.schema
                        && references.1 == at.name
                    {
                        to.clone_into(&mut references.1);
                    }
                }
            }
            for sequence in schema.sequences.values_mut() {
                if let Some((schema, table, _)) = &mut sequence.owned_by
                    && *schema == at.schema
                    && *table == at.name
                {
                    to.clone_into(table);
                }
            }
        }
    }

    /// Lets field defaults follow a sequence's new name.
    fn follow_sequence(&mut self, at: &ObjectName, to: &str) {
        let (before, after) = (format!("{}.{}", at.schema, at.name), format!("{}.{to}", at.schema));
        for schema in self.schemas.values_mut() {
            for field in
                schema.collections.values_mut().flat_map(|collection| &mut collection.fields)
            {
                if let FieldDefault::Serial(sequence) | FieldDefault::Identity { sequence, .. } =
                    &mut field.default
                    && *sequence == before
                {
                    sequence.clone_from(&after);
                }
            }
        }
    }
}

fn insert<K: Ord + Clone + std::fmt::Display, V>(
    map: &mut BTreeMap<K, V>,
    name: &K,
    value: V,
    kind: &'static str,
) -> Result<(), ChangeError> {
    if map.contains_key(name) {
        return Err(ChangeError::Exists { kind, name: name.to_string() });
    }
    map.insert(name.clone(), value);
    Ok(())
}

fn replace<V>(
    map: &mut BTreeMap<String, V>,
    name: &str,
    value: V,
    kind: &'static str,
) -> Result<(), ChangeError> {
    let found =
        map.get_mut(name).ok_or_else(|| ChangeError::Missing { kind, name: name.to_owned() })?;
    *found = value;
    Ok(())
}

fn remove<K: Ord + std::fmt::Display, V>(
    map: &mut BTreeMap<K, V>,
    name: &K,
    kind: &'static str,
) -> Result<(), ChangeError> {
    map.remove(name).map(drop).ok_or_else(|| ChangeError::Missing { kind, name: name.to_string() })
}

fn rename_key<V>(
    map: &mut BTreeMap<String, V>,
    from: &str,
    to: &str,
    kind: &'static str,
) -> Result<(), ChangeError> {
    if map.contains_key(to) {
        return Err(ChangeError::Exists { kind, name: to.to_owned() });
    }
    let value =
        map.remove(from).ok_or_else(|| ChangeError::Missing { kind, name: from.to_owned() })?;
    map.insert(to.to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{NodeId, ObjectId, ShardId};
    use crate::sample::{self, DATABASE, named};
    use crate::schema::{
        Collection, Constraint, EnumType, FieldDefault, HashMethod, Index, IndexKey, Keyspace,
        KeyspaceMethod, Placement, Role, SessionDefaults, View,
    };
    use crate::topology::Replication;

    /// A cluster with the sharded tables `orders` and `items`, and a sequence `ids`, at epoch 2.
    fn cluster() -> Snapshot {
        let first = Snapshot::empty().apply(&sample::cluster(4)).unwrap();
        let mut oids = first.oids();
        let changes = [
            sample::create_table(&mut oids, "orders"),
            sample::create_table(&mut oids, "items"),
            Change::Create {
                at: named("ids"),
                object: Object::Sequence(sample::sequence(&mut oids)),
            },
        ];
        first.apply(&changes).unwrap()
    }

    fn check(changes: &[Change], expected: &str) {
        let before = cluster();
        let found =
            before.apply(changes).map_or_else(|error| error.to_string(), |_| "fine".to_owned());
        assert_eq!(found, expected);
    }

    /// Replaces the table `orders` by one that has been edited.
    fn check_orders(edit: impl FnOnce(&mut Collection), expected: &str) {
        let mut orders = cluster().collection(DATABASE, "public", "orders").unwrap().clone();
        edit(&mut orders);
        check(
            &[Change::Replace { at: named("orders"), object: Object::Collection(orders) }],
            expected,
        );
    }

    fn oid(past: u32) -> ObjectId {
        ObjectId(cluster().next_oid + past)
    }

    fn constraint(name: &str, kind: ConstraintKind) -> Constraint {
        Constraint { name: name.to_owned(), oid: oid(0), kind }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn foreign_key(fields: &[&str], table: &str, references: &[&str]) -> Constraint {
        let kind = ConstraintKind::ForeignKey {
            fields: names(fields),
            references: ("public".to_owned(), table.to_owned()),
            references_fields: names(references),
            on_delete: "no action".to_owned(),
            on_update: "no action".to_owned(),
        };
        constraint("fk", kind)
    }

    fn index(name: &str, unique: bool, keys: &[&str]) -> Index {
        let key = |expr: &&str| IndexKey {
            expr: (*expr).to_owned(),
            descending: false,
            nulls_first: false,
        };
        Index {
            name: name.to_owned(),
            oid: oid(0),
            unique,
            nulls_not_distinct: false,
            method: "btree".to_owned(),
            keys: keys.iter().map(key).collect(),
            include: Vec::new(),
            filter: None,
            comment: None,
        }
    }

    #[test]
    fn names_are_one_namespace() {
        let table = |name: &str| sample::create_table(&mut cluster().oids(), name);
        check(&[table("orders")], "relation \"orders\" already exists");
        check(&[table("ids")], "relation \"ids\" already exists");
        check(&[table("orders_pkey")], "relation \"orders_pkey\" already exists");
        check_orders(
            |orders| orders.indexes.push(index("items", false, &["id"])),
            "relation \"items\": it is there twice in schema \"public\"",
        );
        let found = EnumType { oid: oid(0), array_oid: oid(1), labels: names(&["a"]) };
        let create = Change::Create { at: named("items"), object: Object::Enum(found) };
        check(&[create], "type \"items\": a relation has an associated type of the same name");
        check(
            &[table(&"x".repeat(60)), table("y")],
            "table \"y\": its OID 16390 is also table \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"'s",
        );
    }

    #[test]
    fn references_exist() {
        check_orders(
            |orders| orders.datastore = "none".into(),
            "table \"orders\": its datastore \"none\" does not exist",
        );
        check_orders(
            |orders| orders.owner = "none".into(),
            "table \"orders\": its owner \"none\" is not a role",
        );
        check_orders(
            |orders| orders.placement = Placement::Single { shard: ShardId(4) },
            "table \"orders\": shard 4 is not one of the 4 of datastore \"main\"",
        );
        check_orders(
            |orders| orders.fields[2].default = FieldDefault::Serial("public.none".to_owned()),
            "table \"orders\": column \"name\" takes numbers from \"public.none\", which does not exist",
        );
        check_orders(
            |orders| orders.fields[2].default = FieldDefault::Serial("public.ids".to_owned()),
            "fine",
        );
        check_orders(
            |orders| orders.fields[2].type_oid = 20_000,
            "table \"orders\": column \"name\" has the type 20000, which does not exist",
        );
        check(
            &[Change::DropRole(DATABASE.to_owned())],
            "database \"shop\": its owner \"shop\" is not a role",
        );
        check(
            &[Change::DropNode(NodeId::from("local"))],
            "datastore \"main\": its shard 0 is on the datasource \"local/sqlite0\", which does not exist",
        );
        check(
            &[Change::Drop { at: named("none"), kind: ObjectKind::View }],
            "view \"none\" does not exist",
        );
        let database = DatabaseId::from(DATABASE);
        check(
            &[Change::DropSchema { database, schema: "public".to_owned() }],
            "schema \"public\" is not empty",
        );
        check(&[Change::DropDatabase(DatabaseId::from(DATABASE))], "fine");
    }

    #[test]
    fn shard_keys() {
        let hash = |fields: &[&str], method| {
            Placement::Sharded(Keyspace {
                fields: names(fields),
                method: KeyspaceMethod::Hash(method),
            })
        };
        check_orders(
            |orders| orders.placement = hash(&["none"], HashMethod::Xxh3),
            "table \"orders\": its shard key \"none\" is not one of its columns",
        );
        check_orders(
            |orders| {
                orders.constraints.clear();
                orders.placement = hash(&["name"], HashMethod::Xxh3);
            },
            "table \"orders\": its shard key \"name\" must be NOT NULL, for a row without one has no shard",
        );
        check_orders(
            |orders| {
                orders.constraints.clear();
                orders.fields[2].not_null = true;
                orders.placement = hash(&["name"], HashMethod::Cast);
            },
            "table \"orders\": hash \"cast\" needs a shard key of one integer column",
        );
        check_orders(
            |orders| {
                orders.constraints.clear();
                orders.fields[1].type_oid = 701;
                orders.placement = hash(&["id"], HashMethod::Xxh3);
            },
            "table \"orders\": its shard key \"id\" is of a type (OID 701) that cannot be hashed exactly",
        );
        check_orders(
            |orders| {
                orders.constraints[0].kind = ConstraintKind::PrimaryKey { fields: names(&["id"]) }
            },
            "fine",
        );
        check_orders(|orders| orders.indexes.push(index("i", true, &["name"])), "fine");
        check_orders(
            |orders| orders.indexes.push(index("i", true, &["lower(name)"])),
            "table \"orders\": its unique key \"i\" has an expression, and lacks the shard key",
        );
        check_orders(
            |orders| {
                let mut partial = index("i", true, &["name"]);
                partial.filter = Some("id > 0".to_owned());
                orders.indexes.push(partial);
            },
            "table \"orders\": its unique index \"i\" is partial, and lacks the shard key",
        );
        check_orders(
            |orders| {
                let mut alike = index("i", true, &["name"]);
                alike.nulls_not_distinct = true;
                orders.indexes.push(alike);
            },
            "table \"orders\": its unique key \"i\" takes NULLs for alike, and lacks the shard key",
        );
        check_orders(
            |orders| orders.indexes.push(index("i", true, &["lower(name)", "tenant_id"])),
            "fine",
        );
    }

    #[test]
    fn foreign_keys() {
        let co_located = foreign_key(&["tenant_id", "id"], "items", &["tenant_id", "id"]);
        check_orders(|orders| orders.constraints.push(co_located), "fine");
        let crossed = foreign_key(&["id", "tenant_id"], "items", &["tenant_id", "id"]);
        check_orders(
            |orders| orders.constraints.push(crossed),
            "table \"orders\": \"fk\" refers to public.items, whose rows may be on another shard",
        );
        let part = foreign_key(&["tenant_id"], "items", &["tenant_id"]);
        check_orders(
            |orders| orders.constraints.push(part),
            "table \"orders\": \"fk\" refers to columns that no unique constraint covers",
        );
        let none = foreign_key(&["tenant_id"], "none", &["tenant_id"]);
        check_orders(
            |orders| orders.constraints.push(none),
            "table \"orders\": \"fk\" refers to public.none, which does not exist",
        );
    }

    #[test]
    fn dropping_what_is_referred_to() {
        let mut orders = cluster().collection(DATABASE, "public", "orders").unwrap().clone();
        orders.constraints.push(foreign_key(&["tenant_id", "id"], "items", &["tenant_id", "id"]));
        let with_key = Change::Replace { at: named("orders"), object: Object::Collection(orders) };
        let drop = |name: &str| Change::Drop { at: named(name), kind: ObjectKind::Collection };
        check(
            &[with_key.clone(), drop("items")],
            "table \"orders\": \"fk\" refers to public.items, which does not exist",
        );
        check(&[with_key, drop("items"), drop("orders")], "fine");
    }

    #[test]
    fn renaming_is_followed() {
        let before = cluster();
        let mut orders = before.collection(DATABASE, "public", "orders").unwrap().clone();
        orders.constraints.push(foreign_key(&["tenant_id", "id"], "items", &["tenant_id", "id"]));
        orders.fields[2].default = FieldDefault::Serial("public.ids".to_owned());
        let rename = |name: &str, kind, to: &str| Change::Rename {
            at: named(name),
            kind,
            to: to.to_owned(),
        };
        let after = before
            .apply(&[
                Change::Replace { at: named("orders"), object: Object::Collection(orders) },
                rename("items", ObjectKind::Collection, "things"),
                rename("ids", ObjectKind::Sequence, "numbers"),
            ])
            .unwrap();
        let orders = after.collection(DATABASE, "public", "orders").unwrap();
        assert_eq!(orders.fields[2].default, FieldDefault::Serial("public.numbers".to_owned()));
        let key = orders.constraint("fk").unwrap();
        assert!(
            matches!(&key.kind, ConstraintKind::ForeignKey { references, .. } if references.1 == "things")
        );
        check(
            &[rename("items", ObjectKind::Collection, "orders")],
            "relation \"orders\" already exists",
        );
    }

    #[test]
    fn a_view_must_be_replaced_with_what_it_reads() {
        let view = |table: &str| {
            let (query, owner) = (format!("SELECT id FROM public.{table}"), DATABASE.to_owned());
            let depends = vec![("public".to_owned(), table.to_owned())];
            Object::View(View {
                oid: oid(0),
                query,
                columns: names(&["id"]),
                depends,
                comment: None,
                owner,
            })
        };
        let create = Change::Create { at: named("v"), object: view("orders") };
        let (kind, to) = (ObjectKind::Collection, "sales".to_owned());
        let rename = Change::Rename { at: named("orders"), kind, to };
        check(
            &[create.clone(), rename.clone()],
            "view \"v\": it reads \"public.orders\", which does not exist",
        );
        check(&[create, rename, Change::Replace { at: named("v"), object: view("sales") }], "fine");
    }

    #[test]
    fn what_sessions_begin_with_goes_with_whose_it_is() {
        let defaults = |database: Option<&str>, role: Option<&str>, value: &str| {
            Change::PutDefaults(SessionDefaults {
                database: database.map(Into::into),
                role: role.map(str::to_owned),
                values: vec![("work_mem".to_owned(), value.to_owned())],
            })
        };
        check(
            &[defaults(Some("none"), None, "1MB")],
            "what sessions begin with: the database \"none\" does not exist",
        );
        check(
            &[defaults(None, Some("none"), "1MB")],
            "what sessions begin with: the role \"none\" does not exist",
        );
        let before = cluster();
        let ann = Role { name: "ann".to_owned(), ..before.roles[DATABASE].clone() };
        let ann = Role { oid: before.oids().object(), ..ann };
        let after = before
            .apply(&[
                Change::PutRole(ann),
                defaults(Some(DATABASE), Some("ann"), "3MB"),
                defaults(None, Some("ann"), "2MB"),
                defaults(None, None, "1MB"),
                defaults(Some(DATABASE), None, "1GB"),
            ])
            .unwrap();
        let value = |database, role| after.session_defaults(database, role)[0].1.as_str();
        assert_eq!(value(None, None), "1MB");
        assert_eq!(value(None, Some("ann")), "2MB");
        assert_eq!(value(Some(DATABASE), Some("ann")), "3MB");
        let none = Change::PutDefaults(SessionDefaults::default());
        let left = after.apply(&[Change::DropRole("ann".to_owned()), none]).unwrap();
        assert_eq!(left.defaults.len(), 1);
        assert_eq!(left.session_defaults(Some(DATABASE), None)[0].1, "1GB");
    }

    #[test]
    fn datastores_keep_what_rows_were_placed_by() {
        let datastore = |edit: &dyn Fn(&mut Datastore)| {
            let mut datastore = cluster().datastore("main").unwrap().clone();
            edit(&mut datastore);
            Change::PutDatastore(datastore)
        };
        check(
            &[datastore(&|main| main.vshards = 8)],
            "datastore \"main\" has 4096 vshards, which cannot become 8",
        );
        check(
            &[datastore(&|main| drop(main.shards.pop()))],
            "datastore \"main\" has 4 shards and cannot be cut to 3",
        );
        check(
            &[datastore(&|main| main.vshard_map.truncate(4095))],
            "datastore \"main\": its vshard map has 4095 entries for 4096 vshards",
        );
        check(
            &[datastore(&|main| main.vshard_map[7] = ShardId(4))],
            "datastore \"main\": shard 4 is not one of the 4 of datastore \"main\"",
        );
        check(
            &[datastore(&|main| main.shards[1].replicas = vec![main.shards[1].primary.clone()])],
            "datastore \"main\": its shard 1 has two copies on the datasource \"local/sqlite1\"",
        );
        check(
            &[datastore(&|main| main.id = "other".into())],
            "datastore \"other\": its shard 0 is on the datasource \"local/sqlite0\" like shard 0 of the datastore \"main\", \
             and their tables would mix",
        );
        check(&[datastore(&|main| main.replication = Replication::Dataman)], "fine");
    }

    #[test]
    fn oids_are_never_used_again() {
        let before = cluster();
        let drop = Change::Drop { at: named("items"), kind: ObjectKind::Collection };
        let after = before.apply(&[drop]).unwrap();
        assert_eq!(after.next_oid, before.next_oid);
        let mut stale = Snapshot::empty().apply(&sample::cluster(4)).unwrap().oids();
        stale.collection();
        stale.object();
        let reused = sample::create_table(&mut stale, "items");
        let error = after.apply(&[reused]).unwrap_err().to_string();
        assert_eq!(
            error,
            "the OID 16387 of table \"items\" has been used before; the next free one is 16390"
        );
    }
}
