//! What drivers share that carry out definitions themselves: how shapes change, and PostgreSQL's words for what records forbid.

use dataman_node_protocol::NodeError;
use dataman_node_protocol::definition::{
    CollectionShape, ConstraintKind, ConstraintShape, FieldShape,
};
use dataman_node_protocol::query::Target;

use super::user_name;

/// Whether two shapes are the same but for the database's name, which only messages show.
pub(crate) fn same_shape(left: &CollectionShape, right: &CollectionShape) -> bool {
    left.fields == right.fields
        && left.constraints == right.constraints
        && left.indexes == right.indexes
        && left.label == right.label
        && left.target.collection == right.target.collection
}

/// `42P01` for a collection that is not there.
pub(crate) fn missing(target: &Target) -> NodeError {
    let name = user_name(&target.collection).1;
    NodeError::statement("42P01", format!("relation \"{name}\" does not exist"))
}

/// Finds a field of a shape.
///
/// # Errors
/// `42703`.
pub(crate) fn field_of<'s>(
    shape: &'s CollectionShape,
    name: &str,
) -> Result<&'s FieldShape, NodeError> {
    shape.fields.iter().find(|field| field.name == name).ok_or_else(|| {
        NodeError::statement(
            "42703",
            format!("column \"{name}\" of relation \"{}\" does not exist", shape.label),
        )
    })
}

/// Finds a constraint of a shape.
///
/// # Errors
/// `42704`.
pub(crate) fn constraint_of<'s>(
    shape: &'s CollectionShape,
    name: &str,
) -> Result<&'s ConstraintShape, NodeError> {
    shape.constraints.iter().find(|constraint| constraint.name == name).ok_or_else(|| {
        NodeError::statement(
            "42704",
            format!("constraint \"{name}\" of relation \"{}\" does not exist", shape.label),
        )
    })
}

/// Points foreign keys to a collection's new name.
pub(crate) fn point_to(shape: &mut CollectionShape, from: &str, to: &CollectionShape) {
    for constraint in &mut shape.constraints {
        if let ConstraintKind::ForeignKey { references, references_label, .. } =
            &mut constraint.kind
            && references == from
        {
            references.clone_from(&to.target.collection);
            references_label.clone_from(&to.label);
        }
    }
}

/// Names a field anew in the foreign keys that refer to it.
pub(crate) fn rename_referred(shape: &mut CollectionShape, target: &Target, from: &str, to: &str) {
    for constraint in &mut shape.constraints {
        if let ConstraintKind::ForeignKey { references, references_fields, .. } =
            &mut constraint.kind
            && *references == target.collection
        {
            for field in references_fields.iter_mut().filter(|field| *field == from) {
                to.clone_into(field);
            }
        }
    }
}

/// Tests that a collection that refers to one of those to be emptied is among them; `referring` are the shapes that refer to the
/// one of `shape`.
///
/// # Errors
/// `0A000`.
pub(crate) fn check_truncated<'s>(
    shape: &CollectionShape,
    referring: impl Iterator<Item = &'s CollectionShape>,
    targets: &[Target],
) -> Result<(), NodeError> {
    let named = |name: &str| targets.iter().any(|target| target.collection == name);
    for child in referring {
        if !named(&child.target.collection) {
            return Err(NodeError::statement(
                "0A000",
                "cannot truncate a table referenced in a foreign key constraint",
            )
            .with_detail(format!("Table \"{}\" references \"{}\".", child.label, shape.label))
            .with_hint(format!(
                "Truncate table \"{}\" at the same time, or use TRUNCATE ... CASCADE.",
                child.label
            )));
        }
    }
    Ok(())
}

/// `23502`: records lack what a field is to have.
pub(crate) fn contains_nulls(shape: &CollectionShape, field: &str) -> NodeError {
    let mut error = NodeError::statement(
        "23502",
        format!("column \"{field}\" of relation \"{}\" contains null values", shape.label),
    );
    error.object.table = Some(shape.label.clone());
    error.object.column = Some(field.to_owned());
    error
}

/// `23514`: a record fails a CHECK that is to hold.
pub(crate) fn violated_by_some_row(shape: &CollectionShape, constraint: &str) -> NodeError {
    let mut error = NodeError::statement(
        "23514",
        format!(
            "check constraint \"{constraint}\" of relation \"{}\" is violated by some row",
            shape.label
        ),
    );
    error.object.table = Some(shape.label.clone());
    error.object.constraint = Some(constraint.to_owned());
    error
}

/// `23503`: a record refers to one that is not there; `key` is `Key (a)=(1)`.
pub(crate) fn lacks_key(
    shape: &CollectionShape,
    constraint: &str,
    key: &str,
    parent: &str,
) -> NodeError {
    let label = &shape.label;
    let mut error = NodeError::statement(
        "23503",
        format!(
            "insert or update on table \"{label}\" violates foreign key constraint \"{constraint}\""
        ),
    )
    .with_detail(format!("{key} is not present in table \"{parent}\"."));
    error.object.table = Some(label.clone());
    error.object.constraint = Some(constraint.to_owned());
    error
}

/// `23505`: records are alike in what is to be unique.
pub(crate) fn not_unique(shape: &CollectionShape, index: &str) -> NodeError {
    let mut error =
        NodeError::statement("23505", format!("could not create unique index \"{index}\""));
    error.object.table = Some(shape.label.clone());
    error.object.constraint = Some(index.to_owned());
    error
}
