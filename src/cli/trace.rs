//! `tradebridge trace`: where a record came from, and what was known about a customer and a product.

use clap::Args;
use jiff::Timestamp;
use serde_json::Value as Json;

use super::client::{Call, Client};
use super::output::{Exit, counted};
use super::page::{Cell, Page, Tone};
use super::preview::without_nulls;
use super::runs::read_from;
use super::when::{ago, clock, length};
use super::{Answered, Context};
use crate::api::admin::traced::{AsOf, Knowledge, Trace, TracedVersion};
use crate::publish::{Ended, Ending};
use crate::sync::differences;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  tradebridge trace price_agreement --customer 10000 --product A1 --date 2026-11-12
  tradebridge trace price_agreement 100001
  tradebridge trace customer NL01~10000 --known-at 2026-11-12T17:00:00+01:00")]
pub(super) struct TraceArguments {
    /// What it is: `customer`, `product`, `price_agreement`, `stock` and so on.
    entity: String,
    /// One record, by its number or `COMPANY~NUMBER`: every version of it.
    #[arg(conflicts_with_all = ["customer", "product"], required_unless_present_any = ["customer", "product"])]
    key: Option<String>,
    /// What is about this customer, his groups and everyone.
    #[arg(long)]
    customer: Option<String>,
    /// What is about this product, its groups and everything.
    #[arg(long)]
    product: Option<String>,
    /// A day: what is known now about it, and what was known then.
    #[arg(long, value_name = "YYYY-MM-DD")]
    date: Option<String>,
    /// What was known at this instant, such as 2026-11-12T17:00:00+01:00.
    #[arg(long, value_name = "INSTANT")]
    known_at: Option<String>,
    /// The company, where the number could be of several.
    #[arg(long)]
    company: Option<String>,
    /// At most so many records or versions.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

pub(super) async fn run(arguments: TraceArguments, context: &Context) -> Answered {
    Client::with(&context.load()?, async |client| ask(&arguments, client, context).await).await
}

async fn ask(arguments: &TraceArguments, client: &Client, context: &Context) -> Answered {
    let call = Call::get(&["trace", &arguments.entity])
        .with("key", arguments.key.as_ref())
        .with("customer", arguments.customer.as_ref())
        .with("product", arguments.product.as_ref())
        .with("date", arguments.date.as_ref())
        .with("known_at", arguments.known_at.as_ref())
        .with("company", arguments.company.as_ref())
        .with("limit", Some(arguments.limit));
    let trace: Trace = client.ask(call).await?;
    context.output.say(&trace, |page| show(&trace, page));
    Ok(Exit::Done)
}

fn show(trace: &Trace, page: &mut Page) {
    let name = trace.entity.name().replace('_', " ");
    if let Some(number) = trace.number.as_ref().filter(|_| trace.known.is_empty()) {
        page.heading(format!("{name} {}~{number}: {}", trace.company, counted(trace.versions.len(), "version")));
        for version in &trace.versions {
            page.line("");
            self::version(version, None, page);
        }
        if trace.more {
            page.toned_line(Tone::Dim, "more: --limit, or --known-at and --date for a certain time");
        }
        reaches(trace, page);
        return;
    }
    page.heading(subject(trace, &name));
    for (at, knowledge) in trace.known.iter().enumerate() {
        page.heading(moment(knowledge, trace));
        let newer = compared_with(&trace.known, at);
        if let Some(gone) = &knowledge.gone {
            page.toned_line(Tone::Warn, format!("This cannot be told: {gone}."));
        } else if let Some(newer) = newer.filter(|newer| says_the_same(newer, knowledge)) {
            page.toned_line(Tone::Good, format!("The same as {}.", words(newer)));
        } else {
            known(knowledge, newer, page);
        }
    }
    reaches(trace, page);
    if trace.number.is_none() && trace.known.iter().any(|knowledge| !knowledge.versions.is_empty()) {
        page.toned_line(Tone::Dim, format!("Every version of one: tradebridge trace {} KEY", trace.entity));
    }
}

/// What is asked about.
fn subject(trace: &Trace, name: &str) -> String {
    use std::fmt::Write as _;
    let company = &trace.company;
    let mut text = trace.number.as_ref().map_or_else(|| name.to_owned(), |number| format!("{name} {company}~{number}"));
    // Writing into a String cannot fail.
    for (word, number) in [("of customer", &trace.customer), ("for product", &trace.product)] {
        if let Some(number) = number {
            let _ = write!(text, " {word} {company}~{number}");
        }
    }
    if let Some(date) = trace.date {
        let _ = write!(text, " on {date}");
    }
    text
}

/// What the knowledge at a place of the list is compared with: the end of a day with now, its beginning with its end.
fn compared_with(known: &[Knowledge], at: usize) -> Option<&Knowledge> {
    let now = known.first().filter(|first| first.as_of == AsOf::Now);
    match known.get(at)?.as_of {
        AsOf::Now | AsOf::KnownAt => None,
        AsOf::EndOfDay => now,
        AsOf::StartOfDay => {
            let end = at.checked_sub(1).and_then(|before| known.get(before));
            end.filter(|end| end.as_of == AsOf::EndOfDay && end.gone.is_none()).or(now)
        }
    }
}

/// The heading of what was known at an instant.
fn moment(knowledge: &Knowledge, trace: &Trace) -> String {
    let zone = knowledge.time_zone.as_deref().unwrap_or_default();
    let day = trace.date.map(|date| date.to_string()).unwrap_or_default();
    match (knowledge.as_of, knowledge.known_at) {
        (AsOf::EndOfDay, _) => format!("What was known at the end of {day} ({zone})"),
        (AsOf::StartOfDay, _) => format!("What was known as {day} began ({zone})"),
        (AsOf::KnownAt, Some(at)) => format!("What was known at {at} ({})", clock(at)),
        (AsOf::Now | AsOf::KnownAt, _) => "What is known now".to_owned(),
    }
}

/// An instant in the middle of a sentence.
fn words(knowledge: &Knowledge) -> &'static str {
    match knowledge.as_of {
        AsOf::Now => "what is known now",
        AsOf::EndOfDay => "what was known at the end of the day",
        AsOf::StartOfDay => "what was known as the day began",
        AsOf::KnownAt => "what was known at that instant",
    }
}

