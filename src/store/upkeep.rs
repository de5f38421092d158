//! The store's own upkeep: how large it is, what is in it as one digest, and dropping what is beyond its retention.
//!
//! What does not live here: when that is done and how fast (`daemon`).

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{HeldLease, Lease, Result};
use crate::config::Retention;
use crate::model::Entity;

/// How large the store is, and what is in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StoreStats {
    /// `sqlite` or `postgresql`.
    pub engine: String,
    /// The version of its schema.
    pub schema_version: i64,
    /// The epoch of the feed.
    pub epoch: String,
    /// Where the feed ends.
    pub sequence: i64,
    /// The highest sequence of a tombstone that was dropped: cursors from before it are void.
    pub purged: i64,
    /// Its size, in bytes: of the file without its log, or of all tables.
    pub bytes: u64,
    /// The tables.
    pub tables: Vec<TableSize>,
    /// The parts of each source.
    pub sources: Vec<SourceSize>,
    /// When the oldest kept source row was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub oldest_raw: Option<Timestamp>,
    /// How far back the history of each entity reaches that has one.
    pub oldest_history: Vec<OldestHistory>,
    /// The leases that are held.
    pub leases: Vec<HeldLease>,
}

/// How large a table is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TableSize {
    /// Its name.
    pub name: String,
    /// Its rows.
    pub rows: u64,
    /// Whether the rows are estimated, since counting them would take long.
    pub estimated: bool,
    /// Its size with its indexes, in bytes; absent where the engine does not say or it would take long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// How many parts a source has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SourceSize {
    /// The connection.
    pub connection: String,
    /// The stream.
    pub stream: String,
    /// The kind of its parts.
    pub kind: String,
    /// Parts that are alive.
    pub living: u64,
    /// Tombstones of those that were.
    pub tombstones: u64,
}

/// How far back the history of an entity reaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OldestHistory {
    /// The entity.
    pub entity: Entity,
    /// When its oldest kept version was superseded.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub until: Timestamp,
}

/// What can be beyond its retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surplus {
    /// Superseded versions of an entity.
    History(Entity),
    /// Source rows.
    Raw,
    /// Runs that changed nothing; of each source the newest stays.
    Runs,
    /// Requests and answers by which orders were sent.
    Calls,
    /// Tombstones. Cursors from before one that is dropped are void.
    Tombstones,
    /// Ended memberships and earlier lives of parts that only cursors could ask for which are void by now.
    Memberships,
    /// What runs left behind that are no more.
    Leftovers,
}

impl Surplus {
    /// Everything that is pruned, each with the instant before which it goes. Memberships follow the tombstones.
    pub fn all(retention: &Retention, now: Timestamp) -> Vec<(Self, Timestamp)> {
        let before = |kept: std::time::Duration| {
            let kept = SignedDuration::try_from(kept).unwrap_or(SignedDuration::MAX);
            now.checked_sub(kept).unwrap_or(Timestamp::MIN)
        };
        let histories = Entity::ALL.map(|entity| (Self::History(entity), before(retention.history_of(entity).into())));
        let rest = [
            (Self::Raw, before(retention.raw.into())),
            (Self::Runs, before(retention.runs.into())),
            (Self::Calls, before(retention.calls.into())),
            (Self::Tombstones, before(retention.tombstones.into())),
            (Self::Memberships, now),
            (Self::Leftovers, now),
        ];
        histories.into_iter().chain(rest).collect()
    }

    /// The name in the log, in metrics and on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::History(_) => "history",
            Self::Raw => "raw",
            Self::Runs => "runs",
            Self::Calls => "calls",
            Self::Tombstones => "tombstones",
            Self::Memberships => "memberships",
            Self::Leftovers => "leftovers",
        }
    }
}

/// A small step of pruning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PruneStep {
    /// Rows dropped.
    pub rows: u64,
    /// Where the next step goes on; none where nothing is left.
    pub next: Option<String>,
}

/// Looking after the store.
#[async_trait]
pub trait Upkeep: Send + Sync {
    /// How large the store is, and what is in it.
    async fn stats(&self) -> Result<StoreStats>;

    /// The digest of everything that is alive: stores that know the same have the same, on either engine.
    async fn digest(&self) -> Result<String>;

    /// Drops a little of what is older than an instant, in a transaction of at most some 50 ms. Steps go on from where
    /// the one before says; the first from the empty text.
    async fn prune(&self, lease: &Lease, what: Surplus, before: Timestamp, from: &str) -> Result<PruneStep>;
}
