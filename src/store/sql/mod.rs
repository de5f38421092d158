//! The store on either engine: `SQLite` on one machine, with a write-ahead log, one process by lock, one writer and
//! many readers; PostgreSQL for any number of processes.
//!
//! What both can say in the same words stands here once. What only one can do stands in `sqlite` and `postgres`.
//! Pages are transactions of some thousand rows, so that short writes pass between them; readers are never blocked.

mod answers;
mod calls;
mod events;
mod feed;
mod history;
mod kept;
mod keys;
mod lease;
mod members;
mod orders;
mod outbox;
mod parts;
mod pauses;
mod postgres;
mod privacy;
mod prune;
mod raw;
mod recognise;
mod relay;
mod rows;
mod runs;
mod session;
mod shops;
mod sqlite;
mod stage;
mod statement;
mod turns;
mod upkeep;
mod write;

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use sqlx::{PgPool, SqlitePool};

use self::statement::Engine;
use super::{Result, StoreError};
use crate::config::{Secret, StoreSettings, StoreUrl};

/// How long a write waits for the one before it, and anyone for a connection.
const BUSY: Duration = Duration::from_secs(30);

/// Keys looked up by one statement; `SQLite` allows 32,766 bound values.
const LOOKUP: usize = 2000;

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// Whether the schema is brought up to this program's version; otherwise an older one is refused.
    pub migrate: bool,
    /// The password of the PostgreSQL user.
    pub password: Option<Secret>,
    /// Connections to a PostgreSQL server at the most.
    pub connections: u32,
    /// How long a lease lasts that is not renewed.
    pub lease: Duration,
}

impl From<&StoreSettings> for OpenOptions {
    fn from(settings: &StoreSettings) -> Self {
        Self {
            migrate: settings.migrate,
            password: settings.password.clone(),
            connections: settings.connections,
            lease: settings.lease.into(),
        }
    }
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { migrate: true, password: None, connections: 10, lease: Duration::from_secs(15) }
    }
}

/// A store on either engine.
#[derive(Debug)]
pub struct SqlStore {
    pools: Pools,
    lease: Duration,
    /// What this process is called where it holds leases.
    holder: String,
}

impl super::Store for SqlStore {}

/// Connections to the engine.
#[derive(Debug)]
enum Pools {
    Sqlite {
        writer: SqlitePool,
        reader: SqlitePool,
        /// Held for as long as the store is open: a second process is refused.
        _lock: File,
    },
    Postgres {
        pool: PgPool,
        /// The way to the server, for as long as the store is open.
        _relay: Option<relay::Relay>,
    },
}

impl SqlStore {
    /// Opens a store. A `SQLite` file is made with its directory where it is new; a PostgreSQL database must be there.
    ///
    /// # Errors
    /// [`StoreError::Locked`] where another process has the file, [`StoreError::Damaged`] where it is no sound
    /// database, [`StoreError::Server`] where the server cannot be reached or refuses, [`StoreError::NotMigrated`],
    /// [`StoreError::Open`].
    pub async fn open(url: &StoreUrl, options: &OpenOptions) -> Result<Self> {
        let pools = match url {
            StoreUrl::Sqlite(path) => sqlite::open(path, options).await?,
            StoreUrl::Postgres(server) => postgres::open(server, options).await?,
        };
        let store = Self { pools, lease: options.lease, holder: holder() };
        store.prepare().await?;
        Ok(store)
    }

    /// Opens the `SQLite` store in a file, with what is usual for everything else.
    ///
    /// # Errors
    /// As of [`SqlStore::open`].
    pub async fn open_file(path: &Path, migrate: bool) -> Result<Self> {
        Self::open(&StoreUrl::sqlite(path), &OpenOptions { migrate, ..OpenOptions::default() }).await
    }

    /// Whether a process has the store in this file open. The look itself holds the store for an instant.
    ///
    /// # Errors
    /// [`StoreError::Open`] where the lock file cannot be read.
    pub fn in_use(path: &Path) -> Result<bool> {
        sqlite::in_use(path)
    }

    /// Closes the store: waits for what is under way and, with `SQLite`, writes the log back.
    pub async fn close(&self) {
        if let Err(error) = self.release_leases().await {
            tracing::debug!(%error, "leases could not be given back: they run out by themselves");
        }
        match &self.pools {
            Pools::Sqlite { writer, reader, .. } => {
                reader.close().await;
                writer.close().await;
            }
            Pools::Postgres { pool, .. } => pool.close().await,
        }
    }

    /// What a store has from its first opening on.
    async fn prepare(&self) -> Result<()> {
        let mut session = self.write().await?;
        let sql = self.sql("INSERT INTO store (one, epoch, sequence) VALUES (1, ?, 0) ON CONFLICT DO NOTHING");
        sql.bind(new_epoch()).execute(&mut session).await?;
        if self.engine() == Engine::Sqlite {
            // The file's lock is this process's: whoever held a lease is gone.
            self.sql("UPDATE lease SET expires_at = 0").execute(&mut session).await?;
        }
        session.commit().await
    }
}

/// Machine, process, and what tells this opening of the store from any other.
fn holder() -> String {
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}/{}/{}", machine.trim(), std::process::id(), uuid::Uuid::now_v7().simple())
}

/// An epoch of the feed that never was.
fn new_epoch() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}

/// Refuses a schema that is older than the program's.
fn check_version(found: Option<i64>, migrations: &sqlx::migrate::Migrator) -> Result<()> {
    let needed = migrations.iter().map(|m| m.version).max().unwrap_or(0);
    let found = found.unwrap_or(0);
    if found < needed { Err(StoreError::NotMigrated { found, needed }) } else { Ok(()) }
}
