//! dataman's internal query form.
//!
//! A [`NodeQuery`] is `{function: arguments}` with one key, for instance
//!
//! ```json
//! {"filter": {"collection": "orders", "shard_instance": "dbshard_shop_0",
//!             "filter": [{"tenant_id": ["=", 7]}, "AND", {"total": [">", {"param": 1}]}],
//!             "fields": ["id", "total"], "sort": ["id"], "limit": 10}}
//! ```
//!
//! It has two ways to write an expression. The *short* one is dataman's nested list ([`Condition`]), with bare field
//! names and literals: what a person types into psql at an agent. The *bound* one is [`Expr`], in which each operator,
//! function and type is decided: what the proxy sends. An agent turns the short form into the bound one with the
//! collection's fields before a driver sees it.

use serde::{Deserialize, Serialize};

pub use dataman_pg::Expr;
pub use dataman_pg::expr::SortKey;
use dataman_pg::types::TypeRef;

pub use crate::copy::{CopyFormat, CopyIn};
use crate::definition::Definition;

/// One query for one shard instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeQuery {
    /// Reads one record by its primary key.
    Get(Get),
    /// Writes one record by its primary key: inserts it, or replaces the fields given.
    Set(Set),
    /// Inserts one record.
    Insert(Insert),
    /// Inserts many records, or the rows of a query.
    InsertMany(Insert),
    /// Changes the records that match.
    Update(Update),
    /// Removes the records that match.
    Delete(Delete),
    /// Reads the records that match.
    Filter(Select),
    /// Reads groups of the records that match.
    Aggregate(Select),
    /// Inserts the records that follow as COPY data. Only for PostgreSQL datasources.
    Copy(CopyIn),
    /// Statement text in the database's own language, with `$1` parameters. Only for PostgreSQL datasources.
    Sql(SqlText),
    /// Creates, changes or drops a collection and what belongs to it.
    Define(Definition),
    /// Looks at what the database holds: one row for each finding, of one column of type json, a [`crate::inspect::Found`].
    Inspect(Inspect),
}

/// `inspect`: what a database holds, whoever made it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspect {
    /// The PostgreSQL schema, MySQL or MongoDB database; all that are not the server's own when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The tables or collections that are asked for; all when there are none. A database that answers with more does no harm.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
    /// How to look, and what fields become, in words of the engine: `sample`, `collection.path.to.field`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<(String, String)>,
}

impl NodeQuery {
    /// Whether it may change something.
    pub fn writes(&self) -> bool {
        match self {
            Self::Get(_) | Self::Inspect(_) => false,
            Self::Filter(select) | Self::Aggregate(select) => select.lock.is_some(),
            Self::Sql(sql) => sql.writes,
            Self::Set(_)
            | Self::Insert(_)
            | Self::InsertMany(_)
            | Self::Update(_)
            | Self::Delete(_)
            | Self::Copy(_)
            | Self::Define(_) => true,
        }
    }
}

/// `get`: one record by primary key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Get {
    /// Where.
    #[serde(flatten)]
    pub target: Target,
    /// The primary key: field → literal or parameter.
    pub pkey: serde_json::Map<String, serde_json::Value>,
    /// The fields to return; all when left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<OutputField>,
}

/// `set`: one record by primary key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Set {
    /// Where.
    #[serde(flatten)]
    pub target: Target,
    /// The whole record or some of its fields, the primary key among them.
    pub record: serde_json::Map<String, serde_json::Value>,
}

/// The collection that a query is about, and the slice of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Target {
    /// The database; for messages.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub db: String,
    /// The shard's namespace on the datasource, `dbshard_<database>_<shard>`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub shard_instance: String,
    /// The collection's physical name in the instance: its name, or `schema.name` outside `public`.
    pub collection: String,
    /// Where the records lie when dataman did not make the collection: a PostgreSQL reads and writes there; other engines know by
    /// their catalogue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted: Option<Box<Adopted>>,
}

/// A table that was there before dataman.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Adopted {
    /// The PostgreSQL schema, MySQL or MongoDB database.
    pub namespace: String,
    /// Its name there.
    pub name: String,
    /// The fields whose text the database orders in another way than by its bytes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub collated: Vec<String>,
}

