//! Looking after the store, whatever engine it stands on: its digest and size, and what pruning drops and leaves.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tradebridge::model::hash::content_hash;
use tradebridge::model::{Content, Entity, Key, PartKind};
use tradebridge::store::{
    Difference, Lease, Operation, Page, RawBatch, Run, RunCounts, RunFilter, RunState, Store, Surplus,
};

use crate::shops::Erp;
use crate::support::conformance;
use crate::support::store::{Engine, lease, run};

conformance!(
    stores_that_know_the_same_have_the_same_digest,
    the_size_is_told_by_table_and_source,
    history_beyond_its_retention_goes_by_entity,
    source_rows_go_by_their_size,
    runs_that_changed_nothing_go_but_the_newest,
    what_a_vanished_run_staged_goes,
    a_dropped_tombstone_leaves_its_sequence_behind,
);

fn price(id: u32, value: &str) -> Value {
    json!({ "id": id.to_string(), "customer": "10000", "product": "P", "value": value })
}

/// Long after everything that a test does.
fn later() -> Timestamp {
    Timestamp::now().checked_add(SignedDuration::from_hours(1)).unwrap()
}

/// Long before.
fn earlier() -> Timestamp {
    Timestamp::now().checked_sub(SignedDuration::from_hours(1)).unwrap()
}

async fn upkeep(store: &dyn Store) -> Lease {
    store.take_lease("upkeep").await.unwrap().unwrap()
}

/// Prunes to the end; how many rows went, and in how many steps.
pub(crate) async fn prune(store: &dyn Store, what: Surplus, before: Timestamp) -> (u64, u32) {
    let held = upkeep(store).await;
    let (mut rows, mut steps, mut from) = (0, 0, Some(String::new()));
    while let Some(at) = from {
        let step = store.prune(&held, what, before, &at).await.unwrap();
        rows += step.rows;
        steps += 1;
        from = step.next;
    }
    (rows, steps)
}

async fn stores_that_know_the_same_have_the_same_digest(engine: Engine) {
    let one = Erp::new(engine).await;
    let other = Erp::new(Engine::Sqlite).await;
    assert_eq!(one.store.digest().await.unwrap(), other.store.digest().await.unwrap(), "both are empty");
    let lines: Vec<Value> = (0..6000).map(|id| price(id, "1")).collect();
    one.put_all("erp", PartKind::PriceAgreement, lines.clone()).await;
    let empty = one.store.digest().await.unwrap();
    // In another order, in other runs, and by way of another content.
    other.put_all("erp", PartKind::PriceAgreement, lines[3000..].to_vec()).await;
    other.put("erp", (PartKind::PriceAgreement, price(0, "2"), None)).await;
    other.put_all("erp", PartKind::PriceAgreement, lines[1..3000].to_vec()).await;
    let different = other.store.digest().await.unwrap();
    assert_ne!(different, empty);
    other.put("erp", (PartKind::PriceAgreement, price(0, "1"), None)).await;
    assert_eq!(other.store.digest().await.unwrap(), one.store.digest().await.unwrap());
    other.delete("erp", PartKind::PriceAgreement, "5999").await;
    assert_ne!(other.store.digest().await.unwrap(), one.store.digest().await.unwrap(), "the last of all counts");
}

async fn the_size_is_told_by_table_and_source(engine: Engine) {
    let erp = Erp::new(engine).await;
    erp.put_all("erp", PartKind::PriceAgreement, (0..5).map(|id| price(id, "1")).collect()).await;
    erp.put("erp", (PartKind::PriceAgreement, price(0, "2"), None)).await;
    erp.delete("erp", PartKind::PriceAgreement, "1").await;
    let _held = upkeep(&*erp.store).await;
    let stats = erp.store.stats().await.unwrap();
    assert_eq!((stats.schema_version, stats.sequence), (3, 7));
    let part = stats.tables.iter().find(|table| table.name == "part").unwrap();
    assert_eq!((part.rows, part.estimated), (5, false));
    assert!(part.bytes.unwrap() > 0 && stats.bytes >= part.bytes.unwrap());
    assert_eq!((stats.sources.len(), stats.sources[0].living, stats.sources[0].tombstones), (1, 4, 1));
    assert_eq!(stats.oldest_history.len(), 1);
    assert_eq!(stats.oldest_history[0].entity, Entity::PriceAgreement);
    assert!(stats.leases.iter().any(|lease| lease.name == "upkeep"));
}

async fn history_beyond_its_retention_goes_by_entity(engine: Engine) {
    let erp = Erp::new(engine).await;
    erp.put_all("erp", PartKind::PriceAgreement, (0..1200).map(|id| price(id, "1")).collect()).await;
    erp.put_all("erp", PartKind::PriceAgreement, (0..1200).map(|id| price(id, "2")).collect()).await;
    let product = |name: &str| json!({ "number": "P", "names": { "nl": name } });
    erp.put("erp", (PartKind::Product, product("A"), None)).await;
    erp.put("erp", (PartKind::Product, product("B"), None)).await;
    let store = &*erp.store;
    assert_eq!(prune(store, Surplus::History(Entity::PriceAgreement), earlier()).await.0, 0, "it is not old enough");
    let (rows, steps) = prune(store, Surplus::History(Entity::PriceAgreement), later()).await;
    assert!(rows == 1200 && steps > 2, "{rows} in {steps} steps");
    let left: Vec<Entity> = store.stats().await.unwrap().oldest_history.iter().map(|h| h.entity).collect();
    assert_eq!(left, [Entity::Product]);
}

