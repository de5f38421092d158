//! HTTP: thin handlers over `publish` and `orders`, and what every answer has in common: keys, limits, problem
//! details. And the orders that come by a broker instead, with the same answers.
//!
//! What does not live here: which records a shop sees (`publish`), and what becomes of an order (`orders`).

pub mod admin;
mod auth;
mod body;
mod changes;
pub mod control;
mod docs;
mod document;
mod health;
mod inbox;
mod layers;
mod openapi;
mod orders;
pub mod problem;
mod query;
mod reads;
mod respond;
mod routes;
mod segment;
pub mod server;
mod state;

use axum::http::{Method, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::{Extension, Router};
use tower_http::catch_panic::CatchPanicLayer;

pub use auth::{Caller, key_hash};
pub use control::{Control, ControlError};
pub use inbox::Inbox;
pub use openapi::openapi;
pub use problem::Problem;
pub use routes::{Access, Route, routes};
pub use state::{ApiState, Metrics};

use crate::config::Scope;

/// Every route, with what every request goes through.
pub fn router(state: ApiState) -> Router {
    build(state, |_| true)
}

/// The routes for operators, health and metrics, and none for shops.
pub fn operators(state: ApiState) -> Router {
    build(state, |route| layers::ALWAYS.contains(&route.path.as_str()))
}

fn build(state: ApiState, wanted: impl Fn(&Route) -> bool) -> Router {
    let keyed = |scope| from_fn_with_state((state.clone(), scope), auth::authorize);
    let mut router = Router::new();
    for route in routes().into_iter().filter(|route| wanted(route)) {
        let handler = match route.access {
            Access::Open => route.handler,
            Access::Key(scope) => route.handler.route_layer(keyed(scope)),
        };
        router = router.route(&route.path, handler);
    }
    let operators = admin::router(&state).layer(keyed(Scope::Admin));
    router
        .nest("/admin/v1", operators)
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(Extension(document::Document::new(openapi())))
        .layer(from_fn_with_state(layers::Places::new(state.clone()), layers::limit))
        .layer(CatchPanicLayer::custom(layers::panicked))
        .layer(from_fn(layers::as_problem))
        .layer(from_fn(layers::trace))
        .with_state(state)
}

async fn no_route(uri: Uri) -> Problem {
    Problem::not_found(format!("there is no route {}; /docs shows the routes", uri.path()))
}

async fn no_method(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} has no method {method}; the header `Allow` names those it has", uri.path());
    Problem::new(problem::METHOD_NOT_ALLOWED, detail)
}
