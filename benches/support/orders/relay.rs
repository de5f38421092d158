//! The relay alone, in this process: from the outbox to the queue.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::watch;
use tradebridge::config::{Config, Document};
use tradebridge::queue::{self, Queue, Relay, SystemClock, Wake};
use tradebridge::store::{Message, Outbox as _};

use super::super::{Outcome, expect, site};

/// How long it may take.
const PATIENCE: Duration = Duration::from_mins(5);

/// What was relayed.
pub struct Relayed {
    /// Messages a second.
    pub rate: f64,
    pub messages: Vec<Message>,
}

/// Has the relay publish all that is due; it must be so many.
pub async fn publish_all(configuration: &Path, connection: &str, messages: u64) -> Outcome<Relayed> {
    let text = std::fs::read_to_string(configuration)?;
    let config = Config::of_document(Document::parse("bench.toml", &text), []).map_err(|p| p.to_string())?;
    let store = site::open(&config).await?;
    let due = store.due(connection, Timestamp::now(), u32::try_from(messages)? + 1).await?;
    expect("messages due", &(due.len() as u64), &messages)?;
    let wake = Arc::new(Wake::default());
    let queue: Arc<dyn Queue> = queue::open(&config.queue, Arc::clone(&wake))?;
    let (stop, stopping) = watch::channel(false);
    let (_connections, names) = watch::channel(vec![connection.to_owned()]);
    let running = tokio::spawn({
        let (queue, stopping) = (Arc::clone(&queue), stopping.clone());
        async move { queue.run(names, stopping).await }
    });
    let until = Instant::now() + PATIENCE;
    while queue.depth(connection).await.is_err() || queue.publish(connection, &[]).await.is_err() {
        if Instant::now() > until {
            return Err(queue.describe().into());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Both connections are up by then.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let relay = Relay { store: Arc::clone(&store) as _, queue, wake, clock: Arc::new(SystemClock) };
    let begun = Instant::now();
    let relaying = tokio::spawn(async move { relay.run(stopping).await });
    // The end of its work is that nothing is due any more.
    while store.next_due(Timestamp::MIN).await?.is_some_and(|next| next <= Timestamp::now()) {
        if Instant::now() > until {
            return Err("the relay does not come to an end".into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let seconds = begun.elapsed().as_secs_f64();
    stop.send_replace(true);
    relaying.await?;
    running.await?;
    store.close().await;
    Ok(Relayed { rate: messages as f64 / seconds, messages: due.into_iter().map(|due| due.message).collect() })
}
