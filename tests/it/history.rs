//! What was known at an instant, whatever engine stands behind the store, and from a changed file to the answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt as _;
use tradebridge::config::Config;
use tradebridge::daemon::Bridge;
use tradebridge::model::{Entity, Key, PartKind, Target};
use tradebridge::publish::{Ending, ended};
use tradebridge::store::{Condition, Listing, Run, RunState, Surplus, View};

use crate::daemon::Site;
use crate::shops::{Erp, view};
use crate::support::conformance;
use crate::support::store::{Engine, Place, run};
use crate::upkeep::prune;

conformance!(
    a_version_is_known_until_it_is_superseded_or_deleted,
    every_instant_of_a_turbulent_past_is_listed_as_it_was,
    a_long_past_is_walked_to_its_end,
    filters_look_at_what_records_were,
    the_past_is_seen_with_the_scope_of_today,
    what_is_forgotten_bounds_how_far_history_reaches,
    a_stream_is_as_old_as_it_was_then,
    a_price_is_told_for_each_instant_with_the_run_that_brought_it,
);

fn listing(entity: Entity) -> Listing {
    Listing {
        entity,
        company: None,
        who: Vec::new(),
        what: Vec::new(),
        conditions: Vec::new(),
        after: None,
        limit: 100,
    }
}

fn key(number: &str) -> Key {
    Key::new("NL01", number)
}

fn price(id: &str, value: &str) -> Value {
    json!({"id": id, "customer": "10", "product": "P", "kind": "net_price", "currency": "EUR", "value": value})
}

async fn value_at(erp: &Erp, id: &str, at: Timestamp) -> Option<String> {
    let versions = erp.store.versions_at(Entity::PriceAgreement, &[key(id)], at).await.unwrap();
    assert!(versions.len() <= 1);
    versions.first().map(|version| version.part.content["value"].as_str().unwrap().to_owned())
}

async fn a_version_is_known_until_it_is_superseded_or_deleted(engine: Engine) {
    let erp = Erp::new(engine).await;
    let never = Timestamp::now();
    let mut instants = Vec::new();
    for (value, expected) in [("1", Some("1")), ("2", Some("2")), ("", None), ("3", Some("3"))] {
        if value.is_empty() {
            erp.delete("erp", PartKind::PriceAgreement, "7").await;
        } else {
            erp.put("erp", (PartKind::PriceAgreement, price("7", value), None)).await;
        }
        instants.push((Timestamp::now(), expected));
    }
    assert_eq!(value_at(&erp, "7", never).await, None);
    for (at, expected) in instants {
        assert_eq!(value_at(&erp, "7", at).await.as_deref(), expected, "{at}");
    }
    let all = erp.store.versions(Entity::PriceAgreement, &[key("7")], 10).await.unwrap();
    let values: Vec<&str> = all.iter().map(|version| version.part.content["value"].as_str().unwrap()).collect();
    assert_eq!(values, ["3", "2", "1"], "the newest first");
    assert!(all[0].until.is_none());
    for version in &all[1..] {
        let (since, until) = (version.part.changed_at, version.until.unwrap());
        assert!(since <= until && until <= all[0].part.changed_at);
        assert_eq!(
            value_at(&erp, "7", since).await.as_deref(),
            version.part.content["value"].as_str(),
            "from since on"
        );
        assert_ne!(value_at(&erp, "7", until).await.as_deref(), version.part.content["value"].as_str(), "not at until");
    }
    let runs: Vec<String> = all.iter().map(|version| version.part.run.clone()).collect();
    let runs = erp.store.runs_of(&runs).await.unwrap();
    assert_eq!(runs.len(), 3);
    let how = |at: usize| ended(&all[at], &all, &[], &runs).map(|ended| (ended.how, ended.run));
    assert_eq!(how(0), None);
    assert_eq!(how(1), Some((Ending::Deleted, None)), "it was gone for a while, by a run that nothing names any more");
    assert_eq!(how(2), Some((Ending::Superseded, Some(all[1].part.run.clone()))));
    assert_eq!(erp.store.versions(Entity::PriceAgreement, &[key("7")], 2).await.unwrap(), all[..2]);

    assert!(erp.store.deletions(Entity::PriceAgreement, &[key("7")]).await.unwrap().is_empty());
    erp.delete("erp", PartKind::PriceAgreement, "7").await;
    let all = erp.store.versions(Entity::PriceAgreement, &[key("7")], 10).await.unwrap();
    let gone = erp.store.deletions(Entity::PriceAgreement, &[key("7")]).await.unwrap();
    assert_eq!((gone.len(), gone[0].key.number.as_str()), (1, "7"));
    let how = ended(&all[0], &all, &gone, &runs).unwrap();
    assert_eq!((how.how, how.run.as_ref()), (Ending::Deleted, Some(&gone[0].run)));
}

