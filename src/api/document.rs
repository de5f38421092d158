//! The published document, as JSON and as a page.

use std::sync::Arc;

use axum::Extension;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::docs;
use super::problem::{self, Problem};
use super::respond;
use crate::publish::Verified;

/// The document in the forms in which it is served.
#[derive(Debug)]
pub(super) struct Document {
    value: Value,
    json: String,
}

impl Document {
    pub fn new(value: Value) -> Arc<Self> {
        Arc::new(Self { json: value.to_string(), value })
    }
}

/// `GET /openapi.json`
pub(super) async fn openapi(Extension(document): Extension<Arc<Document>>, headers: HeaderMap) -> Response {
    let tag = respond::strong_tag(&document.json);
    let mut response = respond::conditional(&headers, &tag, &Verified::default(), document.json.clone());
    response.headers_mut().remove(respond::VERIFIED_AT);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// `GET /docs`: a page that loads nothing and runs nothing.
pub(super) async fn docs(Extension(document): Extension<Arc<Document>>) -> Result<Response, Problem> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| {
        tracing::error!(%error, "the operating system gives no random numbers");
        Problem::new(problem::UNAVAILABLE, "the page cannot be made now").retry()
    })?;
    let nonce = STANDARD.encode(random);
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let page = docs::page(&document.value, &nonce);
    let mut response = ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response();
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}
