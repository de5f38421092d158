//! From a page of records to a page of differences: recognise, map, compare.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use roaring::RoaringTreemap;

use super::erased::Erased;
use super::error::SyncError;
use super::keyed::{Keyed, first};
use super::prices;
use super::raw;
use super::scope::Scopes;
use super::validity;
use crate::config::values::Percent;
use crate::mapping::{Mapped, Mapping, Outcome, Setting};
use crate::model::{Key, PartKind};
use crate::store::{Difference, Known, KnownRejection, Operation, Page, Rejection, Run, Store};

/// In the list of what was seen, rejections stand above this, parts below.
const REJECTIONS: u64 = 1 << 63;

/// Pages that cannot all be under way between comparing and the end of storing: far more than are ever ahead.
const UNDER_WAY: u32 = 16;

/// Digest of a rejection whose reason lies outside its row: it is tried again each time.
const AGAIN: [u8; 16] = [0; 16];

/// What a run remembers between its pages.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Stored parts that the source still has or that are being deleted already, and rejections found again.
    seen: RoaringTreemap,
    /// Digests of source keys that are new in this run: stored ones are told apart by `seen`.
    new: HashSet<u64>,
    /// Digests of canonical keys that records of this run claim anew, with the digests of those records' source keys.
    claimed: HashMap<u64, u64>,
    /// The same of the pages before.
    older_new: HashSet<u64>,
    older_claimed: HashMap<u64, u64>,
    /// Digests of source keys with staged differences, in a run over changes: there the newest record of a key counts.
    staged: HashSet<u64>,
    /// Whether earlier pages were compared by a process that broke off: what they staged is not known here.
    resumed: bool,
    /// The position of the newest difference.
    position: i64,
    /// Whether the source had rejections when the run began.
    rejections: bool,
}

impl Progress {
    /// At a run's beginning.
    pub(super) fn new(rejections: bool) -> Self {
        Self { rejections, ..Self::default() }
    }

    /// Goes on from what the pages committed so far have seen.
    pub(super) fn resumed(run: &Run, pages: &[Vec<u8>], rejections: bool) -> Result<Self, SyncError> {
        let mut seen = RoaringTreemap::new();
        for bytes in pages {
            seen |= RoaringTreemap::deserialize_from(&**bytes).map_err(|e| SyncError::unreadable(&e))?;
        }
        // Beyond every position that the run can have used: a record makes two differences at the most.
        let used = run.counts.read.saturating_add(run.counts.deleted).saturating_mul(2);
        Ok(Self { seen, position: i64::try_from(used).unwrap_or(i64::MAX / 2), resumed: true, ..Self::new(rejections) })
    }

    /// Whether the source still has a stored part.
    pub(super) fn has_part(&self, id: i64) -> bool {
        self.seen.contains(id.unsigned_abs())
    }

    /// Notes stored parts as seen; gives them in the form in which a page keeps them.
    pub(super) fn note_seen(&mut self, ids: &[i64]) -> Result<Vec<u8>, SyncError> {
        let noted: RoaringTreemap = ids.iter().map(|id| id.unsigned_abs()).collect();
        self.seen |= &noted;
        bytes(&noted)
    }

    /// Whether a rejection was found again.
    pub(super) fn has_rejection(&self, id: i64) -> bool {
        self.seen.contains(REJECTIONS | id.unsigned_abs())
    }

    /// In a first load the store itself knows the keys of committed pages: only those of pages under way are kept, so
    /// that memory does not grow with the source.
    fn forget_committed(&mut self, run: &Run) {
        if run.loading && run.pages.is_multiple_of(UNDER_WAY) {
            self.older_new = std::mem::take(&mut self.new);
            self.older_claimed = std::mem::take(&mut self.claimed);
        }
    }

    /// Whether a source key is new in this run; it is known from now on.
    fn is_new(&mut self, source_key: u64) -> bool {
        !self.older_new.contains(&source_key) && self.new.insert(source_key)
    }

