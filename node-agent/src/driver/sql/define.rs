//! Definitions as PostgreSQL's DDL.

use dataman_node_protocol::NodeError;
use dataman_node_protocol::definition::{
    AlterStep, CollectionShape, ConstraintKind, ConstraintShape, Definition, FieldShape,
    ForeignKeyAction, IndexShape, Maintenance,
};
use dataman_node_protocol::query::Target;
use dataman_pg::Expr;

use super::expr::type_name;
use super::{Dialect, Lowering, constraint_name, literal, quoted};

/// The source that a definition's expressions read.
pub const RECORD: &str = "record";
/// The source that the conversion of a field's type reads.
pub const OLD: &str = "old";

/// Lowers a definition to PostgreSQL statements, to be run in order in one transaction. Each may be repeated without harm.
///
/// # Errors
/// `0A000` for an expression that cannot be written, or a step that its shape does not bear out.
pub fn lower_definition(definition: &Definition) -> Result<Vec<String>, NodeError> {
    Ok(match definition {
        Definition::CreateInstance { shard_instance } => {
            vec![format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(shard_instance))]
        }
        Definition::DropInstance { shard_instance } => {
            vec![format!("DROP SCHEMA IF EXISTS {} CASCADE", quoted(shard_instance))]
        }
        Definition::CreateEnum { shard_instance, name, labels } => {
            let labels: Vec<String> = labels.iter().map(|label| literal(label)).collect();
            let create = format!(
                "CREATE TYPE {}.{} AS ENUM ({})",
                quoted(shard_instance),
                quoted(name),
                labels.join(", ")
            );
            vec![if_absent(&create, "duplicate_object")]
        }
        Definition::DropEnum { shard_instance, name } => {
            vec![format!("DROP TYPE IF EXISTS {}.{}", quoted(shard_instance), quoted(name))]
        }
        Definition::CreateCollection(shape) => create_collection(shape)?,
        Definition::DropCollection(target) => {
            vec![format!("DROP TABLE IF EXISTS {}", table(target))]
        }
        Definition::AlterCollection { step, to } => alter(step, to)?,
        Definition::CreateIndex { target, index } => vec![create_index(target, index)?],
        Definition::DropIndex { target, name } => vec![format!(
            "DROP INDEX IF EXISTS {}.{}",
            quoted(&target.shard_instance),
            quoted(name)
        )],
        // The table is there, and stays.
        Definition::Adopt { .. } | Definition::Release(_) => Vec::new(),
        Definition::Truncate(targets) => {
            let tables: Vec<String> = targets.iter().map(table).collect();
            vec![format!("TRUNCATE {}", tables.join(", "))]
        }
        Definition::Note { shard_instance, work, keep } => note(shard_instance, work, keep),
        Definition::Maintain(maintenance) => vec![maintain(maintenance)],
    })
}

/// The table of notes: in no collection's physical name does anything but a number follow a percent sign.
const NOTES: &str = "%notes";

fn note(shard_instance: &str, work: &str, keep: &[String]) -> Vec<String> {
    let table = format!("{}.{}", quoted(shard_instance), quoted(NOTES));
    let keep: Vec<String> = keep.iter().map(|work| literal(work)).collect();
    vec![
        format!(
            "CREATE TABLE IF NOT EXISTS {table} (work text PRIMARY KEY, noted timestamptz NOT NULL DEFAULT now())"
        ),
        format!(
            "DELETE FROM {table} WHERE noted < now() - interval '1 day' AND work <> ALL (ARRAY[{}]::text[])",
            keep.join(", ")
        ),
        format!("INSERT INTO {table} (work) VALUES ({})", literal(work)),
    ]
}

fn table(target: &Target) -> String {
    if let Some(adopted) = &target.adopted {
        return format!("{}.{}", quoted(&adopted.namespace), quoted(&adopted.name));
    }
    format!("{}.{}", quoted(&target.shard_instance), quoted(&target.collection))
}

fn maintain(maintenance: &Maintenance) -> String {
    let mut options = maintenance.options.clone();
    if maintenance.vacuum && maintenance.analyze {
        options.push("ANALYZE".to_owned());
    }
    let options = match options.as_slice() {
        [] => String::new(),
        options => format!(" ({})", options.join(", ")),
    };
    let tables: Vec<String> = maintenance
        .targets
        .iter()
        .map(|one| {
            let fields: Vec<String> = one.fields.iter().map(|field| quoted(field)).collect();
            match fields.as_slice() {
                [] => table(&one.target),
                fields => format!("{} ({})", table(&one.target), fields.join(", ")),
            }
        })
        .collect();
    let verb = if maintenance.vacuum { "VACUUM" } else { "ANALYZE" };
    format!("{verb}{options} {}", tables.join(", "))
}

