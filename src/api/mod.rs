//! HTTP: thin handlers over `publish` and `orders`, and what every answer has in common: keys, limits, problem
//! details.
//!
//! What does not live here: which records a shop sees (`publish`), and what becomes of an order (`orders`).

pub mod admin;
pub mod control;
mod state;

use axum::Router;

pub use control::{Control, ControlError};
pub use state::{ApiState, Metrics};

/// Every route.
pub fn router(state: ApiState) -> Router {
    Router::new().nest("/admin/v1", admin::router(&state)).with_state(state)
}