/// `filter` and `aggregate`: a SELECT.
///
/// Order of evaluation: `source`, `filter`, `group`, `having`, window functions, `fields`, `distinct`, `union`, `sort`,
/// `offset`, `limit`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Select {
    /// What is read. In the short form, `collection` and `shard_instance` stand directly in the arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source: Vec<Source>,
    /// Which rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Condition>,
    /// The group keys. `Some(vec![])` is one group of everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Vec<Expr>>,
    /// `GROUPING SETS`: for each set, the places of its keys in `group`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grouping_sets: Option<Vec<Vec<usize>>>,
    /// Which groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub having: Option<Expr>,
    /// What is returned, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<OutputField>,
    /// `DISTINCT`.
    #[serde(default, skip_serializing_if = "Distinct::is_all")]
    pub distinct: Distinct,
    /// Further queries combined with this one, left to right.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub union: Vec<SetOperation>,
    /// The order of the result. With `union`, keys are `Expr::Column` over the output.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sort: Vec<SortKey>,
    /// Rows to return at most: a constant or parameter of type int8; NULL is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Expr>,
    /// `WITH TIES`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub with_ties: bool,
    /// Rows to leave out first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<Expr>,
    /// The subqueries that `Expr::Subquery` in this select refer to, by place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subqueries: Vec<Select>,
    /// Common table expressions of this select, in order; a later one may read an earlier one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub with: Vec<CommonTable>,
    /// `FOR UPDATE` and its like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<Lock>,
}

/// `DISTINCT` of a select.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distinct {
    /// All rows.
    #[default]
    All,
    /// `DISTINCT`: over the visible fields.
    Distinct,
    /// `DISTINCT ON (…)`.
    On(Vec<Expr>),
}

impl Distinct {
    /// Whether nothing is removed.
    pub fn is_all(&self) -> bool {
        matches!(self, Self::All)
    }
}

/// One common table expression.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommonTable {
    /// Its name, unique within the whole query.
    pub name: String,
    /// Its columns' names.
    pub columns: Vec<String>,
    /// What it holds.
    pub query: Box<Select>,
    /// `RECURSIVE` and it reads itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recursive: bool,
    /// `MATERIALIZED` / `NOT MATERIALIZED`, when written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub materialized: Option<bool>,
}

/// One item of FROM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A collection.
    Collection {
        /// Which.
        #[serde(flatten)]
        target: Target,
        /// Its alias: unique within the whole query.
        alias: String,
        /// Its fields' names and types, those that the query uses.
        fields: Vec<NamedType>,
    },
    /// A subquery in FROM.
    Query {
        /// The subquery.
        query: Box<Select>,
        /// Its alias.
        alias: String,
        /// Its columns' names (after column aliases) and types.
        columns: Vec<NamedType>,
        /// May read sources to its left.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        lateral: bool,
    },
    /// A common table expression in scope.
    CommonTable {
        /// Which.
        name: String,
        /// Its alias.
        alias: String,
        /// Its columns.
        columns: Vec<NamedType>,
    },
    /// `VALUES` in FROM, and in a select of its own.
    Values {
        /// Rows × columns.
        rows: Vec<Vec<Expr>>,
        /// The alias.
        alias: String,
        /// Its columns.
        columns: Vec<NamedType>,
    },
    /// A set-returning function in FROM.
    Function {
        /// The call.
        call: Expr,
        /// Its alias.
        alias: String,
        /// Its columns.
        columns: Vec<NamedType>,
        /// `WITH ORDINALITY`: the last column is it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        ordinality: bool,
    },
    /// A table that the proxy makes itself: a system catalog. It never goes to a node.
    Virtual {
        /// Its schema.
        schema: String,
        /// Its name.
        name: String,
        /// Its alias.
        alias: String,
        /// Its columns.
        columns: Vec<NamedType>,
    },
    /// A join.
    Join {
        /// Left side.
        left: Box<Source>,
        /// Right side.
        right: Box<Source>,
        /// Which join.
        kind: JoinKind,
        /// The condition; none for a cross join. USING and NATURAL have been turned into one.
        on: Option<Expr>,
    },
}

