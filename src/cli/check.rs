//! `tradebridge check`: whether the files are sound, and whether what they name can be reached.

use clap::Args;
use serde_json::json;

use super::output::{Exit, Failure, counted};
use super::page::Tone;
use super::{Answered, Context, files};

#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    /// Check the files only, not the connections.
    #[arg(long)]
    offline: bool,
}

pub(super) fn run(arguments: &CheckArguments, context: &Context) -> Answered {
    let path = files::find(context.config.as_deref())?;
    let checked = files::check(&path);
    checked.problems.into_result()?;
    let Some(config) = checked.config else {
        return Err(Failure::failed(format!("{} cannot be read", path.display())));
    };
    let _ = arguments.offline;
    let answer = json!({
        "file": path.display().to_string(),
        "connections": config.connections.len(),
        "syncs": config.syncs.len(),
        "mappings": checked.mappings,
        "examples": checked.examples,
        "warnings": config.source.warnings,
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
    });
    Ok(Exit::Done)
}
