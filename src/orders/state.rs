//! The states of an order and the table of its transitions, as pure code.
//!
//! Every change of an order's place is an [`Event`] that the table permits; [`change`] makes the store's
//! compare-and-set of it and refuses what is not in the table.

use jiff::Timestamp;

use crate::store::{Advance, AttemptCount, OrderState, Step, StoredOrder};

/// What can happen to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// Intake finds nothing in the way.
    Queue,
    /// Intake finds that a person has to let it through.
    Hold,
    /// It is turned away before it was ever sent.
    Refuse,
    /// A person lets a held order through.
    Approve,
    /// A person or the shop calls it off.
    Cancel,
    /// An attempt begins.
    Attempt,
    /// The ERP has it under a number; or a person says so.
    Accepted,
    /// It was handed over, and the answer comes later.
    Submitted,
    /// The ERP refuses it.
    Rejected,
    /// The attempt is proven not to have been executed.
    NotExecuted,
    /// Nobody can tell whether the attempt was executed.
    Doubt,
    /// A person has to find out what became of it.
    Review,
    /// Too much time has passed.
    GiveUp,
    /// A person has it taken up again; what became of earlier attempts is found out first.
    Retry,
    /// A person has it taken up again, and it was never sent.
    Requeue,
    /// The ERP calls it off.
    CancelledByErp,
    /// The store may be older than the ERP: it was restored from a backup, or the ERP knows more than it.
    Recover,
}

impl Event {
    /// Every event.
    pub const ALL: [Self; 17] = [
        Self::Queue,
        Self::Hold,
        Self::Refuse,
        Self::Approve,
        Self::Cancel,
        Self::Attempt,
        Self::Accepted,
        Self::Submitted,
        Self::Rejected,
        Self::NotExecuted,
        Self::Doubt,
        Self::Review,
        Self::GiveUp,
        Self::Retry,
        Self::Requeue,
        Self::CancelledByErp,
        Self::Recover,
    ];
}

/// A transition that the table does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an order that is {from} cannot take the step {event:?}")]
pub struct NotPermitted {
    /// The state the order is in.
    pub from: OrderState,
    /// What was to happen.
    pub event: Event,
}

/// The state that follows.
///
/// # Errors
/// [`NotPermitted`] where the table has no such transition.
pub fn next(from: OrderState, event: Event) -> Result<OrderState, NotPermitted> {
    use OrderState as S;
    let to = match (from, event) {
        (S::Received, Event::Hold) => S::Held,
        (S::Received, Event::Queue)
        | (S::Held, Event::Approve)
        | (S::Sending, Event::NotExecuted)
        | (S::Dead, Event::Requeue) => S::Queued,
        (S::Queued | S::Unknown, Event::Attempt) => S::Sending,
        (S::Sending | S::Unknown, Event::Submitted) => S::Submitted,
        (S::Sending, Event::Doubt)
        | (S::NeedsReview | S::Rejected | S::Dead, Event::Retry)
        | (S::Held | S::Queued | S::Sending | S::Submitted, Event::Recover) => S::Unknown,
        (S::Submitted | S::Unknown, Event::Review) => S::NeedsReview,
        (S::Sending | S::Submitted | S::Unknown | S::NeedsReview, Event::Accepted) => S::Accepted,
        (S::Received | S::Held, Event::Refuse) | (S::Sending | S::Submitted | S::Unknown, Event::Rejected) => {
            S::Rejected
        }
        (S::Held | S::Queued | S::NeedsReview | S::Dead, Event::Cancel) | (S::Accepted, Event::CancelledByErp) => {
            S::Cancelled
        }
        (S::Queued | S::Unknown, Event::GiveUp) => S::Dead,
        _ => return Err(NotPermitted { from, event }),
    };
    Ok(to)
}

