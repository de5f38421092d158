//! What was known at an instant: living parts that were stored by then, and versions that were superseded after it.

use async_trait::async_trait;
use jiff::Timestamp;

use super::super::{Deletion, History, Listing, Part, Result, Run, Source, Version, View};
use super::session::Session;
use super::shops::{self, Eyes};
use super::statement::Sql;
use super::{LOOKUP, SqlStore, rows};
use crate::model::{Entity, Key};

#[async_trait]
impl History for SqlStore {
    async fn visible_at(&self, view: &View, entity: Entity, keys: &[Key], at: Timestamp) -> Result<Vec<Part>> {
        let versions = known(self, Some(view), entity, keys, at).await?;
        let mut parts: Vec<Part> = Vec::with_capacity(versions.len());
        for Version { part, .. } in versions {
            // Parts without a main part that the shop sees are nothing it sees.
            if part.part.is_empty() || parts.last().is_some_and(|last| last.key == part.key) {
                parts.push(part);
            }
        }
        Ok(parts)
    }

    async fn visible_keys_at(&self, view: &View, listing: &Listing, at: Timestamp) -> Result<Vec<Key>> {
        shops::keys(self, Eyes::Shop(view), listing, Some(at.as_microsecond())).await
    }

    async fn keys_at(&self, connections: &[String], listing: &Listing, at: Timestamp) -> Result<Vec<Key>> {
        shops::keys(self, Eyes::Operator(connections), listing, Some(at.as_microsecond())).await
    }

    async fn versions_at(&self, entity: Entity, keys: &[Key], at: Timestamp) -> Result<Vec<Version>> {
        known(self, None, entity, keys, at).await
    }

    async fn versions(&self, entity: Entity, keys: &[Key], limit: u32) -> Result<Vec<Version>> {
        let mut versions = Vec::new();
        for chunk in keys.chunks(LOOKUP / 2) {
            let mut query = Sql::with_keys(self.engine(), chunk);
            query.push("SELECT * FROM (");
            for living in [true, false] {
                push_versions(&mut query, living, entity);
                query.push(if living { " AND p.source_key IS NOT NULL UNION ALL " } else { "" });
            }
            query.push(") v ORDER BY v.changed_at DESC, v.company, v.number, v.part <> '', v.kind, v.part LIMIT ");
            query.push_bind(limit);
            for row in query.fetch_all(&mut self.reader().await?).await? {
                versions.push(version(&row)?);
            }
        }
        if keys.len() > LOOKUP / 2 {
            versions.sort_by_key(|version| std::cmp::Reverse(version.part.changed_at));
            versions.truncate(limit as usize);
        }
        Ok(versions)
    }

    async fn deletions(&self, entity: Entity, keys: &[Key]) -> Result<Vec<Deletion>> {
        let mut deletions = Vec::new();
        for chunk in keys.chunks(LOOKUP / 2) {
            let mut query = Sql::with_keys(self.engine(), chunk);
            query.push(
                "SELECT p.kind, p.company, p.number, p.part, p.changed_at, p.run FROM k CROSS JOIN part p \
                 WHERE p.company = k.company AND p.number = k.number AND p.source_key IS NULL AND p.entity = ",
            );
            query.push_bind(entity.name());
            for row in query.fetch_all(&mut self.reader().await?).await? {
                deletions.push(Deletion {
                    kind: rows::kind(&row)?,
                    key: rows::key(&row)?,
                    part: row.get("part")?,
                    at: rows::instant(row.get("changed_at")?)?,
                    run: row.get("run")?,
                });
            }
        }
        Ok(deletions)
    }

    async fn runs_of(&self, ids: &[String]) -> Result<Vec<Run>> {
        let mut runs = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(LOOKUP) {
            let mut query = self.sql(rows::RUN);
            query.push("WHERE ").push_in("r.id", chunk);
            for row in query.fetch_all(&mut self.reader().await?).await? {
                runs.push(rows::run(&row)?);
            }
        }
        Ok(runs)
    }

