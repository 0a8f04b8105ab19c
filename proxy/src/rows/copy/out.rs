//! Rows → CopyData: `COPY … TO STDOUT`.

use bytes::{BufMut, BytesMut};
use dataman_node_protocol::record::{Batch, Format};
use dataman_pg::PgError;

use super::options::{Columns, CopyFormat, CopyOptions, Encoding, Header};
use super::{binary, csv, text};

/// Writes DataRow messages anew as CopyData messages, without decoding a value.
#[derive(Debug)]
pub struct CopyOut {
    options: CopyOptions,
    /// The columns' names.
    columns: Vec<String>,
    /// Which columns are always in quotes.
    force_quote: Vec<bool>,
    /// Whether nothing has been written yet: binary has its header in the message of the first row.
    first: bool,
    scratch: Vec<u8>,
}

impl CopyOut {
    /// A writer of rows with these columns, which `options` are about.
    pub fn new(options: CopyOptions, columns: Vec<String>) -> Self {
        let force_quote = columns
            .iter()
            .map(|column| match &options.force_quote {
                Columns::All => true,
                Columns::Named(names) => names.contains(column),
            })
            .collect();
        Self { options, columns, force_quote, first: true, scratch: Vec::new() }
    }

    /// The format in which values are asked for.
    pub fn value_format(&self) -> Format {
        match self.options.format {
            CopyFormat::Binary => Format::Binary,
            CopyFormat::Text | CopyFormat::Csv => Format::Text,
        }
    }

    /// CopyOutResponse and, if there is one, the header line.
    ///
    /// # Errors
    /// `22P05`: a name is not in the encoding asked for.
    pub fn begin(&mut self) -> Result<Batch, PgError> {
        let mut frames = BytesMut::new();
        let code: u8 = if self.options.format == CopyFormat::Binary { 1 } else { 0 };
        message(b'H', &mut frames, |out| {
            out.put_u8(code);
            out.put_u16(u16::try_from(self.columns.len()).unwrap_or(u16::MAX));
            for _ in &self.columns {
                out.put_i16(i16::from(code));
            }
        });
        if self.options.header != Header::None {
            let names = std::mem::take(&mut self.columns);
            let fields = names.iter().map(|name| Some(name.as_bytes()));
            self.put_row(fields, names.len(), &mut frames, Line::Header)?;
            self.columns = names;
        }
        Ok(Batch { frames: frames.freeze(), rows: 0 })
    }

    /// Rows as CopyData messages.
    ///
    /// # Errors
    /// `22P05`: a value is not in the encoding asked for.
    pub fn rows(&mut self, batch: &Batch) -> Result<Batch, PgError> {
        let mut frames = BytesMut::with_capacity(batch.frames.len() + batch.rows);
        for row in batch.iter() {
            self.put_row(row.columns(), row.len(), &mut frames, Line::Row)?;
        }
        Ok(Batch { frames: frames.freeze(), rows: batch.rows })
    }

    /// What ends the data, and CopyDone.
    pub fn end(&mut self) -> Batch {
        let mut frames = BytesMut::new();
        if self.options.format == CopyFormat::Binary {
            let first = std::mem::take(&mut self.first);
            message(b'd', &mut frames, |out| {
                if first {
                    out.put_slice(binary::HEADER);
                }
                out.put_slice(binary::TRAILER);
            });
        }
        message(b'c', &mut frames, |_| {});
        Batch { frames: frames.freeze(), rows: 0 }
    }

    fn put_row<'a>(
        &mut self,
        fields: impl Iterator<Item = Option<&'a [u8]>>,
        count: usize,
        frames: &mut BytesMut,
        line: Line,
    ) -> Result<(), PgError> {
        let options = &self.options;
        if options.format == CopyFormat::Binary {
            let first = std::mem::take(&mut self.first);
            message(b'd', frames, |out| {
                if first {
                    out.put_slice(binary::HEADER);
                }
                out.put_u16(u16::try_from(count).unwrap_or(u16::MAX));
                fields.for_each(|field| binary::put_field(field, out));
            });
            return Ok(());
        }
        let start = begin_message(b'd', frames);
        for (place, field) in fields.enumerate() {
            if place > 0 {
                frames.put_u8(options.delimiter);
            }
            let field = match (field, options.encoding) {
                (Some(field), Encoding::Latin1) => {
                    latin1(field, &mut self.scratch)?;
                    Some(self.scratch.as_slice())
                }
                (field, _) => field,
            };
            match (field, options.format) {
                (None, _) => frames.put_slice(options.null.as_bytes()),
                (Some(field), CopyFormat::Csv) => csv::put_value(
                    field,
                    options.delimiter,
                    options.quoting,
                    options.null.as_bytes(),
                    matches!(line, Line::Row)
                        && self.force_quote.get(place).copied().unwrap_or(false),
                    count == 1,
                    frames,
                ),
                (Some(field), _) => text::put_value(field, options.delimiter, frames),
            }
        }
        frames.put_u8(b'\n');
        end_message(start, frames);
        Ok(())
    }
}

