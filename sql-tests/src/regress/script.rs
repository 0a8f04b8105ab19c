//! What psql is given: the pieces of a file with a mark after each, and definitions that shard where that is possible.

use std::collections::HashSet;

use super::split::{Piece, words};

/// What stands before the number of a piece in psql's output.
pub const MARK: &str = "=~=~= ";

/// In how many other orders a statement is run again.
const ORDERS: usize = 32;

/// Whom a script is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// dataman: tables are sharded if they have a key.
    Dataman,
    /// The plain server.
    Plain,
}

/// Makes the script of one file. Temporary tables are made as ordinary ones, on both sides, and dropped at the end: what is
/// done with them is then judged too.
/// What stands in `again` is run again with the rows of its tables in other orders.
pub fn script(pieces: &[Piece], side: Side, again: &HashSet<usize>) -> String {
    let mut out = String::new();
    let mut temporary = Vec::new();
    let mut is_block_open = false;
    let in_blocks = written_in_blocks(pieces);
    let statements: Vec<&str> = pieces
        .iter()
        .filter_map(|piece| match piece {
            Piece::Statement(text) => Some(text.as_str()),
            Piece::Command(_) => None,
        })
        .collect();
    for (number, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Command(text) => out.push_str(text),
            Piece::Statement(text) => {
                let text = client_copy(&ordinary(text, &mut temporary));
                let whole = words(&text).nth(2).is_some_and(|table| in_blocks.contains(&table));
                match sharded(&text, &statements).filter(|_| side == Side::Dataman && !whole) {
                    Some(sharded) => {
                        // What the first attempt printed is not looked at.
                        out.push_str(&format!("{sharded}\n\\if :ERROR\n\\echo {MARK}again\n"));
                        out.push_str(&format!("{text}\n\\endif\n"));
                    }
                    None => out.push_str(&text),
                }
            }
        }
        let again: Vec<String> = match piece {
            Piece::Statement(text) => {
                let mut found = words(text);
                match found.next().as_deref() {
                    Some("begin" | "start") => is_block_open = true,
                    Some("commit" | "end" | "abort") => is_block_open = false,
                    Some("rollback") if found.next().as_deref() != Some("to") => {
                        is_block_open = false
                    }
                    _ => {}
                }
                let salts = if again.contains(&number) && !is_block_open { ORDERS } else { 0 };
                (0..salts).filter_map(|salt| reordered(text, salt)).collect()
            }
            Piece::Command(_) => Vec::new(),
        };
        if !out.ends_with('\n') {
            out.push('\n');
        }
        out.push_str(&format!("\\echo {MARK}{number} :SQLSTATE\n"));
        let by_keys = match piece {
            Piece::Statement(text) if !again.is_empty() => keyed(text),
            _ => None,
        };
        if let Some(text) = by_keys {
            out.push_str(&format!(
                "\\echo {MARK}again\n{text}\n\\echo {MARK}keyed{number} :SQLSTATE\n"
            ));
        }
        for again in again {
            out.push_str(&format!("{again}\\echo {MARK}reordered{number} :SQLSTATE\n"));
            out.push_str("ROLLBACK;\n");
        }
    }
    out.push_str("ROLLBACK;\n");
    for table in temporary {
        out.push_str(&format!("DROP {table} CASCADE;\n"));
    }
    out
}

/// The tables that are written to within transaction blocks. They are not sharded: such a block may write to one shard.
fn written_in_blocks(pieces: &[Piece]) -> HashSet<String> {
    let mut is_open = false;
    let mut written = HashSet::new();
    for piece in pieces {
        let Piece::Statement(text) = piece else { continue };
        let found: Vec<String> = words(text).take(3).collect();
        let found: Vec<&str> = found.iter().map(String::as_str).collect();
        match found.as_slice() {
            ["begin" | "start", ..] => is_open = true,
            ["commit" | "end" | "abort" | "rollback", ..] => is_open = false,
            ["insert", "into", table] | ["delete", "from", table] | ["update", table, ..]
                if is_open =>
            {
                written.insert((*table).to_owned());
            }
            _ => {}
        }
    }
    written
}

