//! The extended protocol: Parse, Bind, Describe, Execute, Close (the manual's section 55.2.3).
//!
//! Answers are gathered and written at Sync or Flush, or when they pass the bound. The statement alone before a Sync that is
//! here already is its own transaction; any other shares one with what follows, up to Sync.

use std::pin::pin;

use async_trait::async_trait;
use dataman_node_protocol::record::{Batch, ColumnDescription, Format};

use crate::error::Error;
use crate::session::RowSink;
use crate::session::dispatch::{Place, Progress};
use crate::wire::connection::Writer;
use crate::wire::copy::Copying;
use crate::wire::message::{Message, Target};
use crate::wire::serve::{Client, Next, watched};

/// Rows alone: their description was asked for by Describe, or not at all.
struct Bare<'a>(&'a mut Writer);

#[async_trait]
impl RowSink for Bare<'_> {
    fn columns(&mut self, _columns: &[ColumnDescription], _formats: &[Format]) {}

    async fn rows(&mut self, batch: Batch) -> Result<(), Error> {
        self.0.rows(batch).await.map_err(Error::Client)
    }
}

/// Answers a message of the extended protocol other than Flush and Sync.
///
/// # Errors
/// The statement's failure: messages up to the next Sync are to be passed over.
pub(crate) async fn message(client: &mut Client, message: Message) -> Result<(), Error> {
    match message {
        Message::Parse { name, sql, types } => {
            if name.is_empty() {
                client.session.close_statement("");
            }
            client.session.prepare(&name, &sql, &types).await?;
            client.writer.parse_complete();
        }
        Message::Bind { portal, statement, formats, values, result_formats } => {
            client.session.bind(&portal, &statement, &formats, values, &result_formats).await?;
            client.writer.bind_complete();
        }
        Message::Describe(Target::Statement(name)) => {
            let prepared = client.session.describe_statement(&name).await?;
            let types: Vec<u32> = prepared.params.iter().map(|ty| ty.0).collect();
            client.writer.parameter_description(&types);
            match &prepared.columns {
                Some(columns) => client.writer.row_description(columns, &[]),
                None => client.writer.no_data(),
            }
        }
        Message::Describe(Target::Portal(name)) => {
            let (prepared, formats) = client.session.describe_portal(&name).await?;
            match &prepared.columns {
                Some(columns) => client.writer.row_description(columns, &formats),
                None => client.writer.no_data(),
            }
        }
        Message::Execute { portal, max_rows } => execute(client, &portal, max_rows).await?,
        Message::Close(Target::Statement(name)) => {
            client.session.close_statement(&name);
            client.writer.close_complete();
        }
        Message::Close(Target::Portal(name)) => {
            client.session.close_portal(&name).await?;
            client.writer.close_complete();
        }
        Message::Query(_)
        | Message::Flush
        | Message::Sync
        | Message::Terminate
        | Message::CopyData(_)
        | Message::CopyDone
        | Message::CopyFail(_)
        | Message::FunctionCall => {}
    }
    // A pipeline without a Sync must not gather answers without bound.
    if client.writer.len() >= crate::wire::connection::OUTPUT_BYTES_MAX {
        client.flush().await?;
    }
    Ok(())
}

async fn execute(client: &mut Client, portal: &str, max_rows: usize) -> Result<(), Error> {
    let place = if client.reader.next_kind() == Some(b'S') { Place::Only } else { Place::Middle };
    if client.session.is_copy(portal) {
        let (session, reader, writer, _) = client.split();
        let mut copying = Copying { reader, writer };
        let progress = session.run_copy_portal(portal, place, &mut copying).await?;
        client.tell_notices();
        if let Progress::Complete(tag) = progress {
            client.writer.command_complete(&tag);
        }
        return Ok(());
    }
    let progress = {
        let (session, reader, writer, running) = client.split();
        let mut sink = Bare(writer);
        let work = pin!(session.run_portal(portal, max_rows, place, &mut sink));
        watched(reader, &running, work).await?
    };
    client.tell_notices();
    match progress {
        Progress::Complete(tag) => client.writer.command_complete(&tag),
        Progress::Suspended => client.writer.portal_suspended(),
        Progress::Empty => client.writer.empty_query(),
    }
    Ok(())
}

/// Answers Sync.
///
/// # Errors
/// The client is gone.
pub(crate) async fn sync(client: &mut Client) -> Result<Next, Error> {
    match client.session.sync().await {
        Ok(()) => {
            client.ready().await?;
            Ok(Next::Message)
        }
        Err(error) => client.refuse(&error, false).await,
    }
}
