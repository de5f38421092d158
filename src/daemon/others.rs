//! Noticing what other processes wrote to a store on a server: those who wait for changes here hear of it, and orders
//! that were accepted elsewhere are published.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use super::bridge::Bridge;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// Looks until the daemon stops where the feed ends, and announces that it went on; and whether messages of orders are due.
pub(super) async fn run(bridge: Arc<Bridge>, mut stop: watch::Receiver<bool>) {
    if bridge.config().store.url.sqlite_path().is_some() {
        // Nobody else can write to it. An error is one of reading the result, which is that the daemon stops.
        let _ = stop.wait_for(|stop| *stop).await;
        return;
    }
    let mut known = None;
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        if bridge.roles.orders
            && let Ok(Some(due)) = bridge.store.next_due(Timestamp::MIN).await
            && due <= Timestamp::now()
        {
            bridge.wake.room();
        }
        let Ok(head) = bridge.store.head().await else { continue };
        if known.replace(head.sequence) != Some(head.sequence)
            && let Err(error) = bridge.announce().await
        {
            tracing::debug!(%error, "changes cannot be announced; they are looked for again");
            known = None;
        }
    }
}
