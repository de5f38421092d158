//! The files that commands work with: which configuration is meant, and what is wrong in it and in the files it names.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::output::Failure;
use crate::config::{Config, Document, Position, Problem, Problems, environment, suggest};
use crate::connector::Catalog;
use crate::mapping::AnyMapping;
use crate::sync::{ORDER_ACTION, Plan};

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

/// The configuration without any secret, for work without any system; each is `placeholder`.
pub(super) fn load_without_secrets(named: Option<&Path>, placeholder: &str) -> Result<Config, Failure> {
    Ok(Config::load_without_secrets(&find(named)?, environment(), placeholder)?)
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
    let directories = |key| directories(&document.content, key);
    let (connectors, mappings) = (directories("connectors"), directories("mappings"));
    for name in mapping_names(&document.content) {
        if let Some(file) = mappings.iter().map(|d| d.join(format!("{name}.toml"))).find(|file| file.is_file()) {
            checked.mapping(&file);
        }
    }
    match Config::of_document(document, environment()) {
        Ok(config) => {
            // What fits together can be told only of a sound configuration; this says too what is missing.
            if let Err(problems) = Plan::load(&config) {
                checked.problems.append(problems);
            }
            checked.config = Some(config);
        }
        Err(problems) => {
            checked.problems.append(problems);
            if let Err(problems) = Catalog::load(&connectors) {
                checked.problems.append(problems);
            }
        }
    }
    checked
}

impl Checked {
    fn mapping(&mut self, file: &Path) {
        let mapping = match compile_any(file) {
            Ok(mapping) => mapping,
            Err(problems) => {
                self.problems.append(problems);
                return;
            }
        };
        self.mappings += 1;
        for example in mapping.examples() {
            if example.differences.is_empty() {
                self.examples += 1;
                continue;
            }
            let message = format!("the example \"{}\" fails: {}", example.name, example.differences.join("; "));
            let position = Some(Position { line: example.line, column: 1 });
            self.problems.push(Problem { position, ..Problem::of_file(mapping.file(), message) });
        }
    }
}

/// Compiles a mapping file of either kind.
pub(super) fn compile_any(file: &Path) -> Result<AnyMapping, Problems> {
    AnyMapping::compile(&Document::load(file)?)
}

/// The names of the mappings of syncs and of shops' orders, each once, as far as the document can be understood.
fn mapping_names(content: &Json) -> BTreeSet<String> {
    let list = |key: &str| content.get(key).and_then(Json::as_array).into_iter().flatten();
    let connector = |connection: &str| {
        list("connection").find(|c| text(c, "name") == Some(connection)).and_then(|c| text(c, "connector"))
    };
    let pulled = list("sync").filter_map(|sync| match text(sync, "mapping") {
        Some(name) => Some(name.to_owned()),
        None => Some(format!("{}/{}", connector(text(sync, "connection")?)?, text(sync, "entity")?)),
    });
    let ordered =
        list("shop").filter_map(|shop| Some(format!("{}/{ORDER_ACTION}", connector(text(shop, "orders_to")?)?)));
    pulled.chain(ordered).collect()
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
