//! CREATE INDEX.

use dataman_metadata::change::{Change, Object};
use dataman_metadata::schema::{Index, IndexKey, Relation};
use dataman_node_protocol::definition::Definition;
use dataman_pg::PgError;

use super::draft::{Draft, Result, When};
use super::expression::{Use, is_immutable};
use super::import::refuse_adopted;
use super::name::{choose, joined, relation_word};
use crate::parse::syntax::{CreateIndex, ExprKind, ObjectKind};

impl Draft<'_> {
    pub(super) fn create_index(&mut self, create: &CreateIndex) -> Result<()> {
        self.tag("CREATE INDEX");
        let found =
            self.relation(&create.table).map_err(|error| self.at(error, create.table.span))?;
        let (schema, table) = (found.schema.to_owned(), found.name.to_owned());
        let Relation::Collection(collection) = found.relation else {
            let detail = match relation_word(&found.relation) {
                "view" => "This operation is not supported for views.",
                "sequence" => "This operation is not supported for sequences.",
                _ => "This operation is not supported for indexes.",
            };
            return Err(PgError::new(
                "42809",
                format!("cannot create index on relation \"{table}\""),
            )
            .with_detail(detail));
        };
        self.must_own(&collection.owner, ObjectKind::Table, &table)?;
        refuse_adopted(collection, &table, "CREATE INDEX")?;
        check_method(&create.method)?;
        if let Some(name) = &create.name
            && self.taken(&schema, name, create.if_not_exists)?
        {
            return Ok(());
        }
        let mut keys = Vec::new();
        let mut names = Vec::new();
        for (key, text) in &create.keys {
            let (expr, name, bound) = match &key.expr.kind {
                ExprKind::Column(parts) if parts.len() == 1 => {
                    let column = &parts[0];
                    if collection.field(column).is_none() {
                        return Err(PgError::new(
                            "42703",
                            format!("column \"{column}\" does not exist"),
                        ));
                    }
                    let bound = self.bind(&key.expr, &schema, &table, collection)?;
                    (column.clone(), column.clone(), bound)
                }
                _ => {
                    self.check_use(&key.expr, Use::IndexKey)?;
                    let bound = self.bind(&key.expr, &schema, &table, collection)?;
                    if !is_immutable(&bound) {
                        return Err(PgError::new(
                            "42P17",
                            "functions in index expression must be marked IMMUTABLE",
                        ));
                    }
                    let name = match &key.expr.kind {
                        ExprKind::Function(call) => call.name.last().to_owned(),
                        ExprKind::Coalesce(_) => "coalesce".to_owned(),
                        _ => "expr".to_owned(),
                    };
                    (text.clone(), name, bound)
                }
            };
            if create.method == "btree" {
                self.check_btree(bound.type_id())?;
            }
            // A name that is there already gets a number.
            let mut number = 1;
            let mut unique = name.clone();
            while names.contains(&unique) {
                unique = format!("{name}{number}");
                number += 1;
            }
            names.push(unique);
            let nulls_first = key.nulls_first.unwrap_or(key.descending);
            keys.push(IndexKey { expr, descending: key.descending, nulls_first });
        }
        for column in &create.include {
            if collection.field(column).is_none() {
                return Err(PgError::new("42703", format!("column \"{column}\" does not exist")));
            }
            names.push(column.clone());
        }
        if create.unique && create.method != "btree" {
            return Err(PgError::unsupported(format!(
                "access method \"{}\" does not support unique indexes",
                create.method
            )));
        }
        let filter = match &create.filter {
            Some((expr, text)) => {
                self.check_use(expr, Use::IndexFilter)?;
                let bound = self.bind(expr, &schema, &table, collection)?;
                let bound = self.condition(bound, "WHERE")?;
                if !is_immutable(&bound) {
                    return Err(PgError::new(
                        "42P17",
                        "functions in index predicate must be marked IMMUTABLE",
                    ));
                }
                Some(text.clone())
            }
            None => None,
        };
        if create.unique {
            let names: Vec<&str> = keys.iter().map(|key| key.expr.as_str()).collect();
            let plain = filter.is_none() && !create.nulls_not_distinct;
            self.check_unique_key(&table, collection, "UNIQUE", &names, plain)?;
        }
        let name = match &create.name {
            Some(name) => name.clone(),
            None => choose(&table, Some(&joined(&names)), "idx", |name| {
                self.relation_taken(&schema, name)
            }),
        };
        let index = Index {
            name,
            oid: self.oids.object(),
            unique: create.unique,
            nulls_not_distinct: create.nulls_not_distinct,
            method: create.method.clone(),
            keys,
            include: create.include.clone(),
            filter,
            comment: None,
        };
        let shape = self.index_shape(&schema, &table, collection, &index)?;
        for shard in self.shards_with(collection) {
            let target = self.target(&schema, &table, &shard);
            let name = shape.name.clone();
            // What a statement that was cut short has left there goes.
            self.step(
                When::Before,
                shard.clone(),
                Definition::DropIndex { target: target.clone(), name },
            );
            self.step(
                When::Before,
                shard,
                Definition::CreateIndex { target, index: shape.clone() },
            );
        }
        let mut changed = collection.clone();
        changed.pending.clear();
        let made = index.unique.then(|| index.name.clone());
        changed.indexes.push(index);
        if let Some(made) = made {
            self.make_unique_key((&schema, &table), &changed, &made, When::Before);
        }
        let at = self.place(&schema, &table);
        self.change(Change::Replace { at, object: Object::Collection(changed) });
        Ok(())
    }
}

fn check_method(method: &str) -> Result<()> {
    match method {
        "btree" | "hash" | "gin" | "gist" | "spgist" | "brin" => Ok(()),
        _ => Err(PgError::new("42704", format!("access method \"{method}\" does not exist"))),
    }
}
