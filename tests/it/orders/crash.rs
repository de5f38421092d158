//! The daemon dies at each step of an order's way, and the next one goes on.

use super::*;

/// One life of the daemon: what it does, and then everything it has is dropped where it stands.
fn life<T>(home: &Home, class: CreateClass, now: Timestamp, live: impl AsyncFnOnce(&mut Bridge) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let result = runtime.block_on(async {
        let mut bridge = Bridge::open_at(home, &[("erp", class)], now, 1000).await;
        live(&mut bridge).await
    });
    // Tasks are dropped at whatever they wait for, as a killed process leaves them.
    drop(runtime);
    result
}

fn noon() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

/// What the ERP has done survives the daemon.
fn transfer(from: &Erp, to: &Erp) {
    let (mut from, mut to) = (from.state.lock().unwrap(), to.state.lock().unwrap());
    to.executed = std::mem::take(&mut from.executed);
    to.handed_over = std::mem::take(&mut from.handed_over);
}

/// Lives until a point, dies there, and lives on to where the order rests; says how often its create was executed.
fn die_at(class: CreateClass, fault: Option<Fault>, point: &impl AsyncFn(&Bridge, &StoredOrder)) -> (StoredOrder, u32) {
    let home = Home::new();
    let (order, erp) = life(&home, class, noon(), async |bridge| {
        if let Some(fault) = fault {
            bridge.erp("erp").script("S-1", &[fault]);
            bridge.start();
        }
        let order = bridge.post("erp", "S-1").await;
        point(bridge, &order).await;
        (order, Arc::clone(&bridge.erps["erp"]))
    });
    let later = noon().checked_add(hours(1)).unwrap();
    life(&home, class, later, async |bridge| {
        transfer(&erp, bridge.erp("erp"));
        bridge.start();
        let rest = [OrderState::Accepted, OrderState::NeedsReview, OrderState::Submitted];
        let order = bridge.until(&order, &rest).await;
        bridge.clock.move_on(SETTLE);
        let executed = bridge.erp("erp").executed(&order);
        bridge.stop().await;
        (order, executed)
    })
}

async fn in_hand(bridge: &Bridge, order: &StoredOrder) {
    bridge.when(&order.id, |order| order.state == OrderState::Sending, false).await;
    bridge.until_true("the call hangs", async || bridge.erp("erp").hanging.load(Ordering::SeqCst) > 0).await;
}

async fn state(bridge: &Bridge, order: &StoredOrder, state: OrderState) {
    bridge.when(&order.id, |order| order.state == state, false).await;
}

#[test]
fn after_it_was_accepted() {
    for class in [UNIQUE, BOUNDED, OPEN] {
        let (order, executed) = die_at(class, None, &async |_: &Bridge, _: &StoredOrder| {});
        assert_eq!((order.state, executed), (OrderState::Accepted, 1), "{class:?}");
    }
}

#[test]
fn during_a_call_that_did_not_execute() {
    for class in [UNIQUE, BOUNDED, OPEN] {
        let (order, executed) = die_at(class, Some(Fault::Hang), &in_hand);
        assert_eq!((order.state, executed, order.attempt), (OrderState::Accepted, 1, 2), "{class:?}");
    }
}

#[test]
fn during_a_call_that_executed() {
    for class in [UNIQUE, BOUNDED, OPEN] {
        let (order, executed) = die_at(class, Some(Fault::ExecuteThenHang), &in_hand);
        assert_eq!((order.state, executed), (OrderState::Accepted, 1), "{class:?}");
    }
}

#[test]
fn while_nobody_could_tell() {
    let unknown = async |bridge: &Bridge, order: &StoredOrder| state(bridge, order, OrderState::Unknown).await;
    let (order, executed) = die_at(BOUNDED, Some(Fault::Late), &unknown);
    // The attempt that was to take effect late died with the system here; the repeat is the only one.
    assert_eq!((order.state, executed), (OrderState::Accepted, 1));
    let (order, executed) = die_at(OPEN, Some(Fault::ExecuteThenFail), &unknown);
    assert_eq!((order.state, executed, order.attempt), (OrderState::Accepted, 1, 1));
}

#[test]
fn while_it_waited_for_the_next_attempt() {
    let waits = async |bridge: &Bridge, order: &StoredOrder| {
        bridge.when(&order.id, |order| order.state == OrderState::Queued && order.attempt == 1, false).await;
    };
    let (order, executed) = die_at(OPEN, Some(Fault::NotExecuted), &waits);
    assert_eq!((order.state, executed, order.attempt), (OrderState::Accepted, 1, 2));
}

#[test]
fn while_it_waited_for_the_answer() {
    let handed_over = async |bridge: &Bridge, order: &StoredOrder| state(bridge, order, OrderState::Submitted).await;
    let (order, executed) = die_at(OPEN, Some(Fault::Submit), &handed_over);
    assert_eq!((order.state, executed, order.attempt), (OrderState::Submitted, 1, 1));
}

#[test]
fn while_the_connection_was_down() {
    let paused = async |bridge: &Bridge, _: &StoredOrder| {
        bridge.until_true("the connection is paused", async || bridge.orders.paused().contains_key("erp")).await;
    };
    let (order, executed) = die_at(BOUNDED, Some(Fault::Down), &paused);
    assert_eq!((order.state, executed, order.attempt), (OrderState::Accepted, 1, 1));
}

#[test]
fn with_hundreds_of_orders_at_every_stage() {
    let home = Home::new();
    let faults = [Fault::None, Fault::ExecuteThenFail, Fault::NotExecuted, Fault::Submit, Fault::Panic];
    let reference = |n: usize| format!("S-{n:03}");
    let (orders, erp) = life(&home, OPEN, noon(), async |bridge| {
        let mut orders = Vec::new();
        for n in 0..200 {
            bridge.erp("erp").script(&reference(n), &[faults[n % faults.len()]]);
            orders.push(bridge.post("erp", &reference(n)).await);
        }
        bridge.start();
        // Somewhere in the middle of it all.
        bridge.until_true("half of them", async || bridge.erp("erp").creates() >= 100).await;
        (orders, Arc::clone(&bridge.erps["erp"]))
    });
    life(&home, OPEN, noon(), async |bridge| {
        transfer(&erp, bridge.erp("erp"));
        bridge.start();
        for order in &orders {
            let order = bridge.until(order, &[OrderState::Accepted, OrderState::Submitted]).await;
            assert_eq!(bridge.erp("erp").executed(&order), 1, "{}", order.reference);
        }
        bridge.stop().await;
    });
}