/// Whether the same versions stood at both instants.
fn says_the_same(newer: &Knowledge, older: &Knowledge) -> bool {
    let of = |version: &TracedVersion| (version.key.clone(), version.part, version.id.clone(), version.since);
    let only = |version: &&TracedVersion| older.connections.contains(&version.connection);
    newer.versions.iter().filter(only).map(of).eq(older.versions.iter().map(of)) && !newer.more && !older.more
}

fn known(knowledge: &Knowledge, newer: Option<&Knowledge>, page: &mut Page) {
    if knowledge.versions.is_empty() {
        page.toned_line(Tone::Warn, "nothing");
        return;
    }
    for (at, version) in knowledge.versions.iter().enumerate() {
        if at > 0 {
            page.line("");
        }
        self::version(version, newer, page);
    }
    if knowledge.more {
        page.toned_line(Tone::Dim, "more: --limit");
    }
    let Some(newer) = newer else { return };
    let missing = newer.versions.iter().filter(|version| {
        knowledge.connections.contains(&version.connection)
            && !knowledge.versions.iter().any(|known| same_part(known, version))
    });
    for version in missing {
        page.toned_line(Tone::Warn, format!("{} was not known, or did not apply", title(version)));
    }
}

fn same_part(one: &TracedVersion, other: &TracedVersion) -> bool {
    (&one.key, one.part, &one.id) == (&other.key, other.part, &other.id)
}

fn title(version: &TracedVersion) -> String {
    match &version.id {
        Some(id) => format!("{} {} {id}", version.key, version.part),
        None => version.key.clone(),
    }
}

/// A version with where it came from; where `newer` knows another one of the same, what differs.
fn version(version: &TracedVersion, newer: Option<&Knowledge>, page: &mut Page) {
    let now = Timestamp::now();
    page.toned_line(Tone::Strong, title(version));
    page.json(2, &version.content);
    let later = newer.map(|newer| (newer, newer.versions.iter().find(|later| same_part(version, later))));
    match later {
        Some((_, Some(later))) if later.since == version.since => {
            page.toned_line(Tone::Good, "  the same since");
        }
        Some((newer, Some(later))) => {
            page.toned_line(Tone::Warn, format!("  other than {}:", words(newer)));
            page.changes(4, &differences(Some(&version.content), Some(&later.content)));
        }
        Some((newer, None)) => {
            page.toned_line(Tone::Warn, format!("  not in {}", words(newer)));
        }
        None => {}
    }
    let at = |at: Timestamp| format!("{} ({})", clock(at), ago(at, now));
    page.pairs(&[
        ("  since", Some(Cell::from(at(version.since)))),
        ("  until", version.until.map(|until| Cell::from(format!("{}{}", at(until), ending(version.ended.as_ref()))))),
        ("  run", Some(Cell::from(&version.run_id))),
        ("  of", version.run.as_ref().map(|run| Cell::from(about(run)))),
        ("  read from", version.run.as_ref().and_then(|run| run.place.as_ref()).map(read_from)),
        ("  mapping", version.run.as_ref().map(|run| Cell::from(&run.mapping))),
        (
            "  source",
            Some(Cell::from(format!("{}/{}, key {}", version.connection, version.stream, version.source_key))),
        ),
        ("  source row", version.source_row.is_none().then(|| Cell::toned(Tone::Dim, "not kept any more"))),
    ]);
    if let Some(row) = &version.source_row {
        let place = version.source_place.as_deref().unwrap_or_default();
        page.toned_line(Tone::Dim, format!("  source row  {place}"));
        page.json(4, &without_nulls(row) as &Json);
    }
}

fn ending(ended: Option<&Ended>) -> String {
    let how = match ended.map(|ended| ended.how) {
        None => return String::new(),
        Some(Ending::Superseded) => "superseded",
        Some(Ending::Deleted) => "deleted",
    };
    let run = ended.and_then(|ended| ended.run.as_ref());
    run.map_or_else(|| format!(", {how}"), |run| format!(", {how} by run {run}"))
}

fn about(run: &crate::store::Run) -> String {
    let pass = if run.complete { "complete pass" } else { "incremental" };
    let ended = run.ended_at.map_or_else(
        || format!("not ended ({})", run.state.name()),
        |ended| format!("took {}", length(ended.duration_since(run.started_at).as_secs().unsigned_abs())),
    );
    format!("{pass}, began {}, {ended}", clock(run.started_at))
}

fn reaches(trace: &Trace, page: &mut Page) {
    page.line("");
    page.toned_line(
        Tone::Dim,
        format!("The history of {} reaches back to {}.", trace.entity, clock(trace.history_since)),
    );
}
