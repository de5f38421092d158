//! The chaos run: shops post orders to several daemons over one PostgreSQL and one broker, to ERPs that have all kinds of
//! trouble, while machines and network fail. In the end every order that was accepted must be in the ERP once, or a person
//! must know why not.
//!
//! What is done, and when by the number of orders, follows from a seed; how far things are by then does not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// It says what it does.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod draw;
mod erp;
mod faults;
mod fleet;
mod options;
mod proxy;
#[allow(dead_code)]
#[path = "../it/http/server.rs"]
mod server;
mod servers;
mod shops;
mod site;
#[allow(dead_code)]
mod support;
mod trouble;
mod verdict;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

use serde_json::Value;
use tokio::runtime::{Handle, Runtime};

use erp::Erp;
use faults::World;
use fleet::Fleet;
use options::Options;
use servers::{Broker, Postgres};
use shops::Shops;
use site::Servers;
use trouble::Class;
use verdict::Verdict;

/// What the servers that are shared with other tests need to know of them.
mod daemon {
    /// How long something that surely happens may take on a busy machine.
    pub(crate) const PATIENCE: std::time::Duration = std::time::Duration::from_mins(2);
}

/// Findings that are shown; all of them are in a file.
const SHOWN: usize = 5;

fn main() -> ExitCode {
    let options = match Options::read(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(wrong) => {
            eprintln!("{wrong}");
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let mut good = true;
    for seed in options.seeds.clone() {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("chaos/seed-{seed}"));
        // What is left of the last time.
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        let verdict = run(&runtime, seed, &options, &directory);
        println!("seed {seed}: {verdict}");
        if verdict.is_good() {
            if !options.keep {
                std::fs::remove_dir_all(&directory).unwrap();
            }
            continue;
        }
        good = false;
        let findings = directory.join("findings.txt");
        std::fs::write(&findings, verdict.findings.join("\n\n")).unwrap();
        for finding in verdict.findings.iter().take(SHOWN) {
            println!("\n{finding}");
        }
        println!("\n{} in all: {}; the logs are beside it", verdict.findings.len(), findings.display());
    }
    ExitCode::from(u8::from(!good))
}

/// One run.
fn run(runtime: &Runtime, seed: u64, options: &Options, directory: &Path) -> Verdict {
    let begun = Instant::now();
    let world = runtime.block_on(build(seed, options, directory, runtime.handle().clone()));
    let mut shops = {
        let _inside = runtime.enter();
        Shops::begin(seed, options.orders, world.fleet.daemons.clone())
    };
    println!("seed {seed}: {} orders, {} daemons", options.orders, options.daemons);
    for erp in &world.erps {
        erp.set_calm(false);
    }
    let accidents = faults::plan(seed, options);
    for (at, accident) in accidents.iter().enumerate() {
        // Until the next accident begins, no more than the orders before it are posted.
        shops.let_post(accident.after);
        runtime.block_on(shops.answered(accident.after));
        let next = accidents.get(at + 1).map_or(options.orders, |next| next.after);
        shops.let_post(next);
        let faults: Vec<String> =
            accident.faults.iter().map(|(fault, lasts)| format!("{fault} ({:.1} s)", lasts.as_secs_f64())).collect();
        println!("  {:6.1} s, {:4} orders: {}", begun.elapsed().as_secs_f64(), accident.after, faults.join("; "));
        world.happen(accident);
    }
    shops.let_post(options.orders);
    let told = runtime.block_on(shops.end());
    for erp in &world.erps {
        erp.set_calm(true);
    }
    println!("  {:6.1} s: all is over", begun.elapsed().as_secs_f64());
    let converged = runtime.block_on(verdict::converge(&world));
    let verdict = runtime.block_on(verdict::judge(seed, &world, &told, converged));
    keep_logs(&world, directory);
    for daemon in world.fleet.daemons.iter().filter(|daemon| daemon.ended() > 0) {
        println!("  daemon {} ended {} times by itself and was started again", daemon.number, daemon.ended());
    }
    verdict
}

/// Starts everything, and waits until shops can order.
async fn build(seed: u64, options: &Options, directory: &Path, handle: Handle) -> World {
    let postgres = tokio::task::spawn_blocking(Postgres::start);
    let broker = Broker::start().await;
    let postgres = postgres.await.unwrap();
    let mut erps = Vec::new();
    for class in Class::ALL {
        erps.push(Erp::open(class, seed).await);
    }
    let servers = Servers { postgres: postgres.port(), broker: broker.port, vhost: broker.vhost(), erps: erps.clone() };
    site::write_files(directory, &servers);
    let fleet = Fleet::start(options.daemons, directory, &servers).await;
    let world = World { fleet, postgres, broker: Mutex::new(broker), erps, handle };
    ready(&world, directory).await;
    world
}

/// Waits until every daemon answers, and shops see what they can order.
async fn ready(world: &World, directory: &Path) {
    let http = support::http().build().unwrap();
    let until = Instant::now() + daemon::PATIENCE;
    for daemon in &world.fleet.daemons {
        for class in Class::ALL {
            for (entity, count) in [("customers", erp::CUSTOMERS), ("products", erp::PRODUCTS)] {
                loop {
                    let request =
                        http.get(format!("{}/v1/{entity}", daemon.address())).bearer_auth(site::key(class.name()));
                    let read = async { request.send().await?.json::<Value>().await };
                    let items = read.await.ok().and_then(|answer| Some(answer["items"].as_array()?.len()));
                    if items == Some(count) {
                        break;
                    }
                    let late = Instant::now() > until;
                    assert!(!late, "daemon {} has no {entity}; see {}", daemon.number, directory.display());
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            }
        }
    }
}

/// Puts the broker's log beside those of the daemons.
fn keep_logs(world: &World, directory: &Path) {
    let from: PathBuf = world.broker.lock().unwrap().logs();
    for entry in std::fs::read_dir(from).into_iter().flatten().flatten() {
        // It is for whoever looks into what went wrong, and may be gone.
        let _ = std::fs::copy(entry.path(), directory.join(entry.file_name()));
    }
}
