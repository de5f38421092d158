//! The straight way from a source record to canonical text: each value is checked and written where it stands in the
//! text, and nothing is built in between.
//!
//! Where anything is amiss the way just ends ([`Amiss`]). Then the record goes the careful way (`apply`), which finds
//! the same and says what and where. So the straight way has to be strict, and needs no messages.

use std::borrow::Cow;
use std::io::Write as _;

use rust_decimal::Decimal;

use super::compile::{ListTarget, Mapping, Target};
use super::plan::{Filling, Plan, Role};
use crate::expression::Context;
use crate::model::identity::{self, Identity};
use crate::model::shape::{self, Kind, Shape};
use crate::model::{Content, CountryCode, Currency, Language, PartKind, unit_codes};
use crate::record::{Map, Seen, Value, number_from_text, write_text};

/// Something is amiss, or too unusual for the straight way.
pub(super) struct Amiss;

/// What is noted while a record is written, for what depends on several fields.
#[derive(Default)]
struct Notes<'a> {
    texts: [Option<Cow<'a, str>>; identity::FIELDS.len()],
    /// Whether a value is such that a rule of its kind may forbid it: a blank text, a number that is not above zero.
    doubtful: bool,
    discount: bool,
    value: Option<Decimal>,
    currency: bool,
    from: Option<String>,
    to: Option<String>,
}

impl Mapping {
    /// A record's place and content.
    pub(super) fn write(&self, context: &Context) -> Result<(Identity, Content), Amiss> {
        let plan = self.plan.as_ref().ok_or(Amiss)?;
        let mut notes = Notes::default();
        let mut out = Vec::with_capacity(512);
        if !self.write_record(plan, &self.fields, context, &mut notes, &mut out)? {
            return Err(Amiss);
        }
        let text = String::from_utf8(out).map_err(|_| Amiss)?;
        if notes.needs_check(self.kind) {
            shape::check_text(self.kind, &text).map_err(|_| Amiss)?;
        }
        let found = |field| {
            let at = identity::FIELDS.iter().position(|known| *known == field)?;
            notes.texts[at].as_deref()
        };
        let identity = identity::of_texts(self.kind, found).map_err(|_| Amiss)?;
        Ok((identity, Content::of_text(text)))
    }

    /// Writes a record; says whether there is anything in it.
    fn write_record<'a>(
        &'a self,
        plan: &Plan,
        targets: &'a [Target],
        context: &'a Context<'a>,
        notes: &mut Notes<'a>,
        out: &mut Vec<u8>,
    ) -> Result<bool, Amiss> {
        out.push(b'{');
        let (empty, mut missing) = (out.len(), false);
        for planned in &plan.0 {
            let start = out.len();
            if start > empty {
                out.push(b',');
            }
            out.extend_from_slice(&planned.key);
            let written = match &planned.filling {
                Filling::Value(at) => {
                    let target = targets.get(*at).ok_or(Amiss)?;
                    let value = target.value.expression.evaluate(context).map_err(|_| Amiss)?;
                    let behind = out.len();
                    let written = write(&target.kind, &value, &mut notes.doubtful, out)?;
                    if written && (planned.role != Role::None || planned.watched.is_some()) {
                        notes.note(planned.role, planned.watched, value, &out[behind..])?;
                    }
                    written
                }
                Filling::Record(plan) => self.write_record(plan, targets, context, notes, out)?,
                Filling::List(at) => {
                    let list = self.lists.get(*at).ok_or(Amiss)?;
                    self.write_list(list, context, &mut notes.doubtful, out)?
                }
            };
            missing |= !written && planned.required;
            if !written || planned.owner {
                out.truncate(start);
            }
        }
        let any = out.len() > empty;
        out.push(b'}');
        // A record without any field is absent, and then nothing of it is missing.
        if any && missing { Err(Amiss) } else { Ok(any) }
    }

    fn write_list(
        &self,
        list: &ListTarget,
        context: &Context,
        doubtful: &mut bool,
        out: &mut Vec<u8>,
    ) -> Result<bool, Amiss> {
        let plan = list.plan.as_ref().ok_or(Amiss)?;
        let from = list.from.expression.evaluate(context).map_err(|_| Amiss)?;
        let single;
        let items = match from {
            Seen::Null => return Ok(false),
            Seen::List(ref items) => &**items,
            one => {
                single = one.into_value();
                std::slice::from_ref(&single)
            }
        };
        out.push(b'[');
        let empty = out.len();
        for item in items {
            let Value::Map(fields) = item else { return Err(Amiss) };
            let context = Context { record: fields.into(), ..*context };
            if let Some(condition) = &list.condition
                && !condition.expression.condition(&context).map_err(|_| Amiss)?
            {
                continue;
            }
            if out.len() > empty {
                out.push(b',');
            }
            let mut notes = Notes::default();
            if !self.write_record(plan, &list.fields, &context, &mut notes, out)? {
                return Err(Amiss);
            }
            *doubtful |= notes.doubtful;
        }
        let any = out.len() > empty;
        out.push(b']');
        Ok(any)
    }
}

