//! The files a person writes: TOML documents that remember where everything stands, their check
//! against a schema, and the daemon's own configuration with its environment overrides and secrets.
//!
//! What does not live here: what manifests and mappings mean (`connector`, `mapping`), and anything
//! that acts on the configuration.

pub mod document;
mod formats;
mod load;
mod overrides;
pub mod place;
pub mod queue;
pub mod schema;
pub mod seal;
pub mod secret;
pub mod settings;
pub mod storage;
pub mod suggest;
pub mod values;
mod violation;

pub use document::Document;
pub use load::{environment, schema};
pub use place::{KeyPath, Position, Problem, Problems};
pub use queue::{BrokerUrl, QueueSettings, QueueUrl};
pub use seal::{Seal, SealError};
pub use secret::Secret;
pub use settings::{
    ApiKey, ApiSettings, Config, Connection, DaemonSettings, DemoCopy, ENTITIES, Guard, LogFormat, LogSettings, Prices,
    Retry, Scope, SettingValue, Shop, Source, SyncSettings,
};
pub use storage::{Retention, StoreSettings};
pub use values::{PostgresUrl, StoreUrl};
