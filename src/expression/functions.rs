//! The functions of the language. Those that change how their arguments are evaluated stand in `node`.

use std::borrow::Cow;

use jiff::tz::TimeZone;
use rust_decimal::Decimal;

use super::convert::{self, NumberFormat};
use super::evaluate::short;
use super::number as exact;
use crate::model::currency;
use crate::record::{Map, Seen, Value};

/// The longest text that a function makes, in bytes.
pub(super) const LONGEST: usize = 1 << 20;

/// Most elements of a list.
pub(super) const MOST: usize = 10_000;

/// A function: what it is called, how many arguments it takes (the value it is a method of counts), what it does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Function {
    pub name: &'static str,
    pub least: usize,
    pub most: usize,
    body: for<'a> fn(&mut [Seen<'a>], &TimeZone) -> Result<Seen<'a>, String>,
}

/// The names of functions that are compiled into nodes of their own.
pub(super) const SPECIAL: &[&str] = &["or", "lookup", "matches", "round", "has", "map", "filter", "exists", "all"];

/// The functions that are calls.
pub(super) const FUNCTIONS: &[Function] = &[
    Function { name: "trim", least: 1, most: 1, body: trim },
    Function { name: "upper", least: 1, most: 1, body: |a, _| text(a, 0).map(|t| owned(t.to_uppercase())) },
    Function { name: "lower", least: 1, most: 1, body: |a, _| text(a, 0).map(|t| owned(t.to_lowercase())) },
    Function { name: "compact", least: 1, most: 1, body: compact },
    Function { name: "digits", least: 1, most: 1, body: digits },
    Function { name: "strip_zeros", least: 1, most: 1, body: strip_zeros },
    Function { name: "pad", least: 2, most: 3, body: pad },
    Function { name: "decimal", least: 1, most: 2, body: decimal },
    Function { name: "money", least: 2, most: 2, body: money },
    Function { name: "date", least: 2, most: 2, body: date },
    Function { name: "instant", least: 1, most: 2, body: instant },
    Function { name: "format", least: 2, most: 3, body: format_time },
    Function { name: "convert_unit", least: 3, most: 3, body: convert_unit },
    Function { name: "split", least: 2, most: 2, body: split },
    Function { name: "join", least: 2, most: 2, body: join },
    Function { name: "flatten", least: 1, most: 1, body: flatten },
    Function { name: "sum", least: 1, most: 1, body: sum },
    Function { name: "reject", least: 1, most: 1, body: |a, _| Err(text(a, 0)?.to_owned()) },
    Function { name: "replace", least: 3, most: 3, body: replace },
    Function { name: "contains", least: 2, most: 2, body: |a, _| Ok(Seen::Bool(text(a, 0)?.contains(text(a, 1)?))) },
    Function {
        name: "startsWith",
        least: 2,
        most: 2,
        body: |a, _| Ok(Seen::Bool(text(a, 0)?.starts_with(text(a, 1)?))),
    },
    Function { name: "endsWith", least: 2, most: 2, body: |a, _| Ok(Seen::Bool(text(a, 0)?.ends_with(text(a, 1)?))) },
    Function { name: "base64", least: 1, most: 1, body: |a, _| text(a, 0).map(|t| owned(base64(t))) },
    Function { name: "size", least: 1, most: 1, body: size },
    Function { name: "string", least: 1, most: 1, body: to_string },
];

impl Function {
    /// Calls the function; a null value gives null, since the field it comes from is absent.
    pub fn call<'a>(&self, arguments: &mut [Seen<'a>], zone: &TimeZone) -> Result<Seen<'a>, String> {
        if arguments.first().is_some_and(Seen::is_empty) {
            return Ok(if self.name == "size" { Seen::Number(Decimal::ZERO) } else { Seen::Null });
        }
        (self.body)(arguments, zone)
    }
}

fn text<'a>(arguments: &'a [Seen], at: usize) -> Result<&'a str, String> {
    match arguments.get(at) {
        Some(Seen::Text(text)) => Ok(text),
        Some(Seen::Number(_)) => Err("expected text, found a number; make it text with string()".to_owned()),
        Some(other) => Err(format!("expected text, found {}", other.kind())),
        None => Err("an argument is missing".to_owned()),
    }
}

/// A number, or text that is one in plain notation.
fn number(arguments: &[Seen], at: usize) -> Result<Decimal, String> {
    match arguments.get(at) {
        Some(Seen::Number(number)) => Ok(*number),
        Some(Seen::Text(text)) => convert::number(text, None).map_err(|_| {
            format!("expected a number, found the text '{}'; convert it with decimal('1.234,56')", short(text))
        }),
        Some(other) => Err(format!("expected a number, found {}", other.kind())),
        None => Err("an argument is missing".to_owned()),
    }
}

/// The base64 of a text's bytes (RFC 4648), as some logins want it.
fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

