//! Asking a person for consent, once: the address where it is given, and what comes back with the person (RFC 6749,
//! section 4.1, and RFC 7636).
//!
//! What does not live here: what the consent is used for (`grant`), and who shows the address (`cli`).

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Url;

use super::answer::{Failure, short};
use super::grant::{Grant, Unasked};
use super::oauth::Asked;
use super::request::address;
use super::tokens::Tokens;
use crate::config::Secret;

/// Where the person is sent back to where neither the manifest nor the command says it.
const REDIRECT: &str = "http://127.0.0.1:8765/callback";

/// A consent that is asked for: what has to come back with the person.
#[derive(Debug)]
pub struct Asking {
    /// Where the person gives consent.
    pub address: Url,
    /// Where the person is sent back to.
    pub redirect: Url,
    state: Secret,
    verifier: Option<Secret>,
}

/// Why a consent is not given, or cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConsentError {
    /// The connection needs none.
    #[error("the connection '{0}' needs no consent: its connector logs in by itself")]
    NotNeeded(String),
    /// What was asked with makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The system gave no tokens.
    #[error("{0}")]
    Failed(String),
}

impl Grant {
    /// Asks for consent. `redirect` is where the person is to be sent back to, if not where the manifest says.
    ///
    /// # Errors
    /// Where an address is none or a value is missing.
    pub fn ask_consent(&self, redirect: Option<&str>) -> Result<Asking, ConsentError> {
        let parts = &self.wire().parts;
        let plan = self.plan().map_err(failed)?;
        let redirect = match redirect {
            Some(redirect) => address(redirect).map_err(ConsentError::Invalid)?,
            None => match plan.redirect(&parts.vault, &parts.zone).map_err(ConsentError::Invalid)? {
                Some(redirect) => redirect,
                None => address(REDIRECT).map_err(ConsentError::Invalid)?,
            },
        };
        let (state, verifier) = (random()?, random()?);
        let challenge = URL_SAFE_NO_PAD.encode(ring::digest::digest(&ring::digest::SHA256, verifier.as_bytes()));
        let asked = Asked { redirect: &redirect, state: &state, challenge: &challenge };
        let address = plan.address(&asked, &parts.vault, &parts.zone).map_err(ConsentError::Invalid)?;
        let verifier = plan.pkce().then(|| Secret::new(verifier));
        Ok(Asking { address, redirect, state: Secret::new(state), verifier })
    }

    /// Uses the consent that came back with a person, to an address.
    ///
    /// # Errors
    /// Where it is none, is of another asking, or the system gives no tokens for it.
    pub async fn use_consent(&self, asking: &Asking, came_back_to: &str) -> Result<(), ConsentError> {
        let url = Url::parse(came_back_to.trim()).map_err(|_| {
            ConsentError::Invalid("this is no address; copy all of it, from https:// or http:// on".to_owned())
        })?;
        let told = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        if told("state").is_none_or(|state| Secret::new(state) != asking.state) {
            let message = "the address is not the answer to this asking (its `state` is another): begin again, and use \
                           the address that is shown then";
            return Err(ConsentError::Invalid(message.to_owned()));
        }
        if let Some(error) = told("error") {
            let words = told("error_description").map_or_else(String::new, |words| format!(": {words}"));
            return Err(ConsentError::Failed(format!("the system gave no consent: {}", short(&(error + &words)))));
        }
        let Some(code) = told("code") else {
            return Err(ConsentError::Invalid("the address has no `code`: copy all of it".to_owned()));
        };
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", asking.redirect.as_str()),
        ];
        let mut hidden = vec![code.as_str()];
        if let Some(verifier) = &asking.verifier {
            fields.push(("code_verifier", verifier.reveal()));
            hidden.push(verifier.reveal());
        }
        let (asked, begun) = (self.now().await.map_err(failed)?, Instant::now());
        let given = self.ask(&fields, &hidden).await.map_err(|unasked| {
            ConsentError::Failed(match unasked {
                Unasked::Lost(reason) => format!("{reason}; begin again"),
                Unasked::Failed(failure) => failure.to_string(),
                Unasked::Refused(refusal) => format!("the system does not accept the code ({refusal}); begin again"),
            })
        })?;
        let after = self.plan().map_err(failed)?.renew_after;
        let Some(tokens) = Tokens::of(&given, None, asked, begun.elapsed(), after) else {
            let message = "the system gave no refresh token, so the connection would end with the access token; ask for \
                           one by `scope` (often `offline_access`) or `authorize_parameters`";
            return Err(ConsentError::Failed(message.to_owned()));
        };
        self.replace(&tokens).await.map_err(failed)
    }
}

// Made for `map_err`.
#[allow(clippy::needless_pass_by_value)]
fn failed(failure: Failure) -> ConsentError {
    ConsentError::Failed(failure.to_string())
}

/// 32 random bytes as text.
fn random() -> Result<String, ConsentError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|_| ConsentError::Failed("the operating system gives no random numbers".to_owned()))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
