//! `tradebridge store`: how large the store is, what is in it as one digest, pruning it now, and erasing a person.

use clap::{Args, Subcommand};
use serde_json::json;

use super::client::{Call, Client};
use super::output::{Exit, counted};
use super::page::{Cell, Page, Table, Tone};
use super::progress::Progress;
use super::when::{ago, clock};
use super::{Answered, Context};
use crate::api::admin::views::StoreDigest;
use crate::api::control::{ErasePerson, ErasureReport, Pruned};
use crate::store::{Person, StoreStats};

#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// How large it is: tables, parts and tombstones of each source, the oldest source rows and history, leases.
    Stats,
    /// One digest of everything that is alive: two stores that know the same have the same.
    Digest,
    /// Drop what is beyond its retention now; the daemon does so by itself beside its work.
    Prune,
    /// Find a person and, with --yes, erase it from records, history and source rows. Orders stay.
    ErasePerson(EraseArguments),
}

#[derive(Debug, Args)]
pub(super) struct EraseArguments {
    /// The customer's number.
    #[arg(long, required_unless_present = "email")]
    customer: Option<String>,
    /// The contact of the customer.
    #[arg(long, requires = "customer", conflicts_with = "all", required_unless_present_any = ["all", "email"])]
    contact: Option<String>,
    /// The whole customer, who is a natural person: name, addresses and contacts.
    #[arg(long, requires = "customer")]
    all: bool,
    /// The company, where several have a customer of that number.
    #[arg(long, requires = "customer")]
    company: Option<String>,
    /// Every contact with this e-mail address.
    #[arg(long, conflicts_with = "customer")]
    email: Option<String>,
    /// Do it; without this is only shown who is meant.
    #[arg(long)]
    yes: bool,
    /// Let the person in again: the next complete pull brings back what the ERP says.
    #[arg(long, conflicts_with = "email")]
    forget: bool,
}

pub(super) async fn run(command: StoreCommand, context: &Context) -> Answered {
    Client::with(&context.load()?, async |client| match command {
        StoreCommand::Stats => stats(client, context).await,
        StoreCommand::Digest => digest(client, context).await,
        StoreCommand::Prune => prune(client, context).await,
        StoreCommand::ErasePerson(arguments) => erase(arguments, client, context).await,
    })
    .await
}

async fn stats(client: &Client, context: &Context) -> Answered {
    let stats: StoreStats = client.ask(Call::get(&["store"]).long()).await?;
    context.output.say(&stats, |page| show(&stats, page));
    Ok(Exit::Done)
}

fn show(stats: &StoreStats, page: &mut Page) {
    let now = jiff::Timestamp::now();
    let age = |at| Cell::from(format!("{} ({})", clock(at), ago(at, now)));
    page.pairs(&[
        ("store", Some(Cell::from(format!("{}, schema version {}", stats.engine, stats.schema_version)))),
        ("size", Some(Cell::from(size(stats.bytes)))),
        ("feed", Some(Cell::from(format!("at {}, deletions kept since {}", stats.sequence, stats.purged)))),
        ("epoch", Some(Cell::from(&stats.epoch))),
        ("oldest source row", stats.oldest_raw.map(age)),
    ]);
    page.heading("Tables");
    let mut table = Table::new(&["table", "rows", "size"]).numbers(&[1, 2]);
    for one in &stats.tables {
        let about = if one.estimated { "about " } else { "" };
        let bytes = one.bytes.map_or_else(|| "not told".to_owned(), size);
        table.row([Cell::from(&one.name), Cell::from(format!("{about}{}", one.rows)), Cell::from(bytes)]);
    }
    page.table(&table);
    if !stats.sources.is_empty() {
        page.heading("Parts");
        let mut table = Table::new(&["connection", "stream", "kind", "living", "tombstones"]).numbers(&[3, 4]);
        for one in &stats.sources {
            table.row([
                Cell::from(&one.connection),
                Cell::from(&one.stream),
                Cell::from(&one.kind),
                Cell::from(one.living),
                Cell::from(one.tombstones),
            ]);
        }
        page.table(&table);
    }
    if !stats.oldest_history.is_empty() {
        page.heading("History");
        let mut table = Table::new(&["entity", "reaches back to"]);
        for one in &stats.oldest_history {
            table.row([Cell::from(one.entity), age(one.until)]);
        }
        page.table(&table);
    }
    if !stats.leases.is_empty() {
        page.heading("Leases");
        let mut table = Table::new(&["on", "holder", "until"]);
        for one in &stats.leases {
            table.row([Cell::from(&one.name), Cell::from(&one.holder), Cell::from(clock(one.expires_at))]);
        }
        page.table(&table);
    }
}

