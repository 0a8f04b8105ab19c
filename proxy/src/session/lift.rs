//! The short way of the simple protocol: texts that differ in their literals only share one prepared statement.
//!
//! ```text
//! Query ─▶ literal::lift ─▶ known text? ─▶ pass with the literals as parameters
//!                             │ seen once: prove that it means the same (plan::lift), and plan it
//!                             └ new, or proven different: the ordinary way
//! ```

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{BufMut, BytesMut};
use dataman_metadata::id::Epoch;
use dataman_pg::TypeId;
use lru::LruCache;

use crate::parse::literal::{Kind, Literal, lift, with_parameters};
use crate::parse::syntax::{Statement, Transaction};
use crate::plan::PlanContext;
use crate::plan::lift::is_same;
use crate::session::Session;
use crate::session::pass::Passing;
use crate::session::prepared::Prepared;
use crate::session::settings::Typed;

/// How many texts without their literals a proxy keeps for each set of circumstances.
const LIFTED_MAX: NonZeroUsize = NonZeroUsize::new(512).expect("not zero");

/// How many sets of circumstances (database, user, search path, settings, epoch) it keeps them for. Each change of the
/// metadata makes new ones, and those that went out of use hold on to their snapshots: so there are few.
const SCOPES_MAX: NonZeroUsize = NonZeroUsize::new(8).expect("not zero");

/// What a text's meaning depends on besides itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Scope {
    database: Arc<str>,
    user: Arc<str>,
    schemas: Vec<String>,
    settings: Arc<str>,
    epoch: Epoch,
}

/// What is known of a text.
#[derive(Debug, Clone)]
enum Known {
    /// It came once.
    Seen,
    /// It goes the ordinary way.
    Ordinary,
    /// It can pass.
    Ready(Arc<Prepared>),
}

/// What is known of texts, under one scope.
type Texts = Mutex<LruCache<Box<[u8]>, Known>>;

/// What is known of texts, for all sessions of a proxy.
pub(crate) struct Lifted {
    scopes: Mutex<LruCache<Scope, Arc<Texts>>>,
}

impl Default for Lifted {
    fn default() -> Self {
        Self { scopes: Mutex::new(LruCache::new(SCOPES_MAX)) }
    }
}

impl Lifted {
    fn texts(&self, scope: Scope) -> Arc<Texts> {
        let mut scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(scopes.get_or_insert(scope, || Arc::new(Mutex::new(LruCache::new(LIFTED_MAX)))))
    }
}

/// A session's view of what is known, and room to take texts apart in.
#[derive(Default)]
pub(crate) struct Lifting {
    /// The texts of the session's scope, and what it was found by.
    current: Option<(Arc<Typed>, Epoch, Arc<Texts>)>,
    key: Vec<u8>,
    literals: Vec<Literal>,
    values: BytesMut,
}

impl Session {
    /// Puts a query string on its way if it is one statement that can pass.
    pub fn begin_lifted(&mut self, sql: &str) -> Option<Passing> {
        let mut lifting = std::mem::take(&mut self.lifting);
        let passing = self.try_lifted(sql, &mut lifting);
        self.lifting = lifting;
        passing
    }

    fn try_lifted(&mut self, sql: &str, lifting: &mut Lifting) -> Option<Passing> {
        if self.has_overlay() || !lift(sql, &mut lifting.key, &mut lifting.literals) {
            return None;
        }
        let texts = self.texts(lifting);
        let known =
            texts.lock().unwrap_or_else(PoisonError::into_inner).get(&*lifting.key).cloned();
        let prepared = match known {
            Some(Known::Ready(prepared)) => prepared,
            Some(Known::Ordinary) => return None,
            None => {
                keep(&texts, &lifting.key, Known::Seen);
                return None;
            }
            Some(Known::Seen) => {
                let prepared = self.prove(sql, lifting).map(Arc::new);
                let known = prepared.clone().map_or(Known::Ordinary, Known::Ready);
                keep(&texts, &lifting.key, known);
                prepared?
            }
        };
        put_values(sql, &lifting.literals, &mut lifting.values);
        self.begin_prepared_pass(prepared, &lifting.values)
    }

    /// The texts of the session's scope: looked for again only when a setting or the metadata has changed.
    fn texts(&self, lifting: &mut Lifting) -> Arc<Texts> {
        let (typed, epoch) = (self.settings.typed(), self.cluster.epoch());
        if let Some((known, known_epoch, texts)) = &lifting.current
            && Arc::ptr_eq(known, typed)
            && *known_epoch == epoch
        {
            return Arc::clone(texts);
        }
        let texts = self.plans.lifted.texts(Scope {
            database: Arc::clone(&self.identity.database),
            user: Arc::clone(&self.identity.user),
            schemas: self.schemas(),
            settings: Arc::clone(&typed.plan_key),
            epoch,
        });
        lifting.current = Some((Arc::clone(typed), epoch, Arc::clone(&texts)));
        texts
    }

    /// Prepares the text with parameters for its literals, if it then means the same and can pass.
    fn prove(&mut self, sql: &str, lifting: &Lifting) -> Option<Prepared> {
        let declared: Vec<TypeId> = lifting
            .literals
            .iter()
            .map(|literal| match literal.kind {
                Kind::Int4 => TypeId::INT4,
                Kind::Int8 => TypeId::INT8,
                Kind::Numeric => TypeId::NUMERIC,
                Kind::String => TypeId(0),
            })
            .collect();
        let values = lifting
            .literals
            .iter()
            .map(|literal| {
                let mut value = Vec::new();
                literal.put_value(sql, &mut value);
                String::from_utf8(value).ok()
            })
            .collect::<Option<Vec<_>>>()?;
        let text = with_parameters(&lifting.key)?;
        let one = |text: &str| {
            let mut statements = crate::parse::parse(text).ok()?;
            statements.pop().filter(|_| statements.is_empty())
        };
        let (original, lifted) = (one(sql)?, one(&text)?);
        if let Statement::Transaction(Transaction::Commit { .. }) = original.statement {
            return self.describe(Some(Arc::new(original)), &[]).ok();
        }
        let snapshot = self.cluster.snapshot();
        let capabilities = self.cluster.capabilities(&snapshot);
        let typed = Arc::clone(self.settings.typed());
        let schemas = self.schemas();
        let context = PlanContext {
            snapshot: &snapshot,
            database: &self.identity.database,
            user: &self.identity.user,
            search_path: &schemas,
            context: &typed.context,
            capabilities: &capabilities,
            shows: false,
        };
        if !is_same(&original, &lifted, &declared, &values, &context) {
            return None;
        }
        let prepared = self.describe(Some(Arc::new(lifted)), &declared).ok()?;
        prepared.planned()?.plan.pass.is_some().then_some(prepared)
    }
}

fn keep(texts: &Texts, key: &[u8], known: Known) {
    texts.lock().unwrap_or_else(PoisonError::into_inner).put(key.into(), known);
}

/// The literals as the end of a Bind message: all in text, and the result too.
fn put_values(sql: &str, literals: &[Literal], out: &mut BytesMut) {
    out.clear();
    out.put_u16(0);
    out.put_u16(u16::try_from(literals.len()).unwrap_or(u16::MAX));
    for literal in literals {
        let start = out.len();
        out.put_u32(0);
        literal.put_value(sql, out);
        let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }
    out.put_u16(0);
}
