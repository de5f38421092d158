//! What the order path needs of a store, whatever engine stands behind the traits.

use jiff::Timestamp;
use serde_json::json;
use tradebridge::model::hash::content_hash;
use tradebridge::model::{Entity, Key};
use tradebridge::store::{
    Advance, AttemptCount, CallKind, Conflict, Cursor, DeadLetter, Intaken, Lease, LineAnswer, Message, NewOrder,
    OrderCall, OrderDocument, OrderFilter, OrderState, PausedConnection, Settled, SettledLetter, Settlement, Step,
    StoreError, StoredOrder, Surplus, Transition,
};
use uuid::Uuid;

use crate::support::conformance;
use crate::support::store::{Engine, TestStore, new_id};

conformance!(
    an_order_is_stored_with_its_transitions_and_its_message,
    a_reference_or_key_belongs_to_one_order,
    only_one_of_many_changes_wins,
    what_a_process_was_sending_is_abandoned_once_its_lease_has_run_out,
    a_claim_waits_for_its_time,
    a_change_takes_along_what_belongs_to_it,
    several_steps_are_one_change,
    a_postponed_order_keeps_its_state_and_has_a_new_message,
    what_nobody_acted_on_becomes_due_again,
    an_order_without_a_message_gets_one_again,
    lists_are_filtered_and_paged,
    counts_tell_states_and_ages,
    an_overdue_answer_is_flagged_once,
    what_the_erp_says_is_kept_beside_the_state,
    answers_that_do_not_fit_are_kept_until_they_do,
    a_dead_letter_leaves_circulation_and_comes_back,
    the_last_calls_of_each_kind_are_kept,
    a_paused_connection_lets_no_attempt_begin,
    lists_are_filtered_by_reason_and_time,
    transitions_wait_to_be_told_once_somebody_tells_them,
);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

/// A queued order accepted at second 0.
pub(crate) fn order(reference: &str) -> StoredOrder {
    let content = json!({"reference": reference, "customer": "10000"});
    let id = Uuid::now_v7();
    StoredOrder {
        our_reference: format!("TB-{}", id.simple()).to_uppercase(),
        id: id.to_string(),
        shop: "b2b".to_owned(),
        reference: reference.to_owned(),
        company: "NL01".to_owned(),
        customer: "10000".to_owned(),
        connection: "erp".to_owned(),
        body_hash: content_hash(&content),
        content,
        idempotency_key: None,
        state: OrderState::Queued,
        previous: Some(OrderState::Received),
        generation: 1,
        attempt: 0,
        postponed: 0,
        not_before: None,
        erp_number: None,
        reason: None,
        accepted_at: at(0),
        changed_at: at(0),
        pursued_since: at(0),
        submitted_at: None,
        overdue: false,
    }
}

pub(crate) fn new(order: StoredOrder) -> NewOrder {
    let transition = |from, to| Transition {
        at: order.accepted_at,
        from,
        to,
        cause: "posted".to_owned(),
        attempt: 0,
        who: "shop b2b".to_owned(),
    };
    let transitions =
        vec![transition(None, OrderState::Received), transition(Some(OrderState::Received), OrderState::Queued)];
    NewOrder { transitions, publish: order.state == OrderState::Queued, order }
}

async fn stored(store: &TestStore, order: StoredOrder) -> StoredOrder {
    assert_eq!(store.accept(&new(order.clone())).await.unwrap(), Intaken::New);
    order
}

fn to(order: &StoredOrder, state: OrderState, time: Timestamp) -> Advance {
    Advance {
        id: order.id.clone(),
        from: order.state,
        generation: order.generation,
        steps: vec![Step { to: state, cause: format!("to {state}") }],
        at: time,
        who: "test".to_owned(),
        attempts: AttemptCount::Keep,
        reason: None,
        erp_number: None,
        submitted_at: None,
        pursued_since: None,
        publish_at: None,
        calls: Vec::new(),
    }
}

async fn moved(store: &TestStore, advance: Advance) -> StoredOrder {
    store.advance(&advance).await.unwrap().unwrap()
}