/// A name with its type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedType {
    /// The name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: TypeRef,
}

/// The kinds of join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinKind {
    /// `INNER` and `CROSS`.
    Inner,
    /// `LEFT`.
    Left,
    /// `RIGHT`.
    Right,
    /// `FULL`.
    Full,
}

/// One output field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OutputField {
    /// A field of the one collection, by name: the short form.
    Named(String),
    /// An expression and the name it bears.
    Bound {
        /// The value.
        expr: Expr,
        /// The name.
        name: String,
    },
}

/// One further query of a set operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetOperation {
    /// Which operation.
    pub kind: SetOperationKind,
    /// `ALL`.
    pub all: bool,
    /// The right side: same columns, same types.
    pub query: Box<Select>,
}

/// The set operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SetOperationKind {
    /// `UNION`.
    Union,
    /// `INTERSECT`.
    Intersect,
    /// `EXCEPT`.
    Except,
}

/// `FOR …` of a select.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// `UPDATE`, `NO KEY UPDATE`, `SHARE`, `KEY SHARE`; or [`Lock::NUMBERS`].
    pub strength: String,
    /// The aliases locked; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub of: Vec<String>,
    /// `NOWAIT` or `SKIP LOCKED`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<String>,
}

impl Lock {
    /// The strength of a lock on numbers instead of records (`capability::KeyLock::Number`), of a select that gives no rows. Its
    /// parameters are the numbers, an `int8[]`, and whether each is locked beside others, a `bool[]`. Of a datasource that takes no
    /// SQL text.
    pub const NUMBERS: &str = "NUMBERS";
}

/// A filter: dataman's nested list, or a bound expression inside it.
///
/// A list is `[condition, "AND" | "OR", condition, …]` with one connective per list; an object with one key is a test,
/// `{"field": ["operator", operand]}`; `{"expr": …}` is a bound expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// `{"expr": Expr}`.
    Expr(Expr),
    /// `{"field": ["operator", operand]}`.
    Test {
        /// The field.
        field: String,
        /// `=`, `!=`, `<>`, `<`, `<=`, `>`, `>=`, `in`, `not in`, `like`, `is null`, `is not null`.
        operator: String,
        /// A literal, a list of literals, or `{"param": n}`.
        operand: serde_json::Value,
    },
    /// `[a, "AND", b, "AND", c]`.
    All(Vec<Condition>),
    /// `[a, "OR", b, "OR", c]`.
    Any(Vec<Condition>),
}

/// `insert`, `insert_many`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Insert {
    /// Where.
    #[serde(flatten)]
    pub target: Target,
    /// The fields given, with their types, in the order of the rows' values.
    pub fields: Vec<NamedType>,
    /// The rows.
    pub records: Records,
    /// `ON CONFLICT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict: Option<Conflict>,
    /// `RETURNING`, over the alias [`Insert::alias`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub returning: Vec<OutputField>,
    /// The alias by which `conflict` and `returning` name the collection's fields.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub alias: String,
    /// Subqueries of `records`, `conflict` and `returning`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subqueries: Vec<Select>,
}

/// The rows of an insert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Records {
    /// Rows × fields.
    Values(Vec<Vec<Expr>>),
    /// One row per parameter tuple: the parameters are arrays of rows × fields in `fields` order, sent with the
    /// execution: the number of rows is the number of parameters divided by the number of fields.
    Parameters,
    /// The rows of a query on the same shard.
    Query(Box<Select>),
}

/// `ON CONFLICT`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Conflict {
    /// The fields of the constraint or index; empty for any.
    pub fields: Vec<String>,
    /// The constraint, when named (`ON CONSTRAINT`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constraint: Option<String>,
    /// Empty for DO NOTHING; else DO UPDATE SET.
    pub set: Vec<(String, Expr)>,
    /// DO NOTHING when true.
    pub nothing: bool,
    /// The WHERE of DO UPDATE. The row proposed for insertion is the source `excluded`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Expr>,
}

