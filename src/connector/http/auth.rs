//! How requests prove who they come from: credentials of the settings, or what a login gave.
//!
//! What does not live here: when a login is repeated (`client`).

use std::collections::BTreeMap;
use std::fmt;

use jiff::tz::TimeZone;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};

use super::manifest::{AuthFile, RequestFile};
use super::request::{Request, RequestPlan};
use super::tree::Named;
use crate::config::{KeyPath, Secret};
use crate::connector::check::{Checker, NAMES, Secrecy};
use crate::expression::{Context, Expression, Fields, Template};
use crate::record::{Map, Value};

/// The variables of what a login's answer is made into.
const ANSWERED: &[&str] = &["settings", "answer"];

/// What is shorter in a header is no credential.
const SHORTEST: usize = 6;

/// The settings of a connection with its secrets; nothing prints them.
pub struct Vault {
    settings: Value,
    secrets: Vec<Secret>,
}

/// Headers that prove who a request comes from; nothing prints them.
#[derive(Clone, Default)]
pub struct Proof(pub Vec<(HeaderName, HeaderValue)>);

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secrets]")
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secrets]")
    }
}

impl Vault {
    /// The settings, secrets among them, and the secrets by themselves.
    pub fn new(settings: Value, secrets: Vec<Secret>) -> Self {
        Self { settings, secrets }
    }

    /// Hides the secrets in a text that may hold them, for messages.
    pub fn mask(&self, text: &str) -> String {
        self.secrets.iter().map(Secret::reveal).fold(text.to_owned(), |text, secret| hide(&text, secret))
    }
}

impl Proof {
    /// Hides what the headers hold in a text that may hold it too, for messages.
    pub fn mask(&self, text: &str) -> String {
        let texts = self.0.iter().filter_map(|(_, value)| value.to_str().ok());
        texts.fold(text.to_owned(), |text, secret| {
            // Systems give back the credentials with or without their scheme.
            let bare = secret.rsplit(' ').next().unwrap_or(secret);
            if bare.len() < SHORTEST { text } else { hide(&hide(&text, secret), bare) }
        })
    }
}

/// Hides a secret in a text, as it is and as forms, addresses and JSON write it.
fn hide(text: &str, secret: &str) -> String {
    let (form, json) = (super::request::encoded(secret), serde_json::Value::from(secret).to_string());
    let forms = [secret, &form, json.trim_matches('"')];
    forms.iter().filter(|form| !form.is_empty()).fold(text.to_owned(), |text, form| text.replace(form, "[secret]"))
}

/// How requests prove who they come from.
#[derive(Debug, Default)]
pub enum AuthPlan {
    /// They do not.
    #[default]
    None,
    /// HTTP Basic (RFC 7617).
    Basic { user: Template, password: Template },
    /// A token (RFC 6750).
    Bearer(Template),
    /// Headers of their own.
    Headers(Named),
    /// A login, and what its answer is made into.
    Login(Box<Login>),
}

