//! OAuth 2.0 as a manifest says it, compiled: where tokens are given out, how the client proves itself there, and what a
//! person's consent is asked for with.
//!
//! What does not live here: when tokens are asked for (`login`, `grant`).

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use reqwest::Url;
use reqwest::header::AUTHORIZATION;

use super::assertion::AssertionPlan;
use super::oauth_file::{AuthorizationCodeFile, ClientAuthWord, ClientCredentialsFile, SignedFile};
use super::request::{Request, address, encoded, form_of};
use super::tree::Named;
use super::vault::Vault;
use crate::config::{KeyPath, Secret};
use crate::connector::check::{Checker, NAMES, Secrecy};
use crate::expression::Template;
use crate::record::Value;

/// What an assertion in a request for a token is (RFC 7523, section 2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How the fields of a request for a token are written.
const FORM: &str = "application/x-www-form-urlencoded";

/// Where tokens are given out, and how the client proves itself there.
#[derive(Debug)]
pub struct TokenPlan {
    url: Template,
    client_id: Template,
    client: ClientProof,
    scope: Option<Template>,
    parameters: Named,
}

/// How a client proves itself.
#[derive(Debug)]
enum ClientProof {
    /// It does not.
    None,
    Body(Template),
    Basic(Template),
    Signed(Box<AssertionPlan>),
}

/// What a person's consent is asked for with, and what becomes of it.
#[derive(Debug)]
pub struct ConsentPlan {
    /// Where tokens are given out.
    pub tokens: TokenPlan,
    /// How old an access token has to be before it can be renewed.
    pub renew_after: Duration,
    url: Template,
    redirect: Option<Template>,
    parameters: Named,
    pkce: bool,
}

/// What the address where a person gives consent has to say.
#[derive(Debug)]
pub struct Asked<'a> {
    /// Where the person is sent back to.
    pub redirect: &'a Url,
    /// What comes back with the person.
    pub state: &'a str,
    /// What the code is bound to (RFC 7636).
    pub challenge: &'a str,
}

/// What a system says in an answer that gives a token.
#[derive(Clone)]
pub struct Given {
    /// The access token.
    pub access: String,
    /// The token that renews it.
    pub refresh: Option<String>,
    /// How long it is valid.
    pub lifetime: Option<Duration>,
}

/// What a system says where it gives no token (RFC 6749, section 5.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The error's code, such as `invalid_grant`.
    pub code: String,
    /// The system's own words.
    pub words: Option<String>,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.words {
            Some(words) => write!(f, "{}: {words}", self.code),
            None => f.write_str(&self.code),
        }
    }
}

impl TokenPlan {
    /// Compiles what a manifest says of a client with credentials of its own; nothing with a problem.
    pub fn of_client(checker: &mut Checker, at: &KeyPath, written: &ClientCredentialsFile) -> Option<Self> {
        let ClientCredentialsFile { token_url, client_id, client_secret, client_auth, signed, scope, token_parameters } =
            written;
        if client_secret.is_none() == signed.is_none() {
            let hint = "give it one of `client_secret` and `signed`";
            checker.refuse(at, "a client proves itself by a secret or by what a key signed", Some(hint));
            return None;
        }
        let (secret, scope) = ((client_secret.as_ref(), *client_auth), scope.as_ref());
        Self::compile(
            checker,
            at,
            (token_url, client_id, Secrecy::Told),
            secret,
            signed.as_ref(),
            scope,
            token_parameters,
        )
    }

