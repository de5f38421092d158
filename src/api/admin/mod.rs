//! The routes for operators, below `/admin/v1`. Whoever gets here has shown a key with the scope `admin`.

pub mod views;

use axum::Router;

use super::state::ApiState;

/// The routes.
pub fn router(_state: &ApiState) -> Router<ApiState> {
    Router::new()
}
