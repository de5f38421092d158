//! Publishing what is no message of an order's step: events, and answers to what shops publish.
//!
//! Events carry the attributes of `CloudEvents` 1.0 as headers: <https://github.com/cloudevents/spec>. What does not live
//! here: which events there are (`orders`, `publish`), and what is answered (`api`).

use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, PublisherConfirm};

use super::super::QueueError;
use super::topology::{self, Wanted};
use super::{PATIENCE, PERSISTENT, Rabbit, confirming, good, in_time};

/// Where the broker answers who publishes and consumes on one channel; it counts as no queue.
/// <https://www.rabbitmq.com/docs/direct-reply-to>
const DIRECT: &str = "amq.rabbitmq.reply-to";

/// How long a connection is waited for that is about to come up.
const SOON: Duration = Duration::from_secs(3);

/// Something that happened, told to whoever wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its identifier: the same event told again has the same one.
    pub id: String,
    /// Where it happened, as a URI reference; together with the identifier it is unique.
    pub source: String,
    /// What kind of event it is.
    pub kind: String,
    /// What it is about.
    pub subject: String,
    /// When it happened.
    pub time: Timestamp,
    /// By what it finds those who want it.
    pub routing_key: String,
    /// What there is to say, as JSON.
    pub data: Vec<u8>,
}

/// An answer to a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The queue where it is waited for.
    pub to: &'a str,
    /// By what it is recognised.
    pub correlation_id: Option<&'a str>,
    /// What it is written in.
    pub content_type: &'static str,
    /// The status, as HTTP has it.
    pub status: u16,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// What it says.
    pub body: Vec<u8>,
}

/// Where an answer went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    /// To the queue.
    Yes,
    /// Nowhere: there is no such queue.
    NoQueue,
    /// To whoever waits, if anybody does; the broker does not say.
    Untold,
}

impl Rabbit {
    /// Publishes events in their order. Says how many of them, from the first on, are confirmed.
    ///
    /// # Errors
    /// Where the broker is not there or takes none; then some of them may have been published.
    pub async fn tell(&self, events: &[Event]) -> Result<usize, QueueError> {
        self.publishing.wait(SOON).await?;
        let session = self.publishing_session()?;
        let mut held = self.telling.lock().await;
        let open = held.take().filter(|(number, channel)| usable(*number, channel, session.number));
        let channel = if let Some((_, channel)) = open {
            channel
        } else {
            if let Some(wanted) = Wanted::of_name(topology::EVENTS) {
                good(wanted.declare(&session.connection).await?)?;
            }
            confirming(&session).await?
        };
        let mut sent: Vec<PublisherConfirm> = Vec::with_capacity(events.len());
        for event in events {
            let key = short(&event.routing_key)?;
            let options = BasicPublishOptions::default();
            let publish =
                channel.basic_publish(topology::EVENTS.into(), key, options, &event.data, event.properties()?);
            sent.push(in_time("publishing", publish).await?);
        }
        let confirms = confirmed(sent).await?;
        // Only a channel whose confirms are all known is used again.
        *held = Some((session.number, channel));
        Ok(confirms.iter().take_while(|confirm| matches!(confirm, Confirmation::Ack(_))).count())
    }

    /// Publishes an answer to the queue where it is waited for.
    ///
    /// # Errors
    /// Where the broker is not there or takes none; where the queue cannot have that name.
    pub async fn answer(&self, answer: &Answer<'_>) -> Result<Delivered, QueueError> {
        let direct = answer.to.starts_with(DIRECT);
        // It may be about to come back, like the connection that the letter came by.
        self.publishing.wait(SOON).await?;
        let session = self.publishing_session()?;
        let mut held = self.answering.lock().await;
        let channel = match held.take().filter(|(number, channel)| usable(*number, channel, session.number)) {
            Some((_, channel)) => channel,
            None => confirming(&session).await?,
        };
        let mut headers = FieldTable::default();
        headers.insert("status".into(), AMQPValue::LongInt(answer.status.into()));
        for (name, value) in &answer.headers {
            headers.insert((*name).into(), AMQPValue::LongString(value.as_str().into()));
        }
        let mut properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_content_type(answer.content_type.into())
            .with_headers(headers);
        if let Some(id) = answer.correlation_id {
            properties = properties.with_correlation_id(short(id)?);
        }
        // What finds no queue comes back, but it is not sent again: nobody waits for it.
        let options = BasicPublishOptions { mandatory: !direct, ..BasicPublishOptions::default() };
        let publish = channel.basic_publish("".into(), short(answer.to)?, options, &answer.body, properties);
        let sent = in_time("publishing", publish).await?;
        let confirm = confirmed(vec![sent]).await?.pop();
        *held = Some((session.number, channel));
        match confirm {
            Some(Confirmation::Ack(None)) if direct => Ok(Delivered::Untold),
            Some(Confirmation::Ack(None)) => Ok(Delivered::Yes),
            Some(Confirmation::Ack(Some(_))) => Ok(Delivered::NoQueue),
            _ => Err(QueueError::Unavailable(format!("the broker does not take an answer for {}", answer.to))),
        }
    }
}

impl Event {
    fn properties(&self) -> Result<BasicProperties, QueueError> {
        let time = self.time.to_string();
        let mut headers = FieldTable::default();
        for (attribute, value) in [
            ("cloudEvents:specversion", "1.0"),
            ("cloudEvents:id", &self.id),
            ("cloudEvents:source", &self.source),
            ("cloudEvents:type", &self.kind),
            ("cloudEvents:subject", &self.subject),
            ("cloudEvents:time", &time),
            ("cloudEvents:datacontenttype", "application/json"),
        ] {
            headers.insert(attribute.into(), AMQPValue::LongString(value.into()));
        }
        Ok(BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_content_type("application/json".into())
            .with_message_id(short(&self.id)?)
            .with_headers(headers))
    }
}

/// Whether a channel belongs to the session and is open.
fn usable(number: u64, channel: &Channel, session: u64) -> bool {
    number == session && channel.status().connected()
}

async fn confirmed(sent: Vec<PublisherConfirm>) -> Result<Vec<Confirmation>, QueueError> {
    let confirms = tokio::time::timeout(PATIENCE, join_all(sent)).await.map_err(|_| QueueError::late("a confirm"))?;
    confirms.into_iter().collect::<lapin::Result<_>>().map_err(QueueError::other)
}

fn short(text: &str) -> Result<ShortString, QueueError> {
    ShortString::try_new(text).map_err(QueueError::other)
}
