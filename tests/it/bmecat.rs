//! Catalogues and orders as others write them: the shipped manifests read the samples, the shipped mappings take them,
//! and what comes out is what stands in the documents.

use serde_json::{Value as Json, json};
use tradebridge::config::Document;
use tradebridge::connector::format::{ReadError, Reader, write, xml};
use tradebridge::mapping::{Outbound, Setting};
use tradebridge::record::{Map, Value};

use crate::exchange::{Exchange, here};

fn fixture(path: &str) -> String {
    std::fs::read_to_string(here("tests/fixtures").join(path)).unwrap()
}

fn catalogue(settings: &str, file: &str) -> Exchange {
    let settings = format!("directory = \"DIRECTORY\"\n{settings}");
    Exchange::new("bmecat", &settings, &[("catalogue.xml", &fixture(file))])
}

/// The sample's product, the same in both versions but for what only 2005 has.
fn notebook() -> Json {
    json!({
        "number": "1000",
        "names": {"de": "Apple MacBook Pro 13\""},
        "descriptions": {"de": "Das Kraftpaket unter den Notebooks."},
        "base_unit": {"code": "BX", "erp": "BOX"},
        "attributes": [
            {"name": "Netzspannung", "value": "110; 220", "unit": "VLT"},
            {"name": "keywords", "value": "Notebook; Hardware"},
            {"name": "content", "value": "6", "unit": "PCE"}
        ],
        "classifications": [{"system": "ECLASS-5.1", "code": "19010203"}],
        "gtin": "8712670911213",
        "manufacturer": "Microsoft",
        "manufacturer_number": "MPN",
        "groups": ["5"],
        "documents": [{"kind": "image", "address": "https://example.com/images/55-K-31.jpg"}],
        "minimum_order_quantity": "1",
        "replenishment_lead_time": 2,
        "status": "active",
        "customer_articles": [{"id": "BUYCO~78787", "customer": "BUYCO", "number": "78787"}]
    })
}

/// The sample's price from a quantity on.
fn price(from: &str, value: &str) -> Json {
    json!({
        "id": format!("BUYCO|1000|net_customer|EUR|DE+AT|2001-01-01|{from}"),
        "agreement": "23/97", "customer": "BUYCO", "product": "1000", "kind": "net_price", "value": value,
        "currency": "EUR", "unit": {"code": "BX", "erp": "BOX"}, "price_per": "1", "minimum_quantity": from,
        "valid_from": "2001-01-01", "valid_to": "2001-07-31"
    })
}

/// Compares without regard to the order of fields.
fn same(found: &[Json], expected: &[Json]) {
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        let without = |json: &Json| match json {
            Json::Object(fields) => {
                let made = |name: &str, value: &Json| {
                    name == "made_to_order" || name == "combinable" || *value == json!("from")
                };
                Json::Object(fields.iter().filter(|(n, v)| !made(n, v)).map(|(n, v)| (n.clone(), v.clone())).collect())
            }
            other => other.clone(),
        };
        assert_eq!(without(found), without(expected), "{found:#}");
    }
}

#[tokio::test]
async fn a_catalogue_of_1_2_is_read_and_mapped() {
    let exchange = catalogue("", "bmecat/new_catalog_1_2.xml");
    same(&exchange.map("bmecat/product.toml").await, &[notebook()]);
    same(&exchange.map("bmecat/price_agreement.toml").await, &[price("1", "1499.5"), price("100", "1300.9")]);
    assert_eq!(exchange.read("products").await.1, [true]);
}

#[tokio::test]
async fn a_catalogue_of_2005_is_read_and_mapped() {
    let exchange = catalogue("", "bmecat/new_catalog_2005.xml");
    let mut product = notebook();
    product["net_weight"] = json!({"value": "1.37", "unit": {"code": "KGM"}});
    same(&exchange.map("bmecat/product.toml").await, &[product]);
    same(&exchange.map("bmecat/price_agreement.toml").await, &[price("1", "1499.5"), price("100", "1300.9")]);
}