/// A sequence of numbers that looks like chance and is the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// All that the operator finds, page by page.
async fn pages(erp: &Erp, wanted: &Listing, limit: u32, at: Timestamp) -> Vec<String> {
    let mut after = None;
    let mut numbers: Vec<String> = Vec::new();
    loop {
        let wanted = Listing { company: Some("NL01".to_owned()), after, limit, ..wanted.clone() };
        let page = erp.store.keys_at(&["erp".to_owned()], &wanted, at).await.unwrap();
        assert!(page.len() <= limit as usize);
        numbers.extend(page.iter().map(|key| key.number.clone()));
        if page.len() < limit as usize {
            return numbers;
        }
        after = page.last().cloned();
    }
}

async fn every_instant_of_a_turbulent_past_is_listed_as_it_was(engine: Engine) {
    const LINES: u64 = 25;
    let erp = Erp::new(engine).await;
    let mut dice = Dice(7);
    let mut state: BTreeMap<String, Value> = BTreeMap::new();
    let mut past = vec![(Timestamp::now(), state.clone())];
    for round in 0..30 {
        let mut contents: BTreeMap<String, Value> = BTreeMap::new();
        for _ in 0..=dice.roll(6) {
            let id = format!("{:02}", dice.roll(LINES));
            let customer = format!("{}", 1 + dice.roll(3));
            let product = ["P", "Q"][usize::try_from(dice.roll(2)).unwrap()];
            let from = format!("2026-{:02}-01", 1 + dice.roll(12));
            let content = json!({"id": id, "customer": customer, "product": product, "valid_from": from,
                "kind": "net_price", "currency": "EUR", "value": format!("{round}.{}", dice.roll(100))});
            contents.insert(id, content);
        }
        state.extend(contents.clone());
        erp.put_all("erp", PartKind::PriceAgreement, contents.into_values().collect()).await;
        if dice.roll(2) == 0 {
            let at = usize::try_from(dice.roll(state.len() as u64)).unwrap();
            let id = state.keys().nth(at).unwrap().clone();
            state.remove(&id);
            erp.delete("erp", PartKind::PriceAgreement, &id).await;
        }
        past.push((Timestamp::now(), state.clone()));
    }
    let one = |number: &str| Target::One(number.to_owned()).term();
    let all = listing(Entity::PriceAgreement);
    let day: jiff::civil::Date = "2026-06-15".parse().unwrap();
    for (at, state) in past {
        let expected = |keep: &dyn Fn(&Value) -> bool| -> Vec<String> {
            state.iter().filter(|(_, content)| keep(content)).map(|(id, _)| id.clone()).collect()
        };
        assert_eq!(pages(&erp, &all, 7, at).await, expected(&|_| true), "{at}");
        let about = Listing { who: vec![one("1"), one("2")], ..all.clone() };
        assert_eq!(pages(&erp, &about, 3, at).await, expected(&|content| content["customer"] != "3"), "{at}");
        let about = Listing { what: vec![one("Q")], conditions: vec![Condition::ValidOn(day)], ..all.clone() };
        let valid =
            |content: &Value| content["product"] == "Q" && content["valid_from"].as_str().unwrap() < "2026-06-15";
        assert_eq!(pages(&erp, &about, 3, at).await, expected(&valid), "{at}");
        let keys: Vec<Key> = (0..LINES).map(|id| key(&format!("{id:02}"))).collect();
        let versions = erp.store.versions_at(Entity::PriceAgreement, &keys, at).await.unwrap();
        let found: BTreeMap<String, Value> =
            versions.into_iter().map(|version| (version.part.key.number, version.part.content)).collect();
        assert_eq!(found, state, "{at}");
    }
}

