//! Tables as text: CSV with any delimiter and quote, with a header or columns by position.

use std::io::Read;
use std::sync::Arc;

use csv::{ReaderBuilder, StringRecord, Terminator};

use super::decode::count;
use super::origin::{Origin, check, cut, has_control};
use super::{Encoding, LONGEST_FIELD, LONGEST_RECORD, MOST_COLUMNS, ReadError, Reader, decoded};
use crate::record::{Columns, Fields, Record, Row};

/// How a table is written.
#[derive(Debug, Clone)]
pub struct Format {
    /// The encoding.
    pub encoding: Encoding,
    /// What separates the fields, one ASCII character.
    pub delimiter: u8,
    /// What quotes a field; doubled within it.
    pub quote: u8,
    /// The names of the columns in order, where the table has no header.
    pub columns: Option<Vec<String>>,
    /// Columns that a header must have.
    pub required: Vec<String>,
    /// Texts that mean "no value", besides the empty one.
    pub null: Vec<String>,
    /// The row that ends the table; without it the table was cut off.
    pub trailer: Option<Trailer>,
}

/// The row that ends a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trailer {
    /// The text of its first field.
    pub first: String,
    /// Which of its fields, counted from 1, holds the number of rows before it.
    pub count: Option<usize>,
}

impl Default for Format {
    fn default() -> Self {
        Self {
            encoding: Encoding::utf8(),
            delimiter: b',',
            quote: b'"',
            columns: None,
            required: Vec::new(),
            null: Vec::new(),
            trailer: None,
        }
    }
}

/// Reads the records of a table.
pub struct CsvReader {
    reader: csv::Reader<Limited>,
    columns: Arc<Columns>,
    null: Vec<String>,
    trailer: Option<Trailer>,
    origin: Origin,
    row: StringRecord,
    number: u64,
    ended: bool,
}

impl CsvReader {
    /// Begins to read a table; `name` is what messages call it.
    ///
    /// # Errors
    /// [`ReadError::Fatal`] where the table has no header, a header lacks a required column or names one twice, or
    /// the first bytes cannot be decoded.
    pub fn new(bytes: Box<dyn Read + Send>, name: &str, format: &Format) -> Result<Self, ReadError> {
        let origin = Origin::new(name);
        let text = decoded(bytes, format.encoding).map_err(|e| origin.fatal(0, Some(1), e.to_string(), None))?;
        let mut reader = ReaderBuilder::new()
            .delimiter(format.delimiter)
            .quote(format.quote)
            .has_headers(false)
            .flexible(true)
            // Lines end with LF; the CR in front is taken off the last field, so that line numbers stay right.
            .terminator(Terminator::Any(b'\n'))
            .buffer_capacity(BUFFER)
            .from_reader(Limited {
                text,
                delimiter: format.delimiter,
                quote: format.quote,
                at: At::Start,
                in_field: 0,
                in_record: 0,
                columns: 1,
            });
        let mut row = StringRecord::new();
        let names: Vec<Arc<str>> = if let Some(columns) = &format.columns {
            columns.iter().map(|c| Arc::from(c.as_str())).collect()
        } else {
            let there = reader.read_record(&mut row).map_err(|e| read_failed(&origin, 0, &e))?;
            if !there {
                let hint = "an export without records still has its header; the file may be cut off";
                return Err(origin.fatal(0, Some(1), "the file is empty", Some(hint)));
            }
            row.iter().map(|name| Arc::from(name.trim())).collect()
        };
        for (at, name) in names.iter().enumerate() {
            if names[..at].contains(name) && !name.is_empty() {
                let message = format!("the header has the column '{name}' twice");
                return Err(origin.fatal(0, Some(1), message, Some("rename one of them in the export")));
            }
        }
        for required in &format.required {
            if !names.iter().any(|name| **name == **required) {
                let found = names.join(", ");
                let hint = format!("the header has: {}; check delimiter and encoding", cut(&found));
                let message = format!("the header has no column '{required}'");
                return Err(origin.fatal(0, Some(1), message, Some(&hint)));
            }
        }
        let (null, trailer) = (format.null.clone(), format.trailer.clone());
        let columns = Arc::new(Columns::new(names));
        Ok(Self { reader, columns, null, trailer, origin, row, number: 0, ended: false })
    }

