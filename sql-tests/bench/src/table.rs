//! The tables that workloads run on, and how they are filled.

use crate::error::Error;
use crate::form::Target;
use crate::wire::Client;

/// How many rows one INSERT carries where rows are inserted in batches.
pub(crate) const BATCH_ROWS: u64 = 1000;

/// How many rows one CopyData message carries.
const COPY_PIECE_ROWS: u64 = 500;

/// A table of the workloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Table {
    /// pgbench's accounts, sharded by their number.
    Accounts,
    /// Branches of the TPC-B-like transaction, all four tables sharded by the branch.
    Branches,
    /// Tellers of it.
    Tellers,
    /// Accounts of it.
    BranchAccounts,
    /// History of it, empty at first.
    History,
    /// What point inserts fill, empty at first.
    Inserts,
    /// What is counted, grouped, sorted and scanned.
    Facts,
    /// What bulk loads fill, empty at first; its rows are those of facts.
    Sink,
}

/// How many rows the tables get.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// Rows of [`Table::Accounts`].
    pub(crate) accounts: u64,
    /// Rows of [`Table::Branches`]: as many transactions can run side by side.
    pub(crate) branches: u64,
    /// Rows of [`Table::BranchAccounts`] a branch.
    pub(crate) branch_accounts: u64,
    /// Rows of [`Table::Facts`].
    pub(crate) facts: u64,
    /// How many rows a bulk INSERT writes.
    pub(crate) bulk_insert: u64,
    /// How many rows a COPY writes.
    pub(crate) bulk_copy: u64,
    /// How many connections lie idle.
    pub(crate) idle: u64,
}

/// How many tellers a branch has.
pub(crate) const TELLERS: u64 = 10;

/// How many groups the facts fall into.
pub(crate) const GROUPS: u64 = 100;

impl Table {
    /// What it is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Accounts => "pgbench_accounts",
            Self::Branches => "tpcb_branches",
            Self::Tellers => "tpcb_tellers",
            Self::BranchAccounts => "tpcb_accounts",
            Self::History => "tpcb_history",
            Self::Inserts => "point_inserts",
            Self::Facts => "facts",
            Self::Sink => "sink",
        }
    }

    fn columns(self) -> (&'static str, &'static str) {
        match self {
            Self::Accounts => {
                ("aid int PRIMARY KEY, bid int, abalance int, filler char(84)", "aid")
            }
            Self::Branches => ("bid int PRIMARY KEY, bbalance int, filler char(88)", "bid"),
            Self::Tellers => {
                ("tid int, bid int, tbalance int, filler char(84), PRIMARY KEY (bid, tid)", "bid")
            }
            Self::BranchAccounts => {
                ("aid int, bid int, abalance int, filler char(84), PRIMARY KEY (bid, aid)", "bid")
            }
            Self::History => {
                ("tid int, bid int, aid int, delta int, mtime timestamp, filler char(22)", "bid")
            }
            Self::Inserts => ("id bigint PRIMARY KEY, amount int, note text", "id"),
            Self::Facts | Self::Sink => {
                ("id bigint PRIMARY KEY, grp int, amount int, note text", "id")
            }
        }
    }

    /// How many rows it gets before workloads run.
    fn rows(self, sizes: &Sizes) -> u64 {
        match self {
            Self::Accounts => sizes.accounts,
            Self::Branches => sizes.branches,
            Self::Tellers => sizes.branches * TELLERS,
            Self::BranchAccounts => sizes.branches * sizes.branch_accounts,
            Self::Facts => sizes.facts,
            Self::History | Self::Inserts | Self::Sink => 0,
        }
    }

    /// A row's values, the first row being 1. None needs quoting within its quotes, or escaping in COPY.
    fn row(self, number: u64, sizes: &Sizes) -> Vec<String> {
        let text = |values: [u64; 3]| values.map(|value| value.to_string()).to_vec();
        let mut row = match self {
            Self::Accounts => text([number, number % 10 + 1, balance(number)]),
            Self::Branches => return vec![number.to_string(), "0".to_owned(), String::new()],
            Self::Tellers => text([(number - 1) % TELLERS + 1, (number - 1) / TELLERS + 1, 0]),
            Self::BranchAccounts => {
                let each = sizes.branch_accounts;
                text([(number - 1) % each + 1, (number - 1) / each + 1, 0])
            }
            Self::Facts | Self::Sink => {
                let mut row = text([number, number % GROUPS, number * 7919 % 1_000_003]);
                row.push(format!("note {number:08}"));
                return row;
            }
            Self::History | Self::Inserts => text([number; 3]),
        };
        row.push(String::new());
        row
    }

    /// Creates it anew, and fills it.
    pub(crate) fn make(self, target: &Target, sizes: &Sizes) -> Result<(), Error> {
        let mut client = Client::connect(&target.endpoint)?;
        let (columns, key) = self.columns();
        let name = self.name();
        client.execute(&format!("DROP TABLE IF EXISTS {name}"))?;
        let options = if target.form.is_sharded() {
            format!(" WITH (shard_key = '{key}')")
        } else {
            String::new()
        };
        client.execute(&format!("CREATE TABLE {name} ({columns}){options}"))?;
        let rows = self.rows(sizes);
        if rows == 0 {
            return Ok(());
        }
        match client.copy_in(&format!("COPY {name} FROM STDIN"), &self.copy_pieces(rows, sizes)) {
            Err(Error::Server { .. }) => {
                for statement in self.insert_statements(rows, sizes) {
                    client.execute(&statement)?;
                }
            }
            outcome => outcome?,
        }
        for database in &target.databases {
            Client::connect(database)?.execute("VACUUM ANALYZE")?;
        }
        Ok(())
    }

    /// The first rows as pieces of COPY's text format.
    pub(crate) fn copy_pieces(self, rows: u64, sizes: &Sizes) -> Vec<Vec<u8>> {
        let pieces = chunks(rows, COPY_PIECE_ROWS);
        let piece = |(from, to): (u64, u64)| {
            let lines = (from..to).map(|number| self.row(number, sizes).join("\t") + "\n");
            lines.collect::<String>().into_bytes()
        };
        pieces.map(piece).collect()
    }

    /// The first rows as INSERT statements of [`BATCH_ROWS`] rows each.
    pub(crate) fn insert_statements(self, rows: u64, sizes: &Sizes) -> Vec<String> {
        let statement = |(from, to): (u64, u64)| {
            let rows =
                (from..to).map(|number| format!("('{}')", self.row(number, sizes).join("', '")));
            format!("INSERT INTO {} VALUES {}", self.name(), rows.collect::<Vec<_>>().join(", "))
        };
        // Numbers without quotes, as a program would write them.
        chunks(rows, BATCH_ROWS).map(statement).map(unquote_numbers).collect()
    }
}

