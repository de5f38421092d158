//! Reading: records, lists and their filters, pages while records change, validators, streams.

use serde_json::{Value, json};
use tradebridge::model::PartKind;

use super::harness::{A, A_READ, Api, B};

#[tokio::test]
async fn a_record_is_assembled_with_where_it_came_from() {
    let api = Api::new().await;
    let customer = api.get("/v1/customers/10", A).await;
    assert_eq!(customer.status, 200, "{}", customer.text);
    let record = customer.json();
    assert_eq!(record["name"], "Customer 10");
    assert_eq!(record["contacts"][0]["id"], "c10");
    assert_eq!(record["addresses"][0]["city"], "Ede");
    assert_eq!(record["meta"]["key"], "NL01~10");
    assert_eq!(record["meta"]["sources"].as_array().unwrap().len(), 3);
    assert_eq!(record["meta"]["sources"][0]["connection"], "erp");
    assert!(customer.header("tradebridge-verified-at").starts_with("20"));
    assert_eq!(api.get("/v1/customers/NL01~10", A).await.json(), record);
    assert_eq!(api.get("/v1/products/RAD%2F11%20900", A).await.json()["gtin"], "8710000000028");
    assert_eq!(api.get("/v1/stock/KGL-15~MAIN", A).await.json()["available"], "5");
    let missing = api.get("/v1/customers/99", A).await;
    assert_eq!((missing.status.as_u16(), missing.problem()), (404, "not-found".to_owned()));
    let product = api.get("/v1/products/KGL-15", A_READ).await.json();
    let own: Vec<&str> =
        product["customer_articles"].as_array().unwrap().iter().map(|a| a["number"].as_str().unwrap()).collect();
    assert_eq!(own, ["OWN-10", "OWN-30"], "customers' own numbers of the shop's customers alone");
}

#[tokio::test]
async fn lists_take_the_filters_they_declare_and_no_others() {
    let api = Api::new().await;
    let cases: [(&str, &[&str]); 22] = [
        ("customers", &["10", "30"]),
        ("customers?group=B", &["30"]),
        ("customers?number=10", &["10"]),
        ("customers?number=20", &[]),
        ("products?gtin=8710000000028", &["RAD/11 900"]),
        ("products?group=KOPPEL", &["KGL-15"]),
        ("products?status=phase_out", &[]),
        ("products?status=active&limit=1000", &["KGL-15", "RAD/11 900"]),
        ("price-agreements?customer=10", &["all", "g1", "p10", "q10"]),
        ("price-agreements?customer=30", &["all", "p30", "q30"]),
        ("price-agreements?customer=10&product=RAD%2F11+900", &["all"]),
        ("price-agreements?customer=10&product=KGL-15", &["all", "g1", "p10", "q10"]),
        ("price-agreements?product=KGL-15&date=2026-06-01", &["g1", "g2", "p10", "p30", "q10", "q30"]),
        ("price-agreements?product=UNKNOWN", &["all"]),
        ("stock?product=KGL-15", &["KGL-15~MAIN", "KGL-15~OUTLET"]),
        ("stock?warehouse=OUTLET", &["KGL-15~OUTLET", "RAD/11 900~OUTLET"]),
        ("credit?customer=NL01~30", &["30"]),
        ("delivery-terms?customer=10", &["t10"]),
        ("order-statuses", &["s10", "s30"]),
        ("shipments?customer=30", &["SH30"]),
        ("invoices?company=NL01", &["IN10", "IN30"]),
        ("invoices?company=BE01", &[]),
    ];
    for (path, expected) in cases {
        assert_eq!(api.get(&format!("/v1/{path}"), A).await.numbers(), expected, "{path}");
    }
    assert_eq!(api.get("/v1/stock", B).await.numbers(), ["KGL-15~OUTLET", "RAD/11 900~OUTLET"]);

    let unknown = api.get("/v1/customers?gruop=B&limit=0", A).await;
    assert_eq!((unknown.status.as_u16(), unknown.problem()), (400, "invalid-parameter".to_owned()));
    let errors = unknown.json()["errors"].clone();
    assert!(errors[0]["detail"].as_str().unwrap().contains("did you mean `group`?"), "{errors}");
    assert_eq!((errors[0]["parameter"].as_str(), errors[1]["parameter"].as_str()), (Some("gruop"), Some("limit")));
    for path in ["customers?gtin=1", "stock?customer=10", "products/KGL-15?limit=1", "customers?number="] {
        assert_eq!(api.get(&format!("/v1/{path}"), A).await.problem(), "invalid-parameter", "{path}");
    }
    for path in ["price-agreements?customer=20", "credit?customer=99"] {
        assert_eq!(api.get(&format!("/v1/{path}"), A).await.problem(), "not-found", "{path}");
    }
}

