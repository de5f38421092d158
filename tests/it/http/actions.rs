//! Orders in steps: made, found again, gone on with, undone; never twice.

use std::sync::Mutex;

use serde_json::{Value as Json, json};
use tradebridge::connector::{CreateClass, Created, Found};
use tradebridge::record::Map;

use super::server::{Asked, Reply, Server};
use super::system::{System, text};

const ORDER: &str = r#"
[http]
base_url = "${settings.base_url}"
message = ["message"]
[[http.error]]
status = [409]
means = "duplicate"

[action.order]
create = { bounded = "10m" }
number = "made.number"
undo = [{ method = "DELETE", path = "orders/${made.id}" }]

[[action.order.step]]
name = "create"
request = { path = "orders", body = { reference = "${reference}", customer = "${request.customer}", lines = "${request.lines}" } }
gives = { id = "answer.id" }

[[action.order.step]]
name = "quote"
request = { path = "orders/${made.id}/quote", body = {} }
gives = { state = "answer.state" }
done = "made.state == 'quoted' || made.state == 'confirmed'"

[[action.order.step]]
name = "confirm"
request = { method = "PUT", path = "orders/${made.id}/confirm" }
gives = { state = "answer.state", number = "answer.number" }
done = "made.state == 'confirmed'"

[action.order.find]
request = { path = "orders", query = { reference = "${reference}" } }
records = "items"
gives = { id = "answer.id", state = "answer.state", number = "answer.number", customer = "answer.customer" }
ours = "made.customer == request.customer"
"#;

fn request() -> Map {
    let line = [("product", text("P1"))].into_iter().collect();
    let lines = tradebridge::record::Value::List(vec![tradebridge::record::Value::Map(line)]);
    [("customer", text("10")), ("lines", lines)].into_iter().collect()
}

/// What a step of the system does besides what it should.
type Trouble = fn(&Asked) -> Option<Reply>;

/// A system with orders; it executes what it is asked but for what it refuses, and may answer otherwise.
async fn system(found: Vec<Json>, trouble: Trouble) -> (System, Server) {
    let orders = Mutex::new(found);
    let server = Server::new(move |asked| {
        let mut orders = orders.lock().unwrap();
        let trouble = trouble(asked);
        let refused =
            matches!(&trouble, Some(Reply::Answer { status, .. }) if (400..500).contains(status) || *status == 503);
        let reply = match (asked.method.as_str(), asked.path.as_str()) {
            ("GET", "/orders") => Reply::json(json!({ "items": *orders })),
            _ if refused => Reply::status(200),
            ("POST", "/orders") => {
                orders.push(json!({ "id": "a/1", "customer": asked.json()["customer"], "state": "draft" }));
                Reply::of(201, "application/json", json!({ "id": "a/1" }))
            }
            ("DELETE", _) => {
                orders.clear();
                Reply::status(204)
            }
            (_, path) => {
                let last = orders.last_mut().unwrap();
                last["state"] = json!(if path.ends_with("quote") { "quoted" } else { "confirmed" });
                if last["state"] == "confirmed" {
                    last["number"] = json!("SO-1");
                }
                Reply::json(&*last)
            }
        };
        trouble.unwrap_or(reply)
    })
    .await;
    (System::new(&server.url(), ORDER), server)
}

fn accepted() -> Created {
    Created::Accepted { number: "SO-1".to_owned() }
}

fn found() -> Found {
    Found::Accepted { number: "SO-1".to_owned() }
}

const ALL: [&str; 3] = ["POST /orders", "POST /orders/a%2F1/quote", "PUT /orders/a%2F1/confirm"];

#[tokio::test]
async fn an_order_is_made_in_steps() {
    let (system, server) = system(vec![], |_| None).await;
    let action = system.connector.action("order").unwrap();
    assert!(matches!(action.class(), CreateClass::Bounded { settle } if settle.as_secs() == 600));
    assert_eq!(system.create(&request()).await, accepted());
    assert_eq!(server.told(), ALL);
    let asked = server.asked().remove(0).json();
    assert_eq!(asked, json!({ "reference": "B2B-1", "customer": "10", "lines": [{ "product": "P1" }] }));
}

