//! Sizes and the digest of the whole store.

use async_trait::async_trait;
use jiff::Timestamp;

use super::super::{HeldLease, Lease, Leases as _, OldestHistory, PruneStep, Result, SourceSize, StoreStats};
use super::super::{StoreError, Surplus, TableSize, Upkeep};
use super::session::Session;
use super::statement::Engine;
use super::{SqlStore, prune, rows};
use crate::model::Entity;

/// Parts hashed by one statement.
const PAGE: u32 = 5000;

/// Tables with more rows are estimated.
const COUNTED: i64 = 200_000;

/// `SQLite` reads the whole file to say how large its tables are: larger ones are not asked.
const LOOKED_THROUGH: i64 = 1 << 30;

#[async_trait]
impl Upkeep for SqlStore {
    async fn stats(&self) -> Result<StoreStats> {
        let mut session = self.reader().await?;
        let row = self.sql("SELECT epoch, sequence, purged FROM store").fetch_one(&mut session).await?;
        let version = self
            .sql("SELECT COALESCE(MAX(version), 0) AS version FROM _sqlx_migrations WHERE success")
            .fetch_one(&mut session)
            .await?;
        let (tables, bytes) = match self.engine() {
            Engine::Sqlite => sqlite_tables(&mut session).await?,
            Engine::Postgres => postgres_tables(&mut session).await?,
        };
        let oldest = self.sql("SELECT MIN(at) AS at FROM raw").fetch_one(&mut session).await?;
        let mut oldest_history = Vec::new();
        for entity in Entity::ALL {
            let sql = self.sql("SELECT MIN(until) AS until FROM history WHERE entity = ?").bind(entity.name());
            if let Some(until) = instant(sql.fetch_one(&mut session).await?.get("until")?)? {
                oldest_history.push(OldestHistory { entity, until });
            }
        }
        let sources = sources(&mut session).await?;
        drop(session);
        let leases: Vec<HeldLease> = self.leases().await?;
        Ok(StoreStats {
            engine: match self.engine() {
                Engine::Sqlite => "sqlite".to_owned(),
                Engine::Postgres => "postgresql".to_owned(),
            },
            schema_version: version.get("version")?,
            epoch: row.get("epoch")?,
            sequence: row.get("sequence")?,
            purged: row.get("purged")?,
            bytes,
            tables,
            sources,
            oldest_raw: instant(oldest.get("at")?)?,
            oldest_history,
            leases,
        })
    }

    async fn digest(&self) -> Result<String> {
        let mut session = self.snapshot().await?;
        let mut hasher = blake3::Hasher::new();
        let mut after: Option<[String; 5]> = None;
        loop {
            let mut sql = self.sql("SELECT entity, company, number, kind, part, hash FROM part WHERE ");
            if let Some(after) = &after {
                sql.push("(entity, company, number, kind, part) > (").separated(after.iter()).push(") AND ");
            }
            sql.push("source_key IS NOT NULL ORDER BY entity, company, number, kind, part LIMIT ").push_bind(PAGE);
            let found = sql.fetch_all(&mut session).await?;
            for row in &found {
                let mut key: [String; 5] = Default::default();
                for (text, column) in key.iter_mut().zip(["entity", "company", "number", "kind", "part"]) {
                    *text = row.get(column)?;
                    hasher.update(&(text.len() as u64).to_le_bytes());
                    hasher.update(text.as_bytes());
                }
                hasher.update(&row.get::<Vec<u8>>("hash")?);
                after = Some(key);
            }
            if found.len() < PAGE as usize {
                break;
            }
        }
        Ok(hasher.finalize().to_hex().to_string())
    }

    async fn prune(&self, lease: &Lease, what: Surplus, before: Timestamp, from: &str) -> Result<PruneStep> {
        prune::step(self, lease, what, before, from).await
    }
}

fn instant(microseconds: Option<i64>) -> Result<Option<Timestamp>> {
    microseconds.map(rows::instant).transpose()
}

