//! Compiling a manifest file: every key, name and template is checked, and every fault is reported at once.
//!
//! What does not live here: what one transport alone has (`file::compile`, `http::compile`).

use std::collections::BTreeMap;

use serde::Deserialize as _;
use serde_json::Value as Json;

use super::check::{Checker, Merged};
use super::file::compile as file;
use super::http::compile as http;
use super::http::related::{self, Relations};
use super::manifest::{ActionFile, CreateFile, ManifestFile, Proof, SettingFile, StreamFile, Transport};
use super::options::goes_with;
use super::outcome::CreateClass;
use super::settings::check_declaration;
use crate::config::{Document, KeyPath, Problems, suggest};

/// Which keys of streams and actions belong to which transport; what is not here goes with each.
const TRANSPORT_KEYS: &[(&str, Transport)] = &[
    ("directory", Transport::File),
    ("files", Transport::File),
    ("content", Transport::File),
    ("ready", Transport::File),
    ("after", Transport::File),
    ("archive", Transport::File),
    ("archives", Transport::File),
    ("file", Transport::File),
    ("request", Transport::Http),
    ("paging", Transport::Http),
    ("cursor", Transport::Http),
    ("parents", Transport::Http),
    ("join", Transport::Http),
    ("unfold", Transport::Http),
    ("where", Transport::Http),
    ("tagged", Transport::Http),
    ("step", Transport::Http),
    ("find", Transport::Http),
    ("number", Transport::Http),
    ("undo", Transport::Http),
];

/// A compiled connector manifest.
#[derive(Debug)]
pub struct Manifest {
    /// The connector's name.
    pub name: String,
    /// What people call the system.
    pub title: String,
    /// What the connector is for.
    pub help: Option<String>,
    /// How far it is verified.
    pub proof: Proof,
    /// How the system is reached.
    pub transport: Transport,
    /// What a connection has to say.
    pub settings: BTreeMap<String, SettingFile>,
    /// The file, as it was named.
    pub file: String,
    /// A digest of the file.
    pub digest: String,
    pub(super) streams: BTreeMap<String, Named<StreamPlan>>,
    pub(super) actions: BTreeMap<String, Named<ActionPlan>>,
    /// What holds for all requests, where the transport is HTTP.
    pub(super) http: Option<http::HttpPlan>,
}

/// A stream or an action, with what is said of it.
#[derive(Debug)]
pub(super) struct Named<T> {
    pub help: Option<String>,
    pub plan: T,
}

/// A stream, before a connection fills in its settings.
#[derive(Debug)]
pub(super) enum StreamPlan {
    Files(Box<file::StreamPlan>),
    Pages(Box<http::PagesPlan>),
}

/// An action, before a connection fills in its settings.
#[derive(Debug)]
pub(super) struct ActionPlan {
    pub class: CreateClass,
    pub way: Way,
}

/// How an action is executed.
#[derive(Debug)]
pub(super) enum Way {
    File(Box<file::ActionPlan>),
    Requests(Box<super::http::action::ActionPlan>),
}

impl StreamPlan {
    /// What a stream of pages says of others.
    fn relations(&self) -> Option<Relations<'_>> {
        match self {
            Self::Files(_) => None,
            Self::Pages(plan) => Some(Relations {
                parents: plan.parents.as_deref(),
                joins: &plan.joins,
                asks_about: plan.asks_about,
                folds: plan.reading.format.group.is_some(),
            }),
        }
    }
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
        let http = connection(&mut checker, &file);
        let mut streams = BTreeMap::new();
        for name in file.stream.keys() {
            streams.extend(stream(&mut checker, file.transport, name).map(|plan| (name.clone(), plan)));
        }
        let faulty = file.stream.keys().map(String::as_str).filter(|name| !streams.contains_key(*name)).collect();
        let relations = streams.iter().filter_map(|(name, named)| Some((name.as_str(), named.plan.relations()?)));
        related::check(&mut checker, &relations.collect(), &faulty);
        let mut actions = BTreeMap::new();
        for (name, written) in &file.action {
            let plan = action(&mut checker, file.transport, name, written);
            actions.extend(plan.map(|plan| (name.clone(), Named { help: written.help.clone(), plan })));
        }
        checker.problems.into_result()?;
        Ok(Self {
            name: file.name,
            title: file.title,
            help: file.help,
            proof: file.proof,
            transport: file.transport,
            settings: file.settings,
            file: document.file.clone(),
            digest: blake3::hash(document.text().as_bytes()).to_hex()[..32].to_owned(),
            streams,
            actions,
            http,
        })
    }

    /// The streams, each with what its records are.
    pub fn streams(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.streams.iter().map(|(name, named)| (name.as_str(), named.help.as_deref()))
    }

    /// The actions, each with what it does and how the system treats the same create twice.
    pub fn actions(&self) -> impl Iterator<Item = (&str, Option<&str>, CreateClass)> {
        self.actions.iter().map(|(name, named)| (name.as_str(), named.help.as_deref(), named.plan.class))
    }
}

