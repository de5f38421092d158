//! Reading numbers, dates and times as ERP systems write them, and converting units.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use rust_decimal::Decimal;

use super::number;
use crate::record::number_from_text;

/// How a number is written: by an example such as `1.234,56`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NumberFormat {
    thousands: Option<char>,
    decimal: char,
}

impl NumberFormat {
    /// The format of an example: `1234.56`, `1234,56`, `1.234,56`, `1,234.56`, `1 234,56`, `1'234.56`.
    pub fn of(example: &str) -> Option<Self> {
        let mut marks = example.chars().filter(|c| !c.is_ascii_digit());
        match (marks.next(), marks.next(), marks.next()) {
            (Some(decimal @ ('.' | ',')), None, None) => Some(Self { thousands: None, decimal }),
            (Some(thousands @ ('.' | ',' | ' ' | '\'')), Some(decimal @ ('.' | ',')), None) if thousands != decimal => {
                Some(Self { thousands: Some(thousands), decimal })
            }
            _ => None,
        }
    }
}

/// Reads a number; a minus may stand in front or behind.
pub(super) fn number(text: &str, format: Option<NumberFormat>) -> Result<Decimal, String> {
    match short_number(text.trim(), format) {
        Some(value) => Ok(value),
        None => long_number(text, format),
    }
}

fn long_number(text: &str, format: Option<NumberFormat>) -> Result<Decimal, String> {
    let refuse = || format!("'{}' is not a number of this format", super::evaluate::short(text));
    let trimmed = text.trim();
    let (negative, digits) = match (trimmed.strip_prefix('-'), trimmed.strip_suffix('-')) {
        (Some(rest), None) | (None, Some(rest)) => (true, rest.trim()),
        (None, None) => (false, trimmed.strip_prefix('+').unwrap_or(trimmed)),
        (Some(_), Some(_)) => return Err(refuse()),
    };
    let value = match format {
        None => number_from_text(digits),
        Some(format) => {
            let (whole, fraction) = digits.split_once(format.decimal).map_or((digits, None), |(w, f)| (w, Some(f)));
            let plain = plain_digits(whole, format.thousands).ok_or_else(refuse)?;
            match fraction {
                Some(fraction) if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) => None,
                Some(fraction) => number_from_text(&format!("{plain}.{fraction}")),
                None => number_from_text(&plain),
            }
        }
    };
    let value = value
        .filter(|_| digits.starts_with(|c: char| c.is_ascii_digit() || c == '.' || c == ','))
        .ok_or_else(refuse)?;
    Ok(if negative { -value } else { value })
}

