//! The order path: how many orders are accepted and brought to an ERP, how long one takes, and how much memory a backlog
//! takes, each beside what store and broker can do with the same statements and the same bytes in the same run.
//!
//! `cargo bench --bench orders` runs the daemon in a release build as a process of its own, with PostgreSQL (at
//! `TEST_DATABASE_URL`, by default one on this machine; it makes a database and drops it) and RabbitMQ (at
//! `TRADEBRIDGE_TEST_RABBITMQ`, or one that is started for it), and with SQLite and the embedded queue. `-- --orders N` makes
//! the backlog smaller, `-- --concurrency N` has the daemon send so many orders side by side, `-- --store sqlite|postgres`
//! takes one store, `-- --parts accepted,relay,life,latency,backlog` some of what is measured.

#![allow(clippy::print_stdout, reason = "a benchmark's figures are its output")]

mod support;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use support::orders::broker::{AWAY, Broker};
use support::orders::erp::Erp;
use support::orders::home::{Around, Home, TARGET};
use support::orders::lapin::Bare as BareBroker;
use support::orders::pgbench::Pgbench;
use support::orders::recorder::Recorder;
use support::orders::script::{self, Script};
use support::orders::sqlite::{Bare as BareStore, Share};
use support::orders::{relay, shop};
use support::table::{Table, count, machine, word};
use support::{Arguments, Engine, Outcome, expect};

/// Connections of the shop, of the daemon to its store, and of the limit.
const CONNECTIONS: usize = 10;
/// How long a rate is measured, and how often: limit and daemon take turns.
const SPAN: Duration = Duration::from_secs(8);
const ROUNDS: usize = 2;
/// How long the ERP takes for an order.
const ANSWER: Duration = Duration::from_millis(5);
/// Orders that are brought to the ERP, and messages that are published.
const LIVES: u64 = 2_000;
const MESSAGES: u64 = 20_000;
/// Orders whose way is timed, and the time between two of them.
const TIMED: u64 = 600;
const EVERY: Duration = Duration::from_millis(50);

/// What is aimed at.
const ACCEPTED: f64 = 0.5;
const RELAYED: f64 = 0.6;
const LIVED: f64 = 0.5;
const MEDIAN: f64 = 50.0;
const P99: f64 = 250.0;
const MEMORY: f64 = 200.0;

fn main() -> ExitCode {
    support::run(benchmark)
}

async fn benchmark(arguments: Arguments) -> Outcome<()> {
    support::site::clear()?;
    println!("orders, {} connections, {}", CONNECTIONS, machine());
    let broker = match Broker::start().await {
        Ok(broker) => Some(broker),
        Err(error) => {
            println!("RabbitMQ is left out: {error}");
            None
        }
    };
    let mut tables = Tables::new();
    let mut measured = Ok(());
    for engine in arguments.engines.iter().copied() {
        let home = match Home::new(engine, arguments.concurrency).await {
            Ok(home) => home,
            Err(error) => {
                println!("{} is left out: {error}", engine.name());
                continue;
            }
        };
        let mut bench = Bench { home, broker: broker.as_ref(), arguments: &arguments, tables: &mut tables };
        measured = match engine {
            Engine::Postgres => Box::pin(bench.postgres()).await,
            Engine::Sqlite => Box::pin(bench.sqlite()).await,
        };
        bench.home.remove().await?;
        if measured.is_err() {
            break;
        }
    }
    if let Some(broker) = broker {
        broker.remove().await?;
    }
    tables.print();
    measured
}

/// What is shown at the end.
struct Tables {
    rates: Table,
    latencies: Table,
    notes: Vec<String>,
}

impl Tables {
    fn new() -> Self {
        Self {
            rates: Table::new(&["what", "orders/s", "limit", "a second", "ratio", "target", "reached"]),
            latencies: Table::new(&["what", "orders", "p50 ms", "p99 ms", "most ms", "target", "reached"]),
            notes: Vec::new(),
        }
    }

    fn print(&self) {
        self.rates.print();
        println!();
        self.latencies.print();
        for note in &self.notes {
            println!("{note}");
        }
    }
}

struct Bench<'a> {
    home: Home,
    broker: Option<&'a Broker>,
    arguments: &'a Arguments,
    tables: &'a mut Tables,
}