/// A change of an order's place through one or several events, each with its cause, as the store takes it: one
/// compare-and-set on the order as it was read. What else changes is set on the result.
///
/// # Errors
/// [`NotPermitted`] for the first event that the table does not have.
pub fn change<'a>(
    order: &StoredOrder,
    events: impl IntoIterator<Item = (Event, &'a str)>,
    who: &str,
    at: Timestamp,
) -> Result<Advance, NotPermitted> {
    let mut state = order.state;
    let mut steps = Vec::new();
    for (event, cause) in events {
        state = next(state, event)?;
        steps.push(Step { to: state, cause: cause.to_owned() });
    }
    Ok(Advance {
        id: order.id.clone(),
        from: order.state,
        generation: order.generation,
        steps,
        at,
        who: who.to_owned(),
        attempts: AttemptCount::Keep,
        reason: None,
        erp_number: None,
        submitted_at: None,
        pursued_since: None,
        publish_at: None,
        calls: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// From, to; recovering is not part of it.
    fn table() -> BTreeSet<(OrderState, OrderState)> {
        use OrderState as S;
        let rows: [(S, &[S]); 10] = [
            (S::Received, &[S::Held, S::Queued, S::Rejected]),
            (S::Held, &[S::Queued, S::Cancelled, S::Rejected]),
            (S::Queued, &[S::Sending, S::Cancelled, S::Dead]),
            (S::Sending, &[S::Accepted, S::Submitted, S::Rejected, S::Queued, S::Unknown]),
            (S::Submitted, &[S::Accepted, S::Rejected, S::NeedsReview]),
            (S::Unknown, &[S::Sending, S::Submitted, S::Accepted, S::Rejected, S::NeedsReview, S::Dead]),
            (S::NeedsReview, &[S::Accepted, S::Unknown, S::Cancelled]),
            (S::Dead, &[S::Queued, S::Unknown, S::Cancelled]),
            (S::Rejected, &[S::Unknown]),
            (S::Accepted, &[S::Cancelled]),
        ];
        rows.iter().flat_map(|(from, to)| to.iter().map(|to| (*from, *to))).collect()
    }

    #[test]
    fn the_events_reach_the_table_and_no_more() {
        let mut reached = BTreeSet::new();
        for from in OrderState::ALL {
            for event in Event::ALL {
                if let Ok(to) = next(from, event)
                    && event != Event::Recover
                {
                    reached.insert((from, to));
                }
            }
        }
        assert_eq!(reached, table());
    }

    #[test]
    fn recovering_sends_what_is_open_through_unknown() {
        for from in OrderState::ALL {
            let open = ["held", "queued", "sending", "submitted"].contains(&from.name());
            assert_eq!(next(from, Event::Recover).ok(), open.then_some(OrderState::Unknown), "{from}");
        }
    }

    type Way = [(Event, OrderState)];

    /// Walks every sequence of events up to a length, and shows each prefix of states to a check.
    fn walk(way: &mut Vec<(Event, OrderState)>, length: usize, check: &mut dyn FnMut(&Way)) {
        check(way);
        if way.len() == length {
            return;
        }
        let from = way.last().map_or(OrderState::Received, |(_, state)| *state);
        for event in Event::ALL {
            if let Ok(to) = next(from, event) {
                way.push((event, to));
                walk(way, length, check);
                way.pop();
            }
        }
    }

    #[test]
    fn no_sequence_repeats_an_attempt_without_proof_or_doubt() {
        let mut sequences = 0_u64;
        walk(&mut Vec::new(), 11, &mut |way| {
            sequences += 1;
            let Some((Event::Attempt, _)) = way.last() else { return };
            let earlier = &way[..way.len() - 1];
            let Some(attempt) = earlier.iter().rposition(|(event, _)| *event == Event::Attempt) else { return };
            let since = &earlier[attempt + 1..];
            let proven = since.iter().any(|(event, _)| *event == Event::NotExecuted);
            let doubted = since.iter().any(|(_, state)| *state == OrderState::Unknown);
            assert!(proven || doubted, "{way:?}");
        });
        assert!(sequences > 100_000, "{sequences}");
    }

    #[test]
    fn no_sequence_cancels_what_may_be_on_its_way_or_leaves_an_order_without_an_end() {
        let cancelled = |from| next(from, Event::Cancel).is_ok();
        assert!(
            !cancelled(OrderState::Sending) && !cancelled(OrderState::Unknown) && !cancelled(OrderState::Submitted)
        );
        // From every state but the last ones there is a way to an end.
        for from in OrderState::ALL {
            let mut reached = BTreeSet::from([from]);
            loop {
                let before = reached.len();
                let more: Vec<_> =
                    reached.iter().flat_map(|s| Event::ALL.into_iter().filter_map(|e| next(*s, e).ok())).collect();
                reached.extend(more);
                if reached.len() == before {
                    break;
                }
            }
            assert!(reached.contains(&OrderState::Cancelled), "{from}");
            assert!(from == OrderState::Cancelled || reached.contains(&OrderState::Accepted), "{from}");
        }
    }

    #[test]
    fn a_step_that_is_not_in_the_table_is_refused() {
        assert_eq!(
            next(OrderState::Unknown, Event::Cancel),
            Err(NotPermitted { from: OrderState::Unknown, event: Event::Cancel })
        );
        assert_eq!(next(OrderState::Cancelled, Event::Retry).unwrap_err().from, OrderState::Cancelled);
    }
}
