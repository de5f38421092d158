//! Compiling a manifest file: every key, name and template is checked, and every fault is reported at once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize as _;
use serde_json::Value as Json;

use super::check::{Checker, FILE_NAMES, Merged, NAMES, REFERENCE};
use super::file::pattern::Pattern;
use super::manifest::{ActionFile, Content, CreateFile, ManifestFile, Ready, SettingFile, StreamFile};
use super::options::{self, goes_with};
use super::outcome::CreateClass;
use super::reading::Reading;
use super::settings::check_declaration;
use super::word::{self, AfterWord, Plan, Word};
use super::writing::Writing;
use crate::config::{Document, KeyPath, Problems};

/// A compiled connector manifest.
#[derive(Debug)]
pub struct Manifest {
    /// The connector's name.
    pub name: String,
    /// What people call the system.
    pub title: String,
    /// What the connector is for.
    pub help: Option<String>,
    /// What a connection has to say.
    pub settings: BTreeMap<String, SettingFile>,
    /// The file, as it was named.
    pub file: String,
    /// A digest of the file.
    pub digest: String,
    pub(super) streams: BTreeMap<String, StreamPlan>,
    pub(super) actions: BTreeMap<String, ActionPlan>,
}

/// A stream, before a connection fills in its settings.
#[derive(Debug)]
pub(super) struct StreamPlan {
    pub help: Option<String>,
    pub directory: Word<PathBuf>,
    pub files: Word<Pattern>,
    pub content: Word<Content>,
    pub ready: ReadyPlan,
    pub after: Option<Word<AfterWord>>,
    pub archive: Option<Word<PathBuf>>,
    pub reading: Plan<Reading>,
}

/// What tells that a file is written to its end, before a connection fills in its settings.
#[derive(Debug)]
pub(super) enum ReadyPlan {
    Marker(Word<String>),
    Stable(Word<Duration>),
}

/// An action, before a connection fills in its settings.
#[derive(Debug)]
pub(super) struct ActionPlan {
    pub help: Option<String>,
    pub directory: Word<PathBuf>,
    pub file: Word<String>,
    pub archive: Option<Word<PathBuf>>,
    pub archives: bool,
    pub class: CreateClass,
    pub writing: Plan<Writing>,
}

impl Manifest {
    /// Compiles a manifest file.
    ///
    /// # Errors
    /// Every fault of the file: syntax, unknown keys, missing ones, keys that do not go with the format, faulty
    /// templates, unknown settings, secrets in paths and names; each with line, column and advice.
    pub fn compile(document: &Document) -> Result<Self, Problems> {
        let file: ManifestFile = document.read()?;
        let mut checker = Checker { document, settings: &file.settings, problems: Problems::default() };
        let root = KeyPath::root();
        for (name, setting) in &file.settings {
            let at = root.key("settings").key(name);
            check_declaration(name, setting, document, &at, &mut checker.problems);
        }
        if file.stream.is_empty() && file.action.is_empty() {
            checker.refuse(&root, "the manifest has no stream and no action", Some("add a table [stream.customers]"));
        }
        let mut streams = BTreeMap::new();
        for name in file.stream.keys() {
            streams.extend(stream(&mut checker, name).map(|plan| (name.clone(), plan)));
        }
        let mut actions = BTreeMap::new();
        for (name, written) in &file.action {
            actions.extend(action(&mut checker, name, written).map(|plan| (name.clone(), plan)));
        }
        checker.problems.into_result()?;
        Ok(Self {
            name: file.name,
            title: file.title,
            help: file.help,
            settings: file.settings,
            file: document.file.clone(),
            digest: blake3::hash(document.text().as_bytes()).to_hex()[..32].to_owned(),
            streams,
            actions,
        })
    }

    /// The streams, each with what its records are.
    pub fn streams(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.streams.iter().map(|(name, plan)| (name.as_str(), plan.help.as_deref()))
    }

    /// The actions, each with what it does.
    pub fn actions(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.actions.iter().map(|(name, plan)| (name.as_str(), plan.help.as_deref()))
    }
}

