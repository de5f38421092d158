//! Answers, and what they mean: by the rules of a manifest, and otherwise by their status.
//!
//! What does not live here: sending requests (`client`), and what follows from a meaning (`pages`, `action`).

use std::cell::OnceCell;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, LOCATION, RETRY_AFTER};

use super::limit::LONGEST;
use super::manifest::{ErrorFile, Meaning};
use crate::config::KeyPath;
use crate::connector::check::Checker;
use crate::expression::{Context, Expression, Fields};
use crate::record::{Map, Value};

/// The variables of a rule's condition.
pub const NAMES: &[&str] = &["settings", "answer"];

/// What some systems put before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// How much of an answer's text a message shows.
const SHOWN: usize = 300;

/// An answer, read to its end.
#[derive(Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// Whether the system said that it has it already.
    pub duplicate: bool,
}

/// Why a request brought no answer that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nothing was sent: the system cannot be reached, or the login does not work.
    #[error("{0}")]
    Unreachable(String),
    /// It was sent, and nobody can tell whether it was executed.
    #[error("{reason}")]
    Broken {
        /// Why.
        reason: String,
        /// When the system wants to be asked again, where it says so.
        after: Option<Duration>,
    },
    /// It was not executed, since there were too many before it.
    #[error("{reason}")]
    Limited {
        /// Why.
        reason: String,
        /// When the system wants to be asked again, where it says so.
        after: Option<Duration>,
    },
    /// The system refuses the login.
    #[error("{0}")]
    Unauthorised(String),
    /// The system refuses what it was sent.
    #[error("{reason}")]
    Refused {
        /// What happened.
        reason: String,
        /// The system's own words.
        words: Option<String>,
    },
    /// The system refuses it to this user.
    #[error("{0}")]
    Forbidden(String),
    /// Nothing was executed, and nothing works until a person mends it.
    #[error("{0}")]
    Fatal(String),
    /// It may have been executed, and the same again would bring the same answer, which cannot be used.
    #[error("{0}")]
    Unusable(String),
}

/// What a rule asks of an answer, and what the answer means then.
#[derive(Debug)]
pub struct Rule {
    status: Option<Vec<u16>>,
    when: Option<Expression>,
    text: Option<String>,
    header: Option<(String, String)>,
    means: Meaning,
}

/// Tells what answers mean.
#[derive(Debug, Default)]
pub struct Judge {
    rules: Vec<Rule>,
    /// The paths to the system's own words.
    message: Vec<Vec<String>>,
}

impl Judge {
    /// Compiles the rules of a manifest; nothing with a problem.
    pub fn compile(checker: &mut Checker, at: &KeyPath, rules: &[ErrorFile], message: &[String]) -> Option<Self> {
        let mut compiled = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            let at = at.key("error").index(index);
            if rule.status.is_none() && rule.when.is_none() && rule.text.is_none() && rule.header.is_none() {
                let hint = "say when it applies: by `status`, `when`, `text` or `header`";
                checker.refuse(&at, "this rule would apply to every answer", Some(hint));
                continue;
            }
            let when = match &rule.when {
                Some(when) => match checker.expression(&at.key("when"), when, Fields::Known(&[]), NAMES) {
                    Some(when) => Some(when),
                    None => continue,
                },
                None => None,
            };
            let header = rule.header.as_ref().map(|header| {
                let (name, text) = header.split_once(':').unwrap_or((header, ""));
                (name.trim().to_owned(), text.trim().to_owned())
            });
            compiled.push(Rule {
                status: rule.status.clone(),
                when,
                text: rule.text.clone(),
                header,
                means: rule.means,
            });
        }
        let message = message.iter().map(|path| path.split('/').map(str::to_owned).collect()).collect();
        (compiled.len() == rules.len()).then_some(Self { rules: compiled, message })
    }

    /// What an answer means.
    pub fn judge(&self, answer: &Answer, settings: &Value, zone: &jiff::tz::TimeZone) -> Meaning {
        // Most answers need no look into their body.
        let body = OnceCell::new();
        let holds = |when: &Expression| {
            let names = [("settings", settings), ("answer", body.get_or_init(|| answer.value()))];
            let record = Map::default();
            // A condition that cannot be judged, since the body has another form, does not hold.
            when.condition(&Context { record: (&record).into(), names: &names, zone }).unwrap_or(false)
        };
        self.rules
            .iter()
            .find(|rule| rule.applies(answer) && rule.when.as_ref().is_none_or(holds))
            .map_or_else(|| by_status(answer), |rule| rule.means)
    }

    /// The system's own words in an answer.
    fn words(&self, answer: &Answer) -> Option<String> {
        let body = answer.value();
        self.message.iter().find_map(|path| at_path(&body, path).and_then(text_of))
    }

    /// The failure that an answer is; nothing where it is a success. `what` names the request, and `mask` hides what nobody
    /// may see.
    pub fn failure(
        &self,
        what: &str,
        answer: &Answer,
        meaning: Meaning,
        mask: impl Fn(&str) -> String,
    ) -> Option<Failure> {
        if matches!(meaning, Meaning::Success | Meaning::Duplicate) {
            return None;
        }
        if let Some(to) = answer.redirected() {
            let reason = format!(
                "{what} was answered {}, which leads to {}; redirects are not followed: give the connection the address \
                 that answers itself",
                answer.status,
                mask(&to)
            );
            return Some(Failure::Unusable(reason));
        }
        // What is hidden is hidden before anything is cut off.
        let words = self.words(answer).map(|words| short(&mask(&words)));
        let said = words.clone().unwrap_or_else(|| short(&mask(&answer.shown())));
        let reason = format!(
            "{what} was answered {}{}",
            answer.status,
            if said.is_empty() { said } else { format!(": {said}") }
        );
        let after = answer.retry_after();
        Some(match meaning {
            Meaning::Success | Meaning::Duplicate => return None,
            Meaning::Retry => Failure::Broken { reason, after },
            Meaning::RateLimited => Failure::Limited { reason, after },
            Meaning::RefreshAuth => Failure::Unauthorised(format!("{reason}; look at the connection's credentials")),
            Meaning::Reject => Failure::Refused { reason, words },
            Meaning::Fatal if answer.status == StatusCode::FORBIDDEN => Failure::Forbidden(reason),
            Meaning::Fatal => Failure::Fatal(reason),
        })
    }
}

