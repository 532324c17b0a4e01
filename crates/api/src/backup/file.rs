//! The backup file: gzip of lines of JSON, to be looked at with `zcat FILE | head`.
//!
//! ```text
//! {"purser_backup":1,"version":"0.1.0","at":"2026-11-24T13:00:00Z","schema":["m0001_first_purchase"]}
//! {"table":"users","columns":[["id","uuid"],["email","text"]]}
//! ["018f0c7e…","ada@fabrikam.example"]
//! {"rows":{"users":1},"sha256":"…"}
//! ```
//!
//! The first line says what can read it, the last how many rows of each table there are and the SHA-256 of everything
//! before it. It is the same for both databases.

use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Chain, Cursor, Read, Write};
use std::path::Path;
use store::portable::Shape;

/// The format of this version's backups.
const FORMAT: u32 = 1;
/// Bytes of a line, at most: more than any row has.
const LINE: u64 = 16 * 1024 * 1024;
/// How the gzip of a backup begins: no name and no time, so that no byte of a backup goes unproven.
const GZIP: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// Why a file is not restored from.
#[derive(Debug, thiserror::Error)]
pub enum FileFault {
    /// The file system refused.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// Something else than a backup.
    #[error("it is no backup of purser")]
    Foreign,
    /// Written by a later version, which tells its own.
    #[error(
        "it is of format {format}, made by purser {version}; this purser reads format {FORMAT}: use that version or a later one"
    )]
    Newer {
        /// Its format.
        format: u32,
        /// What made it.
        version: String,
    },
    /// Not what was written.
    #[error("it is damaged ({0}): take another backup or another copy of it")]
    Damaged(String),
}

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    purser_backup: u32,
    /// The version of the program that made it.
    pub version: String,
    /// When, in real time.
    pub at: String,
    /// The steps that its schema had taken.
    pub schema: Vec<String>,
}

impl Header {
    /// Of this program.
    pub fn new(at: String, schema: Vec<String>) -> Self {
        Self { purser_backup: FORMAT, version: env!("CARGO_PKG_VERSION").to_owned(), at, schema }
    }
}

/// The last line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trailer {
    /// Rows of each table.
    pub rows: BTreeMap<String, u64>,
    /// SHA-256 of all lines before.
    pub sha256: String,
}

/// Writes a backup.
pub struct Writer<W: Write> {
    out: GzEncoder<BufWriter<W>>,
    hash: Sha256,
    rows: BTreeMap<String, u64>,
}

impl<W: Write> Writer<W> {
    /// Begins with `header`.
    pub fn begin(out: W, header: &Header) -> io::Result<Self> {
        let out = GzBuilder::new().operating_system(255).write(BufWriter::new(out), Compression::default());
        let mut writer = Self { out, hash: Sha256::new(), rows: BTreeMap::new() };
        writer.line(&serde_json::to_string(header)?)?;
        Ok(writer)
    }

    /// A table begins.
    pub fn table(&mut self, shape: &Shape) -> io::Result<()> {
        self.rows.insert(shape.table.clone(), 0);
        self.line(&serde_json::to_string(shape)?)
    }

    /// Rows of `table`, which has begun.
    pub fn rows(&mut self, table: &str, rows: &[String]) -> io::Result<()> {
        if let Some(count) = self.rows.get_mut(table) {
            *count += u64::try_from(rows.len()).unwrap_or(u64::MAX);
        }
        rows.iter().try_for_each(|row| self.line(row))
    }

    /// Ends with the trailer; what was written to, and the trailer.
    pub fn finish(mut self) -> io::Result<(W, Trailer)> {
        let sha256 = hex::encode(self.hash.finalize_reset());
        let trailer = Trailer { rows: std::mem::take(&mut self.rows), sha256 };
        self.line(&serde_json::to_string(&trailer)?)?;
        let out = self.out.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok((out, trailer))
    }

    fn line(&mut self, text: &str) -> io::Result<()> {
        for part in [text.as_bytes(), b"\n"] {
            self.hash.update(part);
            self.out.write_all(part)?;
        }
        Ok(())
    }
}

