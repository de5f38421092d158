//! The way to the admin API: over HTTP to the daemon that has the store open, or through the same routes in this
//! process where none has.
//!
//! What does not live here: what is asked and how the answer is shown (the commands).

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode, header};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tokio::sync::watch;
use tower::ServiceExt as _;

use super::Answered;
use super::output::Failure;
use crate::config::{Config, Secret};
use crate::connector::Tap;
use crate::daemon::{Bridge, OpenError};
use crate::store::SqlStore;

/// How long the daemon may take to take up a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// How long the daemon may take to answer what is no long work.
const ANSWER: Duration = Duration::from_mins(1);

/// The largest answer that is read, in bytes.
const LARGEST: usize = 256 << 20;

/// A way to the admin API.
#[derive(Debug)]
pub(super) struct Client {
    way: Way,
    token: Secret,
}

#[derive(Debug)]
enum Way {
    /// The daemon, at this address.
    Daemon { http: reqwest::Client, address: SocketAddr },
    /// The routes in this process.
    Here(Router, Option<Store>),
}

/// The store with everything over it, open in this process.
struct Store {
    bridge: Arc<Bridge>,
    /// Never sent: no command in this process is asked to stop half-way.
    _stop: watch::Sender<bool>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

/// What the daemon writes beside its store for the command line on the same machine.
#[derive(Debug, Deserialize)]
struct Access {
    address: SocketAddr,
    token: String,
}

/// What is asked.
#[derive(Debug, Clone)]
pub(super) struct Call {
    method: Method,
    path: String,
    body: Option<Json>,
    /// Whether the answer may take as long as it takes.
    long: bool,
}

impl Call {
    /// Asks for what stands at a path below `/admin/v1`, given by its segments.
    pub(super) fn get(segments: &[&str]) -> Self {
        let path = segments.iter().fold("/admin/v1".to_owned(), |path, segment| path + "/" + &encoded(segment));
        Self { method: Method::GET, path, body: None, long: false }
    }

    /// Asks for something to be done.
    pub(super) fn post(segments: &[&str], body: &impl Serialize) -> Result<Self, Failure> {
        let body = serde_json::to_value(body)
            .map_err(|error| Failure::failed(format!("the request cannot be written as JSON: {error}")))?;
        Ok(Self { method: Method::POST, body: Some(body), ..Self::get(segments) })
    }

    /// Asks for something to be removed.
    pub(super) fn delete(segments: &[&str]) -> Self {
        Self { method: Method::DELETE, ..Self::get(segments) }
    }

    /// With a parameter, where it has a value.
    pub(super) fn with(mut self, name: &str, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            let sign = if self.path.contains('?') { '&' } else { '?' };
            self.path.push(sign);
            for part in [name, "=", &encoded(&value.to_string())] {
                self.path.push_str(part);
            }
        }
        self
    }

    /// The answer may take as long as it takes.
    pub(super) fn long(mut self) -> Self {
        self.long = true;
        self
    }
}

impl Client {
    /// Has a command ask the daemon that has the configuration's store open, or the store itself where none has.
    pub(super) async fn with(config: &Config, command: impl AsyncFnOnce(&Self) -> Answered) -> Answered {
        match Self::daemon(&config.store.run_path(&config.daemon.run_directory))? {
            Some(daemon) => command(&daemon).await,
            None => Self::over(config, &Tap::default(), command).await,
        }
    }

    /// Has a command ask the store itself, where the exchanges of a connection may be recorded or replayed.
    pub(super) async fn over(config: &Config, tap: &Tap, command: impl AsyncFnOnce(&Self) -> Answered) -> Answered {
        let client = Self::here(config, tap).await?;
        let answered = command(&client).await;
        client.close().await;
        answered
    }

    /// Whether a daemon on this machine has the configuration's store open.
    pub(super) fn is_daemon_at(config: &Config) -> Result<bool, Failure> {
        Ok(SqlStore::in_use(&config.store.run_path(&config.daemon.run_directory))?)
    }

