//! What tells one recorded request from another, and in what two of them differ.

use reqwest::Method;
use serde_json::Value as Json;

use super::entry::{Body, Sent};
use super::mask::decoded;

/// How much of a value a message shows.
const SHOWN: usize = 60;

/// The differences that a message names.
const NAMED: usize = 4;

/// A request as it is recognised: by method, path, query and body.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    method: Method,
    path: String,
    /// By name.
    query: Vec<(String, String)>,
    body: Option<Body>,
}

impl Asked {
    /// What is recognised of a request.
    pub fn of(sent: &Sent) -> Self {
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        };
        let pairs = sent.address.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let mut query: Vec<(String, String)> = pairs.map(pair).collect();
        query.sort();
        let path = decoded(&sent.address.path().replace('+', "%2B"));
        Self { method: sent.method.clone(), path, query, body: sent.body.clone() }
    }

    /// How far another one is from this; the nearest has the smallest.
    pub fn distance(&self, other: &Self) -> (usize, bool, usize, usize) {
        let path = if self.path == other.path { 0 } else { strsim::levenshtein(&self.path, &other.path) + 1 };
        let lacks = |one: &Self, other: &Self| {
            let has = |name: &str| other.query.iter().any(|(known, _)| known == name);
            one.query.iter().filter(|(name, _)| !has(name)).count()
        };
        let names = lacks(self, other) + lacks(other, self);
        (path, self.method != other.method, names, self.differences(other).len())
    }

    /// In what a recorded one differs from this, in words.
    pub fn says(&self, recorded: &Self) -> String {
        let mut differences = self.differences(recorded);
        let more = differences.len().saturating_sub(NAMED);
        differences.truncate(NAMED);
        if more > 0 {
            differences.push(format!("{more} more"));
        }
        differences.join("; ")
    }

    fn differences(&self, recorded: &Self) -> Vec<String> {
        let mut found = Vec::new();
        if self.method != recorded.method {
            found.push(format!("the method is {} there and {} here", recorded.method, self.method));
        }
        if self.path != recorded.path {
            found.push(format!("the path is {} there and {} here", recorded.path, self.path));
        }
        let lacks = |there: &[(String, String)], pair: &&(String, String)| !there.contains(*pair);
        let gone: Vec<_> = recorded.query.iter().filter(|pair| lacks(&self.query, pair)).collect();
        let mut come: Vec<_> = self.query.iter().filter(|pair| lacks(&recorded.query, pair)).collect();
        for (name, there) in gone {
            match come.iter().position(|(other, _)| other == name) {
                Some(at) => {
                    let (_, here) = come.remove(at);
                    found.push(format!("{name} is '{}' there and '{}' here", cut(there), cut(here)));
                }
                None => found.push(format!("{name} is '{}' there and missing here", cut(there))),
            }
        }
        found.extend(come.iter().map(|(name, here)| format!("{name} is '{}' here and missing there", cut(here))));
        if self.body != recorded.body {
            match (&recorded.body, &self.body) {
                (Some(Body::Json(there)), Some(Body::Json(here))) => inside("", Some(there), Some(here), &mut found),
                (Some(_), None) => found.push("there is a body there and none here".to_owned()),
                (None, Some(_)) => found.push("there is a body here and none there".to_owned()),
                _ => found.push("the bodies differ".to_owned()),
            }
        }
        found
    }
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let query: Vec<String> = self.query.iter().map(|(name, value)| format!("{name}={}", cut(value))).collect();
        let sign = if query.is_empty() { "" } else { "?" };
        write!(f, "{} {}{sign}{}", self.method, self.path, query.join("&"))
    }
}

/// Where two bodies differ.
fn inside(at: &str, there: Option<&Json>, here: Option<&Json>, found: &mut Vec<String>) {
    if there == here {
        return;
    }
    let shown = |value: Option<&Json>| value.map_or_else(|| "missing".to_owned(), |value| cut(&value.to_string()));
    match (there, here) {
        (Some(Json::Object(old)), Some(Json::Object(new))) => {
            let added = new.keys().filter(|name| !old.contains_key(*name));
            for name in old.keys().chain(added) {
                inside(&format!("{at}/{name}"), old.get(name), new.get(name), found);
            }
        }
        (Some(Json::Array(old)), Some(Json::Array(new))) => {
            for index in 0..old.len().max(new.len()) {
                inside(&format!("{at}/{index}"), old.get(index), new.get(index), found);
            }
        }
        _ => found.push(format!("{at} of the body is {} there and {} here", shown(there), shown(here))),
    }
}

fn cut(text: &str) -> String {
    if text.chars().count() <= SHOWN { text.to_owned() } else { text.chars().take(SHOWN).chain(['…']).collect() }
}
