//! Why a run is not executed, approved or refused.

use jiff::Timestamp;

use super::raw::RawError;
use crate::connector::ConnectorError;
use crate::store::StoreError;

/// Why a run could not be executed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The connection cannot be read from.
    #[error(transparent)]
    Connector(#[from] ConnectorError),
    /// Source rows cannot be kept or read.
    #[error(transparent)]
    Raw(#[from] RawError),
    /// No source rows are kept.
    #[error(
        "no source rows are kept, since `retention.raw` is 0s; `tradebridge sync {connection} {entity} --full` reads them from the ERP"
    )]
    KeepsNone {
        /// The connection.
        connection: String,
        /// The entity.
        entity: &'static str,
    },
    /// The source cannot be read any further.
    #[error("{place}: {message}")]
    Source {
        /// Where.
        place: String,
        /// Why, and what to do.
        message: String,
    },
    /// The source was not the same at the end as at the beginning.
    #[error("{0}")]
    Moved(String),
    /// A part of the run ended without a result.
    #[error("{0} ended without a result")]
    Stopped(&'static str),
    /// The daemon stops: the run goes on from its last page when it is executed again.
    #[error("the run was stopped after a page; the next one goes on from there")]
    Interrupted,
    /// Something else is due: the run goes on from its last page after it.
    #[error("the run makes room for one that is due; it goes on from its last page")]
    Paused,
    /// Another process executes the source's runs.
    #[error("{holder} is at this source{}; it goes on there", at_least(*until))]
    Elsewhere {
        /// Which process: machine, process and opening of the store.
        holder: String,
        /// Until when, unless it renews its lease.
        until: Option<Timestamp>,
    },
    /// The run is not in a state in which it can be approved or refused.
    #[error("run {id} is {state}, not held; `tradebridge runs list` shows what is held")]
    NotHeld {
        /// The run.
        id: String,
        /// Its state.
        state: &'static str,
    },
    /// There is no such run.
    #[error("there is no run {0}; `tradebridge runs list` shows the runs")]
    NoRun(String),
}

fn at_least(until: Option<Timestamp>) -> String {
    until.map(|until| format!(" until {until} at least")).unwrap_or_default()
}

impl SyncError {
    /// The list of seen parts that a run left behind cannot be read.
    pub(super) fn unreadable(error: &dyn std::fmt::Display) -> Self {
        StoreError::Unreadable { what: "list of seen parts", message: error.to_string() }.into()
    }
}
