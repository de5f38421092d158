//! Fetching a stream page by page: about everything, about given records, or about the records of another stream, batch by
//! batch. Never more is held than a page, a batch, and what is joined to them.
//!
//! What does not live here: how pages follow each other (`paging`), and whom they are handed to (`pages`).

use std::collections::{HashMap, HashSet, VecDeque};
use std::future::Future;
use std::io::Cursor as Bytes;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value as Json, json};

use super::answer::{Answer, Failure};
use super::cursor::Mark;
use super::limit::date;
use super::paging::{Loops, PageRead, Position};
use super::related::{those_kept, told, unfold, with_parents};
use super::request::Request;
use super::stream::{Join, Pages, Parents};
use super::tree::CURSOR;
use crate::connector::format::{ReadError, Stand};
use crate::expression::Context;
use crate::record::{Map, Place, Record, Value};

/// Most pages of a walk: a system that never ends must not be read for ever.
const MOST_PAGES: u64 = 10_000_000;

/// Most records that are joined to those of one batch.
const MOST_JOINED: usize = 100_000;

/// What a place is made of.
const PAGE: &str = "page";
const TAKEN: &str = "taken";
const SEEN: &str = "seen";

/// Records, each as it was read or why it was not.
pub type Page = Vec<Result<Record, ReadError>>;

/// A stream that is fetched page by page.
pub struct Walk {
    pages: Arc<Pages>,
    cursor: Value,
    /// How far it was read, where it has a cursor.
    seen: Arc<Mutex<Mark>>,
    about: About,
    /// What is noted where it is only tried out: then what passes is not tried again.
    trial: Option<Arc<Trial>>,
    /// The next page; none: a batch begins.
    position: Option<Position>,
    /// The records of the page before it.
    before: Option<blake3::Hash>,
    loops: Loops,
    /// What pages are asked for about, the variable `parents`.
    parents: Value,
    fetched: u64,
    taken: u64,
}

/// What a stream that is tried out fails with.
#[derive(Debug, Default)]
pub struct Trial(Mutex<Option<Failure>>);

impl Trial {
    /// What the request failed with that ended it.
    pub fn failure(&self) -> Option<Failure> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, failure: &Failure) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure.clone());
    }
}

/// A record with what tells what belongs to it.
type Keyed = (Map, Place, Option<String>);

/// What a request for a page brought.
struct Fetched {
    records: Page,
    /// Of the records.
    digest: blake3::Hash,
    /// The whole answer where it tells the next page.
    envelope: Option<Value>,
}

/// What a stream is asked for about.
enum About {
    /// Once about everything, or about given records.
    Once { begun: bool },
    /// About the records of another stream, in batches.
    Batches { walk: Box<Walk>, waiting: VecDeque<Map>, ended: bool, unread: Vec<ReadError> },
}

impl Walk {
    /// A walk; about the records of another stream, where the stream is asked so, which are read by `parents`.
    pub fn new(pages: &Arc<Pages>, cursor: Value, seen: Arc<Mutex<Mark>>, parents: Option<Walk>) -> Self {
        let about = match parents {
            None => About::Once { begun: false },
            Some(walk) => {
                About::Batches { walk: Box::new(walk), waiting: VecDeque::new(), ended: false, unread: Vec::new() }
            }
        };
        Self {
            pages: Arc::clone(pages),
            cursor,
            seen,
            about,
            trial: None,
            position: None,
            before: None,
            loops: Loops::default(),
            parents: Value::Null,
            fetched: 0,
            taken: 0,
        }
    }

    /// A walk about given records.
    fn about(pages: &Arc<Pages>, records: Vec<Value>) -> Self {
        Self { parents: Value::List(records), ..Self::new(pages, Value::Null, Arc::default(), None) }
    }

    /// What is known behind the page that was given last, as far as the stream lets it be known.
    pub fn stand(&self) -> Option<Stand> {
        let Pages { cursor, .. } = &*self.pages;
        let mark = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let ordered = cursor.as_ref().filter(|cursor| cursor.ordered && self.pages.is_plain());
        let watermark = ordered.and_then(|cursor| mark.watermark(cursor));
        let place = self.pages.keeps_place().then(|| {
            let page = self.position.as_ref().map(Position::to_json);
            let seen = cursor.as_ref().map(|_| mark.to_json());
            json!({ PAGE: page, TAKEN: self.taken, SEEN: seen })
        });
        (place.is_some() || ordered.is_some()).then_some(Stand { place, watermark })
    }

