//! The mappings that ship: every one compiles, has examples, and its examples hold.

use std::path::{Path, PathBuf};

use tradebridge::config::Document;
use tradebridge::mapping::{AnyMapping, Outbound, Setting};
use tradebridge::model::PartKind;
use tradebridge::record::Value;

fn mapping_files(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            mapping_files(&path, files);
        } else if path.extension().is_some_and(|e| e == "toml") {
            files.push(path);
        }
    }
}

#[test]
fn the_examples_of_every_shipped_mapping_hold() {
    let mut files = Vec::new();
    mapping_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings"), &mut files);
    assert!(!files.is_empty());
    for file in files {
        let mapping =
            AnyMapping::compile(&Document::load(&file).unwrap()).unwrap_or_else(|problems| panic!("{problems}"));
        let results = mapping.examples();
        assert!(results.len() >= 2, "{} has too few examples", file.display());
        for result in results {
            assert!(result.differences.is_empty(), "{}:{}: {:?}", file.display(), result.line, result.differences);
        }
    }
}

#[test]
fn configuration_and_model_name_the_same_kinds() {
    for kind in PartKind::ALL {
        let configured = tradebridge::config::ENTITIES.contains(&kind.name());
        assert!(configured || kind == PartKind::OrderStatusLine, "{kind} cannot be configured");
    }
}

/// What stands between the fences of a document's TOML blocks.
fn toml_blocks(document: &str) -> Vec<&str> {
    document.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn the_examples_of_the_documentation_hold() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/mapping.md");
    let document = std::fs::read_to_string(file).unwrap();
    let blocks = toml_blocks(&document);
    assert_eq!(blocks.len(), 2);
    for block in blocks {
        let mapping = AnyMapping::compile(&Document::parse("docs/mapping.md", block));
        let mapping = mapping.unwrap_or_else(|problems| panic!("{problems}"));
        for result in mapping.examples() {
            assert_eq!(result.differences, Vec::<String>::new(), "{}", result.name);
        }
    }
}

const ORDER: &str = r#"
action = "order"
required = ["HEAD/NUMBER"]

[request]
"HEAD/NUMBER" = "id"
"HEAD/CITY" = "ship_to.address.city"
"LINE" = { list = "line" }

[list.line]
from = "lines"
fields = { ARTICLE = "product", CURRENCY = "order.currency", NAMES = "order.customer_record.addresses.map(a, a.name).join(',')" }
"#;

fn order_mapping(text: &str) -> Result<Outbound, String> {
    Outbound::compile(&Document::parse("mappings/erp/order.toml", text)).map_err(|problems| problems.to_string())
}

#[test]
fn faults_of_an_outbound_mapping_are_found_at_load() {
    assert!(order_mapping(ORDER).is_ok());
    for (from, to, wanted) in [
        ("\"id\"", "\"idd\"", &["order.toml:6:", "there is no field 'idd'", "did you mean 'id'?"][..]),
        ("ship_to.address.city", "ship_to.adress.city", &["order.toml:7:", "'adress'", "did you mean 'address'?"]),
        ("ship_to.address.city", "ship_to['address'].citty", &["'citty'", "did you mean 'city'?"]),
        ("ship_to.address.city", "lines.product", &["a list has no field 'product'", "take one with [0]"]),
        ("ship_to.address.city", "lines[0].produkt", &["did you mean 'product'?"]),
        ("ship_to.address.city", "customer.name", &["a single value has no field 'name'"]),
        ("ship_to.address.city", "charges.filter(c, c.kindd == 'freight')[0].amount", &["did you mean 'kind'?"]),
        ("a.name", "a.nmae", &["did you mean 'name'?"]),
        ("\"product\"", "\"produkt\"", &["order.toml:12:", "did you mean 'product'?"]),
        ("order.currency", "order.curency", &["did you mean 'currency'?"]),
        ("\"product\"", "\"customer\"", &["there is no field 'customer'"]),
        ("list = \"line\"", "list = \"lines\"", &["there is no list 'lines'", "did you mean 'line'?"]),
        ("{ list = \"line\" }", "\"1\"", &["nothing in the request is the list 'line'"]),
        (
            "[\"HEAD/NUMBER\"]",
            "[\"HEAD/NUMER\"]",
            &["nothing fills the path 'HEAD/NUMER'", "did you mean 'HEAD/NUMBER'?"],
        ),
        ("\"HEAD/CITY\"", "\"HEAD/NUMBER/CITY\"", &["'HEAD/NUMBER' cannot have both a value and what is below it"]),
        ("\"HEAD/CITY\"", "\"HEAD//CITY\"", &["'HEAD//CITY' is no path"]),
        ("action = \"order\"", "action = \"ordre\"", &["ordre"]),
        ("from = \"lines\"", "form = \"lines\"", &["did you mean"]),
        ("\"id\"", "\"accepted_at.format('YYYY')\"", &["'YYYY' is no format"]),
    ] {
        assert!(ORDER.contains(from), "{from}");
        let problems = order_mapping(&ORDER.replacen(from, to, 1)).unwrap_err();
        for wanted in wanted {
            assert!(problems.contains(wanted), "'{wanted}' is not in: {problems}");
        }
    }
    let endless = ORDER.replace("fields = { ARTICLE", "fields = { INNER = { list = \"line\" }, ARTICLE");
    assert!(order_mapping(&endless).unwrap_err().contains("lists name each other"));
}

#[test]
fn an_order_without_lines_to_take_has_no_rows() {
    let mapping =
        order_mapping(&ORDER.replace("from = \"lines\"", "from = \"lines\"\nwhere = \"quantity > 5\"")).unwrap();
    let order = serde_json::json!({"id": "TB-1", "lines": [{"product": "A", "quantity": "5"}, {"product": "B", "quantity": "5.01"}]});
    let Value::Map(order) = Value::from_json(order) else { panic!() };
    let setting = Setting { company: "NL01".into(), zone: jiff::tz::TimeZone::UTC, settings: Value::Null };
    let request = mapping.apply(&order, &setting).unwrap();
    // A decimal is a number for the condition, though it travels as text.
    let Some(Value::List(lines)) = request.get("LINE") else { panic!("{request:?}") };
    assert_eq!(lines.len(), 1);
    let rejected = mapping.apply(&tradebridge::record::Map::default(), &setting).unwrap_err();
    assert_eq!(rejected.to_string(), "HEAD/NUMBER: the system needs a value here (mappings/erp/order.toml:6)");
}

#[test]
fn one_schema_describes_both_kinds_of_files() {
    let schema = tradebridge::mapping::schema();
    for file in ["mappings/csv-export/order.toml", "mappings/csv-export/customer.toml"] {
        let document = Document::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        assert_eq!(document.check(&schema).len(), 0, "{file}: {:?}", document.check(&schema));
    }
    let document = Document::parse("x.toml", "entity = \"customer\"\naction = \"order\"\n");
    assert!(!document.check(&schema).is_empty());
}
