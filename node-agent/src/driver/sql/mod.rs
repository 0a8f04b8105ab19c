//! The internal query form → SQL text.
//!
//! One walk over the form serves every SQL dialect: [`select`] and [`mod@write`] put statements together, [`expr`] writes
//! expressions for PostgreSQL, [`native`] for SQLite, [`define`] PostgreSQL's DDL. What a dialect cannot say with exactly
//! the bound meaning is an error here, and its capability says so beforehand.
//!
//! Every value's type is written out (`$1::pg_catalog.int4`, `'a'::pg_catalog.text`), operators and functions by their
//! schema (`OPERATOR(pg_catalog.+)`), so that the database resolves them to what the binder bound, whatever its search path.

#[cfg(any(feature = "sqlite", feature = "mysql"))]
pub(crate) mod change;
#[cfg(any(feature = "sqlite", feature = "mysql"))]
pub(crate) mod context;
mod copy;
pub mod define;
mod expr;
mod inspect;
#[cfg(any(feature = "sqlite", feature = "mysql"))]
pub(crate) mod instance;
pub mod native;
mod select;
pub mod stored;
mod write;

#[cfg(feature = "sqlite")]
pub(crate) use write::{default_alias, reads_source};

use dataman_node_protocol::NodeError;
use dataman_node_protocol::query::{Insert, NodeQuery, Select, Source, Target};
use dataman_pg::Expr;

/// The language to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL 12 and later.
    Postgres,
    /// SQLite, with dataman's functions and collations registered and values in [`stored`] form.
    Sqlite,
}

/// Lowers a query in the bound form to one statement's text with parameters `$1…` (PostgreSQL) or `?1…` (SQLite).
///
/// `parameters` is the number of parameters of the execution: an insert of parameter tuples has one row for each of them.
///
/// # Errors
/// `0A000` for what the dialect cannot say, and for the short form, which the agent has to bind first; definitions are
/// lowered by [`define`] and, for SQLite, by its driver.
pub fn lower(query: &NodeQuery, dialect: Dialect, parameters: usize) -> Result<String, NodeError> {
    let lowered = lower_with_expressions(query, dialect, parameters)?;
    debug_assert!(dialect == Dialect::Sqlite || lowered.expressions.is_empty());
    Ok(lowered.text)
}

/// A statement's text and the expressions that it names by number (SQLite only, see [`native`]).
pub struct Lowered {
    /// The text.
    pub text: String,
    /// Name (`#1`) and expression.
    pub expressions: Vec<(String, Expr)>,
}

/// As [`lower`], with the expressions that the text names.
///
/// # Errors
/// As [`lower`].
pub fn lower_with_expressions(
    query: &NodeQuery,
    dialect: Dialect,
    parameters: usize,
) -> Result<Lowered, NodeError> {
    let mut lowering = Lowering::new(dialect);
    match query {
        NodeQuery::Filter(select) | NodeQuery::Aggregate(select) => lowering.select(select, &[])?,
        NodeQuery::Insert(insert) | NodeQuery::InsertMany(insert) => {
            lowering.insert(insert, parameters)?;
        }
        NodeQuery::Update(update) => lowering.update(update)?,
        NodeQuery::Delete(delete) => lowering.delete(delete)?,
        NodeQuery::Sql(sql) if dialect == Dialect::Postgres => lowering.out.push_str(&sql.text),
        NodeQuery::Sql(_) => {
            return Err(NodeError::unsupported("this datasource does not take SQL text"));
        }
        NodeQuery::Get(_) | NodeQuery::Set(_) => {
            return Err(NodeError::unsupported("a short-form query has to be bound first"));
        }
        NodeQuery::Copy(copy) if dialect == Dialect::Postgres => {
            return copy::copy_in(copy).map(|text| Lowered { text, expressions: Vec::new() });
        }
        NodeQuery::Copy(_) => {
            return Err(NodeError::unsupported("this datasource does not take COPY data"));
        }
        NodeQuery::Define(_) => {
            return Err(NodeError::unsupported("a definition is not one statement"));
        }
        NodeQuery::Inspect(inspect) if dialect == Dialect::Postgres => {
            lowering.out = inspect::inspection(inspect);
        }
        NodeQuery::Inspect(_) => {
            return Err(NodeError::unsupported("SQLite holds nothing that dataman did not make")
                .with_hint("Inspect a datasource of another engine."));
        }
    }
    let expressions = std::mem::take(&mut lowering.expressions);
    Ok(Lowered { text: lowering.out, expressions })
}

