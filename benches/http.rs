//! Pulls over HTTP: pages of 1,000 records of OData from a server on this machine into PostgreSQL, from the socket to the feed,
//! beside parsing the same pages and storing the same rows; how much of a limit of requests is used; and how long an order
//! waits for a bulk pull.
//!
//! `cargo bench --bench http` measures 1,000,000 price agreements into PostgreSQL (at `TEST_DATABASE_URL`, by default one on this
//! machine; it makes a database and drops it). `-- --rows N` takes fewer rows, `-- --store sqlite` the other store.

#![allow(clippy::print_stdout, reason = "a benchmark's figures are its output")]

mod support;

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use support::data::Columns;
use support::odata::{self, PAGE, SMALL, Server};
use support::site::{Bridge, CONNECTION, ENTITY, Site};
use support::table::{RATES, Table, count, machine, word};
use support::{Arguments, Outcome, expect, limit, timed};
use tradebridge::connector::Trail;
use tradebridge::record::Map;
use tradebridge::store::{Run, RunState};

/// What is aimed at: of the slower of parsing and storing, of the limit of requests, of the time of a page.
const PULLED: f64 = 0.75;
const USED: f64 = 0.95;
const WAITED: f64 = 1.0;

/// Of the connector `bench-limited`: requests in so many seconds.
const REQUESTS: u64 = 200;
const PER: f64 = 2.0;

/// Orders that are sent while pages are read, and pages of that pull.
const ORDERS: usize = 20;
const PAGES: u64 = 100;

fn main() -> ExitCode {
    if let Err(error) = odata::serve_if_told() {
        println!("FAILED: {error}");
        return ExitCode::FAILURE;
    }
    support::run(benchmark)
}

async fn benchmark(arguments: Arguments) -> Outcome<()> {
    support::site::clear()?;
    println!("{} price agreements over HTTP, {}", count(arguments.rows as f64), machine());
    let mut table = Table::new(&RATES);
    for engine in arguments.engines {
        let mut site = match Site::new(engine, Columns::Thirteen, "http").await {
            Ok(site) => site,
            Err(error) => {
                println!("{} is left out: {error}", engine.name());
                continue;
            }
        };
        let measured = pages(&mut site, arguments.rows, engine.name(), &mut table).await;
        site.remove().await?;
        measured?;
    }
    table.print();
    let mut site = Site::new(support::Engine::Sqlite, Columns::Thirteen, "http").await?;
    let measured = Box::pin(waits(&mut site)).await;
    site.remove().await?;
    measured?;
    let mut site = Site::new(support::Engine::Sqlite, Columns::Thirteen, "http").await?;
    let measured = uses_the_limit(&mut site).await;
    site.remove().await?;
    measured
}

/// The pages into the store, beside what bounds them.
async fn pages(site: &mut Site, rows: u64, name: &str, table: &mut Table) -> Outcome<()> {
    let server = Server::start(rows)?;
    site.reach("bench-odata", &server.address);
    let bridge = site.open().await?;
    let (run, seconds) = timed(pull(&bridge)).await?;
    expect("created", &run.counts.created, &rows)?;
    bridge.store.close().await;
    drop(server);
    let stored = limit::measure(&site.place, rows).await?;
    let parsed = parse(rows)?;
    let (slower, limit) = if parsed < stored.indexed {
        ("parsing alone".to_owned(), parsed)
    } else {
        (format!("{}, same indexes", stored.name), stored.indexed)
    };
    table.rate(&format!("{name}: OData pages"), rows as f64 / seconds, (&slower, limit), Some(PULLED));
    table.figure(&format!("{name}: parsing alone"), parsed);
    table.figure(&format!("{name}: {}", stored.name), stored.indexed);
    Ok(())
}

/// How many records a second of the same pages are parsed: the better of two times.
fn parse(rows: u64) -> Outcome<f64> {
    let bodies: Vec<String> = (0..rows.div_ceil(PAGE)).map(|number| odata::body(number, rows)).collect();
    let mut best = 0.0_f64;
    for _ in 0..2 {
        let begun = Instant::now();
        for body in &bodies {
            black_box(serde_json::from_str::<serde_json::Value>(body)?);
        }
        best = best.max(rows as f64 / begun.elapsed().as_secs_f64());
    }
    Ok(best)
}

/// How long orders wait that are sent while pages are read, one at a time: at the most for the page that is under way.
async fn waits(site: &mut Site) -> Outcome<()> {
    let server = Server::start(PAGES * PAGE)?;
    site.reach("bench-odata", &format!("{}slow/", server.address));
    let bridge = site.open().await?;
    let connector = &bridge.plan.links.get(CONNECTION).ok_or("there is no connection")?.connector;
    let action = connector.action("order").ok_or("there is no action")?;
    let orders = async {
        let mut longest = 0.0_f64;
        for _ in 0..ORDERS {
            let begun = Instant::now();
            let created = connector.create(action, &Map::default(), "TB-1", &Trail::default()).await;
            if !matches!(created, tradebridge::connector::Created::Accepted { .. }) {
                return Err(format!("an order came to {created:?}").into());
            }
            longest = longest.max(begun.elapsed().as_secs_f64());
            tokio::time::sleep(odata::SLOW).await;
        }
        Outcome::Ok(longest)
    };
    let (pulled, waited) = tokio::join!(timed(pull(&bridge)), orders);
    let ((_, seconds), waited) = (pulled?, waited?);
    bridge.store.close().await;
    // What the pull waited for orders is no time of a page.
    let page = (seconds / PAGES as f64).max(odata::SLOW.as_secs_f64());
    let ratio = waited / page;
    println!(
        "an order during a bulk pull waited {:.0} ms at the most, {ratio:.2} of the {:.0} ms of a page; target <= {WAITED}: {}",
        waited * 1e3,
        page * 1e3,
        word(ratio <= WAITED)
    );
    Ok(())
}

/// How much of what a limit allows is used.
async fn uses_the_limit(site: &mut Site) -> Outcome<()> {
    let server = Server::start(PAGE)?;
    site.reach("bench-limited", &format!("{}small/", server.address));
    let bridge = site.open().await?;
    let (run, seconds) = timed(pull(&bridge)).await?;
    bridge.store.close().await;
    expect("created", &run.counts.created, &SMALL)?;
    // The first span's requests may be sent at once.
    let least = (SMALL.div_ceil(REQUESTS) - 1) as f64 * PER;
    let ratio = least / seconds;
    println!(
        "{SMALL} requests at {REQUESTS} in {PER} s took {seconds:.2} s, where {least:.2} s is the least: {ratio:.2} of the limit is used; \
         target >= {USED}: {}",
        word(ratio >= USED)
    );
    Ok(())
}

async fn pull(bridge: &Bridge) -> Outcome<Run> {
    let pull = bridge.plan.pulls_of(CONNECTION, Some(ENTITY)).into_iter().next().ok_or("there is nothing to pull")?;
    let pulled = bridge.puller.pull(&bridge.plan, &pull, true, |_| {}).await?;
    let run = pulled.into_iter().next().ok_or("nothing was pulled")?.run;
    expect("the run's state", &run.state, &RunState::Done)?;
    Ok(run)
}
