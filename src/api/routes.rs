//! The one table of routes: the router is built from it, and so is the published document.

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};
use axum::routing::{MethodRouter, get, post};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::auth::Caller;
use super::changes::{self, ChangeList};
use super::problem::{self, Kind};
use super::query::Parameter;
use super::reads::{self, List};
use super::segment::Segment;
use super::state::ApiState;
use super::{document, health, orders};
use crate::config::Scope;
use crate::model::{
    Credit, Customer, DeliveryTerm, Entity, Invoice, Order, OrderStatus, PriceAgreement, Product, Shipment, Stock,
};
use crate::publish::{Agreement, Changed};

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Whoever reaches it.
    Open,
    /// Keys with this scope.
    Key(Scope),
}

/// What a route answers with.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status where all is well.
    pub status: u16,
    /// What comes back.
    pub help: &'static str,
    /// The media types with their schemas; a schema of none for what is no JSON.
    pub contents: Vec<(&'static str, Option<SchemaOf>)>,
}

/// Makes a type's schema.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// A route.
#[derive(Debug, Clone)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path; `{key}` and `{id}` are parameters.
    pub path: String,
    /// Who may use it.
    pub access: Access,
    /// What it belongs to in the document.
    pub tag: &'static str,
    /// What it does, in a few words.
    pub summary: String,
    /// What else there is to know.
    pub help: &'static str,
    /// The parameters of its query.
    pub parameters: &'static [Parameter],
    /// Headers that it reads, with what they mean.
    pub headers: &'static [(&'static str, &'static str)],
    /// The schema of its body.
    pub body: Option<SchemaOf>,
    /// What comes back where all is well.
    pub answer: Answer,
    /// The problems it can come to, beside those of every route.
    pub problems: &'static [Kind],
    pub(super) handler: MethodRouter<ApiState>,
}

const JSON: &str = "application/json";

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

fn answers<T: JsonSchema>(status: u16, help: &'static str) -> Answer {
    Answer { status, help, contents: vec![(JSON, Some(schema::<T>))] }
}

/// Every route but those for operators.
pub fn routes() -> Vec<Route> {
    let mut routes = reads();
    routes.push(Route {
        parameters: changes::PARAMETERS,
        help: "The feed carries state: each record appears once, at its newest change. What the shop saw and does not \
               see any more comes as `deleted`. Read a snapshot, then go on from its `changes_cursor`. A cursor is void \
               (410) after a restore of the store and after a change of what the shop may see: take a snapshot again.",
        problems: &[problem::INVALID_PARAMETER, problem::INVALID_CURSOR, problem::CURSOR_GONE],
        ..route(
            Method::GET,
            "/v1/changes",
            Access::Key(Scope::Read),
            "changes",
            "Follow what changes",
            answers::<ChangeList<Changed>>(200, "Changes after a cursor."),
            get(changes::changes),
        )
    });
    routes.extend(order_routes());
    routes.extend(open_routes());
    routes
}

fn route(
    method: Method,
    path: impl Into<String>,
    access: Access,
    tag: &'static str,
    summary: impl Into<String>,
    answer: Answer,
    handler: MethodRouter<ApiState>,
) -> Route {
    Route {
        method,
        path: path.into(),
        access,
        tag,
        summary: summary.into(),
        help: "",
        parameters: &[],
        headers: &[],
        body: None,
        answer,
        problems: &[],
        handler,
    }
}

/// An entity's schemas: one, a list, and for price agreements the list with tiers gathered.
fn schemas(entity: Entity) -> (SchemaOf, SchemaOf) {
    fn pair<T: JsonSchema>() -> (SchemaOf, SchemaOf) {
        (schema::<T>, schema::<List<T>>)
    }
    match entity {
        Entity::Customer => pair::<Customer>(),
        Entity::Product => pair::<Product>(),
        Entity::PriceAgreement => (schema::<PriceAgreement>, |generator| {
            let lists = [schema::<List<PriceAgreement>>(generator), schema::<List<Agreement>>(generator)];
            schemars::json_schema!({ "anyOf": lists })
        }),
        Entity::Stock => pair::<Stock>(),
        Entity::Credit => pair::<Credit>(),
        Entity::DeliveryTerm => pair::<DeliveryTerm>(),
        Entity::OrderStatus => pair::<OrderStatus>(),
        Entity::Shipment => pair::<Shipment>(),
        Entity::Invoice => pair::<Invoice>(),
    }
}

const CONDITIONAL: &[(&str, &str)] =
    &[("If-None-Match", "The `ETag` of an earlier answer; 304 comes back where it still stands.")];

