//! The store itself: its size, its digest, pruning it, erasing persons.

use axum::Json;
use axum::extract::State;

use super::body::Body;
use super::error::AdminError;
use super::views::StoreDigest;
use crate::api::control::{ErasePerson, ErasureReport, Pruned};
use crate::api::state::ApiState;
use crate::store::StoreStats;

pub(super) async fn stats(State(state): State<ApiState>) -> Result<Json<StoreStats>, AdminError> {
    Ok(Json(state.store.stats().await?))
}

pub(super) async fn digest(State(state): State<ApiState>) -> Result<Json<StoreDigest>, AdminError> {
    Ok(Json(StoreDigest { digest: state.store.digest().await? }))
}

pub(super) async fn prune(State(state): State<ApiState>) -> Result<Json<Vec<Pruned>>, AdminError> {
    Ok(Json(state.control.prune().await?))
}

pub(super) async fn erase_person(
    State(state): State<ApiState>,
    Body(request): Body<ErasePerson>,
) -> Result<Json<ErasureReport>, AdminError> {
    Ok(Json(state.control.erase_person(request).await?))
}
