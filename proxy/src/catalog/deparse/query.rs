//! Queries as PostgreSQL writes them back.

use dataman_metadata::snapshot::physical_name;
use dataman_node_protocol::query::{
    Condition, Distinct, JoinKind, OutputField, Select, SetOperationKind, Source,
};
use dataman_pg::Expr;
use dataman_pg::catalog::quote_identifier;

use super::{Deparser, Parent, STEP};
use crate::plan::SHOWN_ALIAS;
use crate::plan::form::alias_of;

impl<'a> Deparser<'a> {
    /// A view's query: `names` are the view's columns.
    pub(in super::super) fn view(
        mut self,
        select: &'a Select,
        names: &'a [String],
    ) -> Option<String> {
        self.qualified = true;
        self.indent = STEP;
        self.case_steps = STEP;
        self.push(" ");
        self.select(select, Some(names));
        self.push(";");
        (!self.unsure).then_some(self.out)
    }

    /// A subquery, further in.
    pub(super) fn nested(&mut self, select: &'a Select) {
        let before = self.indent;
        self.indent += 2 * STEP;
        self.select(select, None);
        self.indent = before;
    }

    fn select(&mut self, select: &'a Select, names: Option<&'a [String]>) {
        if !select.union.is_empty() {
            return self.set_operations(select, names);
        }
        self.subqueries.push(&select.subqueries);
        self.name_sources(select);
        self.body(select, names);
        self.tail(select);
        self.aliases.pop();
        self.subqueries.pop();
    }

    /// Queries combined by one kind of operation, each by itself; the order is by numbers of columns.
    fn set_operations(&mut self, select: &'a Select, names: Option<&'a [String]>) {
        let mut kinds = select.union.iter().map(|operation| (operation.kind, operation.all));
        let first = kinds.next();
        let is_plain = |query: &Select| {
            query.union.is_empty()
                && query.sort.is_empty()
                && query.limit.is_none()
                && query.offset.is_none()
        };
        if kinds.any(|kind| Some(kind) != first)
            || !select.union.iter().all(|operation| is_plain(&operation.query))
        {
            return self.unsure();
        }
        self.subqueries.push(&select.subqueries);
        self.name_sources(select);
        self.body(select, names);
        self.aliases.pop();
        self.subqueries.pop();
        for operation in &select.union {
            let word = match operation.kind {
                SetOperationKind::Union => "UNION",
                SetOperationKind::Intersect => "INTERSECT",
                SetOperationKind::Except => "EXCEPT",
            };
            self.line_before(word, STEP);
            if operation.all {
                self.push(" ALL");
            }
            self.line_before(" ", STEP);
            self.subqueries.push(&operation.query.subqueries);
            self.name_sources(&operation.query);
            self.body(&operation.query, names);
            self.aliases.pop();
            self.subqueries.pop();
        }
        self.tail(select);
    }

    /// Names the sources of a query: what is named alike in it or around it gets a number.
    fn name_sources(&mut self, select: &Select) {
        let mut bound = Vec::new();
        for source in &select.source {
            collect_aliases(source, &mut bound);
        }
        let mut own: Vec<(String, String)> = Vec::new();
        for alias in bound {
            let base = alias.split(SHOWN_ALIAS).next().unwrap_or_default().to_owned();
            let mut shown = base.clone();
            let mut number = 1;
            let is_taken =
                |name: &str, own: &[(String, String)], around: &[Vec<(String, String)>]| {
                    around.iter().flatten().chain(own).any(|(_, known)| known == name)
                };
            while is_taken(&shown, &own, &self.aliases) {
                shown = format!("{base}_{number}");
                number += 1;
            }
            own.push((alias, shown));
        }
        self.aliases.push(own);
    }

    /// An alias as it is written.
    pub(super) fn shown_alias(&self, alias: &str) -> String {
        let mut known = self.aliases.iter().rev().flatten();
        let found = known.find(|(bound, _)| bound == alias);
        found.map_or_else(|| alias.to_owned(), |(_, shown)| shown.clone())
    }

