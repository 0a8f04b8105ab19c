//! UPDATE and DELETE over the shards.

use async_trait::async_trait;
use dataman_node_protocol::record::{Batch, Format};

use super::open::Run;
use super::raw::{Raw, RawSource, Streams};
use super::rows::Connections;
use crate::error::Error;
use crate::plan::WritePlan;
use crate::scatter::contract::{Access, ResultStream};

impl<'a> Run<'a> {
    /// Runs the change on its shards; the rows returned come as the shards send them.
    pub(crate) async fn write(
        &mut self,
        write: &'a WritePlan,
    ) -> Result<Box<dyn ResultStream>, Error> {
        let shards = match &write.agree {
            None => self.scan_shards(&write.scan)?,
            Some((rules, refused)) => match self.agreed(rules, &write.scan)? {
                Some(shard) => vec![shard],
                None => match refused {
                    Ok(change) => return self.change(change).await,
                    Err(refused) => return Err(refused.clone().into()),
                },
            },
        };
        let formats: Vec<Format> = self.execution.formats.formats.clone();
        let mut streams = self.start(&write.scan, &shards, Access::Write, &formats).await?;
        if write.copies {
            let others = streams.split_off(1);
            let first = raw(streams, write);
            return Ok(Box::new(Copies { first, others: Streams::new(others) }));
        }
        Ok(Box::new(raw(streams, write)))
    }
}

fn raw(
    streams: Vec<(
        crate::scatter::contract::ShardRef,
        Box<dyn dataman_node_protocol::node::RowStream>,
    )>,
    write: &WritePlan,
) -> Raw {
    Raw {
        source: RawSource::Concat(Streams::new(streams)),
        visible: write.scan.visible,
        columns: write.scan.columns.len(),
        offset: 0,
        limit: None,
        sent: 0,
        reported: true,
    }
}

/// A change of every copy of a reference table: the first one answers, the others must succeed too.
struct Copies {
    first: Raw,
    others: Streams,
}

#[async_trait]
impl ResultStream for Copies {
    async fn next(&mut self) -> Result<Option<Batch>, Error> {
        if let Some(batch) = self.first.next().await? {
            return Ok(Some(batch));
        }
        while self.others.next().await?.is_some() {}
        Ok(None)
    }

    fn affected(&self) -> u64 {
        self.first.affected()
    }

    fn into_connections(self: Box<Self>) -> Connections {
        let mut connections = Box::new(self.first).into_connections();
        connections.extend(self.others.into_connections());
        connections
    }
}