    fn record(&self, line: Option<u64>) -> Result<Record, ReadError> {
        let refuse = |message: String| self.origin.refused(self.number, line, message);
        let names = self.columns.names();
        if self.row.len() != names.len() {
            let (found, wanted) = (self.row.len(), names.len());
            return Err(refuse(format!(
                "has {found} fields where the table has {wanted} columns; a field with the delimiter in it must be quoted"
            )));
        }
        let text = self.row.as_slice();
        let ends = |last: &str| last.ends_with('\r');
        let text = if self.row.iter().next_back().is_some_and(ends) { &text[..text.len() - 1] } else { text };
        // All fields at once where nothing is amiss; else the first that is refused says why.
        if text.len() > LONGEST_FIELD || has_control(text) {
            for (name, text) in names.iter().zip(&self.row) {
                check(name, text.strip_suffix('\r').unwrap_or(text)).map_err(refuse)?;
            }
        }
        let (text, ends) = if self.null.is_empty() { self.as_it_is(text) } else { self.without_nulls(text) };
        let row = Row::new(Arc::clone(&self.columns), text, ends);
        Ok(Record { fields: Fields::Row(row), place: self.origin.place(self.number, line) })
    }

    /// The row's text, of which a line end may have been taken off, and the ends of its fields.
    fn as_it_is(&self, text: &str) -> (Box<str>, Box<[u32]>) {
        let end = |at| self.row.range(at).map_or(text.len(), |range| range.end.min(text.len()));
        (text.into(), (0..self.row.len()).map(|at| offset(end(at))).collect())
    }

    /// The same, with nothing in place of the texts that mean "no value".
    fn without_nulls(&self, text: &str) -> (Box<str>, Box<[u32]>) {
        let mut kept = String::with_capacity(text.len());
        let mut ends = Vec::with_capacity(self.row.len());
        for at in 0..self.row.len() {
            let range = self.row.range(at).unwrap_or_default();
            let field = text.get(range.start..range.end.min(text.len())).unwrap_or_default();
            if self.null.iter().all(|null| null != field) {
                kept.push_str(field);
            }
            ends.push(offset(kept.len()));
        }
        (kept.into(), ends.into())
    }

    /// Checks the row that ends the table, and that it does.
    fn end(&mut self, trailer: &Trailer, line: Option<u64>) -> Result<(), ReadError> {
        let fatal = |message: String| {
            Err(self.origin.fatal(self.number, line, message, Some("the file may be cut off; have it exported again")))
        };
        if let Some(at) = trailer.count {
            let written = self.row.get(at.saturating_sub(1)).unwrap_or_default().trim();
            if written.parse() != Ok(self.number) {
                return fatal(format!("the last row counts '{}' rows, and there are {}", cut(written), self.number));
            }
        }
        match self.reader.read_record(&mut self.row) {
            Ok(false) => Ok(()),
            Ok(true) => fatal(format!("rows follow the last row, '{}'", cut(&trailer.first))),
            Err(error) => Err(read_failed(&self.origin, self.number, &error)),
        }
    }
}

impl Reader for CsvReader {
    fn next(&mut self) -> Option<Result<Record, ReadError>> {
        if self.ended {
            return None;
        }
        match self.reader.read_record(&mut self.row) {
            Ok(false) => {
                self.ended = true;
                let Trailer { first, .. } = self.trailer.as_ref()?;
                let message = format!("the file ends without its last row, '{}': it was cut off", cut(first));
                Some(Err(self.origin.fatal(self.number, None, message, Some("have it exported again"))))
            }
            Ok(true) => {
                let line = self.row.position().map(csv::Position::line);
                let first = self.row.get(0).map(|text| text.trim_end_matches('\r'));
                if let Some(trailer) = self.trailer.take_if(|trailer| first == Some(trailer.first.as_str())) {
                    self.ended = true;
                    return self.end(&trailer, line).err().map(Err);
                }
                self.number += 1;
                Some(self.record(line))
            }
            Err(error) => {
                self.ended = true;
                self.number += 1;
                Some(Err(read_failed(&self.origin, self.number, &error)))
            }
        }
    }
}

