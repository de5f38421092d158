//! The files of a recording: what is in each, and writing and reading them.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value as Json;

use super::TrafficError;

/// The file that says what was recorded.
const INDEX: &str = "recording.json";

/// The form of these files.
pub const FORM: u32 = 1;

/// What was recorded.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// The form of the files.
    #[serde(deserialize_with = "form")]
    pub form: u32,
    /// The version of the program.
    pub tradebridge: String,
    /// The connection's name.
    pub connection: String,
    /// Its connector.
    pub connector: String,
    /// The digest of the connector's manifest.
    pub manifest: String,
    /// Its company.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub company: Option<String>,
    /// Its zone.
    pub time_zone: String,
    /// The address that paths are behind.
    pub address: String,
    /// The settings that are no secrets.
    pub settings: Json,
    /// When the recording began.
    pub began_at: Timestamp,
    /// When it ended; absent where it broke off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// The pulls in their order, and from where each began.
    pub pulls: Vec<Begun>,
}

/// A pull, and from where it began.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begun {
    /// The stream.
    pub stream: String,
    /// How far it had been read; absent: everything is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Json>,
    /// When.
    pub at: Timestamp,
}

/// An exchange.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// When the request was sent.
    pub at: Timestamp,
    /// How long it took.
    pub milliseconds: u64,
    /// Whether it was a login: little is kept of it, and no replay asks for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub login: bool,
    /// What was asked.
    pub request: Sent,
    /// What it came to.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What an exchange came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// An answer.
    Answer(Received),
    /// None.
    Failure(Fault),
}

/// A request as it was sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sent {
    /// The method.
    #[serde(serialize_with = "written", deserialize_with = "read")]
    pub method: Method,
    /// The address.
    #[serde(serialize_with = "written", deserialize_with = "read")]
    pub address: Url,
    /// The headers.
    pub headers: Vec<Header>,
    /// The body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Body>,
}

/// An answer as it arrived.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Received {
    /// The status.
    #[serde(serialize_with = "number", deserialize_with = "status")]
    pub status: StatusCode,
    /// The headers.
    pub headers: Vec<Header>,
    /// The body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Body>,
}

/// Why there was no answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Of which kind.
    pub kind: FaultKind,
    /// Why.
    pub message: String,
    /// When the next request may be sent, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}

/// Why there was no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Nothing was sent.
    Unreachable,
    /// It broke off.
    Broken,
    /// The budget allowed no more.
    Limited,
    /// It cannot be used.
    Unusable,
}

/// A header, written `name: value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: HeaderName,
    /// Its value.
    pub value: HeaderValue,
}

/// A body: as JSON where that loses nothing, otherwise as text or in base64.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// JSON.
    Json(Json),
    /// Text.
    Text(String),
    /// Bytes.
    Base64(Base64),
}

/// Bytes, written in base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base64(pub Vec<u8>);

impl Body {
    /// A body of bytes; none where there are none.
    pub fn of(bytes: Vec<u8>) -> Option<Self> {
        if bytes.is_empty() {
            return None;
        }
        Some(match String::from_utf8(bytes) {
            Err(error) => Self::Base64(Base64(error.into_bytes())),
            Ok(text) => match serde_json::from_str::<Json>(&text).map(|json| (json.to_string(), json)) {
                Ok((written, json)) if written == bare(&text) => Self::Json(json),
                _ => Self::Text(text),
            },
        })
    }

    /// Its bytes.
    pub fn bytes(&self) -> Bytes {
        match self {
            Self::Json(json) => Bytes::from(json.to_string()),
            Self::Text(text) => Bytes::from(text.clone()),
            Self::Base64(Base64(bytes)) => Bytes::from(bytes.clone()),
        }
    }
}

/// JSON without the space between its parts.
fn bare(text: &str) -> String {
    let (mut quoted, mut escaped) = (false, false);
    let kept = |c: &char| {
        let stays = quoted || !c.is_ascii_whitespace();
        quoted ^= *c == '"' && !escaped;
        escaped = quoted && *c == '\\' && !escaped;
        stays
    };
    text.chars().filter(kept).collect()
}

