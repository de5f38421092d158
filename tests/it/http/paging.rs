//! Pages and cursors: how the next page is asked for, what ends a stream, and how far it was read.

use std::sync::{Arc, Mutex};

use serde_json::{Value as Json, json};

use super::server::{Asked, Reply, Server};
use super::system::{System, says};

fn stream(paging: &str, query: &str) -> String {
    format!(
        "[stream.items]\nformat = \"json\"\nrecords = \"items\"\npaging = {{ {paging} }}\nrequest = {{ path = \"items\", query = {{ {query} }} }}\n"
    )
}

fn ids(range: std::ops::Range<usize>) -> Vec<Json> {
    range.map(|id| json!({ "id": id })).collect()
}

fn expected(count: usize) -> Vec<String> {
    (0..count).map(|id| id.to_string()).collect()
}

/// Pulls the stream; what it came to, and the requests.
async fn pull(text: &str, script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> (super::system::Pulled, Server) {
    let server = Server::new(script).await;
    let pulled = System::new(&server.url(), text).pull(None).await;
    (pulled, server)
}

#[tokio::test]
async fn by_offset_up_to_the_page_that_is_empty_or_short() {
    // A system that gives at most two records, whatever it is asked for.
    let script = |asked: &Asked| {
        let offset = asked.number("offset");
        Reply::json(json!({ "items": ids(offset..(offset + asked.number("top").min(2)).min(5)) }))
    };
    let (pulled, server) =
        pull(&stream("by = \"offset\", size = 3", "offset = \"${page.offset}\", top = \"${page.size}\""), script).await;
    assert_eq!((pulled.error, pulled.ids), (None, expected(5)));
    let offsets: Vec<usize> = server.asked().iter().map(|asked| asked.number("offset")).collect();
    assert_eq!(offsets, [0, 2, 4, 5]);
    let text =
        stream("by = \"offset\", size = 2, end = \"short\"", "offset = \"${page.offset}\", top = \"${page.size}\"");
    let (pulled, server) = pull(&text, script).await;
    assert_eq!((pulled.ids, server.asked().len()), (expected(5), 3), "the short page is the last");
}

#[tokio::test]
async fn by_number_from_the_first() {
    let script = |asked: &Asked| {
        let page = asked.number("page");
        Reply::json(json!({ "items": ids((page * 2)..(page * 2 + 2).min(5).max(page * 2)) }))
    };
    let (pulled, server) = pull(&stream("by = \"number\", first = 0", "page = \"${page.number}\""), script).await;
    assert_eq!((pulled.error, pulled.ids), (None, expected(5)));
    assert_eq!(server.asked().len(), 4);
}

#[tokio::test]
async fn by_links_in_the_body_and_in_the_header() {
    let script = |asked: &Asked| {
        let page = asked.number("page");
        let reply = json!({ "items": ids(page * 2..page * 2 + 2), "d": { "next": (page < 2).then(|| format!("?page={}", page + 1)) } });
        let reply = Reply::json(reply);
        if page < 2 {
            let link = format!("</items?page=0>; rel=\"first\", </items?page={}>; rel=\"next\"", page + 1);
            reply.with("Link", link)
        } else {
            reply
        }
    };
    for next in ["d/next", "header"] {
        let (pulled, server) = pull(&stream(&format!("by = \"link\", next = \"{next}\""), ""), script).await;
        assert_eq!((pulled.error, pulled.ids, server.asked().len()), (None, expected(6), 3), "{next}");
    }
}

#[tokio::test]
async fn by_tokens_and_by_keys() {
    let script = |asked: &Asked| {
        let from = asked.query.get("token").map_or(0, |token| token.trim_start_matches("t&").parse().unwrap());
        Reply::json(
            json!({ "items": ids(from..from + 2), "token": if from < 4 { json!(format!("t&{}", from + 2)) } else { json!("") } }),
        )
    };
    let (pulled, server) = pull(&stream("by = \"token\", next = \"token\"", "token = \"${page.token}\""), script).await;
    assert_eq!((pulled.error, pulled.ids), (None, expected(6)));
    assert!(server.asked()[0].query.is_empty(), "the first page has no token");

    let script = |asked: &Asked| {
        let from = asked.query.get("after").map_or(0, |after| after.parse::<usize>().unwrap() + 1);
        Reply::json(json!({ "items": ids(from..(from + 2).min(5)) }))
    };
    let text = stream("by = \"key\", key = \"id\", size = 2, end = \"short\"", "after = \"${page.key}\"");
    let (pulled, server) = pull(&text, script).await;
    assert_eq!((pulled.error, pulled.ids, server.asked().len()), (None, expected(5), 3));
    // Records without the key lead nowhere.
    let (pulled, _) = pull(&text.replace("key = \"id\"", "key = \"Id\""), script).await;
    says(pulled.error.as_deref(), &["no field 'Id' that leads on"]);
}

#[tokio::test]
async fn what_would_be_read_for_ever_is_an_error() {
    // The same page whatever is asked for; only the time differs.
    let same = |asked: &Asked| Reply::json(json!({ "items": ids(0..2), "at": asked.nth }));
    let (pulled, server) = pull(&stream("by = \"number\"", "page = \"${page.number}\""), same).await;
    says(pulled.error.as_deref(), &["brought the same page twice"]);
    assert_eq!(server.asked().len(), 2);
    // Links and tokens in a circle of three.
    let circle = |asked: &Asked| {
        let next = (asked.nth + 1) % 3;
        Reply::json(json!({ "items": ids(asked.nth..asked.nth + 1), "next": format!("?page={next}"), "token": next }))
    };
    for text in [
        stream("by = \"link\", next = \"next\"", ""),
        stream("by = \"token\", next = \"token\"", "token = \"${page.token}\""),
    ] {
        let (pulled, server) = pull(&text, circle).await;
        says(pulled.error.as_deref(), &["leads back to one before it"]);
        assert!(server.asked().len() < 12, "{}", server.asked().len());
    }
}

#[tokio::test]
async fn a_link_that_leaves_the_origin_is_not_followed() {
    let other = Server::new(|_| Reply::json(json!({ "items": [] }))).await;
    let url = other.url();
    let text = format!(
        "[http]\nbase_url = \"${{settings.base_url}}\"\nauth = {{ bearer = \"${{settings.token}}\" }}\n{}",
        stream("by = \"link\", next = \"next\"", "")
    );
    let (pulled, server) =
        pull(&text, move |_| Reply::json(json!({ "items": ids(0..1), "next": format!("{url}/items") }))).await;
    says(pulled.error.as_deref(), &["the next link leads from", "where the connection's credentials do not belong"]);
    assert_eq!((server.asked().len(), other.connections()), (1, 0), "the other server sees nothing");
}

const INSTANT: &str = r#"
[stream.items]
request = { path = "items", query = { filter = "modified ge ${cursor}", all = "${cursor == null}" } }
cursor = { value = "modified.instant()", as = "instant", look_back = "10m" }
"#;

#[tokio::test]
async fn an_instant_moves_with_what_was_seen_and_reaches_back() {
    let records = json!([
        { "id": 1, "modified": "2026-01-02T10:00:00+01:00" },
        { "id": 2, "modified": null },
        { "id": 3, "modified": "2026-01-01T00:00:00Z" },
        { "id": 4 },
    ]);
    let server = Server::new(move |_| Reply::json(&records)).await;
    let system = System::new(&server.url(), INSTANT);
    let pulled = system.pull(None).await;
    assert_eq!((pulled.error, pulled.ids.len()), (None, 4), "records without an instant arrive");
    assert_eq!(pulled.watermark, Some(json!("2026-01-02T09:00:00Z")));
    system.pull(pulled.watermark).await;
    let asked = server.asked();
    assert!(!asked[0].query.contains_key("filter"), "a complete pass compares with nothing");
    assert_eq!(asked[0].query["all"], "true");
    assert_eq!(asked[1].query["filter"], "modified ge 2026-01-02T08:50:00Z");
    let wrong = system.pull(Some(json!("yesterday"))).await;
    says(wrong.error.as_deref(), &["is no place that this stream was read to"]);
}

#[tokio::test]
async fn a_record_whose_cursor_cannot_be_read_is_rejected_and_the_rest_goes_on() {
    let records = json!([{ "id": 1, "modified": "soon" }, { "id": 2, "modified": "2026-01-01T00:00:00Z" }]);
    let server = Server::new(move |_| Reply::json(&records)).await;
    let pulled = System::new(&server.url(), INSTANT).pull(None).await;
    assert_eq!((pulled.error, pulled.ids), (None, vec!["2".to_owned()]));
    assert!(pulled.rejected[0].contains("the stream's `cursor`"), "{:?}", pulled.rejected);
    assert_eq!(pulled.watermark, Some(json!("2026-01-01T00:00:00Z")));
}

#[tokio::test]
async fn a_version_is_asked_for_as_it_was_seen() {
    let server =
        Server::new(|_| Reply::json(json!([{ "id": 1, "ts": 9_007_199_254_740_993_u64 }, { "id": 2, "ts": "17" }])))
            .await;
    let text = r#"
[stream.items]
request = { path = "items", body = { since = "${cursor}" } }
cursor = { value = "ts", as = "version" }
"#;
    let system = System::new(&server.url(), text);
    let pulled = system.pull(None).await;
    assert_eq!(pulled.watermark, Some(json!("9007199254740993")));
    system.pull(pulled.watermark).await;
    assert_eq!(server.asked()[0].json(), json!({ "since": null }));
    assert_eq!(server.asked()[1].body, "{\"since\":9007199254740993}");
}

#[tokio::test]
async fn nothing_is_said_of_how_far_a_stream_was_read_before_its_end() {
    let fails = Arc::new(Mutex::new(true));
    let failing = Arc::clone(&fails);
    let text = format!("{}\n", INSTANT.replace("query = { ", "query = { page = \"${page.number}\", ").trim())
        + "paging = { by = \"number\" }\n";
    let server = Server::new(move |asked| match asked.number("page") {
        1 => Reply::json(json!([{ "id": 1, "modified": "2026-01-01T00:00:00Z" }])),
        2 if *failing.lock().unwrap() => Reply::status(403),
        2 => Reply::json(json!([{ "id": 2, "modified": "2026-01-02T00:00:00Z" }])),
        _ => Reply::json("[]"),
    })
    .await;
    let system = System::new(&server.url(), &text);
    let pulled = system.pull(None).await;
    says(pulled.error.as_deref(), &["/items was answered 403"]);
    assert_eq!((pulled.ids.len(), pulled.watermark), (1, None));
    *fails.lock().unwrap() = false;
    assert_eq!(system.pull(None).await.watermark, Some(json!("2026-01-02T00:00:00Z")));
}
