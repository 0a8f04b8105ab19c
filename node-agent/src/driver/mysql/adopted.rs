//! Tables that were there before dataman: what their columns mean, and how they are read and written where they are.
//!
//! | column | here | read, written |
//! | --- | --- | --- |
//! | `TINYINT` … `BIGINT`, unsigned too, `YEAR` | the integer that holds them all; `BIGINT UNSIGNED` `numeric(20)` | as they are |
//! | `BIT(1)` | `bool` | as a number |
//! | `DECIMAL`, `FLOAT`, `DOUBLE` | `numeric`, `float4`, `float8` | no NaN, no infinity |
//! | `DATE`, `DATETIME`, `TIMESTAMP` | `date`, `timestamp`, `timestamptz` (sessions are in UTC) | a zero date is an error |
//! | `TIME` | `interval`, for it holds -838:59:59 to 838:59:59 | hours, no days |
//! | `VARCHAR`, `TEXT`, `ENUM`, `SET` | `varchar(n)`, `text` | compared by bytes whatever the collation |
//! | `CHAR` | `char(n)` | padded here, as MySQL keeps no blanks |
//! | `BINARY`, `VARBINARY`, `BLOB` | `bytea` | `BINARY(n)` takes n bytes |
//! | `JSON` | `json` | text |
//!
//! Nothing is in the layout of [`super::layout`]: columns have no forms that compare in PostgreSQL's order. So less is carried out by MySQL
//! ([`AdoptedCapability`]): whole numbers as they are, texts under a collation by bytes, with the column's own condition beside it
//! so that its indexes serve. The table's own database keeps its constraints, defaults and triggers; its refusals are put in PostgreSQL's
//! words ([`refine`]). A record is known by its key's values.

use std::sync::Arc;

use dataman_node_protocol::NodeError;
use dataman_node_protocol::capability::{Capability, Feature};
use dataman_node_protocol::definition::CollectionShape;
use dataman_node_protocol::inspect::{Filled, FoundConstraintKind, FoundTable};
use dataman_node_protocol::query::NodeQuery;
use dataman_pg::expr::{CastMethod, Expr};
use dataman_pg::types::{TypeId, TypeRef};
use dataman_pg::value::Value;
use dataman_pg::{Context, catalog, io};
use mysql_async::Value as Raw;
use serde::{Deserialize, Serialize};

use super::capability::MysqlCapability;
use super::catalogue::Collection;
use super::layout::{Column, Layout, form, quoted};
use super::lower;
use super::statement::Statement;
use super::value::exact;
use super::write::{Answer, CHUNKS, PARAMETERS_MAX, PreparedInsert, Record};
use crate::driver::kept::value::shown;
use crate::driver::sql::stored::element_type;

/// Where an adopted table lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AdoptedTable {
    /// Its database.
    pub(super) database: String,
    /// The collation of utf8mb4 that compares by bytes.
    pub(super) collation: String,
    /// What the columns are, in the order of the shape's fields.
    pub(super) natives: Vec<Native>,
    /// The places of the fields that tell records apart; empty when nothing does.
    pub(super) key: Vec<usize>,
    /// The place of the field that the server numbers.
    pub(super) numbered: Option<usize>,
}

/// What a column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Native {
    /// A whole number that a signed one holds.
    Integer,
    /// `BIGINT UNSIGNED`.
    Unsigned,
    /// `BIT(1)`.
    Bit,
    /// `DECIMAL`.
    Decimal,
    /// `FLOAT` and `DOUBLE`.
    Float,
    /// `DATE`, `DATETIME`, `TIMESTAMP`.
    Moment,
    /// `TIME`.
    Time,
    /// Text.
    Text,
    /// `CHAR`, of so many characters.
    Padded(u32),
    /// Bytes.
    Bytes,
    /// `BINARY`, of so many bytes.
    Fixed(usize),
    /// `JSON`.
    Json,
}

