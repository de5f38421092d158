//! The ERP's answers move orders that were handed over, and those that do not fit are shown.

use super::*;

async fn bridge() -> (Home, Bridge) {
    let home = Home::new();
    let mut bridge = Bridge::open(&home, &[("erp", OPEN)]).await;
    bridge.erp("erp").conclusive.store(false, Ordering::SeqCst);
    bridge.start();
    (home, bridge)
}

async fn submitted(bridge: &Bridge, reference: &str) -> StoredOrder {
    bridge.erp("erp").script(reference, &[Fault::Submit]);
    let order = bridge.post("erp", reference).await;
    bridge.until(&order, &[OrderState::Submitted]).await
}

async fn answer(bridge: &Bridge, id: &str, answer: Value) {
    let mut answer = answer;
    answer["id"] = json!(id);
    bridge.put(PartKind::OrderStatus, id, "", answer).await;
}

async fn conflicts(bridge: &Bridge, count: usize) -> Vec<String> {
    let store = &bridge.store;
    bridge.until_true("a conflict", async || store.conflicts(None, 10).await.unwrap().len() == count).await;
    store.conflicts(None, 10).await.unwrap().into_iter().map(|conflict| conflict.reason).collect()
}

#[tokio::test]
async fn an_accepted_order_has_its_number_its_lines_and_its_documents() {
    let (_home, mut bridge) = bridge().await;
    let order = submitted(&bridge, "S-1").await;
    let lines = json!([{"id": "1", "product": "KGL-15", "confirmed": "5", "confirmed_date": "2026-11-30"}]);
    let accepted = json!({
        "reference": order.our_reference, "number": "VO1", "customer": "10000", "state": "accepted", "lines": lines,
    });
    answer(&bridge, "VO1", accepted).await;
    let done = bridge.until(&order, &[OrderState::Accepted]).await;
    assert_eq!(done.erp_number.as_deref(), Some("VO1"));
    let last = bridge.transitions(&order.id).await.pop().unwrap();
    assert_eq!((last.from, last.who.as_str()), (Some(OrderState::Submitted), "erp"));

    // The rest comes in a table of its own, and by the ERP's number alone.
    bridge.put(PartKind::OrderStatusLine, "VO1", "2", json!({"id": "2", "confirmed": "2.5"})).await;
    let shown = async || bridge.desk.show(&order.id, &operator()).await.unwrap();
    bridge.until_true("both lines", async || shown().await.lines.len() == 2).await;
    bridge.put(PartKind::Shipment, "P1", "", json!({"number": "P1", "customer": "10000", "orders": ["VO1"]})).await;
    let invoice = json!({"number": "F1", "customer": "10000", "orders": ["VO1"], "currency": "EUR", "total": "12.50"});
    bridge.put(PartKind::Invoice, "F1", "", invoice).await;
    // Something that follows in the feed says when they are taken in.
    answer(&bridge, "X", json!({"reference": "TB-NIET-VAN-ONS", "state": "accepted"})).await;
    conflicts(&bridge, 1).await;
    let shown = shown().await;
    let documents: Vec<_> = shown.documents.iter().map(|d| d.key.number.as_str()).collect();
    assert_eq!(documents, ["P1", "F1"]);
    assert_eq!(shown.lines[0].content["confirmed_date"], "2026-11-30");
    assert_eq!(shown.transitions.len(), 5, "the same answer again is no transition");

    answer(&bridge, "VO1", json!({"number": "VO1", "customer": "10000", "state": "cancelled", "reason": "op verzoek"}))
        .await;
    let off = bridge.until(&order, &[OrderState::Cancelled]).await;
    assert_eq!(off.reason.as_deref(), Some("op verzoek"));
    bridge.stop().await;
}

#[tokio::test]
async fn a_rejected_order_shows_the_erps_own_words_and_can_be_accepted_after_all() {
    let (_home, mut bridge) = bridge().await;
    let order = submitted(&bridge, "S-1").await;
    let rejected = json!({"reference": order.our_reference, "state": "rejected", "reason": "Artikel geblokkeerd"});
    answer(&bridge, &order.our_reference, rejected).await;
    let done = bridge.until(&order, &[OrderState::Rejected]).await;
    assert_eq!(done.reason.as_deref(), Some("Artikel geblokkeerd"));

    // An operator has it sent again; the old answer does not reject the new attempt.
    bridge.clock.move_to(Timestamp::now().checked_add(hours(1)).unwrap());
    bridge.desk.retry(&order.id, &operator()).await.unwrap();
    bridge.erp("erp").script("S-1", &[Fault::Submit]);
    bridge.until(&order, &[OrderState::Submitted]).await;
    let accepted = json!({"reference": order.our_reference, "number": "VO9", "state": "accepted"});
    answer(&bridge, &order.our_reference, accepted).await;
    assert_eq!(bridge.until(&order, &[OrderState::Accepted]).await.erp_number.as_deref(), Some("VO9"));

    let second = submitted(&bridge, "S-2").await;
    let says =
        |state: &str| json!({"reference": second.our_reference, "number": "VO10", "state": state, "reason": "x"});
    answer(&bridge, &second.our_reference, says("rejected")).await;
    bridge.until(&second, &[OrderState::Rejected]).await;
    answer(&bridge, &second.our_reference, says("accepted")).await;
    bridge.until(&second, &[OrderState::Accepted]).await;
    assert_eq!(bridge.erp("erp").creates(), 3);
    bridge.stop().await;
}

