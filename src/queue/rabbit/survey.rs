//! Looking at a broker without carrying orders through it: what `tradebridge broker` does.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::QueueError;
use super::link::Address;
use super::topology::{self, Part};
use super::{greeting, in_time};
use crate::config::{BrokerUrl, QueueSettings};

/// What a broker is, and what of the topology it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Survey {
    /// Its address.
    pub broker: String,
    /// Its product and version.
    pub version: String,
    /// The queues and exchanges.
    pub parts: Vec<Part>,
}

/// What is to be done besides looking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Nothing.
    Check,
    /// What is missing is declared; these are removed and declared anew.
    Declare {
        /// Their names.
        replace: Vec<String>,
    },
}

/// Looks at a broker, for the connections that take orders.
///
/// # Errors
/// Where the broker cannot be reached or does not answer; where a name to be replaced is none of the topology's.
pub async fn survey(
    settings: &QueueSettings,
    url: &BrokerUrl,
    connections: &[String],
    task: &Task,
) -> Result<Survey, QueueError> {
    let address = Arc::new(Address::new(settings, url)?);
    let wanted = topology::wanted(connections);
    if let Task::Declare { replace } = task
        && let Some(unknown) = replace.iter().find(|name| wanted.iter().all(|wanted| wanted.name != **name))
    {
        let names: Vec<&str> = wanted.iter().map(|wanted| wanted.name.as_str()).collect();
        let message = format!("it is no part of the topology, which has {}", names.join(", "));
        return Err(QueueError::Topology { name: unknown.clone(), message });
    }
    let version = greeting::version(&address).await?;
    let connection = address.connect("a survey").await?;
    let mut parts = Vec::with_capacity(wanted.len());
    for wanted in &wanted {
        parts.push(match task {
            Task::Check => wanted.check(&connection).await?,
            Task::Declare { replace } if replace.contains(&wanted.name) => wanted.replace(&connection).await?,
            Task::Declare { .. } => wanted.declare(&connection).await?,
        });
    }
    if let Err(error) = in_time("closing", connection.close(200, "done".into())).await {
        tracing::debug!(%error, "the connection to the broker could not be closed in order");
    }
    Ok(Survey { broker: url.to_string(), version, parts })
}
