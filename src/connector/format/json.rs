//! Records of a JSON document: the elements of a list somewhere in it, read as a stream. The list is never held as
//! a whole, and what stands beside it is passed over.
//!
//! Numbers keep every digit. A name that is there twice in one object is refused, since nobody can tell which of
//! the two is meant.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

use super::objects::{Objects, not_json};
use super::origin::{Origin, cut};
use super::{DEEPEST, Encoding, LONGEST_RECORD, ReadError, Reader, decoded};
use crate::record::Record;

/// How a JSON document holds its records.
#[derive(Debug, Clone)]
pub struct Format {
    /// The encoding.
    pub encoding: Encoding,
    /// The names that lead from the root to the list of records; none: the root is the list. Where there is one
    /// object in the list's place, it is the only record.
    pub records: Vec<String>,
    /// Texts that mean "no value", besides the empty one.
    pub null: Vec<String>,
}

impl Default for Format {
    fn default() -> Self {
        Self { encoding: Encoding::utf8(), records: Vec::new(), null: Vec::new() }
    }
}

/// Reads the records of a JSON document.
pub struct JsonReader {
    text: Scanner,
    origin: Origin,
    path: Vec<String>,
    state: State,
    objects: Objects,
    number: u64,
    bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing is read.
    Start,
    /// Within the list: whether an element was read.
    List(bool),
    /// The one record, or the list, is behind.
    Behind,
    Ended,
}

/// Why reading stops: a message, and what to do.
type Stop = (String, Option<String>);

impl JsonReader {
    /// Begins to read a document; `name` is what messages call it.
    ///
    /// # Errors
    /// [`ReadError::Fatal`] where the first bytes cannot be decoded.
    pub fn new(bytes: Box<dyn Read + Send>, name: &str, format: &Format) -> Result<Self, ReadError> {
        let origin = Origin::new(name);
        let text = decoded(bytes, format.encoding).map_err(|e| origin.fatal(0, Some(1), e.to_string(), None))?;
        Ok(Self {
            text: Scanner { text: BufReader::with_capacity(64 * 1024, text), line: 1 },
            origin,
            path: format.records.clone(),
            state: State::Start,
            objects: Objects::new(&format.null),
            number: 0,
            bytes: Vec::new(),
        })
    }

    fn advance(&mut self) -> Result<Option<Result<Record, ReadError>>, Stop> {
        loop {
            match self.state {
                State::Start => {
                    self.seek()?;
                    match self.text.peek()? {
                        Some(b'[') => {
                            self.text.bump();
                            self.state = State::List(false);
                        }
                        Some(b'{') => {
                            self.state = State::Behind;
                            return self.record().map(Some);
                        }
                        _ => return Err((format!("there is no list of records at {}", self.place()), None)),
                    }
                }
                State::List(any) => match self.text.peek()? {
                    Some(b']') => {
                        self.text.bump();
                        self.state = State::Behind;
                    }
                    Some(b',') if any => {
                        self.text.bump();
                        return self.record().map(Some);
                    }
                    Some(_) if !any => {
                        self.state = State::List(true);
                        return self.record().map(Some);
                    }
                    Some(other) => return Err(unexpected(other, "a comma or the end of the list")),
                    None => return Err(cut_off()),
                },
                State::Behind => {
                    for level in (0..self.path.len()).rev() {
                        self.pass(level, true)?;
                    }
                    return match self.text.peek()? {
                        None => Ok(None),
                        Some(other) => Err(unexpected(other, "the end of the file")),
                    };
                }
                State::Ended => return Ok(None),
            }
        }
    }

    /// Goes to the value that the path names.
    fn seek(&mut self) -> Result<(), Stop> {
        match self.text.peek()? {
            None => return Err(("the file is empty".to_owned(), Some("the file may be cut off".to_owned()))),
            Some(b'<') => {
                return Err(("the file is not JSON".to_owned(), Some("it looks like XML or HTML".to_owned())));
            }
            Some(_) => {}
        }
        for level in 0..self.path.len() {
            match self.text.peek()? {
                Some(b'{') => self.text.bump(),
                Some(other) => return Err(unexpected(other, &format!("an object with '{}'", self.path[level]))),
                None => return Err(cut_off()),
            }
            self.pass(level, false)?;
        }
        Ok(())
    }

    /// Passes over the members of an object: up to the value that the path names, or, behind it, up to the end.
    fn pass(&mut self, level: usize, behind: bool) -> Result<(), Stop> {
        let mut first = !behind;
        let mut names: Vec<String> = Vec::new();
        loop {
            match self.text.peek()? {
                Some(b'}') if behind => {
                    self.text.bump();
                    return Ok(());
                }
                Some(b'}') => {
                    let found = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
                    let message = format!("there is no '{}' in the document", self.path[level]);
                    return Err((message, Some(format!("there is {}", cut(&found)))));
                }
                Some(b',') if !first => self.text.bump(),
                Some(b'"') if first => {}
                Some(other) => return Err(unexpected(other, "a name, a comma or the end of the object")),
                None => return Err(cut_off()),
            }
            first = false;
            match self.text.peek()? {
                Some(b'"') => {}
                Some(other) => return Err(unexpected(other, "a name in quotes")),
                None => return Err(cut_off()),
            }
            self.bytes.clear();
            self.text.value(Some(&mut self.bytes))?;
            let name: String = serde_json::from_slice(&self.bytes).map_err(|e| (not_json(&e, self.text.line), None))?;
            match self.text.peek()? {
                Some(b':') => self.text.bump(),
                Some(other) => return Err(unexpected(other, "a colon")),
                None => return Err(cut_off()),
            }
            match (name == self.path[level], behind) {
                (true, false) => return Ok(()),
                (true, true) => return Err((format!("the document has '{name}' twice"), None)),
                (false, _) => match self.text.peek()? {
                    None => return Err(cut_off()),
                    Some(_) => drop(self.text.value(None)?),
                },
            }
            if names.len() < 20 {
                names.push(name);
            }
        }
    }

