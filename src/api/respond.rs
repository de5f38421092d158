//! Answers with validators: entity tags, conditional requests, and how old what they rest on may be.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use serde::Serialize;

use super::problem::{self, Problem};
use crate::publish::Verified;

/// When the oldest of the streams an answer rests on was last read to its end; `never` where one has not been.
pub(super) const VERIFIED_AT: HeaderName = HeaderName::from_static("tradebridge-verified-at");

/// Where the feed was before what was read, for streams, which have no envelope.
pub(super) const CHANGES_CURSOR: HeaderName = HeaderName::from_static("tradebridge-changes-cursor");

/// The instant whose knowledge an answer shows.
pub(super) const KNOWN_AT: HeaderName = HeaderName::from_static("tradebridge-known-at");

/// Marks an answer with the instant whose knowledge it shows, where that is not the present.
pub(super) fn known_at(mut response: Response, known_at: Option<Timestamp>) -> Response {
    let value = known_at.and_then(|at| HeaderValue::from_str(&at.to_string()).ok());
    if let Some(value) = value {
        response.headers_mut().insert(KNOWN_AT, value);
    }
    response
}

/// JSON as it is sent.
pub(super) fn json<T: Serialize>(value: &T) -> Result<String, Problem> {
    serde_json::to_string(value).map_err(|error| {
        tracing::error!(%error, "an answer cannot be written as JSON");
        Problem::new(problem::INTERNAL, "the answer cannot be written")
    })
}

/// A strong entity tag: the same tag, the same bytes.
pub(super) fn strong_tag(body: &str) -> String {
    format!("\"{}\"", digest(body.as_bytes()))
}

/// A weak entity tag: the same tag, the same records; what stands around them may differ.
pub(super) fn weak_tag(content: &[&str]) -> String {
    format!("W/\"{}\"", digest(content.join("\0").as_bytes()))
}

fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..32].to_owned()
}

/// Answers with a body, or with 304 where the client has what the tag stands for.
pub(super) fn conditional(request: &HeaderMap, tag: &str, verified: &Verified, body: String) -> Response {
    let mut response = if matches(request, tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
    };
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("accept, authorization"));
    headers.insert(VERIFIED_AT, verified_at(verified));
    response
}

/// The header's value.
pub(super) fn verified_at(verified: &Verified) -> HeaderValue {
    verified
        .oldest()
        .and_then(|at| HeaderValue::from_str(&at.to_string()).ok())
        .unwrap_or(HeaderValue::from_static("never"))
}

/// Whether one of the tags in `If-None-Match` is this one; by the weak comparison of RFC 9110, section 8.8.3.2.
fn matches(request: &HeaderMap, tag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let tag = opaque(tag);
    let given = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    given.flat_map(|value| value.split(',')).any(|given| given.trim() == "*" || opaque(given) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_matches_in_a_list_weak_or_not() {
        let given =
            |value: &str| HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_str(value).unwrap())]);
        for value in ["\"a\"", "W/\"a\"", "\"b\", W/\"a\"", "*"] {
            assert!(matches(&given(value), "\"a\""), "{value}");
            assert!(matches(&given(value), "W/\"a\""), "{value}");
        }
        assert!(!matches(&given("\"b\""), "\"a\""));
        assert!(!matches(&HeaderMap::new(), "\"a\""));
    }
}
