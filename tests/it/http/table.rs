//! A table of customers behind an API, pulled into a store.

use std::sync::{Arc, Mutex};

use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::sync::{Semaphore, watch};
use tradebridge::config::{Config, Document};
use tradebridge::model::{Entity, Key};
use tradebridge::store::Run;
use tradebridge::sync::{Plan, Puller};

use super::server::{Reply, Server};
use crate::support::store::{Engine, TestStore};

/// Pages by key, which do not shift while they are read.
pub(crate) const BY_KEY: &str = r#"by = "key", key = "Nr", size = 2, end = "short""#;

/// Pages that shift.
pub(crate) const BY_OFFSET: &str = r#"by = "offset", size = 2, end = "short""#;

const MANIFEST: &str = r#"
name = "web"
title = "An ERP with an API"
transport = "http"
[settings]
base_url = { type = "text", help = "The address.", required = true }
[http]
base_url = "${settings.base_url}"
[stream.customers]
request = { path = "customers", query = { since = "${cursor}", after = "${page.key}", offset = "${page.offset}" } }
paging = { PAGING }
cursor = { value = "Changed.instant()", as = "instant", look_back = "1m" }
"#;

pub(crate) const CUSTOMER: &str = r#"
entity = "customer"
stream = "customers"
key = "Nr"
[fields]
number = "Nr"
name = "Name"
"#;

/// How many more pages are answered at once, and what those behind them wait for.
type Stalls = Option<(usize, Arc<Semaphore>)>;

pub(crate) struct Bridge {
    pub directory: TempDir,
    pub store: TestStore,
    pub puller: Puller,
    pub server: Server,
    pub rows: Arc<Mutex<Vec<Json>>>,
    /// How many more requests are answered before the server fails; none: it never does.
    pub breaks: Arc<Mutex<Option<usize>>>,
    /// How many more pages of a complete pass are answered at once, and what those behind them wait for.
    stalls: Arc<Mutex<Stalls>>,
}

pub(crate) fn row(number: &str, name: &str, changed: &str) -> Json {
    json!({ "Nr": number, "Name": name, "Changed": changed })
}

