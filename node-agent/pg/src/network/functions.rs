//! What is computed with `inet` and `cidr`.

use super::{Inet, text};
use crate::arguments::{arg, int4, int8};
use crate::error::{PgError, Result};
use crate::registry::{Entry, entry};
use crate::value::Value;

pub(crate) const FUNCTIONS: &[Entry] = &[
    entry("network_host", |_, args| Ok(Value::text(text::host(&inet(args, 0)?)))),
    entry("network_show", |_, args| {
        let value = inet(args, 0)?;
        Ok(Value::text(format!("{}/{}", text::host(&value), value.bits)))
    }),
    entry("inet_abbrev", |_, args| Ok(Value::text(text::output(&inet(args, 0)?, false)))),
    entry("cidr_abbrev", |_, args| Ok(Value::text(text::abbreviated(&inet(args, 0)?)))),
    entry("network_masklen", |_, args| Ok(Value::Int4(i32::from(inet(args, 0)?.bits)))),
    entry("network_family", |_, args| Ok(Value::Int4(if inet(args, 0)?.is_v6 { 6 } else { 4 }))),
    entry("network_broadcast", |_, args| {
        let value = inet(args, 0)?;
        let host = value.ones() & !value.mask(value.bits);
        Ok(Value::Inet(Inet { address: value.address | host, ..value }))
    }),
    entry("network_network", |_, args| {
        let value = inet(args, 0)?;
        Ok(Value::Inet(value.network(value.bits)))
    }),
    entry("network_netmask", |_, args| {
        let value = inet(args, 0)?;
        let address = value.mask(value.bits);
        Ok(Value::Inet(Inet { bits: value.width(), address, ..value }))
    }),
    entry("network_hostmask", |_, args| {
        let value = inet(args, 0)?;
        let address = value.ones() & !value.mask(value.bits);
        Ok(Value::Inet(Inet { bits: value.width(), address, ..value }))
    }),
    entry("inet_same_family", |_, args| {
        Ok(Value::Bool(inet(args, 0)?.is_v6 == inet(args, 1)?.is_v6))
    }),
    entry("inet_merge", merge),
    entry("inet_set_masklen", |_, args| {
        let (value, bits) = with_masklen(args)?;
        Ok(Value::Inet(Inet { bits, ..value }))
    }),
    entry("cidr_set_masklen", |_, args| {
        let (value, bits) = with_masklen(args)?;
        Ok(Value::Inet(value.network(bits)))
    }),
    entry("inet_to_cidr", |_, args| {
        let value = inet(args, 0)?;
        Ok(Value::Inet(value.network(value.bits)))
    }),
    entry("network_sub", |_, args| contained(args, false, |inner, outer| inner > outer)),
    entry("network_subeq", |_, args| contained(args, false, |inner, outer| inner >= outer)),
    entry("network_sup", |_, args| contained(args, true, |inner, outer| inner > outer)),
    entry("network_supeq", |_, args| contained(args, true, |inner, outer| inner >= outer)),
    entry("network_overlap", |_, args| {
        let (left, right) = (inet(args, 0)?, inet(args, 1)?);
        let bits = left.bits.min(right.bits);
        Ok(Value::Bool(left.is_v6 == right.is_v6 && left.begins_as(&right, bits)))
    }),
    entry("inetnot", |_, args| {
        let value = inet(args, 0)?;
        Ok(Value::Inet(Inet { address: !value.address & value.ones(), ..value }))
    }),
    entry("inetand", |_, args| bitwise(args, "AND", |left, right| left & right)),
    entry("inetor", |_, args| bitwise(args, "OR", |left, right| left | right)),
    entry("inetpl", |_, args| add(&inet(args, 0)?, int8(args, 1)?)),
    entry("int8pl_inet(int8,inet)", |_, args| add(&inet(args, 1)?, int8(args, 0)?)),
    entry("inetmi_int8", |_, args| add(&inet(args, 0)?, int8(args, 1)?.wrapping_neg())),
    entry("inetmi", |_, args| {
        let (left, right) = (inet(args, 0)?, inet(args, 1)?);
        same_family(&left, &right, "cannot subtract inet values of different sizes")?;
        // Differences of more than 127 bits come round, as PostgreSQL's do.
        let difference = left.address.wrapping_sub(right.address).cast_signed();
        i64::try_from(difference).map(Value::Int8).map_err(|_| beyond())
    }),
];

fn inet(args: &[Value], place: usize) -> Result<Inet> {
    arg(args, place)
}

fn beyond() -> PgError {
    PgError::new("22003", "result is out of range")
}

fn same_family(left: &Inet, right: &Inet, message: &'static str) -> Result<()> {
    if left.is_v6 == right.is_v6 { Ok(()) } else { Err(PgError::new("22023", message)) }
}

fn with_masklen(args: &[Value]) -> Result<(Inet, u8)> {
    let (value, bits) = (inet(args, 0)?, int4(args, 1)?);
    let wanted = if bits == -1 { Some(value.width()) } else { u8::try_from(bits).ok() };
    match wanted.filter(|wanted| *wanted <= value.width()) {
        Some(wanted) => Ok((value, wanted)),
        None => Err(PgError::new("22023", format!("invalid mask length: {bits}"))),
    }
}

fn merge(_: &crate::CallContext<'_>, args: &[Value]) -> Result<Value> {
    let (left, right) = (inet(args, 0)?, inet(args, 1)?);
    same_family(&left, &right, "cannot merge addresses from different families")?;
    let least = left.bits.min(right.bits);
    let common = (0..=least).rev().find(|bits| left.begins_as(&right, *bits)).unwrap_or(0);
    Ok(Value::Inet(left.network(common)))
}

fn contained(args: &[Value], is_swapped: bool, test: fn(u8, u8) -> bool) -> Result<Value> {
    let (left, right) = (inet(args, 0)?, inet(args, 1)?);
    let (inner, outer) = if is_swapped { (right, left) } else { (left, right) };
    let holds = inner.is_v6 == outer.is_v6
        && test(inner.bits, outer.bits)
        && inner.begins_as(&outer, outer.bits);
    Ok(Value::Bool(holds))
}

fn bitwise(args: &[Value], name: &str, operation: fn(u128, u128) -> u128) -> Result<Value> {
    let (left, right) = (inet(args, 0)?, inet(args, 1)?);
    if left.is_v6 != right.is_v6 {
        let message = format!("cannot {name} inet values of different sizes");
        return Err(PgError::new("22023", message));
    }
    let address = operation(left.address, right.address);
    Ok(Value::Inet(Inet { bits: left.bits.max(right.bits), address, ..left }))
}

fn add(value: &Inet, addend: i64) -> Result<Value> {
    let moved = if addend >= 0 {
        value.address.checked_add(u128::from(addend.unsigned_abs()))
    } else {
        value.address.checked_sub(u128::from(addend.unsigned_abs()))
    };
    let address = moved.filter(|address| *address <= value.ones()).ok_or_else(beyond)?;
    Ok(Value::Inet(Inet { address, ..*value }))
}
