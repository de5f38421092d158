//! Everything that configuration, manifests and mappings say together, compiled: connections, pulls and the routes of
//! orders. Loading it is also the check of all files: every error of every file comes at once.
//!
//! What does not live here: when pulls are executed (`schedule`) and how (`pull`).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::keeper::StoreKeeper;
use super::schedule::Schedule;
use super::scope::Scopes;
use crate::config::values::Zone;
use crate::config::{Config, Connection, Document, Guard, KeyPath, Problem, Problems, SyncSettings, suggest};
use crate::connector::{Catalog, Connector, Keeper};
use crate::mapping::{Mapping, Outbound, Setting};
use crate::store::Store;

/// The action that hands an order over.
pub const ORDER_ACTION: &str = "order";

/// What is to be done, compiled.
#[derive(Debug, Default)]
pub struct Plan {
    /// The connections by name.
    pub links: BTreeMap<String, Arc<Link>>,
    /// What is pulled.
    pub pulls: Vec<Arc<Pull>>,
    /// By connection: how its orders are handed over.
    pub routes: BTreeMap<String, Arc<OrderRoute>>,
    /// Which shops customers belong to.
    pub scopes: Arc<Scopes>,
    /// Whether source rows are kept.
    pub keep_raw: bool,
}

/// A connection, ready for use.
#[derive(Debug)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// The system it talks to.
    pub connector: Connector,
    /// What mappings need to know of it.
    pub setting: Setting,
    /// Its zone.
    pub zone: Zone,
    /// As it is configured.
    pub config: Connection,
}

/// What is pulled from a connection: a stream that becomes parts of one kind.
#[derive(Debug)]
pub struct Pull {
    /// The connection.
    pub link: Arc<Link>,
    /// What turns records into parts.
    pub mapping: Arc<Mapping>,
    /// The limits that hold a run back.
    pub guard: Guard,
    /// When.
    pub schedule: Schedule,
}

/// How a connection's orders are handed over.
#[derive(Debug)]
pub struct OrderRoute {
    /// The connection.
    pub link: Arc<Link>,
    /// What turns an order into a request.
    pub mapping: Outbound,
}

impl Plan {
    /// Compiles everything that the configuration names.
    ///
    /// # Errors
    /// Every fault of every manifest and mapping, and whatever does not fit together, each with file, line and column.
    pub fn load(config: &Config) -> Result<Self, Problems> {
        let mut loader = Loader { config, problems: Problems::default(), mappings: BTreeMap::new() };
        let plan = loader.load();
        loader.problems.into_result()?;
        Ok(plan)
    }

    /// Has every connection keep in this store what it must not forget.
    pub fn keep_in(&self, store: &Arc<dyn Store>) {
        let keeper: Arc<dyn Keeper> = Arc::new(StoreKeeper(Arc::clone(store)));
        for link in self.links.values() {
            link.connector.keep_in(&keeper, &link.name);
        }
    }

    /// The pulls of a connection, of one entity or of all.
    pub fn pulls_of(&self, connection: &str, entity: Option<&str>) -> Vec<Arc<Pull>> {
        let wanted =
            |pull: &&Arc<Pull>| pull.link.name == connection && entity.is_none_or(|e| pull.mapping.kind.name() == e);
        self.pulls.iter().filter(wanted).cloned().collect()
    }
}

impl Pull {
    /// The kind of part, by name.
    pub fn entity(&self) -> &'static str {
        self.mapping.kind.name()
    }
}

struct Loader<'a> {
    config: &'a Config,
    problems: Problems,
    /// Mapping files by name, read once.
    mappings: BTreeMap<String, Option<Arc<Mapping>>>,
}

