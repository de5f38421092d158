//! How much memory the program takes for a pull, as the operating system counts it: a first load and a second pass over
//! 1,000,000 rows, and over ten times as many.
//!
//! `cargo bench --bench memory` runs `tradebridge sync` in a release build as a process of its own, with PostgreSQL (at
//! `TEST_DATABASE_URL`, by default one on this machine; it makes databases and drops them) and with SQLite. It needs Linux
//! and 20 GB of disk; `-- --rows N` scales both tables, `-- --store sqlite|postgres` takes one store.

#![allow(clippy::print_stdout, reason = "a benchmark's figures are its output")]

mod support;

use std::process::ExitCode;

use support::site::{CONNECTION, ENTITY, FILE, Site};
use support::table::{Table, count, machine, word};
use support::{Arguments, Engine, Outcome, data, expect, program};

/// How many times as many rows the larger table has.
const TIMES: u64 = 10;

/// What is aimed at: the larger table's peak as a multiple of the smaller one's, and a peak in bytes.
const GROWTH: f64 = 1.2;
const MOST: u64 = 256 << 20;

fn main() -> ExitCode {
    support::run(benchmark)
}

/// The peaks of a first load and of a second pass, in bytes.
type Peaks = [u64; 2];

async fn benchmark(arguments: Arguments) -> Outcome<()> {
    support::site::clear()?;
    println!("{}", machine());
    let mut figures = Table::new(&["store", "rows", "pass", "rows/s", "peak MiB", "target", "reached"]);
    let mut growth = Table::new(&["store", "pass", "ten times / once", "target", "reached"]);
    for engine in arguments.engines.iter().copied() {
        let mut peaks: Vec<Peaks> = Vec::new();
        for rows in [arguments.rows, arguments.rows * TIMES] {
            let site = match Site::new(engine, arguments.columns, "memory").await {
                Ok(site) => site,
                Err(error) => {
                    println!("{} is left out: {error}", engine.name());
                    break;
                }
            };
            let measured = measure(&site, engine, &arguments, rows, &mut figures);
            site.remove().await?;
            peaks.push(measured?);
        }
        if let [once, ten_times] = peaks[..] {
            for (pass, (once, ten_times)) in PASSES.iter().zip(once.into_iter().zip(ten_times)) {
                let ratio = ten_times as f64 / once as f64;
                growth.row([
                    engine.name().to_owned(),
                    (*pass).to_owned(),
                    format!("{ratio:.2}"),
                    format!("<= {GROWTH:.2}"),
                    word(ratio <= GROWTH).to_owned(),
                ]);
            }
        }
    }
    figures.print();
    println!();
    growth.print();
    Ok(())
}

const PASSES: [&str; 2] = ["first load", "unchanged"];

fn measure(site: &Site, engine: Engine, arguments: &Arguments, rows: u64, figures: &mut Table) -> Outcome<Peaks> {
    site.export(&data::price_agreements(rows, arguments.columns, 0)?, &format!("export/{FILE}"))?;
    let configuration = site.configuration_file()?;
    let mut peaks = [0; 2];
    for ((pass, counted), peak) in PASSES.iter().zip(["created", "unchanged"]).zip(&mut peaks) {
        let done = program::command(&configuration, &["sync", CONNECTION, ENTITY, "--full"])?;
        let found = done.answer[0]["run"]["counts"][counted].as_u64();
        expect(&format!("records {counted} by the {pass}"), &found, &Some(rows))?;
        expect("whether the system told how much memory it took", &(done.peak > 0), &true)?;
        *peak = done.peak;
        figures.row([
            engine.name().to_owned(),
            count(rows as f64),
            (*pass).to_owned(),
            count(rows as f64 / done.seconds),
            format!("{:.1}", done.peak as f64 / f64::from(1 << 20)),
            format!("< {}", MOST >> 20),
            word(done.peak < MOST).to_owned(),
        ]);
    }
    Ok(peaks)
}