fn message(order: &StoredOrder) -> Message {
    Message { order: order.id.clone(), generation: order.generation }
}

async fn due(store: &TestStore, now: Timestamp) -> Vec<Message> {
    store.due("erp", now, 100).await.unwrap().into_iter().map(|due| due.message).collect()
}

async fn an_order_is_stored_with_its_transitions_and_its_message(engine: Engine) {
    let store = &TestStore::new(engine).await;
    let one = stored(store, StoredOrder { idempotency_key: Some("k1".to_owned()), ..order("A-1") }).await;
    let held = StoredOrder { state: OrderState::Held, reason: Some("blocked".to_owned()), ..order("A-2") };
    let held = stored(store, held).await;
    assert_eq!(store.order(&one.id).await.unwrap().as_ref(), Some(&one));
    assert_eq!(store.order_by_reference("b2b", "A-2").await.unwrap(), Some(held));
    assert_eq!(store.order_by_key("b2b", "k1").await.unwrap().as_ref(), Some(&one));
    assert_eq!(store.order_by_our_reference(&one.our_reference).await.unwrap().as_ref(), Some(&one));
    assert_eq!(store.order_by_reference("other", "A-1").await.unwrap(), None);
    let transitions = store.transitions(&one.id).await.unwrap();
    assert_eq!(transitions, new(one.clone()).transitions);
    assert_eq!(due(store, at(0)).await, [message(&one)], "what is held is not published");
    assert_eq!(store.due_connections(at(0)).await.unwrap(), ["erp"]);
}

async fn a_reference_or_key_belongs_to_one_order(engine: Engine) {
    let store = &TestStore::new(engine).await;
    let keyed = |reference: &str, key: &str| StoredOrder { idempotency_key: Some(key.to_owned()), ..order(reference) };
    let one = stored(store, keyed("A-1", "k1")).await;
    let two = stored(store, keyed("A-2", "k2")).await;
    let existing = |answer: Intaken| match answer {
        Intaken::Existing { order, same } => (order.id, same),
        Intaken::New => panic!("stored a second time"),
    };
    let again = |o: StoredOrder| async move { existing(store.accept(&new(o)).await.unwrap()) };
    assert_eq!(again(keyed("A-1", "k1")).await, (one.id.clone(), true));
    assert_eq!(again(order("A-1")).await, (one.id.clone(), true), "without the key it is the same order");
    let other = StoredOrder { body_hash: [7; 16], ..order("A-1") };
    assert_eq!(again(other).await, (one.id.clone(), false), "the same reference with another body");
    let other = StoredOrder { body_hash: [7; 16], ..keyed("A-3", "k2") };
    assert_eq!(again(other).await, (two.id.clone(), false), "the same key with another body");
    assert_eq!(again(keyed("A-1", "k2")).await, (one.id.clone(), false), "reference and key of two orders");
    let elsewhere = StoredOrder { shop: "other".to_owned(), ..keyed("A-1", "k1") };
    assert_eq!(store.accept(&new(elsewhere)).await.unwrap(), Intaken::New, "another shop has references of its own");
    assert_eq!(store.transitions(&one.id).await.unwrap().len(), 2, "nothing was added");
}

/// The lease of a process that sends.
async fn sender(store: &TestStore) -> Lease {
    store.take_lease(&format!("sender/{}", new_id())).await.unwrap().unwrap()
}

