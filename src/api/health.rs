//! Whether the daemon lives and is ready, and its metrics. Open to whoever reaches it, so it names things and says
//! nothing about what is in them.

use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use schemars::JsonSchema;
use serde::Serialize;

use super::problem::{self, Problem};
use super::respond;
use super::state::ApiState;
use crate::sync;

/// How long finding out may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether the daemon is ready.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Readiness {
    /// Whether requests can be answered: the store works, and every shop's scope is worked out.
    pub ready: bool,
    /// What was looked at.
    pub checks: Vec<ReadinessCheck>,
}

/// One thing that was looked at.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ReadinessCheck {
    /// What: `store`, `queue`, `shop NAME`, `connection NAME`, or `orders to NAME` where they wait.
    pub name: String,
    /// Whether it works.
    pub ok: bool,
    /// Whether requests cannot be answered without it. An ERP that cannot be reached stops nothing: what is stored stays
    /// served.
    pub required: bool,
}

/// `GET /livez`
pub(super) async fn live() -> Response {
    ([(header::CACHE_CONTROL, "no-store"), (header::CONTENT_TYPE, "application/json")], r#"{"live":true}"#)
        .into_response()
}

/// `GET /readyz`
pub(super) async fn ready(State(state): State<ApiState>) -> Result<Response, Problem> {
    let late = |_| Problem::new(problem::TIMEOUT, "finding out took too long").retry();
    let readiness = tokio::time::timeout(PATIENCE, readiness(&state)).await.map_err(late)?;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let headers = [(header::CACHE_CONTROL, "no-store"), (header::CONTENT_TYPE, "application/json")];
    Ok((status, headers, respond::json(&readiness)?).into_response())
}

async fn readiness(state: &ApiState) -> Readiness {
    let status = state.control.status().await;
    let stopping = *state.shutdown.borrow();
    let mut checks = vec![
        ReadinessCheck { name: "store".to_owned(), ok: status.store.ok, required: true },
        // Without it orders are accepted all the same, and wait in the store.
        ReadinessCheck { name: "queue".to_owned(), ok: status.queue.ok, required: false },
    ];
    let config = state.config.borrow().clone();
    for shop in &config.shops {
        let scope = state.store.scope(&shop.name).await;
        let ok = scope.is_ok_and(|scope| scope.is_some_and(|scope| scope.digest == sync::scope_digest(shop)));
        checks.push(ReadinessCheck { name: format!("shop {}", shop.name), ok, required: true });
    }
    for connection in status.connections {
        let name = format!("connection {}", connection.name);
        checks.push(ReadinessCheck { name, ok: connection.reachable, required: false });
        if connection.orders_wait.is_some() {
            checks.push(ReadinessCheck { name: format!("orders to {}", connection.name), ok: false, required: false });
        }
    }
    Readiness { ready: !stopping && checks.iter().all(|check| check.ok || !check.required), checks }
}

/// `GET /metrics`
pub(super) async fn metrics(State(state): State<ApiState>) -> Result<Response, Problem> {
    let late = |_| Problem::new(problem::TIMEOUT, "gathering the metrics took too long").retry();
    let text = tokio::time::timeout(PATIENCE, state.metrics.render()).await.map_err(late)?;
    let headers = [
        (header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, text).into_response())
}
