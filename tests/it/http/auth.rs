//! Proofs of who a request comes from: credentials, logins that expire, and what is said where they do not work.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use serde_json::json;
use tokio::sync::Semaphore;

use super::server::{Asked, Reply, Server};
use super::system::{PASSWORD, System, TOKEN, says};

const SESSION: &str = r#"
[http]
base_url = "${settings.base_url}"
[http.auth.session]
request = { path = "login", body = { user = "${settings.user}", password = "${settings.password}" } }
accepted = "answer.ok"
headers = { "X-Session" = "${answer.session}" }
[stream.items]
request = { path = "items", query = { page = "${page.number}" } }
paging = { by = "number", size = 1 }
[stream.others]
request = { path = "others" }
"#;

fn with(auth: &str) -> String {
    format!("[http]\nbase_url = \"${{settings.base_url}}\"\n[http.auth]\n{auth}\n")
}

/// A system with sessions, of which each expires after so many requests; there are five pages of one record.
fn sessions(lasts: usize) -> impl Fn(&Asked) -> Reply {
    let (number, used) = (AtomicUsize::new(0), AtomicUsize::new(0));
    move |asked| {
        if asked.path == "/login" {
            used.store(0, Ordering::Relaxed);
            let number = number.fetch_add(1, Ordering::Relaxed) + 1;
            return Reply::json(json!({ "ok": true, "session": format!("session-{number}") }));
        }
        let valid = format!("session-{}", number.load(Ordering::Relaxed));
        if asked.header("x-session") != valid || used.fetch_add(1, Ordering::Relaxed) >= lasts {
            return Reply::status(401);
        }
        let page = asked.number("page");
        Reply::json(if (1..=5).contains(&page) { json!([{ "id": page }]) } else { json!([]) })
    }
}

#[tokio::test]
async fn credentials_go_where_they_belong() {
    let server = Server::new(|_| Reply::json("[]")).await;
    for auth in [
        "basic = { user = \"${settings.user}\", password = \"${settings.password}\" }",
        "bearer = \"${settings.token}\"",
        "headers = { apikey = \"${settings.token}\", \"X-Company\" = \"${settings.company}\" }",
    ] {
        assert_eq!(System::new(&server.url(), &with(auth)).pull(None).await.error, None);
    }
    let asked = server.asked();
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("integration:{PASSWORD}"));
    assert_eq!(asked[0].header("authorization"), format!("Basic {pair}"));
    assert_eq!(asked[1].header("authorization"), format!("Bearer {TOKEN}"));
    assert_eq!((asked[2].header("apikey"), asked[2].header("x-company")), (TOKEN, "NL01"));
}

#[tokio::test]
async fn a_client_gets_a_token_with_its_credentials_and_a_new_one_when_it_has_expired() {
    let tokens = Server::new(|asked| Reply::json(json!({ "access_token": format!("at-{}", asked.nth) }))).await;
    let server = Server::new(|asked| match asked.header("authorization") {
        "Bearer at-1" => Reply::json("[]"),
        _ => Reply::status(401),
    })
    .await;
    let auth = format!(
        "client_credentials = {{ token_url = \"{}/oauth/token\", client_id = \"${{settings.user}}\", \
         client_secret = \"${{settings.password}}\", scope = \"read\" }}",
        tokens.url()
    );
    assert_eq!(System::new(&server.url(), &with(&auth)).pull(None).await.error, None);
    let asked = tokens.asked();
    assert_eq!(asked.len(), 2);
    let form = "client_id=integration&client_secret=hunter2%2F%3D%3F&grant_type=client_credentials&scope=read";
    assert_eq!((asked[0].method.as_str(), asked[0].body.as_str()), ("POST", form));
}

#[tokio::test]
async fn of_many_requests_one_logs_in() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let script = sessions(usize::MAX);
    let server = Server::new(move |asked| match script(asked) {
        reply if asked.path == "/login" => Reply::Behind(Arc::clone(&held), Box::new(reply)),
        reply => reply,
    })
    .await;
    let system = Arc::new(System::new(&server.url(), SESSION));
    let pulls: Vec<_> = (0..6)
        .map(|_| {
            let system = Arc::clone(&system);
            tokio::spawn(async move { system.pull_of("others", None).await })
        })
        .collect();
    server.arrived(1).await;
    gate.add_permits(6);
    for pull in pulls {
        assert_eq!(pull.await.unwrap().error, None);
    }
    assert_eq!(server.of("/login").len(), 1, "{:?}", server.told());
    assert_eq!(server.of("/login")[0].json(), json!({ "user": "integration", "password": PASSWORD }));
}

