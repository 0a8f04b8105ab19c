//! ALTER TABLE, a step at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use dataman_node_protocol::NodeError;
use dataman_node_protocol::definition::{AlterStep, CollectionShape, FieldShape};
use dataman_node_protocol::query::Target;
use dataman_pg::eval::Evaluator;
use dataman_pg::expr::{Expr, Field};
use mysql_async::Value as Raw;
use mysql_async::prelude::Queryable;

use super::{Definer, catalogue_table, free_name};
use crate::driver::mysql::catalogue::{Body, Collection};
use crate::driver::mysql::error::classify;
use crate::driver::mysql::layout::{
    Column, Form, ROW, check_field, column_name, instance_name, quoted,
};
use crate::driver::mysql::value::{exact, key};
use crate::driver::sql::change::{
    contains_nulls, field_of, missing, point_to, rename_referred, same_shape,
};
use crate::driver::sql::define::OLD;
use crate::driver::sql::literal;

impl Definer<'_, '_> {
    pub(super) async fn alter(
        &mut self,
        step: &AlterStep,
        to: &CollectionShape,
    ) -> Result<(), NodeError> {
        if let AlterStep::RenameCollection { from } = step {
            return self.rename(from, to).await;
        }
        let found = self
            .statement
            .catalogue
            .find(&to.target.collection)
            .cloned()
            .ok_or_else(|| missing(&to.target))?;
        if same_shape(&found.shape, to) {
            return Ok(());
        }
        let rebuilds = match step {
            AlterStep::AddField { .. } | AlterStep::FieldType { .. } => self.is_touched(&found),
            AlterStep::AddConstraint { name } | AlterStep::DropConstraint { name } => {
                self.must_rebuild(&found, to, name)
            }
            _ => false,
        };
        if rebuilds {
            return self.rebuild(&found, to, Some(step)).await;
        }
        let kept = found.layout.columns.clone();
        match step {
            AlterStep::RenameCollection { .. } => Ok(()),
            AlterStep::AddField { name, fill } => self.add_field(&found, to, name, fill).await,
            AlterStep::DropField { name } => {
                let place = found.place(name).ok_or_else(|| missing(&to.target))?;
                let mut columns = kept;
                let column = columns.remove(place);
                self.change_shape(&found, to, columns, None).await?;
                self.drop_column(&found, &column);
                Ok(())
            }
            AlterStep::RenameField { from, to: name } => {
                let referring: BTreeMap<i64, Arc<Collection>> = self
                    .statement
                    .catalogue
                    .referring(&to.target.collection)
                    .filter(|(child, _)| child.id != found.id)
                    .map(|(child, _)| (child.id, Arc::clone(child)))
                    .collect();
                self.change_shape(&found, to, kept, None).await?;
                for child in referring.into_values() {
                    let mut shape = child.shape.clone();
                    rename_referred(&mut shape, &to.target, from, name);
                    self.save(Some(child.id), &shape, &child.layout).await?;
                }
                Ok(())
            }
            AlterStep::FieldType { name, using } => self.change_type(&found, to, name, using).await,
            AlterStep::SetNotNull { name } => {
                self.check_not_null(&found, to, name).await?;
                self.change_shape(&found, to, kept, None).await
            }
            AlterStep::DropNotNull { .. } | AlterStep::DropConstraint { .. } => {
                self.change_shape(&found, to, kept, None).await
            }
            AlterStep::RenameConstraint { from, to: name } => {
                let mut layout = found.layout.clone();
                for index in layout.indexes.iter_mut().filter(|index| index.owner == *from) {
                    index.owner.clone_from(name);
                }
                self.save(Some(found.id), to, &layout).await
            }
            AlterStep::AddConstraint { name } => self.add_constraint(&found, to, name).await,
        }
    }

    /// A column goes when the transaction has committed.
    fn drop_column(&mut self, collection: &Collection, column: &Column) {
        let drops = drops(column);
        self.leftover.finish.push(format!("ALTER TABLE {} {drops}", collection.table()));
    }

    /// Adds the columns of a new field under names that are free.
    async fn add_columns(
        &mut self,
        collection: &Collection,
        field: &FieldShape,
    ) -> Result<Column, NodeError> {
        let instance = instance_name(&collection.shape.target.shard_instance);
        let condition = format!(
            "columns WHERE table_schema = {} AND table_name = {}",
            literal(&instance),
            literal(&collection.layout.table)
        );
        let taken = self.names("column_name", condition).await?;
        let mut column = Column::new(&field.name, field.ty.id);
        column.name = free_name(&column_name(&field.name), &taken);
        let collation = self.statement.server.flavour().collation();
        let adds = column
            .definitions(field.ty.id, collation)
            .iter()
            .map(|definition| format!("ADD COLUMN {definition}"))
            .collect::<Vec<_>>();
        let drops = drops(&column);
        let table = collection.table();
        self.leftover.undo.push(format!("ALTER TABLE {table} {drops}"));
        self.run_beside(&format!("ALTER TABLE {table} {}", adds.join(", ")), Vec::new()).await?;
        Ok(column)
    }