/// `update`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Update {
    /// Where.
    #[serde(flatten)]
    pub target: Target,
    /// The alias of the collection in the expressions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub alias: String,
    /// The changes: field → value over the old record (`record` in the short form).
    #[serde(default)]
    pub record_op: Vec<(String, Expr)>,
    /// The changes, in the short form: field → literal.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub record: serde_json::Map<String, serde_json::Value>,
    /// `FROM`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source: Vec<Source>,
    /// Which records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Condition>,
    /// `RETURNING`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub returning: Vec<OutputField>,
    /// Subqueries of the expressions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subqueries: Vec<Select>,
}

/// `delete`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delete {
    /// Where.
    #[serde(flatten)]
    pub target: Target,
    /// The alias of the collection in the expressions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub alias: String,
    /// `USING`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source: Vec<Source>,
    /// Which records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Condition>,
    /// `RETURNING`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub returning: Vec<OutputField>,
    /// Subqueries of the expressions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subqueries: Vec<Select>,
}

/// `sql`: text for a PostgreSQL datasource, names already replaced by the shard instance's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SqlText {
    /// The text, with `$n` parameters.
    pub text: String,
    /// The types of the parameters, by place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<dataman_pg::TypeId>,
    /// Whether it may write: what an agent's fence and a replica look at.
    #[serde(default)]
    pub writes: bool,
}

impl Serialize for Condition {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::{SerializeMap, SerializeSeq};
        let list = |parts: &[Condition], word: &str, serializer: S| {
            let mut list = serializer.serialize_seq(None)?;
            for (place, part) in parts.iter().enumerate() {
                if place > 0 {
                    list.serialize_element(word)?;
                }
                list.serialize_element(part)?;
            }
            list.end()
        };
        match self {
            Self::Expr(expr) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("expr", expr)?;
                map.end()
            }
            Self::Test { field, operator, operand } => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry(field, &(operator, operand))?;
                map.end()
            }
            Self::All(parts) => list(parts, "AND", serializer),
            Self::Any(parts) => list(parts, "OR", serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::Object(map) => {
                let mut entries = map.into_iter();
                let (Some((field, test)), None) = (entries.next(), entries.next()) else {
                    return Err(D::Error::custom(
                        "a filter's test is an object with one key, the field",
                    ));
                };
                if field == "expr" && test.is_object() {
                    return serde_json::from_value(test).map(Self::Expr).map_err(D::Error::custom);
                }
                let (operator, operand) = match test {
                    serde_json::Value::Array(mut pair) if pair.len() == 2 => {
                        let operand = pair.pop().unwrap_or_default();
                        (pair.pop().unwrap_or_default(), operand)
                    }
                    serde_json::Value::Array(mut one) if one.len() == 1 => {
                        (one.pop().unwrap_or_default(), serde_json::Value::Null)
                    }
                    _ => {
                        return Err(D::Error::custom(format!(
                            "the test of \"{field}\" is [operator, operand]"
                        )));
                    }
                };
                let serde_json::Value::String(operator) = operator else {
                    return Err(D::Error::custom(format!(
                        "the operator of \"{field}\" is a string"
                    )));
                };
                Ok(Self::Test { field, operator, operand })
            }
            serde_json::Value::Array(parts) => {
                let mut conditions = Vec::new();
                let mut connective: Option<String> = None;
                for (place, part) in parts.into_iter().enumerate() {
                    if place % 2 == 0 {
                        conditions.push(serde_json::from_value(part).map_err(D::Error::custom)?);
                        continue;
                    }
                    let word = part.as_str().map(str::to_ascii_uppercase).unwrap_or_default();
                    if word != "AND" && word != "OR" {
                        return Err(D::Error::custom("conditions are joined by \"AND\" or \"OR\""));
                    }
                    if connective.get_or_insert_with(|| word.clone()) != &word {
                        return Err(D::Error::custom(
                            "one list has one connective: nest lists to mix AND and OR",
                        ));
                    }
                }
                Ok(if connective.as_deref() == Some("OR") {
                    Self::Any(conditions)
                } else {
                    Self::All(conditions)
                })
            }
            _ => {
                Err(D::Error::custom("a filter is a list of conditions or an object with one key"))
            }
        }
    }
}
