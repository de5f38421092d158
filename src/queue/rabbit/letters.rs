//! Consuming what is no message of an order's step: the orders that shops publish, and what the broker gave up.
//!
//! What does not live here: what is done about it (`api`, `orders`).

use std::time::Duration;

use async_trait::async_trait;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use tokio::sync::watch;

use super::super::QueueError;
use super::consumer::{Delivered, Deliveries};
use super::topology::{self, Wanted};
use super::{PATIENCE, Rabbit, good};

/// How long a broker, or a reader, that fails is left alone, at first and at the longest.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(15);

/// Which letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mailbox {
    /// Orders that shops publish.
    Orders,
    /// What the broker gave up.
    Dead,
}

/// What is done with the letters of a mailbox.
#[async_trait]
pub trait Reader: Send + Sync {
    /// Deals with a letter, which is acknowledged then. The same letter may come again.
    ///
    /// # Errors
    /// Why it cannot be dealt with now: it comes again once the reader is ready.
    async fn read(&self, letter: &Letter) -> Result<(), String>;

    /// Whether letters can be dealt with again.
    async fn ready(&self) -> bool;
}

/// The letters of a mailbox.
struct Letters(Deliveries);

/// A message as it was delivered, with what its publisher and the broker say about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Letter {
    /// What it says.
    pub bytes: Vec<u8>,
    properties: BasicProperties,
}

/// Why the broker gave a message up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenUp {
    /// The queue that it was in.
    pub queue: String,
    /// The broker's word for why, such as `delivery_limit`.
    pub reason: String,
}

impl Mailbox {
    fn queue(self) -> &'static str {
        match self {
            Self::Orders => topology::ORDERS_IN,
            Self::Dead => topology::DEAD,
        }
    }
}

impl Rabbit {
    /// Begins to consume a mailbox, at most `prefetch` letters of it unacknowledged.
    async fn letters(&self, mailbox: Mailbox, prefetch: usize) -> Result<Letters, QueueError> {
        let session = self.consuming.wait(PATIENCE).await?;
        // Whoever removed the queue removed its binding, too.
        let parts: &[&str] = match mailbox {
            Mailbox::Orders => &[topology::ORDERS_IN, topology::ORDERS],
            Mailbox::Dead => &[topology::DEAD],
        };
        for wanted in parts.iter().filter_map(|name| Wanted::of_name(name)) {
            good(wanted.declare(&session.connection).await?)?;
        }
        Ok(Letters(Deliveries::begin(&session, mailbox.queue(), prefetch).await?))
    }

    /// Has a mailbox read until the shutdown, over every failure of broker and reader.
    pub async fn serve(
        &self,
        mailbox: Mailbox,
        prefetch: usize,
        reader: &dyn Reader,
        mut shutdown: watch::Receiver<bool>,
    ) {
        let queue = mailbox.queue();
        let mut wait = FIRST;
        let mut told = String::new();
        while !*shutdown.borrow() {
            let failure = match self.letters(mailbox, prefetch).await {
                Ok(letters) => {
                    let begun = std::time::Instant::now();
                    let failure = letters.serve(reader, &mut shutdown).await;
                    if begun.elapsed() > LONGEST {
                        (wait, told) = (FIRST, String::new());
                    }
                    failure
                }
                Err(error) => Some(Failure::Broker(error)),
            };
            let Some(failure) = failure else { return };
            // The same failure is not told again and again.
            if told != failure.to_string() {
                told = failure.to_string();
                tracing::error!(queue, "letters wait: {told}; it is tried again until it works");
            }
            loop {
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    _ = shutdown.wait_for(|stop| *stop) => return,
                }
                wait = (wait * 2).min(LONGEST);
                // Each delivery counts for the broker, so nothing is delivered that cannot be dealt with.
                if matches!(failure, Failure::Broker(_)) || reader.ready().await {
                    break;
                }
            }
        }
    }
}

/// Why letters wait.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Broker(#[from] QueueError),
    #[error("{0}")]
    Reader(String),
}

impl Letters {
    /// Has them read until the shutdown, or until something fails. What is not acknowledged is delivered again.
    async fn serve(mut self, reader: &dyn Reader, shutdown: &mut watch::Receiver<bool>) -> Option<Failure> {
        loop {
            let delivered = tokio::select! {
                biased;
                _ = shutdown.wait_for(|stop| *stop) => return None,
                delivered = self.0.next() => delivered,
            };
            let Delivered { bytes, properties, tag } = match delivered {
                Ok(delivered) => delivered,
                Err(error) => return Some(error.into()),
            };
            if let Err(reason) = reader.read(&Letter { bytes, properties }).await {
                return Some(Failure::Reader(reason));
            }
            if let Err(error) = self.0.ack(tag).await {
                return Some(error.into());
            }
        }
    }
}

impl Letter {
    /// The user who published it, whom the broker has checked (`user-id`).
    pub fn user(&self) -> Option<&str> {
        self.properties.user_id().as_ref().map(ShortString::as_str)
    }

    /// The queue where its publisher waits for an answer.
    pub fn reply_to(&self) -> Option<&str> {
        self.properties.reply_to().as_ref().map(ShortString::as_str)
    }

    /// By what the publisher recognises the answer.
    pub fn correlation_id(&self) -> Option<&str> {
        self.properties.correlation_id().as_ref().map(ShortString::as_str)
    }

    /// A header by its name in small letters, whatever the letters of the header. Nothing where there is none; an error
    /// where it is no text.
    ///
    /// # Errors
    /// The header is no text.
    pub fn header(&self, name: &str) -> Result<Option<&str>, NoText> {
        let Some(headers) = self.properties.headers() else { return Ok(None) };
        let found = headers.inner().iter().find(|(key, _)| key.as_str().eq_ignore_ascii_case(name));
        found.map_or(Ok(None), |(_, value)| text(value).map(Some).ok_or(NoText))
    }

    /// Why the broker gave it up, the last time that it did.
    pub fn given_up(&self) -> Option<GivenUp> {
        let deaths = self.properties.headers().as_ref()?.inner().get("x-death")?.as_array()?;
        let death = deaths.as_slice().first()?.as_field_table()?;
        let of = |table: &FieldTable, key: &str| table.inner().get(key).and_then(text).map(str::to_owned);
        Some(GivenUp { queue: of(death, "queue")?, reason: of(death, "reason").unwrap_or_default() })
    }
}

/// A header that is no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the header is no text")]
pub struct NoText;

fn text(value: &AMQPValue) -> Option<&str> {
    match value {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok(),
        AMQPValue::ShortString(text) => Some(text.as_str()),
        _ => None,
    }
}