async fn what_a_process_was_sending_is_abandoned_once_its_lease_has_run_out(engine: Engine) {
    let store = &TestStore::new(engine).await;
    let (one, two) = (stored(store, order("A-1")).await, stored(store, order("A-2")).await);
    let (gone, living) = (sender(store).await, sender(store).await);
    for (order, lease) in [(&one, &gone), (&two, &living)] {
        assert!(store.claim(&to(order, OrderState::Sending, at(1)), lease).await.unwrap().is_some());
    }
    let abandoned = async |own: Option<&Lease>| -> Vec<String> {
        store.abandoned(own, "", 10).await.unwrap().into_iter().map(|order| order.id).collect()
    };
    assert!(abandoned(None).await.is_empty());
    assert_eq!(
        abandoned(Some(&living)).await,
        std::slice::from_ref(&two.id),
        "what one's own process began and nobody goes on with"
    );
    store.release_lease(&gone).await.unwrap();
    assert_eq!(abandoned(None).await, std::slice::from_ref(&one.id));
    let three = stored(store, order("A-3")).await;
    let taken_over = Lease { fence: living.fence + 1, ..living.clone() };
    let refused = store.claim(&to(&three, OrderState::Sending, at(1)), &taken_over).await;
    assert!(matches!(refused, Err(StoreError::Fenced(_))), "{refused:?}");
}

async fn only_one_of_many_changes_wins(engine: Engine) {
    let store = &TestStore::new(engine).await;
    let one = stored(store, order("A-1")).await;
    let lease = sender(store).await;
    let claims = (0..20).map(|_| async {
        store
            .claim(&Advance { attempts: AttemptCount::Take, ..to(&one, OrderState::Sending, at(1)) }, &lease)
            .await
            .unwrap()
    });
    let won: Vec<_> = futures_util::future::join_all(claims).await.into_iter().flatten().collect();
    assert_eq!(won.len(), 1);
    assert_eq!((won[0].state, won[0].attempt, won[0].generation), (OrderState::Sending, 1, 2));
    assert_eq!(won[0].previous, Some(OrderState::Queued));
    assert_eq!(store.advance(&to(&one, OrderState::Cancelled, at(2))).await.unwrap(), None, "cancelled too late");
    let stale = StoredOrder { generation: 1, ..won[0].clone() };
    assert_eq!(store.advance(&to(&stale, OrderState::Accepted, at(2))).await.unwrap(), None, "of another generation");
    assert_eq!(store.transitions(&one.id).await.unwrap().len(), 3);
    assert!(due(store, at(9)).await.is_empty(), "what is being sent has no message");
}

async fn a_claim_waits_for_its_time(engine: Engine) {
    let store = &TestStore::new(engine).await;
    let one = StoredOrder { not_before: Some(at(10)), ..order("A-1") };
    let one = stored(store, one).await;
    let lease = sender(store).await;
    assert_eq!(store.claim(&to(&one, OrderState::Sending, at(9)), &lease).await.unwrap(), None);
    assert!(due(store, at(9)).await.is_empty());
    assert_eq!(store.next_due(at(9)).await.unwrap(), Some(at(10)));
    assert_eq!(due(store, at(10)).await, [message(&one)]);
    assert!(store.claim(&to(&one, OrderState::Sending, at(10)), &lease).await.unwrap().is_some());
    assert_eq!(store.next_due(at(0)).await.unwrap(), None);
}

async fn a_change_takes_along_what_belongs_to_it(engine: Engine) {
    let store = &TestStore::new(engine).await;
    let one = stored(store, order("A-1")).await;
    let sending = moved(store, Advance { attempts: AttemptCount::Take, ..to(&one, OrderState::Sending, at(1)) }).await;
    let queued = Advance {
        attempts: AttemptCount::GiveBack,
        reason: Some("connection refused".to_owned()),
        publish_at: Some(at(60)),
        ..to(&sending, OrderState::Queued, at(2))
    };
    let queued = moved(store, queued).await;
    assert_eq!((queued.attempt, queued.not_before, queued.changed_at), (0, Some(at(60)), at(2)));
    assert_eq!(queued.reason.as_deref(), Some("connection refused"));
    assert_eq!(due(store, at(60)).await, [message(&queued)]);
    let attempts: Vec<u32> = store.transitions(&one.id).await.unwrap().iter().map(|t| t.attempt).collect();
    assert_eq!(attempts, [0, 0, 1, 1], "an attempt that is given back is still told of");

    let sending = moved(store, to(&queued, OrderState::Sending, at(61))).await;
    assert_eq!((sending.not_before, sending.reason.as_deref()), (None, None));
    let submitted = Advance {
        submitted_at: Some(at(62)),
        pursued_since: Some(at(50)),
        erp_number: Some("VO1".to_owned()),
        ..to(&sending, OrderState::Submitted, at(62))
    };
    let submitted = moved(store, submitted).await;
    assert_eq!((submitted.submitted_at, submitted.pursued_since), (Some(at(62)), at(50)));
    let accepted = moved(store, to(&submitted, OrderState::Accepted, at(63))).await;
    assert_eq!(accepted.erp_number.as_deref(), Some("VO1"), "what is not told anew stays");
    assert_eq!(accepted.submitted_at, Some(at(62)));
    let found = store.orders_by_erp_number("erp", "NL01", "VO1").await.unwrap();
    assert_eq!(found, [accepted]);
    assert!(store.orders_by_erp_number("erp", "NL02", "VO1").await.unwrap().is_empty());
}

