//! Streams and actions of the file transport with the settings of a connection filled in.
//!
//! What does not live here: reading and writing (`source`, `handover`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::compile::{ActionPlan, ReadyPlan, StreamPlan};
use super::handover::{Abandoned, Handover};
use super::pattern::check_name;
use super::source::{After, Ready, Source};
use super::trouble::Doing;
use crate::connector::binder::Binder;
use crate::connector::check::FILE_NAMES;
use crate::connector::connection::blocking;
use crate::connector::outcome::{Created, Found};
use crate::connector::probe::Need;
use crate::connector::trail::{Sent, Trail, shown};
use crate::connector::word::AfterWord;
use crate::connector::writing::Writing;
use crate::expression::Context;
use crate::record::{Map, Value};

/// An action that writes files.
#[derive(Debug)]
pub struct FileAction {
    zone: TimeZone,
    handover: Arc<Handover>,
    writing: Arc<Writing>,
}

impl FileAction {
    /// Hands a request over. Dropping the future gives the attempt up: a file that has no name by then gets none.
    pub async fn create(
        &self,
        plan: &ActionPlan,
        settings: &Value,
        request: &Map,
        reference: &str,
        trail: &Trail,
    ) -> Created {
        let (name, content) = match self.file_of(plan, settings, request, reference) {
            Ok(name) => match self.writing.write(request) {
                Ok(content) => (name, content),
                Err(error) => return Created::Rejected { reason: error.to_string() },
            },
            Err(reason) => return Created::Rejected { reason },
        };
        let noted = trail.begin(self.touched("write", &name, shown(&content)));
        let abandoned = Abandoned::default();
        let guard = abandoned.guard();
        let handover = Arc::clone(&self.handover);
        let created = blocking("writing a file", move || handover.create(&name, &content, &abandoned)).await;
        drop(guard);
        let created = created.unwrap_or_else(|error| Created::Unknown { reason: error.to_string() });
        noted.came_to(match &created {
            Created::Accepted { .. } | Created::Submitted => "the file is there".to_owned(),
            Created::Rejected { reason }
            | Created::Undone { reason }
            | Created::NotExecuted { reason, .. }
            | Created::Unknown { reason } => reason.clone(),
        });
        created
    }

    /// Looks for what was handed over under our reference.
    pub async fn find(
        &self,
        plan: &ActionPlan,
        settings: &Value,
        request: &Map,
        reference: &str,
        trail: &Trail,
    ) -> Found {
        let name = match self.file_of(plan, settings, request, reference) {
            Ok(name) => name,
            Err(reason) => return Found::Failed { reason, connection_down: false },
        };
        let noted = trail.begin(self.touched("look for", &name, None));
        let handover = Arc::clone(&self.handover);
        let found = blocking("looking for a file", move || handover.find(&name))
            .await
            .unwrap_or_else(|error| Found::Failed { reason: error.to_string(), connection_down: false });
        noted.came_to(match &found {
            Found::Accepted { .. } | Found::Submitted => "the file is there, or was taken".to_owned(),
            Found::Missing { .. } => "the file is not there".to_owned(),
            Found::Rejected { reason } | Found::Doubtful { reason } | Found::Failed { reason, .. } => reason.clone(),
        });
        found
    }

    /// A file as a trail shows it.
    fn touched(&self, method: &str, name: &str, body: Option<String>) -> Sent {
        let address = self.handover.directory().join(name).display().to_string();
        Sent { method: method.to_owned(), address, headers: Vec::new(), body }
    }

    /// The name of a request's file. No text of a request leads out of the directory.
    fn file_of(&self, plan: &ActionPlan, settings: &Value, request: &Map, reference: &str) -> Result<String, String> {
        let (reference, request) = (Value::Text(reference.to_owned()), Value::Map(request.clone()));
        let values = [settings, &reference, &request];
        let names: Vec<(&str, &Value)> = FILE_NAMES.iter().copied().zip(values).collect();
        let record = Map::default();
        let context = Context { record: (&record).into(), names: &names, zone: &self.zone };
        let name = plan.file.template.fill(&context).map_err(|error| format!("{}: {error}", plan.file.name))?;
        let name = name.unwrap_or_default();
        check_name(&name).map_err(|message| format!("{}: {message}", plan.file.name))?;
        Ok(name)
    }

    /// What the action of this name needs of directories.
    pub fn needs(&self, name: &str, needs: &mut Needs) {
        needs.add(self.handover.directory(), Doing::Writing, format!("action {name}"));
        if let Some(archive) = self.handover.archive() {
            needs.add(archive, Doing::Reading, format!("archive of action {name}"));
        }
    }
}

/// What a connection needs of directories.
#[derive(Debug, Default)]
pub struct Needs(pub BTreeMap<PathBuf, Need>);

impl Needs {
    fn add(&mut self, path: &Path, doing: Doing, what: String) {
        self.0.entry(path.to_owned()).or_default().add(doing, what);
    }

    /// What the stream of this name needs.
    pub fn add_stream(&mut self, name: &str, source: &Source) {
        let doing = if source.after == After::Keep { Doing::Reading } else { Doing::Writing };
        self.add(&source.directory, doing, format!("stream {name}"));
        if let After::Archive(archive) = &source.after {
            self.add(archive, Doing::Writing, format!("archive of stream {name}"));
        }
    }
}

impl Binder<'_> {
    /// A stream of files; nothing where its directory has no value, so that the connection does not have it, or with a problem.
    pub fn files(&mut self, plan: &StreamPlan) -> Option<Source> {
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

    /// An action that writes files; nothing where its directory has no value, so that the connection does not have it, or with a
    /// problem.
    pub fn file_action(&mut self, plan: &ActionPlan) -> Option<FileAction> {
        let directory = self.value(&plan.directory)??;
        let archive = plan.archive.as_ref().map_or(Some(None), |archive| self.value(archive));
        let writing = self.format(&plan.writing);
        Some(FileAction {
            zone: self.zone.clone(),
            handover: Arc::new(Handover::new(directory, archive?, plan.archives)),
            writing: Arc::new(writing),
        })
    }
}
