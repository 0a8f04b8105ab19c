//! What a shard instance holds, kept in a collection of the instance itself.

use dataman_node_protocol::NodeError;
use dataman_pg::value::Value;
use mongodb::bson::Document;
use mongodb::bson::oid::ObjectId;

use super::adopted;
use super::layout::{self, Layout, Place};
use crate::driver::kept::catalogue as kept;
use crate::driver::kept::{Store, catalogue};

/// How MongoDB keeps collections.
#[derive(Debug)]
pub(super) enum Mongodb {}

impl Store for Mongodb {
    const ENGINE: &'static str = "MongoDB";
    type Id = ObjectId;
    type Layout = Layout;

    fn indexes(layout: &Layout) -> &[catalogue::Index] {
        &layout.indexes
    }
}

pub(super) use crate::driver::kept::catalogue::Unique;

pub(super) type Body = kept::Body<Layout>;
pub(super) type Catalogue = kept::Catalogue<Mongodb>;
pub(super) type Collection = kept::Collection<Mongodb>;

impl Collection {
    /// Where a field lies.
    pub(super) fn field(&self, name: &str) -> Option<&Place> {
        self.place(name).and_then(|place| self.layout.fields.get(place))
    }

    /// Its database: the instance's, or the one in which it was found.
    pub(super) fn database(&self) -> String {
        if let Some(adopted) = adopted::of(self) {
            return adopted.database.clone();
        }
        layout::instance_name(&self.shape.target.shard_instance)
    }

    /// Where it lies, by the database's and its name there.
    pub(super) fn place_name(&self) -> String {
        format!("{}.{}", self.database(), self.layout.collection)
    }

    /// The record that a document holds.
    ///
    /// # Errors
    /// A field whose value is not of its type.
    pub(super) fn record(
        &self,
        document: &Document,
        catalogue: &Catalogue,
    ) -> Result<Vec<Value>, NodeError> {
        if let Some(adopted) = adopted::of(self) {
            let places = 0..self.shape.fields.len();
            return places.map(|place| adopted::read(self, adopted, place, document)).collect();
        }
        let fields = self.layout.fields.iter().zip(&self.shape.fields);
        fields
            .map(|(place, field)| match document.get(&place.path) {
                Some(bson) => super::value::load(bson, field.ty.id, catalogue),
                None => Ok(Value::Null),
            })
            .collect()
    }
}
