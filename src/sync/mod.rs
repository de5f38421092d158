//! Pulling: the records of a stream become staged differences, the guard decides, and the differences are applied.
//!
//! What does not live here: reading records (`connector`), turning them into parts (`mapping`), keeping them
//! (`store`), and what follows from a change (`publish`, `orders`).

mod differences;
mod draft;
mod erased;
mod error;
mod flow;
mod from_raw;
mod guard;
mod keeper;
mod keyed;
mod lease;
mod map_diff;
mod page;
mod plan;
mod preview;
mod prices;
mod progress;
mod pull;
pub mod raw;
mod run;
mod schedule;
mod scope;
mod settle;
mod validity;

pub use differences::{FieldDifference, differences};
pub use erased::erase_rows;
pub use error::SyncError;
pub use guard::{Verdict, judge};
pub use keeper::StoreKeeper;
pub use keyed::{Chunk, Keyed, Keyer};
pub use lease::Held;
pub use map_diff::{FieldChange, MapDiff, Refusal, map_diff};
pub use plan::{Link, ORDER_ACTION, OrderRoute, Plan, Pull};
pub use preview::{Change, Previewed};
pub use pull::{Extent, Pulled, Puller};
pub use run::{Job, Pass, Start};
pub use schedule::{Due, Schedule};
pub use scope::{Scopes, ShopScope, digest as scope_digest};
pub use settle::{Ended, approve, finish, refuse};
pub use validity::{Zones, next_turn, today, turn};
