//! Orders that shops publish to a RabbitMQ broker: the same judgement and answers as over HTTP, and none is lost.

use std::collections::BTreeSet;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use tradebridge::api::Inbox;
use tradebridge::config::Config;
use tradebridge::store::{DeadLetter, StoreError};

use super::broker::{WORK, connected, poll};
use super::*;
use crate::support::amqp::Client;
use crate::support::broker::Vhost;
use crate::support::peers::{Peer, System};
use crate::support::postgres;

const ORDERS: &str = "tradebridge.orders";
const ORDERS_IN: &str = "tradebridge.orders.in";

/// A scope that the store cannot tell while it is away.
#[derive(Default)]
struct Away(AtomicBool);

#[async_trait]
impl CustomerScope for Away {
    async fn sees(&self, _: &Shop, _: &Key) -> Result<bool> {
        if self.0.load(Ordering::SeqCst) { Err(StoreError::Fenced("it is away".to_owned())) } else { Ok(true) }
    }
}

/// A bridge that takes in orders from the broker, and a shop's program.
struct Counter {
    bridge: Bridge,
    away: Arc<Away>,
    shop: Client,
    taking: JoinHandle<()>,
}

impl Counter {
    async fn open(home: &mut Home) -> Self {
        let mut bridge = Bridge::open(home, &[("erp", UNIQUE)]).await;
        bridge.start();
        let vhost: &Vhost = home.vhost();
        let user = vhost.shop_user("b2b").await;
        let config: Config = serde_json::from_value(json!({ "shop": [{
            "name": "b2b", "companies": ["NL01"], "connections": ["erp"], "orders_to": "erp", "broker_user": user,
        }] }))
        .unwrap();
        let away = Arc::new(Away::default());
        let scope = Arc::clone(&away) as Arc<dyn CustomerScope>;
        let inbox = Inbox {
            store: Arc::clone(&bridge.store),
            config: watch::Sender::new(Arc::new(config)).subscribe(),
            intake: Arc::new(Intake::new(
                Arc::clone(&bridge.store),
                scope,
                Arc::clone(&bridge.wake),
                Arc::clone(&bridge.clock) as Arc<dyn Clock>,
            )),
            queue: Arc::clone(&bridge.queue),
        };
        let taking = tokio::spawn(inbox.run(bridge.stop.subscribe()));
        connected(&bridge).await;
        let shop = Client::of(vhost, &user).await;
        Self { bridge, away, shop, taking }
    }

    async fn letters(&self) -> Vec<DeadLetter> {
        self.bridge.store.dead_letters(None, 100).await.unwrap()
    }

    async fn close(mut self) {
        self.bridge.stop().await;
        self.taking.await.unwrap();
    }
}

fn bytes(order: &Value) -> Vec<u8> {
    serde_json::to_vec(order).unwrap()
}

fn with_key(properties: BasicProperties, key: AMQPValue) -> BasicProperties {
    let mut headers = FieldTable::default();
    headers.insert("Idempotency-Key".into(), key);
    properties.with_headers(headers)
}

#[tokio::test]
async fn an_order_by_message_is_answered_and_repeated_as_over_http() {
    if postgres::left_out() {
        return;
    }
    let mut home = Home::on(Peer::shared(System::RabbitMq)).await;
    let mut counter = Counter::open(&mut home).await;
    let shop = &mut counter.shop;
    let key = || AMQPValue::LongString("k-1".into());
    shop.publish(ORDERS, "", with_key(shop.order("one"), key()), &bytes(&order("S-1"))).await;
    let answer = shop.next().await;
    assert_eq!((answer.status(), answer.properties.correlation_id().as_ref().unwrap().as_str()), (202, "one"));
    assert_eq!(answer.properties.content_type().as_ref().unwrap().as_str(), "application/json");
    let id = answer.body["id"].as_str().unwrap().to_owned();
    assert_eq!(answer.header("location"), Some(format!("/v1/orders/{id}")));
    assert_eq!((answer.header("idempotent-replayed"), &answer.body["reference"]), (None, &json!("S-1")));
    let stored = counter.bridge.order(&id).await;
    assert_eq!((stored.shop.as_str(), stored.idempotency_key.as_deref()), ("b2b", Some("k-1")));

    shop.publish(ORDERS, "", with_key(shop.order("again"), key()), &bytes(&order("S-1"))).await;
    let answer = shop.next().await;
    assert_eq!((answer.status(), &answer.body["id"]), (202, &json!(id)));
    assert_eq!(answer.header("idempotent-replayed").as_deref(), Some("true"));

    let mut other = order("S-1");
    other["lines"][0]["quantity"] = json!("6");
    shop.publish(ORDERS, "", shop.order("other"), &bytes(&other)).await;
    let answer = shop.next().await;
    assert_eq!((answer.status(), &answer.body["type"]), (422, &json!("urn:tradebridge:problem:reference-used")));
    assert_eq!(answer.properties.content_type().as_ref().unwrap().as_str(), "application/problem+json");

    let mut wrong = order("S-2");
    wrong["lines"][1]["quantity"] = json!("-1");
    shop.publish(ORDERS, "", shop.order("wrong"), &bytes(&wrong)).await;
    let answer = shop.next().await;
    assert_eq!((answer.status(), &answer.body["errors"][0]["pointer"]), (422, &json!("/lines/1/quantity")));

    shop.publish(ORDERS, "", with_key(shop.order("no key"), AMQPValue::LongInt(7)), &bytes(&order("S-3"))).await;
    assert_eq!(shop.next().await.status(), 422);
    assert_eq!(counter.letters().await, [], "who was told needs nobody");
    counter.bridge.until(&stored, &[OrderState::Accepted]).await;
    counter.close().await;
}

