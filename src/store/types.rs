//! What goes into a store and comes out of it.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::hash::ContentHash;
use crate::model::{Content, Entity, Key, PartKind};

/// A source's identifier in the store.
pub type SourceId = i64;

/// What feeds parts of one kind: a stream of a connection.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// Its identifier.
    pub id: SourceId,
    /// The connection's name.
    pub connection: String,
    /// The stream's name.
    pub stream: String,
    /// The kind of its parts.
    pub kind: PartKind,
    /// The end of its newest run that ended well; none before the first.
    pub verified_at: Option<Timestamp>,
    /// What was taken last: the transport's own words.
    pub place: Option<Value>,
    /// How far it was read, where changes can be asked for: the transport's own words.
    pub watermark: Option<Value>,
}

/// What is stored under a source's key.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// The part's identifier.
    pub id: i64,
    /// The digest of the source row with its mapping.
    pub source_hash: ContentHash,
    /// The content's hash.
    pub hash: ContentHash,
    /// The canonical key it has.
    pub key: Key,
    /// Its identifier within the entity; empty for a main part.
    pub part: String,
}

/// What a source row is to the store.
#[derive(Debug, Clone, PartialEq)]
pub enum Recognised {
    /// Nothing is stored under its key.
    New,
    /// The very row is stored, as the part with this identifier.
    Same(i64),
    /// Another row is stored under its key.
    Other(Known),
}

/// Who has a canonical key.
#[derive(Debug, Clone, PartialEq)]
pub struct Owned {
    /// The source.
    pub source: SourceId,
    /// The connection of the source.
    pub connection: String,
    /// The key in the source.
    pub source_key: String,
}

/// A living part as a pass over a source sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// The part's identifier.
    pub id: i64,
    /// The key in the source.
    pub source_key: String,
    /// The canonical key.
    pub key: Key,
    /// Its identifier within the entity; empty for a main part.
    pub part: String,
    /// The content's hash.
    pub hash: ContentHash,
    /// When this content was stored.
    pub changed_at: Timestamp,
}

/// A stored part with where it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Its kind.
    pub kind: PartKind,
    /// The entity's key.
    pub key: Key,
    /// Its identifier within the entity; empty for a main part.
    pub part: String,
    /// The canonical content.
    pub content: Value,
    /// The content's hash.
    pub hash: ContentHash,
    /// The connection it came from.
    pub connection: String,
    /// The stream it came from.
    pub stream: String,
    /// Its key in the stream.
    pub source_key: String,
    /// The run that brought this content.
    pub run: String,
    /// The digest of the mapping that made it.
    pub mapping: String,
    /// When this content was stored.
    pub changed_at: Timestamp,
    /// The feed's sequence of the entity's newest change; only main parts have it.
    pub sequence: Option<i64>,
}

/// What a difference does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// A part is new or has other content.
    Upsert,
    /// A part is gone.
    Delete,
    /// The source row is another, its content is not: only the digest of the source row is noted.
    Recognise,
    /// A complete pass whose pages may have shifted lacks a part: it is gone where the next one lacks it too.
    Miss,
}

/// A difference between a source and the store.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Its position in the run.
    pub position: i64,
    /// What it does.
    pub operation: Operation,
    /// The key in the source.
    pub source_key: String,
    /// The canonical key.
    pub key: Key,
    /// Its identifier within the entity; empty for a main part.
    pub part: String,
    /// Whom an agreement or a fact is about, as the store indexes it.
    pub who: Option<String>,
    /// What it is about, as the store indexes it.
    pub what: Option<String>,
    /// The content after; none where the part is gone or only recognised.
    pub content: Option<Content>,
    /// The stored content's hash that the difference was made against; none where the part is new.
    pub before: Option<ContentHash>,
    /// The content's hash after.
    pub after: Option<ContentHash>,
    /// The digest of the source row with its mapping.
    pub source_hash: ContentHash,
    /// Of a customer: the shops that have it in scope after the change. None leaves that as it is; whoever is deleted
    /// leaves every scope.
    pub shops: Option<Vec<String>>,
    /// The batch that has its source row; where none is named, the batch that is stored with its page.
    pub raw: Option<i64>,
    /// The next day, counted from 1970-01-01, on which it becomes valid or expires.
    pub turn: Option<i32>,
}

