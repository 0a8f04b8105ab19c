//! Definitions as text: what `pg_get_indexdef` and its like answer.
//!
//! The metadata keeps expressions as they were written; here they are bound and written as PostgreSQL writes them. A
//! `pg_node_tree` of the catalogs says which expression it is, for `pg_get_expr` to find it again.

use dataman_metadata::schema::{Collection, ConstraintKind, FieldDefault, SourceDefault};
use dataman_node_protocol::capability::Capability;
use dataman_node_protocol::query::Select;
use dataman_pg::catalog::quote_identifier;
use dataman_pg::catalog::system::{SystemRow, system_table};
use dataman_pg::types::TypeRef;
use dataman_pg::{Context, Expr, PgError, TypeId, Value, catalog};

use super::database::{Catalog, IndexView, Object, Place, index_of_constraint, index_view};
use super::deparse::Deparser;
use crate::parse::syntax::{self, ExprKind, Statement};
use crate::plan::PlanContext;
use crate::plan::bind::{self, BoundKind, Table};
use crate::plan::form::{output_columns, walk};
use crate::scatter::contract::{Capabilities, ShardRef};

type Result<T> = std::result::Result<T, PgError>;

/// The source that a table's expressions name its record by.
const RECORD: &str = "record";

/// Binding asks no shard.
struct NoShards;

impl Capabilities for NoShards {
    fn of(&self, _: &ShardRef) -> Option<&dyn Capability> {
        None
    }
}

/// How definitions are written: by which path names are visible, and in which style.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style<'a> {
    pub(super) context: &'a Context,
    pub(super) pretty: bool,
}

/// Stands for the default of a column.
pub(super) fn default_node(table: u32, column: i16) -> String {
    format!("{{DEFAULT {table} {column}}}")
}

/// Stands for a check.
pub(super) fn check_node(constraint: u32) -> String {
    format!("{{CHECK {constraint}}}")
}

/// Stands for the expressions of an index.
pub(super) fn index_keys_node(index: u32) -> String {
    format!("{{KEYS {index}}}")
}

/// Stands for the condition of a partial index.
pub(super) fn index_filter_node(index: u32) -> String {
    format!("{{FILTER {index}}}")
}

/// What is bound for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// Its types and columns are asked for.
    Types,
    /// It is written back as text.
    Text,
}

/// Words of what may be written in several ways that mean the same, of which PostgreSQL remembers the one that was used.
const UNSURE: &[&str] = &[
    "collate",
    "collation",
    "normalize",
    "normalized",
    "overlaps",
    "overlay",
    "position",
    "similar",
    "substring",
    "symmetric",
    "trim",
    "values",
    "window",
    "with",
];

/// The refusal to write a definition.
fn not_sure(text: &str) -> PgError {
    PgError::unsupported("the text of this definition is not known as PostgreSQL writes it")
        .with_detail(format!("It was defined as: {text}"))
}

fn check_words(text: &str) -> Result<()> {
    let words = crate::parse::words(text);
    if words.iter().any(|word| UNSURE.contains(&word.as_str())) {
        return Err(not_sure(text));
    }
    Ok(())
}

