//! Moving and writing files so that nobody sees half of one and none is ever overwritten, whatever fails.

use std::fs::{File, FileTimes, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::pattern::with_suffix;
use super::{Stamp, is_at};

/// Most numbers that are tried for a free name.
const MOST_NAMES: u32 = 10_000;

/// What the temporary names of ours begin and end with: hidden, and of no pattern that a system would look for.
const TEMPORARY: (&str, &str) = (".tradebridge-", ".part");

/// Why a file was not moved.
#[derive(Debug)]
pub enum MoveError {
    /// The directory it should go to refuses it.
    Target(io::Error),
    /// The directory it stands in refuses to let it go.
    Source(io::Error),
    /// It is no longer the file that was meant; it stands where it stood.
    Changed,
}

/// A hidden name beside `name`, for as long as the file is not whole.
///
/// # Errors
/// Where the system has no random numbers.
pub fn temporary_name(name: &str) -> io::Result<String> {
    let random = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
    Ok(format!("{}{name}.{random:016x}{}", TEMPORARY.0, TEMPORARY.1))
}

/// Whether a name is one of our temporary ones.
pub fn is_temporary(name: &str) -> bool {
    name.starts_with(TEMPORARY.0) && name.ends_with(TEMPORARY.1)
}

/// Makes what happened in a directory last: the names of its files.
///
/// # Errors
/// Where the directory cannot be opened or written. File systems that do not know the request are content.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    match File::open(directory)?.sync_all() {
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        result => result,
    }
}

/// Moves a file with this content into a directory, under its name or, where that is taken, under one with its date.
/// Gives the place it has then.
///
/// # Errors
/// See [`MoveError`]; the file then stands where it stood.
pub(super) fn move_into(directory: &Path, source: &Path, stamp: &Stamp) -> Result<PathBuf, MoveError> {
    if !is_at(source, stamp) {
        return Err(MoveError::Changed);
    }
    let target = claim(directory, source, stamp).map_err(MoveError::Target)?;
    match std::fs::rename(source, &target) {
        Ok(()) if is_at(&target, stamp) => {}
        // The export was written again in this very moment: it is put back where it is expected.
        Ok(()) => return Err(put_back(&target, source)),
        Err(error) if error.kind() == ErrorKind::CrossesDevices => {
            if let Err(error) = copy_over(&target, source, stamp) {
                give_up(&target);
                return Err(error);
            }
        }
        Err(error) => {
            give_up(&target);
            return Err(MoveError::Source(error));
        }
    }
    sync_directory(directory).map_err(MoveError::Target)?;
    source.parent().map_or(Ok(()), sync_directory).map_err(MoveError::Source)?;
    Ok(target)
}

fn put_back(target: &Path, source: &Path) -> MoveError {
    if std::fs::symlink_metadata(source).is_ok() {
        let message =
            format!("it was written twice meanwhile; what was not read is {}, move it back", target.display());
        return MoveError::Source(io::Error::other(message));
    }
    std::fs::rename(target, source).map_or_else(MoveError::Source, |()| MoveError::Changed)
}