/// Longer than the stretch of keys that living parts and history are walked through at once.
async fn a_long_past_is_walked_to_its_end(engine: Engine) {
    let erp = Erp::new(engine).await;
    let line = |number: u32, value: &str| price(&format!("{number:05}"), value);
    let kind = PartKind::PriceAgreement;
    erp.put_all("erp", kind, (0..10_400).map(|number| line(number, "1")).collect()).await;
    let then = Timestamp::now();
    // Nothing that is alive at the beginning was known then, and nothing of the history at the end.
    erp.put_all("erp", kind, (0..1_500).map(|number| line(number, "2")).collect()).await;
    erp.put_all("erp", kind, (20_000..20_100).map(|number| line(number, "1")).collect()).await;
    erp.delete("erp", kind, "10399").await;
    let all: Vec<String> = (0..10_400).map(|number| format!("{number:05}")).collect();
    for limit in [900, 20_000] {
        assert_eq!(pages(&erp, &listing(Entity::PriceAgreement), limit, then).await, all, "{limit}");
    }
    let now = pages(&erp, &listing(Entity::PriceAgreement), 900, Timestamp::now()).await;
    assert_eq!((now.len(), now.last().map(String::as_str)), (10_499, Some("20099")));
}

async fn filters_look_at_what_records_were(engine: Engine) {
    let erp = Erp::new(engine).await;
    let product = |group: &str, gtin: &str, unit: &str, status: &str| json!({"number": "P", "groups": [group], "gtin": gtin, "units": [{"code": "BX", "gtin": unit}], "status": status});
    erp.put("erp", (PartKind::Product, product("OLD", "1", "2", "active"), None)).await;
    let stock = |warehouse: &str| json!({"product": "P", "warehouse": warehouse, "available": "5"});
    erp.put("erp", (PartKind::Stock, stock("MAIN"), None)).await;
    let before = Timestamp::now();
    erp.put("erp", (PartKind::Product, product("NEW", "3", "4", "phase_out"), None)).await;
    erp.delete("erp", PartKind::Stock, "P~MAIN").await;
    let after = Timestamp::now();
    let text = str::to_owned;
    for (condition, then, now) in [
        (Condition::Group(text("OLD")), 1, 0),
        (Condition::Group(text("NEW")), 0, 1),
        (Condition::Gtin(text("1")), 1, 0),
        (Condition::Gtin(text("2")), 1, 0),
        (Condition::Gtin(text("4")), 0, 1),
        (Condition::Status(text("active")), 1, 0),
        (Condition::Number(text("P")), 1, 1),
        (Condition::Number(text("Q")), 0, 0),
    ] {
        let wanted = Listing { conditions: vec![condition.clone()], ..listing(Entity::Product) };
        for (at, expected) in [(before, then), (after, now)] {
            let found = erp.store.visible_keys_at(&view("a"), &wanted, at).await.unwrap();
            assert_eq!(found.len(), expected, "{condition:?} at {at}");
        }
    }
    for (warehouse, then) in [("MAIN", 1), ("OUTLET", 0)] {
        let wanted = listing(Entity::Stock);
        let narrow = View { warehouses: Some(vec![warehouse.to_owned()]), ..view("a") };
        for (view, wanted) in [
            (view("a"), Listing { conditions: vec![Condition::Warehouse(warehouse.to_owned())], ..wanted.clone() }),
            (narrow, wanted),
        ] {
            assert_eq!(erp.store.visible_keys_at(&view, &wanted, before).await.unwrap().len(), then, "{warehouse}");
            assert!(erp.store.visible_keys_at(&view, &wanted, after).await.unwrap().is_empty());
        }
    }
}

