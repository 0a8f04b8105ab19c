//! COPY in and out (the manual's section 55.2.6).

use async_trait::async_trait;
use dataman_node_protocol::record::Batch;
use dataman_pg::PgError;

use crate::error::Error;
use crate::scatter::contract::{CopyClient, CopyEvent};
use crate::wire::connection::{ReadError, Reader, Writer};
use crate::wire::message::Message;

/// How much of a COPY's data is handed on at a time.
const DATA_BYTES_MAX: usize = 256 * 1024;

/// The client, while a COPY runs.
pub(crate) struct Copying<'a> {
    pub(crate) reader: &'a mut Reader,
    pub(crate) writer: &'a mut Writer,
}

#[async_trait]
impl CopyClient for Copying<'_> {
    async fn begin(&mut self, binary: bool, columns: usize) -> Result<(), Error> {
        self.writer.copy_in_response(binary, columns);
        self.writer.flush().await.map_err(Error::Client)
    }

    async fn next(&mut self, out: &mut Vec<u8>) -> Result<CopyEvent, Error> {
        let before = out.len();
        loop {
            self.reader.take_copy_data(out, DATA_BYTES_MAX)?;
            if out.len() - before >= DATA_BYTES_MAX {
                return Ok(CopyEvent::Data);
            }
            match self.reader.ready_frame().map_err(|error| Error::Protocol(error.to_string()))? {
                None => {}
                Some(frame) => match frame.kind {
                    // Clients send these without noticing that the statement was a COPY.
                    b'H' | b'S' => continue,
                    b'd' => {
                        if let Message::CopyData(data) = frame.decode()? {
                            out.extend_from_slice(&data);
                        }
                        continue;
                    }
                    b'c' | b'f' => {
                        return Ok(match frame.decode()? {
                            Message::CopyFail(reason) => CopyEvent::Failed(reason),
                            _ => CopyEvent::Done,
                        });
                    }
                    kind => {
                        self.writer.lose_synchronization();
                        return Err(PgError::new(
                            "08P01",
                            format!("unexpected message type 0x{kind:02X} during COPY from stdin"),
                        )
                        .into());
                    }
                },
            }
            if out.len() > before {
                return Ok(CopyEvent::Data);
            }
            match self.reader.read_more().await {
                Ok(true) => {}
                Ok(false) => {
                    return Err(Error::Client(std::io::ErrorKind::UnexpectedEof.into()));
                }
                Err(ReadError::Io(error)) => return Err(Error::Client(error)),
                Err(ReadError::Frame(error)) => return Err(Error::Protocol(error.to_string())),
            }
        }
    }

    async fn gone(&mut self) {
        self.reader.gone().await;
    }

    async fn send(&mut self, batch: Batch) -> Result<(), Error> {
        self.writer.rows(batch).await.map_err(Error::Client)
    }
}
