//! What is sent ahead of a statement: settings, only when they changed.

use crate::node::StatementContext;

/// What a connection's server side is known to have been told.
///
/// A setting made within a transaction or a failing pipeline is undone by the server with it. Rather than follow that in
/// detail, such settings become *uncertain* and all are sent again.
#[derive(Debug, Default)]
pub(crate) struct SentContext {
    /// The context last sent, as long as it is certain.
    last: Option<StatementContext>,
    /// Every setting that was ever sent over this connection with its last value; `None` when reset or uncertain.
    sent: Vec<(String, Option<String>)>,
    /// Settings were changed since the transaction began (or within the pipeline that is under way).
    changed: bool,
    /// What is at the server is not known.
    uncertain: bool,
}

impl SentContext {
    /// The `SET` and `RESET` texts that make the server's state fit `context`; empty when it fits. `settings` lists what the
    /// hop says of a context, and is asked only when the context changed.
    pub(crate) fn changes(
        &mut self,
        context: &StatementContext,
        settings: impl FnOnce(&StatementContext) -> Vec<(String, String)>,
    ) -> Vec<String> {
        if self.fits(context) {
            return Vec::new();
        }
        let wanted = settings(context);
        let mut texts = Vec::new();
        for (name, value) in &mut self.sent {
            let is_wanted = wanted.iter().any(|(wanted, _)| wanted == name);
            if !is_wanted && (self.uncertain || value.is_some()) {
                texts.push(format!("RESET {name}"));
                *value = None;
            }
        }
        for (name, value) in wanted {
            let place = match self.sent.iter().position(|(sent, _)| *sent == name) {
                Some(place) => place,
                None => {
                    self.sent.push((name.clone(), None));
                    self.sent.len() - 1
                }
            };
            let sent = &mut self.sent[place].1;
            if self.uncertain || sent.as_deref() != Some(value.as_str()) {
                texts.push(format!("SET {name} TO {}", quote_literal(&value)));
                *sent = Some(value);
            }
        }
        self.changed |= !texts.is_empty();
        self.uncertain = false;
        self.last = Some(context.clone());
        texts
    }

    /// Whether the server's state is known to fit `context`.
    pub(crate) fn fits(&self, context: &StatementContext) -> bool {
        !self.uncertain && self.last.as_ref() == Some(context)
    }

    /// The pipeline failed, or the transaction or a part of it was rolled back.
    pub(crate) fn rolled_back(&mut self) {
        self.uncertain |= self.changed;
    }

    /// The connection is in no transaction: what was set stays.
    pub(crate) fn settled(&mut self) {
        self.changed = false;
    }
}

/// A string as an SQL literal, for text that stands outside any string.
pub fn quote_literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    if text.contains('\\') {
        out.push('E');
    }
    out.push('\'');
    for c in text.chars().filter(|c| *c != '\0') {
        if c == '\'' || c == '\\' {
            out.push(c);
        }
        out.push(c);
    }
    out.push('\'');
    out
}

/// A name as an SQL identifier, always in quotes.
pub fn quote_identifier(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 2);
    out.push('"');
    for c in name.chars().filter(|c| *c != '\0') {
        if c == '"' {
            out.push('"');
        }
        out.push(c);
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sent: &mut SentContext, settings: &[(&str, &str)], expected: &[&str]) {
        let owned =
            settings.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<Vec<_>>();
        let context = StatementContext { settings: owned.into(), ..StatementContext::default() };
        assert_eq!(sent.changes(&context, |context| context.settings.to_vec()), expected);
    }

    #[test]
    fn only_changes_are_sent() {
        let mut sent = SentContext::default();
        check(&mut sent, &[("a", "1"), ("b", "x'y")], &["SET a TO '1'", "SET b TO 'x''y'"]);
        sent.settled();
        check(&mut sent, &[("a", "1"), ("b", "x'y")], &[]);
        check(&mut sent, &[("a", "2"), ("b", "x'y")], &["SET a TO '2'"]);
        // The next user has no b: it goes back to the server's default.
        sent.settled();
        check(&mut sent, &[("a", "2")], &["RESET b"]);
        check(&mut sent, &[("a", "2")], &[]);
        // That RESET was rolled back with its transaction.
        sent.rolled_back();
        check(&mut sent, &[("a", "2")], &["RESET b", "SET a TO '2'"]);
        sent.settled();
        sent.rolled_back();
        check(&mut sent, &[("a", "2")], &[]);
    }

    #[test]
    fn quoting() {
        assert_eq!(quote_literal(r"a\b'c"), r"E'a\\b''c'");
        assert_eq!(quote_identifier("a\"b"), "\"a\"\"b\"");
    }
}
