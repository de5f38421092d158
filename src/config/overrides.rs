//! Environment variables that override keys of the configuration: `TRADEBRIDGE__STORE__URL` for
//! `store.url`. A table of a list is named by its `name`, a sync by its connection and entity.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::document::Document;
use super::place::{KeyPath, Problem, Step};
use super::schema::{resolve, types};
use super::suggest::nearest;

/// What every overriding variable begins with.
const PREFIX: &str = "TRADEBRIDGE__";

/// Writes every overriding variable into the document, before it is checked. A variable that names
/// no key is a problem.
pub(super) fn apply(document: &mut Document, schema: &Value, variables: &BTreeMap<String, String>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (variable, text) in variables {
        let Some(rest) = variable.strip_prefix(PREFIX) else { continue };
        let segments: Vec<&str> = rest.split("__").collect();
        let found = locate(schema, schema, Some(&document.content), &segments, KeyPath::root())
            .and_then(|target| Ok((value_for(schema, &target, document.value(&target.path), text)?, target.path)));
        match found {
            Ok((value, path)) => {
                if set(&mut document.content, path.steps(), value) {
                    document.set_by(path, variable);
                }
            }
            Err(Wrong { message, hint, matched }) => {
                let known = segments.iter().take(matched).copied();
                let mut problem = Problem::of_file(format!("environment variable {variable}"), message);
                problem.hint = hint.map(|hint| match hint {
                    Hint::Text(text) => text,
                    Hint::Instead(word) => {
                        let rest = segments.iter().skip(matched + 1).copied();
                        let whole: Vec<&str> = known.chain([word.as_str()]).chain(rest).collect();
                        format!("did you mean {PREFIX}{}?", whole.join("__"))
                    }
                    Hint::Below(words) => {
                        let known: Vec<&str> = known.collect();
                        let name = |word: &String| {
                            let whole: Vec<&str> = known.iter().copied().chain([word.as_str()]).collect();
                            format!("{PREFIX}{}", whole.join("__"))
                        };
                        let all: Vec<String> = words.iter().map(name).collect();
                        format!("possible are {}", all.join(", "))
                    }
                });
                problems.push(problem);
            }
        }
    }
    problems
}

/// A key of the configuration that a variable names.
struct Target<'a> {
    path: KeyPath,
    schema: &'a Value,
    /// `env` or `file`, where the variable names that part of a secret.
    reference: Option<&'static str>,
}

/// Why a variable names no key.
struct Wrong {
    message: String,
    hint: Option<Hint>,
    /// How many segments of the variable are right.
    matched: usize,
}

enum Hint {
    Text(String),
    /// Another word for the first wrong segment.
    Instead(String),
    /// The words that may follow the right segments.
    Below(Vec<String>),
}

impl Wrong {
    fn deeper(mut self, segments: usize) -> Self {
        self.matched += segments;
        self
    }

    fn word(kind: &str, word: &str, candidates: Vec<String>) -> Self {
        let near = nearest(word, candidates.iter().map(String::as_str)).map(str::to_owned);
        let hint = near.map_or(Hint::Below(candidates), Hint::Instead);
        Self { message: format!("the configuration has no {kind} for `{word}`"), hint: Some(hint), matched: 0 }
    }
}

/// A word as it stands in the name of a variable.
fn shout(word: &str) -> String {
    word.to_uppercase().replace('-', "_")
}

/// The schema behind references and behind `Option`.
fn plain<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let schema = resolve(root, schema);
    let branches = schema.get("anyOf").and_then(Value::as_array);
    match branches.map(Vec::as_slice) {
        Some([one, null]) if null.get("type").and_then(Value::as_str) == Some("null") => plain(root, one),
        _ => schema,
    }
}

fn locate<'a>(
    root: &'a Value,
    schema: &'a Value,
    value: Option<&Value>,
    segments: &[&str],
    path: KeyPath,
) -> Result<Target<'a>, Wrong> {
    let schema = plain(root, schema);
    let Some((head, rest)) = segments.split_first() else {
        return Ok(Target { path, schema, reference: None });
    };
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        let Some((name, property)) = properties.iter().find(|(name, _)| shout(name) == *head) else {
            return Err(Wrong::word("key", head, properties.keys().map(|name| shout(name)).collect()));
        };
        let member = value.and_then(|value| value.get(name));
        return locate(root, property, member, rest, path.key(name)).map_err(|wrong| wrong.deeper(1));
    }
    if let Some(items) = schema.get("items").map(|items| plain(root, items)).filter(|items| is_table(items)) {
        let entries = value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let names: Vec<String> = entries.iter().map(entry_name).collect();
        let matching: Vec<(usize, usize)> = names
            .iter()
            .enumerate()
            .filter_map(|(index, name)| {
                let parts: Vec<&str> = name.split("__").collect();
                (!name.is_empty() && segments.starts_with(&parts)).then_some((index, parts.len()))
            })
            .collect();
        return match matching.as_slice() {
            [(index, taken)] => {
                let rest = segments.get(*taken..).unwrap_or_default();
                locate(root, items, entries.get(*index), rest, path.index(*index)).map_err(|wrong| wrong.deeper(*taken))
            }
            [] => Err(Wrong::word("entry", head, names)),
            _ => Err(Wrong {
                message: "this names several entries of the configuration".to_owned(),
                hint: Some(Hint::Text("change the file instead, or give them different names".to_owned())),
                matched: 0,
            }),
        };
    }
    if let Some(member) = schema.get("additionalProperties").filter(|member| member.is_object()) {
        let members = value.and_then(Value::as_object);
        let name = members
            .and_then(|members| members.keys().find(|name| shout(name) == *head).cloned())
            .unwrap_or_else(|| head.to_lowercase());
        let inner = value.and_then(|value| value.get(&name));
        return locate(root, member, inner, rest, path.key(&name)).map_err(|wrong| wrong.deeper(1));
    }
    match (is_secret(schema), segments) {
        (true, ["ENV"]) => Ok(Target { path, schema, reference: Some("env") }),
        (true, ["FILE"]) => Ok(Target { path, schema, reference: Some("file") }),
        _ => Err(Wrong {
            message: format!("the configuration has no key for `{head}`: `{path}` is no table"),
            hint: None,
            matched: 0,
        }),
    }
}

