//! Who acts, as transitions record it.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::api::auth::Caller;
use crate::api::problem::{self, Problem};
use crate::orders::Actor;

/// The operator whose key opened the route.
#[derive(Debug)]
pub(super) struct Who(pub(super) Actor);

impl<S: Send + Sync> FromRequestParts<S> for Who {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let caller = parts.extensions.get::<Caller>();
        let caller = caller.ok_or_else(|| Problem::new(problem::UNAUTHORIZED, "this route needs a key"))?;
        Ok(Self(Actor::Operator(caller.key.clone())))
    }
}
