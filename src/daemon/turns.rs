//! Bringing what becomes valid or expires into the feed at the midnight of each connection's zone.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::bridge::Bridge;
use crate::queue::Clock;
use crate::sync::{self, Zones};

/// The wait before what failed, or what another process is at, is looked at again.
const AGAIN: Duration = Duration::from_secs(30);

/// Turns what is due at the beginning of each day, until the daemon stops. What was missed meanwhile is caught up first.
pub(super) async fn run(bridge: Arc<Bridge>, clock: Arc<dyn Clock>, mut stop: watch::Receiver<bool>) {
    let mut plans = bridge.plans();
    loop {
        let zones = Zones::of(&plans.borrow_and_update());
        let now = clock.now();
        if let Err(error) = turn(&bridge, &zones, now).await {
            tracing::error!(%error, "what becomes valid or expires today is not in the feed yet; it is tried again");
        }
        let next = zones.next_midnight(now).unwrap_or(jiff::Timestamp::MAX);
        // A look costs next to nothing, and the clock may be set while it is waited for.
        tokio::select! {
            () = clock.until(next) => {}
            () = tokio::time::sleep(AGAIN) => {}
            changed = plans.changed() => if changed.is_err() { return },
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

async fn turn(bridge: &Bridge, zones: &Zones, now: jiff::Timestamp) -> crate::store::Result<()> {
    let turned = sync::turn(&bridge.store, zones, now).await?;
    if turned > 0 {
        tracing::info!(turned, "what becomes valid or expires today is in the feed");
        bridge.announce().await?;
    }
    Ok(())
}
