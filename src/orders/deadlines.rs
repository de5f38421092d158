//! What time alone does to orders: giving up those that were pursued for too long, and raising the alarm for those
//! whose answer is late.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use super::context::{Context, WHO};
use super::state::Event;
use super::target::Target;
use crate::queue::clock::before;
use crate::store::{OrderState, Result};

/// How often the deadlines are looked at.
const PERIOD: Duration = Duration::from_secs(30);

/// Orders given up by one query.
const PAGE: u32 = 200;

/// How often orders that change at the same moment are looked at again before they are left for the next time.
const RACES: u32 = 3;

/// Looks at the deadlines until the shutdown.
pub(super) async fn run(context: Arc<Context>, mut shutdown: watch::Receiver<bool>) {
    while !*shutdown.borrow() {
        if let Err(error) = pass(&context).await {
            tracing::error!(%error, "deadlines of orders cannot be looked at; this is tried again");
        }
        tokio::select! {
            () = context.clock.sleep(PERIOD) => {}
            _ = shutdown.wait_for(|stop| *stop) => {}
        }
    }
}

/// Looks at the deadlines of every connection once.
pub(super) async fn pass(context: &Context) -> Result<()> {
    let targets = Arc::clone(&context.targets.borrow());
    let now = context.clock.now();
    for (connection, target) in targets.iter() {
        give_up(context, connection, target, now).await?;
        for order in context.store.flag_overdue(connection, before(now, target.answer_within)).await? {
            tracing::warn!(
                order_id = order.id,
                connection,
                our_reference = order.our_reference,
                submitted_at = order.submitted_at.map(tracing::field::display),
                "the ERP has not answered the order in time; look whether it took it in"
            );
            context.wake.orders_changed();
        }
    }
    Ok(())
}

async fn give_up(context: &Context, connection: &str, target: &Target, now: Timestamp) -> Result<()> {
    let limit = target.policy().gives_up_before(now);
    let mut fruitless = 0;
    while fruitless < RACES {
        let states = [OrderState::Queued, OrderState::Unknown];
        let late = context.store.pursued_since_before(connection, &states, limit, PAGE).await?;
        if late.is_empty() {
            break;
        }
        let mut moved = 0;
        for order in &late {
            let last = order.reason.as_deref().map(|reason| format!(" (last: {reason})")).unwrap_or_default();
            let reason = format!("given up after {} attempts{last}", order.attempt);
            let dead = context
                .advance(order, [(Event::GiveUp, reason.as_str())], WHO, |a| a.reason = Some(reason.clone()))
                .await?;
            moved += u32::from(dead.is_some());
        }
        fruitless += u32::from(moved == 0);
    }
    Ok(())
}
