//! Faults of a posted order, each pointing at its field, and reading an order past its faults.

use serde::Serialize;
use serde_json::{Value, json};

use crate::model::{CountryCode, Currency, Invalid, Order, Unit};

/// A fault of one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// The field, as a JSON Pointer (RFC 6901) into the posted order; empty for the order as a whole.
    pub pointer: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl FieldError {
    pub(super) fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), message: message.into() }
    }

    /// Whether the field is the one pointed at, or a part of it.
    pub(super) fn is_within(&self, pointer: &str) -> bool {
        self.pointer.strip_prefix(pointer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl From<Invalid> for FieldError {
    /// `lines[0].quantity` becomes `/lines/0/quantity`.
    fn from(invalid: Invalid) -> Self {
        let path = invalid.field.replace(['[', '.'], "/").replace(']', "");
        Self { pointer: format!("/{path}"), message: invalid.message }
    }
}

/// Faults as one sentence.
pub(super) fn in_words(faults: &[FieldError]) -> String {
    let words: Vec<String> = faults
        .iter()
        .map(|fault| {
            if fault.pointer.is_empty() {
                fault.message.clone()
            } else {
                format!("{}: {}", fault.pointer, fault.message)
            }
        })
        .collect();
    words.join("; ")
}

/// Finds texts with a NUL character, which neither databases nor XML can hold, and amounts and quantities that are no
/// texts.
pub(super) fn find_values(value: &Value, pointer: &mut String, faults: &mut Vec<FieldError>) {
    let length = pointer.len();
    match value {
        Value::String(text) if text.contains('\0') => {
            faults.push(FieldError::new(pointer.clone(), "contains a NUL character"));
        }
        // Line numbers are the only numbers of an order; whatever else counts is exact, and so a text.
        Value::Number(number) if !pointer.ends_with("/number") => {
            faults.push(FieldError::new(pointer.clone(), format!("put it in quotes: \"{number}\"")));
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                pointer.push('/');
                pointer.push_str(&at.to_string());
                find_values(item, pointer, faults);
                pointer.truncate(length);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                pointer.push('/');
                pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
                find_values(field, pointer, faults);
                pointer.truncate(length);
            }
        }
        _ => {}
    }
}

/// Writes units out that are given by their code alone, as the schema has them.
pub(super) fn expand_units(posted: &mut Value) {
    for line in posted.get_mut("lines").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(unit) = line.get_mut("unit")
            && unit.is_string()
        {
            *unit = json!({"code": unit.take()});
        }
    }
}

/// Finds codes that are not on their standard's list.
pub(super) fn find_codes(posted: &Value, faults: &mut Vec<FieldError>) {
    type Check = fn(&str) -> Result<(), String>;
    let country: Check = |code| CountryCode::new(code).map(|_| ());
    let unit: Check = |code| Unit::new(code, None).map(|_| ());
    let currency: Check = |code| Currency::new(code).map(|_| ());
    let lines = posted.get("lines").and_then(Value::as_array).map_or(0, Vec::len);
    let places = [
        ("/currency".to_owned(), currency),
        ("/ship_to/address/country".to_owned(), country),
        ("/bill_to/address/country".to_owned(), country),
    ];
    let units = (0..lines).map(|at| (format!("/lines/{at}/unit/code"), unit));
    for (pointer, check) in places.into_iter().chain(units) {
        if let Some(code) = posted.pointer(&pointer).and_then(Value::as_str)
            && let Err(message) = check(code)
        {
            faults.push(FieldError { pointer, message });
        }
    }
}

/// Reads an order whose values are wrong at some places (with whether the key itself is one too many), so that the
/// rest of it can be judged too: a wrong line or field gives way to something that stands in for it. Also says which
/// places those are.
///
/// # Errors
/// Why it cannot be read all the same.
pub(super) fn readable(posted: &Value, wrong: &[(String, bool)]) -> Result<(Order, Vec<String>), String> {
    let mut value = posted.clone();
    let mut unreadable = Vec::new();
    if let Value::Object(fields) = &mut value {
        for (pointer, surplus) in wrong {
            let steps: Vec<&str> = pointer.split('/').skip(1).collect();
            let line = match (steps.as_slice(), fields.get_mut("lines")) {
                (["lines", at, ..], Some(Value::Array(lines))) => {
                    at.parse::<usize>().ok().and_then(|at| lines.get_mut(at).map(|line| (at, line)))
                }
                _ => None,
            };
            unreadable.push(match (line, steps.as_slice()) {
                (Some((_, Value::Object(line))), [_, _, key]) if *surplus => {
                    line.shift_remove(*key);
                    pointer.clone()
                }
                (Some((at, line)), _) => {
                    // Its number is no other line's.
                    let number = u32::MAX - u32::try_from(at).unwrap_or_default();
                    *line = json!({"product": "-", "quantity": "1", "number": number});
                    format!("/lines/{at}")
                }
                (None, [field, ..]) => {
                    let stands_in = match *field {
                        "reference" | "customer" => Some(json!("-")),
                        "lines" => Some(json!([])),
                        "currency" => Some(json!("EUR")),
                        _ => None,
                    };
                    match stands_in {
                        Some(value) => fields.insert((*field).to_owned(), value),
                        None => fields.shift_remove(*field),
                    };
                    format!("/{field}")
                }
                (None, []) => String::new(),
            });
        }
    }
    serde_json::from_value(value).map(|order| (order, unreadable)).map_err(|error| error.to_string())
}
