//! Runs: what is staged, held, applied and rejected.

use std::collections::HashMap;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};

use super::super::{
    Applied, Difference, KnownRejection, Page, Rejection, Result, Run, RunFilter, Runs, SourceId, Taken,
};
use super::{LOOKUP, SqliteStore, rows, write};

#[async_trait]
impl Runs for SqliteStore {
    async fn begin_run(&self, run: &Run) -> Result<()> {
        let mut tx = self.write().await?;
        save(&mut tx, run).await?;
        Ok(tx.commit().await?)
    }

    async fn unfinished(&self, source: SourceId) -> Result<Option<(Run, Vec<Vec<u8>>)>> {
        let mut query = QueryBuilder::<Sqlite>::new(rows::RUN);
        query.push("WHERE r.state IN ('running', 'applying') AND r.source = ").push_bind(source);
        query.push(" ORDER BY r.id DESC LIMIT 1");
        let Some(row) = query.build().fetch_optional(&self.reader).await? else { return Ok(None) };
        let run = rows::run(&row)?;
        let seen = sqlx::query_scalar("SELECT parts FROM seen WHERE run = ? ORDER BY page")
            .bind(&run.id)
            .fetch_all(&self.reader)
            .await?;
        Ok(Some((run, seen)))
    }

    async fn commit_page(&self, run: &Run, page: &Page) -> Result<()> {
        let mut tx = self.write().await?;
        write::unstage(&mut tx, &run.id, &page.replaced).await?;
        write::stage(&mut tx, &run.id, &page.differences).await?;
        note(&mut tx, run, page).await?;
        Ok(tx.commit().await?)
    }

    async fn commit_load(&self, run: &Run, page: &Page) -> Result<Applied> {
        let mut tx = self.write().await?;
        let applied = write::apply(&mut tx, run, &page.differences).await?;
        note(&mut tx, run, page).await?;
        tx.commit().await?;
        Ok(applied)
    }

    async fn apply_page(&self, id: &str, limit: u32) -> Result<Applied> {
        let mut tx = self.write().await?;
        let mut query = QueryBuilder::<Sqlite>::new(rows::RUN);
        query.push("WHERE r.id = ").push_bind(id.to_owned());
        let Some(row) = query.build().fetch_optional(&mut *tx).await? else { return Ok(Applied::default()) };
        let mut run = rows::run(&row)?;
        let differences = write::staged(&mut tx, id, -1, limit).await?;
        let Some(last) = differences.last() else { return Ok(Applied::default()) };
        let applied = write::apply(&mut tx, &run, &differences).await?;
        sqlx::query("DELETE FROM staged WHERE run = ? AND position <= ?")
            .bind(id)
            .bind(last.position)
            .execute(&mut *tx)
            .await?;
        run.counts.superseded += applied.superseded;
        save(&mut tx, &run).await?;
        tx.commit().await?;
        Ok(applied)
    }

    async fn save_run(&self, run: &Run) -> Result<()> {
        self.begin_run(run).await
    }