impl<'a> Notes<'a> {
    /// Notes a value; `written` is its text in the record.
    fn note(&mut self, role: Role, watched: Option<usize>, value: Seen<'a>, written: &[u8]) -> Result<(), Amiss> {
        let quoted = |written: &[u8]| String::from_utf8_lossy(&written[1..written.len() - 1]).into_owned();
        match role {
            Role::None => {}
            Role::UnitCode => match &value {
                Seen::Text(code) if unit_codes::exists(code) => {}
                _ => return Err(Amiss),
            },
            Role::PriceKind => self.discount = written == b"\"discount_percent\"",
            Role::PriceValue => self.value = Some(decimal(&value)?),
            Role::Currency => self.currency = true,
            Role::ValidFrom => self.from = Some(quoted(written)),
            Role::ValidTo => self.to = Some(quoted(written)),
        }
        if let Some(place) = watched.and_then(|at| self.texts.get_mut(at)) {
            *place = match value {
                Seen::Text(text) => Some(text),
                Seen::Number(number) => Some(Cow::Owned(number.to_string())),
                _ => return Err(Amiss),
            };
        }
        Ok(())
    }

    /// Whether the struct of the kind has to judge. Of most kinds the types of the fields and what was noted say
    /// that all is well; the tests hold both ways against each other.
    fn needs_check(&self, kind: PartKind) -> bool {
        match kind {
            PartKind::PriceAgreement => {
                let amount = match self.value {
                    Some(value) if self.discount => value <= Decimal::ONE_HUNDRED,
                    _ => self.currency,
                };
                // Canonical dates of our era are in order as texts.
                let era = |date: &str| date.len() == 10;
                let validity = match (&self.from, &self.to) {
                    (Some(from), Some(to)) => era(from) && era(to) && from <= to,
                    _ => true,
                };
                self.doubtful || !amount || !validity
            }
            PartKind::Customer
            | PartKind::Product
            | PartKind::Stock
            | PartKind::Address
            | PartKind::Contact
            | PartKind::CustomerArticle => self.doubtful,
            _ => true,
        }
    }
}

