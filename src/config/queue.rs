//! Settings of the queue: which one carries the orders, and how a RabbitMQ broker is reached.
//!
//! What does not live here: talking to it (`queue`).

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use lapin::uri::AMQPUri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::secret::Secret;
use super::values::{NotAValue, by_text};

/// How orders travel to the ERP.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QueueSettings {
    /// `embedded`: the queue inside the daemon, kept in the store. Or a RabbitMQ broker, such as
    /// `amqps://tradebridge@mq.example/erp`.
    pub url: QueueUrl,
    /// The password of the broker's user.
    pub password: Option<Secret>,
    /// A file of certificates in PEM that are trusted too, for a broker with an authority of its own.
    pub ca: Option<PathBuf>,
}

/// Which queue carries the orders.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum QueueUrl {
    /// The one inside the daemon.
    #[default]
    Embedded,
    /// A RabbitMQ broker.
    Broker(BrokerUrl),
}

/// The address of a RabbitMQ broker, without a password: it can be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    written: String,
    address: AMQPUri,
}

by_text!(
    QueueUrl,
    "queue-url",
    "Which queue carries the orders: `embedded`, the one inside the daemon, or the address of a RabbitMQ broker, such as \
     `amqps://tradebridge@mq.example/erp`, where `erp` is the virtual host."
);

impl BrokerUrl {
    /// The address, without a password.
    pub fn address(&self) -> &AMQPUri {
        &self.address
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl fmt::Display for QueueUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str("embedded"),
            Self::Broker(url) => url.fmt(f),
        }
    }
}

impl FromStr for QueueUrl {
    type Err = NotAValue;

    fn from_str(text: &str) -> Result<Self, NotAValue> {
        // What is refused may hold a password, so it is not repeated.
        let not = |message: &str| NotAValue(message.to_owned());
        let Some((scheme, rest)) = text.split_once("://") else {
            return match text {
                "embedded" => Ok(Self::Embedded),
                _ => Err(not("this is no queue; write `embedded`, or a RabbitMQ broker like \
                              `amqps://tradebridge@mq.example/erp`")),
            };
        };
        if !matches!(scheme, "amqp" | "amqps") {
            return Err(not("this is no queue; the address of a RabbitMQ broker begins with `amqp://` or `amqps://`"));
        }
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let Some((user, host)) = authority.rsplit_once('@') else {
            return Err(not("the address names no user; write it like `amqps://tradebridge@mq.example/erp`"));
        };
        if user.contains(':') {
            return Err(not("a password does not belong in the address; write `password = { env = \"…\" }` or \
                            `password = { file = \"…\" }` beside it"));
        }
        if rest.contains('?') {
            return Err(not("parameters are not possible in the address; leave them out"));
        }
        if user.is_empty() || host.is_empty() {
            return Err(not("the address names no user or no server; write it like \
                            `amqps://tradebridge@mq.example/erp`"));
        }
        let address: AMQPUri = text.parse().map_err(|_| {
            not("this is no address of a RabbitMQ broker; write it like \
                                          `amqps://tradebridge@mq.example/erp`")
        })?;
        Ok(Self::Broker(BrokerUrl { written: text.to_owned(), address }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_an_address_without_a_password() {
        let QueueUrl::Broker(url) = "amqps://tradebridge@mq.example/erp".parse().unwrap() else {
            panic!("a broker");
        };
        assert_eq!(url.address().vhost, "erp");
        assert_eq!((url.address().authority.host.as_str(), url.address().authority.port), ("mq.example", 5671));
        assert_eq!(url.to_string(), "amqps://tradebridge@mq.example/erp");
        let QueueUrl::Broker(url) = "amqp://tradebridge@127.0.0.1:5673".parse().unwrap() else { panic!("a broker") };
        assert_eq!((url.address().vhost.as_str(), url.address().authority.port), ("/", 5673));
        assert_eq!("embedded".parse::<QueueUrl>().unwrap(), QueueUrl::Embedded);
        for (text, told) in [
            ("amqp://u:hunter2@mq/", "password ="),
            ("amqp://mq.example/", "names no user"),
            ("amqp://u@mq?heartbeat=1", "parameters"),
            ("kafka://u@mq", "amqps://"),
            ("embeded", "`embedded`"),
        ] {
            let refused = text.parse::<QueueUrl>().unwrap_err().to_string();
            assert!(refused.contains(told) && !refused.contains("hunter2"), "{refused}");
        }
    }
}
