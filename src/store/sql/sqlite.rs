//! Opening a `SQLite` file: its lock, its soundness, its schema.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use sqlx::Connection as _;
use sqlx::migrate::MigrateError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};

use super::super::error::code;
use super::super::{Result, StoreError};
use super::{BUSY, OpenOptions, Pools, check_version};

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("src/store/sql/migrations/sqlite");

/// Readers at once.
const READERS: u32 = 4;

/// Opens the store in a file, made with its directory where it is new.
pub(super) async fn open(path: &Path, open: &OpenOptions) -> Result<Pools> {
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
    if open.migrate {
        MIGRATIONS.run(&writer).await.map_err(|e| match e {
            MigrateError::Execute(e) | MigrateError::ExecuteMigration(e, _) if is_trouble(&e) => opening(path, e),
            e => e.into(),
        })?;
    } else {
        check_version(version(&writer).await?, &MIGRATIONS)?;
    }
    let reader = pool(READERS).connect_with(options.read_only(true)).await.map_err(|e| opening(path, e))?;
    Ok(Pools::Sqlite { writer, reader, _lock: lock })
}

/// Whether a process has the store in this file open.
pub(super) fn in_use(path: &Path) -> Result<bool> {
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

/// The file whose lock says that the store is open.
fn lock_file(path: &Path) -> PathBuf {
    path.with_added_extension("lock")
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

async fn version(pool: &SqlitePool) -> Result<Option<i64>> {
    let there: Option<String> =
        sqlx::query_scalar("SELECT name FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'")
            .fetch_optional(pool)
            .await?;
    if there.is_none() {
        return Ok(None);
    }
    Ok(sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations WHERE success").fetch_one(pool).await?)
}
