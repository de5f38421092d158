//! Records of `OData` JSON: `d/results`, `d` or `value`, and one entity alone, unwrapped alike, and within them what only
//! belongs to the protocol taken away. Versions 2 and 4 give the same records.
//!
//! What does not live here: the JSON itself (`json`), and the address of the next page (`http::pages`).

use std::fmt;
use std::io::{Cursor, Read};

use jiff::SignedDuration;
use jiff::civil::{DateTime, Time, date};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::json::{self, JsonReader};
use super::objects::not_json;
use super::origin::{Origin, cut};
use super::{Encoding, LONGEST_DOCUMENT, ReadError, Reader, decoded};
use crate::record::{Fields, Map, Record, Value};

pub use super::objects::Format;

/// Where the next page's address is.
pub const NEXT: &[&[&str]] = &[&["d", "__next"], &["@odata.nextLink"], &["@nextLink"]];

/// Reads the records of `OData` JSON.
pub struct ODataReader {
    records: JsonReader,
}

impl fmt::Debug for ODataReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ODataReader")
    }
}

impl ODataReader {
    /// Begins to read a document; `name` is what messages call it.
    ///
    /// # Errors
    /// [`ReadError::Fatal`] where the document is longer than [`LONGEST_DOCUMENT`], no JSON, or an error of the system.
    pub fn new(bytes: Box<dyn Read + Send>, name: &str, format: &Format) -> Result<Self, ReadError> {
        let origin = Origin::new(name);
        let mut text = Vec::new();
        decoded(bytes, format.encoding)
            .and_then(|text_of| text_of.take(LONGEST_DOCUMENT as u64 + 1).read_to_end(&mut text))
            .map_err(|error| origin.fatal(0, Some(1), error.to_string(), None))?;
        if text.len() > LONGEST_DOCUMENT {
            let hint = Some("ask for smaller pages");
            return Err(origin.fatal(
                0,
                None,
                format!("the document has more than {} MB", LONGEST_DOCUMENT >> 20),
                hint,
            ));
        }
        let mut deserializer = serde_json::Deserializer::from_slice(&text);
        let shape = Look { level: 0 }
            .deserialize(&mut deserializer)
            .map_err(|error| origin.fatal(0, Some(1), format!("the document {}", not_json(&error, 1)), None))?;
        let records = match shape {
            Shape::Error => {
                let hint = Some("look at the request and at the system's log");
                let said = cut(&String::from_utf8_lossy(&text));
                return Err(origin.fatal(0, None, format!("the system answered with an error: {said}"), hint));
            }
            Shape::Records(path) => path.iter().map(|&name| name.to_owned()).collect(),
        };
        let json = json::Format { encoding: Encoding::utf8(), records, null: format.null.clone() };
        Ok(Self { records: JsonReader::new(Box::new(Cursor::new(text)), name, &json)? })
    }
}

impl Reader for ODataReader {
    fn next(&mut self) -> Option<Result<Record, ReadError>> {
        let record = match self.records.next()? {
            Ok(record) => record,
            Err(error) => return Some(Err(error)),
        };
        let Record { fields, place } = record;
        Some(match plain_map(fields.into_map()) {
            Ok(map) => Ok(Record { fields: Fields::Map(map), place }),
            Err(message) => Err(ReadError::Record { place, message }),
        })
    }
}

/// What a document holds.
enum Shape {
    /// Records, behind these names.
    Records(&'static [&'static str]),
    Error,
}

/// Looks what a document holds; at level 1, what `d` holds.
struct Look {
    level: u8,
}

