//! The daemon dies before and after each commit of its pulls, and every time the next one ends as if nothing had happened.
//!
//! `SQLite` shows each commit in its log, and the store is opened as it was after each; a PostgreSQL server is reached
//! through a gate that shuts at a commit. A transaction torn in two is two commits, and the store is looked at between.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use tempfile::TempDir;
use tokio::sync::watch;
use tradebridge::config::{Config, Document};
use tradebridge::model::Key;
use tradebridge::store::{OpenOptions, RunFilter, RunState, SqlStore, Store};
use tradebridge::sync::{Plan, Puller};

use crate::crash::rounds;
use crate::support::gate::{Gate, Moment};
use crate::support::log::{Kept, log};
use crate::support::mappings::{CREDIT, PRODUCT};
use crate::support::postgres::{Server, left_out};

/// Longer than any life here: no lease is renewed, so that lives have the same commits.
const LEASE: Duration = Duration::from_mins(5);

/// From so many rounds of kills on, the server is left before each commit as well as after it: before it, it has all of
/// the transaction and takes it back.
const BOTH_SIDES: u64 = 20;

/// Customers of the first page that change: more than a run keeps until its next page.
const CHANGED: u64 = 1200;

const MANIFEST: &str = r#"
name = "erp"
title = "An ERP that hands over everything and changes"
transport = "file"

[settings.directory]
type = "directory"
help = "Where the files are."
required = true

[defaults]
directory = "${settings.directory}/in"
ready = { stable = "1s" }
format = "csv"
delimiter = ";"

[stream.customers]
files = "customers.csv"
content = "full"

[stream.products]
files = "products.csv"
content = "full"

[stream.credit]
files = "changes*.csv"
content = "delta"
after = "archive"
archive = "${settings.directory}/archive"
"#;

const CUSTOMER: &str = r#"
entity = "customer"
stream = "customers"
key = "Nr"
[fields]
number = "Nr"
name = "Name"
groups = "[Channel]"
"#;

/// What happens between two looks at the store. A decision is made before the pulls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The first load.
    Load,
    /// Customers are changed, new, gone, mended, faulty and there twice; there are two more files of changes; of the
    /// products so much is gone that the guard holds the run.
    Change,
    /// Other products are gone, and that run is held in its place.
    Supersede,
    /// It is approved.
    Approve,
    /// Products are gone once more.
    Hold,
    /// That run is refused.
    Refuse,
}

const STEPS: [Step; 6] = [Step::Load, Step::Change, Step::Supersede, Step::Approve, Step::Hold, Step::Refuse];

/// An ERP's files and the plan that pulls them.
struct Site {
    directory: TempDir,
    plan: Plan,
    /// Rows of a page, as the store that is fed has them.
    page: u64,
    began: SystemTime,
}

/// What a store holds, what became of its runs, and which files are where.
#[derive(Debug, PartialEq)]
struct Contents {
    digest: String,
    sequence: i64,
    /// Rows by table.
    tables: Vec<(String, u64)>,
    /// Living parts and tombstones, and whether it was verified, by source.
    sources: Vec<(String, u64, u64, bool)>,
    /// The number of changed entities in the feed, and a hash over them.
    changed: (usize, String),
    /// The number of customers that the shop sees.
    members: usize,
    /// Kind, state and counts of every run.
    runs: Vec<String>,
    files: BTreeSet<PathBuf>,
}

