//! Dropping what is beyond its retention, a little at a time.

use jiff::Timestamp;

use super::super::{Lease, PruneStep, Result, RunCounts, Surplus};
use super::session::Session;
use super::write::Numbers;
use super::{SqlStore, lease, rows};
use crate::model::Entity;

/// Rows dropped by one transaction.
const ROWS: u32 = 500;

/// Source rows dropped by one transaction, in bytes.
const RAW: i64 = 4 << 20;

/// Batches of source rows looked at by one transaction.
const BATCHES: u32 = 200;

/// One step; see [`super::super::Upkeep::prune`].
pub(super) async fn step(
    store: &SqlStore,
    held: &Lease,
    what: Surplus,
    before: Timestamp,
    from: &str,
) -> Result<PruneStep> {
    let before = before.as_microsecond();
    let mut tx = store.write().await?;
    lease::check(&mut tx, held).await?;
    let step = match what {
        Surplus::History(entity) => history(&mut tx, entity, before).await?,
        Surplus::Raw => raw(&mut tx, before).await?,
        Surplus::Runs => runs(&mut tx, before, from).await?,
        Surplus::Calls => calls(&mut tx, before).await?,
        Surplus::Tombstones => tombstones(&mut tx, before).await?,
        Surplus::Memberships => memberships(&mut tx).await?,
        Surplus::Leftovers => leftovers(&mut tx, from).await?,
    };
    tx.commit().await?;
    Ok(step)
}

/// There is more where a step was full.
fn full(rows: u64, most: u32) -> PruneStep {
    PruneStep { rows, next: (rows >= u64::from(most)).then(String::new) }
}

async fn history(tx: &mut Session<'_>, entity: Entity, before: i64) -> Result<PruneStep> {
    Ok(full(super::history::forget(tx, entity, before, ROWS).await?, ROWS))
}

async fn raw(tx: &mut Session<'_>, before: i64) -> Result<PruneStep> {
    let sql = tx.sql("SELECT id, LENGTH(bytes) AS size FROM raw WHERE at < ? ORDER BY at, id LIMIT ?");
    let found = sql.bind(before).bind(BATCHES).fetch_all(tx).await?;
    let (mut ids, mut size) = (Vec::new(), 0);
    for row in &found {
        if size >= RAW {
            break;
        }
        // PostgreSQL counts in 32 bits.
        size += match row {
            super::statement::Row::Sqlite(_) => row.get::<i64>("size")?,
            super::statement::Row::Postgres(_) => i64::from(row.get::<i32>("size")?),
        };
        ids.push(row.get("id")?);
    }
    if ids.is_empty() {
        return Ok(PruneStep::default());
    }
    let mut sql = tx.sql("DELETE FROM raw WHERE ");
    sql.push_in_integers("id", &ids);
    let rows = sql.execute(tx).await?;
    let more = ids.len() < found.len() || found.len() == BATCHES as usize;
    Ok(PruneStep { rows, next: more.then(String::new) })
}

/// Identifiers of runs sort by time, so the steps walk along them.
async fn runs(tx: &mut Session<'_>, before: i64, from: &str) -> Result<PruneStep> {
    let found = tx
        .sql(
            "SELECT r.id, r.state, r.counts, r.started_at, r.ended_at, \
             EXISTS (SELECT 1 FROM run n WHERE n.source = r.source AND n.id > r.id) AS old \
             FROM run r WHERE r.id > ? ORDER BY r.id LIMIT ?",
        )
        .bind(from)
        .bind(ROWS)
        .fetch_all(tx)
        .await?;
    let (mut idle, mut next) = (Vec::new(), None);
    for row in &found {
        let id: String = row.get("id")?;
        let counts: RunCounts = rows::json(&row.get::<String>("counts")?)?;
        let ended = row.get::<Option<i64>>("ended_at")?.is_some_and(|at| at < before);
        let state: String = row.get("state")?;
        let waits = matches!(state.as_str(), "running" | "applying" | "held");
        let changed = counts.created + counts.updated + counts.deleted + counts.rejected > 0;
        if ended && !waits && !changed && row.get("old")? {
            idle.push(id.clone());
        }
        next = (row.get::<i64>("started_at")? < before).then_some(id);
        if next.is_none() {
            break;
        }
    }
    if found.len() < ROWS as usize {
        next = None;
    }
    if idle.is_empty() {
        return Ok(PruneStep { rows: 0, next });
    }
    let mut sql = tx.sql("DELETE FROM run WHERE ");
    sql.push_in("id", &idle);
    Ok(PruneStep { rows: sql.execute(tx).await?, next })
}

