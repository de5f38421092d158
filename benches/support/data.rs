//! Tables that the benchmarks read, made by arithmetic: the same rows each time and on every machine.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::Outcome;

/// Another number for tables that are made in another way: older ones are not taken for them.
const EDITION: u32 = 1;

/// The columns of the table of price agreements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Columns {
    /// What the benchmarks' own connector reads.
    Thirteen,
    /// What the connector `csv-export` reads.
    Eighteen,
}

impl Columns {
    /// The connector that reads them.
    pub fn connector(self) -> &'static str {
        match self {
            Self::Thirteen => "bench-export",
            Self::Eighteen => "csv-export",
        }
    }

    fn heads(self) -> &'static [u8] {
        match self {
            Self::Thirteen => {
                b"Regelnr;Afspraaknr;Soort klant;Klantcode;Soort artikel;Artikelcode;Soort afspraak;Waarde;Valuta;\
                  Eenheid;Vanaf aantal;Geldig vanaf;Geldig tot\r\n"
            }
            Self::Eighteen => {
                b"Regelnr;Afspraaknr;Soort klant;Klantcode;Soort artikel;Artikelcode;Soort afspraak;Waarde;Valuta;\
                  Eenheid;Prijs per;Vanaf aantal;Staffelsoort;Minimumbedrag;Geldig vanaf;Geldig tot;Prioriteit;\
                  Combineerbaar\r\n"
            }
        }
    }
}

/// Customer groups in windows-1252; some have letters beyond ASCII.
const GROUPS: [&[u8]; 5] = [b"INSTAL", b"CAF\xc9-HOTEL", b"GRO\xdfK\xdcCHE", b"INDUSTRIE", b"BO\xcbTIEK"];
/// Product groups in windows-1252.
const PRODUCT_GROUPS: [&[u8]; 4] = [b"KOPPEL", b"RADIATOR", b"CR\xc8ME-LIJN", b"BUIS \xd822"];
const UNITS: [&str; 5] = ["ST", "M", "KG", "DS", "RL"];
const TIERS: [&str; 4] = ["1", "50", "200", "1.000"];

/// Random numbers that are the same each time: splitmix64, <https://prng.di.unimi.it/splitmix64.c>.
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below a bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }

    fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        let at = usize::try_from(self.below(of.len() as u64)).unwrap_or_default();
        of[at]
    }
}

/// The directory that holds what the benchmarks keep from run to run.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench")
}

/// How many customers a table of price agreements is about.
pub fn customers(rows: u64) -> u64 {
    (rows / 300).max(1)
}

/// A customer's number, counted from 0.
pub fn customer(at: u64) -> String {
    (10_000 + at).to_string()
}

/// The table of price agreements; of `changed` rows, evenly spread, the price is a little higher. It is made where it is
/// not there yet.
pub fn price_agreements(rows: u64, columns: Columns, changed: u64) -> Outcome<PathBuf> {
    let width = if columns == Columns::Thirteen { 13 } else { 18 };
    made(&format!("prices-{width}-{rows}-{changed}-{EDITION}.csv"), |out| {
        out.write_all(columns.heads())?;
        write_prices(out, rows, columns, changed)
    })
}

/// The table of the customers that the price agreements of `rows` rows are about. All of them buy in the webshop.
pub fn customer_table(rows: u64) -> Outcome<PathBuf> {
    made(&format!("customers-{rows}-{EDITION}.csv"), |out| {
        out.write_all(
            b"Klantnummer;Naam;Statutaire naam;BTW-nummer;KvK-nummer;Concern;Factuurklant;Betaler;Klantgroep;Kanaal;\
              Prijsgroep;Valuta;Taal;BTW-status;Betalingsconditie;Omschrijving conditie;Betaaltermijn;Geblokkeerd;\
              Vertegenwoordiger;Naam vertegenwoordiger;Assortiment\r\n",
        )?;
        let mut numbers = Numbers::new(2);
        for at in 0..customers(rows) {
            write!(out, "{};Installatiebedrijf nr. {at};;;;;;;", customer(at))?;
            out.write_all(numbers.one(&GROUPS))?;
            out.write_all(b";B2B;PG1;EUR;NL;BINNENLAND;30;30 dagen netto;30;;V01;Marloes;COMPLEET\r\n")?;
        }
        Ok(())
    })
}

/// A file of this name, made once: beside, then in its place, so that one that was cut off is never taken.
fn made(name: &str, make: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>) -> Outcome<PathBuf> {
    let path = directory().join(name);
    if path.exists() {
        return Ok(path);
    }
    std::fs::create_dir_all(directory())?;
    let beside = path.with_extension("part");
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&beside)?);
    make(&mut out)?;
    out.into_inner()?.sync_all()?;
    std::fs::rename(beside, &path)?;
    Ok(path)
}

/// Agreements come in blocks, as an ERP exports them: whom a block is about has lines for some products, each with one
/// to four tiers.
fn write_prices(out: &mut impl Write, rows: u64, columns: Columns, changed: u64) -> std::io::Result<()> {
    let mut numbers = Numbers::new(1);
    let customers = customers(rows);
    let mut row = 0;
    let mut block = 0;
    while row < rows {
        let products = 20 + numbers.below(40);
        let mut whom: Vec<u8> = Vec::new();
        match numbers.below(100) {
            0..80 => write!(whom, "K;{}", customer(numbers.below(customers)))?,
            80..97 => {
                whom.extend(b"G;");
                whom.extend(numbers.one(&GROUPS));
            }
            _ => whom.extend(b"A;"),
        }
        let from = format!("{:02}-{:02}-2026", 1 + numbers.below(28), 1 + numbers.below(12));
        let to = if numbers.below(3) == 0 { format!("31-12-{}", 2027 + numbers.below(3)) } else { String::new() };
        for _ in 0..products {
            let mut what: Vec<u8> = Vec::new();
            match numbers.below(100) {
                0..80 => write!(what, "A;KGL-{:05}", numbers.below(20_000))?,
                80..90 => {
                    what.extend(b"A;RVS-\xd8");
                    write!(what, "{}-{:04}", 10 + numbers.below(90), numbers.below(1000))?;
                }
                _ => {
                    what.extend(b"G;");
                    what.extend(numbers.one(&PRODUCT_GROUPS));
                }
            }
            let sort = match numbers.below(100) {
                0..85 => "N",
                85..95 => "P",
                95..98 => "B",
                _ => "T",
            };
            let unit = numbers.one(&UNITS);
            // In hundredths of a cent, or of a percent.
            let mut value =
                if sort == "P" { 50_000 + numbers.below(400_000) } else { 10_000 + numbers.below(20_000_000) };
            let tiers = usize::try_from(1 + numbers.below(4)).unwrap_or(1);
            for tier in TIERS.iter().take(tiers) {
                if row == rows {
                    return Ok(());
                }
                // The rows at which the whole number of changes grows: `changed` of them, evenly spread.
                let moved = (row + 1) * changed / rows - row * changed / rows;
                let shown = value + moved * 100;
                write!(out, "{};CT-{};", 1_000_001 + row, 10_000 + block)?;
                out.write_all(&whom)?;
                out.write_all(b";")?;
                out.write_all(&what)?;
                write!(out, ";{sort};{},{:04};EUR;{unit};", shown / 10_000, shown % 10_000)?;
                match columns {
                    Columns::Thirteen => write!(out, "{tier};{from};{to}\r\n")?,
                    Columns::Eighteen => write!(out, "1;{tier};V;;{from};{to};10;N\r\n")?,
                }
                value = value * 19 / 20;
                row += 1;
            }
        }
        block += 1;
    }
    Ok(())
}