/// What a column type of MySQL's, as `information_schema` writes it, becomes: the type, and how it is read and written.
///
/// # Errors
/// Why it cannot be taken over.
pub(super) fn meaning(declared: &str) -> Result<(Native, TypeRef), String> {
    let lower = declared.to_ascii_lowercase();
    let base: String = lower.chars().take_while(|c| c.is_ascii_alphanumeric()).collect();
    let inside = lower.split_once('(').and_then(|(_, rest)| rest.split_once(')'));
    let arguments: Vec<i32> = inside
        .map(|(inside, _)| inside.split(',').filter_map(|part| part.trim().parse().ok()).collect())
        .unwrap_or_default();
    let first = arguments.first().copied();
    let is_unsigned = lower.contains("unsigned");
    let sized = |ty: TypeId, length: Option<i32>| TypeRef {
        id: ty,
        typmod: length.map_or(-1, |length| length + 4),
    };
    let plain = TypeRef::plain;
    // Digits after the second that the column keeps: without them it would cut what is written.
    let precise = |ty: TypeId| TypeRef { id: ty, typmod: first.unwrap_or(0) };
    Ok(match base.as_str() {
        "tinyint" | "year" => (Native::Integer, plain(TypeId::INT2)),
        "smallint" if !is_unsigned => (Native::Integer, plain(TypeId::INT2)),
        "smallint" | "mediumint" => (Native::Integer, plain(TypeId::INT4)),
        "int" | "integer" if !is_unsigned => (Native::Integer, plain(TypeId::INT4)),
        "int" | "integer" => (Native::Integer, plain(TypeId::INT8)),
        "bigint" if !is_unsigned => (Native::Integer, plain(TypeId::INT8)),
        "bigint" => (Native::Unsigned, TypeRef { id: TypeId::NUMERIC, typmod: (20 << 16) + 4 }),
        "bit" if first.unwrap_or(1) == 1 => (Native::Bit, plain(TypeId::BOOL)),
        "decimal" | "numeric" if !lower.contains("zerofill") => {
            let (precision, scale) = (first.unwrap_or(10), arguments.get(1).copied().unwrap_or(0));
            let typmod = ((precision << 16) | scale) + 4;
            (Native::Decimal, TypeRef { id: TypeId::NUMERIC, typmod })
        }
        "float" if arguments.is_empty() => (Native::Float, plain(TypeId::FLOAT4)),
        "double" | "real" if arguments.is_empty() => (Native::Float, plain(TypeId::FLOAT8)),
        "date" => (Native::Moment, plain(TypeId::DATE)),
        "datetime" => (Native::Moment, precise(TypeId::TIMESTAMP)),
        "timestamp" => (Native::Moment, precise(TypeId::TIMESTAMPTZ)),
        "time" => {
            let typmod = (0x7FFF << 16) | first.unwrap_or(0);
            (Native::Time, TypeRef { id: TypeId::INTERVAL, typmod })
        }
        "varchar" => (Native::Text, sized(TypeId::VARCHAR, first)),
        "char" => {
            let length = first.unwrap_or(1);
            let count = u32::try_from(length).unwrap_or(1);
            (Native::Padded(count), sized(TypeId::BPCHAR, Some(length)))
        }
        "tinytext" | "text" | "mediumtext" | "longtext" | "enum" | "set" => {
            (Native::Text, plain(TypeId::TEXT))
        }
        "binary" => {
            let length = usize::try_from(first.unwrap_or(1)).unwrap_or(1);
            (Native::Fixed(length), plain(TypeId::BYTEA))
        }
        "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => {
            (Native::Bytes, plain(TypeId::BYTEA))
        }
        "json" => (Native::Json, plain(TypeId::JSON)),
        _ => return Err(format!("its type {declared} has no exact form in PostgreSQL")),
    })
}

impl AdoptedTable {
    /// The column of a field in SQL, giving the form from which [`super::value::load`] makes its value. `qualified` is its name.
    pub(super) fn read(&self, place: usize, qualified: &str) -> String {
        match self.natives.get(place) {
            Some(Native::Bit) => format!("({qualified} + 0)"),
            Some(Native::Unsigned) => format!("CAST({qualified} AS CHAR)"),
            Some(Native::Padded(length)) => format!("RPAD({qualified}, {length}, ' ')"),
            _ => qualified.to_owned(),
        }
    }