    /// Whether a canonical key is free for a source key; it is claimed from now on.
    fn claim(&mut self, canonical: u64, source_key: u64) -> bool {
        match self.older_claimed.get(&canonical) {
            Some(owner) => *owner == source_key,
            None => *self.claimed.entry(canonical).or_insert(source_key) == source_key,
        }
    }

    /// The difference that deletes a stored part.
    pub(super) fn deletion(&mut self, source_key: String, digest: [u8; 16], known: &Known) -> Difference {
        Difference {
            position: self.next(),
            operation: Operation::Delete,
            source_key,
            key: known.key.clone(),
            part: known.part.clone(),
            who: None,
            what: None,
            shops: None,
            raw: None,
            turn: None,
            content: None,
            before: Some(known.hash),
            after: None,
            source_hash: digest,
        }
    }

    fn next(&mut self) -> i64 {
        self.position += 1;
        self.position
    }
}

/// A record that the store does not recognise, with what is stored under its key.
struct Candidate {
    keyed: Keyed,
    known: Option<Known>,
    rejected: Option<KnownRejection>,
    /// Whether it names a person who is left out: its source row is not kept.
    personal: bool,
}

impl Candidate {
    /// Whether what is stored under the record's key stands at this place already.
    fn owns(&self, place: &(Key, String)) -> bool {
        self.known.as_ref().is_some_and(|known| known.key == place.0 && known.part == place.1)
    }
}

/// Compares pages of one run with the store.
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
}

