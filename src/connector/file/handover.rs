//! Handing a file over: the system sees it whole or not at all, and never the same name twice.

use std::collections::HashSet;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::relocate::{is_temporary, sync_directory, temporary_name, write_hidden};
use super::trouble::{Doing, explain, proves_nothing_done};
use crate::connector::outcome::{Created, Found};

/// How old a temporary file is when whoever wrote it is gone.
const LEFT_BEHIND: Duration = Duration::from_mins(15);

/// Where files are handed over.
#[derive(Debug)]
pub struct Handover {
    /// The directory from which the system reads.
    directory: PathBuf,
    /// The directory to which it moves what it has read.
    archive: Option<PathBuf>,
    /// Whether it does so with every file.
    archives: bool,
    /// The names that are being written. An attempt that was given up on can still be at work on a slow share.
    writing: Mutex<HashSet<String>>,
    /// Whether the directory was searched for what a crash left behind.
    cleaned: AtomicBool,
}

/// Whether whoever asked for a write has gone: then nothing takes effect any more.
#[derive(Debug, Clone, Default)]
pub struct Abandoned(Arc<AtomicBool>);

/// Tells [`Abandoned`] when it is dropped.
#[derive(Debug)]
pub struct Waiting(Abandoned);

impl Abandoned {
    /// The guard that whoever waits for the write holds.
    pub fn guard(&self) -> Waiting {
        Waiting(self.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::SeqCst);
    }
}

/// A name that is being written.
struct Claimed<'a> {
    writing: &'a Mutex<HashSet<String>>,
    name: &'a str,
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner).remove(self.name);
    }
}

impl Handover {
    /// A place to hand files over.
    pub fn new(directory: PathBuf, archive: Option<PathBuf>, archives: bool) -> Self {
        let archives = archives && archive.is_some();
        Self { directory, archive, archives, writing: Mutex::default(), cleaned: AtomicBool::new(false) }
    }

    /// The directory from which the system reads.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The directory to which the system moves what it has read.
    pub fn archive(&self) -> Option<&Path> {
        self.archive.as_deref()
    }

    /// Writes a file under a name that was checked. Blocking.
    pub fn create(&self, name: &str, content: &[u8], abandoned: &Abandoned) -> Created {
        let Some(_claimed) = self.claim(name) else {
            return unknown(format!("an earlier attempt to write {name} is still at work"));
        };
        match self.there(name, Some(content)) {
            Ok(None) => {}
            Ok(Some(There::Same)) => return Created::Submitted,
            Ok(Some(There::Other(reason))) => return unknown(reason),
            Err(reason) => return not_executed(reason),
        }
        let temporary = match temporary_name(name) {
            Ok(temporary) => self.directory.join(temporary),
            Err(error) => return not_executed(format!("the system has no random numbers: {error}")),
        };
        if let Err(error) = write_hidden(&temporary, content) {
            return not_executed(explain(&self.directory, Doing::Writing, &error));
        }
        self.clean(&temporary);
        let created = self.publish(&temporary, name, content, abandoned);
        // Under its hidden name nobody reads it; what cannot be removed now is after the next start.
        let _ = std::fs::remove_file(&temporary);
        created
    }

