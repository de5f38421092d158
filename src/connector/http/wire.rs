//! The way to a system: one HTTP client with its certificates, its proxy and its time-outs, the turns of its limits, and what
//! went wrong where no answer came.
//!
//! What does not live here: who requests come from (`login`), and what answers mean (`client`).

use std::error::Error as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use jiff::tz::TimeZone;
use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::answer::{Answer, Failure};
use super::budget::Urgency;
use super::limit::{Limit, NoTurn};
use super::request::Request;
use super::traffic::{Exchange, Noter, Traffic};
use super::vault::{Proof, Vault};
use crate::connector::format::LONGEST_DOCUMENT;
use crate::connector::keep::Keep;
use crate::record::Value;

/// When it is worth trying again where what processes share cannot be read.
const UNKEPT: Duration = Duration::from_secs(10);

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
    /// What becomes of exchanges.
    pub traffic: Traffic,
}

/// The way to a system.
#[derive(Debug)]
pub struct Wire {
    http: reqwest::Client,
    /// What it is made of.
    pub parts: Parts,
    /// What the connection keeps beyond a request.
    pub keep: Keep,
    /// Headers of every request, checked.
    headers: HeaderMap,
    noter: Noter,
}

impl Wire {
    /// A way to a system.
    ///
    /// # Errors
    /// Where a certificate cannot be read, or a header or the proxy is none.
    pub fn new(parts: Parts) -> Result<Self, String> {
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
        let noter = Noter::new(parts.vault.secrets());
        Ok(Self { http, parts, keep: Keep::default(), headers, noter })
    }

    /// Sends a request and reads its answer, whatever it is; or does as if. It is noted in the request's trail.
    ///
    /// # Errors
    /// Where there is none.
    pub async fn exchange(&self, request: &Request, proof: &Proof, urgency: Urgency) -> Result<Answer, Failure> {
        let Some(trail) = &request.trail else { return self.pass(request, proof, urgency).await };
        let noted = self.noter.begin(trail, request, &self.headers_of(request)?, proof);
        let outcome = self.pass(request, proof, urgency).await;
        noted.end(&outcome);
        outcome
    }

    async fn pass(&self, request: &Request, proof: &Proof, urgency: Urgency) -> Result<Answer, Failure> {
        let recorder = match &self.parts.traffic {
            Traffic::Wire => return self.send(request, self.headers_of(request)?, proof, urgency).await,
            Traffic::Replayed(replay) => return replay.answer(request).await,
            Traffic::Recorded(recorder) => recorder,
        };
        let headers = self.headers_of(request)?;
        let (under_way, began) = (recorder.sends(), Instant::now());
        let outcome = self.send(request, headers.clone(), proof, urgency).await;
        let (request, proof, took) = (request.clone(), proof.0.iter().cloned().collect(), began.elapsed());
        let exchange = Exchange { request, headers, proof, outcome: outcome.clone(), took };
        recorder.keep(under_way, exchange).await.map_err(|error| Failure::Fatal(error.to_string()))?;
        outcome
    }

    /// The headers of a request, but for those that prove who it comes from.
    fn headers_of(&self, request: &Request) -> Result<HeaderMap, Failure> {
        let mut headers = self.headers.clone();
        for (name, text) in &request.headers {
            let header = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| Failure::Fatal(format!("'{name}' is no name of a header")))?;
            let value = HeaderValue::from_str(text).map_err(|_| {
                Failure::Fatal(format!("the value of the header {name} has characters that none may have"))
            })?;
            headers.insert(header, value);
        }
        if let Some((media_type, _)) = &request.body
            && !headers.contains_key(CONTENT_TYPE)
        {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        }
        Ok(headers)
    }

    async fn send(
        &self,
        request: &Request,
        mut headers: HeaderMap,
        proof: &Proof,
        urgency: Urgency,
    ) -> Result<Answer, Failure> {
        for (name, value) in &proof.0 {
            headers.insert(name, value.clone());
        }
        let mut builder = self.http.request(request.method.clone(), request.url.clone());
        if let Some((_, body)) = &request.body {
            builder = builder.body(body.clone());
        }
        let mut turn = self.parts.limit.turn(urgency, &self.keep).await.map_err(|reason| match reason {
            NoTurn::For(wait) => {
                let wait = Duration::from_secs(wait.as_secs());
                let reason =
                    format!("the system allows no more requests for now; the next one may be sent in {wait:?}");
                Failure::Limited { reason, after: Some(wait) }
            }
            NoTurn::Unkept(error) => Failure::Limited {
                reason: format!("whether the limit allows a request cannot be told: {error}; look at the store"),
                after: Some(UNKEPT),
            },
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
                Ok(Some(chunk)) if body.len() + chunk.len() > LONGEST_DOCUMENT => {
                    let reason = format!(
                        "{request} was answered with more than {} MB; ask for smaller pages",
                        LONGEST_DOCUMENT >> 20
                    );
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
        let refused = refused_certificate(&causes);
        if error.is_connect() || refused.is_some() {
            let host = request.url.host_str().unwrap_or_default();
            let through = match &self.parts.proxy {
                Some(proxy) => format!(" through the proxy {proxy}"),
                None => String::new(),
            };
            let advice = match refused {
                Some(advice) => advice,
                None if causes.contains("not valid for name") => {
                    "its certificate is of another name: write the address with a name that is in the certificate"
                }
                None if causes.contains("certificate expired") => "its certificate has expired: have it renewed",
                None if causes.contains("certificate") => {
                    "look at the server's certificate, and give the certificate of an own authority with `ca`"
                }
                None if causes.contains("corrupt message") => {
                    "the server is spoken to by TLS and does not answer so; look at the port and at `https` in the address"
                }
                None if self.parts.proxy.is_some() => {
                    "look at the connection's proxy, whether it lets this host through, and at the address"
                }
                None if causes.contains("dns") || causes.contains("lookup") => {
                    "look at the name in the connection's address, and at name resolution"
                }
                None => "look at the address, and whether the system and the network are up",
            };
            let timed_out = if error.is_timeout() { format!(" within {connect:?}") } else { String::new() };
            return Failure::Unreachable(format!("{host} cannot be reached{through}{timed_out}: {causes}; {advice}"));
        }
        let reason = if error.is_timeout() {
            format!("{request} had no answer in time ({read:?} without a byte, or {whole:?} in all): {causes}")
        } else {
            format!("{request} broke off: {causes}")
        };
        Failure::Broken { reason, after: None }
    }
}

fn read_file(path: &std::path::Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

/// What to do where a server ended TLS over the client's certificate. With TLS 1.3 the client hears of it only once it has
/// sent its request, which the server never reads.
fn refused_certificate(causes: &str) -> Option<&'static str> {
    let (_, alert) = causes.split_once("received fatal alert: ")?;
    let alert: String = alert.chars().take_while(char::is_ascii_alphanumeric).collect();
    match alert.as_str() {
        "CertificateRequired" => {
            Some("the server asks for a certificate of the client: give the connection one with `client_certificate`")
        }
        "BadCertificate"
        | "UnsupportedCertificate"
        | "CertificateRevoked"
        | "CertificateExpired"
        | "CertificateUnknown"
        | "UnknownCA"
        | "AccessDenied"
        | "DecryptError" => Some(
            "the server does not accept the certificate of the client: look at `client_certificate`, and whether it is \
             registered with the system and still valid",
        ),
        _ => None,
    }
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