    /// The column in the form that compares.
    pub(super) fn compared(&self, place: usize, qualified: &str) -> String {
        match self.natives.get(place) {
            Some(Native::Text) => {
                format!("(CONVERT({qualified} USING utf8mb4) COLLATE {})", self.collation)
            }
            _ => self.read(place, qualified),
        }
    }

    /// Whether a field is text whose own collation compares in another way.
    pub(super) fn is_text(&self, place: usize) -> bool {
        self.natives.get(place) == Some(&Native::Text)
    }
}

/// Puts a value as a column of this kind takes it.
///
/// # Errors
/// `22003`, `22008`, `22001`: what the column cannot hold.
pub(super) fn native(value: &Value, native: Native, ty: TypeId) -> Result<Raw, NodeError> {
    if value.is_null() {
        return Ok(Raw::NULL);
    }
    let text = || {
        let mut out = Vec::new();
        io::text::output(value, ty, &Context::default(), &mut out);
        out
    };
    let out_of_range = || {
        NodeError::statement("22003", "value out of range")
            .with_detail("A MySQL column holds neither NaN nor infinity.")
    };
    Ok(match (native, value) {
        (Native::Float, Value::Float4(value)) if value.is_finite() => Raw::Float(*value),
        (Native::Float, Value::Float8(value)) if value.is_finite() => Raw::Double(*value),
        (Native::Float, _) => return Err(out_of_range()),
        (Native::Decimal | Native::Unsigned, _) => {
            let text = text();
            if !text.last().is_some_and(u8::is_ascii_digit) {
                return Err(out_of_range());
            }
            Raw::Bytes(text)
        }
        (Native::Moment, _) => {
            let mut text = text();
            if ty == TypeId::TIMESTAMPTZ && text.ends_with(b"+00") {
                text.truncate(text.len() - 3);
            }
            let has_year = text.get(4) == Some(&b'-') && text[..4].iter().all(u8::is_ascii_digit);
            if !has_year || !text.last().is_some_and(u8::is_ascii_digit) {
                return Err(NodeError::statement("22008", "date/time field value out of range")
                    .with_detail("A MySQL column holds the years 1 to 9999."));
            }
            Raw::Bytes(text)
        }
        (Native::Time, Value::Interval(interval)) => {
            if interval.months != 0 || interval.days != 0 {
                return Err(NodeError::statement("22008", "interval out of range").with_detail(
                    "A MySQL TIME holds hours, minutes and seconds, no days and no months.",
                ));
            }
            Raw::Bytes(text())
        }
        (Native::Padded(_), Value::Bpchar(text)) => {
            Raw::Bytes(text.trim_end_matches(' ').as_bytes().to_vec())
        }
        (Native::Fixed(length), Value::Bytea(bytes)) if bytes.len() != length => {
            return Err(NodeError::statement(
                "22001",
                format!("{} bytes for a MySQL column of {length}", bytes.len()),
            ));
        }
        _ => exact(value)?,
    })
}

/// The condition that a column equals a value, in SQL, with its parameters.
fn equality(adopted: &AdoptedTable, place: usize, column: &str, raw: Raw) -> (String, Vec<Raw>) {
    match adopted.natives.get(place) {
        Some(Native::Text) => {
            let compared = adopted.compared(place, column);
            (format!("({column} = ? AND {compared} = ?)"), vec![raw.clone(), raw])
        }
        // Beside a text a number would be compared as a float.
        Some(Native::Decimal | Native::Unsigned) => {
            (format!("{column} = CAST(? AS DECIMAL(65, 30))"), vec![raw])
        }
        Some(Native::Bit) => (format!("({column} + 0) = ?"), vec![raw]),
        _ => (format!("{column} = ?"), vec![raw]),
    }
}

