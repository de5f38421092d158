//! Compiling a manifest file: every key, name and template is checked, and every fault is reported at once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize as _;
use serde_json::Value as Json;

use super::check::{Checker, FILE_NAMES, Merged, NAMES, REFERENCE};
use super::file::pattern::Pattern;
use super::manifest::{ActionFile, CreateFile, ManifestFile, Ready, SettingFile, StreamFile};
use super::options::{self, goes_with};
use super::outcome::CreateClass;
use super::reading::Reading;
use super::settings::check_declaration;
use super::word::{self, AfterWord, Content, Plan, Word};
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

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"
name = "erp"
title = "ERP"
transport = "file"

[settings.directory]
type = "directory"
help = "Where the tables are."
required = true

[settings.password]
type = "secret"
help = "The password."

[settings.inbox]
type = "directory"
help = "Where orders go."

[defaults]
directory = "${settings.directory}"
content = "full"
ready = { stable = "5s" }
format = "csv"
delimiter = ";"

[stream.customers]
files = "klanten*.csv"

[stream.prices]
files = "prijzen*.xml"
content = "delta"
ready = { marker = ".done" }
after = "archive"
archive = "${settings.directory}/archief"
format = "xml"
records = "PRIJZEN/PRIJS"

[action.order]
directory = "${settings.inbox}"
file = "ORD-${reference}.xml"
create = "open"
format = "xml"
root = "ORDER"
"#;

    fn compile(text: &str) -> Result<Manifest, Problems> {
        Manifest::compile(&Document::parse("connectors/erp.toml", text))
    }

    /// The problems of the manifest with one text replaced by another, each on one line with its hint in brackets.
    fn says(from: &str, to: &str) -> Vec<String> {
        assert!(MANIFEST.contains(from), "{from}");
        match compile(&MANIFEST.replacen(from, to, 1)) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.into_iter().map(|p| p.to_string().replace("\n  hint: ", " [")).collect(),
        }
    }

    fn says_once(from: &str, to: &str, expected: &str) {
        let said = says(from, to);
        assert!(said.len() == 1 && said[0].contains(expected), "{to}: {said:#?}");
    }

    #[test]
    fn a_stream_takes_what_it_does_not_say_from_the_defaults() {
        let manifest = compile(MANIFEST).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(manifest.streams["customers"].content.template.source(), "full");
        assert_eq!(manifest.streams["prices"].content.template.source(), "delta");
        assert_eq!(manifest.streams["prices"].directory.template.source(), "${settings.directory}");
        // `delimiter` is of another format, and passed over.
        assert!(manifest.streams["prices"].reading.delimiter.is_none());
        assert_eq!(manifest.actions["order"].class, CreateClass::Open);
    }

    #[test]
    fn a_misspelt_key_is_found_wherever_it_is() {
        let mut keys = 0;
        for (index, text) in MANIFEST.lines().enumerate().filter(|(_, text)| text.contains(" = ")) {
            let key = text.split(" = ").next().unwrap();
            let wrong = |line: &str| line.replacen(key, &format!("{key}x"), 1);
            let lines: Vec<String> =
                MANIFEST.lines().enumerate().map(|(at, l)| if at == index { wrong(l) } else { l.to_owned() }).collect();
            let problems = compile(&lines.join("\n")).unwrap_err();
            let expected = format!("connectors/erp.toml:{}:1:", index + 1);
            let found = problems.0.iter().any(|p| {
                let text = p.to_string();
                text.starts_with(&expected) && text.contains(&format!("did you mean `{key}`?"))
            });
            assert!(found, "{key}: {problems}");
            keys += 1;
        }
        assert!(keys > 25);
    }

    #[test]
    fn words_of_the_vocabulary_are_judged() {
        says_once("\"file\"", "\"http\"", "transport: `http` is not possible here; use `file`");
        says_once("\"delta\"", "\"detla\"", "`detla` is not possible here; use `full` or `delta`");
        says_once("\"open\"", "\"opne\"", "`opne` is not possible here; use `unique` or `open` [did you mean `open`?");
        says_once("\"open\"", "{ bounded = \"soon\" }", "`soon` is no length of time");
        says_once("\"archive\"\n", "\"archiv\"\n", "use `keep`, `archive` or `delete`");
        says_once("{ stable = \"5s\" }", "{ stable = \"5 apples\" }", "no length of time");
        says_once("{ stable = \"5s\" }", "{ stable = \"10m\" }", "5m is the most");
        says_once(
            "{ stable = \"5s\" }",
            "{ makrer = \".done\" }",
            "needs `marker` or `stable` [did you mean `marker`?",
        );
        says_once("\".done\"", "\"/x\"", "cannot stand behind the name of a file");
        says_once("\"klanten*.csv\"", "\"../klanten*.csv\"", "is a path; name files here");
        says_once("delimiter = \";\"", "delimiter = \";;\"", "one ASCII character");
        says_once("delimiter = \";\"", "delimiter = \"\\\"\"", "two different characters");
        says_once("delimiter = \";\"", "encoding = \"windows-1251x\"", "no encoding");
        says_once("\"PRIJZEN/PRIJS\"", "\"PRIJZEN//PRIJS\"", "is no step");
        says_once("type = \"secret\"", "type = \"secrt\"", "did you mean `secret`?");
        assert!(says("[settings.inbox]", "[settings.In-box]")[0].contains("cannot be the name of a setting"));
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        says_once(
            "files = \"klanten*.csv\"",
            "files = \"k*.csv\"\nlists = [\"A\"]",
            "does not go with the format `csv`",
        );
        says_once("records = \"PRIJZEN/PRIJS\"", "", "stream.prices.records: this key is required and missing");
        says_once("files = \"klanten*.csv\"", "", "stream.customers.files: this key is required and missing");
        says_once("archive = \"${settings.directory}/archief\"", "", "stream.prices.archive: this key is required");
        says_once("after = \"archive\"", "", "nothing is moved to this archive");
        says_once("ORD-${reference}", "ORD-${request.customer}", "two requests would have the same file");
        says_once("root = \"ORDER\"", "root = \"ORDER\"\nheader = true", "it goes with `csv`");
        says_once("root = \"ORDER\"", "root = \"1\"", "no name of an element");
        says_once(
            "create = \"open\"",
            "create = \"open\"\narchives = true",
            "action.order.archive: this key is required",
        );
        says_once("required = true", "required = true\ndefault = \"x\"", "a required setting has no default");
        says_once("type = \"secret\"", "type = \"secret\"\ndefault = \"x\"", "a secret must not stand in a manifest");
        says_once("type = \"secret\"", "type = \"choice\"", "a choice needs `choices`");
        says_once("help = \"Where orders go.\"", "help = \"Inbox.\"\ndefault = 5", "expected a text, found a number");
        says_once(
            "files = \"klanten*.csv\"",
            "files = \"k.csv\"\ncolumns = [{ name = \"a\", start = 1, length = 2 }]",
            "a column of `csv` is its name",
        );
        says_once(
            "files = \"klanten*.csv\"",
            "files = \"k.txt\"\nformat = \"fixed\"\ncolumns = [\"a\"]",
            "a column of `fixed` has a place",
        );
    }

    #[test]
    fn templates_name_settings_there_are_and_no_secrets() {
        let said = says("\"${settings.inbox}\"", "\"/in/${settings.inbx}\"");
        assert!(said[0].contains("no setting `inbx`") && said[0].contains("did you mean `inbox`?"), "{said:#?}");
        // The line of `directory`, the column of `settings`.
        let line = MANIFEST.lines().position(|line| line.contains("${settings.inbox}")).unwrap() + 1;
        assert!(said[0].starts_with(&format!("connectors/erp.toml:{line}:20:")), "{said:#?}");
        says_once("ORD-${reference}", "ORD-${reference}-${settings.password}", "the secret `password` would be seen");
        says_once("\"${settings.inbox}\"", "\"/in/${settings['password']}\"", "the secret `password` would be seen");
        says_once("\"${settings.inbox}\"", "\"/in/${reference}\"", "there is no field 'reference'");
        says_once("ORD-${reference}", "ORD-${reference", "has no end");
    }

    #[test]
    fn every_fault_of_a_file_is_said_at_once() {
        let text =
            MANIFEST.replace("title =", "titel =").replace("[settings.password]\ntype", "[settings.password]\ntyp");
        assert_eq!(compile(&text).unwrap_err().0.len(), 4, "two misspelt keys that are required");
        let text = MANIFEST
            .replace("\"delta\"", "\"dleta\"")
            .replace("klanten*.csv", "a/b")
            .replace("${reference}", "${refernce}")
            .replace("root = \"ORDER\"", "");
        assert_eq!(compile(&text).unwrap_err().0.len(), 4);
    }
}
