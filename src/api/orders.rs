//! Orders over HTTP: posting, following, calling off. Only the shop's own.

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::auth::Caller;
use super::body;
use super::problem::{self, Problem};
use super::query::{Form, Parameter, Parameters};
use super::respond;
use super::segment::Segment;
use super::state::ApiState;
use crate::model::{Entity, Invoice, Key, Order, OrderStatusLine, Shipment};
use crate::orders::{Accepted, Actor, Shown, TransitionView};
use crate::publish::{Record, Window};
use crate::store::{OrderFilter, OrderState, StoredOrder};

/// The header by which a shop marks a repeated request.
pub(super) const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Says that an order was there already.
pub(super) const REPEATED: &str = "idempotent-replayed";

/// The states of an order, as the parameter takes them.
pub(super) const STATES: &[&str] = &[
    "received",
    "held",
    "queued",
    "sending",
    "submitted",
    "unknown",
    "needs_review",
    "accepted",
    "rejected",
    "cancelled",
    "dead",
];

pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter { name: "reference", form: Form::Text, help: "The shop's own number for the order." },
    Parameter { name: "customer", form: Form::Text, help: "The number of the customer it is for." },
    Parameter { name: "state", form: Form::Choice(STATES), help: "Where it is." },
    Parameter { name: "limit", form: Form::Count { most: 1000, usual: 100 }, help: "At most so many." },
    Parameter { name: "cursor", form: Form::Text, help: "Where to go on: `next` of the page before." },
];

/// An order as its shop sees it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PlacedOrder")]
pub(super) struct OrderView {
    /// Its identifier here.
    pub id: String,
    /// The shop's own number for it.
    pub reference: String,
    /// The reference that the ERP knows it by until it has a number of its own.
    pub our_reference: String,
    /// The company that sells.
    pub company: String,
    /// The customer's number.
    pub customer: String,
    /// Where it is: `held` (a person has to let it through), `queued`, `sending`, `submitted` (handed over, not answered),
    /// `unknown`, `needs_review`, `dead` (being looked after), `accepted`, `rejected`, `cancelled`.
    pub state: String,
    /// The ERP's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub erp_number: Option<String>,
    /// Why it is where it is: the ERP's own words where it was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was taken in.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub accepted_at: Timestamp,
    /// When it came where it is.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub changed_at: Timestamp,
    /// The order as it was taken in, completed with line numbers and units.
    #[schemars(with = "Order")]
    pub order: Value,
}

/// An order with all that became of it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "FollowedOrder")]
pub(super) struct FollowedOrder {
    #[serde(flatten)]
    order: OrderView,
    /// How it got where it is, the oldest first.
    transitions: Vec<TransitionView>,
    /// What the ERP says about its lines: confirmed, shipped, invoiced and cancelled quantities.
    #[schemars(with = "Vec<OrderStatusLine>")]
    lines: Vec<Value>,
    /// Shipments with goods of it.
    #[schemars(with = "Vec<Shipment>")]
    shipments: Vec<Value>,
    /// Invoices for it.
    #[schemars(with = "Vec<Invoice>")]
    invoices: Vec<Value>,
}

/// A page of orders as it is written.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct OrderList {
    /// The orders, the newest first.
    pub items: Vec<OrderView>,
    /// Where the next page begins; null after the last.
    pub next: Option<String>,
}

impl From<StoredOrder> for OrderView {
    fn from(order: StoredOrder) -> Self {
        Self {
            id: order.id,
            reference: order.reference,
            our_reference: order.our_reference,
            company: order.company,
            customer: order.customer,
            state: order.state.name().to_owned(),
            erp_number: order.erp_number,
            reason: order.reason,
            accepted_at: order.accepted_at,
            changed_at: order.changed_at,
            order: order.content,
        }
    }
}

/// What a shop is answered whose order was taken in, whatever way it came.
pub(super) struct TakenIn {
    /// Where the order is followed.
    pub location: String,
    /// Whether it was there already.
    pub repeated: bool,
    /// The order, as JSON.
    pub body: String,
}

impl TakenIn {
    pub(super) fn of(accepted: Accepted) -> Result<Self, Problem> {
        let Accepted { order, repeated } = accepted;
        let location = format!("/v1/orders/{}", order.id);
        Ok(Self { location, repeated, body: respond::json(&OrderView::from(order))? })
    }
}

