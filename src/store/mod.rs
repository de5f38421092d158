//! Where the canonical parts, the runs that bring them and the feed of their changes are kept.
//!
//! The traits here are small, by use, and assume nothing of the engine: every method works on a page, never on a
//! row. A store compares and swaps; it does not judge: whether a run may be applied is decided in `sync`.

mod calls;
mod error;
mod events;
mod history;
mod kept;
mod keys;
mod lease;
mod order_list;
mod orders;
mod pauses;
mod privacy;
mod raw;
mod settled;
mod shops;
mod sql;
mod turns;
mod types;
mod upkeep;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

pub use calls::{CALLS_KEPT, CallKind, Calls, OrderCall};
pub use error::{Result, StoreError};
pub use events::{OrderEvent, OrderEvents};
pub use history::{Deletion, History, Version};
pub use kept::{Keeping, KeptValue};
pub use keys::{KeyHash, Keys, StoredKey};
pub use lease::{HeldLease, Lease, Leases, Tenure};
pub use order_list::{OrderCount, OrderFilter};
pub use orders::{
    Advance, Answers, AttemptCount, Conflict, DeadLetter, Due, Intaken, LineAnswer, Message, NewOrder, OrderDocument,
    OrderState, Orders, Outbox, Step, StoredOrder, Transition,
};
pub use pauses::{PausedConnection, Pauses};
pub use privacy::{Erasure, KnownPerson, Person, Privacy, Traces};
pub use raw::{KeptBatch, Raws};
pub use settled::{Settled, SettledLetter, Settlement};
pub use shops::{Condition, Judged, Listing, ShopChange, ShopChanges, ShopScope, Shops, View};
pub use sql::{OpenOptions, SqlStore};
pub use turns::{DueTurn, Turning, Turns};
pub use types::{
    Applied, Change, Cursor, Difference, Head, Known, KnownRejection, ListQuery, Operation, Overtaken, Owned, Page,
    Part, RawBatch, Recognised, Rejection, Run, RunCounts, RunFilter, RunState, Source, SourceId, Stored, Taken,
};
pub use upkeep::{OldestHistory, PruneStep, SourceSize, StoreStats, Surplus, TableSize, Upkeep};

use crate::model::hash::ContentHash;
use crate::model::{Entity, Key, PartKind};

/// Reading and recognising parts.
#[async_trait]
pub trait Parts: Send + Sync {
    /// The source of a connection's stream of a kind, made where it is new.
    async fn source(&self, connection: &str, stream: &str, kind: PartKind) -> Result<Source>;

    /// Rows of a page that this store handles well: some thousand, so that its transaction takes some 50 ms at most.
    fn rows_of_a_page(&self) -> usize;

    /// What rows of a source, by key and digest, are to the store, in the order asked.
    async fn recognise(&self, source: SourceId, rows: &[(&str, ContentHash)]) -> Result<Vec<Recognised>>;

    /// Who owns the canonical keys (key and part) of a kind, in the order asked.
    async fn owners(&self, kind: PartKind, keys: &[(Key, String)]) -> Result<Vec<Option<Owned>>>;

    /// Every source.
    async fn sources(&self) -> Result<Vec<Source>>;

    /// How many parts of a source are alive.
    async fn count(&self, source: SourceId) -> Result<u64>;

    /// The source's living parts after a source key, in the order of source keys: for finding what is absent.
    async fn living(&self, source: SourceId, after: &str, limit: u32) -> Result<Vec<Stored>>;

    /// The living parts of a source that the newest complete pass missed.
    async fn missed(&self, source: SourceId) -> Result<Vec<i64>>;

    /// The parts of entities by key, main part first: what an entity is assembled from.
    async fn parts(&self, entity: Entity, keys: &[Key]) -> Result<Vec<Part>>;

    /// Main parts of an entity in the order of their keys.
    async fn list(&self, query: &ListQuery) -> Result<Vec<Part>>;
}

/// Runs: what is staged, held, applied and rejected. Whoever writes holds the lease on the source; a commit under a lease
/// that somebody else has taken over is refused as [`StoreError::Fenced`].
#[async_trait]
pub trait Runs: Send + Sync {
    /// Records a run that begins.
    async fn begin_run(&self, lease: &Lease, run: &Run) -> Result<()>;

