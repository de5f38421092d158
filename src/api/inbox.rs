//! Orders that shops publish to the broker: the same content, the same judgement and the same answers as those of
//! `POST /v1/orders`.
//!
//! The shop is the one whose user published the message, whom the broker has checked (`user-id`). A message is
//! acknowledged once its order is committed; a refusal is told to its shop, or kept as a dead letter. What cannot be read
//! is kept as a dead letter in any case.

use std::sync::Arc;

use async_trait::async_trait;
use axum::http::header;
use jiff::Timestamp;
use tokio::sync::watch;
use uuid::Uuid;

use super::orders::{self, IDEMPOTENCY_KEY, REPEATED, TakenIn};
use super::problem::{self, MEDIA_TYPE, Problem};
use super::{body, respond};
use crate::config::{Config, Shop};
use crate::orders::{Intake, IntakeError};
use crate::queue::Queue;
use crate::queue::rabbit::{Answer, Delivered, Letter, Mailbox, Reader};
use crate::store::{DeadLetter, Store, StoreError};

/// Orders that are held unacknowledged.
const PREFETCH: usize = 32;

/// What the names of the queues begin with that answers do not go to.
const OWN: &str = "tradebridge.";

/// Takes in the orders that shops publish to the broker.
#[derive(Clone)]
pub struct Inbox {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// The configuration in force.
    pub config: watch::Receiver<Arc<Config>>,
    /// What takes in orders.
    pub intake: Arc<Intake>,
    /// The queue, which may be in a broker.
    pub queue: Arc<dyn Queue>,
}

/// Why an order was not taken in.
enum Refused {
    /// It is not acceptable: what its shop is told.
    Order(Problem),
    /// It cannot be told what it is, or whose.
    Unreadable(Problem),
    /// Nothing can be taken in now.
    NotNow(StoreError),
}

impl Inbox {
    /// Takes in orders until the shutdown.
    pub async fn run(self, mut shutdown: watch::Receiver<bool>) {
        match self.queue.broker() {
            Some(broker) => broker.serve(Mailbox::Orders, PREFETCH, &self, shutdown).await,
            None => {
                // Nothing comes; an error is one of reading the result, which is that the daemon stops.
                let _ = shutdown.wait_for(|stop| *stop).await;
            }
        }
    }

    async fn take_in(&self, letter: &Letter) -> Result<TakenIn, Refused> {
        let (shop, most) = {
            let config = self.config.borrow();
            (shop_of(&config, letter).map_err(Refused::Unreadable)?, config.api.max_body.bytes())
        };
        if letter.bytes.len() as u64 > most {
            let detail = format!("the body is larger than the {most} bytes that are taken");
            return Err(Refused::Unreadable(Problem::new(problem::BODY_TOO_LARGE, detail)));
        }
        let posted = body::parse(&letter.bytes).map_err(Refused::Unreadable)?;
        let key = letter.header(IDEMPOTENCY_KEY).map_err(|_| Refused::Order(orders::unreadable_key()))?;
        // As a header of HTTP must be.
        if key.is_some_and(|key| key.chars().any(|c| !matches!(c, ' '..='~' | '\t'))) {
            return Err(Refused::Order(orders::unreadable_key()));
        }
        match self.intake.accept(&shop, posted, key).await {
            Ok(accepted) => {
                tracing::info!(order_id = accepted.order.id, repeated = accepted.repeated, "order taken in by message");
                TakenIn::of(accepted).map_err(Refused::Order)
            }
            Err(IntakeError::Store(error @ (StoreError::Unreadable { .. } | StoreError::Damaged { .. }))) => {
                Err(Refused::Order(error.into()))
            }
            Err(IntakeError::Store(error)) => Err(Refused::NotNow(error)),
            Err(error) => Err(Refused::Order(error.into())),
        }
    }

