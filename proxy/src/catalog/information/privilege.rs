//! Roles, rights on tables, and collations.

use dataman_pg::Value;
use dataman_pg::catalog::system::SystemRow;

use super::super::rights;
use super::super::row::{Maker, text};
use super::relation::WITH_ROWS;
use super::{Result, Viewer, yes};

/// `table_privileges`; `role_table_grants` has not what everybody may do.
pub(super) fn on_tables(viewer: Viewer<'_>, name: &str) -> Result<Vec<SystemRow>> {
    let maker = Maker::of(
        "information_schema",
        name,
        [
            "grantor",
            "grantee",
            "table_schema",
            "table_name",
            "privilege_type",
            "is_grantable",
            "with_hierarchy",
        ],
        &[("table_catalog", viewer.database())],
    );
    let schemas = viewer.schemas()?;
    let mut rows = Vec::new();
    for class in viewer.source("pg_class")?.rows() {
        if !WITH_ROWS.contains(&class.letter("relkind")) {
            continue;
        }
        let Some(schema) = schemas.get(&class.oid("relnamespace")) else { continue };
        let owner = class.oid("relowner");
        let granted = match class.get("relacl") {
            Value::Null => {
                rights::by_default(viewer.catalog, &[Value::Char(b'r'), Value::Oid(owner)])?
            }
            granted => granted.clone(),
        };
        for right in rights::exploded(viewer.catalog, &[granted])? {
            let [Value::Oid(by), Value::Oid(to), Value::Text(word), Value::Bool(can_grant)] =
                right.as_slice()
            else {
                continue;
            };
            let is_public = *to == 0;
            let is_own = viewer.is(*by) || !is_public && viewer.is(*to);
            // What everybody may is in the other view only, and seen by all.
            let is_seen = if is_public { name != "role_table_grants" } else { is_own };
            if !is_seen {
                continue;
            }
            rows.push(maker.row([
                viewer.role_name(*by),
                if is_public { text("PUBLIC") } else { viewer.role_name(*to) },
                schema.clone(),
                class.get("relname").clone(),
                Value::Text(word.clone()),
                yes(*to == owner || *can_grant),
                yes(&**word == "SELECT"),
            ]));
        }
    }
    Ok(rows)
}

/// `enabled_roles`: the roles that the viewer may act for.
pub(super) fn enabled_roles(viewer: Viewer<'_>) -> Result<Vec<SystemRow>> {
    let roles = viewer.source("pg_authid")?;
    let own = roles.rows().filter(|role| viewer.is(role.oid("oid")));
    Ok(own.map(|role| [role.get("rolname").clone()].into()).collect())
}

/// `applicable_roles`: what the viewer's roles are members of.
pub(super) fn applicable_roles(viewer: Viewer<'_>) -> Result<Vec<SystemRow>> {
    let members = viewer.source("pg_auth_members")?;
    let own = members.rows().filter(|line| viewer.is(line.oid("member")));
    let row = |line: super::Line<'_>| {
        let roles = ["member", "roleid"].map(|column| viewer.role_name(line.oid(column)));
        let [member, role] = roles;
        [member, role, yes(line.is("admin_option"))].into()
    };
    let mut rows: Vec<SystemRow> = own.map(row).collect();
    let owner = viewer.catalog.content().map(|database| viewer.catalog.role_oid(&database.owner));
    if let Some(owner) = owner.filter(|owner| viewer.is(*owner)) {
        let role = viewer.role_name(super::DATABASE_OWNER);
        rows.push([viewer.role_name(owner), role, yes(false)].into());
    }
    Ok(rows)
}

/// `collations`: those for every encoding and for UTF8.
pub(super) fn collations(viewer: Viewer<'_>) -> Result<Vec<SystemRow>> {
    let schemas = viewer.schemas()?;
    let collations = viewer.source("pg_collation")?;
    let usable = collations.rows().filter(|line| matches!(line.number("collencoding"), -1 | 6));
    let row = |line: super::Line<'_>| {
        let schema = schemas.get(&line.oid("collnamespace")).cloned();
        [
            viewer.database(),
            schema.unwrap_or(Value::Null),
            line.get("collname").clone(),
            text("NO PAD"),
        ]
        .into()
    };
    Ok(usable.map(row).collect())
}
