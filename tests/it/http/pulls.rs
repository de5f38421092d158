//! Whole pulls from a system over HTTP into a store: complete and incremental, failed, held, and after a change of the mapping.

use serde_json::json;
use tradebridge::store::{RunFilter, RunState};
use tradebridge::sync::{Change, FieldDifference};

use super::table::{BY_KEY, Bridge, CUSTOMER, row};
use crate::support::conformance;
use crate::support::store::Engine;

conformance!(
    a_pull_asks_for_what_changed_since_the_one_before_it,
    a_failed_pull_leaves_the_watermark,
    a_held_pull_leaves_the_watermark_and_waits_for_a_person,
    a_changed_mapping_asks_for_everything_again,
    a_preview_says_what_would_change_writes_nothing_and_reads_no_page_more,
);

async fn a_pull_asks_for_what_changed_since_the_one_before_it(engine: Engine) {
    let bridge = Bridge::new(engine, BY_KEY).await;
    let plan = bridge.plan("floor = 20");
    let (runs, since) = bridge.pull(&plan, false).await;
    assert_eq!((runs[0].counts.created, runs[0].complete, since), (3, true, None));
    assert_eq!(bridge.watermark(&plan).await, Some(json!("2026-01-01T10:00:00Z")));

    bridge.set(1, "Uno", "2026-01-01T11:00:00Z");
    let (runs, since) = bridge.pull(&plan, false).await;
    assert_eq!(since.as_deref(), Some("2026-01-01T09:59:00Z"), "a while before what was seen");
    assert_eq!((runs[0].counts.updated, runs[0].counts.unchanged, runs[0].complete), (1, 1, false));
    assert_eq!(bridge.name("1").await.as_deref(), Some("Uno"));
    assert_eq!(bridge.watermark(&plan).await, Some(json!("2026-01-01T11:00:00Z")));
    // Nothing is new, and what is gone is seen by a complete pass alone.
    bridge.rows.lock().unwrap().remove(0);
    let (runs, _) = bridge.pull(&plan, false).await;
    assert_eq!((runs[0].counts.read, runs[0].state, bridge.name("1").await.is_some()), (0, RunState::Done, true));
    assert_eq!(bridge.watermark(&plan).await, Some(json!("2026-01-01T11:00:00Z")), "an empty answer moves nothing");
    let (runs, since) = bridge.pull(&plan, true).await;
    assert_eq!((runs[0].complete, since), (true, None));
    assert_eq!(bridge.name("1").await, None, "pages by key do not shift: it is gone");
}

async fn a_failed_pull_leaves_the_watermark(engine: Engine) {
    let bridge = Bridge::new(engine, BY_KEY).await;
    let plan = bridge.plan("floor = 20");
    bridge.pull(&plan, false).await;
    let before = bridge.watermark(&plan).await;
    bridge.set(1, "Uno", "2026-02-01T11:00:00Z");
    bridge.set(2, "Due", "2026-02-01T12:00:00Z");
    bridge.set(3, "Tre", "2026-02-01T13:00:00Z");
    *bridge.breaks.lock().unwrap() = Some(1);
    bridge.pull(&plan, false).await;
    assert_eq!((bridge.watermark(&plan).await, bridge.name("1").await.as_deref()), (before, Some("One")));
    *bridge.breaks.lock().unwrap() = None;
    let (runs, since) = bridge.pull(&plan, false).await;
    assert_eq!(since.as_deref(), Some("2026-01-01T09:59:00Z"));
    assert_eq!(runs.last().unwrap().counts.updated, 3);
    assert_eq!(bridge.name("3").await.as_deref(), Some("Tre"));
}

async fn a_held_pull_leaves_the_watermark_and_waits_for_a_person(engine: Engine) {
    let bridge = Bridge::new(engine, BY_KEY).await;
    let plan = bridge.plan("floor = 1, change = '10%'");
    bridge.pull(&plan, false).await;
    let before = bridge.watermark(&plan).await;
    bridge.set(1, "Uno", "2026-02-01T11:00:00Z");
    bridge.set(2, "Due", "2026-02-01T12:00:00Z");
    let (runs, _) = bridge.pull(&plan, false).await;
    assert_eq!((runs[0].state, bridge.watermark(&plan).await), (RunState::Held, before));
    let asked = bridge.server.asked().len();
    assert!(bridge.pull(&plan, false).await.0.is_empty(), "it waits");
    assert_eq!(bridge.server.asked().len(), asked, "and asks for nothing");

    let done = bridge.puller.approve(&plan, &runs[0].id).await.unwrap();
    assert_eq!((done.state, bridge.name("2").await.as_deref()), (RunState::Done, Some("Due")));
    assert_eq!(bridge.watermark(&plan).await, Some(json!("2026-02-01T12:00:00Z")));
    let (runs, since) = bridge.pull(&plan, false).await;
    assert_eq!((runs[0].state, since.as_deref()), (RunState::Done, Some("2026-02-01T11:59:00Z")));
}

