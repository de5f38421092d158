//! Talking to systems: transports and formats, told by manifests. Nothing here knows one system.
//!
//! What does not live here: what records mean (`mapping`) and what becomes of them (`sync`).

pub mod file;
pub mod format;
mod outcome;

pub use outcome::{CreateClass, Created, Found};