async fn source_rows_go_by_their_size(engine: Engine) {
    let erp = Erp::new(engine).await;
    let store = &*erp.store;
    let source = store.source("erp", "price_agreement", PartKind::PriceAgreement).await.unwrap();
    let held = lease(store, source.id).await;
    let run = run("run-1", &source);
    store.begin_run(&held, &run).await.unwrap();
    for _ in 0..4 {
        let raw = Some(RawBatch { records: 1, bytes: vec![7; 3 << 20] });
        store.commit_page(&held, &run, &Page { raw, ..Page::default() }).await.unwrap();
    }
    assert!(store.stats().await.unwrap().oldest_raw.is_some());
    assert_eq!(prune(store, Surplus::Raw, earlier()).await.0, 0);
    let (rows, steps) = prune(store, Surplus::Raw, later()).await;
    assert!(rows == 4 && steps >= 2, "{rows} in {steps} steps");
    assert!(store.stats().await.unwrap().oldest_raw.is_none());
}

async fn runs_that_changed_nothing_go_but_the_newest(engine: Engine) {
    let erp = Erp::new(engine).await;
    let store = &*erp.store;
    let source = store.source("erp", "price_agreement", PartKind::PriceAgreement).await.unwrap();
    let held = lease(store, source.id).await;
    for number in 0..1100 {
        let counts = RunCounts { read: 1, created: u64::from(number == 7), ..RunCounts::default() };
        let state = if number == 8 { RunState::Held } else { RunState::Done };
        let ended_at = Some(Timestamp::now());
        store
            .save_run(&held, &Run { counts, state, ended_at, ..run(format!("run-{number:04}"), &source) })
            .await
            .unwrap();
    }
    assert_eq!(prune(store, Surplus::Runs, earlier()).await.0, 0);
    let (rows, steps) = prune(store, Surplus::Runs, later()).await;
    assert!(rows == 1097 && steps > 2, "{rows} in {steps} steps");
    let left = store.runs(&RunFilter { limit: 10, ..RunFilter::default() }).await.unwrap();
    let left: Vec<&str> = left.iter().map(|run| run.id.as_str()).collect();
    assert_eq!(left, ["run-1099", "run-0008", "run-0007"], "the newest, one that waits, one that changed something");
}

async fn what_a_vanished_run_staged_goes(engine: Engine) {
    let erp = Erp::new(engine).await;
    let store = &*erp.store;
    let source = store.source("erp", "price_agreement", PartKind::PriceAgreement).await.unwrap();
    let held = lease(store, source.id).await;
    for id in ["run-1", "run-2"] {
        let run = run(id, &source);
        store.begin_run(&held, &run).await.unwrap();
        let content = price(1, "1");
        let differences = (0..1200)
            .map(|position| Difference {
                position,
                operation: Operation::Upsert,
                source_key: position.to_string(),
                key: Key::new("NL01", position.to_string()),
                part: String::new(),
                who: None,
                what: None,
                content: Some(Content::of_text(content.to_string())),
                before: None,
                after: Some(content_hash(&content)),
                source_hash: [0; 16],
                shops: None,
                raw: None,
                turn: None,
            })
            .collect();
        let page = Page { differences, seen: vec![1], ..Page::default() };
        store.commit_page(&held, &run, &page).await.unwrap();
        let ended_at = Some(Timestamp::now());
        store.save_run(&held, &Run { state: RunState::Failed, ended_at, ..run }).await.unwrap();
    }
    assert_eq!(prune(store, Surplus::Runs, later()).await.0, 1);
    assert_eq!(prune(store, Surplus::Leftovers, later()).await.0, 1201);
    assert!(store.staged("run-1", -1, 10).await.unwrap().is_empty());
    assert_eq!(store.staged("run-2", -1, 2000).await.unwrap().len(), 1200, "that run is still there");
}

async fn a_dropped_tombstone_leaves_its_sequence_behind(engine: Engine) {
    let erp = Erp::new(engine).await;
    let store = &*erp.store;
    let customer = |number: &str| json!({ "number": number, "name": "A", "groups": ["B2B"] });
    erp.put("erp", (PartKind::Customer, customer("1"), Some(&["b2b"]))).await;
    erp.put("erp", (PartKind::Customer, customer("2"), Some(&["b2b"]))).await;
    erp.delete("erp", PartKind::Customer, "1").await;
    let gone = erp.head().await;
    erp.put("erp", (PartKind::Customer, customer("1"), Some(&["b2b"]))).await;
    erp.delete("erp", PartKind::Customer, "1").await;
    let last = erp.head().await;
    assert!(last > gone);
    assert_eq!(prune(store, Surplus::Tombstones, earlier()).await.0, 0);
    assert_eq!(prune(store, Surplus::Tombstones, later()).await.0, 1);
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.purged, stats.sources[0].tombstones, stats.sources[0].living), (last, 0, 1));
    assert_eq!(prune(store, Surplus::Memberships, later()).await.0, 2, "it was a member twice");
    let keys = [Key::new("NL01", "1"), Key::new("NL01", "2")];
    assert_eq!(store.membership("b2b", &keys).await.unwrap(), [false, true]);
    // The key is free again.
    erp.put("erp", (PartKind::Customer, customer("1"), Some(&["b2b"]))).await;
    assert_eq!(store.membership("b2b", &keys).await.unwrap(), [true, true]);
}
