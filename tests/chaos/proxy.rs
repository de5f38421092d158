//! The network between a daemon and a server, which can be cut.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// How the network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    /// It works.
    Works,
    /// Nothing arrives, and nobody hears of it.
    Silent,
    /// Every connection breaks off, and none can be made.
    Cut,
}

/// A way to a port of this machine. Dropped, it is gone.
#[derive(Debug)]
pub(crate) struct Proxy {
    port: u16,
    network: watch::Sender<Network>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Begins to pass on to a port.
    pub(crate) async fn begin(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let network = watch::Sender::new(Network::Works);
        let task = tokio::spawn(accept(listener, to, network.subscribe()));
        Self { port, network, task }
    }

    /// The port on which it passes on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Makes the network so.
    pub(crate) fn set(&self, network: Network) {
        self.network.send_replace(network);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, to: u16, network: watch::Receiver<Network>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                if *network.borrow() != Network::Cut {
                    connections.spawn(pass(client, to, network.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn pass(mut client: TcpStream, to: u16, mut network: watch::Receiver<Network>) -> std::io::Result<()> {
    let mut gate = network.clone();
    works(&mut gate).await;
    let mut server = TcpStream::connect(("127.0.0.1", to)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (client_reads, client_writes) = client.split();
    let (server_reads, server_writes) = server.split();
    tokio::select! {
        copied = copy(client_reads, server_writes, gate.clone()) => copied,
        copied = copy(server_reads, client_writes, gate) => copied,
        _ = network.wait_for(|network| *network == Network::Cut) => Ok(()),
    }
}

async fn copy(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut gate: watch::Receiver<Network>,
) -> std::io::Result<()> {
    let mut bytes = vec![0; 16 << 10];
    loop {
        let read = from.read(&mut bytes).await?;
        if read == 0 {
            return Ok(());
        }
        works(&mut gate).await;
        to.write_all(&bytes[..read]).await?;
    }
}

/// Waits until what is sent arrives.
async fn works(gate: &mut watch::Receiver<Network>) {
    // An error is one of the proxy being gone, and with it this task.
    let _ = gate.wait_for(|network| *network != Network::Silent).await;
}
