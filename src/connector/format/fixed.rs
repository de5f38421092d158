//! Tables of fixed width: each column begins at the same character of every line.

use std::io::Read;
use std::sync::Arc;

use super::lines::{Line, Lines};
use super::origin::{Origin, field};
use super::{Encoding, LONGEST_FIELD, MOST_COLUMNS, ReadError, Reader, decoded};
use crate::record::{Map, Record};

/// How a table of fixed width is written.
#[derive(Debug, Clone)]
pub struct Format {
    /// The encoding.
    pub encoding: Encoding,
    /// The columns. They may overlap, and need not cover the line.
    pub columns: Vec<Column>,
    /// The length of a line in characters; absent: the end of the last column. What stands behind it is blank, or
    /// the line is refused.
    pub length: Option<usize>,
    /// Whether a line may end early, as exports do that cut blanks off its end: what is missing is then blank.
    pub short_lines: bool,
    /// Lines at the head of the file that are no records.
    pub skip: u64,
    /// Texts that mean "no value", besides the blank one.
    pub null: Vec<String>,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The name.
    pub name: String,
    /// The first character, counted from 1.
    pub start: usize,
    /// How many characters.
    pub length: usize,
}

impl Default for Format {
    fn default() -> Self {
        Self {
            encoding: Encoding::utf8(),
            columns: Vec::new(),
            length: None,
            short_lines: false,
            skip: 0,
            null: Vec::new(),
        }
    }
}

impl Format {
    /// What is wrong with the columns, if anything.
    pub fn check(&self) -> Result<(), String> {
        if self.columns.is_empty() || self.columns.len() > MOST_COLUMNS {
            return Err(format!("a table has 1 to {MOST_COLUMNS} columns"));
        }
        for (at, column) in self.columns.iter().enumerate() {
            let name = &column.name;
            if column.start == 0 || column.length == 0 {
                return Err(format!("the column '{name}' needs a start, counted from 1, and a length of at least 1"));
            }
            if column.start.saturating_add(column.length) > LONGEST_FIELD {
                return Err(format!("the column '{name}' ends behind the longest line of {LONGEST_FIELD} bytes"));
            }
            if self.columns[..at].iter().any(|other| other.name == *name) {
                return Err(format!("the column '{name}' is there twice"));
            }
        }
        match self.length {
            Some(length) if length < self.end() => {
                Err(format!("the columns reach to character {}, behind the line's length of {length}", self.end()))
            }
            _ => Ok(()),
        }
    }

    fn end(&self) -> usize {
        self.columns.iter().map(|c| c.start + c.length - 1).max().unwrap_or(0)
    }
}

/// Reads the records of a table of fixed width.
pub struct FixedReader {
    lines: Lines,
    origin: Origin,
    columns: Vec<(Arc<str>, usize, usize)>,
    length: usize,
    short_lines: bool,
    null: Vec<String>,
    skip: u64,
    number: u64,
    ended: bool,
    /// Where each character of the line begins, in bytes, where the line is not all ASCII.
    starts: Vec<usize>,
}

impl FixedReader {
    /// Begins to read a table; `name` is what messages call it.
    ///
    /// # Errors
    /// [`ReadError::Fatal`] where the columns make no sense or the first bytes cannot be decoded.
    pub fn new(bytes: Box<dyn Read + Send>, name: &str, format: &Format) -> Result<Self, ReadError> {
        let origin = Origin::new(name);
        format.check().map_err(|message| origin.fatal(0, None, message, None))?;
        let text = decoded(bytes, format.encoding).map_err(|e| origin.fatal(0, Some(1), e.to_string(), None))?;
        Ok(Self {
            lines: Lines::new(text, LONGEST_FIELD),
            origin,
            columns: format.columns.iter().map(|c| (Arc::from(c.name.as_str()), c.start - 1, c.length)).collect(),
            length: format.length.unwrap_or_else(|| format.end()),
            short_lines: format.short_lines,
            null: format.null.clone(),
            skip: format.skip,
            number: 0,
            ended: false,
            starts: Vec::new(),
        })
    }
}

impl Reader for FixedReader {
    fn next(&mut self) -> Option<Result<Record, ReadError>> {
        while !self.ended {
            let line = match self.lines.next() {
                Ok(Some(line)) => line,
                Ok(None) => {
                    self.ended = true;
                    return None;
                }
                Err(error) => {
                    let line = Some(self.lines.number());
                    let error = self.origin.fatal(self.number + 1, line, error.to_string(), None);
                    self.ended = true;
                    return Some(Err(error));
                }
            };
            if self.skip > 0 {
                self.skip -= 1;
                continue;
            }
            let (text, complete) = match line {
                Line::Text("", _) => continue,
                Line::Text(text, complete) => (text, complete),
                Line::TooLong => {
                    self.number += 1;
                    let message = format!("the line is longer than {LONGEST_FIELD} bytes");
                    return Some(Err(self.origin.refused(self.number, Some(self.lines.number()), message)));
                }
            };
            self.number += 1;
            self.starts.clear();
            if !text.is_ascii() {
                self.starts.extend(text.char_indices().map(|(at, _)| at));
            }
            let characters = if text.is_ascii() { text.len() } else { self.starts.len() };
            let starts = &self.starts;
            let byte = |character: usize| match starts.as_slice() {
                [] => character.min(text.len()),
                starts => starts.get(character).copied().unwrap_or(text.len()),
            };
            let short = characters < self.length && !self.short_lines;
            let beyond = &text[byte(self.length)..];
            let fields = if short || !beyond.trim().is_empty() {
                Err(format!("has {characters} characters where a line has {}", self.length))
            } else {
                let columns = self.columns.iter();
                columns
                    .map(|(name, start, length)| {
                        let value = text[byte(*start)..byte(start + length)].trim();
                        Ok((Arc::clone(name), field(name, value, &self.null)?))
                    })
                    .collect::<Result<Map, String>>()
            };
            let line = Some(self.lines.number());
            return match fields {
                Ok(fields) => Some(Ok(Record { fields: fields.into(), place: self.origin.place(self.number, line) })),
                Err(message) if short && !complete => {
                    let hint = "the last line has no end and is too short: the file may be cut off";
                    let error = self.origin.fatal(self.number, line, message, Some(hint));
                    self.ended = true;
                    Some(Err(error))
                }
                Err(message) => Some(Err(self.origin.refused(self.number, line, message))),
            };
        }
        None
    }
}

impl std::fmt::Debug for FixedReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FixedReader")
            .field("origin", &self.origin)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}
