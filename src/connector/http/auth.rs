//! How requests prove who they come from: credentials of the settings, or what a login or a person's consent gave.
//!
//! What does not live here: when a login is made and repeated (`login`, `grant`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use reqwest::Url;
use reqwest::header::AUTHORIZATION;

use super::manifest::{AuthFile, ChoiceFile, SessionFile};
use super::oauth::{ConsentPlan, Given, TokenPlan, seconds};
use super::request::{Request, RequestPlan};
use super::tree::Named;
use super::vault::{Proof, Vault};
use crate::config::{KeyPath, suggest};
use crate::connector::check::{Checker, NAMES, SETTINGS, Secrecy};
use crate::expression::{Context, Expression, Fields, Template};
use crate::record::Value;

/// The variables of what a login's answer is made into.
const ANSWERED: &[&str] = &["settings", "answer"];

/// How requests prove who they come from.
#[derive(Debug)]
pub enum AuthPlan {
    /// They do not.
    None,
    /// HTTP Basic (RFC 7617).
    Basic {
        /// The user.
        user: Template,
        /// The password.
        password: Template,
    },
    /// A token (RFC 6750).
    Bearer(Template),
    /// Headers of their own.
    Headers(Named),
    /// A login, and what its answer is made into.
    Login(Login),
    /// A person's consent.
    Consent(Box<ConsentPlan>),
    /// One of several, as a setting says.
    Choice {
        /// What says which.
        by: Template,
        /// All of them, by what the setting says.
        of: BTreeMap<String, Arc<AuthPlan>>,
    },
}

/// A login.
#[derive(Debug)]
pub enum Login {
    /// A request of the manifest's own.
    Session(Box<SessionPlan>),
    /// OAuth 2.0 with the client's own credentials.
    Client(Box<TokenPlan>),
}

/// A login by a request of the manifest's own.
#[derive(Debug)]
pub struct SessionPlan {
    request: RequestPlan,
    accepted: Option<Expression>,
    expires_in: Option<Expression>,
    headers: Named,
}

impl AuthPlan {
    /// Compiles what a manifest says; nothing with a problem.
    pub fn compile(checker: &mut Checker, at: &KeyPath, auth: Option<&AuthFile>) -> Option<Self> {
        let told = |checker: &mut Checker, at: &KeyPath, text: &str| checker.template(at, text, NAMES, Secrecy::Told);
        Some(match auth {
            None => Self::None,
            Some(AuthFile::Basic(basic)) => {
                let at = at.key("basic");
                let user = told(checker, &at.key("user"), &basic.user);
                let password = told(checker, &at.key("password"), &basic.password);
                Self::Basic { user: user?, password: password? }
            }
            Some(AuthFile::Bearer(token)) => Self::Bearer(told(checker, &at.key("bearer"), token)?),
            Some(AuthFile::Headers(headers)) => {
                Self::Headers(Named::compile(checker, &at.key("headers"), headers, NAMES, Secrecy::Told)?)
            }
            Some(AuthFile::ClientCredentials(client)) => {
                let plan = TokenPlan::of_client(checker, &at.key("client_credentials"), client)?;
                Self::Login(Login::Client(Box::new(plan)))
            }
            Some(AuthFile::AuthorizationCode(consent)) => {
                let plan = ConsentPlan::compile(checker, &at.key("authorization_code"), consent)?;
                Self::Consent(Box::new(plan))
            }
            Some(AuthFile::Session(session)) => {
                let plan = SessionPlan::compile(checker, &at.key("session"), session)?;
                Self::Login(Login::Session(Box::new(plan)))
            }
            Some(AuthFile::Choice(choice)) => Self::choice(checker, &at.key("choice"), choice)?,
        })
    }

    fn choice(checker: &mut Checker, at: &KeyPath, choice: &ChoiceFile) -> Option<Self> {
        let by = checker.template(&at.key("by"), &choice.by, NAMES, Secrecy::Kept);
        // What a setting can say and what there is must be the same.
        for member in by.iter().flat_map(|by| by.members(SETTINGS)) {
            let choices = checker.settings.get(&member.name).and_then(|setting| setting.choices.as_ref());
            for choice in choices.into_iter().flatten().filter(|name| !choice.of.contains_key(*name)) {
                let message = format!("the setting `{}` can say '{choice}', which is none of these", member.name);
                checker.refuse(&at.key("of"), message, None);
            }
        }
        let mut of = BTreeMap::new();
        for (name, auth) in &choice.of {
            let at = at.key("of").key(name);
            if matches!(auth, AuthFile::Choice(_)) {
                checker.refuse(&at, "there is one choice only", Some("list all of them in the outer one"));
            } else if let Some(plan) = Self::compile(checker, &at, Some(auth)) {
                of.insert(name.clone(), Arc::new(plan));
            }
        }
        (of.len() == choice.of.len()).then_some(())?;
        Some(Self::Choice { by: by?, of })
    }

    /// The one that the settings choose, where there is a choice.
    ///
    /// # Errors
    /// Where they choose none of them.
    pub fn chosen(self: &Arc<Self>, vault: &Vault, zone: &TimeZone) -> Result<Arc<Self>, String> {
        let Self::Choice { by, of } = &**self else { return Ok(Arc::clone(self)) };
        let name = vault.fill(by, zone)?;
        of.get(&name).cloned().ok_or_else(|| {
            let names = suggest::one_of(of.keys().map(String::as_str));
            format!("'{name}' is no way to log in; there are {names}")
        })
    }