async fn calls(tx: &mut Session<'_>, before: i64) -> Result<PruneStep> {
    let key = "order_id, kind, slot";
    let old = format!("SELECT {key} FROM order_call WHERE at < ? ORDER BY at LIMIT ?");
    let sql = tx.sql(&format!("DELETE FROM order_call WHERE ({key}) IN ({old})"));
    Ok(full(sql.bind(before).bind(ROWS).execute(tx).await?, ROWS))
}

/// The feed is locked before, so that none of them comes back to life meanwhile.
async fn tombstones(tx: &mut Session<'_>, before: i64) -> Result<PruneStep> {
    Numbers::lock(tx).await?;
    let sql = tx.sql(
        "SELECT id, sequence FROM part WHERE source_key IS NULL AND changed_at < ? ORDER BY changed_at, id LIMIT ?",
    );
    let found = sql.bind(before).bind(ROWS).fetch_all(tx).await?;
    let (mut ids, mut purged) = (Vec::new(), 0);
    for row in &found {
        ids.push(row.get("id")?);
        purged = purged.max(row.get::<Option<i64>>("sequence")?.unwrap_or_default());
    }
    if ids.is_empty() {
        return Ok(PruneStep::default());
    }
    for (table, column) in [("formerly", "part"), ("term", "part"), ("part", "id")] {
        let mut sql = tx.sql(&format!("DELETE FROM {table} WHERE "));
        sql.push_in_integers(column, &ids);
        sql.execute(tx).await?;
    }
    tx.sql("UPDATE store SET purged = ? WHERE purged < ?").bind(purged).bind(purged).execute(tx).await?;
    Ok(full(ids.len() as u64, ROWS))
}

async fn memberships(tx: &mut Session<'_>) -> Result<PruneStep> {
    let mut rows = 0;
    for (table, key) in [("member", "shop, company, customer, since"), ("formerly", "part, until")] {
        let sql = tx.sql(&format!(
            "DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} \
             WHERE until <= (SELECT purged FROM store) LIMIT ?)"
        ));
        rows += sql.bind(ROWS).execute(tx).await?;
    }
    Ok(full(rows, ROWS))
}

/// What is staged or seen is looked through run by run, by their indexes.
async fn leftovers(tx: &mut Session<'_>, from: &str) -> Result<PruneStep> {
    for (table, place) in [("staged", "position"), ("seen", "page")] {
        let name = format!("{table} ");
        // Steps go through one table after the other.
        let after = match from.split_once(' ') {
            Some((at, after)) if at == table => after,
            Some(_) if table == "staged" => continue,
            _ => "",
        };
        let sql = tx.sql(&format!("SELECT MIN(run) AS run FROM {table} WHERE run > ?")).bind(after);
        let Some(run) = sql.fetch_one(tx).await?.get::<Option<String>>("run")? else { continue };
        let there = tx.sql("SELECT 1 AS there FROM run WHERE id = ?").bind(&run).fetch_optional(tx).await?;
        if there.is_some() {
            return Ok(PruneStep { rows: 0, next: Some(name + &run) });
        }
        let sql = tx.sql(&format!(
            "DELETE FROM {table} WHERE run = ? AND {place} IN \
             (SELECT {place} FROM {table} WHERE run = ? ORDER BY {place} LIMIT ?)"
        ));
        let rows = sql.bind(&run).bind(&run).bind(ROWS).execute(tx).await?;
        return Ok(PruneStep { rows, next: Some(name + after) });
    }
    Ok(PruneStep::default())
}
