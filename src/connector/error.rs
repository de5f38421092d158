//! What cannot be done with a connection, and what to do about it.

use std::path::PathBuf;

use super::file::FileError;
use super::file::trouble::{Doing, explain};
use super::format::ReadError;
use super::http::traffic::TrafficError;

/// Why a connection cannot be read from.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectorError {
    /// The connection has no such stream.
    #[error("the connection, of the connector {connector}, has no stream '{stream}'; {hint}")]
    NoStream {
        /// The connector.
        connector: String,
        /// What was asked for.
        stream: String,
        /// What to do.
        hint: String,
    },
    /// A stream cannot be asked for what changed since an instant.
    #[error("the stream '{stream}' cannot be asked for what changed since an instant: {reason}")]
    NotSince {
        /// The stream.
        stream: String,
        /// Why, and what to do.
        reason: &'static str,
    },
    /// A directory is missing, or may not be read or written.
    #[error("{}", explain(.path, *.doing, .source))]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What was to be done.
        doing: Doing,
        /// Why it failed.
        source: std::io::Error,
    },
    /// What has the name of an export is no regular file.
    #[error("{} is no regular file but {kind}; files are read only from the directory itself: have the export written there, or rename it", .path.display())]
    NotAFile {
        /// What has the name.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// A file that was read cannot be archived or removed.
    #[error("{} was read, but cannot be moved or removed: {message}", .path.display())]
    NotSettled {
        /// The file.
        path: PathBuf,
        /// Why, and what to do.
        message: String,
    },
    /// A file cannot be opened, or changed.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file's beginning cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Something that is no identity of this stream's files was to be settled.
    #[error("{0} names no file of this stream")]
    ForeignIdentity(String),
    /// A recording cannot be made or used.
    #[error(transparent)]
    Traffic(#[from] TrafficError),
    /// A part of the work ended without a result.
    #[error("{0} ended without a result")]
    Stopped(&'static str),
}

impl ConnectorError {
    /// Whether the system as a whole cannot be reached, rather than one of its files being faulty.
    pub fn is_connection_down(&self) -> bool {
        matches!(self, Self::Directory { .. })
    }
}
