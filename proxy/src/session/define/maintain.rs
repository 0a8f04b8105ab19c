//! VACUUM and ANALYZE: the shards' databases do it.

use std::collections::BTreeMap;

use dataman_metadata::schema::Relation;
use dataman_node_protocol::definition::{Definition, Maintenance, MaintenanceTarget};
use dataman_pg::PgError;

use super::draft::{Draft, Result, When};
use crate::parse::syntax::{MaintainOption, MaintainTable};
use crate::scatter::contract::ShardRef;
use crate::session::setting_value::parse_bool;
use crate::sqlstate::Report;

/// What of VACUUM's options is passed on as it is.
const PASSED_ON: &[&str] =
    &["full", "freeze", "skip_locked", "disable_page_skipping", "process_toast", "truncate"];

impl Draft<'_> {
    pub(super) fn maintain(
        &mut self,
        vacuum: bool,
        options: &[MaintainOption],
        tables: &[MaintainTable],
    ) -> Result<()> {
        let word = if vacuum { "VACUUM" } else { "ANALYZE" };
        self.tag(word);
        let mut maintenance = Maintenance { vacuum, analyze: !vacuum, ..Maintenance::default() };
        for option in options {
            let name = option.name.as_str();
            let value = option.value.as_deref();
            let on = match value.map(parse_bool) {
                None => true,
                Some(Some(on)) => on,
                Some(None) if matches!(name, "index_cleanup" | "parallel") => true,
                Some(None) => {
                    return Err(PgError::new("42601", format!("{name} requires a Boolean value")));
                }
            };
            match name {
                "analyze" if vacuum => maintenance.analyze = on,
                "verbose" if !on => {}
                "verbose" => {
                    return Err(PgError::unsupported(format!("{word} VERBOSE is not supported"))
                        .with_hint("Ask the shards' databases themselves."));
                }
                "skip_locked" if on => maintenance.options.push(name.to_owned()),
                "skip_locked" => {}
                _ if vacuum && PASSED_ON.contains(&name) => {
                    maintenance.options.push(format!("{name} {on}"));
                }
                "index_cleanup" | "parallel" if vacuum => {
                    return Err(PgError::unsupported(format!(
                        "the VACUUM option \"{name}\" is not supported"
                    ))
                    .with_hint("Leave it out: the shards' databases decide."));
                }
                _ => {
                    let error =
                        PgError::new("42601", format!("unrecognized {word} option \"{name}\""));
                    return Err(self.at(error, option.span));
                }
            }
        }
        if vacuum && !maintenance.analyze && tables.iter().any(|table| !table.columns.is_empty()) {
            return Err(PgError::unsupported(
                "ANALYZE option must be specified when a column list is provided",
            ));
        }
        if vacuum && self.facts.in_transaction {
            return Err(PgError::new("25001", "VACUUM cannot run inside a transaction block"));
        }
        let mut shards: BTreeMap<ShardRef, Vec<MaintenanceTarget>> = BTreeMap::new();
        if tables.is_empty() {
            for (schema, name, collection) in self.database.collections() {
                for shard in self.shards_with(collection) {
                    let target = self.target(schema, name, &shard);
                    let targets = shards.entry(shard).or_default();
                    targets.push(MaintenanceTarget { target, fields: Vec::new() });
                }
            }
        }
        for table in tables {
            // PostgreSQL gives no position here.
            let found = self.relation(&table.name)?;
            let Relation::Collection(collection) = found.relation else {
                let what = if vacuum { "vacuum" } else { "analyze" };
                self.work.notices.push(Report::warning(
                    "01000",
                    format!(
                        "skipping \"{}\" --- cannot {what} non-tables or special system tables",
                        found.name
                    ),
                ));
                continue;
            };
            for (place, column) in table.columns.iter().enumerate() {
                let of = format!("column \"{column}\" of relation \"{}\"", found.name);
                if collection.field(column).is_none() {
                    return Err(PgError::new("42703", format!("{of} does not exist")));
                }
                if table.columns[..place].contains(column) {
                    return Err(PgError::new("42701", format!("{of} appears more than once")));
                }
            }
            for shard in self.shards_with(collection) {
                let target = self.target(found.schema, found.name, &shard);
                let targets = shards.entry(shard).or_default();
                targets.push(MaintenanceTarget { target, fields: table.columns.clone() });
            }
        }
        for (shard, targets) in shards {
            let maintenance = Maintenance { targets, ..maintenance.clone() };
            self.step(When::First, shard, Definition::Maintain(maintenance));
        }
        Ok(())
    }
}
