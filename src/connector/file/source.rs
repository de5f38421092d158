//! A stream of files: what is ready to be read, in which order, and what becomes of a file that was read.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;

use super::listing::{Entry, Sightings};
use super::pattern::{Pattern, by_name};
use super::relocate::{MoveError, move_into, sync_directory};
use super::trouble::{Doing, explain};
use super::{Stamp, is_at};
use crate::connector::error::ConnectorError;
use crate::connector::offer::{Offer, Origin};
use crate::connector::reading::Reading;
use crate::connector::word::Content;

/// A stream of files, with the settings of a connection filled in.
#[derive(Debug)]
pub struct Source {
    /// The directory.
    pub directory: PathBuf,
    /// Which of its files.
    pub files: Pattern,
    /// Whether a file holds everything.
    pub content: Content,
    /// What tells that a file is written to its end.
    pub ready: Ready,
    /// What becomes of a file that was read.
    pub after: After,
    /// How the files are read.
    pub reading: Arc<Reading>,
}

/// What tells that a file is written to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ready {
    /// A file of its name with this text behind it.
    Marker(String),
    /// That size and time of modification stayed the same so long.
    Stable(Duration),
}

/// What becomes of a file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum After {
    /// It stays.
    Keep,
    /// It is moved here.
    Archive(PathBuf),
    /// It is removed.
    Delete,
}

/// What a look at a directory found.
#[derive(Debug)]
pub struct Look {
    /// The files that are ready, in the order in which they are to be read.
    pub ready: Vec<Entry>,
    /// How long until the files that still may be written are known not to be; nothing where there is none.
    pub wait: Option<Duration>,
}

/// How far a file is.
enum State {
    /// It is written to its end.
    Ready,
    /// It was not watched long enough; so long is left.
    Watched(Duration),
    /// Its marker does not say that it is whole.
    Unmarked(&'static str),
}

impl Source {
    /// Whether a file of this name is one of the stream's, or the marker of one.
    pub fn concerns(&self, name: &str) -> bool {
        self.files.matches(name) || self.marked(name).is_some()
    }

    /// Looks at the directory. Files under other names that are `wanted` are only remembered. Blocking.
    ///
    /// # Errors
    /// Where it cannot be listed, or something that is no regular file has the name of one of the stream's.
    pub fn look(&self, sightings: &Sightings, wanted: impl Fn(&str) -> bool) -> Result<Look, ConnectorError> {
        let mut entries = sightings.look(&self.directory, wanted).map_err(|source| ConnectorError::Directory {
            path: self.directory.clone(),
            doing: Doing::Reading,
            source,
        })?;
        entries.retain(|entry| self.concerns(&entry.name));
        let (markers, mut files): (Vec<Entry>, Vec<Entry>) =
            entries.into_iter().partition(|entry| self.marked(&entry.name).is_some());
        let markers: HashMap<&str, &Stamp> =
            markers.iter().filter_map(|marker| Some((self.marked(&marker.name)?, &marker.stamp))).collect();
        match self.content {
            Content::Full => files.sort_by(by_age),
            Content::Delta => files.sort_by(|a, b| by_name(&a.name, &b.name)),
        }
        let mut look = Look { ready: Vec::new(), wait: None };
        let mut before = None;
        for file in files {
            if let Some(kind) = file.irregular {
                return Err(ConnectorError::NotAFile { path: file.path, kind });
            }
            match (self.state(&file, &markers), &before) {
                // Changes are taken in order: a later one must not be overwritten by an earlier one that comes late.
                (State::Ready, Some(why)) if self.content == Content::Delta => {
                    tracing::warn!(file = %file.path.display(), "not read, because of a file before it: {why}");
                }
                (State::Ready, _) => look.ready.push(file),
                (State::Watched(rest), _) => {
                    look.wait = look.wait.max(Some(rest));
                    before = Some(format!("{} may still be written", file.name));
                }
                (State::Unmarked(why), _) => {
                    tracing::debug!(file = %file.path.display(), "not read: it {why}");
                    before = Some(format!("{} {why}", file.name));
                }
            }
        }
        Ok(look)
    }

