//! Runs: what is staged, held, applied and rejected.

use std::collections::HashMap;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

use super::super::{
    Applied, Difference, KnownRejection, Lease, Overtaken, Page, RawBatch, Rejection, Result, Run, RunFilter, Runs,
    SourceId, Taken,
};
use super::session::Session;
use super::statement::{Argument, Sql};
use super::{LOOKUP, SqlStore, lease, rows, stage, write};
use crate::model::Key;

/// Rejections of one statement.
const REJECTIONS: usize = 500;

#[async_trait]
impl Runs for SqlStore {
    async fn begin_run(&self, lease: &Lease, run: &Run) -> Result<()> {
        let mut tx = self.write().await?;
        lease::check(&mut tx, lease).await?;
        save(&mut tx, run).await?;
        tx.commit().await
    }

    async fn unfinished(&self, source: SourceId, complete: bool) -> Result<Option<(Run, Vec<Vec<u8>>)>> {
        let mut query = self.sql(rows::RUN);
        query.push("WHERE r.state IN ('running', 'applying') AND r.source = ").push_bind(source);
        query.push(" AND r.complete = ").push_bind(complete).push(" ORDER BY r.id DESC LIMIT 1");
        let Some(row) = query.fetch_optional(&mut self.reader().await?).await? else { return Ok(None) };
        let run = rows::run(&row)?;
        let seen = self
            .sql("SELECT parts FROM seen WHERE run = ? ORDER BY page")
            .bind(&run.id)
            .fetch_all(&mut self.reader().await?)
            .await?
            .iter()
            .map(|row| row.get("parts"))
            .collect::<Result<_>>()?;
        Ok(Some((run, seen)))
    }

    async fn commit_page(&self, lease: &Lease, run: &Run, page: &Page) -> Result<()> {
        let mut tx = self.write().await?;
        lease::check(&mut tx, lease).await?;
        let raw = keep_raw(&mut tx, run, page).await?;
        stage::unstage(&mut tx, &run.id, &page.replaced).await?;
        if let Some(overtaken) = &page.overtaken {
            overtake(&mut tx, overtaken).await?;
        }
        stage::stage(&mut tx, &run.id, &page.differences, raw).await?;
        note(&mut tx, run, page).await?;
        tx.commit().await
    }

    async fn commit_load(&self, lease: &Lease, run: &Run, page: &Page) -> Result<Applied> {
        let mut tx = self.write().await?;
        lease::check(&mut tx, lease).await?;
        let raw = keep_raw(&mut tx, run, page).await?;
        let applied = write::apply(&mut tx, run, &page.differences, raw).await?;
        note(&mut tx, run, page).await?;
        tx.commit().await?;
        Ok(applied)
    }

    async fn commit_fresh(&self, lease: &Lease, run: &Run, page: &Page) -> Result<bool> {
        let mut tx = self.write().await?;
        lease::check(&mut tx, lease).await?;
        let raw = keep_raw(&mut tx, run, page).await?;
        if !write::load(&mut tx, run, &page.differences, raw).await? {
            return Ok(false);
        }
        note(&mut tx, run, page).await?;
        tx.commit().await?;
        Ok(true)
    }

    async fn apply_page(&self, lease: &Lease, id: &str, limit: u32) -> Result<Applied> {
        let mut tx = self.write().await?;
        lease::check(&mut tx, lease).await?;
        let mut sql = self.sql(rows::RUN);
        sql.push("WHERE r.id = ").push_bind(id);
        let Some(row) = sql.fetch_optional(&mut tx).await? else { return Ok(Applied::default()) };
        let mut run = rows::run(&row)?;
        let differences = stage::staged(&mut tx, id, -1, limit).await?;
        let Some(last) = differences.last() else { return Ok(Applied::default()) };
        let applied = write::apply(&mut tx, &run, &differences, None).await?;
        self.sql("DELETE FROM staged WHERE run = ? AND position <= ?")
            .bind(id)
            .bind(last.position)
            .execute(&mut tx)
            .await?;
        run.counts.superseded += applied.superseded;
        save(&mut tx, &run).await?;
        tx.commit().await?;
        Ok(applied)
    }