fn string(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn owned(text: String) -> Seen<'static> {
    Seen::Text(Cow::Owned(text))
}

/// The text of the first argument, taken out of it; a part of it needs no copy.
fn taken<'a>(arguments: &mut [Seen<'a>]) -> Result<Cow<'a, str>, String> {
    text(arguments, 0)?;
    match arguments.first_mut().map(std::mem::take) {
        Some(Seen::Text(text)) => Ok(text),
        _ => Ok(Cow::Borrowed("")),
    }
}

fn trim<'a>(arguments: &mut [Seen<'a>], _: &TimeZone) -> Result<Seen<'a>, String> {
    Ok(Seen::Text(match taken(arguments)? {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }))
}

fn compact<'a>(arguments: &mut [Seen<'a>], _: &TimeZone) -> Result<Seen<'a>, String> {
    let text = taken(arguments)?;
    // Most texts are compact as they are: their words stand one blank apart.
    let mut before = ' ';
    let compact = text.chars().all(|c| {
        let fine = if c == ' ' { before != ' ' } else { !c.is_whitespace() };
        before = c;
        fine
    });
    if compact && before != ' ' {
        return Ok(Seen::Text(text));
    }
    let mut words = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(word);
    }
    Ok(owned(words))
}

fn digits<'a>(arguments: &mut [Seen<'a>], _: &TimeZone) -> Result<Seen<'a>, String> {
    Ok(owned(text(arguments, 0)?.chars().filter(char::is_ascii_digit).collect()))
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn strip_zeros<'a>(arguments: &mut [Seen<'a>], _: &TimeZone) -> Result<Seen<'a>, String> {
    let text = text(arguments, 0)?;
    let stripped = match text.trim_start_matches('0') {
        _ if !all_digits(text) => text,
        "" => "0",
        stripped => stripped,
    };
    Ok(owned(stripped.to_owned()))
}

fn pad<'a>(arguments: &mut [Seen<'a>], _: &TimeZone) -> Result<Seen<'a>, String> {
    let value = text(arguments, 0)?;
    let width = usize::try_from(number(arguments, 1)?).ok().filter(|w| *w <= 1000).ok_or("the width is 0 to 1000")?;
    let fill = if arguments.len() > 2 { text(arguments, 2)? } else { "0" };
    let missing = width.saturating_sub(value.chars().count());
    if fill.chars().count() != 1 {
        return Err("the fill is one character".to_owned());
    }
    // Only all-digit identifiers are padded in ERP systems; 'A12' stays what it is.
    Ok(owned(if all_digits(value) { fill.repeat(missing) + value } else { value.to_owned() }))
}

fn decimal<'a>(arguments: &mut [Seen<'a>], _: &TimeZone) -> Result<Seen<'a>, String> {
    if let Seen::Number(number) = arguments[0] {
        return Ok(Seen::Number(number));
    }
    let format = if arguments.len() > 1 {
        let example = text(arguments, 1)?;
        Some(NumberFormat::of(example).ok_or_else(|| bad_number_format(example))?)
    } else {
        None
    };
    convert::number(text(arguments, 0)?, format).map(Seen::Number)
}

pub(super) fn bad_number_format(example: &str) -> String {
    format!("'{}' is no number format; write an example such as '1.234,56' or '1234.56'", short(example))
}

fn money<'a>(arguments: &mut [Seen<'a>], _: &TimeZone) -> Result<Seen<'a>, String> {
    let amount = number(arguments, 0)?;
    let code = text(arguments, 1)?;
    if !currency::exists(code) {
        return Err(format!("'{}' is not an ISO 4217 currency code, such as EUR", short(code)));
    }
    Ok(Seen::Map(Cow::Owned(Map::from_iter([("amount", Value::Number(amount)), ("currency", string(code))]))))
}

fn date<'a>(arguments: &mut [Seen<'a>], _: &TimeZone) -> Result<Seen<'a>, String> {
    let value = match &arguments[0] {
        Seen::Number(number) => Cow::Owned(number.to_string()),
        _ => Cow::Borrowed(text(arguments, 0)?),
    };
    Ok(convert::date(&value, text(arguments, 1)?)?.map_or(Seen::Null, owned))
}

fn instant<'a>(arguments: &mut [Seen<'a>], zone: &TimeZone) -> Result<Seen<'a>, String> {
    let named = named_zone(arguments, 1)?;
    convert::instant(text(arguments, 0)?, named.as_ref().unwrap_or(zone)).map(owned)
}

fn format_time<'a>(arguments: &mut [Seen<'a>], zone: &TimeZone) -> Result<Seen<'a>, String> {
    let named = named_zone(arguments, 2)?;
    convert::format(text(arguments, 0)?, text(arguments, 1)?, named.as_ref().unwrap_or(zone)).map(owned)
}

