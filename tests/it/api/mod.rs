//! The HTTP API over a real store, in-process and over real connections.

mod changes;
mod harness;
mod history;
mod http;
mod isolation;
mod orders;
mod reads;
