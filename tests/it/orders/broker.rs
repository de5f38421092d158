//! Orders through a RabbitMQ broker to which things happen: it dies and comes back, loses its queues, takes nothing, or
//! holds what is no message.

use sqlx::Connection as _;

use super::*;
use crate::support::amqp::Client;
use crate::support::broker::Vhost;
use crate::support::peers::{Peer, System};
use crate::support::postgres;

pub(super) const WORK: &str = "tradebridge.orders.work.erp";

/// A bridge whose ERP is down and which knows that, with an order that waits in the broker.
pub(super) async fn waiting(home: &Home) -> (Bridge, StoredOrder) {
    let mut bridge = Bridge::open(home, &[("erp", UNIQUE)]).await;
    bridge.erp("erp").up.store(false, Ordering::SeqCst);
    bridge.start();
    bridge.post("erp", "S-1").await;
    bridge.until_true("the connection is known to be down", async || !bridge.orders.paused().is_empty()).await;
    let order = bridge.post("erp", "S-2").await;
    (bridge, order)
}

/// Looks until something holds that nobody announces.
pub(super) async fn poll(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let look = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    // A broker that starts again beside many tests takes its time.
    assert!(tokio::time::timeout(PATIENCE * 3, look).await.is_ok(), "waits for ever: {what}");
}

/// Waits until the broker is connected and all is there.
pub(super) async fn connected(bridge: &Bridge) {
    poll("the broker is connected", async || bridge.queue.describe().starts_with("RabbitMQ ")).await;
}

/// Waits until so many messages wait in the broker.
pub(super) async fn holds(bridge: &Bridge, messages: usize) {
    poll("messages in the broker", async || bridge.queue.depth("erp").await.is_ok_and(|depth| depth == messages)).await;
}

/// Lets time pass until an order is accepted, and asserts that the ERP has it once.
pub(super) async fn accepted_in_time(bridge: &Bridge, order: &StoredOrder) {
    poll("the order is accepted", async || {
        bridge.clock.move_on(Duration::from_secs(30));
        bridge.order(&order.id).await.state == OrderState::Accepted
    })
    .await;
    assert_eq!(bridge.erp("erp").executed(order), 1);
}

#[tokio::test]
async fn what_an_emptied_or_removed_queue_held_is_published_again() {
    if postgres::left_out() {
        return;
    }
    for remove in [false, true] {
        let mut home = Home::on(Peer::shared(System::RabbitMq)).await;
        let (mut bridge, order) = waiting(&home).await;
        holds(&bridge, 1).await;
        if remove {
            home.vhost().delete(WORK).await;
        } else {
            home.vhost().purge(WORK).await;
        }
        bridge.erp("erp").up.store(true, Ordering::SeqCst);
        accepted_in_time(&bridge, &order).await;
        bridge.stop().await;
    }
}

#[tokio::test]
async fn a_killed_broker_loses_nothing_and_orders_are_accepted_while_it_is_away() {
    if postgres::left_out() {
        return;
    }
    let mut home = Home::on(Peer::own(System::RabbitMq)).await;
    let (mut bridge, before) = waiting(&home).await;
    holds(&bridge, 1).await;
    // The broker writes down by and by who leads a queue that was made.
    home.vhost().ctl(&["eval", "[ok = dets:sync(Table) || Table <- dets:all()]."]);
    home.vhost().peer().kill();
    let meanwhile = bridge.post("erp", "S-3").await;
    assert_eq!(meanwhile.state, OrderState::Queued);
    bridge.erp("erp").up.store(true, Ordering::SeqCst);
    home.vhost().peer().restart();
    for order in [&before, &meanwhile] {
        accepted_in_time(&bridge, order).await;
    }
    bridge.stop().await;
}

#[tokio::test]
async fn an_order_that_was_taken_without_anybody_hearing_of_it_goes_on() {
    if postgres::left_out() {
        return;
    }
    let home = Home::on(Peer::shared(System::RabbitMq)).await;
    let (mut bridge, order) = waiting(&home).await;
    // As the server leaves it that commits and whose answer gets lost: the process that it names lives on, and is not at it.
    let taken = "UPDATE orders SET state = 'sending', generation = generation + 1, attempt = 1, \
                 holder = (SELECT name FROM lease WHERE name LIKE 'sender/%') WHERE id = $1";
    let mut connection = sqlx::postgres::PgConnection::connect(&home.url()).await.unwrap();
    let done = sqlx::query(taken).bind(&order.id).execute(&mut connection).await.unwrap();
    assert_eq!(done.rows_affected(), 1);
    bridge.erp("erp").up.store(true, Ordering::SeqCst);
    accepted_in_time(&bridge, &order).await;
    bridge.stop().await;
}

