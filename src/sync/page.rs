//! From a page of records to a page of differences: recognise, map, compare.
//!
//! What does not live here: what a run remembers between its pages (`progress`), and the order of pages (`flow`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::draft::{Candidate, Compared, Draft, Fresh, Reason};
use super::erased::Erased;
use super::error::SyncError;
use super::keyed::{Chunk, Keyed, first};
use super::prices;
use super::progress::Progress;
use super::scope::Scopes;
use crate::config::values::Percent;
use crate::mapping::{Mapped, Mapping, Outcome, Setting};
use crate::model::{Key, PartKind};
use crate::store::{Recognised, Run, Store};

/// Candidates with what their mapping made of them.
type MappedPage = Vec<(Candidate, Result<Outcome, String>)>;

/// Compares pages of one run with the store.
#[derive(Clone, Copy)]
pub(super) struct Comparer<'a> {
    pub store: &'a Arc<dyn Store>,
    pub mapping: &'a Arc<Mapping>,
    pub setting: &'a Setting,
    pub scopes: &'a Scopes,
    pub price_change: Percent,
    /// Persons who are left out.
    pub erased: &'a Erased,
    /// The day of the run in the zone of its connection.
    pub today: i32,
    /// Whether the source rows of what differs are kept.
    pub keep_raw: bool,
    /// The complete passes that wait while a run over changes reads what is newer.
    pub overtakes: &'a [String],
}

