//! `copy`: rows that follow as COPY data.

use dataman_pg::Expr;
use serde::{Deserialize, Serialize};

use crate::query::Target;

/// Records that are sent after the query, as COPY data in the format that it names. Only for PostgreSQL datasources; others
/// take `insert_many`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CopyIn {
    /// Where.
    #[serde(flatten)]
    pub target: Target,
    /// The fields given, in the order of the data's columns.
    pub fields: Vec<String>,
    /// How the data is written.
    pub format: CopyFormat,
    /// Which of the records are taken: over the record as source [`CopyIn::RECORD`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Expr>,
}

impl CopyIn {
    /// The name of the record in [`CopyIn::filter`].
    pub const RECORD: &'static str = "record";
}

/// The format of COPY data. A header is never part of what a node gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CopyFormat {
    /// Lines of fields with backslashes.
    Text {
        /// What stands between fields.
        delimiter: String,
        /// What NULL looks like.
        null: String,
    },
    /// Comma separated values.
    Csv {
        /// What stands between fields.
        delimiter: String,
        /// What NULL looks like.
        null: String,
        /// What fields are quoted with.
        quote: String,
        /// What a quote within quotes is escaped with.
        escape: String,
        /// The fields that are never NULL.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        force_not_null: Vec<String>,
        /// The fields that are NULL also in quotes.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        force_null: Vec<String>,
    },
    /// PostgreSQL's binary form, with its header and trailer.
    Binary,
}
