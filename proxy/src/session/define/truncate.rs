//! TRUNCATE.

use std::collections::BTreeMap;

use dataman_metadata::schema::{ConstraintKind, Relation};
use dataman_node_protocol::definition::Definition;
use dataman_node_protocol::query::Target;
use dataman_pg::PgError;

use super::draft::{Draft, Result, When};
use crate::parse::syntax::{ObjectKind, ObjectName};
use crate::scatter::contract::ShardRef;

impl Draft<'_> {
    pub(super) fn truncate(
        &mut self,
        names: &[ObjectName],
        restart_identity: bool,
        cascade: bool,
    ) -> Result<()> {
        self.tag("TRUNCATE TABLE");
        let mut tables: Vec<(String, String)> = Vec::new();
        for name in names {
            let found = self.relation(name).map_err(|error| self.at(error, name.span))?;
            let Relation::Collection(collection) = found.relation else {
                return Err(PgError::new("42809", format!("\"{}\" is not a table", found.name)));
            };
            self.must_own(&collection.owner, ObjectKind::Table, found.name)?;
            let table = (found.schema.to_owned(), found.name.to_owned());
            if !tables.contains(&table) {
                tables.push(table);
            }
        }
        let mut place = 0;
        while place < tables.len() {
            let (schema, name) = tables[place].clone();
            place += 1;
            for (other_schema, other, collection) in self.database.collections() {
                let referring = collection.constraints.iter().any(|constraint| {
                    matches!(
                        &constraint.kind,
                        ConstraintKind::ForeignKey { references, .. }
                            if references.0 == schema && references.1 == name
                    )
                });
                let table = (other_schema.to_owned(), other.to_owned());
                if !referring || tables.contains(&table) {
                    continue;
                }
                if !cascade {
                    return Err(PgError::unsupported(
                        "cannot truncate a table referenced in a foreign key constraint",
                    )
                    .with_detail(format!("Table \"{other}\" references \"{name}\"."))
                    .with_hint(format!(
                        "Truncate table \"{other}\" at the same time, or use TRUNCATE ... CASCADE."
                    )));
                }
                self.work.notices.push(crate::sqlstate::Report::new(
                    crate::sqlstate::Severity::Notice,
                    "00000",
                    format!("truncate cascades to table \"{other}\""),
                ));
                tables.push(table);
            }
        }
        let mut shards: BTreeMap<ShardRef, Vec<Target>> = BTreeMap::new();
        for (schema, name) in &tables {
            let Some(collection) = self.database.collection(schema, name) else { continue };
            for shard in self.shards_with(collection) {
                let target = self.target(schema, name, &shard);
                shards.entry(shard).or_default().push(target);
            }
            if !restart_identity {
                continue;
            }
            for (sequence_schema, content) in &self.database.schemas {
                for (sequence, owned) in &content.sequences {
                    let owner = owned.owned_by.as_ref();
                    if owner.is_some_and(|owner| owner.0 == *schema && owner.1 == *name) {
                        let at = self.place(sequence_schema, sequence);
                        self.work.restarts.push((at, owned.start));
                    }
                }
            }
        }
        for (shard, targets) in shards {
            self.step(When::Before, shard, Definition::Truncate(targets));
        }
        Ok(())
    }
}
