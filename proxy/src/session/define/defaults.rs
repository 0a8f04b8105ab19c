//! ALTER ROLE … SET, ALTER DATABASE … SET and their RESET: the parameters that sessions begin with.

use dataman_metadata::change::Change;
use dataman_metadata::id::DatabaseId;
use dataman_metadata::schema::SessionDefaults;
use dataman_pg::PgError;

use super::draft::{Draft, Result};
use crate::parse::syntax::{DefaultsChange, RoleName, SessionsOf};
use crate::session::settings::Settings;

impl Draft<'_> {
    pub(super) fn session_defaults(
        &mut self,
        of: &SessionsOf,
        change: &DefaultsChange,
    ) -> Result<()> {
        let (role, database) = match of {
            SessionsOf::Database(database) => {
                self.tag("ALTER DATABASE");
                (None, Some(database.as_str()))
            }
            SessionsOf::Role { role, database } => {
                self.tag("ALTER ROLE");
                let role = role.as_ref().map(|role| match role {
                    RoleName::Named(name) => name.as_str(),
                    RoleName::Current => self.facts.user,
                });
                (role, database.as_deref())
            }
        };
        self.may_set_defaults(role, database)?;

        let kept = self.snapshot.session_defaults(database, role);
        let settings = Settings::new(role.unwrap_or(self.facts.user), self.facts.superuser);
        let mut values = kept.to_vec();
        match change {
            DefaultsChange::Set { name, values: wanted } => {
                let (name, value) = settings.view().check_default(name, Some(wanted))?;
                match values.iter_mut().find(|(known, _)| *known == name) {
                    Some(known) => known.1 = value,
                    None => values.push((name, value)),
                }
            }
            DefaultsChange::Reset(name) => {
                let (name, _) = settings.view().check_default(name, None)?;
                values.retain(|(known, _)| *known != name);
            }
            // What only a superuser may set stays with anybody else.
            DefaultsChange::ResetAll => values.retain(|(name, _)| {
                !self.facts.superuser && settings.view().check_default(name, None).is_err()
            }),
        }
        if values != kept {
            self.change(Change::PutDefaults(SessionDefaults {
                database: database.map(DatabaseId::from),
                role: role.map(str::to_owned),
                values,
            }));
        }
        Ok(())
    }

    /// Whether there are such a role and database, and the session's role may change what their sessions begin with.
    fn may_set_defaults(&self, role: Option<&str>, database: Option<&str>) -> Result<()> {
        let denied = |message: String| Err(PgError::new("42501", message));
        if let Some(name) = role {
            if name.starts_with("pg_") {
                let message = format!("role name \"{name}\" is reserved");
                return Err(
                    PgError::new("42939", message).with_detail("Cannot alter reserved roles.")
                );
            }
            let Some(found) = self.snapshot.role(name) else {
                let message = format!("role \"{name}\" does not exist");
                return Err(PgError::new("42704", message));
            };
            if found.superuser && !self.facts.superuser {
                return denied("must be superuser to alter superusers".to_owned());
            }
            if !self.facts.superuser && name != self.facts.user {
                return denied("permission denied".to_owned());
            }
        }
        if let Some(name) = database {
            let Some(found) = self.snapshot.database(name) else {
                let message = format!("database \"{name}\" does not exist");
                return Err(PgError::new("3D000", message));
            };
            if role.is_none() && !self.facts.superuser && found.owner != self.facts.user {
                return denied(format!("must be owner of database {name}"));
            }
        }
        if role.is_none() && database.is_none() && !self.facts.superuser {
            return denied("must be superuser to alter settings globally".to_owned());
        }
        Ok(())
    }
}
