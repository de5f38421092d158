//! Converting an expression's value into a canonical field. Nothing is rounded, guessed or cut: what does not fit is
//! refused with the mend.

use rust_decimal::Decimal;
use serde_json::{Map, Value as Json};

use crate::model::shape::{Kind, Shape};
use crate::model::{CountryCode, Currency, Language};
use crate::record::{Seen, Value, number_from_text};

/// The canonical form of a value; nothing where the value is absent or empty.
pub(super) fn convert(kind: &Kind, value: &Value) -> Result<Option<Json>, String> {
    if value.is_empty() {
        return Ok(None);
    }
    let json = match kind {
        Kind::Text => Json::String(text(value)?),
        Kind::Currency => code(value, Currency::new, Currency::as_str)?,
        Kind::Country => code(value, CountryCode::new, CountryCode::as_str)?,
        Kind::Language => code(value, Language::new, Language::as_str)?,
        Kind::Bool => match value {
            Value::Bool(b) => Json::Bool(*b),
            other => return Err(mismatch("true or false", other, "compare it, as in Blocked == 'J'")),
        },
        Kind::Integer => integer(value)?,
        Kind::Decimal => Json::String(decimal(value)?.normalize().to_string()),
        Kind::Date => parsed::<jiff::civil::Date>(value, "a date as 2026-11-24", "convert it with date('dd-MM-yyyy')")?,
        Kind::Time => parsed::<jiff::civil::Time>(value, "a time as 16:00", "write it as hours and minutes")?,
        Kind::Instant => {
            parsed::<jiff::Timestamp>(value, "an instant as 2026-11-24T03:00:00Z", "convert it with instant()")?
        }
        Kind::Choice(words) => {
            let word = text(value)?;
            if !words.contains(&word) {
                let words = words.join(", ");
                return Err(format!("'{}' is not one of {words}; map the ERP's words with a lookup", short(&word)));
            }
            Json::String(word)
        }
        Kind::Unit(shape) => match value {
            Value::Map(_) => return record(shape, value),
            code => Json::Object(Map::from_iter([("code".to_owned(), Json::String(text(code)?))])),
        },
        Kind::List(element) => match value {
            Value::List(items) => {
                let mut list = Vec::with_capacity(items.len());
                for (at, item) in items.iter().enumerate() {
                    list.extend(convert(element, item).map_err(|e| format!("element {}: {e}", at + 1))?);
                }
                if list.is_empty() {
                    return Ok(None);
                }
                Json::Array(list)
            }
            // Many formats write a list of one as the one.
            single => match convert(element, single)? {
                Some(one) => Json::Array(vec![one]),
                None => return Ok(None),
            },
        },
        Kind::Record(shape) => return record(shape, value),
        Kind::Table(element) => {
            let Value::Map(map) = value else { return Err(mismatch("a record", value, "give it as {'name': value}")) };
            let mut table = Map::new();
            for (name, item) in map.iter() {
                if let Some(item) = convert(element, item).map_err(|e| format!("{name}: {e}"))? {
                    table.insert(name.to_owned(), item);
                }
            }
            if table.is_empty() {
                return Ok(None);
            }
            Json::Object(table)
        }
    };
    Ok(Some(json))
}

fn record(shape: &Shape, value: &Value) -> Result<Option<Json>, String> {
    let Value::Map(map) = value else { return Err(mismatch("a record", value, "give it as {'name': value}")) };
    let mut record = Map::new();
    for (name, item) in map.iter() {
        let field = shape.field(name).ok_or_else(|| format!("there is no field '{}'", short(name)))?;
        if let Some(item) = convert(&field.kind, item).map_err(|e| format!("{name}: {e}"))? {
            record.insert(name.to_owned(), item);
        }
    }
    Ok((!record.is_empty()).then_some(Json::Object(record)))
}

fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::Text(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        other => Err(mismatch("text", other, "give one value")),
    }
}

/// Why a value is no text.
pub(super) fn not_text(value: &Seen) -> String {
    mismatch("text", &value.clone().into_value(), "give one value")
}

/// A code of a standard's list.
fn code<T>(value: &Value, new: fn(&str) -> Result<T, String>, written: fn(&T) -> &str) -> Result<Json, String> {
    new(&text(value)?).map(|code| Json::String(written(&code).to_owned()))
}

fn decimal(value: &Value) -> Result<Decimal, String> {
    match value {
        Value::Number(number) => Ok(*number),
        Value::Text(text) => number_from_text(text.trim())
            .ok_or_else(|| mismatch("a number", value, "convert it with decimal('1.234,56')")),
        other => Err(mismatch("a number", other, "give a number, or text in which it stands")),
    }
}

fn integer(value: &Value) -> Result<Json, String> {
    let number = decimal(value)?;
    if !number.is_integer() {
        return Err(mismatch("a whole number", value, "round it with round(0, 'half_up')"));
    }
    i64::try_from(number.normalize().mantissa())
        .ok()
        .filter(|_| number.normalize().scale() == 0)
        .map(Json::from)
        .ok_or_else(|| mismatch("a whole number", value, "it is beyond the range"))
}

fn parsed<T: std::str::FromStr + std::fmt::Display>(value: &Value, wanted: &str, mend: &str) -> Result<Json, String> {
    let Value::Text(text) = value else { return Err(mismatch(wanted, value, mend)) };
    text.parse::<T>().map(|parsed| Json::String(parsed.to_string())).map_err(|_| mismatch(wanted, value, mend))
}

fn mismatch(wanted: &str, found: &Value, mend: &str) -> String {
    let shown = match found {
        Value::Text(text) => format!("the text '{}'", short(text)),
        Value::Number(number) => format!("the number {number}"),
        Value::Bool(b) => format!("{b}"),
        other => format!("a {}", other.kind()),
    };
    format!("expected {wanted}, found {shown}; {mend}")
}

/// A text cut to what a message can carry.
pub(super) fn short(text: &str) -> String {
    const MOST: usize = 60;
    if text.chars().count() <= MOST { text.to_owned() } else { text.chars().take(MOST).chain(['…']).collect() }
}
