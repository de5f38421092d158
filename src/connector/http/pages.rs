//! A stream of pages: fetched one by one ahead of whoever takes their records, a bounded number of pages at a time.
//!
//! What does not live here: which pages there are (`walk`), sending requests (`client`), and how a page's records are read
//! (`format`).

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value as Json;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::answer::Failure;
use super::cursor::Mark;
use super::stream::Pages;
use super::walk::{Page, Trial, Walk};
use crate::connector::format::group::GroupReader;
use crate::connector::format::{Reached, ReadError, Reader, Stand};
use crate::record::{Record, Value};

/// Pages that are fetched ahead of the one whose records are taken.
const AHEAD: usize = 2;

/// Says, after the end, how far a stream was read.
pub type Watermark = Box<dyn FnOnce() -> Option<Json> + Send>;

/// A page with what is known behind it.
type Fetched = Result<(Page, Option<Stand>), ReadError>;

/// Where a reader gets its pages.
trait Source: Send {
    /// The next page; nothing behind the last, or behind an error.
    fn next(&mut self) -> Option<Fetched>;

    /// Whether the next page is still to be waited for.
    fn waits(&self) -> bool;
}

/// Pages that are fetched ahead.
struct Ahead {
    pages: mpsc::Receiver<Fetched>,
    fetching: JoinHandle<()>,
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.fetching.abort();
    }
}

impl Source for Ahead {
    fn next(&mut self) -> Option<Fetched> {
        self.pages.blocking_recv()
    }

    fn waits(&self) -> bool {
        self.pages.is_empty()
    }
}

/// Pages that are each fetched when their first record is wanted.
struct Sparing {
    runtime: tokio::runtime::Handle,
    walk: Walk,
}

impl Source for Sparing {
    fn next(&mut self) -> Option<Fetched> {
        let page = self.runtime.block_on(self.walk.next()).transpose()?;
        Some(page.map(|page| (page, None)))
    }

    fn waits(&self) -> bool {
        true
    }
}

/// Reads the records of a stream's pages.
struct PagesReader<S> {
    source: S,
    page: std::vec::IntoIter<Result<Record, ReadError>>,
    /// What is known behind the page in hand.
    stand: Option<Stand>,
    ended: bool,
}

impl<S: Source> PagesReader<S> {
    fn new(source: S) -> Self {
        Self { source, page: Vec::new().into_iter(), stand: None, ended: false }
    }
}

impl<S: Source> Reader for PagesReader<S> {
    fn next(&mut self) -> Option<Result<Record, ReadError>> {
        loop {
            if let Some(record) = self.page.next() {
                return Some(record);
            }
            if self.ended {
                return None;
            }
            match self.source.next() {
                Some(Ok((page, stand))) => (self.page, self.stand) = (page.into_iter(), stand),
                Some(Err(error)) => {
                    self.ended = true;
                    return Some(Err(error));
                }
                None => self.ended = true,
            }
        }
    }

    fn reached(&self) -> Reached {
        match &self.stand {
            None => Reached::Anywhere,
            Some(_) if self.page.len() > 0 => Reached::Within,
            Some(stand) => Reached::Between { stand: stand.clone(), waits: self.source.waits() },
        }
    }
}

impl Pages {
    /// Begins to fetch what changed behind a watermark, or everything; from a place on where a reading before broke off. Says,
    /// after the end, how far it was read.
    ///
    /// # Errors
    /// Where the watermark is none of this stream's, or the stream is only joined to others.
    pub fn open(
        self: &Arc<Self>,
        runtime: &tokio::runtime::Handle,
        after: Option<&Json>,
        place: Option<&Json>,
    ) -> Result<(Box<dyn Reader>, Watermark), String> {
        let (mut walk, seen) = self.walk(after)?;
        if let Some(place) = place {
            walk = walk.behind(place)?;
        }
        let (send, pages) = mpsc::channel(AHEAD);
        let fetching = runtime.spawn(async move {
            loop {
                let Some(page) = walk.next().await.transpose() else { return };
                let page = page.map(|page| (page, walk.stand()));
                let failed = page.is_err();
                // Whoever took the pages may have ended with an error of its own.
                if send.send(page).await.is_err() || failed {
                    return;
                }
            }
        });
        let reader = PagesReader::new(Ahead { pages, fetching });
        let pages = Arc::clone(self);
        let watermark = move || {
            let mark = *seen.lock().unwrap_or_else(PoisonError::into_inner);
            mark.watermark(pages.telling()?)
        };
        Ok((self.grouped(Box::new(reader)), Box::new(watermark)))
    }