impl Serialize for Header {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Bytes beyond Latin-1 are in no header; those of it are its characters.
        let mut text = format!("{}: ", self.name);
        text.extend(self.value.as_bytes().iter().map(|&byte| char::from(byte)));
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let header = || {
            let (name, value) = text.split_once(": ")?;
            let bytes: Vec<u8> = value.chars().map(|c| u8::try_from(c).ok()).collect::<Option<_>>()?;
            Some(Self { name: name.parse().ok()?, value: HeaderValue::from_bytes(&bytes).ok()? })
        };
        header().ok_or_else(|| D::Error::custom(format!("`{text}` is no header; write it `name: value`")))
    }
}

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(|error| D::Error::custom(format!("this is no base64: {error}")))
    }
}

fn written<T: std::fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn read<'de, T: FromStr<Err: std::fmt::Display>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|error| D::Error::custom(format!("`{text}` does not belong here: {error}")))
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn number<S: Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

fn status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<StatusCode, D::Error> {
    let number = u16::deserialize(deserializer)?;
    StatusCode::from_u16(number).map_err(|_| D::Error::custom(format!("{number} is no status of an answer")))
}

fn form<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let form = u32::deserialize(deserializer)?;
    let other =
        || D::Error::custom(format!("this version reads recordings of the form {FORM}, and this one has {form}"));
    (form == FORM).then_some(form).ok_or_else(other)
}

impl Index {
    /// The file that says what was recorded.
    pub fn path(directory: &Path) -> PathBuf {
        directory.join(INDEX)
    }
}

impl Entry {
    /// The file of an exchange.
    pub fn path(directory: &Path, number: u64) -> PathBuf {
        directory.join(format!("{number:06}.json"))
    }

    /// The exchanges of a recording, by number.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub fn paths(directory: &Path) -> Result<Vec<PathBuf>, TrafficError> {
        let reading = |source| TrafficError::Read { path: directory.to_owned(), source };
        let mut numbered = Vec::new();
        for file in std::fs::read_dir(directory).map_err(reading)? {
            let path = file.map_err(reading)?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            if path.extension().is_some_and(|extension| extension == "json")
                && let Some(number) = stem.and_then(|stem| stem.parse::<u64>().ok())
            {
                numbered.push((number, path));
            }
        }
        numbered.sort();
        Ok(numbered.into_iter().map(|(_, path)| path).collect())
    }
}

/// Writes a file whole or not at all. Blocking.
///
/// # Errors
/// Where it cannot be written.
pub fn write(path: &Path, content: &impl Serialize) -> Result<(), TrafficError> {
    let part = path.with_extension("part");
    let written = || {
        let mut text = serde_json::to_string_pretty(content)?;
        let _ = writeln!(text);
        File::create(&part)?.write_all(text.as_bytes())?;
        std::fs::rename(&part, path)
    };
    written().map_err(|source| TrafficError::Write { path: path.to_owned(), source })
}

/// Reads a file. Blocking.
///
/// # Errors
/// Where it cannot be read, or is not what it was written as.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, TrafficError> {
    let text = std::fs::read_to_string(path).map_err(|source| match source.kind() {
        ErrorKind::NotFound if path.ends_with(INDEX) => {
            TrafficError::NoRecording(path.parent().unwrap_or(path).to_owned())
        }
        _ => TrafficError::Read { path: path.to_owned(), source },
    })?;
    serde_json::from_str(&text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let message = error.to_string();
        // It says the place itself, at its end.
        let message = message.split(" at line ").next().unwrap_or(&message).to_owned();
        TrafficError::Damaged { path: path.to_owned(), line, column, message }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_comes_back_as_it_was() {
        let bodies: [&[u8]; 6] = [
            br#"{"a": [1.10, "x \" y\\"], "b": null}"#,
            b"{\"a\":1,\"a\":2}",
            b"<a>\xc3\xa9</a>",
            b"\xff\xfe\x00",
            b"{\"price\":1e3,\"half",
            br#"{"e": "\u00e9"}"#,
        ];
        for bytes in bodies {
            let body = Body::of(bytes.to_vec()).unwrap();
            let read: Body = serde_json::from_str(&serde_json::to_string(&body).unwrap()).unwrap();
            match &read {
                Body::Json(json) => assert_eq!(json.to_string(), bare(std::str::from_utf8(bytes).unwrap())),
                _ => assert_eq!(&read.bytes()[..], bytes),
            }
        }
        assert!(matches!(Body::of(bodies[0].to_vec()), Some(Body::Json(_))));
        assert!(matches!(Body::of(bodies[1].to_vec()), Some(Body::Text(_))), "the second `a` must not be lost");
        assert_eq!(Body::of(Vec::new()), None);
    }
}