fn stream(checker: &mut Checker, name: &str) -> Option<StreamPlan> {
    let merged = merged(checker, name)?;
    let stream = &merged.stream;
    for (key, missing) in [
        ("directory", stream.directory.is_none()),
        ("files", stream.files.is_none()),
        ("content", stream.content.is_none()),
        ("ready", stream.ready.is_none()),
        ("format", stream.format.is_none()),
    ] {
        if missing {
            checker.missing(&merged.at.key(key));
        }
    }
    let directory = checker.word(&merged.key("directory"), stream.directory.as_deref(), NAMES, word::directory);
    let files = checker.word(&merged.key("files"), stream.files.as_deref(), NAMES, word::pattern);
    let content = checker.word(&merged.key("content"), stream.content.as_deref(), NAMES, word::content);
    let after = checker.word(&merged.key("after"), stream.after.as_deref(), NAMES, word::after);
    let archive = checker.word(&merged.key("archive"), stream.archive.as_deref(), NAMES, word::directory);
    let reading = options::reading(checker, &merged);
    let at = merged.key("ready");
    let ready = match &stream.ready {
        Some(Ready::Marker(text)) => {
            checker.word(&at.key("marker"), Some(text), NAMES, word::marker).map(ReadyPlan::Marker)
        }
        Some(Ready::Stable(text)) => {
            checker.word(&at.key("stable"), Some(text), NAMES, word::stable).map(ReadyPlan::Stable)
        }
        None => None,
    };
    match stream.after.as_deref() {
        Some("archive") if stream.archive.is_none() => checker.missing(&merged.at.key("archive")),
        None | Some("keep" | "delete") if merged.own("archive") => {
            let hint = "write after = \"archive\", or leave out the archive";
            checker.refuse(&merged.at.key("archive"), "nothing is moved to this archive", Some(hint));
        }
        _ => {}
    }
    Some(StreamPlan {
        help: stream.help.clone(),
        directory: directory?,
        files: files?,
        content: content?,
        ready: ready?,
        after,
        archive,
        reading: reading?,
    })
}

/// A stream with what the defaults say for it.
fn merged<'a>(checker: &mut Checker<'a>, name: &str) -> Option<Merged<'a>> {
    let document = checker.document;
    let root = KeyPath::root();
    let (at, defaults) = (root.key("stream").key(name), root.key("defaults"));
    let mut content = match document.value(&defaults) {
        Some(Json::Object(defaults)) => defaults.clone(),
        _ => serde_json::Map::new(),
    };
    let Some(Json::Object(own)) = document.value(&at) else { return None };
    content.extend(own.clone());
    // A default option of another format does not concern this stream.
    let format = content.get("format").and_then(Json::as_str).unwrap_or_default().to_owned();
    content.retain(|key, _| own.contains_key(key) || goes_with(key, &format));
    match StreamFile::deserialize(Json::Object(content)) {
        Ok(stream) => Some(Merged { document, at, defaults, stream }),
        Err(error) => {
            checker.refuse(&at, error.to_string(), None);
            None
        }
    }
}

fn action(checker: &mut Checker, name: &str, action: &ActionFile) -> Option<ActionPlan> {
    let at = KeyPath::root().key("action").key(name);
    let directory = checker.word(&at.key("directory"), Some(&action.directory), NAMES, word::directory);
    let file = checker.word(&at.key("file"), Some(&action.file), FILE_NAMES, |text| Ok(text.to_owned()));
    let archive = checker.word(&at.key("archive"), action.archive.as_deref(), NAMES, word::directory);
    if file.as_ref().is_some_and(|file| !file.template.uses(REFERENCE)) {
        let hint = "make our reference part of the name: \"ORD-${reference}.csv\"";
        checker.refuse(&at.key("file"), "two requests would have the same file", Some(hint));
    }
    if action.archives && action.archive.is_none() {
        checker.missing(&at.key("archive"));
    }
    let writing = options::writing(checker, &at, action);
    Some(ActionPlan {
        help: action.help.clone(),
        directory: directory?,
        file: file?,
        archive,
        archives: action.archives,
        class: match action.create {
            CreateFile::Unique => CreateClass::Unique,
            CreateFile::Open => CreateClass::Open,
            CreateFile::Bounded(settle) => CreateClass::Bounded { settle: settle.duration() },
        },
        writing: writing?,
    })
}
