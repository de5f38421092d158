//! A connection: a connector with its settings, and what can be read and done through it.
//!
//! What does not live here: how a transport does it (`file`, `http`).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use super::binder::Binder;
use super::check::SETTINGS;
use super::compile::{Manifest, StreamPlan, Way};
use super::error::ConnectorError;
use super::file::bind::{FileAction, Needs};
use super::file::listing::Sightings;
use super::file::source::{Look, Source};
use super::http::action::Execution;
use super::http::client::Client;
use super::http::consent::{Asking, ConsentError};
use super::http::grant::Grant;
use super::http::stream::Pages;
use super::http::traffic::{Described, Traffic};
use super::http::vault::Vault;
use super::keep::Keeper;
use super::offer::{Offer, Wanted};
use super::outcome::{CreateClass, Created, Found};
use super::probe::ProbeResult;
use super::settings::{check_settings, secrets};
use super::trail::Trail;
use crate::config::{Connection, Document, KeyPath, Problems, Seal, suggest};
use crate::record::{Map, Value};

/// A connection to a system.
#[derive(Debug)]
pub struct Connector {
    manifest: Arc<Manifest>,
    settings: Value,
    streams: BTreeMap<String, Stream>,
    actions: BTreeMap<String, Action>,
    /// What requests go through, where the transport is HTTP.
    client: Option<Arc<Client>>,
    traffic: Traffic,
    sightings: Arc<Sightings>,
}

/// Something that can be read through a connection.
#[derive(Debug)]
enum Stream {
    Files(Arc<Source>),
    Pages(Arc<Pages>),
}

/// Something that can be done through a connection.
#[derive(Debug, Clone)]
pub struct Action(Arc<ActionParts>);

#[derive(Debug)]
struct ActionParts {
    name: String,
    class: CreateClass,
    manifest: Arc<Manifest>,
    way: Bound,
}

/// What an action is executed through.
#[derive(Debug)]
enum Bound {
    File(FileAction),
    Requests(Arc<Client>),
}

impl Connector {
    /// Gives a connector the settings of a connection, which stands at `at` in the configuration.
    ///
    /// # Errors
    /// Every setting that is missing, unknown, of the wrong type, a secret written out, or that makes no sense where
    /// the manifest uses it; each with its place in the configuration.
    pub fn bind(
        manifest: &Arc<Manifest>,
        connection: &Connection,
        document: &Document,
        at: &KeyPath,
    ) -> Result<Self, Problems> {
        Self::bind_over(manifest, connection, document, at, Traffic::Wire)
    }

