//! The relay: publishes what is due in the outbox, and publishes again what nobody acted on.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use super::clock::{Clock, after};
use super::{Queue, QueueError, Wake};
use crate::store::{Message, Store, StoreError};

/// Messages published and noted at once: at first, since a queue may have room for few, and then.
const FIRST_WINDOW: u32 = 100;
const WINDOW: u32 = 1000;

/// A queue that fails is tried again after this time at the earliest, however many orders come meanwhile.
const FAILED: Duration = Duration::from_millis(200);

/// The longest rest, should no notification come.
const REST: Duration = Duration::from_secs(30);

/// A published message is published again when nobody acted on it within this time; then after twice as long, and so
/// on up to [`LONGEST`].
const FIRST: Duration = Duration::from_mins(1);

/// The longest time until a message is published again.
const LONGEST: Duration = Duration::from_hours(1);

/// What goes wrong in the relay.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The queue failed.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// Publishes what is due.
#[derive(Debug)]
pub struct Relay {
    /// The outbox.
    pub store: Arc<dyn Store>,
    /// Where to.
    pub queue: Arc<dyn Queue>,
    /// What says that something may be due.
    pub wake: Arc<Wake>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl Relay {
    /// Publishes until the shutdown. A failure of store or queue is logged once and tried again.
    pub async fn run(&self, mut shutdown: watch::Receiver<bool>) {
        let mut failing = false;
        while !*shutdown.borrow() {
            let rest = match self.publish_due().await {
                Ok(next) => {
                    if failing {
                        tracing::info!("orders are published again");
                        failing = false;
                    }
                    next
                }
                Err(error) => {
                    if !failing {
                        tracing::error!(%error, "orders cannot be published; this is tried again until it works");
                        failing = true;
                    }
                    None
                }
            };
            let now = self.clock.now();
            let longest = after(now, if failing { Duration::from_secs(5) } else { REST });
            let end = rest.map_or(longest, |next| next.min(longest));
            let woken = async {
                self.wake.until_due().await;
                if failing {
                    tokio::time::sleep(FAILED).await;
                }
            };
            tokio::select! {
                () = self.clock.until(end) => {}
                () = woken => {}
                _ = shutdown.wait_for(|stop| *stop) => {}
            }
        }
    }

    /// Publishes what is due now; says when there will be more. A connection whose queue is full, or fails, holds up no
    /// other one.
    async fn publish_due(&self) -> Result<Option<Timestamp>, RelayError> {
        let now = self.clock.now();
        let mut failed = None;
        for connection in self.store.due_connections(now).await? {
            match self.publish_to(&connection, now).await {
                Ok(()) => {}
                Err(RelayError::Queue(error)) => failed = failed.or(Some(error)),
                Err(error) => return Err(error),
            }
        }
        failed.map_or(Ok(()), Err)?;
        Ok(self.store.next_due(now).await?)
    }

    /// Publishes what is due for a connection, as far as there is room.
    async fn publish_to(&self, connection: &str, now: Timestamp) -> Result<(), RelayError> {
        let mut window = FIRST_WINDOW;
        loop {
            let due = self.store.due(connection, now, window).await?;
            let messages: Vec<Message> = due.iter().map(|due| due.message.clone()).collect();
            let confirmed = self.queue.publish(connection, &messages).await?;
            let noted: Vec<(Message, Timestamp)> = due
                .iter()
                .take(confirmed)
                .map(|due| (due.message.clone(), after(now, again(due.publications))))
                .collect();
            if !noted.is_empty() {
                self.store.published(now, &noted).await?;
            }
            if confirmed < messages.len() || messages.len() < window as usize {
                return Ok(());
            }
            window = WINDOW;
        }
    }
}

/// How long after a publication the message is published again, given how many publications there were before.
fn again(publications: u32) -> Duration {
    FIRST.saturating_mul(1 << publications.min(10)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_come_ever_later() {
        assert_eq!(again(0), Duration::from_mins(1));
        assert_eq!(again(1), Duration::from_mins(2));
        assert_eq!(again(100), LONGEST);
    }
}
