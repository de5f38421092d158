//! What the daemon is asked to do or to say of itself: pulling, previewing, reloading, checking, its status.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;

use super::body::Body;
use super::error::AdminError;
use super::views::{OrdersInState, Overview, RejectedCount};
use crate::api::control::{
    Check, MapDiffRequest, PreviewRecord, PreviewRequest, ProbeRequest, ReloadReport, Status, SyncReport, SyncRequest,
};
use crate::api::state::ApiState;
use crate::connector::Survey;
use crate::store::{OrderCount, Run, RunFilter, RunState};
use crate::sync::MapDiff;

/// The most held runs that the status lists.
const HELD: u32 = 100;

/// The most dead letters that the status counts.
const LETTERS: u32 = 1000;

pub(super) async fn sync(
    State(state): State<ApiState>,
    Body(request): Body<SyncRequest>,
) -> Result<Json<Vec<SyncReport>>, AdminError> {
    Ok(Json(state.control.sync(request).await?))
}

pub(super) async fn map_diff(
    State(state): State<ApiState>,
    Body(request): Body<MapDiffRequest>,
) -> Result<Json<MapDiff>, AdminError> {
    Ok(Json(state.control.map_diff(request).await?))
}

pub(super) async fn preview(
    State(state): State<ApiState>,
    Body(request): Body<PreviewRequest>,
) -> Result<Json<Vec<PreviewRecord>>, AdminError> {
    Ok(Json(state.control.preview(request).await?))
}

pub(super) async fn reload(State(state): State<ApiState>) -> Result<Json<ReloadReport>, AdminError> {
    Ok(Json(state.control.reload().await?))
}

pub(super) async fn check(State(state): State<ApiState>) -> Json<Vec<Check>> {
    Json(state.control.probe().await)
}

pub(super) async fn probe(
    State(state): State<ApiState>,
    Body(request): Body<ProbeRequest>,
) -> Result<Json<Survey>, AdminError> {
    Ok(Json(state.control.survey(request).await?))
}

pub(super) async fn status(State(state): State<ApiState>) -> Result<Json<Overview>, AdminError> {
    let store = &state.store;
    let daemon = state.control.status().await;
    let held = RunFilter { state: Some(RunState::Held), limit: HELD, ..RunFilter::default() };
    let sources: HashMap<_, _> = store.sources().await?.into_iter().map(|source| (source.id, source)).collect();
    let rejected = store.rejected().await?.into_iter().filter(|(_, count)| *count > 0);
    let rejected = rejected.filter_map(|(id, count)| {
        let source = sources.get(&id)?;
        Some(RejectedCount {
            connection: source.connection.clone(),
            stream: source.stream.clone(),
            kind: source.kind.name().to_owned(),
            count,
        })
    });
    Ok(Json(Overview {
        runs: newest(&state, &daemon).await?,
        held: store.runs(&held).await?,
        rejected: rejected.collect(),
        orders: store.order_counts().await?.into_iter().map(orders).collect(),
        dead_letters: store.dead_letters(None, LETTERS).await?.len() as u64,
        daemon,
    }))
}

/// The newest run of each sync that names one.
async fn newest(state: &ApiState, daemon: &Status) -> Result<Vec<Run>, AdminError> {
    let mut runs = Vec::new();
    for id in daemon.connections.iter().flat_map(|c| &c.syncs).filter_map(|sync| sync.last_run.as_deref()) {
        runs.extend(state.store.run(id).await?);
    }
    Ok(runs)
}

fn orders(count: OrderCount) -> OrdersInState {
    OrdersInState {
        connection: count.connection,
        state: count.state.name().to_owned(),
        count: count.count,
        overdue: count.overdue,
        oldest_accepted_at: count.oldest_accepted_at,
        oldest_submitted_at: count.oldest_submitted_at,
    }
}
