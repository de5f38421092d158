//! The daemon: the rooms wired together, what runs on a schedule, and the manners of a service.
//!
//! What does not live here: any rule. What is wired here is decided below, what is asked of it comes from above.

mod admin_file;
mod bridge;
mod consent;
mod control;
mod demo;
mod health;
mod metrics;
mod others;
mod pulls;
mod roles;
mod scopes;
mod service;
mod targets;
mod turns;
mod upkeep;

pub use bridge::{Bridge, OpenError};
pub use roles::Roles;
pub use service::{RunError, run};
