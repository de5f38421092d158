//! Errors as RFC 9457 problem details: one form for every answer that is not what was asked for.
//!
//! The types are stable names, listed with their meaning in `docs/api.md`; a program may rely on them and on the
//! status, a person reads the detail.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use crate::orders::{DeskError, FieldError, IntakeError};
use crate::publish::PublishError;
use crate::store::StoreError;

/// The media type of problem details.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// What a request that was refused for want of room or time should wait, in seconds.
const SOON: u32 = 5;

/// A kind of problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// The last word of its type.
    pub name: &'static str,
    /// The status it is answered with.
    pub status: u16,
    /// What it is, in a few words.
    pub title: &'static str,
}

macro_rules! kinds {
    ($($constant:ident = $name:literal, $status:literal, $title:literal;)*) => {
        $(pub(super) const $constant: Kind = Kind { name: $name, status: $status, title: $title };)*
        /// Every kind of problem.
        pub const KINDS: &[Kind] = &[$($constant),*];
    };
}

kinds! {
    INVALID_PARAMETER = "invalid-parameter", 400, "A parameter is not acceptable";
    INVALID_CURSOR = "invalid-cursor", 400, "The cursor was not handed out for this";
    AMBIGUOUS_KEY = "ambiguous-key", 400, "The key could be of several companies";
    MALFORMED_BODY = "malformed-body", 400, "The body is no JSON";
    UNAUTHORIZED = "unauthorized", 401, "A valid key is needed";
    FORBIDDEN = "forbidden", 403, "The key does not allow this";
    NOT_FOUND = "not-found", 404, "There is no such thing";
    METHOD_NOT_ALLOWED = "method-not-allowed", 405, "The route has no such method";
    BODY_TIMEOUT = "body-timeout", 408, "The body took too long to arrive";
    CONFLICT = "conflict", 409, "It cannot be done as things are";
    CURSOR_GONE = "cursor-gone", 410, "The cursor is void";
    HISTORY_GONE = "history-gone", 410, "What was known then is not kept any more";
    BODY_TOO_LARGE = "body-too-large", 413, "The body is too large";
    UNSUPPORTED_MEDIA_TYPE = "unsupported-media-type", 415, "The body must be JSON";
    INVALID_CONTENT = "invalid-content", 422, "The content is not acceptable";
    REFERENCE_USED = "reference-used", 422, "Another order has the reference or key";
    TOO_MANY_LINES = "too-many-lines", 422, "There is too much to gather";
    INTERNAL = "internal", 500, "Something broke";
    OVERLOADED = "overloaded", 503, "Too many requests at once";
    TIMEOUT = "timeout", 503, "It took too long";
    UNAVAILABLE = "unavailable", 503, "It cannot be done now";
    SCOPE_PENDING = "scope-pending", 503, "The shop's scope is being worked out";
}

/// An answer that is not what was asked for.
#[derive(Debug)]
pub struct Problem {
    kind: Kind,
    detail: String,
    errors: Vec<Fault>,
    retry_after: Option<u32>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// What is wrong at one place of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Fault {
    /// The place in the body, as a JSON Pointer (RFC 6901); empty for the body as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// The parameter, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// What is wrong and what would be right.
    pub detail: String,
}

/// Problem details as they are written.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ProblemDetails {
    /// The kind of problem: `urn:tradebridge:problem:` and a stable name.
    pub r#type: String,
    /// The kind in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time, and what to do.
    pub detail: String,
    /// Everything that is wrong with the request, place by place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Fault>,
}

