//! What must be there in the broker: queues and exchanges, of which kind and with which arguments; declaring and checking
//! them.
//!
//! Written for RabbitMQ 3.10 to 4.x. Quorum queues: <https://www.rabbitmq.com/docs/quorum-queues>. Nothing rests on how
//! often a message was delivered, which versions count differently: attempts are counted in the store.
//!
//! What does not live here: the connection itself (`link`).

use std::future::Future;

use lapin::options::{
    ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Connection, ErrorKind, ExchangeKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::QueueError;
use super::in_time;

/// The queue of what was delivered too often.
pub const DEAD: &str = "tradebridge.dead";

/// The queue of the orders that shops publish.
pub const ORDERS_IN: &str = "tradebridge.orders.in";

/// The exchange that shops publish orders to: a right to write to it is one to nothing else, as one to the default
/// exchange would be.
pub const ORDERS: &str = "tradebridge.orders";

/// The exchange of events.
pub const EVENTS: &str = "tradebridge.events";

/// How often a message is delivered again whose consumer vanished, before it goes to the dead letters: a message that
/// ends every process that reads it must not do so for ever.
const DELIVERIES: i64 = 20;

/// A queue or an exchange that must be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    kind: Kind,
}

/// What a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A quorum queue of a connection's work, which is published again from the store.
    Work,
    /// A quorum queue of what shops publish, which is nowhere else.
    Intake,
    /// A quorum queue of what the others gave up, from which nothing is given up.
    Dead,
    /// An exchange that leads all it gets to the queue of orders.
    Orders,
    /// An exchange from which everyone gets what matches.
    Events,
}

/// How a part of the topology is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// It is there, as it must be.
    Good,
    /// It is there; whether it is as it must be could not be seen.
    Unseen,
    /// It is not there.
    Missing,
    /// It is there and is otherwise than it must be.
    Wrong,
}

/// A part of the topology as it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// How it is.
    pub condition: Condition,
    /// What is wrong, in the broker's words, and what to do.
    pub message: Option<String>,
    /// Messages that wait in it.
    pub messages: Option<u32>,
    /// Those who consume from it.
    pub consumers: Option<u32>,
}

/// What the name of each queue of work begins with.
const WORK: &str = "tradebridge.orders.work.";

/// The queue of a connection's work.
pub fn work(connection: &str) -> String {
    format!("{WORK}{connection}")
}

/// The connection whose work is in a queue.
pub fn connection_of(queue: &str) -> Option<&str> {
    queue.strip_prefix(WORK)
}

/// All that must be there for these connections; the target of what leads to it before that.
pub fn wanted(connections: &[String]) -> Vec<Wanted> {
    let mut wanted = [(DEAD, Kind::Dead), (ORDERS_IN, Kind::Intake), (ORDERS, Kind::Orders), (EVENTS, Kind::Events)]
        .map(|(name, kind)| Wanted { name: name.to_owned(), kind })
        .to_vec();
    wanted.extend(connections.iter().map(|connection| Wanted::of_work(connection)));
    wanted
}

impl Wanted {
    /// The queue of a connection's work.
    pub fn of_work(connection: &str) -> Self {
        Self { name: work(connection), kind: Kind::Work }
    }

