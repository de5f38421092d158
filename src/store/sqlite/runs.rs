//! Runs: what is staged, held, applied and rejected.

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};

use super::super::{Applied, Difference, Page, Rejection, Result, Run, RunFilter, Runs, SourceId};
use super::{SqliteStore, rows, write};

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
        if run.complete {
            // What a complete pass did not reject again is mended or gone.
            sqlx::query("DELETE FROM rejected WHERE source = ? AND run <> ?")
                .bind(run.source)
                .bind(&run.id)
                .execute(&mut *tx)
                .await?;
        }
        sqlx::query("UPDATE source SET verified_at = ?, place = ? WHERE id = ?")
            .bind(run.ended_at.unwrap_or_else(Timestamp::now).as_microsecond())
            .bind(run.place.as_ref().map(ToString::to_string))
            .bind(run.source)
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    async fn discard_staged(&self, run: &str) -> Result<()> {
        let mut tx = self.write().await?;
        drop_staged(&mut tx, run).await?;
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

    async fn rejections(&self, source: Option<SourceId>, limit: u32) -> Result<Vec<Rejection>> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT * FROM rejected");
        if let Some(source) = source {
            query.push(" WHERE source = ").push_bind(source);
        }
        query.push(" ORDER BY source, source_key LIMIT ").push_bind(limit);
        let mut rejections = Vec::new();
        for row in query.build().fetch_all(&self.reader).await? {
            rejections.push(Rejection {
                source: row.try_get("source")?,
                run: row.try_get("run")?,
                source_key: row.try_get("source_key")?,
                place: row.try_get("place")?,
                reason: row.try_get("reason")?,
                record: rows::json(&row.try_get::<String, _>("record")?)?,
                at: rows::instant(row.try_get("at")?)?,
            });
        }
        Ok(rejections)
    }
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
        // A record that fails again for the same reason is the same finding, seen again: its time stays.
        sqlx::query(
            "INSERT INTO rejected (source, source_key, run, place, reason, record, at) VALUES (?, ?, ?, ?, ?, ?, ?) \
             ON CONFLICT (source, source_key) DO UPDATE SET run = excluded.run, place = excluded.place, \
             at = CASE WHEN reason = excluded.reason AND record = excluded.record THEN at ELSE excluded.at END, \
             reason = excluded.reason, record = excluded.record",
        )
        .bind(run.source)
        .bind(&rejection.source_key)
        .bind(&rejection.run)
        .bind(&rejection.place)
        .bind(&rejection.reason)
        .bind(rejection.record.to_string())
        .bind(rejection.at.as_microsecond())
        .execute(&mut *tx)
        .await?;
    }
    for key in &page.taken {
        sqlx::query("DELETE FROM rejected WHERE source = ? AND source_key = ?")
            .bind(run.source)
            .bind(key)
            .execute(&mut *tx)
            .await?;
    }
    save(tx, run).await
}

async fn save(tx: &mut SqliteConnection, run: &Run) -> Result<()> {
    let counts = serde_json::to_string(&run.counts).map_err(|e| rows::unreadable("counts", &e))?;
    sqlx::query(
        "INSERT INTO run (id, source, complete, state, counts, pages, place, mapping, reason, started_at, ended_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET state = excluded.state, \
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
