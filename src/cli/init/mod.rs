//! `tradebridge init`: a starting point that works as it is, to be changed into one's own.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::output::{Exit, Failure};
use super::page::Tone;
use super::{Answered, Context};

/// What is written: the path below the directory, and the content.
const FILES: [(&str, &str); 5] = [
    ("config/tradebridge.toml", include_str!("tradebridge.toml")),
    ("connectors/my-erp.toml", include_str!("my-erp.toml")),
    ("mappings/my-erp/customer.toml", include_str!("customer.toml")),
    ("export/customers.csv", include_str!("customers.csv")),
    ("README.md", include_str!("README.md")),
];

#[derive(Debug, Args)]
pub(super) struct InitArguments {
    /// The directory; it is made where it is new. Files that are there already are never overwritten.
    #[arg(default_value = ".", value_name = "DIR")]
    directory: PathBuf,
}

pub(super) fn run(arguments: &InitArguments, context: &Context) -> Answered {
    let directory = &arguments.directory;
    let here = directory == Path::new(".");
    let place = |name: &str| if here { PathBuf::from(name) } else { directory.join(name) };
    let there: Vec<String> = FILES
        .iter()
        .map(|(name, _)| place(name))
        .filter(|path| path.symlink_metadata().is_ok())
        .map(|path| path.display().to_string())
        .collect();
    if !there.is_empty() {
        return Err(Failure::failed(format!(
            "{} there already, and nothing was written; name another directory: `tradebridge init DIR`",
            if let [one] = there.as_slice() { format!("{one} is") } else { format!("{} are", there.join(", ")) },
        )));
    }
    let mut written = Vec::new();
    for (name, content) in FILES {
        let path = place(name);
        write(&path, content).map_err(|error| {
            Failure::failed(format!("{} cannot be written: {error}; check that the directory is yours", path.display()))
        })?;
        written.push(path.display().to_string());
    }
    context.output.say(&json!({ "directory": directory.display().to_string(), "written": written }), |page| {
        for path in &written {
            page.toned(Tone::Good, "written ").line(path);
        }
        let go = if here { String::new() } else { format!("cd {} && ", directory.display()) };
        page.line("").line(format!("Next: `{go}tradebridge check --offline`, then README.md."));
    });
    Ok(Exit::Done)
}

/// Writes a new file; one that has appeared meanwhile is an error.
fn write(path: &Path, content: &str) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let mut file = File::create_new(path)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()
}
