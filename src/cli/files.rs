//! The files that commands work with: which configuration is meant, and what is wrong in it and in the files it names.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::output::Failure;
use crate::config::{Config, Document, ENTITIES, KeyPath, Position, Problem, Problems, suggest};
use crate::connector::Catalog;
use crate::mapping::{AnyMapping, Mapping};

/// Where the configuration is looked for when none is named.
const PLACES: [&str; 2] = ["config/tradebridge.toml", "/etc/tradebridge/tradebridge.toml"];

/// The configuration that is meant: the one named, or the first that is there.
pub(super) fn find(named: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    PLACES.iter().map(PathBuf::from).find(|path| path.exists()).ok_or_else(|| {
        Failure::Usage(format!(
            "there is no configuration: neither {}; name one with --config FILE or TRADEBRIDGE_CONFIG, or write one \
             with `tradebridge init`",
            PLACES.join(" nor ")
        ))
    })
}

/// The configuration with the environment over it.
pub(super) fn load(named: Option<&Path>) -> Result<Config, Failure> {
    Ok(Config::load(&find(named)?, environment())?)
}

/// Whether the configuration pulls an entity, or anything, from a connection; says what was probably meant.
pub(super) fn known_sync(config: &Config, connection: &str, entity: Option<&str>) -> Result<(), Failure> {
    if config.connection(connection).is_none() {
        let names = config.connections.iter().map(|c| c.name.as_str());
        return Err(unknown("connection", connection, names));
    }
    let Some(entity) = entity else { return Ok(()) };
    let mut entities =
        config.syncs.iter().filter(|sync| sync.connection == connection).map(|sync| sync.entity.as_str());
    if entities.clone().any(|name| name == entity) {
        return Ok(());
    }
    Err(unknown(&format!("sync of {connection} for"), entity, &mut entities))
}

/// A name that the configuration does not have.
pub(super) fn unknown<'a>(what: &str, name: &str, names: impl Iterator<Item = &'a str>) -> Failure {
    let names: Vec<&str> = names.collect();
    let advice = match suggest::nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if names.is_empty() => "the configuration has none".to_owned(),
        None => format!("there are {}", names.join(", ")),
    };
    Failure::Usage(format!("the configuration has no {what} `{name}`; {advice}"))
}

/// The environment's variables that are text; others can name no key and hold no secret.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// What the files say, sound or not.
#[derive(Debug)]
pub(super) struct Checked {
    /// The configuration, where it is sound.
    pub(super) config: Option<Config>,
    /// How many mappings the syncs use.
    pub(super) mappings: usize,
    /// How many examples in them hold.
    pub(super) examples: usize,
    /// What is wrong, in all files.
    pub(super) problems: Problems,
}

/// Checks the configuration and every file it names, and says all that is wrong at once: a faulty configuration does
/// not hide what is wrong with a mapping.
pub(super) fn check(path: &Path) -> Checked {
    let mut checked = Checked { config: None, mappings: 0, examples: 0, problems: Problems::default() };
    let document = match Document::load(path) {
        Ok(document) => document,
        Err(problem) => {
            checked.problems.push(problem);
            return checked;
        }
    };
    if let Err(problems) = Catalog::load(&directories(&document.content, "connectors")) {
        checked.problems.append(problems);
    }
    checked.mappings(&document);
    match Config::of_document(document, environment()) {
        Ok(config) => checked.config = Some(config),
        Err(problems) => checked.problems.append(problems),
    }
    checked
}

impl Checked {
    /// The mappings of the syncs, read from the document as far as it can be understood.
    fn mappings(&mut self, document: &Document) {
        let directories = directories(&document.content, "mappings");
        let mut seen = BTreeSet::new();
        let syncs = document.content.get("sync").and_then(Json::as_array).into_iter().flatten();
        for (index, sync) in syncs.enumerate() {
            let Some(name) = mapping_name(&document.content, sync) else { continue };
            if !seen.insert(name.clone()) {
                continue;
            }
            let at = KeyPath::root().key("sync").index(index);
            let Some(file) = directories.iter().map(|d| d.join(format!("{name}.toml"))).find(|file| file.exists())
            else {
                self.problems.push(missing(document, &at, &name, &directories));
                continue;
            };
            self.mapping(document, &at, sync, &file);
        }
    }

