//! `tradebridge map`: working with mapping files, without a daemon and without a store.

use std::path::PathBuf;

use clap::Subcommand;

use super::{Exit, complain, print};
use crate::config::{Document, Problems};
use crate::mapping::AnyMapping;

#[derive(Debug, Subcommand)]
pub(super) enum MapCommand {
    /// Check mapping files and run their [[test]] examples.
    Test {
        /// Mapping files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

pub(super) fn run(command: &MapCommand) -> Exit {
    let MapCommand::Test { files } = command;
    let mut problems = Problems::default();
    let (mut passed, mut failed) = (0, 0);
    for file in files {
        let mapping = Document::load(file)
            .map_err(|problem| Problems(vec![problem]))
            .and_then(|document| AnyMapping::compile(&document));
        let mapping = match mapping {
            Ok(mapping) => mapping,
            Err(found) => {
                problems.append(found.0);
                continue;
            }
        };
        for example in mapping.examples() {
            if example.differences.is_empty() {
                passed += 1;
                continue;
            }
            failed += 1;
            complain(&format!("{}:{}: {}", mapping.file(), example.line, example.name));
            for difference in &example.differences {
                complain(&format!("  {difference}"));
            }
        }
    }
    print(&format!("{} files, {passed} passed, {failed} failed", files.len()));
    match problems.into_result() {
        Err(problems) => {
            complain(&problems.to_string());
            Exit::Usage
        }
        Ok(()) if failed > 0 => Exit::Failed,
        Ok(()) => Exit::Done,
    }
}
