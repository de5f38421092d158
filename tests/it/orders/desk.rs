//! What people do about orders, and what time does.

use super::*;
use tradebridge::orders::{DeadFilter, DeskError};
use tradebridge::store::OrderFilter;

fn at_most(limit: u32) -> DeadFilter {
    DeadFilter { limit, ..DeadFilter::default() }
}

async fn bridge(class: CreateClass) -> (Home, Bridge) {
    let home = Home::new();
    let mut bridge = Bridge::open(&home, &[("erp", class)]).await;
    bridge.start();
    (home, bridge)
}

#[tokio::test]
async fn an_order_that_was_never_sent_is_given_up_and_taken_up_again() {
    let (_home, mut bridge) = bridge(BOUNDED).await;
    bridge.erp("erp").script("S-1", &[Fault::NotExecuted]);
    let order = bridge.post("erp", "S-1").await;
    bridge.when(&order.id, |o| o.state == OrderState::Queued && o.attempt == 1, false).await;
    // Meanwhile the connection goes, and three days pass.
    bridge.erp("erp").up.store(false, Ordering::SeqCst);
    bridge.clock.move_on(Duration::from_hours(73));
    let dead = bridge.when(&order.id, |o| o.state == OrderState::Dead, true).await;
    assert!(dead.reason.as_deref().unwrap().contains("given up after"), "{:?}", dead.reason);
    let shown = bridge.desk.dead(&at_most(10)).await.unwrap();
    assert_eq!((shown.len(), shown[0].id.as_str()), (1, order.id.as_str()));
    bridge.erp("erp").up.store(true, Ordering::SeqCst);
    let retried = bridge.desk.retry(&order.id, &operator()).await.unwrap();
    assert_eq!(retried.state, OrderState::Queued, "nothing was ever sent");
    let done = bridge.until(&order, &[OrderState::Accepted, OrderState::Dead]).await;
    assert_eq!((done.state, bridge.erp("erp").executed(&done)), (OrderState::Accepted, 1));
    assert!(bridge.desk.dead(&at_most(10)).await.unwrap().is_empty());
    bridge.stop().await;
}

#[tokio::test]
async fn an_order_in_doubt_is_given_up_and_found_when_taken_up_again() {
    let (_home, mut bridge) = bridge(BOUNDED).await;
    bridge.erp("erp").script("S-1", &[Fault::ExecuteThenFail]);
    bridge.erp("erp").conclusive.store(false, Ordering::SeqCst);
    let order = bridge.post("erp", "S-1").await;
    bridge.erp("erp").script("S-2", &[Fault::Late]);
    let late = bridge.post("erp", "S-2").await;
    bridge.until(&order, &[OrderState::Accepted]).await;
    bridge.when(&late.id, |o| o.state == OrderState::Unknown && o.postponed > 0, false).await;
    bridge.erp("erp").up.store(false, Ordering::SeqCst);
    bridge.clock.move_on(Duration::from_hours(73));
    bridge.when(&late.id, |o| o.state == OrderState::Dead, true).await;
    bridge.erp("erp").up.store(true, Ordering::SeqCst);
    bridge.desk.retry_dead(&late.id, &operator()).await.unwrap();
    let done = bridge.until(&late, &[OrderState::Accepted]).await;
    assert_eq!(bridge.erp("erp").executed(&done), 1, "it was there, and is not sent again");
    let passed: Vec<_> = bridge.transitions(&late.id).await.into_iter().map(|t| t.to).collect();
    assert!(passed.windows(2).any(|pair| pair == [OrderState::Dead, OrderState::Unknown]), "{passed:?}");
    bridge.stop().await;
}

#[tokio::test]
async fn a_rejected_order_is_retried_after_the_cause_is_mended() {
    for class in [UNIQUE, BOUNDED, OPEN] {
        let (_home, mut bridge) = bridge(class).await;
        bridge.erp("erp").conclusive.store(false, Ordering::SeqCst);
        bridge.erp("erp").script("S-1", &[Fault::Reject]);
        let order = bridge.post("erp", "S-1").await;
        bridge.until(&order, &[OrderState::Rejected]).await;
        bridge.desk.retry(&order.id, &operator()).await.unwrap();
        let done = bridge.until(&order, &[OrderState::Accepted, OrderState::NeedsReview]).await;
        assert_eq!((done.state, bridge.erp("erp").executed(&done)), (OrderState::Accepted, 1), "{class:?}");
        bridge.stop().await;
    }
}