#[tokio::test]
async fn a_session_that_expires_between_two_pages_is_begun_anew_once() {
    let server = Server::new(sessions(3)).await;
    let pulled = System::new(&server.url(), SESSION).pull(None).await;
    assert_eq!((pulled.error, pulled.ids), (None, ["1", "2", "3", "4", "5"].map(str::to_owned).into()));
    assert_eq!(server.of("/login").len(), 2, "{:?}", server.told());
}

#[tokio::test]
async fn a_session_that_is_refused_at_once_is_not_begun_for_ever() {
    let server = Server::new(sessions(0)).await;
    let pulled = System::new(&server.url(), SESSION).pull(None).await;
    says(pulled.error.as_deref(), &["GET", "/items was answered 401", "look at the connection's credentials"]);
    assert_eq!(server.told(), ["POST /login", "GET /items", "POST /login", "GET /items"]);
}

#[tokio::test]
async fn a_login_that_is_refused_says_so_and_nothing_else_is_sent() {
    for (reply, expected) in [
        (Reply::of(401, "application/json", r#"{"message":"Bad credentials"}"#), "Bad credentials"),
        (Reply::json(json!({ "ok": false })), "look at user, password and rights"),
        (Reply::json(json!({ "ok": true })), "lacks what the headers"),
        (Reply::of(500, "text/html", "<html><title>Oops</title>"), "Oops"),
        (Reply::Nothing, "the login failed: POST"),
    ] {
        let server = Server::new(move |_| reply.clone()).await;
        let text = SESSION.replace("[http.auth.session]", "message = [\"message\"]\n[http.auth.session]");
        let problem = System::new(&server.url(), &text).probe().await;
        says(problem.as_deref(), &["the login", expected]);
        assert_eq!(server.told(), ["POST /login"]);
    }
}

#[tokio::test]
async fn a_connection_without_its_secret_is_refused() {
    let text = with("bearer = \"${settings.absent}\"");
    let refused = super::system::bind("http://127.0.0.1:9", &text).err().unwrap();
    assert!(refused.to_string().contains("there is no value for `${settings.absent}`"), "{refused}");
}

#[tokio::test]
async fn secrets_are_in_no_message_whatever_the_system_says_and_in_no_debug_output() {
    // A system that gives back all it was sent, and one that logs in and gives that back.
    let echo = |asked: &Asked| {
        let sent = format!("{:?} {}", asked.headers, asked.body);
        if asked.path == "/login" && asked.header("x-quiet") == "yes" {
            return Reply::json(json!({ "ok": true, "session": "session-token-1" }));
        }
        Reply::of(400, "application/json", json!({ "message": sent.chars().take(3000).collect::<String>() }))
    };
    let server = Server::new(echo).await;
    let quiet = SESSION.replace("path = \"login\",", "path = \"login\", headers = { \"X-Quiet\" = \"yes\" },");
    for text in [
        with("basic = { user = \"${settings.user}\", password = \"${settings.password}\" }"),
        with("bearer = \"${settings.token}\""),
        with("headers = { apikey = \"${settings.token}\" }"),
        SESSION.to_owned(),
        SESSION.replace("body = {", "form = {"),
        quiet,
    ] {
        for text in [text.clone(), text.replacen("[http]\n", "[http]\nmessage = [\"message\"]\n", 1)] {
            let system = System::new(&server.url(), &text);
            let message = system.probe().await.unwrap();
            let debug = format!("{:?}", system.connector);
            let pair = base64::engine::general_purpose::STANDARD.encode(format!("integration:{PASSWORD}"));
            let form = "hunter2%2F%3D%3F";
            for secret in [TOKEN, PASSWORD, "hunter2\\/", form, "session-token-1", &pair] {
                assert!(!message.contains(secret), "{secret} in {message}");
                assert!(!debug.contains(secret), "{secret} in {debug}");
            }
            assert!(message.contains("[secret]"), "the message shows what was sent: {message}");
        }
    }
}