    fn mapping(&mut self, document: &Document, at: &KeyPath, sync: &Json, file: &Path) {
        let mapping = match compile(file) {
            Ok(mapping) => mapping,
            Err(problems) => {
                self.problems.append(problems);
                return;
            }
        };
        self.mappings += 1;
        if let Some(entity) = text(sync, "entity").filter(|entity| *entity != mapping.kind.name()) {
            let message = format!("the mapping {} makes `{}`, this sync wants `{entity}`", mapping.file, mapping.kind);
            self.problems.push(document.problem(&at.key("entity"), message));
        }
        for example in mapping.examples() {
            if example.differences.is_empty() {
                self.examples += 1;
                continue;
            }
            let message = format!("the example \"{}\" fails: {}", example.name, example.differences.join("; "));
            let position = Some(Position { line: example.line, column: 1 });
            self.problems.push(Problem { position, ..Problem::of_file(&mapping.file, message) });
        }
    }
}

/// Compiles a mapping file of either kind.
pub(super) fn compile_any(file: &Path) -> Result<AnyMapping, Problems> {
    AnyMapping::compile(&Document::load(file)?)
}

/// Compiles a mapping file that makes records of a stream.
pub(super) fn compile(file: &Path) -> Result<Mapping, Problems> {
    Mapping::compile(&Document::load(file)?)
}

/// The name of a sync's mapping, as the configuration's own rule has it.
fn mapping_name(content: &Json, sync: &Json) -> Option<String> {
    if let Some(name) = text(sync, "mapping") {
        return Some(name.to_owned());
    }
    let (connection, entity) = (text(sync, "connection")?, text(sync, "entity")?);
    if !ENTITIES.contains(&entity) {
        // The schema says so; which mapping was meant cannot be told.
        return None;
    }
    let connections = content.get("connection").and_then(Json::as_array)?;
    let connector = connections.iter().find(|c| text(c, "name") == Some(connection)).and_then(|c| text(c, "connector"));
    Some(format!("{}/{entity}", connector?))
}

fn missing(document: &Document, at: &KeyPath, name: &str, directories: &[PathBuf]) -> Problem {
    let at = if document.value(&at.key("mapping")).is_some() { at.key("mapping") } else { at.key("entity") };
    let places: Vec<String> =
        directories.iter().map(|d| d.join(format!("{name}.toml")).display().to_string()).collect();
    let problem = document.problem(&at, format!("there is no mapping {}", places.join(" nor ")));
    let there: Vec<String> = directories.iter().flat_map(|directory| names_in(directory)).collect();
    match suggest::nearest(name, there.iter().map(String::as_str)) {
        Some(near) => problem.hint(format!("did you mean `mapping = \"{near}\"`?")),
        None => problem.hint("write it, or name another with `mapping`"),
    }
}

/// The mappings in a directory and the directories in it, by name.
fn names_in(directory: &Path) -> Vec<String> {
    let files = |directory: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(directory).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect()
    };
    let inner = files(directory).into_iter().filter(|path| path.is_dir()).flat_map(|path| files(&path));
    inner
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .filter_map(|path| Some(path.strip_prefix(directory).ok()?.with_extension("").to_str()?.to_owned()))
        .collect()
}

/// Directories that the configuration names, or the one it takes by itself.
fn directories(content: &Json, key: &str) -> Vec<PathBuf> {
    let named = content.get(key).and_then(Json::as_array);
    named.map_or_else(
        || vec![PathBuf::from(key)],
        |named| named.iter().filter_map(Json::as_str).map(PathBuf::from).collect(),
    )
}

fn text<'a>(entry: &'a Json, key: &str) -> Option<&'a str> {
    entry.get(key).and_then(Json::as_str)
}
