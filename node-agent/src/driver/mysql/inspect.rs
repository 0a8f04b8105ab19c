//! What a MySQL server holds that dataman did not make, from its `information_schema`.

use std::collections::BTreeMap;

use bytes::{BufMut, BytesMut};
use dataman_node_protocol::NodeError;
use dataman_node_protocol::inspect::{
    Filled, Found, FoundConstraint, FoundConstraintKind, FoundField, FoundTable,
};
use dataman_node_protocol::query::Inspect;
use dataman_node_protocol::record::Batch;
use mysql_async::prelude::Queryable;

use super::adopted::{meaning, unique_name};
use super::connect::{Flavour, Session};
use super::error::classify;
use crate::driver::sql::literal;

/// Looks, and answers one row of JSON for each finding.
///
/// # Errors
/// What the server says.
pub(super) async fn run(
    session: &mut Session,
    flavour: Flavour,
    inspect: &Inspect,
) -> Result<Batch, NodeError> {
    let found = Inspection { session, flavour }.findings(inspect).await?;
    let mut frames = BytesMut::new();
    for one in &found {
        let json = serde_json::to_vec(one).map_err(|error| {
            NodeError::statement("XX000", format!("a finding cannot be written: {error}"))
        })?;
        let length = u32::try_from(json.len())
            .map_err(|_| NodeError::statement("54000", "a finding is too large"))?;
        frames.put_u8(b'D');
        frames.put_u32(length + 10);
        frames.put_u16(1);
        frames.put_u32(length);
        frames.extend_from_slice(&json);
    }
    Ok(Batch { frames: frames.freeze(), rows: found.len() })
}

struct Inspection<'s> {
    session: &'s mut Session,
    flavour: Flavour,
}

type Row = Vec<Option<String>>;

