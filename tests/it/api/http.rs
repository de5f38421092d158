//! What every request goes through, in-process and over real connections.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tradebridge::api::server::{Bounds, serve};

use super::harness::{A, Api, OPERATOR, order, request};

#[tokio::test]
async fn errors_of_every_layer_are_problems() {
    let api = Api::new().await;
    let nowhere = api.get("/v1/custommers", A).await;
    assert_eq!((nowhere.status.as_u16(), nowhere.problem()), (404, "not-found".to_owned()));
    let method = api.send(request(Method::DELETE, "/v1/orders", Some(A), Body::empty())).await;
    assert_eq!((method.status.as_u16(), method.problem()), (405, "method-not-allowed".to_owned()));
    assert!(method.header("allow").contains("POST"), "{:?}", method.headers);
    let method = api.send(request(Method::PUT, "/admin/v1/status", Some(OPERATOR), Body::empty())).await;
    assert_eq!((method.status.as_u16(), method.problem()), (405, "method-not-allowed".to_owned()));
    assert_eq!(api.get("/v1/customers/%FF", A).await.problem(), "not-found");
    assert_eq!(api.get("/v1/customers/%00", A).await.problem(), "not-found");
    assert_eq!(api.get("/admin/v1/nothing", OPERATOR).await.problem(), "not-found");
    api.hooks.panics.store(true, Ordering::Relaxed);
    let panicked = api.get("/readyz", A).await;
    assert_eq!((panicked.status.as_u16(), panicked.problem()), (500, "internal".to_owned()));
    assert!(!panicked.text.contains("made by a test"), "the cause goes to the log");
}

#[tokio::test]
async fn a_request_is_identified_on_both_sides() {
    let api = Api::new().await;
    let given = api.get_with("/livez", A, "x-request-id", "shop-7/abc").await;
    assert_eq!(given.header("x-request-id"), "shop-7/abc");
    let made = api.get_with("/livez", A, "x-request-id", "no good \"id\"").await;
    assert_eq!(made.header("x-request-id").len(), 36);
    assert_eq!(api.get("/v1/nothing", A).await.header("x-request-id").len(), 36, "also where something is wrong");
}

#[tokio::test]
async fn readiness_follows_the_store_and_tells_no_secrets() {
    let api = Api::new().await;
    let ready = api.get("/readyz", A).await;
    assert_eq!((ready.status.as_u16(), ready.json()["ready"].as_bool()), (200, Some(true)), "{}", ready.text);
    assert!(!ready.text.contains("/secret/path"));
    api.hooks.store_lost.store(true, Ordering::Relaxed);
    let lost = api.get("/readyz", A).await;
    assert_eq!((lost.status.as_u16(), lost.json()["checks"][0]["ok"].as_bool()), (503, Some(false)));
    assert_eq!(api.get("/livez", A).await.status, 200);
    assert_eq!(api.get("/metrics", A).await.text, "# EOF\n");
}

#[tokio::test]
async fn too_many_at_once_are_told_to_come_again_and_probes_are_not() {
    let api = std::sync::Arc::new(Api::new().await);
    api.hooks.hangs.store(true, Ordering::Relaxed);
    let mut working = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let api = api.clone();
        working.spawn(async move { api.post("/admin/v1/reload", OPERATOR, &serde_json::json!({})).await });
    }
    loop {
        tokio::task::yield_now().await;
        let answer = api.get("/v1/customers", A).await;
        if answer.status == 503 {
            assert_eq!(answer.problem(), "overloaded");
            assert_eq!(answer.header("retry-after"), "5");
            break;
        }
    }
    assert_eq!(api.get("/livez", A).await.status, 200);
    assert_eq!(api.get("/v1/changes?limit=1", A).await.status, 200, "who follows the feed has places of their own");
    api.hooks.hangs.store(false, Ordering::Relaxed);
    while !working.is_empty() {
        api.hooks.waits.notify_one();
        let _ = tokio::time::timeout(Duration::from_millis(1), working.join_next()).await;
    }
    assert_eq!(api.get("/v1/customers", A).await.status, 200);
}

/// The API on a free port.
struct Served {
    address: std::net::SocketAddr,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
}

