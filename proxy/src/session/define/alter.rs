//! ALTER TABLE: each action changes the table and gives its shards one or more steps.

use dataman_metadata::change::{Change, Object, ObjectKind as Kind};
use dataman_metadata::schema::{
    Collection, ConstraintKind, Field as Column, FieldDefault, Relation,
};
use dataman_node_protocol::definition::{AlterStep, CollectionShape, Definition};
use dataman_pg::expr::{Expr, Field};
use dataman_pg::{PgError, TypeId};

use super::draft::{Draft, Result, When};
use super::expression::columns_of;
use super::import::refuse_adopted;
use super::name::{quote, relation_word};
use super::shape::{is_identity, type_of};
use crate::parse::syntax::{self, AlterAction, ColumnDefinition, ObjectKind, ObjectName, TypeName};
use crate::plan::bind::{self, Table};

/// The source that the conversion of ALTER COLUMN TYPE names the old record by.
const OLD: &str = "old";

/// A table while it is altered.
pub(super) struct Altered {
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) collection: Collection,
}

impl Draft<'_> {
    pub(super) fn alter_table(
        &mut self,
        name: &ObjectName,
        if_exists: bool,
        actions: &[AlterAction],
    ) -> Result<()> {
        self.tag("ALTER TABLE");
        let Some(found) = self.find_relation(name)? else {
            let message = format!("relation \"{}\" does not exist", name.parts.join("."));
            if if_exists {
                self.notice("00000", format!("{message}, skipping"));
                return Ok(());
            }
            return Err(self.at(PgError::new("42P01", message), name.span));
        };
        let (schema, base) = (found.schema.to_owned(), found.name.to_owned());
        if let [AlterAction::RenameTable(to)] = actions {
            return self.rename_relation(&schema, &base, found.relation, to);
        }
        let Relation::Collection(collection) = found.relation else {
            return Err(PgError::new("42809", format!("\"{base}\" is not a table"))
                .with_detail(format!("It is {}.", article(relation_word(&found.relation)))));
        };
        self.must_own(&collection.owner, ObjectKind::Table, &base)?;
        if !actions.iter().all(|action| matches!(action, AlterAction::OwnerTo(_))) {
            refuse_adopted(collection, &base, "ALTER TABLE")?;
        }
        let mut altered = Altered { schema, name: base, collection: collection.clone() };
        altered.collection.pending.clear();
        for action in actions {
            self.alter_action(&mut altered, action)?;
        }
        let at = self.place(&altered.schema, &altered.name);
        self.change(Change::Replace { at, object: Object::Collection(altered.collection) });
        Ok(())
    }

    fn alter_action(&mut self, table: &mut Altered, action: &AlterAction) -> Result<()> {
        match action {
            AlterAction::AddColumn { if_not_exists, column } => {
                self.alter_add_column(table, *if_not_exists, column)
            }
            AlterAction::DropColumn { name, if_exists, cascade } => {
                self.alter_drop_column(table, name, *if_exists, *cascade)
            }
            AlterAction::RenameColumn { from, to } => self.rename_column(table, from, to),
            AlterAction::RenameTable(_) => {
                Err(PgError::internal("RENAME TO stands alone in a statement"))
            }
            AlterAction::RenameConstraint { from, to } => self.rename_constraint(table, from, to),
            AlterAction::SetDefault { name, default } => {
                self.alter_default(table, name, default.as_ref())
            }
            AlterAction::SetNotNull { name, not_null } => {
                self.alter_not_null(table, name, *not_null)
            }
            AlterAction::SetType { name, ty, using } => {
                self.alter_type(table, name, ty, using.as_ref())
            }
            AlterAction::AddConstraint(constraint) => self.alter_add_constraint(table, constraint),
            AlterAction::DropConstraint { name, if_exists, cascade } => {
                self.alter_drop_constraint(table, name, *if_exists, *cascade)
            }
            AlterAction::OwnerTo(role) => {
                if self.snapshot.role(role).is_none() {
                    return Err(PgError::new("42704", format!("role \"{role}\" does not exist")));
                }
                table.collection.owner.clone_from(role);
                Ok(())
            }
            AlterAction::SetSchema(_) => {
                Err(PgError::unsupported("ALTER TABLE … SET SCHEMA is not supported")
                    .with_hint("Create the table in the other schema and copy its rows."))
            }
        }
    }

    /// Gives the shards of a table one step.
    pub(super) fn alter_step(
        &mut self,
        collection: &Collection,
        step: AlterStep,
        to: CollectionShape,
    ) {
        for shard in self.shards_with(collection) {
            let mut to = to.clone();
            to.target.shard_instance = self.instance(shard.shard);
            self.step(When::Around, shard, Definition::AlterCollection { step: step.clone(), to });
        }
    }

    /// Gives the shards of a table that is altered one step.
    pub(super) fn altered_step(&mut self, table: &Altered, step: AlterStep) -> Result<()> {
        let to = self.shape(&table.schema, &table.name, &table.collection)?;
        self.alter_step(&table.collection, step, to);
        Ok(())
    }

    fn alter_add_column(
        &mut self,
        table: &mut Altered,
        if_not_exists: bool,
        column: &ColumnDefinition,
    ) -> Result<()> {
        let name = &column.name;
        if table.collection.field(name).is_some() {
            let message =
                format!("column \"{name}\" of relation \"{}\" already exists", table.name);
            if if_not_exists {
                self.notice("42701", format!("{message}, skipping"));
                return Ok(());
            }
            return Err(PgError::new("42701", message));
        }
        let before = self.work.changes.len();
        self.add_column(&table.schema, &table.name, &mut table.collection, column)?;
        if self.work.changes.len() > before {
            return Err(PgError::unsupported(
                "adding a SERIAL or IDENTITY column to a table is not supported",
            )
            .with_hint("Add an integer column, and a DEFAULT nextval(…) for new rows; number the old rows with UPDATE."));
        }
        if column.generated.is_some() {
            return Err(PgError::unsupported(
                "adding a generated column to a table is not supported",
            )
            .with_hint("Create the table anew, or compute the value in a view."));
        }
        self.check_column(&table.schema, &table.name, &table.collection, column)?;
        self.check_stored(&table.collection)?;
        let Some(field) = table.collection.field(name).cloned() else {
            return Err(PgError::internal("an added column is missing"));
        };
        let fill = match &column.default {
            None => Expr::null(type_of(&field)),
            Some((expr, _)) => {
                let bound = self.check_default(expr, &field)?;
                match bound {
                    Expr::Const(_) => bound,
                    bound => dataman_pg::eval::fold(&bound).ok_or_else(|| {
                        PgError::unsupported(format!(
                            "adding column \"{name}\" with a default that is not constant is not supported"
                        ))
                        .with_hint(
                            "Add the column without a default, fill it with UPDATE, then ALTER COLUMN … SET DEFAULT.",
                        )
                    })?,
                }
            }
        };
        // A column that existing rows would leave NULL is checked by the shards.
        self.prepare_shards(&table.collection);
        self.altered_step(table, AlterStep::AddField { name: name.clone(), fill })?;
        for constraint in &column.constraints {
            self.alter_add_constraint(table, constraint)?;
        }
        Ok(())
    }

    fn alter_drop_column(
        &mut self,
        table: &mut Altered,
        name: &str,
        if_exists: bool,
        cascade: bool,
    ) -> Result<()> {
        let Some(field) = table.collection.field(name).cloned() else {
            let message =
                format!("column \"{name}\" of relation \"{}\" does not exist", table.name);
            if if_exists {
                self.notice("00000", format!("{message}, skipping"));
                return Ok(());
            }
            return Err(PgError::new("42703", message));
        };
        if table.collection.shard_key().iter().any(|key| key == name) {
            return Err(PgError::unsupported(format!(
                "cannot drop column \"{name}\": it is the shard key"
            ))
            .with_hint("Create a table with another shard key and copy the rows."));
        }
        let shown = self.shown(&table.schema, &table.name);
        let what = format!("column {} of table {shown}", quote(name));
        let mut details = Vec::new();
        let mut next = table.collection.clone();
        next.fields.retain(|field| field.name != name);
        for field in &table.collection.fields {
            if let FieldDefault::Generated(text) = &field.default
                && field.name != name
                && columns_of(text).iter().any(|used| used == name)
            {
                if cascade {
                    return Err(PgError::unsupported(
                        "dropping a generated column by CASCADE is not supported",
                    )
                    .with_hint(format!("Drop column \"{}\" first.", field.name)));
                }
                details.push(format!(
                    "column {} of table {shown} depends on {what}",
                    quote(&field.name)
                ));
            }
        }
        let going: Vec<String> = table
            .collection
            .constraints
            .iter()
            .filter(|constraint| uses(&constraint.kind, name))
            .map(|constraint| constraint.name.clone())
            .collect();
        let mut foreign = Vec::new();
        for (schema, other, collection) in self.database.collections() {
            if (schema, other) == (table.schema.as_str(), table.name.as_str()) {
                continue;
            }
            for constraint in &collection.constraints {
                if let ConstraintKind::ForeignKey { references, references_fields, .. } =
                    &constraint.kind
                    && references.0 == table.schema
                    && references.1 == table.name
                    && references_fields.iter().any(|field| field == name)
                {
                    let shown = self.shown(schema, other);
                    details.push(format!(
                        "constraint {} on table {shown} depends on {what}",
                        quote(&constraint.name)
                    ));
                    foreign.push((schema.to_owned(), other.to_owned(), constraint.name.clone()));
                }
            }
        }
        let views = self.broken_views(&table.schema, &table.name, &next);
        for (schema, view) in &views {
            details.push(format!("view {} depends on {what}", self.shown(schema, view)));
        }
        if !details.is_empty() && !cascade {
            return Err(PgError::new(
                "2BP01",
                format!("cannot drop {what} because other objects depend on it"),
            )
            .with_detail(details.join("\n"))
            .with_hint("Use DROP ... CASCADE to drop the dependent objects too."));
        }
        if let Some((schema, view)) = views.first() {
            return Err(PgError::unsupported(format!(
                "dropping view {} by CASCADE of a column is not supported",
                self.shown(schema, view)
            ))
            .with_hint("Drop the view first."));
        }
        for (schema, other, constraint) in foreign {
            self.notice(
                "00000",
                format!(
                    "drop cascades to constraint {} on table {}",
                    quote(&constraint),
                    self.shown(&schema, &other)
                ),
            );
            self.drop_foreign_key(&schema, &other, &constraint)?;
        }
        for constraint in going {
            table.collection.constraints.retain(|known| known.name != constraint);
            self.altered_step(table, AlterStep::DropConstraint { name: constraint })?;
        }
        table.collection.indexes.retain(|index| {
            !index.keys.iter().any(|key| {
                key.expr == name || columns_of(&key.expr).iter().any(|used| used == name)
            }) && !index.include.iter().any(|included| included == name)
                && !index
                    .filter
                    .as_ref()
                    .is_some_and(|text| columns_of(text).iter().any(|used| used == name))
        });
        table.collection.fields.retain(|field| field.name != name);
        self.altered_step(table, AlterStep::DropField { name: name.to_owned() })?;
        let owned: Vec<(String, String)> = self
            .database
            .schemas
            .iter()
            .flat_map(|(schema, content)| {
                content.sequences.iter().map(move |(name, found)| (schema, name, found))
            })
            .filter(|(_, _, sequence)| {
                sequence.owned_by.as_ref().is_some_and(|owner| {
                    owner.0 == table.schema && owner.1 == table.name && owner.2 == field.name
                })
            })
            .map(|(schema, name, _)| (schema.clone(), name.clone()))
            .collect();
        for (schema, sequence) in owned {
            let at = self.place(&schema, &sequence);
            self.change(Change::Drop { at, kind: Kind::Sequence });
        }
        Ok(())
    }

    /// Drops a foreign key of another table than the one that is altered.
    fn drop_foreign_key(&mut self, schema: &str, table: &str, constraint: &str) -> Result<()> {
        let Some(found) = self.database.collection(schema, table) else { return Ok(()) };
        let mut changed = found.clone();
        changed.constraints.retain(|known| known.name != constraint);
        let to = self.shape(schema, table, &changed)?;
        self.alter_step(&changed, AlterStep::DropConstraint { name: constraint.to_owned() }, to);
        let at = self.place(schema, table);
        self.change(Change::Replace { at, object: Object::Collection(changed) });
        Ok(())
    }

    /// The views that cannot be read any more when a table becomes another one.
    pub(super) fn broken_views(
        &self,
        schema: &str,
        table: &str,
        next: &Collection,
    ) -> Vec<(String, String)> {
        let mut snapshot = (**self.snapshot).clone();
        let place = snapshot
            .databases
            .get_mut(&self.database.id)
            .and_then(|database| database.schemas.get_mut(schema))
            .and_then(|content| content.collections.get_mut(table));
        if let Some(place) = place {
            *place = next.clone();
        }
        let snapshot = std::sync::Arc::new(snapshot);
        let mut broken = Vec::new();
        for (view_schema, content) in &self.database.schemas {
            for (view, found) in &content.views {
                let reads = found.depends.iter().any(|on| on.0 == schema && on.1 == table);
                if reads && !self.can_read(&found.query, &snapshot) {
                    broken.push((view_schema.clone(), view.clone()));
                }
            }
        }
        broken
    }

    fn can_read(
        &self,
        query: &str,
        snapshot: &std::sync::Arc<dataman_metadata::snapshot::Snapshot>,
    ) -> bool {
        let context = crate::plan::PlanContext { snapshot, ..self.plan_context() };
        crate::parse::parse(query).is_ok_and(|parsed| {
            parsed.first().is_some_and(|statement| bind::bind(statement, &[], &context).is_ok())
        })
    }

    fn alter_default(
        &mut self,
        table: &mut Altered,
        name: &str,
        default: Option<&(syntax::Expr, String)>,
    ) -> Result<()> {
        let field = column_of(table, name)?;
        let of = format!("column \"{name}\" of relation \"{}\"", table.name);
        if is_identity(field) {
            let error = PgError::new("42601", format!("{of} is an identity column"));
            return Err(if default.is_none() {
                error.with_hint("Use ALTER TABLE ... ALTER COLUMN ... DROP IDENTITY instead.")
            } else {
                error
            });
        }
        if matches!(field.default, FieldDefault::Generated(_)) {
            let error = PgError::new("42601", format!("{of} is a generated column"));
            return Err(if default.is_none() {
                error.with_hint("Use ALTER TABLE ... ALTER COLUMN ... DROP EXPRESSION instead.")
            } else {
                error
            });
        }
        let next = match default {
            Some((expr, text)) => {
                self.check_default(expr, field)?;
                FieldDefault::Expr(text.clone())
            }
            None => FieldDefault::None,
        };
        column_mut(table, name)?.default = next;
        Ok(())
    }

    fn alter_not_null(&mut self, table: &mut Altered, name: &str, not_null: bool) -> Result<()> {
        let field = column_of(table, name)?;
        if field.not_null == not_null {
            return Ok(());
        }
        if !not_null {
            if is_identity(field) {
                return Err(PgError::new(
                    "42601",
                    format!(
                        "column \"{name}\" of relation \"{}\" is an identity column",
                        table.name
                    ),
                ));
            }
            if table
                .collection
                .primary_key()
                .is_some_and(|key| key.iter().any(|field| field == name))
            {
                return Err(PgError::new(
                    "42P16",
                    format!("column \"{name}\" is in a primary key"),
                ));
            }
            if table.collection.shard_key().iter().any(|key| key == name) {
                return Err(PgError::unsupported(format!(
                    "column \"{name}\" is the shard key and stays NOT NULL"
                ))
                .with_hint("A row without a shard key would have no shard."));
            }
        }
        column_mut(table, name)?.not_null = not_null;
        let name = name.to_owned();
        let step =
            if not_null { AlterStep::SetNotNull { name } } else { AlterStep::DropNotNull { name } };
        self.altered_step(table, step)
    }

    fn alter_type(
        &mut self,
        table: &mut Altered,
        name: &str,
        ty: &TypeName,
        using: Option<&syntax::Expr>,
    ) -> Result<()> {
        let field = column_of(table, name)?.clone();
        let target = self.type_ref(ty)?;
        if table.collection.shard_key().iter().any(|key| key == name) {
            return Err(PgError::unsupported(format!(
                "the type of the shard key \"{name}\" cannot be changed"
            ))
            .with_hint("Create a table with the other type and copy the rows."));
        }
        self.check_not_in_global_key(&table.collection, name)?;
        if matches!(field.default, FieldDefault::Generated(_))
            || used_by_generated(&table.collection, name)
        {
            return Err(PgError::unsupported(
                "cannot alter type of a column used by a generated column",
            )
            .with_detail(format!("Column \"{name}\" is used by a generated column.")));
        }
        let reads = self.database.schemas.iter().flat_map(|(schema, content)| {
            content.views.iter().map(move |(name, view)| (schema, name, view))
        });
        for (schema, view, found) in reads {
            if found.depends.iter().any(|on| on.0 == table.schema && on.1 == table.name) {
                return Err(PgError::unsupported(
                    "cannot alter type of a column used by a view or rule",
                )
                .with_detail(format!("view {} depends on the table", self.shown(schema, view)))
                .with_hint("Drop the view and create it again."));
            }
        }
        let in_foreign_key = self.database.collections().any(|(schema, other, collection)| {
            collection.constraints.iter().any(|constraint| match &constraint.kind {
                ConstraintKind::ForeignKey { fields, references, references_fields, .. } => {
                    let own = schema == table.schema && other == table.name;
                    let to = references.0 == table.schema && references.1 == table.name;
                    (own && fields.iter().any(|field| field == name))
                        || (to && references_fields.iter().any(|field| field == name))
                }
                _ => false,
            })
        });
        if in_foreign_key {
            return Err(PgError::unsupported(
                "changing the type of a column in a foreign key is not supported",
            )
            .with_hint("Drop the foreign key, change both columns, and add it again."));
        }
        let mut changed = field.clone();
        changed.type_oid = target.id.0;
        changed.typmod = target.typmod;
        let given = using.is_some();
        let old = match using {
            Some(expr) => {
                let over = Table {
                    schema: table.schema.clone(),
                    name: table.name.clone(),
                    collection: table.collection.clone(),
                };
                bind::bind_over_collection(
                    expr,
                    self.text,
                    Some((&over, OLD)),
                    &self.plan_context(),
                )?
            }
            None => Expr::Field(Field {
                source: OLD.to_owned(),
                name: name.to_owned(),
                ty: type_of(&field),
            }),
        };
        let using = bind::assign_to_column(old, &changed, &self.plan_context()).map_err(|error| {
            if error.sqlstate() != "42804" {
                return error;
            }
            let ty = self.type_text(target);
            if using.is_some() {
                PgError::new(
                    "42804",
                    format!("result of USING clause for column \"{name}\" cannot be cast automatically to type {ty}"),
                )
                .with_hint("You might need to add an explicit cast.")
            } else {
                PgError::new("42804", format!("column \"{name}\" cannot be cast automatically to type {ty}"))
                    .with_hint(format!("You might need to specify \"USING {}::{ty}\".", quote(name)))
            }
        })?;
        if let FieldDefault::Expr(text) = &field.default {
            let expr = crate::parse::parse_expression(text)?;
            let bound = bind::bind_over_collection(&expr, text, None, &self.plan_context())?;
            bind::assign_to_column(bound, &changed, &self.plan_context()).map_err(|_| {
                PgError::new(
                    "42804",
                    format!(
                        "default for column \"{name}\" cannot be cast automatically to type {}",
                        self.type_text(target)
                    ),
                )
            })?;
        }
        if field.default.sequence().is_some()
            && !matches!(target.id, TypeId::INT2 | TypeId::INT4 | TypeId::INT8)
        {
            return Err(PgError::new(
                "22023",
                "identity column type must be smallint, integer, or bigint",
            ));
        }
        if type_of(&field) == target {
            // A shard knows a change that was made already by its shape, which would stay the same.
            if given {
                return Err(PgError::unsupported(format!(
                    "converting column \"{name}\" to the type that it has is not supported"
                ))
                .with_hint("Use UPDATE."));
            }
            return Ok(());
        }
        // Checks over the column go before it changes and are asked anew after it.
        let checks: Vec<_> = table
            .collection
            .constraints
            .iter()
            .filter(|known| {
                matches!(known.kind, ConstraintKind::Check { .. }) && uses(&known.kind, name)
            })
            .map(|known| known.name.clone())
            .collect();
        let constraints = table.collection.constraints.clone();
        for check in &checks {
            table.collection.constraints.retain(|known| known.name != *check);
            self.altered_step(table, AlterStep::DropConstraint { name: check.clone() })?;
        }
        *column_mut(table, name)? = changed;
        self.check_stored(&table.collection)?;
        self.prepare_shards(&table.collection);
        self.altered_step(table, AlterStep::FieldType { name: name.to_owned(), using })?;
        for (place, check) in checks.iter().enumerate() {
            let missing = &checks[place + 1..];
            table.collection.constraints = constraints
                .iter()
                .filter(|known| !missing.contains(&known.name))
                .cloned()
                .collect();
            self.altered_step(table, AlterStep::AddConstraint { name: check.clone() })?;
        }
        Ok(())
    }

    fn alter_add_constraint(
        &mut self,
        table: &mut Altered,
        constraint: &syntax::TableConstraint,
    ) -> Result<()> {
        let before = table.collection.clone();
        let name =
            self.add_constraint(&table.schema, &table.name, &mut table.collection, constraint)?;
        self.check_unique_placement(&table.name, &table.collection)?;
        let Some(name) = name else { return Ok(()) };
        // The columns of a primary key become NOT NULL first.
        let after = std::mem::replace(&mut table.collection, before);
        for place in 0..after.fields.len() {
            if after.fields[place].not_null && !table.collection.fields[place].not_null {
                table.collection.fields[place].not_null = true;
                let name = after.fields[place].name.clone();
                self.altered_step(table, AlterStep::SetNotNull { name })?;
            }
        }
        table.collection = after;
        self.make_unique_key((&table.schema, &table.name), &table.collection, &name, When::Around);
        self.altered_step(table, AlterStep::AddConstraint { name })
    }

    fn alter_drop_constraint(
        &mut self,
        table: &mut Altered,
        name: &str,
        if_exists: bool,
        cascade: bool,
    ) -> Result<()> {
        let Some(constraint) = table.collection.constraint(name).cloned() else {
            let message =
                format!("constraint \"{name}\" of relation \"{}\" does not exist", table.name);
            if if_exists {
                self.notice("00000", format!("{message}, skipping"));
                return Ok(());
            }
            return Err(PgError::new("42704", message));
        };
        let mut next = table.collection.clone();
        next.constraints.retain(|known| known.name != name);
        let what = format!(
            "constraint {} on table {}",
            quote(name),
            self.shown(&table.schema, &table.name)
        );
        let mut foreign = Vec::new();
        if constraint.kind.has_index() {
            for (schema, other, collection) in self.database.collections() {
                for known in &collection.constraints {
                    let ConstraintKind::ForeignKey { references, references_fields, .. } =
                        &known.kind
                    else {
                        continue;
                    };
                    if references.0 != table.schema || references.1 != table.name {
                        continue;
                    }
                    let mut wanted: Vec<&str> =
                        references_fields.iter().map(String::as_str).collect();
                    wanted.sort_unstable();
                    let still = next.unique_keys().any(|mut key| {
                        key.sort_unstable();
                        key == wanted
                    });
                    if !still {
                        foreign.push((schema.to_owned(), other.to_owned(), known.name.clone()));
                    }
                }
            }
        }
        if !foreign.is_empty() && !cascade {
            let details: Vec<String> = foreign
                .iter()
                .map(|(schema, other, known)| {
                    let shown = self.shown(schema, other);
                    format!(
                        "constraint {} on table {shown} depends on index {}",
                        quote(known),
                        quote(name)
                    )
                })
                .collect();
            return Err(PgError::new(
                "2BP01",
                format!("cannot drop {what} because other objects depend on it"),
            )
            .with_detail(details.join("\n"))
            .with_hint("Use DROP ... CASCADE to drop the dependent objects too."));
        }
        for (schema, other, known) in foreign {
            self.notice(
                "00000",
                format!(
                    "drop cascades to constraint {} on table {}",
                    quote(&known),
                    self.shown(&schema, &other)
                ),
            );
            if schema == table.schema && other == table.name {
                table.collection.constraints.retain(|constraint| constraint.name != known);
                self.altered_step(table, AlterStep::DropConstraint { name: known })?;
            } else {
                self.drop_foreign_key(&schema, &other, &known)?;
            }
        }
        table.collection.constraints.retain(|known| known.name != name);
        self.altered_step(table, AlterStep::DropConstraint { name: name.to_owned() })
    }
}

