//! What becomes valid or expires appears in the feed at the midnight of its connection's zone, on either engine.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::{Value, json};
use tradebridge::model::hash::content_hash;
use tradebridge::model::{Content, Key, PartKind};
use tradebridge::store::{Difference, Operation, Page, Run, RunState, Source, Store};
use tradebridge::sync::{Zones, next_turn, today, turn};

use crate::support::conformance;
use crate::support::store::{Engine, TestStore, lease, new_id, run};

conformance!(
    a_price_becomes_valid_once_at_midnight_of_its_zone,
    a_price_expires_on_the_day_after_its_last,
    days_that_were_missed_are_caught_up,
    a_price_whose_dates_change_before_turns_by_the_new_ones,
    a_clock_that_is_set_back_leaves_nothing_out,
    more_than_a_page_is_turned,
);

struct Prices {
    store: TestStore,
    source: Source,
    zones: Zones,
    read: std::cell::Cell<i64>,
}

impl Prices {
    async fn new(engine: Engine) -> Self {
        let store = TestStore::new(engine).await;
        let source = store.source("erp", "price_agreement", PartKind::PriceAgreement).await.unwrap();
        let zones = Zones::new([("Europe/Amsterdam".parse().unwrap(), "erp".to_owned())]);
        Self { store, source, zones, read: std::cell::Cell::new(0) }
    }

    /// Stores lines as a run at an instant does, and reads the feed to its end.
    async fn store(&self, at: &str, lines: &[(&str, Value, Option<Value>)]) {
        let zone = jiff::tz::TimeZone::get("Europe/Amsterdam").unwrap();
        let differences = lines
            .iter()
            .zip(0..)
            .map(|((id, content, before), position)| Difference {
                position,
                operation: Operation::Upsert,
                source_key: (*id).to_owned(),
                key: Key::new("NL01", *id),
                part: String::new(),
                who: Some("*".to_owned()),
                what: Some("*".to_owned()),
                content: Some(Content::of(PartKind::PriceAgreement, content)),
                before: before.as_ref().map(content_hash),
                after: Some(content_hash(content)),
                source_hash: content_hash(content),
                shops: None,
                raw: None,
                turn: next_turn(
                    PartKind::PriceAgreement,
                    &Content::of(PartKind::PriceAgreement, content),
                    today(instant(at), &zone),
                ),
            })
            .collect();
        let run = run(new_id(), &self.source);
        let held = lease(&*self.store, self.source.id).await;
        let page = Page { differences, ..Page::default() };
        self.store.commit_load(&held, &run, &page).await.unwrap();
        self.store.finish_run(&held, &Run { state: RunState::Done, ..run }).await.unwrap();
        self.changed().await;
    }

    /// Does what is due at an instant.
    async fn turn(&self, at: &str) -> u64 {
        turn(&self.store.shared(), &self.zones, instant(at)).await.unwrap()
    }

    /// The numbers of what changed since the feed was read last.
    async fn changed(&self) -> Vec<String> {
        let changes = self.store.changes(self.read.get(), &[], 10_000).await.unwrap();
        self.read.set(self.store.head().await.unwrap().sequence);
        changes.into_iter().map(|change| change.key.number).collect()
    }
}

