//! The consumer of one connection's work: takes a message, has its order dealt with, and only then acknowledges it. While
//! the connection cannot be reached it takes none.
//!
//! What does not live here: what is done about the order (`worker`, `doubt`).

mod doubt;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::context::{Context, Pause, Stopped};
use super::crash::broken_off;
use crate::queue::{Consumer, QueueError};
use worker::{Line, Worker};

/// Messages a consumer holds.
const PREFETCH: usize = 8;

/// How long a queue that fails is left alone.
const QUEUE_REST: Duration = Duration::from_secs(5);

/// What ends a turn of the consumer.
enum Turn {
    /// The connection cannot be reached: why.
    Down(String),
    /// The queue failed.
    Queue(QueueError),
    /// The configuration changed.
    Again,
    /// The shutdown came.
    Stopped,
}

/// Sends one connection's orders.
pub(super) struct Sender {
    context: Arc<Context>,
    connection: String,
    shutdown: watch::Receiver<bool>,
}

impl Sender {
    pub fn new(context: Arc<Context>, connection: String, shutdown: watch::Receiver<bool>) -> Self {
        Self { context, connection, shutdown }
    }

    /// Sends until the shutdown, or until the connection takes no orders any more.
    pub async fn run(mut self) {
        let mut targets = self.context.targets.subscribe();
        if self.after_crash().await.is_err() {
            return;
        }
        while !*self.shutdown.borrow() {
            targets.mark_unchanged();
            if self.context.target(&self.connection).is_none() {
                return;
            }
            let consumer = self.context.queue.consume(&self.connection, PREFETCH).await;
            let turn = match consumer {
                // The consumer ends with the turn: while the connection is down, no delivery is held.
                Ok(consumer) => self.turn(consumer, &mut targets).await,
                Err(error) => Turn::Queue(error),
            };
            match turn {
                Turn::Again => {}
                Turn::Stopped => return,
                Turn::Down(reason) => self.wait_for_connection(reason, &mut targets).await,
                Turn::Queue(error) => {
                    tracing::error!(connection = self.connection, %error, "orders wait");
                    tokio::select! {
                        () = self.context.clock.sleep(QUEUE_REST) => {}
                        _ = self.shutdown.wait_for(|stop| *stop) => return,
                    }
                }
            }
        }
    }

    /// An order that this process is `sending` although nothing in it does: what did so broke off.
    async fn after_crash(&mut self) -> Result<(), Stopped> {
        let context = Arc::clone(&self.context);
        let connection = self.connection.clone();
        let moved = context
            .until_done("finding orders whose attempt broke off", &mut self.shutdown, || {
                broken_off(&context, Some(&connection))
            })
            .await?;
        if let Err(error) = moved {
            tracing::error!(connection, %error, "an order cannot be read");
        }
        Ok(())
    }

    async fn turn(
        &mut self,
        mut consumer: Box<dyn Consumer>,
        targets: &mut watch::Receiver<Arc<super::target::Targets>>,
    ) -> Turn {
        loop {
            let delivery = tokio::select! {
                biased;
                _ = self.shutdown.wait_for(|stop| *stop) => return Turn::Stopped,
                _ = targets.changed() => return Turn::Again,
                delivery = consumer.next() => match delivery {
                    Ok(delivery) => delivery,
                    Err(error) => return Turn::Queue(error),
                },
            };
            let Some(target) = self.context.target(&self.connection) else { return Turn::Again };
            let dealt = match delivery.message {
                Ok(message) => self.worker().deal_with(&message, &target).await,
                Err(unreadable) => self.worker().bury(unreadable).await,
            };
            let line = match dealt {
                Ok(line) => line,
                Err(Stopped) => return Turn::Stopped,
            };
            if let Err(error) = consumer.ack(delivery.tag).await {
                return Turn::Queue(error);
            }
            if let Line::Down(reason) = line {
                return Turn::Down(reason);
            }
        }
    }

    fn worker(&self) -> Worker {
        Worker {
            context: Arc::clone(&self.context),
            connection: self.connection.clone(),
            shutdown: self.shutdown.clone(),
        }
    }

    /// Waits until a probe reaches the connection again. Orders keep waiting in store and queue; their attempts are not
    /// used up.
    async fn wait_for_connection(
        &mut self,
        reason: String,
        targets: &mut watch::Receiver<Arc<super::target::Targets>>,
    ) {
        let context = Arc::clone(&self.context);
        tracing::warn!(connection = self.connection, reason, "connection is down: its orders wait until it is back");
        let since = context.clock.now();
        context.pause(&self.connection, Some(Pause { since, reason }));
        context.wake.orders_changed();
        let mut probes = 0_u32;
        while let Some(target) = context.target(&self.connection) {
            probes = probes.saturating_add(1);
            tokio::select! {
                biased;
                _ = self.shutdown.wait_for(|stop| *stop) => break,
                // Perhaps the change mends it.
                _ = targets.changed() => probes = 0,
                () = context.clock.sleep(target.policy().delay(probes)) => {}
            }
            let Some(target) = context.target(&self.connection) else { break };
            match target.probe(context.clock.as_ref()).await {
                Ok(()) => {
                    tracing::info!(connection = self.connection, "connection is back: its orders go on");
                    break;
                }
                Err(reason) => context.pause(&self.connection, Some(Pause { since, reason })),
            }
        }
        context.pause(&self.connection, None);
        context.wake.orders_changed();
    }
}