/// `POST /v1/orders`
pub(super) async fn post(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    Parameters::read(request.uri(), &[])?.finish()?;
    let key = match request.headers().get(IDEMPOTENCY_KEY) {
        None => None,
        Some(value) => Some(value.to_str().map(str::to_owned).map_err(|_| unreadable_key())?),
    };
    let posted = body::json(request, &state).await?;
    let accepted = state.intake.accept(caller.shop()?, posted, key.as_deref()).await?;
    tracing::info!(order_id = accepted.order.id, repeated = accepted.repeated, "order taken in over HTTP");
    let TakenIn { location, repeated, body } = TakenIn::of(accepted)?;
    let mut response = (StatusCode::ACCEPTED, [(header::CONTENT_TYPE, "application/json")], body).into_response();
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    if repeated {
        response.headers_mut().insert(HeaderName::from_static(REPEATED), HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// What is answered where the idempotency key is no text.
pub(super) fn unreadable_key() -> Problem {
    Problem::new(problem::INVALID_CONTENT, "the header `Idempotency-Key` must hold visible ASCII characters")
}

/// `GET /v1/orders`
pub(super) async fn list(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, Problem> {
    let mut given = Parameters::read(&uri, PARAMETERS)?;
    let reference = given.text("reference");
    let customer = given.text("customer");
    let wanted = given.choice("state", STATES).as_deref().and_then(OrderState::from_name);
    let limit = given.count("limit", PARAMETERS);
    let cursor = given.text("cursor");
    given.finish()?;
    let shop = &caller.shop()?.name;
    let mut next = None;
    let mut orders: Vec<StoredOrder> = if let Some(reference) = reference {
        state.store.order_by_reference(shop, &reference).await?.into_iter().collect()
    } else {
        let filter = OrderFilter {
            customer: customer.clone(),
            states: wanted.into_iter().collect(),
            before: cursor,
            limit: limit.saturating_add(1),
            ..OrderFilter::default()
        };
        state.desk.list(&filter, &Actor::Shop(shop.clone())).await?
    };
    orders.retain(|order| {
        customer.as_ref().is_none_or(|c| *c == order.customer) && wanted.is_none_or(|s| s == order.state)
    });
    if orders.len() > limit as usize {
        orders.truncate(limit as usize);
        next = orders.last().map(|order| order.id.clone());
    }
    answer(&OrderList { items: orders.into_iter().map(OrderView::from).collect(), next })
}

/// `GET /v1/orders/{id}`
pub(super) async fn show(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Segment(id): Segment,
    uri: Uri,
) -> Result<Response, Problem> {
    Parameters::read(&uri, &[])?.finish()?;
    let shop = caller.shop()?;
    let shown = state.desk.show(&id, &Actor::Shop(shop.name.clone())).await.map_err(|error| not_found(&id, error))?;
    let Shown { order, transitions, lines, documents, .. } = shown;
    let window = Window::open(state.store.clone(), shop).await?;
    let mut records = Vec::new();
    for entity in [Entity::Shipment, Entity::Invoice] {
        let keys: Vec<Key> = documents.iter().filter(|d| d.entity == entity).map(|d| d.key.clone()).collect();
        let found = window.records(entity, &keys).await?;
        records.push(found.iter().map(to_value).collect::<Result<Vec<_>, _>>()?);
    }
    let invoices = records.pop().unwrap_or_default();
    let shipments = records.pop().unwrap_or_default();
    answer(&FollowedOrder {
        order: order.into(),
        transitions: transitions.into_iter().map(TransitionView::from).collect(),
        lines: lines.into_iter().map(|line| line.content).collect(),
        shipments,
        invoices,
    })
}

fn to_value(record: &Record) -> Result<Value, Problem> {
    serde_json::to_value(record).map_err(|error| {
        tracing::error!(%error, "a record cannot be written as JSON");
        Problem::new(problem::INTERNAL, "the answer cannot be written")
    })
}

/// `POST /v1/orders/{id}/approve`
pub(super) async fn approve(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Segment(id): Segment,
) -> Result<Response, Problem> {
    let actor = Actor::Shop(caller.shop()?.name.clone());
    let order = state.desk.approve(&id, &actor).await.map_err(|error| not_found(&id, error))?;
    answer(&OrderView::from(order))
}

/// `POST /v1/orders/{id}/cancel`
pub(super) async fn cancel(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    Segment(id): Segment,
) -> Result<Response, Problem> {
    let actor = Actor::Shop(caller.shop()?.name.clone());
    let order = state.desk.cancel(&id, &actor).await.map_err(|error| not_found(&id, error))?;
    answer(&OrderView::from(order))
}

/// What a shop is told about an order that is not its own is what it is told about one that does not exist.
fn not_found(id: &str, error: crate::orders::DeskError) -> Problem {
    match error {
        crate::orders::DeskError::NoOrder(_) => Problem::not_found(format!("the shop has no order '{id}'")),
        other => other.into(),
    }
}

fn answer<T: Serialize>(value: &T) -> Result<Response, Problem> {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, respond::json(value)?).into_response())
}
