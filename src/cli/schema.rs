//! `tradebridge schema`: the published JSON Schemas, for editors and for shops.

use clap::Args;

use super::Answered;
use super::output::{Exit, Failure, print};
use crate::config::{self, suggest};
use crate::connector::ManifestFile;
use crate::mapping;
use crate::model::{PartKind, shape};

#[derive(Debug, Args)]
pub(super) struct SchemaArguments {
    /// `config`, `connector`, `mapping`, `order`, or a canonical record such as `customer`.
    kind: String,
}

/// The kinds of schema beside the canonical records.
const KINDS: [&str; 4] = ["config", "connector", "mapping", "order"];

pub(super) fn run(arguments: &SchemaArguments) -> Answered {
    let schema = match arguments.kind.as_str() {
        "config" => config::schema(),
        "connector" => config::schema::of::<ManifestFile>(),
        "mapping" => mapping::schema(),
        "order" => shape::order_schema(),
        name => {
            let Some(kind) = PartKind::from_name(name) else {
                let kinds = KINDS.into_iter().chain(PartKind::ALL.map(PartKind::name));
                let there = suggest::one_of(kinds);
                return Err(Failure::Usage(format!("there is no schema '{name}'; there are {there}")));
            };
            shape::schema(kind)
        }
    };
    print(&format!("{schema:#}"));
    Ok(Exit::Done)
}
