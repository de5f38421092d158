//! Hiding secrets in what is recorded: those that are known, in the forms in which systems write them, and what has the
//! name of a secret.

use std::sync::{LazyLock, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jiff::civil::DateTime;
use regex_lite::Regex;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, SET_COOKIE};
use serde_json::Value as Json;

use crate::connector::http::request::encoded;

/// What stands in the place of a secret.
pub const HIDDEN: &str = "[secret]";

/// What is learned from exchanges and is shorter is no secret, but some word.
const SHORTEST: usize = 12;

/// A shorter piece of base64 would be found where there is none.
const SHORTEST_CORE: usize = 6;

/// Names of secrets, in small letters without `-` and `_`.
const NAMES: &[&str] = &[
    "password",
    "passwd",
    "pwd",
    "secret",
    "clientsecret",
    "accesstoken",
    "refreshtoken",
    "idtoken",
    "authtoken",
    "csrftoken",
    "xcsrftoken",
    "xsrftoken",
    "apikey",
    "xapikey",
    "sessionid",
    "jsessionid",
    "phpsessid",
    "authorization",
    "privatekey",
];

/// Names of what is one in a login.
const LOGIN_NAMES: &[&str] = &[
    "token",
    "code",
    "assertion",
    "clientassertion",
    "codeverifier",
    "state",
    "key",
    "session",
    "ticket",
    "signature",
];

/// Parts of the names of headers that hold secrets.
const HEADERS: &[&str] =
    &["authorization", "cookie", "token", "csrf", "xsrf", "secret", "password", "api-key", "apikey", "session"];

/// A secret within a text, such as an address in an answer.
static NAMED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let names =
        "password|passwd|pwd|client_?secret|access_?token|refresh_?token|id_?token|auth_?token|api_?key|j?sessionid";
    Regex::new(&format!("(?i)\\b({names})=([^&;\"'<>\\s]+)")).ok()
});

/// Hides what it knows.
#[derive(Default)]
pub struct Mask(RwLock<Known>);