/// A query once more, with a copy of each of its tables in front of it whose rows lie in another order; what this prints
/// ahead of the query's own output is forgotten. A query within a block is left alone: it would end with the copies.
fn reordered(text: &str, salt: usize) -> Option<String> {
    let first = words(text).next()?;
    let is_query = matches!(first.as_str(), "select" | "with" | "table");
    let writes = ["into", "insert", "update", "delete", "setval", "nextval"];
    let writes_or_sets =
        text.contains('\\') || words(text).any(|word| writes.contains(&word.as_str()));
    if !is_query || writes_or_sets {
        return None;
    }
    let mut named: Vec<String> = words(text).collect();
    named.sort_unstable();
    named.dedup();
    let list: Vec<String> =
        named.iter().map(|word| format!("'{}'", word.replace('\'', "''"))).collect();
    Some(format!(
        "BEGIN;\nSET LOCAL client_min_messages = error;\n\
         SELECT format('CREATE TEMP TABLE %I AS SELECT * FROM %s AS r ORDER BY md5(r::text || ''{salt}'')', c.relname, c.oid::regclass) \
         FROM pg_class c WHERE c.relkind = 'r' AND pg_table_is_visible(c.oid) AND c.relnamespace <> \
         'pg_catalog'::regnamespace AND c.relname IN ({list}) \\gexec\n\\echo {MARK}again\n{text}\n",
        list = list.join(", "),
        text = if salt.is_multiple_of(2) { text.to_owned() } else { swapped(text) },
    ))
}

/// A query with the keys of its ORDER BY as further columns. `None` where its text does not say what to write.
fn keyed(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let (mut depth, mut quote, mut word) = (0_i32, None, 0);
    let mut outer: Vec<(usize, &str)> = Vec::new();
    let mut commas = Vec::new();
    for (at, letter) in lower.char_indices() {
        let is_word = letter.is_ascii_alphanumeric() || letter == '_';
        if !is_word {
            if depth == 0 && quote.is_none() && word < at {
                outer.push((word, &lower[word..at]));
            }
            word = at + letter.len_utf8();
        }
        match (quote, letter) {
            (Some(open), letter) if letter == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(letter),
            (None, '(' | '[') => depth += 1,
            (None, ')' | ']') => depth -= 1,
            (None, ',') if depth == 0 => commas.push(at),
            _ => {}
        }
    }
    let find = |wanted: &str| outer.iter().find(|(_, word)| *word == wanted).map(|(at, _)| *at);
    let others = ["union", "intersect", "except", "distinct", "into", "using", "insert", "update"];
    if text.contains("--") || others.iter().any(|word| find(word).is_some()) {
        return None;
    }
    let (from, order) = (find("from")?, find("order")?);
    let start = outer.iter().find(|(at, word)| *at > order && *word == "by")?.0 + "by".len();
    let ends = ["limit", "offset", "fetch", "for", "window"];
    let end = outer.iter().find(|(at, word)| *at > start && ends.contains(word));
    let end = end.map_or(lower.trim_end().trim_end_matches(';').len(), |(at, _)| *at);
    let mut bounds = vec![start];
    bounds.extend(commas.into_iter().filter(|at| (start..end).contains(at)));
    bounds.push(end);
    let mut columns = String::new();
    for pair in bounds.windows(2) {
        let mut key = text[pair[0]..pair[1]].trim_start_matches(',').trim();
        for suffix in ["nulls first", "nulls last", "asc", "desc"] {
            let at = key.len().saturating_sub(suffix.len());
            if key.is_char_boundary(at) && key[at..].eq_ignore_ascii_case(suffix) {
                key = key[..at].trim_end();
            }
        }
        if key.is_empty() || key.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        columns.push_str(&format!(", ({key})"));
    }
    Some(format!("{}{columns} {}", text[..from].trim_end(), &text[from..]))
}

