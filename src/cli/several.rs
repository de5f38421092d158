//! Doing the same to one or many: named, or chosen by reason, connection and time. What cannot be done stops nothing, and is
//! said.

use std::collections::BTreeSet;

use clap::Args;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::client::{Call, Client};
use super::output::{Exit, Failure, counted};
use super::page::Tone;
use super::{Answered, Context, when};
use crate::api::admin::views::Listed;

/// How many are asked for at a time.
const PAGE: u32 = 200;

/// Which are meant.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Choice {
    /// Only those whose reason contains this text.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Only for this connection.
    #[arg(long)]
    connection: Option<String>,
    /// Only those that are so since this instant (2026-11-24T17:00:00Z) or day, or later.
    #[arg(long, value_name = "TIME", value_parser = when::instant)]
    since: Option<Timestamp>,
    /// Only those that are so since before this instant or day.
    #[arg(long, value_name = "TIME", value_parser = when::instant)]
    until: Option<Timestamp>,
}

/// What became of each.
#[derive(Debug, Default, Serialize)]
struct Done {
    done: Vec<String>,
    failed: Vec<Undone>,
}

/// One that it could not be done to.
#[derive(Debug, Serialize)]
struct Undone {
    id: String,
    message: String,
}

#[derive(Debug, Deserialize)]
struct Identified {
    id: String,
}

impl Choice {
    /// Whether nothing is chosen.
    pub(super) fn is_empty(&self) -> bool {
        self.reason.is_none() && self.connection.is_none() && self.since.is_none() && self.until.is_none()
    }

    /// A call that lists what is chosen.
    pub(super) fn with(&self, call: Call) -> Call {
        call.with("reason", self.reason.as_ref())
            .with("connection", self.connection.as_ref())
            .with("since", self.since)
            .with("until", self.until)
    }
}

/// Does something to each that is named, or else to each that a call lists. `act` makes the call for one, `done` says what it
/// is then.
pub(super) async fn each(
    named: &[String],
    list: impl Fn() -> Call,
    act: impl Fn(&str) -> Result<Call, Failure>,
    done: &str,
    client: &Client,
    context: &Context,
) -> Answered {
    let mut tried: BTreeSet<String> = BTreeSet::new();
    let mut sum = Done::default();
    loop {
        let page: Vec<String> = if named.is_empty() {
            let listed: Listed<Json> = client.ask(list().with("limit", Some(PAGE))).await?;
            let ids: Result<Vec<String>, _> = listed.items.iter().map(id_of).collect();
            ids?
        } else {
            named.to_vec()
        };
        // What is done is not listed any more.
        let fresh: Vec<String> = page.into_iter().filter(|id| tried.insert(id.clone())).collect();
        if fresh.is_empty() {
            break;
        }
        for id in fresh {
            match client.ask::<Json>(act(&id)?).await {
                Ok(_) => sum.done.push(id),
                Err(Failure::Failed { message, .. }) => sum.failed.push(Undone { id, message }),
                Err(failure) => return Err(failure),
            }
        }
    }
    context.output.say(&sum, |page| {
        for id in &sum.done {
            page.line(format!("{id} {done}"));
        }
        for Undone { id, message } in &sum.failed {
            page.toned(Tone::Bad, format!("{id}: ")).line(message);
        }
        page.line(format!("{} of {}", sum.done.len(), counted(tried.len(), "chosen one")));
    });
    Ok(match (sum.done.is_empty(), sum.failed.is_empty()) {
        (_, true) => Exit::Done,
        (true, false) => Exit::Failed,
        (false, false) => Exit::Partly,
    })
}

fn id_of(item: &Json) -> Result<String, Failure> {
    super::orders::understood::<Identified>(item).map(|item| item.id)
}