    async fn save_run(&self, lease: &Lease, run: &Run) -> Result<()> {
        self.begin_run(lease, run).await
    }

    async fn finish_run(&self, lease: &Lease, run: &Run) -> Result<()> {
        let mut tx = self.write().await?;
        lease::check(&mut tx, lease).await?;
        save(&mut tx, run).await?;
        stage::drop_staged(&mut tx, &run.id).await?;
        if let Some(place) = &run.place {
            take(&mut tx, run.source, &Taken { identity: place.clone(), mapping: run.mapping.clone() }).await?;
        }
        self.sql("UPDATE source SET verified_at = ?, watermark = COALESCE(?, watermark) WHERE id = ?")
            .bind(run.ended_at.unwrap_or_else(Timestamp::now).as_microsecond())
            .bind(run.watermark.as_ref().map(ToString::to_string))
            .bind(run.source)
            .execute(&mut tx)
            .await?;
        tx.commit().await
    }

    async fn end_run(&self, lease: &Lease, run: &Run, taken: bool) -> Result<()> {
        let mut tx = self.write().await?;
        lease::check(&mut tx, lease).await?;
        save(&mut tx, run).await?;
        stage::drop_staged(&mut tx, &run.id).await?;
        if let (true, Some(place)) = (taken, &run.place) {
            take(&mut tx, run.source, &Taken { identity: place.clone(), mapping: run.mapping.clone() }).await?;
        }
        tx.commit().await
    }

    async fn restage_shops(&self, lease: &Lease, run: &str, shops: &[(i64, Vec<String>)]) -> Result<()> {
        let mut tx = self.write().await?;
        lease::check(&mut tx, lease).await?;
        for chunk in shops.chunks(LOOKUP) {
            let texts = chunk.iter().map(|(_, shops)| Some(Value::from(shops.clone()).to_string())).collect();
            let positions = chunk.iter().map(|(position, _)| Some(*position)).collect();
            let columns = vec![("position", Argument::Integers(positions)), ("shops", Argument::Texts(texts))];
            let mut sql = Sql::with_columns(self.engine(), columns);
            sql.push("UPDATE staged AS s SET shops = d.shops FROM d WHERE s.position = d.position AND s.run = ");
            sql.push_bind(run);
            sql.execute(&mut tx).await?;
        }
        tx.commit().await
    }

    async fn run(&self, id: &str) -> Result<Option<Run>> {
        let mut query = self.sql(rows::RUN);
        query.push("WHERE r.id = ").push_bind(id.to_owned());
        query.fetch_optional(&mut self.reader().await?).await?.as_ref().map(rows::run).transpose()
    }

    async fn runs(&self, filter: &RunFilter) -> Result<Vec<Run>> {
        let mut query = self.sql(rows::RUN);
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
        query.fetch_all(&mut self.reader().await?).await?.iter().map(rows::run).collect()
    }

    async fn staged(&self, run: &str, after: i64, limit: u32) -> Result<Vec<Difference>> {
        stage::staged(&mut self.reader().await?, run, after, limit).await
    }

    async fn staged_keys(&self, run: &str, keys: &[&str]) -> Result<Vec<String>> {
        let mut staged = Vec::new();
        for chunk in keys.chunks(LOOKUP) {
            let mut sql = self.sql("SELECT source_key FROM staged WHERE run = ");
            sql.push_bind(run).push(" AND ").push_in("source_key", chunk);
            for row in sql.fetch_all(&mut self.reader().await?).await? {
                staged.push(row.get("source_key")?);
            }
        }
        Ok(staged)
    }

    async fn staged_claims(&self, run: &str, keys: &[(Key, String)]) -> Result<Vec<((Key, String), String)>> {
        let mut claims = Vec::new();
        for chunk in keys.chunks(LOOKUP / 3) {
            let mut sql = Sql::with_places(self.engine(), chunk);
            sql.push(
                "SELECT s.company, s.number, s.part, s.source_key FROM k CROSS JOIN staged s WHERE s.company = k.company \
                 AND s.number = k.number AND s.part = k.part AND s.operation = 'upsert' AND s.before IS NULL AND s.run = ",
            );
            sql.push_bind(run);
            for row in sql.fetch_all(&mut self.reader().await?).await? {
                claims.push(((rows::key(&row)?, row.get("part")?), row.get("source_key")?));
            }
        }
        Ok(claims)
    }

