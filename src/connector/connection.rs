//! A connection: a connector with its settings, and what can be read and done through it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde_json::Value as Json;

use super::check::{FILE_NAMES, SETTINGS};
use super::compile::{ActionPlan, Manifest, ReadyPlan, StreamPlan};
use super::error::ConnectorError;
use super::file::handover::{Abandoned, Handover};
use super::file::listing::Sightings;
use super::file::pattern::check_name;
use super::file::source::{After, Look, Offer, Ready, Source};
use super::file::trouble::Doing;
use super::outcome::{CreateClass, Created, Found};
use super::probe::{Need, ProbeResult};
use super::settings::check_settings;
use super::word::{AfterWord, Formatted, Plan, Word};
use super::writing::Writing;
use crate::config::{Connection, Document, KeyPath, Problems, suggest};
use crate::expression::Context;
use crate::record::{Map, Value};

/// A connection to a system.
#[derive(Debug)]
pub struct Connector {
    manifest: Arc<Manifest>,
    settings: Value,
    streams: BTreeMap<String, Arc<Source>>,
    actions: BTreeMap<String, Action>,
    sightings: Arc<Sightings>,
}

/// Something that can be done through a connection.
#[derive(Debug, Clone)]
pub struct Action(Arc<ActionParts>);

#[derive(Debug)]
struct ActionParts {
    name: String,
    class: CreateClass,
    manifest: Arc<Manifest>,
    zone: TimeZone,
    handover: Handover,
    writing: Writing,
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
        let path = at.key("settings");
        let settings = check_settings(&manifest.name, &manifest.settings, &connection.settings, document, &path)?;
        let zone = connection.time_zone.time_zone();
        let mut binder = Binder { settings: &settings, zone, document, at: &path, problems: Problems::default() };
        let mut streams = BTreeMap::new();
        for (name, plan) in &manifest.streams {
            streams.extend(binder.stream(plan).map(|source| (name.clone(), Arc::new(source))));
        }
        let mut actions = BTreeMap::new();
        for (name, plan) in &manifest.actions {
            actions.extend(binder.action(manifest, name, plan).map(|action| (name.clone(), action)));
        }
        binder.problems.into_result()?;
        Ok(Self { manifest: Arc::clone(manifest), settings, streams, actions, sightings: Arc::default() })
    }

    /// The connector's manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The settings that are no secrets, a map: the variable `settings` of mappings.
    pub fn settings(&self) -> &Value {
        &self.settings
    }

    /// The streams that the connection has: those whose directory its settings give.
    pub fn stream_names(&self) -> Vec<&str> {
        self.streams.keys().map(String::as_str).collect()
    }

    /// What is ready to be read of a stream now, in the order in which it is to be read: of complete exports the
    /// newest, of files with changes each. Waits once, for as long as the manifest says a file must have been stable,
    /// where one was never seen before.
    ///
    /// # Errors
    /// Where the directory cannot be read, something in it is no regular file, or there is no such stream.
    pub async fn offers(&self, stream: &str) -> Result<Vec<Offer>, ConnectorError> {
        let source = self.source(stream)?;
        let mut look = self.look(source).await?;
        if let Some(wait) = look.wait {
            tokio::time::sleep(wait).await;
            look = self.look(source).await?;
        }
        Ok(source.offers(look.ready))
    }

    async fn look(&self, source: &Arc<Source>) -> Result<Look, ConnectorError> {
        // One look remembers the files of all streams, so that they are waited for together.
        let streams: Vec<Arc<Source>> =
            self.streams.values().filter(|other| other.directory == source.directory).map(Arc::clone).collect();
        let (source, sightings) = (Arc::clone(source), Arc::clone(&self.sightings));
        blocking("looking at a directory", move || {
            source.look(&sightings, |name| streams.iter().any(|stream| stream.concerns(name)))
        })
        .await?
    }

    /// Puts away what was offered under this identity and read to its end, as the manifest says: archives, removes or
    /// keeps it, and of complete exports the older ones too. What is gone, or was written again since, is left alone.
    ///
    /// # Errors
    /// Where a file cannot be moved or removed, or the identity is none of the stream's.
    pub async fn settle(&self, stream: &str, identity: &Json) -> Result<(), ConnectorError> {
        let source = Arc::clone(self.source(stream)?);
        let (sightings, identity) = (Arc::clone(&self.sightings), identity.clone());
        blocking("putting a file away", move || source.settle(&identity, &sightings)).await?
    }

    /// Whether two streams read the same files.
    pub fn same_files(&self, one: &str, other: &str) -> bool {
        match (self.streams.get(one), self.streams.get(other)) {
            (Some(one), Some(other)) => one.directory == other.directory && one.files == other.files,
            _ => false,
        }
    }

    fn source(&self, stream: &str) -> Result<&Arc<Source>, ConnectorError> {
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
        let directory = match (self.manifest.streams.get(name), self.manifest.actions.get(name)) {
            (Some(plan), _) if !self.streams.contains_key(name) => &plan.directory,
            (_, Some(plan)) if !self.actions.contains_key(name) => &plan.directory,
            _ => return None,
        };
        let settings = directory.template.members(SETTINGS);
        let settings = suggest::one_of(settings.iter().map(|member| member.name.as_str()));
        Some(format!("give the connection the setting {settings}"))
    }

    /// Whether each directory is there and can be read and written as the manifest needs it.
    pub async fn probe(&self) -> Vec<ProbeResult> {
        let mut needs: BTreeMap<PathBuf, Need> = BTreeMap::new();
        let mut need = |path: &std::path::Path, doing: Doing, what: String| {
            needs.entry(path.to_owned()).or_default().add(doing, what);
        };
        for (name, source) in &self.streams {
            let doing = if source.after == After::Keep { Doing::Reading } else { Doing::Writing };
            need(&source.directory, doing, format!("stream {name}"));
            if let After::Archive(archive) = &source.after {
                need(archive, Doing::Writing, format!("archive of stream {name}"));
            }
        }
        for (name, action) in &self.actions {
            need(action.0.handover.directory(), Doing::Writing, format!("action {name}"));
            if let Some(archive) = action.0.handover.archive() {
                need(archive, Doing::Reading, format!("archive of action {name}"));
            }
        }
        let probed = blocking("probing directories", move || {
            needs.into_iter().map(|(path, need)| need.probe(&path)).collect::<Vec<_>>()
        });
        probed.await.unwrap_or_else(|error| vec![ProbeResult::failed(error.to_string())])
    }

    /// What the connection can do under this name, such as `order`.
    pub fn action(&self, name: &str) -> Option<&Action> {
        self.actions.get(name)
    }

    /// Hands a request over. Dropping the future gives the attempt up: a file that has no name by then gets none.
    pub async fn create(&self, action: &Action, request: &Map, reference: &str) -> Created {
        let (name, content) = match self.file_of(action, request, reference) {
            Ok(name) => match action.0.writing.write(request) {
                Ok(content) => (name, content),
                Err(error) => return Created::Rejected { reason: error.to_string() },
            },
            Err(reason) => return Created::Rejected { reason },
        };
        let abandoned = Abandoned::default();
        let guard = abandoned.guard();
        let parts = Arc::clone(&action.0);
        let created = blocking("writing a file", move || parts.handover.create(&name, &content, &abandoned)).await;
        drop(guard);
        created.unwrap_or_else(|error| Created::Unknown { reason: error.to_string() })
    }

    /// Looks for what was handed over under our reference.
    pub async fn find(&self, action: &Action, request: &Map, reference: &str) -> Found {
        let name = match self.file_of(action, request, reference) {
            Ok(name) => name,
            Err(reason) => return Found::Failed { reason, connection_down: false },
        };
        let parts = Arc::clone(&action.0);
        blocking("looking for a file", move || parts.handover.find(&name))
            .await
            .unwrap_or_else(|error| Found::Failed { reason: error.to_string(), connection_down: false })
    }

    /// The name of a request's file. No text of a request leads out of the directory.
    fn file_of(&self, action: &Action, request: &Map, reference: &str) -> Result<String, String> {
        let parts = &action.0;
        let Some(plan) = parts.manifest.actions.get(&parts.name) else {
            return Err(format!("there is no action '{}' any more", parts.name));
        };
        let (reference, request) = (Value::Text(reference.to_owned()), Value::Map(request.clone()));
        let values = [&self.settings, &reference, &request];
        let names: Vec<(&str, &Value)> = FILE_NAMES.iter().copied().zip(values).collect();
        let record = Map::default();
        let context = Context { record: (&record).into(), names: &names, zone: &parts.zone };
        let name = plan.file.template.fill(&context).map_err(|error| format!("{}: {error}", plan.file.name))?;
        let name = name.unwrap_or_default();
        check_name(&name).map_err(|message| format!("{}: {message}", plan.file.name))?;
        Ok(name)
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
}

