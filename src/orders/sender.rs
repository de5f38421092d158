//! The consumer of one connection's work: takes an order, hands it over, commits what that came to, and only then
//! acknowledges the message.
//!
//! Never twice: before each create the order is `sending` with a fresh attempt, on disk. An outcome that is no clear
//! answer makes it `unknown`, and an unknown order is handed over again only as its system's class of create allows.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use uuid::Uuid;

use super::context::{Context, Pause, Stopped, WHO};
use super::crash::broken_off;
use super::presence::Present;
use super::state::Event;
use super::target::Target;
use crate::connector::{CreateClass, Created, Found};
use crate::queue::clock::after;
use crate::queue::{Consumer, QueueError, Unreadable};
use crate::store::{Advance, AttemptCount, DeadLetter, Message, OrderState, StoreError, StoredOrder};
use crate::telemetry::{self, event::OrderAttempted};

/// Messages a consumer holds.
const PREFETCH: usize = 8;

/// How long a queue that fails is left alone.
const QUEUE_REST: Duration = Duration::from_secs(5);

/// Whether the connection works.
enum Line {
    Up,
    /// It cannot be reached: why.
    Down(String),
}

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
                Ok(message) => self.deal_with(&message, &target).await,
                Err(Unreadable { bytes, reason }) => self.bury(None, bytes, reason).await,
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

    /// Takes the step that a message says is due. A message of an earlier generation, or one too many, has no effect.
    async fn deal_with(&mut self, message: &Message, target: &Target) -> Result<Line, Stopped> {
        let context = Arc::clone(&self.context);
        let read =
            context.until_done("reading an order", &mut self.shutdown, || context.store.order(&message.order)).await?;
        let order = match read {
            Ok(Some(order)) => order,
            Ok(None) => return self.bury_message(message, "there is no such order".to_owned()).await,
            Err(error) => return self.bury_message(message, error.to_string()).await,
        };
        let now = context.clock.now();
        if order.generation != message.generation || order.not_before.is_some_and(|not_before| not_before > now) {
            return Ok(Line::Up);
        }
        match (order.state, target.system.class()) {
            (OrderState::Queued, _) => self.attempt(&order, target, false).await,
            // An order that was held when a backup was made must not go out unless a person lets it.
            (OrderState::Unknown, CreateClass::Unique) if order.previous != Some(OrderState::Held) => {
                self.attempt(&order, target, true).await
            }
            (OrderState::Unknown, class) => self.clarify(&order, target, class).await,
            _ => Ok(Line::Up),
        }
    }

    /// Hands an order over and commits what that came to. `doubt`: an earlier attempt may have taken effect.
    async fn attempt(&mut self, order: &StoredOrder, target: &Target, doubt: bool) -> Result<Line, Stopped> {
        let context = Arc::clone(&self.context);
        let came_from = order.previous;
        let present = tokio::select! {
            present = context.presence.present() => present,
            _ = self.shutdown.wait_for(|stop| *stop) => None,
        };
        let Some(Present { lease, .. }) = present else { return Err(Stopped) };
        let _in_hand = context.take_in_hand(&order.id);
        let claimed =
            context.until_done("taking an order", &mut self.shutdown, || context.claim(order, &lease)).await?;
        let order = match claimed {
            Ok(Some(order)) if context.presence.holds(&lease) => order,
            Ok(Some(order)) => {
                // It may be in doubt already, and others see to it. If not, the lease may be renewed yet, and nobody else would.
                let reason = "this process stood still for too long: the order is not sent by it";
                tracing::warn!(order_id = order.id, "{reason}");
                let event = if doubt { Event::Doubt } else { Event::NotExecuted };
                let now = context.clock.now();
                self.commit(&order, &[(event, reason)], |a| {
                    a.reason = Some(reason.to_owned());
                    a.publish_at = Some(now);
                    a.attempts = AttemptCount::GiveBack;
                })
                .await?;
                return Ok(Line::Up);
            }
            Ok(None) | Err(StoreError::Fenced(_)) => return Ok(Line::Up),
            Err(error) => {
                tracing::error!(order_id = order.id, %error, "order cannot be taken");
                return Ok(Line::Up);
            }
        };
        let begun = std::time::Instant::now();
        let created = target.create(&order, context.clock.as_ref()).await;
        telemetry::emit(OrderAttempted {
            order_id: &order.id,
            connection: &order.connection,
            outcome: outcome(&created),
            duration: begun.elapsed(),
        });
        let now = context.clock.now();
        let policy = target.policy();
        match created {
            Created::Accepted { number } => {
                let cause = format!("the ERP has it under {number}");
                self.commit(&order, &[(Event::Accepted, &cause)], |a| a.erp_number = Some(number.clone())).await?;
            }
            Created::Submitted => {
                self.commit(&order, &[(Event::Submitted, "handed over")], |a| a.submitted_at = Some(now)).await?;
            }
            Created::Rejected { reason } if doubt => {
                return self.refused_in_doubt(&order, came_from, target, &reason).await;
            }
            Created::Rejected { reason } | Created::Undone { reason } => {
                self.commit(&order, &[(Event::Rejected, &reason)], |a| a.reason = Some(reason.clone())).await?;
            }
            Created::NotExecuted { reason, connection_down, retry_after } => {
                let attempts = if connection_down { 1 } else { order.attempt };
                let own = policy.next(now, attempts);
                let next = retry_after.map_or(own, |wait| after(now, wait).max(own));
                // Where an earlier attempt is in doubt, that this one was not executed proves nothing about it.
                let event = if doubt { Event::Doubt } else { Event::NotExecuted };
                self.commit(&order, &[(event, &reason)], |a| {
                    a.reason = Some(reason.clone());
                    a.publish_at = Some(next);
                    if connection_down {
                        a.attempts = AttemptCount::GiveBack;
                    }
                })
                .await?;
                if connection_down {
                    return Ok(Line::Down(reason));
                }
            }
            Created::Unknown { reason } => {
                let next = match target.system.class() {
                    // The repeat is harmless; after the first it comes with growing waits.
                    CreateClass::Unique if order.attempt <= 1 => now,
                    CreateClass::Unique => policy.next(now, order.attempt - 1),
                    // Found early is found; what is not found yet waits for the end of `settle`.
                    CreateClass::Bounded { .. } => now,
                    CreateClass::Open => policy.next(now, order.attempt),
                };
                self.commit(&order, &[(Event::Doubt, &reason)], |a| {
                    a.reason = Some(reason.clone());
                    a.publish_at = Some(next);
                })
                .await?;
            }
        }
        Ok(Line::Up)
    }

    /// The ERP refuses a repeated create. Its words may be about the repeat alone: an earlier attempt that took effect
    /// can use up the credit or the stock that the repeat lacks.
    async fn refused_in_doubt(
        &mut self,
        order: &StoredOrder,
        came_from: Option<OrderState>,
        target: &Target,
        refusal: &str,
    ) -> Result<Line, Stopped> {
        let clock = Arc::clone(&self.context.clock);
        let now = clock.now();
        match target.find(order, clock.as_ref()).await {
            Found::Accepted { number } => {
                let cause = format!("the ERP has it under {number}, from an earlier attempt");
                self.commit(order, &[(Event::Accepted, &cause)], |a| a.erp_number = Some(number.clone())).await?;
            }
            Found::Submitted => {
                let cause = "handed over by an earlier attempt";
                self.commit(order, &[(Event::Submitted, cause)], |a| a.submitted_at = Some(now)).await?;
            }
            Found::Doubtful { reason } => {
                self.commit(order, &[(Event::Doubt, refusal), (Event::Review, &reason)], |a| {
                    a.reason = Some(reason.clone());
                })
                .await?;
            }
            Found::Rejected { reason } => {
                self.commit(order, &[(Event::Rejected, &reason)], |a| a.reason = Some(reason.clone())).await?;
            }
            // A person has looked, or the ERP had refused it before: no earlier attempt is left to take effect.
            Found::Missing { .. } if matches!(came_from, Some(OrderState::NeedsReview | OrderState::Rejected)) => {
                self.commit(order, &[(Event::Rejected, refusal)], |a| a.reason = Some(refusal.to_owned())).await?;
            }
            Found::Missing { .. } => {
                let reason = format!(
                    "the ERP refuses the repeated attempt ({refusal}), but an earlier one got no answer and may still \
                     take effect; look in the ERP, then cancel the order, retry or resolve it"
                );
                self.commit(order, &[(Event::Doubt, refusal), (Event::Review, &reason)], |a| {
                    a.reason = Some(reason.clone());
                })
                .await?;
            }
            Found::Failed { reason, connection_down } => {
                let why =
                    format!("refused ({refusal}), and whether an earlier attempt took effect is not known: {reason}");
                let next = target.policy().next(now, order.attempt);
                self.commit(order, &[(Event::Doubt, &why)], |a| {
                    a.reason = Some(why.clone());
                    a.publish_at = Some(next);
                })
                .await?;
                if connection_down {
                    return Ok(Line::Down(reason));
                }
            }
        }
        Ok(Line::Up)
    }

    /// Finds out what became of an order's attempts, and hands it over again only where its class allows.
    async fn clarify(&mut self, order: &StoredOrder, target: &Target, class: CreateClass) -> Result<Line, Stopped> {
        let clock = Arc::clone(&self.context.clock);
        let found = target.find(order, clock.as_ref()).await;
        let now = clock.now();
        let answered = order.previous == Some(OrderState::Rejected);
        match found {
            Found::Accepted { number } => {
                let cause = format!("found in the ERP under {number}");
                self.commit(order, &[(Event::Accepted, &cause)], |a| a.erp_number = Some(number.clone())).await?;
            }
            Found::Rejected { reason } => {
                self.commit(order, &[(Event::Rejected, &reason)], |a| a.reason = Some(reason.clone())).await?;
            }
            // What the ERP has answered with a rejection was handed over, of course; a person wants it sent again.
            Found::Submitted if answered => return self.attempt(order, target, false).await,
            Found::Submitted => {
                self.commit(order, &[(Event::Submitted, "found as handed over")], |a| a.submitted_at = Some(now))
                    .await?;
            }
            Found::Doubtful { reason } => self.review(order, &reason).await?,
            Found::Failed { reason, connection_down } => {
                // Searches that fail are no attempts, but their waits grow like those of attempts.
                let next = target.policy().next(now, order.attempt.max(1).saturating_add(order.postponed));
                self.postpone(order, next, &format!("searching it in the ERP failed: {reason}")).await?;
                if connection_down {
                    return Ok(Line::Down(reason));
                }
            }
            Found::Missing { conclusive } => return self.missing(order, target, class, conclusive, now).await,
        }
        Ok(Line::Up)
    }

    /// The ERP does not show the order.
    async fn missing(
        &mut self,
        order: &StoredOrder,
        target: &Target,
        class: CreateClass,
        conclusive: bool,
        now: Timestamp,
    ) -> Result<Line, Stopped> {
        match (order.previous, class) {
            (Some(OrderState::Held), _) => {
                let reason = "it was held when the store was backed up, and the ERP does not show it; retry it to send \
                              it, or cancel it";
                self.review(order, reason).await?;
            }
            // It was handed over before the backup was made, and nothing undoes that.
            (Some(OrderState::Submitted), _) => {
                let submitted = order.submitted_at.unwrap_or(now);
                let cause = "handed over before the backup was made; the answer is still to come";
                self.commit(order, &[(Event::Submitted, cause)], |a| a.submitted_at = Some(submitted)).await?;
            }
            (_, CreateClass::Bounded { settle }) if now < after(order.changed_at, settle) => {
                let reason = "the ERP does not show it yet; it may still until the connector's `settle` has passed";
                self.postpone(order, after(order.changed_at, settle), reason).await?;
            }
            (_, CreateClass::Bounded { .. }) => return self.attempt(order, target, false).await,
            // A person has looked, or the ERP has refused it: that is the proof that the search cannot give.
            (Some(OrderState::NeedsReview | OrderState::Rejected), _) => {
                return self.attempt(order, target, false).await;
            }
            _ if conclusive => return self.attempt(order, target, false).await,
            _ => {
                let reason = "the ERP does not show it, which proves nothing: an attempt may still take effect; look in \
                              the ERP, then `orders resolve --as-created NUMBER` or `orders retry`";
                self.review(order, reason).await?;
            }
        }
        Ok(Line::Up)
    }

    async fn review(&mut self, order: &StoredOrder, reason: &str) -> Result<(), Stopped> {
        self.commit(order, &[(Event::Review, reason)], |a| a.reason = Some(reason.to_owned())).await
    }

    async fn commit(
        &mut self,
        order: &StoredOrder,
        events: &[(Event, &str)],
        set: impl Fn(&mut Advance),
    ) -> Result<(), Stopped> {
        let context = Arc::clone(&self.context);
        let committed = context
            .until_done("storing what became of an order", &mut self.shutdown, || {
                context.advance(order, events.iter().copied(), WHO, &set)
            })
            .await?;
        match committed {
            Ok(Some(_)) => {}
            Ok(None) => tracing::warn!(
                order_id = order.id,
                connection = order.connection,
                outcome = ?events,
                "the order changed meanwhile, by the ERP's answer or by a person; what the attempt came to is not needed"
            ),
            Err(error) => tracing::error!(order_id = order.id, %error, "what became of the order cannot be stored"),
        }
        Ok(())
    }

    async fn postpone(&mut self, order: &StoredOrder, until: Timestamp, reason: &str) -> Result<(), Stopped> {
        let context = Arc::clone(&self.context);
        let put_off = context
            .until_done("putting off an order", &mut self.shutdown, || {
                context.store.postpone(&order.id, order.state, order.generation, until, reason)
            })
            .await?;
        match put_off {
            Ok(_) => tracing::info!(order_id = order.id, connection = order.connection, %until, "{reason}"),
            Err(error) => tracing::error!(order_id = order.id, %error, "the order cannot be put off"),
        }
        context.wake.orders_changed();
        Ok(())
    }

    async fn bury_message(&mut self, message: &Message, reason: String) -> Result<Line, Stopped> {
        self.bury(Some(message.clone()), serde_json::to_vec(message).unwrap_or_default(), reason).await
    }

    async fn bury(&mut self, message: Option<Message>, bytes: Vec<u8>, reason: String) -> Result<Line, Stopped> {
        let context = Arc::clone(&self.context);
        let letter = DeadLetter {
            id: Uuid::now_v7().to_string(),
            connection: self.connection.clone(),
            bytes,
            message,
            reason,
            at: context.clock.now(),
        };
        let buried =
            context.until_done("keeping a dead letter", &mut self.shutdown, || context.store.bury(&letter)).await?;
        match buried {
            Ok(()) => tracing::error!(
                order_id = letter.message.as_ref().map(|message| &message.order),
                connection = self.connection,
                reason = letter.reason,
                "a message is a dead letter; `tradebridge dead show {}` shows it",
                letter.id
            ),
            Err(error) => tracing::error!(letter = letter.id, %error, "a dead letter cannot be kept"),
        }
        context.wake.orders_changed();
        Ok(Line::Up)
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

fn outcome(created: &Created) -> &'static str {
    match created {
        Created::Accepted { .. } => "accepted",
        Created::Submitted => "submitted",
        Created::Rejected { .. } | Created::Undone { .. } => "rejected",
        Created::NotExecuted { connection_down: true, .. } => "connection_down",
        Created::NotExecuted { .. } => "not_executed",
        Created::Unknown { .. } => "unknown",
    }
}
