//! What a server says: messages → bytes, for whoever stands at the server's end. DataRow messages are not among them: they
//! travel as they are, in a [`Batch`](crate::record::Batch).

use bytes::BytesMut;

use crate::connection::TransactionStatus;
pub use crate::frame::encode_error;
use crate::node::ResultFormats;
use crate::record::{ColumnDescription, Format};

/// Appends a message without a body: `1` ParseComplete, `2` BindComplete, `3` CloseComplete, `n` NoData, `s`
/// PortalSuspended, `I` EmptyQueryResponse, `c` CopyDone.
pub fn encode_bare(tag: u8, out: &mut BytesMut) {
    out.extend_from_slice(&[tag, 0, 0, 0, 4]);
}

/// Appends a message with a body.
pub fn encode_body(tag: u8, body: &[u8], out: &mut BytesMut) {
    message(tag, out, |out| out.extend_from_slice(body));
}

/// Appends AuthenticationOk.
pub fn encode_authentication_ok(out: &mut BytesMut) {
    encode_body(b'R', &0_u32.to_be_bytes(), out);
}

/// Appends a request of authentication by SASL: its number (10: the mechanisms, 11 and 12: what the server says) and body.
pub fn encode_sasl(number: u32, body: &[u8], out: &mut BytesMut) {
    encode_body(b'R', &[&number.to_be_bytes(), body].concat(), out);
}

/// Appends ParameterStatus.
pub fn encode_parameter_status(name: &str, value: &str, out: &mut BytesMut) {
    message(b'S', out, |out| {
        put_text(name, out);
        put_text(value, out);
    });
}

/// Appends BackendKeyData.
pub fn encode_key_data(process_id: i32, secret_key: i32, out: &mut BytesMut) {
    message(b'K', out, |out| {
        out.extend_from_slice(&process_id.to_be_bytes());
        out.extend_from_slice(&secret_key.to_be_bytes());
    });
}

/// Appends ReadyForQuery.
pub fn encode_ready(status: TransactionStatus, out: &mut BytesMut) {
    let status = match status {
        TransactionStatus::Idle => b'I',
        TransactionStatus::Open => b'T',
        TransactionStatus::Failed => b'E',
    };
    encode_body(b'Z', &[status], out);
}

/// Appends CommandComplete.
pub fn encode_complete(tag: &str, out: &mut BytesMut) {
    message(b'C', out, |out| put_text(tag, out));
}

/// Appends ParameterDescription.
pub fn encode_params(params: &[dataman_pg::TypeId], out: &mut BytesMut) {
    message(b't', out, |out| {
        out.extend_from_slice(&u16::try_from(params.len()).unwrap_or(u16::MAX).to_be_bytes());
        for param in params {
            out.extend_from_slice(&param.0.to_be_bytes());
        }
    });
}

/// Appends RowDescription. `formats` are as in Bind: none for all text, one for all, or one for each.
pub fn encode_columns(columns: &[ColumnDescription], formats: &ResultFormats, out: &mut BytesMut) {
    message(b'T', out, |out| {
        out.extend_from_slice(&u16::try_from(columns.len()).unwrap_or(u16::MAX).to_be_bytes());
        for (place, column) in columns.iter().enumerate() {
            put_text(&column.name, out);
            // Of no table.
            out.extend_from_slice(&[0; 6]);
            out.extend_from_slice(&column.ty.id.0.to_be_bytes());
            let length = dataman_pg::catalog::type_by_id(column.ty.id).map_or(-1, |ty| ty.length);
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(&column.ty.typmod.to_be_bytes());
            let format = match formats.formats.as_slice() {
                [] => Format::Text,
                [one] => *one,
                each => each.get(place).copied().unwrap_or_default(),
            };
            let code: u16 = match format {
                Format::Text => 0,
                Format::Binary => 1,
            };
            out.extend_from_slice(&code.to_be_bytes());
        }
    });
}

fn put_text(text: &str, out: &mut BytesMut) {
    out.extend(text.bytes().filter(|byte| *byte != 0));
    out.extend_from_slice(&[0]);
}

fn message(tag: u8, out: &mut BytesMut, body: impl FnOnce(&mut BytesMut)) {
    let start = out.len() + 1;
    out.extend_from_slice(&[tag, 0, 0, 0, 0]);
    body(out);
    let length = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataman_pg::{TypeId, TypeRef};

    #[test]
    fn what_is_written_is_read() {
        let mut out = BytesMut::new();
        let columns = vec![
            ColumnDescription { name: "a".to_owned(), ty: TypeRef::plain(TypeId::INT4) },
            ColumnDescription {
                name: "ä".to_owned(),
                ty: TypeRef { id: TypeId::VARCHAR, typmod: 7 },
            },
        ];
        encode_columns(&columns, &ResultFormats { formats: vec![Format::Binary] }, &mut out);
        assert_eq!(crate::frame::parse_columns(&out[5..]).unwrap(), columns);
        out.clear();
        encode_params(&[TypeId::TEXT], &mut out);
        assert_eq!(&out[..], b"t\0\0\0\x0a\0\x01\0\0\0\x19");
        out.clear();
        encode_ready(TransactionStatus::Failed, &mut out);
        encode_complete("SELECT 1", &mut out);
        encode_bare(b'n', &mut out);
        assert_eq!(&out[..], b"Z\0\0\0\x05EC\0\0\0\x0dSELECT 1\0n\0\0\0\x04");
    }
}
