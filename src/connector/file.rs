//! The file transport: a file is what it was when it was opened, or the run that read it does not count.

use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

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
struct Stamp {
    length: u64,
    modified: u128,
}

impl Stamp {
    fn of(metadata: &Metadata) -> io::Result<Self> {
        let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        Ok(Self { length: metadata.len(), modified })
    }
}

impl OpenFile {
    /// Opens a file.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let failed = |source| FileError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let opened = file.metadata().and_then(|m| Stamp::of(&m)).map_err(failed)?;
        Ok(Self { path: path.to_owned(), file, opened })
    }

    /// What tells this content of the file from another: name, length, time of modification.
    pub fn identity(&self) -> Value {
        json!({
            "file": self.path.display().to_string(),
            "length": self.opened.length.to_string(),
            "modified": self.opened.modified.to_string(),
        })
    }

    /// A second handle to read from.
    pub fn bytes(&self) -> Result<File, FileError> {
        self.file.try_clone().map_err(|source| FileError::Read { path: self.path.clone(), source })
    }

    /// Whether the file is still the one that was opened: neither grown nor replaced nor gone.
    pub fn verify(&self) -> Result<(), FileError> {
        let same = |metadata: io::Result<Metadata>| {
            metadata.and_then(|m| Stamp::of(&m)).is_ok_and(|stamp| stamp == self.opened)
        };
        if same(self.file.metadata()) && same(std::fs::metadata(&self.path)) {
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