impl Comparer<'_> {
    /// What a page differs in. The run's counts and the progress move on with it.
    pub(super) async fn compare(
        &self,
        run: &mut Run,
        progress: &mut Progress,
        records: Vec<Keyed>,
    ) -> Result<Page, SyncError> {
        let mut page = Draft {
            seen: RoaringTreemap::new(),
            page: Page { number: run.pages, ..Page::default() },
            today: self.today,
            raw: self.keep_raw.then(raw::Builder::default),
        };
        run.counts.read += records.len() as u64;
        progress.forget_committed(run);
        let candidates = self.recognise(run, progress, &mut page, records).await?;
        let mut mapped = self.map(candidates).await?;
        for (candidate, outcome) in &mut mapped {
            candidate.personal = outcome.as_mut().is_ok_and(|outcome| self.erased.leave_out(run.kind, outcome));
            run.counts.erased += u64::from(candidate.personal);
        }
        let owners = self.owners(run.kind, &mapped).await?;
        let prices = self.stored_prices(run.kind, &mapped).await?;
        for (candidate, outcome) in mapped {
            let part = match outcome {
                Err(reason) => {
                    page.reject(run, candidate.keyed, None, reason);
                    continue;
                }
                Ok(Outcome::Skipped | Outcome::Deleted) => {
                    page.mended(candidate.rejected);
                    if let Some(known) = candidate.known {
                        run.counts.deleted += 1;
                        let Keyed { key, digest, .. } = candidate.keyed;
                        page.page.differences.push(progress.deletion(key, digest, &known));
                    }
                    continue;
                }
                Ok(Outcome::Part(part)) => part,
            };
            let place = place(&part);
            let own = candidate.owns(&place);
            let claimed_twice = !own && {
                let canonical = short_digest(&[&place.0.to_string(), &place.1]);
                !progress.claim(canonical, short_digest(&[&candidate.keyed.key]))
            };
            if let Some((connection, source_key)) = owners.get(&place).filter(|_| !own) {
                let reason = format!(
                    "{} {} belongs to the record '{source_key}' of connection '{connection}' already",
                    run.kind, place.0
                );
                run.counts.conflicts += 1;
                page.reject(run, candidate.keyed, Some(AGAIN), reason);
                continue;
            }
            if claimed_twice {
                let reason = format!("another record of this run is {} {} already", run.kind, place.0);
                page.reject(run, candidate.keyed, Some(AGAIN), reason);
                continue;
            }
            if prices.get(&place.0).is_some_and(|before| prices::jumps(before, &part.content, self.price_change)) {
                run.counts.price_jumps += 1;
            }
            page.mended(candidate.rejected);
            let shops = self.shops(run, &part);
            page.differ(run, progress, candidate, *part, shops, own)?;
        }
        if !run.loading && run.complete {
            page.page.seen = bytes(&page.seen)?;
        }
        run.pages += 1;
        if let Some(raw) = page.raw {
            page.page.raw = raw.finish()?;
        }
        Ok(page.page)
    }

    /// Takes out what is known as it is, taken or rejected; what is left has to be mapped.
    async fn recognise(
        &self,
        run: &mut Run,
        progress: &mut Progress,
        page: &mut Draft,
        records: Vec<Keyed>,
    ) -> Result<Vec<Candidate>, SyncError> {
        let keys: Vec<String> = records.iter().map(|r| r.key.clone()).collect();
        let known = self.store.known(run.source, &keys).await?;
        let rejections = if progress.rejections {
            self.store.known_rejections(run.source, &keys).await?
        } else {
            vec![None; keys.len()]
        };
        let mut candidates = Vec::new();
        let newest = if run.complete { HashMap::new() } else { newest(&keys) };
        for (at, ((keyed, known), rejected)) in records.into_iter().zip(known).zip(rejections).enumerate() {
            if let Some(rejected) = rejected {
                page.seen.insert(REJECTIONS | rejected.id.unsigned_abs());
                progress.seen.insert(REJECTIONS | rejected.id.unsigned_abs());
            }
            let same_rejection = rejected.is_some_and(|r| r.digest == keyed.digest);
            if keyed.unreadable.is_some() {
                run.counts.unkeyed += 1;
                if same_rejection {
                    run.counts.rejected += 1;
                } else {
                    page.reject(run, keyed, None, String::new());
                }
                continue;
            }
            if newest.get(&keyed.key).is_some_and(|newest| *newest != at) {
                // Of changes the newest counts.
                continue;
            }
            let source_key = short_digest(&[&keyed.key]);
            if progress.resumed || progress.staged.contains(&source_key) {
                page.page.replaced.push(keyed.key.clone());
            }
            let twice = run.complete
                && match &known {
                    // In a first load whatever is stored came from this very run.
                    Some(known) => run.loading || progress.has_part(known.id),
                    None => !progress.is_new(source_key),
                };
            if twice {
                let reason = format!("the key '{}' is there twice; the first record is taken", keyed.key);
                let keyed = Keyed { key: keyed.place.to_string(), ..keyed };
                page.reject(run, keyed, Some(AGAIN), reason);
                continue;
            }
            if let Some(known) = &known {
                page.seen.insert(known.id.unsigned_abs());
                progress.seen.insert(known.id.unsigned_abs());
                if known.source_hash == keyed.digest {
                    run.counts.unchanged += 1;
                    page.mended(rejected);
                    continue;
                }
            }
            if same_rejection {
                run.counts.rejected += 1;
                continue;
            }
            if !run.complete {
                progress.staged.insert(source_key);
            }
            candidates.push(Candidate { keyed, known, rejected, personal: false });
        }
        Ok(candidates)
    }

    /// Of a customer: the shops that it belongs to.
    fn shops(&self, run: &Run, part: &Mapped) -> Option<Vec<String>> {
        (run.kind == PartKind::Customer).then(|| self.scopes.of(&run.connection, &part.company, &part.content))
    }

    /// Maps the candidates on a thread of their own: mapping is computation.
    async fn map(&self, candidates: Vec<Candidate>) -> Result<Vec<(Candidate, Result<Outcome, String>)>, SyncError> {
        if candidates.is_empty() {
            return Ok(Vec::new());
        }
        let (mapping, setting) = (Arc::clone(self.mapping), self.setting.clone());
        tokio::task::spawn_blocking(move || {
            candidates
                .into_iter()
                .map(|candidate| {
                    let outcome = mapping.apply(&candidate.keyed.fields, &setting).map_err(|r| r.to_string());
                    (candidate, outcome)
                })
                .collect()
        })
        .await
        .map_err(|_| SyncError::Stopped("the mapping"))
    }

    /// Connection and source key of whoever has the canonical keys that are new to their records.
    async fn owners(
        &self,
        kind: PartKind,
        mapped: &[(Candidate, Result<Outcome, String>)],
    ) -> Result<HashMap<(Key, String), (String, String)>, SyncError> {
        let wanted: Vec<(Key, String)> = mapped
            .iter()
            .filter_map(|(candidate, outcome)| match outcome {
                Ok(Outcome::Part(part)) => {
                    let place = place(part);
                    (!candidate.owns(&place)).then_some(place)
                }
                _ => None,
            })
            .collect();
        if wanted.is_empty() {
            return Ok(HashMap::new());
        }
        let owners = self.store.owners(kind, &wanted).await?;
        let found = wanted.into_iter().zip(owners).filter_map(|(place, owner)| Some((place, owner?)));
        Ok(found.map(|(place, owner)| (place, (owner.connection, owner.source_key))).collect())
    }

    /// The stored contents of the price agreements that are about to change.
    async fn stored_prices(
        &self,
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
        let parts = self.store.parts(kind.entity(), &keys).await?;
        Ok(parts.into_iter().map(|part| (part.key, part.content)).collect())
    }
}

