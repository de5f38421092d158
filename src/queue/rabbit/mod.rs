//! The queue in a RabbitMQ broker: durable, shared by several daemons, with publisher confirms.
//!
//! The store stays the authority: what the broker loses is published again from the outbox, what it delivers twice has no
//! effect the second time. Publications and deliveries go over a connection each, since a broker short of memory or space
//! stops reading from those who publish.
//!
//! What does not live here: what must be there in the broker (`topology`) and keeping a connection up (`link`).

mod consumer;
mod greeting;
mod letters;
mod link;
mod post;
pub mod survey;
pub mod topology;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, PublisherConfirm};
use tokio::sync::{Mutex, watch};

use super::{Consumer, Queue, QueueError, Wake};
use crate::config::{BrokerUrl, QueueSettings};
use crate::store::Message;
use consumer::{Deliveries, RabbitConsumer};
use link::{Address, Link, Session};
use topology::{Condition, Part};

pub use letters::{GivenUp, Letter, Mailbox, NoText, Reader};
pub use post::{Answer, Delivered, Event};

/// How long the broker may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A message survives a restart of the broker.
const PERSISTENT: u8 = 2;

/// The queue in a RabbitMQ broker.
#[derive(Debug)]
pub struct Rabbit {
    publishing: Arc<Link>,
    consuming: Arc<Link>,
    /// The channel that is published on, and the number of its session.
    channel: Mutex<Option<(u64, Channel)>>,
    /// The same for events, and for answers: what ends one channel is no matter of the others.
    telling: Mutex<Option<(u64, Channel)>>,
    answering: Mutex<Option<(u64, Channel)>>,
    wake: Arc<Wake>,
}

impl Rabbit {
    /// The queue in this broker, once [`Queue::run`] has connected to it. `wake` is told when it can be published again.
    ///
    /// # Errors
    /// Where the file of certificates cannot be read.
    pub fn new(settings: &QueueSettings, url: &BrokerUrl, wake: Arc<Wake>) -> Result<Self, QueueError> {
        let address = Arc::new(Address::new(settings, url)?);
        Ok(Self {
            publishing: Arc::new(Link::new(Arc::clone(&address), "publishing", true)),
            consuming: Arc::new(Link::new(address, "consuming", false)),
            channel: Mutex::default(),
            telling: Mutex::default(),
            answering: Mutex::default(),
            wake,
        })
    }

    /// Publishes on the channel of the session, which is made where there is none. Says how many from the first on are
    /// confirmed, and whether their queue was missing; then it is made.
    async fn publish_on(
        &self,
        session: &Session,
        connection: &str,
        messages: &[Message],
    ) -> Result<(usize, bool), QueueError> {
        let mut held = self.channel.lock().await;
        let usable = |(number, channel): &(u64, Channel)| *number == session.number && channel.status().connected();
        let channel =
            if let Some((_, channel)) = held.take().filter(usable) { channel } else { confirming(session).await? };
        let queue = ShortString::try_new(topology::work(connection)).map_err(QueueError::other)?;
        let mut sent: Vec<PublisherConfirm> = Vec::with_capacity(messages.len());
        for message in messages {
            let body = serde_json::to_vec(message).map_err(QueueError::other)?;
            let id = ShortString::try_new(format!("{}/{}", message.order, message.generation));
            let properties = BasicProperties::default()
                .with_delivery_mode(PERSISTENT)
                .with_content_type("application/json".into())
                .with_message_id(id.map_err(QueueError::other)?);
            // Mandatory: without its queue a message comes back instead of being lost in silence.
            let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
            let publish = channel.basic_publish("".into(), queue.clone(), options, &body, properties);
            sent.push(in_time("publishing", publish).await?);
        }
        let confirms =
            tokio::time::timeout(PATIENCE, join_all(sent)).await.map_err(|_| QueueError::late("a confirm"))?;
        let confirms: Vec<Confirmation> =
            confirms.into_iter().collect::<lapin::Result<_>>().map_err(QueueError::other)?;
        *held = Some((session.number, channel));
        drop(held);
        // Only what is confirmed from the first message on counts; what comes after is published twice at worst.
        let confirmed = confirms.iter().take_while(|confirm| matches!(confirm, Confirmation::Ack(None))).count();
        // What comes back found no queue.
        let missing = matches!(confirms.get(confirmed), Some(Confirmation::Ack(Some(_))));
        if missing {
            tracing::warn!(queue = queue.as_str(), "the queue was missing; it is made anew");
            self.declare(session, connection).await?;
        }
        Ok((confirmed, missing))
    }