#[tokio::test]
async fn updates_change_and_delete() {
    let exchange = catalogue("content = \"delta\"", "bmecat/update_products_1_2.xml");
    same(&exchange.map("bmecat/product.toml").await, &[notebook(), json!("deleted")]);
    assert_eq!(exchange.read("products").await.1, [false]);

    let exchange = catalogue("content = \"delta\"\ncustomer = \"10000\"", "bmecat/update_prices_1_2.xml");
    same(&exchange.map("bmecat/product.toml").await, &[]);
    let expected = |from: &str, value: &str| {
        let mut price = price(from, value);
        price["id"] = json!(format!("10000|1000|net_customer|EUR|DE+AT|2001-01-01|{from}"));
        price["customer"] = json!("10000");
        // An update names no unit and no quantity for the price.
        for name in ["unit", "price_per"] {
            price.as_object_mut().unwrap().shift_remove(name);
        }
        price
    };
    let found = exchange.map("bmecat/price_agreement.toml").await;
    same(&found, &[expected("1", "1499.5"), expected("100", "1300.9")]);
}

#[tokio::test]
async fn settings_of_a_connection_decide() {
    let exchange = catalogue("base_unit = \"content\"\nterritory = \"NL\"", "bmecat/new_catalog_1_2.xml");
    let product = &exchange.map("bmecat/product.toml").await[0];
    assert_eq!(product["base_unit"], json!({"code": "C62", "erp": "PCE"}));
    assert_eq!(product["units"], json!([{"unit": {"code": "BX", "erp": "BOX"}, "factor": "6"}]));
    assert_eq!(product["minimum_order_quantity"], json!("6"));
    assert_eq!(exchange.map("bmecat/price_agreement.toml").await, [json!("skipped"), json!("skipped")]);
}

#[tokio::test]
async fn a_catalogue_that_is_cut_off_is_no_catalogue() {
    let text = fixture("bmecat/new_catalog_1_2.xml");
    let cut = text.find("<MIME_DESCR>Frontansicht").unwrap();
    let settings = "directory = \"DIRECTORY\"";
    let exchange = Exchange::new("bmecat", settings, &[("catalogue.xml", &text[..cut])]);
    let (records, _) = exchange.read("products").await;
    let [Err(ReadError::Fatal { place, message, hint })] = &records[..] else { panic!("{records:?}") };
    assert!(place.line.is_some_and(|line| line > 150), "{place}");
    assert!(message.contains("within the element MIME"), "{message}");
    assert_eq!(hint.as_deref(), Some("the file may be cut off"));
    // The prices stand before the place, and the file still ends within itself.
    let (records, _) = exchange.read("prices").await;
    assert!(records[0].is_ok() && records[1].is_ok() && records[2].is_err());
}

fn answers(documents: &[(&str, &str)]) -> Exchange {
    let settings = "supplier = \"GROOTHANDEL\"\nanswers = \"DIRECTORY\"\narchive = \"DIRECTORY/read\"\ninbox = \"DIRECTORY/inbox\"";
    Exchange::new("opentrans", settings, documents)
}

#[tokio::test]
async fn answers_of_others_are_understood() {
    let exchange = answers(&[
        ("1.xml", &fixture("opentrans/orderresponse_distributor.xml")),
        ("2.xml", &fixture("opentrans/minimal_valid_orderresponse.xml")),
    ]);
    let found = exchange.map("opentrans/order_status.toml").await;
    let line = |id: &str, product: &str, quantity: &str| {
        json!({"id": id, "product": product, "unit": {"code": "C62", "erp": "C62"}, "confirmed": quantity,
            "confirmed_date": "2018-06-27"})
    };
    assert_eq!(
        found[0],
        json!({
            "id": "GWAHJV-160131-1470", "reference": "GWAHJV-160131-1470", "number": "GWAHJV-160131-1470",
            "customer": "123456", "state": "accepted", "date": "2016-01-31", "total": "2555654",
            "lines": [line("1", "123002", "1"), line("2", "123001", "2"), line("3", "123003", "3")]
        })
    );
    assert_eq!(found[1]["id"], json!("order-id-1"));
    assert_eq!(found[1]["customer"], json!("org.de.buyer"));
    assert_eq!(found[1]["lines"][0]["id"], json!("line-item-id-1"));
    assert_eq!(found[1]["lines"][0]["confirmed"], json!("5"));
}