async fn the_past_is_seen_with_the_scope_of_today(engine: Engine) {
    let erp = Erp::new(engine).await;
    let customer = |name: &str| json!({"number": "10", "name": name});
    erp.put("erp", (PartKind::Customer, customer("First"), Some(&["a"]))).await;
    erp.put("erp", (PartKind::Contact, json!({"id": "c", "customer": "10", "name": "Jo"}), None)).await;
    erp.put("erp", (PartKind::PriceAgreement, price("7", "1"), None)).await;
    let then = Timestamp::now();
    erp.put("erp", (PartKind::Customer, customer("Second"), Some(&["b"]))).await;
    erp.put("erp", (PartKind::Contact, json!({"id": "c", "customer": "10", "name": "Joanne"}), None)).await;
    erp.put("erp", (PartKind::PriceAgreement, price("7", "2"), None)).await;
    let store = &erp.store;
    for (shop, connection, sees) in [("a", "erp", false), ("b", "erp", true), ("b", "other", false)] {
        let view = View { connections: vec![connection.to_owned()], ..view(shop) };
        let parts = store.visible_at(&view, Entity::Customer, &[key("10")], then).await.unwrap();
        let names: Vec<&str> = parts.iter().map(|part| part.content["name"].as_str().unwrap()).collect();
        assert_eq!(names, if sees { vec!["First", "Jo"] } else { vec![] }, "{shop} {connection}");
        for entity in [Entity::Customer, Entity::PriceAgreement] {
            let keys = store.visible_keys_at(&view, &listing(entity), then).await.unwrap();
            assert_eq!(keys.len(), usize::from(sees), "{shop} {connection} {entity}");
        }
    }
    erp.delete("erp", PartKind::Customer, "10").await;
    assert!(store.visible_at(&view("b"), Entity::Customer, &[key("10")], then).await.unwrap().is_empty());
    assert_eq!(
        store.versions_at(Entity::Customer, &[key("10")], then).await.unwrap().len(),
        2,
        "the operator sees him"
    );
}

async fn what_is_forgotten_bounds_how_far_history_reaches(engine: Engine) {
    let erp = Erp::new(engine).await;
    erp.put("erp", (PartKind::PriceAgreement, price("7", "0"), None)).await;
    let mut instants = Vec::new();
    for value in 1..5 {
        instants.push(Timestamp::now());
        erp.put("erp", (PartKind::PriceAgreement, price("7", &value.to_string()), None)).await;
    }
    let entity = Entity::PriceAgreement;
    assert_eq!(erp.store.complete_since(entity).await.unwrap(), None);
    let forget = async |entity, before| prune(&*erp.store, Surplus::History(entity), before).await.0;
    assert_eq!(forget(entity, instants[0]).await, 0);
    assert_eq!(erp.store.complete_since(entity).await.unwrap(), None, "nothing was forgotten");
    assert_eq!(forget(Entity::Stock, Timestamp::now()).await, 0);
    assert_eq!(forget(entity, instants[3]).await, 3);
    let since = erp.store.complete_since(entity).await.unwrap().unwrap();
    assert_eq!(since.as_microsecond(), instants[3].as_microsecond());
    assert_eq!(value_at(&erp, "7", instants[3]).await.as_deref(), Some("3"), "from then on everything is there");
    forget(entity, instants[1]).await;
    assert_eq!(erp.store.complete_since(entity).await.unwrap(), Some(since), "it does not reach back again");
}