#[derive(Clone, Default)]
struct Known {
    secrets: Vec<String>,
    /// How they are written; the longest first.
    forms: Vec<String>,
    /// What is the same in every base64 that they are in.
    cores: Vec<String>,
}

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Mask {
    /// One of its own that knows the same.
    pub fn copied(&self) -> Self {
        Self(RwLock::new(self.0.read().unwrap_or_else(PoisonError::into_inner).clone()))
    }

    /// Hides this from now on.
    pub fn learn(&self, secret: &str) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if secret.is_empty() || known.secrets.iter().any(|other| other == secret) {
            return;
        }
        known.secrets.push(secret.to_owned());
        known.forms.extend(forms(secret));
        known.cores.extend(cores(secret.as_bytes()));
        let Known { forms, cores, .. } = &mut *known;
        for texts in [forms, cores] {
            texts.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
            texts.dedup();
        }
    }

    /// Hides what a header holds that proves who a request comes from.
    pub fn learn_proof(&self, value: &HeaderValue) {
        let Ok(text) = value.to_str() else { return };
        let bare = text.rsplit(' ').next().unwrap_or(text);
        if bare.len() < SHORTEST_CORE {
            return;
        }
        self.learn(bare);
        // A pair or more of user and secret.
        if let Some(decoded) = STANDARD.decode(bare).ok().and_then(|bytes| String::from_utf8(bytes).ok())
            && let Some((_, last)) = decoded.rsplit_once(':')
            && last.len() >= SHORTEST
        {
            self.learn(last);
        }
    }

    /// Hides from now on what the headers of an answer hand out.
    pub fn learn_answer(&self, headers: &HeaderMap) {
        for (name, value) in headers {
            let Ok(text) = value.to_str() else { continue };
            let given = if name == SET_COOKIE {
                text.split(';').next().and_then(|pair| pair.split_once('=')).map(|(_, value)| value.trim_matches('"'))
            } else {
                Some(text).filter(|_| hides_header(name))
            };
            if let Some(given) = given.filter(|given| given.len() >= SHORTEST) {
                self.learn(given);
            }
        }
    }

    /// A text without secrets.
    pub fn text(&self, text: &str) -> String {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let hidden = hide(text, &known.forms, &known.cores);
        match &*NAMED {
            Some(named) if named.is_match(&hidden) => named.replace_all(&hidden, format!("$1={HIDDEN}")).into_owned(),
            _ => hidden,
        }
    }

    /// A header without secrets.
    pub fn header(&self, name: &HeaderName, value: &HeaderValue) -> HeaderValue {
        let hidden = || HeaderValue::from_static(HIDDEN);
        let Ok(text) = value.to_str() else { return hidden() };
        // What is no token says whether one is wanted, or counts.
        let says = ["fetch", "required"].contains(&text.to_lowercase().as_str())
            || (text.len() <= 6 && text.bytes().all(|byte| byte.is_ascii_digit()));
        if hides_header(name) && !says {
            return hidden();
        }
        HeaderValue::from_str(&self.text(text)).unwrap_or_else(|_| hidden())
    }

    /// An address without secrets.
    pub fn address(&self, url: &Url, login: bool) -> Url {
        let mut masked = url.clone();
        masked.set_path(&self.text(url.path()));
        masked.set_fragment(None);
        masked.set_query(url.query().map(|query| self.pairs(query, login)).as_deref());
        masked
    }

    /// A query or a form without secrets.
    fn pairs(&self, text: &str, login: bool) -> String {
        let pair = |pair: &str| {
            let Some((name, value)) = pair.split_once('=') else { return self.text(pair) };
            let decoded = decoded(value);
            if hides(&self::decoded(name), login) || self.text(&decoded) != decoded {
                return format!("{name}={}", encoded(&self.named(name, &decoded, login)));
            }
            self.text(pair)
        };
        text.split('&').map(pair).collect::<Vec<_>>().join("&")
    }

    fn named(&self, name: &str, value: &str, login: bool) -> String {
        if hides(&decoded(name), login) { HIDDEN.to_owned() } else { self.text(value) }
    }

    /// A body without secrets; of a login's answer, which hands some out, without any word that may be one.
    pub fn body(&self, bytes: &[u8], media: &str, login: Option<Side>) -> Vec<u8> {
        let Ok(text) = std::str::from_utf8(bytes) else { return self.bytes(bytes) };
        if media.starts_with("application/x-www-form-urlencoded") {
            return self.pairs(text, login.is_some()).into_bytes();
        }
        let bare = text.trim_start_matches('\u{feff}');
        let Ok(mut json) = serde_json::from_str::<Json>(bare) else {
            return if login == Some(Side::Given) { HIDDEN.into() } else { self.text(text).into_bytes() };
        };
        let before = json.clone();
        self.tree(&mut json, None, login);
        if json == before {
            // As it is, but for what is not seen in its values.
            return self.text(text).into_bytes();
        }
        self.text(&json.to_string()).into_bytes()
    }

    fn tree(&self, json: &mut Json, name: Option<&str>, login: Option<Side>) {
        let named = name.is_some_and(|name| hides(name, login.is_some()));
        match json {
            Json::Null | Json::Bool(_) => {}
            Json::String(text) => {
                if named && !text.is_empty() {
                    HIDDEN.clone_into(text);
                } else {
                    let masked = self.text(text);
                    *text = if login == Some(Side::Given) { self.words(&masked) } else { masked };
                }
            }
            Json::Number(number) => {
                let text = number.to_string();
                if named || self.text(&text) != text || (login == Some(Side::Given) && text.len() >= SHORTEST) {
                    *json = Json::from(HIDDEN);
                }
            }
            Json::Array(items) => items.iter_mut().for_each(|item| self.tree(item, name, login)),
            Json::Object(members) => {
                *members = std::mem::take(members)
                    .into_iter()
                    .map(|(name, mut value)| {
                        self.tree(&mut value, Some(&name), login);
                        (self.text(&name), value)
                    })
                    .collect();
            }
        }
    }

    /// What a login gave, without words that may be a token. What looks like one is hidden elsewhere too.
    fn words(&self, text: &str) -> String {
        let single = !text.trim().contains(char::is_whitespace);
        let hidden = |word: &str| {
            if is_known_form(word) {
                return word.to_owned();
            }
            let digits = word.contains(|c: char| c.is_ascii_digit());
            if word.len() >= SHORTEST && digits && word != HIDDEN {
                self.learn(word);
            }
            let secret = (single && word.len() > 3) || digits || word.len() >= 16;
            if secret { HIDDEN.to_owned() } else { word.to_owned() }
        };
        text.split(' ').map(hidden).collect::<Vec<_>>().join(" ")
    }

    /// Bytes that are no text in UTF-8, seen as characters of one byte each.
    fn bytes(&self, bytes: &[u8]) -> Vec<u8> {
        let seen = |bytes: &[u8]| bytes.iter().map(|&byte| char::from(byte)).collect::<String>();
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let forms: Vec<String> = known
            .forms
            .iter()
            .flat_map(|form| {
                let units: Vec<u16> = form.encode_utf16().collect();
                let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
                let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
                let latin: Vec<u8> = form.chars().filter_map(|c| u8::try_from(c).ok()).collect();
                [seen(form.as_bytes()), seen(&latin), seen(&little), seen(&big)]
            })
            .filter(|form| !form.is_empty())
            .collect();
        hide(&seen(bytes), &forms, &known.cores).chars().filter_map(|c| u8::try_from(c).ok()).collect()
    }
}

