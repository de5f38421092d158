//! Runs: listing and showing them, deciding about a held one, and what is rejected now.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::Deserialize;

use super::body::Body;
use super::error::AdminError;
use super::views::{Because, Listed, RejectedRecord, RunDetail, StagedDifference};
use crate::api::state::ApiState;
use crate::model::{Key, PartKind};
use crate::store::{Difference, Operation, Part, Rejection, Run, RunFilter, RunState, Source, SourceId, Store};

/// Runs of a list where no limit is asked for.
const RUNS: u32 = 20;

/// The most of a list.
const MOST: u32 = 1000;

/// Staged differences that are looked through for examples.
const LOOKED_THROUGH: u32 = 1000;

/// Examples of each operation.
const EXAMPLES: usize = 5;

/// Rejected records that a run is shown with.
const REJECTIONS: u32 = 100;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RunQuery {
    connection: Option<String>,
    entity: Option<String>,
    state: Option<String>,
    limit: Option<u32>,
}

pub(super) async fn list(
    State(state): State<ApiState>,
    Query(query): Query<RunQuery>,
) -> Result<Json<Listed<Run>>, AdminError> {
    let filter = RunFilter {
        kind: query.entity.as_deref().map(kind).transpose()?,
        state: query.state.as_deref().map(run_state).transpose()?,
        connection: query.connection,
        limit: limit(query.limit, RUNS)?,
    };
    Ok(Json(Listed { items: state.store.runs(&filter).await?, next: None }))
}

/// A limit that was asked for, within what is possible.
pub(super) fn limit(asked: Option<u32>, otherwise: u32) -> Result<u32, AdminError> {
    match asked.unwrap_or(otherwise) {
        0 => Err(AdminError::Invalid("`limit` is at least 1".to_owned())),
        limit => Ok(limit.min(MOST)),
    }
}

fn kind(name: &str) -> Result<PartKind, AdminError> {
    PartKind::from_name(name).ok_or_else(|| AdminError::Invalid(format!("there is no entity `{name}`")))
}

fn run_state(name: &str) -> Result<RunState, AdminError> {
    const STATES: [RunState; 7] = [
        RunState::Running,
        RunState::Applying,
        RunState::Held,
        RunState::Done,
        RunState::Failed,
        RunState::Refused,
        RunState::Superseded,
    ];
    let there = || STATES.map(RunState::name).join(", ");
    STATES
        .into_iter()
        .find(|state| state.name() == name)
        .ok_or_else(|| AdminError::Invalid(format!("there is no state `{name}` of a run; there are {}", there())))
}

pub(super) async fn show(State(state): State<ApiState>, Path(id): Path<String>) -> Result<Json<RunDetail>, AdminError> {
    let store = &state.store;
    let run = store.run(&id).await?.ok_or_else(|| {
        AdminError::NotFound(format!("there is no run {id}; `tradebridge runs list` shows the newest"))
    })?;
    let differences = if run.state == RunState::Held { examples(store.as_ref(), &run).await? } else { Vec::new() };
    let rejections = store.rejections(Some(run.source), 0, REJECTIONS).await?;
    let source = Source {
        id: run.source,
        connection: run.connection.clone(),
        stream: run.stream.clone(),
        kind: run.kind,
        verified_at: None,
        place: None,
    };
    let rejections = rejections.into_iter().map(|rejection| rejected(rejection, &source)).collect();
    Ok(Json(RunDetail { run, differences, rejections }))
}

/// The first differences of each sort, with what is stored now: deletes, changes, new ones.
async fn examples(store: &dyn Store, run: &Run) -> Result<Vec<StagedDifference>, AdminError> {
    let staged = store.staged(&run.id, -1, LOOKED_THROUGH).await?;
    let sorts: [fn(&Difference) -> bool; 3] = [
        |difference| difference.operation == Operation::Delete,
        |difference| difference.operation == Operation::Upsert && difference.before.is_some(),
        |difference| difference.operation == Operation::Upsert && difference.before.is_none(),
    ];
    let chosen: Vec<&Difference> =
        sorts.into_iter().flat_map(|sort| staged.iter().filter(move |d| sort(d)).take(EXAMPLES)).collect();
    let keys: Vec<Key> = chosen.iter().map(|difference| difference.key.clone()).collect();
    let parts = store.parts(run.kind.entity(), &keys).await?;
    let stored: HashMap<(&Key, &str), &Part> =
        parts.iter().filter(|part| part.kind == run.kind).map(|part| ((&part.key, part.part.as_str()), part)).collect();
    Ok(chosen
        .into_iter()
        .map(|difference| {
            let now = stored.get(&(&difference.key, difference.part.as_str()));
            StagedDifference {
                operation: difference.operation,
                company: difference.key.company.clone(),
                number: difference.key.number.clone(),
                part: difference.part.clone(),
                source_key: difference.source_key.clone(),
                before: now.map(|part| part.content.clone()),
                after: difference.content.clone(),
                superseded: now.map(|part| part.hash) != difference.before,
            }
        })
        .collect())
}

fn rejected(rejection: Rejection, source: &Source) -> RejectedRecord {
    RejectedRecord {
        connection: source.connection.clone(),
        stream: source.stream.clone(),
        kind: source.kind.name().to_owned(),
        run: rejection.run,
        source_key: rejection.source_key,
        place: rejection.place,
        reason: rejection.reason,
        record: rejection.record,
        at: rejection.at,
    }
}

pub(super) async fn approve(State(state): State<ApiState>, Path(id): Path<String>) -> Result<Json<Run>, AdminError> {
    Ok(Json(state.control.approve(&id).await?))
}

pub(super) async fn reject(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    Body(because): Body<Because>,
) -> Result<Json<Run>, AdminError> {
    let reason = because.reason.unwrap_or_else(|| "an operator refused it".to_owned());
    Ok(Json(state.control.refuse(&id, &reason).await?))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RejectionQuery {
    connection: Option<String>,
    entity: Option<String>,
    after: Option<i64>,
    limit: Option<u32>,
}

pub(super) async fn rejections(
    State(state): State<ApiState>,
    Query(query): Query<RejectionQuery>,
) -> Result<Json<Listed<RejectedRecord>>, AdminError> {
    let (limit, kind) = (limit(query.limit, REJECTIONS)?, query.entity.as_deref().map(kind).transpose()?);
    let sources: HashMap<SourceId, Source> = state
        .store
        .sources()
        .await?
        .into_iter()
        .filter(|source| query.connection.as_ref().is_none_or(|name| *name == source.connection))
        .filter(|source| kind.is_none_or(|kind| kind == source.kind))
        .map(|source| (source.id, source))
        .collect();
    let (mut items, mut after, mut next) = (Vec::new(), query.after.unwrap_or(0), None);
    loop {
        let page = state.store.rejections(None, after, limit).await?;
        let Some(last) = page.last() else { break };
        after = last.id;
        for rejection in page {
            let Some(source) = sources.get(&rejection.source) else { continue };
            if items.len() == limit as usize {
                next = items.last().map(|(id, _): &(i64, _)| id.to_string());
                break;
            }
            items.push((rejection.id, rejected(rejection, source)));
        }
        if next.is_some() {
            break;
        }
    }
    Ok(Json(Listed { items: items.into_iter().map(|(_, record)| record).collect(), next }))
}
