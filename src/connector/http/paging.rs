//! Where the next page of a stream is.
//!
//! What does not live here: fetching it (`walk`).

use reqwest::Url;
use reqwest::header::LINK;
use rust_decimal::Decimal;
use serde_json::{Value as Json, json};

use super::answer::{Answer, at_path};
use super::manifest::{EndWord, PagingFile, PagingWord};
use super::request::Request;
use crate::config::KeyPath;
use crate::connector::check::Checker;
use crate::connector::format::{ReadError, odata};
use crate::connector::manifest::ReadFormat;
use crate::record::{Record, Value};

/// How a stream is divided into pages.
#[derive(Debug, Clone)]
pub struct Paging {
    by: PagingWord,
    /// How many records a page has at the most.
    size: Option<u32>,
    /// What tells the last page.
    end: EndWord,
    /// What the first page's number is.
    first: u32,
    /// The paths to the next page's address or token, of which the first that is there counts; none: the header `Link`.
    next: Vec<Vec<String>>,
    /// The field of the last record that the next page is behind.
    key: Option<String>,
    /// Whether a record keeps its place while pages are read.
    stable: bool,
}

/// Finds links and tokens that lead in a circle, however long, with the memory of one (Brent's algorithm).
#[derive(Debug, Default)]
pub struct Loops {
    known: Option<(Option<Url>, Option<String>)>,
    steps: u64,
    until: u64,
}

/// Where a page is.
#[derive(Debug, Clone, Default)]
pub struct Position {
    offset: u64,
    number: u64,
    token: Option<String>,
    key: Value,
    /// Its address, where the page before it gave that.
    pub link: Option<Request>,
}

/// A page that was read.
pub struct PageRead<'a> {
    /// Its request.
    pub request: &'a Request,
    /// Its records.
    pub records: &'a [Result<Record, ReadError>],
    /// Its answer.
    pub answer: &'a Answer,
    /// The whole answer as a value, where it tells the next page.
    pub envelope: Option<&'a Value>,
}

