//! What another mapping would change, found out from the source rows that are kept: counts by field and some examples.
//! Nothing is written.
//!
//! What does not live here: which rows these are (`from_raw`), and applying the mapping to them for good (`run`).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::differences::{FieldDifference, differences};
use super::error::SyncError;
use super::from_raw::{LOOKUP, Portion, portions, rejected_record};
use super::raw;
use crate::mapping::{Mapped, Mapping, Outcome, Rejected, Setting};
use crate::model::Key;
use crate::record::Record;
use crate::store::{Recognised, Source, Store, Stored};

/// Examples in the answer.
const EXAMPLES: usize = 10;

/// Fields, and reasons, that are told apart; what is beyond is counted together.
const MOST: usize = 200;

/// What is beyond [`MOST`] is counted under this name.
const OTHERS: &str = "(others)";

/// The field of a record's own number, of its company and of its part.
const KEY: &str = "(key)";

/// What a mapping would change.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MapDiff {
    /// The mapping file.
    pub mapping: String,
    /// The stream.
    pub stream: String,
    /// Kept rows of living records that were looked at.
    pub looked_at: u64,
    /// Of these: what stays as it is.
    pub unchanged: u64,
    /// Of these: what gets other content.
    pub changed: u64,
    /// Of these: what would not be taken any more; it stays as it is.
    pub rejected: u64,
    /// Of these: what the mapping's `where` would leave out, and so delete.
    pub skipped: u64,
    /// Of these: what would be deleted, since the row says so.
    pub deleted: u64,
    /// Of these: rows that would have another key in the source; these need `sync --full`.
    pub rekeyed: u64,
    /// Records that are rejected now and would be taken.
    pub taken: u64,
    /// Living records of which no row is kept any more.
    pub without_row: u64,
    /// By field: in how many records it differs.
    pub fields: BTreeMap<String, u64>,
    /// What records would be rejected for, by the field and the line of the mapping.
    pub reasons: BTreeMap<String, Refusal>,
    /// Some of the differences, of as many fields as there are.
    pub examples: Vec<FieldChange>,
}

/// For what records would be rejected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refusal {
    /// How many.
    pub records: u64,
    /// What the first of them is told.
    pub message: String,
}

/// A field that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FieldChange {
    /// The record's company and number, and which part of it.
    pub key: String,
    /// The field, as a dotted path; a list is one field.
    pub field: String,
    /// Its stored value; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Json>,
    /// Its value after; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Json>,
}

/// A row as the mapping takes it.
struct Tried {
    source_key: String,
    rekeyed: bool,
    outcome: Result<Outcome, Rejected>,
}

/// Says what a mapping would change in what a source has brought.
///
/// # Errors
/// The store's, and [`SyncError::Raw`] where kept rows are damaged.
pub async fn map_diff(
    store: &Arc<dyn Store>,
    source: &Source,
    mapping: &Arc<Mapping>,
    setting: &Setting,
) -> Result<MapDiff, SyncError> {
    let living = store.count(source.id).await?;
    let mut comparison = Comparison {
        store,
        source,
        diff: MapDiff { mapping: mapping.file.clone(), stream: mapping.stream.clone(), ..MapDiff::default() },
        examples: BTreeMap::new(),
    };
    let mut portions = portions(store, source);
    loop {
        let (mapping, setting) = (Arc::clone(mapping), setting.clone());
        let (tried, current) = match portions.recv().await.ok_or(LOOKUP)?? {
            Portion::End => break,
            Portion::Batch { batch, current, .. } => {
                let attempt = move || -> Result<_, SyncError> {
                    let mut tried = Vec::new();
                    for row in raw::into_rows(batch)? {
                        let row = row?;
                        if current.contains_key(&row.source_key) {
                            let record = Record { fields: row.fields()?, place: row.place };
                            tried.push(attempt(row.source_key, &record, &mapping, &setting));
                        }
                    }
                    Ok((tried, Some(current)))
                };
                tokio::task::spawn_blocking(attempt).await.map_err(|_| SyncError::Stopped("the mapping"))??
            }
            Portion::Rejected(rejected) => {
                let attempt = move || {
                    let tried = rejected.into_iter().filter_map(|rejection| {
                        let record = rejected_record(&rejection)?;
                        Some(attempt(rejection.source_key, &record, &mapping, &setting))
                    });
                    tried.collect()
                };
                let tried = tokio::task::spawn_blocking(attempt).await;
                (tried.map_err(|_| SyncError::Stopped("the mapping"))?, None)
            }
        };
        match current {
            Some(current) => comparison.compare(tried, &current).await?,
            None => comparison.welcome(tried).await?,
        }
    }
    let mut diff = comparison.diff;
    diff.without_row = living.saturating_sub(diff.looked_at);
    diff.examples = chosen(comparison.examples);
    Ok(diff)
}