#[tokio::test]
async fn an_answer_settles_what_nobody_could_tell() {
    let (_home, mut bridge) = bridge().await;
    bridge.erp("erp").script("S-1", &[Fault::Hang]);
    let order = bridge.post("erp", "S-1").await;
    bridge.until(&order, &[OrderState::NeedsReview]).await;
    answer(&bridge, "VO1", json!({"reference": order.our_reference, "number": "VO1", "state": "accepted"})).await;
    bridge.until(&order, &[OrderState::Accepted]).await;
    bridge.stop().await;
}

#[tokio::test]
async fn an_order_that_the_erp_has_is_not_sent_although_the_store_says_it_was_not() {
    let home = Home::new();
    let mut bridge = Bridge::open(&home, &[("erp", OPEN)]).await;
    bridge.erp("erp").up.store(false, Ordering::SeqCst);
    let order = bridge.post("erp", "S-1").await;
    bridge.start();
    bridge.until_true("the connection is paused", async || bridge.orders.paused().contains_key("erp")).await;
    answer(&bridge, "VO1", json!({"reference": order.our_reference, "number": "VO1", "state": "accepted"})).await;
    bridge.when(&order.id, |order| order.state == OrderState::Accepted, false).await;
    bridge.erp("erp").up.store(true, Ordering::SeqCst);
    let back = async || bridge.orders.paused().is_empty();
    bridge.as_time_passes("the connection is back", Duration::from_hours(2), back).await;
    let next = bridge.post("erp", "S-2").await;
    bridge.until(&next, &[OrderState::Accepted]).await;
    assert_eq!(bridge.erp("erp").executed(&order), 0);
    bridge.stop().await;
}

#[tokio::test]
async fn answers_that_do_not_fit_are_shown_and_change_nothing_behind_anyones_back() {
    let (_home, mut bridge) = bridge().await;
    let order = submitted(&bridge, "S-1").await;
    let ours = order.our_reference.clone();
    answer(&bridge, "A", json!({"reference": "TB-NIET-VAN-ONS", "number": "VO5", "state": "accepted"})).await;
    assert!(conflicts(&bridge, 1).await[0].contains("no order has the reference"));
    answer(&bridge, "B", json!({"reference": ours, "state": "accepted"})).await;
    assert!(
        conflicts(&bridge, 2).await[0].contains("without a number")
            || conflicts(&bridge, 2).await[1].contains("without a number")
    );
    assert_eq!(bridge.order(&order.id).await.state, OrderState::Submitted);

    answer(&bridge, "B", json!({"reference": ours, "number": "VO1", "customer": "10000", "state": "accepted"})).await;
    bridge.until(&order, &[OrderState::Accepted]).await;
    conflicts(&bridge, 1).await;
    answer(&bridge, "C", json!({"reference": ours, "number": "VO2", "state": "accepted"})).await;
    conflicts(&bridge, 2).await;
    let shown = bridge.desk.show(&order.id, &operator()).await.unwrap();
    assert!(shown.conflicts[0].reason.contains("VO2") && shown.conflicts[0].reason.contains("VO1"));
    assert_eq!(shown.order.erp_number.as_deref(), Some("VO1"));

    let second = submitted(&bridge, "S-2").await;
    let strange = json!({"reference": second.our_reference, "number": "VO3", "customer": "77777", "state": "accepted"});
    answer(&bridge, "D", strange).await;
    let review = bridge.until(&second, &[OrderState::NeedsReview, OrderState::Accepted]).await;
    assert_eq!(review.state, OrderState::NeedsReview);
    assert!(review.reason.as_deref().unwrap().contains("77777"), "{:?}", review.reason);
    let third = submitted(&bridge, "S-3").await;
    answer(&bridge, "E", json!({"reference": third.our_reference, "number": "VO1", "state": "accepted"})).await;
    conflicts(&bridge, 4).await;
    assert_eq!(bridge.order(&third.id).await.state, OrderState::Submitted);
    bridge.stop().await;
}
