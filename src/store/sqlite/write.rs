//! Applying differences to the parts and numbering the changes for the feed, within a transaction.

use jiff::Timestamp;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};

use super::super::{Applied, Difference, Operation, Result, Run};
use super::{LOOKUP, members};
use crate::model::{Content, PartKind};

/// Rows of one insert: at most 17 columns each, within SQLite's 32,766 bound values.
const INSERT: usize = 200;

/// Applies differences in order, each only where the stored hash is the one it was made against.
pub(super) async fn apply(tx: &mut SqliteConnection, run: &Run, differences: &[Difference]) -> Result<Applied> {
    let mut sequence: i64 = sqlx::query_scalar("SELECT sequence FROM store").fetch_one(&mut *tx).await?;
    let before = sequence;
    let mut applied = Applied::default();
    let mut rest = differences;
    while let Some(first) = rest.first() {
        let begun = sequence;
        let fresh = rest.iter().take(INSERT).take_while(|d| is_new(d)).count();
        let written = if fresh > 0 {
            insert(tx, run, &rest[..fresh], &mut sequence).await?
        } else {
            one(tx, run, first, &mut sequence).await?
        };
        let taken = fresh.max(1);
        applied.applied += written;
        applied.superseded += taken as u64 - written;
        if run.kind == PartKind::Customer && written > 0 {
            members::follow(tx, &rest[..taken], begun, &mut sequence).await?;
        }
        for difference in &rest[..taken] {
            if !run.kind.is_main() && difference.operation != Operation::Recognise {
                sequence += 1;
                touch_owner(tx, run.kind, difference, sequence).await?;
            }
        }
        rest = &rest[taken..];
    }
    if sequence != before {
        sqlx::query("UPDATE store SET sequence = ?").bind(sequence).execute(&mut *tx).await?;
    }
    Ok(applied)
}

fn is_new(difference: &Difference) -> bool {
    difference.operation == Operation::Upsert && difference.before.is_none()
}

fn next(kind: PartKind, sequence: &mut i64) -> Option<i64> {
    kind.is_main().then(|| {
        *sequence += 1;
        *sequence
    })
}

/// New parts: a tombstone of the same key is taken over, a living one is left alone.
async fn insert(tx: &mut SqliteConnection, run: &Run, differences: &[Difference], sequence: &mut i64) -> Result<u64> {
    let now = Timestamp::now().as_microsecond();
    let entity = run.kind.entity().name();
    let mut query = QueryBuilder::<Sqlite>::new(
        "INSERT INTO part (source, source_key, entity, kind, company, number, part, who, what, content, hash, \
         source_hash, run, mapping, changed_at, sequence, born) ",
    );
    query.push_values(differences, |mut row, d| {
        let sequence = next(run.kind, sequence);
        row.push_bind(run.source)
            .push_bind(d.source_key.clone())
            .push_bind(entity)
            .push_bind(run.kind.name())
            .push_bind(d.key.company.clone())
            .push_bind(d.key.number.clone())
            .push_bind(d.part.clone())
            .push_bind(d.who.clone())
            .push_bind(d.what.clone())
            .push_bind(d.content.as_ref().map(|content| content.as_str().to_owned()))
            .push_bind(d.after.map(|h| h.to_vec()))
            .push_bind(d.source_hash.to_vec())
            .push_bind(run.id.clone())
            .push_bind(run.mapping.clone())
            .push_bind(now)
            .push_bind(sequence)
            .push_bind(sequence);
    });
    query.push(
        // A row of the source that lives under another canonical key is left alone.
        " ON CONFLICT (source, source_key) WHERE source_key IS NOT NULL DO NOTHING \
         ON CONFLICT (entity, company, number, kind, part) DO UPDATE SET source = excluded.source, \
         source_key = excluded.source_key, who = excluded.who, what = excluded.what, content = excluded.content, \
         hash = excluded.hash, source_hash = excluded.source_hash, run = excluded.run, mapping = excluded.mapping, \
         changed_at = excluded.changed_at, sequence = excluded.sequence, born = excluded.born \
         WHERE part.source_key IS NULL",
    );
    Ok(query.build().execute(&mut *tx).await?.rows_affected())
}

