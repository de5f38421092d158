//! `tradebridge dead`: what is not tried any more until a person takes it up: orders that were given up, and messages
//! that could not be read.

use clap::Subcommand;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::client::{Call, Client};
use super::orders::{Order, understood};
use super::output::Exit;
use super::page::{Cell, Table, Tone};
use super::when::{ago, clock};
use super::{Answered, Context};
use crate::api::admin::views::Listed;

#[derive(Debug, Subcommand)]
pub(super) enum DeadCommand {
    /// List them.
    List {
        /// At most so many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Show one.
    Show {
        /// The order or message.
        id: String,
    },
    /// Take one up again: send the order, or read the message once more.
    Retry {
        /// The order or message.
        id: String,
    },
    /// Drop one: cancel the order, or delete the message.
    Drop {
        /// The order or message.
        id: String,
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
        DeadCommand::List { limit } => list(limit, client, context).await,
        DeadCommand::Show { id } => show(&id, client, context).await,
        DeadCommand::Retry { id } => act(&id, "retry", "is taken up again", client, context).await,
        DeadCommand::Drop { id } => act(&id, "drop", "is dropped", client, context).await,
    }
}

async fn list(limit: u32, client: &Client, context: &Context) -> Answered {
    let answer: Listed<Json> = client.ask(Call::get(&["dead"]).with("limit", Some(limit))).await?;
    let dead = answer.items.iter().map(understood).collect::<Result<Vec<Dead>, _>>()?;
    let now = Timestamp::now();
    context.output.say(&answer, |page| {
        if dead.is_empty() {
            page.line("nothing was given up");
            return;
        }
        let mut table = Table::new(&["id", "what", "connection", "since", "reason"]).whole(&[0]);
        for one in &dead {
            table.row([
                Cell::from(&one.id),
                Cell::from(one.what()),
                Cell::from(&one.connection),
                Cell::from(ago(one.at, now)),
                Cell::from(&one.reason),
            ]);
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
            "`tradebridge dead retry {0}` takes it up again, `tradebridge dead drop {0}` gives it up for good.{more}",
            dead.id
        ));
    });
    Ok(Exit::Done)
}

async fn act(id: &str, act: &str, done: &str, client: &Client, context: &Context) -> Answered {
    let answer: Json = client.ask(Call::post(&["dead", id, act], &json!({}))?).await?;
    context.output.say(&answer, |page| {
        page.line(format!("{id} {done}"));
    });
    Ok(Exit::Done)
}
