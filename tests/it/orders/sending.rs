//! Sending: every fault in every class, the connection that is down, the queue that is full, the shutdown.

use super::*;

const FAULTS: [Fault; 12] = [
    Fault::None,
    Fault::Submit,
    Fault::ExecuteThenFail,
    Fault::Late,
    Fault::NotExecuted,
    Fault::Busy,
    Fault::Down,
    Fault::Reject,
    Fault::Hang,
    Fault::ExecuteThenHang,
    Fault::Panic,
    Fault::ExecuteThenPanic,
];

/// Posts an order for every pair of faults and follows each to where it rests; at most one create is ever executed.
async fn every_pair_of_faults(class: CreateClass, conclusive: bool) {
    let home = Home::new();
    let mut bridge = Bridge::open(&home, &[("erp", class)]).await;
    bridge.erp("erp").conclusive.store(conclusive, Ordering::SeqCst);
    bridge.start();
    let rest = [OrderState::Accepted, OrderState::Submitted, OrderState::Rejected, OrderState::NeedsReview];
    for first in FAULTS {
        for second in FAULTS {
            let reference = format!("{first:?}-{second:?}");
            bridge.erp("erp").script(&reference, &[first, second]);
            let order = bridge.post("erp", &reference).await;
            let order = bridge.until(&order, &rest).await;
            bridge.clock.move_on(SETTLE);
            let executed = bridge.erp("erp").executed(&order);
            let told = bridge.transitions(&order.id).await;
            assert!(executed <= 1, "{reference} is {}: executed {executed} times\n{told:#?}", order.state);
            match order.state {
                OrderState::Accepted => {
                    assert_eq!(executed, 1, "{reference}");
                    assert_eq!(order.erp_number, Some(number(&order)), "{reference}");
                }
                OrderState::Submitted => assert_eq!(executed, 1, "{reference}"),
                OrderState::Rejected => {
                    assert_eq!(executed, 0, "{reference}");
                    assert_eq!(order.reason.as_deref(), Some("Debiteur heeft geen krediet"), "the ERP's own words");
                }
                // A person is asked only where the system cannot tell.
                _ => assert!(
                    (class == OPEN && !conclusive) || (class == UNIQUE && second == Fault::Reject),
                    "{reference}\n{told:#?}"
                ),
            }
        }
    }
    bridge.stop().await;
}

#[tokio::test]
async fn never_lost_never_twice_where_the_system_refuses_duplicates() {
    every_pair_of_faults(UNIQUE, false).await;
}

#[tokio::test]
async fn never_lost_never_twice_where_attempts_settle() {
    every_pair_of_faults(BOUNDED, false).await;
}

#[tokio::test]
async fn never_lost_never_twice_where_nothing_is_promised() {
    every_pair_of_faults(OPEN, false).await;
}

#[tokio::test]
async fn where_not_finding_is_proof_an_open_create_is_repeated() {
    let home = Home::new();
    let mut bridge = Bridge::open(&home, &[("erp", OPEN)]).await;
    bridge.start();
    for fault in [Fault::Hang, Fault::Panic, Fault::ExecuteThenFail, Fault::ExecuteThenHang] {
        let reference = format!("{fault:?}");
        bridge.erp("erp").script(&reference, &[fault]);
        let order = bridge.post("erp", &reference).await;
        let order = bridge.until(&order, &[OrderState::Accepted, OrderState::NeedsReview]).await;
        assert_eq!((order.state, bridge.erp("erp").executed(&order)), (OrderState::Accepted, 1), "{reference}");
    }
    bridge.stop().await;
}

#[tokio::test]
async fn a_bounded_create_is_repeated_only_after_it_has_settled() {
    let home = Home::new();
    let mut bridge = Bridge::open(&home, &[("erp", BOUNDED)]).await;
    bridge.start();
    bridge.erp("erp").script("S-1", &[Fault::Late]);
    let order = bridge.post("erp", "S-1").await;
    let waits = bridge.when(&order.id, |o| o.state == OrderState::Unknown && o.postponed > 0, false).await;
    assert_eq!(waits.not_before, waits.changed_at.checked_add(SETTLE).ok());
    assert_eq!(bridge.erp("erp").creates(), 1);
    let done = bridge.until(&order, &[OrderState::Accepted]).await;
    assert_eq!((bridge.erp("erp").executed(&done), bridge.erp("erp").creates()), (1, 1), "found, not repeated");
    bridge.stop().await;
}

