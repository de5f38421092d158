//! Whether the connections can be used, looked at again and again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::bridge::Bridge;
use crate::sync::Link;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(30);

/// How long a connection may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Probes every connection until the daemon stops.
pub(super) async fn run(bridge: Arc<Bridge>, mut stop: watch::Receiver<bool>) {
    let mut plans = bridge.plans();
    loop {
        plans.borrow_and_update();
        tokio::select! {
            () = look(&bridge) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            _ = plans.changed() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// Probes every connection at once and notes what was found; what changed is logged.
pub(super) async fn look(bridge: &Arc<Bridge>) {
    let mut probes = JoinSet::new();
    for link in bridge.plan().links.values() {
        let link = Arc::clone(link);
        probes.spawn(async move { (link.name.clone(), probe(&link).await) });
    }
    while let Some(probed) = probes.join_next().await {
        let Ok((connection, found)) = probed else { continue };
        let before = bridge.known().connections.insert(connection.clone(), found.clone());
        match (before, found) {
            (Some(Err(_)), Ok(())) => tracing::info!(connection, "the connection can be used again"),
            (None | Some(Ok(())), Err(reason)) => {
                tracing::warn!(connection, reason, "the connection cannot be used; shops are served what is stored");
            }
            _ => {}
        }
    }
}

/// Whether a connection can be used; otherwise why not.
pub(super) async fn probe(link: &Link) -> Result<(), String> {
    let probed = tokio::time::timeout(PATIENCE, link.probe()).await;
    probed.unwrap_or_else(|_| Err(format!("no answer within {} seconds", PATIENCE.as_secs())))
}
