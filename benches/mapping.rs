//! How fast a mapping of 20 fields and a list is, beside the same mapping written by hand in Rust. Both go from the
//! source record to the stored text with its hash, and check the same.

#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use rust_decimal::Decimal;
use serde_json::json;
use tradebridge::config::Document;
use tradebridge::mapping::{Mapping, Outcome, Setting};
use tradebridge::model::product::{Attribute, ProductStatus, ProductUnit};
use tradebridge::model::{Content, Measure, Product, Unit};
use tradebridge::record::{Columns, Fields, Map, Row, Value};

const RECORDS: usize = 20_000;
const ROUNDS: usize = 9;
const TARGET: f64 = 0.65;

const MAPPING: &str = r#"
entity = "product"
stream = "products"
key = "Artikelnummer"

[fields]
number = "Artikelnummer.trim()"
"names.nl" = "Omschrijving.compact()"
"names.en" = "record['Omschrijving EN'].compact()"
"base_unit.code" = "lookup('unit', Eenheid)"
"base_unit.erp" = "Eenheid"
"length.value" = "record['Lengte mm'].decimal('1.234,56')"
"length.unit" = "record['Lengte mm'] == null ? null : 'MMT'"
"net_weight.value" = "Gewicht.decimal('1.234,56')"
"net_weight.unit.code" = "Gewicht == null ? null : lookup('weight_unit', Gewichtseenheid)"
"net_weight.unit.erp" = "Gewicht == null ? null : Gewichtseenheid"
gtin = "GTIN.trim()"
manufacturer = "Merk.compact()"
manufacturer_number = "Fabrikantnummer.trim()"
groups = "[Artikelgroep]"
tax_class = "record['BTW-code']"
minimum_order_quantity = "record['Minimale afname'].decimal('1.234,56')"
order_multiple = "Ordermeervoud.decimal('1.234,56')"
made_to_order = "record['Op bestelling'] == 'J'"
replenishment_lead_time = "Levertijd"
status = "lookup('status', Status)"

[[list]]
into = "attributes"
from = "[{'name': Kenmerk1, 'value': Waarde1, 'unit': Eenheid1}, {'name': Kenmerk2, 'value': Waarde2, 'unit': Eenheid2}]"
where = "name != null && value != null"
fields = { name = "name.compact()", value = "value.trim()", unit = "unit" }

[lookup.unit]
"ST" = "C62"
"M" = "MTR"

[lookup.weight_unit]
"g" = "GRM"
"kg" = "KGM"

[lookup.status]
"A" = "active"
"U" = "phase_out"
"V" = "discontinued"
"#;

const COLUMNS: [&str; 24] = [
    "Artikelnummer",
    "Omschrijving",
    "Omschrijving EN",
    "Eenheid",
    "Artikelgroep",
    "BTW-code",
    "GTIN",
    "Merk",
    "Fabrikantnummer",
    "Lengte mm",
    "Gewicht",
    "Gewichtseenheid",
    "Minimale afname",
    "Ordermeervoud",
    "Op bestelling",
    "Levertijd",
    "Status",
    "Kenmerk1",
    "Waarde1",
    "Eenheid1",
    "Kenmerk2",
    "Waarde2",
    "Eenheid2",
    "Notitie",
];

fn main() {
    let records = records();
    let mapping = Mapping::compile(&Document::parse("product.toml", MAPPING)).unwrap();
    let settings = Value::Map(Map::default());
    let setting = Setting { company: "NL01".to_owned(), zone: jiff::tz::TimeZone::UTC, settings };
    let lookups = Lookups::new();
    let by_mapping = |record: &Fields| match mapping.apply(record, &setting).unwrap() {
        Outcome::Part(part) => (part.identity.number, part.content),
        other => unreachable!("{other:?}"),
    };
    let by_hand = |record: &Fields| by_hand(record, &lookups).unwrap();
    for record in &records {
        // A struct also writes what it has by default; the mapping gives all of that here.
        assert_eq!(by_mapping(record), by_hand(record));
    }
    let (mut hand, mut mapped) = (0.0_f64, 0.0_f64);
    for _ in 0..ROUNDS {
        hand = hand.max(rate(&records, by_hand));
        mapped = mapped.max(rate(&records, by_mapping));
    }
    let ratio = mapped / hand;
    println!("20 fields and a list of 2, from a row to the stored text with its hash");
    println!("  by hand      {hand:>9.0} records/s");
    println!("  by mapping   {mapped:>9.0} records/s");
    println!("  ratio        {ratio:>9.2}, target {TARGET}: {}", if ratio >= TARGET { "met" } else { "missed" });
}

fn rate(records: &[Fields], map: impl Fn(&Fields) -> (String, Content)) -> f64 {
    let (begun, used) = (Instant::now(), used());
    for record in records {
        black_box(map(black_box(record)));
    }
    let seconds = used.zip(crate::used()).map_or(begun.elapsed().as_secs_f64(), |(before, after)| after - before);
    records.len() as f64 / seconds
}

/// The time that this thread has had a core, in seconds: on a busy machine the clock tells little. Linux says it.
fn used() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(text.split(' ').next()?.parse::<f64>().ok()? / 1e9)
}

struct Lookups {
    unit: BTreeMap<&'static str, &'static str>,
    weight_unit: BTreeMap<&'static str, &'static str>,
    status: BTreeMap<&'static str, ProductStatus>,
}