async fn several_steps_are_one_change(engine: Engine) {
    let store = &TestStore::new(engine).await;
    let one = stored(store, order("A-1")).await;
    let steps = [OrderState::Unknown, OrderState::Accepted];
    let steps = steps.map(|to| Step { to, cause: format!("to {to}") }).to_vec();
    let after = moved(store, Advance { steps, ..to(&one, OrderState::Accepted, at(1)) }).await;
    assert_eq!((after.state, after.previous, after.generation), (OrderState::Accepted, Some(OrderState::Unknown), 2));
    let told: Vec<_> =
        store.transitions(&one.id).await.unwrap().into_iter().skip(2).map(|t| (t.from.unwrap(), t.to)).collect();
    assert_eq!(told, [(OrderState::Queued, OrderState::Unknown), (OrderState::Unknown, OrderState::Accepted)]);
}

async fn a_postponed_order_keeps_its_state_and_has_a_new_message(engine: Engine) {
    let store = &TestStore::new(engine).await;
    let one = stored(store, order("A-1")).await;
    let later = store.postpone(&one.id, one.state, one.generation, at(30), "not yet").await.unwrap().unwrap();
    assert_eq!((later.state, later.generation, later.postponed), (OrderState::Queued, 2, 1));
    assert_eq!((later.changed_at, later.reason.as_deref()), (one.changed_at, Some("not yet")));
    assert!(due(store, at(29)).await.is_empty());
    assert_eq!(due(store, at(30)).await, [message(&later)]);
    assert_eq!(store.postpone(&one.id, one.state, one.generation, at(40), "twice").await.unwrap(), None);
    assert_eq!(store.transitions(&one.id).await.unwrap().len(), 2, "it is no transition");
}

async fn what_nobody_acted_on_becomes_due_again(engine: Engine) {
    let store = &TestStore::new(engine).await;
    let one = stored(store, order("A-1")).await;
    store.published(at(1), &[(message(&one), at(61))]).await.unwrap();
    assert!(due(store, at(60)).await.is_empty());
    assert_eq!(store.next_due(at(1)).await.unwrap(), Some(at(61)));
    let again = store.due("erp", at(61), 10).await.unwrap();
    assert_eq!((again[0].message.clone(), again[0].publications), (message(&one), 1), "the same generation");
    store.published(at(61), &[(message(&one), at(181))]).await.unwrap();
    assert_eq!(store.republish_all().await.unwrap(), 1);
    let again = store.due("erp", at(2), 10).await.unwrap();
    assert_eq!((again.len(), again[0].publications), (1, 0), "a queue that forgot gets everything at once");
    let stale = Message { generation: 9, ..message(&one) };
    store.published(at(2), &[(stale, at(99))]).await.unwrap();
    assert_eq!(due(store, at(2)).await.len(), 1, "another generation's publication says nothing");
}