#[tokio::test]
async fn a_repeat_that_was_not_executed_leaves_the_doubt() {
    let home = Home::new();
    let mut bridge = Bridge::open(&home, &[("erp", UNIQUE)]).await;
    bridge.start();
    bridge.erp("erp").script("S-1", &[Fault::ExecuteThenFail, Fault::NotExecuted]);
    let order = bridge.post("erp", "S-1").await;
    let waits = bridge.when(&order.id, |o| o.attempt == 2 && o.state != OrderState::Sending, false).await;
    assert_eq!(waits.state, OrderState::Unknown, "queued, it could be cancelled although the system has it");
    let done = bridge.until(&order, &[OrderState::Accepted]).await;
    assert_eq!(bridge.erp("erp").executed(&done), 1);
    bridge.stop().await;
}

#[tokio::test]
async fn a_refused_repeat_does_not_hide_the_attempt_that_took_effect() {
    let home = Home::new();
    let mut bridge = Bridge::open(&home, &[("erp", UNIQUE)]).await;
    bridge.start();
    bridge.erp("erp").script("S-1", &[Fault::ExecuteThenFail, Fault::Reject]);
    let order = bridge.post("erp", "S-1").await;
    let done = bridge.until(&order, &[OrderState::Accepted, OrderState::Rejected]).await;
    assert_eq!((done.state, done.erp_number), (OrderState::Accepted, Some(number(&order))));
    bridge.stop().await;
}

#[tokio::test]
async fn a_connection_that_is_down_uses_up_no_attempts_and_delays_no_other() {
    let home = Home::new();
    let mut bridge = Bridge::open(&home, &[("erp", BOUNDED), ("second", UNIQUE)]).await;
    bridge.erp("erp").up.store(false, Ordering::SeqCst);
    bridge.start();
    let mut waiting = Vec::new();
    for n in 0..5 {
        waiting.push(bridge.post("erp", &format!("S-{n}")).await);
    }
    bridge.until_true("the connection is paused", async || bridge.orders.paused().contains_key("erp")).await;
    assert_eq!(bridge.orders.paused()["erp"].reason, "connection refused");
    for n in 0..5 {
        let other = bridge.post("second", &format!("T-{n}")).await;
        bridge.when(&other.id, |order| order.state == OrderState::Accepted, false).await;
    }
    // Hours of probes later.
    for _ in 0..10 {
        bridge.clock.move_on(Duration::from_hours(1));
        tokio::task::yield_now().await;
    }
    for order in &waiting {
        let order = bridge.order(&order.id).await;
        assert_eq!((order.state, order.attempt), (OrderState::Queued, 0));
    }
    bridge.erp("erp").up.store(true, Ordering::SeqCst);
    for order in &waiting {
        let done = bridge.until(order, &[OrderState::Accepted]).await;
        assert_eq!((done.attempt, bridge.erp("erp").executed(&done)), (1, 1));
    }
    assert!(bridge.orders.paused().is_empty());
    bridge.stop().await;
}

#[tokio::test]
async fn waits_grow_and_the_systems_own_wish_counts() {
    let home = Home::new();
    let mut bridge = Bridge::open(&home, &[("erp", BOUNDED)]).await;
    bridge.start();
    bridge.erp("erp").script("S-1", &[Fault::NotExecuted, Fault::NotExecuted, Fault::NotExecuted, Fault::Busy]);
    let order = bridge.post("erp", "S-1").await;
    let mut waits = Vec::new();
    for attempt in 1..=4 {
        let queued = bridge.when(&order.id, |o| o.state == OrderState::Queued && o.attempt == attempt, false).await;
        let wait = queued.not_before.unwrap().duration_since(queued.changed_at).as_secs_f64();
        waits.push(wait);
        bridge.clock.move_to(queued.not_before.unwrap());
    }
    assert!(waits.is_sorted(), "{waits:?}");
    assert!(waits[0] >= 4.0 && waits[2] >= 16.0, "{waits:?}");
    assert!(waits[3] >= 3600.0, "the system's own wish: {waits:?}");
    bridge.until(&order, &[OrderState::Accepted]).await;
    bridge.stop().await;
}

#[tokio::test]
async fn a_queue_with_little_room_loses_nothing() {
    let home = Home::new();
    let now = "2026-11-24T12:00:00Z".parse().unwrap();
    let mut bridge = Bridge::open_at(&home, &[("erp", UNIQUE), ("second", UNIQUE)], now, 2).await;
    let mut orders = Vec::new();
    for n in 0..40 {
        orders.push(bridge.post(if n % 2 == 0 { "erp" } else { "second" }, &format!("S-{n}")).await);
    }
    bridge.start();
    for order in &orders {
        let done = bridge.when(&order.id, |order| order.state == OrderState::Accepted, false).await;
        assert_eq!(bridge.erp(&done.connection).executed(&done), 1);
    }
    bridge.stop().await;
}

