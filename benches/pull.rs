//! The pull path from the file to the feed: a complete first load, the same again unchanged, and 1,000 rows changed,
//! each beside what the engine can do with the same rows in the same run. Of first loads and of the limit the best of two
//! or more counts, of the rest the median of three.
//!
//! `cargo bench --bench pull` measures 1,000,000 price agreements into PostgreSQL (at `TEST_DATABASE_URL`, by default
//! one on this machine; it makes a database and drops it) and into SQLite. `-- --rows N` takes fewer rows,
//! `-- --store sqlite|postgres` one store, `-- --shipped` the 18 columns of the connector `csv-export`; `-- --data-only`
//! makes the table and says where it is.

#![allow(clippy::print_stdout, reason = "a benchmark's figures are its output")]

mod support;

use std::path::Path;
use std::process::ExitCode;

use support::limit::{self, Limit};
use support::site::{Bridge, CONNECTION, ENTITY, Site};
use support::table::{RATES, Table, count, machine};
use support::{Arguments, Engine, Outcome, data, expect, median, timed};
use tradebridge::store::{Feed as _, Run, RunState};

/// How many rows are changed.
const CHANGED: u64 = 1_000;

/// How many changes the feed is asked for: more than there are to be.
const MOST_CHANGES: u32 = 10_000;

/// Where the ERP puts the table.
const EXPORT: &str = "export/prijsafspraken.csv";

/// How often the unchanged and the changed table are pulled: in turns, so that a slow moment meets both.
const ROUNDS: usize = 3;

/// What is aimed at: of the limit, of `COPY`, of the unchanged table.
const FIRST: f64 = 0.6;
const UNCHANGED: f64 = 2.0;
const AS_FAST: f64 = 0.9;

/// Tables that a run may write to although nothing changed.
const OF_RUNS: [&str; 3] = ["run", "taken", "seen"];

fn main() -> ExitCode {
    support::run(benchmark)
}

async fn benchmark(arguments: Arguments) -> Outcome<()> {
    let (rows, columns) = (arguments.rows, arguments.columns);
    let base = data::price_agreements(rows, columns, 0)?;
    let changed = data::price_agreements(rows, columns, CHANGED)?;
    if arguments.data_only {
        println!("{}", base.display());
        return Ok(());
    }
    support::site::clear()?;
    println!("{} price agreements, {} ({})", count(rows as f64), machine(), columns.connector());
    let mut table = Table::new(&RATES);
    let mut notes = Vec::new();
    let mut copy = None;
    for engine in arguments.engines {
        let site = match Site::new(engine, columns, "pull").await {
            Ok(site) => site,
            Err(error) => {
                println!("{} is left out: {error}", engine.name());
                continue;
            }
        };
        // The better of two first loads counts, as the better of several counts of the limit.
        let loaded = load(&site, rows, &base).await;
        if let Ok((bridge, _)) = &loaded {
            bridge.store.close().await;
        }
        site.remove().await?;
        let (_, spare) = loaded?;
        let site = Site::new(engine, columns, "pull").await?;
        let measured = Box::pin(measure(&site, rows, &base, &changed)).await;
        site.remove().await?;
        let Measured { first, unchanged, moved, limit, written } = measured?;
        if engine == Engine::Postgres {
            copy = Some(limit.indexed);
        }
        let name = engine.name();
        let same_indexes = format!("{}, same indexes", limit.name);
        table.rate(&format!("{name}: first load"), first.max(spare), (&same_indexes, limit.indexed), Some(FIRST));
        match copy {
            Some(copy) => {
                table.rate(&format!("{name}: unchanged"), unchanged, ("COPY, same indexes", copy), Some(UNCHANGED));
            }
            None => table.rate(&format!("{name}: unchanged"), unchanged, (&same_indexes, limit.indexed), None),
        }
        let what = format!("{name}: {} changed", count(CHANGED as f64));
        table.rate(&what, moved, ("the same, unchanged", unchanged), Some(AS_FAST));
        table.figure(&format!("{name}: {}, primary key only", limit.name), limit.bare);
        notes.push(format!("{name}: an unchanged pull wrote {} bytes", count(written as f64)));
    }
    table.print();
    for note in notes {
        println!("{note}");
    }
    Ok(())
}

/// What was measured with one store, in rows per second.
struct Measured {
    first: f64,
    unchanged: f64,
    moved: f64,
    limit: Limit,
    /// Bytes that an unchanged pull wrote.
    written: i64,
}

async fn measure(site: &Site, rows: u64, base: &Path, changed: &Path) -> Outcome<Measured> {
    let (bridge, first) = load(site, rows, base).await?;
    // Soon after the load, so that both meet the same machine.
    let limit = limit::measure(&site.place, rows).await?;
    site.settle().await?;

    // Once without a clock: what it writes, and that nothing changes.
    let (head, counts, begun) = (bridge.store.head().await?, without_runs(site).await?, site.written().await?);
    let run = pull(&bridge).await?;
    let written = site.written().await? - begun;
    expect("rows recognised", &run.counts.unchanged, &rows)?;
    expect("the feed's end after a pull without changes", &bridge.store.head().await?, &head)?;
    expect("rows of every table after a pull without changes", &without_runs(site).await?, &counts)?;

    let (mut unchanged, mut moved) = (Vec::new(), Vec::new());
    let mut now = (base, changed);
    for _ in 0..ROUNDS {
        site.settle().await?;
        let (run, seconds) = timed(pull(&bridge)).await?;
        expect("rows recognised", &run.counts.unchanged, &rows)?;
        unchanged.push(rows as f64 / seconds);

        site.export(now.1, EXPORT)?;
        site.settle().await?;
        let head = bridge.store.head().await?;
        let (run, seconds) = timed(pull(&bridge)).await?;
        let counts = (run.counts.updated, run.counts.unchanged, run.counts.created, run.counts.deleted);
        expect("rows changed", &counts, &(CHANGED, rows - CHANGED, 0, 0))?;
        let feed = bridge.store.changes(head.sequence, &[], MOST_CHANGES).await?;
        expect("changes in the feed", &(feed.len() as u64), &CHANGED)?;
        moved.push(rows as f64 / seconds);
        now = (now.1, now.0);
    }
    bridge.store.close().await;
    Ok(Measured { first, unchanged: median(&unchanged), moved: median(&moved), limit, written })
}

/// Loads the table into an empty store, and says how many rows per second.
async fn load(site: &Site, rows: u64, base: &Path) -> Outcome<(Bridge, f64)> {
    let bridge = site.open().await?;
    site.export(base, EXPORT)?;
    site.settle().await?;
    let (run, seconds) = timed(pull(&bridge)).await?;
    expect("rows of the first load", &(run.counts.created, run.counts.rejected), &(rows, 0))?;
    Ok((bridge, rows as f64 / seconds))
}

/// How many rows each table has, without what every run writes.
async fn without_runs(site: &Site) -> Outcome<Vec<(String, i64)>> {
    let counts = site.counts().await?;
    Ok(counts.into_iter().filter(|(table, _)| !OF_RUNS.contains(&table.as_str())).collect())
}

/// Reads the file to its end, whether or not it was read before; it must end well.
async fn pull(bridge: &Bridge) -> Outcome<Run> {
    let pull = bridge.plan.pulls_of(CONNECTION, Some(ENTITY)).pop().ok_or("nothing is pulled")?;
    let run = bridge.puller.pull(&bridge.plan, &pull, true, |_| {}).await?.pop().ok_or("nothing was offered")?.run;
    expect("the state of a run", &run.state, &RunState::Done)?;
    Ok(run)
}