/// A page that is being made.
struct Draft {
    seen: RoaringTreemap,
    page: Page,
    today: i32,
    /// The source rows of what differs, where they are kept.
    raw: Option<raw::Builder>,
}

impl Draft {
    /// Notes a record that is not taken, for the reason given or, where it could not be read, for that one.
    fn reject(&mut self, run: &mut Run, keyed: Keyed, digest: Option<[u8; 16]>, reason: String) {
        run.counts.rejected += 1;
        self.page.rejections.push(Rejection {
            id: 0,
            source: run.source,
            run: run.id.clone(),
            source_key: keyed.key,
            digest: digest.unwrap_or(keyed.digest),
            place: keyed.place.to_string(),
            reason: keyed.unreadable.unwrap_or(reason),
            record: raw::typed(&keyed.fields),
            at: Timestamp::now(),
        });
    }

    fn mended(&mut self, rejected: Option<KnownRejection>) {
        self.page.mended.extend(rejected.map(|r| r.id));
    }

    fn differ(
        &mut self,
        run: &mut Run,
        progress: &mut Progress,
        candidate: Candidate,
        part: Mapped,
        shops: Option<Vec<String>>,
        own: bool,
    ) -> Result<(), SyncError> {
        let Candidate { keyed: Keyed { key, digest, place, fields, raw, .. }, known, personal, .. } = candidate;
        if let (Some(batch), None, false) = (&mut self.raw, raw, personal) {
            batch.push_fields(&key, &place, &fields)?;
        }
        let unchanged = own && known.as_ref().is_some_and(|k| k.hash == part.hash);
        if let Some(known) = known.as_ref().filter(|_| !own) {
            // The record has another canonical key now: the old part goes, a new one comes.
            self.page.differences.push(progress.deletion(key.clone(), digest, known));
        }
        match (unchanged, known.is_some()) {
            (true, _) => run.counts.unchanged += 1,
            (false, true) => run.counts.updated += 1,
            (false, false) => run.counts.created += 1,
        }
        self.page.differences.push(Difference {
            position: progress.next(),
            operation: if unchanged { Operation::Recognise } else { Operation::Upsert },
            source_key: key,
            key: Key::new(part.company, part.identity.number),
            part: part.identity.part,
            who: part.identity.who,
            what: part.identity.what,
            shops,
            raw,
            turn: validity::next_turn(run.kind, &part.content, self.today),
            content: (!unchanged).then_some(part.content),
            before: known.filter(|_| own).map(|k| k.hash),
            after: Some(part.hash),
            source_hash: digest,
        });
        Ok(())
    }
}

/// Where the newest record of each key stands.
fn newest(keys: &[String]) -> HashMap<String, usize> {
    keys.iter().enumerate().map(|(at, key)| (key.clone(), at)).collect()
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

fn bytes(seen: &RoaringTreemap) -> Result<Vec<u8>, SyncError> {
    if seen.is_empty() {
        return Ok(Vec::new());
    }
    let mut bytes = Vec::with_capacity(seen.serialized_size());
    seen.serialize_into(&mut bytes).map_err(|_| SyncError::Stopped("the list of seen parts"))?;
    Ok(bytes)
}
