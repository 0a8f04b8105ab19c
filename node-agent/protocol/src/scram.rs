//! SCRAM-SHA-256, the server's side (RFC 5802, RFC 7677; the manual's section 55.3).

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use rand::RngExt;
use sha2::{Digest, Sha256};
use unicode_normalization::UnicodeNormalization;

/// The name of the mechanism.
pub const MECHANISM: &str = "SCRAM-SHA-256";

/// How often a new password is hashed; PostgreSQL's number.
const ITERATIONS: u32 = 4096;

type Key = [u8; 32];

/// What a role's password is kept as: `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`, PostgreSQL's form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verifier {
    iterations: u32,
    salt: Vec<u8>,
    stored_key: Key,
    server_key: Key,
}

impl Verifier {
    /// Makes the verifier of a password, with a new salt.
    pub fn of_password(password: &str) -> Self {
        let mut salt = vec![0; 16];
        rand::rng().fill(&mut salt[..]);
        Self::with_salt(password, salt, ITERATIONS)
    }

    /// A verifier that no password fits: what an unknown role is asked with, so that nobody learns which roles exist.
    pub fn mock() -> Self {
        let mut password = [0; 32];
        rand::rng().fill(&mut password[..]);
        Self::of_password(&BASE64.encode(password))
    }

    fn with_salt(password: &str, salt: Vec<u8>, iterations: u32) -> Self {
        let salted = salted_password(password, &salt, iterations);
        let client_key = hmac(&salted, &[b"Client Key"]);
        Self {
            iterations,
            stored_key: Sha256::digest(client_key).into(),
            server_key: hmac(&salted, &[b"Server Key"]),
            salt,
        }
    }

    /// Reads PostgreSQL's form; none for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("SCRAM-SHA-256$")?;
        let (head, keys) = rest.split_once('$')?;
        let (iterations, salt) = head.split_once(':')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        Some(Self {
            iterations: iterations.parse().ok().filter(|iterations| *iterations > 0)?,
            salt: BASE64.decode(salt).ok()?,
            stored_key: BASE64.decode(stored_key).ok()?.try_into().ok()?,
            server_key: BASE64.decode(server_key).ok()?.try_into().ok()?,
        })
    }
}

impl std::fmt::Display for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{MECHANISM}${}:{}${}:{}",
            self.iterations,
            BASE64.encode(&self.salt),
            BASE64.encode(self.stored_key),
            BASE64.encode(self.server_key)
        )
    }
}

/// Why an exchange fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The client does not follow the protocol: `08P01`, with this detail.
    Malformed(&'static str),
    /// The password is wrong.
    Password,
}

/// An exchange after its first message.
#[derive(Debug)]
pub struct Exchange {
    verifier: Verifier,
    nonce: String,
    /// The parts of the messages so far that the proof covers.
    covered: String,
    binding: String,
}

