//! What PostgreSQL says of a table or column that cannot be named at some place: what it might have been instead.

use dataman_pg::PgError;

use super::Binder;
use super::scope::Scope;

/// An item of FROM, or the table a statement changes, whether or not the place at hand can see it.
#[derive(Debug, Clone)]
pub(crate) struct RangeEntry {
    /// Its alias, or the table's name.
    pub(crate) name: String,
    /// Whether the statement gave it that name.
    pub(crate) alias: bool,
    /// What it is.
    pub(crate) kind: RangeKind,
    /// The names of its columns.
    pub(crate) columns: Vec<String>,
}

/// What an item of FROM is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RangeKind {
    /// A table, view or common table of this name.
    Relation(String),
    /// A subquery or function.
    Derived,
    /// A join with a name.
    Join,
}

/// Names further apart are not taken for each other.
const DISTANCE_MAX: usize = 3;

impl Binder<'_> {
    /// Remembers an item of the query being bound.
    pub(crate) fn enter_range(&mut self, entry: RangeEntry) {
        if let Some(level) = self.range.last_mut() {
            level.push(entry);
        }
    }

    /// `42P01` for a qualifier that names nothing in sight.
    pub(crate) fn missing_table(&self, name: &str, scope: &Scope<'_>) -> PgError {
        let found = self.range.iter().rev().flatten().find(|entry| {
            entry.name == name
                || matches!(&entry.kind, RangeKind::Relation(relation) if relation == name)
        });
        let Some(found) = found else {
            return PgError::new(
                "42P01",
                format!("missing FROM-clause entry for table \"{name}\""),
            );
        };
        let error = PgError::new(
            "42P01",
            format!("invalid reference to FROM-clause entry for table \"{name}\""),
        );
        if found.alias && found.name != name && scope.table(None, &found.name).is_ok() {
            let alias = &found.name;
            return error
                .with_hint(format!("Perhaps you meant to reference the table alias \"{alias}\"."));
        }
        let name = &found.name;
        error.with_hint(format!(
            "There is an entry for table \"{name}\", but it cannot be referenced from this part of the query."
        ))
    }

    /// `42703` for a column that is nowhere in sight, or not in the table that it is asked of.
    pub(crate) fn missing_column(&self, table: Option<&str>, name: &str) -> PgError {
        let error = PgError::new(
            "42703",
            match table {
                Some(table) => format!("column {table}.{name} does not exist"),
                None => format!("column \"{name}\" does not exist"),
            },
        );
        let mut search =
            Search { best: DISTANCE_MAX + 1, first: None, second: None, name: name.to_owned() };
        for entry in self.range.iter().rev().flatten() {
            if entry.kind == RangeKind::Join {
                continue;
            }
            let penalty = table.map_or(0, |table| distance(table, &entry.name));
            for column in &entry.columns {
                search.consider(entry, column, penalty);
            }
            if penalty == 0 && entry.columns.iter().any(|column| column == name) {
                return error.with_hint(format!(
                    "There is a column named \"{name}\" in table \"{}\", but it cannot be referenced from this part of the query.",
                    entry.name
                ));
            }
        }
        match (search.first, search.second) {
            (Some((table, column)), None) => error.with_hint(format!(
                "Perhaps you meant to reference the column \"{table}.{column}\"."
            )),
            (Some((table, column)), Some((other_table, other))) => error.with_hint(format!(
                "Perhaps you meant to reference the column \"{table}.{column}\" or the column \"{other_table}.{other}\"."
            )),
            (None, _) => error,
        }
    }
}

/// The search for the one or two columns whose names are nearest to one that does not exist.
struct Search {
    name: String,
    best: usize,
    first: Option<(String, String)>,
    second: Option<(String, String)>,
}

impl Search {
    fn consider(&mut self, entry: &RangeEntry, column: &str, penalty: usize) {
        if penalty > self.best {
            return;
        }
        let own = distance(column, &self.name);
        // More than half of the letters are others, or it is further away than the best.
        if own > self.name.len() / 2 || own + penalty > self.best {
            return;
        }
        let found = Some((entry.name.clone(), column.to_owned()));
        if own + penalty < self.best {
            self.best = own + penalty;
            (self.first, self.second) = (found, None);
        } else if self.second.is_some() {
            // Three are as near as each other: none of them is meant.
            (self.first, self.second) = (None, None);
        } else if self.first.is_some() {
            self.second = found;
        } else if self.best <= DISTANCE_MAX {
            self.first = found;
        }
    }
}

/// How many letters must be added, taken away or changed to make one name of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (place, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = place + 1;
        for (column, wanted) in other.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *wanted);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::distance;

    fn check(one: &str, other: &str, expected: usize) {
        assert_eq!(distance(one, other), expected, "{one} {other}");
        assert_eq!(distance(other, one), expected, "{other} {one}");
    }

    #[test]
    fn distances() {
        check("", "", 0);
        check("", "abc", 3);
        check("uunique1", "unique1", 1);
        check("kitten", "sitting", 3);
    }
}
