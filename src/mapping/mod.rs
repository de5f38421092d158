//! Mappings: files that turn the records of a stream into canonical parts.
//!
//! A mapping is compiled once, with every error of the file at once, and applied to records without I/O. What does
//! not live here: reading the records (`connector`), the language of the expressions (`expression`), and what
//! becomes of the parts (`sync`).

mod apply;
mod compile;
mod convert;
mod examples;
mod file;

pub use apply::{Mapped, Outcome, Rejected, Setting};
pub use compile::Mapping;
pub use examples::ExampleResult;
pub use file::{Example, ListMapping, MappingFile};
