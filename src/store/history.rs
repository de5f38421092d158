//! Earlier versions of records: what the store knew at an instant, and how a record came to be what it is.
//!
//! A version is known from the instant its content was stored until the instant it was superseded or deleted. Who sees
//! it is a matter of the present: a shop reads what was known about what is in its scope today.
//!
//! What does not live here: keeping a version when it is superseded (the runs do), and what a record looks like to a
//! reader (`publish`).

use async_trait::async_trait;
use jiff::Timestamp;

use super::{Listing, Part, Result, Run, Source, View};
use crate::model::{Entity, Key, PartKind};

/// A version of a part.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// The part; its `changed_at` is when this content was stored.
    pub part: Part,
    /// When it was superseded or deleted; none where it is the one that lives.
    pub until: Option<Timestamp>,
    /// The batch that has the source row.
    pub raw: Option<i64>,
}

/// That a part is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletion {
    /// The kind of the part.
    pub kind: PartKind,
    /// The entity's key.
    pub key: Key,
    /// Its identifier within the entity; empty for a main part.
    pub part: String,
    /// When it was deleted.
    pub at: Timestamp,
    /// The run that found it gone.
    pub run: String,
}

/// Reading what was known.
#[async_trait]
pub trait History: Send + Sync {
    /// The parts that the store knew at an instant of the entities with these keys, as far as the shop sees them, by key
    /// and main part first. Of an entity whose main part it does not see there are none.
    async fn visible_at(&self, view: &View, entity: Entity, keys: &[Key], at: Timestamp) -> Result<Vec<Part>>;

    /// Keys of entities that the store knew at an instant and that the shop sees, in their order.
    async fn visible_keys_at(&self, view: &View, listing: &Listing, at: Timestamp) -> Result<Vec<Key>>;

    /// Keys of entities that the store knew at an instant over some connections, whoever sees them, in their order. The
    /// listing must name a company: without one there are none.
    async fn keys_at(&self, connections: &[String], listing: &Listing, at: Timestamp) -> Result<Vec<Key>>;

    /// The versions of parts that the store knew at an instant of the entities with these keys, whoever sees them, by key
    /// and main part first.
    async fn versions_at(&self, entity: Entity, keys: &[Key], at: Timestamp) -> Result<Vec<Version>>;

    /// Every version of the parts of the entities with these keys, the newest first.
    async fn versions(&self, entity: Entity, keys: &[Key], limit: u32) -> Result<Vec<Version>>;

    /// Which parts of the entities with these keys are gone now.
    async fn deletions(&self, entity: Entity, keys: &[Key]) -> Result<Vec<Deletion>>;

    /// The runs with these identifiers, as far as they are kept, in no order.
    async fn runs_of(&self, ids: &[String]) -> Result<Vec<Run>>;

    /// Every source, its `verified_at` as it was at an instant: the end of its newest run until then that ended well, of
    /// the runs that are kept.
    async fn sources_at(&self, at: Timestamp) -> Result<Vec<Source>>;

    /// The instant from which on the history of an entity is complete; none where nothing of it was ever forgotten.
    async fn complete_since(&self, entity: Entity) -> Result<Option<Timestamp>>;
}
