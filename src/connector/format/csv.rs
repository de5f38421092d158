//! Tables as text: CSV with any delimiter and quote, with a header or columns by position.

use std::io::Read;
use std::sync::Arc;

use csv::{ReaderBuilder, StringRecord, Terminator};

use super::{Encoding, LONGEST_FIELD, MOST_COLUMNS, ReadError, Reader, decoded};
use crate::record::{Map, Place, Record, Value};

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
        }
    }
}

/// Reads the records of a table.
pub struct CsvReader {
    reader: csv::Reader<Limited>,
    names: Vec<Arc<str>>,
    null: Vec<String>,
    source: Arc<str>,
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
        let source: Arc<str> = Arc::from(name);
        let text = decoded(bytes, format.encoding).map_err(|e| fatal(&source, 0, Some(1), e.to_string(), None))?;
        let mut reader = ReaderBuilder::new()
            .delimiter(format.delimiter)
            .quote(format.quote)
            .has_headers(false)
            .flexible(true)
            // Lines end with LF; the CR in front is taken off the last field, so that line numbers stay right.
            .terminator(Terminator::Any(b'\n'))
            .from_reader(Limited { text, since_mark: 0, in_field: 0, delimiter: format.delimiter, columns: 1 });
        let mut row = StringRecord::new();
        let names: Vec<Arc<str>> = if let Some(columns) = &format.columns {
            columns.iter().map(|c| Arc::from(c.as_str())).collect()
        } else {
            let there = reader.read_record(&mut row).map_err(|e| read_failed(&source, 0, &e))?;
            if !there {
                let hint = "an export without records still has its header; the file may be cut off".to_owned();
                return Err(fatal(&source, 0, Some(1), "the file is empty".to_owned(), Some(hint)));
            }
            row.iter().map(|name| Arc::from(name.trim())).collect()
        };
        for (at, name) in names.iter().enumerate() {
            if names[..at].contains(name) && !name.is_empty() {
                let message = format!("the header has the column '{name}' twice");
                return Err(fatal(&source, 0, Some(1), message, Some("rename one of them in the export".to_owned())));
            }
        }
        for required in &format.required {
            if !names.iter().any(|name| **name == **required) {
                let found = names.join(", ");
                let hint = Some(format!("the header has: {}; check delimiter and encoding", cut(&found)));
                return Err(fatal(&source, 0, Some(1), format!("the header has no column '{required}'"), hint));
            }
        }
        Ok(Self { reader, names, null: format.null.clone(), source, row, number: 0, ended: false })
    }

    fn place(&self, line: Option<u64>) -> Place {
        Place { source: Some(Arc::clone(&self.source)), record: self.number, line }
    }

    fn record(&self, line: Option<u64>) -> Result<Record, ReadError> {
        let place = self.place(line);
        let refuse = |message: String| ReadError::Record { place: place.clone(), message };
        if self.row.len() != self.names.len() {
            let (found, wanted) = (self.row.len(), self.names.len());
            return Err(refuse(format!(
                "has {found} fields where the table has {wanted} columns; a field with the delimiter in it must be quoted"
            )));
        }
        let mut fields = Map::with_capacity(self.names.len());
        let last = self.names.len().saturating_sub(1);
        for (at, (name, field)) in self.names.iter().zip(&self.row).enumerate() {
            let field = if at == last { field.strip_suffix('\r').unwrap_or(field) } else { field };
            if field.len() > LONGEST_FIELD {
                return Err(refuse(format!("the field '{name}' is longer than {LONGEST_FIELD} bytes")));
            }
            if let Some(control) = field.chars().find(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r')) {
                return Err(refuse(format!(
                    "the field '{name}' has the control character U+{:04X}",
                    u32::from(control)
                )));
            }
            let empty = field.is_empty() || self.null.iter().any(|null| null == field);
            fields.push(Arc::clone(name), if empty { Value::Null } else { Value::Text(field.to_owned()) });
        }
        Ok(Record { fields, place })
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
                None
            }
            Ok(true) => {
                self.number += 1;
                let line = self.row.position().map(csv::Position::line);
                Some(self.record(line))
            }
            Err(error) => {
                self.ended = true;
                self.number += 1;
                Some(Err(read_failed(&self.source, self.number, &error)))
            }
        }
    }
}

impl std::fmt::Debug for CsvReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CsvReader").field("source", &self.source).field("number", &self.number).finish_non_exhaustive()
    }
}

/// Stops a runaway quote or a table with too many columns before it fills the memory.
struct Limited {
    text: Box<dyn Read + Send>,
    /// Bytes since the last line end: of one line that has no end, or of one quoted field without one.
    since_mark: usize,
    in_field: usize,
    delimiter: u8,
    columns: usize,
}

impl Read for Limited {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.text.read(buffer)?;
        for byte in &buffer[..count] {
            self.since_mark += 1;
            self.in_field += 1;
            if *byte == b'\n' {
                (self.since_mark, self.in_field, self.columns) = (0, 0, 1);
            } else if *byte == self.delimiter {
                self.columns += 1;
                self.in_field = 0;
            }
            if self.in_field > LONGEST_FIELD {
                return Err(refused(format!("a field is longer than {LONGEST_FIELD} bytes; a quote may be missing")));
            }
            // Delimiters within quotes count too: a line of ordinary text stays far below.
            if self.columns > MOST_COLUMNS && self.since_mark < LONGEST_FIELD {
                return Err(refused(format!("a line has more than {MOST_COLUMNS} columns; check the delimiter")));
            }
        }
        Ok(count)
    }
}

fn refused(message: String) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, message)
}

fn read_failed(source: &Arc<str>, record: u64, error: &csv::Error) -> ReadError {
    let line = error.position().map(csv::Position::line);
    let message = match error.kind() {
        csv::ErrorKind::Io(io) => io.to_string(),
        _ => error.to_string(),
    };
    fatal(source, record, line, message, None)
}

fn fatal(source: &Arc<str>, record: u64, line: Option<u64>, message: String, hint: Option<String>) -> ReadError {
    ReadError::Fatal { place: Place { source: Some(Arc::clone(source)), record, line }, message, hint }
}

fn cut(text: &str) -> String {
    const LENGTH: usize = 300;
    if text.chars().count() <= LENGTH { text.to_owned() } else { text.chars().take(LENGTH).chain(['…']).collect() }
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
                Ok(record) => Ok(record.fields.iter().map(|(n, v)| format!("{n}={}", v.to_json())).collect()),
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
        let wide = ";".repeat(1_000_000);
        assert!(read(wide, &semicolons()).pop().unwrap().unwrap_err().contains("columns"));
    }

    #[test]
    fn columns_by_position_have_the_names_given() {
        let format = Format { columns: Some(vec!["nr".to_owned(), "naam".to_owned()]), ..semicolons() };
        assert_eq!(read("1;A\n", &format)[0], Ok(vec![r#"nr="1""#.to_owned(), r#"naam="A""#.to_owned()]));
    }
}
