//! Where records came from: every version of one, or what was known about a customer and a product, with the runs and
//! the source rows behind it.

use std::collections::{BTreeMap, HashMap, HashSet};

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::error::AdminError;
use super::traced::{AsOf, Knowledge, Trace, TracedVersion};
use crate::api::problem::{self, Problem};
use crate::api::query::{Form, Parameter, Parameters};
use crate::api::segment::Segment;
use crate::api::state::ApiState;
use crate::config::suggest::{nearest, one_of};
use crate::config::{Config, Retention};
use crate::model::{Entity, Key};
use crate::publish::{PublishError, Question, ended, reach};
use crate::store::{Deletion, RawBatch, Store, Version};
use crate::sync::raw::{self, RawError};

/// Versions that are looked through for how others ended.
const LOOKED_THROUGH: u32 = 2000;

const PARAMETERS: &[Parameter] = &[
    Parameter { name: "key", form: Form::Text, help: "One record, by its number or COMPANY~NUMBER." },
    Parameter {
        name: "customer",
        form: Form::Text,
        help: "What is about this customer; of price agreements and delivery terms also what is about his groups and \
               everyone.",
    },
    Parameter {
        name: "product",
        form: Form::Text,
        help: "What is about this product; of price agreements and delivery terms also what is about its groups and \
               everything.",
    },
    Parameter {
        name: "date",
        form: Form::Date,
        help: "A day: what is known now about it, and what was known as it began and as it ended.",
    },
    Parameter { name: "known_at", form: Form::Past, help: "What was known at this instant, and nothing else." },
    Parameter { name: "company", form: Form::Text, help: "The company, where the number could be of several." },
    Parameter { name: "limit", form: Form::Count { most: 1000, usual: 100 }, help: "At most so many." },
];

/// `GET /admin/v1/trace/{entity}`
pub(super) async fn trace(
    State(state): State<ApiState>,
    Segment(name): Segment,
    uri: Uri,
) -> Result<Json<Trace>, AdminError> {
    let entity = entity(&name)?;
    let mut given = Parameters::read(&uri, PARAMETERS)?;
    let (key, customer, product) = (given.text("key"), given.text("customer"), given.text("product"));
    let (date, known_at, company) = (given.date("date"), given.past("known_at"), given.text("company"));
    let limit = given.count("limit", PARAMETERS);
    check(&mut given, entity);
    given.finish()?;

    let config = state.config.borrow().clone();
    let store = state.store.as_ref();
    let named = [(Entity::Customer, customer), (Entity::Product, product), (entity, key)];
    let (company, [customer, product, number]) = keys(store, &config, company, named).await?;
    let question = Question { entity, company, number, customer, product, date, limit };
    if let Some(number) = &question.customer {
        let key = Key::new(&question.company, number);
        if !exists(store, Entity::Customer, &key).await? {
            return Err(AdminError::not_found(format!("no customer {key} was ever known")));
        }
    }
    let history_since = reach(store, entity, &config.retention).await?;
    let mut trace = Trace {
        entity,
        company: question.company.clone(),
        number: question.number.clone(),
        customer: question.customer.clone(),
        product: question.product.clone(),
        date,
        history_since,
        known: Vec::new(),
        versions: Vec::new(),
        more: false,
    };
    if let (Some(number), None, None) = (&question.number, date, known_at) {
        let key = Key::new(&question.company, number);
        let mut versions = store.versions(entity, std::slice::from_ref(&key), limit.saturating_add(1)).await?;
        if versions.is_empty() {
            let name = entity.name().replace('_', " ");
            return Err(AdminError::not_found(format!("no {name} {key} was ever known")));
        }
        let all = versions.clone();
        trace.more = versions.len() > limit as usize;
        versions.truncate(limit as usize);
        let deletions = store.deletions(entity, &[key]).await?;
        trace.versions = described(store, versions, &all, &deletions).await?;
    } else {
        let instants = instants(store, &config, entity, date, known_at).await?;
        trace.known = known(store, &question, &config.retention, instants, known_at.is_some()).await?;
    }
    Ok(Json(trace))
}