async fn an_order_without_a_message_gets_one_again(engine: Engine) {
    let store = &TestStore::new(engine).await;
    let lost = new(StoredOrder { not_before: Some(at(5)), ..order("A-1") });
    store.accept(&NewOrder { publish: false, ..lost.clone() }).await.unwrap();
    stored(store, order("A-2")).await;
    stored(store, StoredOrder { state: OrderState::Held, ..order("A-3") }).await;
    let states = [OrderState::Queued, OrderState::Unknown];
    assert_eq!(store.replenish(&states, at(1)).await.unwrap(), 1);
    assert_eq!(store.replenish(&states, at(1)).await.unwrap(), 0);
    assert_eq!(due(store, at(4)).await.len(), 1);
    assert!(due(store, at(5)).await.contains(&message(&lost.order)));
}

async fn lists_are_filtered_and_paged(engine: Engine) {
    let store = &TestStore::new(engine).await;
    let mut ids = Vec::new();
    for n in 0..5 {
        let accepted_at = at(n);
        ids.push(
            stored(store, StoredOrder { accepted_at, pursued_since: accepted_at, ..order(&n.to_string()) }).await.id,
        );
    }
    let elsewhere = StoredOrder {
        shop: "other".to_owned(),
        connection: "second".to_owned(),
        customer: "20000".to_owned(),
        state: OrderState::Held,
        ..order("0")
    };
    stored(store, elsewhere).await;
    let list = |filter: OrderFilter| async move {
        store.orders(&filter).await.unwrap().into_iter().map(|order| order.reference).collect::<Vec<_>>()
    };
    let filter = OrderFilter { shop: Some("b2b".to_owned()), limit: 2, ..OrderFilter::default() };
    assert_eq!(list(filter.clone()).await, ["4", "3"], "the newest first");
    assert_eq!(list(OrderFilter { before: Some(ids[3].clone()), ..filter }).await, ["2", "1"]);
    let filter = OrderFilter { limit: 10, ..OrderFilter::default() };
    assert_eq!(list(OrderFilter { states: vec![OrderState::Held], ..filter.clone() }).await, ["0"]);
    assert_eq!(list(OrderFilter { connection: Some("second".to_owned()), ..filter.clone() }).await.len(), 1);
    assert_eq!(list(OrderFilter { customer: Some("20000".to_owned()), ..filter.clone() }).await.len(), 1);
    let window = OrderFilter { accepted_from: Some(at(1)), accepted_before: Some(at(3)), ..filter.clone() };
    assert_eq!(list(window).await, ["2", "1"]);
    assert!(list(OrderFilter { overdue: true, ..filter }).await.is_empty());

    let old = store.pursued_since_before("erp", &[OrderState::Queued], at(2), 10).await.unwrap();
    assert_eq!(old.iter().map(|o| o.reference.as_str()).collect::<Vec<_>>(), ["0", "1"]);
    assert!(store.pursued_since_before("erp", &[OrderState::Unknown], at(9), 10).await.unwrap().is_empty());
}

async fn counts_tell_states_and_ages(engine: Engine) {
    let store = &TestStore::new(engine).await;
    stored(store, StoredOrder { accepted_at: at(5), ..order("A-1") }).await;
    stored(store, StoredOrder { accepted_at: at(3), ..order("A-2") }).await;
    let submitted = StoredOrder { state: OrderState::Submitted, submitted_at: Some(at(8)), ..order("A-3") };
    stored(store, submitted).await;
    let counts = store.order_counts().await.unwrap();
    let told: Vec<_> = counts.iter().map(|c| (c.state, c.count, c.oldest_accepted_at, c.oldest_submitted_at)).collect();
    assert_eq!(told, [(OrderState::Queued, 2, at(3), None), (OrderState::Submitted, 1, at(0), Some(at(8)))]);
}

