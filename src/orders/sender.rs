//! The consumer of one connection's work: takes messages, has their orders dealt with side by side, and only then
//! acknowledges each. While the connection cannot be reached, or a person has told its orders to wait, it takes none.
//!
//! What does not live here: what is done about an order (`worker`, `doubt`).

mod doubt;
mod hands;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::context::{Context, Pause, Stopped};
use super::target::Targets;
use crate::queue::{Consumer, Delivery, QueueError};
use hands::{Done, Hands};
use worker::{Line, Worker};

/// Messages a consumer holds for each order that is dealt with at a time: the next ones are there when one is done, and
/// the others are left to other processes.
const HELD: usize = 2;

/// How long a queue that fails is left alone.
const QUEUE_REST: Duration = Duration::from_secs(5);

/// What ends a turn of the consumer.
enum Turn {
    /// The connection cannot be reached: why.
    Down(String),
    /// The queue failed.
    Queue(QueueError),
    /// Dealing with an order broke off: why.
    Broken(String),
    /// The configuration changed, or a person told the orders to wait.
    Again,
    /// The shutdown came.
    Stopped,
}

/// What a turn of the consumer goes on with.
enum Next {
    End(Turn),
    Done(Done),
    Delivery(Delivery),
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
        while !*self.shutdown.borrow() {
            targets.mark_unchanged();
            let Some(target) = self.context.target(&self.connection) else { return };
            if self.is_told_to_wait() {
                self.until_resumed(&mut targets).await;
                continue;
            }
            let side_by_side = target.concurrency.max(1);
            let consumer = self.context.queue.consume(&self.connection, HELD * side_by_side).await;
            let turn = match consumer {
                // The consumer ends with the turn: while the connection is down, no delivery is held.
                Ok(consumer) => self.turn(consumer, side_by_side, &mut targets).await,
                Err(error) => Turn::Queue(error),
            };
            match turn {
                Turn::Again => {}
                Turn::Stopped => return,
                Turn::Down(reason) => self.wait_for_connection(reason, &mut targets).await,
                Turn::Queue(error) => {
                    tracing::error!(connection = self.connection, %error, "orders wait");
                    // The broker comes back in its own time, whatever clock orders go by.
                    tokio::select! {
                        () = tokio::time::sleep(QUEUE_REST) => {}
                        _ = self.shutdown.wait_for(|stop| *stop) => {}
                    }
                }
                Turn::Broken(error) => {
                    tracing::error!(
                        connection = self.connection,
                        error,
                        "dealing with an order broke off; please report it"
                    );
                    self.rest().await;
                }
            }
        }
    }

    async fn rest(&mut self) {
        tokio::select! {
            () = self.context.clock.sleep(QUEUE_REST) => {}
            _ = self.shutdown.wait_for(|stop| *stop) => {}
        }
    }

    /// Has the messages' orders dealt with, so many side by side, until something ends the turn. Then what is in hand is
    /// done and acknowledged; the other messages go back.
    async fn turn(
        &mut self,
        mut consumer: Box<dyn Consumer>,
        side_by_side: usize,
        targets: &mut watch::Receiver<Arc<Targets>>,
    ) -> Turn {
        let mut told = self.context.told_to_wait.subscribe();
        let mut hands = Hands::default();
        let mut end = loop {
            let room = hands.busy() < side_by_side && hands.held() < HELD * side_by_side;
            let next = tokio::select! {
                biased;
                _ = self.shutdown.wait_for(|stop| *stop) => Next::End(Turn::Stopped),
                _ = targets.changed() => Next::End(Turn::Again),
                _ = told.wait_for(|told| told.contains_key(&self.connection)) => Next::End(Turn::Again),
                Some(done) = hands.done() => Next::Done(done),
                delivery = consumer.next(), if room => match delivery {
                    Ok(delivery) => Next::Delivery(delivery),
                    Err(error) => Next::End(Turn::Queue(error)),
                },
            };
            match next {
                Next::End(turn) => break turn,
                Next::Done(done) => {
                    if let Some(turn) = acknowledge(done, consumer.as_mut()).await {
                        break turn;
                    }
                }
                Next::Delivery(delivery) => match self.context.target(&self.connection) {
                    Some(target) => hands.take(delivery, self.worker(), target),
                    None => break Turn::Again,
                },
            }
        };
        hands.take_no_more();
        while let Some(done) = hands.done().await {
            match (acknowledge(done, consumer.as_mut()).await, &end) {
                (None, _) | (_, Turn::Stopped) | (Some(Turn::Queue(_)), Turn::Queue(_)) => {}
                (Some(turn), _) => end = turn,
            }
        }
        end
    }

    fn worker(&self) -> Worker {
        Worker::new(Arc::clone(&self.context), self.connection.clone(), self.shutdown.clone())
    }

    fn is_told_to_wait(&self) -> bool {
        self.context.told_to_wait.borrow().contains_key(&self.connection)
    }

    /// Waits until a person lets the connection's orders go on, or the configuration changes.
    async fn until_resumed(&mut self, targets: &mut watch::Receiver<Arc<Targets>>) {
        let mut told = self.context.told_to_wait.subscribe();
        if let Some(pause) = told.borrow_and_update().get(&self.connection) {
            let (who, reason) = (&pause.who, &pause.reason);
            tracing::warn!(connection = self.connection, who, reason, "the connection is paused: its orders wait");
        }
        tokio::select! {
            _ = self.shutdown.wait_for(|stop| *stop) => {}
            _ = targets.changed() => {}
            _ = told.wait_for(|told| !told.contains_key(&self.connection)) => {
                tracing::info!(connection = self.connection, "the connection is resumed: its orders go on");
            }
        }
    }

    /// Waits until a probe reaches the connection again. Orders keep waiting in store and queue; their attempts are not
    /// used up.
    async fn wait_for_connection(&mut self, reason: String, targets: &mut watch::Receiver<Arc<Targets>>) {
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

/// Acknowledges the message of an order that is dealt with; says what ends the turn, if anything does.
async fn acknowledge(done: Done, consumer: &mut dyn Consumer) -> Option<Turn> {
    let (tag, line) = match done {
        Done::Dealt { tag, line: Ok(line) } => (tag, line),
        Done::Dealt { line: Err(Stopped), .. } => return Some(Turn::Stopped),
        Done::Broken(error) => return Some(Turn::Broken(error)),
    };
    // What was not begun is delivered again.
    if matches!(line, Line::NotBegun) {
        return Some(Turn::Again);
    }
    if let Err(error) = consumer.ack(tag).await {
        return Some(Turn::Queue(error));
    }
    match line {
        Line::Down(reason) => Some(Turn::Down(reason)),
        Line::Up | Line::NotBegun => None,
    }
}
