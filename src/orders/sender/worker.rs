//! Dealing with one order: takes the step that is due, and commits what that came to.
//!
//! Never twice: before each create the order is `sending` with a fresh attempt, on disk. An outcome that is no clear
//! answer makes it `unknown`, and an unknown order is handed over again only as its system's class of create allows.
//!
//! What does not live here: which order comes next (`sender`), and how an unknown one is settled (`doubt`).

use std::sync::Arc;

use tokio::sync::watch;
use uuid::Uuid;

use crate::connector::{CreateClass, Created, Found, Trail};
use crate::orders::context::{Context, Stopped, WHO};
use crate::orders::presence::Present;
use crate::orders::state::Event;
use crate::orders::target::Target;
use crate::queue::Unreadable;
use crate::queue::clock::after;
use crate::store::{
    Advance, AttemptCount, CallKind, DeadLetter, Message, OrderCall, OrderState, StoreError, StoredOrder,
};
use crate::telemetry::{self, event::OrderAttempted};

/// Whether the connection works.
pub(super) enum Line {
    Up,
    /// It cannot be reached: why.
    Down(String),
    /// Nothing was begun: a person has told its orders to wait, or this process stood still.
    NotBegun,
}

/// Deals with one order of a connection.
pub(super) struct Worker {
    pub(super) context: Arc<Context>,
    connection: String,
    shutdown: watch::Receiver<bool>,
    /// What was exchanged and is not stored yet.
    calls: Vec<OrderCall>,
}

impl Worker {
    pub fn new(context: Arc<Context>, connection: String, shutdown: watch::Receiver<bool>) -> Self {
        Self { context, connection, shutdown, calls: Vec::new() }
    }

