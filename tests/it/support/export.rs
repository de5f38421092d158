//! A generated export of an ERP that changes from night to night: rows change, come and vanish, always the same ones.

use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::store::LEASE;
use crate::daemon::root;

/// The entities of an export, in the order of their tables in [`Export::write`].
pub(crate) const ENTITIES: [&str; 6] = ["customer", "address", "contact", "product", "price_agreement", "stock"];

/// The directory of an export, written as the connector `csv-export` reads it.
#[derive(Debug)]
pub(crate) struct Export {
    directory: PathBuf,
    /// Customers; the other tables have some rows for each.
    customers: u64,
    /// Price agreements of each customer.
    prices: u64,
    began: SystemTime,
}

impl Export {
    /// An export with so many customers, and so many price agreements for each; not written yet.
    pub(crate) fn new(directory: &Path, customers: u64, prices: u64) -> Self {
        std::fs::create_dir_all(directory).unwrap();
        // Files count once they have not changed for a while.
        let began = SystemTime::now().checked_sub(Duration::from_hours(24)).unwrap();
        Self { directory: directory.to_owned(), customers, prices, began }
    }

    /// The configuration of a bridge that reads this export into a store and has a directory of its own.
    pub(crate) fn configuration(&self, store: &str, own: &Path) -> String {
        let own = own.display();
        let lease = LEASE.as_millis();
        let (root, directory) = (root().display(), self.directory.display());
        let mut text = format!(
            "connectors = [\"{root}/connectors\"]\nmappings = [\"{root}/mappings\"]\n\
             [store]\nurl = \"{store}\"\nlease = \"{lease}ms\"\n[daemon]\nrun_directory = \"{own}\"\n\
             [api]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\n\
             [[connection]]\nname = \"erp\"\nconnector = \"csv-export\"\ncompany = \"NL01\"\n\
             time_zone = \"Europe/Amsterdam\"\n\
             [connection.settings]\ndirectory = \"{directory}\"\nstable = \"1s\"\n\
             [[shop]]\nname = \"b2b\"\ncompanies = [\"NL01\"]\nconnections = [\"erp\"]\n\
             customers = \"'B2B' in groups\"\n"
        );
        for entity in ENTITIES {
            // Nothing is held: that is not what is looked at.
            write!(
                text,
                "[[sync]]\nconnection = \"erp\"\nentity = \"{entity}\"\nevery = \"1s\"\nguard = {{ floor = 1000000000 }}\n"
            )
            .unwrap();
        }
        text
    }

    /// Writes all tables as they are in a night, counted from 0.
    pub(crate) fn write(&self, night: u64) {
        let (n, prices) = (self.customers, self.prices);
        self.table(
            night,
            "klanten.csv",
            "Klantnummer;Naam;Statutaire naam;BTW-nummer;KvK-nummer;Concern;Factuurklant;Betaler;Klantgroep;Kanaal;\
             Prijsgroep;Valuta;Taal;BTW-status;Betalingsconditie;Omschrijving conditie;Betaaltermijn;Geblokkeerd;\
             Vertegenwoordiger;Naam vertegenwoordiger;Assortiment",
            n,
            // Some customers leave the shop's scope and come back.
            |row, version| {
                let channel = if (row + version).is_multiple_of(4) { "BALIE" } else { "B2B" };
                format!(
                    "{};Klant {row} v{version};;;;;;;INSTAL;{channel};PG1;EUR;NL;BINNENLAND;30;;30;;V01;;",
                    row + 10_000
                )
            },
        );
        self.table(
            night,
            "adressen.csv",
            "Adresnummer;Klantnummer;Soort;Naam;Straat;Huisnummer;Postcode;Plaats;Land",
            n * 2,
            |row, version| format!("{row};{};A;;Straat;{version};1000 AA;Plaats;NL", row / 2 + 10_000),
        );
        self.table(
            night,
            "contacten.csv",
            "Contactnummer;Klantnummer;Naam;E-mail;Telefoon;Functie;Taal;Goedkeuringslimiet;Valuta;Actief",
            n * 2,
            |row, version| format!("{row};{};Contact v{version};;;Inkoper;NL;;;J", row / 2 + 10_000),
        );
        self.table(
            night,
            "artikelen.csv",
            "Artikelnummer;Omschrijving;Omschrijving EN;Lange omschrijving;Eenheid;Artikelgroep;BTW-code;GTIN;Merk;\
             Fabrikantnummer;Lengte mm;Breedte mm;Hoogte mm;Gewicht;Gewichtseenheid;ETIM;UNSPSC;Minimale afname;\
             Ordermeervoud;Verpakkingseenheid;Aantal per verpakking;Op bestelling;Levertijd;Status;Vervangen door;\
             Variant van;Variantkenmerk;Variantwaarde;Document;Kenmerk1;Waarde1;Eenheid1;Kenmerk2;Waarde2;Eenheid2;\
             Kenmerk3;Waarde3;Eenheid3;Kenmerk4;Waarde4;Eenheid4",
            n * 2,
            |row, version| format!("P{row};Artikel {row} v{version};;;ST;FIT;H{}A{}", ";".repeat(17), ";".repeat(17)),
        );
        self.table(
            night,
            "prijsafspraken.csv",
            "Regelnr;Afspraaknr;Soort klant;Klantcode;Soort artikel;Artikelcode;Soort afspraak;Waarde;Valuta;Eenheid;\
             Prijs per;Vanaf aantal;Staffelsoort;Minimumbedrag;Geldig vanaf;Geldig tot;Prioriteit;Combineerbaar",
            n * prices,
            |row, version| {
                format!(
                    "{row};CT;K;{};A;P{};N;{},{version:02};EUR;ST;1;1;V;;;;10;N",
                    row / prices + 10_000,
                    row % 97,
                    1 + row % 9
                )
            },
        );
        self.table(
            night,
            "voorraad.csv",
            "Artikelnummer;Magazijn;Eenheid;Voorraad;Gereserveerd;Beschikbaar;Verwacht op;Verwacht aantal",
            n * 4,
            |row, version| format!("P{};M{};ST;{version};0;{version};;", row / 2, row % 2),
        );
    }

    /// A table: of the rows there can be, those that are there that night, each in its version of that night.
    fn table(&self, night: u64, name: &str, header: &str, rows: u64, line: impl Fn(u64, u64) -> String) {
        let mut text = format!("{header}\r\n");
        // A few rows more each night.
        for row in 0..rows + night * rows / 50 {
            let chance = |salt: u64, night: u64| mix(&[name.len() as u64, salt, row, night]);
            if !chance(1, night).is_multiple_of(25) {
                let version = (1..=night).filter(|night| chance(2, *night).is_multiple_of(16)).count() as u64;
                text.push_str(&line(row, version));
                text.push_str("\r\n");
            }
        }
        let path = self.directory.join(name);
        let new = self.directory.join("new");
        std::fs::write(&new, text).unwrap();
        // Another night is another time, however fast the nights follow each other.
        let written = self.began + Duration::from_secs(night);
        File::options().write(true).open(&new).unwrap().set_modified(written).unwrap();
        std::fs::rename(new, path).unwrap();
    }
}

/// A number that depends on all of these and on nothing else.
pub(crate) fn mix(numbers: &[u64]) -> u64 {
    // The finaliser of SplitMix64: every bit of what goes in changes half of what comes out.
    numbers.iter().fold(0x9e37_79b9_7f4a_7c15_u64, |state, number| {
        let mut z = (state ^ number).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}
