//! Reading records: one, a page of a list, or a whole list as a stream of lines.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::auth::Caller;
use super::problem::{self, Problem};
use super::query::{Form, Parameter, Parameters};
use super::respond::{self, CHANGES_CURSOR, VERIFIED_AT};
use super::state::ApiState;
use crate::model::Entity;
use crate::publish::{Filter, Page, Record, Verified, Window};

/// Records of a page of a stream.
const STREAM_PAGE: u32 = 500;

/// The media type of a stream of lines.
const LINES: &str = "application/x-ndjson";

/// The name of an entity's list in paths.
pub(super) fn list_name(entity: Entity) -> &'static str {
    match entity {
        Entity::Customer => "customers",
        Entity::Product => "products",
        Entity::PriceAgreement => "price-agreements",
        Entity::Stock => "stock",
        Entity::Credit => "credit",
        Entity::DeliveryTerm => "delivery-terms",
        Entity::OrderStatus => "order-statuses",
        Entity::Shipment => "shipments",
        Entity::Invoice => "invoices",
    }
}

const fn text(name: &'static str, help: &'static str) -> Parameter {
    Parameter { name, form: Form::Text, help }
}

const LIMIT: Parameter =
    Parameter { name: "limit", form: Form::Count { most: 1000, usual: 100 }, help: "At most so many." };
const CURSOR: Parameter = text("cursor", "Where to go on: `next` of the page before.");
const KNOWN_AT: Parameter = Parameter {
    name: "known_at",
    form: Form::Past,
    help: "What was known at this instant of the past, in place of what is known now; within what the shop may see today.",
};
const COMPANY: Parameter = text("company", "One company.");
const NUMBER: Parameter = text("number", "One number.");
const GROUP: Parameter = text("group", "One of the groups, by its code.");
const STATUSES: &[&str] = &["active", "phase_out", "discontinued"];
const AGREEMENT_CUSTOMER: Parameter =
    text("customer", "A customer: what is about him, about one of his groups or price groups, and about everyone.");
const AGREEMENT_PRODUCT: Parameter =
    text("product", "A product: what is about it, about one of its groups, and about everything.");
const ABOUT_CUSTOMER: Parameter = text("customer", "The customer it is about.");

/// The parameters of an entity's list.
pub(super) fn list_parameters(entity: Entity) -> &'static [Parameter] {
    const CUSTOMERS: &[Parameter] = &[LIMIT, CURSOR, KNOWN_AT, COMPANY, NUMBER, GROUP];
    const PRODUCTS: &[Parameter] = &[
        LIMIT,
        CURSOR,
        KNOWN_AT,
        COMPANY,
        NUMBER,
        GROUP,
        text("gtin", "A GTIN: of the product or of one of its packagings."),
        Parameter { name: "status", form: Form::Choice(STATUSES), help: "Whether it can be sold." },
    ];
    const AGREEMENTS: &[Parameter] = &[
        LIMIT,
        CURSOR,
        KNOWN_AT,
        COMPANY,
        AGREEMENT_CUSTOMER,
        AGREEMENT_PRODUCT,
        Parameter { name: "date", form: Form::Date, help: "A day on which it applies." },
        Parameter {
            name: "tiers",
            form: Form::Flag,
            help: "Whether lines that differ in quantity and price alone come as one agreement with its tiers. Needs \
                   `product`, and everything comes at once.",
        },
    ];
    const STOCK: &[Parameter] =
        &[LIMIT, CURSOR, KNOWN_AT, COMPANY, text("product", "The product."), text("warehouse", "The warehouse.")];
    const TERMS: &[Parameter] = &[LIMIT, CURSOR, KNOWN_AT, COMPANY, AGREEMENT_CUSTOMER, AGREEMENT_PRODUCT];
    const ABOUT: &[Parameter] = &[LIMIT, CURSOR, KNOWN_AT, COMPANY, ABOUT_CUSTOMER];
    match entity {
        Entity::Customer => CUSTOMERS,
        Entity::Product => PRODUCTS,
        Entity::PriceAgreement => AGREEMENTS,
        Entity::Stock => STOCK,
        Entity::DeliveryTerm => TERMS,
        Entity::Credit | Entity::OrderStatus | Entity::Shipment | Entity::Invoice => ABOUT,
    }
}