impl Exchange {
    /// Takes the client's first message; gives the exchange and the server's first message.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn begin(verifier: Verifier, message: &str) -> Result<(Self, String), Failure> {
        let mut random = [0; 18];
        rand::rng().fill(&mut random[..]);
        Self::begin_with(verifier, message, &BASE64.encode(random))
    }

    fn begin_with(
        verifier: Verifier,
        message: &str,
        server_nonce: &str,
    ) -> Result<(Self, String), Failure> {
        // `n,,` or `y,,` (no channel binding), then `n=user,r=nonce`. The user is that of the startup message.
        let mut parts = message.splitn(3, ',');
        let flag = parts.next().unwrap_or("");
        let identity = parts.next().ok_or(Failure::Malformed("The message ends too early."))?;
        let bare = parts.next().ok_or(Failure::Malformed("The message ends too early."))?;
        if flag != "n" && flag != "y" {
            return Err(Failure::Malformed("Channel binding was not offered."));
        }
        if !identity.is_empty() {
            return Err(Failure::Malformed("An authorization identity is not supported."));
        }
        let client_nonce = bare
            .split(',')
            .find_map(|field| field.strip_prefix("r="))
            .filter(|nonce| !nonce.is_empty() && nonce.bytes().all(|byte| byte.is_ascii_graphic()))
            .ok_or(Failure::Malformed("The message has no nonce."))?;
        let nonce = format!("{client_nonce}{server_nonce}");
        let answer =
            format!("r={nonce},s={},i={}", BASE64.encode(&verifier.salt), verifier.iterations);
        let exchange = Self {
            verifier,
            covered: format!("{bare},{answer}"),
            nonce,
            binding: BASE64.encode(format!("{flag},,")),
        };
        Ok((exchange, answer))
    }

    /// Takes the client's final message; gives the server's.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn finish(self, message: &str) -> Result<String, Failure> {
        let (without_proof, proof) =
            message.rsplit_once(",p=").ok_or(Failure::Malformed("The message has no proof."))?;
        let mut fields = without_proof.split(',');
        if fields.next().and_then(|field| field.strip_prefix("c=")) != Some(&self.binding) {
            return Err(Failure::Malformed("The channel binding does not match."));
        }
        if fields.next().and_then(|field| field.strip_prefix("r=")) != Some(&self.nonce) {
            return Err(Failure::Malformed("The nonce does not match."));
        }
        let proof: Key = BASE64
            .decode(proof)
            .ok()
            .and_then(|proof| proof.try_into().ok())
            .ok_or(Failure::Malformed("The proof is not one."))?;
        let covered = [self.covered.as_bytes(), b",", without_proof.as_bytes()];
        let signature = hmac(&self.verifier.stored_key, &covered);
        let mut client_key = proof;
        for (byte, other) in client_key.iter_mut().zip(signature) {
            *byte ^= other;
        }
        let found: Key = Sha256::digest(client_key).into();
        // Every byte is looked at, so that the time taken says nothing.
        let difference =
            found.iter().zip(self.verifier.stored_key).fold(0, |sum, (a, b)| sum | (a ^ b));
        if difference != 0 {
            return Err(Failure::Password);
        }
        let server = hmac(&self.verifier.server_key, &covered);
        Ok(format!("v={}", BASE64.encode(server)))
    }
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Key {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// PBKDF2 with one block, as SCRAM's `Hi`.
fn salted_password(password: &str, salt: &[u8], iterations: u32) -> Key {
    let password = normalize(password);
    let mut block = hmac(password.as_bytes(), &[salt, &1u32.to_be_bytes()]);
    let mut result = block;
    for _ in 1..iterations {
        block = hmac(password.as_bytes(), &[&block]);
        for (byte, other) in result.iter_mut().zip(block) {
            *byte ^= other;
        }
    }
    result
}

/// SASLprep for the passwords that people have: compatibility forms composed, odd spaces made plain. Plain ASCII, by far the
/// most, is not touched.
fn normalize(password: &str) -> String {
    if password.is_ascii() {
        return password.to_owned();
    }
    password
        .chars()
        .filter(|letter| !matches!(letter, '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{feff}'))
        .map(|letter| if letter.is_whitespace() { ' ' } else { letter })
        .nfkc()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677.
    #[test]
    fn the_rfcs_example_holds() {
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let verifier = Verifier::with_salt("pencil", salt, 4096);
        assert_eq!(Verifier::parse(&verifier.to_string()), Some(verifier.clone()));
        let (exchange, first) = Exchange::begin_with(
            verifier,
            "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
        )
        .unwrap();
        assert_eq!(
            first,
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        let last = exchange.finish(
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        );
        assert_eq!(last.unwrap(), "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn wrong_messages_fail() {
        let check = |first: &str, expected: Failure| {
            let verifier = Verifier::with_salt("x", vec![1], 1);
            assert_eq!(Exchange::begin_with(verifier, first, "s").unwrap_err(), expected);
        };
        check("", Failure::Malformed("The message ends too early."));
        check("p=tls-unique,,n=,r=a", Failure::Malformed("Channel binding was not offered."));
        check("n,,n=", Failure::Malformed("The message has no nonce."));
        let verifier = Verifier::with_salt("x", vec![1], 1);
        let begin = || Exchange::begin_with(verifier.clone(), "n,,n=,r=a", "s").unwrap().0;
        let proof = BASE64.encode([0; 32]);
        assert_eq!(begin().finish(&format!("c=biws,r=as,p={proof}")), Err(Failure::Password));
        assert_eq!(
            begin().finish(&format!("c=biws,r=a,p={proof}")),
            Err(Failure::Malformed("The nonce does not match."))
        );
    }
}