#[tokio::test]
async fn a_person_decides_what_the_system_cannot_tell() {
    let (_home, mut bridge) = bridge(OPEN).await;
    bridge.erp("erp").conclusive.store(false, Ordering::SeqCst);
    let mut orders = Vec::new();
    for n in 0..4 {
        let reference = format!("S-{n}");
        bridge.erp("erp").script(&reference, &[Fault::Hang]);
        let order = bridge.post("erp", &reference).await;
        orders.push(bridge.until(&order, &[OrderState::NeedsReview]).await);
    }
    let [first, second, third, fourth] = orders.try_into().unwrap();
    assert!(first.reason.as_deref().unwrap().contains("resolve"), "says what to do: {:?}", first.reason);

    let shop = Actor::Shop("b2b".to_owned());
    assert!(matches!(bridge.desk.cancel(&first.id, &shop).await, Err(DeskError::NotYours { .. })));
    assert!(matches!(bridge.desk.retry(&first.id, &shop).await, Err(DeskError::NotYours { .. })));
    assert!(matches!(bridge.desk.resolve(&first.id, " ", &operator()).await, Err(DeskError::NoNumber)));
    let resolved = bridge.desk.resolve(&first.id, "VO77", &operator()).await.unwrap();
    assert_eq!((resolved.state, resolved.erp_number.as_deref()), (OrderState::Accepted, Some("VO77")));
    let taken = bridge.desk.resolve(&second.id, "VO77", &operator()).await.unwrap_err();
    assert!(matches!(&taken, DeskError::NumberTaken { order, .. } if *order == first.id), "{taken}");

    bridge.desk.cancel(&second.id, &operator()).await.unwrap();
    assert!(matches!(bridge.desk.retry(&second.id, &operator()).await, Err(DeskError::NotNow { .. })));

    // The person looked and found nothing: it is sent.
    bridge.desk.retry(&third.id, &operator()).await.unwrap();
    let done = bridge.until(&third, &[OrderState::Accepted]).await;
    assert_eq!(bridge.erp("erp").executed(&done), 1);
    // The person overlooked it: it is found.
    Erp::execute(&mut bridge.erp("erp").state.lock().unwrap(), OPEN, &fourth.our_reference);
    bridge.desk.retry(&fourth.id, &operator()).await.unwrap();
    let done = bridge.until(&fourth, &[OrderState::Accepted]).await;
    assert_eq!(bridge.erp("erp").executed(&done), 1);
    bridge.stop().await;
}

#[tokio::test]
async fn cancelling_races_with_sending_and_one_of_them_wins() {
    let (_home, mut bridge) = bridge(OPEN).await;
    let mut cancelled = 0;
    for n in 0..40 {
        let order = bridge.post("erp", &format!("S-{n}")).await;
        for _ in 0..n % 7 {
            tokio::task::yield_now().await;
        }
        let shop = Actor::Shop("b2b".to_owned());
        let won = match bridge.desk.cancel(&order.id, &shop).await {
            Ok(order) => order.state == OrderState::Cancelled,
            Err(DeskError::NotNow { .. } | DeskError::Changed(_)) => false,
            Err(error) => panic!("{error}"),
        };
        let end = bridge.until(&order, &[OrderState::Cancelled, OrderState::Accepted]).await;
        assert_eq!(end.state == OrderState::Cancelled, won);
        assert_eq!(bridge.erp("erp").executed(&end), u32::from(!won), "cancelled and executed exclude each other");
        cancelled += u32::from(won);
    }
    assert_eq!(bridge.erp("erp").creates(), 40 - cancelled);
    bridge.stop().await;
}

#[tokio::test]
async fn what_may_be_on_its_way_cannot_be_cancelled() {
    let (_home, mut bridge) = bridge(BOUNDED).await;
    bridge.erp("erp").script("S-1", &[Fault::Hang]);
    let order = bridge.post("erp", "S-1").await;
    bridge.when(&order.id, |order| order.state == OrderState::Sending, false).await;
    let refused = bridge.desk.cancel(&order.id, &operator()).await.unwrap_err();
    assert!(refused.to_string().contains("sending") && refused.to_string().contains("wait for"), "{refused}");
    bridge.until(&order, &[OrderState::Unknown]).await;
    assert!(matches!(bridge.desk.cancel(&order.id, &operator()).await, Err(DeskError::NotNow { .. })));
    bridge.until(&order, &[OrderState::Accepted]).await;
    bridge.stop().await;
}

