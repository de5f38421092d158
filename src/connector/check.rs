//! Checking the parts of a manifest: templates and the settings they name, keys that are missing or do not fit.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::manifest::{SettingFile, SettingType, StreamFile};
use super::word::Word;
use crate::config::{Document, KeyPath, Problem, Problems, suggest};
use crate::expression::{Expression, Fault, Fields, Member, Scope, Template};

/// The variables of a template.
pub const NAMES: &[&str] = &["settings"];

/// The variables of the name of a file that is written.
pub const FILE_NAMES: &[&str] = &["settings", "reference", "request"];

/// Where `settings` stands among the variables.
pub const SETTINGS: usize = 0;

/// Where `reference` stands among the variables.
pub const REFERENCE: usize = 1;

/// Whether templates may name secret settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrecy {
    /// They may not.
    Kept,
    /// They may: what they make goes to the system that the secret is for, and nowhere else.
    Told,
}

/// A manifest that is being checked.
#[derive(Debug)]
pub struct Checker<'a> {
    /// The file.
    pub document: &'a Document,
    /// The settings it declares.
    pub settings: &'a BTreeMap<String, SettingFile>,
    /// What was found.
    pub problems: Problems,
}

/// A stream with what `defaults` says for it, and where each of its keys stands.
#[derive(Debug)]
pub struct Merged<'a> {
    /// The file.
    pub document: &'a Document,
    /// The stream's table.
    pub at: KeyPath,
    /// The table of defaults.
    pub defaults: KeyPath,
    /// What holds for the stream.
    pub stream: StreamFile,
}

impl Merged<'_> {
    /// Where a key stands: in the stream or in the defaults.
    pub fn key(&self, name: &str) -> KeyPath {
        let (own, default) = (self.at.key(name), self.defaults.key(name));
        if self.document.value(&own).is_none() && self.document.value(&default).is_some() { default } else { own }
    }

    /// Whether the stream says it itself.
    pub fn own(&self, name: &str) -> bool {
        self.document.value(&self.at.key(name)).is_some()
    }
}

impl Checker<'_> {
    /// Compiles a template; where it holds no expression, its text is read at once. Nothing where it is not given,
    /// or with a problem.
    pub fn word<T>(
        &mut self,
        path: &KeyPath,
        source: Option<&str>,
        names: &[&str],
        read: fn(&str) -> Result<T, String>,
    ) -> Option<Word<T>> {
        let template = self.template(path, source?, names, Secrecy::Kept)?;
        if let Some(Err(message)) = template.constant().map(read) {
            self.refuse(path, message, None);
        }
        Some(Word { name: path.to_string(), template, read })
    }

    /// Compiles a template; nothing with a problem. The first of its variables are the settings.
    pub fn template(&mut self, path: &KeyPath, source: &str, names: &[&str], secrecy: Secrecy) -> Option<Template> {
        let lookups = BTreeMap::new();
        let scope = Scope { fields: Fields::Known(&[]), names, lookups: &lookups };
        let template = match Template::compile(source, &scope) {
            Ok(template) => template,
            Err(faults) => {
                self.faults(path, faults);
                return None;
            }
        };
        for member in template.members(SETTINGS) {
            self.setting(path, &member, secrecy);
        }
        Some(template)
    }

    /// Compiles a template, or that there is none; nothing with a problem.
    #[allow(clippy::option_option)]
    pub fn optional(
        &mut self,
        path: &KeyPath,
        source: Option<&String>,
        names: &[&str],
        secrecy: Secrecy,
    ) -> Option<Option<Template>> {
        match source {
            None => Some(None),
            Some(source) => self.template(path, source, names, secrecy).map(Some),
        }
    }

    /// Compiles an expression; nothing with a problem. The first of its variables are the settings.
    pub fn expression(&mut self, path: &KeyPath, source: &str, fields: Fields, names: &[&str]) -> Option<Expression> {
        let lookups = BTreeMap::new();
        match Expression::compile(source, &Scope { fields, names, lookups: &lookups }) {
            Ok(expression) => {
                for member in expression.members(SETTINGS) {
                    self.setting(path, &member, Secrecy::Kept);
                }
                Some(expression)
            }
            Err(faults) => {
                self.faults(path, faults);
                None
            }
        }
    }

    fn faults(&mut self, path: &KeyPath, faults: Vec<Fault>) {
        for fault in faults {
            let problem = self.document.problem_in(path, fault.at.start, fault.message);
            self.problems.push(Problem { hint: fault.hint, ..problem });
        }
    }

    /// A setting that a template names must be there, and no secret but where one belongs: paths and names are seen by
    /// everybody.
    fn setting(&mut self, path: &KeyPath, member: &Member, secrecy: Secrecy) {
        let (message, hint) = match self.settings.get(&member.name) {
            Some(setting) if setting.kind == SettingType::Secret && secrecy == Secrecy::Kept => {
                let message = format!("the secret `{}` would be seen in a path, a name or a log", member.name);
                (message, Some("a secret goes nowhere but where the system is logged in to".to_owned()))
            }
            Some(_) => return,
            None => {
                let names = || self.settings.keys().map(String::as_str);
                let hint = match suggest::nearest(&member.name, names()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("declare it: [settings.{}]", member.name),
                };
                (format!("the manifest has no setting `{}`", member.name), Some(hint))
            }
        };
        let problem = self.document.problem_in(path, member.at.start, message);
        self.problems.push(Problem { hint, ..problem });
    }

    /// A key that must be there is not.
    pub fn missing(&mut self, path: &KeyPath) {
        self.problems.push(self.document.problem_with_key(path, "this key is required and missing"));
    }

    /// A value is wrong.
    pub fn refuse(&mut self, path: &KeyPath, message: impl Into<String>, hint: Option<&str>) {
        let problem = self.document.problem(path, message);
        self.problems.push(Problem { hint: hint.map(str::to_owned), ..problem });
    }

    /// Refuses keys of a table that do not go with its format.
    pub fn options(&mut self, at: &KeyPath, options: &[(&str, &[&str])], format: &str) {
        let Some(Json::Object(table)) = self.document.value(at) else { return };
        for key in table.keys() {
            let Some((_, formats)) = options.iter().find(|(name, _)| name == key) else { continue };
            if !formats.contains(&format) {
                let message = format!("`{key}` does not go with the format `{format}`");
                let problem = self.document.problem_with_key(&at.key(key), message);
                self.problems.push(problem.hint(format!("it goes with {}", suggest::one_of(formats.iter().copied()))));
            }
        }
    }
}
