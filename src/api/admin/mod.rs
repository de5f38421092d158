//! The routes for operators, below `/admin/v1`. Whoever gets here has shown a key with the scope `admin`.
//!
//! What does not live here: doing what is asked (`control`, `orders`, the store), and how it is shown (`cli`).

mod body;
mod connections;
mod error;
mod keys;
mod orders;
mod runs;
mod store;
mod trace;
pub mod traced;
pub mod views;
mod who;
mod work;

use axum::Router;
use axum::routing::{delete, get, post};

use super::state::ApiState;

/// The routes.
pub fn router(_state: &ApiState) -> Router<ApiState> {
    Router::new()
        .route("/sync", post(work::sync))
        .route("/map/diff", post(work::map_diff))
        .route("/preview", post(work::preview))
        .route("/reload", post(work::reload))
        .route("/check", post(work::check))
        .route("/probe", post(work::probe))
        .route("/status", get(work::status))
        .route("/connections/{name}/consent", post(connections::ask_consent))
        .route("/connections/{name}/consent/answer", post(connections::use_consent))
        .route("/connections/{name}/pause", post(connections::pause))
        .route("/connections/{name}/resume", post(connections::resume))
        .route("/runs", get(runs::list))
        .route("/runs/{id}", get(runs::show))
        .route("/runs/{id}/approve", post(runs::approve))
        .route("/runs/{id}/reject", post(runs::reject))
        .route("/trace/{entity}", get(trace::trace))
        .route("/rejections", get(runs::rejections))
        .route("/orders", get(orders::list))
        .route("/orders/{id}", get(orders::show))
        .route("/orders/{id}/retry", post(orders::retry))
        .route("/orders/{id}/cancel", post(orders::cancel))
        .route("/orders/{id}/approve", post(orders::approve))
        .route("/orders/{id}/resolve", post(orders::resolve))
        .route("/dead", get(orders::dead))
        .route("/dead/{id}", get(orders::show_dead))
        .route("/dead/{id}/retry", post(orders::retry_dead))
        .route("/dead/{id}/drop", post(orders::drop_dead))
        .route("/store", get(store::stats))
        .route("/store/digest", get(store::digest))
        .route("/store/prune", post(store::prune))
        .route("/store/erase-person", post(store::erase_person))
        .route("/keys", get(keys::list).post(keys::create))
        .route("/keys/{name}", delete(keys::revoke))
}
