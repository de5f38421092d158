//! Orders over HTTP.

use axum::body::Body;
use axum::http::Method;
use serde_json::json;
use tradebridge::model::PartKind;

use super::harness::{A, Api, B, order, request};

#[tokio::test]
async fn an_order_is_taken_in_and_followed() {
    let api = Api::new().await;
    let posted = api.post("/v1/orders", A, &order("W-1", "10")).await;
    assert_eq!(posted.status, 202, "{}", posted.text);
    let location = posted.header("location").to_owned();
    let placed = posted.json();
    assert_eq!((placed["state"].as_str(), placed["reference"].as_str()), (Some("queued"), Some("W-1")));
    assert_eq!(placed["order"]["lines"][0]["unit"]["erp"], "ST");
    let followed = api.get(&location, A).await.json();
    assert_eq!(followed["id"], placed["id"]);
    assert_eq!(followed["transitions"][0]["to"], "received");
    assert_eq!(followed["transitions"][0]["by"], "shop");
    assert_eq!(api.get("/v1/orders?reference=W-1", A).await.json()["items"][0]["id"], placed["id"]);
    assert_eq!(api.get("/v1/orders?state=queued&customer=10", A).await.json()["items"].as_array().unwrap().len(), 1);
    assert_eq!(api.get("/v1/orders?state=held", A).await.json()["items"], json!([]));

    let again = api.post("/v1/orders", A, &order("W-1", "10")).await;
    assert_eq!((again.status.as_u16(), again.header("idempotent-replayed")), (202, "true"));
    assert_eq!(again.json()["id"], placed["id"]);
    let mut changed = order("W-1", "10");
    changed["lines"][0]["quantity"] = "11".into();
    let conflict = api.post("/v1/orders", A, &changed).await;
    assert_eq!((conflict.status.as_u16(), conflict.problem()), (422, "reference-used".to_owned()));

    for act in ["approve", "cancel"] {
        assert_eq!(api.post(&format!("{location}/{act}"), B, &json!({})).await.problem(), "not-found");
    }
    assert_eq!(api.post(&format!("{location}/approve"), A, &json!({})).await.problem(), "forbidden");
    let cancelled = api.post(&format!("{location}/cancel"), A, &json!({})).await;
    assert_eq!(cancelled.json()["state"], "cancelled");
    assert_eq!(api.post(&format!("{location}/cancel"), A, &json!({})).await.problem(), "conflict");
}