/// Ranges of at most `size` numbers that cover `1..=rows`.
fn chunks(rows: u64, size: u64) -> impl Iterator<Item = (u64, u64)> {
    (0..rows.div_ceil(size))
        .map(move |chunk| (chunk * size + 1, ((chunk + 1) * size).min(rows) + 1))
}

/// The balance that an account starts with: not all the same, so that a wrong row shows.
pub(crate) fn balance(account: u64) -> u64 {
    account * 31 % 10_007
}

fn unquote_numbers(statement: String) -> String {
    let mut parts = statement.split('\'');
    let mut text = parts.next().unwrap_or_default().to_owned();
    while let (Some(value), Some(after)) = (parts.next(), parts.next()) {
        if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
            text.push_str(value);
        } else {
            text.extend(["'", value, "'"]);
        }
        text.push_str(after);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: Sizes = Sizes {
        accounts: 2,
        branches: 2,
        branch_accounts: 3,
        facts: 1001,
        bulk_insert: 0,
        bulk_copy: 0,
        idle: 0,
    };

    #[test]
    fn rows_are_written_both_ways() {
        let statements = Table::Accounts.insert_statements(2, &SIZES);
        assert_eq!(
            statements,
            ["INSERT INTO pgbench_accounts VALUES (1, 2, 31, ''), (2, 3, 62, '')"]
        );
        let pieces = Table::BranchAccounts.copy_pieces(6, &SIZES);
        assert_eq!(
            String::from_utf8_lossy(&pieces.concat()),
            "1\t1\t0\t\n2\t1\t0\t\n3\t1\t0\t\n1\t2\t0\t\n2\t2\t0\t\n3\t2\t0\t\n"
        );
    }

    #[test]
    fn no_row_is_lost_between_batches() {
        assert_eq!(Table::Facts.insert_statements(1001, &SIZES).len(), 2);
        let all: Vec<_> = chunks(1001, 1000).collect();
        assert_eq!(all, [(1, 1001), (1001, 1002)]);
    }
}
