//! Reading what was known: records, lists, streams and their validators, within what a shop may see today.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tradebridge::model::{Entity, PartKind};
use tradebridge::store::Surplus;

use super::harness::{A, Api, B};
use crate::upkeep::prune;

/// An API whose records all changed after the instant that comes with it.
async fn changed() -> (Api, Timestamp) {
    let api = Api::new().await;
    let then = Timestamp::now();
    let customer = json!({"number": "10", "name": "Renamed", "groups": ["A", "NEW"], "price_groups": ["PG11"],
        "currency": "EUR", "blocked": "no"});
    api.erp.put("erp", (PartKind::Customer, customer, Some(&["a"]))).await;
    let contact = json!({"id": "c10", "customer": "10", "name": "Joanne", "role": "buyer"});
    api.erp.put("erp", (PartKind::Contact, contact, None)).await;
    let article = json!({"id": "k10", "product": "KGL-15", "customer": "10", "number": "OTHER-10"});
    api.erp.put("erp", (PartKind::CustomerArticle, article, None)).await;
    for (id, value) in [("p10", "2.50"), ("new", "3.00")] {
        let line = json!({"id": id, "customer": "10", "agreement": "A1", "product": "KGL-15", "kind": "net_price",
            "currency": "EUR", "value": value, "minimum_quantity": "1", "scale": "from"});
        api.erp.put("erp", (PartKind::PriceAgreement, line, None)).await;
    }
    api.erp.delete("erp", PartKind::PriceAgreement, "q10").await;
    api.erp.delete("erp", PartKind::Customer, "20").await;
    let moved = json!({"number": "30", "name": "Customer 30", "groups": ["B"]});
    api.erp.put("erp", (PartKind::Customer, moved, Some(&["b"]))).await;
    api.announce().await;
    (api, then)
}