#[tokio::test]
async fn what_is_no_order_of_a_shop_is_kept_with_its_bytes_and_stops_nothing() {
    if postgres::left_out() {
        return;
    }
    let mut home = Home::on(Peer::shared(System::RabbitMq)).await;
    let mut counter = Counter::open(&mut home).await;
    let mut stranger = Client::of(home.vhost(), "guest").await;
    let nobody = BasicProperties::default();
    counter.shop.publish(ORDERS, "", nobody, b"an order of nobody").await;
    stranger.publish(ORDERS, "", stranger.order("stranger"), &bytes(&order("S-1"))).await;
    let answer = stranger.next().await;
    assert_eq!((answer.status(), &answer.body["type"]), (403, &json!("urn:tradebridge:problem:forbidden")));
    counter.shop.publish(ORDERS, "", counter.shop.order("bad"), b"{\"reference\": ").await;
    let answer = counter.shop.next().await;
    assert_eq!((answer.status(), &answer.body["type"]), (400, &json!("urn:tradebridge:problem:malformed-body")));

    let letters = counter.letters().await;
    let found: Vec<(&[u8], &str)> =
        letters.iter().map(|letter| (letter.bytes.as_slice(), letter.connection.as_str())).collect();
    let posted = bytes(&order("S-1"));
    assert_eq!(found, [(&b"an order of nobody"[..], ""), (posted.as_slice(), ""), (&b"{\"reference\": "[..], "")]);
    for (letter, told) in letters.iter().zip(["`user-id`", "`broker_user`", "no JSON"]) {
        assert!(letter.reason.contains(told), "{told}: {}", letter.reason);
    }
    let refused = counter.bridge.desk.retry_dead(&letters[0].id, &operator()).await.unwrap_err();
    assert!(refused.to_string().contains("have the shop send the order again"), "{refused}");
    counter.bridge.desk.drop_dead(&letters[0].id, "a test", &operator()).await.unwrap();
    assert_eq!(counter.letters().await.len(), 2);

    counter.shop.publish(ORDERS, "", counter.shop.order("good"), &bytes(&order("S-2"))).await;
    assert_eq!(counter.shop.next().await.status(), 202);
    counter.close().await;
}

#[tokio::test]
async fn a_refusal_that_nobody_hears_is_kept_and_an_order_that_nobody_asks_about_is_taken_in() {
    if postgres::left_out() {
        return;
    }
    let mut home = Home::on(Peer::shared(System::RabbitMq)).await;
    let mut counter = Counter::open(&mut home).await;
    let wrong = bytes(&json!({ "reference": "S-1" }));
    let mine = || BasicProperties::default().with_user_id(counter.shop.order("").user_id().clone().unwrap());
    counter.shop.publish(ORDERS, "", mine(), &wrong).await;
    counter.shop.publish(ORDERS, "", mine().with_reply_to("is-gone".into()), &wrong).await;
    // An answer there would be an order again.
    counter.shop.publish(ORDERS, "", mine().with_reply_to(ORDERS_IN.into()), &wrong).await;
    counter.shop.publish(ORDERS, "", mine().with_reply_to("is-gone".into()), &bytes(&order("S-2"))).await;
    counter.shop.publish(ORDERS, "", counter.shop.order("last"), &bytes(&order("S-3"))).await;
    assert_eq!(counter.shop.next().await.status(), 202);
    let letters = counter.letters().await;
    assert_eq!(letters.len(), 3, "{letters:#?}");
    for (letter, told) in letters.iter().zip(["named no queue", "is-gone", "none of its own queues"]) {
        assert!(letter.reason.contains(told) && letter.reason.contains("customer"), "{told}: {}", letter.reason);
        assert_eq!(letter.bytes, wrong);
    }
    let stored = counter.bridge.store.order_by_reference("b2b", "S-2").await.unwrap();
    assert!(stored.is_some());
    counter.close().await;
}

