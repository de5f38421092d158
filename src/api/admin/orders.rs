//! Orders and dead letters: what a person looks at and decides.

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde_json::{Value, json};

use super::body::Body;
use super::error::AdminError;
use super::views::{Listed, Resolution, Why};
use super::who::Who;
use crate::api::query::{Form, Parameter, Parameters};
use crate::api::segment::Segment;
use crate::api::state::ApiState;
use crate::config::suggest;
use crate::orders::{Dead, DeadFilter, Shown};
use crate::store::{OrderFilter, OrderState, StoredOrder};

const ORDER_PARAMETERS: &[Parameter] = &[
    Parameter { name: "shop", form: Form::Text, help: "Only of this shop." },
    Parameter { name: "connection", form: Form::Text, help: "Only for this connection." },
    Parameter { name: "customer", form: Form::Text, help: "Only of this customer, by number." },
    Parameter { name: "state", form: Form::Text, help: "Only in these states, separated by commas." },
    Parameter { name: "overdue", form: Form::Flag, help: "Only those whose answer is overdue." },
    Parameter { name: "reason", form: Form::Text, help: "Only those whose reason contains this text." },
    Parameter { name: "since", form: Form::Past, help: "Only those in their state since this instant or later." },
    Parameter { name: "until", form: Form::Past, help: "Only those in their state since before this instant." },
    Parameter { name: "before", form: Form::Text, help: "Where to go on: `next` of the page before." },
    Parameter { name: "limit", form: Form::Count { most: 1000, usual: 20 }, help: "At most so many." },
];

pub(super) async fn list(
    State(state): State<ApiState>,
    who: Who,
    uri: Uri,
) -> Result<Json<Listed<StoredOrder>>, AdminError> {
    let mut given = Parameters::read(&uri, ORDER_PARAMETERS)?;
    let limit = given.count("limit", ORDER_PARAMETERS);
    let names = given.text("state").unwrap_or_default();
    let mut states = Vec::new();
    for name in names.split(',').filter(|name| !name.is_empty()) {
        match OrderState::from_name(name) {
            Some(state) => states.push(state),
            None => given.fault(
                "state",
                format!(
                    "there is no state `{name}`; there are {}",
                    suggest::one_of(OrderState::ALL.map(OrderState::name))
                ),
            ),
        }
    }
    let filter = OrderFilter {
        shop: given.text("shop"),
        connection: given.text("connection"),
        customer: given.text("customer"),
        states,
        overdue: given.flag("overdue"),
        reason: given.text("reason"),
        changed_from: given.past("since"),
        changed_before: given.past("until"),
        before: given.text("before"),
        limit,
        ..OrderFilter::default()
    };
    given.finish()?;
    let items = state.desk.list(&filter, &who.0).await?;
    let next = items.last().filter(|_| items.len() == limit as usize).map(|last| last.id.clone());
    Ok(Json(Listed { items, next }))
}

pub(super) async fn show(
    State(state): State<ApiState>,
    who: Who,
    Segment(id): Segment,
) -> Result<Json<Shown>, AdminError> {
    Ok(Json(state.desk.show(&id, &who.0).await?))
}

pub(super) async fn retry(
    State(state): State<ApiState>,
    who: Who,
    Segment(id): Segment,
) -> Result<Json<StoredOrder>, AdminError> {
    Ok(Json(state.desk.retry(&id, &who.0).await?))
}

pub(super) async fn cancel(
    State(state): State<ApiState>,
    who: Who,
    Segment(id): Segment,
) -> Result<Json<StoredOrder>, AdminError> {
    Ok(Json(state.desk.cancel(&id, &who.0).await?))
}

pub(super) async fn approve(
    State(state): State<ApiState>,
    who: Who,
    Segment(id): Segment,
) -> Result<Json<StoredOrder>, AdminError> {
    Ok(Json(state.desk.approve(&id, &who.0).await?))
}

pub(super) async fn resolve(
    State(state): State<ApiState>,
    who: Who,
    Segment(id): Segment,
    Body(resolution): Body<Resolution>,
) -> Result<Json<StoredOrder>, AdminError> {
    Ok(Json(state.desk.resolve(&id, &resolution.as_created, &who.0).await?))
}

const DEAD_PARAMETERS: &[Parameter] = &[
    Parameter { name: "connection", form: Form::Text, help: "Only for this connection." },
    Parameter { name: "reason", form: Form::Text, help: "Only those whose reason contains this text." },
    Parameter { name: "since", form: Form::Past, help: "Only those that are so since this instant or later." },
    Parameter { name: "until", form: Form::Past, help: "Only those that are so since before this instant." },
    Parameter { name: "all", form: Form::Flag, help: "Messages that were retried or dropped too." },
    Parameter { name: "limit", form: Form::Count { most: 1000, usual: 50 }, help: "At most so many of each kind." },
];

pub(super) async fn dead(State(state): State<ApiState>, uri: Uri) -> Result<Json<Listed<Dead>>, AdminError> {
    let mut given = Parameters::read(&uri, DEAD_PARAMETERS)?;
    let filter = DeadFilter {
        connection: given.text("connection"),
        reason: given.text("reason"),
        since: given.past("since"),
        until: given.past("until"),
        settled: given.flag("all"),
        limit: given.count("limit", DEAD_PARAMETERS),
    };
    given.finish()?;
    Ok(Json(Listed { items: state.desk.dead(&filter).await?, next: None }))
}

pub(super) async fn show_dead(State(state): State<ApiState>, Segment(id): Segment) -> Result<Json<Dead>, AdminError> {
    Ok(Json(state.desk.show_dead(&id).await?))
}

pub(super) async fn retry_dead(
    State(state): State<ApiState>,
    who: Who,
    Segment(id): Segment,
) -> Result<Json<Value>, AdminError> {
    state.desk.retry_dead(&id, &who.0).await?;
    Ok(Json(json!({ "id": id, "retried": true })))
}

pub(super) async fn drop_dead(
    State(state): State<ApiState>,
    who: Who,
    Segment(id): Segment,
    Body(why): Body<Why>,
) -> Result<Json<Value>, AdminError> {
    state.desk.drop_dead(&id, &why.reason, &who.0).await?;
    Ok(Json(json!({ "id": id, "dropped": true })))
}