/// The text with the last two arms of each UNION ALL of three or more exchanged: which of them comes first is not said.
fn swapped(text: &str) -> String {
    const WORD: &str = "union all";
    let lower = text.to_ascii_lowercase();
    let mut open: Vec<Vec<usize>> = vec![Vec::new()];
    for (at, letter) in lower.char_indices() {
        match letter {
            '(' => open.push(Vec::new()),
            ')' => {
                let found = open.pop().unwrap_or_default();
                let [.., first, second] = found.as_slice() else { continue };
                let (one, other) =
                    (&text[first + WORD.len()..*second], &text[second + WORD.len()..at]);
                if lower[*second..at].contains("order by") {
                    continue;
                }
                let (before, after) = (&text[..first + WORD.len()], &text[at..]);
                return format!("{before}{other} {WORD} {one}{after}");
            }
            _ if lower[at..].starts_with(WORD) => {
                if let Some(found) = open.last_mut() {
                    found.push(at);
                }
            }
            _ => {}
        }
    }
    text.to_owned()
}

/// A definition of a temporary table, view or sequence as that of an ordinary one.
fn ordinary(text: &str, temporary: &mut Vec<String>) -> String {
    let found: Vec<String> = words(text).take(4).collect();
    let is_temporary = found.len() == 4
        && found[0] == "create"
        && matches!(found[1].as_str(), "temp" | "temporary")
        && matches!(found[2].as_str(), "table" | "view" | "sequence");
    if !is_temporary {
        return text.to_owned();
    }
    temporary.push(format!("{} IF EXISTS {}", found[2], found[3]));
    let mut shortened = text.to_owned();
    for word in [" TEMPORARY", " temporary", " TEMP", " temp"] {
        if let Some(at) = text.find(word) {
            shortened.replace_range(at..at + word.len(), "");
            break;
        }
    }
    let on_commit = shortened.to_lowercase().find("on commit");
    on_commit.map_or(shortened.clone(), |at| format!("{};", &shortened[..at]))
}

/// `COPY t FROM 'file'` as psql's own copy: dataman reads no files of its machine.
fn client_copy(text: &str) -> String {
    let trimmed = text.trim();
    match trimmed.strip_prefix("COPY ").and_then(|rest| rest.split_once(" FROM :'filename'")) {
        Some((table, _)) => {
            format!("\\set command '\\\\copy ' '{table}' ' from ' :filename\n:command\n")
        }
        None => text.to_owned(),
    }
}

/// Types whose columns make a good shard key.
const KEY_TYPES: &[&str] = &[
    "int", "integer", "int4", "int2", "int8", "smallint", "bigint", "serial", "text", "varchar",
    "name", "numeric", "date",
];

/// The definition with a shard key: the first column of its primary key, else its first column if it is of a type that
/// makes a good key. `None` if it has none, says itself how it is laid out, or if a statement leaves the key empty or changes
/// it.
fn sharded(text: &str, statements: &[&str]) -> Option<String> {
    let found: Vec<String> = words(text).collect();
    let is_table = found.len() > 3 && found[0] == "create" && found[1] == "table";
    let elsewhere = ["inherits", "partition", "as", "like", "with", "of", "exclude", "on"];
    if !is_table || found.iter().any(|word| elsewhere.contains(&word.as_str())) {
        return None;
    }
    let uncommented: Vec<&str> =
        text.lines().map(|line| line.split("--").next().unwrap_or(line)).collect();
    let text = uncommented.join("\n");
    let body = text.trim_end().trim_end_matches(';');
    let end = body.rfind(')')?;
    let columns = &body[body.find('(')? + 1..end];
    let of_key = columns.to_lowercase().find("primary key").and_then(|at| {
        let listed = columns[at + "primary key".len()..].trim_start();
        match listed.strip_prefix('(') {
            Some(list) => words(list).next(),
            None => {
                let own = columns[..at].rfind(',').map_or(0, |comma| comma + 1);
                words(&columns[own..at]).next()
            }
        }
    });
    let mut first = words(columns);
    let (name, ty) = (first.next()?, first.next()?);
    let key = of_key.or_else(|| KEY_TYPES.contains(&ty.as_str()).then_some(name.clone()))?;
    if statements.iter().any(|statement| spoils_key(statement, &found[2], &key, key == name)) {
        return None;
    }
    Some(format!("{} WITH (shard_key = '{key}');", &body[..=end]))
}

