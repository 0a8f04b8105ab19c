//! CREATE, ALTER, DROP → metadata change, then every shard.

use std::sync::Arc;

use dataman_metadata::change::{Change, Object, ObjectName};
use dataman_metadata::id::ShardId;
use dataman_metadata::schema::{
    Collection, Constraint, ConstraintKind, Field, FieldDefault, HashMethod, Keyspace,
    KeyspaceMethod, Placement,
};
use dataman_metadata::snapshot::{physical_name, shard_instance_name};
use dataman_node_protocol::definition::{
    CollectionShape, ConstraintKind as ShapeKind, ConstraintShape, Definition, FieldShape,
};
use dataman_node_protocol::node::{NodeStatement, Parameters, ResultFormats, StatementContext};
use dataman_node_protocol::query::{NodeQuery, Target};
use dataman_pg::types::TypeRef;
use dataman_pg::{PgError, TypeId};
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::parse::syntax::{CreateTable, Define, ObjectKind, ParsedStatement, TableConstraintKind};
use crate::scatter::contract::ShardRef;
use crate::session::Session;

impl Session {
    /// Carries out a statement that changes the schema; gives its tag. The dispatcher has checked that the transaction is
    /// neither failed nor read-only; `in_transaction_block` says whether it stands alone.
    ///
    /// # Errors
    /// PostgreSQL's, and `0A000` for what dataman cannot keep; nothing has changed then.
    pub(crate) async fn define(
        &mut self,
        _statement: &ParsedStatement,
        define: &Define,
    ) -> Result<String, Error> {
        match define {
            Define::CreateTable(table) => self.create_table(table).await,
            Define::Drop { kind: ObjectKind::Table, names, .. } => {
                let snapshot = self.cluster.snapshot();
                for name in names {
                    let table = name.parts.last().cloned().unwrap_or_default();
                    let database = snapshot.database(&self.identity.database).expect("connected");
                    let Some(collection) =
                        snapshot.collection(&self.identity.database, "public", &table)
                    else {
                        return Err(PgError::new(
                            "42P01",
                            format!("table \"{table}\" does not exist"),
                        )
                        .into());
                    };
                    let change = Change::Drop {
                        at: ObjectName::new(&database.id, "public", &table),
                        kind: dataman_metadata::change::ObjectKind::Collection,
                    };
                    let shards = snapshot.shards_of(collection);
                    self.cluster.commit(snapshot.epoch, &[change]).await?;
                    for shard in shards {
                        self.run_definition(
                            &ShardRef { datastore: collection.datastore.clone(), shard },
                            Definition::DropCollection(Target {
                                db: database.id.0.clone(),
                                shard_instance: shard_instance_name(&database.id, shard),
                                collection: physical_name("public", &table),
                            }),
                        )
                        .await?;
                    }
                }
                Ok("DROP TABLE".to_owned())
            }
            _ => Err(PgError::unsupported("schema changes are not there yet").into()),
        }
    }

    async fn create_table(&mut self, table: &CreateTable) -> Result<String, Error> {
        let snapshot = self.cluster.snapshot();
        let database = snapshot.database(&self.identity.database).expect("connected");
        let name = table.name.parts.last().cloned().unwrap_or_default();
        let mut oids = snapshot.oids();
        let mut fields = Vec::new();
        let mut constraints = Vec::new();
        let id = oids.collection();
        let mut keys = Vec::new();
        for (at, column) in table.columns.iter().enumerate() {
            let ty = crate::plan::bind::type_by_name(&column.ty, &self.schemas(), database)?;
            for constraint in &column.constraints {
                if let TableConstraintKind::PrimaryKey(fields) = &constraint.kind {
                    keys = fields.clone();
                    if keys.is_empty() {
                        keys = vec![column.name.clone()];
                    }
                }
            }
            fields.push(Field {
                name: column.name.clone(),
                number: i16::try_from(at + 1).unwrap_or(1),
                type_oid: ty.id.0,
                typmod: ty.typmod,
                not_null: column.not_null.unwrap_or(false),
                default: FieldDefault::None,
                comment: None,
            });
        }
        for constraint in &table.constraints {
            if let TableConstraintKind::PrimaryKey(fields) = &constraint.kind {
                keys = fields.clone();
            }
        }
        if !keys.is_empty() {
            for field in &mut fields {
                field.not_null |= keys.contains(&field.name);
            }
            constraints.push(Constraint {
                name: format!("{name}_pkey"),
                oid: oids.object(),
                kind: ConstraintKind::PrimaryKey { fields: keys.clone() },
            });
        }
        let option = |wanted: &str| {
            table.options.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone())
        };
        let placement = match (option("shard_key"), option("placement").as_deref()) {
            (Some(key), _) => Placement::Sharded(Keyspace {
                fields: key.split(',').map(|field| field.trim().to_owned()).collect(),
                method: KeyspaceMethod::Hash(HashMethod::Xxh3),
            }),
            (None, Some("reference")) => Placement::Reference,
            _ => Placement::Single { shard: ShardId(0) },
        };
        let collection = Collection {
            id,
            datastore: database.datastore.clone(),
            placement,
            next_field_number: i16::try_from(fields.len() + 1).unwrap_or(1),
            fields,
            constraints,
            indexes: Vec::new(),
            comment: None,
            owner: self.identity.user.to_string(),
        };
        for shard in snapshot.shards_of(&collection) {
            let shard_ref = ShardRef { datastore: collection.datastore.clone(), shard };
            let instance = shard_instance_name(&database.id, shard);
            self.run_definition(
                &shard_ref,
                Definition::CreateInstance { shard_instance: instance.clone() },
            )
            .await?;
            let shape = CollectionShape {
                target: Target {
                    db: database.id.0.clone(),
                    shard_instance: instance,
                    collection: physical_name("public", &name),
                },
                label: name.clone(),
                fields: collection
                    .fields
                    .iter()
                    .map(|field| FieldShape {
                        name: field.name.clone(),
                        ty: TypeRef { id: TypeId(field.type_oid), typmod: field.typmod },
                        enum_labels: None,
                        not_null: field.not_null,
                    })
                    .collect(),
                constraints: if keys.is_empty() {
                    vec![]
                } else {
                    vec![ConstraintShape {
                        name: format!("{name}_pkey"),
                        kind: ShapeKind::PrimaryKey { fields: keys.clone() },
                    }]
                },
                indexes: vec![],
            };
            self.run_definition(&shard_ref, Definition::CreateCollection(shape)).await?;
        }
        let change = Change::Create {
            at: ObjectName::new(&database.id, "public", &name),
            object: Object::Collection(collection),
        };
        self.cluster.commit(snapshot.epoch, &[change]).await?;
        Ok("CREATE TABLE".to_owned())
    }

    async fn run_definition(
        &mut self,
        shard: &ShardRef,
        definition: Definition,
    ) -> Result<(), Error> {
        let connection = self.cluster.connect(shard).await?;
        let statement = Arc::new(NodeStatement::new(NodeQuery::Define(definition), vec![]));
        let mut stream = connection
            .execute(
                &StatementContext::default(),
                &statement,
                &Parameters::default(),
                &ResultFormats::default(),
                &CancellationToken::new(),
            )
            .await;
        while stream.next().await?.is_some() {}
        Ok(())
    }
}