/// A record that was not taken.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rejection {
    /// Its identifier; 0 before it is stored.
    pub id: i64,
    /// The source's identifier.
    pub source: SourceId,
    /// The run that found it.
    pub run: String,
    /// The key in the source, or the place where the key cannot be told.
    pub source_key: String,
    /// The digest of the source row with its mapping: the same row fails again without being mapped again. All
    /// zeros where the reason lies outside the row, so that it is tried again each time.
    #[serde(skip)]
    pub digest: [u8; 16],
    /// Where it stands.
    pub place: String,
    /// Why it was not taken.
    pub reason: String,
    /// The record as it was read.
    pub record: Value,
    /// When.
    pub at: Timestamp,
}

/// A rejection as a page recognises it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownRejection {
    /// Its identifier.
    pub id: i64,
    /// The digest of the source row with its mapping.
    pub digest: [u8; 16],
}

/// What a source was read from to its end.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    /// What tells this content from another: the transport's own words.
    pub identity: Value,
    /// The digest of the mapping that took it.
    pub mapping: String,
}

/// What a run commits at once.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The page's number, counted from 0.
    pub number: u32,
    /// Seen parts, in the caller's own form.
    pub seen: Vec<u8>,
    /// What differs.
    pub differences: Vec<Difference>,
    /// What was not taken.
    pub rejections: Vec<Rejection>,
    /// Source keys whose differences staged by earlier pages are void: the newest record of a key counts.
    pub replaced: Vec<String>,
    /// Of changes: what complete passes that wait have staged of older records.
    pub overtaken: Option<Overtaken>,
    /// Rejections that are over.
    pub mended: Vec<i64>,
    /// Parts that an earlier pass missed and that are there.
    pub met: Vec<i64>,
    /// The source rows of the differences, as they were read.
    pub raw: Option<RawBatch>,
}

/// What complete passes have staged of records that a later run read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overtaken {
    /// The complete passes.
    pub runs: Vec<String>,
    /// The keys in the source of what was read: differences of these are void.
    pub keys: Vec<String>,
    /// The stored parts of these, in the caller's own form: the source has them.
    pub seen: Vec<u8>,
}

/// Source rows of one page, compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawBatch {
    /// How many.
    pub records: u32,
    /// The rows.
    pub bytes: Vec<u8>,
}

/// A run's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Reading and staging.
    Running,
    /// Its differences are being applied.
    Applying,
    /// The guard holds it for approval.
    Held,
    /// It ended well.
    Done,
    /// It ended in an error.
    Failed,
    /// An operator refused it.
    Refused,
    /// A newer run took its place.
    Superseded,
}

impl RunState {
    /// The name in files, on the wire and in the store.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Applying => "applying",
            Self::Held => "held",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Superseded => "superseded",
        }
    }
}

/// A run's counts, in records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunCounts {
    /// Read from the source.
    pub read: u64,
    /// Recognised as unchanged.
    pub unchanged: u64,
    /// New.
    pub created: u64,
    /// With other content.
    pub updated: u64,
    /// Gone.
    pub deleted: u64,
    /// Missed for the first time where pages may have shifted: gone where the next complete pass misses them too.
    #[serde(default, skip_serializing_if = "is_none")]
    pub missed: u64,
    /// Not taken.
    pub rejected: u64,
    /// Of the rejected: those whose key cannot be told.
    #[serde(default)]
    pub unkeyed: u64,
    /// Staged, but the stored content had changed meanwhile.
    pub superseded: u64,
    /// Price changes beyond the guard's size, zero prices included.
    pub price_jumps: u64,
    /// Of the rejected: those whose canonical key another record has.
    #[serde(default)]
    pub conflicts: u64,
    /// Those that named a person whose data was erased, and are without it.
    #[serde(default, skip_serializing_if = "is_none")]
    pub erased: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // As serde calls it.
