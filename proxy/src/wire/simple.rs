//! The simple protocol: one string, any number of statements (the manual's section 55.2.2).

use std::pin::pin;

use async_trait::async_trait;
use dataman_node_protocol::record::{Batch, ColumnDescription, Format};

use crate::error::Error;
use crate::parse::syntax::Statement;
use crate::session::RowSink;
use crate::session::dispatch::Place;
use crate::wire::connection::Writer;
use crate::wire::copy::Copying;
use crate::wire::serve::{Client, Next, watched};

/// Rows with their description ahead of them.
struct Described<'a>(&'a mut Writer);

#[async_trait]
impl RowSink for Described<'_> {
    fn columns(&mut self, columns: &[ColumnDescription], formats: &[Format]) {
        self.0.row_description(columns, formats);
    }

    async fn rows(&mut self, batch: Batch) -> Result<(), Error> {
        self.0.rows(batch).await.map_err(Error::Client)
    }
}

/// Answers a Query message.
///
/// # Errors
/// The client is gone.
pub(crate) async fn query(client: &mut Client, sql: &str) -> Result<Next, Error> {
    let failure = match run(client, sql).await {
        Ok(()) => client.session.finish_string().await.err(),
        Err(error) => {
            // The string's own transaction was rolled back with the failure; nothing is left to commit.
            let _ = client.session.finish_string().await;
            Some(error)
        }
    };
    match failure {
        None => {
            client.ready().await?;
            Ok(Next::Message)
        }
        Some(error) => client.refuse(&error, false).await,
    }
}

async fn run(client: &mut Client, sql: &str) -> Result<(), Error> {
    let statements = client.session.parse(sql).await?;
    let real: Vec<_> = statements.iter().filter(|one| one.statement != Statement::Empty).collect();
    if real.is_empty() {
        client.writer.empty_query();
        return Ok(());
    }
    for (at, statement) in real.iter().enumerate() {
        let place = match (real.len(), at + 1 == real.len()) {
            (1, _) => Place::Only,
            (_, false) => Place::Middle,
            (_, true) => Place::Last,
        };
        if let Statement::Copy(_) = &statement.statement {
            let (session, reader, writer, _) = client.split();
            let mut copying = Copying { reader, writer };
            let tag = session.run_copy(statement, place, &mut copying).await?;
            client.tell_notices();
            client.writer.command_complete(&tag);
            continue;
        }
        let tag = {
            let (session, reader, writer, running) = client.split();
            let mut sink = Described(writer);
            let work = pin!(session.run_statement(statement, place, &mut sink));
            watched(reader, &running, work).await?
        };
        client.tell_notices();
        if let Some(tag) = tag {
            client.writer.command_complete(&tag);
        }
    }
    Ok(())
}