/// Writes an insert of parameter tuples for PostgreSQL as one of arrays: a parameter for each field, with the field's value
/// of every row. So the text is the same for any number of rows, and the server parses and plans it once.
///
/// # Errors
/// As [`lower`].
pub(crate) fn lower_by_arrays(insert: &Insert) -> Result<String, NodeError> {
    let mut lowering = Lowering::new(Dialect::Postgres);
    lowering.by_arrays = true;
    lowering.insert(insert, insert.fields.len())?;
    Ok(lowering.out)
}

/// What a statement's source names become in SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Qualifier {
    /// Fields stand without a qualifier.
    Bare,
    /// Fields are qualified by this text, already quoted.
    As(String),
}

/// The state of one lowering.
pub(crate) struct Lowering<'q> {
    dialect: Dialect,
    /// The text so far.
    pub(crate) out: String,
    /// The subqueries that `Expr::Subquery` refers to, the innermost query's last.
    subqueries: Vec<&'q [Select]>,
    /// Sources that are not written by their alias: the record of a definition, the target of a write.
    qualifiers: Vec<(String, Qualifier)>,
    /// The columns of the common table expressions in scope.
    common: Vec<(&'q str, &'q [String])>,
    /// Expressions that the text names by number.
    expressions: Vec<(String, Expr)>,
    /// Parameter tuples come as an array for each field.
    by_arrays: bool,
    /// Fields of adopted collections that their database does not order by bytes: alias and name.
    collated: Vec<(String, String)>,
}

impl<'q> Lowering<'q> {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            out: String::new(),
            subqueries: Vec::new(),
            qualifiers: Vec::new(),
            common: Vec::new(),
            expressions: Vec::new(),
            by_arrays: false,
            collated: Vec::new(),
        }
    }

    /// Writes fields of `source` without a qualifier: a definition's record.
    #[must_use]
    pub(crate) fn with_bare(mut self, source: &str) -> Self {
        self.qualifiers.push((source.to_owned(), Qualifier::Bare));
        self
    }

    fn push(&mut self, text: &str) {
        self.out.push_str(text);
    }

    /// A name of a field, a column or a constraint's column.
    fn name(&mut self, name: &str) {
        match self.dialect {
            Dialect::Postgres => push_quoted(&mut self.out, name),
            Dialect::Sqlite => push_quoted(&mut self.out, &stored::physical_name(name)),
        }
    }

    /// A source's alias. In SQLite it bears a sign that no table's name begins with, so that an alias never hides a table.
    fn alias(&mut self, alias: &str) {
        let text = self.alias_text(alias);
        self.push(&text);
    }

    fn alias_text(&self, alias: &str) -> String {
        match self.dialect {
            Dialect::Postgres => quoted(alias),
            Dialect::Sqlite => quoted(&format!("@{}", stored::physical_name(alias))),
        }
    }

    /// The physical name of a collection.
    fn collection(&mut self, target: &Target) {
        match self.dialect {
            Dialect::Postgres => {
                if let Some(adopted) = &target.adopted {
                    push_quoted(&mut self.out, &adopted.namespace);
                    self.push(".");
                    push_quoted(&mut self.out, &adopted.name);
                    return;
                }
                if !target.shard_instance.is_empty() {
                    push_quoted(&mut self.out, &target.shard_instance);
                    self.push(".");
                }
                push_quoted(&mut self.out, &target.collection);
            }
            Dialect::Sqlite => {
                push_quoted(&mut self.out, &stored::physical_name(&target.collection));
            }
        }
    }

    /// Notes what is read of adopted collections, before anything of it is written.
    fn note_sources(&mut self, sources: &[Source]) {
        for source in sources {
            match source {
                Source::Collection { target, alias, .. } => self.note_collated(target, alias),
                Source::Join { left, right, .. } => {
                    self.note_sources(std::slice::from_ref(left));
                    self.note_sources(std::slice::from_ref(right));
                }
                _ => {}
            }
        }
    }

    /// Notes under which alias a collection's fields are read.
    fn note_collated(&mut self, target: &Target, alias: &str) {
        for field in target.adopted.iter().flat_map(|adopted| &adopted.collated) {
            self.collated.push((alias.to_owned(), field.clone()));
        }
    }

    fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        separator: &str,
        mut write: impl FnMut(&mut Self, T) -> Result<(), NodeError>,
    ) -> Result<(), NodeError> {
        for (place, item) in items.into_iter().enumerate() {
            if place > 0 {
                self.push(separator);
            }
            write(self, item)?;
        }
        Ok(())
    }
}

/// A physical name → the user's schema and name; the reverse of [`physical_name`](dataman_metadata::snapshot::physical_name)
/// but for names that were too long.
pub(crate) fn user_name(physical: &str) -> (String, String) {
    let unescape = |part: &str| part.replace("%2E", ".").replace("%7E", "~").replace("%25", "%");
    match physical.split_once('.') {
        Some((schema, name)) => (unescape(schema), unescape(name)),
        None => ("public".to_owned(), unescape(physical)),
    }
}