    fn place(&self) -> String {
        if self.path.is_empty() { "the root".to_owned() } else { format!("'{}'", self.path.join("/")) }
    }

    /// Reads the value that begins here as a record.
    fn record(&mut self) -> Result<Result<Record, ReadError>, Stop> {
        if self.text.peek()?.is_none() {
            return Err(cut_off());
        }
        let line = self.text.line;
        self.bytes.clear();
        let extent = self.text.value(Some(&mut self.bytes))?;
        self.number += 1;
        let fields = match extent {
            Extent::Whole => self.objects.read(&self.bytes, line),
            Extent::TooDeep => Err(format!("is nested more than {DEEPEST} levels deep")),
            Extent::TooLong => Err(format!("is longer than {LONGEST_RECORD} bytes")),
        };
        let line = Some(line);
        Ok(match fields {
            Ok(fields) => Ok(Record { fields: fields.into(), place: self.origin.place(self.number, line) }),
            Err(message) => Err(self.origin.refused(self.number, line, message)),
        })
    }
}

impl Reader for JsonReader {
    fn next(&mut self) -> Option<Result<Record, ReadError>> {
        if self.state == State::Ended {
            return None;
        }
        match self.advance() {
            Ok(Some(record)) => Some(record),
            Ok(None) => {
                self.state = State::Ended;
                None
            }
            Err((message, hint)) => {
                let record = self.number + u64::from(self.state != State::Behind);
                self.state = State::Ended;
                Some(Err(self.origin.fatal(record, Some(self.text.line), message, hint.as_deref())))
            }
        }
    }
}

impl fmt::Debug for JsonReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonReader").field("origin", &self.origin).field("number", &self.number).finish_non_exhaustive()
    }
}

fn cut_off() -> Stop {
    ("the file ends within the document".to_owned(), Some("the file may be cut off".to_owned()))
}

fn unexpected(found: u8, wanted: &str) -> Stop {
    (format!("expected {wanted}, found '{}'", char::from(found).escape_default()), None)
}

/// Finds where values begin and end, without looking at what they are.
struct Scanner {
    text: BufReader<Box<dyn Read + Send>>,
    line: u64,
}

/// How much of a value was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    Whole,
    TooDeep,
    TooLong,
}

impl Scanner {
    /// The next byte that is no blank.
    fn peek(&mut self) -> Result<Option<u8>, Stop> {
        loop {
            let available = self.text.fill_buf().map_err(|e| stopped(&e))?;
            if available.is_empty() {
                return Ok(None);
            }
            let blank = available.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')).count();
            let found = available.get(blank).copied();
            self.consume(blank);
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    /// Passes over the byte that was looked at.
    fn bump(&mut self) {
        self.consume(1);
    }

    fn consume(&mut self, amount: usize) {
        // What was looked at stands in the buffer, so that filling it again reads nothing.
        if let Ok(available) = self.text.fill_buf() {
            #[allow(clippy::naive_bytecount)]
            let lines = available[..amount].iter().filter(|b| **b == b'\n').count();
            self.line += lines as u64;
        }
        self.text.consume(amount);
    }

    /// Passes over the value that begins at the next byte, and keeps its bytes where they are wanted and not too many.
    fn value(&mut self, mut keep: Option<&mut Vec<u8>>) -> Result<Extent, Stop> {
        let mut extent = Extent::Whole;
        let (mut depth, mut text, mut escaped, mut scalar) = (0_usize, false, false, false);
        loop {
            let available = self.text.fill_buf().map_err(|e| stopped(&e))?;
            if available.is_empty() {
                // Only a number or a word can end with the file.
                return if scalar { Ok(extent) } else { Err(cut_off()) };
            }
            let mut end = None;
            for (at, byte) in available.iter().enumerate() {
                if text {
                    match byte {
                        _ if escaped => escaped = false,
                        b'\\' => escaped = true,
                        b'"' => {
                            text = false;
                            if depth == 0 {
                                end = Some(at + 1);
                                break;
                            }
                        }
                        _ => {}
                    }
                    continue;
                }
                match byte {
                    b'"' if !scalar => text = true,
                    b'{' | b'[' if !scalar => {
                        depth += 1;
                        if depth > DEEPEST {
                            extent = Extent::TooDeep;
                        }
                    }
                    b'}' | b']' if depth > 0 => {
                        depth -= 1;
                        if depth == 0 {
                            end = Some(at + 1);
                            break;
                        }
                    }
                    b',' | b':' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n' if depth == 0 => {
                        end = Some(at);
                        break;
                    }
                    _ if depth == 0 => scalar = true,
                    _ => {}
                }
            }
            let taken = end.unwrap_or(available.len());
            if extent == Extent::Whole
                && let Some(kept) = keep.as_deref_mut()
            {
                if kept.len() + taken > LONGEST_RECORD {
                    extent = Extent::TooLong;
                    *kept = Vec::new();
                } else {
                    kept.extend_from_slice(&available[..taken]);
                }
            }
            self.consume(taken);
            if end.is_some() {
                return Ok(extent);
            }
        }
    }
}

fn stopped(error: &io::Error) -> Stop {
    (error.to_string(), None)
}