    /// The name of the file to which the marker of this name belongs, if it is one.
    fn marked<'a>(&self, name: &'a str) -> Option<&'a str> {
        let Ready::Marker(suffix) = &self.ready else { return None };
        name.strip_suffix(suffix.as_str()).filter(|name| self.files.matches(name))
    }

    fn state(&self, file: &Entry, markers: &HashMap<&str, &Stamp>) -> State {
        match &self.ready {
            Ready::Stable(stable) => match stable.saturating_sub(file.unchanged) {
                Duration::ZERO => State::Ready,
                rest => State::Watched(rest),
            },
            Ready::Marker(_) => match markers.get(file.name.as_str()) {
                // A marker of yesterday says nothing about a file that is being written again today.
                Some(marker) if marker.modified >= file.stamp.modified => State::Ready,
                Some(_) => State::Unmarked("is newer than its marker"),
                None => State::Unmarked("has no marker yet"),
            },
        }
    }

    /// What is offered of the files that are ready.
    pub fn offers(&self, ready: Vec<Entry>) -> Vec<Offer> {
        let complete = self.content == Content::Full;
        // Of complete exports the newest says all there is.
        let passed_over = if complete { ready.len().saturating_sub(1) } else { 0 };
        ready.into_iter().skip(passed_over).map(|file| self.offer(file, complete)).collect()
    }

    fn offer(&self, file: Entry, complete: bool) -> Offer {
        Offer {
            identity: file.stamp.identity(&file.path),
            complete,
            stable: true,
            once: true,
            name: file.name,
            origin: Origin::File { path: file.path, stamp: file.stamp, reading: Arc::clone(&self.reading) },
        }
    }

    /// Archives, removes or keeps a file that was read, and of complete exports the older ones before it. A file that
    /// is gone, or was written again since, is left alone. Blocking.
    ///
    /// # Errors
    /// Where the identity is none of this stream's, or a file cannot be moved or removed.
    pub fn settle(&self, identity: &Json, sightings: &Sightings) -> Result<(), ConnectorError> {
        let foreign = || ConnectorError::ForeignIdentity(identity.to_string());
        let (path, stamp) = Stamp::of_identity(identity).ok_or_else(foreign)?;
        let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(foreign)?;
        if path.parent() != Some(self.directory.as_path()) || !self.files.matches(name) {
            return Err(foreign());
        }
        if self.after == After::Keep {
            return Ok(());
        }
        if self.content == Content::Full {
            // The older ones first: were the newest gone before them, a crash would make one of them the newest.
            let newest = Entry {
                name: name.to_owned(),
                path: path.clone(),
                stamp: stamp.clone(),
                unchanged: Duration::ZERO,
                irregular: None,
            };
            for older in self
                .look(sightings, |name| self.concerns(name))?
                .ready
                .iter()
                .filter(|file| by_age(file, &newest) == Ordering::Less)
            {
                self.put_away(&older.path, &older.stamp)?;
            }
        }
        self.put_away(&path, &stamp)
    }

    fn put_away(&self, path: &Path, stamp: &Stamp) -> Result<(), ConnectorError> {
        if !is_at(path, stamp) {
            return Ok(());
        }
        let marker = self.marker(path);
        match &self.after {
            After::Keep => Ok(()),
            After::Delete => {
                let removed = std::fs::remove_file(path).and_then(|()| remove(marker.as_deref()));
                removed
                    .and_then(|()| sync_directory(&self.directory))
                    .map_err(|error| not_settled(path, &self.directory, &error))
            }
            After::Archive(archive) => {
                self.archive(archive, path, stamp)?;
                // A marker that stays behind is older than the next file of the name, and makes it no readier.
                let with_stamp = marker.and_then(|marker| {
                    let stamp = std::fs::symlink_metadata(&marker).and_then(|metadata| Stamp::of(&metadata)).ok()?;
                    Some((marker, stamp))
                });
                with_stamp.map_or(Ok(()), |(marker, stamp)| self.archive(archive, &marker, &stamp))
            }
        }
    }

    fn archive(&self, archive: &Path, path: &Path, stamp: &Stamp) -> Result<(), ConnectorError> {
        match move_into(archive, path, stamp) {
            // What was written meanwhile is read by the next run.
            Ok(_) | Err(MoveError::Changed) => Ok(()),
            Err(MoveError::Target(error)) => Err(not_settled(path, archive, &error)),
            Err(MoveError::Source(error)) => Err(not_settled(path, &self.directory, &error)),
        }
    }

    fn marker(&self, path: &Path) -> Option<PathBuf> {
        let Ready::Marker(suffix) = &self.ready else { return None };
        let name = path.file_name()?.to_str()?;
        Some(path.with_file_name(format!("{name}{suffix}")))
    }
}

fn not_settled(path: &Path, directory: &Path, error: &std::io::Error) -> ConnectorError {
    ConnectorError::NotSettled { path: path.to_owned(), message: explain(directory, Doing::Writing, error) }
}

/// Files from the oldest to the newest, by their dates and, where these are the same, by their names.
fn by_age(a: &Entry, b: &Entry) -> Ordering {
    a.stamp.modified.cmp(&b.stamp.modified).then_with(|| by_name(&a.name, &b.name))
}

fn remove(path: Option<&Path>) -> std::io::Result<()> {
    match path.map_or(Ok(()), std::fs::remove_file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
