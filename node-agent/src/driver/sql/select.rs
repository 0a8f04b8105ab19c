//! SELECT and its parts.

use dataman_node_protocol::NodeError;
use dataman_node_protocol::query::{
    CommonTable, Condition, Distinct, JoinKind, Lock, NamedType, OutputField, Select, SetOperation,
    SetOperationKind, Source,
};
use dataman_pg::Expr;
use dataman_pg::catalog;
use dataman_pg::types::TypeId;

use super::expr::type_name;
use super::{Dialect, Lowering};

impl<'q> Lowering<'q> {
    /// Writes a select. `names` replaces its columns' names where they are given.
    pub(crate) fn select(
        &mut self,
        select: &'q Select,
        names: &[&'q str],
    ) -> Result<(), NodeError> {
        self.subqueries.push(&select.subqueries);
        self.note_sources(&select.source);
        let common = self.common.len();
        self.with(&select.with)?;
        if select.union.is_empty() {
            self.select_core(select, names, false)?;
        } else {
            self.set_operations(select, names)?;
        }
        self.order_and_limit(select)?;
        if let Some(lock) = &select.lock {
            self.lock(lock)?;
        }
        self.common.truncate(common);
        self.subqueries.pop();
        Ok(())
    }

    fn with(&mut self, tables: &'q [CommonTable]) -> Result<(), NodeError> {
        if tables.is_empty() {
            return Ok(());
        }
        self.push("WITH ");
        if tables.iter().any(|table| table.recursive) {
            self.push("RECURSIVE ");
        }
        self.list(tables, ", ", |lowering, table| {
            if table.recursive {
                lowering.common.push((&table.name, &table.columns));
            }
            lowering.alias(&table.name);
            if !table.columns.is_empty() {
                lowering.push("(");
                lowering.list(&table.columns, ", ", |l, column| {
                    l.name(column);
                    Ok(())
                })?;
                lowering.push(")");
            }
            lowering.push(match table.materialized {
                None => " AS (",
                Some(true) => " AS MATERIALIZED (",
                Some(false) => " AS NOT MATERIALIZED (",
            });
            lowering.select(&table.query, &[])?;
            lowering.push(")");
            if !table.recursive {
                lowering.common.push((&table.name, &table.columns));
            }
            Ok(())
        })?;
        self.push(" ");
        Ok(())
    }

    /// SELECT … HAVING …. `compared`: the rows take part in a set operation, so their columns need their collation.
    fn select_core(
        &mut self,
        select: &'q Select,
        names: &[&'q str],
        compared: bool,
    ) -> Result<(), NodeError> {
        self.push("SELECT ");
        match &select.distinct {
            Distinct::All => {}
            Distinct::Distinct => self.push("DISTINCT "),
            Distinct::On(_) if self.dialect == Dialect::Sqlite => {
                return Err(NodeError::unsupported("SQLite has no DISTINCT ON"));
            }
            Distinct::On(keys) => {
                self.push("DISTINCT ON (");
                self.list(keys, ", ", |lowering, key| lowering.expr(key))?;
                self.push(") ");
            }
        }
        let compared = compared || !select.distinct.is_all();
        let one_group = self.dialect == Dialect::Sqlite
            && select.group.as_ref().is_some_and(Vec::is_empty)
            && !select.fields.iter().any(has_aggregate);
        if select.fields.is_empty() {
            if self.dialect == Dialect::Sqlite {
                self.push(if one_group { "count(*)" } else { "NULL" });
            }
        } else {
            self.list(select.fields.iter().enumerate(), ", ", |lowering, (place, field)| {
                let name = names.get(place).copied();
                match field {
                    OutputField::Bound { expr, name: own } => {
                        // SQLite takes a query without GROUP BY for a grouped one only by its aggregates.
                        let guard = one_group && place == 0;
                        if guard {
                            lowering.push("CASE WHEN count(*) >= 0 THEN ");
                        }
                        if compared && !guard {
                            lowering.collated(expr)?;
                        } else {
                            lowering.expr(expr)?;
                        }
                        if guard {
                            lowering.push(" END");
                        }
                        lowering.push(" AS ");
                        lowering.name(name.unwrap_or(own));
                    }
                    OutputField::Named(own) => {
                        lowering.name(own);
                        if let Some(name) = name {
                            lowering.push(" AS ");
                            lowering.name(name);
                        }
                    }
                }
                Ok(())
            })?;
        }
        if !select.source.is_empty() {
            self.push(" FROM ");
            self.sources(&select.source)?;
        }
        if let Some(filter) = &select.filter {
            self.push(" WHERE ");
            self.condition(filter)?;
        }
        if let (Some(keys), Some(sets)) = (&select.group, &select.grouping_sets) {
            if self.dialect == Dialect::Sqlite {
                return Err(NodeError::unsupported("SQLite has no GROUPING SETS"));
            }
            self.push(" GROUP BY GROUPING SETS (");
            self.list(sets, ", ", |lowering, set| {
                lowering.push("(");
                let keys = set.iter().filter_map(|place| keys.get(*place));
                lowering.list(keys, ", ", |lowering, key| lowering.group_key(key))?;
                lowering.push(")");
                Ok(())
            })?;
            self.push(")");
        } else if let Some(keys) = &select.group
            && !keys.is_empty()
        {
            self.push(" GROUP BY ");
            self.list(keys, ", ", |lowering, key| lowering.group_key(key))?;
        }
        if let Some(having) = &select.having {
            self.push(" HAVING ");
            self.expr(having)?;
        }
        Ok(())
    }

    /// In SQLite a constant key would be taken for a column's place.
    fn group_key(&mut self, key: &'q Expr) -> Result<(), NodeError> {
        if self.dialect == Dialect::Sqlite && matches!(key, Expr::Const(_)) {
            self.push("abs(1)");
            return Ok(());
        }
        self.sorted_or_grouped(key)
    }

    /// SQLite makes `x AND false` and `8 IS NULL` a number while it parses, which would be taken for a column's place.
    fn sorted_or_grouped(&mut self, key: &'q Expr) -> Result<(), NodeError> {
        let is_logic = matches!(key, Expr::And(_) | Expr::Or(_) | Expr::Not(_) | Expr::Is { .. });
        if self.dialect == Dialect::Sqlite && (is_logic || !reads_field(key)) {
            self.push("iif(1, ");
            self.expr(key)?;
            self.push(", NULL)");
            return Ok(());
        }
        self.collated(key)
    }

    fn set_operations(&mut self, select: &'q Select, names: &[&'q str]) -> Result<(), NodeError> {
        match self.dialect {
            Dialect::Postgres => {
                for _ in &select.union {
                    self.push("(");
                }
                self.select_core(select, names, true)?;
                for operation in &select.union {
                    self.push(") ");
                    self.push(operation_word(operation));
                    self.push(" (");
                    self.select(&operation.query, &[])?;
                    self.push(")");
                }
                // The parentheses that were opened first close around each step but the last.
                Ok(())
            }
            Dialect::Sqlite => self.native_set_operations(select, names),
        }
    }

    /// SQLite combines strictly from left to right, takes no parentheses, and has no EXCEPT ALL and INTERSECT ALL: there
    /// equal rows are numbered, and the numbered rows are a set.
    fn native_set_operations(
        &mut self,
        select: &'q Select,
        names: &[&'q str],
    ) -> Result<(), NodeError> {
        let numbered =
            |operation: &SetOperation| operation.all && operation.kind != SetOperationKind::Union;
        if let Some(place) = select.union.iter().rposition(numbered) {
            if select.union.len() > 1 {
                return Err(NodeError::unsupported(format!(
                    "SQLite combines no further queries with {}",
                    operation_word(&select.union[place])
                )));
            }
            let own: Vec<&str> = select.fields.iter().map(output_name).collect();
            let columns: Vec<String> = (1..=own.len()).map(|n| format!("\"@c{n}\"")).collect();
            let types: Vec<_> = select.fields.iter().map(output_type).collect();
            let collated: Vec<String> = columns
                .iter()
                .zip(&types)
                .map(|(column, ty)| match ty.and_then(super::stored::named_collation) {
                    Some(collation) => format!("{column} COLLATE {collation}"),
                    None => column.clone(),
                })
                .collect();
            self.push("SELECT ");
            self.list(own.iter().enumerate(), ", ", |lowering, (place, own)| {
                lowering.push(&columns[place]);
                lowering.push(" AS ");
                lowering.name(names.get(place).copied().unwrap_or(own));
                Ok(())
            })?;
            self.push(" FROM (");
            let numbering = |lowering: &mut Self| {
                lowering.push("SELECT ");
                lowering.push(&collated.join(", "));
                lowering.push(", row_number() OVER (PARTITION BY ");
                lowering.push(&collated.join(", "));
                lowering.push(") FROM (WITH \"@set\"(");
                lowering.push(&columns.join(", "));
                lowering.push(") AS (");
            };
            numbering(self);
            self.select_core(select, &[], true)?;
            self.push(") SELECT * FROM \"@set\") ");
            self.push(if select.union[place].kind == SetOperationKind::Except {
                "EXCEPT "
            } else {
                "INTERSECT "
            });
            numbering(self);
            self.select(&select.union[place].query, &[])?;
            self.push(") SELECT * FROM \"@set\"))");
            return Ok(());
        }
        self.select_core(select, names, true)?;
        for operation in &select.union {
            self.push(" ");
            self.push(operation_word(operation));
            self.push(" ");
            let query = &operation.query;
            let plain = query.union.is_empty()
                && query.sort.is_empty()
                && query.limit.is_none()
                && query.offset.is_none()
                && query.with.is_empty();
            if plain {
                self.subqueries.push(&query.subqueries);
                self.select_core(query, &[], true)?;
                self.subqueries.pop();
            } else {
                self.push("SELECT * FROM (");
                self.select(query, &[])?;
                self.push(")");
            }
        }
        Ok(())
    }

    fn order_and_limit(&mut self, select: &'q Select) -> Result<(), NodeError> {
        // A constant orders nothing, and in SQLite would be taken for a column's place.
        let keys = || {
            select
                .sort
                .iter()
                .filter(|key| !matches!(key.expr, Expr::Const(_) | Expr::Param { .. }))
        };
        if keys().next().is_some() {
            self.push(" ORDER BY ");
            self.list(keys(), ", ", |lowering, key| {
                if let Expr::Column { index, ty } = &key.expr {
                    lowering.push(&(index + 1).to_string());
                    lowering.collate(ty.id);
                } else {
                    lowering.sorted_or_grouped(&key.expr)?;
                }
                lowering.push(if key.descending { " DESC" } else { " ASC" });
                lowering.push(if key.nulls_first { " NULLS FIRST" } else { " NULLS LAST" });
                Ok(())
            })?;
        }
        match self.dialect {
            Dialect::Postgres => {
                if let Some(offset) = &select.offset {
                    self.push(" OFFSET ");
                    self.expr(offset)?;
                }
                if let Some(limit) = &select.limit {
                    if select.with_ties {
                        self.push(" FETCH FIRST (");
                        self.expr(limit)?;
                        self.push(") ROWS WITH TIES");
                    } else {
                        self.push(" LIMIT ");
                        self.expr(limit)?;
                    }
                }
            }
            Dialect::Sqlite => {
                if select.with_ties {
                    return Err(NodeError::unsupported("SQLite has no WITH TIES"));
                }
                if select.limit.is_some() || select.offset.is_some() {
                    self.push(" LIMIT ");
                    match &select.limit {
                        Some(limit) => {
                            self.push("dm_limit(");
                            self.expr(limit)?;
                            self.push(")");
                        }
                        None => self.push("-1"),
                    }
                }
                if let Some(offset) = &select.offset {
                    self.push(" OFFSET dm_offset(");
                    self.expr(offset)?;
                    self.push(")");
                }
            }
        }
        Ok(())
    }

    fn lock(&mut self, lock: &'q Lock) -> Result<(), NodeError> {
        if self.dialect == Dialect::Sqlite {
            // The driver runs a locking read inside a write transaction, which is alone in the file.
            return Ok(());
        }
        let strength = lock.strength.to_ascii_uppercase();
        if !matches!(strength.as_str(), "UPDATE" | "NO KEY UPDATE" | "SHARE" | "KEY SHARE") {
            return Err(NodeError::unsupported("an unknown strength of locking"));
        }
        self.push(" FOR ");
        self.push(&strength);
        if !lock.of.is_empty() {
            self.push(" OF ");
            self.list(&lock.of, ", ", |lowering, alias| {
                lowering.alias(alias);
                Ok(())
            })?;
        }
        match lock.wait.as_deref().map(str::to_ascii_uppercase).as_deref() {
            None => {}
            Some("NOWAIT") => self.push(" NOWAIT"),
            Some("SKIP LOCKED") => self.push(" SKIP LOCKED"),
            Some(_) => return Err(NodeError::unsupported("an unknown way to wait for a lock")),
        }
        Ok(())
    }

    pub(super) fn sources(&mut self, sources: &'q [Source]) -> Result<(), NodeError> {
        self.list(sources.iter().enumerate(), ", ", |lowering, (place, source)| {
            lowering.source(source, place > 0)
        })
    }

    /// One item of FROM; a join is put in parentheses when it is not the leftmost item.
    fn source(&mut self, source: &'q Source, inner: bool) -> Result<(), NodeError> {
        match source {
            Source::Collection { target, alias, .. } => {
                self.collection(target);
                self.push(" AS ");
                self.alias(alias);
            }
            Source::Query { query, alias, columns, lateral } => {
                if *lateral {
                    if self.dialect == Dialect::Sqlite {
                        return Err(NodeError::unsupported("SQLite has no LATERAL"));
                    }
                    self.push("LATERAL ");
                }
                self.push("(");
                let names: Vec<&str> = match self.dialect {
                    Dialect::Postgres => Vec::new(),
                    Dialect::Sqlite => columns.iter().map(|c| c.name.as_str()).collect(),
                };
                self.select(query, &names)?;
                self.push(") AS ");
                self.alias(alias);
                self.columns_after_alias(columns)?;
            }
            Source::CommonTable { name, alias, columns } => {
                let own = self.common.iter().rev().find(|(known, _)| known == name);
                let own: &[String] = own.map_or(&[], |(_, columns)| columns);
                let same = own.len() == columns.len()
                    && own.iter().zip(columns).all(|(own, column)| *own == column.name);
                if self.dialect == Dialect::Sqlite && !same && !own.is_empty() {
                    self.push("(SELECT ");
                    self.list(own.iter().zip(columns), ", ", |lowering, (own, column)| {
                        lowering.name(own);
                        lowering.push(" AS ");
                        lowering.name(&column.name);
                        Ok(())
                    })?;
                    self.push(" FROM ");
                    self.alias(name);
                    self.push(")");
                } else {
                    self.alias(name);
                }
                self.push(" AS ");
                self.alias(alias);
                self.columns_after_alias(columns)?;
            }
            Source::Values { rows, alias, columns } => {
                self.push("(");
                if self.dialect == Dialect::Sqlite {
                    self.push("SELECT ");
                    self.list(columns.iter().enumerate(), ", ", |lowering, (place, column)| {
                        lowering.push(&format!("column{} AS ", place + 1));
                        lowering.name(&column.name);
                        Ok(())
                    })?;
                    self.push(" FROM (");
                    self.values(rows)?;
                    self.push(")");
                } else {
                    self.values(rows)?;
                }
                self.push(") AS ");
                self.alias(alias);
                self.columns_after_alias(columns)?;
            }
            Source::Function { call, alias, columns, ordinality } => {
                self.table_function(call, alias, columns, *ordinality)?;
            }
            Source::Virtual { schema, name, .. } => {
                return Err(NodeError::unsupported(format!(
                    "\"{schema}.{name}\" is made by the proxy"
                )));
            }
            Source::Join { left, right, kind, on } => {
                if inner {
                    self.push("(");
                }
                self.source(left, false)?;
                self.push(match (kind, on, self.dialect) {
                    (JoinKind::Inner, None, Dialect::Postgres) => " CROSS JOIN ",
                    (JoinKind::Inner, ..) => " JOIN ",
                    (JoinKind::Left, ..) => " LEFT JOIN ",
                    (JoinKind::Right, ..) => " RIGHT JOIN ",
                    (JoinKind::Full, ..) => " FULL JOIN ",
                });
                self.source(right, true)?;
                match on {
                    Some(on) => {
                        self.push(" ON ");
                        self.expr(on)?;
                    }
                    None if *kind == JoinKind::Inner => {}
                    None => self.push(" ON true"),
                }
                if inner {
                    self.push(")");
                }
            }
        }
        Ok(())
    }

    fn table_function(
        &mut self,
        call: &'q Expr,
        alias: &'q str,
        columns: &'q [NamedType],
        ordinality: bool,
    ) -> Result<(), NodeError> {
        if self.dialect == Dialect::Sqlite {
            return Err(NodeError::unsupported("SQLite has no set-returning functions in FROM"));
        }
        // Without the cast of a result's type, which FROM does not take.
        self.expr(call)?;
        if ordinality {
            self.push(" WITH ORDINALITY");
        }
        self.push(" AS ");
        self.alias(alias);
        let record = match call {
            Expr::Call(call) => {
                call.ty.id == TypeId::RECORD
                    && catalog::function(call.function).is_none_or(|found| found.out.is_empty())
            }
            _ => false,
        };
        if !record {
            return self.columns_after_alias(columns);
        }
        self.push("(");
        self.list(columns, ", ", |lowering, column| {
            lowering.name(&column.name);
            lowering.push(" ");
            let name = type_name(column.ty)
                .ok_or_else(|| NodeError::unsupported("a record of a user's own type"))?;
            lowering.push(&name);
            Ok(())
        })?;
        self.push(")");
        Ok(())
    }

    /// `(a, b)` after an alias; SQLite has named the columns inside.
    fn columns_after_alias(&mut self, columns: &'q [NamedType]) -> Result<(), NodeError> {
        if self.dialect == Dialect::Sqlite || columns.is_empty() {
            return Ok(());
        }
        self.push("(");
        self.list(columns, ", ", |lowering, column| {
            lowering.name(&column.name);
            Ok(())
        })?;
        self.push(")");
        Ok(())
    }

    /// `VALUES (…), (…)`.
    pub(super) fn values(&mut self, rows: &'q [Vec<Expr>]) -> Result<(), NodeError> {
        self.push("VALUES ");
        self.list(rows, ", ", |lowering, row| {
            lowering.push("(");
            lowering.list(row, ", ", |l, value| l.expr(value))?;
            lowering.push(")");
            Ok(())
        })
    }

    /// A filter in the bound form.
    pub(super) fn condition(&mut self, condition: &'q Condition) -> Result<(), NodeError> {
        let (parts, word, empty) = match condition {
            Condition::Expr(expr) => return self.expr(expr),
            Condition::Test { .. } => {
                return Err(NodeError::unsupported("a short-form filter has to be bound first"));
            }
            Condition::All(parts) => (parts, " AND ", "true"),
            Condition::Any(parts) => (parts, " OR ", "false"),
        };
        self.joined(parts, word, empty, &mut |lowering, part| lowering.condition(part))
    }

    /// An expression with the collation that compares its stored form, where it needs one.
    pub(super) fn collated(&mut self, expr: &'q Expr) -> Result<(), NodeError> {
        self.expr(expr)?;
        self.collate(expr.type_id());
        Ok(())
    }

    pub(super) fn collate(&mut self, ty: TypeId) {
        if self.dialect == Dialect::Sqlite
            && let Some(collation) = super::stored::named_collation(ty)
        {
            self.push(" COLLATE ");
            self.push(collation);
        }
    }
}

fn operation_word(operation: &SetOperation) -> &'static str {
    match (operation.kind, operation.all) {
        (SetOperationKind::Union, false) => "UNION",
        (SetOperationKind::Union, true) => "UNION ALL",
        (SetOperationKind::Intersect, false) => "INTERSECT",
        (SetOperationKind::Intersect, true) => "INTERSECT ALL",
        (SetOperationKind::Except, false) => "EXCEPT",
        (SetOperationKind::Except, true) => "EXCEPT ALL",
    }
}

fn output_name(field: &OutputField) -> &str {
    match field {
        OutputField::Named(name) | OutputField::Bound { name, .. } => name,
    }
}

fn output_type(field: &OutputField) -> Option<TypeId> {
    match field {
        OutputField::Named(_) => None,
        OutputField::Bound { expr, .. } => Some(expr.type_id()),
    }
}

fn has_aggregate(field: &OutputField) -> bool {
    fn within(expr: &Expr) -> bool {
        let mut found = matches!(expr, Expr::Aggregate(_));
        expr.for_each_child(&mut |child| found = found || within(child));
        found
    }
    matches!(field, OutputField::Bound { expr, .. } if within(expr))
}

/// Whether an expression may differ from row to row.
fn reads_field(expr: &Expr) -> bool {
    let mut reads = matches!(expr, Expr::Field(_) | Expr::Subquery { .. });
    expr.for_each_child(&mut |child| reads |= reads_field(child));
    reads
}
