//! What a daemon that ended in the middle of an attempt leaves behind.

use super::context::{Context, WHO};
use super::state::Event;
use crate::store::{OrderFilter, OrderState, Result};

/// Orders looked at by one query.
const PAGE: u32 = 200;

/// Moves orders that are `sending` although nobody sends them to `unknown`: of one connection, or of all.
pub(super) async fn broken_off(context: &Context, connection: Option<&str>) -> Result<u64> {
    let mut moved = 0;
    let mut filter = OrderFilter {
        connection: connection.map(str::to_owned),
        states: vec![OrderState::Sending],
        limit: PAGE,
        ..OrderFilter::default()
    };
    loop {
        let page = context.store.orders(&filter).await?;
        let Some(last) = page.last() else { return Ok(moved) };
        filter.before = Some(last.id.clone());
        for order in &page {
            let reason = "the attempt broke off: the daemon ended while it was under way";
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