/// Paths of every element of a document in order, without prefixes.
fn elements(document: &str) -> Vec<String> {
    let mut reader = quick_xml::Reader::from_str(document);
    reader.config_mut().expand_empty_elements = true;
    let (mut open, mut paths) = (Vec::new(), Vec::new());
    loop {
        match reader.read_event().unwrap() {
            quick_xml::events::Event::Start(start) => {
                open.push(start.name().as_ref().to_owned());
                paths.push(open.join("/"));
            }
            quick_xml::events::Event::End(_) => drop(open.pop()),
            quick_xml::events::Event::Eof => return paths,
            _ => {}
        }
    }
}

/// The children of each element as the sample documents and the standard's own sample order them; a path in a line,
/// the children behind it.
const STRUCTURE: &[(&str, &[&str])] = &[
    ("ORDER", &["ORDER_HEADER", "ORDER_ITEM_LIST", "ORDER_SUMMARY"]),
    ("ORDER_HEADER", &["CONTROL_INFO", "SOURCING_INFO", "ORDER_INFO"]),
    ("CONTROL_INFO", &["GENERATOR_INFO", "GENERATION_DATE"]),
    (
        "ORDER_INFO",
        &[
            "ORDER_ID",
            "ORDER_DATE",
            "DELIVERY_DATE",
            "bme:LANGUAGE",
            "PARTIES",
            "CUSTOMER_ORDER_REFERENCE",
            "ORDER_PARTIES_REFERENCE",
            "DOCEXCHANGE_PARTIES_REFERENCE",
            "bme:CURRENCY",
            "PAYMENT",
            "TERMS_AND_CONDITIONS",
            "PARTIAL_SHIPMENT_ALLOWED",
            "bme:TRANSPORT",
            "REMARKS",
            "HEADER_UDX",
        ],
    ),
    ("DELIVERY_DATE", &["DELIVERY_START_DATE", "DELIVERY_END_DATE"]),
    ("PARTIES", &["PARTY"]),
    ("PARTY", &["bme:PARTY_ID", "PARTY_ROLE", "ADDRESS"]),
    (
        "ADDRESS",
        &[
            "bme:NAME",
            "bme:NAME2",
            "bme:NAME3",
            "bme:DEPARTMENT",
            "CONTACT_DETAILS",
            "bme:STREET",
            "bme:ZIP",
            "bme:BOXNO",
            "bme:ZIPBOX",
            "bme:CITY",
            "bme:STATE",
            "bme:COUNTRY",
            "bme:COUNTRY_CODED",
            "bme:VAT_ID",
            "TAX_NUMBER",
            "bme:PHONE",
            "bme:FAX",
            "bme:EMAIL",
            "bme:PUBLIC_KEY",
            "bme:URL",
            "bme:ADDRESS_REMARKS",
        ],
    ),
    (
        "CONTACT_DETAILS",
        &[
            "bme:CONTACT_ID",
            "bme:CONTACT_NAME",
            "bme:FIRST_NAME",
            "bme:TITLE",
            "bme:ACADEMIC_TITLE",
            "CONTACT_ROLE",
            "bme:CONTACT_DESCR",
            "bme:PHONE",
            "bme:FAX",
            "bme:URL",
            "bme:EMAILS",
        ],
    ),
    ("CUSTOMER_ORDER_REFERENCE", &["ORDER_ID"]),
    (
        "ORDER_PARTIES_REFERENCE",
        &["bme:BUYER_IDREF", "bme:SUPPLIER_IDREF", "INVOICE_RECIPIENT_IDREF", "SHIPMENT_PARTIES_REFERENCE"],
    ),
    ("ORDER_ITEM_LIST", &["ORDER_ITEM"]),
    (
        "ORDER_ITEM",
        &[
            "LINE_ITEM_ID",
            "PRODUCT_ID",
            "PRODUCT_COMPONENTS",
            "QUANTITY",
            "bme:ORDER_UNIT",
            "PRODUCT_PRICE_FIX",
            "PRICE_LINE_AMOUNT",
            "PARTIAL_SHIPMENT_ALLOWED",
            "DELIVERY_DATE",
            "SOURCING_INFO",
            "REMARKS",
            "ITEM_UDX",
        ],
    ),
    (
        "PRODUCT_ID",
        &[
            "bme:SUPPLIER_PID",
            "bme:SUPPLIER_IDREF",
            "CONFIG_CODE_FIX",
            "bme:INTERNATIONAL_PID",
            "bme:BUYER_PID",
            "bme:DESCRIPTION_SHORT",
            "bme:DESCRIPTION_LONG",
        ],
    ),
    ("PRODUCT_PRICE_FIX", &["bme:PRICE_AMOUNT", "ALLOW_OR_CHARGES_FIX", "TAX_DETAILS_FIX", "bme:PRICE_QUANTITY"]),
    ("ORDER_SUMMARY", &["TOTAL_ITEM_NUM", "TOTAL_AMOUNT"]),
];

