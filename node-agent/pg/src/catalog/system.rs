//! The rows that PostgreSQL 15's own catalogs have before anybody has made anything: `system.tsv`, written by
//! `generate-catalog` from a server.
//!
//! A table's rows are read when they are first asked for. Owners are 10, the first superuser, and `@` stands for that
//! role's name in access rights. A `pg_node_tree` holds what `pg_get_expr` shows of it.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, OnceLock};

use crate::context::Context;
use crate::types::TypeId;
use crate::value::{Array, Dimension, Value};

/// A row of a catalog: shared, since many scans hold it.
pub type SystemRow = Arc<[Value]>;

/// A catalog's columns and its own rows.
#[derive(Debug)]
pub struct SystemTable {
    /// Its columns' names and types.
    pub columns: Vec<(&'static str, TypeId)>,
    /// Its lines, not yet read.
    lines: Vec<&'static str>,
    rows: OnceLock<Vec<SystemRow>>,
}

/// A relation of `pg_catalog` or `information_schema`, as `pg_class` and `pg_attribute` describe it.
#[derive(Debug)]
pub struct SystemRelation {
    /// Its OID.
    pub oid: u32,
    /// Its schema: `pg_catalog` or `information_schema`.
    pub schema: &'static str,
    /// Its name.
    pub name: Arc<str>,
    /// Its columns' names, types (a domain's is the one below) and modifiers, in order.
    pub columns: Vec<(Arc<str>, TypeId, i32)>,
}

static TABLES: LazyLock<HashMap<&'static str, SystemTable>> = LazyLock::new(|| {
    let mut tables: HashMap<&'static str, SystemTable> = HashMap::new();
    let mut name = "";
    for line in include_str!("system.tsv").lines() {
        if let Some(header) = line.strip_prefix('#') {
            let mut words = header.split(' ');
            name = words.next().unwrap_or_default();
            let columns = words.filter_map(|word| {
                let (column, oid) = word.split_once(':')?;
                Some((column, TypeId(oid.parse().ok()?)))
            });
            let table = SystemTable {
                columns: columns.collect(),
                lines: Vec::new(),
                rows: OnceLock::new(),
            };
            tables.insert(name, table);
        } else if let Some(table) = tables.get_mut(name) {
            table.lines.push(line);
        }
    }
    tables
});

/// `pg_catalog`'s OID as a schema.
pub const CATALOG_SCHEMA: u32 = 11;

/// The domains' base types and modifiers.
static DOMAINS: LazyLock<HashMap<u32, (u32, i32)>> = LazyLock::new(|| {
    let types = system_table("pg_type");
    let at = ["oid", "typtype", "typbasetype", "typtypmod"].map(|name| types.place(name));
    let domain = |row: &SystemRow| match (&row[at[0]], &row[at[1]], &row[at[2]], &row[at[3]]) {
        (Value::Oid(oid), Value::Char(b'd'), Value::Oid(base), Value::Int4(typmod)) => {
            Some((*oid, (*base, *typmod)))
        }
        _ => None,
    };
    types.rows().iter().filter_map(domain).collect()
});

static RELATIONS: LazyLock<HashMap<(&'static str, Arc<str>), SystemRelation>> =
    LazyLock::new(|| {
        let oid = |value: &Value| if let Value::Oid(oid) = value { *oid } else { 0 };
        let text = |value: &Value| {
            if let Value::Text(text) = value { Arc::clone(text) } else { "".into() }
        };
        let number = |value: &Value| if let Value::Int4(number) = value { *number } else { -1 };
        let places = |table: &'static str, wanted: &[&str]| -> Vec<usize> {
            wanted.iter().map(|name| system_table(table).place(name)).collect()
        };
        let at =
            places("pg_attribute", &["attrelid", "attname", "atttypid", "atttypmod", "attnum"]);
        let mut columns: HashMap<u32, Vec<(Arc<str>, TypeId, i32)>> = HashMap::new();
        for row in system_table("pg_attribute").rows() {
            if matches!(row[at[4]], Value::Int2(number) if number < 1) {
                continue;
            }
            let declared = oid(&row[at[2]]);
            // A domain's columns are described to clients as its base type's.
            let (ty, typmod) =
                DOMAINS.get(&declared).copied().unwrap_or((declared, number(&row[at[3]])));
            columns.entry(oid(&row[at[0]])).or_default().push((
                text(&row[at[1]]),
                TypeId(ty),
                typmod,
            ));
        }
        let at = places("pg_class", &["oid", "relname", "relnamespace", "relkind"]);
        let mut relations = HashMap::new();
        for row in system_table("pg_class").rows() {
            if row[at[3]] == Value::Char(b'i') {
                continue;
            }
            let schema = if oid(&row[at[2]]) == CATALOG_SCHEMA {
                "pg_catalog"
            } else {
                "information_schema"
            };
            let (oid, name) = (oid(&row[at[0]]), text(&row[at[1]]));
            let columns = columns.remove(&oid).unwrap_or_default();
            let relation = SystemRelation { oid, schema, name: Arc::clone(&name), columns };
            relations.insert((schema, name), relation);
        }
        relations
    });