/// A login.
#[derive(Debug)]
pub struct Login {
    request: RequestPlan,
    /// Where it is sent, if not behind the base address.
    url: Option<Template>,
    accepted: Option<Expression>,
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
                let at = at.key("client_credentials");
                let url = checker.template(&at.key("token_url"), &client.token_url, NAMES, Secrecy::Kept);
                let mut form = BTreeMap::from([
                    ("grant_type".to_owned(), "client_credentials".to_owned()),
                    ("client_id".to_owned(), client.client_id.clone()),
                    ("client_secret".to_owned(), client.client_secret.clone()),
                ]);
                form.extend(client.scope.clone().map(|scope| ("scope".to_owned(), scope)));
                let request = RequestFile {
                    method: None,
                    path: None,
                    query: BTreeMap::default(),
                    headers: BTreeMap::default(),
                    body: None,
                    form: Some(form),
                };
                let request = RequestPlan::compile(checker, &at, &request, NAMES, Secrecy::Told);
                let bearer = BTreeMap::from([("Authorization".to_owned(), "Bearer ${answer.access_token}".to_owned())]);
                let headers = Named::compile(checker, &at, &bearer, ANSWERED, Secrecy::Told);
                Self::Login(Box::new(Login { request: request?, url: Some(url?), accepted: None, headers: headers? }))
            }
            Some(AuthFile::Session(session)) => {
                let at = at.key("session");
                let request = RequestPlan::compile(checker, &at.key("request"), &session.request, NAMES, Secrecy::Told);
                let accepted = match &session.accepted {
                    Some(accepted) => {
                        Some(checker.expression(&at.key("accepted"), accepted, Fields::Known(&[]), ANSWERED)?)
                    }
                    None => None,
                };
                let headers = Named::compile(checker, &at.key("headers"), &session.headers, ANSWERED, Secrecy::Told);
                Self::Login(Box::new(Login { request: request?, url: None, accepted, headers: headers? }))
            }
        })
    }

    /// The proof that needs no login.
    ///
    /// # Errors
    /// Where a value is missing.
    pub fn proof(&self, vault: &Vault, zone: &TimeZone) -> Result<Proof, String> {
        let names = [("settings", &vault.settings)];
        let record = Map::default();
        let context = Context { record: (&record).into(), names: &names, zone };
        let filled = |template: &Template| {
            let text = template.fill(&context).map_err(|error| error.to_string())?;
            text.ok_or_else(|| format!("there is no value for `{}`", template.source()))
        };
        match self {
            Self::None | Self::Login(_) => Ok(Proof::default()),
            Self::Basic { user, password } => {
                use base64::Engine as _;
                let pair = format!("{}:{}", filled(user)?, filled(password)?);
                let text = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
                proof(vec![(AUTHORIZATION.to_string(), text)])
            }
            Self::Bearer(token) => proof(vec![(AUTHORIZATION.to_string(), format!("Bearer {}", filled(token)?))]),
            Self::Headers(headers) => proof(headers.fill(&context).map_err(|error| error.to_string())?),
        }
    }

    /// The login, where there is one.
    pub fn login(&self) -> Option<&Login> {
        match self {
            Self::Login(login) => Some(login),
            _ => None,
        }
    }
}

impl Login {
    /// The request to be sent.
    ///
    /// # Errors
    /// Where a value is missing.
    pub fn request(&self, base: &reqwest::Url, vault: &Vault, zone: &TimeZone) -> Result<Request, String> {
        let names = [("settings", &vault.settings)];
        let record = Map::default();
        let context = Context { record: (&record).into(), names: &names, zone };
        let base = match &self.url {
            None => base.clone(),
            Some(url) => {
                let text = url.fill(&context).map_err(|error| error.to_string())?.unwrap_or_default();
                super::client::address(&text)?
            }
        };
        Ok(Request { login: true, ..self.request.fill(&base, &context)? })
    }

    /// What its answer is made into.
    ///
    /// # Errors
    /// Where the answer says that it did not work, or lacks what the headers need.
    pub fn proof(&self, answer: &Value, vault: &Vault, zone: &TimeZone) -> Result<Proof, String> {
        let names = [("settings", &vault.settings), ("answer", answer)];
        let record = Map::default();
        let context = Context { record: (&record).into(), names: &names, zone };
        if let Some(accepted) = &self.accepted
            && !accepted.condition(&context).map_err(|error| error.to_string())?
        {
            return Err("the login is refused; look at user, password and rights".to_owned());
        }
        // The answer may hold what nobody may see, so only the template is named.
        let headers = self.headers.fill(&context).ok().filter(|headers| headers.len() == self.headers.len());
        proof(headers.ok_or("the login's answer lacks what the headers of the requests after it need")?)
    }
}

fn proof(headers: Vec<(String, String)>) -> Result<Proof, String> {
    let mut made = Vec::with_capacity(headers.len());
    for (name, text) in headers {
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("'{name}' is no name of a header"))?;
        let mut value = HeaderValue::from_str(&text)
            .map_err(|_| format!("what goes into the header {name} has characters that none may have"))?;
        value.set_sensitive(true);
        made.push((header, value));
    }
    Ok(Proof(made))
}
