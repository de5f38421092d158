//! Between the engines' columns and the store's types.

use jiff::Timestamp;
use serde::de::DeserializeOwned;

use super::super::{Known, Part, Result, Run, RunState, Source, StoreError, Stored};
use super::statement::{Engine, Row, Sql};
use crate::model::hash::ContentHash;
use crate::model::{Entity, Key, PartKind};

/// What is selected of a part `p` of a source `s` that a run `r` brought, with what says when it was stored and its place
/// in the feed.
pub(super) fn part_columns(changed_at: &str, sequence: &str) -> String {
    format!(
        "SELECT p.kind, p.company, p.number, p.part, p.content, p.hash, s.connection, s.stream, p.source_key, p.run, \
         COALESCE(r.mapping, '') AS mapping, {changed_at} AS changed_at, {sequence} AS sequence"
    )
}

/// How source and run are joined to a part.
pub(super) const PART_JOINS: &str = "JOIN source s ON s.id = p.source LEFT JOIN run r ON r.id = p.run";

/// Begins to select parts; conditions follow after `WHERE`.
pub(super) fn select_parts(engine: Engine) -> Sql {
    Sql::new(engine, &format!("{} FROM part p {PART_JOINS} ", part_columns("p.changed_at", "p.sequence")))
}

/// Begins to select the living parts of an entity by their keys, of which there must be one at least; more conditions may
/// follow after `AND`.
pub(super) fn select_parts_of<'a>(engine: Engine, entity: Entity, keys: impl IntoIterator<Item = &'a Key>) -> Sql {
    let mut sql = Sql::with_keys(engine, keys);
    let entity = entity.name();
    let wanted =
        format!("p.entity = '{entity}' AND p.company = k.company AND p.number = k.number AND p.source_key IS NOT NULL");
    sql.push(part_columns("p.changed_at", "p.sequence"))
        .push(" FROM k CROSS JOIN ")
        .push_each("part p", PART_JOINS, &wanted);
    sql
}

/// What a run is selected with.
pub(super) const RUN: &str = "SELECT r.*, s.connection, s.stream, s.kind FROM run r JOIN source s ON s.id = r.source ";

pub(super) fn source(row: &Row) -> Result<Source> {
    Ok(Source {
        id: row.get("id")?,
        connection: row.get("connection")?,
        stream: row.get("stream")?,
        kind: kind(row)?,
        verified_at: row.get::<Option<i64>>("verified_at")?.map(instant).transpose()?,
        place: row.get::<Option<String>>("place")?.as_deref().map(json).transpose()?,
        watermark: row.get::<Option<String>>("watermark")?.as_deref().map(json).transpose()?,
    })
}

pub(super) fn part(row: &Row) -> Result<Part> {
    Ok(Part {
        kind: kind(row)?,
        key: key(row)?,
        part: row.get("part")?,
        content: json(&row.get::<String>("content")?)?,
        hash: hash(&row.get::<Vec<u8>>("hash")?)?,
        connection: row.get("connection")?,
        stream: row.get("stream")?,
        source_key: row.get("source_key")?,
        run: row.get("run")?,
        mapping: row.get("mapping")?,
        changed_at: instant(row.get("changed_at")?)?,
        sequence: row.get("sequence")?,
    })
}

pub(super) fn run(row: &Row) -> Result<Run> {
    let state: String = row.get("state")?;
    Ok(Run {
        id: row.get("id")?,
        source: row.get("source")?,
        connection: row.get("connection")?,
        stream: row.get("stream")?,
        kind: kind(row)?,
        complete: row.get("complete")?,
        state: word::<RunState>(state)?,
        counts: json(&row.get::<String>("counts")?)?,
        pages: count(row, "pages")?,
        place: row.get::<Option<String>>("place")?.as_deref().map(json).transpose()?,
        reached: row.get::<Option<String>>("reached")?.as_deref().map(json).transpose()?,
        mapping: row.get("mapping")?,
        reason: row.get("reason")?,
        loading: row.get("loading")?,
        started_at: instant(row.get("started_at")?)?,
        ended_at: row.get::<Option<i64>>("ended_at")?.map(instant).transpose()?,
        watermark: row.get::<Option<String>>("watermark")?.as_deref().map(json).transpose()?,
    })
}

pub(super) fn known(row: &Row) -> Result<Known> {
    Ok(Known {
        id: row.get("id")?,
        source_hash: hash(&row.get::<Vec<u8>>("source_hash")?)?,
        hash: hash(&row.get::<Vec<u8>>("hash")?)?,
        key: key(row)?,
        part: row.get("part")?,
    })
}

pub(super) fn stored(row: &Row) -> Result<Stored> {
    Ok(Stored {
        id: row.get("id")?,
        source_key: row.get("source_key")?,
        key: key(row)?,
        part: row.get("part")?,
        hash: hash(&row.get::<Vec<u8>>("hash")?)?,
        changed_at: instant(row.get("changed_at")?)?,
    })
}

pub(super) fn key(row: &Row) -> Result<Key> {
    Ok(Key { company: row.get("company")?, number: row.get("number")? })
}

pub(super) fn kind(row: &Row) -> Result<PartKind> {
    let name: String = row.get("kind")?;
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

/// A day, counted from 1970-01-01.
pub(super) fn day(days: i64) -> Result<i32> {
    i32::try_from(days).map_err(|e| unreadable("day", &e))
}

pub(super) fn unreadable(what: &'static str, message: &dyn std::fmt::Display) -> StoreError {
    StoreError::Unreadable { what, message: message.to_string() }
}

/// A count that is never beyond 32 bits.
pub(super) fn count(row: &Row, column: &str) -> Result<u32> {
    let count: i64 = row.get(column)?;
    u32::try_from(count).map_err(|e| unreadable("count", &e))
}

/// The beginning of where a text stands in a column, whatever the case of its letters.
pub(super) fn within(engine: Engine, column: &str) -> String {
    match engine {
        Engine::Sqlite => format!("instr(lower({column}), "),
        Engine::Postgres => format!("strpos(lower({column}), "),
    }
}
