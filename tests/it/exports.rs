//! The demo's export, read and mapped as a whole, and orders and answers as tables.

use serde_json::json;
use tradebridge::config::Document;
use tradebridge::connector::Trail;
use tradebridge::mapping::Outbound;
use tradebridge::record::Value;

use crate::exchange::{Exchange, here};

fn export(settings: &str, documents: &[(&str, Vec<u8>)]) -> Exchange {
    let settings = format!("directory = \"DIRECTORY\"\ninbox = \"DIRECTORY/inbox\"\n{settings}");
    Exchange::new("csv-export", &settings, documents)
}

#[tokio::test]
async fn every_row_of_the_demo_is_taken() {
    let names = ["artikelen", "klantartikelen", "leveringsvoorwaarden", "klanten", "contacten", "adressen"];
    let names = names.into_iter().chain(["prijsafspraken", "voorraad", "kredieten"]).map(|name| format!("{name}.csv"));
    let documents: Vec<(String, Vec<u8>)> =
        names.map(|name| (name.clone(), std::fs::read(here("config/demo/export").join(name)).unwrap())).collect();
    let documents: Vec<(&str, Vec<u8>)> =
        documents.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    let exchange = export("", &documents);
    for (entity, file) in [
        ("product", "artikelen"),
        ("customer_article", "klantartikelen"),
        ("delivery_term", "leveringsvoorwaarden"),
        ("customer", "klanten"),
        ("contact", "contacten"),
        ("address", "adressen"),
        ("price_agreement", "prijsafspraken"),
        ("stock", "voorraad"),
        ("credit", "kredieten"),
    ] {
        let found = exchange.map(&format!("csv-export/{entity}.toml")).await;
        let (_, bytes) = documents.iter().find(|(name, _)| name.strip_suffix(".csv") == Some(file)).unwrap();
        let lines = bytes.split(|b| *b == b'\n').count() - 1;
        // The demo's fields have no line ends: a line is a row, but for the header.
        assert_eq!(found.len(), lines - 1, "{entity}");
        let rejected = found.iter().find(|part| part.is_string() && *part != "skipped");
        assert_eq!(rejected, None, "{entity}");
    }
    let products = exchange.map("csv-export/product.toml").await;
    let bolt = products.iter().find(|p| p["number"] == "0001030").unwrap();
    assert_eq!(bolt["names"]["en"], "Hexagon bolt DIN 933 M5×40 8.8 zinc plated");
    assert_eq!(bolt["units"], json!([{"unit": {"code": "BX", "erp": "DS"}, "factor": "200"}]));
    assert_eq!(bolt["attributes"][2], json!({"name": "Sterkteklasse", "value": "8.8"}));
}

fn answer(file: &str) -> Vec<u8> {
    let bytes = std::fs::read(here("config/demo/answers").join(file)).unwrap();
    let text: String = bytes.iter().map(|b| char::from(*b)).collect();
    text.replace("{{REFERENTIE}}", "TB-01K8ZT").chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}

#[tokio::test]
async fn answers_to_orders_are_gathered_and_mapped() {
    let documents = [
        ("orderantwoord-1.csv", answer("orderantwoord.csv")),
        ("orderantwoord-2.csv", answer("orderantwoord-afgewezen.csv")),
    ];
    let exchange = export("answers = \"DIRECTORY\"\narchive = \"DIRECTORY/read\"", &documents);
    let unit = json!({"code": "C62", "erp": "ST"});
    assert_eq!(
        exchange.map("csv-export/order_status.toml").await,
        [
            json!({
                "id": "VO2600412", "reference": "TB-01K8ZT", "number": "VO2600412", "customer": "10000",
                "state": "accepted", "lines": [
                    {"id": "1", "product": "KGL-15-090", "unit": unit, "confirmed": "50", "confirmed_date": "2026-11-30"},
                    {"id": "2", "product": "TST-22", "unit": unit, "confirmed": "10", "confirmed_date": "2026-12-03"}
                ]
            }),
            json!({
                "id": "TB-01K8ZT", "reference": "TB-01K8ZT", "customer": "10000", "state": "rejected",
                "reason": "Kredietlimiet overschreden; neem contact op met uw coördinator financiën"
            })
        ]
    );
}