fn entity(name: &str) -> Result<Entity, AdminError> {
    let names = Entity::ALL.map(Entity::name);
    Entity::from_name(name).ok_or_else(|| {
        let hint = nearest(name, names).map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
        AdminError::not_found(format!("there is no entity `{name}`, but {}{hint}", one_of(names)))
    })
}

/// Notes parameters that do not go together, or not with the entity.
fn check(given: &mut Parameters, entity: Entity) {
    use Entity::{Credit, Customer, DeliveryTerm, Invoice, OrderStatus, PriceAgreement, Product, Shipment, Stock};
    if !["key", "customer", "product"].iter().any(|name| given.has(name)) {
        given.fault("key", "give a `key`, or what it is about: `customer`, `product` or both".to_owned());
    }
    let takes = |name: &str| match entity {
        PriceAgreement | DeliveryTerm => true,
        Credit | OrderStatus | Shipment | Invoice => name == "customer",
        Stock => name == "product",
        Customer | Product => false,
    };
    for name in ["customer", "product"] {
        if given.has(name) && given.has("key") {
            given.fault(name, format!("a `key` names one record; leave out `{name}` or `key`"));
        } else if given.has(name) && !takes(name) {
            given.fault(name, format!("{entity} is not found by `{name}`; give a `key`"));
        }
    }
}

/// The company that is meant, and the numbers of what is named in it: `COMPANY~NUMBER`, or the number where only one
/// company can be meant.
async fn keys<const N: usize>(
    store: &dyn Store,
    config: &Config,
    company: Option<String>,
    named: [(Entity, Option<String>); N],
) -> Result<(String, [Option<String>; N]), AdminError> {
    let given = company.is_some();
    let mut companies: Vec<String> = if let Some(company) = company {
        vec![company]
    } else {
        let of_connections = config.connections.iter().filter_map(|connection| connection.company.clone());
        of_connections.chain(config.shops.iter().flat_map(|shop| shop.companies.clone())).collect()
    };
    companies.sort_unstable();
    companies.dedup();
    let number = |company: &str, text: &str| {
        let stripped = text.strip_prefix(company).and_then(|rest| rest.strip_prefix('~'));
        stripped.map_or_else(|| (text.to_owned(), false), |number| (number.to_owned(), true))
    };
    let texts = || named.iter().filter_map(|(entity, text)| Some((*entity, text.as_ref()?)));
    // A company that is written out decides; otherwise the one that knows what is named.
    let written: Vec<String> =
        companies.iter().filter(|company| texts().any(|(_, text)| number(company, text).1)).cloned().collect();
    let mut meant = if written.is_empty() { companies } else { written };
    if meant.len() > 1 && !given {
        let mut knowing = Vec::new();
        for company in &meant {
            for (entity, text) in texts() {
                if exists(store, entity, &Key::new(company, number(company, text).0)).await? {
                    knowing.push(company.clone());
                    break;
                }
            }
        }
        if !knowing.is_empty() {
            meant = knowing;
        }
    }
    match meant.as_slice() {
        [company] => {
            let numbers = named.map(|(_, text)| text.map(|text| number(company, &text).0));
            Ok((company.clone(), numbers))
        }
        several => {
            let detail = match several {
                [] => "no company is configured; say which one is meant with `company`".to_owned(),
                _ => format!("it could be of several companies, {}; say which with `company`", several.join(", ")),
            };
            Err(Problem::new(problem::AMBIGUOUS_KEY, detail).into())
        }
    }
}

/// Whether an entity was ever known.
async fn exists(store: &dyn Store, entity: Entity, key: &Key) -> Result<bool, AdminError> {
    Ok(!store.versions(entity, std::slice::from_ref(key), 1).await?.is_empty())
}

