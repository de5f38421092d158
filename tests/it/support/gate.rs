//! A way to a PostgreSQL server on which a process dies immediately before or after a commit.
//!
//! It reads the messages of both sides, <https://www.postgresql.org/docs/current/protocol-message-formats.html>, so they
//! must not be encrypted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader, BufWriter};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// At which commit of a process it dies, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The server never hears of the commit; what the transaction did is done.
    Before(u64),
    /// The process never hears that it is committed.
    After(u64),
}

/// Passes on until the moment comes; from then on nothing moves. Dropped, all connections break off.
pub(crate) struct Gate {
    port: u16,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    moment: Moment,
    commits: AtomicU64,
    shut: watch::Sender<bool>,
}

impl Gate {
    /// Begins to pass on to a server on this machine.
    pub(crate) async fn begin(server: u16, moment: Moment) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared { moment, commits: AtomicU64::new(0), shut: watch::Sender::new(false) });
        let task = tokio::spawn(accept(listener, server, Arc::clone(&shared)));
        Self { port, shared, task }
    }

    /// The port on which it passes on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Whether the moment has come; whoever follows this dies when it does.
    pub(crate) fn shut(&self) -> watch::Receiver<bool> {
        self.shared.shut.subscribe()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, server: u16, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let (process, _) = listener.accept().await.unwrap();
        let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
        process.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        let ((from_process, to_process), (from_server, to_server)) = (process.into_split(), server.into_split());
        let (asking, answering) = (Arc::clone(&shared), Arc::clone(&shared));
        connections.spawn(async move {
            // A connection ends for both sides.
            tokio::select! {
                end = asking.ask(from_process, to_server) => end,
                end = answering.answer(from_server, to_process) => end,
            }
        });
    }
}

impl Shared {
    /// Passes on what the process says.
    async fn ask(&self, from: OwnedReadHalf, to: OwnedWriteHalf) -> std::io::Result<()> {
        let (mut from, mut to) = (BufReader::new(from), BufWriter::new(to));
        // The first message has no kind.
        let (_, first) = message(&mut from, false).await?;
        pass_on(&first, &from, &mut to).await?;
        loop {
            let (kind, bytes) = message(&mut from, true).await?;
            let next = self.commits.load(Ordering::SeqCst) + 1;
            if kind == b'Q' && &bytes[5..] == b"COMMIT\0" && self.moment == Moment::Before(next) {
                self.shut.send_replace(true);
            }
            self.is_open().await;
            pass_on(&bytes, &from, &mut to).await?;
        }
    }

    /// Passes on what the server says.
    async fn answer(&self, from: OwnedReadHalf, to: OwnedWriteHalf) -> std::io::Result<()> {
        let (mut from, mut to) = (BufReader::new(from), BufWriter::new(to));
        let (mut within, mut writes) = (false, false);
        loop {
            let (kind, bytes) = message(&mut from, true).await?;
            match kind {
                // A command is complete.
                b'C' => {
                    let is = |command: &str| bytes[5..].starts_with(command.as_bytes());
                    let reads = ["SELECT", "BEGIN", "ROLLBACK", "SET", "SHOW"].iter().any(|command| is(command));
                    writes |= is("COMMIT") || !within && !reads;
                }
                // The server is ready for the next one: what was written outside of a transaction is committed.
                b'Z' => {
                    within = bytes[5] != b'I';
                    if std::mem::take(&mut writes) {
                        let commits = self.commits.fetch_add(1, Ordering::SeqCst) + 1;
                        if self.moment == Moment::After(commits) {
                            self.shut.send_replace(true);
                        }
                    }
                }
                _ => {}
            }
            self.is_open().await;
            pass_on(&bytes, &from, &mut to).await?;
        }
    }

    /// Stands still for ever once the moment has come.
    async fn is_open(&self) {
        if *self.shut.borrow() {
            std::future::pending::<()>().await;
        }
    }
}

type From = BufReader<OwnedReadHalf>;

/// Passes a message on, together with those that are here already.
async fn pass_on(message: &[u8], from: &From, to: &mut BufWriter<OwnedWriteHalf>) -> std::io::Result<()> {
    to.write_all(message).await?;
    if from.buffer().is_empty() { to.flush().await } else { Ok(()) }
}

/// A whole message and its kind.
async fn message(from: &mut From, has_kind: bool) -> std::io::Result<(u8, Vec<u8>)> {
    let kind = if has_kind { from.read_u8().await? } else { 0 };
    let length = from.read_u32().await?;
    let mut bytes = if has_kind { vec![kind] } else { Vec::new() };
    bytes.extend_from_slice(&length.to_be_bytes());
    let begun = bytes.len();
    bytes.resize(begun + usize::try_from(length).unwrap() - 4, 0);
    from.read_exact(&mut bytes[begun..]).await?;
    Ok((kind, bytes))
}