impl std::fmt::Debug for CsvReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CsvReader").field("origin", &self.origin).field("number", &self.number).finish_non_exhaustive()
    }
}

/// A place in a record, which is never longer than [`LONGEST_RECORD`] and a buffer.
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// Bytes that are read and looked through at once.
const BUFFER: usize = 64 * 1024;

/// Stops a runaway quote or a table with too many columns before it fills the memory.
struct Limited {
    text: Box<dyn Read + Send>,
    delimiter: u8,
    quote: u8,
    at: At,
    /// Bytes since the field began.
    in_field: usize,
    /// Bytes since the record began.
    in_record: usize,
    columns: usize,
}

/// Where in a field a byte stands, as the `csv` crate takes it: a quote opens a field only as its first byte.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    Plain,
    Quoted,
    /// Behind a quote within quotes: the end of them, or the first of two that stand for one.
    Quote,
}

impl Limited {
    fn step(&mut self, byte: u8) {
        self.in_record += 1;
        self.in_field += 1;
        if byte == self.quote {
            self.at = match self.at {
                At::Start | At::Quote => At::Quoted,
                At::Quoted => At::Quote,
                At::Plain => At::Plain,
            };
        } else if self.at == At::Quoted {
            // Whatever stands within quotes is content.
        } else if byte == b'\n' {
            (self.at, self.in_field, self.in_record, self.columns) = (At::Start, 0, 0, 1);
        } else if byte == self.delimiter {
            (self.at, self.in_field) = (At::Start, 0);
            self.columns += 1;
        } else {
            self.at = At::Plain;
        }
    }
}

impl Limited {
    /// Takes bytes without a quote in them at once, unless they could be beyond a limit. Where the last line and the
    /// last field begin is all that counts then.
    fn skim(&mut self, bytes: &[u8]) -> bool {
        // No field and no record can reach its limit within so few bytes, and so few delimiters are no wide line.
        let far = self.in_field.max(self.in_record) + bytes.len() <= LONGEST_FIELD;
        let plain = matches!(self.at, At::Start | At::Plain) && far && !has(bytes, self.quote);
        if !plain || self.columns + count(bytes, self.delimiter) > MOST_COLUMNS {
            return false;
        }
        let line = match bytes.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => {
                (self.in_record, self.in_field, self.columns) = (0, 0, 1);
                &bytes[end + 1..]
            }
            None => bytes,
        };
        self.in_record += line.len();
        self.columns += count(line, self.delimiter);
        match line.iter().rposition(|byte| *byte == self.delimiter) {
            Some(end) => self.in_field = line.len() - end - 1,
            None => self.in_field += line.len(),
        }
        match bytes.last() {
            Some(last) if *last == b'\n' || *last == self.delimiter => self.at = At::Start,
            Some(_) => self.at = At::Plain,
            None => {}
        }
        true
    }
}

fn has(bytes: &[u8], wanted: u8) -> bool {
    // Without a branch for each byte, many are compared at once.
    bytes.chunks(1024).any(|chunk| chunk.iter().fold(0, |found, byte| found | u8::from(*byte == wanted)) != 0)
}

impl Read for Limited {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.text.read(buffer)?;
        if self.skim(&buffer[..read]) {
            return Ok(read);
        }
        for byte in &buffer[..read] {
            self.step(*byte);
            if self.in_field > LONGEST_FIELD {
                return Err(refused(format!("a field is longer than {LONGEST_FIELD} bytes; a quote may be missing")));
            }
            if self.columns > MOST_COLUMNS {
                return Err(refused(format!("a line has more than {MOST_COLUMNS} columns; check the delimiter")));
            }
            if self.in_record > LONGEST_RECORD {
                return Err(refused(format!("a record is longer than {LONGEST_RECORD} bytes; check how lines end")));
            }
        }
        Ok(read)
    }
}

fn refused(message: String) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, message)
}

