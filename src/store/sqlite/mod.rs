//! The store on one machine: SQLite with a write-ahead log, one process by lock, one writer, many readers.
//!
//! Pages are transactions of some thousand rows, so that short writes pass between them; readers are never blocked.

mod answers;
mod feed;
mod keys;
mod members;
mod orders;
mod outbox;
mod parts;
mod rows;
mod runs;
mod shops;
mod write;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, Row as _, Sqlite, Transaction};

use super::error::code;
use super::{Result, StoreError};

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("src/store/sqlite/migrations");

/// How long a write waits for the one before it.
const BUSY: Duration = Duration::from_secs(30);

/// Keys looked up by one statement; SQLite allows 32,766 bound values.
const LOOKUP: usize = 2000;

/// Readers at once.
const READERS: u32 = 4;

/// A SQLite store.
#[derive(Debug)]
pub struct SqliteStore {
    writer: SqlitePool,
    reader: SqlitePool,
    /// Held for as long as the store is open: a second process is refused.
    _lock: File,
}

impl SqliteStore {
    /// Opens the store in a file, made with its directory where it is new. With `migrate` the schema is brought up
    /// to this program's version; without, an older schema is refused.
    ///
    /// # Errors
    /// [`StoreError::Locked`] where another process has it, [`StoreError::Damaged`] where the file is no sound
    /// database, [`StoreError::NotMigrated`], [`StoreError::Open`].
    pub async fn open(path: &Path, migrate: bool) -> Result<Self> {
        let lock = lock(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY)
            .statement_cache_capacity(256);
        let pool = |size| SqlitePoolOptions::new().max_connections(size).acquire_timeout(BUSY);
        // SQLite rolls a transaction back itself where its disk fails; the driver goes on counting it. Such a connection
        // would refuse every transaction from then on, and another one takes its place.
        let writer = pool(1).before_acquire(|connection, _| Box::pin(async { Ok(!connection.is_in_transaction()) }));
        let writer = writer.connect_with(options.clone()).await.map_err(|e| opening(path, e))?;
        let sound: String =
            sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&writer).await.map_err(|e| opening(path, e))?;
        if sound != "ok" {
            return Err(StoreError::Damaged { path: path.to_owned(), message: sound });
        }
        if migrate {
            MIGRATIONS.run(&writer).await.map_err(|e| match e {
                MigrateError::Execute(e) | MigrateError::ExecuteMigration(e, _) if is_trouble(&e) => opening(path, e),
                e => e.into(),
            })?;
        } else {
            check_version(&writer).await?;
        }
        sqlx::query("INSERT INTO store (one, epoch, sequence) VALUES (1, ?, 0) ON CONFLICT DO NOTHING")
            .bind(new_epoch())
            .execute(&writer)
            .await
            .map_err(|e| opening(path, e))?;
        let reader = pool(READERS).connect_with(options.read_only(true)).await.map_err(|e| opening(path, e))?;
        Ok(Self { writer, reader, _lock: lock })
    }

    /// Whether a process has the store in this file open. The look itself holds the store for an instant.
    pub fn in_use(path: &Path) -> Result<bool> {
        let name = lock_file(path);
        let open = |source| StoreError::Open { path: path.to_owned(), source };
        match File::open(&name) {
            Ok(file) => match file.try_lock_shared() {
                Ok(()) => Ok(false),
                Err(TryLockError::WouldBlock) => Ok(true),
                Err(TryLockError::Error(source)) => Err(open(source)),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(open(source)),
        }
    }

    /// Closes the store: waits for what is under way and writes the log back.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }

    /// A transaction that writes; the write lock is taken at once, so that it never has to be upgraded.
    async fn write(&self) -> Result<Transaction<'_, Sqlite>> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }
}

/// An epoch of the feed that never was.
fn new_epoch() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}

/// The file whose lock says that the store is open.
fn lock_file(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

fn lock(path: &Path) -> Result<File> {
    let open = |source| StoreError::Open { path: path.to_owned(), source };
    if let Some(directory) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
        std::fs::create_dir_all(directory).map_err(open)?;
    }
    let file = File::options().create(true).truncate(false).write(true).open(lock_file(path)).map_err(open)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked(path.to_owned())),
        Err(TryLockError::Error(source)) => Err(open(source)),
    }
}

/// Whether the file is at fault, and not what was asked of it.
fn is_trouble(error: &sqlx::Error) -> bool {
    matches!(code(error).map(|c| c & 0xff), Some(8 | 10 | 11 | 13 | 14 | 26))
}

fn opening(path: &Path, error: sqlx::Error) -> StoreError {
    // SQLITE_CORRUPT and SQLITE_NOTADB, https://www.sqlite.org/rescode.html
    // Its extended codes keep the kind in the lowest byte: SQLITE_READONLY, _IOERR, _FULL and _CANTOPEN.
    match code(&error).map(|c| c & 0xff) {
        Some(11 | 26) => StoreError::Damaged { path: path.to_owned(), message: error.to_string() },
        Some(8 | 10 | 13 | 14) => {
            StoreError::Open { path: path.to_owned(), source: std::io::Error::other(error.to_string()) }
        }
        _ => error.into(),
    }
}

async fn check_version(pool: &SqlitePool) -> Result<()> {
    let needed = MIGRATIONS.iter().map(|m| m.version).max().unwrap_or(0);
    let there: Option<String> =
        sqlx::query_scalar("SELECT name FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'")
            .fetch_optional(pool)
            .await?;
    let found = if there.is_some() {
        sqlx::query("SELECT COALESCE(MAX(version), 0) AS version FROM _sqlx_migrations WHERE success")
            .fetch_one(pool)
            .await?
            .try_get("version")?
    } else {
        0
    };
    if found < needed { Err(StoreError::NotMigrated { found, needed }) } else { Ok(()) }
}