async fn an_overdue_answer_is_flagged_once(engine: Engine) {
    let store = &TestStore::new(engine).await;
    let waiting = StoredOrder { state: OrderState::Submitted, submitted_at: Some(at(0)), ..order("A-1") };
    let waiting = stored(store, waiting).await;
    assert!(store.flag_overdue("erp", at(0)).await.unwrap().is_empty());
    let late = store.flag_overdue("erp", at(1)).await.unwrap();
    assert_eq!((late.len(), late[0].overdue), (1, true));
    assert!(store.flag_overdue("erp", at(1)).await.unwrap().is_empty(), "once");
    assert_eq!(store.order_counts().await.unwrap()[0].overdue, 1);
    let filter = OrderFilter { overdue: true, limit: 5, ..OrderFilter::default() };
    assert_eq!(store.orders(&filter).await.unwrap().len(), 1);
    let accepted = moved(store, to(&waiting, OrderState::Accepted, at(2))).await;
    assert!(!accepted.overdue, "an alarm is over when the order moves on");
}

async fn what_the_erp_says_is_kept_beside_the_state(engine: Engine) {
    let store = &TestStore::new(engine).await;
    let one = stored(store, order("A-1")).await;
    assert_eq!(store.position("answers").await.unwrap(), None);
    for sequence in [3, 9] {
        let position = Cursor { epoch: "e".to_owned(), sequence };
        store.save_position("answers", &position).await.unwrap();
        assert_eq!(store.position("answers").await.unwrap(), Some(position));
    }
    let line = |number: &str, confirmed: &str| LineAnswer {
        line: number.to_owned(),
        content: json!({"id": number, "confirmed": confirmed}),
        changed_at: at(1),
    };
    store.save_lines(&one.id, &[line("1", "5"), line("2", "10"), line("10", "1")]).await.unwrap();
    let newer = [line("2", "8"), line("10", "1")];
    store.save_lines(&one.id, &newer).await.unwrap();
    assert_eq!(store.lines(&one.id).await.unwrap(), newer, "in the order given, in place of the earlier ones");

    let document = |entity, number: &str| OrderDocument { entity, key: Key::new("NL01", number) };
    let (parcel, bill) = (document(Entity::Shipment, "S1"), document(Entity::Invoice, "F1"));
    let numbers = |list: &[&str]| list.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    let documents = [(parcel.clone(), numbers(&["VO1", "VO2"])), (bill.clone(), numbers(&["VO1", "VO1"]))];
    store.save_documents("erp", &documents).await.unwrap();
    assert_eq!(store.documents("erp", "NL01", "VO1").await.unwrap(), [parcel.clone(), bill.clone()]);
    store.save_documents("erp", &[(parcel.clone(), numbers(&["VO2"]))]).await.unwrap();
    assert_eq!(store.documents("erp", "NL01", "VO1").await.unwrap(), [bill]);
    assert_eq!(store.documents("erp", "NL01", "VO2").await.unwrap(), [parcel]);
    assert!(store.documents("second", "NL01", "VO2").await.unwrap().is_empty());
}

async fn answers_that_do_not_fit_are_kept_until_they_do(engine: Engine) {
    let store = &TestStore::new(engine).await;
    let one = stored(store, order("A-1")).await;
    let key = Key::new("NL01", "VO1");
    let conflict = |reason: &str, order: Option<&str>| Conflict {
        connection: "erp".to_owned(),
        entity: Entity::OrderStatus,
        key: key.clone(),
        order: order.map(str::to_owned),
        reason: reason.to_owned(),
        content: json!({"id": "VO1"}),
        at: at(1),
    };
    store.save_conflict(&conflict("unknown reference", None)).await.unwrap();
    assert_eq!(store.conflicts(None, 10).await.unwrap(), [conflict("unknown reference", None)]);
    let newer = conflict("another customer", Some(&one.id));
    store.save_conflict(&newer).await.unwrap();
    assert_eq!(store.conflicts(Some(&one.id), 10).await.unwrap(), [newer]);
    store.clear_conflict("erp", Entity::OrderStatus, &key).await.unwrap();
    assert!(store.conflicts(None, 10).await.unwrap().is_empty());
}

