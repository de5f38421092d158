//! Looking at directories, and remembering what was seen when: a file that two looks saw alike is not being written.

use std::collections::{HashMap, HashSet};
use std::fs::FileType;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::Stamp;

/// A file whose own date lies further back than this needs no second look: the clocks of two machines, wrong time
/// zones included, do not differ by more.
const LONG_AGO: Duration = Duration::from_hours(24);

/// What stands in a directory under one name.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The name.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// What tells this content from another.
    pub(super) stamp: Stamp,
    /// How long it has been seen to be so.
    pub unchanged: Duration,
    /// What it is, where it is no regular file.
    pub irregular: Option<&'static str>,
}

/// What was seen in the directories of a connection.
#[derive(Debug, Default)]
pub struct Sightings(Mutex<HashMap<PathBuf, (Stamp, Instant)>>);

impl Sightings {
    /// Lists what stands in a directory under names that are `wanted`; others, and names that are not UTF-8, are
    /// passed over. Directories and what vanishes meanwhile are left out.
    pub fn look(&self, directory: &Path, wanted: impl Fn(&str) -> bool) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            let Some(name) = entry.file_name().to_str().filter(|name| wanted(name)).map(str::to_owned) else {
                continue;
            };
            // The entry itself, never what a link leads to.
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if metadata.is_dir() {
                continue;
            }
            let stamp = Stamp::of(&metadata)?;
            let irregular = irregular(metadata.file_type());
            entries.push(Entry { name, path: entry.path(), stamp, unchanged: Duration::ZERO, irregular });
        }
        self.remember(directory, &mut entries);
        Ok(entries)
    }

    fn remember(&self, directory: &Path, entries: &mut [Entry]) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let there: HashSet<&Path> = entries.iter().map(|entry| entry.path.as_path()).collect();
        seen.retain(|path, _| path.parent() != Some(directory) || there.contains(path.as_path()));
        for entry in entries {
            let (stamp, since) = seen.entry(entry.path.clone()).or_insert_with(|| (entry.stamp.clone(), now));
            if *stamp != entry.stamp {
                (*stamp, *since) = (entry.stamp.clone(), now);
            }
            let age = SystemTime::now().duration_since(entry.stamp.time()).unwrap_or_default();
            let long_ago = age.checked_sub(LONG_AGO).unwrap_or_default();
            entry.unchanged = now.duration_since(*since).max(long_ago);
        }
    }
}

fn irregular(kind: FileType) -> Option<&'static str> {
    match kind {
        kind if kind.is_file() => None,
        kind if kind.is_symlink() => Some("a symbolic link"),
        _ => Some("a device, pipe or socket"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_counts_as_unchanged_from_the_first_look_that_saw_it_so() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.csv");
        std::fs::write(&path, "1").unwrap();
        let sightings = Sightings::default();
        let look = || sightings.look(directory.path(), |name| name == "a.csv").unwrap().remove(0).unchanged;
        assert_eq!(look(), Duration::ZERO);
        let first = Instant::now();
        while look().is_zero() {
            assert!(first.elapsed() < Duration::from_secs(5));
        }
        std::fs::write(&path, "12").unwrap();
        assert_eq!(look(), Duration::ZERO);
    }

    #[test]
    fn an_old_file_needs_no_second_look_and_one_from_the_future_does() {
        let directory = tempfile::tempdir().unwrap();
        let dated = |name: &str, time: SystemTime| {
            let file = std::fs::File::create(directory.path().join(name)).unwrap();
            file.set_modified(time).unwrap();
        };
        dated("old.csv", SystemTime::now() - LONG_AGO - Duration::from_mins(1));
        dated("young.csv", SystemTime::now() - Duration::from_hours(1));
        dated("future.csv", SystemTime::now() + Duration::from_hours(1));
        let mut entries = Sightings::default().look(directory.path(), |_| true).unwrap();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let unchanged: Vec<bool> = entries.iter().map(|e| e.unchanged >= Duration::from_mins(1)).collect();
        assert_eq!(unchanged, [false, true, false]);
    }
}