impl<'de> DeserializeSeed<'de> for Look {
    type Value = Shape;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Shape, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Look {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an entity or a list of them")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Shape, A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Shape::Records(if self.level == 0 { &[] } else { &["d"] }))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Shape, A::Error> {
        let mut shape = None;
        let mut error = false;
        while let Some(name) = members.next_key::<std::borrow::Cow<str>>()? {
            match (self.level, name.as_ref()) {
                (0, "d") => shape = Some(members.next_value_seed(Look { level: 1 })?),
                (0, "value") if members.next_value_seed(IsList)? => shape = shape.or(Some(Shape::Records(&["value"]))),
                (1, "results") if members.next_value_seed(IsList)? => shape = Some(Shape::Records(&["d", "results"])),
                (0, "value") | (1, "results") => {}
                (level, name) => {
                    error |= level == 0 && name == "error";
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(match shape {
            Some(shape) => shape,
            None if error => Shape::Error,
            None => Shape::Records(if self.level == 0 { &[] } else { &["d"] }),
        })
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Shape, E> {
        Err(E::custom("holds no entity"))
    }
}

/// Whether a value is a list.
struct IsList;

impl<'de> DeserializeSeed<'de> for IsList {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for IsList {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<bool, A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(true)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<bool, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(false)
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_str<E>(self, _: &str) -> Result<bool, E> {
        Ok(false)
    }
}

/// A record without what belongs to the protocol.
fn plain_map(map: Map) -> Result<Map, String> {
    let mut plain = Map::with_capacity(map.len());
    for (name, value) in map.into_members() {
        if let Some(list) = name.strip_suffix("@odata.nextLink").or_else(|| name.strip_suffix("@nextLink")) {
            // At the root of a record there may be a link to the page behind it.
            if !list.is_empty() {
                return Err(incomplete(list));
            }
        }
        if &*name == "__metadata" || name.contains('@') || is_deferred(&value) {
            continue;
        }
        let value = plain_value(&name, value)?;
        plain.push(name, value);
    }
    Ok(plain)
}

fn plain_value(name: &str, value: Value) -> Result<Value, String> {
    Ok(match value {
        Value::Text(text) => Value::Text(instant_of(&text).unwrap_or(text)),
        Value::List(items) => {
            Value::List(items.into_iter().map(|item| plain_value(name, item)).collect::<Result<_, _>>()?)
        }
        Value::Map(map) if matches!(map.get("results"), Some(Value::List(_))) => {
            if map.get("__next").is_some() {
                return Err(incomplete(name));
            }
            let results = map.into_members().find(|(name, _)| &**name == "results").map(|(_, results)| results);
            plain_value(name, results.unwrap_or_default())?
        }
        Value::Map(map) => Value::Map(plain_map(map)?),
        other => other,
    })
}

/// A list within a record of which the system gave a part only.
fn incomplete(name: &str) -> String {
    format!("the list '{}' goes on on another page; read it as a stream of its own, or join it", cut(name))
}

fn is_deferred(value: &Value) -> bool {
    matches!(value, Value::Map(map) if map.len() == 1 && map.get("__deferred").is_some())
}

/// What `/Date(1492041600000)/` means, in milliseconds: the date `2017-04-13`, since that is how version 2 writes days, or
/// an instant where it has a time of day or, as in `/Date(1492041600000+0060)/`, an offset.
fn instant_of(text: &str) -> Option<String> {
    let inner = text.strip_prefix("/Date(")?.strip_suffix(")/")?;
    let offset = inner.get(1..)?.find(['+', '-']).map(|at| at + 1);
    let (milliseconds, offset) = inner.split_at(offset.unwrap_or(inner.len()));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !(offset.is_empty() || digits(&offset[1..])) {
        return None;
    }
    // A time of the calendar, since the last day of 9999, which means an open end, is too late for an instant.
    let at = DateTime::from_parts(date(1970, 1, 1), Time::midnight())
        .checked_add(SignedDuration::from_millis(milliseconds.parse().ok()?))
        .ok()?;
    let day = offset.is_empty() && at.time() == Time::midnight();
    Some(if day { at.date().to_string() } else { format!("{at}Z") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Result<String, String>>, String> {
        let mut reader = ODataReader::new(Box::new(Cursor::new(text.as_bytes().to_vec())), "page", &Format::default())
            .map_err(|error| error.to_string())?;
        let mut records = Vec::new();
        while let Some(record) = reader.next() {
            let mut bytes = Vec::new();
            records.push(match record {
                Ok(record) => {
                    record.fields.write_json(&mut bytes);
                    Ok(String::from_utf8(bytes).unwrap())
                }
                Err(ReadError::Record { message, .. }) => Err(message),
                Err(fatal @ ReadError::Fatal { .. }) => return Err(fatal.to_string()),
            });
        }
        Ok(records)
    }

    #[test]
    fn both_versions_give_the_same_records() {
        let wanted = vec![
            Ok(r#"{"Code":"1","Price":"12.500","Day":"2017-04-13","Items":[{"Nr":10}]}"#.to_owned()),
            Ok(r#"{"Code":"2","Price":null,"Day":null,"Items":[]}"#.to_owned()),
        ];
        let two = r#"{"d":{"__count":"2","results":[
            {"__metadata":{"uri":"x","type":"T"},"Code":"1","Price":"12.500","Day":"/Date(1492041600000)/",
             "Items":{"results":[{"__metadata":{"uri":"y"},"Nr":10,"to_Text":{"__deferred":{"uri":"z"}}}]}},
            {"Code":"2","Price":null,"Day":null,"Items":{"results":[]}}],"__next":"http://x/?$skiptoken=2"}}"#;
        let list = two
            .replacen(r#"{"__count":"2","results":["#, "[", 1)
            .replace(r#"],"__next":"http://x/?$skiptoken=2"}}"#, "]}");
        let four = r#"{"@odata.context":"$metadata#T","@odata.nextLink":"T?$skiptoken=2","value":[
            {"@odata.etag":"W/\"1\"","Code":"1","Price":"12.500","Day@odata.type":"Edm.Date","Day":"2017-04-13","Items":[{"Nr":10}]},
            {"Code":"2","Price":null,"Day":null,"Items":[]}]}"#;
        assert_eq!(read(two), Ok(wanted.clone()));
        assert_eq!(read(&list), Ok(wanted.clone()));
        assert_eq!(read(four), Ok(wanted));
    }

    #[test]
    fn one_entity_is_one_record() {
        let one = vec![Ok(r#"{"Code":"1","Lines":[1.10]}"#.to_owned())];
        assert_eq!(read(r#"{"d":{"__metadata":{},"Code":"1","Lines":{"results":[1.10]}}}"#), Ok(one.clone()));
        assert_eq!(read(r#"{"@odata.context":"$metadata#T/$entity","Code":"1","Lines":[1.10]}"#), Ok(one));
        let value = vec![Ok(r#"{"Code":"1","value":"x"}"#.to_owned())];
        assert_eq!(read(r#"{"Code":"1","value":"x"}"#), Ok(value));
    }

    #[test]
    fn times_are_dates_or_instants_and_durations_stay() {
        let text = |written: &str| {
            let records = read(&format!(r#"{{"value":[{{"t":"{written}"}}]}}"#)).unwrap();
            records[0].clone().unwrap().replace("{\"t\":\"", "").replace("\"}", "")
        };
        assert_eq!(text("/Date(1492041600000)/"), "2017-04-13");
        assert_eq!(text(r"\/Date(1492098664000)\/"), "2017-04-13T15:51:04Z");
        assert_eq!(text("/Date(1492041600000+0060)/"), "2017-04-13T00:00:00Z");
        assert_eq!(text("/Date(1492098664500-0060)/"), "2017-04-13T15:51:04.5Z");
        assert_eq!(text("/Date(-62135596800000)/"), "0001-01-01");
        assert_eq!(text("/Date(253402214400000)/"), "9999-12-31");
        assert_eq!(text("/Date(253402300799000+0000)/"), "9999-12-31T23:59:59Z");
        assert_eq!(text("PT17H49M08S"), "PT17H49M08S");
        for other in ["/Date()/", "/Date(x)/", "/Date(1+)/", "/Date(9999999999999999)/", "/Date(1"] {
            assert_eq!(text(other), other);
        }
    }

    #[test]
    fn a_list_that_is_not_whole_refuses_its_record_alone() {
        let two = r#"{"d":{"results":[{"Lines":{"results":[{}],"__next":"x"}},{"Lines":{"results":[]}}]}}"#;
        let four = r#"{"value":[{"Lines":[{}],"Lines@odata.nextLink":"x"},{"Lines":[]}]}"#;
        for text in [two, four] {
            let records = read(text).unwrap();
            assert!(records[0].as_ref().unwrap_err().contains("'Lines' goes on on another page"), "{records:?}");
            assert_eq!(records[1], Ok(r#"{"Lines":[]}"#.to_owned()));
        }
    }

    #[test]
    fn an_error_is_told_and_no_record() {
        let error = read(r#"{"error":{"code":"X","message":{"lang":"en","value":"Not today"}}}"#).unwrap_err();
        assert!(error.contains("Not today"), "{error}");
        assert!(read("<html/>").unwrap_err().contains("not JSON"));
        assert!(read(r#"{"d":null}"#).unwrap_err().contains("no entity"));
        assert!(read(r#"{"value":[{"a":1}"#).unwrap_err().contains("JSON"));
    }
}