#[tokio::test]
async fn what_is_found_goes_on_with_the_steps_that_are_left() {
    let half = |state: &str| vec![json!({ "id": "a/1", "customer": "10", "state": state })];
    let (system_1, server) = system(half("draft"), |_| None).await;
    assert_eq!(system_1.find(&request()).await, found());
    assert_eq!(server.told(), ["GET /orders", ALL[1], ALL[2]]);
    assert_eq!(server.asked()[0].query["reference"], "B2B-1");
    let (system_2, server) = system(half("quoted"), |_| None).await;
    assert_eq!(system_2.find(&request()).await, found());
    assert_eq!(server.told(), ["GET /orders", ALL[2]]);
    let done = vec![json!({ "id": "a/1", "customer": "10", "state": "confirmed", "number": "SO-1" })];
    let (system_3, server) = system(done, |_| None).await;
    assert_eq!((system_3.find(&request()).await, server.told()), (found(), vec!["GET /orders".to_owned()]));
    let (system_4, _server) = system(vec![], |_| None).await;
    assert_eq!(system_4.find(&request()).await, Found::Missing { conclusive: false });
}

#[tokio::test]
async fn an_order_that_broke_off_anywhere_is_found_and_finished() {
    let troubles: [(Trouble, &str); 3] = [
        (|asked| (asked.path == "/orders" && asked.method == "POST").then_some(Reply::Nothing), "create: POST"),
        (|asked| (asked.path.ends_with("quote") && asked.nth == 0).then_some(Reply::status(502)), "quote: POST"),
        (
            |asked| {
                (asked.path.ends_with("confirm") && asked.nth == 0)
                    .then_some(Reply::Bytes(b"HTTP/1.1 200 -\r\ncontent-length: 9\r\n\r\n{".into()))
            },
            "confirm: PUT",
        ),
    ];
    for (trouble, expected) in troubles {
        let (system, server) = system(vec![], trouble).await;
        let created = system.create(&request()).await;
        let Created::Unknown { reason } = created else { panic!("{created:?}") };
        assert!(reason.starts_with(expected), "{reason}");
        assert_eq!(system.find(&request()).await, found(), "{:?}", server.told());
        assert_eq!(server.of("/orders").iter().filter(|asked| asked.method == "POST").count(), 1, "made once");
    }
}

#[tokio::test]
async fn a_duplicate_is_what_is_there_already() {
    let there = vec![json!({ "id": "a/1", "customer": "10", "state": "quoted" })];
    let again: Trouble = |asked| (asked.path == "/orders" && asked.method == "POST").then(|| Reply::status(409));
    let (system_1, server) = system(there, again).await;
    assert_eq!(system_1.create(&request()).await, accepted());
    assert_eq!(server.told(), ["POST /orders", "GET /orders", ALL[2]]);
    let (system_2, _server) = system(vec![], again).await;
    let created = system_2.create(&request()).await;
    assert!(matches!(&created, Created::Unknown { reason } if reason.contains("does not find it")), "{created:?}");
}

