//! `tradebridge broker`: whether the RabbitMQ broker has what the orders need, and making it so.
//!
//! What does not live here: what is needed (`queue::rabbit::topology`).

use clap::Subcommand;

use super::output::{Exit, Failure};
use super::page::{Cell, Table, Tone};
use super::progress::Progress;
use super::{Answered, Context};
use crate::config::{Config, QueueUrl};
use crate::queue::rabbit::survey::{Survey, Task, survey};
use crate::queue::rabbit::topology::Condition;

#[derive(Debug, Subcommand)]
pub(super) enum BrokerCommand {
    /// Check that the queues and exchanges are there, of the right kind; nothing is changed.
    Check,
    /// Declare the queues and exchanges that are missing.
    Declare {
        /// A queue or exchange to be removed first. The work of orders is published again from the store; a queue of
        /// anything else must be empty.
        #[arg(long, value_name = "NAME")]
        replace: Vec<String>,
    },
    /// Show the broker, and for each queue how many messages wait and how many consume.
    Status,
}

pub(super) async fn run(command: &BrokerCommand, context: &Context) -> Answered {
    let config = context.load()?;
    let QueueUrl::Broker(url) = &config.queue.url else {
        return Err(Failure::failed(
            "the orders travel by the queue inside the daemon; name a RabbitMQ broker with `url` in [queue]",
        ));
    };
    let task = match command {
        BrokerCommand::Check | BrokerCommand::Status => Task::Check,
        BrokerCommand::Declare { replace } => Task::Declare { replace: replace.clone() },
    };
    let progress = Progress::begin("asking the broker");
    let found = survey(&config.queue, url, &connections(&config), &task).await;
    drop(progress);
    let found = found.map_err(|error| Failure::failed(error.to_string()))?;
    context.output.say(&found, |page| {
        page.line(format!("{}: {}", found.broker, found.version));
        let mut table = Table::new(&["name", "condition", "waiting", "consumers"]);
        for part in &found.parts {
            let (tone, word) = match part.condition {
                Condition::Good => (Tone::Good, "good"),
                Condition::Unseen => (Tone::Warn, "not seen"),
                Condition::Missing => (Tone::Bad, "missing"),
                Condition::Wrong => (Tone::Bad, "wrong"),
            };
            let count = |count: Option<u32>| count.map_or_else(String::new, |count| count.to_string());
            table.row([
                Cell::from(&part.name),
                Cell::toned(tone, word),
                Cell::from(count(part.messages)),
                Cell::from(count(part.consumers)),
            ]);
        }
        page.table(&table);
        for part in &found.parts {
            if let Some(message) = &part.message {
                page.line(format!("{}: {message}", part.name));
            }
        }
    });
    Ok(if sound(&found) { Exit::Done } else { Exit::Failed })
}

fn sound(found: &Survey) -> bool {
    found.parts.iter().all(|part| matches!(part.condition, Condition::Good | Condition::Unseen))
}

/// The connections that take orders.
fn connections(config: &Config) -> Vec<String> {
    let mut names: Vec<String> = config.shops.iter().filter_map(|shop| shop.orders_to.clone()).collect();
    names.sort_unstable();
    names.dedup();
    names
}