#[tokio::test]
async fn orders_wait_in_the_broker_while_the_store_is_away_and_are_taken_in_once() {
    if postgres::left_out() {
        return;
    }
    let mut home = Home::on(Peer::shared(System::RabbitMq)).await;
    let mut counter = Counter::open(&mut home).await;
    counter.away.0.store(true, Ordering::SeqCst);
    for number in 0..5 {
        let reference = format!("S-{number}");
        counter.shop.publish(ORDERS, "", counter.shop.order(&reference), &bytes(&order(&reference))).await;
    }
    // They were delivered, and are in the broker again.
    poll("the orders wait in the broker", async || home.vhost().messages(ORDERS_IN).await == 5).await;
    counter.away.0.store(false, Ordering::SeqCst);
    let mut answered = BTreeSet::new();
    for _ in 0..5 {
        let answer = counter.shop.next().await;
        assert_eq!((answer.status(), answer.header("idempotent-replayed")), (202, None));
        answered.insert(answer.body["reference"].as_str().unwrap().to_owned());
    }
    assert_eq!(answered.len(), 5);
    assert_eq!(counter.letters().await, []);
    counter.close().await;
}

#[tokio::test]
async fn orders_are_taken_in_again_after_the_broker_was_away() {
    if postgres::left_out() {
        return;
    }
    let mut home = Home::on(Peer::own(System::RabbitMq)).await;
    let mut counter = Counter::open(&mut home).await;
    counter.shop.publish(ORDERS, "", counter.shop.order("before"), &bytes(&order("S-1"))).await;
    assert_eq!(counter.shop.next().await.status(), 202);
    home.vhost().restart();
    let user = counter.shop.order("").user_id().clone().unwrap();
    counter.shop = Client::of(home.vhost(), user.as_str()).await;
    counter.shop.publish(ORDERS, "", counter.shop.order("after"), &bytes(&order("S-2"))).await;
    let answer = counter.shop.next().await;
    assert_eq!((answer.status(), &answer.body["reference"]), (202, &json!("S-2")));
    // Whoever removes the queue removes its binding, too.
    home.vhost().delete(ORDERS_IN).await;
    let published = async || {
        let properties = counter.shop.order("removed");
        let confirm = counter.shop.try_publish(ORDERS, "", properties, &bytes(&order("S-3"))).await.unwrap();
        matches!(confirm, lapin::Confirmation::Ack(None))
    };
    poll("the queue is there again", published).await;
    assert_eq!(counter.shop.next().await.status(), 202);
    counter.close().await;
}

#[tokio::test]
async fn the_user_of_a_shop_can_order_and_hear_of_its_own_and_nothing_else() {
    if postgres::left_out() {
        return;
    }
    let mut home = Home::on(Peer::shared(System::RabbitMq)).await;
    let counter = Counter::open(&mut home).await;
    let user = counter.shop.order("").user_id().clone().unwrap();
    let vhost = home.vhost();
    // What is refused ends the channel: each tries with another one.
    for queue in [ORDERS_IN, WORK, "tradebridge.dead"] {
        let tried = Client::of(vhost, user.as_str()).await;
        assert!(tried.try_publish("", queue, tried.order("x"), b"{}").await.is_err(), "{queue}");
    }
    let tried = Client::of(vhost, user.as_str()).await;
    let other = BasicProperties::default().with_user_id("guest".into());
    assert!(tried.try_publish(ORDERS, "", other, &bytes(&order("S-1"))).await.is_err(), "in another one's name");
    for key in ["#", "*.order.*", "other.order.accepted"] {
        let tried = Client::of(vhost, user.as_str()).await;
        assert!(tried.bind("tradebridge.events", key).await.is_err(), "{key}");
    }
    counter.shop.bind("tradebridge.events", "b2b.#").await.unwrap();
    assert_eq!(counter.letters().await, []);
    counter.close().await;
}
