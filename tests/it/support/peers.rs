//! Real systems for tests: Tryton, a RabbitMQ broker, and an OData server in the shape of SAP S/4HANA's, as `tests/peers/` starts them,
//! and a client for each that does what the system demands and nothing more. What the systems are and what data they
//! begin with is told in `tests/peers/README.md`.

use std::fs::File;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::daemon::PATIENCE;

/// The database of Tryton.
pub(crate) const DATABASE: &str = "erp";
/// The user at both systems.
pub(crate) const USER: &str = "integration";
/// Its password at Tryton.
pub(crate) const TRYTON_PASSWORD: &str = "integration-Pw-2026";
/// Its password at the OData server.
pub(crate) const ODATA_PASSWORD: &str = "integration-pw";

/// How often a start is tried: somebody may take the free port first.
const STARTS: usize = 3;

/// A kind of system.
#[derive(Clone, Copy, Debug)]
pub(crate) enum System {
    Tryton,
    OData,
    RabbitMq,
}

impl System {
    fn start_script(self) -> PathBuf {
        let name = match self {
            System::Tryton => "tryton",
            System::OData => "odata",
            System::RabbitMq => "rabbitmq",
        };
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(name).join("start")
    }

    fn variable(self) -> &'static str {
        match self {
            System::Tryton => "TRADEBRIDGE_TEST_TRYTON",
            System::OData => "TRADEBRIDGE_TEST_ODATA",
            System::RabbitMq => "TRADEBRIDGE_TEST_RABBITMQ",
        }
    }

    fn address(self, port: u16) -> String {
        match self {
            System::Tryton => format!("http://127.0.0.1:{port}"),
            // The name that its links bear.
            System::OData => format!("http://localhost:{port}"),
            System::RabbitMq => format!("127.0.0.1:{port}"),
        }
    }
}

/// A running system. One of a test's own is gone when it is dropped, and also when the test is killed.
#[derive(Debug)]
pub(crate) struct Peer {
    address: String,
    /// That of a test's own, which ends it.
    process: Option<Process>,
}

#[derive(Debug)]
struct Process {
    system: System,
    port: u16,
    child: Child,
    directory: TempDir,
}

impl Peer {
    /// A system that other tests use at the same time: for reading only.
    pub(crate) fn shared(system: System) -> Self {
        match std::env::var(system.variable()) {
            Ok(address) if !address.is_empty() => Self { address, process: None },
            _ => Self::own(system),
        }
    }

    /// A system with its first data, for this test alone. It takes seconds to start.
    pub(crate) fn own(system: System) -> Self {
        // Apart from the start, which may be broken off where this must not be.
        let prepared = Command::new(system.start_script()).arg("--prepare").stdin(Stdio::null()).output().unwrap();
        assert!(prepared.status.success(), "{system:?}: {}", String::from_utf8_lossy(&prepared.stderr));
        let mut said = String::new();
        for _ in 0..STARTS {
            let port = super::ports::free();
            let mut process = Process::start(system, port);
            if process.answers(port) {
                return Self { address: system.address(port), process: Some(process) };
            }
            said = process.said();
        }
        panic!("{system:?} does not start: {said}");
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.address.rsplit(':').next().unwrap().parse().unwrap()
    }

    /// Kills it, if it is the test's own, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        let process = self.process.as_mut().expect("a system of the test's own");
        let pid = std::fs::read_to_string(process.directory.path().join("broker.pid"));
        match pid.ok().and_then(|pid| pid.trim().parse::<u32>().ok()) {
            Some(pid) => {
                assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
            }
            None => process.child.kill().unwrap(),
        }
        process.child.wait().unwrap();
    }

    /// Starts it again with its data, and waits until it answers.
    pub(crate) fn restart(&mut self) {
        let process = self.process.as_mut().expect("a system of the test's own");
        process.child = Process::spawn(process.system, process.directory.path(), process.port);
        assert!(process.answers(process.port), "{:?} does not start again: {}", process.system, process.said());
    }

    /// Where it keeps its data, if it is the test's own.
    pub(crate) fn directory(&self) -> &Path {
        self.process.as_ref().expect("a system of the test's own").directory.path()
    }

    /// Its address, as `http://127.0.0.1:8000`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }
}