    /// The same walk from a place on that one before it stood at.
    ///
    /// # Errors
    /// Where the place is none of this stream's.
    pub fn behind(mut self, place: &Json) -> Result<Self, String> {
        let none = || "the place that the run before stood at is none of this stream's; pull it in full".to_owned();
        self.taken = place.get(TAKEN).and_then(Json::as_u64).ok_or_else(none)?;
        self.about = About::Once { begun: true };
        self.position = match place.get(PAGE).ok_or_else(none)? {
            Json::Null => None,
            page => {
                let first = self.request(&Position::of(self.pages.paging.as_ref())).map_err(|e| e.to_string())?;
                Some(Position::of_json(page, &first)?)
            }
        };
        if let (Some(cursor), Some(kept)) = (&self.pages.cursor, place.get(SEEN)) {
            *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Mark::of_json(kept, cursor);
        }
        Ok(self)
    }

    /// The same walk, which gives up at once where something does not work.
    pub fn impatient(mut self, trial: &Arc<Trial>) -> Self {
        self.trial = Some(Arc::clone(trial));
        if let About::Batches { walk, .. } = self.about {
            self.about = About::Batches {
                walk: Box::new(walk.impatient(trial)),
                waiting: VecDeque::new(),
                ended: false,
                unread: Vec::new(),
            };
        }
        self
    }

