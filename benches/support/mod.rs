//! What the benchmarks of the pull path share: arguments, data, places to work in, limits, tables.
//!
//! What does not live here: what is measured (each benchmark).

#![allow(dead_code, reason = "each benchmark uses a part of this")]

pub mod data;
pub mod limit;
pub mod odata;
pub mod orders;
pub mod postgres;
pub mod program;
pub mod site;
pub mod sqlite;
pub mod table;

use std::error::Error;
use std::future::Future;
use std::process::ExitCode;
use std::time::Instant;

use data::Columns;

/// What a benchmark comes to; an error is something wrong, never something slow.
pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Where parts are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Postgres,
    Sqlite,
}

impl Engine {
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Sqlite => "SQLite",
        }
    }
}

/// What a benchmark is told on its command line.
#[derive(Debug, Clone)]
pub struct Arguments {
    /// How many rows.
    pub rows: u64,
    /// How many orders wait.
    pub orders: u64,
    /// How many orders the daemon sends side by side; its default where there is none.
    pub concurrency: Option<u32>,
    /// What is measured, of a benchmark that measures several things; all where there is none.
    pub parts: Vec<String>,
    /// The stores, in the order in which they are measured.
    pub engines: Vec<Engine>,
    /// The columns of the table.
    pub columns: Columns,
    /// Write the data, say where they are, and measure nothing.
    pub data_only: bool,
}

const USAGE: &str = "--rows N  --orders N  --concurrency N  --parts NAME,NAME  --store sqlite|postgres|both  --shipped (18 columns through the connector csv-export)  \
                     --data-only";

impl Arguments {
    /// Reads the command line; what is not said is a million rows, both stores and 13 columns.
    pub fn read() -> Outcome<Self> {
        let mut read = Self {
            rows: 1_000_000,
            orders: 100_000,
            concurrency: None,
            parts: Vec::new(),
            engines: vec![Engine::Postgres, Engine::Sqlite],
            columns: Columns::Thirteen,
            data_only: false,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value; there are: {USAGE}"));
            match word.as_str() {
                "--rows" => read.rows = value()?.replace('_', "").parse()?,
                "--orders" => read.orders = value()?.replace('_', "").parse()?,
                "--concurrency" => read.concurrency = Some(value()?.parse()?),
                "--parts" => read.parts = value()?.split(',').map(str::to_owned).collect(),
                "--store" => {
                    read.engines = match value()?.as_str() {
                        "sqlite" => vec![Engine::Sqlite],
                        "postgres" => vec![Engine::Postgres],
                        "both" => vec![Engine::Postgres, Engine::Sqlite],
                        other => return Err(format!("there is no store {other}; there are: {USAGE}").into()),
                    }
                }
                "--shipped" => read.columns = Columns::Eighteen,
                "--data-only" => read.data_only = true,
                // What cargo adds.
                "--bench" => {}
                other => return Err(format!("what is {other}? There are: {USAGE}").into()),
            }
        }
        if read.rows < 10_000 {
            return Err("fewer than 10,000 rows say nothing".into());
        }
        Ok(read)
    }
}

/// Runs a benchmark in a runtime like the daemon's. Only what is wrong makes the exit code another than 0.
pub fn run<F: Future<Output = Outcome<()>>>(benchmark: impl FnOnce(Arguments) -> F) -> ExitCode {
    let done = Arguments::read().and_then(|arguments| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(benchmark(arguments))
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("FAILED: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Waits for something and says how many seconds that took.
pub async fn timed<T>(work: impl Future<Output = Outcome<T>>) -> Outcome<(T, f64)> {
    let begun = Instant::now();
    let value = work.await?;
    Ok((value, begun.elapsed().as_secs_f64()))
}

/// The middle of some figures.
pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// An error that says what was expected of what.
pub fn expect<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Outcome<()> {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?} instead of {expected:?}").into()) }
}
