//! The token against forged requests that some systems ask for before they take a request that writes.
//!
//! What does not live here: when it is fetched and sent (`client`).

use jiff::tz::TimeZone;
use reqwest::header::{HeaderName, HeaderValue};

use super::answer::Answer;
use super::manifest::CsrfFile;
use super::request::{Request, RequestPlan};
use super::vault::Proof;
use crate::config::KeyPath;
use crate::connector::check::{Checker, NAMES, Secrecy};
use crate::expression::Context;
use crate::record::{Map, Value};

/// The header, where the manifest names none.
const HEADER: &str = "x-csrf-token";

/// What the header says in a request for a token.
const FETCH: &str = "Fetch";

/// What the header says in an answer that refuses a request for want of a token.
const REQUIRED: &str = "required";

/// How the token is fetched.
#[derive(Debug)]
pub struct CsrfPlan {
    request: RequestPlan,
    header: HeaderName,
}

impl CsrfPlan {
    /// Compiles what a manifest says; nothing with a problem.
    pub fn compile(checker: &mut Checker, at: &KeyPath, written: &CsrfFile) -> Option<Self> {
        let request = RequestPlan::compile(checker, &at.key("request"), &written.request, NAMES, Secrecy::Kept);
        let name = written.header.as_deref().unwrap_or(HEADER);
        let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
            checker.refuse(&at.key("header"), format!("'{name}' is no name of a header"), None);
            return None;
        };
        Some(Self { request: request?, header })
    }

    /// The request for a token.
    ///
    /// # Errors
    /// Where a value is missing.
    pub fn request(&self, base: &reqwest::Url, settings: &Value, zone: &TimeZone) -> Result<Request, String> {
        let names = [("settings", settings)];
        let record = Map::default();
        let context = Context { record: (&record).into(), names: &names, zone };
        let mut request = self.request.fill(base, &context)?;
        request.headers.push((self.header.to_string(), FETCH.to_owned()));
        Ok(request)
    }

    /// The token of an answer, as the header of the requests after it.
    pub fn token(&self, answer: &Answer) -> Option<Proof> {
        let token = answer.headers.get(&self.header)?;
        if token.is_empty() || is_required(token) {
            return None;
        }
        let mut token = token.clone();
        token.set_sensitive(true);
        Some(Proof(vec![(self.header.clone(), token)]))
    }

    /// Whether an answer refuses a request for want of a token that is valid. It was not executed then.
    pub fn refuses(&self, answer: &Answer) -> bool {
        answer.status.as_u16() == 403 && answer.headers.get(&self.header).is_some_and(is_required)
    }
}

fn is_required(value: &HeaderValue) -> bool {
    value.as_bytes().eq_ignore_ascii_case(REQUIRED.as_bytes())
}