/// Whether a statement puts rows without the key into the table, or gives the key another value.
fn spoils_key(statement: &str, table: &str, key: &str, is_first: bool) -> bool {
    let found: Vec<String> = words(statement).collect();
    let begins = |start: &[&str]| {
        found.len() > start.len()
            && start.iter().zip(&found).all(|(word, found)| word == found)
            && found[start.len()] == table
    };
    if begins(&["insert", "into"]) {
        let flat: String = statement.to_lowercase().split_whitespace().collect();
        let behind = flat.split_once(&format!("into{table}")).map_or("", |(_, rest)| rest);
        let listed = behind.strip_prefix('(').and_then(|rest| rest.split_once(')'));
        return match listed {
            Some((columns, _)) => {
                !columns.split(',').any(|column| column == key)
                    || columns.starts_with(key) && behind.contains("(null")
            }
            None => behind.starts_with("default") || is_first && behind.contains("(null"),
        };
    }
    if begins(&["copy"]) {
        return is_first && statement.lines().any(|line| line.starts_with("\\N"));
    }
    begins(&["update"]) && found.windows(2).any(|pair| pair[0] == "set" && pair[1] == key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        let key = sharded(text, &[]).and_then(|text| {
            text.split_once("shard_key = '")
                .map(|(_, rest)| rest.trim_end_matches("');").to_owned())
        });
        assert_eq!(key.as_deref(), expected, "{text}");
    }

    #[test]
    fn keys_become_columns() {
        assert_eq!(
            keyed("select a, (select 1 from u) from t order by a + 1 desc, f(b, c) nulls last limit 3;").as_deref(),
            Some("select a, (select 1 from u), (a + 1), (f(b, c)) from t order by a + 1 desc, f(b, c) nulls last limit 3;")
        );
        assert_eq!(keyed("select a from t order by 1;"), None);
        assert_eq!(keyed("select a from t;"), None);
        assert_eq!(keyed("select a from t union select 1 order by a;"), None);
    }

    #[test]
    fn arms_change_places() {
        let text = "select * from (select 1 union all select 2 union all select 3) x";
        let expected = "select * from (select 1 union all select 3 union all  select 2 ) x";
        assert_eq!(swapped(text), expected);
        assert_eq!(swapped("select 1 union all select 2"), "select 1 union all select 2");
    }

    #[test]
    fn tables_get_keys() {
        check("CREATE TABLE t (a int, b int primary key);", Some("b"));
        check("CREATE TABLE t (a int, b int, primary key (b, a));", Some("b"));
        check("-- one\nCREATE TABLE t (a numeric(3,2));", Some("a"));
        check("CREATE TABLE t (a point, b int);", None);
        check("CREATE TABLE t (a int) INHERITS (u);", None);
        check("CREATE TABLE t AS SELECT 1;", None);
        let table = "CREATE TABLE t (a int, b int);";
        assert!(sharded(table, &["insert into t values (1, null);"]).is_some());
        assert!(sharded(table, &["insert into t values (1, 2), (null, null);"]).is_none());
        assert!(sharded(table, &["insert into t (b) values (1);"]).is_none());
        assert!(sharded(table, &["update t set a = 1;"]).is_none());
    }
}
