//! The files by which the command line on the same machine finds the running daemon and gets in.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::config::Secret;

/// The file, for as long as the daemon runs.
#[derive(Debug)]
pub struct AdminFile {
    path: PathBuf,
    /// Says that the daemon lives, where the store itself has no lock.
    _lock: Option<File>,
}

impl AdminFile {
    /// Writes the file beside a path: readable by the daemon's user only, and never half. With `lock`, a lock beside it
    /// says that the daemon lives; a `SQLite` store has its own.
    ///
    /// # Errors
    /// The operating system's, where the directory cannot be written to or another daemon has the lock.
    pub fn write(store: &Path, lock: bool, address: SocketAddr, token: &Secret) -> std::io::Result<Self> {
        let lock = lock.then(|| locked(&beside(store, ".lock"))).transpose()?;
        let path = beside(store, ".admin");
        let new = beside(store, ".admin.new");
        match std::fs::remove_file(&new) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let content = serde_json::json!({ "address": address.to_string(), "token": token.reveal() });
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(content.to_string().as_bytes())?;
        drop(file);
        std::fs::rename(&new, &path)?;
        Ok(Self { path, _lock: lock })
    }
}

impl Drop for AdminFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the file of the admin token cannot be removed");
        }
    }
}

fn locked(path: &Path) -> std::io::Result<File> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let path = path.display();
            let message =
                format!("{path} is held by another daemon; give this one a `daemon.run_directory` of its own");
            Err(std::io::Error::other(message))
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn beside(store: &Path, suffix: &str) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_file_is_private_and_goes_with_the_daemon() {
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path().join("store.db");
        let path = directory.path().join("store.db.admin");
        let file = AdminFile::write(&store, false, "127.0.0.1:8080".parse().unwrap(), &Secret::new("tok")).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), r#"{"address":"127.0.0.1:8080","token":"tok"}"#);
        drop(file);
        assert!(!path.exists());
    }
}