    /// Reads what changed behind a watermark, or everything, without fetching a page before its records are wanted.
    ///
    /// # Errors
    /// As of [`Pages::open`].
    pub fn open_sparingly(
        self: &Arc<Self>,
        runtime: &tokio::runtime::Handle,
        after: Option<&Json>,
    ) -> Result<Box<dyn Reader>, String> {
        let (walk, _) = self.walk(after)?;
        Ok(self.grouped(Box::new(PagesReader::new(Sparing { runtime: runtime.clone(), walk }))))
    }

    fn grouped(&self, reader: Box<dyn Reader>) -> Box<dyn Reader> {
        match &self.group {
            Some(group) => Box::new(GroupReader::new(reader, group.clone())),
            None => reader,
        }
    }

    /// A walk through what changed behind a watermark, or through everything, and what notes how far it was read.
    fn walk(self: &Arc<Self>, after: Option<&Json>) -> Result<(Walk, Arc<Mutex<Mark>>), String> {
        if !self.stands_alone() {
            return Err("this stream is only joined to others: its request asks about their records".to_owned());
        }
        let own = match (&self.cursor, after) {
            (Some(cursor), Some(after)) => cursor.asked(after)?,
            _ => Value::Null,
        };
        let mut seen = Arc::default();
        let parents = match &self.parents {
            None => None,
            Some(parents) => {
                let (walk, theirs) = parents.pages.walk(after.filter(|_| self.cursor.is_none()))?;
                if self.cursor.is_none() {
                    seen = theirs;
                }
                Some(walk)
            }
        };
        Ok((Walk::new(self, own, Arc::clone(&seen), parents), seen))
    }

    /// The first page, for trying the connection out.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn try_out(self: &Arc<Self>) -> Result<Tried, Refusal> {
        let trial = Arc::<Trial>::default();
        let blank = |message| Refusal { denied: false, unreachable: false, message };
        let (walk, seen) = self.walk(None).map_err(blank)?;
        let page = walk.impatient(&trial).next().await.map_err(|error| {
            let failure = trial.failure();
            Refusal {
                denied: matches!(failure, Some(Failure::Unauthorised(_) | Failure::Forbidden(_))),
                unreachable: matches!(failure, Some(Failure::Unreachable(_))),
                message: told(error),
            }
        })?;
        let cursor = seen.lock().unwrap_or_else(PoisonError::into_inner).highest();
        Ok(Tried { records: page.map_or(0, |page| page.len()), cursor })
    }
}

/// What the first page of a stream brought.
#[derive(Debug)]
pub struct Tried {
    /// How many records it has.
    pub records: usize,
    /// The highest cursor in it.
    pub cursor: Option<Json>,
}

/// Why a stream has no first page.
#[derive(Debug)]
pub struct Refusal {
    /// Whether the system refuses it to this user.
    pub denied: bool,
    /// Whether the system cannot be reached, or does not let in.
    pub unreachable: bool,
    /// What happened, and what to do.
    pub message: String,
}

/// What happened, and what to do.
fn told(error: ReadError) -> String {
    match error {
        ReadError::Fatal { message, hint: Some(hint), .. } => format!("{message}; {hint}"),
        ReadError::Record { message, .. } | ReadError::Fatal { message, hint: None, .. } => message,
    }
}