/// What comes next in a backup.
pub enum Part {
    /// A table begins.
    Table(Shape),
    /// A row of the table that has begun.
    Row(String),
    /// The end; all that came before is what was written.
    End(Trailer),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Mark {
    Table(Shape),
    End(Trailer),
}

/// The file, its first bytes put back after they were looked at.
type Packed<R> = Chain<Cursor<[u8; 10]>, BufReader<R>>;

/// Reads a backup.
pub struct Reader<R: Read> {
    lines: BufReader<GzDecoder<Packed<R>>>,
    hash: Sha256,
    rows: BTreeMap<String, u64>,
    table: Option<String>,
    /// What the first line says.
    pub header: Header,
}

impl Reader<File> {
    /// Opens a file.
    pub fn open(path: &Path) -> Result<Self, FileFault> {
        Self::begin(File::open(path)?)
    }
}

impl<R: Read> Reader<R> {
    /// Reads as far as the header.
    pub fn begin(file: R) -> Result<Self, FileFault> {
        let mut file = BufReader::new(file);
        let mut gzip = [0; 10];
        if file.read_exact(&mut gzip).is_err() || gzip != GZIP {
            return Err(FileFault::Foreign);
        }
        let mut lines = BufReader::new(GzDecoder::new(Cursor::new(gzip).chain(file)));
        let first = read_line(&mut lines)?;
        let about: serde_json::Value = serde_json::from_str(&first).map_err(|_| FileFault::Foreign)?;
        let format = about.get("purser_backup").and_then(serde_json::Value::as_u64).ok_or(FileFault::Foreign)?;
        if format != u64::from(FORMAT) {
            let version = about.get("version").and_then(|version| version.as_str()).unwrap_or("of another version");
            let format = u32::try_from(format).unwrap_or(u32::MAX);
            return Err(FileFault::Newer { format, version: version.chars().take(40).collect() });
        }
        let header = serde_json::from_value(about).map_err(damaged)?;
        let hash = Sha256::new_with_prefix(first).chain_update(b"\n");
        Ok(Self { lines, hash, rows: BTreeMap::new(), table: None, header })
    }

    /// The next part. After [`Part::End`] there is none.
    pub fn next(&mut self) -> Result<Part, FileFault> {
        let line = read_line(&mut self.lines)?;
        if line.starts_with('[') {
            let count = self.table.as_ref().and_then(|table| self.rows.get_mut(table));
            *count.ok_or_else(|| damaged("a row of no table"))? += 1;
            self.add(&line);
            return Ok(Part::Row(line));
        }
        match serde_json::from_str(&line).map_err(|_| damaged("a line that is none"))? {
            Mark::Table(shape) => {
                self.add(&line);
                if self.rows.insert(shape.table.clone(), 0).is_some() {
                    return Err(damaged("a table twice"));
                }
                self.table = Some(shape.table.clone());
                Ok(Part::Table(shape))
            }
            Mark::End(trailer) => {
                if trailer.sha256 != hex::encode(self.hash.finalize_reset()) || trailer.rows != self.rows {
                    return Err(damaged("its hash or its number of rows is another"));
                }
                self.nothing_follows()?;
                Ok(Part::End(trailer))
            }
        }
    }

    /// Reads to the end, and so finds whatever is wrong.
    pub fn check(mut self) -> Result<Trailer, FileFault> {
        loop {
            if let Part::End(trailer) = self.next()? {
                return Ok(trailer);
            }
        }
    }

    fn add(&mut self, line: &str) {
        self.hash.update(line);
        self.hash.update(b"\n");
    }

