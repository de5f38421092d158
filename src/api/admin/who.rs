//! Who acts, as transitions record it.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use std::convert::Infallible;

use crate::orders::Actor;

/// The operator whose key opened the route.
#[derive(Debug)]
pub(super) struct Who(pub(super) Actor);

impl<S: Send + Sync> FromRequestParts<S> for Who {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(Actor::Operator("admin".to_owned())))
    }
}
