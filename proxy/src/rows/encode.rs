//! Rows that the proxy makes itself → DataRow.

use bytes::{BufMut, BytesMut};
use dataman_node_protocol::record::Batch;

/// Makes a batch of rows of text values: text and binary look the same.
pub fn text_rows<'a, R>(rows: impl IntoIterator<Item = R>) -> Batch
where
    R: IntoIterator<Item = Option<&'a str>>,
{
    let mut frames = BytesMut::new();
    let mut count = 0;
    for row in rows {
        let start = frames.len();
        frames.put_u8(b'D');
        frames.put_i32(0);
        frames.put_u16(0);
        let mut columns = 0u16;
        for value in row {
            match value {
                None => frames.put_i32(-1),
                Some(text) => {
                    frames.put_u32(u32::try_from(text.len()).unwrap_or(0));
                    frames.put_slice(text.as_bytes());
                }
            }
            columns += 1;
        }
        let length = u32::try_from(frames.len() - start - 1).unwrap_or(u32::MAX);
        frames[start + 1..start + 5].copy_from_slice(&length.to_be_bytes());
        frames[start + 5..start + 7].copy_from_slice(&columns.to_be_bytes());
        count += 1;
    }
    Batch { frames: frames.freeze(), rows: count }
}

/// Cuts the first `rows` rows off a batch.
pub fn split_rows(batch: &mut Batch, rows: usize) -> Batch {
    if rows >= batch.rows {
        return std::mem::take(batch);
    }
    let mut at = 0;
    for _ in 0..rows {
        let Some(head) = batch.frames.get(at + 1..at + 5) else { break };
        at += 1 + u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
    }
    let first = batch.frames.split_to(at.min(batch.frames.len()));
    batch.rows -= rows;
    Batch { frames: first, rows }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_framed_and_split() {
        let mut batch = text_rows([[Some("a")], [None], [Some("ccc")]]);
        assert_eq!(batch.rows, 3);
        let first = split_rows(&mut batch, 2);
        assert_eq!(
            &first.frames[..],
            b"D\0\0\0\x0b\0\x01\0\0\0\x01aD\0\0\0\x0a\0\x01\xff\xff\xff\xff"
        );
        assert_eq!((first.rows, batch.rows), (2, 1));
        assert_eq!(&batch.frames[..], b"D\0\0\0\x0d\0\x01\0\0\0\x03ccc");
        assert_eq!(split_rows(&mut batch, 9).rows, 1);
        assert_eq!(batch.rows, 0);
    }
}