    async fn rejections(&self, source: Option<SourceId>, after: i64, limit: u32) -> Result<Vec<Rejection>> {
        let mut query = self.sql("SELECT * FROM rejected WHERE id > ");
        query.push_bind(after);
        if let Some(source) = source {
            query.push(" AND source = ").push_bind(source);
        }
        query.push(" ORDER BY id LIMIT ").push_bind(limit);
        let mut rejections = Vec::new();
        for row in query.fetch_all(&mut self.reader().await?).await? {
            rejections.push(Rejection {
                id: row.get("id")?,
                source: row.get("source")?,
                run: row.get("run")?,
                source_key: row.get("source_key")?,
                digest: rows::hash(&row.get::<Vec<u8>>("digest")?)?,
                place: row.get("place")?,
                reason: row.get("reason")?,
                record: rows::json(&row.get::<String>("record")?)?,
                at: rows::instant(row.get("at")?)?,
            });
        }
        Ok(rejections)
    }

    async fn rejected(&self) -> Result<Vec<(SourceId, u64)>> {
        let mut counts = Vec::new();
        let rows = self
            .sql("SELECT source, COUNT(*) AS count FROM rejected GROUP BY source")
            .fetch_all(&mut self.reader().await?)
            .await?;
        for row in &rows {
            counts.push((row.get("source")?, row.get::<i64>("count")?.unsigned_abs()));
        }
        Ok(counts)
    }

    async fn known_rejections(&self, source: SourceId, keys: &[String]) -> Result<Vec<Option<KnownRejection>>> {
        let mut found = HashMap::new();
        for chunk in keys.chunks(LOOKUP) {
            let mut query = self.sql("SELECT source_key, id, digest FROM rejected WHERE source = ");
            query.push_bind(source).push(" AND ").push_in("source_key", chunk);
            for row in query.fetch_all(&mut self.reader().await?).await? {
                let digest = rows::hash(&row.get::<Vec<u8>>("digest")?)?;
                let known = KnownRejection { id: row.get("id")?, digest };
                found.insert(row.get::<String>("source_key")?, known);
            }
        }
        Ok(keys.iter().map(|key| found.get(key).copied()).collect())
    }

    async fn taken(&self, source: SourceId) -> Result<Vec<Taken>> {
        self.sql("SELECT identity, mapping FROM taken WHERE source = ?")
            .bind(source)
            .fetch_all(&mut self.reader().await?)
            .await?
            .iter()
            .map(|row| {
                Ok(Taken { identity: rows::json(&row.get::<String>("identity")?)?, mapping: row.get("mapping")? })
            })
            .collect()
    }

    async fn forget_taken(&self, source: SourceId, before: Timestamp, but: &[Value]) -> Result<()> {
        let mut tx = self.write().await?;
        let mut query = self.sql("DELETE FROM taken WHERE source = ");
        query.push_bind(source).push(" AND at < ").push_bind(before.as_microsecond());
        if !but.is_empty() {
            let but: Vec<String> = but.iter().map(ToString::to_string).collect();
            query.push(" AND NOT (").push_in("identity", &but).push(")");
        }
        query.execute(&mut tx).await?;
        tx.commit().await
    }
}

async fn take(tx: &mut Session<'_>, source: SourceId, taken: &Taken) -> Result<()> {
    tx.sql(
        "INSERT INTO taken (source, identity, mapping, at) VALUES (?, ?, ?, ?) \
         ON CONFLICT (source, identity) DO UPDATE SET mapping = excluded.mapping, at = excluded.at",
    )
    .bind(source)
    .bind(taken.identity.to_string())
    .bind(&taken.mapping)
    .bind(Timestamp::now().as_microsecond())
    .execute(tx)
    .await?;
    tx.sql("UPDATE source SET place = ? WHERE id = ?")
        .bind(taken.identity.to_string())
        .bind(source)
        .execute(tx)
        .await?;
    Ok(())
}