/// Reads a number of up to 18 digits; nothing where the text is another, or none. Most numbers are so short, and need
/// neither memory nor exact arithmetic.
fn short_number(text: &str, format: Option<NumberFormat>) -> Option<Decimal> {
    let format = format.unwrap_or(NumberFormat { thousands: None, decimal: '.' });
    let (negative, digits) = match text.strip_prefix('-').or_else(|| text.strip_suffix('-')) {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (mut value, mut count, mut scale) = (0_i64, 0, None);
    // Digits since the last thousands separator, and whether there was one.
    let (mut group, mut grouped) = (0, false);
    for byte in digits.bytes() {
        let mark = char::from(byte);
        if byte.is_ascii_digit() {
            if count == 18 {
                return None;
            }
            value = value * 10 + i64::from(byte - b'0');
            count += 1;
            group += 1;
            scale = scale.map(|scale| scale + 1);
        } else if mark == format.decimal && scale.is_none() && count > 0 && (!grouped || group == 3) {
            scale = Some(0);
        } else if Some(mark) == format.thousands
            && scale.is_none()
            && (group == 3 || !grouped && (1..3).contains(&group))
        {
            (group, grouped) = (0, true);
        } else {
            return None;
        }
    }
    let whole = match scale {
        Some(scale) => scale > 0,
        None => count > 0 && (!grouped || group == 3),
    };
    (whole && (value != 0 || !negative))
        .then(|| Decimal::new(if negative { -value } else { value }, scale.unwrap_or(0)))
}

/// The digits of a whole number; a thousands separator stands before each three digits or nowhere.
fn plain_digits(whole: &str, thousands: Option<char>) -> Option<String> {
    let groups: Vec<&str> = match thousands {
        // A space in print is often a no-break one.
        Some(' ') => whole.split([' ', '\u{a0}', '\u{202f}']).collect(),
        Some(mark) => whole.split(mark).collect(),
        None => vec![whole],
    };
    let grouped = groups.len() == 1 || groups[1..].iter().all(|g| g.len() == 3) && (1..=3).contains(&groups[0].len());
    let digits = groups.iter().all(|g| g.bytes().all(|b| b.is_ascii_digit()));
    let plain = groups.concat();
    (grouped && digits).then(|| if plain.is_empty() { "0".to_owned() } else { plain })
}

/// Reads a date by a format of `yyyy`, `yy`, `MM`, `M`, `dd`, `d` and separators. An SAP-like "no date" and "open
/// end" are no date.
pub(super) fn date(text: &str, format: &str) -> Result<Option<String>, String> {
    let text = text.trim();
    let refuse = || format!("'{}' is not a date of the format {format}", super::evaluate::short(text));
    let (mut year, mut month, mut day) = (None, None, None);
    let mut rest = text;
    let mut tokens = format;
    while let Some(first) = tokens.chars().next() {
        let length = tokens.chars().take_while(|c| *c == first).count();
        tokens = &tokens[length * first.len_utf8()..];
        if !matches!(first, 'y' | 'M' | 'd') {
            for _ in 0..length {
                rest = rest.strip_prefix(first).ok_or_else(refuse)?;
            }
            continue;
        }
        let most = length.max(if length == 1 { 2 } else { 0 });
        let width = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
        if width < length {
            return Err(refuse());
        }
        let number: i16 = rest[..width].parse().map_err(|_| refuse())?;
        rest = &rest[width..];
        match first {
            // Two digits mean 1970 to 2069.
            'y' if length == 2 => year = Some(if number >= 70 { 1900 + number } else { 2000 + number }),
            'y' => year = Some(number),
            'M' => month = Some(number),
            _ => day = Some(number),
        }
    }
    let (Some(year), Some(month), Some(day)) = (year, month, day) else { return Err(refuse()) };
    if !rest.is_empty() {
        return Err(refuse());
    }
    if (year, month, day) == (0, 0, 0) || year == 1 || (year, month, day) == (9999, 12, 31) {
        return Ok(None);
    }
    let narrow = |n: i16| i8::try_from(n).map_err(|_| refuse());
    let date = Date::new(year, narrow(month)?, narrow(day)?).map_err(|_| refuse())?;
    Ok(Some(written(date)))
}

/// A date in its canonical form.
fn written(date: Date) -> String {
    let Ok(year) = u32::try_from(date.year()) else { return date.to_string() };
    let digit = |number: u32, place: u32| char::from_digit(number / place % 10, 10).unwrap_or('0');
    let mut text = String::with_capacity(10);
    text.extend([digit(year, 1000), digit(year, 100), digit(year, 10), digit(year, 1)]);
    for part in [date.month(), date.day()] {
        let part = u32::from(part.unsigned_abs());
        text.extend(['-', digit(part, 10), digit(part, 1)]);
    }
    text
}

/// Whether a date format names year, month and day.
pub(super) fn is_date_format(format: &str) -> bool {
    let count = |c: char| format.chars().filter(|f| *f == c).count();
    matches!(count('y'), 2 | 4) && matches!(count('M'), 1 | 2) && matches!(count('d'), 1 | 2)
}

/// Reads a time as an instant: RFC 3339, or a local time in a zone.
pub(super) fn instant(text: &str, zone: &TimeZone) -> Result<String, String> {
    let text = text.trim();
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return Ok(instant.to_string());
    }
    let local: DateTime = text.parse().map_err(|_| {
        format!("'{}' is not a time as 2026-11-24 03:00:00 or 2026-11-24T03:00:00Z", super::evaluate::short(text))
    })?;
    let zoned = local.to_zoned(zone.clone()).map_err(|e| e.to_string())?;
    Ok(zoned.timestamp().to_string())
}

/// A format of `yyyy`, `yy`, `MM`, `M`, `dd`, `d`, `HH`, `mm`, `ss` and separators in the notation of `strftime`,
/// and whether it has a time of day.
pub(super) fn time_format(format: &str) -> Option<(String, bool)> {
    let (mut pattern, mut clock, mut rest) = (String::new(), false, format);
    while let Some(first) = rest.chars().next() {
        let length = rest.chars().take_while(|c| *c == first).count();
        let token = &rest[..length * first.len_utf8()];
        rest = &rest[token.len()..];
        pattern.push_str(match token {
            "yyyy" => "%Y",
            "yy" => "%y",
            "MM" => "%m",
            "M" => "%-m",
            "dd" => "%d",
            "d" => "%-d",
            "HH" => "%H",
            "mm" => "%M",
            "ss" => "%S",
            "T" | "Z" => token,
            _ if first.is_alphabetic() || first == '%' => return None,
            separator => separator,
        });
        clock |= matches!(first, 'H' | 'm' | 's');
    }
    (!format.is_empty()).then_some((pattern, clock))
}

