//! What an action in a system came to: the words in which transports speak to the order path.
//!
//! What does not live here: what follows from an outcome (`orders`).

use std::time::Duration;

/// How a system treats the same create twice; a manifest declares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateClass {
    /// The system refuses our reference twice: the create is repeated at once, a refusal as duplicate is success.
    Unique,
    /// Nothing takes effect later than `settle` after the attempt: wait, find, repeat.
    Bounded {
        /// The longest time after an attempt in which it can still take effect.
        settle: Duration,
    },
    /// An attempt can take effect at any time: not found means that a person decides.
    Open,
}

/// What a create came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// The system has it, under this number of its own.
    Accepted {
        /// The system's number.
        number: String,
    },
    /// Handed over; the answer comes later, as a record of a stream.
    Submitted,
    /// The system refuses it, in its own words: trying again changes nothing.
    Rejected {
        /// The system's own words.
        reason: String,
    },
    /// What an earlier attempt made was there; the system refuses the rest in its own words, and nothing is left of it. So
    /// no attempt is left that could take effect.
    Undone {
        /// The system's own words.
        reason: String,
    },
    /// Proven not to have been executed: it may be tried again.
    NotExecuted {
        /// Why.
        reason: String,
        /// Whether the whole connection is down, not only this request.
        connection_down: bool,
        /// When the system wants to be asked again, where it says so.
        retry_after: Option<Duration>,
    },
    /// Nobody can tell whether it was executed.
    Unknown {
        /// Why.
        reason: String,
    },
}

/// What a search by our own reference found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The system has it, under this number of its own.
    Accepted {
        /// The system's number.
        number: String,
    },
    /// It was handed over and waits for an answer.
    Submitted,
    /// It was there half made, the system refuses the rest in its own words, and nothing is left of it.
    Rejected {
        /// The system's own words.
        reason: String,
    },
    /// There are several, or it belongs to another customer.
    Doubtful {
        /// What was found.
        reason: String,
    },
    /// It is not there.
    Missing {
        /// Whether that proves that the attempt did not take effect so far.
        conclusive: bool,
    },
    /// The search itself failed; nothing follows from it.
    Failed {
        /// Why.
        reason: String,
        /// Whether the whole connection is down.
        connection_down: bool,
    },
}
