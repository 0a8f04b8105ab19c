//! Who may do what: dataman's roles are superusers, owners, or others.
//!
//! A superuser may do everything, an owner everything with what is theirs; everybody may read and write the tables of the
//! database that they have connected to, since dataman has no GRANT: what is answered here is what is enforced.

use dataman_pg::{Context, PgError, TypeId, Value};

use super::database::Catalog;

type Result<T> = std::result::Result<T, PgError>;

/// The words of a right, as each kind of object knows them.
fn words(kind: &str) -> &'static [&'static str] {
    match kind {
        "has_table_privilege" => {
            &["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "RULE"]
        }
        "has_sequence_privilege" => &["USAGE", "SELECT", "UPDATE"],
        "has_any_column_privilege" | "has_column_privilege" => {
            &["SELECT", "INSERT", "UPDATE", "REFERENCES"]
        }
        "has_database_privilege" => &["CREATE", "TEMPORARY", "TEMP", "CONNECT"],
        "has_function_privilege" => &["EXECUTE"],
        "has_schema_privilege" => &["CREATE", "USAGE"],
        "has_tablespace_privilege" => &["CREATE"],
        "has_parameter_privilege" => &["SET", "ALTER SYSTEM"],
        "pg_has_role" => &["USAGE", "MEMBER"],
        _ => &["USAGE"],
    }
}

/// Answers `has_…_privilege(role, object, …, right)` and `pg_has_role`.
pub(super) fn has(
    catalog: &Catalog,
    kind: &str,
    args: &[Value],
    types: &[TypeId],
    context: &Context,
) -> Result<Value> {
    let Some((asked, rest)) = args.split_last() else {
        return Err(PgError::internal("a right was expected"));
    };
    let Value::Text(asked) = asked else {
        return Err(PgError::internal("a right is text"));
    };
    let objects = match kind {
        "has_column_privilege" => 2,
        _ => 1,
    };
    let (role, object) = rest.split_at(rest.len().saturating_sub(objects));
    let role = match role.first() {
        None => context.session.user.clone(),
        Some(Value::Text(name)) if &**name == "public" => String::new(),
        Some(Value::Text(name)) => match catalog.find_role(name) {
            Some(_) => name.to_string(),
            None => {
                return Err(PgError::new("42704", format!("role \"{name}\" does not exist")));
            }
        },
        Some(Value::Oid(oid)) => catalog.role_name(*oid).unwrap_or_default(),
        Some(_) => String::new(),
    };
    for word in asked.split(',') {
        let plain = word.trim().to_uppercase();
        let plain = plain
            .strip_suffix(" WITH GRANT OPTION")
            .or_else(|| plain.strip_suffix(" WITH ADMIN OPTION"))
            .unwrap_or(&plain);
        if !words(kind).contains(&plain) {
            return Err(PgError::new(
                "22023",
                format!("unrecognized privilege type: \"{}\"", word.trim()),
            ));
        }
    }
    let found = match (kind, object.first()) {
        (
            "has_table_privilege"
            | "has_any_column_privilege"
            | "has_column_privilege"
            | "has_sequence_privilege",
            Some(Value::Oid(oid)),
        ) => catalog.relation_name(*oid).is_some(),
        (
            "has_table_privilege"
            | "has_any_column_privilege"
            | "has_column_privilege"
            | "has_sequence_privilege",
            Some(Value::Text(name)),
        ) => {
            dataman_pg::io::text::input(name, TypeId::REGCLASS.into(), context)?;
            true
        }
        ("has_schema_privilege", Some(Value::Text(name))) => {
            if catalog.schema_oid(name).is_none() {
                return Err(PgError::new("3F000", format!("schema \"{name}\" does not exist")));
            }
            true
        }
        ("has_schema_privilege", Some(Value::Oid(oid))) => catalog.schema_name(*oid).is_some(),
        ("has_database_privilege", Some(Value::Text(name))) => {
            if catalog.snapshot.database(name).is_none() {
                return Err(PgError::new("3D000", format!("database \"{name}\" does not exist")));
            }
            true
        }
        ("has_type_privilege", Some(Value::Text(name))) => {
            dataman_pg::io::text::input(name, TypeId::REGTYPE.into(), context)?;
            true
        }
        ("has_function_privilege", Some(Value::Text(name))) => {
            dataman_pg::io::text::input(name, TypeId::REGPROCEDURE.into(), context)?;
            true
        }
        ("pg_has_role", Some(Value::Text(name))) => {
            let Some(_) = catalog.find_role(name) else {
                return Err(PgError::new("42704", format!("role \"{name}\" does not exist")));
            };
            let superuser = catalog.snapshot.role(&role).is_some_and(|role| role.superuser);
            return Ok(Value::Bool(superuser || **name == *role));
        }
        ("pg_has_role", Some(Value::Oid(oid))) => {
            let superuser = catalog.snapshot.role(&role).is_some_and(|role| role.superuser);
            return Ok(Value::Bool(
                superuser || catalog.role_name(*oid).is_some_and(|own| own == role),
            ));
        }
        _ => true,
    };
    let _ = types;
    if !found {
        return Ok(Value::Null);
    }
    let superuser = catalog.snapshot.role(&role).is_some_and(|role| role.superuser);
    let needs_owner = asked.split(',').all(|word| {
        let word = word.trim().to_uppercase();
        word.ends_with(" OPTION") || matches!(word.as_str(), "TRUNCATE" | "TRIGGER" | "REFERENCES")
    });
    if superuser {
        return Ok(Value::Bool(true));
    }
    let owner = match object.first() {
        Some(Value::Oid(oid)) => owner_of(catalog, *oid),
        Some(Value::Text(name)) => {
            match dataman_pg::io::text::input(name, TypeId::REGCLASS.into(), context) {
                Ok(Value::Oid(oid)) => owner_of(catalog, oid),
                _ => None,
            }
        }
        _ => None,
    };
    let owns = owner.is_some_and(|owner| owner == role);
    Ok(Value::Bool(owns || !needs_owner))
}

/// The owner of a user's relation.
fn owner_of(catalog: &Catalog, oid: u32) -> Option<String> {
    use super::database::Object;
    Some(match catalog.object(oid)? {
        Object::Table(place) => catalog.collection(place)?.owner.clone(),
        Object::View(place) => catalog.view(place)?.owner.clone(),
        Object::Sequence(place) => catalog.sequence_owner(catalog.sequence(place)?).to_owned(),
        _ => return None,
    })
}

/// The letters of rights as access rights write them, in their order, with their words.
const LETTERS: &[(char, &str)] = &[
    ('a', "INSERT"),
    ('r', "SELECT"),
    ('w', "UPDATE"),
    ('d', "DELETE"),
    ('D', "TRUNCATE"),
    ('x', "REFERENCES"),
    ('t', "TRIGGER"),
    ('X', "EXECUTE"),
    ('U', "USAGE"),
    ('C', "CREATE"),
    ('T', "TEMPORARY"),
    ('c', "CONNECT"),
    ('s', "SET"),
    ('A', "ALTER SYSTEM"),
];

/// `aclexplode`: a row for each right of each item.
pub(super) fn exploded(catalog: &Catalog, args: &[Value]) -> Result<Vec<Vec<Value>>> {
    let Some(Value::Array(items)) = args.first() else {
        return Err(PgError::internal("access rights were expected"));
    };
    let role = |name: &str| {
        let name = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).unwrap_or(name);
        let name = name.replace("\"\"", "\"");
        Value::Oid(if name.is_empty() { 0 } else { catalog.find_role(&name).unwrap_or(0) })
    };
    let mut rows = Vec::new();
    for item in &items.elements {
        let Value::Text(item) = item else { continue };
        let Some((to, by)) = item.rsplit_once('/') else { continue };
        let Some((to, letters)) = to.rsplit_once('=') else { continue };
        for (letter, word) in LETTERS {
            let Some(place) = letters.find(*letter) else { continue };
            let can_grant = letters[place + 1..].starts_with('*');
            rows.push(vec![role(by), role(to), Value::text(*word), Value::Bool(can_grant)]);
        }
    }
    Ok(rows)
}

