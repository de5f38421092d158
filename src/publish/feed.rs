//! The feed of changes as a shop sees it.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::cursor::{self, FeedCursor};
use super::error::PublishError;
use super::record::Record;
use super::verified::Verified;
use super::window::Window;
use crate::model::{Entity, Key};

/// What happened to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FeedOperation {
    /// It is new or has other content, or came into the shop's scope.
    Upserted,
    /// It is gone, or left the shop's scope.
    Deleted,
}

/// A record's newest change.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Changed {
    /// Its place in the feed.
    #[serde(skip)]
    pub sequence: i64,
    /// What it is.
    pub entity: Entity,
    /// Its key, `COMPANY~NUMBER`.
    pub key: String,
    /// What happened.
    pub operation: FeedOperation,
    /// When.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub changed_at: Timestamp,
    /// The whole record as it is now; absent where it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    pub record: Option<Record>,
}

/// A page of the feed.
#[derive(Debug, Clone, PartialEq)]
pub struct Changes {
    /// The changes, the oldest first.
    pub changes: Vec<Changed>,
    /// Where to go on.
    pub cursor: String,
    /// Whether there are more already.
    pub more: bool,
    /// How old it may be.
    pub verified_at: Verified,
}

impl FeedOperation {
    /// The operation as it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Upserted => "upserted",
            Self::Deleted => "deleted",
        }
    }
}

impl Window {
    /// Where the feed ended when the window was opened.
    pub fn end(&self) -> String {
        self.feed_cursor(self.head, 0)
    }

    /// Changes after a cursor (without one, from the beginning), of some entities (none named: of all).
    ///
    /// The cursor that comes back has moved on even where the shop saw nothing of what happened.
    pub async fn changes(&self, after: Option<&str>, entities: &[Entity], limit: u32) -> Result<Changes, PublishError> {
        let (from, begun) = match after {
            None => (0, self.purged),
            Some(text) => {
                let FeedCursor { epochs, sequence, begun } = cursor::decode(text, "feed")?;
                self.check(&epochs, sequence, begun)?;
                (sequence, begun)
            }
        };
        let page = self.store.visible_changes(&self.view, from, entities, limit).await?;
        let mut records: std::collections::HashMap<(Entity, Key), Record> = std::collections::HashMap::new();
        for entity in Entity::ALL {
            let keys: Vec<Key> =
                page.changes.iter().filter(|c| c.visible && c.entity == entity).map(|c| c.key.clone()).collect();
            records.extend(self.records(entity, &keys).await?.into_iter().map(|r| ((entity, r.key.clone()), r)));
        }
        let mut changes = Vec::with_capacity(page.changes.len());
        for change in page.changes {
            let key = change.key.to_string();
            let record = records.remove(&(change.entity, change.key));
            if change.visible && record.is_none() {
                // It vanished just now: its tombstone stands further on in the feed.
                continue;
            }
            let operation = if record.is_some() { FeedOperation::Upserted } else { FeedOperation::Deleted };
            let (sequence, changed_at) = (change.sequence, change.changed_at);
            changes.push(Changed { sequence, entity: change.entity, key, operation, changed_at, record });
        }
        let asked = if entities.is_empty() { &Entity::ALL[..] } else { entities };
        Ok(Changes {
            changes,
            cursor: self.feed_cursor(page.sequence, begun),
            more: page.more,
            verified_at: self.verified(asked).await?,
        })
    }
}