impl Problem {
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), errors: Vec::new(), retry_after: None, headers: Vec::new() }
    }

    /// A parameter that is not acceptable, or several.
    pub(super) fn parameters(faults: Vec<(String, String)>) -> Self {
        let errors: Vec<Fault> = faults
            .into_iter()
            .map(|(parameter, detail)| Fault { pointer: None, parameter: Some(parameter), detail })
            .collect();
        let detail = errors.iter().map(|f| f.detail.as_str()).collect::<Vec<_>>().join("; ");
        Self { errors, ..Self::new(INVALID_PARAMETER, detail) }
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(NOT_FOUND, detail)
    }

    /// The same problem, to be tried again after some seconds.
    pub(super) fn retry(mut self) -> Self {
        self.retry_after = Some(SOON);
        self
    }

    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(super) fn with_errors(mut self, errors: Vec<Fault>) -> Self {
        self.errors = errors;
        self
    }

    /// What happened this time, and what to do.
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    pub(super) fn details(self) -> ProblemDetails {
        ProblemDetails {
            r#type: format!("urn:tradebridge:problem:{}", self.kind.name),
            title: self.kind.title.to_owned(),
            status: self.kind.status,
            detail: self.detail,
            errors: self.errors,
        }
    }
}

impl Kind {
    /// The kind of what a library answered with a bare status.
    pub(super) fn of_status(status: StatusCode) -> Self {
        let found = KINDS.iter().find(|kind| kind.status == status.as_u16()).copied();
        found.unwrap_or(if status.is_client_error() { INVALID_PARAMETER } else { INTERNAL })
    }
}

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        let status = StatusCode::from_u16(self.kind.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = self.retry_after;
        let headers = std::mem::take(&mut self.headers);
        let body = serde_json::to_string(&self.details()).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, MEDIA_TYPE)], body).into_response();
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.headers_mut().extend(headers);
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        // The cause is the operator's matter, not the shop's.
        tracing::error!(%error, "the store failed a request");
        match error {
            StoreError::Unreadable { .. } | StoreError::Damaged { .. } => Self::new(
                INTERNAL,
                "what is stored cannot be read; the supplier's log says more under the request's id",
            ),
            _ => Self::new(UNAVAILABLE, "the store cannot answer now; nothing was changed, try again").retry(),
        }
    }
}

impl From<PublishError> for Problem {
    fn from(error: PublishError) -> Self {
        let detail = error.to_string();
        match error {
            PublishError::Store(error) => error.into(),
            PublishError::ScopePending(_) => Self::new(SCOPE_PENDING, detail).retry(),
            PublishError::BadCursor(_) => Self::new(INVALID_CURSOR, detail),
            PublishError::Gone => Self::new(CURSOR_GONE, detail),
            PublishError::HistoryGone { since, .. } => {
                let errors = vec![Fault {
                    pointer: None,
                    parameter: Some("known_at".to_owned()),
                    detail: format!("must be {since} or later"),
                }];
                Self { errors, ..Self::new(HISTORY_GONE, detail) }
            }
            PublishError::Ambiguous { .. } => Self::new(AMBIGUOUS_KEY, detail),
            PublishError::NoCustomer(_) => Self::new(NOT_FOUND, detail),
            PublishError::TooMany(_) => Self::new(TOO_MANY_LINES, detail),
        }
    }
}

impl From<IntakeError> for Problem {
    fn from(error: IntakeError) -> Self {
        let detail = error.to_string();
        match error {
            IntakeError::Store(error) => error.into(),
            IntakeError::NoOrders(_) => Self::new(FORBIDDEN, detail),
            IntakeError::Invalid(faults) => {
                Self::new(INVALID_CONTENT, detail).with_errors(faults.into_iter().map(Fault::from).collect())
            }
            IntakeError::Conflict { .. } => Self::new(REFERENCE_USED, detail),
        }
    }
}

impl From<FieldError> for Fault {
    fn from(error: FieldError) -> Self {
        Self { pointer: Some(error.pointer), parameter: None, detail: error.message }
    }
}

impl From<DeskError> for Problem {
    fn from(error: DeskError) -> Self {
        let detail = error.to_string();
        match error {
            DeskError::Store(error) => error.into(),
            DeskError::NoOrder(_) | DeskError::NoLetter(_) => Self::new(NOT_FOUND, detail),
            DeskError::NotYours { .. } => Self::new(FORBIDDEN, detail),
            DeskError::NoNumber | DeskError::NoReason => Self::new(INVALID_CONTENT, detail),
            _ => Self::new(CONFLICT, detail),
        }
    }
}
