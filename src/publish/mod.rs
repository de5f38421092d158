//! What shops see: entities assembled from their parts, within the shop's scope, and the feed of their changes, which is
//! also published to a broker.
//!
//! What does not live here: HTTP (`api`), keeping parts and memberships (`store`), and deciding which customers are in
//! a shop's scope when a record changes (`sync`).

mod broadcast;
mod cursor;
mod error;
mod feed;
mod filter;
mod history;
mod notifier;
mod question;
mod record;
mod tiers;
mod verified;
mod window;

pub use broadcast::Broadcast;
pub use error::PublishError;
pub use feed::{Changed, Changes, FeedOperation};
pub use filter::Filter;
pub use history::reach;
pub use notifier::Notifier;
pub use question::{Ended, Ending, Question, ended};
pub use record::{PartSource, Record, RecordMeta, assemble};
pub use tiers::{Agreement, Tier, Tiers};
pub use verified::Verified;
pub use window::{Page, Window};
