//! Probing the directories of a connection: whether they are there, and can be read and written.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;

use super::file::relocate::temporary_name;
use super::file::trouble::{Doing, explain};

/// How the probe of one directory went.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ProbeResult {
    /// What the directory is for: streams and actions.
    pub purpose: String,
    /// The directory.
    pub path: String,
    /// What is wrong, and what to do; nothing where all is well.
    pub problem: Option<String>,
}

impl ProbeResult {
    /// Whether all is well.
    pub fn is_ok(&self) -> bool {
        self.problem.is_none()
    }

    /// A probe that could not be made.
    pub fn failed(problem: String) -> Self {
        Self { purpose: "probe".to_owned(), path: String::new(), problem: Some(problem) }
    }
}

/// What a connection needs of a directory.
#[derive(Debug, Default)]
pub struct Need {
    purposes: Vec<String>,
    writing: bool,
}

impl Need {
    /// One more purpose.
    pub fn add(&mut self, doing: Doing, purpose: String) {
        self.writing |= doing == Doing::Writing;
        self.purposes.push(purpose);
    }

    /// Looks whether the directory serves. Blocking.
    pub fn probe(&self, path: &Path) -> ProbeResult {
        let read = std::fs::read_dir(path).map_err(|error| explain(path, Doing::Reading, &error));
        let written = read.and_then(|_| {
            let tried = if self.writing { try_to_write(path) } else { Ok(()) };
            tried.map_err(|error| explain(path, Doing::Writing, &error))
        });
        ProbeResult { purpose: self.purposes.join(", "), path: path.display().to_string(), problem: written.err() }
    }
}

/// Permissions, access lists and mounts are known for certain only by trying.
fn try_to_write(directory: &Path) -> io::Result<()> {
    let path = directory.join(temporary_name("probe")?);
    OpenOptions::new().write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)
}