fn attempt(source_key: String, record: &Record, mapping: &Mapping, setting: &Setting) -> Tried {
    let key = mapping.key(&record.fields, setting);
    let rekeyed = key.as_ref().is_ok_and(|key| *key != source_key);
    let outcome = key.and_then(|_| mapping.apply(&record.fields, setting));
    Tried { source_key, rekeyed, outcome }
}

struct Comparison<'a> {
    store: &'a Arc<dyn Store>,
    source: &'a Source,
    diff: MapDiff,
    /// By field.
    examples: BTreeMap<String, Vec<FieldChange>>,
}

impl Comparison<'_> {
    /// Compares rows with the parts that came of them.
    async fn compare(&mut self, tried: Vec<Tried>, current: &HashMap<String, Stored>) -> Result<(), SyncError> {
        let mut changed: Vec<(&Stored, Box<Mapped>)> = Vec::new();
        for Tried { source_key, rekeyed, outcome } in tried {
            let Some(stored) = current.get(&source_key) else { continue };
            self.diff.looked_at += 1;
            match outcome {
                _ if rekeyed => self.diff.rekeyed += 1,
                Err(rejected) => self.reject(&rejected),
                Ok(Outcome::Skipped) => self.diff.skipped += 1,
                Ok(Outcome::Deleted) => self.diff.deleted += 1,
                Ok(Outcome::Part(part)) if part.content.hash() == stored.hash && is_at(&part, stored) => {
                    self.diff.unchanged += 1;
                }
                Ok(Outcome::Part(part)) => changed.push((stored, part)),
            }
        }
        let elsewhere = changed.iter().filter(|(stored, part)| !is_at(part, stored)).map(|(_, part)| place(part));
        let owned = self.owned(elsewhere.collect()).await?;
        let keys: Vec<String> = changed.iter().map(|(stored, _)| stored.source_key.clone()).collect();
        let contents = self.store.raw_contents(self.source.id, &keys).await?;
        for ((stored, part), content) in changed.into_iter().zip(contents) {
            if !is_at(&part, stored) && owned.contains(&place(&part)) {
                let message = format!("another record is {} already", place(&part).0);
                self.refuse("the number of another record".to_owned(), message);
                continue;
            }
            self.diff.changed += 1;
            let key = name(&stored.key, &stored.part);
            if !is_at(&part, stored) {
                let (new, number) = place(&part);
                let (before, after) = (Some(Json::from(key.clone())), Some(Json::from(name(&new, &number))));
                self.note(FieldChange { key: key.clone(), field: KEY.to_owned(), before, after });
            }
            for FieldDifference { field, before, after } in differences(content.as_ref(), Some(&part.content.value())) {
                self.note(FieldChange { key: key.clone(), field, before, after });
            }
        }
        Ok(())
    }

    /// Counts rejected records that would be taken.
    async fn welcome(&mut self, tried: Vec<Tried>) -> Result<(), SyncError> {
        let part = |one: Tried| match one.outcome {
            Ok(Outcome::Part(part)) if !one.rekeyed => Some((one.source_key, part)),
            _ => None,
        };
        let parts: Vec<(String, Box<Mapped>)> = tried.into_iter().filter_map(part).collect();
        // No row has this digest, so whatever is stored is told in full.
        let asked: Vec<(&str, [u8; 16])> = parts.iter().map(|(key, _)| (key.as_str(), [0; 16])).collect();
        let known = self.store.recognise(self.source.id, &asked).await?;
        let owned = self.owned(parts.iter().map(|(_, part)| place(part)).collect()).await?;
        let free = |((_, part), known): &((String, Box<Mapped>), Recognised)| {
            let place = place(part);
            let own = matches!(known, Recognised::Other(known) if (&known.key, &known.part) == (&place.0, &place.1));
            own || !owned.contains(&place)
        };
        self.diff.taken += parts.into_iter().zip(known).filter(free).count() as u64;
        Ok(())
    }

    /// Which of these canonical keys a living part has.
    async fn owned(&self, places: Vec<(Key, String)>) -> Result<HashSet<(Key, String)>, SyncError> {
        if places.is_empty() {
            return Ok(HashSet::new());
        }
        let owners = self.store.owners(self.source.kind, &places).await?;
        Ok(places.into_iter().zip(owners).filter_map(|(place, owner)| owner.map(|_| place)).collect())
    }

    /// Counts by field and line: messages name the values of a record.
    fn reject(&mut self, rejected: &Rejected) {
        let Rejected { field, message, file, line } = rejected;
        self.refuse(format!("{field} ({file}:{line})"), message.clone());
    }

    fn refuse(&mut self, reason: String, message: String) {
        self.diff.rejected += 1;
        let reasons = &mut self.diff.reasons;
        let reason = if reasons.len() < MOST || reasons.contains_key(&reason) { reason } else { OTHERS.to_owned() };
        reasons.entry(reason).or_insert(Refusal { records: 0, message }).records += 1;
    }

    fn note(&mut self, change: FieldChange) {
        let field = count(&mut self.diff.fields, change.field.clone());
        let examples = self.examples.entry(field).or_default();
        if examples.len() < EXAMPLES {
            examples.push(change);
        }
    }
}

