//! Where a PostgreSQL-wire server is, and as whom to talk to it.

use std::fmt;
use std::path::PathBuf;

use crate::error::{NodeError, NodeErrorKind};

/// A server's address with what the startup needs, parsed from
/// `postgres://user:password@host:port/database?sslmode=require`.
///
/// The password does not appear in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Role.
    pub user: String,
    /// Password, if one is known.
    pub password: Option<String>,
    /// Whether a server that does not prove that it knows the password is refused.
    pub must_authenticate: bool,
    /// Database; at an agent the datasource's name.
    pub database: String,
    /// Whether to encrypt.
    pub ssl_mode: SslMode,
    /// Certificates to trust, in PEM; what `verify-ca` and `verify-full` need.
    pub ssl_root_certificate: Option<PathBuf>,
    /// Further startup parameters, by name.
    pub parameters: Vec<(String, String)>,
}

/// What an agent asks of those who come to it, and they of it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AgentAccess {
    /// The password that both prove to know; none when anybody may come.
    pub password: Option<String>,
    /// The certificates that vouch for the agent, in PEM; none for connections that are not encrypted.
    pub authority: Option<PathBuf>,
}

/// libpq's `sslmode`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SslMode {
    /// Never encrypt.
    Disable,
    /// Encrypt when the server offers it, without checking who it is.
    #[default]
    Prefer,
    /// Encrypt or fail, without checking who it is.
    Require,
    /// Encrypt and check that a trusted authority signed the certificate.
    VerifyCa,
    /// As `VerifyCa`, and the certificate names the host.
    VerifyFull,
}

/// PostgreSQL's port.
pub const DEFAULT_PORT: u16 = 5432;

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:{}/{}", self.user, self.host, self.port, self.database)
    }
}

impl Address {
    /// The address of an agent's datasource: `host:port` and the datasource's name.
    ///
    /// # Errors
    /// `08001` when it is not `host:port`.
    pub fn agent(
        address: &str,
        datasource: &str,
        user: &str,
        access: &AgentAccess,
    ) -> Result<Self, NodeError> {
        let (host, port) = split_host_port(address)?;
        Ok(Self {
            host,
            port,
            user: user.to_owned(),
            must_authenticate: access.password.is_some(),
            password: access.password.clone(),
            database: datasource.to_owned(),
            ssl_mode: match access.authority {
                Some(_) => SslMode::VerifyFull,
                None => SslMode::Disable,
            },
            ssl_root_certificate: access.authority.clone(),
            parameters: Vec::new(),
        })
    }

    /// Reads a URL.
    ///
    /// # Errors
    /// `08001` naming the part that is wrong; never the password.
    pub fn parse(url: &str) -> Result<Self, NodeError> {
        let rest = url
            .strip_prefix("postgres://")
            .or_else(|| url.strip_prefix("postgresql://"))
            .ok_or_else(|| wrong("it must begin with postgres://"))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (credentials, place) = match authority.rsplit_once('@') {
            Some((credentials, place)) => (Some(credentials), place),
            None => (None, authority),
        };
        let (user, password) =
            match credentials.map(|text| text.split_once(':').unwrap_or((text, ""))) {
                Some((user, password)) => {
                    (decode(user)?, (!password.is_empty()).then(|| decode(password)).transpose()?)
                }
                None => ("postgres".to_owned(), None),
            };
        let (host, port) = split_host_port(place)?;
        let database = decode(path)?;
        let mut address = Self {
            host: if host.is_empty() { "127.0.0.1".to_owned() } else { decode(&host)? },
            port,
            database: if database.is_empty() { user.clone() } else { database },
            user,
            password,
            must_authenticate: false,
            ssl_mode: SslMode::default(),
            ssl_root_certificate: None,
            parameters: Vec::new(),
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decode(value)?;
            match name {
                "sslmode" => address.ssl_mode = SslMode::parse(&value)?,
                "sslrootcert" => address.ssl_root_certificate = Some(PathBuf::from(value)),
                "user" => address.user = value,
                "password" => address.password = Some(value),
                "application_name" | "options" => address.parameters.push((name.to_owned(), value)),
                _ => return Err(wrong(&format!("the option \"{name}\" is not known"))),
            }
        }
        Ok(address)
    }
}

impl SslMode {
    fn parse(text: &str) -> Result<Self, NodeError> {
        Ok(match text {
            "disable" => Self::Disable,
            "allow" | "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => {
                return Err(wrong(
                    "sslmode must be disable, prefer, require, verify-ca or verify-full",
                ));
            }
        })
    }
}

fn split_host_port(place: &str) -> Result<(String, u16), NodeError> {
    let port = |text: &str| {
        text.parse::<u16>()
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(|| wrong("the port must be a number from 1 to 65535"))
    };
    if let Some(rest) = place.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or_else(|| wrong("\"[\" is not closed"))?;
        return Ok((host.to_owned(), rest.strip_prefix(':').map_or(Ok(DEFAULT_PORT), port)?));
    }
    match place.rsplit_once(':') {
        Some((host, text)) => Ok((host.to_owned(), port(text)?)),
        None => Ok((place.to_owned(), DEFAULT_PORT)),
    }
}

fn decode(text: &str) -> Result<String, NodeError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(rest.next()), digit(rest.next())) else {
            return Err(wrong("\"%\" must be followed by two hexadecimal digits"));
        };
        bytes.push(u8::try_from(high * 16 + low).expect("two hexadecimal digits make a byte"));
    }
    String::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8"))
}

fn wrong(reason: &str) -> NodeError {
    NodeError::new(NodeErrorKind::Unreachable, "08001", format!("invalid datasource URL: {reason}"))
        .with_hint("A URL looks like postgres://user:password@host:5432/database?sslmode=prefer.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, expected: &str) {
        let found = match Address::parse(url) {
            Ok(address) => format!(
                "{address:?} password={:?} {:?}",
                address.password.as_deref().unwrap_or("none"),
                address.ssl_mode
            ),
            Err(error) => error.message,
        };
        assert_eq!(found, expected, "{url}");
    }

    #[test]
    fn urls() {
        check("postgres://u:p@h:1/d", "u@h:1/d password=\"p\" Prefer");
        check("postgresql://u@h", "u@h:5432/u password=\"none\" Prefer");
        check(
            "postgres://a%40b:%3a%2F@[::1]:7/x%20y?sslmode=verify-full",
            "a@b@::1:7/x y password=\":/\" VerifyFull",
        );
        check("postgres:///app", "postgres@127.0.0.1:5432/app password=\"none\" Prefer");
        check("mysql://x", "invalid datasource URL: it must begin with postgres://");
        check(
            "postgres://h:0/d",
            "invalid datasource URL: the port must be a number from 1 to 65535",
        );
        check(
            "postgres://h:x/d",
            "invalid datasource URL: the port must be a number from 1 to 65535",
        );
        check(
            "postgres://h/%zz",
            "invalid datasource URL: \"%\" must be followed by two hexadecimal digits",
        );
        check("postgres://h/%ff", "invalid datasource URL: it is not UTF-8");
        check(
            "postgres://h/d?colour=red",
            "invalid datasource URL: the option \"colour\" is not known",
        );
    }
}