    /// The daemon that has a store open, as it says itself in the file beside it; nothing where none has.
    fn daemon(store: &Path) -> Result<Option<Self>, Failure> {
        let access = store.with_added_extension("admin");
        let file = access.display();
        let text = match std::fs::read_to_string(&access) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                return Err(Failure::failed(format!(
                    "only the daemon's own user may read {file}; use `sudo -u USER tradebridge …`"
                )));
            }
            Err(error) => return Err(Failure::failed(format!("{file} cannot be read: {error}"))),
        };
        // What a killed daemon left behind names nobody: the lock ended with its process.
        if !SqlStore::in_use(store)? {
            return Ok(None);
        }
        let Access { address, token } = serde_json::from_str(&text).map_err(|error| {
            Failure::failed(format!("{file} does not say where the daemon is ({error}); restart the daemon"))
        })?;
        crate::install_crypto();
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| Failure::failed(format!("no connection can be made: {error}")))?;
        Ok(Some(Self { way: Way::Daemon { http, address: reachable(address) }, token: Secret::new(token) }))
    }

    /// The store, opened by this process.
    async fn here(config: &Config, tap: &Tap) -> Result<Self, Failure> {
        let (stop, stopping) = watch::channel(false);
        let bridge = Bridge::open_over(config.clone(), stopping, tap).await.map_err(|error| match error {
            OpenError::Files(problems) => Failure::Problems(problems),
            error => Failure::failed(error.to_string()),
        })?;
        let token = bridge.operator().clone();
        Ok(Self { way: Way::Here(bridge.router(), Some(Store { bridge, _stop: stop })), token })
    }

    /// Ends the use: a store that this process opened is closed.
    async fn close(self) {
        if let Way::Here(router, Some(store)) = self.way {
            drop(router);
            store.bridge.close().await;
        }
    }

    /// Whether a daemon answers, and not this process.
    pub(super) fn is_daemon(&self) -> bool {
        matches!(self.way, Way::Daemon { .. })
    }

    /// The answer to a call.
    pub(super) async fn ask<T: DeserializeOwned>(&self, call: Call) -> Result<T, Failure> {
        let (status, bytes) = match &self.way {
            Way::Daemon { http, address } => self.over_http(http, *address, call).await?,
            Way::Here(router, _) => self.in_process(router, call).await?,
        };
        if !status.is_success() {
            return Err(refused(status, &bytes));
        }
        // Nothing to say is said as null.
        let bytes: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        serde_json::from_slice(bytes).map_err(|error| {
            Failure::failed(format!(
                "the daemon's answer is not understood: {error}; is it of the same version as this command ({})?",
                env!("CARGO_PKG_VERSION")
            ))
        })
    }

    async fn over_http(
        &self,
        http: &reqwest::Client,
        address: SocketAddr,
        call: Call,
    ) -> Result<(StatusCode, Vec<u8>), Failure> {
        let mut request =
            http.request(call.method, format!("http://{address}{}", call.path)).bearer_auth(self.token.reveal());
        if !call.long {
            request = request.timeout(ANSWER);
        }
        if let Some(body) = call.body {
            request = request.json(&body);
        }
        let failed = |error: reqwest::Error| {
            let why = if error.is_timeout() && !error.is_connect() {
                format!("has not answered within {} seconds", ANSWER.as_secs())
            } else if error.is_connect() {
                "does not answer".to_owned()
            } else {
                "broke the connection off".to_owned()
            };
            Failure::failed(format!(
                "the daemon at {address} {why} ({}); is the service well? `systemctl status tradebridge`",
                innermost(&error)
            ))
        };
        let answer = request.send().await.map_err(failed)?;
        let status = answer.status();
        Ok((status, answer.bytes().await.map_err(failed)?.to_vec()))
    }

    async fn in_process(&self, router: &Router, call: Call) -> Result<(StatusCode, Vec<u8>), Failure> {
        let unable =
            |what: &str| Failure::failed(format!("{what} inside this process; this is a fault of Tradebridge"));
        let mut request = Request::builder()
            .method(call.method)
            .uri(call.path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token.reveal()));
        if call.body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = call.body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let request = request.body(body).map_err(|error| unable(&format!("no request can be made ({error})")))?;
        // An axum router cannot fail: what goes wrong is an answer.
        let answer = router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
        let status = answer.status();
        let bytes = to_bytes(answer.into_body(), LARGEST).await.map_err(|error| unable(&error.to_string()))?;
        Ok((status, bytes.to_vec()))
    }
}

/// A daemon that listens on every address is reached over the loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// What a refusal means, from its problem details (RFC 9457).
fn refused(status: StatusCode, bytes: &[u8]) -> Failure {
    let details: Option<Json> = serde_json::from_slice(bytes).ok().filter(Json::is_object);
    let word = |name: &str| details.as_ref().and_then(|d| d.get(name)).and_then(Json::as_str).map(str::to_owned);
    let said = word("detail").or_else(|| word("title"));
    let message = match (status, said) {
        (StatusCode::UNAUTHORIZED, _) => {
            "the daemon does not know this command's key; it may have been restarted just now: try again".to_owned()
        }
        (_, Some(said)) => said,
        (status, None) => format!("the daemon answers {status} and says no more"),
    };
    let usage = matches!(status, StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY);
    Failure::Failed { message, details, usage }
}