#[tokio::test]
async fn tiers_are_gathered_for_a_product() {
    let api = Api::new().await;
    let list = api.get("/v1/price-agreements?customer=10&product=KGL-15&tiers=true", A).await.json();
    let agreed: Vec<&Value> = list["items"].as_array().unwrap().iter().filter(|a| a["agreement"] == "A1").collect();
    assert_eq!(agreed.len(), 1);
    let tiers: Vec<_> = agreed[0]["tiers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| (t["minimum_quantity"].clone(), t["value"].clone()))
        .collect();
    assert_eq!(tiers, [(json!("1"), json!("2.00")), (json!("100"), json!("1.50"))]);
    assert_eq!(agreed[0]["tiers"][0]["key"], "NL01~p10");
    assert_eq!(api.get("/v1/price-agreements?tiers=true", A).await.problem(), "invalid-parameter");
    assert_eq!(
        api.get("/v1/price-agreements?tiers=true&product=KGL-15&limit=3", A).await.problem(),
        "invalid-parameter"
    );
}

#[tokio::test]
async fn pages_reach_the_end_while_records_change_and_the_feed_completes_them() {
    let api = Api::new().await;
    let line = |n: u32, value: &str| json!({"id": format!("x{n:04}"), "customer": "10", "product": "P", "kind": "net_price", "currency": "EUR", "value": value});
    api.erp.put_all("erp", PartKind::PriceAgreement, (0..950).map(|n| line(n, "1")).collect()).await;
    let mut seen = std::collections::BTreeMap::new();
    let mut path = "/v1/price-agreements?customer=10&limit=100".to_owned();
    let mut cursor = None;
    let mut pages = 0;
    loop {
        let page = api.get(&path, A).await.json();
        pages += 1;
        assert!(page["items"].as_array().unwrap().len() <= 100);
        assert_eq!(*cursor.get_or_insert_with(|| page["changes_cursor"].clone()), page["changes_cursor"]);
        for item in page["items"].as_array().unwrap() {
            assert!(seen.insert(item["id"].clone().to_string(), item["value"].clone()).is_none(), "twice: {item}");
        }
        // Behind the walk, before it, and gone: the feed makes up for what the pages missed.
        api.erp.put("erp", (PartKind::PriceAgreement, line(pages, "9"), None)).await;
        api.erp.put("erp", (PartKind::PriceAgreement, line(2000 - pages, "1"), None)).await;
        api.erp.delete("erp", PartKind::PriceAgreement, &format!("x{:04}", 900 + pages)).await;
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/price-agreements?customer=10&limit=100&cursor={next}");
    }
    let mut after = cursor.unwrap().as_str().unwrap().to_owned();
    loop {
        let feed = api.get(&format!("/v1/changes?after={after}&entity=price_agreement"), A).await.json();
        for change in feed["changes"].as_array().unwrap() {
            let id = json!(change["key"].as_str().unwrap().trim_start_matches("NL01~")).to_string();
            match change["record"]["value"].clone() {
                Value::Null => seen.remove(&id),
                value => seen.insert(id, value),
            };
        }
        after = feed["cursor"].as_str().unwrap().to_owned();
        if feed["more"] == false {
            break;
        }
    }
    let mut stored = std::collections::BTreeMap::new();
    let all = api.get_with("/v1/price-agreements?customer=10", A, "accept", "application/x-ndjson").await;
    for line in all.text.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        stored.insert(record["id"].to_string(), record["value"].clone());
    }
    assert_eq!(seen, stored);
    assert!(pages >= 10);
}

