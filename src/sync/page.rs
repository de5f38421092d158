//! From a page of records to a page of differences: recognise, map, compare.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use roaring::RoaringTreemap;

use super::prices;
use super::run::SyncError;
use crate::config::values::Percent;
use crate::mapping::{Mapped, Mapping, Outcome, Setting};
use crate::model::{Key, PartKind};
use crate::record::{Place, Record, Value};
use crate::store::{Difference, Known, Operation, Page, Rejection, Run, Store};

/// A record with its key and digest, or the reason why it has none.
pub(super) enum Keyed {
    Record { key: String, digest: [u8; 16], record: Record },
    Rejected { place: Place, reason: String, record: Value },
}

/// What a run remembers between its pages.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Identifiers of stored parts that the source still has, or that are being deleted already.
    pub seen: RoaringTreemap,
    /// Digests of keys that are new in this run: stored parts are told apart by `seen`.
    pub new: HashSet<u64>,
    /// The position of the next difference.
    pub position: i64,
    /// Whether differences go straight to the parts.
    pub first_load: bool,
}

/// Keys the records of a page; runs without I/O.
pub(super) fn key(mapping: &Mapping, setting: &Setting, records: Vec<Result<Record, (Place, String)>>) -> Vec<Keyed> {
    let salt = salt(mapping, setting);
    records
        .into_iter()
        .map(|record| match record {
            Err((place, reason)) => Keyed::Rejected { place, reason, record: Value::Null },
            Ok(record) => match mapping.key(&record.fields, setting) {
                Ok(key) => Keyed::Record { key, digest: record.digest(&salt), record },
                Err(rejected) => Keyed::Rejected {
                    place: record.place,
                    reason: rejected.to_string(),
                    record: Value::Map(record.fields),
                },
            },
        })
        .collect()
}

/// Whatever decides the outcome beside the record: with another mapping, company, zone or setting nothing is
/// recognised, and every record is mapped again.
fn salt(mapping: &Mapping, setting: &Setting) -> Vec<u8> {
    let zone = setting.zone.iana_name().unwrap_or_default();
    [&*mapping.digest, &*setting.company, zone, &*setting.settings.to_json().to_string()].join("\0").into_bytes()
}

/// A record that the store does not recognise, with what is stored under its key.
struct Candidate {
    key: String,
    digest: [u8; 16],
    record: Record,
    known: Option<Known>,
}

/// Compares a page with the store. The run's counts and the progress move on with it.
pub(super) async fn compare(
    store: &Arc<dyn Store>,
    mapping: &Arc<Mapping>,
    setting: &Setting,
    price_change: Percent,
    run: &mut Run,
    progress: &mut Progress,
    records: Vec<Keyed>,
) -> Result<Page, SyncError> {
    let mut page = Page { number: run.pages, ..Page::default() };
    let mut seen = RoaringTreemap::new();
    run.counts.read += records.len() as u64;

    let keys: Vec<String> = records
        .iter()
        .filter_map(|r| if let Keyed::Record { key, .. } = r { Some(key.clone()) } else { None })
        .collect();
    let mut known = store.known(run.source, &keys).await?.into_iter();
    let mut candidates = Vec::new();
    for keyed in records {
        let (key, digest, record) = match keyed {
            Keyed::Rejected { place, reason, record } => {
                run.counts.unkeyed += 1;
                reject(run, &mut page, place.to_string(), &place, reason, &record);
                continue;
            }
            Keyed::Record { key, digest, record } => (key, digest, record),
        };
        let known = known.next().flatten();
        let twice = match &known {
            // In a first load whatever is stored already came from this very run.
            Some(known) => (run.complete && progress.seen.contains(id(known))) || progress.first_load,
            None => !progress.new.insert(short_digest(&key)),
        };
        if twice && run.complete {
            let reason = format!("the key '{key}' is there twice; the first record is taken");
            reject(run, &mut page, record.place.to_string(), &record.place, reason, &Value::Map(record.fields));
            continue;
        }
        if let Some(known) = &known {
            seen.insert(id(known));
            progress.seen.insert(id(known));
            if known.source_hash == digest {
                run.counts.unchanged += 1;
                page.taken.push(key);
                continue;
            }
        }
        candidates.push(Candidate { key, digest, record, known });
    }

    let mapped = map(mapping, setting, candidates).await?;
    let owners = owners(store, run.kind, &mapped).await?;
    let prices = stored_prices(store, run.kind, &mapped).await?;
    for (candidate, outcome) in mapped {
        match outcome {
            Err(reason) => {
                let Candidate { key, record, .. } = candidate;
                reject(run, &mut page, key, &record.place, reason, &Value::Map(record.fields));
            }
            Ok(Outcome::Skipped | Outcome::Deleted) => {
                if let Some(known) = candidate.known {
                    run.counts.deleted += 1;
                    page.differences.push(deletion(progress, candidate.key, candidate.digest, &known));
                }
            }
            Ok(Outcome::Part(part)) => {
                let place = (Key::new(part.company.clone(), part.identity.number.clone()), part.identity.part.clone());
                let own = candidate.known.as_ref().is_some_and(|k| k.key == place.0 && k.part == place.1);
                if !own && let Some(owner) = owners.get(&place) {
                    let reason = format!(
                        "{} {} belongs to the record '{}' of connection '{}' already",
                        run.kind, place.0, owner.1, owner.0
                    );
                    reject(
                        run,
                        &mut page,
                        candidate.key,
                        &candidate.record.place,
                        reason,
                        &Value::Map(candidate.record.fields),
                    );
                    continue;
                }
                if prices.get(&place.0).is_some_and(|before| prices::jumps(before, &part.content, price_change)) {
                    run.counts.price_jumps += 1;
                }
                page.taken.push(candidate.key.clone());
                differ(run, progress, &mut page, candidate, *part, own);
            }
        }
    }
    if store.rejections(Some(run.source), 1).await?.is_empty() {
        page.taken.clear();
    }
    if !progress.first_load && run.complete {
        page.seen = bytes(&seen)?;
    }
    run.pages += 1;
    Ok(page)
}

