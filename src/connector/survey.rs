//! Trying a connection out stream by stream: what can be read of each, how fast, and what the system refuses.
//!
//! What does not live here: the quick look whether the system answers at all (`probe`).

use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::connection::Connector;
use super::http::budget::Headroom;
use super::http::pages::{Refusal, Tried};
use super::offer::Wanted;

/// How long a stream may take.
const PATIENCE: Duration = Duration::from_mins(2);

/// So many streams may be refused for the login before one was read: accounts are locked by many attempts.
const REFUSALS: usize = 2;

/// What a try of a connection found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Survey {
    /// Where the system is; absent where it exchanges files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Its streams, in the order of their names.
    pub streams: Vec<StreamSurvey>,
    /// How much of its limits is left, as far as that is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<Headroom>,
    /// What is wrong with its directories, and what to do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// What a try of a stream found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StreamSurvey {
    /// Its name.
    pub stream: String,
    /// What became of it.
    pub result: SurveyResult,
    /// How long its first page took, with the login where that came first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub milliseconds: Option<u64>,
    /// How many records its first page has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// How many files are ready to be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// Whether it can be asked for what changed.
    pub tells_changes: bool,
    /// The highest cursor of the page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Json>,
    /// What is wrong, in the system's own words where it has some; or why it is not read by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What became of the try of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SurveyResult {
    /// It can be read.
    Read,
    /// It is only joined to others, and read with them.
    Joined,
    /// The system refuses it to this user (401, 403).
    Denied,
    /// The system cannot be reached, or does not let in.
    Unreachable,
    /// It cannot be read.
    Failed,
    /// It was not tried, for what is said of another.
    NotTried,
}

impl Survey {
    /// Whether everything can be read.
    pub fn is_well(&self) -> bool {
        let well = |stream: &StreamSurvey| matches!(stream.result, SurveyResult::Read | SurveyResult::Joined);
        self.problems.is_empty() && self.streams.iter().all(well)
    }
}

impl StreamSurvey {
    fn new(stream: &str, result: SurveyResult) -> Self {
        let (stream, tells_changes) = (stream.to_owned(), false);
        let (milliseconds, rows, files, cursor, message) = (None, None, None, None, None);
        Self { stream, result, milliseconds, rows, files, tells_changes, cursor, message }
    }
}

impl Connector {
    /// Tries every stream: one page of each, one after another, within the limits.
    pub async fn survey(&self) -> Survey {
        let Some(client) = self.client() else { return self.survey_files().await };
        let mut streams: Vec<StreamSurvey> = Vec::new();
        for (name, pages) in self.pages() {
            let joined = || self.pages().filter(|(_, other)| other.joins.iter().any(|join| join.pages.name == name));
            if !pages.stands_alone() {
                let to: Vec<&str> = joined().map(|(other, _)| other).collect();
                let to = if to.is_empty() { "no stream".to_owned() } else { to.join(", ") };
                let message = Some(format!("only joined to {to}"));
                streams.push(StreamSurvey { message, ..StreamSurvey::new(name, SurveyResult::Joined) });
                continue;
            }
            let count = |result| streams.iter().filter(|stream| stream.result == result).count();
            let refused = count(SurveyResult::Denied) >= REFUSALS && count(SurveyResult::Read) == 0;
            if refused || count(SurveyResult::Unreachable) > 0 {
                let message = Some("not tried, for what is said of the streams before it".to_owned());
                streams.push(StreamSurvey { message, ..StreamSurvey::new(name, SurveyResult::NotTried) });
                continue;
            }
            let began = Instant::now();
            let tried = tokio::time::timeout(PATIENCE, pages.try_out()).await;
            let took = u64::try_from(began.elapsed().as_millis()).ok();
            let of = StreamSurvey {
                milliseconds: took,
                tells_changes: pages.tells_changes(),
                ..StreamSurvey::new(name, SurveyResult::Read)
            };
            streams.push(match tried {
                Ok(Ok(Tried { records, cursor })) => StreamSurvey { rows: Some(records as u64), cursor, ..of },
                Ok(Err(Refusal { denied, unreachable, message })) => {
                    let result = match (denied, unreachable) {
                        (true, _) => SurveyResult::Denied,
                        (false, true) => SurveyResult::Unreachable,
                        (false, false) => SurveyResult::Failed,
                    };
                    StreamSurvey { result, message: Some(message), ..of }
                }
                Err(_) => {
                    let message = format!("no page within {PATIENCE:?}; the system is slow, or its limit is used up");
                    StreamSurvey { result: SurveyResult::Failed, message: Some(message), ..of }
                }
            });
        }
        Survey { address: Some(client.base().to_string()), streams, limits: client.headroom(), problems: Vec::new() }
    }

    async fn survey_files(&self) -> Survey {
        let mut streams = Vec::new();
        for name in self.stream_names() {
            let began = Instant::now();
            let read = tokio::time::timeout(PATIENCE, self.readable(name)).await;
            let of = StreamSurvey {
                milliseconds: u64::try_from(began.elapsed().as_millis()).ok(),
                ..StreamSurvey::new(name, SurveyResult::Read)
            };
            let failed = |message| StreamSurvey { result: SurveyResult::Failed, message: Some(message), ..of.clone() };
            streams.push(match read {
                Ok(Ok(files)) => StreamSurvey { files: Some(files as u64), ..of },
                Ok(Err(message)) => failed(message),
                Err(_) => failed(format!("its files are not seen to be whole within {PATIENCE:?}")),
            });
        }
        let problems = self.probe().await.into_iter().filter_map(|probe| probe.problem).collect();
        Survey { address: None, streams, limits: Vec::new(), problems }
    }

    /// How many files of a stream are ready; the first record of the first is read.
    async fn readable(&self, stream: &str) -> Result<usize, String> {
        let offers = self.offers(stream, &Wanted::default()).await.map_err(|error| error.to_string())?;
        let count = offers.len();
        let Some(first) = offers.into_iter().next() else { return Ok(0) };
        let read = tokio::task::spawn_blocking(move || {
            let mut reader = first.open_sparingly().map_err(|error| error.to_string())?;
            reader.next().transpose().map(|_| ()).map_err(|error| error.to_string())
        });
        read.await.map_err(|_| "the reading of a file broke off".to_owned())??;
        Ok(count)
    }
}
