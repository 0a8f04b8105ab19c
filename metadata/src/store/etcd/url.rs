//! Where an etcd is, and as whom to talk to it: `etcd://user:password@h1:2379,h2:2379?cluster=main&ca=ca.pem`.

use std::fmt;
use std::path::PathBuf;

use crate::store::contract::StoreError;

/// etcd's port for clients.
const DEFAULT_PORT: u16 = 2379;

/// The cluster that a URL without `cluster=` means.
const DEFAULT_CLUSTER: &str = "main";

const OPTIONS: &str = "cluster, tls, ca, cert, key, password_file";

/// A parsed URL. The password does not appear in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct EtcdUrl {
    /// The members, in the order in which they are tried.
    pub(crate) endpoints: Vec<Endpoint>,
    /// Which dataman cluster: several can share an etcd.
    pub(crate) cluster: String,
    /// The user and password, where etcd asks for them.
    pub(crate) login: Option<Login>,
    /// How to encrypt; none for plain TCP.
    pub(crate) tls: Option<Tls>,
}

/// One member's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Name or address.
    pub(crate) host: String,
    /// TCP port.
    pub(crate) port: u16,
}

/// As whom.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Login {
    /// The user.
    pub(crate) user: String,
    /// The password.
    pub(crate) password: String,
}

/// How to encrypt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tls {
    /// The certificates to trust, in PEM.
    pub(crate) authority: PathBuf,
    /// Our own certificate and its key, in PEM, where etcd asks for one.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
}

impl fmt::Debug for EtcdUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// For messages: where it is, without the password.
impl fmt::Display for EtcdUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("etcd at ")?;
        for (place, endpoint) in self.endpoints.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{endpoint}")?;
        }
        write!(f, " (cluster \"{}\")", self.cluster)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl EtcdUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// [`StoreError::BadUrl`], saying what to write; never with the password.
    pub(crate) fn parse(url: &str) -> Result<Self, StoreError> {
        let rest = url.strip_prefix("etcd:").unwrap_or(url);
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (credentials, places) = match rest.rsplit_once('@') {
            Some((credentials, places)) => (Some(credentials), places),
            None => (None, rest),
        };
        // What an error shows: the URL without its credentials.
        let shown = match credentials {
            Some(_) => format!("etcd://…@{places}"),
            None => format!("etcd://{places}"),
        };
        let bad =
            |problem: &str| StoreError::BadUrl { url: shown.clone(), problem: problem.to_owned() };
        let places = places.trim_end_matches('/');
        if places.is_empty() {
            return Err(bad("the members are missing: write etcd://HOST:PORT,HOST:PORT"));
        }
        let endpoints = places
            .split(',')
            .map(|place| endpoint(place).map_err(|problem| bad(&problem)))
            .collect::<Result<Vec<_>, _>>()?;

        let mut cluster = DEFAULT_CLUSTER.to_owned();
        let (mut encrypted, mut authority, mut certificate, mut key) = (None, None, None, None);
        let mut password_file = None;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decode(value).ok_or_else(|| bad("\"%\" needs two hexadecimal digits"))?;
            if value.is_empty() {
                return Err(bad(&format!("the option \"{name}\" has no value")));
            }
            match name {
                "cluster" => cluster = value,
                "tls" => {
                    encrypted = Some(match value.as_str() {
                        "true" | "on" => true,
                        "false" | "off" => false,
                        _ => return Err(bad("tls must be true or false")),
                    });
                }
                "ca" => authority = Some(PathBuf::from(value)),
                "cert" => certificate = Some(PathBuf::from(value)),
                "key" => key = Some(PathBuf::from(value)),
                "password_file" => password_file = Some(PathBuf::from(value)),
                _ => {
                    return Err(bad(&format!(
                        "the option \"{name}\" is not known; there are {OPTIONS}"
                    )));
                }
            }
        }
        let well_named =
            |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
        if !cluster.chars().all(well_named) {
            return Err(bad("a cluster's name has letters, digits, \"-\", \"_\" and \".\" only"));
        }
        let login = match credentials {
            None if password_file.is_some() => {
                return Err(bad("password_file needs a user: write etcd://USER@HOST:PORT"));
            }
            None => None,
            Some(credentials) => {
                let (user, password) = match credentials.split_once(':') {
                    Some((user, password)) => (user, Some(password)),
                    None => (credentials, None),
                };
                let decoded = |text: &str| {
                    decode(text).ok_or_else(|| bad("\"%\" needs two hexadecimal digits"))
                };
                let password = match (password, password_file) {
                    (Some(_), Some(_)) => {
                        return Err(bad("give the password itself or password_file, not both"));
                    }
                    (Some(password), None) => decoded(password)?,
                    (None, Some(path)) => std::fs::read_to_string(&path)
                        .map_err(|error| bad(&format!("{}: {error}", path.display())))?
                        .trim_end_matches(['\r', '\n'])
                        .to_owned(),
                    (None, None) => {
                        return Err(bad(
                            "the user has no password: write USER:PASSWORD@HOST, or password_file=FILE",
                        ));
                    }
                };
                Some(Login { user: decoded(user)?, password })
            }
        };
        let identity = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err(bad("cert and key go together")),
        };
        let wants_tls = encrypted.unwrap_or(authority.is_some() || identity.is_some());
        let tls = match (wants_tls, authority) {
            (true, Some(authority)) => Some(Tls { authority, identity }),
            (true, None) => {
                return Err(bad("TLS needs the certificates to trust: add ca=FILE"));
            }
            (false, None) if identity.is_none() => None,
            (false, _) => return Err(bad("tls=false contradicts ca, cert and key")),
        };
        Ok(Self { endpoints, cluster, login, tls })
    }
}

