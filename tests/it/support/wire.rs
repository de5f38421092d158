//! A way to a system over HTTP on which one request meets with an accident, after the system has executed it or just before.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What happens to a request.
#[derive(Debug, Clone)]
pub(crate) enum Accident {
    /// It is executed, and its answer never arrives: the connection stays as it is until the wire is cleared.
    Held,
    /// It is executed, and the connection is cut before its answer.
    Cut,
    /// Before it, another request with this body arrives under its name, path and proof.
    After(String),
}

/// Passes requests on, one by one, and has accidents as it is told. Dropped, all connections break off.
pub(crate) struct Wire {
    port: u16,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    system: u16,
    /// A text of the requests that are meant, how many of them go well before, and what happens to the next.
    planned: Mutex<Option<(String, usize, Accident)>>,
    happened: watch::Sender<u64>,
    cleared: watch::Sender<()>,
}

impl Wire {
    /// Begins to pass on to the system at a port of this machine.
    pub(crate) async fn begin(system: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (happened, cleared) = (watch::Sender::new(0), watch::Sender::new(()));
        let shared = Arc::new(Shared { system, planned: Mutex::new(None), happened, cleared });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { port, shared, task }
    }

    /// The port on which it passes on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Breaks off what is held.
    pub(crate) fn clear(&self) {
        self.shared.cleared.send_replace(());
    }

    /// Plans an accident for a request that has a text in it, after so many others that have it; waited for with
    /// what this gives.
    pub(crate) fn plan(&self, text: &str, after: usize, accident: Accident) -> watch::Receiver<u64> {
        let mut happened = self.shared.happened.subscribe();
        happened.mark_unchanged();
        *self.shared.planned.lock().unwrap() = Some((text.to_owned(), after, accident));
        happened
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        connections.spawn(pass(client, Arc::clone(&shared)));
    }
}

/// Passes the requests of a connection on, each over a connection of its own.
async fn pass(client: TcpStream, shared: Arc<Shared>) -> std::io::Result<()> {
    let mut client = BufReader::new(client);
    loop {
        let (head, body) = message(&mut client).await?;
        let request = format!("{head}{}", String::from_utf8_lossy(&body));
        let accident = shared.accident(&request);
        let mut cleared = shared.cleared.subscribe();
        if let Some(Accident::After(first)) = &accident {
            exchange(shared.system, &head, first.as_bytes()).await?;
        }
        let answer = exchange(shared.system, &head, &body).await?;
        if accident.is_some() {
            shared.happened.send_modify(|count| *count += 1);
        }
        match accident {
            Some(Accident::Held) => return cleared.changed().await.map_err(std::io::Error::other),
            Some(Accident::Cut) => return Ok(()),
            Some(Accident::After(_)) | None => client.get_mut().write_all(&answer).await?,
        }
    }
}

impl Shared {
    fn accident(&self, request: &str) -> Option<Accident> {
        let mut planned = self.planned.lock().unwrap();
        let (text, after, _) = planned.as_mut()?;
        if !request.contains(text.as_str()) {
            return None;
        }
        if *after > 0 {
            *after -= 1;
            return None;
        }
        planned.take().map(|(_, _, accident)| accident)
    }
}

/// A system's whole answer to a request, as the client is to have it.
async fn exchange(system: u16, head: &str, body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut server = BufReader::new(TcpStream::connect(("127.0.0.1", system)).await?);
    let lines = head.trim_end().lines().filter(|line| {
        let line = line.to_ascii_lowercase();
        !line.starts_with("content-length:") && !line.starts_with("connection:")
    });
    let lines = lines.collect::<Vec<_>>().join("\r\n");
    let request = format!("{lines}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    server.get_mut().write_all(&[request.as_bytes(), body].concat()).await?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await?;
    Ok(answer)
}

/// The head of a message, to its empty line, and its body.
async fn message(from: &mut BufReader<TcpStream>) -> std::io::Result<(String, Vec<u8>)> {
    let mut head = String::new();
    loop {
        let read = from.read_line(&mut head).await?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if head.ends_with("\r\n\r\n") {
            break;
        }
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
    });
    let mut body = vec![0; length.unwrap_or(0)];
    from.read_exact(&mut body).await?;
    Ok((head, body))
}
