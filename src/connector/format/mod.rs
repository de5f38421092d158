//! Formats: from bytes to records, one at a time, whatever the size of the source, and from a request to bytes.

pub mod csv;
mod decode;
pub mod fixed;
pub mod group;
pub mod json;
mod lines;
pub mod ndjson;
mod objects;
pub mod odata;
mod origin;
pub mod write;
pub mod xml;

pub use decode::{Encoding, decoded};
pub use xml::Path;

use serde_json::Value as Json;

use crate::record::{Place, Record};

/// The longest field, in bytes.
pub const LONGEST_FIELD: usize = 10_000_000;

/// Most columns of a table.
pub const MOST_COLUMNS: usize = 10_000;

/// The longest record of a nested format, in bytes.
pub const LONGEST_RECORD: usize = 5 * LONGEST_FIELD;

/// The longest document that is held as a whole, in bytes: an answer over HTTP, and what `OData` is read from.
pub const LONGEST_DOCUMENT: usize = 64 << 20;

/// Most values in one record of a nested format: fields, elements of lists, attributes.
pub const MOST_VALUES: usize = 500_000;

/// How deep records and documents may be nested.
pub const DEEPEST: usize = 100;

/// Reads the records of a source.
pub trait Reader: Send {
    /// The next record; nothing at the end. After [`ReadError::Fatal`] nothing more comes.
    fn next(&mut self) -> Option<Result<Record, ReadError>>;

    /// Where reading can go on behind the record that was given last.
    fn reached(&self) -> Reached {
        Reached::Anywhere
    }

    /// The batch of kept source rows that the record given last stands in; none where it was read from a system.
    fn batch(&self) -> Option<i64> {
        None
    }
}

/// How far a reader is.
#[derive(Debug, Clone, PartialEq)]
pub enum Reached {
    /// The same records come again, so that those that were taken can be passed over; or never.
    Anywhere,
    /// Within a page, whose end is where reading can go on.
    Within,
    /// Between two pages.
    Between {
        /// What is known there.
        stand: Stand,
        /// Whether the next page is still waited for.
        waits: bool,
    },
}

/// What is known between two pages.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stand {
    /// Where reading goes on, in the words of the transport; none where it begins again.
    pub place: Option<Json>,
    /// How far the stream is read, where that is known before its end.
    pub watermark: Option<Json>,
}

/// Why a record, or the rest of a source, cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// This record cannot be taken; reading goes on with the next.
    #[error("{place}: {message}")]
    Record {
        /// Where.
        place: Place,
        /// Why.
        message: String,
    },
    /// The source cannot be read any further.
    #[error("{place}: {message}")]
    Fatal {
        /// Where.
        place: Place,
        /// Why.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
}
