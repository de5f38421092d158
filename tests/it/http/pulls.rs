//! Whole pulls from a system over HTTP into a store: complete and incremental, failed, held, and after a change of the mapping.

use std::sync::{Arc, Mutex};

use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::sync::watch;
use tradebridge::config::{Config, Document};
use tradebridge::model::{Entity, Key};
use tradebridge::store::{Run, RunFilter, RunState};
use tradebridge::sync::{Change, FieldDifference, Plan, Puller};

use super::server::{Reply, Server};
use crate::support::conformance;
use crate::support::store::{Engine, TestStore};

conformance!(
    a_pull_asks_for_what_changed_since_the_one_before_it,
    a_failed_pull_leaves_the_watermark,
    a_held_pull_leaves_the_watermark_and_waits_for_a_person,
    a_changed_mapping_asks_for_everything_again,
    a_preview_says_what_would_change_writes_nothing_and_reads_no_page_more,
);

const MANIFEST: &str = r#"
name = "web"
title = "An ERP with an API"
transport = "http"
[settings]
base_url = { type = "text", help = "The address.", required = true }
[http]
base_url = "${settings.base_url}"
[stream.customers]
request = { path = "customers", query = { since = "${cursor}", after = "${page.key}" } }
paging = { by = "key", key = "Nr", size = 2, end = "short" }
cursor = { value = "Changed.instant()", as = "instant", look_back = "1m" }
"#;

const CUSTOMER: &str = r#"
entity = "customer"
stream = "customers"
key = "Nr"
[fields]
number = "Nr"
name = "Name"
"#;

/// A table of customers behind an API, pulled into a store.
struct Bridge {
    directory: TempDir,
    store: TestStore,
    puller: Puller,
    server: Server,
    rows: Arc<Mutex<Vec<Json>>>,
    fails: Arc<Mutex<bool>>,
}

fn row(number: &str, name: &str, changed: &str) -> Json {
    json!({ "Nr": number, "Name": name, "Changed": changed })
}

impl Bridge {
    async fn new(engine: Engine) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in [("connectors/web.toml", MANIFEST), ("mappings/web/customer.toml", CUSTOMER)] {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let store = TestStore::new(engine).await;
        let puller = Puller::new(store.shared(), watch::channel(false).1);
        let rows: Arc<Mutex<Vec<Json>>> = Arc::new(Mutex::new(vec![
            row("1", "One", "2026-01-01T08:00:00Z"),
            row("2", "Two", "2026-01-01T09:00:00Z"),
            row("3", "Three", "2026-01-01T10:00:00Z"),
        ]));
        let fails = Arc::new(Mutex::new(false));
        let (table, failing) = (Arc::clone(&rows), Arc::clone(&fails));
        let server = Server::new(move |asked| {
            let (since, after) = (asked.query.get("since"), asked.query.get("after"));
            if after.is_some() && *failing.lock().unwrap() {
                return Reply::status(403);
            }
            let table = table.lock().unwrap();
            let wanted = table.iter().filter(|row| {
                since.is_none_or(|since| row["Changed"].as_str().unwrap() >= since.as_str())
                    && after.is_none_or(|after| row["Nr"].as_str().unwrap() > after.as_str())
            });
            Reply::json(Json::from(wanted.take(2).cloned().collect::<Vec<_>>()))
        })
        .await;
        Self { directory, store, puller, server, rows, fails }
    }

    fn set(&self, number: usize, name: &str, changed: &str) {
        self.rows.lock().unwrap()[number - 1] = row(&number.to_string(), name, changed);
    }

    fn plan(&self, guard: &str) -> Plan {
        let (at, url) = (self.directory.path().display(), self.server.url());
        let text = format!(
            "connectors = ['{at}/connectors']\nmappings = ['{at}/mappings']\n[[connection]]\nname = 'erp'\n\
             connector = 'web'\ncompany = 'NL01'\ntime_zone = 'Europe/Amsterdam'\nsettings = {{ base_url = '{url}' }}\n\
             [[sync]]\nconnection = 'erp'\nentity = 'customer'\nguard = {{ {guard} }}\n"
        );
        let config = Config::of_document(Document::parse("tradebridge.toml", &text), []).unwrap();
        Plan::load(&config).unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// Pulls, in full or not: the runs, and what the first request asked for.
    async fn pull(&self, plan: &Plan, full: bool) -> (Vec<Run>, Option<String>) {
        let before = self.server.asked().len();
        let pull = plan.pulls_of("erp", Some("customer")).remove(0);
        let pulled = self.puller.pull(plan, &pull, full, |_| {}).await;
        let runs = pulled.into_iter().flatten().map(|pulled| pulled.run).collect();
        let since = self.server.asked().get(before).and_then(|asked| asked.query.get("since").cloned());
        (runs, since)
    }

    async fn watermark(&self, plan: &Plan) -> Option<Json> {
        let pull = plan.pulls_of("erp", Some("customer")).remove(0);
        self.store.source("erp", "customers", pull.mapping.kind).await.unwrap().watermark
    }

    async fn name(&self, number: &str) -> Option<String> {
        let parts = self.store.parts(Entity::Customer, &[Key::new("NL01", number)]).await.unwrap();
        parts.first().map(|part| part.content["name"].as_str().unwrap().to_owned())
    }
}

async fn a_pull_asks_for_what_changed_since_the_one_before_it(engine: Engine) {
    let bridge = Bridge::new(engine).await;
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
    let (_, since) = bridge.pull(&plan, true).await;
    assert_eq!((since, bridge.name("1").await), (None, None), "missed twice, it is gone");
}

async fn a_failed_pull_leaves_the_watermark(engine: Engine) {
    let bridge = Bridge::new(engine).await;
    let plan = bridge.plan("floor = 20");
    bridge.pull(&plan, false).await;
    let before = bridge.watermark(&plan).await;
    bridge.set(1, "Uno", "2026-02-01T11:00:00Z");
    bridge.set(2, "Due", "2026-02-01T12:00:00Z");
    bridge.set(3, "Tre", "2026-02-01T13:00:00Z");
    *bridge.fails.lock().unwrap() = true;
    bridge.pull(&plan, false).await;
    assert_eq!((bridge.watermark(&plan).await, bridge.name("1").await.as_deref()), (before, Some("One")));
    *bridge.fails.lock().unwrap() = false;
    let (runs, since) = bridge.pull(&plan, false).await;
    assert_eq!(since.as_deref(), Some("2026-01-01T09:59:00Z"));
    assert_eq!(runs.last().unwrap().counts.updated, 3);
    assert_eq!(bridge.name("3").await.as_deref(), Some("Tre"));
}

async fn a_held_pull_leaves_the_watermark_and_waits_for_a_person(engine: Engine) {
    let bridge = Bridge::new(engine).await;
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
    let bridge = Bridge::new(engine).await;
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
    let bridge = Bridge::new(engine).await;
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
