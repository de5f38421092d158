//! `tradebridge check`: whether the files are sound, and whether what they name can be reached.

use std::path::Path;

use clap::Args;
use serde_json::json;

use super::client::{Call, Client};
use super::files::Checked;
use super::output::{Exit, Failure, counted};
use super::page::Tone;
use super::progress::Progress;
use super::{Answered, Context, files};
use crate::api::control::Check;
use crate::config::Config;

#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    /// Check the files only, not the connections.
    #[arg(long)]
    offline: bool,
}

pub(super) async fn run(arguments: &CheckArguments, context: &Context) -> Answered {
    let path = files::find(context.config.as_deref())?;
    let checked = files::check(&path);
    checked.problems.clone().into_result()?;
    let Some(config) = &checked.config else {
        return Err(Failure::failed(format!("{} cannot be read", path.display())));
    };
    if arguments.offline {
        return Ok(say(&path, &checked, config, None, context));
    }
    Client::with(config, async |client| {
        let progress = Progress::begin("trying the connections");
        let connections: Vec<Check> = client.ask(Call::post(&["check"], &json!({}))?.long()).await?;
        drop(progress);
        Ok(say(&path, &checked, config, Some(&connections), context))
    })
    .await
}

fn say(path: &Path, checked: &Checked, config: &Config, connections: Option<&[Check]>, context: &Context) -> Exit {
    let answer = json!({
        "file": path.display().to_string(),
        "connections": config.connections.len(),
        "syncs": config.syncs.len(),
        "mappings": checked.mappings,
        "examples": checked.examples,
        "warnings": config.source.warnings,
        "reachable": connections,
    });
    context.output.say(&answer, |page| {
        for warning in &config.source.warnings {
            page.toned(Tone::Warn, "warning: ").line(warning);
        }
        page.line(format!(
            "{}: {}, {}, {} with {}: the files are sound",
            path.display(),
            counted(config.connections.len(), "connection"),
            counted(config.syncs.len(), "sync"),
            counted(checked.mappings, "mapping"),
            counted(checked.examples, "example"),
        ));
        for connection in connections.into_iter().flatten() {
            let (tone, otherwise) =
                if connection.ok { (Tone::Good, "can be used") } else { (Tone::Bad, "cannot be used") };
            page.toned(Tone::Strong, format!("{}: ", connection.name));
            page.toned_line(tone, connection.message.as_deref().unwrap_or(otherwise));
        }
    });
    if connections.into_iter().flatten().all(|connection| connection.ok) { Exit::Done } else { Exit::Failed }
}
