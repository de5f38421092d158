//! Writes down what a client asks of PostgreSQL: a socket between both that passes everything on, and reads the client's
//! messages as it does (<https://www.postgresql.org/docs/current/protocol-message-formats.html>).
//!
//! What does not live here: what is made of it (`script`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::super::Outcome;

/// A value of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Null(&'static str),
    Integer(i64),
    Truth(bool),
    Text(String),
    Bytes(Vec<u8>),
    List(&'static str, Vec<Value>),
}

/// A statement with its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    pub text: String,
    pub values: Vec<Value>,
}

/// What is committed at once: a transaction, from its `BEGIN` to its end, or a statement alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit(pub Vec<Statement>);

/// A running recorder. Dropped, it takes no more connections.
pub struct Recorder {
    /// Where it listens.
    pub port: u16,
    units: Arc<Mutex<Vec<Unit>>>,
    task: JoinHandle<()>,
}

impl Recorder {
    /// Starts one before the server at an address. Encryption would hide what is to be read: clients must not ask for it.
    pub async fn start(server: String) -> Outcome<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let units: Arc<Mutex<Vec<Unit>>> = Arc::default();
        let written = Arc::clone(&units);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, units) = (server.clone(), Arc::clone(&written));
                tokio::spawn(async move {
                    // However it ends, both sides see the end of their connection.
                    let _ = pass(client, &server, &units).await;
                });
            }
        });
        Ok(Self { port, units, task })
    }

    /// What was asked since the last time, in the order in which it ended.
    pub fn take(&self) -> Vec<Unit> {
        std::mem::take(&mut self.units.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(client: TcpStream, server: &str, units: &Mutex<Vec<Unit>>) -> Outcome<()> {
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let back = async { Outcome::Ok(tokio::io::copy(&mut from_server, &mut to_client).await.map(|_| ())?) };
    let forth = async {
        let mut reading = Reading::default();
        let mut bytes = Vec::with_capacity(1 << 16);
        let mut passed = 0;
        while from_client.read_buf(&mut bytes).await? > 0 {
            to_server.write_all(&bytes[passed..]).await?;
            let read = reading.read(&bytes, units)?;
            bytes.drain(..read);
            passed = bytes.len();
        }
        Outcome::Ok(())
    };
    tokio::select! {
        ended = back => ended,
        ended = forth => ended,
    }
}

/// What is known of a connection.
#[derive(Default)]
struct Reading {
    started: bool,
    prepared: HashMap<String, (String, Vec<i32>)>,
    open: Vec<Statement>,
    within: bool,
}

impl Reading {
    /// Reads the whole messages at the beginning of some bytes; says how many bytes they are.
    fn read(&mut self, bytes: &[u8], units: &Mutex<Vec<Unit>>) -> Outcome<usize> {
        let mut at = 0;
        loop {
            // The first message has no kind.
            let kind = usize::from(self.started);
            let Some(length) = bytes.get(at + kind..at + kind + 4) else { return Ok(at) };
            let end = at + kind + usize::try_from(i32::from_be_bytes(length.try_into()?))?;
            let Some(body) = bytes.get(at + kind + 4..end) else { return Ok(at) };
            if self.started {
                self.message(bytes[at], Body(body), units)?;
            }
            self.started = true;
            at = end;
        }
    }

    fn message(&mut self, kind: u8, mut body: Body<'_>, units: &Mutex<Vec<Unit>>) -> Outcome<()> {
        match kind {
            b'P' => {
                let (name, text) = (body.text()?, body.text()?);
                let types = (0..body.short()?).map(|_| body.int()).collect::<Outcome<_>>()?;
                self.prepared.insert(name, (text, types));
            }
            b'B' => {
                let (_, name) = (body.text()?, body.text()?);
                for _ in 0..body.short()? {
                    body.short()?;
                }
                let (text, types) = self.prepared.get(&name).ok_or("a statement that was never prepared")?.clone();
                let mut values = Vec::new();
                for at in 0..usize::try_from(body.short()?)? {
                    values.push(body.value(types.get(at).copied().unwrap_or_default())?);
                }
                self.ended(Statement { text, values }, units);
            }
            b'Q' => {
                let text = body.text()?;
                self.ended(Statement { text, values: Vec::new() }, units);
            }
            _ => {}
        }
        Ok(())
    }

    fn ended(&mut self, statement: Statement, units: &Mutex<Vec<Unit>>) {
        let word = statement.text.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
        self.within |= word == "BEGIN";
        self.open.push(statement);
        if !self.within || matches!(word.as_str(), "COMMIT" | "ROLLBACK") {
            self.within = false;
            let unit = Unit(std::mem::take(&mut self.open));
            units.lock().unwrap_or_else(PoisonError::into_inner).push(unit);
        }
    }
}

/// What is left of a message.
struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    fn take(&mut self, length: usize) -> Outcome<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or("a message that is too short")?;
        self.0 = rest;
        Ok(taken)
    }

    fn short(&mut self) -> Outcome<i16> {
        Ok(i16::from_be_bytes(self.take(2)?.try_into()?))
    }

    fn int(&mut self) -> Outcome<i32> {
        Ok(i32::from_be_bytes(self.take(4)?.try_into()?))
    }

    fn text(&mut self) -> Outcome<String> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or("a text without an end")?;
        let text = String::from_utf8(self.take(end)?.to_vec())?;
        self.take(1)?;
        Ok(text)
    }

    /// A value in its binary form, by the identifier of its type.
    fn value(&mut self, of: i32) -> Outcome<Value> {
        let (name, element) = match of {
            16 => ("boolean", None),
            17 => ("bytea", None),
            20 => ("bigint", None),
            25 => ("text", None),
            1001 => ("bytea[]", Some(17)),
            1009 => ("text[]", Some(25)),
            1016 => ("bigint[]", Some(20)),
            other => return Err(format!("values of type {other} cannot be read").into()),
        };
        let length = self.int()?;
        let Ok(length) = usize::try_from(length) else { return Ok(Value::Null(name)) };
        let mut bytes = Body(self.take(length)?);
        if let Some(element) = element {
            let dimensions = bytes.int()?;
            bytes.take(8)?;
            let count = if dimensions == 0 { 0 } else { bytes.int()? };
            if dimensions != 0 {
                bytes.int()?;
            }
            return Ok(Value::List(name, (0..count).map(|_| bytes.value(element)).collect::<Outcome<_>>()?));
        }
        Ok(match of {
            16 => Value::Truth(bytes.0 == [1]),
            17 => Value::Bytes(bytes.0.to_vec()),
            20 => Value::Integer(i64::from_be_bytes(bytes.0.try_into()?)),
            _ => Value::Text(String::from_utf8(bytes.0.to_vec())?),
        })
    }
}