/// The condition under which a row is this record.
///
/// # Errors
/// `0A000` when nothing tells the table's records apart.
pub(super) fn identity(
    collection: &Collection,
    adopted: &AdoptedTable,
    values: &[Value],
) -> Result<(String, Vec<Raw>), NodeError> {
    if adopted.key.is_empty() {
        return Err(no_key(collection));
    }
    let (mut tests, mut raws) = (Vec::new(), Vec::new());
    for place in &adopted.key {
        let field = &collection.shape.fields[*place];
        let raw = native(&values[*place], adopted.natives[*place], field.ty.id)?;
        let column = quoted(&collection.layout.columns[*place].name);
        let (test, values) = equality(adopted, *place, &column, raw);
        tests.push(test);
        raws.extend(values);
    }
    Ok((tests.join(" AND "), raws))
}

/// `0A000`.
pub(super) fn no_key(collection: &Collection) -> NodeError {
    NodeError::unsupported(format!(
        "changing records of the adopted table \"{}\" is not supported: nothing tells them apart",
        collection.shape.label
    ))
    .with_hint("Give the table a primary key, and import it again.")
}

/// Whether a column can be part of what tells records apart.
pub(super) fn is_key(native: Native) -> bool {
    !matches!(native, Native::Float | Native::Json)
}

/// `23502` for a value given that the table does not take. MySQL itself takes NULL for "the next number" or "now" in some columns.
pub(super) fn check_given(
    collection: &Collection,
    places: &[usize],
    record: &[Value],
    context: &Context,
) -> Result<(), NodeError> {
    for place in places {
        if record[*place].is_null() && collection.not_null[*place] {
            let field = &collection.shape.fields[*place];
            let values = record.iter().zip(&collection.shape.fields);
            let row: Vec<String> =
                values.map(|(value, field)| shown(value, field.ty.id, context)).collect();
            let mut error = null_violation(collection, &field.name);
            error.detail = Some(format!("Failing row contains ({}).", row.join(", ")));
            return Err(error);
        }
    }
    Ok(())
}

fn null_violation(collection: &Collection, column: &str) -> NodeError {
    let label = &collection.shape.label;
    let mut error = NodeError::statement(
        "23502",
        format!(
            "null value in column \"{column}\" of relation \"{label}\" violates not-null constraint"
        ),
    );
    error.object.table = Some(label.clone());
    error.object.column = Some(column.to_owned());
    error
}

/// What stands between the first two of these signs.
fn between(text: &str, sign: char) -> Option<&str> {
    text.split(sign).nth(1)
}

/// MySQL's refusal of a record in PostgreSQL's words.
pub(super) fn refine(collection: &Collection, error: NodeError) -> NodeError {
    // Names stand in the one or the other kind of quotes.
    let Some(said) = error.detail.as_ref().map(|said| said.replace('"', "`")) else {
        return error;
    };
    let label = &collection.shape.label;
    let constraint = match error.sqlstate.as_str() {
        "23502" => {
            let Some(column) = between(&said, '\'') else { return error };
            return null_violation(collection, column);
        }
        "23505" => {
            said.rsplit_once("for key ").and_then(|(_, key)| between(key, '\'')).map(|key| {
                let key = key.rsplit_once('.').map_or(key, |(_, key)| key);
                unique_name(&collection.layout.table, key)
            })
        }
        "23503" => said
            .split_once("CONSTRAINT ")
            .and_then(|(_, rest)| between(rest, '`'))
            .map(str::to_owned),
        "23514" => between(&said, '`').or_else(|| between(&said, '\'')).map(str::to_owned),
        _ => None,
    };
    let Some(constraint) = constraint else { return error };
    let message = match error.sqlstate.as_str() {
        "23505" => format!("duplicate key value violates unique constraint \"{constraint}\""),
        "23514" => {
            format!("new row for relation \"{label}\" violates check constraint \"{constraint}\"")
        }
        _ if said.contains("parent row") => {
            let child = said.split('`').nth(3).unwrap_or_default();
            format!(
                "update or delete on table \"{label}\" violates foreign key constraint \"{constraint}\" on table \"{child}\""
            )
        }
        _ => format!(
            "insert or update on table \"{label}\" violates foreign key constraint \"{constraint}\""
        ),
    };
    let mut refined = NodeError { message, detail: None, ..error };
    refined.object.table = Some(label.clone());
    refined.object.constraint = Some(constraint);
    refined
}

