//! `tradebridge preview`: what the mapping makes of the records that are there to be read, without storing any.

use clap::Args;
use serde_json::{Value as Json, json};

use super::client::{Call, Client};
use super::output::{Exit, counted};
use super::page::{Page, Tone};
use super::progress::Progress;
use super::traffic::TrafficArguments;
use super::{Answered, Context, files};
use crate::api::control::{PreviewOutcome, PreviewRecord, PreviewRequest};
use crate::config::Config;
use crate::sync::Change;

#[derive(Debug, Args)]
pub(super) struct PreviewArguments {
    /// The connection.
    connection: String,
    /// The entity.
    entity: String,
    /// At most so many records.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    #[command(flatten)]
    traffic: TrafficArguments,
}

pub(super) async fn run(arguments: PreviewArguments, context: &Context) -> Answered {
    let known = |config: &Config| files::known_sync(config, &arguments.connection, Some(&arguments.entity));
    let command = async |client: &Client| preview(&arguments, client, context).await;
    arguments.traffic.with(context, &arguments.connection, known, command).await
}

async fn preview(arguments: &PreviewArguments, client: &Client, context: &Context) -> Answered {
    let PreviewArguments { connection, entity, limit, .. } = arguments;
    let progress = Progress::begin(format!("reading {connection} {entity}"));
    let request = PreviewRequest { connection: connection.clone(), entity: entity.clone(), limit: *limit };
    let records: Vec<PreviewRecord> = client.ask(Call::post(&["preview"], &request)?.long()).await?;
    drop(progress);
    let rejected = records.iter().filter(|record| record.outcome == PreviewOutcome::Rejected).count();
    context.output.say(&json!(records), |page| {
        for record in &records {
            show(record, page);
        }
        page.line(format!("{}, {rejected} rejected; nothing was stored", counted(records.len(), "record")));
    });
    Ok(if rejected > 0 { Exit::Partly } else { Exit::Done })
}

fn show(record: &PreviewRecord, page: &mut Page) {
    let (tone, word) = match (record.outcome, record.change) {
        (PreviewOutcome::Rejected, _) => (Tone::Bad, "rejected"),
        (PreviewOutcome::Skipped, Change::Deleted) => {
            (Tone::Warn, "would be deleted: it is stored, and the mapping leaves it out")
        }
        (PreviewOutcome::Skipped, _) => (Tone::Dim, "skipped: the mapping leaves it out"),
        (_, Change::Deleted) => (Tone::Warn, "would be deleted"),
        (PreviewOutcome::Deleted, _) => (Tone::Dim, "deleted; nothing is stored of it"),
        (_, Change::New) => (Tone::Good, "new"),
        (_, Change::Changed) => (Tone::Good, "changed"),
        (_, Change::Unchanged | Change::Nothing) => (Tone::Dim, "unchanged"),
    };
    page.toned(Tone::Strong, format!("{}: ", record.place)).toned_line(tone, word);
    page.toned_line(Tone::Dim, "  source").json(4, &without_nulls(&record.source));
    if let Some(mapped) = &record.mapped {
        page.toned_line(Tone::Dim, "  mapped").json(4, mapped);
    }
    match record.change {
        Change::Changed => {
            page.toned_line(Tone::Dim, "  differences: stored → mapped").changes(4, &record.differences);
        }
        Change::Deleted => {
            if let Some(stored) = &record.stored {
                page.toned_line(Tone::Dim, "  stored").json(4, stored);
            }
        }
        Change::New | Change::Unchanged | Change::Nothing => {}
    }
    if let Some(reason) = &record.reason {
        page.toned_line(Tone::Bad, format!("  {reason}"));
    }
    page.line("");
}

/// A row without its empty columns: they say nothing, and there are many.
pub(super) fn without_nulls(record: &Json) -> Json {
    match record {
        Json::Object(fields) => {
            let there = fields.iter().filter(|(_, value)| !value.is_null());
            Json::Object(there.map(|(name, value)| (name.clone(), value.clone())).collect())
        }
        other => other.clone(),
    }
}
