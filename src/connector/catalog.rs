//! The connectors there are: the manifests of all directories.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::compile::Manifest;
use crate::config::{Document, KeyPath, Problem, Problems};

/// The connectors there are, by name.
#[derive(Debug, Default)]
pub struct Catalog {
    manifests: BTreeMap<String, Arc<Manifest>>,
}

impl Catalog {
    /// Reads and compiles every manifest of the directories. Where two have one name, the first directory's counts.
    ///
    /// # Errors
    /// Every fault of every file, and every directory that cannot be read.
    pub fn load(directories: &[PathBuf]) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let mut catalog = Self::default();
        for directory in directories {
            match manifest_files(directory) {
                Ok(files) => {
                    for file in files {
                        match load(&file) {
                            Ok(manifest) => {
                                catalog.manifests.entry(manifest.name.clone()).or_insert_with(|| Arc::new(manifest));
                            }
                            Err(found) => problems.append(found),
                        }
                    }
                }
                Err(error) => {
                    let message = format!("this directory of connector manifests cannot be read: {error}");
                    let problem = Problem::of_file(directory.display().to_string(), message);
                    problems.push(problem.hint("create it, or correct `connectors` in the configuration"));
                }
            }
        }
        problems.into_result()?;
        Ok(catalog)
    }

    /// The manifest of a connector.
    pub fn get(&self, name: &str) -> Option<&Arc<Manifest>> {
        self.manifests.get(name)
    }

    /// The names of all connectors.
    pub fn names(&self) -> Vec<&str> {
        self.manifests.keys().map(String::as_str).collect()
    }

    /// All manifests, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Manifest>> {
        self.manifests.values()
    }
}

fn load(file: &Path) -> Result<Manifest, Problems> {
    let document = Document::load(file)?;
    let manifest = Manifest::compile(&document)?;
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    if *stem != manifest.name {
        let message = format!("the file is named `{stem}`, and the connector `{}`", manifest.name);
        let problem = document.problem(&KeyPath::root().key("name"), message);
        return Err(problem.hint("connections name the connector by its file: give both one name").into());
    }
    Ok(manifest)
}

fn manifest_files(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
