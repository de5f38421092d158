//! Integration tests, one binary: what a user of the project would miss if it broke.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// Whoever runs the tests is told what was left out and how often something was tried.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod admin;
mod api;
mod architecture;
mod bad_input;
mod bmecat;
mod broker;
mod cli;
mod connectors;
mod crash;
mod crash_points;
mod crash_postgres;
mod daemon;
mod daemon_messages;
mod daemon_orders;
mod exchange;
mod exports;
mod feed;
mod formats;
mod from_raw;
mod history;
mod http;
mod http_related;
mod mappings;
mod orders;
mod orders_store;
mod privacy;
mod pull;
mod real;
mod several;
mod several_orders;
mod shops;
mod store;
mod support;
mod sync;
mod turns;
mod upkeep;