/// How an entry of a list is named in variables; empty where it has no name (yet).
fn entry_name(entry: &Value) -> String {
    let text = |key: &str| entry.get(key).and_then(Value::as_str);
    match (text("name"), text("connection"), text("entity")) {
        (Some(name), ..) => shout(name),
        (None, Some(connection), Some(entity)) => format!("{}__{}", shout(connection), shout(entity)),
        _ => String::new(),
    }
}

fn is_table(schema: &Value) -> bool {
    schema.get("properties").is_some()
}

fn branches(schema: &Value) -> &[Value] {
    schema.get("anyOf").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn is_secret(schema: &Value) -> bool {
    branches(schema).iter().any(|branch| branch.pointer("/properties/env").is_some())
}

fn value_for(root: &Value, target: &Target<'_>, present: Option<&Value>, text: &str) -> Result<Value, Wrong> {
    if let Some(reference) = target.reference {
        return Ok(Value::Object(Map::from_iter([(reference.to_owned(), Value::String(text.to_owned()))])));
    }
    let schema = target.schema;
    if is_secret(schema) && present.is_some_and(Value::is_object) {
        return Err(Wrong {
            message: format!("`{}` is a secret, which is never given directly", target.path),
            hint: Some(Hint::Text(
                "add __ENV and give the name of a variable, or __FILE and the path of a file".to_owned(),
            )),
            matched: 0,
        });
    }
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        return Err(Wrong {
            message: format!("`{}` is a table; name one of its keys", target.path),
            hint: Some(Hint::Below(properties.keys().map(|name| shout(name)).collect())),
            matched: target.path.steps().len(),
        });
    }
    let items = schema.get("items").map(|items| plain(root, items));
    if items.is_some_and(is_table) || schema.get("additionalProperties").is_some_and(Value::is_object) {
        return Err(Wrong {
            message: format!("`{}` holds tables; name an entry and its key", target.path),
            hint: None,
            matched: 0,
        });
    }
    if branches(schema).is_empty() {
        return Ok(typed(schema, items, text));
    }
    // A setting can be of any type: it stays what it is.
    Ok(match present {
        Some(Value::Bool(_)) => scalar(&["boolean"], text),
        Some(Value::Number(_)) => scalar(&["number"], text),
        Some(Value::Array(_)) => split(text).map(|part| Value::String(part.to_owned())).collect(),
        _ => Value::String(text.to_owned()),
    })
}

fn typed(schema: &Value, items: Option<&Value>, text: &str) -> Value {
    let names = schema.as_object().map(types).unwrap_or_default();
    if names.contains(&"array") {
        let names = items.and_then(Value::as_object).map(types).unwrap_or_default();
        return split(text).map(|part| scalar(&names, part)).collect();
    }
    scalar(&names, text)
}

fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

/// The text as a value of one of the types; what does not fit stays a text, for the check to refuse.
fn scalar(types: &[&str], text: &str) -> Value {
    let bare = || serde_json::from_str::<Value>(text.trim()).ok();
    let value = if types.contains(&"string") {
        None
    } else if types.contains(&"boolean") {
        bare().filter(Value::is_boolean)
    } else {
        bare().filter(Value::is_number)
    };
    value.unwrap_or_else(|| Value::String(text.to_owned()))
}

/// Puts a value in its place, making the tables on the way. False where the file holds something
/// else there, which the check then refuses.
fn set(content: &mut Value, steps: &[Step], value: Value) -> bool {
    let Some((step, rest)) = steps.split_first() else {
        *content = value;
        return true;
    };
    match (content, step) {
        (Value::Object(members), Step::Key(key)) => {
            let member = members.entry(key.clone()).or_insert_with(|| Value::Object(Map::new()));
            set(member, rest, value)
        }
        (Value::Array(items), Step::Index(index)) => items.get_mut(*index).is_some_and(|item| set(item, rest, value)),
        _ => false,
    }
}