impl Lookups {
    fn new() -> Self {
        Self {
            unit: BTreeMap::from([("ST", "C62"), ("M", "MTR")]),
            weight_unit: BTreeMap::from([("g", "GRM"), ("kg", "KGM")]),
            status: BTreeMap::from([
                ("A", ProductStatus::Active),
                ("U", ProductStatus::PhaseOut),
                ("V", ProductStatus::Discontinued),
            ]),
        }
    }
}

/// The same as the mapping, as one writes it in Rust.
fn by_hand(record: &Fields, lookups: &Lookups) -> Result<(String, Content), String> {
    let Fields::Row(row) = record else { return Err("no row".to_owned()) };
    let text = |column: usize| match row.value_at(column) {
        tradebridge::record::Seen::Text(text) => Some(text),
        _ => None,
    };
    let owned = |column: usize| text(column).map(std::borrow::Cow::into_owned);
    let trimmed = |column: usize| text(column).map(|text| text.trim().to_owned());
    let compact = |column: usize| text(column).map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
    let measure = |column: usize, unit: Unit| -> Result<Option<Measure>, String> {
        Ok(number(text(column).as_deref())?.map(|value| Measure { value, unit }))
    };
    let erp = owned(3).ok_or("no unit")?;
    let code = lookups.unit.get(erp.as_str()).ok_or("the unit is not known")?;
    let net_weight = match number(text(10).as_deref())? {
        None => None,
        Some(value) => {
            let erp = owned(11).ok_or("no unit of weight")?;
            let code = lookups.weight_unit.get(erp.as_str()).ok_or("the unit is not known")?;
            Some(Measure { value, unit: Unit::new(code, Some(erp))? })
        }
    };
    let attributes = [17, 20].into_iter().filter_map(|at| {
        let (name, value) = (compact(at)?, trimmed(at + 1)?);
        Some(Attribute { name, value, unit: owned(at + 2) })
    });
    let names = [("nl", compact(1)), ("en", compact(2))];
    let product = Product {
        number: trimmed(0).ok_or("no number")?,
        names: names.into_iter().filter_map(|(language, name)| Some((language.to_owned(), name?))).collect(),
        descriptions: BTreeMap::new(),
        base_unit: Unit::new(code, Some(erp))?,
        units: Vec::<ProductUnit>::new(),
        length: measure(9, Unit::new("MMT", None)?)?,
        width: None,
        height: None,
        net_weight,
        gross_weight: None,
        attributes: attributes.collect(),
        classifications: Vec::new(),
        gtin: trimmed(6),
        manufacturer: compact(7),
        manufacturer_number: trimmed(8),
        groups: owned(4).into_iter().collect(),
        variant_of: None,
        variant_attributes: BTreeMap::new(),
        documents: Vec::new(),
        tax_class: owned(5),
        minimum_order_quantity: number(text(12).as_deref())?,
        order_multiple: number(text(13).as_deref())?,
        made_to_order: text(14).as_deref() == Some("J"),
        replenishment_lead_time: text(15).map(|days| days.parse().map_err(|_| "no number of days")).transpose()?,
        replaced_by: None,
        status: *lookups.status.get(&*text(16).ok_or("no status")?).ok_or("the status is not known")?,
        customer_articles: Vec::new(),
    };
    if let Some(finding) = product.check().first() {
        return Err(finding.to_string());
    }
    let content = Content::of_text(serde_json::to_string(&product).map_err(|error| error.to_string())?);
    Ok((product.number, content))
}

fn number(text: Option<&str>) -> Result<Option<Decimal>, String> {
    let Some(text) = text else { return Ok(None) };
    let plain: String = text.trim().chars().filter(|c| *c != '.').map(|c| if c == ',' { '.' } else { c }).collect();
    let number = Decimal::from_str_exact(&plain).map_err(|error| error.to_string())?;
    Ok(Some(number.normalize()))
}

fn records() -> Vec<Fields> {
    let columns = Arc::new(Columns::new(COLUMNS.iter().map(|name| Arc::from(*name)).collect()));
    let record = |n: usize| {
        let status = ["A", "U", "V"][n % 3];
        let accent = if n.is_multiple_of(10) { "°" } else { " graden" };
        let fields = json!([
            format!("KGL-{n:06}"),
            format!("Knie  90{accent} glad {} mm koper", n % 54),
            format!("Elbow 90 {} mm", n % 54),
            if n.is_multiple_of(3) { "M" } else { "ST" },
            format!("FIT{}", n % 20),
            "H",
            format!("29000000{n:05}"),
            "Hydrovex",
            format!("HV-{n}"),
            format!("{},5", n % 400 + 1),
            format!("1.{:03},25", n % 1000),
            "g",
            if n.is_multiple_of(2) { "100" } else { "" },
            if n.is_multiple_of(2) { "10" } else { "" },
            "J",
            "10",
            status,
            "Diameter",
            format!("{}", n % 54),
            "mm",
            "Materiaal",
            "koper ",
            "",
            "vrije tekst",
        ]);
        let (mut text, mut ends) = (String::new(), Vec::new());
        for field in fields.as_array().unwrap() {
            text.push_str(field.as_str().unwrap());
            ends.push(u32::try_from(text.len()).unwrap());
        }
        Fields::Row(Row::new(Arc::clone(&columns), text.into(), ends.into()))
    };
    (0..RECORDS).map(record).collect()
}