    /// The same, and what becomes of exchanges over HTTP.
    ///
    /// # Errors
    /// The same, and where a recording cannot be written, or is none of this connection.
    pub fn bind_over(
        manifest: &Arc<Manifest>,
        connection: &Connection,
        document: &Document,
        at: &KeyPath,
        traffic: Traffic,
    ) -> Result<Self, Problems> {
        let path = at.key("settings");
        let settings = check_settings(&manifest.name, &manifest.settings, &connection.settings, document, &path)?;
        let zone = connection.time_zone.time_zone();
        let mut binder = Binder { settings: &settings, zone, document, at: &path, problems: Problems::default() };
        let client = manifest.http.as_ref().and_then(|plan| {
            let (with_secrets, secrets) = secrets(&settings, &connection.settings);
            traffic.learn(&secrets);
            let vault = Vault::new(with_secrets, secrets);
            binder.client(plan, vault, !manifest.actions.is_empty(), traffic.clone()).map(Arc::new)
        });
        let (mut streams, mut pages) = (BTreeMap::new(), BTreeMap::new());
        for (name, named) in &manifest.streams {
            let stream = match (&named.plan, &client) {
                (StreamPlan::Files(plan), _) => binder.files(plan).map(|source| Stream::Files(Arc::new(source))),
                (StreamPlan::Pages(_), Some(client)) => {
                    binder.pages(name, &manifest.streams, client, &mut pages).map(Stream::Pages)
                }
                (StreamPlan::Pages(_), None) => None,
            };
            streams.extend(stream.map(|stream| (name.clone(), stream)));
        }
        let mut actions = BTreeMap::new();
        for (name, named) in &manifest.actions {
            let way = match (&named.plan.way, &client) {
                (Way::File(plan), _) => binder.file_action(plan).map(Bound::File),
                (Way::Requests(_), Some(client)) => Some(Bound::Requests(Arc::clone(client))),
                (Way::Requests(_), None) => None,
            };
            let parts = way.map(|way| ActionParts {
                name: name.clone(),
                class: named.plan.class,
                manifest: Arc::clone(manifest),
                way,
            });
            actions.extend(parts.map(|parts| (name.clone(), Action(Arc::new(parts)))));
        }
        binder.problems.into_result()?;
        if let Some(client) = &client {
            let described = Described {
                connection: &connection.name,
                connector: &manifest.name,
                manifest: &manifest.digest,
                company: connection.company.as_deref(),
                time_zone: connection.time_zone.to_string(),
                address: client.base(),
                settings: settings.to_json(),
            };
            traffic.bound(&described).map_err(|error| document.problem(&path, error.to_string()))?;
        }
        Ok(Self {
            manifest: Arc::clone(manifest),
            settings,
            streams,
            actions,
            client,
            traffic,
            sightings: Arc::default(),
        })
    }

    /// Gives the connection, by its name, what it keeps things in beyond a request, and what secrets are encrypted with
    /// there. The first one stays.
    pub fn keep_in(&self, keeper: &Arc<dyn Keeper>, seal: Option<&Arc<Seal>>, name: &str) {
        if let Some(client) = &self.client {
            client.keep().in_keeper(Arc::clone(keeper), seal.cloned(), name);
        }
    }

    /// Whether it keeps secrets.
    pub fn keeps_secrets(&self) -> bool {
        self.grant().is_some()
    }

    /// Asks for a person's consent. `redirect` is where the person is to be sent back to, if not where the manifest says.
    ///
    /// # Errors
    /// Where none is needed, or an address is none.
    pub fn ask_consent(&self, name: &str, redirect: Option<&str>) -> Result<Asking, ConsentError> {
        self.grant().ok_or_else(|| ConsentError::NotNeeded(name.to_owned()))?.ask_consent(redirect)
    }

    /// Uses the consent that came back with a person, to an address.
    ///
    /// # Errors
    /// Where it is none, is of another asking, or the system gives no tokens for it.
    pub async fn use_consent(&self, name: &str, asking: &Asking, came_back_to: &str) -> Result<(), ConsentError> {
        let grant = self.grant().ok_or_else(|| ConsentError::NotNeeded(name.to_owned()))?;
        grant.use_consent(asking, came_back_to).await
    }

    fn grant(&self) -> Option<&Arc<Grant>> {
        self.client.as_ref()?.grant()
    }

    /// The connector's manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The settings that are no secrets, a map: the variable `settings` of mappings.
    pub fn settings(&self) -> &Value {
        &self.settings
    }

    /// The streams that the connection has: of files those whose directory its settings give.
    pub fn stream_names(&self) -> Vec<&str> {
        self.streams.keys().map(String::as_str).collect()
    }