/// The rows that a catalog has of its own; empty and without columns for one that has none.
pub fn system_table(name: &str) -> &'static SystemTable {
    static NOTHING: LazyLock<SystemTable> = LazyLock::new(|| SystemTable {
        columns: Vec::new(),
        lines: Vec::new(),
        rows: OnceLock::new(),
    });
    TABLES.get(name).unwrap_or(&NOTHING)
}

/// Finds a relation of `pg_catalog` or `information_schema`.
pub fn system_relation(schema: &str, name: &str) -> Option<&'static SystemRelation> {
    let schema = match schema {
        "pg_catalog" => "pg_catalog",
        "information_schema" => "information_schema",
        _ => return None,
    };
    RELATIONS.get(&(schema, Arc::from(name)))
}

impl SystemTable {
    /// The rows, read once.
    pub fn rows(&self) -> &[SystemRow] {
        self.rows.get_or_init(|| {
            let mut before: Vec<Value> = vec![Value::Null; self.columns.len()];
            let read = |line: &&'static str| {
                for (place, field) in line.split('\t').enumerate() {
                    let (Some((_, ty)), Some(value)) =
                        (self.columns.get(place), before.get_mut(place))
                    else {
                        continue;
                    };
                    if !field.is_empty() {
                        *value = read_field(field, *ty);
                    }
                }
                Arc::from(before.as_slice())
            };
            self.lines.iter().map(read).collect()
        })
    }

    /// A column's place.
    ///
    /// # Panics
    /// When the generated catalog has no such column.
    pub fn place(&self, name: &str) -> usize {
        let found = self.columns.iter().position(|(column, _)| *column == name);
        found.expect("the generated catalog has PostgreSQL 15's columns")
    }
}

/// A field as COPY writes it.
fn read_field(field: &str, ty: TypeId) -> Value {
    let text = match field {
        "\\N" => return Value::Null,
        "\\e" => String::new(),
        field if field.contains('\\') => unescape(field),
        field => field.to_owned(),
    };
    let read = |text: &str, ty: TypeId| {
        crate::io::text::input(text, ty.into(), &Context::default()).unwrap_or(Value::Null)
    };
    match ty {
        TypeId::PG_NODE_TREE | TypeId::ACLITEM => Value::Text(text.into()),
        TypeId::XID => read(&text, TypeId::OID),
        id if id.is_oid() => read(&text, TypeId::OID),
        TypeId::ACLITEM_ARRAY => match read(&text, TypeId::TEXT_ARRAY) {
            Value::Array(array) => {
                let mut array = Array::clone(&array);
                array.element_type = TypeId::ACLITEM;
                Value::Array(array.into())
            }
            _ => Value::Null,
        },
        // Domains of the information schema.
        id if super::type_by_id(id).is_none() => {
            read(&text, DOMAINS.get(&id.0).map_or(TypeId::TEXT, |(base, _)| TypeId(*base)))
        }
        _ => read(&text, ty),
    }
}

fn unescape(field: &str) -> String {
    let mut out = String::with_capacity(field.len());
    let mut letters = field.chars();
    while let Some(letter) = letters.next() {
        match (letter, letter == '\\') {
            (_, true) => match letters.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some(other) => out.push(other),
                None => {}
            },
            (other, false) => out.push(other),
        }
    }
    out
}

/// Makes an `oidvector` or `int2vector`: an array whose subscripts begin at 0.
pub fn vector(element_type: TypeId, elements: Vec<Value>) -> Value {
    let length = i32::try_from(elements.len()).unwrap_or(i32::MAX);
    Value::Array(Arc::new(Array {
        element_type,
        dimensions: vec![Dimension { length, lower: 0 }],
        elements,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read() {
        let classes = system_table("pg_class");
        let (oid, name) = (classes.place("oid"), classes.place("relname"));
        let found = classes.rows().iter().find(|row| row[oid] == Value::Oid(1259));
        assert_eq!(found.map(|row| row[name].clone()), Some(Value::text("pg_class")));
        let functions = system_table("pg_proc");
        let (name, args) = (functions.place("proname"), functions.place("proargtypes"));
        let lower = functions.rows().iter().find(|row| row[name] == Value::text("lower"));
        let Some(Value::Array(args)) = lower.map(|row| row[args].clone()) else {
            panic!("lower has argument types")
        };
        assert_eq!((args.element_type, args.elements.len()), (TypeId::OID, 1));
        assert!(system_table("no such").rows().is_empty());
    }

    #[test]
    fn every_field_is_read() {
        for (name, table) in TABLES.iter() {
            let rows = table.rows();
            for (place, (column, ty)) in table.columns.iter().enumerate() {
                let nulls = rows.iter().filter(|row| row[place].is_null()).count();
                let written = table.lines.iter().any(|line| {
                    line.split('\t').nth(place).is_some_and(|field| !matches!(field, "" | "\\N"))
                });
                assert!(nulls < rows.len() || !written, "{name}.{column} of type {}", ty.0);
            }
        }
    }

    #[test]
    fn relations_have_columns() {
        let class = system_relation("pg_catalog", "pg_class").expect("it exists");
        assert_eq!((class.oid, class.columns.len()), (1259, 33));
        let columns = system_relation("information_schema", "columns").expect("it exists");
        assert_eq!(columns.columns[0].1, TypeId::NAME);
        assert_eq!(columns.columns[6].1, TypeId::VARCHAR);
        assert!(system_relation("public", "pg_class").is_none());
    }
}
