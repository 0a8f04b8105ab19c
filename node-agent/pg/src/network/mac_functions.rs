//! What is computed with `macaddr` and `macaddr8`.

use crate::arguments::arg;
use crate::error::{PgError, Result};
use crate::registry::{Entry, entry};
use crate::value::Value;

pub(crate) const FUNCTIONS: &[Entry] = &[
    entry("macaddr_not", |_, args| Ok(Value::MacAddr(mac(args, 0)?.map(|byte| !byte)))),
    entry("macaddr_and", |_, args| pairs(args, |left, right| left & right)),
    entry("macaddr_or", |_, args| pairs(args, |left, right| left | right)),
    entry("macaddr_trunc", |_, args| {
        let [a, b, c, ..] = mac(args, 0)?;
        Ok(Value::MacAddr([a, b, c, 0, 0, 0]))
    }),
    entry("macaddr8_not", |_, args| Ok(Value::MacAddr8(mac8(args, 0)?.map(|byte| !byte)))),
    entry("macaddr8_and", |_, args| pairs8(args, |left, right| left & right)),
    entry("macaddr8_or", |_, args| pairs8(args, |left, right| left | right)),
    entry("macaddr8_trunc", |_, args| {
        let [a, b, c, ..] = mac8(args, 0)?;
        Ok(Value::MacAddr8([a, b, c, 0, 0, 0, 0, 0]))
    }),
    entry("macaddr8_set7bit", |_, args| {
        let mut bytes = mac8(args, 0)?;
        bytes[0] |= 0x02;
        Ok(Value::MacAddr8(bytes))
    }),
    entry("macaddrtomacaddr8", |_, args| {
        let [a, b, c, d, e, f] = mac(args, 0)?;
        Ok(Value::MacAddr8([a, b, c, 0xff, 0xfe, d, e, f]))
    }),
    entry("macaddr8tomacaddr", |_, args| {
        match mac8(args, 0)? {
        [a, b, c, 0xff, 0xfe, d, e, f] => Ok(Value::MacAddr([a, b, c, d, e, f])),
        _ => Err(PgError::new("22003", "macaddr8 data out of range to convert to macaddr")
            .with_hint(
                "Only addresses that have FF and FE as values in the 4th and 5th bytes from the left, for example \
                 xx:xx:xx:ff:fe:xx:xx:xx, are eligible to be converted from macaddr8 to macaddr.",
            )),
    }
    }),
];

fn mac(args: &[Value], place: usize) -> Result<[u8; 6]> {
    arg(args, place)
}

fn mac8(args: &[Value], place: usize) -> Result<[u8; 8]> {
    arg(args, place)
}

fn pairs(args: &[Value], operation: fn(u8, u8) -> u8) -> Result<Value> {
    let (left, right) = (mac(args, 0)?, mac(args, 1)?);
    Ok(Value::MacAddr(std::array::from_fn(|place| operation(left[place], right[place]))))
}

fn pairs8(args: &[Value], operation: fn(u8, u8) -> u8) -> Result<Value> {
    let (left, right) = (mac8(args, 0)?, mac8(args, 1)?);
    Ok(Value::MacAddr8(std::array::from_fn(|place| operation(left[place], right[place]))))
}
