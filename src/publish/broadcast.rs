//! The feed of each shop, told to whoever wants to know: an event for each change, published to the broker.
//!
//! How far a shop's feed was told is kept in the store, so a change is told at least once; an event that is told again has
//! the identifier that it had. One process tells at a time.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tokio::sync::watch;

use super::error::PublishError;
use super::feed::Changed;
use super::notifier::Notifier;
use super::window::Window;
use crate::config::{Config, Shop};
use crate::queue::rabbit::{Event, Rabbit};
use crate::queue::{Queue, QueueError};
use crate::store::{Cursor, Store, StoreError, Tenure};

/// The lease of whoever tells.
const LEASE: &str = "change events";

/// Changes published and noted at once.
const WINDOW: u32 = 100;

/// How long after a look the next one is, where another process tells or something fails.
const REST: Duration = Duration::from_secs(5);

/// Tells the feed of each shop.
#[derive(Clone)]
pub struct Broadcast {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// The configuration in force.
    pub config: watch::Receiver<Arc<Config>>,
    /// The queue, which may be in a broker.
    pub queue: Arc<dyn Queue>,
    /// What says that the feed has moved on.
    pub notifier: Notifier,
}

/// What goes wrong in telling.
#[derive(Debug, thiserror::Error)]
enum BroadcastError {
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error("an event cannot be written: {0}")]
    Json(#[from] serde_json::Error),
}

impl Broadcast {
    /// Tells until the shutdown.
    pub async fn run(mut self, mut shutdown: watch::Receiver<bool>) {
        let queue = Arc::clone(&self.queue);
        let Some(broker) = queue.broker() else {
            // There is nowhere to tell; an error is one of reading the result, which is that the daemon stops.
            let _ = shutdown.wait_for(|stop| *stop).await;
            return;
        };
        let mut news = self.notifier.subscribe();
        let mut tenure = Tenure::new(LEASE);
        let mut told = None;
        let mut failing = false;
        while !*shutdown.borrow() {
            news.mark_unchanged();
            self.config.mark_unchanged();
            let failed = match self.tell_all(broker, &mut tenure, &mut told, &shutdown).await {
                Ok(()) => false,
                Err(error) => {
                    if !failing {
                        tracing::error!(%error, "events of changes wait; this is tried again until it works");
                    }
                    true
                }
            };
            if failing && !failed {
                tracing::info!("events of changes are told again");
            }
            failing = failed;
            tokio::select! {
                () = tokio::time::sleep(REST) => {}
                Ok(()) = news.changed(), if !failing => {}
                Ok(()) = self.config.changed() => told = None,
                _ = shutdown.wait_for(|stop| *stop) => {}
            }
        }
        if let Err(error) = tenure.end(self.store.as_ref()).await {
            tracing::debug!(%error, "the lease on events is left to run out");
        }
    }

    /// Tells what is to be told, unless another process does. `told`: the feed's end up to which this one has told all.
    async fn tell_all(
        &self,
        broker: &Rabbit,
        tenure: &mut Tenure,
        told: &mut Option<i64>,
        shutdown: &watch::Receiver<bool>,
    ) -> Result<(), BroadcastError> {
        let end = self.store.head().await?.sequence;
        // Nothing is written where there is nothing to tell.
        if *told == Some(end) {
            return Ok(());
        }
        let config = Arc::clone(&self.config.borrow());
        let mut all = true;
        for shop in &config.shops {
            all &= self.tell_shop(broker, tenure, shop, shutdown).await?;
        }
        if all {
            *told = Some(end);
        }
        Ok(())
    }

    /// Tells a shop's feed up to its end. Whether it came there.
    async fn tell_shop(
        &self,
        broker: &Rabbit,
        tenure: &mut Tenure,
        shop: &Shop,
        shutdown: &watch::Receiver<bool>,
    ) -> Result<bool, BroadcastError> {
        let consumer = format!("events/{}", shop.name);
        while !*shutdown.borrow() && tenure.hold(self.store.as_ref()).await?.is_some() {
            let window = match Window::open(Arc::clone(&self.store), shop).await {
                Ok(window) => window,
                Err(PublishError::ScopePending(_)) => return Ok(false),
                Err(error) => return Err(error.into()),
            };
            let position = self.store.position(&consumer).await?.map(|position| position.epoch);
            let page = match &position {
                Some(cursor) => window.changes(Some(cursor), &[], WINDOW).await,
                None => Err(PublishError::Gone),
            };
            let (events, cursor, more) = match page {
                Ok(page) => {
                    let epoch = &window.epochs.0;
                    let events = page.changes.iter().map(|change| event(shop, epoch, change));
                    (events.collect::<Result<Vec<Event>, _>>()?, page.cursor, page.more)
                }
                Err(PublishError::Gone | PublishError::BadCursor(_)) => {
                    (vec![reset(shop, &window)?], window.end(), true)
                }
                Err(error) => return Err(error.into()),
            };
            if !events.is_empty() && broker.tell(&events).await? < events.len() {
                return Err(QueueError::Unavailable("the broker did not take an event".to_owned()).into());
            }
            if position.as_ref() != Some(&cursor) {
                // The cursor has both epochs and the sequence in it.
                self.store.save_position(&consumer, &Cursor { epoch: cursor, sequence: window.head }).await?;
            }
            if !more {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn event(shop: &Shop, epoch: &str, change: &Changed) -> Result<Event, serde_json::Error> {
    let (entity, operation) = (change.entity.name(), change.operation.name());
    Ok(Event {
        id: format!("{epoch}/{}", change.sequence),
        source: source(shop),
        kind: format!("tradebridge.{entity}.{operation}"),
        subject: change.key.clone(),
        time: change.changed_at,
        routing_key: format!("{}.{entity}.{operation}", shop.name),
        data: serde_json::to_vec(change)?,
    })
}

/// What is told where earlier events do not lead to what follows: at the beginning, after a restore of the store, and when
/// what the shop sees changes.
fn reset(shop: &Shop, window: &Window) -> Result<Event, serde_json::Error> {
    let detail = "what was told before does not lead to what follows: take a snapshot, and apply what follows to it";
    Ok(Event {
        id: format!("{}/{}/{}", window.epochs.0, window.epochs.1, window.head),
        source: source(shop),
        kind: "tradebridge.feed.reset".to_owned(),
        subject: shop.name.clone(),
        time: Timestamp::now(),
        routing_key: format!("{}.feed.reset", shop.name),
        data: serde_json::to_vec(&json!({ "shop": shop.name, "detail": detail }))?,
    })
}

fn source(shop: &Shop) -> String {
    format!("urn:tradebridge:shop:{}", shop.name)
}