#[tokio::test]
async fn what_did_not_change_is_not_sent_again() {
    let api = Api::new().await;
    for path in ["/v1/customers/10", "/v1/customers", "/v1/price-agreements?product=KGL-15&tiers=true", "/openapi.json"]
    {
        let first = api.get(path, A).await;
        let tag = first.header("etag").to_owned();
        assert_eq!(
            tag.starts_with("W/"),
            path.contains("customers") && !path.ends_with("10") || path.contains("tiers")
        );
        let again = api.get_with(path, A, "if-none-match", &format!("\"x\", {tag}")).await;
        assert_eq!(
            (again.status.as_u16(), again.text.as_str(), again.header("etag")),
            (304, "", tag.as_str()),
            "{path}"
        );
        assert_eq!(api.get_with(path, A, "if-none-match", "\"x\"").await.status, 200);
    }
    let tag = api.get("/v1/customers/10", A).await.header("etag").to_owned();
    let list = api.get("/v1/customers", A).await.header("etag").to_owned();
    let contact = json!({"id": "c11", "customer": "10", "name": "New", "role": "approver"});
    api.erp.put("erp", (PartKind::Contact, contact, None)).await;
    assert_eq!(api.get_with("/v1/customers/10", A, "if-none-match", &tag).await.status, 200, "a part is the record's");
    assert_eq!(api.get_with("/v1/customers", A, "if-none-match", &list).await.status, 200);
    let other = api.get("/v1/customers/30", A).await.header("etag").to_owned();
    assert_eq!(api.get_with("/v1/customers/30", A, "if-none-match", &other).await.status, 304);
}

#[tokio::test]
async fn a_stream_holds_every_record_a_line() {
    let api = Api::new().await;
    let products: Vec<Value> = (0..1700)
        .map(|n| json!({"number": format!("N{n:05}"), "base_unit": {"code": "C62"}, "groups": ["X"]}))
        .collect();
    api.erp.put_all("erp", PartKind::Product, products).await;
    let stream = api.get_with("/v1/products", A, "accept", "application/x-ndjson, application/json;q=0.5").await;
    assert_eq!(stream.header("content-type"), "application/x-ndjson");
    let numbers: Vec<String> = stream
        .text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["number"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(numbers.len(), 1702);
    assert!(numbers.is_sorted());
    assert!(!stream.header("tradebridge-changes-cursor").is_empty());
    let bad = api.get_with("/v1/products?limit=5", A, "accept", "application/x-ndjson").await;
    assert_eq!(bad.problem(), "invalid-parameter");
    api.shutdown.send_replace(true);
    let ended = api.get_with("/v1/products", A, "accept", "application/x-ndjson").await;
    let last: Value = serde_json::from_str(ended.text.lines().last().unwrap()).unwrap();
    assert_eq!(last["error"]["type"], "urn:tradebridge:problem:unavailable", "a stream that breaks says so");
}

#[tokio::test]
async fn answers_say_how_old_they_may_be() {
    let api = Api::new().await;
    let list = api.get("/v1/price-agreements?customer=10", A).await.json();
    let verified: Vec<&String> = list["verified_at"].as_object().unwrap().keys().collect();
    assert_eq!(verified, ["erp/address", "erp/contact", "erp/customer", "erp/price_agreement"]);
    assert!(list["verified_at"]["erp/price_agreement"].is_string());
    api.erp.store.as_ref();
    let never = Api::empty().await.get("/v1/customers", A).await;
    assert_eq!(never.header("tradebridge-verified-at"), "never");
}

#[tokio::test]
async fn a_shop_of_several_companies_names_them() {
    let api = Api::new().await;
    let mut config = (**api.config.borrow()).clone();
    config.shops[0].companies.push("BE01".to_owned());
    let digest = tradebridge::sync::scope_digest(&config.shops[0]);
    api.config.send_replace(std::sync::Arc::new(config));
    assert_eq!(api.get("/v1/customers/10", A).await.problem(), "scope-pending", "until the scope is worked out");
    assert!(api.get("/readyz", A).await.text.contains(r#"{"name":"shop a","ok":false,"required":true}"#));
    api.store.finish_rescope("a", &digest).await.unwrap();
    let ambiguous = api.get("/v1/customers/10", A).await;
    assert_eq!((ambiguous.status.as_u16(), ambiguous.problem()), (400, "ambiguous-key".to_owned()));
    assert!(ambiguous.text.contains("NL01~10 or BE01~10"));
    assert_eq!(api.get("/v1/customers/NL01~10", A).await.status, 200);
    assert_eq!(api.get("/v1/price-agreements?customer=10", A).await.problem(), "ambiguous-key");
    assert_eq!(api.get("/v1/credit?customer=NL01~10", A).await.numbers(), ["10"]);
}
