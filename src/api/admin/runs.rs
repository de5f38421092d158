//! Runs: listing and showing them, deciding about a held one, and what is rejected now.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;

use super::body::Body;
use super::error::AdminError;
use super::views::{Because, Listed, RejectedRecord, RunDetail, StagedDifference};
use crate::api::query::{Form, Parameter, Parameters};
use crate::api::segment::Segment;
use crate::api::state::ApiState;
use crate::model::{Content, Key, PartKind};
use crate::store::{Difference, Operation, Part, Rejection, Run, RunFilter, RunState, Source, SourceId, Store};

/// Staged differences that are looked through for examples.
const LOOKED_THROUGH: u32 = 1000;

/// Examples of each operation.
const EXAMPLES: usize = 3;

/// Rejected records that a run is shown with.
const REJECTIONS: u32 = 100;

/// The names of the kinds of parts, as the parameter takes them.
const KINDS: &[&str] = &[
    "customer",
    "address",
    "contact",
    "product",
    "customer_article",
    "price_agreement",
    "stock",
    "credit",
    "delivery_term",
    "order_status",
    "order_status_line",
    "shipment",
    "invoice",
];

/// The states of a run.
const STATES: [RunState; 7] = [
    RunState::Running,
    RunState::Applying,
    RunState::Held,
    RunState::Done,
    RunState::Failed,
    RunState::Refused,
    RunState::Superseded,
];

const RUN_PARAMETERS: &[Parameter] = &[
    Parameter { name: "connection", form: Form::Text, help: "Only of this connection." },
    Parameter { name: "entity", form: Form::Choice(KINDS), help: "Only of this kind of record." },
    Parameter {
        name: "state",
        form: Form::Choice(&["running", "applying", "held", "done", "failed", "refused", "superseded"]),
        help: "Only in this state.",
    },
    Parameter { name: "limit", form: Form::Count { most: 1000, usual: 20 }, help: "At most so many." },
];

pub(super) async fn list(State(state): State<ApiState>, uri: Uri) -> Result<Json<Listed<Run>>, AdminError> {
    let mut given = Parameters::read(&uri, RUN_PARAMETERS)?;
    let filter = RunFilter {
        connection: given.text("connection"),
        kind: given.choice("entity", KINDS).as_deref().and_then(PartKind::from_name),
        state: given
            .choice("state", &STATES.map(RunState::name))
            .and_then(|name| STATES.into_iter().find(|state| state.name() == name)),
        limit: given.count("limit", RUN_PARAMETERS),
    };
    given.finish()?;
    Ok(Json(Listed { items: state.store.runs(&filter).await?, next: None }))
}

pub(super) async fn show(State(state): State<ApiState>, Segment(id): Segment) -> Result<Json<RunDetail>, AdminError> {
    let store = &state.store;
    let run = store.run(&id).await?.ok_or_else(|| {
        AdminError::not_found(format!("there is no run {id}; `tradebridge runs list` shows the newest"))
    })?;
    let differences = if run.state == RunState::Held { examples(store.as_ref(), &run).await? } else { Vec::new() };
    let rejections = store.rejections(Some(run.source), 0, REJECTIONS).await?;
    let source = Source {
        id: run.source,
        connection: run.connection.clone(),
        stream: run.stream.clone(),
        kind: run.kind,
        verified_at: None,
        place: None,
        watermark: None,
    };
    let rejections = rejections.into_iter().map(|rejection| rejected(rejection, &source)).collect();
    Ok(Json(RunDetail { run, differences, rejections }))
}