async fn sources(session: &mut Session<'_>) -> Result<Vec<SourceSize>> {
    let found = session
        .sql(
            "SELECT s.connection, s.stream, s.kind, (SELECT COUNT(*) FROM part p WHERE p.source = s.id \
             AND p.source_key IS NOT NULL) AS living, COALESCE(t.tombstones, 0) AS tombstones FROM source s LEFT JOIN \
             (SELECT source, COUNT(*) AS tombstones FROM part WHERE source_key IS NULL GROUP BY source) t \
             ON t.source = s.id ORDER BY s.connection, s.stream, s.kind",
        )
        .fetch_all(session)
        .await?;
    found
        .iter()
        .map(|row| {
            Ok(SourceSize {
                connection: row.get("connection")?,
                stream: row.get("stream")?,
                kind: row.get("kind")?,
                living: row.get::<i64>("living")?.unsigned_abs(),
                tombstones: row.get::<i64>("tombstones")?.unsigned_abs(),
            })
        })
        .collect()
}

async fn postgres_tables(session: &mut Session<'_>) -> Result<(Vec<TableSize>, u64)> {
    let found = session
        .sql(
            "SELECT c.relname::text AS name, pg_total_relation_size(c.oid)::bigint AS bytes, \
             c.reltuples::bigint AS guess FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = current_schema() AND c.relkind = 'r' AND c.relname <> '_sqlx_migrations' \
             ORDER BY c.relname",
        )
        .fetch_all(session)
        .await?;
    let mut tables = Vec::new();
    for row in &found {
        // What autovacuum has not looked at yet has no guess.
        let (name, guess): (String, i64) = (row.get("name")?, row.get("guess")?);
        let estimated = guess > COUNTED;
        let rows = if estimated { guess } else { counted(session, &name).await? };
        let bytes = row.get::<i64>("bytes")?.unsigned_abs();
        tables.push(TableSize { name, rows: rows.unsigned_abs(), estimated, bytes: Some(bytes) });
    }
    let bytes = tables.iter().filter_map(|table| table.bytes).sum();
    Ok((tables, bytes))
}

async fn sqlite_tables(session: &mut Session<'_>) -> Result<(Vec<TableSize>, u64)> {
    let size = "SELECT page_count * page_size AS bytes FROM pragma_page_count(), pragma_page_size()";
    let size: i64 = session.sql(size).fetch_one(session).await?.get("bytes")?;
    let mut sizes = std::collections::HashMap::new();
    if size <= LOOKED_THROUGH {
        let sql = session.sql(
            "SELECT m.tbl_name AS name, SUM(d.pgsize) AS bytes FROM dbstat d JOIN sqlite_master m ON m.name = d.name \
             WHERE d.aggregate = TRUE GROUP BY m.tbl_name",
        );
        match sql.fetch_all(session).await {
            Ok(found) => {
                for row in &found {
                    sizes.insert(row.get::<String>("name")?, row.get::<i64>("bytes")?.unsigned_abs());
                }
            }
            // An SQLite that was built without it has no such table.
            Err(StoreError::Engine(error)) => tracing::debug!(%error, "the sizes of tables cannot be told"),
            Err(error) => return Err(error),
        }
    }
    let found = session
        .sql(
            "SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table' \
             AND name NOT LIKE 'sqlite%' AND name <> '_sqlx_migrations' ORDER BY name",
        )
        .fetch_all(session)
        .await?;
    let mut tables = Vec::new();
    for row in &found {
        let name: String = row.get("name")?;
        let mut guess = 0;
        if row.get::<i64>("wr")? == 0 {
            // Beyond what was deleted in the middle that is their number, without a walk.
            let sql = session.sql(&format!(
                "SELECT COALESCE((SELECT MAX(rowid) FROM {name}) - (SELECT MIN(rowid) FROM {name}) + 1, 0) AS guess"
            ));
            guess = sql.fetch_one(session).await?.get("guess")?;
        }
        let estimated = guess > COUNTED;
        let rows = if estimated { guess } else { counted(session, &name).await? };
        let bytes = sizes.get(&name).copied();
        tables.push(TableSize { name, rows: rows.unsigned_abs(), estimated, bytes });
    }
    Ok((tables, size.unsigned_abs()))
}

/// The rows of a table, whose name is one of the schema's own.
async fn counted(session: &mut Session<'_>, table: &str) -> Result<i64> {
    session.sql(&format!("SELECT COUNT(*) AS count FROM {table}")).fetch_one(session).await?.get("count")
}