impl Site {
    fn new(page: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path().display();
        for (name, text) in [
            ("connectors/erp.toml", MANIFEST),
            ("mappings/erp/customer.toml", CUSTOMER),
            ("mappings/erp/product.toml", PRODUCT),
            ("mappings/erp/credit.toml", CREDIT),
        ] {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        for name in ["in", "archive"] {
            std::fs::create_dir(directory.path().join(name)).unwrap();
        }
        let mut text = format!(
            "connectors = ['{at}/connectors']\nmappings = ['{at}/mappings']\n[[connection]]\nname = 'erp'\n\
             connector = 'erp'\ncompany = 'NL01'\ntime_zone = 'Europe/Amsterdam'\nsettings = {{ directory = '{at}' }}\n\
             [[shop]]\nname = 'b2b'\ncompanies = ['NL01']\nconnections = ['erp']\ncustomers = \"'B2B' in groups\"\n"
        );
        for (entity, floor) in [("customer", 1_000_000_000), ("credit", 1_000_000_000), ("product", 1)] {
            writeln!(text, "[[sync]]\nconnection = 'erp'\nentity = '{entity}'\nguard = {{ floor = {floor} }}").unwrap();
        }
        let config = Config::of_document(Document::parse("tradebridge.toml", &text), []).unwrap();
        let plan = Plan::load(&config).unwrap_or_else(|problems| panic!("{problems}"));
        // Files count once they have not changed for a while.
        let began = SystemTime::now().checked_sub(Duration::from_hours(24)).unwrap();
        Self { directory, plan, page, began }
    }

    /// Lays the files out as they are when a step begins: what an earlier step has read of changes is put away.
    fn write(&self, step: Step) {
        let at = STEPS.iter().position(|s| *s == step).unwrap();
        for name in ["in", "archive"] {
            let directory = self.directory.path().join(name);
            std::fs::remove_dir_all(&directory).unwrap();
            std::fs::create_dir(directory).unwrap();
        }
        let version = u64::from(at > 0);
        let mut customers = "Nr;Name;Channel\n".to_owned();
        // A page, and some more.
        for row in 0..self.page + 100 {
            customers.push_str(&self.customer(row, version));
        }
        if version > 0 {
            // The other one is a page before.
            customers.push_str("10;Twice;B2B\n");
        }
        self.file("in/customers.csv", version, &customers);
        let (products, version) = [(60, 0), (0, 1), (30, 2), (30, 2), (2, 3), (2, 3)][at];
        let mut text = "Nr;Name\n".to_owned();
        (0..products).for_each(|row| writeln!(text, "P{row};Product {row}").unwrap());
        self.file("in/products.csv", version, &text);
        for (number, new) in [(1, Step::Load), (2, Step::Change), (3, Step::Change)] {
            if new == Step::Load || at > 0 {
                let place = if new == step { "in" } else { "archive" };
                let mut text = "Nr;Limit\n".to_owned();
                (0..10 + number).for_each(|row| writeln!(text, "{row};{}", row * number).unwrap());
                self.file(&format!("{place}/changes-{number}.csv"), number, &text);
            }
        }
    }

    /// A customer's row in a version of the export; nothing where it is not in it.
    fn customer(&self, row: u64, version: u64) -> String {
        let is_absent = [row % 97 == 5, row % 89 == 3];
        let is_faulty = [row % 500 == 7, row % 500 == 8];
        let at = usize::try_from(version).unwrap();
        if is_absent[at] {
            return String::new();
        }
        let name = match (is_faulty[at], row < CHANGED || row >= self.page) {
            (true, _) => String::new(),
            (false, true) => format!("Customer {row} v{version}"),
            (false, false) => format!("Customer {row}"),
        };
        // Some leave the shop's scope, and others come.
        let channel = if (row + version).is_multiple_of(4) { "COUNTER" } else { "B2B" };
        format!("{row};{name};{channel}\n")
    }

    fn file(&self, name: &str, version: u64, text: &str) {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        let written = self.began + Duration::from_secs(version);
        File::options().write(true).open(path).unwrap().set_modified(written).unwrap();
    }

    /// Does what a step is about, as far as it is not done yet.
    async fn live(&self, store: &Arc<dyn Store>, step: Step) {
        let puller = Puller::new(Arc::clone(store), watch::channel(false).1);
        let held = RunFilter { state: Some(RunState::Held), limit: 10, ..RunFilter::default() };
        if matches!(step, Step::Approve | Step::Refuse)
            && let Some(run) = store.runs(&held).await.unwrap().pop()
        {
            match step {
                Step::Approve => puller.approve(&self.plan, &run.id).await.unwrap(),
                _ => puller.refuse(&run.id, "a faulty export").await.unwrap(),
            };
        }
        for pull in &self.plan.pulls {
            puller.pull(&self.plan, pull, false, |_| {}).await.unwrap();
        }
    }

    /// A life that nothing disturbs, and what there is after it.
    async fn whole_life(&self, url: &str, step: Step) -> Contents {
        let store = Arc::new(open(url).await);
        let shared = Arc::clone(&store) as Arc<dyn Store>;
        self.live(&shared, step).await;
        let contents = self.contents(&*shared).await;
        store.close().await;
        contents
    }

    async fn contents(&self, store: &dyn Store) -> Contents {
        let stats = store.stats().await.unwrap();
        let sources = store.sources().await.unwrap();
        let verified = |stream: &str| sources.iter().any(|s| s.stream == stream && s.verified_at.is_some());
        let feed = store.changes(0, &[], 100_000).await.unwrap();
        let mut changed: Vec<String> = feed.iter().map(|c| format!("{} {} {}", c.entity, c.key, c.deleted)).collect();
        changed.sort();
        let customers: Vec<Key> = (0..self.page + 100).map(|row| Key::new("NL01", row.to_string())).collect();
        let members = store.membership("b2b", &customers).await.unwrap();
        let runs = store.runs(&RunFilter { limit: 1000, ..RunFilter::default() }).await.unwrap();
        let mut runs: Vec<String> =
            runs.iter().map(|run| format!("{} {:?} {:?}", run.kind, run.state, run.counts)).collect();
        runs.sort();
        let files = ["in", "archive"].into_iter().flat_map(|name| {
            let entries = std::fs::read_dir(self.directory.path().join(name)).unwrap();
            entries.map(move |entry| Path::new(name).join(entry.unwrap().file_name()))
        });
        Contents {
            digest: store.digest().await.unwrap(),
            sequence: stats.sequence,
            tables: stats.tables.into_iter().map(|t| (t.name, t.rows)).filter(|(name, _)| name != "lease").collect(),
            sources: stats.sources.into_iter().map(|s| (s.kind, s.living, s.tombstones, verified(&s.stream))).collect(),
            changed: (changed.len(), blake3::hash(changed.join("\n").as_bytes()).to_string()),
            members: members.into_iter().filter(|member| *member).count(),
            runs,
            files: files.collect(),
        }
    }
}

async fn open(url: &str) -> SqlStore {
    let options = OpenOptions { lease: LEASE, ..OpenOptions::default() };
    SqlStore::open(&url.parse().unwrap(), &options).await.unwrap()
}

mod sqlite {
    use super::*;

