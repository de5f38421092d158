//! A shop that posts orders over HTTP, with as little work for the machine as can be.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::super::Outcome;

/// The shop's key.
pub const KEY: &str = "tb_bench_key";

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// An order that was accepted.
#[derive(Debug)]
pub struct Posted {
    pub reference: String,
    pub sent: Instant,
    pub answered: Instant,
}

/// Posts orders until a time has come or there are so many, by several clients at once, each on a connection of its own.
pub async fn post(address: &str, prefix: &str, clients: usize, most: u64, time: Duration) -> Outcome<Vec<Posted>> {
    let next = Arc::new(AtomicU64::new(0));
    let until = Instant::now() + time;
    let tasks: Vec<_> = (0..clients)
        .map(|_| {
            let (next, address, prefix) = (Arc::clone(&next), address.to_owned(), prefix.to_owned());
            tokio::spawn(async move {
                let mut client = Client::connect(&address).await?;
                let mut posted = Vec::new();
                while Instant::now() < until {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= most {
                        break;
                    }
                    posted.push(client.post(&format!("{prefix}-{number}")).await?);
                }
                Outcome::Ok(posted)
            })
        })
        .collect();
    let mut posted = Vec::new();
    for task in tasks {
        posted.extend(task.await??);
    }
    Ok(posted)
}

/// Posts so many orders, one every so often, whatever became of those before.
pub async fn post_every(address: &str, prefix: &str, orders: u64, every: Duration) -> Outcome<Vec<Posted>> {
    // As many as can be under way at once where an answer takes long.
    const CLIENTS: usize = 20;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(Arc::new(tokio::sync::Mutex::new(Client::connect(address).await?)));
    }
    let mut ticks = tokio::time::interval(every);
    let mut tasks = Vec::new();
    for number in 0..orders {
        ticks.tick().await;
        let client = Arc::clone(&clients[usize::try_from(number)? % CLIENTS]);
        let reference = format!("{prefix}-{number}");
        tasks.push(tokio::spawn(async move { client.lock().await.post(&reference).await }));
    }
    let mut posted = Vec::new();
    for task in tasks {
        posted.push(task.await??);
    }
    Ok(posted)
}

/// A connection that posts orders, one after the other.
pub struct Client {
    stream: TcpStream,
    address: String,
    answer: Vec<u8>,
}

impl Client {
    pub async fn connect(address: &str) -> Outcome<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, address: address.to_owned(), answer: Vec::new() })
    }

    /// Posts an order, which must be accepted.
    pub async fn post(&mut self, reference: &str) -> Outcome<Posted> {
        let body = format!(
            "{{\"reference\":\"{reference}\",\"customer\":\"10000\",\"customer_order_number\":\"PO 7\",\
             \"currency\":\"EUR\",\"lines\":[\
             {{\"product\":\"KGL-15-090\",\"quantity\":\"50\",\"unit_price\":\"0.684\"}},\
             {{\"product\":\"TST-22\",\"quantity\":\"10\",\"unit_price\":\"1.95\"}},\
             {{\"product\":\"KGL-12-045\",\"quantity\":\"100\",\"unit_price\":\"0.51\"}}]}}"
        );
        let request = format!(
            "POST /v1/orders HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        let sent = Instant::now();
        self.stream.write_all(request.as_bytes()).await?;
        tokio::time::timeout(PATIENCE, self.read()).await.map_err(|_| "the daemon does not answer")??;
        let answered = Instant::now();
        if !self.answer.starts_with(b"HTTP/1.1 202") {
            return Err(format!("order {reference}: {}", String::from_utf8_lossy(&self.answer)).into());
        }
        Ok(Posted { reference: reference.to_owned(), sent, answered })
    }

    /// Reads one whole answer.
    async fn read(&mut self) -> Outcome<()> {
        self.answer.clear();
        let mut whole = None;
        while whole.is_none_or(|whole| self.answer.len() < whole) {
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                return Err("the daemon ended the connection".into());
            }
            if whole.is_none()
                && let Some(end) = self.answer.windows(4).position(|four| four == b"\r\n\r\n")
            {
                let head = String::from_utf8_lossy(&self.answer[..end]).to_ascii_lowercase();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
                let length: usize = length.ok_or("an answer without a length")?.trim().parse()?;
                whole = Some(end + 4 + length);
            }
        }
        Ok(())
    }
}
