//! `uuid` (the manual's section 9.14). Its input and output are in [`crate::io`].

use crate::registry::{Entry, entry};
use crate::value::Value;

pub(crate) const FUNCTIONS: &[Entry] = &[entry("gen_random_uuid", |_, _| {
    let mut uuid: [u8; 16] = rand::random();
    // Version 4, variant 1 of RFC 4122.
    uuid[6] = (uuid[6] & 0x0f) | 0x40;
    uuid[8] = (uuid[8] & 0x3f) | 0x80;
    Ok(Value::Uuid(uuid))
})];
