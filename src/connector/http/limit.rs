//! Turns: how many requests a system is sent, at once and in a while, and that actions go before reads.
//!
//! Where the connection has a keeper, a rate is shared by all processes of its store, and what was used is not forgotten with
//! the process. How many requests are under way at once, and what answers say is left, each process counts for itself.
//!
//! What does not live here: counting (`budget`; of all processes together, `ledger`).

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::header::{DATE, HeaderMap, HeaderName};
use tokio::sync::Notify;

use super::budget::{Budget, Headroom, Left, Rate, Refusal, Urgency};
use super::ledger::Terms;
use super::tally::{Tally, Tended};
use crate::connector::keep::{Keep, KeepError};

/// The longest that is waited for a turn; what would take longer ends, and comes again later.
const PATIENCE: Duration = Duration::from_mins(10);

/// The longest that an action waits: whoever wants it knows better when to try again.
const PATIENCE_OF_ACTIONS: Duration = Duration::from_mins(1);

/// The longest that is waited for a keeper that fails, and between two tries.
const PATIENCE_WITH_KEEPER: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(200);

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
    /// What is shared with other processes.
    terms: Terms,
    tended: OnceLock<Tended>,
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

/// Why no request may be sent, and none soon.
#[derive(Debug)]
pub enum NoTurn {
    /// The system allows none for so long.
    For(Duration),
    /// Nobody can tell what other processes sent.
    Unkept(KeepError),
}

/// A request that may be sent. It is under way until this is dropped.
#[derive(Debug)]
pub struct Turn<'a> {
    limit: &'a Limit,
    /// Where it is counted for all processes.
    tally: Option<&'a Tally>,
    urgency: Urgency,
    counted: bool,
}

/// An action that waits for its turn, before all reads.
struct Waiting<'a>(&'a Limit);

impl Limit {
    /// Turns for a system that allows so much; where there are no actions, nothing is left to them. `longest` is how long a
    /// request takes at the most.
    pub fn new(allowed: &Allowed, actions: bool, longest: Duration) -> Self {
        let reserved = if actions { allowed.reserved } else { 0 };
        let kept = super::budget::kept(allowed.at_once, reserved);
        let budget = Budget::new(&allowed.rates, allowed.told.len(), reserved);
        Self {
            at_once: allowed.at_once,
            reads_at_once: allowed.at_once - kept,
            told: allowed.told.clone(),
            terms: Terms { rates: allowed.rates.clone(), reserved, longest },
            tended: OnceLock::new(),
            state: Mutex::new(State { budget, under_way: 0, reads_under_way: 0, actions_waiting: 0 }),
            changed: Notify::new(),
        }
    }

    /// Waits until a request may be sent. An action is sent before every read that waits too.
    ///
    /// # Errors
    /// Why it would take too long.
    pub async fn turn(&self, urgency: Urgency, keep: &Keep) -> Result<Turn<'_>, NoTurn> {
        let patience = match urgency {
            Urgency::Action => PATIENCE_OF_ACTIONS,
            Urgency::Read => PATIENCE,
        };
        let tally = self.tally(keep);
        let _waiting = (urgency == Urgency::Action).then(|| Waiting::new(self));
        let begun = Instant::now();
        let mut failing = None;
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // What changes from here on is seen.
            changed.as_mut().enable();
            let now = Instant::now();
            match (self.claim(now, urgency, tally), tally) {
                (Ok(()), _) => return Ok(Turn { limit: self, tally, urgency, counted: false }),
                (Err(Refusal::Until(until)), _) if until - now > patience || now - begun > patience => {
                    return Err(NoTurn::For(until - now));
                }
                (Err(Refusal::Until(until)), _) => {
                    // Whichever comes first, it is looked again.
                    let _ = tokio::time::timeout_at(until.into(), changed).await;
                }
                (Err(Refusal::Unclaimed), Some(tally)) => match tally.claim(urgency).await {
                    Ok(pause) => {
                        failing = None;
                        if let Some(until) = pause {
                            self.state().budget.pause(until);
                        }
                    }
                    Err(error) if failing.get_or_insert(now).elapsed() > PATIENCE_WITH_KEEPER => {
                        return Err(NoTurn::Unkept(error));
                    }
                    Err(_) => tokio::time::sleep(AGAIN).await,
                },
                // Requests under way end: each has a time-out.
                (Err(Refusal::UntilAnswered | Refusal::Unclaimed), _) => changed.await,
            }
        }
    }

    /// Where requests are counted for all processes: there is a rate, and a keeper.
    fn tally(&self, keep: &Keep) -> Option<&Tally> {
        let (keeper, connection) = keep.keeper().filter(|_| !self.terms.rates.is_empty())?;
        Some(self.tended.get_or_init(|| Tended::new(keeper, connection, self.terms.clone())).tally())
    }

    fn claim(&self, now: Instant, urgency: Urgency, tally: Option<&Tally>) -> Result<(), Refusal> {
        let mut state = self.state();
        let reads = urgency == Urgency::Read;
        let behind = reads && (state.actions_waiting > 0 || state.reads_under_way >= self.reads_at_once);
        if behind || state.under_way >= self.at_once {
            return Err(Refusal::UntilAnswered);
        }
        state.budget.look(now, urgency)?;
        if let Some(tally) = tally {
            tally.take(now, urgency)?;
        }
        state.budget.claim(now, urgency)?;
        state.under_way += 1;
        state.reads_under_way += u32::from(reads);
        Ok(())
    }

    /// The system said that it wants no request for so long.
    pub fn pause(&self, wait: Duration) {
        let until = Instant::now() + wait.min(LONGEST);
        self.state().budget.pause(until);
        if let Some(tended) = self.tended.get() {
            tended.tally().pause(until);
        }
    }

    /// How long it takes until an action may be sent, where that is known and not now.
    pub fn wait(&self) -> Option<Duration> {
        let now = Instant::now();
        match self.state().budget.look(now, Urgency::Action) {
            Err(Refusal::Until(until)) => Some(until - now),
            _ => None,
        }
    }

    /// How much is left, of the rates for all processes together.
    pub fn headroom(&self) -> Vec<Headroom> {
        let mut headroom = self.state().budget.headroom(Instant::now());
        let shared = self.tended.get().map(|tended| tended.tally().left()).unwrap_or_default();
        for (own, shared) in headroom.iter_mut().zip(shared) {
            own.left = own.left.min(shared);
        }
        headroom
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
            let now = Instant::now();
            self.limit.state().budget.answered(now, left);
            if let Some(tally) = self.tally {
                tally.answered(now);
            }
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