fn with_context<T>(
    catalog: &Catalog,
    schema: &str,
    purpose: Purpose,
    work: impl FnOnce(&PlanContext<'_>) -> T,
) -> T {
    let path = [schema.to_owned(), dataman_metadata::schema::PUBLIC_SCHEMA.to_owned()];
    let context = Context::default();
    work(&PlanContext {
        snapshot: &catalog.snapshot,
        database: &catalog.database,
        user: catalog.first_role(),
        search_path: &path,
        context: &context,
        capabilities: &NoShards,
        shows: purpose == Purpose::Text,
    })
}

fn table_at(place: &Place, table: &Collection) -> Table {
    Table { schema: place.0.clone(), name: place.1.clone(), collection: table.clone() }
}

/// Binds an expression over a table's columns.
fn bound(
    catalog: &Catalog,
    place: &Place,
    table: &Collection,
    text: &str,
    purpose: Purpose,
) -> Result<Expr> {
    let expr = crate::parse::parse_expression(text)?;
    let table = table_at(place, table);
    with_context(catalog, &place.0, purpose, |context| {
        bind::bind_over_collection(&expr, text, Some((&table, RECORD)), context)
    })
}

/// The columns that an expression reads, in the order in which it names them.
pub(super) fn columns_of(
    catalog: &Catalog,
    place: &Place,
    table: &Collection,
    text: &str,
) -> Vec<String> {
    let Ok(expr) = bound(catalog, place, table, text, Purpose::Types) else { return Vec::new() };
    let mut names: Vec<String> = Vec::new();
    walk(&expr, &mut |node| {
        if let Expr::Field(field) = node
            && !names.contains(&field.name)
        {
            names.push(field.name.clone());
        }
    });
    names
}

/// The columns of an index: names as PostgreSQL chooses them, and types.
pub(super) fn index_columns(
    catalog: &Catalog,
    place: &Place,
    table: &Collection,
    index: &IndexView<'_>,
) -> Vec<(String, TypeRef)> {
    let mut columns: Vec<(String, TypeRef)> = Vec::new();
    let keys = index.keys.iter().map(|(key, _, _)| *key);
    for key in keys.chain(index.include.iter().map(String::as_str)) {
        let (base, ty) = match table.field(key) {
            Some(field) => {
                let ty = TypeRef { id: TypeId(field.type_oid), typmod: field.typmod };
                (field.name.clone(), ty)
            }
            None => {
                let ty = bound(catalog, place, table, key, Purpose::Types)
                    .map_or(TypeRef::plain(TypeId::TEXT), |expr| expr.type_ref());
                (expression_name(key), ty)
            }
        };
        let mut name = base.clone();
        let mut number = 1;
        while columns.iter().any(|(known, _)| *known == name) {
            name = format!("{base}{number}");
            number += 1;
        }
        columns.push((name, ty));
    }
    columns
}

/// The name of an index's column over an expression.
fn expression_name(text: &str) -> String {
    match crate::parse::parse_expression(text).map(|expr| expr.kind) {
        Ok(ExprKind::Function(call)) => call.name.last().to_owned(),
        Ok(ExprKind::Coalesce(_)) => "coalesce".to_owned(),
        Ok(ExprKind::Cast { ty, .. }) => ty.name.last().to_owned(),
        _ => "expr".to_owned(),
    }
}

/// Writes a bound expression.
fn shown(catalog: &Catalog, expr: &Expr, text: &str, style: Style<'_>) -> Result<String> {
    check_words(text)?;
    let shown = Deparser::new(catalog, style.context, style.pretty).expression(expr);
    shown.ok_or_else(|| not_sure(text))
}

/// Writes a table's expression.
fn written(
    catalog: &Catalog,
    place: &Place,
    table: &Collection,
    text: &str,
    style: Style<'_>,
) -> Result<String> {
    shown(catalog, &bound(catalog, place, table, text, Purpose::Text)?, text, style)
}

/// A column's default or generating expression.
fn default(
    catalog: &Catalog,
    relation: u32,
    column: i16,
    style: Style<'_>,
) -> Result<Option<String>> {
    let Some(Object::Table(place)) = catalog.object(relation) else { return Ok(None) };
    let Some(table) = catalog.collection(place) else { return Ok(None) };
    let found = table.fields.iter().find(|field| field.number == column);
    let Some(field) = found else { return Ok(None) };
    let (text, record) = match &field.default {
        FieldDefault::None | FieldDefault::Identity { .. } => return Ok(None),
        FieldDefault::Source { text, .. } => {
            return Ok(has_default(&field.default, field.typmod).then(|| text.clone()));
        }
        FieldDefault::Serial(sequence) => {
            let found = catalog.content().and_then(|content| content.sequence_at(sequence));
            let name = found
                .and_then(|(schema, name, _)| catalog.relation_in(schema, name))
                .and_then(|oid| catalog.written_relation(oid, style.context));
            return Ok(
                name.map(|name| format!("nextval('{}'::regclass)", name.replace('\'', "''")))
            );
        }
        FieldDefault::Expr(text) => (text, None),
        FieldDefault::Generated(text) => (text, Some(table_at(place, table))),
    };
    let parsed = crate::parse::parse_expression(text)?;
    let expr = with_context(catalog, &place.0, Purpose::Text, |context| {
        let record = record.as_ref().map(|record| (record, RECORD));
        let expr = bind::bind_over_collection(&parsed, text, record, context)?;
        bind::assign_to_column(expr, field, context)
    })?;
    shown(catalog, &expr, text, style).map(Some)
}

/// Whether a column has a default: PostgreSQL keeps none that is only NULL.
pub(super) fn has_default(default: &FieldDefault, typmod: i32) -> bool {
    if let FieldDefault::Source { kind, .. } = default {
        return matches!(kind, SourceDefault::Default | SourceDefault::Generated);
    }
    let FieldDefault::Expr(text) = default else {
        return !matches!(default, FieldDefault::None | FieldDefault::Identity { .. });
    };
    let is_null = || match crate::parse::parse_expression(text).map(|expr| expr.kind) {
        Ok(ExprKind::Cast { arg, .. }) => arg.kind == ExprKind::Null,
        Ok(kind) => kind == ExprKind::Null,
        Err(_) => false,
    };
    typmod >= 0 || !is_null()
}

/// What `pg_get_expr` shows of a `pg_node_tree`; what is built in holds it as text.
///
/// # Errors
/// `0A000` where PostgreSQL's text is not sure.
pub(super) fn node(catalog: &Catalog, tree: &str, style: Style<'_>) -> Result<Option<String>> {
    let Some(inside) = tree.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
        return Ok(Some(tree.to_owned()));
    };
    let words: Vec<&str> = inside.split(' ').collect();
    let number = |place: usize| words.get(place).and_then(|word| word.parse::<u32>().ok());
    let (Some(kind), Some(oid)) = (words.first(), number(1)) else { return Ok(None) };
    if *kind == "DEFAULT" {
        let column = number(2).and_then(|number| i16::try_from(number).ok()).unwrap_or(0);
        return default(catalog, oid, column, style);
    }
    let (Some(Object::Constraint(place, at)) | Some(Object::Index(place, at))) =
        catalog.object(oid)
    else {
        return Ok(None);
    };
    let Some(table) = catalog.collection(place) else { return Ok(None) };
    let texts: Vec<&str> = match *kind {
        "CHECK" => match table.constraints.get(*at).map(|constraint| &constraint.kind) {
            Some(ConstraintKind::Check { expr }) => vec![expr],
            _ => return Ok(None),
        },
        "KEYS" => {
            let keys = table.indexes.get(*at).map_or(&[][..], |index| &index.keys);
            let keys = keys.iter().map(|key| key.expr.as_str());
            keys.filter(|key| table.field(key).is_none()).collect()
        }
        "FILTER" => match table.indexes.get(*at).and_then(|index| index.filter.as_deref()) {
            Some(filter) => vec![filter],
            None => return Ok(None),
        },
        _ => return Ok(None),
    };
    let texts: Vec<String> = texts
        .into_iter()
        .map(|text| written(catalog, place, table, text, style))
        .collect::<Result<_>>()?;
    Ok(Some(texts.join(", ")))
}