    /// The part of this name, which is one of those that are there whatever the connections.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        wanted(&[]).into_iter().find(|wanted| wanted.name == name)
    }

    /// Declares it where it is missing, and finds out how it is.
    ///
    /// # Errors
    /// Where the broker does not answer.
    pub async fn declare(&self, connection: &Connection) -> Result<Part, QueueError> {
        let part = self.compare(connection).await?;
        if self.kind == Kind::Orders
            && part.condition == Condition::Good
            && let Err(Refused { words, .. }) = self.bind(connection).await?
        {
            let message = format!(
                "what is published to it does not reach {ORDERS_IN}: it cannot be bound ({words}); let a user bind it \
                 who may, or give this one the right"
            );
            return Ok(self.part(Condition::Wrong, Some(message), None));
        }
        Ok(part)
    }

    /// Declares it: of what is there, this finds out whether it is as it must be.
    async fn compare(&self, connection: &Connection) -> Result<Part, QueueError> {
        match self.ask(connection, false).await? {
            Err(Refused { access: true, words }) => {
                // Who may not declare may still use what others have declared.
                let part = self.look(connection).await?;
                let message = match part.condition {
                    Condition::Missing => format!("{words}; let a user declare it who may, or give this one the right"),
                    _ => format!("this user may not declare it, so how it is cannot be seen ({words})"),
                };
                Ok(Part { message: Some(message), ..part })
            }
            Err(refused) => Ok(self.wrong(&refused.words)),
            Ok(counts) => Ok(self.part(Condition::Good, None, counts)),
        }
    }

    /// Leads what is published to the exchange to the queue of orders.
    async fn bind(&self, connection: &Connection) -> Result<Result<(), Refused>, QueueError> {
        let channel = channel(connection).await?;
        let options = QueueBindOptions::default();
        let bound = channel.queue_bind(ORDERS_IN.into(), ORDERS.into(), "".into(), options, FieldTable::default());
        answered(&channel, "a binding", bound).await
    }

    /// Finds out how it is, and changes nothing.
    ///
    /// # Errors
    /// Where the broker does not answer.
    pub async fn check(&self, connection: &Connection) -> Result<Part, QueueError> {
        let part = self.look(connection).await?;
        // A declaration of what is there only compares.
        if part.condition == Condition::Missing { Ok(part) } else { self.compare(connection).await }
    }

    /// Removes a part that is otherwise than it must be, and declares it anew. The orders' work that a queue held is
    /// published again from the store; a queue of anything else must be empty.
    ///
    /// # Errors
    /// Where the broker does not answer, or refuses; where messages would be lost.
    pub async fn replace(&self, connection: &Connection) -> Result<Part, QueueError> {
        let waiting = self.look(connection).await?.messages.unwrap_or(0);
        if matches!(self.kind, Kind::Intake | Kind::Dead) && waiting > 0 {
            let message =
                format!("{waiting} messages wait in it, which are nowhere else; move them to another queue first");
            return Err(QueueError::Topology { name: self.name.clone(), message });
        }
        let channel = channel(connection).await?;
        let name = ShortString::try_new(self.name.as_str()).map_err(QueueError::other)?;
        if self.exchange().is_some() {
            in_time("removing an exchange", channel.exchange_delete(name, ExchangeDeleteOptions::default())).await?;
        } else {
            in_time("removing a queue", channel.queue_delete(name, QueueDeleteOptions::default())).await?;
        }
        close(&channel).await;
        self.declare(connection).await
    }

    /// Whether it is there.
    async fn look(&self, connection: &Connection) -> Result<Part, QueueError> {
        Ok(match self.ask(connection, true).await? {
            Ok(counts) => self.part(Condition::Unseen, None, counts),
            Err(Refused { access: true, words }) => self.part(Condition::Unseen, Some(words), None),
            Err(_) => {
                let message = "it is missing; `tradebridge broker declare` makes it".to_owned();
                self.part(Condition::Missing, Some(message), None)
            }
        })
    }

    /// Asks for it, on a channel of its own. A queue tells how many messages it has, and how many consumers.
    async fn ask(
        &self,
        connection: &Connection,
        passive: bool,
    ) -> Result<Result<Option<(u32, u32)>, Refused>, QueueError> {
        let channel = channel(connection).await?;
        let name = ShortString::try_new(self.name.as_str()).map_err(QueueError::other)?;
        if let Some(kind) = self.exchange() {
            let options = ExchangeDeclareOptions { passive, durable: true, ..ExchangeDeclareOptions::default() };
            let declared = channel.exchange_declare(name, kind, options, FieldTable::default());
            return Ok(answered(&channel, "a declaration", declared).await?.map(|()| None));
        }
        let options = QueueDeclareOptions { passive, durable: true, ..QueueDeclareOptions::default() };
        let declared = channel.queue_declare(name, options, arguments(self.kind != Kind::Dead));
        let asked = answered(&channel, "a declaration", declared).await?;
        Ok(asked.map(|queue| Some((queue.message_count(), queue.consumer_count()))))
    }

    /// What kind of exchange it is, if one.
    fn exchange(&self) -> Option<ExchangeKind> {
        match self.kind {
            Kind::Work | Kind::Intake | Kind::Dead => None,
            Kind::Orders => Some(ExchangeKind::Fanout),
            Kind::Events => Some(ExchangeKind::Topic),
        }
    }

    fn wrong(&self, words: &str) -> Part {
        let then = match self.kind {
            Kind::Work => "orders are published to it again from the store",
            Kind::Intake | Kind::Dead => "once no message waits in it",
            Kind::Orders => "what shops publish meanwhile comes back to them",
            Kind::Events => "who gets events binds his queue to it again",
        };
        let message = format!(
            "it is otherwise than it must be ({words}); `tradebridge broker declare --replace {}` removes it and makes it \
             anew, {then}",
            self.name.as_str()
        );
        self.part(Condition::Wrong, Some(message), None)
    }

    fn part(&self, condition: Condition, message: Option<String>, counts: Option<(u32, u32)>) -> Part {
        Part {
            name: self.name.clone(),
            condition,
            message,
            messages: counts.map(|(messages, _)| messages),
            consumers: counts.map(|(_, consumers)| consumers),
        }
    }
}

