//! Mappings: files that turn the records of a stream into canonical parts, and orders into an action's request.
//!
//! A mapping is compiled once, with every error of the file at once, and applied without I/O. What does
//! not live here: reading the records (`connector`), the language of the expressions (`expression`), and what
//! becomes of the parts (`sync`).

mod apply;
mod compile;
mod convert;
mod examples;
mod file;
mod outbound;
mod outbound_examples;
mod outbound_file;
mod plan;
mod write;

pub use apply::{Mapped, Outcome, Rejected, Setting};
pub use compile::Mapping;
pub use examples::ExampleResult;
pub use file::{Example, ListMapping, MappingFile};
pub use outbound::Outbound;
pub use outbound_file::{Filling, ListName, OutboundAction, OutboundExample, OutboundFile, OutboundList, Tree};

use crate::config::{Document, Problems};

/// A compiled mapping file of either kind.
#[derive(Debug)]
pub enum AnyMapping {
    /// From a stream to parts.
    Inbound(Box<Mapping>),
    /// From an order to a request.
    Outbound(Box<Outbound>),
}

impl AnyMapping {
    /// Compiles a mapping file: one with the key `action` is an outbound mapping.
    ///
    /// # Errors
    /// Every fault of the file.
    pub fn compile(document: &Document) -> Result<Self, Problems> {
        if document.content.get("action").is_some() {
            Outbound::compile(document).map(|mapping| Self::Outbound(Box::new(mapping)))
        } else {
            Mapping::compile(document).map(|mapping| Self::Inbound(Box::new(mapping)))
        }
    }

    /// The file, as it was named.
    pub fn file(&self) -> &str {
        match self {
            Self::Inbound(mapping) => &mapping.file,
            Self::Outbound(mapping) => &mapping.file,
        }
    }

    /// Runs the file's examples.
    pub fn examples(&self) -> Vec<ExampleResult> {
        match self {
            Self::Inbound(mapping) => mapping.examples(),
            Self::Outbound(mapping) => mapping.examples(),
        }
    }
}

/// The JSON Schema of a mapping file of either kind.
pub fn schema() -> serde_json::Value {
    crate::config::schema::of::<AnyMappingFile>()
}

/// A mapping file: from a stream to canonical parts, or, with `action`, from an order to a request.
#[derive(schemars::JsonSchema)]
#[schemars(untagged, title = "Tradebridge mapping")]
#[allow(dead_code)]
enum AnyMappingFile {
    Inbound(MappingFile),
    Outbound(OutboundFile),
}
