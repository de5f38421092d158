//! How far a stream was read: what a record tells of it, and what the next pull asks for.
//!
//! What does not live here: keeping it between two pulls (`sync`).

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use serde_json::{Value as Json, json};

use super::client::Client;
use super::manifest::{CursorFile, CursorWord};
use crate::config::KeyPath;
use crate::connector::check::{Checker, NAMES};
use crate::connector::format::ReadError;
use crate::expression::{Context, Expression, Fields};
use crate::record::{Record, Value};

/// What tells how far a stream was read.
#[derive(Debug)]
pub struct Cursor {
    /// Over a record.
    value: Expression,
    /// What it gives.
    kind: CursorWord,
    /// How far a pull reaches back behind what was seen.
    look_back: SignedDuration,
    /// Whether the stream is ordered by it.
    pub ordered: bool,
}

/// What a record tells of how far a stream was read.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub enum Seen {
    /// The instant of the last change.
    Instant(Timestamp),
    /// The row version of the last change.
    Version(Decimal),
}

/// How far a stream was read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mark {
    /// The highest cursor seen.
    highest: Option<Seen>,
    /// When the first page was read, by the system's clock: what changed later on a page that was read already is not seen.
    begun: Option<Timestamp>,
}

impl Mark {
    /// Notes the highest cursor of a page that was read at an instant.
    pub fn note(&mut self, highest: Option<Seen>, at: Timestamp) {
        self.begun.get_or_insert(at);
        if highest > self.highest {
            self.highest = highest;
        }
    }

    /// How far the stream is read, in the form in which that is kept.
    pub fn watermark(&self, cursor: &Cursor) -> Option<Json> {
        match (self.highest?, self.begun) {
            (Seen::Instant(at), Some(begun)) if !cursor.ordered => Some(json!(at.min(begun).to_string())),
            _ => self.highest(),
        }
    }

    /// The highest cursor that was seen, in the same form.
    pub fn highest(&self) -> Option<Json> {
        Some(match self.highest? {
            Seen::Instant(at) => json!(at.to_string()),
            Seen::Version(version) => json!(version.to_string()),
        })
    }

    /// As it is kept with a place.
    pub fn to_json(self) -> Json {
        json!({ "highest": self.highest(), "begun": self.begun.map(|begun| begun.to_string()) })
    }

    /// As it was kept; nothing where it was not.
    pub fn of_json(kept: &Json, cursor: &Cursor) -> Self {
        let text = |name: &str| kept.get(name).and_then(Json::as_str);
        let highest = text("highest").and_then(|text| match cursor.kind {
            CursorWord::Instant => text.parse().ok().map(Seen::Instant),
            CursorWord::Version => text.parse().ok().map(Seen::Version),
        });
        Self { highest, begun: text("begun").and_then(|text| text.parse().ok()) }
    }
}

impl Cursor {
    /// Compiles what a manifest says; nothing with a problem.
    pub fn compile(checker: &mut Checker, at: &KeyPath, written: &CursorFile) -> Option<Self> {
        let value = checker.expression(&at.key("value"), &written.value, Fields::Any, NAMES)?;
        let look_back = written.look_back.map_or(Duration::from_mins(5), crate::config::values::Interval::duration);
        let look_back = SignedDuration::try_from(look_back).unwrap_or(SignedDuration::MAX);
        Some(Self { value, kind: written.r#as, look_back, ordered: written.ordered })
    }

    /// Whether it is an instant.
    pub fn is_instant(&self) -> bool {
        self.kind == CursorWord::Instant
    }

    /// What a request asks for: the watermark, and a while before it.
    ///
    /// # Errors
    /// Where the watermark is none of this stream's.
    pub fn asked(&self, watermark: &Json) -> Result<Value, String> {
        let text = watermark.as_str().unwrap_or_default();
        let none = || format!("'{watermark}' is no place that this stream was read to; pull it in full");
        Ok(match self.kind {
            CursorWord::Version => Value::Number(text.parse().map_err(|_| none())?),
            CursorWord::Instant => {
                let at: Timestamp = text.parse().map_err(|_| none())?;
                Value::Text(at.saturating_sub(self.look_back).map_err(|_| none())?.to_string())
            }
        })
    }

    /// The highest cursor of a page; a record whose cursor cannot be read is none that can be taken.
    pub fn highest(&self, records: &mut [Result<Record, ReadError>], client: &Client) -> Option<Seen> {
        let mut highest = None;
        for entry in records {
            let Ok(record) = entry else { continue };
            match self.of(record, client) {
                Ok(seen) if seen > highest => highest = seen,
                Ok(_) => {}
                Err(message) => {
                    let message = format!("{message} (the stream's `cursor`)");
                    *entry = Err(ReadError::Record { place: record.place.clone(), message });
                }
            }
        }
        highest
    }

    /// How far a record says that the stream was read; nothing where it has no cursor.
    ///
    /// # Errors
    /// Where the expression fails, or gives something else.
    pub fn of(&self, record: &Record, client: &Client) -> Result<Option<Seen>, String> {
        let names = [("settings", client.settings())];
        let context = Context { record: record.fields.borrowed(), names: &names, zone: client.zone() };
        let value = self.value.evaluate(&context).map_err(|error| error.to_string())?;
        if value.is_empty() {
            return Ok(None);
        }
        let value = value.into_value();
        let seen = match (self.kind, &value) {
            (CursorWord::Version, Value::Number(number)) => Some(Seen::Version(*number)),
            (CursorWord::Version, Value::Text(text)) => text.parse().ok().map(Seen::Version),
            (CursorWord::Instant, Value::Text(text)) => text.parse().ok().map(Seen::Instant),
            _ => None,
        };
        match (seen, self.kind) {
            (Some(seen), _) => Ok(Some(seen)),
            (None, CursorWord::Version) => Err(format!("`{}` gives no number", self.value.source())),
            (None, CursorWord::Instant) => {
                Err(format!("`{}` gives no instant; make it one with instant()", self.value.source()))
            }
        }
    }
}
