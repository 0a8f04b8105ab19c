//! Indexes: which ones a shape asks for, how MySQL keeps them, and how they are made over records that are there.

use std::collections::HashSet;
use std::sync::Arc;

use dataman_node_protocol::NodeError;
use dataman_node_protocol::definition::{
    CollectionShape, ConstraintKind, ForeignKeyAction, IndexShape,
};
use dataman_node_protocol::query::{SortKey, Target};
use dataman_pg::expr::Expr;
use dataman_pg::types::TypeId;
use dataman_pg::value::Value;
use mysql_async::Value as Raw;
use mysql_async::prelude::Queryable;

use super::{Definer, free_name};
use crate::driver::mysql::catalogue::{Collection, Unique};
use crate::driver::mysql::constraint::key_text;
use crate::driver::mysql::error::is_duplicate;
use crate::driver::mysql::layout::{
    Column, Form, Index, Layout, ROW, index_name, instance_name, is_indexed_whole, quoted,
};
use crate::driver::mysql::value::load;
use crate::driver::sql::change::{field_of, missing, not_unique};
use crate::driver::sql::literal;
use crate::driver::sql::stored::family;

/// Bytes of a key that an index of MySQL takes.
const KEY_BYTES_MAX: usize = 3072;

/// Columns of an index of MySQL.
const KEY_COLUMNS_MAX: usize = 16;
/// What an index is over, as the shape says.
pub(super) enum Keys<'s> {
    /// Fields, in order.
    Fields(Vec<&'s str>),
    /// Expressions.
    Expressions,
}

/// One index that a shape asks for.
pub(super) struct Wanted<'s> {
    pub(super) owner: &'s str,
    keys: Keys<'s>,
    is_unique: bool,
    /// It has a condition, or takes NULLs for alike.
    is_special: bool,
}

pub(super) fn wanted(shape: &CollectionShape) -> Vec<Wanted<'_>> {
    let constraints = shape.constraints.iter().filter_map(|constraint| match &constraint.kind {
        ConstraintKind::PrimaryKey { fields } => Some((constraint, fields, false)),
        ConstraintKind::Unique { fields, nulls_not_distinct } => {
            Some((constraint, fields, *nulls_not_distinct))
        }
        _ => None,
    });
    let constraints = constraints.map(|(constraint, fields, is_special)| Wanted {
        owner: &constraint.name,
        keys: Keys::Fields(fields.iter().map(String::as_str).collect()),
        is_unique: true,
        is_special,
    });
    let indexes = shape.indexes.iter().map(|index| {
        let field = |key: &'_ SortKey| matches!(key.expr, Expr::Field(_));
        let keys = if index.keys.iter().all(field) {
            Keys::Fields(
                index
                    .keys
                    .iter()
                    .filter_map(|key| match &key.expr {
                        Expr::Field(field) => Some(field.name.as_str()),
                        _ => None,
                    })
                    .collect(),
            )
        } else {
            Keys::Expressions
        };
        let is_special = index.filter.is_some() || index.nulls_not_distinct;
        Wanted { owner: &index.name, keys, is_unique: index.unique, is_special }
    });
    constraints.chain(indexes).collect()
}

/// Refuses keys that have no order, and methods that are no B-tree.
pub(super) fn check_keys(shape: &CollectionShape) -> Result<(), NodeError> {
    let check = |ty: TypeId| {
        if family(ty).is_some() {
            return Ok(());
        }
        Err(NodeError::statement(
            "42704",
            format!(
                "data type {} has no default operator class for access method \"btree\"",
                dataman_pg::catalog::format_type(ty, -1)
            ),
        ))
    };
    for constraint in &shape.constraints {
        if let ConstraintKind::PrimaryKey { fields } | ConstraintKind::Unique { fields, .. } =
            &constraint.kind
        {
            for field in fields {
                check(field_of(shape, field)?.ty.id)?;
            }
        }
        if let ConstraintKind::ForeignKey { on_delete, on_update, .. } = &constraint.kind
            && [on_delete, on_update].contains(&&ForeignKeyAction::SetDefault)
        {
            return Err(NodeError::unsupported("MySQL does not carry out SET DEFAULT"));
        }
    }
    for index in &shape.indexes {
        if !matches!(index.method.as_str(), "" | "btree" | "hash") {
            return Err(NodeError::unsupported(format!(
                "MySQL has no access method \"{}\"",
                index.method
            ))
            .with_hint("A btree index serves equality, ranges and sorting."));
        }
        for key in &index.keys {
            check(key.expr.type_id())?;
            if !index.unique && !matches!(key.expr, Expr::Field(_)) {
                return Err(NodeError::unsupported(
                    "MySQL has no index over expressions in PostgreSQL's meaning",
                )
                .with_hint("Index the columns, or a column that holds the expression."));
            }
        }
    }
    Ok(())
}

