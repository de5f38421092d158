//! Requests: compiled from a manifest, and filled in.
//!
//! What does not live here: sending them (`client`).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;

use super::answer::short;
use super::manifest::{Method, RequestFile};
use super::tree::{Named, Tree};
use crate::config::{KeyPath, Secret};
use crate::connector::check::{Checker, Secrecy};
use crate::connector::trail::Trail;
use crate::expression::{Context, Template};
use crate::record::write_value;

/// What stands in an address as it is (RFC 3986, unreserved characters).
const ENCODED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What stands in the name of a parameter as it is: `$` begins those of `OData`.
const NAMES: AsciiSet = ENCODED.remove(b'$');

/// A request of a manifest.
#[derive(Debug)]
pub struct RequestPlan {
    method: Method,
    path: Option<Template>,
    query: Named,
    headers: Named,
    body: Option<Body>,
}

#[derive(Debug)]
enum Body {
    Json(Tree),
    Form(Named),
}

/// A request with its values filled in. Without its headers and its body, which may hold secrets, it is what messages show.
#[derive(Clone)]
pub struct Request {
    /// The method.
    pub method: reqwest::Method,
    /// The address.
    pub url: Url,
    /// Headers, by name.
    pub headers: Vec<(String, String)>,
    /// The body, with its media type.
    pub body: Option<(&'static str, Vec<u8>)>,
    /// Whether it is a login, whose answer gives what proves who requests come from: little of it is recorded.
    pub login: bool,
    /// What it carries that no message may show, besides the secrets of the settings.
    pub hidden: Vec<Secret>,
    /// Where it is noted, with what it is answered.
    pub trail: Option<Trail>,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

impl std::fmt::Display for Request {
    /// Method and address, without the query: it can be long, and tells little.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}{}", self.method, self.url.origin().ascii_serialization(), self.url.path())
    }
}

impl RequestPlan {
    /// Compiles a request; nothing with a problem. The first of the names are the settings.
    pub fn compile(
        checker: &mut Checker,
        at: &KeyPath,
        file: &RequestFile,
        names: &[&str],
        secrecy: Secrecy,
    ) -> Option<Self> {
        let path = match &file.path {
            // A path is seen by everybody, whatever else the request carries.
            Some(path) => Some(checker.template(&at.key("path"), path, names, Secrecy::Kept)?),
            None => None,
        };
        let query = Named::compile(checker, &at.key("query"), &file.query, names, Secrecy::Kept);
        let headers = Named::compile(checker, &at.key("headers"), &file.headers, names, secrecy);
        let body = match (&file.body, &file.form) {
            (Some(_), Some(_)) => {
                checker.refuse(&at.key("form"), "a request has one body", Some("leave out `body` or `form`"));
                return None;
            }
            (Some(body), None) => Some(Body::Json(Tree::compile(checker, &at.key("body"), body, names, secrecy)?)),
            (None, Some(form)) => Some(Body::Form(Named::compile(checker, &at.key("form"), form, names, secrecy)?)),
            (None, None) => None,
        };
        let method = file.method.unwrap_or(if body.is_some() { Method::Post } else { Method::Get });
        if body.is_some() && method == Method::Get {
            checker.refuse(&at.key("method"), "a request that gets something has no body", Some("use POST"));
            return None;
        }
        Some(Self { method, path, query: query?, headers: headers?, body })
    }

    /// Whether a template of it uses the variable at `index` of the names.
    pub fn uses(&self, index: usize) -> bool {
        let body = match &self.body {
            None => false,
            Some(Body::Json(tree)) => tree.uses(index),
            Some(Body::Form(form)) => form.uses(index),
        };
        body || self.path.as_ref().is_some_and(|path| path.uses(index))
            || self.query.uses(index)
            || self.headers.uses(index)
    }

    /// The request with its values filled in, behind `base`.
    ///
    /// # Errors
    /// Where a value is missing or an expression fails.
    pub fn fill(&self, base: &Url, context: &Context) -> Result<Request, String> {
        let mut url = base.clone();
        if let Some(path) = &self.path {
            let encode = |text: &str, out: &mut String| out.extend(utf8_percent_encode(text, &ENCODED));
            let filled = path.fill_as(context, encode).map_err(|error| error.to_string())?;
            url = join(base, &filled.unwrap_or_default())?;
        }
        let query = self.query.fill(context).map_err(|error| error.to_string())?;
        if !query.is_empty() {
            let mut text = url.query().map(str::to_owned).unwrap_or_default();
            for (name, value) in query {
                if !text.is_empty() {
                    text.push('&');
                }
                text.extend(utf8_percent_encode(&name, &NAMES));
                text.push('=');
                text.extend(utf8_percent_encode(&value, &ENCODED));
            }
            url.set_query(Some(&text));
        }
        let body = match &self.body {
            None => None,
            Some(Body::Json(tree)) => {
                let mut bytes = Vec::new();
                write_value(&tree.fill(context).map_err(|error| error.to_string())?, &mut bytes);
                Some(("application/json", bytes))
            }
            Some(Body::Form(form)) => {
                let fields = form.fill(context).map_err(|error| error.to_string())?;
                Some(("application/x-www-form-urlencoded", form_of(&fields)))
            }
        };
        let method = match self.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Patch => reqwest::Method::PATCH,
            Method::Delete => reqwest::Method::DELETE,
        };
        let headers = self.headers.fill(context).map_err(|error| error.to_string())?;
        Ok(Request { method, url, headers, body, login: false, hidden: Vec::new(), trail: None })
    }
}

impl Request {
    /// Hides what it carries in a text that may hold it, for messages.
    pub fn mask(&self, text: &str) -> String {
        self.hidden.iter().fold(text.to_owned(), |text, secret| hide(&text, secret.reveal()))
    }

    /// The same request for the address that a page gives for the next one, absolute or not.
    ///
    /// # Errors
    /// Where it is no address, or leaves the origin that the connection is configured for.
    pub fn next(&self, link: &str) -> Result<Self, String> {
        let url =
            self.url.join(link).map_err(|error| format!("the next link '{}' is no address: {error}", short(link)))?;
        if url.origin() != self.url.origin() {
            return Err(format!(
                "the next link leads from {} to {}, where the connection's credentials do not belong",
                self.url.origin().ascii_serialization(),
                url.origin().ascii_serialization()
            ));
        }
        Ok(Self { url, ..self.clone() })
    }
}

/// An address behind the base's path, whether or not slashes stand between them.
fn join(base: &Url, path: &str) -> Result<Url, String> {
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    let mut url = base.clone();
    let joined = format!("{}/{}", base.path().trim_end_matches('/'), path.trim_start_matches('/'));
    if joined.split('/').any(|step| matches!(step, "." | "..")) {
        return Err(format!("the path '{path}' leads out of {base}"));
    }
    url.set_path(&joined);
    url.set_query(query);
    Ok(url)
}

/// A text as addresses and forms write it.
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, &ENCODED).to_string()
}

/// A form's text.
pub fn form_of(fields: &[(String, String)]) -> Vec<u8> {
    let pairs = fields.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
    pairs.collect::<Vec<_>>().join("&").into_bytes()
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

/// Hides a secret in a text, as it is and as forms, addresses and JSON write it.
pub fn hide(text: &str, secret: &str) -> String {
    let (form, json) = (encoded(secret), serde_json::Value::from(secret).to_string());
    let forms = [secret, &form, json.trim_matches('"')];
    forms.iter().filter(|form| !form.is_empty()).fold(text.to_owned(), |text, form| text.replace(form, "[secret]"))
}