/// `acldefault`: the rights that an object of a kind has until somebody grants others.
pub(super) fn by_default(catalog: &Catalog, args: &[Value]) -> Result<Value> {
    let [Value::Char(kind), Value::Oid(owner)] = args else {
        return Err(PgError::internal("a kind and an owner were expected"));
    };
    let (public, own) = match kind {
        b'c' => ("", ""),
        b'r' => ("", "arwdDxt"),
        b's' => ("", "rwU"),
        b'd' => ("Tc", "CTc"),
        b'f' => ("X", "X"),
        b'l' | b'T' => ("U", "U"),
        b'L' => ("", "rw"),
        b'n' => ("", "UC"),
        b't' => ("", "C"),
        b'F' | b'S' => ("", "U"),
        b'p' => ("", "sA"),
        _ => {
            return Err(PgError::new(
                "XX000",
                format!("unrecognized object type abbreviation: {}", char::from(*kind)),
            ));
        }
    };
    let owner = match catalog.role_name(*owner) {
        Some(name) => dataman_pg::catalog::quote_identifier(&name),
        None => owner.to_string(),
    };
    let mut items = Vec::new();
    if !public.is_empty() {
        items.push(format!("={public}/{owner}"));
    }
    if !own.is_empty() {
        items.push(format!("{owner}={own}/{owner}"));
    }
    Ok(super::row::rights(&items))
}
