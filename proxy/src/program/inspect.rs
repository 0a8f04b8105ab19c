//! `dataman ctl inspect NODE/DATASOURCE`: what a database holds, and how it can be taken over.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use dataman_metadata::snapshot::Snapshot;
use dataman_node_protocol::inspect::{Filled, Found, FoundConstraintKind, FoundTable};
use dataman_node_protocol::node::{NodeStatement, Parameters, ResultFormats, StatementContext};
use dataman_node_protocol::query::{Inspect, NodeQuery};
use dataman_pg::TypeId;
use dataman_pg::types::TypeRef;
use dataman_proxy::cluster::Nodes;
use tokio_util::sync::CancellationToken;

use super::Failure;

/// Asks a datasource what it holds, and prints the collections that it proposes. `name` is `node/datasource`, or
/// `node/datasource.schema`.
pub(crate) async fn datasource(
    snapshot: &Snapshot,
    nodes: &Nodes,
    name: &str,
) -> Result<String, Failure> {
    let whole = nodes.iter().find(|(id, _)| id.to_string() == name);
    let (found, namespace) = match (whole, name.split_once('.')) {
        (Some((id, node)), _) => (Some((id, node)), None),
        (None, Some((datasource, schema))) => {
            (nodes.iter().find(|(id, _)| id.to_string() == datasource), Some(schema.to_owned()))
        }
        (None, None) => (None, None),
    };
    let Some((id, node)) = found else {
        let names: Vec<String> = nodes.keys().map(ToString::to_string).collect();
        return Err(Failure::new(format!("the cluster has no datasource \"{name}\""))
            .with_remedy(format!("Name one of {}, or NODE/DATASOURCE.SCHEMA.", names.join(", "))));
    };
    let failed = |error: dataman_node_protocol::NodeError| {
        let failure = Failure::new(format!("cannot inspect {id}: {error}"));
        match &error.hint {
            Some(hint) => failure.with_remedy(hint.clone()),
            None => failure,
        }
    };
    let context = StatementContext { epoch: snapshot.epoch.0, ..StatementContext::default() };
    let query = NodeQuery::Inspect(Inspect { namespace: namespace.clone(), ..Inspect::default() });
    let statement = Arc::new(NodeStatement::new(query, Vec::new()));
    let connection = node.connect().await.map_err(failed)?;
    let (parameters, formats) = (Parameters::default(), ResultFormats::default());
    let cancel = CancellationToken::new();
    let mut stream = connection.execute(&context, &statement, &parameters, &formats, &cancel).await;
    let mut schemas: BTreeMap<String, Vec<FoundTable>> = BTreeMap::new();
    while let Some(batch) = stream.next().await.map_err(failed)? {
        for row in batch.iter() {
            let json = row.columns().next().flatten().unwrap_or_default();
            let one: Found = serde_json::from_slice(json)
                .map_err(|error| Failure::new(format!("cannot read what {id} holds: {error}")))?;
            match one {
                Found::Namespace(name) => drop(schemas.entry(name).or_default()),
                Found::Table(table) => {
                    schemas.entry(table.namespace.clone()).or_default().push(*table);
                }
            }
        }
    }
    if let Some(namespace) = namespace.filter(|name| !schemas.contains_key(name)) {
        return Err(Failure::new(format!("{id} has no schema \"{namespace}\"")));
    }
    let server = snapshot
        .datastores
        .iter()
        .find(|(_, datastore)| datastore.shards.iter().any(|shard| shard.primary == *id))
        .map(|(datastore, found)| match found.shards.len() {
            1 => datastore.0.clone(),
            _ => id.to_string(),
        });
    let mut out = String::new();
    // Writing to a string cannot fail.
    for (schema, tables) in &schemas {
        let _ = writeln!(out, "-- {id}, schema {schema}: {} tables", tables.len());
        for table in tables {
            let _ = writeln!(out, "\n{}", proposal(table).trim_end());
        }
        if tables.iter().any(is_adoptable) {
            let server = server.clone().unwrap_or_else(|| id.name.clone());
            let _ = writeln!(
                out,
                "\n-- To take them over as they are, where they are:\n\
                 IMPORT FOREIGN SCHEMA {} FROM SERVER {} INTO public;\n",
                quote(schema),
                quote(&server)
            );
        }
    }
    if server.is_none() {
        let _ = writeln!(
            out,
            "-- First give the datasource a datastore, in the cluster file:\n\
             -- [[datastore]]\n-- name = \"{}\"\n-- [[datastore.shard]]\n-- primary = \"{id}\"",
            id.name
        );
    }
    Ok(out)
}