async fn a_dead_letter_leaves_circulation_and_comes_back(engine: Engine) {
    let store = &TestStore::new(engine).await;
    let one = stored(store, order("A-1")).await;
    let letter = |message: Option<Message>| DeadLetter {
        id: Uuid::now_v7().to_string(),
        connection: "erp".to_owned(),
        message,
        bytes: b"\xff\x00".to_vec(),
        reason: "cannot be read".to_owned(),
        at: at(1),
    };
    let (first, second) = (letter(Some(message(&one))), letter(None));
    store.bury(&first).await.unwrap();
    store.bury(&second).await.unwrap();
    assert!(due(store, at(9)).await.is_empty());
    assert_eq!(store.replenish(&[OrderState::Queued], at(9)).await.unwrap(), 0, "what is buried stays buried");
    assert_eq!(store.dead_letters(None, 10).await.unwrap(), [first.clone(), second.clone()]);
    assert_eq!(store.dead_letters(Some(&first.id), 10).await.unwrap(), std::slice::from_ref(&second));
    assert_eq!(store.dead_letter(&first.id).await.unwrap(), Some(first.clone()));
    let settled = |how, why: Option<&str>| Settled {
        how,
        at: at(9),
        who: "operator jan".to_owned(),
        why: why.map(str::to_owned),
    };
    let dropped = settled(Settlement::Dropped, Some("a test"));
    assert!(store.settle_dead_letter(&second.id, &dropped).await.unwrap());
    assert!(!store.settle_dead_letter(&second.id, &dropped).await.unwrap());
    let retried = settled(Settlement::Retried, None);
    assert!(store.settle_dead_letter(&first.id, &retried).await.unwrap());
    assert_eq!(due(store, at(9)).await, [message(&one)]);
    assert!(store.dead_letters(None, 10).await.unwrap().is_empty());
    assert_eq!(store.dead_letter(&first.id).await.unwrap(), None);
    let traces = store.settled_letters(10).await.unwrap();
    let trace = |letter: DeadLetter, settled: Settled| SettledLetter { letter, settled };
    assert_eq!(traces, [trace(second, dropped), trace(first, retried)]);
}

pub(crate) fn call(kind: CallKind, number: i64, seconds: i64) -> OrderCall {
    let exchanges = json!([{ "request": { "method": "POST", "body": format!("{number}\u{0} € \\u0000") } }]);
    OrderCall { kind, number, attempt: 1, at: at(seconds), outcome: "unknown".to_owned(), exchanges }
}

async fn the_last_calls_of_each_kind_are_kept(engine: Engine) {
    let store = &TestStore::new(engine).await;
    let one = stored(store, order("A-1")).await;
    let other = stored(store, order("A-2")).await;
    let calls = vec![call(CallKind::Create, 1, 1)];
    let sending = moved(store, Advance { calls: calls.clone(), ..to(&one, OrderState::Sending, at(1)) }).await;
    assert_eq!(store.advance(&Advance { calls, ..to(&one, OrderState::Sending, at(1)) }).await.unwrap(), None);
    for number in 2..6 {
        store.note_calls(&sending.id, &[call(CallKind::Create, number, number)]).await.unwrap();
        store.note_calls(&sending.id, &[call(CallKind::Find, number, 10 + number)]).await.unwrap();
    }
    let kept = store.calls(&one.id).await.unwrap();
    let bodies: Vec<_> = kept.iter().map(|call| (call.kind, call.exchanges.clone())).collect();
    let expected: Vec<_> = [CallKind::Create, CallKind::Find]
        .into_iter()
        .flat_map(|kind| (3..6).map(move |number| (kind, call(kind, number, 0).exchanges)))
        .collect();
    assert_eq!(bodies, expected);
    assert!(store.calls(&other.id).await.unwrap().is_empty());
    let (rows, _) = crate::upkeep::prune(&**store, Surplus::Calls, at(5)).await;
    assert_eq!((rows, store.calls(&one.id).await.unwrap().len()), (2, 4), "the older ones go with time");
}

