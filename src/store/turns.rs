//! Days of validity: the parts whose turn has come, and how far each zone is.
//!
//! What does not live here: which day a part turns on (`sync`).

use async_trait::async_trait;

use super::{Lease, Result};
use crate::model::Content;
use crate::model::PartKind;
use crate::model::hash::ContentHash;

/// A living part whose turn has come.
#[derive(Debug, Clone, PartialEq)]
pub struct DueTurn {
    /// Its identifier.
    pub id: i64,
    /// Its kind.
    pub kind: PartKind,
    /// The canonical content.
    pub content: Content,
    /// The content's hash.
    pub hash: ContentHash,
    /// The day, counted from 1970-01-01, on which it becomes valid or expires.
    pub turn: i32,
}

/// A part that turns: only where hash and turn are still what was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turning {
    /// The part's identifier.
    pub id: i64,
    /// The content's hash as it was read.
    pub hash: ContentHash,
    /// Its turn as it was read.
    pub turn: i32,
    /// Its next turn.
    pub next: Option<i32>,
}

/// Turning parts.
#[async_trait]
pub trait Turns: Send + Sync {
    /// Living parts of connections whose turn is on a day, counted from 1970-01-01, or was before it; the earliest
    /// first.
    async fn due_turns(&self, connections: &[String], day: i32, limit: u32) -> Result<Vec<DueTurn>>;

    /// Gives each part a new sequence of the feed and its next turn; how many were still as they were read. When they
    /// changed stays what it was, since their content did not.
    async fn turn(&self, lease: &Lease, page: &[Turning]) -> Result<u64>;

    /// The last day of a zone that is done; none before the first.
    async fn turned(&self, zone: &str) -> Result<Option<i32>>;

    /// Records that a zone's day is done.
    async fn finish_turns(&self, lease: &Lease, zone: &str, day: i32) -> Result<()>;
}
