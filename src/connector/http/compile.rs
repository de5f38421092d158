//! What a manifest says of HTTP, checked: the connection, streams of pages, and actions of requests.
//!
//! What does not live here: what the settings of a connection make of it (`bind`).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderName;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;

use super::action::{self, Find, Step};
use super::answer::Judge;
use super::auth::AuthPlan;
use super::budget::Rate;
use super::csrf::CsrfPlan;
use super::cursor::Cursor;
use super::limit::Allowed;
use super::manifest::{HttpFile, LimitFile, Paths};
use super::paging::Paging;
use super::related::{self, JoinPlan, ParentsPlan};
use super::request::{RequestPlan, address};
use super::stream;
use super::tagged::Tagged;
use super::tree::Named;
use super::wire::Timeouts;
use crate::config::KeyPath;
use crate::connector::check::{Checker, Merged, NAMES, Secrecy};
use crate::connector::manifest::{ActionFile, ReadFormat};
use crate::connector::options;
use crate::connector::reading::Reading;
use crate::connector::word::{self, Plan, Word};
use crate::expression::{Expression, Fields};

/// The share that is left to actions where a manifest does not say, in hundredths of a percent.
const RESERVED: u32 = 500;

/// What holds for all requests, before a connection fills in its settings.
#[derive(Debug)]
pub struct HttpPlan {
    /// The address that paths are behind.
    pub base: Word<Url>,
    /// Headers of every request.
    pub headers: Named,
    /// How requests prove who they come from.
    pub auth: Arc<AuthPlan>,
    /// The token that writing requests carry.
    pub csrf: Option<Arc<CsrfPlan>>,
    /// What answers mean.
    pub judge: Arc<Judge>,
    /// How long is waited.
    pub timeouts: Timeouts,
    /// How much the system allows.
    pub allowed: Allowed,
    /// The proxy.
    pub proxy: Option<Word<String>>,
    /// Certificates that are trusted too.
    pub ca: Option<Word<PathBuf>>,
    /// The client's certificate.
    pub certificate: Option<Word<PathBuf>>,
    /// The request that tells whether the system is there.
    pub probe: Option<Arc<RequestPlan>>,
}

/// A stream of pages, before a connection fills in its settings.
#[derive(Debug)]
pub struct PagesPlan {
    /// The request of a page.
    pub request: Arc<RequestPlan>,
    /// How it is divided.
    pub paging: Option<Paging>,
    /// What tells how far it was read.
    pub cursor: Option<Arc<Cursor>>,
    /// Which objects in records are values.
    pub tagged: Option<Arc<Tagged>>,
    /// How a page's records are read.
    pub reading: Plan<Reading>,
    /// How it is asked for about the records of another stream.
    pub parents: Option<Arc<ParentsPlan>>,
    /// What is joined to its records.
    pub joins: Vec<Arc<JoinPlan>>,
    /// What holds for the records that are not left out.
    pub kept: Option<Arc<Expression>>,
    /// The field by which its records are unfolded.
    pub unfold: Option<String>,
    /// Whether its request asks about records of another stream.
    pub asks_about: bool,
}