/// An index's definition, or one of its columns (from 1), by a session's path.
///
/// # Errors
/// `0A000` where PostgreSQL's text is not sure.
pub(super) fn index_in(
    catalog: &Catalog,
    oid: u32,
    column: Option<usize>,
    style: Style<'_>,
) -> Result<Option<String>> {
    let (place, number, of_constraint) = match catalog.object(oid) {
        Some(Object::Index(place, number)) => (place, *number, false),
        Some(Object::ConstraintIndex(place, number)) => (place, *number, true),
        _ => return Ok(built_in_index(catalog, oid, column)),
    };
    let Some(table) = catalog.collection(place) else { return Ok(None) };
    let index = if of_constraint {
        table.constraints.get(number).and_then(index_of_constraint)
    } else {
        table.indexes.get(number).map(index_view)
    };
    let Some(index) = index else { return Ok(None) };
    let key_text = |key: &str| -> Result<String> {
        if table.field(key).is_some() {
            return Ok(quote_identifier(key));
        }
        let expr = bound(catalog, place, table, key, Purpose::Text)?;
        let text = shown(catalog, &expr, key, style)?;
        let is_call = matches!(&expr, Expr::Call(call) if call.operator.is_none())
            || matches!(&expr, Expr::Coalesce { .. } | Expr::Extreme { .. } | Expr::NullIf { .. });
        Ok(if is_call { text } else { format!("({text})") })
    };
    if let Some(wanted) = column {
        let keys = index.keys.iter().map(|(key, _, _)| *key);
        let mut all = keys.chain(index.include.iter().map(String::as_str));
        let Some(place) = wanted.checked_sub(1) else { return Ok(None) };
        return all.nth(place).map_or(Ok(String::new()), key_text).map(Some);
    }
    let mut keys = Vec::new();
    for (key, descending, nulls_first) in &index.keys {
        let mut text = key_text(key)?;
        if index.method == "btree" {
            text.push_str(match (descending, nulls_first) {
                (true, true) => " DESC",
                (true, false) => " DESC NULLS LAST",
                (false, true) => " NULLS FIRST",
                (false, false) => "",
            });
        }
        keys.push(text);
    }
    let relation = if style.pretty {
        catalog.written_relation(table.id.0, style.context).unwrap_or_default()
    } else {
        format!("{}.{}", quote_identifier(&place.0), quote_identifier(&place.1))
    };
    let mut text = format!(
        "CREATE {}INDEX {} ON {relation} USING {} ({})",
        if index.unique { "UNIQUE " } else { "" },
        quote_identifier(index.name),
        index.method,
        keys.join(", ")
    );
    if !index.include.is_empty() {
        let names: Vec<String> = index.include.iter().map(|name| quote_identifier(name)).collect();
        text.push_str(&format!(" INCLUDE ({})", names.join(", ")));
    }
    if index.nulls_not_distinct {
        text.push_str(" NULLS NOT DISTINCT");
    }
    if let Some(filter) = index.filter {
        let filter = written(catalog, place, table, filter, style)?;
        text.push_str(&format!(" WHERE {filter}"));
    }
    Ok(Some(text))
}

