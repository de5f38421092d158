//! What shops see: entities assembled from their parts, within the shop's scope, and the feed of their changes.
//!
//! What does not live here: HTTP (`api`), keeping parts and memberships (`store`), and deciding which customers are in
//! a shop's scope when a record changes (`sync`).

mod notifier;

pub use notifier::Notifier;