    fn compile(
        checker: &mut Checker,
        at: &KeyPath,
        (url, client_id, secrecy): (&str, &str, Secrecy),
        (secret, sent): (Option<&String>, Option<ClientAuthWord>),
        signed: Option<&SignedFile>,
        scope: Option<&String>,
        parameters: &BTreeMap<String, String>,
    ) -> Option<Self> {
        if let (None, Some(_)) = (secret, sent) {
            checker.refuse(&at.key("client_auth"), "there is no `client_secret` to be sent", None);
        }
        let url = checker.template(&at.key("token_url"), url, NAMES, Secrecy::Kept);
        let client_id = checker.template(&at.key("client_id"), client_id, NAMES, secrecy);
        let secret = checker.optional(&at.key("client_secret"), secret, NAMES, Secrecy::Told);
        let client = match (secret?, signed, sent.unwrap_or_default()) {
            (None, None, _) => ClientProof::None,
            (None, Some(signed), _) => {
                ClientProof::Signed(Box::new(AssertionPlan::compile(checker, &at.key("signed"), signed)?))
            }
            (Some(secret), _, ClientAuthWord::Body) => ClientProof::Body(secret),
            (Some(secret), _, ClientAuthWord::Basic) => ClientProof::Basic(secret),
        };
        let scope = checker.optional(&at.key("scope"), scope, NAMES, Secrecy::Kept);
        let parameters = Named::compile(checker, &at.key("token_parameters"), parameters, NAMES, Secrecy::Told);
        Some(Self { url: url?, client_id: client_id?, client, scope: scope?, parameters: parameters? })
    }

    /// A request for a token of these fields, by the system's clock.
    ///
    /// # Errors
    /// Where a value is missing, an address is none, or a key cannot sign.
    pub fn request(
        &self,
        fields: &[(&str, &str)],
        vault: &Vault,
        zone: &TimeZone,
        now: Timestamp,
    ) -> Result<Request, String> {
        let text = vault.fill(&self.url, zone)?;
        let url = address(&text)?;
        let client = vault.fill(&self.client_id, zone)?;
        let extra = vault.with(&Value::Null, zone, |context| self.parameters.fill(context));
        let mut form: BTreeMap<String, String> = extra.map_err(|error| error.to_string())?.into_iter().collect();
        form.extend(fields.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())));
        // Whatever other requests of the system say of themselves.
        let mut headers =
            vec![("accept".to_owned(), "application/json".to_owned()), ("content-type".to_owned(), FORM.to_owned())];
        let mut hidden = Vec::new();
        match &self.client {
            ClientProof::Basic(secret) => {
                // RFC 6749, section 2.3.1: both are written as a form writes them.
                let pair = format!("{}:{}", encoded(&client), encoded(&vault.fill(secret, zone)?));
                let pair = base64::engine::general_purpose::STANDARD.encode(pair);
                headers.push((AUTHORIZATION.to_string(), format!("Basic {pair}")));
                hidden.push(Secret::new(pair));
            }
            proof => {
                match proof {
                    ClientProof::Body(secret) => {
                        form.insert("client_secret".to_owned(), vault.fill(secret, zone)?);
                    }
                    ClientProof::Signed(plan) => {
                        form.insert("client_assertion_type".to_owned(), ASSERTION_TYPE.to_owned());
                        let assertion = plan.make(&client, &text, vault, zone, now)?;
                        hidden.push(Secret::new(assertion.as_str()));
                        form.insert("client_assertion".to_owned(), assertion);
                    }
                    ClientProof::None | ClientProof::Basic(_) => {}
                }
                form.insert("client_id".to_owned(), client);
            }
        }
        let form: Vec<(String, String)> = form.into_iter().collect();
        let body = Some((FORM, form_of(&form)));
        Ok(Request { method: reqwest::Method::POST, url, headers, body, login: true, hidden, trail: None })
    }

    /// What is asked for.
    ///
    /// # Errors
    /// Where its template fails.
    pub fn scope(&self, vault: &Vault, zone: &TimeZone) -> Result<Option<String>, String> {
        let Some(scope) = &self.scope else { return Ok(None) };
        vault.with(&Value::Null, zone, |context| scope.fill(context).map_err(|error| error.to_string()))
    }

    /// Whether what it says depends on the clock: then the system's own counts.
    pub fn is_signed(&self) -> bool {
        matches!(self.client, ClientProof::Signed(_))
    }
}