/// An index of the system's own catalogs: columns only, in their usual order.
fn built_in_index(catalog: &Catalog, oid: u32, column: Option<usize>) -> Option<String> {
    let indexes = system_table("pg_index");
    let at = ["indexrelid", "indrelid", "indisunique", "indkey"].map(|name| indexes.place(name));
    let row = indexes.rows().iter().find(|row| row[at[0]] == Value::Oid(oid))?;
    let (Value::Oid(table), Value::Array(keys)) = (&row[at[1]], &row[at[3]]) else { return None };
    let attributes = system_table("pg_attribute");
    let place = ["attrelid", "attnum", "attname"].map(|name| attributes.place(name));
    let name_of = |key: &Value| {
        let found = attributes
            .rows()
            .iter()
            .find(|row: &&SystemRow| row[place[0]] == Value::Oid(*table) && row[place[1]] == *key);
        match found.map(|row| &row[place[2]]) {
            Some(Value::Text(name)) => quote_identifier(name),
            _ => "?".to_owned(),
        }
    };
    let names: Vec<String> = keys.elements.iter().map(name_of).collect();
    if let Some(column) = column {
        return Some(names.get(column.checked_sub(1)?).cloned().unwrap_or_default());
    }
    let (schema, index) = catalog.relation_name(oid)?;
    let (_, table) = catalog.relation_name(*table)?;
    let unique = if row[at[2]] == Value::Bool(true) { "UNIQUE " } else { "" };
    Some(format!(
        "CREATE {unique}INDEX {} ON {schema}.{table} USING btree ({})",
        quote_identifier(&index),
        names.join(", ")
    ))
}

