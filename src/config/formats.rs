//! The `format`s of our JSON Schemas that are checked, by name: the kinds of `values`, and what the
//! bodies of HTTP requests need besides.

use std::str::FromStr;

use jiff::Timestamp;
use rust_decimal::Decimal;

use super::queue::QueueUrl;
use super::values::{Cron, Interval, ListenAddress, LogFilter, NotAValue, Percent, Period, Size, StoreUrl, Zone};

fn not(message: impl Into<String>) -> NotAValue {
    NotAValue(message.into())
}

/// How a text of a named format is judged.
type Check = fn(&str) -> Result<(), NotAValue>;

fn parses<T: FromStr<Err = NotAValue>>(text: &str) -> Result<(), NotAValue> {
    text.parse::<T>().map(|_| ())
}

/// The check of a `format` of a JSON Schema; `None` for formats that are only described.
pub fn format_check(format: &str) -> Option<Check> {
    Some(match format {
        "interval" | "duration" => parses::<Interval>,
        "period" => parses::<Period>,
        "percent" => parses::<Percent>,
        "size" => parses::<Size>,
        "cron" => parses::<Cron>,
        "time-zone" => parses::<Zone>,
        "listen-address" => parses::<ListenAddress>,
        "store-url" => parses::<StoreUrl>,
        "queue-url" => parses::<QueueUrl>,
        "log-filter" => parses::<LogFilter>,
        "name" => name,
        "decimal" => decimal,
        "date" => date,
        "date-time" => instant,
        "uuid" => uuid,
        _ => return None,
    })
}

fn name(text: &str) -> Result<(), NotAValue> {
    let good = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_');
    if good {
        return Ok(());
    }
    Err(not(format!(
        "`{text}` is no name; use lowercase letters, digits, `-` and `_`, beginning with a letter or digit"
    )))
}

fn decimal(text: &str) -> Result<(), NotAValue> {
    Decimal::from_str_exact(text)
        .map(|_| ())
        .map_err(|_| not(format!("`{text}` is no exact decimal of at most 28 digits; write it like `12.50`")))
}

fn date(text: &str) -> Result<(), NotAValue> {
    // Years beyond four digits and times behind the date are no dates of business.
    let parsed = text.parse::<jiff::civil::Date>().ok().filter(|date| date.to_string() == text);
    parsed.map(|_| ()).ok_or_else(|| not(format!("`{text}` is no date; write it like `2026-03-31`")))
}

fn instant(text: &str) -> Result<(), NotAValue> {
    text.parse::<Timestamp>()
        .map(|_| ())
        .map_err(|_| not(format!("`{text}` is no instant; write it like `2026-03-31T14:00:00Z`")))
}

fn uuid(text: &str) -> Result<(), NotAValue> {
    text.parse::<uuid::Uuid>().map(|_| ()).map_err(|_| not(format!("`{text}` is no UUID")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_dates() {
        assert!(name("erp-1_b").is_ok() && name("ERP").is_err() && name("-a").is_err() && name("").is_err());
        assert!(date("2026-02-29").is_err() && date("2024-02-29").is_ok() && date("2024-02-29T10:00").is_err());
        assert!(decimal("12.50").is_ok() && decimal("12,50").is_err() && decimal(&"9".repeat(40)).is_err());
    }
}
