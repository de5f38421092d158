//! What a person's consent gave, used and renewed: one at a time among all processes, and never used before it is kept.
//!
//! Whoever renews claims it first, by a compare-and-set in the keeper and for a term on the keeper's clock; others wait for
//! what comes of it. What the system gives is saved before it is used. A process that dies in between leaves its claim: after
//! the term another one tries the refresh token once more, which systems with a time of grace accept.
//!
//! What does not live here: asking a person for consent (`consent`), and what is kept (`tokens`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::Mutex;

use super::answer::{Failure, Judge};
use super::auth::{AuthPlan, bearer};
use super::budget::Urgency;
use super::login::{refusal, unsent};
use super::oauth::{ConsentPlan, Given, Refusal};
use super::tokens::{Refused, Standing, Tokens};
use super::vault::Proof;
use super::wire::Wire;
use crate::config::Secret;
use crate::connector::keep::{SecretError, Secrets};

/// What the tokens are kept under.
const NAME: &str = "consent";

/// How long a renewal may take, and for how long it is claimed; the rest is for saving what it gave.
const RENEWAL: Duration = Duration::from_secs(40);
const TERM: Duration = Duration::from_mins(1);

/// How long a renewal by somebody else is waited for: a little longer than his term.
const PATIENCE: Duration = Duration::from_secs(75);

/// Between two looks at what somebody else renews.
const LOOK: Duration = Duration::from_millis(200);

/// How often it is tried to save what the system gave.
const SAVES: u32 = 6;

/// The error code of a refresh token that is not valid any more (RFC 6749, section 5.2).
const INVALID_GRANT: &str = "invalid_grant";

/// What a person's consent gave.
#[derive(Debug)]
pub struct Grant {
    wire: Arc<Wire>,
    judge: Arc<Judge>,
    auth: Arc<AuthPlan>,
    /// Who this is among those who renew.
    id: String,
    /// What is in use; whoever renews holds it.
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// The access token in use.
    access: Option<Usable>,
    /// How many there were.
    number: u64,
    /// The access token that the system refused last.
    refused: Option<String>,
    /// What the system gave and could not be saved, with the refresh token that it gave it for.
    unsaved: Option<Unsaved>,
}

struct Usable {
    token: String,
    proof: Proof,
    /// When it is to be looked at again.
    until: Option<Instant>,
}

#[derive(Clone)]
struct Unsaved {
    tokens: Tokens,
    before: String,
}

impl std::fmt::Debug for Usable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secrets]")
    }
}

impl std::fmt::Debug for Unsaved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secrets]")
    }
}

impl Unsaved {
    /// Whether it takes the place of what is kept. What was renewed does whoever claims it now; a claim that is given back
    /// leaves another's alone.
    fn replaces(&self, kept: &Tokens, who: &str) -> bool {
        let renewed = self.tokens.refresh != kept.refresh || self.tokens.access != kept.access;
        kept.refresh == self.before && (renewed || kept.claim.as_ref().is_some_and(|claim| claim.by == who))
    }
}

impl Held {
    /// The proof in use, unless it is over or the one that was refused.
    fn usable(&self, refused: Option<u64>) -> Option<(Proof, u64)> {
        let usable = self.access.as_ref().filter(|_| refused != Some(self.number))?;
        usable.until.is_none_or(|until| Instant::now() < until).then(|| (usable.proof.clone(), self.number))
    }

    fn take(&mut self, token: &str, look: Option<Duration>) -> Result<(Proof, u64), Failure> {
        if self.access.as_ref().is_none_or(|usable| usable.token != token) {
            self.number += 1;
        }
        let proof = bearer(token).map_err(Failure::Unauthorised)?;
        let until = look.map(|look| Instant::now() + look);
        self.access = Some(Usable { token: token.to_owned(), proof: proof.clone(), until });
        Ok((proof, self.number))
    }
}