/// Where a document departs from the structure.
fn departures(document: &str) -> Vec<String> {
    let paths = elements(document);
    let mut departures = Vec::new();
    for (at, path) in paths.iter().enumerate() {
        let Some((parent, name)) = path.rsplit_once('/') else { continue };
        let element = parent.rsplit('/').next().unwrap();
        let Some((_, children)) = STRUCTURE.iter().find(|(known, _)| *known == element) else { continue };
        let rank = |name: &str| children.iter().position(|child| *child == name);
        let Some(own) = rank(name) else {
            departures.push(format!("{path} is not known"));
            continue;
        };
        // The sibling before it: the nearest child of the same parent behind the parent's own beginning.
        let before = paths[..at].iter().rev().take_while(|p| *p != parent);
        let before = before.filter_map(|p| p.strip_prefix(&format!("{parent}/"))).find(|rest| !rest.contains('/'));
        if before.and_then(rank).is_some_and(|before| before > own) {
            departures.push(format!("{path} stands behind {}", before.unwrap()));
        }
    }
    departures
}

#[test]
fn the_structure_is_that_of_the_samples() {
    for sample in ["opentrans/order_distributor.xml", "opentrans/minimal_valid_order.xml"] {
        assert_eq!(departures(&fixture(sample)), Vec::<String>::new(), "{sample}");
    }
}

fn order(json: Json) -> Map {
    match Value::from_json(json) {
        Value::Map(order) => order,
        other => panic!("{other:?}"),
    }
}

fn complete_order() -> Json {
    json!({
        "id": "TB-01K8ZT", "accepted_at": "2026-11-24T09:30:00Z", "shop": "b2b", "reference": "W-1001",
        "customer": "10000", "contact": "80001", "customer_order_number": "INK & 77", "ship_to": {"id": "50003"},
        "requested_date": "2026-12-01", "shipping_method": "KOERIER", "partial_delivery": true, "currency": "EUR",
        "text": "a < b", "payment": {"method": "paid", "reference": "pay_9"},
        "charges": [{"kind": "freight", "amount": "7.50"}],
        "customer_record": {
            "number": "10000", "name": "Installatiebedrijf 't Hart", "bill_to": "10001",
            "addresses": [{"id": "50003", "name": "Werk 1", "extra": "achterom", "street": "Curaçaolaan",
                "house_number": "199 bis", "postal_code": "5911 JH", "city": "Venlo", "region": "LI", "country": "NL"}],
            "contacts": [{"id": "80001", "name": "Cem", "phone": "+31 30 000 2778", "email": "cem@klant10000.example"}]
        },
        "lines": [
            {"number": 1, "product": "KGL-15-090", "quantity": "50", "unit": {"code": "C62", "erp": "ST"},
                "unit_price": "0.6840", "price_per": "1", "agreement": "CT-10000", "requested_date": "2026-12-03",
                "text": "=1+1"},
            {"number": 2, "product": "TST-22", "quantity": "10.5", "unit": {"code": "MTR"}}
        ]
    })
}