fn instant(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn price(id: &str, from: Option<&str>, to: Option<&str>) -> Value {
    let mut content = json!({ "id": id, "value": "1.00" });
    for (name, date) in [("valid_from", from), ("valid_to", to)] {
        if let Some(date) = date {
            content[name] = json!(date);
        }
    }
    content
}

async fn a_price_becomes_valid_once_at_midnight_of_its_zone(engine: Engine) {
    let prices = Prices::new(engine).await;
    let line = price("1", Some("2026-07-02"), None);
    prices.store("2026-07-01T10:00:00Z", &[("1", line, None), ("2", price("2", None, None), None)]).await;
    let before = prices.store.parts(PartKind::PriceAgreement.entity(), &[Key::new("NL01", "1")]).await.unwrap();
    assert_eq!(prices.turn("2026-07-01T10:00:00Z").await, 0);
    assert_eq!(prices.turn("2026-07-01T21:59:59Z").await, 0, "a second before midnight in Amsterdam");
    // In UTC it is ten in the evening of the day before.
    assert_eq!(prices.turn("2026-07-01T22:00:00Z").await, 1);
    assert_eq!(prices.changed().await, ["1"]);
    let after = prices.store.parts(PartKind::PriceAgreement.entity(), &[Key::new("NL01", "1")]).await.unwrap();
    assert_eq!((after[0].changed_at, after[0].hash), (before[0].changed_at, before[0].hash), "its content is the same");
    for again in ["2026-07-01T22:00:01Z", "2026-07-02T00:00:00Z", "2026-07-02T22:00:00Z", "2026-07-09T22:00:00Z"] {
        assert_eq!(prices.turn(again).await, 0, "{again}");
    }
    assert!(prices.changed().await.is_empty());
}

async fn a_price_expires_on_the_day_after_its_last(engine: Engine) {
    let prices = Prices::new(engine).await;
    let line = price("1", Some("2026-10-24"), Some("2026-10-25"));
    prices.store("2026-10-23T10:00:00Z", &[("1", line, None)]).await;
    assert_eq!(prices.turn("2026-10-23T22:00:00Z").await, 1, "it begins");
    // The clocks go back on the 25th, which has 25 hours.
    assert_eq!(prices.turn("2026-10-24T22:00:00Z").await, 0);
    assert_eq!(prices.turn("2026-10-25T22:00:00Z").await, 0, "eleven in the evening of its last day");
    assert_eq!(prices.turn("2026-10-25T23:00:00Z").await, 1, "it is over");
    assert_eq!(prices.changed().await, ["1"]);
    assert_eq!(prices.turn("2026-11-25T23:00:00Z").await, 0);
}

async fn days_that_were_missed_are_caught_up(engine: Engine) {
    let prices = Prices::new(engine).await;
    let lines = [
        ("1", price("1", Some("2026-07-02"), Some("2026-07-03")), None),
        ("2", price("2", Some("2026-07-04"), None), None),
        ("3", price("3", Some("2026-07-04"), Some("2026-07-05")), None),
        ("4", price("4", Some("2026-07-06"), None), None),
    ];
    prices.store("2026-07-01T10:00:00Z", &lines).await;
    prices.turn("2026-07-01T10:00:00Z").await;
    let prices = Prices { store: prices.store.reopen().await, ..prices };
    // It stood still for three midnights: each price is there once, as it is now.
    assert_eq!(prices.turn("2026-07-04T09:00:00Z").await, 3);
    assert_eq!(prices.changed().await, ["1", "2", "3"]);
    assert_eq!(prices.store.turned("Europe/Amsterdam").await.unwrap(), Some(days("2026-07-04")));
    assert_eq!(prices.turn("2026-07-05T22:00:00Z").await, 2, "the third is over, the fourth begins");
    assert_eq!(prices.changed().await, ["3", "4"]);
}

fn days(date: &str) -> i32 {
    let date: Date = date.parse().unwrap();
    today(date.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp(), &jiff::tz::TimeZone::UTC)
}

async fn a_price_whose_dates_change_before_turns_by_the_new_ones(engine: Engine) {
    let prices = Prices::new(engine).await;
    let first = price("1", Some("2026-07-02"), None);
    prices.store("2026-07-01T10:00:00Z", &[("1", first.clone(), None)]).await;
    let later = price("1", Some("2026-07-03"), None);
    prices.store("2026-07-01T11:00:00Z", &[("1", later, Some(first))]).await;
    assert_eq!(prices.turn("2026-07-01T22:00:00Z").await, 0);
    assert_eq!(prices.turn("2026-07-02T22:00:00Z").await, 1);
    assert_eq!(prices.changed().await, ["1"]);
}

async fn a_clock_that_is_set_back_leaves_nothing_out(engine: Engine) {
    let prices = Prices::new(engine).await;
    assert_eq!(prices.turn("2026-07-02T10:00:00Z").await, 0, "the clock is a day ahead");
    assert_eq!(prices.turn("2026-07-01T10:00:00Z").await, 0);
    prices.store("2026-07-01T11:00:00Z", &[("1", price("1", Some("2026-07-02"), None), None)]).await;
    assert_eq!(prices.turn("2026-07-01T12:00:00Z").await, 0);
    assert_eq!(prices.turn("2026-07-01T22:00:00Z").await, 1);
}

async fn more_than_a_page_is_turned(engine: Engine) {
    let prices = Prices::new(engine).await;
    let ids: Vec<String> = (0..1200).map(|id| format!("{id:04}")).collect();
    let lines: Vec<_> =
        ids.iter().map(|id| (id.as_str(), price(id, Some("2026-07-02"), None), None::<Value>)).collect();
    prices.store("2026-07-01T10:00:00Z", &lines).await;
    assert_eq!(prices.turn("2026-07-01T22:00:00Z").await, 1200);
    let mut changed = prices.changed().await;
    changed.sort_unstable();
    assert_eq!(changed, ids);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_turn_a_day_once() {
    let engine = Engine::Postgres;
    if engine.is_left_out() {
        return;
    }
    let prices = Prices::new(engine).await;
    let ids: Vec<String> = (0..1200).map(|id| format!("{id:04}")).collect();
    let lines: Vec<_> =
        ids.iter().map(|id| (id.as_str(), price(id, Some("2026-07-02"), None), None::<Value>)).collect();
    prices.store("2026-07-01T10:00:00Z", &lines).await;
    let head = prices.store.head().await.unwrap().sequence;
    let other = prices.store.another().await;
    let stores: [Arc<dyn Store>; 2] = [prices.store.shared(), other.shared()];
    let at = instant("2026-07-01T22:00:00Z");
    let (one, two) = tokio::join!(turn(&stores[0], &prices.zones, at), turn(&stores[1], &prices.zones, at));
    assert_eq!(one.unwrap() + two.unwrap(), 1200);
    assert_eq!(prices.store.head().await.unwrap().sequence, head + 1200, "each has one new sequence");
    assert_eq!(prices.store.turned("Europe/Amsterdam").await.unwrap(), Some(days("2026-07-02")));
}
