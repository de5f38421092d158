//! What the benchmark of orders stands on: a place with daemon, broker and ERP, a shop, and the limits of the order path.
//!
//! What does not live here: what is measured (`benches/orders.rs`).

pub mod broker;
pub mod erp;
pub mod home;
pub mod lapin;
pub mod pgbench;
pub mod recorder;
pub mod relay;
pub mod script;
pub mod shop;
pub mod sqlite;