    /// SELECT up to HAVING.
    fn body(&mut self, select: &'a Select, names: Option<&'a [String]>) {
        self.push("SELECT ");
        match &select.distinct {
            Distinct::All => {}
            Distinct::Distinct => self.push("DISTINCT "),
            Distinct::On(keys) => {
                self.push("DISTINCT ON (");
                self.list(keys, |own, key| own.key(key));
                self.push(") ");
            }
        }
        for (place, field) in select.fields.iter().enumerate() {
            let line = self.out.len();
            if place > 0 {
                self.push(",");
                self.line("", 0);
            }
            let OutputField::Bound { expr, name } = field else {
                self.unsure();
                continue;
            };
            self.expr(expr, true);
            // What begins a line by itself needs no other.
            if place > 0 && self.out[line + 1..].starts_with("\n\n") {
                self.out.remove(line + 1);
            }
            let wanted = names.and_then(|names| names.get(place)).unwrap_or(name);
            let own = match expr {
                Expr::Field(field) => Some(field.name.as_str()),
                _ => Some("?column?"),
            };
            if own != Some(wanted) {
                self.push(&format!(" AS {}", quote_identifier(wanted)));
            }
        }
        if !select.source.is_empty() {
            self.line_before("FROM ", 1);
            for (place, source) in select.source.iter().enumerate() {
                if place > 0 {
                    self.push(",");
                    self.line("", 0);
                }
                self.source(source);
            }
        }
        match &select.filter {
            Some(Condition::Expr(condition)) => {
                self.clause("WHERE ");
                self.expr(condition, false);
            }
            Some(_) => self.unsure(),
            None => {}
        }
        if let Some(keys) = &select.group
            && !keys.is_empty()
        {
            self.clause("GROUP BY ");
            self.list(keys, |own, key| own.key(key));
        }
        if select.grouping_sets.is_some() || !select.with.is_empty() || select.lock.is_some() {
            self.unsure();
        }
        if let Some(having) = &select.having {
            self.line_before("HAVING ", 3);
            self.expr(having, false);
        }
    }

    /// A clause's word, one step left of FROM.
    fn clause(&mut self, word: &str) {
        self.line_before(word, 2);
    }

    /// A keyword that begins a line, so many steps left of the list of columns.
    fn line_before(&mut self, word: &str, steps: usize) {
        self.indent -= steps;
        self.line(word, 0);
        self.indent += steps;
    }

    fn tail(&mut self, select: &'a Select) {
        if !select.sort.is_empty() {
            self.clause("ORDER BY ");
            self.sort_keys(&select.sort);
        }
        if let Some(offset) = &select.offset {
            self.line_before("OFFSET ", 3);
            self.expr(offset, false);
        }
        if let Some(limit) = &select.limit {
            if select.with_ties {
                self.line_before("FETCH FIRST ", 3);
                self.expr(limit, false);
                self.push(" ROWS WITH TIES");
            } else {
                self.line_before("LIMIT ", 3);
                self.expr(limit, false);
            }
        }
    }

    fn relation(&mut self, schema: &str, name: &str, alias: &str) {
        let oid = self.catalog.relation_in(schema, name);
        match oid.and_then(|oid| self.catalog.written_relation(oid, self.context)) {
            Some(written) => self.push(&written),
            None => self.unsure(),
        }
        let alias = self.shown_alias(alias);
        if alias != name {
            self.push(&format!(" {}", quote_identifier(&alias)));
        }
    }

    fn source(&mut self, source: &'a Source) {
        match source {
            Source::Collection { target, alias, .. } => {
                let mut tables = self.catalog.collections();
                let is_it = |(_, schema, name, _): &(_, &str, &str, _)| {
                    physical_name(schema, name) == target.collection
                };
                let Some((_, schema, name, _)) = tables.find(is_it) else { return self.unsure() };
                self.relation(schema, name, alias);
            }
            Source::Virtual { schema, name, alias, .. } => {
                self.relation(schema, name, alias);
            }
            Source::Query { query, alias, lateral, .. } => {
                if *lateral {
                    self.unsure();
                }
                self.push("( ");
                self.nested(query);
                let alias = self.shown_alias(alias);
                self.push(&format!(") {}", quote_identifier(&alias)));
            }
            Source::CommonTable { .. } | Source::Values { .. } | Source::Function { .. } => {
                self.unsure();
            }
            Source::Join { left, right, kind, on } => {
                let parentheses = !self.pretty;
                if parentheses {
                    self.push("(");
                }
                self.source(left);
                self.line(
                    match (kind, on) {
                        (JoinKind::Inner, None) => "CROSS JOIN ",
                        (JoinKind::Inner, Some(_)) => "JOIN ",
                        (JoinKind::Left, _) => "LEFT JOIN ",
                        (JoinKind::Right, _) => "RIGHT JOIN ",
                        (JoinKind::Full, _) => "FULL JOIN ",
                    },
                    1,
                );
                self.source(right);
                if let Some(on) = on {
                    self.push(" ON ");
                    if !self.pretty {
                        self.push("(");
                    }
                    self.inner(on, false, Parent::Closed);
                    if !self.pretty {
                        self.push(")");
                    }
                }
                if parentheses {
                    self.push(")");
                }
            }
        }
    }
}

/// The aliases of a source, in order.
fn collect_aliases(source: &Source, into: &mut Vec<String>) {
    if let Source::Join { left, right, .. } = source {
        collect_aliases(left, into);
        collect_aliases(right, into);
    }
    into.extend(alias_of(source).map(str::to_owned));
}