impl Inspection<'_> {
    async fn rows(&mut self, text: &str) -> Result<Vec<Row>, NodeError> {
        let rows: Vec<mysql_async::Row> = self.session.conn.query(text).await.map_err(classify)?;
        let text = |value: mysql_async::Value| match value {
            mysql_async::Value::NULL => None,
            mysql_async::Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            other => Some(other.as_sql(true)),
        };
        Ok(rows.into_iter().map(|row| row.unwrap().into_iter().map(text).collect()).collect())
    }

    async fn findings(&mut self, inspect: &Inspect) -> Result<Vec<Found>, NodeError> {
        let wanted = |column: &str| match &inspect.namespace {
            Some(name) => format!("{column} = {}", literal(name)),
            None => format!(
                "{column} NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema') AND {column} NOT LIKE 'dbshard\\_%'"
            ),
        };
        let schemata = format!(
            "SELECT schema_name FROM information_schema.schemata WHERE {} ORDER BY 1",
            wanted("schema_name")
        );
        let names = self.rows(&schemata).await?.into_iter().filter_map(first);
        let mut found: Vec<Found> = names.map(Found::Namespace).collect();
        let mut tables: BTreeMap<(String, String), FoundTable> = BTreeMap::new();
        let text = format!(
            "SELECT table_schema, table_name, table_type, engine FROM information_schema.tables WHERE {}",
            wanted("table_schema")
        );
        for row in self.rows(&text).await? {
            let [Some(namespace), Some(name), kind, engine] = row.as_slice() else { continue };
            let mut table = FoundTable {
                namespace: namespace.clone(),
                name: name.clone(),
                ..FoundTable::default()
            };
            match (kind.as_deref(), engine.as_deref()) {
                (Some("BASE TABLE"), Some("InnoDB")) => {}
                (Some("BASE TABLE"), engine) => table.refusals.push(format!(
                    "its engine {} has no transactions",
                    engine.unwrap_or("is not there and")
                )),
                (kind, _) => table
                    .refusals
                    .push(format!("it is a {}", kind.unwrap_or("relation").to_lowercase())),
            }
            tables.insert((namespace.clone(), name.clone()), table);
        }
        let checks = self.checks(&wanted("constraint_schema")).await?;
        for ((namespace, table, name), clause) in &checks {
            let is_json = clause.contains("json_valid");
            if let Some(table) = tables.get_mut(&(namespace.clone(), table.clone()))
                && !is_json
            {
                table.notes.push(format!("check {name}: {clause}"));
            }
        }
        self.columns(&wanted("table_schema"), &checks, &mut tables).await?;
        self.keys(&wanted("table_schema"), &mut tables).await?;
        self.foreign_keys(&wanted("k.table_schema"), &mut tables).await?;
        let text = format!(
            "SELECT event_object_schema, event_object_table, trigger_name FROM information_schema.triggers WHERE {} ORDER BY 3",
            wanted("event_object_schema")
        );
        for row in self.rows(&text).await? {
            let [Some(namespace), Some(table), Some(name)] = row.as_slice() else { continue };
            if let Some(table) = tables.get_mut(&(namespace.clone(), table.clone())) {
                table.notes.push(format!("trigger {name}"));
            }
        }
        found.extend(tables.into_values().map(|table| Found::Table(Box::new(table))));
        Ok(found)
    }

    /// The CHECKs by database, table and name; MySQL 8 does not say whose they are.
    async fn checks(
        &mut self,
        wanted: &str,
    ) -> Result<BTreeMap<(String, String, String), String>, NodeError> {
        if self.flavour == Flavour::Mysql {
            return Ok(BTreeMap::new());
        }
        let text = format!(
            "SELECT constraint_schema, table_name, constraint_name, check_clause \
             FROM information_schema.check_constraints WHERE {wanted}"
        );
        let rows = self.rows(&text).await?.into_iter();
        Ok(rows
            .filter_map(|row| match <[Option<String>; 4]>::try_from(row) {
                Ok([Some(namespace), Some(table), Some(name), Some(clause)]) => {
                    Some(((namespace, table, name), clause))
                }
                _ => None,
            })
            .collect())
    }

    async fn columns(
        &mut self,
        wanted: &str,
        checks: &BTreeMap<(String, String, String), String>,
        tables: &mut BTreeMap<(String, String), FoundTable>,
    ) -> Result<(), NodeError> {
        let text = format!(
            "SELECT table_schema, table_name, column_name, column_type, is_nullable, column_default, extra, \
             column_comment, generation_expression FROM information_schema.columns WHERE {wanted} \
             ORDER BY table_schema, table_name, ordinal_position"
        );
        for row in self.rows(&text).await? {
            let Ok(
                [namespace, table, name, declared, nullable, default, extra, comment, generated],
            ) = <[Option<String>; 9]>::try_from(row)
            else {
                continue;
            };
            let (Some(namespace), Some(owner), Some(name)) = (namespace, table, name) else {
                continue;
            };
            let Some(table) = tables.get_mut(&(namespace.clone(), owner.clone())) else { continue };
            let mut declared = declared.unwrap_or_default();
            // MariaDB's JSON is text with a test.
            let json = checks.get(&(namespace, owner, name.clone()));
            if declared == "longtext" && json.is_some_and(|clause| clause.contains("json_valid")) {
                declared = "json".to_owned();
            }
            let extra = extra.unwrap_or_default().to_ascii_lowercase();
            if extra.contains("on update") {
                table.notes.push(format!("column {name} is set anew at each UPDATE"));
            }
            let (default, filled) = filled(self.flavour, &extra, default, generated, &declared);
            let mut field = FoundField {
                name,
                typmod: -1,
                declared,
                not_null: nullable.as_deref() == Some("NO"),
                default,
                filled,
                comment: comment.filter(|comment| !comment.is_empty()),
                ..FoundField::default()
            };
            match meaning(&field.declared) {
                Ok((_, ty)) => (field.type_oid, field.typmod) = (ty.id.0, ty.typmod),
                Err(reason) => field.refusal = Some(reason),
            }
            table.fields.push(field);
        }
        Ok(())
    }

    async fn keys(
        &mut self,
        wanted: &str,
        tables: &mut BTreeMap<(String, String), FoundTable>,
    ) -> Result<(), NodeError> {
        let text = format!(
            "SELECT table_schema, table_name, index_name, column_name, sub_part \
             FROM information_schema.statistics WHERE non_unique = 0 AND {wanted} \
             ORDER BY table_schema, table_name, index_name <> 'PRIMARY', index_name, seq_in_index"
        );
        for row in self.rows(&text).await? {
            let Ok([Some(namespace), Some(owner), Some(index), column, part]) =
                <[Option<String>; 5]>::try_from(row)
            else {
                continue;
            };
            let Some(table) = tables.get_mut(&(namespace, owner.clone())) else { continue };
            let name = unique_name(&owner, &index);
            let (Some(column), None) = (column, part) else {
                // Of a part of the column, or of an expression: stricter than what could be said here.
                table.constraints.retain(|known| known.name != name);
                table.notes.push(format!("index {index}"));
                continue;
            };
            match table.constraints.iter_mut().find(|known| known.name == name) {
                Some(known) => known.fields.push(column),
                None if table.notes.contains(&format!("index {index}")) => {}
                None => table.constraints.push(FoundConstraint {
                    name,
                    kind: match index.as_str() {
                        "PRIMARY" => FoundConstraintKind::PrimaryKey,
                        _ => FoundConstraintKind::Unique,
                    },
                    fields: vec![column],
                    ..FoundConstraint::default()
                }),
            }
        }
        Ok(())
    }

    async fn foreign_keys(
        &mut self,
        wanted: &str,
        tables: &mut BTreeMap<(String, String), FoundTable>,
    ) -> Result<(), NodeError> {
        let text = format!(
            "SELECT k.table_schema, k.table_name, k.constraint_name, k.column_name, k.referenced_table_schema, \
             k.referenced_table_name, k.referenced_column_name, r.delete_rule, r.update_rule \
             FROM information_schema.key_column_usage k JOIN information_schema.referential_constraints r \
             ON r.constraint_schema = k.constraint_schema AND r.constraint_name = k.constraint_name AND r.table_name = k.table_name \
             WHERE k.referenced_table_name IS NOT NULL AND {wanted} \
             ORDER BY k.table_schema, k.table_name, k.constraint_name, k.ordinal_position"
        );
        for row in self.rows(&text).await? {
            let Ok(
                [
                    Some(namespace),
                    Some(owner),
                    Some(name),
                    Some(column),
                    Some(to_namespace),
                    Some(to),
                    Some(to_column),
                    on_delete,
                    on_update,
                ],
            ) = <[Option<String>; 9]>::try_from(row)
            else {
                continue;
            };
            let Some(table) = tables.get_mut(&(namespace, owner)) else { continue };
            let rule = |rule: Option<String>| rule.unwrap_or_default().to_ascii_lowercase();
            match table.constraints.iter_mut().find(|known| known.name == name) {
                Some(known) => {
                    known.fields.push(column);
                    known.references_fields.push(to_column);
                }
                None => table.constraints.push(FoundConstraint {
                    name,
                    kind: FoundConstraintKind::ForeignKey,
                    fields: vec![column],
                    references: Some((to_namespace, to)),
                    references_fields: vec![to_column],
                    on_delete: rule(on_delete),
                    on_update: rule(on_update),
                    ..FoundConstraint::default()
                }),
            }
        }
        Ok(())
    }
}