/// An instant that is asked about, and for what came over which connections.
struct Instant {
    as_of: AsOf,
    /// None: now.
    at: Option<Timestamp>,
    time_zone: Option<String>,
    connections: Vec<String>,
}

/// The instants that a question is about, the newest first: of a day those that are past, in the zone of each
/// connection.
async fn instants(
    store: &dyn Store,
    config: &Config,
    entity: Entity,
    date: Option<Date>,
    known_at: Option<Timestamp>,
) -> Result<Vec<Instant>, AdminError> {
    let sources = store.sources().await?;
    let mut connections: Vec<String> =
        sources.into_iter().filter(|source| source.kind.entity() == entity).map(|source| source.connection).collect();
    connections.sort_unstable();
    connections.dedup();
    let mut zones: BTreeMap<String, (TimeZone, Vec<String>)> = BTreeMap::new();
    for name in &connections {
        // One that is not configured any more has no zone of its own.
        let zone = config.connections.iter().find(|connection| connection.name == *name);
        let (zone, rules) = zone.map_or_else(
            || ("UTC".to_owned(), TimeZone::UTC),
            |connection| (connection.time_zone.name().to_owned(), connection.time_zone.time_zone().clone()),
        );
        zones.entry(zone).or_insert_with(|| (rules, Vec::new())).1.push(name.clone());
    }
    if let Some(at) = known_at {
        return Ok(vec![Instant { as_of: AsOf::KnownAt, at: Some(at), time_zone: None, connections }]);
    }
    let mut instants = vec![Instant { as_of: AsOf::Now, at: None, time_zone: None, connections }];
    let Some(date) = date else { return Ok(instants) };
    for (name, (zone, connections)) in zones {
        let (Ok(start), Ok(next)) = (
            date.to_zoned(zone.clone()).map(|start| start.timestamp()),
            date.tomorrow().and_then(|next| next.to_zoned(zone)).map(|next| next.timestamp()),
        ) else {
            continue;
        };
        // The last instant of the day that a store can tell apart from the next day's first.
        let end = Timestamp::from_microsecond(next.as_microsecond() - 1).unwrap_or(next);
        for (as_of, at) in [(AsOf::EndOfDay, end), (AsOf::StartOfDay, start)] {
            if at < Timestamp::now() {
                let (time_zone, connections) = (Some(name.clone()), connections.clone());
                instants.push(Instant { as_of, at: Some(at), time_zone, connections });
            }
        }
    }
    Ok(instants)
}

/// What was known at instants. What was known as a day began is told where it differs from what was known as it ended.
async fn known(
    store: &dyn Store,
    question: &Question,
    retention: &Retention,
    instants: Vec<Instant>,
    must: bool,
) -> Result<Vec<Knowledge>, AdminError> {
    let mut entities = vec![question.entity];
    entities.extend(question.customer.as_ref().map(|_| Entity::Customer));
    entities.extend(question.product.as_ref().map(|_| Entity::Product));
    let (mut since, mut shortest) = (Timestamp::MIN, question.entity);
    for entity in entities {
        let reach = reach(store, entity, retention).await?;
        if reach > since {
            (since, shortest) = (reach, entity);
        }
    }
    let mut found: Vec<(Instant, Option<PublishError>, Vec<Version>, bool)> = Vec::new();
    for instant in instants {
        match instant.at {
            Some(at) if at < since => {
                let gone = PublishError::HistoryGone { at, entity: shortest, since };
                if must {
                    return Err(Problem::from(gone).into());
                }
                found.push((instant, Some(gone), Vec::new(), false));
            }
            at => {
                let (versions, more) =
                    question.answer(store, &instant.connections, at.unwrap_or(Timestamp::MAX)).await?;
                let repeats = instant.as_of == AsOf::StartOfDay
                    && found.last().is_some_and(|(_, gone, known, _)| gone.is_none() && *known == versions);
                if !repeats {
                    found.push((instant, None, versions, more));
                }
            }
        }
    }
    let mut keys: Vec<Key> = found
        .iter()
        .flat_map(|(_, _, versions, _)| versions)
        .filter(|version| version.until.is_some())
        .map(|version| version.part.key.clone())
        .collect();
    keys.sort_unstable();
    keys.dedup();
    let (mut all, mut deletions) = (Vec::new(), Vec::new());
    if !keys.is_empty() {
        all = store.versions(question.entity, &keys, LOOKED_THROUGH).await?;
        deletions = store.deletions(question.entity, &keys).await?;
    }
    let mut known = Vec::with_capacity(found.len());
    for (instant, gone, versions, more) in found {
        known.push(Knowledge {
            as_of: instant.as_of,
            known_at: instant.at,
            time_zone: instant.time_zone,
            connections: instant.connections,
            gone: gone.map(|gone| gone.to_string()),
            versions: described(store, versions, &all, &deletions).await?,
            more,
        });
    }
    Ok(known)
}

