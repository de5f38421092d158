//! A stream of pages: asked for one by one ahead of whoever takes their records, a bounded number of pages at a time.
//!
//! What does not live here: sending requests (`client`), and how a page's records are read (`format`).

use std::io::Cursor as Bytes;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use reqwest::header::{CONTENT_TYPE, LINK};
use rust_decimal::Decimal;
use serde_json::{Value as Json, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::answer::{Answer, Failure, at_path};
use super::client::Client;
use super::manifest::{CursorWord, EndWord, PagingWord};
use super::request::{Request, RequestPlan};
use super::tagged::Tagged;
use super::tree::CURSOR;
use crate::connector::format::{ReadError, Reader};
use crate::connector::reading::Reading;
use crate::expression::{Context, Expression};
use crate::record::{Map, Place, Record, Value};

/// The variables of a stream's request.
pub const NAMES: &[&str] = &["settings", CURSOR, "page"];

/// Pages that are fetched ahead of the one whose records are taken.
const AHEAD: usize = 2;

/// Most pages of a pull: a system that never ends must not be read for ever.
const MOST_PAGES: u64 = 10_000_000;

/// How a stream is divided into pages.
#[derive(Debug, Clone)]
pub struct Paging {
    /// How the next page is asked for.
    pub by: PagingWord,
    /// How many records a page has at the most.
    pub size: Option<u32>,
    /// What tells the last page.
    pub end: EndWord,
    /// What the first page's number is.
    pub first: u32,
    /// The path to the next page's address or token; none: the header `Link`.
    pub next: Option<Vec<String>>,
    /// The field of the last record that the next page is behind.
    pub key: Option<String>,
}

/// What tells how far a stream was read.
#[derive(Debug)]
pub struct Cursor {
    /// Over a record.
    pub value: Expression,
    /// What it gives.
    pub kind: CursorWord,
    /// How far a pull reaches back behind what was seen.
    pub look_back: SignedDuration,
}

/// A stream of pages, with the settings of a connection filled in.
#[derive(Debug)]
pub struct Pages {
    /// The stream's name.
    pub name: String,
    /// What the pages come through.
    pub client: Arc<Client>,
    /// The request of a page.
    pub request: Arc<RequestPlan>,
    /// How it is divided.
    pub paging: Option<Paging>,
    /// What tells how far it was read.
    pub cursor: Option<Arc<Cursor>>,
    /// Which objects in records are values.
    pub tagged: Option<Arc<Tagged>>,
    /// How a page's records are read.
    pub reading: Arc<Reading>,
}

/// Says, after the end, how far a stream was read.
pub type Watermark = Box<dyn FnOnce() -> Option<Json> + Send>;

/// A page as it was read; why there is none.
type Page = Result<Vec<Result<Record, ReadError>>, ReadError>;

/// How far a stream was read: the highest cursor seen.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
enum Seen {
    Instant(Timestamp),
    Version(Decimal),
}

/// What stays the same for all pages of a pull.
struct Fetch {
    pages: Arc<Pages>,
    cursor: Value,
    seen: Arc<Mutex<Option<Seen>>>,
}

/// Where the next page is.
#[derive(Debug, Clone, Default)]
struct Position {
    offset: u64,
    number: u64,
    token: Option<String>,
    key: Value,
    link: Option<String>,
}

/// What a request for a page brought.
struct Fetched {
    records: Vec<Result<Record, ReadError>>,
    /// Of the records.
    digest: blake3::Hash,
    /// The whole answer where it tells the next page.
    envelope: Option<Value>,
}

/// Finds links and tokens that lead in a circle, however long, with the memory of one (Brent's algorithm).
#[derive(Debug, Default)]
struct Loops {
    known: Option<(Option<String>, Option<String>)>,
    steps: u64,
    until: u64,
}

/// Reads the records of a stream's pages.
struct PagesReader {
    pages: mpsc::Receiver<Page>,
    page: std::vec::IntoIter<Result<Record, ReadError>>,
    ended: bool,
    fetching: JoinHandle<()>,
}

impl Drop for PagesReader {
    fn drop(&mut self) {
        self.fetching.abort();
    }
}

impl Reader for PagesReader {
    fn next(&mut self) -> Option<Result<Record, ReadError>> {
        loop {
            if let Some(record) = self.page.next() {
                return Some(record);
            }
            if self.ended {
                return None;
            }
            match self.pages.blocking_recv() {
                Some(Ok(page)) => self.page = page.into_iter(),
                Some(Err(error)) => {
                    self.ended = true;
                    return Some(Err(error));
                }
                None => self.ended = true,
            }
        }
    }
}

impl Pages {
    /// Begins to fetch what changed behind a watermark, or everything. Says, after the end, how far it was read.
    ///
    /// # Errors
    /// Where the watermark is none of this stream's.
    pub fn open(
        self: &Arc<Self>,
        runtime: &tokio::runtime::Handle,
        after: Option<&Json>,
    ) -> Result<(Box<dyn Reader>, Watermark), String> {
        let cursor = match (&self.cursor, after) {
            (Some(cursor), Some(after)) => cursor.asked(after)?,
            _ => Value::Null,
        };
        let seen = Arc::new(Mutex::new(None));
        let fetch = Fetch { pages: Arc::clone(self), cursor, seen: Arc::clone(&seen) };
        let (send, pages) = mpsc::channel(AHEAD);
        let fetching = runtime.spawn(async move {
            if let Err(error) = fetch.all(&send).await {
                // Whoever took the pages has ended with an error of its own.
                let _ = send.send(Err(error)).await;
            }
        });
        let reader = PagesReader { pages, page: Vec::new().into_iter(), ended: false, fetching };
        let watermark = move || seen.lock().unwrap_or_else(PoisonError::into_inner).map(Seen::watermark);
        Ok((Box::new(reader), Box::new(watermark)))
    }

    /// The first page, for trying the connection out: how many records it has.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn try_out(self: &Arc<Self>) -> Result<usize, String> {
        let fetch = Fetch { pages: Arc::clone(self), cursor: Value::Null, seen: Arc::default() };
        let request = fetch.request(&Position::of(self.paging.as_ref()), None).map_err(|error| error.to_string())?;
        let answer = self.client.send(&request).await.map_err(|error| error.to_string())?;
        let fetched = fetch.records(&request, answer).await.map_err(|error| error.to_string())?;
        Ok(fetched.records.len())
    }
}

