//! What all processes of a store have claimed of a system's limits, as it is kept: by the keeper's clock alone.
//!
//! A process claims requests before it sends them. A claim counts until the process tells that the request was answered, and
//! then until a whole span after that, or that it was not sent. Of a process that tells nothing any more nobody knows what it
//! sent: its claims count as answered at the instant by which the last of its requests is given up.
//!
//! What does not live here: what a process does with its claims (`claims`), and keeping (`tally`).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::budget::{Rate, Urgency, kept};

/// A span is divided into so many parts, within which requests are forgotten together; so what is kept has a bound.
const PARTS: i64 = 250;

/// An instant of the keeper's clock, in milliseconds since 1970.
pub type Moment = i64;

/// What the keeper's clock said, between two instants of the process's.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// Before the keeper was asked.
    pub before: Instant,
    /// After it had answered.
    pub after: Instant,
    /// What it answered.
    pub now: Moment,
}

/// How much a system allows all processes together.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Requests in spans of time.
    pub rates: Vec<Rate>,
    /// The share that is left to actions, in hundredths of a percent.
    pub reserved: u32,
    /// The longest that a request takes until it is given up.
    pub longest: Duration,
}

/// What is claimed by whom, and what was answered when.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    spans: Vec<Span>,
    /// By the name of the process.
    holders: BTreeMap<String, Holder>,
    /// Before when nothing is sent, since the system said so.
    not_before: Option<Moment>,
}

/// What was answered and counts against the rates with this span.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Span {
    /// In milliseconds.
    per: i64,
    /// How many requests in which part, by its number since 1970.
    parts: BTreeMap<i64, u32>,
}

/// What one process has told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// How many requests it claims that were not answered.
    pub held: u32,
    /// How many it has told that were answered, since it began.
    pub told: u64,
    /// By when all of them are given up.
    pub until: Moment,
}

impl Clock {
    /// What the keeper's clock said at an instant, at the latest.
    pub fn moment(&self, at: Instant) -> Moment {
        let since = millis(at.saturating_duration_since(self.before));
        let ago = i64::try_from(self.before.saturating_duration_since(at).as_millis()).unwrap_or(i64::MAX);
        self.now.saturating_add(since).saturating_sub(ago).saturating_add(1)
    }

    /// When the keeper's clock will have come to a moment.
    pub fn instant(&self, at: Moment) -> Instant {
        self.after + Duration::from_millis(u64::try_from(at.saturating_sub(self.now)).unwrap_or(0))
    }
}

impl Terms {
    /// For how long claims are taken at a time: so little of the shortest span that what is claimed and not yet used hardly
    /// matters, and not so long that much is lost with a process that dies.
    pub fn block(&self) -> Duration {
        let shortest = self.rates.iter().map(|rate| rate.per).min().unwrap_or(Duration::ZERO);
        (shortest / 100).clamp(Duration::from_millis(5), Duration::from_secs(10))
    }

    /// How many requests are even use for so long; at least one.
    pub fn share(&self) -> u32 {
        let block = self.block().as_millis();
        let even = |rate: &Rate| u128::from(rate.requests) * block / rate.per.as_millis().max(1);
        let share = self.rates.iter().map(even).min().unwrap_or(1);
        u32::try_from(share).unwrap_or(u32::MAX).max(1)
    }

    /// For how long claims may be used, and how soon a process tells what became of them.
    pub fn settle(&self) -> Duration {
        self.block() * 4
    }
}