/// Runs a statement and takes the named failure for "it is there already".
fn if_absent(statement: &str, condition: &str) -> String {
    let body = format!("BEGIN {statement}; EXCEPTION WHEN {condition} THEN NULL; END");
    format!("DO {}", literal(&body))
}

fn create_collection(shape: &CollectionShape) -> Result<Vec<String>, NodeError> {
    let mut parts = Vec::new();
    for field in &shape.fields {
        parts.push(column(field, &shape.target)?);
    }
    for constraint in &shape.constraints {
        parts.push(self::constraint(constraint, &shape.target)?);
    }
    let mut statements =
        vec![format!("CREATE TABLE IF NOT EXISTS {} ({})", table(&shape.target), parts.join(", "))];
    for index in &shape.indexes {
        statements.push(create_index(&shape.target, index)?);
    }
    Ok(statements)
}

fn column(field: &FieldShape, target: &Target) -> Result<String, NodeError> {
    let mut out = format!("{} {}", quoted(&field.name), column_type(field, target)?);
    if field.not_null {
        out.push_str(" NOT NULL");
    }
    Ok(out)
}

fn column_type(field: &FieldShape, target: &Target) -> Result<String, NodeError> {
    if let Some((name, _)) = &field.enum_labels {
        return Ok(format!("{}.{}", quoted(&target.shard_instance), quoted(name)));
    }
    let name = type_name(field.ty).ok_or_else(|| {
        NodeError::unsupported(format!("the type of field \"{}\" is not known", field.name))
    })?;
    // Text compares by bytes everywhere in dataman.
    let collatable =
        dataman_pg::catalog::type_by_id(field.ty.id).is_some_and(|found| found.category == 'S');
    Ok(
        if collatable
            && field.ty.id != dataman_pg::TypeId::NAME
            && field.ty.id != dataman_pg::TypeId::CHAR
        {
            format!("{name} COLLATE \"C\"")
        } else {
            name
        },
    )
}

fn constraint(constraint: &ConstraintShape, target: &Target) -> Result<String, NodeError> {
    let name = quoted(&constraint_name(&target.collection, &constraint.name));
    Ok(match &constraint.kind {
        ConstraintKind::PrimaryKey { fields } => {
            format!("CONSTRAINT {name} PRIMARY KEY ({})", names(fields))
        }
        ConstraintKind::Unique { fields, nulls_not_distinct } => format!(
            "CONSTRAINT {name} UNIQUE {}({})",
            if *nulls_not_distinct { "NULLS NOT DISTINCT " } else { "" },
            names(fields)
        ),
        ConstraintKind::Check { expr } => {
            format!("CONSTRAINT {name} CHECK ({})", expression(expr, RECORD)?)
        }
        ConstraintKind::ForeignKey {
            fields,
            references,
            references_fields,
            on_delete,
            on_update,
            ..
        } => format!(
            "CONSTRAINT {name} FOREIGN KEY ({}) REFERENCES {}.{} ({}) ON DELETE {} ON UPDATE {}",
            names(fields),
            quoted(&target.shard_instance),
            quoted(references),
            names(references_fields),
            action(*on_delete),
            action(*on_update)
        ),
    })
}

fn action(action: ForeignKeyAction) -> &'static str {
    match action {
        ForeignKeyAction::NoAction => "NO ACTION",
        ForeignKeyAction::Restrict => "RESTRICT",
        ForeignKeyAction::Cascade => "CASCADE",
        ForeignKeyAction::SetNull => "SET NULL",
        ForeignKeyAction::SetDefault => "SET DEFAULT",
    }
}

fn names(fields: &[String]) -> String {
    fields.iter().map(|field| quoted(field)).collect::<Vec<_>>().join(", ")
}

/// An expression over one record, whose fields stand without a qualifier.
fn expression(expr: &Expr, source: &str) -> Result<String, NodeError> {
    let mut lowering = Lowering::new(Dialect::Postgres).with_bare(source);
    lowering.expr(expr)?;
    Ok(lowering.out)
}

