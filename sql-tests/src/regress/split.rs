//! A psql script as the statements and commands that it is made of.

/// One piece of a script, with everything that belongs to it: its `;` or `\gset`, and the data of a COPY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// SQL that psql sends.
    Statement(String),
    /// A line that psql itself carries out.
    Command(String),
}

/// Where the scanner is.
enum State {
    Plain,
    Line,
    Block(u32),
    Quoted(char, bool),
    Dollar(String),
}

/// Cuts a script as psql does: at semicolons outside of quotes, comments and parentheses, and at backslash commands.
pub fn split(script: &str) -> Vec<Piece> {
    let mut scanner = Scanner { rest: script, buffer: String::new(), pieces: Vec::new() };
    scanner.run();
    scanner.pieces
}

struct Scanner<'a> {
    rest: &'a str,
    buffer: String,
    pieces: Vec<Piece>,
}

impl Scanner<'_> {
    fn take(&mut self, bytes: usize) {
        let (taken, rest) = self.rest.split_at(bytes);
        self.buffer.push_str(taken);
        self.rest = rest;
    }

    fn run(&mut self) {
        let mut state = State::Plain;
        let mut depth = 0_i32;
        while let Some(first) = self.rest.chars().next() {
            match &mut state {
                State::Line => {
                    if first == '\n' {
                        state = State::Plain;
                    }
                    self.take(first.len_utf8());
                }
                State::Block(nested) => {
                    if self.rest.starts_with("*/") {
                        *nested -= 1;
                        let is_over = *nested == 0;
                        self.take(2);
                        if is_over {
                            state = State::Plain;
                        }
                    } else if self.rest.starts_with("/*") {
                        *nested += 1;
                        self.take(2);
                    } else {
                        self.take(first.len_utf8());
                    }
                }
                State::Quoted(quote, escapes) => {
                    if first == '\\' && *escapes {
                        let after = self.rest[1..].chars().next().map_or(0, char::len_utf8);
                        self.take(1 + after);
                        continue;
                    }
                    let is_over = first == *quote;
                    self.take(first.len_utf8());
                    if is_over {
                        state = State::Plain;
                    }
                }
                State::Dollar(tag) => {
                    if self.rest.starts_with(tag.as_str()) {
                        let length = tag.len();
                        self.take(length);
                        state = State::Plain;
                    } else {
                        self.take(first.len_utf8());
                    }
                }
                State::Plain => match first {
                    '-' if self.rest.starts_with("--") => {
                        state = State::Line;
                        self.take(2);
                    }
                    '/' if self.rest.starts_with("/*") => {
                        state = State::Block(1);
                        self.take(2);
                    }
                    '\'' | '"' => {
                        let mut before = self.buffer.chars().rev();
                        let escapes = matches!(before.next(), Some('e' | 'E'))
                            && !before.next().is_some_and(|c| c.is_alphanumeric() || c == '_');
                        state = State::Quoted(first, first == '\'' && escapes);
                        self.take(1);
                    }
                    '$' => match dollar_tag(self.rest, &self.buffer) {
                        Some(tag) => {
                            self.take(tag.len());
                            state = State::Dollar(tag);
                        }
                        None => self.take(1),
                    },
                    '(' | ')' => {
                        depth += if first == '(' { 1 } else { -1 };
                        self.take(1);
                    }
                    '\\' if self.rest.starts_with("\\;") => self.take(2),
                    '\\' => {
                        let end = self.rest.find('\n').map_or(self.rest.len(), |end| end + 1);
                        let is_sql = !is_blank(&self.buffer);
                        self.take(end);
                        let text = std::mem::take(&mut self.buffer);
                        self.pieces.push(if is_sql {
                            Piece::Statement(text)
                        } else {
                            Piece::Command(text)
                        });
                        depth = 0;
                    }
                    ';' if depth <= 0 && !is_within_body(&self.buffer) => {
                        self.take(1);
                        self.finish_line();
                        if copies_data(&self.buffer) {
                            let end =
                                self.rest.find("\n\\.\n").map_or(self.rest.len(), |at| at + 4);
                            self.take(end);
                        }
                        self.pieces.push(Piece::Statement(std::mem::take(&mut self.buffer)));
                        depth = 0;
                    }
                    _ => self.take(first.len_utf8()),
                },
            }
        }
        if !is_blank(&self.buffer) {
            self.pieces.push(Piece::Statement(std::mem::take(&mut self.buffer)));
        }
    }

    /// Takes a comment that stands behind a statement, and the line's end.
    fn finish_line(&mut self) {
        let end = self.rest.find('\n').map_or(self.rest.len(), |end| end + 1);
        let tail = self.rest[..end].trim();
        if tail.is_empty() || (tail.starts_with("--")) {
            self.take(end);
        }
    }
}

/// Whether a function's body between BEGIN ATOMIC and END has not ended.
fn is_within_body(statement: &str) -> bool {
    let found: Vec<String> = words(statement).collect();
    let is_routine = found.first().is_some_and(|word| word == "create")
        && found.iter().take(4).any(|word| word == "function" || word == "procedure");
    let Some(body) = found.windows(2).position(|pair| pair[0] == "begin" && pair[1] == "atomic")
    else {
        return false;
    };
    let depth = found[body..].iter().fold(0, |depth: i32, word| match word.as_str() {
        "begin" | "case" => depth + 1,
        "end" => depth - 1,
        _ => depth,
    });
    is_routine && depth > 0
}

/// Whether nothing but comments and blanks stands there.
fn is_blank(text: &str) -> bool {
    text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with("--"))
}

fn dollar_tag(rest: &str, before: &str) -> Option<String> {
    if before.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_') {
        return None;
    }
    let end = rest[1..].find('$')? + 1;
    let name = &rest[1..end];
    let is_tag = name.chars().all(|c| c.is_alphanumeric() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit());
    is_tag.then(|| rest[..=end].to_owned())
}

fn copies_data(statement: &str) -> bool {
    let words: Vec<String> = words(statement).collect();
    words.first().is_some_and(|word| word == "copy")
        && words.windows(2).any(|pair| pair[0] == "from" && pair[1] == "stdin")
}

/// The words of a statement in lower case, without its comments.
pub fn words(statement: &str) -> impl Iterator<Item = String> + '_ {
    statement
        .lines()
        .map(|line| line.split("--").next().unwrap_or(line))
        .flat_map(|line| line.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.')))
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(script: &str, expected: &[&str]) {
        let pieces = split(script);
        let texts: Vec<&str> = pieces
            .iter()
            .map(|piece| match piece {
                Piece::Statement(text) | Piece::Command(text) => text.as_str(),
            })
            .collect();
        assert_eq!(texts, expected);
    }

    #[test]
    fn scripts_are_cut_where_psql_cuts_them() {
        check("select 1; select ';';\n", &["select 1;", " select ';';\n"]);
        check("-- a;b\nselect (1;\n);\n", &["-- a;b\nselect (1;\n);\n"]);
        check("select $$;$$; -- x\n\\d t\n", &["select $$;$$; -- x\n", "\\d t\n"]);
        check("select E'\\';' \\gset\nselect 2;", &["select E'\\';' \\gset\n", "select 2;"]);
        check(
            "copy t from stdin;\n1\n;\n\\.\nselect 1;",
            &["copy t from stdin;\n1\n;\n\\.\n", "select 1;"],
        );
        check("select /* ; /* ; */ */ \";\";", &["select /* ; /* ; */ */ \";\";"]);
    }
}
