//! How long a shop waits for a customer's prices while a large table is being written: `GET
//! /v1/price-agreements?customer=…` by four clients, over 100,000 price agreements, first with nothing else to do, then
//! during the first load of 1,000,000 rows of another company into the same store.
//!
//! `cargo bench --bench reads` runs the daemon in a release build as a process of its own, with PostgreSQL (at
//! `TEST_DATABASE_URL`, by default one on this machine; it makes a database and drops it) and with SQLite. `-- --rows N`
//! makes the load smaller, `-- --store sqlite|postgres` takes one store.

#![allow(clippy::print_stdout, reason = "a benchmark's figures are its output")]

mod support;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use support::data::{self, Columns, Numbers};
use support::site::{CONNECTION, ENTITY, FILE, Site};
use support::table::{Table, count, machine, percentile, word};
use support::{Arguments, Engine, Outcome, expect, program};

/// Price agreements that are read.
const STORED: u64 = 100_000;

/// Clients at once.
const CLIENTS: u64 = 4;

/// How long the clients read while nothing else is done.
const IDLE: Duration = Duration::from_secs(10);

/// How long an answer may take before it counts as none.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is aimed at: 99 of 100 answers come within this, in milliseconds.
const TARGET: f64 = 50.0;

/// The shop, and the connection of the company whose table is loaded meanwhile.
const MORE: &str = "
[[sync]]
connection = 'erp'
entity = 'customer'
every = '1d'
[[connection]]
name = 'other'
connector = 'csv-export'
company = 'NL02'
time_zone = 'Europe/Amsterdam'
settings = { directory = 'OTHER', stable = '10ms' }
[[sync]]
connection = 'other'
entity = 'price_agreement'
every = '1d'
[[shop]]
name = 'b2b'
companies = ['NL01']
connections = ['erp']
customers = \"'B2B' in groups\"
prices = 'shop'
[[key]]
name = 'bench'
shop = 'b2b'
scopes = ['read']
key = 'tb_bench_key'
";

fn main() -> ExitCode {
    support::run(benchmark)
}

async fn benchmark(arguments: Arguments) -> Outcome<()> {
    support::site::clear()?;
    println!("{} stored, {} loaded, {}", count(STORED as f64), count(arguments.rows as f64), machine());
    let heads = ["store", "meanwhile", "answers", "answers/s", "p50 ms", "p99 ms", "most ms", "target", "reached"];
    let mut table = Table::new(&heads);
    let mut notes = Vec::new();
    for engine in arguments.engines.iter().copied() {
        let mut site = match Site::new(engine, Columns::Eighteen, "reads").await {
            Ok(site) => site,
            Err(error) => {
                println!("{} is left out: {error}", engine.name());
                continue;
            }
        };
        let measured = measure(&mut site, engine, arguments.rows, &mut table, &mut notes).await;
        site.remove().await?;
        measured?;
    }
    table.print();
    for note in notes {
        println!("{note}");
    }
    Ok(())
}

async fn measure(
    site: &mut Site,
    engine: Engine,
    rows: u64,
    table: &mut Table,
    notes: &mut Vec<String>,
) -> Outcome<()> {
    let other = site.path("other");
    std::fs::create_dir(&other)?;
    site.configure(&MORE.replace("OTHER", &other.display().to_string()));
    site.export(&data::price_agreements(STORED, Columns::Eighteen, 0)?, &format!("export/{FILE}"))?;
    site.export(&data::customer_table(STORED)?, "export/klanten.csv")?;
    let configuration = site.configuration_file()?;
    for (entity, records) in [("customer", data::customers(STORED)), (ENTITY, STORED)] {
        let done = program::command(&configuration, &["sync", CONNECTION, entity])?;
        expect("records to read", &done.answer[0]["run"]["counts"]["created"].as_u64(), &Some(records))?;
    }
    let daemon = program::Daemon::start(&configuration)?;
    let address = format!("http://{}/v1/price-agreements", daemon.address);

    let idle = Clients::start(&address);
    tokio::time::sleep(IDLE).await;
    idle.end().await?.show(engine, "nothing", table);

    // Only now is there something for the other company: the daemon had nothing to pull of it when it started.
    site.export(&data::price_agreements(rows, Columns::Eighteen, 0)?, &format!("other/{FILE}"))?;
    let clients = Clients::start(&address);
    let load =
        tokio::task::spawn_blocking(move || program::command(&configuration, &["sync", "other", ENTITY])).await?;
    let answers = clients.end().await?;
    let load = load?;
    expect("records loaded meanwhile", &load.answer[0]["run"]["counts"]["created"].as_u64(), &Some(rows))?;
    answers.show(engine, "a first load", table);
    notes.push(format!("{}: loaded {} rows/s meanwhile", engine.name(), count(rows as f64 / load.seconds)));
    Ok(())
}

/// Clients that read until they are told to stop.
struct Clients {
    stop: Arc<AtomicBool>,
    begun: Instant,
    tasks: Vec<tokio::task::JoinHandle<Outcome<Vec<f64>>>>,
}

/// How long answers took, in milliseconds, shortest first.
struct Answers {
    latencies: Vec<f64>,
    seconds: f64,
}

impl Clients {
    fn start(address: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let tasks =
            (0..CLIENTS).map(|number| tokio::spawn(read(address.to_owned(), number, Arc::clone(&stop)))).collect();
        Self { stop, begun: Instant::now(), tasks }
    }

    async fn end(self) -> Outcome<Answers> {
        self.stop.store(true, Ordering::Relaxed);
        let seconds = self.begun.elapsed().as_secs_f64();
        let mut latencies = Vec::new();
        for task in self.tasks {
            latencies.extend(task.await??);
        }
        latencies.sort_by(f64::total_cmp);
        Ok(Answers { latencies, seconds })
    }
}

/// Asks for the prices of one customer after the other, on one connection.
async fn read(address: String, number: u64, stop: Arc<AtomicBool>) -> Outcome<Vec<f64>> {
    tradebridge::install_crypto();
    let client = reqwest::Client::builder().timeout(PATIENCE).build()?;
    let mut numbers = Numbers::new(100 + number);
    let mut latencies = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let customer = data::customer(numbers.below(data::customers(STORED)));
        let begun = Instant::now();
        let request = client.get(format!("{address}?customer={customer}")).bearer_auth("tb_bench_key");
        let answer = request.send().await?;
        let status = answer.status();
        let body = answer.bytes().await?;
        latencies.push(begun.elapsed().as_secs_f64() * 1000.0);
        // Not parsed: the clients are to take little of the machine that they measure.
        let seen = (status.as_u16(), body.starts_with(b"{\"items\":[{"));
        expect(&format!("the answer for customer {customer}"), &seen, &(200, true))?;
    }
    Ok(latencies)
}

impl Answers {
    /// The latency that a share of a hundred stays within.
    fn percentile(&self, share: usize) -> f64 {
        percentile(&self.latencies, share)
    }

    fn show(&self, engine: Engine, meanwhile: &str, table: &mut Table) {
        let p99 = self.percentile(99);
        table.row([
            engine.name().to_owned(),
            meanwhile.to_owned(),
            count(self.latencies.len() as f64),
            count(self.latencies.len() as f64 / self.seconds),
            format!("{:.1}", self.percentile(50)),
            format!("{p99:.1}"),
            format!("{:.1}", self.percentile(100)),
            format!("p99 < {TARGET:.0}"),
            word(p99 < TARGET).to_owned(),
        ]);
    }
}
