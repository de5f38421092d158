//! Pulls over a plan of real files: deltas in their order, files that feed two streams, holds and decisions.

use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::sync::watch;
use tradebridge::config::{Config, Document};
use tradebridge::model::{Entity, Key};
use tradebridge::store::sqlite::SqliteStore;
use tradebridge::store::{RunState, Store};
use tradebridge::sync::{Plan, Pulled, Puller};

const MANIFEST: &str = r#"
name = "pair"
title = "An ERP whose files feed two streams"
transport = "file"

[settings.directory]
type = "directory"
help = "Where the files are."
required = true

[settings.archive]
type = "directory"
help = "Where they go."
required = true

[defaults]
directory = "${settings.directory}"
ready = { stable = "20ms" }
format = "csv"
delimiter = ";"

[stream.customers]
files = "changes*.csv"
content = "delta"
after = "archive"
archive = "${settings.archive}"

[stream.credit]
files = "changes*.csv"
content = "delta"
after = "archive"
archive = "${settings.archive}"

[stream.products]
files = "products*.csv"
content = "full"
"#;

const CUSTOMER: &str = r#"
entity = "customer"
stream = "customers"
key = "Nr"
deleted = "Op == 'D'"
[fields]
number = "Nr"
name = "Name"
"#;

const CREDIT: &str = r#"
entity = "credit"
stream = "credit"
key = "Nr"
[fields]
customer = "Nr"
currency = "'EUR'"
limit = "Limit.decimal()"
"#;

const PRODUCT: &str = r#"
entity = "product"
stream = "products"
key = "Nr"
[fields]
number = "Nr"
"names.en" = "Name"
"base_unit.code" = "'C62'"
"#;

struct Bridge {
    directory: TempDir,
    store: Arc<dyn Store>,
    puller: Puller,
}

impl Bridge {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("connectors/pair.toml", MANIFEST),
            ("mappings/pair/customer.toml", CUSTOMER),
            ("mappings/pair/credit.toml", CREDIT),
            ("mappings/pair/product.toml", PRODUCT),
            ("in/.keep", ""),
            ("archive/.keep", ""),
        ] {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let store: Arc<dyn Store> =
            Arc::new(SqliteStore::open(&directory.path().join("store.db"), true).await.unwrap());
        let puller = Puller::new(Arc::clone(&store), watch::channel(false).1);
        Self { directory, store, puller }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn plan(&self, guard: &str) -> Plan {
        let at = self.directory.path().display();
        let mut text = format!(
            "connectors = ['{at}/connectors']\nmappings = ['{at}/mappings']\n[[connection]]\nname = 'erp'\n\
             connector = 'pair'\ncompany = 'NL01'\ntime_zone = 'Europe/Amsterdam'\n\
             settings = {{ directory = '{at}/in', archive = '{at}/archive' }}\n"
        );
        text.extend(
            ["customer", "credit", "product"]
                .map(|entity| format!("[[sync]]\nconnection = 'erp'\nentity = '{entity}'\nguard = {{ {guard} }}\n")),
        );
        let config = Config::of_document(Document::parse("tradebridge.toml", &text), []).unwrap();
        Plan::load(&config).unwrap_or_else(|problems| panic!("{problems}"))
    }

    async fn pull(&self, plan: &Plan, entity: &str) -> Vec<Pulled> {
        let pull = plan.pulls_of("erp", Some(entity)).remove(0);
        self.puller.pull(plan, &pull, false, |_| {}).await.unwrap()
    }

    async fn name(&self, number: &str) -> Option<String> {
        let parts = self.store.parts(Entity::Customer, &[Key::new("NL01", number)]).await.unwrap();
        parts.first().map(|part| part.content["name"].as_str().unwrap().to_owned())
    }
}

