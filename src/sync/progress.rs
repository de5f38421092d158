//! What a run remembers between its pages. It does not grow with the source, but for a set of numbers that packs well.

use std::collections::{HashMap, HashSet};

use roaring::RoaringTreemap;

use super::error::SyncError;
use crate::store::{Difference, Known, Operation, Run};

/// In the list of what was seen, rejections stand above this, parts below.
const REJECTIONS: u64 = 1 << 63;

/// Pages of the source that are committed together at the most.
pub(super) const MOST_PAGES: u32 = 32;

/// Pages that cannot all be under way between comparing and the end of storing: far more than are ever ahead.
const UNDER_WAY: u32 = 8 * MOST_PAGES;

/// What a run remembers between its pages.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Stored parts that the source still has or that are being deleted already, and rejections found again.
    seen: RoaringTreemap,
    /// What pages under way make new: the store knows what is new in those that are committed.
    recent: Recent,
    /// The same of the pages before.
    older: Recent,
    /// Pages of the source so far.
    pages: u32,
    /// Whether a page has staged anything: in a run over changes the newest record of a key counts.
    pub staged: bool,
    /// The position of the newest difference.
    position: i64,
    /// Whether the source had rejections when the run began.
    pub rejections: bool,
    /// Parts that the complete pass before it missed.
    pub missed: RoaringTreemap,
}

/// Digests of what pages make new.
#[derive(Debug, Default)]
struct Recent {
    /// Source keys.
    new: HashSet<u64>,
    /// Canonical keys, with the source keys of the records that claim them.
    claimed: HashMap<u64, u64>,
}

impl Progress {
    /// At a run's beginning.
    pub fn new(rejections: bool) -> Self {
        Self { rejections, ..Self::default() }
    }

    /// Goes on from what the pages committed so far have seen.
    pub fn resumed(run: &Run, pages: &[Vec<u8>], rejections: bool) -> Result<Self, SyncError> {
        let mut seen = RoaringTreemap::new();
        for bytes in pages {
            seen |= RoaringTreemap::deserialize_from(&**bytes).map_err(|e| SyncError::unreadable(&e))?;
        }
        // Beyond every position that the run can have used: a record makes two differences at the most.
        let used =
            run.counts.read.saturating_add(run.counts.deleted).saturating_add(run.counts.missed).saturating_mul(2);
        Ok(Self { seen, position: i64::try_from(used).unwrap_or(i64::MAX / 2), staged: true, ..Self::new(rejections) })
    }

    /// Whether the source still has a stored part.
    pub fn has_part(&self, id: i64) -> bool {
        self.seen.contains(id.unsigned_abs())
    }

    /// How many stored parts are seen.
    pub fn parts(&self) -> u64 {
        self.seen.rank(REJECTIONS - 1)
    }

    /// Notes a stored part as seen, here and in what a page has seen. Whether an earlier pass had missed it.
    pub fn see_part(&mut self, id: i64, page: &mut RoaringTreemap) -> bool {
        self.seen.insert(id.unsigned_abs());
        page.insert(id.unsigned_abs());
        self.missed.contains(id.unsigned_abs())
    }

    /// Whether a rejection was found again.
    pub fn has_rejection(&self, id: i64) -> bool {
        self.seen.contains(REJECTIONS | id.unsigned_abs())
    }

    /// Notes a rejection as found again, here and in what a page has seen.
    pub fn see_rejection(&mut self, id: i64, page: &mut RoaringTreemap) {
        self.seen.insert(REJECTIONS | id.unsigned_abs());
        page.insert(REJECTIONS | id.unsigned_abs());
    }

    /// Forgets what only committed pages can have made new, from time to time.
    pub fn forget_committed(&mut self) {
        self.pages = self.pages.wrapping_add(1);
        if self.pages.is_multiple_of(UNDER_WAY) {
            self.older = std::mem::take(&mut self.recent);
        }
    }

    /// Whether no page under way has a source key that the store lacks; it is known from now on.
    pub fn is_new(&mut self, source_key: u64) -> bool {
        !self.older.new.contains(&source_key) && self.recent.new.insert(source_key)
    }

    /// Whether no page under way claims a canonical key for another source key; it is claimed from now on.
    pub fn claim(&mut self, canonical: u64, source_key: u64) -> bool {
        match self.older.claimed.get(&canonical) {
            Some(owner) => *owner == source_key,
            None => *self.recent.claimed.entry(canonical).or_insert(source_key) == source_key,
        }
    }

    /// The difference that deletes a stored part.
    pub fn deletion(&mut self, source_key: String, digest: [u8; 16], known: &Known) -> Difference {
        self.absence(Operation::Delete, source_key, digest, known)
    }

    /// The difference that a stored part is not there, or not for now.
    pub fn absence(&mut self, operation: Operation, source_key: String, digest: [u8; 16], known: &Known) -> Difference {
        Difference {
            position: self.next(),
            operation,
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

    /// The position of the next difference.
    pub fn next(&mut self) -> i64 {
        self.position += 1;
        self.position
    }
}

/// What was seen in the form in which a page keeps it.
pub(super) fn bytes(seen: &RoaringTreemap) -> Result<Vec<u8>, SyncError> {
    if seen.is_empty() {
        return Ok(Vec::new());
    }
    let mut bytes = Vec::with_capacity(seen.serialized_size());
    seen.serialize_into(&mut bytes).map_err(|_| SyncError::Stopped("the list of seen parts"))?;
    Ok(bytes)
}