/// A queue that is there and for which the broker does not answer. Its members are written down some seconds after it was
/// made: a broker that is killed before knows the queue and not who leads it, for ever.
pub(super) fn silent(name: &str) -> QueueError {
    let message = format!(
        "it is there, and the broker does not answer for it: too few of its nodes are up, or it lost its leader, as when the \
         broker is killed right after the queue was made. Where all nodes are up, `tradebridge broker declare --replace \
         {name}` removes it and makes it anew, orders are published to it again from the store"
    );
    QueueError::Topology { name: name.to_owned(), message }
}

/// What the broker said no to.
struct Refused {
    /// The user may not.
    access: bool,
    words: String,
}

impl Refused {
    fn of(error: &lapin::Error) -> Option<Self> {
        let ErrorKind::ProtocolError(error) = error.kind() else { return None };
        let AMQPErrorKind::Soft(soft) = error.kind() else { return None };
        Some(Self { access: *soft == AMQPSoftError::ACCESSREFUSED, words: error.get_message().to_string() })
    }
}

/// What a quorum queue is declared with. At-least-once dead-lettering needs an overflow that refuses.
/// <https://www.rabbitmq.com/docs/quorum-queues#dead-lettering>
fn arguments(dead_letters: bool) -> FieldTable {
    let text = |text: &str| AMQPValue::LongString(text.into());
    let mut table = FieldTable::default();
    table.insert("x-queue-type".into(), text("quorum"));
    if dead_letters {
        table.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(DELIVERIES));
        table.insert("x-overflow".into(), text("reject-publish"));
        table.insert("x-dead-letter-strategy".into(), text("at-least-once"));
        // The default exchange leads to the queue of the routing key's name.
        table.insert("x-dead-letter-exchange".into(), text(""));
        table.insert("x-dead-letter-routing-key".into(), text(DEAD));
    }
    table
}

/// What the broker says to something that is asked for on a channel of its own: what is refused ends the channel.
async fn answered<T>(
    channel: &Channel,
    what: &'static str,
    asked: impl Future<Output = lapin::Result<T>>,
) -> Result<Result<T, Refused>, QueueError> {
    match tokio::time::timeout(super::PATIENCE, asked).await.map_err(|_| QueueError::late(what))? {
        Ok(answer) => {
            close(channel).await;
            Ok(Ok(answer))
        }
        Err(error) => match Refused::of(&error) {
            Some(refused) => Ok(Err(refused)),
            None => Err(QueueError::other(error)),
        },
    }
}

/// A channel.
pub(super) async fn channel(connection: &Connection) -> Result<Channel, QueueError> {
    in_time("opening a channel", connection.create_channel()).await
}

/// Closes a channel that has done its work; one that cannot be closed ends with its connection.
pub(super) async fn close(channel: &Channel) {
    if let Err(error) = in_time("closing a channel", channel.close(200, "done".into())).await {
        tracing::debug!(%error, "a channel could not be closed in order");
    }
}