    async fn finish_run(&self, run: &Run) -> Result<()> {
        let mut tx = self.write().await?;
        save(&mut tx, run).await?;
        drop_staged(&mut tx, &run.id).await?;
        if let Some(place) = &run.place {
            take(&mut tx, run.source, &Taken { identity: place.clone(), mapping: run.mapping.clone() }).await?;
        }
        sqlx::query("UPDATE source SET verified_at = ? WHERE id = ?")
            .bind(run.ended_at.unwrap_or_else(Timestamp::now).as_microsecond())
            .bind(run.source)
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    async fn end_run(&self, run: &Run, taken: bool) -> Result<()> {
        let mut tx = self.write().await?;
        save(&mut tx, run).await?;
        drop_staged(&mut tx, &run.id).await?;
        if let (true, Some(place)) = (taken, &run.place) {
            take(&mut tx, run.source, &Taken { identity: place.clone(), mapping: run.mapping.clone() }).await?;
        }
        Ok(tx.commit().await?)
    }

    async fn restage_shops(&self, run: &str, shops: &[(i64, Vec<String>)]) -> Result<()> {
        let mut tx = self.write().await?;
        for (position, shops) in shops {
            sqlx::query("UPDATE staged SET shops = ? WHERE run = ? AND position = ?")
                .bind(Value::from(shops.clone()).to_string())
                .bind(run)
                .bind(position)
                .execute(&mut *tx)
                .await?;
        }
        Ok(tx.commit().await?)
    }

    async fn run(&self, id: &str) -> Result<Option<Run>> {
        let mut query = QueryBuilder::<Sqlite>::new(rows::RUN);
        query.push("WHERE r.id = ").push_bind(id.to_owned());
        query.build().fetch_optional(&self.reader).await?.as_ref().map(rows::run).transpose()
    }

    async fn runs(&self, filter: &RunFilter) -> Result<Vec<Run>> {
        let mut query = QueryBuilder::<Sqlite>::new(rows::RUN);
        query.push("WHERE TRUE");
        if let Some(connection) = &filter.connection {
            query.push(" AND s.connection = ").push_bind(connection.clone());
        }
        if let Some(kind) = filter.kind {
            query.push(" AND s.kind = ").push_bind(kind.name());
        }
        if let Some(state) = filter.state {
            query.push(" AND r.state = ").push_bind(state.name());
        }
        query.push(" ORDER BY r.id DESC LIMIT ").push_bind(filter.limit);
        query.build().fetch_all(&self.reader).await?.iter().map(rows::run).collect()
    }

    async fn staged(&self, run: &str, after: i64, limit: u32) -> Result<Vec<Difference>> {
        let mut connection = self.reader.acquire().await?;
        write::staged(&mut connection, run, after, limit).await
    }

    async fn rejections(&self, source: Option<SourceId>, after: i64, limit: u32) -> Result<Vec<Rejection>> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT * FROM rejected WHERE id > ");
        query.push_bind(after);
        if let Some(source) = source {
            query.push(" AND source = ").push_bind(source);
        }
        query.push(" ORDER BY id LIMIT ").push_bind(limit);
        let mut rejections = Vec::new();
        for row in query.build().fetch_all(&self.reader).await? {
            rejections.push(Rejection {
                id: row.try_get("id")?,
                source: row.try_get("source")?,
                run: row.try_get("run")?,
                source_key: row.try_get("source_key")?,
                digest: rows::hash(&row.try_get::<Vec<u8>, _>("digest")?)?,
                place: row.try_get("place")?,
                reason: row.try_get("reason")?,
                record: rows::json(&row.try_get::<String, _>("record")?)?,
                at: rows::instant(row.try_get("at")?)?,
            });
        }
        Ok(rejections)
    }

    async fn rejected(&self) -> Result<Vec<(SourceId, u64)>> {
        let mut counts = Vec::new();
        let rows = sqlx::query("SELECT source, COUNT(*) AS count FROM rejected GROUP BY source")
            .fetch_all(&self.reader)
            .await?;
        for row in &rows {
            counts.push((row.try_get("source")?, row.try_get::<i64, _>("count")?.unsigned_abs()));
        }
        Ok(counts)
    }

    async fn known_rejections(&self, source: SourceId, keys: &[String]) -> Result<Vec<Option<KnownRejection>>> {
        let mut found = HashMap::new();
        for chunk in keys.chunks(LOOKUP) {
            let mut query = QueryBuilder::<Sqlite>::new("SELECT source_key, id, digest FROM rejected WHERE source = ");
            query.push_bind(source).push(" AND source_key IN (");
            let mut list = query.separated(", ");
            for key in chunk {
                list.push_bind(key.clone());
            }
            query.push(")");
            for row in query.build().fetch_all(&self.reader).await? {
                let digest = rows::hash(&row.try_get::<Vec<u8>, _>("digest")?)?;
                let known = KnownRejection { id: row.try_get("id")?, digest };
                found.insert(row.try_get::<String, _>("source_key")?, known);
            }
        }
        Ok(keys.iter().map(|key| found.get(key).copied()).collect())
    }

    async fn taken(&self, source: SourceId) -> Result<Vec<Taken>> {
        sqlx::query("SELECT identity, mapping FROM taken WHERE source = ?")
            .bind(source)
            .fetch_all(&self.reader)
            .await?
            .iter()
            .map(|row| {
                Ok(Taken {
                    identity: rows::json(&row.try_get::<String, _>("identity")?)?,
                    mapping: row.try_get("mapping")?,
                })
            })
            .collect()
    }

