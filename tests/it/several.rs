//! Several processes on one PostgreSQL: what one writes wakes those who wait at another, and a source that one is at is
//! no failure of another.

use std::sync::Arc;

use serde_json::{Value, json};
use tradebridge::model::hash::content_hash;
use tradebridge::model::{Content, Key, PartKind};
use tradebridge::store::{Difference, Operation, Page, Store};

use crate::daemon::{Daemon, PATIENCE, program};
use crate::support::export::Export;
use crate::support::postgres;
use crate::support::store::{Engine, Place, TestStore, lease, new_id, run};

/// Stores a product as a pull of another process does.
async fn store_product(store: &dyn Store, number: &str) {
    let source = store.source("erp", "elsewhere", PartKind::Product).await.unwrap();
    let content = json!({ "number": number, "names": { "nl": "Elders" } });
    let difference = Difference {
        position: 0,
        operation: Operation::Upsert,
        source_key: number.to_owned(),
        key: Key::new("NL01", number),
        part: String::new(),
        who: None,
        what: None,
        after: Some(content_hash(&content)),
        source_hash: content_hash(&content),
        content: Some(Content::of_text(content.to_string())),
        before: None,
        shops: None,
        raw: None,
        turn: None,
    };
    let run = run(new_id(), &source);
    let page = Page { differences: vec![difference], ..Page::default() };
    store.commit_load(&lease(store, source.id).await, &run, &page).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_process_writes_wakes_who_waits_and_its_lease_is_waited_for() {
    if postgres::left_out() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let export = Export::new(&directory.path().join("export"), 10, 200);
    export.write(0);
    let place = Arc::new(Place::new(Engine::Postgres).await);
    let config = directory.path().join("tradebridge.toml");
    let key = "[[key]]\nname = \"b2b\"\nshop = \"b2b\"\nscopes = [\"read\"]\nkey = \"tb_key\"\n";
    let text = export.configuration(&place.url(), directory.path()).replace("lease = \"300ms\"", "lease = \"2s\"");
    std::fs::write(&config, format!("demo = true\n{text}{key}")).unwrap();
    let other = TestStore::at(place).await;
    // Another process is at the prices when the daemon comes.
    let stream = "price_agreements";
    let source = other.source("erp", stream, PartKind::PriceAgreement).await.unwrap();
    let held = lease(&*other, source.id).await;

    let mut command = program();
    command.arg("--config").arg(&config).arg("run");
    let mut daemon = Daemon::follow(command);
    let ready = daemon.until(|line| line["message"] == "tradebridge is ready");
    let address = format!("http://{}/v1/changes", ready["address"].as_str().unwrap());
    daemon.until_pulled("stock");
    other.release_lease(&held).await.unwrap();
    let line = daemon.until(|line| line["entity"] == "price_agreement");
    assert_eq!(line["state"], "done", "it is pulled once the other has gone, and nothing failed: {line:#}");

    tradebridge::install_crypto();
    let http = reqwest::Client::new();
    let ask = async |query: String| -> Value {
        let request = http.get(format!("{address}?{query}")).bearer_auth("tb_key");
        serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap()
    };
    let mut cursor = String::new();
    loop {
        let after = if cursor.is_empty() { String::new() } else { format!("&after={cursor}") };
        let page = ask(format!("limit=1000{after}")).await;
        cursor = page["cursor"].as_str().unwrap().to_owned();
        if page["more"] == false {
            break;
        }
    }
    // Tables that are still being pulled come first.
    let waiting = async {
        loop {
            let page = ask(format!("wait=60s&after={cursor}")).await;
            if page["changes"].to_string().contains("NL01~ELSEWHERE") {
                break;
            }
            page["cursor"].as_str().unwrap().clone_into(&mut cursor);
        }
    };
    // The daemon hears of it by itself, whether the shop waits already or not yet.
    let elsewhere = store_product(&*other, "ELSEWHERE");
    tokio::time::timeout(PATIENCE / 2, async { tokio::join!(waiting, elsewhere) }).await.unwrap();
    daemon.signal("TERM");
    assert!(daemon.wait().success());
}