/// What holds for all requests; nothing where the transport is another one, or with a problem.
fn connection(checker: &mut Checker, file: &ManifestFile) -> Option<http::HttpPlan> {
    let at = KeyPath::root().key("http");
    match (file.transport, &file.http) {
        (Transport::Http, Some(written)) => http::connection(checker, &at, written),
        (Transport::Http, None) => {
            checker.missing(&at);
            None
        }
        (Transport::File, Some(_)) => {
            checker.refuse(&at, "this table goes with `transport = \"http\"`", None);
            None
        }
        (Transport::File, None) => None,
    }
}

fn stream(checker: &mut Checker, transport: Transport, name: &str) -> Option<Named<StreamPlan>> {
    let merged = merged(checker, transport, name)?;
    foreign_keys(checker, &merged.at, transport);
    let plan = match transport {
        Transport::File => StreamPlan::Files(Box::new(file::stream(checker, &merged)?)),
        Transport::Http => StreamPlan::Pages(Box::new(http::stream(checker, &merged)?)),
    };
    Some(Named { help: merged.stream.help.clone(), plan })
}

fn action(checker: &mut Checker, transport: Transport, name: &str, action: &ActionFile) -> Option<ActionPlan> {
    let at = KeyPath::root().key("action").key(name);
    foreign_keys(checker, &at, transport);
    let way = match transport {
        Transport::File => Way::File(Box::new(file::action(checker, &at, action)?)),
        Transport::Http => Way::Requests(Box::new(http::action(checker, &at, action)?)),
    };
    let class = match action.create {
        CreateFile::Unique => CreateClass::Unique,
        CreateFile::Open => CreateClass::Open,
        CreateFile::Bounded(settle) => CreateClass::Bounded { settle: settle.duration() },
    };
    Some(ActionPlan { class, way })
}

/// Refuses keys of a table that go with another transport.
fn foreign_keys(checker: &mut Checker, at: &KeyPath, transport: Transport) {
    let Some(Json::Object(table)) = checker.document.value(at) else { return };
    let foreign =
        |key: &&String| TRANSPORT_KEYS.iter().any(|(name, goes_with)| *name == key.as_str() && *goes_with != transport);
    for key in table.keys().filter(foreign) {
        let message = format!("`{key}` does not go with this transport");
        let problem = checker.document.problem_with_key(&at.key(key), message);
        let keys = TRANSPORT_KEYS.iter().filter(|(_, goes_with)| *goes_with == transport).map(|(name, _)| *name);
        checker.problems.push(problem.hint(format!("its own keys are {}", suggest::one_of(keys))));
    }
}

/// A stream with what the defaults say for it.
fn merged<'a>(checker: &mut Checker<'a>, transport: Transport, name: &str) -> Option<Merged<'a>> {
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
    let default = if transport == Transport::Http { "json" } else { "" };
    let format = content.get("format").and_then(Json::as_str).unwrap_or(default).to_owned();
    content.retain(|key, _| own.contains_key(key) || goes_with(key, &format));
    match StreamFile::deserialize(Json::Object(content)) {
        Ok(stream) => Some(Merged { document, at, defaults, stream }),
        Err(error) => {
            checker.refuse(&at, error.to_string(), None);
            None
        }
    }
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

    fn files<'a>(manifest: &'a Manifest, stream: &str) -> &'a file::StreamPlan {
        match &manifest.streams[stream].plan {
            StreamPlan::Files(plan) => plan,
            StreamPlan::Pages(_) => panic!("no stream of files"),
        }
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
        assert_eq!(files(&manifest, "customers").content.template.source(), "full");
        assert_eq!(files(&manifest, "prices").content.template.source(), "delta");
        assert_eq!(files(&manifest, "prices").directory.template.source(), "${settings.directory}");
        // `delimiter` is of another format, and passed over.
        assert!(files(&manifest, "prices").reading.delimiter.is_none());
        assert_eq!(manifest.actions["order"].plan.class, CreateClass::Open);
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
        says_once("\"file\"", "\"sql\"", "transport: `sql` is not possible here; use `file` or `http`");
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
