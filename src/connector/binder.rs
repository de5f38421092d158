//! Filling the settings of a connection into what a manifest says.
//!
//! What does not live here: what a transport makes of the values (`file::bind`, `http::bind`).

use jiff::tz::TimeZone;

use super::check::SETTINGS;
use super::word::{Formatted, Plan, Word};
use crate::config::{Document, KeyPath, Problems};
use crate::expression::Context;
use crate::record::{Map, Value};

/// Fills the settings of a connection into the plans of a manifest.
pub struct Binder<'a> {
    /// The settings that are no secrets.
    pub settings: &'a Value,
    /// The connection's zone.
    pub zone: &'a TimeZone,
    /// The configuration.
    pub document: &'a Document,
    /// The connection's settings in the configuration.
    pub at: &'a KeyPath,
    /// What was found.
    pub problems: Problems,
}

impl Binder<'_> {
    /// A value that must be there; nothing with a problem.
    pub fn needed<T>(&mut self, word: &Word<T>) -> Option<T> {
        let value = self.value(word)?;
        if value.is_none() {
            self.refuse(word, "there is no value for it");
        }
        value
    }

    /// A format with what the settings decide.
    pub fn format<T: Formatted + Clone>(&mut self, plan: &Plan<T>) -> T {
        let mut format = plan.format.clone();
        let (encoding, delimiter) = (self.chosen(plan.encoding.as_ref()), self.chosen(plan.delimiter.as_ref()));
        if let Some(encoding) = encoding {
            format.set_encoding(encoding);
        }
        if let Some(delimiter) = delimiter {
            format.set_delimiter(delimiter);
        }
        if let Err(message) = format.check() {
            match (&plan.delimiter, &plan.encoding) {
                (Some(word), _) if delimiter.is_some() => self.refuse(word, &message),
                (_, Some(word)) => self.refuse(word, &message),
                _ => self.problems.push(self.document.problem(self.at, message)),
            }
        }
        format
    }

    /// A value that the format has a default for.
    fn chosen<T>(&mut self, word: Option<&Word<T>>) -> Option<T> {
        self.value(word?).flatten()
    }

    /// A value, or that there is none; nothing with a problem.
    #[allow(clippy::option_option)]
    pub fn value<T>(&mut self, word: &Word<T>) -> Option<Option<T>> {
        let names = [("settings", self.settings)];
        let record = Map::default();
        let context = Context { record: (&record).into(), names: &names, zone: self.zone };
        let filled = word.template.fill(&context).map_err(|error| error.to_string());
        match filled.and_then(|text| text.map(|text| (word.read)(&text)).transpose()) {
            Ok(value) => Some(value),
            Err(message) => {
                self.refuse(word, &message);
                None
            }
        }
    }

    /// A problem with the first setting that a word names.
    pub fn refuse<T>(&mut self, word: &Word<T>, message: &str) {
        let member = word.template.members(SETTINGS).into_iter().next();
        let path = member.map_or_else(|| self.at.clone(), |member| self.at.key(&member.name));
        let problem = self.document.problem(&path, format!("{message} (in the manifest, `{}`)", word.name));
        self.problems.push(problem);
    }
}