/// A constraint's definition.
///
/// # Errors
/// `0A000` where PostgreSQL's text is not sure.
pub(super) fn constraint(catalog: &Catalog, oid: u32, style: Style<'_>) -> Result<Option<String>> {
    let Some(Object::Constraint(place, number)) = catalog.object(oid) else { return Ok(None) };
    let found = catalog.collection(place);
    let Some((table, constraint)) =
        found.and_then(|table| Some((table, table.constraints.get(*number)?)))
    else {
        return Ok(None);
    };
    let names = |names: &[String]| -> String {
        let quoted: Vec<String> = names.iter().map(|name| quote_identifier(name)).collect();
        quoted.join(", ")
    };
    Ok(Some(match &constraint.kind {
        ConstraintKind::PrimaryKey { fields } => format!("PRIMARY KEY ({})", names(fields)),
        ConstraintKind::Unique { fields, nulls_not_distinct } => {
            let nulls = if *nulls_not_distinct { "NULLS NOT DISTINCT " } else { "" };
            format!("UNIQUE {nulls}({})", names(fields))
        }
        ConstraintKind::Check { expr } => {
            format!("CHECK ({})", written(catalog, place, table, expr, style)?)
        }
        ConstraintKind::ForeignKey {
            fields,
            references,
            references_fields,
            on_delete,
            on_update,
        } => {
            let target = catalog
                .relation_in(&references.0, &references.1)
                .and_then(|target| catalog.written_relation(target, style.context));
            let mut text = format!(
                "FOREIGN KEY ({}) REFERENCES {}({})",
                names(fields),
                target.unwrap_or_default(),
                names(references_fields)
            );
            for (word, action) in [("UPDATE", on_update), ("DELETE", on_delete)] {
                if action != "no action" {
                    text.push_str(&format!(" ON {word} {}", action.to_uppercase()));
                }
            }
            text
        }
    }))
}

/// A view's bound query, with the relations in it left as they are.
fn view_query(catalog: &Catalog, place: &Place, purpose: Purpose) -> Result<Select> {
    let view = catalog
        .view(place)
        .ok_or_else(|| PgError::new("42P01", format!("view \"{}\" does not exist", place.1)))?;
    let mut parsed = crate::parse::parse(&view.query)?;
    let Some(statement) = parsed.pop() else {
        return Err(PgError::internal("a stored view is no query"));
    };
    let Statement::Select(_) = &statement.statement else {
        return Err(PgError::internal("a stored view is no query"));
    };
    let statement = syntax::ParsedStatement { text: view.query.clone(), ..statement };
    with_context(catalog, &place.0, purpose, |context| {
        match bind::bind(&statement, &[], context)?.kind {
            BoundKind::Select(select) => Ok(*select),
            _ => Err(PgError::internal("a stored view is no query")),
        }
    })
}

/// A view's columns and their types.
pub(super) fn view_columns(catalog: &Catalog, place: &Place) -> Vec<(String, TypeRef)> {
    let Some(view) = catalog.view(place) else { return Vec::new() };
    let outputs = view_query(catalog, place, Purpose::Types).map(|select| output_columns(&select));
    let outputs = outputs.unwrap_or_default();
    view.columns
        .iter()
        .enumerate()
        .map(|(number, name)| {
            let ty = outputs.get(number).map_or(TypeRef::plain(TypeId::TEXT), |column| column.ty);
            let ty = if ty.id == TypeId::UNKNOWN { TypeId::TEXT.into() } else { ty };
            (name.clone(), ty)
        })
        .collect()
}