/// The name in a PostgreSQL shard of a collection's constraint: a shard is one schema, and its indexes' names must differ.
pub(crate) fn constraint_name(collection: &str, name: &str) -> String {
    dataman_metadata::snapshot::physical_name(&user_name(collection).0, name)
}

/// A name in double quotes.
pub fn quoted(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 2);
    push_quoted(&mut out, name);
    out
}

fn push_quoted(out: &mut String, name: &str) {
    out.push('"');
    for c in name.chars() {
        if c == '"' {
            out.push('"');
        }
        out.push(c);
    }
    out.push('"');
}

/// Text as a string literal.
pub fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    for c in text.chars() {
        if c == '\'' {
            out.push('\'');
        }
        out.push(c);
    }
    out.push('\'');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lowers a query, given as its JSON, to both dialects.
    fn check(query: &str, postgres: &str, sqlite: &str) {
        let query: NodeQuery = serde_json::from_str(query).expect("the test's query is one");
        let text = |dialect| match lower(&query, dialect, 4) {
            Ok(text) => text,
            Err(error) => format!("{}: {}", error.sqlstate, error.message),
        };
        assert_eq!(text(Dialect::Postgres), postgres);
        assert_eq!(text(Dialect::Sqlite), sqlite);
    }

    const T: &str = r#"{"collection": {"shard_instance": "i", "collection": "T", "alias": "t",
        "fields": [{"name": "a", "type": "int4"}, {"name": "n", "type": "numeric"}]}}"#;
    const A: &str = r#"{"field": {"source": "t", "name": "a", "type": "int4"}}"#;
    const N: &str = r#"{"field": {"source": "t", "name": "n", "type": "numeric"}}"#;

    fn filled(query: &str) -> String {
        query.replace("$T", T).replace("$A", A).replace("$N", N)
    }

    #[test]
    fn selects() {
        check(
            &filled(
                r#"{"filter": {"source": [$T], "fields": [{"expr": $A, "name": "x"}],
                    "filter": [{"expr": {"call": {"function": 65, "operator": 96, "args": [$A, {"param": {"index": 1, "type": "int4"}}], "type": "bool"}}},
                               "AND", {"expr": {"not": {"is": {"arg": $N, "test": "null", "negated": false}}}}],
                    "sort": [{"expr": $N, "descending": true, "nulls_first": true}],
                    "limit": {"const": {"type": "int8", "value": "3"}}, "offset": {"param": {"index": 2, "type": "int8"}}}}"#,
            ),
            r#"SELECT "t"."a" AS "x" FROM "i"."T" AS "t" WHERE (("t"."a" OPERATOR(pg_catalog.=) $1::pg_catalog."int4") AND (NOT ("t"."n" IS NULL))) ORDER BY "t"."n" DESC NULLS FIRST OFFSET $2::pg_catalog."int8" LIMIT '3'::pg_catalog."int8""#,
            r#"SELECT "@t"."a" AS "x" FROM "^t" AS "@t" WHERE (("@t"."a" = ?1) AND (NOT (("@t"."n") IS NULL))) ORDER BY "@t"."n" COLLATE dm_numeric DESC NULLS FIRST LIMIT dm_limit(3) OFFSET dm_offset(?2)"#,
        );
    }

    #[test]
    fn groups_and_subqueries() {
        check(
            &filled(
                r#"{"aggregate": {"source": [$T], "group": [$N],
                    "fields": [{"expr": {"aggregate": {"function": 2803, "args": [], "type": "int8"}}, "name": "count"},
                               {"expr": {"subquery": {"index": 0, "kind": "scalar", "type": "int4"}}, "name": "s"}],
                    "subqueries": [{"source": [{"values": {"rows": [[{"const": {"type": "int4", "value": "1"}}]], "alias": "v",
                        "columns": [{"name": "k", "type": "int4"}]}}],
                        "fields": [{"expr": {"field": {"source": "v", "name": "k", "type": "int4"}}, "name": "k"}]}]}}"#,
            ),
            r#"SELECT pg_catalog."count"(*) AS "count", (SELECT "v"."k" AS "k" FROM (VALUES ('1'::pg_catalog."int4")) AS "v"("k")) AS "s" FROM "i"."T" AS "t" GROUP BY "t"."n""#,
            r#"SELECT count(*) AS "count", (SELECT dm_one("dm_value") FROM (SELECT "@v"."k" AS "dm_value" FROM (SELECT column1 AS "k" FROM (VALUES (1))) AS "@v")) AS "s" FROM "^t" AS "@t" GROUP BY "@t"."n" COLLATE dm_numeric"#,
        );
    }

    #[test]
    fn set_operations_keep_their_order() {
        let query = filled(
            r#"{"filter": {"source": [$T], "fields": [{"expr": $N, "name": "n"}],
                "union": [{"kind": "union", "all": true, "query": {"source": [$T], "fields": [{"expr": $N, "name": "n"}]}},
                          {"kind": "intersect", "all": false, "query": {"source": [$T], "fields": [{"expr": $N, "name": "n"}]}}],
                "sort": [{"expr": {"column": {"index": 0, "type": "numeric"}}}]}}"#,
        );
        check(
            &query,
            r#"((SELECT "t"."n" AS "n" FROM "i"."T" AS "t") UNION ALL (SELECT "t"."n" AS "n" FROM "i"."T" AS "t")) INTERSECT (SELECT "t"."n" AS "n" FROM "i"."T" AS "t") ORDER BY 1 ASC NULLS LAST"#,
            r#"SELECT "@t"."n" COLLATE dm_numeric AS "n" FROM "^t" AS "@t" UNION ALL SELECT "@t"."n" COLLATE dm_numeric AS "n" FROM "^t" AS "@t" INTERSECT SELECT "@t"."n" COLLATE dm_numeric AS "n" FROM "^t" AS "@t" ORDER BY 1 COLLATE dm_numeric ASC NULLS LAST"#,
        );
    }

    #[test]
    fn writes() {
        check(
            r#"{"insert_many": {"shard_instance": "i", "collection": "T", "alias": "x", "records": "parameters",
                "fields": [{"name": "a", "type": "int4"}, {"name": "B", "type": {"id": "varchar", "typmod": 7}}],
                "conflict": {"fields": ["a"], "set": [["B", {"field": {"source": "excluded", "name": "B", "type": "varchar"}}]], "nothing": false},
                "returning": [{"expr": {"field": {"source": "x", "name": "a", "type": "int4"}}, "name": "a"}]}}"#,
            r#"INSERT INTO "i"."T" AS "x" ("a", "B") OVERRIDING SYSTEM VALUE VALUES ($1::pg_catalog."int4", $2::pg_catalog."varchar"), ($3::pg_catalog."int4", $4::pg_catalog."varchar") ON CONFLICT ("a") DO UPDATE SET "B" = excluded."B" RETURNING "x"."a" AS "a""#,
            r#"INSERT INTO "^t" ("a", "^b") VALUES (?1, ?2) ON CONFLICT ("a") DO UPDATE SET "^b" = excluded."^b" RETURNING "^t"."a" AS "a""#,
        );
        check(
            &filled(
                r#"{"delete": {"shard_instance": "i", "collection": "T", "alias": "t",
                    "filter": {"expr": {"array_op": {"function": 65, "operator": 96, "all": false, "left": $A,
                        "array": {"array": {"elements": [{"const": {"type": "int4", "value": "1"}}, {"const": {"type": "int4", "value": null}}], "type": "_int4"}}}}}}}"#,
            ),
            r#"DELETE FROM "i"."T" AS "t" WHERE ("t"."a" OPERATOR(pg_catalog.=) ANY (ARRAY['1'::pg_catalog."int4", NULL::pg_catalog."int4"]::pg_catalog."_int4"))"#,
            r#"DELETE FROM "^t" WHERE ("^t"."a" IN (1, NULL))"#,
        );
    }

    #[test]
    fn computed_expressions_travel_whole() {
        check(
            &filled(
                r#"{"filter": {"source": [$T], "fields": [{"expr":
                    {"call": {"function": 177, "operator": 551, "args": [$A, {"const": {"type": "int4", "value": "1"}}], "type": "int4"}}, "name": "x"}]}}"#,
            ),
            r#"SELECT ("t"."a" OPERATOR(pg_catalog.+) '1'::pg_catalog."int4") AS "x" FROM "i"."T" AS "t""#,
            r#"SELECT dm('{"call":{"function":177,"operator":551,"args":[{"column":{"index":0,"type":"int4"}},{"const":{"type":"int4","value":"1"}}],"type":"int4"}}', "@t"."a") AS "x" FROM "^t" AS "@t""#,
        );
    }

    #[test]
    fn what_sqlite_cannot_say() {
        check(
            &filled(
                r#"{"filter": {"source": [$T], "distinct": {"on": [$A]}, "fields": [{"expr": $A, "name": "a"}]}}"#,
            ),
            r#"SELECT DISTINCT ON ("t"."a") "t"."a" AS "a" FROM "i"."T" AS "t""#,
            "0A000: SQLite has no DISTINCT ON",
        );
    }
}
