//! The program dies at random moments of its pulls, and every time the store ends as if nothing had happened.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tradebridge::model::{Entity, Key};
use tradebridge::store::{ListQuery, RunFilter, RunState, Store};

use crate::daemon::program;
use crate::support::conformance;
use crate::support::export::{Export, mix};
use crate::support::store::{Engine, LEASE, Place, TestStore};

/// Customers of the export, and price agreements of each: more than the largest page holds.
const CUSTOMERS: u64 = 40;
const PRICES: u64 = 150;
/// How often the program is killed before it may finish a night.
const KILLS: u64 = 3;
/// Nights after which the stores begin empty again, so that first loads are killed as well.
const NIGHTS: u64 = 3;

conformance!(killed_at_random_moments_it_ends_as_if_nothing_had_happened);

/// A configuration over an export and a store.
pub(crate) struct Bridge {
    place: Arc<Place>,
    directory: TempDir,
}

/// What a store holds, and what changed in it.
#[derive(Debug, PartialEq)]
pub(crate) struct Contents {
    /// A hash over every living part and the shop's scope.
    pub hash: String,
    /// How many sequences the feed has given out.
    pub sequence: i64,
    /// What changed after a sequence, and whether it is gone.
    pub changed: BTreeSet<(String, bool)>,
}

impl Bridge {
    pub(crate) async fn new(engine: Engine, export: &Export) -> Self {
        Self::at(Arc::new(Place::new(engine).await), export)
    }

    pub(crate) fn at(place: Arc<Place>, export: &Export) -> Self {
        let bridge = Self { place, directory: tempfile::tempdir().unwrap() };
        let text = export.configuration(&bridge.place.url(), bridge.directory.path());
        std::fs::write(bridge.config(), text).unwrap();
        bridge
    }

    /// Another one on the same store.
    pub(crate) fn beside(&self, export: &Export) -> Self {
        Self::at(Arc::clone(&self.place), export)
    }

    fn config(&self) -> PathBuf {
        self.directory.path().join("tradebridge.toml")
    }

    /// A command of the program on this bridge.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program();
        command.arg("--config").arg(self.config()).args(arguments);
        command
    }

    /// The command that pulls everything.
    pub(crate) fn sync(&self) -> Command {
        self.command(&["--output", "json", "sync", "erp"])
    }

    /// Pulls everything and is let to finish.
    pub(crate) fn finish(&self) {
        let output = self.sync().output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let reports: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {said}"));
        assert_eq!(output.status.code(), Some(0), "{reports:#}{said}");
    }

    /// Begins to pull everything and is killed after a while; false where it was done before.
    fn kill_after(&self, moment: Duration) -> bool {
        let mut child = self.sync().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(moment);
        let working = child.try_wait().unwrap().is_none();
        child.kill().unwrap();
        child.wait().unwrap();
        working
    }

    /// Opens the store between two lives of the program.
    pub(crate) async fn open(&self) -> TestStore {
        TestStore::at(Arc::clone(&self.place)).await
    }

    /// What the store holds, and what changed after a sequence.
    pub(crate) async fn contents(&self, after: i64) -> Contents {
        let store = self.open().await;
        let contents = Contents {
            hash: hash(&store.shared()).await,
            sequence: store.head().await.unwrap().sequence,
            changed: changed(&store.shared(), after).await,
        };
        store.close().await;
        contents
    }

    /// Opens the store after the death of a process, once the leases that it held have run out.
    pub(crate) async fn take_over(&self) -> TestStore {
        let store = self.open().await;
        while !store.leases().await.unwrap().is_empty() {
            tokio::time::sleep(LEASE / 10).await;
        }
        store
    }

    /// Whether a process that died left a run behind.
    async fn is_left_unfinished(&self) -> bool {
        let store = self.take_over().await;
        let mut any = false;
        for state in [RunState::Running, RunState::Applying] {
            let filter = RunFilter { state: Some(state), limit: 1, ..RunFilter::default() };
            any |= !store.runs(&filter).await.unwrap().is_empty();
        }
        store.close().await;
        any
    }
}

