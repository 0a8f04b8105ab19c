//! CREATE VIEW.
//!
//! A view is kept as text. So that the text means the same for ever, tables are written with their schemas, and `*` as the
//! columns that it stands for today.

use dataman_metadata::change::{Change, Object};
use dataman_metadata::schema::{Relation, View};
use dataman_node_protocol::query::NamedType;
use dataman_pg::{PgError, TypeId};

use super::column::check_column_name;
use super::draft::{Draft, Result};
use super::name::quote;
use crate::parse::syntax::{
    Expr, ExprKind, ObjectName, ParsedStatement, Query, Select, SelectBody, SelectItem, Span,
    Statement,
};
use crate::parse::walk::{Visitor, walk_select};
use crate::plan::bind::{self, BoundKind};
use crate::plan::form::output_columns;

/// What stands in a view's query.
#[derive(Default)]
struct Found {
    tables: Vec<ObjectName>,
    parameter: Option<(u16, Span)>,
}

impl Visitor for Found {
    fn expr(&mut self, expr: &Expr) {
        if let ExprKind::Param(number) = expr.kind {
            self.parameter = Some((number, expr.span));
        }
    }

    fn table(&mut self, name: &ObjectName) {
        self.tables.push(name.clone());
    }
}

/// A part of the statement's text, and what is written there instead.
type Replacement = (std::ops::Range<usize>, String);

