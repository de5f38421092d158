//! A server of price agreements as OData, a process of its own: its pages are written before it is asked, so that serving one
//! costs a copy. `/prices/N` is a page of 1,000 records with a link to the next, `/slow/prices/N` the same later,
//! `/small/prices/N` a page of one record; a POST is an order.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use super::Outcome;

/// Records of a page.
pub const PAGE: u64 = 1_000;
/// How long a page of `/slow/` is under way.
pub const SLOW: Duration = Duration::from_millis(50);
/// Pages of `/small/`.
pub const SMALL: u64 = 1_000;
/// The word that makes a benchmark the server.
const SERVE: &str = "--serve";

/// A running server. Dropped, it ends.
pub struct Server {
    child: Child,
    /// Its address.
    pub address: String,
}

impl Server {
    /// Starts the program that runs as a server of so many rows.
    pub fn start(rows: u64) -> Outcome<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([SERVE, &rows.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut address = String::new();
        let stdout = child.stdout.take().ok_or("the server has no output")?;
        BufReader::new(stdout).read_line(&mut address)?;
        if address.is_empty() {
            return Err("the server ended before it listened".into());
        }
        Ok(Self { child, address: address.trim().to_owned() })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves for ever, where the command line says so; otherwise returns at once.
pub fn serve_if_told() -> Outcome<()> {
    let words: Vec<String> = std::env::args().collect();
    let Some(at) = words.iter().position(|word| word == SERVE) else { return Ok(()) };
    let rows: u64 = words.get(at + 1).ok_or("how many rows?")?.parse()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = format!("http://{}/", listener.local_addr()?);
    let pages: Arc<Vec<Vec<u8>>> = Arc::new((0..rows.div_ceil(PAGE)).map(|number| page(number, rows)).collect());
    println!("{address}");
    // It ends with whoever started it.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    for stream in listener.incoming() {
        let (stream, pages) = (stream?, Arc::clone(&pages));
        std::thread::spawn(move || {
            // A client that goes away is no matter.
            let _ = answer(stream, &pages);
        });
    }
    Ok(())
}

/// The body of a page, counted from 0.
pub fn body(number: u64, rows: u64) -> String {
    let mut body = String::from("{\"value\":[");
    let end = rows.min((number + 1) * PAGE);
    for row in number * PAGE..end {
        if row > number * PAGE {
            body.push(',');
        }
        let _ = write!(
            body,
            "{{\"Number\":\"{row}\",\"Agreement\":\"CT-{:05}\",\"Customer\":\"{}\",\"Product\":\"KGL-{:05}\",\
             \"Kind\":\"{}\",\"Value\":{}.{:02},\"Currency\":\"EUR\",\"Unit\":\"{}\",\"MinimumQuantity\":{},\
             \"ValidFrom\":\"2026-01-01\",\"ValidTo\":\"2026-12-31\",\"Sales\":\"NL01\",\"Text\":null}}",
            row / 40,
            10_000 + row / 300,
            row % 20_000,
            if row % 5 == 0 { "P" } else { "N" },
            row % 90,
            row % 100,
            ["PC", "M", "KG"][usize::try_from(row % 3).unwrap_or_default()],
            [1, 10, 50, 100][usize::try_from(row % 4).unwrap_or_default()],
        );
    }
    body.push(']');
    if end < rows {
        let _ = write!(body, ",\"@odata.nextLink\":\"{}\"", number + 1);
    }
    body.push('}');
    body
}

fn page(number: u64, rows: u64) -> Vec<u8> {
    response(&body(number, rows))
}

fn response(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

fn answer(stream: TcpStream, pages: &[Vec<u8>]) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    let order = response("{\"number\":\"1\"}");
    loop {
        let (mut first, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line == "\r\n" {
                break;
            }
            if first.is_empty() {
                first.clone_from(&line);
            }
            if let Some(told) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = told.trim().parse().unwrap_or(0);
            }
        }
        reader.read_exact(&mut vec![0; length])?;
        let path = first.split(' ').nth(1).unwrap_or_default();
        let number = path.rsplit('/').next().and_then(|number| number.parse::<u64>().ok());
        let out = reader.get_mut();
        match number {
            None => out.write_all(&order)?,
            Some(number) if path.contains("/small/") => {
                let next =
                    if number + 1 < SMALL { format!(",\"@odata.nextLink\":\"{}\"", number + 1) } else { String::new() };
                let text = body(0, 1);
                let text = text.replacen("\"Number\":\"0\"", &format!("\"Number\":\"{number}\""), 1);
                out.write_all(&response(&format!("{}{next}}}", text.trim_end_matches('}'))))?;
            }
            Some(number) => {
                if path.contains("/slow/") {
                    std::thread::sleep(SLOW);
                }
                let page = usize::try_from(number).ok().and_then(|number| pages.get(number));
                out.write_all(page.map_or(&order, |page| page))?;
            }
        }
    }
}
