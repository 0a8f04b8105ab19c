//! CREATE and DROP DATABASE.

use dataman_metadata::change::Change;
use dataman_metadata::id::{DatabaseId, DatastoreId};
use dataman_metadata::schema::Database;
use dataman_node_protocol::definition::Definition;
use dataman_pg::PgError;

use super::draft::{Draft, Result, When, instance_of};

impl Draft<'_> {
    pub(super) fn create_database(
        &mut self,
        name: &str,
        options: &[(String, String)],
    ) -> Result<()> {
        self.tag("CREATE DATABASE");
        self.must_be_superuser("permission denied to create database")?;
        if self.snapshot.database(name).is_some() {
            return Err(PgError::new("42P04", format!("database \"{name}\" already exists")));
        }
        let mut database = Database::new(
            DatabaseId::from(name),
            self.oids.object(),
            self.database.datastore.clone(),
            self.facts.user,
        );
        let mut seen: Vec<&str> = Vec::new();
        for (option, value) in options {
            if seen.contains(&option.as_str()) {
                return Err(PgError::new("42601", "conflicting or redundant options"));
            }
            seen.push(option);
            match option.as_str() {
                "datastore" => {
                    let id = DatastoreId::from(value.as_str());
                    if !self.snapshot.datastores.contains_key(&id) {
                        return Err(PgError::new(
                            "42704",
                            format!("datastore \"{value}\" does not exist"),
                        ));
                    }
                    database.datastore = id;
                }
                "shard_keys" => {
                    database.shard_keys = value
                        .split(',')
                        .map(|field| field.trim().to_owned())
                        .filter(|field| !field.is_empty())
                        .collect();
                }
                "owner" => {
                    if value != "default" {
                        if self.snapshot.role(value).is_none() {
                            return Err(PgError::new(
                                "42704",
                                format!("role \"{value}\" does not exist"),
                            ));
                        }
                        database.owner.clone_from(value);
                    }
                }
                "encoding" => {
                    let plain = value.to_ascii_lowercase().replace(['-', '_'], "");
                    if !matches!(plain.as_str(), "utf8" | "default" | "unicode") {
                        return Err(PgError::unsupported(format!(
                            "encoding \"{value}\" is not supported"
                        ))
                        .with_hint("Text is UTF8."));
                    }
                }
                "template" => {
                    if !matches!(value.as_str(), "template0" | "template1" | "default") {
                        return Err(PgError::unsupported(
                            "databases are not copied from a template",
                        )
                        .with_hint("Leave TEMPLATE out."));
                    }
                }
                "lc_collate" | "lc_ctype" | "locale" => {
                    if !matches!(value.as_str(), "C" | "POSIX" | "default") {
                        return Err(PgError::unsupported(format!(
                            "locale \"{value}\" is not supported"
                        ))
                        .with_hint("Text is sorted by its bytes, as with locale \"C\"."));
                    }
                }
                "connection_limit" | "tablespace" | "allow_connections" | "is_template"
                | "location" | "locale_provider" | "icu_locale" | "collation_version"
                | "strategy" | "oid" => {
                    if !matches!(value.as_str(), "default" | "-1") {
                        return Err(PgError::unsupported(format!(
                            "the option {} of CREATE DATABASE is not supported",
                            option.to_ascii_uppercase()
                        ))
                        .with_hint("Leave it out."));
                    }
                }
                _ => {
                    return Err(PgError::new(
                        "42601",
                        format!("option \"{option}\" not recognized"),
                    )
                    .with_hint("dataman's own options are datastore and shard_keys."));
                }
            }
        }
        for shard in self.shards_of(&database.datastore) {
            let shard_instance = instance_of(&database.id, shard.shard);
            self.step(When::First, shard, Definition::CreateInstance { shard_instance });
        }
        self.change(Change::CreateDatabase(database));
        Ok(())
    }

    pub(super) fn drop_database(&mut self, name: &str, if_exists: bool) -> Result<()> {
        self.tag("DROP DATABASE");
        let Some(database) = self.snapshot.database(name) else {
            let message = format!("database \"{name}\" does not exist");
            if if_exists {
                self.notice("00000", format!("{message}, skipping"));
                return Ok(());
            }
            return Err(PgError::new("3D000", message));
        };
        if !self.facts.superuser && database.owner != self.facts.user {
            return Err(PgError::new("42501", format!("must be owner of database {name}")));
        }
        if name == self.facts.database {
            return Err(PgError::new("55006", "cannot drop the currently open database"));
        }
        let mut datastores = vec![database.datastore.clone()];
        for (_, _, collection) in database.collections() {
            if !datastores.contains(&collection.datastore) {
                datastores.push(collection.datastore.clone());
            }
        }
        for datastore in datastores {
            for shard in self.shards_of(&datastore) {
                let shard_instance = instance_of(&database.id, shard.shard);
                self.step(When::After, shard, Definition::DropInstance { shard_instance });
            }
        }
        self.change(Change::DropDatabase(database.id.clone()));
        Ok(())
    }
}
