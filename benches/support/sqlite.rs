//! The bare insert into a table like `part` of a SQLite store, and what is in the store's catalogue.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteRow, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _, TypeInfo as _, ValueRef as _};

use super::Outcome;
use super::limit::Rate;

/// Rows of one statement.
const STATEMENT: usize = 200;

/// Rows of one transaction.
const TRANSACTION: usize = 10_000;

/// A value as SQLite keeps it.
enum Value {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

/// A connection with the store's own settings.
async fn connect(path: &Path, new: bool) -> Outcome<SqliteConnection> {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(new).read_only(!new);
    let options = if new {
        options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full).foreign_keys(true)
    } else {
        options
    };
    Ok(options.connect().await?)
}

/// How many rows each table has.
pub async fn counts(path: &Path) -> Outcome<BTreeMap<String, i64>> {
    let mut connection = connect(path, false).await?;
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT name FROM sqlite_master WHERE type = 'table'").fetch_all(&mut connection).await?;
    let mut counts = BTreeMap::new();
    for table in tables {
        let statement = format!("SELECT count(*) FROM \"{table}\"");
        counts.insert(table, sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(&mut connection).await?);
    }
    Ok(counts)
}

/// Inserts the rows of `part` of a store into a table of the same columns in a file of its own, with the same indexes or
/// none; only the inserts and their commits count.
pub async fn insert(store: &Path, directory: &Path, indexed: bool) -> Outcome<Rate> {
    let path = directory.join("limit.db");
    remove(&path)?;
    let mut from = connect(store, false).await?;
    let mut to = connect(&path, true).await?;
    copy_schema(&mut to, store, indexed).await?;
    let columns: Vec<String> =
        sqlx::query_scalar("SELECT name FROM pragma_table_xinfo('part') WHERE hidden = 0").fetch_all(&mut from).await?;
    let names = columns.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    let select = format!("SELECT rowid, {names} FROM part WHERE rowid > ? ORDER BY rowid LIMIT {TRANSACTION}");
    let insert = |rows: usize| {
        let row = format!("({})", vec!["?"; columns.len()].join(", "));
        format!("INSERT INTO part ({names}) VALUES {}", vec![row; rows].join(", "))
    };
    let whole = insert(STATEMENT);
    let (mut after, mut rate) = (0_i64, Rate { rows: 0, seconds: 0.0 });
    loop {
        let read = sqlx::query(AssertSqlSafe(select.as_str())).bind(after).fetch_all(&mut from).await?;
        let Some(last) = read.last() else { break };
        after = last.try_get(0)?;
        let mut rows = read.iter().map(|row| values(row, columns.len())).collect::<Outcome<Vec<_>>>()?;
        rate.rows += rows.len() as u64;
        let begun = Instant::now();
        let mut transaction = to.begin_with("BEGIN IMMEDIATE").await?;
        while !rows.is_empty() {
            let rest = rows.split_off(rows.len().min(STATEMENT));
            let short;
            let statement = if rows.len() == STATEMENT {
                whole.as_str()
            } else {
                short = insert(rows.len());
                short.as_str()
            };
            let mut query = sqlx::query(AssertSqlSafe(statement));
            for value in rows.into_iter().flatten() {
                query = match value {
                    Value::Null => query.bind(None::<i64>),
                    Value::Integer(value) => query.bind(value),
                    Value::Real(value) => query.bind(value),
                    Value::Text(value) => query.bind(value),
                    Value::Blob(value) => query.bind(value),
                };
            }
            query.execute(&mut *transaction).await?;
            rows = rest;
        }
        transaction.commit().await?;
        rate.seconds += begun.elapsed().as_secs_f64();
    }
    to.close().await?;
    from.close().await?;
    remove(&path)?;
    Ok(rate)
}

/// Makes `part` as it is in the store, and whatever tables it refers to with what they hold.
async fn copy_schema(to: &mut SqliteConnection, store: &Path, indexed: bool) -> Outcome<()> {
    sqlx::query("ATTACH DATABASE ? AS store").bind(store.display().to_string()).execute(&mut *to).await?;
    let (mut made, mut wanted) = (BTreeSet::new(), vec!["part".to_owned()]);
    let mut tables = Vec::new();
    while let Some(table) = wanted.pop() {
        if made.insert(table.clone()) {
            let referred: Vec<String> =
                sqlx::query_scalar("SELECT DISTINCT \"table\" FROM pragma_foreign_key_list(?, 'store')")
                    .bind(table.clone())
                    .fetch_all(&mut *to)
                    .await?;
            wanted.extend(referred);
            tables.push(table);
        }
    }
    // What others refer to comes first.
    for table in tables.iter().rev() {
        let sql: String = sqlx::query_scalar("SELECT sql FROM store.sqlite_master WHERE type = 'table' AND name = ?")
            .bind(table.clone())
            .fetch_one(&mut *to)
            .await?;
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *to).await?;
        if table != "part" {
            let fill = format!("INSERT INTO main.\"{table}\" SELECT * FROM store.\"{table}\"");
            sqlx::raw_sql(AssertSqlSafe(fill)).execute(&mut *to).await?;
        }
    }
    if indexed {
        let statements: Vec<String> = sqlx::query_scalar(
            "SELECT sql FROM store.sqlite_master WHERE type = 'index' AND tbl_name = 'part' AND sql IS NOT NULL",
        )
        .fetch_all(&mut *to)
        .await?;
        for sql in statements {
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *to).await?;
        }
    }
    sqlx::raw_sql("DETACH DATABASE store").execute(&mut *to).await?;
    Ok(())
}

/// The values of a row behind its identifier.
fn values(row: &SqliteRow, columns: usize) -> Outcome<Vec<Value>> {
    (1..=columns)
        .map(|at| {
            let raw = row.try_get_raw(at)?;
            Ok(match raw.type_info().name() {
                _ if raw.is_null() => Value::Null,
                "INTEGER" => Value::Integer(row.try_get(at)?),
                "REAL" => Value::Real(row.try_get(at)?),
                "BLOB" => Value::Blob(row.try_get(at)?),
                _ => Value::Text(row.try_get(at)?),
            })
        })
        .collect()
}

/// Removes a database with what belongs to it.
fn remove(path: &Path) -> Outcome<()> {
    for end in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        match std::fs::remove_file(name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}