/// Keeps the source rows of a page; the batch that has them.
async fn keep_raw(tx: &mut Session<'_>, run: &Run, page: &Page) -> Result<Option<i64>> {
    let Some(RawBatch { records, bytes }) = &page.raw else { return Ok(None) };
    let sql = tx.sql("INSERT INTO raw (source, run, at, records, bytes) VALUES (?, ?, ?, ?, ?) RETURNING id");
    let sql = sql.bind(run.source).bind(&run.id).bind(Timestamp::now().as_microsecond()).bind(*records).bind(bytes);
    Ok(Some(sql.fetch_one(tx).await?.get("id")?))
}

/// Tells complete passes that wait what was read again since: what they staged of that is older, and none of it is absent.
async fn overtake(tx: &mut Session<'_>, overtaken: &Overtaken) -> Result<()> {
    for run in &overtaken.runs {
        stage::unstage(tx, run, &overtaken.keys).await?;
        if overtaken.seen.is_empty() {
            continue;
        }
        // A pass numbers its own pages from 0 upwards.
        tx.sql("INSERT INTO seen (run, page, parts) SELECT ?, COALESCE(MIN(page), 0) - 1, ? FROM seen WHERE run = ?")
            .bind(run)
            .bind(&overtaken.seen)
            .bind(run)
            .execute(tx)
            .await?;
    }
    Ok(())
}

/// Notes what a page brought beside its differences.
async fn note(tx: &mut Session<'_>, run: &Run, page: &Page) -> Result<()> {
    if !page.seen.is_empty() {
        tx.sql("INSERT INTO seen (run, page, parts) VALUES (?, ?, ?)")
            .bind(&run.id)
            .bind(page.number)
            .bind(&page.seen)
            .execute(tx)
            .await?;
    }
    for chunk in page.rejections.chunks(REJECTIONS) {
        let mut sql =
            tx.sql("INSERT INTO rejected (source, source_key, digest, run, place, reason, record, at) VALUES ");
        for (at, rejection) in chunk.iter().enumerate() {
            sql.push(if at == 0 { "(" } else { ", (" }).push_bind(run.source);
            sql.push(", ").push_bind(&rejection.source_key).push(", ").push_bind(rejection.digest);
            for text in [&rejection.run, &rejection.place, &rejection.reason] {
                sql.push(", ").push_bind(text);
            }
            sql.push(", ").push_bind(rejection.record.to_string());
            sql.push(", ").push_bind(rejection.at.as_microsecond()).push(")");
        }
        sql.push(
            " ON CONFLICT (source, source_key) DO UPDATE SET digest = excluded.digest, run = excluded.run, \
             place = excluded.place, reason = excluded.reason, record = excluded.record, at = excluded.at",
        );
        sql.execute(tx).await?;
    }
    for met in page.met.chunks(LOOKUP) {
        let mut sql = tx.sql("UPDATE part SET missed = FALSE WHERE ");
        sql.push_in_integers("id", met);
        sql.execute(tx).await?;
    }
    for mended in page.mended.chunks(LOOKUP) {
        let mut query = tx.sql("DELETE FROM rejected WHERE ");
        query.push_in_integers("id", mended);
        query.execute(tx).await?;
    }
    save(tx, run).await
}

async fn save(tx: &mut Session<'_>, run: &Run) -> Result<()> {
    let counts = serde_json::to_string(&run.counts).map_err(|e| rows::unreadable("counts", &e))?;
    tx.sql(
        "INSERT INTO run (id, source, complete, state, counts, pages, place, mapping, reason, loading, started_at, \
         ended_at, watermark, reached) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET state = excluded.state, \
         counts = excluded.counts, pages = excluded.pages, place = excluded.place, reason = excluded.reason, \
         ended_at = excluded.ended_at, watermark = excluded.watermark, reached = excluded.reached",
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
    .bind(run.watermark.as_ref().map(ToString::to_string))
    .bind(run.reached.as_ref().map(ToString::to_string))
    .execute(tx)
    .await?;
    Ok(())
}
