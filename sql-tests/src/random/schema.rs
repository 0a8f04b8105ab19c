//! The tables that statements are about, and their rows.

use rand::RngExt;
use rand::rngs::StdRng;

use super::kind::Kind::{self, *};

/// A table.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    /// Name, type as declared, type.
    pub(super) columns: &'static [(&'static str, &'static str, Kind)],
    /// The primary key: so many leading columns.
    pub(super) key: usize,
    /// dataman's options.
    pub(super) options: &'static str,
    /// Where there are two datastores, this table is on the second one.
    pub(super) second: bool,
}

/// Tables of every placement: two sharded alike, others by keys of other types, a reference one, a single one.
pub(super) const TABLES: &[Table] = &[
    Table {
        name: "a",
        columns: &[
            ("k", "int", Int4),
            ("id", "int", Int4),
            ("n", "numeric(20,2)", Numeric),
            ("s", "text", Text),
            ("b", "boolean", Bool),
            ("f", "float8", Float8),
            ("d", "int8", Int8),
            ("day", "date", Date),
        ],
        key: 2,
        options: "shard_key = 'k'",
        second: false,
    },
    Table {
        name: "c",
        columns: &[
            ("k", "int", Int4),
            ("id", "int", Int4),
            ("n", "numeric(20,3)", Numeric),
            ("v", "varchar(20)", Varchar),
            ("m", "smallint", Int2),
            ("at", "timestamp", Timestamp),
            ("u", "uuid", Uuid),
        ],
        key: 2,
        options: "shard_key = 'k'",
        second: false,
    },
    Table {
        name: "o",
        columns: &[
            ("s", "text", Text),
            ("k", "int", Int4),
            ("n", "numeric", Numeric),
            ("tz", "timestamptz", Timestamptz),
            ("iv", "interval", Interval),
            ("j", "jsonb", Jsonb),
            ("b", "boolean", Bool),
        ],
        key: 1,
        options: "shard_key = 's'",
        second: true,
    },
    Table {
        name: "h",
        columns: &[
            ("id", "int8", Int8),
            ("c", "char(4)", Char),
            ("by", "bytea", Bytea),
            ("t", "time", Time),
            ("tt", "timetz", Timetz),
            ("r", "real", Float4),
            ("l", "int[]", Ints),
            ("w", "text[]", Texts),
            ("e", "mood", Mood),
            ("js", "json", Json),
            ("k", "int", Int4),
        ],
        key: 1,
        options: "shard_key = 'id'",
        second: true,
    },
    Table {
        name: "r",
        columns: &[
            ("k", "int", Int4),
            ("s", "text", Text),
            ("n", "numeric(20,2)", Numeric),
            ("day", "date", Date),
        ],
        key: 1,
        options: "placement = 'reference'",
        second: false,
    },
    Table {
        name: "g",
        columns: &[
            ("k", "int", Int4),
            ("c", "char(4)", Char),
            ("d", "int8", Int8),
            ("at", "timestamp", Timestamp),
            ("s", "text", Text),
        ],
        key: 1,
        options: "",
        second: true,
    },
];

/// The type that the tables need.
pub(super) const TYPE: &str = "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')";

impl Table {
    /// The definition, for a cluster with a second datastore of a name or without.
    pub(super) fn definition(&self, second: Option<&str>) -> String {
        let columns: Vec<String> = self
            .columns
            .iter()
            .enumerate()
            .map(|(place, (name, declared, _))| {
                let not_null = if place < self.key { " NOT NULL" } else { "" };
                format!("{name} {declared}{not_null}")
            })
            .collect();
        let mut options = vec![self.options.to_owned()];
        if let (true, Some(second)) = (self.second, second) {
            options.push(format!("datastore = '{second}'"));
        }
        options.retain(|option| !option.is_empty());
        let options = if options.is_empty() {
            String::new()
        } else {
            format!(" WITH ({})", options.join(", "))
        };
        format!(
            "CREATE TABLE {} ({}, PRIMARY KEY ({})){options}",
            self.name,
            columns.join(", "),
            self.key_names().join(", ")
        )
    }

    /// The primary key's columns.
    pub(super) fn key_names(&self) -> Vec<&'static str> {
        self.columns[..self.key].iter().map(|(name, _, _)| *name).collect()
    }

    /// A statement that fills the empty table.
    pub(super) fn fill(&self, rng: &mut StdRng) -> String {
        let rows = rng.random_range(9..24);
        let rows: Vec<String> = (0..rows)
            .map(|row| {
                let values: Vec<String> =
                    (0..self.columns.len()).map(|place| self.value(rng, place, row)).collect();
                format!("({})", values.join(", "))
            })
            .collect();
        format!("INSERT INTO {} VALUES {}", self.name, rows.join(", "))
    }

    fn value(&self, rng: &mut StdRng, place: usize, row: usize) -> String {
        let (_, _, kind) = self.columns[place];
        if place < self.key {
            // The last column of the key makes the row unique.
            return match kind {
                Text => format!("'{}{}'", ["a", "b", "zz", "A"][row % 4], row / 4),
                _ if place + 1 == self.key => (row + row / 7).to_string(),
                _ => rng.random_range(0..6).to_string(),
            };
        }
        if rng.random_range(0..7) == 0 {
            return "NULL".to_owned();
        }
        let values = kind.values();
        kind.literal(Some(values[rng.random_range(0..values.len())]))
    }
}