/// Writes a value in its canonical form; says whether there is one.
fn write(kind: &Kind, value: &Seen, doubtful: &mut bool, out: &mut Vec<u8>) -> Result<bool, Amiss> {
    if value.is_empty() {
        return Ok(false);
    }
    match kind {
        Kind::Text => match value {
            Seen::Text(text) => {
                *doubtful |= text.trim_start().is_empty();
                write_text(text, out);
            }
            Seen::Number(number) => write_decimal(*number, out),
            _ => return Err(Amiss),
        },
        Kind::Currency => write_code(value, Currency::accepts, out)?,
        Kind::Country => write_code(value, CountryCode::accepts, out)?,
        Kind::Language => write_code(value, Language::accepts, out)?,
        Kind::Choice(words) => match value {
            Seen::Text(word) if words.iter().any(|known| known == word) => write_text(word, out),
            _ => return Err(Amiss),
        },
        Kind::Bool => match value {
            Seen::Bool(true) => out.extend_from_slice(b"true"),
            Seen::Bool(false) => out.extend_from_slice(b"false"),
            _ => return Err(Amiss),
        },
        Kind::Integer => {
            let number = integer(value)?;
            // What every whole number of the model holds; beyond it the struct decides.
            *doubtful |= !(0..=i64::from(i32::MAX)).contains(&number);
            // Writing into memory cannot fail.
            let _ = write!(out, "{number}");
        }
        Kind::Decimal => {
            let number = decimal(value)?.normalize();
            *doubtful |= number <= Decimal::ZERO;
            write_decimal(number, out);
        }
        Kind::Date => match value {
            Seen::Text(text) if is_plain_date(text) => write_text(text, out),
            value => write_parsed::<jiff::civil::Date>(value, out)?,
        },
        Kind::Time => write_parsed::<jiff::civil::Time>(value, out)?,
        Kind::Instant => write_parsed::<jiff::Timestamp>(value, out)?,
        Kind::Unit(shape) => match value {
            Seen::Map(unit) => {
                match unit.get("code") {
                    Some(Value::Text(code)) if unit_codes::exists(code) => {}
                    _ => return Err(Amiss),
                }
                return write_map(shape, unit, doubtful, out);
            }
            Seen::Text(code) if unit_codes::exists(code) => {
                out.extend_from_slice(b"{\"code\":");
                write_text(code, out);
                out.push(b'}');
            }
            _ => return Err(Amiss),
        },
        Kind::List(element) => {
            let single;
            let items = match value {
                Seen::List(items) => &**items,
                // Many formats write a list of one as the one.
                one => {
                    single = one.clone().into_value();
                    std::slice::from_ref(&single)
                }
            };
            return write_items(element, items, doubtful, out);
        }
        Kind::Record(shape) => match value {
            Seen::Map(map) => return write_map(shape, map, doubtful, out),
            _ => return Err(Amiss),
        },
        Kind::Table(element) => match value {
            Seen::Map(map) => return write_table(element, map, doubtful, out),
            _ => return Err(Amiss),
        },
    }
    Ok(true)
}

fn write_items(element: &Kind, items: &[Value], doubtful: &mut bool, out: &mut Vec<u8>) -> Result<bool, Amiss> {
    out.push(b'[');
    let empty = out.len();
    for item in items {
        let start = out.len();
        if start > empty {
            out.push(b',');
        }
        if !write(element, &Seen::from(item), doubtful, out)? {
            out.truncate(start);
        }
    }
    let any = out.len() > empty;
    out.push(b']');
    Ok(any)
}

fn write_map(shape: &Shape, map: &Map, doubtful: &mut bool, out: &mut Vec<u8>) -> Result<bool, Amiss> {
    out.push(b'{');
    let (empty, mut known, mut missing) = (out.len(), 0, false);
    for field in &shape.fields {
        let start = out.len();
        let written = match map.get(&field.name) {
            None => false,
            Some(value) => {
                known += 1;
                if start > empty {
                    out.push(b',');
                }
                write_text(&field.name, out);
                out.push(b':');
                write(&field.kind, &Seen::from(value), doubtful, out)?
            }
        };
        if !written {
            missing |= field.required;
            out.truncate(start);
        }
    }
    let any = out.len() > empty;
    out.push(b'}');
    // A name that the shape does not have, or that is there twice, and a record that lacks something.
    if known != map.len() || any && missing { Err(Amiss) } else { Ok(any) }
}

fn write_table(element: &Kind, map: &Map, doubtful: &mut bool, out: &mut Vec<u8>) -> Result<bool, Amiss> {
    let mut entries: Vec<(&str, &Value)> = map.iter().collect();
    entries.sort_unstable_by_key(|(name, _)| *name);
    if entries.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err(Amiss);
    }
    out.push(b'{');
    let empty = out.len();
    for (name, value) in entries {
        let start = out.len();
        if start > empty {
            out.push(b',');
        }
        write_text(name, out);
        out.push(b':');
        if !write(element, &Seen::from(value), doubtful, out)? {
            out.truncate(start);
        }
    }
    let any = out.len() > empty;
    out.push(b'}');
    Ok(any)
}

