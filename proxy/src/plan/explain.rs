//! EXPLAIN: a plan as text, JSON or YAML.

use std::collections::BTreeMap;
use std::time::Duration;

use dataman_metadata::id::ShardId;
use dataman_node_protocol::query::NodeQuery;
use dataman_pg::Expr;
use dataman_pg::expr::{FrameBound, SortKey, SubqueryKind, Window};
use serde_json::{Value as Json, json};

use super::global::GlobalKeys;
use super::operator::{
    ChangePlan, GroupingSets, InsertSource, MergeKey, NodeScan, Operator, Root, ShardRule,
    VirtualKey,
};
use super::{Internal, Plan};
use crate::merge::{Measured, Metrics};
use crate::route::prune::KeySource;
use crate::scatter::contract::{Capabilities, ShardRef};

/// The forms of EXPLAIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExplainFormat {
    /// Indented lines.
    Text,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
}

/// What EXPLAIN shows beside the plan itself.
#[derive(Clone, Copy, Default)]
pub struct Shown<'a> {
    /// VERBOSE: the columns of each operator, and what every shard is asked.
    pub verbose: bool,
    /// What the shards can do, so that queries are shown in their own languages; else in dataman's form.
    pub capabilities: Option<&'a dyn Capabilities>,
    /// ANALYZE: what an execution did.
    pub analyzed: Option<Analyzed<'a>>,
    /// SUMMARY: how long planning took.
    pub planning: Option<Duration>,
}

/// What an execution did.
#[derive(Debug, Clone, Copy)]
pub struct Analyzed<'a> {
    /// Each operator.
    pub metrics: &'a Metrics,
    /// The rows that came out, or were changed.
    pub rows: u64,
    /// TIMING: how long each operator took.
    pub timing: bool,
    /// SUMMARY: how long all took.
    pub execution: Option<Duration>,
}

/// One operator, ready to be printed.
struct Node {
    name: String,
    facts: Vec<(&'static str, Json)>,
    inputs: Vec<Node>,
    /// What it did.
    measured: Option<Measured>,
}

impl Plan {
    /// The plan's lines (`QUERY PLAN`), one row each; for JSON one row.
    #[cfg(test)]
    pub(super) fn explain(&self, format: ExplainFormat) -> Vec<String> {
        self.explain_with(format, &Shown::default())
    }