impl ConsentPlan {
    /// Compiles what a manifest says; nothing with a problem.
    pub fn compile(checker: &mut Checker, at: &KeyPath, written: &AuthorizationCodeFile) -> Option<Self> {
        let tokens = TokenPlan::compile(
            checker,
            at,
            // Everybody sees the client in the address where consent is given.
            (&written.token_url, &written.client_id, Secrecy::Kept),
            (written.client_secret.as_ref(), written.client_auth),
            None,
            written.scope.as_ref(),
            &written.token_parameters,
        );
        let url = checker.template(&at.key("authorize_url"), &written.authorize_url, NAMES, Secrecy::Kept);
        let redirect = checker.optional(&at.key("redirect_url"), written.redirect_url.as_ref(), NAMES, Secrecy::Kept);
        let path = at.key("authorize_parameters");
        let parameters = Named::compile(checker, &path, &written.authorize_parameters, NAMES, Secrecy::Kept);
        Some(Self {
            tokens: tokens?,
            renew_after: written.renew_after.map_or(Duration::ZERO, Duration::from),
            url: url?,
            redirect: redirect?,
            parameters: parameters?,
            pkce: written.pkce.unwrap_or(true),
        })
    }

    /// Where the person is sent back to, where the manifest says it.
    ///
    /// # Errors
    /// Where that is no address.
    pub fn redirect(&self, vault: &Vault, zone: &TimeZone) -> Result<Option<Url>, String> {
        let Some(redirect) = &self.redirect else { return Ok(None) };
        let text =
            vault.with(&Value::Null, zone, |context| redirect.fill(context).map_err(|error| error.to_string()))?;
        text.map(|text| address(&text)).transpose()
    }

    /// Whether the code is bound to who asked for it.
    pub fn pkce(&self) -> bool {
        self.pkce
    }

    /// The address where the person gives consent (RFC 6749, section 4.1.1).
    ///
    /// # Errors
    /// Where a value is missing or an address is none.
    pub fn address(&self, asked: &Asked, vault: &Vault, zone: &TimeZone) -> Result<Url, String> {
        let mut url = address(&vault.fill(&self.url, zone)?)?;
        let mut query = vault
            .with(&Value::Null, zone, |context| self.parameters.fill(context))
            .map_err(|error| error.to_string())?;
        query.push(("response_type".to_owned(), "code".to_owned()));
        query.push(("client_id".to_owned(), vault.fill(&self.tokens.client_id, zone)?));
        query.push(("redirect_uri".to_owned(), asked.redirect.to_string()));
        query.push(("state".to_owned(), asked.state.to_owned()));
        query.extend(self.tokens.scope(vault, zone)?.map(|scope| ("scope".to_owned(), scope)));
        if self.pkce {
            query.push(("code_challenge".to_owned(), asked.challenge.to_owned()));
            query.push(("code_challenge_method".to_owned(), "S256".to_owned()));
        }
        url.query_pairs_mut().extend_pairs(query);
        Ok(url)
    }
}

impl Given {
    /// What an answer gives; nothing where it has no token.
    pub fn of_answer(answer: &Value) -> Option<Self> {
        let text = |name: &str| match member(answer, name)? {
            Value::Text(text) if !text.is_empty() => Some(text.clone()),
            _ => None,
        };
        Some(Self {
            access: text("access_token")?,
            refresh: text("refresh_token"),
            lifetime: member(answer, "expires_in").and_then(seconds),
        })
    }
}

impl Refusal {
    /// The refusal in an answer; nothing where it is none.
    pub fn of_answer(answer: &Value) -> Option<Self> {
        let text = |name: &str| match member(answer, name)? {
            Value::Text(text) if !text.is_empty() => Some(text.clone()),
            _ => None,
        };
        Some(Self { code: text("error")?, words: text("error_description") })
    }
}

/// A length of time in seconds, which some systems write as a text.
pub fn seconds(value: &Value) -> Option<Duration> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::Text(text) => text.trim().to_owned(),
        _ => return None,
    };
    text.split('.').next()?.parse().ok().map(Duration::from_secs)
}

fn member<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    match value {
        Value::Map(map) => map.get(name),
        _ => None,
    }
}