/// Counts one of a name, or of all that are beyond what is told apart; says which.
fn count(counts: &mut BTreeMap<String, u64>, name: String) -> String {
    let name = if counts.len() < MOST || counts.contains_key(&name) { name } else { OTHERS.to_owned() };
    *counts.entry(name.clone()).or_default() += 1;
    name
}

fn place(part: &Mapped) -> (Key, String) {
    (Key::new(part.company.clone(), part.identity.number.clone()), part.identity.part.clone())
}

fn is_at(part: &Mapped, stored: &Stored) -> bool {
    part.company == stored.key.company && part.identity.number == stored.key.number && part.identity.part == stored.part
}

fn name(key: &Key, part: &str) -> String {
    if part.is_empty() { key.to_string() } else { format!("{key} {part}") }
}

/// Examples of all fields by turns.
fn chosen(examples: BTreeMap<String, Vec<FieldChange>>) -> Vec<FieldChange> {
    let mut turns: Vec<_> = examples.into_values().map(Vec::into_iter).collect();
    let mut chosen = Vec::new();
    while chosen.len() < EXAMPLES {
        let turn: Vec<FieldChange> = turns.iter_mut().filter_map(Iterator::next).collect();
        if turn.is_empty() {
            break;
        }
        chosen.extend(turn);
    }
    chosen.truncate(EXAMPLES);
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_of_every_field_before_there_are_more_of_one() {
        let change = |field: &str, at: usize| FieldChange {
            key: format!("NL01~{at}"),
            field: field.to_owned(),
            before: None,
            after: None,
        };
        let examples = BTreeMap::from([
            ("a".to_owned(), (0..10).map(|at| change("a", at)).collect()),
            ("b".to_owned(), vec![change("b", 0)]),
        ]);
        let chosen = chosen(examples);
        assert_eq!((chosen.len(), chosen.iter().filter(|c| c.field == "b").count()), (10, 1));
    }

    #[test]
    fn names_beyond_the_most_are_counted_together() {
        let mut counts = BTreeMap::new();
        for at in 0..MOST + 5 {
            count(&mut counts, at.to_string());
        }
        assert_eq!((counts.len(), counts[OTHERS]), (MOST + 1, 5));
    }
}
