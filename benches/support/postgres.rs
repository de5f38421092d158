//! A PostgreSQL database of one's own, what is in its catalogue, and `COPY`.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use futures_util::TryStreamExt as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

use super::limit::Rate;
use super::{Outcome, timed};

/// The server where none is named.
const USUAL: &str = "postgres://postgres@127.0.0.1:5432/postgres";

/// Bytes of one message of a `COPY`.
const CHUNK: usize = 1 << 20;

/// A database made for one benchmark.
pub struct Database {
    server: PgConnectOptions,
    name: String,
}

/// The server's address: `TEST_DATABASE_URL`, or one on this machine.
pub fn server() -> String {
    std::env::var("TEST_DATABASE_URL").unwrap_or_else(|_| USUAL.to_owned())
}

impl Database {
    /// Makes a database on the server; an error says that none is reachable.
    pub async fn create(purpose: &str) -> Outcome<Self> {
        let server: PgConnectOptions = server().parse()?;
        let name = format!("tradebridge_bench_{purpose}_{}", std::process::id());
        let mut connection = server.connect().await?;
        execute(&mut connection, &format!("CREATE DATABASE {name}")).await?;
        Ok(Self { server, name })
    }

    /// Its address.
    pub fn url(&self) -> String {
        // What follows the last slash of an address is the database, up to its parameters.
        let server = server();
        let (before, parameters) = server.split_once('?').unwrap_or((&server, ""));
        let authority = before.find("://").map_or(0, |at| at + 3);
        let end = before[authority..].find('/').map_or(before.len(), |at| authority + at);
        let mark = if parameters.is_empty() { "" } else { "?" };
        format!("{}/{}{mark}{parameters}", &before[..end], self.name)
    }

    pub async fn connect(&self) -> Outcome<PgConnection> {
        Ok(self.server.clone().database(&self.name).connect().await?)
    }

    /// Drops it, whoever is connected.
    pub async fn remove(self) -> Outcome<()> {
        let mut connection = self.server.connect().await?;
        execute(&mut connection, &format!("DROP DATABASE {} WITH (FORCE)", self.name)).await
    }
}

pub async fn execute(connection: &mut PgConnection, statement: &str) -> Outcome<()> {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await?;
    Ok(())
}

/// How many rows each table has.
pub async fn counts(connection: &mut PgConnection) -> Outcome<BTreeMap<String, i64>> {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')",
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut counts = BTreeMap::new();
    for table in tables {
        let statement = format!("SELECT count(*) FROM {table}");
        counts.insert(table, sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(&mut *connection).await?);
    }
    Ok(counts)
}

/// How many bytes the server has written to its log so far; other databases of the server count too.
pub async fn written(connection: &mut PgConnection) -> Outcome<i64> {
    Ok(sqlx::query_scalar("SELECT (pg_current_wal_lsn() - '0/0')::int8").fetch_one(connection).await?)
}

/// Begins what is measured from the same state: nothing waits to be written to the tables.
pub async fn checkpoint(connection: &mut PgConnection) {
    // Only a superuser may; without, the figures scatter more.
    let _ = execute(connection, "CHECKPOINT").await;
}

/// The rows of `part` in a file, as `COPY` writes them.
pub struct Copied {
    path: PathBuf,
    columns: String,
    format: &'static str,
}

/// A table like `part` to copy into.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Like {
    /// With all its indexes.
    Indexed,
    /// With its primary key alone.
    KeyOnly,
}

impl Copied {
    /// Copies the rows of `part` to a file; `format` is `text` or `binary`.
    pub async fn take(connection: &mut PgConnection, directory: &Path, format: &'static str) -> Outcome<Self> {
        let columns: Vec<String> = sqlx::query_scalar(
            "SELECT quote_ident(attname) FROM pg_attribute \
             WHERE attrelid = 'part'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum",
        )
        .fetch_all(&mut *connection)
        .await?;
        let columns = columns.join(", ");
        let path = directory.join(format!("part.{format}"));
        let mut file = std::io::BufWriter::with_capacity(CHUNK, std::fs::File::create(&path)?);
        let statement = format!("COPY part ({columns}) TO STDOUT (FORMAT {format})");
        let mut rows = connection.copy_out_raw(&statement).await?;
        while let Some(bytes) = rows.try_next().await? {
            file.write_all(&bytes)?;
        }
        drop(rows);
        file.into_inner()?.sync_all()?;
        Ok(Self { path, columns, format })
    }

    /// Copies the file into an empty table, in one statement.
    pub async fn give(&self, connection: &mut PgConnection, like: Like) -> Outcome<Rate> {
        execute(connection, "DROP TABLE IF EXISTS part_copy").await?;
        match like {
            Like::Indexed => execute(connection, "CREATE TABLE part_copy (LIKE part INCLUDING ALL)").await?,
            Like::KeyOnly => {
                execute(connection, "CREATE TABLE part_copy (LIKE part)").await?;
                let key: Option<String> = sqlx::query_scalar(
                    "SELECT pg_get_constraintdef(oid) FROM pg_constraint \
                     WHERE conrelid = 'part'::regclass AND contype = 'p'",
                )
                .fetch_optional(&mut *connection)
                .await?;
                if let Some(key) = key {
                    execute(connection, &format!("ALTER TABLE part_copy ADD {key}")).await?;
                }
            }
        }
        checkpoint(connection).await;
        let (rows, seconds) = timed(self.send(connection)).await?;
        execute(connection, "DROP TABLE part_copy").await?;
        Ok(Rate { rows, seconds })
    }

    async fn send(&self, connection: &mut PgConnection) -> Outcome<u64> {
        let statement = format!("COPY part_copy ({}) FROM STDIN (FORMAT {})", self.columns, self.format);
        let mut file = std::fs::File::open(&self.path)?;
        let mut copy = connection.copy_in_raw(&statement).await?;
        let mut chunk = vec![0; CHUNK];
        loop {
            let length = file.read(&mut chunk)?;
            if length == 0 {
                return Ok(copy.finish().await?);
            }
            copy.send(&chunk[..length]).await?;
        }
    }
}

/// Closes a connection in order.
pub async fn close(connection: PgConnection) -> Outcome<()> {
    Ok(connection.close().await?)
}
