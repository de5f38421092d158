//! One client per connection: sends requests with its credentials, within its limits and time-outs, and says what the
//! answers mean.
//!
//! What does not live here: which requests are sent (`pages`, `action`).

use std::error::Error as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use backoff::ExponentialBackoffBuilder;
use backoff::backoff::Backoff as _;
use bytes::{Bytes, BytesMut};
use jiff::tz::TimeZone;
use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use tokio::sync::Mutex;

use super::answer::{Answer, Failure, Judge};
use super::auth::{AuthPlan, Proof, Vault};
use super::budget::Urgency;
use super::csrf::CsrfPlan;
use super::limit::Limit;
use super::manifest::Meaning;
use super::request::Request;
use crate::connector::keep::Keep;
use crate::record::Value;

/// The largest answer, in bytes; several pages are in memory at a time.
const LARGEST: usize = 64 << 20;

/// How often a request that only reads is tried in all, and for how long.
const TRIES: u32 = 6;
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The longest that a pull waits because the system said so; beyond it the run ends, and the next one is due later.
const PATIENCE: Duration = Duration::from_mins(10);

/// How long is waited.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For the first byte, and between two reads.
    pub read: Duration,
    /// For the whole.
    pub request: Duration,
}

/// What a client is made of.
#[derive(Debug)]
pub struct Parts {
    /// The address that paths are behind.
    pub base: Url,
    /// Headers of every request.
    pub headers: Vec<(String, String)>,
    /// How long is waited.
    pub timeouts: Timeouts,
    /// The proxy.
    pub proxy: Option<String>,
    /// A file of certificates that are trusted too.
    pub ca: Option<PathBuf>,
    /// A file with the client's certificate and key.
    pub certificate: Option<PathBuf>,
    /// The settings, with secrets.
    pub vault: Vault,
    /// The settings, without.
    pub settings: Value,
    /// The connection's zone.
    pub zone: TimeZone,
    /// How much the system allows.
    pub limit: Limit,
}

/// One client per connection.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    parts: Parts,
    /// Headers of every request, checked.
    headers: HeaderMap,
    auth: Arc<AuthPlan>,
    judge: Arc<Judge>,
    /// What the last login gave, and how many there were; whoever logs in holds it.
    session: Mutex<Session>,
    csrf: Option<Arc<CsrfPlan>>,
    /// The last token that writing requests carry, and how many there were; whoever fetches one holds it.
    token: Mutex<Session>,
    /// What the connection keeps beyond a request.
    keep: Keep,
}

#[derive(Debug, Default)]
struct Session {
    proof: Option<Proof>,
    number: u64,
}

