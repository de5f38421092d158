//! What was exchanged with the ERP over an order, as `orders show` shows it.

use super::page::{Page, Tone};
use super::when::clock;
use crate::connector::{Exchange, Sent};
use crate::store::OrderCall;

/// The most characters of a body that are shown; `--output json` has what is kept of it.
const SHOWN: usize = 2_000;

/// Shows the calls that are kept, the oldest first.
pub(super) fn describe(calls: &[OrderCall], page: &mut Page) {
    if calls.is_empty() {
        return;
    }
    page.heading("What was exchanged with the ERP");
    for call in calls {
        let what = format!("{} of attempt {}", call.kind.name(), call.attempt);
        page.toned(Tone::Strong, format!("{} {what}: ", clock(call.at))).line(&call.outcome);
        match serde_json::from_value::<Vec<Exchange>>(call.exchanges.clone()) {
            Ok(exchanges) => exchanges.iter().for_each(|exchange| one(exchange, page)),
            // Another version wrote it.
            Err(_) => {
                page.line(call.exchanges.to_string());
            }
        }
    }
}

fn one(exchange: &Exchange, page: &mut Page) {
    let Sent { method, address, headers, body } = &exchange.request;
    page.toned_line(Tone::Good, format!("  > {method} {address}"));
    part(headers, body.as_deref(), page);
    let took = exchange.milliseconds.map(|took| format!(" after {took} ms")).unwrap_or_default();
    match (&exchange.answer, &exchange.message) {
        (Some(answer), _) => {
            let tone = if answer.status < 400 { Tone::Good } else { Tone::Bad };
            page.toned_line(tone, format!("  < {}{took}", answer.status));
            part(&answer.headers, answer.body.as_deref(), page);
        }
        (None, Some(message)) => {
            page.toned_line(Tone::Warn, format!("  < {message}{took}"));
        }
        (None, None) => {
            page.toned_line(Tone::Bad, "  < nothing came before the attempt was given up");
        }
    }
}

fn part(headers: &[String], body: Option<&str>, page: &mut Page) {
    for header in headers {
        page.toned_line(Tone::Dim, format!("    {header}"));
    }
    let Some(body) = body else { return };
    for line in cut(body).lines() {
        page.line(format!("    {line}"));
    }
}

fn cut(body: &str) -> String {
    match body.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}… (the rest with --output json)", body.get(..end).unwrap_or_default()),
        None => body.to_owned(),
    }
}
