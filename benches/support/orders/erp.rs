//! An ERP that takes every order and answers after a while, and remembers when each came. It lives in the benchmark's process.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::super::Outcome;

/// A running ERP. Dropped, it takes no more connections.
pub struct Erp {
    /// Its address.
    pub address: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    delay: Duration,
    number: AtomicU64,
    /// When orders came, by the shop's reference. An order that comes twice keeps its first time.
    arrived: Mutex<HashMap<String, Instant>>,
    twice: AtomicU64,
}

impl Erp {
    /// Starts an ERP that answers so long after an order has come.
    pub async fn start(delay: Duration) -> Outcome<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = format!("http://{}/", listener.local_addr()?);
        let shared =
            Arc::new(Shared { delay, number: AtomicU64::new(1), arrived: Mutex::default(), twice: AtomicU64::new(0) });
        let serving = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&serving);
                tokio::spawn(async move {
                    // A client that goes away is no matter.
                    let _ = answer(stream, &shared).await;
                });
            }
        });
        Ok(Self { address, shared, task })
    }

    /// When orders came, by the shop's reference; what came before is forgotten.
    pub fn arrivals(&self) -> HashMap<String, Instant> {
        std::mem::take(&mut self.shared.arrived.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many orders came that had come before.
    pub fn twice(&self) -> u64 {
        self.shared.twice.load(Ordering::Relaxed)
    }
}

impl Drop for Erp {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn note(&self, reference: String) {
        let now = Instant::now();
        let mut arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        match arrived.entry(reference) {
            Entry::Occupied(_) => {
                self.twice.fetch_add(1, Ordering::Relaxed);
            }
            Entry::Vacant(first) => {
                first.insert(now);
            }
        }
    }
}

async fn answer(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    loop {
        let (mut length, mut creates) = (0, false);
        loop {
            line.clear();
            if reader.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            if line == "\r\n" {
                break;
            }
            creates |= line.starts_with("POST ");
            if let Some(told) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = told.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).await?;
        let text = if creates {
            shared.note(reference(&body).unwrap_or_default());
            if !shared.delay.is_zero() {
                tokio::time::sleep(shared.delay).await;
            }
            format!("{{\"number\":\"SO-{}\"}}", shared.number.fetch_add(1, Ordering::Relaxed))
        } else {
            "{\"data\":[]}".to_owned()
        };
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ";
        let answer = format!("{head}{}\r\n\r\n{text}", text.len());
        reader.get_mut().write_all(answer.as_bytes()).await?;
    }
}

/// The shop's reference in a request.
fn reference(body: &[u8]) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    body.get("order")?.as_str().map(str::to_owned)
}