/// Takes a free name in the directory, by an empty file that nobody else can take then.
fn claim(directory: &Path, source: &Path, stamp: &Stamp) -> io::Result<PathBuf> {
    let name = source.file_name().and_then(|name| name.to_str()).ok_or(ErrorKind::InvalidFilename)?;
    let date = Timestamp::try_from(stamp.time()).unwrap_or_default().strftime("-%Y%m%dT%H%M%SZ").to_string();
    for number in 0..MOST_NAMES {
        let candidate = match number {
            0 => name.to_owned(),
            1 => with_suffix(name, &date),
            number => with_suffix(name, &format!("{date}-{number}")),
        };
        let target = directory.join(candidate);
        match OpenOptions::new().write(true).create_new(true).open(&target) {
            Ok(_) => return Ok(target),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other(format!("there are {MOST_NAMES} files of this name and date already")))
}

/// A claimed name is empty. Where it cannot be freed it does no harm: the next file takes another.
fn give_up(target: &Path) {
    let _ = std::fs::remove_file(target);
}

/// Moves a file to a name on another file system: the copy is whole and lasting before the original goes.
fn copy_over(target: &Path, source: &Path, stamp: &Stamp) -> Result<(), MoveError> {
    let directory = target.parent().unwrap_or_else(|| Path::new("."));
    let name = target.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let temporary = directory.join(temporary_name(name).map_err(MoveError::Target)?);
    let copied = copy(&temporary, source, stamp).and_then(|()| {
        std::fs::rename(&temporary, target).map_err(MoveError::Target)?;
        sync_directory(directory).map_err(MoveError::Target)
    });
    if let Err(error) = copied {
        give_up(&temporary);
        return Err(error);
    }
    if !is_at(source, stamp) {
        return Err(MoveError::Changed);
    }
    std::fs::remove_file(source).map_err(MoveError::Source)
}

fn copy(temporary: &Path, source: &Path, stamp: &Stamp) -> Result<(), MoveError> {
    let mut from = File::open(source).map_err(MoveError::Source)?;
    let mut to = OpenOptions::new().write(true).create_new(true).open(temporary).map_err(MoveError::Target)?;
    io::copy(&mut from, &mut to).map_err(MoveError::Target)?;
    // The date is part of what an archived file tells; a file system that cannot keep it still keeps the file.
    let _ = to.set_times(FileTimes::new().set_modified(stamp.time()));
    to.sync_all().map_err(MoveError::Target)
}

/// Writes a whole file under a hidden name, lasting.
///
/// # Errors
/// Where that fails; nothing is left of it then, as far as the file system lets us.
pub fn write_hidden(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    if written.is_err() {
        give_up(path);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(path: &Path) -> Stamp {
        Stamp::of(&std::fs::symlink_metadata(path).unwrap()).unwrap()
    }

    #[test]
    fn no_file_of_an_archive_is_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let archive = directory.path().join("archive");
        std::fs::create_dir(&archive).unwrap();
        let source = directory.path().join("klanten.csv.gz");
        let mut names = Vec::new();
        for content in ["one", "two", "three"] {
            std::fs::write(&source, content).unwrap();
            let date = Timestamp::new(1_790_000_000, 0).unwrap();
            File::options().write(true).open(&source).unwrap().set_modified(date.into()).unwrap();
            let target = move_into(&archive, &source, &stamp(&source)).unwrap();
            assert_eq!(std::fs::read_to_string(&target).unwrap(), content);
            assert!(!source.exists());
            names.push(target.file_name().unwrap().to_str().unwrap().to_owned());
        }
        let expected = ["klanten.csv.gz", "klanten-20260921T141320Z.csv.gz", "klanten-20260921T141320Z-2.csv.gz"];
        assert_eq!(names, expected);
    }

    #[test]
    fn a_file_that_changed_meanwhile_stays_where_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let source = directory.path().join("a.csv");
        std::fs::write(&source, "1").unwrap();
        let read = stamp(&source);
        std::fs::write(&source, "1\n2").unwrap();
        let archive = directory.path().join("archive");
        std::fs::create_dir(&archive).unwrap();
        assert!(matches!(move_into(&archive, &source, &read), Err(MoveError::Changed)));
        assert_eq!(std::fs::read_to_string(&source).unwrap(), "1\n2");
        assert_eq!(std::fs::read_dir(&archive).unwrap().count(), 0);
    }

    #[test]
    fn an_archive_may_be_on_another_file_system() {
        let directory = tempfile::tempdir().unwrap();
        // On Linux this is a file system of its own; elsewhere the move is an ordinary one.
        let shared = Path::new("/dev/shm");
        let archive =
            if shared.is_dir() { tempfile::tempdir_in(shared).unwrap() } else { tempfile::tempdir().unwrap() };
        let source = directory.path().join("a.csv");
        for content in ["1", "2"] {
            std::fs::write(&source, content).unwrap();
            let read = stamp(&source);
            let target = move_into(archive.path(), &source, &read).unwrap();
            assert_eq!((std::fs::read_to_string(&target).unwrap().as_str(), stamp(&target)), (content, read));
            assert!(!source.exists());
        }
        assert_eq!(std::fs::read_dir(archive.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_file_goes_to_another_file_system_whole() {
        let directory = tempfile::tempdir().unwrap();
        let source = directory.path().join("a.csv");
        std::fs::write(&source, "1\n2\n").unwrap();
        let read = stamp(&source);
        let target = directory.path().join("b.csv");
        std::fs::write(&target, "").unwrap();
        copy_over(&target, &source, &read).unwrap();
        assert!(!source.exists());
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "1\n2\n");
        assert_eq!(stamp(&target), read);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