    /// The same with what else is to be shown.
    pub fn explain_with(&self, format: ExplainFormat, shown: &Shown<'_>) -> Vec<String> {
        let mut root = root_node(&self.root, shown);
        for first in &self.first {
            let mut node = root_node(&first.root, shown);
            node.name = format!("First, as table {}: {}", first.table + 1, node.name);
            root.inputs.push(node);
        }
        for (place, subplan) in self.subplans.iter().enumerate() {
            let number = self
                .parameters
                .internal()
                .iter()
                .position(
                    |internal| matches!(internal, Internal::Subquery(found, _) if *found == place),
                )
                .map(|found| self.params.len() + found + 1);
            let mut node = operator_node(&subplan.operator, shown);
            node.facts.push(("First, as", json!(number.map(|number| format!("${number}")))));
            root.inputs.push(node);
        }
        for (place, table) in self.tables.iter().enumerate() {
            let mut node = operator_node(&table.operator, shown);
            node.name = format!("Table {} ({}): {}", place + 1, table.name, node.name);
            root.inputs.push(node);
        }
        for (place, apply) in self.applies.iter().enumerate() {
            let mut node = operator_node(&apply.operator, shown);
            node.name = format!("Query {}: {}", place + 1, node.name);
            if !apply.params.is_empty() {
                let params: Vec<String> = apply.params.iter().map(expr_text).collect();
                node.facts.push(("For each", json!(params.join(", "))));
            }
            root.inputs.push(node);
        }
        let computed: Vec<String> = self
            .parameters
            .internal()
            .iter()
            .enumerate()
            .filter_map(|(place, internal)| match internal {
                Internal::Once(expr) => {
                    Some(format!("${} = {}", self.params.len() + place + 1, expr_text(expr)))
                }
                Internal::NextValue(schema, name) => {
                    Some(format!("${} = nextval({schema}.{name})", self.params.len() + place + 1))
                }
                Internal::RowsNeeded { limit, offset } => Some(format!(
                    "${} = {} + {}",
                    self.params.len() + place + 1,
                    expr_text(limit),
                    expr_text(offset)
                )),
                Internal::Subquery(..) | Internal::Outer(_) | Internal::Keys(_) => None,
            })
            .collect();
        if !computed.is_empty() {
            root.facts.push(("Computed once", json!(computed)));
        }
        if let Some(analyzed) = &shown.analyzed
            && root.measured.is_none()
        {
            root.measured = Some(Measured { loops: 1, rows: analyzed.rows, ..Measured::default() });
        }
        let timing = shown.analyzed.is_some_and(|analyzed| analyzed.timing);
        let times: Vec<(&str, Duration)> = [
            ("Planning Time", shown.planning),
            ("Execution Time", shown.analyzed.and_then(|analyzed| analyzed.execution)),
        ]
        .into_iter()
        .filter_map(|(label, time)| Some((label, time?)))
        .collect();
        let document = || {
            let mut document = serde_json::Map::new();
            document.insert("Plan".to_owned(), to_json(&root, timing));
            document.insert("Epoch".to_owned(), json!(self.epoch.0));
            for (label, time) in &times {
                document.insert((*label).to_owned(), milliseconds(*time));
            }
            Json::Array(vec![Json::Object(document)])
        };
        match format {
            ExplainFormat::Text => {
                let mut lines = Vec::new();
                text_lines(&root, 0, timing, &mut lines);
                for (label, time) in &times {
                    lines.push(format!("{label}: {} ms", milliseconds(*time)));
                }
                lines
            }
            ExplainFormat::Json => {
                vec![serde_json::to_string_pretty(&document()).unwrap_or_default()]
            }
            ExplainFormat::Yaml => {
                let mut text = String::new();
                yaml(&document(), 0, &mut text);
                vec![text.trim_end().to_owned()]
            }
        }
    }
}

/// Milliseconds with three digits behind the point, as PostgreSQL shows them.
fn milliseconds(time: Duration) -> Json {
    let text = format!("{:.3}", time.as_secs_f64() * 1000.0);
    serde_json::from_str(&text).unwrap_or_default()
}

/// What an operator did in each of its loops, as numbers by name.
fn measured_facts(measured: &Measured, timing: bool) -> Vec<(&'static str, Json)> {
    let loops = measured.loops.max(1);
    let mut facts = Vec::new();
    if timing {
        let each = |time: Duration| milliseconds(time / u32::try_from(loops).unwrap_or(u32::MAX));
        facts.push(("Actual Startup Time", each(measured.startup)));
        facts.push(("Actual Total Time", each(measured.total)));
    }
    facts.push(("Actual Rows", json!((measured.rows + loops / 2) / loops)));
    facts.push(("Actual Loops", json!(measured.loops)));
    facts
}

/// The same in PostgreSQL's words.
fn measured_text(measured: &Measured, timing: bool) -> String {
    if measured.loops == 0 {
        return " (never executed)".to_owned();
    }
    let facts = measured_facts(measured, timing);
    let fact = |name: &str| {
        facts.iter().find(|(label, _)| *label == name).map_or(Json::Null, |(_, fact)| fact.clone())
    };
    let time = match timing && measured.total > Duration::ZERO {
        true => format!("time={}..{} ", fact("Actual Startup Time"), fact("Actual Total Time")),
        false => String::new(),
    };
    format!(" (actual {time}rows={} loops={})", fact("Actual Rows"), measured.loops)
}

/// What one shard sent, in a line.
fn shard_text(measured: &Measured, timing: bool) -> String {
    let time = match timing {
        true => format!(" time={} ms", milliseconds(measured.total)),
        false => String::new(),
    };
    let loops =
        if measured.loops == 1 { String::new() } else { format!(" loops={}", measured.loops) };
    format!("rows={} bytes={}{time}{loops}", measured.rows, measured.bytes)
}

/// Appends a document as YAML.
fn yaml(value: &Json, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    let scalar = |value: &Json| match value {
        // A string in double quotes is YAML as it is JSON.
        Json::Array(items) if items.is_empty() => "[]".to_owned(),
        Json::Object(items) if items.is_empty() => "{}".to_owned(),
        other => other.to_string(),
    };
    match value {
        Json::Array(items) => {
            for item in items {
                match item {
                    Json::Object(_) | Json::Array(_) => {
                        let mut inner = String::new();
                        yaml(item, depth + 1, &mut inner);
                        out.push_str(&format!("{indent}- {}", inner.trim_start()));
                    }
                    item => out.push_str(&format!("{indent}- {}\n", scalar(item))),
                }
            }
        }
        Json::Object(items) => {
            for (label, item) in items {
                match item {
                    Json::Array(inner) if !inner.is_empty() => {
                        out.push_str(&format!("{indent}{label}:\n"));
                        yaml(item, depth + 1, out);
                    }
                    Json::Object(inner) if !inner.is_empty() => {
                        out.push_str(&format!("{indent}{label}:\n"));
                        yaml(item, depth + 1, out);
                    }
                    item => out.push_str(&format!("{indent}{label}: {}\n", scalar(item))),
                }
            }
        }
        other => out.push_str(&format!("{indent}{}\n", scalar(other))),
    }
}

fn root_node(root: &Root, shown: &Shown<'_>) -> Node {
    match root {
        Root::Rows(operator) => operator_node(operator, shown),
        Root::Write(write) => {
            let verb =
                if matches!(write.scan.query, NodeQuery::Update(_)) { "Update" } else { "Delete" };
            let mut node = scan_node(verb, &write.scan, shown);
            if write.copies {
                node.facts.push(("Copies", json!("every shard")));
            }
            if let Some((rules, otherwise)) = &write.agree {
                node.facts.push((
                    "Only if one shard holds",
                    json!(rules.iter().map(rule_text).collect::<Vec<_>>()),
                ));
                match otherwise {
                    Ok(change) => {
                        let mut other = change_node(change, shown);
                        other.name = format!("Otherwise: {}", other.name);
                        node.inputs.push(other);
                    }
                    Err(error) => node
                        .facts
                        .push(("Otherwise", json!(format!("refused: {}", error.message())))),
                }
            }
            node
        }
        Root::Change(change) => change_node(change, shown),
        Root::Copy(copy) => Node {
            name: "Copy".to_owned(),
            facts: vec![
                ("Collection", json!(copy.form.target.collection)),
                ("Data passes", json!(copy.passes)),
            ]
            .into_iter()
            .chain(global_fact(copy.global.as_ref()))
            .collect(),
            inputs: Vec::new(),
            measured: None,
        },
        Root::Insert(insert) => {
            let shards = match &insert.placement {
                dataman_metadata::schema::Placement::Sharded(keyspace) => {
                    format!("by {}", keyspace.fields.join(", "))
                }
                dataman_metadata::schema::Placement::Single { shard } => shard.to_string(),
                dataman_metadata::schema::Placement::Reference => {
                    format!("all {}", insert.shard_count)
                }
            };
            let inputs = match &insert.rows {
                InsertSource::Query { operator, .. } => vec![operator_node(operator, shown)],
                InsertSource::Values(_) => Vec::new(),
            };
            let mut facts = vec![
                ("Collection", json!(insert.form.target.collection)),
                ("Shards", json!(shards)),
            ];
            if let InsertSource::Values(rows) = &insert.rows {
                facts.push(("Rows", json!(rows.len())));
            }
            facts.extend(global_fact(insert.global.as_ref()));
            Node { name: "Insert".to_owned(), facts, inputs, measured: None }
        }
    }
}

/// The unique keys for which a statement asks all shards.
fn global_fact(global: Option<&GlobalKeys>) -> Option<(&'static str, Json)> {
    let names: Vec<&str> = global?.keys.iter().map(|key| key.name.as_str()).collect();
    Some(("Unique over Shards", json!(names.join(", "))))
}

fn change_node(change: &ChangePlan, shown: &Shown<'_>) -> Node {
    let (verb, target) = match &change.query {
        NodeQuery::Update(update) => ("Update", &update.target),
        NodeQuery::Delete(delete) => ("Delete", &delete.target),
        other => {
            return Node {
                name: "Change".to_owned(),
                facts: vec![("Query", node_query(other))],
                inputs: Vec::new(),
                measured: None,
            };
        }
    };
    Node {
        name: format!("{verb} by Key"),
        facts: vec![
            ("Collection", json!(target.collection)),
            ("Key columns", json!(change.keys)),
            ("Each", node_query(&change.query)),
        ]
        .into_iter()
        .chain(global_fact(change.global.as_ref()))
        .collect(),
        inputs: vec![operator_node(&change.find, shown)],
        measured: None,
    }
}

fn text_lines(node: &Node, depth: usize, timing: bool, lines: &mut Vec<String>) {
    let (indent, arrow) = if depth == 0 { (0, "") } else { (depth * 6 - 4, "->  ") };
    let measured = node.measured.map(|measured| measured_text(&measured, timing));
    let measured = measured.unwrap_or_default();
    lines.push(format!("{}{arrow}{}{measured}", " ".repeat(indent), node.name));
    let inner = if depth == 0 { 2 } else { indent + 6 };
    for (label, value) in &node.facts {
        match value {
            Json::Array(items) => {
                for item in items {
                    lines.push(format!("{}{label}: {}", " ".repeat(inner), plain(item)));
                }
            }
            other => lines.push(format!("{}{label}: {}", " ".repeat(inner), plain(other))),
        }
    }
    for input in &node.inputs {
        text_lines(input, depth + 1, timing, lines);
    }
}

/// A node query in short: sources without their fields, bound names and constants as one would write them.
fn node_query(query: &NodeQuery) -> Json {
    if let NodeQuery::Sql(sql) = query {
        return json!({ "sql": sql.text });
    }
    shortened(serde_json::to_value(query).unwrap_or_default())
}

fn shortened(value: Json) -> Json {
    match value {
        Json::Array(items) => Json::Array(items.into_iter().map(shortened).collect()),
        Json::Object(mut object) => {
            if object.contains_key("alias") && object.contains_key("collection") {
                object.shift_remove("fields");
            }
            if let (1, Some((word, Json::Object(inner)))) = (object.len(), object.iter().next()) {
                let text = |key: &str| inner.get(key).and_then(Json::as_str).unwrap_or_default();
                match word.as_str() {
                    "field" => return json!(format!("{}.{}", text("source"), text("name"))),
                    "const" => return inner.get("value").cloned().unwrap_or_default(),
                    "param" => {
                        return json!(format!(
                            "${}",
                            inner.get("index").cloned().unwrap_or_default()
                        ));
                    }
                    "call" => {
                        let number = |key: &str| {
                            inner
                                .get(key)
                                .and_then(Json::as_u64)
                                .and_then(|id| u32::try_from(id).ok())
                        };
                        let operator = number("operator")
                            .and_then(|id| {
                                dataman_pg::catalog::operator(dataman_pg::expr::OperatorId(id))
                            })
                            .map(|operator| operator.name);
                        let function = number("function")
                            .and_then(|id| {
                                dataman_pg::catalog::function(dataman_pg::expr::FunctionId(id))
                            })
                            .map(|function| function.name);
                        let name = operator.or(function).unwrap_or("?");
                        let args = inner.get("args").cloned().map(shortened).unwrap_or_default();
                        return json!({ name: args });
                    }
                    "aggregate" if inner.contains_key("function") => {
                        let name = inner
                            .get("function")
                            .and_then(Json::as_u64)
                            .and_then(|id| u32::try_from(id).ok())
                            .and_then(|id| {
                                dataman_pg::catalog::function(dataman_pg::expr::FunctionId(id))
                            })
                            .map_or("?", |function| function.name);
                        let args = inner.get("args").cloned().map(shortened).unwrap_or_default();
                        return json!({ name: args });
                    }
                    _ => {}
                }
            }
            Json::Object(object.into_iter().map(|(key, value)| (key, shortened(value))).collect())
        }
        other => other,
    }
}

fn plain(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn to_json(node: &Node, timing: bool) -> Json {
    let mut object = serde_json::Map::new();
    object.insert("Node Type".to_owned(), json!(node.name));
    for (label, value) in node.measured.iter().flat_map(|all| measured_facts(all, timing)) {
        object.insert(label.to_owned(), value);
    }
    for (label, value) in &node.facts {
        object.insert((*label).to_owned(), value.clone());
    }
    if !node.inputs.is_empty() {
        object.insert(
            "Plans".to_owned(),
            Json::Array(node.inputs.iter().map(|input| to_json(input, timing)).collect()),
        );
    }
    Json::Object(object)
}

/// An operator and what is below it.
fn operator_node(operator: &Operator, shown: &Shown<'_>) -> Node {
    let mut node = plain_node(operator, shown);
    if shown.verbose {
        let columns = operator.columns();
        let columns = columns.iter().map(|ty| dataman_pg::catalog::format_type(ty.id, ty.typmod));
        node.facts.push(("Columns out", json!(columns.collect::<Vec<_>>().join(", "))));
    }
    if let Some(analyzed) = &shown.analyzed {
        let measured = analyzed.metrics.of(operator);
        if let Some(measured) = &measured {
            for (label, bytes) in
                [("Memory", measured.memory_bytes as u64), ("Disk", measured.disk_bytes)]
            {
                if bytes > 0 {
                    node.facts.push((label, json!(format!("{}kB", bytes.div_ceil(1024)))));
                }
            }
        }
        node.measured = measured.or(node.measured).or(Some(Measured::default()));
    }
    node
}

fn plain_node(operator: &Operator, shown: &Shown<'_>) -> Node {
    let inputs: Vec<Node> =
        operator.inputs().into_iter().map(|input| operator_node(input, shown)).collect();
    let mut facts = Vec::new();
    let name = match operator {
        Operator::Virtual(scan) => {
            facts.push(("Table", json!(format!("{}.{}", scan.schema, scan.name))));
            if let Some(VirtualKey { place, value, any }) = &scan.key {
                let (column, value) = (place + 1, expr_text(value));
                let value = if *any { format!("ANY ({value})") } else { value };
                facts.push(("Key", json!(format!("column {column} = {value}"))));
            }
            "Virtual Scan".to_owned()
        }
        Operator::Rows { rows, .. } => {
            facts.push(("Rows", json!(rows.len())));
            "Rows".to_owned()
        }
        Operator::Scan(scan) => return scan_node(scan_name(scan), scan, shown),
        Operator::Merge { scan, keys } => {
            let mut node = scan_node("Merge Sorted", scan, shown);
            node.facts.insert(0, ("Order", json!(merge_keys_text(keys))));
            return node;
        }
        Operator::Route { whole, rules, otherwise } => {
            let mut node = scan_node("Route", whole, shown);
            node.facts.retain(|(label, _)| *label != "Shards");
            node.facts.insert(0, ("Shards", json!("the one that holds all keys")));
            node.facts.insert(1, ("Keys", json!(rules.iter().map(rule_text).collect::<Vec<_>>())));
            if let Some(among) = &whole.among {
                node.facts.insert(2, ("Only if it is", json!(shards_text(among, " or "))));
            }
            match otherwise {
                Ok(_) => {
                    node.inputs = inputs;
                    if let Some(first) = node.inputs.first_mut() {
                        first.name = format!("Otherwise: {}", first.name);
                    }
                }
                Err(error) => {
                    node.facts.push(("Otherwise", json!(format!("refused: {}", error.message()))))
                }
            }
            return node;
        }
        Operator::Filter { predicate, .. } => {
            facts.push(("Condition", json!(expr_text(predicate))));
            "Filter".to_owned()
        }
        Operator::Project { exprs, .. } => {
            facts.push((
                "Output",
                json!(exprs.iter().map(expr_text).collect::<Vec<_>>().join(", ")),
            ));
            "Project".to_owned()
        }
        Operator::Expand { call, .. } => {
            facts.push(("Function", json!(expr_text(&Expr::Call(call.clone())))));
            "Function Rows".to_owned()
        }
        Operator::Combine { keys, aggregates, sets, .. } => {
            facts.push(("Group columns", json!(keys)));
            facts.extend(sets_fact(sets.as_ref()));
            facts.push((
                "Aggregates",
                json!(
                    aggregates
                        .iter()
                        .map(|call| expr_text(&Expr::Aggregate(Box::new(call.clone()))))
                        .collect::<Vec<_>>()
                        .join(", ")
                ),
            ));
            "Combine Aggregates".to_owned()
        }
        Operator::Group { keys, aggregates, sets, .. } => {
            facts.push(("Group", json!(keys.iter().map(expr_text).collect::<Vec<_>>().join(", "))));
            facts.extend(sets_fact(sets.as_ref()));
            facts.push((
                "Aggregates",
                json!(
                    aggregates
                        .iter()
                        .map(|call| expr_text(&Expr::Aggregate(Box::new(call.clone()))))
                        .collect::<Vec<_>>()
                        .join(", ")
                ),
            ));
            "Aggregate".to_owned()
        }
        Operator::Window { calls, .. } => {
            if let Some(first) = calls.first() {
                let list =
                    |exprs: &mut dyn Iterator<Item = String>| exprs.collect::<Vec<_>>().join(", ");
                if !first.partition_by.is_empty() {
                    let text = list(&mut first.partition_by.iter().map(expr_text));
                    facts.push(("Partition", json!(text)));
                }
                if !first.order_by.is_empty() {
                    facts.push(("Order", json!(list(&mut first.order_by.iter().map(key_text)))));
                }
            }
            let calls: Vec<String> = calls.iter().map(window_text).collect();
            facts.push(("Calls", json!(calls.join(", "))));
            "Window".to_owned()
        }
        Operator::Distinct { keys, .. } => {
            facts.push((
                "Columns",
                json!(keys.iter().map(|key| (key + 1).to_string()).collect::<Vec<_>>().join(", ")),
            ));
            "Distinct".to_owned()
        }
        Operator::Sort { keys, .. } => {
            let keys: Vec<String> = keys.iter().map(key_text).collect();
            facts.push(("Order", json!(keys.join(", "))));
            "Sort".to_owned()
        }
        Operator::Limit { limit, offset, .. } => {
            if let Some(limit) = limit {
                facts.push(("Limit", json!(expr_text(limit))));
            }
            if let Some(offset) = offset {
                facts.push(("Offset", json!(expr_text(offset))));
            }
            "Limit".to_owned()
        }
        Operator::Join { kind, equal, on, .. } => {
            if let Some(on) = on {
                facts.push(("Condition", json!(expr_text(on))));
            }
            format!("{} Join ({kind:?})", if equal.is_empty() { "Nested Loop" } else { "Hash" })
        }
        Operator::Keep { .. } => "Keep".to_owned(),
        Operator::Lookup { keys, .. } => {
            let keys: Vec<String> = keys
                .iter()
                .map(|(own, outer)| format!("{} = {}", expr_text(own), expr_text(outer)))
                .collect();
            facts.push(("Hash", json!(keys.join(", "))));
            "Lookup".to_owned()
        }
        Operator::Table { place, .. } => {
            facts.push(("Table", json!(place + 1)));
            "Common Table".to_owned()
        }
        Operator::Recurse { all, .. } => {
            format!("Recursive Union{}", if *all { " All" } else { "" })
        }
        Operator::Working { .. } => "Working Table".to_owned(),
        Operator::Narrow { param, .. } => {
            facts.push(("Or, for few keys, as", json!(expr_text(param))));
            "By Keys".to_owned()
        }
        Operator::OrElse { .. } => "Or Else".to_owned(),
        Operator::Apply { place, outer, on, keeps, .. } => {
            facts.push(("Query", json!(place + 1)));
            facts
                .push(("Outer", json!(outer.iter().map(expr_text).collect::<Vec<_>>().join(", "))));
            if let Some(on) = on {
                facts.push(("Condition", json!(expr_text(on))));
            }
            format!("Apply{}", if *keeps { " (Left)" } else { "" })
        }
        Operator::Append(_) => "Append".to_owned(),
        Operator::Gather(gather) => {
            if !gather.keys.is_empty() {
                facts.push(("Order", json!(merge_keys_text(&gather.keys))));
            }
            facts.push(("Shards", json!(rule_text(&gather.shards))));
            "Gather".to_owned()
        }
        Operator::SetOperation { kind, all, .. } => {
            format!("{kind:?}{}", if *all { " All" } else { "" })
        }
    };
    Node { name, facts, inputs, measured: None }
}

/// The order of a merge, by the numbers of its columns.
fn merge_keys_text(keys: &[MergeKey]) -> String {
    let keys: Vec<String> = keys
        .iter()
        .map(|key| {
            format!(
                "column {}{}{}",
                key.column + 1,
                if key.descending { " DESC" } else { "" },
                if key.nulls_first == key.descending {
                    ""
                } else if key.nulls_first {
                    " NULLS FIRST"
                } else {
                    " NULLS LAST"
                }
            )
        })
        .collect();
    keys.join(", ")
}

fn scan_name(scan: &NodeScan) -> &'static str {
    match &scan.shards {
        ShardRule::One(_) | ShardRule::Any => "Route",
        ShardRule::All | ShardRule::Keys { .. } => "Scatter",
    }
}

fn scan_node(name: &str, scan: &NodeScan, shown: &Shown<'_>) -> Node {
    let mut facts = vec![("Shards", json!(rule_text(&scan.shards)))];
    let count = scan.statements.len();
    match (&scan.shards, &scan.among) {
        (ShardRule::All, None) => facts[0].1 = json!(format!("all {count}")),
        (ShardRule::All, Some(among)) => facts[0].1 = json!(shards_text(among, ", ")),
        (rule, Some(among)) => {
            let text = format!("{}, of {}", rule_text(rule), shards_text(among, ", "));
            facts[0].1 = json!(text);
        }
        _ => {}
    }
    let capability = |shard: &ShardId| {
        let shard = ShardRef { datastore: scan.datastore.clone(), shard: *shard };
        shown.capabilities.and_then(|capabilities| capabilities.of(&shard))
    };
    // The first shard of each engine: the others are asked in the same words.
    let mut engines: BTreeMap<&str, &ShardId> = BTreeMap::new();
    for shard in scan.statements.keys() {
        engines.entry(capability(shard).map_or("", |found| found.engine())).or_insert(shard);
    }
    let asked = |shard: &ShardId, query: &NodeQuery| match capability(shard)
        .and_then(|capability| capability.statement_text(query))
    {
        Some(text) => json!(text),
        None => node_query(query),
    };
    if shown.verbose {
        let queries = scan.statements.iter().map(|(shard, statement)| {
            format!("shard {shard}: {}", plain(&asked(shard, &statement.query)))
        });
        facts.push(("Node query", json!(queries.collect::<Vec<_>>())));
    } else if engines.len() > 1 {
        let queries = engines.values().filter_map(|shard| {
            let statement = scan.statements.get(*shard)?;
            Some(format!("shard {shard}: {}", plain(&asked(shard, &statement.query))))
        });
        facts.push(("Node query", json!(queries.collect::<Vec<_>>())));
    } else if let Some((shard, first)) =
        scan.statements.get_key_value(&ShardId(0)).or_else(|| scan.statements.first_key_value())
    {
        facts.push(("Node query", asked(shard, &first.query)));
    }
    let mut measured = None;
    if let Some(analyzed) = &shown.analyzed {
        let shards = analyzed.metrics.shards(scan);
        let lines = shards.iter().map(|(shard, measured)| {
            format!("{shard} ({})", shard_text(measured, analyzed.timing))
        });
        facts.push(("Shard", json!(lines.collect::<Vec<_>>())));
        if !shards.is_empty() {
            // Frames that pass as they are go through no operator.
            measured = Some(Measured {
                loops: shards.values().map(|shard| shard.loops).max().unwrap_or(1),
                rows: shards.values().map(|shard| shard.rows).sum(),
                startup: shards.values().map(|shard| shard.startup).min().unwrap_or_default(),
                total: shards.values().map(|shard| shard.total).max().unwrap_or_default(),
                ..Measured::default()
            });
        }
    }
    Node { name: name.to_owned(), facts, inputs: Vec::new(), measured }
}

/// Some shards by their numbers.
fn shards_text(shards: &[ShardId], between: &str) -> String {
    shards.iter().map(ShardId::to_string).collect::<Vec<_>>().join(between)
}

fn rule_text(rule: &ShardRule) -> String {
    match rule {
        ShardRule::All => "all".to_owned(),
        ShardRule::Any => "any one".to_owned(),
        ShardRule::One(shard) => shard.to_string(),
        ShardRule::Keys { keyspace, rule, .. } => keyspace
            .fields
            .iter()
            .zip(&rule.fields)
            .map(|(name, sources)| {
                let sources: Vec<String> = sources
                    .iter()
                    .map(|source| match source {
                        KeySource::One(expr) => expr_text(expr),
                        KeySource::Elements(expr) => format!("any of {}", expr_text(expr)),
                    })
                    .collect();
                format!("{name} = {}", sources.join(" or "))
            })
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// An expression in short: for reading, not for parsing.
fn expr_text(expr: &Expr) -> String {
    let list = |args: &[Expr]| args.iter().map(expr_text).collect::<Vec<_>>().join(", ");
    match expr {
        Expr::Const(constant) => {
            let mut out = Vec::new();
            if constant.value.is_null() {
                return "NULL".to_owned();
            }
            dataman_pg::io::text::output(
                &constant.value,
                constant.ty.id,
                &dataman_pg::Context::default(),
                &mut out,
            );
            let text = String::from_utf8_lossy(&out).into_owned();
            match constant.ty.id {
                dataman_pg::TypeId::INT2
                | dataman_pg::TypeId::INT4
                | dataman_pg::TypeId::INT8
                | dataman_pg::TypeId::NUMERIC
                | dataman_pg::TypeId::BOOL => text,
                _ => format!("'{text}'"),
            }
        }
        Expr::Param { index, .. } => format!("${index}"),
        Expr::Field(field) => format!("{}.{}", field.source, field.name),
        Expr::Column { index, .. } => format!("column {}", index + 1),
        Expr::Call(call) => {
            let name =
                call.operator.and_then(dataman_pg::catalog::operator).map(|operator| operator.name);
            match (name, call.args.as_slice()) {
                (Some(name), [left, right]) => {
                    format!("({} {name} {})", expr_text(left), expr_text(right))
                }
                (Some(name), [arg]) => format!("({name} {})", expr_text(arg)),
                _ => format!(
                    "{}({})",
                    dataman_pg::catalog::function(call.function)
                        .map_or("?", |function| function.name),
                    list(&call.args)
                ),
            }
        }
        Expr::Cast(cast) => {
            format!(
                "{}::{}",
                expr_text(&cast.arg),
                dataman_pg::catalog::format_type(cast.ty.id, cast.ty.typmod)
            )
        }
        Expr::And(args) => {
            format!("({})", args.iter().map(expr_text).collect::<Vec<_>>().join(" AND "))
        }
        Expr::Or(args) => {
            format!("({})", args.iter().map(expr_text).collect::<Vec<_>>().join(" OR "))
        }
        Expr::Not(arg) => format!("(NOT {})", expr_text(arg)),
        Expr::Is { arg, test, negated } => {
            let word = format!("{test:?}").to_uppercase();
            format!("({} IS {}{word})", expr_text(arg), if *negated { "NOT " } else { "" })
        }
        Expr::Aggregate(call) => {
            let name =
                dataman_pg::catalog::function(call.function).map_or("?", |function| function.name);
            let args = if call.args.is_empty() { "*".to_owned() } else { list(&call.args) };
            format!("{name}({}{args})", if call.distinct { "DISTINCT " } else { "" })
        }
        Expr::Array { elements, .. } => format!("ARRAY[{}]", list(elements)),
        Expr::ArrayOp { operator, all, left, array, .. } => format!(
            "({} {} {} ({}))",
            expr_text(left),
            dataman_pg::catalog::operator(*operator).map_or("?", |operator| operator.name),
            if *all { "ALL" } else { "ANY" },
            expr_text(array)
        ),
        Expr::Coalesce { args, .. } => format!("COALESCE({})", list(args)),
        Expr::Case { .. } => "CASE …".to_owned(),
        Expr::Subquery { index, kind, outer, .. } => {
            let number = super::apply::applied(*index).unwrap_or(*index) + 1;
            let query = if outer.is_empty() {
                format!("query {number}")
            } else {
                format!("query {number} of {}", list(outer))
            };
            match kind {
                SubqueryKind::Scalar => format!("({query})"),
                SubqueryKind::Exists => format!("EXISTS ({query})"),
                SubqueryKind::Array => format!("ARRAY ({query})"),
                SubqueryKind::Compare { all, left, operators } => format!(
                    "({} {} {} ({query}))",
                    list(left),
                    operators
                        .first()
                        .and_then(|operator| dataman_pg::catalog::operator(*operator))
                        .map_or("?", |operator| operator.name),
                    if *all { "ALL" } else { "ANY" }
                ),
            }
        }
        Expr::Extreme { greatest, args, .. } => {
            format!("{}({})", if *greatest { "GREATEST" } else { "LEAST" }, list(args))
        }
        Expr::NullIf { call, .. } => format!("NULLIF({})", list(&call.args)),
        Expr::Row(args) => format!("ROW({})", list(args)),
        Expr::Distinct { call, negated } => {
            format!(
                "({} DISTINCT)",
                if *negated { format!("NOT {}", list(&call.args)) } else { list(&call.args) }
            )
        }
        Expr::RowCompare { operator, .. } => format!("(row {operator} row)"),
        Expr::Subscript { array, .. } => format!("{}[…]", expr_text(array)),
        Expr::Window(window) => format!("{} OVER (…)", window_text(window)),
        Expr::Grouping(keys) => format!("GROUPING({})", list(keys)),
    }
}

/// The grouping sets, by the numbers of their keys.
fn sets_fact(sets: Option<&GroupingSets>) -> Option<(&'static str, Json)> {
    let set = |set: &Vec<usize>| {
        let keys: Vec<String> = set.iter().map(|place| (place + 1).to_string()).collect();
        format!("({})", keys.join(", "))
    };
    let sets = sets?.sets.iter().map(set).collect::<Vec<_>>();
    Some(("Sets of keys", json!(sets.join(", "))))
}

fn key_text(key: &SortKey) -> String {
    let nulls = match (key.descending, key.nulls_first) {
        (false, true) => " NULLS FIRST",
        (true, false) => " NULLS LAST",
        _ => "",
    };
    format!("{}{}{nulls}", expr_text(&key.expr), if key.descending { " DESC" } else { "" })
}

/// A window call with its frame, without its partition and order.
fn window_text(window: &Window) -> String {
    let name = dataman_pg::catalog::function(window.function).map_or("?", |function| function.name);
    let args = window.args.iter().map(expr_text).collect::<Vec<_>>().join(", ");
    let args = if args.is_empty() && name == "count" { "*".to_owned() } else { args };
    let frame = window.frame.as_ref().map(|frame| {
        let bound = |bound: &FrameBound| match bound.offset() {
            Some(offset) => format!("{} {}", expr_text(offset), bound.words()),
            None => bound.words().to_owned(),
        };
        let exclude =
            frame.exclude.words().map(|words| format!(" EXCLUDE {words}")).unwrap_or_default();
        let (start, end) = (bound(&frame.start), bound(&frame.end));
        format!(" {} BETWEEN {start} AND {end}{exclude}", frame.unit.word())
    });
    format!("{name}({args}){}", frame.unwrap_or_default())
}
