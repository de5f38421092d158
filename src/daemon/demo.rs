//! A demonstration works on a copy of its files, so that the delivered ones stay as they are.

use std::path::{Path, PathBuf};

use crate::config::DemoCopy;

/// Why the files of a demonstration cannot be copied.
#[derive(Debug, thiserror::Error)]
#[error("cannot copy the files of the demonstration ({}): {source}; start the command where the paths of the configuration begin", path.display())]
pub struct CopyError {
    path: PathBuf,
    source: std::io::Error,
}

/// Copies the files that are not there yet. Blocks.
///
/// # Errors
/// [`CopyError`] with the path that cannot be read or written.
pub fn copy(copy: &DemoCopy) -> Result<u32, CopyError> {
    for directory in &copy.directories {
        std::fs::create_dir_all(directory).map_err(|source| CopyError { path: directory.clone(), source })?;
    }
    copy_directory(&copy.from, &copy.to)
}

fn copy_directory(from: &Path, to: &Path) -> Result<u32, CopyError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| CopyError { path, source }
    };
    std::fs::create_dir_all(to).map_err(failed(to))?;
    let mut copied = 0;
    for entry in std::fs::read_dir(from).map_err(failed(from))? {
        let path = entry.map_err(failed(from))?.path();
        let Some(name) = path.file_name() else { continue };
        let target = to.join(name);
        if path.is_dir() {
            copied += copy_directory(&path, &target)?;
        } else if !target.exists() {
            std::fs::copy(&path, &target).map_err(failed(&path))?;
            copied += 1;
        }
    }
    Ok(copied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_already_stays() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        std::fs::create_dir_all(from.join("export")).unwrap();
        std::fs::write(from.join("export/a.csv"), "a").unwrap();
        std::fs::write(from.join("export/b.csv"), "b").unwrap();
        let inbox = to.join("inbox");
        let demo = DemoCopy { from, to: to.clone(), directories: vec![inbox.clone()] };
        assert_eq!(copy(&demo).unwrap(), 2);
        std::fs::write(to.join("export/a.csv"), "changed").unwrap();
        assert_eq!(copy(&demo).unwrap(), 0);
        assert_eq!(std::fs::read_to_string(to.join("export/a.csv")).unwrap(), "changed");
        assert!(inbox.is_dir());
        let missing = DemoCopy { from: to.join("nowhere"), to, directories: Vec::new() };
        assert!(copy(&missing).unwrap_err().to_string().contains("nowhere"));
    }
}
