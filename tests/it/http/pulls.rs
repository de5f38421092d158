//! Whole pulls from a system over HTTP into a store: complete and incremental, failed, held, and after a change of the mapping.

use serde_json::json;
use tradebridge::store::RunState;

use super::table::{BY_KEY, Bridge, CUSTOMER};
use crate::support::conformance;
use crate::support::store::Engine;

conformance!(
    a_pull_asks_for_what_changed_since_the_one_before_it,
    a_failed_pull_leaves_the_watermark,
    a_held_pull_leaves_the_watermark_and_waits_for_a_person,
    a_changed_mapping_asks_for_everything_again,
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
