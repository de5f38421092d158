//! Why a shop does not get what it asked for.

use jiff::Timestamp;

use crate::model::Entity;
use crate::store::StoreError;

/// Why a shop does not get what it asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Which customers the shop sees is being worked out.
    #[error("what shop {0} may see is being worked out after a change of its configuration; try again in a moment")]
    ScopePending(String),
    /// A cursor was not handed out for this.
    #[error("the cursor was not handed out for this {0}; leave it out to begin anew, or send it back unchanged")]
    BadCursor(&'static str),
    /// A cursor is void.
    #[error(
        "the cursor is void: the store was restored, what the shop may see was changed, or the cursor is older than what \
         is kept of deletions; take a snapshot, and go on from its cursor"
    )]
    Gone,
    /// A key could be of several companies.
    #[error("'{key}' could be of several companies; write it as COMPANY~NUMBER, such as {}~{key}", .companies.join(&format!("~{key} or ")))]
    Ambiguous {
        /// The key as it was given.
        key: String,
        /// The companies that the shop sees.
        companies: Vec<String>,
    },
    /// The customer that a list is about is not one the shop sees.
    #[error("the shop sees no customer '{0}'")]
    NoCustomer(String),
    /// What was known then is not kept any more.
    #[error("what was known at {at} is not kept any more: the history of {entity} reaches back to {since}")]
    HistoryGone {
        /// The instant asked for.
        at: Timestamp,
        /// The entity whose history is the shortest.
        entity: Entity,
        /// How far its history reaches back.
        since: Timestamp,
    },
    /// More lines than can be gathered at once.
    #[error("there are more than {0} agreement lines to gather; give a customer too")]
    TooMany(u32),
}
