//! The way to a PostgreSQL server over TCP without its delays: the driver leaves Nagle's algorithm on, so that the end of
//! every longer message waits for an acknowledgement that the server holds back for some 40 milliseconds. Here the driver
//! speaks to a socket of this process, which passes everything on over a connection that sends at once (RFC 896, RFC 1122
//! section 4.2.3.4: an application must be able to turn it off).
//!
//! What does not live here: what is said. Encryption is between driver and server, through this.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpSocket, TcpStream, UnixListener, UnixStream, lookup_host};
use tokio::task::{JoinHandle, JoinSet};

/// How long a server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// Bytes passed on at once.
const BUFFER: usize = 128 * 1024;

/// A socket in a directory of its own, which only this user can enter. Both are gone when this is dropped.
#[derive(Debug)]
pub(super) struct Relay {
    directory: PathBuf,
    task: JoinHandle<()>,
}

impl Relay {
    /// Begins to pass on to a server, once it has accepted a connection.
    ///
    /// # Errors
    /// The operating system's: the server cannot be reached, or no socket can be made.
    pub(super) async fn begin(host: &str, port: u16) -> std::io::Result<Self> {
        drop(connect(host, port).await?);
        let directory = std::env::temp_dir().join(format!("tradebridge-{}", uuid::Uuid::now_v7().simple()));
        std::fs::DirBuilder::new().mode(0o700).create(&directory)?;
        let listener = UnixListener::bind(directory.join(format!(".s.PGSQL.{port}")));
        let listener = match listener {
            Ok(listener) => listener,
            Err(error) => {
                remove(&directory);
                return Err(error);
            }
        };
        let host = host.to_owned();
        let task = tokio::spawn(async move {
            let mut passing = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => match accepted {
                        Ok((driver, _)) => {
                            passing.spawn(pass(driver, host.clone(), port));
                        }
                        Err(error) => {
                            tracing::warn!(%error, "no connection to the store can be taken on");
                            tokio::time::sleep(Duration::from_millis(100)).await;
                        }
                    },
                    Some(_) = passing.join_next() => {}
                }
            }
        });
        Ok(Self { directory, task })
    }

    /// The directory with the socket, as the driver is told.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
        remove(&self.directory);
    }
}

fn remove(directory: &Path) {
    if let Err(error) = std::fs::remove_dir_all(directory) {
        tracing::debug!(%error, directory = %directory.display(), "the directory of a socket cannot be removed");
    }
}

/// Passes on between the driver and a connection of its own, until one of them ends.
async fn pass(mut driver: UnixStream, host: String, port: u16) {
    match connect(&host, port).await {
        Ok(mut server) => {
            // However it ends, the driver sees the end of its connection and says what it means for a statement.
            let ended = copy_bidirectional_with_sizes(&mut driver, &mut server, BUFFER, BUFFER).await;
            tracing::trace!(?ended, "a connection to the store's server has ended");
        }
        Err(error) => tracing::warn!(%error, host, port, "the store's server cannot be reached"),
    }
}

async fn connect(host: &str, port: u16) -> std::io::Result<TcpStream> {
    let connecting = async {
        let mut last = std::io::Error::new(std::io::ErrorKind::NotFound, format!("{host} has no address"));
        for address in lookup_host((host, port)).await? {
            let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            socket.set_nodelay(true)?;
            // Finds out that a server vanished without a word while a connection was idle.
            socket.set_keepalive(true)?;
            match socket.connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    };
    match tokio::time::timeout(CONNECT, connecting).await {
        Ok(connected) => connected,
        Err(_) => Err(std::io::Error::new(std::io::ErrorKind::TimedOut, format!("{host} does not answer"))),
    }
}
