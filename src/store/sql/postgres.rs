//! Opening a database of a PostgreSQL server: its pool, its limits, its schema.

use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};

use super::super::{Result, StoreError};
use super::relay::Relay;
use super::statement::Cell;
use super::{BUSY, OpenOptions, Pools, check_version};
use crate::config::PostgresUrl;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("src/store/sql/migrations/postgres");

/// The oldest server that has what the store needs.
const OLDEST: i32 = 130_000;

/// How long a connection stays open that nobody uses.
const IDLE: std::time::Duration = std::time::Duration::from_mins(10);

/// A connection that nobody used for longer is tried before it is used: the server may have been started anew meanwhile.
const UNTRIED: std::time::Duration = std::time::Duration::from_secs(1);

/// Opens a database.
pub(super) async fn open(url: &PostgresUrl, open: &OpenOptions) -> Result<Pools> {
    let failed = |source| StoreError::Server { server: url.to_string(), source };
    // No statement and no wait for a lock is without an end; a client that vanished frees what it held.
    let idle = format!("{}ms", open.lease.as_millis().max(1000));
    let limits = [
        ("application_name", "tradebridge"),
        ("statement_timeout", "60s"),
        ("lock_timeout", "30s"),
        // Whoever freezes within a transaction holds up the next holder of its lease no longer than the lease does.
        ("idle_in_transaction_session_timeout", idle.as_str()),
        ("tcp_keepalives_idle", "30"),
        ("tcp_keepalives_interval", "10"),
        ("tcp_keepalives_count", "3"),
        ("timezone", "UTC"),
    ];
    let options: PgConnectOptions = url.as_str().parse().map_err(failed)?;
    let mut options = options.options(limits).statement_cache_capacity(256);
    if let Some(password) = &open.password {
        options = options.password(password.reveal());
    }
    // A path is a socket of this machine already.
    let relay = if options.get_socket().is_some() || options.get_host().starts_with('/') {
        None
    } else {
        let relay = Relay::begin(options.get_host(), options.get_port()).await;
        Some(relay.map_err(|error| failed(sqlx::Error::Io(error)))?)
    };
    if let Some(relay) = &relay {
        options = options.socket(relay.directory());
    }
    let pool = PgPoolOptions::new()
        .max_connections(open.connections)
        .acquire_timeout(BUSY)
        .idle_timeout(IDLE)
        // Each connection was tried when it was given back, so trying it again at once is a round trip for nothing.
        .test_before_acquire(false)
        .before_acquire(|connection, used| {
            Box::pin(async move {
                if used.idle_for > UNTRIED {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_with(options)
        .await
        .map_err(failed)?;
    let version: String = sqlx::query_scalar("SHOW server_version_num").fetch_one(&pool).await.map_err(failed)?;
    if version.parse().is_ok_and(|version: i32| version < OLDEST) {
        return Err(StoreError::OldServer { server: url.to_string(), oldest: OLDEST / 10_000 });
    }
    if open.migrate {
        // A migration of a large store takes as long as it takes.
        let mut connection = pool.acquire().await?;
        sqlx::query("SET statement_timeout = 0").execute(&mut *connection).await?;
        MIGRATIONS.run(&mut *connection).await?;
        connection.close().await?;
    } else {
        check_version(schema_version(&pool).await?, &MIGRATIONS)?;
    }
    Ok(Pools::Postgres { pool, _relay: relay })
}

/// How much of a copy is sent at once.
const SENT: usize = 1 << 20;

/// Copies rows into a table, in PostgreSQL's binary form; how many.
/// <https://www.postgresql.org/docs/current/sql-copy.html>
pub(super) async fn copy<'a, const N: usize>(
    connection: &mut PgConnection,
    table: &str,
    rows: impl Iterator<Item = [Cell<'a>; N]>,
) -> Result<u64> {
    const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
    // A table has at most 1,600 columns.
    let columns = i16::try_from(N).unwrap_or(i16::MAX).to_be_bytes();
    let mut copy = connection.copy_in_raw(&format!("COPY {table} FROM STDIN (FORMAT binary)")).await?;
    let mut bytes = Vec::with_capacity(SENT + SENT / 4);
    bytes.extend_from_slice(HEADER);
    for row in rows {
        bytes.extend_from_slice(&columns);
        for cell in row {
            write_cell(&mut bytes, cell);
        }
        if bytes.len() >= SENT {
            copy.send(bytes.as_slice()).await?;
            bytes.clear();
        }
    }
    bytes.extend_from_slice(&(-1_i16).to_be_bytes());
    copy.send(bytes.as_slice()).await?;
    Ok(copy.finish().await?)
}

fn write_cell(bytes: &mut Vec<u8>, cell: Cell<'_>) {
    let number;
    let value = match cell {
        Cell::Integer(value) => {
            number = value.map(i64::to_be_bytes);
            number.as_ref().map(<[u8; 8]>::as_slice)
        }
        Cell::Text(value) => value.map(str::as_bytes),
        Cell::Bytes(value) => value,
    };
    // The readers stop far below 2 GiB; a longer value would be refused by the server as no row.
    let length = value.map_or(-1, |value| i32::try_from(value.len()).unwrap_or(i32::MAX));
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(value.unwrap_or_default());
}

async fn schema_version(pool: &PgPool) -> Result<Option<i64>> {
    let there: Option<String> =
        sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations')::text").fetch_one(pool).await?;
    if there.is_none() {
        return Ok(None);
    }
    Ok(sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations WHERE success").fetch_one(pool).await?)
}