    fn publish(&self, temporary: &Path, name: &str, content: &[u8], abandoned: &Abandoned) -> Created {
        if abandoned.0.load(Ordering::SeqCst) {
            return not_executed("nobody waits for this attempt any more".to_owned());
        }
        let target = self.directory.join(name);
        match give_name(temporary, &target) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return match self.there(name, Some(content)) {
                    Ok(Some(There::Same)) => Created::Submitted,
                    Ok(Some(There::Other(reason))) | Err(reason) => unknown(reason),
                    Ok(None) => unknown(format!("{} was there and is gone", target.display())),
                };
            }
            Err(error) if proves_nothing_done(&error) => {
                return not_executed(explain(&self.directory, Doing::Writing, &error));
            }
            Err(error) => return unknown(explain(&self.directory, Doing::Writing, &error)),
        }
        match sync_directory(&self.directory) {
            Ok(()) => Created::Submitted,
            Err(error) => unknown(format!(
                "{} is there, but whether it outlasts a power failure is not known: {error}",
                target.display()
            )),
        }
    }

    /// Looks for a file by its name, in the directory and in the archive. Blocking.
    pub fn find(&self, name: &str) -> Found {
        let Some(_claimed) = self.claim(name) else {
            let reason = format!("an attempt to write {name} is still at work; ask again when it has ended");
            return Found::Failed { reason, connection_down: false };
        };
        match self.there(name, None) {
            Ok(Some(There::Same)) => Found::Submitted,
            Ok(Some(There::Other(reason))) => Found::Doubtful { reason },
            Ok(None) => Found::Missing { conclusive: self.archives },
            Err(reason) => Found::Failed { reason, connection_down: true },
        }
    }

    /// What stands under a name, in the directory or in the archive; with `content`, whether it is that.
    ///
    /// The directory comes first: a file that the system moves between the two looks is then seen by the second.
    fn there(&self, name: &str, content: Option<&[u8]>) -> Result<Option<There>, String> {
        for directory in std::iter::once(&self.directory).chain(&self.archive) {
            let path = directory.join(name);
            match std::fs::symlink_metadata(&path) {
                Ok(metadata) if !metadata.is_file() => {
                    return Ok(Some(There::Other(format!("{} is there and is no regular file", path.display()))));
                }
                // What the system has taken is handed over; what it writes into its archive is its own affair.
                Ok(_) if Some(directory) == self.archive.as_ref() => return Ok(Some(There::Same)),
                Ok(metadata) => match same(&path, metadata.len(), content) {
                    Ok(Some(true)) => return Ok(Some(There::Same)),
                    Ok(Some(false)) => {
                        let reason = format!(
                            "{} is there with another content; it was written by an earlier attempt with another \
                             mapping, or by somebody else",
                            path.display()
                        );
                        return Ok(Some(There::Other(reason)));
                    }
                    // Taken by the system in this moment: the archive has it, or nobody can tell.
                    Ok(None) => {}
                    Err(error) => return Err(explain(&path, Doing::Reading, &error)),
                },
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    // A missing file proves something only in a directory that is there.
                    if let Err(error) = std::fs::read_dir(directory) {
                        return Err(explain(directory, Doing::Reading, &error));
                    }
                }
                Err(error) => return Err(explain(directory, Doing::Reading, &error)),
            }
        }
        Ok(None)
    }

    fn claim<'a>(&'a self, name: &'a str) -> Option<Claimed<'a>> {
        let mut writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        writing.insert(name.to_owned()).then(|| Claimed { writing: &self.writing, name })
    }

    /// Removes the temporary files that a crash left behind, once. Their age is told by the clock that dates them: it
    /// has just dated the file at `fresh`.
    fn clean(&self, fresh: &Path) {
        if self.cleaned.swap(true, Ordering::SeqCst) {
            return;
        }
        if let Err(error) = self.remove_left_behind(fresh) {
            tracing::warn!(directory = %self.directory.display(), "temporary files cannot be cleaned up: {error}");
        }
    }

    fn remove_left_behind(&self, fresh: &Path) -> io::Result<()> {
        let now = std::fs::metadata(fresh)?.modified()?;
        for entry in std::fs::read_dir(&self.directory)? {
            let entry = entry?;
            if !entry.file_name().to_str().is_some_and(is_temporary) {
                continue;
            }
            let age = now.duration_since(entry.metadata()?.modified()?).unwrap_or_default();
            if age > LEFT_BEHIND {
                std::fs::remove_file(entry.path())?;
                tracing::info!(file = %entry.path().display(), "removed what an interrupted write left behind");
            }
        }
        Ok(())
    }
}

/// What stands under a name.
enum There {
    /// The file that was looked for.
    Same,
    /// Something else.
    Other(String),
}

/// Whether the file has this content; nothing where it is gone.
fn same(path: &Path, length: u64, content: Option<&[u8]>) -> io::Result<Option<bool>> {
    let Some(content) = content else { return Ok(Some(true)) };
    if length != content.len() as u64 {
        return Ok(Some(false));
    }
    match std::fs::read(path) {
        Ok(found) => Ok(Some(found == content)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Gives a finished file its name, in one step and never over another file.
fn give_name(temporary: &Path, target: &Path) -> io::Result<()> {
    match std::fs::hard_link(temporary, target) {
        // File systems without links (FAT, some shares) refuse them in one of these ways. There the name is looked
        // up first: it holds a reference that nobody else writes.
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Unsupported) => {
            match std::fs::symlink_metadata(target) {
                Ok(_) => Err(ErrorKind::AlreadyExists.into()),
                Err(missing) if missing.kind() == ErrorKind::NotFound => std::fs::rename(temporary, target),
                Err(error) => Err(error),
            }
        }
        result => result,
    }
}

fn not_executed(reason: String) -> Created {
    Created::NotExecuted { reason, connection_down: true, retry_after: None }
}

fn unknown(reason: String) -> Created {
    Created::Unknown { reason }
}