impl Bench<'_> {
    fn wants(&self, part: &str) -> bool {
        self.arguments.parts.is_empty() || self.arguments.parts.iter().any(|wanted| wanted == part)
    }

    async fn postgres(&mut self) -> Outcome<()> {
        let Some(broker) = self.broker else {
            println!("PostgreSQL is left out: its half needs RabbitMQ");
            return Ok(());
        };
        let queue = broker.url();
        if self.wants("accepted") || self.wants("life") {
            let mut pgbench = Pgbench::find()?;
            let (intake, life) = self.record(&queue).await?;
            for (name, script) in [("accepting an order", &intake), ("an order's life", &life)] {
                let Script { statements, commits, .. } = script;
                self.tables.notes.push(format!("{name}: {statements} statements, {commits} commits that write"));
            }
            if self.wants("accepted") {
                let mut rates = Rates::default();
                for _ in 0..ROUNDS {
                    rates.limit(self.pgbench(&mut pgbench, &intake).await?);
                    rates.ours(self.accepted().await?);
                }
                rates.show("PostgreSQL: accepted", "pgbench, same statements", ACCEPTED, &mut self.tables.rates);
            }
            if self.wants("life") {
                let mut rates = Rates::default();
                for _ in 0..ROUNDS {
                    rates.limit(self.pgbench(&mut pgbench, &life).await?);
                    rates.ours(self.lived(&queue).await?);
                }
                let what = "PostgreSQL, RabbitMQ: to the ERP";
                rates.show(what, "pgbench, same statements", LIVED, &mut self.tables.rates);
            }
        }
        if self.wants("relay") {
            self.relay(broker).await?;
        }
        if self.wants("latency") {
            self.latency("PostgreSQL, RabbitMQ", &queue).await?;
        }
        if self.wants("backlog") {
            self.backlog(broker).await?;
        }
        Ok(())
    }

    async fn sqlite(&mut self) -> Outcome<()> {
        for (part, share, target) in [("accepted", Share::Intake, ACCEPTED), ("life", Share::Life, LIVED)] {
            if !self.wants(part) {
                continue;
            }
            let mut rates = Rates::default();
            for _ in 0..ROUNDS {
                rates.ours(match share {
                    Share::Intake => self.accepted().await?,
                    Share::Life => self.lived("embedded").await?,
                });
                // With an order of the daemon's as the pattern.
                let bare = Arc::new(BareStore::open(&self.home.url()).await?);
                let alone = bare.rate(share, 1, SPAN / 2).await?;
                let together = bare.rate(share, CONNECTIONS, SPAN / 2).await?;
                bare.close().await;
                rates.limit(alone.max(together));
            }
            let what = match share {
                Share::Intake => "SQLite: accepted",
                Share::Life => "SQLite, embedded queue: to the ERP",
            };
            rates.show(what, "the same statements", target, &mut self.tables.rates);
        }
        if self.wants("latency") {
            self.latency("SQLite, embedded queue", "embedded").await?;
        }
        Ok(())
    }

    /// What the daemon asks of the server for an order: until it is accepted, and until the ERP has it.
    async fn record(&mut self, queue: &str) -> Outcome<(Script, Script)> {
        const ORDERS: usize = 5;
        // Longer than it takes for everything that follows from an order to be done.
        const REST: Duration = Duration::from_millis(400);
        self.home.clear().await?;
        let erp = Erp::start(ANSWER).await?;
        let url = self.home.url();
        let authority = url.split_once("://").ok_or("an address without a scheme")?.1;
        let server = authority.split('/').next().unwrap_or_default().rsplit('@').next().unwrap_or_default();
        let server = if server.contains(':') { server.to_owned() } else { format!("{server}:5432") };
        let recorder = Recorder::start(server.clone()).await?;
        let through = url.replacen(server.as_str(), &format!("127.0.0.1:{}", recorder.port), 1);
        let mark = if through.contains('?') { '&' } else { '?' };
        let around = Around { queue, erp: &erp.address };
        let daemon = self.home.daemon_through(&around, &format!("{through}{mark}sslmode=disable"))?;
        // Until every statement is prepared on every connection.
        shop::post(&daemon.address, "WARM", CONNECTIONS, 200, SPAN).await?;
        self.home.finished(200).await?;
        let mut client = shop::Client::connect(&daemon.address).await?;
        let (mut intakes, mut lives) = (Vec::new(), Vec::new());
        for number in 0..ORDERS {
            tokio::time::sleep(REST).await;
            recorder.take();
            client.post(&format!("RECORDED-{number}")).await?;
            tokio::time::sleep(REST).await;
            let units = recorder.take();
            intakes.push(script::intake(&units)?);
            lives.push(units);
        }
        Ok((script::of(&intakes)?, script::of(&lives)?))
    }

    /// Rounds a second that the server can do.
    async fn pgbench(&self, pgbench: &mut Pgbench, script: &Script) -> Outcome<f64> {
        self.home.clear().await?;
        pgbench.run(script, &self.home.directory(), &self.home.url(), CONNECTIONS, SPAN).await
    }

    /// Orders a second that are accepted, with the broker away, so that nothing but the intake works.
    async fn accepted(&mut self) -> Outcome<f64> {
        self.home.clear().await?;
        let daemon = self.home.daemon(&Around { queue: AWAY, erp: "http://127.0.0.1:1/" })?;
        shop::post(&daemon.address, "WARM", CONNECTIONS, 100, SPAN).await?;
        let (begun, used) = (Instant::now(), daemon.processor_time());
        let posted = shop::post(&daemon.address, "ACCEPTED", CONNECTIONS, u64::MAX, SPAN).await?;
        let seconds = begun.elapsed().as_secs_f64();
        let used = (daemon.processor_time() - used) / posted.len() as f64;
        drop(daemon);
        let stored = self.home.number("SELECT count(*) FROM orders").await?;
        expect("orders stored", &stored.unsigned_abs(), &(posted.len() as u64 + 100))?;
        let name = self.home.engine().name();
        self.tables
            .notes
            .push(format!("{name}: accepting an order took the daemon {:.2} ms of a processor", used * 1e3));
        Ok(posted.len() as f64 / seconds)
    }

    /// Orders a second from the shop's request to the ERP's answer.
    async fn lived(&mut self, queue: &str) -> Outcome<f64> {
        self.home.clear().await?;
        let erp = Erp::start(ANSWER).await?;
        let daemon = self.home.daemon(&Around { queue, erp: &erp.address })?;
        shop::post(&daemon.address, "WARM", CONNECTIONS, 100, SPAN).await?;
        self.home.finished(100).await?;
        let (begun, used) = (Instant::now(), daemon.processor_time());
        let posted = shop::post(&daemon.address, "LIFE", CONNECTIONS, LIVES, SPAN * 100).await?;
        let accepted = begun.elapsed().as_secs_f64();
        let done = self.home.finished(posted.len() as u64 + 100).await?;
        let seconds = (done - begun).as_secs_f64();
        let used = (daemon.processor_time() - used) / posted.len() as f64;
        expect("orders that came twice", &erp.twice(), &0)?;
        self.tables.notes.push(format!(
            "{}: {} orders were accepted in {accepted:.1} s and with the ERP after {seconds:.1} s, {:.2} ms of a processor each",
            self.home.engine().name(),
            count(posted.len() as f64),
            used * 1e3
        ));
        Ok(posted.len() as f64 / seconds)
    }

    /// Messages a second from the outbox to the queue, with confirms.
    async fn relay(&mut self, broker: &Broker) -> Outcome<()> {
        self.prepare(MESSAGES).await?;
        let bare = BareBroker::connect(broker, &format!("tradebridge.orders.work.{TARGET}")).await?;
        let around = Around { queue: &broker.url(), erp: "http://127.0.0.1:1/" };
        let configuration = self.home.configure(&around)?;
        support::program::command(&configuration, &["broker", "declare"])?;
        let mut rates = Rates::default();
        for _ in 0..ROUNDS {
            let relayed = relay::publish_all(&configuration, TARGET, MESSAGES).await?;
            rates.ours(relayed.rate);
            expect("messages in the queue", &bare.purge().await?, &MESSAGES)?;
            rates.limit(bare.publish(&relayed.messages).await?);
            expect("messages in the queue", &bare.purge().await?, &MESSAGES)?;
            self.home
                .execute("UPDATE outbox SET published_at = NULL, publications = 0, due_at = not_before; VACUUM")
                .await?;
        }
        bare.close().await?;
        rates.show("outbox to quorum queue", "lapin, windows of 100", RELAYED, &mut self.tables.rates);
        Ok(())
    }

    /// So many orders that wait, each with its message, and no daemon.
    async fn prepare(&mut self, orders: u64) -> Outcome<()> {
        self.home.clear().await?;
        let daemon = self.home.daemon(&Around { queue: AWAY, erp: "http://127.0.0.1:1/" })?;
        shop::post(&daemon.address, "WAITING", 1, 1, SPAN).await?;
        drop(daemon);
        self.home.multiply(orders).await
    }

    /// How long an order takes from the shop to the ERP where the daemon has little to do.
    async fn latency(&mut self, what: &str, queue: &str) -> Outcome<()> {
        self.home.clear().await?;
        let erp = Erp::start(ANSWER).await?;
        let daemon = self.home.daemon(&Around { queue, erp: &erp.address })?;
        shop::post(&daemon.address, "WARM", 1, 20, SPAN).await?;
        self.home.finished(20).await?;
        erp.arrivals();
        let posted = shop::post_every(&daemon.address, "TIMED", TIMED, EVERY).await?;
        self.home.finished(TIMED + 20).await?;
        let arrivals = erp.arrivals();
        let (mut accepted, mut sent) = (Vec::new(), Vec::new());
        for order in &posted {
            let arrived = *arrivals.get(&order.reference).ok_or("an order did not arrive")?;
            // It may be with the ERP before the shop has read the answer.
            accepted.push(arrived.saturating_duration_since(order.answered).as_secs_f64() * 1e3);
            sent.push(arrived.saturating_duration_since(order.sent).as_secs_f64() * 1e3);
        }
        for (from, times, aimed) in [("accepted", accepted, true), ("posted", sent, false)] {
            let times = support::table::sorted(times);
            let at = |share| support::table::percentile(&times, share);
            let (p50, p99) = (at(50), at(99));
            self.tables.latencies.row([
                format!("{what}: {from} to arrived"),
                count(times.len() as f64),
                format!("{p50:.1}"),
                format!("{p99:.1}"),
                format!("{:.1}", at(100)),
                if aimed { format!("p50 < {MEDIAN:.0}, p99 < {P99:.0}") } else { String::new() },
                if aimed { word(p50 < MEDIAN && p99 < P99).to_owned() } else { String::new() },
            ]);
        }
        Ok(())
    }

    /// A backlog, and the most memory that the daemon takes until it is gone.
    async fn backlog(&mut self, broker: &Broker) -> Outcome<()> {
        let orders = self.arguments.orders;
        self.prepare(orders).await?;
        let erp = Erp::start(Duration::ZERO).await?;
        let begun = Instant::now();
        let daemon = self.home.daemon(&Around { queue: &broker.url(), erp: &erp.address })?;
        let done = self.home.finished(orders).await?;
        let (seconds, peak) = ((done - begun).as_secs_f64(), daemon.peak() as f64 / f64::from(1 << 20));
        expect("orders that came twice", &erp.twice(), &0)?;
        self.tables.notes.push(format!(
            "a backlog of {} orders was gone after {seconds:.0} s ({} a second), with {peak:.1} MiB at the most; target < \
             {MEMORY:.0}: {}",
            count(orders as f64),
            count(orders as f64 / seconds),
            word(peak < MEMORY)
        ));
        Ok(())
    }
}

/// Rates that were measured in turns.
#[derive(Default)]
struct Rates {
    ours: Vec<f64>,
    limits: Vec<f64>,
}

impl Rates {
    fn ours(&mut self, rate: f64) {
        self.ours.push(rate);
    }

    fn limit(&mut self, rate: f64) {
        self.limits.push(rate);
    }

    /// The best of each.
    fn show(&self, what: &str, limit: &str, target: f64, table: &mut Table) {
        let best = |rates: &[f64]| rates.iter().copied().fold(0.0, f64::max);
        println!("{what}: {:.0?} of {:.0?}", self.ours, self.limits);
        table.rate(what, best(&self.ours), (limit, best(&self.limits)), Some(target));
    }
}
