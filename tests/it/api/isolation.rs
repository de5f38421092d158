//! Who may do what, on every route of the table.

use axum::body::Body;
use axum::http::Method;
use serde_json::{Value, json};
use tradebridge::api::{Access, openapi, routes};
use tradebridge::config::Scope;
use tradebridge::model::Entity;
use tradebridge::store::StoredKey;

use super::harness::{A, A_ORDERS, A_READ, Api, B, OPERATOR, order, request};

/// What is shop a's and must never reach shop b. The digits are those of customer 10.
const OF_A: [&str; 12] =
    ["Customer 10", "NL01~10", "p10", "q10", "t10", "s10", "SH10", "IN10", "OWN-10", "c10", "W-A", "KGL-15~MAIN"];

/// Every path of a route: with each key that could stand in it.
fn paths(path: &str, orders: &[String]) -> Vec<String> {
    if path.contains("{id}") {
        return orders.iter().map(|id| path.replace("{id}", id)).collect();
    }
    let keys = ["10", "p10", "q10", "t10", "s10", "SH10", "IN10", "KGL-15~MAIN", "KGL-15", "g1"];
    if path.contains("{key}") {
        return keys.iter().map(|key| path.replace("{key}", &format!("NL01~{key}"))).collect();
    }
    let mut paths = vec![path.to_owned()];
    if path == "/v1/orders" {
        paths.extend(["reference=W-A", "customer=10"].map(|q| format!("{path}?{q}")));
    }
    if path == "/v1/changes" {
        paths.push(format!("{path}?limit=1000"));
    }
    for query in ["customer=10", "customer=NL01~10", "number=10", "product=KGL-15", "group=A", "warehouse=MAIN"] {
        paths.push(format!("{path}?{query}"));
    }
    paths
}

#[tokio::test]
async fn no_route_shows_a_shop_what_is_anothers() {
    let api = Api::new().await;
    let id = api.post("/v1/orders", A, &order("W-A", "10")).await.json()["id"].as_str().unwrap().to_owned();
    // Records that died before, and one that moves out of a's scope: their tombstones are a's alone.
    api.erp.delete("erp", tradebridge::model::PartKind::Invoice, "IN10").await;
    api.erp.delete("erp", tradebridge::model::PartKind::Stock, "KGL-15~MAIN").await;
    let mut seen_by_a = String::new();
    let mut walked = 0;
    for route in routes() {
        if route.access == Access::Open {
            continue;
        }
        for path in paths(&route.path, std::slice::from_ref(&id)) {
            for accept in ["application/json", "application/x-ndjson"] {
                let send = |key| {
                    let body = if route.method == Method::POST { json!({}).to_string() } else { String::new() };
                    let mut request = request(route.method.clone(), &path, Some(key), Body::from(body));
                    request.headers_mut().insert("accept", accept.parse().unwrap());
                    api.send(request)
                };
                let b = send(B).await;
                assert!(b.status.as_u16() < 500, "{path}: {}", b.text);
                for secret in OF_A {
                    // A problem may repeat the key that was asked for; no record may.
                    let told = b.status.is_success() && b.text.contains(secret);
                    assert!(!told, "{} {path} as {accept} tells shop b of {secret}: {}", route.method, b.text);
                }
                for (name, value) in &b.headers {
                    assert!(!value.to_str().unwrap_or_default().contains(&id), "{path}: {name}");
                }
                if route.method == Method::GET {
                    let a = send(A).await;
                    if a.status.is_success() {
                        seen_by_a.push_str(&a.text);
                    }
                }
                walked += 1;
            }
        }
    }
    for secret in OF_A {
        assert!(seen_by_a.contains(secret), "the walk would not have met {secret}");
    }
    assert!(walked > 300, "{walked}");
    let kept = api.get(&format!("/v1/orders/{id}"), A).await.json();
    assert_eq!(kept["state"], "queued", "shop b changed nothing either");
    // What is not seen is as what is not there: the answers do not tell one from the other.
    let strip = |text: String, key: &str| text.replace(key, "KEY");
    for (hidden, absent, path) in
        [("10", "77", "customers"), ("p10", "p77", "price-agreements"), (id.as_str(), "77", "orders")]
    {
        let there = api.get(&format!("/v1/{path}/{hidden}"), B).await;
        let not = api.get(&format!("/v1/{path}/{absent}"), B).await;
        assert_eq!((there.status, strip(there.text, hidden)), (not.status, strip(not.text, absent)));
    }
    let order_of_a = api.post("/v1/orders", B, &order("W-B", "10")).await;
    assert_eq!(order_of_a.problem(), "invalid-content", "shop b cannot order for shop a's customer");
}