async fn served(api: &Api, bounds: Bounds) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopping) = watch::channel(false);
    Served { address, stop, server: tokio::spawn(serve(listener, api.router.clone(), stopping, bounds)) }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("it takes too long")
}

async fn read_all(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A connection that is reset after the answer has said all it had to say.
    let _ = within(stream.read_to_end(&mut bytes)).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn a_hundred_megabytes_are_refused_unread() {
    let api = Api::new().await;
    let served = served(&api, Bounds::default()).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let head = format!(
        "POST /v1/orders HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {A}\r\nContent-Type: application/json\r\n\
         Content-Length: 100000000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = read_all(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("urn:tradebridge:problem:body-too-large"));

    let client = crate::support::http().build().unwrap();
    let mut patience = 3;
    let status = loop {
        let sent = client
            .post(format!("http://{}/v1/orders", served.address))
            .bearer_auth(A)
            .header("content-type", "application/json")
            .body(vec![b' '; 100_000_000])
            .send()
            .await;
        match sent {
            Ok(answer) => break Some(answer.status().as_u16()),
            // The connection was ended while the client was still sending.
            Err(_) if patience == 0 => break None,
            Err(_) => patience -= 1,
        }
    };
    assert!(matches!(status, Some(413) | None), "{status:?}");
    assert_eq!(api.get("/v1/orders", A).await.json()["items"], serde_json::json!([]));
}

#[tokio::test]
async fn who_sends_no_head_is_not_waited_for() {
    let api = Api::new().await;
    let bounds = Bounds { head: Duration::from_millis(200), connections: 2, ..Bounds::default() };
    let served = served(&api, bounds).await;
    let mut slow = TcpStream::connect(served.address).await.unwrap();
    slow.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ").await.unwrap();
    let mut silent = TcpStream::connect(served.address).await.unwrap();
    // Both places are taken; the third gets in once they are given up.
    let mut third = TcpStream::connect(served.address).await.unwrap();
    third.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    assert!(read_all(&mut third).await.starts_with("HTTP/1.1 200"));
    assert!(!read_all(&mut slow).await.starts_with("HTTP/1.1 200"));
    read_all(&mut silent).await;
    let mut idle = TcpStream::connect(served.address).await.unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(read_all(&mut idle).await.starts_with("HTTP/1.1 200"), "and an idle connection is ended, not kept");
}

#[tokio::test]
async fn who_takes_nothing_of_a_stream_loses_it() {
    let api = Api::new().await;
    let product = |n: u32| serde_json::json!({"number": format!("N{n:05}"), "base_unit": {"code": "C62"}, "descriptions": {"nl": "x".repeat(10_000)}});
    api.erp.put_all("erp", tradebridge::model::PartKind::Product, (0..1500).map(product).collect()).await;
    let served = served(&api, Bounds { stalled: Duration::from_millis(300), ..Bounds::default() }).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let head = format!(
        "GET /v1/products HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {A}\r\nAccept: application/x-ndjson\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut begun = [0; 12];
    within(stream.read_exact(&mut begun)).await.unwrap();
    assert_eq!(&begun, b"HTTP/1.1 200");
    // The server cannot end in order while the client takes nothing: it ends because it gives the client up.
    served.stop.send_replace(true);
    within(served.server).await.unwrap();
    assert!(!read_all(&mut stream).await.ends_with("0\r\n\r\n"), "the stream broke off");
}

#[tokio::test]
async fn a_server_that_stops_finishes_what_it_has_begun() {
    let api = Api::new().await;
    let served = served(&api, Bounds::default()).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let body = order("W-9", "10").to_string();
    let head = format!(
        "POST /v1/orders HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {A}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The handler has begun once it asks for the body.
    let mut asked = [0; 25];
    within(stream.read_exact(&mut asked)).await.unwrap();
    assert!(asked.starts_with(b"HTTP/1.1 100"));
    served.stop.send_replace(true);
    stream.write_all(body.as_bytes()).await.unwrap();
    let answer = read_all(&mut stream).await;
    assert!(answer.contains("HTTP/1.1 202"), "{answer}");
    within(served.server).await.unwrap();
    assert!(TcpStream::connect(served.address).await.is_err(), "nobody listens any more");
}