pub(super) fn bad_time_format(format: &str) -> String {
    let format = super::evaluate::short(format);
    format!("'{format}' is no format; write one such as 'dd-MM-yyyy', 'yyyyMMdd' or 'yyyy-MM-dd HH:mm:ss'")
}

/// Writes a date, or an instant as the clocks of a zone show it.
pub(super) fn format(text: &str, format: &str, zone: &TimeZone) -> Result<String, String> {
    let (pattern, clock) = time_format(format).ok_or_else(|| bad_time_format(format))?;
    let local = if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        instant.to_zoned(zone.clone()).datetime()
    } else {
        let date: Date = text.parse().map_err(|_| {
            let text = super::evaluate::short(text);
            format!("'{text}' is neither a date as 2026-11-24 nor an instant as 2026-11-24T03:00:00Z")
        })?;
        if clock {
            return Err(format!("the date {date} has no time of day; leave it out of the format"));
        }
        date.to_datetime(jiff::civil::Time::midnight())
    };
    jiff::fmt::strtime::format(pattern, local).map_err(|e| e.to_string())
}

/// Units by symbol and by Recommendation 20 code: dimension and exact size in the dimension's smallest unit.
const UNITS: &[(&str, &str, char, &str)] = &[
    ("mm", "MMT", 'l', "1"),
    ("cm", "CMT", 'l', "10"),
    ("dm", "DMT", 'l', "100"),
    ("m", "MTR", 'l', "1000"),
    ("km", "KMT", 'l', "1000000"),
    ("in", "INH", 'l', "25.4"),
    ("ft", "FOT", 'l', "304.8"),
    ("mm2", "MMK", 'a', "1"),
    ("cm2", "CMK", 'a', "100"),
    ("m2", "MTK", 'a', "1000000"),
    ("ml", "MLT", 'v', "1"),
    ("cm3", "CMQ", 'v', "1"),
    ("l", "LTR", 'v', "1000"),
    ("dm3", "DMQ", 'v', "1000"),
    ("m3", "MTQ", 'v', "1000000"),
    ("mg", "MGM", 'w', "1"),
    ("g", "GRM", 'w', "1000"),
    ("kg", "KGM", 'w', "1000000"),
    ("t", "TNE", 'w', "1000000000"),
    ("oz", "ONZ", 'w', "28349.523125"),
    ("lb", "LBR", 'w', "453592.37"),
    ("s", "SEC", 't', "1"),
    ("min", "MIN", 't', "60"),
    ("h", "HUR", 't', "3600"),
    ("d", "DAY", 't', "86400"),
];

