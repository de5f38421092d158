//! Limits that several processes of one store share, as the system counts, and what is left of them after a restart.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use tradebridge::connector::{Created, Keeper};
use tradebridge::record::Map;
use tradebridge::sync::StoreKeeper;

use super::authority::{Memory, Saving};
use super::limits::{limited, most_within};
use super::server::{Reply, Server};
use super::system::{Pulled, System, says};
use crate::support::conformance;
use crate::support::store::{Engine, TestStore};

conformance!(
    processes_together_never_exceed_a_limit_and_use_it_well_over_a_restart,
    a_daily_quota_outlives_the_process,
    what_is_left_to_actions_is_left_by_all_processes,
);

/// A system whose streams have no end, until they are told to.
struct Endless {
    server: Server,
    ended: Arc<Mutex<BTreeSet<String>>>,
}

impl Endless {
    async fn new() -> Self {
        let ended: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        let told = Arc::clone(&ended);
        let server = Server::new(move |asked| match asked.path.as_str() {
            "/orders" => Reply::json(json!({ "number": "O1" })),
            path if told.lock().unwrap().contains(path) => Reply::json("[]"),
            _ => Reply::json(json!([{ "id": asked.number("page") }])),
        })
        .await;
        Self { server, ended }
    }

    /// A process that reads a stream at this path, within a limit.
    fn process(&self, limit: &str, path: &str, keeper: &Arc<dyn Keeper>) -> Process {
        let manifest = limited(limit, true).replace("\"items\"", &format!("\"{path}\""));
        let system = System::new(&self.server.url(), &manifest);
        system.connector.keep_in(keeper, None, "erp");
        let path = format!("/{path}");
        Process { system: Arc::new(system), path, ended: Arc::clone(&self.ended), pulls: Vec::new() }
    }
}

struct Process {
    system: Arc<System>,
    path: String,
    ended: Arc<Mutex<BTreeSet<String>>>,
    pulls: Vec<tokio::task::JoinHandle<Pulled>>,
}

impl Process {
    /// Begins two pulls.
    fn begin(mut self) -> Self {
        for _ in 0..2 {
            let system = Arc::clone(&self.system);
            self.pulls.push(tokio::spawn(async move { system.pull(None).await }));
        }
        self
    }

    /// Has the pulls come to their end.
    async fn end(self) {
        self.ended.lock().unwrap().insert(self.path);
        for pull in self.pulls {
            assert_eq!(pull.await.unwrap().error, None);
        }
    }
}

fn keeper(store: &TestStore) -> Arc<dyn Keeper> {
    Arc::new(StoreKeeper(store.shared()))
}

async fn processes_together_never_exceed_a_limit_and_use_it_well_over_a_restart(engine: Engine) {
    const LIMIT: &str = "requests = 10, per = \"2s\", reserved = \"0%\"";
    let span = Duration::from_secs(2);
    let store = TestStore::new(engine).await;
    let other = if engine == Engine::Postgres { store.another().await } else { store.clone() };
    let system = Endless::new().await;
    let first = system.process(LIMIT, "first", &keeper(&store)).begin();
    let second = system.process(LIMIT, "second", &keeper(&other)).begin();
    system.server.arrived(15).await;
    first.end().await;
    let third = system.process(LIMIT, "third", &keeper(&store)).begin();
    system.server.arrived(41).await;
    for process in [second, third] {
        process.end().await;
    }
    let asked = system.server.asked();
    for path in ["/first", "/second", "/third"] {
        assert!(asked.iter().any(|asked| asked.path == path), "{path} had no turn");
    }
    let arrived: Vec<Instant> = asked.iter().map(|asked| asked.at).collect();
    assert!(most_within(span, &arrived) <= 10, "{}", most_within(span, &arrived));
    let in_four = arrived.iter().filter(|at| **at - arrived[0] < span * 4).count();
    assert!(in_four >= 38, "{in_four} of 40");
}

async fn a_daily_quota_outlives_the_process(engine: Engine) {
    const LIMIT: &str = "daily = 6, reserved = \"0%\"";
    let store = TestStore::new(engine).await;
    let system = Endless::new().await;
    system.ended.lock().unwrap().insert("/first".to_owned());
    for _ in 0..4 {
        let process = system.process(LIMIT, "first", &keeper(&store));
        assert_eq!(process.system.pull(None).await.error, None);
    }
    let store = if engine == Engine::Postgres { store.another().await } else { store };
    let pulled = system.process(LIMIT, "second", &keeper(&store)).system.pull(None).await;
    says(pulled.error.as_deref(), &["the system allows no more requests for now; the next one may be sent in 8"]);
    assert_eq!((pulled.ids.len(), system.server.asked().len()), (2, 6));
}

async fn what_is_left_to_actions_is_left_by_all_processes(engine: Engine) {
    const LIMIT: &str = "daily = 5, reserved = \"20%\"";
    let store = TestStore::new(engine).await;
    let system = Endless::new().await;
    let processes = ["first", "second"].map(|path| system.process(LIMIT, path, &keeper(&store)));
    assert_eq!(processes[0].system.pull(None).await.ids.len(), 4, "one is left to actions");
    assert_eq!(processes[1].system.pull(None).await.ids.len(), 0);
    let created = processes[1].system.create(&Map::default()).await;
    assert_eq!(created, Created::Accepted { number: "O1".into() });
    let created = processes[0].system.create(&Map::default()).await;
    let Created::NotExecuted { retry_after: Some(wait), connection_down: false, .. } = created else {
        panic!("{created:?}")
    };
    assert!(wait > Duration::from_hours(23), "{wait:?}");
    assert_eq!(system.server.asked().len(), 5);
}

#[tokio::test]
async fn a_pause_that_the_system_wants_holds_for_all_processes() {
    let server = Server::new(|_| Reply::status(429).with("retry-after", 3600)).await;
    let memory: Arc<Memory> = Arc::default();
    let keeper: Arc<dyn Keeper> = Arc::<Memory>::clone(&memory);
    let pull = async || {
        let system = System::new(&server.url(), &limited("requests = 1000, per = \"10s\"", false));
        system.connector.keep_in(&keeper, None, "erp");
        system.pull(None).await
    };
    assert!(pull().await.error.is_some());
    memory.holds("\"not_before\":1").await;
    says(pull().await.error.as_deref(), &["the next one may be sent in 35"]);
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn while_nothing_can_be_kept_an_order_is_deferred_and_not_sent() {
    let system = Endless::new().await;
    let memory: Arc<Memory> = Arc::default();
    let keeper: Arc<dyn Keeper> = Arc::<Memory>::clone(&memory);
    let process = system.process("daily = 5", "items", &keeper);
    memory.saving(Saving::Fails);
    let created = process.system.create(&Map::default()).await;
    let Created::NotExecuted { reason, retry_after: Some(_), connection_down: false, .. } = created else {
        panic!("{created:?}")
    };
    says(
        Some(&reason),
        &["whether the limit allows a request cannot be told", "the disk is full", "look at the store"],
    );
    assert_eq!(system.server.asked().len(), 0);
    memory.saving(Saving::Works);
    let created = process.system.create(&Map::default()).await;
    assert_eq!(created, Created::Accepted { number: "O1".into() });
}
