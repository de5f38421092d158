//! A server of one's own that remembers every request, and answers as it is told: byte by byte where need be.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use percent_encoding::percent_decode_str;
use serde_json::Value as Json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub method: String,
    /// The path, encoded as it was sent.
    pub path: String,
    /// The query, decoded.
    pub query: BTreeMap<String, String>,
    /// The headers, their names in small letters.
    pub headers: BTreeMap<String, String>,
    pub body: String,
    /// How many of this path there were before it.
    pub nth: usize,
    pub at: Instant,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.body).unwrap()
    }

    /// A number of the query.
    pub(crate) fn number(&self, name: &str) -> usize {
        self.query.get(name).map_or(0, |number| number.parse().unwrap())
    }
}

/// What a request is answered with.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Answer {
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
    /// These bytes, and then the connection is closed.
    Bytes(Vec<u8>),
    /// The connection is closed.
    Nothing,
    /// Nothing, and the connection stays open.
    Silence,
    /// The beginning of an answer that never ends: a byte at a time.
    Drip,
    /// A body of so many bytes.
    Flood(usize),
    /// This, once the gate gives a permit.
    Behind(Arc<Semaphore>, Box<Reply>),
    /// This, and then the connection is closed without a word.
    Closing(Box<Reply>),
}

// Texts, numbers and JSON alike are written where they are made.
#[allow(clippy::needless_pass_by_value)]
impl Reply {
    pub(crate) fn json(body: impl ToString) -> Self {
        Self::of(200, "application/json", body)
    }

    pub(crate) fn of(status: u16, media: &str, body: impl ToString) -> Self {
        let headers = vec![("content-type".to_owned(), media.to_owned())];
        Self::Answer { status, headers, body: body.to_string().into_bytes() }
    }

    pub(crate) fn status(status: u16) -> Self {
        Self::Answer { status, headers: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn with(mut self, name: &str, value: impl ToString) -> Self {
        if let Self::Answer { headers, .. } = &mut self {
            headers.push((name.to_owned(), value.to_string()));
        }
        self
    }
}

type Script = dyn Fn(&Asked) -> Reply + Send + Sync;

/// A server on a port of its own. Dropped, it is gone.
pub(crate) struct Server {
    pub port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
    arrived: watch::Receiver<usize>,
    connections: Arc<AtomicUsize>,
    most_at_once: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Shared {
    script: Box<Script>,
    asked: Arc<Mutex<Vec<Asked>>>,
    arrived: watch::Sender<usize>,
    at_once: AtomicUsize,
    most_at_once: Arc<AtomicUsize>,
}

impl Server {
    pub(crate) async fn new(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        Self::at(TcpListener::bind("127.0.0.1:0").await.unwrap(), script)
    }

    /// A server that listens already.
    pub(crate) fn at(listener: TcpListener, script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let port = listener.local_addr().unwrap().port();
        let (arrived, receiver) = watch::channel(0);
        let (asked, connections, most_at_once) = (Arc::default(), Arc::new(AtomicUsize::new(0)), Arc::default());
        let shared = Arc::new(Shared {
            script: Box::new(script),
            asked: Arc::clone(&asked),
            arrived,
            at_once: AtomicUsize::new(0),
            most_at_once: Arc::clone(&most_at_once),
        });
        let counted = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            let mut serving = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                serving.spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { port, asked, arrived: receiver, connections, most_at_once, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// All requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The requests for a path.
    pub(crate) fn of(&self, path: &str) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.path == path).collect()
    }

    /// Methods and paths in their order.
    pub(crate) fn told(&self) -> Vec<String> {
        self.asked().iter().map(|asked| format!("{} {}", asked.method, asked.path)).collect()
    }

    /// Waits until so many requests have arrived.
    pub(crate) async fn arrived(&self, count: usize) {
        self.arrived.clone().wait_for(|arrived| *arrived >= count).await.unwrap();
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// The most requests that were under way at a time.
    pub(crate) fn most_at_once(&self) -> usize {
        self.most_at_once.load(Ordering::Relaxed)
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut bytes = Vec::new();
    while let Some(mut asked) = read(&mut stream, &mut bytes).await {
        let reply = {
            let mut all = shared.asked.lock().unwrap();
            asked.nth = all.iter().filter(|other| other.path == asked.path).count();
            all.push(asked.clone());
            shared.arrived.send_replace(all.len());
            (shared.script)(&asked)
        };
        let at_once = shared.at_once.fetch_add(1, Ordering::Relaxed) + 1;
        shared.most_at_once.fetch_max(at_once, Ordering::Relaxed);
        let goes_on = answer(&mut stream, reply).await;
        shared.at_once.fetch_sub(1, Ordering::Relaxed);
        if !goes_on {
            return;
        }
    }
}

/// The next request of a connection.
async fn read(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<Asked> {
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes.drain(..end).collect()).unwrap();
    let mut lines = head.trim_end().split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let decoded = |text: &str| percent_decode_str(text).decode_utf8().unwrap().into_owned();
    let query = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    });
    let headers: BTreeMap<String, String> = lines
        .map(|line| line.split_once(": ").unwrap_or((line, "")))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    while bytes.len() < length {
        if stream.read_buf(bytes).await.ok()? == 0 {
            return None;
        }
    }
    let body = String::from_utf8(bytes.drain(..length).collect()).unwrap();
    let (path, query) = (path.to_owned(), query.collect());
    Some(Asked { method, path, query, headers, body, nth: 0, at: Instant::now() })
}

/// Whether the connection goes on.
async fn answer(stream: &mut TcpStream, reply: Reply) -> bool {
    match reply {
        Reply::Answer { status, headers, body } => {
            let mut head = format!("HTTP/1.1 {status} -\r\n").into_bytes();
            for (name, value) in &headers {
                write!(head, "{name}: {value}\r\n").unwrap();
            }
            if status != 204 {
                write!(head, "content-length: {}\r\n", body.len()).unwrap();
            }
            head.extend_from_slice(b"\r\n");
            head.extend_from_slice(&body);
            stream.write_all(&head).await.is_ok()
        }
        Reply::Bytes(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
            false
        }
        Reply::Nothing => false,
        Reply::Silence => {
            let mut rest = Vec::new();
            let _ = stream.read_buf(&mut rest).await;
            false
        }
        Reply::Drip => {
            let head = b"HTTP/1.1 200 -\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
            let mut going = stream.write_all(head).await.is_ok();
            while going {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                going = stream.write_all(b"1\r\n[\r\n").await.is_ok();
            }
            false
        }
        Reply::Flood(length) => {
            let head = format!("HTTP/1.1 200 -\r\ncontent-length: {length}\r\n\r\n");
            let _ = stream.write_all(head.as_bytes()).await;
            let piece = vec![b' '; 1 << 20];
            for _ in 0..length / piece.len() {
                if stream.write_all(&piece).await.is_err() {
                    break;
                }
            }
            false
        }
        Reply::Behind(gate, reply) => {
            gate.acquire().await.unwrap().forget();
            Box::pin(answer(stream, *reply)).await
        }
        Reply::Closing(reply) => {
            Box::pin(answer(stream, *reply)).await;
            false
        }
    }
}