    /// Answers the publisher, where it waits for an answer. Otherwise, why it does not know.
    async fn answer(&self, letter: &Letter, answered: Answered) -> Result<(), String> {
        let Some(to) = letter.reply_to() else { return Err("it named no queue for an answer (`reply-to`)".to_owned()) };
        if to.starts_with(OWN) {
            return Err(format!("it named {to} for an answer, which is none of its own queues"));
        }
        let Some(broker) = self.queue.broker() else { return Err("there is no broker".to_owned()) };
        let Answered { status, content_type, headers, body } = answered;
        let correlation_id = letter.correlation_id();
        let answer = Answer { to, correlation_id, content_type, status, headers, body: body.into_bytes() };
        match broker.answer(&answer).await {
            Ok(Delivered::Yes | Delivered::Untold) => Ok(()),
            Ok(Delivered::NoQueue) => Err(format!("the queue {to}, where it waited for an answer, is gone")),
            Err(error) => Err(format!("the answer for {to} could not be published: {error}")),
        }
    }

    /// Keeps a letter as a dead letter.
    async fn bury(&self, letter: &Letter, reason: String) -> Result<(), String> {
        let most = usize::try_from(self.config.borrow().api.max_body.bytes()).unwrap_or(usize::MAX);
        let dead = DeadLetter {
            id: Uuid::now_v7().to_string(),
            // It is for no connection yet.
            connection: String::new(),
            message: None,
            bytes: letter.bytes.iter().take(most).copied().collect(),
            reason,
            at: Timestamp::now(),
        };
        self.store.bury(&dead).await.map_err(|error| error.to_string())?;
        tracing::error!(reason = dead.reason, "a message was no order; `tradebridge dead show {}` shows it", dead.id);
        Ok(())
    }
}

#[async_trait]
impl Reader for Inbox {
    async fn read(&self, letter: &Letter) -> Result<(), String> {
        match self.take_in(letter).await {
            Ok(taken) => {
                let named = letter.reply_to().is_some();
                // The order is stored, whatever its shop knows of it.
                if let (Err(why), true) = (self.answer(letter, taken.into()).await, named) {
                    tracing::warn!("an order was taken in and its shop could not be told: {why}");
                }
                Ok(())
            }
            Err(Refused::NotNow(error)) => Err(error.to_string()),
            Err(Refused::Unreadable(refusal)) => {
                self.bury(letter, format!("{}: {}", from(letter), refusal.detail())).await?;
                if let Err(why) = self.answer(letter, refusal.into()).await {
                    tracing::debug!("the publisher does not know: {why}");
                }
                Ok(())
            }
            Err(Refused::Order(refusal)) => {
                let detail = refusal.detail().to_owned();
                let Err(why) = self.answer(letter, refusal.into()).await else { return Ok(()) };
                // A refusal that nobody hears of would be an order that is lost.
                self.bury(letter, format!("{}, who could not be told ({why}): {detail}", from(letter))).await
            }
        }
    }

    async fn ready(&self) -> bool {
        self.store.head().await.is_ok()
    }
}

/// An answer as it is written.
struct Answered {
    status: u16,
    content_type: &'static str,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl From<TakenIn> for Answered {
    fn from(taken: TakenIn) -> Self {
        let mut headers = vec![(header::LOCATION.as_str(), taken.location)];
        if taken.repeated {
            headers.push((REPEATED, "true".to_owned()));
        }
        Self { status: 202, content_type: "application/json", headers, body: taken.body }
    }
}

impl From<Problem> for Answered {
    fn from(problem: Problem) -> Self {
        let details = problem.details();
        let status = details.status;
        let body = respond::json(&details).unwrap_or_default();
        Self { status, content_type: MEDIA_TYPE, headers: Vec::new(), body }
    }
}

/// The shop whose user published a letter.
fn shop_of(config: &Config, letter: &Letter) -> Result<Shop, Problem> {
    let Some(user) = letter.user() else {
        let detail = "the message does not say who published it; set its property `user-id` to the user that you log in to \
                      the broker with";
        return Err(Problem::new(problem::UNAUTHORIZED, detail));
    };
    let found = config.shops.iter().find(|shop| shop.broker_user.as_deref() == Some(user));
    found.cloned().ok_or_else(|| {
        let detail = format!("the broker's user {user} is no shop; `broker_user` in [[shop]] says which user is one");
        Problem::new(problem::FORBIDDEN, detail)
    })
}

/// Who published a letter, for people.
fn from(letter: &Letter) -> String {
    letter
        .user()
        .map_or_else(|| "an order of nobody".to_owned(), |user| format!("an order of the broker's user {user}"))
}