    /// Takes the step that a message says is due. A message of an earlier generation, or one too many, has no effect.
    pub async fn deal_with(&mut self, message: &Message, target: &Target) -> Result<Line, Stopped> {
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
    pub(super) async fn attempt(&mut self, order: &StoredOrder, target: &Target, doubt: bool) -> Result<Line, Stopped> {
        let context = Arc::clone(&self.context);
        let came_from = order.previous;
        let present = tokio::select! {
            present = context.presence.present() => present,
            _ = self.shutdown.wait_for(|stop| *stop) => None,
        };
        let Some(Present { lease, .. }) = present else { return Err(Stopped) };
        // The same message twice: what is done about the first is enough.
        let Some(_held) = context.in_hand.take(&order.id) else { return Ok(Line::Up) };
        let calls = std::mem::take(&mut self.calls);
        let claimed =
            context.until_done("taking an order", &mut self.shutdown, || context.claim(order, &lease, &calls)).await?;
        if !matches!(claimed, Ok(Some(_))) {
            self.note(&order.id, &calls).await;
        }
        let paused = matches!(claimed, Ok(None)) && self.is_paused().await?;
        let order = match claimed {
            Ok(Some(order)) if context.presence.holds(&lease) => order,
            Ok(Some(order)) => {
                tracing::warn!(
                    order_id = order.id,
                    "this process stood still for too long: the order is not sent by it"
                );
                // It may be in doubt already, and others see to it; then this has no effect.
                return self.give_back(&order, doubt).await;
            }
            Ok(None) if !paused => return Ok(Line::Up),
            Ok(None) | Err(StoreError::Fenced(_)) => return Ok(Line::NotBegun),
            Err(error) => {
                tracing::error!(order_id = order.id, %error, "order cannot be taken");
                return Ok(Line::Up);
            }
        };
        let begun = std::time::Instant::now();
        let trail = Trail::default();
        let created = target.create(&order, &trail, context.clock.as_ref()).await;
        self.keep(&order, CallKind::Create, outcome(&created), &trail);
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

    /// Gives an order back that was taken and surely not sent.
    async fn give_back(&mut self, order: &StoredOrder, doubt: bool) -> Result<Line, Stopped> {
        let reason = "the process stood still before it sent the order";
        let event = if doubt { Event::Doubt } else { Event::NotExecuted };
        let now = self.context.clock.now();
        self.commit(order, &[(event, reason)], |a| {
            a.reason = Some(reason.to_owned());
            a.publish_at = Some(now);
            a.attempts = AttemptCount::GiveBack;
        })
        .await?;
        Ok(Line::Up)
    }

    pub(super) async fn commit(
        &mut self,
        order: &StoredOrder,
        events: &[(Event, &str)],
        set: impl Fn(&mut Advance),
    ) -> Result<(), Stopped> {
        let context = Arc::clone(&self.context);
        let calls = std::mem::take(&mut self.calls);
        let committed = context
            .until_done("storing what became of an order", &mut self.shutdown, || {
                context.advance(order, events.iter().copied(), WHO, |advance| {
                    set(advance);
                    advance.calls.clone_from(&calls);
                })
            })
            .await?;
        if !matches!(committed, Ok(Some(_))) {
            self.note(&order.id, &calls).await;
        }
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

    pub(super) async fn postpone(
        &mut self,
        order: &StoredOrder,
        until: jiff::Timestamp,
        reason: &str,
    ) -> Result<(), Stopped> {
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
        let calls = std::mem::take(&mut self.calls);
        self.note(&order.id, &calls).await;
        context.wake.orders_changed();
        Ok(())
    }

    /// Searches an order.
    pub(super) async fn find(&mut self, order: &StoredOrder, target: &Target) -> Found {
        let trail = Trail::default();
        let found = target.find(order, &trail, self.context.clock.as_ref()).await;
        let outcome = match &found {
            Found::Accepted { .. } => "accepted",
            Found::Submitted => "submitted",
            Found::Rejected { .. } => "rejected",
            Found::Doubtful { .. } => "doubtful",
            Found::Missing { .. } => "missing",
            Found::Failed { connection_down: true, .. } => "connection_down",
            Found::Failed { .. } => "failed",
        };
        self.keep(order, CallKind::Find, outcome, &trail);
        found
    }

    /// Keeps what was exchanged until it is stored with what it came to.
    fn keep(&mut self, order: &StoredOrder, kind: CallKind, outcome: &str, trail: &Trail) {
        let exchanges = trail.exchanges();
        if exchanges.is_empty() {
            return;
        }
        let number = match kind {
            CallKind::Create => i64::from(order.attempt),
            CallKind::Find => order.generation,
        };
        let at = self.context.clock.now();
        match serde_json::to_value(exchanges) {
            Ok(exchanges) => {
                let outcome = outcome.to_owned();
                self.calls.push(OrderCall { kind, number, attempt: order.attempt, at, outcome, exchanges });
            }
            Err(error) => tracing::warn!(order_id = order.id, %error, "what was exchanged cannot be kept"),
        }
    }

    /// Stores what was exchanged beside the order's state. It is no part of what must not be lost.
    async fn note(&self, order: &str, calls: &[OrderCall]) {
        if let Err(error) = self.context.store.note_calls(order, calls).await {
            tracing::warn!(order_id = order, %error, "what was exchanged over the order cannot be stored");
        }
    }

    /// Whether a person has told the connection's orders to wait, as the store says now.
    async fn is_paused(&mut self) -> Result<bool, Stopped> {
        let context = Arc::clone(&self.context);
        let read = context.until_done("reading the pauses", &mut self.shutdown, || context.read_pauses()).await?;
        if let Err(error) = read {
            tracing::error!(connection = self.connection, %error, "whether the connection is paused cannot be read");
        }
        Ok(context.told_to_wait.borrow().contains_key(&self.connection))
    }

    async fn bury_message(&mut self, message: &Message, reason: String) -> Result<Line, Stopped> {
        self.keep_letter(Some(message.clone()), serde_json::to_vec(message).unwrap_or_default(), reason).await
    }

    /// Keeps what is no message as a dead letter.
    pub async fn bury(&mut self, unreadable: Unreadable) -> Result<Line, Stopped> {
        self.keep_letter(None, unreadable.bytes, unreadable.reason).await
    }

    async fn keep_letter(&mut self, message: Option<Message>, bytes: Vec<u8>, reason: String) -> Result<Line, Stopped> {
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