/// Which sort of line is written.
#[derive(Debug, Clone, Copy)]
enum Line {
    Header,
    Row,
}

fn begin_message(kind: u8, out: &mut BytesMut) -> usize {
    out.put_u8(kind);
    out.put_u32(0);
    out.len() - 4
}

fn end_message(start: usize, out: &mut BytesMut) {
    let length = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

fn message(kind: u8, out: &mut BytesMut, fill: impl FnOnce(&mut BytesMut)) {
    let start = begin_message(kind, out);
    fill(out);
    end_message(start, out);
}

/// UTF-8 → ISO 8859-1.
fn latin1(value: &[u8], out: &mut Vec<u8>) -> Result<(), PgError> {
    out.clear();
    if value.is_ascii() {
        out.extend_from_slice(value);
        return Ok(());
    }
    for character in String::from_utf8_lossy(value).chars() {
        let byte = u8::try_from(u32::from(character)).map_err(|_| {
            let mut bytes = [0; 4];
            let shown: Vec<String> = character
                .encode_utf8(&mut bytes)
                .bytes()
                .map(|byte| format!("0x{byte:02x}"))
                .collect();
            PgError::new(
                "22P05",
                format!(
                    "character with byte sequence {} in encoding \"UTF8\" has no equivalent in encoding \"LATIN1\"",
                    shown.join(" ")
                ),
            )
        })?;
        out.push(byte);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::copy::options::Direction;
    use crate::rows::encode::text_rows;

    fn check(sql: &str, rows: &[&[Option<&str>]], expected: &str) {
        let statement = crate::parse::parse(sql).expect("the test's statement is one").remove(0);
        let crate::parse::syntax::Statement::Copy(copy) = statement.statement else {
            panic!("not a COPY");
        };
        let options = CopyOptions::read(&copy.options, Direction::Out, &|_| 0).expect("options");
        let names = ["a", "b"].map(str::to_owned).to_vec();
        let mut out = CopyOut::new(options, names);
        let mut data = Vec::new();
        let batch = text_rows(rows.iter().map(|row| row.iter().copied()));
        for batch in [out.begin().unwrap(), out.rows(&batch).unwrap(), out.end()] {
            let mut frames = &batch.frames[..];
            while let [kind, a, b, c, d, ..] = *frames {
                let length = u32::from_be_bytes([a, b, c, d]) as usize;
                if kind == b'd' {
                    data.extend_from_slice(&frames[5..=length]);
                }
                frames = &frames[1 + length..];
            }
        }
        assert_eq!(String::from_utf8_lossy(&data), expected, "{sql}");
    }

    #[test]
    fn rows_are_written() {
        let rows: &[&[Option<&str>]] = &[&[Some("1"), None], &[Some("x,y"), Some("p\tq\"\\")]];
        check("copy t to stdout", rows, "1\t\\N\nx,y\tp\\tq\"\\\\\n");
        check("copy t to stdout csv header", rows, "a,b\n1,\n\"x,y\",\"p\tq\"\"\\\"\n");
        check("copy t to stdout (format csv, force_quote (a))", &rows[..1], "\"1\",\n");
        check("copy t to stdout (format csv, force_quote *, null 'N')", &rows[..1], "\"1\",N\n");
        check("copy t to stdout (header, delimiter '|')", &rows[..1], "a|b\n1|\\N\n");
    }

    #[test]
    fn encodings() {
        let mut out = Vec::new();
        latin1("aä".as_bytes(), &mut out).unwrap();
        assert_eq!(out, [b'a', 0xE4]);
        assert_eq!(latin1("€".as_bytes(), &mut out).unwrap_err().sqlstate(), "22P05");
    }
}
