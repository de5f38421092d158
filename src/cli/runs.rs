//! `tradebridge runs`: what was pulled, what is held, and the decision about it.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Value as Json, json};

use super::client::{Call, Client};
use super::output::{Exit, counted};
use super::page::{Cell, Page, Table, Tone};
use super::progress::Progress;
use super::sync::counts;
use super::when::{ago, clock, length};
use super::{Answered, Context};
use crate::api::admin::views::{Because, Listed, RejectedRecord, RunDetail, StagedDifference};
use crate::store::{Operation, Run, RunState};
use crate::sync::differences;

#[derive(Debug, Subcommand)]
pub(super) enum RunsCommand {
    /// List runs, the newest first.
    List(ListArguments),
    /// Show a run: counts, reason, rejected records, and what it would change while it is held.
    Show {
        /// The run.
        run: String,
    },
    /// Apply a held run.
    Approve {
        /// The run.
        run: String,
    },
    /// Drop what a held run would change.
    Reject {
        /// The run.
        run: String,
        /// Why, for those who look later.
        #[arg(long)]
        reason: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(super) struct ListArguments {
    /// Only of this connection.
    #[arg(long)]
    connection: Option<String>,
    /// Only of this entity.
    #[arg(long)]
    entity: Option<String>,
    /// Only in this state.
    #[arg(long, value_parser = ["running", "applying", "held", "done", "failed", "refused", "superseded"])]
    state: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

pub(super) async fn run(command: RunsCommand, context: &Context) -> Answered {
    Client::with(&context.load()?, async |client| ask(command, client, context).await).await
}

async fn ask(command: RunsCommand, client: &Client, context: &Context) -> Answered {
    match command {
        RunsCommand::List(arguments) => list(&arguments, client, context).await,
        RunsCommand::Show { run } => show(&run, client, context).await,
        RunsCommand::Approve { run } => {
            let progress = Progress::begin("applying");
            let run: Run = client.ask(Call::post(&["runs", &run, "approve"], &json!({}))?.long()).await?;
            drop(progress);
            context.output.say(&run, |page| {
                page.line(format!("run {} is {}: {}", run.id, run.state.name(), counts(&run)));
                if run.counts.superseded > 0 {
                    page.line("Superseded: what is stored had changed since the run, so that was left as it is.");
                }
            });
            Ok(Exit::Done)
        }
        RunsCommand::Reject { run, reason } => {
            let run: Run = client.ask(Call::post(&["runs", &run, "reject"], &Because { reason })?).await?;
            context.output.say(&run, |page| {
                page.line(format!("run {} is {}; nothing of it was applied", run.id, run.state.name()));
            });
            Ok(Exit::Done)
        }
    }
}

async fn list(arguments: &ListArguments, client: &Client, context: &Context) -> Answered {
    let call = Call::get(&["runs"])
        .with("connection", arguments.connection.as_ref())
        .with("entity", arguments.entity.as_ref())
        .with("state", arguments.state.as_ref())
        .with("limit", Some(arguments.limit));
    let runs: Listed<Run> = client.ask(call).await?;
    context.output.say(&runs, |page| {
        if runs.items.is_empty() {
            page.line("no runs");
        } else {
            page.table(&table(&runs.items));
        }
    });
    Ok(Exit::Done)
}

/// Runs as a table.
pub(super) fn table(runs: &[Run]) -> Table {
    let now = Timestamp::now();
    let mut table = Table::new(&["run", "connection", "entity", "began", "state", "counts", "reason"]).whole(&[0]);
    for run in runs {
        table.row([
            Cell::from(&run.id),
            Cell::from(&run.connection),
            Cell::from(run.kind),
            Cell::from(ago(run.started_at, now)),
            state(run.state),
            Cell::from(counts(run)),
            Cell::from(run.reason.as_deref().unwrap_or_default()),
        ]);
    }
    table
}

fn state(state: RunState) -> Cell {
    let tone = match state {
        RunState::Done => Tone::Good,
        RunState::Held => Tone::Warn,
        RunState::Failed => Tone::Bad,
        RunState::Running | RunState::Applying => Tone::Plain,
        RunState::Refused | RunState::Superseded => Tone::Dim,
    };
    Cell::toned(tone, state.name())
}

/// What to do about a held run.
pub(super) fn how_to_decide(run: &str) -> String {
    format!("`tradebridge runs show {run}` says what it would do; then approve or reject it.")
}

async fn show(run: &str, client: &Client, context: &Context) -> Answered {
    let detail: RunDetail = client.ask(Call::get(&["runs", run])).await?;
    context.output.say(&detail, |page| describe(&detail, page));
    Ok(Exit::Done)
}

fn describe(detail: &RunDetail, page: &mut Page) {
    let RunDetail { run, differences, rejections } = detail;
    let now = Timestamp::now();
    page.heading(format!("Run {}", run.id));
    let took = run.ended_at.map(|end| length(end.duration_since(run.started_at).as_secs().unsigned_abs()));
    page.pairs(&[
        ("state", Some(state(run.state))),
        ("reason", run.reason.as_ref().map(|reason| Cell::toned(Tone::Warn, reason))),
        ("what", Some(Cell::from(format!("{} from {} (stream {})", run.kind, run.connection, run.stream)))),
        ("pass", Some(Cell::from(if run.complete { "complete: what is absent is deleted" } else { "incremental" }))),
        ("began", Some(Cell::from(format!("{} ({})", clock(run.started_at), ago(run.started_at, now))))),
        ("took", took.map(Cell::from)),
        ("read from", run.place.as_ref().map(read_from)),
    ]);
    page.heading("Records");
    let c = &run.counts;
    let counted = |count: u64, tone| (count > 0).then(|| Cell::toned(tone, count));
    let missed = (c.missed > 0)
        .then(|| Cell::toned(Tone::Warn, format!("{}; deleted if the next complete pass misses them too", c.missed)));
    page.pairs(&[
        ("read", Some(Cell::from(c.read))),
        ("unchanged", Some(Cell::from(c.unchanged))),
        ("new", counted(c.created, Tone::Good)),
        ("changed", counted(c.updated, Tone::Plain)),
        ("deleted", counted(c.deleted, Tone::Warn)),
        ("missed once", missed),
        ("rejected", counted(c.rejected, Tone::Bad)),
        ("superseded", counted(c.superseded, Tone::Warn)),
        ("price jumps", counted(c.price_jumps, Tone::Warn)),
    ]);
    if !differences.is_empty() {
        page.heading("What it would do, by examples");
        for difference in differences {
            staged(difference, page);
        }
    }
    if !rejections.is_empty() {
        page.heading(format!("Rejected now, of this source: {}", self::counted(rejections.len(), "record")));
        rejected(rejections, page);
    }
    if run.state == RunState::Held {
        page.line("");
        page.line(format!("`tradebridge runs approve {}` applies it.", run.id));
        page.line(format!("`tradebridge runs reject {}` drops it; shops see what they saw before.", run.id));
    }
}

/// What a run read: a file by its name, anything else in the transport's own words.
pub(super) fn read_from(place: &Json) -> Cell {
    place.pointer("/content/file").and_then(Json::as_str).map_or_else(|| Cell::from(place), Cell::from)
}

fn staged(difference: &StagedDifference, page: &mut Page) {
    let what = match (difference.operation, &difference.before) {
        (Operation::Delete, _) => Cell::toned(Tone::Bad, "delete"),
        (_, None) => Cell::toned(Tone::Good, "new"),
        (_, Some(_)) => Cell::toned(Tone::Warn, "change"),
    };
    let part = if difference.part.is_empty() { String::new() } else { format!("/{}", difference.part) };
    page.cell(&what).line(format!(" {}~{}{part}", difference.company, difference.number));
    match (&difference.before, &difference.after) {
        (Some(before), Some(after)) => {
            page.changes(4, &differences(Some(before), Some(after)));
        }
        (Some(only), None) | (None, Some(only)) => {
            page.json(4, only);
        }
        (None, None) => {}
    }
    if difference.superseded {
        page.toned_line(Tone::Dim, "    what is stored has changed since; approving leaves it as it is");
    }
}

/// Rejected records with their places and reasons.
pub(super) fn rejected(rejections: &[RejectedRecord], page: &mut Page) {
    for rejection in rejections {
        page.toned(Tone::Strong, &rejection.source_key).toned_line(Tone::Dim, format!("  {}", rejection.place));
        page.toned_line(Tone::Bad, format!("    {}", rejection.reason));
        page.json(4, &super::preview::without_nulls(&rejection.record));
    }
}