async fn a_stream_is_as_old_as_it_was_then(engine: Engine) {
    let erp = Erp::new(engine).await;
    let never = Timestamp::now();
    let end = |second: i64| Timestamp::from_second(second).unwrap();
    let source = erp.store.source("erp", "prices", PartKind::PriceAgreement).await.unwrap();
    for (id, second) in [("r1", 100), ("r2", 200), ("r3", 300)] {
        let lease = crate::support::store::lease(&*erp.store, source.id).await;
        let run = Run {
            complete: true,
            state: RunState::Done,
            started_at: end(second - 10),
            ended_at: Some(end(second)),
            ..run(id, &source)
        };
        erp.store.begin_run(&lease, &run).await.unwrap();
        erp.store.finish_run(&lease, &run).await.unwrap();
    }
    for (at, expected) in [(end(99), None), (end(100), Some(100)), (end(299), Some(200)), (never, Some(300))] {
        let sources = erp.store.sources_at(at).await.unwrap();
        assert_eq!(sources[0].verified_at, expected.map(end), "{at}");
    }
}

/// The program's routes over a site with a store of its own.
struct Office {
    site: Site,
    bridge: Arc<Bridge>,
    router: Router,
    place: Place,
    _stop: watch::Sender<bool>,
}

impl Office {
    async fn open(engine: Engine) -> Self {
        let (site, place) = (Site::new(), Place::new(engine).await);
        let url = format!("url = \"{}\"", place.url());
        site.edit_config(|text| {
            let from = text.find("url = \"sqlite://").unwrap();
            let to = from + text[from..].find('\n').unwrap();
            let mut text = text;
            text.replace_range(from..to, &url);
            text
        });
        let (stop, stopping) = watch::channel(false);
        let config = Config::load(&site.config(), []).unwrap_or_else(|problems| panic!("{problems}"));
        let bridge = Bridge::open(config, stopping).await.unwrap();
        let router = bridge.router();
        Self { site, bridge, router, place, _stop: stop }
    }

