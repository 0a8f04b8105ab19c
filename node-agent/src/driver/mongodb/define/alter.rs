//! Changes of collections that are there: fields, types, names.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use dataman_node_protocol::NodeError;
use dataman_node_protocol::definition::{AlterStep, CollectionShape};
use dataman_node_protocol::query::Target;
use dataman_pg::eval::Evaluator;
use dataman_pg::expr::{Expr, Field};
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Document, doc};

use super::index::{check_keys, has_twin, plan_index, wanted};
use super::leftover::Chore;
use super::{Definer, PAGE};
use crate::driver::mongodb::catalogue::{Body, Collection};
use crate::driver::mongodb::error::Failure;
use crate::driver::mongodb::layout::{CATALOGUE, Place, check_field, instance_name, path};
use crate::driver::mongodb::value::exact;
use crate::driver::sql::change::{
    contains_nulls, field_of, missing, not_unique, point_to, rename_referred, same_shape,
};
use crate::driver::sql::define::OLD;
use crate::driver::sql::user_name;

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
        let kept = found.layout.fields.clone();
        match step {
            AlterStep::RenameCollection { .. } => Ok(()),
            AlterStep::AddField { name, fill } => self.add_field(&found, to, name, fill).await,
            AlterStep::DropField { name } => {
                let place = found.place(name).ok_or_else(|| missing(&to.target))?;
                let mut fields = kept;
                let dropped = fields.remove(place);
                self.change_shape(&found, to, fields).await?;
                self.leftover.finish.push(Chore::Unset {
                    database: found.database(),
                    collection: found.layout.collection.clone(),
                    path: dropped.path,
                });
                Ok(())
            }
            AlterStep::RenameField { from, to: name } => {
                let referring: BTreeMap<ObjectId, Arc<Collection>> = self
                    .statement
                    .catalogue
                    .referring(&to.target.collection)
                    .filter(|(child, _)| child.id != found.id)
                    .map(|(child, _)| (child.id, Arc::clone(child)))
                    .collect();
                self.change_shape(&found, to, kept).await?;
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
                self.change_shape(&found, to, kept).await
            }
            AlterStep::DropNotNull { .. } | AlterStep::DropConstraint { .. } => {
                self.change_shape(&found, to, kept).await
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
        let mut place = Place::new(&field.name, field.ty);
        let taken: HashSet<String> =
            found.layout.fields.iter().map(|place| place.path.clone()).collect();
        let free = (2..).map(|number| format!("{}~{number}", path(name)));
        for candidate in std::iter::once(place.path.clone()).chain(free) {
            let doomed = format!("{} {candidate}", found.place_name());
            if !taken.contains(&candidate)
                && !self.past.doomed.contains(&doomed)
                && !self.has_path(found, &candidate).await?
            {
                place.path = candidate;
                break;
            }
        }
        if value.is_null() {
            if field.not_null && self.has_path(found, "_id").await? {
                return Err(contains_nulls(to, name));
            }
        } else if let Some(bson) = exact(&value, place.form)? {
            let set = doc! { "$set": { &place.path: bson } };
            let update = doc! { "q": {}, "u": set, "multi": true };
            let command = doc! { "update": &found.layout.collection, "updates": [update] };
            if self.is_touched(found) || self.is_created(found) {
                self.touch(found);
                self.run(&found.database(), command).await?;
                self.leftover.orphans.push(Chore::Unset {
                    database: found.database(),
                    collection: found.layout.collection.clone(),
                    path: place.path.clone(),
                });
            } else {
                self.leftover.undo.push(Chore::Unset {
                    database: found.database(),
                    collection: found.layout.collection.clone(),
                    path: place.path.clone(),
                });
                self.beside(&found.database(), command).await?;
            }
        }
        let mut fields = found.layout.fields.clone();
        fields.push(place);
        self.change_shape(found, to, fields).await
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
        let at = found.place(name).ok_or_else(|| missing(&to.target))?;
        let catalogue = self.statement.catalogue.with_enums_of(to);
        let convert: Evaluator = catalogue.compile(using, &|read: &Field| {
            if read.source == OLD { found.place(&read.name) } else { None }
        })?;
        let mut layout = found.layout.clone();
        layout.fields[at].form = Place::new(name, field.ty).form;
        check_keys(to)?;
        let all = wanted(to);
        for wanted in &all {
            let Some(known) = layout.indexes.iter().find(|known| known.owner == wanted.owner)
            else {
                continue;
            };
            let twin = has_twin(&all, wanted);
            let plan = plan_index(wanted, twin, to, &layout.fields, &HashSet::new());
            if plan.index.digest.is_some() != known.digest.is_some() {
                return Err(NodeError::unsupported(format!(
                    "MongoDB keeps the unique key \"{}\" in another form for the new type of column \"{name}\"",
                    user_name(wanted.owner).1
                ))
                .with_hint("Drop the constraint or index, change the type, and make it again."));
            }
        }
        let (changed, catalogue) = {
            let (collection, _) = self.collection(found.id, to, &layout)?;
            (collection, catalogue)
        };
        let records = self.records(found, &catalogue).await?;
        self.touch(found);
        for page in records.chunks(PAGE) {
            let mut updates = Vec::new();
            for record in page {
                let mut values = record.values.clone();
                values[at] = convert.eval(&record.values, &[], &self.statement.context)?;
                let mut update = Document::new();
                let forms = self.statement.forms(&changed, &values)?;
                if !forms.contains_key(&layout.fields[at].path) {
                    update.insert("$unset", doc! { &layout.fields[at].path: "" });
                }
                let set: Document = forms
                    .into_iter()
                    .filter(|(name, value)| record.document.get(name) != Some(value))
                    .collect();
                if !set.is_empty() {
                    update.insert("$set", set);
                }
                if update.is_empty() {
                    continue;
                }
                if let Some(undo) = &mut self.statement.undo {
                    let before = Some(record.document.clone());
                    let name = &found.layout.collection;
                    undo.note(&found.database(), name, record.id.clone(), before)?;
                }
                updates.push(doc! { "q": { "_id": record.id.clone() }, "u": update });
            }
            if updates.is_empty() {
                continue;
            }
            let command = doc! { "update": &layout.collection, "updates": updates };
            match self.statement.write(&found.database(), command).await {
                Ok(_) => {}
                Err(Failure::Other(error)) => return Err(error),
                Err(Failure::Duplicate(duplicate)) => {
                    let unique = changed.uniques.iter().find(|one| one.index == duplicate.index);
                    let name = unique.map_or(duplicate.index.as_str(), |unique| &unique.name);
                    return Err(not_unique(to, name));
                }
            }
        }
        self.save(Some(found.id), to, &layout).await?;
        // The constraints that read the field are looked at again, as PostgreSQL does.
        self.check_records(&changed, None).await
    }

    /// The collection as the catalogue has it now.
    pub(super) async fn reread(
        &mut self,
        id: ObjectId,
        shape: &CollectionShape,
    ) -> Result<Arc<Collection>, NodeError> {
        let command = doc! { "find": CATALOGUE, "filter": { "_id": id } };
        let mut body = None;
        self.statement
            .documents(&instance_name(&shape.target.shard_instance), command, |document| {
                let text = document.get_str("body").unwrap_or_default();
                body = serde_json::from_str::<Body>(text).ok();
                Ok(true)
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
        let referring: BTreeMap<ObjectId, Arc<Collection>> = self
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