impl Client {
    /// A client.
    ///
    /// # Errors
    /// Where a certificate cannot be read, or a header, the proxy or a credential is none.
    pub fn new(
        parts: Parts,
        auth: Arc<AuthPlan>,
        csrf: Option<Arc<CsrfPlan>>,
        judge: Arc<Judge>,
    ) -> Result<Self, String> {
        let Timeouts { connect, read, request } = parts.timeouts;
        crate::install_crypto();
        let mut builder = reqwest::Client::builder()
            .connect_timeout(connect)
            .read_timeout(read)
            .timeout(request)
            // Credentials follow nowhere, and a create is never repeated by a redirect.
            .redirect(reqwest::redirect::Policy::none())
            .cookie_store(true)
            .user_agent(concat!("tradebridge/", env!("CARGO_PKG_VERSION")));
        if let Some(proxy) = &parts.proxy {
            let proxy = reqwest::Proxy::all(proxy).map_err(|error| format!("'{proxy}' is no proxy: {error}"))?;
            builder = builder.proxy(proxy);
        }
        if let Some(path) = &parts.ca {
            let pem = read_file(path)?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem)
                .map_err(|error| format!("{} holds no certificates in PEM: {error}", path.display()))?;
            builder = builder.tls_certs_merge(certificates);
        }
        if let Some(path) = &parts.certificate {
            let identity = reqwest::Identity::from_pem(&read_file(path)?)
                .map_err(|error| format!("{} holds no certificate with its key in PEM: {error}", path.display()))?;
            builder = builder.identity(identity);
        }
        let http = builder.build().map_err(|error| format!("no client can be made: {}", causes(&error)))?;
        let mut headers = HeaderMap::new();
        for (name, text) in &parts.headers {
            let header =
                HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("'{name}' is no name of a header"))?;
            let value = HeaderValue::from_str(text).map_err(|_| format!("'{text}' cannot stand in a header"))?;
            headers.insert(header, value);
        }
        auth.proof(&parts.vault, &parts.zone)?;
        let (session, token) = (Mutex::default(), Mutex::default());
        Ok(Self { http, parts, headers, auth, judge, session, csrf, token, keep: Keep::default() })
    }

    /// The address that paths are behind.
    pub fn base(&self) -> &Url {
        &self.parts.base
    }

    /// What the connection keeps beyond a request.
    pub fn keep(&self) -> &Keep {
        &self.keep
    }

    /// The settings, without secrets.
    pub fn settings(&self) -> &Value {
        &self.parts.settings
    }

    /// The connection's zone.
    pub fn zone(&self) -> &TimeZone {
        &self.parts.zone
    }

    /// Sends a request that only reads; what passes is tried again.
    ///
    /// # Errors
    /// What the last try came to.
    pub async fn read(&self, request: &Request) -> Result<Answer, Failure> {
        let mut waits = ExponentialBackoffBuilder::new()
            .with_initial_interval(FIRST_WAIT)
            .with_max_interval(LONGEST_WAIT)
            .with_max_elapsed_time(None)
            .build();
        let mut tried = 0;
        loop {
            tried += 1;
            let failure = match self.send_as(request, Urgency::Read).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let after = match &failure {
                Failure::Unreachable(_) => None,
                Failure::Broken { after, .. } | Failure::Limited { after, .. } => *after,
                _ => return Err(failure),
            };
            if tried == TRIES {
                return Err(failure);
            }
            let wait = after.or_else(|| waits.next_backoff()).unwrap_or(LONGEST_WAIT);
            if wait > PATIENCE {
                return Err(failure);
            }
            tracing::info!(error = %failure, wait = ?wait, "a request is tried again");
            tokio::time::sleep(wait).await;
        }
    }

    /// Sends a request once, before all that only read; only a login that has expired is repeated, and then the request that
    /// was refused for it.
    ///
    /// # Errors
    /// What it came to.
    pub async fn send(&self, request: &Request) -> Result<Answer, Failure> {
        self.send_as(request, Urgency::Action).await
    }

    async fn send_as(&self, request: &Request, urgency: Urgency) -> Result<Answer, Failure> {
        let (proof, number) = self.proof(None).await?;
        let answer = self.exchange_with_token(request, &proof, urgency).await?;
        let meaning = self.judge.judge(&answer, &self.parts.settings, &self.parts.zone);
        if meaning != Meaning::RefreshAuth || self.auth.login().is_none() {
            return self.judged(request, answer, meaning, &proof);
        }
        let (proof, _) = self.proof(Some(number)).await?;
        let answer = self.exchange_with_token(request, &proof, urgency).await?;
        let meaning = self.judge.judge(&answer, &self.parts.settings, &self.parts.zone);
        self.judged(request, answer, meaning, &proof)
    }

    fn judged(&self, request: &Request, answer: Answer, meaning: Meaning, proof: &Proof) -> Result<Answer, Failure> {
        let mask = |text: &str| proof.mask(&self.parts.vault.mask(text));
        match self.judge.failure(&request.to_string(), &answer, meaning, mask) {
            None => Ok(Answer { duplicate: meaning == Meaning::Duplicate, ..answer }),
            Some(Failure::Limited { reason, after }) => {
                if let Some(wait) = after {
                    self.parts.limit.pause(wait);
                }
                Err(Failure::Limited { reason, after: after.or_else(|| self.parts.limit.wait()) })
            }
            Some(failure) => Err(failure),
        }
    }

    /// The proof of who a request comes from, and the number of the login it is of. Logs in where nobody has, or where the
    /// login of this number has expired; of several at a time only one.
    async fn proof(&self, expired: Option<u64>) -> Result<(Proof, u64), Failure> {
        let Some(login) = self.auth.login() else {
            let proof = self.auth.proof(&self.parts.vault, &self.parts.zone).map_err(Failure::Fatal)?;
            return Ok((proof, 0));
        };
        let mut session = self.session.lock().await;
        if let Some(proof) = session.proof.clone().filter(|_| expired != Some(session.number)) {
            return Ok((proof, session.number));
        }
        let request = login.request(&self.parts.base, &self.parts.vault, &self.parts.zone).map_err(Failure::Fatal)?;
        // Actions may be waiting for it, whoever begins it.
        let answer = match self.exchange(&request, &Proof::default(), Urgency::Action).await {
            Ok(answer) => answer,
            Err(failure @ Failure::Limited { .. }) => return Err(failure),
            // What broke off was the login; the request itself was never sent.
            Err(failure) => return Err(Failure::Unreachable(format!("the login failed: {failure}"))),
        };
        let meaning = self.judge.judge(&answer, &self.parts.settings, &self.parts.zone);
        let refused = |reason: String| Failure::Unauthorised(format!("the login by {request} failed: {reason}"));
        let mask = |text: &str| self.parts.vault.mask(text);
        if let Some(failure) = self.judge.failure(&request.to_string(), &answer, meaning, mask) {
            return Err(match failure {
                Failure::Broken { reason, .. } => Failure::Unreachable(format!("the login failed: {reason}")),
                Failure::Limited { reason, after } => {
                    if let Some(wait) = after {
                        self.parts.limit.pause(wait);
                    }
                    Failure::Limited { reason, after }
                }
                other => refused(other.to_string()),
            });
        }
        let proof = login.proof(&answer.value(), &self.parts.vault, &self.parts.zone).map_err(refused)?;
        session.number += 1;
        session.proof = Some(proof.clone());
        Ok((proof, session.number))
    }

    /// Sends a request with the token that the system asks for where it writes; once more with a fresh one where the token
    /// is refused, since nothing was executed then.
    async fn exchange_with_token(&self, request: &Request, proof: &Proof, urgency: Urgency) -> Result<Answer, Failure> {
        let Some(csrf) = self.csrf.as_ref().filter(|_| request.method != reqwest::Method::GET) else {
            return self.exchange(request, proof, urgency).await;
        };
        let with = |token: Proof| Proof(proof.0.iter().cloned().chain(token.0).collect());
        let (token, number) = self.token(csrf, proof, None, urgency).await?;
        let answer = self.exchange(request, &with(token), urgency).await?;
        if !csrf.refuses(&answer) {
            return Ok(answer);
        }
        let (token, _) = self.token(csrf, proof, Some(number), urgency).await?;
        self.exchange(request, &with(token), urgency).await
    }

    /// The token, and its number. Fetched where there is none, or where the one of this number is refused; of several at a
    /// time by one only. Its cookies are in the client's store.
    async fn token(
        &self,
        csrf: &CsrfPlan,
        proof: &Proof,
        refused: Option<u64>,
        urgency: Urgency,
    ) -> Result<(Proof, u64), Failure> {
        let mut last = self.token.lock().await;
        if let Some(token) = last.proof.clone().filter(|_| refused != Some(last.number)) {
            return Ok((token, last.number));
        }
        let request = csrf.request(&self.parts.base, &self.parts.settings, &self.parts.zone).map_err(Failure::Fatal)?;
        // What breaks off is the request for a token; the one that writes is never sent.
        let unsent = |failure: Failure| match failure {
            failure @ (Failure::Limited { .. } | Failure::Unauthorised(_)) => failure,
            failure => Failure::Unreachable(format!("no CSRF token was fetched: {failure}")),
        };
        let answer = self.exchange(&request, proof, urgency).await.map_err(unsent)?;
        if let Some(token) = csrf.token(&answer) {
            last.number += 1;
            last.proof = Some(token.clone());
            return Ok((token, last.number));
        }
        let meaning = self.judge.judge(&answer, &self.parts.settings, &self.parts.zone);
        match self.judged(&request, answer, meaning, proof) {
            // An expired login is told by the answer to the request itself, which is sent without a token then.
            Err(Failure::Unauthorised(_)) if self.auth.login().is_some() => Ok((Proof::default(), last.number)),
            Err(failure) => Err(unsent(failure)),
            Ok(_) => Err(Failure::Fatal(format!("{request} was answered without a CSRF token; look at `http.csrf`"))),
        }
    }

    /// Sends a request and reads its answer, whatever it is.
    async fn exchange(&self, request: &Request, proof: &Proof, urgency: Urgency) -> Result<Answer, Failure> {
        let mut headers = self.headers.clone();
        for (name, text) in &request.headers {
            let header = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| Failure::Fatal(format!("'{name}' is no name of a header")))?;
            let value = HeaderValue::from_str(text).map_err(|_| {
                Failure::Fatal(format!("the value of the header {name} has characters that none may have"))
            })?;
            headers.insert(header, value);
        }
        for (name, value) in &proof.0 {
            headers.insert(name, value.clone());
        }
        let mut builder = self.http.request(request.method.clone(), request.url.clone());
        if let Some((media_type, body)) = &request.body {
            if !headers.contains_key(CONTENT_TYPE) {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
            }
            builder = builder.body(body.clone());
        }
        let mut turn = self.parts.limit.turn(urgency).await.map_err(|wait| {
            let wait = Duration::from_secs(wait.as_secs());
            let reason = format!("the system allows no more requests for now; the next one may be sent in {wait:?}");
            Failure::Limited { reason, after: Some(wait) }
        })?;
        let mut response = builder.headers(headers).send().await.map_err(|error| self.broken(request, &error))?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        turn.answered(&headers);
        let body = self.body(request, &mut response).await?;
        Ok(Answer { status, headers, body, duplicate: false })
    }

    async fn body(&self, request: &Request, response: &mut reqwest::Response) -> Result<Bytes, Failure> {
        let mut body = BytesMut::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > LARGEST => {
                    let reason =
                        format!("{request} was answered with more than {} MB; ask for smaller pages", LARGEST >> 20);
                    return Err(Failure::Unusable(reason));
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => return Ok(body.freeze()),
                Err(error) => return Err(self.broken(request, &error)),
            }
        }
    }

    /// What went wrong before there was an answer, and what to look at.
    fn broken(&self, request: &Request, error: &reqwest::Error) -> Failure {
        let causes = self.parts.vault.mask(&causes(error));
        let Timeouts { connect, read, request: whole } = self.parts.timeouts;
        if error.is_connect() {
            let host = request.url.host_str().unwrap_or_default();
            let advice = if causes.contains("certificate") {
                "look at the server's certificate, and give the certificate of an own authority with `ca`"
            } else if causes.contains("corrupt message") {
                "the server is spoken to by TLS and does not answer so; look at the port and at `https` in the address"
            } else if causes.contains("dns") || causes.contains("lookup") {
                "look at the name in the connection's address, and at name resolution"
            } else {
                "look at the address, and whether the system and the network are up"
            };
            let timed_out = if error.is_timeout() { format!(" within {connect:?}") } else { String::new() };
            return Failure::Unreachable(format!("{host} cannot be reached{timed_out}: {causes}; {advice}"));
        }
        let reason = if error.is_timeout() {
            format!("{request} had no answer in time ({read:?} without a byte, or {whole:?} in all): {causes}")
        } else {
            format!("{request} broke off: {causes}")
        };
        Failure::Broken { reason, after: None }
    }
}

/// An address that requests can be sent to.
///
/// # Errors
/// Where the text is none.
pub fn address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text)
        .map_err(|error| format!("`{text}` is no address: {error}; write it like https://erp.example/api"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(format!("`{text}` is no address of a server; write it like https://erp.example/api"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "an address with a user or password in it would be seen in logs; use the settings for them".to_owned()
        );
    }
    Ok(url)
}

fn read_file(path: &std::path::Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

/// An error with all that it comes from; no address, since it may hold what nobody may see.
fn causes(error: &reqwest::Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !texts.iter().any(|known| known.contains(&text)) {
            texts.push(text);
        }
        source = cause.source();
    }
    if texts.is_empty() { "the request failed".to_owned() } else { texts.join(": ") }
}