    async fn ask(&self, method: &str, path: &str, key: &str, body: Option<&Value>) -> (StatusCode, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {key}"))
            .header(header::CONTENT_TYPE, "application/json");
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let answer = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let status = answer.status();
        let bytes = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    async fn trace(&self, path: &str) -> Value {
        let (status, trace) =
            self.ask("GET", &format!("/admin/v1/trace/{path}"), self.bridge.operator().reveal(), None).await;
        assert_eq!(status, StatusCode::OK, "{path}: {trace:#}");
        trace
    }

    /// Pulls an entity; the run's identifier.
    async fn pull(&self, entity: &str) -> String {
        let body = json!({ "connection": "erp", "entity": entity });
        let (status, reports) = self.ask("POST", "/admin/v1/sync", self.bridge.operator().reveal(), Some(&body)).await;
        assert_eq!(status, StatusCode::OK, "{reports:#}");
        assert_eq!(reports[0]["outcome"], "done", "{reports:#}");
        reports[0]["run"]["id"].as_str().unwrap().to_owned()
    }

    /// Rewrites the price 100001 in the export; without a value it is gone.
    fn write(&self, value: Option<&str>) {
        self.site.edit_export("prijsafspraken.csv", |lines| {
            let at = lines.iter().position(|line| line.starts_with(b"100001;")).unwrap();
            match value {
                None => drop(lines.remove(at)),
                Some(value) => {
                    let line = String::from_utf8_lossy(&lines[at]).into_owned();
                    let mut fields: Vec<&str> = line.split(';').collect();
                    fields[7] = value;
                    lines[at] = fields.join(";").into_bytes();
                }
            }
        });
    }
}

async fn a_price_is_told_for_each_instant_with_the_run_that_brought_it(engine: Engine) {
    const SHOP: &str = "tb_demo_key";
    let office = Office::open(engine).await;
    let before = Timestamp::now();
    for entity in ["customer", "product"] {
        office.pull(entity).await;
    }
    let mut past = Vec::new();
    for (written, known) in
        [(Some("0,7125"), Some("0.7125")), (Some("0,7300"), Some("0.73")), (Some("0,6900"), Some("0.69")), (None, None)]
    {
        office.write(written);
        past.push((office.pull("price_agreement").await, Timestamp::now(), known));
    }
    let number = |text: &Value| text.as_str().map(|text| text.parse::<rust_decimal::Decimal>().unwrap().normalize());
    for (run, at, known) in &past {
        let path = format!("/v1/price-agreements/100001?known_at={at}");
        let (status, record) = office.ask("GET", &path, SHOP, None).await;
        let list = format!("/v1/price-agreements?customer=10000&product=KGL-15-090&date=2026-11-12&known_at={at}");
        let (_, list) = office.ask("GET", &list, SHOP, None).await;
        let listed = list["items"].as_array().unwrap().iter().find(|item| item["id"] == "100001");
        let traced = office
            .trace(&format!("price_agreement?customer=10000&product=KGL-15-090&date=2026-11-12&known_at={at}"))
            .await;
        let versions = traced["known"][0]["versions"].as_array().unwrap();
        let version = versions.iter().find(|version| version["key"] == "NL01~100001");
        match known {
            None => {
                assert_eq!((status, listed, version), (StatusCode::NOT_FOUND, None, None), "{record:#}");
                assert!(!versions.is_empty(), "the other lines are there");
            }
            Some(value) => {
                let value = Some(value.parse().unwrap());
                assert_eq!(status, StatusCode::OK, "{record:#}");
                assert_eq!((number(&record["value"]), number(&listed.unwrap()["value"])), (value, value));
                assert_eq!(record["meta"]["sources"][0]["run"], run.as_str());
                let version = version.unwrap();
                assert_eq!((number(&version["content"]["value"]), &version["run_id"]), (value, &json!(run)));
                let file = version["run"]["place"]["content"]["file"].as_str().unwrap();
                assert!(file.ends_with("prijsafspraken.csv"), "{version:#}");
                assert_eq!(number(&json!(version["source_row"]["Waarde"].as_str().unwrap().replace(',', "."))), value);
                assert!(version["source_place"].as_str().unwrap().contains("line 2"), "{version:#}");
                assert_eq!((&version["source_key"], &version["connection"]), (&json!("100001"), &json!("erp")));
            }
        }
    }
    let (status, _) = office.ask("GET", &format!("/v1/price-agreements/100001?known_at={before}"), SHOP, None).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "before the first pull nothing was known");

    let all = office.trace("price_agreement?key=100001").await;
    let versions = all["versions"].as_array().unwrap();
    let told: Vec<_> = versions.iter().map(|version| (version["run_id"].clone(), version["ended"].clone())).collect();
    let ended = |how: &str, by: usize| json!({ "how": how, "run": past[by].0 });
    assert_eq!(
        told,
        [
            (json!(past[2].0), ended("deleted", 3)),
            (json!(past[1].0), ended("superseded", 2)),
            (json!(past[0].0), ended("superseded", 1)),
        ]
    );

    // A customer's own question: today, now and as the day began; and a day that is over.
    let zone = jiff::tz::TimeZone::get("Europe/Amsterdam").unwrap();
    let today = Timestamp::now().to_zoned(zone).date();
    let now = office.trace(&format!("price_agreement?customer=10000&product=KGL-15-090&date={today}")).await;
    assert_eq!(now["known"][0]["as_of"], "now", "{now:#}");
    assert!(!now["known"][0]["versions"].to_string().contains("\"100001\""));
    let yesterday = today.yesterday().unwrap();
    let then = office.trace(&format!("price_agreement?customer=10000&product=KGL-15-090&date={yesterday}")).await;
    assert_eq!((&then["known"][0]["as_of"], &then["known"][1]["as_of"]), (&json!("now"), &json!("end_of_day")));
    assert_eq!(
        (&then["known"][1]["time_zone"], &then["known"][1]["versions"]),
        (&json!("Europe/Amsterdam"), &json!([]))
    );
    let old = office.trace("price_agreement?customer=10000&date=2020-01-01").await;
    assert!(old["known"][1]["gone"].as_str().unwrap().contains("reaches back to"), "{old:#}");

