//! CREATE TABLE, CREATE TABLE AS.

use dataman_metadata::change::{Change, Object};
use dataman_metadata::id::{CollectionId, ShardId};
use dataman_metadata::schema::{Collection, Field, FieldDefault, Placement};
use dataman_node_protocol::definition::Definition;
use dataman_pg::{PgError, TypeId};

use super::column::check_column_name;
use super::draft::{Draft, Result, When};
use super::name::quote;
use super::options::Options;
use crate::parse::syntax::{
    CreateTable, ObjectName, ParsedStatement, Select, Statement, TableConstraint,
};

impl Draft<'_> {
    pub(super) fn create_table(&mut self, create: &CreateTable) -> Result<()> {
        self.tag("CREATE TABLE");
        if create.temporary {
            return Err(PgError::unsupported("temporary tables are not supported")
                .with_hint("Create an ordinary table and drop it after use."));
        }
        let (schema, name) = self.new_place(&create.name)?;
        let options = Options::read(&create.options)?;
        let datastore = self.datastore_for(&options)?;
        if self.taken(&schema, &name, create.if_not_exists)? {
            return Ok(());
        }
        self.check_type_free(&schema, &name)?;
        let mut collection = self.empty_collection(datastore);
        for column in &create.columns {
            self.add_column(&schema, &name, &mut collection, column)?;
        }
        self.place_collection(&mut collection, &options)?;
        for column in &create.columns {
            self.check_column(&schema, &name, &collection, column)?;
        }
        let constraints: Vec<&TableConstraint> = create
            .columns
            .iter()
            .flat_map(|column| &column.constraints)
            .chain(&create.constraints)
            .collect();
        self.add_constraints(&schema, &name, &mut collection, &constraints)?;
        self.check_unique_placement(&name, &collection)?;
        self.make_table(&schema, &name, collection)
    }

    pub(super) fn empty_collection(
        &self,
        datastore: dataman_metadata::id::DatastoreId,
    ) -> Collection {
        Collection {
            // The real one comes last, as PostgreSQL's do not matter here and a refused statement uses none.
            id: CollectionId(0),
            datastore,
            placement: Placement::Single { shard: ShardId(0) },
            fields: vec![],
            constraints: vec![],
            indexes: vec![],
            pending: vec![],
            next_field_number: 1,
            comment: None,
            owner: self.facts.user.to_owned(),
            adopted: None,
        }
    }

    /// A table's row type shares its name with types.
    pub(super) fn check_type_free(&self, schema: &str, name: &str) -> Result<()> {
        if self.database.enum_type(schema, name).is_none() {
            return Ok(());
        }
        Err(PgError::new("42710", format!("type \"{name}\" already exists")).with_hint(
            "A relation has an associated type of the same name, so you must use a name that doesn't conflict with any \
             existing type.",
        ))
    }

    fn make_table(&mut self, schema: &str, name: &str, mut collection: Collection) -> Result<()> {
        collection.id = self.oids.collection();
        self.check_stored(&collection)?;
        self.prepare_shards(&collection);
        let shape = self.shape(schema, name, &collection)?;
        for shard in self.shards_with(&collection) {
            let mut shape = shape.clone();
            shape.target.shard_instance = self.instance(shard.shard);
            // What a statement that was cut short has left there is not known to the metadata, and goes.
            self.step(
                When::Before,
                shard.clone(),
                Definition::DropCollection(shape.target.clone()),
            );
            self.step(When::Before, shard, Definition::CreateCollection(shape));
        }
        let at = self.place(schema, name);
        // A sequence is made before the table whose column takes numbers from it.
        self.change(Change::Create { at, object: Object::Collection(collection) });
        Ok(())
    }

    pub(super) fn create_table_as(
        &mut self,
        name: &ObjectName,
        if_not_exists: bool,
        columns: &[String],
        options: &[(String, String)],
        query: &Select,
        no_data: bool,
    ) -> Result<()> {
        let (schema, table) = self.new_place(name)?;
        self.tag("CREATE TABLE AS");
        let options = Options::read(options)?;
        let datastore = self.datastore_for(&options)?;
        if self.taken(&schema, &table, if_not_exists)? {
            return Ok(());
        }
        self.check_type_free(&schema, &table)?;
        let statement = ParsedStatement {
            text: self.text.to_owned(),
            offset: 0,
            statement: Statement::Select(Box::new(query.clone())),
        };
        let plan = crate::plan::plan(&statement, &[], &self.plan_context())?;
        let found = plan.columns.clone().unwrap_or_default();
        if columns.len() > found.len() {
            return Err(PgError::new("42601", "too many column names were specified"));
        }
        let mut collection = self.empty_collection(datastore);
        for (place, column) in found.iter().enumerate() {
            let name = columns.get(place).unwrap_or(&column.name);
            check_column_name(name)?;
            if collection.field(name).is_some() {
                return Err(PgError::new(
                    "42701",
                    format!("column \"{name}\" specified more than once"),
                ));
            }
            let ty = if column.ty.id == TypeId::UNKNOWN { TypeId::TEXT.into() } else { column.ty };
            let number = collection.next_field_number;
            collection.next_field_number = number.saturating_add(1);
            collection.fields.push(Field {
                name: name.clone(),
                number,
                type_oid: ty.id.0,
                typmod: ty.typmod,
                not_null: false,
                default: FieldDefault::None,
                comment: None,
            });
        }
        self.place_collection(&mut collection, &options)?;
        self.make_table(&schema, &table, collection)?;
        if !no_data {
            let query = self.query_text();
            self.work.fill =
                Some(format!("INSERT INTO {}.{} {query}", quote(&schema), quote(&table)));
        }
        Ok(())
    }

    /// The query's text of a CREATE TABLE AS: what follows the first AS outside parentheses, without WITH DATA.
    fn query_text(&self) -> String {
        let text = crate::parse::query_of_create_table_as(self.text);
        text.unwrap_or_default().to_owned()
    }
}