    async fn forget_taken(&self, source: SourceId, before: Timestamp, but: &[Value]) -> Result<()> {
        let mut tx = self.write().await?;
        let mut query = QueryBuilder::<Sqlite>::new("DELETE FROM taken WHERE source = ");
        query.push_bind(source).push(" AND at < ").push_bind(before.as_microsecond());
        if !but.is_empty() {
            query.push(" AND identity NOT IN (");
            let mut list = query.separated(", ");
            for identity in but {
                list.push_bind(identity.to_string());
            }
            query.push(")");
        }
        query.build().execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }
}

async fn take(tx: &mut SqliteConnection, source: SourceId, taken: &Taken) -> Result<()> {
    sqlx::query(
        "INSERT INTO taken (source, identity, mapping, at) VALUES (?, ?, ?, ?) \
         ON CONFLICT DO UPDATE SET mapping = excluded.mapping, at = excluded.at",
    )
    .bind(source)
    .bind(taken.identity.to_string())
    .bind(&taken.mapping)
    .bind(Timestamp::now().as_microsecond())
    .execute(&mut *tx)
    .await?;
    sqlx::query("UPDATE source SET place = ? WHERE id = ?")
        .bind(taken.identity.to_string())
        .bind(source)
        .execute(&mut *tx)
        .await?;
    Ok(())
}

/// Notes what a page brought beside its differences.
async fn note(tx: &mut SqliteConnection, run: &Run, page: &Page) -> Result<()> {
    if !page.seen.is_empty() {
        sqlx::query("INSERT INTO seen (run, page, parts) VALUES (?, ?, ?)")
            .bind(&run.id)
            .bind(page.number)
            .bind(&page.seen)
            .execute(&mut *tx)
            .await?;
    }
    for rejection in &page.rejections {
        sqlx::query(
            "INSERT INTO rejected (source, source_key, digest, run, place, reason, record, at) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (source, source_key) DO UPDATE SET \
             digest = excluded.digest, run = excluded.run, place = excluded.place, reason = excluded.reason, \
             record = excluded.record, at = excluded.at",
        )
        .bind(run.source)
        .bind(&rejection.source_key)
        .bind(rejection.digest.to_vec())
        .bind(&rejection.run)
        .bind(&rejection.place)
        .bind(&rejection.reason)
        .bind(rejection.record.to_string())
        .bind(rejection.at.as_microsecond())
        .execute(&mut *tx)
        .await?;
    }
    for mended in page.mended.chunks(LOOKUP) {
        let mut query = QueryBuilder::<Sqlite>::new("DELETE FROM rejected WHERE id IN (");
        let mut list = query.separated(", ");
        for id in mended {
            list.push_bind(*id);
        }
        query.push(")");
        query.build().execute(&mut *tx).await?;
    }
    save(tx, run).await
}

async fn save(tx: &mut SqliteConnection, run: &Run) -> Result<()> {
    let counts = serde_json::to_string(&run.counts).map_err(|e| rows::unreadable("counts", &e))?;
    sqlx::query(
        "INSERT INTO run (id, source, complete, state, counts, pages, place, mapping, reason, loading, started_at, \
         ended_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET state = excluded.state, \
         counts = excluded.counts, pages = excluded.pages, place = excluded.place, reason = excluded.reason, \
         ended_at = excluded.ended_at",
    )
    .bind(&run.id)
    .bind(run.source)
    .bind(run.complete)
    .bind(run.state.name())
    .bind(counts)
    .bind(run.pages)
    .bind(run.place.as_ref().map(ToString::to_string))
    .bind(&run.mapping)
    .bind(&run.reason)
    .bind(run.loading)
    .bind(run.started_at.as_microsecond())
    .bind(run.ended_at.map(Timestamp::as_microsecond))
    .execute(&mut *tx)
    .await?;
    Ok(())
}

async fn drop_staged(tx: &mut SqliteConnection, run: &str) -> Result<()> {
    sqlx::query("DELETE FROM staged WHERE run = ?").bind(run).execute(&mut *tx).await?;
    sqlx::query("DELETE FROM seen WHERE run = ?").bind(run).execute(&mut *tx).await?;
    Ok(())
}
