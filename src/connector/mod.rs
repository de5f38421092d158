//! Talking to systems: transports and formats, told by manifests. Nothing here knows one system.
//!
//! What does not live here: what records mean (`mapping`) and what becomes of them (`sync`).

mod binder;
mod catalog;
mod check;
mod compile;
mod connection;
mod error;
pub mod file;
pub mod format;
mod http;
mod keep;
mod manifest;
mod offer;
mod options;
mod outcome;
mod probe;
mod reading;
mod settings;
mod survey;
mod trail;
mod word;
mod writing;

pub use catalog::Catalog;
pub use compile::Manifest;
pub use connection::{Action, Connector};
pub use error::ConnectorError;
pub use http::budget::Headroom;
pub use http::consent::{Asking, ConsentError};
pub use http::traffic::{HIDDEN, Recorder, Replay, Tap, Traffic, TrafficError};
pub use keep::{KeepError, Keeper, Kept};
pub use manifest::{ManifestFile, Proof, SettingFile, SettingType, Transport};
pub use offer::{Offer, Verify, Wanted, is_since};
pub use outcome::{CreateClass, Created, Found};
pub use probe::ProbeResult;
pub use survey::{StreamSurvey, Survey, SurveyResult};
pub use trail::{Answered, Exchange, LONGEST_BODY, Sent, Trail};