/// A view's definition; `path` are the schemas whose relations are written bare.
///
/// # Errors
/// `0A000` where PostgreSQL's text is not sure.
pub(super) fn view(
    catalog: &Catalog,
    place: &Place,
    pretty: bool,
    path: &[String],
) -> Result<Option<String>> {
    let Some(found) = catalog.view(place) else { return Ok(None) };
    let mut context = Context::default();
    context.session.schemas = path.to_vec();
    check_words(&found.query)?;
    let select = view_query(catalog, place, Purpose::Text)?;
    let shown = Deparser::new(catalog, &context, pretty).view(&select, &found.columns);
    shown.map(Some).ok_or_else(|| not_sure(&found.query))
}

/// A function's arguments, result or whole signature, as `pg_get_function_arguments` and its like write them.
pub(super) mod function {
    use super::{Value, catalog, quote_identifier, system_table};
    use crate::catalog::database::Catalog;
    use dataman_pg::types::TypeRef;
    use dataman_pg::{Context, TypeId};
    use std::collections::HashMap;
    use std::sync::LazyLock;

    /// A row of `pg_proc`, as far as signatures go.
    struct Row {
        returns: TypeId,
        returns_set: bool,
        variadic: bool,
        kind: u8,
        /// Mode, name and type of each argument.
        args: Vec<(u8, String, TypeId)>,
        /// The default values of the last input arguments.
        defaults: Vec<String>,
        direct: Option<usize>,
    }

    static ROWS: LazyLock<HashMap<u32, Row>> = LazyLock::new(|| {
        let table = system_table("pg_proc");
        let at = [
            "oid",
            "prorettype",
            "proretset",
            "provariadic",
            "prokind",
            "proargtypes",
            "proallargtypes",
            "proargmodes",
            "proargnames",
            "proargdefaults",
        ]
        .map(|name| table.place(name));
        let elements = |value: &Value| match value {
            Value::Array(array) => array.elements.clone(),
            _ => Vec::new(),
        };
        let mut rows = HashMap::new();
        for row in table.rows() {
            let (Value::Oid(oid), Value::Oid(returns), Value::Oid(variadic), Value::Char(kind)) =
                (&row[at[0]], &row[at[1]], &row[at[3]], &row[at[4]])
            else {
                continue;
            };
            let all = elements(&row[at[6]]);
            let types = if all.is_empty() { elements(&row[at[5]]) } else { all };
            let modes = elements(&row[at[7]]);
            let names = elements(&row[at[8]]);
            let args = types
                .iter()
                .enumerate()
                .map(|(place, ty)| {
                    let mode = match modes.get(place) {
                        Some(Value::Char(mode)) => *mode,
                        _ => b'i',
                    };
                    let name = match names.get(place) {
                        Some(Value::Text(name)) => name.to_string(),
                        _ => String::new(),
                    };
                    let ty = if let Value::Oid(oid) = ty { TypeId(*oid) } else { TypeId::NONE };
                    (mode, name, ty)
                })
                .collect();
            let defaults = match &row[at[9]] {
                Value::Text(text) => text.split(", ").map(str::to_owned).collect(),
                _ => Vec::new(),
            };
            let direct = catalog::aggregate(dataman_pg::expr::FunctionId(*oid))
                .filter(|aggregate| aggregate.kind != 'n')
                .map(|aggregate| usize::from(aggregate.direct_args));
            rows.insert(
                *oid,
                Row {
                    returns: TypeId(*returns),
                    returns_set: row[at[2]] == Value::Bool(true),
                    variadic: *variadic != 0,
                    kind: *kind,
                    args,
                    defaults,
                    direct,
                },
            );
        }
        rows
    });

