//! Integration tests, one binary: what a user of the project would miss if it broke.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod admin;
mod architecture;
mod cli;
mod daemon;
mod formats;
mod mappings;
mod orders_store;
mod shops;
mod store;
mod sync;
