//! The departures of a value from a schema, and how they are put into words.
//!
//! What does not live here: finding them (`schema`).

use serde_json::{Map, Value};

use super::place::KeyPath;
use super::suggest::{nearest, one_of};

/// One departure from the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The value or key concerned; for a missing key the path it would have.
    pub path: KeyPath,
    /// Whether the key, its absence or its value is wrong.
    pub about: About,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// What a [`Violation`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// A key that must not be there.
    Key,
    /// A key that must be there.
    Missing,
    /// The value.
    Value,
}

pub(super) fn violation(path: &KeyPath, about: About, message: impl Into<String>) -> Violation {
    Violation { path: path.clone(), about, message: message.into(), hint: None }
}

pub(super) fn unknown_key<'a>(
    path: &KeyPath,
    key: &str,
    names: impl Iterator<Item = &'a str>,
    members: &Map<String, Value>,
) -> Violation {
    let mut unknown = violation(path, About::Key, format!("unknown key `{key}`"));
    // A key that is already given was not what this one meant.
    let free: Vec<&str> = names.filter(|name| !members.contains_key(*name)).collect();
    unknown.hint = match nearest(key, free.iter().copied()) {
        Some(near) => Some(format!("did you mean `{near}`?")),
        None if free.is_empty() => None,
        None => Some(format!("the other keys possible here: {}", free.join(", "))),
    };
    unknown
}

pub(super) fn wrong_type(path: &KeyPath, expected: &[&str], value: &Value) -> Violation {
    let names: Vec<&str> = expected.iter().filter(|name| **name != "null").map(|name| in_words(name)).collect();
    let expected_words = match names.split_last() {
        None => "nothing".to_owned(),
        Some((only, [])) => (*only).to_owned(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    };
    let found = match value {
        Value::Number(number) if expected.contains(&"integer") => format!("{number}"),
        _ => in_words(type_name(value)).to_owned(),
    };
    let mut wrong = violation(path, About::Value, format!("expected {expected_words}, found {found}"));
    wrong.hint = match value {
        Value::Number(_) | Value::Bool(_) if expected.contains(&"string") => {
            Some(format!("put it in quotes: \"{value}\""))
        }
        Value::String(text)
            if expected.iter().any(|name| ["integer", "number", "boolean"].contains(name))
                && serde_json::from_str::<Value>(text)
                    .is_ok_and(|bare| expected.iter().any(|name| is_of_type(&bare, name))) =>
        {
            Some(format!("write it without quotes: {text}"))
        }
        Value::String(text) if expected == ["array"] => Some(format!("put it in brackets: [\"{text}\"]")),
        _ => None,
    };
    wrong
}

pub(super) fn not_allowed(path: &KeyPath, allowed: &[&Value], value: &Value) -> Violation {
    let words: Vec<String> = allowed
        .iter()
        .filter(|word| !word.is_null())
        .map(|word| word.as_str().map_or_else(|| word.to_string(), str::to_owned))
        .collect();
    let given = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let list = one_of(words.iter().map(String::as_str));
    let mut wrong = violation(path, About::Value, format!("`{given}` is not possible here; use {list}"));
    wrong.hint = nearest(&given, words.iter().map(String::as_str)).map(|near| format!("did you mean `{near}`?"));
    wrong
}

pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

pub(super) fn same_type(a: &Value, b: &Value) -> bool {
    type_name(a) == type_name(b)
}

pub(super) fn is_of_type(value: &Value, name: &str) -> bool {
    match (value, name) {
        (Value::Number(number), "integer") => !number.as_str().contains(['.', 'e', 'E']),
        _ => type_name(value) == name,
    }
}

fn in_words(type_name: &str) -> &str {
    match type_name {
        "null" => "nothing",
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        "string" => "a text",
        "array" => "a list",
        "object" => "a table",
        other => other,
    }
}

pub(super) fn first_sentence(description: &str) -> String {
    let paragraph = description.split("\n\n").next().unwrap_or_default().replace('\n', " ");
    let sentence = paragraph.split_inclusive(". ").next().unwrap_or_default();
    sentence.trim().trim_end_matches('.').to_owned()
}