/// The name here of a unique index: MySQL's are unique within their table only.
pub(super) fn unique_name(table: &str, index: &str) -> String {
    if index == "PRIMARY" { format!("{table}_pkey") } else { format!("{table}_{index}_key") }
}

/// What MySQL carries out exactly over adopted tables.
#[derive(Debug, Clone, Copy)]
pub(super) struct AdoptedCapability;

/// Whether values of the type are whole numbers as they are, in whatever column.
fn is_whole(ty: TypeId) -> bool {
    matches!(ty, TypeId::INT2 | TypeId::INT4 | TypeId::INT8 | TypeId::BOOL)
}

fn is_text(ty: TypeId) -> bool {
    matches!(ty, TypeId::TEXT | TypeId::VARCHAR)
}

/// Whether MySQL carries out one node of an expression exactly over adopted tables, its arguments being carried out.
pub(super) fn is_native(expr: &Expr) -> bool {
    let comparable = |expr: &Expr| is_whole(expr.type_id()) || is_text(expr.type_id());
    match expr {
        Expr::Field(_) | Expr::And(_) | Expr::Or(_) | Expr::Not(_) => true,
        Expr::Const(_) | Expr::Param { .. } => {
            let of = element_type(expr.type_id()).unwrap_or(expr.type_id());
            (is_whole(of) || is_text(of)) && lower::is_native(expr)
        }
        Expr::Is { arg, .. } => {
            matches!(**arg, Expr::Field(_)) || is_whole(arg.type_id()) && lower::is_native(expr)
        }
        Expr::Call(call) => call.args.iter().all(comparable) && lower::is_native(expr),
        Expr::Cast(cast) => {
            let is_plain = matches!(cast.method, CastMethod::Relabel | CastMethod::Function(_));
            is_plain && comparable(&cast.arg) && lower::is_native(expr)
        }
        Expr::Array { elements, .. } => elements.iter().all(comparable),
        Expr::ArrayOp { left, .. } => comparable(left) && lower::is_native(expr),
        Expr::Aggregate(aggregate) => {
            let whole = aggregate.args.iter().all(|arg| is_whole(arg.type_id()));
            let counts = !aggregate.distinct
                && catalog::function(aggregate.function).is_some_and(|found| found.name == "count");
            (whole || counts) && lower::is_native(expr)
        }
        _ => false,
    }
}

/// The whole of an expression.
pub(super) fn is_native_tree(expr: &Expr) -> bool {
    let mut native = is_native(expr);
    if native {
        expr.for_each_child(&mut |child| native = native && is_native_tree(child));
    }
    native
}

impl Capability for AdoptedCapability {
    fn engine(&self) -> &'static str {
        MysqlCapability.engine()
    }

    fn statement_text(&self, query: &NodeQuery) -> Option<String> {
        MysqlCapability.statement_text(query)
    }

    fn is_exact(&self, expr: &Expr) -> bool {
        is_native(expr)
    }

    fn is_exact_in_write(&self, expr: &Expr) -> bool {
        MysqlCapability.is_exact_in_write(expr)
    }

    fn sorts_exactly(&self, ty: TypeId) -> bool {
        is_whole(ty)
    }

    fn supports(&self, feature: Feature) -> bool {
        matches!(
            feature,
            Feature::Group
                | Feature::HavingOfAll
                | Feature::Distinct
                | Feature::Sort
                | Feature::Lock
                | Feature::Returning
        )
    }

    fn stores(&self, ty: TypeRef) -> Result<(), String> {
        MysqlCapability.stores(ty)
    }
}

