//! Cryptographic hashes of text and bytes: `md5`, `sha224` … `sha512` (the manual's sections 9.4 and 9.5).

use md5::Md5;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use crate::arguments::{bytes, text};
use crate::error::Result;
use crate::registry::{Entry, entry};
use crate::value::Value;

pub(crate) const FUNCTIONS: &[Entry] = &[
    entry("md5_text", |_, args| Ok(Value::text(hex::encode(Md5::digest(text(args, 0)?))))),
    entry("md5_bytea", |_, args| Ok(Value::text(hex::encode(Md5::digest(bytes(args, 0)?))))),
    entry("sha224_bytea", |_, args| digest::<Sha224>(args)),
    entry("sha256_bytea", |_, args| digest::<Sha256>(args)),
    entry("sha384_bytea", |_, args| digest::<Sha384>(args)),
    entry("sha512_bytea", |_, args| digest::<Sha512>(args)),
];

fn digest<D: Digest>(args: &[Value]) -> Result<Value> {
    Ok(Value::Bytea(D::digest(bytes(args, 0)?).as_slice().into()))
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn digests() {
        check("md5_text", &["t:abc"], "900150983cd24fb0d6963f7d28e17f72");
        check("sha224_bytea", &["x:"], "d14a028c2a3a2bc9476102bb288234c415a2b01f828ea62ac5b3e42f");
    }
}
