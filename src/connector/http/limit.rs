//! Turns: how many requests a system is sent, at once and in a while, and that actions go before reads.
//!
//! What does not live here: counting (`budget`).

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::header::{DATE, HeaderMap, HeaderName};
use tokio::sync::Notify;

use super::budget::{Budget, Headroom, Left, Rate, Refusal, Urgency};

/// The longest that is waited for a turn; what would take longer ends, and comes again later.
const PATIENCE: Duration = Duration::from_mins(10);

/// The longest that an action waits: whoever wants it knows better when to try again.
const PATIENCE_OF_ACTIONS: Duration = Duration::from_mins(1);

/// The longest that a system is believed when it says when to ask again.
pub const LONGEST: Duration = Duration::from_hours(24);

/// Numbers from here on are seconds since 1970, not seconds from now.
const EPOCH: u64 = 100_000_000;

/// Numbers from here on are milliseconds since 1970.
const EPOCH_MILLISECONDS: u64 = 100_000_000_000;

/// How much a system allows, as a manifest says it.
#[derive(Debug, Clone)]
pub struct Allowed {
    /// Requests at once.
    pub at_once: u32,
    /// Requests in spans of time.
    pub rates: Vec<Rate>,
    /// The share that is left to actions, in hundredths of a percent.
    pub reserved: u32,
    /// The headers that say how much is left, and until when.
    pub told: Vec<(HeaderName, HeaderName)>,
}

/// Gives out turns.
#[derive(Debug)]
pub struct Limit {
    at_once: u32,
    /// How many of them may be reads.
    reads_at_once: u32,
    told: Vec<(HeaderName, HeaderName)>,
    state: Mutex<State>,
    /// Something ended that others may be waiting for.
    changed: Notify,
}

#[derive(Debug)]
struct State {
    budget: Budget,
    under_way: u32,
    reads_under_way: u32,
    actions_waiting: u32,
}

/// A request that may be sent. It is under way until this is dropped.
#[derive(Debug)]
pub struct Turn<'a> {
    limit: &'a Limit,
    urgency: Urgency,
    counted: bool,
}

/// An action that waits for its turn, before all reads.
struct Waiting<'a>(&'a Limit);

impl Limit {
    /// Turns for a system that allows so much; where there are no actions, nothing is left to them.
    pub fn new(allowed: &Allowed, actions: bool) -> Self {
        let reserved = if actions { allowed.reserved } else { 0 };
        let kept = super::budget::kept(allowed.at_once, reserved);
        let budget = Budget::new(&allowed.rates, allowed.told.len(), reserved);
        Self {
            at_once: allowed.at_once,
            reads_at_once: allowed.at_once - kept,
            told: allowed.told.clone(),
            state: Mutex::new(State { budget, under_way: 0, reads_under_way: 0, actions_waiting: 0 }),
            changed: Notify::new(),
        }
    }

    /// Waits until a request may be sent. An action is sent before every read that waits too.
    ///
    /// # Errors
    /// How long it would take, where that is too long.
    pub async fn turn(&self, urgency: Urgency) -> Result<Turn<'_>, Duration> {
        let patience = match urgency {
            Urgency::Action => PATIENCE_OF_ACTIONS,
            Urgency::Read => PATIENCE,
        };
        let _waiting = (urgency == Urgency::Action).then(|| Waiting::new(self));
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // What changes from here on is seen.
            changed.as_mut().enable();
            let now = Instant::now();
            match self.claim(now, urgency) {
                Ok(()) => return Ok(Turn { limit: self, urgency, counted: false }),
                Err(Refusal::Until(until)) if until - now > patience => return Err(until - now),
                Err(Refusal::Until(until)) => {
                    // Whichever comes first, it is looked again.
                    let _ = tokio::time::timeout_at(until.into(), changed).await;
                }
                // Requests under way end: each has a time-out.
                Err(Refusal::UntilAnswered) => changed.await,
            }
        }
    }

    fn claim(&self, now: Instant, urgency: Urgency) -> Result<(), Refusal> {
        let mut state = self.state();
        let reads = urgency == Urgency::Read;
        let behind = reads && (state.actions_waiting > 0 || state.reads_under_way >= self.reads_at_once);
        if behind || state.under_way >= self.at_once {
            return Err(Refusal::UntilAnswered);
        }
        state.budget.claim(now, urgency)?;
        state.under_way += 1;
        state.reads_under_way += u32::from(reads);
        Ok(())
    }

    /// The system said that it wants no request for so long.
    pub fn pause(&self, wait: Duration) {
        self.state().budget.pause(Instant::now() + wait.min(LONGEST));
    }

    /// How long it takes until an action may be sent, where that is known and not now.
    pub fn wait(&self) -> Option<Duration> {
        let now = Instant::now();
        match self.state().budget.look(now, Urgency::Action) {
            Err(Refusal::Until(until)) => Some(until - now),
            _ => None,
        }
    }

    /// How much is left.
    pub fn headroom(&self) -> Vec<Headroom> {
        self.state().budget.headroom(Instant::now())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// The answer has begun to arrive: by now the system has counted the request.
    pub fn answered(&mut self, headers: &HeaderMap) {
        let left: Vec<Option<Left>> =
            self.limit.told.iter().map(|(remaining, reset)| left(headers, remaining, reset)).collect();
        self.count(&left);
    }

    fn count(&mut self, left: &[Option<Left>]) {
        if !self.counted {
            self.counted = true;
            self.limit.state().budget.answered(Instant::now(), left);
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // What was given up may have arrived.
        self.count(&[]);
        let mut state = self.limit.state();
        state.under_way -= 1;
        state.reads_under_way -= u32::from(self.urgency == Urgency::Read);
        drop(state);
        self.limit.changed.notify_waiters();
    }
}

impl<'a> Waiting<'a> {
    fn new(limit: &'a Limit) -> Self {
        limit.state().actions_waiting += 1;
        Self(limit)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state().actions_waiting -= 1;
        self.0.changed.notify_waiters();
    }
}

/// What a system's clock said as it answered, where it tells it.
pub fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let date = headers.get(DATE)?.to_str().ok()?;
    jiff::fmt::rfc2822::parse(date.trim()).ok().map(|date| date.timestamp())
}

/// What an answer's headers say is left.
fn left(headers: &HeaderMap, remaining: &HeaderName, reset: &HeaderName) -> Option<Left> {
    let text = |name: &HeaderName| headers.get(name)?.to_str().ok().map(str::trim);
    let remaining = text(remaining)?.parse().ok()?;
    // A number of seconds may have a fraction; the whole ones are enough.
    let reset = text(reset)?.split('.').next()?.parse::<u64>().ok()?;
    let wait = if reset < EPOCH {
        // Seconds are told whole; the rest of the last one counts.
        Duration::from_secs(reset + 1)
    } else {
        let milliseconds = if reset < EPOCH_MILLISECONDS { reset * 1000 } else { reset };
        let at = Timestamp::from_millisecond(i64::try_from(milliseconds).ok()?).ok()?;
        // By the system's own clock, where it tells it.
        let now = date(headers).unwrap_or_else(Timestamp::now);
        at.duration_since(now).try_into().unwrap_or(Duration::ZERO)
    };
    Some(Left { remaining, wait: wait.min(LONGEST) })
}
