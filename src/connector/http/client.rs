//! One client per connection: sends requests with its credentials, within its limits and time-outs, and says what the
//! answers mean.
//!
//! What does not live here: which requests are sent (`pages`, `action`).

use std::sync::Arc;
use std::time::Duration;

use backoff::ExponentialBackoffBuilder;
use backoff::backoff::Backoff as _;
use jiff::tz::TimeZone;
use reqwest::Url;
use tokio::sync::Mutex;

use super::answer::{Answer, Failure, Judge};
use super::auth::AuthPlan;
use super::budget::{Headroom, Urgency};
use super::csrf::CsrfPlan;
use super::grant::Grant;
use super::login::Logins;
use super::manifest::Meaning;
use super::request::Request;
use super::vault::Proof;
use super::wire::{Parts, Wire};
use crate::connector::keep::Keep;
use crate::record::Value;

/// How often a request that only reads is tried in all, and for how long.
const TRIES: u32 = 6;
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The longest that a pull waits because the system said so; beyond it the run ends, and the next one is due later.
const PATIENCE: Duration = Duration::from_mins(10);

/// One client per connection.
#[derive(Debug)]
pub struct Client {
    wire: Arc<Wire>,
    judge: Arc<Judge>,
    logins: Logins,
    csrf: Option<Arc<CsrfPlan>>,
    /// The last token that writing requests carry; whoever fetches one holds it.
    token: Mutex<Token>,
}

#[derive(Debug, Default)]
struct Token {
    proof: Option<Proof>,
    /// How many there were.
    number: u64,
}

impl Client {
    /// A client.
    ///
    /// # Errors
    /// Where a certificate cannot be read, or a header, the proxy or a credential is none.
    pub fn new(
        parts: Parts,
        auth: &Arc<AuthPlan>,
        csrf: Option<Arc<CsrfPlan>>,
        judge: Arc<Judge>,
    ) -> Result<Self, String> {
        let auth = auth.chosen(&parts.vault, &parts.zone)?;
        auth.check(&parts.base, &parts.vault, &parts.zone)?;
        let wire = Arc::new(Wire::new(parts)?);
        let logins = Logins::new(Arc::clone(&wire), Arc::clone(&judge), auth);
        Ok(Self { wire, judge, logins, csrf, token: Mutex::default() })
    }

    /// The address that paths are behind.
    pub fn base(&self) -> &Url {
        &self.wire.parts.base
    }

    /// What the connection keeps beyond a request.
    pub fn keep(&self) -> &Keep {
        &self.wire.keep
    }

    /// What a person's consent gave, where requests need one.
    pub fn grant(&self) -> Option<&Arc<Grant>> {
        self.logins.grant()
    }

    /// How much of the system's limits is left.
    pub fn headroom(&self) -> Vec<Headroom> {
        self.wire.parts.limit.headroom()
    }

    /// The settings, without secrets.
    pub fn settings(&self) -> &Value {
        &self.wire.parts.settings
    }

    /// The connection's zone.
    pub fn zone(&self) -> &TimeZone {
        &self.wire.parts.zone
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
        let (proof, number) = self.logins.proof(None).await?;
        let answer = self.exchange_with_token(request, &proof, urgency).await?;
        let meaning = self.judge.judge(&answer, &self.wire.parts.settings, &self.wire.parts.zone);
        if meaning != Meaning::RefreshAuth || !self.logins.are_renewed() {
            return self.judged(request, answer, meaning, &proof);
        }
        let (proof, _) = self.logins.proof(Some(number)).await?;
        let answer = self.exchange_with_token(request, &proof, urgency).await?;
        let meaning = self.judge.judge(&answer, &self.wire.parts.settings, &self.wire.parts.zone);
        self.judged(request, answer, meaning, &proof)
    }

    fn judged(&self, request: &Request, answer: Answer, meaning: Meaning, proof: &Proof) -> Result<Answer, Failure> {
        let mask = |text: &str| proof.mask(&self.wire.parts.vault.mask(text));
        match self.judge.failure(&request.to_string(), &answer, meaning, mask) {
            None => Ok(Answer { duplicate: meaning == Meaning::Duplicate, ..answer }),
            Some(Failure::Limited { reason, after }) => {
                if let Some(wait) = after {
                    self.wire.parts.limit.pause(wait);
                }
                Err(Failure::Limited { reason, after: after.or_else(|| self.wire.parts.limit.wait()) })
            }
            Some(failure) => Err(failure),
        }
    }

    /// Sends a request with the token that the system asks for where it writes; once more with a fresh one where the token
    /// is refused, since nothing was executed then.
    async fn exchange_with_token(&self, request: &Request, proof: &Proof, urgency: Urgency) -> Result<Answer, Failure> {
        let Some(csrf) = self.csrf.as_ref().filter(|_| request.method != reqwest::Method::GET) else {
            return self.wire.exchange(request, proof, urgency).await;
        };
        let with = |token: Proof| Proof(proof.0.iter().cloned().chain(token.0).collect());
        let (token, number) = self.token(csrf, proof, None, urgency).await?;
        let answer = self.wire.exchange(request, &with(token), urgency).await?;
        if !csrf.refuses(&answer) {
            return Ok(answer);
        }
        let (token, _) = self.token(csrf, proof, Some(number), urgency).await?;
        self.wire.exchange(request, &with(token), urgency).await
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
        let request = csrf
            .request(&self.wire.parts.base, &self.wire.parts.settings, &self.wire.parts.zone)
            .map_err(Failure::Fatal)?;
        // What breaks off is the request for a token; the one that writes is never sent.
        let unsent = |failure: Failure| match failure {
            failure @ (Failure::Limited { .. } | Failure::Unauthorised(_)) => failure,
            failure => Failure::Unreachable(format!("no CSRF token was fetched: {failure}")),
        };
        let answer = self.wire.exchange(&request, proof, urgency).await.map_err(unsent)?;
        if let Some(token) = csrf.token(&answer) {
            last.number += 1;
            last.proof = Some(token.clone());
            return Ok((token, last.number));
        }
        let meaning = self.judge.judge(&answer, &self.wire.parts.settings, &self.wire.parts.zone);
        match self.judged(&request, answer, meaning, proof) {
            // An expired login is told by the answer to the request itself, which is sent without a token then.
            Err(Failure::Unauthorised(_)) if self.logins.are_renewed() => Ok((Proof::default(), last.number)),
            Err(failure) => Err(unsent(failure)),
            Ok(_) => Err(Failure::Fatal(format!("{request} was answered without a CSRF token; look at `http.csrf`"))),
        }
    }
}
