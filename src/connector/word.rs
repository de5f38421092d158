//! Values of a manifest that settings of the connection may decide: templates whose text is read as something.

use std::path::PathBuf;
use std::time::Duration;

use super::file::pattern::Pattern;
use super::format::Encoding;
use crate::config::suggest;
use crate::config::values::Interval;
use crate::expression::Template;

/// The longest that is waited for a file to be stable.
const LONGEST_STABLE: Duration = Duration::from_mins(5);

/// A template, and how its text is read.
#[derive(Debug)]
pub struct Word<T> {
    /// What a message calls it, such as `stream.customers.encoding`.
    pub name: String,
    /// The template.
    pub template: Template,
    /// How its text is read; says otherwise what is wrong.
    pub read: fn(&str) -> Result<T, String>,
}

/// A format of which a manifest sets encoding and delimiter apart.
pub trait Formatted {
    /// Sets the encoding.
    fn set_encoding(&mut self, encoding: Encoding);
    /// Sets the delimiter, where the format has one.
    fn set_delimiter(&mut self, delimiter: u8);
    /// What is wrong with the whole, if anything.
    fn check(&self) -> Result<(), String>;
}

/// A format of which the settings of a connection may still decide encoding and delimiter.
#[derive(Debug)]
pub struct Plan<T> {
    /// The format, with the encoding and delimiter that are known.
    pub format: T,
    /// The encoding.
    pub encoding: Option<Word<Encoding>>,
    /// The delimiter.
    pub delimiter: Option<Word<u8>>,
}

impl<T> Word<T> {
    /// What is read where no setting decides.
    pub fn constant(&self) -> Option<T> {
        (self.read)(self.template.constant()?).ok()
    }
}

impl<T: Formatted> Plan<T> {
    /// A plan; what no setting decides is set at once.
    pub fn new(mut format: T, encoding: Option<Word<Encoding>>, delimiter: Option<Word<u8>>) -> Self {
        if let Some(encoding) = encoding.as_ref().and_then(Word::constant) {
            format.set_encoding(encoding);
        }
        if let Some(delimiter) = delimiter.as_ref().and_then(Word::constant) {
            format.set_delimiter(delimiter);
        }
        Self { format, encoding, delimiter }
    }
}

/// Whether a file holds everything, or what changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Everything: the newest file is read, and what it lacks was deleted.
    Full,
    /// What changed: every file is read, in the order of their names.
    Delta,
}

/// What becomes of a file that was read, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterWord {
    /// It stays.
    Keep,
    /// It is moved to the archive.
    Archive,
    /// It is removed.
    Delete,
}

/// The path of a directory.
pub fn directory(text: &str) -> Result<PathBuf, String> {
    match text.chars().find(|c| c.is_control()) {
        Some(control) => Err(format!("a path has no control character U+{:04X}", u32::from(control))),
        None if text.trim().is_empty() => Err("a path is not empty".to_owned()),
        None => Ok(PathBuf::from(text)),
    }
}

/// A pattern of file names.
pub fn pattern(text: &str) -> Result<Pattern, String> {
    Pattern::new(text)
}

/// What is behind the name of a file in the name of its marker.
pub fn marker(text: &str) -> Result<String, String> {
    if text.contains(['/', '\\']) || text.chars().any(char::is_control) {
        return Err(format!("`{}` cannot stand behind the name of a file", text.escape_debug()));
    }
    Ok(text.to_owned())
}

/// How long a file must have been stable.
pub fn stable(text: &str) -> Result<Duration, String> {
    let stable = text.parse::<Interval>().map_err(|error| error.to_string())?.duration();
    if stable > LONGEST_STABLE {
        let message = "a run waits that long, and 5m is the most; let a system that pauses longer write a marker";
        return Err(format!("`{text}`: {message}"));
    }
    Ok(stable)
}

/// What becomes of a file that was read.
pub fn after(text: &str) -> Result<AfterWord, String> {
    choice(text, &[("keep", AfterWord::Keep), ("archive", AfterWord::Archive), ("delete", AfterWord::Delete)])
}

/// Whether a file holds everything, or what changed.
pub fn content(text: &str) -> Result<Content, String> {
    choice(text, &[("full", Content::Full), ("delta", Content::Delta)])
}

fn choice<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    choices.iter().find(|(word, _)| *word == text).map(|(_, choice)| *choice).ok_or_else(|| {
        let words = suggest::one_of(choices.iter().map(|(word, _)| *word));
        format!("`{text}` is not possible here; use {words}")
    })
}

/// An encoding.
pub fn encoding(text: &str) -> Result<Encoding, String> {
    Encoding::of(text).ok_or_else(|| {
        format!("`{text}` is no encoding of the WHATWG Encoding Standard; write it like `utf-8` or `windows-1252`")
    })
}

/// One ASCII character that can separate or quote fields.
pub fn ascii(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r' | 0) => Ok(*byte),
        _ => Err(format!("`{}` is not one ASCII character; a tab is written \"\\t\"", text.escape_debug())),
    }
}