#[tokio::test]
async fn every_route_asks_for_its_scope() {
    let api = Api::new().await;
    let revoked = StoredKey {
        name: "old".to_owned(),
        shop: "a".to_owned(),
        scopes: vec![Scope::Read, Scope::Orders, Scope::Admin],
        hash: tradebridge::api::key_hash(&tradebridge::config::Secret::new("tb_old")),
        created_at: jiff::Timestamp::now(),
        last_used: None,
        revoked_at: None,
    };
    api.store.add_key(&revoked).await.unwrap();
    assert_eq!(api.get("/v1/customers", "tb_old").await.status, 200);
    assert!(api.store.keys().await.unwrap()[0].last_used.is_some());
    api.store.revoke_key("old", jiff::Timestamp::now()).await.unwrap();

    let mut admin = Vec::new();
    for (method, path) in
        [(Method::GET, "status"), (Method::GET, "keys"), (Method::POST, "reload"), (Method::GET, "orders")]
    {
        admin.push((method, format!("/admin/v1/{path}"), Scope::Admin));
    }
    let shop = routes().into_iter().filter_map(|route| match route.access {
        Access::Open => None,
        Access::Key(scope) => Some((route.method, route.path.replace("{key}", "10").replace("{id}", "1"), scope)),
    });
    for (method, path, scope) in shop.chain(admin) {
        let send = |key: Option<&'static str>| api.send(request(method.clone(), &path, key, Body::empty()));
        let none = send(None).await;
        assert_eq!((none.status.as_u16(), none.problem()), (401, "unauthorized".to_owned()), "{path}");
        assert!(none.header("www-authenticate").starts_with("Bearer"));
        for key in ["wrong", "tb_old", ""] {
            assert_eq!(send(Some(key)).await.status, 401, "{path} with '{key}'");
        }
        for (key, has) in [(A_READ, Scope::Read), (A_ORDERS, Scope::Orders), (OPERATOR, Scope::Admin)] {
            let answer = send(Some(key)).await;
            if has == scope {
                assert_ne!(answer.status, 401, "{path}");
                assert_ne!(answer.status, 403, "{path}: {}", answer.text);
            } else {
                assert_eq!(
                    (answer.status.as_u16(), answer.problem()),
                    (403, "forbidden".to_owned()),
                    "{path} with {key}"
                );
            }
        }
    }
    let mut basic = request(Method::GET, "/v1/customers", None, Body::empty());
    basic.headers_mut().insert("authorization", "Basic dGI6a2V5".parse().unwrap());
    assert_eq!(api.send(basic).await.status, 401);
    assert_eq!(api.get("/v1/customers", OPERATOR).await.status, 403, "the operator's key belongs to no shop");
}

#[tokio::test]
async fn the_document_holds_every_route_and_every_reference_resolves() {
    let document = openapi();
    assert_eq!(document["openapi"], "3.1.0");
    let mut ids = std::collections::BTreeSet::new();
    for route in routes() {
        let operation = &document["paths"][&route.path][route.method.as_str().to_lowercase()];
        assert!(operation.is_object(), "{} {}", route.method, route.path);
        assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()));
        let declared: Vec<&str> =
            operation["parameters"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
        for parameter in route.parameters {
            assert!(declared.contains(&parameter.name));
        }
        for name in route.path.split('/').filter_map(|s| s.strip_prefix('{')?.strip_suffix('}')) {
            assert!(declared.contains(&name), "{}", route.path);
        }
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.contains_key(&route.answer.status.to_string()));
        assert_eq!(responses.contains_key("401"), route.access != Access::Open);
        assert_eq!(operation.get("security").is_some(), route.access != Access::Open);
        assert!(responses.values().all(|r| !r["description"].as_str().unwrap().is_empty()));
    }
    let paths: usize = document["paths"].as_object().unwrap().values().map(|p| p.as_object().unwrap().len()).sum();
    assert_eq!(paths, routes().len());
    resolve(&document, &document);
    for entity in Entity::ALL {
        let name: String = entity.name().split('_').map(|w| w[..1].to_uppercase() + &w[1..]).collect();
        let schema = &document["components"]["schemas"][&name];
        assert_eq!(schema["properties"]["meta"]["$ref"], "#/components/schemas/RecordMeta", "{name}");
    }
    let api = Api::empty().await;
    assert_eq!(api.get("/openapi.json", A).await.json(), document);
    let docs = api.get("/docs", A).await;
    assert!(docs.header("content-security-policy").starts_with("default-src 'none'"));
    for route in routes() {
        assert!(docs.text.contains(&route.path), "{}", route.path);
    }
    assert!(!docs.text.contains("<script") && !docs.text.contains("http://") && !docs.text.contains("src="));
}

#[test]
fn every_kind_of_problem_is_documented() {
    let docs = include_str!("../../../docs/api.md");
    for kind in tradebridge::api::problem::KINDS {
        assert!(docs.contains(&format!("`{}`", kind.name)), "{}", kind.name);
        assert!(docs.contains(&kind.status.to_string()), "{}", kind.status);
    }
}

fn resolve(value: &Value, document: &Value) {
    match value {
        Value::Object(members) => {
            if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
                let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} leaves the document"));
                assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
            }
            assert!(!members.contains_key("$defs") && !members.contains_key("$schema"));
            members.values().for_each(|member| resolve(member, document));
        }
        Value::Array(items) => items.iter().for_each(|item| resolve(item, document)),
        _ => {}
    }
}