    fn nothing_follows(&mut self) -> Result<(), FileFault> {
        let mut end = [0];
        // Reading to the end of the gzip also checks its own sum.
        if self.lines.read(&mut end).map_err(damaged)? > 0 || !self.lines.get_mut().get_mut().fill_buf()?.is_empty() {
            return Err(damaged("something follows its end"));
        }
        Ok(())
    }
}

fn damaged(what: impl std::fmt::Display) -> FileFault {
    FileFault::Damaged(what.to_string())
}

fn read_line(lines: &mut impl BufRead) -> Result<String, FileFault> {
    let mut line = Vec::new();
    lines.by_ref().take(LINE).read_until(b'\n', &mut line).map_err(damaged)?;
    if line.pop() != Some(b'\n') {
        return Err(damaged("it ends in the middle"));
    }
    String::from_utf8(line).map_err(damaged)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests {
    use super::*;
    use store::portable::Kind;

    fn backup() -> Vec<u8> {
        let header = Header::new("2026-11-24T13:00:00Z".into(), vec!["m0001_first_purchase".into()]);
        let shape = Shape { table: "settings".into(), columns: vec![("key".into(), Kind::Text)] };
        let mut writer = Writer::begin(Vec::new(), &header).unwrap();
        writer.table(&shape).unwrap();
        writer.rows("settings", &[r#"["a"]"#.to_owned(), r#"["ü"]"#.to_owned()]).unwrap();
        writer.finish().unwrap().0
    }

    fn read(bytes: &[u8]) -> Result<Trailer, FileFault> {
        Reader::begin(bytes)?.check()
    }

    /// The lines of a backup, changed and packed again.
    fn rewritten(change: impl Fn(String) -> String) -> Vec<u8> {
        let mut text = String::new();
        GzDecoder::new(&backup()[..]).read_to_string(&mut text).unwrap();
        let mut out = GzBuilder::new().operating_system(255).write(Vec::new(), Compression::default());
        out.write_all(change(text).as_bytes()).unwrap();
        out.finish().unwrap()
    }

    #[test]
    fn what_was_written_is_read() {
        let trailer = read(&backup()).unwrap();
        assert_eq!(trailer.rows, BTreeMap::from([("settings".to_owned(), 2)]));
        assert_eq!(backup(), backup(), "nothing in it is by chance");
        assert_eq!(rewritten(|text| text), backup());
    }

    #[test]
    fn one_byte_flipped_anywhere_is_found() {
        let whole = backup();
        for place in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[place] ^= 0xff;
            assert!(read(&bytes).is_err(), "byte {place} of {}", whole.len());
        }
    }

    #[test]
    fn cut_off_anywhere_or_followed_by_anything_is_found() {
        let whole = backup();
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "{length} of {}", whole.len());
        }
        assert!(read(&[&whole[..], b"\n"].concat()).is_err());
        assert!(read(&[&whole[..], &whole[..]].concat()).is_err());
    }

    #[test]
    fn rows_are_neither_changed_nor_left_out_nor_added() {
        for (from, to) in [
            (r#"["a"]"#, r#"["b"]"#),
            ("[\"a\"]\n", ""),
            ("[\"a\"]\n", "[\"a\"]\n[\"a\"]\n"),
            ("settings", "setting_"),
            (r#""rows":{"settings":2}"#, r#""rows":{"settings":3}"#),
            (r#"{"rows""#, "{}\n{\"rows\""),
            (r#"{"table""#, "[\"a\"]\n{\"table\""),
        ] {
            let bytes = rewritten(|text| {
                assert!(text.contains(from), "{from}");
                text.replacen(from, to, 1)
            });
            assert!(matches!(read(&bytes), Err(FileFault::Damaged(_))), "{from}");
        }
    }

    #[test]
    fn a_later_format_names_what_reads_it() {
        let bytes = rewritten(|text| {
            text.replacen("\"purser_backup\":1", "\"purser_backup\":2", 1).replacen("0.1.0", "9.8.7", 1)
        });
        let said = read(&bytes).unwrap_err().to_string();
        assert!(said.contains("9.8.7") && said.contains("format 2"), "{said}");
    }

    #[test]
    fn anything_else_is_no_backup() {
        for bytes in [&b""[..], b"SQLite format 3\0", b"\x1f\x8b"] {
            assert!(matches!(read(bytes), Err(FileFault::Foreign)));
        }
        assert!(matches!(read(&rewritten(|_| "{}\n".into())), Err(FileFault::Foreign)));
    }
}