/// The first differences of each sort, with what is stored now: deletes, changes, new ones.
async fn examples(store: &dyn Store, run: &Run) -> Result<Vec<StagedDifference>, AdminError> {
    let staged = store.staged(&run.id, -1, LOOKED_THROUGH).await?;
    let sorts: [fn(&Difference) -> bool; 3] = [
        |difference| difference.operation == Operation::Delete,
        |difference| difference.operation == Operation::Upsert && difference.before.is_some(),
        |difference| difference.operation == Operation::Upsert && difference.before.is_none(),
    ];
    let chosen: Vec<&Difference> =
        sorts.into_iter().flat_map(|sort| staged.iter().filter(move |d| sort(d)).take(EXAMPLES)).collect();
    let keys: Vec<Key> = chosen.iter().map(|difference| difference.key.clone()).collect();
    let parts = store.parts(run.kind.entity(), &keys).await?;
    let stored: HashMap<(&Key, &str), &Part> =
        parts.iter().filter(|part| part.kind == run.kind).map(|part| ((&part.key, part.part.as_str()), part)).collect();
    Ok(chosen
        .into_iter()
        .map(|difference| {
            let now = stored.get(&(&difference.key, difference.part.as_str()));
            StagedDifference {
                operation: difference.operation,
                company: difference.key.company.clone(),
                number: difference.key.number.clone(),
                part: difference.part.clone(),
                source_key: difference.source_key.clone(),
                before: now.map(|part| part.content.clone()),
                after: difference.content.as_ref().map(Content::value),
                superseded: now.map(|part| part.hash) != difference.before,
            }
        })
        .collect())
}

fn rejected(rejection: Rejection, source: &Source) -> RejectedRecord {
    RejectedRecord {
        connection: source.connection.clone(),
        stream: source.stream.clone(),
        kind: source.kind.name().to_owned(),
        run: rejection.run,
        source_key: rejection.source_key,
        place: rejection.place,
        reason: rejection.reason,
        record: rejection.record,
        at: rejection.at,
    }
}

pub(super) async fn approve(State(state): State<ApiState>, Segment(id): Segment) -> Result<Json<Run>, AdminError> {
    Ok(Json(state.control.approve(&id).await?))
}

pub(super) async fn reject(
    State(state): State<ApiState>,
    Segment(id): Segment,
    Body(because): Body<Because>,
) -> Result<Json<Run>, AdminError> {
    let reason = because.reason.unwrap_or_else(|| "an operator refused it".to_owned());
    Ok(Json(state.control.refuse(&id, &reason).await?))
}

const REJECTION_PARAMETERS: &[Parameter] = &[
    Parameter { name: "connection", form: Form::Text, help: "Only of this connection." },
    Parameter { name: "entity", form: Form::Choice(KINDS), help: "Only of this kind of record." },
    Parameter { name: "after", form: Form::Text, help: "Where to go on: `next` of the page before." },
    Parameter { name: "limit", form: Form::Count { most: 1000, usual: 100 }, help: "At most so many." },
];

pub(super) async fn rejections(
    State(state): State<ApiState>,
    uri: Uri,
) -> Result<Json<Listed<RejectedRecord>>, AdminError> {
    let mut given = Parameters::read(&uri, REJECTION_PARAMETERS)?;
    let (connection, kind) = (given.text("connection"), given.choice("entity", KINDS));
    let after = given.text("after");
    let mut after = match after.as_deref().map(str::parse::<i64>) {
        None => 0,
        Some(Ok(after)) => after,
        Some(Err(_)) => {
            given.fault("after", "`after` is the `next` of the page before".to_owned());
            0
        }
    };
    let limit = given.count("limit", REJECTION_PARAMETERS);
    given.finish()?;
    let sources: HashMap<SourceId, Source> = state
        .store
        .sources()
        .await?
        .into_iter()
        .filter(|source| connection.as_ref().is_none_or(|name| *name == source.connection))
        .filter(|source| kind.as_ref().is_none_or(|kind| kind == source.kind.name()))
        .map(|source| (source.id, source))
        .collect();
    // One source is asked for by itself; several are picked from all.
    let only = match sources.keys().collect::<Vec<_>>().as_slice() {
        [] => return Ok(Json(Listed { items: Vec::new(), next: None })),
        [one] => Some(**one),
        _ => None,
    };
    let mut items = Vec::new();
    loop {
        let page = state.store.rejections(only, after, limit).await?;
        let Some(last) = page.last() else { return Ok(Json(Listed { items, next: None })) };
        let end = last.id;
        for rejection in page {
            if items.len() == limit as usize {
                return Ok(Json(Listed { items, next: Some(after.to_string()) }));
            }
            after = rejection.id;
            if let Some(source) = sources.get(&rejection.source) {
                items.push(rejected(rejection, source));
            }
        }
        after = end;
    }
}
