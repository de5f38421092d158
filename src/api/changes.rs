//! The change feed, with waiting for what is to come.

use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse as _, Response};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::Instant;

use super::auth::Caller;
use super::problem::Problem;
use super::query::{Form, Parameter, Parameters};
use super::respond::{self, VERIFIED_AT};
use super::state::ApiState;
use crate::publish::{Changed, Verified, Window};

/// The longest wait, in seconds: proxies end connections that are silent for longer.
pub(super) const LONGEST_WAIT: u64 = 60;

pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "after",
        form: Form::Text,
        help: "Where to go on: `cursor` of the answer before, or `changes_cursor` of a snapshot. Without it, from the \
               beginning.",
    },
    Parameter { name: "entity", form: Form::Entities, help: "These entities only, separated by commas." },
    Parameter { name: "limit", form: Form::Count { most: 1000, usual: 100 }, help: "At most so many changes." },
    Parameter {
        name: "wait",
        form: Form::Wait(LONGEST_WAIT),
        help: "Where there is nothing yet: how long to wait for it, such as `30s`.",
    },
];

/// A page of the feed as it is written.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ChangeList")]
pub(super) struct ChangeList<T> {
    /// The changes, the oldest first; each record once, at its newest change.
    pub changes: Vec<T>,
    /// Where to go on. It moves on even where there was nothing for the shop.
    pub cursor: String,
    /// Whether there are more already.
    pub more: bool,
    /// How old it may be.
    pub verified_at: Verified,
}

/// `GET /v1/changes`
pub(super) async fn changes(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, Problem> {
    let mut given = Parameters::read(&uri, PARAMETERS)?;
    let mut after = given.text("after");
    let entities = given.entities("entity");
    let limit = given.count("limit", PARAMETERS);
    let wait = given.wait("wait", Duration::from_secs(LONGEST_WAIT));
    given.finish()?;
    let deadline = Instant::now() + wait.unwrap_or_default();
    let mut shutdown = state.shutdown.clone();
    let mut stopping = *shutdown.borrow();
    loop {
        // Listening begins before reading: what is announced in between is not missed. The window is opened anew each
        // time, since the shop's scope may change while it waits.
        let mut news = state.notifier.subscribe();
        let window = Window::open(state.store.clone(), caller.shop()?).await?;
        let page = window.changes(after.as_deref(), &entities, limit).await?;
        let over = stopping || Instant::now() >= deadline;
        if !page.changes.is_empty() || page.more || over {
            let list: ChangeList<Changed> = ChangeList {
                changes: page.changes,
                cursor: page.cursor,
                more: page.more,
                verified_at: page.verified_at,
            };
            let verified = respond::verified_at(&list.verified_at);
            let mut response = ([(header::CONTENT_TYPE, "application/json")], respond::json(&list)?).into_response();
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response.headers_mut().insert(VERIFIED_AT, verified);
            return Ok(response);
        }
        // What the shop does not see was looked through: it is not looked through again.
        after = Some(page.cursor);
        tokio::select! {
            _ = news.changed() => {}
            () = tokio::time::sleep_until(deadline) => {}
            _ = shutdown.wait_for(|stop| *stop) => stopping = true,
        }
    }
}
