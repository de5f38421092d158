//! What can go wrong with a store.

use std::path::PathBuf;

/// A store's answer.
pub type Result<T> = std::result::Result<T, StoreError>;

/// What can go wrong with a store, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process has the store.
    #[error("{} is in use by another process; stop that one, or give this one a store of its own", .0.display())]
    Locked(PathBuf),
    /// The store's file or directory cannot be used.
    #[error("cannot open the store {}: {source}; check that the directory exists, is writable and has room", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The database server cannot be reached, or refuses.
    #[error(
        "the store on {server} cannot be opened: {source}; check the address, the user, the password and that the database exists"
    )]
    Server {
        /// The server, as it is configured, without a password.
        server: String,
        /// Why.
        source: sqlx::Error,
    },
    /// The database server lacks what the store needs.
    #[error("the server of the store {server} is too old; PostgreSQL {oldest} or later is needed")]
    OldServer {
        /// The server, as it is configured, without a password.
        server: String,
        /// The oldest version that will do.
        oldest: i32,
    },
    /// Another process has taken over what this one was at.
    #[error("another process has taken over '{0}', since its lease had run out here; nothing of the page was written")]
    Fenced(String),
    /// The server ended a transaction in which this process did nothing for too long.
    #[error(
        "this process stood still within a transaction until the server ended it ({0}): it was frozen, or the machine is \
         overloaded; nothing of the page was written"
    )]
    Frozen(#[source] sqlx::Error),
    /// The store's file is damaged.
    #[error("the store {} is damaged ({message}); restore it from a backup and run `tradebridge recover`", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the engine says.
        message: String,
    },
    /// The store's schema is older than the program.
    #[error("the store's schema is at version {found}, this program needs {needed}; run `tradebridge migrate`")]
    NotMigrated {
        /// The version found.
        found: i64,
        /// The version needed.
        needed: i64,
    },
    /// There is no room left.
    #[error(
        "there is no space left for the store; nothing of the page was written, and the run goes on from it once there is"
    )]
    Full(#[source] sqlx::Error),
    /// The disk takes nothing.
    #[error(
        "the store cannot be written ({0}): its disk is full, over a quota or a limit, or failing; nothing of the page was \
         written, and the run goes on from it once it can be"
    )]
    Unwritable(#[source] sqlx::Error),
    /// A stored value is not what was written.
    #[error("the store holds a {what} that cannot be read: {message}")]
    Unreadable {
        /// What it is.
        what: &'static str,
        /// Why not.
        message: String,
    },
    /// A migration failed.
    #[error("the store cannot be migrated: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// Anything else the engine says.
    #[error("the store failed: {0}")]
    Engine(#[source] sqlx::Error),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        // SQLITE_FULL and SQLITE_IOERR_SHMSIZE say what is missing; SQLITE_IOERR_WRITE, _FSYNC and _TRUNCATE come from
        // a quota or a limit as well as from a broken disk: https://www.sqlite.org/rescode.html
        // PostgreSQL's idle_in_transaction_session_timeout and disk_full, https://www.postgresql.org/docs/current/errcodes-appendix.html
        match (sqlstate(&error).as_deref(), code(&error)) {
            (Some("25P03"), _) => Self::Frozen(error),
            (Some("53100"), _) | (_, Some(13 | 4874)) => Self::Full(error),
            (_, Some(778 | 1034 | 1546)) => Self::Unwritable(error),
            _ => Self::Engine(error),
        }
    }
}

impl StoreError {
    /// Whether a key that has to be unique is there already.
    pub(super) fn is_taken(&self) -> bool {
        let Self::Engine(error) = self else { return false };
        error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation)
    }
}

/// PostgreSQL's code of an error, five characters; SQLite's codes are shorter.
fn sqlstate(error: &sqlx::Error) -> Option<String> {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code)?;
    (code.len() == 5).then(|| code.into_owned())
}

/// The engine's extended result code.
pub(super) fn code(error: &sqlx::Error) -> Option<i32> {
    if sqlstate(error).is_some() {
        return None;
    }
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).and_then(|code| code.parse().ok())
}
