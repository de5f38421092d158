//! Bodies of requests: JSON, of bounded size, arriving in bounded time.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, header};
use serde_json::Value;

use super::problem::{self, Fault, Problem};
use super::state::ApiState;

/// Reads a request's body as JSON.
///
/// A length that is announced and too large is refused before anything is read; one that is not announced, as soon as
/// it is too large. `serde_json` refuses nesting deeper than 128 levels, so a body cannot exhaust the stack.
pub(super) async fn json(request: Request, state: &ApiState) -> Result<Value, Problem> {
    let (most, patience) = {
        let config = state.config.borrow();
        // The body has the larger part of the request's time, so that a slow one is told apart from slow work.
        (config.api.max_body.bytes(), config.api.request_timeout.duration() * 3 / 4)
    };
    check_type(request.headers())?;
    let bytes =
        bytes(request.headers().get(header::CONTENT_LENGTH).cloned(), request.into_body(), most, patience).await?;
    parse(&bytes)
}

/// Reads what came as JSON.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, Problem> {
    if bytes.is_empty() {
        return Err(Problem::new(problem::MALFORMED_BODY, "the request has no body; send the content as JSON"));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        let text = error.to_string();
        let what = text.split(" at line ").next().unwrap_or_default();
        Problem::new(problem::MALFORMED_BODY, format!("the body is no JSON: {what}, at {place}"))
            .with_errors(vec![Fault { pointer: None, parameter: None, detail: format!("{place}: {what}") }])
    })
}

fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json")) {
        return Ok(());
    }
    let given = if given.is_empty() { "there is none".to_owned() } else { format!("it is '{given}'") };
    let detail = format!("send the body as JSON with `Content-Type: application/json`; {given}");
    Err(Problem::new(problem::UNSUPPORTED_MEDIA_TYPE, detail)
        .header(header::ACCEPT, HeaderValue::from_static("application/json")))
}

async fn bytes(
    length: Option<HeaderValue>,
    body: Body,
    most: u64,
    patience: Duration,
) -> Result<axum::body::Bytes, Problem> {
    let too_large = || {
        Problem::new(problem::BODY_TOO_LARGE, format!("the body is larger than the {most} bytes that are taken"))
            .header(header::CONNECTION, HeaderValue::from_static("close"))
    };
    let announced = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|announced| announced > most) {
        return Err(too_large());
    }
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    match tokio::time::timeout(patience, axum::body::to_bytes(body, most)).await {
        Err(_) => Err(Problem::new(problem::BODY_TIMEOUT, "the body did not arrive in time; send it again")
            .header(header::CONNECTION, HeaderValue::from_static("close"))),
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => {
            // Either the limit or the client's connection; to_bytes names the limit as the source of its error.
            let limit = std::error::Error::source(&error).is_some_and(|e| e.to_string().contains("length limit"));
            if limit {
                Err(too_large())
            } else {
                Err(Problem::new(problem::MALFORMED_BODY, format!("the body broke off: {error}")))
            }
        }
    }
}
