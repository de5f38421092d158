//! What a person does for a connection: giving consent.

use axum::Json;
use axum::extract::State;

use super::body::Body;
use super::error::AdminError;
use crate::api::control::{AskedConsent, Check, ConsentAnswer, ConsentRequest};
use crate::api::segment::Segment;
use crate::api::state::ApiState;

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