/// The columns of an ordinary index, with the lengths that MySQL asks of texts.
fn search_columns(fields: &[&Column]) -> String {
    let fields = &fields[..fields.len().min(KEY_COLUMNS_MAX)];
    let bytes_each = (KEY_BYTES_MAX / fields.len().max(1)).min(764);
    let part = |column: &&Column| {
        let name = quoted(&column.key());
        match column.form {
            Form::Integer | Form::Fixed => name,
            Form::Text | Form::Opaque => format!("{name}({})", bytes_each / 4),
            Form::Bytes | Form::Keyed => format!("{name}({bytes_each})"),
        }
    };
    fields.iter().map(part).collect::<Vec<_>>().join(", ")
}

impl Definer<'_, '_> {
    pub(super) async fn change_indexes(
        &mut self,
        target: &Target,
        name: &str,
        index: Option<&IndexShape>,
    ) -> Result<(), NodeError> {
        let Some(found) = self.statement.catalogue.find(&target.collection).cloned() else {
            return if index.is_some() { Err(missing(target)) } else { Ok(()) };
        };
        let mut shape = found.shape.clone();
        if shape.indexes.iter().any(|known| Some(known) == index) {
            return Ok(());
        }
        if index.is_some() && shape.indexes.iter().any(|known| known.name == name) {
            return Err(NodeError::statement(
                "42P07",
                format!("relation \"{name}\" already exists"),
            ));
        }
        let before = shape.indexes.len();
        shape.indexes.retain(|known| known.name != name);
        shape.indexes.extend(index.cloned());
        if index.is_none() && shape.indexes.len() == before {
            return Ok(());
        }
        if self.must_rebuild(&found, &shape, name) {
            return self.rebuild(&found, &shape, None).await;
        }
        self.change_shape(&found, &shape, found.layout.columns.clone(), None).await
    }

    /// Brings the indexes and the catalogue to a shape, whose columns are there. Indexes over `anew` are made again.
    pub(super) async fn change_shape(
        &mut self,
        from: &Arc<Collection>,
        to: &CollectionShape,
        columns: Vec<Column>,
        anew: Option<&str>,
    ) -> Result<(), NodeError> {
        check_keys(to)?;
        let mut layout = Layout {
            table: from.layout.table.clone(),
            columns,
            indexes: Vec::new(),
            adopted: None,
        };
        let mut added = Vec::new();
        for wanted in wanted(to) {
            let reads = match (&wanted.keys, anew) {
                (_, None) => false,
                (Keys::Fields(fields), Some(name)) => fields.contains(&name),
                (Keys::Expressions, Some(_)) => true,
            };
            let known = from.layout.indexes.iter().find(|known| known.owner == wanted.owner);
            match known {
                Some(known) if !reads => layout.indexes.push(known.clone()),
                _ => added.push(wanted),
            }
        }
        let dropped: Vec<Index> = from
            .layout
            .indexes
            .iter()
            .filter(|known| !layout.indexes.contains(known))
            .cloned()
            .collect();
        let table = from.table();
        for index in dropped.iter().filter(|index| index.is_made) {
            let mut parts = vec![format!("DROP INDEX {}", quoted(&index.name))];
            if let Some(search) = &index.search {
                parts.push(format!("DROP INDEX {}", quoted(search)));
            }
            if let Some(digest) = &index.digest {
                parts.push(format!("DROP COLUMN {}", quoted(digest)));
            }
            self.leftover.finish.push(format!("ALTER TABLE {table} {}", parts.join(", ")));
        }
        if !added.is_empty() {
            let schema = literal(&instance_name(&to.target.shard_instance));
            let of_table =
                format!("table_schema = {schema} AND table_name = {}", literal(&layout.table));
            let indexes = self.names("index_name", format!("statistics WHERE {of_table}")).await?;
            let names = self.names("column_name", format!("columns WHERE {of_table}")).await?;
            let mut plans = Vec::new();
            for wanted in &added {
                let plan = plan_index(wanted, to, &layout.columns, &indexes, &names);
                layout.indexes.push(plan.index.clone());
                plans.push(plan);
            }
            let (collection, _) = self.collection(from.id, to, &layout)?;
            for plan in plans {
                if plan.index.is_made {
                    self.make_index(&collection, &plan).await?;
                }
            }
        }
        self.save(Some(from.id), to, &layout).await
    }