impl Loader<'_> {
    fn load(&mut self) -> Plan {
        let config = self.config;
        let mut plan = Plan { keep_raw: !config.retention.raw.is_zero(), ..Plan::default() };
        let catalog = match Catalog::load(&config.connectors) {
            Ok(catalog) => catalog,
            Err(found) => {
                self.problems.append(found.0);
                Catalog::default()
            }
        };
        let manifests_are_sound = self.problems.0.is_empty();
        for (index, connection) in config.connections.iter().enumerate() {
            let at = KeyPath::root().key("connection").index(index);
            let Some(manifest) = catalog.get(&connection.connector) else {
                // A manifest with faults has been reported; it is not missing.
                if manifests_are_sound {
                    let path = at.key("connector");
                    let message = format!("there is no connector '{}'", connection.connector);
                    self.missing(
                        &path,
                        message,
                        &connection.connector,
                        catalog.iter().map(|manifest| manifest.name.as_str()).collect(),
                    );
                }
                continue;
            };
            match Connector::bind(manifest, connection, &config.source.document, &at) {
                Ok(connector) => {
                    let link = Arc::new(Link::new(connection, connector));
                    plan.links.insert(connection.name.clone(), link);
                }
                Err(found) => self.problems.append(found.0),
            }
        }
        for (index, sync) in config.syncs.iter().enumerate() {
            let at = KeyPath::root().key("sync").index(index);
            if let Some(pull) = self.pull(&at, sync, &plan) {
                let same = |other: &&Arc<Pull>| {
                    other.link.name == pull.link.name
                        && other.mapping.stream == pull.mapping.stream
                        && other.mapping.kind == pull.mapping.kind
                };
                if plan.pulls.iter().any(|other| same(&other)) {
                    let (stream, kind) = (&pull.mapping.stream, pull.mapping.kind);
                    let message = format!("the stream '{stream}' of '{}' is pulled as {kind} already", pull.link.name);
                    let problem = config.source.document.problem(&at.key("entity"), message);
                    self.problems.push(problem.hint("two mappings of one stream would delete each other's records"));
                    continue;
                }
                plan.pulls.push(Arc::new(pull));
            }
        }
        for (index, shop) in config.shops.iter().enumerate() {
            let at = KeyPath::root().key("shop").index(index).key("orders_to");
            let Some(name) = &shop.orders_to else { continue };
            let Some(link) = plan.links.get(name).cloned() else { continue };
            if !plan.routes.contains_key(name)
                && let Some(route) = self.route(&at, link)
            {
                plan.routes.insert(name.clone(), Arc::new(route));
            }
        }
        match Scopes::compile(config) {
            Ok(scopes) => plan.scopes = Arc::new(scopes),
            Err(found) => self.problems.append(found.0),
        }
        plan
    }

    fn pull(&mut self, at: &KeyPath, sync: &SyncSettings, plan: &Plan) -> Option<Pull> {
        let name = self.config.mapping_of(sync);
        let at = if sync.mapping.is_some() { at.key("mapping") } else { at.key("entity") };
        let mapping = if let Some(known) = self.mappings.get(&name) {
            known.clone()
        } else {
            let mapping = self
                .mapping_file(&at, &name)
                .and_then(|document| self.compiled(Mapping::compile(&document)))
                .map(Arc::new);
            self.mappings.insert(name.clone(), mapping.clone());
            mapping
        };
        let link = plan.links.get(&sync.connection).cloned();
        let (mapping, link) = (mapping?, link?);
        if mapping.kind.name() != sync.entity {
            let message = format!("{} makes records of {}, not of {}", mapping.file, mapping.kind, sync.entity);
            self.problems.push(self.config.source.document.problem(&at, message));
            return None;
        }
        let streams = link.connector.stream_names();
        if !streams.contains(&mapping.stream.as_str()) {
            let (connector, stream) = (&link.config.connector, &mapping.stream);
            let message =
                format!("{} reads the stream '{stream}', which the connector '{connector}' lacks", mapping.file);
            match link.connector.lacking(stream) {
                Some(setting) => {
                    self.problems.push(self.config.source.document.problem(&at, message).hint(setting));
                }
                None => self.missing(&at, message, stream, streams),
            }
            return None;
        }
        let schedule = Schedule { every: sync.every, full: sync.full.clone(), zone: link.zone.clone() };
        Some(Pull { link, mapping, guard: sync.guard, schedule })
    }

    fn route(&mut self, at: &KeyPath, link: Arc<Link>) -> Option<OrderRoute> {
        let connector = &link.config.connector;
        if link.connector.action(ORDER_ACTION).is_none() {
            let message =
                format!("orders go to '{}', whose connector '{connector}' has no action '{ORDER_ACTION}'", link.name);
            let mut problem = self.config.source.document.problem(at, message);
            problem.hint = link.connector.lacking(ORDER_ACTION);
            self.problems.push(problem);
            return None;
        }
        let document = self.mapping_file(at, &format!("{connector}/{ORDER_ACTION}"))?;
        let mapping = self.compiled(Outbound::compile(&document))?;
        Some(OrderRoute { link, mapping })
    }

    fn compiled<T>(&mut self, compiled: Result<T, Problems>) -> Option<T> {
        compiled.map_err(|found| self.problems.append(found.0)).ok()
    }

    /// A mapping's document, in the first directory that has it.
    fn mapping_file(&mut self, at: &KeyPath, name: &str) -> Option<Document> {
        let paths: Vec<PathBuf> =
            self.config.mappings.iter().map(|directory| directory.join(format!("{name}.toml"))).collect();
        let Some(path) = paths.iter().find(|path| path.is_file()) else {
            let looked = suggest::one_of(paths.iter().filter_map(|p| p.to_str()));
            let problem = self.config.source.document.problem(at, format!("there is no mapping '{name}'"));
            self.problems.push(problem.hint(format!("write {looked}, or name another file with `mapping`")));
            return None;
        };
        match Document::load(path) {
            Ok(document) => Some(document),
            Err(problem) => {
                self.problems.push(problem);
                None
            }
        }
    }

    fn missing(&mut self, at: &KeyPath, message: String, name: &str, names: Vec<&str>) {
        let problem: Problem = self.config.source.document.problem(at, message);
        self.problems.push(match suggest::nearest(name, names.iter().copied()) {
            Some(near) => problem.hint(format!("did you mean '{near}'?")),
            None => problem.hint(format!("there are {}", suggest::one_of(names))),
        });
    }
}

impl Link {
    /// Whether the connection can be used; otherwise everything that is wrong, and what to do.
    ///
    /// # Errors
    /// The faults, in words.
    pub async fn probe(&self) -> Result<(), String> {
        let faults: Vec<String> = self.connector.probe().await.into_iter().filter_map(|probe| probe.problem).collect();
        if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
    }

    fn new(config: &Connection, connector: Connector) -> Self {
        let setting = Setting {
            company: config.company.clone().unwrap_or_default(),
            zone: config.time_zone.time_zone().clone(),
            settings: connector.settings().clone(),
        };
        Self { name: config.name.clone(), connector, setting, zone: config.time_zone.clone(), config: config.clone() }
    }
}
