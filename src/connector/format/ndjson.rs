//! Records of newline-delimited JSON: one object a line.

use std::io::Read;

use super::lines::{Line, Lines};
use super::objects::Objects;
use super::origin::Origin;
use super::{LONGEST_RECORD, ReadError, Reader, decoded};
use crate::record::Record;

pub use super::objects::Format;

/// Reads the records of newline-delimited JSON.
pub struct NdjsonReader {
    lines: Lines,
    origin: Origin,
    objects: Objects,
    number: u64,
    ended: bool,
}

impl NdjsonReader {
    /// Begins to read; `name` is what messages call the source.
    ///
    /// # Errors
    /// [`ReadError::Fatal`] where the first bytes cannot be decoded.
    pub fn new(bytes: Box<dyn Read + Send>, name: &str, format: &Format) -> Result<Self, ReadError> {
        let origin = Origin::new(name);
        let text = decoded(bytes, format.encoding).map_err(|e| origin.fatal(0, Some(1), e.to_string(), None))?;
        let lines = Lines::new(text, LONGEST_RECORD);
        Ok(Self { lines, origin, objects: Objects::new(&format.null), number: 0, ended: false })
    }
}

impl Reader for NdjsonReader {
    fn next(&mut self) -> Option<Result<Record, ReadError>> {
        while !self.ended {
            // The line that is being read, for messages.
            let at = self.lines.number() + 1;
            let (read, complete) = match self.lines.next() {
                Ok(Some(Line::Text(text, _))) if text.trim_ascii().is_empty() => continue,
                Ok(Some(Line::Text(text, complete))) => (self.objects.read(text.as_bytes(), at), complete),
                Ok(Some(Line::TooLong)) => (Err(format!("is longer than {LONGEST_RECORD} bytes")), true),
                Ok(None) => {
                    self.ended = true;
                    return None;
                }
                Err(error) => {
                    self.ended = true;
                    return Some(Err(self.origin.fatal(self.number + 1, Some(at), error.to_string(), None)));
                }
            };
            self.number += 1;
            return Some(match read {
                Ok(fields) => Ok(Record { fields: fields.into(), place: self.origin.place(self.number, Some(at)) }),
                Err(message) if !complete => {
                    self.ended = true;
                    let hint = "the last line has no end: the file may be cut off";
                    Err(self.origin.fatal(self.number, Some(at), message, Some(hint)))
                }
                Err(message) => Err(self.origin.refused(self.number, Some(at), message)),
            });
        }
        None
    }
}

impl std::fmt::Debug for NdjsonReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NdjsonReader")
            .field("origin", &self.origin)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}
