//! Connections to either engine: for reading, and transactions that write.

use std::ops::{Deref, DerefMut};

use sqlx::pool::PoolConnection;
use sqlx::{Database, Postgres, SqlSafeStr as _, Sqlite, Transaction};

use super::super::Result;
use super::statement::{Engine, Sql};
use super::{Pools, SqlStore};

/// A connection in use, of either engine.
#[derive(Debug)]
pub(super) enum Session<'s> {
    Sqlite(Held<'s, Sqlite>),
    Postgres(Held<'s, Postgres>),
}

/// A connection, alone or within a transaction. Dropped within a transaction, it is rolled back.
#[derive(Debug)]
pub(super) enum Held<'s, D: Database> {
    Connection(PoolConnection<D>),
    Transaction(Transaction<'s, D>),
}

impl<D: Database> Deref for Held<'_, D> {
    type Target = D::Connection;

    fn deref(&self) -> &D::Connection {
        match self {
            Self::Connection(connection) => connection,
            Self::Transaction(transaction) => transaction,
        }
    }
}

impl<D: Database> DerefMut for Held<'_, D> {
    fn deref_mut(&mut self) -> &mut D::Connection {
        match self {
            Self::Connection(connection) => connection,
            Self::Transaction(transaction) => transaction,
        }
    }
}

impl Session<'_> {
    /// The engine.
    pub(super) fn engine(&self) -> Engine {
        match self {
            Self::Sqlite(_) => Engine::Sqlite,
            Self::Postgres(_) => Engine::Postgres,
        }
    }

    /// Begins a statement.
    pub(super) fn sql(&self, text: &str) -> Sql {
        Sql::new(self.engine(), text)
    }

    /// Ends the transaction: what was written stays.
    pub(super) async fn commit(self) -> Result<()> {
        match self {
            Self::Sqlite(Held::Transaction(transaction)) => transaction.commit().await?,
            Self::Postgres(Held::Transaction(transaction)) => transaction.commit().await?,
            Self::Sqlite(Held::Connection(_)) | Self::Postgres(Held::Connection(_)) => {}
        }
        Ok(())
    }
}

impl SqlStore {
    /// The engine.
    pub(super) fn engine(&self) -> Engine {
        match &self.pools {
            Pools::Sqlite { .. } => Engine::Sqlite,
            Pools::Postgres { .. } => Engine::Postgres,
        }
    }

    /// Begins a statement.
    pub(super) fn sql(&self, text: &str) -> Sql {
        Sql::new(self.engine(), text)
    }

    /// A connection for reading.
    pub(super) async fn reader(&self) -> Result<Session<'static>> {
        Ok(match &self.pools {
            Pools::Sqlite { reader, .. } => Session::Sqlite(Held::Connection(reader.acquire().await?)),
            Pools::Postgres { pool, .. } => Session::Postgres(Held::Connection(pool.acquire().await?)),
        })
    }

    /// A transaction that reads: each of its statements sees the same state.
    pub(super) async fn snapshot(&self) -> Result<Session<'static>> {
        Ok(match &self.pools {
            Pools::Sqlite { reader, .. } => Session::Sqlite(Held::Transaction(reader.begin().await?)),
            Pools::Postgres { pool, .. } => {
                let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY".into_sql_str();
                Session::Postgres(Held::Transaction(pool.begin_with(begin).await?))
            }
        })
    }

    /// A transaction that writes. `SQLite` takes its lock at once, so that it never has to be upgraded.
    pub(super) async fn write(&self) -> Result<Session<'static>> {
        Ok(match &self.pools {
            Pools::Sqlite { writer, .. } => {
                Session::Sqlite(Held::Transaction(writer.begin_with("BEGIN IMMEDIATE".into_sql_str()).await?))
            }
            Pools::Postgres { pool, .. } => Session::Postgres(Held::Transaction(pool.begin().await?)),
        })
    }
}
