//! What a stream offers to be read, and opening it.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use super::error::ConnectorError;
use super::file::{FileError, OpenFile, Stamp, is_at};
use super::format::{ReadError, Reader};
use super::http::stream::Pages;
use super::reading::Reading;
use crate::record::Place;

/// Says, after reading to the end, how far a stream was read that is asked for changes; or in what the source is otherwise
/// than when it was opened.
pub type Verify = Box<dyn FnOnce() -> Result<Option<Json>, String> + Send>;

/// Where an identity has the instant since which changes were asked for.
const SINCE: &str = "since";

/// Whether what has this identity was only asked for since an instant: it says nothing of how far the stream was read.
pub fn is_since(identity: &Json) -> bool {
    identity.get(SINCE).is_some()
}

/// What of a stream is wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// How far the stream was read, in the words of its transport; none: everything is wanted.
    pub after: Option<Json>,
    /// Since when changes are wanted, however far the stream was read.
    pub since: Option<Timestamp>,
}

/// Something that is ready to be read.
#[derive(Debug, Clone)]
pub struct Offer {
    /// What tells this content of the source from another.
    pub identity: Json,
    /// Whether it is the whole stream: what it lacks was deleted.
    pub complete: bool,
    /// Whether nothing is missed where it changes while it is read: what it lacks is gone at once.
    pub stable: bool,
    /// Whether it is the same when it is offered again, so that it is read once.
    pub once: bool,
    /// What it is called, for messages: the file's name, or the stream's.
    pub name: String,
    pub(super) origin: Origin,
}

/// Where something comes from.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    File { path: PathBuf, stamp: Stamp, reading: Arc<Reading> },
    Pages { pages: Arc<Pages>, after: Option<Json>, place: Option<Json> },
}

impl Offer {
    /// What a stream of pages offers: what changed behind a watermark, or everything.
    pub(super) fn pages(name: &str, pages: &Arc<Pages>, after: Option<Json>, is_since: bool) -> Self {
        let identity = match &after {
            Some(since) if is_since => json!({ "stream": name, SINCE: since }),
            _ => json!({ "stream": name, "after": after }),
        };
        Self {
            identity,
            complete: after.is_none(),
            stable: pages.is_stable(),
            once: false,
            name: name.to_owned(),
            origin: Origin::Pages { pages: Arc::clone(pages), after, place: None },
        }
    }

    /// Opens it for its first records: no page is fetched before its records are wanted. Blocking, on a thread of the runtime.
    ///
    /// # Errors
    /// As of [`Offer::open`].
    pub fn open_sparingly(&self) -> Result<Box<dyn Reader>, ConnectorError> {
        match &self.origin {
            Origin::File { .. } => Ok(self.open()?.0),
            Origin::Pages { pages, after, .. } => {
                let opened = pages.open_sparingly(&tokio::runtime::Handle::current(), after.as_ref());
                Ok(opened.map_err(unopened)?)
            }
        }
    }

    /// Whether the same records come again in their order, so that what was taken of them can be counted.
    pub fn is_counted(&self) -> bool {
        matches!(self.origin, Origin::File { .. })
    }

    /// The same from a place on where a reading before it broke off.
    #[must_use]
    pub fn behind(mut self, reached: Option<Json>) -> Self {
        if let Origin::Pages { place, .. } = &mut self.origin {
            *place = reached;
        }
        self
    }

    /// Opens it. Blocking, on a thread of the runtime.
    ///
    /// # Errors
    /// Where a file cannot be opened, is another by now, or its beginning cannot be read.
    pub fn open(&self) -> Result<(Box<dyn Reader>, Verify), ConnectorError> {
        match &self.origin {
            Origin::File { path, stamp, reading } => {
                let file = OpenFile::open(path)?;
                if !file.is(stamp) || !is_at(path, stamp) {
                    return Err(FileError::Changed(path.clone()).into());
                }
                let reader = reading.open(Box::new(file.bytes()?), &self.name)?;
                Ok((reader, Box::new(move || file.verify().map(|()| None).map_err(|error| error.to_string()))))
            }
            Origin::Pages { pages, after, place } => {
                let runtime = tokio::runtime::Handle::current();
                let (reader, watermark) = pages.open(&runtime, after.as_ref(), place.as_ref()).map_err(unopened)?;
                Ok((reader, Box::new(move || Ok(watermark()))))
            }
        }
    }
}

fn unopened(message: String) -> ReadError {
    ReadError::Fatal { place: Place::default(), message, hint: None }
}
