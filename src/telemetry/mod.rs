//! What the daemon says about itself: the log and the metrics.
//!
//! Each fact that both operators and dashboards want is a named type in [`event`], so that its log line and its
//! metric stand together and cannot drift apart. What does not live here: when something is said (everywhere else).

pub mod event;
pub mod log;
mod metrics;

pub use event::{Event, emit};
pub use metrics::{Gauges, OrderAges, render};