fn first(row: Row) -> Option<String> {
    row.into_iter().next().flatten()
}

/// What a column gets when it is left out. MariaDB writes a default as SQL does, MySQL a constant as it is.
fn filled(
    flavour: Flavour,
    extra: &str,
    default: Option<String>,
    generated: Option<String>,
    declared: &str,
) -> (Option<String>, Option<Filled>) {
    if extra.contains("auto_increment") {
        return (Some("auto_increment".to_owned()), Some(Filled::IdentityByDefault));
    }
    if ["stored generated", "virtual generated", "persistent"]
        .iter()
        .any(|word| extra.contains(word))
    {
        return (Some(generated.unwrap_or_default()), Some(Filled::Generated));
    }
    let Some(default) = default else { return (None, None) };
    let is_expression = match flavour {
        Flavour::Mariadb { .. } if default.eq_ignore_ascii_case("null") => return (None, None),
        Flavour::Mariadb { .. } => {
            let is_number = default.parse::<f64>().is_ok();
            let is_text = default.len() > 1 && default.starts_with('\'') && default.ends_with('\'');
            !is_number && !is_text
        }
        Flavour::Mysql => {
            extra.contains("default_generated") || default.eq_ignore_ascii_case("current_timestamp")
        }
    };
    let text = match flavour {
        Flavour::Mysql if !is_expression => literal(&default),
        _ => default,
    };
    // Escapes are not as PostgreSQL's, and bits and bytes are written in MySQL's way.
    let is_its_own = text.contains('\\')
        || ["bit", "binary", "varbinary", "time"]
            .iter()
            .any(|ty| declared.split('(').next() == Some(*ty));
    let filled = if is_expression || is_its_own { Filled::Default } else { Filled::Constant };
    (Some(text), Some(filled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults() {
        let mariadb = Flavour::Mariadb { has_snapshot_isolation: true };
        let check =
            |flavour, extra: &str, default: Option<&str>, expected: Option<(&str, Filled)>| {
                let found = filled(flavour, extra, default.map(str::to_owned), None, "varchar(10)");
                let expected = expected.map(|(text, filled)| (text.to_owned(), filled));
                assert_eq!(found.0.zip(found.1), expected, "{default:?}");
            };
        check(mariadb, "", Some("NULL"), None);
        check(mariadb, "", Some("'it''s'"), Some(("'it''s'", Filled::Constant)));
        check(mariadb, "", Some("0"), Some(("0", Filled::Constant)));
        check(
            mariadb,
            "",
            Some("current_timestamp()"),
            Some(("current_timestamp()", Filled::Default)),
        );
        check(mariadb, "auto_increment", None, Some(("auto_increment", Filled::IdentityByDefault)));
        check(Flavour::Mysql, "", Some("it's"), Some(("'it''s'", Filled::Constant)));
        check(
            Flavour::Mysql,
            "default_generated",
            Some("uuid()"),
            Some(("uuid()", Filled::Default)),
        );
    }
}