    async fn add_field(
        &mut self,
        found: &Arc<Collection>,
        to: &CollectionShape,
        name: &str,
        fill: &Expr,
    ) -> Result<(), NodeError> {
        let field = field_of(to, name)?;
        check_field(field)?;
        let catalogue = self.statement.catalogue.with_enums_of(to);
        let evaluator = catalogue.compile(fill, &|_| None)?;
        let value = evaluator.eval(&[], &[], &self.statement.context)?;
        let column = self.add_columns(found, field).await?;
        if value.is_null() {
            if field.not_null && self.has_records(found).await? {
                return Err(contains_nulls(to, name));
            }
        } else {
            let mut sets = vec![format!("{} = ?", quoted(&column.name))];
            let mut values = vec![exact(&value)?];
            if column.form == Form::Keyed {
                sets.push(format!("{} = ?", quoted(&column.key())));
                values.push(key(&value));
            }
            let text = format!("UPDATE {} SET {}", found.table(), sets.join(", "));
            self.run_beside(&text, values).await?;
        }
        let mut columns = found.layout.columns.clone();
        columns.push(column);
        self.change_shape(found, to, columns, None).await
    }

    async fn has_records(&mut self, collection: &Collection) -> Result<bool, NodeError> {
        let text = format!("SELECT 1 FROM {} LIMIT 1", collection.table());
        let session = self.beside().await?;
        let found: Option<i64> = session.conn.query_first(text).await.map_err(classify)?;
        Ok(found.is_some())
    }

    async fn change_type(
        &mut self,
        found: &Arc<Collection>,
        to: &CollectionShape,
        name: &str,
        using: &Expr,
    ) -> Result<(), NodeError> {
        let field = field_of(to, name)?;
        check_field(field)?;
        let place = found.place(name).ok_or_else(|| missing(&to.target))?;
        let catalogue = self.statement.catalogue.with_enums_of(to);
        let convert: Evaluator = catalogue.compile(using, &|read: &Field| {
            if read.source == OLD { found.place(&read.name) } else { None }
        })?;
        let column = self.add_columns(found, field).await?;
        let mut sets = vec![format!("{} = ?", quoted(&column.name))];
        if column.form == Form::Keyed {
            sets.push(format!("{} = ?", quoted(&column.key())));
        }
        let text = format!("UPDATE {} SET {} WHERE {ROW} = ?", found.table(), sets.join(", "));
        let mut after = 0;
        loop {
            let page = self.page(found, after).await?;
            let Some(last) = page.last() else { break };
            after = last.row;
            for record in &page {
                let value = convert.eval(&record.values, &[], &self.statement.context)?;
                let mut values = vec![exact(&value)?];
                if column.form == Form::Keyed {
                    values.push(key(&value));
                }
                values.push(Raw::UInt(record.row));
                self.run_beside(&text, values).await?;
            }
        }
        let mut columns = found.layout.columns.clone();
        let old = std::mem::replace(&mut columns[place], column);
        self.change_shape(found, to, columns, Some(name)).await?;
        self.drop_column(found, &old);
        // The constraints that read the field are looked at again, as PostgreSQL does.
        let again = self.reread(found.id, to).await?;
        self.check_records(&again, None).await
    }

    /// The collection as the catalogue has it now.
    pub(super) async fn reread(
        &mut self,
        id: i64,
        shape: &CollectionShape,
    ) -> Result<Arc<Collection>, NodeError> {
        let text = format!("SELECT body FROM {} WHERE id = ?", catalogue_table(&shape.target));
        let mut body = None;
        self.statement
            .rows(&text, vec![Raw::Int(id)], |row| {
                if let Some(Raw::Bytes(bytes)) = row.into_iter().next() {
                    body = serde_json::from_slice::<Body>(&bytes).ok();
                }
                Ok(())
            })
            .await?;
        let body = body.ok_or_else(|| missing(&shape.target))?;
        Ok(self.collection(id, shape, &body.layout)?.0)
    }

    async fn rename(&mut self, from: &str, to: &CollectionShape) -> Result<(), NodeError> {
        let Some(found) = self.statement.catalogue.find(from).cloned() else {
            return match self.statement.catalogue.find(&to.target.collection) {
                Some(_) => Ok(()),
                None => Err(missing(&Target { collection: from.to_owned(), ..to.target.clone() })),
            };
        };
        let referring: BTreeMap<i64, Arc<Collection>> = self
            .statement
            .catalogue
            .referring(from)
            .map(|(child, _)| (child.id, Arc::clone(child)))
            .collect();
        let mut own = to.clone();
        point_to(&mut own, from, to);
        self.save(Some(found.id), &own, &found.layout).await?;
        for child in referring.into_values().filter(|child| child.id != found.id) {
            let mut shape = child.shape.clone();
            point_to(&mut shape, from, to);
            self.save(Some(child.id), &shape, &child.layout).await?;
        }
        Ok(())
    }
}

/// The parts of ALTER TABLE that drop a field's columns.
fn drops(column: &Column) -> String {
    let names = column.names();
    let drops = names.iter().map(|name| format!("DROP COLUMN {}", quoted(name)));
    drops.collect::<Vec<_>>().join(", ")
}
