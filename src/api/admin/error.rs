//! Why an operator's request was not done.

use axum::response::{IntoResponse, Response};

use crate::api::control::ControlError;
use crate::api::problem::{self, Fault, Kind, Problem};
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
    fn kind(&self) -> Kind {
        match self {
            Self::Control(ControlError::NotFound(_))
            | Self::Desk(DeskError::NoOrder(_) | DeskError::NoLetter(_))
            | Self::NotFound(_) => problem::NOT_FOUND,
            Self::Control(ControlError::Conflict(_))
            | Self::Desk(
                DeskError::NotNow { .. }
                | DeskError::NotYours { .. }
                | DeskError::NumberTaken { .. }
                | DeskError::Changed(_),
            )
            | Self::Conflict(_) => problem::CONFLICT,
            Self::Control(ControlError::Invalid(_) | ControlError::Faulty(_))
            | Self::Desk(DeskError::NoNumber)
            | Self::Invalid(_)
            | Self::Fields(_) => problem::INVALID_CONTENT,
            Self::Control(ControlError::Unavailable(_) | ControlError::Store(_))
            | Self::Desk(DeskError::Store(_))
            | Self::Store(_)
            | Self::Random(_) => problem::UNAVAILABLE,
        }
    }
}

impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        let fault = |pointer: Option<String>, detail: String| Fault { pointer, parameter: None, detail };
        let errors = match &self {
            Self::Fields(violations) => {
                violations.iter().map(|v| fault(Some(v.path.pointer()), v.message.clone())).collect()
            }
            Self::Control(ControlError::Faulty(problems)) => {
                problems.0.iter().map(|problem| fault(None, problem.to_string())).collect()
            }
            _ => Vec::new(),
        };
        Problem::new(self.kind(), self.to_string()).with_errors(errors).into_response()
    }
}