/// Why the next page cannot be told, and what to do.
pub type Lost = (String, Option<&'static str>);

impl Paging {
    /// Compiles what a manifest says; nothing with a problem.
    pub fn compile(
        checker: &mut Checker,
        at: &KeyPath,
        written: &PagingFile,
        format: Option<ReadFormat>,
    ) -> Option<Self> {
        let by = written.by;
        let told = matches!(by, PagingWord::Link | PagingWord::Token);
        let header = written.next.as_deref() == Some("header");
        let mut next = Vec::new();
        match &written.next {
            Some(path) if !header => next.push(path.split('/').map(str::to_owned).collect()),
            None if by == PagingWord::Link && format == Some(ReadFormat::Odata) => {
                next.extend(odata::NEXT.iter().map(|path| path.iter().map(|&name| name.to_owned()).collect()));
            }
            _ => {}
        }
        for (key, given, belongs) in [
            ("next", written.next.is_some(), told),
            ("first", written.first.is_some(), by == PagingWord::Number),
            ("key", written.key.is_some(), by == PagingWord::Key),
            ("end", written.end.is_some(), !told),
        ] {
            if given && !belongs {
                let message = format!("`{key}` does not go with this way of paging");
                checker.refuse(&at.key(key), message, Some("leave it out"));
                return None;
            }
        }
        if told && !header && next.is_empty() {
            checker.missing(&at.key("next"));
            return None;
        }
        if header && by == PagingWord::Token {
            checker.refuse(&at.key("next"), "a token does not stand in the header `Link`", None);
            return None;
        }
        if by == PagingWord::Key && written.key.is_none() {
            checker.missing(&at.key("key"));
            return None;
        }
        if written.end == Some(EndWord::Short) && written.size.is_none() {
            checker.missing(&at.key("size"));
            return None;
        }
        Some(Self {
            by,
            size: written.size,
            end: written.end.unwrap_or(EndWord::Empty),
            first: written.first.unwrap_or(1),
            next,
            key: written.key.clone(),
            stable: written.stable.unwrap_or(by == PagingWord::Key),
        })
    }

    /// Whether a record keeps its place while pages are read.
    pub fn is_stable(&self) -> bool {
        self.stable
    }

    /// Whether a page's body tells where the next one is.
    pub fn is_told(&self) -> bool {
        !self.next.is_empty()
    }

    /// Where the page behind one is; nothing behind the last.
    ///
    /// # Errors
    /// Where it leads nowhere, or back.
    pub fn next(&self, position: &Position, page: &PageRead) -> Result<Option<Position>, Lost> {
        let PageRead { request, records, .. } = page;
        match self.by {
            PagingWord::Link => {
                let Some(link) = self.told(page) else { return Ok(None) };
                // Relative addresses of OData 4 are behind the address of the context.
                let context = page.envelope.and_then(|envelope| at_path(envelope, &["@odata.context".to_owned()]));
                let base = match context {
                    Some(Value::Text(context)) => request.next(context).ok(),
                    _ => None,
                };
                let next = base.as_ref().unwrap_or(request).next(&link).map_err(|message| (message, None))?;
                return Ok(Some(Position { link: Some(next), ..position.clone() }));
            }
            PagingWord::Token => {
                let Some(next) = self.told(page) else { return Ok(None) };
                return Ok(Some(Position { token: Some(next), ..position.clone() }));
            }
            PagingWord::Offset | PagingWord::Number | PagingWord::Key => {}
        }
        let short = self.size.is_some_and(|size| records.len() < size as usize);
        if records.is_empty() || (self.end == EndWord::Short && short) {
            return Ok(None);
        }
        let mut next = Position {
            offset: position.offset + records.len() as u64,
            number: position.number + 1,
            ..position.clone()
        };
        if let Some(key) = &self.key {
            let last = records.iter().rev().flatten().next();
            next.key =
                last.and_then(|record| record.fields.get(key)).map_or(Value::Null, crate::record::Seen::into_value);
            if next.key.is_empty() || next.key == position.key {
                let hint = "look at the stream's `paging.key` and at the order that the request asks for";
                return Err((format!("the last record of a page has no field '{key}' that leads on"), Some(hint)));
            }
        }
        Ok(Some(next))
    }

    /// What a page tells of the next one: an address or a token.
    fn told(&self, page: &PageRead) -> Option<String> {
        let Some(envelope) = page.envelope else { return link_of(page.answer) };
        self.next.iter().find_map(|path| match at_path(envelope, path)? {
            Value::Text(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        })
    }
}

impl Loops {
    /// Whether a position is one that there was before.
    pub fn has(&mut self, next: &Position) -> bool {
        if next.link.is_none() && next.token.is_none() {
            return false;
        }
        let place = (next.link.as_ref().map(|link| link.url.clone()), next.token.clone());
        if self.known.as_ref() == Some(&place) {
            return true;
        }
        if self.steps == self.until {
            self.known = Some(place);
            self.until = (self.until * 2).max(1);
            self.steps = 0;
        }
        self.steps += 1;
        false
    }
}

impl Position {
    /// That of the first page.
    pub fn of(paging: Option<&Paging>) -> Self {
        Self { number: paging.map_or(0, |paging| u64::from(paging.first)), ..Self::default() }
    }

    /// As it is kept.
    pub fn to_json(&self) -> Json {
        let link = self.link.as_ref().map(|link| link.url.as_str());
        json!({ "offset": self.offset, "number": self.number, "token": self.token, "key": self.key.to_json(), "link": link })
    }

    /// As it was kept; `first` is the request of the first page, from which links lead on.
    ///
    /// # Errors
    /// Where it leads to another server.
    pub fn of_json(kept: &Json, first: &Request) -> Result<Self, String> {
        let number = |name: &str| kept.get(name).and_then(Json::as_u64).unwrap_or_default();
        let text = |name: &str| kept.get(name).and_then(Json::as_str);
        Ok(Self {
            offset: number("offset"),
            number: number("number"),
            token: text("token").map(str::to_owned),
            key: kept.get("key").cloned().map_or(Value::Null, Value::from_json),
            link: text("link").map(|link| first.next(link)).transpose()?,
        })
    }

    /// The variable `page`.
    pub fn value(&self, paging: Option<&Paging>) -> Value {
        let number = |number: u64| Value::Number(Decimal::from(number));
        let size = paging.and_then(|paging| paging.size).map_or(Value::Null, |size| number(u64::from(size)));
        let members = [
            ("offset", number(self.offset)),
            ("number", number(self.number)),
            ("token", self.token.clone().map_or(Value::Null, Value::Text)),
            ("key", self.key.clone()),
            ("size", size),
        ];
        Value::Map(members.into_iter().collect())
    }
}

/// The next page's address in the header `Link` (RFC 8288).
fn link_of(answer: &Answer) -> Option<String> {
    let links = answer.headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    links.flat_map(|value| value.split(',')).find_map(|link| {
        let (address, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let next = parameters.split(';').any(|parameter| matches!(parameter.trim(), "rel=\"next\"" | "rel=next"));
        next.then(|| address.to_owned())
    })
}