#[tokio::test]
async fn a_shop_sees_and_touches_its_own_orders_alone() {
    let (_home, mut bridge) = bridge(UNIQUE).await;
    let order = bridge.post("erp", "S-1").await;
    let (own, other) = (Actor::Shop("b2b".to_owned()), Actor::Shop("outlet".to_owned()));
    let filter = OrderFilter { limit: 10, ..OrderFilter::default() };
    assert_eq!(bridge.desk.list(&filter, &own).await.unwrap().len(), 1);
    assert!(bridge.desk.list(&filter, &other).await.unwrap().is_empty());
    assert_eq!(bridge.desk.show(&order.id, &own).await.unwrap().order.reference, "S-1");
    assert!(matches!(bridge.desk.show(&order.id, &other).await, Err(DeskError::NoOrder(_))));
    assert!(matches!(bridge.desk.cancel(&order.id, &other).await, Err(DeskError::NoOrder(_))));
    bridge.stop().await;
}

#[tokio::test]
async fn an_answer_that_is_late_raises_one_alarm() {
    let (_home, mut bridge) = bridge(OPEN).await;
    bridge.erp("erp").script("S-1", &[Fault::Submit]);
    let order = bridge.post("erp", "S-1").await;
    bridge.until(&order, &[OrderState::Submitted]).await;
    let late = async || bridge.order(&order.id).await.overdue;
    bridge.as_time_passes("an alarm", Duration::from_hours(25), late).await;
    let late = bridge.order(&order.id).await;
    assert_eq!(late.state, OrderState::Submitted);
    let counts = bridge.store.order_counts().await.unwrap();
    assert_eq!((counts[0].state, counts[0].overdue), (OrderState::Submitted, 1));
    assert!(late.submitted_at.unwrap().duration_until(bridge.clock.now()) >= hours(24));
    bridge.stop().await;
}

#[tokio::test]
async fn after_a_restore_nothing_open_is_sent_before_it_is_searched() {
    let home = Home::new();
    let mut bridge = Bridge::open(&home, &[("erp", OPEN)]).await;
    let (known, fresh) = (bridge.post("erp", "S-1").await, bridge.post("erp", "S-2").await);
    let mut blocked = order("S-3");
    blocked["customer"] = json!("20000");
    blocked.as_object_mut().unwrap().shift_remove("ship_to");
    let held = bridge.accept("erp", blocked).await.unwrap().order;
    // After the backup was made, the first was sent.
    Erp::execute(&mut bridge.erp("erp").state.lock().unwrap(), OPEN, &known.our_reference);
    assert_eq!(bridge.desk.recover(&operator()).await.unwrap(), 3);
    bridge.start();
    let done = bridge.until(&known, &[OrderState::Accepted]).await;
    assert_eq!(bridge.erp("erp").executed(&done), 1);
    let done = bridge.until(&fresh, &[OrderState::Accepted]).await;
    assert_eq!(bridge.erp("erp").executed(&done), 1);
    let held = bridge.until(&held, &[OrderState::NeedsReview, OrderState::Accepted]).await;
    assert_eq!(held.state, OrderState::NeedsReview, "what nobody let through is not sent");
    bridge.stop().await;
}

#[tokio::test]
async fn one_unreadable_order_stops_no_other_and_is_not_forgotten() {
    let home = Home::new();
    let mut bridge = Bridge::open(&home, &[("erp", UNIQUE)]).await;
    let (bad, good) = (bridge.post("erp", "S-1").await, bridge.post("erp", "S-2").await);
    let damage = async |content: &str| {
        home.execute(&format!("UPDATE orders SET content = '{content}' WHERE reference = 'S-1'")).await;
    };
    damage("{").await;
    bridge.start();
    bridge.until(&good, &[OrderState::Accepted]).await;
    bridge.until_true("a dead letter", async || !bridge.store.dead_letters(None, 1).await.unwrap().is_empty()).await;
    let letter = bridge.store.dead_letters(None, 1).await.unwrap().remove(0);
    assert!(letter.reason.contains("cannot be read"), "{}", letter.reason);
    let shown = bridge.desk.show_dead(&letter.id).await.unwrap();
    assert!(shown.message.unwrap().contains(&bad.id));
    damage(&bad.content.to_string()).await;
    bridge.desk.retry_dead(&letter.id, &operator()).await.unwrap();
    bridge.until(&bad, &[OrderState::Accepted]).await;
    bridge.stop().await;
}