/// Versions with their runs, their source rows and how they ended.
async fn described(
    store: &dyn Store,
    versions: Vec<Version>,
    all: &[Version],
    deletions: &[Deletion],
) -> Result<Vec<TracedVersion>, AdminError> {
    let mut ids: Vec<String> = all.iter().chain(&versions).map(|version| version.part.run.clone()).collect();
    ids.sort_unstable();
    ids.dedup();
    let runs = if ids.is_empty() { Vec::new() } else { store.runs_of(&ids).await? };
    let rows = source_rows(store, &versions).await?;
    Ok(versions
        .into_iter()
        .map(|version| {
            let ended = ended(&version, all, deletions, &runs);
            let Version { part, until, raw } = version;
            let row = raw.and_then(|raw| rows.get(&(raw, part.source_key.clone())).cloned());
            let (source_place, source_row) = row.unzip();
            TracedVersion {
                key: part.key.to_string(),
                part: part.kind,
                id: Some(part.part).filter(|id| !id.is_empty()),
                since: part.changed_at,
                until,
                ended,
                content: part.content,
                source_place,
                source_row,
                connection: part.connection,
                stream: part.stream,
                source_key: part.source_key,
                run: runs.iter().find(|run| run.id == part.run).cloned(),
                run_id: part.run,
            }
        })
        .collect())
}

/// A source row: where it stood, and its fields.
type SourceRow = (String, Value);

/// The source rows of versions as they were read, by batch and source key, of the batches that are kept. Each batch is
/// read once.
async fn source_rows(store: &dyn Store, versions: &[Version]) -> Result<HashMap<(i64, String), SourceRow>, AdminError> {
    let mut wanted: BTreeMap<i64, HashSet<String>> = BTreeMap::new();
    for version in versions {
        if let Some(raw) = version.raw {
            wanted.entry(raw).or_default().insert(version.part.source_key.clone());
        }
    }
    let mut rows = HashMap::new();
    for (raw, keys) in wanted {
        let Some(batch) = store.raw_batch(raw).await? else { continue };
        match tokio::task::spawn_blocking(move || pick(&batch, &keys)).await {
            Ok(Ok(found)) => rows.extend(found.into_iter().map(|(key, row)| ((raw, key), row))),
            // The rest of the answer does not rest on it.
            Ok(Err(error)) => tracing::warn!(raw, %error, "a batch of source rows cannot be read"),
            Err(error) => tracing::error!(raw, %error, "a batch of source rows was not read to its end"),
        }
    }
    Ok(rows)
}

fn pick(batch: &RawBatch, keys: &HashSet<String>) -> Result<Vec<(String, SourceRow)>, RawError> {
    let mut found = Vec::with_capacity(keys.len());
    for row in raw::rows(batch)? {
        let row = row?;
        if keys.contains(&row.source_key) {
            let fields = row.value()?;
            found.push((row.source_key, (row.place.to_string(), fields)));
            if found.len() == keys.len() {
                break;
            }
        }
    }
    Ok(found)
}
