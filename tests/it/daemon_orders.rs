//! Orders through the running daemon, from the shop's request to the ERP's answer: by files, and across kills.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::daemon::{Daemon, Site, root};

/// A shop's side of the API.
pub struct Shop {
    pub http: reqwest::Client,
    pub address: String,
}

impl Shop {
    pub fn of(site: &Site) -> Self {
        Self { http: crate::support::http().build().unwrap(), address: site.access().0 }
    }

    pub async fn post(&self, order: &Value) -> reqwest::Result<(u16, Value)> {
        let request = self.http.post(format!("{}/v1/orders", self.address)).bearer_auth("tb_demo_key").json(order);
        let response = request.send().await?;
        Ok((response.status().as_u16(), response.json().await?))
    }

    pub async fn order(&self, reference: &str) -> Value {
        let request = self.http.get(format!("{}/v1/orders?reference={reference}", self.address));
        let answer: Value = request.bearer_auth("tb_demo_key").send().await.unwrap().json().await.unwrap();
        answer["items"][0].clone()
    }
}

pub fn order(reference: &str) -> Value {
    json!({
        "reference": reference, "customer": "10000", "customer_order_number": "PO 7", "currency": "EUR",
        "lines": [
            {"product": "KGL-15-090", "quantity": "50", "unit_price": "0.684"},
            {"product": "TST-22", "quantity": "10"},
        ],
    })
}

/// Orders in a directory as the ERP sees them. A process that is killed may leave a hidden file of its own.
pub fn files(directory: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_file() && !name.starts_with('.') {
            files.insert(name, String::from_utf8(std::fs::read(&path).unwrap()).unwrap());
        }
    }
    files
}

fn state(daemon: &mut Daemon, to: &str) -> Value {
    daemon.until(|line| line["to"] == to)
}

