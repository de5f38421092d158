//! What a person does for a connection: giving consent, having its orders wait and go on.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::body::Body;
use super::error::AdminError;
use super::views::Why;
use super::who::Who;
use crate::api::control::{AskedConsent, Check, ConsentAnswer, ConsentRequest};
use crate::api::segment::Segment;
use crate::api::state::ApiState;
use crate::config::suggest;
use crate::store::PausedConnection;

pub(super) async fn ask_consent(
    State(state): State<ApiState>,
    Segment(name): Segment,
    Body(request): Body<ConsentRequest>,
) -> Result<Json<AskedConsent>, AdminError> {
    Ok(Json(state.control.ask_consent(&name, request).await?))
}

pub(super) async fn use_consent(
    State(state): State<ApiState>,
    Segment(name): Segment,
    Body(answer): Body<ConsentAnswer>,
) -> Result<Json<Check>, AdminError> {
    Ok(Json(state.control.use_consent(&name, answer).await?))
}

pub(super) async fn pause(
    State(state): State<ApiState>,
    who: Who,
    Segment(name): Segment,
    Body(why): Body<Why>,
) -> Result<Json<PausedConnection>, AdminError> {
    let config = state.config.borrow().clone();
    if config.connection(&name).is_none() {
        let names = suggest::one_of(config.connections.iter().map(|connection| connection.name.as_str()));
        return Err(AdminError::not_found(format!("there is no connection '{name}'; there are {names}")));
    }
    Ok(Json(state.desk.pause(&name, &why.reason, &who.0).await?))
}

/// A connection that is not configured any more can still be paused.
pub(super) async fn resume(
    State(state): State<ApiState>,
    who: Who,
    Segment(name): Segment,
) -> Result<Json<Value>, AdminError> {
    if !state.desk.resume(&name, &who.0).await? {
        return Err(AdminError::conflict(format!("the connection '{name}' is not paused")));
    }
    Ok(Json(json!({ "connection": name, "resumed": true })))
}