fn article(word: &str) -> String {
    if word == "index" { format!("an {word}") } else { format!("a {word}") }
}

/// Whether a constraint is about a column.
fn uses(kind: &ConstraintKind, name: &str) -> bool {
    match kind {
        ConstraintKind::PrimaryKey { fields }
        | ConstraintKind::Unique { fields, .. }
        | ConstraintKind::ForeignKey { fields, .. } => fields.iter().any(|field| field == name),
        ConstraintKind::Check { expr } => columns_of(expr).iter().any(|used| used == name),
    }
}

fn used_by_generated(collection: &Collection, name: &str) -> bool {
    collection.fields.iter().any(|field| match &field.default {
        FieldDefault::Generated(text) => columns_of(text).iter().any(|used| used == name),
        _ => false,
    })
}

/// A column of the table that is altered.
pub(super) fn column_of<'t>(table: &'t Altered, name: &str) -> Result<&'t Column> {
    table.collection.field(name).ok_or_else(|| {
        PgError::new(
            "42703",
            format!("column \"{name}\" of relation \"{}\" does not exist", table.name),
        )
    })
}

fn column_mut<'t>(table: &'t mut Altered, name: &str) -> Result<&'t mut Column> {
    let relation = table.name.clone();
    table.collection.fields.iter_mut().find(|field| field.name == name).ok_or_else(|| {
        PgError::new(
            "42703",
            format!("column \"{name}\" of relation \"{relation}\" does not exist"),
        )
    })
}