    /// The arguments: `defaults` writes default values, `table` those of RETURNS TABLE.
    fn arguments(
        row: &Row,
        objects: &Catalog,
        context: &Context,
        table: bool,
        defaults: bool,
    ) -> String {
        let inputs = row.args.iter().filter(|(mode, _, _)| matches!(mode, b'i' | b'b' | b'v'));
        let first_default = inputs.count().saturating_sub(row.defaults.len());
        let mut out = String::new();
        let (mut input, mut printed) = (0, 0);
        for (mode, name, ty) in &row.args {
            let is_input = matches!(mode, b'i' | b'b' | b'v');
            input += usize::from(is_input);
            if (*mode == b't') != table {
                continue;
            }
            let word = match mode {
                b'o' => "OUT ",
                b'b' => "INOUT ",
                b'v' => "VARIADIC ",
                _ => "",
            };
            if row.direct == Some(printed) && !table {
                if printed > 0 {
                    out.push(' ');
                }
                out.push_str("ORDER BY ");
            } else if printed > 0 {
                out.push_str(", ");
            }
            out.push_str(word);
            if !name.is_empty() {
                out.push_str(&quote_identifier(name));
                out.push(' ');
            }
            let ty = objects.format_type(TypeRef::plain(*ty), context);
            out.push_str(&ty.unwrap_or_else(|| "???".to_owned()));
            if defaults && is_input && input > first_default {
                let value = &row.defaults[input - first_default - 1];
                out.push_str(&format!(" DEFAULT {value}"));
            }
            printed += 1;
            // A VARIADIC aggregate that orders its arguments shows them twice.
            if row.direct == Some(printed) && row.variadic && printed == row.args.len() {
                out.push_str(" ORDER BY VARIADIC ");
                let ty = objects.format_type(TypeRef::plain(row.args[printed - 1].2), context);
                out.push_str(&ty.unwrap_or_default());
            }
        }
        out
    }

    /// `pg_get_function_arguments`.
    pub(in super::super) fn declared(
        oid: u32,
        objects: &Catalog,
        context: &Context,
    ) -> Option<String> {
        Some(arguments(ROWS.get(&oid)?, objects, context, false, true))
    }

    /// `pg_get_function_identity_arguments`.
    pub(in super::super) fn identity(
        oid: u32,
        objects: &Catalog,
        context: &Context,
    ) -> Option<String> {
        Some(arguments(ROWS.get(&oid)?, objects, context, false, false))
    }

    /// `pg_get_function_result`.
    pub(in super::super) fn result(
        oid: u32,
        objects: &Catalog,
        context: &Context,
    ) -> Option<String> {
        let row = ROWS.get(&oid)?;
        if row.kind == b'p' {
            return None;
        }
        if row.args.iter().any(|(mode, _, _)| *mode == b't') {
            return Some(format!("TABLE({})", arguments(row, objects, context, true, false)));
        }
        let set = if row.returns_set { "SETOF " } else { "" };
        let ty = objects.format_type(TypeRef::plain(row.returns), context)?;
        Some(format!("{set}{ty}"))
    }

    /// `pg_get_function_arg_default`.
    pub(in super::super) fn default(oid: u32, number: i32) -> Option<String> {
        let row = ROWS.get(&oid)?;
        let place = usize::try_from(number.checked_sub(1)?).ok()?;
        let (mode, _, _) = row.args.get(place)?;
        if !matches!(mode, b'i' | b'b' | b'v') {
            return None;
        }
        let is_input = |arg: &&(u8, String, TypeId)| matches!(arg.0, b'i' | b'b' | b'v');
        let inputs = row.args.iter().filter(is_input).count();
        let own = row.args[..place].iter().filter(is_input).count();
        let first = inputs.checked_sub(row.defaults.len())?;
        row.defaults.get(own.checked_sub(first)?).cloned()
    }
}
