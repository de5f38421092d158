//! `tradebridge dead`: what is not tried any more until a person takes it up: orders that were given up, and messages
//! that could not be read.

use clap::Subcommand;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::client::{Call, Client};
use super::orders::{Order, understood};
use super::output::{Exit, Failure};
use super::page::{Cell, Table, Tone};
use super::several::{self, Choice};
use super::when::{ago, clock};
use super::{Answered, Context};
use crate::api::admin::views::{Listed, Why};

#[derive(Debug, Subcommand)]
pub(super) enum DeadCommand {
    /// List them.
    List {
        #[command(flatten)]
        choice: Choice,
        /// Messages that were retried or dropped too, with who did it, when and why.
        #[arg(long)]
        all: bool,
        /// At most so many of each kind.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Show one.
    Show {
        /// The order or message.
        id: String,
    },
    /// Take them up again: send the order, or read the message once more.
    Retry {
        /// The orders or messages. Without any: those that the options choose.
        #[arg(conflicts_with_all = ["reason", "connection", "since", "until"])]
        ids: Vec<String>,
        #[command(flatten)]
        choice: Choice,
    },
    /// Drop them: the order is cancelled, the message is left alone. Who did it, when and why stays as a trace.
    Drop {
        /// The orders or messages.
        #[arg(required = true)]
        ids: Vec<String>,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

/// What is shown of one.
#[derive(Debug, Deserialize)]
struct Dead {
    id: String,
    connection: String,
    reason: String,
    at: Timestamp,
    order: Option<Order>,
    message: Option<String>,
    settled: Option<String>,
    settled_at: Option<Timestamp>,
    settled_by: Option<String>,
    why: Option<String>,
}

impl Dead {
    fn what(&self) -> &'static str {
        if self.order.is_some() { "order" } else { "message" }
    }
}

pub(super) async fn run(command: DeadCommand, context: &Context) -> Answered {
    Client::with(&context.load()?, async |client| ask(command, client, context).await).await
}

async fn ask(command: DeadCommand, client: &Client, context: &Context) -> Answered {
    match command {
        DeadCommand::List { choice, all, limit } => list(&choice, all, limit, client, context).await,
        DeadCommand::Show { id } => show(&id, client, context).await,
        DeadCommand::Retry { ids, choice } => retry(&ids, &choice, client, context).await,
        DeadCommand::Drop { ids, reason } => abandon(&ids, reason, client, context).await,
    }
}

async fn list(choice: &Choice, all: bool, limit: u32, client: &Client, context: &Context) -> Answered {
    let call = choice.with(Call::get(&["dead"])).with("all", all.then_some(true)).with("limit", Some(limit));
    let answer: Listed<Json> = client.ask(call).await?;
    let dead = answer.items.iter().map(understood).collect::<Result<Vec<Dead>, _>>()?;
    let now = Timestamp::now();
    context.output.say(&answer, |page| {
        if dead.is_empty() {
            page.line("nothing was given up");
            return;
        }
        let mut titles = vec!["id", "what", "connection", "since", "reason"];
        if all {
            titles.extend(["settled", "by", "why"]);
        }
        let mut table = Table::new(&titles).whole(&[0]);
        for one in &dead {
            let mut row = vec![
                Cell::from(&one.id),
                Cell::from(one.what()),
                Cell::from(&one.connection),
                Cell::from(ago(one.at, now)),
                Cell::from(&one.reason),
            ];
            if all {
                let settled = one.settled.as_deref().zip(one.settled_at);
                row.push(Cell::from(settled.map(|(how, at)| format!("{how} {}", ago(at, now))).unwrap_or_default()));
                row.push(Cell::from(one.settled_by.as_deref().unwrap_or_default()));
                row.push(Cell::from(one.why.as_deref().unwrap_or_default()));
            }
            table.row(row);
        }
        page.table(&table);
    });
    Ok(Exit::Done)
}

async fn show(id: &str, client: &Client, context: &Context) -> Answered {
    let answer: Json = client.ask(Call::get(&["dead", id])).await?;
    let dead: Dead = understood(&answer)?;
    context.output.say(&answer, |page| {
        page.heading(format!("Dead {} {}", dead.what(), dead.id));
        page.pairs(&[
            ("connection", Some(Cell::from(&dead.connection))),
            ("since", Some(Cell::from(format!("{} ({})", clock(dead.at), ago(dead.at, Timestamp::now()))))),
            ("reason", Some(Cell::toned(Tone::Bad, &dead.reason))),
            ("message", dead.message.as_ref().map(Cell::from)),
        ]);
        let more = if dead.order.is_some() {
            format!(" `tradebridge orders show {}` shows the order.", dead.id)
        } else {
            String::new()
        };
        page.line("").line(format!(
            "`tradebridge dead retry {0}` takes it up again, `tradebridge dead drop {0} --reason TEXT` gives it up for good.{more}",
            dead.id
        ));
    });
    Ok(Exit::Done)
}

async fn retry(ids: &[String], choice: &Choice, client: &Client, context: &Context) -> Answered {
    if ids.is_empty() && choice.is_empty() {
        let message = "name them, or choose them by --reason, --connection, --since or --until";
        return Err(Failure::Usage(message.to_owned()));
    }
    let act = |id: &str| Call::post(&["dead", id, "retry"], &json!({}));
    if let [id] = ids {
        return one(id, act(id)?, "is taken up again", client, context).await;
    }
    several::each(ids, || choice.with(Call::get(&["dead"])), act, "is taken up again", client, context).await
}

async fn abandon(ids: &[String], reason: String, client: &Client, context: &Context) -> Answered {
    let why = Why { reason };
    let act = |id: &str| Call::post(&["dead", id, "drop"], &why);
    if let [id] = ids {
        return one(id, act(id)?, "is dropped", client, context).await;
    }
    several::each(ids, || Call::get(&["dead"]), act, "is dropped", client, context).await
}

async fn one(id: &str, call: Call, done: &str, client: &Client, context: &Context) -> Answered {
    let answer: Json = client.ask(call).await?;
    context.output.say(&answer, |page| {
        page.line(format!("{id} {done}"));
    });
    Ok(Exit::Done)
}
