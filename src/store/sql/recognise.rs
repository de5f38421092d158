//! Recognising source rows by key and digest: the way of every row of every pull, so each engine is asked in the way
//! that costs it least.

use std::collections::HashMap;

use sqlx::{PgConnection, Row as _};

use super::super::{Known, Recognised, Result, SourceId};
use super::rows;
use super::session::Session;
use crate::model::hash::ContentHash;

/// Rows of one statement with SQLite.
const ROWS: usize = 500;

/// Where in what was asked for a stored part stands, and whether it has the same digest.
struct Match {
    at: usize,
    id: i64,
    same: bool,
}

/// What rows of a source are to the store, in the order asked.
pub(super) async fn recognise(
    session: &mut Session<'_>,
    source: SourceId,
    asked: &[(&str, ContentHash)],
) -> Result<Vec<Recognised>> {
    let matches = match session {
        Session::Sqlite(_) => in_sqlite(session, source, asked).await?,
        Session::Postgres(held) => in_postgres(held, source, asked).await?,
    };
    let changed: Vec<i64> = matches.iter().filter(|m| !m.same).map(|m| m.id).collect();
    let known = known(session, &changed).await?;
    let mut found = vec![Recognised::New; asked.len()];
    for Match { at, id, same } in matches {
        if let Some(place) = found.get_mut(at) {
            *place = match known.get(&id) {
                Some(known) if !same => Recognised::Other(known.clone()),
                _ => Recognised::Same(id),
            };
        }
    }
    Ok(found)
}

/// One answer of three lists for a whole page: rows would cost more than the looking up. Each key is looked up by itself:
/// a table that grows by a page each time has no statistics that a plan for all keys could rest on.
async fn in_postgres(
    connection: &mut PgConnection,
    source: SourceId,
    asked: &[(&str, ContentHash)],
) -> Result<Vec<Match>> {
    const SQL: &str = "SELECT array_agg(k.at), array_agg(p.id), array_agg(p.source_hash = k.digest) \
        FROM unnest($2::text[], $3::bytea[]) WITH ORDINALITY AS k (key, digest, at) CROSS JOIN LATERAL \
        (SELECT id, source_hash FROM part WHERE source = $1 AND source_key = k.key OFFSET 0) p";
    let keys: Vec<&str> = asked.iter().map(|(key, _)| *key).collect();
    let digests: Vec<&[u8]> = asked.iter().map(|(_, digest)| digest.as_slice()).collect();
    let row = sqlx::query(SQL).bind(source).bind(keys).bind(digests).fetch_one(connection).await?;
    let at: Option<Vec<i64>> = row.try_get(0)?;
    let ids: Option<Vec<i64>> = row.try_get(1)?;
    let same: Option<Vec<bool>> = row.try_get(2)?;
    let (at, ids, same) = (at.unwrap_or_default(), ids.unwrap_or_default(), same.unwrap_or_default());
    let places = at.into_iter().map(|at| usize::try_from(at - 1).unwrap_or(usize::MAX));
    Ok(places.zip(ids).zip(same).map(|((at, id), same)| Match { at, id, same }).collect())
}

/// One text for some hundred rows, since a row costs SQLite's driver more than the looking up.
async fn in_sqlite(session: &mut Session<'_>, source: SourceId, asked: &[(&str, ContentHash)]) -> Result<Vec<Match>> {
    let mut matches = Vec::with_capacity(asked.len());
    for (chunk, begin) in asked.chunks(ROWS).zip((0..).step_by(ROWS)) {
        let mut sql = session.sql("WITH k (at, key, digest) AS (VALUES ");
        for (at, (key, digest)) in chunk.iter().enumerate() {
            sql.push(format_args!("{}({at}, ", if at == 0 { "" } else { ", " }));
            sql.push_bind(*key).push(", ").push_bind(*digest).push(")");
        }
        sql.push(
            ") SELECT group_concat(k.at || ' ' || p.id || ' ' || (p.source_hash = k.digest), char(10)) AS found \
             FROM k CROSS JOIN part p WHERE p.source_key = k.key AND p.source = ",
        );
        sql.push_bind(source);
        let found: Option<String> = sql.fetch_one(session).await?.get("found")?;
        for line in found.unwrap_or_default().lines() {
            let mut numbers = line.split(' ').map(str::parse::<i64>);
            let (Some(Ok(at)), Some(Ok(id)), Some(Ok(same))) = (numbers.next(), numbers.next(), numbers.next()) else {
                return Err(rows::unreadable("match of a row", &line));
            };
            let at = usize::try_from(at).unwrap_or(usize::MAX - begin);
            matches.push(Match { at: begin + at, id, same: same == 1 });
        }
    }
    Ok(matches)
}

/// What is known of parts.
async fn known(session: &mut Session<'_>, ids: &[i64]) -> Result<HashMap<i64, Known>> {
    let mut known = HashMap::with_capacity(ids.len());
    for chunk in ids.chunks(super::LOOKUP) {
        let mut sql = session.sql("SELECT id, source_hash, hash, company, number, part FROM part WHERE ");
        sql.push_in_integers("id", chunk);
        sql.push(" AND source_key IS NOT NULL");
        for row in sql.fetch_all(session).await? {
            let part = rows::known(&row)?;
            known.insert(part.id, part);
        }
    }
    Ok(known)
}
