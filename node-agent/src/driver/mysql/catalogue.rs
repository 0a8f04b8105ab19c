//! What a shard instance holds, kept in a table of the instance itself.

use super::layout::{self, Column, Layout};
use crate::driver::kept::catalogue as kept;
use crate::driver::kept::{Store, catalogue};

/// The catalogue's table.
pub(super) const TABLE: &str = "dataman_collection";

/// Its columns. `name` is the collection's physical name, as bytes.
pub(super) const COLUMNS: &str = "id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, \
     name VARBINARY(255) NOT NULL UNIQUE, body LONGBLOB NOT NULL";

/// How MySQL keeps collections.
#[derive(Debug)]
pub(super) enum Mysql {}

impl Store for Mysql {
    const ENGINE: &'static str = "MySQL";
    /// The number in the catalogue's table.
    type Id = i64;
    type Layout = Layout;

    fn indexes(layout: &Layout) -> &[catalogue::Index] {
        &layout.indexes
    }
}

pub(super) use crate::driver::kept::catalogue::Unique;

pub(super) type Body = kept::Body<Layout>;
pub(super) type Catalogue = kept::Catalogue<Mysql>;
pub(super) type Collection = kept::Collection<Mysql>;

impl Collection {
    /// The columns of a field.
    pub(super) fn column(&self, name: &str) -> Option<&Column> {
        self.place(name).and_then(|place| self.layout.columns.get(place))
    }

    /// The table in SQL, the instance's database before it.
    pub(super) fn table(&self) -> String {
        if let Some(adopted) = &self.layout.adopted {
            let (database, table) = (&adopted.database, &self.layout.table);
            return format!("{}.{}", layout::quoted(database), layout::quoted(table));
        }
        let instance = layout::instance_name(&self.shape.target.shard_instance);
        format!("{}.{}", layout::quoted(&instance), layout::quoted(&self.layout.table))
    }
}
