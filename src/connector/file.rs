//! The file transport: a file is what it was when it was opened, or the run that read it does not count.
//!
//! Reading from directories is in `source`, handing files over in `handover`.

pub(super) mod bind;
pub(super) mod compile;
pub(super) mod handover;
pub(super) mod listing;
pub(super) mod pattern;
pub(super) mod relocate;
pub(super) mod source;
pub mod trouble;

use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// What cannot be done with a file, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file cannot be opened or looked at.
    #[error("cannot read {}: {source}; check that it exists and that the daemon's user may read it", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is another than it was.
    #[error("{} changed while it was read; nothing of it counts, the next run reads it again", .0.display())]
    Changed(PathBuf),
}

/// A file that is being read.
#[derive(Debug)]
pub struct OpenFile {
    path: PathBuf,
    file: File,
    opened: Stamp,
}

/// What tells a file's content from another without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    length: u64,
    modified: u128,
}

impl Stamp {
    fn of(metadata: &Metadata) -> io::Result<Self> {
        let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        Ok(Self { length: metadata.len(), modified })
    }

    /// What tells this content of the file at a path from another.
    fn identity(&self, path: &Path) -> Value {
        json!({
            "file": path.display().to_string(),
            "length": self.length.to_string(),
            "modified": self.modified.to_string(),
        })
    }

    /// The inverse of [`Stamp::identity`].
    fn of_identity(identity: &Value) -> Option<(PathBuf, Self)> {
        let text = |name: &str| identity.get(name)?.as_str();
        let stamp = Self { length: text("length")?.parse().ok()?, modified: text("modified")?.parse().ok()? };
        Some((PathBuf::from(text("file")?), stamp))
    }

    /// The time of modification.
    fn time(&self) -> SystemTime {
        // Nanoseconds since 1970 pass 64 bits in the year 2554.
        UNIX_EPOCH + Duration::from_nanos(u64::try_from(self.modified).unwrap_or(u64::MAX))
    }
}

/// Whether a path is a regular file with this content; what a link leads to does not count.
pub fn is_at(path: &Path, stamp: &Stamp) -> bool {
    std::fs::symlink_metadata(path)
        .and_then(|metadata| Ok(metadata.is_file() && Stamp::of(&metadata)? == *stamp))
        .unwrap_or(false)
}

impl OpenFile {
    /// Whether it is what a look at the directory saw.
    pub fn is(&self, stamp: &Stamp) -> bool {
        self.opened == *stamp
    }

    /// Opens a file.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let failed = |source| FileError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let opened = file.metadata().and_then(|m| Stamp::of(&m)).map_err(failed)?;
        Ok(Self { path: path.to_owned(), file, opened })
    }

    /// What tells this content of the file from another: name, length, time of modification.
    pub fn identity(&self) -> Value {
        self.opened.identity(&self.path)
    }

    /// A second handle to read from.
    pub fn bytes(&self) -> Result<File, FileError> {
        self.file.try_clone().map_err(|source| FileError::Read { path: self.path.clone(), source })
    }

    /// Whether the file is still the one that was opened: neither grown nor replaced nor gone.
    pub fn verify(&self) -> Result<(), FileError> {
        let open = self.file.metadata().and_then(|metadata| Stamp::of(&metadata));
        if open.is_ok_and(|stamp| stamp == self.opened) && is_at(&self.path, &self.opened) {
            Ok(())
        } else {
            Err(FileError::Changed(self.path.clone()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_grows_or_vanishes_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("prijzen.csv");
        std::fs::write(&path, "Nr\n1\n").unwrap();
        let open = OpenFile::open(&path).unwrap();
        open.verify().unwrap();
        std::fs::write(&path, "Nr\n1\n2\n").unwrap();
        assert!(matches!(open.verify(), Err(FileError::Changed(_))));
        let open = OpenFile::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(open.verify(), Err(FileError::Changed(_))));
        assert!(matches!(OpenFile::open(&path), Err(FileError::Read { .. })));
    }
}