impl Comparer<'_> {
    /// Begins a page.
    pub(super) fn begin(&self, run: &Run) -> Draft {
        Draft::begin(run, self.today, self.keep_raw, self.overtakes)
    }

    /// Finds out which records are not what the store has. The run's counts and the progress move on with them.
    pub(super) async fn compare(
        &self,
        run: &mut Run,
        progress: &mut Progress,
        draft: &mut Draft,
        chunk: Chunk,
    ) -> Result<(), SyncError> {
        let records = draft.read(run, chunk);
        progress.forget_committed();
        self.recognise(run, progress, draft, records).await
    }

    /// Ends a page: maps what was not recognised, and finds out what it differs in.
    pub(super) async fn end(
        &self,
        run: &mut Run,
        progress: &mut Progress,
        mut draft: Draft,
    ) -> Result<Compared, SyncError> {
        let candidates = std::mem::take(&mut draft.candidates);
        let mapped = self.map(run, candidates).await?;
        let mut taken = self.owners(run, &mapped).await?;
        taken.extend(self.staged_claims(run, &mapped).await?);
        let prices = self.stored_prices(run.kind, &mapped).await?;
        for (candidate, outcome) in mapped {
            if let Some(reason) = self.settle(run, progress, &mut draft, &candidate, outcome, &taken, &prices)? {
                draft.reject(run, &candidate.keyed, reason);
            }
        }
        draft.end(run)
    }

    /// What a page of a first load comes to if nothing of it is stored: the store is not asked, and says when it stores
    /// the page. Only what the page has twice is found here.
    pub(super) async fn take_as_new(
        &self,
        run: &mut Run,
        progress: &mut Progress,
        chunk: Chunk,
    ) -> Result<Compared, SyncError> {
        let before = run.counts;
        let mut draft = self.begin(run);
        let stand = chunk.stand.clone();
        let records = draft.read(run, chunk);
        let mut keys = HashSet::with_capacity(records.len());
        let (mut candidates, mut aside) = (Vec::with_capacity(records.len()), Vec::new());
        for keyed in records {
            if keyed.unreadable.is_some() {
                run.counts.unkeyed += 1;
                draft.reject(run, &keyed, Reason::row(String::new()));
                aside.push(keyed);
            } else if keys.insert(short_digest(&[&keyed.key])) {
                candidates.push(Candidate { keyed, known: None, rejected: None, personal: false });
            } else {
                draft.reject_twice(run, &keyed);
                aside.push(keyed);
            }
        }
        let mapped = self.map(run, candidates).await?;
        let mut claims: HashSet<u64> = HashSet::with_capacity(mapped.len());
        let mut all = Vec::with_capacity(mapped.len() + aside.len());
        for (candidate, outcome) in mapped {
            let refused = match outcome {
                Ok(Outcome::Part(part)) => {
                    let place = place(&part);
                    if claims.insert(short_digest(&[&place.0.to_string(), &place.1])) {
                        let shops = self.shops(run, &part);
                        draft.differ(run, progress, &candidate, *part, shops, false)?;
                        None
                    } else {
                        Some(Reason::claimed(run, &place.0))
                    }
                }
                Ok(Outcome::Skipped | Outcome::Deleted) => None,
                Err(reason) => Some(Reason::row(reason)),
            };
            if let Some(reason) = refused {
                draft.reject(run, &candidate.keyed, reason);
            }
            all.push(candidate.keyed);
        }
        all.append(&mut aside);
        let mut compared = draft.end(run)?;
        compared.fresh = Some(Fresh { before, chunk: Chunk { records: all, stand } });
        Ok(compared)
    }

    /// Settles what becomes of a mapped record; the reason where it is not taken.
    #[allow(clippy::too_many_arguments)]
    fn settle(
        &self,
        run: &mut Run,
        progress: &mut Progress,
        draft: &mut Draft,
        candidate: &Candidate,
        outcome: Result<Outcome, String>,
        taken: &HashMap<(Key, String), Claim>,
        prices: &HashMap<Key, serde_json::Value>,
    ) -> Result<Option<Reason>, SyncError> {
        let part = match outcome {
            Err(reason) => return Ok(Some(Reason::row(reason))),
            Ok(Outcome::Skipped | Outcome::Deleted) => {
                draft.mended(candidate.rejected);
                if let Some(known) = &candidate.known {
                    run.counts.deleted += 1;
                    let Keyed { key, digest, .. } = &candidate.keyed;
                    draft.page.differences.push(progress.deletion(key.clone(), *digest, known));
                }
                return Ok(None);
            }
            Ok(Outcome::Part(part)) => part,
        };
        let place = place(&part);
        let own = candidate.owns(&place);
        if !own {
            let canonical = short_digest(&[&place.0.to_string(), &place.1]);
            let free = progress.claim(canonical, short_digest(&[&candidate.keyed.key]));
            match taken.get(&place) {
                Some(Claim::Stored { connection, source_key }) => {
                    run.counts.conflicts += 1;
                    return Ok(Some(Reason::owned(run, &place.0, connection, source_key)));
                }
                Some(Claim::Staged { source_key }) if *source_key != candidate.keyed.key => {
                    return Ok(Some(Reason::claimed(run, &place.0)));
                }
                _ if !free => return Ok(Some(Reason::claimed(run, &place.0))),
                _ => {}
            }
        }
        if prices.get(&place.0).is_some_and(|before| prices::jumps(before, &part.content.value(), self.price_change)) {
            run.counts.price_jumps += 1;
        }
        draft.mended(candidate.rejected);
        let shops = self.shops(run, &part);
        draft.differ(run, progress, candidate, *part, shops, own)?;
        Ok(None)
    }

    /// Takes out what is known as it is, taken or rejected; what is left are the page's candidates.
    async fn recognise(
        &self,
        run: &mut Run,
        progress: &mut Progress,
        draft: &mut Draft,
        records: Vec<Keyed>,
    ) -> Result<(), SyncError> {
        let rows: Vec<(&str, [u8; 16])> = records.iter().map(|r| (r.key.as_str(), r.digest)).collect();
        let known = self.store.recognise(run.source, &rows).await?;
        let rejections = if progress.rejections {
            let keys: Vec<String> = records.iter().map(|r| r.key.clone()).collect();
            self.store.known_rejections(run.source, &keys).await?
        } else {
            vec![None; records.len()]
        };
        let staged = self.staged_keys(run, &records, &known).await?;
        let before = draft.candidates.len();
        let newest = if run.complete { HashMap::new() } else { newest(&records) };
        for (at, ((keyed, known), rejected)) in records.into_iter().zip(known).zip(rejections).enumerate() {
            if let Some(rejected) = rejected {
                progress.see_rejection(rejected.id, &mut draft.seen);
            }
            let same_rejection = rejected.is_some_and(|r| r.digest == keyed.digest);
            if keyed.unreadable.is_some() {
                run.counts.unkeyed += 1;
                if same_rejection {
                    run.counts.rejected += 1;
                } else {
                    draft.reject(run, &keyed, Reason::row(String::new()));
                }
                continue;
            }
            if newest.get(&keyed.key).is_some_and(|newest| *newest != at) {
                // Of changes the newest counts.
                continue;
            }
            if let Some(overtaken) = &mut draft.page.overtaken {
                overtaken.keys.push(keyed.key.clone());
            }
            if !run.complete && progress.staged {
                draft.page.replaced.push(keyed.key.clone());
            }
            let twice = run.complete
                && match &known {
                    // In a first load whatever is stored came from this very run.
                    Recognised::Same(id) => run.loading || progress.has_part(*id),
                    Recognised::Other(known) => run.loading || progress.has_part(known.id),
                    Recognised::New => staged.contains(&keyed.key) || !progress.is_new(short_digest(&[&keyed.key])),
                };
            if twice {
                draft.reject_twice(run, &keyed);
                continue;
            }
            let known = match known {
                Recognised::New => None,
                Recognised::Same(id) => {
                    draft.see(progress, id);
                    run.counts.unchanged += 1;
                    draft.mended(rejected);
                    continue;
                }
                Recognised::Other(known) => {
                    draft.see(progress, known.id);
                    Some(known)
                }
            };
            if same_rejection {
                run.counts.rejected += 1;
                continue;
            }
            draft.candidates.push(Candidate { keyed, known, rejected, personal: false });
        }
        progress.staged |= draft.candidates.len() > before;
        Ok(())
    }

    /// Of the source keys that the store lacks: those that committed pages of the run have staged.
    async fn staged_keys(
        &self,
        run: &Run,
        records: &[Keyed],
        known: &[Recognised],
    ) -> Result<HashSet<String>, SyncError> {
        if !run.complete || run.loading || run.pages == 0 {
            return Ok(HashSet::new());
        }
        let new = records.iter().zip(known).filter(|(_, known)| matches!(known, Recognised::New));
        let new: Vec<&str> = new.map(|(keyed, _)| keyed.key.as_str()).collect();
        if new.is_empty() {
            return Ok(HashSet::new());
        }
        Ok(self.store.staged_keys(&run.id, &new).await?.into_iter().collect())
    }

    /// Of a customer: the shops that it belongs to.
    fn shops(&self, run: &Run, part: &Mapped) -> Option<Vec<String>> {
        (run.kind == PartKind::Customer).then(|| self.scopes.of(&run.connection, &part.company, &part.content.value()))
    }

    /// Maps the candidates on a thread of their own: mapping is computation.
    async fn map(&self, run: &mut Run, candidates: Vec<Candidate>) -> Result<MappedPage, SyncError> {
        if candidates.is_empty() {
            return Ok(Vec::new());
        }
        let (mapping, setting) = (Arc::clone(self.mapping), self.setting.clone());
        let mut mapped: MappedPage = tokio::task::spawn_blocking(move || {
            candidates
                .into_iter()
                .map(|candidate| {
                    let outcome = mapping.apply(&candidate.keyed.fields, &setting).map_err(|r| r.to_string());
                    (candidate, outcome)
                })
                .collect()
        })
        .await
        .map_err(|_| SyncError::Stopped("the mapping"))?;
        for (candidate, outcome) in &mut mapped {
            candidate.personal = outcome.as_mut().is_ok_and(|outcome| self.erased.leave_out(run.kind, outcome));
            run.counts.erased += u64::from(candidate.personal);
        }
        Ok(mapped)
    }

    /// Whoever has the canonical keys that are new to their records.
    async fn owners(&self, run: &Run, mapped: &MappedPage) -> Result<HashMap<(Key, String), Claim>, SyncError> {
        let wanted = claims(mapped);
        if wanted.is_empty() {
            return Ok(HashMap::new());
        }
        let owners = self.store.owners(run.kind, &wanted).await?;
        let found = wanted.into_iter().zip(owners).filter_map(|(place, owner)| Some((place, owner?)));
        Ok(found
            .map(|(place, owner)| (place, Claim::Stored { connection: owner.connection, source_key: owner.source_key }))
            .collect())
    }

    /// The records of committed pages of the run that claim canonical keys already.
    async fn staged_claims(&self, run: &Run, mapped: &MappedPage) -> Result<Vec<((Key, String), Claim)>, SyncError> {
        if run.loading || run.pages == 0 {
            return Ok(Vec::new());
        }
        let wanted = claims(mapped);
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let staged = self.store.staged_claims(&run.id, &wanted).await?;
        Ok(staged.into_iter().map(|(place, source_key)| (place, Claim::Staged { source_key })).collect())
    }

    /// The stored contents of the price agreements that are about to change.
    async fn stored_prices(
        &self,
        kind: PartKind,
        mapped: &MappedPage,
    ) -> Result<HashMap<Key, serde_json::Value>, SyncError> {
        if kind != PartKind::PriceAgreement {
            return Ok(HashMap::new());
        }
        let keys: Vec<Key> = mapped
            .iter()
            .filter(|(_, outcome)| matches!(outcome, Ok(Outcome::Part(_))))
            .filter_map(|(candidate, _)| candidate.known.as_ref().map(|k| k.key.clone()))
            .collect();
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        let parts = self.store.parts(kind.entity(), &keys).await?;
        Ok(parts.into_iter().map(|part| (part.key, part.content)).collect())
    }
}

/// Who has a canonical key.
enum Claim {
    /// A stored part.
    Stored { connection: String, source_key: String },
    /// A record of a page that is committed.
    Staged { source_key: String },
}

/// The places that mapped records take anew.
fn claims(mapped: &MappedPage) -> Vec<(Key, String)> {
    let part = |(candidate, outcome): &(Candidate, Result<Outcome, String>)| match outcome {
        Ok(Outcome::Part(part)) => Some(place(part)).filter(|place| !candidate.owns(place)),
        _ => None,
    };
    mapped.iter().filter_map(part).collect()
}

/// Where the newest record of each key stands.
fn newest(records: &[Keyed]) -> HashMap<String, usize> {
    records.iter().enumerate().map(|(at, keyed)| (keyed.key.clone(), at)).collect()
}

/// A part's canonical key and its identifier within the entity.
fn place(part: &Mapped) -> (Key, String) {
    (Key::new(part.company.clone(), part.identity.number.clone()), part.identity.part.clone())
}

fn short_digest(texts: &[&str]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for text in texts {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    u64::from_le_bytes(first(hasher.finalize().as_bytes()))
}