fn is_none(count: &u64) -> bool {
    *count == 0
}

impl RunCounts {
    /// Each count of this and of another, joined by an operation.
    #[must_use]
    pub fn zip(self, other: Self, join: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            read: join(self.read, other.read),
            unchanged: join(self.unchanged, other.unchanged),
            created: join(self.created, other.created),
            updated: join(self.updated, other.updated),
            deleted: join(self.deleted, other.deleted),
            missed: join(self.missed, other.missed),
            rejected: join(self.rejected, other.rejected),
            unkeyed: join(self.unkeyed, other.unkeyed),
            superseded: join(self.superseded, other.superseded),
            price_jumps: join(self.price_jumps, other.price_jumps),
            conflicts: join(self.conflicts, other.conflicts),
            erased: join(self.erased, other.erased),
        }
    }
}

/// One execution of a sync.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// Its identifier; sorts by time.
    pub id: String,
    /// The source's identifier.
    pub source: SourceId,
    /// The connection's name.
    pub connection: String,
    /// The stream's name.
    pub stream: String,
    /// The kind of its parts.
    pub kind: PartKind,
    /// Whether it is a complete pass.
    pub complete: bool,
    /// Its state.
    pub state: RunState,
    /// Its counts.
    pub counts: RunCounts,
    /// Pages committed.
    pub pages: u32,
    /// What it reads: the transport's own words.
    pub place: Option<Value>,
    /// Where its committed pages end, where reading can go on there: the transport's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached: Option<Value>,
    /// The digest of the mapping.
    pub mapping: String,
    /// Why it is held or failed.
    pub reason: Option<String>,
    /// Whether it is a first load: written straight to the parts, and no guard applies.
    pub loading: bool,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How far the source is read once the run is done, where changes can be asked for; before its end only where the source
    /// is ordered by it.
    pub watermark: Option<Value>,
}

/// Which runs to show.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// Of one connection.
    pub connection: Option<String>,
    /// Of one kind.
    pub kind: Option<PartKind>,
    /// In one state.
    pub state: Option<RunState>,
    /// At most so many.
    pub limit: u32,
}

/// What a page of differences did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Applied {
    /// Written.
    pub applied: u64,
    /// Left alone, since the stored content is another than the one staged against.
    pub superseded: u64,
}

/// Which entities to list.
#[derive(Debug, Clone)]
pub struct ListQuery {
    /// The entity.
    pub entity: Entity,
    /// Only of these companies; empty: all.
    pub companies: Vec<String>,
    /// Only from these connections; empty: all.
    pub connections: Vec<String>,
    /// Only about one of these, as the store indexes whom an agreement is about; empty: all.
    pub who: Vec<String>,
    /// Only about one of these, as the store indexes what an agreement is about; empty: all.
    pub what: Vec<String>,
    /// After this key.
    pub after: Option<Key>,
    /// At most so many.
    pub limit: u32,
}

/// A place in the feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The feed's epoch: another one after a restore.
    pub epoch: String,
    /// The sequence.
    pub sequence: i64,
}

/// Where the feed ends.
pub type Head = Cursor;

/// An entity's newest change.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The sequence.
    pub sequence: i64,
    /// The entity.
    pub entity: Entity,
    /// Its key.
    pub key: Key,
    /// The connection that feeds its main part.
    pub connection: String,
    /// Whom it is about, as the store indexes it.
    pub who: Option<String>,
    /// Whether it is gone.
    pub deleted: bool,
    /// When it changed.
    pub changed_at: Timestamp,
}