    /// What is ready to be read of a stream now, in the order in which it is to be read: of complete exports the
    /// newest, of files with changes each. Waits once, for as long as the manifest says a file must have been stable,
    /// where one was never seen before. A stream of pages offers what changed, or everything where that is wanted or the
    /// stream has no cursor.
    ///
    /// # Errors
    /// Where the directory cannot be read, something in it is no regular file, there is no such stream, or it cannot be asked for
    /// what is wanted.
    pub async fn offers(&self, stream: &str, wanted: &Wanted) -> Result<Vec<Offer>, ConnectorError> {
        match self.stream(stream)? {
            Stream::Pages(pages) => {
                let reason = match pages.telling() {
                    None => "it has no `cursor`, so each pull reads everything",
                    Some(cursor) if !cursor.is_instant() => {
                        "its `cursor` is a row version; without --since the next pull asks for what changed"
                    }
                    Some(_) => "",
                };
                if wanted.since.is_some() && !reason.is_empty() {
                    return Err(ConnectorError::NotSince { stream: stream.to_owned(), reason });
                }
                let since = wanted.since.map(|since| Json::from(since.to_string()));
                let is_since = since.is_some();
                let after = since.or_else(|| wanted.after.clone()).filter(|_| pages.tells_changes());
                let (traffic, name) = (self.traffic.clone(), stream.to_owned());
                let after = blocking("a recording", move || traffic.place(&name, after)).await??;
                Ok(vec![Offer::pages(stream, pages, after, is_since)])
            }
            Stream::Files(_) if wanted.since.is_some() => {
                let reason = "it is read from files, each as a whole; leave out --since";
                Err(ConnectorError::NotSince { stream: stream.to_owned(), reason })
            }
            Stream::Files(source) => {
                let mut look = self.look(source).await?;
                if let Some(wait) = look.wait {
                    tokio::time::sleep(wait).await;
                    look = self.look(source).await?;
                }
                Ok(source.offers(look.ready))
            }
        }
    }

    async fn look(&self, source: &Arc<Source>) -> Result<Look, ConnectorError> {
        // One look remembers the files of all streams, so that they are waited for together.
        let streams: Vec<Arc<Source>> =
            self.sources().filter(|other| other.directory == source.directory).map(Arc::clone).collect();
        let (source, sightings) = (Arc::clone(source), Arc::clone(&self.sightings));
        blocking("looking at a directory", move || {
            source.look(&sightings, |name| streams.iter().any(|stream| stream.concerns(name)))
        })
        .await?
    }

    fn sources(&self) -> impl Iterator<Item = &Arc<Source>> {
        self.streams.values().filter_map(|stream| match stream {
            Stream::Files(source) => Some(source),
            Stream::Pages(_) => None,
        })
    }

    /// Puts away what was offered under this identity and read to its end, as the manifest says: archives, removes or
    /// keeps it, and of complete exports the older ones too. What is gone, or was written again since, is left alone.
    ///
    /// # Errors
    /// Where a file cannot be moved or removed, or the identity is none of the stream's.
    pub async fn settle(&self, stream: &str, identity: &Json) -> Result<(), ConnectorError> {
        match self.stream(stream)? {
            Stream::Pages(_) => Ok(()),
            Stream::Files(source) => {
                let (source, sightings, identity) = (Arc::clone(source), Arc::clone(&self.sightings), identity.clone());
                blocking("putting a file away", move || source.settle(&identity, &sightings)).await?
            }
        }
    }

    /// Whether two streams read the same files.
    pub fn same_files(&self, one: &str, other: &str) -> bool {
        match (self.streams.get(one), self.streams.get(other)) {
            (Some(Stream::Files(one)), Some(Stream::Files(other))) => {
                one.directory == other.directory && one.files == other.files
            }
            _ => false,
        }
    }

    fn stream(&self, stream: &str) -> Result<&Stream, ConnectorError> {
        self.streams.get(stream).ok_or_else(|| ConnectorError::NoStream {
            connector: self.manifest.name.clone(),
            stream: stream.to_owned(),
            hint: self
                .lacking(stream)
                .unwrap_or_else(|| format!("its streams are {}", suggest::one_of(self.stream_names()))),
        })
    }

