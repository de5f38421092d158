//! `tradebridge broker` as a person uses it, on a real broker.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use crate::daemon::program;
use crate::support::broker::Vhost;
use crate::support::postgres;

const WORK: &str = "tradebridge.orders.work.erp";

/// Runs `tradebridge broker`; its exit code and its answer.
fn broker(config: &Path, arguments: &[&str]) -> (i32, Value) {
    let done =
        program().arg("--config").arg(config).args(["--output", "json", "broker"]).args(arguments).output().unwrap();
    let answer = if done.stdout.is_empty() { &done.stderr } else { &done.stdout };
    let value = serde_json::from_slice(answer).unwrap_or_else(|_| json!(String::from_utf8_lossy(answer)));
    (done.status.code().unwrap(), value)
}

fn condition<'a>(answer: &'a Value, name: &str) -> &'a Value {
    let parts = answer["parts"].as_array().unwrap_or_else(|| panic!("parts: {answer:#}"));
    parts.iter().find(|part| part["name"] == name).unwrap_or_else(|| panic!("{name}: {answer:#}"))
}

fn configuration(directory: &Path, vhost: &Vhost, user: &str) -> std::path::PathBuf {
    let url = vhost.url().replace("guest@", &format!("{user}@"));
    let text = format!(
        "demo = true\n[store]\nurl = \"sqlite://{}\"\n[queue]\nurl = \"{url}\"\npassword = \
         \"guest\"\n[[connection]]\nname = \"erp\"\nconnector = \"csv-export\"\ntime_zone = \"UTC\"\n[[shop]]\nname = \"b2b\"\n\
         companies = [\"NL01\"]\nconnections = [\"erp\"]\norders_to = \"erp\"\n",
        directory.join("store.db").display()
    );
    let file = directory.join(format!("{user}.toml"));
    std::fs::write(&file, text).unwrap();
    file
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_is_checked_declared_and_mended() {
    if postgres::left_out() {
        return;
    }
    let vhost = Vhost::new().await;
    let directory = tempfile::tempdir().unwrap();
    let config = configuration(directory.path(), &vhost, "guest");

    let (code, answer) = broker(&config, &["check"]);
    assert_eq!(code, 1);
    assert!(answer["version"].as_str().unwrap().starts_with("RabbitMQ "), "{answer:#}");
    assert_eq!(condition(&answer, WORK)["condition"], "missing");
    let (code, answer) = broker(&config, &["declare"]);
    assert_eq!((code, &condition(&answer, WORK)["condition"]), (0, &json!("good")));
    for part in ["tradebridge.dead", "tradebridge.orders.in", "tradebridge.orders", "tradebridge.events"] {
        assert_eq!(condition(&answer, part)["condition"], "good", "{part}");
    }
    vhost.put(WORK, "x").await;
    let (code, answer) = broker(&config, &["status"]);
    assert_eq!((code, &condition(&answer, WORK)["messages"]), (0, &json!(1)));

    vhost.delete(WORK).await;
    vhost.declare(WORK, json!({ "x-queue-type": "classic" })).await;
    let (code, answer) = broker(&config, &["check"]);
    let part = condition(&answer, WORK);
    assert_eq!((code, &part["condition"]), (1, &json!("wrong")));
    let command = format!("tradebridge broker declare --replace {WORK}");
    assert!(part["message"].as_str().unwrap().contains(&command), "{part:#}");
    let (code, answer) = broker(&config, &["declare", "--replace", WORK]);
    assert_eq!(code, 0, "{answer:#}");
    assert_eq!(broker(&config, &["check"]).0, 0);
    let (code, answer) = broker(&config, &["declare", "--replace", "other"]);
    assert!(code == 1 && answer.to_string().contains("no part of the topology"), "{code}: {answer:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_of_another_kind_is_mended_and_orders_that_wait_are_not_removed() {
    if postgres::left_out() {
        return;
    }
    let vhost = Vhost::new().await;
    let directory = tempfile::tempdir().unwrap();
    let config = configuration(directory.path(), &vhost, "guest");
    let name = vhost.url().rsplit('/').next().unwrap().to_owned();
    let exchange = format!("exchanges/{name}/tradebridge.events");
    vhost.ask(Method::PUT, &exchange, Some(json!({ "type": "direct", "durable": true }))).await;
    let (code, answer) = broker(&config, &["declare"]);
    let part = condition(&answer, "tradebridge.events");
    assert_eq!((code, &part["condition"]), (1, &json!("wrong")));
    assert!(part["message"].as_str().unwrap().contains("--replace tradebridge.events"), "{part:#}");
    assert_eq!(broker(&config, &["declare", "--replace", "tradebridge.events"]).0, 0);
    assert_eq!(broker(&config, &["check"]).0, 0);

    let orders = "tradebridge.orders.in";
    vhost.put(orders, "{}").await;
    let (code, answer) = broker(&config, &["declare", "--replace", orders]);
    assert!(code == 1 && answer.to_string().contains("nowhere else"), "{code}: {answer:#}");
    assert_eq!(vhost.messages(orders).await, 1);
}

#[test]
fn the_user_of_a_shop_needs_a_broker_and_is_one_shop_s() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("c.toml");
    let shop = |name: &str| {
        format!("[[shop]]\nname = \"{name}\"\ncompanies = [\"1\"]\nconnections = [\"erp\"]\nbroker_user = \"u\"\n")
    };
    let connection = "[[connection]]\nname = \"erp\"\nconnector = \"csv-export\"\ntime_zone = \"UTC\"\n";
    std::fs::write(&file, format!("demo = true\n{connection}{}{}", shop("one"), shop("two"))).unwrap();
    let done = program().arg("--config").arg(&file).args(["check", "--offline"]).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(2), "{said}");
    for told in [
        "c.toml:10:15: shop[0].broker_user: there is no broker",
        "name a RabbitMQ broker with `url` in [queue]",
        "c.toml:15:15: shop[1].broker_user: a second shop has the broker's user `u`; the first is on line 10",
    ] {
        assert!(said.contains(told), "{told}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_may_not_declare_is_told_what_he_cannot_see() {
    if postgres::left_out() {
        return;
    }
    let vhost = Vhost::new().await;
    let directory = tempfile::tempdir().unwrap();
    let user = format!("u{}", uuid::Uuid::now_v7().simple());
    vhost.ask(Method::PUT, &format!("users/{user}"), Some(json!({ "password": "guest", "tags": "" }))).await;
    let rights = json!({ "configure": "", "write": ".*", "read": ".*" });
    let name = vhost.url().rsplit('/').next().unwrap().to_owned();
    vhost.ask(Method::PUT, &format!("permissions/{name}/{user}"), Some(rights)).await;
    let restricted = configuration(directory.path(), &vhost, &user);
    let (code, answer) = broker(&restricted, &["declare"]);
    let part = condition(&answer, WORK);
    assert_eq!((code, &part["condition"]), (1, &json!("missing")));
    assert!(part["message"].as_str().unwrap().contains("give this one the right"), "{part:#}");
    assert_eq!(broker(&configuration(directory.path(), &vhost, "guest"), &["declare"]).0, 0);
    let (code, answer) = broker(&restricted, &["check"]);
    let part = condition(&answer, WORK);
    assert_eq!((code, &part["condition"]), (0, &json!("unseen")));
    vhost.ask(Method::DELETE, &format!("users/{user}"), None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_broker_is_told_so() {
    let directory = tempfile::tempdir().unwrap();
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = server.local_addr().unwrap().port();
    let answering = tokio::spawn(async move {
        let (mut stream, _) = server.accept().await.unwrap();
        // What is not read would end the connection before its answer has arrived.
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut [0; 8]).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    });
    let file = directory.path().join("c.toml");
    let text =
        |port: u16| format!("demo = true\n[queue]\nurl = \"amqp://u@127.0.0.1:{port}\"\npassword = \"hunter2\"\n");
    std::fs::write(&file, text(port)).unwrap();
    let (code, answer) = broker(&file, &["check"]);
    answering.await.unwrap();
    assert!(code == 1 && answer.to_string().contains("no RabbitMQ broker"), "{code}: {answer:#}");
    let (code, answer) = broker(&file, &["check"]);
    assert!(code == 1 && answer.to_string().contains("refused"), "{code}: {answer:#}");
    assert!(!answer.to_string().contains("hunter2"));
    std::fs::write(&file, "[queue]\nurl = \"embedded\"\n").unwrap();
    let (code, answer) = broker(&file, &["check"]);
    assert!(code == 1 && answer.to_string().contains("inside the daemon"), "{code}: {answer:#}");
}