/// Which side of a login a body is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// What is sent.
    Asked,
    /// What comes back.
    Given,
}

/// Whether a word is a time or an address, which are no tokens: they stand in records too.
fn is_known_form(word: &str) -> bool {
    let address = (word.starts_with("http://") || word.starts_with("https://")) && !word.contains(['?', '#']);
    address || word.parse::<Timestamp>().is_ok() || word.parse::<DateTime>().is_ok()
}

/// Whether something of this name is a secret.
fn hides(name: &str, login: bool) -> bool {
    let plain: String = name.chars().filter(|c| !matches!(c, '-' | '_')).flat_map(char::to_lowercase).collect();
    NAMES.contains(&&*plain) || (login && LOGIN_NAMES.contains(&&*plain))
}

fn hides_header(name: &HeaderName) -> bool {
    let name = name.as_str();
    // It asks for a proof, and holds none.
    name != "www-authenticate" && HEADERS.iter().any(|part| name.contains(part))
}

/// A text of an address or a form as it is meant.
pub fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

/// How a secret is written in texts, JSON, XML, addresses and forms.
fn forms(secret: &str) -> Vec<String> {
    let within = |text: &str| {
        let json = Json::from(text).to_string();
        json.get(1..json.len() - 1).unwrap_or_default().to_owned()
    };
    let json = within(secret);
    let percent = encoded(secret);
    let xml = |quote: bool| {
        let text = secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        if quote { text.replace('"', "&quot;").replace('\'', "&#39;") } else { text }
    };
    let mut forms = vec![
        secret.to_owned(),
        json.replace('/', "\\/"),
        // JSON in a text of JSON.
        within(&json),
        json,
        lower_hex(&percent),
        percent.replace("%20", "+"),
        percent,
        xml(false),
        xml(true),
        xml(true).replace("&#39;", "&apos;"),
    ];
    if let Ok(mut url) = Url::parse("http://localhost/") {
        url.set_query(Some(secret));
        forms.extend(url.query().map(str::to_owned));
        url.set_path(secret);
        forms.push(url.path().trim_start_matches('/').to_owned());
    }
    forms.retain(|form| !form.is_empty());
    forms
}

fn lower_hex(text: &str) -> String {
    let mut pieces = text.split('%');
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |text, piece| {
        let (hex, rest) = piece.split_at_checked(2).unwrap_or((piece, ""));
        format!("{text}%{}{rest}", hex.to_lowercase())
    })
}

/// The characters that stand for a secret, and nothing else, wherever it stands in what is written in base64.
fn cores(secret: &[u8]) -> Vec<String> {
    let mut cores = Vec::new();
    for before in 0..3 {
        let bytes: Vec<u8> = std::iter::repeat_n(0, before).chain(secret.iter().copied()).collect();
        // Six bits a character: those that hold bits of other bytes are left out.
        let (first, last) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
        for text in [STANDARD_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)] {
            cores.extend(text.get(first..last).filter(|core| core.len() >= SHORTEST_CORE).map(str::to_owned));
        }
    }
    cores
}

