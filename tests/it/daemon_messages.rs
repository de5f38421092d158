//! Orders and events by messages through the running daemon, across kills.

use std::collections::{BTreeMap, BTreeSet};

use crate::daemon::Site;
use crate::daemon_orders::{files, order};
use crate::support::amqp::{Arrived, Client};
use crate::support::broker::Vhost;
use crate::support::postgres;

/// A daemon's site with a broker, and a shop's user there.
async fn site_on(vhost: &Vhost) -> (Site, String) {
    let site = Site::new();
    let user = vhost.shop_user("b2b").await;
    let queue = format!("url = \"{}\"\npassword = \"guest\"", vhost.url());
    site.edit_config(|text| {
        text.replace("url = \"embedded\"", &queue)
            .replace("orders_to = \"erp\"", &format!("orders_to = \"erp\"\nbroker_user = \"{user}\""))
    });
    let (code, declared) = site.ask(&["broker", "declare"]);
    assert_eq!(code, 0, "{declared:#}");
    (site, user)
}

fn number(event: &Arrived) -> u64 {
    event.body["number"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_by_message_survive_kills_and_each_of_their_transitions_is_told() {
    if postgres::left_out() {
        return;
    }
    let vhost = Vhost::new().await;
    let (site, user) = site_on(&vhost).await;
    let mut shop = Client::of(&vhost, &user).await;
    let mut listener = Client::of(&vhost, &user).await;
    listener.bind("tradebridge.events", "b2b.order.*").await.unwrap();
    let mut daemon = site.start();
    daemon.until_all_pulled(&["customer", "product"]);
    let mut sent = BTreeSet::new();
    for round in 0..3 {
        for number in 0..8 {
            let reference = format!("WEB-{round}-{number}");
            let body = serde_json::to_vec(&order(&reference)).unwrap();
            shop.publish("tradebridge.orders", "", shop.order(&reference), &body).await;
            sent.insert(reference);
        }
        // It has answered some of them, and is at the others.
        let first = shop.next().await;
        assert_eq!(first.status(), 202, "{first:?}");
        sent.remove(first.properties.correlation_id().as_ref().unwrap().as_str());
        daemon.signal("KILL");
        daemon.wait();
        daemon = site.start();
    }
    while !sent.is_empty() {
        let answer = shop.next().await;
        assert_eq!(answer.status(), 202, "{answer:?}");
        sent.remove(answer.properties.correlation_id().as_ref().unwrap().as_str());
    }
    // By order, the highest number that was told, and whether the ERP has it.
    let mut told: BTreeMap<String, (u64, bool)> = BTreeMap::new();
    while told.len() < 24 || told.values().any(|(_, over)| !over) {
        let event = listener.next().await;
        let (highest, over) = told.entry(event.body["order"].as_str().unwrap().to_owned()).or_default();
        assert!(number(&event) <= *highest + 1, "none is left out: {event:?} after {highest}");
        *highest = number(&event).max(*highest);
        *over |= event.body["to"] == "submitted";
    }
    assert_eq!(files(&site.path("inbox")).len(), 24, "each order is in the inbox once");
    let (_, dead) = site.ask(&["dead", "list"]);
    assert!(!dead.to_string().contains("reason"), "nothing is left over: {dead:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_for_a_shop_is_told_from_a_beginning_on_and_after_a_kill() {
    if postgres::left_out() {
        return;
    }
    let vhost = Vhost::new().await;
    let (site, user) = site_on(&vhost).await;
    let mut listener = Client::of(&vhost, &user).await;
    for key in ["b2b.feed.reset", "b2b.credit.*"] {
        listener.bind("tradebridge.events", key).await.unwrap();
    }
    let limit = |from: &'static str, to: &'static str| {
        site.edit_export("kredieten.csv", move |lines| {
            let line = String::from_utf8(lines[1].clone()).unwrap();
            assert!(line.contains(from), "{line}");
            lines[1] = line.replacen(from, to, 1).into_bytes();
        });
    };
    let mut daemon = site.start();
    daemon.until_pulled("credit");
    assert_eq!(listener.next().await.key, "b2b.feed.reset");
    limit("25.000,00", "26.000,00");
    let mut told = BTreeSet::new();
    let changed = loop {
        let event = listener.next().await;
        assert_eq!(event.key, "b2b.credit.upserted", "{event:?}");
        assert!(told.insert(event.header("cloudEvents:id")), "once: {event:?}");
        if event.body["record"].to_string().contains("26000") {
            break event;
        }
    };
    let given = |name: &str| changed.header(&format!("cloudEvents:{name}")).unwrap();
    assert_eq!((given("type"), given("subject")), ("tradebridge.credit.upserted".to_owned(), "NL01~10000".to_owned()));
    assert_eq!((&changed.body["key"], &changed.body["operation"]), (&"NL01~10000".into(), &"upserted".into()));

    daemon.signal("KILL");
    daemon.wait();
    limit("26.000,00", "27.000,00");
    let _daemon = site.start();
    loop {
        let event = listener.next().await;
        assert_eq!(event.key, "b2b.credit.upserted", "it goes on where it was: {event:?}");
        if event.body["record"].to_string().contains("27000") {
            assert!(told.insert(event.header("cloudEvents:id")), "another event: {event:?}");
            break;
        }
    }
}