/// Works where blocking is allowed.
async fn blocking<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ConnectorError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| ConnectorError::Stopped(what))
}

/// Fills the settings of a connection into the plans of a manifest.
struct Binder<'a> {
    settings: &'a Value,
    zone: &'a TimeZone,
    document: &'a Document,
    /// The connection's settings in the configuration.
    at: &'a KeyPath,
    problems: Problems,
}

impl Binder<'_> {
    /// A stream; nothing where its directory has no value, so that the connection does not have it, or with a problem.
    fn stream(&mut self, plan: &StreamPlan) -> Option<Source> {
        let directory = self.value(&plan.directory)??;
        let files = self.needed(&plan.files);
        let content = self.needed(&plan.content);
        let ready = match &plan.ready {
            ReadyPlan::Marker(suffix) => self.needed(suffix).map(Ready::Marker),
            ReadyPlan::Stable(stable) => self.needed(stable).map(Ready::Stable),
        };
        let after = plan.after.as_ref().map_or(Some(AfterWord::Keep), |after| self.needed(after));
        let archive = plan.archive.as_ref().map_or(Some(None), |archive| self.value(archive));
        let reading = self.format(&plan.reading);
        let after = match (after?, archive?) {
            (AfterWord::Keep, _) => After::Keep,
            (AfterWord::Delete, _) => After::Delete,
            (AfterWord::Archive, Some(archive)) if archive == directory => {
                self.refuse(plan.archive.as_ref()?, "the archive is the directory itself, and would be read again");
                return None;
            }
            (AfterWord::Archive, Some(archive)) => After::Archive(archive),
            (AfterWord::Archive, None) => {
                let message = "files are to be archived, and there is no directory for it";
                match &plan.archive {
                    Some(word) => self.refuse(word, message),
                    None => self.refuse(plan.after.as_ref()?, message),
                }
                return None;
            }
        };
        Some(Source { directory, files: files?, content: content?, ready: ready?, after, reading: Arc::new(reading) })
    }

    /// An action; nothing where its directory has no value, so that the connection does not have it, or with a
    /// problem.
    fn action(&mut self, manifest: &Arc<Manifest>, name: &str, plan: &ActionPlan) -> Option<Action> {
        let directory = self.value(&plan.directory)??;
        let archive = plan.archive.as_ref().map_or(Some(None), |archive| self.value(archive));
        let writing = self.format(&plan.writing);
        Some(Action(Arc::new(ActionParts {
            name: name.to_owned(),
            class: plan.class,
            manifest: Arc::clone(manifest),
            zone: self.zone.clone(),
            handover: Handover::new(directory, archive?, plan.archives),
            writing,
        })))
    }

    /// A value that must be there; nothing with a problem.
    fn needed<T>(&mut self, word: &Word<T>) -> Option<T> {
        let value = self.value(word)?;
        if value.is_none() {
            self.refuse(word, "there is no value for it");
        }
        value
    }

    /// A format with what the settings decide.
    fn format<T: Formatted + Clone>(&mut self, plan: &Plan<T>) -> T {
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
    fn value<T>(&mut self, word: &Word<T>) -> Option<Option<T>> {
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
    fn refuse<T>(&mut self, word: &Word<T>, message: &str) {
        let member = word.template.members(SETTINGS).into_iter().next();
        let path = member.map_or_else(|| self.at.clone(), |member| self.at.key(&member.name));
        let problem = self.document.problem(&path, format!("{message} (in the manifest, `{}`)", word.name));
        self.problems.push(problem);
    }
}
