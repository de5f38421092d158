//! Why an operator's request was not done.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::api::control::ControlError;
use crate::config::schema::Violation;
use crate::orders::DeskError;
use crate::store::StoreError;

/// Why an operator's request was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum AdminError {
    /// The daemon did not do it.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// It cannot be done about that order.
    #[error(transparent)]
    Desk(#[from] DeskError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is named does not exist.
    #[error("{0}")]
    NotFound(String),
    /// It cannot be done as things are.
    #[error("{0}")]
    Conflict(String),
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The body is not as it must be.
    #[error("{} of the body is not as it must be", .0.len())]
    Fields(Vec<Violation>),
    /// The operating system gives no random numbers.
    #[error("no key can be made: {0}")]
    Random(#[from] getrandom::Error),
}

impl AdminError {
    fn status(&self) -> StatusCode {
        match self {
            Self::Control(ControlError::NotFound(_))
            | Self::Desk(DeskError::NoOrder(_) | DeskError::NoLetter(_))
            | Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Control(ControlError::Conflict(_))
            | Self::Desk(
                DeskError::NotNow { .. }
                | DeskError::NotYours { .. }
                | DeskError::NumberTaken { .. }
                | DeskError::Changed(_),
            )
            | Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Control(ControlError::Invalid(_) | ControlError::Faulty(_))
            | Self::Desk(DeskError::NoNumber)
            | Self::Invalid(_)
            | Self::Fields(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Control(ControlError::Unavailable(_) | ControlError::Store(_))
            | Self::Desk(DeskError::Store(_))
            | Self::Store(_)
            | Self::Random(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl IntoResponse for AdminError {
    /// Problem details, RFC 9457.
    fn into_response(self) -> Response {
        let status = self.status();
        let errors: Vec<_> = match &self {
            Self::Fields(violations) => {
                violations.iter().map(|v| json!({ "pointer": v.path.pointer(), "detail": v.message })).collect()
            }
            Self::Control(ControlError::Faulty(problems)) => {
                problems.0.iter().map(|p| json!({ "pointer": p.path, "detail": p.to_string() })).collect()
            }
            _ => Vec::new(),
        };
        let title = status.canonical_reason().unwrap_or_default();
        let body = json!({ "status": status.as_u16(), "title": title, "detail": self.to_string(), "errors": errors });
        (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
    }
}
