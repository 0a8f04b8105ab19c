//! From a fresh socket to a connection that is ready for its first query.

use bytes::BytesMut;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::address::Address;
use crate::error::{NodeError, NodeErrorKind};
use crate::frame::{Body, FrameBuffer, Incoming, Patience, malformed, parse_error};
use crate::stream::{Stream, unreachable};

/// What a server says of itself at the start.
#[derive(Debug, Default)]
pub(crate) struct Greeting {
    /// Whom to cancel.
    pub(crate) process_id: i32,
    /// The proof that one may.
    pub(crate) secret_key: i32,
    /// ParameterStatus, by name.
    pub(crate) parameters: Vec<(String, String)>,
}

/// Settings every session starts with, so that what is not said anew is known: dataman's own defaults are PostgreSQL's.
const SESSION_DEFAULTS: &[(&str, &str)] = &[
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO, MDY"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("extra_float_digits", "1"),
    ("bytea_output", "hex"),
    ("standard_conforming_strings", "on"),
];

/// Sends the startup message and answers what the server asks, until it is ready.
pub(crate) async fn start(
    stream: &mut Stream,
    buffer: &mut FrameBuffer,
    address: &Address,
) -> Result<Greeting, NodeError> {
    let mut out = BytesMut::new();
    let named = [("user", address.user.as_str()), ("database", address.database.as_str())];
    let own = address.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let application = (!address.parameters.iter().any(|(name, _)| name == "application_name"))
        .then_some(("application_name", "dataman"));
    let parameters =
        named.into_iter().chain(SESSION_DEFAULTS.iter().copied()).chain(application).chain(own);
    frontend::startup_message(parameters, &mut out).map_err(|_| not_sendable())?;

    let mut greeting = Greeting::default();
    let mut scram = None;
    let mut proved = false;
    loop {
        if !out.is_empty() {
            stream.write_all(&out).await.map_err(|error| unreachable(&error))?;
            stream.flush().await.map_err(|error| unreachable(&error))?;
            out.clear();
        }
        let (tag, body) = match buffer.take(Patience::Gather)? {
            Incoming::Message(tag, body) => (tag, body),
            Incoming::Rows(_) => return Err(malformed("rows before the startup's end")),
            Incoming::More => {
                buffer.bytes.reserve(1024);
                let read = stream
                    .read_buf(&mut buffer.bytes)
                    .await
                    .map_err(|error| unreachable(&error))?;
                if read == 0 {
                    return Err(unreachable(&std::io::ErrorKind::UnexpectedEof.into()));
                }
                continue;
            }
        };
        match tag {
            b'R' => authenticate(&body, address, &mut scram, &mut proved, &mut out)?,
            b'S' => {
                let mut body = Body(&body);
                if let (Some(name), Some(value)) = (body.text(), body.text()) {
                    greeting.parameters.push((name.to_owned(), value.to_owned()));
                }
            }
            b'K' => {
                let mut body = Body(&body);
                greeting.process_id = body.i32().ok_or_else(|| malformed("a short cancel key"))?;
                greeting.secret_key = body.i32().ok_or_else(|| malformed("a short cancel key"))?;
            }
            b'Z' => return Ok(greeting),
            b'N' | b'v' => {}
            b'E' => return Err(refusal(parse_error(&body).0)),
            _ => return Err(malformed("a message that does not belong to the startup")),
        }
    }
}

/// An error at startup: nothing of a statement was sent, so another place or a later moment may do.
fn refusal(mut error: NodeError) -> NodeError {
    error.kind = match error.sqlstate.as_str() {
        "53300" => NodeErrorKind::Busy,
        _ => NodeErrorKind::Unreachable,
    };
    error
}

fn authenticate(
    body: &[u8],
    address: &Address,
    scram: &mut Option<ScramSha256>,
    proved: &mut bool,
    out: &mut BytesMut,
) -> Result<(), NodeError> {
    let password = || {
        address.password.as_deref().ok_or_else(|| {
            failed("the database asks for a password, and the datasource's URL has none")
        })
    };
    let mut body = Body(body);
    let kind = body.i32().ok_or_else(|| malformed("a short authentication request"))?;
    match kind {
        0 => {}
        3 => frontend::password_message(password()?.as_bytes(), out).map_err(|_| not_sendable())?,
        5 => {
            let salt = body
                .take(4)
                .and_then(|salt| <[u8; 4]>::try_from(salt).ok())
                .ok_or_else(|| malformed("a short salt"))?;
            let hash = md5_hash(address.user.as_bytes(), password()?.as_bytes(), salt);
            frontend::password_message(hash.as_bytes(), out).map_err(|_| not_sendable())?;
        }
        10 => {
            let mut offered = std::iter::from_fn(|| body.text().filter(|name| !name.is_empty()));
            if !offered.any(|name| name == SCRAM_SHA_256) {
                return Err(failed(
                    "the database offers no way to authenticate that dataman knows",
                ));
            }
            let exchange = ScramSha256::new(password()?.as_bytes(), ChannelBinding::unsupported());
            frontend::sasl_initial_response(SCRAM_SHA_256, exchange.message(), out)
                .map_err(|_| not_sendable())?;
            *scram = Some(exchange);
        }
        11 => {
            let exchange = scram.as_mut().ok_or_else(|| malformed("an answer nobody asked for"))?;
            exchange.update(body.0).map_err(|_| failed("SCRAM authentication failed"))?;
            frontend::sasl_response(exchange.message(), out).map_err(|_| not_sendable())?;
        }
        12 => {
            let exchange = scram.as_mut().ok_or_else(|| malformed("an answer nobody asked for"))?;
            exchange
                .finish(body.0)
                .map_err(|_| failed("the database could not prove that it knows the password"))?;
            *scram = None;
            *proved = true;
        }
        _ => return Err(failed("the database asks for a way to authenticate that dataman lacks")),
    }
    let proven = *proved || !address.must_authenticate;
    if kind == 0 && !proven {
        return Err(failed("the agent asks for no password, and the cluster says that it has one"));
    }
    if kind == 0 && scram.is_some() {
        return Err(failed("the database could not prove that it knows the password"));
    }
    Ok(())
}

fn failed(reason: &str) -> NodeError {
    NodeError::new(NodeErrorKind::Unreachable, "28000", reason)
}

fn not_sendable() -> NodeError {
    failed("user, database or password cannot be sent: they contain a zero byte")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &[u8], expected: &str) {
        let address = Address::parse("postgres://u:p@h/d").unwrap();
        let mut out = BytesMut::new();
        let found = match authenticate(body, &address, &mut None, &mut false, &mut out) {
            Ok(()) => String::from_utf8_lossy(&out).into_owned(),
            Err(error) => error.message,
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn authentication_requests() {
        check(b"\0\0\0\0", "");
        check(b"\0\0\0\x03", "p\0\0\0\x06p\0");
        check(b"\0\0\0\x05abcd", "p\0\0\0(md5fa55bd30a96b8d5bd8215eee7c50a918\0");
        check(b"\0\0\0\x05abc", "malformed message from a node: a short salt");
        check(b"\0\0\0", "malformed message from a node: a short authentication request");
        check(
            b"\0\0\0\x0aOTHER\0\0",
            "the database offers no way to authenticate that dataman knows",
        );
        check(b"\0\0\0\x0b", "malformed message from a node: an answer nobody asked for");
        check(b"\0\0\0\x07", "the database asks for a way to authenticate that dataman lacks");
    }
}