/// The parameters of one record.
pub(super) const ITEM_PARAMETERS: &[Parameter] = &[KNOWN_AT];

/// A page of a list as it is written.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "{T}List")]
pub(super) struct List<T> {
    /// The records, by key.
    pub items: Vec<T>,
    /// Where the next page begins; null after the last.
    pub next: Option<String>,
    /// Where to follow the changes from, once the last page is read; null of what was known in the past, which nothing
    /// follows.
    pub changes_cursor: Option<String>,
    /// How old it may be; with `known_at`, how old it was then.
    pub verified_at: Verified,
    /// The instant whose knowledge this is; absent where it is what is known now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub known_at: Option<Timestamp>,
}

/// `GET /v1/{list}/{key}`
pub(super) async fn item(
    entity: Entity,
    key: &str,
    state: ApiState,
    caller: &Caller,
    headers: &HeaderMap,
    uri: &Uri,
) -> Result<Response, Problem> {
    let mut given = Parameters::read(uri, ITEM_PARAMETERS)?;
    let known_at = given.past("known_at");
    given.finish()?;
    let window = window(state, caller, known_at, &[entity]).await?;
    let Some((record, verified)) = window.item(entity, key).await? else {
        let name = entity.name().replace('_', " ");
        let then = known_at.map(|at| format!(" that was known at {at}")).unwrap_or_default();
        return Err(Problem::not_found(format!("the shop sees no {name} '{key}'{then}")));
    };
    let body = respond::json(&record)?;
    Ok(respond::known_at(respond::conditional(headers, &respond::strong_tag(&body), &verified, body), known_at))
}

/// The shop's window on what is known now, or on what was known of entities at an instant.
async fn window(
    state: ApiState,
    caller: &Caller,
    known_at: Option<Timestamp>,
    entities: &[Entity],
) -> Result<Window, Problem> {
    let retention = state.config.borrow().retention.clone();
    let window = Window::open(state.store, caller.shop()?).await?;
    Ok(match known_at {
        None => window,
        Some(at) => window.known_at(at, entities, &retention).await?,
    })
}

/// `GET /v1/{list}`
pub(super) async fn list(
    entity: Entity,
    state: ApiState,
    caller: &Caller,
    headers: &HeaderMap,
    uri: &Uri,
) -> Result<Response, Problem> {
    let declared = list_parameters(entity);
    let mut given = Parameters::read(uri, declared)?;
    let filter = Filter {
        company: given.text("company"),
        number: given.text("number"),
        group: given.text("group"),
        gtin: given.text("gtin"),
        status: given.choice("status", STATUSES),
        customer: given.text("customer"),
        product: given.text("product"),
        warehouse: given.text("warehouse"),
        date: given.date("date"),
    };
    let known_at = given.past("known_at");
    let limit = given.count("limit", declared);
    let cursor = given.text("cursor");
    let tiers = given.flag("tiers");
    let lines = accepts_lines(headers);
    if tiers && filter.product.is_none() {
        given.fault("tiers", "`tiers` needs a `product`".to_owned());
    }
    for name in ["limit", "cursor"] {
        if given.has(name) && (tiers || lines) {
            given.fault(name, format!("`{name}` is for pages; this comes as a whole"));
        }
    }
    given.finish()?;
    let shutdown = state.shutdown.clone();
    let window = window(state, caller, known_at, &filter.rests_on(entity)).await?;
    if tiers {
        let found = window.tiers(&filter).await?;
        let tag = respond::weak_tag(&[&respond::json(&found.items)?, &window.epoch()]);
        let list = List {
            items: found.items,
            next: None,
            changes_cursor: found.changes_cursor,
            verified_at: found.verified_at,
            known_at,
        };
        let answer = respond::conditional(headers, &tag, &list.verified_at, respond::json(&list)?);
        return Ok(respond::known_at(answer, known_at));
    }
    if lines {
        return Ok(respond::known_at(stream_lines(window, entity, filter, shutdown).await?, known_at));
    }
    let Page { items, next, changes_cursor, verified_at } =
        window.page(entity, &filter, cursor.as_deref(), limit).await?;
    let more = if next.is_some() { "more" } else { "" };
    let tag = respond::weak_tag(&[&respond::json(&items)?, more, &window.epoch()]);
    let list = List { items, next, changes_cursor, verified_at, known_at };
    let answer = respond::conditional(headers, &tag, &list.verified_at, respond::json(&list)?);
    Ok(respond::known_at(answer, known_at))
}

