//! Type names → types.

use std::sync::Arc;

use dataman_metadata::id::DatabaseId;
use dataman_metadata::schema::{Database, EnumType};
use dataman_metadata::snapshot::Snapshot;
use dataman_pg::catalog;
use dataman_pg::resolve::{UserType, UserTypes};
use dataman_pg::types::TypeRef;
use dataman_pg::{PgError, TypeId};

use super::{Binder, Result};
use crate::parse::syntax::TypeName;

/// The user-defined types of a database.
pub struct SnapshotTypes<'a> {
    database: &'a Database,
    shows: bool,
}

impl<'a> SnapshotTypes<'a> {
    /// The types of `database`.
    pub fn new(database: &'a Database) -> Self {
        Self { database, shows: false }
    }

    /// The same for expressions that are to be written back as text.
    pub(crate) fn shown(self, shows: bool) -> Self {
        Self { shows, ..self }
    }

    fn enums(&self) -> impl Iterator<Item = (&'a String, &'a EnumType)> {
        self.database.schemas.values().flat_map(|schema| schema.enums.iter())
    }
}

impl UserTypes for SnapshotTypes<'_> {
    fn keeps_casts(&self) -> bool {
        self.shows
    }

    fn describe(&self, id: TypeId) -> Option<UserType> {
        if id.0 < 16384 {
            return None;
        }
        self.enums().find_map(|(name, found)| {
            if found.oid.0 == id.0 {
                Some(UserType {
                    name: name.clone(),
                    element: None,
                    array: Some(TypeId(found.array_oid.0)),
                    labels: found.labels.iter().map(|label| label.as_str().into()).collect(),
                })
            } else if found.array_oid.0 == id.0 {
                Some(UserType {
                    name: format!("_{name}"),
                    element: Some(TypeId(found.oid.0)),
                    array: None,
                    labels: Vec::new(),
                })
            } else {
                None
            }
        })
    }
}

/// The user-defined types of a database, for computing with their values.
pub(crate) struct DatabaseTypes {
    snapshot: Arc<Snapshot>,
    database: DatabaseId,
}

impl DatabaseTypes {
    /// The types of a database, if it has any.
    pub(crate) fn of(snapshot: &Arc<Snapshot>, database: &str) -> Option<Self> {
        let found = snapshot.database(database)?;
        let has_types = found.schemas.values().any(|schema| !schema.enums.is_empty());
        has_types.then(|| Self { snapshot: Arc::clone(snapshot), database: database.into() })
    }
}

impl UserTypes for DatabaseTypes {
    fn describe(&self, id: TypeId) -> Option<UserType> {
        let database = self.snapshot.databases.get(&self.database)?;
        SnapshotTypes::new(database).describe(id)
    }
}

/// The type that a name means in a database.
///
/// # Errors
/// `42704` for a type that does not exist, `42601`/`22023` for modifiers that do not fit.
pub(crate) fn type_by_name(
    name: &TypeName,
    search_path: &[String],
    database: &Database,
) -> Result<TypeRef> {
    let written = || {
        let mut text = name.name.parts.join(".");
        for _ in 0..name.array_dimensions {
            text.push_str("[]");
        }
        text
    };
    let missing = || PgError::new("42704", format!("type \"{}\" does not exist", written()));
    let (schema, base) = match name.name.parts.as_slice() {
        [base] => (None, base),
        [schema, base] => (Some(schema.as_str()), base),
        _ => return Err(missing()),
    };
    let user = || {
        let in_schema = |schema: &str| {
            database
                .schemas
                .get(schema)
                .and_then(|schema| schema.enums.get(base))
                .map(|found| TypeId(found.oid.0))
        };
        match schema {
            Some(schema) => in_schema(schema),
            None => search_path.iter().find_map(|schema| in_schema(schema)),
        }
    };
    let built_in = match schema {
        None | Some("pg_catalog") => catalog::type_by_name(base),
        Some(_) => None,
    };
    let id = match built_in {
        Some(found) if found.kind != 'p' || matches!(found.name, "record" | "void" | "unknown") => {
            found.id
        }
        Some(_) => {
            return Err(PgError::unsupported(format!(
                "the pseudo-type {base} is not supported here"
            )));
        }
        None => match user() {
            Some(id) => id,
            None if is_relation(schema, base, search_path, database) => {
                return Err(PgError::unsupported(format!(
                    "the row type of relation \"{base}\" as the type of a value is not supported"
                )));
            }
            None => return Err(missing()),
        },
    };
    let typmod = typmod(id, name)?;
    if name.array_dimensions == 0 {
        return Ok(TypeRef { id, typmod });
    }
    let array = match catalog::type_by_id(id) {
        Some(found) => found.array,
        None => {
            SnapshotTypes::new(database).describe(id).and_then(|ty| ty.array).unwrap_or(TypeId(0))
        }
    };
    if array.0 == 0 {
        return Err(missing());
    }
    Ok(TypeRef { id: array, typmod })
}

