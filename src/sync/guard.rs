//! The guard: whether a run's differences may be applied, or wait for a person. Pure.

use crate::config::Guard;
use crate::store::RunCounts;

/// What the guard says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The differences may be applied.
    Apply,
    /// The differences wait for approval, for this reason.
    Hold(String),
}

/// Judges a run by its counts. `stored` is how many parts of the source were alive before it.
///
/// Every run is judged, complete and incremental; only a first load is exempt. Shares below the floor do not count,
/// but a complete pass that read nothing is held whatever is stored.
pub fn judge(guard: &Guard, counts: &RunCounts, stored: u64, complete: bool) -> Verdict {
    let mut reasons = Vec::new();
    if complete && counts.read == 0 && stored > 0 {
        reasons.push(format!("the source has no records at all, {stored} are stored"));
    }
    let shares =
        [("delete", "deletes", counts.deleted, guard.delete), ("change", "changes", counts.updated, guard.change)];
    for (key, word, part, share) in shares {
        if part >= guard.floor && share.is_exceeded_by(part, stored) {
            reasons.push(format!("it {word} {part} of {stored} records, more than guard.{key} = {share} allows"));
        }
    }
    if counts.price_jumps >= guard.floor.max(1) {
        let most = guard.price_change;
        reasons.push(format!(
            "{} prices change by more than guard.price_change = {most} or become zero, and guard.floor is {}",
            counts.price_jumps, guard.floor
        ));
    }
    if reasons.is_empty() { Verdict::Apply } else { Verdict::Hold(reasons.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(counts: RunCounts, stored: u64, complete: bool) -> Option<String> {
        match judge(&Guard::default(), &counts, stored, complete) {
            Verdict::Apply => None,
            Verdict::Hold(reason) => Some(reason),
        }
    }

    #[test]
    fn an_empty_answer_never_empties_the_shop() {
        let counts = RunCounts { deleted: 3, ..RunCounts::default() };
        assert!(held(counts, 3, true).unwrap().contains("no records at all"));
        assert_eq!(held(RunCounts::default(), 0, true), None);
        assert_eq!(held(RunCounts::default(), 3, false), None, "an incremental run may find nothing");
    }

    #[test]
    fn shares_count_from_the_floor_on() {
        let deletes = |deleted| RunCounts { read: 1000, deleted, ..RunCounts::default() };
        assert_eq!(held(deletes(50), 1000, true), None);
        assert!(held(deletes(51), 1000, true).unwrap().contains("guard.delete"));
        assert_eq!(held(deletes(19), 19, false), None, "below the floor");
        assert!(held(deletes(20), 20, false).is_some(), "explicit deletes count too");
        let changes = |updated| RunCounts { read: 1000, updated, ..RunCounts::default() };
        assert_eq!(held(changes(400), 1000, false), None);
        assert!(held(changes(401), 1000, false).unwrap().contains("guard.change"));
    }

    #[test]
    fn many_price_jumps_are_held_and_one_is_not() {
        let jumps = |price_jumps| RunCounts { read: 9, updated: price_jumps, price_jumps, ..RunCounts::default() };
        assert_eq!(held(jumps(1), 1000, true), None);
        assert!(held(jumps(20), 1000, true).unwrap().contains("guard.price_change"));
    }
}