fn accepts_lines(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|range| {
        let media_type = range.split(';').next().unwrap_or_default();
        media_type.trim().eq_ignore_ascii_case(LINES)
    })
}

/// What is left of a stream.
struct Rest {
    window: Arc<Window>,
    entity: Entity,
    filter: Filter,
    /// The page to be sent now; none after the end.
    page: Option<Page>,
    shutdown: tokio::sync::watch::Receiver<bool>,
}

/// Streams a whole list, a record a line. A page is read when the one before has been taken, so the stream holds one
/// page at a time, and nothing of the store while it waits for the client.
async fn stream_lines(
    window: Window,
    entity: Entity,
    filter: Filter,
    shutdown: tokio::sync::watch::Receiver<bool>,
) -> Result<Response, Problem> {
    // What is wrong with the request is told before the stream begins.
    let first = window.page(entity, &filter, None, STREAM_PAGE).await?;
    let cursor = first.changes_cursor.as_deref().and_then(|cursor| HeaderValue::from_str(cursor).ok());
    let verified = respond::verified_at(&first.verified_at);
    let rest = Rest { window: Arc::new(window), entity, filter, page: Some(first), shutdown };
    let body = Body::from_stream(stream::unfold(rest, |mut rest| async move {
        let page = rest.page.take()?;
        let lines = match lines(&page.items) {
            Ok(lines) => lines,
            Err(problem) => return Some((Ok(last_line(problem)), rest)),
        };
        let Some(next) = page.next else { return Some((Ok(lines), rest)) };
        if *rest.shutdown.borrow() {
            let stopped = Problem::new(problem::UNAVAILABLE, "the daemon is stopping; read the list again");
            return Some((Ok(joined(&lines, &last_line(stopped))), rest));
        }
        match rest.window.page(rest.entity, &rest.filter, Some(&next), STREAM_PAGE).await {
            Ok(page) => {
                rest.page = Some(page);
                Some((Ok::<_, std::convert::Infallible>(lines), rest))
            }
            Err(error) => Some((Ok(joined(&lines, &last_line(error.into()))), rest)),
        }
    }));
    let mut response = ([(header::CONTENT_TYPE, LINES), (header::CACHE_CONTROL, "no-store")], body).into_response();
    response.headers_mut().insert(VERIFIED_AT, verified);
    if let Some(cursor) = cursor {
        response.headers_mut().insert(CHANGES_CURSOR, cursor);
    }
    Ok(response)
}

fn lines(records: &[Record]) -> Result<Bytes, Problem> {
    let mut text = String::new();
    for record in records {
        text.push_str(&respond::json(record)?);
        text.push('\n');
    }
    Ok(text.into())
}

/// The line that ends a stream which broke.
fn last_line(problem: Problem) -> Bytes {
    let mut text = serde_json::json!({ "error": problem.details() }).to_string();
    text.push('\n');
    text.into()
}

fn joined(lines: &Bytes, last: &Bytes) -> Bytes {
    [lines.as_ref(), last.as_ref()].concat().into()
}