/// A size in words, in the largest unit that leaves a whole number.
fn size(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let unit = units.into_iter().find(|(power, _)| bytes >> power > 0);
    unit.map_or_else(|| format!("{bytes} B"), |(power, name)| format!("{} {name}", bytes >> power))
}

async fn digest(client: &Client, context: &Context) -> Answered {
    let digest: StoreDigest = client.ask(Call::get(&["store", "digest"]).long()).await?;
    context.output.say(&digest, |page| {
        page.line(&digest.digest);
    });
    Ok(Exit::Done)
}

async fn prune(client: &Client, context: &Context) -> Answered {
    let progress = Progress::begin("pruning");
    let pruned: Vec<Pruned> = client.ask(Call::post(&["store", "prune"], &json!({}))?.long()).await?;
    drop(progress);
    context.output.say(&json!(pruned), |page| {
        let mut table = Table::new(&["what", "rows dropped"]).numbers(&[1]);
        for one in &pruned {
            table.row([Cell::from(&one.what), Cell::from(one.rows)]);
        }
        page.table(&table);
    });
    Ok(Exit::Done)
}

async fn erase(arguments: EraseArguments, client: &Client, context: &Context) -> Answered {
    let EraseArguments { customer, contact, all, company, email, yes, forget } = arguments;
    let request = ErasePerson { customer, contact, all, company, email, yes: yes || forget, forget };
    let progress = Progress::begin("looking for the person");
    let report: ErasureReport = client.ask(Call::post(&["store", "erase-person"], &request)?.long()).await?;
    drop(progress);
    context.output.say(&report, |page| tell(&report, &request, page));
    Ok(Exit::Done)
}

fn name(person: &Person) -> String {
    match &person.contact {
        Some(contact) => format!("customer {}, contact {contact}", person.customer),
        None => format!("customer {}", person.customer),
    }
}

fn tell(report: &ErasureReport, request: &ErasePerson, page: &mut Page) {
    if request.forget {
        let said =
            if report.readmitted > 0 { "is let in again with the next complete pull" } else { "was not left out" };
        page.line(said);
        return;
    }
    for one in &report.erased {
        page.toned_line(Tone::Strong, format!("{} is erased", name(&one.person)));
        let count = |number: u64, word: &str| Some(Cell::from(counted(usize::try_from(number).unwrap_or(0), word)));
        page.pairs(&[
            ("records", count(one.records, "record")),
            ("history", count(one.versions, "version")),
            ("staged", count(one.staged, "difference")),
            ("rejected", count(one.rejected, "record")),
            ("source rows", count(one.source_rows, "row")),
            ("exchanges", count(one.calls, "call").filter(|_| one.calls > 0)),
            ("orders", count(one.orders, "order that names the person and stays").filter(|_| one.orders > 0)),
        ]);
    }
    if let Some(left) = &report.left {
        page.toned_line(Tone::Bad, left);
    }
    if !request.yes {
        if report.found.is_empty() {
            page.line("nobody like that is known");
            return;
        }
        let mut table = Table::new(&["who", "name", "e-mail", "known from"]);
        for known in &report.found {
            table.row([
                Cell::from(name(&known.person)),
                Cell::from(&known.name),
                Cell::from(known.email.as_deref().unwrap_or_default()),
                Cell::from(if known.present { "records" } else { "history" }),
            ]);
        }
        page.table(&table);
        page.line("with --yes they are erased; orders stay as they are");
    }
}
