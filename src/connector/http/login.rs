//! Logins: made by the first request that needs one, by one at a time, and again before they expire or where a request is
//! refused. They are of one process, and kept in memory.
//!
//! What does not live here: what a login sends (`auth`), and consent, which is kept (`grant`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use reqwest::header::DATE;
use tokio::sync::Mutex;

use super::answer::{Answer, Failure, Judge};
use super::auth::{AuthPlan, Login};
use super::budget::Urgency;
use super::grant::Grant;
use super::request::Request;
use super::traffic::Traffic;
use super::vault::Proof;
use super::wire::Wire;

/// The longest before its end that a login is repeated, and which share of its time at the most: nothing that is sent
/// before arrives after.
const EARLY: Duration = Duration::from_mins(1);
const EARLY_SHARE: u32 = 10;

/// Clocks that are no further apart are one.
const SKEW: SignedDuration = SignedDuration::from_secs(30);

/// Who the requests of a connection come from.
#[derive(Debug)]
pub struct Logins {
    wire: Arc<Wire>,
    judge: Arc<Judge>,
    auth: Arc<AuthPlan>,
    /// What a person's consent gave.
    grant: Option<Arc<Grant>>,
    /// What the last login gave; whoever logs in holds it.
    session: Mutex<Session>,
}

#[derive(Debug, Default)]
struct Session {
    proof: Option<Proof>,
    /// How many logins there were.
    number: u64,
    /// When it is to be repeated, where the system said how long it is valid.
    until: Option<Instant>,
    /// How far the system's clock is ahead of this one.
    ahead: SignedDuration,
}

impl Logins {
    /// Logins by a plan in which nothing is left to be chosen.
    pub fn new(wire: Arc<Wire>, judge: Arc<Judge>, auth: Arc<AuthPlan>) -> Self {
        let grant = auth.consent().map(|_| Arc::new(Grant::new(&wire, &judge, &auth)));
        Self { wire, judge, auth, grant, session: Mutex::default() }
    }

    /// What a person's consent gave, where requests need one.
    pub fn grant(&self) -> Option<&Arc<Grant>> {
        self.grant.as_ref()
    }

    /// Whether a request that is refused may be accepted after another login.
    pub fn are_renewed(&self) -> bool {
        self.auth.is_renewed()
    }

    /// The proof of who a request comes from, and the number of the login it is of. Logs in where nobody has, or where the
    /// login of this number was refused; of several at a time only one.
    ///
    /// # Errors
    /// Why nobody is logged in. No request but the login was sent.
    pub async fn proof(&self, refused: Option<u64>) -> Result<(Proof, u64), Failure> {
        let parts = &self.wire.parts;
        if let Traffic::Replayed(replay) = &parts.traffic {
            return replay.login().map(|()| (Proof::default(), 0));
        }
        if let Some(grant) = &self.grant {
            return grant.proof(refused).await;
        }
        let Some(login) = self.auth.login() else {
            return Ok((self.auth.proof(&parts.vault, &parts.zone).map_err(Failure::Fatal)?, 0));
        };
        let mut session = self.session.lock().await;
        let valid = refused != Some(session.number) && session.until.is_none_or(|until| Instant::now() < until);
        if let Some(proof) = session.proof.clone().filter(|_| valid) {
            return Ok((proof, session.number));
        }
        let asked = Instant::now();
        let (request, answer) = self.log_in(login, &mut session).await?;
        let failed = |reason: String| Failure::Unauthorised(format!("the login by {request} failed: {reason}"));
        let given = login.proof(&answer.value(), &parts.vault, &parts.zone);
        let (proof, lifetime) = given.map_err(failed)?;
        session.number += 1;
        session.proof = Some(proof.clone());
        session.until = lifetime.map(|lifetime| asked + used(lifetime));
        Ok((proof, session.number))
    }

    /// The answer to a login that worked, and its request.
    async fn log_in(&self, login: &Login, session: &mut Session) -> Result<(Request, Answer), Failure> {
        let parts = &self.wire.parts;
        let mut corrected = !login.is_signed();
        loop {
            let now = Timestamp::now().saturating_add(session.ahead).unwrap_or(Timestamp::MAX);
            let request = login.request(&parts.base, &parts.vault, &parts.zone, now).map_err(Failure::Fatal)?;
            // Actions may be waiting for it, whoever begins it.
            let answer = self.wire.exchange(&request, &Proof::default(), Urgency::Action).await.map_err(unsent)?;
            let Some(failure) = refusal(&self.wire, &self.judge, &request, &answer) else {
                return Ok((request, answer));
            };
            // What is signed by a clock that is wrong is refused: once more by the system's own.
            let ahead = clock(&answer).map(|clock| clock.duration_since(Timestamp::now()));
            match ahead.filter(|ahead| (*ahead - session.ahead).abs() > SKEW) {
                Some(ahead) if !corrected && matches!(failure, Failure::Unauthorised(_)) => session.ahead = ahead,
                _ => return Err(failure),
            }
            corrected = true;
        }
    }
}

/// How long a login is used that is valid for so long.
pub fn used(lifetime: Duration) -> Duration {
    lifetime.saturating_sub(EARLY.min(lifetime / EARLY_SHARE))
}

/// What broke off was the login; the request itself was never sent.
pub fn unsent(failure: Failure) -> Failure {
    match failure {
        failure @ Failure::Limited { .. } => failure,
        failure => Failure::Unreachable(format!("the login failed: {failure}")),
    }
}

/// Why the answer to a login is none that works; nothing where it is one.
pub fn refusal(wire: &Wire, judge: &Judge, request: &Request, answer: &Answer) -> Option<Failure> {
    let meaning = judge.judge(answer, &wire.parts.settings, &wire.parts.zone);
    let mask = |text: &str| request.mask(&wire.parts.vault.mask(text));
    Some(match judge.failure(&request.to_string(), answer, meaning, mask)? {
        Failure::Broken { reason, .. } => Failure::Unreachable(format!("the login failed: {reason}")),
        Failure::Limited { reason, after } => {
            if let Some(wait) = after {
                wire.parts.limit.pause(wait);
            }
            Failure::Limited { reason, after }
        }
        other => Failure::Unauthorised(format!("the login by {request} failed: {other}")),
    })
}

/// The system's own clock, where its answer says it.
fn clock(answer: &Answer) -> Option<Timestamp> {
    let text = answer.headers.get(DATE)?.to_str().ok()?;
    jiff::fmt::rfc2822::parse(text).ok().map(|date| date.timestamp())
}
