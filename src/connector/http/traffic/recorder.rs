//! Recording: each exchange becomes a file as soon as it is over, whole or not at all.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde_json::Value as Json;

use super::entry::{Begun, Body, Entry, FORM, Fault, FaultKind, Header, Index, Outcome, Received, Sent, write};
use super::mask::{Mask, Side};
use super::{Described, TrafficError};
use crate::connector::http::answer::{Answer, Failure};
use crate::connector::http::request::Request;

/// Records the exchanges of a connection.
#[derive(Debug)]
pub struct Recorder {
    directory: PathBuf,
    mask: Mask,
    /// The number of the exchange that is sent next.
    next: AtomicU64,
    /// What is recorded, once the connection is known.
    index: Mutex<Option<Index>>,
}

/// An exchange that is under way.
#[derive(Debug)]
pub struct UnderWay {
    number: u64,
    at: Timestamp,
}

/// An exchange that is over.
pub struct Exchange {
    /// What was sent.
    pub request: Request,
    /// The headers it was sent with, but for the proof.
    pub headers: HeaderMap,
    /// The headers that prove who it comes from.
    pub proof: HeaderMap,
    /// What it came to.
    pub outcome: Result<Answer, Failure>,
    /// How long it took.
    pub took: Duration,
}

impl Recorder {
    /// Records into a directory, which is made where it is missing. Blocking.
    ///
    /// # Errors
    /// Where it has something in it, or cannot be written.
    pub fn begin(directory: &Path) -> Result<Self, TrafficError> {
        use std::os::unix::fs::DirBuilderExt as _;
        let failed = |source| TrafficError::Write { path: directory.to_owned(), source };
        // What systems answer is for nobody else.
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        if std::fs::read_dir(directory).map_err(failed)?.next().is_some() {
            return Err(TrafficError::NotEmpty(directory.to_owned()));
        }
        let (mask, next, index) = (Mask::default(), AtomicU64::new(1), Mutex::default());
        Ok(Self { directory: directory.to_owned(), mask, next, index })
    }

    /// Hides this.
    pub fn learn(&self, secret: &str) {
        self.mask.learn(secret);
    }

    /// How many requests were sent.
    pub fn count(&self) -> u64 {
        self.next.load(Ordering::Relaxed) - 1
    }

    /// Says which connection is recorded. Blocking.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn describe(&self, described: &Described) -> Result<(), TrafficError> {
        let settings = self.mask.body(described.settings.to_string().as_bytes(), "application/json", None);
        let index = Index {
            form: FORM,
            tradebridge: env!("CARGO_PKG_VERSION").to_owned(),
            connection: described.connection.to_owned(),
            connector: described.connector.to_owned(),
            manifest: described.manifest.to_owned(),
            company: described.company.map(str::to_owned),
            time_zone: described.time_zone.clone(),
            address: self.mask.address(described.address, false).to_string(),
            settings: serde_json::from_slice(&settings).unwrap_or_default(),
            began_at: Timestamp::now(),
            ended_at: None,
            pulls: Vec::new(),
        };
        self.change(|kept| *kept = Some(index))
    }

    /// Notes that a stream is pulled, and from where. Blocking.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn begins(&self, stream: &str, after: Option<&Json>) -> Result<(), TrafficError> {
        let begun = Begun { stream: stream.to_owned(), after: after.cloned(), at: Timestamp::now() };
        self.change(|index| index.iter_mut().for_each(|index| index.pulls.push(begun.clone())))
    }

    /// Notes that all is recorded. Blocking.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn end(&self) -> Result<(), TrafficError> {
        self.change(|index| index.iter_mut().for_each(|index| index.ended_at = Some(Timestamp::now())))
    }

    fn change(&self, change: impl FnOnce(&mut Option<Index>)) -> Result<(), TrafficError> {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut index);
        index.as_ref().map_or(Ok(()), |index| write(&Index::path(&self.directory), index))
    }

    /// A request is sent now.
    pub fn sends(&self) -> UnderWay {
        UnderWay { number: self.next.fetch_add(1, Ordering::Relaxed), at: Timestamp::now() }
    }

    /// Keeps an exchange.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn keep(self: &Arc<Self>, under_way: UnderWay, exchange: Exchange) -> Result<(), TrafficError> {
        let recorder = Arc::clone(self);
        let path = Entry::path(&self.directory, under_way.number);
        let stopped = TrafficError::Write { path: path.clone(), source: std::io::ErrorKind::Interrupted.into() };
        let kept = tokio::task::spawn_blocking(move || write(&path, &recorder.entry(under_way.at, &exchange)));
        kept.await.unwrap_or(Err(stopped))
    }

    fn entry(&self, at: Timestamp, exchange: &Exchange) -> Entry {
        let Exchange { request, headers, proof, outcome, took } = exchange;
        proof.values().for_each(|value| self.mask.learn_proof(value));
        request.hidden.iter().for_each(|secret| self.mask.learn(secret.reveal()));
        if let Ok(answer) = outcome {
            self.mask.learn_answer(&answer.headers);
        }
        // Of a login, what it gives is known before anything is written.
        let outcome = match outcome {
            Ok(answer) => Outcome::Answer(self.received(answer, request.login)),
            Err(failure) => Outcome::Failure(self.fault(failure)),
        };
        let hidden = proof
            .keys()
            .map(|name| Header { name: name.clone(), value: reqwest::header::HeaderValue::from_static(super::HIDDEN) });
        let sent = Sent { headers: self.headers(headers).chain(hidden).collect(), ..sent(&self.mask, request) };
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        Entry { at, milliseconds, login: request.login, request: sent, outcome }
    }

    fn received(&self, answer: &Answer, login: bool) -> Received {
        let media = answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let body = self.mask.body(&answer.body, media, login.then_some(Side::Given));
        Received { status: answer.status, headers: self.headers(&answer.headers).collect(), body: Body::of(body) }
    }

    fn headers<'a>(&'a self, headers: &'a HeaderMap) -> impl Iterator<Item = Header> + 'a {
        headers.iter().map(|(name, value)| Header { name: name.clone(), value: self.mask.header(name, value) })
    }

    fn fault(&self, failure: &Failure) -> Fault {
        let kind = match failure {
            Failure::Unreachable(_) => FaultKind::Unreachable,
            Failure::Broken { .. } => FaultKind::Broken,
            Failure::Limited { .. } => FaultKind::Limited,
            _ => FaultKind::Unusable,
        };
        let after = match failure {
            Failure::Broken { after, .. } | Failure::Limited { after, .. } => after.map(|after| after.as_secs()),
            _ => None,
        };
        Fault { kind, message: self.mask.text(&failure.to_string()), after }
    }
}

/// A request as it is recorded, and as one that is replayed is held against it; without its headers.
pub(super) fn sent(mask: &Mask, request: &Request) -> Sent {
    let body = request
        .body
        .as_ref()
        .and_then(|(media, bytes)| Body::of(mask.body(bytes, media, request.login.then_some(Side::Asked))));
    let address = mask.address(&request.url, request.login);
    Sent { method: request.method.clone(), address, headers: Vec::new(), body }
}