    async fn sources_at(&self, at: Timestamp) -> Result<Vec<Source>> {
        let at = at.as_microsecond();
        self.sql(
            "SELECT s.id, s.connection, s.stream, s.kind, s.place, s.watermark, CASE WHEN s.verified_at <= ? THEN s.verified_at \
             ELSE (SELECT MAX(r.ended_at) FROM run r WHERE r.source = s.id AND r.state = 'done' AND r.ended_at <= ?) END \
             AS verified_at FROM source s ORDER BY s.connection, s.stream, s.kind",
        )
        .bind(at)
        .bind(at)
        .fetch_all(&mut self.reader().await?)
        .await?
        .iter()
        .map(rows::source)
        .collect()
    }

    async fn complete_since(&self, entity: Entity) -> Result<Option<Timestamp>> {
        let row = self
            .sql("SELECT until FROM pruned WHERE entity = ?")
            .bind(entity.name())
            .fetch_optional(&mut self.reader().await?)
            .await?;
        row.map(|row| rows::instant(row.get("until")?)).transpose()
    }
}

/// Drops the oldest versions that ended before an instant, and notes from when on the history is complete.
pub(super) async fn forget(tx: &mut Session<'_>, entity: Entity, before: i64, limit: u32) -> Result<u64> {
    let forgotten = tx
        .sql(
            "DELETE FROM history WHERE id IN \
             (SELECT id FROM history WHERE entity = ? AND until < ? ORDER BY until LIMIT ?)",
        )
        .bind(entity.name())
        .bind(before)
        .bind(limit)
        .execute(tx)
        .await?;
    if forgotten > 0 {
        tx.sql(
            "INSERT INTO pruned (entity, until) VALUES (?, ?) \
             ON CONFLICT (entity) DO UPDATE SET until = excluded.until WHERE pruned.until < excluded.until",
        )
        .bind(entity.name())
        .bind(before)
        .execute(tx)
        .await?;
    }
    Ok(forgotten)
}

/// The versions known at an instant of the entities with these keys, by key and main part first: those that a shop sees,
/// or all.
async fn known(
    store: &SqlStore,
    view: Option<&View>,
    entity: Entity,
    keys: &[Key],
    at: Timestamp,
) -> Result<Vec<Version>> {
    let at = at.as_microsecond();
    let mut versions: Vec<Version> = Vec::new();
    for chunk in keys.chunks(LOOKUP / 2) {
        let mut query = Sql::with_keys(store.engine(), chunk);
        query.push("SELECT * FROM (");
        for living in [true, false] {
            push_versions(&mut query, living, entity);
            shops::push_known(&mut query, living, at);
            if let Some(view) = view {
                shops::push_scope(&mut query, Eyes::Shop(view), entity);
            }
            query.push(if living { " UNION ALL " } else { "" });
        }
        query.push(") v ORDER BY v.company, v.number, v.part <> '', v.kind, v.part, v.changed_at DESC");
        for row in query.fetch_all(&mut store.reader().await?).await? {
            let found = version(&row)?;
            // Where a clock was put back two versions can cover an instant: the later one is what was known last.
            let again = versions.last().is_some_and(|Version { part: last, .. }| {
                (&last.key, last.kind, &last.part) == (&found.part.key, found.part.kind, &found.part.part)
            });
            if !again {
                versions.push(found);
            }
        }
    }
    Ok(versions)
}

/// The living parts, or the superseded versions, of the entities `k`.
fn push_versions(query: &mut Sql, living: bool, entity: Entity) {
    let (table, changed_at, sequence, until) = if living {
        ("part", "p.changed_at", "p.sequence", "CAST(NULL AS BIGINT)")
    } else {
        ("history", "p.since", "CAST(NULL AS BIGINT)", "p.until")
    };
    query.push(rows::part_columns(changed_at, sequence));
    query.push(format_args!(", p.raw, {until} AS until FROM k CROSS JOIN {table} p {} ", rows::PART_JOINS));
    query.push("WHERE p.company = k.company AND p.number = k.number AND p.entity = ").push_bind(entity.name());
}

fn version(row: &super::statement::Row) -> Result<Version> {
    Ok(Version {
        part: rows::part(row)?,
        until: row.get::<Option<i64>>("until")?.map(rows::instant).transpose()?,
        raw: row.get("raw")?,
    })
}