/// Compiles what holds for all requests; nothing with a problem.
pub fn connection(checker: &mut Checker, at: &KeyPath, file: &HttpFile) -> Option<HttpPlan> {
    let base = checker.word(&at.key("base_url"), Some(&file.base_url), NAMES, address);
    let headers = Named::compile(checker, &at.key("headers"), &file.headers, NAMES, Secrecy::Kept);
    let auth = AuthPlan::compile(checker, &at.key("auth"), file.auth.as_ref());
    let csrf = match &file.csrf {
        Some(csrf) => Some(Arc::new(CsrfPlan::compile(checker, &at.key("csrf"), csrf)?)),
        None => None,
    };
    let judge = Judge::compile(checker, at, &file.error, &file.message);
    let proxy = checker.word(&at.key("proxy"), file.proxy.as_deref(), NAMES, |text| Ok(text.to_owned()));
    let ca = checker.word(&at.key("ca"), file.ca.as_deref(), NAMES, word::directory);
    let certificate =
        checker.word(&at.key("client_certificate"), file.client_certificate.as_deref(), NAMES, word::directory);
    let probe = match &file.probe {
        Some(probe) => Some(Arc::new(RequestPlan::compile(checker, &at.key("probe"), probe, NAMES, Secrecy::Kept)?)),
        None => None,
    };
    let timeout = file.timeout.as_ref();
    let seconds = |written: Option<crate::config::values::Interval>, default: u64| {
        written.map_or(Duration::from_secs(default), crate::config::values::Interval::duration)
    };
    let allowed = allowed(checker, &at.key("limit"), file.limit.as_ref());
    Some(HttpPlan {
        base: base?,
        headers: headers?,
        auth: Arc::new(auth?),
        csrf,
        judge: Arc::new(judge?),
        timeouts: Timeouts {
            connect: seconds(timeout.and_then(|timeout| timeout.connect), 10),
            read: seconds(timeout.and_then(|timeout| timeout.read), 60),
            request: seconds(timeout.and_then(|timeout| timeout.request), 300),
        },
        allowed: allowed?,
        proxy,
        ca,
        certificate,
        probe,
    })
}

/// How much a system allows; nothing with a problem.
fn allowed(checker: &mut Checker, at: &KeyPath, limit: Option<&LimitFile>) -> Option<Allowed> {
    let mut rates = Vec::new();
    let mut told = Vec::new();
    if let Some(limit) = limit {
        match (limit.requests, limit.per) {
            (Some(requests), Some(per)) => rates.push(Rate { requests, per: per.duration() }),
            (Some(_), None) => {
                checker.missing(&at.key("per"));
                return None;
            }
            (None, Some(_)) => {
                checker.missing(&at.key("requests"));
                return None;
            }
            (None, None) => {}
        }
        rates.extend(limit.daily.map(|requests| Rate { requests, per: Duration::from_hours(24) }));
        for (index, headers) in limit.told.iter().enumerate() {
            let at = at.key("told").index(index);
            let remaining = header(checker, &at.key("remaining"), &headers.remaining);
            let reset = header(checker, &at.key("reset"), &headers.reset);
            told.push((remaining?, reset?));
        }
    }
    let reserved = limit.and_then(|limit| limit.reserved).map_or(RESERVED, |share| {
        // Hundredths of a percent, of which there are at most ten thousand.
        (share.percentage() * Decimal::ONE_HUNDRED).ceil().to_u32().unwrap_or(u32::MAX)
    });
    let at_once = limit.and_then(|limit| limit.concurrency).unwrap_or(4);
    Some(Allowed { at_once, rates, reserved, told })
}

fn header(checker: &mut Checker, at: &KeyPath, name: &str) -> Option<HeaderName> {
    let header = HeaderName::from_bytes(name.as_bytes()).ok();
    if header.is_none() {
        checker.refuse(at, format!("`{name}` is no name of a header"), None);
    }
    header
}

/// Compiles a stream of pages; nothing with a problem.
pub fn stream(checker: &mut Checker, merged: &Merged) -> Option<PagesPlan> {
    let stream = &merged.stream;
    let reading = options::reading(checker, merged, stream.format.unwrap_or(ReadFormat::Json));
    let paging = match &stream.paging {
        Some(written) => Some(Paging::compile(checker, &merged.key("paging"), written, stream.format)?),
        None => None,
    };
    let cursor = match &stream.cursor {
        Some(written) => Some(Arc::new(Cursor::compile(checker, &merged.key("cursor"), written)?)),
        None => None,
    };
    let format = stream.format.unwrap_or(ReadFormat::Json);
    let told = paging.as_ref().is_some_and(Paging::is_told);
    if told && !matches!(format, ReadFormat::Json | ReadFormat::Odata) {
        let message = "only an answer in JSON has a path to the next page in it";
        checker.refuse(
            &merged.key("paging").key("next"),
            message,
            Some("links can stand in the header: next = \"header\""),
        );
        return None;
    }
    let tagged = match &stream.tagged {
        Some(written) => Some(Arc::new(Tagged::compile(checker, &merged.key("tagged"), written)?)),
        None => None,
    };
    let at = merged.key("request");
    let Some(request) = &stream.request else {
        checker.missing(&merged.at.key("request"));
        return None;
    };
    let request = RequestPlan::compile(checker, &at, request, stream::NAMES, Secrecy::Kept)?;
    let kept = match &stream.r#where {
        Some(source) => Some(Arc::new(checker.expression(&merged.key("where"), source, Fields::Any, NAMES)?)),
        None => None,
    };
    let (parents, joins) = related::compile(checker, merged)?;
    let asks_about = request.uses(stream::PARENTS);
    let unfold = stream.unfold.clone();
    Some(PagesPlan {
        request: Arc::new(request),
        paging,
        cursor,
        tagged,
        reading: reading?,
        parents,
        joins,
        kept,
        unfold,
        asks_about,
    })
}

