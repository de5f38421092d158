//! Who acts, as transitions record it.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::error::AdminError;
use crate::api::auth::Caller;
use crate::orders::Actor;

/// The operator whose key opened the route.
#[derive(Debug)]
pub(super) struct Who(pub(super) Actor);

impl<S: Send + Sync> FromRequestParts<S> for Who {
    type Rejection = AdminError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let caller = parts.extensions.get::<Caller>();
        let nobody = || AdminError::Invalid("nobody is known to ask; this route needs a key".to_owned());
        Ok(Self(Actor::Operator(caller.ok_or_else(nobody)?.key.clone())))
    }
}