impl Bridge {
    pub(crate) async fn new(engine: Engine, paging: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let manifest = MANIFEST.replace("PAGING", paging);
        for (name, text) in [("connectors/web.toml", &*manifest), ("mappings/web/customer.toml", CUSTOMER)] {
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
        let breaks = Arc::new(Mutex::new(None));
        let stalls: Arc<Mutex<Stalls>> = Arc::default();
        let stalling = Arc::clone(&stalls);
        let by_key = paging.contains("by = \"key\"");
        let (table, breaking) = (Arc::clone(&rows), Arc::clone(&breaks));
        let server = Server::new(move |asked| {
            if let Some(left) = breaking.lock().unwrap().as_mut() {
                if *left == 0 {
                    return Reply::status(403);
                }
                *left -= 1;
            }
            let (since, after) = (asked.query.get("since"), asked.query.get("after"));
            let table = table.lock().unwrap();
            let wanted = table.iter().filter(|row| {
                since.is_none_or(|since| row["Changed"].as_str().unwrap() >= since.as_str())
                    && after.is_none_or(|after| row["Nr"].as_str().unwrap() > after.as_str())
            });
            let skipped = if by_key { 0 } else { asked.number("offset") };
            let reply = Reply::json(Json::from(wanted.skip(skipped).take(2).cloned().collect::<Vec<_>>()));
            match stalling.lock().unwrap().as_mut() {
                Some((0, gate)) if since.is_none() => Reply::Behind(Arc::clone(gate), Box::new(reply)),
                Some((left, _)) if since.is_none() => {
                    *left -= 1;
                    reply
                }
                _ => reply,
            }
        })
        .await;
        Self { directory, store, puller, server, rows, breaks, stalls }
    }

    /// From so many pages of a complete pass on, answers wait.
    pub(crate) fn stalls(&self, pages: usize) {
        *self.stalls.lock().unwrap() = Some((pages, Arc::new(Semaphore::new(0))));
    }

    /// What answers wait for.
    pub(crate) fn gate(&self) -> Arc<Semaphore> {
        self.stalls.lock().unwrap().as_ref().map(|(_, gate)| Arc::clone(gate)).unwrap()
    }

    /// Another process on the same store, as the one before died; answers wait no more.
    pub(crate) fn restart(&mut self) {
        *self.stalls.lock().unwrap() = None;
        let empty = Puller::new(self.store.shared(), watch::channel(false).1);
        drop(std::mem::replace(&mut self.puller, empty));
    }

    /// Writes the manifest anew, with something else in it.
    pub(crate) fn rewrite(&self, from: &str, to: &str) {
        let path = self.directory.path().join("connectors/web.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(path, text.replace(from, to)).unwrap();
    }

    /// Gives the table so many rows, named after a version, each changed in an hour of its own.
    pub(crate) fn fill(&self, count: usize, name: &str) {
        let rows =
            (1..=count).map(|nr| row(&nr.to_string(), &format!("{name} {nr}"), &format!("2026-01-01T{nr:02}:00:00Z")));
        *self.rows.lock().unwrap() = rows.collect();
    }

    /// What the requests asked for since one of them: `since` and where the page begins.
    pub(crate) fn asked(&self, since: usize) -> Vec<(Option<String>, Option<String>)> {
        let asked = self.server.asked().split_off(since);
        let begins = |mut query: std::collections::BTreeMap<String, String>| {
            (query.remove("since"), query.remove("after").or(query.remove("offset").filter(|offset| offset != "0")))
        };
        asked.into_iter().map(|asked| begins(asked.query)).collect()
    }

    pub(crate) fn set(&self, number: usize, name: &str, changed: &str) {
        self.rows.lock().unwrap()[number - 1] = row(&number.to_string(), name, changed);
    }

    pub(crate) fn plan(&self, guard: &str) -> Plan {
        self.plan_with(guard, "")
    }

    /// The plan, with more in its `[[sync]]`.
    pub(crate) fn plan_with(&self, guard: &str, more: &str) -> Plan {
        let text = self.configuration(guard, more);
        let config = Config::of_document(Document::parse("tradebridge.toml", &text), []).unwrap();
        Plan::load(&config).unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// The configuration's text.
    pub(crate) fn configuration(&self, guard: &str, more: &str) -> String {
        let (at, url) = (self.directory.path().display(), self.server.url());
        format!(
            "connectors = ['{at}/connectors']\nmappings = ['{at}/mappings']\n[[connection]]\nname = 'erp'\n\
             connector = 'web'\ncompany = 'NL01'\ntime_zone = 'Europe/Amsterdam'\nsettings = {{ base_url = '{url}' }}\n\
             [[sync]]\nconnection = 'erp'\nentity = 'customer'\nguard = {{ {guard} }}\n{more}\n"
        )
    }

    /// Pulls, in full or not: the runs, and what the first request asked for.
    pub(crate) async fn pull(&self, plan: &Plan, full: bool) -> (Vec<Run>, Option<String>) {
        let before = self.server.asked().len();
        let pull = plan.pulls_of("erp", Some("customer")).remove(0);
        let pulled = self.puller.pull(plan, &pull, full, |_| {}).await;
        let runs = pulled.into_iter().flatten().map(|pulled| pulled.run).collect();
        let since = self.server.asked().get(before).and_then(|asked| asked.query.get("since").cloned());
        (runs, since)
    }

    pub(crate) async fn watermark(&self, plan: &Plan) -> Option<Json> {
        let pull = plan.pulls_of("erp", Some("customer")).remove(0);
        self.store.source("erp", "customers", pull.mapping.kind).await.unwrap().watermark
    }

    pub(crate) async fn name(&self, number: &str) -> Option<String> {
        let parts = self.store.parts(Entity::Customer, &[Key::new("NL01", number)]).await.unwrap();
        parts.first().map(|part| part.content["name"].as_str().unwrap().to_owned())
    }
}