#[tokio::test]
async fn what_is_there_already_and_refused_further_on_is_undone_for_good() {
    let there = vec![json!({ "id": "a/1", "customer": "10", "state": "draft" })];
    let (system, server) = system(there, |asked| match (asked.method.as_str(), asked.path.as_str()) {
        ("POST", "/orders") => Some(Reply::status(409)),
        ("POST", _) => Some(Reply::of(422, "application/json", r#"{"message":"Credit limit exceeded"}"#)),
        _ => None,
    })
    .await;
    assert_eq!(system.create(&request()).await, Created::Undone { reason: "Credit limit exceeded".into() });
    assert_eq!(server.told(), ["POST /orders", "GET /orders", ALL[1], "DELETE /orders/a%2F1"]);
}

#[tokio::test]
async fn what_is_refused_after_the_first_step_is_undone() {
    let refused = |asked: &Asked| {
        let refused = Reply::of(422, "application/json", r#"{"message":"Credit limit exceeded"}"#);
        asked.path.ends_with("quote").then_some(refused)
    };
    let (system_1, server) = system(vec![], refused).await;
    assert_eq!(system_1.create(&request()).await, Created::Rejected { reason: "Credit limit exceeded".into() });
    assert_eq!(server.told(), [ALL[0], ALL[1], "DELETE /orders/a%2F1"]);
    // The first attempt to undo it fails; the search that follows brings it to its end.
    let (system_2, server) = system(vec![], |asked| {
        if asked.method == "DELETE" && asked.nth == 0 {
            return Some(Reply::status(503));
        }
        let refused = Reply::of(422, "application/json", r#"{"message":"Credit limit exceeded"}"#);
        asked.path.ends_with("quote").then_some(refused)
    })
    .await;
    let created = system_2.create(&request()).await;
    assert!(
        matches!(&created, Created::Unknown { reason } if reason.contains("Credit limit exceeded") && reason.contains("not undone yet")),
        "{created:?}"
    );
    assert_eq!(system_2.find(&request()).await, Found::Rejected { reason: "Credit limit exceeded".into() });
    assert_eq!(server.told()[2..], ["DELETE /orders/a%2F1", "GET /orders", ALL[1], "DELETE /orders/a%2F1"]);
}

#[tokio::test]
async fn what_is_not_surely_ours_is_left_to_a_person() {
    let ours = json!({ "id": "a/1", "customer": "10", "state": "confirmed", "number": "SO-1" });
    let other = json!({ "id": "a/2", "customer": "99", "state": "confirmed", "number": "SO-2" });
    for (there, expected) in [
        (vec![ours.clone(), ours.clone()], "2 are there under our reference B2B-1"),
        (vec![ours, other.clone()], "2 are there"),
        (vec![other], "what is under our reference B2B-1 is not ours"),
    ] {
        let (system, server) = system(there, |_| None).await;
        let found = system.find(&request()).await;
        assert!(matches!(&found, Found::Doubtful { reason } if reason.contains(expected)), "{found:?}");
        assert_eq!(server.told(), ["GET /orders"], "nothing is touched");
    }
}

#[tokio::test]
async fn a_search_that_fails_proves_nothing() {
    let troubles: [(Trouble, bool); 4] = [
        (|_| Some(Reply::status(500)), false),
        (|_| Some(Reply::status(401)), true),
        (|_| Some(Reply::json(r#"{"items":"none"}"#)), true),
        (|_| Some(Reply::of(200, "text/html", "<html>Sign in</html>")), true),
    ];
    for (trouble, down) in troubles {
        let (system, _server) = system(vec![], trouble).await;
        let found = system.find(&request()).await;
        assert!(matches!(&found, Found::Failed { connection_down, .. } if *connection_down == down), "{found:?}");
    }
}

#[tokio::test]
async fn a_page_of_html_is_no_proof_that_nothing_is_there() {
    let server = Server::new(|_| Reply::of(200, "text/html", "<html>Sign in</html>")).await;
    let text = ORDER.replace("records = \"items\"\n", "");
    let found = System::new(&server.url(), &text).find(&request()).await;
    assert!(matches!(&found, Found::Failed { reason, .. } if reason.contains("is no JSON")), "{found:?}");
}

#[tokio::test]
async fn where_a_step_that_only_reads_fails_nothing_was_made() {
    let reading = "[[action.order.step]]\nname = \"customer\"\nrequest = { path = \"customers/${request.customer}\" }\n\
                   reads = true\ngives = { customer = \"answer.id\" }\n\n[[action.order.step]]\nname = \"create\"";
    let text = ORDER.replacen("[[action.order.step]]\nname = \"create\"", reading, 1);
    let server = Server::new(|_| Reply::status(503)).await;
    let created = System::new(&server.url(), &text).create(&request()).await;
    assert!(matches!(&created, Created::NotExecuted { connection_down: false, .. }), "{created:?}");
    assert_eq!(server.told(), ["GET /customers/10"]);
}

#[tokio::test]
async fn a_first_step_that_was_surely_not_executed_may_be_taken_again() {
    for (trouble, down) in [
        ((|_| Some(Reply::status(429))) as Trouble, false),
        (|_| Some(Reply::status(401)), true),
        (|_| Some(Reply::status(403)), true),
    ] {
        let (system, _server) = system(vec![], trouble).await;
        let created = system.create(&request()).await;
        assert!(
            matches!(&created, Created::NotExecuted { connection_down, .. } if *connection_down == down),
            "{created:?}"
        );
    }
}
