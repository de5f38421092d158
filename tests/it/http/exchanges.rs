//! What was exchanged over an order is kept as it was, but for what is secret.

use base64::Engine as _;
use serde_json::json;
use tradebridge::connector::{Created, Exchange, Found, LONGEST_BODY, Trail};
use tradebridge::record::Map;

use super::server::{Reply, Server};
use super::system::{PASSWORD, System, TOKEN, text};

const ORDER: &str = r#"
[http]
base_url = "${settings.base_url}"
headers = { "X-Company" = "${settings.company}" }
message = ["message"]
[http.auth]
basic = { user = "${settings.user}", password = "${settings.password}" }

[action.order]
create = "open"
number = "made.number"

[[action.order.step]]
name = "create"
request = { path = "orders", query = { customer = "${request.customer}" }, body = { reference = "${reference}", note = "${request.note}" } }
gives = { number = "answer.number" }

[action.order.find]
request = { path = "orders", query = { reference = "${reference}" } }
records = "items"
gives = { number = "answer.number" }
"#;

fn request(note: &str) -> Map {
    [("customer", text("10")), ("note", text(note))].into_iter().collect()
}

async fn create(system: &System, note: &str) -> (Created, Vec<Exchange>) {
    let trail = Trail::default();
    let action = system.connector.action("order").unwrap();
    let created = system.connector.create(action, &request(note), "B2B-1", &trail).await;
    (created, trail.exchanges())
}

#[tokio::test]
async fn request_and_answer_are_kept_without_secrets() {
    let server = Server::new(|asked| {
        if asked.method == "GET" {
            return Reply::json(json!({ "items": [{ "number": "SO-1" }] }));
        }
        // A system that repeats what it was sent, and hands out more.
        let said = json!({
            "number": "SO-1", "echo": asked.header("authorization"), "password": "new-one-1", "token": TOKEN,
            "link": format!("http://x/?access_token={PASSWORD}"),
        });
        Reply::of(201, "application/json", said).with("set-cookie", "SID=0123456789abcdef; Path=/")
    })
    .await;
    let system = System::new(&server.url(), ORDER);
    let (created, exchanges) = create(&system, &format!("door code {PASSWORD}")).await;
    assert_eq!(created, Created::Accepted { number: "SO-1".to_owned() });
    let [one] = exchanges.as_slice() else { panic!("{exchanges:#?}") };
    assert_eq!((one.request.method.as_str(), &one.message), ("POST", &None));
    assert_eq!(one.request.address, format!("{}/orders?customer=10", server.url()));
    for header in ["x-company: NL01", "content-type: application/json", "authorization: [secret]"] {
        assert!(one.request.headers.iter().any(|known| known == header), "{header}: {:?}", one.request.headers);
    }
    assert_eq!(one.request.body.as_deref(), Some(r#"{"reference":"B2B-1","note":"door code [secret]"}"#));
    let answer = one.answer.as_ref().unwrap();
    assert_eq!(answer.status, 201);
    assert!(answer.body.as_deref().unwrap().contains(r#""number":"SO-1""#), "{answer:#?}");
    assert!(one.milliseconds.is_some());
    let all = serde_json::to_string(&exchanges).unwrap();
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("integration:{PASSWORD}"));
    for secret in [PASSWORD, TOKEN, "new-one-1", "0123456789abcdef", pair.as_str(), "hunter2%2F%3D%3F"] {
        assert!(!all.contains(secret), "{secret} is in {all}");
    }

    let trail = Trail::default();
    let action = system.connector.action("order").unwrap();
    let found = system.connector.find(action, &request(""), "B2B-1", &trail).await;
    assert_eq!(found, Found::Accepted { number: "SO-1".to_owned() });
    assert_eq!(trail.exchanges()[0].request.address, format!("{}/orders?reference=B2B-1", server.url()));
}

#[tokio::test]
async fn what_had_no_answer_is_kept_too() {
    let server = Server::new(|asked| if asked.nth == 0 { Reply::Nothing } else { Reply::Silence }).await;
    let system = System::new(&server.url(), ORDER);
    let (created, exchanges) = create(&system, "").await;
    assert!(matches!(created, Created::Unknown { .. }), "{created:?}");
    assert_eq!(exchanges[0].answer, None);
    assert!(exchanges[0].message.as_deref().unwrap().contains("broke off"), "{exchanges:#?}");

    // Who waits for it gives it up.
    let trail = Trail::default();
    let (connector, kept) = (std::sync::Arc::clone(&system.connector), trail.clone());
    let call = tokio::spawn(async move {
        let action = connector.action("order").unwrap();
        connector.create(action, &request("urgent"), "B2B-2", &kept).await
    });
    server.arrived(2).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    let exchanges = trail.exchanges();
    assert!(exchanges[0].request.body.as_deref().unwrap().contains("urgent"), "{exchanges:#?}");
    assert_eq!((&exchanges[0].answer, &exchanges[0].message, exchanges[0].milliseconds), (&None, &None, None));
}

#[tokio::test]
async fn a_long_answer_is_cut_and_says_so() {
    let long = "x".repeat(2 * LONGEST_BODY);
    let server = Server::new(move |_| Reply::json(json!({ "number": "SO-1", "log": long }))).await;
    let (created, exchanges) = create(&System::new(&server.url(), ORDER), "").await;
    assert_eq!(created, Created::Accepted { number: "SO-1".to_owned() });
    let body = exchanges[0].answer.as_ref().unwrap().body.as_deref().unwrap();
    assert!(body.len() < LONGEST_BODY + 64 && body.ends_with("bytes in all]"), "{}", body.len());
}
