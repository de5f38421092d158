//! Reading and recognising parts.

use std::collections::HashMap;

use async_trait::async_trait;

use super::super::{ListQuery, Owned, Part, Parts, Recognised, Result, Source, SourceId, Stored};
use super::statement::{Engine, Sql};
use super::{LOOKUP, SqlStore, recognise, rows};
use crate::model::hash::ContentHash;
use crate::model::{Entity, Key, PartKind};

#[async_trait]
impl Parts for SqlStore {
    async fn source(&self, connection: &str, stream: &str, kind: PartKind) -> Result<Source> {
        let mut tx = self.write().await?;
        self.sql("INSERT INTO source (connection, stream, kind) VALUES (?, ?, ?) ON CONFLICT DO NOTHING")
            .bind(connection)
            .bind(stream)
            .bind(kind.name())
            .execute(&mut tx)
            .await?;
        let row = self
            .sql("SELECT * FROM source WHERE connection = ? AND stream = ? AND kind = ?")
            .bind(connection)
            .bind(stream)
            .bind(kind.name())
            .fetch_one(&mut tx)
            .await?;
        tx.commit().await?;
        rows::source(&row)
    }

    async fn sources(&self) -> Result<Vec<Source>> {
        self.sql("SELECT * FROM source ORDER BY connection, stream, kind")
            .fetch_all(&mut self.reader().await?)
            .await?
            .iter()
            .map(rows::source)
            .collect()
    }

    fn rows_of_a_page(&self) -> usize {
        match self.engine() {
            Engine::Sqlite => 2000,
            Engine::Postgres => 5000,
        }
    }

    async fn recognise(&self, source: SourceId, rows: &[(&str, ContentHash)]) -> Result<Vec<Recognised>> {
        recognise::recognise(&mut self.reader().await?, source, rows).await
    }

    async fn owners(&self, kind: PartKind, keys: &[(Key, String)]) -> Result<Vec<Option<Owned>>> {
        let mut found = HashMap::with_capacity(keys.len());
        for chunk in keys.chunks(LOOKUP / 3) {
            let mut query = Sql::with_places(self.engine(), chunk);
            query.push(
                "SELECT p.company, p.number, p.part, p.source, p.source_key, \
                 (SELECT connection FROM source WHERE id = p.source) AS connection FROM k CROSS JOIN ",
            );
            let (entity, kind) = (kind.entity().name(), kind.name());
            query.push_each(
                "part p",
                "",
                &format!(
                    "p.entity = '{entity}' AND p.kind = '{kind}' AND p.company = k.company AND p.number = k.number \
                     AND p.part = k.part AND p.source_key IS NOT NULL"
                ),
            );
            for row in query.fetch_all(&mut self.reader().await?).await? {
                let owned = Owned {
                    source: row.get("source")?,
                    connection: row.get("connection")?,
                    source_key: row.get("source_key")?,
                };
                found.insert((rows::key(&row)?, row.get::<String>("part")?), owned);
            }
        }
        Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
    }

    async fn count(&self, source: SourceId) -> Result<u64> {
        let count: i64 = self
            .sql("SELECT COUNT(*) AS count FROM part WHERE source = ? AND source_key IS NOT NULL")
            .bind(source)
            .fetch_one(&mut self.reader().await?)
            .await?
            .get("count")?;
        Ok(count.unsigned_abs())
    }

    async fn living(&self, source: SourceId, after: &str, limit: u32) -> Result<Vec<Stored>> {
        self.sql(
            "SELECT id, source_key, company, number, part, hash, changed_at FROM part \
             WHERE source = ? AND source_key > ? ORDER BY source_key LIMIT ?",
        )
        .bind(source)
        .bind(after)
        .bind(limit)
        .fetch_all(&mut self.reader().await?)
        .await?
        .iter()
        .map(rows::stored)
        .collect()
    }

    async fn missed(&self, source: SourceId) -> Result<Vec<i64>> {
        self.sql("SELECT id FROM part WHERE missed AND source = ? AND source_key IS NOT NULL")
            .bind(source)
            .fetch_all(&mut self.reader().await?)
            .await?
            .iter()
            .map(|row| row.get("id"))
            .collect()
    }

    async fn parts(&self, entity: Entity, keys: &[Key]) -> Result<Vec<Part>> {
        let mut parts = Vec::new();
        for chunk in keys.chunks(LOOKUP / 2) {
            let mut query = rows::select_parts_of(self.engine(), entity, chunk);
            query.push(" ORDER BY p.company, p.number, p.part <> '', p.kind, p.part");
            for row in query.fetch_all(&mut self.reader().await?).await? {
                parts.push(rows::part(&row)?);
            }
        }
        Ok(parts)
    }

    async fn list(&self, wanted: &ListQuery) -> Result<Vec<Part>> {
        let mut query = rows::select_parts(self.engine());
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
            query.push(" AND ").push_in(column, values);
        }
        if let Some(after) = &wanted.after {
            query.push(" AND (p.company, p.number) > (").push_bind(after.company.clone());
            query.push(", ").push_bind(after.number.clone()).push(")");
        }
        query.push(" ORDER BY p.company, p.number LIMIT ").push_bind(wanted.limit);
        query.fetch_all(&mut self.reader().await?).await?.iter().map(rows::part).collect()
    }
}
