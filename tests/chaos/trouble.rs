//! What a request meets with at the ERP besides what it asks for, drawn from seed, order and attempt.

use std::time::Duration;

use super::draw::Draw;

/// Nothing that an ERP promises to have executed or given up by then takes effect later than so long after the attempt.
pub(crate) const SETTLE: Duration = Duration::from_secs(4);

/// How an ERP treats the same order twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Class {
    /// It refuses the second.
    Unique,
    /// It executes both, and nothing later than [`SETTLE`] after it was asked.
    Bounded,
    /// It executes both, at any time.
    Open,
}

impl Class {
    pub(crate) const ALL: [Self; 3] = [Self::Unique, Self::Bounded, Self::Open];

    /// The name of connection, shop and connector.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unique => "unique",
            Self::Bounded => "bounded",
            Self::Open => "open",
        }
    }

    /// As a manifest has it.
    pub(crate) fn declared(self) -> String {
        match self {
            Self::Bounded => format!("{{ bounded = \"{}s\" }}", SETTLE.as_secs()),
            _ => format!("\"{}\"", self.name()),
        }
    }
}

/// What an ERP is asked for about an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Create,
    Confirm,
    Find,
    Undo,
}

impl Step {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Confirm => "confirm",
            Self::Find => "find",
            Self::Undo => "undo",
        }
    }
}

/// What a request meets with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It is executed, and answered after the client has given up.
    Late(Duration),
    /// The connection is closed, after it was executed or before.
    Dropped { executed: bool },
    /// It is executed so much later, when the connection was closed or an error was answered long ago.
    Delayed(Duration),
    /// An error without a word about the order, after it was executed or before.
    Failed { status: u16, executed: bool },
    /// Too many requests, with or without a number of seconds to wait.
    Limited(Option<u64>),
    /// It is executed, and answered by what nobody can read.
    Garbage,
}

/// Whether an ERP has words against an order, whatever else happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    AtCreate,
    AtConfirm,
}

/// Why an ERP refuses an order, in its own words.
pub(crate) const REFUSAL: &str = "Credit limit exceeded";

impl Refusal {
    /// Drawn by order: about three in a hundred.
    pub(crate) fn of(seed: u64, order: &str) -> Option<Self> {
        let mut draw = Draw::of(seed, &["refusal", order]);
        draw.chance(3).then(|| draw.one_of(&[Self::AtCreate, Self::AtConfirm]))
    }
}

impl Trouble {
    /// Drawn by what is asked for, of which order, and for the how manyth time: later attempts meet with less, so that there is
    /// an end.
    pub(crate) fn of(seed: u64, class: Class, step: Step, order: &str, nth: usize) -> Option<Self> {
        let percents: &[usize] = match step {
            Step::Create => &[35, 30, 30, 20, 10, 5],
            Step::Confirm => &[20, 20, 15, 10, 5],
            Step::Find => &[15, 15, 10, 5],
            Step::Undo => &[30, 20, 5],
        };
        let mut draw = Draw::of(seed, &["trouble", class.name(), step.name(), order, &nth.to_string()]);
        if !draw.chance(percents.get(nth).copied().unwrap_or(0)) {
            return None;
        }
        let executed = draw.chance(60);
        Some(match (step, draw.below(20)) {
            (_, 0..=1) => Self::Late(draw.millis(1300, 2500)),
            (_, 2..=5) => Self::Dropped { executed },
            (Step::Create, 6..=11) => Self::Delayed(match class {
                // It is at it already when the repeat comes.
                Class::Unique => draw.millis(50, 2000),
                Class::Bounded => draw.millis(200, u64::try_from(SETTLE.as_millis()).unwrap() - 1500),
                Class::Open => draw.millis(200, 8000),
            }),
            (_, 6..=14) => Self::Failed { status: draw.one_of(&[500, 502, 503, 504]), executed },
            (_, 15..=16) => Self::Limited(draw.chance(50).then_some(1)),
            _ => Self::Garbage,
        })
    }
}