    /// The connection that is published on, while the broker takes publications.
    fn publishing_session(&self) -> Result<Arc<Session>, QueueError> {
        let session = self.publishing.session()?;
        if let Some(reason) = session.blocked() {
            return Err(QueueError::Unavailable(format!(
                "the broker takes no publications ({reason}); see its memory and its disk"
            )));
        }
        Ok(session)
    }

    /// Sees to it that a connection's queue is there, as it must be.
    async fn declare(&self, session: &Session, connection: &str) -> Result<(), QueueError> {
        good(topology::Wanted::of_work(connection).declare(&session.connection).await?)
    }
}

/// A part of the topology that can be worked with.
fn good(part: Part) -> Result<(), QueueError> {
    match part.condition {
        Condition::Good | Condition::Unseen => Ok(()),
        Condition::Missing | Condition::Wrong => {
            Err(QueueError::Topology { name: part.name, message: part.message.unwrap_or_default() })
        }
    }
}

#[async_trait]
impl Queue for Rabbit {
    fn durable(&self) -> bool {
        true
    }

    async fn run(&self, connections: watch::Receiver<Vec<String>>, shutdown: watch::Receiver<bool>) {
        let wake = Arc::clone(&self.wake);
        tokio::join!(
            self.publishing.run(connections.clone(), shutdown.clone(), move || wake.room()),
            self.consuming.run(connections, shutdown, || {}),
        );
    }

    async fn publish(&self, connection: &str, messages: &[Message]) -> Result<usize, QueueError> {
        if messages.is_empty() {
            return Ok(0);
        }
        let session = self.publishing_session()?;
        if let Some(fault) = session.fault(Some(&topology::work(connection))) {
            return Err(fault);
        }
        // After a failure the channel's confirms are not known: `held` is left empty, and the next one begins anew.
        let (confirmed, missing) = self.publish_on(&session, connection, messages).await?;
        if confirmed > 0 || !missing {
            return Ok(confirmed);
        }
        // The queue is there now.
        Ok(self.publish_on(&session, connection, messages).await?.0)
    }

    async fn consume(&self, connection: &str, prefetch: usize) -> Result<Box<dyn Consumer>, QueueError> {
        let session = self.consuming.wait(PATIENCE).await?;
        self.declare(&session, connection).await?;
        let deliveries = Deliveries::begin(&session, &topology::work(connection), prefetch).await?;
        Ok(Box::new(RabbitConsumer(deliveries)))
    }

    async fn depth(&self, connection: &str) -> Result<usize, QueueError> {
        let session = self.consuming.session()?;
        let channel = topology::channel(&session.connection).await?;
        let queue = ShortString::try_new(topology::work(connection)).map_err(QueueError::other)?;
        let options = QueueDeclareOptions { passive: true, durable: true, ..QueueDeclareOptions::default() };
        let queue =
            in_time("asking for the depth", channel.queue_declare(queue, options, FieldTable::default())).await?;
        topology::close(&channel).await;
        usize::try_from(queue.message_count()).map_err(QueueError::other)
    }

    fn describe(&self) -> String {
        self.publishing.describe()
    }

    fn broker(&self) -> Option<&Rabbit> {
        Some(self)
    }
}

/// A channel whose publications are confirmed.
async fn confirming(session: &Session) -> Result<Channel, QueueError> {
    let channel = topology::channel(&session.connection).await?;
    in_time("asking for confirms", channel.confirm_select(ConfirmSelectOptions::default())).await?;
    Ok(channel)
}

/// What the broker answers in time.
async fn in_time<T>(what: &'static str, asked: impl Future<Output = lapin::Result<T>>) -> Result<T, QueueError> {
    tokio::time::timeout(PATIENCE, asked).await.map_err(|_| QueueError::late(what))?.map_err(QueueError::other)
}