impl Grant {
    /// What consent by a plan gave, sent over a wire.
    pub fn new(wire: &Arc<Wire>, judge: &Arc<Judge>, auth: &Arc<AuthPlan>) -> Self {
        let (wire, judge, auth) = (Arc::clone(wire), Arc::clone(judge), Arc::clone(auth));
        Self { wire, judge, auth, id: uuid::Uuid::now_v7().to_string(), held: Mutex::default() }
    }

    /// The proof of who a request comes from, and its number. Renewed where it is about to expire, or where the one of this
    /// number was refused.
    ///
    /// # Errors
    /// Why there is none. The request itself was not sent.
    pub async fn proof(self: &Arc<Self>, refused: Option<u64>) -> Result<(Proof, u64), Failure> {
        if let Some(usable) = self.held.lock().await.usable(refused) {
            return Ok(usable);
        }
        let grant = Arc::clone(self);
        // What the system gives is saved even where nobody waits for it any more.
        let fetching = tokio::spawn(async move { grant.fetch(refused).await });
        fetching.await.unwrap_or_else(|_| Err(Failure::Unreachable("the renewal of the access token broke off".into())))
    }

    async fn fetch(&self, refused: Option<u64>) -> Result<(Proof, u64), Failure> {
        let mut held = self.held.lock().await;
        if let Some(usable) = held.usable(refused) {
            return Ok(usable);
        }
        let secrets = self.secrets()?;
        if let Some(unsaved) = held.unsaved.take()
            && let Err(error) = self.put(secrets, &unsaved).await
        {
            held.unsaved = Some(unsaved);
            return Err(unkept(&error));
        }
        if refused == Some(held.number)
            && let Some(usable) = held.access.take()
        {
            held.refused = Some(usable.token);
        }
        let begun = Instant::now();
        loop {
            let (tokens, version, now) = self.load(secrets).await?;
            match (tokens.standing(now, held.refused.as_deref(), &self.id), &tokens.access) {
                (Standing::Usable(look), Some(access)) => return held.take(&access.token, look),
                (Standing::TooYoung(wait), _) => {
                    let reason =
                        format!("the access token is refused, and the system renews it in {wait:?} at the earliest");
                    return Err(Failure::Limited { reason, after: Some(wait) });
                }
                (Standing::Refused(reason), _) => return Err(Failure::Unauthorised(reason)),
                (Standing::Claimed, _) if begun.elapsed() < PATIENCE => tokio::time::sleep(LOOK).await,
                (Standing::Claimed, _) => {
                    let reason = "another process has been renewing the access token for too long; it is tried again";
                    return Err(Failure::Unreachable(reason.to_owned()));
                }
                (Standing::Due | Standing::Usable(_), _) => {
                    let claimed = tokens.claimed(&self.id, now, TERM);
                    if self.save(secrets, &claimed, Some(version)).await.map_err(|error| unkept(&error))? {
                        return self.renew(secrets, &mut held, &claimed, now).await;
                    }
                }
            }
        }
    }

    /// Renews what is claimed, and saves it before it is used.
    async fn renew(
        &self,
        secrets: Secrets<'_>,
        held: &mut Held,
        claimed: &Tokens,
        now: Timestamp,
    ) -> Result<(Proof, u64), Failure> {
        let begun = Instant::now();
        let fields = [("grant_type", "refresh_token"), ("refresh_token", claimed.refresh.as_str())];
        let given = match tokio::time::timeout(RENEWAL, self.ask(&fields, &[&claimed.refresh])).await {
            Ok(given) => given,
            Err(_) => Err(Unasked::Lost(format!("the access token was not renewed within {RENEWAL:?}"))),
        };
        let (failure, lost, refused) = match given {
            Ok(given) => {
                let after = self.plan()?.renew_after;
                let tokens = Tokens::of(&given, Some(&claimed.refresh), now, begun.elapsed(), after);
                let Some(tokens) = tokens else { return Err(Failure::Fatal("there is no refresh token".to_owned())) };
                let unsaved = Unsaved { tokens, before: claimed.refresh.clone() };
                if let Err(error) = self.put(secrets, &unsaved).await {
                    held.unsaved = Some(unsaved);
                    return Err(unkept(&error));
                }
                let (tokens, _, now) = self.load(secrets).await?;
                let Some(access) = &tokens.access else { return Err(Failure::Unreachable(BROKE_OFF.to_owned())) };
                let Standing::Usable(look) = tokens.standing(now, None, &self.id) else {
                    // It was valid for no longer than it took to get.
                    return held.take(&access.token, Some(Duration::ZERO));
                };
                return held.take(&access.token, look);
            }
            Err(Unasked::Lost(reason)) => (Failure::Unreachable(reason), Some(now), None),
            Err(Unasked::Failed(failure)) => (failure, None, None),
            Err(Unasked::Refused(refusal)) => {
                let reason = self.refused(secrets, &refusal, claimed.lost);
                (Failure::Unauthorised(reason.clone()), None, Some(Refused { reason, at: now }))
            }
        };
        let free = Unsaved { tokens: claimed.free(lost, refused), before: claimed.refresh.clone() };
        if let Err(error) = self.put(secrets, &free).await {
            tracing::warn!(%error, connection = secrets.connection(), "a claim could not be given back: it runs out by itself");
        }
        Err(failure)
    }

