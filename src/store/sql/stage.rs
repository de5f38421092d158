//! Differences that wait to be applied.

use super::super::{Difference, Operation, Result};
use super::session::Session;
use super::{LOOKUP, rows};
use crate::model::Content;

/// Rows of one statement.
const ROWS: usize = 500;

/// Stages differences. Those without a batch of source rows of their own have theirs in `raw`.
pub(super) async fn stage(tx: &mut Session<'_>, run: &str, differences: &[Difference], raw: Option<i64>) -> Result<()> {
    for chunk in differences.chunks(ROWS) {
        let mut sql = tx.sql(
            "INSERT INTO staged (run, position, operation, source_key, company, number, part, who, what, content, \
             before, after, source_hash, shops, raw, turn) VALUES ",
        );
        for (at, d) in chunk.iter().enumerate() {
            sql.push(if at == 0 { "(" } else { ", (" });
            sql.push_bind(run).push(", ").push_bind(d.position).push(", ").push_bind(operation(d.operation));
            for text in [&d.source_key, &d.key.company, &d.key.number, &d.part] {
                sql.push(", ").push_bind(text);
            }
            sql.push(", ").push_bind(&d.who).push(", ").push_bind(&d.what);
            sql.push(", ").push_bind(d.content.as_ref().map(Content::as_str));
            sql.push(", ").push_bind(d.before).push(", ").push_bind(d.after).push(", ").push_bind(d.source_hash);
            let shops = d.shops.as_ref().map(|shops| serde_json::Value::from(shops.clone()).to_string());
            sql.push(", ").push_bind(shops);
            let raw = if d.operation == Operation::Delete { d.raw } else { d.raw.or(raw) };
            sql.push(", ").push_bind(raw).push(", ").push_bind(d.turn).push(")");
        }
        sql.execute(tx).await?;
    }
    Ok(())
}

/// A run's staged differences after a position.
pub(super) async fn staged(session: &mut Session<'_>, run: &str, after: i64, limit: u32) -> Result<Vec<Difference>> {
    let found = session
        .sql("SELECT * FROM staged WHERE run = ? AND position > ? ORDER BY position LIMIT ?")
        .bind(run)
        .bind(after)
        .bind(limit)
        .fetch_all(session)
        .await?;
    let mut differences = Vec::with_capacity(found.len());
    for row in &found {
        let hash =
            |name: &str| -> Result<_> { row.get::<Option<Vec<u8>>>(name)?.as_deref().map(rows::hash).transpose() };
        let turn = row.get::<Option<i64>>("turn")?.map(i32::try_from).transpose();
        differences.push(Difference {
            position: row.get("position")?,
            operation: rows::word(row.get("operation")?)?,
            source_key: row.get("source_key")?,
            key: rows::key(row)?,
            part: row.get("part")?,
            who: row.get("who")?,
            what: row.get("what")?,
            content: row.get::<Option<String>>("content")?.map(Content::of_text),
            before: hash("before")?,
            after: hash("after")?,
            source_hash: rows::hash(&row.get::<Vec<u8>>("source_hash")?)?,
            shops: row.get::<Option<String>>("shops")?.as_deref().map(rows::json).transpose()?,
            raw: row.get("raw")?,
            turn: turn.map_err(|e| rows::unreadable("day", &e))?,
        });
    }
    Ok(differences)
}

/// Drops what earlier pages of a run staged under some source keys.
pub(super) async fn unstage(tx: &mut Session<'_>, run: &str, keys: &[String]) -> Result<()> {
    for chunk in keys.chunks(LOOKUP) {
        let mut sql = tx.sql("DELETE FROM staged WHERE run = ");
        sql.push_bind(run).push(" AND ").push_in("source_key", chunk);
        sql.execute(tx).await?;
    }
    Ok(())
}

/// Drops everything that a run left to be applied, and what it noted as seen.
pub(super) async fn drop_staged(tx: &mut Session<'_>, run: &str) -> Result<()> {
    tx.sql("DELETE FROM staged WHERE run = ?").bind(run).execute(tx).await?;
    tx.sql("DELETE FROM seen WHERE run = ?").bind(run).execute(tx).await?;
    Ok(())
}

fn operation(operation: Operation) -> &'static str {
    match operation {
        Operation::Upsert => "upsert",
        Operation::Delete => "delete",
        Operation::Recognise => "recognise",
        Operation::Miss => "miss",
    }
}