#[tokio::test]
async fn a_queue_that_does_not_answer_is_named_with_what_mends_it() {
    if postgres::left_out() {
        return;
    }
    let mut home = Home::on(Peer::own(System::RabbitMq)).await;
    let vhost = home.vhost();
    let queue = Arc::new(home::rabbit(vhost, Arc::default()));
    let (stop, stopped) = watch::channel(false);
    let (_connections, connections) = watch::channel(vec!["erp".to_owned()]);
    let running = tokio::spawn({
        let queue = Arc::clone(&queue);
        async move { queue.run(connections, stopped).await }
    });
    queue.consume("erp", 1).await.unwrap();
    let leader = format!("{{'{}_{WORK}', node()}}", vhost.name());
    vhost.ctl(&["eval", &format!("sys:suspend({leader}).")]);
    let error = queue.consume("erp", 1).await.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("does not answer for it"), "{error}");
    assert!(error.contains(&format!("broker declare --replace {WORK}")), "{error}");
    vhost.ctl(&["eval", &format!("sys:resume({leader}).")]);
    queue.consume("erp", 1).await.unwrap();
    stop.send_replace(true);
    running.await.unwrap();
}

#[tokio::test]
async fn a_broker_short_of_memory_delays_orders_and_nothing_else() {
    if postgres::left_out() {
        return;
    }
    let mut home = Home::on(Peer::own(System::RabbitMq)).await;
    let mut bridge = Bridge::open(&home, &[("erp", UNIQUE)]).await;
    bridge.start();
    let before = bridge.post("erp", "S-1").await;
    bridge.until(&before, &[OrderState::Accepted]).await;
    home.vhost().ctl(&["set_vm_memory_high_watermark", "absolute", "1"]);
    let meanwhile = bridge.post("erp", "S-2").await;
    poll("the broker says so", async || bridge.queue.describe().contains("takes no publications")).await;
    assert_eq!(bridge.order(&meanwhile.id).await.state, OrderState::Queued);
    home.vhost().ctl(&["set_vm_memory_high_watermark", "absolute", "1GB"]);
    accepted_in_time(&bridge, &meanwhile).await;
    bridge.stop().await;
}

#[tokio::test]
async fn what_is_no_message_becomes_a_dead_letter_with_its_bytes_and_stops_nothing() {
    if postgres::left_out() {
        return;
    }
    let mut home = Home::on(Peer::shared(System::RabbitMq)).await;
    let mut bridge = Bridge::open(&home, &[("erp", UNIQUE)]).await;
    bridge.start();
    let first = bridge.post("erp", "S-1").await;
    bridge.until(&first, &[OrderState::Accepted]).await;
    home.vhost().put(WORK, "{\"order\": 7}").await;
    let second = bridge.post("erp", "S-2").await;
    bridge.until(&second, &[OrderState::Accepted]).await;
    bridge.until_true("a dead letter", async || !bridge.store.dead_letters(None, 1).await.unwrap().is_empty()).await;
    let letter = bridge.store.dead_letters(None, 1).await.unwrap().remove(0);
    assert_eq!((letter.bytes.as_slice(), letter.message), (&b"{\"order\": 7}"[..], None));
    assert!(letter.reason.contains("no message of an order's step"), "{}", letter.reason);
    bridge.stop().await;
}

#[tokio::test]
async fn a_queue_of_another_kind_is_named_with_what_mends_it_and_holds_up_no_other() {
    if postgres::left_out() {
        return;
    }
    let mut home = Home::on(Peer::shared(System::RabbitMq)).await;
    let vhost: &Vhost = home.vhost();
    vhost.declare("tradebridge.orders.work.second", json!({ "x-queue-type": "classic" })).await;
    let mut bridge = Bridge::open(&home, &[("erp", UNIQUE), ("second", UNIQUE)]).await;
    bridge.start();
    poll("the fault is told", async || {
        let told = bridge.queue.describe();
        told.contains("inequivalent arg") && told.contains("broker declare --replace tradebridge.orders.work.second")
    })
    .await;
    let (held_up, other) = (bridge.post("second", "S-1").await, bridge.post("erp", "S-2").await);
    accepted_in_time(&bridge, &other).await;
    assert_eq!(bridge.order(&held_up.id).await.state, OrderState::Queued);
    home.vhost().delete("tradebridge.orders.work.second").await;
    poll("the order goes on", async || {
        bridge.clock.move_on(Duration::from_secs(30));
        bridge.order(&held_up.id).await.state == OrderState::Accepted
    })
    .await;
    bridge.stop().await;
}

#[tokio::test]
async fn what_the_broker_gave_up_is_kept_with_its_bytes_and_its_order_is_not_lost() {
    if postgres::left_out() {
        return;
    }
    let mut home = Home::on(Peer::shared(System::RabbitMq)).await;
    let (mut bridge, order) = waiting(&home).await;
    holds(&bridge, 1).await;
    // As if every process died that reads it.
    let client = Client::of(home.vhost(), "guest").await;
    client.give_back(WORK).await;
    poll("a dead letter", async || !bridge.store.dead_letters(None, 1).await.unwrap().is_empty()).await;
    let letter = bridge.store.dead_letters(None, 1).await.unwrap().remove(0);
    let bytes: Value = serde_json::from_slice(&letter.bytes).unwrap();
    assert_eq!((letter.connection.as_str(), &bytes["order"]), ("erp", &json!(order.id)));
    for told in [order.id.as_str(), "delivered too often", "not lost", WORK] {
        assert!(letter.reason.contains(told), "{told}: {}", letter.reason);
    }
    poll("it left the broker", async || home.vhost().messages("tradebridge.dead").await == 0).await;
    bridge.erp("erp").up.store(true, Ordering::SeqCst);
    accepted_in_time(&bridge, &order).await;
    bridge.stop().await;
}