#[tokio::test]
async fn deltas_are_read_in_their_order_and_put_away_when_every_stream_has_them() {
    let bridge = Bridge::new().await;
    let plan = bridge.plan("floor = 20");
    bridge.write("in/changes-2.csv", "Nr;Name;Limit;Op\n1;Second;200;\n2;Gone;1;D\n");
    bridge.write("in/changes-10.csv", "Nr;Name;Limit;Op\n1;Third;300;\n");
    bridge.write("in/changes-1.csv", "Nr;Name;Limit;Op\n1;First;100;\n2;Two;100;\n");
    let pulled = bridge.pull(&plan, "customer").await;
    let sources: Vec<&str> = pulled.iter().map(|p| p.source.as_str()).collect();
    assert_eq!(sources, ["changes-1.csv", "changes-2.csv", "changes-10.csv"]);
    assert_eq!(bridge.name("1").await.as_deref(), Some("Third"));
    assert_eq!(bridge.name("2").await, None, "the second file says that it is gone");
    assert!(bridge.path("in/changes-1.csv").exists(), "the other stream has not read it");
    assert!(bridge.pull(&plan, "customer").await.is_empty(), "nothing is read twice");

    assert_eq!(bridge.pull(&plan, "credit").await.len(), 3);
    for name in ["changes-1.csv", "changes-2.csv", "changes-10.csv"] {
        assert!(!bridge.path("in").join(name).exists() && bridge.path("archive").join(name).exists(), "{name}");
    }
}

#[tokio::test]
async fn a_held_delta_holds_up_the_later_ones_until_a_person_decides() {
    let bridge = Bridge::new().await;
    let plan = bridge.plan("floor = 1, change = '10%'");
    bridge.write("in/changes-1.csv", "Nr;Name;Limit;Op\n1;One;100;\n2;Two;100;\n");
    bridge.pull(&plan, "customer").await;
    bridge.write("in/changes-2.csv", "Nr;Name;Limit;Op\n1;Changed;100;\n");
    bridge.write("in/changes-3.csv", "Nr;Name;Limit;Op\n3;Three;100;\n");
    let held = bridge.pull(&plan, "customer").await.remove(0).run;
    assert_eq!((held.state, bridge.name("3").await), (RunState::Held, None));
    assert!(bridge.pull(&plan, "customer").await.is_empty(), "it waits");

    let done = bridge.puller.approve(&held.id).await.unwrap();
    assert_eq!((done.state, bridge.name("1").await.as_deref()), (RunState::Done, Some("Changed")));
    let next = bridge.pull(&plan, "customer").await;
    assert_eq!((next.len(), bridge.name("3").await.as_deref()), (1, Some("Three")));

    bridge.write("in/changes-4.csv", "Nr;Name;Limit;Op\n1;Wrong;100;\n");
    bridge.write("in/changes-5.csv", "Nr;Name;Limit;Op\n4;Four;100;\n");
    let held = bridge.pull(&plan, "customer").await.remove(0).run;
    bridge.puller.refuse(&held.id, "a test export").await.unwrap();
    bridge.pull(&plan, "customer").await;
    assert_eq!(bridge.name("1").await.as_deref(), Some("Changed"), "what was refused is not applied");
    assert_eq!(bridge.name("4").await.as_deref(), Some("Four"), "what comes after it is");
}

#[tokio::test]
async fn a_complete_file_is_read_again_when_it_or_its_mapping_changes() {
    let bridge = Bridge::new().await;
    let plan = bridge.plan("floor = 20");
    bridge.write("in/products.csv", "Nr;Name\nP1;Bolt\n");
    assert_eq!(bridge.pull(&plan, "product").await.len(), 1);
    assert!(bridge.pull(&plan, "product").await.is_empty());
    bridge.write("mappings/pair/product.toml", &PRODUCT.replace("= \"Name\"", "= \"Name.upper()\""));
    let plan = bridge.plan("floor = 20");
    let again = bridge.pull(&plan, "product").await;
    assert_eq!((again.len(), again[0].run.counts.updated), (1, 1));
    let rehearsed = bridge.puller.rehearse(&plan, &plan.pulls_of("erp", Some("product"))[0]).await.unwrap();
    assert_eq!(rehearsed[0].run.counts.unchanged, 1);
    bridge.write("in/products.csv", "Nr;Name\nP1;Bolt\nP2;Nut\n");
    let previewed = bridge.puller.preview(&plan.pulls_of("erp", Some("product"))[0], 10).await.unwrap();
    assert_eq!(previewed.len(), 2);
    assert!(previewed[0].stored.is_some() && previewed[1].stored.is_none());
    let rehearsed = bridge.puller.rehearse(&plan, &plan.pulls_of("erp", Some("product"))[0]).await.unwrap();
    assert_eq!((rehearsed[0].run.counts.created, rehearsed[0].run.counts.unchanged), (1, 1));
    assert_eq!(bridge.pull(&plan, "product").await[0].run.counts.created, 1, "rehearsing stored nothing");
}