    fn url(database: &Path) -> String {
        format!("sqlite://{}", database.display())
    }

    #[tokio::test]
    async fn killed_at_any_commit_it_ends_as_if_nothing_had_happened() {
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str| directory.path().join(name);
        let database = place("store.db");
        let store = open(&url(&database)).await;
        let site = Site::new(tradebridge::store::Parts::rows_of_a_page(&store) as u64);
        store.close().await;
        drop(store);
        for step in STEPS {
            let before = std::fs::read(&database).unwrap();
            let kept = Kept::begin(&database).await;
            site.write(step);
            let expected = site.whole_life(&url(&database), step).await;
            let logs = kept.end().await;
            println!("{step:?}: {} commits", logs.len() - 1);
            assert!(logs.len() > 5, "{step:?}: the log has {} commits", logs.len() - 1);
            for (commit, bytes) in logs.into_iter().enumerate() {
                let torn = place("torn.db");
                std::fs::write(&torn, &before).unwrap();
                std::fs::write(log(&torn), bytes).unwrap();
                site.write(step);
                let found = site.whole_life(&url(&torn), step).await;
                assert_eq!(found, expected, "{step:?}: killed after commit {commit}");
            }
        }
    }
}

mod postgres {
    use super::*;

    /// A server of the test's own with its databases.
    struct Databases(Server);

    impl Databases {
        async fn admin(&self, statement: String) {
            let mut connection = PgConnection::connect(&self.0.url()).await.unwrap();
            sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        }

        /// Makes a database as another one is.
        async fn copy(&self, from: &str, to: &str) {
            self.admin(format!("DROP DATABASE IF EXISTS {to} WITH (FORCE)")).await;
            self.admin(format!("CREATE DATABASE {to} TEMPLATE {from}")).await;
        }

        /// The address of a database, directly or through a port that passes on.
        fn url(&self, database: &str, port: Option<u16>) -> String {
            let port = port.unwrap_or(self.0.port());
            format!("postgres://postgres@127.0.0.1:{port}/{database}?sslmode=disable")
        }

        async fn analyze(&self, database: &str) {
            let mut connection = PgConnection::connect(&self.url(database, None)).await.unwrap();
            sqlx::query("ANALYZE").execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        }

        /// Ends the leases of whoever died, as time would.
        async fn end_leases(&self, database: &str) {
            let mut connection = PgConnection::connect(&self.url(database, None)).await.unwrap();
            sqlx::query("UPDATE lease SET expires_at = 0").execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        }
    }

    /// A life that ends at a moment: everything that it has is dropped where it stands. False where it ended by itself.
    async fn killed(site: &Arc<Site>, databases: &Databases, database: &str, step: Step, moment: Moment) -> bool {
        let gate = Gate::begin(databases.0.port(), moment).await;
        let (url, mut shut) = (databases.url(database, Some(gate.port())), gate.shut());
        let site = Arc::clone(site);
        let life = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let live = async {
                    let store = Arc::new(open(&url).await);
                    site.live(&(Arc::clone(&store) as Arc<dyn Store>), step).await;
                    store.close().await;
                };
                tokio::select! {
                    shut = shut.wait_for(|shut| *shut) => shut.is_ok(),
                    () = live => false,
                }
            })
        };
        tokio::task::spawn_blocking(life).await.unwrap()
    }

    #[tokio::test]
    async fn killed_at_any_commit_it_ends_as_if_nothing_had_happened() {
        if left_out() {
            return;
        }
        let databases = Databases(Server::start_for_speed());
        databases.copy("template1", "whole").await;
        let store = open(&databases.url("whole", None)).await;
        let site = Arc::new(Site::new(tradebridge::store::Parts::rows_of_a_page(&store) as u64));
        store.close().await;
        drop(store);
        for step in STEPS {
            databases.copy("whole", "before").await;
            site.write(step);
            let expected = site.whole_life(&databases.url("whole", None), step).await;
            // The server does so by itself after a while.
            databases.analyze("whole").await;
            for commit in 1.. {
                let mut died = false;
                for moment in [Moment::After(commit), Moment::Before(commit)] {
                    if moment == Moment::Before(commit) && rounds() < BOTH_SIDES {
                        continue;
                    }
                    databases.copy("before", "torn").await;
                    site.write(step);
                    died |= killed(&site, &databases, "torn", step, moment).await;
                    databases.end_leases("torn").await;
                    let found = site.whole_life(&databases.url("torn", None), step).await;
                    assert_eq!(found, expected, "{step:?}: killed {moment:?}");
                }
                if !died {
                    println!("{step:?}: {} commits", commit - 1);
                    assert!(commit > 5, "{step:?}: there were {} commits", commit - 1);
                    break;
                }
            }
        }
    }
}
