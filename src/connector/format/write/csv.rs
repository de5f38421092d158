//! A request as a table: its field `rows` is the list of rows, each a record of texts, numbers and truth values.

use csv::{QuoteStyle, Terminator, WriterBuilder};

use super::{Field, WriteError};
use crate::connector::format::{Encoding, MOST_COLUMNS};
use crate::record::{Map, Value};

/// The field of a request that holds the rows.
pub const ROWS: &str = "rows";

/// How a table is written.
#[derive(Debug, Clone)]
pub struct Format {
    /// The encoding. A character that it lacks is an error.
    pub encoding: Encoding,
    /// What separates the fields, one ASCII character.
    pub delimiter: u8,
    /// What quotes a field that needs it; doubled within it.
    pub quote: u8,
    /// Whether the first line names the columns.
    pub header: bool,
    /// The columns in order; absent: the fields of the rows in the order in which they first appear.
    pub columns: Option<Vec<String>>,
    /// Whether lines end with CR and LF, or with LF alone.
    pub carriage_return: bool,
    /// Whether a comma stands in front of a number's decimals, not a point.
    pub decimal_comma: bool,
}

impl Default for Format {
    fn default() -> Self {
        Self {
            encoding: Encoding::utf8(),
            delimiter: b',',
            quote: b'"',
            header: true,
            columns: None,
            carriage_return: true,
            decimal_comma: false,
        }
    }
}

impl Format {
    /// What is wrong with the format, if anything.
    pub fn check(&self) -> Result<(), String> {
        if !self.encoding.writes() {
            return Err(format!("nothing is written in {}; use UTF-8 or windows-1252", self.encoding.name()));
        }
        if !self.delimiter.is_ascii() || !self.quote.is_ascii() || self.delimiter == self.quote {
            return Err("delimiter and quote are two different ASCII characters".to_owned());
        }
        for (at, name) in self.columns.iter().flatten().enumerate() {
            if self.columns.iter().flatten().take(at).any(|other| other == name) {
                return Err(format!("the column '{name}' is there twice"));
            }
        }
        Ok(())
    }
}

/// The table of a request.
///
/// # Errors
/// [`WriteError`] where the request has no rows, a row has a field that is no column or is no single value, or the
/// encoding lacks a character; it names row and field.
pub fn write(request: &Map, format: &Format) -> Result<Vec<u8>, WriteError> {
    let mut field = Field::default();
    let fails = |field: &Field, message: String| Err(WriteError::Structure { field: field.clone(), message });
    if let Err(message) = format.check() {
        return fails(&field, message);
    }
    let rows = match request.get(ROWS) {
        Some(Value::List(rows)) if !rows.is_empty() => rows.as_slice(),
        Some(row @ Value::Map(_)) => std::slice::from_ref(row),
        _ => return fails(&field, format!("a table is written from the list '{ROWS}', which is missing or empty")),
    };
    if let Some((name, _)) = request.iter().find(|(name, _)| *name != ROWS) {
        field.enter(name);
        return fails(&field, format!("a table has '{ROWS}' and nothing beside; put the value into each row"));
    }
    let mut columns: Vec<&str> = format.columns.iter().flatten().map(String::as_str).collect();
    let mut maps = Vec::with_capacity(rows.len());
    field.enter(ROWS);
    for (at, row) in rows.iter().enumerate() {
        field.element(at);
        let Value::Map(row) = row else { return fails(&field, format!("a {} is no row; give a record", row.kind())) };
        for (name, _) in row.iter().filter(|(name, _)| !columns.contains(name)).collect::<Vec<_>>() {
            if format.columns.is_some() {
                field.enter(name);
                return fails(&field, format!("is none of the columns {}", columns.join(", ")));
            }
            columns.push(name);
        }
        maps.push(row);
        field.leave();
    }
    if columns.len() > MOST_COLUMNS {
        return fails(&field, format!("the rows have more than {MOST_COLUMNS} columns"));
    }

    let mut writer = WriterBuilder::new()
        .delimiter(format.delimiter)
        .quote(format.quote)
        .quote_style(QuoteStyle::Necessary)
        .terminator(if format.carriage_return { Terminator::CRLF } else { Terminator::Any(b'\n') })
        .from_writer(Vec::new());
    let mut write = |cells: &[Vec<u8>], field: &Field| {
        writer
            .write_record(cells)
            .map_err(|e| WriteError::Structure { field: field.clone(), message: format!("cannot be written: {e}") })
    };
    if format.header {
        let names: Result<Vec<_>, _> = columns.iter().map(|name| encoded(name, format, &field)).collect();
        write(&names?, &field)?;
    }
    let mut cells = Vec::with_capacity(columns.len());
    for (at, row) in maps.iter().enumerate() {
        field.element(at);
        cells.clear();
        for name in &columns {
            field.enter(name);
            let text = match row.get(name) {
                None | Some(Value::Null) => String::new(),
                Some(Value::Text(text)) => text.clone(),
                Some(Value::Number(number)) if format.decimal_comma => number.to_string().replace('.', ","),
                Some(Value::Number(number)) => number.to_string(),
                Some(Value::Bool(truth)) => truth.to_string(),
                Some(other) => {
                    return fails(&field, format!("a {} is no field of a row; give one value", other.kind()));
                }
            };
            cells.push(encoded(&text, format, &field)?);
            field.leave();
        }
        write(&cells, &field)?;
        field.leave();
    }
    writer
        .into_inner()
        .map_err(|e| WriteError::Structure { field, message: format!("cannot be written: {}", e.error()) })
}

fn encoded(text: &str, format: &Format, field: &Field) -> Result<Vec<u8>, WriteError> {
    let encoding = format.encoding;
    encoding.bytes(text).map_err(|character| WriteError::Encoding {
        field: field.clone(),
        character,
        encoding: encoding.name(),
    })
}