impl Cursor {
    /// What a request asks for: the watermark, and a while before it.
    fn asked(&self, watermark: &Json) -> Result<Value, String> {
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

    /// How far a record says that the stream was read; nothing where it has no cursor.
    fn of(&self, record: &Record, client: &Client) -> Result<Option<Seen>, String> {
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

impl Seen {
    fn watermark(self) -> Json {
        match self {
            Self::Instant(at) => json!(at.to_string()),
            Self::Version(version) => json!(version.to_string()),
        }
    }
}

impl Loops {
    /// Whether a position is one that there was before.
    fn has(&mut self, next: &Position) -> bool {
        if next.link.is_none() && next.token.is_none() {
            return false;
        }
        let place = (next.link.clone(), next.token.clone());
        if self.known.as_ref() == Some(&place) {
            return true;
        }
        if self.steps == self.until {
            self.known = Some(place);
            self.until = (self.until * 2).max(1);
            self.steps = 0;
        }
        self.steps += 1;
        false
    }
}

impl Position {
    fn of(paging: Option<&Paging>) -> Self {
        Self { number: paging.map_or(0, |paging| u64::from(paging.first)), ..Self::default() }
    }

    /// The variable `page`.
    fn value(&self, paging: Option<&Paging>) -> Value {
        let number = |number: u64| Value::Number(Decimal::from(number));
        let size = paging.and_then(|paging| paging.size).map_or(Value::Null, |size| number(u64::from(size)));
        let members = [
            ("offset", number(self.offset)),
            ("number", number(self.number)),
            ("token", self.token.clone().map_or(Value::Null, Value::Text)),
            ("key", self.key.clone()),
            ("size", size),
        ];
        Value::Map(members.into_iter().collect())
    }
}

impl Fetch {
    /// Fetches page after page, until the end or until nobody takes them any more.
    async fn all(&self, send: &mpsc::Sender<Page>) -> Result<(), ReadError> {
        let mut position = Position::of(self.pages.paging.as_ref());
        let mut before: Option<(Request, blake3::Hash)> = None;
        let mut loops = Loops::default();
        let mut taken = 0_u64;
        for _ in 0..MOST_PAGES {
            let request = self.request(&position, before.as_ref().map(|(request, _)| request))?;
            let answer = self.pages.client.read(&request).await.map_err(|failure| self.failed(taken, &failure))?;
            let Fetched { mut records, digest, envelope } = self.records(&request, answer.clone()).await?;
            if before.as_ref().is_some_and(|(_, before)| *before == digest) && !records.is_empty() {
                let hint = "look at the stream's `paging`: the request does not ask for another page";
                return Err(self.fatal(taken, format!("{request} brought the same page twice"), Some(hint)));
            }
            for record in records.iter_mut().flatten() {
                taken += 1;
                record.place.record = taken;
            }
            self.note(&mut records);
            let next = self.next(&position, &records, &answer, envelope.as_ref(), taken)?;
            if send.send(Ok(records)).await.is_err() {
                return Ok(());
            }
            match next {
                Some(next) if loops.has(&next) => {
                    let hint = "it would be read for ever; look at the stream's `paging`";
                    let message = format!("{request}: what leads to the next page leads back to one before it");
                    return Err(self.fatal(taken, message, Some(hint)));
                }
                Some(next) => position = next,
                None => return Ok(()),
            }
            before = Some((request, digest));
        }
        Err(self.fatal(taken, format!("the stream has more than {MOST_PAGES} pages"), None))
    }

    fn request(&self, position: &Position, before: Option<&Request>) -> Result<Request, ReadError> {
        if let (Some(link), Some(before)) = (&position.link, before) {
            return before.next(link).map_err(|message| self.fatal(0, message, None));
        }
        let client = &self.pages.client;
        let page = position.value(self.pages.paging.as_ref());
        let names = [("settings", client.settings()), (CURSOR, &self.cursor), ("page", &page)];
        let record = Map::default();
        let context = Context { record: (&record).into(), names: &names, zone: client.zone() };
        self.pages.request.fill(client.base(), &context).map_err(|message| self.fatal(0, message, None))
    }

    /// Reads the records of a page.
    async fn records(&self, request: &Request, answer: Answer) -> Result<Fetched, ReadError> {
        let (reading, name) = (Arc::clone(&self.pages.reading), self.pages.name.clone());
        let told = self.pages.paging.as_ref().is_some_and(|paging| paging.next.is_some());
        if answer.status.as_u16() == 204 {
            return Ok(Fetched { records: Vec::new(), digest: blake3::hash(&[]), envelope: None });
        }
        let media = answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if media.starts_with("text/html") {
            let hint = "a login page or an error of a server in between; look at `base_url` and at the path";
            return Err(self.fatal(0, format!("{request} was answered with a page of HTML"), Some(hint)));
        }
        let (tagged, client) = (self.pages.tagged.clone(), Arc::clone(&self.pages.client));
        let read = tokio::task::spawn_blocking(move || {
            let envelope = told.then(|| answer.value());
            let mut reader = reading.open(Box::new(Bytes::new(answer.body)), &name)?;
            let mut records = Vec::new();
            let (mut hasher, mut bytes) = (blake3::Hasher::new(), Vec::new());
            while let Some(record) = reader.next() {
                match record {
                    Err(error @ ReadError::Fatal { .. }) => return Err(error),
                    Ok(record) => {
                        // What stands around the records, such as the time, differs even where they do not.
                        bytes.clear();
                        record.fields.write_json(&mut bytes);
                        hasher.update(&bytes);
                        records.push(resolved(record, tagged.as_deref(), client.settings()));
                    }
                    Err(error) => {
                        hasher.update(error.to_string().as_bytes());
                        records.push(Err(error));
                    }
                }
            }
            Ok(Fetched { records, digest: hasher.finalize(), envelope })
        });
        read.await.map_err(|_| self.fatal(0, "reading a page broke off".to_owned(), None))?
    }

    /// Notes how far the stream was read; a record whose cursor cannot be read is none that can be taken.
    fn note(&self, records: &mut [Result<Record, ReadError>]) {
        let Some(cursor) = &self.pages.cursor else { return };
        let mut highest = None;
        for entry in records {
            let Ok(record) = entry else { continue };
            match cursor.of(record, &self.pages.client) {
                Ok(seen) if seen > highest => highest = seen,
                Ok(_) => {}
                Err(message) => {
                    let message = format!("{message} (the stream's `cursor`)");
                    *entry = Err(ReadError::Record { place: record.place.clone(), message });
                }
            }
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if highest > *seen {
            *seen = highest;
        }
    }

    /// Where the next page is; nothing behind the last.
    fn next(
        &self,
        position: &Position,
        records: &[Result<Record, ReadError>],
        answer: &Answer,
        envelope: Option<&Value>,
        taken: u64,
    ) -> Result<Option<Position>, ReadError> {
        let Some(paging) = &self.pages.paging else { return Ok(None) };
        let told = || match (&paging.next, envelope) {
            (Some(path), Some(envelope)) => at_path(envelope, path).and_then(|next| match next {
                Value::Text(text) if !text.is_empty() => Some(text.clone()),
                Value::Number(number) => Some(number.to_string()),
                _ => None,
            }),
            _ => link_of(answer),
        };
        match paging.by {
            PagingWord::Link => {
                let Some(link) = told() else { return Ok(None) };
                return Ok(Some(Position { link: Some(link), ..position.clone() }));
            }
            PagingWord::Token => {
                let Some(next) = told() else { return Ok(None) };
                return Ok(Some(Position { token: Some(next), ..position.clone() }));
            }
            PagingWord::Offset | PagingWord::Number | PagingWord::Key => {}
        }
        let short = paging.size.is_some_and(|size| records.len() < size as usize);
        if records.is_empty() || (paging.end == EndWord::Short && short) {
            return Ok(None);
        }
        let mut next = Position {
            offset: position.offset + records.len() as u64,
            number: position.number + 1,
            ..position.clone()
        };
        if let Some(key) = &paging.key {
            let last = records.iter().rev().flatten().next();
            next.key =
                last.and_then(|record| record.fields.get(key)).map_or(Value::Null, crate::record::Seen::into_value);
            if next.key.is_empty() || next.key == position.key {
                let hint = "look at the stream's `paging.key` and at the order that the request asks for";
                let message = format!("the last record of a page has no field '{key}' that leads on");
                return Err(self.fatal(taken, message, Some(hint)));
            }
        }
        Ok(Some(next))
    }

    fn failed(&self, taken: u64, failure: &Failure) -> ReadError {
        self.fatal(taken, failure.to_string(), None)
    }

    fn fatal(&self, record: u64, message: String, hint: Option<&str>) -> ReadError {
        let source = Some(Arc::from(self.pages.name.as_str()));
        ReadError::Fatal { place: Place { source, record, line: None }, message, hint: hint.map(str::to_owned) }
    }
}

/// A record with its tagged objects made into values.
fn resolved(record: Record, tagged: Option<&Tagged>, settings: &Value) -> Result<Record, ReadError> {
    let Some(tagged) = tagged else { return Ok(record) };
    let Record { fields, place } = record;
    match tagged.resolve(fields.into_map(), settings) {
        Ok(map) => Ok(Record { fields: map.into(), place }),
        Err(message) => Err(ReadError::Record { place, message }),
    }
}

/// The next page's address in the header `Link` (RFC 8288).
fn link_of(answer: &Answer) -> Option<String> {
    let links = answer.headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    links.flat_map(|value| value.split(',')).find_map(|link| {
        let (address, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let next = parameters.split(';').any(|parameter| matches!(parameter.trim(), "rel=\"next\"" | "rel=next"));
        next.then(|| address.to_owned())
    })
}