/// A changed, vanished or merely recognised part.
async fn one(tx: &mut SqliteConnection, run: &Run, d: &Difference, sequence: &mut i64) -> Result<u64> {
    let now = Timestamp::now().as_microsecond();
    let before = d.before.map(|h| h.to_vec());
    let number = if d.operation == Operation::Recognise { None } else { next(run.kind, sequence) };
    let query = match d.operation {
        Operation::Upsert => sqlx::query(
            "UPDATE part SET born = CASE WHEN who IS ? THEN born ELSE ? END, who = ?, what = ?, content = ?, hash = ?, \
             source_hash = ?, run = ?, mapping = ?, changed_at = ?, sequence = ? \
             WHERE source = ? AND source_key = ? AND company = ? AND number = ? AND part = ? AND hash = ?",
        )
        .bind(d.who.clone())
        .bind(number)
        .bind(d.who.clone())
        .bind(d.what.clone())
        .bind(d.content.as_ref().map(|content| content.as_str().to_owned()))
        .bind(d.after.map(|h| h.to_vec()))
        .bind(d.source_hash.to_vec())
        .bind(run.id.clone())
        .bind(run.mapping.clone())
        .bind(now)
        .bind(number),
        Operation::Delete => sqlx::query(
            "UPDATE part SET source_key = NULL, content = NULL, hash = NULL, source_hash = NULL, run = ?, mapping = ?, \
             changed_at = ?, sequence = ? WHERE source = ? AND source_key = ? AND company = ? AND number = ? AND part = ? \
             AND hash = ?",
        )
        .bind(run.id.clone())
        .bind(run.mapping.clone())
        .bind(now)
        .bind(number),
        Operation::Recognise => sqlx::query(
            "UPDATE part SET source_hash = ?, mapping = ? WHERE source = ? AND source_key = ? AND company = ? \
             AND number = ? AND part = ? AND hash = ?",
        )
        .bind(d.source_hash.to_vec())
        .bind(run.mapping.clone()),
    };
    let done = query
        .bind(run.source)
        .bind(d.source_key.clone())
        .bind(d.key.company.clone())
        .bind(d.key.number.clone())
        .bind(d.part.clone())
        .bind(before)
        .execute(&mut *tx)
        .await?;
    Ok(done.rows_affected())
}

/// A change of a part is a change of the entity that it belongs to.
async fn touch_owner(tx: &mut SqliteConnection, kind: PartKind, d: &Difference, sequence: i64) -> Result<()> {
    let entity = kind.entity();
    sqlx::query(
        "UPDATE part SET sequence = ? WHERE entity = ? AND company = ? AND number = ? AND kind = ? AND part = '' \
         AND source_key IS NOT NULL",
    )
    .bind(sequence)
    .bind(entity.name())
    .bind(d.key.company.clone())
    .bind(d.key.number.clone())
    .bind(PartKind::from(entity).name())
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// Reads a run's staged differences after a position.
pub(super) async fn staged(
    connection: &mut SqliteConnection,
    run: &str,
    after: i64,
    limit: u32,
) -> Result<Vec<Difference>> {
    let mut differences = Vec::new();
    let rows = sqlx::query("SELECT * FROM staged WHERE run = ? AND position > ? ORDER BY position LIMIT ?")
        .bind(run)
        .bind(after)
        .bind(limit)
        .fetch_all(connection)
        .await?;
    for row in &rows {
        let hash = |name: &str| -> Result<_> {
            row.try_get::<Option<Vec<u8>>, _>(name)?.as_deref().map(super::rows::hash).transpose()
        };
        differences.push(Difference {
            position: row.try_get("position")?,
            operation: super::rows::word(row.try_get("operation")?)?,
            source_key: row.try_get("source_key")?,
            key: super::rows::key(row)?,
            part: row.try_get("part")?,
            who: row.try_get("who")?,
            what: row.try_get("what")?,
            content: row.try_get::<Option<String>, _>("content")?.map(Content::of_text),
            before: hash("before")?,
            after: hash("after")?,
            source_hash: super::rows::hash(&row.try_get::<Vec<u8>, _>("source_hash")?)?,
            shops: row.try_get::<Option<String>, _>("shops")?.as_deref().map(super::rows::json).transpose()?,
        });
    }
    Ok(differences)
}

/// Drops what earlier pages of a run staged under some source keys.
pub(super) async fn unstage(tx: &mut SqliteConnection, run: &str, keys: &[String]) -> Result<()> {
    for chunk in keys.chunks(LOOKUP) {
        let mut query = QueryBuilder::<Sqlite>::new("DELETE FROM staged WHERE run = ");
        query.push_bind(run.to_owned()).push(" AND source_key IN (");
        let mut list = query.separated(", ");
        for key in chunk {
            list.push_bind(key.clone());
        }
        query.push(")");
        query.build().execute(&mut *tx).await?;
    }
    Ok(())
}

/// Stages differences.
pub(super) async fn stage(tx: &mut SqliteConnection, run: &str, differences: &[Difference]) -> Result<()> {
    for chunk in differences.chunks(INSERT) {
        let mut query = QueryBuilder::<Sqlite>::new(
            "INSERT INTO staged (run, position, operation, source_key, company, number, part, who, what, content, \
             before, after, source_hash, shops) ",
        );
        query.push_values(chunk, |mut row, d| {
            row.push_bind(run.to_owned())
                .push_bind(d.position)
                .push_bind(operation(d.operation))
                .push_bind(d.source_key.clone())
                .push_bind(d.key.company.clone())
                .push_bind(d.key.number.clone())
                .push_bind(d.part.clone())
                .push_bind(d.who.clone())
                .push_bind(d.what.clone())
                .push_bind(d.content.as_ref().map(|content| content.as_str().to_owned()))
                .push_bind(d.before.map(|h| h.to_vec()))
                .push_bind(d.after.map(|h| h.to_vec()))
                .push_bind(d.source_hash.to_vec())
                .push_bind(d.shops.as_ref().map(|shops| serde_json::Value::from(shops.clone()).to_string()));
        });
        query.build().execute(&mut *tx).await?;
    }
    Ok(())
}

fn operation(operation: Operation) -> &'static str {
    match operation {
        Operation::Upsert => "upsert",
        Operation::Delete => "delete",
        Operation::Recognise => "recognise",
    }
}
