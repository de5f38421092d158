//! Counting requests against what a system allows: in a span of time, and by what its answers say is left.
//!
//! Requests travel: a system counts one somewhere between its being sent and the arrival of its answer. So a request under way
//! always counts, and one that was answered counts until a whole span after its answer arrived.
//!
//! What does not live here: waiting (`limit`).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A span is divided into so many parts, within which requests are forgotten together; so memory has a bound.
const PARTS: u32 = 1000;

/// How far two ends of a span that a system tells may be apart and still be one: they are told in whole seconds.
const SAME: Duration = Duration::from_secs(2);

/// So many requests in any span of so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub requests: u32,
    /// In how long.
    pub per: Duration,
}

/// Who a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// An action, such as an order; a login, for which one may wait.
    Action,
    /// A page of a stream.
    Read,
}

/// What a system's answer says is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// So many requests.
    pub remaining: u32,
    /// For so long.
    pub wait: Duration,
}

/// Why no request may be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// One may at this instant.
    Until(Instant),
    /// One may once a request that is under way has its answer.
    UntilAnswered,
}

/// Counts the requests of a connection.
#[derive(Debug)]
pub struct Budget {
    /// The share that is left to actions, in hundredths of a percent.
    reserved: u32,
    under_way: u32,
    spans: Vec<Span>,
    told: Vec<Option<Told>>,
    /// Before when nothing is sent, since the system said so.
    not_before: Option<Instant>,
}

/// What counts against one rate.
#[derive(Debug)]
struct Span {
    rate: Rate,
    answered: VecDeque<Batch>,
    /// All of them together.
    count: u32,
}

/// Requests that were answered at nearly the same time.
#[derive(Debug)]
struct Batch {
    first: Instant,
    /// Until when they count.
    until: Instant,
    count: u32,
}

/// What is left by the system's own words.
#[derive(Debug, Clone, Copy)]
struct Told {
    left: i64,
    until: Instant,
    /// The most that was ever left.
    most: u32,
}

impl Budget {
    /// Counts against rates, and against so many pairs of headers; a share is left to actions, in hundredths of a percent.
    pub fn new(rates: &[Rate], told: usize, reserved: u32) -> Self {
        let span = |rate: &Rate| Span { rate: *rate, answered: VecDeque::new(), count: 0 };
        Self {
            reserved,
            under_way: 0,
            spans: rates.iter().map(span).collect(),
            told: vec![None; told],
            not_before: None,
        }
    }

    /// Counts a request that is sent now.
    ///
    /// # Errors
    /// Where none may be sent.
    pub fn claim(&mut self, now: Instant, urgency: Urgency) -> Result<(), Refusal> {
        self.look(now, urgency)?;
        self.under_way += 1;
        for told in self.told.iter_mut().flatten() {
            told.left -= 1;
        }
        Ok(())
    }

    /// Whether a request may be sent now; counts none.
    ///
    /// # Errors
    /// Where none may be sent.
    pub fn look(&mut self, now: Instant, urgency: Urgency) -> Result<(), Refusal> {
        let mut latest = self.not_before.filter(|until| *until > now);
        let mut answered = false;
        let (reserved, under_way) = (self.reserved, self.under_way);
        let kept = |of: u32| if urgency == Urgency::Read { kept(of, reserved) } else { 0 };
        for span in &mut self.spans {
            span.forget(now);
            match span.look(under_way, kept(span.rate.requests)) {
                None => {}
                Some(Refusal::Until(until)) => latest = latest.max(Some(until)),
                Some(Refusal::UntilAnswered) => answered = true,
            }
        }
        for told in &mut self.told {
            *told = told.filter(|told| told.until > now);
            if let Some(told) = told
                && told.left <= i64::from(kept(told.most))
            {
                latest = latest.max(Some(told.until));
            }
        }
        match (latest, answered) {
            (_, true) => Err(Refusal::UntilAnswered),
            (Some(until), false) => Err(Refusal::Until(until)),
            (None, false) => Ok(()),
        }
    }

    /// A request has its answer, or is given up; and what the answer says is left, for each pair of headers.
    pub fn answered(&mut self, now: Instant, left: &[Option<Left>]) {
        self.under_way = self.under_way.saturating_sub(1);
        for span in &mut self.spans {
            span.add(now);
        }
        for (told, left) in self.told.iter_mut().zip(left) {
            let Some(left) = left else { continue };
            let until = now + left.wait;
            let (remaining, most) = (i64::from(left.remaining), told.map_or(0, |told| told.most).max(left.remaining));
            let known = told.filter(|told| told.until.max(until) - told.until.min(until) <= SAME);
            let left = match known {
                // Those sent since are counted here, and not yet by the system.
                Some(known) if self.under_way > 0 => known.left.min(remaining),
                _ => remaining - i64::from(self.under_way),
            };
            *told = Some(Told { left, until, most });
        }
    }

    /// Nothing is sent before this instant.
    pub fn pause(&mut self, until: Instant) {
        self.not_before = self.not_before.max(Some(until));
    }
}

impl Span {
    /// Forgets what does not count any more.
    fn forget(&mut self, now: Instant) {
        while let Some(batch) = self.answered.front().filter(|batch| batch.until <= now) {
            self.count -= batch.count;
            self.answered.pop_front();
        }
    }

    /// Why no request may be sent, where so many are under way and so many are kept for others.
    fn look(&self, under_way: u32, kept: u32) -> Option<Refusal> {
        let allowed = self.rate.requests - kept;
        let used = self.count + under_way;
        if used < allowed {
            return None;
        }
        let mut excess = used - allowed + 1;
        for batch in &self.answered {
            excess = excess.saturating_sub(batch.count);
            if excess == 0 {
                return Some(Refusal::Until(batch.until));
            }
        }
        Some(Refusal::UntilAnswered)
    }

    /// Counts a request that was answered now.
    fn add(&mut self, now: Instant) {
        let part = self.rate.per / PARTS;
        // Clocks differ: one part more than the span.
        let until = now + self.rate.per + part;
        self.count += 1;
        match self.answered.back_mut() {
            Some(batch) if now.saturating_duration_since(batch.first) < part => {
                batch.count += 1;
                batch.until = until;
            }
            _ => self.answered.push_back(Batch { first: now, until, count: 1 }),
        }
    }
}

/// How many of so many are left to actions: at least one, but never all.
pub fn kept(of: u32, reserved: u32) -> u32 {
    if reserved == 0 {
        return 0;
    }
    let share = (u64::from(of) * u64::from(reserved)).div_ceil(10_000);
    u32::try_from(share).unwrap_or(of).min(of.saturating_sub(1))
}
