//! Between SQLite's columns and the store's types.

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite};

use super::super::{Known, Part, Result, Run, RunState, Source, StoreError, Stored};
use crate::model::hash::ContentHash;
use crate::model::{Key, PartKind};

macro_rules! part_from {
    ($from:literal) => {
        concat!(
            "SELECT p.kind, p.company, p.number, p.part, p.content, p.hash, s.connection, s.stream, p.source_key, \
             p.run, p.mapping, p.changed_at, p.sequence FROM ",
            $from,
            " JOIN source s ON s.id = p.source "
        )
    };
}

/// What a part is selected with.
pub(super) const PART: &str = part_from!("part p");

/// What the parts of entities are selected with, after [`with_keys`].
pub(super) const PART_OF_KEYS: &str =
    part_from!("k CROSS JOIN part p ON p.company = k.company AND p.number = k.number");

/// What a run is selected with.
pub(super) const RUN: &str = "SELECT r.*, s.connection, s.stream, s.kind FROM run r JOIN source s ON s.id = r.source ";

pub(super) fn source(row: &SqliteRow) -> Result<Source> {
    Ok(Source {
        id: row.try_get("id")?,
        connection: row.try_get("connection")?,
        stream: row.try_get("stream")?,
        kind: kind(row)?,
        verified_at: row.try_get::<Option<i64>, _>("verified_at")?.map(instant).transpose()?,
        place: row.try_get::<Option<String>, _>("place")?.as_deref().map(json).transpose()?,
    })
}

pub(super) fn part(row: &SqliteRow) -> Result<Part> {
    Ok(Part {
        kind: kind(row)?,
        key: key(row)?,
        part: row.try_get("part")?,
        content: json(&row.try_get::<String, _>("content")?)?,
        hash: hash(&row.try_get::<Vec<u8>, _>("hash")?)?,
        connection: row.try_get("connection")?,
        stream: row.try_get("stream")?,
        source_key: row.try_get("source_key")?,
        run: row.try_get("run")?,
        mapping: row.try_get("mapping")?,
        changed_at: instant(row.try_get("changed_at")?)?,
        sequence: row.try_get("sequence")?,
    })
}

pub(super) fn run(row: &SqliteRow) -> Result<Run> {
    let state: String = row.try_get("state")?;
    Ok(Run {
        id: row.try_get("id")?,
        source: row.try_get("source")?,
        connection: row.try_get("connection")?,
        stream: row.try_get("stream")?,
        kind: kind(row)?,
        complete: row.try_get("complete")?,
        state: word::<RunState>(state)?,
        counts: json(&row.try_get::<String, _>("counts")?)?,
        pages: row.try_get("pages")?,
        place: row.try_get::<Option<String>, _>("place")?.as_deref().map(json).transpose()?,
        mapping: row.try_get("mapping")?,
        reason: row.try_get("reason")?,
        loading: row.try_get("loading")?,
        started_at: instant(row.try_get("started_at")?)?,
        ended_at: row.try_get::<Option<i64>, _>("ended_at")?.map(instant).transpose()?,
    })
}

pub(super) fn known(row: &SqliteRow) -> Result<Known> {
    Ok(Known {
        id: row.try_get("id")?,
        source_hash: hash(&row.try_get::<Vec<u8>, _>("source_hash")?)?,
        hash: hash(&row.try_get::<Vec<u8>, _>("hash")?)?,
        key: key(row)?,
        part: row.try_get("part")?,
    })
}

pub(super) fn stored(row: &SqliteRow) -> Result<Stored> {
    Ok(Stored {
        id: row.try_get("id")?,
        source_key: row.try_get("source_key")?,
        key: key(row)?,
        part: row.try_get("part")?,
        hash: hash(&row.try_get::<Vec<u8>, _>("hash")?)?,
    })
}

pub(super) fn key(row: &SqliteRow) -> Result<Key> {
    Ok(Key { company: row.try_get("company")?, number: row.try_get("number")? })
}

pub(super) fn kind(row: &SqliteRow) -> Result<PartKind> {
    let name: String = row.try_get("kind")?;
    PartKind::from_name(&name).ok_or_else(|| unreadable("kind", &name))
}

pub(super) fn json<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|e| unreadable("JSON text", &e))
}

pub(super) fn word<T: DeserializeOwned>(name: String) -> Result<T> {
    serde_json::from_value(serde_json::Value::String(name)).map_err(|e| unreadable("word", &e))
}

pub(super) fn hash(bytes: &[u8]) -> Result<ContentHash> {
    ContentHash::try_from(bytes).map_err(|e| unreadable("hash", &e))
}

pub(super) fn instant(microseconds: i64) -> Result<Timestamp> {
    Timestamp::from_microsecond(microseconds).map_err(|e| unreadable("instant", &e))
}

pub(super) fn unreadable(what: &'static str, message: &dyn std::fmt::Display) -> StoreError {
    StoreError::Unreadable { what, message: message.to_string() }
}

/// Begins a statement over the entities with these keys, the rows of `k`; there must be one at least. Joined from `k`
/// to what is looked up, it walks an index; as a list of pairs after `IN` it would read the whole table.
pub(super) fn with_keys<'a>(keys: impl IntoIterator<Item = &'a Key>) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::<Sqlite>::new("WITH k (company, number) AS (");
    query.push_values(keys, |mut row, key| {
        row.push_bind(key.company.clone()).push_bind(key.number.clone());
    });
    query.push(") ");
    query
}
