//! Named statements, from Parse and from PREPARE: one namespace. And the plans that all sessions share.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::{Bytes, BytesMut};
use dataman_node_protocol::record::{ColumnDescription, Format};
use dataman_pg::{PgError, TypeId};
use lru::LruCache;

use crate::parse::syntax::ParsedStatement;
use crate::plan::Plan;
use crate::rows::describe::encode_row_description;
use crate::session::activity::shown_text;
use crate::session::lift::Lifted;
use crate::session::settings::Typed;

/// How many plans a proxy keeps. The one used longest ago goes first.
pub const PLANS_MAX: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

/// How many parsed query strings a proxy keeps.
pub const PARSED_MAX: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");

/// The longest query string whose parse is kept: bulk INSERTs are not said twice.
pub const PARSED_BYTES_MAX: usize = 16 * 1024;

/// A statement that has been prepared.
#[derive(Debug)]
pub struct Prepared {
    /// The statement; none when the text was empty.
    pub statement: Option<Arc<ParsedStatement>>,
    /// Parameter types as the client declared them, 0 for none.
    pub declared: Vec<TypeId>,
    /// The types of `$1…`.
    pub params: Vec<TypeId>,
    /// The result's columns; none when it returns no rows.
    pub columns: Option<Vec<ColumnDescription>>,
    /// Its plan, when it has one, with what it was made for.
    pub plan: Mutex<Option<Planned>>,
    /// RowDescription with all columns in text, and with all in binary, once asked for.
    pub descriptions: [OnceLock<Bytes>; 2],
    /// As much of its text as others are shown, once asked for.
    pub shown: OnceLock<Arc<str>>,
}

/// A plan and what it was made for.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The key in the plan cache.
    pub key: Arc<PlanKey>,
    /// The plan.
    pub plan: Arc<Plan>,
    /// The settings under which it was last found to be the right one.
    pub settings: Arc<Typed>,
}

impl Prepared {
    /// As much of its text as others are shown.
    pub(crate) fn shown(&self) -> Arc<str> {
        let text = || self.statement.as_ref().map(|one| shown_text(&one.text)).unwrap_or_default();
        Arc::clone(self.shown.get_or_init(text))
    }

    /// The plan that it has now.
    pub fn planned(&self) -> Option<Planned> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// RowDescription, or NoData, with all columns in one format.
    pub fn description(&self, format: Format) -> &Bytes {
        let place = usize::from(format == Format::Binary);
        self.descriptions[place].get_or_init(|| {
            let mut frame = BytesMut::new();
            match &self.columns {
                Some(columns) => {
                    encode_row_description(columns, &vec![format; columns.len()], &mut frame);
                }
                None => frame.extend_from_slice(b"n\0\0\0\x04"),
            }
            frame.freeze()
        })
    }

    /// Keeps a plan.
    pub fn keep(&self, planned: Planned) {
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = Some(planned);
    }
}

/// A session's statements.
#[derive(Debug, Default)]
pub struct PreparedStatements {
    named: HashMap<String, Arc<Prepared>>,
    unnamed: Option<Arc<Prepared>>,
}

impl PreparedStatements {
    /// Keeps a statement; the unnamed one (an empty name) takes the place of the last.
    ///
    /// # Errors
    /// `42P05`: the name is taken.
    pub fn insert(&mut self, name: &str, prepared: Arc<Prepared>) -> Result<(), PgError> {
        self.check_free(name)?;
        if name.is_empty() {
            self.unnamed = Some(prepared);
        } else {
            self.named.insert(name.to_owned(), prepared);
        }
        Ok(())
    }

    /// Checks that a name is free.
    ///
    /// # Errors
    /// `42P05`.
    pub fn check_free(&self, name: &str) -> Result<(), PgError> {
        if self.named.contains_key(name) {
            return Err(PgError::new(
                "42P05",
                format!("prepared statement \"{name}\" already exists"),
            ));
        }
        Ok(())
    }

    /// Finds a statement.
    ///
    /// # Errors
    /// `26000`.
    pub fn get(&self, name: &str) -> Result<&Arc<Prepared>, PgError> {
        let found = if name.is_empty() { self.unnamed.as_ref() } else { self.named.get(name) };
        found.ok_or_else(|| {
            if name.is_empty() {
                PgError::new("26000", "unnamed prepared statement does not exist")
            } else {
                PgError::new("26000", format!("prepared statement \"{name}\" does not exist"))
            }
        })
    }

    /// Forgets a statement; false when there was none.
    pub fn remove(&mut self, name: &str) -> bool {
        if name.is_empty() {
            self.unnamed.take().is_some()
        } else {
            self.named.remove(name).is_some()
        }
    }

    /// Forgets the unnamed statement, as a simple query does.
    pub fn remove_unnamed(&mut self) {
        self.unnamed = None;
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.named.clear();
        self.unnamed = None;
    }
}

/// What a plan depends on besides the metadata's epoch, which the plan itself bears.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PlanKey {
    /// The statement's text.
    pub text: String,
    /// Declared parameter types.
    pub declared: Vec<TypeId>,
    /// The database.
    pub database: Arc<str>,
    /// The user.
    pub user: Arc<str>,
    /// The schemas that names are looked up in.
    pub schemas: Vec<String>,
    /// The settings that constants are read by.
    pub settings: Arc<str>,
}

/// The plans and parsed texts that the sessions of a proxy share.
pub struct PlanCache {
    plans: Mutex<LruCache<Arc<PlanKey>, Arc<Plan>>>,
    parsed: Mutex<LruCache<String, Arc<Vec<Arc<ParsedStatement>>>>>,
    pub(crate) lifted: Lifted,
}

impl Default for PlanCache {
    fn default() -> Self {
        Self {
            plans: Mutex::new(LruCache::new(PLANS_MAX)),
            parsed: Mutex::new(LruCache::new(PARSED_MAX)),
            lifted: Lifted::default(),
        }
    }
}

impl PlanCache {
    /// The plan for a key, if it was made under `epoch`.
    pub fn get(&self, key: &PlanKey, epoch: dataman_metadata::id::Epoch) -> Option<Arc<Plan>> {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        plans.get(key).filter(|plan| plan.epoch == epoch).cloned()
    }

    /// Forgets a plan: it is to be made anew.
    pub fn forget(&self, key: &PlanKey) {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner).pop(key);
    }

    /// Keeps a plan; an older one for the same key goes.
    pub fn put(&self, key: Arc<PlanKey>, plan: Arc<Plan>) {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner).put(key, plan);
    }

    /// Parses a query string, or remembers how it was parsed.
    ///
    /// # Errors
    /// As [`crate::parse::parse`].
    pub fn parse(&self, sql: &str) -> Result<Arc<Vec<Arc<ParsedStatement>>>, PgError> {
        if let Some(parsed) = self.parsed.lock().unwrap_or_else(PoisonError::into_inner).get(sql) {
            return Ok(Arc::clone(parsed));
        }
        let parsed: Arc<Vec<_>> =
            Arc::new(crate::parse::parse(sql)?.into_iter().map(Arc::new).collect());
        if sql.len() <= PARSED_BYTES_MAX {
            let mut kept = self.parsed.lock().unwrap_or_else(PoisonError::into_inner);
            kept.put(sql.to_owned(), Arc::clone(&parsed));
        }
        Ok(parsed)
    }
}
