//! The first row of each set of rows that are alike.

use std::collections::HashSet;

use async_trait::async_trait;
use dataman_pg::{Value, order};

use super::memory::Memory;
use super::rows::{Connections, Row, ValueStream};
use crate::error::Error;

/// Keeps the first of the rows that are alike in some columns; keeps the order.
pub(crate) struct Distinct {
    input: Box<dyn ValueStream>,
    keys: Vec<usize>,
    seen: HashSet<Vec<u8>>,
    memory: Memory,
}

impl Distinct {
    pub(crate) fn new(input: Box<dyn ValueStream>, keys: Vec<usize>, memory: Memory) -> Self {
        Self { input, keys, seen: HashSet::new(), memory }
    }
}

/// Bytes that are alike exactly for values that are equal or both NULL.
pub(crate) fn key_bytes<'v>(values: impl Iterator<Item = &'v Value>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for value in values {
        if value.is_null() {
            bytes.push(0);
        } else {
            bytes.push(1);
            order::encode_ordered(value, &mut bytes);
        }
    }
    bytes
}

#[async_trait]
impl ValueStream for Distinct {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, Error> {
        while let Some(batch) = self.input.next().await? {
            let mut kept = Vec::new();
            for row in batch {
                let key = key_bytes(self.keys.iter().filter_map(|&column| row.get(column)));
                let bytes = key.len() + std::mem::size_of::<Vec<u8>>();
                if self.seen.insert(key) {
                    self.memory.take(bytes, "DISTINCT")?;
                    kept.push(row);
                }
            }
            if !kept.is_empty() {
                return Ok(Some(kept));
            }
        }
        Ok(None)
    }

    async fn finish(&mut self) -> Result<(), Error> {
        self.input.finish().await
    }

    fn into_connections(self: Box<Self>) -> Connections {
        self.input.into_connections()
    }
}