fn reads() -> Vec<Route> {
    let mut routes = Vec::new();
    for entity in Entity::ALL {
        let (one, list) = schemas(entity);
        let name = reads::list_name(entity);
        let words = name.replace('-', " ");
        routes.push(Route {
            parameters: reads::list_parameters(entity),
            headers: CONDITIONAL,
            help: "Pages are in the order of keys. With `Accept: application/x-ndjson` everything comes as a stream, one \
                   record a line; a stream that breaks ends with a line `{\"error\": …}`.",
            problems: &[
                problem::INVALID_PARAMETER,
                problem::INVALID_CURSOR,
                problem::CURSOR_GONE,
                problem::HISTORY_GONE,
                problem::NOT_FOUND,
            ],
            ..route(
                Method::GET,
                format!("/v1/{name}"),
                Access::Key(Scope::Read),
                name,
                format!("List {words}"),
                Answer {
                    status: 200,
                    help: "A page, or with `application/x-ndjson` a line a record.",
                    contents: vec![(JSON, Some(list)), ("application/x-ndjson", Some(one))],
                },
                get(
                    move |State(state): State<ApiState>,
                          Extension(caller): Extension<Caller>,
                          headers: HeaderMap,
                          uri: Uri| async move {
                        reads::list(entity, state, &caller, &headers, &uri).await
                    },
                ),
            )
        });
        routes.push(Route {
            parameters: reads::ITEM_PARAMETERS,
            headers: CONDITIONAL,
            problems: &[problem::INVALID_PARAMETER, problem::AMBIGUOUS_KEY, problem::HISTORY_GONE, problem::NOT_FOUND],
            ..route(
                Method::GET,
                format!("/v1/{name}/{{key}}"),
                Access::Key(Scope::Read),
                name,
                format!("Read one of the {words}"),
                Answer { status: 200, help: "The record.", contents: vec![(JSON, Some(one))] },
                get(
                    move |State(state): State<ApiState>,
                          Extension(caller): Extension<Caller>,
                          Segment(key): Segment,
                          headers: HeaderMap,
                          uri: Uri| async move {
                        reads::item(entity, &key, state, &caller, &headers, &uri).await
                    },
                ),
            )
        });
    }
    routes
}

fn order_routes() -> Vec<Route> {
    const TAG: &str = "orders";
    const ACCESS: Access = Access::Key(Scope::Orders);
    vec![
        Route {
            headers: &[(
                "Idempotency-Key",
                "Marks a repeated request, beside the order's reference, which always does.",
            )],
            body: Some(schema::<Order>),
            help: "The answer comes once the order is stored durably. The same order again is the same order and gives the \
                   same answer, with the header `Idempotent-Replayed`; its reference or key with another content is 422.",
            problems: &[
                problem::MALFORMED_BODY,
                problem::BODY_TIMEOUT,
                problem::BODY_TOO_LARGE,
                problem::UNSUPPORTED_MEDIA_TYPE,
                problem::INVALID_CONTENT,
                problem::REFERENCE_USED,
            ],
            ..route(
                Method::POST,
                "/v1/orders",
                ACCESS,
                TAG,
                "Post an order",
                answers::<orders::OrderView>(202, "The order is stored; `Location` says where it is followed."),
                post(orders::post),
            )
        },
        Route {
            parameters: orders::PARAMETERS,
            problems: &[problem::INVALID_PARAMETER],
            ..route(
                Method::GET,
                "/v1/orders",
                ACCESS,
                TAG,
                "List the shop's orders",
                answers::<orders::OrderList>(200, "A page of the shop's orders, the newest first."),
                get(orders::list),
            )
        },
        Route {
            problems: &[problem::NOT_FOUND],
            ..route(
                Method::GET,
                "/v1/orders/{id}",
                ACCESS,
                TAG,
                "Follow an order",
                answers::<orders::FollowedOrder>(
                    200,
                    "The order with its transitions, confirmed lines, shipments and invoices.",
                ),
                get(orders::show),
            )
        },
        Route {
            problems: &[problem::NOT_FOUND, problem::CONFLICT],
            help: "Orders are held by the supplier's rules; what the shop itself may not let through is 403.",
            ..route(
                Method::POST,
                "/v1/orders/{id}/approve",
                ACCESS,
                TAG,
                "Let a held order through",
                answers::<orders::OrderView>(200, "The order as it is now."),
                post(orders::approve),
            )
        },
        Route {
            problems: &[problem::NOT_FOUND, problem::CONFLICT],
            help: "An order that may have reached the ERP cannot be called off here.",
            ..route(
                Method::POST,
                "/v1/orders/{id}/cancel",
                ACCESS,
                TAG,
                "Call an order off",
                answers::<orders::OrderView>(200, "The order as it is now."),
                post(orders::cancel),
            )
        },
    ]
}

fn open_routes() -> Vec<Route> {
    let plain = |media_type, help| Answer { status: 200, help, contents: vec![(media_type, None)] };
    let open = |path: &str, summary: &str, answer, handler| {
        route(Method::GET, path, Access::Open, "service", summary, answer, handler)
    };
    vec![
        open("/livez", "Whether the daemon lives", plain(JSON, "It does."), get(health::live)),
        open(
            "/readyz",
            "Whether requests can be answered",
            answers::<health::Readiness>(200, "They can; otherwise the status is 503."),
            get(health::ready),
        ),
        open(
            "/metrics",
            "Metrics for Prometheus",
            plain("application/openmetrics-text", "The metrics."),
            get(health::metrics),
        ),
        open("/openapi.json", "This document", plain(JSON, "An OpenAPI 3.1 document."), get(document::openapi)),
        open("/docs", "This document for people", plain("text/html", "A page."), get(document::docs)),
    ]
}