/// A hash over every living part and the shop's scope, in an order that does not depend on when they came.
async fn hash(store: &Arc<dyn Store>) -> String {
    let mut lines = Vec::new();
    for source in store.sources().await.unwrap() {
        let mut after = String::new();
        loop {
            let page = store.living(source.id, &after, 5000).await.unwrap();
            let Some(last) = page.last() else { break };
            after.clone_from(&last.source_key);
            lines.extend(page.into_iter().map(|part| {
                let (kind, stream) = (source.kind, &source.stream);
                format!("{kind} {stream} {} {} {} {:?}", part.source_key, part.key, part.part, part.hash)
            }));
        }
    }
    let query = ListQuery {
        entity: Entity::Customer,
        companies: Vec::new(),
        connections: Vec::new(),
        who: Vec::new(),
        what: Vec::new(),
        after: None,
        limit: 100_000,
    };
    let customers: Vec<Key> = store.list(&query).await.unwrap().into_iter().map(|part| part.key).collect();
    let members = store.membership("b2b", &customers).await.unwrap();
    lines.extend(customers.iter().zip(members).map(|(customer, member)| format!("{customer} {member}")));
    lines.sort();
    format!("{} {}", lines.len(), blake3::hash(lines.join("\n").as_bytes()))
}

async fn changed(store: &Arc<dyn Store>, after: i64) -> BTreeSet<(String, bool)> {
    let (mut after, mut changed) = (after, BTreeSet::new());
    loop {
        let page = store.changes(after, &[], 5000).await.unwrap();
        let Some(last) = page.last() else { return changed };
        after = last.sequence;
        changed.extend(page.iter().map(|c| (format!("{} {}", c.entity, c.key), c.deleted)));
    }
}

/// How often the program is killed at random moments, as whoever runs the tests wants it.
pub(crate) fn rounds() -> u64 {
    let set = std::env::var("TRADEBRIDGE_KILL_ROUNDS").unwrap_or_default();
    if set.is_empty() { 5 } else { set.parse().expect("TRADEBRIDGE_KILL_ROUNDS is a number") }
}

async fn killed_at_random_moments_it_ends_as_if_nothing_had_happened(engine: Engine) {
    let directory = tempfile::tempdir().unwrap();
    let mut in_the_middle = 0;
    let mut kills = 0;
    let rounds = rounds();
    for first in (0..rounds).step_by(usize::try_from(NIGHTS).unwrap()) {
        let export = Export::new(&directory.path().join(format!("export-{first}")), CUSTOMERS, PRICES);
        let (undisturbed, killed) = (Bridge::new(engine, &export).await, Bridge::new(engine, &export).await);
        let (mut undisturbed_at, mut killed_at) = (0, 0);
        for round in first..rounds.min(first + NIGHTS) {
            export.write(round - first);
            let begun = Instant::now();
            undisturbed.finish();
            let duration = begun.elapsed();
            for kill in 0..KILLS {
                // A different moment each time; whichever it is, the end is the same. What an earlier life has done is
                // not done again, so that each kill is further on.
                let share = 100 + u32::try_from(mix(&[round, kill]) % 500).unwrap();
                kills += u64::from(killed.kill_after(duration * share / 1000));
                in_the_middle += u64::from(killed.is_left_unfinished().await);
            }
            killed.finish();
            let expected = undisturbed.contents(undisturbed_at).await;
            let found = killed.contents(killed_at).await;
            assert_eq!(found.hash, expected.hash, "round {round}");
            let differently: Vec<_> = found.changed.symmetric_difference(&expected.changed).take(5).collect();
            assert!(differently.is_empty(), "round {round}: only one of the feeds has {differently:?}");
            assert!(!found.changed.is_empty());
            // What has an effect takes a sequence: nothing had one twice.
            assert_eq!(found.sequence - killed_at, expected.sequence - undisturbed_at, "round {round}");
            assert!(!killed.is_left_unfinished().await, "round {round}");
            (undisturbed_at, killed_at) = (expected.sequence, found.sequence);
        }
    }
    println!("{rounds} rounds, {kills} kills, {in_the_middle} of them in the middle of a run");
    // On a busy machine many fall before its beginning.
    assert!(kills < 20 || in_the_middle * 8 > kills, "{in_the_middle} of {kills} kills hit a run under way");
}
