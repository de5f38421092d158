//! A page of differences while it is being made: what differs, what is rejected, and the source rows of both.
//!
//! What does not live here: finding out what a record is (`page`).

use std::time::{Duration, Instant};

use jiff::Timestamp;
use roaring::RoaringTreemap;

use super::error::SyncError;
use super::keyed::{Chunk, Keyed};
use super::progress::{MOST_PAGES, Progress, bytes};
use super::raw;
use super::validity;
use crate::connector::format::Stand;
use crate::mapping::Mapped;
use crate::model::Key;
use crate::store::{Difference, Known, KnownRejection, Operation, Overtaken, Page, Rejection, Run, RunCounts};

/// Differences that are committed without waiting for more.
const MUCH: usize = 1000;

/// How long a run over what is known goes on without noting how far it is.
const NOTED: Duration = Duration::from_secs(1);

/// Digest of a rejection whose reason lies outside its row: it is tried again each time.
const AGAIN: [u8; 16] = [0; 16];

/// A page that was compared.
pub(super) struct Compared {
    /// The run as of this page.
    pub run: Run,
    /// What the page differs in.
    pub page: Page,
    /// Of a page that was taken as new without a look into the store: what to compare it from if it is not.
    pub fresh: Option<Fresh>,
}

/// A page before it was compared.
pub(super) struct Fresh {
    /// The run's counts before it.
    pub before: RunCounts,
    /// Its records.
    pub chunk: Chunk,
}

/// A record that the store does not recognise, with what is stored under its key.
pub(super) struct Candidate {
    pub keyed: Keyed,
    pub known: Option<Known>,
    pub rejected: Option<KnownRejection>,
    /// Whether it names a person who is left out: its source row is not kept.
    pub personal: bool,
}

impl Candidate {
    /// Whether what is stored under the record's key stands at this place already.
    pub fn owns(&self, place: &(Key, String)) -> bool {
        self.known.as_ref().is_some_and(|known| known.key == place.0 && known.part == place.1)
    }
}

/// Why a record is not taken.
pub(super) struct Reason {
    message: String,
    /// Whether it lies outside the row, so that the row is tried again each time.
    again: bool,
}

impl Reason {
    pub fn row(message: String) -> Self {
        Self { message, again: false }
    }

    pub fn claimed(run: &Run, key: &Key) -> Self {
        Self { message: format!("another record of this run is {} {key} already", run.kind), again: true }
    }

    pub fn owned(run: &Run, key: &Key, connection: &str, source_key: &str) -> Self {
        let kind = run.kind;
        let message = format!("{kind} {key} belongs to the record '{source_key}' of connection '{connection}' already");
        Self { message, again: true }
    }
}

/// A page that is being made. Where little differs, several pages of the source become one.
pub(super) struct Draft {
    pub seen: RoaringTreemap,
    pub page: Page,
    /// Records that are not recognised, before they are mapped: from several pages of the source, so that mapping and
    /// looking up what they touch is asked once for all of them.
    pub candidates: Vec<Candidate>,
    today: i32,
    /// The source rows of what differs, where they are kept.
    raw: Option<raw::Builder>,
    /// Pages of the source in it.
    pages: u32,
    since: Instant,
}

impl Draft {
    /// Begins a page of a run of this day, that keeps source rows or does not, and that overtakes complete passes.
    pub fn begin(run: &Run, today: i32, keep_raw: bool, passes: &[String]) -> Self {
        let overtaken =
            (!passes.is_empty()).then(|| Overtaken { runs: passes.to_vec(), keys: Vec::new(), seen: Vec::new() });
        Self {
            seen: RoaringTreemap::new(),
            page: Page { number: run.pages, overtaken, ..Page::default() },
            candidates: Vec::new(),
            today,
            raw: keep_raw.then(raw::Builder::default),
            pages: 0,
            since: Instant::now(),
        }
    }

    /// Takes in a chunk of the source: its records, for whoever compares them.
    pub fn read(&mut self, run: &mut Run, chunk: Chunk) -> Vec<Keyed> {
        let Chunk { records, stand } = chunk;
        if self.is_empty() {
            self.since = Instant::now();
        }
        run.counts.read += records.len() as u64;
        self.pages += 1;
        let Stand { place, watermark } = stand.unwrap_or_default();
        run.reached = place;
        if watermark.is_some() {
            run.watermark = watermark;
        }
        records
    }