    async fn make_index(
        &mut self,
        collection: &Arc<Collection>,
        plan: &PlannedIndex,
    ) -> Result<(), NodeError> {
        let table = collection.table();
        let definitions = plan.definitions(&collection.layout.columns, &collection.shape);
        let unique = collection.uniques.iter().find(|unique| unique.owner == plan.index.owner);
        if let Some(digest) = &plan.index.digest {
            // The column first, so that it is filled before it is unique.
            self.leftover.undo.push(format!("ALTER TABLE {table} DROP COLUMN {}", quoted(digest)));
            if let Some(search) = &plan.index.search {
                self.leftover
                    .undo
                    .push(format!("ALTER TABLE {table} DROP INDEX {}", quoted(search)));
            }
            let text = format!("ALTER TABLE {table} ADD COLUMN {}", definitions[0]);
            self.run_beside(&text, Vec::new()).await?;
            if let Some(unique) = unique {
                self.fill_digests(collection, unique, digest).await?;
            }
        }
        let adds: Vec<String> = definitions
            .iter()
            .skip(usize::from(plan.index.digest.is_some()))
            .map(|definition| format!("ADD {definition}"))
            .collect();
        if plan.index.digest.is_none() {
            self.leftover
                .undo
                .push(format!("ALTER TABLE {table} DROP INDEX {}", quoted(&plan.index.name)));
        }
        let text = format!("ALTER TABLE {table} {}", adds.join(", "));
        let made = self.run_beside(&text, Vec::new()).await;
        match (made, unique) {
            (Err(error), Some(unique)) if is_duplicate(&error) => {
                Err(self.not_unique(collection, unique).await)
            }
            (made, _) => made,
        }
    }

    async fn fill_digests(
        &mut self,
        collection: &Arc<Collection>,
        unique: &Unique,
        digest: &str,
    ) -> Result<(), NodeError> {
        let text =
            format!("UPDATE {} SET {} = ? WHERE {ROW} = ?", collection.table(), quoted(digest));
        let mut after = 0;
        loop {
            let page = self.page(collection, after).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.row;
            for record in &page {
                let value = unique.digest(&record.values, &self.statement.context)?;
                self.run_beside(&text, vec![Raw::from(value), Raw::UInt(record.row)]).await?;
            }
        }
    }

