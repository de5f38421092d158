//! The one policy of trying again: ever longer waits with jitter, computed from what the store counts.

use std::time::Duration;

use backoff::backoff::Backoff as _;
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder};
use jiff::Timestamp;

use crate::config::Retry;
use crate::queue::clock::{after, before};

/// How much a wait may differ from its nominal length, so that orders that failed together do not come back together.
const JITTER: f64 = 0.2;

/// By how much each wait is longer than the one before.
const GROWTH: f64 = 2.0;

/// No wait grows any further after so many attempts: the ratio of the longest to the shortest possible wait is far
/// below two to this power.
const STEPS: u32 = 64;

/// When to try again, and when to give up.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    retry: Retry,
}

impl Policy {
    /// The policy of a connection.
    pub fn new(retry: Retry) -> Self {
        Self { retry }
    }

    /// How long to wait after the given number of attempts; the first wait is the shortest. Nothing is remembered
    /// between two calls.
    pub fn delay(&self, attempts: u32) -> Duration {
        let mut backoff: ExponentialBackoff = ExponentialBackoffBuilder::new()
            .with_initial_interval(self.retry.initial.duration())
            .with_max_interval(self.retry.max.duration())
            .with_multiplier(GROWTH)
            .with_randomization_factor(JITTER)
            .with_max_elapsed_time(None)
            .build();
        for _ in 1..attempts.min(STEPS) {
            backoff.next_backoff();
        }
        // Without a limit of elapsed time there is always a next one.
        backoff.next_backoff().unwrap_or(self.retry.max.duration()).min(self.retry.max.duration())
    }

    /// When to try again.
    pub fn next(&self, now: Timestamp, attempts: u32) -> Timestamp {
        after(now, self.delay(attempts))
    }

    /// Orders that are pursued since before this instant are given up.
    pub fn gives_up_before(&self, now: Timestamp) -> Timestamp {
        before(now, self.retry.give_up_after.duration())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(initial: &str, max: &str) -> Policy {
        let interval = |text: &str| text.parse().unwrap();
        Policy::new(Retry { initial: interval(initial), max: interval(max), give_up_after: interval("72h") })
    }

    #[test]
    fn waits_grow_from_the_first_to_the_longest() {
        let policy = policy("5s", "1h");
        for (attempts, nominal) in [(0, 5), (1, 5), (2, 10), (3, 20), (4, 40), (9, 1280)] {
            let wait = policy.delay(attempts).as_secs_f64();
            let nominal = f64::from(nominal);
            assert!((nominal * 0.79..=nominal * 1.21).contains(&wait), "{attempts}: {wait}");
        }
        for attempts in [20, 1000, u32::MAX] {
            let wait = policy.delay(attempts).as_secs_f64();
            assert!((3600.0 * 0.79..=3600.0).contains(&wait), "{attempts}: {wait}");
        }
    }

    #[test]
    fn orders_that_failed_together_do_not_come_back_together() {
        let policy = policy("1h", "1h");
        let waits: std::collections::HashSet<_> = (0..20).map(|_| policy.delay(1)).collect();
        assert!(waits.len() > 1);
    }

    #[test]
    fn an_order_is_given_up_in_time() {
        let now: Timestamp = "2026-01-04T00:00:00Z".parse().unwrap();
        assert_eq!(policy("5s", "1h").gives_up_before(now).to_string(), "2026-01-01T00:00:00Z");
    }
}