/// Whether a table, view or sequence of that name is in the schema, or in one of those that are looked in.
fn is_relation(
    schema: Option<&str>,
    name: &str,
    search_path: &[String],
    database: &Database,
) -> bool {
    let is_in = |schema: &str| {
        database.schemas.get(schema).is_some_and(|schema| {
            schema.collections.contains_key(name)
                || schema.views.contains_key(name)
                || schema.sequences.contains_key(name)
        })
    };
    schema.map_or_else(|| search_path.iter().any(|schema| is_in(schema)), is_in)
}

/// The modifier of a type as its `typmodin` function makes it.
fn typmod(id: TypeId, name: &TypeName) -> Result<i32> {
    let invalid = |message: String| PgError::new("22023", message);
    let modifiers = &name.modifiers;
    if let Some(fields) = &name.interval_fields {
        return interval_typmod(fields, modifiers);
    }
    if modifiers.is_empty() {
        return Ok(-1);
    }
    let one = |low: i64, high: i64, message: &dyn Fn(i64) -> String| -> Result<i32> {
        match modifiers.as_slice() {
            [value] if (low..=high).contains(value) => {
                i32::try_from(*value).map_err(|_| invalid(message(*value)))
            }
            [value] => Err(invalid(message(*value))),
            _ => Err(invalid("invalid type modifier".to_owned())),
        }
    };
    match id {
        TypeId::VARCHAR | TypeId::BPCHAR => {
            let label = if id == TypeId::VARCHAR { "varchar" } else { "char" };
            let length = one(i64::MIN, i64::MAX, &|_| "invalid type modifier".to_owned())?;
            if length < 1 {
                return Err(invalid(format!("length for type {label} must be at least 1")));
            }
            if length > 10_485_760 {
                return Err(invalid(format!("length for type {label} cannot exceed 10485760")));
            }
            Ok(length + 4)
        }
        TypeId::BIT | TypeId::VARBIT => {
            let label = if id == TypeId::BIT { "bit" } else { "varbit" };
            let length = one(i64::MIN, i64::MAX, &|_| "invalid type modifier".to_owned())?;
            if length < 1 {
                return Err(invalid(format!("length for type {label} must be at least 1")));
            }
            if length > 83_886_080 {
                return Err(invalid(format!("length for type {label} cannot exceed 83886080")));
            }
            Ok(length)
        }
        TypeId::NUMERIC => {
            let (precision, scale) = match modifiers.as_slice() {
                [precision] => (*precision, 0),
                [precision, scale] => (*precision, *scale),
                _ => return Err(invalid("invalid NUMERIC type modifier".to_owned())),
            };
            if !(1..=1000).contains(&precision) {
                return Err(invalid(format!(
                    "NUMERIC precision {precision} must be between 1 and 1000"
                )));
            }
            if !(-1000..=1000).contains(&scale) {
                return Err(invalid(format!(
                    "NUMERIC scale {scale} must be between -1000 and 1000"
                )));
            }
            i32::try_from((precision << 16) | (scale & 0x7ff))
                .map(|packed| packed + 4)
                .map_err(|_| invalid("invalid NUMERIC type modifier".to_owned()))
        }
        TypeId::TIME | TypeId::TIMETZ | TypeId::TIMESTAMP | TypeId::TIMESTAMPTZ => {
            let digits = one(0, i64::from(i32::MAX), &|value| {
                format!("{}({value}) precision must not be negative", catalog_label(id))
            })?;
            Ok(digits.min(6))
        }
        TypeId::INTERVAL => interval_typmod("", modifiers),
        _ => Err(PgError::new(
            "42601",
            format!("type modifier is not allowed for type \"{}\"", name.name.parts.join(".")),
        )),
    }
}

fn catalog_label(id: TypeId) -> &'static str {
    match id {
        TypeId::TIME => "TIME",
        TypeId::TIMETZ => "TIME WITH TIME ZONE",
        TypeId::TIMESTAMP => "TIMESTAMP",
        _ => "TIMESTAMP WITH TIME ZONE",
    }
}

