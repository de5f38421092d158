//! What the broker gave up, such as a message that was delivered too often: kept as a dead letter of the store, with its
//! bytes and why.
//!
//! What does not live here: what people do about dead letters (`desk`), and the orders that shops publish (`api`).

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;
use uuid::Uuid;

use super::context::Context;
use crate::queue::rabbit::{Letter, Mailbox, Reader, topology};
use crate::store::{DeadLetter, Message};

/// Letters that are held unacknowledged.
const PREFETCH: usize = 8;

/// Keeps what the broker gave up until the shutdown.
pub(super) async fn run(context: Arc<Context>, mut shutdown: watch::Receiver<bool>) {
    match context.queue.broker() {
        Some(broker) => {
            let undertaker = Undertaker { context: Arc::clone(&context) };
            broker.serve(Mailbox::Dead, PREFETCH, &undertaker, shutdown).await;
        }
        None => {
            // Nothing gives anything up; an error is one of reading the result, which is that the daemon stops.
            let _ = shutdown.wait_for(|stop| *stop).await;
        }
    }
}

/// Who keeps them.
struct Undertaker {
    context: Arc<Context>,
}

#[async_trait]
impl Reader for Undertaker {
    async fn read(&self, letter: &Letter) -> Result<(), String> {
        let (connection, reason) = told(letter);
        let dead = DeadLetter {
            id: Uuid::now_v7().to_string(),
            connection,
            // A message that is buried as one is not published again, but its order still waits.
            message: None,
            bytes: letter.bytes.clone(),
            reason,
            at: self.context.clock.now(),
        };
        self.context.store.bury(&dead).await.map_err(|error| error.to_string())?;
        tracing::error!(
            reason = dead.reason,
            "the broker gave a message up; `tradebridge dead show {}` shows it",
            dead.id
        );
        self.context.wake.orders_changed();
        Ok(())
    }

    async fn ready(&self) -> bool {
        self.context.store.head().await.is_ok()
    }
}

/// The connection that a letter was for, and what is known of why it is here.
fn told(letter: &Letter) -> (String, String) {
    let Some(given_up) = letter.given_up() else {
        let by = letter.user().map_or_else(|| "somebody".to_owned(), |user| format!("the user {user}"));
        return (
            String::new(),
            format!("{by} published it to {}, which is for what the broker gives up", topology::DEAD),
        );
    };
    let queue = &given_up.queue;
    let why = match given_up.reason.as_str() {
        "delivery_limit" => "it was delivered too often and never acknowledged, as if whoever reads it dies".to_owned(),
        "expired" => "it waited for longer than a policy of the broker allows".to_owned(),
        "maxlen" => "the queue held more than a policy of the broker allows".to_owned(),
        other => other.to_owned(),
    };
    if queue == topology::ORDERS_IN {
        let who = letter.user().map_or_else(|| "an unnamed user".to_owned(), |user| format!("the user {user}"));
        let reason = format!(
            "the broker gave up an order of {who} in {queue}: {why}. Find out whether it was taken in, by the shop's \
             reference; otherwise have the shop send it again, then drop this"
        );
        return (String::new(), reason);
    }
    let connection = topology::connection_of(queue).unwrap_or_default().to_owned();
    let reason = match serde_json::from_slice::<Message>(&letter.bytes) {
        Ok(Message { order, generation }) => format!(
            "the broker gave it up in {queue}: {why}. Order {order} is not lost: its message of generation {generation} \
             is published again from the store, where it still waits; see `tradebridge orders show {order}`, then drop this"
        ),
        Err(error) => format!("the broker gave it up in {queue}: {why}; it is no message of an order's step: {error}"),
    };
    (connection, reason)
}