#[tokio::test]
async fn an_order_goes_out_as_the_standard_has_it() {
    let exchange = answers(&[]);
    let file = here("mappings/opentrans/order.toml");
    let mapping = Outbound::compile(&Document::load(&file).unwrap()).unwrap_or_else(|problems| panic!("{problems}"));
    let request = mapping.apply(&order(complete_order()), &exchange.setting).unwrap();
    let action = exchange.connector.action("order").unwrap();
    exchange.connector.create(action, &request, "TB-01K8ZT", &tradebridge::connector::Trail::default()).await;

    let written = std::fs::read_to_string(exchange.directory.path().join("inbox/ORDER-TB-01K8ZT.xml")).unwrap();
    assert_eq!(departures(&written), Vec::<String>::new(), "{written}");
    let root = written.lines().nth(1).unwrap();
    for wanted in [
        "<ORDER ",
        "xmlns=\"http://www.opentrans.org/XMLSchema/2.1\"",
        "xmlns:bme=\"http://www.bmecat.org/bmecat/2005\"",
        "version=\"2.1\"",
        "type=\"standard\"",
    ] {
        assert!(root.contains(wanted), "{root}");
    }
    // Whatever the smallest valid order has, this one has too.
    let paths = elements(&written);
    for needed in elements(&fixture("opentrans/minimal_valid_order.xml")) {
        assert!(paths.contains(&needed), "{needed} is missing in\n{written}");
    }

    // Read back, it says what the order says.
    let format = xml::Format {
        records: vec!["ORDER".parse().unwrap()],
        lists: vec!["ORDER_ITEM".to_owned(), "PARTY".to_owned()],
        ..xml::Format::default()
    };
    let mut reader = xml::XmlReader::new(Box::new(std::io::Cursor::new(written)), "order.xml", &format).unwrap();
    let read = reader.next().unwrap().unwrap().fields.to_json();
    let info = &read["ORDER_HEADER"]["ORDER_INFO"];
    assert_eq!(info["ORDER_ID"], "TB-01K8ZT");
    assert_eq!(info["ORDER_DATE"], "2026-11-24T10:30:00");
    assert_eq!(info["CUSTOMER_ORDER_REFERENCE"]["ORDER_ID"], "INK & 77");
    assert_eq!(info["ORDER_PARTIES_REFERENCE"]["BUYER_IDREF"], json!({"@type": "supplier_specific", "#text": "10000"}));
    assert_eq!(info["ORDER_PARTIES_REFERENCE"]["INVOICE_RECIPIENT_IDREF"]["#text"], "10001");
    assert_eq!(info["PARTIES"]["PARTY"][2]["ADDRESS"]["STREET"], "Curaçaolaan 199 bis");
    assert_eq!(info["HEADER_UDX"]["UDX.FREIGHT"], "7.50");
    let items = &read["ORDER_ITEM_LIST"]["ORDER_ITEM"];
    assert_eq!(items[0]["PRODUCT_ID"]["SUPPLIER_PID"]["#text"], "KGL-15-090");
    assert_eq!(items[0]["PRODUCT_PRICE_FIX"]["PRICE_AMOUNT"], "0.684");
    assert_eq!(items[0]["PRICE_LINE_AMOUNT"], "34.20");
    assert_eq!(items[0]["REMARKS"]["#text"], "=1+1");
    assert_eq!(items[1]["QUANTITY"], "10.5");
    assert_eq!(items[1]["ORDER_UNIT"], "MTR");
    assert_eq!(items[1].get("PRODUCT_PRICE_FIX"), None);
}

#[test]
fn a_control_character_of_a_shop_stops_the_order_by_name() {
    let mut json = complete_order();
    json["lines"][1]["text"] = json!("bell \u{7}");
    let file = here("mappings/opentrans/order.toml");
    let mapping = Outbound::compile(&Document::load(&file).unwrap()).unwrap();
    let settings = order(json!({"supplier": "GROOTHANDEL"}));
    let setting = Setting { company: "NL01".into(), zone: jiff::tz::TimeZone::UTC, settings: Value::Map(settings) };
    let request = mapping.apply(&order(json), &setting).unwrap();
    let format = write::xml::Format {
        namespaces: vec![("bme".to_owned(), "http://www.bmecat.org/bmecat/2005".to_owned())],
        ..write::xml::Format::new("ORDER")
    };
    let error = write::xml::write(&request, &format).unwrap_err().to_string();
    assert!(error.starts_with("ORDER_ITEM_LIST/ORDER_ITEM[2]/REMARKS/#text: the control character U+0007"), "{error}");
}
