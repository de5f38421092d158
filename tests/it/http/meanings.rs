//! What answers mean: by a manifest's rules, and otherwise by their status.

use tradebridge::connector::Created;
use tradebridge::record::Map;

use super::server::{Reply, Server};
use super::system::{System, says};

const RULES: &str = r#"
[http]
base_url = "${settings.base_url}"
message = ["error/message", "errors"]
[[http.error]]
status = [500]
when = "answer.error.code == 'credit'"
means = "reject"
[[http.error]]
text = "already exists"
means = "duplicate"
[[http.error]]
header = "X-CSRF-Token: Required"
means = "rate_limited"
[[http.error]]
status = [200, 201]
when = "answer.error != null"
means = "reject"
[[http.error]]
status = [418]
means = "fatal"
[[http.error]]
status = [404]
means = "success"
[[http.error]]
status = [420]
means = "retry"
[stream.items]
request = { path = "items" }
[action.order]
create = "open"
number = "made.number"
step = [{ name = "create", request = { path = "orders", body = { r = "${reference}" } }, gives = { number = "answer.number" } }]
find = { request = { path = "orders", query = { r = "${reference}" } }, records = "items", gives = { number = "answer.number" } }
"#;

/// What creating an order comes to where the system answers so; its search finds it.
async fn created(reply: Reply) -> Created {
    let server = Server::new(move |asked| match asked.method.as_str() {
        "GET" => Reply::json(r#"{"items":[{"number":"F1"}]}"#),
        _ => reply.clone(),
    })
    .await;
    System::new(&server.url(), RULES).create(&Map::default()).await
}

fn rejected(reason: &str) -> Created {
    Created::Rejected { reason: reason.to_owned() }
}

fn is_unknown(created: &Created, expected: &str) -> bool {
    matches!(created, Created::Unknown { reason } if reason.contains(expected))
}

fn is_not_executed(created: &Created, down: bool, expected: &str) -> bool {
    matches!(created, Created::NotExecuted { reason, connection_down, .. } if *connection_down == down && reason.contains(expected))
}

#[tokio::test]
async fn the_first_rule_that_applies_counts() {
    let json = |status, body: &str| Reply::of(status, "application/json", body);
    // An error of business with a status of a crash, and the crash itself.
    let said = created(json(500, r#"{"error":{"code":"credit","message":"Credit limit exceeded"}}"#)).await;
    assert_eq!(said, rejected("Credit limit exceeded"), "the system's own words");
    let said = created(json(500, r#"{"error":{"code":"x","message":"NullPointerException"}}"#)).await;
    assert!(is_unknown(&said, "create: POST ") && is_unknown(&said, "NullPointerException"), "{said:?}");
    // All is well, says the status.
    let said = created(json(200, r#"{"error":{"message":"No such product"}}"#)).await;
    assert_eq!(said, rejected("No such product"));
    assert_eq!(created(json(200, r#"{"number":"O1"}"#)).await, Created::Accepted { number: "O1".into() });
    assert_eq!(created(json(404, r#"{"number":17}"#)).await, Created::Accepted { number: "17".into() });
    let said = created(json(409, "an order of this reference already exists")).await;
    assert_eq!(said, Created::Accepted { number: "F1".into() }, "what it has is searched");
    let said = created(json(403, "").with("x-csrf-token", "Required")).await;
    assert!(is_not_executed(&said, false, "403"), "{said:?}");
    assert!(is_not_executed(&created(Reply::status(418)).await, true, "418"));
    assert!(is_unknown(&created(Reply::status(420)).await, "420"));
}

#[tokio::test]
async fn without_a_rule_the_status_counts() {
    let json = |status, body: &str| Reply::of(status, "application/json", body);
    let said = created(json(422, r#"{"errors":["Unknown customer","No lines"]}"#)).await;
    assert_eq!(said, rejected("Unknown customer; No lines"));
    let said = created(json(400, "nonsense")).await;
    assert!(
        matches!(&said, Created::Rejected { reason } if reason.contains("was answered 400") && reason.contains("nonsense"))
    );
    for status in [500, 502, 503, 504, 408] {
        let said = created(Reply::of(status, "text/html", "<html><head><title>Gateway trouble</title>")).await;
        assert!(is_unknown(&said, "Gateway trouble"), "{said:?}");
    }
    for status in [301, 302, 303, 307] {
        let said = created(Reply::status(status).with("location", "/elsewhere?token=x")).await;
        assert!(is_unknown(&said, "leads to /elsewhere; redirects are not followed"), "it may be executed: {said:?}");
    }
    assert!(is_not_executed(&created(Reply::status(401)).await, true, "credentials"));
    assert!(is_not_executed(&created(Reply::status(403)).await, true, "403"));
    let said = created(Reply::status(429).with("retry-after", "17")).await;
    let Created::NotExecuted { retry_after, connection_down: false, .. } = said else { panic!("{said:?}") };
    assert_eq!(retry_after.unwrap().as_secs(), 17);
}

#[tokio::test]
async fn what_is_said_of_a_stream_names_the_request() {
    for (reply, expected) in [
        (
            Reply::of(400, "application/json", r#"{"error":{"message":"Unknown field"}}"#),
            "/items was answered 400 Bad Request: Unknown field",
        ),
        (
            Reply::of(200, "application/json", r#"{"error":{"message":"No licence"}}"#),
            "/items was answered 200 OK: No licence",
        ),
        (Reply::json("{\"value\": 1"), "items"),
    ] {
        let server = Server::new(move |_| reply.clone()).await;
        says(System::new(&server.url(), RULES).pull(None).await.error.as_deref(), &[expected]);
        assert_eq!(server.asked().len(), 1, "it is not tried again");
    }
}
