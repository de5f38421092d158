//! Complete passes over pages: what is absent, and what becomes of one that breaks off.

use tradebridge::store::{RunState, Store as _};

use super::table::{BY_KEY, BY_OFFSET, Bridge, row};
use crate::support::conformance;
use crate::support::store::Engine;

conformance!(
    what_pages_that_shift_lack_is_gone_when_it_is_missed_twice,
    what_is_seen_again_is_missed_no_more,
    the_guard_counts_what_is_deleted_and_not_what_is_missed_once,
    a_manifest_can_say_that_pages_do_not_shift,
);

/// Takes customer 1 out of the table.
fn remove(bridge: &Bridge) {
    bridge.rows.lock().unwrap().retain(|row| row["Nr"] != "1");
}

fn put_back(bridge: &Bridge, changed: &str) {
    bridge.rows.lock().unwrap().insert(0, row("1", "One", changed));
}

async fn what_pages_that_shift_lack_is_gone_when_it_is_missed_twice(engine: Engine) {
    let bridge = Bridge::new(engine, BY_OFFSET).await;
    let plan = bridge.plan("floor = 20");
    bridge.pull(&plan, true).await;
    remove(&bridge);
    let counts = bridge.pull(&plan, true).await.0[0].counts;
    assert_eq!((counts.deleted, counts.missed), (0, 1));
    assert_eq!(bridge.name("1").await.as_deref(), Some("One"));
    bridge.pull(&plan, false).await;
    let counts = bridge.pull(&plan, true).await.0[0].counts;
    assert_eq!((counts.deleted, counts.missed, bridge.name("1").await), (1, 0, None));
    // It begins again as if it had never been missed.
    put_back(&bridge, "2026-01-01T08:00:00Z");
    assert_eq!(bridge.pull(&plan, true).await.0[0].counts.created, 1);
    remove(&bridge);
    let counts = bridge.pull(&plan, true).await.0[0].counts;
    assert_eq!((counts.deleted, counts.missed), (0, 1));
}

async fn what_is_seen_again_is_missed_no_more(engine: Engine) {
    let bridge = Bridge::new(engine, BY_OFFSET).await;
    let plan = bridge.plan("floor = 20");
    bridge.pull(&plan, true).await;
    // By a complete pass, and by a pull of changes that finds it as it was.
    for (full, changed) in [(true, "2026-01-01T08:00:00Z"), (false, "2026-01-01T10:00:00Z")] {
        remove(&bridge);
        assert_eq!(bridge.pull(&plan, true).await.0[0].counts.missed, 1);
        put_back(&bridge, changed);
        bridge.pull(&plan, full).await;
        remove(&bridge);
        let counts = bridge.pull(&plan, true).await.0[0].counts;
        assert_eq!((counts.deleted, counts.missed), (0, 1), "full: {full}");
        put_back(&bridge, changed);
        bridge.pull(&plan, true).await;
    }
}

async fn the_guard_counts_what_is_deleted_and_not_what_is_missed_once(engine: Engine) {
    let bridge = Bridge::new(engine, BY_OFFSET).await;
    let plan = bridge.plan("floor = 1, delete = '10%'");
    bridge.pull(&plan, true).await;
    remove(&bridge);
    assert_eq!(bridge.pull(&plan, true).await.0[0].state, RunState::Done);
    let held = bridge.pull(&plan, true).await.0.remove(0);
    assert_eq!((held.state, held.counts.deleted), (RunState::Held, 1));
    assert_eq!(bridge.name("1").await.as_deref(), Some("One"));
    // A pass that takes its place misses the same.
    let again = bridge.pull(&plan, true).await.0.remove(0);
    assert_eq!((again.state, again.counts.deleted), (RunState::Held, 1));
    bridge.puller.approve(&plan, &again.id).await.unwrap();
    assert_eq!(bridge.name("1").await, None);
}

async fn a_manifest_can_say_that_pages_do_not_shift(engine: Engine) {
    for (paging, deleted) in
        [(format!("{BY_OFFSET}, stable = true"), 1), (format!("{BY_KEY}, stable = false"), 0), (BY_KEY.to_owned(), 1)]
    {
        let bridge = Bridge::new(engine, &paging).await;
        let plan = bridge.plan("floor = 20");
        bridge.pull(&plan, true).await;
        remove(&bridge);
        let counts = bridge.pull(&plan, true).await.0[0].counts;
        assert_eq!((counts.deleted, counts.missed), (deleted, 1 - deleted), "{paging}");
    }
}