fn write_code(value: &Seen, accepts: fn(&str) -> bool, out: &mut Vec<u8>) -> Result<(), Amiss> {
    match value {
        Seen::Text(code) if accepts(code) => {
            write_text(code, out);
            Ok(())
        }
        _ => Err(Amiss),
    }
}

fn write_parsed<T: std::str::FromStr + std::fmt::Display>(value: &Seen, out: &mut Vec<u8>) -> Result<(), Amiss> {
    let Seen::Text(text) = value else { return Err(Amiss) };
    let parsed = text.parse::<T>().map_err(|_| Amiss)?;
    // Writing into memory cannot fail.
    let _ = write!(out, "\"{parsed}\"");
    Ok(())
}

/// Whether a text is a date in its canonical form.
fn is_plain_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    let number = |range: std::ops::Range<usize>| {
        bytes[range]
            .iter()
            .try_fold(0_i16, |number, byte| byte.is_ascii_digit().then(|| number * 10 + i16::from(byte - b'0')))
    };
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return false;
    }
    let (Some(year), Some(month), Some(day)) = (number(0..4), number(5..7), number(8..10)) else { return false };
    let small = |number: i16| i8::try_from(number).unwrap_or(0);
    jiff::civil::Date::new(year, small(month), small(day)).is_ok()
}

fn decimal(value: &Seen) -> Result<Decimal, Amiss> {
    match value {
        Seen::Number(number) => Ok(*number),
        Seen::Text(text) => number_from_text(text.trim()).ok_or(Amiss),
        _ => Err(Amiss),
    }
}

fn integer(value: &Seen) -> Result<i64, Amiss> {
    if let Seen::Text(text) = value
        && (1..=9).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_digit())
    {
        return text.parse().map_err(|_| Amiss);
    }
    let number = decimal(value)?.normalize();
    if number.scale() != 0 {
        return Err(Amiss);
    }
    i64::try_from(number.mantissa()).map_err(|_| Amiss)
}

/// Writes a decimal as a JSON string.
fn write_decimal(number: Decimal, out: &mut Vec<u8>) {
    out.push(b'"');
    let scale = number.scale() as usize;
    match u64::try_from(number.mantissa().unsigned_abs()) {
        Ok(mut rest) if rest > 0 => {
            if number.is_sign_negative() {
                out.push(b'-');
            }
            // A u64 has 20 digits, a scale is at most 28, and there is a point and a zero before it.
            let mut digits = [b'0'; 32];
            let mut at = digits.len();
            let mut written = 0;
            while rest > 0 || written <= scale {
                if written == scale && scale > 0 {
                    at -= 1;
                    digits[at] = b'.';
                }
                at -= 1;
                digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
                rest /= 10;
                written += 1;
            }
            out.extend_from_slice(&digits[at..]);
        }
        _ => {
            // Writing into memory cannot fail.
            let _ = write!(out, "{number}");
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_written_as_everywhere() {
        for text in [
            "1",
            "-1",
            "0",
            "0.5",
            "-0.05",
            "12.50",
            "100",
            "1234567.891",
            "79228162514264337593543950335",
            "0.0000000000000000000000000001",
            "18446744073709551615",
            "-0.0",
        ] {
            let number: Decimal = text.parse().unwrap();
            let mut out = Vec::new();
            write_decimal(number, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), format!("\"{number}\""));
        }
    }

    #[test]
    fn plain_dates_are_those_that_parse_to_themselves() {
        for text in [
            "2026-11-24",
            "2024-02-29",
            "2023-02-29",
            "2026-13-01",
            "2026-00-10",
            "0000-01-01",
            "2026-1-01",
            "20261124",
            "2026-11-24T00:00",
            "+002026-11-24",
        ] {
            let parsed = text.parse::<jiff::civil::Date>().is_ok_and(|date| date.to_string() == text);
            assert_eq!(is_plain_date(text), parsed, "{text}");
        }
    }
}
