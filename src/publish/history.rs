//! How far back what was known can be told.

use jiff::{SignedDuration, Timestamp};

use super::error::PublishError;
use crate::config::Retention;
use crate::model::Entity;
use crate::store::{Result as StoreResult, Store};

/// The instant from which on everything that was known of an entity can be told: as far as superseded versions are to be
/// kept, and no further than none of them has been forgotten.
///
/// # Errors
/// Those of the store.
pub async fn reach(store: &dyn Store, entity: Entity, retention: &Retention) -> StoreResult<Timestamp> {
    let kept = SignedDuration::try_from(retention.history_of(entity).duration()).unwrap_or(SignedDuration::MAX);
    let kept = Timestamp::now().checked_sub(kept).unwrap_or(Timestamp::MIN);
    Ok(store.complete_since(entity).await?.map_or(kept, |since| since.max(kept)))
}

/// Refuses an instant that the history of one of the entities does not reach back to.
pub(super) async fn check(
    store: &dyn Store,
    at: Timestamp,
    entities: &[Entity],
    retention: &Retention,
) -> Result<(), PublishError> {
    let mut nearest: Option<(Timestamp, Entity)> = None;
    for entity in entities {
        nearest = nearest.max(Some((reach(store, *entity, retention).await?, *entity)));
    }
    match nearest {
        Some((since, entity)) if at < since => Err(PublishError::HistoryGone { at, entity, since }),
        _ => Ok(()),
    }
}
