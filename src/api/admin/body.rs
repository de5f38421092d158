//! The body of an operator's request: JSON that is judged by the schema of its type, every fault at once.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::error::AdminError;
use crate::config::schema;

/// A body that is as its type says.
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned + JsonSchema, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = AdminError;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let bytes =
            Bytes::from_request(request, state).await.map_err(|error| AdminError::Invalid(error.to_string()))?;
        // A request that needs to say nothing may come without a body.
        let bytes: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        let value = serde_json::from_slice(bytes)
            .map_err(|error| AdminError::Invalid(format!("the body is no JSON: {error}")))?;
        let violations = schema::check(&schema::of::<T>(), &value);
        if !violations.is_empty() {
            return Err(AdminError::Fields(violations));
        }
        serde_json::from_value(value).map(Self).map_err(|error| AdminError::Invalid(error.to_string()))
    }
}