    /// The source's newest run that did not end, a complete pass or one over changes, with the seen parts of its committed pages.
    async fn unfinished(&self, source: SourceId, complete: bool) -> Result<Option<(Run, Vec<Vec<u8>>)>>;

    /// Commits a page of a run: place, counts, seen parts, differences and rejections, all or nothing.
    async fn commit_page(&self, lease: &Lease, run: &Run, page: &Page) -> Result<()>;

    /// Commits differences straight to the parts, with the run's place: for a first load, which no guard holds.
    async fn commit_load(&self, lease: &Lease, run: &Run, page: &Page) -> Result<Applied>;

    /// Commits a page of a first load that was not compared with the store. False where a key of it is stored already:
    /// then nothing is committed, and the page has to be compared.
    async fn commit_fresh(&self, lease: &Lease, run: &Run, page: &Page) -> Result<bool>;

    /// Applies at most `limit` of the run's staged differences, in order, each only where the stored hash is still
    /// the one it was staged against. Says what was applied; nothing left is `applied + superseded == 0`.
    async fn apply_page(&self, lease: &Lease, run: &str, limit: u32) -> Result<Applied>;

    /// Records a run's state and counts.
    async fn save_run(&self, lease: &Lease, run: &Run) -> Result<()>;

    /// Ends a run that is not applied: its state is recorded, and its staged differences and seen parts are dropped.
    /// With `taken`, what it read counts as taken nevertheless. All or nothing.
    async fn end_run(&self, lease: &Lease, run: &Run, taken: bool) -> Result<()>;

    /// Replaces the shops of staged differences, by position.
    async fn restage_shops(&self, lease: &Lease, run: &str, shops: &[(i64, Vec<String>)]) -> Result<()>;

    /// Ends a run well: its source was verified at its end, and what it read counts as taken.
    async fn finish_run(&self, lease: &Lease, run: &Run) -> Result<()>;

    /// A run.
    async fn run(&self, id: &str) -> Result<Option<Run>>;

    /// Runs, the newest first.
    async fn runs(&self, filter: &RunFilter) -> Result<Vec<Run>>;

    /// A run's staged differences after a position, for showing them.
    async fn staged(&self, run: &str, after: i64, limit: u32) -> Result<Vec<Difference>>;

    /// Which of these source keys a run has staged.
    async fn staged_keys(&self, run: &str, keys: &[&str]) -> Result<Vec<String>>;

    /// Which of these canonical keys (key and part) a run has staged anew, and for which source keys.
    async fn staged_claims(&self, run: &str, keys: &[(Key, String)]) -> Result<Vec<((Key, String), String)>>;

    /// Rejected records after an identifier, of one source or of all.
    async fn rejections(&self, source: Option<SourceId>, after: i64, limit: u32) -> Result<Vec<Rejection>>;

    /// How many records of each source are rejected.
    async fn rejected(&self) -> Result<Vec<(SourceId, u64)>>;

    /// The rejections of a source's keys, in the order asked.
    async fn known_rejections(&self, source: SourceId, keys: &[String]) -> Result<Vec<Option<KnownRejection>>>;

    /// What a source was read from to its end.
    async fn taken(&self, source: SourceId) -> Result<Vec<Taken>>;

    /// Forgets what was taken before an instant, but for these identities.
    async fn forget_taken(&self, source: SourceId, before: Timestamp, but: &[Value]) -> Result<()>;
}

/// The feed of changes: each entity once, at its newest sequence.
#[async_trait]
pub trait Feed: Send + Sync {
    /// Where the feed ends now, and its epoch.
    async fn head(&self) -> Result<Head>;

    /// Begins another epoch, after a restore from a backup: cursors from before it lead nowhere.
    async fn renew_epoch(&self) -> Result<()>;

    /// Changed entities after a sequence, in its order.
    async fn changes(&self, after: i64, entities: &[Entity], limit: u32) -> Result<Vec<Change>>;
}

/// Everything a daemon needs of a store.
pub trait Store:
    Parts
    + Runs
    + Raws
    + Leases
    + Feed
    + History
    + Turns
    + Upkeep
    + Privacy
    + Orders
    + Answers
    + Outbox
    + Calls
    + Pauses
    + OrderEvents
    + Shops
    + Keys
    + Keeping
    + std::fmt::Debug
{
}
