//! Counting requests against what a system allows: in a span of time, and by what its answers say is left.
//!
//! Requests travel: a system counts one somewhere between its being sent and the arrival of its answer. So a request under way
//! always counts, and one that was answered counts until a whole span after its answer arrived.
//!
//! What does not live here: waiting (`limit`).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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

/// How much of a limit is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Headroom {
    /// So many requests.
    pub left: u32,
    /// Of so many in all; absent where only the system's answers tell what is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<u32>,
    /// In any span of so many seconds, or until the system counts anew in so many.
    pub seconds: u64,
}

/// Why no request may be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// One may at this instant.
    Until(Instant),
    /// One may once a request that is under way has its answer.
    UntilAnswered,
    /// None is claimed that all processes may send together.
    Unclaimed,
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
                Some(Refusal::UntilAnswered | Refusal::Unclaimed) => answered = true,
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

    /// How much is left of each limit, but for what only is known once the system answers.
    pub fn headroom(&mut self, now: Instant) -> Vec<Headroom> {
        let under_way = self.under_way;
        let spans = self.spans.iter_mut().map(|span| {
            span.forget(now);
            let Rate { requests, per } = span.rate;
            Headroom {
                left: requests.saturating_sub(span.count + under_way),
                of: Some(requests),
                seconds: per.as_secs(),
            }
        });
        let told = self.told.iter().flatten().filter(|told| told.until > now).map(|told| Headroom {
            left: u32::try_from(told.left.max(0)).unwrap_or(u32::MAX),
            of: None,
            seconds: (told.until - now).as_secs(),
        });
        spans.chain(told).collect()
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::connector::http::scatter::{Scatter, most_within};

    const SPAN: Duration = Duration::from_secs(10);

    /// Sends as much as the budget allows for so long, at most so many at once. Requests travel up to `travel`, and their
    /// answers too. When the system counted each.
    fn simulate(
        budget: &mut Budget,
        urgency: Urgency,
        at_once: usize,
        travel: Duration,
        whole: Duration,
    ) -> Vec<Instant> {
        let begun = Instant::now();
        let mut scatter = Scatter(7);
        let mut now = begun;
        let mut counted = Vec::new();
        let mut under_way = BTreeSet::new();
        while now - begun < whole {
            let refused =
                if under_way.len() < at_once { budget.claim(now, urgency).err() } else { Some(Refusal::UntilAnswered) };
            let answer = under_way.first().copied();
            match (refused, answer) {
                (None, _) => {
                    let arrives = now + scatter.below(travel);
                    counted.push(arrives);
                    under_way.insert(arrives + scatter.below(travel));
                }
                (Some(Refusal::Until(until)), answer) if answer.is_none_or(|answer| until < answer) => now = until,
                (Some(_), answer) => {
                    now = answer.expect("without a request under way there is an instant");
                    under_way.pop_first();
                    budget.answered(now, &[]);
                }
            }
        }
        counted.sort();
        counted
    }

    #[test]
    fn a_limit_is_never_exceeded_and_well_used_however_requests_travel() {
        for requests in [1, 2, 10, 60, 3000] {
            for travel in [1, 50, 200].map(Duration::from_millis) {
                let mut budget = Budget::new(&[Rate { requests, per: SPAN }], 0, 0);
                let spans = 20;
                let counted = simulate(&mut budget, Urgency::Read, 1000, travel, SPAN * spans);
                let most = most_within(SPAN, &counted);
                assert!(most <= requests as usize, "{requests} in {travel:?}: {most}");
                let share = counted.len() as f64 / f64::from(requests * spans);
                assert!(share >= 0.95, "{requests} in {travel:?}: {share}");
                assert!(budget.spans[0].answered.len() <= PARTS as usize + 2, "{}", budget.spans[0].answered.len());
            }
        }
    }

    #[test]
    fn slow_answers_do_not_make_a_limit_exceeded() {
        let mut budget = Budget::new(&[Rate { requests: 10, per: SPAN }], 0, 0);
        let counted = simulate(&mut budget, Urgency::Read, 64, Duration::from_secs(15), SPAN * 50);
        assert!(counted.len() > 100 && most_within(SPAN, &counted) <= 10);
    }

    #[test]
    fn the_narrowest_of_several_limits_counts() {
        let day = Duration::from_hours(24);
        let rates = [Rate { requests: 60, per: Duration::from_mins(1) }, Rate { requests: 5000, per: day }];
        let mut budget = Budget::new(&rates, 0, 0);
        let counted = simulate(&mut budget, Urgency::Read, 4, Duration::from_millis(300), day * 2);
        assert!(most_within(Duration::from_mins(1), &counted) <= 60 && most_within(day, &counted) <= 5000);
        assert!(counted.len() > 9500, "{}", counted.len());
    }

    #[test]
    fn reads_leave_a_share_to_actions() {
        for (requests, reserved, reads) in
            [(100, 500, 95), (10, 500, 9), (10, 2000, 8), (1, 500, 1), (10, 0, 10), (10, 10_000, 1)]
        {
            let mut budget = Budget::new(&[Rate { requests, per: SPAN }], 0, reserved);
            let now = Instant::now();
            let read = std::iter::from_fn(|| budget.claim(now, Urgency::Read).ok()).count();
            assert_eq!(read, reads, "{requests} with {reserved}");
            let actions = std::iter::from_fn(|| budget.claim(now, Urgency::Action).ok()).count();
            assert_eq!(read + actions, requests as usize);
        }
    }

    #[test]
    fn what_the_system_says_is_left_counts_less_what_is_under_way() {
        let mut budget = Budget::new(&[], 1, 0);
        let now = Instant::now();
        let left = |remaining, seconds| [Some(Left { remaining, wait: Duration::from_secs(seconds) })];
        let claim = |budget: &mut Budget, at| budget.claim(now + Duration::from_secs(at), Urgency::Read);
        for _ in 0..3 {
            claim(&mut budget, 0).unwrap();
        }
        // Two are under way, and may be counted or not.
        budget.answered(now, &left(4, 60));
        claim(&mut budget, 1).unwrap();
        claim(&mut budget, 1).unwrap();
        assert_eq!(claim(&mut budget, 1), Err(Refusal::Until(now + Duration::from_mins(1))));
        // An older answer that arrives late gives nothing back; the last one tells exactly.
        budget.answered(now, &left(5, 60));
        assert!(claim(&mut budget, 2).is_err());
        for _ in 0..3 {
            budget.answered(now, &left(1, 60));
        }
        claim(&mut budget, 3).unwrap();
        assert!(claim(&mut budget, 3).is_err());
        claim(&mut budget, 61).unwrap();
    }

    #[test]
    fn a_pause_holds_for_everybody() {
        let mut budget = Budget::new(&[], 0, 500);
        let now = Instant::now();
        budget.pause(now + SPAN);
        budget.pause(now + SPAN / 2);
        for urgency in [Urgency::Read, Urgency::Action] {
            assert_eq!(budget.look(now, urgency), Err(Refusal::Until(now + SPAN)));
            assert_eq!(budget.look(now + SPAN, urgency), Ok(()));
        }
    }
}
