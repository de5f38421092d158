//! How fast the rows of a table are read, decoded, keyed and digested, beside the crate `csv` and the decoding alone.

#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::io::Cursor;
use std::time::Instant;

use tokio::sync::mpsc;
use tradebridge::config::Document;
use tradebridge::connector::format::Encoding;
use tradebridge::connector::format::csv::{CsvReader, Format};
use tradebridge::mapping::{Mapping, Setting};
use tradebridge::record::{Map, Value};
use tradebridge::sync::Keyer;

const ROWS: usize = 300_000;
const ROUNDS: usize = 5;
const TARGET: f64 = 450_000.0;

const MAPPING: &str = r#"
entity = "price_agreement"
stream = "price_agreements"
key = "Regelnr"

[fields]
id = "Regelnr"
kind = "'net_price'"
value = "Waarde.decimal('1.234,56')"
"#;

fn main() {
    for quoted in [false, true] {
        let file = table(quoted);
        let per_row = file.len() / ROWS;
        println!(
            "{ROWS} rows of {per_row} bytes, 13 columns, windows-1252, {}",
            if quoted { "quoted" } else { "plain" }
        );
        let (mut limits, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            limits.push(rate(|| limit(&file)));
            ours.push(rate(|| read(&file)));
        }
        let (limit, ours) = (best(&limits), best(&ours));
        println!("  csv and encoding_rs alone   {limit:>10.0} records/s");
        println!("  read, decode, key, digest   {ours:>10.0} records/s, {:.2} of it", ours / limit);
        println!("  target                      {TARGET:>10.0} records/s: {}", verdict(ours >= TARGET));
    }
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "missed" }
}

fn best(rates: &[f64]) -> f64 {
    rates.iter().copied().fold(0.0, f64::max)
}

fn rate(run: impl FnOnce() -> usize) -> f64 {
    let (begun, used) = (Instant::now(), used());
    assert_eq!(run(), ROWS);
    let seconds = used.zip(crate::used()).map_or(begun.elapsed().as_secs_f64(), |(before, after)| after - before);
    ROWS as f64 / seconds
}

/// The time that all threads have had a core, in seconds: on a busy machine the clock tells little. Linux says it, in
/// hundredths.
fn used() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, behind) = text.rsplit_once(") ")?;
    let ticks = |at| behind.split(' ').nth(at)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / 100.0)
}

/// What cannot be done without: decoding, and finding the fields.
fn limit(file: &[u8]) -> usize {
    let (text, _, malformed) = encoding_rs::WINDOWS_1252.decode(file);
    assert!(!malformed);
    let mut reader = csv::ReaderBuilder::new().delimiter(b';').from_reader(text.as_bytes());
    let mut record = csv::ByteRecord::new();
    let mut rows = 0;
    while reader.read_byte_record(&mut record).unwrap() {
        black_box(&record);
        rows += 1;
    }
    rows
}

/// What happens to each row, also to one that is then recognised.
fn read(file: &[u8]) -> usize {
    let mapping = Mapping::compile(&Document::parse("price_agreement.toml", MAPPING)).unwrap();
    let setting =
        Setting { company: "NL01".to_owned(), zone: jiff::tz::TimeZone::UTC, settings: Value::Map(Map::default()) };
    let format = Format { encoding: Encoding::of("windows-1252").unwrap(), delimiter: b';', ..Format::default() };
    let reader = CsvReader::new(Box::new(Cursor::new(file.to_vec())), "prijsafspraken.csv", &format).unwrap();
    let (chunks, mut read) = mpsc::channel(2);
    std::thread::scope(|scope| {
        scope.spawn(move || Keyer::new(&mapping, &setting).read(Box::new(reader), 0, 2000, &chunks).unwrap());
        let mut rows = 0;
        while let Some(chunk) = read.blocking_recv() {
            rows += chunk.records.len();
        }
        rows
    })
}

fn table(quoted: bool) -> Vec<u8> {
    let mut text =
        "Regelnr;Afspraaknr;Klantcode;Klantnaam;Artikelcode;Omschrijving;Waarde;Valuta;Eenheid;Vanaf aantal;\
                    Geldig vanaf;Geldig tot;Prioriteit\r\n"
            .to_owned();
    for n in 0..ROWS {
        let quote = if quoted { "\"" } else { "" };
        let accent = if n % 10 == 0 { 'é' } else { 'e' };
        let _ = write!(
            text,
            "{n:07};CT-{:05};{:05};{quote}Installatiebedrijf De Vri{accent}s {:03}{quote};KGL-{:02}-{:03};{quote}Knie 90 graden \
             glad x glad {:03} mm koper{quote};{},{:04};EUR;ST;{};01-01-2026;31-12-2026;10\r\n",
            n / 7,
            n % 20_000,
            n % 1000,
            n % 90,
            n % 360,
            n % 108,
            n % 50,
            n % 10_000,
            [1, 10, 50, 100][n % 4],
        );
    }
    encoding_rs::WINDOWS_1252.encode(&text).0.into_owned()
}