#[tokio::test]
async fn a_shutdown_waits_for_the_order_in_hand_and_begins_no_other() {
    let home = Home::new();
    let mut bridge = Bridge::open(&home, &[("erp", BOUNDED)]).await;
    bridge.erp("erp").script("S-1", &[Fault::ExecuteThenHang]);
    let (first, second) = (bridge.post("erp", "S-1").await, bridge.post("erp", "S-2").await);
    bridge.start();
    bridge.until_true("the first is in hand", async || bridge.erp("erp").hanging.load(Ordering::SeqCst) > 0).await;
    bridge.stop.send_replace(true);
    assert_eq!(bridge.order(&first.id).await.state, OrderState::Sending);
    bridge.clock.move_on(TIMEOUT);
    bridge.running.take().unwrap().await.unwrap().unwrap();
    assert_eq!(bridge.order(&first.id).await.state, OrderState::Unknown, "its outcome is committed");
    assert_eq!(bridge.order(&second.id).await.state, OrderState::Queued);
    assert_eq!(bridge.erp("erp").creates(), 1);
}

#[tokio::test]
async fn a_connection_added_by_a_reload_gets_the_orders_that_waited_for_it() {
    let home = Home::new();
    let mut bridge = Bridge::open(&home, &[("erp", UNIQUE), ("second", UNIQUE)]).await;
    bridge.orders.set_targets(Targets::from([("erp".to_owned(), target(&bridge.erps["erp"]))]));
    bridge.start();
    let (here, there) = (bridge.post("erp", "S-1").await, bridge.post("second", "S-2").await);
    bridge.until(&here, &[OrderState::Accepted]).await;
    assert_eq!(bridge.order(&there.id).await.state, OrderState::Queued);
    bridge.orders.set_targets(Targets::from([("second".to_owned(), target(&bridge.erps["second"]))]));
    bridge.until(&there, &[OrderState::Accepted]).await;
    let waits = bridge.post("erp", "S-3").await;
    bridge.orders.set_targets(bridge.erps.iter().map(|(name, erp)| (name.clone(), target(erp))).collect());
    bridge.until(&waits, &[OrderState::Accepted]).await;
    bridge.stop().await;
}

/// Has a connection take so many orders side by side.
fn side_by_side(bridge: &Bridge, concurrency: usize) {
    let targets = bridge.erps.iter().map(|(name, erp)| (name.clone(), Target { concurrency, ..target(erp) }));
    bridge.orders.set_targets(targets.collect());
}

/// Waits until so many creates hang.
async fn hang(bridge: &Bridge, count: u32) {
    bridge.until_true("creates under way", async || bridge.erp("erp").hanging.load(Ordering::SeqCst) == count).await;
}

#[tokio::test]
async fn several_orders_are_sent_side_by_side_and_no_more_than_that() {
    let home = Home::new();
    let mut bridge = Bridge::open(&home, &[("erp", BOUNDED)]).await;
    side_by_side(&bridge, 3);
    bridge.start();
    let mut orders = Vec::new();
    for n in 0..6 {
        let reference = format!("S-{n}");
        // The first is finished last.
        bridge.erp("erp").script(&reference, if n == 0 || n > 2 { &[Fault::Hang] } else { &[] });
        orders.push(bridge.post("erp", &reference).await);
    }
    for order in &orders[1..3] {
        bridge.when(&order.id, |order| order.state == OrderState::Accepted, false).await;
    }
    hang(&bridge, 3).await;
    assert_eq!(bridge.erp("erp").creates(), 5, "one order waits for a hand that is free");
    for order in &orders {
        let done = bridge.until(order, &[OrderState::Accepted]).await;
        assert_eq!(bridge.erp("erp").executed(&done), 1);
    }
    bridge.stop().await;
}

#[tokio::test]
async fn one_order_that_finds_the_connection_down_stops_those_beside_it() {
    let home = Home::new();
    let mut bridge = Bridge::open(&home, &[("erp", BOUNDED)]).await;
    side_by_side(&bridge, 3);
    bridge.start();
    bridge.erp("erp").script("S-1", &[Fault::ExecuteThenHang]);
    let first = bridge.post("erp", "S-1").await;
    hang(&bridge, 1).await;
    bridge.erp("erp").script("S-2", &[Fault::Down]);
    let second = bridge.post("erp", "S-2").await;
    bridge.when(&second.id, |order| order.state == OrderState::Queued && order.reason.is_some(), false).await;
    let third = bridge.post("erp", "S-3").await;
    // The one that is under way is waited for.
    bridge.clock.move_on(TIMEOUT);
    bridge.until_true("the pause", async || bridge.orders.paused().contains_key("erp")).await;
    assert_eq!(bridge.erp("erp").creates(), 2);
    assert_eq!(bridge.order(&third.id).await.state, OrderState::Queued);
    for order in [&first, &second, &third] {
        let done = bridge.until(order, &[OrderState::Accepted]).await;
        assert_eq!(bridge.erp("erp").executed(&done), 1);
    }
    bridge.stop().await;
}