async fn a_changed_mapping_asks_for_everything_again(engine: Engine) {
    let bridge = Bridge::new(engine, BY_KEY).await;
    bridge.pull(&bridge.plan("floor = 20"), false).await;
    let text = CUSTOMER.replace("\"Name\"", "\"Name.upper()\"");
    std::fs::write(bridge.directory.path().join("mappings/web/customer.toml"), text).unwrap();
    let plan = bridge.plan("floor = 20");
    let (runs, since) = bridge.pull(&plan, false).await;
    assert_eq!((runs[0].complete, runs[0].counts.updated, since), (true, 3, None));
    assert_eq!(bridge.name("1").await.as_deref(), Some("ONE"));
    assert!(bridge.pull(&plan, false).await.1.is_some(), "and then for what changed");
}

/// Everything that a pull would write to.
async fn rows(bridge: &Bridge) -> Vec<String> {
    let store = &bridge.store;
    let sources = store.sources().await.unwrap();
    let filter = RunFilter { limit: 100, ..RunFilter::default() };
    let (head, runs) = (store.head().await.unwrap(), store.runs(&filter).await.unwrap());
    let mut rows = vec![format!("{sources:?} {head:?} {runs:?} {:?}", store.rejections(None, 0, 100).await.unwrap())];
    for source in sources {
        let living = store.living(source.id, "", 100).await.unwrap();
        rows.push(format!("{living:?} {:?}", store.taken(source.id).await.unwrap()));
    }
    rows
}

async fn a_preview_says_what_would_change_writes_nothing_and_reads_no_page_more(engine: Engine) {
    let bridge = Bridge::new(engine, BY_KEY).await;
    let plan = bridge.plan("floor = 20");
    let pull = plan.pulls_of("erp", Some("customer")).remove(0);
    let fresh = rows(&bridge).await;
    let previewed = bridge.puller.preview(&pull, 1).await.unwrap();
    assert_eq!((previewed.len(), previewed[0].change), (1, Change::New));
    assert_eq!(bridge.server.asked().len(), 1, "one page has the first record");
    assert_eq!(rows(&bridge).await, fresh, "not even the source is known");

    bridge.pull(&plan, false).await;
    bridge.set(1, "Uno", "2026-01-01T08:00:00Z");
    bridge.rows.lock().unwrap().push(json!({ "Nr": "4", "Changed": "2026-01-01T11:00:00Z" }));
    bridge.rows.lock().unwrap().push(row("5", "Five", "2026-01-01T11:00:00Z"));
    let text = CUSTOMER.replace("key = \"Nr\"", "key = \"Nr\"\nwhere = \"Nr != '3'\"");
    std::fs::write(bridge.directory.path().join("mappings/web/customer.toml"), text).unwrap();
    let pull = bridge.plan("floor = 20").pulls_of("erp", Some("customer")).remove(0);
    let (before, asked) = (rows(&bridge).await, bridge.server.asked().len());
    let previewed = bridge.puller.preview(&pull, 9).await.unwrap();
    let changes: Vec<Change> = previewed.iter().map(|record| record.change).collect();
    assert_eq!(changes, [Change::Changed, Change::Unchanged, Change::Deleted, Change::Nothing, Change::New]);
    let difference =
        FieldDifference { field: "name".to_owned(), before: Some(json!("One")), after: Some(json!("Uno")) };
    assert_eq!(previewed[0].differences, [difference]);
    assert!(previewed[2].stored.is_some() && previewed[3].outcome.is_err() && previewed[1].differences.is_empty());
    assert_eq!(rows(&bridge).await, before);
    assert_eq!(bridge.server.asked().len(), asked + 3, "two pages are full, and the third is the last");
    let few = bridge.puller.preview(&pull, 2).await.unwrap();
    assert_eq!((few.len(), bridge.server.asked().len()), (2, asked + 4), "a page of two has two records");
}
