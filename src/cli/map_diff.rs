//! `tradebridge map diff`: what a mapping would change, before it is in force.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value as Json;

use super::client::{Call, Client};
use super::output::{Exit, Failure, counted};
use super::page::{Cell, Page, Table, Tone};
use super::{Answered, Context, files};
use crate::api::control::MapDiffRequest;
use crate::config::{Config, Document, suggest};
use crate::mapping::Mapping;
use crate::sync::MapDiff;

#[derive(Debug, Args)]
pub(super) struct DiffArguments {
    /// The connection.
    connection: String,
    /// The entity.
    entity: String,
    /// The mapping file; by default the one that the configuration names, as it is on disk.
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
}

pub(super) async fn run(arguments: &DiffArguments, context: &Context) -> Answered {
    let DiffArguments { connection, entity, mapping } = arguments;
    // A faulty mapping is said with its places, whatever the daemon has loaded.
    let given = mapping.as_deref().map(text).transpose()?;
    let config = context.load()?;
    files::known_sync(&config, connection, Some(entity))?;
    let candidates = match given {
        Some(given) => vec![given],
        None => configured(&config, connection, entity)?.iter().map(|file| text(file)).collect::<Result<_, _>>()?,
    };
    Client::with(&config, async |client| {
        let mut diffs = Vec::new();
        for (file, mapping) in candidates {
            let request = MapDiffRequest { connection: connection.clone(), entity: entity.clone(), file, mapping };
            diffs.push(client.ask::<MapDiff>(Call::post(&["map", "diff"], &request)?.long()).await?);
        }
        context.output.say(&diffs, |page| diffs.iter().for_each(|diff| show(diff, page)));
        Ok(Exit::Done)
    })
    .await
}

/// The name and the text of a mapping file that is sound.
fn text(file: &Path) -> Result<(String, String), Failure> {
    let document = Document::load(file).map_err(crate::config::Problems::from)?;
    Mapping::compile(&document)?;
    Ok((document.file.clone(), document.text().to_owned()))
}

/// The files of the mappings that the configuration names for an entity.
fn configured(config: &Config, connection: &str, entity: &str) -> Result<BTreeSet<PathBuf>, Failure> {
    let syncs = config.syncs.iter().filter(|sync| sync.connection == connection && sync.entity == entity);
    let file = |name: String| {
        let paths: Vec<PathBuf> = config.mappings.iter().map(|at| at.join(format!("{name}.toml"))).collect();
        paths.iter().find(|path| path.is_file()).cloned().ok_or_else(|| {
            let looked = suggest::one_of(paths.iter().filter_map(|path| path.to_str()));
            Failure::Usage(format!("there is no mapping '{name}'; it would be {looked}"))
        })
    };
    syncs.map(|sync| file(config.mapping_of(sync))).collect()
}

fn show(diff: &MapDiff, page: &mut Page) {
    let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    page.toned_line(Tone::Strong, format!("{} on kept rows of {}", diff.mapping, diff.stream));
    page.line(format!("{} looked at", counted(count(diff.looked_at), "record")));
    for (number, what) in [
        (diff.unchanged, "unchanged"),
        (diff.changed, "changed"),
        (diff.rejected, "would be rejected, and stay as they are"),
        (diff.skipped, "would be left out by `where`, and so deleted"),
        (diff.deleted, "would be deleted, since the row says so"),
        (diff.rekeyed, "would have another key; `sync --full` is needed, `sync --from-raw` refuses"),
    ] {
        if number > 0 {
            page.line(format!("  {number} {what}"));
        }
    }
    if diff.taken > 0 {
        page.line(format!("{} rejected now would be taken", counted(count(diff.taken), "record")));
    }
    if diff.without_row > 0 {
        let records = counted(count(diff.without_row), "record");
        page.line(format!(
            "{records} not looked at: no row is kept, or a later row is rejected; `sync --full` brings them"
        ));
    }
    let mut fields: Vec<_> = diff.fields.iter().collect();
    fields.sort_by_key(|(_, records)| std::cmp::Reverse(**records));
    if !fields.is_empty() {
        let mut table = Table::new(&["field", "records"]).numbers(&[1]);
        for (field, records) in fields {
            table.row([Cell::from(field), Cell::from(records)]);
        }
        page.line("").table(&table);
    }
    let mut reasons: Vec<_> = diff.reasons.iter().collect();
    reasons.sort_by_key(|(_, refusal)| std::cmp::Reverse(refusal.records));
    if !reasons.is_empty() {
        let mut table = Table::new(&["rejected for", "records", "as the first is told"]).numbers(&[1]);
        for (reason, refusal) in reasons {
            table.row([Cell::from(reason), Cell::from(refusal.records), Cell::from(&refusal.message)]);
        }
        page.line("").table(&table);
    }
    if !diff.examples.is_empty() {
        let mut table = Table::new(&["record", "field", "before", "after"]);
        for change in &diff.examples {
            table.row([
                Cell::from(&change.key),
                Cell::from(&change.field),
                Cell::toned(Tone::Bad, shown(change.before.as_ref())),
                Cell::toned(Tone::Good, shown(change.after.as_ref())),
            ]);
        }
        page.line("").table(&table);
    }
}

/// A value as a cell has it: a text without its quotes.
fn shown(value: Option<&Json>) -> String {
    match value {
        None => "-".to_owned(),
        Some(Json::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