fn create_index(target: &Target, index: &IndexShape) -> Result<String, NodeError> {
    let mut keys = Vec::new();
    for key in &index.keys {
        keys.push(format!(
            "({}){}{}",
            expression(&key.expr, RECORD)?,
            if key.descending { " DESC" } else { " ASC" },
            if key.nulls_first { " NULLS FIRST" } else { " NULLS LAST" }
        ));
    }
    // Only B-trees have an order to ask for.
    if !matches!(index.method.as_str(), "" | "btree") {
        keys = index
            .keys
            .iter()
            .map(|key| Ok(format!("({})", expression(&key.expr, RECORD)?)))
            .collect::<Result<_, NodeError>>()?;
    }
    let mut out = format!(
        "CREATE {}INDEX IF NOT EXISTS {} ON {} USING {} ({})",
        if index.unique { "UNIQUE " } else { "" },
        quoted(&index.name),
        table(target),
        if index.method.is_empty() { "btree".to_owned() } else { quoted(&index.method) },
        keys.join(", ")
    );
    if !index.include.is_empty() {
        out.push_str(&format!(" INCLUDE ({})", names(&index.include)));
    }
    if index.nulls_not_distinct {
        out.push_str(" NULLS NOT DISTINCT");
    }
    if let Some(filter) = &index.filter {
        out.push_str(&format!(" WHERE {}", expression(filter, RECORD)?));
    }
    Ok(out)
}

fn alter(step: &AlterStep, to: &CollectionShape) -> Result<Vec<String>, NodeError> {
    let target = &to.target;
    let alter = format!("ALTER TABLE {}", table(target));
    let field = |name: &str| {
        to.fields
            .iter()
            .find(|field| field.name == name)
            .ok_or_else(|| NodeError::unsupported(format!("the shape has no field \"{name}\"")))
    };
    Ok(match step {
        AlterStep::RenameCollection { from } => {
            let from = Target { collection: from.clone(), ..target.clone() };
            vec![if_absent(
                &format!("ALTER TABLE {} RENAME TO {}", table(&from), quoted(&target.collection)),
                "undefined_table",
            )]
        }
        AlterStep::AddField { name, fill } => {
            let shape = field(name)?;
            let mut add = format!(
                "{alter} ADD COLUMN IF NOT EXISTS {} {}",
                quoted(name),
                column_type(shape, target)?
            );
            // The constant fills existing records and does not stay: dataman itself knows the defaults.
            let filled = !matches!(fill, Expr::Const(constant) if constant.value.is_null());
            if filled {
                add.push_str(&format!(" DEFAULT ({})", expression(fill, RECORD)?));
            }
            if shape.not_null {
                add.push_str(" NOT NULL");
            }
            let mut statements = vec![add];
            if filled {
                statements.push(format!("{alter} ALTER COLUMN {} DROP DEFAULT", quoted(name)));
            }
            statements
        }
        AlterStep::DropField { name } => {
            vec![format!("{alter} DROP COLUMN IF EXISTS {} CASCADE", quoted(name))]
        }
        AlterStep::RenameField { from, to } => vec![if_absent(
            &format!("{alter} RENAME COLUMN {} TO {}", quoted(from), quoted(to)),
            "undefined_column",
        )],
        AlterStep::FieldType { name, using } => vec![format!(
            "{alter} ALTER COLUMN {} TYPE {} USING {}",
            quoted(name),
            column_type(field(name)?, target)?,
            expression(using, OLD)?
        )],
        AlterStep::SetNotNull { name } => {
            vec![format!("{alter} ALTER COLUMN {} SET NOT NULL", quoted(name))]
        }
        AlterStep::DropNotNull { name } => {
            vec![format!("{alter} ALTER COLUMN {} DROP NOT NULL", quoted(name))]
        }
        AlterStep::AddConstraint { name } => {
            let shape =
                to.constraints.iter().find(|constraint| constraint.name == *name).ok_or_else(
                    || NodeError::unsupported(format!("the shape has no constraint \"{name}\"")),
                )?;
            let condition = match shape.kind {
                ConstraintKind::PrimaryKey { .. } => {
                    "duplicate_object OR duplicate_table OR invalid_table_definition"
                }
                _ => "duplicate_object OR duplicate_table",
            };
            vec![if_absent(&format!("{alter} ADD {}", constraint(shape, target)?), condition)]
        }
        AlterStep::DropConstraint { name } => {
            let name = constraint_name(&target.collection, name);
            vec![format!("{alter} DROP CONSTRAINT IF EXISTS {}", quoted(&name))]
        }
        AlterStep::RenameConstraint { from, to } => {
            let (from, to) = (
                constraint_name(&target.collection, from),
                constraint_name(&target.collection, to),
            );
            vec![if_absent(
                &format!("{alter} RENAME CONSTRAINT {} TO {}", quoted(&from), quoted(&to)),
                "undefined_object",
            )]
        }
    })
}