/// The time zone that an argument names, where it is given.
fn named_zone(arguments: &[Seen], at: usize) -> Result<Option<TimeZone>, String> {
    if arguments.len() <= at {
        return Ok(None);
    }
    let name = text(arguments, at)?;
    let zone = TimeZone::get(name);
    zone.map(Some).map_err(|_| format!("'{}' is no time zone, such as Europe/Amsterdam", short(name)))
}

fn convert_unit<'a>(arguments: &mut [Seen<'a>], _: &TimeZone) -> Result<Seen<'a>, String> {
    convert::unit(number(arguments, 0)?, text(arguments, 1)?, text(arguments, 2)?).map(Seen::Number)
}

fn split<'a>(arguments: &mut [Seen<'a>], _: &TimeZone) -> Result<Seen<'a>, String> {
    let separator = text(arguments, 1)?;
    if separator.is_empty() {
        return Err("the separator is empty".to_owned());
    }
    let parts: Vec<Value> =
        text(arguments, 0)?.split(separator).take(MOST + 1).map(|part| string(part.trim())).collect();
    limited(parts)
}

fn limited(items: Vec<Value>) -> Result<Seen<'static>, String> {
    if items.len() > MOST {
        Err(format!("a list has more than {MOST} elements"))
    } else {
        Ok(Seen::List(Cow::Owned(items)))
    }
}

fn flatten<'a>(arguments: &mut [Seen<'a>], _: &TimeZone) -> Result<Seen<'a>, String> {
    let Seen::List(items) = &arguments[0] else {
        return Err(format!("flatten needs a list, found {}", arguments[0].kind()));
    };
    let mut flat = Vec::with_capacity(items.len());
    for item in items.iter() {
        match item {
            Value::Null => {}
            Value::List(inner) => flat.extend(inner.iter().filter(|item| **item != Value::Null).cloned()),
            single => flat.push(single.clone()),
        }
        if flat.len() > MOST {
            break;
        }
    }
    limited(flat)
}

fn sum<'a>(arguments: &mut [Seen<'a>], _: &TimeZone) -> Result<Seen<'a>, String> {
    let Seen::List(items) = &arguments[0] else {
        return Err(format!("sum needs a list, found {}", arguments[0].kind()));
    };
    let mut total = None;
    for item in items.iter().filter(|item| !item.is_empty()) {
        let item = number(&[Seen::from(item)], 0)?;
        total = Some(total.map_or(Ok(item), |total| exact::add(total, item))?);
    }
    Ok(total.map_or(Seen::Null, Seen::Number))
}

fn join<'a>(arguments: &mut [Seen<'a>], _: &TimeZone) -> Result<Seen<'a>, String> {
    let Seen::List(items) = &arguments[0] else {
        return Err(format!("join needs a list, found {}", arguments[0].kind()));
    };
    let separator = text(arguments, 1)?;
    let mut joined = String::new();
    for item in items.iter().filter(|item| !item.is_empty()) {
        let part = scalar(&Seen::from(item))?.into_owned();
        if !joined.is_empty() {
            joined.push_str(separator);
        }
        joined.push_str(&part);
        if joined.len() > LONGEST {
            return Err(too_long());
        }
    }
    Ok(owned(joined))
}

pub(super) fn too_long() -> String {
    format!("the text is longer than {LONGEST} bytes")
}

fn replace<'a>(arguments: &mut [Seen<'a>], _: &TimeZone) -> Result<Seen<'a>, String> {
    let (value, from) = (text(arguments, 0)?, text(arguments, 1)?);
    // An empty text counts as null, and replacing by nothing is a common wish.
    let to = if arguments[2].is_empty() { "" } else { text(arguments, 2)? };
    if from.is_empty() {
        return Err("the text to replace is empty".to_owned());
    }
    if value.matches(from).count().saturating_mul(to.len()).saturating_add(value.len()) > LONGEST {
        return Err(too_long());
    }
    Ok(owned(value.replace(from, to)))
}

fn size<'a>(arguments: &mut [Seen<'a>], _: &TimeZone) -> Result<Seen<'a>, String> {
    let count = match &arguments[0] {
        Seen::Text(text) => text.chars().count(),
        Seen::List(items) => items.len(),
        Seen::Map(map) => map.len(),
        other => return Err(format!("size needs text, a list or a record, found {}", other.kind())),
    };
    Ok(Seen::Number(Decimal::from(count)))
}

fn scalar<'a>(value: &'a Seen) -> Result<Cow<'a, str>, String> {
    match value {
        Seen::Text(text) => Ok(Cow::Borrowed(text)),
        Seen::Number(number) => Ok(Cow::Owned(number.to_string())),
        Seen::Bool(b) => Ok(Cow::Borrowed(if *b { "true" } else { "false" })),
        other => Err(format!("a {} is no text", other.kind())),
    }
}

fn to_string<'a>(arguments: &mut [Seen<'a>], _: &TimeZone) -> Result<Seen<'a>, String> {
    scalar(&arguments[0]).map(|text| owned(text.into_owned()))
}
