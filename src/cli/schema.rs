//! `tradebridge schema`: the published JSON Schemas, for editors and for shops.

use clap::Args;

use super::{Exit, complain, print};
use crate::config::{self, suggest};
use crate::connector::ManifestFile;
use crate::mapping;
use crate::model::{PartKind, shape};

#[derive(Debug, Args)]
pub(super) struct SchemaArguments {
    /// `config`, `connector`, `mapping`, `order`, or a canonical record such as `customer`.
    kind: String,
}

pub(super) fn run(arguments: &SchemaArguments) -> Exit {
    let schema = match arguments.kind.as_str() {
        "config" => config::schema(),
        "connector" => config::schema::of::<ManifestFile>(),
        "mapping" => mapping::schema(),
        "order" => shape::order_schema(),
        name => {
            let Some(kind) = PartKind::from_name(name) else {
                let kinds =
                    ["config", "connector", "mapping", "order"].into_iter().chain(PartKind::ALL.map(PartKind::name));
                complain(&format!("there is no schema '{name}'; there are {}", suggest::one_of(kinds)));
                return Exit::Usage;
            };
            shape::schema(kind)
        }
    };
    print(&format!("{schema:#}"));
    Exit::Done
}
