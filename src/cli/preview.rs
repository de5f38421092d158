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
    let (tone, word) = match record.outcome {
        PreviewOutcome::Part => match (&record.stored, &record.mapped) {
            (None, _) => (Tone::Good, "new"),
            (stored, mapped) if stored == mapped => (Tone::Dim, "unchanged"),
            _ => (Tone::Good, "changed"),
        },
        PreviewOutcome::Skipped => (Tone::Dim, "skipped: the mapping leaves it out"),
        PreviewOutcome::Deleted => (Tone::Warn, "deleted"),
        PreviewOutcome::Rejected => (Tone::Bad, "rejected"),
    };
    page.toned(Tone::Strong, format!("{}: ", record.place)).toned_line(tone, word);
    page.toned_line(Tone::Dim, "  source").json(4, &without_nulls(&record.source));
    if let Some(mapped) = &record.mapped {
        page.toned_line(Tone::Dim, "  mapped").json(4, mapped);
    }
    if let (Some(stored), Some(mapped)) = (&record.stored, &record.mapped) {
        page.changes(4, stored, mapped);
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