impl Draft<'_> {
    pub(super) fn create_view(
        &mut self,
        name: &ObjectName,
        or_replace: bool,
        columns: &[String],
        query: &Select,
        text: &str,
    ) -> Result<()> {
        self.tag("CREATE VIEW");
        let (schema, view) = self.new_place(name)?;
        let mut found = Found::default();
        walk_select(query, &mut found);
        if let Some((number, span)) = found.parameter {
            return Err(
                self.at(PgError::new("42P02", format!("there is no parameter ${number}")), span)
            );
        }
        let output = self.output_of(query, self.text)?;
        if columns.len() > output.len() {
            return Err(PgError::new(
                "42601",
                "CREATE VIEW specifies more column names than columns",
            ));
        }
        let mut names: Vec<String> = Vec::new();
        for (place, column) in output.iter().enumerate() {
            let name = columns.get(place).unwrap_or(&column.name);
            check_column_name(name)?;
            if names.contains(name) {
                return Err(PgError::new(
                    "42701",
                    format!("column \"{name}\" specified more than once"),
                ));
            }
            names.push(name.clone());
        }
        let old = match self.database.relation(&schema, &view).map(|found| found.relation) {
            None => None,
            Some(_) if !or_replace => {
                return Err(PgError::new("42P07", format!("relation \"{view}\" already exists")));
            }
            Some(Relation::View(old)) => Some(old),
            Some(_) => return Err(PgError::new("42809", format!("\"{view}\" is not a view"))),
        };
        if self.database.enum_type(&schema, &view).is_some() {
            return Err(PgError::new("42710", format!("type \"{view}\" already exists")));
        }
        let mut depends: Vec<(String, String)> = Vec::new();
        let mut replacements: Vec<Replacement> = Vec::new();
        for table in &found.tables {
            let relation = self.relation(table).map_err(|error| self.at(error, table.span))?;
            let place = (relation.schema.to_owned(), relation.name.to_owned());
            if place == (schema.clone(), view.clone()) {
                return Err(PgError::unsupported(format!("view \"{view}\" cannot read itself")));
            }
            let written = format!("{}.{}", quote(&place.0), quote(&place.1));
            replacements.push((table.span.start..table.span.end, written));
            if !depends.contains(&place) {
                depends.push(place);
            }
        }
        self.expand_wildcards(query, query, &mut replacements)?;
        let start = self.text.len() - text.len();
        let start = if self.text.ends_with(text) {
            start
        } else {
            self.text
                .rfind(text)
                .ok_or_else(|| PgError::internal("a view's query is not in its statement"))?
        };
        replacements.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
        let mut stored = text.to_owned();
        for (range, written) in replacements {
            if range.start >= start && range.end <= start + text.len() {
                stored.replace_range(range.start - start..range.end - start, &written);
            }
        }
        let owner = match old {
            Some(old) => {
                self.must_own(&old.owner, crate::parse::syntax::ObjectKind::View, &view)?;
                self.check_replaced(old, &names, &output)?;
                old.owner.clone()
            }
            None => self.facts.user.to_owned(),
        };
        let object = Object::View(View {
            oid: match old {
                Some(old) => old.oid,
                None => self.oids.object(),
            },
            query: stored,
            columns: names,
            depends,
            comment: old.and_then(|old| old.comment.clone()),
            owner,
        });
        let at = self.place(&schema, &view);
        self.change(match old {
            Some(_) => Change::Replace { at, object },
            None => Change::Create { at, object },
        });
        Ok(())
    }

    /// The columns of a query.
    fn output_of(&self, query: &Select, text: &str) -> Result<Vec<NamedType>> {
        let statement = ParsedStatement {
            text: text.to_owned(),
            offset: 0,
            statement: Statement::Select(Box::new(query.clone())),
        };
        let bound = bind::bind(&statement, &[], &self.plan_context())?;
        match bound.kind {
            BoundKind::Select(select) => Ok(output_columns(&select)
                .into_iter()
                .map(|mut column| {
                    if column.ty.id == TypeId::UNKNOWN {
                        column.ty = TypeId::TEXT.into();
                    }
                    column
                })
                .collect()),
            _ => Err(PgError::internal("a view's query is no SELECT")),
        }
    }

    /// Writes the columns for each `*` of the query's own select lists. `whole` gives the common tables in sight.
    fn expand_wildcards(
        &self,
        part: &Select,
        whole: &Select,
        replacements: &mut Vec<Replacement>,
    ) -> Result<()> {
        match &part.body {
            SelectBody::Query(query) => {
                for item in &query.items {
                    self.expand_wildcard(item, query, part, whole, replacements)?;
                }
                Ok(())
            }
            SelectBody::Values(_) => Ok(()),
            SelectBody::SetOperation { left, right, .. } => {
                self.expand_wildcards(left, whole, replacements)?;
                self.expand_wildcards(right, whole, replacements)
            }
        }
    }

    fn expand_wildcard(
        &self,
        item: &SelectItem,
        query: &Query,
        part: &Select,
        whole: &Select,
        replacements: &mut Vec<Replacement>,
    ) -> Result<()> {
        let (range, qualifier) = match item {
            SelectItem::Expr { .. } => return Ok(()),
            SelectItem::Wildcard(span) => (span.start..span.end, None),
            SelectItem::QualifiedWildcard(name) => {
                let star = self.text[name.span.end..].find('*').unwrap_or(0);
                (name.span.start..name.span.end + star + 1, Some(name))
            }
        };
        let alone = Select {
            with: part.with.clone().or_else(|| whole.with.clone()),
            body: SelectBody::Query(Box::new(Query {
                items: vec![item.clone()],
                from: query.from.clone(),
                ..Query::default()
            })),
            order_by: vec![],
            limit: None,
            with_ties: false,
            offset: None,
            locks: vec![],
        };
        let columns = self.output_of(&alone, self.text)?;
        let mut written: Vec<String> = Vec::new();
        for column in &columns {
            let mut text = String::new();
            if let Some(name) = qualifier {
                for part in &name.parts {
                    text.push_str(&quote(part));
                    text.push('.');
                }
            }
            text.push_str(&quote(&column.name));
            if written.contains(&text) {
                return Err(PgError::unsupported(format!(
                    "\"*\" with two columns named \"{}\" is not supported in a view",
                    column.name
                ))
                .with_hint("Name the columns."));
            }
            written.push(text);
        }
        // `TABLE t` has no `*` in its text.
        if self.text.get(range.clone()).is_some_and(|text| text.ends_with('*')) {
            replacements.push((range, written.join(", ")));
        }
        Ok(())
    }

    /// CREATE OR REPLACE VIEW may add columns at the end, and nothing else.
    fn check_replaced(&self, old: &View, names: &[String], output: &[NamedType]) -> Result<()> {
        if names.len() < old.columns.len() {
            return Err(PgError::new("42P16", "cannot drop columns from view"));
        }
        let parsed = crate::parse::parse(&old.query)?;
        let Some(ParsedStatement { statement: Statement::Select(select), .. }) = parsed.first()
        else {
            return Err(PgError::internal("a stored view is no query"));
        };
        let before = self.output_of(select, &old.query)?;
        for (place, name) in old.columns.iter().enumerate() {
            if names[place] != *name {
                return Err(PgError::new(
                    "42P16",
                    format!("cannot change name of view column \"{name}\" to \"{}\"", names[place]),
                )
                .with_hint(
                    "Use ALTER VIEW ... RENAME COLUMN ... to change name of view column instead.",
                ));
            }
            let (was, is) = (before[place].ty, output[place].ty);
            if was != is {
                return Err(PgError::new(
                    "42P16",
                    format!(
                        "cannot change data type of view column \"{name}\" from {} to {}",
                        self.type_text(was),
                        self.type_text(is)
                    ),
                ));
            }
        }
        Ok(())
    }
}
