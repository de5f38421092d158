//! Why an operator's request was not done. Operators are told the cause that shops are spared.

use axum::response::{IntoResponse, Response};

use crate::api::control::ControlError;
use crate::api::problem::{self, Fault, Problem};
use crate::orders::DeskError;
use crate::store::StoreError;

/// Why an operator's request was not done.
#[derive(Debug)]
pub(super) struct AdminError(Problem);

impl AdminError {
    /// What is named does not exist.
    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self(Problem::not_found(detail))
    }

    /// It cannot be done as things are.
    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        Self(Problem::new(problem::CONFLICT, detail))
    }

    /// The content makes no sense here.
    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self(Problem::new(problem::INVALID_CONTENT, detail))
    }

    /// The machine cannot do it now.
    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        Self(Problem::new(problem::UNAVAILABLE, detail))
    }
}

impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

impl From<Problem> for AdminError {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<StoreError> for AdminError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store failed an operator's request");
        Self::unavailable(error.to_string())
    }
}

impl From<ControlError> for AdminError {
    fn from(error: ControlError) -> Self {
        let detail = error.to_string();
        match error {
            ControlError::Store(error) => error.into(),
            ControlError::NotFound(_) => Self::not_found(detail),
            ControlError::Conflict(_) => Self::conflict(detail),
            ControlError::Invalid(_) => Self::invalid(detail),
            ControlError::Faulty(problems) => {
                let fault = |detail: String| Fault { pointer: None, parameter: None, detail };
                let faults = problems.0.iter().map(|problem| fault(problem.to_string())).collect();
                Self(Problem::new(problem::INVALID_CONTENT, detail).with_errors(faults))
            }
            ControlError::Unavailable(_) => Self::unavailable(detail),
        }
    }
}

impl From<DeskError> for AdminError {
    fn from(error: DeskError) -> Self {
        match error {
            DeskError::Store(error) => error.into(),
            error => Self(error.into()),
        }
    }
}
