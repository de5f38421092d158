//! `SQLite`'s write-ahead log as a process leaves it that dies: of each commit, what the file is without the later ones.

use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

/// The header of a log and that of each of its frames, in bytes. <https://www.sqlite.org/fileformat2.html#walformat>
const HEADER: usize = 32;
const FRAME: usize = 24;

/// Keeps every commit to a store in its log, for as long as this lives.
pub(crate) struct Kept {
    database: PathBuf,
    before: Vec<u8>,
    reader: SqliteConnection,
}

impl Kept {
    /// Begins with a store that is closed: its log is empty.
    pub(crate) async fn begin(database: &Path) -> Self {
        let before = std::fs::read(database).unwrap();
        let mut reader = SqliteConnectOptions::new().filename(database).connect().await.unwrap();
        // Whoever reads the file as it was before the log keeps the log from being written back to it.
        sqlx::query("BEGIN").execute(&mut reader).await.unwrap();
        sqlx::query("SELECT sequence FROM store").execute(&mut reader).await.unwrap();
        Self { database: database.to_owned(), before, reader }
    }

    /// The log after every commit since, once the store is closed again; the first is the empty one.
    pub(crate) async fn end(self) -> Vec<Vec<u8>> {
        let log = std::fs::read(log(&self.database)).unwrap();
        assert!(std::fs::read(&self.database).unwrap() == self.before, "the log was written back");
        self.reader.close().await.unwrap();
        let mut ends = vec![0];
        ends.extend(commits(&log));
        ends.into_iter().map(|end| log[..end].to_vec()).collect()
    }
}

/// The file of a database's log.
pub(crate) fn log(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// Where each commit of a log ends. What is behind the last one was never committed.
fn commits(log: &[u8]) -> Vec<usize> {
    let number = |at: usize| u32::from_be_bytes(log[at..at + 4].try_into().unwrap());
    let page = usize::try_from(number(8)).unwrap();
    // Frames of an earlier round of the log have other salts than its header.
    let salts = &log[16..24];
    (1..=(log.len() - HEADER) / (FRAME + page))
        .map(|count| HEADER + count * (FRAME + page))
        .map(|end| (end - FRAME - page, end))
        .take_while(|(begin, _)| &log[begin + 8..begin + 16] == salts)
        // The frame that ends a commit has the size of the database after it.
        .filter(|(begin, _)| number(begin + 4) != 0)
        .map(|(_, end)| end)
        .collect()
}
