//! What a process that ended in the middle of an attempt leaves behind.

use super::context::{Context, WHO};
use super::state::Event;
use crate::store::Result;

/// Orders looked at by one query.
const PAGE: u32 = 200;

/// Moves orders that are `sending` although nobody sends them any more to `unknown`, of one connection or of all: those whose
/// holder is gone, and those that this process holds and nothing in it is at. Such are left where the answer to taking an order
/// got lost although the store had committed it.
pub(super) async fn broken_off(context: &Context, connection: Option<&str>) -> Result<u64> {
    let mut moved = 0;
    let own = context.presence.lease();
    let mut after = String::new();
    loop {
        let page = context.store.abandoned(connection, own.as_ref(), &after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(moved) };
        after.clone_from(&last.id);
        for order in page.iter().filter(|order| !context.is_in_hand(&order.id)) {
            let reason = "the attempt broke off: the process that made it ended or stood still";
            let now = context.clock.now();
            let after = context
                .advance(order, [(Event::Doubt, reason)], WHO, |a| {
                    a.reason = Some(reason.to_owned());
                    a.publish_at = Some(now);
                })
                .await?;
            moved += u64::from(after.is_some());
        }
    }
}