#[tokio::test]
async fn an_order_goes_out_as_the_erp_reads_it() {
    let exchange = export("", &[]);
    let mapping = Outbound::compile(&Document::load(&here("mappings/csv-export/order.toml")).unwrap());
    let mapping = mapping.unwrap_or_else(|problems| panic!("{problems}"));
    let order = |text: &str| {
        let order = json!({
            "id": "TB-01K8ZT", "accepted_at": "2026-11-24T23:30:00Z", "shop": "b2b", "reference": "W-1",
            "customer": "10000", "currency": "EUR", "text": text,
            "lines": [
                {"number": 1, "product": "0001030", "quantity": "1200", "unit": {"code": "C62"}, "unit_price": "0.125"},
                {"number": 2, "product": "VD-15", "quantity": "0.5", "unit": {"code": "MTR"}}
            ]
        });
        match Value::from_json(order) {
            Value::Map(order) => mapping.apply(&order, &exchange.setting).unwrap(),
            other => panic!("{other:?}"),
        }
    };
    let action = exchange.connector.action("order").unwrap();
    exchange.connector.create(action, &order("Café; \"nu\""), "TB-01K8ZT", &Trail::default()).await;
    let written = std::fs::read(exchange.directory.path().join("inbox/ORD-TB-01K8ZT.csv")).unwrap();
    let text: String = written.iter().map(|b| char::from(*b)).collect();
    let rows: Vec<&str> = text.split("\r\n").collect();
    assert!(rows[0].starts_with("Referentie;Orderdatum;Winkel;Winkelreferentie;Klantnummer;"), "{text}");
    assert_eq!(
        rows[1],
        "TB-01K8ZT;25-11-2026;b2b;W-1;10000;;;;;;;;;;;;;J;REK;;EUR;N;\"Café; \"\"nu\"\"\";1;0001030;1200;ST;0,125;1;;;;;;"
    );
    assert!(rows[2].contains(";2;VD-15;0,5;M;;;"), "{text}");
    assert_eq!(rows.len(), 4);

    let refused = exchange.connector.create(action, &order("Łódź"), "TB-02", &Trail::default()).await;
    let refused = format!("{refused:?}");
    assert!(refused.contains("rows[1]/Opmerking") && refused.contains("'Ł' (U+0141)"), "{refused}");
    assert_eq!(std::fs::read_dir(exchange.directory.path().join("inbox")).unwrap().count(), 1);
}

#[tokio::test]
async fn a_row_that_makes_no_sense_is_rejected_alone() {
    let header = "Artikelnummer;Magazijn;Eenheid;Voorraad;Gereserveerd;Beschikbaar;Verwacht op;Verwacht aantal";
    let rows = [
        "A;UTR;ST;1;0;1;;",
        "B;UTR;ST;99999999999999999999999999999999;0;1;;",
        "C;UTR;ST;1;0;1;31-02-2027;5",
        "D;UTR;PAAR;1;0;1;;",
        "E;UTR;ST;1,5;0;1,5;;",
    ];
    let table = format!("{header}\n{}\n", rows.join("\n")).into_bytes();
    let exchange = export("", &[("voorraad.csv", table)]);
    let found = exchange.map("csv-export/stock.toml").await;
    let reason = |at: usize| found[at].as_str().unwrap_or_else(|| panic!("{found:#?}"));
    assert!(found[0].is_object() && found[4].is_object());
    assert!(reason(1).starts_with("on_hand: '99999999999999999999999999999999' is not a number"), "{}", reason(1));
    assert!(reason(2).starts_with("incoming[0].date: '31-02-2027' is not a date"), "{}", reason(2));
    assert!(reason(3).contains("the lookup 'unit' has no 'PAAR'"), "{}", reason(3));
}
