//! CREATE, ALTER and DROP ROLE.

use dataman_metadata::change::Change;
use dataman_metadata::schema::Role;
use dataman_pg::PgError;

use super::draft::{Draft, Result};
use crate::wire::scram::Verifier;

impl Draft<'_> {
    pub(super) fn role(
        &mut self,
        create: bool,
        name: &str,
        password: Option<&Option<String>>,
        superuser: Option<bool>,
        login: Option<bool>,
    ) -> Result<()> {
        self.tag(if create { "CREATE ROLE" } else { "ALTER ROLE" });
        let known = self.snapshot.role(name);
        // Everyone may change his own password.
        let own_password =
            !create && name == self.facts.user && superuser.is_none() && login.is_none();
        if !own_password {
            self.must_be_superuser(if create {
                "permission denied to create role"
            } else {
                "permission denied"
            })?;
        }
        let mut role = match (create, known) {
            (true, Some(_)) => {
                return Err(PgError::new("42710", format!("role \"{name}\" already exists")));
            }
            (true, None) => {
                if name.starts_with("pg_") {
                    return Err(PgError::new("42939", format!("role name \"{name}\" is reserved"))
                        .with_detail("Role names starting with \"pg_\" are reserved."));
                }
                Role {
                    name: name.to_owned(),
                    oid: self.oids.object(),
                    superuser: false,
                    verifier: None,
                }
            }
            (false, Some(role)) => role.clone(),
            (false, None) => {
                return Err(PgError::new("42704", format!("role \"{name}\" does not exist")));
            }
        };
        if login == Some(false) || (create && login.is_none()) {
            return Err(PgError::unsupported("a role that cannot log in is not supported")
                .with_hint("Roles have no members here: use CREATE USER, or LOGIN."));
        }
        if let Some(superuser) = superuser {
            role.superuser = superuser;
        }
        match password {
            None => {}
            Some(None) => role.verifier = None,
            Some(Some(text)) if text.is_empty() => {
                self.notice("00000", "empty string is not a valid password, clearing password");
                role.verifier = None;
            }
            Some(Some(text)) => {
                let verifier = match Verifier::parse(text) {
                    Some(verifier) => verifier,
                    None => Verifier::of_password(text),
                };
                role.verifier = Some(verifier.to_string());
            }
        }
        self.change(Change::PutRole(role));
        Ok(())
    }

    pub(super) fn drop_roles(&mut self, names: &[String], if_exists: bool) -> Result<()> {
        self.tag("DROP ROLE");
        self.must_be_superuser("permission denied to drop role")?;
        for name in names {
            if self.snapshot.role(name).is_none() {
                let message = format!("role \"{name}\" does not exist");
                if !if_exists {
                    return Err(PgError::new("42704", message));
                }
                self.notice("00000", format!("{message}, skipping"));
                continue;
            }
            if name == self.facts.user {
                return Err(PgError::new("55006", "current user cannot be dropped"));
            }
            let owned = self.owned_by(name);
            if !owned.is_empty() {
                return Err(PgError::new(
                    "2BP01",
                    format!("role \"{name}\" cannot be dropped because some objects depend on it"),
                )
                .with_detail(owned.join("\n")));
            }
            self.change(Change::DropRole(name.clone()));
        }
        Ok(())
    }

    /// What a role owns, as messages say it.
    fn owned_by(&self, role: &str) -> Vec<String> {
        let mut owned = Vec::new();
        for database in self.snapshot.databases.values() {
            if database.owner == role {
                owned.push(format!("owner of database {}", database.id));
            }
            for (schema, content) in &database.schemas {
                let tables =
                    content.collections.iter().map(|(name, found)| ("table", name, &found.owner));
                let views = content.views.iter().map(|(name, found)| ("view", name, &found.owner));
                for (kind, name, owner) in tables.chain(views) {
                    if owner == role {
                        owned.push(format!("owner of {kind} {}", self.shown(schema, name)));
                    }
                }
            }
        }
        owned
    }
}