fn read_failed(origin: &Origin, record: u64, error: &csv::Error) -> ReadError {
    let line = error.position().map(csv::Position::line);
    let message = match error.kind() {
        csv::ErrorKind::Io(io) => io.to_string(),
        _ => error.to_string(),
    };
    origin.fatal(record, line, message, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: impl Into<Vec<u8>>, format: &Format) -> Vec<Result<Vec<String>, String>> {
        let bytes = Box::new(std::io::Cursor::new(bytes.into()));
        let mut reader = match CsvReader::new(bytes, "t.csv", format) {
            Ok(reader) => reader,
            Err(error) => return vec![Err(format!("{error:?}"))],
        };
        let mut found = Vec::new();
        while let Some(record) = reader.next() {
            found.push(match record {
                Ok(record) => {
                    let fields = record.fields.into_map();
                    Ok(fields.iter().map(|(n, v)| format!("{n}={}", v.to_json())).collect())
                }
                Err(error) => Err(error.to_string()),
            });
        }
        found
    }

    fn semicolons() -> Format {
        Format { delimiter: b';', encoding: Encoding::of("windows-1252").unwrap(), ..Format::default() }
    }

    #[test]
    fn a_dutch_export_is_read() {
        let found = read(b"Nr;Naam\r\n1;\"Caf\xe9 \"\"De; Hoek\"\"\"\r\n2;\r\n".to_vec(), &semicolons());
        assert_eq!(found[0], Ok(vec![r#"Nr="1""#.to_owned(), r#"Naam="Café \"De; Hoek\"""#.to_owned()]));
        assert_eq!(found[1], Ok(vec![r#"Nr="2""#.to_owned(), "Naam=null".to_owned()]));
    }

    #[test]
    fn a_bad_row_is_one_rejected_record() {
        let found = read("Nr;Naam\n1;A\n2\n3;B\u{0}C\n4;D\n", &Format { encoding: Encoding::utf8(), ..semicolons() });
        assert!(found[0].is_ok() && found[3].is_ok());
        assert_eq!(
            found[1].clone().unwrap_err().split(';').next().unwrap(),
            "t.csv, line 3, record 2: has 1 fields where the table has 2 columns"
        );
        assert!(found[2].clone().unwrap_err().contains("U+0000"));
    }

    #[test]
    fn texts_that_mean_no_value_are_none_wherever_they_stand() {
        let format = Format { null: vec!["NULL".to_owned(), "-".to_owned()], ..semicolons() };
        let found = read("A;B;C\r\nNULL;x-y;-\r\n-;;NULL \r\n;NULL;\r\n", &format);
        let rows =
            [["A=null", r#"B="x-y""#, "C=null"], ["A=null", "B=null", r#"C="NULL ""#], ["A=null", "B=null", "C=null"]];
        assert_eq!(found, rows.map(|row| Ok(row.map(str::to_owned).to_vec())));
    }

    #[test]
    fn upper_control_characters_are_refused_and_their_neighbours_are_not() {
        let utf8 = Format { encoding: Encoding::utf8(), ..semicolons() };
        let found = read("A;B\n90°;½ ¿\u{a0}\n1;x\u{85}\n\u{7f};2\n", &utf8);
        assert_eq!(found[0], Ok(vec![r#"A="90°""#.to_owned(), "B=\"½ ¿\u{a0}\"".to_owned()]));
        assert!(found[1].clone().unwrap_err().contains("the field 'B' has the control character U+0085"));
        assert!(found[2].clone().unwrap_err().contains("the field 'A' has the control character U+007F"));
    }

    #[test]
    fn skimming_comes_to_the_same_place_as_stepping() {
        let limited = || Limited {
            text: Box::new(std::io::empty()),
            delimiter: b';',
            quote: b'"',
            at: At::Start,
            in_field: 0,
            in_record: 0,
            columns: 1,
        };
        let text = b"a;bc;\n\n;;\r\nlonger field;x\nno end";
        for size in 1..=text.len() {
            let (mut skimming, mut stepping) = (limited(), limited());
            for chunk in text.chunks(size) {
                assert!(skimming.skim(chunk));
                for byte in chunk {
                    stepping.step(*byte);
                }
                let state = |l: &Limited| (l.at, l.in_field, l.in_record, l.columns);
                assert!(state(&skimming) == state(&stepping), "chunks of {size}");
            }
        }
        assert!(!limited().skim(b"a;\"b"), "quotes are stepped through");
        assert!(!limited().skim(&[b';'; MOST_COLUMNS]), "a line that may be too wide is stepped through");
    }

    #[test]
    fn a_table_that_is_no_such_table_is_refused() {
        assert!(read("", &semicolons())[0].clone().unwrap_err().contains("empty"));
        let required = Format { required: vec!["Prijs".to_owned()], ..semicolons() };
        assert!(read("Nr;Naam\n", &required)[0].clone().unwrap_err().contains("no column 'Prijs'"));
        assert!(read("Nr;Nr\n", &semicolons())[0].clone().unwrap_err().contains("twice"));
        let wrong = Format { encoding: Encoding::utf8(), ..semicolons() };
        assert!(
            read(b"Nr;Naam\n1;Caf\xe9\n".to_vec(), &wrong)
                .iter()
                .any(|r| r.clone().is_err_and(|e| e.contains("encoding")))
        );
    }

    #[test]
    fn lines_are_counted_whatever_ends_them() {
        let found = read("Nr;Naam\r\n1;A\r\n2\r\n", &semicolons());
        assert_eq!(found[0], Ok(vec![r#"Nr="1""#.to_owned(), r#"Naam="A""#.to_owned()]));
        assert!(found[1].clone().unwrap_err().starts_with("t.csv, line 3, record 2"), "{found:?}");
    }

    #[test]
    fn sizes_are_limited() {
        let long = format!("Nr;Naam\n1;\"{}", "x".repeat(LONGEST_FIELD + 10));
        assert!(read(long, &semicolons()).pop().unwrap().unwrap_err().contains("longer than"));
        let unclosed = format!("Nr;Naam\n1;\"{}", "x;y\n".repeat(LONGEST_FIELD / 4 + 1));
        let found = read(unclosed, &semicolons());
        assert!(found[0].clone().unwrap_err().contains("a field is longer than"), "{found:?}");
        // Quotes within a field are content, and so is whatever quotes enclose.
        let long = "x".repeat(1000);
        let inches = format!("1;2\" buis {long}\n\"2\";\"a;\"\"\nb\"\n\"3\"\"\";\n").repeat(LONGEST_FIELD / 1000);
        assert!(read(format!("Nr;Naam\n{inches}"), &semicolons()).iter().all(Result::is_ok));
        let wide = ";".repeat(1_000_000);
        assert!(read(wide, &semicolons()).pop().unwrap().unwrap_err().contains("columns"));
    }

    #[test]
    fn columns_by_position_have_the_names_given() {
        let format = Format { columns: Some(vec!["nr".to_owned(), "naam".to_owned()]), ..semicolons() };
        assert_eq!(read("1;A\n", &format)[0], Ok(vec![r#"nr="1""#.to_owned(), r#"naam="A""#.to_owned()]));
    }

    #[test]
    fn a_table_without_its_last_row_was_cut_off() {
        let format =
            Format { trailer: Some(Trailer { first: "EINDE".to_owned(), count: Some(2) }), ..Format::default() };
        let rows = |text: &str| read(text, &format);
        let whole = rows("Nr,Naam\r\n1,A\r\n2,B\r\nEINDE,2\r\n");
        assert_eq!(whole.len(), 2, "{whole:?}");
        assert!(whole.iter().all(Result::is_ok), "{whole:?}");
        let last = |text: &str| rows(text).pop().unwrap().unwrap_err();
        assert!(last("Nr,Naam\n1,A\n2,B\n").contains("cut off"));
        assert!(last("Nr,Naam\n1,A\nEINDE,2\n").contains("counts '2' rows, and there are 1"));
        assert!(last("Nr,Naam\n1,A\n2,B\nEINDE,2\n3,C\n").contains("rows follow"));
        assert!(last("Nr,Naam\nEINDE\n").contains("counts ''"));
    }
}
