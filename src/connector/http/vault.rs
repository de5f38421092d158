//! What nobody may see: the secrets of a connection, and the headers that prove who its requests come from.
//!
//! What does not live here: what the headers are made of (`auth`).

use std::fmt;

use jiff::tz::TimeZone;
use reqwest::header::{HeaderName, HeaderValue};

use super::request::hide;
use crate::config::Secret;
use crate::expression::{Context, Template};
use crate::record::{Map, Value};

/// What is shorter in a header is no credential.
const SHORTEST: usize = 6;

/// The settings of a connection with its secrets; nothing prints them.
pub struct Vault {
    settings: Value,
    secrets: Vec<Secret>,
}

/// Headers that prove who a request comes from; nothing prints them.
#[derive(Clone, Default)]
pub struct Proof(pub Vec<(HeaderName, HeaderValue)>);

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secrets]")
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secrets]")
    }
}

impl Vault {
    /// The settings, secrets among them, and the secrets by themselves.
    pub fn new(settings: Value, secrets: Vec<Secret>) -> Self {
        Self { settings, secrets }
    }

    /// The secrets by themselves.
    pub fn secrets(&self) -> &[Secret] {
        &self.secrets
    }

    /// Hides the secrets in a text that may hold them, for messages.
    pub fn mask(&self, text: &str) -> String {
        self.secrets.iter().map(Secret::reveal).fold(text.to_owned(), |text, secret| hide(&text, secret))
    }

    /// Does something with the settings, secrets among them, and with an answer, which is null where there is none.
    pub fn with<T>(&self, answer: &Value, zone: &TimeZone, then: impl FnOnce(&Context) -> T) -> T {
        let names = [("settings", &self.settings), ("answer", answer)];
        let record = Map::default();
        then(&Context { record: (&record).into(), names: &names, zone })
    }

    /// The text of a template, which must have one.
    ///
    /// # Errors
    /// Where it has none.
    pub fn fill(&self, template: &Template, zone: &TimeZone) -> Result<String, String> {
        let text =
            self.with(&Value::Null, zone, |context| template.fill(context).map_err(|error| error.to_string()))?;
        text.ok_or_else(|| format!("there is no value for `{}`", template.source()))
    }
}

impl Proof {
    /// A proof of headers.
    ///
    /// # Errors
    /// Where a name or a value is none of a header.
    pub fn of(headers: Vec<(String, String)>) -> Result<Self, String> {
        let mut made = Vec::with_capacity(headers.len());
        for (name, text) in headers {
            let header =
                HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("'{name}' is no name of a header"))?;
            let mut value = HeaderValue::from_str(&text)
                .map_err(|_| format!("what goes into the header {name} has characters that none may have"))?;
            value.set_sensitive(true);
            made.push((header, value));
        }
        Ok(Self(made))
    }

    /// Hides what the headers hold in a text that may hold it too, for messages.
    pub fn mask(&self, text: &str) -> String {
        let texts = self.0.iter().filter_map(|(_, value)| value.to_str().ok());
        texts.fold(text.to_owned(), |text, secret| {
            // Systems give back the credentials with or without their scheme.
            let bare = secret.rsplit(' ').next().unwrap_or(secret);
            if bare.len() < SHORTEST { text } else { hide(&hide(&text, secret), bare) }
        })
    }
}
