//! Reading and recognising parts.

use std::collections::HashMap;

use async_trait::async_trait;
use sqlx::{QueryBuilder, Row as _, Sqlite};

use super::super::{Known, ListQuery, Owned, Part, Parts, Result, Source, SourceId, Stored};
use super::{LOOKUP, SqliteStore, rows};
use crate::model::{Entity, Key, PartKind};

#[async_trait]
impl Parts for SqliteStore {
    async fn source(&self, connection: &str, stream: &str, kind: PartKind) -> Result<Source> {
        let mut tx = self.write().await?;
        sqlx::query("INSERT INTO source (connection, stream, kind) VALUES (?, ?, ?) ON CONFLICT DO NOTHING")
            .bind(connection)
            .bind(stream)
            .bind(kind.name())
            .execute(&mut *tx)
            .await?;
        let row = sqlx::query("SELECT * FROM source WHERE connection = ? AND stream = ? AND kind = ?")
            .bind(connection)
            .bind(stream)
            .bind(kind.name())
            .fetch_one(&mut *tx)
            .await?;
        tx.commit().await?;
        rows::source(&row)
    }

    async fn sources(&self) -> Result<Vec<Source>> {
        sqlx::query("SELECT * FROM source ORDER BY connection, stream, kind")
            .fetch_all(&self.reader)
            .await?
            .iter()
            .map(rows::source)
            .collect()
    }

    async fn known(&self, source: SourceId, keys: &[String]) -> Result<Vec<Option<Known>>> {
        let mut found = HashMap::with_capacity(keys.len());
        for chunk in keys.chunks(LOOKUP) {
            let mut query = QueryBuilder::<Sqlite>::new(
                "SELECT source_key, id, source_hash, hash, company, number, part FROM part WHERE source = ",
            );
            query.push_bind(source).push(" AND source_key IN (");
            let mut list = query.separated(", ");
            for key in chunk {
                list.push_bind(key.clone());
            }
            query.push(")");
            for row in query.build().fetch_all(&self.reader).await? {
                found.insert(row.try_get::<String, _>("source_key")?, rows::known(&row)?);
            }
        }
        Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
    }

    async fn owners(&self, kind: PartKind, keys: &[(Key, String)]) -> Result<Vec<Option<Owned>>> {
        let mut found = HashMap::with_capacity(keys.len());
        for chunk in keys.chunks(LOOKUP / 3) {
            let mut query = QueryBuilder::<Sqlite>::new("WITH k (company, number, part) AS (");
            query.push_values(chunk, |mut row, (key, part)| {
                row.push_bind(key.company.clone()).push_bind(key.number.clone()).push_bind(part.clone());
            });
            query.push(
                ") SELECT p.company, p.number, p.part, p.source, p.source_key, s.connection FROM k CROSS JOIN part p \
                 ON p.company = k.company AND p.number = k.number AND p.part = k.part \
                 JOIN source s ON s.id = p.source WHERE p.source_key IS NOT NULL AND p.entity = ",
            );
            query.push_bind(kind.entity().name()).push(" AND p.kind = ").push_bind(kind.name());
            for row in query.build().fetch_all(&self.reader).await? {
                let owned = Owned {
                    source: row.try_get("source")?,
                    connection: row.try_get("connection")?,
                    source_key: row.try_get("source_key")?,
                };
                found.insert((rows::key(&row)?, row.try_get::<String, _>("part")?), owned);
            }
        }
        Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
    }

    async fn count(&self, source: SourceId) -> Result<u64> {
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM part WHERE source = ? AND source_key IS NOT NULL")
            .bind(source)
            .fetch_one(&self.reader)
            .await?;
        Ok(count.unsigned_abs())
    }

    async fn living(&self, source: SourceId, after: i64, limit: u32) -> Result<Vec<Stored>> {
        // The plus keeps SQLite from the index on source: the walk is by identifier.
        sqlx::query(
            "SELECT id, source_key, company, number, part, hash FROM part \
             WHERE id > ? AND +source = ? AND source_key IS NOT NULL ORDER BY id LIMIT ?",
        )
        .bind(after)
        .bind(source)
        .bind(limit)
        .fetch_all(&self.reader)
        .await?
        .iter()
        .map(rows::stored)
        .collect()
    }

    async fn parts(&self, entity: Entity, keys: &[Key]) -> Result<Vec<Part>> {
        let mut parts = Vec::new();
        for chunk in keys.chunks(LOOKUP / 2) {
            let mut query = rows::with_keys(chunk);
            query.push(rows::PART_OF_KEYS);
            query.push("WHERE p.source_key IS NOT NULL AND p.entity = ").push_bind(entity.name());
            query.push(" ORDER BY p.company, p.number, p.part <> '', p.kind, p.part");
            for row in query.build().fetch_all(&self.reader).await? {
                parts.push(rows::part(&row)?);
            }
        }
        Ok(parts)
    }

    async fn list(&self, wanted: &ListQuery) -> Result<Vec<Part>> {
        let mut query = QueryBuilder::<Sqlite>::new(rows::PART);
        query.push("WHERE p.source_key IS NOT NULL AND p.entity = ").push_bind(wanted.entity.name());
        query.push(" AND p.kind = ").push_bind(PartKind::from(wanted.entity).name());
        for (column, values) in [
            ("p.company", &wanted.companies),
            ("s.connection", &wanted.connections),
            ("p.who", &wanted.who),
            ("p.what", &wanted.what),
        ] {
            if values.is_empty() {
                continue;
            }
            query.push(format_args!(" AND {column} IN ("));
            let mut list = query.separated(", ");
            for value in values {
                list.push_bind(value.clone());
            }
            query.push(")");
        }
        if let Some(after) = &wanted.after {
            query.push(" AND (p.company, p.number) > (").push_bind(after.company.clone());
            query.push(", ").push_bind(after.number.clone()).push(")");
        }
        query.push(" ORDER BY p.company, p.number LIMIT ").push_bind(wanted.limit);
        query.build().fetch_all(&self.reader).await?.iter().map(rows::part).collect()
    }
}
