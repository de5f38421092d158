//! `tradebridge sync`: pulls now, and says what became of it.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::client::{Call, Client};
use super::output::{Exit, Failure, counted};
use super::page::{Cell, Page, Table, Tone};
use super::progress::Progress;
use super::traffic::TrafficArguments;
use super::{Answered, Context, files, runs};
use crate::api::admin::views::Listed;
use crate::api::control::{SyncOutcome, SyncReport, SyncRequest};
use crate::config::Config;
use crate::store::{Run, RunState};

/// How often the progress of a run is looked up.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(super) struct SyncArguments {
    /// The connection.
    connection: String,
    /// One entity; by default every one that is pulled from the connection.
    entity: Option<String>,
    /// Read everything, so that what disappeared is noticed.
    #[arg(long, conflicts_with = "replay")]
    full: bool,
    /// Read what changed since an instant (2026-11-24T03:00:00Z) or a day (2026-11-24), whatever was read before. How far the
    /// source was read stays as it is.
    #[arg(long, value_name = "INSTANT|DATE", conflicts_with_all = ["full", "from_raw"])]
    since: Option<String>,
    /// Apply the mapping as it is to the source rows that are kept, without asking the ERP.
    #[arg(long, conflicts_with_all = ["full", "record", "replay"])]
    from_raw: bool,
    /// Say what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    traffic: TrafficArguments,
}

pub(super) async fn run(arguments: SyncArguments, context: &Context) -> Answered {
    let known = |config: &Config| files::known_sync(config, &arguments.connection, arguments.entity.as_deref());
    let command = async |client: &Client| pull(&arguments, client, context).await;
    arguments.traffic.with(context, &arguments.connection, known, command).await
}

async fn pull(arguments: &SyncArguments, client: &Client, context: &Context) -> Answered {
    let SyncArguments { connection: name, entity, full, since, from_raw, dry_run, .. } = arguments;
    let (connection, entity, since) = (name.clone(), entity.clone(), since.clone());
    let request = SyncRequest { connection, entity, full: *full, since, from_raw: *from_raw, dry_run: *dry_run };
    let call = Call::post(&["sync"], &request)?.long();
    let progress = Progress::begin(format!("pulling {name}"));
    let reports: Vec<SyncReport> = tokio::select! {
        reports = client.ask(call) => reports?,
        never = watch(client, name, &progress) => match never {},
    };
    drop(progress);
    context.output.say(&json!(reports), |page| show(&reports, *dry_run, page));
    Ok(exit(&reports))
}

/// Shows how far the runs of a connection are, until nobody wants to know any more.
async fn watch(client: &Client, connection: &str, progress: &Progress) -> std::convert::Infallible {
    let mut looks = tokio::time::interval(LOOK);
    loop {
        looks.tick().await;
        if progress.is_hidden() {
            continue;
        }
        let call = Call::get(&["runs"]).with("connection", Some(connection)).with("state", Some("running"));
        // Not to know how far it is is no reason to stop.
        let Ok::<Listed<Run>, Failure>(running) = client.ask(call).await else { continue };
        if let Some(run) = running.items.first() {
            progress.say(format!("pulling {connection} {}: {}", run.kind, counts(run)));
        }
    }
}

/// A run's counts in words; what is zero is left out.
pub(super) fn counts(run: &Run) -> String {
    let counts = &run.counts;
    let rest = [
        (counts.created, "new"),
        (counts.updated, "changed"),
        (counts.deleted, "deleted"),
        (counts.missed, "missed once"),
        (counts.rejected, "rejected"),
        (counts.superseded, "superseded"),
        (counts.erased, "without an erased person"),
    ];
    let words = rest.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!(", {count} {word}"));
    format!("{} read{}", counts.read, words.collect::<String>())
}

fn show(reports: &[SyncReport], dry_run: bool, page: &mut Page) {
    if reports.is_empty() {
        page.line("nothing is pulled from this connection; add a [[sync]] to the configuration");
        return;
    }
    let mut table = Table::new(&["entity", "outcome", "what was read", "counts", "run"]).whole(&[4]);
    for report in reports {
        let (tone, word) = match report.outcome {
            SyncOutcome::Done => (Tone::Good, "done"),
            SyncOutcome::Nothing => (Tone::Dim, "nothing new"),
            SyncOutcome::Held => (Tone::Warn, "held"),
            SyncOutcome::Tried => (Tone::Plain, "tried"),
            SyncOutcome::Failed => (Tone::Bad, "failed"),
        };
        table.row([
            Cell::from(&report.entity),
            Cell::toned(tone, word),
            Cell::from(report.source.as_deref().unwrap_or_default()),
            report.run.as_ref().map_or_else(Cell::default, |run| Cell::from(counts(run))),
            report.run.as_ref().map_or_else(Cell::default, |run| Cell::toned(Tone::Dim, &run.id)),
        ]);
    }
    page.table(&table);
    for report in reports {
        if let Some(message) = &report.message {
            page.line("").toned(Tone::Strong, format!("{}: ", report.entity)).line(message);
        }
        if let Some(run) = report.run.as_ref().filter(|run| run.state == RunState::Held && !dry_run) {
            page.line(runs::how_to_decide(&run.id));
        }
        if let Some(run) = report.run.as_ref().filter(|run| run.counts.rejected > 0 && !dry_run) {
            let rejected = usize::try_from(run.counts.rejected).unwrap_or(usize::MAX);
            page.line("").line(format!(
                "{}: {} rejected; `tradebridge runs show {}` says why",
                report.entity,
                counted(rejected, "record"),
                run.id
            ));
        }
    }
}

fn exit(reports: &[SyncReport]) -> Exit {
    let any = |outcome| reports.iter().any(|report| report.outcome == outcome);
    if any(SyncOutcome::Failed) {
        Exit::Failed
    } else if any(SyncOutcome::Held) {
        Exit::Held
    } else if reports.iter().filter_map(|report| report.run.as_ref()).any(|run| run.counts.rejected > 0) {
        Exit::Partly
    } else {
        Exit::Done
    }
}
