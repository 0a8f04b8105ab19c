//! What one client's connection remembers, and one statement through every stage.
//!
//! - [`dispatch`]: parse → plan → run → encode, for both protocols; read it first
//! - [`describe`]: what a statement takes and gives; its plan
//! - [`named`], [`prepared`], [`portal`]: Parse, Bind, Describe, Close; named statements and their plans; bound ones and
//!   suspended row streams
//! - [`pass`], [`bind_values`], [`lift`]: the short way of a statement that one shard answers whole; the values that Bind brings; texts
//!   without their literals
//! - [`execute`]: PREPARE and EXECUTE in SQL
//! - [`change_setting`], [`settings`], [`setting_value`], [`parameters`]: SET, SHOW, RESET; a session's
//!   parameters; how their values are read and shown; what parameters there are
//! - [`copy`]: COPY, both ways
//! - [`define`]: CREATE, ALTER, DROP
//! - [`block`], [`transaction`], [`commit`]: BEGIN to COMMIT, which shards take part, and how it ends
//! - [`sequence`]: numbers taken, for `currval` and `lastval`
//! - [`running`]: what cancels the statement that runs
//! - [`activity`]: what all sessions do and did, as tables show it

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bytes::BytesMut;
use dataman_node_protocol::record::{Batch, ColumnDescription, Format};

pub mod activity;
mod bind_values;
mod block;
mod change_setting;
pub mod commit;
pub mod copy;
pub mod cursor;
pub mod define;
mod describe;
pub mod dispatch;
mod execute;
mod explain;
pub(crate) mod lift;
mod named;
pub mod parameters;
pub mod pass;
pub mod portal;
pub mod prepared;
pub mod running;
pub(crate) mod sequence;
mod setting_value;
pub mod settings;
pub mod transaction;

pub(crate) use dispatch::now_us;

use crate::catalog::{SessionObjects, SettingChanges};
use crate::cluster::Cluster;
use crate::error::Error;
use crate::session::activity::Doing;
use crate::session::portal::Portals;
use crate::session::prepared::{PlanCache, PreparedStatements};
use crate::session::running::Running;
use crate::session::sequence::SharedTaken;
use crate::session::settings::Settings;
use crate::session::transaction::Transaction;
use crate::sqlstate::{Report, Severity};
use crate::writers::Writer;

/// Who a session is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The role.
    pub user: Arc<str>,
    /// The database.
    pub database: Arc<str>,
    /// `pg_backend_pid()`, which cancel requests name.
    pub process_id: i32,
    /// Whether the role is a superuser.
    pub superuser: bool,
}

/// What one client's connection remembers.
pub struct Session {
    /// The cluster.
    pub cluster: Arc<Cluster>,
    /// Who it is.
    pub identity: Identity,
    /// Its parameters.
    pub settings: Settings,
    pub(crate) plans: Arc<PlanCache>,
    pub(crate) transaction: Transaction,
    pub(crate) prepared: PreparedStatements,
    pub(crate) portals: Portals,
    pub(crate) running: Arc<Running>,
    pub(crate) sequences: SharedTaken,
    notices: Vec<Report>,
    /// Its place among the sessions that write.
    pub(crate) writer: Writer,
    /// Room for what goes ahead of the rows of a statement that passes.
    opening: BytesMut,
    lifting: lift::Lifting,
    /// What statements have set by `set_config`, until the session takes it over.
    setting_changes: Arc<SettingChanges>,
    /// What others are shown of it.
    pub(crate) doing: Arc<Doing>,
}

/// Where a statement's rows go.
#[async_trait]
pub trait RowSink: Send {
    /// The rows that follow have these columns, in these formats; called once, before the first row.
    fn columns(&mut self, columns: &[ColumnDescription], formats: &[Format]);

    /// Takes rows; waits when the client is slower.
    ///
    /// # Errors
    /// The client is gone.
    async fn rows(&mut self, batch: Batch) -> Result<(), Error>;
}

impl Session {
    /// A new session. `settings` are checked and hold what the client said at the start.
    pub fn new(
        cluster: Arc<Cluster>,
        plans: Arc<PlanCache>,
        identity: Identity,
        settings: Settings,
        running: Arc<Running>,
        client: Option<SocketAddr>,
    ) -> Self {
        let application = settings.view().raw("application_name").map(|(value, ..)| value);
        let application = application.unwrap_or_default();
        let doing = cluster.activity().join(&identity, client, &running, &application);
        Self {
            writer: cluster.writers().join(),
            cluster,
            identity,
            settings,
            plans,
            transaction: Transaction::default(),
            prepared: PreparedStatements::default(),
            portals: Portals::default(),
            running,
            sequences: SharedTaken::default(),
            notices: Vec::new(),
            opening: BytesMut::new(),
            lifting: lift::Lifting::default(),
            setting_changes: Arc::default(),
            doing,
        }
    }

    /// The status of ReadyForQuery: `I`, `T` or `E`.
    pub fn status(&self) -> u8 {
        self.transaction.status()
    }

    /// Tells the client something besides the answer, if `client_min_messages` lets it through.
    pub fn notice(&mut self, report: Report) {
        if report.severity >= self.settings.typed().messages || report.severity == Severity::Info {
            self.notices.push(report);
        }
    }

    /// What is to be told, in order.
    pub fn take_notices(&mut self) -> Vec<Report> {
        std::mem::take(&mut self.notices)
    }

    /// The schemas that unqualified names are looked up in: those of `search_path` that exist, in order. `pg_catalog` is in
    /// front of them unless the path names it.
    pub fn schemas(&self) -> Vec<String> {
        let snapshot = self.snapshot();
        let database = snapshot.database(&self.identity.database);
        let mut schemas: Vec<String> = Vec::new();
        for name in &self.settings.typed().search_path {
            let name = if name == "$user" { &*self.identity.user } else { name.as_str() };
            let exists = matches!(name, "pg_catalog" | "information_schema")
                || database.is_some_and(|database| database.schemas.contains_key(name));
            if exists && !schemas.iter().any(|known| known == name) {
                schemas.push(name.to_owned());
            }
        }
        schemas
    }

    /// The database's objects as a statement that begins now sees them.
    fn objects(&self) -> SessionObjects {
        SessionObjects {
            cluster: Arc::clone(&self.cluster),
            snapshot: self.snapshot(),
            database: Arc::clone(&self.identity.database),
            settings: self.settings.view().clone(),
            changes: Arc::clone(&self.setting_changes),
            catalog: OnceLock::new(),
            superuser: self.identity.superuser,
        }
    }

    /// Takes over what `set_config` was called with.
    pub(crate) fn adopt_settings(&mut self) -> Result<(), Error> {
        for change in self.setting_changes.take() {
            let scope =
                if change.local { settings::Scope::Local } else { settings::Scope::Session };
            self.settings.set(&change.name, change.value.as_deref(), scope)?;
        }
        Ok(())
    }

    /// Forgets what `set_config` was called with: the statement has failed.
    pub(crate) fn forget_settings(&self) {
        self.setting_changes.take();
    }

    /// Ends the session: what it had begun is rolled back.
    pub async fn close(mut self) {
        self.portals.clear();
        self.transaction.rollback().await;
    }
}