fn answer(site: &Site, template: &str, name: &str, reference: &str) {
    let bytes = std::fs::read(root().join("config/demo/answers").join(template)).unwrap();
    // The templates are windows-1252; the reference is ASCII.
    let mark = b"{{REFERENTIE}}";
    let mut text = Vec::new();
    let mut rest = &bytes[..];
    while let Some(at) = rest.windows(mark.len()).position(|window| window == mark) {
        text.extend_from_slice(&rest[..at]);
        text.extend_from_slice(reference.as_bytes());
        rest = &rest[at + mark.len()..];
    }
    text.extend_from_slice(rest);
    let hidden = site.path("answer.tmp");
    std::fs::write(&hidden, text).unwrap();
    std::fs::rename(hidden, site.path("antwoorden").join(name)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_becomes_a_file_and_the_answer_makes_it_accepted_or_rejected() {
    let site = Site::new();
    let mut daemon = site.start();
    daemon.until_all_pulled(&["customer", "product"]);
    let shop = Shop::of(&site);
    let (status, first) = shop.post(&order("WEB-1")).await.unwrap();
    assert_eq!(status, 202, "{first:#}");
    state(&mut daemon, "submitted");
    let inbox = files(&site.path("inbox"));
    let reference = first["our_reference"].as_str().unwrap();
    let text = &inbox[&format!("ORD-{reference}.csv")];
    assert_eq!(inbox.len(), 1);
    assert!(text.contains(";KGL-15-090;50;ST;0,684;") && text.contains(";TST-22;10;ST;"), "{text}");

    let id = first["id"].as_str().unwrap();
    let (_, shown) = site.ask(&["orders", "show", id]);
    let call = &shown["calls"][0];
    assert_eq!((&call["kind"], &call["outcome"], &call["attempt"]), (&"create".into(), &"submitted".into(), &1.into()));
    let written = &call["exchanges"][0]["request"];
    assert_eq!(written["method"], "write");
    assert!(written["address"].as_str().unwrap().ends_with(&format!("inbox/ORD-{reference}.csv")), "{written:#}");
    assert_eq!(written["body"].as_str().unwrap(), text.as_str(), "what was written, as it was");
    let told = site.command(&["orders", "show", id]).output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(
        told.contains("create of attempt 1: submitted")
            && told.contains("> write ")
            && told.contains(";KGL-15-090;50;"),
        "{told}"
    );

    answer(&site, "orderantwoord.csv", "orderantwoord-1.csv", reference);
    state(&mut daemon, "accepted");
    let accepted = shop.order("WEB-1").await;
    assert_eq!((&accepted["state"], &accepted["erp_number"]), (&"accepted".into(), &"VO2600412".into()));
    let whole: Value = shop
        .http
        .get(format!("{}/v1/orders/{}", shop.address, accepted["id"].as_str().unwrap()))
        .bearer_auth("tb_demo_key")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let way: Vec<&str> = whole["transitions"].as_array().unwrap().iter().map(|t| t["to"].as_str().unwrap()).collect();
    assert_eq!(way, ["received", "queued", "sending", "submitted", "accepted"]);
    assert!(whole["lines"].to_string().contains("2026-12-03"), "the second line comes later: {whole:#}");
    assert!(!whole.to_string().contains("exchanges"), "what was exchanged with the ERP is not for shops: {whole:#}");

    let (_, second) = shop.post(&order("WEB-2")).await.unwrap();
    state(&mut daemon, "submitted");
    let reference = second["our_reference"].as_str().unwrap();
    answer(&site, "orderantwoord-afgewezen.csv", "orderantwoord-2.csv", reference);
    state(&mut daemon, "rejected");
    let rejected = shop.order("WEB-2").await;
    let reason = "Kredietlimiet overschreden; neem contact op met uw coördinator financiën";
    assert_eq!((&rejected["state"], &rejected["reason"]), (&"rejected".into(), &reason.into()));

    // The cause is mended, for all that have it.
    let (code, said) = site.ask(&["orders", "retry", "--reason", "nothing like that"]);
    assert_eq!((code, &said), (0, &json!({ "done": [], "failed": [] })));
    let (code, said) = site.ask(&["orders", "retry"]);
    assert_eq!(code, 2, "not all there are by accident: {said:#}");
    let (code, said) = site.ask(&["orders", "retry", "--reason", "kredietlimiet", "--since", "2026-01-01"]);
    assert_eq!((code, &said["done"]), (0, &json!([second["id"]])), "{said:#}");
    state(&mut daemon, "unknown");
    let (code, said) = site.ask(&["orders", "retry", id, second["id"].as_str().unwrap()]);
    assert_eq!(
        (code, said["failed"][0]["id"].as_str()),
        (1, Some(id)),
        "an accepted order cannot be retried: {said:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inbox_that_is_away_loses_nothing_and_a_kill_sends_nothing_twice() {
    let site = Site::new();
    site.edit_config(|text| text.replace("initial = \"5s\"", "initial = \"1s\""));
    let mut daemon = site.start();
    daemon.until_all_pulled(&["customer", "product"]);
    std::fs::rename(site.path("inbox"), site.path("away")).unwrap();
    let shop = Shop::of(&site);
    for number in 0..5 {
        assert_eq!(shop.post(&order(&format!("WEB-{number}"))).await.unwrap().0, 202);
    }
    daemon.until(|line| line.to_string().contains("inbox is not there"));
    daemon.signal("KILL");
    daemon.wait();
    std::fs::rename(site.path("away"), site.path("inbox")).unwrap();
    let mut daemon = site.start();
    for _ in 0..5 {
        state(&mut daemon, "submitted");
    }
    assert_eq!(files(&site.path("inbox")).len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_accepted_before_a_kill_are_each_in_the_inbox_once() {
    let site = Site::new();
    let mut accepted = Vec::new();
    let mut daemon = site.start();
    daemon.until_all_pulled(&["customer", "product"]);
    for round in 0..5_u32 {
        let shop = Shop::of(&site);
        for number in 0..8_u32 {
            let reference = format!("WEB-{round}-{number}");
            // The kill falls between these: an order that got no answer may be taken in or not.
            if number == 3 + round {
                daemon.signal("KILL");
            }
            if let Ok((202, order)) = shop.post(&order(&reference)).await {
                accepted.push(order["our_reference"].as_str().unwrap().to_owned());
            }
        }
        daemon.wait();
        daemon = site.start();
    }
    let shop = Shop::of(&site);
    let (_, last) = shop.post(&order("WEB-LAST")).await.unwrap();
    accepted.push(last["our_reference"].as_str().unwrap().to_owned());
    assert!(accepted.len() > 20, "{}", accepted.len());
    loop {
        let (_, orders) = site.ask(&["orders", "list", "--limit", "200"]);
        let orders = orders["items"].as_array().cloned().unwrap_or_default();
        if orders.iter().all(|order| order["state"] == "submitted") && orders.len() >= accepted.len() {
            let inbox = files(&site.path("inbox"));
            assert_eq!(inbox.len(), orders.len(), "one file for each order that is stored: {:?}", inbox.keys());
            for reference in &accepted {
                assert!(
                    inbox.contains_key(&format!("ORD-{reference}.csv")),
                    "{reference} was accepted and is not there"
                );
            }
            let mut shops: Vec<&str> =
                inbox.values().map(|text| text.lines().nth(1).unwrap().split(';').nth(3).unwrap()).collect();
            shops.sort_unstable();
            let all = shops.len();
            shops.dedup();
            assert_eq!(shops.len(), all, "no reference of the shop is there twice");
            return;
        }
        daemon.until(|line| line["to"] == "submitted" || line["level"] == "ERROR");
    }
}