/// Compiles an action of requests; nothing with a problem.
pub fn action(checker: &mut Checker, at: &KeyPath, written: &ActionFile) -> Option<action::ActionPlan> {
    for (key, missing) in
        [("step", written.step.is_empty()), ("find", written.find.is_none()), ("number", written.number.is_none())]
    {
        if missing {
            checker.missing(&at.key(key));
        }
    }
    let mut steps = Vec::new();
    for (index, step) in written.step.iter().enumerate() {
        let at = at.key("step").index(index);
        let request = RequestPlan::compile(checker, &at.key("request"), &step.request, action::NAMES, Secrecy::Kept);
        let gives = gives(checker, &at.key("gives"), &step.gives);
        let done = condition(checker, &at.key("done"), step.done.as_ref());
        steps.push((|| {
            Some(Step { name: step.name.clone(), reads: step.reads, request: request?, gives: gives?, done: done? })
        })());
    }
    let undo: Vec<Option<RequestPlan>> = written
        .undo
        .iter()
        .enumerate()
        .map(|(index, undo)| {
            RequestPlan::compile(checker, &at.key("undo").index(index), undo, action::NAMES, Secrecy::Kept)
        })
        .collect();
    if !written.step.is_empty() && written.step.iter().all(|step| step.reads) {
        checker.refuse(&at.key("step"), "no step makes anything", Some("one of them is without `reads`"));
    }
    let (find, number) = (written.find.as_ref()?, written.number.as_ref()?);
    let number = checker.expression(&at.key("number"), number, Fields::Known(&[]), action::NAMES);
    let at = at.key("find");
    let request = RequestPlan::compile(checker, &at.key("request"), &find.request, action::NAMES, Secrecy::Kept);
    let given = gives(checker, &at.key("gives"), &find.gives);
    let ours = condition(checker, &at.key("ours"), find.ours.as_ref());
    let paths = match &find.records {
        None => vec![""],
        Some(Paths::One(path)) => vec![path.as_str()],
        Some(Paths::Several(paths)) => paths.iter().map(String::as_str).collect(),
    };
    let names = |path: &str| path.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let records = paths.into_iter().map(names).collect();
    Some(action::ActionPlan {
        steps: steps.into_iter().collect::<Option<Vec<_>>>()?,
        find: Find { request: request?, records, gives: given?, ours: ours? },
        number: number?,
        undo: undo.into_iter().collect::<Option<Vec<_>>>()?,
    })
}

fn gives(
    checker: &mut Checker,
    at: &KeyPath,
    written: &std::collections::BTreeMap<String, String>,
) -> Option<Vec<(String, Expression)>> {
    let compiled: Vec<Option<(String, Expression)>> = written
        .iter()
        .map(|(name, source)| {
            let expression = checker.expression(&at.key(name), source, Fields::Known(&[]), action::GIVEN)?;
            Some((name.clone(), expression))
        })
        .collect();
    compiled.into_iter().collect()
}

/// A condition, or that there is none; nothing with a problem.
#[allow(clippy::option_option)]
fn condition(checker: &mut Checker, at: &KeyPath, written: Option<&String>) -> Option<Option<Expression>> {
    match written {
        None => Some(None),
        Some(source) => checker.expression(at, source, Fields::Known(&[]), action::GIVEN).map(Some),
    }
}