    let operator = office.bridge.operator().reveal().to_owned();
    for (path, status, wanted) in [
        ("prise_agreement?key=1", 404, "did you mean `price_agreement`"),
        ("price_agreement", 400, "give a `key`"),
        ("price_agreement?key=1&customer=10000", 400, "leave out"),
        ("customer?product=1", 400, "not found by `product`"),
        ("price_agreement?key=1&known_at=2026-11-12", 400, "an instant"),
        ("price_agreement?key=nothing", 404, "ever known"),
        ("price_agreement?customer=nobody", 404, "no customer"),
        ("price_agreement?customer=10000&known_at=2020-01-01T00:00:00Z", 410, "reaches back to"),
    ] {
        let (found, problem) = office.ask("GET", &format!("/admin/v1/trace/{path}"), &operator, None).await;
        assert_eq!(found.as_u16(), status, "{path}: {problem:#}");
        assert!(problem["detail"].as_str().unwrap().contains(wanted), "{path}: {problem:#}");
    }
    office.bridge.close().await;
    drop(office.place);
}

#[test]
fn the_command_tells_where_a_price_came_from() {
    let site = Site::new();
    let rewrite = |from: &'static str, to: &'static str| {
        site.edit_export("prijsafspraken.csv", |lines| {
            let line = lines.iter_mut().find(|line| line.starts_with(b"100001;")).unwrap();
            *line = String::from_utf8_lossy(line).replacen(from, to, 1).into_bytes();
        });
    };
    assert_eq!(site.ask(&["sync", "erp", "customer"]).0, 0);
    assert_eq!(site.ask(&["sync", "erp", "price_agreement"]).0, 0);
    let first = Timestamp::now().to_string();
    rewrite("0,7125", "0,7300");
    let (exit, synced) = site.ask(&["sync", "erp", "price_agreement"]);
    assert_eq!(exit, 0, "{synced:#}");
    let page = |arguments: &[&str]| {
        let output = site.command(arguments).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
        said
    };
    let price = ["trace", "price_agreement", "--customer", "10000", "--product", "KGL-15-090"];
    let on_day = page(&[&price[..], &["--date", "2026-11-12"]].concat());
    let then = page(&[&price[..], &["--known-at", &first]].concat());
    for (said, wanted) in [
        (&on_day, &["What is known now", "NL01~100001", "0.73", "prijsafspraken.csv", "key 100001", "0,7300"][..]),
        (&then, &["What was known at", "0.7125", "superseded by run"]),
        (&page(&["trace", "price_agreement", "100001"]), &["2 versions", "0.73", "0.7125", "superseded by run"]),
    ] {
        for wanted in wanted {
            assert!(said.contains(wanted), "{wanted} is not in\n{said}");
        }
    }
    let (exit, trace) = site.ask(&["trace", "price_agreement", "NL01~100001"]);
    assert_eq!((exit, trace["versions"].as_array().unwrap().len()), (0, 2), "{trace:#}");
    assert_eq!(trace["versions"][0]["run_id"], synced[0]["run"]["id"]);
    assert_eq!(site.command(&["trace", "price_agreement"]).output().unwrap().status.code(), Some(2));
    assert_eq!(site.ask(&["trace", "price_agreement", "100001", "--known-at", "2026-11-12"]).0, 2);
    assert_eq!(site.ask(&["trace", "price_agreement", "nothing"]).0, 1);
}
