//! Roles: `pg_authid` and the views over it.

use dataman_metadata::schema::{Role, SessionDefaults};
use dataman_pg::catalog::system::SystemRow;
use dataman_pg::value::Array;
use dataman_pg::{Context, PgError, TypeId, Value};

use super::super::database::Catalog;
use super::super::row::{Maker, text};

/// What roles here share with PostgreSQL's: they inherit, can log in, and have no limits.
const SUPERUSERS: [&str; 4] = ["rolsuper", "rolcreaterole", "rolcreatedb", "rolbypassrls"];

pub(super) fn roles(catalog: &Catalog) -> Vec<SystemRow> {
    let maker = Maker::new(
        "pg_authid",
        [
            "oid",
            "rolname",
            SUPERUSERS[0],
            SUPERUSERS[1],
            SUPERUSERS[2],
            SUPERUSERS[3],
            "rolreplication",
        ],
        &[
            ("rolinherit", Value::Bool(true)),
            ("rolcanlogin", Value::Bool(true)),
            ("rolconnlimit", Value::Int4(-1)),
        ],
    );
    let row = |role: &Role| {
        let is = || Value::Bool(role.superuser);
        let oid = catalog.role_oid(&role.name);
        // PostgreSQL's first superuser may replicate and pass row security; others must be told to.
        let first = Value::Bool(oid == super::super::database::FIRST_ROLE);
        maker.row([
            Value::Oid(oid),
            text(role.name.as_str()),
            is(),
            is(),
            is(),
            first.clone(),
            first,
        ])
    };
    catalog.snapshot.roles.values().map(row).collect()
}

/// `pg_roles`: `pg_authid` with its passwords hidden.
pub(super) fn shown_roles(catalog: &Catalog, context: &Context) -> Result<Vec<SystemRow>, PgError> {
    let maker = Maker::new(
        "pg_roles",
        [
            "oid",
            "rolname",
            "rolsuper",
            "rolinherit",
            "rolcreaterole",
            "rolcreatedb",
            "rolcanlogin",
            "rolreplication",
            "rolbypassrls",
            "rolconnlimit",
            "rolconfig",
        ],
        &[("rolpassword", text("********"))],
    );
    let rows = catalog.table("pg_catalog", "pg_authid", context)?;
    // The columns of pg_authid in its own order.
    let row = |row: &SystemRow| match &row[..] {
        [
            oid,
            name,
            superuser,
            inherit,
            create_role,
            create_db,
            can_login,
            replication,
            bypass,
            limit,
            ..,
        ] => Some(maker.row([
            oid.clone(),
            name.clone(),
            superuser.clone(),
            inherit.clone(),
            create_role.clone(),
            create_db.clone(),
            can_login.clone(),
            replication.clone(),
            bypass.clone(),
            limit.clone(),
            config_of(catalog, name),
        ])),
        _ => None,
    };
    Ok(rows.rows().iter().filter_map(row).collect())
}

fn logins(
    catalog: &Catalog,
    table: &str,
    password: Value,
    context: &Context,
) -> Result<Vec<SystemRow>, PgError> {
    let maker = Maker::new(
        table,
        ["usename", "usesysid", "usecreatedb", "usesuper", "userepl", "usebypassrls", "useconfig"],
        &[("passwd", password)],
    );
    let rows = catalog.table("pg_catalog", "pg_authid", context)?;
    let row = |row: &SystemRow| match &row[..] {
        [oid, name, superuser, _, _, create_db, Value::Bool(true), replication, bypass, ..] => {
            Some(maker.row([
                name.clone(),
                oid.clone(),
                create_db.clone(),
                superuser.clone(),
                replication.clone(),
                bypass.clone(),
                config_of(catalog, name),
            ]))
        }
        _ => None,
    };
    Ok(rows.rows().iter().filter_map(row).collect())
}

/// `pg_db_role_setting`: what sessions begin with.
pub(super) fn settings(catalog: &Catalog) -> Vec<SystemRow> {
    let maker = Maker::new("pg_db_role_setting", ["setdatabase", "setrole", "setconfig"], &[]);
    let row = |one: &SessionDefaults| {
        let database = one.database.as_ref().and_then(|id| catalog.snapshot.databases.get(id));
        let database = database.map_or(0, |database| database.oid.0);
        let role = one.role.as_ref().map_or(0, |role| catalog.role_oid(role));
        maker.row([Value::Oid(database), Value::Oid(role), config(&one.values)])
    };
    catalog.snapshot.defaults.iter().map(row).collect()
}

/// What a role's sessions in any database begin with.
fn config_of(catalog: &Catalog, role: &Value) -> Value {
    match role {
        Value::Text(name) => config(catalog.snapshot.session_defaults(None, Some(name))),
        _ => Value::Null,
    }
}

fn config(values: &[(String, String)]) -> Value {
    if values.is_empty() {
        return Value::Null;
    }
    let element = |(name, value): &(String, String)| text(format!("{name}={value}"));
    Value::Array(Array::vector(TypeId::TEXT, values.iter().map(element).collect()).into())
}

/// `pg_user`.
pub(super) fn users(catalog: &Catalog, context: &Context) -> Result<Vec<SystemRow>, PgError> {
    logins(catalog, "pg_user", text("********"), context)
}

/// `pg_shadow`: verifiers are not shown here either.
pub(super) fn shadows(catalog: &Catalog, context: &Context) -> Result<Vec<SystemRow>, PgError> {
    logins(catalog, "pg_shadow", Value::Null, context)
}

/// `pg_group`: the roles that cannot log in.
pub(super) fn groups(catalog: &Catalog, context: &Context) -> Result<Vec<SystemRow>, PgError> {
    let maker = Maker::new("pg_group", ["groname", "grosysid", "grolist"], &[]);
    let rows = catalog.table("pg_catalog", "pg_authid", context)?;
    let members = catalog.table("pg_catalog", "pg_auth_members", context)?;
    let members_of = |group: &Value| -> Vec<u32> {
        let member = |row: &SystemRow| match &row[..] {
            [role, Value::Oid(member), ..] if role == group => Some(*member),
            _ => None,
        };
        members.rows().iter().filter_map(member).collect()
    };
    let row = |row: &SystemRow| match &row[..] {
        [oid, name, _, _, _, _, Value::Bool(false), ..] => {
            let members = super::super::row::oid_array(&members_of(oid));
            Some(maker.row([name.clone(), oid.clone(), members]))
        }
        _ => None,
    };
    Ok(rows.rows().iter().filter_map(row).collect())
}
