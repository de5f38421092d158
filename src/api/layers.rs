//! What every request goes through: an identifier, a log span, a place among the requests at work, a time limit.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody as _};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Instrument as _;

use super::changes::LONGEST_WAIT;
use super::problem::{self, Kind, Problem};
use super::state::ApiState;
use crate::telemetry::{self, event::RequestAnswered};

/// Identifies a request, for both sides' logs.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest identifier that is taken over from a client.
const LONGEST_ID: usize = 128;

/// Routes that answer whatever else is going on.
pub(super) const ALWAYS: [&str; 3] = ["/livez", "/readyz", "/metrics"];

/// The route that waits.
const WAITING: &str = "/v1/changes";

/// What operators ask may take as long as it takes.
const OPERATORS: &str = "/admin/v1/";

/// Identifies a request, logs and counts its answer.
pub(super) async fn trace(request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let id = request_id(&request);
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!(
        "request",
        request_id = id.to_str().unwrap_or_default(),
        %method,
        route,
        key = tracing::field::Empty
    );
    let mut response = async {
        let response = next.run(request).await;
        let (status, duration) = (response.status().as_u16(), begun.elapsed());
        telemetry::emit(RequestAnswered { method: method.as_str(), route: &route, status, duration });
        response
    }
    .instrument(span)
    .await;
    response.headers_mut().insert(REQUEST_ID, id);
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The client's identifier where it is a sound one, otherwise a new one.
fn request_id(request: &Request) -> HeaderValue {
    let sound = |value: &&HeaderValue| {
        (1..=LONGEST_ID).contains(&value.len())
            && value.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || b"-_.:/+=".contains(b))
    };
    let given = request.headers().get(REQUEST_ID).filter(sound).cloned();
    given
        .or_else(|| HeaderValue::from_str(&uuid::Uuid::now_v7().to_string()).ok())
        .unwrap_or(HeaderValue::from_static("none"))
}

/// The most that is taken over of an error that a library wrote.
const LONGEST_DETAIL: usize = 10_000;

/// Gives errors that a library answered with, as plain text, the form of all others.
pub(super) async fn as_problem(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let status = response.status();
    let written = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|given| given.to_str().is_ok_and(|given| given.starts_with("application/")));
    if !(status.is_client_error() || status.is_server_error()) || written {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let text = axum::body::to_bytes(body, LONGEST_DETAIL).await.unwrap_or_default();
    let detail = String::from_utf8_lossy(&text).into_owned();
    let mut problem = Problem::new(Kind::of_status(status), detail).into_response();
    head.headers.remove(header::CONTENT_TYPE);
    head.headers.remove(header::CONTENT_LENGTH);
    problem.headers_mut().extend(head.headers);
    problem
}

/// A panic in a handler is one request's failure, not the daemon's.
#[allow(clippy::needless_pass_by_value)] // the signature that the layer asks for
pub(super) fn panicked(cause: Box<dyn Any + Send>) -> Response {
    let message = cause
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| cause.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    tracing::error!(message, "a request's handler panicked; this is a fault of the program, please report it");
    let detail = "a fault of the program; the supplier's log says more under the request's id";
    Problem::new(problem::INTERNAL, detail).into_response()
}

/// Places for requests.
#[derive(Debug, Clone)]
pub(super) struct Places {
    state: ApiState,
    working: Arc<Semaphore>,
    /// Those who wait for changes hold nothing but a place here, so they cannot keep others out.
    waiting: Arc<Semaphore>,
}

impl Places {
    pub fn new(state: ApiState) -> Self {
        let places = state.config.borrow().api.max_concurrent as usize;
        Self { state, working: Arc::new(Semaphore::new(places)), waiting: Arc::new(Semaphore::new(places)) }
    }
}

/// Gives a request a place and a time limit.
pub(super) async fn limit(State(places): State<Places>, request: Request, next: Next) -> Result<Response, Problem> {
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    if ALWAYS.contains(&route) {
        return Ok(next.run(request).await);
    }
    let waits = route == WAITING;
    let patience = if route.starts_with(OPERATORS) {
        None
    } else {
        let usual = places.state.config.borrow().api.request_timeout.duration();
        Some(if waits { usual + Duration::from_secs(LONGEST_WAIT) } else { usual })
    };
    let room = if waits { places.waiting } else { places.working };
    let place = room.try_acquire_owned().map_err(|_| {
        Problem::new(problem::OVERLOADED, "there are too many requests at once; try again in a moment").retry()
    })?;
    let response = match patience {
        None => next.run(request).await,
        Some(patience) => tokio::time::timeout(patience, next.run(request)).await.map_err(|_| {
            Problem::new(problem::TIMEOUT, "the request took too long and was given up; try again").retry()
        })?,
    };
    Ok(hold(response, place))
}

/// A stream keeps its place until it ends; whatever is complete gives it back at once.
fn hold(response: Response, place: OwnedSemaphorePermit) -> Response {
    if response.body().size_hint().exact().is_some() {
        return response;
    }
    response.map(|body| {
        Body::from_stream(body.into_data_stream().map(move |chunk| {
            let _ = &place;
            chunk
        }))
    })
}
