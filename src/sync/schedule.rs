//! When a pull is due: every so often, and complete passes by cron on the connection's clocks. Pure.

use jiff::{SignedDuration, Timestamp};

use crate::config::values::{Cron, Interval, Zone};

/// When a pull is executed.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// How often changes are pulled.
    pub every: Option<Interval>,
    /// When everything is pulled.
    pub full: Option<Cron>,
    /// The zone of `full`.
    pub zone: Zone,
}

/// A moment at which a pull is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// When.
    pub at: Timestamp,
    /// Whether everything is pulled.
    pub full: bool,
}

impl Schedule {
    /// The next moment after `now`. `begun` is when the newest pull began in this process, `verified` when the source
    /// was verified last; without the former the first pull is due at once, and a complete pass that fell into a time
    /// in which the daemon did not run is made up for.
    pub fn next(&self, now: Timestamp, begun: Option<Timestamp>, verified: Option<Timestamp>) -> Option<Due> {
        let every = self.every.map(|every| match begun {
            Some(begun) => {
                Due { at: begun.saturating_add(length(every)).unwrap_or(Timestamp::MAX).max(now), full: false }
            }
            None => Due { at: now, full: false },
        });
        let full = self.full.as_ref().and_then(|cron| {
            let since = match (begun, verified) {
                (None, Some(verified)) => verified.min(now),
                (None, None) => return Some(Due { at: now, full: true }),
                (Some(_), _) => now,
            };
            let at = cron.next_after(since, &self.zone)?;
            Some(Due { at: at.max(now), full: true })
        });
        match (every, full) {
            // A complete pass stands for the incremental one of the same moment.
            (Some(every), Some(full)) => Some(if full.at <= every.at { full } else { every }),
            (every, full) => every.or(full),
        }
    }
}

fn length(interval: Interval) -> SignedDuration {
    SignedDuration::try_from(interval.duration()).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(every: Option<&str>, full: Option<&str>) -> Schedule {
        Schedule {
            every: every.map(|e| e.parse().unwrap()),
            full: full.map(|f| f.parse().unwrap()),
            zone: "Europe/Amsterdam".parse().unwrap(),
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_first_pull_is_due_at_once_and_then_every_so_often() {
        let schedule = schedule(Some("5m"), None);
        let now = at("2026-11-24T10:00:00Z");
        assert_eq!(schedule.next(now, None, None), Some(Due { at: now, full: false }));
        let next = schedule.next(at("2026-11-24T10:00:30Z"), Some(now), None).unwrap();
        assert_eq!(next.at, at("2026-11-24T10:05:00Z"));
        let late = at("2026-11-24T11:00:00Z");
        assert_eq!(schedule.next(late, Some(now), None).unwrap().at, late, "a long pull does not pile others up");
    }

    #[test]
    fn a_complete_pass_follows_the_clocks_of_the_zone() {
        let schedule = schedule(None, Some("0 3 * * *"));
        let begun = at("2026-11-24T10:00:00Z");
        let next = schedule.next(begun, Some(begun), None).unwrap();
        assert_eq!((next.at, next.full), (at("2026-11-25T02:00:00Z"), true));
    }

    #[test]
    fn a_complete_pass_that_was_missed_is_made_up_for() {
        let schedule = schedule(None, Some("0 3 * * *"));
        let now = at("2026-11-24T10:00:00Z");
        let verified = at("2026-11-23T10:00:00Z");
        assert_eq!(schedule.next(now, None, Some(verified)), Some(Due { at: now, full: true }));
        let today = at("2026-11-24T05:00:00Z");
        assert_eq!(schedule.next(now, None, Some(today)).unwrap().at, at("2026-11-25T02:00:00Z"));
        assert_eq!(schedule.next(now, None, None), Some(Due { at: now, full: true }), "never pulled");
    }

    #[test]
    fn the_earlier_of_both_is_next() {
        let both = schedule(Some("5m"), Some("0 3 * * *"));
        let begun = at("2026-11-25T01:57:00Z");
        let next = both.next(at("2026-11-25T01:58:00Z"), Some(begun), None).unwrap();
        assert_eq!((next.at, next.full), (at("2026-11-25T02:00:00Z"), true));
        assert_eq!(schedule(None, None).next(begun, None, None), None);
    }
}