/// `interval fields(p)`: PostgreSQL packs a mask of fields and the digits.
fn interval_typmod(fields: &str, modifiers: &[i64]) -> Result<i32> {
    const MONTH: i32 = 1 << 1;
    const YEAR: i32 = 1 << 2;
    const DAY: i32 = 1 << 3;
    const HOUR: i32 = 1 << 10;
    const MINUTE: i32 = 1 << 11;
    const SECOND: i32 = 1 << 12;
    let mask = match fields {
        "" => 0x7fff,
        "YEAR" => YEAR,
        "MONTH" => MONTH,
        "DAY" => DAY,
        "HOUR" => HOUR,
        "MINUTE" => MINUTE,
        "SECOND" => SECOND,
        "YEAR TO MONTH" => YEAR | MONTH,
        "DAY TO HOUR" => DAY | HOUR,
        "DAY TO MINUTE" => DAY | HOUR | MINUTE,
        "DAY TO SECOND" => DAY | HOUR | MINUTE | SECOND,
        "HOUR TO MINUTE" => HOUR | MINUTE,
        "HOUR TO SECOND" => HOUR | MINUTE | SECOND,
        "MINUTE TO SECOND" => MINUTE | SECOND,
        _ => return Err(PgError::new("42601", format!("syntax error at or near \"{fields}\""))),
    };
    let digits = match modifiers {
        [] => 0xffff,
        [digits] if (0..=6).contains(digits) => i32::try_from(*digits).unwrap_or(6),
        [digits] if *digits > 6 => 6,
        [digits] => {
            return Err(PgError::new(
                "22023",
                format!("INTERVAL({digits}) precision must not be negative"),
            ));
        }
        _ => return Err(PgError::new("22023", "invalid INTERVAL type modifier")),
    };
    if mask == 0x7fff && digits == 0xffff {
        return Ok(-1);
    }
    Ok((mask << 16) | digits)
}

impl Binder<'_> {
    pub(crate) fn type_ref(&mut self, name: &TypeName) -> Result<TypeRef> {
        let found = type_by_name(name, self.context.search_path, self.database);
        let found = self.place(found, name.name.span)?;
        // On a shard a user's type has another name, which the client's own text does not say.
        // A `reg…` type's names are dataman's.
        let names_objects = found.id.is_oid() && found.id != TypeId::OID;
        self.facts.internal |= found.id.is_user() || names_objects;
        Ok(found)
    }

    /// A type's name as SQL writes it, also a user's.
    pub(crate) fn type_name(&self, id: TypeId) -> String {
        match self.types.describe(id) {
            Some(UserType { element: Some(element), .. }) => {
                format!("{}[]", self.type_name(element))
            }
            Some(user) => user.name,
            None => catalog::format_type(id, -1),
        }
    }

    /// The array type over a type.
    pub(crate) fn array_of(&self, id: TypeId) -> Result<TypeId> {
        let array = match catalog::type_by_id(id) {
            Some(found) => Some(found.array).filter(|array| array.0 != 0),
            None => self.types.describe(id).and_then(|ty| ty.array),
        };
        array.ok_or_else(|| {
            PgError::new(
                "42704",
                format!("could not find array type for data type {}", self.type_name(id)),
            )
        })
    }

    /// The element type of an array type.
    pub(crate) fn element_of(&self, id: TypeId) -> Option<TypeId> {
        match catalog::type_by_id(id) {
            // The catalog has it among the pseudo-types.
            _ if id == TypeId::RECORD_ARRAY => Some(TypeId::RECORD),
            Some(found) => (found.category == 'A' && found.element.0 != 0).then_some(found.element),
            None => self.types.describe(id).and_then(|ty| ty.element),
        }
    }

    /// Whether values of a type can be sorted and grouped; user enums can.
    pub(crate) fn check_sortable(&self, id: TypeId, what: &str) -> Result<()> {
        let element = self.element_of(id).unwrap_or(id);
        let operator = if what == "an ordering operator" { "<" } else { "=" };
        let exists = element.0 >= 16384
            || matches!(element, TypeId::VARCHAR | TypeId::CIDR | TypeId::VARBIT)
            || matches!(element, TypeId::UNKNOWN | TypeId::RECORD)
            || element.is_oid()
            || catalog::ranges()
                .iter()
                .any(|range| range.id == element || range.multirange == element)
            || catalog::operators_named(operator)
                .iter()
                .any(|op| op.left == element && op.right == element);
        if exists {
            return Ok(());
        }
        let error = PgError::new(
            "42883",
            format!("could not identify {what} for type {}", self.type_name(id)),
        );
        Err(if operator == "<" {
            error.with_hint("Use an explicit ordering operator or modify the query.")
        } else {
            error
        })
    }
}
