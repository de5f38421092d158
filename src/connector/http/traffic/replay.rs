//! Replaying: requests are answered from a recording, in its order where several are alike; nothing is sent.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::Value as Json;

use super::asked::Asked;
use super::entry::{Entry, Fault, FaultKind, Index, Outcome, Received, load};
use super::mask::Mask;
use super::recorder::sent;
use super::{Described, TrafficError};
use crate::config::suggest;
use crate::connector::http::answer::{Answer, Failure};
use crate::connector::http::request::Request;

/// Answers from a recording.
#[derive(Debug, Default)]
pub struct Replay {
    directory: PathBuf,
    index: Option<Index>,
    /// The exchanges in the order in which they were sent, without logins.
    known: Vec<(PathBuf, Asked)>,
    /// What the last login came to that did not work.
    refused: Option<Failure>,
    mask: Mask,
    used: Mutex<Used>,
}

/// What was asked for already.
#[derive(Debug, Default)]
struct Used {
    exchanges: HashSet<usize>,
    pulls: HashSet<usize>,
}

impl Replay {
    /// Reads a recording, and checks every file of it. Blocking.
    ///
    /// # Errors
    /// Where a file is missing or damaged.
    pub fn load(directory: &Path) -> Result<Self, TrafficError> {
        let index: Index = load(&Index::path(directory))?;
        let mut replay = Self { directory: directory.to_owned(), index: Some(index), ..Self::default() };
        for path in Entry::paths(directory)? {
            let entry: Entry = load(&path)?;
            match &entry.outcome {
                Outcome::Answer(answer) if entry.login && !answer.status.is_success() => {
                    let reason = format!("{} was answered {}", Asked::of(&entry.request), answer.status);
                    replay.refused = Some(Failure::Unauthorised(reason));
                }
                Outcome::Failure(Fault { message, .. }) if entry.login => {
                    replay.refused = Some(Failure::Unreachable(message.clone()));
                }
                _ if entry.login => {}
                _ => replay.known.push((path, Asked::of(&entry.request))),
            }
        }
        Ok(replay)
    }

    /// Whether the connection is the one that was recorded.
    ///
    /// # Errors
    /// In what it is another one.
    pub(super) fn check(&self, described: &Described) -> Result<(), TrafficError> {
        let Some(index) = &self.index else { return Ok(()) };
        let path = self.directory.clone();
        if index.connector != described.connector {
            let (recorded, given) = (index.connector.clone(), described.connector.to_owned());
            return Err(TrafficError::OtherConnector { path, recorded, given });
        }
        let given = self.mask.address(described.address, false).to_string();
        if index.address != given {
            return Err(TrafficError::OtherAddress { path, recorded: index.address.clone(), given });
        }
        Ok(())
    }

    /// From where a stream was pulled: the first pull of it that was not asked for, then the last one again.
    ///
    /// # Errors
    /// Where it was not pulled.
    pub(super) fn place(&self, stream: &str) -> Result<Option<Json>, TrafficError> {
        let pulls = self.index.as_ref().map_or(&[][..], |index| &index.pulls);
        let mut of_stream = pulls.iter().enumerate().filter(|(_, pull)| pull.stream == stream);
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = of_stream.clone().find(|(at, _)| !used.pulls.contains(at));
        let found = fresh.or_else(|| of_stream.next_back());
        let Some((at, pull)) = found else {
            let streams: Vec<&str> = pulls.iter().map(|pull| pull.stream.as_str()).collect();
            let hint = if streams.is_empty() {
                "none was pulled when it was recorded, such as by `connector probe`".to_owned()
            } else {
                format!("there are pulls of {}", suggest::one_of(streams))
            };
            return Err(TrafficError::NoPull { path: self.directory.clone(), stream: stream.to_owned(), hint });
        };
        used.pulls.insert(at);
        Ok(pull.after.clone())
    }

    /// A login, which works: what it gave is in no recording. But where nothing came after it, it did not work.
    ///
    /// # Errors
    /// Why it did not work when it was recorded.
    pub fn login(&self) -> Result<(), Failure> {
        let said = |reason: &str| format!("the login failed when it was recorded: {reason}");
        match &self.refused {
            Some(Failure::Unauthorised(reason)) if self.known.is_empty() => Err(Failure::Unauthorised(said(reason))),
            Some(refused) if self.known.is_empty() => Err(Failure::Unreachable(said(&refused.to_string()))),
            _ => Ok(()),
        }
    }

    /// What the request was answered when it was recorded.
    ///
    /// # Errors
    /// What it failed with then; or that it was not recorded.
    pub async fn answer(&self, request: &Request) -> Result<Answer, Failure> {
        let asked = Asked::of(&sent(&self.mask, request));
        let path = self.find(&asked).map_err(Failure::Fatal)?;
        let entry = tokio::task::spawn_blocking(move || load::<Entry>(&path)).await;
        let entry = entry.map_err(|_| Failure::Fatal("the reading of the recording broke off".to_owned()))?;
        match entry.map_err(|error| Failure::Fatal(error.to_string()))?.outcome {
            Outcome::Answer(Received { status, headers, body }) => {
                let body = body.map(|body| body.bytes()).unwrap_or_default();
                let headers: HeaderMap = headers.into_iter().map(|header| (header.name, header.value)).fold(
                    HeaderMap::new(),
                    |mut all, (name, value)| {
                        all.append(name, value);
                        all
                    },
                );
                Ok(Answer { status, headers, body, duplicate: false })
            }
            Outcome::Failure(Fault { kind, message, after }) => Err(match kind {
                FaultKind::Unreachable => Failure::Unreachable(message),
                FaultKind::Broken => Failure::Broken { reason: message, after: after.map(Duration::from_secs) },
                FaultKind::Limited => Failure::Limited { reason: message, after: after.map(Duration::from_secs) },
                FaultKind::Unusable => Failure::Unusable(message),
            }),
        }
    }

    /// The first exchange with this request that was not asked for.
    fn find(&self, asked: &Asked) -> Result<PathBuf, String> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let mut alike = Vec::new();
        for (at, (path, known)) in self.known.iter().enumerate().filter(|(_, (_, known))| known == asked) {
            if used.exchanges.insert(at) {
                return Ok(path.clone());
            }
            alike.push((path, known));
        }
        drop(used);
        let place = self.directory.display();
        let mut said = if let Some((path, _)) = alike.last() {
            let times = if alike.len() == 1 { "once".to_owned() } else { format!("{} times", alike.len()) };
            format!("{asked} is asked for more often than it was recorded: {times} in {place}, last in {}", name(path))
        } else {
            match self.known.iter().min_by_key(|(_, known)| asked.distance(known)) {
                None => format!("{asked} is not in the recording {place}, which has no exchange but logins"),
                Some((path, nearest)) => format!(
                    "{asked} is not in the recording {place}; the nearest is {nearest} in {}: {}",
                    name(path),
                    asked.says(nearest)
                ),
            }
        };
        if self.index.as_ref().is_some_and(|index| index.ended_at.is_none()) {
            said.push_str("; the recording broke off, and ends before it");
        }
        if let Some(refused) = &self.refused {
            said = format!("{said}; the login failed when it was recorded: {refused}");
        }
        Err(said)
    }
}

fn name(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}