impl Ledger {
    /// What is kept.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn of_bytes(bytes: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(bytes)
    }

    /// As it is kept.
    ///
    /// # Errors
    /// None that this type has.
    pub fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(self)
    }

    /// Forgets what does not count any more, and counts as answered what processes claim that have told nothing for too long.
    pub fn forget(&mut self, now: Moment, terms: &Terms) {
        let mine: Vec<i64> = terms.rates.iter().map(|rate| millis(rate.per)).collect();
        for per in &mine {
            if self.spans.iter().all(|span| span.per != *per) {
                self.spans.push(Span { per: *per, parts: BTreeMap::new() });
            }
        }
        let gone: Vec<Holder> = self.holders.values().copied().filter(|holder| holder.until <= now).collect();
        self.holders.retain(|_, holder| holder.until > now);
        for holder in gone {
            self.answered(holder.until, holder.held);
        }
        for span in &mut self.spans {
            let (part, per) = (span.part(), span.per);
            span.parts.retain(|number, _| end(*number, part, per) > now);
        }
        // Another process may have terms of its own while they change.
        self.spans.retain(|span| mine.contains(&span.per) || !span.parts.is_empty());
    }

    /// Counts requests that were answered at this instant or before.
    pub fn answered(&mut self, at: Moment, count: u32) {
        for span in self.spans.iter_mut().filter(|_| count > 0) {
            let counted = span.parts.entry(at.div_euclid(span.part())).or_default();
            *counted = counted.saturating_add(count);
        }
    }

    /// What a process has told.
    pub fn holder(&self, id: &str) -> Option<Holder> {
        self.holders.get(id).copied()
    }

    /// Notes what a process tells.
    pub fn hold(&mut self, id: &str, holder: Holder) {
        self.holders.insert(id.to_owned(), holder);
    }

    /// Notes that the system wants no request before this instant. Before when it wants none in all.
    pub fn pause(&mut self, until: Option<Moment>) -> Option<Moment> {
        self.not_before = self.not_before.max(until);
        self.not_before
    }

    /// How much is left of each rate.
    pub fn headroom(&self, terms: &Terms) -> Vec<u32> {
        terms.rates.iter().map(|rate| rate.requests.saturating_sub(self.used(rate))).collect()
    }

    /// How many requests may be claimed.
    pub fn left(&self, terms: &Terms, urgency: Urgency) -> u32 {
        let left = |rate: &Rate| allowed(rate, terms, urgency).saturating_sub(self.used(rate));
        terms.rates.iter().map(left).min().unwrap_or(u32::MAX)
    }

    /// When so many may be claimed; nothing where that is only known once processes tell what became of their claims.
    pub fn freed(&self, terms: &Terms, urgency: Urgency, wanted: u32) -> Option<Moment> {
        let mut latest = Moment::MIN;
        for rate in &terms.rates {
            let allowed = allowed(rate, terms, urgency);
            let mut excess = (self.used(rate).saturating_add(wanted.min(allowed))).saturating_sub(allowed);
            let mut parts = self.spans.iter().filter(|span| span.per == millis(rate.per)).flat_map(Span::ends);
            while excess > 0 {
                let (until, count) = parts.next()?;
                excess = excess.saturating_sub(count);
                latest = latest.max(until);
            }
        }
        Some(latest)
    }

    /// How many requests count against a rate.
    fn used(&self, rate: &Rate) -> u32 {
        let held = self.holders.values().map(|holder| holder.held);
        let span = self.spans.iter().find(|span| span.per == millis(rate.per));
        let answered = span.into_iter().flat_map(|span| span.parts.values().copied());
        held.chain(answered).fold(0, u32::saturating_add)
    }
}

impl Span {
    /// How long a part is.
    fn part(&self) -> i64 {
        (self.per / PARTS).max(1)
    }

    /// Until when parts count, in their order, and how many requests each has.
    fn ends(&self) -> impl Iterator<Item = (Moment, u32)> + '_ {
        self.parts.iter().map(|(number, count)| (end(*number, self.part(), self.per), *count))
    }
}

/// Until when a part counts: a whole span after its end, and one part more, since clocks differ.
fn end(number: i64, part: i64, per: i64) -> Moment {
    number.saturating_add(2).saturating_mul(part).saturating_add(per)
}

/// How many requests there may be for somebody.
fn allowed(rate: &Rate, terms: &Terms, urgency: Urgency) -> u32 {
    match urgency {
        Urgency::Action => rate.requests,
        Urgency::Read => rate.requests - kept(rate.requests, terms.reserved),
    }
}

/// A duration in whole milliseconds, rounded up.
pub fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros().div_ceil(1000)).unwrap_or(i64::MAX)
}