/// Hides what is found of these forms, and what is written in base64 and has one of these cores in it.
fn hide(text: &str, forms: &[String], cores: &[String]) -> String {
    let mut begins = [false; 256];
    for first in forms.iter().chain(cores).filter_map(|form| form.bytes().next()) {
        begins[usize::from(first)] = true;
    }
    let bytes = text.as_bytes();
    let (mut out, mut kept, mut at) = (String::with_capacity(text.len()), 0, 0);
    let of_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=');
    while let Some(first) = bytes.get(at) {
        let rest = bytes.get(at..).unwrap_or_default();
        let found = |texts: &[String]| {
            let found = texts.iter().find(|form| rest.starts_with(form.as_bytes())).map(String::len);
            found.filter(|_| begins[usize::from(*first)])
        };
        let (from, to) = if let Some(length) = found(forms) {
            (at, at + length)
        } else if let Some(length) = found(cores) {
            let before =
                bytes.get(kept..at).unwrap_or_default().iter().rev().take_while(|byte| of_base64(byte)).count();
            let after = rest.iter().skip(length).take_while(|byte| of_base64(byte)).count();
            (at - before, at + length + after)
        } else {
            at += 1;
            continue;
        };
        out.push_str(text.get(kept..from).unwrap_or_default());
        out.push_str(HIDDEN);
        (kept, at) = (to, to);
    }
    out.push_str(text.get(kept..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "hun/ter2 &\"é'";

    fn mask() -> Mask {
        let mask = Mask::default();
        mask.learn(SECRET);
        mask
    }

    #[test]
    fn a_secret_is_hidden_however_it_is_written() {
        let mask = mask();
        let json = Json::from(SECRET).to_string();
        let pair = STANDARD.encode(format!("me:{SECRET}"));
        for text in [
            SECRET.to_owned(),
            json.clone(),
            json.replace('/', "\\/"),
            Json::from(json.clone()).to_string(),
            encoded(SECRET),
            lower_hex(&encoded(SECRET)),
            encoded(SECRET).replace("%20", "+"),
            "<p>hun/ter2 &amp;\"é'</p>".to_owned(),
            "<p a=\"hun/ter2 &amp;&quot;é&#39;\"/>".to_owned(),
            format!("Basic {pair}"),
            format!("x {} y", URL_SAFE_NO_PAD.encode(format!("abc{SECRET}de"))),
        ] {
            let hidden = mask.body(format!("before {text} after").as_bytes(), "text/plain", None);
            let hidden = String::from_utf8(hidden).unwrap();
            assert!(
                hidden.contains(HIDDEN) && !hidden.contains("ter2") && !hidden.contains("dGVy"),
                "{text}: {hidden}"
            );
            assert!(hidden.starts_with("before ") && hidden.ends_with(" after"), "{hidden}");
        }
        for bytes in [
            SECRET.chars().map(|c| u8::try_from(c).unwrap()).collect::<Vec<u8>>(),
            [&[0xff, 0xfe][..], &SECRET.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>()].concat(),
        ] {
            let hidden = mask.body(&[b"\xff", &*bytes].concat(), "", None);
            assert!(String::from_utf8_lossy(&hidden).contains(HIDDEN), "{hidden:?}");
        }
    }

    #[test]
    fn json_stays_json_and_what_has_no_secret_stays_as_it_is() {
        let mask = Mask::default();
        mask.learn("4711");
        let hidden = mask.body(br#"{ "a": 47110, "b": "x4711", "c": 1.50 }"#, "application/json", None);
        assert_eq!(hidden, br#"{"a":"[secret]","b":"x[secret]","c":1.50}"#);
        let same = br#"{ "a": 1.50,  "b": "\u00e9" }"#;
        assert_eq!(mask.body(same, "application/json", None), same);
        let named = mask.body(br#"{"Password":"a","next":"/x?access_token=b&page=2"}"#, "application/json", None);
        assert_eq!(named, br#"{"Password":"[secret]","next":"/x?access_token=[secret]&page=2"}"#);
    }

    #[test]
    fn little_is_left_of_what_a_login_gives_and_it_is_hidden_from_then_on() {
        let mask = Mask::default();
        let answer = br#"{"ok":true,"expires_in":3600,"result":[7,"ab12cd34ef56"],"say":"welcome back"}"#;
        let hidden = mask.body(answer, "application/json", Some(Side::Given));
        assert_eq!(hidden, br#"{"ok":true,"expires_in":3600,"result":[7,"[secret]"],"say":"welcome back"}"#);
        assert_eq!(mask.text("x?s=ab12cd34ef56"), "x?s=[secret]");
        let known = br#"{"until":"2026-01-01T08:00:00Z","at":"https://erp1.example/api"}"#;
        assert_eq!(mask.body(known, "application/json", Some(Side::Given)), known);
        assert_eq!(mask.body(b"token: abc", "text/plain", Some(Side::Given)), b"[secret]");
        let asked = mask.body(b"grant=x&code=abc", "application/x-www-form-urlencoded", Some(Side::Asked));
        assert_eq!(asked, b"grant=x&code=%5Bsecret%5D");
    }

    #[test]
    fn headers_and_addresses_are_hidden_by_their_names() {
        let mask = mask();
        let header = |name: &str, value: &str| {
            let name: HeaderName = name.parse().unwrap();
            mask.header(&name, &value.parse().unwrap()).to_str().unwrap().to_owned()
        };
        assert_eq!(header("x-csrf-token", "Required"), "Required");
        assert_eq!(header("x-csrf-token", "abc"), HIDDEN);
        assert_eq!(header("set-cookie", "a=b; path=/"), HIDDEN);
        assert_eq!(header("x-ratelimit-tokens", "42"), "42");
        assert_eq!(header("www-authenticate", "Basic realm=\"x\""), "Basic realm=\"x\"");
        let url: Url = format!("http://erp/a?x={}&api_key=1&y=2", encoded(SECRET)).parse().unwrap();
        let masked = mask.address(&url, false);
        assert_eq!(masked.as_str(), "http://erp/a?x=%5Bsecret%5D&api_key=%5Bsecret%5D&y=2");
    }
}