/// The cause that says most: the one at the bottom.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// A text as it stands in an address (RFC 3986, unreserved characters as they are).
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => {
                // Writing into a String cannot fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use axum::Json as Body;
    use axum::extract::Query;
    use axum::http::HeaderMap;
    use axum::response::IntoResponse as _;
    use axum::routing::{get, post};
    use serde_json::json;

    use super::*;

    /// Routes that echo what they are sent, behind a key.
    fn echo() -> Router {
        let keyed = |headers: &HeaderMap| headers.get("authorization").is_some_and(|key| key == "Bearer key");
        Router::new()
            .route(
                "/admin/v1/runs/{id}",
                get(
                    move |headers: HeaderMap,
                          axum::extract::Path(id): axum::extract::Path<String>,
                          query: Query<Json>| async move {
                        if keyed(&headers) {
                            Body(json!({ "id": id, "query": query.0 })).into_response()
                        } else {
                            StatusCode::UNAUTHORIZED.into_response()
                        }
                    },
                ),
            )
            .route(
                "/admin/v1/sync",
                post(|Body(body): Body<Json>| async move {
                    (StatusCode::UNPROCESSABLE_ENTITY, Body(json!({ "title": "T", "detail": "no sync", "body": body })))
                }),
            )
    }

    fn over(router: Router, token: &str) -> Client {
        Client { way: Way::Here(router, None), token: Secret::new(token) }
    }

    async fn served() -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, echo()).await });
        address
    }

    /// A daemon that says this of itself, and holds its store as long as the file that is returned.
    fn daemon(directory: &Path, content: &str) -> (Result<Option<Client>, Failure>, File) {
        let store = directory.join("tradebridge.db");
        let held = File::create(store.with_added_extension("lock")).unwrap();
        held.lock().unwrap();
        std::fs::write(store.with_added_extension("admin"), content).unwrap();
        (Client::daemon(&store), held)
    }

    fn message(failure: Failure) -> String {
        match failure {
            Failure::Failed { message, .. } => message,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn both_ways_bring_the_same_answer() {
        let directory = tempfile::tempdir().unwrap();
        let access = json!({ "address": served().await, "token": "key" }).to_string();
        let (daemon, _held) = daemon(directory.path(), &access);
        let ways = [daemon.unwrap().unwrap(), over(echo(), "key")];
        for client in ways {
            let call = Call::get(&["runs", "a b/ü"]).with("entity", Some("x&y")).with("state", None::<&str>);
            let answer: Json = client.ask(call).await.unwrap();
            assert_eq!(answer, json!({ "id": "a b/ü", "query": { "entity": "x&y" } }));
            let refused =
                client.ask::<Json>(Call::post(&["sync"], &json!({ "full": true })).unwrap()).await.unwrap_err();
            let Failure::Failed { message, details, usage } = refused else { panic!() };
            assert_eq!((message.as_str(), usage), ("no sync", true));
            assert_eq!(details.unwrap()["body"], json!({ "full": true }));
        }
        let stranger = over(echo(), "other");
        let said = message(stranger.ask::<Json>(Call::get(&["runs", "1"])).await.unwrap_err());
        assert!(said.contains("restarted"), "{said}");
    }

    #[tokio::test]
    async fn a_daemon_that_does_not_answer_is_said_with_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let access = json!({ "address": listener.local_addr().unwrap(), "token": "key" }).to_string();
        drop(listener);
        let (client, held) = daemon(directory.path(), &access);
        let client = client.unwrap().unwrap();
        let said = message(client.ask::<Json>(Call::get(&["status"])).await.unwrap_err());
        assert!(said.contains("does not answer") && said.contains("systemctl status"), "{said}");
        drop(held);
        assert!(Client::daemon(&directory.path().join("tradebridge.db")).unwrap().is_none(), "it was left behind");
        let (client, _held) = daemon(directory.path(), "{");
        let said = message(client.unwrap_err());
        assert!(said.contains("restart the daemon"), "{said}");
    }

    #[test]
    fn every_address_means_this_machine() {
        let at = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(at("0.0.0.0:8080"), "127.0.0.1:8080");
        assert_eq!(at("[::]:8080"), "[::1]:8080");
        assert_eq!(at("10.0.0.7:80"), "10.0.0.7:80");
    }
}
