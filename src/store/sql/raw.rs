//! Kept source rows.

use std::collections::HashMap;

use async_trait::async_trait;
use serde_json::Value;

use super::super::{KeptBatch, RawBatch, Raws, Result, SourceId, Stored};
use super::{LOOKUP, SqlStore, rows};

#[async_trait]
impl Raws for SqlStore {
    async fn raw_batch(&self, id: i64) -> Result<Option<RawBatch>> {
        let sql = self.sql("SELECT records, bytes FROM raw WHERE id = ?").bind(id);
        let Some(row) = sql.fetch_optional(&mut self.reader().await?).await? else { return Ok(None) };
        Ok(Some(RawBatch { records: rows::count(&row, "records")?, bytes: row.get("bytes")? }))
    }

    async fn raw_batches(&self, source: SourceId, after: i64, limit: u32) -> Result<Vec<KeptBatch>> {
        let sql = self.sql(
            "SELECT id, run, at, records, CAST(length(bytes) AS BIGINT) AS size FROM raw \
             WHERE source = ? AND id > ? ORDER BY id LIMIT ?",
        );
        let found = sql.bind(source).bind(after).bind(limit).fetch_all(&mut self.reader().await?).await?;
        let batch = |row: &super::statement::Row| -> Result<KeptBatch> {
            Ok(KeptBatch {
                id: row.get("id")?,
                run: row.get("run")?,
                at: rows::instant(row.get("at")?)?,
                records: rows::count(row, "records")?,
                size: row.get::<i64>("size")?.unsigned_abs(),
            })
        };
        found.iter().map(batch).collect()
    }

    async fn raw_current(&self, source: SourceId, batch: i64, keys: &[String]) -> Result<Vec<Stored>> {
        let mut current = Vec::new();
        for chunk in keys.chunks(LOOKUP) {
            // Along the index of source keys: there is none of batches.
            let mut sql =
                self.sql("SELECT id, source_key, company, number, part, hash, changed_at FROM part WHERE source = ");
            sql.push_bind(source).push(" AND ").push_in("source_key", chunk).push(" AND raw = ").push_bind(batch);
            for row in sql.fetch_all(&mut self.reader().await?).await? {
                current.push(rows::stored(&row)?);
            }
        }
        Ok(current)
    }

    async fn raw_contents(&self, source: SourceId, keys: &[String]) -> Result<Vec<Option<Value>>> {
        let mut found = HashMap::with_capacity(keys.len());
        for chunk in keys.chunks(LOOKUP) {
            let mut sql = self.sql("SELECT source_key, content FROM part WHERE source = ");
            sql.push_bind(source).push(" AND ").push_in("source_key", chunk);
            for row in sql.fetch_all(&mut self.reader().await?).await? {
                found.insert(row.get::<String>("source_key")?, rows::json::<Value>(&row.get::<String>("content")?)?);
            }
        }
        Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
    }

    async fn without_raw(&self, source: SourceId) -> Result<u64> {
        let sql = self.sql(
            "SELECT COUNT(*) AS count FROM part p WHERE p.source = ? AND p.source_key IS NOT NULL \
             AND NOT EXISTS (SELECT 1 FROM raw r WHERE r.id = p.raw)",
        );
        let count: i64 = sql.bind(source).fetch_one(&mut self.reader().await?).await?.get("count")?;
        Ok(count.unsigned_abs())
    }
}