    /// What an operator is told where the refresh token is not valid any more.
    fn refused(&self, secrets: Secrets<'_>, refusal: &Refusal, lost: Option<Timestamp>) -> String {
        let refusal = self.wire.parts.vault.mask(&refusal.to_string());
        let why = match lost {
            Some(at) => format!(
                "; a renewal that began at {} had no answer that could be kept, so what the system gave then is lost",
                at.strftime("%Y-%m-%d %H:%M:%SZ")
            ),
            None => "; the consent may have been withdrawn, or not been used for too long".to_owned(),
        };
        format!(
            "the system does not accept the refresh token any more ({refusal}){why}; {}",
            again(secrets.connection())
        )
    }

    /// Asks for tokens. `hidden` is what no message may show.
    pub(super) async fn ask(&self, fields: &[(&str, &str)], hidden: &[&str]) -> Result<Given, Unasked> {
        let parts = &self.wire.parts;
        let fatal = |reason| Unasked::Failed(Failure::Fatal(reason));
        let plan = self.plan().map_err(Unasked::Failed)?;
        let mut request = plan.tokens.request(fields, &parts.vault, &parts.zone, Timestamp::now()).map_err(fatal)?;
        request.hidden.extend(hidden.iter().map(|text| Secret::new(*text)));
        let answer = match self.wire.exchange(&request, &Proof::default(), Urgency::Action).await {
            Ok(answer) => answer,
            Err(failure @ (Failure::Broken { .. } | Failure::Unusable(_))) => {
                return Err(Unasked::Lost(unsent(failure).to_string()));
            }
            Err(failure) => return Err(Unasked::Failed(unsent(failure))),
        };
        let value = answer.value();
        if let Some(refusal) = Refusal::of_answer(&value).filter(|refusal| refusal.code == INVALID_GRANT) {
            return Err(Unasked::Refused(Refusal {
                words: refusal.words.map(|words| request.mask(&words)),
                ..refusal
            }));
        }
        if let Some(failure) = refusal(&self.wire, &self.judge, &request, &answer) {
            return Err(if answer.status.is_server_error() {
                Unasked::Lost(failure.to_string())
            } else {
                Unasked::Failed(failure)
            });
        }
        Given::of_answer(&value).ok_or_else(|| {
            Unasked::Failed(Failure::Unauthorised(format!(
                "{request} was answered without an `access_token`; look at the token URL"
            )))
        })
    }

