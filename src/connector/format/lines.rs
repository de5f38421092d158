//! The lines of a text, one at a time, each with a limit.

use std::io::{self, BufRead, BufReader, Read};

/// Reads lines. LF ends a line, a CR in front of it belongs to the end.
pub(super) struct Lines {
    text: BufReader<Box<dyn Read + Send>>,
    limit: usize,
    line: Vec<u8>,
    number: u64,
}

/// A line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// Its text, and whether a line end follows.
    Text(&'a str, bool),
    /// It is longer than the limit; the rest of it was passed over.
    TooLong,
}

impl Lines {
    /// Lines of at most `limit` bytes.
    pub fn new(text: Box<dyn Read + Send>, limit: usize) -> Self {
        Self { text: BufReader::with_capacity(64 * 1024, text), limit, line: Vec::new(), number: 0 }
    }

    /// The number of the line read last, counted from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The next line; nothing at the end.
    pub fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        self.number += 1;
        let (mut ended, mut any, mut too_long) = (false, false, false);
        while !ended {
            let available = self.text.fill_buf()?;
            if available.is_empty() {
                break;
            }
            any = true;
            let end = available.iter().position(|b| *b == b'\n');
            let taken = end.map_or(available.len(), |at| at + 1);
            let content = &available[..end.unwrap_or(taken)];
            if self.line.len() + content.len() > self.limit {
                too_long = true;
                self.line.clear();
            } else if !too_long {
                self.line.extend_from_slice(content);
            }
            self.text.consume(taken);
            ended = end.is_some();
        }
        if !any {
            return Ok(None);
        }
        if too_long {
            return Ok(Some(Line::TooLong));
        }
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        let text = std::str::from_utf8(line).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
        Ok(Some(Line::Text(text, ended)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_limited_one_by_one() {
        let mut lines = Lines::new(Box::new(io::Cursor::new(b"ab\r\n123456789\n\nc".to_vec())), 4);
        assert_eq!(lines.next().unwrap(), Some(Line::Text("ab", true)));
        assert_eq!(lines.next().unwrap(), Some(Line::TooLong));
        assert_eq!(lines.next().unwrap(), Some(Line::Text("", true)));
        assert_eq!(lines.next().unwrap(), Some(Line::Text("c", false)));
        assert_eq!(lines.number(), 4);
        assert_eq!(lines.next().unwrap(), None);
    }
}