fn differ(run: &mut Run, progress: &mut Progress, page: &mut Page, candidate: Candidate, part: Mapped, own: bool) {
    let Candidate { key, digest, known, .. } = candidate;
    let unchanged = own && known.as_ref().is_some_and(|k| k.hash == part.hash);
    if let Some(known) = known.as_ref().filter(|_| !own) {
        // The record has another canonical key now: the old part goes, a new one comes.
        page.differences.push(deletion(progress, key.clone(), digest, known));
    }
    match (unchanged, known.is_some()) {
        (true, _) => run.counts.unchanged += 1,
        (false, true) => run.counts.updated += 1,
        (false, false) => run.counts.created += 1,
    }
    page.differences.push(Difference {
        position: next(progress),
        operation: if unchanged { Operation::Recognise } else { Operation::Upsert },
        source_key: key,
        key: Key::new(part.company, part.identity.number),
        part: part.identity.part,
        who: part.identity.who,
        what: part.identity.what,
        content: (!unchanged).then_some(part.content),
        before: known.filter(|_| own).map(|k| k.hash),
        after: Some(part.hash),
        source_hash: digest,
        shops: None,
    });
}

/// The difference that deletes a stored part.
pub(super) fn deletion(progress: &mut Progress, source_key: String, digest: [u8; 16], known: &Known) -> Difference {
    Difference {
        position: next(progress),
        operation: Operation::Delete,
        source_key,
        key: known.key.clone(),
        part: known.part.clone(),
        who: None,
        what: None,
        content: None,
        before: Some(known.hash),
        after: None,
        source_hash: digest,
        shops: None,
    }
}

fn next(progress: &mut Progress) -> i64 {
    progress.position += 1;
    progress.position
}

/// Maps the candidates on a thread of their own: mapping is computation.
async fn map(
    mapping: &Arc<Mapping>,
    setting: &Setting,
    candidates: Vec<Candidate>,
) -> Result<Vec<(Candidate, Result<Outcome, String>)>, SyncError> {
    if candidates.is_empty() {
        return Ok(Vec::new());
    }
    let (mapping, setting) = (Arc::clone(mapping), setting.clone());
    tokio::task::spawn_blocking(move || {
        candidates
            .into_iter()
            .map(|candidate| {
                let outcome =
                    mapping.apply(&candidate.record.fields, &setting).map_err(|rejected| rejected.to_string());
                (candidate, outcome)
            })
            .collect()
    })
    .await
    .map_err(|_| SyncError::Stopped("the mapping"))
}

type Place2 = (Key, String);

/// Connection and source key of whoever has the canonical keys that are new to their records.
async fn owners(
    store: &Arc<dyn Store>,
    kind: PartKind,
    mapped: &[(Candidate, Result<Outcome, String>)],
) -> Result<HashMap<Place2, (String, String)>, SyncError> {
    let wanted: Vec<Place2> = mapped
        .iter()
        .filter_map(|(candidate, outcome)| match outcome {
            Ok(Outcome::Part(part)) => {
                let key = Key::new(part.company.clone(), part.identity.number.clone());
                let own = candidate.known.as_ref().is_some_and(|k| k.key == key && k.part == part.identity.part);
                (!own).then(|| (key, part.identity.part.clone()))
            }
            _ => None,
        })
        .collect();
    if wanted.is_empty() {
        return Ok(HashMap::new());
    }
    let owners = store.owners(kind, &wanted).await?;
    let found = wanted.into_iter().zip(owners).filter_map(|(place, owner)| Some((place, owner?)));
    Ok(found.map(|(place, owner)| (place, (owner.connection, owner.source_key))).collect())
}

/// The stored contents of the price agreements that are about to change.
async fn stored_prices(
    store: &Arc<dyn Store>,
    kind: PartKind,
    mapped: &[(Candidate, Result<Outcome, String>)],
) -> Result<HashMap<Key, serde_json::Value>, SyncError> {
    if kind != PartKind::PriceAgreement {
        return Ok(HashMap::new());
    }
    let keys: Vec<Key> = mapped
        .iter()
        .filter(|(_, outcome)| matches!(outcome, Ok(Outcome::Part(_))))
        .filter_map(|(candidate, _)| candidate.known.as_ref().map(|k| k.key.clone()))
        .collect();
    let parts = store.parts(kind.entity(), &keys).await?;
    Ok(parts.into_iter().map(|part| (part.key, part.content)).collect())
}

fn reject(run: &mut Run, page: &mut Page, source_key: String, place: &Place, reason: String, record: &Value) {
    run.counts.rejected += 1;
    page.rejections.push(Rejection {
        source: run.source,
        run: run.id.clone(),
        source_key,
        place: place.to_string(),
        reason,
        record: record.to_json(),
        at: Timestamp::now(),
    });
}

fn id(known: &Known) -> u64 {
    known.id.unsigned_abs()
}

fn short_digest(key: &str) -> u64 {
    let hash = blake3::hash(key.as_bytes());
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_le_bytes(bytes)
}

fn bytes(seen: &RoaringTreemap) -> Result<Vec<u8>, SyncError> {
    if seen.is_empty() {
        return Ok(Vec::new());
    }
    let mut bytes = Vec::with_capacity(seen.serialized_size());
    seen.serialize_into(&mut bytes).map_err(|_| SyncError::Stopped("the list of seen parts"))?;
    Ok(bytes)
}