    /// `23505` of a unique index that cannot be made.
    async fn not_unique(&mut self, collection: &Arc<Collection>, unique: &Unique) -> NodeError {
        let failure = not_unique(&collection.shape, &unique.name);
        let Some(fields) = &unique.fields else { return failure };
        let columns: Vec<String> = fields
            .iter()
            .filter_map(|field| collection.column(field))
            .map(|column| quoted(&column.key()))
            .collect();
        let mut present: Vec<String> = columns.iter().map(|c| format!("{c} IS NOT NULL")).collect();
        if unique.nulls_not_distinct {
            present = vec!["TRUE".to_owned()];
        }
        let exact: Vec<String> = fields
            .iter()
            .filter_map(|field| collection.column(field))
            .map(|column| format!("MIN({})", quoted(&column.name)))
            .collect();
        let text = format!(
            "SELECT {} FROM {} WHERE {} GROUP BY {} HAVING COUNT(*) > 1 LIMIT 1",
            exact.join(", "),
            collection.table(),
            present.join(" AND "),
            columns.join(", ")
        );
        let catalogue = self.statement.catalogue.with_enums_of(&collection.shape);
        let Ok(session) = self.beside().await else { return failure };
        let row: Option<mysql_async::Row> =
            session.conn.exec_first(text, ()).await.unwrap_or_default();
        let values: Option<Vec<Value>> = row.and_then(|row| {
            let types = fields.iter().filter_map(|field| collection.type_of(field));
            let values = row.unwrap();
            values.iter().zip(types).map(|(raw, ty)| load(raw, ty, &catalogue).ok()).collect()
        });
        match values {
            Some(values) => {
                let key = key_text(collection, fields, &values, &self.statement.context);
                failure.with_detail(format!("{key} is duplicated."))
            }
            None => failure,
        }
    }
}

/// An index about to be made.
pub(super) struct PlannedIndex {
    pub(super) index: Index,
    is_unique: bool,
    /// The fields; none for expressions.
    fields: Option<Vec<String>>,
}

/// Decides how MySQL keeps an index; `indexes` and `columns` are the names that are taken.
pub(super) fn plan_index(
    wanted: &Wanted<'_>,
    shape: &CollectionShape,
    columns: &[Column],
    indexes: &HashSet<String>,
    taken: &HashSet<String>,
) -> PlannedIndex {
    let fields = match &wanted.keys {
        Keys::Fields(fields) => Some(fields.iter().map(|field| (*field).to_owned()).collect()),
        Keys::Expressions => None,
    };
    let column = |name: &String| {
        shape.fields.iter().position(|field| field.name == *name).and_then(|at| columns.get(at))
    };
    let is_whole = fields.as_ref().is_some_and(|fields: &Vec<String>| {
        fields.len() <= KEY_COLUMNS_MAX
            && fields
                .iter()
                .all(|name| column(name).is_some_and(|column| is_indexed_whole(column.form)))
    });
    let digest = (wanted.is_unique && (wanted.is_special || !is_whole))
        .then(|| free_name(&format!("!{}", index_name(wanted.owner)), taken));
    let has_fields = fields.as_ref().is_some_and(|fields| !fields.is_empty());
    // Its search index, which what was cut short may have left, bears its name too.
    let free: HashSet<String> = indexes
        .iter()
        .map(|name| name.strip_suffix("!search").unwrap_or(name).to_owned())
        .collect();
    let name = free_name(&index_name(wanted.owner), &free);
    PlannedIndex {
        index: Index {
            owner: wanted.owner.to_owned(),
            search: (digest.is_some() && has_fields).then(|| format!("{name}!search")),
            is_made: digest.is_some() || has_fields,
            name,
            digest,
        },
        is_unique: wanted.is_unique,
        fields,
    }
}

impl PlannedIndex {
    /// Its parts of a table's definition: the digest's column first, if it has one.
    pub(super) fn definitions(&self, columns: &[Column], shape: &CollectionShape) -> Vec<String> {
        if !self.index.is_made {
            return Vec::new();
        }
        let name = quoted(&self.index.name);
        let fields: Vec<&Column> = self
            .fields
            .iter()
            .flatten()
            .filter_map(|name| shape.fields.iter().position(|field| field.name == *name))
            .filter_map(|place| columns.get(place))
            .collect();
        match &self.index.digest {
            Some(digest) => {
                let digest = quoted(digest);
                let mut parts = vec![
                    format!("{digest} BINARY(32) NULL"),
                    format!("UNIQUE INDEX {name} ({digest})"),
                ];
                if let Some(search) = &self.index.search {
                    parts.push(format!("INDEX {} ({})", quoted(search), search_columns(&fields)));
                }
                parts
            }
            None if self.is_unique => {
                let names = fields.iter().map(|column| quoted(&column.name)).collect::<Vec<_>>();
                vec![format!("UNIQUE INDEX {name} ({})", names.join(", "))]
            }
            None => vec![format!("INDEX {name} ({})", search_columns(&fields))],
        }
    }
}