    /// The proof that needs no login.
    ///
    /// # Errors
    /// Where a value is missing.
    pub fn proof(&self, vault: &Vault, zone: &TimeZone) -> Result<Proof, String> {
        match self {
            Self::None | Self::Login(_) | Self::Consent(_) | Self::Choice { .. } => Ok(Proof::default()),
            Self::Basic { user, password } => {
                let pair = format!("{}:{}", vault.fill(user, zone)?, vault.fill(password, zone)?);
                let text = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
                Proof::of(vec![(AUTHORIZATION.to_string(), text)])
            }
            Self::Bearer(token) => bearer(&vault.fill(token, zone)?),
            Self::Headers(headers) => {
                let filled = vault.with(&Value::Null, zone, |context| headers.fill(context));
                Proof::of(filled.map_err(|error| error.to_string())?)
            }
        }
    }

    /// Whether all that requests and logins need of the settings is there.
    ///
    /// # Errors
    /// What is missing.
    pub fn check(&self, base: &Url, vault: &Vault, zone: &TimeZone) -> Result<(), String> {
        match self {
            Self::Login(login) => login.request(base, vault, zone, Timestamp::now()).map(drop),
            Self::Consent(consent) => {
                consent.redirect(vault, zone)?;
                consent.tokens.request(&[], vault, zone, Timestamp::now()).map(drop)
            }
            _ => self.proof(vault, zone).map(drop),
        }
    }

    /// The login, where there is one.
    pub fn login(&self) -> Option<&Login> {
        match self {
            Self::Login(login) => Some(login),
            _ => None,
        }
    }

    /// What a person's consent is asked for with, where that is the way.
    pub fn consent(&self) -> Option<&ConsentPlan> {
        match self {
            Self::Consent(consent) => Some(consent),
            _ => None,
        }
    }

    /// Whether a request that is refused may be accepted after another login.
    pub fn is_renewed(&self) -> bool {
        matches!(self, Self::Login(_) | Self::Consent(_))
    }
}

impl SessionPlan {
    fn compile(checker: &mut Checker, at: &KeyPath, session: &SessionFile) -> Option<Self> {
        let request = RequestPlan::compile(checker, &at.key("request"), &session.request, NAMES, Secrecy::Told);
        let mut expression = |name: &str, source: Option<&String>| match source {
            Some(source) => checker.expression(&at.key(name), source, Fields::Known(&[]), ANSWERED).map(Some),
            None => Some(None),
        };
        let accepted = expression("accepted", session.accepted.as_ref());
        let expires_in = expression("expires_in", session.expires_in.as_ref());
        let headers = Named::compile(checker, &at.key("headers"), &session.headers, ANSWERED, Secrecy::Told);
        Some(Self { request: request?, accepted: accepted?, expires_in: expires_in?, headers: headers? })
    }

    /// What the login's answer is made into, and how long that is valid where the answer says it.
    fn proof(&self, context: &Context) -> Result<(Proof, Option<Duration>), String> {
        if let Some(accepted) = &self.accepted
            && !accepted.condition(context).map_err(|error| error.to_string())?
        {
            return Err("the login is refused; look at user, password and rights".to_owned());
        }
        // The answer may hold what nobody may see, so only the template is named.
        let headers = self.headers.fill(context).ok().filter(|headers| headers.len() == self.headers.len());
        let headers = headers.ok_or("the login's answer lacks what the headers of the requests after it need")?;
        let expires_in = self.expires_in.as_ref().and_then(|told| told.evaluate(context).ok());
        Ok((Proof::of(headers)?, expires_in.and_then(|told| seconds(&told.into_value()))))
    }
}

impl Login {
    /// The request to be sent, by the system's clock.
    ///
    /// # Errors
    /// Where a value is missing.
    pub fn request(&self, base: &Url, vault: &Vault, zone: &TimeZone, now: Timestamp) -> Result<Request, String> {
        match self {
            Self::Session(session) => {
                let request = vault.with(&Value::Null, zone, |context| session.request.fill(base, context))?;
                Ok(Request { login: true, ..request })
            }
            Self::Client(tokens) => {
                let scope = tokens.scope(vault, zone)?;
                let mut fields = vec![("grant_type", "client_credentials")];
                fields.extend(scope.as_deref().map(|scope| ("scope", scope)));
                tokens.request(&fields, vault, zone, now)
            }
        }
    }

    /// What its answer is made into, and how long that is valid where the answer says it.
    ///
    /// # Errors
    /// Where the answer says that it did not work, or lacks what the requests after it need.
    pub fn proof(&self, answer: &Value, vault: &Vault, zone: &TimeZone) -> Result<(Proof, Option<Duration>), String> {
        match self {
            Self::Session(session) => vault.with(answer, zone, |context| session.proof(context)),
            Self::Client(_) => {
                let given =
                    Given::of_answer(answer).ok_or("the answer has no `access_token`; look at the token URL")?;
                Ok((bearer(&given.access)?, given.lifetime))
            }
        }
    }

    /// Whether what it sends depends on the clock.
    pub fn is_signed(&self) -> bool {
        matches!(self, Self::Client(tokens) if tokens.is_signed())
    }
}

/// The proof of a token.
///
/// # Errors
/// Where it has characters that no header may have.
pub fn bearer(token: &str) -> Result<Proof, String> {
    Proof::of(vec![(AUTHORIZATION.to_string(), format!("Bearer {token}"))])
}
