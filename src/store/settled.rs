//! What people did about dead letters: it stays as a trace.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::DeadLetter;

/// What a person did about a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settlement {
    /// Its message was published once more.
    Retried,
    /// It was dropped.
    Dropped,
}

impl Settlement {
    /// The name on the wire and in the store.
    pub fn name(self) -> &'static str {
        match self {
            Self::Retried => "retried",
            Self::Dropped => "dropped",
        }
    }

    /// The settlement of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Retried, Self::Dropped].into_iter().find(|settlement| settlement.name() == name)
    }
}

/// Who settled a dead letter, when, how and why.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Settled {
    /// How.
    #[serde(rename = "settled")]
    pub how: Settlement,
    /// When.
    #[serde(rename = "settled_at")]
    pub at: Timestamp,
    /// Who.
    #[serde(rename = "settled_by")]
    pub who: String,
    /// Why, where that was said.
    pub why: Option<String>,
}

/// A dead letter that was settled; it stays as a trace.
#[derive(Debug, Clone, PartialEq)]
pub struct SettledLetter {
    /// The letter.
    pub letter: DeadLetter,
    /// What was done about it.
    pub settled: Settled,
}
