//! How many requests a system is sent: how many at once, and how many in a while.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// How much a system allows.
#[derive(Debug)]
pub struct Limit {
    at_once: Arc<Semaphore>,
    rate: Option<Rate>,
    state: Mutex<State>,
}

/// So many requests in any span of so long.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// How many.
    pub requests: usize,
    /// In how long.
    pub per: Duration,
}

#[derive(Debug, Default)]
struct State {
    /// When the last requests were sent, at most as many as are allowed.
    sent: VecDeque<Instant>,
    /// Before when nothing is sent, since the system said so.
    not_before: Option<Instant>,
}

impl Limit {
    /// So many at once, and, where there is a rate, so many in a while.
    pub fn new(at_once: usize, rate: Option<Rate>) -> Self {
        Self { at_once: Arc::new(Semaphore::new(at_once)), rate, state: Mutex::default() }
    }

    /// Waits until a request may be sent. It is under way until what comes back is dropped.
    pub async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.at_once).acquire_owned().await.ok()?;
        while let Some(until) = self.claim() {
            tokio::time::sleep_until(until).await;
        }
        Some(permit)
    }

    /// Takes a turn; where there is none yet, when to look again.
    fn claim(&self) -> Option<Instant> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some(until) = state.not_before.filter(|until| *until > now) {
            return Some(until);
        }
        let Rate { requests, per } = self.rate?;
        while state.sent.front().is_some_and(|sent| *sent + per <= now) {
            state.sent.pop_front();
        }
        match state.sent.front() {
            Some(oldest) if state.sent.len() >= requests => Some(*oldest + per),
            _ => {
                state.sent.push_back(now);
                None
            }
        }
    }

    /// The system said that it wants no request for so long.
    pub fn pause(&self, wait: Duration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.not_before = state.not_before.max(Some(Instant::now() + wait));
    }
}