fn endpoint(place: &str) -> Result<Endpoint, String> {
    let port = |text: &str| {
        let port = text.parse::<u16>().ok().filter(|port| *port != 0);
        port.ok_or_else(|| format!("the port of \"{place}\" must be a number from 1 to 65535"))
    };
    let (host, port) = if let Some(rest) = place.strip_prefix('[') {
        let (host, rest) =
            rest.split_once(']').ok_or_else(|| format!("\"[\" is not closed in \"{place}\""))?;
        (host, rest.strip_prefix(':').map_or(Ok(DEFAULT_PORT), port)?)
    } else {
        match place.rsplit_once(':') {
            Some((host, text)) => (host, port(text)?),
            None => (place, DEFAULT_PORT),
        }
    };
    let well_formed = |letter: char| {
        letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.' | ':' | '%')
    };
    if host.is_empty() || !host.chars().all(well_formed) {
        return Err(format!("\"{place}\" is no HOST:PORT"));
    }
    Ok(Endpoint { host: host.to_owned(), port })
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, expected: &str) {
        let found = match EtcdUrl::parse(url) {
            Ok(url) => {
                let login = url.login.as_ref().map(|login| (&login.user, &login.password));
                format!("{url} {login:?} {:?}", url.tls)
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected, "{url}");
    }

    #[test]
    fn urls() {
        check("etcd://a", "etcd at a:2379 (cluster \"main\") None None");
        check("etcd:a:1", "etcd at a:1 (cluster \"main\") None None");
        check(
            "etcd://u:p%40%3a@a:1,[::1]:2,b/?cluster=x",
            "etcd at a:1, [::1]:2, b:2379 (cluster \"x\") Some((\"u\", \"p@:\")) None",
        );
        check(
            "etcd://a?ca=/x%20y.pem&cert=c&key=k",
            "etcd at a:2379 (cluster \"main\") None Some(Tls { authority: \"/x y.pem\", identity: Some((\"c\", \"k\")) })",
        );
        let refused = |url: &str, shown: &str, problem: &str| {
            check(url, &format!("metadata URL \"{shown}\": {problem}"));
        };
        refused("etcd://", "etcd://", "the members are missing: write etcd://HOST:PORT,HOST:PORT");
        refused(
            "etcd://u:secret@a:0",
            "etcd://…@a:0",
            "the port of \"a:0\" must be a number from 1 to 65535",
        );
        refused(
            "etcd://a?tls=true",
            "etcd://a",
            "TLS needs the certificates to trust: add ca=FILE",
        );
        refused("etcd://a?cert=c", "etcd://a", "cert and key go together");
        refused("etcd://a,", "etcd://a,", "\"\" is no HOST:PORT");
        refused(
            "etcd://a?colour=red",
            "etcd://a",
            &format!("the option \"colour\" is not known; there are {OPTIONS}"),
        );
        refused(
            "etcd://u@a",
            "etcd://…@a",
            "the user has no password: write USER:PASSWORD@HOST, or password_file=FILE",
        );
        refused(
            "etcd://a?cluster=a/b",
            "etcd://a",
            "a cluster's name has letters, digits, \"-\", \"_\" and \".\" only",
        );
    }

    #[test]
    fn a_password_from_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "secret\n").unwrap();
        let url = format!("etcd://u@a?password_file={}", file.path().display());
        let login = EtcdUrl::parse(&url).unwrap().login.unwrap();
        assert_eq!((login.user.as_str(), login.password.as_str()), ("u", "secret"));
    }
}