#[tokio::test]
async fn what_is_dropped_says_who_did_it_and_why() {
    let home = Home::new();
    let mut bridge = Bridge::open(&home, &[("erp", BOUNDED)]).await;
    let (bad, late) = (bridge.post("erp", "S-1").await, bridge.post("erp", "S-2").await);
    home.execute("UPDATE orders SET content = '{' WHERE reference = 'S-1'").await;
    bridge.erp("erp").up.store(false, Ordering::SeqCst);
    bridge.start();
    bridge.until_true("a dead letter", async || !bridge.store.dead_letters(None, 1).await.unwrap().is_empty()).await;
    home.execute(&format!("UPDATE orders SET content = '{}' WHERE reference = 'S-1'", bad.content)).await;
    bridge.clock.move_on(Duration::from_hours(73));
    bridge.when(&late.id, |o| o.state == OrderState::Dead, true).await;
    let listed = bridge.desk.dead(&at_most(10)).await.unwrap();
    let letter = listed.iter().find(|one| one.order.is_none()).unwrap();
    let only = DeadFilter { reason: Some("CANNOT be read".to_owned()), ..at_most(10) };
    assert_eq!(bridge.desk.dead(&only).await.unwrap(), std::slice::from_ref(letter));
    let other = DeadFilter { connection: Some("other".to_owned()), ..at_most(10) };
    assert!(bridge.desk.dead(&other).await.unwrap().is_empty());

    assert!(matches!(bridge.desk.drop_dead(&letter.id, " ", &operator()).await, Err(DeskError::NoReason)));
    bridge.desk.drop_dead(&letter.id, "a test order", &operator()).await.unwrap();
    assert!(matches!(bridge.desk.drop_dead(&letter.id, "twice", &operator()).await, Err(DeskError::NoLetter(_))));
    bridge.desk.drop_dead(&late.id, "ordered by telephone", &operator()).await.unwrap();
    let order = bridge.order(&late.id).await;
    assert_eq!((order.state, order.reason.as_deref()), (OrderState::Cancelled, Some("ordered by telephone")));
    let last = bridge.transitions(&late.id).await.pop().unwrap();
    assert_eq!((last.cause.as_str(), last.who.as_str()), ("dropped: ordered by telephone", "operator jan"));
    assert!(bridge.desk.dead(&at_most(10)).await.unwrap().iter().all(|one| one.id != letter.id && one.id != late.id));
    let all = bridge.desk.dead(&DeadFilter { settled: true, ..at_most(10) }).await.unwrap();
    let trace = all.iter().find(|one| one.id == letter.id).unwrap();
    let settled = trace.settled.as_ref().unwrap();
    assert_eq!((settled.who.as_str(), settled.why.as_deref()), ("operator jan", Some("a test order")));
    assert_eq!(trace.message, letter.message, "with what it was");
    bridge.stop().await;
}

#[tokio::test]
async fn a_paused_connection_takes_no_order_until_it_is_resumed_even_across_a_restart() {
    let home = Home::new();
    let connections = [("erp", UNIQUE), ("second", UNIQUE)];
    let mut bridge = Bridge::open(&home, &connections).await;
    bridge.start();
    let before = bridge.post("erp", "S-1").await;
    bridge.until(&before, &[OrderState::Accepted]).await;
    assert!(matches!(bridge.desk.pause("erp", "", &operator()).await, Err(DeskError::NoReason)));
    bridge.desk.pause("erp", "the ERP is upgraded", &operator()).await.unwrap();
    // From here on no attempt begins, and once the senders know of it no delivery is held.
    let (waits, other) = (bridge.post("erp", "S-2").await, bridge.post("second", "S-3").await);
    bridge.until(&other, &[OrderState::Accepted]).await;
    let queue = Arc::clone(&bridge.queue);
    broker::poll("the message waits", async || queue.depth("erp").await.is_ok_and(|depth| depth == 1)).await;
    bridge.stop().await;
    drop(bridge);

    let mut bridge = Bridge::open(&home, &connections).await;
    bridge.start();
    let other = bridge.post("second", "S-4").await;
    bridge.until(&other, &[OrderState::Accepted]).await;
    assert_eq!((bridge.order(&waits.id).await.state, bridge.erp("erp").creates()), (OrderState::Queued, 0));
    assert!(bridge.desk.resume("erp", &operator()).await.unwrap());
    assert!(!bridge.desk.resume("erp", &operator()).await.unwrap());
    let done = bridge.until(&waits, &[OrderState::Accepted]).await;
    assert_eq!((bridge.erp("erp").executed(&done), done.attempt), (1, 1));
    bridge.stop().await;
}
