//! Orders and dead letters: what a person looks at and decides.

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::Body;
use super::error::AdminError;
use super::runs::limit;
use super::views::{Listed, Resolution};
use super::who::Who;
use crate::api::state::ApiState;
use crate::orders::{Dead, Shown};
use crate::store::{OrderFilter, OrderState, StoredOrder};

/// Orders of a list where no limit is asked for.
const ORDERS: u32 = 20;

/// Dead ones of a list where no limit is asked for.
const DEAD: u32 = 50;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OrderQuery {
    shop: Option<String>,
    connection: Option<String>,
    customer: Option<String>,
    /// States, separated by commas.
    state: Option<String>,
    overdue: Option<bool>,
    before: Option<String>,
    limit: Option<u32>,
}

pub(super) async fn list(
    State(state): State<ApiState>,
    who: Who,
    Query(query): Query<OrderQuery>,
) -> Result<Json<Listed<StoredOrder>>, AdminError> {
    let names = query.state.as_deref().unwrap_or_default().split(',').filter(|name| !name.is_empty());
    let limit = limit(query.limit, ORDERS)?;
    let filter = OrderFilter {
        shop: query.shop,
        connection: query.connection,
        customer: query.customer,
        states: names.map(order_state).collect::<Result<_, _>>()?,
        overdue: query.overdue.unwrap_or(false),
        before: query.before,
        limit,
        ..OrderFilter::default()
    };
    let items = state.desk.list(&filter, &who.0).await?;
    let next = items.last().filter(|_| items.len() == limit as usize).map(|last| last.id.clone());
    Ok(Json(Listed { items, next }))
}

fn order_state(name: &str) -> Result<OrderState, AdminError> {
    OrderState::from_name(name).ok_or_else(|| {
        let there = OrderState::ALL.map(OrderState::name).join(", ");
        AdminError::Invalid(format!("there is no state `{name}` of an order; there are {there}"))
    })
}

pub(super) async fn show(
    State(state): State<ApiState>,
    who: Who,
    Path(id): Path<String>,
) -> Result<Json<Shown>, AdminError> {
    Ok(Json(state.desk.show(&id, &who.0).await?))
}

pub(super) async fn retry(
    State(state): State<ApiState>,
    who: Who,
    Path(id): Path<String>,
) -> Result<Json<StoredOrder>, AdminError> {
    Ok(Json(state.desk.retry(&id, &who.0).await?))
}

pub(super) async fn cancel(
    State(state): State<ApiState>,
    who: Who,
    Path(id): Path<String>,
) -> Result<Json<StoredOrder>, AdminError> {
    Ok(Json(state.desk.cancel(&id, &who.0).await?))
}

pub(super) async fn approve(
    State(state): State<ApiState>,
    who: Who,
    Path(id): Path<String>,
) -> Result<Json<StoredOrder>, AdminError> {
    Ok(Json(state.desk.approve(&id, &who.0).await?))
}

pub(super) async fn resolve(
    State(state): State<ApiState>,
    who: Who,
    Path(id): Path<String>,
    Body(resolution): Body<Resolution>,
) -> Result<Json<StoredOrder>, AdminError> {
    Ok(Json(state.desk.resolve(&id, &resolution.as_created, &who.0).await?))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeadQuery {
    limit: Option<u32>,
}

pub(super) async fn dead(
    State(state): State<ApiState>,
    Query(query): Query<DeadQuery>,
) -> Result<Json<Listed<Dead>>, AdminError> {
    Ok(Json(Listed { items: state.desk.dead(limit(query.limit, DEAD)?).await?, next: None }))
}

pub(super) async fn show_dead(State(state): State<ApiState>, Path(id): Path<String>) -> Result<Json<Dead>, AdminError> {
    Ok(Json(state.desk.show_dead(&id).await?))
}

pub(super) async fn retry_dead(
    State(state): State<ApiState>,
    who: Who,
    Path(id): Path<String>,
) -> Result<Json<Value>, AdminError> {
    state.desk.retry_dead(&id, &who.0).await?;
    Ok(Json(json!({ "id": id, "retried": true })))
}

pub(super) async fn drop_dead(
    State(state): State<ApiState>,
    who: Who,
    Path(id): Path<String>,
) -> Result<Json<Value>, AdminError> {
    state.desk.drop_dead(&id, &who.0).await?;
    Ok(Json(json!({ "id": id, "dropped": true })))
}
