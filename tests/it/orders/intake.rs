//! Taking in orders: faults, repetitions, holds.

use super::*;

async fn bridge() -> (Home, Bridge) {
    let home = Home::new();
    let bridge = Bridge::open(&home, &[("erp", UNIQUE)]).await;
    (home, bridge)
}

fn faults(refused: std::result::Result<Accepted, IntakeError>) -> BTreeMap<String, String> {
    match refused {
        Err(IntakeError::Invalid(faults)) => faults.into_iter().map(|f| (f.pointer, f.message)).collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_order_is_completed_and_durable_before_it_is_accepted() {
    let (home, bridge) = bridge().await;
    let accepted = bridge.post("erp", "S-1").await;
    assert_eq!(accepted.content["company"], "NL01");
    assert_eq!(accepted.content["lines"][0]["unit"], json!({"code": "C62", "erp": "ST"}), "the base unit");
    assert_eq!(accepted.content["lines"][1]["number"], 2);
    assert!(accepted.our_reference.len() <= 35 && !accepted.our_reference.contains("S-1"));
    drop(bridge);
    let again = home.store().await;
    let stored = tradebridge::store::Orders::order(&again, &accepted.id).await.unwrap();
    assert_eq!(stored, Some(accepted));
}

#[tokio::test]
async fn every_fault_of_every_field_is_told_at_once() {
    let (_home, bridge) = bridge().await;
    let wrong = json!({
        "reference": "",
        "customer": "99999",
        "ship_to": {},
        "contct": "7",
        "currency": "EUX",
        "requested_date": "2026-13-01",
        "lines": [
            {"product": "KGL-15", "quantity": "0", "unit": "MTR"},
            {"product": "NIET-ER", "quantity": 5},
            {"product": "NIET-ER", "quantity": "1"},
            {"product": "TST-22", "quantity": "1", "note": "x", "number": 1},
        ],
        "text": "a\u{0}b",
    });
    let faults = faults(bridge.accept("erp", wrong).await);
    let pointers: Vec<&str> = faults.keys().map(String::as_str).collect();
    let expected = [
        "/contct",
        "/currency",
        "/customer",
        "/lines/0/quantity",
        "/lines/0/unit",
        "/lines/1/quantity",
        "/lines/2/product",
        "/lines/3/note",
        "/lines/3/number",
        "/reference",
        "/requested_date",
        "/ship_to",
        "/text",
    ];
    // The customer is not known, so nothing can be said about its addresses.
    let expected: Vec<&str> = expected.into_iter().filter(|p| *p != "/ship_to").collect();
    assert_eq!(pointers, expected, "{faults:#?}");
    assert!(faults["/contct"].contains("did you mean `contact`"), "{}", faults["/contct"]);
    assert!(faults["/lines/0/unit"].contains("C62 (ST), PK (D10)"), "{}", faults["/lines/0/unit"]);
    assert!(bridge.store.order_counts().await.unwrap().is_empty());

    for no_order in [json!([]), json!("x"), json!(null), json!({})] {
        assert!(!self::faults(bridge.accept("erp", no_order).await).is_empty());
    }
}

#[tokio::test]
async fn what_the_shop_does_not_see_it_cannot_order() {
    let (_home, bridge) = bridge().await;
    let with = |field: &str, value: Value| {
        let mut order = order("S-1");
        order[field] = value;
        order
    };
    for (field, value, pointer) in [
        ("customer", json!("30000"), "/customer"),
        ("company", json!("DE01"), "/company"),
        ("ship_to", json!({"id": "B7"}), "/ship_to/id"),
        ("bill_to", json!({}), "/bill_to"),
    ] {
        let faults = faults(bridge.accept("erp", with(field, value)).await);
        assert_eq!(faults.keys().collect::<Vec<_>>(), [pointer], "{faults:?}");
    }
    let mut blind = shop("erp");
    blind.connections = vec!["another".to_owned()];
    let refused = faults(bridge.intake.accept(&blind, order("S-1"), None).await);
    assert_eq!(refused.keys().collect::<Vec<_>>(), ["/customer", "/lines/0/product", "/lines/1/product"]);
    let mut wide = shop("erp");
    wide.companies.push("BE01".to_owned());
    assert!(faults(bridge.intake.accept(&wide, order("S-1"), None).await)["/company"].contains("NL01, BE01"));
    blind.orders_to = None;
    assert!(matches!(bridge.intake.accept(&blind, order("S-1"), None).await, Err(IntakeError::NoOrders(_))));
}

#[tokio::test]
async fn the_same_order_twenty_times_at_once_is_one_order() {
    let (_home, mut bridge) = bridge().await;
    bridge.start();
    let posts: Vec<_> = (0..20)
        .map(|_| {
            let intake = Arc::clone(&bridge.intake);
            tokio::spawn(async move { intake.accept(&shop("erp"), order("S-1"), Some("key-1")).await.unwrap() })
        })
        .collect();
    let mut ids = std::collections::HashSet::new();
    let mut first = 0;
    for post in posts {
        let accepted = post.await.unwrap();
        first += u32::from(!accepted.repeated);
        ids.insert(accepted.order.id);
    }
    assert_eq!((ids.len(), first), (1, 1));
    let id = ids.into_iter().next().unwrap();
    let done = bridge.until(&bridge.order(&id).await, &[OrderState::Accepted]).await;
    assert_eq!(bridge.erp("erp").executed(&done), 1);
    bridge.stop().await;
}

#[tokio::test]
async fn a_repeated_order_gets_the_first_answer_even_when_the_world_has_changed() {
    let (_home, bridge) = bridge().await;
    let first = bridge.intake.accept(&shop("erp"), order("S-1"), Some("k")).await.unwrap();
    let mut reordered = json!({"partial_delivery": true});
    for (name, value) in order("S-1").as_object().unwrap() {
        reordered[name] = value.clone();
    }
    let mut elsewhere = shop("erp");
    elsewhere.connections = vec!["another".to_owned()];
    for key in [None, Some("k"), Some("another")] {
        let again = bridge.intake.accept(&elsewhere, reordered.clone(), key).await.unwrap();
        assert!(again.repeated);
        assert_eq!(again.order.id, first.order.id);
    }
}

#[tokio::test]
async fn the_same_reference_or_key_with_another_body_is_a_conflict() {
    let (_home, bridge) = bridge().await;
    let first = bridge.intake.accept(&shop("erp"), order("S-1"), Some("k")).await.unwrap().order;
    let mut other = order("S-1");
    other["lines"][0]["quantity"] = json!("6");
    let refused = bridge.accept("erp", other).await.unwrap_err();
    assert!(matches!(&refused, IntakeError::Conflict { what: "reference", order } if *order == first.id), "{refused}");
    let refused = bridge.intake.accept(&shop("erp"), order("S-2"), Some("k")).await.unwrap_err();
    assert!(matches!(refused, IntakeError::Conflict { what: "idempotency key", .. }), "{refused}");
    assert!(faults(bridge.intake.accept(&shop("erp"), order("S-3"), Some("")).await)[""].contains("idempotency key"));
    let mut other_shop = shop("erp");
    other_shop.name = "outlet".to_owned();
    assert!(!bridge.intake.accept(&other_shop, order("S-1"), Some("k")).await.unwrap().repeated);
}

#[tokio::test]
async fn an_order_of_a_blocked_customer_waits_for_the_supplier() {
    let (_home, mut bridge) = bridge().await;
    bridge.start();
    let mut blocked = order("S-1");
    blocked["customer"] = json!("20000");
    blocked.as_object_mut().unwrap().shift_remove("ship_to");
    let held = bridge.accept("erp", blocked).await.unwrap().order;
    assert_eq!(held.state, OrderState::Held);
    assert!(held.reason.as_deref().unwrap().contains("blocked"));
    let own = Actor::Shop("b2b".to_owned());
    assert!(bridge.desk.approve(&held.id, &own).await.unwrap_err().to_string().contains("the supplier"));
    assert_eq!(bridge.erp("erp").creates(), 0);
    bridge.desk.approve(&held.id, &operator()).await.unwrap();
    bridge.until(&held, &[OrderState::Accepted]).await;
    let told = bridge.transitions(&held.id).await;
    assert_eq!(told.iter().find(|t| t.from == Some(OrderState::Held)).unwrap().who, "operator jan");
    bridge.stop().await;
}