async fn a_paused_connection_lets_no_attempt_begin(engine: Engine) {
    let store = &TestStore::new(engine).await;
    let one = stored(store, order("A-1")).await;
    let lease = store.take_lease("sender/1").await.unwrap().unwrap();
    let pause = |reason: &str| PausedConnection {
        connection: "erp".to_owned(),
        since: at(1),
        who: "operator jan".to_owned(),
        reason: reason.to_owned(),
    };
    store.pause(&pause("upgrade")).await.unwrap();
    store.pause(&PausedConnection { since: at(5), ..pause("longer upgrade") }).await.unwrap();
    assert_eq!(store.pauses().await.unwrap(), [pause("longer upgrade")], "it is paused since the first time");
    let claim = Advance { attempts: AttemptCount::Take, ..to(&one, OrderState::Sending, at(2)) };
    assert_eq!(store.claim(&claim, &lease).await.unwrap(), None);
    // What a person decides is done all the same.
    assert!(store.resume("erp").await.unwrap());
    assert!(!store.resume("erp").await.unwrap());
    assert!(store.claim(&claim, &lease).await.unwrap().is_some());
}

async fn lists_are_filtered_by_reason_and_time(engine: Engine) {
    let store = &TestStore::new(engine).await;
    for (reference, reason, seconds) in
        [("A-1", "No CREDIT left", 10), ("A-2", "no product", 20), ("A-3", "50%_off", 30)]
    {
        let one = stored(store, order(reference)).await;
        let dead = Advance { reason: Some(reason.to_owned()), ..to(&one, OrderState::Dead, at(seconds)) };
        moved(store, dead).await;
    }
    let found = async |reason: Option<&str>, from: Option<i64>, before: Option<i64>| {
        let filter = OrderFilter {
            reason: reason.map(str::to_owned),
            changed_from: from.map(at),
            changed_before: before.map(at),
            limit: 10,
            ..OrderFilter::default()
        };
        let orders = store.orders(&filter).await.unwrap();
        orders.into_iter().map(|order| order.reference).collect::<Vec<_>>()
    };
    assert_eq!(found(Some("credit"), None, None).await, ["A-1"]);
    assert_eq!(found(Some("%"), None, None).await, ["A-3"], "a text, no pattern");
    assert_eq!(found(None, Some(20), None).await, ["A-3", "A-2"]);
    assert_eq!(found(None, Some(10), Some(20)).await, ["A-1"]);
}

async fn transitions_wait_to_be_told_once_somebody_tells_them(engine: Engine) {
    let store = &TestStore::new(engine).await;
    stored(store, order("A-1")).await;
    assert_eq!(store.order_events(10).await.unwrap(), [], "nobody tells");
    store.keep_order_events(true).await.unwrap();
    let two = stored(store, order("A-2")).await;
    let cancelled = moved(store, to(&two, OrderState::Cancelled, at(5))).await;
    let told = store.order_events(10).await.unwrap();
    let way: Vec<_> = told.iter().map(|event| (event.order.as_str(), event.number, event.transition.to)).collect();
    let id = two.id.as_str();
    assert_eq!(
        way,
        [(id, 1, OrderState::Received), (id, 2, OrderState::Queued), (id, 3, cancelled.state)],
        "each transition, in their order"
    );
    assert_eq!((told[0].shop.as_str(), told[0].reference.as_str()), ("b2b", "A-2"));
    let lease = store.take_lease("telling").await.unwrap().unwrap();
    store.order_events_told(&lease, &[told[0].position]).await.unwrap();
    assert_eq!(store.order_events(10).await.unwrap(), told[1..], "what was told is not told again");
    let late = Lease { fence: lease.fence - 1, ..lease.clone() };
    let refused = store.order_events_told(&late, &[told[1].position]).await;
    assert!(matches!(refused, Err(StoreError::Fenced(_))), "{refused:?}");
    assert_eq!(store.order_events(1).await.unwrap(), told[1..2]);
    store.keep_order_events(false).await.unwrap();
    moved(store, to(&stored(store, order("A-3")).await, OrderState::Cancelled, at(6))).await;
    assert_eq!(store.order_events(10).await.unwrap(), [], "nobody tells any more");
}