    /// The next page; nothing behind the last.
    ///
    /// # Errors
    /// Where the stream cannot be read any further.
    pub fn next(&mut self) -> Pin<Box<dyn Future<Output = Result<Option<Page>, ReadError>> + Send + '_>> {
        Box::pin(self.step())
    }

    async fn step(&mut self) -> Result<Option<Page>, ReadError> {
        let unread = if self.position.is_none() { self.begin().await? } else { Vec::new() };
        let mut page: Page = unread.into_iter().map(Err).collect();
        let Some(position) = self.position.take() else {
            return Ok(Some(page).filter(|page| !page.is_empty()));
        };
        self.fetched += 1;
        if self.fetched > MOST_PAGES {
            return Err(self.fatal(format!("the stream has more than {MOST_PAGES} pages"), None));
        }
        let request = self.request(&position)?;
        let answer = self.ask(&request).await.map_err(|failure| self.fatal(failure.to_string(), None))?;
        let at = date(&answer.headers).unwrap_or_else(Timestamp::now);
        let Fetched { mut records, digest, envelope } = self.records(&request, answer.clone()).await?;
        if self.before == Some(digest) && !records.is_empty() {
            let hint = "look at the stream's `paging`: the request does not ask for another page";
            return Err(self.fatal(format!("{request} brought the same page twice"), Some(hint)));
        }
        for record in records.iter_mut().flatten() {
            self.taken += 1;
            record.place.record = self.taken;
        }
        if let Some(paging) = &self.pages.paging {
            let read = PageRead { request: &request, records: &records, answer: &answer, envelope: envelope.as_ref() };
            let next = paging.next(&position, &read);
            self.position = next.map_err(|(message, hint)| self.fatal(message, hint))?;
        }
        if let Some(next) = &self.position
            && self.loops.has(next)
        {
            let hint = "it would be read for ever; look at the stream's `paging`";
            let message = format!("{request}: what leads to the next page leads back to one before it");
            return Err(self.fatal(message, Some(hint)));
        }
        self.before = Some(digest);
        page.extend(self.completed(records, at).await?);
        Ok(Some(page))
    }

    /// Begins the next batch, if there is one: then there is a position. Gives what of the other stream could not be read.
    async fn begin(&mut self) -> Result<Vec<ReadError>, ReadError> {
        let begins = match (&mut self.about, &self.pages.parents) {
            (About::Batches { walk, waiting, ended, unread }, Some(Parents { plan, .. })) => {
                while waiting.len() < plan.batch && !*ended {
                    match walk.next().await? {
                        None => *ended = true,
                        Some(page) => {
                            for record in page {
                                match record {
                                    Ok(record) => waiting.push_back(record.fields.into_map()),
                                    Err(fatal @ ReadError::Fatal { .. }) => return Err(fatal),
                                    Err(error) => unread.push(error),
                                }
                            }
                        }
                    }
                }
                let mut batch = Vec::new();
                let mut same = None;
                let mut keys = HashSet::new();
                let tell = |expression, record: &Map| {
                    told(expression, record, &self.pages.client).map_err(|message| fatal(&self.pages, 0, message, None))
                };
                while batch.len() < plan.batch
                    && let Some(record) = waiting.pop_front()
                {
                    if let Some(expression) = &plan.same {
                        let told = tell(expression, &record)?;
                        if same.as_ref().is_some_and(|same| *same != told) {
                            waiting.push_front(record);
                            break;
                        }
                        same = Some(told);
                    }
                    // Of two records with one key nobody could tell which one was asked about.
                    if let Some((key, _)) = &plan.on
                        && !keys.insert(tell(key, &record)?)
                    {
                        waiting.push_front(record);
                        break;
                    }
                    batch.push(Value::Map(record));
                }
                let begins = !batch.is_empty();
                self.parents = Value::List(batch);
                begins
            }
            (About::Once { begun }, _) => !std::mem::replace(begun, true),
            (About::Batches { .. }, None) => false,
        };
        (self.before, self.loops) = (None, Loops::default());
        self.position = begins.then(|| Position::of(self.pages.paging.as_ref()));
        Ok(match &mut self.about {
            About::Batches { unread, .. } => std::mem::take(unread),
            About::Once { .. } => Vec::new(),
        })
    }

    fn request(&self, position: &Position) -> Result<Request, ReadError> {
        if let Some(link) = &position.link {
            return Ok(link.clone());
        }
        let client = &self.pages.client;
        let page = position.value(self.pages.paging.as_ref());
        let now = Value::Text(Timestamp::now().to_string());
        let names = [
            ("settings", client.settings()),
            (CURSOR, &self.cursor),
            ("page", &page),
            ("parents", &self.parents),
            ("now", &now),
        ];
        let record = Map::default();
        let context = Context { record: (&record).into(), names: &names, zone: client.zone() };
        self.pages.request.fill(client.base(), &context).map_err(|message| self.fatal(message, None))
    }

    async fn ask(&self, request: &Request) -> Result<Answer, Failure> {
        let Some(trial) = &self.trial else { return self.pages.client.read(request).await };
        self.pages.client.send(request).await.inspect_err(|failure| trial.note(failure))
    }

    /// Reads the records of a page.
    async fn records(&self, request: &Request, answer: Answer) -> Result<Fetched, ReadError> {
        let (reading, name) = (Arc::clone(&self.pages.reading), self.pages.name.clone());
        let told = self.pages.paging.as_ref().is_some_and(super::paging::Paging::is_told);
        if answer.status.as_u16() == 204 {
            return Ok(Fetched { records: Vec::new(), digest: blake3::hash(&[]), envelope: None });
        }
        let media = answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if media.starts_with("text/html") {
            let hint = "a login page or an error of a server in between; look at `base_url` and at the path";
            return Err(self.fatal(format!("{request} was answered with a page of HTML"), Some(hint)));
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
                        records.push(match tagged.as_deref() {
                            Some(tagged) => tagged.resolved(record, client.settings()),
                            None => Ok(record),
                        });
                    }
                    Err(error) => {
                        hasher.update(error.to_string().as_bytes());
                        records.push(Err(error));
                    }
                }
            }
            Ok(Fetched { records, digest: hasher.finalize(), envelope })
        });
        read.await.map_err(|_| self.fatal("reading a page broke off".to_owned(), None))?
    }

    /// Records with what belongs to them, of a page that was asked for at this instant.
    async fn completed(&self, mut records: Page, at: Timestamp) -> Result<Page, ReadError> {
        let Pages { unfold: field, cursor, joins, parents, kept, .. } = &*self.pages;
        let filled = |field: &str| {
            let parent = parents.iter().filter_map(|parents| parents.plan.into.as_deref());
            joins.iter().map(|join| &*join.plan.into).chain(parent).any(|into| into == field)
        };
        // What the system gave is unfolded before anything is joined to it, so that it is joined to each element.
        let (early, late) = match field {
            Some(field) if filled(field) => (None, Some(field)),
            field => (field.as_ref(), None),
        };
        if let Some(field) = early {
            records = unfold(field, records);
        }
        if let (Some(Parents { plan, .. }), Value::List(asked)) = (parents, &self.parents) {
            let filled = with_parents(plan, asked, records, &self.pages.client);
            records = filled.map_err(|message| self.fatal(message, None))?;
        }
        if let Some(condition) = kept {
            records = those_kept(condition, records, &self.pages.client);
        }
        if let Some(cursor) = cursor {
            let highest = cursor.highest(&mut records, &self.pages.client);
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).note(highest, at);
        }
        for join in joins {
            records = self.joined(join, records).await?;
        }
        Ok(match late {
            Some(field) => unfold(field, records),
            None => records,
        })
    }

    /// Records with those of another stream that belong to them.
    async fn joined(&self, join: &Join, records: Page) -> Result<Page, ReadError> {
        let (client, plan) = (&self.pages.client, &join.plan);
        // Each record with what tells what belongs to it, or why it cannot be taken.
        let mut open: Vec<Result<Keyed, ReadError>> = Vec::with_capacity(records.len());
        for record in records {
            open.push(record.and_then(|Record { fields, place }| {
                let map = fields.into_map();
                match told(&plan.on.0, &map, client) {
                    Ok(key) => Ok((map, place, key)),
                    Err(message) => Err(ReadError::Record { place, message }),
                }
            }));
        }
        // One record of each key is asked about.
        let mut asked: HashMap<String, Result<Vec<Value>, String>> = HashMap::new();
        let mut about: Vec<(String, Value)> = Vec::new();
        for (map, _, key) in open.iter().flatten() {
            if let Some(key) = key
                && !asked.contains_key(key)
            {
                asked.insert(key.clone(), Ok(Vec::new()));
                about.push((key.clone(), Value::Map(map.clone())));
            }
        }
        for batch in about.chunks(plan.batch) {
            self.ask_about(join, batch, &mut asked).await?;
        }
        let completed = open.into_iter().map(|record| {
            let (mut map, place, key) = record?;
            let found = match key.as_ref().and_then(|key| asked.get(key)) {
                None => Vec::new(),
                Some(Ok(found)) => found.clone(),
                Some(Err(message)) => return Err(ReadError::Record { place, message: message.clone() }),
            };
            let value = if plan.many {
                Value::List(found)
            } else if found.len() > 1 {
                let message = format!(
                    "{} records of {} belong to {}, where there is to be one",
                    found.len(),
                    plan.stream,
                    key.unwrap_or_default()
                );
                return Err(ReadError::Record { place, message });
            } else {
                found.into_iter().next().unwrap_or_default()
            };
            map.set(&plan.into, value);
            Ok(Record { fields: map.into(), place })
        });
        Ok(completed.collect())
    }

    /// Asks a joined stream about the records of a batch, and notes what belongs to which.
    async fn ask_about(
        &self,
        join: &Join,
        batch: &[(String, Value)],
        asked: &mut HashMap<String, Result<Vec<Value>, String>>,
    ) -> Result<(), ReadError> {
        let mut walk = Walk::about(&join.pages, batch.iter().map(|(_, record)| record.clone()).collect());
        walk.trial.clone_from(&self.trial);
        let mut taken = 0;
        while let Some(page) = walk.next().await? {
            for record in page {
                taken += 1;
                if taken > MOST_JOINED {
                    let message =
                        format!("more than {MOST_JOINED} records of {} belong to one batch", join.plan.stream);
                    return Err(self.fatal(message, Some("make the join's `batch` smaller")));
                }
                let told = match record {
                    Ok(Record { fields, .. }) => {
                        let map = fields.into_map();
                        told(&join.plan.on.1, &map, &self.pages.client).map(|key| (key, map))
                    }
                    Err(fatal @ ReadError::Fatal { .. }) => return Err(fatal),
                    Err(error) => Err(error.to_string()),
                };
                match told {
                    Ok((key, map)) => {
                        // What was not asked about is passed over: a system may give more than it was asked for.
                        if let Some(Ok(found)) = key.and_then(|key| asked.get_mut(&key)) {
                            found.push(Value::Map(map));
                        }
                    }
                    // Nobody can tell to which record it belongs, so none of the batch is known to be whole.
                    Err(error) => {
                        let message = format!("a record of {} cannot be read: {error}", join.plan.stream);
                        for (key, _) in batch {
                            asked.insert(key.clone(), Err(message.clone()));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn fatal(&self, message: String, hint: Option<&str>) -> ReadError {
        fatal(&self.pages, self.taken, message, hint)
    }
}

fn fatal(pages: &Pages, record: u64, message: String, hint: Option<&str>) -> ReadError {
    let source = Some(Arc::from(pages.name.as_str()));
    ReadError::Fatal { place: Place { source, record, line: None }, message, hint: hint.map(str::to_owned) }
}
