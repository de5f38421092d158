//! Events of orders on a RabbitMQ broker: one for each transition, in the order of the transitions.

use super::broker::{connected, poll};
use super::*;
use crate::support::amqp::{Arrived, Client};
use crate::support::peers::{Peer, System};
use crate::support::postgres;

const EVENTS: &str = "tradebridge.events";

/// A program that hears of the orders of the shop.
async fn listener(home: &mut Home) -> Client {
    let client = Client::of(home.vhost(), "guest").await;
    let bound = client.bind(EVENTS, "b2b.order.*").await;
    assert!(bound.is_ok(), "{bound:?}");
    client
}

fn key(event: &Arrived) -> (String, String) {
    (event.header("cloudEvents:id").unwrap(), event.key.clone())
}

/// The next events that were not told before: where a process is slow its lease runs out, and others tell again.
async fn told(listener: &mut Client, known: &mut Vec<(String, String)>, count: usize) -> Vec<Arrived> {
    let mut fresh = Vec::new();
    while fresh.len() < count {
        let event = listener.next().await;
        if !known.contains(&key(&event)) {
            known.push(key(&event));
            fresh.push(event);
        }
    }
    fresh
}

/// What is to be told of an order that was accepted at once.
fn way(order: &StoredOrder) -> Vec<(String, String)> {
    let states = ["received", "queued", "sending", "accepted"];
    let told = states.iter().enumerate();
    told.map(|(at, state)| (format!("{}/{}", order.id, at + 1), format!("b2b.order.{state}"))).collect()
}

#[tokio::test]
async fn each_transition_of_an_order_is_told_in_its_order() {
    if postgres::left_out() {
        return;
    }
    let mut home = Home::on(Peer::shared(System::RabbitMq)).await;
    let mut bridge = Bridge::open(&home, &[("erp", UNIQUE)]).await;
    bridge.start();
    connected(&bridge).await;
    let mut listener = listener(&mut home).await;
    let order = bridge.post("erp", "S-1").await;
    let mut known = Vec::new();
    let mut events = told(&mut listener, &mut known, 4).await;
    assert_eq!(known, way(&order));
    let accepted = events.pop().unwrap();
    let header = |name: &str| accepted.header(&format!("cloudEvents:{name}")).unwrap();
    assert_eq!((header("specversion"), header("type")), ("1.0".to_owned(), "tradebridge.order.accepted".to_owned()));
    assert_eq!((header("source"), header("subject")), ("urn:tradebridge:shop:b2b".to_owned(), order.id.clone()));
    assert_eq!(header("datacontenttype"), "application/json");
    assert_eq!(header("time"), bridge.order(&order.id).await.changed_at.to_string());
    assert_eq!(*accepted.properties.delivery_mode(), Some(2));
    let body = &accepted.body;
    assert_eq!(
        (&body["order"], &body["reference"], &body["erp_number"]),
        (&json!(order.id), &json!("S-1"), &json!("VO-S-1"))
    );
    assert_eq!((&body["number"], &body["from"], &body["to"]), (&json!(4), &json!("sending"), &json!("accepted")));
    poll("nothing is left to tell", async || bridge.store.order_events(10).await.unwrap().is_empty()).await;
    bridge.stop().await;
}

#[tokio::test]
async fn what_happened_while_nobody_could_tell_is_told_afterwards_by_one_process() {
    if postgres::left_out() {
        return;
    }
    let mut home = Home::on(Peer::own(System::RabbitMq)).await;
    let mut first = Bridge::open(&home, &[("erp", UNIQUE)]).await;
    first.start();
    connected(&first).await;
    let early = first.post("erp", "S-1").await;
    first.until(&early, &[OrderState::Accepted]).await;
    poll("nothing is left to tell", async || first.store.order_events(10).await.unwrap().is_empty()).await;
    first.stop().await;
    // Nothing runs: what happens now waits in the store.
    let held = first.accept("erp", json!({
        "reference": "S-2", "customer": "20000", "currency": "EUR", "lines": [{"product": "KGL-15", "quantity": "5"}],
    }));
    let held = held.await.unwrap().order;
    first.desk.cancel(&held.id, &operator()).await.unwrap();
    home.vhost().restart();
    let mut listener = listener(&mut home).await;
    let mut second = Bridge::open(&home, &[("erp", UNIQUE)]).await;
    let mut third = Bridge::open(&home, &[("erp", UNIQUE)]).await;
    second.start();
    third.start();
    let mut known = Vec::new();
    told(&mut listener, &mut known, 3).await;
    let later = second.post("erp", "S-3").await;
    told(&mut listener, &mut known, 4).await;
    let mut expected: Vec<_> = ["received", "held", "cancelled"]
        .iter()
        .enumerate()
        .map(|(at, state)| (format!("{}/{}", held.id, at + 1), format!("b2b.order.{state}")))
        .collect();
    expected.extend(way(&later));
    assert_eq!(known, expected);
    second.stop().await;
    third.stop().await;
}

#[tokio::test]
async fn where_there_is_no_broker_nothing_waits_to_be_told() {
    let home = Home::new();
    let mut bridge = Bridge::open(&home, &[("erp", UNIQUE)]).await;
    bridge.start();
    let order = bridge.post("erp", "S-1").await;
    bridge.until(&order, &[OrderState::Accepted]).await;
    if bridge.queue.broker().is_none() {
        assert_eq!(bridge.store.order_events(10).await.unwrap(), []);
    }
    bridge.stop().await;
}