#[tokio::test]
async fn a_record_is_assembled_as_it_was_known() {
    let (api, then) = changed().await;
    let (was, is) =
        (api.get(&format!("/v1/customers/10?known_at={then}"), A).await, api.get("/v1/customers/10", A).await);
    assert_eq!(was.status, 200, "{}", was.text);
    assert_eq!(was.header("tradebridge-known-at"), then.to_string());
    assert!(is.headers.get("tradebridge-known-at").is_none());
    let (tag, was, is) = (was.header("etag").to_owned(), was.json(), is.json());
    assert_eq!((&was["name"], &is["name"]), (&json!("Customer 10"), &json!("Renamed")));
    assert_eq!((&was["contacts"][0]["name"], &is["contacts"][0]["name"]), (&json!("Jo"), &json!("Joanne")));
    assert_eq!(was["meta"]["sources"].as_array().unwrap().len(), 3);
    assert_ne!(was["meta"]["sources"][0]["run"], is["meta"]["sources"][0]["run"]);
    let changed_at: Timestamp = was["meta"]["changed_at"].as_str().unwrap().parse().unwrap();
    assert!(changed_at <= then, "of that version");
    let again = api.get_with(&format!("/v1/customers/10?known_at={then}"), A, "if-none-match", &tag).await;
    assert_eq!(again.status, 304);
    let own = |product: &Value| -> Vec<String> {
        let articles = product["customer_articles"].as_array().unwrap();
        articles.iter().map(|article| article["number"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(own(&api.get(&format!("/v1/products/KGL-15?known_at={then}"), A).await.json()), ["OWN-10"]);
    assert_eq!(own(&api.get("/v1/products/KGL-15", A).await.json()), ["OTHER-10"]);
}

#[tokio::test]
async fn lists_show_what_was_known_with_the_filters_of_then() {
    let (api, then) = changed().await;
    let cases: [(&str, &[&str], &[&str]); 8] = [
        ("customers?", &["10"], &["10"]),
        ("customers?group=NEW&", &[], &["10"]),
        ("price-agreements?customer=10&", &["all", "g1", "p10", "q10"], &["all", "new", "p10"]),
        ("price-agreements?customer=10&product=KGL-15&date=2026-06-01&", &["g1", "p10", "q10"], &["new", "p10"]),
        ("price-agreements?product=RAD%2F11+900&", &["all"], &["all"]),
        ("products?gtin=8710000000028&", &["RAD/11 900"], &["RAD/11 900"]),
        ("stock?product=KGL-15&warehouse=MAIN&", &["KGL-15~MAIN"], &["KGL-15~MAIN"]),
        ("credit?customer=10&company=NL01&", &["10"], &["10"]),
    ];
    for (path, was, is) in cases {
        assert_eq!(api.get(&format!("/v1/{path}known_at={then}"), A).await.numbers(), was, "{path} then");
        assert_eq!(api.get(&format!("/v1/{path}limit=100"), A).await.numbers(), is, "{path} now");
    }
    let list = api.get(&format!("/v1/price-agreements?customer=10&known_at={then}"), A).await.json();
    assert_eq!((&list["known_at"], &list["changes_cursor"]), (&json!(then.to_string()), &Value::Null));
    let credit = api.get(&format!("/v1/credit?known_at={then}"), A).await;
    let verified_at: Timestamp = credit.json()["verified_at"]["erp/credit"].as_str().unwrap().parse().unwrap();
    assert!(verified_at <= then);
    assert_eq!(credit.header("tradebridge-verified-at"), verified_at.to_string());
    let tiers = format!("/v1/price-agreements?customer=10&product=KGL-15&tiers=true&known_at={then}");
    let tiers = api.get(&tiers, A).await.json();
    let agreed = tiers["items"].as_array().unwrap().iter().find(|item| item["agreement"] == "A1").unwrap();
    assert_eq!(agreed["tiers"].as_array().unwrap().len(), 2);
    assert_eq!(agreed["tiers"][0]["value"], "2.00");
    let stream = format!("/v1/price-agreements?customer=10&known_at={then}");
    let stream = api.get_with(&stream, A, "accept", "application/x-ndjson").await;
    let ids: Vec<Value> =
        stream.text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone()).collect();
    assert_eq!(ids, ["all", "g1", "p10", "q10"]);
    assert!(stream.headers.get("tradebridge-changes-cursor").is_none(), "nothing follows the past");
    assert_eq!(stream.header("tradebridge-known-at"), then.to_string());
}

#[tokio::test]
async fn pages_of_the_past_stay_what_they_were_while_records_change() {
    let (api, then) = changed().await;
    let mut path = format!("/v1/price-agreements?known_at={then}&limit=2");
    let (mut seen, mut first) = (Vec::new(), None);
    loop {
        let page = api.get(&path, A).await;
        seen.extend(page.numbers());
        let Some(next) = page.json()["next"].as_str().map(str::to_owned) else { break };
        first.get_or_insert(next.clone());
        let line = json!({"id": format!("z{}", seen.len()), "product": "KGL-15", "kind": "net_price",
            "currency": "EUR", "value": "1"});
        api.erp.put("erp", (PartKind::PriceAgreement, line, None)).await;
        path = format!("/v1/price-agreements?known_at={then}&limit=2&cursor={next}");
    }
    assert_eq!(seen, ["all", "g1", "g2", "p10", "q10"]);
    let cursor = first.unwrap();
    for query in [String::new(), format!("&known_at={}", then + SignedDuration::from_micros(1))] {
        let other = api.get(&format!("/v1/price-agreements?limit=2&cursor={cursor}{query}"), A).await;
        assert_eq!(other.problem(), "invalid-cursor", "{query}");
    }
}

#[tokio::test]
async fn the_past_is_within_the_scope_of_today() {
    let (api, then) = changed().await;
    let status =
        async |path: &str, key: &str| api.get(&format!("/v1/{path}?known_at={then}"), key).await.status.as_u16();
    assert_eq!(status("customers/30", A).await, 404, "who left the scope left it for the past too");
    assert_eq!(status("price-agreements/p30", A).await, 404);
    assert_eq!(status("customers/30", B).await, 200);
    assert_eq!(status("customers/20", B).await, 404, "who was deleted is in no scope");
    assert_eq!(status("customers/10", B).await, 404);
    assert_eq!(status("stock/KGL-15~MAIN", B).await, 404, "the warehouse is none of its own");
    let of = format!("/v1/price-agreements?customer=30&known_at={then}");
    assert_eq!(api.get(&of, A).await.problem(), "not-found");
}

#[tokio::test]
async fn an_instant_that_cannot_be_told_is_refused() {
    let api = Api::new().await;
    for (known_at, wanted) in [
        ("2026-11-12", "does not say which"),
        ("2026-11-12T17:00:00", "does not say which"),
        ("2026-11-12T17:00:00+01:00", "%2B"),
        ("yesterday", "an instant"),
        ("2999-01-01T00:00:00Z", "in the future"),
        ("", "empty"),
    ] {
        for path in ["customers", "customers/10"] {
            let refused = api.get(&format!("/v1/{path}?known_at={known_at}"), A).await;
            assert_eq!(
                (refused.status.as_u16(), refused.problem()),
                (400, "invalid-parameter".to_owned()),
                "{known_at}"
            );
            let errors = refused.json()["errors"].clone();
            assert_eq!(errors[0]["parameter"], "known_at");
            assert!(errors[0]["detail"].as_str().unwrap().contains(wanted), "{known_at}: {errors}");
        }
    }
    // Stock is kept for 30 days, everything else for 400.
    let ago = |days: i64| Timestamp::now() - SignedDuration::from_hours(24 * days);
    for (path, days, status) in [
        ("customers", 60, 200),
        ("customers", 401, 410),
        ("stock", 29, 200),
        ("stock", 60, 410),
        ("stock/KGL-15~MAIN", 60, 410),
        ("price-agreements?product=KGL-15&known_at", 401, 410),
    ] {
        let path = if path.contains('?') { path.to_owned() } else { format!("{path}?known_at") };
        let answer = api.get(&format!("/v1/{path}={}", ago(days)), A).await;
        assert_eq!(answer.status.as_u16(), status, "{path} {days}: {}", answer.text);
        if status == 410 {
            assert_eq!(answer.problem(), "history-gone");
            let since = answer.json()["errors"][0]["detail"].as_str().unwrap().to_owned();
            assert!(since.contains("or later"), "{since}");
        } else {
            assert_eq!(answer.json()["items"], json!([]), "before the first pull nothing was known");
        }
    }
    let contact = json!({"id": "c10", "customer": "10", "name": "Joanne", "role": "buyer"});
    api.erp.put("erp", (PartKind::Contact, contact, None)).await;
    let now = Timestamp::now();
    prune(&*api.store, Surplus::History(Entity::Customer), now).await;
    let gone = api.get(&format!("/v1/customers?known_at={}", now - SignedDuration::from_secs(1)), A).await;
    assert_eq!(gone.problem(), "history-gone", "what was forgotten is not told as if it had never been");
    assert_eq!(api.get(&format!("/v1/customers?known_at={now}"), A).await.status, 200);
}

#[tokio::test]
async fn the_published_document_knows_the_parameter() {
    let api = Api::new().await;
    let document = api.get("/openapi.json", A).await.json();
    for path in ["/v1/customers", "/v1/stock/{key}"] {
        let operation = &document["paths"][path]["get"];
        let parameters = operation["parameters"].as_array().unwrap();
        let known_at = parameters.iter().find(|parameter| parameter["name"] == "known_at").unwrap();
        assert_eq!(known_at["schema"], json!({"type": "string", "format": "date-time"}));
        assert!(operation["responses"]["410"]["description"].as_str().unwrap().contains("history-gone"), "{path}");
    }
}
