//! How much a system allows, as the system counts, and that an order does not wait for a bulk pull.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::Semaphore;
use tradebridge::connector::Created;
use tradebridge::record::Map;

use super::server::{Reply, Server};
use super::system::{System, says};

/// A manifest of pages within a limit, with or without an action.
pub(crate) fn limited(limit: &str, action: bool) -> String {
    let action = if action {
        r#"
[action.order]
create = "open"
number = "made.number"
step = [{ name = "create", request = { path = "orders", body = {} }, gives = { number = "answer.number" } }]
find = { request = { path = "orders" }, gives = { number = "answer.number" } }
"#
    } else {
        ""
    };
    format!(
        "[http]\nbase_url = \"${{settings.base_url}}\"\nlimit = {{ {limit} }}\n[stream.items]\nrequest = {{ path = \"items\", \
         query = {{ page = \"${{page.number}}\" }} }}\npaging = {{ by = \"number\" }}\n{action}"
    )
}

/// The most requests that arrived within any span of so long.
pub(crate) fn most_within(span: Duration, arrived: &[Instant]) -> usize {
    let within = |from: &Instant| arrived.iter().filter(|at| **at >= *from && **at - *from < span).count();
    arrived.iter().map(within).max().unwrap_or(0)
}

#[tokio::test]
async fn as_the_system_counts_the_limit_is_never_exceeded() {
    let server = Server::new(|asked| {
        let page = asked.number("page");
        Reply::json(if page <= 6 { json!([{ "id": page }]) } else { json!([]) })
    })
    .await;
    let system =
        Arc::new(System::new(&server.url(), &limited("requests = 10, per = \"400ms\", concurrency = 8", false)));
    let pulls: Vec<_> = (0..6)
        .map(|_| {
            let system = Arc::clone(&system);
            tokio::spawn(async move { system.pull(None).await })
        })
        .collect();
    for pull in pulls {
        assert_eq!(pull.await.unwrap().error, None);
    }
    let arrived: Vec<Instant> = server.asked().iter().map(|asked| asked.at).collect();
    assert_eq!(arrived.len(), 42);
    assert!(most_within(Duration::from_millis(400), &arrived) <= 10);
}

#[tokio::test]
async fn no_more_are_under_way_at_once_than_the_system_allows() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let server = Server::new(move |_| Reply::Behind(Arc::clone(&held), Box::new(Reply::json("[]")))).await;
    let system = Arc::new(System::new(&server.url(), &limited("concurrency = 2", false)));
    let pulls: Vec<_> = (0..6)
        .map(|_| {
            let system = Arc::clone(&system);
            tokio::spawn(async move { system.pull(None).await })
        })
        .collect();
    server.arrived(2).await;
    gate.add_permits(6);
    for pull in pulls {
        assert_eq!(pull.await.unwrap().error, None);
    }
    assert_eq!((server.asked().len(), server.most_at_once()), (6, 2));
}

#[tokio::test]
async fn an_order_passes_a_bulk_pull() {
    for (limit, expected) in [
        // One place is left to actions: while a page takes its time, the order goes through.
        ("concurrency = 2", ["GET /items", "POST /orders"]),
        // So it is with the budget: of two requests the second is left to actions.
        ("requests = 2, per = \"1h\"", ["GET /items", "POST /orders"]),
    ] {
        let gate = Arc::new(Semaphore::new(0));
        let held = Arc::clone(&gate);
        let server = Server::new(move |asked| match asked.path.as_str() {
            "/orders" => Reply::json(json!({ "number": "O1" })),
            _ => Reply::Behind(Arc::clone(&held), Box::new(Reply::json("[]"))),
        })
        .await;
        let system = Arc::new(System::new(&server.url(), &limited(limit, true)));
        let pulls: Vec<_> = (0..3)
            .map(|_| {
                let system = Arc::clone(&system);
                tokio::spawn(async move { system.pull(None).await })
            })
            .collect();
        server.arrived(1).await;
        let created = system.create(&Map::default()).await;
        assert_eq!(created, Created::Accepted { number: "O1".into() }, "{limit}");
        assert_eq!(server.told(), expected, "{limit}");
        for pull in pulls {
            pull.abort();
        }
        gate.add_permits(10);
    }
}

#[tokio::test]
async fn where_only_one_request_may_be_under_way_an_order_is_the_next() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let server = Server::new(move |asked| {
        if asked.path == "/orders" {
            return Reply::json(json!({ "number": "O1" }));
        }
        let page = asked.number("page");
        let reply = Reply::json(if page <= 3 { json!([{ "id": page }]) } else { json!([]) });
        Reply::Behind(Arc::clone(&held), Box::new(reply))
    })
    .await;
    let system = Arc::new(System::new(&server.url(), &limited("concurrency = 1", true)));
    let pulling = Arc::clone(&system);
    let pull = tokio::spawn(async move { pulling.pull(None).await });
    server.arrived(1).await;
    let ordering = Arc::clone(&system);
    let order = async move { ordering.create(&Map::default()).await };
    // The order asks for its turn before the page has its answer: it is polled first.
    let answer = async { gate.add_permits(10) };
    let (created, ()) = tokio::join!(order, answer);
    assert_eq!(created, Created::Accepted { number: "O1".into() });
    assert_eq!(pull.await.unwrap().ids.len(), 3);
    assert_eq!(server.told()[..3], ["GET /items", "POST /orders", "GET /items"]);
}

#[tokio::test]
async fn a_quota_that_is_used_up_ends_a_pull_and_defers_an_order() {
    let server = Server::new(|asked| Reply::json(json!([{ "id": asked.number("page") }]))).await;
    let system = System::new(&server.url(), &limited("daily = 5, reserved = \"20%\"", true));
    let pulled = system.pull(None).await;
    says(pulled.error.as_deref(), &["the system allows no more requests for now; the next one may be sent in 86"]);
    assert_eq!(pulled.ids.len(), 4, "one is left to actions");
    assert!(matches!(system.create(&Map::default()).await, Created::Unknown { .. }), "no number in a list");
    let created = system.create(&Map::default()).await;
    let Created::NotExecuted { retry_after: Some(wait), connection_down: false, .. } = created else {
        panic!("{created:?}")
    };
    assert!(wait > Duration::from_hours(23), "{wait:?}");
    assert_eq!(server.asked().len(), 5);
}

#[tokio::test]
async fn what_the_system_says_is_left_corrects_the_budget() {
    const TOLD: &str = "told = [{ remaining = \"X-Left\", reset = \"X-Reset\" }]";
    let in_an_hour = jiff::Timestamp::now() + Duration::from_hours(1);
    for reset in ["3600".to_owned(), in_an_hour.as_second().to_string(), in_an_hour.as_millisecond().to_string()] {
        let server = Server::new(move |asked| {
            let page = asked.number("page");
            Reply::json(json!([{ "id": page }])).with("x-left", 3 - page.min(3)).with("x-reset", &reset)
        })
        .await;
        let system = System::new(&server.url(), &limited(TOLD, false));
        let pulled = system.pull(None).await;
        let error = pulled.error.unwrap();
        let seconds = error.rsplit("may be sent in ").next().unwrap().trim_end_matches(|c: char| !c.is_ascii_digit());
        assert!((3590..=3601).contains(&seconds.parse::<u32>().unwrap()), "{error}");
        assert_eq!((pulled.ids.len(), server.asked().len()), (3, 3));
    }
}
