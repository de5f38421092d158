//! Segments of the path that name something.

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use super::problem::Problem;

/// A segment of the path, such as a key.
pub(super) struct Segment(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let segment: Result<Path<String>, PathRejection> = Path::from_request_parts(parts, state).await;
        match segment {
            Ok(Path(text)) if !text.contains('\0') => Ok(Self(text)),
            Ok(_) => Err(Problem::not_found("no key contains a NUL character")),
            Err(error) => Err(Problem::not_found(format!("the key in the path cannot be read: {}", error.body_text()))),
        }
    }
}
