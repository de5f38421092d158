//! What the operating system's answers about files mean, and what to do about them.

use std::io::{Error, ErrorKind};
use std::path::Path;

/// What was to be done with a directory or a file in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// Listing or reading.
    Reading,
    /// Writing, moving or removing.
    Writing,
}

/// What went wrong at a path, and what to do.
pub fn explain(path: &Path, doing: Doing, error: &Error) -> String {
    let at = path.display();
    let may = match doing {
        Doing::Reading => "read",
        Doing::Writing => "write to",
    };
    match error.kind() {
        ErrorKind::NotFound => {
            format!("{at} is not there; create it, mount it, or correct the connection's setting")
        }
        ErrorKind::PermissionDenied => {
            format!(
                "the daemon's user may not {may} {at}; give it the permission (in a systemd unit, also ReadWritePaths)"
            )
        }
        ErrorKind::ReadOnlyFilesystem => {
            format!(
                "{at} is on a read-only file system; mount it so that it can be written (in a systemd unit, see ReadWritePaths)"
            )
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            format!("there is no space left for {at}; make room or raise the quota")
        }
        ErrorKind::NotADirectory => format!("{at} is no directory; correct the connection's setting"),
        ErrorKind::StaleNetworkFileHandle => format!("the share of {at} has gone; mount it again"),
        _ => format!("cannot {may} {at}: {error}"),
    }
}

/// Whether an answer proves that nothing was done, so that it can be tried again. Others, of network file systems
/// above all, leave open whether the request arrived.
pub fn proves_nothing_done(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound
            | ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::StorageFull
            | ErrorKind::QuotaExceeded
            | ErrorKind::NotADirectory
            | ErrorKind::InvalidFilename
            | ErrorKind::TooManyLinks
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_wrong_before_a_file_has_its_name_says_what_to_do() {
        let said = |kind: ErrorKind| explain(Path::new("/in"), Doing::Writing, &kind.into());
        assert!(said(ErrorKind::StorageFull).contains("no space left for /in; make room"));
        assert!(said(ErrorKind::QuotaExceeded).contains("raise the quota"));
        assert!(said(ErrorKind::ReadOnlyFilesystem).contains("read-only file system; mount it"));
        assert!(said(ErrorKind::PermissionDenied).contains("may not write to /in; give it the permission"));
        assert!(said(ErrorKind::TimedOut).contains("cannot write to /in"));
        for kind in [ErrorKind::StorageFull, ErrorKind::ReadOnlyFilesystem, ErrorKind::PermissionDenied] {
            assert!(proves_nothing_done(&kind.into()));
        }
        // A server that did not answer may have done it.
        for kind in [ErrorKind::TimedOut, ErrorKind::Interrupted, ErrorKind::StaleNetworkFileHandle, ErrorKind::Other] {
            assert!(!proves_nothing_done(&kind.into()));
        }
    }
}