    /// Saves what the system gave in the place of what was kept before it; nothing where that was replaced by another consent.
    async fn put(&self, secrets: Secrets<'_>, unsaved: &Unsaved) -> Result<(), SecretError> {
        let mut tried = 0;
        loop {
            tried += 1;
            let saved = async {
                let (Some((Ok(bytes), version)), _) = secrets.load(NAME).await? else { return Ok(true) };
                match serde_json::from_slice::<Tokens>(&bytes) {
                    Ok(kept) if unsaved.replaces(&kept, &self.id) => {
                        self.save(secrets, &unsaved.tokens, Some(version)).await
                    }
                    _ => Ok(true),
                }
            };
            match saved.await {
                Ok(true) => return Ok(()),
                Ok(false) if tried < SAVES => {}
                Ok(false) => return Err(SecretError::Overtaken),
                Err(error) if tried == SAVES => return Err(error),
                Err(_) => tokio::time::sleep(LOOK * tried).await,
            }
        }
    }

    /// Saves what a new consent gave, whatever was there before.
    pub(super) async fn replace(&self, tokens: &Tokens) -> Result<(), Failure> {
        let mut held = self.held.lock().await;
        let secrets = self.secrets()?;
        let mut tried = 0;
        loop {
            tried += 1;
            let (kept, _) = secrets.load(NAME).await.map_err(|error| unkept(&error))?;
            let over = kept.map(|(_, version)| version);
            if self.save(secrets, tokens, over).await.map_err(|error| unkept(&error))? {
                (held.access, held.unsaved) = (None, None);
                return Ok(());
            }
            if tried == SAVES {
                return Err(unkept(&SecretError::Overtaken));
            }
        }
    }

    /// What the keeper's clock says.
    pub(super) async fn now(&self) -> Result<Timestamp, Failure> {
        Ok(self.secrets()?.load(NAME).await.map_err(|error| unkept(&error))?.1)
    }

    pub(super) fn wire(&self) -> &Wire {
        &self.wire
    }

    pub(super) fn plan(&self) -> Result<&ConsentPlan, Failure> {
        self.auth.consent().ok_or_else(|| Failure::Fatal("the manifest asks for no consent".to_owned()))
    }

    fn secrets(&self) -> Result<Secrets<'_>, Failure> {
        self.wire.keep.secrets().ok_or_else(|| {
            Failure::Fatal("what a person's consent gave is in the store, which this command does not open".to_owned())
        })
    }

    async fn save(&self, secrets: Secrets<'_>, tokens: &Tokens, over: Option<i64>) -> Result<bool, SecretError> {
        let bytes = serde_json::to_vec(tokens).map_err(|error| crate::connector::KeepError(Box::new(error)))?;
        secrets.save(NAME, &bytes, over).await
    }

    /// What is kept, its version and the keeper's clock.
    async fn load(&self, secrets: Secrets<'_>) -> Result<(Tokens, i64, Timestamp), Failure> {
        let connection = secrets.connection();
        let (kept, now) = secrets.load(NAME).await.map_err(|error| unkept(&error))?;
        let Some((bytes, version)) = kept else {
            let command = format!("`tradebridge connection authorize {connection}`");
            return Err(Failure::Unauthorised(format!("nobody has authorized the connection yet: {command}")));
        };
        let bytes = bytes.map_err(|error| {
            Failure::Fatal(format!(
                "what the connection '{connection}' keeps cannot be decrypted: {error}; put the former key back, or {}",
                again(connection)
            ))
        })?;
        let tokens = serde_json::from_slice(&bytes).map_err(|error| {
            Failure::Fatal(format!("what the connection keeps cannot be read ({error}); {}", again(connection)))
        })?;
        Ok((tokens, version, now))
    }
}

/// Why no tokens were given.
#[derive(Debug)]
pub(super) enum Unasked {
    /// Nobody can tell whether they were: an answer did not come, or cannot be read.
    Lost(String),
    /// They were not.
    Failed(Failure),
    /// They were not, and never will be for what was shown.
    Refused(Refusal),
}

const BROKE_OFF: &str = "what was renewed is gone again; it is tried again";

fn again(connection: &str) -> String {
    format!("authorize the connection again: `tradebridge connection authorize {connection}`")
}

fn unkept(error: &SecretError) -> Failure {
    match error {
        SecretError::NoKey => Failure::Fatal(error.to_string()),
        _ => Failure::Unreachable(error.to_string()),
    }
}