    /// Whether it is time to commit: much differs, or it was begun a while ago. In a run over changes each page is
    /// committed that differs, since a later one can replace what it says.
    pub fn is_due(&self, run: &Run) -> bool {
        let Page { rejections, replaced, mended, .. } = &self.page;
        let differs = self.candidates.len() + rejections.len() + replaced.len() + mended.len();
        differs >= MUCH || self.pages >= MOST_PAGES || self.since.elapsed() >= NOTED || (!run.complete && differs > 0)
    }

    /// How long it may wait for more; none while nothing is in it.
    pub fn left(&self) -> Option<Duration> {
        (!self.is_empty()).then(|| NOTED.saturating_sub(self.since.elapsed()))
    }

    /// Has the number of the run's next page.
    pub fn number(&mut self, run: &Run) {
        self.page.number = run.pages;
    }

    /// Notes a stored part as there.
    pub fn see(&mut self, progress: &mut Progress, id: i64) {
        if progress.see_part(id, &mut self.seen) {
            self.page.met.push(id);
        }
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.pages == 0
    }

    pub fn end(mut self, run: &mut Run) -> Result<Compared, SyncError> {
        run.pages += 1;
        if let Some(raw) = self.raw {
            self.page.raw = raw.finish()?;
        }
        if let Some(overtaken) = &mut self.page.overtaken {
            overtaken.seen = bytes(&self.seen)?;
        }
        if run.complete && !run.loading {
            self.page.seen = bytes(&self.seen)?;
        }
        Ok(Compared { run: run.clone(), page: self.page, fresh: None })
    }

    /// Notes a record that is not taken, for the reason given or, where it could not be read, for that one.
    pub fn reject(&mut self, run: &mut Run, keyed: &Keyed, reason: Reason) {
        self.reject_as(run, keyed, keyed.key.clone(), reason);
    }

    /// Notes a record whose key another one of the source has.
    pub fn reject_twice(&mut self, run: &mut Run, keyed: &Keyed) {
        let message = format!("the key '{}' is there twice; the first record is taken", keyed.key);
        self.reject_as(run, keyed, keyed.place.to_string(), Reason { message, again: true });
    }

    fn reject_as(&mut self, run: &mut Run, keyed: &Keyed, source_key: String, reason: Reason) {
        run.counts.rejected += 1;
        self.page.rejections.push(Rejection {
            id: 0,
            source: run.source,
            run: run.id.clone(),
            source_key,
            digest: if reason.again { AGAIN } else { keyed.digest },
            place: keyed.place.to_string(),
            reason: keyed.unreadable.clone().unwrap_or(reason.message),
            record: raw::typed(&keyed.fields),
            at: Timestamp::now(),
        });
    }

    pub fn mended(&mut self, rejected: Option<KnownRejection>) {
        self.page.mended.extend(rejected.map(|r| r.id));
    }

    pub fn differ(
        &mut self,
        run: &mut Run,
        progress: &mut Progress,
        candidate: &Candidate,
        part: Mapped,
        shops: Option<Vec<String>>,
        own: bool,
    ) -> Result<(), SyncError> {
        let Candidate { keyed: Keyed { key, digest, place, fields, raw, .. }, known, personal, .. } = candidate;
        if let (Some(batch), None, false) = (&mut self.raw, raw, personal) {
            batch.push_fields(key, place, fields)?;
        }
        let hash = part.content.hash();
        let unchanged = own && known.as_ref().is_some_and(|k| k.hash == hash);
        if let Some(known) = known.as_ref().filter(|_| !own) {
            // The record has another canonical key now: the old part goes, a new one comes.
            self.page.differences.push(progress.deletion(key.clone(), *digest, known));
        }
        match (unchanged, known.is_some()) {
            (true, _) => run.counts.unchanged += 1,
            (false, true) => run.counts.updated += 1,
            (false, false) => run.counts.created += 1,
        }
        self.page.differences.push(Difference {
            position: progress.next(),
            operation: if unchanged { Operation::Recognise } else { Operation::Upsert },
            source_key: key.clone(),
            key: Key::new(part.company, part.identity.number),
            part: part.identity.part,
            who: part.identity.who,
            what: part.identity.what,
            shops,
            raw: *raw,
            turn: validity::next_turn(run.kind, &part.content, self.today),
            content: (!unchanged).then_some(part.content),
            before: known.as_ref().filter(|_| own).map(|k| k.hash),
            after: Some(hash),
            source_hash: *digest,
        });
        Ok(())
    }
}
