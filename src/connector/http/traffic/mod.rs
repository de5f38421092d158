//! What becomes of the exchanges with a system: they are sent, sent and recorded, or answered from a recording.
//!
//! A recording is a directory: `recording.json` says what was recorded, and each exchange is a file of its own, numbered in
//! the order in which requests were sent. Secrets are hidden before anything is written.
//!
//! What does not live here: sending requests (`client`), and what answers mean (`answer`).

mod asked;
mod entry;
mod mask;
mod noted;
mod recorder;
mod replay;

use std::path::PathBuf;
use std::sync::Arc;

use reqwest::Url;
use serde_json::Value as Json;

pub use mask::HIDDEN;
pub use noted::Noter;
pub use recorder::{Exchange, Recorder};
pub use replay::Replay;

use crate::config::Secret;

/// What becomes of the exchanges of a connection.
#[derive(Debug, Clone, Default)]
pub enum Traffic {
    /// They are sent.
    #[default]
    Wire,
    /// They are sent, and recorded.
    Recorded(Arc<Recorder>),
    /// They are answered from a recording; nothing is sent.
    Replayed(Arc<Replay>),
}

/// Which connection's exchanges are recorded or replayed, where any are.
#[derive(Debug, Clone, Default)]
pub struct Tap(Option<(String, Traffic)>);

/// A connection as its recording tells it.
#[derive(Debug)]
pub struct Described<'a> {
    /// Its name.
    pub connection: &'a str,
    /// Its connector.
    pub connector: &'a str,
    /// The digest of the connector's manifest.
    pub manifest: &'a str,
    /// Its company.
    pub company: Option<&'a str>,
    /// Its zone.
    pub time_zone: String,
    /// The address that paths are behind.
    pub address: &'a Url,
    /// The settings that are no secrets.
    pub settings: Json,
}

/// Why a recording cannot be made or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrafficError {
    /// It cannot be written.
    #[error("the recording cannot be written, {}: {source}", .path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Its directory has something in it.
    #[error("{} is not empty; a recording gets a new directory", .0.display())]
    NotEmpty(PathBuf),
    /// It cannot be read.
    #[error("the recording cannot be read, {}: {source}", .path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A directory is no recording.
    #[error("{} is no recording: it has no file recording.json; name the directory that --record wrote", .0.display())]
    NoRecording(PathBuf),
    /// A file of it is cut off, or was changed by hand.
    #[error("{}:{line}:{column}: {message}; the file is cut off or was changed: mend it, or copy the recording once more", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// It was made through another connector.
    #[error("{} was recorded through the connector {recorded}, and the connection has {given}", .path.display())]
    OtherConnector {
        /// The recording.
        path: PathBuf,
        /// Its connector.
        recorded: String,
        /// The connection's.
        given: String,
    },
    /// It was made with another address.
    #[error("{} was recorded at {recorded}, and the connection is at {given}: give it the address of the recording, since links in the answers lead there; nothing is sent to it", .path.display())]
    OtherAddress {
        /// The recording.
        path: PathBuf,
        /// Its address.
        recorded: String,
        /// The connection's.
        given: String,
    },
    /// A stream was not pulled when it was recorded.
    #[error("{} has no pull of the stream '{stream}'; {hint}", .path.display())]
    NoPull {
        /// The recording.
        path: PathBuf,
        /// The stream.
        stream: String,
        /// Of which there are pulls.
        hint: String,
    },
}

impl Traffic {
    /// Whether nothing is sent.
    pub fn is_replayed(&self) -> bool {
        matches!(self, Self::Replayed(_))
    }

    /// Tells what is to be hidden.
    pub fn learn(&self, secrets: &[Secret]) {
        if let Self::Recorded(recorder) = self {
            for secret in secrets {
                recorder.learn(secret.reveal());
            }
        }
    }

    /// Notes which connection is recorded, or checks that it is the one that was.
    ///
    /// # Errors
    /// Where that cannot be written, or it is another one.
    pub fn bound(&self, described: &Described) -> Result<(), TrafficError> {
        match self {
            Self::Wire => Ok(()),
            Self::Recorded(recorder) => recorder.describe(described),
            Self::Replayed(replay) => replay.check(described),
        }
    }

    /// The place from which a stream is pulled, which a recording keeps: of a replay the one that was recorded.
    ///
    /// # Errors
    /// Where it cannot be written, or no pull of the stream was recorded.
    pub fn place(&self, stream: &str, after: Option<Json>) -> Result<Option<Json>, TrafficError> {
        match self {
            Self::Wire => Ok(after),
            Self::Recorded(recorder) => recorder.begins(stream, after.as_ref()).map(|()| after),
            Self::Replayed(replay) => replay.place(stream),
        }
    }
}

impl Tap {
    /// Records a connection.
    pub fn record(connection: &str, recorder: &Arc<Recorder>) -> Self {
        Self(Some((connection.to_owned(), Traffic::Recorded(Arc::clone(recorder)))))
    }

    /// Replays a connection; every other one is answered nothing.
    pub fn replay(connection: &str, replay: Replay) -> Self {
        Self(Some((connection.to_owned(), Traffic::Replayed(Arc::new(replay)))))
    }

    /// What becomes of the exchanges of a connection.
    pub fn of(&self, connection: &str) -> Traffic {
        match &self.0 {
            Some((name, traffic)) if name == connection => traffic.clone(),
            Some((_, Traffic::Replayed(_))) => Traffic::Replayed(Arc::default()),
            _ => Traffic::Wire,
        }
    }
}
