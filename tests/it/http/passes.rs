//! Complete passes over pages: what is absent, and what becomes of one that breaks off.

use std::time::Duration;

use tradebridge::store::{Run, RunFilter, RunState};

use super::table::{BY_KEY, BY_OFFSET, Bridge, row};
use crate::support::conformance;
use crate::support::store::Engine;

conformance!(
    what_pages_that_shift_lack_is_gone_when_it_is_missed_twice,
    what_is_seen_again_is_missed_no_more,
    the_guard_counts_what_is_deleted_and_not_what_is_missed_once,
    a_manifest_can_say_that_pages_do_not_shift,
    a_pass_that_broke_off_goes_on_from_its_last_page,
    a_first_load_that_broke_off_goes_on_from_its_last_page,
    a_pass_over_pages_that_shift_begins_again,
    a_pass_that_comes_no_further_begins_again,
    a_pass_whose_process_died_goes_on_from_its_last_page,
    what_an_ordered_stream_gave_before_it_broke_off_is_kept,
    changes_that_are_due_are_pulled_between_two_pages_of_a_pass,
    a_pass_does_not_undo_what_changes_brought_meanwhile,
    a_held_pass_is_not_pulled_again_and_changes_go_on,
    a_held_pass_over_a_stream_without_cursor_waits_for_its_turn,
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

fn asked(since: Option<&str>, begins: Option<&str>) -> (Option<String>, Option<String>) {
    (since.map(str::to_owned), begins.map(str::to_owned))
}

/// The newest run.
async fn newest(bridge: &Bridge) -> Run {
    bridge.store.runs(&RunFilter { limit: 1, ..RunFilter::default() }).await.unwrap().remove(0)
}

/// Loads nine customers, changes all of them, and has a complete pass break off behind four pages of two.
async fn broken_off(engine: Engine, paging: &str) -> (Bridge, Run) {
    let bridge = Bridge::new(engine, paging).await;
    let plan = bridge.plan("floor = 20");
    bridge.fill(9, "Old");
    bridge.pull(&plan, true).await;
    bridge.fill(9, "New");
    *bridge.breaks.lock().unwrap() = Some(3);
    assert!(bridge.pull(&plan, true).await.0.is_empty());
    *bridge.breaks.lock().unwrap() = None;
    let run = newest(&bridge).await;
    (bridge, run)
}

async fn a_pass_that_broke_off_goes_on_from_its_last_page(engine: Engine) {
    let (bridge, broken) = broken_off(engine, BY_KEY).await;
    assert_eq!((broken.state, broken.counts.read), (RunState::Running, 6));
    assert!(broken.reason.as_ref().unwrap().contains("403"), "{:?}", broken.reason);
    assert_eq!(bridge.name("1").await.as_deref(), Some("Old 1"), "nothing is applied before its end");
    bridge.rows.lock().unwrap().retain(|row| row["Nr"] != "8");
    let before = bridge.server.asked().len();
    // The turn is one of changes: they come first, and then the rest of the pass.
    let (runs, _) = bridge.pull(&bridge.plan("floor = 20"), false).await;
    let run = runs.last().unwrap();
    assert_eq!((&run.id, run.state, run.reason.as_ref()), (&broken.id, RunState::Done, None));
    assert_eq!((run.counts.read, run.counts.deleted), (8, 1));
    let since = Some("2026-01-01T08:59:00Z");
    assert_eq!(bridge.asked(before), [asked(since, None), asked(None, Some("6")), asked(None, Some("9"))]);
    for nr in ["1", "6", "7", "9"] {
        assert_eq!(bridge.name(nr).await, Some(format!("New {nr}")));
    }
    assert_eq!(bridge.name("8").await, None);
    assert_eq!(bridge.pull(&bridge.plan("floor = 20"), true).await.0[0].counts.unchanged, 8);
}

async fn a_first_load_that_broke_off_goes_on_from_its_last_page(engine: Engine) {
    let bridge = Bridge::new(engine, BY_KEY).await;
    let plan = bridge.plan("floor = 20");
    bridge.fill(5, "New");
    *bridge.breaks.lock().unwrap() = Some(2);
    bridge.pull(&plan, false).await;
    *bridge.breaks.lock().unwrap() = None;
    let before = bridge.server.asked().len();
    let (runs, _) = bridge.pull(&plan, false).await;
    assert_eq!((runs[0].state, runs[0].counts.created, runs[0].loading), (RunState::Done, 5, true));
    assert_eq!(bridge.asked(before), [asked(None, Some("4"))]);
    assert_eq!(bridge.watermark(&plan).await, Some("2026-01-01T05:00:00Z".into()));
}

async fn a_pass_over_pages_that_shift_begins_again(engine: Engine) {
    let (bridge, broken) = broken_off(engine, BY_OFFSET).await;
    assert_eq!(broken.state, RunState::Failed);
    let before = bridge.server.asked().len();
    let (runs, _) = bridge.pull(&bridge.plan("floor = 20"), true).await;
    assert_eq!((runs[0].counts.updated, runs[0].state), (9, RunState::Done));
    assert_eq!(bridge.asked(before)[0], asked(None, None));
}

async fn a_pass_that_comes_no_further_begins_again(engine: Engine) {
    let (bridge, broken) = broken_off(engine, BY_KEY).await;
    let plan = bridge.plan("floor = 20");
    // Changes are answered, the next page is not.
    *bridge.breaks.lock().unwrap() = Some(1);
    bridge.pull(&plan, true).await;
    assert_eq!(bridge.store.run(&broken.id).await.unwrap().unwrap().state, RunState::Failed);
    *bridge.breaks.lock().unwrap() = None;
    let before = bridge.server.asked().len();
    let (runs, _) = bridge.pull(&plan, true).await;
    assert_eq!((runs[0].counts.read, runs[0].state), (9, RunState::Done));
    assert_eq!(bridge.asked(before)[0], asked(None, None));
}

async fn a_pass_whose_process_died_goes_on_from_its_last_page(engine: Engine) {
    let mut bridge = Bridge::new(engine, BY_KEY).await;
    let plan = bridge.plan("floor = 20");
    bridge.fill(9, "Old");
    bridge.pull(&plan, true).await;
    bridge.fill(9, "New");
    bridge.stalls(3);
    {
        let running = RunFilter { state: Some(RunState::Running), limit: 1, ..RunFilter::default() };
        let pulling = bridge.pull(&plan, true);
        let committed = async {
            while bridge.store.runs(&running).await.unwrap().iter().all(|run| run.reached.is_none()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            _ = pulling => panic!("it cannot end"),
            () = committed => {}
        }
    }
    let broken = newest(&bridge).await;
    bridge.restart();
    let before = bridge.server.asked().len();
    let (runs, _) = bridge.pull(&plan, true).await;
    assert_eq!(runs.last().map(|run| (&run.id, run.counts.read)), Some((&broken.id, 9)));
    let pages: Vec<_> = bridge.asked(before).into_iter().filter(|(since, _)| since.is_none()).collect();
    assert_eq!(pages, [asked(None, Some("6")), asked(None, Some("8"))]);
    assert_eq!(bridge.name("2").await.as_deref(), Some("New 2"));
}

async fn what_an_ordered_stream_gave_before_it_broke_off_is_kept(engine: Engine) {
    let bridge = Bridge::new(engine, BY_OFFSET).await;
    bridge.rewrite("look_back = \"1m\"", "look_back = \"1m\", ordered = true");
    let plan = bridge.plan("floor = 20");
    bridge.pull(&plan, true).await;
    bridge.fill(20, "New");
    *bridge.breaks.lock().unwrap() = Some(2);
    bridge.pull(&plan, false).await;
    let until = bridge.watermark(&plan).await;
    *bridge.breaks.lock().unwrap() = None;
    let before = bridge.server.asked().len();
    let (runs, _) = bridge.pull(&plan, false).await;
    assert_eq!(until, Some("2026-01-01T10:00:00Z".into()), "nothing is applied as it breaks off");
    // Hours 10 to 13 were read; the next pull goes on from there.
    assert_eq!((runs.len(), runs[0].state, runs[0].counts.read), (2, RunState::Done, 4));
    assert_eq!(bridge.asked(before)[0], asked(Some("2026-01-01T12:59:00Z"), None));
    assert_eq!(bridge.watermark(&plan).await, Some("2026-01-01T20:00:00Z".into()));
    assert_eq!(bridge.name("11").await.as_deref(), Some("New 11"));
    assert_eq!(bridge.name("20").await.as_deref(), Some("New 20"));
}

async fn changes_that_are_due_are_pulled_between_two_pages_of_a_pass(engine: Engine) {
    let bridge = Bridge::new(engine, BY_KEY).await;
    let plan = bridge.plan_with("floor = 20", "every = '1ms'");
    bridge.fill(5, "Old");
    bridge.pull(&plan, true).await;
    bridge.fill(5, "New");
    // The pass waits for its second page until a change has arrived.
    bridge.stalls(1);
    let (before, gate) = (bridge.server.asked().len(), bridge.gate());
    let pulling = bridge.pull(&plan, true);
    let changed = async {
        bridge.server.arrived(before + 2).await;
        bridge.set(5, "Newest 5", "2026-01-02T05:00:00Z");
        while bridge.name("5").await.as_deref() != Some("Newest 5") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        gate.add_permits(100);
    };
    let ((runs, _), ()) = tokio::join!(pulling, changed);
    assert!(runs.len() > 1 && runs[..runs.len() - 1].iter().all(|run| !run.complete), "{runs:?}");
    let pass = runs.last().unwrap();
    assert_eq!((pass.complete, pass.state, pass.counts.read), (true, RunState::Done, 5));
    assert_eq!(bridge.name("5").await.as_deref(), Some("Newest 5"));
    assert_eq!(bridge.name("1").await.as_deref(), Some("New 1"));
}

async fn a_pass_does_not_undo_what_changes_brought_meanwhile(engine: Engine) {
    let (bridge, broken) = broken_off(engine, BY_KEY).await;
    {
        let mut rows = bridge.rows.lock().unwrap();
        // Read as new by the pass, and as it had been ever since.
        rows[0] = row("1", "Old 1", "2026-01-02T01:00:00Z");
        rows[1] = row("2", "Newest 2", "2026-01-02T01:00:00Z");
        // New, where the pass was already, and changed where it is not yet.
        rows.insert(5, row("51", "New 51", "2026-01-02T01:00:00Z"));
        rows[7] = row("7", "Newest 7", "2026-01-02T01:00:00Z");
    }
    let (runs, _) = bridge.pull(&bridge.plan("floor = 20"), false).await;
    let pass = runs.last().unwrap();
    assert_eq!((runs.len(), &pass.id, pass.state, pass.counts.deleted), (2, &broken.id, RunState::Done, 0));
    for (nr, name) in [("1", "Old 1"), ("2", "Newest 2"), ("3", "New 3"), ("51", "New 51"), ("7", "Newest 7")] {
        assert_eq!(bridge.name(nr).await.as_deref(), Some(name));
    }
    let counts = bridge.pull(&bridge.plan("floor = 20"), true).await.0[0].counts;
    assert_eq!((counts.unchanged, counts.created + counts.updated + counts.deleted), (10, 0));
}

async fn a_held_pass_is_not_pulled_again_and_changes_go_on(engine: Engine) {
    let bridge = Bridge::new(engine, BY_KEY).await;
    let plan = bridge.plan("floor = 3, change = '10%'");
    bridge.fill(5, "Old");
    bridge.pull(&plan, true).await;
    bridge.fill(5, "New");
    let held = bridge.pull(&plan, true).await.0.remove(0);
    assert_eq!(held.state, RunState::Held);
    bridge.set(1, "Newest 1", "2026-01-02T01:00:00Z");
    let before = bridge.server.asked().len();
    let (runs, _) = bridge.pull(&plan, false).await;
    assert_eq!((runs.len(), runs[0].complete, runs[0].state), (1, false, RunState::Done));
    assert!(bridge.asked(before).iter().all(|(since, _)| since.is_some()), "only what changed is asked for");
    assert_eq!(bridge.name("1").await.as_deref(), Some("Newest 1"));
    assert_eq!(bridge.store.run(&held.id).await.unwrap().unwrap().state, RunState::Held, "it still waits");
    bridge.puller.approve(&plan, &held.id).await.unwrap();
    assert_eq!(bridge.name("1").await.as_deref(), Some("Newest 1"), "what is newer stays");
    assert_eq!(bridge.name("2").await.as_deref(), Some("New 2"));
}

async fn a_held_pass_over_a_stream_without_cursor_waits_for_its_turn(engine: Engine) {
    for paging in [BY_KEY, BY_OFFSET] {
        let bridge = Bridge::new(engine, paging).await;
        bridge.rewrite("cursor = {", "#");
        bridge.rewrite("since = \"${cursor}\", ", "");
        let plan = bridge.plan("floor = 2, change = '10%'");
        bridge.fill(5, "Old");
        bridge.pull(&plan, true).await;
        bridge.fill(5, "New");
        let held = bridge.pull(&plan, false).await.0.remove(0);
        assert_eq!(held.state, RunState::Held);
        let before = bridge.server.asked().len();
        assert!(bridge.pull(&plan, false).await.0.is_empty() && bridge.server.asked().len() == before, "it waits");
        let again = bridge.pull(&plan, true).await.0.remove(0);
        assert_eq!(again.state, RunState::Held, "a complete pass in its turn takes its place");
        assert_eq!(bridge.store.run(&held.id).await.unwrap().unwrap().state, RunState::Superseded);
    }
}