impl Rule {
    /// Whether it applies, but for its condition.
    fn applies(&self, answer: &Answer) -> bool {
        self.status.as_ref().is_none_or(|status| status.contains(&answer.status.as_u16()))
            && self.text.as_ref().is_none_or(|text| contains(&answer.body, text.as_bytes()))
            && self.header.as_ref().is_none_or(|(name, text)| {
                answer.headers.get(name).and_then(|value| value.to_str().ok()).is_some_and(|value| value.contains(text))
            })
    }
}

impl Answer {
    /// The body as a value where it is JSON, otherwise null.
    pub fn value(&self) -> Value {
        self.json().unwrap_or_default()
    }

    /// The body where it is JSON.
    pub fn json(&self) -> Option<Value> {
        let text = self.body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&self.body);
        serde_json::from_slice(text).ok().map(Value::from_json)
    }

    /// When the system wants to be asked again: seconds, or an instant (RFC 9110, section 10.2.3).
    pub fn retry_after(&self) -> Option<Duration> {
        let text = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        let wait = if let Ok(seconds) = text.parse::<u64>() {
            Duration::from_secs(seconds)
        } else {
            let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            at.duration_since(Timestamp::now()).try_into().unwrap_or(Duration::ZERO)
        };
        Some(wait.min(LONGEST))
    }

    /// The beginning of the body, for messages; of a page of HTML its title.
    fn shown(&self) -> String {
        let text = String::from_utf8_lossy(self.body.get(..4096).unwrap_or(&self.body)).into_owned();
        let title = text.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>"));
        title.map_or_else(|| text.clone(), |(title, _)| title.to_owned())
    }

    /// Where a redirect leads, without its query.
    fn redirected(&self) -> Option<String> {
        if !self.status.is_redirection() {
            return None;
        }
        let to = self.headers.get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or("nowhere");
        Some(short(to.split(['?', '#']).next().unwrap_or_default()))
    }
}

fn by_status(answer: &Answer) -> Meaning {
    match answer.status.as_u16() {
        200..=299 => Meaning::Success,
        401 => Meaning::RefreshAuth,
        429 => Meaning::RateLimited,
        408 | 500..=599 => Meaning::Retry,
        300..=399 | 403 => Meaning::Fatal,
        _ => Meaning::Reject,
    }
}

/// The value at a path of names; numbers are places in a list.
pub fn at_path<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, step| match value {
        Value::Map(map) => map.get(step),
        Value::List(items) => items.get(step.parse::<usize>().ok()?),
        _ => None,
    })
}

/// A value as a message shows it; lists of texts line by line.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::List(items) => {
            let texts: Vec<String> = items.iter().filter_map(text_of).collect();
            (!texts.is_empty()).then(|| texts.join("; "))
        }
        _ => None,
    }
}

/// A text on one line, of which the beginning counts.
pub fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let printable: String = line.chars().filter(|c| !c.is_control()).collect();
    if printable.chars().count() <= SHOWN { printable } else { printable.chars().take(SHOWN).chain(['…']).collect() }
}

fn contains(body: &[u8], text: &[u8]) -> bool {
    body.windows(text.len().max(1)).any(|window| window == text)
}
