//! Integration tests, one binary: what a user of the project would miss if it broke.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod architecture;
mod connectors;
mod formats;
mod mappings;
mod shops;
mod store;
mod sync;
