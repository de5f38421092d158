//! What every reader shares: how it names a place, and what a field may hold.

use std::sync::Arc;

use super::{LONGEST_FIELD, ReadError};
use crate::record::{Place, Value};

/// The source as messages call it.
#[derive(Debug, Clone)]
pub(super) struct Origin(Arc<str>);

impl Origin {
    pub fn new(name: &str) -> Self {
        Self(Arc::from(name))
    }

    pub fn place(&self, record: u64, line: Option<u64>) -> Place {
        Place { source: Some(Arc::clone(&self.0)), record, line }
    }

    /// The source cannot be read any further.
    pub fn fatal(&self, record: u64, line: Option<u64>, message: impl Into<String>, hint: Option<&str>) -> ReadError {
        let hint = hint.map(str::to_owned);
        ReadError::Fatal { place: self.place(record, line), message: message.into(), hint }
    }

    /// This record cannot be taken.
    pub fn refused(&self, record: u64, line: Option<u64>, message: impl Into<String>) -> ReadError {
        ReadError::Record { place: self.place(record, line), message: message.into() }
    }
}

/// The value of a field's text: null where it is empty or a text that means so. What no field may hold is refused.
pub(super) fn field(name: &str, text: &str, null: &[String]) -> Result<Value, String> {
    check(name, text)?;
    let empty = text.is_empty() || null.iter().any(|null| null == text);
    Ok(if empty { Value::Null } else { Value::Text(text.to_owned()) })
}

/// Refuses a text that is too long, or has control characters.
pub(super) fn check(name: &str, text: &str) -> Result<(), String> {
    if text.len() > LONGEST_FIELD {
        return Err(format!("the field '{}' is longer than {LONGEST_FIELD} bytes", cut(name)));
    }
    match text.chars().find(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r')) {
        Some(control) => {
            Err(format!("the field '{}' has the control character U+{:04X}", cut(name), u32::from(control)))
        }
        None => Ok(()),
    }
}

/// Whether a text has, or may have, a control character that no field may hold.
pub(super) fn has_control(text: &str) -> bool {
    // The upper control characters begin with C2 in UTF-8, as some printable ones do.
    let odd = |byte: u8| byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r') || byte == 0x7f || byte == 0xc2;
    text.bytes().fold(false, |found, byte| found | odd(byte))
}

/// A text cut to what a message can carry.
pub(super) fn cut(text: &str) -> String {
    const LENGTH: usize = 300;
    if text.chars().count() <= LENGTH { text.to_owned() } else { text.chars().take(LENGTH).chain(['…']).collect() }
}