    /// Why the connection does not have a stream or an action that the manifest has: which settings would give it.
    pub fn lacking(&self, name: &str) -> Option<String> {
        let stream = self.manifest.streams.get(name).filter(|_| !self.streams.contains_key(name));
        let action = self.manifest.actions.get(name).filter(|_| !self.actions.contains_key(name));
        let directory = match (stream.map(|named| &named.plan), action.map(|named| &named.plan.way)) {
            (Some(StreamPlan::Files(plan)), _) => &plan.directory,
            (_, Some(Way::File(plan))) => &plan.directory,
            _ => return None,
        };
        let settings = directory.template.members(SETTINGS);
        let settings = suggest::one_of(settings.iter().map(|member| member.name.as_str()));
        Some(format!("give the connection the setting {settings}"))
    }

    /// Whether each directory is there and can be read and written as the manifest needs it, or whether the system
    /// answers.
    pub async fn probe(&self) -> Vec<ProbeResult> {
        if let (Some(client), Some(plan)) = (&self.client, &self.manifest.http) {
            let first = self.pages().find(|(_, pages)| pages.stands_alone());
            return vec![super::http::bind::probe(client, plan, first).await];
        }
        let mut needs = Needs::default();
        for (name, stream) in &self.streams {
            if let Stream::Files(source) = stream {
                needs.add_stream(name, source);
            }
        }
        for (name, action) in &self.actions {
            if let Bound::File(file) = &action.0.way {
                file.needs(name, &mut needs);
            }
        }
        let probed = blocking("probing directories", move || {
            needs.0.into_iter().map(|(path, need)| need.probe(&path)).collect::<Vec<_>>()
        });
        probed.await.unwrap_or_else(|error| vec![ProbeResult::failed(error.to_string())])
    }

    /// What requests go through, where the transport is HTTP.
    pub(super) fn client(&self) -> Option<&Arc<Client>> {
        self.client.as_ref()
    }

    /// The streams of pages.
    pub(super) fn pages(&self) -> impl Iterator<Item = (&str, &Arc<Pages>)> {
        self.streams.iter().filter_map(|(name, stream)| match stream {
            Stream::Pages(pages) => Some((name.as_str(), pages)),
            Stream::Files(_) => None,
        })
    }

    /// What the connection can do under this name, such as `order`.
    pub fn action(&self, name: &str) -> Option<&Action> {
        self.actions.get(name)
    }

    /// Hands a request over. Dropping the future gives the attempt up: a file that has no name by then gets none; a
    /// request that is under way may be executed. What is exchanged is noted in the trail.
    pub async fn create(&self, action: &Action, request: &Map, reference: &str, trail: &Trail) -> Created {
        match action.parts() {
            Some((Bound::File(file), Way::File(plan))) => {
                file.create(plan, &self.settings, request, reference, trail).await
            }
            Some((Bound::Requests(client), Way::Requests(plan))) => {
                Execution::new(plan, client, request, reference, trail).create().await
            }
            _ => Created::Rejected { reason: action.gone() },
        }
    }

    /// Looks for what was handed over under our reference, and takes the steps that are left of it. What is exchanged is
    /// noted in the trail.
    pub async fn find(&self, action: &Action, request: &Map, reference: &str, trail: &Trail) -> Found {
        match action.parts() {
            Some((Bound::File(file), Way::File(plan))) => {
                file.find(plan, &self.settings, request, reference, trail).await
            }
            Some((Bound::Requests(client), Way::Requests(plan))) => {
                Execution::new(plan, client, request, reference, trail).find().await
            }
            _ => Found::Failed { reason: action.gone(), connection_down: false },
        }
    }
}

impl Action {
    /// Its name in the manifest.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// How the system treats the same create twice.
    pub fn class(&self) -> CreateClass {
        self.0.class
    }

    fn parts(&self) -> Option<(&Bound, &Way)> {
        Some((&self.0.way, &self.0.manifest.actions.get(&self.0.name)?.plan.way))
    }

    fn gone(&self) -> String {
        format!("there is no action '{}' any more", self.0.name)
    }
}

/// Works where blocking is allowed.
pub(super) async fn blocking<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ConnectorError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| ConnectorError::Stopped(what))
}
