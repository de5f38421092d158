//! Bad weather: networks, proxies and systems that fail in the middle of it, and what an operator is told.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde_json::json;
use tradebridge::connector::Created;
use tradebridge::record::Map;

use super::server::{Reply, Server};
use super::system::{System, says};

const QUICK: &str = r#"
[http]
base_url = "${settings.base_url}"
timeout = { connect = "2s", read = "300ms", request = "600ms" }
[stream.items]
request = { path = "items", query = { page = "${page.number}" } }
paging = { by = "number" }
[action.order]
create = "open"
number = "made.number"
step = [{ name = "create", request = { path = "orders", body = {} }, gives = { number = "answer.number" } }]
find = { request = { path = "orders" }, gives = { number = "answer.number" } }
"#;

/// What is wrong where every request is answered so.
async fn problem(reply: Reply) -> String {
    let server = Server::new(move |_| reply.clone()).await;
    System::new(&server.url(), QUICK).probe().await.unwrap_or_default()
}

#[tokio::test]
async fn every_way_to_fail_is_told_with_what_to_look_at() {
    let head = "HTTP/1.1 200 -\r\ncontent-type: application/json\r\n";
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n3\r\n[{{}}\r\n");
    let html = "<html><title>Sign in</title></html>";
    for (reply, expected) in [
        (Reply::of(200, "text/html; charset=utf-8", html), "was answered with a page of HTML"),
        (Reply::of(200, "application/json", html), "not JSON"),
        (Reply::json(""), "the file is empty"),
        (Reply::Bytes(format!("{head}content-length: 100\r\n\r\n[{{}}").into()), "broke off: "),
        (Reply::Bytes(chunked.into()), "broke off: "),
        (Reply::Bytes(b"SSH-2.0-OpenSSH_9.2\r\n".into()), "broke off: "),
        (Reply::json("[]").with("content-encoding", "gzip"), "broke off: "),
        (Reply::Nothing, "broke off: "),
        (Reply::Silence, "had no answer in time (300ms without a byte, or 600ms in all)"),
        (Reply::Drip, "had no answer in time"),
        (Reply::Flood(70 << 20), "was answered with more than 64 MB; ask for smaller pages"),
        (Reply::status(503), "was answered 503"),
    ] {
        let shown = format!("{reply:.60?}");
        let problem = problem(reply).await;
        assert!(problem.contains(expected), "{shown}: {problem}");
    }
}

#[tokio::test]
async fn what_was_packed_by_gzip_is_unpacked() {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(br#"[{"id":1}]"#).unwrap();
    let body = gzip.finish().unwrap();
    let server = Server::new(move |asked| match asked.number("page") {
        1 => {
            let headers = vec![("content-encoding".to_owned(), "gzip".to_owned())];
            Reply::Answer { status: 200, headers, body: body.clone() }
        }
        _ => Reply::json("[]"),
    })
    .await;
    let pulled = System::new(&server.url(), QUICK).pull(None).await;
    assert_eq!((pulled.error, pulled.ids), (None, vec!["1".to_owned()]));
    assert!(server.asked()[0].header("accept-encoding").contains("gzip"));
}

#[tokio::test]
async fn a_create_that_fails_in_between_may_have_been_executed() {
    for reply in
        [Reply::Nothing, Reply::Silence, Reply::Drip, Reply::Bytes(b"HTTP/1.1 201".into()), Reply::Flood(70 << 20)]
    {
        let shown = format!("{reply:.60?}");
        let server = Server::new(move |_| reply.clone()).await;
        let created = System::new(&server.url(), QUICK).create(&Map::default()).await;
        assert!(matches!(&created, Created::Unknown { .. }), "{shown}: {created:?}");
        assert_eq!(server.asked().len(), 1, "a create is sent once");
    }
}

#[tokio::test]
async fn what_cannot_be_reached_is_down_and_nothing_was_executed() {
    let gone = Server::new(|_| Reply::Nothing).await.url();
    for (url, expected) in [
        (gone.as_str(), "look at the address, and whether the system and the network are up"),
        ("http://erp.invalid", "look at the name in the connection's address"),
    ] {
        let created = System::new(url, QUICK).create(&Map::default()).await;
        let Created::NotExecuted { reason, connection_down: true, .. } = created else { panic!("{created:?}") };
        assert!(reason.contains("cannot be reached") && reason.contains(expected), "{reason}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_down() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let created = System::new(&url, QUICK).create(&Map::default()).await;
    server.join().unwrap();
    let Created::NotExecuted { reason, connection_down: true, .. } = created else { panic!("{created:?}") };
    says(Some(&reason), &["127.0.0.1 cannot be reached", "is spoken to by TLS and does not answer so"]);
}

#[tokio::test]
async fn a_redirect_takes_no_credentials_elsewhere() {
    let other = Server::new(|_| Reply::json("[]")).await;
    let to = format!("{}/login?next=x", other.url());
    let server = Server::new(move |_| Reply::status(302).with("location", &to)).await;
    let text = QUICK.replace("timeout =", "auth = { bearer = \"${settings.token}\" }\ntimeout =");
    let pulled = System::new(&server.url(), &text).pull(None).await;
    let leads = format!("302 Found, which leads to {}/login; redirects are not followed", other.url());
    says(pulled.error.as_deref(), &[&leads, "give the connection the address that answers itself"]);
    assert_eq!((server.asked().len(), other.connections()), (1, 0), "the other server sees nothing");
}

/// A stream of one page that is read once the first requests were answered otherwise.
async fn at_last(first: Vec<Reply>) -> (Option<String>, Server) {
    let server = Server::new(move |asked| match first.get(asked.nth) {
        Some(reply) => reply.clone(),
        None if asked.number("page") == 1 => Reply::json(json!([{ "id": 1 }])),
        None => Reply::json("[]"),
    })
    .await;
    let pulled = System::new(&server.url(), QUICK).pull(None).await;
    assert!(pulled.error.is_some() || pulled.ids == ["1"]);
    (pulled.error, server)
}

#[tokio::test]
async fn what_passes_is_tried_again() {
    let (error, server) = at_last(vec![Reply::status(503), Reply::Nothing, Reply::status(429)]).await;
    assert_eq!((error, server.asked().len()), (None, 5));
}

#[tokio::test]
async fn a_request_waits_as_long_as_the_system_says() {
    let (error, server) = at_last(vec![Reply::status(429).with("retry-after", 1)]).await;
    let asked = server.asked();
    assert_eq!((error, asked.len()), (None, 3));
    assert!(asked[1].at - asked[0].at >= Duration::from_millis(990), "in seconds");
    // Dates have whole seconds: in two of them is in more than one.
    let at = Timestamp::now() + Duration::from_secs(2);
    let date = at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let (error, server) = at_last(vec![Reply::status(503).with("retry-after", date)]).await;
    let asked = server.asked();
    assert_eq!((error, asked.len()), (None, 3));
    assert!(asked[1].at - asked[0].at >= Duration::from_millis(900), "as a date");
}

#[tokio::test]
async fn a_pull_does_not_wait_for_hours() {
    let (error, server) = at_last(vec![Reply::status(429).with("retry-after", 7200)]).await;
    says(error.as_deref(), &["was answered 429"]);
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn connections_that_close_without_a_word_lose_nothing() {
    let server = Server::new(|asked| {
        let page = asked.number("page");
        let reply = Reply::json(if page <= 12 { json!([{ "id": page }]) } else { json!([]) });
        // What was announced as kept alive is closed behind every third answer.
        if asked.nth % 3 == 0 { Reply::Closing(Box::new(reply)) } else { reply }
    })
    .await;
    let pulled = System::new(&server.url(), QUICK).pull(None).await;
    assert_eq!((pulled.error, pulled.ids.len()), (None, 12));
    assert!(server.connections() > 1 && server.connections() < 13, "{}", server.connections());
}