impl Process {
    fn start(system: System, port: u16) -> Self {
        let directory = tempfile::Builder::new().prefix("tradebridge-peer-").tempdir().unwrap();
        let child = Self::spawn(system, directory.path(), port);
        Self { system, port, child, directory }
    }

    fn spawn(system: System, directory: &Path, port: u16) -> Child {
        let log = File::options().create(true).append(true).open(directory.join("log")).unwrap();
        Command::new(system.start_script())
            .arg(directory)
            .arg(port.to_string())
            // It ends with this pipe, whose other end this process has.
            .env("PEER_UNTIL_EOF", "1")
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    /// Whether it comes to answer, rather than end.
    fn answers(&mut self, port: u16) -> bool {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until && self.child.try_wait().unwrap().is_none() {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return true;
            }
            // Nothing tells of a port that opens.
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It ends with its input, and with it what it started: killed, it would leave that behind.
        drop(self.child.stdin.take());
        let until = Instant::now() + PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > until {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            // Nothing tells of a process that ends.
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A session at Tryton.
#[derive(Debug)]
pub(crate) struct Tryton {
    http: reqwest::Client,
    endpoint: String,
    session: String,
}

impl Tryton {
    /// Logs in as [`USER`].
    pub(crate) async fn login(peer: &Peer) -> Self {
        let http = super::http().build().unwrap();
        let endpoint = format!("{}/{DATABASE}/rpc/", peer.address());
        let request = json!({
            "id": 1, "method": "common.db.login", "params": [USER, { "password": TRYTON_PASSWORD }, "en"],
        });
        let answer: Value = http.post(&endpoint).json(&request).send().await.unwrap().json().await.unwrap();
        let (user, token) = (&answer["result"][0], answer["result"][1].as_str().unwrap());
        let session = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{user}:{token}"));
        Self { http, endpoint, session }
    }

    /// The answer to a call, whatever it is.
    pub(crate) async fn send(&self, method: &str, params: Value) -> Response {
        self.http
            .post(&self.endpoint)
            .header("Authorization", format!("Session {}", self.session))
            .json(&json!({ "id": 1, "method": method, "params": params }))
            .send()
            .await
            .unwrap()
    }

    /// What a call returns, or the error that it answers with.
    pub(crate) async fn call(&self, method: &str, params: Value) -> Result<Value, Value> {
        let response = self.send(method, params).await;
        assert!(response.status().is_success(), "{method}: {}", response.status());
        let mut answer: Value = response.json().await.unwrap();
        match answer.get_mut("error") {
            Some(error) => Err(error.take()),
            None => Ok(answer["result"].take()),
        }
    }
}

/// A client of the OData server. It gets a CSRF token before it writes.
#[derive(Debug)]
pub(crate) struct OData {
    http: reqwest::Client,
    address: String,
    /// CSRF token and cookie.
    session: Option<(String, String)>,
}

impl OData {
    pub(crate) fn new(peer: &Peer) -> Self {
        let http = super::http().build().unwrap();
        Self { http, address: peer.address().to_owned(), session: None }
    }

    /// A request with what belongs to the session, if there is one. Path and query, or the whole address of a link.
    pub(crate) fn request(&self, method: Method, target: &str) -> RequestBuilder {
        let target = if target.starts_with('/') { format!("{}{target}", self.address) } else { target.to_owned() };
        let credentials = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{ODATA_PASSWORD}"));
        let mut request = self.http.request(method, target).header("Authorization", format!("Basic {credentials}"));
        if let Some((token, cookie)) = &self.session {
            request = request.header("X-CSRF-Token", token).header("Cookie", cookie);
        }
        request
    }

    /// Fetches a CSRF token at a service, for the requests to come.
    pub(crate) async fn fetch_token(&mut self, service: &str) {
        self.session = None;
        let response = self.request(Method::GET, service).header("X-CSRF-Token", "Fetch").send().await.unwrap();
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        let cookie = header("set-cookie").split(';').next().unwrap_or_default().to_owned();
        self.session = Some((header("x-csrf-token"), cookie));
    }

    /// What is read at a path, or at a link.
    pub(crate) async fn get(&self, target: &str) -> Value {
        let response = self.request(Method::GET, target).header("Accept", "application/json").send().await.unwrap();
        assert!(response.status().is_success(), "{target}: {}", response.status());
        response.json().await.unwrap()
    }
}