#[tokio::test]
async fn the_same_order_twenty_times_at_once_is_one_order() {
    let api = std::sync::Arc::new(Api::new().await);
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let api = api.clone();
        clients.spawn(async move {
            loop {
                let answer = api.post("/v1/orders", A, &order("W-20", "10")).await;
                // More at once than the configuration allows: they come again, as they are told.
                if answer.status != 503 {
                    return answer;
                }
                assert_eq!(answer.problem(), "overloaded");
                assert_eq!(answer.header("retry-after"), "5");
                tokio::task::yield_now().await;
            }
        });
    }
    let mut ids = std::collections::BTreeSet::new();
    let mut first = 0;
    while let Some(answer) = clients.join_next().await {
        let answer = answer.unwrap();
        assert_eq!(answer.status, 202, "{}", answer.text);
        first += u32::from(!answer.headers.contains_key("idempotent-replayed"));
        ids.insert(answer.json()["id"].as_str().unwrap().to_owned());
    }
    assert_eq!((ids.len(), first), (1, 1));
    assert_eq!(api.get("/v1/orders", A).await.json()["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn every_fault_of_an_order_is_told_at_once() {
    let api = Api::new().await;
    let faulty = json!({"reference": "W-2", "customer": "20", "currency": "EUR", "coulour": 1,
        "lines": [{"product": "NOPE", "quantity": "0"}, {"product": "KGL-15", "quantity": "1", "unit": {"code": "MTR"}}]});
    let answer = api.post("/v1/orders", A, &faulty).await;
    assert_eq!((answer.status.as_u16(), answer.problem()), (422, "invalid-content".to_owned()));
    let errors = answer.json()["errors"].as_array().unwrap().clone();
    let pointers: Vec<&str> = errors.iter().map(|e| e["pointer"].as_str().unwrap()).collect();
    for pointer in ["/customer", "/coulour", "/lines/0/product", "/lines/0/quantity", "/lines/1/unit"] {
        assert!(pointers.contains(&pointer), "{pointer}: {pointers:?}");
    }
    assert_eq!(api.get("/v1/orders", A).await.json()["items"], json!([]));
}

#[tokio::test]
async fn bodies_that_are_no_orders_are_told_what_they_are() {
    let api = Api::new().await;
    let post = |body: Body| request(Method::POST, "/v1/orders", Some(A), body);
    let malformed = api.send(post(Body::from("{\n  \"reference\": 'x'\n}"))).await;
    assert_eq!((malformed.status.as_u16(), malformed.problem()), (400, "malformed-body".to_owned()));
    assert!(malformed.json()["detail"].as_str().unwrap().contains("line 2, column 16"), "{}", malformed.text);
    let deep = "[".repeat(50_000);
    assert_eq!(api.send(post(Body::from(deep))).await.problem(), "malformed-body");
    assert_eq!(api.send(post(Body::empty())).await.problem(), "malformed-body");
    assert_eq!(api.send(post(Body::from("[]"))).await.problem(), "invalid-content");
    let large = api.send(post(Body::from(vec![b' '; 200_000]))).await;
    assert_eq!((large.status.as_u16(), large.problem()), (413, "body-too-large".to_owned()));
    let stream = futures_util::stream::repeat_with(|| Ok::<_, std::convert::Infallible>(vec![b' '; 10_000]));
    assert_eq!(api.send(post(Body::from_stream(stream))).await.status, 413, "an endless body ends at the limit");
    let mut xml = post(Body::from("<order/>"));
    xml.headers_mut().insert("content-type", "text/xml".parse().unwrap());
    let xml = api.send(xml).await;
    assert_eq!((xml.status.as_u16(), xml.problem()), (415, "unsupported-media-type".to_owned()));
    let mut key = post(Body::from(order("W-3", "10").to_string()));
    key.headers_mut().insert("idempotency-key", "x".repeat(300).parse().unwrap());
    assert_eq!(api.send(key).await.problem(), "invalid-content");
}

#[tokio::test]
async fn what_the_erp_says_back_stands_with_the_order() {
    let api = Api::new().await;
    let posted = api.post("/v1/orders", A, &order("W-5", "10")).await.json();
    let blocked = json!({"number": "10", "name": "x", "groups": ["A"], "blocked": "orders"});
    api.erp.put("erp", (PartKind::Customer, blocked, Some(&["a"]))).await;
    let held = api.post("/v1/orders", A, &order("W-6", "10")).await;
    assert_eq!((held.status.as_u16(), held.json()["state"].as_str()), (202, Some("held")), "{}", held.text);
    let followed = api.get(&format!("/v1/orders/{}", posted["id"].as_str().unwrap()), A).await.json();
    for list in ["lines", "shipments", "invoices"] {
        assert_eq!(followed[list], json!([]));
    }
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_not_waited_for() {
    let api = Api::new().await;
    let mut config = (**api.config.borrow()).clone();
    config.api.request_timeout = tradebridge::config::values::Interval::from_secs(1);
    api.config.send_replace(std::sync::Arc::new(config));
    let never = futures_util::stream::pending::<Result<Vec<u8>, std::convert::Infallible>>();
    let late = api.send(request(Method::POST, "/v1/orders", Some(A), Body::from_stream(never))).await;
    assert_eq!((late.status.as_u16(), late.problem()), (408, "body-timeout".to_owned()));
}