impl Statement<'_> {
    /// Inserts records with the fields that were given; the table's own database fills in the rest.
    pub(super) async fn insert_adopted(
        &mut self,
        insert: &PreparedInsert,
        records: &[Vec<Value>],
        answer: &mut Answer<'_>,
    ) -> Result<u64, NodeError> {
        let collection = Arc::clone(&insert.collection);
        let Some(adopted) = of(&collection) else { return Ok(0) };
        let given = insert.fields.as_slice();
        let returns = !insert.returning.is_empty();
        let is_known = |place: &usize| given.contains(place) || adopted.numbered == Some(*place);
        if returns && (adopted.key.is_empty() || !adopted.key.iter().all(is_known)) {
            return Err(NodeError::unsupported(format!(
                "RETURNING of an INSERT into the adopted table \"{}\" without its key is not supported",
                collection.shape.label
            )));
        }
        let names: Vec<String> =
            given.iter().map(|place| quoted(&collection.layout.columns[*place].name)).collect();
        let row = format!("({})", vec!["?"; given.len()].join(", "));
        let mut done = 0;
        while done < records.len() {
            let left = records.len() - done;
            let fits = |size: &&usize| {
                **size == 1 || !returns && **size <= left && **size * names.len() <= PARAMETERS_MAX
            };
            let size = CHUNKS.iter().find(fits).copied().unwrap_or(1);
            let mut values = Vec::with_capacity(size * names.len());
            for record in &records[done..done + size] {
                check_given(&collection, given, record, &self.context)?;
                for place in given {
                    let ty = collection.shape.fields[*place].ty.id;
                    values.push(native(&record[*place], adopted.natives[*place], ty)?);
                }
            }
            let text = format!(
                "INSERT INTO {} ({}) VALUES {}",
                collection.table(),
                names.join(", "),
                vec![row.as_str(); size].join(", ")
            );
            let inserted =
                self.run(&text, values).await.map_err(|error| refine(&collection, error))?;
            if returns {
                let mut record = records[done].clone();
                if let Some(place) = adopted.numbered.filter(|place| !given.contains(place)) {
                    let ty = collection.shape.fields[place].ty;
                    let number = inserted.row.to_string();
                    record[place] = io::text::input(&number, ty, &Context::default())?;
                }
                let found = self.read_adopted(&collection, &record).await?;
                let values = found.map_or(record, |found| found.values);
                self.answer(&values, &insert.returning, answer)?;
            }
            done += size;
        }
        Ok(u64::try_from(records.len()).unwrap_or(u64::MAX))
    }

    /// Reads the record of a key anew: its database may have changed what was written.
    pub(super) async fn read_adopted(
        &mut self,
        collection: &Arc<Collection>,
        values: &[Value],
    ) -> Result<Option<Record>, NodeError> {
        let Some(adopted) = of(collection) else { return Ok(None) };
        let (condition, raws) = identity(collection, adopted, values)?;
        let columns = collection.layout.columns.iter().enumerate();
        let columns = columns.map(|(place, column)| adopted.read(place, &quoted(&column.name)));
        let text = format!(
            "SELECT 0, {} FROM {} WHERE {condition}",
            columns.collect::<Vec<_>>().join(", "),
            collection.table()
        );
        Ok(self.find_by(collection, &text, raws).await?.into_iter().next())
    }

    /// Writes a changed record.
    pub(super) async fn change_adopted(
        &mut self,
        collection: &Arc<Collection>,
        old: &Record,
        new: &Record,
    ) -> Result<(), NodeError> {
        let Some(adopted) = of(collection) else { return Ok(()) };
        let (mut assignments, mut values) = (Vec::new(), Vec::new());
        for (place, (before, after)) in old.values.iter().zip(&new.values).enumerate() {
            let ty = collection.shape.fields[place].ty.id;
            let before = native(before, adopted.natives[place], ty)?;
            let after = native(after, adopted.natives[place], ty)?;
            if before != after {
                assignments.push(format!("{} = ?", quoted(&collection.layout.columns[place].name)));
                values.push(after);
            }
        }
        let (condition, raws) = identity(collection, adopted, &old.values)?;
        if assignments.is_empty() {
            return Ok(());
        }
        values.extend(raws);
        let text = format!(
            "UPDATE {} SET {} WHERE {condition}",
            collection.table(),
            assignments.join(", ")
        );
        self.run(&text, values).await.map_err(|error| refine(collection, error))?;
        Ok(())
    }

    /// Removes records.
    pub(super) async fn remove_adopted(
        &mut self,
        collection: &Arc<Collection>,
        records: &[Record],
    ) -> Result<(), NodeError> {
        let Some(adopted) = of(collection) else { return Ok(()) };
        for record in records {
            let (condition, raws) = identity(collection, adopted, &record.values)?;
            let text = format!("DELETE FROM {} WHERE {condition}", collection.table());
            self.run(&text, raws).await.map_err(|error| refine(collection, error))?;
        }
        Ok(())
    }
}