/// Converts a value between units of one dimension, exactly.
pub(super) fn unit(value: Decimal, from: &str, to: &str) -> Result<Decimal, String> {
    let find = |name: &str| {
        UNITS
            .iter()
            .find(|(symbol, code, _, _)| *symbol == name || *code == name)
            .ok_or_else(|| format!("convert_unit does not know the unit '{}'", super::evaluate::short(name)))
    };
    let ((_, _, dimension, factor), (_, _, other, into)) = (find(from)?, find(to)?);
    if dimension != other {
        return Err(format!("'{from}' cannot be converted to '{to}': they measure different things"));
    }
    let size = |text: &str| number_from_text(text).ok_or("a unit's size is no number");
    let amount = number::multiply(value, size(factor)?)?;
    let quotient = amount.checked_div(size(into)?).ok_or("the result is beyond the range")?;
    if number::multiply(quotient, size(into)?)? == amount {
        Ok(quotient.normalize())
    } else {
        Err(format!("{value} {from} is no exact number of {to}; convert to a smaller unit"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_erp_systems_write_them() {
        let read = |text: &str, example: &str| number(text, NumberFormat::of(example)).map(|n| n.to_string());
        for (text, example, value) in [
            ("1.234,56", "1.234,56", "1234.56"),
            ("12,50-", "1.234,56", "-12.50"),
            ("  -0,5 ", "1.234,56", "-0.5"),
            ("1234,5", "1.234,56", "1234.5"),
            ("1,234.56", "1,234.56", "1234.56"),
            ("1 234,56", "1 234,56", "1234.56"),
            ("1\u{a0}234,56", "1 234,56", "1234.56"),
            ("1'234.56", "1'234.56", "1234.56"),
            (",5", "1.234,56", "0.5"),
        ] {
            assert_eq!(read(text, example).as_deref(), Ok(value), "{text}");
        }
        for (text, example) in [
            ("1.23,4", "1.234,56"),
            ("1,5,6", "1.234,56"),
            ("12.50", "1.234,56"),
            ("--1", "1.234,56"),
            ("-1-", "1.234,56"),
            ("1e5", "1.234,56"),
            ("", "1.234,56"),
            ("abc", "1234.56"),
            ("-", "1234.56"),
        ] {
            assert!(read(text, example).is_err(), "{text}");
        }
        for text in [
            "1.234.567,8",
            "1234.567,8",
            "12.34",
            ".123",
            "123.",
            "1,",
            ",1",
            "-",
            "",
            "5-",
            "-5-",
            "+5",
            "0,00-",
            "12345678901234567,8",
            "1234567890123456789",
            "99999999999999999999,9",
            "1234567890123456789012345678901",
        ] {
            let format = NumberFormat::of("1.234,56");
            if let Some(value) = short_number(text, format) {
                assert_eq!(Ok(value), long_number(text, format), "{text}");
            }
        }
        assert_eq!(short_number("-1.234.567,80", NumberFormat::of("1.234,56")), Some(Decimal::new(-123_456_780, 2)));
        assert_eq!(number("0.000E+00", None).unwrap(), Decimal::ZERO);
        assert_eq!(NumberFormat::of("1.234.567"), None);
    }

    #[test]
    fn dates_as_erp_systems_write_them() {
        let some = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(date("24-11-2026", "dd-MM-yyyy"), some("2026-11-24"));
        assert_eq!(date("4-1-2026", "d-M-yyyy"), some("2026-01-04"));
        assert_eq!(date("20261124", "yyyyMMdd"), some("2026-11-24"));
        assert_eq!(date("24.11.69", "dd.MM.yy"), some("2069-11-24"));
        assert_eq!(date("00000000", "yyyyMMdd"), Ok(None));
        assert_eq!(date("99991231", "yyyyMMdd"), Ok(None));
        assert_eq!(date("01-01-0001", "dd-MM-yyyy"), Ok(None));
        for (text, format) in [
            ("30-02-2026", "dd-MM-yyyy"),
            ("2026-11-24", "dd-MM-yyyy"),
            ("24-11-2026x", "dd-MM-yyyy"),
            ("", "dd-MM-yyyy"),
        ] {
            assert!(date(text, format).is_err(), "{text}");
        }
    }

    #[test]
    fn dates_and_instants_are_written() {
        let amsterdam = TimeZone::get("Europe/Amsterdam").unwrap();
        let write = |text: &str, pattern: &str| format(text, pattern, &amsterdam);
        assert_eq!(write("2026-01-04", "dd-MM-yyyy").unwrap(), "04-01-2026");
        assert_eq!(write("2026-01-04", "d.M.yy").unwrap(), "4.1.26");
        assert_eq!(write("2026-11-24T23:30:00Z", "yyyy-MM-ddTHH:mm:ss").unwrap(), "2026-11-25T00:30:00");
        assert_eq!(write("2026-11-24T23:30:00Z", "yyyyMMdd").unwrap(), "20261125");
        assert!(write("2026-01-04", "HH:mm").unwrap_err().contains("no time of day"));
        assert!(write("gisteren", "yyyy").unwrap_err().contains("neither"));
        for pattern in ["", "YYYY", "yyyy%", "EEEE"] {
            assert!(write("2026-01-04", pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn local_times_get_their_zone() {
        let amsterdam = TimeZone::get("Europe/Amsterdam").unwrap();
        assert_eq!(instant("2026-11-24 03:00:00", &amsterdam).unwrap(), "2026-11-24T02:00:00Z");
        assert_eq!(instant("2026-11-24T03:00:00Z", &amsterdam).unwrap(), "2026-11-24T03:00:00Z");
        assert!(instant("yesterday", &amsterdam).is_err());
    }

    #[test]
    fn units_convert_exactly_or_not_at_all() {
        let d = |text: &str| text.parse::<Decimal>().unwrap();
        assert_eq!(unit(d("36"), "mm", "m"), Ok(d("0.036")));
        assert_eq!(unit(d("1"), "INH", "MMT"), Ok(d("25.4")));
        assert_eq!(unit(d("1.5"), "kg", "g"), Ok(d("1500")));
        assert!(unit(d("1"), "mm", "in").is_err());
        assert!(unit(d("1"), "mm", "kg").unwrap_err().contains("different things"));
        assert!(unit(d("1"), "ST", "kg").is_err());
    }
}
