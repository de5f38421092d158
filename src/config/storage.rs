//! Settings of the store: where it is, its limits, and how long what is over is kept.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::secret::Secret;
use super::values::{Interval, Period, StoreUrl};
use crate::model::Entity;

/// Where everything is kept.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StoreSettings {
    /// Where the store is: `sqlite://` and the path of a file, or a database of a PostgreSQL server.
    pub url: StoreUrl,
    /// The password of the PostgreSQL user.
    pub password: Option<Secret>,
    /// What secrets in the store are encrypted with, such as the refresh tokens of connections: 32 bytes in base64, made
    /// by `openssl rand -base64 32`. Needed where a connection keeps such a secret.
    pub encryption_key: Option<Secret>,
    /// Connections to the PostgreSQL server at the most.
    #[schemars(range(min = 4, max = 1000))]
    pub connections: u32,
    /// How long a process keeps the right to a pull that it does not renew: so long after it was killed or cut off
    /// another takes over.
    pub lease: Interval,
    /// Whether `run` brings the store to its own schema version before it starts. Otherwise it
    /// refuses an older store and asks for `tradebridge migrate`.
    pub migrate: bool,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            url: StoreUrl::sqlite("data/tradebridge.db"),
            password: None,
            encryption_key: None,
            connections: 10,
            lease: Interval::from_secs(15),
            migrate: true,
        }
    }
}

impl StoreSettings {
    /// The path beside which the running daemon keeps its lock and says how commands on this machine reach it.
    pub fn run_path(&self, run_directory: &Path) -> PathBuf {
        match &self.url {
            StoreUrl::Sqlite(path) => path.clone(),
            StoreUrl::Postgres(_) => run_directory.join("tradebridge"),
        }
    }
}

/// How long what is over is kept. `0s` keeps nothing.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Superseded versions of records: how far back `known_at` reaches.
    pub history: Period,
    /// The same for some entities.
    pub history_of: BTreeMap<Entity, Period>,
    /// Source rows as they were read: how long after their change a mapping can be applied to them anew.
    pub raw: Period,
    /// Runs that changed nothing.
    pub runs: Period,
    /// Requests and answers by which orders were sent, of each order the last ones.
    pub calls: Period,
    /// Tombstones: how long a consumer of the feed may stay away before it has to take a snapshot.
    pub tombstones: Period,
}

impl Default for Retention {
    fn default() -> Self {
        let days = |days: u64| Period::from_secs(days * 24 * 60 * 60);
        Self {
            history: days(400),
            history_of: BTreeMap::from([(Entity::Stock, days(30))]),
            raw: days(90),
            runs: days(90),
            calls: days(90),
            tombstones: days(90),
        }
    }
}

impl Retention {
    /// How long superseded versions of an entity are kept.
    pub fn history_of(&self, entity: Entity) -> Period {
        self.history_of.get(&entity).copied().unwrap_or(self.history)
    }
}