/// The layout of a table that was found, its collection being of this shape.
///
/// # Errors
/// `0A000` for a column that cannot be taken over.
pub(super) fn layout_of(
    shape: &CollectionShape,
    found: &FoundTable,
    collation: &str,
) -> Result<Layout, NodeError> {
    let mut natives = Vec::new();
    for field in &found.fields {
        let (native, _) = meaning(&field.declared).map_err(|reason| {
            NodeError::unsupported(format!("column \"{}\": {reason}", field.name))
        })?;
        natives.push(native);
    }
    let place = |name: &String| found.fields.iter().position(|field| field.name == *name);
    let keys = found.constraints.iter().filter(|constraint| {
        matches!(constraint.kind, FoundConstraintKind::PrimaryKey | FoundConstraintKind::Unique)
    });
    let key = keys
        .filter_map(|constraint| constraint.fields.iter().map(place).collect::<Option<Vec<_>>>())
        .find(|places| {
            places.iter().all(|place| found.fields[*place].not_null && is_key(natives[*place]))
        });
    let numbered =
        found.fields.iter().position(|field| field.filled == Some(Filled::IdentityByDefault));
    let columns = shape
        .fields
        .iter()
        .map(|field| Column { name: field.name.clone(), form: form(field.ty.id) })
        .collect();
    Ok(Layout {
        table: found.name.clone(),
        columns,
        indexes: Vec::new(),
        adopted: Some(AdoptedTable {
            database: found.namespace.clone(),
            collation: collation.to_owned(),
            natives,
            key: key.unwrap_or_default(),
            numbered,
        }),
    })
}

/// The parts of a collection that is an adopted table.
pub(super) fn of(collection: &Arc<Collection>) -> Option<&AdoptedTable> {
    collection.layout.adopted.as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types() {
        let check = |declared: &str, expected: Result<(Native, &str), &str>| {
            let found = meaning(declared)
                .map(|(native, ty)| (native, catalog::format_type(ty.id, ty.typmod)));
            let found = found.as_ref().map(|(native, ty)| (*native, ty.as_str()));
            assert_eq!(found.map_err(String::as_str), expected, "{declared}");
        };
        check("tinyint(1)", Ok((Native::Integer, "smallint")));
        check("int(10) unsigned", Ok((Native::Integer, "bigint")));
        check("bigint(20) unsigned", Ok((Native::Unsigned, "numeric(20,0)")));
        check("decimal(10,2)", Ok((Native::Decimal, "numeric(10,2)")));
        check("datetime", Ok((Native::Moment, "timestamp(0) without time zone")));
        check("timestamp(6)", Ok((Native::Moment, "timestamp(6) with time zone")));
        check("time(3)", Ok((Native::Time, "interval(3)")));
        check("char(3)", Ok((Native::Padded(3), "character(3)")));
        check("enum('a)','b')", Ok((Native::Text, "text")));
        check("binary(16)", Ok((Native::Fixed(16), "bytea")));
        check("bit(8)", Err("its type bit(8) has no exact form in PostgreSQL"));
        check("point", Err("its type point has no exact form in PostgreSQL"));
        check(
            "decimal(5,0) unsigned zerofill",
            Err("its type decimal(5,0) unsigned zerofill has no exact form in PostgreSQL"),
        );
    }
}