fn is_adoptable(table: &FoundTable) -> bool {
    table.refusals.is_empty() && table.fields.iter().all(|field| field.refusal.is_none())
}

/// A name as SQL takes it.
fn quote(name: &str) -> String {
    let is_plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if is_plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// A table that was found as people read it: the statement that would make it here, and what cannot be taken over.
pub(crate) fn proposal(table: &FoundTable) -> String {
    let mut lines = Vec::new();
    for field in &table.fields {
        let ty = match (&field.labels, field.type_oid) {
            (Some((name, _)), _) => quote(name),
            (None, 0) => field.declared.clone(),
            (None, _) if field.refusal.is_some() => field.declared.clone(),
            (None, oid) => {
                let ty = TypeRef { id: TypeId(oid), typmod: field.typmod };
                dataman_pg::catalog::format_type(ty.id, ty.typmod)
            }
        };
        let mut line = format!("{} {ty}", quote(&field.name));
        match (field.filled, &field.default) {
            (Some(Filled::IdentityAlways), _) => line.push_str(" GENERATED ALWAYS AS IDENTITY"),
            (Some(Filled::IdentityByDefault), _) => {
                line.push_str(" GENERATED BY DEFAULT AS IDENTITY");
            }
            (Some(Filled::Generated), Some(text)) => {
                line.push_str(&format!(" GENERATED ALWAYS AS ({text}) STORED"));
            }
            (_, Some(text)) => line.push_str(&format!(" DEFAULT {text}")),
            _ => {}
        }
        if field.not_null {
            line.push_str(" NOT NULL");
        }
        lines.push(line);
    }
    let list =
        |fields: &[String]| fields.iter().map(|field| quote(field)).collect::<Vec<_>>().join(", ");
    for constraint in &table.constraints {
        let fields = list(&constraint.fields);
        let what = match constraint.kind {
            FoundConstraintKind::PrimaryKey => format!("PRIMARY KEY ({fields})"),
            FoundConstraintKind::Unique => format!("UNIQUE ({fields})"),
            FoundConstraintKind::Check => {
                format!("CHECK ({})", constraint.expr.as_deref().unwrap_or_default())
            }
            FoundConstraintKind::ForeignKey => {
                let (_, name) = constraint.references.clone().unwrap_or_default();
                let references = list(&constraint.references_fields);
                format!("FOREIGN KEY ({fields}) REFERENCES {} ({references})", quote(&name))
            }
        };
        lines.push(format!("CONSTRAINT {} {what}", quote(&constraint.name)));
    }
    let mut out = String::new();
    let name = quote(&table.name);
    let reasons = table.fields.iter().filter_map(|field| {
        field.refusal.as_ref().map(|why| format!("column \"{}\": {why}", field.name))
    });
    let reasons: Vec<String> = table.refusals.iter().cloned().chain(reasons).collect();
    for reason in &reasons {
        out.push_str(&format!("-- {name} cannot be adopted: {reason}\n"));
    }
    for note in &table.notes {
        out.push_str(&format!("-- {name} keeps there, not shown here: {note}\n"));
    }
    for remark in &table.remarks {
        out.push_str(&format!("-- {name}: {remark}\n"));
    }
    for field in table.fields.iter().filter(|field| field.collated) {
        out.push_str(&format!(
            "-- {name}: \"{}\" is ordered in another way there; here by its bytes, which its indexes do not serve\n",
            field.name
        ));
    }
    let comment = if reasons.is_empty() { "" } else { "-- " };
    out.push_str(&format!("{comment}CREATE TABLE {name} (\n"));
    for (place, line) in lines.iter().enumerate() {
        let comma = if place + 1 < lines.len() { "," } else { "" };
        out.push_str(&format!("{comment}    {line}{comma}\n"));
    }
    out.push_str(&format!("{comment});\n"));
    out
}
